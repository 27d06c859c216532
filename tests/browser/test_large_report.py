"""A page of many pairs holds back what is out of sight: it is there when somebody comes, links, prints or reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from snakeval.reporting import view

playwright = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def folder(reported: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report whose six pairs are many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view, "LARGE", 5)
        return reported(tmp_path_factory.mktemp("run"), samples=8)


def test_a_pair_is_whole_when_it_comes_near(page: Any) -> None:
    last = page.locator("article.pair").last
    assert last.locator(".headline").count() == 1
    assert last.locator("pre").count() == 0
    last.scroll_into_view_if_needed()
    last.locator(".samples > summary").click()
    assert last.locator("ol.list > li:visible").count() == 8
    last.locator("select[name=state]").select_option("correct")
    counter = last.locator("output")
    playwright.expect(counter).not_to_have_text("8 of 8 shown")
    assert counter.inner_text().endswith(" of 8 shown")


def test_a_chart_is_a_picture_and_then_answers(page: Any) -> None:
    chart = page.locator("#dataset-coding_sample .chart").first
    assert chart.locator("svg").count() == 0
    chart.scroll_into_view_if_needed()
    playwright.expect(chart).to_have_attribute("role", "application")
    assert "n = 8" in chart.get_attribute("aria-label")
    assert chart.locator("svg").count() == 1


def test_a_link_opens_the_sample_it_names(page: Any) -> None:
    name = page.locator("article.pair").last.get_attribute("id") + "-5"
    page.goto(f"{page.url}#{name}")
    assert page.locator(f"#{name} pre").first.is_visible()
    page.reload()
    assert page.locator(f"#{name} pre").first.is_visible()


def test_what_is_folded_comes_when_it_is_opened(page: Any) -> None:
    fold = page.locator("#time-limits details")
    fold.scroll_into_view_if_needed()
    assert fold.locator("table").count() == 0
    fold.locator("summary").click()
    playwright.expect(fold.locator("table").first).to_be_visible()


def test_paper_shows_all(page: Any) -> None:
    assert page.locator("noscript").count() > 6
    page.pdf()
    assert page.locator("noscript").count() == 0
    assert (
        page.locator(".chart > svg, .chart > div > svg").count() == page.locator(".chart").count()
    )


@pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True)
def test_without_a_script_nothing_waits(page: Any) -> None:
    last = page.locator("article.pair").last
    last.locator(".samples > summary").click()
    assert last.locator("ol.list > li:visible").count() == 8
    assert page.locator(".chart svg:visible").count() == page.locator(".chart").count()
