"""`snakemake lock` asks the hub once which commits the chosen sources are at; later runs take these."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hub_server import HubServer
from workflow_copy import Workflow

pytestmark = pytest.mark.workflow


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def remote(workflow: Workflow, hub: HubServer, tmp_path: Path) -> Workflow:
    """A workflow whose model alpha and dataset first come from a hub."""
    workflow.models["alpha"]["source"] = {"hub": "org/alpha", "revision": "main"}
    workflow.datasets["first"]["sources"] = [{"hub": "org/first", "split": "test"}]
    workflow.selection = {"models": ["alpha"], "datasets": ["first"]}
    workflow.environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}
    return workflow


def test_what_a_branch_stands_for_is_written_down_and_obeyed(
    remote: Workflow, hub: HubServer
) -> None:
    model = hub.add("model", "org/alpha", {"config.json": b"{}"})
    rows = hub.add("dataset", "org/first", {"data/test.jsonl": b"{}\n"})
    outcome = remote.run("lock")
    outcome.only(lock=1)
    lock = remote.folder / "config" / "lock.yaml"
    content = yaml.safe_load(lock.read_text())
    assert content == {
        "models": {"org/alpha": {"main": model.commit}},
        "datasets": {"org/first": {"main": rows.commit}},
    }
    assert f"org/alpha at main: {model.commit}" in outcome.output
    # The branch moves on; the lock does not, and asks nobody.
    before = copy.copy(lock.read_text())
    hub.add("model", "org/alpha", {"config.json": b"{} "})
    hub.requests.clear()
    assert "nothing to lock" in remote.run("lock").output
    assert lock.read_text() == before
    assert not hub.requests
    plan = remote.run("-n").output
    assert "rule fetch_model" in plan
    (saved,) = sorted(
        remote.folder.glob("results/runs/*.json"), key=lambda path: -path.stat().st_mtime
    )[:1]
    assert model.commit in saved.read_text()


def test_what_cannot_be_resolved_is_named_and_the_rest_is_kept(
    remote: Workflow, hub: HubServer
) -> None:
    rows = hub.add("dataset", "org/first", {"data/test.jsonl": b"{}\n"})
    outcome = remote.run("lock", expect=1)
    assert "org/alpha" in outcome.output
    assert "not found" in outcome.output
    content = yaml.safe_load((remote.folder / "config" / "lock.yaml").read_text())
    assert content == {"datasets": {"org/first": {"main": rows.commit}}}
