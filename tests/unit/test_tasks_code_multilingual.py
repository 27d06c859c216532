"""Functions in six languages, as MultiPL-E's: programs in answers, and what this machine's compilers make of them."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakeval import tasks
from snakeval.errors import SandboxError, SourceError
from snakeval.extraction import Found, Missing
from snakeval.records import Sample, Score
from snakeval.sandbox import Sandbox
from snakeval.tasks import Attempt, Judgement, _toolchains, code_multilingual
from snakeval.tasks._languages import LANGUAGES
from snakeval.tasks._toolchains import Unavailable, toolchain

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "multipl_e.jsonl"
SOLUTIONS: dict[str, dict[str, Any]] = yaml.safe_load(
    (ROOT / "tests" / "data" / "code_multilingual.yaml").read_text()
)
TASK = tasks.get("code_multilingual")
FIELDS = {
    "id": "name",
    "language": "language",
    "prompt": "prompt",
    "tests": "tests",
    "stops": "stop_tokens",
}
SCORING = {
    "time_limit": {"floor_s": 10.0, "factor": 10.0, "ceiling_s": 20.0},
    "memory_mb": 4096,
}
# A small problem of the rows' form in each language: (prompt, tests, stops, right body).
TOYS = {
    "rs": (
        "/// Add one.\nfn plus_one(n: isize) -> isize {\n",
        "}\n\nfn main() {\n    let candidate = plus_one;\n    assert_eq!(candidate(1), 2);\n}\n",
        ["\n}"],
        "    n + 1",
    ),
    "js": (
        "//Add one.\nfunction plus_one(n){\n",
        "const assert = require('node:assert');\n\n\nfunction test() {\n  let candidate = plus_one;\n"
        "  assert.deepEqual(candidate(1),2);\n}\n\ntest();",
        ["\nfunction ", "\n/*", "\n//", "\nconsole.log"],
        "    return n + 1;",
    ),
    "java": (
        "import java.util.*;\nimport org.javatuples.*;\nclass Problem {\n    // Add one.\n"
        "    public static long plusOne(long n) {\n",
        "    }\n    public static void main(String[] args) {\n    assert(plusOne((1l)) == (2l));\n    }\n\n}\n",
        ["\n    }\n"],
        "        return n + 1;",
    ),
    "cpp": (
        "#include<assert.h>\n#include<bits/stdc++.h>\n// Add one.\nlong plus_one(long n) {\n",
        "}\nint main() {\n    auto candidate = plus_one;\n    assert(candidate((1)) == (2));\n}\n",
        ["\n}"],
        "    return n + 1;",
    ),
    "go_test.go": (
        'package plus_one_test\n\nimport (\n    "testing"\n    "fmt"\n)\n\n// Add one.\n'
        "func plus_one(n int) int {\n",
        "func TestPlus_One(t *testing.T) {\n  candidate := plus_one\n"
        '  if fmt.Sprintf("%v", candidate(1)) != "2" {\n\tt.Errorf("expected 2, got %v", candidate(1))\n  }\n}\n',
        ["\nfunc", "struct", "\n// "],
        "\treturn n + 1",
    ),
    "sh": (
        "#!/bin/bash\n# Add one.\n#\n# $1 is an integer\nplus_one() {\n",
        '}\n\ncandidate() {\n    plus_one "$@"\n}\n\nset -e\nrun_test() {\n    [[ $(candidate "1") = "2" ]]\n'
        "}\n\nrun_test",
        ["\n}"],
        "    echo $(( $1 + 1 ))",
    ),
}
CODES = tuple(TOYS)


def row(code: str, **changes: Any) -> dict[str, Any]:
    prompt, tests, stops, _ = TOYS[code]
    base = {
        "name": "Toy_0_plus_one",
        "language": code,
        "prompt": prompt,
        "tests": tests,
        "stop_tokens": stops,
    }
    return base | changes


def sample(code: str, **changes: Any) -> Sample:
    return TASK.normalise(row(code, **changes), FIELDS, "toy.jsonl, line 4")


def found(code: str, text: str, continuation: bool = False) -> str:
    """Return the program in an answer to the toy problem; its reason where there is none."""
    result = TASK.find(Attempt(sample(code), text, continuation))  # type: ignore[attr-defined]
    if isinstance(result, Missing):
        return result.reason
    assert isinstance(result, Found)
    return result.program


def function(code: str) -> str:
    """Return the whole right function, as a chat model writes it."""
    prompt, _, _, body = TOYS[code]
    end = "    }\n}" if code == "java" else "}"
    return f"{prompt}{body}\n{end}"


def fenced(code: str, text: str) -> str:
    return f"Sure!\n\n```{LANGUAGES[code].label}\n{text}\n```\n\nThis adds one."


def needs(*codes: str) -> None:
    for code in codes:
        try:
            toolchain(code)
        except Unavailable as error:
            pytest.skip(f"{LANGUAGES[code].title}: {error}")


def judged(*attempts: Attempt) -> list[Judgement]:
    return TASK.judge(attempts, SCORING, {}).judgements


def judged_toy(code: str, *texts: str) -> list[Judgement]:
    return judged(*(Attempt(sample(code), fenced(code, text)) for text in texts))


# Rows


@pytest.mark.parametrize("code", CODES)
def test_a_row_becomes_a_sample(code: str) -> None:
    made = sample(code)
    name = "plusOne" if code == "java" else "plus_one"
    assert made["id"] == f"Toy_0_plus_one/{code.split('_')[0]}"
    assert made["inputs"]["entry_point"] == name
    assert made["inputs"]["language"] == LANGUAGES[code].title
    assert made["metadata"]["stops"] == TOYS[code][2]
    assert made["target"] is None
    assert TASK.gold(made) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"language": "py"}, "one of rs, js, java, cpp, go_test.go, sh"),
        ({"language": None}, "text"),
        ({"prompt": "Add one."}, "opening of a function in Rust"),
        ({"prompt": "fn " * 100_000 + "{"}, "opening of a function in Rust"),
        ({"tests": "fn main() {\n}\n"}, "begin with the brace"),
        ({"tests": "}\nfn main() {"}, "end with one"),
        ({"stop_tokens": "\n}"}, "a list of texts"),
        ({"name": " "}, "an id"),
    ],
)
def test_a_row_of_another_form_is_refused_in_one_line(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SourceError) as caught:
        sample("rs", **changes)
    text = str(caught.value)
    assert "toy.jsonl, line 4" in text
    assert told in text
    assert "\n" not in text


# Programs in answers


@pytest.mark.parametrize("code", CODES)
def test_a_continuation_is_put_behind_the_prompt_and_ends_at_the_rows_stops(code: str) -> None:
    prompt, _, stops, body = TOYS[code]
    closing = "    }" if code == "java" else "}"
    right = f"{prompt}{body}\n{closing}"
    assert found(code, body, continuation=True) == right
    ended = body + (f"\n{closing}" if code in ("js", "go_test.go") else "")
    assert found(code, f"{ended}{stops[0]} more", continuation=True) == right
    assert found(code, f"{ended}{stops[0]} more".replace("\n", "\r\n"), continuation=True) == right
    with_fence = found(code, f"{body}\n{closing}\n```\nDone.", continuation=True)
    assert with_fence.startswith(f"{prompt}{body}\n")
    assert "Done" not in with_fence


@pytest.mark.parametrize("code", CODES)
def test_the_last_block_with_the_function_counts(code: str) -> None:
    right = found(code, fenced(code, function(code)))
    assert TOYS[code][3].strip() in right
    other = function(code).replace("1", "7")
    more = "```\n2\n```\nRun it:\n```bash\nmake\n```\n"
    assert found(code, fenced(code, other) + fenced(code, function(code)) + more) == right
    for text in (
        fenced(code, function(code)).replace("\n", "\r\n"),
        fenced(code, function(code)).split("\n```\n\nThis")[0],  # never closed
        fenced(code, function(code)).replace("```", "~~~~"),
        f"<think>\n{fenced(code, other)}</think>\n{fenced(code, function(code))}",
        fenced(code, function(code)).replace(LANGUAGES[code].label, "", 1),
    ):
        assert found(code, text) == right


@pytest.mark.parametrize("code", CODES)
def test_code_without_fences_is_found(code: str) -> None:
    program = found(code, f"Here you are.\n\n{function(code)}\n\nIt adds one to n.")
    assert TOYS[code][3].strip() in program
    assert "Here you are" not in program
    assert "It adds" not in program


@pytest.mark.parametrize("code", CODES)
def test_a_body_alone_belongs_behind_the_prompt(code: str) -> None:
    prompt, _, _, body = TOYS[code]
    assert found(code, fenced(code, body)).startswith(f"{prompt}{body}\n")


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("text", ["", "I cannot do that.", "<think> it is plus_one", "a\0b \ud800"])
def test_an_answer_without_a_program_has_none(code: str, text: str) -> None:
    assert found(code, text) == "syntax"


@pytest.mark.parametrize("code", CODES)
def test_another_function_is_not_the_one(code: str) -> None:
    text = function(code).replace("plus_one", "minus_one").replace("plusOne", "minusOne")
    assert found(code, fenced(code, text)) == "entry_point_missing"


HOSTILE = {
    "calls": "plus_one(plusOne(" * 4_000,
    "functions": "fn plus_one(long plus_one() { func plus_one(" * 1_500,
    "mains": "fn main(int main(public static void main(" * 1_500 + ")" * 4_000,
    "imports": "import (\nimport a\npackage " * 3_000,
    "classes": "public class A {" * 4_000,
    "unions": "union A " * 8_000,
    "patterns": "(/[" * 20_000,
    "raw texts": 'r#"R"x(`"""' * 6_000,
    "comments": "/*" * 30_000 + "*/" * 10_000,
    "blanks": "return" + " " * 60_000 + "/x",
    "braces": "{" * 30_000 + "}" * 60_000,
    "escapes": "\\" * 60_000,
    "fences": "```\n" * 20_000,
}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.timeout(60)  # quadratic work would take longer
def test_hostile_text_is_looked_through(code: str, text: str) -> None:
    for answer in (text, f"```\n{text}", f"```\n{TOYS[code][0]}{text}\n```"):
        for continuation in (False, True):
            result = TASK.find(Attempt(sample(code), answer, continuation))  # type: ignore[attr-defined]
            assert isinstance(result, Found | Missing)


