"""A server as an engine: what is sent, what comes back, what is tried again, and what a hostile one can do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import WRONG, FakeEndpoint
from page_images import drawn, encoded
from snakeval import endpoint, pictures
from snakeval.endpoint import Fate, Server
from snakeval.engine import (
    Answer,
    EngineSettings,
    Request,
    ShownImage,
    endpoint_engine,
    load_engine,
)
from snakeval.engine.endpoint_engine import EndpointEngine, Pace
from snakeval.engine.supervisor import Supervisor
from snakeval.errors import EngineError
from snakeval.registry import endpoints, schema
from snakeval.sources.endpoints import check

KEY = "sk-0123456789abcdef"


def entry(url: str, **keys: Any) -> dict[str, Any]:
    """Return a whole model entry; keys that an endpoint has go there, the others to the model."""
    known = schema.load("model")["properties"]["endpoint"]["anyOf"][1]["properties"]
    mine = {name: keys.pop(name) for name in list(keys) if name in known}
    served = {"url": url, "model": "tiny-chat", "key_variable": None, "max_retries": 2} | mine
    written = {"endpoint": served, "max_model_len": 2048, **keys}
    assert schema.check(written, "model", "here") == []
    assert list(endpoints.check(written, "here")) == []
    return endpoints.completed(schema.filled(written, "model"))


made: list[EndpointEngine] = []


def engine(url: str, **keys: Any) -> EndpointEngine:
    found = load_engine("endpoint")(EngineSettings("", "", entry(url, **keys), 0, "endpoint"))
    assert isinstance(found, EndpointEngine)
    made.append(found)
    return found


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close the engines of a test."""
    yield
    while made:
        made.pop().close()


def request(text: str, name: str = "r", **sampling: Any) -> Request:
    parameters = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 64, "stop": []} | sampling
    return Request(name, [], parameters, messages=[{"role": "user", "content": text}])


def answers(engine: EndpointEngine, *texts: str) -> list[Answer]:
    """Return the answers to some texts, in their order."""
    for number, text in enumerate(texts):
        engine.submit(request(text, str(number)))
    found: dict[str, Answer] = {}
    while len(found) < len(texts):
        found |= {answer.hash: answer for answer in engine.step()}
    return [found[str(number)] for number in range(len(texts))]


