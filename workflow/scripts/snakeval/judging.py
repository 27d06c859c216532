"""Conversations judged by a model: what the judge is asked, and its verdicts as files of each pair.

One engine start of the judge serves all pairs that lack its verdicts. Each verdict is journalled when it
is there, as an answer is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakeval import journal, tasks
from snakeval.answering import Work, journal_record, made_request, run_job
from snakeval.engine import Answer, Request
from snakeval.errors import EngineError, PromptError, StorageError
from snakeval.generation import own_seed
from snakeval.predictions import answered, asked_tokens, collect, engine_facts, prompt_sum
from snakeval.records import (
    Prediction,
    Sample,
    VerdictRecord,
    fingerprint,
    read_json,
    read_jsonl,
    write_json,
    write_jsonl,
)
from snakeval.registry import Pair, Run
from snakeval.registry.spec import GENERATOR_VERSION, answer_tokens, model_part, prompt_tokens
from snakeval.samples import read_samples
from snakeval.tasks import Question, Verdict
from snakeval.thoughts import final_text

if TYPE_CHECKING:
    from snakeval.prompts import Rendered


def judge(run: Run, name: str, status_path: Path, requests_folder: Path, log_path: Path) -> None:
    """Have the judge answer all questions about pairs that lack its verdicts; see `answering.run_job`.

    Raises:
        Stopped: SIGTERM, Ctrl-C, or the workflow is gone; what was finished is journalled.
        StorageError: the journal or the status cannot be written.
    """
    work = [Judging(run, pair) for pair in run.pairs if not pair.has_verdicts()]
    run_job(run, name, work, status_path, requests_folder, log_path)


class Judging(Work):
    """A judge's verdicts on the answers of one pair."""

    def __init__(self, run: Run, pair: Pair) -> None:
        self._judge: str = run.settings["judge"]
        path = journal.verdicts_path(self._judge, pair.model, pair.dataset)
        super().__init__(run, pair, work_name(pair), path)

    def prepare(self, tokenizer: Any, commit: str | None) -> None:
        """Make the questions and find out which of them the journal lacks."""
        from snakeval import prompts

        run, pair, settings = self.run, self.pair, self.run.settings
        entry, task = run.entry(self._judge), tasks.get(run.datasets[pair.dataset]["task"])
        room = prompt_tokens(entry, {"max_tokens": settings["judge_max_tokens"]})
        weights = [model_part(entry), GENERATOR_VERSION, commit]
        baseline = run.baseline(pair)
        try:
            shown = _conversations(run, pair)
            against = _conversations(run, baseline) if baseline else {}
        except EngineError as error:
            self.reason = str(error)
            return
        known = journal.read_answers(self.journal)
        self.lines = {}
        refused: list[Answer] = []
        for number, sample in enumerate(read_samples(run, pair.dataset)):
            self.tick()
            for repeat in range(settings["repeats"]):
                place = sample["id"], repeat
                if place not in shown:  # behind the limit, or not answered
                    continue
                questions = task.questions(sample, shown[place], against.get(place, ()))
                for which, question in enumerate(questions):
                    refusal: str | None = None
                    try:
                        rendered = prompts.render_question(
                            *(tokenizer, entry, question.system, question.text),
                            *(
                                f"judging {pair.model} on {pair.dataset}, sample {sample['id']}",
                                room,
                            ),
                        )
                    except PromptError as error:
                        rendered, refusal = prompts.Rendered("", [], 0), str(error)
                    for again in range(settings["judge_repeats"]):
                        request = self._request(weights, sample, repeat, question, again, rendered)
                        self.lines[number, repeat, which, again] = {
                            "request": request.hash,
                            "id": sample["id"],
                            "repeat": repeat,
                            "turn": question.turn,
                            "kind": question.kind,
                            "order": question.order,
                            "again": again,
                            "answers": fingerprint(list(shown[place])),
                            "text": rendered.text,
                            "token_ids": rendered.token_ids,
                        }
                        if request.hash in known:
                            continue
                        if refusal:
                            refused.append(Answer(request.hash, "", "error", 0, error=refusal))
                        else:
                            self.missing[request.hash] = request
        if refused:
            with journal.Appender(self.journal) as appender:
                appender.append(journal_record(answer, None) for answer in refused)

    def _request(
        self,
        weights: list[Any],
        sample: Sample,
        repeat: int,
        question: Question,
        again: int,
        rendered: Rendered,
    ) -> Request:
        settings, entry = self.run.settings, self.run.entry(self._judge)
        limits = {"max_tokens": settings["judge_max_tokens"]}
        about = [sample["id"], repeat, question.turn, question.kind, question.order, again]
        sampling = {
            **entry["sampling"],
            "max_tokens": answer_tokens(entry, limits),
            "stop": entry["stop"],
        }
        if sampling["temperature"] > 0:
            sampling["seed"] = own_seed([settings["seed"], "judge", *about])
        place = ["judge", self.pair.dataset, self.pair.model, *about]
        room = prompt_tokens(entry, limits)
        return made_request(entry, rendered, room, sampling, (weights, place))


