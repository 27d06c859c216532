"""Ten thousand samples through the pool, with attacks among them: nothing is lost, and nothing stays."""

from __future__ import annotations

import collections
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from attacks import ATTACKS, PRELUDE
from forgeries import FORGERIES
from place import Ground
from snakeval.errors import SandboxError
from snakeval.sandbox import (
    VERDICTS,
    Alone,
    Check,
    Limits,
    Outcome,
    Program,
    Sandbox,
    TimeLimit,
    UnitTests,
    pool,
)

SEED = 3
SAMPLES = {"namespaces": 10_000, "landlock": 1_000}
LOOKS = 100  # during a run
EARLY = 20  # the first look from which on memory may grow no more
FEW = 5  # looks of which the least counts: a program at work may have much memory
GROWTH = 32 << 20  # bytes: the outcomes themselves are kept
LIMITS = Limits(256, TimeLimit(floor_s=2.0))
HURRY = Limits(256, TimeLimit(floor_s=0.2))
TESTS = "import unittest\nclass Test(unittest.TestCase):\n    def test(self):\n        self.assertEqual(f(1), {})\n"
# Those that fill disks, memory or time would take most of the run; a few of these are enough.
SHORT = [
    a for a in ATTACKS if not (a.timeout or a.during or "fill" in a.name or "100,000" in a.name)
]


class Sample(NamedTuple):
    program: Program
    verdicts: tuple[str, ...]  # those that it may get; none: anything but "judge_failed"


