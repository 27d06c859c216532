"""How a pair is asked and judged, which decides what its result may be compared with.

All of it follows from the registry. Two results on a dataset compare where the same rows were asked in the
same way and judged by the same rules. What belongs to a model itself does not part them and is shown beside
its result: weights, sampling, thoughts and the tokens for them, chat template, system prompt, context, and
how often it was asked, which makes a number more exact and not another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jinja2
import jinja2.meta

from snakeval import tasks
from snakeval.records import fingerprint
from snakeval.registry import schema
from snakeval.registry.run import Pair, Run
from snakeval.registry.spec import answer_tokens, prompt_style

Entry = Mapping[str, Any]

SHOWN_IDS = 8
MANNERS = {
    "chat": "Chat prompt",
    "completion": "Text to continue",
    "moderation": "Bare text, to be called safe or unsafe",
    "likelihood": "Log-likelihood of the choices behind a plain text",
}
# Sampling that changes nothing, beside temperature 0, which takes the likeliest token.
NEUTRAL = {
    name: None if name == "temperature" else key["default"]
    for name, key in schema.load("model")["properties"]["sampling"]["properties"].items()
}
# Keys of a spec that are the model's own.
OF_THE_MODEL = {
    *("chat_template", "template_arguments", "system_prompt"),
    *("thinking_tokens", "model_stop", "seed"),
}


@dataclass(frozen=True)
class Protocol:
    """How a pair was asked and judged.

    Args:
        parts: what decides about comparing, by its name in words.
        text: the parts for people, in one line.
        own: what is the model's own, in one line.
    """

    parts: Mapping[str, Any]
    text: str
    own: str

    @property
    def id(self) -> str:
        """The fingerprint of the parts: results with the same one compare."""
        return fingerprint(self.parts)

    @property
    def title(self) -> str:
        """Prompt style and examples."""
        return self.text.partition("; ")[0]

    @property
    def details(self) -> str:
        """All but the title."""
        rest = self.text.partition("; ")[2]
        return rest[:1].upper() + rest[1:]


def protocol(run: Run, pair: Pair) -> Protocol:
    """Return the protocol of a run's pair."""
    model, dataset = run.models[pair.model], run.datasets[pair.dataset]
    style, settings = prompt_style(model, dataset), run.settings
    spec = run.spec(pair.model, pair.dataset)
    own = {*OF_THE_MODEL, *model["sampling"]}
    asked, drawn = (
        {name: value for name, value in spec[part].items() if name not in own}
        for part in ("prompt", "sampling")
    )
    judged = run.judging_spec(pair.model, pair.dataset)
    if judged is not None:  # what it was shown, and how often it was asked, is no rule
        judged = {name: value for name, value in judged.items() if name not in ("shown", "repeats")}
    block = dataset["shots"] if _shows_shots(dataset, style) else None
    version = tasks.get(dataset["task"]).version
    parts = {
        "rows": spec["dataset"]["content"],
        "limit": spec["limit"],
        "prompt style": manner(dataset, style),
        "prompt": {name: value for name, value in asked.items() if name != "style"},
        "examples": block and {name: block[name] for name in ("count", "ids", "group")},
        "token limit": drawn.pop("max_tokens", None),
        "stops": drawn.pop("stop", None),
        "further sampling": drawn,
        "task": [dataset["task"], version],
        "scoring": dataset["scoring"],
        "metric": dataset["metric"],
        "judge": judged,
        "generator": spec["generator"],
    }
    limit = settings["limit"]
    rows = "all rows" if limit is None else f"the first {limit:,} rows"
    read = f"read and scored by {dataset['task']}, version {version}, as {dataset['metric']}"
    judge = [f"judged by {settings['judge']}"] if judged else []
    text = "; ".join([describe(dataset, style), read, *judge, rows])
    return Protocol(parts, text, ", ".join(_own(model, dataset, settings)))


def comparable(first: Protocol, second: Protocol) -> bool:
    """Whether two results on one dataset may be ranked against each other."""
    return first.id == second.id


def differences(first: Protocol, second: Protocol) -> list[str]:
    """Return in which parts two protocols differ, in words; nothing where results compare."""
    return [name for name, value in first.parts.items() if second.parts.get(name) != value]


def manner(dataset: Entry, style: str) -> str:
    """Return how a dataset is asked: chat, completion or likelihood."""
    return "likelihood" if dataset["continuation"] else style


def describe(dataset: Entry, style: str) -> str:
    """Return how a dataset is asked in a prompt style, in one line."""
    how = manner(dataset, style)
    facts = [f"{MANNERS.get(how) or f'{how.capitalize()} prompt'}, {shots(dataset, style)}"]
    if dataset["turns"]:
        facts.append("several turns")
    if how != "likelihood":
        facts.append(f"answers of up to {dataset['max_tokens']:,} tokens")
        if count := len(dataset["stop"].get(style, ())):
            facts.append(f"ended by {count} stop text{'' if count == 1 else 's'}")
    return "; ".join(facts)


def shots(dataset: Entry, style: str) -> str:
    """Return how many examples a prompt shows, and which."""
    block, written = dataset["shots"], dataset["written_shots"].get(style, 0)
    count, which = written, ["written in the prompt"] if written else []
    if block and _shows_shots(dataset, style):
        count += block["count"]
        ids = block["ids"]
        if ids is None:
            chosen = f"the first of {block['name']}"
        else:
            more = ", …" if len(ids) > SHOWN_IDS else ""
            chosen = f"{block['name']} {', '.join(ids[:SHOWN_IDS])}{more}"
        if block["group"]:
            chosen += f" with the row's {block['group']}"
        which.append(chosen)
    return f"{count}-shot" + (f" ({', '.join(which)})" if which else "")


def thinks(model: Entry) -> bool:
    """Whether a model with marks for thoughts is left to think: its template is not told otherwise.

    An endpoint has marks in any case, so it is said to think where it gets tokens for that.
    """
    told = model["thinking_tokens" if model.get("endpoint") else "thinking"]
    return bool(told) and not _is_told_not_to(model)


def _is_told_not_to(model: Entry) -> bool:
    return model["template_arguments"].get("enable_thinking") is False


def _shows_shots(dataset: Entry, style: str) -> bool:
    """Whether a prompt template uses the examples that come with the samples."""
    text = dataset["prompt"][style]
    return "shots" in jinja2.meta.find_undeclared_variables(jinja2.Environment().parse(text))


def _own(model: Entry, dataset: Entry, settings: Entry) -> Iterator[str]:
    """Yield what of the model's own plays a part, in words."""
    if dataset["continuation"]:
        yield "no sampling"
        return
    sampling = model["sampling"]
    if sampling["temperature"] > 0:
        for name, neutral in NEUTRAL.items():
            if sampling[name] != neutral:
                yield f"{name.replace('_', ' ')} {sampling[name]:g}"
    else:
        yield "greedy"
    if settings["repeats"] > 1:
        yield f"{settings['repeats']:,} answers to each question"
    if thinks(model):
        room = answer_tokens(model, dataset)
        yield f"thinks, thought and answer in up to {room:,} tokens"
    elif model["thinking"] and _is_told_not_to(model):
        yield "thinking switched off"
    if model["system_prompt"] is not None:
        yield "with a system prompt of its own"
