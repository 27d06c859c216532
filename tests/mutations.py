"""Wrong programs made from right ones, by small changes to their syntax tree.

    for program in mutants(source, "add", seed=1, limit=5): ...
    wrong = wrong_mutant(Subject("add", source, Calls(tests, "add")), seed=1)

`mutants` knows nothing of behaviour: some of its programs are as right as the source. `wrong_mutant`
keeps the first one that was seen to behave differently in a plain interpreter, without any of our
judges (`behaviour.py`).
"""

from __future__ import annotations

import ast
import copy
import os
import random
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from behaviour import Changed, Subject, changed

Change = Callable[[], None]

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_ARITHMETIC: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add, ast.FloorDiv),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Mult, ast.Mod),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitXor: (ast.BitOr,),
}
_WARNINGS = threading.Lock()  # their filters belong to all threads
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def mutants(source: str, entry_point: str | None, seed: int, limit: int) -> Iterator[str]:
    """Yield programs that differ from `source` by one change each, without its docstrings.

    Args:
        source: Python source that parses.
        entry_point: name of the function or class (up to a dot) that is changed first; changes to
            the rest of the program come after all of its own. None: the whole program at once.
        seed: the order of the changes depends on this and the source alone.
        limit: most programs.
    """
    tree = _bare(parse(source))
    name = (entry_point or "").split(".")[0]
    inside = {
        id(node)
        for part in tree.body
        if getattr(part, "name", None) == name
        for node in ast.walk(part)
    }
    sites = [
        (id(node) not in inside, number, which)
        for number, node in enumerate(ast.walk(tree))
        for which in range(len(list(_changes(node))))
    ]
    random.Random(f"{seed} {source}").shuffle(sites)
    sites.sort(key=lambda site: site[0])
    seen = {ast.unparse(tree)}
    for _, number, which in sites:
        if limit <= 0:
            return
        program = _after(tree, number, which)
        if program is not None and program not in seen:
            seen.add(program)
            limit -= 1
            yield program


def wrong_mutant(subject: Subject, seed: int, limit: int = 60) -> Changed | None:
    """Return the first mutant of the subject's reference that was seen to behave differently.

    Args:
        limit: most mutants to be tried.

    Returns:
        None where no mutant was.

    Raises:
        ReferenceFails: the reference itself does not pass in a plain interpreter.
    """
    entry_point = getattr(subject.probe, "entry_point", None)
    programs = mutants(subject.reference, entry_point, seed, limit)
    return next(changed(subject, programs), None)


def wrong_mutants(subjects: Iterable[Subject], seed: int) -> dict[str, Changed | None]:
    """Return `wrong_mutant` of each subject, by id; several subjects at a time."""
    subjects = list(subjects)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        found = threads.map(lambda subject: wrong_mutant(subject, seed), subjects)
        return {subject.id: wrong for subject, wrong in zip(subjects, found, strict=True)}


