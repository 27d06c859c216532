"""Write a function in one of six languages; tests in that language decide, behind it in its process.

That is MultiPL-E's format: HumanEval and MBPP in Rust, JavaScript, Java, C++, Go and Bash. What is run is prompt +
completion + tests, or the function of a chat model's answer + tests, built and run as its evaluators do: what
compiles and ends with exit code 0 has passed. Different from there, the tests must also have come to their end, so
that a program that ends itself before is wrong. All of it happens in the sandbox, by this machine's compilers. Where
one is missing, or does not run there, its rows are unscored, and each result says what to install.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from snakeval.extraction import Found, Missing
from snakeval.extraction.answers import without_thoughts
from snakeval.extraction.fences import splits
from snakeval.records import Metric, Sample, Score
from snakeval.sandbox import UNSAFE, Commands, Limits, Outcome, Program, Sandbox
from snakeval.tasks import (
    Attempt,
    Judged,
    Judgement,
    column,
    id_field,
    text_field,
    texts,
    wrong_field,
)
from snakeval.tasks._languages import LANGUAGES, Go, Language
from snakeval.tasks._programs import ProgramTask, Unjudged, limits
from snakeval.tasks._toolchains import Toolchain, Unavailable, toolchain

SHOWN = 300  # characters of what a tool says
_FENCE = re.compile(r"^[ \t]*+(?:```|~~~)", re.MULTILINE)
_ENDS_CODE = ("}", ";", ")", "`", "fi", "done")
# What tools say where an expectation of the tests was not met, and where memory ran out.
_FAILED = re.compile(
    r"^(?:.*\bAssertion [`'].*' failed\.|.*\bassertion (?:`.*` )?failed\b.*|--- FAIL: .*|a test failed"
    r"|(?:Uncaught )?AssertionError\b.*|Exception in thread \"main\" java\.lang\.AssertionError.*)$",
    re.MULTILINE,
)
_NO_MEMORY = re.compile(
    r"std::bad_alloc|java\.lang\.OutOfMemoryError|heap out of memory|memory allocation of \d+ bytes failed"
    r"|fatal error: runtime: (?:out of memory|cannot allocate memory)|xmalloc: cannot allocate"
)
_ERROR = re.compile(
    r"^(?:error(?:\[E\d+\])?: .*|.*\berror: .*|.*_test\.go:\d+:\d+: .*|\w*Error: .*|.*Exception\b.*|panic: .*"
    r"|thread '.*' (?:\(\d+\) )?panicked at .*|\S+: line \d+: .*|terminate called .*)$",
    re.MULTILINE,
)
_UNSTABLE = re.compile(r"\b0x[0-9a-f]+\b|(?<=' )\(\d+\)|@[0-9a-f]{5,}\b|\(\d+\.\d+s\)")
_SHOWS = 8  # lines behind a failed assertion in which tools show values
_BEHIND = re.compile(r"at |note:|stack backtrace|generatedMessage|Node\.js|FAIL\b|\^")

# A program of each language that is right, and whose tests are of the rows' form: what runs it runs.
TRIALS: Mapping[str, tuple[str, str]] = {
    "rs": ("fn one() -> i32 {\n    1\n}", "fn main() {\n    assert_eq!(one(), 1);\n}\n"),
    "js": ("function one() {\n    return 1;\n}", "if (one() !== 1) { throw new Error(); }"),
    "java": (
        "import org.javatuples.*;\nclass Problem {\n    static Unit<Integer> one() { return Unit.with(1); }\n",
        "    public static void main(String[] args) {\n    assert(one().getValue0() == 1);\n    }\n}\n",
    ),
    "cpp": (
        "#include<bits/stdc++.h>\nint one() {\n    return 1;\n}",
        "int main() {\n    assert(one() == 1);\n}\n",
    ),
    "go_test.go": (
        'package one_test\n\nimport (\n\t"fmt"\n\t"testing"\n)\n\nfunc one() int {\n\treturn 1\n}',
        'func TestOne(t *testing.T) {\n\tif fmt.Sprint(one()) != "1" {\n\t\tt.Fail()\n\t}\n}\n',
    ),
    "sh": (
        "one() {\n    local all\n    mapfile -t all < <(printf '0\\n1\\n' 2> /dev/null)\n    echo \"${all[1]}\"\n}",
        "set -e\n[[ $(one) = 1 ]]\n",
    ),
}


@dataclass(frozen=True)
class _Machine:
    """What can be judged here: the toolchain of each language, or why there is none."""

    toolchains: Mapping[str, Toolchain]
    reasons: Mapping[str, str]


class CodeMultilingual(ProgramTask):
    """Functions in several languages with tests: MultiPL-E."""

    name = "code_multilingual"
    version = 1
    roles = ("id", "language", "prompt", "tests")
    optional_roles = ("stops",)
    inputs = ("prompt", "entry_point", "language", "label")
    messages: ClassVar[Mapping[str, str]] = {
        "syntax": "the answer holds no program",
        "entry_point_missing": "no program of the answer defines the function that was asked for",
    }
    no_gold = "the rows hold no reference answers: HumanEval's are in Python"

    def __init__(self, machine: _Machine | None = None) -> None:
        self._machine = machine or _Machine({}, {})

    def normalise(self, row: Mapping[str, Any], fields: Mapping[str, str], where: str) -> Sample:
        """Return the sample of one row.

        `prompt` ends with the line that opens the function; `tests` begin with the brace that ends it, but for
        JavaScript and Go. `stops` is a list of texts before which a continuation ends. `id` need be unique
        within a language only.
        """
        code = text_field(row, fields, "language", where)
        language = LANGUAGES.get(code)
        if language is None:
            expected = f"one of {', '.join(LANGUAGES)}"
            raise wrong_field(code, expected, "language", where, fields["language"])
        prompt = text_field(row, fields, "prompt", where)
        name = language.entry_point(prompt)
        if name is None:
            expected = f"a text that ends with the opening of a function in {language.title}"
            raise wrong_field(prompt[-80:], expected, "prompt", where, fields["prompt"])
        tests = text_field(row, fields, "tests", where)
        own = language.own_tests(tests)
        if own is None or language.marked(own) is None:
            expected = "tests that begin with the brace of the function's end, and end with one"
            raise wrong_field(tests[:80], expected, "tests", where, fields["tests"])
        stops = column(row, fields, "stops", where)
        return {
            "id": f"{id_field(row, fields, where)}/{code.partition('_')[0]}",
            "inputs": {
                "prompt": prompt,
                "entry_point": name,
                "language": language.title,
                "label": language.label,
            },
            "target": None,
            "metadata": {
                "prompt": prompt,
                "entry_point": name,
                "language": code,
                "tests": own,
                "stops": [] if stops is None else texts(stops, "stops", where),
            },
        }

    def find(self, attempt: Attempt) -> Found | Missing | Unjudged:
        """Return the program in an answer, up to where the tests belong.

        It is the last block that defines the function, without a `main` of its own; or what goes on where the
        prompt ends: a completion, or a block with nothing but a body.
        """
        code = attempt.sample["metadata"]["language"]
        if code in self._machine.reasons:
            return Unjudged(self._machine.reasons[code])
        return without_thoughts(
            attempt.text, attempt.continuation, lambda text: _found(text, attempt)
        )

    def program(self, sample: Sample, code: str, scoring: Mapping[str, Any]) -> Program:
        """Return what builds the program and runs it with its tests."""
        metadata = sample["metadata"]
        language = LANGUAGES[metadata["language"]]
        tests = language.marked(metadata["tests"]) or ""
        tools = self._machine.toolchains[language.code]
        return _program(tools, language, code, tests, metadata["prompt"], limits(scoring))

    def judge(
        self, attempts: Sequence[Attempt], scoring: Mapping[str, Any], sandbox: Mapping[str, Any]
    ) -> Judged:
        """Judge a batch, each answer in its language as far as that can be done here.

        `detail` has besides what it has of all programs the `language`.
        """
        languages = [attempt.sample["metadata"]["language"] for attempt in attempts]
        here = CodeMultilingual(_look_round(dict.fromkeys(languages), limits(scoring), sandbox))
        judged = ProgramTask.judge(here, attempts, scoring, sandbox)
        judgements = [
            replace(judgement, detail={**judgement.detail, "language": language})
            for judgement, language in zip(judged.judgements, languages, strict=True)
        ]
        return Judged(judgements, judged.sandbox)

    def start(self, sandbox: Mapping[str, Any]) -> Sandbox:
        """Start the sandbox with what its programs need of this machine."""
        return _sandbox(self._machine.toolchains.values(), sandbox)

    def judgement(self, found: Found, outcome: Outcome) -> Judgement:
        """Return the judgement of a program that was run, in the words of its tools."""
        return super().judgement(found, _told(outcome))

    def metrics(self, scores: Sequence[Score], repeats: int) -> dict[str, Metric]:
        """Return pass@k over all problems, and for each language `pass@k_rs` and so on."""
        metrics = super().metrics(scores, repeats)
        for code in LANGUAGES:
            own = [score for score in scores if score["detail"].get("language") == code]
            if own:
                short = code.partition("_")[0]
                of_language = super().metrics(own, repeats)
                metrics |= {f"{name}_{short}": value for name, value in of_language.items()}
        return metrics

    def gold(self, sample: Sample) -> Attempt | None:
        """Return None: the rows hold solutions in Python alone, if any."""
        return None

    def wrong(self, sample: Sample) -> Attempt | None:
        """Return a function that takes everything and gives nothing."""
        language = LANGUAGES[sample["metadata"]["language"]]
        code = language.wrong(sample["metadata"]["prompt"])
        end = "\n}" if language.code == "java" else ""  # of the class
        return Attempt(sample, f"```{language.label}\n{code}{end}\n```")


def _found(text: str, attempt: Attempt) -> Found | Missing:
    metadata = attempt.sample["metadata"]
    language, name = LANGUAGES[metadata["language"]], metadata["entry_point"]
    prompt, stops = metadata["prompt"], metadata["stops"]
    fence = _FENCE.search(text)
    if attempt.continuation and fence is None:
        return Found(text, language.continued(prompt, text, stops))
    readings = splits(text)
    # The reading by Python's strings comes first where there are two; the last one knows no blocks.
    reading = readings[-2] if len(readings) > 1 else readings[-1]
    blocks = [block for block in reading.blocks if block.label.lower() in (*language.labels, "")]
    pieces = [block.text for block in blocks or reading.blocks]
    if not pieces:
        pieces = _unfenced(language, "\n".join(reading.outside))
    for piece in reversed(pieces):
        source = language.source(piece)
        if language.defines(source, name):
            return Found(piece, language.whole(prompt, source, name))
    if attempt.continuation and fence is not None and text[: fence.start()].strip():
        before = text[: fence.start()]
        return Found(before, language.continued(prompt, before, stops))
    if not reading.blocks:
        return Missing("entry_point_missing" if pieces else "syntax")
    body = pieces[-1]
    if language.defines_others(language.source(body)):
        return Missing("entry_point_missing")
    return Found(body, language.continued(prompt, f"{body}\n", ()))


def _unfenced(language: Language, text: str) -> list[str]:
    """Return what may be code in a text without fences: from its first line on to the last that ends like code."""
    lines = text.split("\n")
    first = next((n for n, line in enumerate(lines) if language.start.match(line.lstrip())), None)
    if first is None:
        return []
    last = max(
        (n for n, line in enumerate(lines) if line.rstrip().endswith(_ENDS_CODE)), default=first
    )
    return ["\n".join(lines[first : last + 1])]


def _program(
    tools: Toolchain, language: Language, code: str, tests: str, prompt: str, chosen: Limits
) -> Program:
    package = language.package(prompt) if isinstance(language, Go) else ""
    files = tuple(
        (name, text.format(package=package) if package else text)
        for name, text in (tools.files or {}).items()
    )
    commands = Commands(tools.source, tests, tools.run, tools.build, files, tools.environment)
    return Program(code, commands, chosen)


def _sandbox(toolchains: Iterable[Toolchain], settings: Mapping[str, Any]) -> Sandbox:
    shown: dict[Path, None] = {}
    for tools in toolchains:
        shown |= dict.fromkeys(tools.tools)
    return Sandbox(settings.get(UNSAFE, False) is True, tools=tuple(shown))


def _look_round(languages: Iterable[str], chosen: Limits, settings: Mapping[str, Any]) -> _Machine:
    """Find out which languages can be judged: a small program of each must pass."""
    found: dict[str, Toolchain] = {}
    reasons: dict[str, str] = {}
    for code in languages:
        try:
            found[code] = toolchain(code)
        except Unavailable as error:
            reasons[code] = f"{LANGUAGES[code].title} cannot be judged: {error}"
    if not found:
        return _Machine(found, reasons)
    with _sandbox(found.values(), settings) as pool:
        outcomes = pool.run(_trial(found[code], LANGUAGES[code], chosen) for code in found)
        level = pool.level
    for code, outcome in zip(list(found), outcomes, strict=True):
        if outcome.verdict != "passed":
            said = _told(outcome).message
            reasons[code] = (
                f"{LANGUAGES[code].title} cannot be judged: a right program does not pass in the sandbox "
                f"at level {level} ({said}); docs/sandbox.md says what it needs"
            )
            del found[code]
    return _Machine(found, reasons)


def _trial(tools: Toolchain, language: Language, chosen: Limits) -> Program:
    code, tests = TRIALS[language.code]
    return _program(tools, language, code, language.marked(tests) or "", code, chosen)


def _told(outcome: Outcome) -> Outcome:
    """Return an outcome in the words of the tools, and with the verdict that these words give."""
    if outcome.verdict not in ("syntax", "exception"):
        return outcome
    said = outcome.stderr + "\n" + outcome.stdout
    verdict, message = outcome.verdict, outcome.message
    failed = _FAILED.search(said)
    if _NO_MEMORY.search(said):
        verdict = "memory"
    elif verdict == "exception" and failed:
        verdict, message = "wrong_answer", _with_values(said[failed.start() :])
    elif error := _ERROR.search(said):
        message = _with_values(said[error.start() :]) if error[0].endswith(":") else error[0]
    return replace(outcome, verdict=verdict, message=_UNSTABLE.sub("…", message.strip())[:SHOWN])


def _with_values(said: str) -> str:
    """Return the first line and what it shows of values, in one line."""
    first, *more = said[: 10 * SHOWN].split("\n")[:_SHOWS]
    shown = [first]
    for line in map(str.strip, more):
        if _BEHIND.match(line):
            break
        shown += [line] if line else []
    return " ".join(shown)


TASK = CodeMultilingual()
