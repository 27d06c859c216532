"""When the jobs of 37 models on 25 datasets start and end, on given GPUs and cores; `bench.py schedule` prints it.

    registry, forecast/ corrected by docs/h100.md ──engine_starts()──▶ jobs ──simulate()──▶ spans ──line()──▶ a row

Nothing is run. Measured are the seconds of starts, the rates that the forecast is corrected by (both with made-up
weights, on an H200) and the processor seconds of scoring; the lengths of answers and all other models are computed.
Snakemake knows no lengths: among jobs of one priority it takes any, so orders are drawn and the median is shown.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from snakeval import parallel
from snakeval.forecast import cost, memory, shape, starts
from snakeval.preflight.reasons import Reason, Step
from snakeval.preflight.tokens import Planner
from snakeval.registry import Pair, Run, load

ROOT = Path(__file__).resolve().parents[1]

# What every model is asked: the text datasets that categories bring by themselves, and the five optional ones that
# are run most. Where a pair makes no sense, it is left out as always.
DATASETS = (
    *("humaneval", "mbpp", "advanced_coding_sample", "gsm8k", "math500", "ifeval", "winogrande"),
    *(
        "arc_challenge",
        "truthfulqa",
        "toxicity_detection_binary",
        "scitldr",
        "scierc",
        "scierc_rel",
    ),
    *("pubmedqa", "bioasq", "chemprot", "genomics_ner", "protein_function", "scientific_papers"),
    *("toolllama", "mmlu", "mmlu_pro", "hellaswag", "bbh", "bfcl"),
)
# Answers a processor scores in a second, by task: docs/scoring.md.
SCORED_PER_CPU_S = {
    **{"multiple_choice_likelihood": 9_500, "multiple_choice_generated": 4_900},
    **{"classification": 9_500, "exact_answer": 8_300, "tool_selection": 6_100},
    **{"function_calling": 3_600, "entity_recognition": 3_800, "instruction_following": 1_500},
    **{"prose_answers": 1_400, "summarisation": 157, "relation_extraction": 590},
    **{"truthful_generation": 570, "mathematics": 270, "code_generation": 170},
}
# With what a process takes to start, at most: docs/scale.md, docs/scoring.md.
COLLECT_S, SCORE_START_S = 0.5, 2.0
REPORT_S = 100.0  # tables and page of 350,000 answers, `bench.py report` on two cores

# Seconds of import and engine start, first and with the compile cache kept: docs/h100.md.
FIRST = {
    "qwen3_8b": (124.6, 100.3),
    "qwen3_8b_bf16": (90.4,),
    "qwen3_14b": (130.9,),
    "codestral_22b": (117.3,),
    "qwen3_coder_30b": (186.5, 200.7),
    "deepseek_coder_16b": (184.7,),
}
AGAIN = {
    "qwen3_8b": (50.5, 63.8),
    "qwen3_coder_30b": (71.9,),
    "deepseek_coder_16b": (60.5,),
}
LOADED_BYTES_PER_S = 2e9  # assumed: a local disk; what was measured made its weights up
# Tokens a second with 1,000 prompts of 256 tokens and answers of 256, 256 at once, on an H200: docs/h100.md.
RATES = {
    "qwen3_8b": 14_023,
    "qwen3_14b": 9_444,
    "qwen3_14b_bf16": 8_566,
    "qwen3_coder_30b": 11_169,
    "qwen3_coder_30b_bf16": 9_174,
    "deepseek_coder_16b": 17_321,
    "deepseek_coder_16b_bf16": 17_012,
    "codestral_22b": 6_322,
    "codestral_22b_bf16": 5_653,
}
RATED = cost.Load(1000, 256_000, 256_000, 256, 256)
PAIRS_PER_ENGINE = (None, 5, 1)
VARIANTS: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "70B on 4 GPUs": {"large": 4},
    "without R1": {"thinkers": False},
}
PLACES = (
    (1, 1),
    (1, 16),
    (8, 64),
    (64, 512),
)  # GPUs and cores; the first as README.md calls Snakemake every day
LARGE_GB = 35  # of weights: the four models of 70 billion parameters in four bits, and none in sixteen that is chosen
ORDERS = 5
NODE = 8  # GPUs of one machine
NEARLY = 0.9  # of the wall time: a bound above it is what limits


# -- list scheduling -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A job and what it holds while it runs.

    `start_s` passes before an engine is up, `cold_s` more where no earlier start of its `cache` has come up.
    """

    name: str
    seconds: float
    gpus: int = 0
    cores: int = 1
    priority: int = 0
    needs: tuple[str, ...] = ()
    start_s: float = 0.0
    cold_s: float = 0.0
    cache: str | None = None


