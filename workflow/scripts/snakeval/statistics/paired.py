"""Results on the same samples: two of them, or all pairs of many.

values: models × samples  ──differences──▶  Differences, a row for each pair  ──all_pairs──▶  Comparison
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from snakeval.statistics.intervals import freedom, interval_of_sums
from snakeval.statistics.levels import ALPHA, BLOCK, PERMUTATIONS, ROUNDING, SEED, quantile
from snakeval.statistics.power import detectable, detectable_share

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

EXACT = 13  # units that differ, up to which all their permutations are gone through
SIGNS = 1000  # drawn at most in one permutation of many pairs; beyond, neighbouring units share one
DRAWS_FOR_EACH = 40  # permutations for each of many pairs, so that corrected p-values can be small
SINGLE = 1e-5  # what sums in single precision may be off, as a share of their terms


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
    test: Literal["exact McNemar", "paired permutation", "cluster permutation"]


@dataclass(frozen=True)
class Paired:
    """The comparison of two of several results, by their numbers, and on how many samples it stands."""

    first: int
    second: int
    n: int
    comparison: Comparison


@dataclass(frozen=True)
class Differences:
    """What is known of paired differences, a row for each pair.

    Args:
        n: samples that both hold.
        gains: the sum of the differences above 0.
        losses: the sum of those below 0, as a number above 0.
        variance: of the mean difference.
        least: how many independent samples one is worth at least; below 1 only in clusters.
        units: the differences of what is independent: pairs × samples, or pairs × clusters, of their sums.
    """

    n: Array
    gains: Array
    losses: Array
    variance: Array
    least: Array
    units: Array

    def interval(self, row: int) -> tuple[float, float]:
        """Return the 95 % interval of a pair's mean difference."""
        sums = (self.gains, self.losses, self.n, self.variance, self.least)
        gains, losses, n, variance, least = (column[row].item() for column in sums)
        return interval_of_sums(gains, losses, n, variance, least)


def compared(
    first: Sequence[float], second: Sequence[float], clusters: Sequence[str] | None = None
) -> Comparison:
    """Compare two results sample by sample, as `all_pairs` does.

    Args:
        first: the value of each sample, 0..1; the mean where it was asked several times.
        second: the same of the other, in the same order.
        clusters: what each sample shares with others, such as a passage; None where each stands alone.

    Raises:
        ValueError: unequal numbers of values, or none.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"compared: {len(first)} and {len(second)} values")
    (found,) = all_pairs([first, second], clusters)
    return found.comparison


def all_pairs(
    values: Sequence[Sequence[float]] | Array, clusters: Sequence[str] | None = None
) -> list[Paired]:
    """Compare each of several results with each behind it, over the samples that both hold.

    Args:
        values: results × samples, 0..1; the mean where a sample was asked several times, NaN where there is
            none.
        clusters: what each sample shares with others, such as a passage; None where each stands alone.

    Verdicts, which are all 0 or 1, are tested by McNemar's exact test, other values by permutation, and all
    values that come in clusters by permutation of whole clusters. Pairs without a common sample are left
    out. Of many pairs `smallest_detectable` is rounded: that of a share of disagreements rounded up to two
    digits.
    """
    import numpy as np

    table = np.asarray(values, dtype=float)
    if len(table) < 2:
        return []
    starts = None
    if clusters is not None and len(set(clusters)) > 1:
        codes = np.unique(np.asarray(clusters), return_inverse=True)[1]
        order = np.argsort(codes, kind="stable")
        table, starts = table[:, order], np.flatnonzero(np.diff(codes[order], prepend=-1))
    first, second = np.triu_indices(len(table), 1)
    found = _differences(
        (table[number] - table[number + 1 :] for number in range(len(table) - 1)), starts
    )
    verdicts = (np.isnan(table) | (table == 0) | (table == 1)).all(axis=1)
    exact = verdicts[first] & verdicts[second] & (starts is None)
    p = np.ones(len(first))
    p[exact] = mcnemar(found.gains[exact], found.losses[exact])
    rest = np.flatnonzero(~exact)
    p[rest] = _permutations(_sums(np.nan_to_num(table), starts), first, second, found.units, rest)
    test: Literal["paired permutation", "cluster permutation"]
    test = "paired permutation" if starts is None else "cluster permutation"
    width = quantile(1 - ALPHA / 2)
    result = []
    for row in np.flatnonzero(found.n):
        n, error = int(found.n[row]), math.sqrt(found.variance[row])
        if exact[row]:
            share = float(found.gains[row] + found.losses[row]) / n
            smallest = detectable(n, share if len(first) == 1 else _coarse(share))
        else:
            smallest = detectable_share(width * error) if error > ROUNDING else detectable(n, 0)
        comparison = Comparison(
            float(found.gains[row] - found.losses[row]) / n,
            *found.interval(row),
            float(p[row]),
            smallest,
            "exact McNemar" if exact[row] else test,
        )
        result.append(Paired(int(first[row]), int(second[row]), n, comparison))
    return result


def difference_interval(differences: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of paired differences.

    Args:
        differences: one for each sample, -1..1, at least one.

    Tango's interval, of the sums of gains and of losses. For verdicts, which differ by -1, 0 or 1, these
    are counts. Other differences vary less than such counts would: the interval is then that of as many
    more samples as it takes for the variance seen between the differences, as in `mean_metric`; of fewer
    where they come in clusters. It holds where few samples differ, all of them in one direction, where a
    bootstrap's would be too narrow.
    """
    import numpy as np

    return _differences([np.array([differences], dtype=float)], None).interval(0)