def test_rust_loses_its_main_and_nothing_else() -> None:
    text = (
        "use std::fmt;\n\nfn plus_one<'a>(n: isize) -> isize {\n    // fn main() {\n"
        '    let _brace = (\'{\', "}", r#"{"#);\n    n + 1\n}\n\nfn main() {\n    if true { plus_one(1); }\n}\n'
        "\nfn helper() {}\n"
    )
    program = found("rs", fenced("rs", text))
    assert program == text[: text.index("fn main() {\n    if")] + "\n\nfn helper() {}\n"


def test_cpp_keeps_the_prompts_includes_before_an_answer_without() -> None:
    text = "#define NDEBUG\nlong plus_one(long n) {\n    return n + 1;\n}\n\nint main() {\n    return 0;\n}"
    program = found("cpp", fenced("cpp", text))
    assert program.startswith("#include<assert.h>\n#include<bits/stdc++.h>\n#define NDEBUG\n")
    assert "main" not in program


def test_cpp_takes_types_of_the_prompt_once() -> None:
    union = "union Union_long{\n    long f0;\n    Union_long(long _f0) : f0(_f0) {}\n};\n"
    prompt = TOYS["cpp"][0].replace("// Add", f"{union}// Add")
    own = "long plus_one(long n) {\n    return n + 1;\n}"
    for answer, count in ((own, 1), (union + own, 1)):
        attempt = Attempt(sample("cpp", prompt=prompt), fenced("cpp", answer))
        program = TASK.find(attempt).program  # type: ignore[attr-defined]
        assert program.count("union Union_long{") == count
        assert program.startswith("#include<assert.h>\n")


