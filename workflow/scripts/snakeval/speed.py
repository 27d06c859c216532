"""How fast answers came and what the GPUs cost: the definitions that tables, report and benchmark share.

Times are the engine's own. They begin when a request is taken up for the first time (vLLM's `scheduled_ts`), so
waiting for a place in the batch is in none of them; of an endpoint they begin when the request is sent. In a batch
each step serves all streams: the rates of one stream say what its user would see there, not what the engine can do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

PERCENTILES = (50, 95, 99)


class Stream(NamedTuple):
    """One request on its way through the engine. Times are in seconds, None where they were not measured."""

    prompt_tokens: int | None  # None where a server did not count
    completion_tokens: int
    latency_s: float | None  # until the last token
    ttft_s: float | None  # until the first token that was shown
    hidden_tokens: int = (
        0  # of the completion tokens: a thought that a server did not show, all before `ttft_s`
    )

    @property
    def inter_token_s(self) -> float | None:
        """The mean time between the tokens that were shown: (latency − ttft) / (their number − 1)."""
        shown = self.completion_tokens - self.hidden_tokens
        if self.latency_s is None or self.ttft_s is None or shown < 2:
            return None
        return (self.latency_s - self.ttft_s) / (shown - 1)

    @property
    def decode_tokens_per_s(self) -> float | None:
        """(tokens that were shown − 1) / (latency − ttft)."""
        return 1 / self.inter_token_s if self.inter_token_s else None

    @property
    def prefill_tokens_per_s(self) -> float | None:
        """Prompt tokens / ttft; None where a server did not tell how long the prompt was, or thought in between.

        The first token's own making is in it, and tokens that the prefix cache held count as read. In a batch
        the prompt shares the engine's steps with other streams; alone (`snakemake benchmark` at one stream) it is
        the engine's rate for a prompt of this length.
        """
        if not self.ttft_s or not self.prompt_tokens or self.hidden_tokens:
            return None
        return self.prompt_tokens / self.ttft_s


def percentile(values: Iterable[float | None], percent: float) -> float | None:
    """Return a percentile of the measured values (linear between ranks), None if there are none."""
    measured = sorted(value for value in values if value is not None)
    if not measured:
        return None
    rank = (len(measured) - 1) * percent / 100
    low = measured[int(rank)]
    high = measured[min(int(rank) + 1, len(measured) - 1)]
    return low + (high - low) * (rank - int(rank))


def cost(gpu_seconds: float | None, price_per_gpu_hour: float | None) -> float | None:
    """Return what GPUs cost for seconds × GPUs, in the price's currency; None where one is not known."""
    if gpu_seconds is None or price_per_gpu_hour is None:
        return None
    return gpu_seconds * price_per_gpu_hour / 3600
