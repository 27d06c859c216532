"""Do intervals cover, and do corrected tests keep their level? Made-up worlds of which the truth is known.

Each world draws its samples anew many times, with a fixed seed. A share of 2,000 trials is exact to about
one point; what holds only by a naive computation is shown to fail in the same world.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from snakeval.statistics import (
    ALPHA,
    Estimate,
    all_pairs,
    averaged,
    benjamini_hochberg,
    compared,
    difference_interval,
    holm,
    mcnemar,
    mean_metric,
    p_value,
    rank_intervals,
    unpaired,
    wilson,
)

Random = np.random.Generator
Array = np.ndarray[Any, Any]

COVERS = (0.93, 0.97)

pytestmark = pytest.mark.timeout(900)  # thousands of worlds, beside an engine on the other core


def covered(trials: int, draw: Callable[[Random], tuple[float, float]], truth: float) -> float:
    """Return how often an interval holds the truth."""
    random = np.random.default_rng(6)
    found = (draw(random) for _ in range(trials))
    return sum(low <= truth <= high for low, high in found) / trials


def ends(metric: Any) -> tuple[float, float]:
    return metric["ci_low"], metric["ci_high"]


@pytest.mark.parametrize(("n", "chance"), [(50, 0.5), (164, 0.3), (500, 0.06), (1000, 0.9)])
def test_wilson_covers(n: int, chance: float) -> None:
    share = covered(4000, lambda random: wilson(random.binomial(n, chance), n), chance)
    assert COVERS[0] <= share <= COVERS[1]


def in_passages(random: Random, passages: int = 60, questions: int = 12) -> Array:
    """Return passages × questions verdicts: how hard a passage is, is common to its questions.

    The chance of a right answer is 0.6 on average.
    """
    chances = random.beta(1.8, 1.2, size=passages)
    return (random.random((passages, questions)) < chances[:, None]).astype(float)


def names(table: Array) -> list[str]:
    return [str(number) for number in range(len(table)) for _ in range(table.shape[1])]


@pytest.mark.parametrize(("passages", "questions"), [(20, 12), (60, 12), (300, 3)])
def test_clustered_intervals_cover_where_naive_ones_do_not(passages: int, questions: int) -> None:
    def interval(random: Random, clustered: bool) -> tuple[float, float]:
        table = in_passages(random, passages, questions)
        values = table.ravel().tolist()
        return ends(mean_metric(values, len(values), names(table) if clustered else None))

    assert COVERS[0] <= covered(2000, lambda random: interval(random, True), 0.6) <= COVERS[1]
    assert covered(2000, lambda random: interval(random, False), 0.6) < COVERS[0]


def two_models(random: Random) -> tuple[Array, Array]:
    """Return passages × questions verdicts of two models; the second is better by 0.08 on average.

    By how much depends on the passage, for both directions.
    """
    first = random.beta(4, 4, size=40)
    second = np.clip(first + random.choice([-0.2, 0.0, 0.2, 0.32], size=40), None, None)
    draws = random.random((40, 10))
    return draws < first[:, None], draws < second[:, None]


def gap(random: Random, clustered: bool, turned: bool = False) -> tuple[float, float, float]:
    """Return the interval and the p-value of a difference; turned: of two models that are as good."""
    first, second = two_models(random)
    if turned:  # in each passage either may be the better one
        swap = random.random(len(first)) < 0.5
        first, second = (
            np.where(swap[:, None], b, a) for a, b in ((first, second), (second, first))
        )
    a, b = (table.astype(float).ravel().tolist() for table in (second, first))
    found = compared(a, b, names(first) if clustered else None)
    return found.ci_low, found.ci_high, found.p


def test_clustered_differences_cover_where_naive_ones_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "snakeval.statistics.paired.PERMUTATIONS", 9
    )  # only intervals are looked at
    random = np.random.default_rng(1)
    draws = random.beta(4, 4, size=2_000_000)
    moved = draws + random.choice([-0.2, 0.0, 0.2, 0.32], size=len(draws))
    truth = float(np.mean(np.clip(moved, 0, 1) - draws))
    share = covered(1000, lambda random: gap(random, True)[:2], truth)
    assert COVERS[0] <= share <= COVERS[1]
    assert covered(1000, lambda random: gap(random, False)[:2], truth) < COVERS[0]


def test_the_clustered_test_keeps_its_level_where_the_naive_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("snakeval.statistics.paired.PERMUTATIONS", 499)
    random = np.random.default_rng(2)
    found = [gap(random, True, turned=True)[2] < ALPHA for _ in range(600)]
    naive = [gap(random, False, turned=True)[2] < ALPHA for _ in range(600)]
    assert 0.03 <= np.mean(found) <= 0.07
    assert np.mean(naive) > 0.08


DATASETS = ((164, 0.75), (500, 0.4), (50, 0.92), (1000, 0.55))  # samples, mean chance


def test_averages_over_datasets_cover_where_pooling_does_not() -> None:
    truth = float(np.mean([chance for _, chance in DATASETS]))

    def right(random: Random) -> list[tuple[int, int]]:
        return [(int(random.binomial(n, chance)), n) for n, chance in DATASETS]

    def average(random: Random) -> tuple[float, float]:
        return averaged([(hits / n, *wilson(hits, n)) for hits, n in right(random)])[1:]

    def pooled(random: Random) -> tuple[float, float]:
        found = right(random)
        return wilson(sum(hits for hits, _ in found), sum(n for _, n in found))

    assert COVERS[0] <= covered(4000, average, truth) <= COVERS[1]
    assert covered(4000, pooled, truth) < 0.5


def test_paired_differences_of_averages_cover_and_unpaired_ones_are_too_wide() -> None:
    """The models mostly agree; the second one's chance is higher by 0.06."""

    def parts(random: Random) -> list[tuple[Estimate, Estimate]]:
        found = []
        for n, chance in DATASETS:
            draws, other = random.random(n), random.random(n)
            alike = random.random(n) < 0.7
            first = (draws < chance - 0.03).astype(float)
            second = (np.where(alike, draws, other) < chance + 0.03).astype(float)
            low, high = difference_interval((second - first).tolist())
            apart = unpaired(*((v.mean(), *wilson(v.sum(), n)) for v in (second, first)))
            found.append((((second - first).mean(), low, high), apart))
        return found

    share = covered(1500, lambda random: averaged([one for one, _ in parts(random)])[1:], 0.06)
    assert COVERS[0] <= share <= COVERS[1]
    assert covered(500, lambda random: averaged([one for _, one in parts(random)])[1:], 0.06) > 0.97


