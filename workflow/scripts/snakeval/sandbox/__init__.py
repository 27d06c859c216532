"""Run model-written programs where they can do no harm, and judge them where they cannot cheat.

    with Sandbox() as sandbox:
        outcomes = sandbox.run([Program(code, Check(tests, "add"))])

Each program runs in a process of its own, forked from a warm interpreter that holds nothing of the
workflow. Tests run in another such process, outside of the program's, so that the program sees only the
arguments of its function and the tests see only plain values (`Check`); the outputs of whole programs
are compared here (`InputOutput`). Only where tests need the program's own objects they run in its
process (`Together`, `UnitTests`), and the outcome says so: `guarantee` is "together" and not "apart".
Programs in other languages are compiled and run by the machine's own tools, in there too (`Commands`).

Levels, of which the strongest that the machine allows is taken:

- "namespaces": user, mount, PID, network, IPC and UTS namespaces; a file system of the standard library,
  shared libraries, time zones and four devices, read-only, and an empty /tmp of 64 MiB; Landlock where the
  kernel has it; a list of allowed system calls (seccomp); no capabilities; limits of memory, processor
  time, file size, threads and open files; a wall-clock limit.
- "landlock": Landlock, seccomp and the limits, for machines whose user namespaces are off. Programs start no
  processes there. They can see which paths and processes exist, the machine's name, its processors and
  memory; a folder that outgrows 64 MiB or 4,096 files is noticed within about 0.1 s and not at once; modes
  and times of files seem to change and do not; for root the number of threads is bounded by memory only.
- "none": the limits alone. Only with the setting `unsafe_no_isolation`, and every result is marked.

Covered: network, files of the machine, other processes, environment, privileges, memory, processor time,
files, threads, endless output, processes left behind; and for verdicts that are "apart": printed markers,
`os._exit`, `sys.exit`, patched builtins, tests, `assert`, `__eq__` and `unittest`, reading the tests from frames,
files or /proc, writing results, signals to the judge.

Not covered: errors of the kernel itself, and what a processor leaks (timing, caches). At level "namespaces"
a program is the first process of its namespace, where signals that would end or stop it do nothing. With
`UnitTests` and `Commands` a program may start up to 64 processes, each with the memory limit of one; and a program
that is judged "together" could find its tests in its own process or folder and forge the verdict.
"""

from snakeval.sandbox.pool import LEVELS, UNSAFE, Sandbox
from snakeval.sandbox.programs import (
    MARK,
    VERDICTS,
    Alone,
    Case,
    Check,
    Command,
    Commands,
    InputOutput,
    Limits,
    Outcome,
    Program,
    TimeLimit,
    Together,
    UnitTests,
)

__all__ = [
    "LEVELS",
    "MARK",
    "UNSAFE",
    "VERDICTS",
    "Alone",
    "Case",
    "Check",
    "Command",
    "Commands",
    "InputOutput",
    "Limits",
    "Outcome",
    "Program",
    "Sandbox",
    "TimeLimit",
    "Together",
    "UnitTests",
]
