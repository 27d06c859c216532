"""Engines of one model work side by side on different pairs, never on the same one; what they share stays whole."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import threading
from pathlib import Path

import pytest
from snakeval.errors import StorageError
from snakeval.journal import Appender, PairLocks, read_journal


def is_free(path: Path) -> bool:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_only_the_pairs_that_are_worked_on_are_held(tmp_path: Path) -> None:
    first, second = tmp_path / "m" / "first.jsonl", tmp_path / "m" / "second.jsonl"
    with PairLocks("m", [first]):
        assert not is_free(tmp_path / "m" / "first.lock")
        with PairLocks("m", [second]):  # would wait for ever for a lock of the whole model
            assert not is_free(tmp_path / "m" / "second.lock")
        assert is_free(tmp_path / "m" / "second.lock")
    assert is_free(tmp_path / "m" / "first.lock")


def test_a_second_run_waits_for_the_pair_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order, told = [], threading.Event()

    def second() -> None:
        with PairLocks("m", [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]):
            order.append("second began")

    with PairLocks("m", [tmp_path / "b.jsonl"]):
        waiting = threading.Thread(target=second)
        waiting.start()
        while is_free(tmp_path / "a.lock"):
            told.wait(0.01)
        order.append("first ends")
    waiting.join(30)
    assert order == ["first ends", "second began"]
    assert (
        "m: another run generates for b with this model; waiting for it" in capsys.readouterr().err
    )


def test_two_runs_do_not_wait_for_each_other(tmp_path: Path) -> None:
    journals = [tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl")]

    def often(some: list[Path]) -> None:
        for _ in range(300):
            with PairLocks("m", some):
                pass

    runs = [
        threading.Thread(target=often, args=(some,), daemon=True)
        for some in (journals, journals[::-1])
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert not any(run.is_alive() for run in runs)


def test_a_lock_that_cannot_be_had_lets_go_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "z").write_text("no folder")
    with pytest.raises(StorageError, match="z"):
        PairLocks("m", [tmp_path / "a.jsonl", tmp_path / "z" / "b.jsonl"]).__enter__()
    assert is_free(tmp_path / "a.lock")


def add(path: Path, writer: int) -> None:
    with Appender(path) as journal:
        for number in range(150):
            journal.append([{"writer": writer, "number": number, "text": "x" * (number * 67)}])


def test_engines_that_share_a_file_leave_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "m.engines.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=add, args=(path, number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for number in range(4):
        own = [record["number"] for record in records if record["writer"] == number]
        assert own == list(range(150))


def test_what_another_left_torn_is_cut_off_before_the_next_line(tmp_path: Path) -> None:
    path = tmp_path / "m.engines.jsonl"
    with Appender(path) as journal:
        journal.append([{"number": 1}])
        with path.open("ab") as dying:
            os.write(dying.fileno(), b'{"number": 2, "te')
        journal.append([{"number": 3}])
    assert [record["number"] for record in read_journal(path)] == [1, 3]
