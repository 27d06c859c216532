"""How much a pair will ask: counted where samples and tokenizer are here, else from earlier answers or the registry."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from snakeval.errors import SnakevalError
from snakeval.forecast import history
from snakeval.forecast.starts import Asked, completion_tokens, said
from snakeval.generation import Generation
from snakeval.preflight.reasons import Reason
from snakeval.records import Sample, read_json, read_jsonl
from snakeval.registry import Pair, Run, quantized
from snakeval.registry.spec import answer_tokens

RENDERED = 200  # samples whose prompts are rendered, spread evenly over the dataset
TYPICAL_PROMPT = 220  # tokens, the median of the registry's datasets
TYPICAL = 4  # choices or turns of a sample of which none is here
LOOKED_AT = 50  # samples whose choices or turns are counted


@dataclass(frozen=True)
class Planned:
    """What a pair has and asks.

    Attributes:
        requests: all of the pair's; None where the number of its samples is not known.
        asked: those whose answers are not here; None where too little is known.
        exact: whether each prompt was counted.
        source: where the numbers come from.
        error: why its prompts cannot be made.
    """

    requests: float | None
    asked: Asked | None
    exact: bool
    source: str
    error: SnakevalError | None = None


class Planner:
    """Plans the pairs of a run; tokenizers are loaded once.

    Args:
        run: the resolved run.
        rendering: whether prompts are rendered where they can be; else all is guessed, at once.
    """

    def __init__(self, run: Run, rendering: bool = True) -> None:
        self._run, self._rendering = run, rendering
        self._tokenizers: dict[str, Any] = {}

    def plan(self, pair: Pair, reason: Reason) -> Planned:
        """Return how much a pair will ask."""
        model, dataset = (
            _ok(self._run.model_status(pair.model)),
            _ok(self._run.dataset_status(pair.dataset)),
        )
        if self._rendering and model is not None and dataset is not None:
            try:
                return self._counted(pair, model, int(dataset["rows"]))
            except SnakevalError as error:
                return Planned(None, None, False, "", error)
        return self._guessed(pair, reason, dataset)

    def _counted(self, pair: Pair, model: dict[str, Any], rows: int) -> Planned:
        """Render prompts, all or some of them, and look up which of them the journal lacks."""
        from snakeval import prompts

        run = self._run
        entry, dataset = run.entry(pair.model), run.datasets[pair.dataset]
        if pair.model not in self._tokenizers:
            place = model["tokenizer_path"]
            self._tokenizers[pair.model] = (
                prompts.load_tokenizer(place, entry) if place else prompts.Untokenized()
            )
        total = min(rows, run.settings["limit"] or rows)
        looked = _Some(run, pair, every=-(-total // RENDERED))
        looked.look(self._tokenizers[pair.model], quantized.weights(model))
        if looked.reason is not None:
            wrong = ("prompts that can be rendered", "See the reason.")
            raise SnakevalError(f"{pair.model} on {pair.dataset}", looked.reason, *wrong)
        assert looked.lines is not None
        scale = total / looked.seen if looked.seen else 0.0
        turns = _several(run, pair) if dataset["turns"] else 1.0
        missing = len(looked.missing) * scale
        mean = _mean([len(request.token_ids) for request in looked.missing.values()])
        if not model["tokenizer_path"]:  # its server counts
            mean = float((dataset["about"] or {}).get("prompt_tokens") or 0)
        longest = 0 if dataset["continuation"] else answer_tokens(entry, dataset)
        answer = completion_tokens(pair.model, pair.dataset, longest, turns)
        asked = Asked(
            requests=missing * turns,
            prompt_tokens=missing * said(mean, answer.value / turns, turns),
            completion_tokens=answer.times(missing),
            longest=longest,
        )
        exact = scale == 1.0 and not dataset["turns"] and bool(model["tokenizer_path"])
        source = "all prompts rendered" if scale == 1 else f"{looked.seen} samples rendered"
        requests = (
            total * run.settings["repeats"] * turns
            if dataset["turns"]
            else len(looked.lines) * scale
        )
        return Planned(requests, asked, exact, source)

    def _guessed(self, pair: Pair, reason: Reason, fetched: dict[str, Any] | None) -> Planned:
        run = self._run
        entry, dataset = run.entry(pair.model), run.datasets[pair.dataset]
        about, limit = dataset["about"] or {}, run.settings["limit"]
        rows = fetched["rows"] if fetched else about.get("rows")
        if rows is None and limit is None:
            return Planned(None, None, False, "the number of rows is not known before the fetch")
        answers = min(rows or limit, limit or rows) * run.settings["repeats"]
        several = _several(run, pair, fetched is not None)
        earlier = history.answered(pair.model, pair.dataset)
        longest = 0 if dataset["continuation"] else answer_tokens(entry, dataset)
        turns = several if dataset["turns"] else 1.0
        answer = completion_tokens(pair.model, pair.dataset, longest, turns)
        if earlier:
            prompt = statistics.fmean(one.prompt_tokens for one in earlier)
            source = "earlier prompts"
        else:
            choices = several if dataset["continuation"] else 1.0
            known = about.get("prompt_tokens")
            mean = (known or TYPICAL_PROMPT) * choices
            prompt = said(mean, answer.value / turns, turns)
            source = "the registry's facts" if known else "a typical prompt"
        left = max(0.0, answers - max(reason.held, reason.journalled / several))
        asked = Asked(left * several, left * prompt, answer.times(left), longest)
        return Planned(answers * several, asked, False, source)


class _Some(Generation):
    """A pair of which every so-many-th sample is rendered."""

    def __init__(self, run: Run, pair: Pair, every: int) -> None:
        super().__init__(run, pair)
        self._every = max(1, every)
        self.seen = 0

    def samples(self) -> Iterable[tuple[int, Sample]]:
        """Return the samples that are rendered, and their numbers."""
        for number, sample in islice(super().samples(), 0, None, self._every):
            self.seen += 1
            yield number, sample


def _several(run: Run, pair: Pair, here: bool = True) -> float:
    """Return how many requests a sample makes: its choices or turns."""
    dataset = run.datasets[pair.dataset]
    role = "choices" if dataset["continuation"] else dataset["turns"]
    if not role:
        return 1.0
    if not here:
        return float(TYPICAL)
    samples: Iterable[Sample] = islice(read_jsonl(run.samples(pair.dataset)), LOOKED_AT)
    return _mean([len(sample["inputs"][role]) for sample in samples]) or float(TYPICAL)


def _mean(values: list[int]) -> float:
    return statistics.fmean(values) if values else 0.0


def _ok(path: Path) -> dict[str, Any] | None:
    """Return the status of something that was fetched; None where it was not."""
    if not path.exists():
        return None
    status: dict[str, Any] = read_json(path)
    return status if status["status"] == "ok" else None
