"""Run one Python program in the sandbox that the workflow uses, and say what it did.

Example: python workflow/scripts/sandbox.py program.py
    python workflow/scripts/sandbox.py program.py --json --timeout 10 --memory 512 --stdin input.txt
    echo 'print(6 * 7)' | python workflow/scripts/sandbox.py -

The program runs as `__main__` in an empty folder, with the standard library alone and, without --stdin, an
empty standard input. Nothing is judged: "passed" means that it ended with exit code 0.

Levels, of which the strongest that this machine allows is taken, as in the workflow:

  namespaces  The program sees a file system of its own: the standard library, shared libraries, time
              zones and four devices (null, zero, random, urandom), read-only, and an empty /tmp of
              64 MiB and 4,096 files. It sees no other process, has no network and no capabilities, and
              may make the system calls of a short list only. Where the kernel has Landlock, that
              guards the files a second time.
  landlock    For machines whose user namespaces are off: the same list of system calls, and Landlock.
              The program still learns which paths exist; that its folder outgrows 64 MiB or 4,096
              files is noticed after up to 0.1 s.
  none        Limits alone: the program can read, change and send whatever you can. Never taken
              without --unsafe-no-isolation.

Covered at the first two levels:

  network      other machines, names, services of this machine, sockets of any kind that lead outside
  files        home, secrets, this repository, other programs' folders, device nodes, links that lead out
  processes    starting any, signalling or tracing others, and whatever is left when the program ends
  privileges   root, set-user-id programs, capabilities, namespaces of its own
  environment  the program gets none of your variables
  resources    memory, processor and wall-clock time, files, threads, open files, endless output (64 KiB
               of each stream are kept)

Not covered:

  - errors of the kernel itself, and what a processor leaks through timing and caches
  - load: the program may use a core, and its memory, until its time is over
  - what any program may ask: the time, the kernel's version, the number of processors, free memory; at
    level landlock the machine's name
  - lies: what a program prints about itself or its tests is only what it prints

People see control characters as symbols, so that a program cannot play tricks on their terminal.
--json prints one object: verdict, stdout, stderr, seconds, max_rss_bytes (null where nothing was run),
level. It quotes nothing of the program: the source lines that Python adds to tracebacks and warnings
are taken out of stderr. What the program prints of itself, or says in its exceptions, is its output.

Exit code: 0 if the program could be run, whatever came of it; 2 if not, and one line says why.
"""

import argparse
import json
import math
import re
import sys
from importlib.util import decode_source
from pathlib import Path

from snakeval.errors import SandboxError, SnakevalError, near, run_cli
from snakeval.reporting.text import visible
from snakeval.sandbox import LEVELS, Alone, Limits, Outcome, Program, Sandbox, TimeLimit

MOST_BYTES = 16 << 20  # of a program or an input
MOST_SECONDS = 86_400
MOST_MB = 1 << 20
_FRAME = re.compile(r"([ |]*)File \".*\", line \d+")


