"""Tell what a short Python function returns, or an input for which it returns a given value.

That is CRUXEval's format. As with its authors the answer stands in [ANSWER] tags as an assertion,
`assert f(input) == output`, and is judged by running it: of an output the value is compared, of an input the
function is called with it, and any input that leads to the output is right. The value is worked out in
a process of its own and compared outside of it.

An answer that calls the function where its output is asked for is wrong, as with the authors; and so is one
that names more than plain values and the functions and methods that make such: those could change the
function in place of meeting it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from snakeval.extraction import Found, Missing, parse
from snakeval.records import Sample
from snakeval.sandbox import Check, Program
from snakeval.tasks import Attempt, id_field, text_field, wrong_field
from snakeval.tasks._marked import cue
from snakeval.tasks._programs import ProgramTask, limits

HIDDEN = "??"  # what a prompt shows in place of what is asked for
FUNCTION = "f"
ANSWER = "predicted"  # the name of the function that works the answer out
MOST_TEXT = 16_000  # characters of an answer that are looked at
MOST_LINES = 40  # of one assertion
MOST_ASSERTIONS = 5  # of those at an answer's end
NEAR_END = 2_000  # characters at the end, where an answer without tags or assertion stands

_TAG = re.compile(r"[\[<] ?(/?) ?answer ?[\]>]", re.IGNORECASE)
_NEXT_PROBLEM = re.compile(r"\[/ANSWER\]\W{0,20}\[PYTHON\]", re.IGNORECASE)
_ASSERT = re.compile(r"\bassert\b")
_FENCED = re.compile(r"```[ \t]*\w{0,10}[ \t]*\n(.*?)```", re.DOTALL)
_QUOTES = str.maketrans(dict.fromkeys("“”", '"') | dict.fromkeys("‘’", "'"))
_AROUND = "`*$ \t\n"
_CUE = cue(("output", "result", "input"))

# What an answer may name: nothing here changes anything but the answer's own values.
FUNCTIONS = frozenset([
    "abs", "all", "any", "bin", "bool", "bytearray", "bytes", "chr", "complex", "dict", "divmod", "enumerate",
    "filter", "float", "frozenset", "hex", "int", "iter", "len", "list", "map", "max", "min", "next", "oct",
    "ord", "pow", "range", "repr", "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip",
])  # fmt: skip
METHODS = frozenset(
    name
    for kind in (str, bytes, bytearray, list, dict, set, frozenset, tuple, int, float, complex)
    for name in dir(kind)
    if not name.startswith("_")
)


class CodeReasoning(ProgramTask):
    """Outputs and inputs of given functions: CRUXEval."""

    name = "code_reasoning"
    version = 1
    roles = ("id", "code", "input", "output", "predict")
    inputs = ("code", "input", "output")
    messages: ClassVar[Mapping[str, str]] = {
        "syntax": "the answer holds no assertion that Python can read",
        "entry_point_missing": "the answer is no value of its own (or, where an input is asked for, no call "
        "of the function) made of plain values and Python's plain functions",
    }

    def normalise(self, row: Mapping[str, Any], fields: Mapping[str, str], where: str) -> Sample:
        """Return the sample of one row.

        `predict` says what is asked for, "output" or "input"; a prompt gets "??" in its place. `code`
        defines the function `f`; `input` holds its arguments as in a call, `output` is an expression.
        """
        code = text_field(row, fields, "code", where)
        shown = {name: text_field(row, fields, name, where) for name in ("input", "output")}
        predict = text_field(row, fields, "predict", where)
        if predict not in shown:
            raise wrong_field(predict, "output or input", "predict", where, fields["predict"])
        tree = parse(code)
        if not any(
            isinstance(node, ast.FunctionDef) and node.name == FUNCTION
            for node in (tree.body if tree else ())
        ):
            raise wrong_field(code, "Python source that defines f", "code", where, fields["code"])
        call = f"{FUNCTION}({shown['input']})"
        if not isinstance(_expression(call), ast.Call):
            raise wrong_field(
                shown["input"], "the arguments of a call", "input", where, fields["input"]
            )
        if _expression(shown["output"]) is None:
            raise wrong_field(
                shown["output"], "a Python expression", "output", where, fields["output"]
            )
        return {
            "id": id_field(row, fields, where),
            "inputs": {"code": code, **shown, predict: HIDDEN},
            "target": f"assert {call} == {shown['output']}",
            "metadata": {"code": code, **shown, "predict": predict},
        }

    def find(self, attempt: Attempt) -> Found | Missing:
        """Return the value or the call in an answer, as a function without arguments."""
        metadata = attempt.sample["metadata"]
        of_input = metadata["predict"] == "input"
        before = f"{metadata['code']}\n\n\n" if of_input else ""
        allowed = FUNCTIONS | _constants(metadata["code"]) if of_input else FUNCTIONS
        missing = Missing("syntax")
        for text in _parts(attempt.text, attempt.continuation):
            asserted = _last_assertion(text)
            for source, tree in [asserted] if asserted else _expressions(text):
                chosen = _asked_for(tree, of_input)
                if chosen is not None and _is_plain(chosen, allowed):
                    answer = ast.get_source_segment(source, chosen) or ""
                    return Found(answer, f"{before}def {ANSWER}():\n    return (\n{answer}\n)\n")
                missing = Missing("entry_point_missing")
            if asserted:
                break
        return missing

    def program(self, sample: Sample, code: str, scoring: Mapping[str, Any]) -> Program:
        """Return the answer's function, whose value must be the row's output."""
        metadata = sample["metadata"]
        tests = f"def check(candidate):\n    assert candidate() == (\n{metadata['output']}\n)\n"
        return Program(code, Check(tests, ANSWER, metadata["code"]), limits(scoring))

    def gold(self, sample: Sample) -> Attempt | None:
        """Return the row's own input and output."""
        return Attempt(sample, _tagged(str(sample["target"])))

    def wrong(self, sample: Sample) -> Attempt | None:
        """Return an output inside one more list, or a call that the function does not take."""
        metadata = sample["metadata"]
        call, output = f"{FUNCTION}({metadata['input']})", metadata["output"]
        if metadata["predict"] == "output":
            return Attempt(sample, _tagged(f"assert {call} == [{output}]"))
        if _takes_any_keyword(metadata["code"]):
            return None
        separator = ", " if metadata["input"].strip() else ""
        surplus = f"{call[:-1]}{separator}surplus=None)"
        return Attempt(sample, _tagged(f"assert {surplus} == {output}"))


