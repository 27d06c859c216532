"""The noise floor, on numbers counted by hand and on simulated repeats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy
import pytest
from reported_run import make_run, pages
from snakeval.registry import Run
from snakeval.reporting.noise import NoiseView, noise, noise_floor

# Three answers to each of four samples, what each is worth: stable, unstable, unstable, not judged once.
WORTH = [[1, 1, 1], [1, 0, 1], [0, 0, 1], [1, None, 1]]


def repeated(root: Path, worth: Sequence[Sequence[float | None]] = WORTH) -> Run:
    values = iter([value for sample in worth for value in sample])

    def judged(answer: dict[str, Any]) -> None:
        value = next(values)
        state = {None: "unscored", 1: "correct"}.get(value, "wrong")
        answer |= {"value": value, "state": state, "completion": f"It is {value}."}

    return make_run(root, ["tiny"], ["humaneval"], len(worth), judged, repeats=len(worth[0]))


def seen(root: Path, run: Run) -> NoiseView | None:
    return noise(run, root, [(pair, "Tiny on *HumanEval*") for pair in run.pairs])


def test_counted_by_hand(tmp_path: Path) -> None:
    view = seen(tmp_path, repeated(tmp_path))
    assert view is not None
    (pair,) = view.pairs
    assert (pair.samples, pair.left_out, pair.drawn) == (3, 1, False)
    assert pair.same_text == pair.same_state == pytest.approx(1 / 3)
    assert (pair.lowest, pair.highest) == pytest.approx((1 / 3, 1))
    assert pair.spread == pytest.approx(stdev([2 / 3, 1 / 3, 1]))
    # Between the repeats of the two unstable samples the variance is 1/3 each.
    floor = 1.959964 * (2 * (1 / 3 + 1 / 3) / 9) ** 0.5
    assert pair.floor == pytest.approx(floor, rel=1e-6)
    assert pair.floor_of_all == pytest.approx(floor / 3**0.5, rel=1e-6)
    assert f"below {100 * floor / 3**0.5:.1f} points" in view.sentence
    assert f"one answer it would be {100 * floor:.1f} points" in view.sentence


def test_texts_may_differ_where_states_do_not(tmp_path: Path) -> None:
    texts = iter("abcabb")

    def reworded(answer: dict[str, Any]) -> None:
        answer |= {"value": 1.0, "state": "correct", "completion": next(texts)}

    run = make_run(tmp_path, ["tiny"], ["humaneval"], 2, reworded, repeats=3)
    view = seen(tmp_path, run)
    assert view is not None
    (pair,) = view.pairs
    assert (pair.same_text, pair.same_state, pair.spread, pair.floor) == (0, 1, 0, 0)
    assert "No repeat changed a score" in view.sentence


def test_one_difference_in_twenty_is_above_the_floor() -> None:
    """Simulated: two models alike, 80 samples of unequal difficulty, asked again and again."""
    rng = numpy.random.default_rng(4)
    chances = rng.random(80)
    above = 0
    for _ in range(2000):
        first, second = rng.random((2, 80, 3)) < chances[:, None]
        floor = noise_floor(first.astype(float).tolist(), 3)
        above += abs(first.mean() - second.mean()) > floor
    assert 0.035 <= above / 2000 <= 0.065


def test_the_report_prints_it(tmp_path: Path) -> None:
    run = repeated(tmp_path)
    run.models["tiny"]["title"] = "<b>|x"
    html, markdown = pages(tmp_path, run)
    assert "Each question was asked 3 times. A difference between two models below" in html
    assert "&lt;b&gt;|x on HumanEval</th>" in html
    assert '<li><a href="#noise">' in html
    row = r"| \<b\>\|x on HumanEval | 43.6 | 75.4 | 33.3 % | 33.3 % | 33.3 | 33.3 % | 100.0 % | 3 | 1 |"
    assert f"{row} the engine |" in markdown
    run.models["tiny"]["sampling"]["temperature"] = 0.7
    assert f"{row} drawing |" in pages(tmp_path, run)[1]


def test_one_answer_tells_nothing_of_noise(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["tiny"], ["humaneval"], 3)
    assert seen(tmp_path, run) is None
    assert "noise floor" not in pages(tmp_path, run)[0]


def test_nothing_judged_gives_no_section(tmp_path: Path) -> None:
    assert seen(tmp_path, repeated(tmp_path, [[None, None], [1, None]])) is None


def test_a_deterministic_engine_adds_none(tmp_path: Path) -> None:
    run = repeated(tmp_path)
    run.settings["deterministic"] = True
    for page in pages(tmp_path, run):
        assert "the engine adds no noise" in page
        assert "Each question was asked" not in page
    run.models["tiny"]["sampling"]["temperature"] = 0.7
    for page in pages(tmp_path, run):
        assert "the engine adds no noise" in page
        assert "Each question was asked 3 times" in page
