"""Preemption and time limits: SIGTERM to every process of a job, as a cluster sends it, and a grace period."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import Asked, Job
from snakeval import answering, generation
from snakeval.engine import EngineSettings
from snakeval.engine_starts import Engines
from snakeval.registry import Pair
from snakeval.stopping import Stopped, Stopping, stop_on_signals
from unit.test_plan import make_run
from workflow_copy import TOKENIZER

pytestmark = pytest.mark.faults

GRACE_S = 30  # SLURM's KillWait, unless a site has set it


@pytest.fixture
def notes(job: Job, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """Returns what reads the stand-in's log."""
    path = job.folder / "standin.log"
    path.touch()
    monkeypatch.setenv("STANDIN_LOG", str(path))
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


@contextmanager
def preempted(when: Callable[[], list[dict[str, Any]]], count: int) -> Iterator[None]:
    """Send SIGTERM to this process and the engine's as soon as the stand-in has said so much."""

    def send() -> None:
        deadline = time.monotonic() + 20
        while len(when()) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(when()[0]["pid"], signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=send)
    sender.start()
    yield
    sender.join()


def ask(job: Job, texts: list[str]) -> None:
    settings = EngineSettings(str(TOKENIZER), str(TOKENIZER), job.model, 0, "cuda")
    with (
        stop_on_signals() as stopping,
        Engines(settings, job.folder / "log", "m0", [], stopping) as engines,
    ):
        answering._answer_missing(engines, "m0", [Asked(job.folder, tuple(texts))])


def test_what_is_finished_is_kept_and_nothing_is_started_again(
    job: Job, notes: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_STEP_S", "0.1")
    texts = [f"question {number}" for number in range(100)]
    with preempted(notes, count=5), pytest.raises(Stopped, match="SIGTERM"):
        ask(job, texts)
    told = notes()
    assert len([note for note in told if "start" in note]) == 1
    answered = [note["answer"] for note in told if "answer" in note]
    assert 4 <= len(answered) < 100
    assert list(job.answers) == answered
    assert [event["event"] for event in job.events] == ["start", "end"]


@pytest.mark.parametrize("name", ["STANDIN_STEP_S", "STANDIN_START_S"])
def test_an_engine_that_does_not_listen_is_gone_within_the_grace_period(
    job: Job,
    notes: Callable[[], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """It is in the middle of a long step, or of its start."""
    monkeypatch.setenv(name, "300")
    job.model["engine_limits"]["stall_timeout_s"] = 300
    began = time.monotonic()
    with preempted(notes, count=1), pytest.raises(Stopped, match="SIGTERM"):
        ask(job, ["one", "two"])
    assert time.monotonic() - began < GRACE_S
    with pytest.raises(ProcessLookupError):
        os.kill(notes()[0]["pid"], 0)


def test_a_request_is_not_blamed_for_an_engine_that_the_signal_killed(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vLLM's core ends itself at SIGTERM: the job hears of a death first, here the second of a request's engine."""
    stopping = Stopping()
    deaths: list[str] = []

    def died(sessions: Any, reason: str, left: int) -> bool:
        deaths.append(reason)
        stopping.reason = "SIGTERM" if len(deaths) == 2 else None
        return Engines.died(engines, sessions, reason, left)

    settings = EngineSettings(str(TOKENIZER), str(TOKENIZER), job.model, 0, "cuda")
    with Engines(settings, job.folder / "log", "m0", [], stopping) as engines:
        monkeypatch.setattr(engines, "died", died)
        with pytest.raises(Stopped, match="SIGTERM"):
            answering._answer_missing(engines, "m0", [Asked(job.folder, ("one", "DIE"))])
    assert job.answers == {"r0": "answered"}


def test_prompts_that_are_rendered_do_not_keep_a_job_from_stopping(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rendering 14,000 prompts takes longer than a grace period."""
    run = make_run()
    run.datasets["d0"] |= {"turns": None, "fields": {}}
    monkeypatch.setattr(generation.Generation, "_fetched", lambda self: {"status": "ok"})
    monkeypatch.setattr(type(run), "spec", lambda *_: {"model": {}, "generator": 1})
    monkeypatch.setattr(
        generation, "read_samples", lambda *_: ({"id": str(n)} for n in range(10**4))
    )
    object.__setattr__(run, "settings", {"limit": None, "repeats": 0})
    monkeypatch.setattr(generation.Generation, "_asked", lambda *_: [])
    work = generation.Generation(run, Pair("m0", "d0", "k", "s", 0))
    seen: list[int] = []

    def tick() -> None:
        seen.append(1)
        if len(seen) == 3:
            raise Stopped("SIGTERM")

    work.tick = tick
    with pytest.raises(Stopped, match="SIGTERM"):
        work.prepare(None, None)
    assert not Path("results/journal").exists()
