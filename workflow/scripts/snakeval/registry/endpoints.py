"""Entries of models that a server holds: what they may say, and what follows for the rest of the entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from snakeval.errors import SnakevalError
from snakeval.registry import schema

Entry = Mapping[str, Any]

# Keys about weights that are loaded here.
OF_WEIGHTS = (
    *("quantization", "dtype", "gpus", "runs_on_cpu", "chat_template"),
    *("engine", "engine_arguments", "engine_limits", "base_model"),
)
SENT = ("model", "messages", "prompt", "stream", "stream_options", "n", "chat_template_kwargs")
# For a server that refuses it, and tells the number of tokens without being asked.
LEFT_OUT = ("stream_options", None)
SAMPLED = ("max_tokens", "max_completion_tokens", "stop", "seed")
# A thought that a server sends beside its answer is put between these where the entry names no marks.
MARKS = {"open": "<think>", "close": "</think>"}
# What is known of OpenAI's own server; of any other an entry says it.
OPENAI = "api.openai.com"
OF_OPENAI = {"key_variable": "OPENAI_API_KEY", "stop_limit": 4}


def check(entry: Entry, where: str) -> Iterator[SnakevalError]:
    """Yield what is wrong with an entry that names an endpoint; nothing for any other.

    Args:
        entry: as it was written.
        where: its place.
    """
    endpoint = entry.get("endpoint")
    if endpoint is None:
        return
    known = schema.load("model")["properties"]
    for name in OF_WEIGHTS:
        default = known[name]["default"]
        if entry.get(name, default) != default:
            yield SnakevalError(
                f"{where}.{name}",
                schema.show(entry[name]),
                "nothing beside endpoint:",
                "Remove it: the server decides that.",
            )
    if entry.get("tokenizer_class") and not entry.get("tokenizer"):
        yield SnakevalError(
            f"{where}.tokenizer_class", "no tokenizer beside it", "a tokenizer", "Remove it."
        )
    if reason := _unfit(str(endpoint["url"])):
        yield SnakevalError(
            f"{where}.endpoint.url",
            reason,
            "an address such as http://localhost:8000/v1",
            "A key belongs into the environment, see key_variable.",
        )
    elif endpoint.get("key_variable") and not _is_private(str(endpoint["url"])):
        yield SnakevalError(
            f"{where}.endpoint.url",
            "http:// to another machine, which would show the key to everybody on the way",
            "https://, or a server on this machine",
            "Use https://, or a tunnel (ssh -L 8000:localhost:8000 HOST) and http://localhost:8000/v1.",
        )
    sampling = known["sampling"]["properties"]
    for name, value in endpoint.get("extra_body", {}).items():
        place = f"{where}.endpoint.extra_body.{name}"
        if name in SENT and (name, value) != LEFT_OUT:
            yield SnakevalError(place, "a key that is sent anyway", "another key", "Remove it.")
        elif value is not None and (name in sampling or name in SAMPLED):
            fix = "Set it under sampling:." if name in sampling else "The dataset sets it."
            yield SnakevalError(
                place, schema.show(value), "null, which leaves it out, or nothing", fix
            )


def _unfit(url: str) -> str:
    """Say why a text is no address of an endpoint, without repeating it: it may hold a key."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "something that is no address"
    is_text = url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_text:
        return "something that is no http address"
    if "@" in parts.netloc:
        return "a user or a password in it"
    return "something behind the path" if parts.query or parts.fragment else ""


def _is_private(url: str) -> bool:
    """Whether nobody on the way reads what is sent to an address."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def completed(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a checked entry with what an endpoint implies; any other entry as it is."""
    if entry["endpoint"] is None:
        return entry
    written = {name: value for name, value in entry["endpoint"].items() if value is not None}
    implied = OF_OPENAI if _is_openai(written["url"]) else {}
    return entry | {
        "endpoint": entry["endpoint"] | implied | written | {"url": written["url"].rstrip("/")},
        "engine": "endpoint",
        "gpus": 0,
        "runs_on_cpu": True,
        "thinking": entry["thinking"] or MARKS,
    }


def _is_openai(url: str) -> bool:
    parts = urlsplit(url)
    return (parts.scheme, parts.hostname, parts.port or 443) == ("https", OPENAI, 443)


def identity(entry: Entry) -> dict[str, Any]:
    """Return what the answers of a server depend on, as far as anybody here can know."""
    names = ("url", "model", "extra_body")
    return {name: entry["endpoint"][name] for name in names} | {"thinking": entry["thinking"]}
