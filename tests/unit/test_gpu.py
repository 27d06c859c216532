"""Which GPUs a job may use, and that two jobs never use the same."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from snakeval import gpu
from snakeval.errors import EngineError

MEASURED = {"joules", "power_w", "peak_power_w", "utilization_percent", "peak_bytes"}


@pytest.mark.parametrize(
    ("value", "names"), [("", []), ("-1", []), ("0", ["0"]), ("2,GPU-ab", ["2", "GPU-ab"])]
)
def test_the_clusters_choice_is_taken(
    monkeypatch: pytest.MonkeyPatch, value: str, names: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert gpu.visible() == names


def test_too_few_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with (
        pytest.raises(EngineError, match=r"model m: gpus: got 1 visible; expected 2\."),
        gpu.reserve(2, "m"),
    ):
        pass


def test_two_jobs_get_different_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lock files are real; only the list of GPUs is made up."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpu, "visible", lambda: ["test0", "test1", "test2"])
    with gpu.reserve(2, "a") as first:
        assert os.environ.pop("CUDA_VISIBLE_DEVICES") == "test0,test1"
        with gpu.reserve(1, "b") as second:
            assert first == ["test0", "test1"]
            assert second == ["test2"]
        os.environ["CUDA_VISIBLE_DEVICES"] = "test0,test1"
    with gpu.reserve(1, "c") as third:
        assert third == ["test0"]
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_machine_without_gpus_measures_nothing() -> None:
    meter = gpu.Meter([])
    meter.sample()
    assert set(meter.read()) == MEASURED
    assert set(meter.read().values()) == {None}
    assert meter.describe() is None


def test_a_gpu_that_is_named_and_not_there_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        class NVMLError(Exception):
            pass

        def nvmlInit(self) -> None:  # noqa: N802
            raise self.NVMLError

    monkeypatch.setitem(sys.modules, "pynvml", Nothing())
    assert gpu.kind(["0"]) is None
    assert gpu.kind([]) is None


class Nvml:
    """NVML of GPUs whose numbers a test sets; what is not set, they do not tell."""

    class NVMLError(Exception):
        pass

    def __init__(self, *gpus: dict[str, int]) -> None:
        self.gpus = list(gpus)

    def __getattr__(self, name: str) -> Any:
        if name in ("nvmlInit", "nvmlDeviceGetHandleByIndex"):
            return lambda index=0: int(index)
        key = {
            "nvmlDeviceGetPowerUsage": "milliwatts",
            "nvmlDeviceGetTotalEnergyConsumption": "millijoules",
            "nvmlDeviceGetUtilizationRates": "gpu",
            "nvmlDeviceGetMemoryInfo": "used",
        }[name]

        def ask(index: int) -> Any:
            if key not in self.gpus[index]:
                raise self.NVMLError(key)
            return (
                SimpleNamespace(**self.gpus[index])
                if key in ("gpu", "used")
                else self.gpus[index][key]
            )

        return ask


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, which a test sets."""
    now = [100.0]
    monkeypatch.setattr(gpu.time, "monotonic", lambda: now[0])
    return now


def test_gpus_are_summed_and_their_utilisation_averaged(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    first = {"gpu": 80, "used": 10, "milliwatts": 300_000, "millijoules": 5_000}
    second = {"gpu": 40, "used": 30, "milliwatts": 100_000, "millijoules": 1_000}
    nvml = Nvml(first, second)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    meter = gpu.Meter(["0", "1"])
    meter.sample()
    first |= {"gpu": 100, "used": 5, "milliwatts": 500_000}
    meter.sample()
    clock[0] += 10
    first["millijoules"], second["millijoules"] = 2_005_000, 1_001_000
    assert meter.read() == {
        "joules": 3000.0,
        "power_w": 300.0,  # by the counters, not the mean of 400 and 600
        "peak_power_w": 600.0,
        "utilization_percent": 65.0,
        "peak_bytes": 40,
    }


def test_without_an_energy_counter_power_is_what_was_sampled(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    old = {"milliwatts": 100_000}
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(old))
    meter = gpu.Meter(["0"])
    for watts in (100, 300):
        old["milliwatts"] = 1000 * watts
        meter.sample()
    clock[0] += 10
    measured = meter.read()
    assert (measured["power_w"], measured["peak_power_w"]) == (200.0, 300.0)
    for name in ("joules", "utilization_percent", "peak_bytes"):
        assert measured[name] is None
