"""Drop pairs: their predictions and scores under every key, and their answers in the journal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from snakeval.errors import StorageError
from snakeval.journal import ModelLock, journal_path
from snakeval.registry import Run


def drop(run: Run, root: Path) -> Iterator[str]:
    """Delete what belongs to the run's pairs; yield a line for each thing that is gone.

    Results under other settings (another `limit`, say) go too: they rest on the same journal.

    Args:
        run: the run whose pairs are meant.
        root: the working directory.

    Raises:
        StorageError: something cannot be deleted.
    """
    for model in run.models:
        with ModelLock(model):
            for pair in run.pairs:
                if pair.model != model:
                    continue
                found = False
                for path in (root / pair.folder().parent, root / journal_path(model, pair.dataset)):
                    if path.exists():
                        _delete(path)
                        found = True
                        yield f"dropped {path}"
                if not found:
                    yield f"nothing to drop of {pair.model} on {pair.dataset}"


def _delete(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error
