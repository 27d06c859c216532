"""A report with something of everything, opened in a real browser from disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from reported_run import make_run, set_sandbox
from snakeval.reporting import report, summarize

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))


# Playwright's loop runs in this thread until its fixture ends: in what comes after, no test could run its own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def _reported(
    root: Path,
    samples: int | None = None,
    change: Callable[[dict[str, Any]], None] = lambda answer: None,
) -> Path:
    """Report on three models on two datasets: one answer is hostile, one pair was made without isolation."""

    def hostile(answer: dict[str, Any]) -> None:
        if answer["id"] == "HumanEval/3":
            attack = "</pre></details><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
            answer["completion"] = f"{attack}\x00\u202e needle {attack}"
            answer["detail"]["message"] = attack
        change(answer)

    run = make_run(root, samples=samples, change=hostile)
    run.models["large"]["prompt_style"] = "completion"  # another protocol than the others'
    run.models["medium"]["base_model"] = run.models["large"]["base_model"] = "tiny"
    run.datasets["humaneval"]["about"]["published"] = [
        {
            **{"model": f"Model {score}", "score": score, "protocol": "chat", "source": "a card"},
            **{"models": ["tiny", "large"], "thinking": None, "metric": None, "band": None},
            **{"differs": "an answer's beginning is given"},
        }
        for score in (95.0, 74.0)
    ]
    set_sandbox(root, run.pairs[0], {"level": "none", "layers": [], "judged_together": 3})
    summarize(run, root, root / "summary")
    report(run, root, root / "summary", root / "reports")
    return root / "reports"


@pytest.fixture(scope="session")
def reported() -> Callable[..., Path]:
    """Makes a report below a folder; `samples` limits those of each dataset, `change` may change an answer."""
    return _reported


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report with all samples."""
    return _reported(tmp_path_factory.mktemp("run"))


@pytest.fixture
def page(browser: Any, folder: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page, opened from disk with no network; every request and every complaint is an error."""
    options: dict[str, Any] = getattr(request, "param", {})
    context = browser.new_context(offline=True, reduced_motion="reduce", **options)
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url))
    address = (folder / "index.html").as_uri()
    page.goto(address)
    yield page
    assert troubles == []
    assert set(asked) <= {address}
    context.close()
