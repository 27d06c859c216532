"""A clock that jumps, here or on the file server, hides no error and makes nothing anew."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from faults.conftest import Job
from snakeval import at_work, closing, plan
from snakeval.records import write_text
from unit.test_plan import make_run

pytestmark = pytest.mark.faults

HOUR = 3600.0


def dated(path: Path, when: float, text: str = "error: it broke\n") -> Path:
    write_text(path, text)
    os.utime(path, (when, when))
    return path


@pytest.mark.parametrize("jump", [-HOUR, 0.0, HOUR])
def test_the_error_of_this_run_is_told_though_the_clock_jumped(
    jump: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.time()
    made = plan.Plan(make_run(), Path("run.json"), False, started=began)
    monkeypatch.setattr(plan.time, "time", lambda: began + jump + 5)
    steady = time.monotonic()
    monkeypatch.setattr(plan.time, "monotonic", lambda: steady + 5)
    log = dated(tmp_path / "log", began + jump + 4)
    assert closing._last_error(log, made._since()) == "it broke"
    earlier = dated(tmp_path / "earlier", began - 2 * HOUR)
    assert closing._last_error(earlier, made._since()) is None


def test_a_run_begins_by_the_clock_that_dates_the_files(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of a file server may lag behind this machine's: a run's own files would seem older than it."""
    now = time.time()
    monkeypatch.setattr(plan.time, "time", lambda: now + HOUR)
    began = at_work.hold(Path())
    assert began < now + HOUR / 2
    assert closing._last_error(dated(Path("log"), began + 1), began) == "it broke"
