"""What the schemas cannot say: that entries fit their task, each other, and the files around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta

from snakeval import tasks
from snakeval.errors import SnakevalError, near
from snakeval.registry.schema import show
from snakeval.registry.spec import prompt_style

Entry = Mapping[str, Any]


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
    if entry["truncate"] is not None and entry["truncate"] not in task.inputs:
        yield SnakevalError(
            f"{where}.truncate",
            show(entry["truncate"]),
            f"an input of {task.name}, or null",
            near(entry["truncate"], task.inputs),
        )
    if len(entry["sources"]) > 1 and entry["samples_sha256"] is None:
        yield SnakevalError(
            f"{where}.samples_sha256",
            "null beside several sources",
            "a SHA-256, so that they give the same samples",
            "Fetch from one source first: 'sha256' in results/datasets/ then holds it.",
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
    """Yield what is wrong with a model entry by itself: its chat template."""
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
    style = prompt_style(model, dataset)
    if style not in dataset["prompt"]:
        yield SnakevalError(
            f"{where}.prompt",
            f"no {style} template",
            (
                f"one, as {model_name} has prompt_style: {style}"
                if not dataset["continuation"]
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
