"""Task types: what a dataset row must hold, how an answer is judged, and which numbers come out.

A task type is one module of this package with a `TASK` in it; the module's name is the name used in
`config/datasets.yaml`. Modules with a leading "_" are shared parts of them. All are imported while the
Snakefile is parsed, so they import nothing heavy at module level.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, ClassVar, Literal

from snakeval.errors import ConfigError, SnakevalError, SourceError, near, one_line
from snakeval.records import Likelihood, Metric, Sample, Score

ROW_NUMBER = (
    "#"  # a column that every dataset has: the row's number from 0, where nothing else is an id
)


IMAGE = "image"  # the role of a column with an image, which the prompt shows before its text


@dataclass(frozen=True)
class Question:
    """What a judge is asked about a conversation.

    Args:
        turn: the turn it is about, from 0.
        kind: a grade of the model's answer, or a comparison with the baseline's.
        order: of a comparison: 0 where the model's answer comes first, 1 where the baseline's does.
        system: the system prompt.
        text: the question.
    """

    turn: int
    kind: Literal["grade", "comparison"]
    order: int
    system: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """A judge's answer to a `Question`, without its thoughts; `again` numbers equal questions."""

    turn: int
    kind: str
    order: int
    again: int
    text: str


@dataclass(frozen=True)
class Attempt:
    """One answer to be judged.

    Args:
        sample: the problem.
        text: the model's answer without its thoughts.
        continuation: whether the model was asked to go on from the prompt (a completion), so that
            the text belongs behind the prompt as it is.
        logprobs: how likely the model finds each choice, where that was asked in place of a text.
        turns: the answers to all turns of a conversation, the last of which is `text`.
        verdicts: what a judge said about it; None where no judge was chosen.
    """

    sample: Sample
    text: str
    continuation: bool = False
    logprobs: list[Likelihood] | None = None
    turns: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] | None = None


@dataclass(frozen=True)
class Judgement:
    """What a judge says about one attempt.

    Args:
        value: 0..1, or None where the judge itself failed.
        answer: the answer as extracted; None where the text holds none.
        detail: reasons for people, the same in every run: no durations, addresses or paths.
        seconds: how long judging took; None where nothing was run.
        limit_s: the time limit of it, seconds.
        slowest_s: how long the slowest took of what that limit is of: a whole program, or each of its tests.
    """

    value: float | None
    answer: str | None
    detail: dict[str, Any]
    seconds: float | None = None
    limit_s: float | None = None
    slowest_s: float | None = None


@dataclass(frozen=True)
class Judged:
    """The judgements of a batch, in the order of its attempts, and how its programs were run.

    `sandbox` is None where nothing was run.
    """

    judgements: list[Judgement]
    sandbox: dict[str, Any] | None = None


class Task(ABC):
    """A task type. `version` is raised whenever the same answer may be judged differently."""

    name: ClassVar[str]
    version: ClassVar[int]
    roles: ClassVar[tuple[str, ...]]  # field roles that a dataset entry must map to a column
    optional_roles: ClassVar[tuple[str, ...]] = ()
    inputs: ClassVar[tuple[str, ...]]  # the variables that a prompt template may use
    # A sample is several turns, each behind the ones before, and a model judges the answers.
    conversation: ClassVar[bool] = False
    chance: ClassVar[float] = 0.0  # the most that answers of `wrong` may get on average
    no_gold: ClassVar[str] = "the rows hold no reference answers"  # why `gold` says None to all

    def missing_roles(self, fields: Mapping[str, str]) -> list[str]:
        """Return the roles that a dataset entry would have to map besides its `fields`."""
        return [role for role in self.roles if role not in fields]

    @abstractmethod
    def normalise(self, row: Mapping[str, Any], fields: Mapping[str, str], where: str) -> Sample:
        """Turn one dataset row into a sample.

        Args:
            row: column → value, as the dataset has it; may hold anything.
            fields: role → column.
            where: file or dataset and row, for error messages.

        Raises:
            SourceError: a column is missing or holds something else than the task needs.
        """

    def questions(
        self, sample: Sample, turns: Sequence[str], against: Sequence[str]
    ) -> list[Question]:
        """Return what a judge is asked about a conversation; nothing unless the task is one of those.

        Args:
            sample: the sample.
            turns: the model's answers, one a turn.
            against: a baseline's answers to the same sample; none where there is no baseline.
        """
        return []

    @abstractmethod
    def judge(
        self, attempts: Sequence[Attempt], scoring: Mapping[str, Any], sandbox: Mapping[str, Any]
    ) -> Judged:
        """Judge a batch.

        Args:
            attempts: the answers, in any order.
            scoring: the dataset's `scoring` block (limits and the like).
            sandbox: the run's `sandbox` settings, for tasks whose answers are programs.
        """

    @abstractmethod
    def metrics(self, scores: Sequence[Score], repeats: int) -> dict[str, Metric]:
        """Return every metric of the task over all samples and repeats of a pair."""

    @abstractmethod
    def gold(self, sample: Sample) -> Attempt | None:
        """Return the reference answer as a model would write it; None where the row holds none.

        It is what an example in a prompt shows, and what `snakemake oracle` must find correct.
        """

    @abstractmethod
    def wrong(self, sample: Sample) -> Attempt | None:
        """Return an answer that looks like one and is wrong; None where none can be made."""


