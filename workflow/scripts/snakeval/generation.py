"""The generate job: one engine start for all missing pairs of a model, every request in one continuous batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakeval import journal, pictures
from snakeval.answering import Work, journal_record, made_request, run_job
from snakeval.engine import Answer, Request, ShownImage
from snakeval.errors import PromptError
from snakeval.records import Sample, canonical_json, read_json
from snakeval.registry import Pair, Run
from snakeval.registry.spec import answer_tokens, prompt_tokens
from snakeval.samples import read_samples
from snakeval.thoughts import final_text

if TYPE_CHECKING:
    from snakeval.prompts import Rendered


def generate(
    run: Run, model: str, part: int, status_path: Path, requests_folder: Path, log_path: Path
) -> None:
    """Answer all requests of the missing pairs of one part of a model; see `answering.run_job`.

    Raises:
        Stopped: SIGTERM, Ctrl-C, or the workflow is gone; what was finished is journalled.
        StorageError: the journal or the status cannot be written.
    """
    work = [
        Generation(run, pair)
        for pair in run.pairs
        if (pair.model, pair.part) == (model, part) and not pair.has_predictions()
    ]
    run_job(run, model, work, status_path, requests_folder, log_path)


@dataclass
class Conversation:
    """A sample on its way through its turns."""

    number: int
    sample: Sample
    repeat: int
    answers: list[str] = field(default_factory=list)  # of the turns so far, without thoughts


class Generation(Work):
    """The answers of a pair's model to its dataset's samples."""

    def __init__(self, run: Run, pair: Pair) -> None:
        super().__init__(run, pair, pair.dataset, journal.journal_path(pair.model, pair.dataset))
        self._model, self._dataset = run.entry(pair.model), run.datasets[pair.dataset]
        self._conversations: dict[str, Conversation] = {}  # by the request that they wait for

    def is_new(self) -> bool:
        """Whether nothing has been asked yet and there are samples to ask about."""
        return super().is_new() and self._fetched()["status"] == "ok"

    def prepare(self, tokenizer: Any, commit: str | None) -> None:
        """Make the pair's requests and find out which of them the journal lacks."""
        refused = self.look(tokenizer, commit)
        if self.reason is None and refused:
            with journal.Appender(self.journal) as appender:
                new = [answer for answer in refused if answer.hash not in self._known]
                appender.append(journal_record(answer, None) for answer in new)

    def look(self, tokenizer: Any, commit: str | None) -> list[Answer]:
        """Do as `prepare` and write nothing; return the error records of what cannot be asked."""
        from snakeval import prompts

        refused: list[Answer] = []
        fetched = self._fetched()
        if fetched["status"] != "ok":
            reason, prefix = str(fetched["reason"]), f"dataset {self.pair.dataset}: "
            self.reason = reason if reason.startswith(prefix) else prefix + reason
            return refused
        spec = self.run.spec(self.pair.model, self.pair.dataset)
        self._weights = [spec["model"], spec["generator"], commit]
        self._tokenizer = tokenizer
        records = journal.read_answers(self.journal)
        # Only a conversation needs the answers themselves.
        self._known = records if self._dataset["turns"] else dict.fromkeys(records)
        self.lines = {}
        for number, sample in self.samples():
            self.tick()
            if (image := self._image(sample)) and not Path(image.path).is_file():
                place = Path(image.path).parents[1]
                self.reason = (
                    f"{image.path} is gone. Delete {place} and run the same command again."
                )
                return refused
            if self._dataset["turns"]:
                for repeat in range(self.run.settings["repeats"]):
                    self._queue(self._next_turn(Conversation(number, sample, repeat)), refused)
                continue
            refusal: str | None = None
            try:
                asked = self._asked(sample)
            except PromptError as error:
                asked, refusal = [prompts.Rendered("", [], 0)], str(error)
            for repeat in range(self.run.settings["repeats"]):
                for choice, rendered in enumerate(asked):
                    extra, scored, line = [], 0, {}
                    if self._dataset["continuation"]:
                        scored = getattr(rendered, "scored", 0)
                        extra, line = [choice, scored], {"choice": choice}
                    request = self._request(sample, repeat, rendered, extra, scored)
                    self._note((number, repeat, choice), sample, request.hash, rendered, line)
                    self._queue(_refused(request, refusal) if refusal else request, refused)
        if self.lines and len(refused) == len(self.lines):
            self.reason = f"no prompt can be rendered; the first: {refused[0].error}"
        return refused

    def samples(self) -> Iterable[tuple[int, Sample]]:
        """Return the samples that are asked about, and their numbers."""
        every = read_samples(self.run, self.pair.dataset)
        return enumerate(islice(every, self.run.settings["limit"]))

    def follow_up(self, answer: Answer) -> Request | Answer | None:
        """Return the next turn of the conversation that an answer belongs to."""
        conversation = self._conversations.pop(answer.hash, None)
        if conversation is None or answer.error:
            return None
        self._hear(conversation, answer.completion)
        return self._next_turn(conversation)

    def _next_turn(self, conversation: Conversation) -> Request | Answer | None:
        """Return the first turn that the journal holds no answer to, None if it has them all."""
        from snakeval import prompts

        sample, repeat = conversation.sample, conversation.repeat
        room = prompt_tokens(self._model, self._dataset)
        for turn in range(len(conversation.answers), len(sample["inputs"][self._dataset["turns"]])):
            refusal: str | None = None
            try:
                rendered = prompts.render_turn(
                    *(self._tokenizer, self._model, self._dataset, sample),
                    *(conversation.answers, room),
                )
            except PromptError as error:
                rendered, refusal = prompts.Rendered("", [], 0), str(error)
            request = self._request(sample, repeat, rendered, ["turn", turn])
            place = (conversation.number, repeat, turn)
            self._note(place, sample, request.hash, rendered, {"turn": turn})
            if refusal:
                return _refused(request, refusal)
            record = self._known.get(request.hash)
            if record is None:
                self._conversations[request.hash] = conversation
                return request
            if "error" in record:
                return None
            self._hear(conversation, record["completion"])
        return None

    def _hear(self, conversation: Conversation, completion: str) -> None:
        conversation.answers.append(final_text(completion, self._model["thinking"])[0])

    def _asked(self, sample: Sample) -> Sequence[Rendered]:
        """Return the prompts of one sample: one, or one for each choice whose likelihood is asked."""
        from snakeval import prompts

        context = self._model["max_model_len"]
        room = prompt_tokens(self._model, self._dataset)
        about = (self._tokenizer, self._model, self._dataset, sample)
        if self._dataset["continuation"]:
            return prompts.render_choices(*about, context - 1)
        return [prompts.render(*about, room)]

    def _request(
        self, sample: Sample, repeat: int, rendered: Rendered, extra: list[Any], scored: int = 0
    ) -> Request:
        turn = extra[1] if self._dataset["turns"] else 0
        sampling = sampling_parameters(
            self._model, self._dataset, self.run.settings["seed"], sample, repeat, turn
        )
        place = [self.pair.dataset, sample["id"], repeat, *extra]
        if "image" in sample:
            place += ["image", sample["image"]]
        room = prompt_tokens(self._model, self._dataset)
        about = self._weights, place
        made = made_request(self._model, rendered, room, sampling, about)
        return replace(made, scored=scored, image=self._image(sample))

    def _image(self, sample: Sample) -> ShownImage | None:
        if "image" not in sample:
            return None
        folder = pictures.folder_kept(self.run.samples(self.pair.dataset))
        room = prompt_tokens(self._model, self._dataset)
        return ShownImage(str(folder / sample["image"]), room)

    def _note(
        self,
        place: tuple[int, int, int],
        sample: Sample,
        request: str,
        rendered: Rendered,
        line: dict[str, int],
    ) -> None:
        assert self.lines is not None
        named = {"request": request, "id": sample["id"], "repeat": place[1], **line}
        if image := self._image(sample):
            named["image"] = image.path
        prompt = {"token_ids": rendered.token_ids, "cut_tokens": rendered.cut_tokens}
        self.lines[place] = named | {"text": rendered.text} | prompt

    def _queue(self, asked: Request | Answer | None, refused: list[Answer]) -> None:
        if isinstance(asked, Answer):
            refused.append(asked)
        elif asked is not None and asked.hash not in self._known:
            self.missing[asked.hash] = asked

    def _fetched(self) -> dict[str, Any]:
        status: dict[str, Any] = read_json(self.run.dataset_status(self.pair.dataset))
        return status