def _tagged(assertion: str) -> str:
    return f"[ANSWER]\n{assertion}\n[/ANSWER]"


def _takes_any_keyword(code: str) -> bool:
    return any(
        isinstance(node, ast.FunctionDef) and node.name == FUNCTION and node.args.kwarg
        for node in ast.walk(ast.parse(code))
    )


def _expression(source: str) -> ast.expr | None:
    """Return the tree of one expression; None where the source is something else."""
    tree = parse(source)
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
        return None
    return tree.body[0].value


def _parts(text: str, continuation: bool) -> Iterator[str]:
    """Yield the parts of a text that may be the answer, the likeliest first.

    These are what stands in tags, the last pair first, or the whole text where there are none. The
    prompt ends with an opening tag, which a model may take for its own: then the text begins with the
    answer. A base model may go on to further problems of its own: in a continuation the first answer
    counts, and in a message none behind a new problem.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    text = text[:MOST_TEXT] if continuation else text[-MOST_TEXT:]
    further = _NEXT_PROBLEM.search(text)
    if further:
        text = text[: further.end()]
    tags = list(_TAG.finditer(text))
    if not tags:
        yield text
        return
    parts = [text[: tags[0].start()]] if tags[0][1] else []
    if continuation and parts:
        yield parts[0]
        return
    ends = [tag.start() for tag in tags[1:]] + [len(text)]
    parts += [text[tag.end() : end] for tag, end in zip(tags, ends, strict=True) if not tag[1]]
    yield from reversed(parts[-MOST_ASSERTIONS:])


def _last_assertion(text: str) -> tuple[str, ast.expr] | None:
    """Return what the last assertion in a text asserts, with its source."""
    starts = [found.start() for found in _ASSERT.finditer(text)][-MOST_ASSERTIONS:]
    found = (_assertion(text[start:]) for start in reversed(starts))
    return next((read for read in found if read is not None), None)


def _expressions(text: str) -> Iterator[tuple[str, ast.expr]]:
    """Yield the expressions that a text without assertions may give as its answer, the likeliest first.

    They are the whole text, what is fenced, what stands behind "The answer is", and the last line.
    """
    fenced = [found[1] for found in _FENCED.finditer(text)][-MOST_ASSERTIONS:]
    end = text[-NEAR_END:].rstrip()
    named = [end[found.end() :].split("\n", 1)[0] for found in _CUE.finditer(end) if found["link"]]
    for candidate in (text, *reversed(fenced), *reversed(named), end.rpartition("\n")[2]):
        for variant in _variants(candidate.strip(_AROUND).removeprefix("==").strip(_AROUND)):
            tree = _expression(variant)
            if tree is not None:
                yield variant, tree
                break


def _assertion(text: str) -> tuple[str, ast.expr] | None:
    """Return what the assertion at the beginning of a text asserts, with its source."""
    lines = text.split("\n")[:MOST_LINES]
    for count in range(1, len(lines) + 1):
        source = "\n".join(lines[:count])
        for variant in _variants(source):
            tree = parse(variant)
            if tree and len(tree.body) == 1 and isinstance(tree.body[0], ast.Assert):
                return variant, tree.body[0].test
    return None


def _variants(source: str) -> Iterator[str]:
    """Yield a source as it is, and without what people and Markdown put around and behind it."""
    yield source
    bare = source.rstrip(f"{_AROUND}.;,")
    if bare != source:
        yield bare
    inside, mark, _ = source.partition("`")
    if mark:
        yield inside
    straight = bare.translate(_QUOTES)
    if straight != bare:
        yield straight


def _asked_for(tree: ast.expr, of_input: bool) -> ast.expr | None:
    """Return the value or the call that was asked for: a side of an equation, or the whole."""
    if isinstance(tree, ast.Compare):
        if not all(isinstance(sign, ast.Eq) for sign in tree.ops):
            return None
        left, right = tree.left, tree.comparators[0]
        turned = _is_call(right) and not _is_call(left)
        tree = left if of_input != turned else right
    return tree if _is_call(tree) or not of_input else None


def _is_call(tree: ast.expr) -> bool:
    return (
        isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == FUNCTION
    )


def _constants(code: str) -> frozenset[str]:
    """Return the names at module level that a call may use: the function's, and those of values it does not use."""
    tree = ast.parse(code)
    inside = {
        node.id
        for definition in tree.body
        if isinstance(definition, ast.FunctionDef)
        for node in ast.walk(definition)
        if isinstance(node, ast.Name)
    }
    values = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return frozenset({FUNCTION} | (values - inside))


def _is_plain(tree: ast.expr, allowed: frozenset[str]) -> bool:
    """Whether an expression names nothing but what is allowed, what it binds itself, and methods of plain values."""
    nodes = list(ast.walk(tree))
    bound = {node.arg for node in nodes if isinstance(node, ast.arg)} | {
        node.id
        for node in nodes
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    }
    return all(
        (node.id in allowed or node.id in bound)
        if isinstance(node, ast.Name)
        else node.attr in METHODS
        for node in nodes
        if isinstance(node, ast.Name | ast.Attribute)
    )


TASK = CodeReasoning()
