"""A running server or hosted model as an engine: many requests at once, patience, and nothing lost on the way.

A request is tried again where another time may help. One that was not answered after all tries is told as
not final, so that the next run asks it again; where meanwhile nothing was heard by any other one either, or no
request can fare better, the engine ends with the reason. A mistake of this engine's own ends it too: no request
is to blame for that.
"""

from __future__ import annotations

import asyncio
import base64
import random
import sys
import time
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version
from io import BytesIO
from operator import itemgetter
from pathlib import Path
from typing import Any

from snakeval import pictures
from snakeval.endpoint import Fate, Server, Trouble
from snakeval.engine import Answer, EngineSettings, Request
from snakeval.errors import EngineError

STEP_S = 0.2
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0  # before a request is tried again; it doubles
MAX_ASKED_WAIT_S = 900.0  # a server that asks for more is given up
MOST_GIVEN_UP = 20  # requests; there is no use in going on then
SILENT_TRIES = 2  # of a request whose answer does not come in time: each costs all its tokens
PROBE = "Say OK."
PROBE_TOKENS = 16  # fewer are refused by some

# Parameters that OpenAI's interface lacks and most servers take; what changes nothing is not sent.
NEUTRAL = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


class Pace:
    """When the next request may be sent: so many a minute, and none while the server asks to wait.

    Args:
        per_minute: None for no limit.
        clock: the time in seconds.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        per_minute: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._clock, self._sleep = clock, sleep
        self._free = clock()

    async def turn(self) -> None:
        """Wait for the next turn, and take it."""
        while (left := self._free - self._clock()) > 0:
            await self._sleep(left)
        self._free = self._clock() + self._gap

    def pause(self, seconds: float) -> None:
        """Let nobody have a turn for so long."""
        self._free = max(self._free, self._clock() + seconds)


class EndpointEngine:
    """A server with OpenAI's interface. Starting it asks one small question with the model's parameters."""

    def __init__(self, settings: EngineSettings) -> None:
        began = time.monotonic()
        self._model, self._endpoint = settings.model, settings.model["endpoint"]
        self._server = Server(self._endpoint)
        self._pace = Pace(self._endpoint["requests_per_minute"])
        self._loop = asyncio.new_event_loop()
        self._waiting: deque[Request] = deque()
        self._asked: set[asyncio.Task[Answer]] = set()
        self._heard_at = -1.0  # when the last piece of any answer came
        self._given_up = 0
        self._end: EngineError | None = None
        imported = time.monotonic()
        try:
            self._says = self._loop.run_until_complete(self._probe())
        except EngineError:
            self.close()
            raise
        self._seconds = {"import": imported - began, "start": time.monotonic() - imported}

    def facts(self) -> dict[str, Any]:
        """Return version, what is asked, seconds, and what the server says it is."""
        names = ("url", "model", "extra_body", "stop_limit")
        return {
            "versions": {"httpx": version("httpx")},
            "arguments": {name: self._endpoint[name] for name in names},
            "seconds": self._seconds,
            "server": self._says,
        }

    def submit(self, request: Request) -> None:
        """Queue a request."""
        self._waiting.append(request)

    def step(self) -> list[Answer]:
        """Ask as much as may be asked at once, and return what has come within a moment.

        Raises:
            EngineError: no request fares better; all answers were returned before.
        """
        if self._end:
            raise self._end
        return self._loop.run_until_complete(self._step())

    async def _step(self) -> list[Answer]:
        while self._waiting and len(self._asked) < self._endpoint["concurrency"]:
            self._asked.add(asyncio.create_task(self._answer(self._waiting.popleft())))
        done, self._asked = await asyncio.wait(
            self._asked, timeout=STEP_S, return_when=asyncio.FIRST_COMPLETED
        )
        answers = []
        for task in done:
            error = task.exception()
            if error is None:
                answers.append(task.result())
            else:
                self._end = self._end or self._ending(error)
        if self._end:
            await self._drop()
        return answers

    def _ending(self, error: BaseException) -> EngineError:
        """Return an error as one that tells its remedy."""
        if isinstance(error, EngineError):
            return error
        print(self._server.cleared("".join(traceback.format_exception(error))), file=sys.stderr)
        return EngineError(
            f"endpoint {self._endpoint['url']}",
            self._server.clean(f"{type(error).__name__}: {error}"),
            "an answer or an error of HTTP",
            "This is a mistake of snakeval's: report it with the log. The next run asks what is missing.",
        )

    def close(self) -> None:
        """Drop what is being asked, and the connections."""
        self._loop.run_until_complete(self._drop())
        self._loop.close()

    async def _drop(self) -> None:
        for task in self._asked:
            task.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)
        self._asked = set()
        await self._server.close()

    async def _probe(self) -> dict[str, Any]:
        """Ask a question nobody needs answered, so that what every request would meet shows at once.

        Raises:
            EngineError: the server is not there, refuses the key, the model or a parameter, or cannot be read.
        """
        sampling = {"max_tokens": PROBE_TOKENS, "stop": self._model["stop"]}
        request = Request("probe", [], {**self._model["sampling"], **sampling})
        message = {"role": "user", "content": PROBE}
        tries = 0
        while True:
            tries += 1
            try:
                return (await self._ask(request, self._body(request, [message])))[1]
            except Trouble as trouble:
                is_there = trouble.fate is Fate.PASSING and trouble.status is not None
                if not is_there or not self._is_worth_another(trouble, tries):
                    raise await self._server.mended_by(trouble) from trouble
                await self._wait(trouble, tries)

    async def _answer(self, request: Request) -> Answer:
        """Have a request answered, in several tries where another time may help.

        Raises:
            EngineError: the others fare no better.
        """
        began, tries = time.monotonic(), 0
        try:
            body = self._body(request, _with_image(request))
        except ValueError as error:
            return _error(request, str(error))
        while True:
            tries += 1
            try:
                answer, _ = await self._ask(request, body)
            except Trouble as trouble:
                if trouble.fate is Fate.DENIED:
                    await self._probe()  # ends the engine where no other request is taken
                if trouble.fate in (Fate.REFUSED, Fate.DENIED):
                    return _error(request, trouble.text)
                if trouble.fate is Fate.HOPELESS:
                    raise await self._server.mended_by(trouble) from trouble
                if self._is_worth_another(trouble, tries):
                    await self._wait(trouble, tries)
                    continue
                text = f"{trouble.text} (tried {tries} times)" if tries > 1 else trouble.text
                self._given_up += 1
                if self._heard_at > began and self._given_up < MOST_GIVEN_UP:
                    return _error(request, text, final=False)
                trouble.text = text
                raise await self._server.mended_by(trouble) from trouble
            return answer

    def _is_worth_another(self, trouble: Trouble, tries: int) -> bool:
        most = self._endpoint["max_retries"] + 1
        if isinstance(trouble.__cause__, TimeoutError):
            most = min(most, SILENT_TRIES)
        return tries < most and (trouble.wait_s or 0) <= MAX_ASKED_WAIT_S

    async def _wait(self, trouble: Trouble, tries: int) -> None:
        """Wait before another try: all of them as long as the server asks, or this one longer each time."""
        if trouble.wait_s:  # 0 would use up all tries at once
            self._pace.pause(trouble.wait_s)
            return
        seconds = min(FIRST_WAIT_S * 2 ** (tries - 1), LONGEST_WAIT_S)
        await asyncio.sleep(seconds * random.uniform(0.5, 1.0))

    async def _ask(
        self, request: Request, body: Mapping[str, Any]
    ) -> tuple[Answer, dict[str, Any]]:
        """Ask once; return the answer and what the server says it is.

        Raises:
            Trouble: there is no whole answer.
        """
        await self._pace.turn()
        limit = self._endpoint["timeout_s"]
        try:
            async with asyncio.timeout(limit):
                return await self._heard(request, body)
        except TimeoutError as error:
            text = f"no whole answer within {limit:g} s, the endpoint's timeout_s"
            raise Trouble(text, Fate.PASSING) from error

    async def _heard(
        self, request: Request, body: Mapping[str, Any]
    ) -> tuple[Answer, dict[str, Any]]:
        path = "completions" if self._model["prompt_style"] == "completion" else "chat/completions"
        heard, began = _Heard(), time.monotonic()
        events = self._server.events("POST", path, body)
        async for event in events:
            heard.add(event)
            self._heard_at = time.monotonic()
        ended = time.monotonic()
        sent = body.get("stop", ())
        stopped_here = heard.stop_at(
            [stop for stop in request.sampling.get("stop", ()) if stop not in sent]
        )
        if heard.reason is None or heard.completion_tokens is None or heard.is_strange:
            missing = "finish_reason" if heard.reason is None else "usage.completion_tokens"
            what = "its content is no text" if heard.is_strange else f"it ended without {missing}"
            raise Trouble(f"an answer that cannot be read: {what}", Fate.PASSING)
        reason = heard.reason if heard.reason in ("stop", "length") else "error"
        said = f"the server ended this answer with {heard.reason!r}"
        answer = Answer(
            hash=request.hash,
            completion=self._server.cleared(heard.text(self._model["thinking"])),
            finish_reason=reason,  # type: ignore[arg-type]
            completion_tokens=heard.completion_tokens,
            latency_s=ended - began,
            ttft_s=None if heard.first is None else heard.first - began,
            error=self._server.clean(said) if reason == "error" else None,
            prompt_tokens=heard.prompt_tokens,
            hidden_tokens=heard.hidden_tokens,
            stopped_here=stopped_here,
        )
        return answer, {name: self._server.clean(text) for name, text in heard.server.items()}

    def _body(self, request: Request, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return what is sent for a request; a parameter that `extra_body` sets to null is left out."""
        sampling = dict(request.sampling)
        body: dict[str, Any] = {
            "model": self._endpoint["model"],
            "stream": True,
            "stream_options": {"include_usage": True},
            self._endpoint["token_limit"]: sampling.pop("max_tokens"),
        }
        if self._model["prompt_style"] == "completion":
            body["prompt"] = messages[0]["content"]
        else:
            body["messages"] = messages
            if self._model["template_arguments"]:
                body["chat_template_kwargs"] = self._model["template_arguments"]
        stop = _taken(sampling.pop("stop", []), self._endpoint["stop_limit"])
        body |= {"stop": stop} if stop else {}
        body |= {name: value for name, value in sampling.items() if value != NEUTRAL.get(name)}
        body |= self._endpoint["extra_body"]
        return {name: value for name, value in body.items() if value is not None}


