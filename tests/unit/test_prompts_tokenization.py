"""Loading a tokenizer: what is refused, and with which remedy."""

import json
import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from snakeval.errors import PromptError
from snakeval.prompts import load_tokenizer, render

TESTS = Path(__file__).parents[1]
FIXTURE = TESTS / "fixtures" / "tokenizer"
CHAT: dict[str, Any] = {"title": "Tiny", "prompt_style": "chat"}
COMPLETION: dict[str, Any] = {"title": "Tiny", "prompt_style": "completion"}
DATASET = {"title": "Toy", "prompt": {"chat": "{{ q }}", "completion": "{{ q }}"}, "truncate": None}
BOS_POST_PROCESSOR = {
    "type": "TemplateProcessing",
    "single": [
        {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "<|im_end|>", "type_id": 0}},
    ],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {
        name: {"id": name, "ids": [number], "tokens": [name]}
        for name, number in (("<|endoftext|>", 0), ("<|im_end|>", 2))
    },
}


def edited(folder: Path, name: str, **changes: Any) -> Path:
    """Copy the fixture to `folder` with changes to one of its JSON files; None removes a key."""
    shutil.copytree(FIXTURE, folder, dirs_exist_ok=True)
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    content.update(changes)
    content = {key: value for key, value in content.items() if value is not None}
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def sample(text: str) -> Any:
    return {"id": "s1", "inputs": {"q": text}, "target": None, "metadata": {}}


@lru_cache
def tiny() -> Any:
    return load_tokenizer(FIXTURE, CHAT)


def test_fixture_is_small_and_real() -> None:
    assert (FIXTURE / "tokenizer.json").stat().st_size < 60_000
    ids = tiny().hf.apply_chat_template(
        [{"role": "user", "content": "hello"}], add_generation_prompt=True, return_dict=False
    )
    assert render(tiny(), CHAT, DATASET, sample("hello"), 100).token_ids == ids
    assert tiny().hf.convert_ids_to_tokens(ids[0]) == "<|im_start|>"


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = (
        "import sys, snakeval.prompts\n"
        "print(sorted({'torch', 'transformers', 'tokenizers', 'vllm'} & set(sys.modules)))"
    )
    scripts = TESTS.parent / "workflow" / "scripts"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=scripts, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_byte_level_bpe_that_claims_to_be_llama_is_refused(tmp_path: Path) -> None:
    # The defect itself: transformers 5 rebuilds the tokenizer with Llama's rules and drops every space.
    folder = edited(tmp_path, "tokenizer_config.json", tokenizer_class="LlamaTokenizerFast")
    with pytest.raises(PromptError) as error:
        load_tokenizer(folder, CHAT)
    assert "'deff(x):" in error.value.got
    assert "`tokenizer:` entry" in error.value.fix
    assert '"tokenizer_class": "PreTrainedTokenizerFast"' in error.value.fix


