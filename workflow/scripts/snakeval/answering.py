"""A job that has a model answer requests for pairs: one engine, watched, started again where it dies.

Each finished request is journalled at once, under a hash of all that its answer depends on. What the
journal holds is not asked again, and where it holds everything no engine is started. A pair that cannot
be answered gets a status with its reason; the others go on.
"""

from __future__ import annotations

import hashlib
import logging
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakeval import checkpoint, determinism, gpu, journal, parallel, tasks
from snakeval.engine import Answer, EngineSettings, Request
from snakeval.engine.supervisor import EngineDied
from snakeval.engine_starts import Engines
from snakeval.errors import EngineError, PromptError, SnakevalError
from snakeval.records import canonical_json, read_json, write_bytes, write_json, write_jsonl
from snakeval.registry import Pair, Run, quantized
from snakeval.stopping import Stopped, Stopping, stop_on_signals

if TYPE_CHECKING:
    from snakeval.prompts import Rendered

log = logging.getLogger(__name__)

ROOM = 65536  # bytes that are free for sure when an engine is started


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
    with locks, stop_on_signals() as stopping:
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
