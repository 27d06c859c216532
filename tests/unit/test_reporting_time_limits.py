"""What the report says about time limits, on programs whose times are given."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from reported_run import make_run, pages, set_sandbox
from snakeval.errors import StorageError
from snakeval.records import read_jsonl, write_jsonl
from snakeval.registry import Run
from snakeval.reporting.time_limits import DatasetTimes, time_limits

LATE = ("wrong", "timeout", 3.1, 3.0)
NOT_RUN = ("wrong", "syntax", None, None)
FAILED = ("unscored", "judge_failed", 0.0, 60.0)


def right(seconds: float | None, limit_s: float | None = 3.0) -> tuple[Any, ...]:
    return "correct", "passed", seconds, limit_s


def took(ran: Iterable[tuple[Any, ...]]) -> Callable[[dict[str, Any]], None]:
    rows = iter(ran)

    def change(answer: dict[str, Any]) -> None:
        state, verdict, seconds, limit_s = next(rows)
        answer |= {"state": state, "value": float(state == "correct"), "detail": {"class": verdict}}
        answer |= {"seconds": seconds, "limit_s": limit_s, "slowest_s": seconds}

    return change


def seen(root: Path, run: Run) -> list[DatasetTimes]:
    return time_limits(run, root, [(pair, pair.model, f"pair-{pair.model}") for pair in run.pairs])


def dataset(
    root: Path, ran: Sequence[tuple[Any, ...]], models: Sequence[str] = ("tiny",)
) -> DatasetTimes:
    run = make_run(root, models, ["humaneval"], len(ran) // len(models), took(ran))
    (found,) = seen(root, run)
    return found


def test_counted_by_hand(tmp_path: Path) -> None:
    ran = [*(right(seconds) for seconds in (0.3, 0.6, 0.9)), right(18.0, 20.0)]
    found = dataset(tmp_path, [*ran, LATE, NOT_RUN, FAILED, ("wrong", "wrong_answer", 2.9, 3.0)])
    (pair,) = found.pairs
    assert (pair.answers, pair.programs, pair.late, pair.right) == (8, 6, 1, 4)
    assert pair.limits == (3.0, 20.0)
    assert pair.shares == pytest.approx([0.1, 0.2, 0.3, 0.9])
    assert (pair.close, pair.highest) == (1, pytest.approx(0.9))
    assert list(pair.cells.values()) == [
        *("6", "1", "3.0 s to 20.0 s", "4", "25.0 %", "81.0 %", "88.2 %", "90.0 %", "1")
    ]
    assert found.all.cells == pair.cells


@pytest.mark.parametrize(
    ("ran", "says"),
    [
        ([right(0.3), right(0.6)], "No program ran into the limit, and the slowest of 2 right"),
        ([right(0.3), right(2.1)], "No program ran into the limit, but 1 of 2 right programs used"),
        (
            [right(1.5), LATE],
            "the slowest of 1 right program used 50.0 % of its own: right ones end",
        ),
        (
            [right(0.3), right(2.7), LATE, LATE],
            "2 programs ran into the limit, and 1 of 2 right programs used more than half of it, the "
            "slowest 90.0 %. The limit is close: time-outs may be right programs that it stopped",
        ),
        ([LATE, NOT_RUN], "1 program ran into the limit, and no right one tells"),
        ([("wrong", "wrong_answer", 0.1, 3.0)], "No program ran into the limit."),
    ],
)
def test_whether_the_limit_is_at_fault(
    tmp_path: Path, ran: list[tuple[Any, ...]], says: str
) -> None:
    assert says in dataset(tmp_path, ran).verdict


def test_a_dataset_is_all_its_pairs_together(tmp_path: Path) -> None:
    found = dataset(tmp_path, [right(0.3), LATE, right(2.7), right(6.0, 10.0)], ["tiny", "large"])
    assert [pair.title for pair in found.pairs] == ["tiny", "large"]
    assert [pair.close for pair in found.pairs] == [0, 2]
    assert found.all.title == "HumanEval"
    assert (found.all.programs, found.all.late, found.all.limits) == (4, 1, (3.0, 10.0))
    assert found.all.shares == pytest.approx([0.1, 0.9, 0.6])


def test_the_slowest_test_counts_where_a_limit_is_each_tests(tmp_path: Path) -> None:
    def many_tests(answer: dict[str, Any]) -> None:
        took([right(30.0, 10.0)])(answer)
        answer["slowest_s"] = 4.0

    run = make_run(tmp_path, ["tiny"], ["humaneval"], 1, many_tests)
    assert seen(tmp_path, run)[0].all.shares == [0.4]


@pytest.mark.parametrize(("seconds", "shares"), [(6.0, [0.6]), (30.0, None)])
def test_of_older_records_all_tests_together_may_be_too_long_to_tell(
    tmp_path: Path, seconds: float, shares: list[float] | None
) -> None:
    def older(answer: dict[str, Any]) -> None:
        took([right(seconds, 10.0)])(answer)
        del answer["slowest_s"]

    run = make_run(tmp_path, ["tiny"], ["humaneval"], 1, older)
    assert seen(tmp_path, run)[0].all.shares == shares


def test_what_was_not_measured_is_a_dash(tmp_path: Path) -> None:
    rows = [right(0.3), LATE]

    def unmeasured(answer: dict[str, Any]) -> None:
        took([rows.pop(0)])(answer)
        for name in ("seconds", "limit_s", "slowest_s"):
            del answer[name]

    run = make_run(tmp_path, ["tiny"], ["humaneval"], 2, unmeasured)
    (found,) = seen(tmp_path, run)
    assert list(found.all.cells.values()) == ["–", "1", "–", "1", "–", "–", "–", "–", "–"]
    assert found.verdict.startswith("How long right programs ran was not measured")


def test_how_a_limit_comes_about(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["tiny"], ["humaneval"], 4)
    entry = run.datasets["humaneval"]
    entry["scoring"]["time_limit"] |= {"floor_s": 4.0, "factor": 8.0, "ceiling_s": 90.0}
    reference = "a late program gets 8 times what its reference solution takes on this machine"
    assert seen(tmp_path, run)[0].derived == f"At least 4 s; {reference}, up to 90 s."
    entry["fields"]["time_limit"] = "time_limit"
    path = tmp_path / run.pairs[0].score_folder() / "scores.jsonl"
    scores = list(read_jsonl(path))
    write_jsonl(path, [scores[0] | {"target": {"solution": None}}, *scores[1:]])
    said = seen(tmp_path, run)[0].derived
    assert said.startswith(
        "At least 4 s, and 5 times what the problem states for compiled programs;"
    )
    assert said.endswith(f"{reference}, where there is one (3 of 4 answers), up to 90 s.")
    write_jsonl(path, [score | {"target": None} for score in scores])
    assert "no reference solution calibrates it" in seen(tmp_path, run)[0].derived


@pytest.mark.parametrize("change", [lambda rows: rows[:-1], lambda rows: rows[::-1]])
def test_times_of_other_answers_are_refused(tmp_path: Path, change: Any) -> None:
    run = make_run(tmp_path, ["tiny"], ["humaneval"], 3)
    path = tmp_path / run.pairs[0].score_folder() / "timings.jsonl"
    write_jsonl(path, change(list(read_jsonl(path))))
    with pytest.raises(StorageError, match=r"timings\.jsonl and scores\.jsonl.*no model is asked"):
        seen(tmp_path, run)


def test_the_report_prints_it(tmp_path: Path) -> None:
    run = make_run(
        tmp_path, ["tiny", "large"], ["humaneval"], 2, took([right(0.3), LATE, right(2.7), LATE])
    )
    run.models["tiny"]["title"] = "<b>|x"
    run.datasets["humaneval"]["title"] = "<i>H"
    html, markdown = pages(tmp_path, run)
    assert '<li><a href="#time-limits">Time limits</a></li>' in html
    section = re.search(r'<section id="time-limits".*?</section>', html, re.DOTALL)
    assert section is not None
    assert "<b>&lt;i&gt;H</b>: 2 programs ran into the limit, and 1 of 2" in section[0]
    assert section[0].count("<table") == 2
    assert '<a href="#pair-tiny-humaneval">&lt;b&gt;|x</a></th><td>2</td><td>1</td>' in section[0]
    row = r"| \<b\>\|x | 2 | 1 | 3.0 s | 1 | 10.0 % | 10.0 % | 10.0 % | 10.0 % | 0 |"
    assert row in markdown.splitlines()
    assert r"| \<i\>H | 4 | 2 | 3.0 s | 2 | 50.0 % |" in markdown
    assert r"- **\<i\>H**: 2 programs ran into the limit, and 1 of 2" in markdown


@pytest.mark.parametrize("sandbox", [True, False])
def test_there_is_no_section_where_no_program_ran(tmp_path: Path, sandbox: bool) -> None:
    ran = [NOT_RUN, NOT_RUN] if sandbox else [right(0.3), LATE]
    run = make_run(tmp_path, ["tiny"], ["humaneval"], 2, took(ran))
    if not sandbox:
        set_sandbox(tmp_path, run.pairs[0], None)
    for page in pages(tmp_path, run):
        assert "Time limits" not in page
