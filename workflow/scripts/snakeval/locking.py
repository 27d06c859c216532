"""Ask the hub which commits a run's branches stand for, and write them to the lock file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import yaml

from snakeval.errors import ConfigError, SnakevalError
from snakeval.records import write_text
from snakeval.registry import Run, lock
from snakeval.sources import hub

HEADER = """\
# The commits that names on the hub stood for; written by `snakemake lock`, last on {day}.
# Each run takes these. Delete a line, or the file, and run `snakemake lock` to take the newest.
"""


def resolve(run: Run, root: Path) -> Iterator[str]:
    """Add to the lock what a run takes from the hub without a commit; yield a line for each.

    What can be resolved is written, also where something else cannot.

    Args:
        run: the resolved run.
        root: the repository's folder.

    Raises:
        ConfigError: what cannot be resolved, a line each.
        StorageError: the file cannot be written.
    """
    held = lock.read(root)
    errors: list[SnakevalError] = []
    wanted = lock.references(run)
    for reference in wanted:
        kind, repo, revision = reference
        try:
            found = hub.info(repo, "model" if kind == "models" else "dataset", revision)
        except SnakevalError as error:
            errors.append(error)
            continue
        held.commits[reference] = str(found.sha)
        yield f"{repo} at {revision}: {found.sha}"
    if len(errors) < len(wanted):
        text = yaml.safe_dump(held.to_yaml(), sort_keys=False, width=200)
        write_text(root / lock.NAME, HEADER.format(day=f"{datetime.now(UTC):%Y-%m-%d}") + text)
    if errors:
        raise ConfigError(errors)
    if not wanted:
        yield "nothing to lock: every source of the chosen models and datasets is at a commit, or none of the hub's"
