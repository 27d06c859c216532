"""Files inside installed distributions, which are never imported."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from snakeval.errors import SourceError
from snakeval.sources import packages
from snakeval.sources.unavailable import Unavailable


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution `some-data` 1.2 whose package fails when it is imported."""
    (tmp_path / "some_data-1.2.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: some-data\nVersion: 1.2\n"
    (tmp_path / "some_data-1.2.dist-info" / "METADATA").write_text(metadata)
    (tmp_path / "some_data").mkdir()
    (tmp_path / "some_data" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "some_data" / "rows.jsonl").write_text("{}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "some_data" / "rows.jsonl"


def test_finds_the_file_and_does_not_import(installed: Path) -> None:
    sha256 = hashlib.sha256(b"{}\n").hexdigest()
    source = {"package": "some-data==1.2", "file": "some_data/rows.jsonl", "sha256": sha256}
    assert packages.locate(source) == installed
    assert "some_data" not in sys.modules


def test_a_changed_file_is_an_error_and_no_reason_to_try_elsewhere(installed: Path) -> None:
    source = {"package": "some-data==1.2", "file": "some_data/rows.jsonl", "sha256": "0" * 64}
    with pytest.raises(SourceError, match=f"expected sha256 {'0' * 64}") as caught:
        packages.locate(source)
    assert not isinstance(caught.value, Unavailable)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("package", "file", "says"),
    [
        ("absent-data==3.0", "x", "no installed package.*pip install --no-deps absent-data==3.0"),
        ("some-data==1.3", "x", "got some-data 1.2; expected version 1.3.*some-data==1.3"),
        ("some-data==1.2", "some_data/gone", "no file some_data/gone"),
        ("some-data==1.2", "some_data", "no file some_data"),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(package: str, file: str, says: str) -> None:
    with pytest.raises(Unavailable, match=says):
        packages.locate({"package": package, "file": file})