def work_name(pair: Pair) -> str:
    """Return what a pair is called in the status of the judge's engine start."""
    return f"{pair.dataset}.{pair.model}"


def _conversations(run: Run, pair: Pair) -> dict[tuple[str, int], tuple[str, ...]]:
    """Return a pair's answers to all turns, without thoughts, by sample and repeat; failed ones are left out.

    They are read from the pair's files, or where these are made in the same run, from what its engine
    start left.

    Raises:
        EngineError: the pair was not answered.
    """
    path = pair.folder() / "predictions.jsonl"
    predictions: list[Prediction] = list(read_jsonl(path)) if path.exists() else collect(pair)[0]
    return {
        (answer["id"], answer["repeat"]): turns_of(answer, run.models[pair.model]["thinking"])
        for answer in predictions
        if answer["finish_reason"] != "error"
    }


def turns_of(answer: Prediction, thinking: Mapping[str, str] | None) -> tuple[str, ...]:
    """Return the answers to all turns of a conversation without thoughts, as a judge is shown them."""
    return tuple(final_text(turn["completion"], thinking)[0] for turn in answer["turns"])


def write_verdicts(run: Run, pair: Pair) -> None:
    """Write `verdicts.jsonl`, `prompts.jsonl` and `meta.json` to the folder of a judge's verdicts on a pair.

    Raises:
        EngineError: the pair was not judged; the reason is the engine's.
        StorageError: a verdict is missing from the journal, or a file cannot be written.
    """
    judge_name: str = run.settings["judge"]
    path = journal.verdicts_path(judge_name, pair.model, pair.dataset)
    verdicts: list[VerdictRecord] = []
    prompts: list[dict[str, Any]] = []
    used: dict[str, None] = {}  # a set in order
    asked: list[Mapping[str, Any]] = []
    for line, record in answered(pair, run.judge_engine(), work_name(pair), path):
        about = {key: line[key] for key in ("id", "repeat", "turn", "kind", "order", "again")}
        names = ("completion", "finish_reason", "completion_tokens")
        verdict = about | {"answers": line["answers"]} | {key: record[key] for key in names}
        if "error" in record:
            verdict["error"] = record["error"]
        verdicts.append(verdict)  # type: ignore[arg-type]
        prompts.append(about | {"text": line["text"], "token_ids": line["token_ids"]})
        asked.append(record | {"prompt_tokens": asked_tokens(line, record)})
        if record["session"]:
            used[record["session"]] = None
    tokens = {
        "prompt": prompt_sum(asked),
        "completion": sum(verdict["completion_tokens"] for verdict in verdicts),
    }
    meta = {
        "spec": run.judging_spec(pair.model, pair.dataset),
        "key": pair.judging,
        "judge": judge_name,
        "judge_commit": read_json(run.model_status(judge_name))["commit"],
        "baseline": baseline.model if (baseline := run.baseline(pair)) else None,
        "tokens": tokens,
        **engine_facts(judge_name, list(used)),
    }
    output = pair.verdict_folder()
    write_json(output / "meta.json", meta)
    write_jsonl(output / "prompts.jsonl", prompts)
    write_jsonl(output / "verdicts.jsonl", verdicts)


def read_verdicts(
    run: Run, pair: Pair, predictions: Sequence[Prediction]
) -> dict[tuple[str, int], tuple[Verdict, ...]]:
    """Return a judge's verdicts on a pair without thoughts, by sample and repeat.

    Raises:
        StorageError: they are about other answers.
    """
    path = pair.verdict_folder() / "verdicts.jsonl"
    thinking = run.entry(run.settings["judge"])["thinking"]
    shown = {
        (answer["id"], answer["repeat"]): fingerprint(
            list(turns_of(answer, run.models[pair.model]["thinking"]))
        )
        for answer in predictions
        if answer["finish_reason"] != "error"
    }
    found: dict[tuple[str, int], list[Verdict]] = {place: [] for place in shown}
    records: Iterator[VerdictRecord] = read_jsonl(path)
    for record in records:
        place = record["id"], record["repeat"]
        if shown.get(place) != record["answers"]:
            raise StorageError(
                f"{path}, sample {place[0]}, repeat {place[1]}",
                "a verdict on another answer",
                "one on the answer in predictions.jsonl",
                f"Delete {pair.verdict_folder()}, then run the same command again.",
            )
        text = final_text(record["completion"], thinking)[0]
        about = record["turn"], record["kind"], record["order"], record["again"]
        found[place].append(Verdict(*about, text))
    return {place: tuple(verdicts) for place, verdicts in found.items()}
