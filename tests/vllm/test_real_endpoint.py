"""vLLM's own server on the CPU with the real SmolLM2-135M, asked as an endpoint and as an engine: the same answers.

Both are asked one request at a time, with nothing kept of the last one: the arithmetic is the same then.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from test_real_vllm import DATASET, MODEL, Shipped, records, vllm_version, with_model
from workflow_copy import Outcome

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(900),
    pytest.mark.skipif(vllm_version() is None, reason="the CPU build of vLLM is not installed"),
]

KEY = "sk-local-0123456789abcdef"
ALONE = ("--max-num-seqs", "1", "--no-enable-prefix-caching", "--no-enable-chunked-prefill")


@contextmanager
def server(model: Path, log: Path) -> Iterator[str]:
    """Serve a model folder; return the address when it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--served-model-name", "smol", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--enforce-eager", "--dtype", "bfloat16", "--max-model-len", "4096", *ALONE]
    command += ["--max-num-batched-tokens", "4096", "--generation-config", "vllm"]
    environment = {"VLLM_API_KEY": KEY, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, env=os.environ | environment, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            url, deadline = f"http://127.0.0.1:{port}/v1", time.monotonic() + 300
            while not answers(f"{url}/models"):
                assert process.poll() is None, log.read_text("utf-8")[-3000:]
                assert time.monotonic() < deadline, log.read_text("utf-8")[-3000:]
                time.sleep(0.5)
            yield url
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        with urlopen(Request(url, headers={"Authorization": f"Bearer {KEY}"}), timeout=5):
            return True
    except (URLError, OSError):
        return False


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shipped, Outcome]:
    """Three problems, answered by the engine, by the server, and by the server with a tokenizer here."""
    workflow = with_model(tmp_path_factory.mktemp("served"))
    workflow.environment["LOCAL_KEY"] = KEY
    run = {"datasets": [DATASET], "limit": 3}
    short = {DATASET: {"max_tokens": 48}}
    offline = {"run": {**run, "models": [MODEL], "deterministic": True}, "datasets": short}
    workflow.run(*workflow.override(offline), within_s=500)
    [folder] = (path for path in workflow.folder.glob(f"results/models/{MODEL}/*") if path.is_dir())
    with server(folder, workflow.folder.parent / "server.log") as url:
        served = {
            "endpoint": {"url": url, "model": "smol", "key_variable": "LOCAL_KEY"},
            "max_model_len": 4096,
        }
        counted = served | {"tokenizer": {"path": str(folder)}}
        asked = {
            "models": {"served": served, "counted": counted},
            "datasets": short,
            "run": {**run, "models": ["served", "counted"]},
        }
        return workflow, workflow.run(*workflow.override(asked), within_s=300)


def pair(workflow: Shipped, model: str, name: str) -> list[dict[str, Any]]:
    [path] = workflow.folder.glob(f"results/pairs/{model}/{DATASET}/*/{name}.jsonl")
    return records(path)


def asked(prediction: dict[str, Any]) -> list[Any]:
    return [prediction[name] for name in ("id", "repeat", "prompt_tokens", "cut_tokens")]


def test_it_gets_the_same_prompts_and_answers_as_well(
    answered: tuple[Shipped, Outcome],
) -> None:
    workflow, outcome = answered
    outcome.only(fetch_model=2, generate=2, predictions=2, score=2)
    here = pair(workflow, MODEL, "predictions")
    assert len(here) == 3
    assert all(prediction["prompt_tokens"] > 100 for prediction in here)
    for model in ("served", "counted"):
        there = pair(workflow, model, "predictions")
        for names in (
            ("id", "prompt_tokens", "cut_tokens"),
            ("finish_reason", "completion_tokens"),
        ):
            assert [[one[name] for name in names] for one in there] == [
                [one[name] for name in names] for one in here
            ]
        # The server's batches are its own: greedy texts part somewhere, but not at once.
        beginnings = [[one["completion"][:20] for one in its] for its in (here, there)]
        assert beginnings[0] == beginnings[1]


def test_what_is_counted_here_is_what_the_server_counts(answered: tuple[Shipped, Outcome]) -> None:
    workflow, _ = answered
    prompts = pair(workflow, "counted", "prompts")
    assert prompts == pair(workflow, MODEL, "prompts")
    said = [prediction["prompt_tokens"] for prediction in pair(workflow, "served", "predictions")]
    assert [len(prompt["token_ids"]) for prompt in prompts] == said


def test_times_are_measured_and_the_key_is_nowhere(answered: tuple[Shipped, Outcome]) -> None:
    workflow, outcome = answered
    for timing in pair(workflow, "served", "timings"):
        assert 0 < timing["ttft_s"] < timing["latency_s"]
    [start] = (
        event
        for event in records(workflow.folder / "results/journal/served.engines.jsonl")
        if event["event"] == "start"
    )
    assert start["server"]["model"] == "smol"
    assert KEY not in outcome.output
    files = [path for path in workflow.folder.rglob("*") if path.is_file()]
    assert not [
        path for path in files if path.stat().st_size < 2**22 and KEY.encode() in path.read_bytes()
    ]
