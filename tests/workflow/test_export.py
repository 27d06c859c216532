"""`snakemake export` writes what is finished, makes no pairs, and is read by the tools it is for."""

from __future__ import annotations

import json

import pytest
from huggingface_hub import ModelCard
from inspect_ai.log import list_eval_logs, read_eval_log
from lm_eval.utils import make_table
from workflow_copy import Workflow

pytestmark = pytest.mark.workflow


def test_what_is_finished_is_exported_without_asking_again(finished: Workflow) -> None:
    (gone,) = finished.folder.glob("results/pairs/gamma/second/*/score-*/metrics.json")
    gone.unlink()
    outcome = finished.run("export")
    outcome.only(export=1)
    assert outcome.engines == []
    assert "left out: gamma on second: it has no result yet" in outcome.output
    export = finished.folder / "reports" / "export"
    logs = [read_eval_log(info) for info in list_eval_logs(str(export / "inspect"))]
    assert len(logs) == 5
    for log in logs:
        model = log.eval.model.rpartition("/")[2]
        (path,) = finished.folder.glob(
            f"results/pairs/{model}/{log.eval.task}/*/score-*/metrics.json"
        )
        truth = json.loads(path.read_text())["metrics"]["pass@1"]["value"]
        assert log.results is not None
        assert log.results.scores[0].metrics["pass@1"].value == truth
        (path,) = (export / "lm_eval" / model).glob("results_*.json")
        results = json.loads(path.read_text())
        assert results["results"][log.eval.task]["pass@1,none"] == truth
        assert f"|{log.eval.task}" in make_table(results)
        card = ModelCard.load(export / "model_cards" / f"{model}.md").data
        found = {result.dataset_name: result.metric_value for result in card.eval_results or []}
        assert found[log.eval.task] == truth
