"""config/lock.yaml: the commits that names on the hub stood for, so that every run takes the same.

    models:
      Qwen/Qwen3-8B-AWQ:
        main: 0123456789abcdef0123456789abcdef01234567

A source of the registry that names a branch, or nothing, is taken at the commit that stands here for it.
`snakemake lock` adds what is missing; what stands there stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from snakeval.errors import SnakevalError
from snakeval.registry import spec
from snakeval.registry.files import read_yaml
from snakeval.registry.run import Run
from snakeval.registry.schema import show

NAME = "config/lock.yaml"
COMMIT = re.compile(r"[0-9a-f]{40}")

Kind = Literal["models", "datasets"]
KINDS: tuple[Kind, ...] = ("models", "datasets")


class Reference(NamedTuple):
    """A branch or tag of a repository on the hub."""

    kind: Kind
    repo: str
    revision: str


class Lock:
    """What references stand for.

    Args:
        commits: a commit for each.
    """

    def __init__(self, commits: Mapping[Reference, str]) -> None:
        self.commits = dict(commits)

    def pinned(self, source: dict[str, Any], kind: Kind) -> dict[str, Any]:
        """Return a source at the commit that it is locked to; as it is where it is not."""
        commit = self.commits.get(reference) if (reference := _reference(source, kind)) else None
        return {**source, "revision": commit} if commit else source

    def to_yaml(self) -> dict[str, Any]:
        """Return the lock as it stands in its file."""
        found: dict[str, Any] = {}
        for (kind, repo, revision), commit in sorted(self.commits.items()):
            found.setdefault(kind, {}).setdefault(repo, {})[revision] = commit
        return found


def read(root: Path) -> Lock:
    """Return the lock of the repository's folder `root`; an empty one where there is no file.

    Raises:
        SnakevalError: the file cannot be read or is not of that form.
    """
    path = root / NAME
    if not path.exists():
        return Lock({})
    content, commits = read_yaml(path, NAME), {}
    for key in content:
        if key not in KINDS:
            raise _wrong(key, "an unknown key", " or ".join(KINDS))
    for kind in KINDS:
        for repo, revisions in _mapping(content.get(kind, {}), kind).items():
            for revision, commit in _mapping(revisions, f"{kind}.{repo}").items():
                if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
                    raise _wrong(
                        f"{kind}.{repo}.{revision}", show(commit), "a commit, 40 hexadecimal digits"
                    )
                commits[Reference(kind, repo, revision)] = commit
    return Lock(commits)


def references(run: Run) -> list[Reference]:
    """Return what a run takes from the hub without a commit, each once."""
    return list(dict.fromkeys(_references(run)))


def _references(run: Run) -> Iterator[Reference]:
    for entry in run.entries().values():
        for part in ("source", "tokenizer"):
            if found := _reference(entry[part] or {}, "models"):
                yield found
    for entry in run.datasets.values():
        tables = [entry, *spec.further_tables(entry).values()]
        for source in (source for table in tables for source in table["sources"]):
            if found := _reference(source, "datasets"):
                yield found


def _reference(source: Mapping[str, Any], kind: Kind) -> Reference | None:
    """Return what a source names on the hub, if that is no commit."""
    revision = str(source.get("revision") or "main")
    if "hub" not in source or COMMIT.fullmatch(revision):
        return None
    return Reference(kind, str(source["hub"]), revision)


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(where, show(value), "a mapping of names")
    return value


def _wrong(where: str, got: str, expected: str) -> SnakevalError:
    return SnakevalError(
        f"{NAME}: {where}", got, expected, "Correct it, or delete the file and run snakemake lock."
    )
