"""GPU memory that does not suffice: once more with a smaller batch where that may help, and said so."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.conftest import MODEL, Job
from reported_run import make_run
from snakeval.engine import EngineSettings, complaints
from snakeval.errors import EngineError
from snakeval.records import read_json
from snakeval.registry import schema
from snakeval.reporting import view

pytestmark = pytest.mark.faults

HALF = {"max_num_seqs": 128, "max_num_batched_tokens": 8192}


def test_a_start_that_lacks_memory_is_tried_once_more_with_half_the_batch(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STANDIN_ROOM", "128")
    job.ask("one", "two")
    assert set(job.answers.values()) == {"answered"}
    assert [event["event"] for event in job.events] == ["died", "start", "end"]
    reason = "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB"
    assert job.events[1]["smaller_batch"] == HALF | {"because": reason}
    assert (
        f"m0: out of memory ({reason}); trying once more with a smaller batch: "
        "max_num_seqs 128, max_num_batched_tokens 8192\n"
    ) in capsys.readouterr().err


def test_a_start_that_lacks_memory_twice_is_given_up(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_ROOM", "64")
    with pytest.raises(EngineError) as caught:
        job.ask("one", "two")
    assert str(caught.value) == (
        "model m0: engine start: got RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB, with max_num_seqs "
        "128, max_num_batched_tokens 8192 too; expected an engine that is ready. Lower max_num_seqs, "
        "max_num_batched_tokens or gpu_memory_utilization in the model's engine_limits."
    )
    assert job.said("died") == 2


def test_a_batch_that_lacks_memory_is_asked_again_whole(job: Job) -> None:
    job.ask("one", "LARGE", "three")
    assert job.answers == {"r0": "answered", "r1": "answered", "r2": "answered"}
    starts = [event for event in job.events if event["event"] == "start"]
    assert ["smaller_batch" in start for start in starts] == [False, True]


def test_a_request_that_is_too_large_alone_is_a_record(job: Job) -> None:
    """The smaller batch answers the others, so it is this request and not the batch."""
    job.ask("one", "two", "three", "HUGE")
    errors = {request: told for request, told in job.answers.items() if told != "answered"}
    assert list(errors) == ["r3"]
    assert errors["r3"].startswith("killed the engine twice; the last time: RuntimeError: CUDA out")


def test_a_smaller_batch_that_answers_nothing_is_given_up(job: Job) -> None:
    """Nothing tells that halves of the requests would do better: no further start is spent on it."""
    with pytest.raises(EngineError, match=r"9\.00 GiB, with max_num_seqs 128, .* too; expected a"):
        job.ask("HUGE", "two", "three")
    assert job.said("start") == 2
    assert job.answers == {}


@pytest.mark.parametrize(
    ("said", "mended"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 9.74 GiB.", True),
        (
            "RuntimeError: CUDA out of memory occurred when warming up sampler with 512 dummy requests. Please try "
            "lowering `max_num_seqs` or `gpu_memory_utilization` when initializing the engine.",
            True,
        ),
        ("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory", True),
        ("ValueError: max_num_seqs (256) exceeds available Mamba cache blocks (120).", True),
        (
            "ValueError: To serve at least one request with the model's max seq len (8192), (1.00 GiB KV cache is "
            "needed, which is larger than the available KV cache memory (0.93 GiB).",
            True,
        ),
        (
            "Failed to load model - not enough GPU memory. (original error: CUDA out of memory.",
            False,
        ),
        (
            "ValueError: Free memory on device cuda:0 (3.2/79.1 GiB) on startup is less than desired GPU memory "
            "utilization (0.9, 71.2 GiB).",
            False,
        ),
        ("RuntimeError: CUDA error: an illegal memory access was encountered", False),
        ("RuntimeError: The size of tensor a (64) must match the size of tensor b (32)", False),
    ],
)
def test_only_what_a_smaller_batch_may_mend_is_tried_again(said: str, mended: bool) -> None:
    assert complaints.crowded(said) is mended


def test_the_cause_is_found_behind_what_points_to_it() -> None:
    """vLLM's front process knows no more than that its core has ended."""
    pointer = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
    cause = "(EngineCore pid=7) torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1 GiB"
    weights = "(EngineCore pid=7) ERROR Failed to load model - not enough GPU memory. (original error: CUDA"
    assert complaints.points_elsewhere(pointer)
    assert complaints.telling([cause, "INFO shutting down", pointer]) == cause
    assert complaints.telling([weights, cause, pointer]) == weights
    assert complaints.telling(["loading", "done"]) == "done"


def settings(images: bool = False, **entry: object) -> EngineSettings:
    model = schema.filled(MODEL | {"engine": "vllm"} | entry, "model") | {
        "deterministic": "sampling" in entry
    }
    return EngineSettings("m", "m", model, 0, "cuda", images)


@pytest.mark.parametrize(
    ("given", "smaller"),
    [
        (settings(), HALF),
        (settings(images=True), HALF | {"max_num_batched_tokens": 16384}),
        # A deterministic sampled batch holds seven at most: half of that is three, whatever the entry says.
        (settings(sampling={"temperature": 0.7, "top_p": 0.9}), HALF | {"max_num_seqs": 3}),
        (settings(engine_limits={"max_num_seqs": 1, "max_num_batched_tokens": 1024}), None),
        # What stands in engine_arguments is part of the key, and stays.
        (settings(engine_arguments={"max_num_seqs": 8, "max_num_batched_tokens": 4096}), None),
    ],
)
def test_half_a_batch(given: EngineSettings, smaller: dict[str, int] | None) -> None:
    found = complaints.smaller(given)
    assert (found and found[1]) == smaller


def test_the_report_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path, models=["tiny"], datasets=["humaneval"], samples=3)
    meta = read_json(tmp_path / run.pairs[0].folder() / "meta.json")
    assert view._smaller_batch(meta) == ""
    meta["engine_starts"][0]["smaller_batch"] = HALF | {"because": "CUDA out of memory"}
    assert view._smaller_batch(meta) == (
        "max_num_seqs: 128, max_num_batched_tokens: 8192, after: CUDA out of memory"
    )
