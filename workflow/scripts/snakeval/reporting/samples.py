"""What one answer shows, and which answers of a pair the page itself holds; `browser.py` has them all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest
from operator import itemgetter
from typing import Any

from snakeval.records import Prediction, Prompt, Score, Timing
from snakeval.reporting.isolation import judged_together
from snakeval.reporting.pairs import PairFiles, failure_class
from snakeval.reporting.text import clip, line

PAGE_CHARACTERS = 3_000_000  # of samples in one page; what is escaped may take more bytes
FIELD_CHARACTERS = 12_000  # of one text in the page, and less where many pairs share it
FIELDS_A_ROOM = 5  # texts of full length in the room of one pair, which holds at least one answer
FIELD_LEAST = 400
ID_CHARACTERS = 120
SHOWN_FIRST = ("wrong", "incomplete", "unscored", "correct")  # where not all fit


@dataclass(frozen=True)
class SampleView:
    """One answer; texts are whole until `clipped`."""

    anchor: str
    id: str
    repeat: int
    state: str
    failure: str | None
    value: float | None
    prompt: str
    image: str | None  # the file that the prompt shows
    completion: str
    answer: str | None
    program: str | None  # as it was run, where that is not the answer itself
    target: str | None
    together: bool  # its tests ran in the program's process
    detail: str | None
    error: str | None
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int
    cut_tokens: int
    latency_s: float | None
    ttft_s: float | None

    @property
    def short_id(self) -> str:
        """The sample's name in one visible line."""
        return line(clip(self.id, ID_CHARACTERS))

    @property
    def texts(self) -> dict[str, str]:
        """The texts that are there, by name."""
        return {name: text for name in TEXTS if (text := getattr(self, name))}

    @property
    def characters(self) -> int:
        """How much room the sample takes in the page."""
        return sum(map(len, self.texts.values())) + 500

    def clipped(self, limit: int) -> SampleView:
        """Return the sample with no text longer than about `limit` characters."""
        long = {name: clip(text, limit) for name, text in self.texts.items() if len(text) > limit}
        return replace(self, **long) if long else self  # type: ignore[arg-type]


# Where each text comes from: a file of the pair's folder, or of that of its scores.
TEXTS = {
    "error": "predictions.jsonl",
    "detail": "scores.jsonl",
    "prompt": "prompts.jsonl",
    "completion": "predictions.jsonl",
    "answer": "scores.jsonl",
    "program": "scores.jsonl",
    "target": "scores.jsonl",
}


@dataclass
class PageSamples:
    """Which answers of a pair the page holds: all, or the first of each state in turn, as many as fit.

    `room` is in characters; at least one answer is held.
    """

    room: int
    _held: dict[str, list[tuple[int, SampleView]]] = field(default_factory=dict)
    _used: dict[str, int] = field(default_factory=dict)
    _count: int = 0

    def offer(self, sample: SampleView) -> None:
        """Look at the pair's next answer."""
        self._count += 1
        used = self._used.setdefault(sample.state, 0)
        if used <= self.room:  # no state can take more, whatever the others take
            limit = max(FIELD_LEAST, min(FIELD_CHARACTERS, self.room // FIELDS_A_ROOM))
            sample = sample.clipped(limit)
            self._held.setdefault(sample.state, []).append((self._count, sample))
            self._used[sample.state] = used + sample.characters

    def chosen(self) -> list[SampleView]:
        """Return the answers that the page holds, in their order."""
        states = [self._held[state] for state in SHOWN_FIRST if state in self._held]
        in_turn = [one for one in chain(*zip_longest(*states)) if one is not None]
        chosen: list[tuple[int, SampleView]] = []
        used = 0
        for one in in_turn:
            used += one[1].characters
            if chosen and used > self.room:
                break
            chosen.append(one)
        return [sample for _, sample in sorted(chosen, key=itemgetter(0))]


def samples(files: PairFiles, anchor: str) -> Iterator[SampleView]:
    """Yield a pair's answers as they are shown, in their order; `anchor` names the pair in the page.

    Raises:
        StorageError: as `PairFiles.asked`.
    """
    timings = files.timings()
    for number, (prompts, prediction, score) in enumerate(files.asked(), start=1):
        timing = timings.get((prediction["id"], prediction["repeat"]))
        yield _sample(f"{anchor}-{number}", _shown_prompt(prompts), prediction, score, timing)


def _shown_prompt(prompts: list[Prompt]) -> Prompt:
    """Return the prompt to show: of scored choices the first, of turns the last, which holds the others."""
    return [prompt for prompt in prompts if not prompt.get("choice")][-1]


def _sample(
    anchor: str, prompt: Prompt, prediction: Prediction, score: Score, timing: Timing | None
) -> SampleView:
    return SampleView(
        anchor=anchor,
        id=prediction["id"],
        repeat=prediction["repeat"],
        state=score["state"],
        failure=failure_class(score),
        value=score["value"],
        prompt=prompt["text"],
        image=prompt.get("image"),
        completion=prediction["completion"],
        answer=_text(score["answer"]),
        program=_text(score["detail"].get("program")),
        target=_text(score["target"]),
        together=judged_together(score),
        detail=_detail(score["detail"]),
        error=_text(prediction.get("error")),
        finish_reason=prediction["finish_reason"],
        prompt_tokens=prediction["prompt_tokens"],
        completion_tokens=prediction["completion_tokens"],
        cut_tokens=prediction["cut_tokens"],
        latency_s=timing["latency_s"] if timing else None,
        ttft_s=timing["ttft_s"] if timing else None,
    )


def _text(value: Any) -> str | None:
    """Return a value as text; a mapping of one text stands for that text."""
    if isinstance(value, Mapping) and len(value) == 1:
        value = next(iter(value.values()))
    if value is None:
        return None
    return value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)


def _detail(detail: Mapping[str, Any]) -> str | None:
    """Return what the judge says, one fact a paragraph; class, program and place are shown elsewhere."""
    facts = (
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in detail.items()
        if name not in ("class", "program", "judged") and value is not None
    )
    return "\n".join(facts) or None
