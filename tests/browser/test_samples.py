"""All samples in a real browser, from disk: hostile ones stay text, and every answer can be found and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile_samples import HOSTILE, everywhere
from reported_run import make_run
from snakeval.records import Prediction, Score
from snakeval.registry import Pair, Run
from snakeval.reporting import report, summarize, text
from snakeval.reporting.browser import TEXT_CHARACTERS
from snakeval.reporting.pairs import PairFiles

playwright = pytest.importorskip("playwright.sync_api")

HUGE = 40  # the number of an answer of 5 MB
Answers = dict[tuple[str, str], list[tuple[Prediction, Score]]]


def odd(answer: dict[str, Any]) -> None:
    """Make the first answers on HumanEval hostile, and one huge."""
    number = int(answer["id"].split("/")[1])
    if not answer["id"].startswith("HumanEval"):
        return
    if number < len(HOSTILE):
        name = list(HOSTILE)[number]
        everywhere(HOSTILE[name])(answer)
        if name == "prototype":
            answer["id"] = HOSTILE[name]
    if number == HUGE:
        answer["completion"] = "needle" + "<b>\x00" * 1_250_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answers]:
    """A report whose second dataset is marked sensitive, and the answers in it by model and dataset."""
    root = tmp_path_factory.mktemp("samples")
    run: Run = make_run(root, change=odd)
    run.datasets["coding_sample"]["sensitive"] = True
    summarize(run, root, root / "summary")
    report(run, root, root / "summary", root / "reports")

    def of(pair: Pair) -> list[tuple[Prediction, Score]]:
        return list(PairFiles(root, pair).answers())

    return root / "reports" / "samples", {
        (pair.model, pair.dataset): of(pair) for pair in run.pairs
    }


@pytest.fixture
def open_page(
    browser: Any, made: tuple[Path, Answers], request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Any]]:
    """Opens the page at a place, without a network; what it asks for and complains of is looked at."""
    options: dict[str, Any] = getattr(request, "param", {})
    context = browser.new_context(offline=True, reduced_motion="reduce", **options)
    troubles: list[str] = []
    asked: list[str] = []

    def at(hash: str = "") -> Any:
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda sent: asked.append(sent.url))
        page.goto((made[0] / "index.html").as_uri() + hash)
        return page

    at.troubles = troubles  # type: ignore[attr-defined]
    yield at
    for page in context.pages:
        assert page.evaluate("window.hacked") is None
        assert page.locator("img").count() == 0
    context.close()
    assert troubles == []
    assert all(url.startswith(made[0].as_uri()) for url in asked)


def expect(page: Any, where: str) -> Any:
    return playwright.expect(page.locator(where))


def counted(page: Any, fits: int, of: int = 642) -> None:
    """Wait until so many answers fit, and see that the list holds the first of them."""
    first = min(fits, 50)
    expect(page, "#count").to_have_text(f"1 to {first} of {fits:,} that fit, of {of:,} answers")
    assert page.locator("#list > li").count() == first


def test_hostile_answers_stay_text(open_page: Any, made: tuple[Path, Answers]) -> None:
    page = open_page("#model=tiny&dataset=humaneval")
    answers = made[1]["tiny", "humaneval"]
    for number, said in enumerate(HOSTILE.values()):
        page.locator("#list a").nth(number).click()
        title = page.locator("#sample-title")
        playwright.expect(title).to_have_text(text.visible(answers[number][0]["id"]))
        for kind in ("Prompt as sent", "Raw completion", "Extracted answer"):
            block = page.locator(f"h4:text-is('{kind}') + pre")
            playwright.expect(block).to_have_text(text.visible(said), use_inner_text=True)
            assert block.evaluate("(block) => block.textContent") == text.visible(said)
        page.keyboard.press("Escape")
        counted(page, 164)
    assert page.evaluate("Object.prototype.hacked") is None


def test_hostile_answers_are_found(open_page: Any) -> None:
    page = open_page("#model=tiny")
    page.locator("[name=text]").fill("<SCRIPT>window")
    counted(page, 1)
    assert "<script>window.hacked = 1</script>" in page.locator("#list").inner_text()


def test_a_huge_completion_is_cut_and_says_where_the_whole_is(open_page: Any) -> None:
    page = open_page(f"#model=tiny&dataset=humaneval&sample=HumanEval/{HUGE}")
    block = page.locator("h4:text-is('Raw completion') + pre")
    expect(page, "h4:text-is('Raw completion') + pre").to_contain_text("[… 4,900,006 characters")
    assert len(block.text_content()) < TEXT_CHARACTERS + 100
    assert "needle" in block.text_content()
    said = page.locator("h4:text-is('Raw completion') ~ p").first.text_content()
    assert said.startswith("Cut at 100,000 characters; the whole is in results/pairs/tiny/")
    assert said.endswith("/predictions.jsonl.")


def test_filters_hold_what_the_files_hold(open_page: Any, made: tuple[Path, Answers]) -> None:
    page = open_page()
    counted(page, 642)

    def number(fits: Callable[[str, str, Score], bool]) -> int:
        return sum(
            fits(model, dataset, score)
            for (model, dataset), answers in made[1].items()
            for _, score in answers
        )

    page.locator("[name=state]").select_option("wrong")
    counted(page, number(lambda model, dataset, score: score["state"] == "wrong"))
    page.locator("[name=class]").select_option("timeout")
    timeouts = number(lambda model, dataset, score: score["detail"]["class"] == "timeout")
    counted(page, timeouts)
    page.locator("[name=model]").select_option("tiny")
    page.locator("[name=dataset]").select_option("humaneval")
    fits = number(
        lambda model, dataset, score: (
            (model, dataset, score["detail"]["class"]) == ("tiny", "humaneval", "timeout")
        )
    )
    assert 0 < fits < timeouts
    counted(page, fits)
    address = page.url
    assert "model=tiny&dataset=humaneval&state=wrong&class=timeout" in address
    again = open_page(address[address.index("#") :])
    counted(again, fits)
    assert again.locator("[name=class]").input_value() == "timeout"


def test_a_protocol_is_a_filter(open_page: Any) -> None:
    page = open_page()
    counted(page, 642)
    options = page.locator("[name=protocol] option").all_text_contents()
    assert len(options) == 3
    page.locator("[name=protocol]").select_option(index=1)
    expect(page, "#count").not_to_contain_text("of 642 that fit")


def test_pages_lead_through_the_list(open_page: Any) -> None:
    page = open_page("#model=tiny&dataset=humaneval")
    counted(page, 164)
    first = page.locator("#list .id").first.inner_text()
    page.locator("#pages button >> text=Next page").click()
    expect(page, "#count").to_have_text("51 to 100 of 164 that fit, of 642 answers")
    page.locator("#list a").nth(2).click()
    expect(page, "#sample-title").to_have_text("HumanEval/52")
    page.locator("text=Back to the list").click()
    expect(page, "#count").to_have_text("51 to 100 of 164 that fit, of 642 answers")
    page.go_back()
    page.go_back()
    page.go_back()
    expect(page, "#list > li:first-child .id").to_have_text(first)


def test_search_reads_texts_and_folds_what_is_sensitive(open_page: Any) -> None:
    page = open_page()
    page.locator("[name=text]").fill("nubmers")
    expect(page, "#search [role=status]").to_have_text("Searched 3 of 3 files")
    found = int(page.locator("#count").inner_text().split(" of ")[1].split()[0].replace(",", ""))
    assert found > 0
    assert page.locator("#list mark").first.inner_text() == "nubmers"
    assert "Advanced coding sample" not in page.locator("#list").inner_text()
    expect(page, "#folded").to_contain_text("The texts of 150 answers were not searched")
    page.locator("#folded button").click()
    expect(page, "#search [role=status]").to_have_text("Searched 3 of 3 files")
    expect(page, "#count").not_to_contain_text(f" of {found} that fit")
    expect(page, "#folded").to_be_hidden()


def test_a_search_can_be_stopped(open_page: Any) -> None:
    page = open_page("#dataset=humaneval")
    counted(page, 492)
    page.evaluate(
        """() => {
          const read = file;
          const held = new Promise((go) => { window.release = go; });
          let files = 0;
          window.file = async (name) => { if ((files += 1) > 1) await held; return read(name); };
        }"""
    )
    page.locator("[name=text]").fill("nubmers")
    status = "#search [role=status]"
    expect(page, status).to_have_text("Searching: 1 of 3 files")
    page.locator("#search button").click()
    expect(page, status).to_have_text("Stopped: 1 of 3 files")
    page.evaluate("window.release()")
    expect(page, "#search button").to_have_text("Go on")
    expect(page, status).to_have_text("Stopped: 1 of 3 files")
    page.locator("#search button").click()
    expect(page, status).to_have_text("Searched 3 of 3 files")


def test_a_sensitive_answer_is_shown_when_it_is_asked_for(open_page: Any) -> None:
    page = open_page("#model=tiny&dataset=coding_sample&sample=Advanced coding sample/5")
    expect(page, "#texts").to_contain_text("marked sensitive")
    assert page.locator("#texts pre").count() == 0
    page.locator("text=Show its texts").click()
    expect(page, "h4:text-is('Raw completion') + pre").to_contain_text("Sure! Here it is")


def test_a_link_opens_the_answer_it_names(open_page: Any) -> None:
    page = open_page("#model=medium&dataset=humaneval&state=wrong&sample=HumanEval%2F20")
    expect(page, "#sample-title").to_have_text("HumanEval/20")
    expect(page, "#texts").to_contain_text("Medium Coder 7B Instruct (AWQ) on HumanEval")
    expect(page, "h4:text-is('Prompt as sent') + pre").to_contain_text("def add_20(")
    missing = open_page("#model=medium&sample=no such thing")
    expect(missing, "#sample-title").to_have_text("There is no such answer")


def test_everything_works_by_keyboard(open_page: Any) -> None:
    page = open_page("#model=tiny&dataset=humaneval")
    counted(page, 164)
    page.locator("#list a").nth(20).focus()
    page.keyboard.press("Enter")
    title = page.locator("#sample-title")
    playwright.expect(title).to_have_text("HumanEval/20")
    playwright.expect(title).to_be_focused()
    page.keyboard.press("ArrowRight")
    playwright.expect(title).to_have_text("HumanEval/21")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    playwright.expect(title).to_have_text("HumanEval/19")
    page.keyboard.press("Escape")
    playwright.expect(page.locator("#list a").nth(19)).to_be_focused()


def test_two_models_stand_side_by_side(open_page: Any, made: tuple[Path, Answers]) -> None:
    page = open_page("#model=tiny&dataset=humaneval")
    page.locator("[name=with]").select_option("medium")
    page.locator("[name=disagree]").check()
    mine, other = (made[1][model, "humaneval"] for model in ("tiny", "medium"))
    differ = [
        (one, two)
        for one, two in zip(mine, other, strict=True)
        if (one[1]["state"], one[1]["value"]) != (two[1]["state"], two[1]["value"])
    ]
    counted(page, len(differ))
    one, two = next((a, b) for a, b in differ if a[0]["completion"] != b[0]["completion"])
    page.locator(f"#list a:has-text('{one[0]['id']}')").first.click()
    expect(page, "#texts").to_contain_text("The two verdicts differ.")
    sides = page.locator("h4:text-is('Raw completion') + .sides pre")
    assert [side.text_content() for side in sides.all()] == [
        text.visible(answer[0]["completion"]) for answer in (one, two)
    ]
    removed, added = (
        page.locator(f"h4:text-is('Raw completion') + .sides {tag}") for tag in ("del", "ins")
    )
    number = int(one[0]["id"].split("/")[1])
    assert removed.all_text_contents() == [str(number + 1)]
    assert added.all_text_contents() == [str(number)]
    expect(page, "h4:text-is('Prompt as sent') + p").to_have_text("The same for both.")
    page.locator("#sample select").select_option("")
    expect(page, "#texts .sides").to_have_count(0)


@pytest.mark.parametrize("open_page", [{"java_script_enabled": False}], indirect=True)
def test_without_a_script_the_page_says_what_to_read(
    browser: Any, made: tuple[Path, Answers], open_page: Any
) -> None:
    page = open_page()
    assert "samples.parquet" in page.locator("noscript").inner_text()
    assert page.locator("#browse").is_hidden()


def test_a_missing_file_is_named(open_page: Any, made: tuple[Path, Answers]) -> None:
    page = open_page("#model=large&dataset=coding_sample")
    counted(page, 50)
    path = made[0] / "data" / "large-coding_sample-0.js"
    kept = path.rename(path.with_suffix(".kept"))
    try:
        page.locator("#list a").first.click()
        page.locator("text=Show its texts").click()
        expect(page, "#trouble").to_contain_text("data/large-coding_sample-0.js cannot be read")
        assert "ERR_FILE_NOT_FOUND" in open_page.troubles.pop()
    finally:
        kept.rename(path)


@pytest.mark.parametrize(
    "open_page",
    [
        {"viewport": {"width": 390, "height": 844}, "color_scheme": scheme}
        for scheme in ("light", "dark")
    ],
    indirect=True,
)
@pytest.mark.parametrize(
    "hash", ["", "#model=tiny&dataset=humaneval&sample=HumanEval/20&with=large"]
)
def test_nothing_sticks_out_of_a_phone(open_page: Any, hash: str) -> None:
    page = open_page(hash)
    expect(page, "#texts .sides >> nth=0" if hash else "#list > li >> nth=0").to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
