"""Wrong programs that want to be judged right, or not at all: none is, as any user, at any level."""

from __future__ import annotations

import textwrap
from dataclasses import replace

import pytest
from forgeries import (
    CALLED,
    CHANNEL,
    FORGERIES,
    FOUND,
    MARKED,
    MARKERS,
    NAMED,
    READS,
    RIGHT,
    SCAN,
    SECRET,
    SQUARES,
    Forgery,
)
from place import User
from snakeval.sandbox import (
    Alone,
    Case,
    Check,
    InputOutput,
    Limits,
    Program,
    TimeLimit,
    Together,
    UnitTests,
)

LIMITS = Limits(512, TimeLimit(floor_s=2.0))
HURRY = Limits(512, TimeLimit(floor_s=0.5))
HONEST = Program(RIGHT[SQUARES], Check(SQUARES, "f"), LIMITS)


def limits(forgery: Forgery) -> Limits:
    return HURRY if "timeout" in forgery.verdicts else LIMITS


@pytest.mark.parametrize("forgery", [pytest.param(f, id=f.name) for f in FORGERIES])
def test_a_forgery_fails(user: User, level: str, forgery: Forgery) -> None:
    programs = [
        Program(code, Check(forgery.tests, "f"), limits(forgery))
        for code in (*forgery.before, forgery.code)
    ]
    *_, outcome, honest = user.run(level, *programs, HONEST)
    assert outcome.verdict not in ("passed", "judge_failed"), outcome
    assert not forgery.verdicts or outcome.verdict in forgery.verdicts, outcome
    assert FOUND not in outcome.stdout, outcome.stdout
    assert outcome.guarantee == "apart"
    assert honest.verdict == "passed", honest


@pytest.mark.parametrize("tests", [pytest.param(t, id=str(n)) for n, t in enumerate(RIGHT)])
def test_the_tests_that_forgeries_want_to_pass_can_be_passed(
    user: User, level: str, tests: str
) -> None:
    [outcome] = user.run(level, Program(RIGHT[tests], Check(tests, "f"), LIMITS))
    assert outcome.verdict == "passed", outcome


@pytest.mark.parametrize("forgery", [pytest.param(f, id=f.name) for f in FORGERIES if f.fools])
def test_the_same_forgery_fools_a_judge_in_the_same_process(user: User, forgery: Forgery) -> None:
    """Else the tests above would prove nothing."""
    code, stdout, stderr = user.outside(f"{forgery.code}\n{forgery.tests}\ncheck(f)\n")
    assert code == 0, (stdout, stderr)


@pytest.mark.parametrize("name", ["read its own memory", "read the caller's frames"])
def test_the_same_search_finds_tests_in_the_same_process(user: User, level: str, name: str) -> None:
    """What is not found apart is found together, by the same means."""
    [code] = [forgery.code for forgery in READS if forgery.name == name]
    [outcome] = user.run(level, Program(code, Together(MARKED, "f"), LIMITS))
    assert FOUND in outcome.stdout, outcome
    assert outcome.guarantee == "together"


def test_a_program_sees_only_the_channel(user: User, level: str) -> None:
    code = """
import os
def f(x):
    for n in range(256):
        try:
            os.fstat(n)
        except OSError:
            continue
        print(n)
    return x * x
"""
    [outcome] = user.run(level, Program(code, Check(SQUARES, "f"), LIMITS))
    assert outcome.verdict == "passed"
    assert outcome.stdout.split() == ["0", "1", "2", "4"] * 2


def test_a_large_answer_is_not_paid_by_the_next_ones(user: User, level: str) -> None:
    large = "def f(x):\n    return '\\U0001f600' + 'x' * (31 << 20)\n"
    hungry = f"x = bytes(200 << 20)\n{SQUARES}"
    patient = replace(LIMITS, time=TimeLimit(floor_s=60))
    outcomes = user.run(
        level,
        *[Program(large, Check(SQUARES, "f"), patient)] * 5,
        Program(RIGHT[SQUARES], Check(hungry, "f"), patient),
    )
    assert [outcome.verdict for outcome in outcomes] == ["wrong_answer"] * 5 + ["passed"]


