"""A reasoning model's answer without its thoughts."""

from __future__ import annotations

from collections.abc import Mapping


def final_text(completion: str, thinking: Mapping[str, str] | None) -> tuple[str, bool]:
    """Return the answer without the model's thoughts, and whether a thought was left open.

    The answer is what stands behind the last closing mark; the opening mark may be missing, where it
    was part of the prompt. Of an open thought, what stands before it is kept.

    Args:
        completion: as the model gave it.
        thinking: the model's marks, `open` and `close`; None where it has none.
    """
    if thinking is None:
        return completion, False
    answer = completion.rpartition(thinking["close"])[2]
    before, opened, _ = answer.partition(thinking["open"])
    return (before, True) if opened else (answer, False)
