"""Conversations of two turns that a model judges: MT-Bench.

Each answer gets a grade from 1 to 10; with a baseline, it is also compared with the baseline's answer,
in both orders. The questions to the judge and how its verdicts are read are those of FastChat's
llm_judge (Apache-2.0, github.com/lm-sys/FastChat, data/judge_prompts.jsonl); a verdict that cannot be
read is missing, never a 0. Grades by different judges do not compare.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from snakeval.records import Metric, Sample, Score
from snakeval.statistics import mean_metric
from snakeval.tasks import (
    Attempt,
    Judgement,
    Question,
    Verdict,
    column,
    id_field,
    text_field,
    texts,
    wrong_field,
)
from snakeval.tasks._answers import AnswerTask, mean_over_samples

TURNS = 2
# What is right there can be told, so the judge sees the reference.
WITH_REFERENCE = frozenset({"math", "reasoning", "coding", "arena-hard-200"})
PROMPTS = Path(__file__).with_name("_judge_prompts.json")
NO_JUDGE = "no judge was chosen: give one of the models by --config judge=MODEL"
LONGEST = 100_000  # characters of a verdict that are read
SHOWN = 4_000  # characters of a verdict that stand beside the score; its end holds the grade

_RATING = (re.compile(r"\[\[(\d+\.?\d*)\]\]"), re.compile(r"\[(\d+\.?\d*)\]"))
_CHOICE = re.compile(r"\[\[([ABC])\]\]")


class JudgedConversation(AnswerTask):
    """Two turns by two turns, graded by a model."""

    name = "judged_conversation"
    version = 1
    roles = ("id", "turns", "category")
    optional_roles = ("references",)
    inputs = ("turns", "category")
    conversation = True
    no_gold = "a model judges: no answer is right by itself"

    def normalise(self, row: Mapping[str, Any], fields: Mapping[str, str], where: str) -> Sample:
        """Return the sample of one row; `references` is a list of texts, one a turn, or empty."""
        turns = texts(column(row, fields, "turns", where), "turns", where)
        if len(turns) != TURNS or not all(turn.strip() for turn in turns):
            raise wrong_field(turns, f"{TURNS} texts", "turns", where, fields["turns"])
        references = texts(column(row, fields, "references", where) or [], "references", where)
        if len(references) not in (0, TURNS):
            expected = f"no text, or {TURNS}"
            raise wrong_field(references, expected, "references", where, fields["references"])
        return {
            "id": id_field(row, fields, where),
            "inputs": {"turns": turns, "category": text_field(row, fields, "category", where)},
            "target": references or None,
            "metadata": {"references": references},
        }

    def questions(
        self, sample: Sample, turns: Sequence[str], against: Sequence[str]
    ) -> list[Question]:
        """Return a grade for each turn, and with a baseline two comparisons for each."""
        asked = []
        for turn in range(TURNS):
            values = {"answer": turns[turn]} if turn == 0 else _numbered("answer", turns)
            asked.append(_question("single-v1", sample, turn, 0, values))
        for turn in range(TURNS if against else 0):
            for order, (first, second) in enumerate(((turns, against), (against, turns))):
                values = (
                    {"answer_a": first[0], "answer_b": second[0]}
                    if turn == 0
                    else _numbered("answer_a", first) | _numbered("answer_b", second)
                )
                asked.append(_question("pair-v2", sample, turn, order, values))
        return asked

    def judgement(self, attempt: Attempt) -> Judgement:
        """Return the mean grade of both turns as 0..1, and what the comparisons say."""
        if attempt.verdicts is None:
            return Judgement(None, None, {"class": "no_judge", "message": NO_JUDGE})
        category = attempt.sample["inputs"]["category"]
        detail: dict[str, Any] = {"class": "graded", "category": category}
        detail |= _grades([one for one in attempt.verdicts if one.kind == "grade"])
        if compared := [one for one in attempt.verdicts if one.kind == "comparison"]:
            detail["comparisons"] = _comparisons(compared)
        detail["verdicts"] = len(attempt.verdicts)
        detail["missing_verdicts"] = sum(_reading(one) is None for one in attempt.verdicts)
        turns = [value for value in detail["grades"] if value is not None]
        detail |= _words(attempt.verdicts)
        if len(turns) < TURNS:
            message = "the judge gave no grade that could be read to each turn"
            return Judgement(None, None, {**detail, "class": "no_grade", "message": message})
        value = fmean(turns)
        grades = ", ".join(f"{grade:g}" for grade in turns)
        return Judgement(value / 10, f"grades {grades}", detail)

    def metrics(self, scores: Sequence[Score], repeats: int) -> dict[str, Metric]:
        """Return the judge's scores and how far they can be trusted.

        `judge_score`: mean grade / 10, over both turns; also for each turn and category.
        `judge_spread`: standard deviation of equal questions' grades / 10, where there are several.
        `missing_verdicts`: share of verdicts that could not be read.
        With a baseline, over turns and repeats: `win_rate` (a tie counts 0.5; where the two orders say
        different things it is a tie), `position_consistency` (share of those that say the same in both
        orders), `first_place` (share of decided verdicts for the answer that came first; 0.5 is fair).
        """
        graded = [score for score in scores if score["value"] is not None]
        judged = [
            (score["id"], score["detail"]) for score in scores if score["detail"].get("verdicts")
        ]
        categories = sorted({score["detail"]["category"] for score in graded})
        result = {"judge_score": mean_over_samples(scores)}
        for turn in range(TURNS):
            result[f"judge_score_turn_{turn + 1}"] = _by_sample(
                (score["id"], score["detail"]["grades"][turn] / 10) for score in graded
            )
        for category in categories:
            result[f"judge_score_{category}"] = mean_over_samples(
                [score for score in graded if score["detail"]["category"] == category]
            )
        spreads = [(s["id"], x) for s in graded for x in s["detail"]["spreads"] if x is not None]
        if spreads:
            result["judge_spread"] = _by_sample((name, value / 10) for name, value in spreads)
        result["missing_verdicts"] = _by_sample(
            (name, detail["missing_verdicts"] / detail["verdicts"]) for name, detail in judged
        )
        compared = [
            (score["id"], pair)
            for score in scores
            for pair in score["detail"].get("comparisons", ())
            if None not in pair
        ]
        if compared:
            result["win_rate"] = _by_sample((name, _won(pair)) for name, pair in compared)
            result["position_consistency"] = _by_sample(
                (name, float(pair[0] == pair[1])) for name, pair in compared
            )
            decided = [
                (name, float((answer == 1) == (order == 0)))
                for name, pair in compared
                for order, answer in enumerate(pair)
                if answer != 0.5
            ]
            result["first_place"] = _by_sample(decided)
        return result

    def gold(self, sample: Sample) -> Attempt | None:
        """Return None: which answer deserves a 10 is for a judge to say."""
        return None

    def wrong(self, sample: Sample) -> Attempt | None:
        """Return None, as `gold`."""
        return None


def _question(
    name: str, sample: Sample, turn: int, order: int, values: Mapping[str, str]
) -> Question:
    """Return FastChat's question, with the reference where the category and the row have one."""
    references = sample["metadata"]["references"]
    values = {**values, **_numbered("question", sample["inputs"]["turns"])}
    values["question"] = sample["inputs"]["turns"][turn]
    if references and sample["inputs"]["category"] in WITH_REFERENCE:
        name = name.replace("single-v1", "single-math-v1").replace("pair-v2", "pair-math-v1")
        values |= _numbered("ref_answer", references)
    prompt = _prompts()[name + ("-multi-turn" if turn else "")]
    kind = "grade" if name.startswith("single") else "comparison"
    text = re.sub(r"\{(\w+)\}", lambda found: values[found[1]], prompt["template"])
    return Question(turn, kind, order, prompt["system"], text)  # type: ignore[arg-type]


