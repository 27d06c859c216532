"""The job's side of an engine: start it with a deadline, feed it, hear it, stop it, and notice when it dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from snakeval.engine import Answer, EngineSettings, Request, complaints, host
from snakeval.errors import EngineError, one_line

POLL_S = 0.5
SUBMIT_CHUNK = 256
STOP_S = 5.0
LOOKED_AT = 100_000  # bytes at a log's end: a traceback of each process of an engine


class EngineDied(Exception):
    """The engine's process ended or stalled while it had requests."""


class Supervisor:
    """One engine process.

    Args:
        settings: what the engine starts with.
        log: file that gets everything the engine prints.
        model: slug, for messages.
    """

    def __init__(self, settings: EngineSettings, log: Path, model: str) -> None:
        limits = settings.model["engine_limits"]
        self._start_timeout_s: float = limits["start_timeout_s"]
        self._stall_timeout_s: float = limits["stall_timeout_s"]
        self._log, self._log_start, self._model = (
            log,
            log.stat().st_size if log.exists() else 0,
            model,
        )
        context = multiprocessing.get_context("spawn")
        self._pipe: Connection
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=host.run, args=(theirs, settings, log, os.getpid()), name=f"engine {model}"
        )
        self._began = time.monotonic()
        self._process.start()
        theirs.close()
        self.facts: dict[str, Any] | None = None
        self._told_to_end = False

    def poll_start(self) -> bool:
        """Wait up to half a second for the engine; True once it is up.

        Raises:
            EngineError: it failed or is late; its own last lines say why.
        """
        if self.facts is None:
            message = self._receive()
            if message is None and time.monotonic() - self._began > self._start_timeout_s:
                raise self._start_error(f"nothing within {self._start_timeout_s:g} s")
            if message is not None:
                self._raise_if_hopeless(message)
                if message[0] != "ready":
                    raise self._start_error(self._why(message[1]))
                self.facts = dict(message[1])
        return self.facts is not None

    def submit(self, requests: list[Request]) -> None:
        """Hand over requests, in this order, and let the engine work on them.

        Raises:
            EngineDied: the engine is gone.
        """
        try:
            for first in range(0, len(requests), SUBMIT_CHUNK):
                self._pipe.send(("submit", requests[first : first + SUBMIT_CHUNK]))
            self._pipe.send(("go",))
        except OSError as error:
            raise EngineDied(self._last_words()) from error
        self._heard = time.monotonic()

    def answers(self) -> Iterator[list[Answer]]:
        """Yield finished requests as they come, and an empty list at least every half second.

        Raises:
            EngineDied: the engine ended, or was silent for too long (it is killed then).
            EngineError: it ended because no request will be answered until somebody mends something.
        """
        while True:
            message = self._receive()
            now = time.monotonic()
            if message is None:
                if now - self._heard > self._stall_timeout_s:
                    self.kill()
                    raise EngineDied(f"silent for {self._stall_timeout_s:g} s")
                yield []
                continue
            self._heard = now
            self._raise_if_hopeless(message)
            if message[0] == "failed":
                raise EngineDied(self._why(message[1]))
            yield message[1] if message[0] == "answers" else []

    def last_answers(self) -> Iterator[list[Answer]]:
        """Tell the engine to end, and yield what it has finished until then, for a few seconds at most."""
        deadline = time.monotonic() + STOP_S
        self._told_to_end = True
        with suppress(OSError):
            self._pipe.send(("stop",))
        while time.monotonic() < deadline:
            message = self._receive()
            if message is not None and message[0] in ("failed", "hopeless"):
                return
            if message is not None and message[0] == "answers":
                yield message[1]

    def stop(self) -> None:
        """End the engine: let it leave by itself for a few seconds, then kill it and all it started."""
        if self.facts is not None and not self._told_to_end:
            for _ in self.last_answers():
                pass
        self.kill()

    def kill(self) -> None:
        """Kill the engine's process group at once."""
        assert self._process.pid
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has not made its own group yet, or is gone
            self._process.kill()
        self._process.join()

    def _receive(self) -> tuple[str, Any] | None:
        """Return the next message, None after half a second of silence."""
        ready = wait([self._pipe, self._process.sentinel], POLL_S)
        if self._pipe in ready:
            try:
                message: tuple[str, Any] = self._pipe.recv()
                return message
            except (EOFError, OSError):
                self._process.join()
                return ("failed", self._last_words())
        if ready:
            self._process.join()  # its exit code comes a moment later
            return ("failed", self._last_words())
        return None

    def _raise_if_hopeless(self, message: tuple[str, Any]) -> None:
        if message[0] == "hopeless":
            self.kill()
            raise EngineError(*message[1])

    def _last_words(self) -> str:
        code = self._process.exitcode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return f"the engine ended with {how}; its last line: {self._last_line()}"

    def _why(self, said: str) -> str:
        """Return why the engine ended: what it said, or the line of its log that it points to."""
        return self._last_line() if complaints.points_elsewhere(said) else one_line(said)

    def _last_line(self) -> str:
        """Return the line that the engine printed which says most about why it ended."""
        if not self._log.exists():
            return "none"
        with self._log.open("rb") as file:
            file.seek(max(self._log_start, self._log.stat().st_size - LOOKED_AT))
            lines = [
                one_line(line)
                for line in file.read().decode("utf-8", "replace").splitlines()
                if line.strip()
            ]
        return complaints.telling(lines)[:500]

    def _start_error(self, got: str) -> EngineError:
        self.kill()
        return EngineError(
            f"model {self._model}: engine start",
            one_line(got)[:600],
            "an engine that is ready",
            complaints.remedy(got)
            or f"See {self._log}; then correct the model's entry in config/models.yaml.",
        )
