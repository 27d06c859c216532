"""The shipped models and categories against what their makers say, their names from before, and pairs left out."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from snakeval import leash, plan, registry
from snakeval.errors import ConfigError, PromptError
from snakeval.generation import sampling_parameters
from snakeval.prompts import load_tokenizer, render
from snakeval.registry import page, schema
from snakeval.sources import models as fetching
from unit.test_prompts_tokenization import BOS_POST_PROCESSOR, edited
from unit.test_registry import DATASET, FILE, GIVEN, MODELS, Project

ROOT = Path(__file__).parents[2]


def read(kind: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "config" / f"{kind}.yaml").read_text("utf-8")))


ENTRIES = {name: schema.filled(entry, "model") for name, entry in read("models").items()}
DATASETS, GROUPS = read("datasets"), read("categories")

# Tokens of context: max_position_embeddings in the maker's config.json, or the card's where that is less.
CONTEXT = {
    **{"smollm2_135m": 8192, "smollm2_135m_awq": 8192},
    **{"qwen3_8b": 40960, "qwen3_8b_bf16": 40960, "qwen3_14b": 40960, "qwen3_14b_bf16": 40960},
    **{"qwen3_coder_30b": 262144, "qwen3_coder_30b_bf16": 262144},
    **{"deepseek_coder_16b": 163840, "deepseek_coder_16b_bf16": 163840},
    **{"codestral_22b": 32768, "codestral_22b_bf16": 32768},
    **{"qwen25_math_7b": 4096, "wizardmath_70b": 2048, "deepseek_math_7b": 4096},
    **{"biomistral_7b": 2048, "biomedlm_2_7b": 1024, "med42_8b": 8192},
    **{"openscholar_8b": 131072, "galactica_6_7b": 2048, "qwen3_4b_2507": 262144},
    **{"qwen25_0_5b": 32768, "qwen25_1_5b": 32768, "qwen25_3b": 32768, "phi35_mini": 131072},
    **{"qwen25_7b": 32768, "llama31_8b": 131072, "mistral_7b": 32768, "mistral_nemo_12b": 131072},
    **{"olmo2_13b": 4096, "yi_9b": 4096, "yi_1_5_34b": 4096, "gemma2_9b": 8192},
    **{"granite_3_1_8b": 131072, "llama33_70b": 131072, "qwen25_72b": 32768},
    **{"qwen3guard_gen_8b": 32768, "qwen2_vl_7b": 32768, "qwen25_vl_7b": 128000},
    **{"qwen3_vl_8b": 262144, "mixtral_8x7b": 32768, "qwen3_30b_2507": 262144},
    **{"deepseek_r1_distill_llama_70b": 131072, "deepseek_r1_distill_qwen_32b": 131072},
}
GATED = {"codestral_22b", "codestral_22b_bf16", "llama31_8b", "gemma2_9b", "llama33_70b"}
COMPLETION = {"biomistral_7b", "biomedlm_2_7b", "galactica_6_7b"}
ALWAYS_THINK = {"deepseek_r1_distill_llama_70b", "deepseek_r1_distill_qwen_32b"}
IMAGES = {"qwen2_vl_7b", "qwen25_vl_7b", "qwen3_vl_8b"}
# All names of the first version that are no entries: what they stand for, or what stands in their place.
ALIASES = {
    **{"qwen_8b": "qwen3_8b", "qwen2.5_8b": "qwen3_8b"},
    **{"qwen_14b": "qwen3_14b", "qwen2.5_14b": "qwen3_14b"},
    **{"qwen25_1_5b_genomic": "qwen25_1_5b", "qwen25_72b_genomic": "qwen25_72b"},
    "olmo2_13b_research": "olmo2_13b",
}
REPLACED = {
    **{"claude_sonnet": "llama33_70b", "biogpt_large": "biomedlm_2_7b"},
    **{"clinical_t5_large": "med42_8b", "specter2_base": "openscholar_8b"},
    **{"scibert_base": "galactica_6_7b", "longformer_large": "qwen3_4b_2507"},
    **{"safety_bert": "qwen3guard_gen_8b", "donut_base": "qwen25_vl_7b"},
    "layoutlmv3_base": "qwen3_vl_8b",
}


def test_the_categories_hold_37_models_and_every_cpu_runs_two() -> None:
    assert list(ENTRIES) == list(CONTEXT)
    members = {model for group in GROUPS.values() for model in group["models"]}
    assert len(members - {"smollm2_135m"}) == 37
    small = [name for name, entry in ENTRIES.items() if entry["runs_on_cpu"]]
    assert small == ["smollm2_135m", "smollm2_135m_awq"]


def test_the_coding_specialists_have_the_makers_own_weights_beside_them() -> None:
    for name in GROUPS["coding_specialists"]["models"]:
        copy, base = ENTRIES[name], ENTRIES[f"{name}_bf16"]
        assert copy["base_model"] == f"{name}_bf16"
        assert base["facts"]["format"] == "bf16"
        # Asked alike, so that only the weights differ.
        asked = ("max_model_len", "template_arguments", "chat_template", "sampling", "thinking")
        assert [copy[key] for key in asked] == [base[key] for key in asked]
        for fact in ("parameters", "active", "kv_bytes_per_token", "context"):
            assert copy["facts"][fact] == base["facts"][fact]


@pytest.mark.parametrize("name", ENTRIES)
class TestEntry:
    def test_it_is_right_and_tells_what_users_ask(self, name: str) -> None:
        entry = read("models")[name]
        assert schema.check(entry, "model", "here") == []
        assert all(entry[key] for key in ("title", "licence", "card", "facts"))
        assert entry["card"].startswith("https://huggingface.co/")
        source = entry["source"].get("quantize", {}).get("calibration") or entry["source"]
        assert "revision" in source or "sha256" in source

    def test_its_context_is_the_makers(self, name: str) -> None:
        entry = ENTRIES[name]
        assert entry["facts"]["context"] == CONTEXT[name]
        assert entry["max_model_len"] <= CONTEXT[name]

    def test_gate_style_images_and_thoughts_are_the_makers(self, name: str) -> None:
        entry = ENTRIES[name]
        assert entry["gated"] == (name in GATED)
        assert (entry["prompt_style"] == "completion") == (name in COMPLETION)
        assert (entry["prompt_style"] == "moderation") == (name == "qwen3guard_gen_8b")
        assert entry["images"] == (name in IMAGES)
        off = entry["template_arguments"].get("enable_thinking") is False
        assert (entry["thinking"] is not None and not off) == (name in ALWAYS_THINK)

    def test_it_is_greedy_unless_it_thinks(self, name: str) -> None:
        entry = ENTRIES[name]
        if name not in ALWAYS_THINK:
            assert entry["sampling"]["temperature"] == 0
            return
        assert 0.5 <= entry["sampling"]["temperature"] <= 0.7
        assert entry["sampling"]["top_p"] == 0.95
        assert entry["thinking_tokens"] >= 16384
        assert entry["system_prompt"] is None

    def test_its_weights_have_the_size_of_their_format(self, name: str) -> None:
        facts = ENTRIES[name]["facts"]
        # Embeddings stay in 16 bits: they are most of a small model.
        least, most = {"bf16": (1.9, 2.1), "fp16": (1.9, 2.1)}.get(facts["format"], (0.5, 1.0))
        assert least <= facts["weights_gb"] / facts["parameters"] <= most
        assert facts["active"] is None or facts["active"] < facts["parameters"]

    def test_a_request_of_full_length_fits_one_h100(self, name: str) -> None:
        entry = ENTRIES[name]
        facts = entry["facts"]
        given = page.H100_BYTES * entry["engine_limits"]["gpu_memory_utilization"]
        cache = entry["max_model_len"] * facts["kv_bytes_per_token"]
        assert facts["weights_gb"] * 1e9 + page.WORKING_BYTES + cache <= given
        assert entry["gpus"] == 1

    def test_its_title_names_the_format(self, name: str) -> None:
        entry = ENTRIES[name]
        if entry["facts"]["format"] != "GGUF":
            assert entry["facts"]["format"] in entry["title"]
        assert (
            entry["quantization"] is None
        )  # vLLM reads it; "awq" for compressed-tensors is an error


QUESTION = "What is 2 + 2?\nSay it."
MESSAGE: Any = {"id": "1", "inputs": {"q": QUESTION}, "target": None, "metadata": {}}
TOY = {"title": "Toy", "prompt": {"chat": "{{ q }}"}, "truncate": None}
BEFORE = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
)
STEPS = "\n\n### Response: Let's think step by step."
EXPECTED = {
    **dict.fromkeys(("codestral_22b", "codestral_22b_bf16"), f"[INST] {QUESTION}[/INST]"),
    "mistral_7b": f"[INST] {QUESTION}[/INST]",
    "wizardmath_70b": f"{BEFORE}### Instruction:\n{QUESTION}{STEPS}",
}
CONVERSATION = {
    "mistral_7b": "<|endoftext|>[INST] a[/INST] b<|im_end|>[INST] c[/INST]",
    "wizardmath_70b": f"{BEFORE}### Instruction:\na{STEPS}b\n\n### Instruction:\nc{STEPS}",
}


class TestTemplates:
    """The templates that lie here, with a real tokenizer whose markup tokens stand for BOS and EOS."""

    def tokenizer(self, folder: Path, name: str, **changes: Any) -> Any:
        tokens = {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>", "chat_template": None}
        edited(folder, "tokenizer_config.json", **tokens)
        if changes:
            state = json.loads((folder / "tokenizer.json").read_text("utf-8"))
            (folder / "tokenizer.json").write_text(json.dumps(state | changes), "utf-8")
        entry = ENTRIES[name]
        return load_tokenizer(
            folder, {**entry, "chat_template": str(ROOT / entry["chat_template"])}
        )

    def test_each_is_held_against_its_card(self) -> None:
        assert set(EXPECTED) == {name for name in ENTRIES if ENTRIES[name]["chat_template"]}

    @pytest.mark.parametrize("name", EXPECTED)
    def test_the_card_s_markup_behind_one_bos(self, tmp_path: Path, name: str) -> None:
        tokenizer = self.tokenizer(tmp_path, name, post_processor=BOS_POST_PROCESSOR)
        rendered = render(tokenizer, ENTRIES[name], TOY, MESSAGE, 1000)
        assert rendered.text == "<|endoftext|>" + EXPECTED[name]
        assert rendered.token_ids.count(0) == 1
        assert rendered.token_ids[0] == 0
        assert tokenizer.hf.decode(rendered.token_ids) == rendered.text

    @pytest.mark.parametrize("name", CONVERSATION)
    def test_a_conversation(self, tmp_path: Path, name: str) -> None:
        roles = zip(("user", "assistant", "user"), "abc", strict=True)
        said = [{"role": role, "content": content} for role, content in roles]
        assert self.tokenizer(tmp_path, name).chat(said, {}) == CONVERSATION[name]

    @pytest.mark.parametrize("name", EXPECTED)
    def test_a_system_prompt_is_not_lost(self, tmp_path: Path, name: str) -> None:
        model = ENTRIES[name] | {"system_prompt": "Be brief."}
        rendered = render(self.tokenizer(tmp_path, name), model, TOY, MESSAGE, 1000)
        assert "Be brief.\n\nWhat is 2 + 2?" in rendered.text


class TestTokenizerClass:
    """transformers 5 drops every space of tokenizers that claim to be Llama's."""

    AFFECTED = ("deepseek_math_7b", "deepseek_r1_distill_llama_70b")

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        place = edited(
            tmp_path / "m", "tokenizer_config.json", tokenizer_class="LlamaTokenizerFast"
        )
        (place / "model.safetensors").write_text("weights")
        (place / "model.safetensors.index.json").write_text('{"weight_map": {}}')
        return place

    def fetched(self, folder: Path, tmp_path: Path, **keys: Any) -> dict[str, Any]:
        status = tmp_path / "results" / "0.json"
        assert fetching.fetch("m", {"source": {"path": str(folder)}, **keys}, status)
        return dict(json.loads(status.read_text()))

    @pytest.mark.parametrize("name", AFFECTED)
    def test_the_entries_name_another_class(self, folder: Path, tmp_path: Path, name: str) -> None:
        entry = ENTRIES[name]
        with pytest.raises(PromptError, match="loses no character"):
            load_tokenizer(self.fetched(folder, tmp_path)["tokenizer_path"], entry)
        keys = {"tokenizer_class": entry["tokenizer_class"]}
        status = self.fetched(folder, tmp_path, **keys)
        tokenizer = load_tokenizer(status["tokenizer_path"], entry)
        assert tokenizer.hf.decode(tokenizer.encode("a  b\n c")[1]) == "a  b\n c"
        assert status["path"] == str(folder)
        assert "Llama" in (folder / "tokenizer_config.json").read_text()
        copied = {path.name for path in Path(status["tokenizer_path"]).iterdir()}
        assert copied == {"config.json", "tokenizer.json", "tokenizer_config.json"}

    def test_no_other_entry_does(self) -> None:
        assert {name for name in ENTRIES if ENTRIES[name]["tokenizer_class"]} == {*self.AFFECTED}


