"""Real Snakemake over a copy of the workflow, with a registry of three small models and two small datasets."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
TOKENIZER = ROOT / "tests" / "fixtures" / "tokenizer"
SNAKEMAKE = [sys.executable, "-m", "snakemake"]


def row(number: int, text: str = "", column: str = "f") -> dict[str, Any]:
    """Return a dataset row; the stand-in solves it where `text` says SOLVE."""
    return {
        "task_id": f"t/{number}",
        "prompt": f"def {column}(x):\n    '''{text or 'Nothing to see.'}\n    Number {number}.'''\n",
        "entry_point": column,
        "test": f"def check(candidate):\n    assert candidate({number}) == {number}\n",
        "solution": f"def {column}(x):\n    return x\n",
    }


@dataclass
class Outcome:
    """What one invocation of Snakemake did."""

    code: int
    output: str
    jobs: dict[str, int]  # rule → jobs that were started
    engines: list[str]  # models whose engine was started, in order
    answered: list[str]  # hashes of the requests that an engine answered

    def only(self, **jobs: int) -> None:
        """Assert that exactly these jobs ran (`all` and what only renders the summary are not counted)."""
        counted = {
            rule: n for rule, n in self.jobs.items() if rule not in ("all", "summarize", "report")
        }
        assert counted == jobs, self.output


@dataclass
class Workflow:
    """A copy of the workflow in a folder of its own."""

    folder: Path
    models: dict[str, Any]
    datasets: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)
    selection: dict[str, Any] = field(default_factory=dict)

    def write(self) -> None:
        """Write the configuration as it is now."""
        (self.folder / "config" / "models.yaml").write_text(
            yaml.safe_dump(self.models, sort_keys=False)
        )
        (self.folder / "config" / "datasets.yaml").write_text(
            yaml.safe_dump(self.datasets, sort_keys=False)
        )
        (self.folder / "config" / "categories.yaml").write_text("{}\n")
        selection = {"models": list(self.models), "datasets": list(self.datasets)} | self.selection
        (self.folder / "config" / "config.yaml").write_text(yaml.safe_dump({"run": selection}))

    def rows(self, dataset: str, rows: list[dict[str, Any]]) -> None:
        """Write a dataset's rows."""
        path = self.folder / "config" / f"{dataset}.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))

    def command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """Return the command line and the environment of a run."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("SNAKEVAL")
        }
        environment |= {
            "PYTHONPATH": f"{ROOT / 'tests'}",
            "STANDIN_LOG": str(self.folder / "standin.log"),
            "PYTHONWARNINGS": "default",
        }
        return [
            *SNAKEMAKE,
            *arguments,
            "--cores",
            "1",
            "--resources",
            "gpu=1",
        ], environment | self.environment

    def run(self, *arguments: str, expect: int | None = 0, within_s: float = 240) -> Outcome:
        """Run `snakemake --cores 1 --resources gpu=1 …` and wait for its end."""
        self.write()
        log = self.folder / "standin.log"
        log.unlink(missing_ok=True)
        command, environment = self.command(*arguments)
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        output = done.stdout + done.stderr
        notes = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        outcome = Outcome(
            code=done.returncode,
            output=output,
            jobs=dict(Counter(re.findall(r"^(?:local)?rule (\w+):", output, re.MULTILINE))),
            engines=[Path(note["start"]).name for note in notes if "start" in note],
            answered=[note["answer"] for note in notes if "answer" in note],
        )
        if expect is not None:
            assert done.returncode == expect, output
        return outcome

    def files(self, pattern: str) -> dict[str, bytes]:
        """Return the bytes of result files by path."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.glob(pattern))
            if path.is_file()
        }


def model(folder: Path, name: str) -> dict[str, Any]:
    """Put a stand-in model into a workflow's folder and return its entry; its files differ from the others'."""
    place = folder / "models" / name
    shutil.copytree(TOKENIZER, place)
    (place / "weights.json").write_text(json.dumps(name))
    return {
        "source": {"path": f"models/{name}"},
        "engine": "standin:StandIn",
        "engine_arguments": {"load_format": "dummy"},
        "max_model_len": 1024,
        "runs_on_cpu": True,
        "engine_limits": {"start_timeout_s": 20, "stall_timeout_s": 5},
    }


def dataset(name: str) -> dict[str, Any]:
    """Return the entry of a small dataset."""
    return {
        "task": "code_generation",
        "sources": [{"path": f"config/{name}.jsonl"}],
        "fields": {
            "id": "task_id",
            "prompt": "prompt",
            "entry_point": "entry_point",
            "tests": "test",
            "reference": "solution",
        },
        "prompt": {"chat": "Solve this:\n{{ prompt }}", "completion": "{{ prompt }}"},
        "max_tokens": 64,
        "metric": "pass@1",
    }


def copy_code(folder: Path) -> None:
    """Make `folder` with all that a run needs but the configuration."""
    folder.mkdir()
    for name in ("workflow", "profiles", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)


def made(base: Path) -> Workflow:
    """Return three models × two datasets of three problems each, not yet run."""
    folder = base / "copy"
    copy_code(folder)
    (folder / "config").mkdir()
    workflow = Workflow(
        folder,
        models={name: model(folder, name) for name in ("alpha", "beta", "gamma")},
        datasets={name: dataset(name) for name in ("first", "second")},
    )
    workflow.rows("first", [row(1, "SOLVE:def f(x):;return x"), row(2), row(3)])
    workflow.rows("second", [row(number, column="g") for number in (1, 2, 3)])
    return workflow


def talking(base: Path) -> Workflow:
    """Return two models on three conversations, and a third model to judge them; not yet run."""
    workflow = made(base)
    workflow.datasets = {
        "talks": {
            "task": "judged_conversation",
            "sources": [{"path": "config/talks.jsonl"}],
            "fields": {
                "id": "prompt_id",
                "turns": "prompt",
                "category": "category",
                "references": "reference",
            },
            "prompt": {"chat": "{{ turn }}"},
            "turns": "turns",
            "max_tokens": 64,
            "metric": "judge_score",
        }
    }
    workflow.rows(
        "talks",
        [
            {
                "prompt_id": number,
                "category": "math",
                "prompt": [f"Say something. Number {number}.", again],
                "reference": ["4", "5"],
            }
            for number, again in enumerate(["Say it again.", "SOLVE:SHORT", "Say it again."], 1)
        ],
    )
    workflow.models["gamma"]["max_model_len"] = 8192
    workflow.selection = {"models": ["alpha", "beta"]}
    return workflow
