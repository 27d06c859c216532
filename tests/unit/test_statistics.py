"""Estimates and intervals against closed forms, other implementations, and plain counting."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from snakeval.statistics import attempts_counts, mean_metric, pass_at_k, wilson


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