def test_an_average_of_normal_intervals_has_the_root_of_the_summed_variances() -> None:
    errors, half = (0.01, 0.02, 0.05), 1.959963984540054
    estimates = [(0.5, 0.5 - half * error, 0.5 + half * error) for error in errors]
    value, low, high = averaged(estimates)
    error = math.sqrt(sum(error**2 for error in errors)) / 3
    assert (value, low, high) == pytest.approx((0.5, 0.5 - half * error, 0.5 + half * error))
    assert p_value((half * 0.01, 0.0, 2 * half * 0.01)) == pytest.approx(ALPHA)
    assert p_value((0.0, -1.0, 1.0)) == 1.0


def models(random: Random, chances: Array, n: int = 400) -> Array:
    """Return models × samples verdicts; easy samples are easier for all."""
    hard = random.normal(0, 1.5, size=n)
    skill = np.log(chances / (1 - chances))[:, None] * 1.4
    return (random.random((len(chances), n)) < 1 / (1 + np.exp(hard - skill))).astype(float)


BAND = np.array([0.7] * 4 + [0.58] * 3 + [0.45] * 5)  # models: equal ones within three groups


def parted(table: Array, correct: Callable[[list[float]], list[float]]) -> list[tuple[int, int]]:
    """Return the pairs shown to differ, the better one first."""
    pairs = list(itertools.combinations(range(len(table)), 2))
    first, second = (table[[pair[side] for pair in pairs]] for side in (0, 1))
    more, less = (first > second).sum(axis=1), (first < second).sum(axis=1)
    shown = np.flatnonzero(np.array(correct(mcnemar(more, less).tolist())) < ALPHA)
    return [pairs[row] if more[row] > less[row] else pairs[row][::-1] for row in shown]


def test_false_discoveries_stay_at_their_level() -> None:
    """By Benjamini and Hochberg of all discoveries, by Holm of all tables; uncorrected they do not."""
    random = np.random.default_rng(3)
    shares: dict[str, list[float]] = {"bh": [], "holm": [], "none": []}
    for _ in range(150):
        table = models(random, BAND)
        for name, correct in (("bh", benjamini_hochberg), ("holm", holm), ("none", list)):
            found = parted(table, correct)
            false = sum(BAND[better] <= BAND[worse] for better, worse in found)
            shares[name].append(false / max(1, len(found)) if name == "bh" else float(false > 0))
    assert np.mean(shares["bh"]) <= ALPHA
    assert np.mean(shares["holm"]) <= ALPHA
    assert np.mean(shares["none"]) > 0.3
    assert (
        min(len(parted(models(random, BAND), holm)) for _ in range(5)) > 20
    )  # it is no test asleep


