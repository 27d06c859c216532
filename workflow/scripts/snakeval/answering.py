"""A job that has a model answer requests for pairs: one engine, watched, started again where it dies.

Each finished request is journalled at once, under a hash of all that its answer depends on. What the
journal holds is not asked again, and where it holds everything no engine is started. A pair that cannot
be answered gets a status with its reason; the others go on.
"""

from __future__ import annotations

import hashlib
import logging
import signal
import sys
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakeval import checkpoint, determinism, gpu, journal, leash, parallel, tasks
from snakeval.engine import Answer, EngineSettings, Request, complaints
from snakeval.engine.supervisor import EngineDied, Supervisor
from snakeval.errors import EngineError, PromptError, SnakevalError
from snakeval.records import canonical_json, read_json, write_bytes, write_json, write_jsonl
from snakeval.registry import Pair, Run, quantized

if TYPE_CHECKING:
    from snakeval.prompts import Rendered

log = logging.getLogger(__name__)

# Halving a batch of 10,000 down to the one request that kills the engine takes 14.
MAX_ENGINE_STARTS = 16
ROOM = 65536  # bytes that are free for sure when an engine is started
TRIAL = "trial"  # the name of a request that nobody asked


class Stopped(Exception):
    """The job was told to stop, or the workflow that started it is gone."""


def request_hash(
    weights: Any, prompt: Sequence[Any], sampling: dict[str, Any], sample: list[Any]
) -> str:
    """Address a request by all that its answer depends on: 24 hex digits.

    Args:
        weights: the model part of the pair's spec, the generator's version, and the commit or hash of what
            was really fetched or made: an answer of other weights must never be served.
        prompt: token ids, or of an endpoint the messages.
        sampling: every sampling parameter.
        sample: dataset, sample id and repeat, and the name of the image that is shown.
    """
    content = [weights, prompt, sampling, sample]
    return hashlib.sha256(canonical_json(content).encode("utf-8", "surrogatepass")).hexdigest()[:24]


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
        tick: called for each sample by `prepare`, which may take long; it raises Stopped to end it.
    """

    def __init__(self, run: Run, pair: Pair, name: str, path: Path) -> None:
        self.run, self.pair, self.name, self.journal = run, pair, name, path
        self.lines: dict[tuple[int, ...], dict[str, Any]] | None = None
        self.missing: dict[str, Request] = {}
        self.reason: str | None = None
        self.tick: Callable[[], None] = lambda: None
        self._given_up: list[str] = []

    @abstractmethod
    def prepare(self, tokenizer: Any, commit: str | None) -> None:
        """Fill `lines` and `missing`, or give a `reason`.

        Args:
            tokenizer: the answering model's, from `prompts.load_tokenizer`.
            commit: what of it was really fetched or made, as `registry.quantized.weights` names it.
        """

    def is_new(self) -> bool:
        """Whether an engine will surely be needed."""
        return not self.journal.exists()

    def follow_up(self, answer: Answer) -> Request | Answer | None:
        """Return what an answer makes possible to ask, None if it is the end of the matter.

        The answer to a request that cannot be asked is an error record.
        """
        return None

    def give_up(self, error: str) -> None:
        """Leave a request unanswered for this time, which fails the pair."""
        self._given_up.append(error)
        count = len(self._given_up)
        self.reason = (
            f"{count} request{'' if count == 1 else 's'} not answered; the first: {self._given_up[0]}. "
            "Run the same command again; only what is missing is asked."
        )

    def fail(self, error: SnakevalError) -> None:
        """Give the pair a reason, unless it has one or all its answers are there."""
        if self.reason is None and (self.lines is None or self.missing):
            self.reason = str(error)


def made_request(
    entry: Mapping[str, Any],
    rendered: Rendered,
    most_prompt_tokens: int,
    sampling: dict[str, Any],
    about: tuple[Any, list[Any]],
) -> Request:
    """Return what is asked of a model. Thoughts get what the prompt leaves.

    Args:
        entry: the model's.
        rendered: the prompt.
        most_prompt_tokens: how long it may be; it counts where nobody here knows how long it is.
        sampling: the parameters; `max_tokens` is lowered to what the context leaves.
        about: weights and sample, as `request_hash` takes them.
    """
    served = entry["endpoint"] is not None
    counted = not served or entry["tokenizer"]
    room = entry["max_model_len"] - (len(rendered.token_ids) if counted else most_prompt_tokens)
    sampling = {**sampling, "max_tokens": min(sampling["max_tokens"], room)}
    messages = list(rendered.messages) if served else []
    name = request_hash(about[0], messages or rendered.token_ids, sampling, about[1])
    return Request(name, rendered.token_ids, sampling, messages=messages)


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
    locks = journal.PairLocks(model, (item.journal for item in work))
    with locks, _stop_on_signals() as stopping:
        _check_room(status_path.with_suffix(".room"))
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


def _check_room(path: Path) -> None:
    """Write and remove a file, so that on a full disk no engine is started, however often the job is tried."""
    write_bytes(path, bytes(ROOM))
    path.unlink()


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
        EngineError: this machine has no GPU for it, or the model is not what its entry takes it for.
    """
    entry, device = run.entry(model), gpu.device()
    if entry["endpoint"]:
        return EngineSettings("", "", entry, run.settings["seed"], "endpoint", images)
    if device == "cpu" and not entry["runs_on_cpu"]:
        raise EngineError(
            f"model {model}",
            "a machine without a GPU that vLLM can use",
            f"{parallel.gpus(entry)} GPU(s)",
            "Run it on a GPU machine, or set runs_on_cpu: true in config/models.yaml if you want to wait.",
        )
    checkpoint.check_files(model, entry, fetched)
    checkpoint.check(model, entry, Path(fetched["path"]), device, images)
    if mode := determinism.mode(entry, device):
        log.info("%s: deterministic by %s, which takes longer", model, mode)
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

    place = fetched["tokenizer_path"]
    tokenizer = prompts.load_tokenizer(place, entry) if place else prompts.Untokenized()
    with ExitStack() as stack:
        names = stack.enter_context(
            gpu.reserved(parallel.gpus(entry), model, settings.device, stopping.check)
        )
        engines = stack.enter_context(Engines(settings, log_path, model, names, stopping))
        if any(item.is_new() for item in work):
            engines.start()  # let it load while the prompts are rendered
        for item in work:
            item.tick = stopping.check
            try:
                item.prepare(tokenizer, quantized.weights(fetched))
            except SnakevalError as error:
                item.fail(error)
                log.error("%s", error)
            stopping.check()
        ready = [item for item in work if item.reason is None]
        total = sum(len(item.lines or {}) for item in ready)
        waiting = sum(len(item.missing) for item in ready)
        log.info("%s: %d requests, %d of them to be answered", model, total, waiting)
        if waiting:
            if folder := fetched["path"]:  # of an endpoint nothing is known that tells
                engines.forecast = _forecast(run, model, Path(folder), ready, settings, names)
            _answer_missing(engines, model, ready)