@cache
def _prompts() -> dict[str, dict[str, str]]:
    prompts: dict[str, dict[str, str]] = json.loads(PROMPTS.read_text("utf-8"))
    return prompts


def _numbered(name: str, values: Sequence[str]) -> dict[str, str]:
    return {f"{name}_{number}": value for number, value in enumerate(values, start=1)}


def _reading(verdict: Verdict) -> float | None:
    """Return what a verdict says: a grade of 1 to 10, or 1 (the model), 0 (the baseline), 0.5 (a tie)."""
    text = verdict.text[-LONGEST:]
    if verdict.kind == "grade":
        found = _RATING[0].search(text) or _RATING[1].search(text)
        grade = float(found[1][:20]) if found else 0.0
        return grade if 1 <= grade <= 10 else None
    choices = _CHOICE.findall(text)
    if not choices:
        return None
    if choices[-1] == "C":
        return 0.5
    return float((choices[-1] == "A") == (verdict.order == 0))


def _grades(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return each turn's mean grade, and its standard deviation over equal questions; None where unknown."""
    grades: list[float | None] = []
    spreads: list[float | None] = []
    for turn in range(TURNS):
        values = [x for one in verdicts if one.turn == turn and (x := _reading(one)) is not None]
        grades.append(fmean(values) if values else None)
        spreads.append(stdev(values) if len(values) > 1 else None)
    return {"grades": grades, "spreads": spreads}


def _words(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """Return what the judge wrote the first time it was asked each question, for people."""
    orders = ("the model's answer first", "the baseline's answer first")
    return {
        f"turn {one.turn + 1}, " + (one.kind if one.kind == "grade" else orders[one.order]): (
            one.text if len(one.text) <= SHOWN else f"… {one.text[-SHOWN:]}"
        )
        for one in verdicts
        if one.again == 0
    }


def _comparisons(verdicts: Sequence[Verdict]) -> list[list[float | None]]:
    """Return for each turn and equal question what the judge said in the one order and in the other."""
    found = {(one.turn, one.again, one.order): _reading(one) for one in verdicts}
    places = sorted({place[:2] for place in found})
    return [[found.get((*place, 0)), found.get((*place, 1))] for place in places]


def _won(pair: Sequence[float]) -> float:
    return pair[0] if pair[0] == pair[1] else 0.5


def _by_sample(values: Any) -> Metric:
    """Return the mean over samples of the mean over a sample's values: pairs of sample id and value."""
    by_sample: dict[str, list[float]] = {}
    for name, value in values:
        by_sample.setdefault(name, []).append(value)
    return mean_metric(list(map(fmean, by_sample.values())), sum(map(len, by_sample.values())))


TASK = JudgedConversation()
