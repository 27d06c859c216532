"""Whether a program's output is the right one, as programming contests compare."""

from __future__ import annotations

import re
from decimal import Decimal

MAX_NUMBER = 400  # characters: longer tokens are compared as text only
TOLERANCE = Decimal("1e-6")  # absolute or relative; only where the right token has a decimal point
SHOWN = 80  # characters
# Decimal takes more than contests do: underscores, digits of other scripts, "infinity".
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")


def same_output(got: str, wanted: str) -> str:
    """Return "" where two outputs are the same, else what differs first.

    Lines count, blanks at their ends and blank lines at the end do not. Within a line tokens count:
    the same text, or equal numbers (70.00 is 70). Where the right number has a decimal point, one that
    is off by no more than 10⁻⁶ of its size, or of 1, counts as equal.
    """
    lines, right = _lines(got), _lines(wanted)
    for number, (line, right_line) in enumerate(zip(lines, right, strict=False), 1):
        tokens, right_tokens = line.split(), right_line.split()
        same = len(tokens) == len(right_tokens)
        if not same or not all(map(_same_token, tokens, right_tokens)):
            return f"line {number} is {_short(line)}, expected {_short(right_line)}"
    if len(lines) != len(right):
        return f"{len(lines)} lines, expected {len(right)}"
    return ""


def _lines(text: str) -> list[str]:
    return text.rstrip().replace("\r\n", "\n").split("\n")


def _same_token(got: str, wanted: str) -> bool:
    if got == wanted:
        return True
    if max(len(got), len(wanted)) > MAX_NUMBER:
        return False
    if not (_NUMBER.fullmatch(got) and _NUMBER.fullmatch(wanted)):
        return False
    number, right = Decimal(got), Decimal(wanted)
    if max(abs(number.adjusted()), abs(right.adjusted())) > MAX_NUMBER:
        return False
    if number == right:
        return True
    exact = "." not in wanted and "e" not in wanted.lower()
    return not exact and abs(number - right) <= TOLERANCE * max(Decimal(1), abs(right))


def _short(line: str) -> str:
    return repr(line if len(line) <= SHOWN else f"{line[:SHOWN]}…")
