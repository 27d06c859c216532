"""What stands for the tokenizer of a model behind a server: messages go out as they are, nothing is counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from snakeval.prompts.control import Control
from snakeval.prompts.tokenization import Tokenizer


class NoControl(Control):
    """Control strings that nobody here knows: the server guards its own."""

    def __init__(self) -> None:
        pass

    def occurs(self, text: str) -> bool:
        """No string is known to be one."""
        return False


class Untokenized(Tokenizer):
    """Renders messages for people; there are no token ids."""

    def __init__(self) -> None:
        self.control = NoControl()
        self.takes_system = True

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        arguments: Mapping[str, Any],
        *,
        image: bool = False,
    ) -> str:
        """Return messages one below the other, each under its role."""
        return "\n\n".join(f"[{one['role']}]\n{one['content']}" for one in messages)

    def encode(self, text: str) -> tuple[str, list[int]]:
        """Return the text alone."""
        return text, []