@pytest.mark.parametrize("chances", [BAND, np.full(12, 0.6), np.linspace(0.5, 0.72, 12)])
def test_the_best_model_is_among_the_first_and_all_ranks_hold(chances: Array) -> None:
    random = np.random.default_rng(4)
    best, all_hold = [], []
    for _ in range(150):
        ranks = rank_intervals(len(chances), parted(models(random, chances), holm))
        best += [ranks[number][0] == 1 for number in np.flatnonzero(chances == chances.max())[:1]]
        true = [(1 + int((chances > c).sum()), int((chances >= c).sum())) for c in chances]
        all_hold.append(
            all(
                low <= first and last <= high
                for (low, high), (first, last) in zip(ranks, true, strict=True)
            )
        )
    assert np.mean(best) >= 0.95
    assert np.mean(all_hold) >= 0.95


def test_ranks_of_a_chain() -> None:
    assert rank_intervals(3, []) == [(1, 3)] * 3
    assert rank_intervals(3, [(0, 1), (0, 2), (1, 2)]) == [(1, 1), (2, 2), (3, 3)]
    assert rank_intervals(3, [(0, 2)]) == [(1, 2), (1, 3), (2, 3)]


def test_all_pairs_are_the_single_comparisons() -> None:
    """Of verdicts and of graded values, whole and with gaps, alone and in clusters."""
    random = np.random.default_rng(5)
    verdicts = models(random, np.array([0.4, 0.5, 0.55]), 300)
    graded = np.clip(verdicts * 0.6 + random.random((3, 300)) * 0.4, 0, 1)
    clusters = [str(number // 5) for number in range(300)]
    for table in (verdicts, graded):
        gaps = table.copy()
        gaps[random.random(gaps.shape) < 0.1] = np.nan
        for values in (table, gaps):
            for shared in (None, clusters):
                for pair in all_pairs(values, shared):
                    both = ~np.isnan(values[[pair.first, pair.second]]).any(axis=0)
                    its = (
                        None
                        if shared is None
                        else [c for c, b in zip(shared, both, strict=True) if b]
                    )
                    one, other = (values[n][both].tolist() for n in (pair.first, pair.second))
                    single = compared(one, other, its)
                    found = pair.comparison
                    assert pair.n == both.sum()
                    assert found.test == single.test
                    assert found.difference == pytest.approx(single.difference)
                    assert (found.ci_low, found.ci_high) == pytest.approx(
                        (single.ci_low, single.ci_high)
                    )
                    exact = found.test == "exact McNemar"
                    assert found.p == pytest.approx(single.p, abs=1e-9 if exact else 0.02)
                    assert found.smallest_detectable == pytest.approx(
                        single.smallest_detectable, rel=0.1
                    )


def test_signs_shared_by_neighbours_leave_the_test_as_it_is() -> None:
    """With more samples than signs: level and power are those of the test with a sign for each sample."""
    random = np.random.default_rng(7)
    values = np.clip(random.normal(0.5, 0.2, (12, 2500)) + random.normal(0, 0.2, 2500), 0, 1)
    for shift, number in ((0.0, 1), (0.008, 2), (0.02, 3)):
        values[number] = np.clip(values[number] + shift, 0, 1)
    for pair in all_pairs(values)[:3]:
        single = compared(values[pair.first].tolist(), values[pair.second].tolist())
        assert pair.comparison.p == pytest.approx(single.p, abs=0.03)


def test_one_cluster_tells_nothing_about_others() -> None:
    values = [0.0, 1.0, 1.0, 1.0]
    assert mean_metric(values, 4, ["a"] * 4) == mean_metric(values, 4)
    assert compared(values, [0.0] * 4, ["a"] * 4) == compared(values, [0.0] * 4)


def test_a_cluster_of_equals_is_worth_one_sample() -> None:
    values = [0.0] * 10 + [1.0] * 10 + [1.0] * 10
    low, high = ends(mean_metric(values, 30, [str(n // 10) for n in range(30)]))
    assert (low, high) == pytest.approx(wilson(2, 3))
    alone = mean_metric(values, 30, [str(n) for n in range(30)])
    assert ends(alone) == pytest.approx(ends(mean_metric(values, 30)), abs=0.02)
