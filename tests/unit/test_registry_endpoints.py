"""Entries that name a server: what is refused, never with a secret in the message, and what a key depends on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_endpoint import FakeEndpoint
from snakeval.plan import Plan
from snakeval.records import read_json
from snakeval.registry import Run, endpoints, lock, page, schema
from snakeval.sources import models
from unit.test_registry import DATASET, Project

SECRET = "sk-0123456789abcdef"
SERVER = {"url": "http://localhost:8000/v1", "model": "tiny"}
PLACE = "config/models.yaml: models.small"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def with_server(project: Project, *, wrong: dict[str, Any] | None = None, **endpoint: Any) -> None:
    entry = {"endpoint": SERVER | endpoint, "max_model_len": 2048} | (wrong or {})
    project.files["models"]["small"] = entry


def small(run: Run) -> dict[str, Any]:
    return run.models["small"]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a key": ({"key": SECRET}, f"{PLACE}.endpoint.key: got an unknown key"),
    "a key for the name of its variable": (
        {"key_variable": SECRET},
        f"{PLACE}.endpoint.key_variable: got a text that is not shown here; expected text of the form",
    ),
    "a password in the address": (
        {"url": f"https://me:{SECRET}@host/v1"},
        f"{PLACE}.endpoint.url: got a user or a password in it",
    ),
    "a key behind the address": (
        {"url": f"https://host/v1?key={SECRET}"},
        f"{PLACE}.endpoint.url: got something behind the path",
    ),
    "another scheme": ({"url": "ftp://host"}, f"{PLACE}.endpoint.url: got something that is no"),
    "no address": ({"url": "http://[::1"}, f"{PLACE}.endpoint.url: got something that is no"),
    "a blank": ({"url": "http://a b/v1"}, f"{PLACE}.endpoint.url: got something that is no"),
    "no model": ({"model": ""}, f"{PLACE}.endpoint.model: got nothing in it"),
    "what is sent anyway": (
        {"extra_body": {"messages": []}},
        f"{PLACE}.endpoint.extra_body.messages: got a key that is sent anyway",
    ),
    "sampling in another place": (
        {"extra_body": {"temperature": 1.0}},
        f"{PLACE}.endpoint.extra_body.temperature: got 1.0; expected null",
    ),
    "a key without encryption": (
        {"url": "http://10.0.0.5:8000/v1", "key_variable": "MY_KEY"},
        f"{PLACE}.endpoint.url: got http:// to another machine, which would show the key to everybody",
    ),
    "nobody at once": ({"concurrency": 0}, f"{PLACE}.endpoint.concurrency: got 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line_without_a_secret(project: Project, case: str) -> None:
    endpoint, expected = REFUSED[case]
    with_server(project, **endpoint)
    [line] = project.errors()
    assert line.startswith(expected)
    assert SECRET not in line


@pytest.mark.parametrize(
    "wrong",
    [
        {"gpus": 2},
        {"quantization": "awq"},
        {"dtype": "float16"},
        {"engine": "standin:StandIn"},
        {"engine_arguments": {"max_num_seqs": 1}},
        {"engine_limits": {"max_num_seqs": 1}},
        {"chat_template": "a.jinja"},
        {"tokenizer_class": "PreTrainedTokenizerFast"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_the_server_decides(project: Project, wrong: dict[str, Any]) -> None:
    with_server(project, wrong=wrong)
    [line] = project.errors()
    assert line.startswith(f"{PLACE}.{next(iter(wrong))}: got ")


def test_the_whole_entry(project: Project) -> None:
    with_server(project, url="http://localhost:8000/v1/")
    entry = small(project.load())
    assert entry["endpoint"] == SERVER | {
        "key_variable": None,
        "concurrency": 32,
        "requests_per_minute": None,
        "timeout_s": 600.0,
        "max_retries": 8,
        "token_limit": "max_tokens",
        "stop_limit": None,
        "extra_body": {},
    }
    assert (entry["gpus"], entry["engine"], entry["source"]) == (0, "endpoint", None)
    assert entry["thinking"] == {"open": "<think>", "close": "</think>"}


class TestOpenAI:
    @pytest.mark.parametrize(
        "url",
        ["https://api.openai.com/v1/", "https://API.OpenAI.com:443/v1", "https://api.openai.com"],
    )
    def test_its_key_and_its_limit_need_not_be_named(self, project: Project, url: str) -> None:
        with_server(project, url=url)
        endpoint = small(project.load())["endpoint"]
        assert (endpoint["key_variable"], endpoint["stop_limit"]) == ("OPENAI_API_KEY", 4)
        with_server(project, url=url, key_variable="MY_KEY", stop_limit=0)
        endpoint = small(project.load())["endpoint"]
        assert (endpoint["key_variable"], endpoint["stop_limit"]) == ("MY_KEY", 0)

    @pytest.mark.parametrize(
        "url",
        [
            *("http://api.openai.com/v1", "https://api.openai.com.evil.org/v1"),
            *("https://api.openai.com:8443/v1", "https://evil.org/api.openai.com"),
            *("https://openai.com/v1", "http://localhost:8000/v1"),
        ],
    )
    def test_nobody_else_gets_its_key(self, project: Project, url: str) -> None:
        with_server(project, url=url)
        endpoint = small(project.load())["endpoint"]
        assert (endpoint["key_variable"], endpoint["stop_limit"]) == (None, None)


@pytest.mark.parametrize(
    "url",
    [
        *("https://10.0.0.5/v1", "http://localhost:8000/v1", "http://127.0.0.1:8000/v1"),
        *("http://127.8.9.1/v1", "http://[::1]:8000/v1"),
    ],
)
def test_a_key_may_go_where_nobody_listens(project: Project, url: str) -> None:
    with_server(project, url=url, key_variable="MY_KEY")
    assert small(project.load())["endpoint"]["key_variable"] == "MY_KEY"


class TestKey:
    @pytest.mark.parametrize(
        ("endpoint", "changes"),
        [
            ({"url": "http://other:8000/v1"}, True),
            ({"model": "other"}, True),
            ({"extra_body": {"reasoning_effort": "low"}}, True),
            ({"url": "http://localhost:8000/v1/"}, False),
            ({"key_variable": "MY_KEY", "stop_limit": 4}, False),
            ({"concurrency": 1, "requests_per_minute": 5, "timeout_s": 1, "max_retries": 0}, False),
            ({"token_limit": "max_completion_tokens"}, False),
        ],
    )
    def test_depends_on_what_answers(
        self,
        project: Project,
        endpoint: dict[str, Any],
        changes: bool,
    ) -> None:
        with_server(project)
        before = project.load()
        with_server(project, **endpoint)
        after = project.load()
        assert (after.pairs[0].key != before.pairs[0].key) == changes
        assert (small(after)["source_id"] != small(before)["source_id"]) == changes

    @pytest.mark.parametrize(
        "more", [{"tokenizer": {"hub": "a/b"}}, {"thinking": {"open": "[", "close": "]"}}]
    )
    def test_depends_on_tokenizer_and_marks(self, project: Project, more: dict[str, Any]) -> None:
        with_server(project)
        before = project.load().pairs[0].key
        with_server(project, wrong=more)
        assert project.load().pairs[0].key != before


def test_likelihoods_are_left_out_with_the_reason(project: Project) -> None:
    with_server(project)
    project.files["datasets"]["choices"] = DATASET | {
        "task": "multiple_choice_likelihood",
        "fields": {"id": "id", "question": "q", "choices": "c", "answer": "a"},
        "prompt": {"completion": "{{ question }}"},
        "continuation": " {{ choice }}",
        "truncate": None,
        "metric": "accuracy",
    }
    run = project.load(datasets="problems,choices")
    assert [pair.dataset for pair in run.pairs] == ["problems"]
    [left] = run.left_out
    assert (
        "models.small.endpoint: got a server; expected weights, as choices asks" in left["reason"]
    )


def test_there_is_nothing_to_lock_or_to_measure(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    with_server(project)
    run = project.load()
    assert [one.repo for one in lock.references(run) if one.kind == "models"] == []
    plan = Plan(run, Path("run.json"), chosen=False, root=project.root, gpu_limit=0)
    with pytest.raises(SystemExit):
        plan.model(SimpleNamespace(model="small"))
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: benchmark: got small, which a server holds; expected weights")
    assert "exclude_models=small" in line


def test_it_needs_no_gpu_and_a_missing_key_is_told(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with_server(project, key_variable="MY_KEY")
    run = project.load()
    plan = Plan(run, Path("run.json"), chosen=False, root=project.root, gpu_limit=0)
    [line] = plan.missing_keys_of_endpoints()
    assert line.startswith(
        "model small: endpoint http://localhost:8000/v1: got nothing in the variable MY_KEY"
    )
    monkeypatch.setenv("MY_KEY", SECRET)
    assert list(plan.missing_keys_of_endpoints()) == []
    assert SECRET not in json.dumps(run.to_json())


def test_the_page_names_server_and_model(project: Project) -> None:
    with_server(project)
    project.load()
    assert "`tiny` at http://localhost:8000/v1" in page.models(project.root)


class TestFetch:
    def status(self, tmp_path: Path, url: str, **endpoint: Any) -> dict[str, Any]:
        written = {
            "endpoint": SERVER | {"url": url, "key_variable": None} | endpoint,
            "max_model_len": 99,
        }
        entry = endpoints.completed(schema.filled(written, "model"))
        models.fetch("small", entry, tmp_path / "status.json")
        status: dict[str, Any] = read_json(tmp_path / "status.json")
        return status

    def test_a_server_that_has_it(self, tmp_path: Path) -> None:
        with FakeEndpoint() as server:
            status = self.status(tmp_path, server.url, model="tiny-chat")
        assert status["status"] == "ok"
        assert (status["path"], status["tokenizer_path"], status["commit"]) == (None, None, None)

    def test_one_that_does_not_tell(self, tmp_path: Path) -> None:
        with FakeEndpoint(models=None) as server:
            assert self.status(tmp_path, server.url)["status"] == "ok"

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda server: {"model": "tiny-chad"}, "got no such model"),
            (lambda server: {"model": "tiny-chad"}, "Did you mean tiny-chat"),
            (lambda server: setattr(server, "key", SECRET) or {}, "got 401 Unauthorized"),
            (lambda server: server.stop() or {}, "got no connection to 127.0.0.1"),
        ],
    )
    def test_one_that_cannot_be_asked(
        self, tmp_path: Path, change: Callable[[FakeEndpoint], dict[str, Any]], words: str
    ) -> None:
        with FakeEndpoint() as server:
            status = self.status(tmp_path, server.url, **change(server))
        assert status["status"] == "failed"
        assert words in status["reason"]
        assert status["reason"].startswith("model small: ")
