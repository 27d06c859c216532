"""How fast engines start and answer at fixed lengths: by this workflow's own loop, and by `LLM.generate`.

    python tests/speed.py variants.yaml results.json

Each variant starts the engine in a process of its own for every way that it names, with the same arguments and
the same prompts of random tokens; the compile cache is empty before the first way, and kept for those after it
and for later variants that name the same cache.

    - name: qwen3_8b awq
      folder: models/qwen3_8b_awq        # config.json and a tokenizer; without weights: load_format dummy
      entry: {max_model_len: 8192, engine_arguments: {load_format: dummy}}     # as in config/models.yaml
      environment: {NAME: value}         # for these processes only
      cache: qwen3_8b                    # the variant's name without it
      ways: [workflow, bare, workflow]
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

# name → prompts, tokens of each, tokens of each answer, how many are asked at once
SETS = {
    "1 stream": (4, 256, 256, 1),
    "164 prompts": (164, 256, 512, 164),
    "1000 prompts": (1000, 256, 256, 1000),
}
WARM_UP = (8, 256, 16, 8)


def main() -> None:
    """Measure all variants, one after the other; write what is known after each."""
    variants, output = yaml.safe_load(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for variant in variants:
            for number, way in enumerate(variant["ways"]):
                rows.append(measured(variant, way, number, Path(scratch), output))
                output.write_text(json.dumps(rows, indent=1) + "\n")
                print(line(rows[-1]), flush=True)


def measured(
    variant: dict[str, Any], way: str, number: int, scratch: Path, output: Path
) -> dict[str, Any]:
    """Return what one engine start did."""
    name = f"{variant['name']} {number} {way}".replace(" ", "_")
    job, result = scratch / f"{name}.job.json", scratch / f"{name}.json"
    log = output.with_name(f"{name}.log")
    job.write_text(json.dumps({**variant, "way": way, "result": str(result), "log": str(log)}))
    kept = scratch / str(variant.get("cache", variant["name"])).replace(" ", "_")
    caches = {"VLLM_CACHE_ROOT": str(kept / "vllm"), "TRITON_CACHE_DIR": str(kept / "triton")}
    environment = {**os.environ, **caches, **variant.get("environment", {})}
    with log.with_suffix(".out").open("w") as out:
        command = [sys.executable, __file__, "--job", str(job)]
        done = subprocess.run(command, env=environment, stdout=out, stderr=out, check=False)
    row = {"name": variant["name"], "way": way, "start": number + 1}
    if not result.exists():
        return row | {"error": f"exit code {done.returncode}; see {log}"}
    return row | json.loads(result.read_text())


def line(row: dict[str, Any]) -> str:
    """Return a row as text."""
    if "error" in row:
        return f"{row['name']} {row['way']}: {row['error']}"
    rates = ", ".join(f"{name} {rate:,.0f}" for name, rate in row["tokens_per_s"].items())
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in row["seconds"].items())
    return f"{row['name']} {row['way']} (start {row['start']}): {seconds} s; tokens/s: {rates}"


def do(job: dict[str, Any]) -> None:
    """Be one engine start."""
    from snakeval.engine import EngineSettings
    from snakeval.registry import schema

    entry = schema.filled({"source": {"path": job["folder"]}, **job["entry"]}, "model")
    settings = EngineSettings(job["folder"], job["folder"], entry, seed=0, device="cuda")
    result = (through_workflow if job["way"] == "workflow" else through_generate)(settings, job)
    Path(job["result"]).write_text(json.dumps(result))


def prompts(settings: Any) -> Iterator[tuple[str, int, list[list[int]], int, int]]:
    """Yield the sets, the warm-up first: name, number, prompts, tokens of an answer, asked at once."""
    config = json.loads(Path(settings.model_path, "config.json").read_text())
    known = config.get("text_config", config)["vocab_size"]
    generator = random.Random(0)
    for name, (count, length, answer, streams) in {"": WARM_UP, **SETS}.items():
        made = [[generator.randrange(known) for _ in range(length)] for _ in range(count)]
        yield name, count, made, answer, streams


def through_workflow(settings: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Answer by the loop of the generate job, each finished request journalled at once."""
    from snakeval import gpu
    from snakeval.answering import journal_record
    from snakeval.engine import Request, vllm_log
    from snakeval.engine.supervisor import Supervisor
    from snakeval.journal import Appender

    log, rates, joules = Path(job["log"]), {}, {}
    meter = gpu.Meter(gpu.visible()[: settings.model["gpus"]])
    began = time.monotonic()
    engine = Supervisor(settings, log, job["name"])
    while not engine.poll_start():
        pass
    ready = time.monotonic() - began
    started = meter.read()["joules"]
    with Appender(Path(job["result"]).with_suffix(".journal")) as journal:
        for name, count, made, answer, streams in prompts(settings):
            sampling = {"temperature": 0.0, "max_tokens": answer, "ignore_eos": True}
            requests = [Request(f"{name}-{n}", ids, sampling) for n, ids in enumerate(made)]
            meter = gpu.Meter(gpu.visible()[: settings.model["gpus"]])
            began, tokens, waiting = time.monotonic(), 0, count
            engine.submit(requests[:streams])
            left = requests[streams:]
            for answers in engine.answers():
                journal.append(journal_record(one, "") for one in answers)
                tokens += sum(one.completion_tokens for one in answers)
                waiting -= len(answers)
                if answers and left:
                    engine.submit([left.pop(0) for _ in answers if left])
                if not waiting:
                    break
            rates[name], joules[name] = tokens / (time.monotonic() - began), meter.read()["joules"]
    facts = engine.facts or {}
    engine.stop()
    return {
        "seconds": {"ready": ready, **facts["seconds"]},
        "tokens_per_s": {name: rate for name, rate in rates.items() if name},
        "joules": {"start": started, **{name: used for name, used in joules.items() if name}},
        "kv_cache_tokens": facts["kv_cache_tokens"],
        "arguments": facts["arguments"],
        **vllm_log.read(log),
    }


def through_generate(settings: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Answer by one call of `LLM.generate` for each set: what anyone would write."""
    from snakeval.engine.vllm_engine import ENVIRONMENT, engine_arguments

    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    began = time.monotonic()
    from vllm import LLM, SamplingParams

    imported = time.monotonic()
    arguments = engine_arguments(settings)
    arguments.pop("disable_log_stats")
    engine = LLM(**arguments)
    ready, rates = time.monotonic(), {}
    for name, _, made, answer, streams in prompts(settings):
        sampling = SamplingParams(temperature=0.0, max_tokens=answer, ignore_eos=True)
        inputs = [{"prompt_token_ids": ids} for ids in made]
        began_set, tokens = time.monotonic(), 0
        for first in range(0, len(inputs), streams):
            outputs = engine.generate(inputs[first : first + streams], sampling, use_tqdm=False)
            tokens += sum(len(output.outputs[0].token_ids) for output in outputs)
        rates[name] = tokens / (time.monotonic() - began_set)
    return {
        "seconds": {"ready": ready - began, "import": imported - began, "start": ready - imported},
        "tokens_per_s": {name: rate for name, rate in rates.items() if name},
    }


if __name__ == "__main__":
    if sys.argv[1] == "--job":
        given = json.loads(Path(sys.argv[2]).read_text())
        do(given)
    else:
        main()
