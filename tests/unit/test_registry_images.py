"""Datasets that show images: which models are asked, and what a pair's key depends on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from page_images import page
from unit.test_registry import DATASET, MODELS, Project, names

PAGES = DATASET | {
    "task": "document_images",
    "sources": [{"hub": "org/pages", "split": "test"}],
    "fields": {"id": "id", "question": "question", "image": "page", "answers": "answers"},
    "prompt": {"chat": "{{ question }}"},
    "truncate": None,
    "metric": "anls",
}
EYES = MODELS["large"] | {"images": True}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.files["models"]["eyes"] = dict(EYES)
    project.files["datasets"]["pages"] = dict(PAGES)
    return project


def chosen(project: Project, **given: Any) -> Any:
    return project.load(models="small,eyes,base", datasets="problems,pages", **given)


def test_a_model_without_images_is_left_out(project: Project) -> None:
    run = chosen(project)
    assert ("eyes", "pages") in names(run)
    assert {dataset for model, dataset in names(run) if model != "eyes"} == {"problems"}
    assert [(one["model"], one["dataset"]) for one in run.left_out] == [
        ("small", "pages"),
        ("base", "pages"),
    ]
    assert run.left_out[0]["reason"] == (
        "config/models.yaml: models.small.images: got false; expected true, as pages shows images. "
        "Set it if the model takes images, or exclude the model or the dataset."
    )


def test_whether_a_model_takes_images_is_in_no_key(project: Project) -> None:
    before = chosen(project).key("small", "problems")
    project.files["models"]["small"]["images"] = True
    assert chosen(project).key("small", "problems") == before


@pytest.mark.parametrize(
    ("kind", "changes", "error"),
    [
        (
            "models",
            {"prompt_style": "completion"},
            "config/models.yaml: models.eyes.images: got true; expected false, as the model has "
            "prompt_style: completion. Remove it, or set prompt_style: chat: its chat template places "
            "the image.",
        ),
        (
            "models",
            {"engine_arguments": {"language_model_only": True}},
            "config/models.yaml: models.eyes.engine_arguments.language_model_only: got true; expected "
            "false beside images: true. Remove one of them: without its image encoder the model sees "
            "nothing.",
        ),
        (
            "datasets",
            {"shots": {"name": "train", "sources": PAGES["sources"], "count": 1}},
            "config/datasets.yaml: datasets.pages.shots: got examples; expected null, as document_images "
            "shows an image. Remove them: a prompt holds one image.",
        ),
        (
            "datasets",
            {"fields": {"id": "id", "question": "question", "answers": "answers"}},
            "config/datasets.yaml: datasets.pages.fields.image: got nothing; expected the name of a "
            "column. document_images needs it: name the column that holds it.",
        ),
    ],
)
def test_what_does_not_go_with_images_is_an_error(
    kind: str, changes: dict[str, Any], error: str, project: Project
) -> None:
    project.files[kind]["eyes" if kind == "models" else "pages"].update(changes)
    assert error in project.errors(models="eyes", datasets="problems,pages")


def test_a_changed_image_of_ones_own_changes_the_key(project: Project) -> None:
    project.write("rows/pages.jsonl", '{"id": "1", "page": "pages/a.png"}\n')
    image = project.root / "rows" / "pages" / "a.png"
    image.parent.mkdir()

    def key() -> str:
        run = project.load(models="eyes", datasets="pages", data_dir="rows")
        return run.key("eyes", "pages") + run.datasets["pages"]["source_id"]

    image.write_bytes(page("red"))
    first = key()
    image.write_bytes(page("blue"))
    second = key()
    assert first[:12] != second[:12]
    assert first[12:] != second[12:]
    image.write_bytes(page("red"))
    os.utime(image, (1, 1))
    assert key() == first
    image.with_name("b.png").write_bytes(page("blue"))
    assert key() not in (first, second)


def test_images_are_read_once_and_then_known_by_size_and_time(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Snakefile is read in every job: thousands of images must not be."""
    from snakeval.registry import content

    project.write("rows/pages.jsonl", '{"id": "1", "page": "pages/a.png"}\n')
    (project.root / "rows" / "pages").mkdir()
    for number in range(5):
        (project.root / "rows" / "pages" / f"{number}.png").write_bytes(page())
    read: list[str] = []
    hashed = content.file_sha256
    monkeypatch.setattr(content, "file_sha256", lambda path: read.append(path.name) or hashed(path))
    for times in (5, 0):
        read.clear()
        project.load(models="eyes", datasets="pages", data_dir="rows")
        assert len([name for name in read if name.endswith(".png")]) == times


def test_a_folder_of_that_name_beside_other_rows_counts_nothing(project: Project) -> None:
    project.write("rows/problems.jsonl", "{}\n")
    given = {"models": "small", "datasets": "problems", "data_dir": "rows"}
    before = project.load(**given).key("small", "problems")
    project.write("rows/problems/notes.txt", "mine")
    assert project.load(**given).key("small", "problems") == before