class _Heard:
    """What has come of an answer; what nobody knows is passed over."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._thoughts: list[str] = []
        self.is_strange = False  # what should be text is something else, and would be lost
        self.first: float | None = None  # when its first text came
        self.reason: str | None = None
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self._thought_tokens: int | None = None
        self.server: dict[str, str] = {}

    def add(self, event: Mapping[str, Any]) -> None:
        """Take in one event of a stream, or a whole answer."""
        for name in ("model", "system_fingerprint"):
            if isinstance(value := event.get(name), str):
                self.server.setdefault(name, value)
        if isinstance(usage := event.get("usage"), Mapping):
            self.prompt_tokens = _count(usage.get("prompt_tokens"))
            self.completion_tokens = _count(usage.get("completion_tokens"))
            details = usage.get("completion_tokens_details")
            if isinstance(details, Mapping):
                self._thought_tokens = _count(details.get("reasoning_tokens"))
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, Mapping):
            return
        said = choice.get("delta") or choice.get("message") or choice
        if isinstance(said, Mapping):
            thought = said.get("reasoning_content") or said.get("reasoning")
            text = said.get("content") or said.get("text") or said.get("refusal")
            for part, parts in ((thought, self._thoughts), (text, self._parts)):
                if isinstance(part, str) and part:
                    parts.append(part)
                    self.first = self.first or time.monotonic()
                elif part:
                    self.is_strange = True
        if isinstance(reason := choice.get("finish_reason"), str):
            self.reason = reason

    @property
    def hidden_tokens(self) -> int | None:
        """How many of the tokens were a thought that was not shown; None where the server does not tell."""
        thought, all_of_it = self._thought_tokens, self.completion_tokens
        hidden = thought is not None and all_of_it is not None and thought <= all_of_it
        return thought if hidden and not self._thoughts else None

    def stop_at(self, stops: Sequence[str]) -> bool:
        """Cut the answer at the first of some texts, as an engine does that knows them: before the one that ends first.

        Returns:
            Whether one was there; the answer has ended by itself then.
        """
        text = "".join(self._parts)
        places = [(text.find(stop), len(stop)) for stop in stops]
        found = [(start + length, start) for start, length in places if start >= 0]
        if not found:
            return False
        _, start = min(found, key=itemgetter(0))
        self._parts = [text[:start]]
        self.reason = "stop" if self.reason == "length" else self.reason
        return True

    def text(self, thinking: Mapping[str, str]) -> str:
        """Return the answer, behind its thought in the model's marks; one that was cut off stays open."""
        text, thought = "".join(self._parts), "".join(self._thoughts)
        if not thought:
            return text
        is_open = not text and self.reason == "length"
        return f"{thinking['open']}{thought}{'' if is_open else thinking['close']}{text}"