def _differences(blocks: Iterable[Array], starts: Array | None) -> Differences:
    """Sum up differences.

    Args:
        blocks: pairs × samples, NaN where one of the two has no value; those of a cluster side by side.
        starts: the number of each cluster's first sample; None where each sample stands alone.
    """
    import numpy as np

    columns: list[tuple[Array, ...]] = []
    for block in blocks:
        judged = ~np.isnan(block)
        known = np.where(judged, block, 0.0)
        n = judged.sum(axis=1)
        gains = known.clip(min=0).sum(axis=1)
        losses = -known.clip(max=0).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = (gains - losses) / n
            squares = (((known - mean[:, None]) * judged) ** 2).sum(axis=1)
            variance = np.where(n > 1, squares / (n - 1) / n, 0.0)
            least = np.ones(len(n))
            units = known
            if starts is not None:
                units, sizes = _sums(known, starts), _sums(judged.astype(float), starts)
                clusters = (sizes > 0).sum(axis=1)
                between = ((units - sizes * mean[:, None]) ** 2).sum(axis=1) / n**2
                several = clusters > 1
                shared = np.where(several, freedom(clusters) * between, 0.0)
                variance = np.maximum(variance, shared)
                least = np.where(several, n / (sizes**2).sum(axis=1), 1.0)
        columns.append((n, gains, losses, variance, least, units.astype(np.float32)))
    return Differences(*map(np.concatenate, zip(*columns, strict=True)))


def _sums(table: Array, starts: Array | None) -> Array:
    """Return rows × clusters of rows × samples."""
    import numpy as np

    return table if starts is None else np.add.reduceat(table, starts, axis=1)


def _coarse(share: float) -> float:
    """Round a share up to two digits."""
    if share == 0:
        return 0.0
    scale = 10.0 ** (1 - math.floor(math.log10(share)))
    return min(1.0, math.ceil(share * scale - ROUNDING) / scale)


def mcnemar(only_first: Any, only_second: Any) -> Any:
    """Return the two-sided p-value of McNemar's exact test.

    Args:
        only_first: samples with a success of the first alone; a number, or an array of such.
        only_second: samples with a success of the second alone.

    Source: Q. McNemar, Psychometrika 12 (1947) 153-157; exact: a binomial test of the disagreements.
    """
    import numpy as np
    from scipy.stats import binom

    fewer = np.minimum(only_first, only_second)
    return np.minimum(1.0, 2 * binom.cdf(fewer, np.add(only_first, only_second), 0.5))


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


def _permutations(
    results: Array, first: Array, second: Array, units: Array, chosen: Array
) -> Array:
    """Return the p-values of `permuted` for chosen pairs, all from the same draws where they are many.

    Args:
        results: results × units, 0 where there is no value.
        first: the result that each pair begins with.
        second: that which it is compared with.
        units: pairs × units, the differences.
        chosen: the pairs.

    The sum of a pair's differences with drawn signs is the difference of its two results' sums, so only
    these need to be multiplied with the signs; but for units that are not whole in some result. A test by
    some of all sign changes, as by those that are the same for neighbours, keeps its level as one by all.

    Source: for the last, J. Hemerik, J. Goeman, TEST 27 (2018) 811-825.
    """
    import numpy as np

    p = np.ones(len(chosen))
    few = (units[chosen] != 0).sum(axis=1) <= EXACT
    alone = np.full(len(chosen), True) if len(chosen) == 1 else few
    for place in np.flatnonzero(alone):
        p[place] = permuted(units[chosen[place]])
    rows = chosen[~alone]
    if not len(rows):
        return p
    a, b = first[rows], second[rows]
    starts = np.arange(0, results.shape[1], -(-results.shape[1] // SIGNS))
    whole, units = (_sums(table, starts).astype(np.float32) for table in (results, units[rows]))
    lacking = units - (whole[a] - whole[b])
    parts = np.flatnonzero((np.abs(lacking) > SINGLE).any(axis=0))
    lacking = lacking[:, parts]
    # What rounding may part counts as equal.
    seen = np.abs(units.sum(axis=1, dtype=float)) - SINGLE * np.abs(units).sum(axis=1)
    draws = max(PERMUTATIONS, DRAWS_FOR_EACH * len(first))
    as_large = np.zeros(len(rows), dtype=int)
    for signs in _signs(draws, len(starts)):
        sums = signs @ whole.T
        drawn = sums[:, a] - sums[:, b]
        if len(parts):
            drawn += signs[:, parts] @ lacking.T
        as_large += (np.abs(drawn) >= seen).sum(axis=0)
    p[~alone] = (as_large + 1) / (draws + 1)
    return p


def _signs(draws: int, units: int) -> Iterator[Array]:
    """Yield draws × units numbers in blocks, each 1 or -1."""
    import numpy as np

    random = np.random.default_rng(SEED)
    rows = max(1, BLOCK // units)
    for start in range(0, draws, rows):
        count = min(rows, draws - start)
        bits = np.frombuffer(random.bytes(-(-count * units // 8)), dtype=np.uint8)
        drawn = np.unpackbits(bits, count=count * units).reshape(count, units)
        yield 2 * drawn.astype(np.float32) - 1


def _mean(values: Any, axis: int = -1) -> Any:
    return values.mean(axis=axis)
