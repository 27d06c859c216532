"""Intervals of proportions and means, of differences between two on the same samples, and of averages of these."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

from snakeval.records import Metric
from snakeval.statistics.levels import ALPHA, BLOCK, RESAMPLES, ROUNDING, SEED, quantile


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


def mean_metric(
    values: Sequence[float], trials: int, clusters: Sequence[str] | None = None
) -> Metric:
    """Return the mean over problems with a 95 % interval; all None where there is no problem.

    Args:
        values: one estimate in 0..1 for each problem.
        trials: judged answers in all, at least one for each problem.
        clusters: what each problem shares with others, such as a passage; None where each stands alone.

    The interval is Wilson's at the effective number of trials p (1 - p) / (s² / n), where s² is the
    variance between the problems' estimates. For one answer a problem this is Wilson's own interval.
    For several it is as narrow as the variance between problems allows, never narrower than for
    `trials` independent answers, never wider than for one answer a problem, and stays in 0..1, also
    where all problems agree and a normal or bootstrap interval would shrink to a point.

    Where problems share something, the effective number is that of `clustered_variance`, if it is less,
    and at least that of as many problems as there would be were those of a cluster all alike.

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
    if clusters is not None and len(set(clusters)) > 1:
        shared, fewest = clustered_variance([value - mean for value in values], clusters)
        effective = min(effective, max(mean * (1 - mean) / shared if shared > 0 else 0.0, fewest))
    low, high = wilson(mean * effective, effective)
    return {"value": mean, "ci_low": low, "ci_high": high, "n": n}


def clustered_variance(deviations: Sequence[float], clusters: Sequence[str]) -> tuple[float, float]:
    """Return the variance of a mean whose values come in clusters, and what the values are worth at least.

    Args:
        deviations: of each value from the mean.
        clusters: the cluster of each, at least two different ones.

    The variance is that between the clusters' sums, G / (G - 1) Σ_g (Σ_i∈g d_i)² / n², widened by the
    square of Student's over the normal quantile, as G clusters tell about it with G - 1 degrees of
    freedom only. The second number is n² / Σ_g n_g²: were all values of a cluster the same, they would be
    worth so many independent ones.

    Source: K.-Y. Liang, S. L. Zeger, Biometrika 73 (1986) 13-22; E. Miller, "Adding Error Bars to Evals"
    (2024), section 2.2, for evaluations; E. L. Korn, B. I. Graubard, Survey Methodology 24 (1998) 193-201,
    for the degrees of freedom; L. Kish, "Survey Sampling" (1965), for the second number.
    """
    import numpy as np

    codes = np.unique(np.asarray(clusters), return_inverse=True)[1]
    sums = np.bincount(codes, weights=np.asarray(deviations, dtype=float))
    sizes = np.bincount(codes)
    widened = float(freedom(np.asarray(len(sizes))))
    variance = widened * float((sums**2).sum()) / len(codes) ** 2
    return variance, len(codes) ** 2 / float((sizes**2).sum())


def freedom(clusters: Any) -> Any:
    """Return the factors of `clustered_variance` for numbers of clusters, an array; inf for one."""
    import numpy as np
    from scipy.special import stdtrit

    with np.errstate(divide="ignore", invalid="ignore"):
        student = stdtrit(clusters - 1.0, 1 - ALPHA / 2) / quantile(1 - ALPHA / 2)
        factors = clusters / (clusters - 1.0) * student**2
    return np.where(clusters > 1, factors, np.inf)


def interval_of_sums(
    gains: float, losses: float, n: int, variance: float, least: float = 1.0
) -> tuple[float, float]:
    """Return the 95 % interval of a mean of paired differences from what it depends on.

    Args:
        gains: the sum of the differences above 0.
        losses: the sum of those below 0, as a number above 0.
        n: how many there are.
        variance: of their mean, as estimated.
        least: what one is worth at least: 1, or less where they come in clusters.
    """
    mean = (gains - losses) / n
    of_verdicts = (gains + losses) / n - mean * mean
    more = least
    if variance * n > ROUNDING**2:
        more = max(of_verdicts / (variance * n), least)
    return tango(gains * more, losses * more, n * more)


