"""A model's own tokenizer, guarded against the ways in which one goes silently wrong."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snakeval.errors import PromptError
from snakeval.prompts.control import Control

_PROBE = "def f(x):\n    return x + 1  # é 你好"
_FILES = (
    "tokenizer.json",
    "tokenizer.model*",
    "vocab.json",
    "vocab.txt",
    "*.tiktoken",
    "tekken.json",
)
# Some chat templates (Llama 3.2 and later, Granite) print today's date, so that the prompt would change from
# day to day. This is the date that Llama's templates use where they have no clock.
_TODAY = datetime.date(2024, 7, 26)


class Tokenizer:
    """A tokenizer with its chat template. Make one with `load_tokenizer`.

    Attributes:
        hf: the transformers tokenizer underneath.
        control: its control tokens.
        takes_system: the chat template shows a message of role `system`.
        wants_parts: the chat template shows contents only as lists of parts, as some for images do.
    """

    def __init__(self, hf: Any, where: str) -> None:
        self.hf = hf
        self.where = where
        self._backend = hf.backend_tokenizer
        # tokenizer.json may ask for both; a prompt is cut here or not at all.
        self._backend.no_truncation()
        self._backend.no_padding()
        self.control = Control(self._backend)
        self._prefix = _prefix(hf)
        self._prefix_text = "".join(hf.convert_ids_to_tokens(self._prefix))
        self.takes_system = True
        self.wants_parts = False

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        arguments: Mapping[str, Any],
        *,
        image: bool = False,
    ) -> str:
        """Return `messages` (role, content) in the chat template, up to where the answer begins.

        Args:
            messages: contents are texts.
            arguments: further variables of the template, such as `enable_thinking`.
            image: have the template place an image before the user's first text.

        Raises:
            PromptError: there is no chat template, or it fails on these messages.
        """
        if not self.hf.chat_template:
            raise PromptError(
                self.where,
                "no chat template",
                "a tokenizer with a chat template, because the model has prompt_style: chat",
                "Give the model `chat_template:` (a Jinja file) or `prompt_style: completion`.",
            )
        if image or self.wants_parts:
            messages = _in_parts(messages, image)
        variables = {"strftime_now": _TODAY.strftime, **arguments}
        try:
            return str(
                self.hf.apply_chat_template(
                    messages, **{**variables, "add_generation_prompt": True, "tokenize": False}
                )
            )
        except Exception as error:  # a chat template is a program: it can raise anything
            raise PromptError(
                f"{self.where}: chat template",
                f"{type(error).__name__}: {error}",
                "a template that takes these messages",
                "Mend the model's chat_template: or template_arguments:.",
            ) from error

    def encode(self, text: str) -> tuple[str, list[int]]:
        """Return `text` and its ids, both with the tokens that the tokenizer begins every text with (BOS).

        They are added where the text does not begin with them: the BOS stands there exactly once. An end
        token that the tokenizer would append is left off, because the model is to go on.
        """
        return self._begun(text, self._backend.encode(text, add_special_tokens=False).ids)

    def encode_hidden(self, text: str) -> tuple[str, list[int]]:
        """Do as `encode` for a text in which `control.hide` has put placeholders."""
        return self._begun(self.control.reveal(text), self.control.encode_hidden(text))

    def _begun(self, text: str, ids: list[int]) -> tuple[str, list[int]]:
        if ids[: len(self._prefix)] == self._prefix:
            return text, ids
        return self._prefix_text + text, self._prefix + ids


def skip_torch() -> None:
    """Import transformers as if there were no torch, which takes 5 of its 7 s before each engine's start.

    For a process that uses its tokenizers alone: its models are not to be had there from then on.
    """
    if {"torch", "transformers"} & sys.modules.keys():
        return
    advice = "TRANSFORMERS_NO_ADVISORY_WARNINGS"  # such as that there is no torch
    told = os.environ.get(advice)
    sys.modules["torch"], os.environ[advice] = None, "1"  # type: ignore[assignment]
    try:
        import transformers  # noqa: F401
    finally:
        del sys.modules["torch"], os.environ[advice]
        if told is not None:
            os.environ[advice] = told


def load_tokenizer(folder: str | Path, model: Mapping[str, Any]) -> Tokenizer:
    """Load the tokenizer in `folder`, from its files alone, and try it.

    Args:
        folder: a model folder, or one that holds only a tokenizer.
        model: the registry entry (`prompt_style`, `chat_template`, `template_arguments`, `engine_arguments`).

    Raises:
        PromptError: there is no tokenizer, it loses characters, or a chat model has no usable chat template.
    """
    folder = Path(folder)
    where = f"tokenizer of {model.get('title') or folder.name} ({folder})"
    if not any(match for pattern in _FILES for match in folder.glob(pattern)):
        raise PromptError(
            where,
            "a folder without a tokenizer" if folder.is_dir() else "no such folder",
            "a folder with tokenizer.json and tokenizer_config.json",
            "Give the model a `tokenizer:` entry that names such a folder or repository.",
        )
    tokenizer = Tokenizer(_load(folder, model, where), where)
    _check_round_trip(tokenizer)
    if model["prompt_style"] != "completion":
        if model.get("chat_template"):
            tokenizer.hf.chat_template = _read_template(Path(model["chat_template"]), where)
        _check_chat(tokenizer, model.get("template_arguments") or {})
        if model.get("images"):
            _check_image(tokenizer, model.get("template_arguments") or {})
    return tokenizer


def _load(folder: Path, model: Mapping[str, Any], where: str) -> Any:
    from transformers import AutoTokenizer

    trust = bool((model.get("engine_arguments") or {}).get("trust_remote_code", False))
    try:
        hf = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=trust, mistral_format=False
        )
    except Exception as error:  # transformers raises nearly anything on a broken folder
        raise PromptError(
            where,
            f"{type(error).__name__}: {error}",
            "a tokenizer that transformers can load",
            "Fetch the model again, or give it a `tokenizer:` entry that names a sound folder.",
        ) from error
    if not getattr(hf, "is_fast", False):
        raise PromptError(
            where,
            f"a {type(hf).__name__} without character offsets",
            "a fast tokenizer",
            "Give the model a `tokenizer:` entry that names a folder with a tokenizer.json.",
        )
    return hf


def _prefix(hf: Any) -> list[int]:
    """Return the ids that the tokenizer puts before a text by itself (BOS), maybe none."""
    bare = hf("a", add_special_tokens=False)["input_ids"]
    full = hf("a")["input_ids"]
    starts = (i for i in range(len(full) + 1) if full[i : i + len(bare)] == bare)
    return list(full[: next(starts, 0)])


def _check_round_trip(tokenizer: Tokenizer) -> None:
    # Some repositories name a tokenizer class that transformers 5 rebuilds with the wrong rules, and every
    # space is lost without a word (transformers issues 45488, 46489, 48206).
    back = tokenizer.hf.decode(tokenizer.hf.encode(_PROBE, add_special_tokens=False))
    if back not in (_PROBE, " " + _PROBE):
        raise PromptError(
            tokenizer.where,
            f"{back!r} after encoding and decoding {_PROBE!r}",
            "a tokenizer that loses no character",
            "Give the model `tokenizer_class: PreTrainedTokenizerFast`, or a `tokenizer:` entry that names a "
            'folder whose tokenizer_config.json says "tokenizer_class": "PreTrainedTokenizerFast".',
        )


def _read_template(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(
            where,
            f"chat_template: {path}, which cannot be read ({error})",
            "a Jinja file in UTF-8",
            "Correct the path in config/models.yaml, counted from the repository's folder.",
        ) from error


def _in_parts(messages: Sequence[Mapping[str, Any]], image: bool) -> list[dict[str, Any]]:
    said = [{**one, "content": [{"type": "text", "text": one["content"]}]} for one in messages]
    if image:
        first = next(one for one in said if one["role"] == "user")
        first["content"].insert(0, {"type": "image"})
    return said


def _shown(tokenizer: Tokenizer, message: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    """Say whether the chat template shows the text of a message; one that fails on it does not."""
    try:
        return message["content"] in tokenizer.chat([message], arguments)
    except PromptError:
        return False


def _check_image(tokenizer: Tokenizer, arguments: Mapping[str, Any]) -> None:
    """Refuse a chat template that places an image as text, which any question could write, or nowhere."""
    user = {"role": "user", "content": "probe of the user turn"}
    without, within = (tokenizer.chat([user], arguments, image=image) for image in (False, True))
    placed = tokenizer.control.count(within) > tokenizer.control.count(without)
    if not placed or user["content"] not in within:
        raise PromptError(
            f"{tokenizer.where}: chat template",
            "a template that leaves out an image",
            "one that puts a control token for it, as the model has images: true",
            "Give the model a `chat_template:` for images, or `images: false`.",
        )


def _check_chat(tokenizer: Tokenizer, arguments: Mapping[str, Any]) -> None:
    user = {"role": "user", "content": "probe of the user turn"}
    system = {"role": "system", "content": "probe of the system turn"}
    if not _shown(tokenizer, user, arguments):
        tokenizer.wants_parts = True
        tokenizer.wants_parts = _shown(tokenizer, user, arguments)
    if user["content"] not in tokenizer.chat([user], arguments):
        raise PromptError(
            f"{tokenizer.where}: chat template",
            "a template that leaves out the user's message",
            "a template that shows it",
            "Give the model another `chat_template:` or `prompt_style: completion`.",
        )
    try:
        tokenizer.takes_system = system["content"] in tokenizer.chat([system, user], arguments)
    except (
        PromptError
    ):  # how Gemma's and some of Mistral's templates say that they have no system role
        tokenizer.takes_system = False
