"""Who is at work in a folder, and what a killed run leaves behind."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from snakeval import at_work
from snakeval.errors import StorageError
from snakeval.records import fingerprint, write_json, write_text


class TestLeftOvers:
    def fetched(self, root: Path, kind: str, status: object) -> Path:
        path = root / "results" / kind / "x" / f"{fingerprint([kind, str(status)])}.json"
        write_json(path, status)
        return path

    def test_failed_fetches_go_and_good_ones_stay(self, tmp_path: Path) -> None:
        model = tmp_path / "weights"
        model.mkdir()
        good = [
            self.fetched(tmp_path, "datasets", {"status": "ok"}),
            self.fetched(tmp_path, "models", {"status": "ok", "path": str(model)}),
        ]
        bad = [
            self.fetched(tmp_path, "datasets", {"status": "failed"}),
            self.fetched(tmp_path, "models", {"status": "failed", "path": None}),
            self.fetched(tmp_path, "models", {"status": "ok", "path": str(tmp_path / "gone")}),
            self.fetched(tmp_path, "models", {}),
        ]
        samples = bad[0].with_suffix(".jsonl")
        write_text(samples, "")
        other = tmp_path / "results/models/x/config.json"  # a file of a converted model
        write_json(other, {})
        at_work.clear_left_overs(tmp_path)
        assert [path.exists() for path in good] == [True, True]
        assert [path.exists() for path in (*bad, samples)] == [False] * 5
        assert other.exists()

    def test_engine_stamps_go(self, tmp_path: Path) -> None:
        write_json(tmp_path / "results/engines/m0/0.json", {})
        at_work.clear_left_overs(tmp_path)
        assert not (tmp_path / "results/engines").exists()

    def test_the_first_process_cleans_up_and_the_second_does_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(at_work, "_held", held := list[int]())
        stamp = tmp_path / "results/engines/m0/0.json"
        write_json(stamp, {})
        at_work.hold(tmp_path)
        assert not stamp.exists()
        write_json(stamp, {})
        program = (
            "import sys; from pathlib import Path; from snakeval import at_work; "
            "at_work.hold(Path(sys.argv[1]))"
        )
        scripts = Path(at_work.__file__).parents[1]
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            check=True,
            timeout=60,
            env=os.environ | {"PYTHONPATH": str(scripts)},
        )
        assert stamp.exists()
        with (tmp_path / at_work.RUNNING).open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for descriptor in held:
            os.close(descriptor)

    def test_results_that_cannot_be_written(self, tmp_path: Path) -> None:
        write_text(tmp_path / "results", "a file in the way")
        with pytest.raises(
            StorageError, match=r"results/.running: got File exists; expected a file"
        ):
            at_work.hold(tmp_path)
