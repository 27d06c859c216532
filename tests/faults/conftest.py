"""A job's requests before the stand-in engine, and a small disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from snakeval import answering, engine_starts, journal
from snakeval.engine import EngineSettings, Request
from snakeval.registry import Pair, schema
from snakeval.stopping import Stopping
from tokenizers import Tokenizer
from unit.test_plan import make_run
from workflow_copy import TOKENIZER, Workflow, made

MODEL = {
    "source": {"path": str(TOKENIZER)},
    "engine": "standin:StandIn",
    "max_model_len": 1024,
    "engine_limits": {"start_timeout_s": 30, "stall_timeout_s": 2},
}


class Asked(answering.Work):
    """A pair of made-up requests, one for each text."""

    def __init__(self, folder: Path, texts: tuple[str, ...]) -> None:
        pair = Pair("m0", "d0", "k", "s", 0)
        super().__init__(make_run(), pair, "d0", folder / "journal.jsonl")
        tokenizer = Tokenizer.from_file(str(TOKENIZER / "tokenizer.json"))
        self.missing = {
            f"r{n}": Request(f"r{n}", tokenizer.encode(text).ids, {})
            for n, text in enumerate(texts)
        }

    def prepare(self, tokenizer: Any, commit: str | None) -> None: ...


@dataclass
class Job:
    """Asks the stand-in; what it left is read from the journals."""

    folder: Path
    model: dict[str, Any]
    names: list[str]  # of the GPUs

    def ask(self, *texts: str) -> None:
        settings = EngineSettings(str(TOKENIZER), str(TOKENIZER), self.model, 0, "cuda")
        with engine_starts.Engines(
            settings, self.folder / "log", "m0", self.names, Stopping()
        ) as engines:
            answering._answer_missing(engines, "m0", [Asked(self.folder, texts)])

    @property
    def answers(self) -> dict[str, str]:
        """What became of each request: its answer's end, or its error."""
        records = journal.read_journal(self.folder / "journal.jsonl")
        return {record["request"]: record.get("error", "answered") for record in records}

    @property
    def events(self) -> list[dict[str, Any]]:
        return journal.read_journal(journal.sessions_path("m0"))

    def said(self, event: str) -> int:
        return sum(one["event"] == event for one in self.events)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.chdir(tmp_path)
    return Job(tmp_path, schema.filled(MODEL, "model"), [])


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    """Three models × two datasets, not yet run."""
    return made(tmp_path)


def remount(place: Path, *options: str) -> None:
    subprocess.run(["mount", "-o", ",".join(("remount", *options)), str(place)], check=True)


@pytest.fixture
def disk() -> Iterator[Callable[[Path, str], None]]:
    """Returns what makes a folder a disk of its own: `disk(folder, "size=100k")`."""
    if os.geteuid():
        pytest.skip("only root may mount a small disk")
    mounted: list[Path] = []

    def mount(place: Path, options: str) -> None:
        place.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "snakeval-test", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        mounted.append(place)

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
