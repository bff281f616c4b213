from __future__ import annotations

from itertools import chain, pairwise

from hypothesis import given
from hypothesis import strategies as st

from xtts_framework.data.packing import micro_batches

LENGTHS = st.lists(st.integers(1, 1100), max_size=60)
BUDGETS = st.integers(1, 8192)


@given(LENGTHS, BUDGETS)
def test_every_clip_is_in_exactly_one_micro_batch(lengths: list[int], budget: int) -> None:
    assert sorted(chain.from_iterable(micro_batches(lengths, budget))) == list(range(len(lengths)))


@given(LENGTHS, BUDGETS)
def test_no_micro_batch_exceeds_the_budget_unless_it_is_one_clip(lengths: list[int], budget: int) -> None:
    for group in micro_batches(lengths, budget):
        assert len(group) == 1 or sum(lengths[clip] for clip in group) <= budget


@given(LENGTHS, BUDGETS)
def test_clips_come_longest_first_and_equal_ones_in_their_order(lengths: list[int], budget: int) -> None:
    order = list(chain.from_iterable(micro_batches(lengths, budget)))
    assert all((-lengths[clip], clip) < (-lengths[following], following) for clip, following in pairwise(order))


@given(LENGTHS, BUDGETS)
def test_a_micro_batch_is_as_full_as_the_next_clip_allows(lengths: list[int], budget: int) -> None:
    for group, following in pairwise(micro_batches(lengths, budget)):
        assert sum(lengths[clip] for clip in group) + lengths[following[0]] > budget


def test_a_known_example() -> None:
    assert micro_batches([100, 300, 100, 200], 400) == [[1], [3, 0, 2]]
    assert micro_batches([], 400) == []
