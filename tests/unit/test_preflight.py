"""Why pairs will run, and how preflight's findings are shown."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from reported_run import make_run
from snakeval import preflight
from snakeval.forecast import Estimate
from snakeval.forecast.cost import Cost
from snakeval.forecast.starts import Asked
from snakeval.preflight import Dataset, Preflight, Start, models, reasons, total_gpu_seconds
from snakeval.preflight.models import Target
from snakeval.preflight.reasons import Reason, Step, why
from snakeval.preflight.text import text
from snakeval.preflight.tokens import Planned, Planner
from snakeval.records import read_json, write_json, write_text
from snakeval.registry import Pair, Run
from snakeval.sources.probe import Hub
from snakeval.sources.unavailable import Unavailable


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A finished run of one pair whose meta.json holds its spec."""
    made = make_run(tmp_path, models=["tiny"], datasets=["humaneval"], samples=3)
    note_spec(tmp_path, made)
    return made


def note_spec(root: Path, run: Run, **changes: Any) -> None:
    path = root / run.pairs[0].folder() / "meta.json"
    write_json(path, read_json(path) | {"spec": run.spec("tiny", "humaneval") | changes})


def moved(root: Path, run: Run) -> None:
    """Let the results be those of another key."""
    folder = root / run.pairs[0].folder()
    folder.rename(folder.with_name("f" * 12))


def reason(run: Run, root: Path) -> Reason:
    return why(run, run.pairs[0], root)


def test_nothing_to_do(run: Run, tmp_path: Path) -> None:
    assert reason(run, tmp_path).step is Step.NOTHING


def test_new(run: Run, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "results" / "pairs")
    assert reason(run, tmp_path) == Reason(Step.ANSWER, "new")
    write_text(tmp_path / "results/journal/tiny/humaneval.jsonl", "{}\n")
    found = reason(run, tmp_path)
    assert (found.text[:18], found.journalled) == ("stopped or deleted", 1)


def test_predictions_deleted(run: Run, tmp_path: Path) -> None:
    (tmp_path / run.pairs[0].folder() / "prompts.jsonl").unlink()
    found = reason(run, tmp_path)
    assert found == Reason(Step.ANSWER, "deleted (prompts.jsonl): comes from the journal", math.inf)


def test_scores(run: Run, tmp_path: Path) -> None:
    scores = tmp_path / run.pairs[0].score_folder()
    (scores / "metrics.json").unlink()
    assert reason(run, tmp_path).text.startswith("scores deleted (metrics.json)")
    scores.rename(scores.with_name("score-" + "0" * 12))
    found = reason(run, tmp_path)
    assert (found.step, found.text) == (Step.SCORE, "scoring changed: only scored, no engine")
    shutil.rmtree(scores.with_name("score-" + "0" * 12))
    assert reason(run, tmp_path).text.startswith("not scored yet")


def test_verdicts(run: Run, tmp_path: Path) -> None:
    pair = Pair(**{**vars(run.pairs[0]), "judging": "1" * 12})
    assert why(run, pair, tmp_path) == Reason(Step.JUDGE, "not judged yet", math.inf)
    (tmp_path / pair.folder() / f"judge-{'2' * 12}").mkdir()
    assert why(run, pair, tmp_path).text == "the judge or what it is asked changed"


@pytest.mark.parametrize(
    ("part", "change", "says"),
    [
        ("model", {"dtype": "float16"}, "model changed (dtype: float16 → bfloat16)"),
        ("model", {"gpus": 2}, "model changed (gpus: 2 → 1)"),
        ("sampling", {"top_k": 5}, "sampling changed (top_k: 5 → 0)"),
        ("prompt", {"system_prompt": "Hi"}, "prompt changed (system_prompt: Hi → null)"),
        (
            "dataset",
            {"task": "mathematics"},
            "dataset changed (task: mathematics → code_generation)",
        ),
    ],
)
def test_what_changed_is_told(
    run: Run, tmp_path: Path, part: str, change: dict[str, Any], says: str
) -> None:
    spec = run.spec("tiny", "humaneval")
    note_spec(tmp_path, run, **{part: spec[part] | change})
    moved(tmp_path, run)
    assert reason(run, tmp_path) == Reason(Step.ANSWER, says)


def test_values_are_shown_short_and_on_one_line(run: Run, tmp_path: Path) -> None:
    prompt = run.spec("tiny", "humaneval")["prompt"] | {"text": "a\nb\x1b[31m" + "c" * 500}
    note_spec(tmp_path, run, prompt=prompt)
    moved(tmp_path, run)
    found = reason(run, tmp_path).text
    assert found.startswith("prompt changed (text: a b ")
    assert found.isprintable()
    assert len(found) < 100


