"""An engine or its GPU that fails whatever it is asked: told once, and no GPU time is burnt on trying."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from faults.conftest import Job
from snakeval import gpu
from snakeval.engine import complaints
from snakeval.errors import EngineError

pytestmark = pytest.mark.faults


def test_an_engine_that_dies_of_any_request_is_given_up_at_its_second_start(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no request is blamed: an error record would never be asked again."""
    monkeypatch.setenv("STANDIN_CRASH", "1")
    with pytest.raises(EngineError) as caught:
        job.ask(*"abcdefgh")
    assert str(caught.value) == (
        "model m0: got an engine that dies of any request: RuntimeError: CUDA error: unspecified launch failure; "
        "expected one that answers. The GPU or its driver fails: look at nvidia-smi and dmesg, then run the same "
        "command again, elsewhere if it stays so."
    )
    assert job.said("start") == 2
    assert job.answers == {}


def test_a_request_that_kills_the_engine_at_once_is_still_found(job: Job) -> None:
    job.ask("DIE", "two", "three")
    assert {name: told.split(";")[0] for name, told in job.answers.items()} == {
        "r0": "killed the engine twice",
        "r1": "answered",
        "r2": "answered",
    }


def test_a_hanging_request_is_found(job: Job) -> None:
    job.ask("one", "HANG")
    assert job.answers["r0"] == "answered"
    assert job.answers["r1"].endswith("silent for 2 s")


class Nvml:
    """One GPU, which falls off the bus when a test says so."""

    NVML_ERROR_GPU_IS_LOST, NVML_ERROR_RESET_REQUIRED, NVML_ERROR_NOT_FOUND = 15, 16, 6
    NVML_ERROR_DRIVER_NOT_LOADED, NVML_ERROR_LIB_RM_VERSION_MISMATCH, NVML_ERROR_UNKNOWN = (
        9,
        18,
        999,
    )
    NVML_ERROR_NOT_SUPPORTED = 3

    class NVMLError(Exception):
        def __init__(self, value: int) -> None:
            self.value = value
            super().__init__({15: "GPU is lost", 3: "Not Supported"}[value])

    def __init__(self) -> None:
        self.error: int | None = None

    def __getattr__(self, name: str) -> Any:
        def ask(*_: Any) -> Any:
            if self.error and name != "nvmlInit":
                raise self.NVMLError(self.error)
            return (
                SimpleNamespace(used=1, total=2, gpu=3) if "Info" in name or "Rates" in name else 1
            )

        return ask


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    nvml = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    return nvml


def test_a_gpu_that_vanishes_ends_the_job_at_once(
    job: Job, monkeypatch: pytest.MonkeyPatch, nvml: Nvml
) -> None:
    monkeypatch.setattr(
        gpu.Meter, "lost", lambda self, lost=gpu.Meter.lost: vanish(nvml) or lost(self)
    )
    job.names = ["0"]
    with pytest.raises(EngineError) as caught:
        job.ask("one", "DIE", "three")
    assert str(caught.value).startswith(
        "model m0: GPU 0: got GPU is lost from NVML, and of the engine: "
    )
    assert str(caught.value).endswith(
        "expected a GPU that answers. Look at nvidia-smi and dmesg; reset it, or run the same command again on "
        "another machine."
    )
    assert job.said("start") == 1
    assert job.answers == {"r0": "answered"}


def vanish(nvml: Nvml) -> None:
    nvml.error = nvml.NVML_ERROR_GPU_IS_LOST


def test_what_nvml_does_not_tell_is_not_a_lost_gpu(nvml: Nvml) -> None:
    meter = gpu.Meter(["0"])
    assert meter.lost() is None
    nvml.error = nvml.NVML_ERROR_NOT_SUPPORTED
    assert meter.lost() is None
    assert meter.describe() is None
    assert meter.read()["joules"] is None


def test_a_driver_that_fails_between_two_calls_shows_no_gpu(
    nvml: Nvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    vanish(nvml)
    assert gpu.visible() == []
    assert gpu.Meter(["0"]).read() == dict.fromkeys(
        ("joules", "power_w", "peak_power_w", "utilization_percent", "peak_bytes")
    )


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("SafetensorError: Error while deserializing header: incomplete metadata", "delete it"),
        ("_pickle.UnpicklingError: pickle data was truncated", "torch_compile_cache"),
        ("OSError: [Errno 28] No space left on device", "Free space"),
        (
            "ValueError: Free memory on device (1/80 GiB) is less than desired GPU memory utilization",
            "nvidia-smi",
        ),
        (
            "Failed to load model - not enough GPU memory. (original error: CUDA out of memory",
            "do not fit",
        ),
    ],
)
def test_the_engines_words_have_a_remedy(said: str, remedy: str) -> None:
    assert remedy in str(complaints.remedy(said))


def test_words_that_nobody_knows_have_none() -> None:
    assert complaints.remedy("KeyError: 'model.layers.0'") is None
