"""Find a function in an answer: see `extract`."""

from __future__ import annotations

import ast
import re
import textwrap
from functools import partial

from snakeval.extraction.answers import Found, Missing, without_thoughts
from snakeval.extraction.fences import Split, splits
from snakeval.extraction.pieces import (
    INDENT,
    Parser,
    Piece,
    blocks_pieces,
    bound,
    has,
    join,
    last_function,
    loose_pieces,
    source,
    spaces,
    starts_code,
    without_idle_end,
)

_LEAVES = re.compile(r"^[ \t]*+(?:.*:[ \t]*+)?(?:return|yield|raise)\b", re.M)
_MOST_BODIES = 30


def extract(text: str, prompt: str, entry_point: str, continuation: bool) -> Found | Missing:
    """Find the function that was asked for in an answer.

    Args:
        text: the answer.
        prompt: source up to and including the signature and docstring of the entry point, if any; it
            may hold imports and helpers, which the program then has too. "" where the prompt is
            prose: nothing is put before the answer then.
        entry_point: name of the function that is asked for.
        continuation: whether the model was asked to go on from the prompt, so that this is what is
            tried first.
    """
    prompt = prompt.replace("\r\n", "\n").replace("\r", "\n")
    find = partial(_find, prompt=prompt, entry_point=entry_point, continuation=continuation)
    return without_thoughts(text, continuation, find)


def _find(text: str, prompt: str, entry_point: str, continuation: bool) -> Found | Missing:
    search = _Search(prompt, entry_point)
    if continuation and (found := search.body(text, exact=True)):
        return found
    readings = [_Reading(search.parser, split) for split in splits(text)]
    for reading in readings:
        if found := search.function(reading.blocks):
            return found
    for reading in readings:
        for block in reversed(reading.bodies()):
            if found := search.body(block):
                return found
    for reading in readings:
        # A fence that was opened in the prompt, or was left out, puts code outside.
        if found := search.function(reading.everything):
            return found
    for reading in readings:
        if found := search.method(reading.everything):
            return found
    for part in dict.fromkeys([text, *(part for r in readings for part in r.split.outside)]):
        if found := search.body(part) or search.body_in_prose(part):
            return found
    some = any(piece.defines for reading in readings for piece in reading.everything)
    return Missing("entry_point_missing" if some else "syntax")


class _Reading:
    """The pieces of one reading of an answer, found when asked for."""

    def __init__(self, parser: Parser, split: Split) -> None:
        self.split = split
        self._parser = parser
        self._blocks: list[Piece] | None = None
        self._everything: list[Piece] | None = None

    @property
    def blocks(self) -> list[Piece]:
        """What parses inside fences."""
        if self._blocks is None:
            texts = [block.text for block in self.split.blocks]
            self._blocks = blocks_pieces(self._parser, texts)
        return self._blocks

    @property
    def everything(self) -> list[Piece]:
        """What parses outside of fences, then what parses inside."""
        if self._everything is None:
            loose = [p for part in self.split.outside for p in loose_pieces(self._parser, part)]
            self._everything = [*loose, *self.blocks]
        return self._everything

    def bodies(self) -> list[str]:
        """Return the blocks that may be a function's body."""
        blocks = [block.text for block in self.split.blocks]
        return [block for block in blocks if _LEAVES.search(block)] or blocks[: len(blocks) == 1]


