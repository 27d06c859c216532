"""Parts of an answer that parse, the names that they define and need, and how they go together."""

from __future__ import annotations

import ast
import builtins
import re
import symtable
import sys
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

INDENT = "    "
Function = ast.FunctionDef | ast.AsyncFunctionDef
_COMPOUND = r"(?:async|class|def|elif|else|except|finally|for|from|if|import|try|while|with)\b"
_SIMPLE = r"(?:assert|del|exec|global|print|raise)\b"
# How a line of code begins. Prose does at times, too; the parser tells.
_CODE = re.compile(
    rf"[ \t]*+(?:{_COMPOUND}|{_SIMPLE}|@|[\w.]++\(|[\w.,\[\]()*'\" \t]+?(?::[^=]*+)?[-+*/%&|^@<>]{{0,3}}=[^=])"
)
_PROMPTED = re.compile(r"^[ \t]*+(?:>>>|\.\.\.)(?: |$)", re.M)
_ACTS = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
_BUILTINS = frozenset(dir(builtins))
_MOST_PIECES = 60
_MOST_CUTS = 20
_MOST_WORK = 250_000  # characters, for one answer
_REPLACEMENT = 30  # characters: what parsing each brace costs more, as it may be in an f-string


def parse(source: str) -> ast.Module | None:
    """Parse Python source; None where it is none."""
    result = _parsed(source)
    return result if isinstance(result, ast.Module) else None


