"""What the rules ask while Snakemake reads them: which files a run needs, and which of them are missing.

A key is part of a pair's path, so a file that exists is right. `predictions`, `score` and the fetch
rules therefore admit only what is missing: an existing file has no producer, and nothing makes it stale.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from snakeval import at_work, endpoint, leash, oracle, parallel
from snakeval.errors import ConfigError, EngineError, SnakevalError
from snakeval.quantization import environment
from snakeval.records import canonical_json
from snakeval.registry import Pair, Run, load, quantized
from snakeval.registry.run import Missing, missing
from snakeval.registry.selection import BASELINE, CONFIRM

METRICS, PREDICTIONS, VERDICTS = "metrics.json", "predictions.jsonl", "verdicts.jsonl"
SUMMARY = Path("results/summary/provenance.json")
REPORT = Path("reports/index.html")
KEYED = ("benchmarks", "datasets", "models", "oracle", "pairs")  # folders; what exists is right
OTHER_TARGETS = frozenset(
    {
        *("benchmark", "compare", "export", "lock", "oracle"),
        *("preflight", "prune", "quantize", "quantizer", "redo", "status"),
    }
)  # they make no pairs


class Plan:
    """A run and the files around it, as input functions and wildcard constraints.

    Args:
        run: the resolved run.
        path: where it was saved, for the jobs.
        chosen: whether the user named models or datasets for this run.
        root: the working directory.
        gpu_limit: how many GPUs Snakemake may give out at a time; None where nothing limits it.
        workflow: Snakemake's own object; None without Snakemake.
        started: when the run began, by the clock that dates the files; None for now.
    """

    def __init__(
        self,
        run: Run,
        path: Path,
        chosen: bool,
        root: Path = Path(),
        gpu_limit: int | None = None,
        workflow: Any = None,
        started: float | None = None,
    ) -> None:
        self._workflow = workflow
        self.run, self.path, self._gpu_limit = run, str(path), gpu_limit
        self._chosen = chosen
        self.only_chosen = "--chosen" if chosen else ""
        self._started, self._began = started or time.time(), (time.time(), time.monotonic())
        self._pairs = {(pair.model, pair.dataset): pair for pair in run.pairs}
        lacking = {pair: missing(pair, root) for pair in run.pairs}
        unanswered = [pair for pair, files in lacking.items() if files.predictions]
        self._unjudged = [pair for pair, files in lacking.items() if files.verdicts]
        # Scores of predictions or verdicts that are made anew are made anew too.
        anew = {pair.key for pair in (*unanswered, *self._unjudged)}
        unscored = [pair for pair, files in lacking.items() if pair.key in anew or files.scores]
        keys = [pair.key for pair in run.pairs]
        self._unanswered: dict[tuple[str, int], list[Pair]] = {}
        for pair in unanswered:
            self._unanswered.setdefault((pair.model, pair.part), []).append(pair)
        self._unchecked = frozenset(model for model, _ in self._unanswered)  # by _check_gpus
        asked = list(run.entries())
        models = {model: run.model_status(model) for model in asked}
        samples = [run.samples(dataset) for dataset in run.datasets]
        self.constraints = {
            "model": "|".join(asked),
            "dataset": "|".join(run.datasets),
            "part": "[0-9]+",
            "key": "[0-9a-f]{12}",
            "judging": "[0-9a-f]{12}",
            "scorer": "[0-9a-f]{12}",
        }
        self.missing_keys = only([pair.key for pair in unanswered], keys)
        self.missing_verdicts = only(
            [str(pair.judging) for pair in self._unjudged],
            [pair.judging for pair in run.pairs if pair.judging],
        )
        self.missing_scores = only([pair.key for pair in unscored], keys)
        self._quantized = [model for model in asked if quantized.made_here(run.entry(model))]
        self.missing_quantized, self.missing_models = (
            _only_missing(
                [path for model, path in models.items() if (model in self._quantized) == made_here],
                root,
                known=models.values(),
            )
            for made_here in (True, False)
        )
        self.quantizer = str(environment.marker())
        self.missing_datasets = _only_missing(samples, root, ".json")
        oracles = [run.oracle(dataset) for dataset in run.datasets]
        self.oracles = list(map(str, oracles))
        self.missing_oracles = _only_missing(oracles, root)
        benchmarks = [run.benchmark(model) for model in run.models]
        self.benchmarks = list(map(str, benchmarks))
        self.missing_benchmarks = _only_missing(benchmarks, root)
        self.scores = [f"{pair.score_folder()}/{METRICS}" for pair in run.pairs]
        summary = (root / SUMMARY).exists()
        self.pair_files = [
            path for pair in unscored for path in _asked_for(pair, lacking[pair], summary)
        ]

    def wanted(self, _wildcards: Any) -> list[str]:
        """Return the pairs' files that have to be asked for. One run at a time makes them."""
        workflow = self._workflow
        executed = workflow is not None and workflow.executor_plugin is not None
        if executed and workflow.is_main_process and not workflow.dryrun:
            try:
                at_work.hold_results(Path())
            except SnakevalError as error:
                _refuse(error)
        return self.pair_files

    def engine_inputs(self, wildcards: Any) -> dict[str, list[str]]:
        """Return what an engine start needs: its model, and the samples of its missing pairs."""
        self._check_gpus(self._unchecked)
        self._unchecked = frozenset()
        datasets = [
            pair.dataset
            for pair in self._unanswered.get((wildcards.model, int(wildcards.part)), ())
        ]
        return {
            "model": [str(self.run.model_status(wildcards.model))],
            "statuses": [str(self.run.dataset_status(dataset)) for dataset in datasets],
            "samples": [str(self.run.samples(dataset)) for dataset in datasets],
        }

    def engine_outputs(self, wildcards: Any) -> dict[str, str]:
        """Return what a pair's engine start leaves behind."""
        pair = self._pairs[wildcards.model, wildcards.dataset]
        return {"status": str(pair.engine_status()), "requests": str(pair.engine_requests())}

    def judge_inputs(self, wildcards: Any) -> dict[str, list[str]]:
        """Return what the judge's start needs: the model, and the answers that it lacks verdicts on.

        Of answers that are made in the same run it waits for their engine start and not for their files,
        so that a model that fails does not keep the others' answers from being judged.
        """
        self._check_gpus([wildcards.model])
        pairs = [*self._unjudged]
        baselines = [self.run.baseline(pair) for pair in self._unjudged]
        pairs += [pair for pair in dict.fromkeys(baselines) if pair and pair not in pairs]
        made = [pair for pair in pairs if pair in self._unanswered.get((pair.model, pair.part), ())]
        starts = dict.fromkeys(pair.engine_status() for pair in made)
        return {
            "model": [str(self.run.model_status(wildcards.model))],
            "samples": [
                str(self.run.samples(dataset))
                for dataset in dict.fromkeys(pair.dataset for pair in pairs)
            ],
            "answers": [str(pair.folder() / PREDICTIONS) for pair in pairs if pair not in made],
            "statuses": [str(status) for status in starts],
            "requests": [str(status.with_suffix(".requests")) for status in starts],
        }

    def judge_outputs(self, wildcards: Any) -> dict[str, str]:
        """Return what the judge's start leaves behind, and the answers that it was about."""
        pair = self._pairs[wildcards.model, wildcards.dataset]
        status = self.run.judge_engine()
        return {
            "status": str(status),
            "requests": str(status.with_suffix(".requests")),
            "predictions": str(pair.folder() / PREDICTIONS),
        }

    def score_inputs(self, wildcards: Any) -> dict[str, str]:
        """Return what a pair's scores are made from."""
        pair = self._pairs[wildcards.model, wildcards.dataset]
        files = {
            "samples": self.samples(wildcards),
            "predictions": str(pair.folder() / PREDICTIONS),
        }
        return files | ({"verdicts": str(pair.verdict_folder() / VERDICTS)} if pair.judging else {})

    def model(self, wildcards: Any) -> str:
        """Return what an engine start needs that measures a model: its status; a server is not measured."""
        if served := [name for name, entry in self.run.models.items() if entry["endpoint"]]:
            _refuse(
                SnakevalError(
                    "benchmark",
                    f"{', '.join(served)}, which a server holds",
                    "weights that are loaded here",
                    f"Leave them out: exclude_models={','.join(served)}. How fast a server is, its own machine tells "
                    "best, with `vllm bench serve` or its like.",
                )
            )
        self._check_gpus([wildcards.model])
        return str(self.run.model_status(wildcards.model))

    def base(self, wildcards: Any) -> str:
        """Return the status of the model that a model is quantized from."""
        return str(self.run.model_status(self.run.entry(wildcards.model)["base_model"]))

    def quantizing_gpus(self, wildcards: Any) -> int:
        """Return the number of GPUs that quantizing a model takes: none where it is small."""
        return int(not self.run.entry(wildcards.model)["runs_on_cpu"])

    def quantized(self, _wildcards: Any) -> list[str]:
        """Return the statuses of the chosen models that are quantized here; without one there is no sense in asking."""
        chosen = [model for model in self._quantized if model in self.run.models]
        if not chosen:
            made = "such as smollm2_135m_awq: snakemake quantize --cores 1 --config models=smollm2_135m_awq"
            _refuse(
                SnakevalError(
                    "quantize",
                    "no model that is quantized here",
                    "one with source.quantize",
                    f"Choose one, {made}",
                )
            )
        return [str(self.run.model_status(model)) for model in chosen]

    def samples(self, wildcards: Any) -> str:
        """Return a dataset's normalised samples."""
        return str(self.run.samples(wildcards.dataset))

    def gpus(self, wildcards: Any) -> int:
        """Return the number of GPUs that an engine of a model takes."""
        return parallel.gpus(self.run.entry(wildcards.model))

    def _check_gpus(self, models: Iterable[str]) -> None:
        """End Snakemake if an engine that is to be started takes more GPUs than it may give out."""
        entries = {model: self.run.entry(model) for model in models}
        if errors := list(parallel.over_limit(entries, self._gpu_limit)):
            _refuse(ConfigError(errors))

    def missing_keys_of_endpoints(self) -> Iterator[str]:
        """Yield which endpoint that is to be asked has no key in the environment, and what to do."""
        judges = [self.run.settings["judge"]] if self._unjudged else []
        for model in dict.fromkeys([*(model for model, _ in self._unanswered), *judges]):
            if served := self.run.entry(model)["endpoint"]:
                try:
                    endpoint.key(served)
                except EngineError as error:
                    yield f"model {model}: {error}"

    def beside_runs(self, _wildcards: Any) -> list[str]:
        """Ask for no file, and have Snakemake leave locks alone: what makes no result meets no run's files.

        Otherwise Snakemake 9, when it ends, would remove the locks of all others that are at work here.
        """
        if self._workflow is not None:
            self._workflow.persistence.lock = self._workflow.persistence.noop
        return []

    def prune_input(self, wildcards: Any) -> list[str]:
        """Ask for no file; what is to be removed, is while no other Snakemake is at work here."""
        if self.run.settings[CONFIRM]:
            try:
                at_work.hold_alone(Path())
            except SnakevalError as error:
                _refuse(error)
        return self.beside_runs(wildcards)

    def given(self, _wildcards: Any) -> str:
        """Return what was given by --configfile and --config, as JSON."""
        return canonical_json(dict(self._workflow.config))

    def redo_input(self, wildcards: Any) -> str:
        """Return the run whose pairs `redo` drops; without a choice it would drop all, and refuses."""
        self.beside_runs(wildcards)
        if not self._chosen:
            _refuse(
                SnakevalError(
                    "redo",
                    "neither models nor datasets",
                    "the pairs to make anew",
                    "For example: snakemake redo --cores 1 --config models=smollm2_135m datasets=humaneval",
                )
            )
        return self.path

    def compare_input(self, wildcards: Any) -> str:
        """Return the run whose settings say what `compare` compares with; without a baseline it refuses."""
        self.beside_runs(wildcards)
        if self.run.settings[BASELINE] is None:
            _refuse(
                SnakevalError(
                    "compare",
                    "no baseline",
                    "an earlier run's results/summary",
                    "For example: snakemake compare --cores 1 --config baseline=baselines/NAME",
                )
            )
        return self.path

    def begin(self) -> None:
        """Have Snakemake forget that it was killed before it saw a file come that is there: no job makes it again."""
        from snakemake.io import IOFile  # only Snakemake itself comes here

        if any(Path(".snakemake/incomplete").glob("*")):
            for folder in KEYED:
                for path in Path("results", folder).rglob("*.json*"):
                    self._workflow.persistence.cleanup_metadata(IOFile(str(path)))

    def close(self, targets: Collection[str]) -> None:
        """Report on what is there after a run of pairs in which something failed.

        Args:
            targets: what Snakemake was asked for; nothing stands for all pairs.
        """
        if targets and OTHER_TARGETS.issuperset(targets):
            return
        script = "workflow/scripts/close_run.py"
        command = [sys.executable, script, "--run", self.path, "--since", str(self._since())]
        subprocess.run(command, check=False)

    def _since(self) -> float:
        """Return when the run began, by the clock as it goes now: it may have been set back meanwhile."""
        wall, steady = self._began
        set_back = (time.time() - wall) - (time.monotonic() - steady)
        return self._started + min(0.0, set_back)

    def finish(self) -> None:
        """Say where the report lies, and on which datasets the oracle has not been asked."""
        if REPORT.exists() and REPORT.stat().st_mtime >= self._since():
            if never := oracle.never_passed(list(self.run.datasets)):
                print(
                    f"warning: not checked that right answers score 1 and wrong ones do not: {', '.join(never)}. "
                    f"To check: snakemake oracle --cores 1 --config datasets={','.join(never)}",
                    file=sys.stderr,
                )
            print(f"Report: {REPORT}", file=sys.stderr)


