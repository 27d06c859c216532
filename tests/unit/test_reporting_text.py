from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakeval.reporting import text

ANYTHING = st.text(alphabet=st.characters())  # surrogates too


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("a\x00b", "a␀b"),
        ("\x1b[31mred", "␛[31mred"),
        ("one\rtwo", "one␍two"),
        ("\x7f", "␡"),
        ("\x85", "⟨U+0085⟩"),
        ("ab\u202edc", "ab⟨U+202E⟩dc"),
        ("\u2066x\u2069", "⟨U+2066⟩x⟨U+2069⟩"),
        ("\u200b", "⟨U+200B⟩"),
        ("\ud83d", "⟨U+D83D⟩"),
        ("\U000e0041", "⟨U+E0041⟩"),
    ],
)
def test_what_is_hidden_becomes_visible(hidden: str, shown: str) -> None:
    assert text.visible(hidden) == shown


@pytest.mark.parametrize("plain", ["a\tb\n  c", "naïve – “日本語” 😀", "👩\u200d🔬", "שלום"])
def test_plain_text_stays_as_it_is(plain: str) -> None:
    assert text.visible(plain) == plain


@given(ANYTHING)
def test_visible_text_can_be_written_as_utf8(anything: str) -> None:
    assert text.visible(anything).encode("utf-8").decode("utf-8") == text.visible(anything)


def test_clipping_keeps_head_and_tail_and_counts() -> None:
    clipped = text.clip("a" * 8_000 + "b" * 8_000, 1_000)
    assert clipped.startswith("a" * 800 + "\n\n[… 15,000 characters left out …]")
    assert clipped.endswith("b" * 200)
    assert text.clip("short", 1_000) == "short"


@given(ANYTHING)
def test_a_fence_is_longer_than_any_inside(anything: str) -> None:
    lines = text.markdown_block(anything).split("\n")
    fence = lines[-1]
    assert set(fence) == {"`"}
    assert lines[0] == f"{fence}text"
    assert fence not in "\n".join(lines[1:-1])


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("two\nlines", "two lines"),
        ("<img src=x onerror=alert(1)>", r"\<img src=x onerror=alert(1)\>"),
        ("![x](http://e)", r"!\[x\](http\://e)"),
        ("snake_case *bold* `code`", r"snake\_case \*bold\* \`code\`"),
        ("# title", r"\# title"),
        ("1. first", r"1\. first"),
        ("pass@1 of Qwen2.5-Coder", r"pass\@1 of Qwen2.5-Coder"),
    ],
)
def test_markdown_is_shown_as_written(raw: str, escaped: str) -> None:
    assert text.markdown_line(raw) == escaped


@pytest.mark.parametrize("formula", ["=HYPERLINK(1)", "+1", "-1+2", "@SUM(A1)", "\t=1", "\n@x"])
def test_no_cell_is_a_formula(formula: str) -> None:
    assert text.csv_text(formula).startswith("'")
    assert text.csv_text("NVIDIA H100") == "NVIDIA H100"
