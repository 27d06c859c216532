"""Labels named by models: what counts as one, and the numbers over them against scikit-learn's."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score
from snakeval import tasks
from snakeval.errors import SourceError
from snakeval.records import Sample
from snakeval.resampling import resampled
from snakeval.tasks import Attempt, Judgement
from snakeval.tasks._labels import named

TASK: Any = tasks.get("classification")
ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
YES_NO = ["yes", "no", "maybe"]
RELATIONS = ["AGONIST", "INHIBITOR", "AGONIST-INHIBITOR", ["INDIRECT-UPREGULATOR", "raises"]]
TOXIC = [
    ["hate speech", "hateful"],
    ["offensive language", "offensive"],
    ["neither", "neither hate speech nor offensive language"],
]
PLACES = [
    ["Cell membrane", "plasma membrane"],
    ["Lysosome/Vacuole", "Lysosome", "Vacuole"],
    "Nucleus",
]


def sample(labels: list[Any], target: Any = 0) -> Sample:
    found: Sample = TASK.normalise(
        {"n": 3, "t": "text", "l": target, "ls": labels},
        {"id": "n", "text": "t", "label": "l", "labels": "ls"},
        "toy.jsonl, line 4",
    )
    return found


def judged(labels: list[Any], text: str) -> Judgement:
    return TASK.judgement(Attempt(sample(labels), text))


WAYS = [
    "{X}",
    " {X}\r\n",
    "{X}.",
    "**{X}**",
    '"{X}"',
    "`{X}`",
    "({X})",
    "\\boxed{{{X}}}",
    "$\\boxed{{\\text{{{X}}}}}$",
    "Answer: {X}",
    "**Answer:** {X}.",
    "The answer is {X}.",
    "The answer is: **{X}**",
    "Label: {X}",
    "The correct label is {X}.",
    "Category: {X}",
    'Classification: "{X}"',
    "Final answer: {X}",
    "<answer>{X}</answer>",
    '{{"label": "{X}"}}',
    "- {X}",
    "{X}, as the text says.",
    "{X}: the text says so.",
    "{X}\n\nThe reason is a long story.",
    "Let us think about it.\n\n{X}",
    "First I thought the answer is {Y}. But no: the answer is {X}.",
    "Answer: {Y}\nAnswer: {X}",
    "The answer is not {Y}. The answer is {X}.",
    "If the answer is {Y}, it is odd. Answer: {X}",
    "Perhaps {Y}, perhaps {X}. Answer: {X}",
    "The answer is {X} because it is.",
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("labels", [YES_NO, RELATIONS, TOXIC, PLACES])
@pytest.mark.parametrize("case", [str, str.upper, str.lower, str.title])
def test_a_label_is_found_in_each_way_of_writing_it(way, labels, case):
    spellings = [label if isinstance(label, list) else [label] for label in labels]
    for number, words in enumerate(spellings):
        other = spellings[(number + 1) % len(spellings)][0]
        for word in words:
            text = way.format(X=case(word), Y=other)
            judgement = judged(labels, text)
            assert judgement.answer == words[0], text
            assert judgement.value == float(number == 0)
            assert judgement.detail["class"] == ("correct" if number == 0 else "wrong")


@pytest.mark.parametrize(
    ("labels", "text", "label"),
    [
        (RELATIONS, "agonist_inhibitor", "AGONIST-INHIBITOR"),
        (RELATIONS, "Agonist inhibitor", "AGONIST-INHIBITOR"),
        (RELATIONS, "The relation is that of an agonist.", "AGONIST"),
        (RELATIONS, "The sentence says that it is an inhibitor of the receptor.", "INHIBITOR"),
        (RELATIONS, "It is not an agonist but an inhibitor.", "INHIBITOR"),
        (RELATIONS, "AGONIST-ACTIVATOR", None),
        (RELATIONS, "INDIRECT-AGONIST", None),
        (RELATIONS, "AGONIST or INHIBITOR", None),
        (RELATIONS, "Answer: AGONIST, INHIBITOR", None),
        (RELATIONS, "Answer: AGONIST/INHIBITOR", None),
        (RELATIONS, "It may be an agonist. It may be an inhibitor.", None),
        (RELATIONS, "Answer: inhibitors", None),
        (RELATIONS, "UPREGULATOR", None),
        (YES_NO, "Yes, they do.", "yes"),
        (YES_NO, "No. There was no difference.", "no"),
        (YES_NO, "There was no difference between the groups.", None),
        (YES_NO, "No difference was found.", None),
        (YES_NO, "The answer is no longer known.", None),
        (YES_NO, "Yes or no", None),
        (YES_NO, "The answer is yes or no.", None),
        (YES_NO, "Answer: yes/no/maybe", None),
        (YES_NO, "Maybe", "maybe"),
        (YES_NO, "It is not known; yes and no are possible.", None),
        (YES_NO, "Yesterday", None),
        (TOXIC, "This tweet contains offensive language.", "offensive language"),
        (TOXIC, "The tweet is neither hate speech nor offensive language.", "neither"),
        (TOXIC, "The tweet is offensive, not hate speech.", "offensive language"),
        (TOXIC, "It isn't hate speech.", None),
        (TOXIC, "I'm sorry, but I can't help with hate speech.", None),
        (TOXIC, "I'm sorry, but this looks like hate speech, and I stop here.", None),
        (TOXIC, "I cannot repeat it. Label: hate speech", "hate speech"),
        (PLACES, "Cell.membrane", "Cell membrane"),
        (PLACES, "Lysosome or vacuole", "Lysosome/Vacuole"),
        (PLACES, "The protein is located in the nucleus.", "Nucleus"),
        (PLACES, "Location: the plasma membrane", "Cell membrane"),
        (PLACES, "", None),
        (PLACES, "Ribosome", None),
    ],
)
def test_labels_in_prose(labels, text, label):
    judgement = judged(labels, text)
    assert judgement.answer == label
    if label is None:
        assert (judgement.value, judgement.detail["class"]) == (0.0, "no_answer")
        assert judgement.detail["message"]


HOSTILE = {
    "megabytes of labels": "yes no " * 400_000,
    "one label": "yes" * 1_000_000,
    "spaces": "Answer:" + " " * 3_000_000 + "yes",
    "line ends": "the answer is\n" * 200_000,
    "cues": "the answer is the label is " * 100_000,
    "boxes": "\\boxed{" * 500_000,
    "hyphens": "AGONIST-" * 400_000,
    "quotes": "\"'" * 1_500_000,
    "denied": "not " * 700_000,
    "controls": "".join(map(chr, range(32))) * 30_000,
    "surrogates": "\ud800" * 100_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("labels", [YES_NO, RELATIONS])
def test_hostile_answers_are_judged_soon(labels, text):
    start = time.process_time()
    assert judged(labels, text).value in (0.0, 1.0)
    assert time.process_time() - start < 5


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["yes", "no", " ", ".", "or", "answer", "is", ":", "\n", "*", "{"]))
)
def test_any_text_has_a_verdict_and_the_same_one_each_time(parts):
    first = judged(YES_NO, "".join(parts))
    assert first == judged(YES_NO, "".join(parts))
    assert (first.answer is None) == (first.detail["class"] == "no_answer")


# --- rows

FIELDS = {"id": "id", "text": "text", "context": "context", "label": "label", "labels": "labels"}


def row(**changes: Any) -> dict[str, Any]:
    base = {"id": 7, "text": " a &amp; b ", "context": None, "label": 1, "labels": YES_NO}
    return base | changes


def read(row: dict[str, Any]) -> Sample:
    found: Sample = TASK.normalise(row, FIELDS, "toy.jsonl, line 4")
    return found


def test_a_row():
    assert read(row()) == {
        "id": "7",
        "inputs": {"text": "a & b", "question": "", "context": "", "labels": YES_NO},
        "target": "no",
        "metadata": {"spellings": [["yes"], ["no"], ["maybe"]]},
    }
    assert read(row(label="Maybe"))["target"] == "maybe"
    assert read(row(label="plasma.Membrane", labels=PLACES))["target"] == "Cell membrane"


def test_of_a_context_only_its_texts_are_shown():
    context = {
        "contexts": ["One.", "Two &lt; three."],
        "labels": ["AIM", "RESULT"],
        "meshes": ["x"],
    }
    assert read(row(context=context))["inputs"]["context"] == "One.\nTwo < three."
    assert read(row(context=["One."]))["inputs"]["context"] == "One."
    assert read(row(context="One. "))["inputs"]["context"] == "One."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": 5}, "field text: got int 5 in column 'text'; expected text"),
        ({"context": 5}, "field context: got int 5; expected a list of texts"),
        ({"context": {"text": "x"}}, "field context: got dict"),
        ({"context": ["x", None]}, "field context: got NoneType None; expected text in the list"),
        (
            {"label": 3},
            "field label: got int 3 in column 'label'; expected one of yes, no, maybe, or",
        ),
        ({"label": -1}, "field label: got int -1"),
        ({"label": True}, "field label: got bool True"),
        ({"label": "perhaps"}, "field label: got str 'perhaps'"),
        ({"label": None}, "field label: got NoneType None"),
        (
            {"labels": ["yes"]},
            "field labels: got list ['yes'] in column 'labels'; expected a list of",
        ),
        ({"labels": "yes"}, "field labels: got str 'yes'"),
        ({"labels": ["yes", "YES"]}, "field labels: got list ['yes', 'YES']"),
        ({"labels": ["yes", []]}, "field labels: got list ['yes', []]"),
        ({"labels": ["yes", "?"]}, "field labels: got list ['yes', '?']"),
        ({"labels": ["yes", [1]]}, "field labels: got int 1; expected text in the list"),
    ],
)
def test_a_wrong_column_is_named(changes, message):
    with pytest.raises(SourceError) as error:
        read(row(**changes))
    assert str(error.value).startswith("toy.jsonl, line 4, field ")
    assert message in str(error.value)


def test_the_roles_that_are_missing():
    assert TASK.missing_roles({"id": "i"}) == ["label", "labels", "text"]
    assert TASK.missing_roles({"id": "i", "question": "q", "label": "l", "labels": "m"}) == []


# --- metrics


def scores(pairs: list[tuple[str, str | None]], repeats: int = 1) -> list[Any]:
    return [
        {
            "id": str(number // repeats),
            "repeat": number % repeats,
            "value": float(target == answer),
            "target": target,
            "answer": answer,
            "detail": {},
        }
        for number, (target, answer) in enumerate(pairs)
    ]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("repeats", [1, 3])
def test_the_numbers_are_scikit_learns(seed, repeats):
    draw = random.Random(seed)
    names = ["a", "b", "c", "d", "rare"][: draw.randint(2, 5)]
    answers: list[str | None] = [*names, "e", None]
    pairs = [
        (target, target if draw.random() < 0.5 else draw.choice(answers))
        for target in draw.choices(names, weights=[9, 5, 3, 2, 1][: len(names)], k=120)
    ]
    truth = [target for target, _ in pairs]
    told = [answer or "no answer" for _, answer in pairs]
    labels = sorted({*truth, *told} - {"no answer"})
    metrics = TASK.metrics(scores(pairs, repeats), repeats)
    assert metrics["accuracy"]["value"] == pytest.approx(accuracy_score(truth, told))
    for average in ("macro", "micro"):
        metric = metrics[f"{average}_f1"]
        expected = f1_score(truth, told, average=average, labels=labels, zero_division=0)
        assert metric["value"] == pytest.approx(expected)
        assert metric["ci_low"] < metric["value"] < metric["ci_high"]
        assert metric["n"] == 120 / repeats


def test_where_every_answer_names_a_label_micro_f1_is_accuracy_and_macro_f1_the_authors():
    """PubMedQA's evaluation.py takes f1_score(truth, answers, average="macro") of yes, no, maybe."""
    draw = random.Random(5)
    pairs: list[Any] = [(draw.choice(YES_NO), draw.choice(YES_NO)) for _ in range(200)]
    metrics = TASK.metrics(scores(pairs), 1)
    assert metrics["micro_f1"]["value"] == pytest.approx(metrics["accuracy"]["value"])
    truth, told = zip(*pairs, strict=True)
    assert metrics["macro_f1"]["value"] == pytest.approx(f1_score(truth, told, average="macro"))