@cache  # it is asked for every pair while the Snakefile is read
def names() -> tuple[str, ...]:
    """Return the names of all task types, sorted."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in modules if not name.startswith("_")))


def get(name: str) -> Task:
    """Return the task type called `name`.

    Raises:
        ConfigError: there is none; near matches are named.
    """
    if name not in names():
        error = SnakevalError("task", repr(name), "a task type", near(name, names()))
        raise ConfigError([error])
    task: Task = import_module(f"{__name__}.{name}").TASK
    return task


def column(row: Mapping[str, Any], fields: Mapping[str, str], role: str, where: str) -> Any:
    """Return what the row holds for a role; None where the dataset does not map it.

    Raises:
        SourceError: the column is missing.
    """
    name = fields.get(role)
    if name is None:
        return None
    if name not in row:
        columns = ", ".join(map(str, row)) or "none"
        raise SourceError(
            f"{where}, field {role}",
            one_line(f"no column {name!r} (columns: {columns})"[:500]),
            "a column that holds it",
            f"Correct fields.{role} of the dataset in config/datasets.yaml.",
        )
    return row[name]


def text_field(row: Mapping[str, Any], fields: Mapping[str, str], role: str, where: str) -> str:
    """Return the text in the column that `fields` gives for `role`.

    Raises:
        SourceError: the column is missing, or does not hold text.
    """
    value = column(row, fields, role, where)
    if not isinstance(value, str):
        raise wrong_field(value, "text", role, where, fields[role])
    return value


def wrong_field(
    value: object, expected: str, role: str, where: str, name: str | None = None
) -> SourceError:
    """Return the error for a column, called `name`, that holds something else than its role needs."""
    return SourceError(
        f"{where}, field {role}",
        one_line(f"{type(value).__name__} {value!r}"[:200])
        + (f" in column {name!r}" if name else ""),
        expected,
        f"Correct the row, or fields.{role} of the dataset in config/datasets.yaml.",
    )


def texts(value: object, role: str, where: str) -> list[str]:
    """Return a list of texts as it is.

    Raises:
        SourceError: it is something else.
    """
    if not isinstance(value, list):
        raise wrong_field(value, "a list of texts", role, where)
    for item in value:
        if not isinstance(item, str):
            raise wrong_field(item, "text in the list", role, where)
    return value


def id_field(row: Mapping[str, Any], fields: Mapping[str, str], where: str) -> str:
    """Return the row's id as text; whole numbers are taken too.

    Raises:
        SourceError: the column is missing, or holds neither a non-empty text nor a whole number.
    """
    value = row.get(fields["id"])
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    text = text_field(row, fields, "id", where)
    if not text.strip():
        raise SourceError(
            f"{where}, field id", "an empty text", "an id", "Give every row an id of its own."
        )
    return text
