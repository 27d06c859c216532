"""What model-written programs cannot do, as root and as an ordinary user, one property a test."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from snakeval.sandbox import Outcome, Program, Sandbox

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
CHECK = "def check(candidate):\n    assert candidate(1) == 2\n"
RIGHT = "def f(x):\n    return x + 1\n"
# Reads programs, writes level and outcomes; with arguments: allow_unsafe.
DRIVER = """
import dataclasses, json, os, sys
from snakeval.errors import SandboxError
from snakeval.sandbox import Program, Sandbox
programs = [Program(**program) for program in json.load(sys.stdin)]
try:
    with Sandbox("allow_unsafe" in sys.argv, workers=2) as sandbox:
        outcomes = [dataclasses.asdict(outcome) for outcome in sandbox.run(programs)]
        print(json.dumps({"level": sandbox.level, "uid": os.getuid(), "outcomes": outcomes}))
except SandboxError as error:
    print(json.dumps({"error": str(error)}))
"""
Runner = Callable[..., Outcome]


def program(code: str, tests: str = CHECK, timeout_s: float = 5.0, memory_mb: int = 512) -> Program:
    return Program(code, tests, "f", timeout_s, memory_mb)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=2) as sandbox:
        assert sandbox.level == "namespaces"
        yield sandbox


@pytest.fixture(scope="module")
def public_scripts() -> Iterator[Path]:
    """A copy of the package where any user can read it."""
    folder = Path(tempfile.mkdtemp(prefix="snakeval-test-"))
    folder.chmod(0o755)
    shutil.copytree(SCRIPTS / "snakeval", folder / "snakeval")
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield folder
    shutil.rmtree(folder)


def drive(command: list[str], scripts: Path, programs: list[Program], *flags: str) -> Any:
    """Run the driver with `command` before it; return what it printed."""
    done = subprocess.run(
        [*command, "-B", "-c", DRIVER, *flags],
        input=json.dumps([asdict(program) for program in programs]),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(scripts), "HF_TOKEN": "secret"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.fixture(scope="module")
def ordinary() -> list[str]:
    """The command that runs Python as an ordinary user."""
    if os.getuid() != 0:
        return [sys.executable]
    # It must be able to start itself again, as the sandbox does.
    code = "import os, sys; os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    recent = "import sys; sys.exit(sys.version_info < (3, 11))"
    for python in (sys.executable, "/usr/bin/python3"):
        probe = [*NOBODY, python, "-c", code, recent]
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return [*NOBODY, python]
    pytest.skip("no Python 3.11 that another user can start")


@pytest.fixture(params=["this user", "ordinary user"])
def run(
    request: pytest.FixtureRequest, sandbox: Sandbox, ordinary: list[str], public_scripts: Path
) -> Runner:
    """Run one program, as this user (root in CI) and as an ordinary one."""
    if request.param == "this user":
        return lambda *args, **kwargs: sandbox.run([program(*args, **kwargs)])[0]

    def run_as_other(*args: Any, **kwargs: Any) -> Outcome:
        answer = drive(ordinary, public_scripts, [program(*args, **kwargs)])
        assert answer["level"] == "namespaces"
        assert answer["uid"] != 0
        return Outcome(**answer["outcomes"][0])

    return run_as_other


def blocked(run: Runner, attack: str, **limits: Any) -> None:
    """Assert that `attack`, statements that set `done` if they succeed, does not."""
    lines = "".join(f"    {line}\n" for line in attack.strip().splitlines())
    code = f"done = None\ntry:\n{lines}except OSError as error:\n    pass\n{RIGHT}"
    outcome = run(
        code + "assert_done = done\n", CHECK + "    assert done is None, done\n", **limits
    )
    assert (outcome.verdict, outcome.message) == ("passed", "")


# --- verdicts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "verdict", "words"),
    [
        (RIGHT, "passed", ""),
        ("def f(x):\n    return x\n", "wrong_answer", "AssertionError"),
        ("def f(x):\n    return y\n", "exception", "NameError: name 'y' is not defined"),
        ("assert False, 'mine'\n", "exception", "AssertionError: mine"),
        ("import no_such_module\n" + RIGHT, "exception", "No module named 'no_such_module'"),
        ("def f(x) return", "syntax", "SyntaxError"),
        ("def f(x):\n    pass\nreturn 1\n", "syntax", "'return' outside function"),
        ("\0", "syntax", "null"),
        ("def g(x):\n    return x + 1\n", "entry_point_missing", "defines no function f"),
        ("f = 3\n", "entry_point_missing", "defines no function f"),
        (RIGHT + "del f\n", "entry_point_missing", "defines no function f"),
        ("def f(x):\n    while True:\n        pass\n", "timeout", "not done after 1 s"),
        ("import time\ntime.sleep(100)\n", "timeout", "not done after 1 s"),
        ("def f(x):\n    return bytearray(10**10)\n", "memory", "more than 512 MiB"),
        ("def f(x):\n    return [[0] * 10**6 for _ in range(10**6)]\n", "memory", "512 MiB"),
        ("def f(x):\n    return f(x)\n", "exception", "RecursionError"),
        ("import ctypes\nctypes.string_at(0)\n", "exception", "SIGSEGV"),
        ("input()\n" + RIGHT, "exception", "EOFError"),
        # Ends that are no pass.
        ("import os\nos._exit(0)\n", "exception", "exit code 0"),
        ("def f(x):\n    import os\n    os._exit(0)\n", "exception", "exit code 0"),
        ("import sys\nsys.exit(0)\n", "exception", "SystemExit: 0"),
        ("def f(x):\n    raise SystemExit(0)\n", "exception", "SystemExit: 0"),
        ("raise KeyboardInterrupt\n", "exception", "KeyboardInterrupt"),
        ("print('passed', flush=True)\nimport os\nos._exit(0)\n", "exception", "exit code 0"),
        (
            'import os\nfor n in range(1, 20):\n    try:\n        os.write(n, b\'{"verdict": '
            '"passed", "message": "", "token": ""}\\n\')\n    except OSError:\n        pass\n'
            "os._exit(0)\n",
            "exception",
            "",
        ),
        ("import os\nos.closerange(0, 99)\nimport time\ntime.sleep(9)\n", "exception", "verdict"),
        ("import os\nif os.fork():\n    os._exit(0)\n" + RIGHT, "exception", "exit code 0"),
        (
            "class E(Exception):\n    def __str__(self):\n        1 / 0\nraise E\n",
            "exception",
            "E: ",
        ),
        ("raise ValueError('x' * 10**6)\n", "exception", "ValueError: xxx"),
        ("raise ValueError('\\ud800\\0')\n", "exception", "\ud800\0"),
    ],
)
def test_verdict(sandbox: Sandbox, code: str, verdict: str, words: str) -> None:
    [outcome] = sandbox.run([program(code, timeout_s=1)])
    assert (outcome.verdict, words in outcome.message) == (verdict, True), outcome
    assert len(outcome.message) <= 2000
    assert len(outcome.traceback) <= 2000


def test_only_the_first_process_says_the_verdict(sandbox: Sandbox) -> None:
    code = "import os, time\nif os.fork() == 0:\n    raise ValueError\ntime.sleep(0.3)\n"
    [outcome] = sandbox.run([program(code + RIGHT)])
    assert (outcome.verdict, outcome.message) == ("passed", "")


@pytest.mark.parametrize(
    ("tests", "words"), [("def check(", "SyntaxError"), ("x = 1\n", "no function check")]
)
def test_broken_tests_are_not_the_programs_fault(sandbox: Sandbox, tests: str, words: str) -> None:
    [outcome] = sandbox.run([program(RIGHT, tests)])
    assert outcome.verdict == "judge_failed"
    assert words in outcome.message


def test_a_traceback_shows_the_lines_and_no_path_of_ours(sandbox: Sandbox) -> None:
    [outcome] = sandbox.run([program("def f(x):\n    return None + x\n")])
    assert outcome.traceback.splitlines()[-1].startswith("TypeError: unsupported operand")
    assert "return None + x" in outcome.traceback
    assert "assert candidate(1) == 2" in outcome.traceback
    assert "worker.py" not in outcome.traceback
    assert str(SCRIPTS) not in outcome.traceback


def test_equal_runs_say_the_same() -> None:
    codes = [
        "class A:\n    pass\ndef f(x):\n    raise ValueError(A(), f, {'a', 'b', 'c', 'd'})\n",
        "import random\ndef f(x):\n    raise ValueError(random.random())\n",
        "import os\ndef f(x):\n    raise ValueError(os.getcwd(), os.getpid())\n",
        "def f(x):\n    return f(x)\n",
    ]
    said = []
    for _ in range(2):
        with Sandbox(workers=1) as sandbox:
            outcomes = sandbox.run([program(code) for code in codes])
        said.append([(o.verdict, o.message, o.traceback) for o in outcomes])
    assert said[0] == said[1]
    assert "0x…" in said[0][0][1]


def test_order_is_kept_and_nothing_is_lost(sandbox: Sandbox) -> None:
    ends = [RIGHT, "import os\nos._exit(1)\n", "import os\nos.kill(0, 9)\n", "raise ValueError\n"]
    programs = [program(ends[n % 4] + f"# {n}\n") for n in range(400)]
    verdicts = [outcome.verdict for outcome in sandbox.run(programs)]
    # Signals to its own group do not reach the first process of a namespace.
    assert verdicts == ["passed", "exception", "entry_point_missing", "exception"] * 100
    assert sandbox.run([]) == []


def test_a_timeout_counts_only_when_it_happens_alone() -> None:
    asked: list[str] = []

    class Slow:
        def run(self, program: Program) -> Outcome:
            asked.append(program.code)
            return Outcome("timeout" if asked.count(program.code) == 1 else "passed")

        def close(self) -> None:
            pass

    with Sandbox(workers=1) as sandbox:
        sandbox.close()
        sandbox._workers = [Slow()]  # type: ignore[list-item]
        outcomes = sandbox.run([program("a"), program("b")])
    assert asked == ["a", "b", "a", "b"]
    assert [outcome.verdict for outcome in outcomes] == ["passed", "passed"]


def test_a_worker_that_is_killed_is_started_anew(sandbox: Sandbox) -> None:
    worker = sandbox._workers[0]
    assert worker._process is not None
    killer = threading.Timer(0.5, worker._process.kill)
    killer.start()
    outcome = worker.run(program("import time\ntime.sleep(1)\n" + RIGHT))
    killer.join()
    assert outcome.verdict == "passed"


def test_a_worker_that_is_killed_again_and_again_is_a_failed_judge(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> Any:
        raise ConnectionError("no answer")

    monkeypatch.setattr(type(sandbox._workers[0]), "_receive", lost)
    assert sandbox._workers[0].run(program(RIGHT)).verdict == "judge_failed"


# --- network ----------------------------------------------------------------------------------------


def test_no_connection_to_this_machine(run: Runner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(
            ("127.0.0.1", port), timeout=5
        ).close()  # it is reachable from here
        blocked(run, f"import socket\ndone = socket.create_connection(('127.0.0.1', {port}), 2)")


def test_no_interface_but_loopback(run: Runner) -> None:
    blocked(
        run,
        "import socket\nnames = [name for _, name in socket.if_nameindex()]\n"
        "done = names if names != ['lo'] else None",
    )


def test_no_names_are_resolved(run: Runner) -> None:
    blocked(run, "import socket\ndone = socket.getaddrinfo('example.org', 80)")


def test_no_datagram_leaves(run: Runner) -> None:
    blocked(
        run,
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "done = s.sendto(b'x', ('192.0.2.1', 53))",
    )


def test_no_abstract_socket(run: Runner) -> None:
    name = f"\0snakeval-test-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        blocked(
            run,
            f"import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect({name!r})\ndone = 'connected'",
        )


# --- files and environment ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc/shadow",
        "/proc/1/environ",
        "/proc/self/status",
        "/dev/mem",
        "/sys/kernel",
    ],
)
def test_no_file_of_the_machine(run: Runner, path: str) -> None:
    blocked(run, f"import os\ndone = os.stat({path!r})")


def test_no_file_of_the_repository_or_home(run: Runner) -> None:
    for path in (Path(__file__), SCRIPTS, Path.home() / ".cache"):
        blocked(run, f"import os\ndone = os.stat({str(path)!r})")


def test_no_secret_of_the_environment(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    names = ["HOME", "LANG", "PATH", "PYTHONHASHSEED", "TZ"]
    tests = CHECK + f"    import os\n    assert sorted(os.environ) == {names}, sorted(os.environ)\n"
    if run.__name__ == "<lambda>":  # its workers must see the variable
        with Sandbox(workers=1) as sandbox:
            outcome = sandbox.run([program(RIGHT, tests)])[0]
    else:
        outcome = run(RIGHT, tests)
    assert (outcome.verdict, outcome.message) == ("passed", "")


@pytest.mark.parametrize("folder", ["/", "/usr/lib", "/dev", os.path.dirname(os.__file__)])  # noqa: PTH120
def test_nothing_is_written_outside_tmp(run: Runner, folder: str) -> None:
    blocked(run, f"done = open({folder + '/made_by_a_program'!r}, 'w')")


def test_tmp_is_empty_writable_and_forgotten(run: Runner) -> None:
    code = "import os\nassert os.listdir() == [] == os.listdir('/tmp')\nopen('a', 'w').write('b')\n"
    for _ in range(2):
        outcome = run(code + RIGHT)
        assert (outcome.verdict, outcome.message) == ("passed", "")


def test_a_huge_file_is_refused(run: Runner) -> None:
    blocked(
        run,
        "with open('big', 'wb') as file:\n    for _ in range(3000):\n        file.write(bytes(1 << 20))\n"
        "done = 'written'",
    )


def test_a_hundred_thousand_files_are_refused(run: Runner) -> None:
    blocked(
        run, "for n in range(100_000):\n    open(str(n), 'w').close()\ndone = 'made'", timeout_s=20
    )


def test_no_descriptor_is_inherited(run: Runner) -> None:
    code = "import os\nfound = []\nfor n in range(4, 256):\n    try:\n        os.fstat(n)\n"
    code += "        found.append(n)\n    except OSError:\n        pass\n"
    outcome = run(code + RIGHT, CHECK + "    assert found == [], found\n")
    assert (outcome.verdict, outcome.message) == ("passed", "")


# --- processes and privileges ----------------------------------------------------------------------------


def test_no_process_but_its_own(run: Runner) -> None:
    blocked(
        run,
        "import os\ndone = None if (os.getpid(), os.getppid()) == (1, 0) else 'sees others'\n"
        "os.kill(2, 0)\ndone = 'signalled'",
    )


@pytest.mark.parametrize("target", [0, -1])
def test_a_signal_to_everybody_stays_inside(run: Runner, target: int) -> None:
    outcome = run(f"import os\ntry:\n    os.kill({target}, 9)\nexcept OSError:\n    pass\n" + RIGHT)
    assert outcome.verdict == "passed"


def test_no_way_to_become_root(run: Runner) -> None:
    blocked(run, "import os\nos.setuid(0)\ndone = os.getuid()")


def test_no_mount(run: Runner) -> None:
    blocked(
        run,
        "import ctypes\nif ctypes.CDLL(None).mount(b'x', b'/tmp', b'tmpfs', 0, None) == 0:\n"
        "    done = 'mounted'",
    )


def test_a_fork_bomb_is_bounded(run: Runner) -> None:
    outcome = run("import os\nwhile True:\n    os.fork()\n", timeout_s=2)
    assert outcome.verdict in ("exception", "timeout")
    assert outcome.seconds < 10


def test_a_thread_bomb_is_bounded(run: Runner) -> None:
    outcome = run(
        "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=[9]).start()\n",
        timeout_s=2,
    )
    assert outcome.verdict == "exception"
    assert "start new thread" in outcome.message


def test_endless_output_is_dropped(run: Runner) -> None:
    outcome = run("while True:\n    print('x' * 100_000)\n", timeout_s=1)
    assert outcome.verdict == "timeout"
    assert len(outcome.output) == 64 * 1024
    loud = run("print('x' * 10_000_000)\n" + RIGHT)
    assert loud.verdict == "passed"


DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    for _ in range(9):
        if os.fork() == 0:
            os.closerange(0, 99)
            time.sleep(100)
    os._exit(0)
"""
only_root_sees = pytest.mark.skipif(os.getuid() != 0, reason="only root sees all namespaces")


