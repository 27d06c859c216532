"""What is told of a model before it is fetched, where the hub does not answer or refuses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from snakeval.sources import hub, models
from snakeval.sources.probe import Hub, Probe
from snakeval.sources.unavailable import Unavailable, Unreachable

COMMIT = "c" * 40


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A hub that cannot be reached, and what it was asked."""
    found: list[str] = []

    def unreachable(repo: str, *_: Any) -> Any:
        found.append(repo)
        raise Unreachable("hub", "no connection", "a network", "Go where there is one.")

    monkeypatch.setattr(hub, "info", unreachable)
    return found


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The cached snapshot of a model, still empty."""
    folder = tmp_path / COMMIT
    folder.mkdir()

    def look(repo: str, name: str, **_: Any) -> str | None:
        return str(folder / name) if (folder / name).exists() else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", look)
    return folder


def model(asks: Hub, revision: str = "main") -> Probe:
    return asks.model("org/name", revision, weights=True, code=False)


def test_a_hub_that_does_not_answer_is_asked_once(asked: list[str], cache: Path) -> None:
    asks = Hub()
    assert model(asks) == model(asks) == Probe(unchecked="not checked")
    assert asks.dataset("org/rows", None) == Probe(unchecked="not checked")
    assert asked == ["org/name"]
    assert asks.gone is not None
    assert asks.gone.got == "no connection"


@pytest.mark.parametrize("breaks", ["check_access", "text"])
def test_a_connection_that_breaks_between_two_questions_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, asked: list[str], cache: Path, breaks: str
) -> None:
    """Else a moment without a network would be something that will surely fail."""
    files = [SimpleNamespace(rfilename=name, size=9) for name in ("config.json", "a.safetensors")]
    about = SimpleNamespace(sha=COMMIT, gated=False, siblings=files, card_data=None)
    unreachable = hub.info
    monkeypatch.setattr(hub, "check_access", lambda *_: None)
    monkeypatch.setattr(hub, "text", lambda *_: "{}")
    monkeypatch.setattr(hub, "info", lambda *_: about)
    assert model(Hub()).unchecked is None
    monkeypatch.setattr(hub, breaks, unreachable)
    asks = Hub()
    assert model(asks) == Probe(unchecked="not checked")
    assert asks.gone is not None
    if breaks == "check_access":
        assert Hub().dataset("org/rows", None) == Probe(unchecked="not checked")


def test_what_is_in_the_cache_needs_no_hub(asked: list[str], cache: Path) -> None:
    (cache / "config.json").write_text('{"a": 1}')
    (cache / "model.safetensors").write_bytes(b"weights")
    found = model(Hub(), COMMIT)
    assert (found.commit, found.missing, found.config) == (COMMIT, 0, {"a": 1})
    assert found.unchecked == "in the cache"
    assert asked == []
    assert model(Hub(), "main") == found  # a branch may have moved on: the hub is asked first
    assert asked == ["org/name"]


def test_half_a_model_in_the_cache_is_not_enough(asked: list[str], cache: Path) -> None:
    (cache / "config.json").write_text("{}")
    assert model(Hub(), COMMIT) == Probe(unchecked="not checked")


def test_a_refusal_is_told(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def refused(*_: Any) -> Any:
        raise Unavailable("hub", "a gated repository", "a token", "Get one.")

    monkeypatch.setattr(hub, "info", refused)
    with pytest.raises(Unavailable, match="a gated repository"):
        model(Hub())


def test_only_what_is_not_in_the_cache_is_still_needed(cache: Path) -> None:
    (cache / "a").write_bytes(b"1")
    assert models.still_needed("org/name", COMMIT, {"a": 10, "b": 5}) == 5
