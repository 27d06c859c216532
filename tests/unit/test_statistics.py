"""Estimates and intervals against closed forms, other implementations, and plain counting."""

from __future__ import annotations

import itertools
import math
import random
from functools import cache

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom, binomtest, multinomial, ttest_1samp
from snakeval.statistics import (
    attempts_counts,
    bootstrapped_ratio,
    compared,
    detectable,
    difference_interval,
    holm,
    mcnemar,
    mean_metric,
    pass_at_k,
    permuted,
    tango,
    wilson,
)
from statsmodels.stats import contingency_tables


def test_wilson_agrees_with_scipy() -> None:
    for n in (1, 2, 7, 82, 164, 10_000):
        for successes in {0, 1, n // 3, n // 2, n - 1, n}:
            for confidence in (0.8, 0.95, 0.99):
                theirs = binomtest(successes, n).proportion_ci(confidence, method="wilson")
                ours = wilson(successes, n, confidence)
                assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_closed_forms() -> None:
    z2 = 1.959963984540054**2
    assert wilson(0, 10) == pytest.approx((0, z2 / (10 + z2)))
    assert wilson(10, 10) == pytest.approx((10 / (10 + z2), 1))
    low, high = wilson(5, 10)
    assert low + high == pytest.approx(1)
    assert (high - low) / 2 == pytest.approx(0.5 * math.sqrt(z2 / (10 + z2)))


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_proportion(case: tuple[int, int]) -> None:
    successes, n = case
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert low < high


@pytest.mark.parametrize(
    "arguments", [(0, 0), (-1, 5), (6, 5), (1, 5, 0), (1, 5, 1), (1, math.nan)]
)
def test_wilson_refuses(arguments: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        wilson(*arguments)


def test_pass_at_k_counts_the_draws() -> None:
    for n in range(1, 8):
        for c in range(n + 1):
            answers = [True] * c + [False] * (n - c)
            for k in range(1, n + 1):
                draws = list(itertools.combinations(answers, k))
                share = sum(map(any, draws)) / len(draws)
                assert pass_at_k(n, c, k) == pytest.approx(share, abs=1e-12)


def test_pass_at_k_with_many_answers() -> None:
    assert pass_at_k(10_000, 3, 1) == pytest.approx(3 / 10_000)
    exact = 1 - math.comb(9_000, 500) / math.comb(10_000, 500)
    assert pass_at_k(10_000, 1_000, 500) == pytest.approx(exact)
    assert pass_at_k(200, 0, 200) == 0
    assert pass_at_k(200, 1, 200) == 1


@pytest.mark.parametrize("arguments", [(5, 6, 1), (5, -1, 1), (5, 1, 0), (5, 1, 6), (0, 0, 1)])
def test_pass_at_k_refuses(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="pass_at_k"):
        pass_at_k(*arguments)


def test_counts_of_attempts() -> None:
    assert attempts_counts(1) == [1]
    assert attempts_counts(4) == [1, 2]
    assert attempts_counts(10) == [1, 2, 5, 10]
    assert attempts_counts(250) == [1, 2, 5, 10, 20, 50, 100, 200]


def test_no_problem_gives_no_number() -> None:
    assert mean_metric([], 0) == {"value": None, "ci_low": None, "ci_high": None, "n": 0}


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 1), (1, 1), (0, 164), (9, 164), (82, 164), (3, 7)]
)
def test_one_answer_a_problem_gives_wilsons_interval(successes: int, n: int) -> None:
    metric = mean_metric([1.0] * successes + [0.0] * (n - successes), n)
    low, high = wilson(successes, n)
    assert metric["value"] == pytest.approx(successes / n)
    assert (metric["ci_low"], metric["ci_high"]) == pytest.approx((low, high))
    assert metric["n"] == n


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_several_answers_narrow_the_interval_within_bounds(right: list[int]) -> None:
    n = len(right)
    metric = mean_metric([count / 5 for count in right], 5 * n)
    value, low, high = metric["value"], metric["ci_low"], metric["ci_high"]
    assert value is not None
    assert low is not None
    assert high is not None
    assert 0 <= low <= value <= high <= 1
    widest = wilson(value * n, n)
    narrowest = wilson(value * 5 * n, 5 * n)
    assert widest[0] - 1e-9 <= low <= narrowest[0] + 1e-9
    assert narrowest[1] - 1e-9 <= high <= widest[1] + 1e-9