@dataclass(frozen=True)
class Span:
    """When a job ran, in seconds from the beginning, on which GPUs, and how much of that was the engine's start."""

    job: Job
    begin: float
    end: float
    gpus: tuple[int, ...]
    start_s: float


def simulate(jobs: Sequence[Job], gpus: int, cores: int, node: int = NODE) -> list[Span]:
    """Run each job as soon as what it needs is there, of those that fit the one of the highest priority.

    Among equals the earlier in `jobs` comes first; a job that does not fit holds back no other. The GPUs of a job
    lie in one node.

    Raises:
        ValueError: a job never fits, or waits for one that is not there or for itself.
    """
    waiting = {job.name: len(set(job.needs)) for job in jobs}
    followers: dict[str, list[int]] = defaultdict(list)
    for number, job in enumerate(jobs):
        for name in set(job.needs):
            followers[name].append(number)
    ready: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)

    def offer(number: int) -> None:
        job = jobs[number]
        heapq.heappush(ready[job.gpus, job.cores], (-job.priority, number))

    for number, job in enumerate(jobs):
        if not job.needs:
            offer(number)
    free = Free(gpus, cores, node)
    running: list[tuple[float, int, Span]] = []
    caches: dict[str, float] = {}
    spans: list[Span] = []
    now = 0.0
    while True:
        while fitting := [
            (heap[0], size) for size, heap in ready.items() if heap and free.fits(*size)
        ]:
            (_, number), size = min(fitting)
            heapq.heappop(ready[size])
            job = jobs[number]
            start_s = job.start_s
            if job.cache is not None and caches.get(job.cache, now + 1) > now:
                start_s += job.cold_s
                caches[job.cache] = min(caches.get(job.cache, now + start_s), now + start_s)
            span = Span(job, now, now + start_s + job.seconds, free.take(*size), start_s)
            heapq.heappush(running, (span.end, number, span))
        if not running:
            break
        now = running[0][0]
        while running and running[0][0] == now:
            _, _, span = heapq.heappop(running)
            free.give(span.gpus, span.job.cores)
            spans.append(span)
            for number in followers[span.job.name]:
                waiting[jobs[number].name] -= 1
                if not waiting[jobs[number].name]:
                    offer(number)
    if len(spans) < len(jobs):
        left = {job.name for job in jobs} - {span.job.name for span in spans}
        raise ValueError(f"never run: {', '.join(sorted(left)[:3])} …")
    return spans


