"""What must be known of a language's syntax to put an answer before MultiPL-E's tests.

Nothing is parsed in full. Comments and texts are blanked out, brackets are paired, and declarations are found by their
first words. Each step takes time in proportion to the text's length, whatever it holds.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from snakeval.sandbox import MARK

_TEXTS = r"\"(?:\\.|[^\"\\\n])*+\"?+"
_C_COMMENTS = r"//[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/)?+"
_CHARACTERS = r"'(?:\\.|[^'\\\n])*+'?+"
MOST_HEADER, MOST_DEFINITION = 2_000, 200  # characters of a line
_CONTROL = frozenset(("if", "for", "while", "switch", "catch"))
_OPENING, _CLOSING = "([{", ")]}"
_WORD = re.compile(r"[\w>\]*&$]\Z")
_NO_TYPE = re.compile(r"(?<!\w)(?:return|new|else|throw|case|await|co_return)\Z")
_LINE_COMMENT = re.compile(r"[ \t]*+(?://|/\*|\*)")


class Source:
    """A source text with its comments and texts blanked out and its brackets paired.

    Args:
        text: the source.
        masked: of the same length, with blanks for what is no code.
    """

    def __init__(self, text: str, masked: str) -> None:
        self.text = text
        self.masked = masked
        self.partner: dict[int, int] = {}  # opening bracket: its closing one
        self.depth = [0] * (len(masked) + 1)  # braces that are open before each character
        self.surplus: int | None = None  # the first closing brace that nothing opens
        opened: list[int] = []
        depth = 0
        for place, character in enumerate(masked):
            self.depth[place] = depth
            if character in _OPENING:
                opened.append(place)
                depth += character == "{"
            elif character in _CLOSING:
                kind = _OPENING[_CLOSING.index(character)]
                while opened and masked[opened[-1]] != kind and kind == "{":
                    opened.pop()  # a bracket that was never closed ends with its block
                if opened and masked[opened[-1]] == kind:
                    self.partner[opened.pop()] = place
                    depth -= kind == "{"
                elif kind == "{" and self.surplus is None:
                    self.surplus = place
        self.depth[len(masked)] = depth

    def declaration(self, name: str) -> int | None:
        """Return where a function of C's kind is defined last, `type name(…) … {`: the place of its name."""
        found = None
        for match in re.finditer(rf"(?<![\w$.]){re.escape(name)}\s{{0,9}}\(", self.masked):
            close = self.partner.get(match.end() - 1)
            if close is None:
                continue
            behind = re.compile(r"[^{;=(]*+").match(self.masked, close + 1)
            before = self.masked[max(0, match.start() - 80) : match.start()].rstrip()
            typed = _WORD.search(before) and not _NO_TYPE.search(before)
            if typed and behind and self.masked[behind.end() : behind.end() + 1] == "{":
                found = match.start()
        return found

    def without(self, header: re.Pattern[str], depth: int = 0) -> str:
        """Return the text without the functions whose first line matches, at one depth of braces.

        Args:
            header: matches up to the bracket that opens the parameters.
        """
        kept, end = [], 0
        for match in header.finditer(self.masked):
            if match.start() < end or self.depth[match.start()] != depth:
                continue
            close = self.partner.get(match.end() - 1)
            opening = self.masked.find("{", close) if close is not None else -1
            last = self.partner.get(opening)
            if last is None:
                continue
            kept.append(self.text[end : match.start()])
            end = last + 1
        return "".join(kept) + self.text[end:]


