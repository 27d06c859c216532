"""What all of the package holds to: levels of tests and intervals, and how much is drawn."""

from statistics import NormalDist

ALPHA = 0.05  # of tests, two-sided; intervals cover 1 - ALPHA
POWER = 0.8  # with which the smallest detectable difference is detected
ROUNDING = 1e-9  # what is less is taken for 0
RESAMPLES = 2000  # for an interval
PERMUTATIONS = 9999  # for a p-value: enough for Holm's correction over a hundred tests
SEED = 20240229
BLOCK = 4_000_000  # numbers drawn at once: 32 MB


def quantile(share: float) -> float:
    """Return the quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(share)