@pytest.mark.parametrize(
    "text",
    [
        "public static long plusOne(long n) {\n    return n + 1;\n}",
        "public class Solution {\n    static long help() { return Solution.one; }\n    static long one = 1;\n"
        "    public static long plusOne(long n) {\n        return n + help();\n    }\n\n"
        "    public static void main(String[] args) {\n        if (1 < 2) { plusOne(1); }\n    }\n}\n",
        "package toy;\n\nimport java.util.function.*;\nimport java.util.*;\n\nclass Helper {}\n\n"
        "final class Problem {\n    public static long plusOne(long n) {\n        return n + 1; // }\n    }\n}",
    ],
    ids=["a method", "another class with a main", "a package and helpers"],
)
def test_java_becomes_the_class_problem_that_the_tests_end(text: str) -> None:
    program = found("java", fenced("java", text))
    assert program.count("class Problem") == 1
    assert program.count("import java.util.*;") == program.count("import org.javatuples.*;") == 1
    assert "void main" not in program
    assert "package" not in program
    assert "Solution" not in program
    source = LANGUAGES["java"].source(program)
    assert source.depth[-1] == 1  # the class is open
    needs("java")
    [judgement] = judged_toy("java", text)
    assert judgement.value == 1.0, judgement.detail


def test_go_has_each_import_once_and_no_tests_of_its_own() -> None:
    text = (
        'package main\n\nimport "strings"\nimport (\n\t"fmt" // for people\n\tm "math"\n)\n\n'
        'func plus_one(n int) int {\n\t_ = strings.ToUpper("import")\n\treturn n + int(m.Floor(1.5))\n}\n\n'
        "func TestPlus_One(t *T) {}\n\nfunc main() {\n\tfmt.Println(plus_one(1))\n}\n"
    )
    program = found("go_test.go", fenced("go_test.go", text))
    head, _, rest = program.partition(")\n")
    assert head.startswith("package plus_one_test\n\nimport (\n")
    assert sorted(head.split("\n")[3:-1]) == ['\t"fmt"', '\t"strings"', '\t"testing"', '\tm "math"']
    assert "func answersTestPlus_One" in rest
    assert "import (" not in rest


