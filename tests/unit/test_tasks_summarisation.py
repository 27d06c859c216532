"""Summaries against reference summaries, by ROUGE."""

from __future__ import annotations

import random
import re
from collections import Counter
from importlib.util import find_spec, module_from_spec
from itertools import pairwise
from typing import Any

import pytest
from snakeval.errors import SourceError
from snakeval.tasks import Attempt, _rouge
from snakeval.tasks.summarisation import TASK

FIELDS = {"id": "paper_id", "document": "source", "summary": "target"}
ROW = {
    "paper_id": "p1",
    "source": ["We learn classes.\n\n", " It  works. "],
    "target": ["A network for classes of cats.", "We present a memory for dogs, which learns."],
}


def judged(text: str, references: Any = None) -> Any:
    row = ROW | ({"target": references} if references else {})
    return TASK.judgement(Attempt(TASK.normalise(row, FIELDS, "row"), text))


def test_a_row_becomes_a_sample():
    assert TASK.normalise(ROW, FIELDS, "row") == {
        "id": "p1",
        "inputs": {"document": "We learn classes. It works."},
        "target": ROW["target"],
        "metadata": {"references": ROW["target"]},
    }
    plain = ROW | {"source": "We learn.\nIt works.", "target": " One. "}
    sample = TASK.normalise(plain, FIELDS, "row")
    assert sample["inputs"] == {"document": "We learn. It works."}
    assert sample["target"] == ["One."]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("source", None, "field document: got NoneType None; expected a list of texts."),
        ("source", [], "field document: got list [] in column 'source'; expected a text to be"),
        ("source", ["x", 1], "field document: got int 1; expected text in the list."),
        ("target", 3, "field summary: got int 3; expected a list of texts."),
        ("target", [" ", ""], "field summary: got list [' ', ''] in column 'target'; expected at"),
        ("target", [None], "field summary: got NoneType None; expected text in the list."),
        ("paper_id", None, "field id: got NoneType None in column 'paper_id'; expected text."),
    ],
)
def test_a_wrong_column_is_named(column: str, value: Any, message: str):
    with pytest.raises(SourceError) as caught:
        TASK.normalise(ROW | {column: value}, FIELDS, "row 1")
    assert str(caught.value).startswith(f"row 1, {message}")


def words(text: str) -> list[str]:
    return re.findall("[a-z0-9]+", text.lower())


def overlap(told: list[Any], wanted: list[Any]) -> float:
    """F-measure of two lists of n-grams, by precision and recall."""
    same = sum((Counter(told) & Counter(wanted)).values())
    if not same:
        return 0.0
    precision, recall = same / len(told), same / len(wanted)
    return 2 * precision * recall / (precision + recall)


def pairs(tokens: list[str]) -> list[tuple[str, str]]:
    return list(pairwise(tokens))


def longest(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence, from the ends of the lists."""
    row = [0] * (len(b) + 1)
    for x in reversed(a):
        row = _next_row(x, b, row)
    return row[0]


def _next_row(x: str, b: list[str], below: list[int]) -> list[int]:
    row = [0] * (len(b) + 1)
    for place in range(len(b) - 1, -1, -1):
        same = x == b[place]
        row[place] = below[place + 1] + 1 if same else max(below[place], row[place + 1])
    return row


def test_f_measures_agree_with_another_computation():
    """Words of at most three letters, which the stemmer leaves alone."""
    draw = random.Random(3)
    pool = ["cat", "dog", "ox", "The", "of", "10", "x1"]
    for _ in range(200):
        told = " ".join(draw.choices(pool, k=draw.randint(1, 9)))
        wanted = " ".join(draw.choices(pool, k=draw.randint(1, 9)))
        found = _rouge.f_measures(told, [wanted], "rouge1")
        a, b = words(told), words(wanted)
        common = longest(a, b)
        assert found["rouge1"] == pytest.approx(overlap(a, b))
        assert found["rouge2"] == pytest.approx(overlap(pairs(a), pairs(b)))
        assert found["rougeL"] == pytest.approx(2 * common / (len(a) + len(b)))


def test_the_nearest_reference_by_rouge_1_counts_for_the_others():
    first, second = "dogs learn quickly here today", "quickly learn dogs"
    found = judged("dogs learn quickly", [first, second]).detail
    assert found["rouge1"] == 1
    assert found["rouge2"] == 0
    assert found["rougeL"] == pytest.approx(1 / 3)
    assert judged("dogs learn quickly", [first]).detail["rouge2"] > 0.5


def test_words_are_stemmed():
    assert judged("a networks learning of cat", ["A network learns of cats."]).value == 1


@pytest.mark.parametrize(
    "text",
    [
        "A network for classes of cats.",
        "TL;DR: A network for classes of cats",
        "**Summary:** A network for classes of cats.",
        "Here is a one-sentence summary of the abstract:\n\nA network for classes of cats.\r\n",
        "Sure! Here's the summary:\nSummary: A network for classes of cats.",
        "# Summary:\n`A network` for __classes__ of cats",
        "Abstract: A network for classes of cats.",
    ],
)
def test_openings_and_markup_do_not_count(text: str):
    assert judged(text).value == 1


def test_a_sentence_with_a_colon_stays_whole():
    text = "We ask: what do cats learn?"
    assert judged(text).answer == text
    assert judged("Summaries are learnt: yes.").answer == "Summaries are learnt: yes."


def test_an_empty_answer_is_none():
    found = judged(" \n")
    assert (found.value, found.answer) == (0, None)
    assert found.detail["class"] == "no_answer"
    assert found.detail["rougeL"] == 0


def test_gold_and_wrong():
    sample = TASK.normalise(ROW, FIELDS, "row")
    assert TASK.judgement(TASK.gold(sample)).detail["class"] == "correct"
    wrong = TASK.judgement(TASK.wrong(sample))
    assert [wrong.detail[name] for name in _rouge.TYPES] == [0, 0, 0, 0]
    assert wrong.detail["class"] == "wrong"
    assert len(TASK.wrong(sample).text.split()) == 6


def test_metrics_are_means_over_papers():
    found = [judged(text) for text in ("A network for classes of cats.", "nothing", "dogs learns")]
    scores: Any = [
        {"id": str(n), "repeat": 0, "value": one.value, "answer": one.answer, "detail": one.detail}
        for n, one in enumerate(found)
    ]
    metrics = TASK.metrics(scores, 1)
    assert set(metrics) == set(_rouge.TYPES)
    for name in _rouge.TYPES:
        expected = sum(one.detail[name] for one in found) / 3
        assert metrics[name]["value"] == pytest.approx(expected)
        assert metrics[name]["n"] == 3


def untouched() -> Any:
    """Return rouge-score's scorer as the library has it."""
    found = find_spec("rouge_score.rouge_scorer")
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_numbers_are_those_of_the_library_as_it_is():
    library = untouched()
    plain = library.RougeScorer(list(_rouge.TYPES), use_stemmer=True)
    draw = random.Random(4)
    stock = [
        "Running",
        "runs",
        "runner's",
        "classes",
        "classification",
        "the",
        "né",
        "3D",
        "x.",
        ".",
    ]
    for _ in range(200):
        reference, answer = (" ".join(draw.choices(stock, k=draw.randint(1, 30))) for _ in "ab")
        found = _rouge.f_measures(answer, [reference], "rouge1")
        wanted = plain.score(_rouge._lines(reference), _rouge._lines(answer))
        assert found == {name: score.fmeasure for name, score in wanted.items()}
        tables = [of(reference, answer) for of in (library._lcs_table, _rouge.lcs_table)]
        assert tables[0] == tables[1]
