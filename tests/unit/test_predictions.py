"""What a pair's files say of how its answers came about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from snakeval import journal
from snakeval.predictions import collect, engine_facts, prompt_sum
from snakeval.records import write_json, write_jsonl
from snakeval.registry import Pair

PAIR = Pair("m", "d", "0" * 12, "1" * 12, 0)


def answer(name: str, session: str | None, latency_s: float | None) -> dict[str, Any]:
    return {
        **{"request": name, "completion": name, "finish_reason": "stop", "completion_tokens": 5},
        **{"latency_s": latency_s, "ttft_s": 0.5, "session": session},
    }


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def asked(lines: list[dict[str, Any]], answers: list[dict[str, Any]]) -> None:
    status = {"log": "l", "pairs": {"d": {"key": PAIR.key, "status": "ok", "reason": None}}}
    write_json(PAIR.engine_status(), status)
    rows = [
        {"repeat": 0, "text": "", "token_ids": [1, 2], "cut_tokens": 0, **line} for line in lines
    ]
    write_jsonl(PAIR.engine_requests() / "d.jsonl", rows)
    write_jsonl(journal.journal_path("m", "d"), answers)


def test_stream_seconds_are_counted_by_engine_start() -> None:
    asked(
        [{"id": name, "request": name} for name in "abcd"],
        [
            *(answer("a", "s1", 2.0), answer("b", "s2", 3.0), answer("c", "s1", 0.5)),
            answer("d", None, None),  # refused before any engine
        ],
    )
    assert collect(PAIR)[3] == {"s1": 2.5, "s2": 3.0}


def test_each_turn_keeps_its_times() -> None:
    asked(
        [{"id": "x", "request": name, "turn": turn} for turn, name in enumerate("ab")],
        [answer("a", "s", 2.0), answer("b", "s", 3.0)],
    )
    _, _, (timing,), used = collect(PAIR)
    assert timing["turns"] == [{"latency_s": 2.0, "ttft_s": 0.5}, {"latency_s": 3.0, "ttft_s": 0.5}]
    assert (timing["latency_s"], timing["ttft_s"]) == (5.0, 0.5)
    assert used == {"s": 5.0}


class TestCounts:
    def test_a_prompt_that_nobody_counted_is_null(self) -> None:
        asked(
            [{"id": name, "request": name, "token_ids": [], "text": "Hi"} for name in "ab"],
            [answer("a", "s", 1.0) | {"prompt_tokens": 9}, answer("b", "s", 1.0)],
        )
        predictions = collect(PAIR)[0]
        assert [prediction["prompt_tokens"] for prediction in predictions] == [9, None]
        assert prompt_sum(predictions) is None
        assert prompt_sum(predictions[:1]) == 9

    def test_a_prompt_that_was_never_sent_or_refused_uncounted_adds_nothing(self) -> None:
        refused = {"error": "no", "finish_reason": "error"}
        asked(
            [
                {"id": "a", "request": "a", "token_ids": [], "text": "Hi"},
                {"id": "b", "request": "b", "token_ids": [], "text": "Hi"},
                {"id": "c", "request": "c", "token_ids": [], "text": ""},
            ],
            [
                answer("a", "s", 1.0) | {"prompt_tokens": 9},
                *(answer("b", "s", None) | refused, answer("c", None, None) | refused),
            ],
        )
        predictions = collect(PAIR)[0]
        assert [prediction["prompt_tokens"] for prediction in predictions] == [9, None, 0]
        assert prompt_sum(predictions) == 9

    def test_turns_that_nobody_counted(self) -> None:
        asked(
            [
                {"id": "x", "request": name, "turn": turn, "token_ids": [], "text": "Hi"}
                for turn, name in enumerate("ab")
            ],
            [
                answer("a", "s", 2.0) | {"prompt_tokens": 9, "hidden_tokens": 3},
                answer("b", "s", 3.0) | {"hidden_tokens": 1, "stopped_here": True},
            ],
        )
        [prediction] = collect(PAIR)[0]
        assert prediction["prompt_tokens"] is None
        assert [turn["prompt_tokens"] for turn in prediction["turns"]] == [9, None]
        assert prediction["hidden_tokens"] == 4
        assert [turn.get("hidden_tokens") for turn in prediction["turns"]] == [3, 1]
        assert prediction["stopped_here"]


def test_power_is_that_of_the_last_start_and_earlier_records_lack_it() -> None:
    power = {"utilization_percent": 90.0, "power_w": 300.0, "peak_power_w": 400.0}
    write_jsonl(
        journal.sessions_path("m"),
        [
            *(
                {"event": "start", "session": "old"},
                {"event": "end", "session": "old", "joules": 5.0},
            ),
            {"event": "start", "session": "new", "start_s": 7.0, "gpu": {"count": 1}},
            {"event": "end", "session": "new", "joules": 6.0, "stream_s": 2.0, **power},
        ],
    )
    old = engine_facts("m", ["old"])
    assert {old[name] for name in power} == {None}
    assert old["joules"] == 5.0
    both = engine_facts("m", {"old": 1.0, "new": 2.0})
    assert {name: both[name] for name in power} == power
    assert both["joules"] == 11.0
    assert [start.get("stream_s") for start in both["engine_starts"]] == [None, 2.0]