def test_intervals_are_those_of_scikit_learns_numbers():
    """The same units are drawn by both ways, so that the intervals are equal."""
    draw = random.Random(9)
    two = YES_NO[:2]
    pairs: list[Any] = [(draw.choice(two), draw.choice([*two, None])) for _ in range(15)]
    pairs.append(("maybe", "maybe"))  # in a third of the draws it is not there
    metrics = TASK.metrics(scores(pairs), 1)

    for average in ("macro", "micro"):

        def f1(units: Sequence[Any], average: str = average) -> float:
            truth, answers = [u[0] for u in units], [u[1] or "no answer" for u in units]
            labels = sorted({*truth, *answers} - {"no answer"})
            return float(f1_score(truth, answers, average=average, labels=labels, zero_division=0))

        assert metrics[f"{average}_f1"] == pytest.approx(resampled(pairs, f1))


def test_nothing_scored_gives_no_number():
    unscored = scores([("a", None)])
    unscored[0]["value"] = None
    for metric in TASK.metrics(unscored, 1).values():
        assert metric == {"value": None, "ci_low": None, "ci_high": None, "n": 0}
    refused = TASK.metrics(scores([("a", None), ("b", None)]), 1)
    assert [metric["value"] for metric in refused.values()] == [0.0, 0.0, 0.0]


