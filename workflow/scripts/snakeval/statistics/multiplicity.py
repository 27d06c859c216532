"""Many tests at once: how p-values are corrected for their number, and which ranks they leave open."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, so that one false finding among all stays as rare.

    Source: S. Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.
    """
    return _corrected(p_values, "holm")


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected so that of the differences found, one in twenty is false on average.

    Source: Y. Benjamini, Y. Hochberg, J. R. Stat. Soc. B 57 (1995) 289-300. It also holds for comparisons
    that depend on each other as those of all pairs do: D. Yekutieli, J. Stat. Plan. Inference 138 (2008)
    405-415.
    """
    return _corrected(p_values, "fdr_bh")


def rank_intervals(count: int, better: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return between which ranks each of several results lies, the best rank being 1.

    Args:
        count: how many results.
        better: (first, second) where the first was shown to be better.

    A result ranks behind those shown to be better and before those shown to be worse; what is open between
    lies in its interval. Where all comparisons are corrected together by Holm's method, all intervals hold
    the true ranks at once with a chance of 95 %, so the true best one is among those that may rank first.

    Source: M. Mogstad et al., Rev. Econ. Stud. 91 (2024) 476-518.
    """
    above, below = [0] * count, [0] * count
    for first, second in better:
        above[second] += 1
        below[first] += 1
    return [(1 + more, count - less) for more, less in zip(above, below, strict=True)]


def _corrected(p_values: Sequence[float], method: str) -> list[float]:
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests

    gc.freeze()  # by Holm's method it collects garbage in each call: half a second where much is in memory
    try:
        corrected: list[float] = multipletests(p_values, method=method)[1].tolist()
    finally:
        gc.unfreeze()
    return corrected
