"""SIGKILL at chosen moments of a run: whom it hits, and what was journalled and answered by then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from process_table import family, processes, seconds_until, working_in
from workflow_copy import Workflow

# The scripts of a run in the order of their work; `close_run` is at work where something has failed.
PHASES = ("generate", "predictions", "score", "summarize", "report", "close_run")
LAST = ("snakemake", "group")  # victims after which nothing of the run goes on


INSIDE = {"engine": "generate", "sandbox": "score"}  # victims that only one phase has


class Planned(NamedTuple):
    """A kill: some seconds after the phase, or a later one, has come and some more answers are journalled."""

    phase: str
    victim: str  # "snakemake", "group" (with all jobs), "job", "engine" or "sandbox"
    delay_s: float
    answers: int = 0  # since the run began, or since the last kill


class Kill(NamedTuple):
    """A kill that was done."""

    phase: str
    victim: str


@dataclass
class Disturbed:
    """What became of a run in which something was killed."""

    kills: list[Kill] = field(default_factory=list)
    code: int | None = None
    output: str = ""
    left: dict[int, list[str]] = field(default_factory=dict)  # processes that outlived it
    journalled: list[dict[str, bytes]] = field(default_factory=list)  # just before each kill
    answered: list[int] = field(default_factory=list)  # how many requests, just before each kill


def at_work(folder: Path) -> dict[str, int]:
    """Return the phases that are at work in a folder, latest last, each with a process of its script."""
    found = {}
    for process, words in working_in(folder).items():
        for word in words[1:2]:
            if Path(word).stem in PHASES and "workflow/scripts/" in word:
                found[Path(word).stem] = process
    return {phase: found[phase] for phase in PHASES if phase in found}


def journals(folder: Path) -> dict[str, bytes]:
    """Return the whole lines of the journals of answers, by path."""
    found = {}
    for path in sorted(folder.glob("results/journal/*/*.jsonl")):
        whole, newline, _ = path.read_bytes().rpartition(b"\n")
        found[str(path.relative_to(folder))] = whole + newline
    return found


def requests(journal: dict[str, bytes]) -> list[str]:
    """Return the requests that journals hold answers to."""
    return [json.loads(line)["request"] for text in journal.values() for line in text.splitlines()]


def answered(folder: Path) -> list[str]:
    """Return the requests that the stand-in has answered, in order."""
    log = folder / "standin.log"
    notes = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [note["answer"] for note in notes if "answer" in note]


@contextmanager
def started(workflow: Workflow, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run Snakemake in a process group of its own; its output goes to `output.log`."""
    command, environment = workflow.command(*arguments)
    with (
        (workflow.folder / "output.log").open("wb") as output,
        subprocess.Popen(
            command,
            cwd=workflow.folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()  # its jobs notice, and stop


def disturb(workflow: Workflow, plan: Sequence[Planned], *arguments: str) -> Disturbed:
    """Run, kill what is planned one after the other, and wait until nothing is at work any more.

    Args:
        workflow: the folder.
        plan: the kills in order; what follows one of `LAST` is not done.
        arguments: of Snakemake.
    """
    folder, outcome = workflow.folder, Disturbed()
    members: set[int] = set()
    with started(workflow, *arguments) as process:
        for planned in plan:
            later = PHASES[PHASES.index(planned.phase) :]
            enough = len(requests(journals(folder))) + planned.answers
            while process.poll() is None and not (
                at_work(folder).keys() & set(later) and len(requests(journals(folder))) >= enough
            ):
                time.sleep(0.1)
            time.sleep(planned.delay_s)
            while process.poll() is None:
                found = at_work(folder)
                if planned.victim in INSIDE and found.keys() & set(later[1:]):
                    break  # too late
                victim = _victim(planned.victim, process.pid, found)
                if victim is None:
                    time.sleep(0.05)
                    continue
                members |= family(process.pid) | working_in(folder).keys()
                outcome.journalled.append(journals(folder))
                outcome.answered.append(len(answered(folder)))
                try:
                    (os.killpg if planned.victim == "group" else os.kill)(victim, signal.SIGKILL)
                except ProcessLookupError:  # it was just leaving
                    del outcome.journalled[-1], outcome.answered[-1]
                    continue
                outcome.kills.append(Kill(next(iter(found), "between"), planned.victim))
                break
        outcome.code = process.wait(240)
    seconds_until(lambda: not members & processes().keys() | working_in(folder).keys(), 20)
    alive = processes().keys()
    outcome.left = working_in(folder) | {member: [] for member in members & alive}
    outcome.output = (folder / "output.log").read_text()
    return outcome


def _victim(kind: str, snakemake: int, found: dict[str, int]) -> int | None:
    """Return the process to kill; None while there is none."""
    if kind in LAST:
        return snakemake
    if kind == "job":
        return next(iter(found.values()), None)
    job = found.get(INSIDE[kind])
    children = [child for child, parent in processes().items() if parent == job]
    if kind == "engine":
        children = [child for child in children if "spawn_main" in _command(child)]
    return children[0] if children else None


def _command(process: int) -> str:
    try:
        return Path("/proc", str(process), "cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def unlock(workflow: Workflow) -> None:
    """Take away the lock of a Snakemake that was killed, as `make run` does."""
    done = subprocess.run(
        [sys.executable, "workflow/scripts/unlock.py"],
        cwd=workflow.folder,
        env=workflow.command()[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
