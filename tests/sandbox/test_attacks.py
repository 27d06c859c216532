"""What programs try against the machine: nothing succeeds in the sandbox, and does succeed outside of it.

Each attack is a test of its own, as root and as an ordinary user, at each level.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from attacks import ATTACKS, PRELUDE, Attack
from place import User
from snakeval.sandbox import Alone, Check, Limits, Program, TimeLimit, UnitTests

SECONDS = 0.3
LONGER = 3.0  # for what must not be ended by its time limit, on a busy machine
LATE_S = 20.0  # beyond its limit, in which an outcome must be there, on a busy machine too
RIGHT = Program(
    "def f(x):\n    return x + 1\n", Check("def check(f):\n    assert f(1) == 2\n", "f")
)
TESTS = "import unittest\nclass Test(unittest.TestCase):\n    def test(self):\n        pass\n"


def program(user: User, attack: Attack, processes: bool, port: int = 0) -> Program:
    names = "".join(f"{name} = {value!r}\n" for name, value in user.ground.names().items())
    code = f"{names}LISTEN = {port}\n{PRELUDE}{attack.code}\n"
    limits = Limits(attack.memory_mb, TimeLimit(floor_s=SECONDS if attack.timeout else LONGER))
    if processes:
        return Program(f"{code}\ndef f(x):\n    pass\n", UnitTests(TESTS, "f"), limits)
    return Program(code, Alone(), limits)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def connect(port: int, user: User) -> None:
    """Try to connect to a port of this machine for as long as the attack runs."""
    while not user.answered():
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
        except OSError:
            time.sleep(0.02)
        else:
            return


VARIANTS = [
    pytest.param(attack, processes, id=f"{attack.name}{' (may start processes)' * processes}")
    for attack in ATTACKS
    for processes in (False, True)
    if (not processes and not attack.only_processes)
    or (processes and (attack.processes or attack.only_processes))
]


@pytest.mark.parametrize(("attack", "processes"), VARIANTS)
def test_an_attack_fails(user: User, level: str, attack: Attack, processes: bool) -> None:
    for place in (level, f"{user.name} {level}"):
        if place in attack.weaker:
            pytest.skip(f"{attack.name}, as {user.name}, level {level}: {attack.weaker[place]}")
    user.ground.marks("")
    port = free_port() if attack.during else 0
    user.begin("run", level, [program(user, attack, processes, port), RIGHT])
    if attack.during:
        connect(port, user)
    outcome, next_one = user.finish()
    assert user.ground.marks(outcome.stdout + outcome.stderr) == []
    assert outcome.verdict != "judge_failed", outcome
    if attack.timeout:
        assert outcome.verdict in ("timeout", "exception", "memory"), outcome
    assert outcome.seconds < (SECONDS if attack.timeout else LONGER) + LATE_S
    folder = Path(outcome.stdout.splitlines()[0].removeprefix("FOLDER "))
    assert level == "namespaces" or not folder.exists()
    assert max(len(outcome.stdout), len(outcome.stderr)) <= Limits().output_bytes
    assert next_one.verdict == "passed", next_one


@pytest.mark.parametrize("attack", [pytest.param(a, id=a.name) for a in ATTACKS if not a.control])
def test_the_same_attack_succeeds_outside(user: User, attack: Attack) -> None:
    """Else the tests above would prove nothing."""
    if attack.needs_root and user.name != "root":
        pytest.skip(f"{attack.name}: outside, too, only root succeeds")
    user.ground.marks("")
    port = free_port() if attack.during else 0
    found = program(user, attack, False, port)
    user.begin("outside", found.code)
    if attack.during:
        connect(port, user)
    code, stdout, stderr = user.finish()
    deadline = time.monotonic() + LONGER  # a killed process may take a moment to die
    while not (marks := user.ground.marks(stdout + stderr, 0)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert marks != [], (code, stdout, stderr[-1000:])


def test_there_are_at_least_sixty() -> None:
    assert len({attack.name for attack in ATTACKS}) >= 60