def _parsed(source: str) -> ast.Module | int:
    """Return the tree, or the number of the line that is wrong, or 0 where that is not known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # strange escapes in strangers' text
        try:
            return ast.parse(source)
        except SyntaxError as error:
            return error.lineno or 0
        except (ValueError, RecursionError, MemoryError):
            return 0


class Parser:
    """Parses, each text once, up to a fixed amount of work: nothing parses any more behind it."""

    def __init__(self) -> None:
        self._left = _MOST_WORK
        self._known: dict[str, ast.Module | int] = {}

    def tree(self, source: str) -> ast.Module | None:
        """Parse Python source; None where it is none."""
        result = self._parse(source)
        return result if isinstance(result, ast.Module) else None

    def longest(self, text: str, start: str = "", indent: bool = False) -> str:
        """Return the longest beginning of `text` that parses behind `start`; "" where none does.

        It is cut only in front of lines at the text's left margin.

        Args:
            start: source that `text` belongs behind.
            indent: whether the text has to be indented for that.
        """
        above = start.count("\n")
        for _ in range(_MOST_CUTS):
            if not text.strip():
                return ""
            body = textwrap.indent(text, INDENT) if indent else text
            result = self._parse(start + body)
            if isinstance(result, ast.Module):
                return text
            if not result:
                return ""
            lines = text.split("\n")
            # An error inside a statement that spans lines may be reported at its end.
            last = min(result - above, len(lines)) - 1
            while last > 0 and not _at_margin(lines[last]):
                last -= 1
            text = "\n".join(lines[: max(last, 0)])
        return ""

    def _parse(self, source: str) -> ast.Module | int:
        """Return the tree, or the number of the line that is wrong, or 0 where there is none."""
        if source in self._known:
            return self._known[source]
        result: ast.Module | int = 0
        cost = 100 + len(source) + _REPLACEMENT * source.count("{")
        if cost <= self._left:
            result = _parsed(source)
            if isinstance(result, int):  # the rest was only cut into tokens
                share = result / (source.count("\n") + 1)
                cost = int(cost * min(1.0, share + 0.1)) if result else cost
            self._left -= cost
        self._known[source] = result
        return result


@dataclass(frozen=True)
class Piece:
    """A part of an answer that parses by itself.

    Args:
        text: its source.
        tree: what the source parses to.
        whole: whether no broken code follows it.
    """

    text: str
    tree: ast.Module
    whole: bool

    @cached_property
    def defines(self) -> frozenset[str]:
        """The names that it binds at module level."""
        return frozenset(bound(self.tree.body))

    @cached_property
    def needs(self) -> frozenset[str]:
        """The global names that it uses and neither it nor Python defines."""
        return global_names(self.text) - self.defines - _BUILTINS

    @cached_property
    def changes(self) -> frozenset[str]:
        """The names bound elsewhere whose values its module level changes, as TABLE[0] = 1 does."""
        return frozenset(_changed(self.tree.body)) - self.defines

    @cached_property
    def sets_up(self) -> bool:
        """Whether it does nothing but change settings of the standard library."""
        calls = 0
        modules: set[str] = set()
        for statement in self.tree.body:
            match statement:
                case ast.Import() | ast.ImportFrom() if _standard(statement):
                    modules.update(bound([statement]))
                case ast.Expr(value=ast.Call(func=function)) if root(function) in modules:
                    calls += 1
                case _:
                    return False
        return calls > 0

    def provides(self, name: str) -> bool:
        """Whether it defines `name`; importing it, as a block of usage does, counts for nothing."""
        foreign = set()
        for node in self.tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom) and not _standard(node):
                foreign.add(node)
        return name in bound(node for node in self.tree.body if node not in foreign)


def blocks_pieces(parser: Parser, texts: Sequence[str]) -> list[Piece]:
    """Return the pieces of fenced blocks in order; the last blocks are parsed first, as they count."""
    found = [list(_block_pieces(parser, text)) for text in reversed(texts)]
    return [piece for pieces in reversed(found) for piece in pieces]


def _block_pieces(parser: Parser, text: str) -> Iterator[Piece]:
    """Yield what parses of a fenced block: all of it, or its beginning and what parses behind."""
    dedented = textwrap.dedent(text)
    variants = [text, dedented, spaces(dedented)]
    if text.lstrip().startswith(">>>"):
        lines = [line for line in dedented.split("\n") if _PROMPTED.match(line)]
        variants = [_PROMPTED.sub("", "\n".join(lines))]
    best, program = variants[0], ""
    for variant in dict.fromkeys(variants):
        beginning = parser.longest(variant)
        if len(beginning) > len(program):
            best, program = variant, beginning
        if beginning == variant:
            break
    rest = best[len(program) :]
    if tree := parser.tree(program):
        yield Piece(program, tree, not _begins_with_code(rest))
    if rest.strip():
        yield from loose_pieces(parser, rest, indented=False)


def loose_pieces(parser: Parser, text: str, indented: bool = True) -> Iterator[Piece]:
    """Yield the pieces of code between paragraphs.

    Args:
        parser: parses.
        text: prose with code in it.
        indented: whether code may be indented, as in Markdown without fences.
    """
    lines = text.split("\n")
    margins = [len(line) - len(line.lstrip()) if line.strip() else None for line in lines]
    done = tried = 0
    for start, line in enumerate(lines):
        margin = margins[start]
        if start < done or margin is None or (margin and not indented):
            continue
        if not starts_code(parser, line.strip()):
            continue
        tried += 1
        if tried > _MOST_PIECES:
            return
        chunk = "\n".join(lines[start : _next(margins, start, margin - 1)])
        program = parser.longest(textwrap.dedent(chunk) if margin else chunk)
        if not program:
            done = _next(margins, start, margin)  # its inside is no piece of its own
            continue
        done = start + program.count("\n") + 1
        code = without_idle_end(parser, program)
        if code and (tree := parser.tree(code)):
            yield Piece(code, tree, not _begins_with_code("\n".join(lines[done:])))


def _next(margins: list[int | None], start: int, most: int) -> int:
    """Return the number of the next line that is indented by at most `most`."""
    for number in range(start + 1, len(margins)):
        margin = margins[number]
        if margin is not None and margin <= most:
            return number
    return len(margins)


def join(pieces: list[Piece], chosen: int, given: frozenset[str]) -> list[Piece]:
    """Return a piece with what it needs from the others before it.

    Args:
        pieces: in the order of the answer.
        chosen: number of the piece that counts; its definitions win, as it comes last.
        given: names that are defined anyway.
    """
    taken = {chosen} | {n for n in range(chosen) if pieces[n].sets_up}
    # The nearest earlier piece first, then later ones.
    order = [*range(chosen - 1, -1, -1), *range(chosen + 1, len(pieces))]
    while True:
        have = given.union(*(pieces[n].defines for n in taken))
        missing = frozenset().union(*(pieces[n].needs for n in taken)) - have
        left = [n for n in order if n not in taken]
        number = next((n for n in left if pieces[n].defines & missing), None)
        if number is None:  # all is defined; what else is done to it?
            others = frozenset().union(*(pieces[n].defines for n in taken - {chosen}))
            number = next(
                (
                    n
                    for n in left
                    if n < chosen and pieces[n].changes & others and pieces[n].needs <= have
                ),
                None,
            )
        if number is None:
            break
        taken.add(number)
    return [pieces[n] for n in [*sorted(taken - {chosen}), chosen]]


def source(pieces: Iterable[Piece]) -> str:
    """Return the source of pieces that belong together."""
    return "\n\n\n".join(piece.text.strip("\n") for piece in pieces) + "\n"


def spaces(text: str) -> str:
    """Turn the tabs that indent lines into four blanks each."""
    return re.sub(r"^[ \t]+", lambda blanks: blanks[0].replace("\t", INDENT), text, flags=re.M)


def without_idle_end(parser: Parser, program: str) -> str:
    """Take away prose behind the code that happens to parse, as "Output: 5" or "Done" do.

    Only expressions at the left margin that call nothing, and bare annotations: they do nothing.
    """
    tree = parser.tree(program)
    body = list(tree.body) if tree else []
    statements = len(body)
    while body:
        last = body[-1]
        idle = isinstance(last, ast.Expr) or (isinstance(last, ast.AnnAssign) and not last.value)
        if not idle or has([last], _ACTS):
            break
        body.pop()
    if len(body) == statements:
        return program.rstrip("\n") + "\n"
    end = body[-1].end_lineno if body else 0
    return "\n".join(program.split("\n")[:end]) + "\n" if end else ""


def bound(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements bind in their own scope."""
    for statement in body:
        targets: list[ast.expr] = []
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield statement.name
            case ast.Import() | ast.ImportFrom():
                for alias in statement.names:
                    yield (alias.asname or alias.name).split(".")[0]
            case ast.Assign():
                targets = statement.targets
            case ast.AnnAssign() if statement.value:
                targets = [statement.target]
            case ast.For() | ast.AsyncFor():
                targets = [statement.target]
            case ast.With() | ast.AsyncWith():
                targets = [item.optional_vars for item in statement.items if item.optional_vars]
        for target in targets:
            for node in ast.walk(target):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id
        yield from bound(inner(statement))


