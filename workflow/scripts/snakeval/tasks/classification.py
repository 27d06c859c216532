"""Name one label of a closed list: yes/no/maybe, a kind of relation, a class of text or of protein.

An answer that names no label, or several, is wrong for accuracy and lacks a prediction for F1: it
counts against the recall of the right label and against the precision of none.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from snakeval.records import Metric, Sample, Score
from snakeval.resampling import resampled_counts
from snakeval.tasks import Attempt, Judgement, column, id_field, text_field, texts, wrong_field
from snakeval.tasks._answers import AnswerTask
from snakeval.tasks._labels import named


class Classification(AnswerTask):
    """Texts with one label each."""

    name = "classification"
    version = 1
    roles = ("id", "label", "labels")
    optional_roles = ("text", "question", "context", "merged")
    inputs = ("text", "question", "context", "labels")

    def missing_roles(self, fields: Mapping[str, str]) -> list[str]:
        """Return the roles that are not mapped; a text or a question is needed."""
        missing = super().missing_roles(fields)
        return missing if {"text", "question"} & fields.keys() else [*missing, "text"]

    def normalise(self, row: Mapping[str, Any], fields: Mapping[str, str], where: str) -> Sample:
        """Return the sample of one row.

        `labels` is the closed list, usually a constant: of names, or of lists of a name and its other
        spellings. `label` is the number of the row's label in it, from 0, or a spelling of it; where the
        column tells more classes apart, `merged` lists for each of its numbers that of the label here.
        `context` is a text, a list of texts, or an object with the list `contexts` (PubMedQA), of which
        nothing else is shown. HTML entities (&amp;) in texts become characters.
        """
        spellings = _spellings(column(row, fields, "labels", where), where, fields["labels"])
        names = [words[0] for words in spellings]
        label = column(row, fields, "label", where)
        if "merged" in fields:
            label = _merged(label, column(row, fields, "merged", where), where, fields)
        inputs: dict[str, Any] = {"labels": names}
        for role in ("text", "question"):
            found = text_field(row, fields, role, where) if role in fields else ""
            inputs[role] = html.unescape(found).strip()
        inputs["context"] = html.unescape(_context(column(row, fields, "context", where), where))
        return {
            "id": id_field(row, fields, where),
            "inputs": inputs,
            "target": names[_number(label, spellings, where, fields["label"])],
            "metadata": {"spellings": spellings},
        }

    def judgement(self, attempt: Attempt) -> Judgement:
        """Say whether the answer names the right label."""
        spellings = attempt.sample["metadata"]["spellings"]
        found = named(attempt.text, tuple(map(tuple, spellings)))
        if found.label is None:
            return Judgement(0.0, None, {"class": "no_answer", "message": found.reason})
        right = found.label == attempt.sample["target"]
        return Judgement(float(right), found.label, {"class": "correct" if right else "wrong"})

    def metrics(self, scores: Sequence[Score], repeats: int) -> dict[str, Metric]:
        """Return accuracy, and F1 over all answers (micro) and as the mean over labels (macro).

        Labels are those that are expected or named anywhere, as scikit-learn's f1_score has it; an
        answer without a label is no label of its own. Repeats are pooled, and drawn together.
        """
        counts = _counts(scores)
        return {
            **super().metrics(scores, repeats),
            "macro_f1": resampled_counts(counts, _macro_f1),
            "micro_f1": resampled_counts(counts, _micro_f1),
        }

    def gold(self, sample: Sample) -> Attempt:
        """Return the label."""
        return Attempt(sample, sample["target"])

    def wrong(self, sample: Sample) -> Attempt:
        """Return the label after the right one, or the first."""
        names = sample["inputs"]["labels"]
        return Attempt(sample, names[(names.index(sample["target"]) + 1) % len(names)])


def _spellings(value: object, where: str, name: str) -> list[list[str]]:
    """Return each label's spellings, its name first."""
    expected = "a list of labels, each a text or a list of its spellings, none twice"
    if not isinstance(value, list) or len(value) < 2:
        raise wrong_field(value, expected, "labels", where, name)
    spellings = [
        [item] if isinstance(item, str) else texts(item, "labels", where) for item in value
    ]
    flat = [_plainly(word) for words in spellings for word in words]
    if not all(spellings) or not all(flat) or len(set(flat)) < len(flat):
        raise wrong_field(value, expected, "labels", where, name)
    return spellings


@lru_cache(maxsize=4096)
def _plainly(word: str) -> str:
    """Return a spelling without case and punctuation, as it is looked for."""
    return " ".join(re.findall(r"\w+", word.replace("_", " "))).casefold()


def _number(label: object, spellings: Sequence[Sequence[str]], where: str, name: str) -> int:
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(spellings):
        return label
    if isinstance(label, str):
        for number, words in enumerate(spellings):
            if _plainly(label) in map(_plainly, words):
                return number
    names = ", ".join(words[0] for words in spellings)
    expected = f"one of {names}, or its number from 0"
    raise wrong_field(label, expected[:500], "label", where, name)


def _merged(label: object, merged: object, where: str, fields: Mapping[str, str]) -> object:
    """Return the number of the label that a class of the column counts as."""
    if not isinstance(merged, list) or not merged:
        expected = "a list of labels' numbers, one for each class"
        raise wrong_field(merged, expected, "merged", where, fields["merged"])
    if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < len(merged):
        expected = f"a whole number from 0 to {len(merged) - 1}"
        raise wrong_field(label, expected, "label", where, fields["label"])
    return merged[label]


def _context(value: object, where: str) -> str:
    if isinstance(value, dict) and "contexts" in value:
        value = value["contexts"]
    if value is None or isinstance(value, str):
        return (value or "").strip()
    return "\n".join(texts(value, "context", where)).strip()


def _counts(scores: Sequence[Score]) -> Any:
    """Return right, named and expected answers: samples × 3 × labels."""
    import numpy as np

    scored = [score for score in scores if score["value"] is not None]
    told = {score["target"] for score in scored} | {score["answer"] or "" for score in scored}
    labels = {label: number for number, label in enumerate(sorted(told - {""}))}
    samples = {name: number for number, name in enumerate(dict.fromkeys(s["id"] for s in scored))}
    counts = np.zeros((len(samples), 3, len(labels)))
    for score in scored:
        table = counts[samples[score["id"]]]
        table[2, labels[score["target"]]] += 1
        if score["answer"] is not None:
            table[1, labels[score["answer"]]] += 1
            table[0, labels[score["answer"]]] += score["answer"] == score["target"]
    return counts


def _macro_f1(sums: Any) -> Any:
    """Return the mean F1 of the labels that occur: trials × 3 × labels → trials."""
    import numpy as np

    both = sums[:, 1] + sums[:, 2]
    f1 = 2 * sums[:, 0] / np.maximum(both, 1)
    return f1.sum(axis=1) / (both > 0).sum(axis=1)


def _micro_f1(sums: Any) -> Any:
    """Return F1 over the answers to all samples: trials × 3 × labels → trials."""
    right, told, expected = sums.sum(axis=2).T
    return 2 * right / (told + expected)


TASK = Classification()
