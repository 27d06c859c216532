"""Functions are found in free text, nothing of them is lost, and hostile text does no harm."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
from answer_styles import fenced
from hypothesis import given, settings
from hypothesis import strategies as st
from snakeval.extraction import Found, Missing, extract, extract_script, parse

PROMPT = 'import math\n\n\ndef area(r):\n    """Area of a circle."""\n'
AREA = "def area(r):\n    return math.pi * r * r\n"
FENCES = (
    'import math\n\n\ndef area(r):\n    """Area:\n\n    ```python\n    area(1)\n    ```\n```\nx\n```\n'
    '    """\n    return math.pi * r * r\n'
)


def found(text: str, continuation: bool = False, prompt: str = PROMPT) -> Found:
    result = extract(text, prompt, "area", continuation)
    assert isinstance(result, Found), result
    return result


def run(result: Found) -> Any:
    """Run a program of this file and return its `area`."""
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(result.program, "program", "exec"), names)
    return names["area"]


# --- what is put together ----------------------------------------------------------------------------


def test_the_prompts_part_comes_before_the_answer() -> None:
    result = found(fenced(AREA))
    assert result.answer == AREA
    assert result.program == "import math\n\n\n" + AREA


@pytest.mark.parametrize("prompt", ["", "Write a function that computes the area.\n"])
def test_prose_is_no_part_of_the_program(prompt: str) -> None:
    code = "import math\n" + AREA
    for text in (code, fenced(code), f"Sure:\n\n{code}\nDone.\n", f"[BEGIN]\n{code}[DONE]\n"):
        result = found(text, prompt=prompt)
        assert result.program == result.answer
        assert result.program.strip() == code.strip()
    assert extract("    return r\n", prompt, "area", False) == Missing("syntax")


def test_a_signature_without_a_body_gives_its_imports() -> None:
    prompt = "import math\nfrom random import shuffle\ndef area(r, s=[]):\n"
    assert found(fenced(AREA), prompt=prompt).program.startswith("import math\nfrom random import")
    body = found(fenced("    return r\n"), prompt=prompt)
    assert body.program == prompt + "    return r\n"
    assert body.answer == "    return r\n"


def test_future_imports_stay_first() -> None:
    program = found(fenced("from __future__ import annotations\ndef area(r): return r\n")).program
    assert program.startswith("from __future__ import annotations\nimport math\n")
    compile(program, "program", "exec")


def test_a_prompts_helper_is_there_and_the_answers_own_wins() -> None:
    prompt = 'def half(x):\n    return x / 2\n\n\ndef area(r):\n    """Area."""\n'
    uses = "def area(r):\n    return half(r)\n"
    assert run(found(fenced(uses), prompt=prompt))(4) == 2
    own = "def half(x):\n    return x // 3\n\n\n" + uses
    assert run(found(fenced(own), prompt=prompt))(9) == 3


def test_only_needed_blocks_are_joined() -> None:
    text = (
        fenced("def half(x):\n    return x / 2\n")
        + fenced("def unrelated(x):\n    raise SystemExit\n")
        + fenced("def area(r):\n    return half(r) + third(r)\n")
        + "which needs\n"
        + fenced("def third(x):\n    return x / 3\n")
        + fenced("print(area(3))\n")
    )
    answer = found(text).answer
    assert "def half" in answer
    assert "def third" in answer
    assert "unrelated" not in answer
    assert "print" not in answer
    assert answer.rstrip().endswith("return half(r) + third(r)")


def test_a_local_of_the_same_name_does_not_hide_a_need() -> None:
    text = (
        fenced("cache = {2: 5}\n")
        + "and\n"
        + fenced("def other():\n    cache = 1\n    return cache\n\ndef area(r): return cache[r]\n")
    )
    assert run(found(text))(2) == 5


def test_what_is_done_to_a_table_between_blocks_is_kept() -> None:
    text = (
        fenced("TABLE = {}\n")
        + fenced("for n in range(9):\n    TABLE[n] = n * n\n")
        + fenced("TABLE.update({9: 1})\n")
        + fenced("OTHER = {}\nOTHER[1] = 1\n")
        + fenced("def area(r):\n    return TABLE[r]\n")
    )
    result = found(text)
    assert run(result)(3) == 9
    assert run(result)(9) == 1
    assert "OTHER" not in result.program


def test_settings_in_a_block_of_their_own_are_kept() -> None:
    text = fenced("import sys\nsys.setrecursionlimit(4321)\n") + fenced(AREA)
    assert "sys.setrecursionlimit(4321)" in found(text).program
    usage = fenced("import sys\nfrom solution import area\nsys.exit(area(1))") + fenced(AREA)
    assert found(usage).answer == AREA


