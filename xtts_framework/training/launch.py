"""Start the processes that train as one: on this machine, or on every node of a SLURM job.

torchrun starts them and ends them all when one has failed. It answers any failure with status 1 and leaves a stopped
process half a minute, so two things are added that a scheduler needs: a signal reaches every process, which saves and
ends in its own time, and the exit status is theirs, 75 (saved, unfinished) above all.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import psutil
import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from xtts_framework.console import say
from xtts_framework.errors import UserError
from xtts_framework.training.distributed import LAUNCHER
from xtts_framework.training.stopping import SIGNALS


def launch(processes: int, nodes: int, rendezvous: str | None) -> int | None:
    """Run the command of this process again in several processes, and wait for them.

    Args:
        processes: of all nodes together; 0: one for each GPU that is seen, at least one.
        nodes: machines.
        rendezvous: `HOST:PORT` where the launchers of all nodes meet. Without it, several nodes are those of the SLURM
            job this runs in, and one launcher is started on each.

    Returns:
        Their exit status: 0, that of the process that failed first, or 1 when it was killed. None when one process is
        enough and nothing was started.

    Raises:
        UserError: processes that cannot be divided among the nodes, several nodes outside SLURM without a rendezvous,
            or nodes that did not come together.
    """
    if processes % nodes:
        raise UserError(f"--processes {processes}: cannot be divided among {nodes} nodes; give a multiple of {nodes}.")
    if nodes > 1 and not rendezvous:
        _launch_on_nodes(nodes)
    here = processes // nodes or max(1, torch.cuda.device_count())
    if here == nodes == 1:
        return None
    meeting = ["--standalone"]
    if rendezvous:
        meeting = [f"--nnodes={nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={rendezvous}", "--rdzv-id=xtts"]
    threads = int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0))))  # Snakemake sets those of the job
    os.environ["OMP_NUM_THREADS"] = str(max(1, threads // here))
    os.environ[LAUNCHER] = str(os.getpid())
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # each process says itself what is wrong
    handled = "--signals-to-handle=SIGHUP,SIGQUIT"  # the others are passed on
    arguments = [*meeting, handled, f"--nproc-per-node={here}", "--no-python", *sys.argv]
    try:
        with _passing_signals_on():
            run(parse_args(arguments))
    except ChildFailedError as failed:
        rank, failure = failed.get_first_failure()
        if failure.exitcode < 0:
            say(f"process {rank} was ended by {signal.Signals(-failure.exitcode).name}; the others have ended, too")
        return max(failure.exitcode, 1)
    except SignalException as ended:
        return 128 + ended.sigval
    except (RuntimeError, OSError) as error:  # of the rendezvous: torch has many names for a peer that is gone
        raise UserError(
            f"the processes of {nodes} nodes did not come together, or lost each other ({error}).\n"
            f"  Expected `--rendezvous {rendezvous}` to be reachable from all of them. Start the same command again: "
            "training continues from its last checkpoint."
        ) from error
    return 0


def _launch_on_nodes(nodes: int) -> None:
    """Become `srun`, which starts this command once on each node of the job; the first node is the meeting point.

    Raises:
        UserError: no SLURM job.
    """
    if "SLURM_JOB_ID" not in os.environ:
        raise UserError(
            f"--nodes {nodes}: not in a SLURM job. Submit the workflow with `--workflow-profile profiles/slurm`, or "
            f"start the same command on {nodes} machines with `--rendezvous HOST:PORT`, HOST being one of them."
        )
    with socket.socket() as free:
        free.bind(("", 0))
        meeting = f"{socket.gethostname()}:{free.getsockname()[1]}"
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    try:
        os.execvp("srun", [*srun, *sys.argv, f"--rendezvous={meeting}"])
    except FileNotFoundError as error:
        raise UserError(f"--nodes {nodes}: `srun` is not installed on this node of the SLURM job.") from error


@contextmanager
def _passing_signals_on() -> Iterator[None]:
    """Let the processes hear what this one is told; with none there yet, end."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        processes = psutil.Process().children()
        if not processes:
            sys.exit(128 + number)
        for process in processes:
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
