"""Find a program that reads standard input and prints: see `extract_script`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from snakeval.extraction.answers import Found, Missing, without_thoughts
from snakeval.extraction.fences import is_python, splits
from snakeval.extraction.pieces import (
    Parser,
    Piece,
    blocks_pieces,
    has,
    inner,
    join,
    loose_pieces,
    source,
)

_READS = re.compile(r"\binput\b|\bstdin\b|\bfileinput\b|\bopen\(\s*0|\bread(?:line)?\(\s*0")
# Calls that prepare something and print nothing: a program must do more.
_PREPARE = re.compile(
    r"setrecursionlimit|stack_size|seed|set_int_max_str_digits|simplefilter|filterwarnings"
    r"|append|appendleft|extend|insert|add|update|setdefault|pop|remove|discard|clear|sort|reverse"
    r"|heappush|heapify"
)


def extract_script(text: str) -> Found | Missing:
    """Find the program in an answer to a problem with standard input and output.

    It is the last one that does something when it is run, `if __name__ == "__main__":` included,
    with what it needs from other blocks; programs that read input come before such that do not, as
    examples of use. A program that breaks off, or is Python 2, is none ("syntax"); one that only
    defines is none either ("entry_point_missing").

    Args:
        text: the answer.
    """
    return without_thoughts(text, False, _find)


def _find(text: str) -> Found | Missing:
    parser = Parser()
    some = False
    readings = splits(text)
    if any(not is_python(block) for block in readings[0].blocks):
        readings = [reading for reading in readings if reading.blocks]
    for reading in readings:
        fenced = blocks_pieces(parser, [b.text for b in reading.blocks if is_python(b)])
        if program := _choose(filter(_runs, fenced)):
            return Found(program, program)
        loose = [piece for part in reading.outside for piece in loose_pieces(parser, part)]
        if program := _choose(filter(_runs, [*loose, *fenced])):
            return Found(program, program)
        some |= any(_runs(piece) and piece.defines for piece in [*loose, *fenced])
    return Missing("entry_point_missing" if some else "syntax")


def _runs(piece: Piece) -> bool:
    """Whether no broken code follows, and no `return` stands outside of functions."""
    return piece.whole and not has(piece.tree.body, (ast.Return,))


def _choose(runnable: Iterable[Piece]) -> str | None:
    """Return the last program that acts: rather one that reads input, rather no use of another."""
    pieces = list(runnable)
    candidates: list[tuple[bool, bool, int, str]] = []
    for number, piece in enumerate(pieces):
        if not _acts(piece.tree.body):
            continue
        *helpers, _ = joined = join(pieces, number, frozenset())
        program = source(joined)
        own = not any(_acts(helper.tree.body) for helper in helpers)
        candidates.append((_READS.search(program) is not None, own, number, program))
    return max(candidates)[-1] if candidates else None


def _acts(body: Iterable[ast.stmt]) -> bool:
    """Whether running the statements does more than define and prepare."""
    for statement in body:
        match statement:
            case ast.Expr(value=ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name))):
                acts = _PREPARE.fullmatch(name) is None
            case ast.Expr() | ast.Raise():
                acts = has([statement], (ast.Call,))
            case _:
                acts = _acts(inner(statement))
        if acts:
            return True
    return False
