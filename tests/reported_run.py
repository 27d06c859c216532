"""Makes the folder of a finished run out of records, for tests of tables and report."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from snakeval.records import read_json, write_json, write_jsonl
from snakeval.registry import Pair, Run, schema
from snakeval.reporting import Failure, report, summarize
from snakeval.reporting.figures import library
from snakeval.statistics import wilson

MODELS = {
    "tiny": (
        "Tiny 135M Instruct",
        {"package": "tiny==0.1", "file": "tiny.gguf", "sha256": "0" * 64},
    ),
    "medium": ("Medium Coder 7B Instruct (AWQ)", {"hub": "org/medium", "revision": "a" * 40}),
    "large": ("Large Coder 30B-A3B Instruct (AWQ)", {"hub": "org/large", "revision": "main"}),
}
SKILL = {"tiny": 0.2, "medium": 0.85, "large": 0.72}
RATE = {"tiny": 210.0, "medium": 2150.0, "large": 940.0}
DATASETS = {"humaneval": ("HumanEval", 164), "coding_sample": ("Advanced coding sample", 50)}
SANDBOX = {"level": "namespaces", "layers": ["user", "net", "landlock 7", "seccomp", "rlimits"]}
GPU = {"name": "NVIDIA H100 80GB HBM3", "driver": "580.95", "count": 1}


def make_run(
    root: Path,
    models: Sequence[str] = tuple(MODELS),
    datasets: Sequence[str] = tuple(DATASETS),
    samples: int | None = None,
    change: Callable[[dict[str, Any]], None] = lambda row: None,
    on_gpu: bool = True,
    repeats: int = 1,
) -> Run:
    """Write `results/` below `root`, always the same one.

    Args:
        root: the working directory.
        models: which of `MODELS`.
        datasets: which of `DATASETS`.
        samples: how many of each dataset; None takes all.
        change: is given every answer before it is written and may change it. It holds the fields of
            predictions, scores and prompts together.
        on_gpu: whether a GPU was there.
        repeats: answers to each sample.
    """
    run = empty_run(root, models, datasets, samples, repeats)
    answered = {}
    for pair in run.pairs:
        count = samples or DATASETS[pair.dataset][1]
        answered[pair] = list(_answers(pair, count, repeats, on_gpu))
        for answer in answered[pair]:
            change(answer)
    for pair, answers in answered.items():
        together = sum(
            stream_s(its) for other, its in answered.items() if other.model == pair.model
        )
        write_pair(root, run, pair, answers, on_gpu, together)
    return run


def empty_run(
    root: Path,
    models: Sequence[str],
    datasets: Sequence[str],
    samples: int | None = None,
    repeats: int = 1,
) -> Run:
    """Write what was fetched below `root`, and no pair."""
    run = Run(
        models={slug: _model(slug) for slug in models},
        datasets={slug: _dataset(slug) for slug in datasets},
        pairs=tuple(
            Pair(model, dataset, f"{m:06x}{d:06x}", "5c0" * 4, 0)
            for m, model in enumerate(models)
            for d, dataset in enumerate(datasets)
        ),
        settings={
            **{"limit": samples, "repeats": repeats, "seed": 0, "sandbox": {}, "report": {}},
            **{"judge": None, "judge_baseline": None, "judge_repeats": 1},
        },
    )
    for model in models:
        write_json(
            root / run.model_status(model),
            {"status": "ok", "reason": None, "commit": "c" * 40, "licence": "Apache-2.0"},
        )
    for dataset in datasets:
        write_json(
            root / run.dataset_status(dataset),
            {"status": "ok", "reason": None, "revision": "d" * 40, "sha256": "e" * 64},
        )
    return run


def stream_s(answers: Sequence[dict[str, Any]]) -> float:
    """Return the latencies of answers together."""
    return sum(answer["latency_s"] or 0.0 for answer in answers)


def write_pair(
    root: Path,
    run: Run,
    pair: Pair,
    answers: Sequence[dict[str, Any]],
    on_gpu: bool = True,
    together: float | None = None,
) -> None:
    """Write all files of a pair; `together` are the stream-seconds of its engine, None: the pair's alone."""

    def rows(*names: str) -> list[dict[str, Any]]:
        chosen = ("id", "repeat", *names)
        return [{name: row[name] for name in chosen if name in row} for row in answers]

    folder, scores = root / pair.folder(), root / pair.score_folder()
    tokens = ("prompt_tokens", "completion_tokens", "cut_tokens")
    write_jsonl(folder / "predictions.jsonl", rows("completion", "finish_reason", "error", *tokens))
    write_jsonl(folder / "prompts.jsonl", rows("text", "token_ids"))
    write_jsonl(folder / "timings.jsonl", rows("latency_s", "ttft_s"))
    write_json(folder / "meta.json", _meta(run, pair, answers, on_gpu, together))
    write_jsonl(scores / "scores.jsonl", rows("state", "value", "answer", "target", "detail"))
    write_jsonl(scores / "timings.jsonl", rows("seconds", "limit_s", "slowest_s"))
    write_json(scores / "metrics.json", _metrics(answers))