def why_open(engine: EndpointEngine, text: str) -> str:
    """Return why a request stays open: its own error if anything of an answer was heard, else everybody's."""
    try:
        [answer] = answers(engine, text)
    except EngineError as error:
        return str(error)
    assert not answer.final
    return str(answer.error)


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let nobody wait; return the seconds that would have been waited."""
    waited: list[float] = []
    clock = [0.0]

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(endpoint_engine.asyncio, "sleep", sleep)
    monkeypatch.setattr(endpoint_engine, "STEP_S", 60)  # a slow machine answers later than a moment
    pace = Pace.__init__

    def made(self: Pace, per_minute: float | None) -> None:
        pace(self, per_minute, lambda: clock[0], sleep)

    monkeypatch.setattr(Pace, "__init__", made)
    return waited


class TestWhatIsSent:
    def test_a_conversation_with_the_parameters_that_the_interface_has(self) -> None:
        with FakeEndpoint() as server:
            asked = engine(server.url, extra_body={"reasoning_effort": "low"})
            asked.submit(request("Hi", temperature=0.7, seed=5, stop=["END"], top_k=0, min_p=0.0))
            assert asked.step()[0].completion == WRONG
            assert server.asked == [
                {
                    "model": "tiny-chat",
                    "messages": [{"role": "user", "content": "Hi"}],
                    "stream": True,
                    "stream_options": {"include_usage": True},
                    "temperature": 0.7,
                    "top_p": 1.0,
                    "max_tokens": 64,
                    "stop": ["END"],
                    "seed": 5,
                    "reasoning_effort": "low",
                }
            ]
            assert server.paths == {"/v1/chat/completions"}

    def test_others_only_where_they_change_something(self) -> None:
        with FakeEndpoint() as server:
            asked = engine(server.url)
            asked.submit(request("Hi", top_k=20, min_p=0.1, repetition_penalty=1.0))
            asked.step()
            assert server.asked[0]["top_k"] == 20
            assert server.asked[0]["min_p"] == 0.1
            assert "repetition_penalty" not in server.asked[0]

    def test_null_leaves_a_parameter_out_and_the_limit_has_the_servers_name(self) -> None:
        with FakeEndpoint() as server:
            body = {"temperature": None, "top_p": None}
            answers(engine(server.url, extra_body=body, token_limit="max_completion_tokens"), "Hi")
            assert server.asked[0]["max_completion_tokens"] == 64
            assert not {"temperature", "top_p", "max_tokens"} & server.asked[0].keys()

    def test_a_server_that_refuses_to_be_asked_for_the_count_of_tokens(self) -> None:
        with FakeEndpoint(refuses="stream_options") as server:
            with pytest.raises(EngineError, match=r"\{name: null\} leaves a parameter out"):
                engine(server.url)
            asked = engine(server.url, extra_body={"stream_options": None})
            assert answers(asked, "Hi")[0].completion == WRONG

    def test_a_completion_is_plain_text(self) -> None:
        with FakeEndpoint() as server:
            asked = engine(server.url, model="tiny-base", prompt_style="completion")
            assert answers(asked, "def f(x):")[0].completion == WRONG
            assert server.asked[0]["prompt"] == "def f(x):"
            assert "messages" not in server.asked[0]
            assert server.paths == {"/v1/completions"}

    def test_arguments_of_the_chat_template(self) -> None:
        with FakeEndpoint() as server:
            answers(engine(server.url, template_arguments={"enable_thinking": False}), "Hi")
            assert server.asked[0]["chat_template_kwargs"] == {"enable_thinking": False}

    def test_an_image_stands_before_the_text(self, tmp_path: Path) -> None:
        data = encoded(drawn("red", (8, 8)), "TIFF")
        path = tmp_path / pictures.file_name(data)
        path.write_bytes(data)
        with FakeEndpoint() as server:
            asked = engine(server.url, images=True)
            plain = request("What?")
            asked.submit(
                Request("r", [], plain.sampling, 0, ShownImage(str(path), 9), plain.messages)
            )
            path2 = tmp_path / "gone.png"
            asked.submit(
                Request("g", [], plain.sampling, 0, ShownImage(str(path2), 9), plain.messages)
            )
            found: dict[str, Answer] = {}
            while len(found) < 2:
                found |= {answer.hash: answer for answer in asked.step()}
            [body] = server.asked
            image, text = body["messages"][0]["content"]
            assert image["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
            assert text == {"type": "text", "text": "What?"}
            assert "gone.png" in str(found["g"].error)

    def test_the_key_and_nothing_else_from_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MY_KEY", f" {KEY}\n")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-server")
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: yes")
        with FakeEndpoint(key=KEY) as server:
            answers(engine(server.url, key_variable="MY_KEY"), "Hi")
            assert server.headers[-1]["Authorization"] == f"Bearer {KEY}"
        with FakeEndpoint() as server:
            answers(engine(server.url), "Hi")
            assert "Authorization" not in server.headers[-1]
            assert "sk-of-another-server" not in json.dumps(server.headers)
            assert "X-Secret" not in server.headers[-1]

    def test_a_key_that_goes_unencrypted_passes_no_proxy(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MY_KEY", KEY)
        with FakeEndpoint(key=KEY) as server, FakeEndpoint() as proxy:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)
            answers(engine(server.url, key_variable="MY_KEY"), "Hi")
            assert len(server.asked) == 1
            assert proxy.headers == []


class TestWhatComesBack:
    def test_text_tokens_and_times(self) -> None:
        with FakeEndpoint() as server:
            asked = engine(server.url)
            [answer] = answers(asked, "SOLVE:def f(x):;return x")
            assert answer.completion == "```python\ndef f(x):\n    return x\n```"
            assert (answer.finish_reason, answer.error) == ("stop", None)
            assert (answer.prompt_tokens, answer.completion_tokens) == (21, 12)
            assert answer.ttft_s is not None
            assert answer.latency_s is not None
            assert 0 < answer.ttft_s <= answer.latency_s
            facts = asked.facts()
            assert facts["server"] == {"model": "tiny-chat", "system_fingerprint": "fp_1"}
            assert facts["arguments"]["url"] == server.url
            assert len(server.probes) == 1

    def test_a_thought_is_kept_in_the_models_marks(self) -> None:
        with FakeEndpoint() as server:
            thought, cut = answers(engine(server.url), "THINK", "CUT")
            assert thought.completion == f"<think>Let me see.</think>{WRONG}"
            assert cut.completion == "<think>Let me see."
            assert cut.finish_reason == "length"
            marks = {"open": "[[", "close": "]]"}
            [own] = answers(engine(server.url, thinking=marks), "THINK")
            assert own.completion == f"[[Let me see.]]{WRONG}"

    @pytest.mark.parametrize("text", ["FILTER", "TOOL"])
    def test_another_end_is_an_error_record(self, text: str) -> None:
        with FakeEndpoint() as server:
            [answer] = answers(engine(server.url), text)
            reason = {"FILTER": "content_filter", "TOOL": "tool_calls"}[text]
            assert answer.error == f"the server ended this answer with '{reason}'"
            assert (answer.finish_reason, answer.final) == ("error", True)

    def test_a_request_that_the_server_refuses_is_an_error_record(self) -> None:
        with FakeEndpoint() as server:
            refused, good = answers(engine(server.url), "STATUS:400", "Hi")
            assert refused.error == "400 Bad Request: This model's maximum context is short. 400"
            assert refused.final
            assert good.completion == WRONG
            assert server.tries["STATUS:400"] == 1

    def test_a_request_that_is_denied_is_an_error_record_and_the_others_go_on(self) -> None:
        with FakeEndpoint() as server:
            denied, good = answers(engine(server.url), "STATUS:403", "Hi")
            assert denied.error == "403 Forbidden: This model's maximum context is short. 403"
            assert denied.final
            assert good.completion == WRONG
            assert len(server.probes) == 2  # at the start, and to see whether others are let in

    def test_hidden_thoughts_are_counted_apart(self) -> None:
        with FakeEndpoint() as server:
            hidden, shown, none = answers(engine(server.url), "HIDDEN", "HIDDEN THINK", "Hi")
            assert (hidden.completion_tokens, hidden.hidden_tokens) == (12, 8)
            assert (shown.hidden_tokens, none.hidden_tokens) == (None, None)

    def test_more_thought_than_answer_tells_nothing(self) -> None:
        heard = endpoint_engine._Heard()
        details = {"completion_tokens_details": {"reasoning_tokens": 9}}
        heard.add({"usage": {"completion_tokens": 5, **details}})
        assert heard.hidden_tokens is None


class TestStops:
    STOPS = ("\ndef", "\nclass", "\n#", "\nif", "\nprint")

    @pytest.mark.parametrize(
        "stops",
        [STOPS, ("abcd", "bc", "q", "de", "x"), ("aab", "ab", "x", "y"), ("x", "ab", "aab", "y")],
    )
    @pytest.mark.parametrize("limit", [0, 1, 2, 3, 4, None])
    def test_the_answer_is_that_of_an_engine_that_knows_them_all(
        self, stops: tuple[str, ...], limit: int | None
    ) -> None:
        spoken = ("a\nif\ndef", "a\nprint", "zabcde", "caabz", "xyz", "\n# a", "nothing of them")
        texts = [f"SAY:{text}" for text in spoken]

        def said(server: FakeEndpoint, limit: int | None) -> list[tuple[str, str]]:
            asked = engine(server.url, stop_limit=limit)
            for number, text in enumerate(texts):
                asked.submit(request(text, str(number), stop=list(stops)))
            found: dict[str, Answer] = {}
            while len(found) < len(texts):
                found |= {answer.hash: answer for answer in asked.step()}
            ordered = [found[str(number)] for number in range(len(texts))]
            return [(answer.completion, answer.finish_reason) for answer in ordered]

        with FakeEndpoint() as able, FakeEndpoint(most_stops=limit) as unable:
            assert said(unable, limit) == said(able, None)

    def test_it_is_recorded_which_were_cut_here(self) -> None:
        with FakeEndpoint(most_stops=1) as server:
            asked = engine(server.url, stop_limit=1)
            for text in ("SAY:a END", "SAY:a STOP b", "SAY:a"):
                asked.submit(request(text, text, stop=["END", "STOP"]))
            found: dict[str, Answer] = {}
            while len(found) < 3:
                found |= {answer.hash: answer for answer in asked.step()}
            assert {name: answer.stopped_here for name, answer in found.items()} == {
                **{"SAY:a END": False, "SAY:a STOP b": True},
                "SAY:a": False,
            }
            assert {tuple(body["stop"]) for body in server.asked} == {("END",)}
            assert asked.facts()["arguments"]["stop_limit"] == 1

    def test_left_out_by_the_entry_they_are_looked_for_here(self) -> None:
        with FakeEndpoint(refuses="stop") as server:
            asked = engine(server.url, extra_body={"stop": None})
            asked.submit(request("SAY:a STOP b", stop=["STOP"]))
            assert asked.step()[0].completion == "a "

    def test_a_thought_is_not_cut(self) -> None:
        heard = endpoint_engine._Heard()
        said = {"reasoning_content": "STOP?", "content": "a STOP b"}
        heard.add({"choices": [{"delta": said, "finish_reason": "length"}]})
        assert heard.stop_at(["STOP"])
        assert heard.text({"open": "<", "close": ">"}) == "<STOP?>a "
        assert heard.reason == "stop"


class TestTriedAgain:
    @pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
    def test_what_may_pass(self, status: int, no_waits: list[float]) -> None:
        with FakeEndpoint() as server:
            text = f"STATUS:{status}:2"
            [answer] = answers(engine(server.url), text)
            assert answer.completion == WRONG
            assert server.tries[text] == 3
            first, second = [seconds for seconds in no_waits if seconds]
            assert 0.5 <= first <= 1 <= second <= 2

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("GARBAGE", "no JSON: b'<html>busy</html>'"),
            ("LIST", "no JSON object: b'[1, 2]'"),
            ("NOUSAGE", "it ended without usage.completion_tokens"),
            ("OPEN", "it ended without finish_reason"),
            ("STRANGE", "its content is no text"),
            ("DEEP", "no JSON"),
            ("FAILED", "500: overloaded"),
            ("ZIPPED", "compressed, which was not asked for"),
            ("BROKEN", "the connection broke"),
        ],
    )
    def test_what_cannot_be_read_is_no_answer_and_one_line(self, text: str, words: str) -> None:
        with FakeEndpoint() as server:
            told = why_open(engine(server.url), text)
            assert server.tries[text] == 3
            assert words in told
            assert "(tried 3 times)" in told
            assert len(told.splitlines()) == 1

    def test_as_long_as_the_server_asks_nobody_is_asked(self, no_waits: list[float]) -> None:
        with FakeEndpoint() as server:
            asked = engine(server.url, concurrency=1)
            assert [a.completion for a in answers(asked, "WAIT:7", "Hi")] == [WRONG, WRONG]
            assert 7 in no_waits
            assert server.tries["WAIT:7"] == 2

    def test_a_server_that_asks_for_no_wait_is_not_asked_again_at_once(
        self, no_waits: list[float]
    ) -> None:
        with FakeEndpoint() as server:
            assert answers(engine(server.url), "WAIT:0")[0].completion == WRONG
            [waited] = [seconds for seconds in no_waits if seconds]
            assert 0.5 <= waited <= 1

    def test_a_date_to_wait_for(self) -> None:
        assert endpoint._wait_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
        assert endpoint._wait_s({"retry-after": "1.5"}) == 1.5
        never = "Wed, 21 Oct 99999999999 07:28:00 GMT"
        for text in ("", "soon", "-1", "nan", "inf", never):
            assert endpoint._wait_s({"retry-after": text}) is None

    def test_a_wait_without_end_is_given_up(self) -> None:
        with FakeEndpoint() as server:
            with pytest.raises(EngineError, match="429 Too Many Requests: Rate limit reached"):
                answers(engine(server.url), "WAIT:86400")
            assert server.tries["WAIT:86400"] == 1

    def test_given_up_while_others_are_answered_it_stays_open(self) -> None:
        with FakeEndpoint() as server:
            asked = engine(server.url, concurrency=2, max_retries=3)
            asked.submit(request("STATUS:500", "bad"))
            found: dict[str, Answer] = {}
            number = 0
            while "bad" not in found:
                number += 1
                asked.submit(request(f"Number {number}", str(number)))
                found |= {answer.hash: answer for answer in asked.step()}
            bad = found.pop("bad")
            assert not bad.final
            assert bad.error == (
                "500 Internal Server Error: This model's maximum context is short. 500 (tried 4 times)"
            )
            assert {answer.completion for answer in found.values()} == {WRONG}

    def test_after_many_there_is_no_use_in_going_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(endpoint_engine, "MOST_GIVEN_UP", 3)
        with FakeEndpoint() as server:
            asked = engine(server.url, concurrency=1, max_retries=0)
            for number in range(9):
                asked.submit(request("OPEN", str(number)))
            open_ones = [answer.final for _ in range(2) for answer in asked.step()]
            assert open_ones == [False, False]
            with pytest.raises(EngineError, match="it ended without finish_reason"):
                asked.step() or asked.step()
            assert len(server.asked) == 3

    def test_an_answer_that_does_not_come_in_time_is_asked_once_more(self) -> None:
        with FakeEndpoint() as server:
            asked = engine(server.url, timeout_s=2, max_retries=9)
            with pytest.raises(EngineError, match="no whole answer within 2 s"):
                answers(asked, "HANG")
            assert server.tries["HANG"] == 2

    def test_a_stream_without_end_is_ended(self) -> None:
        with FakeEndpoint() as server:
            told = why_open(engine(server.url, timeout_s=2, max_retries=0), "DRIP")
            assert "no whole answer within 2 s" in told

    def test_a_cookie_is_not_sent_back(self) -> None:
        """One that is no ASCII could not be, in any further request."""
        with FakeEndpoint() as server:
            assert [a.completion for a in answers(engine(server.url), "COOKIE")] == [WRONG]
            assert "Cookie" not in server.headers[-1]

    def test_an_answer_of_any_size_is_not_held(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(endpoint, "MAX_BYTES", 2**20)
        with FakeEndpoint() as server:
            assert "longer than 1 MiB" in why_open(engine(server.url, max_retries=0), "HUGE")


class TestHopeless:
    def test_nobody_there(self) -> None:
        with FakeEndpoint() as server:
            url, port = server.url, server.port
        with pytest.raises(EngineError) as caught:
            engine(url)
        assert str(caught.value).startswith(
            f"endpoint {url}: got no connection to 127.0.0.1:{port}"
        )
        assert "Start the server, or correct url:" in str(caught.value)

    def test_no_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        with FakeEndpoint() as server, pytest.raises(EngineError) as caught:
            engine(server.url, key_variable="OPENAI_API_KEY")
        assert "got nothing in the variable OPENAI_API_KEY" in str(caught.value)
        assert server.headers == []

    def test_what_is_no_key_is_not_sent_and_not_shown(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MY_KEY", f"{KEY}\nX-Evil: 1")
        with (
            FakeEndpoint() as server,
            pytest.raises(EngineError, match="something that is no key") as caught,
        ):
            engine(server.url, key_variable="MY_KEY")
        assert KEY not in str(caught.value)
        assert server.headers == []

    def test_a_wrong_key_is_named_by_its_variable_and_not_shown(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MY_KEY", KEY)
        with FakeEndpoint(key="sk-right") as server, pytest.raises(EngineError) as caught:
            engine(server.url, key_variable="MY_KEY")
        text = str(caught.value)
        assert "401 Unauthorized: Incorrect API key provided: Bearer (the key)" in text
        assert "Set MY_KEY" in text
        assert KEY not in text

    def test_a_server_that_denies_all_from_now_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_KEY", KEY)
        with FakeEndpoint(key=KEY) as server:
            asked = engine(server.url, key_variable="MY_KEY")
            server.denies = True
            with pytest.raises(EngineError, match="403 Forbidden: This key may nothing") as caught:
                answers(asked, "Hi")
            assert "Set MY_KEY" in str(caught.value)

    def test_a_server_that_denies_the_first_question(self) -> None:
        with FakeEndpoint() as server:
            server.denies = True
            with pytest.raises(EngineError, match="403 Forbidden") as caught:
                engine(server.url)
            assert "Name the variable that holds its key under key_variable:" in str(caught.value)

    def test_a_mistake_of_its_own_is_no_requests_fault(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with FakeEndpoint() as server:
            asked = engine(server.url)
            monkeypatch.setattr(asked, "_heard", lambda *_: {}["nowhere"])
            with pytest.raises(EngineError, match="got KeyError: 'nowhere'; expected an answer"):
                answers(asked, "Hi")
            assert "Traceback" in capfd.readouterr().err

    def test_an_answer_does_not_hold_the_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_KEY", KEY)
        with FakeEndpoint(key=KEY) as server:
            [answer] = answers(engine(server.url, key_variable="MY_KEY"), "ECHO")
            assert answer.completion == "Your key is (the key)."

    def test_a_model_that_the_server_lacks(self) -> None:
        with FakeEndpoint() as server, pytest.raises(EngineError) as caught:
            engine(server.url, model="tiny-chatt")
        assert "404 Not Found" in str(caught.value)
        assert "expected its model tiny-chatt. Did you mean tiny-chat" in str(caught.value)

    def test_a_parameter_that_the_server_refuses_shows_at_the_start(self) -> None:
        with FakeEndpoint(refuses="temperature") as server:
            with pytest.raises(EngineError) as caught:
                engine(server.url)
            assert "got 400 Bad Request: Unsupported parameter: temperature" in str(caught.value)
            assert "{name: null} leaves a parameter out" in str(caught.value)
            assert server.asked == []
            [answer] = answers(engine(server.url, extra_body={"temperature": None}), "Hi")
            assert answer.completion == WRONG

    def test_answers_that_came_before_are_told_first(self) -> None:
        with FakeEndpoint(answers=3) as server:
            asked = engine(server.url, concurrency=1, max_retries=0)
            for number in range(5):
                asked.submit(request(f"Number {number}", str(number)))
            found = [answer.hash for _ in range(3) for answer in asked.step()]
            with pytest.raises(EngineError, match=r"the connection broke|no connection"):
                asked.step() or asked.step()
            assert found == ["0", "1", "2"]
            assert server.answered[1:] == ["Number 0", "Number 1", "Number 2"]


class TestInItsProcess:
    def supervisor(self, url: str, folder: Path, **keys: Any) -> Supervisor:
        settings = EngineSettings("", "", entry(url, **keys), 0, "endpoint")
        return Supervisor(settings, folder / "log", "remote")

    def test_told_to_stop_it_leaves_at_once(self, tmp_path: Path) -> None:
        with FakeEndpoint() as server:
            supervisor = self.supervisor(server.url, tmp_path)
            while not supervisor.poll_start():
                pass
            supervisor.submit([request("HANG", "hangs"), request("Hi", "comes")])
            came = next(found for found in supervisor.answers() if found)
            assert [answer.hash for answer in came] == ["comes"]
            assert list(supervisor.last_answers()) == []
            supervisor._process.join(10)
            assert supervisor._process.exitcode == 0
            assert "Traceback" not in (tmp_path / "log").read_text()

    def test_an_error_that_tells_its_remedy_arrives_whole(self, tmp_path: Path) -> None:
        with FakeEndpoint(answers=1) as server:
            supervisor = self.supervisor(server.url, tmp_path, max_retries=0, concurrency=1)
            while not supervisor.poll_start():
                pass
            supervisor.submit([request("One", "1"), request("Two", "2"), request("Three", "3")])
            came: list[str] = []
            with pytest.raises(EngineError) as caught:
                came.extend(one.hash for found in supervisor.answers() for one in found)
            assert str(caught.value).startswith(f"endpoint {server.url}: got ")
            assert supervisor._process.exitcode is not None


class TestPace:
    def run(
        self, work: Callable[[Pace, list[float]], Any], per_minute: float | None
    ) -> list[float]:
        """Return when each turn was had, in seconds of a clock that only sleeping moves."""
        now, turns = [0.0], []

        async def sleep(seconds: float) -> None:
            now[0] += seconds

        async def turn(pace: Pace) -> None:
            await pace.turn()
            turns.append(now[0])

        async def main() -> None:
            pace = Pace.__new__(Pace)
            pace._gap = 60 / per_minute if per_minute else 0.0
            pace._clock, pace._sleep, pace._free = (lambda: now[0]), sleep, 0.0
            for _ in range(3):
                await turn(pace)
            work(pace, now)
            await turn(pace)

        asyncio.run(main())
        return turns

    def test_so_many_a_minute(self) -> None:
        assert self.run(lambda pace, now: None, 30) == [0, 2, 4, 6]

    def test_time_that_nobody_used_is_not_saved_up(self) -> None:
        def wait(pace: Pace, now: list[float]) -> None:
            now[0] += 100

        assert self.run(wait, 30) == [0, 2, 4, 104]

    def test_a_pause_is_for_everybody(self) -> None:
        assert self.run(lambda pace, now: pace.pause(9), None) == [0, 0, 0, 9]


def test_so_many_at_once_and_no_more() -> None:
    with FakeEndpoint(delay_s=0.05) as server:
        answers(engine(server.url, concurrency=4), *(f"Number {number}" for number in range(12)))
        assert server.most == 4


def test_a_list_of_models_may_be_missing_or_anything() -> None:
    async def listed(url: str) -> list[str] | None:
        async with Server(entry(url)["endpoint"]) as server:
            return await server.models()

    with FakeEndpoint() as server:
        assert asyncio.run(listed(server.url)) == ["tiny-chat", "tiny-base"]
        server.models = [7, None, "x"]  # type: ignore[list-item]
        assert asyncio.run(listed(server.url)) == ["x"]
        server.models = None
        assert asyncio.run(listed(server.url)) is None


def test_a_key_that_may_ask_and_not_list_the_models_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def events(*_: Any) -> Any:
        raise endpoint.Trouble("403 Forbidden: Missing scopes: api.model.read", Fate.HOPELESS, 403)

    monkeypatch.setattr(Server, "events", events)
    check(entry("http://localhost:1/v1")["endpoint"])


def test_every_status_has_a_fate() -> None:
    fates = {status: endpoint._fate(status) for status in range(300, 600)}
    assert {status for status, fate in fates.items() if fate is Fate.REFUSED} == {400, 413, 422}
    assert all(fates[status] is Fate.PASSING for status in (408, 409, 425, 429, 500, 529, 599))
    assert {status for status, fate in fates.items() if fate is Fate.DENIED} == {403, 451}
    assert all(fates[status] is Fate.HOPELESS for status in (301, 401, 402, 404, 405, 410))