@pytest.mark.parametrize(
    ("before", "says", "held"),
    [
        ({"limit": 2}, "limit raised from 2 to 3", 2.0),
        ({"limit": None}, "limit lowered from all to 3", 3.0),
        ({"repeats": 4}, "repeats lowered from 4 to 1", 3.0),
        ({"limit": 2, "repeats": 4}, "limit raised from 2 to 3; repeats lowered from 4 to 1", 2.0),
    ],
)
def test_limits(run: Run, tmp_path: Path, before: dict[str, Any], says: str, held: float) -> None:
    note_spec(tmp_path, run, **before)
    moved(tmp_path, run)
    assert reason(run, tmp_path) == Reason(Step.ANSWER, says, held)


def test_the_newest_result_is_compared_with(run: Run, tmp_path: Path) -> None:
    model = run.spec("tiny", "humaneval")["model"]
    folder = tmp_path / run.pairs[0].folder()
    moved(tmp_path, run)
    for age, (name, dtype) in enumerate([("b" * 12, "float32"), ("a" * 12, "float16")]):
        path = folder.with_name(name) / "meta.json"
        spec = run.spec("tiny", "humaneval") | {"model": model | {"dtype": dtype}}
        write_json(path, {"spec": spec})
        os.utime(path, (2e9 - age, 2e9 - age))
    assert "float32 → bfloat16" in reason(run, tmp_path).text


def test_broken_records_are_passed_over(run: Run, tmp_path: Path) -> None:
    note_spec(tmp_path, run, limit=2)
    moved(tmp_path, run)
    folder = tmp_path / run.pairs[0].folder()
    for name, content in (("3" * 12, "{"), ("1" * 12, "[]"), ("2" * 12, '{"spec": 3}')):
        path = folder.with_name(name) / "meta.json"
        write_text(path, content)
        os.utime(path, (2e9, 2e9))
    assert reason(run, tmp_path).text == "limit raised from 2 to 3"


def shown(run: Run, **changes: Any) -> Preflight:
    pair = run.pairs[0]
    asked = Asked(3.0, 300.0, Estimate(90.0, 30.0, 900.0, "a guess"), 512)
    expected = Cost(
        Estimate(60.0, 30.0, 90.0, "earlier starts"),
        Estimate(6.0, 3.0, 9.0, "roofline"),
        Estimate(7000.0, 6000.0, 8000.0, "earlier starts"),
        Estimate(1000.0, 500.0, 2000.0, "roofline"),
    )
    start = Start("tiny", 2, [asked], expected)
    given: dict[str, Any] = {
        "target": Target("H100", 1.0, "an H100"),
        "models": {},
        "endpoints": {},
        "datasets": {"humaneval": Dataset("hub org/humaneval", 164, "open, granted")},
        "reasons": {pair: Reason(Step.ANSWER, "new")},
        "planned": {pair: Planned(3, asked, True, "all prompts rendered")},
        "starts": [start],
    }
    return Preflight(run, **(given | changes))


def test_sums_and_price(run: Run) -> None:
    found = shown(run)
    assert total_gpu_seconds(found.starts)[:3] == (132.0, 66.0, 198.0)
    assert "GPU time: 0.04 (0.02 to 0.06) hours, starts included." in text(found)
    assert "Price" not in text(found)
    run.settings["price_per_gpu_hour"] = 10
    assert "Price: 0.37 (0.18 to 0.55) at 10 a GPU-hour." in text(found)
    assert "8 (6 to 10)" in text(found)  # kJ of start and answers
    assert "\nEnergy: 0.00222 (0.00181 to 0.00278) kWh.\n" in text(found)


def test_what_is_not_known_is_a_dash_and_sums_are_lower_bounds(run: Run) -> None:
    pair = run.pairs[0]
    unknown = Cost(Estimate(3600.0, 1800.0, 7200.0, "docs"), None, None, None)
    found = shown(
        run,
        planned={pair: Planned(None, None, False, "the number of rows is not known")},
        starts=[Start("tiny", 1, [], unknown)],
    )
    lines = text(found).splitlines()
    assert "GPU time: at least 1.00 (0.50 to 2.00) hours, starts included." in lines
    row = next(line for line in lines if line.endswith("new"))
    assert row.split()[2:6] == ["–"] * 4


def test_a_start_of_which_only_a_part_is_known_says_so(run: Run) -> None:
    (start,) = shown(run).starts
    found = shown(run, starts=[Start(**{**vars(start), "complete": False})])
    assert "≥ 3 " in text(found)
    assert "≥ 6.0 s (3.0 s to 9.0 s)" in text(found)
    assert "GPU time: at least 0.04" in text(found)


def test_tables_are_aligned_and_hold_one_line_a_row(run: Run) -> None:
    found = shown(run, reasons={run.pairs[0]: Reason(Step.NOTHING, "two\nlines")}, planned={})
    lines = text(found).splitlines()
    start = lines.index("Pairs")
    header, row = lines[start + 1 : start + 3]
    assert header.index("why") == row.index("two lines")
    assert row.startswith("  tiny   humaneval")


