"""Write a Python function; tests that the model has not seen decide.

The tests define `check(candidate)`, as HumanEval's do, and run behind the program in one module, so
that they find the prompt's helpers too. Only the standard library is there. Program and tests share
a process: a program that hunts for the verdict in its interpreter could forge it (see `sandbox`).
"""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from typing import Any

from snakeval.errors import SourceError, one_line
from snakeval.records import Metric, Sample, Score
from snakeval.tasks import Attempt, Judged, Task, id_field, text_field


class CodeGeneration(Task):
    """Functions with hidden tests: HumanEval and datasets of the same form."""

    name = "code_generation"
    version = 1
    roles = ("id", "prompt", "entry_point", "tests")
    optional_roles = ("reference", "reference_body")
    inputs = ("prompt", "entry_point")

    def normalise(self, row: Mapping[str, Any], fields: Mapping[str, str], where: str) -> Sample:
        """Return the sample of one row.

        `reference` is a whole program; `reference_body` is what belongs behind the prompt.
        """
        prompt = text_field(row, fields, "prompt", where)
        entry_point = text_field(row, fields, "entry_point", where)
        tests = text_field(row, fields, "tests", where)
        if not entry_point.isidentifier() or keyword.iskeyword(entry_point):
            raise SourceError(
                f"{where}, field entry_point",
                one_line(repr(entry_point)[:200]),
                "the name of a Python function",
                "Correct the row, or fields.entry_point of the dataset in config/datasets.yaml.",
            )
        target = None
        if "reference" in fields:
            target = {"solution": text_field(row, fields, "reference", where)}
        elif "reference_body" in fields:
            target = {"solution": prompt + text_field(row, fields, "reference_body", where)}
        return {
            "id": id_field(row, fields, where),
            "inputs": {"prompt": prompt, "entry_point": entry_point},
            "target": target,
            "metadata": {"tests": tests, "entry_point": entry_point, "prompt": prompt},
        }

    def judge(
        self, attempts: Sequence[Attempt], scoring: Mapping[str, Any], sandbox: str | None
    ) -> Judged:
        """Extract each program and run it with its tests in the sandbox."""
        raise NotImplementedError

    def metrics(self, scores: Sequence[Score], repeats: int) -> dict[str, Metric]:
        """Return pass@k for k = 1, 2, 5, 10, … up to the number of repeats."""
        raise NotImplementedError


TASK = CodeGeneration()
