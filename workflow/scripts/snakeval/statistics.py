"""Numbers with their uncertainty.

Problems are the unit: the interval says how far the value may move with other problems of the same
kind, not with another run on these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, stdev
from typing import Any, Literal

from snakeval.records import Metric

ALPHA = 0.05  # of tests, two-sided; intervals cover 1 - ALPHA
POWER = 0.8  # with which the smallest detectable difference is detected
ROUNDING = 1e-9  # what is less is taken for 0
RESAMPLES = 2000  # for an interval
PERMUTATIONS = 9999  # for a p-value: enough for Holm's correction over a hundred tests
SEED = 20240229
BLOCK = 4_000_000  # numbers drawn at once: 32 MB


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


@dataclass(frozen=True)
class Comparison:
    """Two results on the same samples.

    Args:
        difference: first - second, in -1..1.
        ci_low: of its 95 % interval.
        ci_high: of its 95 % interval.
        p: how likely a difference as large is where there is none; two-sided.
        smallest_detectable: the true difference that as many samples would show with a power of 80 %;
            None where they are too few for any.
        test: where `p` comes from.
    """

    difference: float
    ci_low: float
    ci_high: float
    p: float
    smallest_detectable: float | None
    test: Literal["exact McNemar", "paired permutation"]


def compared(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Compare two results sample by sample.

    Args:
        first: the value of each sample, 0..1; the mean where it was asked several times.
        second: the same of the other, in the same order.

    Verdicts, which are all 0 or 1, are tested by McNemar's exact test, other values by permutation.

    Raises:
        ValueError: unequal numbers of values, or none.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"compared: {len(first)} and {len(second)} values")
    n = len(first)
    differences = [a - b for a, b in zip(first, second, strict=True)]
    mean = math.fsum(differences) / n
    low, high = difference_interval(differences)
    if {*first, *second} <= {0, 1}:
        only_first, only_second = differences.count(1), differences.count(-1)
        smallest = detectable(n, (only_first + only_second) / n)
        return Comparison(
            mean, low, high, mcnemar(only_first, only_second), smallest, "exact McNemar"
        )
    error = stdev(differences) / math.sqrt(n) if n > 1 else 0.0
    distance = _normal(1 - ALPHA / 2) + _normal(POWER)
    smallest = distance * error if error > ROUNDING else detectable(n, 0)
    return Comparison(mean, low, high, permuted(differences), smallest, "paired permutation")


def difference_interval(differences: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of paired differences.

    Args:
        differences: one for each sample, -1..1, at least one.

    Tango's interval, of the sums of gains and of losses. For verdicts, which differ by -1, 0 or 1, these
    are counts. Other differences vary less than such counts would: the interval is then that of as many
    more samples as it takes for the variance seen between the differences, as in `mean_metric`. It holds
    where few samples differ, all of them in one direction, where a bootstrap's would be too narrow.
    """
    n = len(differences)
    gains = math.fsum(value for value in differences if value > 0)
    losses = -math.fsum(value for value in differences if value < 0)
    mean = (gains - losses) / n
    of_verdicts = (gains + losses) / n - mean * mean
    seen = stdev(differences) if n > 1 else 0.0
    more = max(of_verdicts / seen**2, 1.0) if seen > ROUNDING else 1.0
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
    z = _normal(0.5 + confidence / 2)
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
    low = -1.0 if observed == -1 else brentq(lambda d: min(score(d), 2 * z) - z, -1, observed)
    high = 1.0 if observed == 1 else brentq(lambda d: max(score(d), -2 * z) + z, observed, 1)
    return float(low), float(high)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    Args:
        only_first: samples with a success of the first alone.
        only_second: samples with a success of the second alone.

    Source: Q. McNemar, Psychometrika 12 (1947) 153-157; exact: a binomial test of the disagreements.
    """
    from scipy.stats import binomtest

    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


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


def permuted(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of the paired permutation test: each sign may be the other one.

    Args:
        differences: one for each sample.

    Exact for up to 13 samples that differ; beyond, from 9,999 draws with a fixed seed.

    Source: R. A. Fisher, "The Design of Experiments" (1935), section 21.
    """
    from scipy.stats import permutation_test

    unequal = [value for value in differences if value != 0]  # others stay the same
    if len(unequal) < 2:
        return 1.0
    found = permutation_test(
        (unequal,),
        _mean,
        permutation_type="samples",
        n_resamples=PERMUTATIONS,
        batch=max(1, BLOCK // len(unequal)),
        rng=SEED,
    )
    return float(found.pvalue)


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

    counts = np.arange(n + 1)
    # The most successes of the one alone that are too few, by how many samples disagree.
    edge = binom.ppf(ALPHA / 2, counts, 0.5)
    edge -= binom.cdf(edge, counts, 0.5) > ALPHA / 2

    def lacking(difference: float) -> float:
        share = max(disagreeing, difference)
        chance = (1 + difference / share) / 2 if share else 0.5
        shown = binom.cdf(edge, counts, chance) + binom.sf(counts - edge - 1, counts, chance)
        return float(binom.pmf(counts, n, share) @ shown) - POWER

    return None if lacking(1) < 0 else float(brentq(lacking, 0, 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, so that one false finding among all stays as rare.

    Source: S. Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.
    """
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests

    corrected: list[float] = multipletests(p_values, method="holm")[1].tolist()
    return corrected


def _normal(share: float) -> float:
    return NormalDist().inv_cdf(share)


def _mean(values: Any, axis: int = -1) -> Any:
    return values.mean(axis=axis)