def pages(root: Path, run: Run, failures: Sequence[Failure] = ()) -> tuple[str, str]:
    """Summarize and report below `root`; return the report in HTML, without the library, and in Markdown."""
    summarize(run, root, root / "summary", failures)
    report(run, root, root / "summary", root / "reports")
    html, markdown = (
        (root / "reports" / name).read_text("utf-8") for name in ("index.html", "report.md")
    )
    return html.replace(library(), ""), markdown


def set_sandbox(root: Path, pair: Pair, sandbox: dict[str, Any] | None) -> None:
    """Let a pair's programs have been run in this way; None: it ran none."""
    path = root / pair.score_folder() / "metrics.json"
    write_json(path, read_json(path) | {"sandbox": sandbox})


def _model(slug: str) -> dict[str, Any]:
    title, source = MODELS[slug]
    entry = {
        "title": title,
        "source": source,
        "quantization": None if slug == "tiny" else "awq",
        "dtype": "bfloat16",
        "max_model_len": 4096,
        "licence": "Apache-2.0",
    }
    identity = {"source": source, "tokenizer": None, "chat_template": None}
    made = {"source_id": "50" * 6, "benchmark_id": "be" * 6, "identity": identity}
    return schema.filled(entry, "model") | made


def _dataset(slug: str) -> dict[str, Any]:
    title, rows = DATASETS[slug]
    entry = {
        "title": title,
        "task": "code_generation",
        "sources": [{"hub": f"org/{slug}", "split": "test"}],
        "fields": {"id": "id"},
        "prompt": {"chat": "Complete:\n{{ prompt }}", "completion": "{{ prompt }}"},
        "stop": {"completion": ["\ndef"]},
        "protocol": "All tests of the problem must pass.",
        "metric": "pass@1",
        "max_tokens": 512,
        "about": {"measures": "Adding.", "rows": rows},
    }
    filled: dict[str, Any] = schema.filled(entry, "dataset")
    return filled | {"source_id": "d5" * 6, "identity": {"samples": slug}}


def _answers(pair: Pair, count: int, repeats: int, on_gpu: bool) -> Any:
    chance = random.Random(f"{pair.model} {pair.dataset}")
    for number in range(count):
        for repeat in range(repeats):
            yield _answer(pair, number, repeat, chance, on_gpu)


def _answer(
    pair: Pair, number: int, repeat: int, chance: random.Random, on_gpu: bool
) -> dict[str, Any]:
    skill = SKILL[pair.model] * (0.8 if pair.dataset == "coding_sample" else 1)
    draw = chance.random()
    state = "correct" if draw < skill else "wrong"
    if draw > 0.96:
        state = "incomplete"
    if number == 7 and pair.model == "large":
        state = "unscored"
    verdict = {"correct": "passed", "incomplete": "syntax", "unscored": "judge_failed"}.get(state)
    verdict = verdict or chance.choice(["wrong_answer"] * 5 + ["exception"] * 3 + ["timeout"])
    prompt = (
        f"def add_{number}(numbers: list[int]) -> int:\n"
        f'    """Add {number} to the sum of the numbers.\n\n'
        f"    >>> add_{number}([1, 2])\n    {number + 3}\n"
        '    """\n'
    )
    body = f"    return sum(numbers) + {number if state == 'correct' else number + 1}\n"
    program = prompt + body
    detail: dict[str, Any] = {"class": verdict}
    if verdict == "wrong_answer":
        detail["message"] = f"AssertionError: {number + 4} != {number + 3}"
    if verdict == "exception":
        detail["message"] = "NameError: name 'nubmers' is not defined"
        detail["traceback"] = 'File "<program>", line 7, in add\n    return sum(nubmers)'
    tokens = 512 if state == "incomplete" else chance.randrange(60, 300)
    taken_s = {"timeout": 3.1, "syntax": None}.get(verdict, 0.02 + number / 500)
    return {
        "id": f"{DATASETS[pair.dataset][0]}/{number}",
        "repeat": repeat,
        "text": "<|im_start|>user\nComplete this function. Answer with one code block.\n\n"
        f"```python\n{prompt}```<|im_end|>\n<|im_start|>assistant\n",
        "token_ids": [1, 2, 3],
        "completion": f"Sure! Here it is:\n\n```python\n{program}```\nIt adds {number}.",
        "finish_reason": "length" if state == "incomplete" else "stop",
        "prompt_tokens": 90 + number,
        "completion_tokens": tokens,
        "cut_tokens": 0,
        "latency_s": tokens / 90,
        "ttft_s": 0.05 + number / 10_000,
        "seconds": taken_s,
        "limit_s": None if taken_s is None else 3.0,
        "slowest_s": taken_s,
        "state": state,
        "value": {"correct": 1.0, "unscored": None}.get(state, 0.0),
        "answer": None if verdict == "syntax" else program,
        "target": {"solution": prompt + f"    return sum(numbers) + {number}\n"},
        "detail": detail,
    }