def test_a_gated_model_that_cannot_be_had_leads_to_its_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    entry = {"source": {"hub": "org/copy"}, "card": "https://example.org/maker"}
    for gated in (False, True):
        status = tmp_path / f"{gated}.json"
        assert not fetching.fetch("m", {**entry, "gated": gated}, status)
        assert ("https://example.org/maker" in json.loads(status.read_text())["reason"]) == gated


class TestOtherNames:
    @pytest.fixture
    def project(self, tmp_path: Path) -> Project:
        project = Project(tmp_path)
        project.files["models"]["large"]["aliases"] = {
            "big.1": "it was called so.",
            "giant": "it is large.",
        }
        project.files["models"]["base"]["replaces"] = {"gone": "vLLM cannot run it."}
        return project

    @pytest.mark.parametrize(("name", "model"), ALIASES.items())
    def test_shipped_aliases(self, name: str, model: str) -> None:
        run = registry.load({"models": name, "datasets": "gsm8k"}, ROOT)
        assert [pair.model for pair in run.pairs] == [model]
        (note,) = run.notes
        assert note.startswith(f"{name} stands for {model}, {ENTRIES[model]['title']}: ")

    @pytest.mark.parametrize(("name", "model"), REPLACED.items())
    def test_shipped_names_of_models_that_are_no_more(self, name: str, model: str) -> None:
        with pytest.raises(ConfigError) as caught:
            registry.load({"models": name}, ROOT)
        (line,) = str(caught.value).splitlines()
        reason = ENTRIES[model]["replaces"][name]
        assert line == (
            f"{GIVEN}: models: got {name!r}; expected a name in config/models.yaml. "
            f"{model} stands in its place: {reason}"
        )

    def test_no_name_means_two_things(self) -> None:
        others = [
            name for entry in ENTRIES.values() for name in (*entry["aliases"], *entry["replaces"])
        ]
        assert sorted(others) == sorted([*ALIASES, *REPLACED])
        assert not set(others) & {*ENTRIES, *DATASETS, *GROUPS}

    def test_an_alias_is_the_same_run_as_the_name(self, project: Project) -> None:
        own, other = project.load(models="large"), project.load(models="big.1")
        assert other == own
        assert other.save(project.root) == own.save(project.root)
        assert own.notes == ()
        assert other.notes == ("big.1 stands for large, large: it was called so.",)

    def test_wherever_models_are_named(self, project: Project) -> None:
        assert project.load(models="small,large", exclude_models="big.1").models.keys() == {"small"}
        assert project.load(models="small", judge="big.1").settings["judge"] == "large"
        project.files["categories"]["tiny"]["models"] = ["big.1"]
        assert project.load(categories="tiny").models.keys() == {"large"}
        for key in ("exclude_models", "judge"):
            (line,) = project.errors(**{key: "gone"})
            assert line.endswith("base stands in its place: vLLM cannot run it.")
        project.files["categories"]["tiny"]["models"] = ["gone"]
        (line,) = project.errors()
        assert line.endswith("base stands in its place: vLLM cannot run it.")

    def test_an_entry_of_that_name_goes_first(self, project: Project) -> None:
        own = dict.fromkeys(("gone", "giant"), MODELS["base"])
        run = project.load(models=own, run={"models": list(own)})
        assert (list(run.models), run.notes) == ([*own], ())

    def test_two_models_with_one_name(self, project: Project) -> None:
        project.files["models"]["small"]["replaces"] = {"big.1": "it is larger."}
        assert project.errors() == [
            "config/models.yaml: models.large.aliases: got 'big.1'; expected a name that small does "
            "not have too. Remove it from one of the two."
        ]

    def test_it_is_told_once_and_not_by_jobs(
        self, project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        project.load()  # writes the files
        monkeypatch.chdir(project.root)
        for name in ("PATH", leash.VARIABLE):
            monkeypatch.setenv(name, os.environ.get(name, ""))
        for main, told in ((True, 1), (False, 0)):
            workflow = SimpleNamespace(
                basedir=str(project.root), is_main_process=main, global_resources={}
            )
            plan.start(workflow, {"models": "big.1,base", "judge": "big.1"})
            error = capsys.readouterr().err
            assert error.count("note: big.1 stands for large, large: it was called so.\n") == told


class TestKeys:
    @pytest.fixture
    def project(self, tmp_path: Path) -> Project:
        return Project(tmp_path)

    def key(self, project: Project, **keys: Any) -> str:
        project.files["models"]["small"] = MODELS["small"] | keys
        return project.load().pairs[0].key

    def test_what_changes_answers_is_part_of_it(self, project: Project) -> None:
        before = self.key(project)
        spec = project.load().spec("small", "problems")
        assert {"tokenizer_class", "model_stop"}.isdisjoint({**spec["model"], **spec["sampling"]})
        keys = ({"tokenizer_class": "PreTrainedTokenizerFast"}, {"stop": ["END"]})
        assert len({before, *(self.key(project, **changed) for changed in keys)}) == 3

    def test_another_tokenizer_class_is_fetched_anew(self, project: Project) -> None:
        before = project.load().models["small"]["source_id"]
        project.files["models"]["small"]["tokenizer_class"] = "PreTrainedTokenizerFast"
        assert project.load().models["small"]["source_id"] != before

    def test_names_and_facts_are_not(self, project: Project) -> None:
        facts = {"format": "AWQ", "parameters": 1, "weights_gb": 1, "kv_bytes_per_token": 9}
        before = self.key(project)
        for keys in (
            {"facts": facts | {"context": 4096}},
            {"aliases": {"x": "y"}},
            {"replaces": {"x": "y"}},
        ):
            assert self.key(project, **keys) == before

    def test_a_model_s_own_stops_come_behind_the_dataset_s(self) -> None:
        sample: Any = {"id": "s", "inputs": {}, "target": None, "metadata": {}}
        dataset = schema.filled(DATASET | {"stop": {"chat": ["END"]}}, "dataset")
        asked = sampling_parameters(ENTRIES["openscholar_8b"], dataset, 0, sample, 0)
        assert asked["stop"] == ["END", "[Response_End]"]

    def test_a_context_beyond_the_model_s(self, project: Project) -> None:
        facts = {"format": "AWQ", "parameters": 1, "weights_gb": 1, "kv_bytes_per_token": 9}
        project.files["models"]["small"]["facts"] = facts | {"context": 2000}
        assert project.errors() == [
            f"{FILE}.max_model_len: got 2048; expected at most 2000, facts.context. "
            "Lower it, or extend the context by hf_overrides in engine_arguments."
        ]
        project.files["models"]["small"]["engine_arguments"] = {"hf_overrides": {"rope": 1}}
        assert project.load().pairs


class TestLeftOut:
    """Pairs that make no sense; `small` has 2048 tokens, answers take 512 of them."""

    @pytest.fixture
    def project(self, tmp_path: Path) -> Project:
        project = Project(tmp_path)
        project.files["config"]["run"]["datasets"] = ["problems", "puzzles"]
        return project

    def reason(self, project: Project, prompt_tokens: int | None, **keys: Any) -> str:
        about = {"measures": "x", "rows": 1, "prompt_tokens": prompt_tokens}
        project.files["datasets"]["problems"] = DATASET | {"about": about} | keys
        left = project.load().left_out
        return str(left[0]["reason"]) if left else ""

    def test_a_prompt_that_cannot_be_cut_must_fit(self, project: Project) -> None:
        assert self.reason(project, 1536, truncate=None) == ""
        assert self.reason(project, 1537, truncate=None) == (
            f"{FILE}.max_model_len: got 2048; expected enough for a prompt of problems beside its "
            "answer: it has 1,537 tokens on average, 1,536 are left, it cannot be cut. "
            "Raise it, lower max_tokens, or exclude the model or the dataset."
        )

    def test_of_one_that_can_be_cut_half_must(self, project: Project) -> None:
        assert self.reason(project, 3072) == ""
        assert "3,073 tokens on average, 1,536 are left, more than half" in self.reason(
            project, 3073
        )

    def test_examples_are_never_cut(self, project: Project) -> None:
        shots = {"name": "dev", "count": 1, "sources": [{"hub": "a/b", "split": "c"}]}
        prompt = {"chat": "{% for shot in shots %}{{ shot }}{% endfor %}{{ prompt }}"}
        assert "it cannot be cut" in self.reason(project, 1537, shots=shots, prompt=prompt)

    def test_what_stands_in_every_prompt_must_fit(self, project: Project) -> None:
        long = {"chat": "x" * 6 * 1536 + "{{ prompt }}"}
        assert "its fixed text alone has more than 1,536 tokens" in self.reason(
            project, None, prompt=long
        )
        assert self.reason(project, None, prompt={"chat": long["chat"][6:]}) == ""
        some = {"chat": "{% if prompt %}" + long["chat"] + "{% endif %}"}
        assert self.reason(project, None, prompt=some) == ""

    def test_likelihoods_have_the_whole_context(self, project: Project) -> None:
        keys = {
            **{"task": "multiple_choice_likelihood", "continuation": " {{ choice }}"},
            **{"fields": {"id": "#", "question": "q", "choices": "c", "answer": "a"}},
            **{"prompt": {"completion": "{{ question }}"}, "truncate": None, "max_tokens": 1},
        }
        assert self.reason(project, 2047, **keys) == ""
        assert "2,047 are left" in self.reason(project, 2048, **keys)

    def test_a_moderating_model_is_only_given_texts_to_moderate(self) -> None:
        run = registry.load({"models": "qwen3guard_gen_8b", "datasets": list(DATASETS)}, ROOT)
        wanted = [name for name, entry in DATASETS.items() if "moderation" in entry["prompt"]]
        assert [pair.dataset for pair in run.pairs] == wanted
        assert len(run.left_out) == len(DATASETS) - len(wanted)
        asked = run.spec("qwen3guard_gen_8b", wanted[0])["prompt"]
        assert (asked["style"], asked["text"]) == ("moderation", "{{ text }}")

    def test_a_completion_model_is_given_no_chat(self) -> None:
        chat_only = [name for name, entry in DATASETS.items() if list(entry["prompt"]) == ["chat"]]
        run = registry.load({"models": "biomistral_7b", "datasets": ["pubmedqa", *chat_only]}, ROOT)
        assert [pair.dataset for pair in run.pairs] == ["pubmedqa"]
        assert {pair["dataset"] for pair in run.left_out} == {*chat_only}


class TestCategories:
    def test_every_model_is_in_one(self) -> None:
        members = [model for entry in GROUPS.values() for model in entry["models"]]
        beside = {name for name in ENTRIES if name.endswith("_bf16")} | {"smollm2_135m_awq"}
        assert set(members) == set(ENTRIES) - beside
        twice = {model for model, count in Counter(members).items() if count > 1}
        assert twice == {"qwen25_7b", "llama31_8b"}  # beside the guard, for comparison

    @pytest.mark.parametrize("name", GROUPS)
    def test_it_is_right(self, name: str) -> None:
        entry = GROUPS[name]
        assert schema.check(entry, "category", "here") == []
        named = [*entry["datasets"], *entry["optional_datasets"]]
        assert set(named) <= set(DATASETS)
        assert len(set(named)) == len(named)
        assert len(entry["datasets"]) <= 5
        assert entry["title"]

    @pytest.mark.parametrize("name", GROUPS)
    def test_its_ready_made_run(self, name: str) -> None:
        path = ROOT / "config" / f"{name}.yaml"
        text = path.read_text("utf-8")
        run = registry.load(yaml.safe_load(text), ROOT)
        assert {pair.model for pair in run.pairs} == set(GROUPS[name]["models"])
        assert {pair.dataset for pair in run.pairs} == set(GROUPS[name]["datasets"])
        assert f"--configfile config/{name}.yaml" in text
        size = sum(ENTRIES[model]["facts"]["weights_gb"] for model in GROUPS[name]["models"])
        assert f"about {size:.0f} GB of weights" in text

    def test_every_run_of_a_category_has_one(self) -> None:
        others = {"config", "models", "datasets", "categories"}
        pairs = {"awq_vs_bf16", "coding_specialists_awq_vs_bf16"}
        found = {path.stem for path in (ROOT / "config").glob("*.yaml")}
        assert found - others - pairs == set(GROUPS)

    def test_the_ready_made_comparison_runs_each_copy_beside_its_base(self) -> None:
        name = "coding_specialists_awq_vs_bf16"
        text = (ROOT / "config" / f"{name}.yaml").read_text("utf-8")
        run = registry.load(yaml.safe_load(text), ROOT)
        group = GROUPS["coding_specialists"]
        copies = {model for model in run.models if run.base_model(model)}
        assert copies == set(group["models"])
        assert set(run.models) - copies == {run.base_model(copy) for copy in copies}
        assert {(pair.model, pair.dataset) for pair in run.pairs} == {
            (model, dataset) for model in run.models for dataset in group["datasets"]
        }
        sizes = {model: ENTRIES[model]["facts"]["weights_gb"] for model in run.models}
        wide = sum(size for model, size in sizes.items() if model not in copies)
        assert f"about {sum(sizes.values()):.0f} GB of weights are fetched" in text
        assert f"{wide:.0f} GB of them in 16 bits" in text

    def test_its_datasets_can_be_answered_by_most(self) -> None:
        run = registry.load({"categories": list(GROUPS)}, ROOT)
        left = {(pair["model"], pair["dataset"]) for pair in run.left_out}
        assert left == {
            ("wizardmath_70b", "math500"),  # answers of 2048 tokens in a context of 2048
            ("galactica_6_7b", "scierc"),
            ("biomedlm_2_7b", "genomics_ner"),  # five examples do not fit
            ("qwen3guard_gen_8b", "truthfulqa"),  # it moderates only
        }
