"""Where datasets and models come from: a hub, an installed Python package, or a path.

| module | what it does |
|---|---|
| `datasets` | try a dataset's sources in order, normalise the rows, write the samples |
| `models` | bring a model and its tokenizer here, check the folder |
| `hub` | access, retries and errors of the Hugging Face hub |
| `packages` | files inside installed Python distributions |
| `rows` | read JSONL, JSON, CSV, parquet and YAML files row by row |
| `gguf` | turn a GGUF file into a plain model folder |

What cannot be had ends in a status file with its reason, never in an exception: other pairs go on.
"""

import os
import sys


def quiet_in_logs() -> None:
    """Show progress bars on a terminal only. Call it before a library that draws some is imported."""
    if not sys.stderr.isatty():
        for name in (
            "TQDM_DISABLE",
            "HF_HUB_DISABLE_PROGRESS_BARS",
            "HF_DATASETS_DISABLE_PROGRESS_BARS",
        ):
            os.environ.setdefault(name, "1")
