"""Reading dataset files row by row: every format, and every way in which a file can be wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from snakeval.errors import SourceError, StorageError
from snakeval.sources import rows

ROWS = [
    {"id": "a", "n": 1, "x": 0.5, "list": ["é", None]},
    {"id": "b", "n": 2, "x": 1.5, "list": []},
]


def values(path: Path) -> list[Any]:
    return [row for _, row in rows.read(path)]


def test_jsonl_with_blank_lines_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    text = "\n\n".join(json.dumps(row) for row in ROWS)
    path.write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n")
    assert values(path) == ROWS
    assert [place.rsplit(", ", 1)[1] for place, _ in rows.read(path)] == ["line 1", "line 3"]


def test_jsonl_gz_json_and_parquet(tmp_path: Path) -> None:
    packed = tmp_path / "d.jsonl.gz"
    packed.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode()))
    assert values(packed) == ROWS
    whole = tmp_path / "d.json"
    whole.write_text(json.dumps(ROWS))
    assert values(whole) == ROWS
    import pyarrow
    from pyarrow import parquet

    table = tmp_path / "d.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), table)
    assert values(table) == ROWS


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text('id,text\na,"two\nlines"\n', encoding="utf-8")
    assert values(path) == [{"id": "a", "text": "two\nlines"}]
    path.write_text("id,text\na,b,c\n", encoding="utf-8")
    with pytest.raises(SourceError, match=r"row 1.*more cells than columns"):
        values(path)


def test_yaml_folder_is_read_in_name_order(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.yaml").write_text(f"id: {name}\n")
    (tmp_path / "notes.txt").write_text("not read")
    assert values(tmp_path) == [{"id": "a"}, {"id": "b"}, {"id": "c"}]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("d.jsonl", b'{"a": 1}\n{"a": \n', "line 2.*expected one JSON object"),
        ("d.jsonl", b'{"a": "\xff"}\n', "line 1.*UTF-8"),
        ("d.jsonl", b"[" * 100_000 + b"\n", "line 1.*nested too deep"),
        ("d.jsonl", b'{"a": ' + b"9" * 5000 + b"}\n", "line 1.*4300"),
        ("d.json", b'{"a": 1}', "expected a list of objects"),
        ("d.yaml", b"a: [1\n", "expected a YAML file"),
        ("d.parquet", b"PAR1 nothing", "expected a parquet file"),
        ("d.jsonl.gz", b"not gzip", "damaged gzip"),
        ("d.jsonl.gz", gzip.compress(b"{}" * 99, mtime=0)[:-12], "damaged gzip"),
        ("d.txt", b"", "one of .jsonl"),
    ],
)
def test_a_wrong_file_is_named_with_what_was_expected(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=says) as caught:
        values(path)
    assert name in str(caught.value)
    assert len(str(caught.value)) < 700
    assert str(caught.value).isprintable()


def test_a_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        values(tmp_path / "gone.jsonl")


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no \*\.yaml file"):
        values(tmp_path)


def test_plain_makes_json_of_what_libraries_return() -> None:
    import datetime

    row = {
        "f": float("nan"),
        "i": float("inf"),
        "b": b"\x00",
        "d": datetime.date(2024, 1, 2),
        3: (1,),
    }
    assert rows.plain(row, "here") == {
        "f": None,
        "i": None,
        "b": "AA==",
        "d": "2024-01-02",
        "3": [1],
    }


def test_plain_refuses_deep_nesting_before_it_hurts() -> None:
    value: Any = 1
    for _ in range(rows.MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(SourceError, match="here: got values nested too deep"):
        rows.plain(value, "here")
    assert rows.plain(value[0], "here") == value[0]
