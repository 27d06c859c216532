"""APPS's call-based tests, judged by calls. This file's source is run in the sandbox, as the tests.

Only the standard library can be imported here.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

TOLERANCE = 1e-6  # absolute or relative, where one of two numbers is no whole number
SHOWN = 200  # characters


def check_calls(candidate: Callable[..., Any], text: str) -> None:
    """Call the function with each input and compare what it returns.

    Args:
        candidate: the function.
        text: JSON, `{"inputs": [arguments, …], "outputs": [result, …]}`.

    Raises:
        AssertionError: a result is wrong.
    """
    tests = _load(text)
    pairs = zip(tests["inputs"], tests["outputs"], strict=True)
    for number, (arguments, right) in enumerate(pairs, 1):
        if arguments and isinstance(arguments[0], dict):
            arguments[0] = _with_numbers(arguments[0])
        got = candidate(*arguments)
        assert any(same(got, value) for value in accepted(right)), (
            f"test {number} of {len(tests['inputs'])}: {_short(got)}, expected {_short(right)}"
        )


def accepted(right: Any) -> Iterator[Any]:
    """Yield every value that is right: some rows hold each result in a list of its own.

    JSON knows only text as keys, so a dict is also right with numbers for them.
    """
    wrapped = isinstance(right, list) and len(right) == 1
    for value in (right, right[0]) if wrapped else (right,):
        yield value
        if isinstance(value, dict):
            yield _with_numbers(value)


def same(got: Any, right: Any) -> bool:
    """Whether two plain values are the same; a tuple is as good as a list, numbers may be a bit off."""
    if isinstance(got, list | tuple) and isinstance(right, list):
        return len(got) == len(right) and all(map(same, got, right))
    if isinstance(got, dict) and isinstance(right, dict):
        return got.keys() == right.keys() and all(same(got[key], right[key]) for key in right)
    numbers = isinstance(got, int | float) and isinstance(right, int | float)
    if numbers and (isinstance(got, float) or isinstance(right, float)):
        try:
            return math.isclose(got, right, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        except OverflowError:  # a whole number that no float can hold
            return False
    return bool(got == right)


def _load(text: str) -> Any:
    """Parse JSON with whole numbers of any length."""
    digits = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.loads(text)
    finally:
        sys.set_int_max_str_digits(digits)


def _with_numbers(value: dict[str, Any]) -> dict[Any, Any]:
    try:
        return {int(key): item for key, item in value.items()}
    except ValueError:
        return value


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