def sample(number: int, chance: random.Random, names: str) -> Sample:
    """Return one of the kinds of sample; its program begins by printing its number."""
    said = f"print({number}, flush=True)\n"
    tests = f"def check(candidate):\n    assert candidate(1) == {number}\n"
    right = f"{said}def f(x):\n    return {number}\n"
    kind = chance.choices(
        ("right", "wrong", "raises", "syntax", "missing", "unit", "attack", "forgery", "late"),
        (600, 200, 50, 10, 10, 30, 60, 40, 3),
    )[0]
    match kind:
        case "right":
            return Sample(Program(right, Check(tests, "f"), LIMITS), ("passed",))
        case "wrong":
            code = f"{said}def f(x):\n    return {number + 1}\n"
            return Sample(Program(code, Check(tests, "f"), LIMITS), ("wrong_answer",))
        case "raises":
            code = f"{said}def f(x):\n    raise ValueError({number})\n"
            return Sample(Program(code, Check(tests, "f"), LIMITS), ("exception",))
        case "syntax":
            return Sample(
                Program(f"{said}def f(x) {number}", Check(tests, "f"), LIMITS), ("syntax",)
            )
        case "missing":
            program = Program(f"{said}def g(x): pass", Check(tests, "f"), LIMITS)
            return Sample(program, ("entry_point_missing",))
        case "unit":
            program = Program(right, UnitTests(TESTS.format(number), "f"), LIMITS)
            return Sample(program, ("passed",))
        case "attack":
            attack = chance.choice(SHORT)
            code = f"{said}{names}{PRELUDE}{attack.code}\n"
            if attack.processes and chance.random() < 0.5:
                test = UnitTests(TESTS.format(number), "f")
                return Sample(Program(f"{code}\ndef f(x): pass\n", test, LIMITS), ())
            return Sample(Program(code, Alone(), LIMITS), ())
        case "forgery":
            forgery = chance.choice(FORGERIES)
            program = Program(said + forgery.code, Check(forgery.tests, "f"), HURRY)
            wrong = set(VERDICTS) - {"passed", "judge_failed"}
            return Sample(program, tuple(sorted(wrong)))
        case _:
            code = f"{said}import time\ntime.sleep(100)\n"
            return Sample(Program(code, Check(tests, "f"), HURRY), ("timeout",))


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    try:
        threads = list(Path(f"/proc/{pid}/task").glob("*/children"))
    except OSError:  # ended meanwhile
        return found
    for path in threads:
        try:
            children = [int(child) for child in path.read_text().split()]
        except OSError:  # ended meanwhile
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def resident(pid: int) -> int:
    """Return the bytes of memory that a process has for itself; 0 where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")


class Seen(NamedTuple):
    own: int  # bytes
    workers: int  # bytes, of all processes below this one
    descriptors: int


def look() -> Seen:
    workers = sum(map(resident, descendants(os.getpid())))
    return Seen(resident(os.getpid()), workers, len(os.listdir("/proc/self/fd")))  # noqa: PTH208


def least(seen: list[Seen]) -> Seen:
    return Seen(*map(min, zip(*seen, strict=True)))


def left_behind() -> set[str]:
    return {str(path) for path in Path(tempfile.gettempdir()).glob("snakeval-program-*")}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("level", SAMPLES)
def test_nothing_is_lost_and_nothing_stays(
    level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = SAMPLES[level]
    chance = random.Random(SEED)
    ground = Ground(tmp_path, os.getuid())
    names = "".join(f"{name} = {value!r}\n" for name, value in ground.names().items())
    names += "LISTEN = 0\n"
    wanted: list[tuple[str, ...]] = []
    seen: list[Seen] = []
    judged: dict[int, list[str]] = collections.defaultdict(list)
    one = pool._judged

    def counted(worker: pool._Worker, program: Program, limit_s: float) -> Outcome:
        outcome = one(worker, program, limit_s)
        number = int(program.code.partition("(")[2].partition(",")[0])
        judged[number].append(outcome.verdict)
        return outcome

    def samples() -> Iterator[Program]:
        for number in range(count):
            if number % (count // LOOKS) == 0:
                seen.append(look())
            made = sample(number, chance, names)
            wanted.append(made.verdicts)
            yield made.program

    monkeypatch.setattr(pool, "_judged", counted)
    mounts = Path("/proc/self/mountinfo").read_text()
    children = set(descendants(os.getpid()))
    folders = left_behind()
    descriptors = look().descriptors
    try:
        try:
            sandbox = Sandbox(level=level)
        except SandboxError as error:
            if level == "namespaces":
                raise
            pytest.skip(f"level {level}: {error}")
        with sandbox:
            outcomes = sandbox.run(samples())
        assert len(outcomes) == len(wanted) == len(judged) == count
        for number, (outcome, verdicts) in enumerate(zip(outcomes, wanted, strict=True)):
            assert outcome.verdict != "judge_failed", (number, outcome)
            assert not verdicts or outcome.verdict in verdicts, (number, outcome)
            if outcome.verdict != "syntax":
                assert outcome.stdout.split()[:1] == [str(number)], (number, outcome)
        # Those that were late are judged once more, alone; no other is.
        late = [verdicts for verdicts in judged.values() if verdicts[0] == "timeout"]
        assert len(late) >= count / 1000
        for number, outcome in enumerate(outcomes):
            again = judged[number][0] == "timeout" and outcome.guarantee is not None
            assert len(judged[number]) == 1 + again
            assert judged[number][-1] == outcome.verdict
        assert len(seen) == LOOKS
        early, end = least(seen[EARLY : EARLY + FEW]), least(seen[-FEW:])
        assert end.own - early.own < GROWTH, (early, end)
        assert end.workers - early.workers < GROWTH, (early, end)
        assert end.descriptors == early.descriptors
        assert look().descriptors == descriptors
        assert set(descendants(os.getpid())) == children
        assert Path("/proc/self/mountinfo").read_text() == mounts
        printed = [outcome.stdout + outcome.stderr for outcome in outcomes]
        marks = [
            mark
            for mark in ground.marks("\n".join(printed))
            if level == "namespaces" or not mark.startswith("printed")
        ]
        assert marks == []
        deadline = time.monotonic() + 5
        while left_behind() - folders and time.monotonic() < deadline:
            time.sleep(0.1)  # of other tests that run beside this one
        assert left_behind() <= folders
    finally:
        ground.close()
