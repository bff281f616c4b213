"""A real SLURM on this machine: a controller and two nodes with two GPUs each, which are only device files."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import psutil

Answer = TypeVar("Answer")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NODES = ("node1", "node2")
PATIENCE_S = 300
"""Far above what anything here takes: a test that waits longer has failed."""
CONFIG = """\
ClusterName=small
SlurmctldHost=localhost
SlurmctldPort={controller_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=10
KillWait=10
MinJobAge=7200
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{nodes}
PartitionName=gpu Nodes={names} Default=YES MaxTime=INFINITE PriorityTier=1
PartitionName=urgent Nodes={names} MaxTime=INFINITE PriorityTier=10
"""
NODE = "NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=64 RealMemory=256000 Gres=gpu:2"
DEVICES = """\
NodeName=node1 Name=gpu File=/dev/null
NodeName=node1 Name=gpu File=/dev/zero
NodeName=node2 Name=gpu File=/dev/full
NodeName=node2 Name=gpu File=/dev/random
"""


def missing() -> str | None:
    """Why there can be no cluster here, or None."""
    if os.geteuid() != 0:
        return "needs root, to start a SLURM of its own"
    gone = [name for name in PROGRAMS if shutil.which(name, path=SYSTEM_PATH) is None]
    return f"needs {', '.join(gone)}: install slurm-wlm and munge (Debian)" if gone else None


@dataclass
class Job:
    """What the controller remembers of a job."""

    id: str
    fields: dict[str, str]

    @property
    def comment(self) -> str:
        """`rule_NAME_wildcards_VALUES`, as Snakemake names it."""
        return self.fields.get("Comment", "").strip()

    @property
    def gpus(self) -> int:
        """GPUs it asked for, in all."""
        asked = [self.fields.get(name, "") for name in ("TresPerJob", "TresPerNode")]
        return sum(int(count) for count in re.findall(r"gpu:(\d+)", " ".join(asked)))

    @property
    def seconds(self) -> tuple[str, str]:
        """When it started and ended."""
        return self.fields["StartTime"], self.fields["EndTime"]


@dataclass
class Slurm:
    """A running cluster.

    Args:
        folder: everything of it lies here.
    """

    folder: Path
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """For commands that should see this cluster."""
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "SLURM_CONF": str(self.folder / "slurm.conf"), "OMP_NUM_THREADS": "1"}

    def run(self, *command: str) -> str:
        """Output of a command of SLURM, repeated while the controller is away."""

        def attempt() -> list[str]:
            self.assert_alive()
            done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
            return [done.stdout] if done.returncode == 0 else []

        [output] = wait_for(attempt, f"an answer to {' '.join(command)}")
        return output

    def jobs(self) -> list[Job]:
        """All jobs since the cluster was started, ended ones too, by number."""
        lines = self.run("scontrol", "--oneliner", "show", "jobs").splitlines()
        found = []
        for line in lines:
            fields = dict(re.findall(r"(?:^| )([A-Za-z/:]+)=(.*?)(?= [A-Za-z/:]+=|$)", line))
            if "JobId" in fields:
                found.append(Job(fields["JobId"], fields))
        return sorted(found, key=lambda job: int(job.id))

    def assert_alive(self) -> None:
        """A daemon that has crashed would otherwise be waited for in vain."""
        ended = {name: process.returncode for name, process in self.daemons.items() if process.poll() is not None}
        assert not ended, f"SLURM itself has ended, by daemon and status: {ended}\n{self.account()}"

    def account(self) -> str:
        """What a person would look at first when a workflow stands still."""
        command = ("scontrol", "--oneliner", "show")
        asked = [[*command, "nodes"], [*command, "jobs"]]
        said = [subprocess.run(each, env=self.environment, capture_output=True, text=True) for each in asked]
        logs = [f"== {log.name}\n{log.read_text('utf-8')[-3000:]}" for log in sorted(self.folder.glob("slurm*.log"))]
        return "\n".join([*(f"{done.stdout}{done.stderr}" for done in said), *logs])

    def start_controller(self) -> None:
        self._start("slurmctld", "-D")
        wait_for(lambda: "UP" in self.run("scontrol", "ping"), "the controller")

    def kill(self, daemon: str) -> None:
        """As when its machine loses power: with everything that it has started."""
        process = self.daemons.pop(daemon)
        if daemon in NODES:
            _kill(self.processes(daemon))
        process.kill()
        process.wait()

    def start_node(self, name: str) -> None:
        self._start("slurmd", "-N", name, "-D", daemon=name)
        wait_for(lambda: self.state(name) in ("IDLE", "MIXED", "ALLOCATED"), f"{name} to be up")

    def state(self, node: str) -> str:
        match = re.search(r"State=(\w+)", self.run("scontrol", "show", "node", node))
        return match[1] if match else ""

    def processes(self, node: str | None = None) -> list[psutil.Process]:
        """What runs in jobs on a node with what watches over it; without a node, everything of this cluster."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                environment = process.environ()
                if environment.get("SLURM_CONF") != str(self.folder / "slurm.conf") or process.pid == os.getpid():
                    continue
                if node is None or environment.get("SLURMD_NODENAME") == node:
                    parent = process.parent()
                    found += [parent, process] if node and parent and parent.name() == "slurmstepd" else [process]
        return found

    def stop(self) -> None:
        """End every process; nothing is left."""
        for daemon in [*self.daemons]:
            self.kill(daemon)
        _kill(self.processes())

    def _start(self, *command: str, daemon: str | None = None) -> None:
        name = daemon or command[0]
        log = (self.folder / f"{name}.out").open("ab")
        program = shutil.which(command[0], path=SYSTEM_PATH)
        assert program is not None
        environment = {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": os.environ["PATH"]}
        self.daemons[name] = subprocess.Popen(
            [program, *command[1:]], cwd=self.folder, stdout=log, stderr=log, env=environment
        )


@contextmanager
def running_slurm() -> Iterator[Slurm]:
    """A cluster until the end of the block, in a temporary folder."""
    with TemporaryDirectory(prefix="slurm-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        slurm = Slurm(folder)
        _write_config(folder)
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        munge = [f"--{option}={folder}/munge.{suffix}" for option, suffix in MUNGE_FILES]
        try:
            slurm._start("munged", "--foreground", "--force", *munge)
            slurm.start_controller()
            for node in NODES:
                slurm.start_node(node)
            yield slurm
        finally:
            slurm.stop()


MUNGE_FILES = (
    ("key-file", "key"),
    ("socket", "socket"),
    ("pid-file", "pid"),
    ("log-file", "log"),
    ("seed-file", "seed"),
)


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _write_config(folder: Path) -> None:
    (folder / "state").mkdir()
    (folder / "bin").mkdir()
    # Snakemake's job step hides all variables of SLURM from srun, which elsewhere finds its configuration in /etc.
    srun = folder / "bin" / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec /usr/bin/srun "$@"\n', encoding="utf-8")
    srun.chmod(0o755)
    ports = _free_ports(1 + len(NODES))
    for name in NODES:
        (folder / f"spool-{name}").mkdir()
    nodes = [NODE.format(name=name, port=port) for name, port in zip(NODES, ports[1:], strict=True)]
    config = CONFIG.format(folder=folder, controller_port=ports[0], nodes="\n".join(nodes), names=",".join(NODES))
    (folder / "slurm.conf").write_text(config, encoding="utf-8")
    (folder / "gres.conf").write_text(DEVICES, encoding="utf-8")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def wait_for(question: Callable[[], Answer | None], what: str, *, patience_s: float = PATIENCE_S) -> Answer:
    """The first answer that is not empty.

    Raises:
        TimeoutError: there was none.
    """
    give_up = time.monotonic() + patience_s
    while time.monotonic() < give_up:
        if answer := question():
            return answer
        time.sleep(0.2)
    raise TimeoutError(f"waited {patience_s:g} s for {what}")