def test_an_endpoint_tells_its_address_and_whether_its_key_is_set(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = {"url": "https://example.org/v1", "key_variable": "SOME_KEY"}
    asked = Asked(3.0, 300.0, Estimate(90.0, 30.0, 900.0, "a guess"), 512)
    found = shown(run, endpoints={"tiny": remote}, starts=[Start("tiny", 0, [asked], None)])
    assert "SOME_KEY: not set" in text(found)
    monkeypatch.setenv("SOME_KEY", "very-secret")
    said = text(found)
    assert "https://example.org/v1  SOME_KEY: set" in said
    assert "very-secret" not in said
    assert "GPU time: none." in said


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run of which nothing is here: 164 samples, two answers each, 100 tokens a prompt, answers up to 512."""
    made = make_run(tmp_path, models=["tiny"], datasets=["humaneval"], repeats=2)
    made.datasets["humaneval"]["about"]["prompt_tokens"] = 100
    shutil.rmtree(tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    return made


def plan(run: Run, held: float = 0.0) -> Planned:
    return Planner(run).plan(run.pairs[0], Reason(Step.ANSWER, "new", held))


def test_what_is_not_here_is_counted_by_the_registrys_facts(planned: Run) -> None:
    found = plan(planned)
    assert (found.requests, found.exact, found.source) == (328, False, "the registry's facts")
    assert found.asked is not None
    assert found.asked.requests == 328
    assert found.asked.prompt_tokens == 32_800
    assert found.asked.completion_tokens.high == 328 * 512
    assert found.asked.longest == 512


def test_a_limit_and_answers_that_are_held_leave_less_to_ask(planned: Run) -> None:
    planned.settings["limit"] = 10
    found = plan(planned, held=15)
    assert found.requests == 20
    assert found.asked is not None
    assert (found.asked.requests, found.asked.prompt_tokens) == (5, 500)
    assert plan(planned, held=math.inf).asked.requests == 0  # type: ignore[union-attr]


def test_earlier_prompts_say_more_than_the_registry(planned: Run, tmp_path: Path) -> None:
    folder = tmp_path / "results/pairs/other/humaneval" / ("0" * 12)
    write_json(folder / "meta.json", {"tokens": {"prompt": 800, "completion": 400}})
    write_text(folder / "predictions.jsonl", "{}\n" * 4)
    found = plan(planned)
    assert found.source == "earlier prompts"
    assert found.asked is not None
    assert found.asked.prompt_tokens == 328 * 200
    assert found.asked.completion_tokens.value == 328 * 100


def test_a_number_of_rows_that_nobody_knows_is_no_number(planned: Run) -> None:
    planned.datasets["humaneval"]["about"]["rows"] = None
    found = plan(planned)
    assert (found.requests, found.asked) == (None, None)


def test_likelihoods_ask_once_for_each_choice_and_get_no_answer(planned: Run) -> None:
    planned.datasets["humaneval"] |= {"continuation": " {{ choice }}"}
    found = plan(planned)
    assert found.requests == 4 * 328
    assert found.asked is not None
    assert found.asked.prompt_tokens == 4 * 32_800
    assert found.asked.completion_tokens.value == 0


def test_leaves_of_lists() -> None:
    found = list(reasons._leaves({"a": [1, 2]}, {"a": [1, 3], "b": None}, ""))
    assert found == [("a[1]", 2, 3)]
    assert json.dumps(found)


class TestAccess:
    GONE = "no-such-package==1.0"

    def test_a_dataset_whose_package_is_not_installed(self, run: Run) -> None:
        source = {"package": self.GONE, "file": "rows.jsonl"}
        run.settings["data_dir"] = None
        run.datasets["humaneval"]["sources"] = [source]
        assert not run.dataset_status("humaneval").exists()
        found = preflight._dataset(run, "humaneval", Hub(), needed=True)
        assert found.access == "refused"
        assert "pip install --no-deps no-such-package==1.0" in str(found.problem)
        run.datasets["humaneval"]["sources"] = [source, {"path": "rows.jsonl"}]
        assert preflight._dataset(run, "humaneval", Hub(), needed=True).problem is None

    @pytest.mark.parametrize(
        ("tokenizer", "told"),
        [
            ({"hub": "org/gated"}, "model served: got a gated repository (org/gated); expected "),
            ({"package": GONE, "file": "t"}, "model served: got no installed package no-such-p"),
            (None, None),
        ],
    )
    def test_an_endpoint_whose_tokenizer_cannot_be_had(
        self,
        run: Run,
        monkeypatch: pytest.MonkeyPatch,
        tokenizer: dict[str, str] | None,
        told: str | None,
    ) -> None:
        class Gated(Hub):
            def model(self, repo: str, *_: Any, **__: Any) -> Any:
                raise Unavailable(repo, "a gated repository", "access", "Ask for it.")

        endpoint = {"url": "https://example.org/v1", "model": "m", "key_variable": None}
        entry = {"endpoint": endpoint, "tokenizer": tokenizer, "engine_arguments": {}}
        run.models["served"] = entry | {"source_id": "7" * 12}
        found = [str(error) for error in models.closed(run, "served", Gated())]
        assert [line[: len(told or "")] for line in found] == ([told] if told else [])
