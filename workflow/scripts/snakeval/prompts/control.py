"""Control strings in hostile text: tokenised as ordinary text, while the template's own stay special.

A tokenizer turns `<|im_end|>` into a control token wherever it stands, so a dataset row that holds it could
close its own turn and open a system turn. Here the prompt is tokenised by a copy of the tokenizer in which
every control token has a secret name. The template's control strings are given those names, the others stay
as they are and so mean nothing. One pass over the whole text keeps each rule of the tokenizer (prefix
spaces, white space beside special tokens) as in the plain rendering.
"""

from __future__ import annotations

import json
import re
import secrets
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from snakeval.prompts.templates import Span

# Tokenizers flag only some of their markup as special (not DeepSeek's <｜User｜> or Qwen's <think>).
_MARKUP = re.compile(r"[<\[]\S+[>\]]")


class Control:
    """The control tokens of a fast tokenizer.

    Args:
        backend: a `tokenizers.Tokenizer` without truncation and padding.
    """

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        added = backend.get_added_tokens_decoder()
        tokens = {
            token.content: number
            for number, token in added.items()
            if token.content.strip() and (token.special or _MARKUP.fullmatch(token.content))
        }
        nonce = secrets.token_hex(
            8
        )  # so that no dataset can know a name; the ids do not depend on it
        self._ids = tokens
        self._names = {text: f"\ufdd2{nonce}.{number}\ufdd3" for text, number in tokens.items()}
        self._holders = {text: f"\ufdd0{nonce}.{number}\ufdd1" for text, number in tokens.items()}
        self._originals = {holder: text for text, holder in self._holders.items()}
        self._holder = re.compile(f"\ufdd0{nonce}\\.[0-9]+\ufdd1")
        self._any = re.compile(_alternatives(tokens)) if tokens else re.compile(r"(?!)")
        folds = any(token.normalized for token in added.values() if token.content in tokens)
        self._normalizer = backend.normalizer if folds else None
        self._copy: Any = None

    def occurs(self, text: str) -> bool:
        """Say whether `text` holds a control string, before or after the tokenizer's normalisation."""
        if self._any.search(text):
            return True
        return self._normalizer is not None and bool(
            self._any.search(self._normalizer.normalize_str(text))
        )

    def count(self, text: str) -> int:
        """Return how many control strings stand in `text`."""
        return len(self._any.findall(text))

    def hide(self, text: str, data: Sequence[Span]) -> str:
        """Put a placeholder for each control string in `text` that touches one of the spans `data`."""
        starts = [start for start, _ in data]

        def replace(match: re.Match[str]) -> str:
            last = bisect_right(starts, match.end() - 1) - 1
            touches = last >= 0 and data[last][1] > match.start()
            return self._holders[match[0]] if touches else match[0]

        return self._any.sub(replace, text)

    def reveal(self, text: str) -> str:
        """Put the control strings back for their placeholders."""
        return self._holder.sub(lambda match: self._originals.get(match[0], match[0]), text)

    def encode_hidden(self, text: str) -> list[int]:
        """Return the ids of `text`: control strings are control tokens, placeholders ordinary text."""
        named = self._any.sub(lambda match: self._names[match[0]], text)
        return list(self._ordinary().encode(self.reveal(named), add_special_tokens=False).ids)

    def encode_ordinary(self, text: str) -> Any:
        """Return the `tokenizers.Encoding` of `text`, all of it ordinary; only its offsets and length count."""
        backend = self._ordinary() if self.occurs(text) else self._backend
        return backend.encode(text, add_special_tokens=False)

    def _ordinary(self) -> Any:
        # Made when the first control string turns up: it takes up to a few seconds for a large vocabulary.
        if self._copy is None:
            state = json.loads(self._backend.to_str())
            model = state["model"]
            if isinstance(model["vocab"], dict):
                model["vocab"] = {self._names.get(t, t): i for t, i in model["vocab"].items()}
            else:
                model["vocab"] = [[self._names.get(t, t), score] for t, score in model["vocab"]]
            if model.get("unk_token") is not None:
                model["unk_token"] = self._names.get(model["unk_token"], model["unk_token"])
            if "merges" in model:
                model["merges"] = [
                    merge for merge in model["merges"] if not self._makes_control(merge)
                ]
            for token in state["added_tokens"]:
                if token["content"] in self._names:
                    token.update(content=self._names[token["content"]], normalized=False)
            state["post_processor"] = None
            # Vocabulary and order are as before, so each token has the id that it had.
            self._copy = type(self._backend).from_str(json.dumps(state))
        return self._copy

    def _makes_control(self, merge: str | list[str]) -> bool:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        return not self._ids.keys().isdisjoint((left, right, left + right))


def _alternatives(strings: Any) -> str:
    """Return a pattern that matches any of `strings`, the longest first, fast for thousands of them."""
    groups: dict[str, list[str]] = {}
    for text in sorted(strings, key=lambda t: (-len(t), t)):
        groups.setdefault(text[:2], []).append(text)
    return "|".join(
        f"{re.escape(prefix)}(?:{'|'.join(re.escape(text[2:]) for text in texts)})"
        for prefix, texts in sorted(groups.items(), key=lambda item: (-len(item[0]), item[0]))
    )