@pytest.mark.parametrize("shape", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("k", [1, 3])
def test_the_interval_covers_the_truth_as_often_as_it_says(shape: float, k: int) -> None:
    """Simulated: problems of random difficulty, five answers each."""
    rng = random.Random(7)
    pool = [rng.betavariate(shape, 2 * shape) for _ in range(20_000)]
    truth = sum(1 - (1 - p) ** k for p in pool) / len(pool)
    covered = 0
    for _ in range(1_000):
        counts = [sum(rng.random() < p for _ in range(5)) for p in rng.choices(pool, k=80)]
        metric = mean_metric([pass_at_k(5, count, k) for count in counts], 400)
        assert metric["ci_low"] is not None
        assert metric["ci_high"] is not None
        covered += metric["ci_low"] <= truth <= metric["ci_high"]
    assert 930 <= covered <= 985  # 95 % of 1,000, give or take three standard errors


@pytest.mark.parametrize(
    ("cells", "interval"),
    [
        ((6, 16, 161), (-0.1240, -0.0054)),  # as the R package contingencytables gives it
        ((0, 0, 50), (-0.07135, 0.07135)),  # z² / (n + z²)
        ((10, 0, 10), (0.44493, 1.0)),  # (n - z²) / (n + z²)
    ],
)
def test_tango_gives_known_intervals(
    cells: tuple[int, int, int], interval: tuple[float, float]
) -> None:
    assert tango(*cells) == pytest.approx(interval, abs=5e-5)


@pytest.mark.parametrize("cells", [(12, 2, 50), (40, 20, 160), (0, 3, 30), (5, 5, 10), (1, 0, 1)])
def test_tango_inverts_the_score_test(cells: tuple[int, int, int]) -> None:
    """At the ends, Σ (observed - supposed)² / variance is z², with the likeliest chances looked for."""
    b, c, n = cells
    for end in tango(*cells):
        if abs(end) == 1:
            continue

        def unlikely(chance: float, end: float = end) -> float:
            parts = ((b, chance + end), (c, chance), (n - b - c, 1 - 2 * chance - end))
            return -sum(count * math.log(max(p, 1e-300)) for count, p in parts if count)

        low, high = max(0.0, -end), (1 - end) / 2
        chance = minimize_scalar(unlikely, bounds=(low, high), options={"xatol": 1e-10}).x
        variance = (2 * chance + end - end * end) / n
        assert ((b - c) / n - end) ** 2 / variance == pytest.approx(3.8415, rel=1e-3)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.data())
def test_tango_holds_the_difference_and_turns_with_the_sides(
    case: tuple[int, int], data: st.DataObject
) -> None:
    disagreeing, n = case
    first = data.draw(st.integers(0, disagreeing))
    low, high = tango(first, disagreeing - first, n)
    assert -1 <= low <= (2 * first - disagreeing) / n <= high <= 1
    assert low < high
    assert tango(disagreeing - first, first, n) == pytest.approx((-high, -low), abs=1e-9)


@pytest.mark.parametrize("cells", [(-1, 0, 5), (3, 3, 5), (0, 0, 0), (1, 1, 5, 1)])
def test_tango_refuses(cells: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        tango(*cells)  # type: ignore[arg-type]


@pytest.mark.parametrize("cells", [(0, 0), (5, 0), (6, 0), (3, 9), (7, 7), (40, 20)])
def test_mcnemar_is_statsmodels(cells: tuple[int, int]) -> None:
    theirs = contingency_tables.mcnemar([[9, cells[0]], [cells[1], 4]], exact=True).pvalue
    assert mcnemar(*cells) == pytest.approx(theirs)
    assert mcnemar(6, 0) == pytest.approx(2 / 64)


def test_verdicts_are_compared_by_their_cells() -> None:
    first, second = [1, 1, 1, 1, 0, 0, 1.0], [1, 0, 0, 1, 0, 1, 1.0]
    found = compared(first, second)
    assert found.difference == pytest.approx(1 / 7)
    assert (found.ci_low, found.ci_high) == tango(2, 1, 7)
    assert (found.p, found.test) == (mcnemar(2, 1), "exact McNemar")
    assert found.smallest_detectable == detectable(7, 3 / 7)


def test_graded_values_are_permuted_exactly_where_they_are_few() -> None:
    """By hand: of the 16 ways to sign 0.1, 0.2, 0.3 and 0.4, these two lie as far out: + + + +, - - - -."""
    found = compared([0.6, 0.7, 0.8, 0.9, 0.2], [0.5, 0.5, 0.5, 0.5, 0.2])
    assert found.difference == pytest.approx(0.2)
    assert found.p == pytest.approx(2 / 16)
    assert found.test == "paired permutation"
    assert found.ci_low < 0.2 < found.ci_high


def test_the_permutation_test_of_many_is_wilcoxons_neighbour() -> None:
    """Where all differences have one size, the permutation test is the sign test."""
    differences = [0.25] * 40 + [-0.25] * 20 + [0.0] * 15
    assert permuted(differences) == pytest.approx(binomtest(40, 60).pvalue, abs=0.004)


def test_the_interval_of_many_graded_values_is_the_t_interval() -> None:
    rng = random.Random(3)
    first = [rng.random() for _ in range(400)]
    second = [value * rng.choice([0.6, 0.9, 1.0]) for value in first]
    found = compared(first, second)
    differences = [a - b for a, b in zip(first, second, strict=True)]
    interval = ttest_1samp(differences, 0).confidence_interval()
    assert (found.ci_low, found.ci_high) == pytest.approx((interval.low, interval.high), abs=0.003)
    error = (interval.high - interval.low) / 2 / 1.966
    assert found.smallest_detectable == pytest.approx((1.96 + 0.8416) * error, rel=1e-3)


@given(st.lists(st.integers(-1, 1), min_size=1, max_size=50))
def test_the_interval_of_verdicts_is_tangos(differences: list[int]) -> None:
    gains, losses = differences.count(1), differences.count(-1)
    expected = tango(gains, losses, len(differences))
    assert difference_interval(differences) == pytest.approx(expected, abs=1e-6)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=50))
