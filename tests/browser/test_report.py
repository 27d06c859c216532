"""The report in a real browser: nothing runs that should not, and what should run works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reported_run import make_run, set_sandbox
from snakeval.reporting import report, summarize

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
if not CHROMIUM.exists():
    pytest.skip(f"no Chromium at {CHROMIUM}", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of three models on two datasets: one answer is hostile, one pair was made without isolation."""
    root = tmp_path_factory.mktemp("run")

    def hostile(answer: dict[str, Any]) -> None:
        if answer["id"] == "HumanEval/3":
            attack = "</pre></details><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
            answer["completion"] = f"{attack}\x00\u202e needle {attack}"
            answer["detail"]["message"] = attack

    run = make_run(root, change=hostile)
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


PAIR = "#pair-tiny-humaneval"


def shown(page: Any) -> int:
    return int(page.locator(f"{PAIR} ol.list > li:visible").count())


def test_nothing_of_a_sample_runs(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    text = page.locator(f"{PAIR} ol.list > li:nth-child(4)").inner_text()
    assert "<script>window.hacked = 1</script>" in text
    assert "␀⟨U+202E⟩ needle" in text


def test_filter_and_search(page: Any) -> None:
    page.locator(f"{PAIR} .samples > summary").click()
    assert shown(page) == 164
    page.locator(f"{PAIR} select[name=state]").select_option("correct")
    counter = page.locator(f"{PAIR} output")
    playwright.expect(counter).not_to_have_text("164 of 164 shown")
    correct = shown(page)
    assert 0 < correct < 164
    assert counter.inner_text() == f"{correct} of 164 shown"
    page.locator(f"{PAIR} select[name=state]").select_option("")
    page.locator(f"{PAIR} select[name=failure]").select_option("timeout")
    playwright.expect(counter).not_to_have_text(f"{correct} of 164 shown")
    assert 0 < shown(page) < 164
    page.locator(f"{PAIR} select[name=failure]").select_option("")
    page.locator(f"{PAIR} input[type=search]").fill("NEEDLE")
    playwright.expect(counter).to_have_text("1 of 164 shown")
    page.keyboard.press("Enter")  # a form that were sent would leave the page
    assert shown(page) == 1


def test_a_link_opens_the_sample_it_names(page: Any) -> None:
    page.goto(f"{page.url}#pair-medium-coding_sample-5")
    assert page.locator("#pair-medium-coding_sample-5 pre").first.is_visible()


def test_a_flag_leads_to_the_published_scores(page: Any) -> None:
    page.locator(".numbers a.outside").first.click()
    playwright.expect(page.locator("#pair-tiny-humaneval-published")).to_be_in_viewport()
    assert page.locator("#notices details[open] li").first.is_visible()


def test_samples_open_by_keyboard(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    page.locator(f"{PAIR} .samples > summary").focus()
    page.keyboard.press("Enter")
    page.locator(f"{PAIR} ol.list > li:first-child > details > summary").focus()
    page.keyboard.press("Enter")
    assert page.locator(f"{PAIR} ol.list > li:first-child pre").first.is_visible()


@pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True)
def test_samples_can_be_read_without_a_script(page: Any) -> None:
    page.locator(f"{PAIR} .samples > summary").click()
    assert shown(page) == 164
    assert page.locator(f"{PAIR} form").is_hidden()


@pytest.mark.parametrize(
    "page",
    [
        {"viewport": {"width": width, "height": 844}, "color_scheme": scheme}
        for width in (390, 1280)
        for scheme in ("light", "dark")
    ],
    indirect=True,
)
def test_nothing_sticks_out_and_all_is_legible(page: Any) -> None:
    page.evaluate("document.querySelectorAll('.fold').forEach((part) => { part.open = true; })")
    width = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert width <= 0
    faint = page.evaluate(CONTRAST)
    assert faint == []


# Texts whose contrast to what is behind them is below 4.5:1 (WCAG 2, AA); inside figures as well.
CONTRAST = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const found = channels(getComputedStyle(node).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found;
    }
  };
  const faint = new Set();
  const texts = "p, li, td, th, dt, dd, summary, span, a, h1, h2, h3, h4, h5, pre, output, .figure text";
  for (const node of document.querySelectorAll(texts)) {
    if (!node.checkVisibility() || !node.textContent.trim()) continue;
    const inFigure = node.matches("text");
    const fill = inFigure ? getComputedStyle(node).fill : getComputedStyle(node).color;
    if (inFigure && ["rgb(255, 255, 255)", "rgb(0, 0, 0)"].includes(fill)) continue; // on a bar
    const [a, b] = [light(channels(fill)), light(ground(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) faint.add(`${node.tagName} ${fill} ${node.textContent.trim().slice(0, 40)}`);
  }
  return [...faint];
}"""
