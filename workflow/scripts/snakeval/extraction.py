"""Find the program in what a model wrote.

An answer may be a continuation of the prompt, a whole function, several fenced blocks, code between
paragraphs, or a body alone. What counts is the last piece that parses and defines the entry point,
with the pieces that define the names it needs, and with the prompt's own imports and helpers before
it. No statement is ever taken out; text behind the code is cut only where a line at the left margin
does not parse. Nothing is run here, and strangers' text is only parsed.
"""

from __future__ import annotations

import ast
import builtins
import re
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_FENCE = re.compile(
    r"^(?P<indent>[ \t]*(?:(?:[-*+>]|\d+[.)])[ \t]+)?)(?P<mark>`{3,}|~{3,})(?P<rest>.*)$"
)
_START = re.compile(
    r"[ \t]*+(?:(?:from|import|def|async def|class|if|for|while|with|try)\b|@|\w++[ \t]*+(?::[^=]*+)?=[^=])"
)
_INDENT = "    "
_ACTS = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
_MOST_PIECES = 60  # hostile answers may hold thousands; the last ones count
_MOST_CUTS = 40


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
    """No program found; `reason` is "syntax" (nothing parses) or "entry_point_missing"."""

    reason: str


@dataclass(frozen=True)
class _Piece:
    """A part of the answer that parses by itself."""

    text: str
    defines: frozenset[str]
    needs: frozenset[str]


def extract(text: str, prompt: str, entry_point: str, continuation: bool) -> Found | Missing:
    """Find the program in an answer.

    Args:
        text: the answer without thoughts.
        prompt: source up to and including the signature and docstring of the entry point; it may
            hold imports and helpers, which the program then has too.
        entry_point: name of the function that is asked for.
        continuation: whether the model was asked to go on from the prompt, so that this is what is
            tried first.
    """
    text = _newlines(text)
    prompt = _newlines(prompt)
    inside, outside = _split_fences(text)
    if continuation and (found := _as_body(text, prompt, entry_point, exact=True)):
        return found
    blocks = list(_pieces(inside))
    if found := _choose(blocks, prompt, entry_point):
        return found
    bodies = [block for block in inside if _returns(block)] or (inside if len(inside) == 1 else [])
    for body in reversed(bodies):
        if found := _as_body(body, prompt, entry_point):
            return found
    loose = [piece for part in outside for piece in _loose_pieces(part)]
    # A fence that was opened in the prompt, or was left out, puts code outside.
    if found := _choose([*loose, *blocks], prompt, entry_point):
        return found
    for part in (text, *outside):
        if found := _as_body(part, prompt, entry_point):
            return found
    if found := _method([*loose, *blocks], prompt, entry_point):
        return found
    return Missing("entry_point_missing" if any(p.defines for p in [*loose, *blocks]) else "syntax")