# --- which piece counts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        fenced("def area(r):\n    return 0\n") + fenced(AREA),
        fenced(AREA) + fenced("from solution import area\nprint(area(1))\n"),
        fenced(AREA) + fenced("def area(r):\n    ...\n"),
        fenced(AREA) + fenced('def area(r):\n    """Area."""\n    raise NotImplementedError\n'),
        fenced(AREA) + fenced("def area(r):\n    return (0"),
        fenced(AREA) + fenced("def volume(r):\n    return area(r) * r\n"),
        "```python\ndef area(r):\n    return 0\n\nNo, that's wrong:\n\n" + fenced(AREA),
        fenced("def area(r):\n    return 0\n") + fenced(FENCES),
        fenced(FENCES) + "Use:\n" + fenced("print(area(1))"),
        f"````markdown\nText.\n\n{fenced(AREA)}````\n",
        f"````\n{fenced(AREA, '')}````\n",
        f"> Quoted:\n>\n{textwrap.indent(fenced(AREA), '> ')}",
        fenced(AREA, "{.python .numberLines}"),
        fenced(AREA, "python3.11"),
        fenced(f"python\n{AREA}", ""),
        fenced(">>> def area(r):\n...     return math.pi * r * r\n>>> area(0)\n0.0\n"),
        f"The answer is\n\n{AREA}>>> area(1)\n3.14\n",
        fenced(f"{AREA}\nThis isn't slow.\n"),
        fenced(f"Here's the code:\n\n{AREA}"),
        f"<thinking>\n{fenced('def area(r): return 0')}</thinking>\n{AREA}",
        f"{fenced(AREA)}\0\ud800\n",
        f"\ufeff{AREA}\n\n\0oops",
        fenced(AREA).replace("\n", "\r"),
    ],
)
def test_the_right_piece_is_taken(text: str) -> None:
    assert run(found(text))(2) == pytest.approx(12.566, abs=1e-3)


def test_an_import_from_the_standard_library_defines_too() -> None:
    assert run(found(fenced("from math import sqrt as area\n")))(9) == 3
    assert extract(fenced("from solution import area\n"), PROMPT, "area", False) == Missing(
        "entry_point_missing"
    )


def test_a_function_about_closing_marks_ends_no_thought() -> None:
    code = "def area(r):\n    mark = '</think>'\n    return len(mark) + r\n"
    assert found(fenced(code)).answer == code
    assert found(f"<think>\nHm.\n</think>\n{fenced(code)}").answer == code


def test_a_program_in_thoughts_does_not_count() -> None:
    assert extract(f"<think>\n{fenced(AREA)}", PROMPT, "area", False) == Missing("syntax")
    assert extract(f"{fenced(AREA)}</think>\nNo idea.", PROMPT, "area", False) == Missing("syntax")


def test_another_functions_body_is_no_body() -> None:
    for text in (
        "def volume(r):\n    x = r\n\n    return x\n",
        "class A:\n    x = 1\n\n    y = 2\n",
    ):
        for answer in (text, fenced(text), f"So:\n\n{text}"):
            assert extract(answer, PROMPT, "area", False) == Missing("entry_point_missing")


# --- nothing is lost ---------------------------------------------------------------------------------

