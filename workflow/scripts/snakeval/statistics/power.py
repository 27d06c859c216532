"""What so many samples can show."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from snakeval.statistics.levels import ALPHA, POWER, quantile


@cache
def detectable(n: int, disagreeing: float) -> float | None:
    """Return the smallest difference of two proportions that McNemar's exact test would mostly show.

    Args:
        n: samples, at least 1.
        disagreeing: the share of samples on which the two disagree, as far as is known; it cannot be
            less than the difference.

    Mostly is a power of 80 % at a level of 5 %, summed over all outcomes. None where so few samples
    could show no difference at all.

    Source: for the setting, R. J. Connor, Biometrics 43 (1987) 207-211, whose formula approximates it.
    """
    import numpy as np
    from scipy.optimize import brentq
    from scipy.stats import binom

    edges = _edges(n)

    def lacking(difference: float) -> float:
        share = max(disagreeing, difference)
        chance = (1 + difference / share) / 2 if share else 0.5
        # Numbers of disagreements beyond nine standard deviations play no part.
        room = 9 * math.sqrt(n * share * (1 - share)) + 9
        first, last = max(0, math.floor(n * share - room)), min(n, math.ceil(n * share + room))
        counts, edge = np.arange(first, last + 1), edges[first : last + 1]
        shown = binom.cdf(edge, counts, chance) + binom.sf(counts - edge - 1, counts, chance)
        return float(binom.pmf(counts, n, share) @ shown) - POWER

    return None if lacking(1) < 0 else float(brentq(lacking, 0, 1))


def detectable_share(half: float) -> float:
    """Return the smallest difference that a test with a 95 % interval of value ± `half` would mostly show."""
    return half * (1 + quantile(POWER) / quantile(1 - ALPHA / 2))


@cache
def _edges(n: int) -> Any:
    """Return the most successes of the one alone that are too few, by how many samples of 0..n disagree."""
    import numpy as np
    from scipy.stats import binom

    counts = np.arange(n + 1)
    edge = binom.ppf(ALPHA / 2, counts, 0.5)
    return edge - (binom.cdf(edge, counts, 0.5) > ALPHA / 2)
