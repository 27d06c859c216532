"""`snakemake oracle` over every dataset of the registry that has real rows: the shipped registry, real Snakemake."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
LIBRARIES = ROOT / ".libraries"
ENTRIES = yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text("utf-8"))
# Their answers are judged by test_bigcodebench.py, with the libraries that there are.
BIGCODEBENCH = {"bigcodebench", "bigcodebench_hard"}
ROWS = 60  # of each dataset; test_real_rows.py judges all programs that read input or are given arguments
OURS = ("advanced_coding_sample", "advanced_coding_extended")


@pytest.mark.timeout(1800)
def test_reference_answers_are_right_and_wrong_ones_are_not(tmp_path: Path) -> None:
    if not DATA.exists():
        pytest.skip("shared/data is not there")
    names = [name for name in ENTRIES if (DATA / f"{name}.jsonl").exists()]
    names = [name for name in [*names, *OURS] if name not in BIGCODEBENCH]
    for part in ("workflow", "profiles", "config", "envs", "Snakefile"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    command = [sys.executable, "-m", "snakemake", "oracle", "--cores", "2", "--config"]
    done = subprocess.run(
        [*command, f"datasets={','.join(names)}", f"data_dir={DATA}", f"limit={ROWS}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    records = {
        name: json.loads((tmp_path / "results" / "oracle" / f"{name}.json").read_text("utf-8"))
        for name in names
    }
    for name, record in records.items():
        assert record["passed"], name
        if ENTRIES[name]["task"] == "judged_conversation":  # a judge's word cannot be made up
            assert record["perturbed"] is None
        else:
            assert record["perturbed"] <= record["chance"], name
        assert record["idle"] == [], name
        if record["gold"] is None:
            assert record["reason"], name
        else:
            # Exceptions are of the whole dataset; here is a part of its rows.
            rows = (DATA / f"{name}.jsonl").read_text("utf-8") if record["exceptions"] else ""
            held = sum(
                bool(re.search(rf'[:,] ?"?{re.escape(which)}"?[,}}]', rows))
                for which in record["exceptions"]
            )
            assert record["gold"] >= 1 - (held + record["unscored"]) / record["n"], name