class Language(ABC):
    """A language of MultiPL-E."""

    code: ClassVar[str]  # MultiPL-E's name of it
    title: ClassVar[str]
    labels: ClassVar[
        frozenset[str]
    ]  # of fenced blocks, in small letters; the first line of prompts has one
    label: ClassVar[str]
    not_code: ClassVar[re.Pattern[str]]  # comments and texts
    header: ClassVar[
        re.Pattern[str]
    ]  # the line by which a prompt opens the function; group 1 is its name
    start: ClassVar[re.Pattern[str]]  # the first line of an answer without a fence that may be code
    closing: ClassVar[str] = "}"  # what ends the function
    wrong_body: ClassVar[str]  # of a function that fails whatever it is asked

    def source(self, text: str) -> Source:
        """Return a text with its brackets paired."""
        blank = self.not_code.sub(lambda found: _blanked(found[0]), text)
        return Source(text, blank)

    def entry_point(self, prompt: str) -> str | None:
        """Return the name of the function that a prompt opens at its end, or None."""
        line = prompt.rstrip().rpartition("\n")[2]
        found = self.header.fullmatch(line) if len(line) <= MOST_HEADER else None
        return found[1] if found else None

    def own_tests(self, tests: str) -> str | None:
        """Return a row's tests without the brace that ends the function, or None where they are others."""
        begin = re.match(r"\s*\}\s*\n", tests)
        return tests[begin.end() :] if begin else None

    @abstractmethod
    def marked(self, tests: str) -> str | None:
        """Return tests whose last statement makes the file `MARK`; None where that cannot be."""

    @abstractmethod
    def defines(self, source: Source, name: str) -> bool:
        """Whether a text defines the function."""

    def defines_others(self, source: Source) -> bool:
        """Whether a text defines functions, so that it is no body of one."""
        place = 0
        for line in source.masked.split("\n"):
            found = self.header.fullmatch(line.rstrip()) if len(line) <= MOST_DEFINITION else None
            if found and source.depth[place] == 0 and found[1] not in _CONTROL:
                return True
            place += len(line) + 1
        return False

    def whole(self, prompt: str, source: Source, name: str) -> str:
        """Return what the tests belong behind, of an answer that defines the function."""
        return self.before(prompt, source) + source.text

    def before(self, prompt: str, source: Source) -> str:
        """Return what of the prompt belongs before an answer: its declarations that this does not repeat."""
        lines = prompt.rstrip().split("\n")[:-1]
        code = [line for line in lines if line.strip() and not _LINE_COMMENT.match(line)]
        there = {line.strip() for line in source.text.split("\n")}
        return "".join(f"{line}\n" for line in code if line.strip() not in there)

    def continued(self, prompt: str, text: str, stops: Iterable[str]) -> str:
        """Return what the tests belong behind, of a text that goes on where the prompt ends.

        It ends before the first of the stops, as with MultiPL-E, or with the function.
        """
        ends = [place for stop in stops if (place := text.find(stop)) >= 0]
        text = text[: min(ends, default=len(text))]
        surplus = self.source(text).surplus
        if surplus is not None:
            return prompt + text[: surplus + 1]
        return f"{prompt}{text}\n{self.closing}"

    def wrong(self, prompt: str) -> str:
        """Return a program that takes everything and gives nothing right."""
        return f"{prompt}{self.wrong_body}\n{self.closing}"


class Rust(Language):
    """Tests are `main`."""

    code, title, label = "rs", "Rust", "rust"
    labels = frozenset(("rust", "rs"))
    not_code = re.compile(
        _C_COMMENTS
        + r"|\bb?r(?P<fence>#{0,9})\"(?s:.*?)(?:\"(?P=fence)|\Z)"
        + r"|'(?:\\u\{[^}'\n]{1,8}\}|\\[^\n]{1,3}?|[^'\\\n])'|\"(?:\\(?s:.)|[^\"\\])*+\"?+"
    )
    header = re.compile(r"fn (\w+)\(.*\{\s*")
    start = re.compile(r"(?:pub\b|fn |use |struct |enum |impl\b|const |static |type |#!?\[|//)")
    wrong_body = '    panic!("no answer")'

    def marked(self, tests: str) -> str | None:
        return _at_the_end(tests, f'::std::fs::write("{MARK}", "").unwrap();')

    def defines(self, source: Source, name: str) -> bool:
        return re.search(rf"\bfn\s{{1,9}}{name}\b", source.masked) is not None

    def whole(self, prompt: str, source: Source, name: str) -> str:
        main = re.compile(r"(?:\bpub\s{1,9})?\bfn\s{1,9}main\s{0,9}\(")
        return self.before(prompt, source) + source.without(main)


