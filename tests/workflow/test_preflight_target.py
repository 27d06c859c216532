"""`snakemake preflight` says what a run will meet, and the report holds it against what came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import READER, HubServer
from workflow_copy import Workflow

pytestmark = pytest.mark.workflow

CONFIG = {
    **{"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "vocab_size": 512},
    **{"num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 1024},
}


def row(output: str, table: str, *cells: str) -> list[str]:
    """Return the cells of the row of a table that begins so."""
    lines = iter(output.splitlines())
    assert any(line == table for line in lines), output
    for line in lines:
        found = [cell for cell in line.strip().split("  ") if cell]
        if [cell.strip() for cell in found[: len(cells)]] == list(cells):
            return [cell.strip() for cell in found]
    raise AssertionError(f"no row {cells} under {table}:\n{output}")


def test_before_anything_is_here(workflow: Workflow) -> None:
    outcome = workflow.run("preflight")
    outcome.only(preflight=1)
    assert not outcome.engines
    made = {path.parts[1] for path in map(Path, workflow.files("results/**/*"))}
    assert made <= {"logs", "runs", ".hashes.json", ".running"}
    assert "6 pairs of 3 models and 2 datasets: 6 to be answered." in outcome.output
    assert row(outcome.output, "Pairs", "gamma", "second")[-1] == "new"
    assert row(outcome.output, "Models", "alpha")[1:4] == [
        *("path models/alpha", "by its content", "it is here"),
    ]


def test_after_a_run_and_edits_it_says_why(finished: Workflow) -> None:
    finished.models["beta"]["dtype"] = "float32"
    finished.datasets["second"]["prompt"]["chat"] = "Please solve this:\n{{ prompt }}"
    finished.datasets["first"]["scoring"] = {"memory_mb": 512}
    next(finished.folder.glob("results/pairs/gamma/first/*/meta.json")).unlink()
    outcome = finished.run("preflight")
    outcome.only(preflight=1)
    assert not outcome.engines
    output = outcome.output
    assert row(output, "Pairs", "alpha", "first")[-1] == "scoring changed: only scored, no engine"
    beta = row(output, "Pairs", "beta", "first")
    assert beta[-1] == "model changed (dtype: auto → float32)"
    assert beta[2:4] == ["3", "3"]
    prompt = "prompt changed (text: Solve this: {{ prompt }} → Please solve this: {{ p…)"
    assert row(output, "Pairs", "alpha", "second")[-1] == prompt
    gamma = row(output, "Pairs", "gamma", "first")
    assert gamma[-1] == "deleted (meta.json): comes from the journal"
    assert gamma[2:4] == ["3", "0"]
    # Each of three requests was answered by twelve tokens in the run before.
    assert beta[5].startswith("36 (")
    assert "1 earlier start on the CPU" in row(output, "Engine starts", "beta")[-1]
    before = finished.files("results/pairs/**/*")
    assert finished.files("results/pairs/**/*") == before


def test_the_forecast_is_written_down_and_shown_beside_what_came(finished: Workflow) -> None:
    path = finished.folder / "results/journal/alpha.engines.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [event["event"] for event in events] == ["forecast", "start", "end"]
    assert len({event["session"] for event in events}) == 1
    forecast = events[0]["forecast"]
    assert forecast["requests"] == 6
    assert forecast["prompt_tokens"] > 6
    assert forecast["completion_tokens"]["high"] == 6 * 64
    assert forecast["joules"] is None
    report = (finished.folder / "reports/report.md").read_text()
    assert "## Forecast against actual" in report
    lines = [line.split(" | ") for line in report.splitlines() if line.startswith("| alpha |")]
    requests = next(line for line in lines if line[2:3] == ["requests"])
    assert requests[3:7] == ["6", "–", "6", "1.00 ×"]


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def remote(workflow: Workflow, hub: HubServer, tmp_path: Path) -> Workflow:
    """A workflow whose model alpha lies on a hub that gates it, and wants a GPU."""
    files = {
        path.name: path.read_bytes() for path in (workflow.folder / "models/alpha").glob("*.json")
    }
    files |= {"config.json": json.dumps(CONFIG).encode(), "model.safetensors": bytes(5 * 10**7)}
    hub.add("model", "org/alpha", files, gated=True)
    workflow.models["alpha"] |= {
        **{"source": {"hub": "org/alpha", "revision": "main"}, "runs_on_cpu": False},
        **{"gated": True, "card": "https://example.org/alpha", "engine_arguments": {}},
    }
    workflow.selection = {"models": ["alpha"], "datasets": ["first"]}
    workflow.environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}
    return workflow


def test_a_gated_model_needs_a_token(remote: Workflow, hub: HubServer) -> None:
    outcome = remote.run("preflight", expect=1)
    assert "no access token" in outcome.output
    assert "error: model alpha: got a gated repository, and no access token" in outcome.output
    assert "the licence is accepted at https://example.org/alpha" in outcome.output
    assert row(outcome.output, "Models", "alpha")[3] == "refused"
    assert not any(request.sent > 10**6 for request in hub.requests)


def test_what_is_granted_is_measured_before_it_is_fetched(
    remote: Workflow, hub: HubServer, tmp_path: Path
) -> None:
    remote.environment["HF_TOKEN"] = READER
    outcome = remote.run("preflight")
    assert READER not in outcome.output
    alpha = row(outcome.output, "Models", "alpha")
    assert alpha[2].startswith("main, not pinned, now ")
    assert alpha[3] == "gated, granted"
    assert alpha[-1] == "0.1"
    memory = row(outcome.output, "Memory", "alpha")
    assert memory[5:7] == ["512", "1,024"]  # 2 layers, k and v, 64 numbers of 2 bytes
    assert memory[-2:] == ["yes", "the hub's config.json"]
    assert not any(request.sent > 10**6 for request in hub.requests)
    assert not list((tmp_path / "hf").rglob("*.safetensors"))
    remote.models["alpha"]["max_model_len"] = 2048
    outcome = remote.run("preflight", "--config", "gpu_memory_gb=0.3", expect=1)
    assert "error: model alpha: max_model_len: got 2048" in outcome.output
    assert "error: model alpha: memory: got" in outcome.output
    assert row(outcome.output, "Memory", "alpha")[-2] == "no"


def test_without_a_network_it_goes_on(remote: Workflow) -> None:
    remote.environment |= {"HF_ENDPOINT": "http://127.0.0.1:9"}
    outcome = remote.run("preflight")
    assert "access could not be checked: no connection to http://127.0.0.1:9" in outcome.output
    assert row(outcome.output, "Models", "alpha")[3] == "gated by its maker, not checked"
    assert row(outcome.output, "Pairs", "alpha", "first")[-1] == "new"
