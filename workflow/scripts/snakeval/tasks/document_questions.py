"""Questions about a page, from its text: DocVQA. Answers are judged by ANLS, which forgives misread characters.

ANLS of an answer is 1 - d for the nearest reference, where d is the edit distance of the two divided by the
longer one's length, if d is below 0.5, else 0; case and runs of spaces do not count.

Source: Biten et al., "Scene Text Visual Question Answering" (2019), equation 1; Mathew et al., "DocVQA" (2020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from snakeval.records import Metric, Sample, Score
from snakeval.tasks import Attempt, Judgement, id_field, text_field
from snakeval.tasks._answers import AnswerTask, mean_over_samples
from snakeval.tasks._final import final, unquoted
from snakeval.tasks._rouge import reference_texts

THRESHOLD = 0.5


class DocumentQuestions(AnswerTask):
    """Questions with a page's text as context."""

    name = "document_questions"
    version = 1
    roles = ("id", "question", "context", "answers")
    inputs: ClassVar[tuple[str, ...]] = ("question", "context")

    def normalise(self, row: Mapping[str, Any], fields: Mapping[str, str], where: str) -> Sample:
        """Return the sample of one row; `context` is the page's text, `answers` a text or a list of texts."""
        return {
            "id": id_field(row, fields, where),
            "inputs": {
                "question": text_field(row, fields, "question", where).strip(),
                "context": text_field(row, fields, "context", where).strip(),
            },
            "target": reference_texts(row, fields, "answers", where),
            "metadata": {},
        }

    def judgement(self, attempt: Attempt) -> Judgement:
        """Return the ANLS of the marked answer, or of the whole text."""
        told = final(attempt.text)
        answer = told.line if told.marked else unquoted(" ".join(told.text.split()))
        if not answer:
            detail = {"class": "no_answer", "message": "the answer is empty", "exact_match": 0.0}
            return Judgement(0.0, None, detail)
        value = anls(answer, attempt.sample["target"])
        same = any(_plain(answer) == _plain(text) for text in attempt.sample["target"])
        verdict = "correct" if value == 1 else "partial" if value else "wrong"
        return Judgement(value, answer, {"class": verdict, "exact_match": float(same)})

    def metrics(self, scores: Sequence[Score], repeats: int) -> dict[str, Metric]:
        """Return the means of ANLS and of exact match."""
        return {
            "anls": mean_over_samples(scores),
            "exact_match": mean_over_samples(scores, "exact_match"),
        }

    def gold(self, sample: Sample) -> Attempt:
        """Return the first answer."""
        return Attempt(sample, f"Answer: {sample['target'][0]}")

    def wrong(self, sample: Sample) -> Attempt:
        """Return the first answer in characters that stand far behind."""
        other = "".join(chr(0x4E00 + ord(character) % 4096) for character in sample["target"][0])
        return Attempt(sample, f"Answer: {other}")


def anls(answer: str, references: Sequence[str]) -> float:
    """Return the similarity of an answer and its nearest reference, in 0..1."""
    return max(_similarity(_plain(answer), _plain(reference)) for reference in references)


def _similarity(answer: str, reference: str) -> float:
    from nltk.metrics.distance import edit_distance  # type: ignore[import-untyped]

    longer = max(len(answer), len(reference))
    # At least as many changes as the lengths differ: no need to count those of a giant answer.
    if abs(len(answer) - len(reference)) >= THRESHOLD * longer:
        return float(answer == reference)
    distance = edit_distance(answer, reference) / longer
    return 1 - distance if distance < THRESHOLD else 0.0


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


TASK = DocumentQuestions()
