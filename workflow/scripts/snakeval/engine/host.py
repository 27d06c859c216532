"""The process that holds the engine: a loop between a pipe and `Engine.step`.

Messages to the host: `("submit", [Request])`, `("go",)`, `("stop",)`.
Messages from it: `("ready", facts)`, `("failed", text)`, `("answers", [Answer])`, `("alive", None)`, and
`("hopeless", (where, got, expected, fix))` for an error that tells its remedy.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from snakeval.engine import Answer, Engine, EngineSettings, load_engine
from snakeval.errors import EngineError

HEARTBEAT_S = 1.0


def run(pipe: Connection, settings: EngineSettings, log: Path, job_pid: int) -> None:
    """Be the engine's process: own session, output to `log`, gone when the job is gone."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):  # a cluster tells every process of a job
        signal.signal(number, signal.SIG_IGN)  # the job decides how to stop
    _watch(job_pid, keep=pipe.fileno())
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    try:
        engine = load_engine(settings.model["engine"])(settings)
        pipe.send(("ready", engine.facts()))
        _serve(pipe, engine)
    except (EOFError, BrokenPipeError):
        return  # the job is gone
    except EngineError as error:
        pipe.send(("hopeless", (error.where, error.got, error.expected, error.fix)))
    except BaseException as error:
        traceback.print_exc()
        sys.stderr.flush()
        pipe.send(("failed", f"{type(error).__name__}: {error}"))
        raise SystemExit(1) from error


def _serve(pipe: Connection, engine: Engine) -> None:
    waiting: set[str] = set()
    going = False
    heartbeat = time.monotonic()
    while True:
        while not (going and waiting) or pipe.poll(0):
            message = pipe.recv()
            if message[0] == "stop":
                return
            if message[0] == "go":
                going = True
            else:
                refused = []
                for request in message[1]:
                    try:
                        engine.submit(request)
                        waiting.add(request.hash)
                    except ValueError as error:
                        refused.append(Answer(request.hash, "", "error", 0, error=str(error)))
                if refused:
                    pipe.send(("answers", refused))
        answers = engine.step()
        now = time.monotonic()
        if answers:
            waiting.difference_update(answer.hash for answer in answers)
            pipe.send(("answers", answers))
            heartbeat = now
        elif now - heartbeat > HEARTBEAT_S:
            pipe.send(("alive", None))
            heartbeat = now
        if not waiting:
            going = False


def _watch(job_pid: int, keep: int) -> None:
    """Fork a watcher that kills this whole process group as soon as the job or this process is gone.

    A parent-death signal would not reach the processes that the engine itself starts, and these hold
    the GPU's memory.
    """
    group = os.getpid()
    try:
        ends = [os.pidfd_open(job_pid), os.pidfd_open(group)]
    except ProcessLookupError:
        os._exit(1)
    if os.fork():
        for end in ends:
            os.close(end)
        return
    os.setpgid(0, 0)
    os.close(keep)
    select.select(ends, [], [])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    os._exit(0)
