"""What extraction gives back, and the text that it starts from."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

_MOST_TEXT = 64_000  # characters; more than a model writes in one answer
_NO_CODE = re.compile("[\0\ud800-\udfff]")  # never in a program: Python refuses to parse them
_THOUGHT = re.compile(r"<(?P<end>/?)(?:think|thinking|thought|reasoning)>")


@dataclass(frozen=True)
class Found:
    """A program found in an answer.

    Args:
        answer: the part of the answer that is the program.
        program: what is to be run: the answer with the prompt's part before it, or joined pieces.
    """

    answer: str
    program: str


@dataclass(frozen=True)
class Missing:
    """No program found.

    Args:
        reason: "syntax" (nothing parses), or "entry_point_missing" (what parses does not define the
            function that was asked for, or does nothing where a program was asked for).
    """

    reason: Literal["syntax", "entry_point_missing"]


def clean(text: str) -> str:
    """Return the text with line ends "\\n" and without characters that no program can hold."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return _NO_CODE.sub("\ufffd", text)


def without_thoughts(
    text: str, continuation: bool, find: Callable[[str], Found | Missing]
) -> Found | Missing:
    """Look for a program behind the last thought.

    A closing mark inside the program, as in a function about such marks, ends no thought.

    Args:
        text: the answer.
        continuation: of a text that is too long, whether the beginning is looked at, or the end.
        find: looks for a program in a text.
    """
    text = clean(text)
    ends = [mark.end() for mark in _THOUGHT.finditer(text) if mark["end"]]
    if not ends and _THOUGHT.match(text.lstrip()):
        return Missing("syntax")  # still thinking
    whole = find(text[:_MOST_TEXT] if continuation else text[-_MOST_TEXT:])
    if not ends or (isinstance(whole, Found) and _THOUGHT.search(whole.answer)):
        return whole
    return find(text[ends[-1] :][-_MOST_TEXT:])
