"""Does an answer depend on what else is asked? Real vLLM, the same requests, different batches.

    python tests/determinism.py results/models/smollm2_135m/<id>      # a folder with weights and a tokenizer

One engine start for each of `--max-num-seqs`, deterministic, with other batch limits each time; then one without
the mode, for comparison. Within a start the requests are asked all at once, seven at a time and one by one. Exit
code 1 where answers of deterministic engines differ. It needs nothing but vLLM, so it runs where no pytest is.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

REQUESTS, ANSWER_TOKENS, SCORED = 64, 128, 4
TASKS = ("sorts a list", "counts the vowels of a text", "adds two matrices", "finds all primes")
KINDS = ("greedy", "sampled", "greedy", "likelihood")
SAMPLED = {"temperature": 0.8, "top_p": 0.95}
WAVES = (REQUESTS, 7, 1)  # how many requests are asked at once


@dataclass
class Start:
    """One engine start: its settings, and its answers to the same requests by wave."""

    deterministic: bool
    max_num_seqs: int
    seconds: float
    answers: dict[int, list[str]]

    def differing(self, reference: list[str]) -> dict[int, Counter[str]]:
        """Return how many answers of each kind differ from others, by wave."""
        return {
            wave: Counter(
                KINDS[number % len(KINDS)]
                for number, (own, other) in enumerate(zip(answers, reference, strict=True))
                if own != other
            )
            for wave, answers in self.answers.items()
        }


def main() -> int:
    """Compare, print a line for each start, and return the exit code."""
    parser = argparse.ArgumentParser(description="Compare answers of different batches.")
    parser.add_argument("model", type=Path, help="folder of the model")
    parser.add_argument("--max-num-seqs", default="64,7,1", help="of the deterministic starts")
    parser.add_argument("--entry", type=json.loads, default={}, help="keys of the entry, as JSON")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--log", type=Path, default=Path("determinism.log"))
    given = parser.parse_args()
    sizes = [int(size) for size in given.max_num_seqs.split(",")]
    reference: list[str] | None = None
    failed = False
    for deterministic, size in (*((True, size) for size in sizes), (False, max(sizes))):
        start = started(
            given.model, given.entry, deterministic, size, given.requests, given.log.absolute()
        )
        if reference is None or not deterministic:
            reference = start.answers[WAVES[0]]
        found = start.differing(reference)
        failed |= deterministic and any(found.values())
        asked = "; ".join(
            f"{wave} at a time: " + (", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "0")
            for wave, kinds in found.items()
        )
        print(
            f"deterministic: {str(deterministic).lower()}, max_num_seqs: {size}, {start.seconds:.0f} s; "
            f"of {given.requests} answers differ, asked {asked}",
            flush=True,
        )
    print("deterministic answers differ" if failed else "deterministic answers are the same")
    return int(failed)


def started(
    folder: Path, entry: dict[str, Any], deterministic: bool, size: int, requests: int, log: Path
) -> Start:
    """Return what one engine start in a process of its own answers.

    Args:
        folder: of the model.
        entry: keys of its registry entry, besides those that are set here.
        deterministic: as `run.deterministic`.
        size: max_num_seqs; the other batch limit follows from it.
        requests: how many.
        log: gets all that the engine prints.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (theirs, folder, entry, deterministic, size, requests, log)
    process = context.Process(target=_answer, args=arguments)
    process.start()
    theirs.close()
    try:
        return Start(**ours.recv())
    except EOFError:
        raise SystemExit(f"the engine did not come up: see {log}") from None
    finally:
        process.join()


def _answer(
    pipe: Any,
    folder: Path,
    entry: dict[str, Any],
    deterministic: bool,
    size: int,
    requests: int,
    log: Path,
) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    from snakeval import gpu
    from snakeval.engine import EngineSettings
    from snakeval.engine.vllm_engine import VllmEngine
    from snakeval.registry import schema

    limits = {"max_num_seqs": size, "max_num_batched_tokens": 2048 + 32 * size}
    filled = schema.filled(
        {"source": {"path": str(folder)}, "max_model_len": 2048, "engine_limits": limits}
        | {"sampling": SAMPLED}
        | entry,
        "model",
    )
    filled["deterministic"] = deterministic
    began = time.monotonic()
    engine = VllmEngine(EngineSettings(str(folder), str(folder), filled, 0, gpu.device()))
    asked = _requests(folder, requests)
    answers = {}
    for wave in WAVES:
        found: dict[str, str] = {}
        for first in range(0, len(asked), wave):
            for request in asked[first : first + wave]:
                engine.submit(request)
            while len(found) < min(first + wave, len(asked)):
                found |= {
                    answer.hash: repr((answer.completion, answer.finish_reason, answer.likelihood))
                    for answer in engine.step()
                }
        answers[wave] = [found[request.hash] for request in asked]
    pipe.send(asdict(Start(deterministic, size, time.monotonic() - began, answers)))


def _requests(folder: Path, count: int) -> list[Any]:
    """Return requests of many lengths, of each kind in turn."""
    from snakeval.engine import Request
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    made = []
    for number in range(count):
        task = TASKS[number % len(TASKS)]
        text = f"# {number} {'and again ' * (number * 7 % 50)}\n# A function that {task}\ndef "
        sampling: dict[str, Any] = {"temperature": 0.0, "max_tokens": ANSWER_TOKENS}
        scored = 0
        kind = KINDS[number % len(KINDS)]
        if kind == "sampled":
            sampling |= SAMPLED | {"seed": number}
        if kind == "likelihood":
            sampling |= {"max_tokens": 1, "prompt_logprobs": 0, "detokenize": False}
            scored = SCORED
        made.append(Request(str(number), tokenizer.encode(text), sampling, scored))
    return made


if __name__ == "__main__":
    sys.exit(main())
