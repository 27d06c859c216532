"""A server with OpenAI's interface, asked over HTTP; whatever it sends, its answers are read with limits.

httpx by itself and not the `openai` client: that one reads bodies without a limit, and adds headers and keys
from variables that are meant for other servers.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from snakeval.errors import EngineError, near, one_line

if TYPE_CHECKING:
    import httpx

MAX_BYTES = 64 * 2**20  # of one answer as it is sent: a token takes about 300
MAX_ERROR_BYTES = 64 * 2**10
SHOWN_CHARACTERS = 300  # of what a server says about an error
CONNECT_S = 30.0


class Fate(Enum):
    """What becomes of a request that was not answered."""

    REFUSED = auto()  # the server will never take this one
    PASSING = auto()  # another time it may work
    DENIED = auto()  # this one or all of them: how another one fares tells
    HOPELESS = auto()  # no request will fare better until somebody mends something


class Trouble(Exception):
    """A request was not answered.

    Args:
        text: what happened, one line.
        fate: what becomes of it.
        status: the HTTP status, None where there was none.
        wait_s: how many seconds the server asks to wait, None where it does not say.
    """

    def __init__(
        self, text: str, fate: Fate, status: int | None = None, wait_s: float | None = None
    ) -> None:
        super().__init__(text)
        self.text, self.fate, self.status, self.wait_s = text, fate, status, wait_s


def key(endpoint: Mapping[str, Any]) -> str | None:
    """Return the endpoint's key from the environment, None where it asks for none.

    Raises:
        EngineError: the variable is not set, or holds what no key is.
    """
    name = endpoint["key_variable"]
    if name is None:
        return None
    found = os.environ.get(name, "").strip()
    if not found or not found.isascii() or not found.isprintable() or " " in found:
        raise EngineError(
            f"endpoint {endpoint['url']}",
            f"{'something that is no key' if found else 'nothing'} in the variable {name}",
            "the server's key",
            f"Set {name} in the environment, or leave out key_variable: for a server that asks for none.",
        )
    return found


class Server:
    """The server of an endpoint, as an asynchronous context manager; or `close` it.

    Args:
        endpoint: the model's entry under `endpoint:`.

    Raises:
        EngineError: its key is not there.
    """

    def __init__(self, endpoint: Mapping[str, Any]) -> None:
        import httpx

        self.url, self.model = str(endpoint["url"]), str(endpoint["model"])
        self._variable = endpoint["key_variable"]
        self._key = key(endpoint)
        headers = {"Accept-Encoding": "identity", "User-Agent": "snakeval"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        # A cookie that is no ASCII would break every further request.
        nothing_kept = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        # Over http a key goes to this machine only: no proxy of the environment may see it on the way.
        self._client = httpx.AsyncClient(
            trust_env=not self._key or self.url.startswith("https:"),
            headers=headers,
            cookies=nothing_kept,
            timeout=httpx.Timeout(endpoint["timeout_s"], connect=CONNECT_S),
            limits=httpx.Limits(max_connections=endpoint["concurrency"]),
        )

    async def models(self) -> list[str] | None:
        """Return the names of the server's models; None where it does not tell.

        Raises:
            Trouble: no server is there, it does not take the key, or it fails.
        """
        try:
            async with asyncio.timeout(CONNECT_S):
                found = [event async for event in self.events("GET", "models", None)]
        except TimeoutError as error:
            raise Trouble(f"no list of models within {CONNECT_S:g} s", Fate.PASSING) from error
        except Trouble as trouble:
            if trouble.status in (400, 403, 404, 405, 501):  # a key may be for answers alone
                return None
            raise
        listed = found[0].get("data") if found else None
        entries = listed if isinstance(listed, list) else []
        names = [one.get("id") for one in entries if isinstance(one, Mapping)]
        return [name for name in names if isinstance(name, str)] or None

    async def events(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the JSON objects that the server answers with: one, or as many as it streams.

        Args:
            method: of HTTP.
            path: behind the endpoint's url.
            body: what is asked; None for nothing.

        Raises:
            Trouble: there is no answer, or none that can be read.
        """
        import httpx

        try:
            request = self._client.build_request(method, f"{self.url}/{path}", json=body)
            response = await self._client.send(request, stream=True)
            try:
                if response.status_code != 200:
                    raise await self._failure(response)
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise self._unreadable("compressed, which was not asked for")
                streamed = response.headers.get("content-type", "").startswith("text/event-stream")
                async for text in _events(response) if streamed else _whole(response):
                    yield self._object(text)
            except _TooLong as error:
                raise self._unreadable(f"longer than {MAX_BYTES >> 20} MiB") from error
            finally:
                await response.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            place = urlsplit(self.url).netloc
            raise Trouble(
                self.clean(f"no connection to {place} ({error or type(error).__name__})"),
                Fate.PASSING,
            ) from error
        except httpx.TimeoutException as error:
            raise Trouble("the server was silent for too long", Fate.PASSING) from error
        except httpx.InvalidURL as error:
            raise Trouble(f"no address: {error}", Fate.HOPELESS) from error
        except httpx.HTTPError as error:
            what = f"the connection broke ({type(error).__name__}: {error})"
            raise Trouble(self.clean(what), Fate.PASSING) from error

    async def mended_by(self, trouble: Trouble) -> EngineError:
        """Return the error that tells a user what to do about a trouble that stops everything."""
        where = f"endpoint {self.url}"
        again = "run the same command again; what was answered is kept."
        if trouble.status in (401, 403):
            if self._variable is None:
                fix = (
                    "Name the variable that holds its key under key_variable: in the model's entry."
                )
                return EngineError(where, trouble.text, "a server that asks for no key", fix)
            needed = f"a key that it takes in {self._variable}"
            return EngineError(where, trouble.text, needed, f"Set {self._variable}, then {again}")
        if trouble.status == 404:
            known: list[str] | None = None
            with suppress(Trouble):
                known = await self.models()
            return self.unknown_model(known, trouble.text)
        fix = f"See to the server, then {again}"
        if trouble.fate is Fate.REFUSED:
            fix = "Correct the model's entry; in extra_body, {name: null} leaves a parameter out."
        elif trouble.status is None:
            fix = f"Start the server, or correct url: in the model's entry, then {again}"
        return EngineError(where, trouble.text, "answers", fix)

    def unknown_model(self, known: list[str] | None, got: str) -> EngineError:
        """Return the error of a model that the server does not have.

        Args:
            known: the names that it has; None where it does not tell.
            got: what was found.
        """
        fix = "Correct url: (it usually ends with /v1) or model: in the model's entry."
        if known:
            names = near(self.model, [self.clean(name)[:100] for name in known[:1000]])
            fix = names if len(names) < 1000 else f"{names[:1000]} …"
        return EngineError(f"endpoint {self.url}", got, f"its model {self.model}", fix)

    def clean(self, text: str) -> str:
        """Return what a server said as one line that does not hold the key, shortened."""
        line = one_line(text.replace(self._key, "(the key)") if self._key else text)
        return line if len(line) <= SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS]}…"

    def cleared(self, text: str) -> str:
        """Return an answer without the key, should the server send that back, and as text that can be written."""
        # Names such as EMPTY, which stand for no key, may well be part of an answer.
        if self._key and len(self._key) > 15:
            text = text.replace(self._key, "(the key)")
        return text.encode("utf-8", "replace").decode("utf-8")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give up all connections."""
        await self._client.aclose()

    def _object(self, text: bytes) -> dict[str, Any]:
        try:
            value = json.loads(text)
            failed = value.get("error") if isinstance(value, dict) else None
            said = _said(failed) if failed else ""
        except (ValueError, RecursionError) as error:
            raise self._unreadable(f"no JSON: {text[:80]!r}") from error
        if not isinstance(value, dict):
            raise self._unreadable(f"no JSON object: {text[:80]!r}")
        if failed:  # in the middle of a stream
            code = failed.get("code") if isinstance(failed, Mapping) else None
            status = code if isinstance(code, int) and 400 <= code < 600 else 500
            raise Trouble(self.clean(f"{status}: {said}"), _fate(status), status)
        return value

    def _unreadable(self, what: str) -> Trouble:
        return Trouble(self.clean(f"an answer that cannot be read: {what}"), Fate.PASSING)

    async def _failure(self, response: httpx.Response) -> Trouble:
        """Return what an HTTP status other than 200 means."""
        body = b""
        async for part in response.aiter_raw():
            body += part
            if len(body) > MAX_ERROR_BYTES:
                break
        try:
            said = _said(json.loads(body))
        except (ValueError, RecursionError):
            said = body.decode("utf-8", "replace")
        status = response.status_code
        text = f"{status} {response.reason_phrase}{': ' if said.strip() else ''}{said}"
        return Trouble(self.clean(text), _fate(status), status, _wait_s(response.headers))


class _TooLong(Exception):
    """An answer has more bytes than are taken."""


async def _whole(response: httpx.Response) -> AsyncIterator[bytes]:
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > MAX_BYTES:
            raise _TooLong
    yield bytes(body)


async def _events(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the data of server-sent events, each of one line, as every such server sends them."""
    left, size = bytearray(), 0
    async for part in response.aiter_raw():
        size += len(part)
        if size > MAX_BYTES:
            raise _TooLong
        left += part
        *lines, left = left.split(b"\n") if b"\n" in part else [left]
        for line in lines:
            data = line.removeprefix(b"data:").strip()
            if not line.startswith(b"data:") or not data:
                continue  # a comment to keep the connection, the name of an event, …
            if data != b"[DONE]":  # the end is the end of the body: the connection is used again
                yield bytes(data)


def _said(value: Any) -> str:
    """Return the message in the body of an error."""
    for name in ("error", "message", "detail"):
        if isinstance(value, Mapping) and value.get(name):
            return _said(value[name])
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _fate(status: int) -> Fate:
    if status in (400, 413, 422):
        return Fate.REFUSED
    if status in (403, 451):  # a filter that takes offence at a prompt, or a key that may nothing
        return Fate.DENIED
    return Fate.PASSING if status in (408, 409, 425, 429) or status >= 500 else Fate.HOPELESS


def _wait_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Retry-After asks to wait."""
    text = headers.get("retry-after", "")
    with suppress(ValueError):
        seconds = float(text)
        return seconds if 0 <= seconds < float("inf") else None
    with suppress(ValueError, TypeError, OverflowError):
        seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        return max(0.0, seconds)
    return None