def _meta(
    run: Run,
    pair: Pair,
    answers: Sequence[dict[str, Any]],
    on_gpu: bool,
    together: float | None,
) -> dict[str, Any]:
    everything = sum(DATASETS[dataset][1] for dataset in run.datasets) * 180
    power = {"utilization_percent": 93.5, "power_w": 612.0, "peak_power_w": 688.4}
    start: dict[str, Any] = {
        "session": f"20260807T10{list(run.models).index(pair.model) + 10}12-4711-1",
        "start_s": 71.0,
        "generate_s": everything / RATE[pair.model],
        "stream_s": stream_s(answers) if together is None else together,
        "peak_bytes": 71 * 2**30 if on_gpu else None,
        "gpu": GPU if on_gpu else None,
        "start_joules": 8_400.0 if on_gpu else None,
        "joules": 15_300.0 if on_gpu else None,
        **(power if on_gpu else dict.fromkeys(power)),
    }
    return {
        "spec": {},
        "key": pair.key,
        "model_commit": "c" * 40,
        "dataset_revision": "d" * 40,
        "versions": {"snakeval": "0.1.0", "python": "3.11.9", "vllm": "0.32.0", "torch": "2.11.0"},
        "engine_arguments": {"seed": 0},
        "device": "cuda" if on_gpu else "cpu",
        "gpu": GPU if on_gpu else None,
        "kernels": ["MarlinLinearKernel for AWQ", "FLASH_ATTN backend"] if on_gpu else [],
        "seconds": {
            "import": 8.2,
            "start": 61.5,
            "compile": 22.1 if on_gpu else None,
            "load": 3.4,
            "generate": start["generate_s"],
        },
        "tokens": {
            "prompt": sum(row["prompt_tokens"] for row in answers),
            "completion": sum(row["completion_tokens"] for row in answers),
        },
        "memory": {
            "peak_bytes": 71 * 2**30 if on_gpu else None,
            "weights_bytes": 5 * 2**30,
            "kv_cache_tokens": 412_000,
        },
        **{name: start[name] for name in (*power, "joules")},
        "stream_s": {start["session"]: stream_s(answers)},
        "engine_starts": [start],
    }


def _metrics(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    states = Counter(row["state"] for row in answers)
    judged = states["correct"] + states["wrong"] + states["incomplete"]
    completed = states["correct"] + states["wrong"]
    low, high = wilson(states["correct"], judged) if judged else (None, None)
    metric = {
        "value": states["correct"] / judged if judged else None,
        "ci_low": low,
        "ci_high": high,
        "n": judged,
    }
    return {
        "primary": "pass@1",
        "metrics": {"pass@1": metric},
        "states": {
            state: states[state] for state in ("correct", "wrong", "incomplete", "unscored")
        },
        "cut_prompts": sum(row["cut_tokens"] > 0 for row in answers),
        "limit_hits": sum(row["finish_reason"] == "length" for row in answers),
        "open_thoughts": None,
        "failed_extractions": sum(row["answer"] is None for row in answers),
        "completed_only": {
            "value": states["correct"] / completed if completed else None,
            "n": completed,
        },
        "bounds": {
            "low": states["correct"] / len(answers),
            "high": 1 - states["wrong"] / len(answers),
        },
        "scorer": {"task": "code_generation", "version": 1},
        "sandbox": SANDBOX | {"judged_together": sum("judged" in row["detail"] for row in answers)},
    }
