"""The compilers and interpreters of this machine, as the sandbox needs them: where they lie and how they are called.

Commands are those of MultiPL-E's evaluators (its evaluation/src/eval_*.py), with flags that only make them quicker and
smaller. Programs in any language see the machine's usual tools besides: shells are nothing without them, and
compilers call assembler and linker.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from snakeval.errors import one_line
from snakeval.sandbox import MARK, Command

USUAL = (Path("/usr/bin"), Path("/bin"), Path("/etc/alternatives"))
BUILD_S = 60.0  # seconds for each command that builds
BUILD_MB = 4096
ASK_S = 300.0  # seconds for a tool that is asked about itself, or that compiles its own library
_TOO_MUCH = frozenset(map(Path, ("/", "/usr", "/usr/local", "/opt", "/home", "/root")))
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
_JVM_RUN = ("-XX:ActiveProcessorCount=2", "-Xmx1g")
# `go test` looks for these mistakes at first; a program that has one does not come to its tests there.
_VET = "atomic bool buildtags errorsas ifaceassert nilfunc printf stringintconv"


class Unavailable(Exception):
    """A language cannot be judged here; the text says what to install."""


@dataclass(frozen=True)
class Toolchain:
    """How programs of a language are built and run here.

    Args:
        tools: what the sandbox must show.
        source: the name of the file for program and tests.
        run: the command line that runs the program.
        build: what comes before.
        files: other files: name and text, with `sandbox.MARK` and "{package}".
        environment: variables for all commands.
    """

    tools: tuple[Path, ...]
    source: str
    run: tuple[str, ...]
    build: tuple[Command, ...] = ()
    files: Mapping[str, str] | None = None
    environment: tuple[tuple[str, str], ...] = ()


@functools.cache
def toolchain(language: str) -> Toolchain:
    """Return the toolchain for a language, by MultiPL-E's name of it. Slow at first: tools are asked.

    Raises:
        Unavailable: something is not there.
        KeyError: no such language.
    """
    try:
        return _FIND[language]()
    except OSError as error:
        raise Unavailable(f"its tools cannot be prepared: {one_line(str(error))}") from error


def _rust() -> Toolchain:
    packages = "Rust (Debian packages rustc and gcc)"
    rustc = _program("rustc", packages)
    _program("cc", packages)
    root = Path(_asked("rustc", "--print", "sysroot"))
    own = root / "bin" / "rustc"
    build = _building(
        str(own if own.is_file() else rustc), "--sysroot", str(root), "--cap-lints", "allow",
        "-C", "codegen-units=1", "program.rs", "-o", "program",
    )  # fmt: skip
    shown = (root,) if root not in _TOO_MUCH else _installed(rustc)
    return Toolchain((*USUAL, *shown), "program.rs", ("./program",), (build,))


def _cpp() -> Toolchain:
    compiler = _program("g++", "a C++ compiler (Debian package g++)")
    # What each prompt includes at first takes a second and more to compile: it is done once.
    folder = _scratch()
    headers = folder / "headers.h"
    headers.write_text("#include <assert.h>\n#include <bits/stdc++.h>\n")
    flags = ("-std=c++17", "-w")
    _asked(str(compiler), *flags, "-x", "c++-header", str(headers), "-o", f"{headers}.gch")
    build = _building(
        str(compiler), *flags, "-include", str(headers), "program.cpp", "-o", "program"
    )
    _readable(folder)
    shown = (*_installed(compiler), Path("/usr/include"), folder)
    return Toolchain((*USUAL, *shown), "program.cpp", ("./program",), (build,))


def _javascript() -> Toolchain:
    node = _program("node", "Node.js (Debian package nodejs)")
    run = (str(node), "--v8-pool-size=2", "program.js")
    return Toolchain((*USUAL, *_installed(node)), "program.js", run)


def _bash() -> Toolchain:
    bash = _program("bash", "bash (Debian package bash)")
    return Toolchain((*USUAL, *_installed(bash)), "program.sh", (str(bash), "program.sh"))


def _java() -> Toolchain:
    packages = "a Java development kit (Debian package default-jdk-headless)"
    javac = _program("javac", packages)
    home = javac.parent.parent
    jar = _javatuples()
    classes = f".:{jar}"
    build = _building(
        str(javac), *(f"-J{flag}" for flag in (*_JVM, "-Xmx512m")), "-proc:none", "-nowarn",
        "-encoding", "UTF8", "-cp", classes, "-d", ".", "Problem.java", "Tests.java",
    )  # fmt: skip
    run = (str(home / "bin" / "java"), "-ea", *_JVM, *_JVM_RUN, "-cp", classes, "Tests")
    # The tests are Problem.main: what starts them sees them come back.
    tests = f"""\
