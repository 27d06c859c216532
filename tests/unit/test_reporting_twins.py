"""What `snakemake export` writes, read back by the tools whose formats they are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, metadata_load
from inspect_ai.log import (
    EvalLog,
    list_eval_logs,
    read_eval_log,
    read_eval_log_sample,
    read_eval_log_sample_summaries,
)
from lm_eval.api.metrics import mean_stderr
from lm_eval.utils import get_file_task_name, hash_string, make_table
from reported_run import make_run
from snakeval.errors import StorageError
from snakeval.records import read_json, read_jsonl, write_json, write_jsonl
from snakeval.registry import Run
from snakeval.registry.protocol import protocol
from snakeval.reporting.twins import export
from snakeval.reporting.twins.finished import WITHHELD

HOSTILE = '\x00\x1b[31m\ud800"\\</script>{{ x }}\u202e\u2028\r\n'
KEPT = HOSTILE.replace("\ud800", "\ufffd")
UNSCORED = {"state": "unscored", "value": None}


def exported(root: Path, run: Run) -> Path:
    """Export below `root` and return the folder."""
    lines = list(export(run, root, root / "export"))
    assert all(line.startswith("exported: ") for line in lines)
    return root / "export"


def metric(root: Path, run: Run, model: str, dataset: str) -> dict[str, Any]:
    metrics = read_json(root / run.pair(model, dataset).score_folder() / "metrics.json")
    return dict(metrics["metrics"]["pass@1"])


def harness(folder: Path, model: str = "medium") -> dict[str, Any]:
    (path,) = (folder / "lm_eval" / model).glob("results_*.json")
    return dict(json.loads(path.read_text("utf-8")))


def samples(folder: Path, model: str = "medium", dataset: str = "humaneval") -> list[Any]:
    (path,) = (folder / "lm_eval" / model).glob(f"samples_{dataset}_*.jsonl")
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def logs(folder: Path) -> dict[tuple[str, str], EvalLog]:
    found = [read_eval_log(info) for info in list_eval_logs(str(folder / "inspect"))]
    return {(log.eval.model, log.eval.task): log for log in found}


def one(root: Path, **changes: Any) -> Run:
    """Return a run of one pair, five samples, the first answer of which is changed."""

    def change(row: dict[str, Any]) -> None:
        if row["id"].endswith("/0"):
            row |= changes

    return make_run(root, ["medium"], ["humaneval"], samples=5, change=change)


def test_lm_eval_prints_the_numbers_of_metrics_json(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    folder = exported(tmp_path, run)
    for model in run.models:
        found = harness(folder, model)
        lines = make_table(found).splitlines()
        for dataset in run.datasets:
            title = run.datasets[dataset]["title"]
            (line,) = [line for line in lines if line.startswith(f"|{title}")]
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            truth = metric(tmp_path, run, model, dataset)
            assert found["results"][dataset]["pass@1,none"] == truth["value"]
            rows = samples(folder, model, dataset)
            values = [row["pass@1"] for row in rows if row["metrics"]]
            assert len(values) == truth["n"]
            assert math.fsum(values) / len(values) == pytest.approx(truth["value"])
            error = mean_stderr(values)
            assert cells[1:5] == ["1", "none", "0", "pass@1"]
            assert cells[5:] == ["↑", f"{truth['value']:.4f}", "±", f"{error:.4f}"]
            assert found["n-samples"][dataset]["effective"] == len(rows)


def test_lm_eval_finds_where_a_result_came_from(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    found = harness(exported(tmp_path, run))
    pair = run.pair("medium", "humaneval")
    about = found["configs"]["humaneval"]["metadata"]
    assert about["protocol"] == protocol(run, pair).id
    assert about["key"] == pair.key
    assert about["model_commit"] == found["config"]["model_sha"] == "c" * 40
    assert about["versions"]["vllm"] == "0.32.0"
    assert about["metrics"]["pass@1"] == metric(tmp_path, run, "medium", "humaneval")
    assert found["model_name"] == found["config"]["model_args"]["pretrained"] == "org/medium"
    assert found["config"]["model_revision"] == "a" * 40


def test_samples_of_lm_eval_hold_each_answer(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["medium"], ["humaneval"], repeats=3)
    folder = exported(tmp_path, run)
    answers: dict[str, list[str]] = {}
    for row in read_jsonl(tmp_path / run.pairs[0].folder() / "predictions.jsonl"):
        answers.setdefault(row["id"], []).append(row["completion"])
    rows = samples(folder)
    assert {row["doc"]["id"]: row["resps"] for row in rows} == {
        name: [its] for name, its in answers.items()
    }
    assert [row["doc_id"] for row in rows] == list(range(164))
    first = rows[0]
    assert first["filtered_resps"] == first["resps"][0][:1]
    assert first["prompt_hash"] == hash_string(first["arguments"]["gen_args_0"]["arg_0"])
    assert first["doc_hash"] == hash_string(json.dumps(first["doc"], indent=2, ensure_ascii=False))
    assert first["pass@1"] == sum(its["value"] for its in first["snakeval"]) / 3
    (path,) = (folder / "lm_eval" / "medium").glob("samples_*")
    assert get_file_task_name(path.name) == "humaneval"
    hashes = (row[f"{of}_hash"] for row in rows for of in ("doc", "prompt", "target"))
    assert harness(folder)["task_hashes"]["humaneval"] == hash_string("".join(hashes))


def test_inspect_reads_the_numbers_of_metrics_json(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    found = logs(exported(tmp_path, run))
    assert len(found) == len(run.pairs)
    names = {"tiny": "vllm/tiny==0.1", "medium": "vllm/org/medium", "large": "vllm/org/large"}
    for pair in run.pairs:
        log = found[names[pair.model], pair.dataset]
        truth = metric(tmp_path, run, pair.model, pair.dataset)
        assert log.status == "success"
        assert log.results is not None
        (score,) = log.results.scores
        assert score.metrics["pass@1"].value == truth["value"]
        interval = {name: truth[name] for name in ("ci_low", "ci_high", "n")}
        assert score.metrics["pass@1"].metadata == interval
        assert log.samples is not None
        values = [each.scores[score.name].value for each in log.samples if each.scores]
        assert score.scored_samples == len(values) == truth["n"]
        assert score.unscored_samples == len(log.samples) - truth["n"]
        assert sum(map(float, values)) / len(values) == pytest.approx(truth["value"])
        assert log.eval.metadata is not None
        assert log.eval.metadata["protocol"] == protocol(run, pair).id
        assert log.eval.packages["vllm"] == "0.32.0"
        assert log.eval.model_args["commit"] == "c" * 40
        assert log.eval.task_id == pair.key


def test_inspect_shows_prompt_answer_and_verdict(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["large"], ["humaneval"], repeats=2)
    (info,) = list_eval_logs(str(exported(tmp_path, run) / "inspect"))
    assert (info.task, info.task_id) == ("humaneval", run.pairs[0].key)
    folder = tmp_path / run.pairs[0].folder()
    predictions = {(r["id"], r["repeat"]): r for r in read_jsonl(folder / "predictions.jsonl")}
    prompts = {(r["id"], r["repeat"]): r["text"] for r in read_jsonl(folder / "prompts.jsonl")}
    summaries = read_eval_log_sample_summaries(info)
    assert len(summaries) == 164 * 2
    for summary in summaries[:40]:
        name = str(summary.id), summary.epoch - 1
        sample = read_eval_log_sample(info, summary.id, summary.epoch)
        prediction = predictions[name]
        assert sample.input == sample.messages[0].text == prompts[name]
        assert sample.output.completion == sample.messages[1].text == prediction["completion"]
        assert sample.output.usage is not None
        assert sample.output.usage.output_tokens == prediction["completion_tokens"]
        reason = {"stop": "stop", "length": "max_tokens"}[prediction["finish_reason"]]
        assert sample.output.stop_reason == reason
        state = sample.metadata["state"]
        assert summary.metadata["state"] == state
        judged = {key: score.value for key, score in (sample.scores or {}).items()}
        assert judged == {key: score.value for key, score in (summary.scores or {}).items()}
        expected = {"correct": 1.0, "unscored": None}.get(state, 0.0)
        assert judged == ({} if expected is None else {"code_generation": expected})


def test_the_hub_reads_the_numbers_of_metrics_json(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for dataset in run.datasets:
        status = read_json(tmp_path / run.dataset_status(dataset))
        write_json(
            tmp_path / run.dataset_status(dataset), status | {"source": f"hub org/{dataset}"}
        )
    folder = exported(tmp_path, run) / "model_cards"
    for model in run.models:
        path = folder / f"{model}.md"
        assert list(metadata_load(path) or {}) == ["model-index"]
        card = ModelCard.load(path).data
        assert card.model_name == run.models[model]["title"]
        results = {result.dataset_type: result for result in card.eval_results or []}
        for dataset in run.datasets:
            found, truth = results[f"org/{dataset}"], metric(tmp_path, run, model, dataset)
            assert (found.metric_type, found.metric_value) == ("pass@1", truth["value"])
            assert found.dataset_revision == "d" * 40
            assert found.dataset_split == "test"
            assert found.metric_args is not None
            assert {key: found.metric_args[key] for key in truth if key != "value"} == {
                key: truth[key] for key in truth if key != "value"
            }
            assert found.metric_args["protocol"] == protocol(run, run.pair(model, dataset)).id
            assert found.metric_args["model_commit"] == "c" * 40


def test_rows_that_are_not_from_the_hub_name_no_hub_dataset(tmp_path: Path) -> None:
    run = one(tmp_path)
    folder = exported(tmp_path, run)
    (result,) = ModelCard.load(folder / "model_cards" / "medium.md").data.eval_results or []
    assert (result.dataset_type, result.dataset_revision) == ("humaneval", None)
    assert harness(folder)["configs"]["humaneval"]["dataset_path"] is None


def test_whatever_a_model_writes_stays_readable(tmp_path: Path) -> None:
    run = one(
        tmp_path,
        text=HOSTILE,
        completion=HOSTILE + "x" * 5_000_000,
        answer=HOSTILE,
        target=HOSTILE,
        detail={"class": "wrong_answer", "message": HOSTILE, HOSTILE: [math.nan, -math.inf]},
    )
    folder = exported(tmp_path, run)
    first = samples(folder)[0]
    assert first["resps"][0][0] == KEPT + "x" * 5_000_000
    assert first["arguments"]["gen_args_0"]["arg_0"] == first["target"] == KEPT
    assert first["snakeval"][0]["answer"] == KEPT
    (log,) = logs(folder).values()
    assert log.samples is not None
    sample = log.samples[0]
    assert sample.output.completion == KEPT + "x" * 5_000_000
    assert sample.input == sample.target == KEPT
    assert sample.scores is not None
    score = sample.scores["code_generation"]
    assert score.answer == score.explanation == KEPT
    assert score.metadata is not None
    assert score.metadata[KEPT] == ["nan", "-inf"]


@pytest.mark.parametrize("name", ["\x00\ud800", "../../x", "a\nb", "\u202e"])
def test_whatever_a_sample_is_called_it_is_found(tmp_path: Path, name: str) -> None:
    run = one(tmp_path, id=f"{name}/0")
    (info,) = list_eval_logs(str(exported(tmp_path, run) / "inspect"))
    first = read_eval_log_sample_summaries(info)[0]
    prompts = read_jsonl(tmp_path / run.pairs[0].folder() / "prompts.jsonl")
    assert read_eval_log_sample(info, first.id).input == next(prompts)["text"]


def test_what_nobody_judged_has_no_value(tmp_path: Path) -> None:
    run = one(tmp_path, **UNSCORED, finish_reason="error", error="it is\ntoo long")
    folder = exported(tmp_path, run)
    first, *others = samples(folder)
    assert first["metrics"] == []
    assert "pass@1" not in first
    assert all(row["metrics"] == ["pass@1"] for row in others)
    (log,) = logs(folder).values()
    assert log.samples is not None
    assert log.samples[0].scores == {}
    assert log.samples[0].error is not None
    assert log.samples[0].error.message == "it is\ntoo long"
    assert log.samples[1].error is None


def test_a_pair_that_nobody_judged_has_no_number(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["medium"], ["humaneval"], 3, change=lambda row: row.update(UNSCORED))
    folder = exported(tmp_path, run)
    found = harness(folder)
    assert not [name for name in found["results"]["humaneval"] if name.startswith("pass@1")]
    assert "pass@1" not in make_table(found)
    (log,) = logs(folder).values()
    assert log.results is not None
    assert log.results.scores[0].metrics == {}
    assert not ModelCard.load(folder / "model_cards" / "medium.md").data.eval_results


def test_no_other_metric_stands_for_a_score_that_is_not_there(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["medium"], ["humaneval"], 3, change=lambda row: row.update(UNSCORED))
    path = tmp_path / run.pairs[0].score_folder() / "metrics.json"
    metrics = read_json(path)
    metrics["metrics"]["missing_verdicts"] = {"value": 1.0, "ci_low": 0.4, "ci_high": 1.0, "n": 3}
    write_json(path, metrics)
    (log,) = logs(exported(tmp_path, run)).values()
    assert log.results is not None
    assert log.results.scores[0].metrics == {}


def test_a_metric_that_is_no_mean_has_no_standard_error(tmp_path: Path) -> None:
    run = one(tmp_path)
    path = tmp_path / run.pairs[0].score_folder() / "metrics.json"
    metrics = read_json(path)
    metrics["metrics"]["pass@1"]["value"] = 0.123
    write_json(path, metrics)
    folder = exported(tmp_path, run)
    assert harness(folder)["results"]["humaneval"]["pass@1_stderr,none"] == "N/A"
    assert re.search(r"\|0\.123\|± *\| *N/A\|", make_table(harness(folder)))
    assert {*samples(folder)[0]["metrics"]} == {"value"}


def test_an_endpoint_has_neither_commit_nor_engine(tmp_path: Path) -> None:
    run = one(tmp_path)
    run.models["medium"] |= {
        "source": None,
        "endpoint": {"url": "http://localhost:8000/v1", "model": "served", "extra_body": {}},
    }
    path = tmp_path / run.pairs[0].folder() / "meta.json"
    nothing = dict.fromkeys(("model_commit", "dataset_revision", "gpu", "engine_arguments"))
    write_json(path, read_json(path) | nothing | {"engine_starts": [], "device": "endpoint"})
    folder = exported(tmp_path, run)
    found = harness(folder)
    assert found["model_name"] == "served"
    assert found["config"]["model_sha"] is None
    assert make_table(found)
    (log,) = logs(folder).values()
    assert (log.eval.model, log.eval.model_base_url) == (
        "openai/served",
        "http://localhost:8000/v1",
    )
    assert log.eval.model_args["commit"] is None
    (result,) = ModelCard.load(folder / "model_cards" / "medium.md").data.eval_results or []
    assert result.metric_args is not None
    assert "model_commit" not in result.metric_args  # huggingface_hub leaves out what is None


def test_prompts_that_nobody_counted_have_no_usage(tmp_path: Path) -> None:
    run = one(tmp_path)
    folder = tmp_path / run.pairs[0].folder()
    meta = read_json(folder / "meta.json")
    write_json(folder / "meta.json", meta | {"tokens": {"prompt": None, "completion": 9}})
    rows = [row | {"prompt_tokens": None} for row in read_jsonl(folder / "predictions.jsonl")]
    write_jsonl(folder / "predictions.jsonl", rows)
    (log,) = logs(exported(tmp_path, run)).values()
    assert log.stats.model_usage == {}
    assert log.samples
    assert {sample.output.usage for sample in log.samples} == {None}


def likelihoods(root: Path, run: Run) -> None:
    """Let each sample have been asked for the likelihood of two choices."""
    folder = root / run.pairs[0].folder()
    prompts = list(read_jsonl(folder / "prompts.jsonl"))
    write_jsonl(
        folder / "prompts.jsonl",
        (row | {"choice": n, "text": f"{row['id']} {n}"} for row in prompts for n in range(2)),
    )
    choices = [
        {"sum": -1.5, "tokens": 1, "greedy": True},
        {"sum": -math.inf, "tokens": 2, "greedy": False},
    ]
    rows = [row | {"completion": "", "logprobs": choices} for row in answered(folder)]
    write_jsonl(folder / "predictions.jsonl", rows)


def conversations(root: Path, run: Run) -> None:
    """Let each sample have had two turns."""
    folder = root / run.pairs[0].folder()
    prompts = list(read_jsonl(folder / "prompts.jsonl"))
    write_jsonl(
        folder / "prompts.jsonl",
        (row | {"turn": n, "text": f"{row['id']} {n}"} for row in prompts for n in range(2)),
    )
    turns = [{"completion": text} for text in ("so", "on")]
    rows = [row | {"completion": "on", "turns": turns} for row in answered(folder)]
    write_jsonl(folder / "predictions.jsonl", rows)


def answered(folder: Path) -> list[dict[str, Any]]:
    return list(read_jsonl(folder / "predictions.jsonl"))


@pytest.mark.parametrize(
    ("made", "responses", "spoken"),
    [
        (likelihoods, [[["-1.5", "True"]], [["-inf", "False"]]], ["HumanEval/0 0", ""]),
        (conversations, [["so"], ["on"]], ["HumanEval/0 0", "so", "HumanEval/0 1", "on"]),
    ],
)
def test_choices_and_turns_stand_one_by_one(
    tmp_path: Path, made: Callable[[Path, Run], None], responses: list[Any], spoken: list[str]
) -> None:
    run = one(tmp_path)
    made(tmp_path, run)
    folder = exported(tmp_path, run)
    first = samples(folder)[0]
    assert first["resps"] == responses
    sent = [its["arg_0"] for its in first["arguments"].values()]
    assert sent == ["HumanEval/0 0", "HumanEval/0 1"]
    (log,) = logs(folder).values()
    assert log.samples is not None
    assert [message.text for message in log.samples[0].messages] == spoken


def test_texts_of_sensitive_datasets_are_withheld(tmp_path: Path) -> None:
    run = one(tmp_path)
    run.datasets["humaneval"]["sensitive"] = True
    folder = exported(tmp_path, run)
    first = samples(folder)[0]
    assert first["target"] == first["resps"][0][0] == WITHHELD
    (log,) = logs(folder).values()
    everything = log.model_dump_json() + json.dumps(samples(folder))
    for text in ("def add_", "Sure!", "<|im_start|>"):
        assert text not in everything
    truth = metric(tmp_path, run, "medium", "humaneval")["value"]
    assert harness(folder)["results"]["humaneval"]["pass@1,none"] == truth


def test_only_what_is_finished_is_written_and_all_of_it_anew(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["tiny", "medium"], ["humaneval"], samples=5)
    folder = exported(tmp_path, run)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert len(before) == 2 * 4
    exported(tmp_path, run)
    assert {path: path.read_bytes() for path in before} == before
    (tmp_path / run.pair("tiny", "humaneval").score_folder() / "metrics.json").unlink()
    assert list(export(run, tmp_path, folder)) == [
        "left out: tiny on humaneval: it has no result yet",
        "exported: medium, humaneval",
    ]
    left = [path for path in folder.rglob("*") if path.is_file()]
    assert len(left) == 4
    assert not [path for path in left if "tiny" in str(path.relative_to(folder))]


def test_prompts_of_other_answers_are_refused(tmp_path: Path) -> None:
    run = one(tmp_path)
    path = tmp_path / run.pairs[0].folder() / "prompts.jsonl"
    write_jsonl(path, list(read_jsonl(path))[1:])
    with pytest.raises(StorageError, match="HumanEval/0, repeat 0: got a prediction without its"):
        exported(tmp_path, run)
