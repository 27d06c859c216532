"""A dataset's samples, as they were fetched and not otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from snakeval.errors import StorageError
from snakeval.records import Sample, file_sha256, read_json, read_jsonl
from snakeval.registry import Run


def read_samples(run: Run, dataset: str) -> Iterator[Sample]:
    """Yield a dataset's samples in their order.

    Raises:
        StorageError: the file cannot be read, or holds something else than was fetched.
    """
    path = run.samples(dataset)
    fetched = read_json(run.dataset_status(dataset))["sha256"]
    if (found := file_sha256(path)) != fetched:
        raise StorageError(
            str(path),
            f"content with sha256 {found}",
            f"{fetched}, as it was fetched",
            "Delete the file and run the same command again: it is fetched anew.",
        )
    yield from read_jsonl(path)
