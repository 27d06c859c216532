"""What all tasks share whose answers are programs: finding them, running them, verdicts, pass@k."""

from __future__ import annotations

import keyword
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from snakeval.extraction import Found, Missing, extract
from snakeval.records import Metric, Sample, Score
from snakeval.sandbox import UNSAFE, Limits, Outcome, Program, Sandbox, TimeLimit
from snakeval.statistics import attempts_counts, mean_metric, pass_at_k
from snakeval.tasks import Attempt, Judged, Judgement, Task, text_field, wrong_field
from snakeval.tasks._answers import clusters_of


@dataclass(frozen=True)
class Unjudged:
    """A problem that cannot be judged, whatever the answer is, and why."""

    reason: str


class ProgramTask(Task):
    """A task whose answers are programs."""

    # Why an answer without a program is wrong, by `Missing.reason`.
    messages: ClassVar[Mapping[str, str]] = {
        "syntax": "the answer holds no Python program",
        "entry_point_missing": "no program of the answer defines the function that was asked for",
    }

    @abstractmethod
    def find(self, attempt: Attempt) -> Found | Missing | Unjudged:
        """Return the program in an answer."""

    @abstractmethod
    def program(self, sample: Sample, code: str, scoring: Mapping[str, Any]) -> Program:
        """Return what the sandbox is to run.

        Args:
            sample: the problem.
            code: the program.
            scoring: the dataset's `scoring` block.
        """

    def judge(
        self, attempts: Sequence[Attempt], scoring: Mapping[str, Any], sandbox: Mapping[str, Any]
    ) -> Judged:
        """Find each program and have it judged in the sandbox.

        `detail` holds `class` (one of `sandbox.VERDICTS`), and where there is one `message`,
        `traceback`, and `program`, the program as it was run, where that is not `answer` itself;
        `judged` is "together" where the tests ran in the program's process. An answer without a
        program has the class "syntax" or "entry_point_missing" and runs nothing.
        """
        found = [self.find(attempt) for attempt in attempts]
        run = [(n, program) for n, program in enumerate(found) if isinstance(program, Found)]
        with self.start(sandbox) as pool:
            outcomes = pool.run(
                self.program(attempts[n].sample, program.program, scoring) for n, program in run
            )
            samples = [attempts[n].sample for n, _ in run]
            outcomes = self._with_blame(pool, samples, outcomes, scoring)
            facts = {"level": pool.level, "layers": pool.layers}
        given = iter(outcomes)
        judgements = [
            self.judgement(program, next(given))
            if isinstance(program, Found)
            else self._not_run(program)
            for program in found
        ]
        together = sum(judgement.detail.get("judged") == "together" for judgement in judgements)
        return Judged(judgements, facts | {"judged_together": together})

    def start(self, sandbox: Mapping[str, Any]) -> Sandbox:
        """Start the sandbox as the run's settings say."""
        return Sandbox(sandbox.get(UNSAFE, False) is True)

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
            problems = {name: its for name, its in judged.items() if len(its) >= k}
            metrics[f"pass@{k}"] = mean_metric(
                [pass_at_k(len(its), sum(its), k) for its in problems.values()],
                sum(map(len, problems.values())),
                clusters_of(scores, problems),
            )
        return metrics

    def gold(self, sample: Sample) -> Attempt | None:
        """Return the reference program in a fenced block."""
        code = solution(sample)
        return None if code is None else Attempt(sample, f"```python\n{code}\n```")

    def wrong(self, sample: Sample) -> Attempt | None:
        """Return a program that takes everything and gives nothing."""
        name = sample["metadata"].get("entry_point")
        code = f"def {name}(*args, **kwargs):\n    return None" if name else "pass"
        return Attempt(sample, f"```python\n{code}\n```")

    def judgement(self, found: Found, outcome: Outcome) -> Judgement:
        """Return the judgement of a program that was run."""
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
        times = outcome.seconds, outcome.limit_s, outcome.slowest_s
        return Judgement(value, found.answer, detail, *times)

    def _with_blame(
        self,
        pool: Sandbox,
        samples: list[Sample],
        outcomes: list[Outcome],
        scoring: Mapping[str, Any],
    ) -> list[Outcome]:
        """Tell whose doing it is where tests fail to load behind a program in its module.

        They load behind the problem's reference: then a program that keeps them from it is wrong, and
        does not go unscored.
        """

        def kept_from_loading(outcome: Outcome) -> bool:
            ran = outcome.max_rss_bytes is not None
            return outcome.verdict == "judge_failed" and outcome.guarantee == "together" and ran

        doubtful = {
            sample["id"]: (sample, reference)
            for sample, outcome in zip(samples, outcomes, strict=True)
            if kept_from_loading(outcome) and (reference := solution(sample)) is not None
        }
        tried = pool.run(self.program(*pair, scoring) for pair in doubtful.values())
        sound = {
            name
            for name, outcome in zip(doubtful, tried, strict=True)
            if outcome.verdict == "passed"
        }
        return [
            replace(outcome, verdict="exception")
            if sample["id"] in sound and kept_from_loading(outcome)
            else outcome
            for sample, outcome in zip(samples, outcomes, strict=True)
        ]

    def _not_run(self, found: Missing | Unjudged) -> Judgement:
        if isinstance(found, Unjudged):
            return Judgement(None, None, {"class": "judge_failed", "message": found.reason})
        message = self.messages[found.reason]
        return Judgement(0.0, None, {"class": found.reason, "message": message})


def limits(scoring: Mapping[str, Any]) -> Limits:
    """Return the limits that a dataset's `scoring` block gives."""
    return Limits(scoring["memory_mb"], TimeLimit(**scoring["time_limit"]))


def solution(sample: Sample) -> str | None:
    """Return the source of the sample's reference, or None."""
    target = sample["target"]
    return target["solution"] if isinstance(target, dict) else None


def find_function(attempt: Attempt) -> Found | Missing:
    """Return the function in an answer, with the imports and helpers of a prompt that is source."""
    metadata = attempt.sample["metadata"]
    return extract(attempt.text, metadata["prompt"], metadata["entry_point"], attempt.continuation)


def reference_source(
    row: Mapping[str, Any], fields: Mapping[str, str], prompt: str, where: str
) -> str | None:
    """Return a row's reference: a whole program (`reference`), or what belongs behind the prompt.

    Raises:
        SourceError: its column is missing or holds no text.
    """
    if "reference" in fields:
        return text_field(row, fields, "reference", where)
    if "reference_body" in fields:
        return prompt + text_field(row, fields, "reference_body", where)
    return None


def function_name(name: str, role: str, where: str) -> str:
    """Return the name of a function as it is.

    Raises:
        SourceError: Python takes no function of that name.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise wrong_field(name, "the name of a Python function", role, where)
    return name
