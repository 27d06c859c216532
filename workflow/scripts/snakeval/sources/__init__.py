"""Where datasets and models come from: a hub, an installed Python package, or a path.

| module | what it does |
|---|---|
| `datasets` | try a dataset's sources in order, normalise the rows, write the samples |
| `models` | bring a model and its tokenizer here, check the folder |
| `endpoints` | ask a server whether it holds a model |
| `hub` | access, retries and errors of the Hugging Face hub |
| `packages` | files inside installed Python distributions |
| `rows` | read JSONL, JSON, CSV, parquet and YAML files row by row |
| `images` | keep the images of rows as files |
| `gguf` | turn a GGUF file into a plain model folder |

What cannot be had ends in a status file with its reason, never in an exception: other pairs go on.
"""

import io
import os
import sys
from pathlib import Path

from snakeval.records import write_text


class _Copying(io.TextIOBase):
    """Standard error, with its messages also in a log; progress bars stay on the terminal."""

    def __init__(self, log: Path) -> None:
        self._terminal, self._log = sys.stderr, log.open("a", encoding="utf-8")

    def write(self, text: str) -> int:
        if "\r" not in text and "\x1b" not in text:
            self._log.write(text)
            self._log.flush()
        return self._terminal.write(text)

    def flush(self) -> None:
        self._terminal.flush()

    def isatty(self) -> bool:
        return self._terminal.isatty()

    def fileno(self) -> int:
        return self._terminal.fileno()


def log_messages(log: Path) -> None:
    """Copy what goes to standard error to `log`; show progress bars on a terminal only.

    Call it before a library that draws progress bars is imported.

    Raises:
        StorageError: the log cannot be written.
    """
    write_text(log, "")
    sys.stderr = _Copying(log)
    if not sys.stderr.isatty():
        for name in (
            "TQDM_DISABLE",
            "HF_HUB_DISABLE_PROGRESS_BARS",
            "HF_DATASETS_DISABLE_PROGRESS_BARS",
        ):
            os.environ.setdefault(name, "1")
