"""Make text from models and datasets safe to show: nothing hidden, nothing endless, nothing active.

HTML is escaped by Jinja; what is here concerns what escaping leaves as it is: control characters,
direction overrides, halves of surrogate pairs, Markdown, and spreadsheet formulas.
"""

from __future__ import annotations

import re

CLIP_HEAD = 0.8  # of what is kept of a text that is too long; the rest comes from its end

HIDDEN = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"  # invisible, direction marks
    "\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"  # separators, overrides, isolates
    "\ud800-\udfff"  # halves of surrogate pairs, which UTF-8 cannot hold
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # tags
    "]"
)
_MARKDOWN = re.compile(
    r"[\\`*_\[\]<>|~$&@]|:(?=//)|^[-+#=]|(?<=^\d)[.)](?= )|(?<=^\d\d)[.)](?= )|(?<=\bwww)\."
)


def visible(text: str) -> str:
    """Show what would be invisible, or would change how its neighbours look, by its code point."""
    return HIDDEN.sub(_name, text)


def _name(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)  # the symbol made for it: ␀, ␛, ␍ …
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


def clip(text: str, limit: int) -> str:
    """Cut `text` to about `limit` characters, head and tail kept, and say how many are left out."""
    if len(text) <= limit:
        return text
    head = int(limit * CLIP_HEAD)
    tail = limit - head
    left_out = f"\n\n[… {len(text) - limit:,} characters left out …]\n\n"
    return text[:head] + left_out + text[len(text) - tail :]


def line(text: str) -> str:
    """Fold `text` to one visible line."""
    return visible(" ".join(text.split()))


def markdown_line(text: str) -> str:
    """Escape `text` for a line or table cell of Markdown; it renders as it is written."""
    return _MARKDOWN.sub(lambda match: "\\" + match[0], line(text))


def markdown_block(text: str) -> str:
    """Fence `text` with a fence longer than any inside it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{visible(text)}\n{fence}"


def csv_text(text: str) -> str:
    """Return `text` as a table cell that no spreadsheet takes for a formula."""
    text = line(text)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