def inner(statement: ast.stmt) -> Iterator[ast.stmt]:
    """Yield the statements of a compound statement that opens no scope."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return
    for node in ast.iter_child_nodes(statement):
        if isinstance(node, ast.stmt):
            yield node
        elif isinstance(node, ast.ExceptHandler | ast.match_case):
            yield from node.body


def starts_code(parser: Parser, line: str) -> bool:
    """Whether a statement may begin with this line, by itself or with lines that follow."""
    if not _CODE.match(line):
        return False
    if line.startswith(("def ", "async ", "class ", "@")) or line == "try:":
        return True
    if line[-1] in "([{,\\" or '"""' in line or "'''" in line:
        return True
    return parser.tree(line) is not None or parser.tree(f"{line}\n    pass") is not None


def global_names(source: str) -> frozenset[str]:
    """Return the names that a module takes from its global scope; none where it does not compile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            waiting = [symtable.symtable(source, "answer", "exec")]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return frozenset()
    names = set()
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        names |= {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module")
        }
    return frozenset(names)


def last_function(tree: ast.Module | None, name: str) -> Function | None:
    """Return the last function of that name at module level."""
    functions = [
        node
        for node in (tree.body if tree else [])
        if isinstance(node, Function) and node.name == name
    ]
    return functions[-1] if functions else None


def has(body: Iterable[ast.AST], kinds: tuple[type[ast.AST], ...]) -> bool:
    """Whether a node of these kinds stands in `body`, functions inside it left aside."""
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, kinds):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return False


def root(node: ast.expr) -> str | None:
    """Return the name that an attribute or subscript starts from."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _changed(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Yield the names whose values statements change in place."""
    for statement in body:
        targets: list[ast.expr] = []
        match statement:
            case ast.Assign():
                targets = [t for t in statement.targets if not isinstance(t, ast.Name)]
            case ast.AugAssign():
                targets = [statement.target]
            case ast.Expr(value=ast.Call(func=ast.Attribute() as method)):
                targets = [method]
        yield from (name for target in targets if (name := root(target)))
        yield from _changed(inner(statement))


def _standard(statement: ast.Import | ast.ImportFrom) -> bool:
    """Whether an import is of the standard library."""
    if isinstance(statement, ast.ImportFrom):
        names = [statement.module or ""] if not statement.level else [""]
    else:
        names = [alias.name for alias in statement.names]
    return all(name.split(".")[0] in sys.stdlib_module_names for name in names)


def _at_margin(line: str) -> bool:
    return bool(line.strip()) and not line[0].isspace() and line[0] not in ")]}#"


def _begins_with_code(text: str) -> bool:
    """Whether the first line that is not blank looks like code."""
    line = next((line for line in text.split("\n") if line.strip()), "")
    return line[:1].isspace() or line[:1] in (")", "]", "}") or _CODE.match(line) is not None
