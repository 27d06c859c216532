"""config/lock.yaml: sources without a commit are taken at the one that stands there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from snakeval import registry
from snakeval.errors import SnakevalError
from snakeval.registry import lock

OLD, NEW = "a" * 40, "b" * 40
MODEL = {"source": {"hub": "org/model", "revision": "main"}, "max_model_len": 4096}
DATASET = {
    "task": "mathematics",
    "sources": [{"hub": "org/sums", "config": "main", "split": "test"}],
    "shots": {
        "name": "train",
        "sources": [{"hub": "org/sums", "config": "main", "split": "train"}],
        "count": 1,
    },
    "fields": {"id": "id", "problem": "question", "answer": "answer"},
    "prompt": {"chat": "{{ shots[0].problem }} {{ problem }}"},
    "max_tokens": 64,
    "metric": "accuracy",
}


def load(root: Path, locked: Any = None, **model: Any) -> registry.Run:
    (root / "config").mkdir(parents=True, exist_ok=True)
    files = {
        "models": {"m": {**MODEL, **model}},
        "datasets": {"d": DATASET},
        "categories": {},
        "config": {"run": {"models": ["m"], "datasets": ["d"]}},
    }
    for name, content in files.items():
        (root / "config" / f"{name}.yaml").write_text(yaml.safe_dump(content))
    if locked is not None:
        text = locked if isinstance(locked, str) else yaml.safe_dump(locked)
        (root / lock.NAME).write_text(text)
    return registry.load({}, root)


def test_a_locked_branch_is_taken_at_its_commit(tmp_path: Path) -> None:
    run = load(tmp_path, {"models": {"org/model": {"main": OLD}}})
    assert run.models["m"]["source"] == {"hub": "org/model", "revision": OLD}
    direct = load(tmp_path / "direct", source={"hub": "org/model", "revision": OLD})
    assert [pair.key for pair in run.pairs] == [pair.key for pair in direct.pairs]
    assert run.models["m"]["source_id"] == direct.models["m"]["source_id"]


def test_no_revision_means_main_and_further_tables_are_locked_too(tmp_path: Path) -> None:
    before = load(tmp_path)
    run = load(tmp_path, {"datasets": {"org/sums": {"main": NEW}}})
    entry = run.datasets["d"]
    assert [source["revision"] for source in entry["sources"]] == [NEW]
    assert [source["revision"] for source in entry["shots"]["sources"]] == [NEW]
    assert run.pairs[0].key != before.pairs[0].key


def test_other_branches_commits_and_kinds_stay_as_they_are(tmp_path: Path) -> None:
    locked = {
        "models": {"org/model": {"v2": OLD}, "org/sums": {"main": OLD}},
        "datasets": {"org/model": {"main": OLD}},
    }
    assert load(tmp_path, locked).pairs == load(tmp_path / "without").pairs
    pinned = {"hub": "org/model", "revision": NEW}
    run = load(tmp_path, {"models": {"org/model": {"main": OLD, NEW: OLD}}}, source=pinned)
    assert run.models["m"]["source"] == pinned


def test_what_is_not_at_a_commit_is_listed_once(tmp_path: Path) -> None:
    run = load(tmp_path, tokenizer={"hub": "org/tokens", "revision": "v1"})
    assert lock.references(run) == [
        ("models", "org/model", "main"),
        ("models", "org/tokens", "v1"),
        ("datasets", "org/sums", "main"),
    ]
    locked = lock.Lock(dict.fromkeys(lock.references(run), OLD))
    assert lock.references(load(tmp_path, locked.to_yaml())) == []


@pytest.mark.parametrize(
    ("locked", "says"),
    [
        ({"model": {}}, "config/lock.yaml: model: got an unknown key"),
        ({"models": []}, "config/lock.yaml: models: got a list"),
        ({"models": {"org/model": OLD}}, "config/lock.yaml: models.org/model: got 'aaa"),
        ({"models": {"org/model": {"main": "v1"}}}, "models.org/model.main: got 'v1'"),
        ({"datasets": {"org/sums": {"main": None}}}, "datasets.org/sums.main: got null"),
        ("models: [", "config/lock.yaml, line 2"),
    ],
)
def test_a_broken_lock_is_one_line(tmp_path: Path, locked: Any, says: str) -> None:
    with pytest.raises(SnakevalError) as caught:
        load(tmp_path, locked)
    (line,) = str(caught.value).splitlines()
    assert says in line
