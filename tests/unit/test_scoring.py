"""From predictions to scores and metrics: states, counts, bounds, files, and what does not match."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from snakeval import tasks
from snakeval.errors import ConfigError, StorageError
from snakeval.records import Prediction, Sample, file_sha256, write_json, write_jsonl
from snakeval.registry import Pair, Run, schema
from snakeval.scoring import score_pair
from snakeval.statistics import wilson
from snakeval.thoughts import final_text

DATASET = {
    "task": "code_generation",
    "metric": "pass@1",
    "cluster": None,
    "scoring": {
        "time_limit": {"floor_s": 5.0, "factor": 10.0, "ceiling_s": 60.0},
        "memory_mb": 512,
    },
}
MODEL: dict[str, Any] = {
    "thinking": {"open": "<think>", "close": "</think>"},
    "prompt_style": "completion",
}
SETTINGS: dict[str, Any] = {"limit": None, "repeats": 1, "sandbox": {}}
SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "score.py"
RIGHT = "    return x + 1\n"
WRONG = "    return x\n"


def sample(name: str) -> Sample:
    row = {
        "id": name,
        "prompt": 'def f(x):\n    """Add one."""\n',
        "entry_point": "f",
        "tests": "def check(candidate):\n    assert candidate(1) == 2\n",
        "body": RIGHT,
    }
    fields = {role: role for role in row} | {"reference_body": "body"}
    del fields["body"]
    return tasks.get("code_generation").normalise(row, fields, "toy")


def prediction(name: str, completion: str = RIGHT, repeat: int = 0, **more: Any) -> Prediction:
    record: Any = {
        "id": name,
        "repeat": repeat,
        "completion": completion,
        "finish_reason": "stop",
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cut_tokens": 0,
    }
    return record | more


@pytest.mark.parametrize(
    ("completion", "answer", "is_open"),
    [
        ("x", "x", False),
        ("<think>a</think>x", "x", False),
        ("a</think>x", "x", False),
        ("<think>a</think>b</think>x", "x", False),
        ("<think>a</think>x<think>b</think>y", "y", False),
        ("<think>a", "", True),
        ("x<think>a", "x", True),
        ("<think>a</think>x<think>b", "x", True),
        ("", "", False),
    ],
)
def test_thoughts_are_no_part_of_the_answer(completion: str, answer: str, is_open: bool) -> None:
    assert final_text(completion, MODEL["thinking"]) == (answer, is_open)
    assert final_text(completion, None) == (completion, False)


STATES = [
    # completion, finish_reason, cut_tokens, state, value, class
    (RIGHT, "stop", 0, "correct", 1.0, "passed"),
    (RIGHT, "length", 7, "correct", 1.0, "passed"),
    (WRONG, "stop", 0, "wrong", 0.0, "wrong_answer"),
    (WRONG, "length", 0, "incomplete", 0.0, "wrong_answer"),
    ("    return (x +", "length", 0, "incomplete", 0.0, "syntax"),
    ("    return (x +", "stop", 0, "wrong", 0.0, "syntax"),
    ("<think>" + RIGHT, "stop", 0, "incomplete", 0.0, "syntax"),
    ("<think>hm</think>" + RIGHT, "stop", 3, "correct", 1.0, "passed"),
    ("", "error", 0, "unscored", None, "request_failed"),
    ("    import os\n    os._exit(0)\n", "stop", 0, "wrong", 0.0, "exception"),
]


def test_states_counts_and_bounds() -> None:
    samples = [sample(f"s/{n}") for n in range(len(STATES))]
    predictions = [
        prediction(f"s/{n}", text, finish_reason=reason, cut_tokens=cut)
        for n, (text, reason, cut, *_) in enumerate(STATES)
    ]
    predictions[8]["error"] = "prompt longer than the model can take"
    scored = score_pair(samples, list(reversed(predictions)), DATASET, MODEL, SETTINGS)
    assert [score["id"] for score in scored.scores] == [f"s/{n}" for n in range(len(STATES))]
    found = [(s["state"], s["value"], s["detail"]["class"]) for s in scored.scores]
    assert found == [row[3:] for row in STATES]
    assert scored.scores[8]["detail"]["message"] == "prompt longer than the model can take"
    assert scored.scores[0]["target"] == samples[0]["target"]
    pass_at_1 = scored.metrics["metrics"].pop("pass@1")
    assert (pass_at_1["value"], pass_at_1["n"]) == (pytest.approx(3 / 9), 9)
    assert pass_at_1["ci_low"] < 3 / 9 < pass_at_1["ci_high"]
    sandbox = scored.metrics.pop("sandbox")
    assert (sandbox["level"], sandbox["judged_together"]) == ("namespaces", 0)
    assert {"user", "pid", "net", "seccomp"} <= set(sandbox["layers"])
    assert scored.metrics == {
        "primary": "pass@1",
        "metrics": {},
        "states": {"correct": 3, "wrong": 3, "incomplete": 3, "unscored": 1},
        "cut_prompts": 2,
        "limit_hits": 3,
        "open_thoughts": 1,
        "failed_extractions": 3,
        "completed_only": {"value": 0.5, "n": 6},
        "bounds": {"low": 0.3, "high": 0.7},
        "scorer": {"task": "code_generation", "version": tasks.get("code_generation").version},
    }
    names = {"id", "repeat", "seconds", "limit_s", "slowest_s"}
    assert [set(row) for row in scored.timings] == [names] * len(STATES)
    assert scored.timings[8]["seconds"] is None
    assert scored.timings[0]["slowest_s"] == scored.timings[0]["seconds"] > 0


def test_a_failed_judge_is_no_wrong_answer() -> None:
    broken = sample("s/0")
    broken["metadata"]["tests"] = "def check("
    scored = score_pair([broken], [prediction("s/0")], DATASET, MODEL, SETTINGS)
    assert scored.scores[0]["state"] == "unscored"
    assert scored.scores[0]["value"] is None
    assert scored.metrics["metrics"]["pass@1"]["value"] is None
    assert scored.metrics["completed_only"] == {"value": None, "n": 0}
    assert scored.metrics["bounds"] == {"low": 0.0, "high": 1.0}


@pytest.mark.parametrize("text", ["yes <think>wait", "<think>yes", "<think>a</think>yes<think>b"])
def test_an_open_thought_is_incomplete_and_worth_nothing(text: str) -> None:
    given = prediction("a", text, finish_reason="length")
    scored = score_pair([labelled("a", "yes")], [given], LABELS, MODEL, SETTINGS)
    (score,) = scored.scores
    assert (score["state"], score["value"], score["answer"]) == ("incomplete", 0.0, None)
    counted = [scored.metrics[name] for name in ("open_thoughts", "limit_hits")]
    assert counted == [1, 1]
    closed = prediction("a", f"{text}</think>yes")
    scored = score_pair([labelled("a", "yes")], [closed], LABELS, MODEL, SETTINGS)
    assert scored.scores[0]["state"] == "correct"
    assert scored.metrics["open_thoughts"] == 0


def test_where_nothing_said_is_right_an_open_thought_is_not() -> None:
    task = tasks.get("function_calling")
    function = {"name": "f", "parameters": {"properties": {}, "required": []}}
    row = {
        "id": "live_irrelevance_0-0-0",
        "question": [[{"role": "user", "content": "Hi"}]],
        "functions": [function],
    }
    one = task.normalise(row, {role: role for role in row}, "toy")
    dataset = {"task": "function_calling", "metric": "overall", "scoring": {}, "cluster": None}
    states = [
        score_pair([one], [prediction(one["id"], text)], dataset, MODEL, SETTINGS).scores[0]
        for text in ("I cannot do that.", "<think>I cannot do that.")
    ]
    assert [(score["state"], score["value"]) for score in states] == [
        ("correct", 1.0),
        ("incomplete", 0.0),
    ]


LABELS = {"task": "classification", "metric": "macro_f1", "scoring": {}, "cluster": None}


def labelled(name: str, label: str) -> Sample:
    row = {"id": name, "text": "t", "label": label, "labels": ["yes", "no"]}
    return tasks.get("classification").normalise(row, {role: role for role in row}, "toy")


def test_what_is_left_open_is_said_of_the_primary_metric() -> None:
    said = {"a": ("yes", "yes"), "b": ("yes", "no"), "c": ("no", "no"), "d": ("no", "…")}
    samples = [labelled(name, expected) for name, (expected, _) in said.items()]
    given = [prediction(name, text) for name, (_, text) in said.items()]
    given[3]["finish_reason"] = "length"

    def macro_f1(*pairs: tuple[str, str]) -> float:
        from sklearn.metrics import f1_score

        expected, found = zip(*pairs, strict=True)
        return float(f1_score(expected, found, labels=["yes", "no"], average="macro"))

    metrics = score_pair(samples, given, LABELS, MODEL, SETTINGS).metrics
    done = [said[name] for name in "abc"]
    assert metrics["states"] == {"correct": 2, "wrong": 1, "incomplete": 1, "unscored": 0}
    assert metrics["completed_only"] == {"value": pytest.approx(macro_f1(*done)), "n": 3}
    assert metrics["bounds"] == {
        "low": pytest.approx(macro_f1(*done, ("no", "yes"))),
        "high": pytest.approx(macro_f1(*done, ("no", "no"))),
    }
    value = metrics["metrics"]["macro_f1"]["value"]
    assert metrics["bounds"]["low"] < value < metrics["bounds"]["high"]
    whole = score_pair(samples[:3], given[:3], LABELS, MODEL, SETTINGS).metrics
    same = whole["metrics"]["macro_f1"]["value"]
    assert whole["completed_only"] == {"value": same, "n": 3}
    assert whole["bounds"] == {"low": same, "high": same}


def test_repeats_give_pass_at_k() -> None:
    answers = {"a": [RIGHT, WRONG, WRONG], "b": [WRONG, WRONG, WRONG]}
    predictions = [
        prediction(name, text, repeat)
        for name, row in answers.items()
        for repeat, text in enumerate(row)
    ]
    scored = score_pair(
        [sample("a"), sample("b")], predictions, DATASET, MODEL, SETTINGS | {"repeats": 3}
    )
    metrics = scored.metrics["metrics"]
    assert list(metrics) == ["pass@1", "pass@2"]
    assert metrics["pass@1"]["value"] == pytest.approx(1 / 6)
    assert metrics["pass@2"]["value"] == pytest.approx(1 / 3)
    assert metrics["pass@1"]["n"] == 2
    assert scored.metrics["states"]["wrong"] == 5


def test_a_limit_takes_the_first_samples() -> None:
    samples = [sample(f"s/{n}") for n in range(5)]
    settings = SETTINGS | {"limit": 2}
    predictions = [prediction("s/0"), prediction("s/1")]
    assert len(score_pair(samples, predictions, DATASET, MODEL, settings).scores) == 2


@pytest.mark.parametrize(
    ("names", "repeats", "words"),
    [
        (["a"], 1, "no prediction of sample b, repeat 0"),
        (["a", "b", "c"], 1, "a prediction without a sample: c, repeat 0"),
        (["a", "b", "b"], 1, "a prediction without a sample: b, repeat 0"),
        (["a", "b"], 2, "no prediction of sample a, repeat 1 and 1 more"),
        ([], 1, "no prediction of sample a, repeat 0 and 1 more"),
    ],
)
def test_what_does_not_match_names_the_pair(names: list[str], repeats: int, words: str) -> None:
    with pytest.raises(StorageError) as caught:
        score_pair(
            [sample("a"), sample("b")],
            [prediction(name) for name in names],
            DATASET,
            MODEL,
            SETTINGS | {"repeats": repeats},
            "pair tiny/toy",
        )
    assert str(caught.value).startswith("pair tiny/toy: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_samples_of_one_name_are_refused() -> None:
    with pytest.raises(StorageError, match="two samples called a"):
        score_pair([sample("a")] * 2, [prediction("a")] * 2, DATASET, MODEL, SETTINGS)


def test_an_unknown_metric_names_the_known() -> None:
    with pytest.raises(ConfigError, match=r"'pass@10'.*pass@1"):
        score_pair(
            [sample("a")], [prediction("a")], DATASET | {"metric": "pass@10"}, MODEL, SETTINGS
        )


def test_no_samples_give_no_numbers() -> None:
    metrics = score_pair([], [], DATASET, MODEL, SETTINGS).metrics
    nothing = {"value": None, "ci_low": None, "ci_high": None, "n": 0}
    assert metrics["metrics"] == {"pass@1": nothing}
    assert metrics["bounds"] == {"low": None, "high": None}


PAIR = Pair("tiny", "toy", "0123456789ab", "ba9876543210", 0)


@pytest.fixture
def job(tmp_path: Path) -> list[str]:
    """The score job's command line over a small pair below `tmp_path`."""
    rows_of = {"sources": [{"path": "toy.jsonl"}], "fields": {"id": "id"}}
    asked = {"prompt": {"completion": "{{ prompt }}"}, "max_tokens": 64}
    dataset = schema.filled(DATASET | rows_of | asked, "dataset")
    model = schema.filled(
        MODEL | {"source": {"path": "tiny"}, "max_model_len": 128, "thinking_tokens": 32}, "model"
    )
    identity = {"source": None, "tokenizer": None, "chat_template": None}
    run = Run(
        {"tiny": model | {"identity": identity}},
        {"toy": dataset | {"source_id": "001122334455", "identity": {"samples": "toy"}}},
        (PAIR,),
        SETTINGS | {"seed": 0, "judge": None, "judge_baseline": None},
    )
    completions = [
        RIGHT,
        WRONG,
        "    raise ValueError(object(), {'a', 'b', 'c'})\n",
        "    return '\ud800'\n",
        "    return {}[x]\n",
    ]
    rows = [prediction(f"s/{n}", text) for n, text in enumerate(completions)]
    path = tmp_path / run.samples("toy")
    write_jsonl(path, [sample(row["id"]) for row in rows])
    write_json(tmp_path / run.dataset_status("toy"), {"sha256": file_sha256(path)})
    write_jsonl(tmp_path / PAIR.folder() / "predictions.jsonl", rows)
    command = [sys.executable, str(SCRIPT), "--run", str(run.save(tmp_path))]
    return [*command, "--model", "tiny", "--dataset", "toy"]


