"""The forecast of one engine start: what it will be asked, and what that will take."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from snakeval import gpu
from snakeval.forecast import Estimate, cost, history, memory, shape, total
from snakeval.records import read_json, read_jsonl

if TYPE_CHECKING:
    from snakeval.answering import Work
    from snakeval.registry import Run

# Of the token limit, what answers to a dataset that was never answered take: the likely share, least and most.
# SmolLM2-135M took a third of it on HumanEval (docs/h100.md).
UNSEEN = (0.33, 0.05, 1.0)
SAME_MODEL, OTHER_MODEL = 1.2, 2.0  # how far a mean of earlier answers may be off
ROOM = 0.9  # of the KV cache, what requests of different lengths fill


class Asked(NamedTuple):
    """What one pair asks of an engine.

    Attributes:
        requests: prompts; several for a sample with choices or turns.
        prompt_tokens: of all prompts.
        completion_tokens: of all answers.
        longest: the token limit of an answer; 0 where likelihoods are asked.
    """

    requests: float
    prompt_tokens: float
    completion_tokens: Estimate
    longest: int


def completion_tokens(
    model: str,
    dataset: str,
    longest: int,
    turns: float = 1.0,
    judging: bool = False,
    root: Path = Path(),
) -> Estimate:
    """Return the tokens of one answer, of all its turns together.

    Args:
        model: who answers.
        dataset: what is answered.
        longest: the token limit of a turn; 0 where likelihoods are asked.
        turns: in one answer.
        judging: whether the answers are verdicts on a model's answers.
        root: the working directory.
    """
    most = longest * turns
    if not most:
        return Estimate(0.0, 0.0, 0.0, "likelihoods")
    earlier = history.judged(dataset, root) if judging else history.answered(model, dataset, root)
    if not earlier:
        source = f"{UNSEEN[0]:.0%} of the token limit"
        return Estimate(*UNSEEN, source).times(most)
    mean = min(statistics.fmean(one.completion_tokens for one in earlier), most)
    mine = earlier[0].model == model
    spread = SAME_MODEL if mine else OTHER_MODEL
    source = f"earlier answers of {'this model' if mine else 'other models'}"
    if judging:
        source = "earlier verdicts"
    return Estimate(mean, mean / spread, min(mean * spread, most), source)


def forecast(
    model: str,
    entry: Mapping[str, Any],
    its_shape: shape.Shape | None,
    asked: Sequence[Asked],
    device: str,
    gpu_name: str | None,
    gpu_memory: float,
    root: Path = Path(),
) -> cost.Cost:
    """Return what an engine start takes that is asked all of `asked`.

    Args:
        model: the model.
        entry: its registry entry.
        its_shape: its shape, None where that is not known.
        asked: by each pair.
        device: "cuda" or "cpu".
        gpu_name: the GPU's; None stands for an H100.
        gpu_memory: bytes that one GPU can give.
        root: the working directory.
    """
    requests = sum(one.requests for one in asked)
    prompts = sum(one.prompt_tokens for one in asked)
    tokens = total([one.completion_tokens for one in asked])
    streams = float(entry["engine_limits"]["max_num_seqs"])
    if its_shape is not None and device == "cuda" and requests:
        fits = memory.fit(entry, its_shape, gpu_memory)
        length = (prompts + tokens.value) / requests
        streams = max(1.0, min(streams, ROOM * fits.kv_tokens / max(length, 1.0)))

    def load(completion: float) -> cost.Load:
        longest = max((one.longest for one in asked), default=0)
        return cost.Load(requests, prompts, completion, longest, streams)

    def at(completion: float) -> cost.Cost:
        return cost.forecast(model, entry, its_shape, load(completion), device, gpu_name, root)

    likely = at(tokens.value)
    if likely.answer_s is None or tokens.low == tokens.high:
        return likely
    least, most = at(tokens.low), at(tokens.high)
    return cost.Cost(
        likely.start_s,
        _widened(likely.answer_s, least.answer_s, most.answer_s),
        likely.start_joules,
        _widened(likely.joules, least.joules, most.joules),
    )


def _widened(
    likely: Estimate | None, least: Estimate | None, most: Estimate | None
) -> Estimate | None:
    """Return an estimate with the low end of a second and the high end of a third."""
    if likely is None or least is None or most is None:
        return likely
    return likely._replace(low=least.low, high=most.high)


def shape_here(entry: Mapping[str, Any], folder: Path) -> shape.Shape | None:
    """Return the shape of a model that lies in a folder; None where its config.json tells too little."""
    config = read_json(folder / "config.json")
    return shape_of(entry, config, "config.json", stored_bytes(folder))


def stored_bytes(folder: Path) -> int | None:
    """Return the bytes of a model folder's weight files; None where it has none."""
    files = [path for kind in ("*.safetensors", "*.bin") for path in folder.glob(kind)]
    return sum(path.stat().st_size for path in files) or None


