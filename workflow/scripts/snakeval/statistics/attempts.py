"""Several answers to each problem: what one of k would be worth."""

from __future__ import annotations

import math


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
