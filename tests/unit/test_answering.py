"""What is recorded of an engine start; the engine and the GPU are made up, the records are real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from snakeval import answering, engine_starts, gpu, journal, stopping
from snakeval.engine import Answer, EngineSettings, Request
from snakeval.engine.supervisor import EngineDied
from snakeval.registry import Pair
from unit.test_plan import make_run

TAKEN = {"joules": 5.0, "power_w": 50.0, "peak_power_w": 60.0, "utilization_percent": 7.0}


class Slow:
    """An engine that comes up at the third look."""

    looks = 0
    facts: dict[str, Any] | None = None

    def __init__(self, *_: Any) -> None: ...

    def poll_start(self) -> bool:
        self.looks += 1
        if self.looks == 3:
            self.facts = {"seconds": {"import": 1.0, "start": 2.0}}
        return self.facts is not None

    def kill(self) -> None: ...

    def stop(self) -> None: ...


class Meter:
    """Counts how often it is asked."""

    made: list[Meter]

    def __init__(self, _names: list[str]) -> None:
        self.samples = 0
        Meter.made.append(self)

    def sample(self) -> None:
        self.samples += 1

    def read(self) -> dict[str, Any]:
        return TAKEN

    def lost(self) -> str | None:
        return None

    def describe(self) -> dict[str, Any]:
        return {"name": "H100", "count": 1}


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> engine_starts.Engines:
    Meter.made = []
    monkeypatch.setattr(engine_starts, "Supervisor", Slow)
    monkeypatch.setattr(gpu, "Meter", Meter)
    settings = EngineSettings("m", "m", {}, 0, "cuda")
    return engine_starts.Engines(settings, tmp_path / "log", "m", ["0"], stopping.Stopping())


def test_start_and_answers_are_measured_apart(
    engines: engine_starts.Engines, tmp_path: Path
) -> None:
    path = tmp_path / "sessions.jsonl"
    with journal.Appender(path) as sessions:
        engines.ready(sessions)
        engines.count([Answer("a", "", "stop", 3, 1.5, 0.5), Answer("b", "", "stop", 4, 2.0, 0.5)])
        engines.note_end(sessions)
    start, end = journal.read_journal(path)
    assert start["session"] == end["session"]
    assert 0 < start["start_s"] < 60
    for name, value in TAKEN.items():
        assert start[f"start_{name}"] == value
        assert end[name] == value
    assert start["seconds"] == {"import": 1.0, "start": 2.0}
    assert (end["requests"], end["completion_tokens"], end["stream_s"]) == (2, 7, 3.5)
    at_start, at_work = Meter.made[-2:]
    assert at_start.samples > 1  # while it came up, too
    assert at_work.samples > 0


def test_an_engine_that_died_leaves_nothing_to_the_next(
    engines: engine_starts.Engines, tmp_path: Path
) -> None:
    path = tmp_path / "sessions.jsonl"
    with journal.Appender(path) as sessions:
        engines.ready(sessions)
        engines.count([Answer("a", "", "stop", 3, 1.5, 0.5)])
        used = Meter.made[-1]
        engines.died(sessions, "it broke", 1)
        engines.ready(sessions)
        assert used not in Meter.made[-2:]  # the next start is measured from its own beginning
        engines.count([Answer("b", "", "stop", 4, 2.0, 0.5)])
        engines.note_end(sessions)
    end = list(journal.read_journal(path))[-1]
    assert (end["requests"], end["completion_tokens"], end["stream_s"]) == (1, 4, 2.0)


class Dying(Slow):
    """An engine that dies of everything but the trial."""

    def submit(self, requests: list[Request]) -> None:
        self.asked = [request.hash for request in requests]

    def answers(self) -> Iterator[list[Answer]]:
        if self.asked != [engine_starts.TRIAL]:
            raise EngineDied("it broke")
        yield [Answer(engine_starts.TRIAL, "", "length", 1)]


class One(answering.Work):
    """A work of one request."""

    def prepare(self, tokenizer: Any, commit: str) -> None:
        self.missing = {"r": Request("r", [1], {})}


@pytest.mark.parametrize(("device", "blamed"), [("cuda", True), ("endpoint", False)])
def test_of_what_asks_a_server_no_request_is_the_death(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str, blamed: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engine_starts, "Supervisor", Dying)
    settings = EngineSettings("m", "m", {}, 0, device)
    engines = engine_starts.Engines(settings, tmp_path / "log", "m", [], stopping.Stopping())
    work = One(make_run(), Pair("m0", "d0", "k", "s", 0), "d0", tmp_path / "journal")
    work.prepare(None, "")
    answering._answer_missing(engines, "m", [work])
    records = [record["error"] for record in journal.read_journal(tmp_path / "journal")]
    told = "killed the engine twice; the last time: it broke"
    assert records == ([told] if blamed else [])
    assert work.reason == (
        None
        if blamed
        else f"1 request not answered; the first: {told}. Run the same command again; only what is missing is asked."
    )