def _taken(stops: Sequence[str], limit: int | None) -> Sequence[str]:
    """Return the stop texts that are sent to a server which takes no more than `limit`.

    None goes whose cut could take away a part of one that is looked for here.
    """
    if limit is None or len(stops) <= limit:
        return stops
    return [stop for stop in stops if not any(_may_hide(stop, other) for other in stops)][:limit]


def _may_hide(stop: str, other: str) -> bool:
    """Whether another text can begin elsewhere, end no later than `stop` does, and share a part with it."""
    ends = (other[cut:] for cut in range(1, len(other)))
    return other in stop[1:] or any(stop.startswith(end) for end in ends)


def _count(value: Any) -> int | None:
    """Return a number of tokens, None where there is none that can be one."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value < 2**31 else None


def _error(request: Request, text: str, final: bool = True) -> Answer:
    return Answer(request.hash, "", "error", 0, error=text, final=final)


def _with_image(request: Request) -> Sequence[Mapping[str, Any]]:
    """Return a request's messages, the image before the user's first text.

    Raises:
        ValueError: the image cannot be shown.
    """
    if request.image is None:
        return request.messages
    data = BytesIO()
    pictures.load(Path(request.image.path)).save(data, "PNG")
    address = f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
    messages: list[dict[str, Any]] = [dict(message) for message in request.messages]
    first = next(message for message in messages if message["role"] == "user")
    text = {"type": "text", "text": first["content"]}
    first["content"] = [{"type": "image_url", "image_url": {"url": address}}, text]
    return messages
