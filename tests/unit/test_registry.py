"""The registry: what is refused and how, what is selected, and what a key depends on."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakeval import registry, tasks
from snakeval.errors import ConfigError, SnakevalError, StorageError
from snakeval.records import fingerprint
from snakeval.registry import Pair, Run, schema, spec
from snakeval.reporting.summary import command

REPOSITORY = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"

MODELS: dict[str, Any] = {
    "small": {
        "source": {"package": "small==1.0", "file": "small/model.gguf", "sha256": "a" * 64},
        "max_model_len": 2048,
        "runs_on_cpu": True,
    },
    "large": {"source": {"hub": "org/large-AWQ", "revision": COMMIT}, "max_model_len": 4096},
    "base": {
        "source": {"hub": "org/base"},
        "max_model_len": 4096,
        "prompt_style": "completion",
    },
}
DATASET: dict[str, Any] = {
    "task": "code_generation",
    "sources": [{"hub": "org/problems", "revision": COMMIT, "split": "test"}],
    "fields": {"id": "task_id", "prompt": "prompt", "entry_point": "name", "tests": "test"},
    "prompt": {"chat": "Solve:\n{{ prompt }}", "completion": "{{ prompt }}"},
    "truncate": "prompt",
    "max_tokens": 512,
    "metric": "pass@1",
}
DATASETS = {"problems": DATASET, "puzzles": DATASET | {"max_tokens": 256}}
CATEGORIES = {
    "coding": {"models": ["large", "base"], "datasets": ["problems", "puzzles"]},
    "tiny": {"models": ["small"], "datasets": ["puzzles"]},
}
CONFIG = {"run": {"models": ["small"], "datasets": ["problems"]}}


class Project:
    """A folder with a registry that a test may change."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "config").mkdir()
        self.files: dict[str, Any] = copy.deepcopy(
            {"config": CONFIG, "models": MODELS, "datasets": DATASETS, "categories": CATEGORIES}
        )

    def load(self, **given: Any) -> Run:
        for name, value in self.files.items():
            text = value if isinstance(value, str) else yaml.safe_dump(value, sort_keys=False)
            (self.root / "config" / f"{name}.yaml").write_text(text, encoding="utf-8")
        return registry.load(given, self.root)

    def errors(self, **given: Any) -> list[str]:
        with pytest.raises(SnakevalError) as caught:
            self.load(**given)
        return str(caught.value).splitlines()

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text, encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def names(run: Run) -> list[tuple[str, str]]:
    return [(pair.model, pair.dataset) for pair in run.pairs]


def change(kind: str, name: str, **keys: Any) -> Callable[[Project], None]:
    def apply(project: Project) -> None:
        project.files[kind][name].update(keys)

    return apply


def whole(kind: str, content: Any) -> Callable[[Project], None]:
    def apply(project: Project) -> None:
        project.files[kind] = content

    return apply


SOURCE = "Exactly one of {hub, revision}, {package, file, sha256}, {path} or {quantize}."
LENGTH = (
    "Tokens of prompt and answer together, at most the model's own context length "
    "(max_position_embeddings in its config.json)."
)
HELD = "Give the weights under source:, or a server that holds them under endpoint:."
FILE, GIVEN = "config/models.yaml: models.small", "--config/--configfile"
DATA = "config/datasets.yaml: datasets.problems"

