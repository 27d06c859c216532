"""Makes the folder of a finished run of many models on many datasets, with texts as long as real ones."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import reported_run

# How long texts are, in characters, and what share of a run's answers is of the kind: prompt, completion,
# program, reference.
KINDS = {
    "choice": (0.45, (2600, 5, 0, 5)),
    "short answer": (0.25, (900, 500, 0, 10)),
    "program": (0.15, (800, 1400, 900, 500)),
    "document": (0.05, (9000, 700, 0, 300)),
    "thought": (0.10, (700, 5000, 0, 10)),
}
WORDS = 4_000
POOL = 2_000_000  # characters of running text that every text is cut from


def make_large_run(root: Path, models: int, datasets: int, samples: int) -> Path:
    """Write a run of about `samples` answers below `root`; return the path of the resolved run."""
    chance = random.Random(0)
    words = [
        "".join(chance.choices("etaoinshrdlucmfw", k=chance.randint(1, 9))) for _ in range(WORDS)
    ]
    pool = " ".join(
        chance.choices(words, weights=[1 / n for n in range(1, WORDS + 1)], k=POOL // 5)
    )
    tokens = [chance.randrange(150_000) for _ in range(20_000)]
    kinds = [list(KINDS)[n % len(KINDS)] for n in range(datasets)]
    for n in range(models):
        slug = f"model_{n}"
        reported_run.MODELS[slug] = (
            f"Model {n} 7B Instruct (AWQ)",
            {"hub": f"org/{slug}", "revision": "a" * 40},
        )
        reported_run.RATE[slug] = 500.0 + 40 * n
    sizes = {}
    for n, kind in enumerate(kinds):
        share = KINDS[kind][0] / kinds.count(kind)
        sizes[f"dataset_{n}"] = max(1, round(samples * share / models))
        reported_run.DATASETS[f"dataset_{n}"] = (f"Dataset {n}, {kind}", sizes[f"dataset_{n}"])
    slugs = list(reported_run.MODELS)[-models:]
    run = reported_run.empty_run(root, slugs, list(sizes))
    for number, pair in enumerate(run.pairs):
        kind = kinds[number % datasets]
        skill = 0.3 + 0.6 * (number // datasets) / models
        answers = _answers(kind, sizes[pair.dataset], skill, pool, tokens, random.Random(number))
        reported_run.write_pair(root, run, pair, list(answers))
    return run.save(root)


def _answers(
    kind: str, count: int, skill: float, pool: str, tokens: list[int], chance: random.Random
) -> Iterator[dict[str, Any]]:
    for number in range(count):

        def text(usual: int) -> str:
            length = round(usual * chance.uniform(0.5, 1.5))
            at = chance.randrange(len(pool) - length)
            return pool[at : at + length]

        prompt, completion, program, target = map(text, KINDS[kind][1])
        state = (
            "correct" if chance.random() < skill else chance.choice(["wrong"] * 9 + ["incomplete"])
        )
        classes = ("wrong_answer", "exception", "timeout", "no_answer")
        detail = {"class": "passed" if state == "correct" else chance.choice(classes)}
        prompt_tokens, completion_tokens = len(prompt) // 4 + 1, len(completion) // 4 + 1
        yield {
            **{"id": f"test/{number}", "repeat": 0, "text": prompt},
            **{"token_ids": (tokens * (1 + prompt_tokens // len(tokens)))[:prompt_tokens]},
            **{
                "completion": completion,
                "finish_reason": "length" if state == "incomplete" else "stop",
            },
            **{
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "cut_tokens": 0,
            },
            **{"latency_s": completion_tokens / 90, "ttft_s": chance.uniform(0.02, 0.4)},
            **{"state": state, "value": float(state == "correct"), "target": target},
            **{
                "answer": completion[:1000],
                "detail": detail | ({"program": program} if program else {}),
            },
        }
