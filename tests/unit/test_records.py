"""Files appear whole or not at all, and a writer that was killed leaves nothing to the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from snakeval import records
from snakeval.errors import StorageError
from snakeval.records import replacing, write_text

SCRIPTS = Path(records.__file__).parents[1]
KILLED = """
import os, signal, sys
from pathlib import Path
from snakeval.records import replacing

with replacing(Path(sys.argv[1])) as file:
    file.write(b"half of a much longer text")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_what_a_killed_writer_left_is_gone_after_the_next(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "before")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, path],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "before"
    assert len(contents(tmp_path)) == 2
    write_text(path, "after")
    assert contents(tmp_path) == {"file": "after"}


def test_an_error_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "before")
    with pytest.raises(KeyError), replacing(path) as file:
        raise KeyError(file.write(b"half"))
    assert contents(tmp_path) == {"file": "before"}
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="A folder stands where a file is needed"):
        write_text(tmp_path / "folder", "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_writers_of_one_file_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "file"
    later = [
        threading.Thread(target=write_text, args=(path, f"{number}" * 9)) for number in range(8)
    ]
    with replacing(path) as file:
        for thread in later:
            thread.start()
        file.write(b"first")
        later[0].join(0.2)
        assert all(thread.is_alive() for thread in later)
        assert not path.exists()
    for thread in later:
        thread.join()
    [(name, text)] = contents(tmp_path).items()
    assert name == "file"
    assert text in {f"{number}" * 9 for number in range(8)}
