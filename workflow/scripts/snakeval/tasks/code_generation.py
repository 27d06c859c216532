"""Write a Python function; tests that the model has not seen decide.

The tests define `check(candidate)`, as HumanEval's do, and run outside the program's process, with the
prompt's helpers. Only the standard library is there. Tests that need the program's own objects and not
only plain values (column `judging`: "together") run in its process; the result says so.
"""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from typing import Any

from snakeval.errors import SourceError, one_line
from snakeval.extraction import Found, Missing, extract, parse
from snakeval.records import Metric, Sample, Score
from snakeval.sandbox import (
    Check,
    Limits,
    Outcome,
    Program,
    Sandbox,
    TimeLimit,
    Together,
)
from snakeval.statistics import attempts_counts, mean_metric, pass_at_k
from snakeval.tasks import Attempt, Judged, Judgement, Task, id_field, text_field


class CodeGeneration(Task):
    """Functions with hidden tests: HumanEval and datasets of the same form."""

    name = "code_generation"
    version = 2
    roles = ("id", "prompt", "entry_point", "tests")
    optional_roles = ("reference", "reference_body", "judging")
    inputs = ("prompt", "entry_point")

    def normalise(self, row: Mapping[str, Any], fields: Mapping[str, str], where: str) -> Sample:
        """Return the sample of one row.

        `reference` is a whole program; `reference_body` is what belongs behind the prompt.
        """
        prompt = text_field(row, fields, "prompt", where)
        entry_point = text_field(row, fields, "entry_point", where)
        tests = text_field(row, fields, "tests", where)
        if not entry_point.isidentifier() or keyword.iskeyword(entry_point):
            raise SourceError(
                f"{where}, field entry_point",
                one_line(repr(entry_point)[:200]),
                "the name of a Python function",
                "Correct the row, or fields.entry_point of the dataset in config/datasets.yaml.",
            )
        target = None
        if "reference" in fields:
            target = {"solution": text_field(row, fields, "reference", where)}
        elif "reference_body" in fields:
            target = {"solution": prompt + text_field(row, fields, "reference_body", where)}
        metadata = {"tests": tests, "entry_point": entry_point, "prompt": prompt}
        if "judging" in fields and row.get(fields["judging"]) is not None:
            metadata["judging"] = _judging(text_field(row, fields, "judging", where), where)
        return {
            "id": id_field(row, fields, where),
            "inputs": {"prompt": prompt, "entry_point": entry_point},
            "target": target,
            "metadata": metadata,
        }

    def judge(
        self, attempts: Sequence[Attempt], scoring: Mapping[str, Any], allow_unsafe: bool
    ) -> Judged:
        """Extract each program and have it judged in the sandbox.

        `detail` holds `class` (one of `sandbox.VERDICTS`), and where there is one `message`,
        `traceback`, and `program`, the program as it was run, where that is not `answer` itself;
        `judged` is "together" where the tests ran in the program's process. An answer without a
        program has the class "syntax" or "entry_point_missing" and runs nothing.
        """
        found = [self._extract(attempt) for attempt in attempts]
        limits = Limits(scoring["memory_mb"], TimeLimit(**scoring["time_limit"]))
        programs = (
            Program(program.program, _test(attempt.sample), limits, _reference(attempt.sample))
            for attempt, program in zip(attempts, found, strict=True)
            if isinstance(program, Found)
        )
        with Sandbox(allow_unsafe) as sandbox:
            outcomes = iter(sandbox.run(programs))
            facts = {"level": sandbox.level, "layers": sandbox.layers}
        judgements = [
            _judgement(program, next(outcomes)) if isinstance(program, Found) else _none(program)
            for program in found
        ]
        together = sum(judgement.detail.get("judged") == "together" for judgement in judgements)
        return Judged(judgements, facts | {"judged_together": together})

    def metrics(self, scores: Sequence[Score], repeats: int) -> dict[str, Metric]:
        """Return pass@k for k = 1, 2, 5, 10, … up to the number of repeats.

        A problem counts for pass@k where at least k of its answers were judged.
        """
        judged: dict[str, list[bool]] = {}
        for score in scores:
            if score["state"] != "unscored":
                judged.setdefault(score["id"], []).append(score["state"] == "correct")
        metrics = {}
        for k in attempts_counts(repeats):
            problems = [answers for answers in judged.values() if len(answers) >= k]
            metrics[f"pass@{k}"] = mean_metric(
                [pass_at_k(len(answers), sum(answers), k) for answers in problems],
                sum(map(len, problems)),
            )
        return metrics

    def _extract(self, attempt: Attempt) -> Found | Missing:
        metadata = attempt.sample["metadata"]
        return extract(
            attempt.text, metadata["prompt"], metadata["entry_point"], attempt.continuation
        )


def _judging(value: str, where: str) -> str:
    if value not in ("apart", "together"):
        raise SourceError(
            f"{where}, field judging",
            one_line(repr(value)[:100]),
            "apart or together",
            "Correct the row: together is for tests that need the program's own objects.",
        )
    return value


def _test(sample: Sample) -> Check | Together:
    metadata = sample["metadata"]
    tests, entry_point = metadata["tests"], metadata["entry_point"]
    if metadata.get("judging") == "together":
        return Together(tests, entry_point)
    # The prompt's helpers; its own function, a docstring without a body, is replaced by the program's.
    prelude = metadata["prompt"] if parse(metadata["prompt"]) else ""
    return Check(tests, entry_point, prelude)


def _reference(sample: Sample) -> str | None:
    target = sample["target"]
    return target["solution"] if isinstance(target, dict) else None


def _judgement(found: Found, outcome: Outcome) -> Judgement:
    detail: dict[str, Any] = {"class": outcome.verdict}
    if outcome.message:
        detail["message"] = outcome.message
    if outcome.traceback:
        detail["traceback"] = outcome.traceback
    if found.program != found.answer:
        detail["program"] = found.program
    if outcome.guarantee == "together":
        detail["judged"] = "together"
    value = None if outcome.verdict == "judge_failed" else float(outcome.verdict == "passed")
    return Judgement(value, found.answer, detail, outcome.seconds, outcome.limit_s)


def _none(missing: Missing) -> Judgement:
    messages = {
        "syntax": "the answer holds no Python program",
        "entry_point_missing": "no program of the answer defines the function that was asked for",
    }
    return Judgement(0.0, None, {"class": missing.reason, "message": messages[missing.reason]})


TASK = CodeGeneration()