WRONG_ENTRIES: dict[str, tuple[Callable[[Project], None], list[str]]] = {
    "unknown value, near match": (
        change("models", "small", dtype="bf16"),
        [
            f"{FILE}.dtype: got 'bf16'; expected one of auto, bfloat16, float16, float32. "
            "Did you mean bfloat16 or float16?"
        ],
    ),
    "unknown value, nothing near": (
        change("models", "small", quantization="zip"),
        [
            f"{FILE}.quantization: got 'zip'; expected one of awq, awq_marlin, bitsandbytes, "
            "compressed-tensors, fp8, gguf, gptq, gptq_marlin or null. Passed to vLLM; null lets it "
            "read the checkpoint's own config, which is nearly always right."
        ],
    ),
    "unknown key": (
        change("models", "small", max_model_length=10),
        [
            f"{FILE}.max_model_length: got an unknown key; expected a known one. "
            "Did you mean max_model_len or base_model?"
        ],
    ),
    "nested unknown key": (
        change("models", "small", sampling={"temprature": 0.5}),
        [
            f"{FILE}.sampling.temprature: got an unknown key; expected a known one. "
            "Did you mean temperature?"
        ],
    ),
    "wrong type": (
        change("models", "small", max_model_len="long"),
        [f"{FILE}.max_model_len: got 'long'; expected a whole number. {LENGTH}"],
    ),
    "true is not a number": (
        change("models", "small", gpus=True),
        [
            f"{FILE}.gpus: got true; expected a whole number. "
            "GPUs that one engine is spread over (tensor parallel size)."
        ],
    ),
    "zero GPUs": (
        change("models", "small", gpus=0),
        [
            f"{FILE}.gpus: got 0; expected at least 1. "
            "GPUs that one engine is spread over (tensor parallel size)."
        ],
    ),
    "not a number at all": (
        change("models", "small", sampling={"top_p": float("nan")}),
        [f"{FILE}.sampling.top_p: got nan; expected a finite number. Write a number with digits."],
    ),
    "out of range": (
        change("models", "small", sampling={"top_p": 1.5}),
        [
            f"{FILE}.sampling.top_p: got 1.5; expected at most 1. "
            "Share of the probability mass to draw from."
        ],
    ),
    "required key": (
        whole("models", MODELS | {"small": {"source": {"hub": "a/b"}}}),
        [f"{FILE}.max_model_len: got nothing; expected a value. {LENGTH}"],
    ),
    "empty entry": (
        whole("models", MODELS | {"small": None}),
        [f"{FILE}: got null; expected a mapping. {HELD}"],
    ),
    "neither weights nor a server": (
        whole("models", MODELS | {"small": {"max_model_len": 2048}}),
        [f"{FILE}: got none of them; expected exactly one of source, endpoint. {HELD}"],
    ),
    "weights and a server": (
        change("models", "small", endpoint={"url": "http://localhost:8000/v1", "model": "m"}),
        [f"{FILE}: got source and endpoint; expected exactly one of source, endpoint. {HELD}"],
    ),
    "two sources in one": (
        change("models", "small", source={"hub": "a/b", "path": "c"}),
        [
            f"{FILE}.source: got hub and path; expected exactly one of hub, package, path, quantize. {SOURCE}"
        ],
    ),
    "no source": (
        change("models", "small", source={}),
        [
            f"{FILE}.source: got none of them; expected exactly one of hub, package, path, quantize. {SOURCE}"
        ],
    ),
    "text for a source": (
        change("models", "small", source="a/b"),
        [f"{FILE}.source: got 'a/b'; expected a mapping. {SOURCE}"],
    ),
    "file without a package": (
        change("models", "small", source={"hub": "a/b", "file": "c"}),
        [f"{FILE}.source.file: got file without package; expected package beside it. {SOURCE}"],
    ),
    "package without a version": (
        change("models", "small", source={"package": "small", "file": "c"}),
        [
            f"{FILE}.source.package: got 'small'; expected text of the form "
            "^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9._+!-]+$. "
            "An installed Python package with its version, 'name==version'."
        ],
    ),
    "a tokenizer is checked as a source": (
        change("models", "small", tokenizer={"hubb": "a/b", "hub": "a/b"}),
        [f"{FILE}.tokenizer.hubb: got an unknown key; expected a known one. Did you mean hub?"],
    ),
    "name that cannot be part of a path": (
        whole("models", MODELS | {"Qwen3/8B": MODELS["large"]}),
        [
            "config/models.yaml: models: got 'Qwen3/8B'; expected small letters, digits and "
            "underscores. Rename the entry: the name becomes part of paths."
        ],
    ),
    "unknown name in a category": (
        change("categories", "tiny", models=["smal"]),
        [
            "config/categories.yaml: categories.tiny.models: got 'smal'; expected a name in "
            "config/models.yaml. Did you mean small?"
        ],
    ),
    "no dataset in a category": (
        change("categories", "tiny", datasets=[]),
        [
            "config/categories.yaml: categories.tiny.datasets: got nothing in it; expected at "
            "least one. Names of datasets in config/datasets.yaml."
        ],
    ),
    "unknown task": (
        change("datasets", "problems", task="code_unitest"),
        [
            f"{DATA}.task: got 'code_unitest'; expected a task type. "
            "Did you mean code_unittest or code_live or code_stdin?"
        ],
    ),
    "missing role": (
        change("datasets", "problems", fields={"id": "a", "prompt": "b", "entry_point": "c"}),
        [
            f"{DATA}.fields.tests: got nothing; expected the name of a column. "
            "code_generation needs it: name the column that holds it."
        ],
    ),
    "unknown role": (
        change("datasets", "problems", fields=DATASET["fields"] | {"refrence": "solution"}),
        [
            f"{DATA}.fields.refrence: got an unknown role; expected a role of code_generation. "
            "Did you mean reference or reference_body?"
        ],
    ),
    "malformed template": (
        change("datasets", "problems", prompt={"chat": "Solve:\n{{ prompt }"}),
        [
            f"{DATA}.prompt.chat, line 2: got unexpected '}}'; expected a Jinja template. "
            "Correct the line; braces that are meant as text are written {{ '{{' }}."
        ],
    ),
    "unknown variable in a template": (
        change("datasets", "problems", prompt={"chat": "{{ promt }}"}),
        [
            f"{DATA}.prompt.chat: got the variable promt; expected a sample's input. "
            "Did you mean prompt?"
        ],
    ),
    "a template must not show the tests": (
        change("datasets", "problems", prompt={"chat": "{{ prompt }} {{ tests }}"}),
        [
            f"{DATA}.prompt.chat: got the variable tests; expected a sample's input. "
            "Did you mean asserts?"
        ],
    ),
    "template without the problem": (
        change("datasets", "problems", prompt={"chat": "Solve it."}),
        [
            f"{DATA}.prompt.chat: got no variable; expected a template that uses a sample's input. "
            "Known: asserts, entry_point, prompt."
        ],
    ),
    "no template for the model's style": (
        change("datasets", "problems", prompt={"completion": "{{ prompt }}"}),
        [
            f"{DATA}.prompt: got no chat template; expected one, as small has prompt_style: chat. "
            "Add it, or exclude the model or the dataset."
        ],
    ),
    "a hub source that does not say what to read": (
        change("datasets", "problems", sources=[{"hub": "org/problems"}]),
        [
            f"{DATA}.sources[0]: got neither split nor files; expected one of them beside hub. "
            "Name the split, or the files that are read as they are."
        ],
    ),
    "a hub source that says it twice": (
        change(
            "datasets",
            "problems",
            shots={
                "name": "dev",
                "count": 1,
                "sources": [{"hub": "a/b", "split": "c", "files": ["d"]}],
            },
        ),
        [
            f"{DATA}.shots.sources[0]: got both split and files; expected one of them beside hub. "
            "Name the split, or the files that are read as they are."
        ],
    ),
    "two tables with one name": (
        change(
            "datasets",
            "problems",
            join={"dev": {"on": "id", "sources": [{"hub": "a/b", "split": "c"}]}},
            shots={"name": "dev", "count": 1, "sources": [{"hub": "a/b", "split": "c"}]},
        ),
        [f"{DATA}.shots.name: got 'dev'; expected a name of its own. Rename it."],
    ),
    "cutting what is no input": (
        change("datasets", "problems", truncate="promptt"),
        [
            f"{DATA}.truncate: got 'promptt'; expected an input of code_generation, or null. "
            "Did you mean prompt?"
        ],
    ),
    "samples that share what is no input": (
        change("datasets", "problems", cluster="promptt"),
        [
            f"{DATA}.cluster: got 'promptt'; expected an input of code_generation, id, or null. "
            "Did you mean prompt?"
        ],
    ),
    "answer longer than the context": (
        change("datasets", "problems", max_tokens=2048),
        [
            f"{FILE}.max_model_len: got 2048; expected more than 2048, the max_tokens of problems. "
            "Change one of them, or exclude the model or the dataset."
        ],
    ),
    "several sources that nothing pins": (
        change("datasets", "problems", sources=[*DATASET["sources"], {"path": "config"}]),
        [
            f"{DATA}.samples_sha256: got null beside several sources; expected a SHA-256, so that "
            "they give the same samples. Fetch from one source first: 'sha256' in results/datasets/ "
            "then holds it."
        ],
    ),
    "path that does not exist": (
        change("datasets", "problems", sources=[{"path": "data/nowhere"}]),
        [
            f"{DATA}.sources[0].path: got 'data/nowhere', which does not exist; expected an existing "
            "file or folder. A relative path starts at the repository's folder."
        ],
    ),
    "chat template that does not exist": (
        change("models", "small", chat_template="templates/none.jinja"),
        [
            f"{FILE}.chat_template: got 'templates/none.jinja', which does not exist; expected an "
            "existing file or folder. A relative path starts at the repository's folder."
        ],
    ),
    "chat template of a model that does not chat": (
        change("models", "small", chat_template="config/config.yaml", prompt_style="completion"),
        [
            f"{FILE}.chat_template: got 'config/config.yaml'; expected null for a completion model. "
            "Remove it, or set prompt_style: chat."
        ],
    ),
    "nothing to run": (
        whole("config", {}),
        [
            "selection: got no pair; expected at least one model on one dataset. "
            "Give categories=, or models= and datasets=, and exclude less."
        ],
    ),
    "unknown key in config.yaml": (
        whole("config", {"runs": {}}),
        ["config/config.yaml: runs: got an unknown key; expected a known one. Did you mean run?"],
    ),
    "run that is no mapping": (
        whole("config", {"run": ["small"]}),
        [
            "config/config.yaml: run: got a list of 1; expected a mapping. "
            "What is run: names of categories, models and datasets, limit, repeats, seed."
        ],
    ),
    "duplicate key": (
        whole("models", "small:\n  gpus: 1\n  gpus: 2\n"),
        [
            "config/models.yaml, line 3, column 3: got the key 'gpus' a second time; expected YAML "
            "with each key once. Correct the line; indentation and quotes are the usual causes."
        ],
    ),
    "malformed YAML": (
        whole("models", "small:\n  source: {hub: a/b\n  gpus: 2\n"),
        [
            "config/models.yaml, line 3, column 7: got did not find expected ',' or '}'; expected "
            "YAML with each key once. Correct the line; indentation and quotes are the usual causes."
        ],
    ),
    "key that is no text": (
        whole("models", "on: {}\n"),
        [
            "config/models.yaml, line 1, column 1: got the key True, which is not text; expected "
            "YAML with each key once. Correct the line; indentation and quotes are the usual causes."
        ],
    ),
    "alias inside its own anchor": (
        whole("models", "small: &small\n  source: *small\n"),
        [
            "config/models.yaml: got an alias (*name) inside its own anchor; expected values that "
            "end. Write it out."
        ],
    ),
    "list for a mapping": (
        whole("models", "- small\n"),
        ["config/models.yaml: got a list; expected a mapping of names. Write 'name:' lines."],
    ),
}


