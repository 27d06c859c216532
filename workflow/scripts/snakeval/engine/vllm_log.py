"""What vLLM tells only in its log: weights, load and compile seconds, and the kernels it chose."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

WEIGHTS = re.compile(r"Model loading took ([\d.]+) GiB(?: memory)? and ([\d.]+) seconds")
LOADING = re.compile(r"Loading weights took ([\d.]+) seconds")
COMPILE = re.compile(r"torch\.compile (?:takes|took) ([\d.]+) s in total")
KERNEL = re.compile(r"Using (\S+(?: \S+)? for \w*(?:Linear|MoE)\w*|\S+ (?:attention )?backend)\b")


def read(path: Path) -> dict[str, Any]:
    """Return `weights_bytes`, `load_s`, `compile_s` (None where the log does not say) and `kernels`."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    weights = WEIGHTS.findall(text)
    loading = [seconds for _, seconds in weights] or LOADING.findall(text)
    compiled = COMPILE.findall(text)
    return {
        "weights_bytes": int(float(weights[-1][0]) * 2**30) if weights else None,
        "load_s": float(loading[-1]) if loading else None,
        "compile_s": float(compiled[-1]) if compiled else None,
        "kernels": sorted(set(KERNEL.findall(text))),
    }
