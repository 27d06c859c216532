"""See whether a changed program behaves differently, in plain interpreters and without our judges.

Programs of datasets are trusted here: they get a process, a folder, limits of time, memory and file
size of their own, and nothing more. Run as a script this file is that process.
"""

from __future__ import annotations

import copy
import json
import math
import os
import random
import resource
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

# Processor time decides, so that a busy machine finds the same programs late; wall-clock time is
# for those that sleep.
PYTHON = [sys.executable, "-s", "-P", "-B"]
ENVIRONMENT = {"PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "PATH": os.defpath}
REFERENCE_S = 30.0
MUTANT_S = 0.5
SLEEPS_S = 10.0
FRAMES = 10  # of ours below the program; some recur to the very limit
MEMORY_BYTES = 2 << 30
FILE_BYTES = 16 << 20
# Tests allow for rounding, up to a part in a thousand; a changed number must be wrong for all of them.
TOLERANCE = 0.01


@dataclass(frozen=True)
class Calls:
    """A function or a method, seen through the calls that its tests make.

    Args:
        tests: Python source that calls it by its name, or as `candidate`, and finds the program's
            other names.
        entry_point: name of a function, or `Class.method`, whose class is made without arguments.
    """

    tests: str
    entry_point: str


@dataclass(frozen=True)
class Inputs:
    """A program that reads standard input and writes standard output."""

    stdin: tuple[str, ...]


@dataclass(frozen=True)
class Suite:
    """A function, seen through the `unittest` classes that test it.

    Args:
        tests: Python source of the classes; it finds the program's names.
    """

    tests: str
    entry_point: str

    def report(self, program: str) -> str:
        """Return a script that runs the tests on `program` and prints what came of them, as JSON.

        That is the number of tests, and name and message of the first that fails, or null. The script
        is for an interpreter that has the libraries, where program and tests can do no harm: they
        write files.
        """
        return _REPORT.format(program=program, tests=self.tests)


_REPORT = """import io, json, sys, types, unittest
module = sys.modules["__test__"] = types.ModuleType("__test__")
exec(compile({program!r}, "program.py", "exec", dont_inherit=True), module.__dict__)
exec(compile({tests!r}, "tests.py", "exec", dont_inherit=True), module.__dict__)
suite = unittest.defaultTestLoader.loadTestsFromModule(module)
stdout, sys.stdout = sys.stdout, io.StringIO()
result = unittest.TestResult()
result.failfast = True
suite.run(result)
bad = [[test.id(), trace.strip().splitlines()[-1]] for test, trace in result.errors + result.failures]
bad += [[test.id(), "passes, and should not"] for test in result.unexpectedSuccesses]
told = [result.testsRun - len(result.skipped), bad[0] if bad else None]
print("\\n" + json.dumps(told), file=stdout, flush=True)
"""


@dataclass(frozen=True)
class Subject:
    """A problem, a program that solves it, and where to look for changes of behaviour."""

    id: str
    reference: str
    probe: Calls | Inputs | Suite


@dataclass(frozen=True)
class Changed:
    """A program that behaves differently, and where that was seen, in one line."""

    source: str
    evidence: str


class ReferenceFails(Exception):
    """The reference does not pass its own tests, or does not end."""


def changed(subject: Subject, programs: Iterable[str]) -> Iterator[Changed]:
    """Yield those of `programs` that were seen to behave differently from the reference.

    A program that takes too long, too much memory, or kills its process is left out: that proves
    little. One that raises where the reference does not is taken.

    Raises:
        ReferenceFails: there is nothing to compare with.
    """
    assert not isinstance(subject.probe, Suite)
    look = _calls if isinstance(subject.probe, Calls) else _inputs
    yield from look(subject, programs)


def misses(program: str, cases: Iterable[tuple[str, Sequence[str]]]) -> str | None:
    """Say which of its cases, input and right outputs, a program fails; None where it passes."""
    for stdin, accepted in cases:
        output = _output(program, stdin, REFERENCE_S)
        if output is None or all(_printed_otherwise(right, output) for right in accepted):
            shown = (output or "nothing in time")[:60]
            return f"{stdin[:60]!r} gives {shown!r}, not {accepted[0][:60]!r}"
    return None


def _calls(subject: Subject, programs: Iterable[str]) -> Iterator[Changed]:
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [*PYTHON, str(Path(__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env=ENVIRONMENT,
            text=True,
            encoding="utf-8",
        ) as process,
    ):
        watch = threading.Timer(REFERENCE_S, process.kill)
        watch.start()
        try:
            job = {"reference": subject.reference, **asdict(subject.probe)}
            failure = _asked(process, job, "does not end")
            if failure:
                raise ReferenceFails(f"{subject.id}: {failure}")
            watch.cancel()
            for program in programs:
                evidence = _asked(process, program, None)
                if evidence:
                    yield Changed(program, evidence)
        finally:
            watch.cancel()
            process.kill()


def _asked(process: subprocess.Popen[str], question: object, silence: str | None) -> str | None:
    assert process.stdin
    assert process.stdout
    with suppress(BrokenPipeError):
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
    line = process.stdout.readline()
    answer: str | None = json.loads(line) if line else silence
    return answer


def _inputs(subject: Subject, programs: Iterable[str]) -> Iterator[Changed]:
    assert isinstance(subject.probe, Inputs)

    @cache
    def right(stdin: str) -> str:
        output = _output(subject.reference, stdin, REFERENCE_S)
        if output is None or output.startswith("<exit code "):
            raise ReferenceFails(f"{subject.id}: fails for {stdin[:60]!r}")
        return output

    for program in programs:
        for stdin in subject.probe.stdin:
            output = _output(program, stdin, MUTANT_S)
            if output is None:
                break
            if _printed_otherwise(right(stdin).lower(), output.lower()):
                evidence = f"{stdin[:60]!r} gives {output[:60]!r}, not {right(stdin)[:60]!r}"
                yield Changed(program, evidence)
                break


def _output(program: str, stdin: str, limit_s: float) -> str | None:
    """Run a program in an interpreter of its own; None where it is late or was killed."""
    with tempfile.TemporaryDirectory() as folder:
        file, given = Path(folder, "program.py"), Path(folder, "stdin.txt")
        file.write_text(program, encoding="utf-8")
        given.write_text(stdin, encoding="utf-8", newline="")
        with given.open("rb") as stream, tempfile.TemporaryFile() as printed:
            process = subprocess.Popen(
                [*PYTHON, str(file)],
                stdin=stream,  # a file, not a pipe: some programs ask for its size
                stdout=printed,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env=ENVIRONMENT,
                preexec_fn=lambda: _limit(limit_s),
            )
            try:
                code = process.wait(limit_s + SLEEPS_S)
            except subprocess.TimeoutExpired:
                return None
            finally:
                process.kill()
                process.wait()
            if code:
                return f"<exit code {code}>" if code > 0 else None
            printed.seek(0)
            return printed.read().decode("utf-8", "replace")


def _printed_otherwise(right: str, output: str) -> bool:
    """Compare word by word; numbers may differ a little."""
    wanted, words = right.split(), output.split()
    return len(wanted) != len(words) or any(map(_word_differs, wanted, words))


def _word_differs(wanted: str, word: str) -> bool:
    if wanted == word:
        return False
    try:
        return differs(float(wanted), float(word))
    except ValueError:
        return True


def differs(right: Any, value: Any) -> bool:
    """Say whether a test that compares with `right` must refuse `value`.

    Numbers may differ by one part in a hundred, NaN equals NaN, and what only identity tells apart
    is taken for equal.
    """
    if isinstance(right, int | float | complex) and isinstance(value, int | float | complex):
        if right == value or (right != right and value != value):
            return False
        if isinstance(right, int) and isinstance(value, int):
            return True
        distance = abs(right - value)
        return not distance <= TOLERANCE * max(1.0, abs(right)) or math.isinf(abs(right))
    for kind in (list, tuple):
        if isinstance(right, kind) and isinstance(value, kind):
            return len(right) != len(value) or any(map(differs, right, value))
    if isinstance(right, dict) and isinstance(value, dict):
        return right.keys() != value.keys() or any(differs(right[k], value[k]) for k in right)
    by_identity = not any("__eq__" in vars(kind) for kind in type(right).__mro__[:-1])
    if by_identity and type(right).__name__ == type(value).__name__:
        return False
    return bool(right != value)


# --- the process ---------------------------------------------------------------------------------------


def _limit(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, seconds)  # what is late is ended by its signal
    for name, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(name, (most, most))


def _serve() -> None:
    """Take the reference in one line, then a program a line; answer each with text or null."""
    random.seed(0)  # for tests that draw their arguments
    sys.setrecursionlimit(sys.getrecursionlimit() + FRAMES)
    questions = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    _limit(REFERENCE_S)
    job = json.loads(questions.readline())
    entry_point = job["entry_point"]
    calls: list[tuple[tuple[Any, ...], dict[str, Any], Any]] = []
    failure = None
    try:
        names = _run(job["reference"])
        candidate = _find(names, entry_point)
        around = dict(names)
        recorder = _recorder(candidate, calls)
        around |= {entry_point.split(".")[0]: recorder, "candidate": recorder}
        exec(compile(job["tests"], "tests", "exec", dont_inherit=True), around)
        if not calls:
            failure = "is never called by its tests"
    except BaseException as error:
        failure = f"{type(error).__name__}: {error}"[:300]
    print(json.dumps(failure), file=answers, flush=True)
    for line in questions:
        program = json.loads(line)
        evidence = _in_a_fork(partial(_evidence, program, entry_point, calls))
        print(json.dumps(evidence), file=answers, flush=True)


def _run(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(source, "program", "exec", dont_inherit=True), names)
    return names


def _find(names: dict[str, Any], entry_point: str) -> Callable[..., Any]:
    first, _, method = entry_point.partition(".")
    found: Callable[..., Any] = names[first]
    return getattr(found(), method) if method else found


def _recorder(
    candidate: Callable[..., Any], calls: list[tuple[tuple[Any, ...], dict[str, Any], Any]]
) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        before = copy.deepcopy((arguments, named))
        try:
            result = candidate(*arguments, **named)
        except Exception as error:
            calls.append((*before, _raised(error)))
            raise
        with suppress(TypeError):  # generators cannot be copied, nor compared
            calls.append((*before, copy.deepcopy(result)))
        return result

    return call


def _raised(error: BaseException) -> str:
    return f"<{type(error).__name__}>"


def _evidence(
    program: str, entry_point: str, calls: list[tuple[tuple[Any, ...], dict[str, Any], Any]]
) -> str | None:
    candidate = _find(_run(program), entry_point)
    for arguments, named, right in calls:
        given = copy.deepcopy((arguments, named))
        try:
            value = candidate(*given[0], **given[1])
        except MemoryError:
            return None
        except Exception as error:
            value = _raised(error)
        if differs(right, value):
            return f"{entry_point}{_short(arguments)} gives {_short(value)}, not {_short(right)}"
    return None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:80] + "…"


def _in_a_fork(work: Callable[[], str | None]) -> str | None:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        answer = None
        try:
            _limit(MUTANT_S)
            with suppress(BaseException):
                answer = work()
            if answer:
                os.write(writer, json.dumps(answer).encode())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], SLEEPS_S)
        line = os.read(reader, 65536) if ready else b""
        return str(json.loads(line)) if line else None
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    _serve()