@pytest.mark.parametrize("case", WRONG_ENTRIES)
def test_wrong_entry_is_named_with_its_remedy(project: Project, case: str) -> None:
    damage, expected = WRONG_ENTRIES[case]
    damage(project)
    assert project.errors() == expected


WRONG_ARGUMENTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown model": (
        {"models": "smal"},
        [
            f"{GIVEN}: models: got 'smal'; expected a name in config/models.yaml. Did you mean small?"
        ],
    ),
    "unknown dataset among known ones": (
        {"datasets": "problems,puzzels"},
        [
            f"{GIVEN}: datasets: got 'puzzels'; expected a name in config/datasets.yaml. "
            "Did you mean puzzles?"
        ],
    ),
    "unknown category, nothing near": (
        {"categories": "xyz"},
        [
            f"{GIVEN}: categories: got 'xyz'; expected a name in config/categories.yaml. "
            "Known: coding, tiny."
        ],
    ),
    "unknown name to exclude": (
        {"exclude_models": ["smalll"]},
        [
            f"{GIVEN}: exclude_models: got 'smalll'; expected a name in config/models.yaml. "
            "Did you mean small?"
        ],
    ),
    "several at once": (
        {"models": "a_model", "exclude_datasets": "puzzels"},
        [
            f"{GIVEN}: models: got 'a_model'; expected a name in config/models.yaml. "
            "Known: base, large, small.",
            f"{GIVEN}: exclude_datasets: got 'puzzels'; expected a name in config/datasets.yaml. "
            "Did you mean puzzles?",
        ],
    ),
    "everything excluded": (
        {"exclude_models": "small"},
        [
            "selection: got no pair; expected at least one model on one dataset. "
            "Give categories=, or models= and datasets=, and exclude less."
        ],
    ),
    "empty text": (
        {"models": " , "},
        [f"{GIVEN}: models: got ' , '; expected a list. A list of names, or text such as 'a,b'."],
    ),
    "limit of zero": (
        {"limit": "0"},
        [
            f"{GIVEN}: limit: got 0; expected at least 1. "
            "The first so many samples of each dataset; null runs all."
        ],
    ),
    "limit that is no number": (
        {"limit": "ten"},
        [
            f"{GIVEN}: limit: got 'ten'; expected a whole number or null. "
            "The first so many samples of each dataset; null runs all."
        ],
    ),
    "negative repeats": (
        {"run": {"repeats": "-1"}},
        [
            f"{GIVEN}: run.repeats: got -1; expected at least 1. "
            "Answers for each sample. Several show how much answers vary: by drawing at a temperature above 0, "
            "by the engine's own arithmetic at 0."
        ],
    ),
    "unknown setting": (
        {"limits": 3},
        [f"{GIVEN}: limits: got an unknown key; expected a known one. Did you mean limit?"],
    ),
    "unknown setting under run": (
        {"run": {"sed": 3}},
        [f"{GIVEN}: run.sed: got an unknown key; expected a known one. Did you mean seed?"],
    ),
    "data_dir that does not exist": (
        {"data_dir": "nowhere"},
        [
            f"{GIVEN}: data_dir: got 'nowhere'; expected an existing folder. "
            "Give the folder that holds <dataset>.jsonl files, or leave data_dir out."
        ],
    ),
    "sandbox setting": (
        {"sandbox": {"unsafe": True}},
        [
            f"{GIVEN}: sandbox.unsafe: got an unknown key; expected a known one. "
            "Known: libraries, unsafe_no_isolation."
        ],
    ),
    "given entry": (
        {"models": {"small": {"dtype": "int8"}}},
        [
            f"{GIVEN}: models.small.dtype: got 'int8'; expected one of auto, bfloat16, float16, "
            "float32. Number format of the arithmetic; 'auto' takes the checkpoint's."
        ],
    ),
}