@only_root_sees
@pytest.mark.parametrize(
    "end", ["", "os._exit(0)\n", "time.sleep(100)\n", "os.closerange(0, 9)\ntime.sleep(100)\n"]
)
def test_no_daemon_survives(end: str) -> None:
    with Sandbox(workers=1) as sandbox:
        process = sandbox._workers[0]._process
        assert process is not None
        namespace = os.readlink(f"/proc/{process.pid}/ns/user")  # noqa: PTH115
        assert members(namespace) == {process.pid}
        sandbox.run([program(DAEMON + end + RIGHT, timeout_s=1)])
        assert settled(namespace, 1) == {process.pid}
    assert settled(namespace, 0) == set()


@only_root_sees
@pytest.mark.parametrize("victim", ["scorer", "worker"])
def test_nothing_survives_a_killed_job(victim: str) -> None:
    scorer = subprocess.Popen(
        [sys.executable, "-B", "-c", DRIVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": str(SCRIPTS)},
    )
    assert scorer.stdin is not None
    request = asdict(program(DAEMON + "time.sleep(100)\n", timeout_s=100))
    try:
        scorer.stdin.write(json.dumps([request]).encode())
        scorer.stdin.close()
        children = Path(f"/proc/{scorer.pid}/task/{scorer.pid}/children")
        ours = os.readlink("/proc/self/ns/user")  # noqa: PTH115
        deadline = time.monotonic() + 20
        worker, namespace = 0, ours
        while namespace == ours and time.monotonic() < deadline:
            time.sleep(0.05)
            if found := children.read_text().split():
                worker = int(found[0])
                namespace = os.readlink(f"/proc/{worker}/ns/user")  # noqa: PTH115
        assert namespace != ours
        assert len(settled(namespace, 12)) == 12  # worker, supervisor, program, nine daemons
        if victim == "worker":
            scorer.send_signal(signal.SIGSTOP)  # else it starts another one
            os.kill(worker, signal.SIGKILL)
        else:
            scorer.kill()
        assert settled(namespace, 0) == set()
    finally:
        scorer.kill()
        scorer.wait()


def settled(namespace: str, count: int) -> set[int]:
    """Return the processes in a user namespace once there are `count`, at the latest after 10 s."""
    deadline = time.monotonic() + 10
    while len(found := members(namespace)) != count and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def members(namespace: str) -> set[int]:
    """Return the processes in a user namespace, but for those that only wait to be reaped."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ended = "State:\tZ" in (folder / "status").read_text()
            if not ended and os.readlink(folder / "ns/user") == namespace:  # noqa: PTH115
                found.add(int(folder.name))
        except OSError:  # ended meanwhile
            continue
    return found


# --- machines without user namespaces ----------------------------------------------------------------------


@pytest.fixture
def without_namespaces(ordinary: list[str]) -> list[str]:
    """The command that runs Python where no further user namespace can be made."""
    shell = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    python = sys.executable if os.getuid() == 0 else ordinary[-1]
    return ["unshare", "--user", "--map-root-user", "sh", "-c", shell, "sh", python]


def test_without_isolation_nothing_runs(without_namespaces: list[str]) -> None:
    error = drive(without_namespaces, SCRIPTS, [program(RIGHT)])["error"]
    assert "user.max_user_namespaces" in error
    assert "sandbox: {unsafe_no_isolation: true}" in error
    assert "\n" not in error


def test_without_isolation_a_setting_allows_it_and_says_so(without_namespaces: list[str]) -> None:
    daemon = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(300)\n"
    programs = [
        program(RIGHT),
        program("import os\nassert os.listdir() == []\nopen('a', 'w')\n" + RIGHT),
        program("import os\nos._exit(0)\n"),
        program("while True:\n    pass\n", timeout_s=0.5),
        program("def f(x):\n    return bytearray(10**10)\n"),
        program(daemon + RIGHT),
        program("import os\ndef f(x):\n    raise ValueError(os.getcwd())\n"),
    ]
    answer = drive(without_namespaces, SCRIPTS, programs, "allow_unsafe")
    assert answer["level"] == "none"
    verdicts = [outcome["verdict"] for outcome in answer["outcomes"]]
    assert verdicts == ["passed", "passed", "exception", "timeout", "memory", "passed", "exception"]
    assert answer["outcomes"][-1]["message"] == "ValueError: /tmp"
    assert list(Path(tempfile.gettempdir()).glob("snakeval-program-*")) == []
    assert all(outcome["seconds"] < 5 for outcome in answer["outcomes"])
    assert b"sleep(300)" not in b"".join(
        path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()
    )


def test_root_of_a_user_namespace_is_isolated_too(public_scripts: Path) -> None:
    command = ["unshare", "--user", "--map-root-user", sys.executable]
    answer = drive(command, public_scripts, [program(RIGHT)])
    assert (answer["level"], answer["uid"]) == ("namespaces", 0)
    assert answer["outcomes"][0]["verdict"] == "passed"
