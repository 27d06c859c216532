"""Programs that compilers and shells of the machine build and run: what they try against it, and against their judge.

Each attack is a test of its own, as root and as an ordinary user, and is shown to succeed where no sandbox is.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from place import User
from snakeval.sandbox import (
    MARK,
    Alone,
    Command,
    Commands,
    Limits,
    Outcome,
    Program,
    TimeLimit,
    UnitTests,
)

TOOLS = ("/usr/bin", "/bin", "/etc/alternatives", "/usr/include")
LIMITS = Limits(1024, TimeLimit(floor_s=5.0))
BUILD = Command(("g++", "-w", "program.cpp", "-o", "program"), 60.0, 2048)
BASH = Commands("program.sh", f"f\n: > {MARK}\n", ("bash", "program.sh"))
CPP_TESTS = f'int main() {{ f(); FILE* file = fopen("{MARK}", "w"); fclose(file); }}\n'
CPP = Commands("program.cpp", CPP_TESTS, ("./program",), (BUILD,))
TESTS = "import unittest\nclass Test(unittest.TestCase):\n    def test(self):\n        f()\n"


class Attack(NamedTuple):
    name: str
    code: str  # bash, or C++ where it begins with an include
    control: bool = False  # it does no harm that could be seen outside
    needs_root: bool = False


HEADERS = """#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <signal.h>
#include <arpa/inet.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
"""
ATTACKS = [
    Attack("bash reads a file of the machine", "grep -q root: /etc/passwd && echo REACHED"),
    Attack("bash reads a secret", 'cat "$TOKEN"'),
    Attack("bash lists a home", 'ls "$HOME_OUTSIDE" | grep -q token && echo REACHED'),
    Attack("bash connects", "exec 3<>/dev/tcp/127.0.0.1/$TCP"),
    Attack("bash sends a datagram", "echo x > /dev/udp/127.0.0.1/$UDP"),
    Attack("perl connects to a unix socket", 'perl -e "$PERL_UNIX"'),
    Attack("bash writes beside", 'echo x > "$PUBLIC/$DAEMON"; echo x > "/var/tmp/$DAEMON"'),
    Attack("bash writes shared memory", 'echo x > "/dev/shm/$DAEMON"'),
    Attack("bash links a file of its own in", 'ln -s /etc "$PUBLIC/$DAEMON"'),
    Attack("bash changes a tool", "touch -cr /usr/bin/bash /usr/bin/bash && echo REACHED", needs_root=True),
    Attack("bash kills a process", "kill -9 $VICTIM"),
    Attack("bash finds another's environment", "grep -aohs 'VICTIM=.*' /proc/$VICTIM/environ"),
    Attack(
        "bash leaves a process behind",
        'cp /usr/bin/sleep "./$DAEMON"; setsid nohup "./$DAEMON" 60 > /dev/null 2>&1 & sleep 0.2',
    ),
    Attack("bash makes a namespace", "unshare --user --map-root-user true && echo REACHED"),
    Attack(
        "bash mounts", "mkdir m; mount -t tmpfs none m && echo REACHED; umount m", needs_root=True
    ),
    Attack("bash asks for what the machine is", '[ "$(cat /proc/version)" ] && echo REACHED'),
    Attack("bash reads settings of the kernel", "cat /proc/sys/kernel/osrelease && echo REACHED"),
    Attack("bash reads its judge's memory", "head -c 1 /proc/1/mem && echo REACHED", control=True),
    Attack("bash sees its judge's files", "ls /proc/1/fd && echo REACHED", control=True),
    Attack("bash sees its judge", "ls /proc/1/ && echo REACHED", control=True),
    Attack(
        "bash sees the worker",
        'for folder in /proc/[0-9]* /.proc/[0-9]*; do grep -qs python "$folder/cmdline" && echo REACHED; done',
        control=True,
    ),
    Attack("C++ connects", HEADERS + "void f() { sockaddr_in to{}; to.sin_family = AF_INET;"
        "to.sin_port = htons(TCP); inet_aton(\"127.0.0.1\", &to.sin_addr);"
        "connect(socket(AF_INET, SOCK_STREAM, 0), (sockaddr*) &to, sizeof to); }"),
    Attack("C++ opens a raw socket", HEADERS + "void f() {"
        'if (socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0) puts("REACHED"); }', needs_root=True),
    Attack("C++ includes a secret", '#include TOKEN\nvoid f() {}\n'),
    Attack("C++ takes a secret in by the assembler", HEADERS +
        'asm(".section .rodata\\nall: .incbin \\"" TOKEN "\\"\\n.byte 0\\n.text");'
        'extern "C" const char all[] asm("all"); void f() { puts(all); }\n'),
    Attack("C++ kills a process", HEADERS + "void f() { kill(VICTIM, SIGKILL); }"),
    Attack("C++ traces its judge", HEADERS + "void f() {"
        'if (ptrace(PTRACE_ATTACH, getppid(), 0, 0) == 0) puts("REACHED"); }', control=True),
    Attack("C++ runs a shell that reads a secret", HEADERS + 'void f() { system("cat " TOKEN); }'),
    Attack("C++ reads its tests' source", HEADERS +
        'void f() { if (fopen("program.cpp", "r")) puts("REACHED"); }'),
]  # fmt: skip
ENDINGS = {
    "bash ends itself": (BASH, "exit 0"),
    "bash ends itself in its function": (BASH, "f() { exit 0; }"),
    "bash ends itself by a trap": (BASH, "trap 'exit 0' EXIT\nf() { exit 1; }"),
    "bash writes into every channel": (
        BASH,
        'for n in {3..60}; do eval "echo \'{\\"verdict\\": \\"passed\\", \\"message\\": \\"\\", '
        '\\"traceback\\": \\"\\"}\' >&$n"; done 2> /dev/null\nexit 0',
    ),
    "bash kills all": (BASH, "kill -9 -1; kill -9 1; kill -INT 1; exit 0"),
    "C++ ends itself": (CPP, f"{HEADERS}void f() {{ exit(0); }}"),
    "C++ ends before main": (
        CPP,
        f"{HEADERS}struct A {{ A() {{ _exit(0); }} }} a;\nvoid f() {{}}",
    ),
}
GREEDY = {
    "bash forks without end": (BASH, "bomb() { bomb | bomb & }\nf() { bomb; sleep 60; }"),
    "bash waits without end": (BASH, "f() { sleep 60; }"),
    "bash writes without end": (BASH, "f() { yes > all || exit 1; }"),
    "bash prints without end": (BASH, "f() { yes; }"),
    "C++ takes memory without end": (
        CPP,
        f"{HEADERS}void f() {{ while (true) memset(malloc(1 << 24), 1, 1 << 24); }}",
    ),
    "C++ fills memory with children": (
        CPP,
        f"{HEADERS}void f() {{ while (true) if (fork() < 0) pause(); }}",
    ),
    "the compiler is kept busy": (
        replace(CPP, build=(replace(BUILD, timeout_s=2.0),)),
        f"{HEADERS}template <int n> struct A {{ A<n + 1> a; A<n + 2> b; }};\nA<0> a;\nvoid f() {{}}"
        "\nconstexpr long slow(long n) { return n < 2 ? n : slow(n - 1) + slow(n - 2); }"
        "\nstatic_assert(slow(60) > 0);",
    ),
    "the compiler makes a huge file": (CPP, f"{HEADERS}int all[1 << 28] = {{1}};\nvoid f() {{}}"),
    "the compiler reads without end": (CPP, '#include "/dev/zero"\nvoid f() {}'),
}
RIGHT = Program("f() { : < <(echo x); }", BASH, LIMITS)


@pytest.fixture
def tools(user: User) -> str:
    """The level of a sandbox with tools."""
    for program in ("bash", "g++", "perl"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} here")
    name = " ".join(("namespaces", *TOOLS))
    if name not in user.levels:
        answer = user.ask("open", "namespaces", *TOOLS)
        assert not isinstance(answer, str), answer
        user.levels[name] = ""
    return name


def named(user: User, code: str) -> str:
    """Return an attack with what it is told."""
    names = user.ground.names()
    chosen = ("TOKEN", "PUBLIC", "TCP", "UDP", "VICTIM", "DAEMON")
    if code.startswith("#"):
        values = {
            name: names[name] if isinstance(names[name], int) else f'"{names[name]}"'
            for name in chosen
        }
        lines = "".join(f"#define {name} {value}\n" for name, value in values.items())
        return lines + code
    perl = "use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un(q(%s)));"
    values = {name: f"'{names[name]}'" for name in chosen}
    values |= {
        "HOME_OUTSIDE": f"'{names['HOME']}'",
        "PERL_UNIX": f"'{perl % names['UNIX_STREAM']}'",
    }
    lines = "".join(f"{name}={value}\n" for name, value in values.items())
    return f"{lines}f() {{\n{code}\n}}\n"


def run(user: User, tools: str, code: str, test: Commands, limits: Limits = LIMITS) -> Outcome:
    """Run a program, and see that the next one is judged as if it had never been."""
    outcome, next_one = user.run(tools, Program(code, test, limits), RIGHT)
    assert next_one.verdict == "passed", next_one
    return outcome


@pytest.mark.parametrize("attack", [pytest.param(each, id=each.name) for each in ATTACKS])
def test_an_attack_fails(user: User, tools: str, attack: Attack) -> None:
    user.ground.marks("")
    test = CPP if attack.code.startswith("#") else BASH
    outcome = run(user, tools, named(user, attack.code), test)
    assert user.ground.marks(outcome.stdout + outcome.stderr) == []
    assert outcome.verdict != "judge_failed", outcome


@pytest.mark.parametrize(
    "attack", [pytest.param(each, id=each.name) for each in ATTACKS if not each.control]
)
def test_the_same_attack_succeeds_outside(user: User, tools: str, attack: Attack) -> None:
    """Else the tests above would prove nothing."""
    if attack.needs_root and user.name != "root":
        pytest.skip(f"{attack.name}: outside, too, only root succeeds")
    user.ground.marks("")
    test = CPP if attack.code.startswith("#") else BASH
    source = named(user, attack.code) + "\n" + test.tests.replace(MARK, "passed")
    commands = [*(list(step.words) for step in test.build), list(test.run)]
    stdout, stderr = user.outside(
        "import pathlib, subprocess\n"
        f"pathlib.Path({test.source!r}).write_text({source!r})\n"
        f"for words in {commands!r}:\n    subprocess.run(words)\n"
    )[1:]
    deadline = time.monotonic() + 3.0
    while not (marks := user.ground.marks(stdout + stderr, 0)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert marks != [], (stdout, stderr)


@pytest.mark.parametrize(("test", "code"), ENDINGS.values(), ids=ENDINGS)
def test_what_ends_before_its_tests_has_not_passed(
    user: User, tools: str, test: Commands, code: str
) -> None:
    outcome = run(user, tools, code, test)
    assert outcome.verdict in ("wrong_answer", "exception"), outcome
    assert outcome.guarantee == "together"


def test_cpp_includes_no_file_of_the_machine(user: User, tools: str) -> None:
    assert Path("/etc/passwd").exists()
    outcome = run(user, tools, '#include "/etc/passwd"\nvoid f() {}', CPP)
    assert outcome.verdict == "syntax", outcome
    assert "/etc/passwd: No such file or directory" in outcome.stderr
    assert "root:" not in outcome.stderr


@pytest.mark.parametrize(("test", "code"), GREEDY.values(), ids=GREEDY)
def test_what_takes_too_much_is_stopped(user: User, tools: str, test: Commands, code: str) -> None:
    outcome = run(user, tools, code, test, Limits(512, TimeLimit(floor_s=1.0)))
    assert outcome.verdict in ("timeout", "memory", "exception", "syntax"), outcome
    assert len(outcome.stdout) <= LIMITS.output_bytes


def test_other_programs_of_such_a_sandbox_start_nothing(user: User, tools: str) -> None:
    """Tools are for `Commands`; unit tests see no /proc either."""
    code = "import subprocess\nsubprocess.run(['/usr/bin/bash', '-c', 'true'])\n"
    seen = "import os\ndef f():\n    assert not os.listdir('/proc') and not os.listdir('/.proc')\n"
    alone, together = user.run(
        tools, Program(code, Alone(), LIMITS), Program(seen, UnitTests(TESTS, "f"), LIMITS)
    )
    assert alone.message.startswith("PermissionError"), alone
    assert together.verdict == "passed", together


def test_programs_of_other_sandboxes_see_no_tools(user: User) -> None:
    user.level("namespaces")
    code = "import os\nassert not os.path.exists('/usr/bin') and not os.path.exists('/proc')\n"
    assert not user.levels["namespaces"]
    [outcome] = user.run("namespaces", Program(code, Alone(), LIMITS))
    assert outcome.verdict == "passed", outcome


def test_at_level_landlock_nothing_is_judged(user: User) -> None:
    if missing := user.level("landlock"):
        pytest.skip(f"level landlock: {missing}")
    [outcome] = user.run("landlock", RIGHT)
    assert outcome.verdict == "judge_failed"
    assert "no process can be started" in outcome.message
