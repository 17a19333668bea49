"""The models of `examples/agents`: the scripted one, the rules, the prompts' answers, and an OpenAI-compatible endpoint on loopback.
Not here: what the agents make of them (`test_agents`, `integrations/agents`)."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "agents"))

from case_assistant.model import (
    Message,
    ModelAnswerError,
    ModelError,
    ModelRateLimitedError,
    ModelRefusedError,
    ModelUnavailableError,
    OpenAICompatibleModel,
    ScriptedModel,
)
from case_assistant.offline import offline_model
from case_assistant.prompts import ask_for_facts, ask_for_summary, read_facts

ASKED: list[Message] = [{"role": "user", "content": "Здравствуйте"}]
KEY = "sk-very-secret"


def said(content: object, **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop", **more}
    return json.dumps({"object": "chat.completion", "choices": [choice]}).encode()


@dataclass
class Turn:
    """One answer of the server: what it sends, after which pause, and how much of it."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hold: bool = False
    drip: bool = False


class Endpoint(ThreadingHTTPServer):
    """A server that gives prepared answers and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.turns: list[Turn] = []
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.asked, self.stopped = threading.Event(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, dict(self.headers), body))
        self.server.asked.set()
        turn = self.server.turns.pop(0)
        if turn.hold:
            self.server.stopped.wait(30)
            return
        self.send_response(turn.status)
        for name, value in turn.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(turn.body)))
        self.end_headers()
        if turn.drip:
            # Each byte comes in time for a timeout that starts anew with every byte.
            for byte in turn.body:
                if self.server.stopped.wait(0.05):
                    return
                try:
                    self.wfile.write(bytes([byte]))
                except OSError:
                    return
            return
        self.wfile.write(turn.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.stopped.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def model(endpoint: Endpoint, slept: list[float]) -> Callable[..., OpenAICompatibleModel]:
    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    def make(**more: Any) -> OpenAICompatibleModel:
        return OpenAICompatibleModel(endpoint.url, "tiny", api_key=KEY, sleep=sleep, **more)

    return make


Make = Callable[..., OpenAICompatibleModel]


async def test_the_endpoint_is_asked_as_openai_describes_it(endpoint: Endpoint, model: Make) -> None:
    endpoint.turns = [Turn(said("Добрый день"))]
    assert await model().acomplete(ASKED) == "Добрый день"
    [(path, headers, body)] = endpoint.requests
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Content-Type"] == "application/json"
    assert (body["model"], body["messages"]) == ("tiny", ASKED)


async def test_without_a_key_none_is_sent(endpoint: Endpoint) -> None:
    endpoint.turns = [Turn(said("ok"))]
    assert await OpenAICompatibleModel(endpoint.url + "/", "tiny").acomplete(ASKED) == "ok"
    [(path, headers, _)] = endpoint.requests
    assert path == "/v1/chat/completions"
    assert "Authorization" not in headers


async def test_a_limit_is_waited_for_as_long_as_the_server_says(
    endpoint: Endpoint, model: Make, slept: list[float]
) -> None:
    endpoint.turns = [Turn(b"{}", 429, {"Retry-After": "2"}), Turn(b"{}", 503), Turn(said("ok"))]
    assert await model().acomplete(ASKED) == "ok"
    assert slept == [2.0, 1.0]
    assert len(endpoint.requests) == 3


async def test_a_limit_that_stays_is_told_with_what_the_server_said(endpoint: Endpoint, model: Make) -> None:
    body = json.dumps({"error": {"message": "Rate limit\nreached", "type": "requests"}}).encode()
    endpoint.turns = [Turn(body, 429, {"Retry-After": "1"})] * 2
    with pytest.raises(ModelRateLimitedError, match="status 429: Rate limit reached") as caught:
        await model(attempts=2).acomplete(ASKED)
    assert (caught.value.retryable, caught.value.retry_after) == (True, 1.0)
    assert endpoint.turns == []


async def test_a_long_pause_is_left_to_the_caller(endpoint: Endpoint, model: Make, slept: list[float]) -> None:
    endpoint.turns = [Turn(b"", 429, {"Retry-After": "3600"})]
    with pytest.raises(ModelRateLimitedError) as caught:
        await model().acomplete(ASKED)
    assert (caught.value.retry_after, slept) == (3600.0, [])


@pytest.mark.parametrize("wait", ["soon", "-1", "nan", "inf"])
async def test_a_pause_that_makes_no_sense_is_not_kept(
    wait: str, endpoint: Endpoint, model: Make, slept: list[float]
) -> None:
    endpoint.turns = [Turn(b"", 429, {"Retry-After": wait}), Turn(said("ok"))]
    assert await model().acomplete(ASKED) == "ok"
    assert slept == [0.5]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<html>gateway</html>", "expected JSON"),
        (b"", "expected JSON"),
        (b"\xff\xfe\x00", "expected JSON"),
        (b"[]", "choices"),
        (b'{"choices": []}', "choices"),
        (b'{"choices": [{"text": "old"}]}', "choices"),
        (said(None), "expected a text"),
        (said("  "), "expected a text"),
        (said([{"type": "text"}]), "expected a text"),
        (said("half a sen", finish_reason="length"), "token limit"),
        (said("whole")[:-10], "expected JSON"),
    ],
)
async def test_what_is_no_answer_is_told_and_not_asked_for_again(
    body: bytes, told: str, endpoint: Endpoint, model: Make
) -> None:
    endpoint.turns = [Turn(body)]
    with pytest.raises(ModelAnswerError, match=told) as caught:
        await model().acomplete(ASKED)
    assert not caught.value.retryable
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 422])
async def test_a_refusal_is_told_once_and_without_the_key(status: int, endpoint: Endpoint, model: Make) -> None:
    endpoint.turns = [Turn(json.dumps({"error": {"message": f"Incorrect API key {KEY}"}}).encode(), status)]
    with pytest.raises(ModelRefusedError, match=f"status {status}: Incorrect API key") as caught:
        await model().acomplete(ASKED)
    assert KEY not in str(caught.value)
    assert KEY not in repr(model())
    assert len(endpoint.requests) == 1


async def test_a_redirect_is_not_followed_with_the_key(endpoint: Endpoint, model: Make) -> None:
    endpoint.turns = [Turn(b"", 307, {"Location": f"{endpoint.url}/elsewhere"})]
    with pytest.raises(ModelUnavailableError, match="status 307"):
        await model().acomplete(ASKED)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("slow", [Turn(b"", hold=True), Turn(said("x" * 200), drip=True)], ids=["silent", "dripping"])
async def test_a_timeout_bounds_the_whole_attempt(slow: Turn, endpoint: Endpoint, model: Make) -> None:
    endpoint.turns = [slow]
    started = time.monotonic()
    with pytest.raises(ModelUnavailableError, match=r"no answer within 0\.3 s") as caught:
        await model(timeout=0.3, attempts=1).acomplete(ASKED)
    assert caught.value.retryable
    # No thread goes on waiting for a server that nobody waits for.
    await asyncio.get_running_loop().shutdown_default_executor()
    assert time.monotonic() - started < 5


async def test_after_a_timeout_the_next_attempt_may_answer(endpoint: Endpoint, model: Make) -> None:
    endpoint.turns = [Turn(b"", hold=True), Turn(said("ok"))]
    assert await model(timeout=0.5, attempts=2).acomplete(ASKED) == "ok"


async def test_a_server_that_is_not_there_is_told(endpoint: Endpoint, slept: list[float], model: Make) -> None:
    asking = model()
    endpoint.shutdown()
    endpoint.server_close()
    with pytest.raises(ModelUnavailableError, match=r"127\.0\.0\.1"):
        await asking.acomplete(ASKED)
    assert slept == [0.5, 1.0]


async def test_a_call_can_be_cancelled(endpoint: Endpoint, model: Make) -> None:
    endpoint.turns = [Turn(b"", hold=True)]
    task = asyncio.create_task(model().acomplete(ASKED))
    assert await asyncio.to_thread(endpoint.asked.wait, 10)
    task.cancel()
    started = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.get_running_loop().shutdown_default_executor()
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("url", ["ftp://host/v1", "host/v1", "http://", "http://me:secret@host/v1", "http://host/?k=1"])
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="base_url") as caught:
        OpenAICompatibleModel(url, "tiny")
    assert "secret" not in str(caught.value)


async def test_a_script_is_said_in_order_and_its_end_is_an_error() -> None:
    model = ScriptedModel(["one", "two"])
    assert [await model.acomplete(ASKED), await model.acomplete(ASKED)] == ["one", "two"]
    with pytest.raises(ModelError, match="expected an answer for call 3, found its end"):
        await model.acomplete(ASKED)
    assert len(model.asked) == 3


async def test_the_rules_answer_in_the_form_that_the_prompts_ask_for() -> None:
    text = "Please write to me in Russian. You need my passport copy. My OPT ends in June."
    facts = read_facts(await offline_model().acomplete(ask_for_facts(text, [])), 0)
    assert [fact.kind for fact in facts] == ["persona", "open_loop", "semantic"]
    loops = ["You need my passport copy.", "You need a photograph."]
    [fact] = read_facts(await offline_model().acomplete(ask_for_facts("I sent the passport copy.", loops)), 2)
    assert (fact.kind, fact.closes) == ("semantic", [1])
    summary = await offline_model().acomplete(ask_for_summary("One. Two.", "Three. Four."))
    assert summary == "Two. Three. Four."


def test_a_fenced_answer_is_read() -> None:
    [fact] = read_facts('```json\n{"facts": [{"kind": "semantic", "text": " A. "}]}\n```', 0)
    assert fact.text == "A."


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ("I think there are none.", "answer"),
        ('{"fact": []}', "facts"),
        ('{"facts": [{"kind": "rumour", "text": "x"}]}', r"facts\.0\.kind"),
        ('{"facts": [{"kind": "semantic", "text": " "}]}', r"facts\.0\.text"),
        ('{"facts": [{"kind": "semantic", "text": "x", "closes": [2]}]}', r"facts\.0\.closes.*1 open loops.*\[2\]"),
        ('{"facts": [{"kind": "semantic", "text": "x", "closes": [0]}]}', r"facts\.0\.closes"),
    ],
)
def test_an_answer_in_another_form_is_an_error_that_names_the_place(answer: str, place: str) -> None:
    with pytest.raises(ModelAnswerError, match=place):
        read_facts(answer, 1)
