"""Where attacks run: one user at one level, and around it what is there to be attacked."""

from __future__ import annotations

import contextlib
import os
import pickle
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from snakeval.sandbox import Outcome, Program
from snakeval.sandbox.inside.syscalls import NUMBERS

PACKAGE = Path(__file__).parents[2] / "workflow" / "scripts" / "snakeval"
USERS = ("root", "ordinary")
LEVELS = ("namespaces", "landlock")
NOBODY = 65534
WAIT_S = 2.0  # for what dies or arrives a moment later


class Ground:
    """What lies around a user: services, secrets and processes, and the marks that an attack leaves."""

    def __init__(self, folder: Path, uid: int) -> None:
        self.folder = folder
        self.uid = uid
        self.secret = f"secret{secrets.token_hex(8)}"
        self.daemon = (
            f"svl{secrets.token_hex(5)}"  # a name that attacks give to what shall outlive them
        )
        self._open = contextlib.ExitStack()
        self.home = self._folder("home", 0o700)
        self.token = self.home / "token"
        self.token.write_text(self.secret)
        self.token.chmod(0o600)
        self.public = self._folder("public", 0o755)
        self._own(self.token)
        sockets = self._folder("sockets", 0o755)
        self.unix_stream = str(sockets / "stream")
        self.unix_datagram = str(sockets / "datagram")
        abstract = f"\0{self.secret[6:]}"
        self.listeners = {
            "TCP connection": self._listen(socket.AF_INET, ("127.0.0.1", 0)),
            "unix connection": self._listen(socket.AF_UNIX, self.unix_stream),
            "abstract unix connection": self._listen(socket.AF_UNIX, f"{abstract}-stream"),
        }
        with contextlib.suppress(OSError):
            self.listeners["TCP connection over IPv6"] = self._listen(socket.AF_INET6, ("::1", 0))
        self.receivers = {
            "UDP datagram": self._receive(socket.AF_INET, ("127.0.0.1", 0)),
            "unix datagram": self._receive(socket.AF_UNIX, self.unix_datagram),
            "abstract unix datagram": self._receive(socket.AF_UNIX, f"{abstract}-datagram"),
        }
        for path in (self.unix_stream, self.unix_datagram):
            Path(path).chmod(0o777)
        self._victim = self._start_victim()
        self._open.callback(self._end_victim)
        self._before = self._state()

    def _folder(self, name: str, mode: int) -> Path:
        path = self.folder / name
        path.mkdir(mode=mode)
        self._own(path)
        return path

    def _own(self, path: Path) -> None:
        if os.getuid() == 0:
            os.chown(path, self.uid, self.uid)

    def _listen(self, family: int, address: Any) -> socket.socket:
        listener = self._open.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listener.bind(address)
        listener.listen()
        listener.setblocking(False)
        return listener

    def _receive(self, family: int, address: Any) -> socket.socket:
        receiver = self._open.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        receiver.bind(address)
        receiver.setblocking(False)
        return receiver

    def _start_victim(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["sleep", "3600"],
            env={"VICTIM": self.secret},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **identity(self.uid),
        )

    def _end_victim(self) -> None:
        self._victim.kill()
        self._victim.wait()

    def names(self) -> dict[str, Any]:
        """Return what an attack is told: where things are, and what it is to reach."""
        return {
            "HOME": str(self.home),
            "TOKEN": str(self.token),
            "PUBLIC": str(self.public),
            "REPOSITORY": str(self.folder / "scripts"),
            "TCP": self.listeners["TCP connection"].getsockname()[1],
            "TCP6": self.listeners["TCP connection over IPv6"].getsockname()[1]
            if "TCP connection over IPv6" in self.listeners
            else 0,
            "UDP": self.receivers["UDP datagram"].getsockname()[1],
            "UNIX_STREAM": self.unix_stream,
            "UNIX_DATAGRAM": self.unix_datagram,
            "ABSTRACT_STREAM": f"\0{self.secret[6:]}-stream",
            "ABSTRACT_DATAGRAM": f"\0{self.secret[6:]}-datagram",
            "VICTIM": self._victim.pid,
            "HOSTNAME": socket.gethostname(),
            "DAEMON": self.daemon,
            "NR": NUMBERS[os.uname().machine],
        }

    def marks(self, printed: str, wait_s: float = WAIT_S) -> list[str]:
        """Return what an attack has reached, and clear the ground for the next one.

        Args:
            printed: the attack's output.
            wait_s: how long what it has left behind may take to die.
        """
        found = [f"printed {line!r}" for line in printed.splitlines() if "REACHED" in line]
        if self.secret in printed:
            found.append("a secret printed")
        for name, listener in self.listeners.items():
            with contextlib.suppress(BlockingIOError):
                while True:
                    listener.accept()[0].close()
                    found.append(name)
        for name, receiver in self.receivers.items():
            with contextlib.suppress(BlockingIOError):
                while True:
                    receiver.recv(4096)
                    found.append(name)
        state = self._state()
        if state != self._before:
            found.append(f"{self._before} became {state}")
            self._restore()
            self._before = self._state()
        if self._victim.poll() is not None:
            found.append("another process killed")
            self._victim = self._start_victim()
        if daemons := settled(self.daemon, wait_s):
            found.append(f"{len(daemons)} processes that outlive the program")
            for pid in daemons:
                os.kill(pid, signal.SIGKILL)
        return found

    def _state(self) -> list[tuple[str, int, float]]:
        """Return names, modes and times of what no attack may change."""
        shared = [Path(folder) for folder in ("/dev/shm", "/var/tmp", "/tmp")]
        left = [path for folder in shared for path in folder.glob(f"*{self.daemon}*")]
        own = [self.home, self.public, *self.home.iterdir(), *self.public.iterdir()]
        return [
            (str(path), path.lstat().st_mode, path.lstat().st_mtime) for path in sorted(left + own)
        ]

    def _restore(self) -> None:
        left = [
            path
            for name in ("/dev/shm", "/var/tmp", "/tmp")
            for path in Path(name).glob(f"*{self.daemon}*")
        ]
        for path in (*left, *self.public.iterdir(), *self.home.iterdir()):
            if path != self.token:
                path.unlink()
        self.home.chmod(0o700)
        self.public.chmod(0o755)
        self.token.write_text(self.secret)
        self.token.chmod(0o600)
        self._own(self.token)

    def close(self) -> None:
        """Take everything down."""
        self._open.close()


