"""What the schemas cannot say: that entries fit their task, each other, and the files around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import jinja2.nodes

from snakeval import parallel, tasks
from snakeval.errors import SnakevalError, near
from snakeval.registry.schema import show
from snakeval.registry.spec import prompt_style, prompt_tokens

Entry = Mapping[str, Any]

# More than a token of English or code has on average, so that a text surely has a token for each.
CHARACTERS_A_TOKEN = 6
LEAST_SHARE = 0.5  # of an average prompt: with less, the question would be about another text


def dataset(entry: Entry, where: str) -> Iterator[SnakevalError]:
    """Yield what is wrong with a dataset entry by itself: task, fields, prompt templates, truncation."""
    if entry["task"] not in tasks.names():
        yield SnakevalError(
            f"{where}.task", show(entry["task"]), "a task type", near(entry["task"], tasks.names())
        )
        return
    task = tasks.get(entry["task"])
    roles = (*task.roles, *task.optional_roles)
    for role in task.missing_roles(entry["fields"]):
        yield SnakevalError(
            f"{where}.fields.{role}",
            "nothing",
            "the name of a column",
            f"{task.name} needs it: name the column that holds it.",
        )
    for role in entry["fields"]:
        if role not in roles:
            yield SnakevalError(
                f"{where}.fields.{role}",
                "an unknown role",
                f"a role of {task.name}",
                near(role, roles),
            )
    inputs = (*task.inputs, "shots") if entry["shots"] else task.inputs
    if entry["continuation"]:
        inputs = (*inputs, "choice", "letter")
        yield from _template(entry["continuation"], f"{where}.continuation", inputs)
    if entry["turns"]:
        inputs = (*inputs, "turn")
    for style, text in entry["prompt"].items():
        yield from _template(text, f"{where}.prompt.{style}", inputs)
    yield from _turns(entry, where, task)
    if bool(entry["continuation"]) != ("choices" in task.inputs):
        yield SnakevalError(
            f"{where}.continuation",
            show(entry["continuation"]),
            f"{'a template' if 'choices' in task.inputs else 'null'}, as the task is {task.name}",
            "Correct task: or continuation:.",
        )
    elif entry["continuation"] and entry["truncate"] is not None:
        yield SnakevalError(
            f"{where}.truncate",
            show(entry["truncate"]),
            "null beside continuation",
            "Remove it: likelihoods after a cut text do not compare.",
        )
    yield from _sources(entry, where)
    if entry["shots"] and tasks.IMAGE in task.roles:
        yield SnakevalError(
            f"{where}.shots",
            "examples",
            f"null, as {task.name} shows an image",
            "Remove them: a prompt holds one image.",
        )
    if entry["truncate"] is not None and entry["truncate"] not in task.inputs:
        yield SnakevalError(
            f"{where}.truncate",
            show(entry["truncate"]),
            f"an input of {task.name}, or null",
            near(entry["truncate"], task.inputs),
        )
    shared = (*task.inputs, "id", *([tasks.IMAGE] if tasks.IMAGE in task.roles else []))
    if entry["cluster"] is not None and entry["cluster"] not in shared:
        yield SnakevalError(
            f"{where}.cluster",
            show(entry["cluster"]),
            f"an input of {task.name}, id, or null",
            near(entry["cluster"], shared),
        )
    for number, score in enumerate((entry["about"] or {"published": []})["published"]):
        band = score["band"]
        if band is not None and (len(band) != 2 or not band[0] <= score["score"] <= band[1]):
            yield SnakevalError(
                f"{where}.about.published[{number}].band",
                str(band),
                f"two numbers around the score {score['score']:g}, the lower one first",
                "Correct it, or leave it out.",
            )
    if len(entry["sources"]) > 1 and entry["samples_sha256"] is None:
        yield SnakevalError(
            f"{where}.samples_sha256",
            "null beside several sources",
            "a SHA-256, so that they give the same samples",
            "Fetch from one source first: 'sha256' in results/datasets/ then holds it.",
        )


def judge(name: str, model: Entry, settings: Entry, where: str) -> Iterator[SnakevalError]:
    """Yield why a model cannot judge.

    Args:
        name: the model.
        model: its entry.
        settings: the run's settings.
        where: where the judge is named.
    """
    if model["prompt_style"] != "chat":
        yield SnakevalError(
            where,
            f"{name}, which has prompt_style: {model['prompt_style']}",
            "a chat model",
            "Choose a model that follows instructions.",
        )
    if model["max_model_len"] <= settings["judge_max_tokens"]:
        yield SnakevalError(
            where,
            f"{name}, which has max_model_len: {model['max_model_len']}",
            f"more than {settings['judge_max_tokens']}, judge_max_tokens",
            "Choose a model with a longer context, or lower judge_max_tokens.",
        )


def _turns(entry: Entry, where: str, task: tasks.Task) -> Iterator[SnakevalError]:
    """Yield which keys of a conversation do not fit the task or each other."""
    named = {"turns": entry["turns"]}
    if entry["temperature"]:
        named["temperature.by"] = entry["temperature"]["by"]
    for key, name in named.items():
        if name is not None and name not in task.inputs:
            yield SnakevalError(
                f"{where}.{key}", show(name), f"an input of {task.name}", near(name, task.inputs)
            )
    if bool(entry["turns"]) != task.conversation:
        yield SnakevalError(
            f"{where}.turns",
            show(entry["turns"]),
            f"{'an input' if task.conversation else 'null'}, as the task is {task.name}",
            "Correct task: or turns:.",
        )
    elif entry["turns"] and entry["truncate"] is not None:
        yield SnakevalError(
            f"{where}.truncate", show(entry["truncate"]), "null beside turns", "Remove it."
        )


def _sources(entry: Entry, where: str) -> Iterator[SnakevalError]:
    """Yield which sources on the hub do not say what to read there, and tables with one name."""
    blocks = {where: entry} | {f"{where}.join.{name}": join for name, join in entry["join"].items()}
    if entry["shots"]:
        blocks[f"{where}.shots"] = entry["shots"]
        if entry["shots"]["name"] in entry["join"]:
            name = entry["shots"]["name"]
            yield SnakevalError(
                f"{where}.shots.name", show(name), "a name of its own", "Rename it."
            )
    for place, block in blocks.items():
        for number, source in enumerate(block["sources"]):
            if "hub" in source and ("split" in source) == ("files" in source):
                yield SnakevalError(
                    f"{place}.sources[{number}]",
                    "both split and files" if "split" in source else "neither split nor files",
                    "one of them beside hub",
                    "Name the split, or the files that are read as they are.",
                )


def _template(text: str, where: str, inputs: tuple[str, ...]) -> Iterator[SnakevalError]:
    """Yield why a prompt template cannot work: malformed, or asking for what a sample does not have."""
    try:
        names = jinja2.meta.find_undeclared_variables(jinja2.Environment().parse(text))
    except jinja2.TemplateSyntaxError as error:
        yield _syntax_error(error, where)
        return
    for name in sorted(names - set(inputs)):
        yield SnakevalError(where, f"the variable {name}", "a sample's input", near(name, inputs))
    if not names:
        yield SnakevalError(
            where, "no variable", "a template that uses a sample's input", near("", inputs)
        )


def _syntax_error(error: jinja2.TemplateSyntaxError, where: str) -> SnakevalError:
    return SnakevalError(
        f"{where}, line {error.lineno}",
        (error.message or "a syntax error").rstrip("."),
        "a Jinja template",
        "Correct the line; braces that are meant as text are written {{ '{{' }}.",
    )


def model(entry: Entry, where: str, root: Path) -> Iterator[SnakevalError]:
    """Yield what is wrong with a model entry by itself: its chat template, images, tokens for thoughts."""
    if entry["thinking_tokens"] and entry["thinking"] is None:
        yield SnakevalError(
            f"{where}.thinking_tokens",
            show(entry["thinking_tokens"]),
            "null beside thinking: null",
            "Give the marks of its thoughts under thinking:, or remove it.",
        )
    longest = entry["facts"]["context"] if entry["facts"] else entry["max_model_len"]
    if entry["max_model_len"] > longest and "hf_overrides" not in entry["engine_arguments"]:
        yield SnakevalError(
            f"{where}.max_model_len",
            str(entry["max_model_len"]),
            f"at most {longest}, facts.context",
            "Lower it, or extend the context by hf_overrides in engine_arguments.",
        )
    yield from parallel.unfit(entry, where)
    if entry["images"]:
        yield from _images(entry, where)
    template = entry["chat_template"]
    if template is None:
        return
    if entry["prompt_style"] == "completion":
        yield SnakevalError(
            f"{where}.chat_template",
            show(template),
            "null for a completion model",
            "Remove it, or set prompt_style: chat.",
        )
    elif (root / template).is_file():
        place = f"{where}.chat_template: {template}"
        try:
            jinja2.Environment().parse((root / template).read_text(encoding="utf-8"))
        except jinja2.TemplateSyntaxError as error:
            yield _syntax_error(error, place)
        except UnicodeDecodeError:
            yield SnakevalError(place, "bytes that are not UTF-8", "text", "Save it as UTF-8.")


def _images(entry: Entry, where: str) -> Iterator[SnakevalError]:
    """Yield why a model that takes images could not be asked about one."""
    if entry["prompt_style"] != "chat":
        yield SnakevalError(
            f"{where}.images",
            "true",
            f"false, as the model has prompt_style: {entry['prompt_style']}",
            "Remove it, or set prompt_style: chat: its chat template places the image.",
        )
    if entry["engine_arguments"].get("language_model_only"):
        yield SnakevalError(
            f"{where}.engine_arguments.language_model_only",
            "true",
            "false beside images: true",
            "Remove one of them: without its image encoder the model sees nothing.",
        )


def pair(
    model_name: str, model: Entry, model_where: str, name: str, dataset: Entry, where: str
) -> Iterator[SnakevalError]:
    """Yield why a model cannot answer a dataset.

    Args:
        model_name: the model.
        model: its entry.
        model_where: where the entry stands.
        name: the dataset.
        dataset: its entry.
        where: where the entry stands.
    """
    if tasks.IMAGE in dataset["fields"] and not model["images"]:
        yield SnakevalError(
            f"{model_where}.images",
            "false",
            f"true, as {name} shows images",
            "Set it if the model takes images, or exclude the model or the dataset.",
        )
        return
    if dataset["continuation"] and model["endpoint"]:
        yield SnakevalError(
            f"{model_where}.endpoint",
            "a server",
            f"weights, as {name} asks for likelihoods of given texts, which no endpoint tells",
            "Give the model as source:, or exclude the model or the dataset.",
        )
        return
    style = prompt_style(model, dataset)
    if style not in dataset["prompt"]:
        yield SnakevalError(
            f"{where}.prompt",
            f"no {style} template",
            (
                f"one, as {model_name} has prompt_style: {style}"
                if style != "completion" or not dataset["continuation"]
                else "one, as continuation: stands behind it"
            ),
            "Add it, or exclude the model or the dataset.",
        )
    if dataset["max_tokens"] >= model["max_model_len"]:
        yield SnakevalError(
            f"{model_where}.max_model_len",
            str(model["max_model_len"]),
            f"more than {dataset['max_tokens']}, the max_tokens of {name}",
            "Change one of them, or exclude the model or the dataset.",
        )
    elif style in dataset["prompt"] and (short := _too_short(model, dataset, style)):
        yield SnakevalError(
            f"{model_where}.max_model_len",
            str(model["max_model_len"]),
            f"enough for a prompt of {name} beside its answer: {short}",
            "Raise it, lower max_tokens, or exclude the model or the dataset.",
        )


def _too_short(model: Entry, dataset: Entry, style: str) -> str:
    """Say why a model's context leaves too little for a dataset's usual prompt; nothing where it does not.

    A prompt that may be cut is, but only its content, and never its examples.
    """
    room = model["max_model_len"] - 1
    if not dataset["continuation"]:
        room = prompt_tokens(model, dataset)
    fixed = _fixed_characters(dataset["prompt"][style]) // CHARACTERS_A_TOKEN
    if fixed >= room:
        return f"its fixed text alone has more than {fixed:,} tokens, {room:,} are left"
    usual = (dataset["about"] or {}).get("prompt_tokens")
    if usual is None:
        return ""
    cut = dataset["truncate"] is not None and not dataset["shots"]
    if room >= usual * (LEAST_SHARE if cut else 1):
        return ""
    fate = "more than half would be cut" if cut else "it cannot be cut"
    return f"it has {usual:,} tokens on average, {room:,} are left, {fate}"


@lru_cache(maxsize=1024)
def _fixed_characters(template: str) -> int:
    """Return how many characters of a template stand in every prompt; 0 of one that is malformed."""
    try:
        body = jinja2.Environment().parse(template).body
    except jinja2.TemplateSyntaxError:
        return 0
    return sum(
        len(piece.data)
        for node in body
        if isinstance(node, jinja2.nodes.Output)
        for piece in node.nodes
        if isinstance(piece, jinja2.nodes.TemplateData)
    )
