"""The command lines of jobs: their arguments, and of those that start an engine, their log and how they end."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import platform
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from snakeval.errors import SnakevalError
from snakeval.prompts import skip_torch
from snakeval.records import write_text
from snakeval.registry import Pair, Run, read_run
from snakeval.stopping import Stopped


def run_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the argument that all jobs have."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--run", type=Path, required=True, help="the resolved run")
    return made


def tell(description: str | None, work: Callable[[Run, Path], Iterable[str]]) -> None:
    """Parse the arguments, do a run's work in this folder, and print the lines that it yields."""
    for line in work(read_run(run_parser(description).parse_args().run), Path()):
        print(line)


def run_for_pair(description: str | None, work: Callable[[Run, Pair], None]) -> None:
    """Parse the arguments that name a pair, and do its work."""
    parser = _parser(description)
    parser.add_argument("--dataset", required=True)
    given = parser.parse_args()
    run = read_run(given.run)
    work(run, run.pair(given.model, given.dataset))


def engine_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the arguments of a job that starts an engine."""
    made = _parser(description)
    made.add_argument(
        "--status", type=Path, required=True, help="status per pair, written at the end"
    )
    made.add_argument(
        "--requests", type=Path, required=True, help="folder for the requests of each pair"
    )
    made.add_argument("--log", type=Path, required=True, help="what this job and its engine say")
    return made


def work_offline() -> None:
    """Let no library ask a hub: what a job needs was fetched before it, and its node may have no network."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")


def run_engine(model: str, log: Path, job: Callable[[], None]) -> int:
    """Run a job; return its exit code: 143 where it was told to stop.

    Args:
        model: the model whose engine it starts.
        log: begun anew, then added to by the job and its engine.
        job: the work.

    Raises:
        SnakevalError: the job's; it stands in the log too.
    """
    work_offline()
    write_text(log, "")
    logging.basicConfig(filename=log, level=logging.INFO, format="%(asctime)s %(message)s")
    logging.info("%s: process %d on %s", model, os.getpid(), platform.node())
    skip_torch()  # the engine is a process of its own
    try:
        job()
    except Stopped as reason:
        print(
            f"{model}: stopped ({reason}); what was answered is kept, the same command goes on from here",
            file=sys.stderr,
        )
        return 143
    except SnakevalError as error:
        # The end of the run tells the reason from the log; a full disk may be what it is about.
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
            file.writelines(f"error: {line}\n" for line in str(error).splitlines())
        raise
    return 0


def _parser(description: str | None) -> argparse.ArgumentParser:
    made = run_parser(description)
    made.add_argument("--model", required=True)
    return made
