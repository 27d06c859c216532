"""The batch-invariant mode on a real GPU: the same answers to the byte, whatever else is asked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from determinism import REQUESTS, ROOT, WAVES, Start, started
from snakeval import gpu

MODELS = sorted((ROOT / "results" / "models" / "smollm2_135m").glob("*/model.safetensors"))

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(900),
    pytest.mark.skipif(gpu.device() != "cuda", reason="no GPU with a vLLM that can use it"),
    pytest.mark.skipif(not MODELS, reason="results/models/smollm2_135m is not there: make run"),
]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """A deterministic start with room for all requests at once."""
    return start(True, REQUESTS, tmp_path_factory.mktemp("first"))


def start(deterministic: bool, size: int, folder: Path) -> Start:
    return started(MODELS[0].parent, {}, deterministic, size, REQUESTS, folder / "log")


def test_a_batch_of_any_size_gives_the_same_bytes(first: Start) -> None:
    assert first.differing(first.answers[REQUESTS]) == {wave: Counter() for wave in WAVES}
    assert len(set(first.answers[REQUESTS])) > REQUESTS / 2  # they are answers to something


@pytest.mark.parametrize("size", [7, 1])
def test_another_start_with_other_limits_gives_the_same_bytes(
    first: Start, size: int, tmp_path: Path
) -> None:
    other = start(True, size, tmp_path)
    assert other.differing(first.answers[REQUESTS]) == {wave: Counter() for wave in WAVES}


def test_without_the_mode_answers_depend_on_the_batch(tmp_path: Path) -> None:
    """Else the tests above would tell nothing."""
    plain = start(False, REQUESTS, tmp_path)
    assert any(plain.differing(plain.answers[REQUESTS]).values())
