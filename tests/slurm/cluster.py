"""A SLURM of three nodes with fake GPUs on this machine: no systemd, no database, no container.

    python tests/slurm/cluster.py     starts it, says which nodes there are, and ends it at Ctrl-C

Needs root, and Debian's slurmctld, slurmd, slurm-client and munge. Commands inside of jobs find their configuration
at /etc/slurm alone (the executor plugin takes SLURM_CONF away), so links are put there for as long as it runs.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

NAME = "snakevaltests"  # no other cluster's jobs are called by it
ETC = Path("/etc/slurm")
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch")
# Any device file passes for a GPU; jobs get CUDA_VISIBLE_DEVICES by it.
GPUS = {
    "n1": ("/dev/null", "/dev/zero"),
    "n2": ("/dev/full", "/dev/random"),
    "n3": ("/dev/tty", "/dev/ptmx"),
}
START_S = 60

CONFIGURATION = """
ClusterName={cluster}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# What is queued again starts after this many seconds; 120 is SLURM's own.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
# The nodes are made up: neither their size nor their processes' groups are asked of the kernel.
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
AccountingStorageType=accounting_storage/none
# Jobs are looked up in squeue for as long as a test may take.
MinJobAge=3600
# Nothing waits longer than it must; the grace after SIGTERM is shorter than the 30 s that SLURM has.
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0,batch_sched_delay=0
KillWait={grace}
CompleteWait=0
ReturnToService=2
PropagateResourceLimits=NONE
{nodes}
PartitionName=cpu Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=n1,n2 MaxTime=INFINITE State=UP
PartitionName=lab Nodes=n3 MaxTime=INFINITE State=UP
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=32 RealMemory=256000 Gres=gpu:{gpus}"


def lacking() -> str | None:
    """Return why no SLURM can be started here, None if one can."""
    absent = [name for name in DAEMONS if not _find(name)]
    if absent:
        return f"{', '.join(absent)} not installed: apt-get install slurmctld slurmd slurm-client munge"
    if os.geteuid():
        return "starting a SLURM takes root"
    if (ETC / "slurm.conf").is_file() and not (ETC / "slurm.conf").is_symlink():
        return f"{ETC}/slurm.conf is there: this machine belongs to a SLURM"
    return None


@contextmanager
def running(grace_s: int = 10) -> Iterator[None]:
    """Have a SLURM for the life of the context; whoever else wants one on this machine waits.

    Args:
        grace_s: between SIGTERM and SIGKILL for jobs that are to end.
    """
    with ExitStack() as stack:
        lock = stack.enter_context(Path(tempfile.gettempdir(), "snakeval-slurm.lock").open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-")))
        folder.chmod(0o755)
        _configure(folder, grace_s)
        for name in ("slurm.conf", "gres.conf"):
            (ETC / name).unlink(missing_ok=True)
            (ETC / name).symlink_to(folder / name)
            stack.callback((ETC / name).unlink, missing_ok=True)
        munge = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        _start(stack, folder, "munged", "--foreground", f"--socket={folder}/munge.socket", *munge)
        _wait(folder, (folder / "munge.socket").exists, "munged")
        _start(stack, folder, "slurmctld", "-D", "-c")
        for name in GPUS:
            _start(stack, folder, "slurmd", "-D", "-c", "-N", name)
        _wait(folder, lambda: set(asked("sinfo", "-hN", "-o", "%T").split()) == {"idle"}, "slurm")
        stack.callback(_end_jobs, grace_s)
        yield


def asked(*command: str) -> str:
    """Return what a client of SLURM says; nothing where it fails, as while the controller starts."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def jobs() -> list[dict[str, str]]:
    """Return all jobs since the start, oldest first, as `scontrol show job` has them."""
    lines = asked("scontrol", "show", "job", "--oneliner").splitlines()
    return [
        dict(word.split("=", 1) for word in line.split() if "=" in word)
        for line in lines
        if line.startswith("JobId=")  # else it says that there are none
    ]


def _end_jobs(grace_s: int) -> None:
    """Cancel what is left while there is a controller to tell; what a lost node ran, the controller does not know."""
    deadline = time.monotonic() + grace_s + 10
    while asked("squeue", "-h") and time.monotonic() < deadline:
        asked("scancel", "--user=root")
        time.sleep(0.2)
    for process in left_overs():
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def left_overs() -> list[int]:
    """Return the processes of this cluster's jobs."""
    mark = f"SLURM_CLUSTER_NAME={NAME}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if mark in process.joinpath("environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def _configure(folder: Path, grace_s: int) -> None:
    host, ports = socket.gethostname().partition(".")[0], _free_ports(1 + len(GPUS))
    nodes = [
        NODE.format(name=name, host=host, port=port, gpus=len(files))
        for (name, files), port in zip(GPUS.items(), ports[1:], strict=True)
    ]
    named = {"cluster": NAME, "folder": folder, "host": host, "grace": grace_s}
    text = CONFIGURATION.format(**named, controller=ports[0], nodes="\n".join(nodes))
    (folder / "slurm.conf").write_text(text)
    gpus = [
        f"NodeName={name} Name=gpu File={file}" for name, files in GPUS.items() for file in files
    ]
    (folder / "gres.conf").write_text("\n".join(["AutoDetect=off", *gpus, ""]))
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    (folder / "state").mkdir()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _find(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def _start(stack: ExitStack, folder: Path, name: str, *arguments: str) -> None:
    """Start a daemon that ends with the context."""
    program = _find(name)
    assert program
    log = stack.enter_context((folder / "daemons.log").open("ab"))
    daemon = subprocess.Popen(
        [program, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
    )
    stack.callback(_stop, daemon)


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(15)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _wait(folder: Path, ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_S
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} is not up:\n{(folder / 'daemons.log').read_text()[-4000:]}")
        time.sleep(0.1)


if __name__ == "__main__":
    if reason := lacking():
        raise SystemExit(f"error: {reason}")
    with running():
        print(asked("sinfo", "-N", "-o", "%N %P %c CPUs %m MB %G %T"))
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
