"""Prompts of several messages: the next turn of a conversation, and what a judge is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from snakeval.errors import PromptError
from snakeval.prompts.rendering import Rendered, encode_messages, filled, foreign
from snakeval.prompts.tokenization import Tokenizer
from snakeval.records import Sample


def render_turn(
    tokenizer: Tokenizer,
    model: Mapping[str, Any],
    dataset: Mapping[str, Any],
    sample: Sample,
    answers: Sequence[str],
    max_prompt_tokens: int,
) -> Rendered:
    """Render the next turn of a conversation, behind all turns before it.

    Control strings in turns and answers become ordinary text. Nothing is ever cut.

    Args:
        tokenizer: the model's.
        model: registry entry (`prompt_style`, `system_prompt`, `template_arguments`).
        dataset: registry entry; its templates see the user's message as `turn`.
        sample: the input named by the dataset's `turns` holds the user's messages.
        answers: what the model has answered so far, without its thoughts; fewer than there are turns.
        max_prompt_tokens: how many tokens the prompt may have.

    Raises:
        PromptError: the template cannot be filled, or the prompt is too long.
    """
    number = len(answers) + 1
    where = f"{dataset.get('title', 'dataset')}, sample {sample['id']}, turn {number}"
    source = dataset["prompt"][model["prompt_style"]]
    messages: list[dict[str, str]] = []
    hidden = False
    for place, turn in enumerate(sample["inputs"][dataset["turns"]][:number]):
        text, marked = filled(tokenizer, source, {**sample["inputs"], "turn": turn}, where)
        messages.append({"role": "user", "content": text})
        hidden = hidden or marked
        if place < len(answers):
            text, marked = foreign(tokenizer, answers[place])
            messages.append({"role": "assistant", "content": text})
            hidden = hidden or marked
    rendered = encode_messages(tokenizer, model, messages, hidden)
    return _fitting(rendered, max_prompt_tokens, where)


def render_question(
    tokenizer: Tokenizer,
    model: Mapping[str, Any],
    system: str,
    question: str,
    where: str,
    max_prompt_tokens: int,
) -> Rendered:
    """Render one message as it stands, behind a system prompt; all of it is ordinary text.

    Nothing is ever cut. `system` takes the place of the model's own system prompt.

    Raises:
        PromptError: the chat template fails, or the prompt is too long.
    """
    text, hidden = foreign(tokenizer, question)
    message = {"role": "user", "content": text}
    rendered = encode_messages(tokenizer, {**model, "system_prompt": system}, [message], hidden)
    return _fitting(rendered, max_prompt_tokens, where)


def _fitting(rendered: Rendered, limit: int, where: str) -> Rendered:
    if len(rendered.token_ids) > limit:
        raise PromptError(
            where,
            f"a prompt of {len(rendered.token_ids)} tokens",
            f"at most {limit} (the model's max_model_len less what the answer may take)",
            "Raise the model's max_model_len.",
        )
    return rendered
