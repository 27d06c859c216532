"""Drop pairs: their predictions and scores under every key, and their answers in the journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from snakeval.journal import PairLocks, journal_path, verdicts_path
from snakeval.records import delete
from snakeval.registry import Run


def drop(run: Run, root: Path) -> Iterator[str]:
    """Delete what belongs to the run's pairs; yield a line for each thing that is gone.

    Results under other settings (another `limit`, say) go too: they rest on the same journal. Of verdicts
    those by the run's judge go.

    Args:
        run: the run whose pairs are meant.
        root: the working directory.

    Raises:
        StorageError: something cannot be deleted.
    """
    for pair in run.pairs:
        journals = [
            journal_path(pair.model, pair.dataset),
            *(verdicts_path(judge, pair.model, pair.dataset) for judge in run.judges),
        ]
        found = False
        with PairLocks(pair.model, journals):
            for path in (pair.folder().parent, *journals):
                if (root / path).exists():
                    delete(root / path)
                    found = True
                    yield f"dropped {root / path}"
        if not found:
            yield f"nothing to drop of {pair.model} on {pair.dataset}"
