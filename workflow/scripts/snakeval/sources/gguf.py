"""Turn a GGUF file into a plain bf16 model folder that every vLLM loads.

The weights go through transformers. The tokenizer is built here from the file's own metadata:
transformers 5.17 reads it with the wrong end-of-text token and a decoder that loses characters, and
no version up to 5.19 splits numbers as the file says, which changes the tokens of one HumanEval
prompt in five.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

from snakeval.errors import SourceError, StorageError
from snakeval.sources.unavailable import portable, short

# `tokenizer.ggml.pre`: whether digits are split off one by one before the byte-level rule of GPT-2
# (llama.cpp, src/llama-vocab.cpp). Other rules are refused, because a wrong one is silent.
SPLITS_DIGITS = {
    "default": False,
    "gpt-2": False,
    "smollm": True,
    "starcoder": True,
    "refact": True,
    "command-r": True,
    "codeshell": True,
}
CONTROL = 3  # a token type of llama.cpp: never text
TRIALS = (
    "def f(x):\n    return x + 1  # é 你好 🙂",
    "\tif a :\n\t\tpass ; x = '  1' , 0.5\r\n\n    12345 ▁ don't",
)


def convert(file: Path, folder: Path, *, weights: bool = True, tokenizer: bool = True) -> None:
    """Write the model folder, whole or not at all; one that is there is kept.

    Args:
        file: the GGUF file.
        folder: where the model folder goes.
        weights: write config.json, generation_config.json and weights.
        tokenizer: write the tokenizer.

    Raises:
        SourceError: the file is damaged, or of a kind that cannot be converted faithfully.
        StorageError: the folder cannot be written.
    """
    if folder.exists():
        return
    temporary = folder.with_name(f".{folder.name}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            facts = _read(file)
            if tokenizer:
                _write_tokenizer(file, facts, temporary)
            if weights:
                print(f"converting {file.name} to bfloat16", file=sys.stderr)
                _write_weights(file, facts, temporary)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise StorageError.from_os_error(error, portable(folder)) from error


def _read(file: Path) -> dict[str, Any]:
    """Return the file's metadata, each value as plain Python."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)
        return {name: field.contents() for name, field in reader.fields.items()}
    except OSError:
        raise
    except Exception as error:  # the reader trusts its input and fails in many ways
        raise SourceError(
            portable(file),
            f"a damaged file ({type(error).__name__}: {short(str(error))})",
            "a GGUF file",
            "Fetch or install it again.",
        ) from error


def _write_tokenizer(file: Path, facts: dict[str, Any], folder: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    kind, pre = facts.get("tokenizer.ggml.model"), facts.get("tokenizer.ggml.pre", "default")
    if kind != "gpt2" or pre not in SPLITS_DIGITS:
        raise SourceError(
            portable(file),
            f"a tokenizer of the kind {short(kind)}, {short(pre)}",
            f"gpt2 with one of {', '.join(SPLITS_DIGITS)}",
            "Give the model a `tokenizer` source in the registry that holds tokenizer.json.",
        )
    tokens: list[str] = facts["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in facts["tokenizer.ggml.merges"]]
    result = Tokenizer(
        models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges)
    )
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    digits = pre_tokenizers.Digits(individual_digits=True)
    result.pre_tokenizer = (
        pre_tokenizers.Sequence([digits, byte_level]) if SPLITS_DIGITS[pre] else byte_level
    )
    result.decoder = decoders.ByteLevel()
    types = facts.get("tokenizer.ggml.token_type", [])
    result.add_special_tokens(
        [
            AddedToken(token, normalized=False)
            for token, type_ in zip(tokens, types, strict=False)
            if type_ == CONTROL
        ]
    )
    names = {
        role: tokens[facts[key]]
        for role, key in (
            ("bos_token", "tokenizer.ggml.bos_token_id"),
            ("eos_token", "tokenizer.ggml.eos_token_id"),
            ("unk_token", "tokenizer.ggml.unknown_token_id"),
            ("pad_token", "tokenizer.ggml.padding_token_id"),
        )
        if key in facts
    }
    if facts.get("tokenizer.ggml.add_bos_token"):
        bos = names["bos_token"]
        result.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A",
            pair=f"{bos} $A {bos} $B",
            special_tokens=[(bos, facts["tokenizer.ggml.bos_token_id"])],
        )
    for trial in TRIALS:
        back = result.decode(result.encode(trial, add_special_tokens=False).ids)
        if back != trial:
            raise SourceError(
                portable(file),
                f"a tokenizer that turns {trial!r} into {back!r}",
                "the same text again",
                "Give the model a `tokenizer` source in the registry that holds tokenizer.json.",
            )
    result.save(str(folder / "tokenizer.json"))
    settings = {
        **names,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": facts[f"{facts['general.architecture']}.context_length"],
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    _write(folder / "tokenizer_config.json", settings)
    if template := facts.get("tokenizer.chat_template"):
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


def _write_weights(file: Path, facts: dict[str, Any], folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    try:
        model = AutoModelForCausalLM.from_pretrained(
            file.parent,
            gguf_file=file.name,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),  # packed weights cannot be saved
        )
    except Exception as error:  # transformers fails in many ways on what it does not know
        traceback.print_exception(error)
        raise SourceError(
            portable(file),
            f"a model that transformers cannot convert ({short(str(error), 200)})",
            "an architecture that it knows",
            "Use a repository with safetensors.",
        ) from error
    if model.dtype != torch.bfloat16:
        raise SourceError(portable(file), f"{model.dtype} weights", "bfloat16", "Report this.")
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_bytes())
    config.pop("_name_or_path", None)
    config.pop("_model_name_or_path", None)
    _write(folder / "config.json", config)
    ids = {
        role: facts[key]
        for role, key in (
            ("bos_token_id", "tokenizer.ggml.bos_token_id"),
            ("eos_token_id", "tokenizer.ggml.eos_token_id"),
            ("pad_token_id", "tokenizer.ggml.padding_token_id"),
        )
        if key in facts
    }
    _write(folder / "generation_config.json", ids)
    let_others_read(folder)


def let_others_read(folder: Path) -> None:
    """Give a folder's files the usual permissions: safetensors writes some that only their owner may read."""
    for path in folder.iterdir():
        path.chmod(0o666 & ~_umask())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
