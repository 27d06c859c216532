"""The report in a real browser: nothing runs that should not, and what should run works."""

from __future__ import annotations

import re
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api")


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
    playwright.expect(counter).to_have_text("164 of 164 shown")
    page.locator(f"{PAIR} select[name=failure]").select_option("timeout")
    playwright.expect(counter).not_to_have_text("164 of 164 shown")
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


def first_column(table: Any, column: int) -> list[str]:
    cells = table.locator("tbody tr > *").all_inner_texts()
    width = table.locator("thead th").count()
    return [text.strip() for text in cells[column::width]]


def test_tables_sort_by_click_and_by_key(page: Any) -> None:
    table = page.locator("#dataset-coding_sample table.sortable").first
    names = table.locator("thead th").all_inner_texts()
    column = next(n for n, name in enumerate(names) if name.startswith("wrong"))
    head = table.locator("thead th").nth(column)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    down = [int(text) for text in first_column(table, column)]
    assert down == sorted(down, reverse=True)
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert [int(text) for text in first_column(table, column)] == down[::-1]
    table.locator("thead button").first.click()
    assert head.get_attribute("aria-sort") is None
    models = first_column(table, 0)
    assert models == sorted(models)


def lively(page: Any, name: str) -> Any:
    """The first figure of this name, once it answers to pointer and keys."""
    chart = page.locator(f"#overview figure.{name} .chart")
    chart.scroll_into_view_if_needed()
    playwright.expect(chart).to_have_attribute("role", "application")
    return chart


def test_a_mark_tells_what_it_is(page: Any) -> None:
    chart = lively(page, "results")
    chart.locator(".mark-rect path").first.hover()
    tooltip = page.locator(".vg-tooltip")
    playwright.expect(tooltip).to_be_visible()
    text = tooltip.inner_text()
    assert " on " in text
    assert re.search(r"95 % interval\s+\d+\.\d to \d+\.\d %", text)
    assert re.search(r"n\s+\d+", text)


def test_keys_walk_through_a_chart(page: Any) -> None:
    chart = lively(page, "results")
    chart.focus()
    page.keyboard.press("ArrowRight")
    said = chart.locator("output")
    first = said.text_content()
    assert "95 % interval" in first
    playwright.expect(page.locator(".vg-tooltip")).to_be_visible()
    page.keyboard.press("ArrowRight")
    assert said.text_content() != first
    page.keyboard.press("Escape")
    assert said.text_content() == ""


def test_the_contents_fold_and_lead_on(page: Any) -> None:
    contents = page.locator("nav.contents details")
    contents.locator("summary").click()
    contents.get_by_role("link", name="Advanced coding sample").click()
    assert contents.get_attribute("open") is None
    playwright.expect(page.locator("#dataset-coding_sample h3").first).to_be_in_viewport()
    page.locator("nav.contents summary").click()
    page.keyboard.press("Escape")
    assert contents.get_attribute("open") is None


def test_on_paper_the_contents_do_not_lie_over_the_answer(page: Any) -> None:
    assert page.locator(".contents").is_visible()
    page.emulate_media(media="print")  # which unfolds what is folded
    assert page.locator(".contents").is_hidden()
    assert page.locator("#overview p").first.is_visible()


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
