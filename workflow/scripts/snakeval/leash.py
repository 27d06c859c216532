"""A job does not outlive the Snakemake that started it: the next run must not meet it at work."""

from __future__ import annotations

import os
import select
import threading

VARIABLE = "SNAKEVAL_WORKFLOW_PID"  # the process id of that Snakemake


def workflow() -> int | None:
    """Return a descriptor that can be read when the workflow has ended; None where none started this.

    Raises:
        ProcessLookupError: it has ended already.
    """
    number = os.environ.get(VARIABLE)
    return os.pidfd_open(int(number)) if number else None


def end_with_workflow() -> None:
    """End this process at once when the workflow ends; what it has started ends with it."""
    try:
        descriptor = workflow()
    except ProcessLookupError:
        os._exit(143)
    if descriptor is not None:
        threading.Thread(target=_end_after, args=(descriptor,), daemon=True).start()


def _end_after(descriptor: int) -> None:
    select.select([descriptor], [], [])
    os._exit(143)
