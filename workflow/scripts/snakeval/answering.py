"""A job that has a model answer requests for pairs: one engine, watched, started again where it dies.

Each finished request is journalled at once, under a hash of all that its answer depends on. What the
journal holds is not asked again, and where it holds everything no engine is started. A pair that cannot
be answered gets a status with its reason; the others go on.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from snakeval import gpu, journal, tasks
from snakeval.engine import Answer, EngineSettings, Request
from snakeval.engine.supervisor import EngineDied, Supervisor
from snakeval.errors import EngineError, PromptError, SnakevalError
from snakeval.records import canonical_json, read_json, write_json, write_jsonl
from snakeval.registry import Pair, Run

log = logging.getLogger(__name__)

# Halving a batch of 10,000 down to the one request that kills the engine takes 14.
MAX_ENGINE_STARTS = 16


class Stopped(Exception):
    """The job was told to stop, or the workflow that started it is gone."""


def request_hash(
    weights: Any, token_ids: list[int], sampling: dict[str, Any], sample: list[Any]
) -> str:
    """Address a request by all that its answer depends on: 24 hex digits.

    Args:
        weights: the model part of the pair's spec, the generator's version, and the commit that was
            really fetched: an answer of other weights must never be served.
        token_ids: the prompt.
        sampling: every sampling parameter.
        sample: dataset, sample id and repeat, and the name of the image that is shown.
    """
    content = [weights, token_ids, sampling, sample]
    return hashlib.sha256(canonical_json(content).encode("utf-8", "surrogatepass")).hexdigest()[:24]


def check_context(model: str, entry: dict[str, Any], folder: Path) -> None:
    """Refuse a context that is longer than the model's own.

    Raises:
        EngineError: `max_model_len` exceeds `max_position_embeddings` of the model's config.json.
    """
    config = read_json(folder / "config.json")
    config = config.get("text_config", config)
    longest = config.get("max_position_embeddings")
    if (
        longest
        and entry["max_model_len"] > longest
        and not entry["engine_arguments"].get("hf_overrides")
    ):
        raise EngineError(
            f"model {model}: max_model_len",
            str(entry["max_model_len"]),
            f"at most {longest} tokens, the context in the model's config.json",
            "Lower max_model_len in config/models.yaml, or extend the context by hf_overrides in engine_arguments.",
        )


class Work(ABC):
    """What is asked for one pair: its requests in order, those still unanswered, and why it failed if it did.

    Args:
        run: the resolved run.
        pair: the pair.
        name: names the pair in the job's status.
        path: the journal of its answers.

    Attributes:
        lines: what each request was, by its place in the pair, whose order counts; None before `prepare`.
        missing: the requests that are still unanswered, by hash and in order.
        reason: why the pair has failed; None unless it has.
    """

    def __init__(self, run: Run, pair: Pair, name: str, path: Path) -> None:
        self.run, self.pair, self.name, self.journal = run, pair, name, path
        self.lines: dict[tuple[int, ...], dict[str, Any]] | None = None
        self.missing: dict[str, Request] = {}
        self.reason: str | None = None

    @abstractmethod
    def prepare(self, tokenizer: Any, commit: str) -> None:
        """Fill `lines` and `missing`, or give a `reason`.

        Args:
            tokenizer: the answering model's, from `prompts.load_tokenizer`.
            commit: the revision of it that was really fetched.
        """

    def is_new(self) -> bool:
        """Whether an engine will surely be needed."""
        return not self.journal.exists()

    def follow_up(self, answer: Answer) -> Request | Answer | None:
        """Return what an answer makes possible to ask, None if it is the end of the matter.

        The answer to a request that cannot be asked is an error record.
        """
        return None

    def fail(self, error: SnakevalError) -> None:
        """Give the pair a reason, unless it has one or all its answers are there."""
        if self.reason is None and (self.lines is None or self.missing):
            self.reason = str(error)


def run_job(
    run: Run,
    model: str,
    work: Sequence[Work],
    status_path: Path,
    requests_folder: Path,
    log_path: Path,
) -> None:
    """Have a model answer all that is asked of it.

    Writes `status_path`: `{model, log, pairs: {name: {key, status, reason}}}`, and
    `requests_folder/{name}.jsonl`: the requests of each pair in order, by which its answers are found
    in the journal.

    Raises:
        Stopped: SIGTERM, Ctrl-C, or the workflow is gone; what was finished is journalled.
        StorageError: the journal or the status cannot be written.
    """
    with journal.ModelLock(model), _stop_on_signals() as stopping:
        try:
            _answer(run, model, work, log_path, stopping)
        except SnakevalError as error:
            if not isinstance(error, EngineError | PromptError):
                raise
            for item in work:
                item.fail(error)
        requests_folder.mkdir(parents=True, exist_ok=True)
        for item in work:
            if item.reason is None and item.lines is not None:
                lines = (item.lines[place] for place in sorted(item.lines))
                write_jsonl(requests_folder / f"{item.name}.jsonl", lines)
        pairs = {
            item.name: {
                "key": item.pair.key,
                "status": "failed" if item.reason else "ok",
                "reason": item.reason,
            }
            for item in work
        }
        write_json(status_path, {"model": model, "log": str(log_path), "pairs": pairs})


def engine_settings(
    run: Run, model: str, fetched: Mapping[str, Any], images: bool = False
) -> EngineSettings:
    """Return what a model's engine starts with on this machine.

    Args:
        run: the resolved run.
        model: the model.
        fetched: its status, `{path, tokenizer_path, …}`.
        images: whether any request will show an image.

    Raises:
        EngineError: this machine has no GPU for it, or its context is longer than the model's own.
    """
    entry, device = run.entry(model), gpu.device()
    if device == "cpu" and not entry["runs_on_cpu"]:
        raise EngineError(
            f"model {model}",
            "a machine without a GPU that vLLM can use",
            f"{entry['gpus']} GPU(s)",
            "Run it on a GPU machine, or set runs_on_cpu: true in config/models.yaml if you want to wait.",
        )
    check_context(model, entry, Path(fetched["path"]))
    return EngineSettings(
        model_path=fetched["path"],
        tokenizer_path=fetched["tokenizer_path"],
        model=entry,
        seed=run.settings["seed"],
        device=device,
        images=images,
    )


def _answer(run: Run, model: str, work: Sequence[Work], log_path: Path, stopping: Stopping) -> None:
    entry = run.entry(model)
    fetched = read_json(run.model_status(model))
    if fetched["status"] != "ok":
        for item in work:
            item.reason = str(fetched["reason"])
        return
    images = any(tasks.IMAGE in run.datasets[item.pair.dataset]["fields"] for item in work)
    settings = engine_settings(run, model, fetched, images)

    from snakeval import prompts

    tokenizer = prompts.load_tokenizer(fetched["tokenizer_path"], entry)
    with ExitStack() as stack:
        names = stack.enter_context(gpu.reserved(entry["gpus"], model, settings.device))
        engines = stack.enter_context(Engines(settings, log_path, model, names, stopping))
        if any(item.is_new() for item in work):
            engines.start()  # let it load while the prompts are rendered
        for item in work:
            try:
                item.prepare(tokenizer, fetched["commit"])
            except SnakevalError as error:
                item.fail(error)
                log.error("%s", error)
            stopping.check()
        ready = [item for item in work if item.reason is None]
        total = sum(len(item.lines or {}) for item in ready)
        waiting = sum(len(item.missing) for item in ready)
        log.info("%s: %d requests, %d of them to be answered", model, total, waiting)
        if waiting:
            _answer_missing(engines, model, ready)


def _answer_missing(engines: Engines, model: str, work: Sequence[Work]) -> None:
    """Have every missing request answered and journalled, whatever the engine does on the way.

    When the engine dies, the unfinished requests are asked again in halves, so that a request that kills
    it is found: alone, after its second kill, it gets an error record.
    """
    owners = {name: item for item in work for name in item.missing}
    with ExitStack() as stack:
        appenders = {
            item.journal: stack.enter_context(journal.Appender(item.journal)) for item in work
        }
        sessions = stack.enter_context(journal.Appender(journal.sessions_path(model)))
        bar = stack.enter_context(_progress(model, len(owners)))

        def keep(answers: list[Answer]) -> None:
            by_journal: dict[Path, list[Answer]] = {}
            for answer in answers:
                by_journal.setdefault(owners[answer.hash].journal, []).append(answer)
            for path, finished in by_journal.items():
                appenders[path].append(
                    journal_record(answer, engines.session) for answer in finished
                )
            for answer in answers:
                del owners[answer.hash].missing[answer.hash]
            bar.update(answers)

        def follow(answers: list[Answer]) -> list[Request]:
            """Return the requests that these answers make possible."""
            found: list[Request] = []
            for answer in answers:
                owner = owners[answer.hash]
                match owner.follow_up(answer):
                    case Request() as request:
                        owners[request.hash] = owner
                        owner.missing[request.hash] = request
                        found.append(request)
                    case Answer() as refused:
                        appenders[owner.journal].append([journal_record(refused, None)])
            bar.expect(len(found))
            return found

        waves = [[request for item in work for request in item.missing.values()]]
        while waves:
            wave = waves.pop()
            engine = engines.ready(sessions)
            try:
                engine.submit(wave)
                unfinished = {request.hash for request in wave}
                for answers in engine.answers():
                    keep(answers)
                    unfinished.difference_update(answer.hash for answer in answers)
                    if further := follow(answers):
                        wave += further
                        unfinished.update(request.hash for request in further)
                        engine.submit(further)
                    if not unfinished:
                        break
                    engines.tick()
                engines.note_end(sessions, bar)
            except Stopped:
                for answers in engine.last_answers():
                    keep(answers)
                engines.note_end(sessions, bar)
                raise
            except EngineDied as death:
                engines.died(sessions, str(death))
                left = [request for request in wave if request.hash in owners[request.hash].missing]
                log.error("%s: %s; %d requests unfinished", model, death, len(left))
                if len(left) == 1 and engines.killed_by(left[0].hash) > 1:
                    refusal = f"killed the engine twice; the last time: {death}"
                    keep([Answer(left[0].hash, "", "error", 0, error=refusal)])
                    continue
                half = (len(left) + 1) // 2
                waves += [piece for piece in (left[half:], left[:half]) if piece]


def journal_record(answer: Answer, session: str | None) -> dict[str, Any]:
    """Return an answer's line in the journal."""
    record: dict[str, Any] = {
        "request": answer.hash,
        "completion": answer.completion,
        "finish_reason": answer.finish_reason,
        "completion_tokens": answer.completion_tokens,
        "latency_s": answer.latency_s,
        "ttft_s": answer.ttft_s,
        "session": session,
    }
    if answer.likelihood:
        record["likelihood"] = answer.likelihood
    if answer.prompt_tokens:
        record["prompt_tokens"] = answer.prompt_tokens
    return record | ({"error": answer.error} if answer.error else {})


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
        self._last_sample = 0.0
        self.session = ""
        self._noted = False

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
        self.session = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}-{self._starts}"
        self._engine = Supervisor(self._settings, self._log, self._model)
        self._noted = False

    def ready(self, sessions: journal.Appender) -> Supervisor:
        """Return an engine that is up; start one if none is.

        Raises:
            EngineError: it does not come up.
        """
        if self._engine is None:
            self.start()
        engine = self._engine
        assert engine is not None
        while not engine.poll_start():
            self._stopping.check()
        if not self._noted:
            self._noted = True
            self._went = time.monotonic()
            log.info("%s: engine is up", self._model)
            facts = {"event": "start", "session": self.session, "device": self._settings.device}
            used = {"gpu": self._meter.describe(), "start_joules": self._meter.read()["joules"]}
            sessions.append([facts | used | (engine.facts or {})])
            self._meter = gpu.Meter(self._gpus)  # from here on: what the answers take
        return engine

    def tick(self) -> None:
        """Do what is due about once a second while the engine works.

        Raises:
            Stopped: the job is to stop.
        """
        if (now := time.monotonic()) - self._last_sample > 1:
            self._meter.sample()
            self._last_sample = now
        self._stopping.check()

    def note_end(self, sessions: journal.Appender, done: Progress) -> None:
        """Record how long the engine has worked, how much it has answered, and what that took."""
        from snakeval.engine import vllm_log

        self._meter.sample()
        worked = {
            "generate_s": time.monotonic() - self._went,
            "requests": done.requests,
            "completion_tokens": done.tokens,
        }
        facts = {"event": "end", "session": self.session, **worked}
        sessions.append([facts | self._meter.read() | vllm_log.read(self._log)])

    def died(self, sessions: journal.Appender, reason: str) -> None:
        """Forget an engine that died."""
        sessions.append([{"event": "died", "session": self.session, "reason": reason}])
        if self._engine:
            self._engine.kill()
        self._engine = None

    def killed_by(self, request: str) -> int:
        """Count one more engine that died with only this request, and return how many did."""
        self._kills[request] = self._kills.get(request, 0) + 1
        return self._kills[request]

    def __enter__(self) -> Engines:
        return self

    def __exit__(self, *_: object) -> None:
        if self._engine:
            self._engine.stop()


