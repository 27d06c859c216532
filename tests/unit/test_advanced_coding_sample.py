"""The problems of advanced_coding_sample: well-formed, solvable, and not fooled by wrong programs."""

from __future__ import annotations

import difflib
import itertools

import pytest
from coding_problems import SIMILAR, Problems, alike_programs, judge, shape

TOPICS = (
    "classes",
    "data_structures",
    "dates",
    "generators",
    "graphs",
    "numerics",
    "parsing",
    "text",
)
PROBLEMS = Problems("advanced_coding_sample")


def test_all_problems_are_there_under_names_of_their_own() -> None:
    PROBLEMS.check_files(TOPICS, 50)


@pytest.mark.parametrize("topic", TOPICS)
def test_rows_are_well_formed(topic: str) -> None:
    # The weaker judging is asked for by name, and only by it.
    PROBLEMS.check_form(topic, judgings=("together",))


@pytest.mark.parametrize("topic", TOPICS)
def test_programs_use_no_outside_world(topic: str) -> None:
    PROBLEMS.check_imports(topic)


@pytest.mark.parametrize("topic", TOPICS)
def test_references_pass_and_agree_with_the_examples(topic: str) -> None:
    PROBLEMS.check_references(topic)


@pytest.mark.parametrize("topic", TOPICS)
def test_wrong_programs_fail(topic: str) -> None:
    PROBLEMS.check_wrong_programs(topic)


def test_no_two_references_are_alike() -> None:
    assert alike_programs(itertools.combinations(PROBLEMS.all_rows(), 2)) == []


def test_a_renamed_copy_counts_as_alike() -> None:
    row = PROBLEMS.rows(TOPICS[0])[0]
    renamed = row["solution"].replace(row["entry_point"], "other").replace("1", "2")
    assert difflib.SequenceMatcher(None, shape(row["solution"]), shape(renamed)).ratio() >= SIMILAR


def test_the_judge_sees_failures() -> None:
    test = "def check(candidate):\n    assert candidate(1) == 2\n"
    codes = {
        "def f(x): return x + 1": "passed",
        "def f(x): return x": "AssertionError",
        "def f(x): raise SystemExit(0)": "SystemExit: 0",
        "import os\ndef f(x): os._exit(0)": "died without a verdict",
        "def f(x): return bytearray(1 << 33)": "MemoryError",
    }
    programs = [{"code": code, "entry_point": "f", "test": test} for code in codes]
    assert judge(programs) == list(codes.values())