def parse(source: str) -> ast.Module | None:
    """Parse Python source; None where it is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # strange escapes in strangers' text
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _split_fences(text: str) -> tuple[list[str], list[str]]:
    """Return what stands inside fences and what stands outside, each dedented by its fence."""
    inside: list[str] = []
    outside: list[str] = []
    lines: list[str] = []
    mark, width = "", 0
    for line in text.split("\n"):
        fence = _FENCE.match(line)
        if fence and not mark:
            outside.append("\n".join(lines))
            mark, width = fence["mark"], len(fence["indent"])
            lines = []
            rest = fence["rest"]
            if mark[0] == "`" and "`" * 3 in rest:  # opened and closed on one line
                code = rest[: rest.index("`" * 3)]
                inside.append(re.sub(r"^(?:python3?|py)?[ \t]+", "", code))
                mark = ""
        elif (
            mark
            and line.strip()
            and line.strip() == line.strip()[0] * len(line.strip())
            and (line.strip().startswith(mark))
        ):
            inside.append("\n".join(lines))
            mark, lines = "", []
        elif mark and line.rstrip().endswith(mark) and mark[0] == "`":  # closed behind code
            inside.append("\n".join([*lines, _dedent(line.rstrip()[: -len(mark)], width)]))
            mark, lines = "", []
        else:
            lines.append(_dedent(line, width) if mark else line)
    (inside if mark else outside).append("\n".join(lines))
    return (
        [part for part in inside if part.strip()][-_MOST_PIECES:],
        [part for part in outside if part.strip()][-_MOST_PIECES:],
    )


def _dedent(line: str, width: int) -> str:
    """Take away at most `width` blanks at the start of `line`."""
    blanks = len(line) - len(line.lstrip(" \t"))
    return line[min(width, blanks) :]


def _longest_program(text: str) -> str | None:
    """Return `text` up to the first line at the left margin from which on it does not parse."""
    for _ in range(_MOST_CUTS):
        if not text.strip():
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                ast.parse(text)
                return text
            except SyntaxError as error:
                bad = error.lineno or 1
            except (ValueError, RecursionError, MemoryError):
                return None
        lines = text.split("\n")
        # An error inside a statement that spans lines may be reported at its end.
        last = min(bad, len(lines)) - 1
        while last > 0 and not _at_margin(lines[last]):
            last -= 1
        text = "\n".join(lines[:last])
    return None


def _at_margin(line: str) -> bool:
    return bool(line.strip()) and not line[0].isspace() and line[0] not in ")]}#"


def _pieces(blocks: Iterable[str]) -> Iterator[_Piece]:
    """Yield the blocks, or their beginnings, that parse."""
    for block in blocks:
        for variant in (block, textwrap.dedent(block), _spaces(textwrap.dedent(block))):
            if (program := _longest_program(variant)) is not None:
                yield _piece(program)
                break


def _spaces(text: str) -> str:
    """Turn the tabs that indent lines into four blanks each."""
    return re.sub(r"^[ \t]+", lambda blanks: blanks[0].replace("\t", _INDENT), text, flags=re.M)


def _loose_pieces(text: str) -> Iterator[_Piece]:
    """Yield the pieces of code between paragraphs."""
    lines = text.split("\n")
    done = tried = 0
    for start, line in enumerate(lines):
        if start < done or not _START.match(line):
            continue
        if tried == _MOST_PIECES:
            return
        tried += 1
        margin = len(line) - len(line.lstrip())
        end = start + 1
        while end < len(lines) and (
            not lines[end].strip() or lines[end][:margin].isspace() or margin == 0
        ):
            end += 1
        program = _longest_program(textwrap.dedent("\n".join(lines[start:end])))
        if program is not None:
            done = start + program.count("\n") + 1
            yield _piece(_without_idle_end(program))


def _without_idle_end(program: str) -> str:
    """Take away prose behind the code that happens to parse, as "Output: 5" or "Done" do.

    Only expressions at the left margin that call nothing, and bare annotations: they do nothing.
    """
    tree = parse(program)
    body = list(tree.body) if tree else []
    while body:
        last = body[-1]
        idle = isinstance(last, ast.Expr) or (isinstance(last, ast.AnnAssign) and not last.value)
        if not idle or any(isinstance(node, _ACTS) for node in ast.walk(last)):
            break
        body.pop()
    end = body[-1].end_lineno if body else 0
    return "\n".join(program.split("\n")[:end]) + "\n"


def _piece(program: str) -> _Piece:
    tree = parse(program)
    assert tree is not None
    loaded: set[str] = set()
    inner: set[str] = set(_bound(node for node in ast.walk(tree) if isinstance(node, ast.stmt)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (loaded if isinstance(node.ctx, ast.Load) else inner).add(node.id)
        elif isinstance(node, ast.arg):
            inner.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            inner.add(node.name)
    defines = frozenset(_bound(tree.body))
    needs = loaded - inner - set(dir(builtins))
    return _Piece(program, defines, frozenset(needs))


def _bound(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements bind in their own scope."""
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield statement.name
            case ast.Import() | ast.ImportFrom():
                for alias in statement.names:
                    yield (alias.asname or alias.name).split(".")[0]
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                targets = (
                    statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                )
                for target in targets:
                    for node in ast.walk(target):
                        if isinstance(node, ast.Name):
                            yield node.id
            case ast.If() | ast.For() | ast.While() | ast.With() | ast.Try():
                for part in ("body", "orelse", "finalbody"):
                    yield from _bound(getattr(statement, part, []))
                for handler in getattr(statement, "handlers", []):
                    yield from _bound(handler.body)


def _choose(pieces: list[_Piece], prompt: str, entry_point: str) -> Found | None:
    """Take the last piece that defines the entry point, and what it needs from the others."""
    chosen = next(
        (
            number
            for number in range(len(pieces) - 1, -1, -1)
            if entry_point in pieces[number].defines and not _is_stub(pieces[number], entry_point)
        ),
        None,
    )
    if chosen is None:
        return None
    before = _before_entry_point(prompt, entry_point)
    given = frozenset(_bound(tree.body)) if (tree := parse(before)) else frozenset()
    taken = {chosen}
    missing = set(pieces[chosen].needs) - given
    # The nearest earlier piece first, then later ones.
    order = [*range(chosen - 1, -1, -1), *range(chosen + 1, len(pieces))]
    while True:
        number = next((n for n in order if n not in taken and pieces[n].defines & missing), None)
        if number is None:
            break
        taken.add(number)
        missing = (missing | pieces[number].needs) - given
        for have in taken:
            missing -= pieces[have].defines
    # Helpers come before the entry point's own piece, whose definitions win.
    joined = [pieces[number].text.strip("\n") for number in sorted(taken - {chosen})]
    answer = "\n\n\n".join([*joined, pieces[chosen].text.strip("\n")]) + "\n"
    return Found(answer, _with_preamble(before, answer))


