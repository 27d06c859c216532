"""Which GPUs a job may use, and that two jobs never use the same."""

from __future__ import annotations

import os

import pytest
from snakeval import gpu
from snakeval.errors import EngineError


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
    assert meter.read() == {"joules": None, "peak_bytes": None}
    assert meter.describe() is None