def test_the_interval_of_graded_values_holds_their_mean(differences: list[float]) -> None:
    low, high = difference_interval(differences)
    mean = math.fsum(differences) / len(differences)
    assert -1 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= 1
    assert low < high


def test_equal_differences_give_no_point() -> None:
    assert difference_interval([0.0] * 20) == tango(0, 0, 20)
    assert difference_interval([0.25] * 20) == tango(5, 0, 20)
    assert compared([0.5] * 20, [0.25] * 20).smallest_detectable == detectable(20, 0)


def test_the_ratio_of_medians_is_drawn_by_sample() -> None:
    first = [0.5 + 0.01 * n for n in range(99)]
    low, high = bootstrapped_ratio(first, first)
    assert (low, high) == (1, 1)  # in pairs; drawn apart, the two would differ
    assert bootstrapped_ratio([2 * value for value in first], first) == (2, 2)


@pytest.mark.parametrize(("n", "disagreeing"), [(164, 0.1), (50, 0.3), (200, 0.02), (30, 0)])
def test_the_detectable_difference_is_detected_as_often_as_it_says(
    n: int, disagreeing: float
) -> None:
    """Counted over all outcomes, one by one."""
    smallest = detectable(n, disagreeing)
    assert smallest is not None
    share = max(disagreeing, smallest)
    first, second = (share + smallest) / 2, (share - smallest) / 2
    power = sum(
        multinomial.pmf([b, c, n - b - c], n, [first, second, 1 - share])
        for b in range(n + 1)
        for c in range(min(n - b, 40) + 1)
        if mcnemar_of(b, c) <= 0.05
    )
    assert power == pytest.approx(0.8, abs=1e-6)


@cache
def mcnemar_of(b: int, c: int) -> float:
    return min(1.0, 2 * float(binom.cdf(min(b, c), b + c, 0.5)))


def test_too_few_samples_detect_nothing() -> None:
    assert detectable(5, 0.2) is None  # 5 to 0 has p = 1/16
    assert detectable(6, 0.2) == pytest.approx(0.8 ** (1 / 6))  # 6 to 0 is the only way
    assert compared([1, 0], [1, 1]).smallest_detectable is None


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1, 1])
    assert holm([]) == []


@pytest.mark.parametrize("values", [([], []), ([1.0], [1.0, 0.0])])
def test_compared_refuses(values: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="compared"):
        compared(*values)


@pytest.mark.parametrize(
    ("n", "first", "second"), [(40, 0.15, 0.15), (40, 0.2, 0.05), (164, 0.08, 0.04)]
)
def test_intervals_of_verdicts_cover_and_the_test_keeps_its_level(
    n: int, first: float, second: float
) -> None:
    """Simulated: samples of which the one or the other alone is right with these chances."""
    rng = numpy.random.default_rng(11)
    interval, p = cache(tango), cache(mcnemar)
    covered = found = 0
    for b, c, _ in rng.multinomial(n, [first, second, 1 - first - second], size=4000).tolist():
        low, high = interval(b, c, n)
        covered += low <= first - second <= high
        found += p(b, c) <= 0.05
    assert 0.93 <= covered / 4000 <= 0.97
    if first == second:
        assert 0 < found / 4000 <= 0.05


@pytest.mark.parametrize(
    ("n", "unstable", "effect"), [(40, 1, 0.0), (40, 1, 0.2), (164, 0.1, 0.4), (500, 0.02, 0.5)]
)
def test_intervals_of_graded_values_cover_and_the_test_keeps_its_level(
    n: int, unstable: float, effect: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulated: three answers each, alike but for a share of unstable samples, of unequal difficulty."""
    monkeypatch.setattr("snakeval.statistics.paired.PERMUTATIONS", 999)
    rng, trials = numpy.random.default_rng(12), 1000
    covered = found = 0
    for _ in range(trials):
        chances = rng.random(n) * (1 - effect)
        both = [rng.binomial(3, chances + more) / 3 for more in (effect, 0)]
        differences = ((rng.random(n) < unstable) * (both[0] - both[1])).tolist()
        low, high = difference_interval(differences)
        covered += low <= unstable * effect <= high
        found += effect == 0 and permuted(differences) <= 0.05
    assert 0.93 <= covered / trials <= 0.97
    if effect == 0:
        assert 0.03 <= found / trials <= 0.07  # 5 %, give or take three standard errors