def settled(name: str, wait_s: float) -> list[int]:
    """Return the processes of that name once there are none, or that there still are after a while."""
    deadline = time.monotonic() + wait_s
    while (found := processes(name)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def processes(name: str) -> list[int]:
    """Return the ids of all processes of that name, but for those that only wait to be reaped."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text().rstrip("\n") != name:
                continue
            if "\nState:\tZ" not in (folder / "status").read_text():
                found.append(int(folder.name))
        except OSError:  # ended meanwhile
            continue
    return found


def identity(uid: int) -> dict[str, Any]:
    """Return what makes `subprocess` start a process as that user."""
    return {} if uid == os.getuid() else {"user": uid, "group": uid, "extra_groups": []}


class User:
    """A process of one user that runs programs for us, and the ground around it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.uid = NOBODY if name == "ordinary" and os.getuid() == 0 else os.getuid()
        self._folder = Path(tempfile.mkdtemp(prefix="snakeval-test-"))
        self._folder.chmod(0o755)
        scripts = self._folder / "scripts"
        shutil.copytree(PACKAGE / "sandbox", scripts / "snakeval" / "sandbox")
        for path in (PACKAGE / "__init__.py", PACKAGE / "errors.py", PACKAGE / "leash.py"):
            shutil.copy(path, scripts / "snakeval")
        shutil.copy(Path(__file__).with_name("as_user.py"), scripts)
        for path in (scripts, *scripts.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        self.ground = Ground(self._folder, self.uid)
        self.levels: dict[str, str] = {}  # level → why it is not there, or ""
        self._process = subprocess.Popen(
            [python_for(self.uid), "-B", "-s", str(scripts / "as_user.py"), str(scripts)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                "PATH": os.environ["PATH"],
                "HF_TOKEN": self.ground.secret,
                "HOME": str(self.ground.home),
            },
            cwd="/",
            **identity(self.uid),
        )

    def ask(self, *request: Any) -> Any:
        """Have something done; see `as_user.serve`."""
        self.begin(*request)
        return self.finish()

    def begin(self, *request: Any) -> None:
        """Ask without waiting."""
        assert self._process.stdin is not None
        pickle.dump(request, self._process.stdin)
        self._process.stdin.flush()

    def answered(self) -> bool:
        """Whether the answer is there."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def finish(self) -> Any:
        """Wait for the answer."""
        assert self._process.stdout is not None
        return pickle.load(self._process.stdout)

    def level(self, level: str) -> str:
        """Open a sandbox at a level, once; return why there is none, or ""."""
        if level not in self.levels:
            answer = self.ask("open", level)
            self.levels[level] = answer if isinstance(answer, str) else ""
        return self.levels[level]

    def run(self, level: str, *programs: Program) -> list[Outcome]:
        """Run programs one after the other by one worker."""
        outcomes: list[Outcome] = self.ask("run", level, list(programs))
        return outcomes

    def outside(self, code: str) -> tuple[int, str, str]:
        """Run a program with no sandbox around it; return exit code and outputs."""
        answer: tuple[int, str, str] = self.ask("outside", code)
        return answer

    def close(self) -> None:
        """End the process; take the ground down."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self.ground.close()
        shutil.rmtree(self._folder)


def python_for(uid: int) -> str:
    """Return a Python that the user can start."""
    again = "import os, sys; os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    recent = "import sys; sys.exit(sys.version_info < (3, 11))"
    for python in (sys.executable, "/usr/bin/python3"):
        with contextlib.suppress(OSError):
            probe = [python, "-c", again, recent]
            if (
                subprocess.run(
                    probe, check=False, capture_output=True, cwd="/", **identity(uid)
                ).returncode
                == 0
            ):
                return python
    pytest.skip("no Python 3.11 that another user can start")


def make_user(name: str) -> Iterator[User]:
    """Yield the user; skip the test by name where there is none."""
    if name == "root" and os.getuid() != 0:
        pytest.skip("root: these tests do not run as root")
    user = User(name)
    try:
        yield user
    finally:
        user.close()
