"""Errors that a user can mend, each printed as one line: where · got · expected · what to do.

SnakevalError
├── ConfigError    configuration or registry (may carry many lines: all errors are shown at once)
├── SourceError    a dataset or model that cannot be had
├── PromptError    tokenizer, template or prompt
├── EngineError    the engine does not start, stops, or cannot take the model
├── SandboxError   no safe way to run model-written code
└── StorageError   a file that cannot be read or written (full disk, read-only folder, broken record)
"""

from __future__ import annotations

import difflib
import errno
import sys
from collections.abc import Callable, Iterable

from snakeval import leash


class SnakevalError(Exception):
    """An error with a remedy.

    Args:
        where: file and key, pair, or program that is concerned.
        got: what was found there.
        expected: what should have been found.
        fix: what the user does about it, a full sentence.
    """

    def __init__(self, where: str, got: str, expected: str, fix: str) -> None:
        self.where, self.got, self.expected, self.fix = where, got, expected, fix
        super().__init__(one_line(f"{where}: got {got}; expected {expected}. {fix}"))


class ConfigError(SnakevalError):
    """The configuration or the registry is wrong; `lines` holds every error found."""

    def __init__(self, errors: Iterable[SnakevalError]) -> None:
        self.lines = [str(error) for error in errors]
        Exception.__init__(self, "\n".join(self.lines))


class SourceError(SnakevalError):
    """A dataset or model cannot be had."""


class PromptError(SnakevalError):
    """A tokenizer, template or prompt is not usable."""


class EngineError(SnakevalError):
    """The engine does not start, has stopped, or cannot take the model."""


class SandboxError(SnakevalError):
    """Model-written code cannot be run safely here."""


class ScoringError(SnakevalError):
    """Answers cannot be scored, or are not scored as they must be."""


class StorageError(SnakevalError):
    """A file cannot be read or written."""

    @classmethod
    def from_os_error(cls, error: OSError, path: object) -> StorageError:
        """Say what an `OSError` on `path` means for the user."""
        remedies = {
            errno.ENOSPC: "Free space on that disk, then run the same command again.",
            errno.EDQUOT: "Free some of your quota, then run the same command again.",
            errno.EROFS: "Use a folder on a writable disk.",
            errno.EACCES: "Give yourself write permission there, then run the same command again.",
            errno.EEXIST: "A file stands where a folder is needed: move it away.",
            errno.ENOTDIR: "A file stands where a folder is needed: move it away.",
            errno.EISDIR: "A folder stands where a file is needed: move it away.",
            errno.ENOLCK: "That disk does not lock files: mount it with locks, or use another one.",
            errno.ENOSYS: "That disk does not lock files: mount it with locks, or use another one.",
            errno.ESTALE: "The network disk lost sight of it: run the same command again.",
            errno.EIO: "That disk is failing: see dmesg, and use another one.",
        }
        fix = remedies.get(error.errno or 0, "Mend it, then run the same command again.")
        return cls(
            str(path), error.strerror or str(error), "a file that can be read and written", fix
        )


def one_line(text: str) -> str:
    """Fold `text`, which may hold anything, to one printable line."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


def near(name: str, known: Iterable[str]) -> str:
    """Name the known names near `name`, as a sentence."""
    known = sorted(known)
    matches = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if matches:
        return f"Did you mean {' or '.join(matches)}?"
    return f"Known: {', '.join(known) or 'none'}."


def run_cli(main: Callable[[], int | None], *, stops_itself: bool = False) -> None:
    """Run a script's `main`; an error that the user can mend is printed as lines, with exit code 2.

    Args:
        main: the work; it returns the exit code.
        stops_itself: whether it ends by itself when the workflow that started it does; else it is ended then.
    """
    if not stops_itself:
        leash.end_with_workflow()
    try:
        code = main()
    except SnakevalError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
    sys.exit(code or 0)