def test_javascript_loses_export() -> None:
    text = "export default function plus_one(n) {\n  return n + 1;\n}\nexport const two = 2;"
    assert found("js", fenced("js", text)) == text.replace("export default ", "").replace(
        "export ", ""
    )


# Programs that are run


@pytest.mark.parametrize("code", CODES)
def test_right_answers_pass_and_wrong_ones_do_not(code: str) -> None:
    needs(code)
    right = function(code)
    chat, whole, continued, other, wrong, broken = judged(
        Attempt(sample(code), fenced(code, right)),
        Attempt(sample(code), right),
        Attempt(sample(code), TOYS[code][3], continuation=True),
        Attempt(sample(code), fenced(code, right.replace("+ 1", "+ 2"))),
        TASK.wrong(sample(code)) or pytest.fail("no wrong answer"),
        Attempt(sample(code), fenced(code, right.replace("+ 1", "+ * ) 1"))),
    )
    for judgement in (chat, whole, continued):
        assert judgement.value == 1.0, judgement.detail
        assert judgement.detail["judged"] == "together"
        assert judgement.detail["language"] == code
    assert other.detail["class"] == "wrong_answer", other.detail
    assert wrong.detail["class"] in ("wrong_answer", "exception"), wrong.detail
    assert {other.value, wrong.value, broken.value} == {0.0}
    compiled = code not in ("js", "sh")
    assert broken.detail["class"] == "syntax" or not compiled, broken.detail
    assert broken.detail["message"]


