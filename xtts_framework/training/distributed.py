"""Several processes that train as one, started by `torchrun`: each takes its part of every update.

There is no wrapper around the model. Each process adds up the gradients of its clips; at the end of an update all
agree that nobody failed, then add up each other's. So an update that ran out of memory anywhere is done again by all,
and a process may have any number of micro-batches, none included.

What only one of them may do (files, logs, listeners) the first one does, `is_main`. Questions about the world outside
(signals, clocks) are answered together, over the CPU: no process waits for a GPU to hear the others.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from xtts_framework.console import only_errors
from xtts_framework.errors import UserError

BUCKET_BYTES = 64 * 2**20
"""Gradients travel in pieces of about this size."""
LAUNCHER = "XTTS_LAUNCHER"
"""Environment variable: the process number of the launcher, in the processes that it starts."""
PR_SET_PDEATHSIG = 1
"""Of `prctl` (linux/prctl.h): the signal that a process gets when its parent ends."""
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Ranks:
    """This process among those of one training.

    Args:
        rank: 0 to `size` - 1.
        size: number of processes; 1: a training without any of this.
        local_rank: which of the processes of this machine; the number of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def main_only(self, context: contextlib.AbstractContextManager[None]) -> contextlib.AbstractContextManager[None]:
        """A context that only the main process enters."""
        return context if self.is_main else contextlib.nullcontext()

    def any(self, *facts: bool) -> list[bool]:
        """Of each fact, whether it is true in any process."""
        if self.size == 1:
            return list(facts)
        answers = torch.tensor(facts, dtype=torch.uint8)
        with _naming_a_lost_process():
            dist.all_reduce(answers, dist.ReduceOp.MAX)
        return [bool(answer) for answer in answers]

    def wait_for_all(self) -> None:
        """Until every process is here. One that ended sooner would make torchrun end the others, amid a save."""
        self.any(False)

    def gather(self, value: Answer) -> list[Answer]:
        """The value of every process, by rank."""
        values: list[Any] = [value] * self.size
        if self.size > 1:
            with _naming_a_lost_process():
                dist.all_gather_object(values, value)
        return values

    def from_main(self, decide: Callable[[], Answer]) -> Answer:
        """What the main process decides; the others wait for it."""
        if self.size == 1:
            return decide()
        answer: list[Any] = [decide() if self.is_main else None]
        with _naming_a_lost_process():
            dist.broadcast_object_list(answer)
        decided: Answer = answer[0]
        return decided

    def add_up(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes."""
        if self.size > 1:
            with _naming_a_lost_process():
                dist.all_reduce(tensor)

    def add_up_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes; none counts as zero."""
        if self.size > 1:
            for bucket in _buckets(parameters):
                flat = torch.cat([_gradient(parameter).flatten() for parameter in bucket])
                self.add_up(flat)
                for parameter, summed in zip(bucket, torch.split(flat, [p.numel() for p in bucket]), strict=True):
                    parameter.grad = summed.view_as(parameter)


@contextlib.contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Join the other processes that `torchrun` has started, or be alone.

    Raises:
        UserError: the other processes did not come, or only half of torchrun's variables are set.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Ranks()
        return
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise UserError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set. Start several processes with `torchrun`; for "
            "a single one unset WORLD_SIZE."
        )
    _outlive_no_launcher(signal.SIGKILL)
    rank = int(os.environ["RANK"])
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with _naming_a_lost_process():
        dist.init_process_group(backend)
    _outlive_no_launcher(signal.SIGTERM)
    try:
        with only_errors() if rank else contextlib.nullcontext():
            yield Ranks(rank, size, local_rank=int(os.environ["LOCAL_RANK"]))
    finally:
        dist.destroy_process_group()


def share_out(lengths: Sequence[int], ranks: int) -> list[list[int]]:
    """Divide the clips of an update among processes, so that all have nearly as many tokens.

    Args:
        lengths: tokens of each clip.
    Returns:
        For each process positions in `lengths`, ascending; every position once.
    """
    shares: list[list[int]] = [[] for _ in range(ranks)]
    tokens = [0] * ranks
    for clip in sorted(range(len(lengths)), key=lambda clip: -lengths[clip]):
        least = tokens.index(min(tokens))
        shares[least].append(clip)
        tokens[least] += lengths[clip]
    return [sorted(share) for share in shares]


def _outlive_no_launcher(hear: signal.Signals) -> None:
    """Get a signal when the launcher is killed, which can then no longer end this process. On Linux only.

    Args:
        hear: before all have come together SIGKILL, for they would wait for half an hour; then SIGTERM: save and end.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, hear)
    if int(os.environ.get(LAUNCHER, os.getppid())) != os.getppid():
        raise UserError("the launcher of this process has been killed. Start the same command again.")


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    bucket: list[nn.Parameter] = []
    room = BUCKET_BYTES
    for parameter in parameters:
        if bucket and parameter.nbytes > room:
            yield bucket
            bucket, room = [], BUCKET_BYTES
        bucket.append(parameter)
        room -= parameter.nbytes
    yield bucket


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@contextlib.contextmanager
def _naming_a_lost_process() -> Iterator[None]:
    """What gloo and nccl say when the other end is gone tells a user nothing."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise UserError(
            "another process of this training has ended or cannot be reached; its own message says why.\n"
            "  Start the same command again: training continues from its last checkpoint."
        ) from error
