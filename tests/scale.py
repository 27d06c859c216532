"""What Snakemake and this workflow take for many pairs, on a synthetic registry; `bench.py` has parts for it.

The floor is Snakemake over a Snakefile without logic. With everything missing it has the same jobs, files and logs
(`SAME_JOBS`); with nothing missing it is one rule `all` whose input are the files of the finished pairs (`ONE_RULE`).

Executing is the whole workflow, from fetching to the report, with a stand-in engine and two problems a dataset: what
is left is Snakemake's time, the start of a Python process for each job, and the files.

Processor seconds count all processes; they are less disturbed by other work on the machine than those of the clock.
"""

from __future__ import annotations

import math
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import workflow_copy
import yaml
from snakeval.registry import load
from snakeval.registry.run import PREDICTION_FILES, SCORE_FILES
from workflow_copy import ROOT, SNAKEMAKE

Row = dict[str, Any]

ONE_RULE = """
from glob import glob

rule all:
    input: glob("{files}", recursive=True)
"""

SAME_JOBS = """
M, D = range({models}), range({datasets})
PAIR = "done/pairs/{{m}}/{{d}}/"

rule all:
    input: "done/report"

rule report:
    input: "done/summary"
    output: "done/report"
    shell: "touch {{output}}"

rule summarize:
    input: expand(PAIR + "score/metrics.json", m=M, d=D)
    output: "done/summary"
    shell: "touch {{output}}"

rule fetch_model:
    output: "done/model/{{m}}"
    log: "logs/model/{{m}}"
    shell: "touch {{output}}"

rule fetch_dataset:
    output: "done/dataset/{{d}}.jsonl", "done/dataset/{{d}}.json"
    log: "logs/dataset/{{d}}"
    shell: "touch {{output}}"

rule generate:
    input: "done/model/{{m}}", expand("done/dataset/{{d}}.{{kind}}", d=D, kind=["json", "jsonl"])
    output: "done/engine/{{m}}.json", "done/engine/{{m}}.requests"
    log: "logs/engine/{{m}}"
    shell: "touch {{output}}"

rule predictions:
    input: "done/engine/{{m}}.json", "done/engine/{{m}}.requests"
    output: [PAIR + name for name in {predictions}]
    log: "logs/predictions/{{m}}.{{d}}"
    shell: "touch {{output}}"

rule score:
    input: "done/dataset/{{d}}.jsonl", PAIR + "predictions.jsonl"
    output: [PAIR + "score/" + name for name in {scores}]
    log: "logs/score/{{m}}.{{d}}"
    shell: "touch {{output}}"
"""


