"""Which clips pass through the device together."""

from __future__ import annotations

from collections.abc import Sequence


def micro_batches(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Group the clips of an update into micro-batches of at most `token_budget` tokens.

    Longest first, so that clips of one micro-batch are nearly equally long (attention over a padded view wastes
    little) and running out of memory shows at once. A clip longer than the budget is a micro-batch of its own.

    Args:
        lengths: tokens of each clip, `Clip.tokens`.
        token_budget: tokens through the device at once.
    Returns:
        Positions in `lengths`, each exactly once; the order of equally long clips is kept.
    """
    groups: list[list[int]] = []
    room = 0
    for clip in sorted(range(len(lengths)), key=lambda clip: -lengths[clip]):
        if not groups or lengths[clip] > room:
            groups.append([])
            room = token_budget
        groups[-1].append(clip)
        room -= lengths[clip]
    return groups
