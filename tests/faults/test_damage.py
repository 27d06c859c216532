"""Files that are damaged: what can be made again is, else one line names the file and the remedy."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import Job
from reported_run import make_run as finished_run
from snakeval import checkpoint, journal
from snakeval.errors import EngineError, StorageError
from snakeval.records import file_sha256, read_jsonl, write_json, write_jsonl
from snakeval.reporting import summarize
from snakeval.samples import read_samples
from unit.test_plan import make_run

pytestmark = pytest.mark.faults

DAMAGES = {
    "zeros": b"\0" * 30,
    "half a line": b'{"request":"r1","compl',
    "bytes that are no text": b'{"request":"r1\xff\xfe"}',
    "another record": b'{"session":"s"}',
    "a list": b"[1]",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_a_damaged_line_of_the_journal_held_is_asked_again(
    job: Job, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = job.folder / "journal.jsonl"
    with journal.Appender(path) as appender:
        record: dict[str, Any] = dict.fromkeys(journal.ANSWER)
        appender.append(record | {"request": f"r{number}"} for number in range(3))
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], damage, lines[2], b""]))
    assert list(journal.read_answers(path)) == ["r0", "r2"]
    assert caplog.record_tuples == [
        (
            "snakeval.journal",
            logging.WARNING,
            f"{path}, line 2: damaged; what stood there is made again",
        )
    ]
    with journal.Appender(path) as appender:
        appender.append([record | {"request": "r1"}])
    assert list(journal.read_answers(path)) == ["r0", "r2", "r1"]


def test_an_engine_start_that_cannot_be_read_is_left_out(job: Job) -> None:
    path = journal.sessions_path("m0")
    write_jsonl(path, [{"event": "start", "session": "a"}, {"event": "start"}, {"session": "b"}])
    assert list(journal.read_sessions("m0")) == ["a", "b"]


@pytest.mark.parametrize("damage", ["a line less", "another word", "gone"])
def test_samples_are_those_that_were_fetched(job: Job, damage: str) -> None:
    run = make_run()
    path = run.samples("d0")
    write_jsonl(path, [{"id": "1", "inputs": "x"}, {"id": "2", "inputs": "y"}])
    good = file_sha256(path)
    write_json(run.dataset_status("d0"), {"status": "ok", "sha256": good})
    assert [sample["id"] for sample in read_samples(run, "d0")] == ["1", "2"]
    text = path.read_text()
    if damage == "gone":
        path.unlink()
        expected = f"{path}: got No such file or directory; expected a file"
    else:
        path.write_text(text.splitlines(keepends=True)[0] if "less" in damage else text.upper())
        expected = (
            f"{path}: got content with sha256 {file_sha256(path)}; expected {good}, as it was fetched. "
            "Delete the file and run the same command again: it is fetched anew."
        )
    with pytest.raises(StorageError) as caught:
        list(read_samples(run, "d0"))
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize(
    ("place", "source", "fix"),
    [
        ("own", {"path": "own"}, "Restore the file, then run the same command again."),
        (
            "hub/models--a--b/snapshots/0123",
            {"hub": "a/b"},
            "Delete hub/models--a--b and run the same command again: it is fetched anew.",
        ),
    ],
)
def test_a_model_whose_files_were_cut_off_starts_no_engine(
    job: Job, place: str, source: dict[str, str], fix: str
) -> None:
    folder = Path(place)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"x" * 100)
    (folder / "config.json").write_bytes(b"{}")
    fetched = {"path": place, "files": ["config.json", "model.safetensors"], "bytes": 102}
    checkpoint.check_files("m", {"source": source}, fetched)
    (folder / "model.safetensors").write_bytes(b"x" * 60)
    with pytest.raises(EngineError) as caught:
        checkpoint.check_files("m", {"source": source}, fetched)
    assert str(caught.value) == (
        f"model m: {place}: got files of 62 bytes; expected the 2 files of 102 bytes that were fetched. {fix}"
    )
    (folder / "model.safetensors").unlink()
    with pytest.raises(EngineError, match=rf"got no {place}/model\.safetensors; expected the 2"):
        checkpoint.check_files("m", {"source": source}, fetched)


@pytest.mark.parametrize(
    "name", ["predictions.jsonl", "meta.json", "score-5c05c05c05c0/metrics.json"]
)
@pytest.mark.parametrize("damage", ["torn", "zeros", "no text"])
def test_a_damaged_result_is_named_with_its_remedy(tmp_path: Path, name: str, damage: str) -> None:
    run = finished_run(tmp_path, models=["tiny"], datasets=["humaneval"], samples=4)
    path = tmp_path / run.pairs[0].folder() / name
    good = path.read_bytes()
    path.write_bytes(
        {"torn": good[:-10], "zeros": b"\0" * 50, "no text": good[:20] + b"\xff\n"}[damage]
    )
    with pytest.raises(StorageError) as caught:
        summarize(run, tmp_path, tmp_path / "summary", ())
    told = str(caught.value)
    assert told.startswith(str(path))
    assert "run the same command again" in told
    assert "\n" not in told


def test_a_result_without_its_last_line_is_named_and_made_anew_without_a_model(
    tmp_path: Path,
) -> None:
    run = finished_run(tmp_path, models=["tiny"], datasets=["humaneval"], samples=4)
    folder = tmp_path / run.pairs[0].folder()
    rows = list(read_jsonl(folder / "predictions.jsonl"))
    write_jsonl(folder / "predictions.jsonl", rows[:-1])
    with pytest.raises(StorageError) as caught:
        summarize(run, tmp_path, tmp_path / "summary", ())
    assert str(caught.value) == (
        f"{folder}, sample HumanEval/3, repeat 0: got a score without a prediction; expected the same samples in "
        f"predictions.jsonl and scores.jsonl. Delete {folder} and run the same command again: it is made anew, no "
        "model is asked."
    )
