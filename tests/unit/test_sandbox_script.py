"""The command line that runs one program, as people and audits use it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sandbox as script
from snakeval.errors import run_cli
from snakeval.sandbox import LEVELS

SCRIPT = Path(script.__file__)
MARKER = "nobody_quotes_this"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line on a program's text; return exit code, output and error output."""

    def run(code: str | None, *arguments: str, given: bytes = b"") -> tuple[int, str, str]:
        path = tmp_path / "program.py"
        if code is not None:
            path.write_text(code, encoding="utf-8")
            arguments = (str(path), *arguments)
        monkeypatch.setattr(sys, "argv", ["sandbox.py", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        with pytest.raises(SystemExit) as ended:
            run_cli(script.main)
        output, errors = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, output, errors

    return run


def record(run: Run, code: str | None, *arguments: str, given: bytes = b"") -> dict[str, Any]:
    exit_code, output, errors = run(code, "--json", *arguments, given=given)
    assert (exit_code, errors) == (0, "")
    assert output.count("\n") == 1
    found: dict[str, Any] = json.loads(output)
    return found


def test_one_object_with_these_facts(run: Run) -> None:
    found = record(run, "import sys\nprint(6 * 7)\nprint('no', file=sys.stderr)\n")
    assert list(found) == ["verdict", "stdout", "stderr", "seconds", "max_rss_bytes", "level"]
    assert (found["verdict"], found["stdout"], found["stderr"]) == ("passed", "42\n", "no\n")
    assert 0 < found["seconds"] < 3
    assert 1 << 20 < found["max_rss_bytes"] < 1 << 30
    assert found["level"] in LEVELS[:2]


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("pass", "passed"),
        ("raise SystemExit(0)", "passed"),
        ("raise SystemExit(3)", "exception"),
        ("1 / 0", "exception"),
        ("def f(:", "syntax"),
        ("while True: pass", "timeout"),
        ("x = 'a' * (1 << 30)", "memory"),
        ("open('/etc/passwd').read()", "exception"),
    ],
)
def test_whatever_comes_of_it_the_exit_code_is_0(run: Run, code: str, verdict: str) -> None:
    assert record(run, code, "--timeout", "0.5", "--memory", "512")["verdict"] == verdict


QUOTED = {
    "traceback": f"def f():\n    raise ValueError('bad')  # {MARKER}\nf()  # {MARKER}\n",
    "cause": f"try:\n    {MARKER}_1 = 1 / 0\nexcept ZeroDivisionError:\n    {{}}['x']  # {MARKER}\n",
    "group": f"def f():\n    1 / 0  # {MARKER}\n"
    "try:\n    f()\nexcept ArithmeticError as e:\n"
    f"    raise ExceptionGroup('bad', [e])  # {MARKER}\n",
    "several lines": f"print(\n    1 / 0,  # {MARKER}\n    '{MARKER}',\n)\n",
    "recursion": f"def f(): return f() + f()  # {MARKER}\nf()\n",
    "thread": "import threading\n"
    f"threading.Thread(target=lambda: 1 / 0).start()  # {MARKER}\nraise OSError  # {MARKER}\n",
    "warning": f"import warnings\nif True:\n    warnings.warn('careful')  # {MARKER}\n",
    "warning while compiled": f"x = '\\d'  # {MARKER}\nraise OSError\n",
    "syntax": f"x = 1\n{MARKER} = = 2\n",
    "indentation": f"x = 1\n    {MARKER} = 2\n",
    "syntax of a text inside": f"exec('x = = 1  # {MARKER}')\n",
    "printed by itself": "import traceback\ntry:\n"
    f"    1 / 0  # {MARKER}\nexcept ArithmeticError:\n    traceback.print_exc()\n",
    "assertion": f"assert 1 == 2  # {MARKER}\n",
    "exit handler": f"import atexit\n@atexit.register\ndef f():\n    1 / 0  # {MARKER}\n",
}


@pytest.mark.parametrize("name", QUOTED)
def test_json_quotes_nothing_of_the_program(run: Run, name: str) -> None:
    found = record(run, QUOTED[name])
    assert MARKER not in json.dumps(found)
    if "syntax" not in name and name != "indentation":
        assert "Error" in found["stderr"] or "Warning" in found["stderr"]


def test_people_see_the_source_lines(run: Run) -> None:
    assert run(QUOTED["traceback"])[1].count(MARKER) == 2
    assert run(QUOTED["syntax"])[1].count(MARKER) == 1


def test_what_else_is_on_standard_error_stays() -> None:
    source = "else:\n    pass\n    go(1)\n"
    told = (
        "pass\n  not of it\n"
        '  File "solution.py", line 3, in f\n    go(1)\n    ^^^^^\n'
        "  [Previous line repeated 3 more times]\n"
        "ValueError: two\n    lines\n\nelse:\n  go(1)\nend"
    )
    assert script.without_source(told, source) == (
        'pass\n  not of it\n  File "solution.py", line 3, in f\n'
        "  [Previous line repeated 3 more times]\n"
        "ValueError: two\n    lines\n\nelse:\nend"
    )


