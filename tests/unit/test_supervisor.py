"""An engine's process is started with a deadline, heard, stopped, and gone with its job."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from snakeval.engine import EngineSettings, Request, load_engine
from snakeval.engine.supervisor import EngineDied, Supervisor
from snakeval.errors import EngineError
from tokenizers import Tokenizer

TOKENIZER = Path(__file__).parents[1] / "fixtures" / "tokenizer"


def settings(**limits: float) -> EngineSettings:
    model = {
        "engine": "standin:StandIn",
        "engine_limits": {"start_timeout_s": 30, "stall_timeout_s": 30} | limits,
    }
    return EngineSettings(str(TOKENIZER), str(TOKENIZER), model, 0, "cpu")


def requests(*texts: str) -> list[Request]:
    tokenizer = Tokenizer.from_file(str(TOKENIZER / "tokenizer.json"))
    return [
        Request(f"r{number}", tokenizer.encode(text).ids, {}) for number, text in enumerate(texts)
    ]


def answered(engine: Supervisor, count: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for answers in engine.answers():
        found |= {answer.hash: answer for answer in answers}
        if len(found) == count:
            break
    return found


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "engine.log"


@pytest.fixture
def engine(log: Path) -> Iterator[Supervisor]:
    engine = Supervisor(settings(stall_timeout_s=3), log, "alpha")
    yield engine
    engine.kill()


def started(engine: Supervisor) -> Supervisor:
    while not engine.poll_start():
        pass
    return engine


def test_each_request_is_answered_once(engine: Supervisor) -> None:
    started(engine).submit(requests("one", "SOLVE:def f(x):;return 1", "three"))
    answers = answered(engine, 3)
    assert answers["r1"].completion == "```python\ndef f(x):\n    return 1\n```"
    assert {answer.finish_reason for answer in answers.values()} == {"stop"}


def test_a_second_wave_is_answered_by_the_same_engine(engine: Supervisor) -> None:
    started(engine)
    for _ in range(2):
        engine.submit(requests("one", "two"))
        assert set(answered(engine, 2)) == {"r0", "r1"}


def test_a_refused_request_gets_an_error_and_the_others_go_on(engine: Supervisor) -> None:
    started(engine).submit(requests("one", "REFUSE", "three"))
    answers = answered(engine, 3)
    assert answers["r1"].finish_reason == "error"
    assert answers["r1"].error == "this prompt cannot be answered"
    assert answers["r2"].finish_reason == "stop"


def test_an_engine_that_fails_to_start_says_why(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDIN_BROKEN", "1")
    engine = Supervisor(settings(), log, "alpha")
    with pytest.raises(EngineError, match=r"model alpha: engine start: got .*CUDA out of memory"):
        started(engine)
    assert "Traceback" in log.read_text()


def test_an_engine_that_is_late_is_killed(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDIN_START_S", "60")
    engine = Supervisor(settings(start_timeout_s=2), log, "alpha")
    with pytest.raises(EngineError, match="nothing within 2 s"):
        started(engine)
    assert engine._process.exitcode == -signal.SIGKILL


def test_an_unknown_engine_class_is_named(log: Path) -> None:
    with pytest.raises(EngineError, match=r"engine no_such\.module:Class: got No module named"):
        load_engine("no_such.module:Class")


def test_a_killed_engine_is_noticed(engine: Supervisor) -> None:
    started(engine).submit(requests("one", "DIE", "three"))
    with pytest.raises(EngineDied, match="signal 9"):
        answered(engine, 3)


def test_a_silent_engine_is_killed(engine: Supervisor) -> None:
    started(engine).submit(requests("HANG"))
    with pytest.raises(EngineDied, match="silent for 3 s"):
        answered(engine, 1)


def test_what_is_finished_when_the_job_stops_is_not_lost(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_STEP_S", "0.2")
    monkeypatch.setenv("STANDIN_LOG", str(log.with_name("standin")))
    engine = started(Supervisor(settings(), log, "alpha"))
    engine.submit(requests(*"abcdefghijklmnop"))
    time.sleep(1)
    heard = [answer.hash for answers in engine.last_answers() for answer in answers]
    engine.kill()
    notes = [json.loads(line) for line in log.with_name("standin").read_text().splitlines()]
    assert heard
    assert heard == [note["answer"] for note in notes if "answer" in note]


def test_the_engine_goes_with_its_job(tmp_path: Path) -> None:
    """The job is killed with SIGKILL; engine and whatever it started must be gone."""
    job = f"""
import sys, time
sys.path[:0] = {sys.path!r}
from test_supervisor import started, settings
from snakeval.engine.supervisor import Supervisor
from pathlib import Path
if __name__ == "__main__":
    engine = started(Supervisor(settings(), Path({str(tmp_path / "log")!r}), "alpha"))
    print(engine._process.pid, flush=True)
    time.sleep(60)
"""
    (tmp_path / "job.py").write_text(job)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "job.py")],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
    )
    assert process.stdout
    with process.stdout:
        group = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the engine outlived its job")