@pytest.mark.parametrize("code", CODES)
def test_reference_solutions_pass_and_their_mutations_do_not(code: str) -> None:
    if not DATA.exists():
        pytest.skip(f"{DATA} is not here")
    needs(code)
    rows = {
        each["name"]: each
        for each in map(json.loads, DATA.read_text("utf-8").splitlines())
        if each["language"] == code
    }
    right, wrong = [], []
    for number, (name, bodies) in enumerate(SOLUTIONS.items()):
        problem = TASK.normalise(rows[name], FIELDS, name)
        body, closing = bodies[code], LANGUAGES[code].closing
        end = "\n}" if code == "java" else ""
        whole = f"{rows[name]['prompt']}{body}{closing}{end}"
        if number % 2:
            right.append(Attempt(problem, body, continuation=True))
        else:
            right.append(Attempt(problem, fenced(code, whole)))
        if code in bodies.get("mutations", {}):
            old, new = bodies["mutations"][code]
            assert body.count(old) == 1, (name, old)
            wrong.append(Attempt(problem, body.replace(old, new), continuation=True))
    assert len(right) >= 8
    assert len(wrong) >= 3
    judgements = judged(*right, *wrong)
    values = [judgement.value for judgement in judgements]
    assert values == [1.0] * len(right) + [0.0] * len(wrong), [j.detail for j in judgements]
    assert {j.detail["class"] for j in judgements[len(right) :]} == {"wrong_answer"}


ENDS_EARLY = {
    "rs": ["fn plus_one(_: isize) -> isize {\n    std::process::exit(0)\n}"],
    "js": ["function plus_one(n) {\n  process.exit(0);\n}", "process.exit(0);\nfunction plus_one(n) {}"],
    "java": [
        "public static long plusOne(long n) {\n    System.exit(0);\n    return 0;\n}",
        "static { Runtime.getRuntime().halt(0); }\npublic static long plusOne(long n) {\n    return 0;\n}",
    ],
    "cpp": [
        "long plus_one(long) {\n    exit(0);\n}",
        "struct A { A() { _Exit(0); } } a;\nlong plus_one(long) {\n    return 0;\n}",
        "#define NDEBUG\n#include <cassert>\nlong plus_one(long) {\n    return 0;\n}",
    ],
    "go_test.go": [
        'import "os"\nfunc plus_one(n int) int {\n\tos.Exit(0)\n\treturn 0\n}',
        'import "os"\nfunc init() { os.Exit(0) }\nfunc plus_one(n int) int {\n\treturn 0\n}',
    ],
    "sh": ["exit 0\nplus_one() {\n    :\n}", "trap 'exit 0' EXIT\nplus_one() {\n    :\n}"],
}  # fmt: skip


@pytest.mark.parametrize("code", CODES)
def test_a_program_that_ends_before_its_tests_has_not_passed(code: str) -> None:
    needs(code)
    for judgement in judged_toy(code, *ENDS_EARLY[code]):
        assert judgement.value == 0.0, judgement.detail
        assert judgement.detail["class"] in ("wrong_answer", "exception")


def test_what_goes_wrong_is_told_in_the_tools_words_the_same_each_time() -> None:
    needs("cpp", "rs", "sh", "js")
    attempts = [
        Attempt(sample("cpp"), fenced("cpp", "long plus_one(long n) {\n    return m;\n}")),
        Attempt(sample("cpp"), fenced("cpp", '#include "/etc/hostname"\nlong plus_one(long n) { return 2; }')),
        Attempt(sample("rs"), fenced("rs", "fn plus_one(n: isize) -> isize {\n    n * 3\n}")),
        Attempt(sample("js"), fenced("js", "function plus_one(n) {\n  return n.x.y;\n}")),
        Attempt(sample("sh"), fenced("sh", "plus_one() {\n    cat < <(echo 3)\n}")),
        Attempt(sample("cpp"), fenced("cpp", "long plus_one(long n) {\n"
            "    std::vector<long> all;\n    while (true) all.resize(all.size() + 100000000);\n}")),
    ]  # fmt: skip
    first, second = judged(*attempts), judged(*attempts)
    details = [judgement.detail for judgement in first]
    assert [(each["class"], each["message"]) for each in details] == [
        ("syntax", details[0]["message"]),
        ("syntax", details[1]["message"]),
        ("wrong_answer", details[2]["message"]),
        ("exception", "TypeError: Cannot read properties of undefined (reading 'y')"),
        ("wrong_answer", "a test failed"),
        ("memory", details[5]["message"]),
    ]
    assert "was not declared" in details[0]["message"]
    assert "No such file or directory" in details[1]["message"]
    assert "left" in details[2]["message"]
    assert [judgement.detail for judgement in second] == details