def _asked_for(pair: Pair, lacking: Missing, summary: bool) -> Iterator[str]:
    """Yield which missing files have to be asked for, beside the summary, so that all of them are made.

    A job runs for a missing file that is asked for. A summary that is not there yet asks for each pair's
    metrics itself (asking twice costs a tenth of a large dry run); one that is there does not, even where
    they are gone. Scores that are made ask for missing predictions and verdicts.
    """
    predictions, verdicts, scores = lacking
    if scores and (summary or f"{pair.score_folder()}/{METRICS}" not in scores):
        yield scores[0]
    if predictions and not (scores and f"{pair.folder()}/{PREDICTIONS}" in predictions):
        yield predictions[0]
    if verdicts and not (scores and f"{pair.verdict_folder()}/{VERDICTS}" in verdicts):
        yield verdicts[0]


def _only_missing(
    paths: Collection[Path], root: Path, beside: str = "", known: Collection[Path] = ()
) -> str:
    """Return a regular expression that admits the names of the files that are not there.

    Args:
        paths: the files, named by hexadecimal digits.
        root: the working directory.
        beside: the ending of another file that must be there too; "" for none.
        known: further files, whose names it must not admit.
    """
    lacking = [
        path.stem
        for path in paths
        if not (root / path).exists() or (beside and not (root / path.with_suffix(beside)).exists())
    ]
    return only(lacking, [path.stem for path in (*paths, *known)])


