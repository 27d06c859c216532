"""What holds for every task type, and for every dataset of the registry that has real rows here."""

from __future__ import annotations

import inspect
import json
import re
import time
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import yaml
from snakeval import tasks
from snakeval.records import Sample, Score, canonical_json, read_json, read_jsonl
from snakeval.registry import schema
from snakeval.sources import datasets
from snakeval.tasks import Attempt, Judgement, Task
from snakeval.tasks._programs import ProgramTask

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
REGISTRY: dict[str, Any] = yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text())
ANSWERED = sorted(  # answers of the others are programs: tests/judges runs them
    name
    for name, entry in REGISTRY.items()
    if not isinstance(tasks.get(entry["task"]), ProgramTask)
)
HOSTILE = {
    "nothing": "",
    "blanks": " \t\r\n" * 50_000,
    "a word without end": "a" * 2_000_000,
    "control characters": "\x00\x07\x1b[31m\u202e\ud800\uffff" * 20_000,
    "open brackets": "[" * 500_000,
    "objects in objects": '{"a":' * 100_000,
    "braces": r"\boxed{" * 50_000,
    "fractions": r"\frac{" * 50_000 + "7919" + "}{7907}" * 50_000,
    "powers": "The answer is 9**9**9**9 = $9^{9^{9^{9}}}$.",
    "a long number": "The answer is " + "9" * 300_000 + ".",
    "digits and commas": "7919," * 50_000,
    "letters": "(A) " * 100_000,
    "answer marks": "The answer is " * 50_000,
    "fences": "```python\n" * 50_000,
    "quotes": "\"'" * 200_000,
    "backslashes": "\\" * 400_000,
    "a regex's worst": "a" * 100_000 + "!" + "(((a+)+)+)+$" * 1000,
    "lines": "- x: y\n" * 100_000,
    "calls": "f(" * 20_000 + ")" * 20_000,
}
SECONDS = 30  # for one hostile answer, on a busy machine


def rows_of(slug: str) -> str:
    """Return the name of the file of real rows: the dataset's own, or of another protocol on the same rows.

    arc_challenge_letter asks the questions of arc_challenge; the hub's name tells that they are the same.
    """
    if (DATA / f"{slug}.jsonl").exists() or not (DATA / "SCHEMAS.json").exists():
        return slug
    hubs = [source["hub"] for source in REGISTRY[slug]["sources"] if "hub" in source]
    known = json.loads((DATA / "SCHEMAS.json").read_text())
    same = [name for name, about in known.items() if about["hub_id"] in hubs and "." not in name]
    return max((name for name in same if slug.startswith(name)), key=len, default=slug)


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that gives a dataset's samples, made of real rows; it skips where those are missing."""
    folder, own = tmp_path_factory.mktemp("samples"), tmp_path_factory.mktemp("rows")
    kept: dict[str, list[Sample]] = {}

    def samples(slug: str) -> list[Sample]:
        if slug not in kept:
            rows = rows_of(slug)
            entry = {**schema.filled(REGISTRY[slug], "dataset"), "samples_sha256": None}
            tables = {"": rows, **{f".{name}": rows + f".{name}" for name in entry["join"]}}
            if entry["shots"]:
                examples = f".{entry['shots']['name']}"
                if (DATA / f"{rows}{examples}.jsonl").exists():
                    tables[examples] = rows + examples
                else:  # they are shown to models; reference answers do not need them
                    entry = {**entry, "shots": None}
            for name, table in tables.items():
                if not (DATA / f"{table}.jsonl").exists():
                    pytest.skip(f"no {table}.jsonl")
                (own / f"{slug}{name}.jsonl").symlink_to(DATA / f"{table}.jsonl")
            path, status = folder / f"{slug}.jsonl", folder / f"{slug}.json"
            assert datasets.fetch(slug, entry, str(own), path, status), read_json(status)["reason"]
            kept[slug] = list(read_jsonl(path))
        return kept[slug]

    return samples


def judged(slug: str, attempts: list[Attempt]) -> list[Judgement]:
    entry = schema.filled(REGISTRY[slug], "dataset")
    found = tasks.get(entry["task"]).judge(attempts, entry["scoring"], {}).judgements
    assert len(found) == len(attempts)
    for one in found:
        assert one.value is None or 0 <= one.value <= 1
        assert one.answer is None or isinstance(one.answer, str)
        assert isinstance(one.detail.get("class"), str), one
        canonical_json(one.detail)  # it goes into a file
    return found


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_type_says_what_it_is(name: str) -> None:
    task = tasks.get(name)
    assert isinstance(task, Task)
    assert task.name == name
    assert task.version >= 1
    assert 0 <= task.chance < 1
    roles = [*task.roles, *task.optional_roles]
    assert "id" in roles
    assert len(set(roles)) == len(roles)
    assert all(re.fullmatch("[a-z][a-z0-9_]*", role) for role in [*roles, *task.inputs])
    assert inspect.getdoc(inspect.getmodule(type(task)))
    assert set(task.missing_roles({})) <= set(roles)
    assert task.missing_roles(dict.fromkeys(roles, "column")) == []


