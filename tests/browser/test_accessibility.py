"""axe-core finds nothing serious: light and dark, desktop and phone, folded parts open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

GRAVE = ("serious", "critical")
LOOKS = [
    {"viewport": {"width": width, "height": 844}, "color_scheme": scheme}
    for width in (390, 1280)
    for scheme in ("light", "dark")
]
looks = pytest.mark.parametrize(
    "page",
    LOOKS,
    indirect=True,
    ids=lambda look: f"{look['viewport']['width']}-{look['color_scheme']}",
)


@pytest.fixture(scope="module")
def folder(reported: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a second report with few samples: axe-core looks at each element, several times."""

    def worse(answer: dict[str, Any]) -> None:
        if answer["state"] == "correct":
            answer |= {"state": "wrong", "value": 0.0}

    root = tmp_path_factory.mktemp("run")
    reported(root, samples=8, change=worse)
    return reported(root, samples=8)


@pytest.fixture
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    context = browser.new_context(offline=True, reduced_motion="reduce", **request.param)
    yield context.new_page()
    context.close()


def found(page: Any) -> list[str]:
    """Return what axe-core finds grave in the page as it is now: rule, gravity, element, reason."""
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    result = page.evaluate("axe.run({resultTypes: ['violations']})")
    assert result["passes"], "nothing was checked"
    return [
        f"{rule['id']} ({rule['impact']}): {node['target']} {node['failureSummary']}"
        for rule in result["violations"]
        if rule["impact"] in GRAVE
        for node in rule["nodes"][:5]
    ]


@looks
def test_the_report(page: Any, folder: Path) -> None:
    page.goto((folder / "index.html").as_uri())
    assert page.locator("#changes details a").count(), "no answer has flipped"
    assert found(page) == []


@looks
def test_the_list_of_all_samples(page: Any, folder: Path) -> None:
    page.goto((folder / "samples" / "index.html").as_uri())
    page.locator("#list > li").first.wait_for()
    assert found(page) == []
    page.locator("#list a").first.click()
    page.locator("#texts pre").first.wait_for()
    assert found(page) == []
