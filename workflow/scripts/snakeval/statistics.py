"""Numbers with their uncertainty.

Problems are the unit: the interval says how far the value may move with other problems of the same
kind, not with another run on these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from snakeval.records import Metric


def wilson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion.

    Args:
        successes: 0..n; need not be whole.
        n: number of trials, above 0; need not be whole (an effective number).
        confidence: of the two-sided interval, between 0 and 1.

    Raises:
        ValueError: an argument out of its range.

    Source: E. B. Wilson, JASA 22 (1927) 209-212.
    """
    if not n > 0 or not 0 <= successes <= n or not 0 < confidence < 1:
        raise ValueError(f"wilson({successes}, {n}, {confidence}): out of range")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Exactly 0 and 1 at the ends, where rounding would miss them.
    low = 0.0 if successes == 0 else max(0.0, center - half)
    high = 1.0 if successes == n else min(1.0, center + half)
    return low, high


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the unbiased estimate of the chance that one of k answers to a problem is right.

    1 - C(n - c, k) / C(n, k), as a product, so that nothing overflows.

    Args:
        n: answers that were judged.
        c: those that are right.
        k: answers that would be tried.

    Raises:
        ValueError: not 0 <= c <= n, or not 1 <= k <= n.

    Source: Chen et al., "Evaluating Large Language Models Trained on Code" (2021), section 2.1.
    """
    if not 0 <= c <= n:
        raise ValueError(f"pass_at_k: {c} right answers out of {n}")
    if not 1 <= k <= n:
        raise ValueError(f"pass_at_k: k = {k} needs at least as many answers, not {n}")
    if n - c < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1))


def attempts_counts(repeats: int) -> list[int]:
    """Return 1, 2, 5, 10, 20, 50, … up to `repeats`: the k for which pass@k is given."""
    counts = []
    power = 1
    while power <= repeats:
        counts += [k for k in (power, 2 * power, 5 * power) if k <= repeats]
        power *= 10
    return counts


def mean_metric(values: Sequence[float], trials: int) -> Metric:
    """Return the mean over problems with a 95 % interval; all None where there is no problem.

    Args:
        values: one estimate in 0..1 for each problem.
        trials: judged answers in all, at least one for each problem.

    The interval is Wilson's at the effective number of trials p (1 - p) / (s² / n), where s² is the
    variance between the problems' estimates. For one answer a problem this is Wilson's own interval.
    For several it is as narrow as the variance between problems allows, never narrower than for
    `trials` independent answers, never wider than for one answer a problem, and stays in 0..1, also
    where all problems agree and a normal or bootstrap interval would shrink to a point.

    Source: C. Franco et al., J. Survey Stat. Methodol. 7 (2019) 334-364, on Wilson's interval at an
    effective sample size.
    """
    n = len(values)
    if n == 0:
        return {"value": None, "ci_low": None, "ci_high": None, "n": 0}
    # Rounding must not carry the mean of equal values beyond them.
    mean = min(max(math.fsum(values) / n, min(values)), max(values))
    variance = math.fsum((value - mean) ** 2 for value in values) / n
    effective = float(trials)
    if variance > 0:
        effective = min(max(mean * (1 - mean) / variance * n, n), trials)
    elif mean in (0.0, 1.0):
        effective = float(n)
    low, high = wilson(mean * effective, effective)
    return {"value": mean, "ci_low": low, "ci_high": high, "n": n}
