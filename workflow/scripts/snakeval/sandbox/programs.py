"""What can be asked of the sandbox, and what it answers: plain records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

VERDICTS = (
    "passed",
    "wrong_answer",
    "exception",
    "timeout",
    "memory",
    "syntax",
    "entry_point_missing",
    "judge_failed",
)
# Whether the tests ran outside the program's process, or in one with it, where a program that hunts
# for them could read them or forge the verdict.
Guarantee = Literal["apart", "together"]


@dataclass(frozen=True)
class TimeLimit:
    """How long a program may take, in wall-clock seconds.

    It gets `floor_s` at first. One that needs more is run again alone, with `factor` times what the
    reference takes on this machine, but no less than `floor_s` and no more than `ceiling_s`; without
    a reference again with `floor_s`.
    """

    floor_s: float = 3.0
    factor: float = 10.0
    ceiling_s: float = 60.0


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    Args:
        memory_mb: MiB of address space for each process.
        time: wall-clock seconds for program and tests together; for `InputOutput`, of each case.
        output_bytes: how much of standard output and of standard error is kept, each.
    """

    memory_mb: int = 1024
    time: TimeLimit = field(default_factory=TimeLimit)
    output_bytes: int = 64 * 1024


@dataclass(frozen=True)
class Check:
    """Tests that define `check(candidate)`; they run outside the program's process.

    Arguments and results cross as copies of plain values (see `inside/wire.py`); what the program
    changes in its arguments is changed for the tests too.

    Args:
        tests: Python source; `check` raises where it is not content.
        entry_point: name of the function that is tested.
        prelude: Python source that the tests may use besides: the prompt's imports and helpers.
    """

    tests: str
    entry_point: str
    prelude: str = ""
    guarantee: ClassVar[Guarantee | None] = "apart"


@dataclass(frozen=True)
class Together:
    """Tests that define `check(candidate)` and run behind the program in its module: a weak guarantee."""

    tests: str
    entry_point: str
    guarantee: ClassVar[Guarantee | None] = "together"


@dataclass(frozen=True)
class UnitTests:
    """`unittest` classes that run behind the program in its module, mocks and all: a weak guarantee.

    Args:
        tests: Python source with subclasses of `unittest.TestCase`.
        entry_point: name of the function that is tested.
        libraries: top-level modules that the problem needs; where one is missing here nothing is run
            and the verdict is "judge_failed".
    """

    tests: str
    entry_point: str
    libraries: tuple[str, ...] = ()
    guarantee: ClassVar[Guarantee | None] = "together"


@dataclass(frozen=True)
class Command:
    """A command line.

    Args:
        words: the program, a path or a name that is looked up in PATH, and its arguments.
        timeout_s: wall-clock seconds.
        memory_mb: MiB of address space for each process.
    """

    words: tuple[str, ...]
    timeout_s: float
    memory_mb: int


MARK = "@passed@"  # in tests for `Commands`: the path of the file that their last statement makes


@dataclass(frozen=True)
class Commands:
    """Tests behind a program in any language, which this machine's own tools build and run.

    The tools are those that the sandbox was given (`Sandbox.tools`); where one is not there, or the level
    starts no processes, the verdict is "judge_failed". "passed" means that all commands ended with exit code
    0 and that the tests came to their last statement, which makes the file `MARK`: its path is another one
    in every run. A command of `build` that fails is "syntax"; why the last one failed is for the caller to
    see in the outputs: "exception". It is a weak guarantee: program and tests share a process.

    Args:
        source: the name of the file for the program and, behind it, the tests.
        tests: their source.
        run: what runs the program; its limits are the program's own.
        build: what comes before, with limits of its own.
        files: other files, name and text, in which `MARK` may stand too.
        environment: variables for all commands besides those that every program has.
    """

    source: str
    tests: str
    run: tuple[str, ...]
    build: tuple[Command, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    guarantee: ClassVar[Guarantee | None] = "together"


@dataclass(frozen=True)
class Case:
    """One input of a program, and every output that is right for it."""

    stdin: str
    accepted: tuple[str, ...]


@dataclass(frozen=True)
class InputOutput:
    """A program that reads standard input and writes standard output; we compare, outside of it.

    It is run once per case, as `__main__`, up to the first case that it fails.
    """

    cases: tuple[Case, ...]
    guarantee: ClassVar[Guarantee | None] = "apart"


@dataclass(frozen=True)
class Alone:
    """A program that is only run, as `__main__`: "passed" means that it ended with exit code 0."""

    stdin: str = ""
    guarantee: ClassVar[Guarantee | None] = None


Test = Check | Together | UnitTests | Commands | InputOutput | Alone


@dataclass(frozen=True)
class Program:
    """A program, what judges it, and what it may use.

    Args:
        code: Python source; for `Commands` that of any language.
        reference: a program that passes, by which the time limit is set for one that is late.
    """

    code: str
    test: Test
    limits: Limits = field(default_factory=Limits)
    reference: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a program.

    Args:
        verdict: one of `VERDICTS`.
        message: one sentence or an exception's text, at most 2,000 characters; may be the program's
            own words.
        traceback: the last lines of it, at most 2,000 characters; "" where there is none.
        stdout: what it printed, at most `Limits.output_bytes`; so `stderr`.
        seconds: wall-clock seconds; for `InputOutput` of all cases.
        max_rss_bytes: most memory that its first process held; None where nothing was run.
        limit_s: the time limit that counted; None where nothing was run.
        slowest_s: wall-clock seconds of its slowest case, by which a time limit is set.
    """

    verdict: str
    message: str = ""
    traceback: str = ""
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    max_rss_bytes: int | None = None
    limit_s: float | None = None
    guarantee: Guarantee | None = None
    slowest_s: float = 0.0