def test_a_large_dataset_is_no_burden():
    draw = random.Random(1)
    names = [f"label {n}" for n in range(13)]
    pairs: list[Any] = [(draw.choice(names), draw.choice(names)) for _ in range(24_783)]
    start = time.process_time()
    TASK.metrics(scores(pairs), 1)
    assert time.process_time() - start < 60


# --- a column that tells more classes apart than there are labels


def merging(label: Any, merged: Any) -> Sample:
    found: Sample = TASK.normalise(
        {"n": 3, "t": "text", "l": label, "ls": ["unsafe", "safe"], "m": merged},
        {"id": "n", "text": "t", "label": "l", "labels": "ls", "merged": "m"},
        "toy.jsonl, line 4",
    )
    return found


@pytest.mark.parametrize(("label", "target"), [(0, "unsafe"), (1, "unsafe"), (2, "safe")])
def test_classes_are_merged(label, target):
    assert merging(label, [0, 0, 1])["target"] == target


@pytest.mark.parametrize(
    ("label", "merged", "says"),
    [
        (3, [0, 0, 1], "a whole number from 0 to 2"),
        (-1, [0, 0, 1], "a whole number from 0 to 2"),
        (True, [0, 0, 1], "a whole number from 0 to 2"),
        ("safe", [0, 0, 1], "a whole number from 0 to 2"),
        (0, [], "a list of labels' numbers"),
        (0, "001", "a list of labels' numbers"),
        (0, [2], "one of unsafe, safe"),
        (0, [None], "one of unsafe, safe"),
    ],
)
def test_classes_that_cannot_be_merged(label, merged, says):
    with pytest.raises(SourceError, match=says):
        merging(label, merged)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Safety: Safe\nCategories: None", "safe"),
        ("Safety: Unsafe\nCategories: Violent", "unsafe"),
        ("Safety: Unsafe\nCategories: Unethical Acts, PII\nRefusal: No", "unsafe"),
        ("Safety: Controversial\nCategories: Non-violent Illegal Acts", "unsafe"),
        ("Safety:", None),
        ("Categories: None", None),
    ],
)
def test_what_a_moderating_model_says(text, label):
    assert named(text, (("unsafe", "controversial"), ("safe",))).label == label


# --- real rows through the registry's entries


@pytest.mark.parametrize(
    ("slug", "file", "count"),
    [
        ("pubmedqa", "pubmedqa", 300),
        ("toxicity_detection", "toxicity_detection", 300),
        ("toxicity_detection_binary", "toxicity_detection", 300),
        ("chemprot", "chemprot", 253),
        ("chemprot", "chemprot.train", 60),
        ("scierc_rel", "scierc_rel", 245),
        ("protein_function", "protein_function", 285),
    ],
)
def test_real_rows_gold_is_right_and_wrong_is_wrong(slug, file, count):
    path = DATA / f"{file}.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    entries = yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text(encoding="utf-8"))
    entry = entries[slug]
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        content = {"#": number, **entry["constants"], **json.loads(line)}
        problem = TASK.normalise(content, entry["fields"], f"line {number}")
        assert TASK.judgement(TASK.gold(problem)).value == 1.0
        assert TASK.judgement(TASK.wrong(problem)).value == 0.0
        for words in problem["metadata"]["spellings"]:
            for word in words:
                found = named(
                    f"The answer is: {word}.", tuple(map(tuple, problem["metadata"]["spellings"]))
                )
                assert found.label == words[0]
    assert len(lines) == count