def test_a_program_without_end_is_late() -> None:
    needs("sh")
    scoring = {**SCORING, "time_limit": {"floor_s": 0.5, "factor": 2.0, "ceiling_s": 1.0}}
    text = fenced("sh", "plus_one() {\n    while :; do :; done\n}")
    [judgement] = TASK.judge([Attempt(sample("sh"), text)], scoring, {}).judgements
    assert (judgement.value, judgement.detail["class"]) == (0.0, "timeout")


# What is missing here


@pytest.fixture
def asked_anew() -> Any:
    """Tools are looked for again, before and after."""
    toolchain.cache_clear()
    yield
    toolchain.cache_clear()


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("rs", "no rustc here: install Rust (Debian packages rustc and gcc)"),
        ("js", "no node here: install Node.js (Debian package nodejs)"),
        ("java", "no javac here: install a Java development kit (Debian package default-jdk-headless)"),
        ("cpp", "no g++ here: install a C++ compiler (Debian package g++)"),
        ("go_test.go", "no go here: install Go (Debian package golang-go)"),
        ("sh", "no bash here: install bash (Debian package bash)"),
    ],
)  # fmt: skip
def test_a_missing_compiler_leaves_answers_unscored(
    code: str, missing: str, asked_anew: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    judgements = judged_toy(code, function(code), "nothing")
    for judgement in judgements:
        assert judgement.value is None
        assert judgement.detail["class"] == "judge_failed"
        assert missing in judgement.detail["message"]
        assert judgement.detail["language"] == code


def test_java_without_javatuples_is_unscored(
    asked_anew: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("java")
    toolchain.cache_clear()
    is_file = Path.is_file
    monkeypatch.setattr(
        Path, "is_file", lambda self: "javatuples" not in self.name and is_file(self)
    )
    [judgement] = judged_toy("java", function("java"))
    assert judgement.value is None
    assert "libjavatuples-java" in judgement.detail["message"]


def test_javatuples_may_be_named_in_the_class_path(
    asked_anew: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    jar = tmp_path / "javatuples-1.2.jar"
    jar.touch()
    monkeypatch.setenv("CLASSPATH", f"/nowhere/javatuples.jar:{jar}")
    assert _toolchains._javatuples() == jar


def test_a_missing_compiler_touches_no_other_language(
    asked_anew: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    needs("sh")
    toolchain.cache_clear()
    (tmp_path / "bash").symlink_to("/usr/bin/bash")
    monkeypatch.setenv("PATH", str(tmp_path))
    shell, script = judged(
        Attempt(sample("sh"), fenced("sh", function("sh"))),
        Attempt(sample("js"), fenced("js", function("js"))),
    )
    assert (shell.value, script.value) == (1.0, None)


def test_a_level_without_processes_leaves_answers_unscored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needs("sh")
    try:
        Sandbox(workers=1, level="landlock").close()
    except SandboxError as error:
        pytest.skip(f"level landlock: {error}")
    monkeypatch.setattr(code_multilingual, "Sandbox", partial(Sandbox, level="landlock"))
    [judgement] = judged_toy("sh", function("sh"))
    assert judgement.value is None
    assert "at level landlock (no process can be started" in judgement.detail["message"]


# Numbers


def test_each_language_has_a_number_of_its_own() -> None:
    def score(number: int, code: str, state: str) -> Score:
        return {  # type: ignore[typeddict-item, return-value]
            "id": f"{number}/{code}",
            "repeat": 0,
            "state": state,
            "detail": {"language": code},
        }

    scores = [
        score(0, "rs", "correct"),
        score(1, "rs", "wrong"),
        score(0, "go_test.go", "correct"),
        score(0, "java", "unscored"),
    ]
    metrics = TASK.metrics(scores, 1)
    values = {name: (metric["value"], metric["n"]) for name, metric in metrics.items()}
    assert values == {
        "pass@1": (pytest.approx(2 / 3), 3),
        "pass@1_rs": (0.5, 2),
        "pass@1_go": (1.0, 1),
        "pass@1_java": (None, 0),
    }
