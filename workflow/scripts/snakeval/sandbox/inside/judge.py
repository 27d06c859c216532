"""The tests' side of a function problem: run `check(candidate)`, with the program in another process.

The candidate is a function that sends its arguments over and raises or returns what comes back. What
comes back is data (`wire`), so a program decides nothing here but its own results.
"""

from __future__ import annotations

import reprlib
import types
from typing import Any

from . import channel, failures, wire

MAX_CALL = 500  # characters of the last call that a message shows


class Over(BaseException):
    """The program cannot be asked any more. No test may catch this and go on to a pass."""


class Link:
    """The program, as far as the tests can see it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.over: dict[str, Any] | None = None  # the verdict, once nothing more can be asked
        self.raised: list[tuple[BaseException, str, str]] = []  # with messages and tracebacks
        self.last: tuple[Any, ...] = ()  # arguments, keywords, verb, result of the last call

    def begin(self) -> None:
        """Wait until the program is loaded.

        Raises:
            Over: it is not; `over` says why.
        """
        form = self._receive()
        if form.get("ready") is True:
            return
        told = form.get("failed")
        if isinstance(told, dict) and told.get("verdict") in (
            "syntax",
            "exception",
            "memory",
            "entry_point_missing",
        ):
            self.end({name: str(told.get(name)) for name in ("verdict", "message", "traceback")})
        self.end(failures.told("exception", "the program wrote into its own channel"))

    def call(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Have the program's function called.

        Raises:
            Over: the program is gone, has asked to end, or has answered with nothing plain.
            Exception: what the program raised.
        """
        if self.over is not None:
            raise Over
        sender = wire.Sender()
        try:
            question = sender.encode((arguments, keywords))
        except wire.TooDeep as error:
            # Where the program has answered, the depth is of its making.
            verdict = "exception" if self.last else "judge_failed"
            self.end(failures.told(verdict, f"the tests hand over {error}"))
        except wire.Unsendable as error:
            # The tests are not made for two processes.
            self.end(failures.told("judge_failed", f"the tests hand over {error}"))
        try:
            channel.send(self._descriptor, question)
        except channel.Closed as error:
            self._gone(error)
        form = self._receive()
        receiver = wire.Receiver(sender.kept)
        try:
            if "r" in form:
                result = receiver.decode(form["r"])
                for number, content in form["c"]:
                    receiver.rewrite(number, content)
                self.last = (arguments, keywords, "returned", result)
                return result
            if "u" in form:
                message = f"the program returned {str(form['u'])[:300]}, which is no plain value"
                self.end(failures.told("wrong_answer", message))
            raised = failures.rebuild(form["e"])
            trace = str(form["e"]["traceback"])[-failures.MAX_TEXT :]
            message = str(form["e"]["message"])[: failures.MAX_TEXT]
        except Exception as bad:  # hostile data may raise anything, RecursionError too
            text = f"the program answered with what cannot be read ({type(bad).__name__})"
            self.end(failures.told("exception", text))
        if isinstance(raised, failures.Exited):
            self.end(failures.told("exception", message, trace))
        if isinstance(raised, StopIteration | StopAsyncIteration):
            # `all(map(candidate, …))` would end here and pass; generators have the same rule.
            message = f"the program raised {type(raised).__name__}"
            raised = RuntimeError(message)
        self.last = (arguments, keywords, "raised", raised)
        self.raised.append((raised, message, trace))
        raise raised

    def forget(self) -> None:
        """Let go of what the program has returned and raised."""
        self.last = ()
        self.raised.clear()

    def end(self, verdict: dict[str, Any]) -> None:
        """Set the verdict for good.

        Raises:
            Over: always.
        """
        self.over = verdict
        raise Over

    def _receive(self) -> Any:
        try:
            form = channel.receive(self._descriptor)
        except channel.Closed as error:
            self._gone(error)
        if not isinstance(form, dict):
            self.end(failures.told("exception", "the program answered with what cannot be read"))
        return form

    def _gone(self, error: channel.Closed) -> None:
        # How it ended is not known here: the worker sees that.
        gone = str(error) == "the other side is gone"
        self.end(
            {"ended": True} if gone else failures.told("exception", f"the program sent {error}")
        )


def run(order: dict[str, Any], descriptor: int) -> dict[str, Any]:
    """Judge a program; return `{verdict, message, traceback}`, or `{"ended": True}` where it is gone.

    Args:
        order: `tests`, `entry_point`, `prelude`.
        descriptor: the socket to the program.
    """
    link = Link(descriptor)

    def candidate(*arguments: Any, **keywords: Any) -> Any:
        return link.call(arguments, keywords)

    candidate.__name__ = candidate.__qualname__ = order["entry_point"]
    names = types.ModuleType("tests").__dict__
    failures.show_lines("tests.py", order["tests"])
    try:
        exec(compile(order["prelude"], "prompt.py", "exec", dont_inherit=True), names)
        names[order["entry_point"]] = candidate
        names.pop("check", None)
        exec(compile(order["tests"], "tests.py", "exec", dont_inherit=True), names)
        check = names["check"]
    except BaseException as error:
        return failures.describe("judge_failed", error)
    try:
        link.begin()
        check(candidate)
    except BaseException as error:
        return link.over or _judged(link, error)
    finally:
        # Names and functions hold each other: what the program has returned would stay for long.
        names.clear()
        link.forget()
    return link.over or failures.told("passed", "")


def _judged(link: Link, error: BaseException) -> dict[str, Any]:
    """Return the verdict where the tests have raised `error`."""
    for raised, message, trace in link.raised:
        if error is raised:
            kind = "memory" if isinstance(error, MemoryError) else "exception"
            return failures.told(kind, message + _after(link), trace)
    if isinstance(error, MemoryError):
        return failures.describe("memory", error)
    broken = isinstance(error, NameError | ImportError | SyntaxError | failures.Exited | SystemExit)
    broken = broken and not _follows(error, link)
    told = failures.describe("judge_failed" if broken else "wrong_answer", error)
    if not isinstance(error, AssertionError):
        told["message"] = f"the tests ended with {told['message']}"
    return told | {"message": told["message"] + _after(link)}


def _follows(error: BaseException, link: Link) -> bool:
    """Whether the tests raised `error` while they handled one of the program's."""
    before = error.__cause__ or error.__context__
    while before is not None:
        if any(before is raised for raised, _, _ in link.raised):
            return True
        before = before.__cause__ or before.__context__
    return False


def _after(link: Link) -> str:
    return f"; the last call: {_shown(*link.last)}" if link.last else ""


def _shown(arguments: tuple[Any, ...], keywords: dict[str, Any], verb: str, result: Any) -> str:
    """Return the last call for people, bounded in length."""
    parts = [_short(value) for value in arguments]
    parts += [f"{name}={_short(value)}" for name, value in keywords.items()]
    return f"({', '.join(parts)}) {verb} {_short(result)}"[:MAX_CALL]


def _short(value: Any) -> str:
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = 120
    short.maxlist = short.maxtuple = short.maxdict = short.maxset = 20
    try:
        return short.repr(value)
    except Exception as error:  # a long number has no decimal text
        return f"({type(value).__name__}: {error})"