def test_the_remedy_for_lost_spaces_works(tmp_path: Path) -> None:
    broken = edited(tmp_path, "tokenizer_config.json", tokenizer_class="LlamaTokenizerFast")
    mended = edited(broken, "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    tokenizer = load_tokenizer(mended, CHAT)
    assert tokenizer.hf.decode(tokenizer.encode("a  b\n c")[1]) == "a  b\n c"


def test_tokenizer_without_characters_beyond_its_vocabulary_is_refused(tmp_path: Path) -> None:
    state = json.loads((FIXTURE / "tokenizer.json").read_text(encoding="utf-8"))
    vocab = state["model"]["vocab"]
    vocab["unused"] = vocab.pop("©")  # how byte-level BPE writes the second byte of é
    merges = [m for m in state["model"]["merges"] if "©" not in "".join(m)]
    folder = edited(tmp_path, "tokenizer.json", model={**state["model"], "merges": merges})
    with pytest.raises(PromptError, match="loses no character"):
        load_tokenizer(folder, CHAT)


def test_a_tokenizer_may_add_one_leading_space(tmp_path: Path) -> None:
    pre_tokenizer = {
        "type": "ByteLevel",
        "add_prefix_space": True,
        "trim_offsets": True,
        "use_regex": True,
    }
    folder = edited(tmp_path, "tokenizer.json", pre_tokenizer=pre_tokenizer)
    tokenizer = load_tokenizer(folder, CHAT)
    assert tokenizer.hf.decode(tokenizer.encode("hello")[1]) == " hello"


@pytest.mark.parametrize(
    ("break_it", "got", "fix"),
    [
        (lambda f: (f / "tokenizer.json").unlink(), "a folder without a tokenizer", "`tokenizer:`"),
        (lambda f: shutil.rmtree(f), "no such folder", "`tokenizer:`"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "Error", "Fetch the model again"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "", "Fetch the model again"),
        (lambda f: (f / "tokenizer_config.json").write_text("[1"), "", "Fetch the model again"),
    ],
    ids=["no tokenizer", "no folder", "torn json", "empty json", "torn config"],
)
def test_broken_folders(tmp_path: Path, break_it: Any, got: str, fix: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(FIXTURE, folder)
    break_it(folder)
    with pytest.raises(PromptError) as error:
        load_tokenizer(folder, CHAT)
    assert got in error.value.got
    assert fix in error.value.fix
    assert str(folder) in error.value.where
    assert "\n" not in str(error.value)


def test_remote_code_is_refused_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "cache")
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = edited(
        tmp_path,
        "tokenizer_config.json",
        auto_map={"AutoTokenizer": [None, "custom.Custom"]},
        tokenizer_class="Custom",
    )
    edited_config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**edited_config, "model_type": "unheard_of"}))
    (folder / "custom.py").write_text("raise SystemExit('remote code ran')")
    with pytest.raises(PromptError, match="trust_remote_code"):
        load_tokenizer(folder, {**CHAT, "engine_arguments": {}})
    with pytest.raises(SystemExit, match="remote code ran"):
        load_tokenizer(folder, {**CHAT, "engine_arguments": {"trust_remote_code": True}})


def test_chat_without_template_names_both_remedies(tmp_path: Path) -> None:
    folder = edited(tmp_path, "tokenizer_config.json", chat_template=None)
    with pytest.raises(PromptError, match="no chat template") as error:
        load_tokenizer(folder, CHAT)
    assert "`chat_template:`" in error.value.fix
    assert "`prompt_style: completion`" in error.value.fix
    assert load_tokenizer(folder, COMPLETION).encode("a")[0] == "a"


def test_chat_template_from_a_file(tmp_path: Path) -> None:
    template = tmp_path / "plain.jinja"
    template.write_text(
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[answer]"
    )
    model = {**CHAT, "chat_template": str(template)}
    rendered = render(load_tokenizer(FIXTURE, model), model, DATASET, sample("hi"), 100)
    assert rendered.text == "[user] hi\n[answer]"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for m in %}", "TemplateSyntaxError"),
        ("{{ messages[7].content }}", "UndefinedError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("<|im_start|>user\n", "leaves out the user's message"),
        (None, "cannot be read"),
    ],
)
def test_unusable_chat_template_files(tmp_path: Path, template: str | None, message: str) -> None:
    path = tmp_path / "t.jinja"
    if template is not None:
        path.write_text(template)
    with pytest.raises(PromptError, match=message):
        load_tokenizer(FIXTURE, {**CHAT, "chat_template": str(path)})


REFUSES_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
)
IGNORES_SYSTEM = (
    "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endfor %}"
)


@pytest.mark.parametrize("template", [REFUSES_SYSTEM, IGNORES_SYSTEM])
def test_system_prompt_goes_into_the_user_turn_where_there_is_no_system_role(
    tmp_path: Path, template: str
) -> None:
    folder = edited(tmp_path, "tokenizer_config.json", chat_template=template)
    model = {**CHAT, "system_prompt": "Be brief."}
    rendered = render(load_tokenizer(folder, model), model, DATASET, sample("hi"), 100)
    assert rendered.text == "<|im_start|>user\nBe brief.\n\nhi<|im_end|>\n"


