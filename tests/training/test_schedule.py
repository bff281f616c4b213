"""The rate drops when the guide says, at the first update boundary, and the log says so in the guide's words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtts_framework.training.schedule import Clock, MultiStep

GUIDE = MultiStep(5e-6, (50_000, 150_000, 300_000), 0.5)
GUIDE_CLOCK = Clock(batch_size=4, grad_accum=128)


def test_rate_follows_the_guides_table() -> None:
    assert [GUIDE.at(step) for step in (0, 49_999, 50_000, 149_999, 150_000, 299_999, 300_000)] == pytest.approx(
        [5e-6, 5e-6, 2.5e-6, 2.5e-6, 1.25e-6, 1.25e-6, 6.25e-7], rel=1e-12
    )


def test_first_update_at_half_the_rate_starts_at_step_50048() -> None:
    first, *_ = GUIDE.changes(GUIDE_CLOCK)
    assert first.boundary == 50_048
    assert GUIDE.at(50_048 - 128) == 5e-6
    assert GUIDE.at(50_048) == 2.5e-6


def test_log_lines_are_the_guides_with_the_boundary_in_brackets() -> None:
    assert [str(change) for change in GUIDE.changes(GUIDE_CLOCK)] == [
        "Step 50000: LR dropped to 2.5e-06 (in force from step 50048)",
        "Step 150000: LR dropped to 1.25e-06 (in force from step 150016)",
        "Step 300000: LR dropped to 6.25e-07 (in force from step 300032)",
    ]


def test_guides_500_clips_for_100_epochs_are_12500_steps() -> None:
    assert GUIDE_CLOCK.step(500 * 100) == 12_500


def test_a_factor_of_one_changes_nothing() -> None:
    assert MultiStep(1.0, (10,), 1.0).changes(GUIDE_CLOCK) == []


def test_warm_up_rises_in_a_line_and_then_leaves_the_schedule_as_it_is() -> None:
    warm = MultiStep(5e-6, (50_000, 150_000, 300_000), 0.5, warmup_steps=999)
    assert [warm.at(step) for step in (0, 499, 999)] == pytest.approx([5e-9, 2.5e-6, 5e-6])
    assert all(warm.at(step) == GUIDE.at(step) for step in range(999, 400_000, 997))
    assert warm.changes(GUIDE_CLOCK) == GUIDE.changes(GUIDE_CLOCK)


def test_milestones_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="strictly increasing"):
        MultiStep(1.0, (10, 10), 0.5)


@given(st.integers(1, 8), st.integers(1, 200), st.lists(st.integers(1, 5000), min_size=1, max_size=5, unique=True))
def test_every_update_uses_the_rate_that_the_announced_changes_promise(
    batch_size: int, grad_accum: int, milestones: list[int]
) -> None:
    clock, schedule = Clock(batch_size, grad_accum), MultiStep(1.0, tuple(sorted(milestones)), 0.5)
    changes = schedule.changes(clock)
    for update in range(6000 // grad_accum + 2):
        step = clock.step(update * clock.update_samples)
        in_force = [change for change in changes if change.boundary <= step]
        assert schedule.at(step) == (in_force[-1].lr if in_force else 1.0)
        assert clock.update(update * clock.update_samples) == update