@pytest.mark.parametrize("case", WRONG_ARGUMENTS)
def test_wrong_argument_is_named_with_its_remedy(project: Project, case: str) -> None:
    given, expected = WRONG_ARGUMENTS[case]
    assert project.errors(**given) == expected


def test_all_errors_are_shown_at_once(project: Project) -> None:
    project.files["models"]["small"] |= {"dtype": "bf16", "gpus": 0}
    project.files["datasets"]["puzzles"]["max_tokens"] = None
    project.files["categories"]["tiny"]["models"] = ["tall"]
    lines = project.errors(exclude_datasets="nope")
    assert [line.split(":")[1].strip() for line in lines] == [
        "models.small.dtype",
        "models.small.gpus",
        "datasets.puzzles.max_tokens",
        "categories.tiny.models",
        "exclude_datasets",
    ]


def test_a_wrong_entry_does_not_make_its_name_unknown(project: Project) -> None:
    project.files["models"]["small"]["gpus"] = 0
    assert len(project.errors(models="small")) == 1


def test_unreadable_files_are_named(project: Project) -> None:
    project.load()
    (project.root / "config" / "models.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(
        ConfigError, match=r"^config/models.yaml, byte 0: got bytes that are not UTF-8"
    ):
        registry.load({}, project.root)
    (project.root / "config" / "models.yaml").unlink()
    with pytest.raises(ConfigError, match=r"^config/models.yaml: got no such file; expected"):
        registry.load({}, project.root)


def test_model_without_any_dataset(project: Project) -> None:
    project.files["config"] = {}
    project.files["models"]["lonely"] = MODELS["large"]
    assert project.errors(models="lonely") == [
        "model lonely: got no dataset to run it on; expected datasets. "
        "Give datasets=…, or list the model in config/categories.yaml."
    ]


def test_chat_template_is_parsed(project: Project) -> None:
    project.write("templates/t.jinja", "{% for m in messages %}\n{{ m }")
    project.files["models"]["small"]["chat_template"] = "templates/t.jinja"
    (line,) = project.errors()
    assert line.startswith(
        f"{FILE}.chat_template: templates/t.jinja, line 2: got unexpected '}}'; expected a Jinja"
    )