def main() -> None:
    """Parse the arguments, run the program and print what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", metavar="FILE.py", help="Python source; - is standard input")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--timeout", metavar="S", default="3", help="wall-clock seconds (3)")
    parser.add_argument("--memory", metavar="MB", default="1024", help="MiB of a process (1024)")
    parser.add_argument(
        "--stdin", metavar="FILE", help="what the program reads; - is standard input"
    )
    parser.add_argument("--level", help=f"{', '.join(LEVELS)}; the strongest there is by default")
    parser.add_argument(
        "--unsafe-no-isolation",
        action="store_true",
        help="run it even where it cannot be shut in: only on a machine that you can throw away",
    )
    arguments = parser.parse_args()
    limits = Limits(
        memory_mb=int(_number("--memory", arguments.memory, MOST_MB, "whole ")),
        time=TimeLimit(floor_s=_number("--timeout", arguments.timeout, MOST_SECONDS)),
    )
    unsafe = arguments.unsafe_no_isolation
    _check_level(arguments.level, unsafe)
    if arguments.program == arguments.stdin == "-":
        got = "- for both the program and its input"
        raise SnakevalError("--stdin", got, "one of them", "Give the other one as a file.")
    source = _source(arguments.program)
    stdin = _text(arguments.stdin) if arguments.stdin else ""
    with Sandbox(allow_unsafe=unsafe, workers=1, level=arguments.level) as sandbox:
        outcome = sandbox.run([Program(source, Alone(stdin), limits)])[0]
        level, layers = sandbox.level, sandbox.layers
    if outcome.verdict == "judge_failed":
        fix = "Try again; if it stays so, the machine lacks memory or processes."
        raise SandboxError(arguments.program, outcome.message, "a program that can be run", fix)
    if arguments.json:
        print(json.dumps(as_record(outcome, level, source)))
    else:
        print("\n".join(as_lines(outcome, level, layers, limits)))


def as_record(outcome: Outcome, level: str, source: str) -> dict[str, object]:
    """Return what --json prints."""
    return {
        "verdict": outcome.verdict,
        "stdout": outcome.stdout,
        "stderr": without_source(outcome.stderr, source),
        "seconds": outcome.seconds,
        "max_rss_bytes": outcome.max_rss_bytes,
        "level": level,
    }


def without_source(stderr: str, source: str) -> str:
    """Take out the source lines that Python has put into tracebacks and warnings.

    These are what stands below a line `File "…", line N` and further in, which may be the text of a
    program that the program has made itself, and any indented line that is one of the program's.
    """
    lines = {line.strip() for line in source.splitlines()} - {""}
    kept = []
    frame = math.inf  # how far in the line of the frame is that we are below
    for line in stderr.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip(" |"))
        if (found := _FRAME.match(line)) is not None:
            frame = len(found[1])
        elif indent > frame:
            continue
        else:
            frame = math.inf
            if indent and line.strip(" |\r\n") in lines:
                continue
        kept.append(line)
    return "".join(kept)


def as_lines(outcome: Outcome, level: str, layers: list[str], limits: Limits) -> list[str]:
    """Return what people read."""
    memory = (outcome.max_rss_bytes or 0) / 2**20
    warning = " – NO ISOLATION: it could do whatever you can" if level == "none" else ""
    lines = [
        f"verdict  {outcome.verdict.replace('_', ' ')}",
        f"time     {outcome.seconds:.3f} s, limit {limits.time.floor_s:g} s",
        f"memory   {memory:.1f} MiB, limit {limits.memory_mb:,} MiB",
        f"level    {level} ({', '.join(layers)}){warning}",
    ]
    if outcome.message:
        lines[0] += f": {visible(outcome.message)}"
    if outcome.verdict == "syntax":
        lines += ["", visible(outcome.traceback).rstrip("\n")]
    for name, text in (("output", outcome.stdout), ("error", outcome.stderr)):
        if text:
            lines += ["", f"standard {name}:", visible(text).removesuffix("\n")]
    return lines


def _number(option: str, text: str, most: int, kind: str = "") -> float:
    """Return an option's number, more than 0.

    Raises:
        SnakevalError: it is none, or not a whole one where `kind` says so, or beyond `most`.
    """
    try:
        number = int(text) if kind else float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= most:
        expected = f"a {kind}number above 0 and up to {most:,}"
        raise SnakevalError(option, repr(text), expected, f"For example: {option} 100")
    return number


def _check_level(level: str | None, unsafe: bool) -> None:
    if level is not None and level not in LEVELS:
        raise SnakevalError("--level", repr(level), "a level", near(level, LEVELS))
    if level == "none" and not unsafe:
        expected = "a level that shuts programs in"
        raise SandboxError(
            "--level", "none", expected, "Add --unsafe-no-isolation to run it all the same."
        )


def _source(name: str) -> str:
    """Return a program's text, decoded as Python does.

    Raises:
        SnakevalError: it cannot be read, or is no text.
    """
    data = _bytes(name)
    try:
        text = decode_source(data)
    except (SyntaxError, UnicodeError) as error:
        raise _no_text(name, "bytes that are no text") from error
    if "\0" in text:
        raise _no_text(name, "a zero byte")
    return text


def _text(name: str) -> str:
    """Return a program's input.

    Raises:
        SnakevalError: it cannot be read, or is no text.
    """
    try:
        return _bytes(name).decode("utf-8")
    except UnicodeError as error:
        raise _no_text(name, "bytes that are no UTF-8") from error


def _no_text(name: str, got: str) -> SnakevalError:
    return SnakevalError(_named(name), got, "text", "Give a text file, in UTF-8.")


def _bytes(name: str) -> bytes:
    """Return a file's content.

    Raises:
        SnakevalError: it cannot be read, or is too large.
    """
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MOST_BYTES + 1)
    except OSError as error:
        fix = "Give the path of a file, or - for standard input."
        raise SnakevalError(name, error.strerror or str(error), "a file to read", fix) from error
    if len(data) > MOST_BYTES:
        raise SnakevalError(
            _named(name),
            f"more than {MOST_BYTES:,} bytes",
            "a program or its input",
            "Give a smaller file.",
        )
    return data


def _named(name: str) -> str:
    return "standard input" if name == "-" else name


if __name__ == "__main__":
    run_cli(main)
