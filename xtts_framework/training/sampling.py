"""Which clip is the next sample: every clip once per epoch, in an order that is a pure function of the seed.

The only state is how many samples each pool has given, so a checkpoint stores a few integers and continues exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAIN_POOL = ""
"""Name of the pool that defines the epoch: all datasets without a share, as one."""


def draw(*key: object) -> int:
    """A 64-bit number that depends on `key` alone: on no generator, library version or platform."""
    digest = hashlib.blake2b("\0".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


@dataclass(frozen=True)
class Pool:
    """Clips that are drawn without replacement until all were drawn, then anew.

    Args:
        clips: unique identifiers.
        share: fraction of all samples, for a replay dataset; None for the main pool.
    """

    clips: Sequence[str]
    share: float | None = None


def pools_of(clips: Mapping[str, Sequence[str]], shares: Mapping[str, float | None]) -> dict[str, Pool]:
    """The datasets without a share as one pool, each replay dataset as its own.

    Args:
        clips: training clips of each dataset.
        shares: of each dataset; None: part of every epoch.
    """
    main = [clip for name, share in shares.items() if share is None for clip in clips[name]]
    replay = {name: Pool(clips[name], share) for name, share in shares.items() if share is not None}
    return {MAIN_POOL: Pool(main), **replay}


@dataclass(frozen=True)
class Sample:
    """One draw: clip `clip`, in the epoch of its own pool."""

    clip: str
    epoch: int


class Sampler:
    """An endless, resumable sequence of samples.

    Args:
        pools: by name; exactly one, MAIN_POOL, has no share.
        seed: of the order.
        drawn: samples each pool has given already; empty at the start.
    Raises:
        ValueError: an empty pool, or not exactly one pool without a share.
    """

    def __init__(self, pools: Mapping[str, Pool], seed: int, drawn: Mapping[str, int] | None = None) -> None:
        if [name for name, pool in pools.items() if pool.share is None] != [MAIN_POOL]:
            raise ValueError("exactly one pool, the main one, has no share")
        if any(not pool.clips for pool in pools.values()):
            raise ValueError("a pool without clips cannot be drawn from")
        self.drawn = {name: (drawn or {}).get(name, 0) for name in pools}
        self._pools = pools
        self._seed = seed
        self._orders: dict[str, tuple[int, list[str]]] = {}
        main_share = 1.0 - sum(pool.share or 0.0 for pool in pools.values())
        self._shares = {name: main_share if pool.share is None else pool.share for name, pool in pools.items()}

    def epochs(self, drawn: Mapping[str, int]) -> float:
        """Passes over the main pool once the pools have given so many samples; whole numbers are exact."""
        return drawn.get(MAIN_POOL, 0) / len(self._pools[MAIN_POOL].clips)

    def take(self, count: int) -> list[Sample]:
        """The next `count` samples."""
        return [self._next() for _ in range(count)]

    def _next(self) -> Sample:
        name = self._most_owed()
        pool = self._pools[name]
        epoch, position = divmod(self.drawn[name], len(pool.clips))
        self.drawn[name] += 1
        return Sample(self._order(name, epoch)[position], epoch)

    def _most_owed(self) -> str:
        """The pool furthest behind its share, so that no pool is ever a whole sample off."""
        total = sum(self.drawn.values()) + 1
        return max(self._pools, key=lambda name: total * self._shares[name] - self.drawn[name])

    def _order(self, name: str, epoch: int) -> list[str]:
        known_epoch, order = self._orders.get(name, (-1, []))
        if known_epoch != epoch:
            order = sorted(self._pools[name].clips, key=lambda clip: (draw(self._seed, "order", epoch, clip), clip))
            self._orders[name] = (epoch, order)
        return order