class TestSelection:
    @pytest.mark.parametrize("kind", ["models", "datasets", "categories"])
    def test_nothing_given_is_not_the_shipped_selection(self, project: Project, kind: str) -> None:
        fix = "Leave it out to take what config/config.yaml selects."
        assert project.errors(**{kind: None}) == [
            f"{GIVEN}: {kind}: got nothing; expected names. {fix}"
        ]

    def test_as_shipped(self, project: Project) -> None:
        assert names(project.load()) == [("small", "problems")]

    def test_a_category_brings_its_datasets(self, project: Project) -> None:
        assert names(project.load(categories="coding")) == [
            ("large", "problems"),
            ("large", "puzzles"),
            ("base", "problems"),
            ("base", "puzzles"),
        ]

    def test_optional_datasets_come_where_they_are_asked_for(self, project: Project) -> None:
        project.files["categories"]["coding"] |= {
            "datasets": ["puzzles"],
            "optional_datasets": ["problems"],
        }
        project.files["config"] = {"run": {"categories": ["coding"]}}
        chosen = [("large", "problems"), ("large", "puzzles"), ("base", "problems")]
        assert names(project.load()) == [("large", "puzzles"), ("base", "puzzles")]
        for given in ({"optional_datasets": "true"}, {"run": {"optional_datasets": True}}):
            assert names(project.load(**given)) == [*chosen, ("base", "puzzles")]
        assert names(project.load(models="base")) == [("base", "puzzles")]
        assert project.errors(optional_datasets="yes, all") == [
            f"{GIVEN}: optional_datasets: got 'yes, all'; expected true or false. "
            "True runs the optional datasets of the categories too."
        ]
        project.files["categories"]["coding"]["optional_datasets"] = ["problem"]
        assert project.errors() == [
            "config/categories.yaml: categories.coding.optional_datasets: got 'problem'; "
            "expected a name in config/datasets.yaml. Did you mean problems?"
        ]

    def test_a_pair_that_makes_no_sense_is_left_out_with_its_reason(self, project: Project) -> None:
        project.files["datasets"]["puzzles"] |= {"max_tokens": 2048}
        run = project.load(models="small,large", datasets="problems,puzzles")
        assert names(run) == [("small", "problems"), ("large", "problems"), ("large", "puzzles")]
        (left,) = run.left_out
        assert (left["model"], left["dataset"]) == ("small", "puzzles")
        assert left["reason"].startswith(
            "config/models.yaml: models.small.max_model_len: got 2048; expected more than 2048, "
            "the max_tokens of puzzles."
        )
        # Nothing but such pairs is a mistake.
        assert len(project.errors(models="small", datasets="puzzles")) == 1

    def test_given_datasets_replace_those_of_the_categories(self, project: Project) -> None:
        run = project.load(categories=["coding", "tiny"], datasets="puzzles")
        assert names(run) == [("small", "puzzles"), ("large", "puzzles"), ("base", "puzzles")]

    def test_categories_and_models_form_a_union(self, project: Project) -> None:
        run = project.load(categories="tiny", models="large")
        assert names(run) == [("small", "puzzles"), ("large", "problems")]

    def test_selected_categories_hold_their_own_datasets_of_the_run(self, project: Project) -> None:
        project.files["datasets"]["extra"] = DATASET
        project.files["categories"]["tiny"] |= {
            "title": "Tiny ones",
            "optional_datasets": ["extra"],
        }

        def found(**given: Any) -> list[tuple[str, str, list[str]]]:
            run = project.load(**given)
            assert registry.read_run(project.root / run.save(project.root)) == run
            return [(one["name"], one["title"], one["datasets"]) for one in run.categories]

        both = {"categories": "tiny,coding"}
        coding = ("coding", "coding", ["problems", "puzzles"])
        assert found(**both) == [("tiny", "Tiny ones", ["puzzles"]), coding]
        wider = found(**both, optional_datasets=True)
        assert wider == [("tiny", "Tiny ones", ["puzzles", "extra"]), coding]
        assert found(**both, datasets="extra,problems") == [
            ("tiny", "Tiny ones", ["extra"]),
            ("coding", "coding", ["problems"]),
        ]
        assert found(**both, exclude_datasets="puzzles")[1] == ("coding", "coding", ["problems"])
        assert found() == []

    @pytest.mark.parametrize(
        "given",
        [
            {},
            {"categories": "coding,tiny"},
            {"categories": "coding,tiny", "datasets": "puzzles"},
            {"categories": "tiny", "models": "large"},
            {"categories": "coding,tiny", "optional_datasets": True},
            {"categories": "coding,tiny", "exclude_models": "base", "exclude_datasets": "problems"},
            {"models": "large"},
        ],
    )
    def test_the_command_of_the_report_selects_the_same(
        self, project: Project, given: dict[str, Any]
    ) -> None:
        project.files["datasets"]["extra"] = DATASET
        project.files["categories"]["tiny"]["optional_datasets"] = ["extra"]
        run = project.load(**given)
        said = command(run).partition("--config ")[2].split()
        again = project.load(**dict(argument.split("=", 1) for argument in said))
        assert names(again) == names(run)
        assert again.settings == run.settings

    def test_given_models_replace_shipped_categories_and_models(self, project: Project) -> None:
        project.files["config"] = {"run": {"categories": ["coding"], "models": ["small"]}}
        assert {pair.model for pair in project.load(models="base").pairs} == {"base"}

    def test_given_datasets_keep_shipped_models(self, project: Project) -> None:
        assert names(project.load(datasets="puzzles")) == [("small", "puzzles")]

    def test_models_run_on_the_shipped_datasets(self, project: Project) -> None:
        assert names(project.load(models="large")) == [("large", "problems")]

    def test_without_any_datasets_a_model_takes_those_of_its_categories(
        self, project: Project
    ) -> None:
        project.files["config"] = {}
        assert names(project.load(models="small")) == [("small", "puzzles")]

    def test_excludes_come_last(self, project: Project) -> None:
        run = project.load(categories="coding", exclude_models="base", exclude_datasets="problems")
        assert names(run) == [("large", "puzzles")]

    def test_order_is_the_registrys(self, project: Project) -> None:
        run = project.load(models="base,small,large", datasets="puzzles,problems")
        assert names(run) == [(m, d) for m in MODELS for d in DATASETS]

    def test_a_name_twice_is_one_pair(self, project: Project) -> None:
        assert names(project.load(models="small,small")) == [("small", "problems")]

    def test_flat_keys_win_over_run(self, project: Project) -> None:
        run = project.load(
            run={"categories": ["coding"], "limit": 3, "seed": 4}, models="small", limit=5
        )
        assert names(run) == [("small", "problems")]
        assert (run.settings["limit"], run.settings["seed"]) == (5, 4)

    def test_given_run_replaces_shipped_run(self, project: Project) -> None:
        run = project.load(run={"categories": "tiny"})
        assert names(run) == [("small", "puzzles")]

    @pytest.mark.parametrize(("text", "value"), [("20", 20), (" 7 ", 7), ("null", None), (8, 8)])
    def test_numbers_may_be_text(self, project: Project, text: Any, value: Any) -> None:
        assert project.load(limit=text).settings["limit"] == value

    def test_settings_have_defaults(self, project: Project) -> None:
        assert project.load().settings == {
            "optional_datasets": False,
            "limit": None,
            "repeats": 1,
            "seed": 0,
            "deterministic": False,
            "pairs_per_engine": None,
            "judge": None,
            "judge_baseline": None,
            "judge_repeats": 1,
            "judge_max_tokens": 2048,
            "data_dir": None,
            "sandbox": {"unsafe_no_isolation": False, "libraries": None},
            "benchmark_streams": [1, 8, 64, 256],
            "benchmark_prompt_tokens": 256,
            "benchmark_answer_tokens": 256,
            "price_per_gpu_hour": None,
            "gpu_memory_gb": 80.0,
            "baseline": None,
            "fail_on_regression": False,
            "confirm": False,
            "baseline_model": None,
            "report": {},
        }

    def test_a_baseline_model_changes_no_key(self, project: Project) -> None:
        without = project.load()
        run = project.load(baseline_model="small")
        assert run.settings["baseline_model"] == "small"
        assert run.pairs == without.pairs
        with pytest.raises(ConfigError, match=r"baseline_model: got 'smal'; expected one of the"):
            project.load(baseline_model="smal")

    @pytest.mark.parametrize(
        ("given", "price"),
        [(2, 2.0), (2.5, 2.5), ("2.5", 2.5), (".5", 0.5), ("0", 0.0), ("null", None)],
    )
    def test_a_price_changes_no_key(
        self, project: Project, given: Any, price: float | None
    ) -> None:
        run = project.load(price_per_gpu_hour=given)
        assert run.settings["price_per_gpu_hour"] == price
        without = project.load()
        assert run.pairs == without.pairs
        assert run.models == without.models  # the keys of benchmarks, too

    @pytest.mark.parametrize(
        ("given", "baseline"),
        [
            *(("kept", "kept"), (20261129, "20261129"), ("20261129", "20261129")),
            *((date(2026, 11, 29), "2026-11-29"), ("null", None)),
        ],
    )
    def test_a_baseline_changes_no_key(
        self, project: Project, given: Any, baseline: str | None
    ) -> None:
        run = project.load(baseline=given, fail_on_regression="true")
        assert run.settings["baseline"] == baseline
        assert run.settings["fail_on_regression"] is True
        without = project.load()
        assert run.pairs == without.pairs
        assert run.models == without.models
        assert run.datasets == without.datasets

    @pytest.mark.parametrize(
        ("given", "says"),
        [(-1, "got -1; expected at least 0"), ("much", "got 'much'; expected a number or null")],
    )
    def test_no_price_is_told(self, project: Project, given: Any, says: str) -> None:
        with pytest.raises(ConfigError, match=f"price_per_gpu_hour: {says}"):
            project.load(price_per_gpu_hour=given)

    def test_given_entries_add_and_replace_keys(self, project: Project) -> None:
        run = project.load(
            models={"small": {"max_model_len": 999}, "mine": MODELS["large"]},
            run={"models": ["small", "mine"]},
        )
        assert run.models["small"]["max_model_len"] == 999
        assert run.models["small"]["source"]["package"] == "small==1.0"
        assert list(run.models) == ["small", "mine"]

    def test_only_selected_entries_are_in_the_run(self, project: Project) -> None:
        run = project.load()
        assert (list(run.models), list(run.datasets)) == (["small"], ["problems"])

    @pytest.mark.parametrize(
        ("per_engine", "parts"), [(None, [0, 0, 0]), (1, [0, 1, 2]), (2, [0, 0, 1])]
    )
    def test_pairs_of_a_model_are_cut_into_parts(
        self, project: Project, per_engine: int | None, parts: list[int]
    ) -> None:
        project.files["datasets"]["more"] = DATASET
        run = project.load(
            models="small,large", datasets="problems,puzzles,more", pairs_per_engine=per_engine
        )
        for model in ("small", "large"):
            assert [pair.part for pair in run.pairs if pair.model == model] == parts


