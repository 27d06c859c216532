"""The interface behind which an engine answers requests.

An engine lives in a process of its own (`engine.host`), started and watched by the generate job
(`engine.supervisor`). A registry entry names it: `engine: vllm`, `endpoint:` for a server with OpenAI's
interface, or `engine: package.module:Class` for any other class that fits `Engine`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from snakeval.errors import EngineError
from snakeval.records import FinishReason, Likelihood

NAMED_ENGINES = {
    "vllm": "snakeval.engine.vllm_engine:VllmEngine",
    "endpoint": "snakeval.engine.endpoint_engine:EndpointEngine",
}


@dataclass(frozen=True)
class EngineSettings:
    """What an engine needs to start. Paths are absolute or relative to the working directory.

    An endpoint has no paths: both are empty.
    """

    model_path: str
    tokenizer_path: str
    model: dict[str, Any]  # the registry entry
    seed: int
    device: str  # "cuda", "cpu" or "endpoint"
    images: bool = False  # whether any request shows an image


@dataclass(frozen=True)
class ShownImage:
    """The image of a prompt, which the engine puts in place of its placeholder.

    Args:
        path: a file that is named by its content, as `pictures` keeps them.
        max_prompt_tokens: how many tokens the prompt may have with the image in it.
    """

    path: str
    max_prompt_tokens: int


@dataclass(frozen=True)
class Request:
    """One thing asked of the engine: prompt (token ids), sampling parameters, maybe an image.

    An endpoint gets `messages` (`role`, `content`; one for a completion) and puts them into its own markup.

    With `scored` above 0 nothing is generated: the log-probability of that many tokens at the prompt's
    end is asked, each after all before it.
    """

    hash: str
    token_ids: list[int]
    sampling: dict[str, Any]  # temperature, top_p, …, max_tokens, stop, seed
    scored: int = 0
    image: ShownImage | None = None
    messages: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True)
class Answer:
    """A finished request. Times in seconds, from the moment the engine took the request up.

    `prompt_tokens` is there where the request's token ids do not tell: an image made the prompt longer, or
    a server counted.

    `hidden_tokens` are those of the `completion_tokens` that a server spent on a thought it did not show; None where
    it shows its thoughts or does not tell. `stopped_here` is true where the server does not take all stop texts and
    went on behind one: the answer ends before it, its tokens and times are those of all that came.

    An error that is not `final` may be gone another day: it is told and not kept.

    `likelihood` is there where it was asked for: the sum of the scored tokens' log-probabilities (natural
    logarithm, so at most 0), their number, and whether each was the likeliest.
    """

    hash: str
    completion: str
    finish_reason: FinishReason
    completion_tokens: int
    latency_s: float | None = None
    ttft_s: float | None = None
    error: str | None = None
    likelihood: Likelihood | None = None
    prompt_tokens: int | None = None
    hidden_tokens: int | None = None
    stopped_here: bool = False
    final: bool = True


class Engine(Protocol):
    """Answers requests in one continuous batch; constructing it loads the model."""

    def __init__(self, settings: EngineSettings) -> None:
        """Load the model.

        Raises:
            Exception: anything; its text becomes the reason why the model's pairs failed.
        """

    def facts(self) -> dict[str, Any]:
        """Return what is known after the start: `versions`, `arguments`, `seconds`, `memory`."""

    def submit(self, request: Request) -> None:
        """Queue a request.

        Raises:
            ValueError: this request cannot be answered (the others can).
        """

    def step(self) -> list[Answer]:
        """Advance the batch by one step and return the requests that it finished or refused.

        Raises:
            EngineError: no request will be answered until somebody mends something.
        """


def load_engine(name: str) -> type[Engine]:
    """Return the engine class that a registry entry names.

    Raises:
        EngineError: there is no such module or class.
    """
    module_name, _, class_name = NAMED_ENGINES.get(name, name).partition(":")
    try:
        return cast("type[Engine]", getattr(importlib.import_module(module_name), class_name))
    except (ImportError, AttributeError, ValueError) as error:
        raise EngineError(
            f"engine {name}",
            str(error),
            "an importable package.module:Class",
            "Install what it needs, or correct `engine:` in config/models.yaml.",
        ) from error
