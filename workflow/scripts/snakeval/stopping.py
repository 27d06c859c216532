"""Whether a job is to stop: a signal came, or the workflow that started it is gone."""

from __future__ import annotations

import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from snakeval import leash


class Stopped(Exception):
    """The job was told to stop, or the workflow that started it is gone."""


class Stopping:
    """Whether the job is to stop: a signal came, or the workflow that started the job is gone."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._workflow: int | None = None
        try:
            self._workflow = leash.workflow()
        except ProcessLookupError:
            self.reason = "the workflow is gone"

    def check(self) -> None:
        """Raise Stopped if the job is to stop."""
        if self._workflow is not None and select.select([self._workflow], [], [], 0)[0]:
            self.reason = "the workflow is gone"
        if self.reason:
            raise Stopped(self.reason)


@contextmanager
def stop_on_signals() -> Iterator[Stopping]:
    """Have SIGTERM and Ctrl-C noted for `Stopping.check`, and not end the process, within the context."""
    stopping = Stopping()

    def handle(number: int, frame: object) -> None:
        stopping.reason = signal.Signals(number).name

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