def only(wanted: Collection[str], known: Collection[str]) -> str:
    """Return a regular expression that admits the wanted ones of the known hexadecimal names.

    It says no more than it takes to tell them from the others, so it is short where few or nearly all
    are wanted, and quick in every case. Names that are not known may match.
    """
    others = set(known) - set(wanted)
    return _only([name for name in known if name not in others], sorted(others))


def _only(wanted: list[str], others: list[str]) -> str:
    if not wanted:
        return "(?!)"
    if not others:
        return "[0-9a-f]+"
    branches, free = [], ""
    for digit in "0123456789abcdef":
        inside = [name[1:] for name in wanted if name.startswith(digit)]
        outside = [name[1:] for name in others if name.startswith(digit)]
        if inside and outside:
            branches.append(digit + _only(inside, outside))
        elif inside:
            free += digit
    if free:
        branches.append(f"[{free}][0-9a-f]*")
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


def start(workflow: Any, config: Mapping[str, Any]) -> Plan:
    """Resolve the run and make the process ready for its jobs; called once by `common.smk`.

    A user's mistake is printed as its lines alone and ends Snakemake with exit code 2.

    Args:
        workflow: Snakemake's workflow object.
        config: what was given by --configfile and --config.
    """
    root = Path.cwd()
    try:
        if not Path(workflow.basedir).samefile(root):
            raise SnakevalError(
                "working directory",
                str(root),
                f"{workflow.basedir}, the repository's folder",
                "Change there and run the same command again.",
            )
        run = load(config, root)
        started = None
        if workflow.is_main_process:
            started = at_work.hold(root)
            for note in run.notes:
                print(f"note: {note}", file=sys.stderr)
            for pair in run.left_out:
                print("left out: {model} on {dataset}: {reason}".format(**pair), file=sys.stderr)
        _use_this_python()
        limit = _gpu_limit(workflow)
        path = run.save(root)
        plan = Plan(run, path, chosen(config), gpu_limit=limit, workflow=workflow, started=started)
        for line in plan.missing_keys_of_endpoints() if workflow.is_main_process else ():
            print(f"warning: {line}", file=sys.stderr)
        return plan
    except SnakevalError as error:
        _refuse(error)


def _gpu_limit(workflow: Any) -> int | None:
    """Return what `--resources gpu=` says to the Snakemake that plans; its jobs have what they were given."""
    limit = workflow.global_resources.get("gpu")
    value = getattr(limit, "value", limit)  # a plain number before Snakemake 9.22
    return value if workflow.is_main_process and isinstance(value, int) else None


def _refuse(error: SnakevalError) -> NoReturn:
    """End Snakemake. An exception would be reported with the line of `common.smk`, which is no help."""
    for line in str(error).splitlines():
        print(f"error: {line}", file=sys.stderr)
    sys.exit(2)


def chosen(config: Mapping[str, Any]) -> bool:
    """Whether models or datasets were named by --config or --configfile."""
    nested = config.get("run")
    given = {**(nested if isinstance(nested, Mapping) else {}), **config}
    named = (given.get(key) for key in ("models", "datasets"))
    return any(value and not isinstance(value, Mapping) for value in named)


def _use_this_python() -> None:
    """Let `python` in shell commands be this interpreter, and jobs know the process they belong to."""
    folder = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "").split(os.pathsep)
    if path[0] != folder:
        os.environ["PATH"] = os.pathsep.join([folder, *path])
    os.environ[leash.VARIABLE] = str(os.getpid())