class Stopping:
    """Whether the job is to stop: a signal came, or the workflow that started the job is gone."""

    def __init__(self) -> None:
        self.reason: str | None = None
        workflow = os.environ.get("SNAKEVAL_WORKFLOW_PID")
        self._workflow: int | None = None
        if workflow:
            try:
                self._workflow = os.pidfd_open(int(workflow))
            except ProcessLookupError:
                self.reason = "the workflow is gone"

    def check(self) -> None:
        """Raise Stopped if the job is to stop."""
        if self._workflow is not None:
            import select

            if select.select([self._workflow], [], [], 0)[0]:
                self.reason = "the workflow is gone"
        if self.reason:
            raise Stopped(self.reason)


@contextmanager
def _stop_on_signals() -> Iterator[Stopping]:
    stopping = Stopping()

    def handle(number: int, frame: object) -> None:
        stopping.reason = signal.Signals(number).name

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(model: str, total: int) -> Iterator[Progress]:
    progress = Progress(model, total)
    try:
        yield progress
    finally:
        progress.close()


class Progress:
    """One bar over all requests on a terminal; a line every 30 s in the log."""

    def __init__(self, model: str, total: int) -> None:
        from tqdm import tqdm

        self._bar = tqdm(
            total=total, desc=model, unit="request", disable=not sys.stderr.isatty(), leave=False
        )
        self._model, self._total = model, total
        self.requests = self.tokens = 0
        self._began = self._told = time.monotonic()

    def update(self, answers: list[Answer]) -> None:
        """Count finished requests."""
        self.requests += len(answers)
        self.tokens += sum(answer.completion_tokens for answer in answers)
        now = time.monotonic()
        rate = self.tokens / max(now - self._began, 1e-9)
        if answers:
            self._bar.set_postfix_str(f"{rate:,.0f} tokens/s", refresh=False)
            self._bar.update(len(answers))
        if now - self._told > 30:
            self._told = now
            log.info(
                "%s: %d of %d requests, %.0f tokens/s",
                self._model,
                self.requests,
                self._total,
                rate,
            )

    def expect(self, further: int) -> None:
        """Count requests that were not known at the start."""
        self._total += further
        self._bar.total = self._total

    def close(self) -> None:
        """Take the bar away and say what was done."""
        self._bar.close()
        seconds = time.monotonic() - self._began
        log.info(
            "%s: %d requests, %d tokens in %.1f s", self._model, self.requests, self.tokens, seconds
        )