def parse(source: str) -> ast.Module:
    """Parse a program; warnings of strange escapes are left out.

    Raises:
        SyntaxError: it is none.
    """
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _bare(tree: ast.Module) -> ast.Module:
    """Take out docstrings and annotations of functions: changes to them would change nothing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
    return tree


def _is_text(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _after(tree: ast.Module, number: int, which: int) -> str | None:
    """Return the program after change `which` of the node that `ast.walk` meets as `number`.

    None where the changed tree is no program.
    """
    tree = copy.deepcopy(tree)
    node = next(islice(ast.walk(tree), number, None))
    list(_changes(node))[which]()
    program = ast.unparse(ast.fix_missing_locations(tree))
    try:
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `1 is not x`
            compile(program, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return None
    return program


def _changes(node: ast.AST) -> Iterator[Change]:
    """Yield what can be done to a node, each as a function that does it in place."""
    match node:
        case ast.Compare():
            for n, comparison in enumerate(node.ops):
                for other in _COMPARISONS[type(comparison)]:
                    yield _item(node.ops, n, other())
        case ast.BinOp():
            for operator in _ARITHMETIC.get(type(node.op), ()):
                yield _field(node, "op", operator())
            yield _become(node, node.left)  # `n + 1` becomes `n`
            yield _swap(node, "left", "right")
        case ast.AugAssign():
            for operator in _ARITHMETIC.get(type(node.op), ()):
                yield _field(node, "op", operator())
        case ast.BoolOp():
            yield _field(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
            for value in node.values:
                yield _become(node, value)
        case ast.UnaryOp():
            yield _become(node, node.operand)
        case ast.IfExp():
            yield _field(node, "test", _not(node.test))
            yield _swap(node, "body", "orelse")
        case ast.If():
            yield _field(node, "test", _not(node.test))
            if node.orelse:
                yield _swap(node, "body", "orelse")
                yield _field(node, "orelse", [])
            yield from _drops(node.body)
        case ast.While():
            yield _field(node, "test", _not(node.test))
            yield from _drops(node.body)
        case ast.For():
            yield from _drops(node.body)
            yield _insert(node.body, 0, ast.Break())
            yield _insert(node.body, len(node.body), ast.Break())
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from _drops(node.body)
            yield _insert(node.body, 0, ast.Return(ast.Constant(None)))
        case ast.Module():
            yield from _drops(node.body)
        case ast.Return() if node.value is not None:
            yield _field(node, "value", ast.Constant(None))
            yield _field(node, "value", _not(node.value))
        case ast.comprehension():
            for n, test in enumerate(node.ifs):
                yield _item(node.ifs, n, _not(test))
        case ast.Call():
            yield from _calls(node)
        case ast.Slice():
            for part in ("lower", "upper", "step"):
                if getattr(node, part) is not None:
                    yield _field(node, part, None)
        case ast.List() | ast.Tuple() if isinstance(node.ctx, ast.Load) and len(node.elts) > 1:
            yield lambda: node.elts.reverse()
            yield lambda: node.elts.__delitem__(0)
        case ast.Break():
            yield _become(node, ast.Continue())
        case ast.Continue():
            yield _become(node, ast.Break())
        case ast.Constant():
            yield from _constants(node)


def _calls(node: ast.Call) -> Iterator[Change]:
    arguments = node.args
    if len(arguments) > 1:
        yield lambda: arguments.reverse()
    if arguments and isinstance(node.func, ast.Name) and node.func.id == "range":
        end = min(1, len(arguments) - 1)
        for off in (-1, 1):
            yield _item(arguments, end, ast.BinOp(arguments[end], ast.Add(), ast.Constant(off)))
    for n in range(len(node.keywords)):
        yield lambda n=n: node.keywords.__delitem__(n)  # type: ignore[misc]


def _constants(node: ast.Constant) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield _field(node, "value", not value)
    elif isinstance(value, int | float):
        yield _field(node, "value", value + 1)
        yield _field(node, "value", value - 1)
    elif isinstance(value, str):
        yield _field(node, "value", value + "_")
        if value:
            yield _field(node, "value", value[1:])


def _drops(body: list[ast.stmt]) -> Iterator[Change]:
    for n, statement in enumerate(body):
        if not isinstance(statement, _DEFINITIONS):
            yield _item(body, n, ast.Pass())


def _not(test: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), test)


def _field(node: ast.AST, name: str, value: object) -> Change:
    return lambda: setattr(node, name, value)


def _item(items: list[Any], n: int, value: ast.AST) -> Change:
    return lambda: items.__setitem__(n, value)


def _insert(items: list[ast.stmt], n: int, value: ast.stmt) -> Change:
    return lambda: items.insert(n, value)


def _swap(node: ast.AST, one: str, other: str) -> Change:
    def change() -> None:
        first, second = getattr(node, one), getattr(node, other)
        setattr(node, one, second)
        setattr(node, other, first)

    return change


def _become(node: ast.AST, other: ast.AST) -> Change:
    def change() -> None:
        node.__class__, node.__dict__ = other.__class__, other.__dict__

    return change
