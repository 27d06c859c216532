"""Check values against the JSON schemas in workflow/schemas, and fill in their defaults."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema.validators import Draft202012Validator

from snakeval.errors import SnakevalError, near

FOLDER = Path(__file__).parents[3] / "schemas"
TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}
LIMITS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
}


@cache
def load(name: str) -> dict[str, Any]:
    """Return the schema `workflow/schemas/{name}.schema.json`, or `run`, the part of config's."""
    if name == "run":
        config = load("config")
        return {**config["properties"]["run"], "$defs": config["$defs"]}
    schema: dict[str, Any] = json.loads((FOLDER / f"{name}.schema.json").read_text("utf-8"))
    return schema


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(load(name))


def show(value: Any) -> str:
    """Describe a value as a user wrote it, shortly."""
    match value:
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[value]
        case Mapping():
            return f"a mapping ({', '.join(map(str, value)) or 'empty'})"[:80]
        case list() | tuple():
            return f"a list of {len(value)}"
        case str():
            return repr(value if len(value) <= 60 else value[:57] + "…")
    return repr(value)[:60]


def check(value: Any, name: str, where: str, prefix: str = "") -> list[SnakevalError]:
    """Return every way in which `value` breaks the schema `name`.

    Args:
        value: what was read.
        name: model, dataset, category, config or run.
        where: the file, for messages.
        prefix: the keys that lead to `value` in that file, such as `models.foo`.
    """
    found = [leaf for error in _validator(name).iter_errors(value) for leaf in _leaves(error)]
    found.sort(key=lambda error: (list(map(str, error.absolute_path)), error.validator != "enum"))
    wrong_kind: dict[tuple[Any, ...], Any] = {}
    for error in found:
        if error.validator in ("enum", "type"):
            wrong_kind.setdefault(tuple(error.absolute_path), error)
    errors: list[SnakevalError] = []
    for error in found:
        # A value of the wrong kind breaks further rules, which say nothing to a user.
        if wrong_kind.get(tuple(error.absolute_path), error) is error:
            errors += _translate(error, where, prefix)
    return errors + list(_not_finite(value, where, prefix))


def _leaves(error: Any) -> Iterator[Any]:
    """Yield the error, or those inside an `anyOf [null, …]`, which has one other form only."""
    if error.validator != "anyOf":
        yield error
        return
    for inner in error.context:
        if inner.schema_path[0] == len(error.validator_value) - 1:
            yield from _leaves(inner)


def _translate(error: Any, where: str, prefix: str) -> Iterator[SnakevalError]:
    """Say in the house's words what jsonschema found."""
    schema, value, limit = error.schema, error.instance, error.validator_value
    path = _join(prefix, *error.absolute_path)
    place = f"{where}: {path}" if path else where
    about = str(schema.get("description", ""))
    shown = "a text that is not shown here" if schema.get("writeOnly") else show(value)
    match error.validator:
        case "additionalProperties":
            known = list(schema.get("properties", {}))
            for key in sorted(set(value) - set(known)):
                yield SnakevalError(
                    f"{where}: {_join(path, key)}",
                    "an unknown key",
                    "a known one",
                    near(key, known),
                )
        case "required":
            key = re.match("'(.*)' is a required", error.message)[1]  # type: ignore[index]
            fix = str(_property(schema, key).get("description", "Add it."))
            yield SnakevalError(f"{where}: {_join(path, key)}", "nothing", "a value", fix)
        case "dependentRequired":
            other, key = re.match("'(.*)' is a dependency of '(.*)'", error.message).groups()  # type: ignore[union-attr]
            yield SnakevalError(
                f"{where}: {_join(path, key)}",
                f"{key} without {other}",
                f"{other} beside it",
                about,
            )
        case "oneOf":
            forms = [branch["required"][0] for branch in limit]
            given = (form for form in forms if value.get(form) is not None)
            got = " and ".join(given) or "none of them"
            yield SnakevalError(place, got, f"exactly one of {', '.join(forms)}", about)
        case "enum":
            options = [str(option) for option in limit if option is not None]
            close = near(value, options) if isinstance(value, str) else ""
            fix = close if close.startswith("Did you mean") else about
            expected = f"one of {', '.join(options)}" + (" or null" if None in limit else "")
            yield SnakevalError(place, show(value), expected, fix)
        case "type":
            kinds = [limit] if isinstance(limit, str) else limit
            expected = " or ".join(TYPES[kind] for kind in kinds)
            yield SnakevalError(place, show(value), expected, about)
        case "pattern":
            yield SnakevalError(place, shown, f"text of the form {limit}", about)
        case "minLength" | "minItems" | "minProperties":
            yield SnakevalError(place, "nothing in it", "at least one", about)
        case kind:
            yield SnakevalError(place, show(value), f"{LIMITS.get(kind, kind)} {limit}", about)


def _property(schema: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return what the schema says of one key; the only `$ref` leads to `$defs.source`."""
    found: Mapping[str, Any] = schema.get("properties", {}).get(key, {})
    return load("model")["$defs"]["source"] if "$ref" in found else found


def _not_finite(value: Any, where: str, path: str) -> Iterator[SnakevalError]:
    """Yield an error for each number that JSON cannot hold: it could not be part of a key."""
    if isinstance(value, float) and not math.isfinite(value):
        yield SnakevalError(
            f"{where}: {path}", str(value), "a finite number", "Write a number with digits."
        )
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _not_finite(inner, where, _join(path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _not_finite(inner, where, _join(path, number))


def _join(*parts: Any) -> str:
    """Join keys with dots and list positions with brackets."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part != "":
            text += f".{part}" if text else str(part)
    return text


def filled(value: Any, name: str) -> Any:
    """Return a copy of a checked value with all defaults, in which equal numbers are written alike."""
    schema = load(name)
    return _fill(value, schema, schema)


def _fill(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema and value is not None:
        schema = schema["anyOf"][-1]
        return _fill(value, schema, root)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        missing = {
            key: inner["default"]
            for key, inner in known.items()
            if "default" in inner and key not in value
        }
        return {
            key: _fill(inner, known.get(key, {}), root) for key, inner in (missing | value).items()
        }
    if isinstance(value, list):
        return [_fill(inner, schema.get("items", {}), root) for inner in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        kinds = schema.get("type", ())
        if "number" in kinds:
            return float(value)
        if "integer" in kinds:
            return int(value)
    return value
