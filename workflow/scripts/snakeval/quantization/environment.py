"""Install llm-compressor, and what it wants in another version than vLLM, into a folder of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from snakeval.errors import SourceError, StorageError, one_line
from snakeval.records import file_sha256, write_text
from snakeval.registry.quantized import PINS

FOLDER = Path(".quantizer")


def marker() -> Path:
    """Return the file that says that the pinned packages are there, below the working directory."""
    return FOLDER / f"installed-{file_sha256(PINS)[:12]}"


def install() -> None:
    """Install the pinned packages anew, for this interpreter.

    Raises:
        SourceError: pip cannot have them.
        StorageError: the folder cannot be written.
    """
    try:
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError.from_os_error(error, FOLDER) from error
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--no-deps", "--target", str(FOLDER), "--requirement", str(PINS)],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        raise SourceError(
            "quantizer",
            one_line(said[-1].removeprefix("ERROR:"))[:200]
            if said
            else "an end of pip without a word",
            "the packages of envs/quantize.txt",
            "Run make quantizer where pip reaches a package index, then the same command again.",
        )
    write_text(marker(), "")