class Free:
    """GPUs and cores that no job holds."""

    def __init__(self, gpus: int, cores: int, node: int) -> None:
        self._nodes = [set(range(at, min(at + node, gpus))) for at in range(0, gpus, node)]
        self._node, self._cores = node, cores

    def fits(self, gpus: int, cores: int) -> bool:
        """Whether a job of this size could run now."""
        most = max(map(len, self._nodes), default=0)
        return cores <= self._cores and gpus <= most

    def take(self, gpus: int, cores: int) -> tuple[int, ...]:
        """Take cores and GPUs, these from the node that has least left."""
        self._cores -= cores
        if not gpus:
            return ()
        node = min((node for node in self._nodes if len(node) >= gpus), key=len)
        taken = tuple(sorted(node)[:gpus])
        node.difference_update(taken)
        return taken

    def give(self, gpus: Iterable[int], cores: int) -> None:
        """Give back what a job held."""
        self._cores += cores
        for gpu in gpus:
            self._nodes[gpu // self._node].add(gpu)


# -- the jobs of a run -----------------------------------------------------------------------------


class Engines:
    """How long engines start and answer on an H100: the forecast, corrected by what was measured."""

    def __init__(self, run: Run) -> None:
        measured = load({"models": sorted({*RATES, *FIRST}), "datasets": ["humaneval"]}, ROOT)
        self._entries = measured.models | run.models
        self._memory = cost.ASSUMED.memory_gb * memory.GIB * memory.MAKERS_SHARE
        h200 = cost.hardware("H200")
        self.quotients = {}
        for model, rate in RATES.items():
            seconds = RATED.completion_tokens / rate
            self.quotients[model] = seconds / cost.roofline(self.shape(model), h200, RATED)

    def shape(self, model: str) -> shape.Shape:
        found = shape.of_facts(self._entries[model])
        assert found is not None
        return found

    def like(self, model: str, known: Mapping[str, Any]) -> list[Any]:
        """Return what was measured of a model, else of those that are like it: mixtures of experts or not."""
        if model in known:
            return [known[model]]
        moe = bool(self.shape(model).experts)
        return [value for name, value in known.items() if bool(self.shape(name).experts) == moe]

    def start_s(self, model: str) -> tuple[float, float]:
        """Return the seconds of a start with a compile cache, and how much longer one without takes."""
        entry = self._entries[model]
        again, first = (
            statistics.median(seconds for found in self.like(model, known) for seconds in found)
            for known in (AGAIN, FIRST)
        )
        return again + entry["facts"]["weights_gb"] * 1e9 / LOADED_BYTES_PER_S, first - again

    def answer_s(self, model: str, asked: Sequence[starts.Asked]) -> float:
        """Return the seconds in which an engine answers all that it is asked.

        Pairs are added up, each with as many requests at once as the cache has room for; the longest answers, which
        end alone, count once.
        """
        even = [self._forecast(model, one._replace(longest=0)) for one in asked]
        ends = [self._forecast(model, one) - plain for one, plain in zip(asked, even, strict=True)]
        return (sum(even) + max(ends)) * statistics.median(self.like(model, self.quotients))

    def _forecast(self, model: str, asked: starts.Asked) -> float:
        found = starts.forecast(
            *(model, self._entries[model], self.shape(model), [asked]),
            *("cuda", cost.ASSUMED.name, self._memory),
        )
        assert found.answer_s is not None
        return found.answer_s.value


def selected(per_engine: int | None, large: int = 1, thinkers: bool = True) -> Run:
    """Return the run of the registry's 37 models on `DATASETS`; the small default model is none of them.

    Args:
        per_engine: pairs of an engine start; None for all of a model.
        large: GPUs for each model of more than `LARGE_GB`.
        thinkers: whether models that think for thousands of tokens take part.
    """
    names, models = (
        yaml.safe_load((ROOT / "config" / f"{kind}.yaml").read_text("utf-8"))
        for kind in ("categories", "models")
    )
    without = [name for name in models if "thinking_tokens" in models[name] and not thinkers]
    spread = [name for name, entry in models.items() if entry["facts"]["weights_gb"] > LARGE_GB]
    run = {
        "categories": list(names),
        "datasets": list(DATASETS),
        "exclude_models": ["smollm2_135m", *without],
        "pairs_per_engine": per_engine,
    }
    return load({"run": run, "models": {name: {"gpus": large} for name in spread}}, ROOT)


def asked_of(run: Run) -> dict[Pair, starts.Asked]:
    """Return what each pair asks, from the registry's facts alone: nothing has been fetched or answered."""
    found = {}
    with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):
        planner = Planner(run)
        for pair in run.pairs:
            asked = planner.plan(pair, Reason(Step.ANSWER, "new")).asked
            assert asked is not None, f"{pair.dataset}: the registry does not say how many rows"
            found[pair] = asked
    return found


def jobs_of(run: Run, asked: Mapping[Pair, starts.Asked]) -> list[Job]:
    """Return the jobs of a run with nothing finished, models and datasets fetched before."""
    engines, parts = Engines(run), defaultdict(list)
    for pair in run.pairs:
        parts[pair.model, pair.part].append(pair)
    jobs = []
    for (model, part), pairs in parts.items():
        again, more = engines.start_s(model)
        engine = f"generate {model} {part}"
        jobs.append(
            Job(
                name=engine,
                seconds=engines.answer_s(model, [asked[pair] for pair in pairs]),
                gpus=parallel.gpus(run.entry(model)),
                priority=50,
                start_s=again,
                cold_s=more,
                cache=model,
            )
        )
        for pair in pairs:
            name, dataset = f"{model} {pair.dataset}", run.datasets[pair.dataset]
            answers = dataset["about"]["rows"]
            score_s = SCORE_START_S + answers / SCORED_PER_CPU_S[dataset["task"]]
            jobs.append(Job(f"predictions {name}", COLLECT_S, needs=(engine,)))
            jobs.append(Job(f"score {name}", score_s, needs=(f"predictions {name}",)))
    scores = tuple(job.name for job in jobs if job.name.startswith("score"))
    return [*jobs, Job("report", REPORT_S, needs=scores)]


