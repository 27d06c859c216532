"""Images on their way into vLLM, as far as that can be told without it: order, room, refusals, arguments."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from snakeval.answering import journal_record
from snakeval.engine import Answer, EngineSettings, Request, ShownImage, vllm_engine
from snakeval.engine.vllm_engine import VllmEngine, engine_arguments
from snakeval.registry import schema

VS, PAD, VE, FAKE = 90, 91, 92, 93


@pytest.mark.parametrize(
    ("asked", "sent", "replaced"),
    [
        ([1, 2, PAD, 3], [1, 2, PAD, PAD, PAD, 3], 0),  # as Qwen's
        ([1, VS, PAD, VE, 3], [1, VS, PAD, PAD, VE, 3], 0),
        ([1, PAD, 3], [1, FAKE, PAD, PAD, FAKE, 3], 1),  # as Idefics'
        ([1, PAD], [1, FAKE, PAD], 0),
        ([PAD, 1], [PAD, PAD, 1], 0),
        ([1, 10, PAD, 10, 3], [1, 20, VS, PAD, PAD, VE, 20, 3], 3),  # line ends that merged
        ([1, PAD, 4, 5, 6, 7, 3], [1, PAD, PAD, 99, 3], 4),  # text became a control token
        ([1, 4, 5, 6, 7, 8, PAD, 3], [1, 99, 8, PAD, PAD, 3], 5),
        ([1, 2, 3], [9, 9], 3),
        ([1, 1, 1], [1, 1], 0),
        ([], [], 0),
    ],
)
def test_what_is_not_as_it_was_around_the_image_is_counted(
    asked: list[int], sent: list[int], replaced: int
) -> None:
    assert vllm_engine._replaced(asked, sent) == replaced


class Watched(VllmEngine):
    """An engine without vLLM: it notes what would be handed over."""

    def __init__(self, refused: tuple[str, ...] = ()) -> None:
        self._scored, self._waiting, self._shown = {}, deque(), set()
        self._engine, self.refused, self.worked = self, refused, []

    def has_unfinished_requests(self) -> bool:
        return bool(self.worked)

    def _add(self, request: Request, prompt: Any) -> None:
        self.worked.append(request.hash)

    def _with_image(self, request: Request) -> Any:
        if request.hash in self.refused:
            raise ValueError("too large")
        return {}


def request(name: str, image: bool = True) -> Request:
    return Request(name, [1], {}, 0, ShownImage("ab.png", 10) if image else None)


def test_images_are_made_ready_one_a_step_and_so_many_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vllm_engine, "IMAGES_AT_ONCE", 3)
    engine = Watched(refused=("1",))
    for number in range(6):
        engine.submit(request(str(number)))
    engine.submit(request("text", image=False))
    assert engine.worked == ["text"]  # need not wait for an image
    refusals = [engine._show_next() for _ in range(6)]
    assert engine.worked == ["text", "0", "2", "3"]
    assert [len(found) for found in refusals] == [0, 1, 0, 0, 0, 0]
    [refusal] = refusals[1]
    assert (refusal.hash, refusal.finish_reason, refusal.error) == ("1", "error", "too large")
    engine._shown.discard("2")  # answered
    engine._show_next()
    assert engine.worked[-1] == "4"


def test_a_step_in_which_all_is_refused_does_not_wait_for_the_engine() -> None:
    engine = Watched(refused=("a",))
    engine.submit(request("a"))
    assert [answer.error for answer in engine.step()] == ["too large"]


@pytest.mark.parametrize("images", [True, False])
def test_image_limits_are_set_only_where_images_are_shown(images: bool) -> None:
    entry = {"source": {"path": "m"}, "max_model_len": 512, "images": True}
    model = schema.filled(entry, "model")
    arguments = engine_arguments(EngineSettings("m", "m", model, 0, "cuda", images))
    limits = {"limit_mm_per_prompt": {"image": 1, "video": 0, "audio": 0}} if images else {}
    assert {name: value for name, value in arguments.items() if "mm" in name} == limits


def test_the_journal_keeps_the_prompts_length_with_its_image() -> None:
    assert journal_record(Answer("a", "x", "stop", 1, prompt_tokens=99), "s")["prompt_tokens"] == 99
    assert "prompt_tokens" not in journal_record(Answer("a", "x", "stop", 1), "s")