def test_tests_that_took_long_are_not_paid_by_the_next_ones(user: User, level: str) -> None:
    """One process runs the tests of several programs; its processor time is limited."""
    slow = (
        "import time\n"
        "def check(candidate):\n"
        "    over = time.process_time() + 2.5\n"
        "    while time.process_time() < over: pass\n"
        "    assert candidate(2) == 4\n"
    )
    short, long = Limits(512, TimeLimit(floor_s=0.01)), Limits(512, TimeLimit(floor_s=60))
    first = Program(RIGHT[SQUARES], Check(SQUARES, "f"), short)
    later = Program(RIGHT[SQUARES], Check(slow, "f"), long)
    assert user.run(level, first, later)[-1].verdict == "passed"


# --- other kinds of tests -----------------------------------------------------------------------------------

UNIT = """
import unittest
class TestCases(unittest.TestCase):
    def test_it(self):
        self.assertEqual(f(2), 4)
"""
WRITES = """
import os
for n in range({first}, 256):
    try:
        os.write(n, {text!r}.encode() + b'\\n')
    except OSError:
        pass
os._exit({code})
"""
FORGED = MARKERS[0][:-1] + ', "token": ""}'
EXITS = {
    "os._exit": "import os\nos._exit(0)",
    "os._exit at a call": "import os\ndef f(x):\n    os._exit(0)",
    "sys.exit": "import sys\nsys.exit(0)",
    "sys.exit at a call": "import sys\ndef f(x):\n    sys.exit(0)",
    "os._exit at the end": "import atexit, os\natexit.register(os._exit, 0)\ndef f(x):\n    return 5",
    "print markers": f"print({MARKERS!r}, sep='\\n')\ndef f(x):\n    return 5",
    "write a verdict to every descriptor": WRITES.format(first=0, text=MARKERS[0], code=0),
    "write a verdict with a wrong token": WRITES.format(first=3, text=FORGED, code=0),
    "close everything": "import os\nos.closerange(0, 256)\ndef f(x):\n    return 5",
    "skip": "import unittest\ndef f(x):\n    raise unittest.SkipTest('x')",
    "an interrupt": "def f(x):\n    raise KeyboardInterrupt",
    "a wrong answer": "def f(x):\n    return 5",
}
KINDS: dict[str, Together | UnitTests | InputOutput] = {
    "together": Together(SQUARES, "f"),
    "unit tests": UnitTests(UNIT, "f"),
    "input and output": InputOutput((Case("2\n", ("4",)),)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trick", EXITS)
def test_an_end_is_no_pass(user: User, level: str, kind: str, trick: str) -> None:
    [outcome] = user.run(level, Program(EXITS[trick], KINDS[kind], LIMITS))
    assert outcome.verdict not in ("passed", "judge_failed"), outcome
    assert outcome.guarantee == ("apart" if kind == "input and output" else "together")


@pytest.mark.parametrize("kind", KINDS)
def test_these_kinds_can_be_passed(user: User, level: str, kind: str) -> None:
    code = "print(int(input()) ** 2)" if kind == "input and output" else RIGHT[SQUARES]
    [outcome] = user.run(level, Program(code, KINDS[kind], LIMITS))
    assert outcome.verdict == "passed", outcome


def test_a_program_of_inputs_knows_no_outputs(user: User, level: str) -> None:
    code = f"{SCAN}\nscan()\nprint(5)"
    tests = InputOutput((Case("2\n", (f"only {SECRET} knows",)),))
    outcomes = user.run(level, *[Program(code, tests, LIMITS)] * 2)
    assert [(o.verdict, FOUND in o.stdout) for o in outcomes] == [("wrong_answer", False)] * 2


def test_a_program_alone_has_ended_as_it_has_ended(user: User, level: str) -> None:
    codes = [
        "print('passed')\nraise SystemExit(1)",
        WRITES.format(first=0, text=MARKERS[0], code=3),
    ]
    outcomes = user.run(level, *[Program(code, Alone(), LIMITS) for code in codes])
    assert [outcome.verdict for outcome in outcomes] == ["exception"] * 2


def test_there_are_enough() -> None:
    assert len({forgery.name for forgery in FORGERIES}) == len(FORGERIES) >= 60
    assert len(CHANNEL) >= 30


def test_every_forgery_has_tests_that_can_be_passed() -> None:
    passable = {textwrap.dedent(tests).strip("\n") for tests in (*RIGHT, CALLED, NAMED)}
    assert {forgery.tests for forgery in FORGERIES} <= passable