class Tests {{
    public static void main(String[] arguments) throws Exception {{
        Problem.main(arguments);
        new java.io.File("{MARK}").createNewFile();
    }}
}}
"""
    tools = (*USUAL, *_with_links(home), jar)
    return Toolchain(tools, "Problem.java", run, (build,), {"Tests.java": tests})


def _javatuples() -> Path:
    """Return the library that the Java problems import."""
    places = [Path(entry) for entry in os.environ.get("CLASSPATH", "").split(":") if entry]
    places.append(Path("/usr/share/java/javatuples.jar"))
    for place in places:
        if place.name.startswith("javatuples") and place.is_file():
            return place.resolve()
    raise Unavailable(
        "there is no javatuples.jar here, which the problems import: install it (Debian package "
        "libjavatuples-java, or a path to it in CLASSPATH)"
    )


def _go() -> Toolchain:
    packages = "Go (Debian package golang-go)"
    _program("go", packages)
    root = Path(_asked("go", "env", "GOROOT"))
    go = root / "bin" / "go"
    if not go.is_file():
        raise Unavailable(f"there is no {go}, where go says it is: install {packages}")
    # Compiled packages of the standard library, which would take seconds for each program.
    cache = _scratch()
    settings = {
        "GOCACHE": str(cache),
        "GOROOT": str(root),
        "CGO_ENABLED": "0",
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "GOTOOLCHAIN": "local",
        "GOTELEMETRY": "off",
        "GOMAXPROCS": "2",
    }
    files = ("program_test.go", "main_test.go")
    program = ("test", "-c", "-o", "program", *files)
    vet = ("vet", *(f"-{name}" for name in _VET.split()), *files)
    with tempfile.TemporaryDirectory(prefix="snakeval-go-") as folder:
        example = 'package x_test\n\nimport (\n\t"fmt"\n\t"testing"\n)\n\n'
        example += "func TestX(t *testing.T) {\n\tfmt.Sprint(t.Name())\n}\n"
        for name, text in zip(files, (example, _GO_MAIN.format(package="x_test")), strict=True):
            (Path(folder) / name).write_text(text)
        for words in (program, vet):
            _asked(str(go), *words, cwd=folder, env={**os.environ, **settings, "HOME": folder})
    _readable(cache)
    return Toolchain(
        (*USUAL, *_with_links(root), cache),
        files[0],
        ("./program", "-test.paniconexit0"),
        tuple(_building(str(go), *words) for words in (program, vet)),
        {files[1]: _GO_MAIN},
        tuple(settings.items()),
    )


_GO_MAIN = f"""\
package {{package}}

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {{{{
	code := m.Run()
	if code == 0 {{{{
		os.WriteFile("{MARK}", nil, 0o600)
	}}}}
	os.Exit(code)
}}}}
"""

_FIND: Mapping[str, Callable[[], Toolchain]] = {
    "rs": _rust,
    "js": _javascript,
    "java": _java,
    "cpp": _cpp,
    "go_test.go": _go,
    "sh": _bash,
}


def _building(*words: str) -> Command:
    return Command(words, BUILD_S, BUILD_MB)


def _program(name: str, packages: str) -> Path:
    """Return where a program really lies.

    Raises:
        Unavailable: it is not on the PATH.
    """
    found = shutil.which(name)
    if found is None:
        raise Unavailable(f"there is no {name} here: install {packages}")
    return Path(found).resolve()


def _asked(*words: str, cwd: str | None = None, env: Mapping[str, str] | None = None) -> str:
    """Return what a tool of this machine says.

    Raises:
        Unavailable: it fails.
    """
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=ASK_S, check=False, cwd=cwd, env=env
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{words[0]} cannot be used here: {one_line(str(error))}") from error
    if done.returncode:
        said = one_line(done.stderr or done.stdout)[:200]
        raise Unavailable(f"{' '.join(words[:2])} fails here: {said}")
    return done.stdout.strip()


def _scratch() -> Path:
    """Make a folder that goes with this process; programs have a /tmp of their own, so it is elsewhere.

    Folders of processes that were killed are removed: a lock tells them from others.
    """
    place, prefix = Path("/var/tmp"), "snakeval-tools-"
    for folder in place.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # another user's, or locked
            if folder.stat().st_uid == os.getuid():
                _lock(folder)
                shutil.rmtree(folder)
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    atexit.register(os.close, _lock(made))
    return made


def _lock(folder: Path) -> int:
    """Lock a folder until the descriptor is closed.

    Raises:
        OSError: another process has it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _readable(folder: Path) -> None:
    """Let everybody read a folder: programs may run as another user."""
    for place in (folder, *folder.rglob("*")):
        place.chmod(0o755 if place.is_dir() else 0o644)


def _installed(program: Path) -> tuple[Path, ...]:
    """Return what to show of an installation: its folder, where it has one of its own, or the program."""
    root = program.parent.parent
    own = program.parent.name == "bin" and root not in {*_TOO_MUCH, *Path.home().parents}
    return (root,) if own and root != Path.home() else (program,)


def _with_links(root: Path) -> tuple[Path, ...]:
    """Return a folder and what links in it lead to elsewhere, as distributions scatter their packages."""
    elsewhere: dict[Path, None] = {root: None}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink() and path.exists():
                target = Path(os.path.normpath(Path(folder) / path.readlink()))
                if not target.is_relative_to(root) and target not in _TOO_MUCH:
                    elsewhere[target] = None
    return tuple(elsewhere)
