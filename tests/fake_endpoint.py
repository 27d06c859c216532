"""A small server with OpenAI's interface for tests: what it does is told by the prompt's own text.

STATUS:503:2       that status twice, then an answer; STATUS:400 always
WAIT:7             429 once, with Retry-After: 7
HANG               nothing, until the client goes
DRIP               text without end
HUGE               one line without end
GARBAGE, DEEP      what is no JSON;  FAILED, LIST, NOUSAGE, OPEN, STRANGE, ZIPPED: JSON that is no answer
BROKEN             the connection is cut in the middle
FILTER, TOOL       an answer that ends for another reason
THINK, CUT         a thought beside the answer; one that the limit cuts off
HIDDEN, UNCOUNTED  8 of the 12 tokens are a thought that is not shown; the prompt's are not told
SAY:<text>         that text, until the token limit or the first stop text
ECHO               the answer is the key
SOLVE:<code>       answered with that code in a fence
[[rating]]         a judge is asked for a grade: 8
anything else      a fixed wrong program
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

MODELS = ["tiny-chat", "tiny-base"]
WRONG = "```python\ndef f(x):\n    return None\n```"


class FakeEndpoint:
    """Serves on a port of its own until the context ends.

    Args:
        key: the only one it takes; None takes all.
        models: the names that it lists and answers to; None lists none and answers to all.
        answers: how many requests are answered before it stops for good; None for no end.
        delay_s: how long an answer takes.
        refuses: a parameter that it does not know.
        most_stops: how many stop texts it takes; None for any number.
        port: of 127.0.0.1; 0 takes a free one.

    Attributes:
        asked: the bodies of the requests for answers, the probe's apart.
        probes: those of the probe.
        answered: the texts whose answers were sent whole.
        most: how many requests were worked on at once at most.
        denies: whether it now takes no request at all.
    """

    def __init__(
        self,
        key: str | None = None,
        models: list[str] | None = MODELS,
        answers: int | None = None,
        delay_s: float = 0.0,
        refuses: str | None = None,
        most_stops: int | None = None,
        port: int = 0,
    ) -> None:
        self.key, self.models, self.left = key, models, answers
        self.delay_s, self.refuses, self.most_stops = delay_s, refuses, most_stops
        self.denies = False
        self.asked: list[dict[str, Any]] = []
        self.probes: list[dict[str, Any]] = []
        self.answered: list[str] = []
        self.tries: Counter[str] = Counter()
        self.paths: set[str] = set()
        self.headers: list[dict[str, str]] = []
        self.now = self.most = 0
        self.lock = threading.Lock()
        self.gone = threading.Event()
        self._http = _Http(("127.0.0.1", port), _Handler)
        self._http.endpoint = self
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Be gone: connections are refused from here on."""
        self.gone.set()
        if self._thread.is_alive():
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    endpoint: FakeEndpoint

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        endpoint = self.server.endpoint
        if not self._is_let_in():
            return
        if endpoint.models is None or self.path != "/v1/models":
            self._error(404, "Not Found")
            return
        self._json(200, {"object": "list", "data": [{"id": name} for name in endpoint.models]})

    def do_POST(self) -> None:
        endpoint = self.server.endpoint
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["prompt"] if "prompt" in body else _text(body["messages"][-1]["content"])
        if endpoint.gone.is_set():
            self.close_connection = True
            return
        if not self._is_let_in():
            return
        with endpoint.lock:
            (endpoint.probes if text == "Say OK." else endpoint.asked).append(body)
            endpoint.paths.add(self.path)
            endpoint.headers.append(dict(self.headers))
            endpoint.tries[text] += 1
            endpoint.now += 1
            endpoint.most = max(endpoint.most, endpoint.now)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):
                self._answer(body, text, endpoint.tries[text])
        finally:
            with endpoint.lock:
                endpoint.now -= 1

    def _is_let_in(self) -> bool:
        key = self.server.endpoint.key
        given = self.headers.get("Authorization", "")
        if key is None or given == f"Bearer {key}":
            return True
        self._error(401, f"Incorrect API key provided: {given}")
        return False

    def _answer(self, body: dict[str, Any], text: str, tries: int) -> None:
        endpoint = self.server.endpoint
        if endpoint.models is not None and body["model"] not in endpoint.models:
            self._error(404, f"The model `{body['model']}` does not exist.")
            return
        if endpoint.refuses in body:
            self._error(400, f"Unsupported parameter: {endpoint.refuses}")
            return
        if endpoint.denies:
            self._error(403, "This key may nothing.")
            return
        if endpoint.most_stops is not None and len(body.get("stop", ())) > endpoint.most_stops:
            self._error(400, "Too many stop texts.")
            return
        if found := re.search(r"STATUS:(\d+)(?::(\d+))?", text):
            if tries <= int(found[2] or 10**9):
                self._error(int(found[1]), f"This model's maximum context is short. {found[1]}")
                return
        elif (found := re.search(r"WAIT:(\S+)", text)) and tries == 1:
            self._error(429, "Rate limit reached.", {"Retry-After": found[1]})
            return
        elif "COOKIE" in text and tries == 1:
            self._error(503, "Busy.", {"Set-Cookie": "\xff=1"})
            return
        elif "HANG" in text:
            endpoint.gone.wait(60)
            return
        elif "GARBAGE" in text:
            self._stream([b"<html>busy</html>"])
            return
        elif "DEEP" in text:
            self._stream([b'{"error":' * 10**5])
            return
        elif "DRIP" in text or "HUGE" in text:
            self._without_end(b" " * 65536 if "HUGE" in text else b"")
            return
        time.sleep(endpoint.delay_s)
        with endpoint.lock:
            if endpoint.left is not None:
                endpoint.left -= text != "Say OK."
                if endpoint.left < 0:
                    endpoint.gone.set()
                    threading.Thread(target=endpoint.stop).start()
                    self.close_connection = True
                    return
        events = list(_events(body, text, endpoint.key or ""))
        if "ZIPPED" in text:
            self._json(200, {}, {"Content-Encoding": "gzip"})
        else:
            self._stream([json.dumps(event).encode() for event in events], "BROKEN" in text)
            with endpoint.lock:
                endpoint.answered.append(text)

    def _stream(self, events: list[bytes], broken: bool = False) -> None:
        data = b": a comment\n\n" + b"".join(b"data: " + event + b"\n\n" for event in events)
        data += b"" if broken else b"data: [DONE]\n\n"
        self._send(200, data, {"Content-Type": "text/event-stream"}, len(data) + 100 * broken)

    def _without_end(self, filling: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.close_connection = True
        event = json.dumps({"choices": [{"delta": {"content": "more "}}]}).encode()
        while not self.server.endpoint.gone.is_set():
            self.wfile.write(filling or b"data: " + event + b"\n\n")
            if not filling:
                time.sleep(0.01)

    def _error(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        self._json(status, {"error": {"message": text, "code": status}}, headers)

    def _json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        kind = {"Content-Type": "application/json"}
        self._send(status, json.dumps(value).encode(), kind | (headers or {}))

    def _send(
        self, status: int, data: bytes, headers: dict[str, str], length: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length or len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = self.close_connection or length not in (None, len(data))


def _text(content: Any) -> str:
    return content if isinstance(content, str) else content[-1]["text"]


def _events(body: dict[str, Any], text: str, key: str) -> Any:
    """Yield the events of an answer."""
    about = {"model": body["model"], "system_fingerprint": "fp_1"}
    chat = "messages" in body
    said, reason, thoughts = WRONG, "stop", ""
    if "SOLVE:" in text:
        code = text.split("SOLVE:")[1].split("\n")[0].replace(";", "\n    ")
        said = f"```python\n{code}\n```"
    if chat and "[[rating]]" in str(body["messages"]):
        said = "Because. Rating: [[8]]"
    if "THINK" in text or "CUT" in text:
        thoughts, reason = "Let me see.", "length" if "CUT" in text else "stop"
        said = "" if "CUT" in text else said
    if "SAY:" in text:
        said, reason = _until_stop(text.split("SAY:")[1], body.get("stop", ()))
    if "ECHO" in text:
        said = f"Your key is {key}."
    reason = "content_filter" if "FILTER" in text else "tool_calls" if "TOOL" in text else reason
    half = len(said) // 2

    def event(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        part = {"delta": delta} if chat else {"text": delta.get("content", "")}
        return about | {"choices": [{"index": 0, **part, "finish_reason": reason}]}

    if "LIST" in text:
        yield [1, 2]
    if "FAILED" in text:
        yield {"error": {"message": "overloaded", "code": None}}
    if "STRANGE" in text:
        yield about | {"choices": [{"delta": {"content": [{"type": "text", "text": "?"}]}}]}
    yield event({"role": "assistant", "content": ""})
    if thoughts:
        yield event({"reasoning_content": thoughts})
    yield event({"content": said[:half]})
    yield event({"content": said[half:]})
    if "OPEN" not in text:
        yield event({}, reason)
    if "NOUSAGE" not in text:
        usage: dict[str, Any] = {"prompt_tokens": 21, "completion_tokens": 12}
        if "HIDDEN" in text:
            usage["completion_tokens_details"] = {"reasoning_tokens": 8}
        if "UNCOUNTED" in text:
            del usage["prompt_tokens"]
        yield about | {"choices": [], "usage": usage}


def _until_stop(text: str, stops: list[str]) -> tuple[str, str]:
    """Return what an engine says that adds a character at a time and looks for its stop texts each time."""
    for end in range(1, len(text) + 1):
        for stop in stops:
            if text[:end].endswith(stop):
                return text[: end - len(stop)], "stop"
    return text, "length"
