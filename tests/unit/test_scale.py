"""The measurements of many pairs: what they measure is what they say."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import scale
from snakeval import parallel
from snakeval.plan import Plan
from snakeval.registry import load


def test_the_exponent_is_that_of_the_growth() -> None:
    sizes = [93.0, 185.0, 370.0]
    assert scale.exponent(sizes, [3 * size for size in sizes]) == pytest.approx(1)
    assert scale.exponent(sizes, [size**2 / 7 for size in sizes]) == pytest.approx(2)
    rows = [{"models": n, "datasets": 1, "pairs": n, "cpu_s": 5.0} for n in (2, 4)]
    assert scale.growth(rows)[-1]["cpu_s"] == pytest.approx(0)


def test_a_command_is_measured_with_its_children(tmp_path: Path) -> None:
    child = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = bytearray(3 << 25)'])"
    )
    found = scale.measured([sys.executable, "-c", child], tmp_path)
    assert found["peak_mb"] > 90
    assert found["cpu_s"] > 0


def test_a_command_that_fails_ends_the_measurement_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no such thing"):
        scale.measured([sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path)


def test_the_synthetic_registries_hold_the_pairs_that_they_say(tmp_path: Path) -> None:
    ours, _ = scale.both(tmp_path, 6, 5)
    assert len(load({}, ours).pairs) == 30
    run = load({}, scale.stand_in(tmp_path, 4, 3).folder)
    assert len(run.pairs) == 12
    assert len({pair.key for pair in run.pairs}) == 12


def test_planning_looks_at_each_model_once_for_its_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def counted(entries: dict[str, object], limit: int | None) -> Iterator[Exception]:
        asked.append(len(entries))
        yield from ()

    monkeypatch.setattr(parallel, "over_limit", counted)
    ours, _ = scale.both(tmp_path, 20, 2)
    run = load({}, ours)
    plan = Plan(run, Path("results/runs/0.json"), False, tmp_path, gpu_limit=1)
    for pair in run.pairs:
        plan.engine_inputs(SimpleNamespace(model=pair.model, part=str(pair.part)))
    assert sum(asked) == 20