@pytest.mark.parametrize("name", tasks.names())
def test_metrics_of_nothing_are_no_numbers(name: str) -> None:
    metrics = tasks.get(name).metrics([], 1)
    assert metrics
    for metric in metrics.values():
        assert metric == {"value": None, "ci_low": None, "ci_high": None, "n": 0}


@pytest.mark.parametrize("slug", ANSWERED)
def test_samples_of_real_rows(slug: str, fetched: Any) -> None:
    task = tasks.get(REGISTRY[slug]["task"])
    samples: list[Sample] = fetched(slug)
    rows = sum(
        1 for line in (DATA / f"{rows_of(slug)}.jsonl").read_text().splitlines() if line.strip()
    )
    assert 0 < len(samples) <= rows
    for sample in samples:
        assert set(sample["inputs"]) <= {*task.inputs, "shots"}
        assert sample["id"]
    again = [canonical_json(sample["inputs"]) for sample in samples]
    repeated = [text for text, times in Counter(again).items() if times > 1]
    assert len(repeated) <= len(samples) // 20, repeated[:3]  # rows, not one row again and again


@pytest.mark.parametrize(
    "slug",
    [slug for slug in ANSWERED if {"shots", "written_shots"} & set(REGISTRY[slug])],
)
def test_no_row_is_among_its_examples(slug: str, fetched: Any) -> None:
    templates = "\n".join(REGISTRY[slug]["prompt"].values())
    for sample in fetched(slug):
        own = {name: value for name, value in sample["inputs"].items() if name != "shots"}
        asked = max((value for value in own.values() if isinstance(value, str)), key=len)
        assert asked not in templates
        for shown in sample["inputs"].get("shots", ()):
            assert {name: shown[name] for name in own} != own


@pytest.mark.parametrize("slug", ANSWERED)
def test_reference_answers_are_right(slug: str, fetched: Any) -> None:
    task = tasks.get(REGISTRY[slug]["task"])
    attempts = [attempt for attempt in map(task.gold, fetched(slug)) if attempt is not None]
    if not attempts:
        pytest.skip(f"{slug}: the rows hold no reference answers")
    exceptions = REGISTRY[slug].get("exceptions", {})
    found = zip(attempts, judged(slug, attempts), strict=True)
    failed = {attempt.sample["id"]: one for attempt, one in found if one.value != 1}
    assert set(failed) == set(exceptions) & {attempt.sample["id"] for attempt in attempts}, failed


@pytest.mark.parametrize("slug", ANSWERED)
def test_wrong_answers_are_at_most_chance(slug: str, fetched: Any) -> None:
    task = tasks.get(REGISTRY[slug]["task"])
    attempts = [attempt for attempt in map(task.wrong, fetched(slug)) if attempt is not None]
    if not attempts:
        pytest.skip(f"{slug}: no wrong answers can be made")
    values = [one.value for one in judged(slug, attempts)]
    assert None not in values
    assert fmean(values) <= task.chance


@pytest.mark.parametrize("slug", ANSWERED)
def test_the_metric_of_the_registry_is_one_of_the_task(slug: str, fetched: Any) -> None:
    task = tasks.get(REGISTRY[slug]["task"])
    attempts = [attempt for attempt in map(task.gold, fetched(slug)[:20]) if attempt is not None]
    if not attempts:
        pytest.skip(f"{slug}: the rows hold no reference answers")
    scores: list[Score] = [
        {
            "id": attempt.sample["id"],
            "repeat": 0,
            "state": "correct",
            "value": one.value,
            "answer": one.answer,
            "target": attempt.sample["target"],
            "detail": one.detail,
        }
        for attempt, one in zip(attempts, judged(slug, attempts), strict=True)
    ]
    metrics = task.metrics(scores, 1)
    primary = metrics[REGISTRY[slug]["metric"]]
    assert primary["value"] is not None
    for metric in metrics.values():
        if metric["value"] is not None:
            assert 0 <= metric["ci_low"] <= metric["value"] <= metric["ci_high"]
    assert json.dumps(metrics, allow_nan=False)


@pytest.mark.parametrize("slug", ANSWERED)
def test_hostile_answers_get_a_verdict(slug: str, fetched: Any) -> None:
    sample = fetched(slug)[0]
    for name, text in HOSTILE.items():
        started = time.monotonic()
        (one,) = judged(slug, [Attempt(sample, text)])
        assert time.monotonic() - started < SECONDS, name
        if name != "letters":  # one of them may be the right one
            assert one.value is None or one.value < 1, (name, one)
        assert len(canonical_json([one.answer, one.detail])) < 3_000_000, name
