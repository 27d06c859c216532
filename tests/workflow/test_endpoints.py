"""A server as a model: the same workflow, one start, nothing asked twice, the key nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import FakeEndpoint
from workflow_copy import Workflow, row

pytestmark = pytest.mark.workflow

KEY = "sk-0123456789abcdef"


def served(server: FakeEndpoint, **endpoint: Any) -> dict[str, Any]:
    given = {"url": server.url, "model": "tiny-chat", "key_variable": "MY_KEY", "max_retries": 0}
    return {"endpoint": given | endpoint, "max_model_len": 1024}


@pytest.fixture
def server() -> Iterator[FakeEndpoint]:
    with FakeEndpoint(key=KEY) as server:
        yield server


@pytest.fixture
def remote(workflow: Workflow, server: FakeEndpoint) -> Workflow:
    """One model behind a server, on two datasets of three problems each."""
    workflow.models = {"remote": served(server)}
    workflow.environment["MY_KEY"] = KEY
    return workflow


def records(workflow: Workflow, pattern: str) -> list[dict[str, Any]]:
    (path,) = workflow.folder.glob(pattern)
    return [json.loads(line) for line in path.read_text().splitlines()]


def failures(workflow: Workflow) -> dict[tuple[str, str], str]:
    found = json.loads((workflow.folder / "results/summary/failures.json").read_text())
    return {(one["model"], one["dataset"]): one["reason"] for one in found}


def starts(workflow: Workflow) -> list[dict[str, Any]]:
    lines = records(workflow, "results/journal/remote.engines.jsonl")
    return [line for line in lines if line["event"] == "start"]


def test_it_is_answered_scored_and_reported_like_any_other(
    remote: Workflow, server: FakeEndpoint
) -> None:
    outcome = remote.run()
    outcome.only(fetch_model=1, fetch_dataset=2, generate=1, predictions=2, score=2)
    assert len(server.asked) == 6
    assert len(server.probes) == len(starts(remote)) == 1
    rows = [row(1, "SOLVE:def f(x):;return x"), row(2), row(3)]
    rows += [row(number, column="g") for number in (1, 2, 3)]
    expected = [[{"role": "user", "content": f"Solve this:\n{one['prompt']}"}] for one in rows]
    assert sorted((asked["messages"] for asked in server.asked), key=str) == sorted(
        expected, key=str
    )
    first = records(remote, "results/pairs/remote/first/*/score-*/scores.jsonl")
    assert [score["state"] for score in first] == ["correct", "wrong", "wrong"]
    for prediction in records(remote, "results/pairs/remote/first/*/predictions.jsonl"):
        assert (prediction["prompt_tokens"], prediction["completion_tokens"]) == (21, 12)
    for prompt in records(remote, "results/pairs/remote/first/*/prompts.jsonl"):
        assert prompt["text"].startswith("[user]\nSolve this:\n")
        assert prompt["token_ids"] == []
    for timing in records(remote, "results/pairs/remote/first/*/timings.jsonl"):
        assert 0 < timing["ttft_s"] <= timing["latency_s"]
    (path,) = remote.folder.glob("results/pairs/remote/first/*/meta.json")
    meta = json.loads(path.read_text())
    assert (meta["device"], meta["gpu"], meta["model_commit"]) == ("endpoint", None, None)
    assert meta["engine_starts"][0]["server"] == {
        "model": "tiny-chat",
        "system_fingerprint": "fp_1",
    }
    report = (remote.folder / "reports/index.html").read_text()
    assert "<dt>GPU</dt><dd>endpoint</dd>" in report
    assert "Answered by an endpoint" in report
    assert "Run without a GPU" not in report
    written = [path for path in remote.folder.rglob("*") if path.is_file()]
    assert not [path for path in written if KEY.encode() in path.read_bytes()]
    assert KEY not in outcome.output

    again = remote.run()
    assert not again.jobs
    assert len(server.asked) == 6


def test_a_server_that_goes_in_the_middle_is_asked_only_the_rest(
    remote: Workflow, server: FakeEndpoint
) -> None:
    server.left = 4
    remote.models["remote"]["endpoint"]["concurrency"] = 1
    outcome = remote.run(expect=1)
    reason = failures(remote)["remote", "second"]
    assert server.url in reason
    assert "run the same command again" in reason
    assert "Traceback" not in outcome.output
    before = server.answered[1:]  # behind the probe's
    assert len(before) == 4
    with FakeEndpoint(key=KEY, port=server.port) as back:
        remote.run().only(generate=1, predictions=1, score=1)
        assert len(back.answered[1:]) == 2
        assert not set(back.answered[1:]) & set(before)
    assert failures(remote) == {}


def test_troubles_stay_where_they_are(remote: Workflow, server: FakeEndpoint) -> None:
    """One request is refused, one cannot be answered today, a model has no key, another no such name."""
    server.delay_s = 0.2
    remote.rows("first", [row(1), row(2, "STATUS:400"), row(3)])
    remote.rows("second", [row(4), row(5, "STATUS:500", column="g"), row(6), row(7), row(8)])
    remote.models["keyless"] = served(server, key_variable="NO_SUCH_KEY")
    remote.models["unknown"] = served(server, model="tiny-cat")
    remote.models["remote"]["endpoint"] |= {"concurrency": 2, "max_retries": 1}
    outcome = remote.run(expect=1)
    assert "warning: model keyless: endpoint" in outcome.output
    told = failures(remote)
    assert "nothing in the variable NO_SUCH_KEY" in told["keyless", "first"]
    assert "Did you mean tiny-chat" in told["unknown", "first"]
    assert ("remote", "first") not in told
    assert told["remote", "second"].startswith("1 request not answered; the first: 500 Internal")
    first = records(remote, "results/pairs/remote/first/*/predictions.jsonl")
    assert ["error" in prediction for prediction in first] == [False, True, False]
    journal = records(remote, "results/journal/remote/second.jsonl")
    assert len(journal) == 4
    assert not any("error" in record for record in journal)
    asked = len(server.asked)
    remote.models = {"remote": remote.models["remote"]}
    remote.run(expect=1)
    assert len(server.asked) == asked + 2  # the one that stayed open, twice


def test_it_judges_conversations(remote: Workflow, server: FakeEndpoint) -> None:
    remote.datasets = {
        "talks": {
            "task": "judged_conversation",
            "sources": [{"path": "config/talks.jsonl"}],
            "fields": {"id": "id", "turns": "turns", "category": "category"},
            "prompt": {"chat": "{{ turn }}"},
            "turns": "turns",
            "max_tokens": 64,
            "metric": "judge_score",
        }
    }
    turns = ["Say something.", "Say it again."]
    remote.rows("talks", [{"id": 1, "category": "writing", "turns": turns}])
    remote.models["remote"]["max_model_len"] = 8192
    remote.run("--config", "judge=remote")
    (path,) = remote.folder.glob("results/pairs/remote/talks/*/score-*/metrics.json")
    assert json.loads(path.read_text())["metrics"]["judge_score"]["value"] == 0.8
    second = server.asked[1]["messages"]
    assert [one["role"] for one in second] == ["user", "assistant", "user"]
    judged = server.asked[2]["messages"]
    assert [one["role"] for one in judged] == ["system", "user"]
    (path,) = remote.folder.glob("results/pairs/remote/talks/*/judge-*/meta.json")
    assert json.loads(Path(path).read_text())["tokens"]["prompt"] == 2 * 21


def test_its_speed_is_refused_before_anything_runs(remote: Workflow, server: FakeEndpoint) -> None:
    outcome = remote.run("benchmark", expect=2)
    assert not outcome.jobs
    assert "error: benchmark: got remote, which a server holds" in outcome.output
    assert server.paths == set()
