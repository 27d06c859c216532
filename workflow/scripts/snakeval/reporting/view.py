"""What the report says, put together from the summary and the pairs' files; `page.py` renders it."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakeval import determinism
from snakeval.errors import StorageError
from snakeval.records import read_json
from snakeval.registry.lock import COMMIT
from snakeval.registry.protocol import Protocol, differences, protocol
from snakeval.registry.selection import BASELINE_MODEL
from snakeval.reporting import changes, couples, figures, forecasts, standings, standings_view
from snakeval.reporting.formats import (
    MISSING,
    amount,
    count,
    gibibytes,
    hundredths,
    joules,
    percent,
    seconds,
    several,
    watts,
)
from snakeval.reporting.isolation import Isolation
from snakeval.reporting.models import ModelView, by_model
from snakeval.reporting.noise import NoiseView, noise
from snakeval.reporting.overview import OverviewView, overview
from snakeval.reporting.pairs import STATES, PairFiles
from snakeval.reporting.performance_view import PerformanceView, performance
from snakeval.reporting.references import Compared, compared
from snakeval.reporting.samples import PAGE_CHARACTERS, PageSamples, SampleView, samples
from snakeval.reporting.time_limits import DatasetTimes, time_limits
from snakeval.sources.unavailable import label

if TYPE_CHECKING:
    from snakeval.registry import Pair, Run

    Keep = Callable[[Pair, SampleView], None]

SMALL_N = 100  # below it a 95 % interval is more than about 16 points wide
LARGE = 60  # pairs; of more, a page holds back what is out of sight
NOTABLE_SHARE = 0.05  # of answers that were cut off or not understood


@dataclass
class PairView:
    """One pair: its row in the leaderboard, its facts and its samples."""

    pair: Pair
    anchor: str
    model_title: str
    dataset_title: str
    row: dict[str, Any]  # of leaderboard.csv
    speed: dict[str, Any]  # of performance.csv
    metrics: dict[str, Any]
    meta: dict[str, Any]
    isolation: Isolation | None  # None where no programs were run
    protocol: Protocol
    references: list[Compared]  # beside published scores
    facts: list[tuple[str, str]]
    failures: list[tuple[str, int]]
    folder: str
    sensitive: bool
    total: int
    repeats: int
    samples: list[SampleView]  # that the page holds

    @property
    def hardware(self) -> str:
        """What answered."""
        return self.speed["gpu"] or ("endpoint" if is_served(self.meta) else "CPU")

    @property
    def title(self) -> str:
        """Model on dataset."""
        return f"{self.model_title} on {self.dataset_title}"

    @property
    def unsafe(self) -> bool:
        """Whether programs were run, and without isolation."""
        return self.isolation is not None and self.isolation.missing

    @property
    def held(self) -> list[Compared]:
        """The published scores that the result is held against."""
        return [one for one in self.references if one.reason is None]

    @property
    def outside(self) -> list[Compared]:
        """The published scores outside of whose band the result lies."""
        return [one for one in self.references if one.outside]

    @property
    def is_open(self) -> bool:
        """Whether answers were cut off, left in a thought, or could not be judged."""
        return bool(self.row["incomplete"] or self.row["unscored"])

    @property
    def open_ended(self) -> str:
        """What the answers that were not completed or not judged leave open."""
        row, done, bounds = self.row, self.metrics["completed_only"], self.metrics["bounds"]
        text = (
            f"{done['n']:,} answers were completed and judged: over them, {row['metric']} is "
            f"{percent(done['value'])}. Had the other {row['incomplete'] + row['unscored']:,} all been wrong, "
            f"it would be {percent(bounds['low'])} over all; had they all been right, "
            f"{percent(bounds['high'])}. {several(row['limit_hits'], 'answer')} reached the token limit"
        )
        if row["open_thoughts"] is not None:
            text += f", and {several(row['open_thoughts'], 'answer')} ended inside a thought"
        return f"{text}."

    @property
    def examples(self) -> list[SampleView]:
        """The first answer of each state; none of a dataset that is marked sensitive."""
        first = {sample.state: sample for sample in reversed(self.samples)}
        return [] if self.sensitive else [first[state] for state in STATES if state in first]

    def result(self) -> figures.Result:
        """Return what figures show."""
        row = self.row
        return figures.Result(
            label=self.model_title,
            value=row["value"],
            ci_low=row["ci_low"],
            ci_high=row["ci_high"],
            n=row["n"],
            states={state: row[state] for state in STATES},
            output_tokens_per_s=self.speed["output_tokens_per_s"],
            warnings=("no isolation",) if self.unsafe else (),
        )


@dataclass
class GroupView:
    """The results on a dataset by one protocol, from best to worst, and their figures, by name."""

    slug: str
    anchor: str  # the place of its dataset in the page
    title: str
    protocol: Protocol
    pairs: list[PairView]
    metric: str
    figures: dict[str, figures.Figure] = field(default_factory=dict)

    @property
    def runs_programs(self) -> bool:
        """Whether answers were run as programs."""
        return any(pair.isolation is not None for pair in self.pairs)

    @property
    def is_open(self) -> bool:
        """Whether some answers were cut off, left in a thought, or could not be judged."""
        return any(pair.is_open for pair in self.pairs)

    @property
    def thinks(self) -> bool:
        """Whether it was counted in how many answers a thought was left open."""
        return any(pair.row["open_thoughts"] is not None for pair in self.pairs)

    @property
    def is_held(self) -> bool:
        """Whether results are held against published scores."""
        return any(pair.held for pair in self.pairs)


@dataclass
class DatasetView:
    """One dataset and its results, those of each protocol apart.

    Args:
        slug: its name in the registry.
        anchor: its place in the page.
        title: for people.
        about: what its entry says about the protocol besides the other keys.
        groups: the results.
        differ: in what the protocols differ, in words; nothing where there is one.
    """

    slug: str
    anchor: str
    title: str
    about: str | None
    groups: list[GroupView]
    differ: list[str]

    @property
    def pairs(self) -> list[PairView]:
        """All results."""
        return [pair for group in self.groups for pair in group.pairs]

    @property
    def runs_programs(self) -> bool:
        """Whether answers were run as programs."""
        return any(group.runs_programs for group in self.groups)


@dataclass(frozen=True)
class Notice:
    """Something to know before believing a number, and which results it concerns."""

    text: str
    concerns: list[str]
    unfolded: bool = False


@dataclass(frozen=True)
class View:
    """The whole report."""

    title: str
    datasets: list[DatasetView]
    pairs: list[PairView]
    failures: list[dict[str, Any]]
    notices: list[Notice]
    provenance: dict[str, Any]
    left_out: list[dict[str, Any]]
    selected: int
    models: dict[str, str]
    couples: list[couples.CoupleView]
    standings: standings_view.StandingsView | None
    overview: OverviewView | None
    changes: changes.ChangesView | None
    by_model: list[ModelView]
    noise: NoiseView | None
    performance: PerformanceView | None
    time_limits: list[DatasetTimes]
    forecasts: list[forecasts.StartView]

    @property
    def unsafe(self) -> list[PairView]:
        """The results whose programs ran without isolation."""
        return [pair for pair in self.pairs if pair.unsafe]

    @property
    def groups(self) -> list[GroupView]:
        """The results on each dataset by each protocol."""
        return [group for dataset in self.datasets for group in dataset.groups]

    @property
    def large(self) -> bool:
        """Whether the page holds back what is out of sight."""
        return len(self.pairs) > LARGE

    @property
    def samples(self) -> int:
        """How many answers were judged."""
        return sum(pair.total for pair in self.pairs)


def build(
    run: Run,
    folder: Path,
    summary: Path,
    keep: Keep = lambda *_: None,
    before: Path | None = None,
) -> View:
    """Put the report's content together, figures apart.

    Args:
        run: the resolved run.
        folder: the working directory.
        summary: of this run.
        keep: is given every answer of every pair.
        before: the summary that the last report showed.

    Raises:
        StorageError: a file of the summary or of a pair is missing or broken.
    """
    speeds = {(row["model"], row["dataset"]): row for row in _table(summary / "performance.csv")}
    rows = {(row["model"], row["dataset"]): row for row in _table(summary / "leaderboard.csv")}
    finished = [pair for pair in run.pairs if (pair.model, pair.dataset) in rows]
    for pair in finished:
        if (key := rows[pair.model, pair.dataset]["key"]) != pair.key:
            raise StorageError(
                str(summary / "leaderboard.csv"),
                f"key {key} of {pair.model}/{pair.dataset}",
                pair.key,
                "Make the summary of this run first.",
            )
    made: dict[Pair, PairView] = {}
    left = PAGE_CHARACTERS
    # The smallest first: what they leave of their share is room for the others.
    for pair in sorted(finished, key=lambda pair: _total(rows[pair.model, pair.dataset])):
        page = PageSamples(max(0, left) // (len(finished) - len(made)))
        name = (pair.model, pair.dataset)
        made[pair] = _pair(run, PairFiles(folder, pair), rows[name], speeds[name], page, keep)
        left -= sum(sample.characters for sample in made[pair].samples)
    pairs = [made[pair] for pair in finished]
    datasets = list(_datasets(run, pairs))
    failures = read_json(summary / "failures.json")
    titles = {slug: str(entry["title"]) for slug, entry in run.models.items()}
    groups = [group for dataset in datasets for group in dataset.groups]
    models = {row["model"]: row for row in _table(summary / "models.csv")}
    provenance = read_json(summary / "provenance.json")
    ranked = standings_view.view(
        list(_table(summary / "standings.csv")),
        _table(summary / "differences.csv"),
        titles,
        {(g.pairs[0].pair.dataset, g.protocol.id): (g.title, g.anchor) for g in groups},
        run.settings.get(BASELINE_MODEL),
        {one["name"]: one["title"] for one in run.categories},
        {(pair.pair.model, pair.pair.dataset) for pair in pairs if pair.unsafe},
    )
    return View(
        title=_title(run, pairs),
        datasets=datasets,
        pairs=[pair for dataset in datasets for pair in dataset.pairs],
        failures=failures,
        notices=list(_notices(run, pairs)),
        provenance=provenance,
        left_out=list(run.left_out),
        selected=len(run.pairs),
        models=titles,
        couples=couples.views(
            run,
            folder,
            list(_table(summary / "comparisons.csv")),
            speeds,
            {(pair.pair.model, pair.pair.dataset): pair.meta for pair in pairs},
        ),
        standings=ranked,
        overview=(
            overview(groups, titles, models, ranked, failures, provenance) if groups else None
        ),
        changes=changes.changes(
            summary,
            before,
            [((pair.pair.model, pair.pair.dataset), pair.title, pair.anchor) for pair in pairs],
        ),
        by_model=by_model(groups, titles, models),
        noise=noise(run, folder, [(pair.pair, pair.title) for pair in pairs]),
        performance=performance(
            run,
            folder,
            list(models.values()),
            [(pair.pair, pair.title, pair.anchor) for pair in pairs],
            speeds,
        ),
        time_limits=time_limits(
            run,
            folder,
            [(pair.pair, pair.model_title, pair.anchor) for pair in pairs if pair.isolation],
        ),
        forecasts=forecasts.starts(run, folder, [(pair.pair, pair.meta) for pair in pairs]),
    )


def _table(path: Path) -> Iterator[dict[str, Any]]:
    """Read a summary table; empty cells become None, numbers numbers."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error
    for row in rows:
        yield {name: _cell(name, cell) for name, cell in row.items()}