# -- what comes of it ------------------------------------------------------------------------------


def drawn(jobs: Sequence[Job], gpus: int, cores: int) -> list[list[Span]]:
    """Return the schedules of several orders of the jobs, the shortest first."""
    found = []
    for seed in range(ORDERS):
        order = list(jobs)
        random.Random(seed).shuffle(order)
        found.append(simulate(order, gpus, cores))
    return sorted(found, key=wall_s)


def wall_s(spans: Iterable[Span]) -> float:
    """Return the seconds until the last job has ended."""
    return max(span.end for span in spans)


def line(spans: Sequence[Span], gpus: int) -> dict[str, Any]:
    """Return what a schedule says, in hours and shares."""
    engines = [span for span in spans if span.job.gpus]
    held = sum((span.end - span.begin) * len(span.gpus) for span in engines)
    wall, answered = wall_s(spans), max(span.end for span in engines)
    longest = max(engines, key=lambda span: span.end - span.begin)
    return {
        "wall h": wall / 3600,
        "GPU h": held / 3600,
        "starts": len(engines),
        "starting %": 100 * sum(span.start_s * len(span.gpus) for span in engines) / held,
        "idle %": 100 * (1 - held / (gpus * wall)),
        "GPU h / GPUs": held / gpus / 3600,
        "idle, too few h": too_few(engines, gpus) / 3600,
        "longest start h": (longest.end - longest.begin) / 3600,
        "after the last GPU min": (wall - answered) / 60,
        "limited by": limit(spans, gpus),
    }


def too_few(engines: Sequence[Span], gpus: int) -> float:
    """Return the GPU-seconds that lay idle while a start on several GPUs, ready from the first, waited for more."""
    begun = max((span.begin for span in engines if span.job.gpus > 1), default=0.0)
    held = sum(max(0.0, min(span.end, begun) - span.begin) * len(span.gpus) for span in engines)
    return gpus * begun - held


def limit(spans: Sequence[Span], gpus: int) -> str:
    """Say what keeps a schedule from being shorter: the GPUs' work, one engine start, processors, or the packing."""
    engines = [span for span in spans if span.job.gpus]
    held = sum((span.end - span.begin) * len(span.gpus) for span in engines)
    longest = max(engines, key=lambda span: span.end - span.begin)
    bounds = {
        "the GPUs' work": held / gpus,
        f"one engine start, {longest.job.name.removeprefix('generate ')}": longest.end
        - longest.begin,
        "one after the other on the cores": wall_s(spans) - max(span.end for span in engines),
    }
    name = max(bounds, key=bounds.__getitem__)
    return name if bounds[name] > NEARLY * wall_s(spans) else f"packing, then {name}"


def table() -> list[dict[str, Any]]:
    """Return a row for each number of GPUs and way to cut the work: the median of the orders, and the best order."""
    rows = []
    for (variant, given), per_engine in itertools.product(VARIANTS.items(), PAIRS_PER_ENGINE):
        run = selected(per_engine, **given)
        jobs = jobs_of(run, asked_of(run))
        by_length = sorted(jobs, key=lambda job: -job.start_s - job.seconds)
        for gpus, cores in PLACES:
            if gpus < max(job.gpus for job in jobs):
                continue
            orders = drawn(jobs, gpus, cores)
            rows.append(
                {"GPUs": gpus, "cores": cores, "variant": variant}
                | {"pairs": len(run.pairs), "pairs an engine": per_engine or "all"}
                | line(orders[ORDERS // 2], gpus)
                | {"longest first h": wall_s(simulate(by_length, gpus, cores)) / 3600}
            )
    return rows