class Cpp(Language):
    """Tests are `main`; `assert` is what it was, whatever a program has made of it."""

    code, title, label = "cpp", "C++", "cpp"
    labels = frozenset(("cpp", "c++", "cc", "cxx", "c", "hpp"))
    not_code = re.compile(
        _C_COMMENTS
        + r"|R\"(?P<fence>[^()\\\s\"]{0,16})\((?s:.*?)(?:\)(?P=fence)\"|\Z)|(?<![0-9a-fA-F])"
        + _CHARACTERS
        + "|"
        + _TEXTS
    )
    header = re.compile(r"[\w:<>,&*\s]+[\s&*](\w+)\(.*\{\s*")
    start = re.compile(r"(?:#\s*\w|using |template\b|//|/\*|(?:[\w:<>,&*]+\s)+[&*]?\w+\()")
    wrong_body = "    throw 1;"

    def marked(self, tests: str) -> str | None:
        ended = _at_the_end(tests, f'if (FILE* passed = fopen("{MARK}", "w")) fclose(passed);')
        return ended and f"#undef NDEBUG\n#include <assert.h>\n#include <stdio.h>\n{ended}"

    def defines(self, source: Source, name: str) -> bool:
        return source.declaration(name) is not None

    def whole(self, prompt: str, source: Source, name: str) -> str:
        main = re.compile(r"\b(?:int|void|auto|signed)\s{1,9}main\s{0,9}\(")
        return self.before(prompt, source) + source.without(main)

    def before(self, prompt: str, source: Source) -> str:
        # Includes may be repeated, types may not: `union Union_long_string {…}` is of many lines.
        declared = re.findall(r"^(?:union|struct|class)\s+(\w+)", prompt, re.MULTILINE)
        lines = prompt.rstrip().split("\n")[:-1]
        repeats = any(
            re.search(rf"\b(?:union|struct|class)\s{{1,9}}{name}\b", source.masked)
            for name in declared
        )
        if repeats:
            lines = [line for line in lines if line.lstrip().startswith("#")]
        before = "".join(f"{line}\n" for line in lines if not line.startswith("//"))
        return "" if source.text.lstrip().startswith(before) else before


class Javascript(Language):
    """Tests are statements behind the program, in a block with names of their own."""

    code, title, label = "js", "JavaScript", "javascript"
    labels = frozenset(
        ("javascript", "js", "node", "nodejs", "jsx", "mjs", "cjs", "ecmascript", "typescript")
    )
    not_code = re.compile(
        _C_COMMENTS
        + r"|`(?:\\(?s:.)|[^`\\])*+`?+"
        + r"|(?:(?<=[(,=:\[!&|?;{}])|(?<=\breturn))[ \t]*/(?![*/])"
        + r"(?:\\.|\[(?:\\.|[^\]\\\n]){0,80}+\]|[^/\\\[\n]){1,200}+/"
        + "|"
        + _CHARACTERS
        + "|"
        + _TEXTS
    )
    header = re.compile(r"function (\w+)\(.*\{\s*")
    start = re.compile(r"(?:(?:export |async )*(?:function|const|let|var|class)\b|//|/\*|['\"]use)")
    wrong_body = '    return "no answer";'
    _export = re.compile(
        r"^export (?:default )?(?=(?:async )?(?:function|class|const|let|var)\b)", re.M
    )

    def own_tests(self, tests: str) -> str | None:
        return tests

    def marked(self, tests: str) -> str | None:
        return f"{{\n{tests}\nrequire('node:fs').writeFileSync('{MARK}', '');\n}}\n"

    def defines(self, source: Source, name: str) -> bool:
        name = re.escape(name)
        function = rf"\bfunction\s{{0,9}}\*?\s{{0,9}}{name}\s{{0,9}}\("
        variable = rf"\b(?:const|let|var)\s{{1,9}}{name}\s{{0,9}}="
        return re.search(f"{function}|{variable}", source.masked) is not None

    def whole(self, prompt: str, source: Source, name: str) -> str:
        return self.before(prompt, source) + self._export.sub("", source.text)


