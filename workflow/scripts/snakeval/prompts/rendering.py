"""One sample and one model → the prompt as text and as token ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from snakeval.errors import PromptError
from snakeval.prompts.templates import fill, spans_of_data
from snakeval.prompts.tokenization import Tokenizer
from snakeval.prompts.truncation import Cutter, largest
from snakeval.records import Sample


@dataclass(frozen=True)
class Rendered:
    """A prompt as sent.

    Attributes:
        text: the whole prompt, markup included.
        token_ids: what the engine gets.
        cut_tokens: tokens of the content that were left out to make it fit; 0 where nothing was.
        messages: the same before any markup, `role` and `content`: what a server gets.
    """

    text: str
    token_ids: list[int]
    cut_tokens: int
    messages: Sequence[Mapping[str, str]] = field(default=(), kw_only=True)


def render(
    tokenizer: Tokenizer,
    model: Mapping[str, Any],
    dataset: Mapping[str, Any],
    sample: Sample,
    max_prompt_tokens: int,
) -> Rendered:
    """Render one sample for one model.

    Control strings in the sample's inputs (`<|im_end|>`) become ordinary text. A prompt that is too long is
    made to fit by cutting the input that the dataset names under `truncate`, before any template is applied:
    80 % of what stays comes from its head, 20 % from its tail, with a marker between them. A sample's image
    stands before the text, as a placeholder that the chat template writes and no input can.

    Args:
        tokenizer: the model's, from `load_tokenizer`.
        model: registry entry (`prompt_style`, `system_prompt`, `template_arguments`).
        dataset: registry entry (`prompt`, `truncate`).
        sample: the sample; only its inputs are shown.
        max_prompt_tokens: how many tokens the prompt may have, at least 1.

    Raises:
        PromptError: the template cannot be filled, or the prompt cannot be made to fit.
    """
    inputs = sample["inputs"]
    where = f"{dataset.get('title', 'dataset')}, sample {sample['id']}"
    image = "image" in sample
    whole = _render(tokenizer, model, dataset, inputs, where, image)
    ids = whole.token_ids
    if len(ids) <= max_prompt_tokens:
        return whole

    name = dataset.get("truncate") or ""
    content = inputs.get(name)
    if not isinstance(content, str):
        raise _too_long(where, model, dataset, f"a prompt of {len(ids)} tokens", max_prompt_tokens)
    content = _valid(content)
    encoding = tokenizer.control.encode_ordinary(content)
    cutter = Cutter(content, encoding.offsets)
    made: dict[str, tuple[Rendered, int]] = {}

    def attempt(keep: int) -> tuple[Rendered, int]:
        cut = cutter.cut(keep)
        if cut.text not in made:
            shorter = _render(tokenizer, model, dataset, {**inputs, name: cut.text}, where, image)
            spare = max_prompt_tokens - len(shorter.token_ids)
            made[cut.text] = replace(shorter, cut_tokens=cut.removed), spare
        return made[cut.text]

    best, spare = largest(len(encoding.ids), len(ids) - max_prompt_tokens, attempt)
    if best is None:
        got = f"a prompt of {len(ids)} tokens, {max_prompt_tokens - spare} of them without `{name}`"
        raise _too_long(where, model, dataset, got, max_prompt_tokens)
    return best


def _render(
    tokenizer: Tokenizer,
    model: Mapping[str, Any],
    dataset: Mapping[str, Any],
    inputs: Mapping[str, Any],
    where: str,
    image: bool,
) -> Rendered:
    style = model["prompt_style"]
    source = dataset["prompt"].get(style)
    if source is None:
        raise PromptError(
            where,
            f"no prompt for the style {style}",
            f"a template under prompt: {style}:",
            "Add it in config/datasets.yaml, or leave this pair out of the run.",
        )
    return encode(tokenizer, model, source, inputs, f"{where}: prompt.{style}", image=image)


def encode(
    tokenizer: Tokenizer,
    model: Mapping[str, Any],
    source: str,
    inputs: Mapping[str, Any],
    where: str,
    *,
    strip: bool = False,
    image: bool = False,
) -> Rendered:
    """Return a filled template in the model's markup.

    Args:
        tokenizer: the model's.
        model: registry entry (`prompt_style`, `system_prompt`, `template_arguments`).
        source: the template.
        inputs: what it may use; control strings in them become ordinary text.
        where: what an error message names.
        strip: leave out blanks at the template's end.
        image: have the chat template place an image before the text.

    Raises:
        PromptError: the template cannot be filled.
    """
    text, hidden = filled(tokenizer, source, inputs, where)
    message = _user(text.rstrip() if strip else text)
    return encode_messages(tokenizer, model, [message], hidden, image=image)


def filled(
    tokenizer: Tokenizer, source: str, inputs: Mapping[str, Any], where: str
) -> tuple[str, bool]:
    """Return a filled template, and whether placeholders stand in it for control strings of the inputs.

    Raises:
        PromptError: the template cannot be filled.
    """
    inputs = {name: _valid(value) for name, value in inputs.items()}
    text = fill(source, inputs, where)
    if not tokenizer.control.occurs(text):
        return text, False
    return tokenizer.control.hide(text, spans_of_data(source, inputs, text, where)), True


def foreign(tokenizer: Tokenizer, text: str) -> tuple[str, bool]:
    """Return a text that others wrote, and whether placeholders stand in it for control strings."""
    text = _valid(text)
    if not tokenizer.control.occurs(text):
        return text, False
    return tokenizer.control.hide(text, [(0, len(text))]), True


def encode_messages(
    tokenizer: Tokenizer,
    model: Mapping[str, Any],
    messages: Sequence[Mapping[str, str]],
    hidden: bool,
    *,
    image: bool = False,
) -> Rendered:
    """Return messages in the model's markup, uncut.

    Args:
        tokenizer: the model's.
        model: registry entry (`prompt_style`, `system_prompt`, `template_arguments`).
        messages: `role` and `content`, the user's first. For a completion their contents are put
            together with an empty line before each further one of the user.
        hidden: whether placeholders of `filled` or `foreign` stand in any of them.
        image: have the chat template place an image in the user's first message.
    """
    said = _said(tokenizer, model, messages)
    if model["prompt_style"] == "completion":
        framed = said[0]["content"]
    else:
        framed = tokenizer.chat(said, model.get("template_arguments") or {}, image=image)
    text, ids = tokenizer.encode_hidden(framed) if hidden else tokenizer.encode(framed)
    if hidden:
        said = [{**one, "content": tokenizer.control.reveal(one["content"])} for one in said]
    return Rendered(text, ids, 0, messages=said)


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _said(
    tokenizer: Tokenizer, model: Mapping[str, Any], messages: Sequence[Mapping[str, str]]
) -> list[dict[str, str]]:
    """Return messages with the model's system prompt, or as one, each behind the other, for a completion."""
    if model["prompt_style"] == "completion":
        first, *others = messages
        gaps = ("\n\n" if message["role"] == "user" else "" for message in others)
        text = first["content"] + "".join(
            gap + message["content"] for gap, message in zip(gaps, others, strict=True)
        )
        return [_user(text)]
    said = [dict(message) for message in messages]
    system = model.get("system_prompt")
    if system and tokenizer.takes_system:
        said.insert(0, {"role": "system", "content": system})
    elif system:
        said[0]["content"] = f"{system}\n\n{said[0]['content']}"
    return said


def _valid(value: Any) -> Any:
    """Replace lone surrogates, which JSON can hold and no tokenizer takes."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    elif isinstance(value, list):
        return [_valid(item) for item in value]
    elif isinstance(value, dict):
        return {_valid(key): _valid(item) for key, item in value.items()}
    return value


def _too_long(
    where: str, model: Mapping[str, Any], dataset: Mapping[str, Any], got: str, limit: int
) -> PromptError:
    thoughts = " and room for thoughts" if model.get("thinking_tokens") else ""
    return PromptError(
        where,
        got,
        f"at most {limit} tokens (max_model_len {model.get('max_model_len')} less max_tokens "
        f"{dataset.get('max_tokens')}{thoughts})",
        "Raise the model's max_model_len, lower the dataset's max_tokens, or name under truncate: "
        "the input that may be cut.",
    )
