"""Entries of quantized copies: what is refused, what their identity depends on, and what is drawn for AWQ."""

from __future__ import annotations

import copy
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from snakeval import at_work, closing, registry
from snakeval.errors import SourceError
from snakeval.plan import Plan
from snakeval.quantization import calibration, environment, making
from snakeval.records import read_json, write_json
from snakeval.registry import Run, lock, quantized, read_run
from snakeval.registry.lock import Lock, Reference
from unit.test_registry import COMMIT, FILE, MODELS, Project

PLACE = "config/models.yaml: models.copy"
RECIPE: dict[str, Any] = {"model": "small", "calibration": {"path": "texts.txt"}}
COPY: dict[str, Any] = {
    "source": {"quantize": RECIPE},
    "max_model_len": 2048,
    "runs_on_cpu": True,
}
ROOT = Path(__file__).parents[2]


def base_id(run: Run, model: str = "copy") -> str:
    return str(run.entry(model)["source_id"])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A registry in which `copy` is made from `small`, and only `copy` is selected."""
    project = Project(tmp_path)
    project.files["models"]["copy"] = copy.deepcopy(COPY)
    project.files["config"]["run"]["models"] = ["copy"]
    project.write("texts.txt", "one two three")
    return project


def recipe(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = project.files["models"]["copy"]["source"]["quantize"]
    return found


class TestRun:
    def test_the_base_is_carried_along_and_has_no_pair(self, project: Project) -> None:
        run = project.load()
        assert [pair.model for pair in run.pairs] == ["copy"]
        assert list(run.models) == ["copy"]
        assert list(run.bases) == ["small"]
        assert run.base_model("copy") == "small"
        assert run.source("copy") == MODELS["small"]["source"]
        assert read_run(project.root / run.save(project.root)) == run

    def test_a_base_that_is_selected_is_there_once(self, project: Project) -> None:
        run = project.load(models="copy,small")
        assert list(run.models) == ["small", "copy"]
        assert run.bases == {}

    def test_a_copy_listed_before_its_base(self, project: Project) -> None:
        models = project.files["models"]
        small = models.pop("small")
        models["small"] = small
        assert base_id(project.load(models="copy,small"))

    def test_what_is_locked_is_the_base(self, project: Project) -> None:
        project.files["models"]["small"]["source"] = {"hub": "org/small"}
        assert lock.references(project.load()) == [
            Reference("models", "org/small", "main"),
        ]
        before = base_id(project.load())
        commits = Lock({Reference("models", "org/small", "main"): COMMIT})
        project.write("config/lock.yaml", yaml.safe_dump(commits.to_yaml()))
        assert base_id(project.load()) != before

    def test_of_other_models_no_key_depends_on_any_of_this(self, project: Project) -> None:
        run = project.load(models="small")
        entry = run.models["small"]
        assert entry["base_model"] is None
        assert "base_model" not in run.spec("small", "problems")["model"]
        with_base = project.files["models"]["large"] | {"base_model": "small"}
        key = project.load(models="large").pairs[0].key
        project.files["models"]["large"] = with_base
        assert project.load(models="large").pairs[0].key == key


class TestIdentity:
    def changed(self, project: Project, change: Any) -> bool:
        before = project.load(models="small,copy")
        change()
        after = project.load(models="small,copy")
        assert base_id(before, "small") == base_id(after, "small")
        keys = [{pair.model: pair.key for pair in run.pairs} for run in (before, after)]
        assert keys[0]["small"] == keys[1]["small"]
        return (base_id(before), keys[0]["copy"]) != (base_id(after), keys[1]["copy"])

    @pytest.mark.parametrize(
        "step", [{"group_size": 64}, {"samples": 8}, {"sample_tokens": 64}, {"seed": 1}]
    )
    def test_a_step_of_the_recipe(self, project: Project, step: dict[str, int]) -> None:
        assert self.changed(project, lambda: recipe(project).update(step))

    def test_a_default_that_is_written_out_changes_nothing(self, project: Project) -> None:
        assert not self.changed(project, lambda: recipe(project).update(group_size=128, seed=0))

    def test_the_texts_by_their_content(self, project: Project) -> None:
        def moved() -> None:
            project.write("other.txt", "one two three")
            recipe(project)["calibration"] = {"path": "other.txt"}

        assert not self.changed(project, moved)
        assert self.changed(project, lambda: project.write("other.txt", "one two four"))

    def test_the_tools_and_the_version(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def raised() -> None:
            monkeypatch.setattr(quantized, "QUANTIZE_VERSION", 2)

        assert self.changed(project, raised)

        def upgraded() -> None:
            monkeypatch.setattr(quantized, "_tools", lambda: {"llmcompressor": "1.0"})

        assert self.changed(project, upgraded)

    def test_the_pinned_tools_are_part_of_it(self, project: Project) -> None:
        found = project.load().models["copy"]["identity"]["source"]["quantize"]
        pins = quantized.PINS.read_text("utf-8").splitlines()
        assert set(found["tools"]) == {"llmcompressor", "compressed-tensors"}
        for name, number in found["tools"].items():
            assert any(line.split()[0] == f"{name}=={number}" for line in pins)

    @pytest.mark.parametrize(
        "change",
        [
            {"source": {"package": "small==2.0", "file": "small/model.gguf"}},
            {"tokenizer": {"hub": "org/tokenizer", "revision": COMMIT}},
            {"tokenizer_class": "PreTrainedTokenizerFast"},
        ],
    )
    def test_the_base_and_its_tokenizer(self, project: Project, change: dict[str, Any]) -> None:
        before = base_id(project.load())
        project.files["models"]["small"] |= change
        assert base_id(project.load()) != before


QUANTIZED = {"facts": {"format": "AWQ", "parameters": 1, "weights_gb": 1}}
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "unknown base": (
        {"model": "smal"},
        {},
        f"{PLACE}.source.quantize.model: got 'smal'; expected the name of a model. Did you mean small?",
    ),
    "itself": (
        {"model": "copy"},
        {},
        f"{PLACE}.source.quantize.model: got its own name; expected another model. Name the base model.",
    ),
    "chain": (
        {},
        {"small": {"base_model": "large"}},
        f"{PLACE}.source.quantize.model: got small, which is a quantized copy itself; expected a model "
        "with the weights that were trained. Name the model that the copy is made from.",
    ),
    "quantized already": (
        {},
        {"small": {"quantization": "awq"}},
        f"{PLACE}.source.quantize.model: got small, which is quantized already; expected a model with "
        "the weights that were trained. Name the model that the copy is made from.",
    ),
    "awq without texts": (
        {"calibration": None},
        {},
        f"{PLACE}.source.quantize.calibration: got nothing; expected texts, as the method is awq. Name "
        "texts like those that the model is for: a file of your own, or one of a package.",
    ),
    "rounding with texts": (
        {"method": "rtn"},
        {},
        f"{PLACE}.source.quantize.calibration: got texts, as the method is rtn; expected null. "
        "Remove them: only awq looks at texts.",
    ),
    "another base": (
        {},
        {"copy": {"base_model": "large"}},
        f"{PLACE}.base_model: got 'large'; expected small, which source names, or nothing. Remove it.",
    ),
    "a tokenizer": (
        {},
        {"copy": {"tokenizer": {"hub": "a/b"}}},
        f"{PLACE}.tokenizer: got a source; expected null beside source.quantize. Give it to small: the "
        "copy takes over its tokenizer.",
    ),
    "a quantized tokenizer": (
        {},
        {"small": {"tokenizer": {"quantize": RECIPE}}},
        f"{FILE}.tokenizer: got quantize; expected hub, package or path. Name its files.",
    ),
    "an odd group": (
        {"group_size": 48},
        {},
        f"{PLACE}.source.quantize.group_size: got 48; expected one of 32, 64, 128. Neighbouring weights "
        "that share a scale and a zero point; it divides the inputs of every layer.",
    ),
    "texts that are not there": (
        {"calibration": {"path": "gone.txt"}},
        {},
        f"{PLACE}.source.quantize.calibration.path: got 'gone.txt', which does not exist; expected an "
        "existing file or folder. A relative path starts at the repository's folder.",
    ),
    "unknown base_model": (
        {},
        {"large": {"base_model": "huge"}},
        "config/models.yaml: models.large.base_model: got 'huge'; expected the name of a model. "
        "Known: base, copy, small.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_made_is_refused_in_one_line(project: Project, case: str) -> None:
    steps, entries, expected = REFUSED[case]
    recipe(project).update(steps)
    for name, keys in entries.items():
        project.files["models"][name] |= copy.deepcopy(keys)
    assert project.errors() == [expected]


def test_texts_must_not_be_the_rows_of_a_selected_dataset(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    project.files["datasets"]["problems"]["sources"] = [{"path": "texts.txt"}]
    assert project.load(datasets="puzzles").pairs
    assert project.errors() == [
        f"{PLACE}.source.quantize.calibration: got the rows of problems, which the model is to be "
        "evaluated on; expected other texts. Choose other texts, or exclude the dataset."
    ]


class TestPlan:
    def test_fetching_and_quantizing_are_told_apart(self, project: Project) -> None:
        run = project.load()
        found = Plan(run, Path("run.json"), chosen=True, root=project.root)
        base, made = base_id(run, "small"), base_id(run)
        assert [name for name in (base, made) if re.fullmatch(found.missing_models, name)] == [base]
        assert [name for name in (base, made) if re.fullmatch(found.missing_quantized, name)] == [
            made
        ]
        wildcards = SimpleNamespace(model="copy")
        assert found.base(wildcards) == f"results/models/small/{base}.json"
        assert found.quantized(wildcards) == [f"results/models/copy/{made}.json"]
        assert found.quantizing_gpus(wildcards) == 0
        assert re.fullmatch(found.constraints["model"], "small")

    def test_what_is_there_is_not_made(self, project: Project) -> None:
        run = project.load()
        write_json(project.root / run.model_status("copy"), {})
        found = Plan(run, Path("run.json"), chosen=True, root=project.root)
        assert not re.fullmatch(found.missing_quantized, base_id(run))

    def test_a_large_model_takes_a_gpu(self, project: Project) -> None:
        project.files["models"]["copy"]["runs_on_cpu"] = False
        found = Plan(project.load(), Path("run.json"), chosen=True, root=project.root)
        assert found.quantizing_gpus(SimpleNamespace(model="copy")) == 1

    def test_without_one_to_make_the_target_says_what_to_do(
        self, project: Project, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = Plan(project.load(models="small"), Path("run.json"), chosen=True, root=project.root)
        with pytest.raises(SystemExit):
            found.quantized(SimpleNamespace())
        assert "no model that is quantized here; expected one with source.quantize" in (
            capsys.readouterr().err
        )


class TestWeights:
    def made(
        self, project: Project, monkeypatch: pytest.MonkeyPatch, data: bytes
    ) -> dict[str, Any]:
        """Quantize with a compressor that writes these weights; return the status."""

        def compress(base: Path, tokenizer: Path, steps: Any, folder: Path) -> dict[str, Any]:
            for name, content in (("model.safetensors", data), ("config.json", b"{}")):
                (folder / name).write_bytes(content)
            return {"device": "cpu"}

        monkeypatch.chdir(project.root)
        monkeypatch.setattr(making.compressor, "compress", compress)
        run = project.load()
        project.write("base/tokenizer.json", "{}")
        status = {"status": "ok", "reason": None, "path": "base", "tokenizer_path": "base"}
        facts = {"commit": COMMIT, "licence": None, "bytes": 9}
        write_json(project.root / run.model_status("small"), status | facts)
        assert making.make(run, "copy", run.model_status("copy"))
        found: dict[str, Any] = read_json(run.model_status("copy"))
        return found

    def test_their_content_names_them_and_not_the_bases_commit(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, same, other = (
            self.made(project, monkeypatch, data) for data in (b"here", b"here", b"there")
        )
        assert one["commit"] == other["commit"] == COMMIT
        assert quantized.weights(one) == quantized.weights(same) != quantized.weights(other)
        assert COMMIT not in (quantized.weights(one), quantized.weights(other))

    def test_of_earlier_copies_and_of_other_models_the_commit_does(self) -> None:
        assert quantized.weights({"commit": COMMIT}) == COMMIT
        assert quantized.weights({"commit": COMMIT, "quantization": {"device": "cpu"}}) == COMMIT


class TestFailure:
    def fetched(self, project: Project, **status: Any) -> Run:
        run = project.load()
        whole = {"status": "ok", "reason": None, "path": "x", "tokenizer_path": "x", **status}
        write_json(project.root / run.model_status("small"), whole)
        return run

    def test_a_base_that_cannot_be_had_is_the_reason(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(project.root)
        run = self.fetched(project, status="failed", reason="model small: no package", path=None)
        path = run.model_status("copy")
        assert not making.make(run, "copy", path)
        status = read_json(path)
        assert status["status"] == "failed"
        assert "model small: no package" in status["reason"]
        [failure] = closing.find_failures(run, project.root, 0)
        assert failure["stage"] == "quantize_model"
        assert failure["reason"] == status["reason"]
        # The next run tries again.
        assert path in [
            found.relative_to(project.root) for found in at_work.failed_fetches(project.root)
        ]

    def test_packages_that_cannot_be_had_are_the_reason(self, project: Project) -> None:
        run = self.fetched(project)
        project.write("results/logs/quantizer.log", "error: quantizer: got no network\n")
        [failure] = closing.find_failures(run, project.root, 0)
        assert (failure["stage"], failure["reason"]) == (
            "quantize_model",
            "quantizer: got no network",
        )
        assert failure["log"] == "results/logs/quantizer.log"

    def test_what_is_half_made_vanishes(self, tmp_path: Path) -> None:
        place = tmp_path / "models" / "0123456789ab"

        def stopped() -> None:
            with making._whole(place) as folder:
                (folder / "config.json").write_text("{}")
                raise ValueError("stop")

        with pytest.raises(ValueError, match="stop"):
            stopped()
        assert list(place.parent.iterdir()) == []
        with making._whole(place) as folder:
            (folder / "config.json").write_text("{}")
        assert [path.name for path in place.parent.iterdir()] == [place.name]

    def test_an_installation_that_fails_says_what_to_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        done = subprocess.CompletedProcess([], 1, stderr="WARNING: …\nERROR: No matching version\n")
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
        with pytest.raises(SourceError) as caught:
            environment.install()
        assert str(caught.value) == (
            "quantizer: got No matching version; expected the packages of envs/quantize.txt. "
            "Run make quantizer where pip reaches a package index, then the same command again."
        )
        assert not environment.marker().exists()


class TestPassages:
    STEPS = RECIPE | {"samples": 3, "sample_tokens": 4, "seed": 0}

    def tokenizer(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        return {"input_ids": [int(word) for word in text.split()]}

    def drawn(self, **steps: Any) -> list[list[int]]:
        Path("texts.txt").write_text(" ".join(map(str, range(42))))
        return calibration.passages(self.STEPS | steps, self.tokenizer)

    def test_they_are_pieces_of_the_text_and_the_same_each_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        found = self.drawn()
        assert len(found) == 3
        starts = [piece[0] for piece in found]
        assert len(set(starts)) == 3
        assert all(piece == list(range(piece[0], piece[0] + 4)) for piece in found)
        assert all(start % 4 == 0 for start in starts)
        assert self.drawn() == found
        assert self.drawn(seed=1) != found
        assert calibration.fingerprint(self.drawn(seed=1)) != calibration.fingerprint(found)

    def test_a_text_that_is_too_short_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SourceError, match="got 42 tokens; expected at least 44"):
            self.drawn(samples=11)


def test_the_shipped_texts_are_those_that_are_pinned() -> None:
    run = registry.load({"models": "smollm2_135m_awq", "datasets": "humaneval"}, ROOT)
    made = quantized.recipe(run.models["smollm2_135m_awq"])
    assert made
    assert "DataFrame" in calibration._text(dict(made["calibration"]))