def measured(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Run a command; return its seconds, those of processors, and the peak memory of its largest process.

    Raises:
        SystemExit: it failed.
    """
    environment = {**(os.environ if environment is None else environment)}
    environment.pop(
        "PYTHONDONTWRITEBYTECODE", None
    )  # modules are compiled once, as users have them
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            output.seek(0)
            raise SystemExit(output.read().decode(errors="replace")[-3000:])
    processor = used.ru_utime + used.ru_stime
    return {"wall_s": seconds, "cpu_s": processor, "peak_mb": used.ru_maxrss / 1024}


def growth(rows: list[Row]) -> list[Row]:
    """Add a row that says with which power of the number of pairs each column grows; 1 is linear."""
    pairs = [row["pairs"] for row in rows]
    names = [name for name in rows[0] if name not in ("models", "datasets", "pairs")]
    grown = {name: exponent(pairs, [row[name] for row in rows]) for name in names}
    return [*rows, {"models": "exponent", "datasets": "", "pairs": ""} | grown]


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return the power of the size with which values grow, by least squares over the logarithms; 1 is linear."""
    line = statistics.linear_regression(list(map(math.log, sizes)), list(map(math.log, values)))
    return line.slope


DRY_RUN = [*SNAKEMAKE, "--cores", "1", "-n", "--quiet", "all"]


def turns(folders: Mapping[str, Path], rounds: int) -> list[Row]:
    """Dry-run in each folder, turn by turn, after one turn that does not count; return medians beside the first's."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in folders}
    for _ in range(rounds + 1):
        for name, folder in folders.items():
            found[name].append(measured(DRY_RUN, folder))
    rows: list[Row] = []
    for name, all_turns in found.items():
        row: Row = {"what": name}
        for key in all_turns[0]:
            row[key] = statistics.median(turn[key] for turn in all_turns[1:])
        rows.append(row)
    ours = rows[0]
    return [
        row
        | {f"ours / this, {kind}": ours[f"{kind}_s"] / row[f"{kind}_s"] for kind in ("wall", "cpu")}
        for row in rows
    ]


# -- planning --------------------------------------------------------------------------------------


def dry_run(models: int, datasets: int, rounds: int) -> list[Row]:
    """Time `snakemake -n` over so many pairs, all missing and all finished, beside Snakemake's floors."""
    with tempfile.TemporaryDirectory() as scratch:
        ours, same = both(Path(scratch), models, datasets)
        rows = turns({"all missing": ours, "same jobs and files": same}, rounds)
        finish(ours)
        floors = {
            "all of the pairs' files in one rule": "results/pairs/*/*/*/**/*.*",
            "a file of each pair in one rule": "results/pairs/*/*/*/*/metrics.json",
            "an empty rule": "none",
        }
        folders = {"nothing to do": ours}
        for number, (name, files) in enumerate(floors.items()):
            folders[name] = Path(scratch, f"floor_{number}")
            folders[name].mkdir()
            (folders[name] / "Snakefile").write_text(ONE_RULE.format(files=files))
            (folders[name] / "results").symlink_to(ours / "results")
        return rows + turns(folders, rounds)


def planning(sizes: Iterable[tuple[int, int]]) -> list[Row]:
    """Time `snakemake -n` with everything missing for growing numbers of models and datasets."""
    rows = []
    for models, datasets in sizes:
        with tempfile.TemporaryDirectory() as scratch:
            ours, same = both(Path(scratch), models, datasets)
            mine, floor = measured(DRY_RUN, ours), measured(DRY_RUN, same)
            [run] = (ours / "results/runs").glob("*.json")
            rows.append(
                {"models": models, "datasets": datasets, "pairs": models * datasets}
                | {key: mine[key] for key in ("wall_s", "cpu_s", "peak_mb")}
                | {"floor wall_s": floor["wall_s"], "floor cpu_s": floor["cpu_s"]}
                | {"floor peak_mb": floor["peak_mb"], "run mb": run.stat().st_size / 1e6}
            )
    return rows


def both(base: Path, models: int, datasets: int) -> tuple[Path, Path]:
    """Write the workflow with a registry of so many entries, and its floor; return their folders."""
    ours, same = base / "ours", base / "same"
    workflow_copy.copy_code(ours)
    registry(ours / "config", models, datasets)
    same.mkdir()
    files = {"predictions": PREDICTION_FILES, "scores": SCORE_FILES}
    (same / "Snakefile").write_text(SAME_JOBS.format(models=models, datasets=datasets, **files))
    return ours, same


def registry(folder: Path, models: int, datasets: int) -> None:
    """Write a registry of `models` × `datasets`, all selected, each like a shipped one."""
    shipped = {
        kind: yaml.safe_load((ROOT / "config" / f"{kind}.yaml").read_text("utf-8"))
        for kind in ("models", "datasets")
    }
    model, dataset = shipped["models"]["qwen3_8b"], shipped["datasets"]["humaneval"]
    for name in ("aliases", "base_model"):  # they name other entries
        del model[name]
    files: dict[str, Any] = {
        "models": {f"model_{n}": model | {"title": f"Model {n}"} for n in range(models)},
        "datasets": {f"dataset_{n}": dataset | {"title": f"Dataset {n}"} for n in range(datasets)},
        "categories": {},
    }
    files["config"] = {"run": {kind: list(files[kind]) for kind in ("models", "datasets")}}
    folder.mkdir()
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def finish(folder: Path) -> None:
    """Put every file there that the workflow in a folder makes, as after a run."""
    for pair in load({}, folder).pairs:
        for place, names in ((pair.folder(), PREDICTION_FILES), (pair.score_folder(), SCORE_FILES)):
            (folder / place).mkdir(parents=True)
            for name in names:
                (folder / place / name).write_text("{}\n")
    command = [*SNAKEMAKE, "--cores", "1", "--quiet", "all"]
    listing = [*SNAKEMAKE, "--cores", "1", "--summary"]
    made = subprocess.run(listing, cwd=folder, check=True, capture_output=True, text=True).stdout
    for line in made.splitlines()[1:]:
        path = folder / line.split("\t")[0]
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        else:
            path.mkdir(parents=True, exist_ok=True)
    subprocess.run([*command, "--touch"], cwd=folder, check=True)


# -- executing -------------------------------------------------------------------------------------


def execution(sizes: Iterable[tuple[int, int]], cores: int) -> list[Row]:
    """Run the whole workflow for growing numbers of models and datasets, then once more with nothing to do."""
    rows = []
    for models, datasets in sizes:
        with tempfile.TemporaryDirectory() as scratch:
            workflow = stand_in(Path(scratch), models, datasets)
            command, environment = workflow.command("--quiet", "all")
            command += ["--cores", str(cores), "--resources", f"gpu={cores // 2 or 1}"]
            first = measured(command, workflow.folder, environment)
            again = measured(command, workflow.folder, environment)
            rows.append(
                {"models": models, "datasets": datasets, "pairs": models * datasets}
                | first
                | counted(workflow.folder, models * datasets)
                | {"again wall_s": again["wall_s"], "again cpu_s": again["cpu_s"]}
            )
    return rows


def counted(folder: Path, pairs: int) -> Row:
    """Count the files of a run; each pair must have been scored."""
    scored = len(list(folder.glob("results/pairs/*/*/*/score-*/metrics.json")))
    if scored != pairs:
        raise SystemExit(f"{scored} of {pairs} pairs were scored")
    places = {"results": "results", "reports": "reports", ".snakemake": ".snakemake"}
    row: Row = {}
    for name, place in places.items():
        files = [path for path in (folder / place).rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        row |= {f"{name} files": len(files), f"{name} mb": size / 1e6}
    return row


def stand_in(base: Path, models: int, datasets: int) -> workflow_copy.Workflow:
    """Return a workflow of so many stand-in models and datasets of two problems each, not yet run."""
    workflow = workflow_copy.made(base)
    shutil.rmtree(workflow.folder / "models")
    workflow.models = {
        name: workflow_copy.model(workflow.folder, name)
        for name in (f"model_{n}" for n in range(models))
    }
    workflow.datasets = {}
    for number in range(datasets):
        name = f"data_{number}"
        workflow.datasets[name] = workflow_copy.dataset(name)
        solved = workflow_copy.row(2 * number, "SOLVE:def f(x):;return x")
        workflow.rows(name, [solved, workflow_copy.row(2 * number + 1)])
    workflow.write()
    return workflow
