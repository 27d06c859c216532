"""The pool of workers, its verdicts, and the values that cross between program and tests.

What programs try against it is in tests/sandbox.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
import zoneinfo
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snakeval.errors import SandboxError
from snakeval.sandbox import (
    VERDICTS,
    Alone,
    Case,
    Check,
    InputOutput,
    Limits,
    Outcome,
    Program,
    Sandbox,
    TimeLimit,
    Together,
    UnitTests,
    pool,
)
from snakeval.sandbox.inside import wire

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
RIGHT = "def f(x):\n    return x + 1\n"
TESTS = "def check(candidate):\n    assert candidate(1) == 2\n"
UNIT = "import unittest\nclass Tests(unittest.TestCase):\n    def test(self):\n        self.assertEqual(f(1), 2)\n"
SLEEP = "import time\ndef f(x):\n    time.sleep({})\n    return x + 1\n"


def limits(seconds: float = 2.0, factor: float = 10.0, ceiling_s: float = 60.0) -> Limits:
    return Limits(512, TimeLimit(seconds, factor, ceiling_s))


def checked(code: str, tests: str = TESTS, seconds: float = 2.0, prelude: str = "") -> Program:
    return Program(code, Check(tests, "f", prelude), limits(seconds))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=2) as sandbox:
        yield sandbox


@pytest.fixture(scope="module", params=["namespaces", "landlock", "none"])
def any_level(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    try:
        sandbox = Sandbox(allow_unsafe=True, workers=1, level=request.param)
    except SandboxError as error:
        pytest.skip(f"level {request.param}: {error}")
    with sandbox:
        yield sandbox


def one(sandbox: Sandbox, program: Program) -> Outcome:
    [outcome] = sandbox.run([program])
    return outcome


# --- verdicts -----------------------------------------------------------------------------------------------

CASES: dict[str, tuple[Program, str, str]] = {
    "right": (checked(RIGHT), "passed", ""),
    "wrong": (
        checked("def f(x):\n    return x\n"),
        "wrong_answer",
        "AssertionError; the last call: (1) returned 1",
    ),
    "raises": (
        checked("def f(x):\n    return {}[x]\n"),
        "exception",
        "KeyError: 1; the last call: (1) raised KeyError(1)",
    ),
    "raises at import": (checked("1 / 0\n" + RIGHT), "exception", "ZeroDivisionError: "),
    "module missing": (checked("import nothing_like_it\n"), "exception", "ModuleNotFoundError: "),
    "late": (checked(SLEEP.format(100), seconds=0.2), "timeout", "not done after 0.2 s"),
    "late at import": (checked("while True: pass", seconds=0.2), "timeout", "not done after 0.2 s"),
    "memory": (checked("def f(x):\n    return bytearray(10**10)\n"), "memory", "MemoryError"),
    "memory in pieces": (
        checked("def f(x):\n    return [[0] * 10**6 for _ in range(10**6)]\n"),
        "memory",
        "MemoryError",
    ),
    "syntax": (checked("def f(x) return 2"), "syntax", "SyntaxError: expected ':'"),
    "syntax at the end": (checked("return 2"), "syntax", "'return' outside function"),
    "zero byte": (checked("\0"), "syntax", "null bytes"),
    "missing": (checked("def g(x): pass"), "entry_point_missing", "defines no function f"),
    "no function": (checked("f = 3"), "entry_point_missing", "defines no function f"),
    "tests with a name missing": (
        checked(RIGHT, "def check(c):\n    assert c(1) == nothing\n"),
        "judge_failed",
        "name 'nothing' is not defined",
    ),
    "tests that do not compile": (checked(RIGHT, "def check("), "judge_failed", "SyntaxError"),
    "tests without check": (checked(RIGHT, "x = 1"), "judge_failed", "KeyError: 'check'"),
    "tests that hand over a function": (
        checked(RIGHT, "def check(c):\n    c(lambda: 1)\n"),
        "judge_failed",
        "the tests hand over an object of type function",
    ),
    "tests that import what is missing": (
        checked(RIGHT, "import nothing_like_it\n" + TESTS),
        "judge_failed",
        "ModuleNotFoundError",
    ),
    "tests that exit": (
        checked(RIGHT, "def check(c):\n    raise SystemExit(0)\n"),
        "judge_failed",
        "SystemExit",
    ),
    "tests that fail otherwise": (
        checked("def f(x):\n    return []\n", "def check(c):\n    assert c(1)[0] == 2\n"),
        "wrong_answer",
        "the tests ended with IndexError",
    ),
    "nothing plain returned": (
        checked("def f(x):\n    return f\n"),
        "wrong_answer",
        "an object of type function, which is no plain value",
    ),
    "reads its input": (checked("input()\n" + RIGHT), "exception", "EOFError"),
    "recursion": (checked("def f(x):\n    return f(x)\n"), "exception", "RecursionError"),
    "together, right": (Program(RIGHT, Together(TESTS, "f"), limits()), "passed", ""),
    "together, wrong": (
        Program("def f(x):\n    return x\n", Together(TESTS, "f"), limits()),
        "wrong_answer",
        "AssertionError",
    ),
    "together, objects": (
        Program(
            "class A:\n    pass\ndef f(x):\n    return A\n",
            Together("def check(c):\n    assert isinstance(c(1)(), A)\n", "f"),
            limits(),
        ),
        "passed",
        "",
    ),
    "together, raises": (
        Program("def f(x):\n    1 / 0\n", Together(TESTS, "f"), limits()),
        "exception",
        "ZeroDivisionError",
    ),
    "unit tests, right": (Program(RIGHT, UnitTests(UNIT, "f"), limits()), "passed", ""),
    "unit tests, wrong": (
        Program("def f(x):\n    return x\n", UnitTests(UNIT, "f"), limits()),
        "wrong_answer",
        "AssertionError: 1 != 2",
    ),
    "unit tests, raises": (
        Program("def f(x):\n    1 / 0\n", UnitTests(UNIT, "f"), limits()),
        "exception",
        "ZeroDivisionError",
    ),
    "unit tests, library missing": (
        Program(RIGHT, UnitTests(UNIT, "f", ("nothing_like_it",)), limits()),
        "judge_failed",
        "library missing here: nothing_like_it",
    ),
    "unit tests, none": (
        Program(RIGHT, UnitTests("x = 1", "f"), limits()),
        "judge_failed",
        "no unittest case",
    ),
    "output, right": (
        Program("print(int(input()) + 1)", InputOutput((Case("1\n", ("2",)),)), limits()),
        "passed",
        "",
    ),
    "output, one of several": (
        Program("print(input())", InputOutput((Case("b\n", ("a", "b")),)), limits()),
        "passed",
        "",
    ),
    "output, wrong": (
        Program("print(2)", InputOutput((Case("", ("2",)), Case("", ("3",)))), limits()),
        "wrong_answer",
        "test 2 of 2: line 1 is '2', expected '3'",
    ),
    "output, raises": (
        Program("print(2)\n1 / 0", InputOutput((Case("", ("2",)),)), limits()),
        "exception",
        "test 1 of 1: ZeroDivisionError: division by zero",
    ),
    "output, memory": (
        Program("x = bytearray(10**10)", InputOutput((Case("", ("2",)),)), limits()),
        "memory",
        "test 1 of 1: MemoryError",
    ),
    "output, late": (
        Program("while True: pass", InputOutput((Case("", ("2",)),)), limits(0.2)),
        "timeout",
        "test 1 of 1: not done after 0.2 s",
    ),
    "output, far too much": (
        Program("while True: print('x' * 1000)", InputOutput((Case("", ("2",)),)), limits()),
        "wrong_answer",
        "far more output than any right answer has",
    ),
    "output, syntax": (
        Program("print(", InputOutput((Case("", ("2",)),)), limits()),
        "syntax",
        "SyntaxError",
    ),
    "alone": (Program("print(input())", Alone("x\n"), limits()), "passed", ""),
    "alone, exits": (Program("exit(3)", Alone(), limits()), "exception", "exit code 3"),
    "alone, raises": (
        Program("1 / 0", Alone(), limits()),
        "exception",
        "ZeroDivisionError: division by zero",
    ),
    "alone, late": (
        Program("while True: pass", Alone(), limits(0.2)),
        "timeout",
        "not done after 0.2 s",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_verdict(any_level: Sandbox, name: str) -> None:
    program, verdict, words = CASES[name]
    outcome = one(any_level, program)
    assert (outcome.verdict, words in outcome.message) == (verdict, True), outcome
    assert (outcome.message == "") == (verdict == "passed")
    apart = isinstance(program.test, Check | InputOutput)
    together = isinstance(program.test, Together | UnitTests)
    assert outcome.guarantee == ("apart" if apart else "together" if together else None)
    assert outcome.seconds < 10
    assert outcome.limit_s == program.limits.time.floor_s


def test_every_verdict_is_shown_above() -> None:
    assert {verdict for _, verdict, _ in CASES.values()} == set(VERDICTS)


def test_texts_are_bounded_and_may_be_anything(sandbox: Sandbox) -> None:
    long = one(sandbox, checked("def f(x):\n    raise ValueError('x' * 10**6)\n"))
    assert (long.verdict, len(long.message), len(long.traceback)) == ("exception", 2000, 2000)
    odd = one(sandbox, checked("def f(x):\n    raise ValueError('\\ud800\\0\\x1b')\n"))
    assert odd.message.startswith("ValueError: \ud800\0\x1b")
    mute = "class E(Exception):\n    def __str__(self):\n        1 / 0\ndef f(x):\n    raise E\n"
    assert "E: (its text cannot be had: ZeroDivisionError)" in one(sandbox, checked(mute)).message


def test_a_long_call_is_cut(sandbox: Sandbox) -> None:
    tests = "def check(c):\n    assert c(list(range(10**5))) == 'x' * 10**5\n"
    outcome = one(sandbox, checked("def f(x):\n    return 'y' * 10**6\n", tests))
    assert outcome.verdict == "wrong_answer"
    assert len(outcome.message) < 800
    huge = one(sandbox, checked("def f(x):\n    return 10**5000\n"))
    assert "returned (int: " in huge.message


def test_tracebacks_show_the_lines_and_no_path_of_ours(any_level: Sandbox) -> None:
    for outcome in any_level.run(
        [
            checked("def f(x):\n    return None + x\n"),
            Program("def f(x):\n    return None + x\n", Together(TESTS, "f"), limits()),
            Program("def f(x):\n    return None + x\nf(1)", Alone(), limits()),
        ]
    ):
        assert "    return None + x\n" in outcome.traceback
        assert outcome.traceback.splitlines()[-1].startswith("TypeError: unsupported operand")
        assert str(SCRIPTS) not in outcome.traceback
        assert "inside" not in outcome.traceback


def test_output_is_kept_and_bounded(any_level: Sandbox) -> None:
    code = "import sys\nprint('a')\nprint('b', file=sys.stderr)\n" + RIGHT
    outcome = one(any_level, checked(code))
    assert (outcome.stdout, outcome.stderr) == ("a\n", "b\n")
    loud = Program("print('x' * 10**7)\n" + RIGHT, Check(TESTS, "f"), Limits(output_bytes=1000))
    outcome = one(any_level, loud)
    assert (outcome.verdict, outcome.stdout) == ("passed", "x" * 1000)
    broken = one(any_level, Program("import os\nos.write(1, b'\\xff')", Alone(), limits()))
    assert broken.stdout == "\ufffd"


def test_equal_runs_say_the_same() -> None:
    codes = [
        "class A:\n    pass\ndef f(x):\n    raise ValueError(repr(A()), repr(f))\n",
        "def f(x):\n    raise ValueError({'a', 'b', 'c', 'd'}, hash('a'))\n",
        "import random\ndef f(x):\n    raise ValueError(random.random())\n",
        "import os\ndef f(x):\n    raise ValueError(os.getcwd())\n",
        "def f(x):\n    return f(x)\n",
    ]
    said = []
    for _ in range(2):
        with Sandbox(workers=1) as sandbox:
            outcomes = sandbox.run([checked(code) for code in codes])
        said.append([(o.verdict, o.message, o.traceback) for o in outcomes])
    assert said[0] == said[1]
    assert "0x…" in said[0][0][1]


def test_resources_are_told(sandbox: Sandbox) -> None:
    code = "import time\nx = bytes([1]) * (200 << 20)\ntime.sleep(0.2)\n" + RIGHT
    outcome = one(sandbox, checked(code))
    assert outcome.verdict == "passed"
    assert outcome.max_rss_bytes is not None
    assert 200 << 20 < outcome.max_rss_bytes < 400 << 20
    assert 0.2 < outcome.seconds < 2
    assert outcome.slowest_s == outcome.seconds


def test_memory_is_a_limit_of_each_program(sandbox: Sandbox) -> None:
    code = "x = bytearray(300 << 20)\n" + RIGHT
    small, large = (
        Program(code, Check(TESTS, "f"), Limits(memory_mb=megabytes)) for megabytes in (256, 1024)
    )
    verdicts = [outcome.verdict for outcome in sandbox.run([small, large, small, large])]
    assert verdicts == ["memory", "passed"] * 2


def test_tests_leave_nothing_for_the_tests_of_the_next_program() -> None:
    """One process runs the tests of several programs."""
    spoils = (
        "import builtins, os, random, sys\nbuiltins.abs = lambda x: 0\nos.environ['A'] = 'x'\n"
        "sys.setrecursionlimit(100)\nrandom.seed(7)\nleft = 1\n" + TESTS
    )
    asks = (
        "import os, random, sys\ndef check(c):\n    assert abs(-1) == 1 and 'A' not in os.environ\n"
        "    assert sys.getrecursionlimit() >= 1000 and 'left' not in globals()\n"
        "    assert c(random.random()) == {}\n"
    )
    with Sandbox(workers=1) as sandbox:
        first = one(sandbox, checked("def f(x):\n    return x\n", asks.format(-1)))
        drawn = first.message.rpartition(" returned ")[2]
        asks = asks.format(drawn)
        outcomes = sandbox.run([checked(RIGHT, spoils), checked("def f(x):\n    return x\n", asks)])
    assert [outcome.verdict for outcome in outcomes] == ["passed", "passed"], outcomes


def test_the_prelude_is_for_the_tests(sandbox: Sandbox) -> None:
    prelude = "import math\ndef helper(x):\n    return x + 1\ndef f(x):\n    raise ValueError\n"
    tests = "def check(c):\n    assert c(1) == f(1) == helper(1) == math.sqrt(4)\n"
    assert one(sandbox, checked(RIGHT, tests, prelude=prelude)).verdict == "passed"


# --- the pool -----------------------------------------------------------------------------------------------


def test_order_is_kept_and_nothing_is_lost(sandbox: Sandbox) -> None:
    ends = [RIGHT, "import os\nos._exit(1)\n", "", "raise ValueError\n"]
    programs = [checked(f"print({n}, flush=True)\n{ends[n % 4]}") for n in range(200)]
    outcomes = sandbox.run(programs)
    verdicts = [outcome.verdict for outcome in outcomes]
    assert verdicts == ["passed", "exception", "entry_point_missing", "exception"] * 50
    assert [outcome.stdout for outcome in outcomes] == [f"{n}\n" for n in range(200)]
    assert sandbox.run([]) == []


def test_programs_are_taken_one_by_one(sandbox: Sandbox) -> None:
    ahead: list[int] = []
    ended = 0

    def programs() -> Iterator[Program]:
        for number in range(50):
            ahead.append(number - ended)
            yield checked(RIGHT)

    run = pool._judged

    def counted(*arguments: Any) -> Outcome:
        nonlocal ended
        outcome = run(*arguments)
        ended += 1
        return outcome

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "_judged", counted)
        assert len(sandbox.run(programs())) == 50
    assert max(ahead) <= 2


def test_a_broken_source_of_programs_ends_the_run() -> None:
    def programs() -> Iterator[Program]:
        yield checked(RIGHT)
        raise OSError("disk")

    with Sandbox(workers=2) as sandbox:
        with pytest.raises(OSError, match="disk"):
            sandbox.run(programs())
        assert [o.verdict for o in sandbox.run([checked(RIGHT)])] == ["passed"]


def test_a_worker_that_is_killed_is_started_anew() -> None:
    with Sandbox(workers=1) as sandbox:
        process = sandbox._workers[0]._process
        assert process is not None
        killer = threading.Timer(0.3, process.kill)
        killer.start()
        outcome = one(sandbox, checked(SLEEP.format(0.8)))
        killer.join()
        assert outcome.verdict == "passed"
        again = sandbox._workers[0]._process
        assert again is not None
        assert again.pid != process.pid


def test_a_worker_that_is_killed_again_and_again_is_a_failed_judge() -> None:
    with Sandbox(workers=1) as sandbox:
        over = threading.Event()

        def kill() -> None:
            while not over.wait(0.05):
                if (process := sandbox._workers[0]._process) is not None:
                    process.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        outcome = one(sandbox, checked(SLEEP.format(3), seconds=5))
        over.set()
        killer.join()
        assert outcome.verdict == "judge_failed"
        assert "the sandbox ended under the program" in outcome.message
        assert one(sandbox, checked(RIGHT)).verdict == "passed"


def faked(
    monkeypatch: pytest.MonkeyPatch, answers: Callable[[Program, float, int], Outcome]
) -> list[tuple[str, float]]:
    """Have `answers(program, limit, times asked)` judge; return what was asked, in order."""
    asked: list[tuple[str, float]] = []

    def judged(worker: Any, program: Program, limit_s: float) -> Outcome:
        asked.append((program.code, limit_s))
        times = [code for code, _ in asked].count(program.code)
        return answers(program, limit_s, times)

    monkeypatch.setattr(pool, "_judged", judged)
    return asked


def test_a_timeout_counts_only_when_it_happens_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = faked(monkeypatch, lambda p, s, times: Outcome("timeout" if times == 1 else "passed"))
    with Sandbox(workers=1) as sandbox:
        outcomes = sandbox.run([checked("a"), checked("b")])
    assert [code for code, _ in asked] == ["a", "b", "a", "b"]
    assert [outcome.verdict for outcome in outcomes] == ["passed", "passed"]


def test_late_ones_run_alone(sandbox: Sandbox) -> None:
    """One that is late only because of the others is not late alone."""
    busy: list[int] = []
    run = pool._judged
    running = 0

    def counted(*arguments: Any) -> Outcome:
        nonlocal running
        running += 1
        busy.append(running)
        try:
            return run(*arguments)
        finally:
            running -= 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "_judged", counted)
        outcomes = sandbox.run([checked(SLEEP.format(9), seconds=0.2) for _ in range(4)])
    assert [outcome.verdict for outcome in outcomes] == ["timeout"] * 4
    assert len(busy) == 8
    assert max(busy[:4]) == 2
    assert max(busy[4:]) == 1


@pytest.mark.parametrize(
    ("reference_s", "limit_s"),
    [(0.01, 1.0), (0.3, 3.0), (100.0, 20.0)],
    ids=["floor", "factor", "ceiling"],
)
def test_the_time_limit_is_set_by_the_reference(
    monkeypatch: pytest.MonkeyPatch, reference_s: float, limit_s: float
) -> None:
    def answers(program: Program, limit: float, times: int) -> Outcome:
        if program.code == "reference":
            return Outcome("passed", slowest_s=reference_s)
        return Outcome("timeout", limit_s=limit)

    asked = faked(monkeypatch, answers)
    test, bounds = Check(TESTS, "f"), limits(1.0, 10.0, 20.0)
    programs = [Program(code, test, bounds, reference="reference") for code in ("a", "b")]
    with Sandbox(workers=1) as sandbox:
        outcomes = sandbox.run(programs)
    # The reference is run once for both, with all the time that there is.
    late = [("reference", 20.0), ("a", limit_s), ("b", limit_s)]
    assert asked == [("a", 1.0), ("b", 1.0), *late]
    assert [outcome.limit_s for outcome in outcomes] == [limit_s, limit_s]


def test_a_reference_that_fails_sets_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = faked(monkeypatch, lambda p, s, times: Outcome("timeout", slowest_s=20.0))
    program = Program("a", Check(TESTS, "f"), limits(1.0, 10.0, 20.0), reference="reference")
    with Sandbox(workers=1) as sandbox:
        sandbox.run([program])
    assert asked == [("a", 1.0), ("reference", 20.0), ("a", 1.0)]


@pytest.mark.parametrize("kind", ["check", "output"])
def test_a_slow_problem_gets_the_time_that_it_needs(sandbox: Sandbox, kind: str) -> None:
    test: Check | InputOutput = Check(TESTS, "f")
    slow, slower, stuck = (SLEEP.format(seconds) for seconds in (0.3, 0.6, 9))
    if kind == "output":
        test = InputOutput((Case("", ("2",)), Case("", ("2",))))
        slow, slower, stuck = (code + "print(f(1))\n" for code in (slow, slower, stuck))
    bounds = limits(0.2, 4.0, 30.0)
    outcomes = sandbox.run(
        [Program(code, test, bounds, reference=slow) for code in (slower, stuck, slow)]
    )
    assert [outcome.verdict for outcome in outcomes] == ["passed", "timeout", "passed"], outcomes
    for outcome in outcomes:
        assert outcome.limit_s is not None
        assert 1.2 <= outcome.limit_s < 3


def test_unit_tests_that_the_reference_fails_are_not_judged(sandbox: Sandbox) -> None:
    bad = Program(RIGHT, UnitTests(UNIT, "f"), limits(), reference="def f(x):\n    return 0\n")
    good = Program("def f(x):\n    return 0\n", UnitTests(UNIT, "f"), limits(), reference=RIGHT)
    outcomes = sandbox.run([bad, good])
    assert [outcome.verdict for outcome in outcomes] == ["judge_failed", "wrong_answer"]
    assert "the reference itself fails here: " in outcomes[0].message


# --- levels -------------------------------------------------------------------------------------------------


def test_the_strongest_level_is_taken_and_told(sandbox: Sandbox) -> None:
    assert sandbox.level == "namespaces"
    assert sandbox.layers[:6] == ["user", "mount", "pid", "net", "ipc", "uts"]
    assert sandbox.layers[-2:] == ["seccomp", "rlimits"]


@pytest.mark.parametrize("level", [None, "namespaces", "landlock", "none"])
def test_without_a_safe_level_nothing_runs(
    monkeypatch: pytest.MonkeyPatch, level: str | None
) -> None:
    def start(worker: Any) -> None:
        raise pool._Refused("unshare: Operation not permitted\nsecond line")

    monkeypatch.setattr(pool._Worker, "start", start)
    with pytest.raises(SandboxError) as caught:
        Sandbox(level=level)
    text = str(caught.value)
    assert "\n" not in text
    assert "user.max_user_namespaces" in text
    assert "sandbox: {unsafe_no_isolation: true}" in text
    assert ("unshare: Operation not permitted" in text) == (level != "none")


def test_no_isolation_is_taken_only_where_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    start = pool._Worker.start

    def refused(worker: pool._Worker) -> None:
        if worker._order["level"] != "none":
            raise pool._Refused("not here")
        start(worker)

    monkeypatch.setattr(pool._Worker, "start", refused)
    with pytest.raises(SandboxError):
        Sandbox()
    with Sandbox(allow_unsafe=True, workers=1) as sandbox:
        assert (sandbox.level, sandbox.layers) == ("none", ["rlimits"])
        assert one(sandbox, checked(RIGHT)).verdict == "passed"


DRIVER = """
import json, os, sys
from snakeval.errors import SandboxError
from snakeval.sandbox import Alone, Check, Limits, Program, Sandbox, TimeLimit
tests = "def check(f):\\n    assert f(1) == 2\\n"
try:
    with Sandbox(workers=2, level=sys.argv[1] or None) as sandbox:
        limits = Limits(512, TimeLimit(100))
        test = Check(tests, "f") if sys.argv[2].startswith("def") else Alone()
        outcomes = sandbox.run([Program(sys.argv[2], test, limits)])
        print(json.dumps([os.getuid(), sandbox.level, outcomes[0].verdict]))
