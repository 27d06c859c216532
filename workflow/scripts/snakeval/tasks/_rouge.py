"""ROUGE against reference texts, by Google's rouge-score with stemming, and the tasks that are judged by it.

rouge-score sees Latin letters and digits only; a text without any scores 0.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, ClassVar

from snakeval.records import Metric, Sample, Score
from snakeval.tasks import Attempt, Judgement, column, texts, wrong_field
from snakeval.tasks._answers import AnswerTask, mean_over_samples

TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
LONGEST = 12_000  # characters of an answer that are read; the time of ROUGE-L grows with its square
STEMS = 100_000  # words of which the stem is kept
WORD = 60  # letters of a word that are read: the stemmer's time grows with the square of it

_LONG_WORD = re.compile(rf"(\w{{{WORD}}})\w+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_SPACES = re.compile(r"[^\S\n]+")
_MARKUP = re.compile(r"\*\*|(?<!\w)__|__(?!\w)|^```\w{0,10}$|`{1,3}|^#{1,6} ", re.MULTILINE)
_LEAD = re.compile(
    r"\A(?:(?:here(?:'s| is| are)|sure|certainly|of course|okay)\b[^\n:]{0,200}:\s{0,9})?"
    r"(?:(?:the )?(?:one[- ]sentence )?(?:tl;? ?dr|summary|abstract|answer|a)\s?:\s{0,9})?",
    re.IGNORECASE,
)


class RougeTask(AnswerTask):
    """Texts judged by their overlap with reference texts.

    The value of an answer is the ROUGE F-measure named `main`; the reference that is nearest by it counts
    for the others, too.
    """

    main: ClassVar[str]

    def judgement(self, attempt: Attempt) -> Judgement:
        """Return the F-measures against the nearest reference."""
        answer = answer_text(attempt.text)
        if not answer:
            detail = {"class": "no_answer", "message": "the answer is empty"} | dict.fromkeys(
                TYPES, 0.0
            )
            return Judgement(0.0, None, detail)
        found = f_measures(answer, attempt.sample["metadata"]["references"], self.main)
        value = found[self.main]
        verdict = "correct" if value == 1 else "wrong" if value == 0 else "partial"
        return Judgement(value, answer, {"class": verdict} | found)

    def metrics(self, scores: Sequence[Score], repeats: int) -> dict[str, Metric]:
        """Return the mean F-measures."""
        return {name: mean_over_samples(scores, name) for name in TYPES}

    def gold(self, sample: Sample) -> Attempt:
        """Return the first reference."""
        return Attempt(sample, sample["metadata"]["references"][0])

    def wrong(self, sample: Sample) -> Attempt:
        """Return a text as long as the reference without one of its words."""
        return Attempt(sample, scrambled(sample["metadata"]["references"][0]))

    @abstractmethod
    def normalise(self, row: Mapping[str, Any], fields: Mapping[str, str], where: str) -> Sample:
        """Return the sample of one row, with the list `references` in its metadata."""


def f_measures(answer: str, references: Sequence[str], main: str) -> dict[str, float]:
    """Return the F-measures of each type against the first of the references nearest by `main`."""
    read = _bounded(answer)
    every = [
        {name: score.fmeasure for name, score in _scorer().score(_lines(reference), read).items()}
        for reference in references
    ]
    return max(every, key=lambda found: found[main])


def answer_text(text: str) -> str:
    """Return an answer as it is compared: without markup and an opening such as "Summary:"."""
    text = _MARKUP.sub("", text[: 2 * LONGEST].replace("\r\n", "\n"))
    text = _LEAD.sub("", _SPACES.sub(" ", text).strip())
    return text[:LONGEST].strip()


def reference_texts(
    row: Mapping[str, Any], fields: Mapping[str, str], role: str, where: str
) -> list[str]:
    """Return a column's reference texts, from a text or a list of texts; at least one that is not empty.

    Raises:
        SourceError: there is none.
    """
    value = column(row, fields, role, where)
    found = [value] if isinstance(value, str) else texts(value, role, where)
    kept = [text.strip() for text in found if text.strip()]
    if not kept:
        raise wrong_field(value, "at least one text", role, where, fields[role])
    return kept


def scrambled(text: str) -> str:
    """Return a text whose words occur in no other text: each is turned around between x and q."""
    return re.sub(r"\w+", lambda word: f"x{word[0][::-1]}q", text)


def _bounded(text: str) -> str:
    return _lines(_LONG_WORD.sub(r"\1", text[:LONGEST]))


def _lines(text: str) -> str:
    """Return a text with one sentence a line, as ROUGE-Lsum expects."""
    return _SENTENCE.sub("\n", text)


@cache
def _scorer() -> Any:
    from rouge_score import rouge_scorer

    # The library fills this table cell by cell: nearly all the time that long texts take.
    rouge_scorer._lcs_table = lcs_table
    return rouge_scorer.RougeScorer(list(TYPES), tokenizer=_Stems())


def lcs_table(reference: Sequence[str], answer: Sequence[str]) -> list[list[int]]:
    """Return the lengths of the longest common subsequences of all beginnings of two lists of tokens.

    Returns:
        (tokens of the reference + 1) × (tokens of the answer + 1), as rouge-score's own function does.
    """
    above = [0] * (len(answer) + 1)
    table = [above]
    for token in reference:
        length = 0
        row = [length]
        for other, diagonal, up in zip(answer, above, above[1:], strict=False):
            length = diagonal + 1 if token == other else up if up > length else length
            row.append(length)
        table.append(row)
        above = row
    return table


class _Stems:
    """rouge-score's own tokens; stems are kept, as stemming is most of the time that ROUGE takes."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer  # type: ignore[import-untyped]

        self.stem = lru_cache(maxsize=STEMS)(PorterStemmer().stem)

    def tokenize(self, text: str) -> list[str]:
        from rouge_score.tokenize import tokenize

        tokens: list[str] = tokenize(text, self)
        return tokens
