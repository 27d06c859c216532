"""Images in rows: every form in which they come, and every reason why a row is refused."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from page_images import bomb, page
from snakeval.records import read_json, read_jsonl
from snakeval.registry import schema
from snakeval.sources import datasets

REGISTRY = yaml.safe_load((Path(__file__).parents[2] / "config" / "datasets.yaml").read_text())
ENTRY = schema.filled(REGISTRY["docvqa_images"], "dataset")
RED = page("red")
TEXT = base64.b64encode(RED).decode()
NAME = f"{hashlib.sha256(RED).hexdigest()}.png"


class Place:
    """A folder of one's own rows, and what was made of them."""

    def __init__(self, folder: Path) -> None:
        self.rows, self.made = folder / "rows", folder / "made"
        (self.rows / "d").mkdir(parents=True)
        (self.rows / "d" / "red.png").write_bytes(RED)

    def fetch(self, *images: Any, sources: Any = None) -> dict[str, Any]:
        """Fetch rows that hold these images, or those of other sources."""
        rows = [{**row(number), "image": image} for number, image in enumerate(images)]
        if images:
            (self.rows / "d.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
        entry = {**ENTRY, "sources": sources or []}
        place = (self.made / "1.jsonl", self.made / "1.json")
        worked = datasets.fetch("d", entry, str(self.rows), *place)
        status: dict[str, Any] = read_json(place[1])
        assert worked == (status["status"] == "ok")
        return status

    def samples(self) -> list[Any]:
        return list(read_jsonl(self.made / "1.jsonl"))

    def images(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.made / "images").iterdir()}


def row(number: int) -> dict[str, Any]:
    """Return a row with the hub's columns but the image."""
    return {
        "questionId": str(number),
        "question": "What is it?",
        "question_types": ["layout"],
        "docId": 1,
        "ucsf_document_id": "x",
        "ucsf_document_page_no": "1",
        "answers": ["a", "b"],
        "data_split": "val",
    }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


FORMS: dict[str, Any] = {
    "path": "d/red.png",
    "base64": TEXT,
    "data URI": f"data:image/png;base64,{TEXT}",
    "lines of base64": "\n".join(TEXT[start : start + 76] for start in range(0, len(TEXT), 76)),
    "the hub's feature as JSON": {"bytes": TEXT, "path": "elsewhere.png"},
    "the hub's feature without bytes": {"bytes": None, "path": "d/red.png"},
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_same_sample(form: str, place: Place) -> None:
    assert place.fetch(FORMS[form])["rows"] == 1
    assert place.samples() == [
        {
            "id": "0",
            "inputs": {"question": "What is it?"},
            "image": NAME,
            "target": ["a", "b"],
            "metadata": {},
        }
    ]
    assert place.images() == {NAME: RED}


def test_a_parquet_file_in_the_hubs_columns(place: Place) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = [{**row(0), "image": {"bytes": RED, "path": "page.png"}}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), place.rows / "d.parquet")
    assert place.fetch(sources=[{"path": str(place.rows / "d.parquet")}])["rows"] == 1
    assert place.samples()[0]["image"] == NAME


def test_an_image_is_kept_once_and_not_in_the_samples(place: Place) -> None:
    (place.rows / "d" / "again.png").write_bytes(RED)
    blue = page("blue", "JPEG")
    status = place.fetch("d/red.png", TEXT, "d/again.png", base64.b64encode(blue).decode())
    assert status["rows"] == 4
    assert sorted(place.images().values()) == sorted([RED, blue])
    assert max(len(line) for line in (place.made / "1.jsonl").read_text().splitlines()) < 250


def test_the_samples_hash_depends_on_the_images(place: Place) -> None:
    first = place.fetch("d/red.png")["sha256"]
    assert place.fetch(TEXT)["sha256"] == first
    (place.rows / "d" / "red.png").write_bytes(page("blue"))
    assert place.fetch("d/red.png")["sha256"] != first


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (None, "NoneType None"),
        (7, "int a number"),
        ("", "str"),
        ([TEXT], "list a list of 1"),
        ({"bytes": None, "path": None}, "NoneType None"),
        ("d/blue.png", "the path 'd/blue.png', and no file "),
        ("d", "the path 'd', and no file "),
        ("red.png", "the path 'red.png', which does not begin with d/"),
        ("d/../d.jsonl", "the path 'd/../d.jsonl', which does not begin with d/"),
        ("/etc/passwd", "the path '/etc/passwd', which does not begin with d/"),
        ("../rows/d/red.png", "which does not begin with d/"),
        ("d/\0.png", ", and no file "),
        ("d/" + "x" * 5000, "got File name too long"),
        ("iVBORw0KGgo!", "broken base64 ("),
        ("data:image/png;base64,é", "broken base64 ("),
        (TEXT[:80], "a broken image ("),
        (base64.b64encode(bomb(10_000, 10_000)).decode(), "more than 89,478,485 pixels"),
        ("data:,PHN2Zy8+", "6 bytes of another kind"),
    ],
)
def test_a_wrong_image_is_named_with_its_row_and_column(
    image: Any, reason: str, place: Place
) -> None:
    status = place.fetch("d/red.png", image)
    assert status["status"] == "failed"
    told = status["reason"]
    assert "rows/d.jsonl, line 2, field image: got " in told
    assert reason in told
    assert "in column 'image'; expected an image (PNG, JPEG, WEBP, TIFF, GIF)" in told
    assert "\n" not in told
    assert len(told) < 900
    assert (place.made / "1.jsonl").read_text() == ""


def test_a_file_that_is_too_large_is_not_read(place: Place) -> None:
    with (place.rows / "d" / "large.png").open("wb") as file:
        file.truncate(65 * 2**20)
    assert "d/large.png in column" in place.fetch("d/large.png")["reason"]


def test_a_row_without_the_column_says_so(place: Place) -> None:
    (place.rows / "d.jsonl").write_text(json.dumps(row(0)) + "\n")
    assert "line 1, field image: got no column 'image'" in place.fetch()["reason"]
