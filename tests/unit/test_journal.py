"""The journal survives what interrupts it."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path

import pytest
from snakeval.errors import StorageError
from snakeval.journal import Appender, read_journal


def test_records_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "model" / "dataset.jsonl"
    with Appender(path) as journal:
        journal.append([{"request": "a"}, {"request": "b"}])
        journal.append([{"request": "c", "completion": "é \u2028 \ud800"}])
    assert [record["request"] for record in read_journal(path)] == ["a", "b", "c"]
    assert read_journal(path)[2]["completion"] == "é \u2028 \ud800"


def test_a_record_is_on_disk_before_the_journal_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Appender(path) as journal:
        journal.append([{"request": "a"}])
        assert path.read_text() == '{"request":"a"}\n'


@pytest.mark.parametrize("torn", ['{"request":"c","compl', "{", '{"request":"c"}'])
def test_a_torn_last_line_is_ignored_and_cut_off(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text('{"request":"a"}\n{"request":"b"}\n' + torn)
    assert [record["request"] for record in read_journal(path)] == ["a", "b"]
    with Appender(path) as journal:
        journal.append([{"request": "d"}])
    assert path.read_text() == '{"request":"a"}\n{"request":"b"}\n{"request":"d"}\n'


def test_a_torn_line_longer_than_a_block_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text('{"request":"a"}\n' + "x" * 200_000)
    with Appender(path):
        pass
    assert path.read_text() == '{"request":"a"}\n'


def test_a_journal_of_one_torn_line_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text('{"req')
    with Appender(path):
        pass
    assert path.read_text() == ""


def test_a_damaged_line_in_the_middle_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"request":"a"}\n\x00\xff\x00garbage\n[1]\n{"request":"b"}\n')
    assert [record["request"] for record in read_journal(path)] == ["a", "b"]


def test_no_journal_is_an_empty_one(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "none.jsonl") == []


def test_a_full_disk_loses_nothing_that_was_written(tmp_path: Path) -> None:
    """A file size limit stands in for the disk: the write ends in the middle of the line."""
    path = tmp_path / "j.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with Appender(path) as journal:
            journal.append([{"request": "a"}])
            kept = path.read_text()
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(kept) + 20, before[1]))
            with pytest.raises(StorageError, match=r"j\.jsonl: got File too large"):
                journal.append([{"request": "b", "completion": "x" * 100}])
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            assert path.read_text() == kept
            journal.append([{"request": "c"}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [json.loads(line)["request"] for line in path.read_text().splitlines()] == ["a", "c"]
