"""Disks that are full, read-only or late."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import Job, remount
from snakeval import answering, journal
from snakeval.errors import StorageError
from snakeval.predictions import collect
from snakeval.records import write_json, write_jsonl
from unit.test_plan import make_run
from unit.test_predictions import PAIR, answer, asked
from workflow_copy import Outcome, Workflow, row

pytestmark = pytest.mark.faults

FULL = (
    "got No space left on device; expected a file that can be read and written. "
    "Free space on that disk, then run the same command again."
)


def only_error(outcome: Outcome, line: str) -> None:
    """Assert that this line was told, and no traceback."""
    assert line in outcome.output.splitlines(), outcome.output
    assert "Traceback" not in outcome.output


def test_a_full_disk_loses_no_answer_and_the_next_run_goes_on(
    job: Job, disk: Callable[[Path, str], None]
) -> None:
    disk(job.folder / "small", "size=24k")
    job.folder /= "small"
    texts = [f"question {number}" for number in range(200)]
    with pytest.raises(StorageError) as caught:
        job.ask(*texts)
    path = job.folder / "journal.jsonl"
    assert str(caught.value) == f"{path}: {FULL}"
    assert path.read_bytes().endswith(b"\n")
    kept = path.read_bytes().splitlines()
    assert 0 < len(kept) < 200
    remount(job.folder, "size=1m")
    left = [text for number, text in enumerate(texts) if f"r{number}" not in job.answers]
    assert len(left) == 200 - len(kept)
    job.ask(*texts)
    assert path.read_bytes().splitlines()[: len(kept)] == kept
    assert len(job.answers) == 200


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, disk: Callable[[Path, str], None]) -> None:
    disk(tmp_path / "small", "size=8k")
    path = tmp_path / "small" / "metrics.json"
    write_json(path, {"value": 1})
    with pytest.raises(StorageError) as caught:
        write_json(path, {"value": "x" * 10_000})
    assert str(caught.value) == f"{path}: {FULL}"
    assert path.read_text() == '{\n "value": 1\n}\n'
    assert [found.name for found in path.parent.iterdir()] == ["metrics.json"]


def test_a_run_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    workflow: Workflow, disk: Callable[[Path, str], None]
) -> None:
    workflow.models = {"alpha": workflow.models["alpha"]}
    workflow.datasets = {"first": workflow.datasets["first"]}
    workflow.rows("first", [row(number, "word " * 300) for number in range(60)])
    results = workflow.folder / "results"
    disk(results, "size=330k")
    full = workflow.run("--until", "predictions", expect=1)
    told = [line for line in full.output.splitlines() if line.startswith("error: results/")]
    assert told, full.output
    assert all(line.endswith(FULL) for line in told)
    assert f"failed: alpha on first (generate): {told[0].removeprefix('error: ')}" in full.output
    assert "Traceback" not in full.output
    assert full.answered
    kept = set(full.answered) & set(journal.read_answers(results / "journal/alpha/first.jsonl"))
    remount(results, "size=40m")
    again = workflow.run("--until", "predictions")
    again.only(generate=1, predictions=1)
    assert not kept & set(again.answered)
    assert len(kept) + len(again.answered) == 60


def test_no_engine_is_started_on_a_full_disk(
    job: Job, disk: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster tries a job that failed again: that must not cost a start each time."""
    disk(Path("results").absolute(), "size=32k")
    monkeypatch.setattr(answering, "_answer", lambda *_: pytest.fail("it went on"))
    status = Path("results/engines/m0/0.json")
    with pytest.raises(StorageError) as caught:
        answering.run_job(make_run(), "m0", [], status, status.with_suffix(""), Path("log"))
    assert str(caught.value) == f"results/engines/m0/0.room: {FULL}"
    assert list(status.parent.iterdir()) == []


def test_read_only_results_stop_a_run_before_it_starts(
    workflow: Workflow, disk: Callable[[Path, str], None]
) -> None:
    disk(workflow.folder / "results", "size=1m,ro")
    outcome = workflow.run(expect=2)
    only_error(
        outcome,
        f"error: {workflow.folder}/results/.running: got Read-only file system; expected a file that can be read and "
        "written. Use a folder on a writable disk.",
    )
    assert not outcome.jobs


def test_results_that_become_read_only_are_named(
    job: Job, disk: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk(job.folder / "small", "size=1m")
    job.folder /= "small"
    job.ask("one")
    remount(job.folder, "ro")
    with pytest.raises(StorageError) as caught:
        job.ask("one")
    assert str(caught.value) == (
        f"{job.folder}/journal.jsonl: got Read-only file system; expected a file that can be read and written. "
        "Use a folder on a writable disk."
    )
    assert list(job.answers) == ["r0"]


def test_answers_that_a_network_disk_shows_late_are_waited_for(job: Job) -> None:
    answers: list[dict[str, Any]] = [answer(name, "s", 1.0) for name in "ab"]
    asked([{"id": name, "request": name} for name in "ab"], answers)
    path = journal.journal_path("m", "d")
    hidden = path.rename(path.with_suffix(".hidden"))

    def show() -> None:
        time.sleep(1.5)
        hidden.rename(path)

    late = threading.Thread(target=show)
    late.start()
    assert [prediction["id"] for prediction in collect(PAIR)[0]] == ["a", "b"]
    late.join()


def test_answers_that_never_come_are_named(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LATE_S", 1)
    asked([{"id": name, "request": name} for name in "ab"], [answer("a", "s", 1.0)])
    with pytest.raises(StorageError) as caught:
        collect(PAIR)
    assert str(caught.value) == (
        "results/journal/m/d.jsonl: got no answer to request b (sample b); expected an answer to each request. "
        "Run the same command again; only what is missing is asked."
    )


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_a_disk_without_locks_is_named(number: int) -> None:
    error = OSError(number, os.strerror(number))
    told = str(StorageError.from_os_error(error, "results/.running"))
    assert told.startswith(f"results/.running: got {os.strerror(number)}; expected a file")
    assert told.endswith("That disk does not lock files: mount it with locks, or use another one.")


def test_what_was_written_whole_is_read_whole(tmp_path: Path) -> None:
    """A reader beside a writer sees the old file or the new one: so does one on another machine."""
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"n": 0}])
    with path.open() as reader:
        write_jsonl(path, [{"n": 1}, {"n": 2}])
        assert reader.read() == '{"n":0}\n'
    assert path.read_text() == '{"n":1}\n{"n":2}\n'