def tango(
    only_first: float, only_second: float, n: float, confidence: float = 0.95
) -> tuple[float, float]:
    """Return Tango's score interval of the difference of two proportions on the same samples.

    It holds for few samples and for few that the two disagree on, and is no point where there are none.

    Args:
        only_first: samples with a success of the first alone; need not be whole, as the others.
        only_second: samples with a success of the second alone.
        n: all samples, above 0.
        confidence: of the two-sided interval, between 0 and 1.

    Raises:
        ValueError: an argument out of its range.

    Source: T. Tango, Statistics in Medicine 17 (1998) 891-908. Neither scipy nor statsmodels has it.
    """
    from scipy.optimize import brentq

    possible = min(only_first, only_second) >= 0 and only_first + only_second <= n * (1 + ROUNDING)
    if not n > 0 or not possible or not 0 < confidence < 1:
        raise ValueError(f"tango({only_first}, {only_second}, {n}, {confidence}): out of range")
    z = quantile(0.5 + confidence / 2)
    observed = (only_first - only_second) / n

    def score(difference: float) -> float:
        """Return the score statistic of a supposed difference."""
        # The likeliest chance of a success of the second alone, were this the difference.
        b = (2 * n - only_first + only_second) * difference - only_first - only_second
        c = -only_second * difference * (1 - difference)
        chance = (math.sqrt(max(b * b - 8 * n * c, 0)) - b) / (4 * n)
        variance = n * (2 * chance + difference * (1 - difference))
        away = n * (observed - difference)
        if away == 0:
            return 0.0
        return away / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, away)

    # At -1 and 1 themselves nothing varies.
    low = (
        -1.0
        if observed < ROUNDING - 1
        else brentq(lambda d: min(score(d), 2 * z) - z, -1, observed)
    )
    high = (
        1.0 if observed > 1 - ROUNDING else brentq(lambda d: max(score(d), -2 * z) + z, observed, 1)
    )
    return float(low), float(high)


def bootstrapped_ratio(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the ratio of two medians over the same samples.

    Args:
        first: a value above 0 of each sample, at least two.
        second: the same of the other, in the same order.
    """
    import numpy as np
    from scipy import stats

    found = stats.bootstrap(
        (first, second),
        lambda a, b, axis: np.median(a, axis=axis) / np.median(b, axis=axis),
        paired=True,
        vectorized=True,
        confidence_level=1 - ALPHA,
        method="percentile",
        n_resamples=RESAMPLES,
        batch=max(1, BLOCK // len(first)),
        rng=SEED,
    )
    interval = found.confidence_interval
    return float(interval.low), float(interval.high)


Estimate = tuple[float, float, float]  # a value and the ends of its 95 % interval


def averaged(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of independent estimates with its 95 % interval.

    Each counts the same, however many samples it stands on. Variances add up, on either side of the value
    for itself: half the width of the mean's interval is the root of the sum of the squared halves, divided
    by their number. Where intervals are ± 1.96 standard errors, this is the mean ± 1.96 √(Σ se²) / D.

    Source: G. Y. Zou, A. Donner, Statistics in Medicine 27 (2008) 1693-1702 (recovered variances).
    """
    count = len(estimates)
    mean = math.fsum(value for value, _, _ in estimates) / count
    below = math.sqrt(math.fsum((value - low) ** 2 for value, low, _ in estimates)) / count
    above = math.sqrt(math.fsum((high - value) ** 2 for value, _, high in estimates)) / count
    return mean, mean - below, mean + above


def unpaired(first: Estimate, second: Estimate) -> Estimate:
    """Return the difference of two estimates with its 95 % interval, as if they were independent.

    For two results on the same samples, which mostly rise and fall together, it is too wide, not too narrow.

    Source: as `averaged`.
    """
    (a, a_low, a_high), (b, b_low, b_high) = first, second
    return (
        a - b,
        a - b - math.hypot(a - a_low, b_high - b),
        a - b + math.hypot(a_high - a, b - b_low),
    )


def p_value(estimate: Estimate) -> float:
    """Return the two-sided p-value of an estimate being 0, from its 95 % interval's half on that side."""
    value, low, high = estimate
    half = value - low if value > 0 else high - value
    if value == 0 or half <= 0:
        return 1.0 if value == 0 else 0.0
    return math.erfc(abs(value) / half * quantile(1 - ALPHA / 2) / math.sqrt(2))