class Java(Language):
    """Tests are `main` of the class Problem, and end it."""

    code, title, label = "java", "Java", "java"
    labels = frozenset(("java",))
    not_code = re.compile(
        _C_COMMENTS
        + r"|\"\"\"(?:\\(?s:.)|[^\"\\]|\"(?!\"\"))*+(?:\"\"\")?+|"
        + _CHARACTERS
        + "|"
        + _TEXTS
    )
    header = re.compile(r"\s*public static .*[\s>\]](\w+)\(.*\{\s*")
    start = re.compile(r"(?:import |package |public |class |static |private |final |@|//|/\*)")
    closing = "    }"
    wrong_body = "        throw new RuntimeException();"
    _import = re.compile(r"^[ \t]*+import\b[^;\n]*+;[^\n]*+\n?", re.MULTILINE)
    _package = re.compile(r"^[ \t]*+package\b[^;\n]*+;[^\n]*+\n?", re.MULTILINE)
    _class = re.compile(r"\bclass\s{1,9}(\w+)")
    _main = re.compile(r"(?:\b(?:public|static|final)\s{1,9}){1,3}void\s{1,9}main\s{0,9}\(")

    def marked(self, tests: str) -> str | None:
        return tests  # another class sees them end

    def defines(self, source: Source, name: str) -> bool:
        return source.declaration(name) is not None

    def defines_others(self, source: Source) -> bool:
        return super().defines_others(source) or next(iter(self._classes(source)), None) is not None

    def whole(self, prompt: str, source: Source, name: str) -> str:
        imports = dict.fromkeys(line.strip() for line in self._import.findall(prompt))
        parts = [*self._import.finditer(source.masked), *self._package.finditer(source.masked)]
        parts = _outermost(source, parts)
        imports |= dict.fromkeys(m[0].strip() for m in parts if m.re is self._import)
        source = self.source(_cut(source.text, parts))
        place = source.declaration(name) or 0
        holder = next((h for h in self._classes(source) if h[1] < place < h[2]), None)
        outside = ""
        head, body = "class Problem ", source.text
        if holder is not None:
            start, opening, end = holder
            outside = source.text[:start] + "\n" + source.text[end + 1 :]
            called = self._class.search(source.masked, start, opening)
            old = called[1] if called else "Problem"
            head = re.sub(rf"\bclass\s+{old}\b", "class Problem", source.text[start:opening])
            body = source.text[opening + 1 : end]
            if old != "Problem":
                body, outside = (re.sub(rf"\b{old}\b", "Problem", text) for text in (body, outside))
        outside = re.sub(
            r"^public (?=(?:\w+ )*(?:class|interface|enum|record)\b)", "", outside, flags=re.M
        )
        body = self.source(body).without(self._main)
        before = "".join(f"{line}\n" for line in imports) + outside.strip("\n")
        return f"{before}\n{head}{{\n{body.rstrip()}\n"

    def _classes(self, source: Source) -> Iterable[tuple[int, int, int]]:
        """Yield of each class of the outermost level its start, its opening and its closing brace."""
        for match in self._class.finditer(source.masked):
            if source.depth[match.start()]:
                continue
            opening = source.masked.find("{", match.end())
            end = source.partner.get(opening)
            if end is not None:
                start = source.masked.rfind("\n", 0, match.start()) + 1
                yield start, opening, end


