"""The same verdicts as CRUXEval's authors on the same answers.

Their rules for direct answers: of an output what stands behind the first "==" counts, of an input what
stands before it and behind "assert"; an answer for an output that calls the function with the row's input
is wrong, and so is one for an input that calls none; all else is decided by `assert output == answer`
behind the function. The program is run by their own `check_correctness`, as lm-evaluation-harness ships it.
Its own extraction is not theirs: it takes the quotes off every output.
"""

from __future__ import annotations

import ast
import json
import random
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.tasks.cruxeval.utils import check_correctness
from snakeval.records import Sample
from snakeval.registry import schema
from snakeval.tasks import Attempt, get

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
ENTRIES = yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text("utf-8"))
TASK: Any = get("code_reasoning")
SEED, ROWS = 11, 60

# "sample/form" → why the two differ, and who is right.
DIFFERS: dict[str, dict[str, str]] = {"cruxeval": {}, "cruxeval_input": {}}


def samples(slug: str) -> list[Sample]:
    path = SHARED / "cruxeval.jsonl"
    if not path.exists():
        pytest.skip(f"{path.name} is not there")
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    entry = ENTRIES[slug]
    chosen = random.Random(SEED).sample(rows, ROWS)
    return [TASK.normalise({**entry["constants"], **row}, entry["fields"], slug) for row in chosen]


def answers(slug: str) -> dict[str, tuple[Sample, str]]:
    """Return "sample/form" → the sample and what a model says behind the prompt."""
    draw = random.Random(SEED)
    problems = samples(slug)
    made = {}
    for problem, other in zip(problems, draw.sample(problems, len(problems)), strict=True):
        own = problem["metadata"]
        call, output = f"f({own['input']})", own["output"]
        value = ast.literal_eval(output)
        if slug == "cruxeval":
            forms = {
                "right": f"assert {call} == {output}",
                "spaced": f"assert  {call}=={json.dumps(value) if type(value) is str else output}\n",
                "bare": output,
                "worked out": f"assert {call} == {output[:1]}{output[1:]} * 1",
                "another's": f"assert {call} == {other['metadata']['output']}",
                "text": f"assert {call} == {str(value)!r}",
                "called": f"assert {call} == {call}",
                "cut": f"assert {call} == {output[: len(output) // 2]}",
            }
        else:
            arguments = own["input"]
            forms = {
                "right": f"assert {call} == {output}",
                "spaced": f"assert f( {arguments} )=={output}\n",
                "bare": call,
                "listed": f"assert f(*[{arguments}]) == {output}",
                "another's": f"assert f({other['metadata']['input']}) == {output}",
                "output": f"assert f({output}) == {output}",
                "arguments": arguments,
                "cut": f"assert {call[: len(call) // 2]}",
                "none": f"assert f() == {output}",
            }
        made |= {f"{problem['id']}/{form}": (problem, text) for form, text in forms.items()}
    return made


@cache
def runs(program: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it forks, and runs what no author of a test would write
        passed: bool = check_correctness(program)
    return passed


def authors_verdict(problem: Sample, text: str) -> bool:
    own = problem["metadata"]
    before, equals, behind = text.partition("==")
    if own["predict"] == "output":
        answer = behind.split("==")[0].strip() if equals else text.strip()
        if f"f({own['input']})" in answer:
            return False
    else:
        answer = before.strip()
        if "assert" in answer:
            answer = answer.split("assert")[1].strip()
        if "f(" not in answer:
            return False
    return runs(f"{own['code']}\nassert {own['output']} == {answer}")


@pytest.mark.parametrize("slug", ["cruxeval", "cruxeval_input"])
def test_same_verdicts_as_the_authors(slug: str) -> None:
    made = answers(slug)
    scoring = schema.filled(ENTRIES[slug], "dataset")["scoring"]
    attempts = [Attempt(*pair, continuation=True) for pair in made.values()]
    judgements = TASK.judge(attempts, scoring, {}).judgements
    ours = {name: judgement.value == 1 for name, judgement in zip(made, judgements, strict=True)}
    theirs = {name: authors_verdict(*pair) for name, pair in made.items()}
    differ = {name: (ours[name], theirs[name]) for name in made if ours[name] != theirs[name]}
    assert len(made) >= 400
    assert 100 < sum(theirs.values()) < len(made) - 100
    assert differ.keys() == DIFFERS[slug].keys(), differ
    assert len(differ) <= 0.01 * len(made)