def _refused(request: Request, reason: str) -> Answer:
    return Answer(request.hash, "", "error", 0, error=reason)


def sampling_parameters(
    model: dict[str, Any],
    dataset: dict[str, Any],
    seed: int,
    sample: Sample,
    repeat: int,
    turn: int = 0,
) -> dict[str, Any]:
    """Return the sampling parameters of one request, every value explicit.

    A sampled request has a seed of its own, made from the run's seed, the sample, the repeat and the turn,
    so that its answer does not depend on its place in the batch. A greedy one needs none. Where
    likelihoods are asked the parameters are the same for every model. A dataset may set the temperature
    by a sample's input.
    """
    if dataset["continuation"]:  # one token must be generated; nobody looks at it
        return {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0, "detokenize": False}
    sampling = dict(model["sampling"])
    sampling |= {
        "max_tokens": answer_tokens(model, dataset),
        "stop": [*dataset["stop"][model["prompt_style"]], *model["stop"]],
    }
    if chosen := dataset["temperature"]:
        value = sample["inputs"].get(chosen["by"])
        sampling["temperature"] = chosen["values"].get(value, sampling["temperature"])
    if sampling["temperature"] > 0:
        sampling["seed"] = own_seed([seed, sample["id"], repeat, *([turn] if turn else [])])
    return sampling


def own_seed(content: list[Any]) -> int:
    """Return a seed of 32 bits that follows from `content`."""
    digest = hashlib.sha256(canonical_json(content).encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest()[:4], "big")
