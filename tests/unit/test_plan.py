"""The plan: which files are asked for, and what the constraints admit."""

from __future__ import annotations

import os
import random
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakeval import leash, plan
from snakeval.plan import Plan
from snakeval.records import fingerprint, read_json, write_json, write_text
from snakeval.registry import Pair, Run
from snakeval.registry.run import PREDICTION_FILES, SCORE_FILES


def make_run(models: int = 2, datasets: int = 2, per_engine: int = 100) -> Run:
    """Return a run whose keys are those of nothing real."""
    names = [f"d{number}" for number in range(datasets)]
    pairs = [
        Pair(f"m{m}", name, fingerprint([m, name]), fingerprint("scorer"), number // per_engine)
        for m in range(models)
        for number, name in enumerate(names)
    ]
    return Run(
        models={
            f"m{m}": {
                "source_id": fingerprint(["m", m]),
                "benchmark_id": fingerprint(["speed", m]),
                "gpus": m + 1,
                "endpoint": None,
                "engine_arguments": {},
            }
            for m in range(models)
        },
        datasets={
            name: {"source_id": fingerprint(name), "oracle_id": fingerprint(["oracle", name])}
            for name in names
        },
        pairs=tuple(pairs),
        settings={},
    )


def answer(pair: Pair, root: Path, names: tuple[str, ...] = PREDICTION_FILES) -> None:
    for name in names:
        write_text(root / pair.folder() / name, "")


def score(pair: Pair, root: Path, names: tuple[str, ...] = SCORE_FILES) -> None:
    for name in names:
        write_text(root / pair.score_folder() / name, "")


def admitted(pattern: str, run: Run) -> set[tuple[str, str]]:
    return {(p.model, p.dataset) for p in run.pairs if re.fullmatch(pattern, p.key)}


def make_plan(run: Run, root: Path) -> Plan:
    return Plan(run, Path("results/runs/0.json"), False, root)


class TestOnly:
    @pytest.mark.parametrize("wanted", [0, 1, 2, 77, 150, 298, 299, 300])
    def test_admits_the_wanted_and_no_other(self, wanted: int) -> None:
        known = [fingerprint(number) for number in range(300)]
        chosen = set(random.Random(wanted).sample(known, wanted))
        pattern = re.compile(f"x/(?P<key>{plan.only(chosen, known)})/y")
        assert {key for key in known if pattern.fullmatch(f"x/{key}/y")} == chosen

    def test_nothing_wanted_matches_nothing(self) -> None:
        assert plan.only([], ["0a"]) == "(?!)"

    def test_stays_short_where_few_or_nearly_all_are_wanted(self) -> None:
        known = [fingerprint(number) for number in range(9250)]
        assert len(plan.only(known, known)) < 20
        assert len(plan.only(known[1:], known)) < 300
        assert len(plan.only(known[:1], known)) < 40
        assert len(plan.only(known[::2], known)) < 50_000

    def test_names_that_share_a_beginning(self) -> None:
        pattern = plan.only(["ab12", "ab34"], ["ab12", "ab13", "ab34"])
        assert [name for name in ("ab12", "ab13", "ab34") if re.fullmatch(pattern, name)] == [
            "ab12",
            "ab34",
        ]


class TestMissing:
    def test_everything(self, tmp_path: Path) -> None:
        run = make_run()
        made = make_plan(run, tmp_path)
        assert admitted(made.missing_keys, run) == admitted(made.missing_scores, run)
        assert len(admitted(made.missing_keys, run)) == 4
        assert made.pair_files == []  # the summary asks for the metrics, and these for the rest
        assert made.scores == [str(p.score_folder() / "metrics.json") for p in run.pairs]

    def test_nothing(self, tmp_path: Path) -> None:
        run = make_run()
        for pair in run.pairs:
            answer(pair, tmp_path)
            score(pair, tmp_path)
        made = make_plan(run, tmp_path)
        assert (made.missing_keys, made.missing_scores, made.pair_files) == ("(?!)", "(?!)", [])
        assert made.scores == [str(p.score_folder() / "metrics.json") for p in run.pairs]

    @pytest.mark.parametrize("name", PREDICTION_FILES)
    def test_one_file_of_the_predictions_is_asked_for_and_scored_anew(
        self, tmp_path: Path, name: str
    ) -> None:
        run = make_run()
        for pair in run.pairs:
            answer(pair, tmp_path)
            score(pair, tmp_path)
        pair = run.pairs[2]
        (tmp_path / pair.folder() / name).unlink()
        made = make_plan(run, tmp_path)
        assert made.pair_files == [str(pair.folder() / name)]
        assert admitted(made.missing_keys, run) == {("m1", "d0")}
        assert admitted(made.missing_scores, run) == {("m1", "d0")}

    @pytest.mark.parametrize("name", SCORE_FILES)
    def test_one_file_of_the_scores_is_asked_for(self, tmp_path: Path, name: str) -> None:
        run = make_run()
        for pair in run.pairs:
            answer(pair, tmp_path)
            score(pair, tmp_path)
        pair = run.pairs[0]
        (tmp_path / pair.score_folder() / name).unlink()
        made = make_plan(run, tmp_path)
        by_summary = name == "metrics.json"
        assert made.pair_files == ([] if by_summary else [str(pair.score_folder() / name)])
        assert (made.missing_keys, admitted(made.missing_scores, run)) == ("(?!)", {("m0", "d0")})

    def test_a_summary_that_is_there_asks_for_nothing(self, tmp_path: Path) -> None:
        run = make_run(1, 1)
        (pair,) = run.pairs
        write_text(tmp_path / "results/summary/provenance.json", "{}")
        asked = make_plan(run, tmp_path).pair_files
        assert asked == [str(pair.score_folder() / "scores.jsonl")]

    def test_files_of_both(self, tmp_path: Path) -> None:
        run = make_run(1, 1)
        (pair,) = run.pairs
        answer(pair, tmp_path, PREDICTION_FILES[:1])
        assert make_plan(run, tmp_path).pair_files == [str(pair.folder() / "prompts.jsonl")]

    def test_fetched_files(self, tmp_path: Path) -> None:
        run = make_run()
        write_json(tmp_path / run.model_status("m0"), {})
        write_text(tmp_path / run.samples("d0"), "")
        write_json(tmp_path / run.dataset_status("d0"), {})
        write_text(tmp_path / run.samples("d1"), "")
        made = make_plan(run, tmp_path)
        ids = {name: entry["source_id"] for name, entry in (run.models | run.datasets).items()}
        assert [n for n in ("m0", "m1") if re.fullmatch(made.missing_models, ids[n])] == ["m1"]
        assert [n for n in ("d0", "d1") if re.fullmatch(made.missing_datasets, ids[n])] == ["d1"]


class TestEngine:
    def test_needs_the_samples_of_its_missing_pairs(self, tmp_path: Path) -> None:
        run = make_run(1, 3, per_engine=2)
        answer(run.pairs[0], tmp_path)
        made = make_plan(run, tmp_path)
        assert made.engine_inputs(SimpleNamespace(model="m0", part="0")) == {
            "model": [str(run.model_status("m0"))],
            "statuses": [str(run.dataset_status("d1"))],
            "samples": [str(run.samples("d1"))],
        }
        assert made.engine_inputs(SimpleNamespace(model="m0", part="1"))["samples"] == [
            str(run.samples("d2"))
        ]

    def test_a_pair_knows_its_part(self, tmp_path: Path) -> None:
        made = make_plan(make_run(1, 3, per_engine=2), tmp_path)
        assert made.engine_outputs(SimpleNamespace(model="m0", dataset="d2")) == {
            "status": "results/engines/m0/1.json",
            "requests": "results/engines/m0/1.requests",
        }

    def test_takes_the_models_number_of_gpus(self, tmp_path: Path) -> None:
        assert make_plan(make_run(), tmp_path).gpus(SimpleNamespace(model="m1")) == 2


class TestStart:
    def workflow(self, root: Path) -> SimpleNamespace:
        return SimpleNamespace(basedir=str(root), is_main_process=False, global_resources={})

    def test_mistakes_are_lines_and_an_exit_code(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as caught:
            plan.start(self.workflow(tmp_path), {})
        assert caught.value.code == 2
        assert capsys.readouterr().err == (
            "error: config/config.yaml: got no such file; expected a configuration file. "
            "Restore it from the repository.\n"
        )

    def test_another_folder_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        with pytest.raises(SystemExit):
            plan.start(self.workflow(tmp_path), {})
        assert capsys.readouterr().err == (
            f"error: working directory: got {tmp_path}/elsewhere; expected {tmp_path}, the "
            "repository's folder. Change there and run the same command again.\n"
        )

    def test_jobs_get_this_python_and_this_process(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PATH", "/usr/bin")
        monkeypatch.setenv(leash.VARIABLE, "")
        monkeypatch.setattr(plan, "load", lambda config, root: make_run())
        made = plan.start(self.workflow(tmp_path), {"models": "m0"})
        assert os.environ["PATH"] == f"{Path(sys.executable).parent}:/usr/bin"
        assert os.environ[leash.VARIABLE] == str(os.getpid())
        assert read_json(tmp_path / made.path)["order"] == [["m0", "m1"], ["d0", "d1"]]


class TestCompare:
    def test_with_a_baseline(self) -> None:
        run = make_run()
        run.settings["baseline"] = "kept"
        assert Plan(run, Path("run.json"), False).compare_input(None) == "run.json"
        assert Plan(run, Path("run.json"), False).only_chosen == ""
        assert Plan(run, Path("run.json"), True).only_chosen == "--chosen"

    def test_without_a_baseline_it_refuses(self, capsys: pytest.CaptureFixture[str]) -> None:
        run = make_run()
        run.settings["baseline"] = None
        with pytest.raises(SystemExit) as caught:
            Plan(run, Path("run.json"), False).compare_input(None)
        assert caught.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: compare: got no baseline; expected an earlier run's")

    def test_it_closes_no_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        started: list[object] = []
        monkeypatch.setattr(plan.subprocess, "run", lambda *given, **_: started.append(given))
        made = Plan(make_run(), Path("run.json"), False)
        made.close({"compare"})
        assert not started
        made.close({"all"})
        assert started


class TestRedo:
    @pytest.mark.parametrize(
        "config",
        [
            {"models": "a"},
            {"datasets": ["b"]},
            {"run": {"models": "a"}},
            {"run": {}, "models": "a"},
        ],
    )
    def test_with_a_choice(self, config: dict[str, object]) -> None:
        assert plan.chosen(config)
        made = Plan(make_run(), Path("run.json"), True)
        assert made.redo_input(None) == "run.json"

    @pytest.mark.parametrize("config", [{}, {"categories": "a"}, {"models": ""}, {"run": None}])
    def test_without_a_choice_nothing_is_dropped(
        self, config: dict[str, object], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert not plan.chosen(config)
        with pytest.raises(SystemExit) as caught:
            Plan(make_run(), Path("run.json"), False).redo_input(None)
        assert caught.value.code == 2
        assert capsys.readouterr().err.startswith(
            "error: redo: got neither models nor datasets; expected the pairs to make anew. "
        )


@pytest.mark.parametrize("target", ["preflight", "quantize", "quantizer"])
def test_what_makes_no_pairs_closes_no_run(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(plan.subprocess, "run", lambda *given, **_: started.append(given))
    Plan(make_run(), Path("run.json"), False).close({target})
    assert not started
