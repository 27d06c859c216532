"""A model judges conversations: one start of the judge for all that lacks verdicts, and nothing asked twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from workflow_copy import Workflow, model, talking

pytestmark = pytest.mark.workflow

JUDGED = ("--config", "judge=gamma")
VERDICTS = "results/pairs/{}/talks/*/judge-*/verdicts.jsonl"


@pytest.fixture
def talks(tmp_path: Path) -> Workflow:
    """Two models on three conversations; a third model is there to judge."""
    return talking(tmp_path)


def records(workflow: Workflow, pattern: str) -> list[dict[str, Any]]:
    (path,) = workflow.folder.glob(pattern)
    if path.suffix == ".json":
        return [json.loads(path.read_text())]
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_answer_is_graded_in_one_start_of_the_judge(talks: Workflow) -> None:
    outcome = talks.run(*JUDGED)
    outcome.only(
        fetch_model=3, fetch_dataset=1, generate=2, predictions=2, judge=1, verdicts=2, score=2
    )
    *answering, judging = outcome.engines
    assert (sorted(answering), judging) == (["alpha", "beta"], "gamma")
    assert len(outcome.answered) == 2 * 3 * 2 + 2 * 3 * 2  # turns, and a grade for each
    for name in ("alpha", "beta"):
        (metrics,) = records(talks, f"results/pairs/{name}/talks/*/score-*/metrics.json")
        # The turn that the judge is told to dislike gets a 4, the others an 8.
        assert metrics["metrics"]["judge_score"]["value"] == pytest.approx((8 * 5 + 4) / 6 / 10)
        assert metrics["metrics"]["judge_score_turn_2"]["value"] == pytest.approx(2 / 3)
        assert metrics["judging"]["judge"] == "gamma"
        assert metrics["judging"]["baseline"] is None
    asked = records(talks, "results/pairs/alpha/talks/*/judge-*/prompts.jsonl")
    assert "The Start of Reference Answer" in asked[0]["text"]
    assert asked[0]["text"].startswith("<|im_start|>system\nYou are a helpful assistant.")
    assert talks.run(*JUDGED).jobs == {}


def test_another_judge_asks_no_answer_again(talks: Workflow) -> None:
    talks.run(*JUDGED)
    talks.models["delta"] = model(talks.folder, "delta") | {"max_model_len": 8192}
    outcome = talks.run("--config", "judge=delta")
    outcome.only(fetch_model=1, judge=1, verdicts=2, score=2)
    assert outcome.engines == ["delta"]
    assert talks.run(*JUDGED).engines == []


def test_a_further_model_is_judged_alone(talks: Workflow) -> None:
    talks.run(*JUDGED, "models=alpha")
    outcome = talks.run(*JUDGED)
    outcome.only(fetch_model=1, generate=1, predictions=1, judge=1, verdicts=1, score=1)
    assert outcome.engines == ["beta", "gamma"]
    assert len(outcome.answered) == 2 * 3 + 2 * 3


def test_a_baseline_is_compared_with_in_both_orders(talks: Workflow) -> None:
    talks.run(*JUDGED)
    outcome = talks.run(*JUDGED, "judge_baseline=beta")
    # Of beta's own answers there is nothing to compare.
    outcome.only(judge=1, verdicts=1, score=1)
    assert len(outcome.answered) == 2 * 3 * 2
    (metrics,) = (
        json.loads(path.read_text())
        for path in talks.folder.glob("results/pairs/alpha/talks/*/score-*/metrics.json")
        if json.loads(path.read_text())["judging"]["baseline"] == "beta"
    )
    # A judge that always prefers what comes first says nothing about the answers.
    assert metrics["metrics"]["first_place"]["value"] == 1
    assert metrics["metrics"]["position_consistency"]["value"] == 0
    assert metrics["metrics"]["win_rate"]["value"] == 0.5


def test_equal_questions_are_asked_as_often_as_wanted(talks: Workflow) -> None:
    talks.run(*JUDGED, "models=alpha")
    outcome = talks.run(*JUDGED, "models=alpha", "judge_repeats=3")
    outcome.only(judge=1, verdicts=1, score=1)
    assert len(outcome.answered) == 2 * 2 * 3
    (metrics,) = (
        found["metrics"]
        for path in talks.folder.glob("results/pairs/alpha/talks/*/score-*/metrics.json")
        if "judge_spread" in (found := json.loads(path.read_text()))["metrics"]
    )
    assert metrics["judge_spread"]["value"] == 0


def test_lost_verdicts_come_from_the_journal(talks: Workflow) -> None:
    talks.run(*JUDGED)
    before = talks.files(VERDICTS.format("*"))
    for path in talks.folder.glob(VERDICTS.format("beta")):
        path.unlink()
    outcome = talks.run(*JUDGED)
    outcome.only(judge=1, verdicts=1, score=1)
    assert outcome.engines == []
    assert talks.files(VERDICTS.format("*")) == before


def test_a_model_that_fails_does_not_keep_the_others_from_being_judged(talks: Workflow) -> None:
    talks.models["beta"]["source"] = {"package": "no-such-thing==1.0", "file": "model.gguf"}
    outcome = talks.run(*JUDGED, expect=1)
    assert outcome.engines == ["alpha", "gamma"]
    (path,) = talks.folder.glob("results/pairs/*/talks/*/score-*/metrics.json")
    assert "alpha" in path.parts
    (failure,) = json.loads((talks.folder / "results/summary/failures.json").read_text())
    assert (failure["model"], failure["stage"]) == ("beta", "fetch_model")


def test_a_judge_that_does_not_start_is_named_and_tried_again(talks: Workflow) -> None:
    shutil.rmtree(talks.folder / "models" / "gamma")
    outcome = talks.run(*JUDGED, expect=2)
    assert "gamma" in outcome.output
    talks.models["gamma"] = model(talks.folder, "gamma") | {"max_model_len": 8192}
    talks.models["gamma"]["engine"] = "standin:NoSuchClass"
    outcome = talks.run(*JUDGED, expect=1)
    failures = json.loads((talks.folder / "results/summary/failures.json").read_text())
    assert [(one["model"], one["stage"]) for one in failures] == [
        ("alpha", "judge"),
        ("beta", "judge"),
    ]
    assert "NoSuchClass" in failures[0]["reason"]
    assert Path(talks.folder, failures[0]["log"]).exists()
    talks.models["gamma"]["engine"] = "standin:StandIn"
    again = talks.run(*JUDGED)
    again.only(judge=1, verdicts=2, score=2)
    assert again.engines == ["gamma"]


def test_without_a_judge_nothing_is_scored_and_the_report_says_why(talks: Workflow) -> None:
    talks.run()
    (metrics,) = records(talks, "results/pairs/alpha/talks/*/score-*/metrics.json")
    assert metrics["states"]["unscored"] == 3
    assert metrics["metrics"]["judge_score"]["value"] is None
    assert "--config judge=MODEL" in (talks.folder / "reports/index.html").read_text()


def test_verdicts_on_other_answers_are_refused(talks: Workflow) -> None:
    talks.run(*JUDGED, "models=alpha")
    (path,) = talks.folder.glob("results/pairs/alpha/talks/*/predictions.jsonl")
    path.write_text(path.read_text().replace("return None", "return 7"))
    for scores in path.parent.glob("score-*"):
        shutil.rmtree(scores)
    outcome = talks.run(*JUDGED, "models=alpha", expect=1)
    assert "a verdict on another answer" in outcome.output
    (folder,) = path.parent.glob("judge-*")
    shutil.rmtree(folder)
    again = talks.run(*JUDGED, "models=alpha")
    assert len(again.answered) == 3 * 2


def test_redo_drops_answers_and_verdicts(talks: Workflow) -> None:
    talks.run(*JUDGED, "models=alpha")
    talks.run("redo", *JUDGED, "models=alpha")
    outcome = talks.run(*JUDGED, "models=alpha")
    outcome.only(generate=1, predictions=1, judge=1, verdicts=1, score=1)
    assert len(outcome.answered) == 3 * 2 + 3 * 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("judge=gama",), ("judge", "'gama'", "Did you mean gamma?")),
        (("judge=gamma", "judge_baseline=gamma"), ("judge_baseline", "one of the run's models")),
        (("judge_baseline=alpha",), ("judge_baseline", "no judge beside it")),
        (("judge=gamma", "judge_max_tokens=8192"), ("max_model_len: 8192", "judge_max_tokens")),
        (("judge=gamma", "judge_repeats=0"), ("judge_repeats",)),
    ],
)
def test_a_choice_that_makes_no_sense_is_one_line(
    talks: Workflow, given: tuple[str, ...], words: tuple[str, ...]
) -> None:
    outcome = talks.run("--config", *given, expect=2)
    (line,) = [line for line in outcome.output.splitlines() if line.startswith("error: ")]
    assert all(word in line for word in words), line


def test_a_model_that_continues_texts_cannot_judge(talks: Workflow) -> None:
    talks.models["gamma"]["prompt_style"] = "completion"
    outcome = talks.run(*JUDGED, expect=2)
    assert "prompt_style: completion" in outcome.output
