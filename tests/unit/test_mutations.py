"""Mutants differ, come in an order that the seed decides, and wrong ones are seen to be wrong."""

from __future__ import annotations

import ast

import pytest
from behaviour import Calls, Inputs, ReferenceFails, Subject, changed, differs, misses
from mutations import mutants, wrong_mutant, wrong_mutants

SOURCE = '''
import math


def helper(x):
    return x * 2


def area(r: int | float, *, scale=1):
    """The area of a circle."""
    if r < 0 or not math.isfinite(r):
        raise ValueError("no radius")
    total = 0
    for i in range(3):
        total += i
    return helper(math.pi * r ** 2) / 2 * scale
'''
TESTS = """
def check(candidate):
    assert abs(candidate(1) - 3.14159) < 1e-3
    assert candidate(0, scale=2) == 0

check(candidate)
"""


def body(program: str, name: str) -> str:
    [found] = [n for n in ast.parse(program).body if getattr(n, "name", None) == name]
    return ast.unparse(found)


def test_mutants_are_programs_and_differ_by_one_change() -> None:
    programs = list(mutants(SOURCE, "area", seed=1, limit=1_000))
    assert len(programs) > 40
    assert len(set(programs)) == len(programs)
    for program in programs:
        compile(program, "mutant", "exec")
        assert "circle" not in program  # docstrings and annotations are no behaviour
        assert "int | float" not in program
    helpers = {body(program, "helper") for program in programs}
    areas = {body(program, "area") for program in programs}
    assert len(helpers) + len(areas) >= len(programs)  # never both


@pytest.mark.parametrize(
    "change",
    [
        "r <= 0",
        "r > 0",
        "r < 1",
        "r < -1",
        "r < 0 and",
        "or math.isfinite",
        "if not (r < 0",
        "range(3 + -1)",
        "total -= i",
        "        pass\n    return helper",
        "break",
        "return None",
        "return not",
        "math.pi * r)",
        "r ** 2 * math.pi",
        "2 ** r",
        "math.pi + r ** 2",
        "scale=2",
        "'o radius'",
    ],
)
def test_every_kind_of_change_is_made(change: str) -> None:
    assert any(change in program for program in mutants(SOURCE, "area", 1, 1_000))


def test_the_seed_decides_the_order_and_nothing_else() -> None:
    first = list(mutants(SOURCE, "area", 1, 1_000))
    assert first == list(mutants(SOURCE, "area", 1, 1_000))
    other = list(mutants(SOURCE, "area", 2, 1_000))
    assert first != other
    assert sorted(first) == sorted(other)
    assert list(mutants(SOURCE, "area", 1, 5)) == first[:5]
    assert list(mutants(SOURCE, "area", 1, 0)) == []


def test_the_entry_point_is_changed_first() -> None:
    same = [
        body(program, "area") == body(next(mutants(SOURCE, "helper", 1, 1)), "area")
        for program in mutants(SOURCE, "area", 1, 1_000)
    ]
    assert not same[0]
    assert same == sorted(same)
    assert any(same)


def test_a_wrong_mutant_behaves_differently_where_the_tests_look() -> None:
    wrong = wrong_mutant(Subject("area", SOURCE, Calls(TESTS, "area")), seed=1)
    assert wrong is not None
    assert wrong.evidence.startswith("area(")
    names: dict[str, object] = {}
    exec(wrong.source, names)
    with pytest.raises(Exception):  # noqa: B017, PT011
        exec(TESTS, names | {"candidate": names["area"]})


def test_what_no_test_looks_at_is_not_wrong() -> None:
    programs = [
        SOURCE.replace("raise ValueError", "raise TypeError"),
        SOURCE.replace("total += i", "total -= i"),
        SOURCE.replace("/ 2 * scale", "/ 2.0000001 * scale"),
    ]
    subject = Subject("area", SOURCE, Calls(TESTS, "area"))
    assert list(changed(subject, programs)) == []
    assert wrong_mutants([Subject("one", "def f():\n    pass\n", Calls("f()", "f"))], 1) == {
        "one": None
    }