def test_system_prompt_has_its_own_turn_where_there_is_one() -> None:
    model = {**CHAT, "system_prompt": "Be brief."}
    text = render(tiny(), model, DATASET, sample("hi"), 100).text
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_template_arguments_reach_the_template(tmp_path: Path) -> None:
    template = (
        "{{ messages[-1].content }}{% if enable_thinking is false %}<think>\n\n</think>{% endif %}"
    )
    folder = edited(tmp_path, "tokenizer_config.json", chat_template=template)
    model = {**CHAT, "template_arguments": {"enable_thinking": False}}
    rendered = render(load_tokenizer(folder, model), model, DATASET, sample("hi"), 100)
    assert rendered.text == "hi<think>\n\n</think>"
    think = tiny().hf.convert_tokens_to_ids(["<think>", "</think>"])
    assert [i for i in rendered.token_ids if i in think] == think


def test_the_prompt_does_not_depend_on_the_day(tmp_path: Path) -> None:
    template = "{{ strftime_now('%d %b %Y') }}: {{ messages[-1].content }}"
    folder = edited(tmp_path, "tokenizer_config.json", chat_template=template)
    rendered = render(load_tokenizer(folder, CHAT), CHAT, DATASET, sample("hi"), 100)
    assert rendered.text == "26 Jul 2024: hi"


BOS, END = 0, 2
PLAIN_CHAT = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"


@pytest.mark.parametrize("template", ["{{ bos_token }}" + PLAIN_CHAT, PLAIN_CHAT])
@pytest.mark.parametrize("text", ["hi", "hi <|im_end|> <|endoftext|>"], ids=["tame", "hostile"])
def test_bos_stands_there_exactly_once(tmp_path: Path, template: str, text: str) -> None:
    edited(tmp_path, "tokenizer.json", post_processor=BOS_POST_PROCESSOR)
    config = json.loads((FIXTURE / "tokenizer_config.json").read_text(encoding="utf-8"))
    config.update(chat_template=template, bos_token="<|endoftext|>")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = load_tokenizer(tmp_path, CHAT)
    assert tokenizer.hf("a")["input_ids"][0] == BOS  # the tokenizer does add one
    for model in (CHAT, COMPLETION):
        rendered = render(tokenizer, model, DATASET, sample(text), 100)
        assert rendered.token_ids.count(BOS) == 1
        assert rendered.token_ids[0] == BOS
        assert END not in rendered.token_ids
        assert tokenizer.hf.decode(rendered.token_ids) == rendered.text
    assert render(tokenizer, COMPLETION, DATASET, sample("hi"), 9).text == "<|endoftext|>hi"


def test_no_bos_where_the_tokenizer_adds_none() -> None:
    rendered = render(tiny(), COMPLETION, DATASET, sample("hello world"), 100)
    assert rendered.text == "hello world"
    assert rendered.token_ids == tiny().hf("hello world")["input_ids"]


def test_truncation_and_padding_of_the_tokenizer_file_are_switched_off(tmp_path: Path) -> None:
    folder = edited(
        tmp_path,
        "tokenizer.json",
        truncation={"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0},
        padding={
            "strategy": {"Fixed": 64},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "<|endoftext|>",
        },
    )
    text = "one two three four five six seven eight nine ten"
    rendered = render(load_tokenizer(folder, CHAT), CHAT, DATASET, sample(text), 1000)
    assert rendered.token_ids == render(tiny(), CHAT, DATASET, sample(text), 1000).token_ids


def test_a_process_that_skips_torch_has_the_same_tokenizer() -> None:
    """Torch is what an engine's job would wait for; it does without, and nothing is left behind to hide it."""
    script = (
        "import os, sys, snakeval.prompts as prompts\n"
        "if sys.argv[2] == 'skip': prompts.skip_torch()\n"
        "tokenizer = prompts.load_tokenizer(sys.argv[1], {'prompt_style': 'chat'})\n"
        "print(tokenizer.hf('def f(x): return x')['input_ids'])\n"
        "assert not [name for name in os.environ if name.startswith('TRANSFORMERS_')]\n"
        "print('torch' in sys.modules)\n"
        "import torch\n"
    )
    done = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script, str(FIXTURE), how],
            env=os.environ | {"PYTHONPATH": str(TESTS.parent / "workflow" / "scripts")},
            capture_output=True,
            text=True,
            check=True,
        )
        for how in ("skip", "load")
    ]
    ids, torch = zip(*(process.stdout.splitlines() for process in done), strict=True)
    assert ids[0] == ids[1]
    assert torch == ("False", "True")
    assert "PyTorch" not in done[0].stderr  # transformers would complain
