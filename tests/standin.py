"""A stand-in engine for workflow tests: the same interface as vLLM's, no model, answers in microseconds.

What it does is told by the prompt's own text, which it decodes with the model folder's tokenizer:

    DIE            the engine's process is killed when this request is worked on
    REFUSE         the request is refused
    HANG           the engine goes silent
    LARGE          the GPU's memory is too small for it while max_num_seqs is above 128
    HUGE           … whatever the batch
    SOLVE:<code>   answered with that code in a fence
    [[rating]]     a judge is asked for a grade: 8, or 4 where the answer shown holds SHORT
    [[C]]          a judge is asked to compare: the first answer wins
    anything else  a fixed wrong program

Environment: STANDIN_LOG names a file that gets a line for each start and each answered request,
STANDIN_START_S and STANDIN_STEP_S make starting and each step slow, STANDIN_BROKEN=1 makes the start fail,
STANDIN_ROOM does where max_num_seqs is above it, STANDIN_CRASH=1 has the engine die of any request.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from snakeval.engine import Answer, EngineSettings, Request
from tokenizers import Tokenizer


class StandIn:
    """Answers one request a step."""

    def __init__(self, settings: EngineSettings) -> None:
        self._note({"start": settings.model_path, "pid": os.getpid()})
        time.sleep(float(os.environ.get("STANDIN_START_S", "0")))
        self._batch: int = settings.model["engine_limits"].get("max_num_seqs", 256)
        if os.environ.get("STANDIN_BROKEN") or self._batch > int(
            os.environ.get("STANDIN_ROOM", "999")
        ):
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self._tokenizer = Tokenizer.from_file(str(Path(settings.tokenizer_path, "tokenizer.json")))
        self._queue: list[tuple[Request, str]] = []

    def facts(self) -> dict[str, Any]:
        return {"versions": {}, "arguments": {}, "seconds": {"import": 0.0, "start": 0.0}}

    def submit(self, request: Request) -> None:
        text = self._tokenizer.decode(request.token_ids)
        if "REFUSE" in text:
            raise ValueError("this prompt cannot be answered")
        self._queue.append((request, text))

    def step(self) -> list[Answer]:
        time.sleep(float(os.environ.get("STANDIN_STEP_S", "0")))
        request, text = self._queue.pop(0)
        if os.environ.get("STANDIN_CRASH"):
            raise RuntimeError("CUDA error: unspecified launch failure")
        if "HUGE" in text or ("LARGE" in text and self._batch > 128):
            raise RuntimeError("CUDA out of memory. Tried to allocate 9.00 GiB")
        if "DIE" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        while "HANG" in text:
            time.sleep(1)
        code = "def f(x):\n    return None"
        if "SOLVE:" in text:
            code = text.split("SOLVE:")[1].split("\n")[0].replace(";", "\n    ")
        said = f"```python\n{code}\n```"
        if "[[rating]]" in text:
            said = f"Because. Rating: [[{4 if 'SHORT' in text else 8}]]"
        elif "[[C]]" in text:
            said = "[[A]]"
        if request.hash != "trial":  # nobody asked it
            self._note({"answer": request.hash})
        return [Answer(request.hash, said, "stop", 12, 0.01, 0.001)]

    @staticmethod
    def _note(event: dict[str, Any]) -> None:
        if path := os.environ.get("STANDIN_LOG"):
            with Path(path).open("a") as file:
                file.write(json.dumps(event) + "\n")
