"""One sample of a multiple-choice question → for each choice, the text whose end's likelihood is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snakeval.errors import PromptError
from snakeval.prompts.rendering import Rendered, encode
from snakeval.prompts.tokenization import Tokenizer
from snakeval.records import Sample


@dataclass(frozen=True)
class RenderedChoice(Rendered):
    """A prompt with a choice behind it.

    Attributes:
        scored: how many tokens at the end are the choice's, at least 1.
    """

    scored: int


def render_choices(
    tokenizer: Tokenizer,
    model: Mapping[str, Any],
    dataset: Mapping[str, Any],
    sample: Sample,
    max_tokens: int,
) -> list[RenderedChoice]:
    """Render one sample once for each of its choices.

    Prompt and continuation are tokenised together, as lm-evaluation-harness does it: the choice's tokens
    are those behind as many as the prompt has alone, and blanks at the prompt's end belong to the choice.
    Whatever the model's style, the text is a plain one: likelihoods inside chat markup would be another
    protocol. Nothing is ever cut.

    Args:
        tokenizer: the model's.
        model: registry entry.
        dataset: registry entry; its templates `prompt.completion` and `continuation` see `choice` and
            `letter` besides the sample's inputs.
        sample: its inputs hold the lists `choices` and `letters`.
        max_tokens: how many tokens prompt and choice may have together.

    Raises:
        PromptError: a template cannot be filled, the text is too long, or a choice adds no token.
    """
    plain = {**model, "prompt_style": "completion"}
    before = dataset["prompt"]["completion"]
    where = f"{dataset.get('title', 'dataset')}, sample {sample['id']}: continuation"
    rendered = []
    choices = zip(sample["inputs"]["choices"], sample["inputs"]["letters"], strict=True)
    for choice, letter in choices:
        inputs = {**sample["inputs"], "choice": choice, "letter": letter}
        whole = encode(tokenizer, plain, before + dataset["continuation"], inputs, where)
        prompt = encode(tokenizer, plain, before, inputs, where, strip=True).token_ids
        ids = whole.token_ids
        if len(ids) > max_tokens:
            raise PromptError(
                where,
                f"{len(ids)} tokens",
                f"at most {max_tokens}, the model's max_model_len less 1",
                "Raise the model's max_model_len, or show fewer examples.",
            )
        if len(ids) <= len(prompt):
            raise PromptError(
                where,
                f"{choice[:100]!r}, which adds no token",
                "a choice of at least one token",
                "Correct the row, or continuation: in config/datasets.yaml.",
            )
        rendered.append(RenderedChoice(whole.text, ids, 0, len(ids) - len(prompt)))
    return rendered
