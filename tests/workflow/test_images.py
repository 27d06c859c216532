"""Questions about pages as images through real Snakemake: who is asked, what runs again, and what is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from page_images import page, prepare_tokenizer
from workflow_copy import ROOT, Workflow, model

pytestmark = pytest.mark.workflow

OWN = ("--config", "data_dir=rows")
QUESTIONS = [("1", "red"), ("2", "red"), ("3", "blue")]


def entry() -> dict[str, Any]:
    registry = yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text("utf-8"))
    return {**registry["docvqa_images"], "max_tokens": 64}


@pytest.fixture
def pages(workflow: Workflow) -> Workflow:
    """A model that takes images and one that does not, and three questions about two pages."""
    workflow.models = {name: model(workflow.folder, name) for name in ("eyes", "blind")}
    workflow.models["eyes"]["images"] = True
    prepare_tokenizer(workflow.folder / "models" / "eyes")
    workflow.datasets = {"docvqa_images": entry(), "first": workflow.datasets["first"]}
    folder = workflow.folder / "rows" / "docvqa_images"
    folder.mkdir(parents=True)
    rows = []
    for number, colour in QUESTIONS:
        (folder / f"{colour}.png").write_bytes(page(colour))
        image = f"docvqa_images/{colour}.png"
        rows.append(
            {"questionId": number, "question": "What?", "image": image, "answers": [colour]}
        )
    (folder.parent / "docvqa_images.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return workflow


def prompts(workflow: Workflow) -> dict[str, Any]:
    """Return the newest pair's prompts by sample."""
    found = sorted(
        workflow.folder.glob("results/pairs/eyes/docvqa_images/*/prompts.jsonl"),
        key=lambda path: path.stat().st_mtime,
    )
    return {line["id"]: line for line in map(json.loads, found[-1].read_text().splitlines())}


def test_pages_are_shown_to_models_that_take_images(pages: Workflow) -> None:
    outcome = pages.run(*OWN)
    outcome.only(fetch_model=2, fetch_dataset=2, generate=2, predictions=3, score=3)
    assert len(outcome.answered) == 3 + 3 + 3
    left_out = [line for line in outcome.output.splitlines() if line.startswith("left out: ")]
    assert [line.partition(": config")[0] for line in left_out] == [
        "left out: blind on docvqa_images"
    ]
    shown = prompts(pages)
    assert {name: (pages.folder / line["image"]).read_bytes() for name, line in shown.items()} == {
        number: page(colour) for number, colour in QUESTIONS
    }
    assert all(line["text"].count("<image>") == 1 for line in shown.values())
    assert shown["3"]["image"] in (pages.folder / "reports" / "index.html").read_text()
    examples = (pages.folder / "reports" / "report.md").read_text()
    assert f"Image: `{shown['1']['image']}`\n" in examples

    # Another page under the same name: its questions are asked anew, and no others.
    (pages.folder / "rows" / "docvqa_images" / "blue.png").write_bytes(page("green"))
    outcome = pages.run(*OWN)
    outcome.only(fetch_dataset=1, generate=1, predictions=1, score=1)
    assert len(outcome.answered) == 1
    assert (pages.folder / prompts(pages)["3"]["image"]).read_bytes() == page("green")
    assert not pages.run(*OWN).jobs

    # Kept images that are lost are named with what brings them back.
    kept = pages.folder / "results" / "datasets" / "docvqa_images"
    shutil.rmtree(kept / "images")
    shutil.rmtree(pages.folder / "results" / "pairs" / "eyes" / "docvqa_images")
    outcome = pages.run(*OWN, expect=1)
    gone = Path(shown["1"]["image"]).name
    assert f"{gone} is gone. Delete results/datasets/docvqa_images and run" in outcome.output
    shutil.rmtree(kept)
    outcome = pages.run(*OWN)
    assert outcome.jobs["fetch_dataset"] == 1
    assert not outcome.answered  # the journal has them


def test_the_oracle_knows_the_pages(pages: Workflow) -> None:
    pages.run("oracle", "--config", "datasets=docvqa_images", "data_dir=rows", "models=eyes")
    [found] = pages.folder.glob("results/oracle/docvqa_images/*.json")
    verdict = json.loads(found.read_text())
    assert (verdict["gold"], verdict["perturbed"], verdict["n"]) == (1, 0, 3)


def test_a_broken_page_fails_its_pair_alone(pages: Workflow) -> None:
    (pages.folder / "rows" / "docvqa_images" / "blue.png").write_bytes(page("blue")[:70])
    outcome = pages.run(*OWN, expect=1)
    assert "rows/docvqa_images.jsonl, line 3, field image: got a broken image" in outcome.output
    failures = json.loads((pages.folder / "results/summary/failures.json").read_text())
    assert [(one["model"], one["dataset"]) for one in failures] == [("eyes", "docvqa_images")]
    assert len(list(pages.folder.glob("results/pairs/*/first/*/predictions.jsonl"))) == 2
