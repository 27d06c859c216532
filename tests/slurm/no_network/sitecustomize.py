"""On PYTHONPATH, this cuts the Python processes of SLURM jobs off from every network but the machine's own loopback.

What was tried nevertheless stands in the file that ASKED_FOR names, after a line for each process that was cut off.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any


def _cut_off(log: Path) -> None:
    def note(*words: object) -> None:
        with log.open("a") as file:
            file.write(" ".join(" ".join(map(str, words)).split()) + "\n")

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            address = arguments[1]
            place = address[0] if isinstance(address, tuple) else ""
        elif event == "socket.getaddrinfo":
            place = arguments[0]
        else:
            return
        if place in (None, "", "localhost", "0.0.0.0", "::1") or str(place).startswith("127."):
            return
        note(event, place, *sys.orig_argv[1:3])
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    note("guarded", *sys.orig_argv[1:3])
    sys.addaudithook(watch)


if "SLURM_JOB_ID" in os.environ:
    _cut_off(Path(os.environ["ASKED_FOR"]))