WHOLE = {  # programs that are right only as they stand, and area(3)
    "cached helper": (
        "from functools import lru_cache\n\n\n@lru_cache(maxsize=None)\ndef square(x):\n"
        "    return x * x\n\n\ndef area(r):\n    return square(r)\n",
        9,
    ),
    "decorated entry point": (
        "def twice(f):\n    def inner(x):\n        return f(f(x))\n    return inner\n\n\n"
        "@twice\ndef area(r):\n    return r + 1\n",
        5,
    ),
    "generator helper": (
        "def squares(n):\n    for i in range(n):\n        yield i * i\n\n\n"
        "def area(r):\n    return sum(squares(r))\n",
        5,
    ),
    "unpacked globals": (
        "A, (B, *C) = 1, (2, 3, 4)\n\n\ndef area(r):\n    return A + B + sum(C) + r\n",
        13,
    ),
    "recursion limit": (
        "import sys\nsys.setrecursionlimit(sys.getrecursionlimit() + 2_000)\n\n\n"
        "def area(r):\n    return sys.getrecursionlimit() > 2_000 and r\n",
        3,
    ),
    "import that may fail": (
        "try:\n    from not_there import one\nexcept ImportError:\n    one = 1\n\n\n"
        "def area(r):\n    return one + r\n",
        4,
    ),
    "table filled by statements": (
        "TABLE = {}\nfor n in range(5):\n    TABLE[n] = n * 2\nTABLE[3] += 1\n\n\n"
        "def area(r):\n    return TABLE[r]\n\n\nTABLE[3] *= 10\n",
        70,
    ),
    "registered by a decorator": (
        "KNOWN = []\n\n\ndef register(f):\n    KNOWN.append(f)\n    return f\n\n\n"
        "@register\ndef one(r):\n    return r + 1\n\n\ndef area(r):\n    return KNOWN[0](r)\n",
        4,
    ),
    "made by assignment": (
        "def scaled(k):\n    return lambda r: k * r\n\n\narea = scaled(4)\n",
        12,
    ),
    "changed afterwards": (
        "def area(r):\n    return area.factor * r\n\n\narea.factor = 7\n",
        21,
    ),
    "global state": (
        "import random\nrandom.seed(3)\ncount = 0\n\n\ndef area(r):\n    global count\n"
        "    count += 1\n    return count + r\n",
        4,
    ),
    "statements, comments and calls": (
        "# -*- coding: utf-8 -*-\nimport sys\n\n\n@staticmethod\ndef area(r):\n    # a comment\n"
        "    return r\n\n\nassert area(1) == 1\nsys.stdout.write('')  # the end\n",
        3,
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_nothing_is_taken_out_of_a_program(name: str) -> None:
    code, value = WHOLE[name]
    texts = [
        fenced(code),
        f"Sure:\n\n{fenced(code)}\nDone.\n",
        f"```\n{code}",
        f"{fenced('def area(r):' + chr(10) + '    return None')}\nBetter:\n{fenced(code)}",
    ]
    for text in texts:
        result = found(text)
        assert result.answer == code
        assert run(result)(3) == value
    for text in (code, f"Here is it.\n\n{code}\nThis isn't hard.\n"):
        assert run(found(text))(3) == value


def test_an_answer_that_is_cut_off_inside_the_function_is_none() -> None:
    for text in (
        "```python\ndef area(r):\n    total = sum(\n        r for",
        "def area(r):\n    total = 0\n\n    for x in r:\n        return (x",
        "class Solution:\n    def area(self, r):\n        return r\n\n    def b(self",
    ):
        assert extract(text, PROMPT, "area", False) == Missing("syntax")


def test_prose_behind_a_continuation_is_cut() -> None:
    result = found("    return r\n\nThe answer isn't hard.\n", continuation=True)
    assert result.answer == "    return r\n"
    assert result.program == PROMPT + "    return r\n"


def test_a_continuation_begins_where_the_prompt_ends() -> None:
    assert found(" return r", continuation=True, prompt="def area(r):").program == (
        "def area(r): return r\n"
    )


def test_parse_says_none_to_what_is_no_python() -> None:
    tree = parse("x = '\\d'\n")
    assert tree is not None
    assert len(tree.body) == 1
    for source in ("x = ", "\0", "\ud800", "(" * 1000, "print 1"):
        assert parse(source) is None


# --- hostile text ------------------------------------------------------------------------------------

MANY = 1_000_000
HOSTILE = {
    "backticks": "`" * MANY,
    "tildes": "~" * MANY,
    "fence lines": "```\n" * (MANY // 4),
    "labelled fence lines": "```python\n" * (MANY // 10),
    "blocks": "```python\nx = 1\n```\n" * (MANY // 20),
    "blocks that need each other": "".join(
        f"```\ndef f{n}():\n    return f{n + 1}()\n```\n" for n in range(20_000)
    ),
    "parentheses": "(" * 100_000,
    "parentheses in a function": "def area(r):\n    return " + "(" * 100_000,
    "parentheses in a block": "```python\n" + "(" * 100_000 + "\n```",
    "signatures": "def area(\n" * 100_000,
    "braces in an f-string": "x = f'''" + "{x}" * 50_000 + "'''",
    "deep indentation": "".join(" " * n + "if x:\n" for n in range(1_400)),
    "staircase": "\n".join(" " * (n % 50) + "x = (" for n in range(30_000)),
    "nested classes": "".join("    " * n + "class Solution:\n" for n in range(95)),
    "NUL": "\0" * MANY,
    "lone surrogates": "\ud800" * MANY,
    "minus signs": "-" * MANY + "1",
    "attributes": "a" + ".b" * MANY,
    "sum": "x = " + "1 + " * 200_000 + "1",
    "negations": "x = " + "not " * 100_000 + "1",
    "lambdas": "x = " + "lambda: " * 100_000 + "1",
    "calls": "f(x)\n" * (MANY // 5),
    "statements": "x=1;" * (MANY // 4),
    "assignments": "a = b = c\n" * (MANY // 10),
    "decorators": "@a\n" * (MANY // 3),
    "try": "try:\n" * (MANY // 5),
    "code and prose": "x = 1\nisn't\n" * (MANY // 12),
    "prose and code": "for example, this\n\n    return x\n\n" * (MANY // 36),
    "returns": "text\n\nreturn x x\n" * (MANY // 18),
    "blanks": " " * MANY + "x",
    "tabs": "\t" * MANY + "x",
    "line ends": "\n" * MANY,
    "carriage returns": "\r" * MANY,
    "form feeds": "\f" * MANY,
    "digits": "x = " + "9" * MANY,
    "numbers": "1." * (MANY // 2),
    "colons": ": " * (MANY // 2),
    "bullets": "- " * (MANY // 2) + "```",
    "quotation marks": "> " * (MANY // 2),
    "double quotes": "```\n" + '"' * MANY,
    "escaped quotes": "```\n" + '\\"' * (MANY // 2),
    "escaped triple quotes": '```\n"""' + '\\"""' * (MANY // 4),
    "triple quotes and fences": "```\n" + '"""\n```\n' * (MANY // 8),
    "thoughts": "<think>" * (MANY // 7),
    "thoughts that end": "</think>\ny = 1\n" * (MANY // 16),
    "prompts": ">>> x\n" * (MANY // 6),
}


BODIES = {"blocks that need each other", "prose and code"}  # hold what may be a body
ENDLESS = {"thoughts"}  # what never ends holds all that follows


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.timeout(30)
def test_hostile_text_holds_no_function_and_costs_little(name: str) -> None:
    for continuation in (False, True):
        result = extract(HOSTILE[name], PROMPT, "area", continuation)
        assert name in BODIES or isinstance(result, Missing)
    script = extract_script(HOSTILE[name])
    assert isinstance(script, Missing) or parse(script.program) is not None


@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in ENDLESS])
@pytest.mark.timeout(30)
def test_a_program_behind_hostile_text_is_found(name: str) -> None:
    text = f"{HOSTILE[name]}\n```\n\nSo:\n\n{fenced(AREA)}"
    assert run(found(text))(1) == pytest.approx(3.1416, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "syntax"),
        ("   \n\n", "syntax"),
        ("I cannot do that.", "syntax"),
        ("Sure", "syntax"),
        ("return the area", "syntax"),
        ("```python\n```", "syntax"),
        ("```\nnot python at all\n```", "syntax"),
        (fenced("def volume(r):\n    return r\n"), "entry_point_missing"),
        (fenced("x = 1\n"), "entry_point_missing"),
        ("def area(r) return r", "syntax"),
        ("```python\ndef area(r):\n    return 'a\n```", "syntax"),
        (fenced("def area(r):\n    pass\n"), "entry_point_missing"),
        (PROMPT, "entry_point_missing"),
    ],
)
def test_where_there_is_no_program_none_is_made_up(text: str, reason: str) -> None:
    for continuation in (False, True):
        assert extract(text, PROMPT, "area", continuation) == Missing(reason)  # type: ignore[arg-type]


PARTS = [
    *("```", "```python\n", "~~~\n", "\n", "\n\n", "    ", "\t", " ", "> ", "- ", "\r\n", "\r"),
    *("def area(r):", "return r", "return", "import math", "class Solution:", "x = 1", "area(2)"),
    *('"""', "'''", "'", "\\", "(", ")", "[", "#", "@", ":", "...", ">>> ", "{", "f'"),
    *("</think>", "<think>", "Sure, it isn't", "\0", "\ud800", "é", "\f", "\u2028", "print 1"),
    *(AREA, fenced(AREA), "    return r\n", "if __name__ == '__main__':\n    print(area(1))\n"),
]


@settings(derandomize=True, max_examples=500, deadline=None, database=None)
@given(st.lists(st.sampled_from(PARTS), max_size=40).map("".join), st.booleans())
def test_whatever_the_text_a_program_parses(text: str, continuation: bool) -> None:
    for prompt in (PROMPT, ""):
        result = extract(text, prompt, "area", continuation)
        if isinstance(result, Found):
            assert parse(result.program) is not None
            assert "area" in result.program
            assert prompt.partition("\n")[0] in result.program
    script = extract_script(text)
    if isinstance(script, Found):
        assert parse(script.program) is not None
