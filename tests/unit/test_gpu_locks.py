"""One GPU, one engine: whatever the jobs call it, and whoever named it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pynvml
import pytest
from snakeval import gpu

CARDS = ("GPU-aaaa-0001", "GPU-bbbb-0002", "GPU-bbcc-0003")
PART = "MIG-GPU-bbbb-0002/1/0"


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Three GPUs, the second with a part of its own, as NVML shows them; locks in a folder of their own."""

    def by_index(index: int) -> str:
        if index < len(CARDS):
            return CARDS[index]
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def by_identifier(name: str) -> str:
        if name in (*CARDS, PART):
            return name
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    capabilities = {CARDS[0]: [9, 0], CARDS[1]: [8, 6], CARDS[2]: [10, 0]}
    for name, function in (
        ("nvmlInit", lambda: None),
        ("nvmlDeviceGetCount", lambda: len(CARDS)),
        ("nvmlDeviceGetHandleByIndex", by_index),
        ("nvmlDeviceGetHandleByUUID", by_identifier),
        ("nvmlDeviceGetUUID", str),
        ("nvmlDeviceGetCudaComputeCapability", capabilities.get),
    ):
        monkeypatch.setattr(pynvml, name, function)
    monkeypatch.setattr(gpu.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


class Waited(Exception):
    """Nothing was free."""


def give_up() -> None:
    raise Waited


def test_two_jobs_that_were_given_the_same_gpus_take_different_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,1")
    with gpu.reserve(1, "a") as first:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,1")  # the other job has its own environment
        with gpu.reserve(1, "b") as second:
            assert (first, second) == (["2"], ["1"])
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,1"
        with pytest.raises(Waited), gpu.reserve(2, "c", give_up):
            pass
    with gpu.reserve(2, "c", give_up) as third:
        assert third == ["2", "1"]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("1", CARDS[1], True),
        ("GPU-bbbb", "1", True),  # CUDA takes the start of an identifier
        (CARDS[2], "0", False),
        (PART, PART, True),
        (PART, "1", False),
        ("7", "7", True),  # NVML does not know it; the name must do
    ],
)
def test_a_gpu_is_the_same_whatever_it_is_called(
    monkeypatch: pytest.MonkeyPatch, first: str, second: str, same: bool
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", first)
    with gpu.reserve(1, "a") as names:
        assert names == [first]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", second)
        if same:
            with pytest.raises(Waited), gpu.reserve(1, "b", give_up):
                pass
        else:
            with gpu.reserve(1, "b", give_up) as others:
                assert others == [second]


def test_a_cluster_that_calls_each_jobs_gpu_0_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each job sees one device, its own, and NVML tells their identifiers."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with gpu.reserve(1, "a"):
        monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: CARDS[index + 1])
        with gpu.reserve(1, "b", give_up) as names:
            assert names == ["0"]


def test_a_gpu_named_twice_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1, 0,1")
    assert gpu.visible() == ["1", "0"]


def test_a_job_takes_gpus_as_soon_as_they_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.time, "sleep", lambda seconds: None)
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with gpu.reserve(3, "a"):
            held.set()
            free.wait(10)

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(10)
    with gpu.reserve(2, "b", free.set) as names:
        assert free.is_set()
        assert len(names) == 2
    other.join()
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(
    ("named", "lowest"), [(None, (8, 6)), ("2,0", (9, 0)), ("7", None), ("", None)]
)
def test_the_lowest_compute_capability_counts(
    monkeypatch: pytest.MonkeyPatch, named: str | None, lowest: tuple[int, int] | None
) -> None:
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert gpu.capability() == lowest
