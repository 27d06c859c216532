"""docs/faults.md points to tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "faults.md"


def lines() -> list[list[str]]:
    rows = [row for row in TABLE.read_text().splitlines() if row.startswith("| ")]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    return [row for row in cells if row[0] != "fault"]


def test_each_fault_has_a_test_that_is_there() -> None:
    assert len(lines()) > 25
    for row in lines():
        assert len(row) == 5, row
        named = re.findall(r"\]\(\.\./(tests/[^)]+)\)", row[4])
        assert named, row[0]
        assert all((ROOT / path).is_file() for path in named), row
