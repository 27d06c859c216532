"""Split Markdown into what stands inside fences and what stands outside.

Models close fences late, twice, or never, indent them, and put fences into docstrings, so this reads
more than CommonMark does; `splits` gives every reading that is worth trying, the likeliest first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(
    r"(?P<indent>[ \t]*+(?:(?:[-*+>]|\d{1,9}[.)])[ \t]++)?+)(?P<mark>`{3,}+|~{3,}+)(?P<rest>.*)"
)
_QUOTED = re.compile(r"[ \t]*+>[ ]?")
_LABEL = re.compile(r"[ \t]*+\{?\.?(?P<name>[A-Za-z][\w+#.-]*+)")
_OPENS = re.compile(r"[ \t]*+\{?\.?[A-Za-z][\w+#.-]*+\}?[ \t]*+(?:\{.*|[\w-]++[=:].*)?+")
_PYTHON = re.compile(r"python(?:[ .-]?[23])?(?:\.\d+)?|py3?|pycon|ipython3?|sage", re.I)
_TOKEN = re.compile(  # a string that is not closed goes on to the end of the line
    r"#.*|\"\"\"|'''|\"(?:\\.|[^\"\\])*+\"?+|'(?:\\.|[^'\\])*+'?+|[^#\"']++"
)
_CLOSING = {
    '"""': re.compile(r'(?:[^"\\]++|\\.|"(?!""))*+"""'),
    "'''": re.compile(r"(?:[^'\\]++|\\.|'(?!''))*+'''"),
}
_MOST_PARTS = 60  # hostile answers may hold thousands; the last ones count


@dataclass(frozen=True)
class Block:
    """What stands inside one fence: the text without the fence's indentation, and its label."""

    text: str
    label: str


@dataclass(frozen=True)
class Split:
    """One reading of an answer: fenced blocks, and the parts between them, each in order."""

    blocks: list[Block]
    outside: list[str]


def splits(text: str) -> list[Split]:
    """Return the readings of an answer.

    First with fences inside docstrings as part of the code, then with each fence as one, then with
    none at all: code without fences may have some in a docstring.
    """
    aware, ignored = _split(text, strings=True)
    readings = [aware, _split(text, strings=False)[0]] if ignored else [aware]
    return [*readings, Split([], [text])] if aware.blocks else readings


def is_python(block: Block) -> bool:
    """Whether the block's label says Python, or says nothing."""
    return not block.label or _PYTHON.fullmatch(block.label) is not None


class _Open:
    """The block that is being read."""

    def __init__(self, fence: re.Match[str]) -> None:
        label = _LABEL.match(fence["rest"])
        self.mark = fence["mark"]
        self.label = label["name"] if label else ""
        self.lines: list[str] = []
        self.quote = ""  # the triple quote that is open
        self._width = len(fence["indent"])
        self._quoted = ">" in fence["indent"]

    def content(self, line: str) -> str:
        """Return the line without the fence's own indentation."""
        if self._quoted:
            return _QUOTED.sub("", line, count=1)
        blanks = len(line) - len(line.lstrip(" \t"))
        return line[min(self._width, blanks) :]

    def add(self, line: str) -> None:
        """Take a line of content."""
        self.lines.append(line)
        self.quote = _open_quote(line, self.quote)

    def block(self) -> Block:
        """Return what was read."""
        lines = self.lines
        first = next((number for number, line in enumerate(lines) if line.strip()), 0)
        if not self.label and lines and _PYTHON.fullmatch(lines[first].strip()):
            lines = lines[first + 1 :]  # the label slipped to the next line
        return Block("\n".join(lines), self.label)


def _split(text: str, strings: bool) -> tuple[Split, bool]:
    """Read an answer; say too whether a fence inside a string was passed over."""
    blocks: list[Block] = []
    outside: list[str] = []
    lines: list[str] = []
    now: _Open | None = None
    ignored = False
    for line in text.split("\n"):
        if now is None:
            if fence := _FENCE.fullmatch(line):
                outside.append("\n".join(lines))
                lines = []
                if fence["mark"][0] == "`" and "```" in fence["rest"]:  # opened, closed on one line
                    code = fence["rest"][: fence["rest"].index("```")]
                    blocks.append(Block(re.sub(r"^(?:python3?|py)?[ \t]+", "", code), ""))
                else:
                    now = _Open(fence)
            else:
                lines.append(line)
            continue
        line = now.content(line)
        kind = _kind(line, now)
        if kind and now.quote and strings:
            ignored, kind = True, ""
        if not kind:
            now.add(line)
            continue
        if kind == "closed behind code":
            now.add(line.rstrip()[: -len(now.mark)])
        blocks.append(now.block())
        fence = _FENCE.fullmatch(line) if kind == "opened anew" else None
        now = _Open(fence) if fence else None
    if now is not None:
        blocks.append(now.block())
    outside.append("\n".join(lines))
    return Split(
        [block for block in blocks if block.text.strip()][-_MOST_PARTS:],
        [part for part in outside if part.strip()][-_MOST_PARTS:],
    ), ignored


def _kind(line: str, now: _Open) -> str:
    """Say what a line inside a fence does to it; "" for content."""
    bare = line.strip()
    fence = _FENCE.fullmatch(line)
    if fence and _OPENS.fullmatch(fence["rest"]):
        return "opened anew"  # the first was never closed, or held Markdown
    if bare.startswith(now.mark) and "```" not in bare.lstrip(now.mark[0]):
        return "closed"
    if fence and not fence["rest"].strip() and not any(map(str.strip, now.lines)):
        return "opened anew"  # a fence directly inside a longer one
    if now.mark[0] == "`" and bare.endswith(now.mark):
        return "closed behind code"
    return ""


def _open_quote(line: str, quote: str) -> str:
    """Return the triple quote that is open behind the line, given the one open before it."""
    position = 0
    while True:
        if quote:
            closing = _CLOSING[quote].match(line, position)
            if closing is None:
                return quote
            position, quote = closing.end(), ""
        token = _TOKEN.match(line, position)
        if token is None:
            return ""
        position = token.end()
        quote = token[0] if token[0] in _CLOSING else ""
