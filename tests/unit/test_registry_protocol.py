"""Which results compare: what a protocol holds, what parts two of them, and what the registry's sentences say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from snakeval import registry
from snakeval.registry import Run, schema
from snakeval.registry.files import read_yaml
from snakeval.registry.protocol import (
    Protocol,
    comparable,
    describe,
    differences,
    protocol,
    shots,
    thinks,
)

ROOT = Path(__file__).parents[2]
ENTRIES = {
    name: schema.filled(entry, "dataset")
    for name, entry in read_yaml(ROOT / "config" / "datasets.yaml", "datasets.yaml").items()
}
MODELS = {
    "chat": {"source": {"hub": "org/chat"}, "max_model_len": 8192},
    "base": {
        "source": {"hub": "org/base"},
        "max_model_len": 8192,
        "prompt_style": "completion",
    },
}


def load(
    dataset: str,
    models: dict[str, dict[str, Any]] = MODELS,
    entry: dict[str, Any] | None = None,
    **run: Any,
) -> Run:
    chosen = {"models": list(models), "datasets": [dataset], **run}
    given = {"models": models, "datasets": {dataset: entry or {}}, "run": chosen}
    return registry.load(given, ROOT)


def of(run: Run, model: str) -> Protocol:
    return protocol(run, next(pair for pair in run.pairs if pair.model == model))


def changed(name: str = "chat", **keys: Any) -> dict[str, dict[str, Any]]:
    return {name: MODELS[name] | keys}


def test_a_protocol_says_how_a_pair_is_asked_and_judged() -> None:
    base = of(load("mmlu_letter", limit=20), "base")
    assert base.title == "Text to continue, 5-shot (the first of dev with the row's subject)"
    assert re.fullmatch(
        r"Text to continue, 5-shot \(the first of dev with the row's subject\); answers of up to 2,048 tokens; "
        r"ended by 1 stop text; read and scored by multiple_choice_generated, version \d+, as accuracy; "
        r"the first 20 rows",
        base.text,
    )
    assert base.own == "greedy"
    chat = of(load("mmlu_letter"), "chat")
    assert chat.title == "Chat prompt, 0-shot"  # its template does not show the examples
    assert chat.text.endswith("; all rows")


def test_a_base_model_and_a_chat_model_do_not_compare() -> None:
    run = load("gsm8k")
    chat, base = of(run, "chat"), of(run, "base")
    assert not comparable(chat, base)
    assert differences(chat, base) == ["prompt style", "prompt", "stops"]
    assert differences(chat, chat) == []
    assert re.fullmatch("[0-9a-f]{12}", chat.id)


def test_likelihoods_are_asked_of_all_models_alike() -> None:
    run = load("arc_challenge")
    chat, base = of(run, "chat"), of(run, "base")
    assert comparable(chat, base)
    assert chat.title == "Log-likelihood of the choices behind a plain text, 0-shot"
    assert chat.own == "no sampling"
    assert "tokens" not in chat.text


@pytest.mark.parametrize(
    ("name", "keys", "part"),
    [
        ("chat", {"entry": {"max_tokens": 2048}}, "token limit"),
        ("chat", {"entry": {"prompt": {"chat": "{{ problem }}"}}}, "prompt"),
        ("chat", {"entry": {"truncate": "problem"}}, "prompt"),
        (
            "chat",
            {"entry": {"temperature": {"by": "problem", "values": {"x": 1}}}},
            "further sampling",
        ),
        ("base", {"entry": {"stop": {"completion": ["\n\n"]}}}, "stops"),
        ("chat", {"entry": {"metric": "other"}}, "metric"),
        ("chat", {"entry": {"scoring": {"memory_mb": 512}}}, "scoring"),
        ("chat", {"entry": {"sources": [{"path": "config/data"}]}}, "rows"),
        ("chat", {"limit": 50}, "limit"),
    ],
)
def test_what_parts_two_results(name: str, keys: dict[str, Any], part: str) -> None:
    before = of(load("gsm8k", changed(name)), name)
    after = of(load("gsm8k", changed(name), **keys), name)
    assert not comparable(before, after)
    assert differences(before, after) == [part]


def test_other_examples_part_two_results() -> None:
    block = ENTRIES["mmlu_letter"]["shots"]
    entry = {"shots": {**block, "count": 3}}
    before, after = (
        {name: of(load("mmlu_letter", entry=given), name) for name in MODELS}
        for given in (None, entry)
    )
    assert "examples" in differences(before["base"], after["base"])
    assert after["base"].title.startswith("Text to continue, 3-shot")
    assert "examples" not in differences(before["chat"], after["chat"])  # it is shown none


@pytest.mark.parametrize(
    ("models", "run", "own"),
    [
        ({"sampling": {"top_p": 0.8, "temperature": 0.7}}, {}, "temperature 0.7, top p 0.8"),
        ({"system_prompt": "Think."}, {}, "greedy, with a system prompt of its own"),
        (
            {"thinking": {"open": "<t>", "close": "</t>"}, "thinking_tokens": 4096},
            {},
            "greedy, thinks, thought and answer in up to 5,120 tokens",
        ),
        (
            {
                "thinking": {"open": "<t>", "close": "</t>"},
                "template_arguments": {"enable_thinking": False},
            },
            {},
            "greedy, thinking switched off",
        ),
        ({}, {"repeats": 4}, "greedy, 4 answers to each question"),
        ({}, {"seed": 7}, "greedy"),
        ({"dtype": "bfloat16", "max_model_len": 4096}, {}, "greedy"),
        ({"stop": ["[End]"]}, {}, "greedy"),
    ],
)
def test_what_is_a_models_own_parts_no_results(
    models: dict[str, Any], run: dict[str, Any], own: str
) -> None:
    plain = of(load("gsm8k", changed()), "chat")
    other = of(load("gsm8k", changed(**models), **run), "chat")
    assert comparable(plain, other)
    assert other.own == own


def test_without_tokens_for_thoughts_a_key_is_what_it_was() -> None:
    marks = {"open": "<t>", "close": "</t>"}
    keys = {
        tokens: load("gsm8k", changed(thinking=marks, thinking_tokens=tokens)).pairs[0].key
        for tokens in (None, 1024, 2048)
    }
    assert len(set(keys.values())) == 3
    assert keys[None] == load("gsm8k", changed()).pairs[0].key


def test_a_model_thinks_unless_its_template_is_told_otherwise() -> None:
    marks = {"open": "<t>", "close": "</t>"}
    assert thinks({"thinking": marks, "template_arguments": {}})
    assert thinks({"thinking": marks, "template_arguments": {"enable_thinking": True}})
    assert not thinks({"thinking": marks, "template_arguments": {"enable_thinking": False}})
    assert not thinks({"thinking": None, "template_arguments": {}})
    served = {"endpoint": {"url": "u"}, "thinking": marks, "template_arguments": {}}
    assert not thinks({**served, "thinking_tokens": None})
    assert thinks({**served, "thinking_tokens": 4096})


def test_many_ids_are_cut_short() -> None:
    ids = [str(number) for number in range(12)]
    block = {"name": "dev", "count": 12, "ids": ids, "group": None}
    entry = {"shots": block, "written_shots": {"chat": 1}, "prompt": {"chat": "{{ shots }}"}}
    assert shots(entry, "chat") == (
        "13-shot (written in the prompt, dev 0, 1, 2, 3, 4, 5, 6, 7, …)"
    )


def test_shipped_models_that_think_have_tokens_for_it() -> None:
    models = read_yaml(ROOT / "config" / "models.yaml", "models.yaml")
    thinking = [
        entry
        for entry in (schema.filled(entry, "model") for entry in models.values())
        if thinks(entry)
    ]
    assert thinking
    assert all((entry["thinking_tokens"] or 0) >= 8192 for entry in thinking)


@pytest.mark.parametrize("name", ENTRIES)
def test_a_sentence_does_not_say_what_the_entry_says(name: str) -> None:
    entry = ENTRIES[name]
    sentence = entry["protocol"]
    assert not re.search(r"\d+[- ]shot", sentence)
    nouns = "rows|questions|problems|sentences|prompts|papers|proteins|abstracts|queries|documents"
    told = re.findall(rf"(\d[\d,]*) (?:\w+ ){{0,2}}(?:{nouns})", sentence)
    numbers = {int(number.replace(",", "")) for number in told}
    numbers = {number for number in numbers if number >= 100}  # fewer are classes and the like
    assert numbers <= {entry["about"]["rows"]}, "rows that are not those of about.rows"
    for style in entry["prompt"]:
        assert describe(entry, style)


@pytest.mark.parametrize(
    ("name", "style"),
    [(name, style) for name, entry in ENTRIES.items() for style in entry["prompt"]],
)
def test_written_examples_are_as_many_as_the_entry_says(name: str, style: str) -> None:
    entry = ENTRIES[name]
    text = re.sub(r"{% for shot in .*?{% endfor %}", "", entry["prompt"][style], flags=re.DOTALL)
    lines = [line.strip() for line in text.splitlines() if line.strip() and "shot." not in line]
    # What the last line begins with, before the model's answer, comes before that of each example too.
    cue = lines[-1].partition("{{")[0].strip()
    times = sum(line.startswith(cue) for line in lines) if re.search("[A-Za-z]", cue) else 1
    assert times - 1 == entry["written_shots"].get(style, 0)