def _forecast(
    run: Run,
    model: str,
    folder: Path,
    work: Sequence[Work],
    settings: EngineSettings,
    names: Sequence[str],
) -> dict[str, Any] | None:
    """Return what the engine start is expected to take; see `forecast.starts.record`."""
    from snakeval.forecast import starts

    try:
        return starts.record(run, model, folder, work, settings.device, names)
    except (
        Exception
    ):  # whatever an unheard-of config.json or an old record holds must not fail a run
        log.exception("%s: no forecast", model)
        return None


def _answer_missing(engines: Engines, model: str, work: Sequence[Work]) -> None:
    """Have every missing request answered and journalled, whatever the engine does on the way.

    When the engine dies, the unfinished requests are asked again in halves, so that a request that kills
    it is found: alone, after its second kill, it gets an error record. They are asked again together where the
    batch was too large for the GPU's memory. An engine that dies of any request is no request's fault.
    """
    owners = {name: item for item in work for name in item.missing}
    with ExitStack() as stack:
        appenders = {
            item.journal: stack.enter_context(journal.Appender(item.journal)) for item in work
        }
        sessions = stack.enter_context(journal.Appender(journal.sessions_path(model)))
        bar = stack.enter_context(_progress(model, len(owners)))

        def keep(answers: list[Answer]) -> None:
            for answer in answers:
                if not answer.final:
                    owners[answer.hash].give_up(str(answer.error))
            answers = [answer for answer in answers if answer.final]
            by_journal: dict[Path, list[Answer]] = {}
            for answer in answers:
                by_journal.setdefault(owners[answer.hash].journal, []).append(answer)
            for path, finished in by_journal.items():
                appenders[path].append(
                    journal_record(answer, engines.session) for answer in finished
                )
            for answer in answers:
                del owners[answer.hash].missing[answer.hash]
            engines.count(answers)
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
                engines.try_out(wave[0])
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
                engines.note_end(sessions)
            except (Stopped, EngineError) as error:
                log.error("%s: %s", model, error)
                for answers in engine.last_answers():
                    keep(answers)
                engines.note_end(sessions)
                raise
            except EngineDied as death:
                left = [request for request in wave if request.hash in owners[request.hash].missing]
                log.error("%s: %s; %d requests unfinished", model, death, len(left))
                if engines.died(sessions, str(death), len(left)):
                    waves.append(left)
                    continue
                if len(left) == 1 and engines.killed_by(left[0].hash) > 1:
                    refusal = f"killed the engine twice; the last time: {death}"
                    # What a server is asked is not to blame for the death of what asks it.
                    blamed = not engines.is_remote
                    keep([Answer(left[0].hash, "", "error", 0, error=refusal, final=blamed)])
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
    told = ("prompt_tokens", "hidden_tokens", "stopped_here")
    record |= {name: value for name in told if (value := getattr(answer, name))}
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
