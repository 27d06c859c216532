"""From a sample to the token ids that a model sees: template, chat markup, truncation.

    tokenizer = load_tokenizer("/models/qwen3_8b", model)
    rendered = render(tokenizer, model, dataset, sample, max_prompt_tokens=3584)

Importing this package loads neither torch nor transformers; `load_tokenizer` does.
"""

from snakeval.prompts.conversation import render_question, render_turn
from snakeval.prompts.likelihood import RenderedChoice, render_choices
from snakeval.prompts.rendering import Rendered, render
from snakeval.prompts.tokenization import Tokenizer, load_tokenizer, skip_torch
from snakeval.prompts.untokenized import Untokenized

__all__ = [
    "Rendered",
    "RenderedChoice",
    "Tokenizer",
    "Untokenized",
    "load_tokenizer",
    "render",
    "render_choices",
    "render_question",
    "render_turn",
    "skip_torch",
]