class Go(Language):
    """Tests are a function of the package testing; imports are all at the beginning, each once."""

    code, title, label = "go_test.go", "Go", "go"
    labels = frozenset(("go", "golang"))
    not_code = re.compile(_C_COMMENTS + r"|`[^`]*+`?+|" + _CHARACTERS + "|" + _TEXTS)
    header = re.compile(r"func (\w+)\(.*\{\s*")
    start = re.compile(r"(?:package |import\b|func |type |var |const |//|/\*)")
    wrong_body = '\tpanic("no answer")'
    _package = re.compile(r"^[ \t]*+package[ \t]++(\w+)[^\n]*+\n?", re.MULTILINE)
    _import = re.compile(
        r"^[ \t]*+import\b(?:[ \t]*+\((?P<many>[^)]*+)\)|(?P<one>[^\n;(]*+));?[ \t]*+\n?", re.M
    )

    def own_tests(self, tests: str) -> str | None:
        return tests

    def marked(self, tests: str) -> str | None:
        return tests  # TestMain sees them end

    def defines(self, source: Source, name: str) -> bool:
        return re.search(rf"\bfunc\s{{1,9}}{name}\s{{0,9}}[(\[]", source.masked) is not None

    def package(self, prompt: str) -> str:
        """Return the name of a prompt's package."""
        found = self._package.search(prompt)
        return found[1] if found else "main"

    def whole(self, prompt: str, source: Source, name: str) -> str:
        given = self.source(prompt.rstrip().rpartition("\n")[0])
        imports = dict.fromkeys([*self._imports(given), *self._imports(source)])
        lines = "".join(f"\t{line}\n" for line in imports)
        # An answer's own tests do not count, but what they import must be used.
        rest = re.sub(r"^func Test(?=\w*\()", "func answersTest", self._rest(source), flags=re.M)
        mine = self._rest(given)
        before = self.before(f"{mine}\n{{", self.source(rest))
        return f"package {self.package(prompt)}\n\nimport (\n{lines})\n\n{before}{rest}"

    def _parts(self, source: Source) -> list[re.Match[str]]:
        found = [*self._package.finditer(source.masked), *self._import.finditer(source.masked)]
        return _outermost(source, found)

    def _imports(self, source: Source) -> Iterable[str]:
        for match in self._parts(source):
            for group in ("many", "one"):
                if group in match.re.groupindex and match[group] is not None:
                    text = source.text[slice(*match.span(group))]
                    lines = re.sub(r"//[^\n]*+", "", text).replace(";", "\n").split("\n")
                    yield from (" ".join(line.split()) for line in lines if line.strip())

    def _rest(self, source: Source) -> str:
        return _cut(source.text, self._parts(source))


class Bash(Language):
    """Tests are statements behind the program. Its quoting is beyond us: blocks are taken as they are."""

    code, title, label = "sh", "Bash", "bash"
    labels = frozenset(("bash", "sh", "shell", "zsh", "shellscript"))
    not_code = re.compile(r"\Zx")  # nothing
    header = re.compile(r"(\w+)\(\) *\{\s*")
    start = re.compile(r"(?:#|function |\w+ ?\(\))")
    wrong_body = "    echo no answer"

    def marked(self, tests: str) -> str | None:
        # What fails behind the trap is a test: programs run in shells below.
        trap = "trap '[ $? = 0 ] || echo a test failed >&2' EXIT"
        return f"{trap}\n{tests}\n: > '{MARK}'\n"

    def defines(self, source: Source, name: str) -> bool:
        name = re.escape(name)
        pattern = rf"^[ \t]*+(?:function[ \t]++{name}\b|{name}[ \t]*+\([ \t]*+\))"
        return re.search(pattern, source.text, re.MULTILINE) is not None

    def before(self, prompt: str, source: Source) -> str:
        return ""  # nothing but comments

    def continued(self, prompt: str, text: str, stops: Iterable[str]) -> str:
        ends = [place for stop in stops if (place := text.find(stop)) >= 0]
        return f"{prompt}{text[: min(ends, default=len(text))]}\n{self.closing}"


_ALL: Sequence[Language] = (Rust(), Javascript(), Java(), Cpp(), Go(), Bash())
LANGUAGES: Mapping[str, Language] = {language.code: language for language in _ALL}


def _blanked(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _at_the_end(tests: str, statement: str) -> str | None:
    """Return tests with a statement before the brace that ends them; None where none does."""
    end = tests.rstrip()
    return f"{end[:-1]}    {statement}\n}}\n" if end.endswith("}") else None


def _outermost(source: Source, parts: Iterable[re.Match[str]]) -> list[re.Match[str]]:
    """Return the parts that are in no braces, in their order."""
    outer = [part for part in parts if source.depth[part.start()] == 0]
    return sorted(outer, key=lambda part: part.start())


def _cut(text: str, parts: Iterable[re.Match[str]]) -> str:
    kept, end = [], 0
    for part in parts:
        kept.append(text[end : part.start()])
        end = part.end()
    return "".join(kept) + text[end:]
