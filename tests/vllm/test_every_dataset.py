"""Every dataset of the registry that has real rows, through the whole workflow with the real vLLM on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from test_real_vllm import MODEL, records, vllm_version, with_model
from workflow_copy import ROOT

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(vllm_version() is None, reason="the CPU build of vLLM is not installed"),
]


def test_every_dataset_goes_through_the_whole_workflow(tmp_path: Path) -> None:
    """A real row of each dataset: one engine start, every answer judged, all of it in the report."""
    data = ROOT.parent / "shared" / "data"
    if not data.exists():
        pytest.skip("shared/data is not there")
    entries = yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text("utf-8"))
    names = [name for name in entries if (data / f"{name}.jsonl").exists()]
    workflow = with_model(tmp_path)
    # Long answers would take hours here; what is judged is cut off more often.
    short = {name: {"max_tokens": min(24, entries[name]["max_tokens"])} for name in names}
    outcome = workflow.run(
        *workflow.override({"run": {"models": [MODEL], "datasets": names}, "datasets": short}),
        *("--config", f"data_dir={data}", "limit=1"),
        *(f"judge={MODEL}", "judge_max_tokens=16"),
        within_s=1700,
    )
    judged = [name for name in names if entries[name]["task"] == "judged_conversation"]
    outcome.jobs.pop("fetch_model", None)
    outcome.only(
        fetch_dataset=len(names),
        generate=1,
        predictions=len(names),
        judge=1,
        verdicts=len(judged),
        score=len(names),
    )
    assert len(workflow.starts()) == 2  # one to answer everything, one to judge conversations
    tokens = sum(end["completion_tokens"] for end in workflow.starts("end"))
    assert tokens < 40 * len(names)  # they were short
    report = (workflow.folder / "reports" / "report.md").read_text("utf-8")
    for name in names:
        (path,) = workflow.folder.glob(f"results/pairs/{MODEL}/{name}/*/score-*/metrics.json")
        metrics = json.loads(path.read_text("utf-8"))
        assert sum(metrics["states"].values()) == 1, name
        assert metrics["primary"] in metrics["metrics"], name
        failed = [s for s in records(path.with_name("scores.jsonl")) if s["state"] == "unscored"]
        if name.startswith("bigcodebench"):  # its libraries are not installed here
            failed = [s for s in failed if "libraries" not in s["detail"].get("message", "")]
        if name in judged:  # so small a model rarely gives a grade
            (verdicts,) = path.parents[1].glob("judge-*/verdicts.jsonl")
            assert [record["turn"] for record in records(verdicts)] == [0, 1]
            assert all(record["completion"] for record in records(verdicts))
            failed = [s for s in failed if s["detail"]["class"] != "no_grade"]
        assert failed == [], name
        assert (entries[name].get("title") or name) in report