def _is_stub(piece: _Piece, entry_point: str) -> bool:
    """Whether the piece only repeats the signature: no statement but a docstring, `...` or `pass`."""
    function = _last_function(parse(piece.text), entry_point)
    return function is not None and not any(map(_does_something, function.body))


def _does_something(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant | ast.Name)
    return not isinstance(statement, ast.Pass)


def _last_function(
    tree: ast.Module | None, name: str
) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    functions = [
        node
        for node in (tree.body if tree else [])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    return functions[-1] if functions else None


def _before_entry_point(prompt: str, entry_point: str) -> str:
    """Return the prompt's imports, constants and helpers: all that stands before the entry point."""
    lines = prompt.split("\n")
    opening = re.compile(rf"(?:async\s+def|def|class)\s+{re.escape(entry_point)}\b")
    starts = [number for number, line in enumerate(lines) if opening.match(line)]
    if not starts:
        return prompt if parse(prompt) is not None else ""
    first = starts[-1]
    while first > 0 and lines[first - 1].startswith("@"):
        first -= 1
    before = "\n".join(lines[:first])
    return before if parse(before) is not None else ""


def _with_preamble(before: str, program: str) -> str:
    """Put the prompt's part before the program; `from __future__` must stay first."""
    before = before.strip("\n")
    if not before or program.startswith(before):
        return program
    tree = parse(program)
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


def _as_body(text: str, prompt: str, entry_point: str, exact: bool = False) -> Found | None:
    """Take the text as what belongs behind the prompt; None where that gives no function.

    Args:
        exact: whether the text went on from the prompt's very last character.
    """
    if not text.strip():
        return None
    variants = [text]
    stripped = text.strip("\n")
    variants += [
        textwrap.indent(textwrap.dedent(stripped), _INDENT),
        _INDENT + stripped.lstrip(),  # the first line has lost its indentation
    ]
    variants += [_spaces(variant) for variant in variants]
    own = _last_function(parse(prompt), entry_point)
    for number, variant in enumerate(variants):
        joint = "" if prompt.endswith("\n") or (exact and number == 0) else "\n"
        start = prompt + joint
        program = _longest_program(start + variant)
        if program is None or len(program) <= len(start.rstrip()):
            continue
        function = _last_function(parse(program), entry_point)
        if function is None or _has(parse(program), (ast.Return,)):
            continue
        body = function.body
        if own is not None and function.lineno == own.lineno:
            body = body[len(own.body) :]  # the docstring is the prompt's
        if not any(map(_does_something, body)):
            continue
        if number % 3 and not _has(body, (ast.Return, ast.Yield, ast.YieldFrom)):
            continue  # indented by us: anything that parses would do, so it must look like a body
        program = _without_idle_end(program)
        return Found(program[len(start) :], program)
    return None


def _has(body: ast.Module | list[ast.stmt] | None, kinds: tuple[type[ast.AST], ...]) -> bool:
    """Whether a node of these kinds stands in `body`, functions inside it left aside.

    A `return` outside of all functions parses, and yet it is no program.
    """
    waiting: list[ast.AST] = [*(body.body if isinstance(body, ast.Module) else body or [])]
    while waiting:
        node = waiting.pop()
        if isinstance(node, kinds):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return False


def _returns(text: str) -> bool:
    return (
        re.search(r"^[ \t]*+(?:.*:[ \t]*+)?(?:return|yield|raise)\b", text, flags=re.M) is not None
    )


def _method(pieces: list[_Piece], prompt: str, entry_point: str) -> Found | None:
    """Take a method of the right name where there is no such function, as of `class Solution`."""
    for piece in reversed(pieces):
        tree = parse(piece.text)
        for node in tree.body if tree else []:
            if isinstance(node, ast.ClassDef) and any(
                isinstance(part, ast.FunctionDef) and part.name == entry_point for part in node.body
            ):
                answer = piece.text.strip("\n") + "\n"
                line = f"\n\n{entry_point} = {node.name}().{entry_point}\n"
                before = _before_entry_point(prompt, entry_point)
                return Found(answer, _with_preamble(before, answer) + line)
    return None