except SandboxError as error:
    print(json.dumps(str(error)))
"""


def drive(*command: str, level: str = "", code: str = RIGHT) -> Any:
    done = subprocess.run(
        [*command, sys.executable, "-B", "-c", DRIVER, level, code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


TRACES = {
    "a file": "open('/tmp/x', 'w').write('x')",
    "a folder": "os.mkdir('/tmp/x')",
    "a link": "os.symlink('x', '/tmp/x')",
    "a removed file": "open('/tmp/x', 'w').close(); os.remove('/tmp/x')",
    "its mode": "os.chmod('/tmp', 0o755)",
    "its times": "os.utime('/tmp', (7, 7))",
    "a full folder": "open('/tmp/x', 'wb').write(bytes(40 << 20))",
}
LOOK = """
import os
seen = os.stat("/tmp")
print(oct(seen.st_mode), seen.st_nlink, os.listdir("/tmp"), os.listxattr("/tmp"))
print(seen.st_mtime_ns == seen.st_ctime_ns == seen.st_atime_ns, os.statvfs("/tmp").f_bfree)
"""


@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES)
def test_no_program_leaves_a_trace_in_the_folder_of_the_next_one(trace: str) -> None:
    look = Program(LOOK, Alone(), limits())
    with Sandbox(workers=1, level="namespaces") as sandbox:
        first, made, *then = sandbox.run(
            [look, Program(f"import os\n{trace}\n", Alone(), limits()), look, look]
        )
    assert (first.verdict, made.verdict) == ("passed", "passed"), made
    assert [outcome.stdout for outcome in then] == [first.stdout] * 2


def test_where_user_namespaces_are_off_the_next_level_is_taken() -> None:
    off = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", off, "sh"]
    error = drive(*command, level="namespaces")
    assert "unshare: No space left on device" in error
    assert "user.max_user_namespaces" in error
    with Sandbox(workers=1) as sandbox:
        if not any(layer.startswith("landlock") for layer in sandbox.layers):
            pytest.skip("this kernel has no Landlock")
    assert drive(*command) == [0, "landlock", "passed"]


def test_root_of_a_user_namespace_is_isolated_too() -> None:
    answer = drive("unshare", "--user", "--map-root-user")
    assert answer == [0, "namespaces", "passed"]


NAMED = """
import ctypes, time
ctypes.CDLL(None).prctl(15, b"{}", 0, 0, 0)
time.sleep(100)
"""


def alive(name: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text().strip() == name:
                found.append(int(folder.name))
        except OSError:  # ended meanwhile
            continue
    return found


def until(count: int, name: str) -> list[int]:
    deadline = time.monotonic() + 15
    while len(found := alive(name)) != count and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("level", ["namespaces", "landlock"])
@pytest.mark.parametrize("victim", ["scorer", "worker"])
def test_nothing_survives_a_killed_job(level: str, victim: str) -> None:
    name = f"svt{os.getpid()}{level[0]}{victim[0]}"
    scorer = subprocess.Popen(
        [sys.executable, "-B", "-c", DRIVER, level, NAMED.format(name)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": str(SCRIPTS)},
    )
    try:
        [program] = until(1, name)
        folder = Path(f"/proc/{program}/cwd").readlink()
        children = Path(f"/proc/{scorer.pid}/task/{scorer.pid}/children").read_text().split()
        if victim == "scorer":
            scorer.kill()
        else:
            scorer.send_signal(signal.SIGSTOP)  # else it starts another one
            for child in children:
                os.kill(int(child), signal.SIGKILL)
        assert until(0, name) == []
    finally:
        scorer.kill()
        scorer.wait()
    if level == "landlock":  # no process is left that could do it
        shutil.rmtree(folder, ignore_errors=True)


# --- values that cross --------------------------------------------------------------------------------------

Point = collections.namedtuple("Point", "x y")
VALUES: list[Any] = [
    None,
    True,
    -1,
    2**62,
    -(2**62),
    2**63,
    -(10**5000),
    1.5,
    -0.0,
    float("inf"),
    2 + 3j,
    "é\0\ud800😀",
    b"\0\xff",
    bytearray(b"ab"),
    (),
    (1,),
    (1, (2, [3])),
    [[], [[]]],
    {1, 2},
    frozenset({"a"}),
    {1: "a", (2, 3): [None], None: {}, 1.5: {}, "m": 1, "t": [2]},
    {"m": 0},
    range(1, 10, 3),
    slice(1, None),
    ...,
    NotImplemented,
    decimal.Decimal("1.10"),
    fractions.Fraction(1, 3),
    datetime.date(2024, 2, 29),
    datetime.datetime(2024, 2, 29, 1, 2, 3, 4, fold=1),
    datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc),  # noqa: UP017
    datetime.datetime(2024, 2, 29, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    datetime.time(1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=30))),
    datetime.timedelta(days=-1, seconds=5),
    datetime.timezone(datetime.timedelta(hours=-3)),
    uuid.UUID(int=7),
    collections.deque([1, 2], maxlen=2),
    collections.Counter("abca"),
    collections.OrderedDict([("b", 1), ("a", 2)]),
    collections.defaultdict(list, {1: [2]}),
    Point(1, [2]),
]


def crossed(value: Any) -> Any:
    return wire.Receiver().decode(json.loads(wire.dump(wire.Sender().encode(value))))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_plain_value_crosses_as_it_is(value: Any) -> None:
    copy = crossed(value)
    assert copy == value
    if type(value).__name__ == "Point":
        assert (copy.x, copy.y) == (value.x, value.y)
    else:
        assert type(copy) is type(value)
    if not isinstance(value, int | collections.defaultdict):  # a function of theirs does not cross
        assert repr(copy) == repr(value)  # the order, the sign of zero, the length of a deque


def test_not_a_number_crosses() -> None:
    assert math.isnan(crossed(float("nan")))
    assert str(crossed(decimal.Decimal("sNaN"))) == "sNaN"


def test_views_of_dictionaries_cross() -> None:
    value = {"a": 1, "b": 2}
    assert crossed(value.keys()) == value.keys()
    assert list(crossed(value.values())) == [1, 2]
    assert crossed(value.items()) == value.items()


def test_the_order_of_a_dictionary_crosses() -> None:
    value = {"b": 1, "a": 2}
    assert list(crossed(value)) == ["b", "a"]
    ordered = collections.OrderedDict(value)
    ordered.move_to_end("b")
    assert list(crossed(ordered)) == ["a", "b"]


class _Int(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__

    def __index__(self) -> int:
        return 99


class _Str(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "other"


class _List(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter([99])


class _Dict(dict[Any, Any]):
    def items(self) -> Any:
        return [(99, 99)]


@pytest.mark.parametrize(
    ("value", "plain"),
    [(_Int(5), 5), (_Str("a"), "a"), (_List([1]), [1]), (_Dict({1: 2}), {1: 2})],
    ids=["int", "str", "list", "dict"],
)
def test_a_subclass_crosses_as_what_it_holds(value: Any, plain: Any) -> None:
    copy = crossed(value)
    assert type(copy) is type(plain)
    assert copy == plain


@pytest.mark.parametrize(
    "value",
    [object(), len, lambda: 1, type, ValueError(), iter([]), (n for n in [1]), memoryview(b"")],
)
def test_what_is_not_plain_is_refused(value: Any) -> None:
    for holder in (value, [value], {1: value}, (value,)):
        with pytest.raises(wire.Unsendable):
            wire.Sender().encode(holder)


def test_what_is_too_deep_is_refused() -> None:
    value: Any = ()
    for _ in range(300):
        value = (value,)
    with pytest.raises(wire.TooDeep):
        wire.Sender().encode(value)


_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**60, max_value=2**200)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters())
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.timedeltas()
    | st.uuids(),
    lambda values: (
        st.lists(values)
        | st.lists(values).map(tuple)
        | st.lists(values).map(collections.deque)
        | st.dictionaries(st.integers() | st.text(), values)
        | st.dictionaries(st.text(), values).map(collections.OrderedDict)
        | st.sets(st.integers() | st.text())
        | st.frozensets(st.text())
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(_PLAIN)
def test_any_plain_value_crosses_as_it_is(value: Any) -> None:
    copy = crossed(value)
    assert copy == value
    assert type(copy) is type(value)


_FORMS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda forms: (
        st.lists(forms, max_size=4)
        | st.dictionaries(
            st.sampled_from([*wire.DECODERS, *wire.CONTAINERS, "t", "m", "x"]) | st.text(),
            forms,
            max_size=2,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=500, deadline=None)
@given(_FORMS)
def test_a_hostile_form_is_a_value_or_an_error(form: Any) -> None:
    """And what is a value can be handed back."""
    try:
        value = wire.Receiver().decode(form)
    except Exception:
        return
    wire.Sender().encode(value)


CALLS = {
    "changed in place": (
        "def f(x):\n    x.sort()\n    x.append(9)\n",
        "x = [2, 1]\n    assert c(x) is None and x == [1, 2, 9]",
    ),
    "changed deep inside": (
        "def f(x):\n    x['a'][0].add(3)\n    del x['b']\n",
        "x = {'a': [{1}], 'b': 2}\n    inner = x['a'][0]\n    c(x)\n"
        "    assert x == {'a': [{1, 3}]} and x['a'][0] is inner",
    ),
    "cleared": ("def f(x):\n    x.clear()\n", "x = {1: 2}\n    c(x)\n    assert x == {}"),
    "every container": (
        "def f(a, b, s, d, q):\n    a[0] = b[0] = 7\n    s.add(7)\n    d[7] = 7\n    q.append(7)\n",
        "import collections\n    a, b, s, d = [1], bytearray(b'x'), {1}, {1: 1}\n"
        "    q = collections.deque([1])\n    c(a, b, s, d, q)\n"
        "    assert (a, b, s, d, list(q)) == ([7], b'\\7', {1, 7}, {1: 1, 7: 7}, [1, 7])",
    ),
    "the result is the argument": ("def f(x):\n    return x\n", "x = [1]\n    assert c(x) is x"),
    "the result holds the argument": (
        "def f(x):\n    return [x, x]\n",
        "x = [1]\n    r = c(x)\n    assert r[0] is x and r[1] is x",
    ),
    "the same list twice": (
        "def f(x, y):\n    x.append(1)\n    return x is y\n",
        "x = []\n    assert c(x, x) is True and x == [1]",
    ),
    "the same list twice in the result": (
        "def f():\n    x = []\n    return [x, x]\n",
        "r = c()\n    assert r[0] is r[1]",
    ),
    "the result is fresh": (
        "def f(x):\n    return list(x)\n",
        "x = [1]\n    r = c(x)\n    assert r == x and r is not x",
    ),
    "a tuple is a copy": ("def f(x):\n    return x\n", "assert c((1, [2])) == (1, [2])"),
    "by name": (
        "def f(a, *b, k=0, **d):\n    return [a, b, k, d]\n",
        "assert c(1, 2, k=3, z=4) == [1, (2,), 3, {'z': 4}]",
    ),
    "between calls nothing is shared": (
        "kept = []\ndef f(x):\n    kept.append(x)\n    kept[0].append(1)\n    return len(kept)\n",
        "x, y = [], []\n    assert c(x) == 1 and c(y) == 2\n    assert x == [1] and y == []",
    ),
    "a changed argument of one that raises": (
        "def f(x):\n    x.append(1)\n    raise ValueError('a', 1)\n",
        "x = []\n    try:\n        c(x)\n    except ValueError as error:\n"
        "        assert error.args == ('a', 1)\n    else:\n        raise AssertionError",
    ),
    "an exception of the program's own": (
        "class E(KeyError):\n    pass\ndef f():\n    raise E('a')\n",
        "try:\n        c()\n    except KeyError as error:\n        assert type(error).__name__ == 'E'\n"
        "    else:\n        raise AssertionError",
    ),
    "an exception of the library": (
        "import json\ndef f():\n    json.loads('{')\n",
        "import json\n    try:\n        c()\n    except json.JSONDecodeError:\n        pass\n"
        "    else:\n        raise AssertionError",
    ),
    "a recursive list": (
        "def f(x):\n    x.append(x)\n    return x\n",
        "x = [1]\n    r = c(x)\n    assert r is x and r[1] is x",
    ),
    "not a number": ("def f(x):\n    return x\n", "r = c(float('nan'))\n    assert r != r"),
    "many calls": (
        "def f(x):\n    return x\n",
        "assert [c(n) for n in range(2000)] == list(range(2000))",
    ),
    "a large value": ("def f(x):\n    return x\n", "x = list(range(10**5))\n    assert c(x) == x"),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_are_like_calls_in_one_process(sandbox: Sandbox, name: str) -> None:
    code, body = CALLS[name]
    tests = f"def check(c):\n    {body}\n"
    apart = one(sandbox, checked(code, tests))
    together = one(sandbox, Program(code, Together(tests, "f"), limits()))
    assert (apart.verdict, apart.message) == ("passed", "")
    expected = "wrong_answer" if name == "between calls nothing is shared" else "passed"
    assert together.verdict == expected


def test_a_worker_whose_scorer_was_killed_ends_without_a_word() -> None:
    order = {"level": "none", "libraries": None, "warm": [], "tools": []}
    here, there = socket.socketpair()
    here.close()
    with there:
        done = subprocess.run(
            [sys.executable, "-c", pool._MAIN, str(Path(pool.__file__).parent), json.dumps(order)],
            stdin=there.fileno(),
            capture_output=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_worker_that_is_killed_while_it_starts_does_not_weaken_the_isolation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Sandbox() as sandbox:
        usual = sandbox.level, sandbox.layers
    receive, deaths = pool._Worker._receive, iter([ConnectionError("no answer")])

    def killed_once(worker: pool._Worker) -> Any:
        for death in deaths:
            raise death
        return receive(worker)

    monkeypatch.setattr(pool._Worker, "_receive", killed_once)
    with Sandbox() as sandbox:
        assert (sandbox.level, sandbox.layers) == usual
