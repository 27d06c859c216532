"""What vLLM tells only in its log: the weights' size, where the seconds of its start went, the kernels it chose.

start = before the weights + load_s + init_s
init_s = compile_s + load_compiled_s + warm_up_s + capture_s + memory, KV cache and kernels
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

START = "Initializing a V1 LLM engine"
WEIGHTS = re.compile(r"Model loading took ([\d.]+) GiB(?: memory)? and ([\d.]+) seconds")
LOADING = re.compile(r"Loading weights took ([\d.]+) seconds")
COMPILE = re.compile(r"torch\.compile (?:takes|took) ([\d.]+) s in total")
# A graph that was compiled before is loaded whole; vLLM calls these seconds compiling too.
LOADED = re.compile(r"Directly load AOT compilation from path")
WARM_UP = re.compile(r"Initial profiling/warmup run took ([\d.]+) s")
CAPTURE = re.compile(r"Graph capturing finished in ([\d.]+) secs")
INIT = re.compile(r"init engine \(profile, create kv cache, warmup model\) took ([\d.]+) s")
KERNEL = re.compile(
    r"Using (\S+(?: \S+)? for \w*(?:Linear|MoE|WNA16)\w*|\S+ (?:attention )?backend)\b"
)
SECONDS = ("load_s", "compile_s", "load_compiled_s", "warm_up_s", "capture_s", "init_s")


def read(path: Path, gpus: int = 1) -> dict[str, Any]:
    """Return `weights_bytes`, `kernels` and the seconds of the log's last start, None where it does not say.

    `weights_bytes` are those of all GPUs together: the first one tells its own, the others hold as many.
    `compile_s` is 0 where all graphs came from the cache; `load_compiled_s` is what that took. `capture_s` is
    of CUDA graphs, in whole seconds. `init_s` is everything from the weights on.

    Args:
        path: the log.
        gpus: over how many GPUs the engine is spread.
    """
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    text = text[max(0, text.rfind(START)) :]
    weights = WEIGHTS.findall(text)
    loading = [seconds for _, seconds in weights] or LOADING.findall(text)
    compiled, cached = _sum(COMPILE, text), LOADED.search(text) is not None
    return {
        "weights_bytes": int(float(weights[-1][0]) * 2**30) * gpus if weights else None,
        "load_s": float(loading[-1]) if loading else None,
        "compile_s": 0.0 if cached else compiled,
        "load_compiled_s": compiled if cached else None,
        "warm_up_s": _sum(WARM_UP, text),
        "capture_s": _sum(CAPTURE, text),
        "init_s": _sum(INIT, text),
        "kernels": sorted(set(KERNEL.findall(text))),
    }


def _sum(pattern: re.Pattern[str], text: str) -> float | None:
    """Return the sum of a pattern's numbers: a model that sees images has two graphs."""
    found = [float(seconds) for seconds in pattern.findall(text)]
    return sum(found) if found else None
