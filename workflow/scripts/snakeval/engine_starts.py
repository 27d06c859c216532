"""The engine starts of one job: watched, measured, recorded, and tried again where that may help."""

from __future__ import annotations

import logging
import sys
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from snakeval import gpu, journal
from snakeval.engine import Answer, EngineSettings, Request, complaints
from snakeval.engine.supervisor import EngineDied, Supervisor
from snakeval.errors import EngineError
from snakeval.stopping import Stopping

log = logging.getLogger(__name__)

# Halving a batch of 10,000 down to the one request that kills the engine takes 14.
MAX_ENGINE_STARTS = 16
TRIAL = "trial"  # the name of a request that nobody asked


class Engines:
    """The engine starts of one job: one, unless an engine dies."""

    def __init__(
        self,
        settings: EngineSettings,
        log_path: Path,
        model: str,
        gpus: list[str],
        stopping: Stopping,
    ) -> None:
        self._settings, self._log, self._model = settings, log_path, model
        self._gpus, self._meter = gpus, gpu.Meter(gpus)
        self._stopping = stopping
        self._engine: Supervisor | None = None
        self._starts = 0
        self._kills: dict[str, int] = {}
        self._last_sample = self._began = 0.0
        self._worked: dict[str, float] = {}
        self.session = ""
        self._noted = False
        self._lives = False  # whether any engine of this job has answered anything
        # The batch, where it had to be smaller, and why.
        self._smaller: dict[str, Any] | None = None
        self.forecast: dict[str, Any] | None = None  # written down before the engine is up

    @property
    def is_remote(self) -> bool:
        """Whether the answers come from a server."""
        return self._settings.device == "endpoint"

    def start(self) -> None:
        """Start an engine without waiting for it."""
        self._starts += 1
        if self._starts > MAX_ENGINE_STARTS:
            raise EngineError(
                f"model {self._model}",
                f"an engine that died {self._starts - 1} times",
                "one that answers",
                f"See {self._log}; lower max_num_seqs or gpu_memory_utilization in the model's engine_limits.",
            )
        self.session = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}-{self._starts}"
        self._meter, self._began = gpu.Meter(self._gpus), time.monotonic()
        self._worked = {"requests": 0, "completion_tokens": 0, "stream_s": 0.0}
        self._engine = Supervisor(self._settings, self._log, self._model)
        self._noted = False

    def ready(self, sessions: journal.Appender) -> Supervisor:
        """Return an engine that is up; start one if none is, once more with a smaller batch if that may help.

        Raises:
            EngineError: it does not come up.
        """
        while True:
            if self._engine is None:
                self.start()
            engine = self._engine
            assert engine is not None
            if self.forecast is not None and not self._noted:
                event = {"event": "forecast", "session": self.session, "forecast": self.forecast}
                sessions.append([event])
            try:
                while not engine.poll_start():
                    self.tick()
                break
            except EngineError as error:
                self._stopping.check()  # a cluster tells the engine's processes too
                if not self._recover(sessions, error.got):
                    got = self._in_full(error.got)
                    raise EngineError(error.where, got, error.expected, error.fix) from error
        self.forecast = None
        if not self._noted:
            self._noted = True
            log.info("%s: engine is up", self._model)
            facts: dict[str, Any] = {
                "event": "start",
                "session": self.session,
                "device": self._settings.device,
            }
            if self._smaller:
                facts["smaller_batch"] = self._smaller
            self._meter.sample()
            used = {"start_s": time.monotonic() - self._began, "gpu": self._meter.describe()}
            used |= {f"start_{name}": value for name, value in self._meter.read().items()}
            sessions.append([facts | used | (engine.facts or {})])
            # From here on: what the answers take.
            self._meter, self._went = gpu.Meter(self._gpus), time.monotonic()
            self._last_sample = self._went
        return engine

    def try_out(self, request: Request) -> None:
        """Have an engine that follows one that died without any answer say a single token first.

        Raises:
            EngineError: it dies of that too.
            Stopped: the job is to stop.
        """
        if self._lives or self._starts == 1 or self.is_remote:
            return
        engine = self._engine
        assert engine is not None
        sampling = {"max_tokens": 1, "temperature": 0.0}
        try:
            engine.submit([Request(TRIAL, request.token_ids[:1], sampling)])
            for answers in engine.answers():
                if answers:
                    break
                self.tick()
        except EngineDied as death:
            raise EngineError(
                f"model {self._model}",
                f"an engine that dies of any request: {death}",
                "one that answers",
                complaints.remedy(str(death)) or f"See {self._log}.",
            ) from death
        self._lives = True

    def count(self, answers: list[Answer]) -> None:
        """Count what the engine has answered; stream-seconds are the answers' latencies together."""
        self._lives = self._lives or bool(answers)
        self._worked["requests"] += len(answers)
        self._worked["completion_tokens"] += sum(answer.completion_tokens for answer in answers)
        self._worked["stream_s"] += sum(answer.latency_s or 0.0 for answer in answers)

    def tick(self) -> None:
        """Do what is due about once a second while the engine starts or works.

        Raises:
            Stopped: the job is to stop.
        """
        if (now := time.monotonic()) - self._last_sample > 1:
            self._meter.sample()
            self._last_sample = now
        self._stopping.check()

    def note_end(self, sessions: journal.Appender) -> None:
        """Record how long the engine has worked, how much it has answered, and what that took."""
        from snakeval.engine import vllm_log

        self._meter.sample()
        worked = {"generate_s": time.monotonic() - self._went, **self._worked}
        facts = {"event": "end", "session": self.session, **worked}
        told = vllm_log.read(self._log, gpus=max(1, len(self._gpus)))
        sessions.append([facts | self._meter.read() | told])

    def died(self, sessions: journal.Appender, reason: str, left: int) -> bool:
        """Forget an engine that died; return whether the next one may do with the same requests what it could not.

        Args:
            sessions: the record of engine starts.
            reason: its last words.
            left: how many requests it had when it died; one alone may be what a batch is not.

        Raises:
            EngineError: no engine will do better.
            Stopped: the job is to stop.
        """
        if self._engine:
            self._engine.kill()
        self._stopping.check()  # as in `ready`
        if self._recover(sessions, reason):
            return True
        fruitless = left > 1 and not self._worked["requests"]
        if fruitless and self._smaller and complaints.crowded(reason):
            raise EngineError(
                f"model {self._model}",
                self._in_full(reason),
                "a batch that fits the GPU's memory",
                complaints.remedy(reason) or "Lower max_num_seqs in the model's engine_limits.",
            )
        return False

    def _recover(self, sessions: journal.Appender, reason: str) -> bool:
        """Record what an engine ended with; return whether it was its batch, which is smaller from now on.

        Raises:
            EngineError: its GPU is gone.
        """
        sessions.append([{"event": "died", "session": self.session, "reason": reason}])
        self._engine, self._noted = None, False
        if words := self._meter.lost():
            raise EngineError(
                f"model {self._model}: GPU {','.join(self._gpus)}",
                f"{words} from NVML, and of the engine: {reason}",
                "a GPU that answers",
                "Look at nvidia-smi and dmesg; reset it, or run the same command again on another machine.",
            )
        if self._smaller or self.is_remote or not complaints.crowded(reason):
            return False
        if (found := complaints.smaller(self._settings)) is None:
            return False
        self._settings, limits = found
        self._smaller = {**limits, "because": reason}
        told = "%s: out of memory (%s); trying once more with a smaller batch: %s"
        log.warning(told, self._model, reason, _limits(limits))
        print(told % (self._model, reason, _limits(limits)), file=sys.stderr)
        return True

    def _in_full(self, reason: str) -> str:
        """Say of an engine that lacked memory that a smaller batch has been tried."""
        if self._smaller is None or not complaints.crowded(reason):
            return reason
        return f"{reason}, with {_limits(self._smaller)} too"

    def killed_by(self, request: str) -> int:
        """Count one more engine that died with only this request, and return how many did."""
        self._kills[request] = self._kills.get(request, 0) + 1
        return self._kills[request]

    def __enter__(self) -> Engines:
        return self

    def __exit__(self, *_: object) -> None:
        if self._engine:
            self._engine.stop()


def _limits(batch: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {batch[name]}" for name in complaints.BATCH)
