"""Every clip exactly once per epoch, whatever the update size; a few integers continue the sequence exactly."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtts_framework.training.sampling import MAIN_POOL, Pool, Sampler


def clips(count: int, prefix: str = "clip") -> list[str]:
    return [f"{prefix}{index}" for index in range(count)]


@given(st.integers(1, 40), st.integers(1, 17), st.integers(0, 2**32))
def test_every_clip_comes_once_per_epoch_and_updates_span_epochs(count: int, update: int, seed: int) -> None:
    sampler = Sampler({MAIN_POOL: Pool(clips(count))}, seed)
    samples = [sample for _ in range(3 * count) for sample in sampler.take(update)][: 3 * count]
    for epoch in range(3):
        part = samples[epoch * count : (epoch + 1) * count]
        assert sorted(sample.clip for sample in part) == sorted(clips(count))
        assert {sample.epoch for sample in part} == {epoch}


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {
        tuple(sample.clip for sample in part)
        for seed in (1, 2)
        for sampler in [Sampler({MAIN_POOL: Pool(clips(50))}, seed)]
        for part in (sampler.take(50), sampler.take(50))
    }
    assert len(orders) == 4


@given(st.integers(0, 200), st.integers(1, 100))
def test_sampler_continues_exactly_from_its_counts(before: int, after: int) -> None:
    pools = {MAIN_POOL: Pool(clips(13)), "replay": Pool(clips(7, "old"), share=0.3)}
    whole = Sampler(pools, 1)
    whole.take(before)
    assert Sampler(pools, 1, dict(whole.drawn)).take(after) == whole.take(after)


@given(st.floats(0.01, 0.9), st.integers(1, 500))
def test_a_replay_dataset_gets_its_share_at_any_time(share: float, count: int) -> None:
    sampler = Sampler({MAIN_POOL: Pool(clips(11)), "replay": Pool(clips(5, "old"), share)}, 1)
    sampler.take(count)
    assert abs(sampler.drawn["replay"] - share * count) < 1


def test_a_replay_dataset_has_its_own_epochs() -> None:
    sampler = Sampler({MAIN_POOL: Pool(clips(30)), "replay": Pool(clips(4, "old"), 0.25)}, 1)
    replayed = [sample for sample in sampler.take(64) if sample.clip.startswith("old")]
    assert Counter((sample.clip, sample.epoch) for sample in replayed).most_common(1)[0][1] == 1
    assert max(sample.epoch for sample in replayed) == 3
    assert sampler.epochs(sampler.drawn) == pytest.approx(48 / 30)


def test_an_empty_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="without clips"):
        Sampler({MAIN_POOL: Pool([])}, 1)