def shape_of(
    entry: Mapping[str, Any], config: Any, source: str, stored: int | None
) -> shape.Shape | None:
    """Return the shape that a config.json, else the registry's facts tell; None where neither does."""
    try:
        return shape.of_config(entry, config, source, stored)
    except (LookupError, TypeError, ValueError, AttributeError, StopIteration, ArithmeticError):
        return shape.of_facts(entry)


def record(
    run: Run, model: str, folder: Path, work: Sequence[Work], device: str, names: Sequence[str]
) -> dict[str, Any]:
    """Return the forecast of an engine start as it stands in the engine's journal.

    Args:
        run: the resolved run.
        model: the model.
        folder: its files.
        work: what it is asked, prompts rendered.
        device: "cuda" or "cpu".
        names: the GPUs that the engine gets.
    """
    entry = run.entry(model)
    asked = [asked_by(model, item) for item in work]
    found = gpu.kind(names) if device == "cuda" else None
    name, size = found or (None, 0)
    its_shape, room = shape_here(entry, folder), size * memory.NVML_SHARE
    expected = forecast(model, entry, its_shape, asked, device, name, room)
    fits = memory.fit(entry, its_shape, room) if its_shape and room else None
    return {
        "requests": sum(one.requests for one in asked),
        "prompt_tokens": sum(one.prompt_tokens for one in asked),
        "completion_tokens": total([one.completion_tokens for one in asked]).to_json(),
        "weights_bytes": fits.weights if fits else None,
        "kv_cache_tokens": fits.kv_tokens if fits else None,
        **{
            name: None if value is None else value.to_json()
            for name, value in vars(expected).items()
        },
    }


def asked_by(model: str, item: Work) -> Asked:
    """Return what one pair still asks; of a conversation only its next turn is known, the others are like it."""
    requests = list(item.missing.values())
    dataset = item.run.datasets[item.pair.dataset]
    judging = item.name != item.pair.dataset  # a judge's work has another name
    turns = 1.0 if judging else turns_left(requests, item.run.samples(item.pair.dataset), dataset)
    prompts = sum(len(request.token_ids) for request in requests)
    longest = max(
        (request.sampling["max_tokens"] for request in requests if not request.scored), default=0
    )
    one = completion_tokens(model, item.pair.dataset, longest, turns, judging)
    count = len(requests)
    prompt_tokens = count and count * said(prompts / count, one.value / turns, turns)
    return Asked(count * turns, prompt_tokens, one.times(count), longest)


def said(prompt: float, answer: float, turns: float) -> float:
    """Return the tokens of all prompts of a conversation, each of which holds what was said before."""
    return turns * (turns + 1) / 2 * prompt + turns * (turns - 1) / 2 * answer


def turns_left(requests: Sequence[Any], samples: Path, dataset: Mapping[str, Any]) -> float:
    """Return the mean number of turns of a dataset's conversations; 1 where it has none."""
    role = dataset["turns"]
    if not role or not requests:
        return 1.0
    return statistics.fmean(len(sample["inputs"][role]) for sample in read_jsonl(samples))