def test_lateness_and_memory_prove_nothing() -> None:
    source = "def f(n):\n    return n\n"
    programs = [
        "def f(n):\n    while True: pass\n",
        "def f(n):\n    return [0] * 10**12\n",
        "import os\ndef f(n):\n    os.kill(os.getpid(), 9)\n",
        "def f(n):\n    return n + 1\n",
    ]
    [wrong] = changed(Subject("f", source, Calls("assert f(1) == 1", "f")), programs)
    assert wrong.source == programs[-1]
    assert wrong.evidence == "f(1,) gives 2, not 1"


def test_arguments_are_those_of_the_tests_however_they_are_changed() -> None:
    source = "def f(items):\n    items.append(0)\n    return len(items)\n"
    tests = "items = [1]\nassert f(items) == 2\nassert f(items) == 3\n"
    programs = [source + "\n", source.replace("append(0)", "clear()")]
    [wrong] = changed(Subject("f", source, Calls(tests, "f")), programs)
    assert wrong.source == programs[1]
    assert wrong.evidence == "f([1],) gives 0, not 2"


def test_methods_and_exceptions_are_looked_at() -> None:
    source = "class Solution:\n    def f(self, n):\n        return 6 // n\n"
    tests = "candidate(3)\ntry:\n    candidate(0)\nexcept ZeroDivisionError:\n    pass\n"
    other = source.replace("6 // n", "6 // n if n else 0")
    [wrong] = changed(Subject("f", source, Calls(tests, "Solution.f")), [source, other])
    assert wrong.evidence == "Solution.f(0,) gives 0, not '<ZeroDivisionError>'"


def test_programs_are_seen_by_what_they_print() -> None:
    source = "n = int(input())\nprint(n * n)\n"
    programs = [
        "print(int(input()) ** 2, end='')\n",
        "while True: pass\n",
        "n = int(input())\nprint(n + n)\n",
        "print(1 / 0)\n",
    ]
    wrong = list(changed(Subject("square", source, Inputs(("2\n", "3\n"))), programs))
    assert [mutant.source for mutant in wrong] == programs[2:]
    assert wrong[0].evidence == r"'3\n' gives '6\n', not '9\n'"
    assert wrong_mutant(Subject("square", source, Inputs(("3\n",))), 1) is not None
    assert misses(source, [("2\n", ["4"]), ("3\n", ["8", "9"])]) is None
    assert misses(source, [("2\n", ["5"])]) is not None
    assert misses("import sys\nsys.exit(2)\n", [("2\n", [""])]) is not None


@pytest.mark.parametrize(
    ("reference", "tests"),
    [
        ("def f(n):\n    return n\n", "assert f(1) == 2"),
        ("def f(n):\n    return n\n", "pass"),
        ("def g(n):\n    return n\n", "f(1)"),
        ("def f(n) return n\n", "f(1)"),
    ],
)
def test_a_reference_that_fails_is_no_measure(reference: str, tests: str) -> None:
    with pytest.raises(ReferenceFails, match=r"^toy: "):
        list(changed(Subject("toy", reference, Calls(tests, "f")), [reference]))


NAN = float("nan")


@pytest.mark.parametrize(
    ("right", "value"),
    [
        (1, 1.0),
        (1, True),
        (NAN, NAN),
        ([NAN, (1,)], [NAN, (1,)]),
        (2.0, 2.001),
        ({"a": 0.0}, {"a": 1e-9}),
        (object(), object()),
        (float("inf"), float("inf")),
    ],
)
def test_equal_enough(right: object, value: object) -> None:
    assert not differs(right, value)


@pytest.mark.parametrize(
    ("right", "value"),
    [
        (1, 2),
        (10_000, 10_001),
        (1.0, NAN),
        (float("inf"), 1.0),
        (1.0, float("inf")),
        ([1], (1,)),
        ([1], [1, 2]),
        ("1", 1),
        (None, 0),
        ({"a": 1}, {"b": 1}),
        ({1}, {2}),
        ([], None),
    ],
)
def test_different(right: object, value: object) -> None:
    assert differs(right, value)