def test_the_job_writes_the_same_bytes_every_time(job: list[str], tmp_path: Path) -> None:
    folder = tmp_path / PAIR.score_folder()
    found = []
    for _ in range(2):
        done = subprocess.run(job, cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        found.append([(folder / name).read_bytes() for name in ("scores.jsonl", "metrics.json")])
    assert found[0] == found[1]
    metrics = json.loads(found[0][1])
    assert metrics["states"] == {"correct": 1, "wrong": 4, "incomplete": 0, "unscored": 0}
    assert re.fullmatch("[0-9a-f]{12}", metrics["protocol"]["id"])
    assert metrics["protocol"]["text"].startswith("Text to continue, 0-shot; answers of up to 64")
    assert metrics["protocol"]["own"] == "greedy, thinks, thought and answer in up to 96 tokens"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["metrics.json", "scores.jsonl", "timings.jsonl"]


def test_a_broken_file_is_one_line_and_leaves_nothing(job: list[str], tmp_path: Path) -> None:
    path = PAIR.folder() / "predictions.jsonl"
    text = (tmp_path / path).read_text(errors="surrogatepass", encoding="utf-8")
    (tmp_path / path).write_text(text[:100])
    done = subprocess.run(job, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {path}, line 1: got ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / PAIR.score_folder()).exists()


def test_samples_that_share_something_are_no_independent_ones() -> None:
    """The value stays, the interval is that of the clusters; a long text is known by its fingerprint."""
    passages = ["short", "a long passage " * 10]
    samples = []
    for number in range(40):
        one = labelled(f"{number // 20}/{number}", "yes")
        one["inputs"]["text"] = passages[number // 20]
        samples.append(one)
    given = [prediction(one["id"], "yes" if one["id"][0] == "0" else "no") for one in samples]
    dataset = LABELS | {"metric": "accuracy"}
    alone = score_pair(samples, given, dataset, MODEL, SETTINGS)
    assert all("cluster" not in score for score in alone.scores)
    wide = wilson(1, 2)
    for name, clusters in (("id", {"0", "1"}), ("text", None)):
        scored = score_pair(samples, given, dataset | {"cluster": name}, MODEL, SETTINGS)
        found = {score["cluster"] for score in scored.scores}
        assert len(found) == 2
        assert clusters in (None, found)
        assert max(map(len, found)) <= 60
        metric, before = (one.metrics["metrics"]["accuracy"] for one in (scored, alone))
        assert (metric["value"], metric["n"]) == (before["value"], before["n"])
        assert (metric["ci_low"], metric["ci_high"]) == pytest.approx(wide)
        assert before["ci_low"] > metric["ci_low"]
