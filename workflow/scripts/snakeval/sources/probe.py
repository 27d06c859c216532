"""What a fetch would meet: asked of the hub without fetching anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakeval.errors import SourceError
from snakeval.registry.lock import COMMIT
from snakeval.sources import hub, models
from snakeval.sources.unavailable import Unreachable

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")


@dataclass(frozen=True)
class Probe:
    """What is known of a source before it is fetched; None is not known.

    Attributes:
        commit: that the revision stands for now.
        gated: whether its owners give it only to those who accepted a licence.
        licence: as its card says.
        missing: bytes that would be fetched.
        weights: bytes of the weight files.
        config: its config.json.
        unchecked: why access was not checked; None where it was.
    """

    commit: str | None = None
    gated: bool | None = None
    licence: str | None = None
    missing: int | None = None
    weights: int | None = None
    config: Mapping[str, Any] | None = None
    unchecked: str | None = None


class Hub:
    """Asks the hub; where it does not answer once, `gone` says why, and it is not asked again."""

    def __init__(self) -> None:
        self.gone: Unreachable | None = None

    def model(
        self, repo: str, revision: str | None, *, weights: bool, code: bool, config: bool = True
    ) -> Probe:
        """Return what fetching a model would meet.

        Args:
            repo: its repository.
            revision: commit, branch or tag; None is the default branch.
            weights: whether they would be fetched.
            code: whether Python files would be.
            config: whether it must have a config.json.

        Raises:
            SourceError: it cannot be had.
        """
        here = _cached(repo, revision, weights=weights) if config else None
        if here is not None and COMMIT.fullmatch(revision or ""):
            return here
        try:
            return self._model(repo, revision, weights=weights, code=code, config=config)
        except Unreachable as reason:
            self.gone = reason
            return here or Probe(unchecked="not checked")

    def _model(
        self, repo: str, revision: str | None, *, weights: bool, code: bool, config: bool
    ) -> Probe:
        info = self._info(repo, "model", revision)
        sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}
        chosen = models.choose(sizes, weights=weights, code=code)
        if not chosen:
            raise SourceError(
                f"hub {repo}", "no model file", "config.json and weights", "Choose another one."
            )
        largest = max(chosen, key=lambda name: sizes[name])
        hub.check_access(repo, "model", info.sha, largest)
        found = "config.json" in chosen and config
        text = hub.text(repo, "model", info.sha, "config.json") if found else "null"
        return Probe(
            commit=info.sha,
            gated=bool(info.gated),
            licence=models.licence(info),
            missing=models.still_needed(repo, info.sha, {name: sizes[name] for name in chosen}),
            weights=sum(sizes[name] for name in chosen if name.endswith(WEIGHTS)) or None,
            config=_object(text),
        )

    def dataset(self, repo: str, revision: str | None) -> Probe:
        """Return what fetching a dataset would meet; `missing` is the whole repository, of which a part is taken.

        Raises:
            Unavailable: it cannot be had.
        """
        try:
            return self._dataset(repo, revision)
        except Unreachable as reason:
            self.gone = reason
            return Probe(unchecked="not checked")

    def _dataset(self, repo: str, revision: str | None) -> Probe:
        info = self._info(repo, "dataset", revision)
        sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}
        if sizes:
            largest = max(sizes, key=lambda name: sizes[name])
            hub.check_access(repo, "dataset", info.sha, largest)
        return Probe(
            commit=info.sha,
            gated=bool(info.gated),
            licence=models.licence(info),
            missing=models.still_needed(repo, info.sha, sizes, "dataset"),
        )

    def _info(self, repo: str, kind: hub.Kind, revision: str | None) -> Any:
        if self.gone is not None:
            raise self.gone
        return hub.info(repo, kind, revision)


def has_token() -> bool:
    """Whether the hub's client has an access token, from HF_TOKEN or a login."""
    from huggingface_hub import get_token

    return get_token() is not None


def _cached(repo: str, revision: str | None, *, weights: bool) -> Probe | None:
    """Return what is here of a commit that was fetched whole; None where something is missing."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, "config.json", revision=revision)
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    try:
        models.check_folder(folder, weights=weights, tokenizer=False)
    except SourceError:
        return None
    config = _object(Path(found).read_text(encoding="utf-8"))
    return Probe(commit=folder.name, missing=0, config=config, unchecked="in the cache")


def _object(text: str) -> Mapping[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
