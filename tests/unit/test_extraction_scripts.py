"""Programs that read input and print are found in free text."""

from __future__ import annotations

import pytest
from answer_styles import fenced
from snakeval.extraction import Found, Missing, extract_script

MAIN = (
    "import sys\n\n\ndef main():\n    n = int(sys.stdin.readline())\n    print(n + 1)\n\n\n"
    'if __name__ == "__main__":\n    main()\n'
)
FLAT = "n, m = map(int, input().split())\ntotal = n + m\nprint(total)\n"
SOLVE = "import sys\nsys.setrecursionlimit(10**6)\n\n\ndef solve():\n    n = int(input())\n    print(n)\n"
DRAFT = "n = int(input())\nprint(n - 1)\n"
PYTHON_2 = "n = int(raw_input())\nif n > 1:\n    n += 1\nelse:\n    n = 0\nprint n\n"


def program(text: str) -> str:
    found = extract_script(text)
    assert isinstance(found, Found), found
    assert found.answer == found.program
    return found.program


@pytest.mark.parametrize(
    "code", [MAIN, FLAT, SOLVE + "\n\nsolve()\n"], ids=["main", "flat", "call"]
)
@pytest.mark.parametrize(
    "text",
    [
        "{code}",
        "```python\n{code}```\n",
        "```\n{code}```\n",
        "```py3\n{code}",
        "Here is it, it isn't long:\n\n~~~python\n{code}~~~\n\nIt adds.\n",
        "The program:\n\n{code}\n\nThis isn't slow.\n",
        "It reads input:\n```\n3\n1 2 3\n```\nand prints\n```text\nprint(3)\n```\nso\n```python\n{code}```",
        "```python\n{code}```\n\nRun it:\n\n```sh\npython a.py\n```\nOutput:\n```\n7\n```\n",
        "```python\nn = int(input())\nprint(n - 1)\n```\nThat is wrong.\n```python\n{code}```\n",
        "<think>\n```python\nprint(1)\n```\n</think>\n```python\n{code}```\n",
        "```python\n{code}```\nIn Python 2:\n```python\nprint 'no'\n```\n",
        "```python\n{code}```\nIn C++:\n```cpp\nint main() {{ return 0; }}\n```\n",
    ],
)
def test_a_program_is_found_as_it_stands(text: str, code: str) -> None:
    assert program(text.format(code=code)).strip() == code.strip()


def test_main_guard_and_settings_stay() -> None:
    code = (
        "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(2**26)\n\n"
        + MAIN
    )
    assert program(fenced(code)) == code


def test_blocks_that_belong_together_are_joined() -> None:
    text = (
        fenced("import sys\nsys.setrecursionlimit(10**6)")
        + fenced("def half(n):\n    return n // 2\n")
        + fenced("def unrelated():\n    return 1\n")
        + fenced('if __name__ == "__main__":\n    print(half(int(input())))\n')
    )
    joined = program(text)
    assert "setrecursionlimit" in joined
    assert joined.index("def half") < joined.index("__main__")
    assert "unrelated" not in joined


def test_a_call_in_a_block_of_its_own_belongs_to_its_function() -> None:
    joined = program(fenced(SOLVE) + "\nThen call it:\n\n" + fenced("solve()"))
    assert joined.startswith(SOLVE.rstrip())
    assert joined.endswith("\nsolve()\n")


def test_an_example_of_use_is_not_the_program() -> None:
    text = fenced(MAIN) + "\nTo try it:\n\n" + fenced("main()\nprint('done')")
    assert program(text) == MAIN
    assert program(fenced(FLAT) + "\nor\n" + fenced("print(1 + 2)")) == FLAT
    assert program(fenced("print(1)") + "\nor\n" + fenced("print(1 + 2)")) == "print(1 + 2)\n"


def test_a_later_fix_in_two_blocks_replaces_the_draft() -> None:
    text = fenced(DRAFT) + "\nThat is wrong:\n\n" + fenced(SOLVE) + fenced("solve()")
    assert program(text).endswith("\nsolve()\n")
    assert "n - 1" not in program(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "syntax"),
        ("I cannot do that.", "syntax"),
        (PYTHON_2, "syntax"),
        (fenced(PYTHON_2), "syntax"),
        (f"In Python 2:\n\n{PYTHON_2}\nDone.\n", "syntax"),
        ("```python\nn = int(input())\nprint(n\n", "syntax"),
        ("```python\nn = int(input())\nfor i in range(n):\n    print(i)\nprint(n", "syntax"),
        (fenced("#include <iostream>\nint main() { return 0; }", "cpp"), "syntax"),
        (fenced("print(1)", "ruby"), "syntax"),
        (
            fenced("class Solution:\n    def solve(self, n):\n        return n\n"),
            "entry_point_missing",
        ),
        (fenced(SOLVE), "entry_point_missing"),
        (fenced("x = 1\ny = [x]\ny.append(2)\n"), "entry_point_missing"),
        (fenced("n = int(input())\nprint(n)\nreturn n\n"), "syntax"),
        ("<think>\n" + fenced(FLAT), "syntax"),
        (fenced(FLAT) + "</think>\nI give up.", "syntax"),
    ],
)
def test_where_there_is_no_program_none_is_made_up(text: str, reason: str) -> None:
    assert extract_script(text) == Missing(reason)  # type: ignore[arg-type]
