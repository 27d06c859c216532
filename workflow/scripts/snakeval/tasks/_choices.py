"""What the protocols of multiple choice share: a row's options, and means over subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from snakeval.records import Metric, Score
from snakeval.resampling import resampled_counts
from snakeval.tasks import column, texts, wrong_field


def lettered(
    row: Mapping[str, Any], fields: Mapping[str, str], where: str
) -> tuple[list[str], int]:
    """Return the options and the right one's number, from the roles `choices` and `answer`.

    `choices` is a list of texts with an `answer` that is an index from 0 or a letter, or an object of the
    lists `text` and `label` with an `answer` that is one of the labels.

    Raises:
        SourceError: they are something else.
    """
    choices = column(row, fields, "choices", where)
    answer = column(row, fields, "answer", where)
    labels: list[str] | None = None
    if isinstance(choices, dict):
        if not {"text", "label"} <= choices.keys():
            raise wrong_field(
                choices,
                "an object of the lists text and label",
                "choices",
                where,
                fields["choices"],
            )
        labels = texts(choices["label"], "choices", where)
        choices = choices["text"]
    options = [option.strip() for option in texts(choices, "choices", where)]
    if not 2 <= len(options) <= len(ascii_uppercase):
        raise wrong_field(choices, "2 to 26 options", "choices", where, fields["choices"])
    if labels is not None:
        if len(labels) != len(options) or len(set(labels)) < len(labels):
            expected = f"{len(options)} different labels, one for each text"
            raise wrong_field(labels, expected, "choices", where, fields["choices"])
    elif isinstance(answer, int) and not isinstance(answer, bool):
        labels = list(map(str, range(len(options))))
    else:
        labels = list(ascii_uppercase[: len(options)])
    told = str(answer).strip() if isinstance(answer, str | int) else ""
    if told not in labels:
        expected = f"one of {', '.join(labels)}"
        raise wrong_field(answer, expected, "answer", where, fields["answer"])
    return options, labels.index(told)


def mean_over_subjects(scores: Sequence[Score]) -> Metric | None:
    """Return the mean over subjects (`subject` in the scores' detail) of their mean value; None without any."""
    subjects = {score["detail"].get("subject", "") for score in scores}
    if subjects <= {""}:
        return None
    return resampled_counts(_counts(scores, sorted(subjects)), _mean_of_means)


def _counts(scores: Sequence[Score], subjects: Sequence[str]) -> Any:
    """Return right and all answers of each sample: samples × subjects × 2."""
    import numpy as np

    judged = [score for score in scores if score["value"] is not None]
    rows: dict[str, int] = {}
    for score in judged:
        rows.setdefault(score["id"], len(rows))
    columns = {subject: number for number, subject in enumerate(subjects)}
    # An array from the start: as lists, MMLU's 14,042 questions × 57 subjects take longer than all else.
    counts = np.zeros((len(rows), len(columns), 2))
    for score in judged:
        cell = counts[rows[score["id"]], columns[score["detail"].get("subject", "")]]
        cell += (score["value"], 1.0)
    return counts


def _mean_of_means(sums: Any) -> Any:
    """Return the mean accuracy of the subjects that occur: trials × subjects × 2 → trials."""
    import numpy as np

    right, asked = sums[..., 0], sums[..., 1]
    there = asked > 0
    return np.where(there, right / np.maximum(asked, 1), 0.0).sum(axis=1) / there.sum(axis=1)