def test_people_get_verdict_use_level_and_output(run: Run) -> None:
    exit_code, output, errors = run("print('\\x1b[31mred\\u202e')\nraise KeyError('k')\n")
    assert (exit_code, errors) == (0, "")
    lines = output.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["verdict", "time", "memory", "level"]
    assert lines[0] == "verdict  exception: KeyError: 'k'"
    assert "limit 3 s" in lines[1]
    assert "MiB, limit 1,024 MiB" in lines[2]
    assert "seccomp" in lines[3]
    assert "standard output:\n␛[31mred⟨U+202E⟩\n" in output
    assert "standard error:\nTraceback" in output


def test_standard_input_is_empty_or_a_file(run: Run, tmp_path: Path) -> None:
    code = "import sys\nprint(repr(sys.stdin.read()))\n"
    assert record(run, code, given=b"not for it")["stdout"] == "''\n"
    given = tmp_path / "input.txt"
    given.write_text("3 4\nä\n", encoding="utf-8")
    assert record(run, code, "--stdin", str(given))["stdout"] == "'3 4\\nä\\n'\n"
    assert record(run, code, "--stdin", "-", given=b"5\n")["stdout"] == "'5\\n'\n"


def test_a_dash_reads_the_program(run: Run) -> None:
    given = "# coding: latin-1\nprint('\xe4')\n".encode("latin-1")
    assert record(run, None, "-", given=given)["stdout"] == "ä\n"


def test_limits_are_those_given(run: Run) -> None:
    found = record(run, "import time\ntime.sleep(9)\n", "--timeout", "0.3")
    assert found["verdict"] == "timeout"
    assert 0.3 <= found["seconds"] < 2
    code = "x = bytearray(200 << 20)\n"
    assert record(run, code, "--memory", "128")["verdict"] == "memory"
    assert record(run, code, "--memory", "1024")["verdict"] == "passed"


def test_without_isolation_it_says_so(run: Run) -> None:
    unsafe = ("--level", "none", "--unsafe-no-isolation")
    assert record(run, "pass", *unsafe)["level"] == "none"
    assert "NO ISOLATION" in run("pass", *unsafe)[1]
    # Only allowed, it is not taken where there is a safe level.
    assert record(run, "pass", "--unsafe-no-isolation")["level"] != "none"
    assert "NO ISOLATION" not in run("pass")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{}/none.py"], "none.py: got No such file or directory"),
        (["{}"], "got Is a directory; expected a file to read"),
        (["{}/binary"], "binary: got bytes that are no text"),
        (["{}/zero"], "zero: got a zero byte; expected text"),
        (["/dev/zero"], "/dev/zero: got more than 16,777,216 bytes"),
        (["{}/ok.py", "--stdin", "{}/none"], "none: got No such file or directory"),
        (["{}/ok.py", "--stdin", "{}/binary"], "binary: got bytes that are no UTF-8"),
        (["-", "--stdin", "-"], "--stdin: got - for both"),
        (["{}/ok.py", "--timeout", "0"], "--timeout: got '0'"),
        (["{}/ok.py", "--timeout", "nan"], "--timeout: got 'nan'"),
        (["{}/ok.py", "--timeout", "1e9"], "--timeout: got '1e9'"),
        (["{}/ok.py", "--memory=-5"], "--memory: got '-5'"),
        (["{}/ok.py", "--memory", "much"], "--memory: got 'much'"),
        (["{}/ok.py", "--level", "namespace"], "Did you mean namespaces?"),
        (["{}/ok.py", "--level", "none"], "Add --unsafe-no-isolation"),
    ],
)
def test_bad_input_is_one_line(run: Run, tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "ok.py").write_text("pass\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x80")
    (tmp_path / "zero").write_bytes(b"x = 1\0\n")
    exit_code, output, errors = run(None, *(part.format(tmp_path) for part in arguments))
    assert (exit_code, output) == (2, "")
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert said in errors


def test_no_safe_level_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snakeval.sandbox.pool.LEVELS", ("none",))
    exit_code, output, errors = run("pass", "--json")
    assert (exit_code, output) == (2, "")
    assert errors.startswith("error: sandbox: got no isolation")
    assert errors.count("\n") == 1
    assert record(run, "pass", "--unsafe-no-isolation")["level"] == "none"


def test_a_program_that_cannot_be_run_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "snakeval.sandbox.pool._Worker.run", lambda *_: {"error": "fork: no\nprocess"}
    )
    exit_code, output, errors = run("pass", "--json")
    assert (exit_code, output) == (2, "")
    assert errors.count("\n") == 1
    assert "program.py: got fork: no process" in errors


def test_as_a_command_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import sys\nprint(sys.argv, 'ä')\n", encoding="utf-8")
    command = [sys.executable, str(SCRIPT), "program.py", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["stdout"] == "['solution.py'] ä\n"
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == [tmp_path / "program.py"]
