"""Where to cut a text that is too long: 80 % of what is kept from its head, 20 % from its tail."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

HEAD_SHARE = 0.8
# A word longer than this many characters is cut at a character, not left out as a whole.
LONGEST_WORD = 128
# A prompt this many tokens short of the budget is near enough.
_NEAR = 2

T = TypeVar("T")


@dataclass(frozen=True)
class Cut:
    """A text with its middle left out; `removed` counts the tokens of the whole text that it loses."""

    head: str
    tail: str
    removed: int

    @property
    def text(self) -> str:
        """The head, a marker that says how much is missing, and the tail."""
        return f"{self.head}\n[… {self.removed} tokens left out …]\n{self.tail}"


class Cutter:
    """Cuts one text.

    Args:
        text: the whole text.
        offsets: the characters [start, end) of each of its tokens, ascending.
    """

    def __init__(self, text: str, offsets: list[tuple[int, int]]) -> None:
        self._text = text
        self._starts = [start for start, _ in offsets]
        self._ends = [end for _, end in offsets]

    def cut(self, keep: int) -> Cut:
        """Keep about `keep` tokens and never more, `HEAD_SHARE` of them from the head, at word boundaries."""
        count = len(self._ends)
        head = round(HEAD_SHARE * keep)
        tail = keep - head
        end = word_end(self._text, self._ends[head - 1] if head else 0)
        start = word_start(self._text, self._starts[count - tail] if tail else len(self._text))
        kept = bisect_right(self._ends, end) + count - bisect_left(self._starts, max(start, end))
        return Cut(self._text[:end], self._text[max(start, end) :], max(count - kept, 1))


def word_end(text: str, position: int) -> int:
    """Return the last word boundary at or before `position`, or a character boundary in a giant word."""
    left, right = _word(text, position)
    if right - left <= LONGEST_WORD:
        return left
    return next((p for p in range(position, left - 1, -1) if _whole(text, p)), position)


def word_start(text: str, position: int) -> int:
    """Return the first word boundary at or after `position`, or a character boundary in a giant word."""
    left, right = _word(text, position)
    if right - left <= LONGEST_WORD:
        return right
    return next((p for p in range(position, right + 1) if _whole(text, p)), position)


def _word(text: str, position: int) -> tuple[int, int]:
    """Return the word boundaries around `position`, looking no further than makes a giant word."""
    left = right = position
    while not _between_words(text, left) and right - left <= LONGEST_WORD:
        left -= 1
    while not _between_words(text, right) and right - left <= 2 * LONGEST_WORD:
        right += 1
    return left, right


def _between_words(text: str, position: int) -> bool:
    if position <= 0 or position >= len(text):
        return True
    before, after = text[position - 1], text[position]
    spaced = before.isspace() or after.isspace() or _unspaced(before) or _unspaced(after)
    return spaced and _whole(text, position)


def _unspaced(character: str) -> bool:
    """Say whether the script writes words without spaces (Chinese, Japanese)."""
    return "\u2e80" <= character <= "\u9fff" or "\U00020000" <= character <= "\U0003ffff"


def _whole(text: str, position: int) -> bool:
    """Say whether no character as people see it (letter and accents, joined emoji, CR LF) is cut in two."""
    if position <= 0 or position >= len(text):
        return True
    before, after = text[position - 1], text[position]
    joined = (
        before == "\u200d" or after in "\u200d\ufe0e\ufe0f" or "\U0001f3fb" <= after <= "\U0001f3ff"
    )
    return not (joined or before + after == "\r\n" or unicodedata.category(after).startswith("M"))


def largest(
    size: int, excess: int, attempt: Callable[[int], tuple[T, int]]
) -> tuple[T | None, int]:
    """Find nearly the largest number of kept tokens that fits, in few attempts.

    Args:
        size: the text's number of tokens; keeping all of them is known not to fit.
        excess: how many tokens too many the whole is.
        attempt: takes a number of tokens to keep; returns a result and how many tokens are left over
            (negative: too many).

    Returns:
        The best result that fits and the tokens left over; with none, None and what was left over (< 0)
        with nothing kept.
    """
    result, spare = attempt(0)
    if spare < 0:
        return None, spare
    best, most = (result, spare), 0
    least_too_many = size
    guess = size - excess
    tries = 0
    while most + 1 < least_too_many and best[1] > _NEAR:
        tries += 1
        if tries > 4:  # the number of tokens does not follow the guess: halve
            guess = (most + least_too_many) // 2
        keep = min(max(guess, most + 1), least_too_many - 1)
        result, spare = attempt(keep)
        if spare >= 0:
            best, most = (result, spare), keep
        else:
            least_too_many = keep
        guess = keep + spare
    return best