class TestYaml:
    def test_dates_stay_text(self, project: Project) -> None:
        project.files["models"] = (
            "small: {source: {hub: a/b}, max_model_len: 999, "
            "template_arguments: {date_string: 2024-07-26}}"
        )
        project.files["categories"] = {}
        assert project.load().models["small"]["template_arguments"] == {"date_string": "2024-07-26"}

    def test_merge_keys_work(self, project: Project) -> None:
        project.files["models"] = (
            "small: &s {source: {hub: a/b}, max_model_len: 999}\nother: {<<: *s, max_model_len: 777}"
        )
        project.files["categories"] = {}
        assert project.load(models="other").models["other"]["max_model_len"] == 777


def pair_key(project: Project, **given: Any) -> str:
    return project.load(**given).pairs[0].key


class TestKey:
    """The pair small × problems as shipped; each case changes one thing."""

    @pytest.mark.parametrize(
        ("kind", "name", "keys"),
        [
            ("models", "small", {"source": {"package": "small==1.1", "file": "small/model.gguf"}}),
            ("models", "small", {"source": {"hub": "org/other"}}),
            ("models", "small", {"tokenizer": {"hub": "org/tokenizer"}}),
            ("models", "small", {"quantization": "awq"}),
            ("models", "small", {"dtype": "float16"}),
            ("models", "small", {"max_model_len": 1024}),
            ("models", "small", {"gpus": 2}),
            ("models", "small", {"prompt_style": "completion"}),
            ("models", "small", {"template_arguments": {"enable_thinking": False}}),
            ("models", "small", {"system_prompt": "Be brief."}),
            ("models", "small", {"sampling": {"temperature": 0.2}}),
            ("models", "small", {"engine": "package.module:Engine"}),
            ("models", "small", {"engine_arguments": {"enforce_eager": True}}),
            ("datasets", "problems", {"sources": [{"hub": "org/problems", "split": "dev"}]}),
            ("datasets", "problems", {"samples_sha256": "b" * 64}),
            ("datasets", "problems", {"fields": DATASET["fields"] | {"prompt": "text"}}),
            ("datasets", "problems", {"prompt": {"chat": "Solve {{ prompt }}"}}),
            ("datasets", "problems", {"truncate": None}),
            ("datasets", "problems", {"max_tokens": 513}),
            ("datasets", "problems", {"stop": {"chat": ["END"]}}),
        ],
    )
    def test_what_changes_it(
        self, project: Project, kind: str, name: str, keys: dict[str, Any]
    ) -> None:
        before = pair_key(project)
        change(kind, name, **keys)(project)
        assert pair_key(project) != before

    @pytest.mark.parametrize(
        ("kind", "name", "keys"),
        [
            ("models", "small", {"title": "Small"}),
            ("models", "small", {"runs_on_cpu": False}),
            ("models", "small", {"engine_limits": {"max_num_seqs": 8, "start_timeout_s": 5}}),
            ("models", "small", {"licence": "MIT", "gated": True, "card": "https://example.org"}),
            ("models", "small", {"thinking": {"open": "<think>", "close": "</think>"}}),
            ("models", "small", {"dtype": "auto", "gpus": 1, "sampling": {"temperature": 0}}),
            ("models", "small", {"sampling": {"top_k": 0, "top_p": 1}}),
            ("models", "large", {"gpus": 4}),
            ("datasets", "problems", {"title": "Problems", "licence": "MIT", "protocol": "0-shot"}),
            ("datasets", "problems", {"scoring": {"memory_mb": 512}}),
            ("datasets", "problems", {"metric": "pass@10"}),
            ("datasets", "problems", {"stop": {"completion": ["END"]}}),
            ("datasets", "problems", {"prompt": DATASET["prompt"] | {"completion": "{{prompt}}"}}),
            ("datasets", "puzzles", {"max_tokens": 5}),
        ],
    )
    def test_what_does_not(
        self, project: Project, kind: str, name: str, keys: dict[str, Any]
    ) -> None:
        before = pair_key(project)
        change(kind, name, **keys)(project)
        assert pair_key(project) == before

    @pytest.mark.parametrize("setting", ["limit", "repeats", "seed"])
    def test_settings_that_change_it(self, project: Project, setting: str) -> None:
        assert pair_key(project, **{setting: 7}) != pair_key(project)

    def test_settings_that_do_not(self, project: Project) -> None:
        before = pair_key(project)
        assert pair_key(project, pairs_per_engine=1) == before
        assert pair_key(project, sandbox={"unsafe_no_isolation": True}) == before
        assert pair_key(project, sandbox={"libraries": "packages"}) == before

    def test_order_of_keys_in_a_file_is_nothing(self, project: Project) -> None:
        before = project.load().pairs
        for kind in ("models", "datasets"):
            project.files[kind] = {
                name: dict(reversed(entry.items())) for name, entry in project.files[kind].items()
            }
        assert project.load().pairs == before

    def test_the_generators_version_changes_it(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = project.load()
        monkeypatch.setattr(spec, "GENERATOR_VERSION", spec.GENERATOR_VERSION + 1)
        after = project.load()
        assert after.pairs[0].key != before.pairs[0].key
        assert after.datasets["problems"]["source_id"] != before.datasets["problems"]["source_id"]

    def test_two_names_of_one_thing_have_two_keys(self, project: Project) -> None:
        project.files["models"]["twin"] = MODELS["small"]
        keys = [pair.key for pair in project.load(models="small,twin").pairs]
        assert len(set(keys)) == 2

    def test_it_is_the_fingerprint_of_the_spec(self, project: Project) -> None:
        run = project.load()
        (pair,) = run.pairs
        assert (
            pair.key == fingerprint(run.spec("small", "problems")) == run.key("small", "problems")
        )
        assert pair.folder() == Path("results/pairs/small/problems") / pair.key

    def test_the_model_part_holds_what_makes_the_weights_answer(self, project: Project) -> None:
        part = project.load().spec("small", "problems")["model"]
        assert part == {
            "source": MODELS["small"]["source"],
            "tokenizer": None,
            "quantization": None,
            "dtype": "auto",
            "max_model_len": 2048,
            "gpus": 1,
            "engine": "vllm",
            "engine_arguments": {},
        }

    def test_a_branch_is_named_even_if_it_is_the_default(self, project: Project) -> None:
        before = project.load(models="base").pairs[0].key
        project.files["models"]["base"]["source"] = {"hub": "org/base", "revision": "main"}
        assert project.load(models="base").pairs[0].key == before


class TestContent:
    """Local files count by what is in them, wherever they lie."""

    def keys(self, project: Project, path: str) -> tuple[str, str]:
        project.files["models"]["small"]["source"] = {"path": path}
        run = project.load()
        return run.pairs[0].key, run.models["small"]["source_id"]

    def test_of_a_model_folder(self, project: Project) -> None:
        project.write("a/config.json", "{}")
        project.write("a/model.safetensors", "weights")
        first = self.keys(project, "a")
        (project.root / "a").rename(project.root / "b")
        assert self.keys(project, "b") == first
        project.write("b/.cache/lock", "")
        assert self.keys(project, "b") == first
        project.write("b/model.safetensors", "WEIGHTS")
        changed = self.keys(project, "b")
        assert changed[0] != first[0]
        assert changed[1] != first[1]
        (project.root / "b/config.json").rename(project.root / "b/generation_config.json")
        assert self.keys(project, "b") not in (first, changed)

    def test_of_a_chat_template(self, project: Project) -> None:
        project.write("t.jinja", "{{ messages }}")
        project.files["models"]["small"]["chat_template"] = "t.jinja"
        before = pair_key(project)
        project.write("t.jinja", "{{ messages }}!")
        assert pair_key(project) != before

    def test_of_a_dataset_folder(self, project: Project) -> None:
        project.write("data/a.yaml", "- 1")
        project.files["datasets"]["problems"]["sources"] = [{"path": "data"}]
        before = project.load()
        project.write("data/b.yaml", "- 2")
        after = project.load()
        assert after.pairs[0].key != before.pairs[0].key
        assert after.datasets["problems"]["source_id"] != before.datasets["problems"]["source_id"]

    def test_an_empty_folder_is_refused(self, project: Project) -> None:
        (project.root / "data").mkdir()
        project.files["datasets"]["problems"]["sources"] = [{"path": "data"}]
        (line,) = project.errors()
        assert line.startswith(f"{DATA}.sources[0].path: got an empty folder")

    def test_large_files_are_hashed_once(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hashed: list[str] = []
        original = registry.content.file_sha256

        def counting(path: Path) -> str:
            hashed.append(path.name)
            return original(path)

        monkeypatch.setattr(registry.content, "file_sha256", counting)
        monkeypatch.setattr(registry.content, "REMEMBERED_BYTES", 100)
        project.write("m/model.safetensors", "w" * 101)
        first = self.keys(project, "m")
        assert self.keys(project, "m") == first
        assert hashed == ["model.safetensors"]
        project.write("m/model.safetensors", "W" * 101)
        assert self.keys(project, "m") != first
        assert len(hashed) == 2


class TestDataDir:
    def test_its_file_replaces_every_source(self, project: Project) -> None:
        project.files["datasets"]["problems"]["samples_sha256"] = "c" * 64
        shipped = project.load()
        project.write("rows/problems.jsonl", "{}\n")
        own = project.load(data_dir="rows")
        assert own.pairs[0].key != shipped.pairs[0].key
        assert own.datasets["problems"]["samples_sha256"] is None
        project.write("rows/problems.jsonl", '{"a": 1}\n')
        assert project.load(data_dir="rows").pairs[0].key != own.pairs[0].key

    def test_datasets_without_a_file_are_as_before(self, project: Project) -> None:
        (project.root / "rows").mkdir()
        assert project.load(data_dir="rows").pairs == project.load().pairs


def test_a_pin_stands_for_the_content_whichever_source_answers(project: Project) -> None:
    entry = project.files["datasets"]["problems"]
    entry["samples_sha256"] = "c" * 64
    before = project.load()
    entry["sources"] = [{"hub": "elsewhere/copy", "split": "test"}, *entry["sources"]]
    after = project.load()
    assert after.pairs == before.pairs
    assert after.datasets["problems"]["source_id"] != before.datasets["problems"]["source_id"]


class TestScorer:
    @pytest.mark.parametrize(
        ("kind", "name", "keys"),
        [
            ("datasets", "problems", {"scoring": {"memory_mb": 512}}),
            ("datasets", "problems", {"metric": "pass@10"}),
            ("datasets", "problems", {"fields": DATASET["fields"] | {"reference": "solution"}}),
            ("models", "small", {"thinking": {"open": "<think>", "close": "</think>"}}),
        ],
    )
    def test_what_changes_it(
        self, project: Project, kind: str, name: str, keys: dict[str, Any]
    ) -> None:
        before = project.load().pairs[0].scorer
        change(kind, name, **keys)(project)
        assert project.load().pairs[0].scorer != before

    def test_the_tasks_version_changes_it_and_nothing_else(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (before,) = project.load().pairs
        task = tasks.get("code_generation")
        monkeypatch.setattr(type(task), "version", task.version + 1)
        (after,) = project.load().pairs
        assert (after.key, after.scorer != before.scorer) == (before.key, True)

    def test_what_does_not(self, project: Project) -> None:
        before = project.load().pairs[0].scorer
        change("models", "small", dtype="float16", title="x")(project)
        assert project.load(limit=3).pairs[0].scorer == before


class TestRun:
    def test_reads_back_as_the_same(self, project: Project) -> None:
        run = project.load(categories=["coding", "tiny"], limit=3)
        path = run.save(project.root)
        assert re.fullmatch(r"results/runs/[0-9a-f]{12}\.json", str(path))
        again = registry.read_run(project.root / path)
        assert again == run
        assert list(again.models) == list(run.models)
        assert again.pairs[0] == Pair(**vars(run.pairs[0]))
        assert again.key("base", "puzzles") == run.pair("base", "puzzles").key

    def test_is_written_once(self, project: Project) -> None:
        run = project.load()
        path = project.root / run.save(project.root)
        path.write_text("{}")
        run.save(project.root)
        assert path.read_text() == "{}"

    def test_another_run_has_another_file(self, project: Project) -> None:
        paths = [
            project.load(**given).save(project.root)
            for given in ({}, {"limit": 3}, {"models": "large"}, {"pairs_per_engine": 1})
        ]
        assert len(set(paths)) == 4

    @pytest.mark.parametrize("text", ["{", "{}", '{"order": [["x"], []], "models": {}}'])
    def test_broken_file_is_named(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "run.json"
        path.write_text(text)
        with pytest.raises(StorageError, match=re.escape(f"{path}: got ")):
            registry.read_run(path)

    def test_unknown_pair(self, project: Project) -> None:
        with pytest.raises(StorageError, match=r"^pair large on problems: got a run that does not"):
            project.load().pair("large", "problems")

    def test_paths_of_fetched_files(self, project: Project) -> None:
        run = project.load()
        model, data = run.models["small"]["source_id"], run.datasets["problems"]["source_id"]
        assert run.model_status("small") == Path(f"results/models/small/{model}.json")
        assert run.dataset_status("problems") == Path(f"results/datasets/problems/{data}.json")
        assert run.samples("problems") == Path(f"results/datasets/problems/{data}.jsonl")

    def test_a_pair_is_done_when_all_its_files_are_there(self, project: Project) -> None:
        (pair,) = project.load().pairs
        for name in ("predictions.jsonl", "prompts.jsonl", "timings.jsonl"):
            project.write(str(pair.folder() / name), "")
        assert not pair.has_predictions(project.root)
        project.write(str(pair.folder() / "meta.json"), "{}")
        assert pair.has_predictions(project.root)
        for name in ("scores.jsonl", "timings.jsonl"):
            project.write(str(pair.score_folder() / name), "")
        assert not pair.has_scores(project.root)
        project.write(str(pair.score_folder() / "metrics.json"), "{}")
        assert pair.has_scores(project.root)


class TestShipped:
    """What lies in config/ and workflow/schemas/."""

    def test_default_run(self) -> None:
        assert names(registry.load({}, REPOSITORY)) == [("smollm2_135m", "humaneval")]

    def test_coding_specialists(self) -> None:
        given = yaml.safe_load((REPOSITORY / "config/coding_specialists.yaml").read_text("utf-8"))
        run = registry.load(given, REPOSITORY)
        assert len(run.pairs) == 15
        assert list(run.datasets) == ["humaneval", "advanced_coding_sample", "mbpp"]

    def test_every_entry_can_be_selected(self) -> None:
        everything = {
            kind: list(yaml.safe_load((REPOSITORY / "config" / f"{kind}.yaml").read_text("utf-8")))
            for kind in ("models", "datasets")
        }
        run = registry.load(everything, REPOSITORY)
        assert list(run.models) == everything["models"]
        assert list(run.datasets) == everything["datasets"]

    @pytest.mark.parametrize("name", ["model", "dataset", "category", "config"])
    def test_schemas_are_closed_and_described(self, name: str) -> None:
        open_ended = {
            "constants",
            "template_arguments",
            "engine_arguments",
            "models",
            "datasets",
            "categories",
        }

        def walk(node: Any, path: str) -> None:
            if not isinstance(node, dict):
                return
            if "object" in node.get("type", ()) and path.split(".")[-1] not in open_ended:
                assert "additionalProperties" in node, path
            for key, inner in node.get("properties", {}).items():
                assert "description" in inner or "$ref" in inner, f"{path}.{key}"
                walk(inner, f"{path}.{key}")
            for key, inner in node.get("$defs", {}).items():
                walk(inner, f"{path}.{key}")

        walk(schema.load(name), name)

    def test_defaults_satisfy_their_schemas(self) -> None:
        model = schema.filled(MODELS["small"], "model")
        assert schema.check(model, "model", "here") == []
        dataset = schema.filled(DATASET, "dataset")
        assert schema.check(dataset, "dataset", "here") == []
        assert json.loads(json.dumps(model)) == model