class _Search:
    """Looks for one function."""

    def __init__(self, prompt: str, entry_point: str) -> None:
        self.parser = Parser()
        self._prompt = prompt
        self._name = entry_point
        self._own = last_function(self.parser.tree(prompt), entry_point)
        self._before = self._before_entry_point()
        tree = self.parser.tree(self._before)
        self._given = frozenset(bound(tree.body)) if tree else frozenset()

    def function(self, pieces: list[Piece]) -> Found | None:
        """Take the last piece that defines the function, and what it needs from the others."""
        chosen = next(
            (
                number
                for number in range(len(pieces) - 1, -1, -1)
                if pieces[number].provides(self._name)
                and not _is_stub(last_function(pieces[number].tree, self._name))
            ),
            None,
        )
        if chosen is None:
            return None
        answer = source(join(pieces, chosen, self._given))
        return Found(answer, self._with_preamble(answer))

    def body(self, text: str, exact: bool = False, guess: bool = False) -> Found | None:
        """Take the text as what belongs behind the prompt; None where that gives no function.

        Args:
            text: code that is perhaps indented, and perhaps has prose behind it.
            exact: whether the text went on from the prompt's very last character.
            guess: whether nothing but its place says that it is a body, so that it must return.
        """
        if not text.strip():
            return None
        stripped = text.strip("\n")
        variants = [
            (text, False),
            (textwrap.dedent(stripped), True),
            (INDENT + stripped.lstrip(), False),  # the first line has lost its indentation
        ]
        variants += [(spaces(variant), indent) for variant, indent in variants]
        for number, (variant, indent) in enumerate(variants):
            joint = "" if self._prompt.endswith("\n") or (exact and number == 0) else "\n"
            start = self._prompt + joint
            kept = self.parser.longest(variant, start, indent)
            if not kept:
                continue
            program = start + (textwrap.indent(kept, INDENT) if indent else kept)
            if self._is_program(program, guess=guess or number % 3 > 0):
                program = without_idle_end(self.parser, program)
                return Found(program[len(start) :], program)
        return None

    def body_in_prose(self, text: str) -> Found | None:
        """Take the first lines that may be a body behind a paragraph of prose."""
        lines = text.split("\n")
        tried = 0
        above: list[str] = []  # the lines that the next one is indented under
        for number, line in enumerate(lines):
            if not line.strip():
                continue
            margin = len(line) - len(line.lstrip())
            above = [upper for upper in above if len(upper) - len(upper.lstrip()) < margin]
            opens = number and (not lines[number - 1].strip() or lines[number - 1].endswith(":"))
            if opens and not (above and starts_code(self.parser, above[-1].strip())):
                rest = "\n".join(lines[number:])
                if not _LEAVES.search(rest) or tried == _MOST_BODIES:
                    return None
                if found := self.body(rest, guess=True):
                    return found
                tried += 1
            above.append(line)
        return None

    def method(self, pieces: list[Piece]) -> Found | None:
        """Take a method of the right name where there is no such function, as of `class Solution`."""
        for number in range(len(pieces) - 1, -1, -1):
            for node in pieces[number].tree.body:
                if isinstance(node, ast.ClassDef) and any(
                    isinstance(part, ast.FunctionDef) and part.name == self._name
                    for part in node.body
                ):
                    answer = source(join(pieces, number, self._given))
                    line = f"\n\n{self._name} = {node.name}().{self._name}\n"
                    return Found(answer, self._with_preamble(answer) + line)
        return None

    def _is_program(self, program: str, guess: bool) -> bool:
        """Whether prompt and body make a program in which the function does something.

        Args:
            program: source.
            guess: whether it must return or yield: nearly anything parses once it is indented.
        """
        tree = self.parser.tree(program)
        function = last_function(tree, self._name)
        # A `return` outside of all functions parses, and yet it is no program.
        if tree is None or function is None or has(tree.body, (ast.Return,)):
            return False
        body = function.body
        if self._own is not None and function.lineno == self._own.lineno:
            body = body[len(self._own.body) :]  # the docstring is the prompt's
        if not any(map(_does_something, body)):
            return False
        return not guess or has(body, (ast.Return, ast.Yield, ast.YieldFrom))

    def _before_entry_point(self) -> str:
        """Return the prompt's imports, constants and helpers: all before the entry point."""
        lines = self._prompt.split("\n")
        opening = re.compile(rf"(?:async\s+def|def|class)\s+{re.escape(self._name)}\b")
        starts = [number for number, line in enumerate(lines) if opening.match(line)]
        first = starts[-1] if starts else len(lines)
        while first > 0 and starts and lines[first - 1].startswith("@"):
            first -= 1
        before = "\n".join(lines[:first])
        return before if self.parser.tree(before) is not None else ""

    def _with_preamble(self, program: str) -> str:
        """Put the prompt's part before the program; `from __future__` must stay first."""
        before = self._before.strip("\n")
        if not before or program.startswith(before):
            return program
        tree = self.parser.tree(program)
        future = [
            node
            for node in (tree.body if tree else [])
            if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        ]
        if not future:
            return f"{before}\n\n\n{program}"
        end = max(node.end_lineno or 1 for node in future)
        lines = program.split("\n")
        return "\n".join([*lines[:end], before, "", "", *lines[end:]])


def _is_stub(function: ast.FunctionDef | ast.AsyncFunctionDef | None) -> bool:
    """Whether a function only repeats the signature: a docstring, `...`, `pass`, "not implemented"."""
    return function is not None and not any(map(_does_something, function.body))


def _does_something(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass():
            return False
        case ast.Expr(value=value):
            return not isinstance(value, ast.Constant | ast.Name)
        case ast.Raise(exc=ast.Name(id=name) | ast.Call(func=ast.Name(id=name))):
            return name != "NotImplementedError"
    return True
