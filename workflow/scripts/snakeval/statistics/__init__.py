"""Numbers with their uncertainty.

Problems are the unit: the interval says how far the value may move with other problems of the same
kind, not with another run on these. Where problems share a passage or a subject, that is the unit.

levels  ──▶  intervals, power  ──▶  paired        multiplicity, attempts
"""

from snakeval.statistics.attempts import attempts_counts, pass_at_k
from snakeval.statistics.intervals import (
    Estimate,
    averaged,
    bootstrapped_ratio,
    clustered_variance,
    mean_metric,
    p_value,
    tango,
    unpaired,
    wilson,
)
from snakeval.statistics.levels import ALPHA, POWER
from snakeval.statistics.multiplicity import benjamini_hochberg, holm, rank_intervals
from snakeval.statistics.paired import (
    Comparison,
    Paired,
    all_pairs,
    compared,
    difference_interval,
    mcnemar,
    permuted,
)
from snakeval.statistics.power import detectable, detectable_share

__all__ = [
    "ALPHA",
    "POWER",
    "Comparison",
    "Estimate",
    "Paired",
    "all_pairs",
    "attempts_counts",
    "averaged",
    "benjamini_hochberg",
    "bootstrapped_ratio",
    "clustered_variance",
    "compared",
    "detectable",
    "detectable_share",
    "difference_interval",
    "holm",
    "mcnemar",
    "mean_metric",
    "p_value",
    "pass_at_k",
    "permuted",
    "rank_intervals",
    "tango",
    "unpaired",
    "wilson",
]