def _cell(name: str, cell: str) -> Any:
    texts = ("model", "dataset", "metric", "sandbox", "key", "device", "gpu", "protocol")
    if name in texts or name in couples.TEXTS or name in standings.TEXTS:
        return cell or None
    if not cell:
        return None
    return int(cell) if re.fullmatch(r"-?\d+", cell) else float(cell)


def _title(run: Run, pairs: Sequence[PairView]) -> str:
    if len(run.pairs) == len(pairs) == 1:
        return pairs[0].title
    models = {pair.model for pair in run.pairs}
    datasets = {pair.dataset for pair in run.pairs}
    return f"{several(len(models), 'model')} on {several(len(datasets), 'dataset')}"


def _total(row: Mapping[str, Any]) -> int:
    return sum(row[state] for state in STATES)


def _pair(
    run: Run,
    files: PairFiles,
    row: dict[str, Any],
    speed: dict[str, Any],
    page: PageSamples,
    keep: Keep,
) -> PairView:
    pair = files.pair
    anchor = f"pair-{pair.model}-{pair.dataset}"
    dataset = run.datasets[pair.dataset]
    metrics, meta = files.metrics(), files.meta()
    failures: Counter[str] = Counter()
    repeats: set[int] = set()
    total = 0
    for sample in samples(files, anchor):
        total += 1
        repeats.add(sample.repeat)
        if sample.failure is not None:
            failures[sample.failure] += 1
        page.offer(sample)
        keep(pair, sample)
    isolation = Isolation.of(metrics, total)
    its_protocol = protocol(run, pair)
    return PairView(
        pair=pair,
        anchor=anchor,
        model_title=str(run.models[pair.model]["title"]),
        dataset_title=str(dataset["title"]),
        row=row,
        speed=speed,
        metrics=metrics,
        meta=meta,
        isolation=isolation,
        protocol=its_protocol,
        references=compared(run, pair, metrics, total // max(len(repeats), 1)),
        facts=list(_facts(run, pair, meta, metrics, speed, isolation, its_protocol)),
        failures=sorted(failures.items(), key=lambda item: (-item[1], item[0])),
        folder=pair.folder().as_posix(),
        sensitive=bool(dataset["sensitive"]),
        total=total,
        repeats=len(repeats),
        samples=page.chosen(),
    )


def _facts(
    run: Run,
    pair: Pair,
    meta: Mapping[str, Any],
    metrics: Mapping[str, Any],
    speed: Mapping[str, Any],
    isolation: Isolation | None,
    its_protocol: Protocol,
) -> Iterator[tuple[str, str]]:
    """Yield name and value of what a result depends on and of what it took."""
    model = run.models[pair.model]
    versions, memory = meta.get("versions") or {}, meta.get("memory") or {}
    gpu = meta.get("gpu")
    yield "model", _source(model)
    yield "model commit", meta.get("model_commit") or MISSING
    if made := meta.get("weights_id"):
        yield "weights made here", made
    if says := _server(meta):
        yield "the server says", says
    weights = "unknown: the server does not tell" if model["endpoint"] else "as in the checkpoint"
    yield "quantization", model["quantization"] or weights
    yield "dtype", model["dtype"]
    if mode := determinism.mode(model, meta.get("device")):
        yield "deterministic", mode
    yield "context", f"{model['max_model_len']:,} tokens"
    yield "protocol", f"{its_protocol.text} ({its_protocol.id})"
    yield "the model's own", its_protocol.own
    yield "sampling", ", ".join(f"{name} {value}" for name, value in model["sampling"].items())
    yield "dataset revision", meta.get("dataset_revision") or MISSING
    yield "engine", _engine(model["engine"], versions)
    yield (
        "versions",
        ", ".join(f"{name} {version}" for name, version in versions.items() if version),
    )
    without = "endpoint" if is_served(meta) else "none (CPU)"
    yield "GPU", f"{gpu['count']} × {gpu['name']}, driver {gpu['driver']}" if gpu else without
    yield "kernels", _joined(meta.get("kernels"))
    if smaller := _smaller_batch(meta):
        yield "smaller batch", smaller
    scorer = metrics["scorer"]
    yield "scored by", f"{scorer['task']}, version {scorer['version']}"
    if judging := metrics.get("judging"):
        yield "judge", str(run.entry(judging["judge"])["title"])
        yield "judge's commit", judging["judge_commit"] or MISSING
        yield "compared with", judging["baseline"] or "nothing"
    if isolation is not None:
        yield from isolation.facts()
    yield "prompt tokens", count(speed["prompt_tokens"])
    yield "output tokens", count(speed["completion_tokens"])
    if speed["hidden_tokens"]:
        yield "of them thoughts that the server did not show", count(speed["hidden_tokens"])
    yield "output tokens per second", amount(speed["output_tokens_per_s"])
    yield "latency, median", seconds(speed["latency_p50_s"])
    yield "latency, 95th percentile", seconds(speed["latency_p95_s"])
    yield "time to first token, median", seconds(speed["ttft_p50_s"])
    yield "time between tokens, median", seconds(speed["inter_token_p50_s"])
    yield "engine start", seconds(speed["start_s"])
    yield "of it loading weights", seconds(speed["load_s"])
    yield "of it compiling", seconds(speed["compile_s"])
    yield "generation", seconds(speed["generate_s"])
    yield "weights in memory", gibibytes(speed["weights_memory_bytes"])
    yield "peak memory", gibibytes(speed["peak_memory_bytes"])
    yield "tokens in the KV cache", count(memory.get("kv_cache_tokens"))
    yield "GPU utilisation", hundredths(speed["utilization_percent"])
    yield "mean power", watts(speed["power_w"])
    energy = joules(speed["joules"])
    missing = f"not measured ({'endpoint' if is_served(meta) else 'no GPU'})"
    yield "energy", missing if energy == MISSING and not gpu else energy


def is_served(meta: Mapping[str, Any]) -> bool:
    """Whether a pair was answered by a server of somebody else's."""
    return meta.get("device") == "endpoint"


def _server(meta: Mapping[str, Any]) -> str:
    """Return what the servers that answered said they were, each once."""
    said = (start.get("server") or {} for start in meta["engine_starts"])
    return "; ".join(dict.fromkeys(", ".join(server.values()) for server in said if server))


def _smaller_batch(meta: Mapping[str, Any]) -> str:
    """Return the limits of the batch where the entry's were too large for the GPU's memory, and the engine's words."""
    found = [
        dict(start["smaller_batch"]) for start in meta["engine_starts"] if "smaller_batch" in start
    ]
    words = [(batch.pop("because"), _joined(batch)) for batch in found]
    return "; ".join(dict.fromkeys(f"{limits}, after: {because}" for because, limits in words))


def is_pinned(source: Mapping[str, Any]) -> bool:
    """Whether a source always gives the same bytes: a full commit, an exact package, or a hash."""
    if "hub" in source:
        return COMMIT.fullmatch(str(source.get("revision") or "")) is not None
    if "package" in source:
        return "==" in source["package"] or bool(source.get("sha256"))
    return True  # local files are known by their content


def _source(model: Mapping[str, Any]) -> str:
    if endpoint := model["endpoint"]:
        return f"{endpoint['model']} at {endpoint['url']}"
    source = model["source"]
    if "hub" in source:
        text = f"{source['hub']} at {source.get('revision') or 'its newest revision'}"
    elif "package" in source:
        text = f"{source['file']} in {source['package']}"
    else:
        text = str(source["path"]) if "path" in source else label(source)
    return text if is_pinned(source) else f"{text} (unpinned)"


def _engine(engine: str, versions: Mapping[str, Any]) -> str:
    version = versions.get(engine)
    return f"{engine} {version}" if version else engine


def _joined(kernels: Any) -> str:
    if isinstance(kernels, Mapping):
        kernels = [f"{name}: {value}" for name, value in kernels.items()]
    return ", ".join(map(str, kernels or ())) or MISSING


def _datasets(run: Run, pairs: Sequence[PairView]) -> Iterator[DatasetView]:
    for slug, entry in run.datasets.items():
        its = [pair for pair in pairs if pair.pair.dataset == slug]
        if not its:
            continue
        title = str(entry["title"])
        together: dict[str, list[PairView]] = {}
        for pair in its:
            together.setdefault(pair.protocol.id, []).append(pair)
        groups = []
        for name, members in together.items():
            way, several = members[0].protocol, len(together) > 1
            members.sort(
                key=lambda pair: -1.0 if (value := pair.row["value"]) is None else value,
                reverse=True,
            )
            groups.append(
                GroupView(
                    slug=f"{slug}_{name}" if several else slug,
                    anchor=f"dataset-{slug}",
                    title=f"{title}: {way.title}" if several else title,
                    protocol=way,
                    pairs=members,
                    metric=str(members[0].row["metric"]),
                )
            )
        first, *others = (group.protocol for group in groups)
        parted = {name: None for other in others for name in differences(first, other)}
        yield DatasetView(
            slug=slug,
            anchor=f"dataset-{slug}",
            title=title,
            about=entry["protocol"],
            groups=groups,
            differ=list(parted),
        )


def _notices(run: Run, pairs: Sequence[PairView]) -> Iterator[Notice]:
    """Yield what limits the numbers, each with the results it concerns."""

    def concerned(say: Any) -> list[str]:
        return [f"{pair.title}{text}" for pair in pairs if (text := say(pair)) is not None]

    def share(name: str) -> Any:
        def say(pair: PairView) -> str | None:
            hits, total = pair.row.get(name, pair.metrics.get(name)) or 0, pair.total
            return f" ({hits:,} of {total:,})" if hits > NOTABLE_SHARE * total else None

        return say

    def small(pair: PairView) -> str | None:
        row = pair.row
        if row["n"] >= SMALL_N or row["ci_low"] is None:
            return None
        return f" (n = {row['n']}, {row['ci_low']:.0%} to {row['ci_high']:.0%})"

    def together(pair: PairView) -> str | None:
        found = pair.isolation
        return f" ({found.together:,} of {found.answers:,})" if found and found.together else None

    if outside := [
        f"{pair.title}: {one.ours} here; {one.published}" for pair in pairs for one in pair.outside
    ]:
        text = (
            "Outside the band around a published score. Look for a reason before you trust either: another "
            "protocol, other weights, answers that were cut off or not understood."
        )
        yield Notice(text, outside, unfolded=True)
    if run.settings.get("limit") is not None:
        text = f"Only the first {run.settings['limit']:,} samples of each dataset were run (limit)."
        yield Notice(f"{text} These numbers do not compare with those of whole datasets.", [])
    candidates = [
        ("Few samples: differences between models inside these intervals mean little.", small),
        (
            "Many answers reached the token limit; they count what came before it is worth, mostly 0.",
            share("limit_hits"),
        ),
        (
            "Thoughts were left open; these answers are incomplete. More thinking_tokens, or a longer context, "
            "may close them.",
            lambda pair: (
                f" ({pair.row['open_thoughts']:,} of {pair.total:,})"
                if pair.row["open_thoughts"]
                else None
            ),
        ),
        ("In many answers nothing was found that could be judged.", share("failed_extractions")),
        (
            "Prompts were cut to fit the context.",
            lambda pair: f" ({pair.row['cut_prompts']:,})" if pair.row["cut_prompts"] else None,
        ),
        (
            "Answers that the judge itself could not score are left out of the numbers.",
            lambda pair: f" ({pair.row['unscored']:,})" if pair.row["unscored"] else None,
        ),
        (
            "Some tests need the program's own objects and ran together with it, in its process: a "
            "program that hunts for its tests could have forged these verdicts.",
            together,
        ),
    ]
    for text, say in candidates:
        if concerns := concerned(say):
            yield Notice(text, concerns)
    unpinned = [
        str(run.models[slug]["title"])
        for slug in dict.fromkeys(pair.pair.model for pair in pairs)
        if (source := run.source(slug)) and not is_pinned(source)
    ]
    if unpinned:
        text = "The revision is not a commit: another day the same run may get other weights."
        yield Notice(text, unpinned)
    if served := dict.fromkeys(pair.model_title for pair in pairs if is_served(pair.meta)):
        text = (
            "Answered by an endpoint: which weights it holds is only what it says, another day it may hold "
            "others, and times are those seen from here."
        )
        yield Notice(text, list(served))
    pairs = [pair for pair in pairs if not is_served(pair.meta)]
    without_gpu = dict.fromkeys(pair.model_title for pair in pairs if not pair.meta.get("gpu"))
    if without_gpu:
        yield Notice(
            "Run without a GPU: speeds say nothing about a GPU, and energy was not measured.",
            list(without_gpu),
        )
    gpus = {(pair.meta.get("gpu") or {}).get("name") for pair in pairs}
    if len(gpus) > 1:
        yield Notice("The models ran on different hardware: do not compare their speeds.", [])
