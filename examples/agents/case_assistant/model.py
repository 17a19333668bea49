"""The language model behind the assistant: the port, a scripted model, and any OpenAI-compatible endpoint.
Not here: what a model is asked and how its answers are read (`prompts`)."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Literal, Protocol, TypedDict
from urllib.parse import urlsplit

_LARGEST_ANSWER = 4 * 1024 * 1024
_LONGEST_PAUSE = 20.0
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class Message(TypedDict):
    """One message of a conversation with a model."""

    role: Literal["system", "user", "assistant"]
    content: str


class Model(Protocol):
    """What answers messages with a text."""

    async def acomplete(self, messages: Sequence[Message]) -> str:
        """The model's answer; a :class:`ModelError` if there is none."""


class ModelError(Exception):
    """A model gave no answer. ``retryable`` tells whether asking again later may help, ``retry_after`` after how many seconds."""

    def __init__(self, message: str, *, retryable: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after


class ModelUnavailableError(ModelError):
    """The endpoint cannot be reached, did not answer in time, or failed."""


class ModelRateLimitedError(ModelError):
    """The endpoint asked to slow down."""


class ModelRefusedError(ModelError):
    """The endpoint refused the request: the key, the model's name, or what was sent."""


class ModelAnswerError(ModelError):
    """What came is not an answer that can be used."""


class ScriptedModel:
    """A model that says what it was told to: one text after another, or what a function makes of the messages.

    ``asked`` holds the messages of every call. Asking for more than the script holds is a :class:`ModelError`.
    """

    def __init__(self, script: Iterable[str] | Callable[[Sequence[Message]], str]) -> None:
        self.asked: list[list[Message]] = []
        self._answer = script if callable(script) else None
        self._texts = iter(()) if callable(script) else iter(script)

    async def acomplete(self, messages: Sequence[Message]) -> str:
        """The next text of the script."""
        self.asked.append(list(messages))
        if self._answer is not None:
            return self._answer(messages)
        text = next(self._texts, None)
        if text is None:
            raise ModelError(f"script: expected an answer for call {len(self.asked)}, found its end")
        return text


class OpenAICompatibleModel:
    """A model behind ``POST {base_url}/chat/completions``: OpenAI itself, vLLM, Ollama, llama.cpp and others.

    ``base_url`` ends where ``/chat/completions`` begins, such as ``http://127.0.0.1:11434/v1``. ``timeout`` (seconds) bounds one
    attempt as a whole. What may pass by itself (a limit, a failing server, no answer) is tried ``attempts`` times, with the pause that
    the server asks for, else 0.5, 1, 2 … seconds.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        attempts: int = 3,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        address = urlsplit(base_url)
        if address.scheme not in ("http", "https") or not address.hostname or address.username or address.query:
            raise ValueError(
                "base_url: expected http(s)://host[:port]/path without a password or a query, found another form"
            )
        if attempts < 1 or timeout <= 0:
            raise ValueError(f"attempts, timeout: expected at least 1 and above 0, found {attempts} and {timeout}")
        self._secure, self._host, self._port = address.scheme == "https", address.hostname, address.port
        self._path = address.path.rstrip("/") + "/chat/completions"
        self._model, self._key = model, api_key
        self._timeout, self._attempts, self._sleep = timeout, attempts, sleep

    def __repr__(self) -> str:
        return f"OpenAICompatibleModel(host={self._host!r}, model={self._model!r})"

    async def acomplete(self, messages: Sequence[Message]) -> str:
        """The content of the first choice."""
        body = json.dumps({"model": self._model, "messages": list(messages), "temperature": 0}).encode()
        for attempt in range(1, self._attempts + 1):
            try:
                return await self._attempt(body)
            except ModelError as error:
                if not error.retryable or attempt == self._attempts:
                    raise
                pause = error.retry_after if error.retry_after is not None else 0.5 * 2 ** (attempt - 1)
                if pause > _LONGEST_PAUSE:
                    raise
                await self._sleep(pause)
        raise AssertionError("every attempt answers or raises")

    async def _attempt(self, body: bytes) -> str:
        line = _Line(self._secure, self._host, self._port, self._timeout)
        try:
            # A socket's own timeout starts anew with every byte; this one bounds the whole attempt.
            status, wait, answer = await asyncio.wait_for(asyncio.to_thread(self._post, line, body), self._timeout)
        except TimeoutError as error:
            raise ModelUnavailableError(
                f"{self._host}: no answer within {self._timeout:g} s", retryable=True
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise ModelUnavailableError(f"{self._host}: {error or type(error).__name__}", retryable=True) from error
        finally:
            line.hang_up()
        if status == 200:
            return _content(answer)
        raise self._fault(status, wait, answer)

    def _post(self, line: _Line, body: bytes) -> tuple[int, str | None, bytes]:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        connection = line.connect()
        connection.request("POST", self._path, body, headers)
        response = connection.getresponse()
        answer = response.read(_LARGEST_ANSWER + 1)
        if len(answer) > _LARGEST_ANSWER:
            raise ModelAnswerError(f"answer: expected at most {_LARGEST_ANSWER} bytes, found more")
        return response.status, response.getheader("Retry-After"), answer

    def _fault(self, status: int, wait: str | None, answer: bytes) -> ModelError:
        said = _said(answer)
        if self._key:
            said = said.replace(self._key, "***")
        message = f"{self._host}: status {status}" + (f": {said}" if said else "")
        if status == 429:
            return ModelRateLimitedError(message, retryable=True, retry_after=_seconds(wait))
        if status in _AGAIN:
            return ModelUnavailableError(message, retryable=True, retry_after=_seconds(wait))
        return ModelRefusedError(message) if 400 <= status < 500 else ModelUnavailableError(message)


class _Line:
    """A connection that can be ended while a thread still waits for it."""

    def __init__(self, secure: bool, host: str, port: int | None, timeout: float) -> None:
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._connection = kind(host, port, timeout=timeout)
        # Kept apart: a connection lets go of its socket as soon as it knows that the server will close it.
        self._socket: socket.socket | None = None
        self._ended = False

    def connect(self) -> http.client.HTTPConnection:
        self._connection.connect()
        self._socket = self._connection.sock
        if self._ended:
            self._connection.close()
            raise ConnectionAbortedError("nobody waits for it any more")
        return self._connection

    def hang_up(self) -> None:
        self._ended = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def _seconds(wait: str | None) -> float | None:
    try:
        seconds = float(wait) if wait is not None else None
    except ValueError:
        return None
    return seconds if seconds is not None and 0 <= seconds < float("inf") else None


def _parsed(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except ValueError as error:
        raise ModelAnswerError(f"answer: expected JSON, found {len(answer)} bytes of something else") from error


def _said(answer: bytes) -> str:
    """What a server says about its refusal, in one line."""
    try:
        error = _parsed(answer).get("error", "")
    except (ModelAnswerError, AttributeError):
        return ""
    text = error.get("message", "") if isinstance(error, dict) else error
    return " ".join(str(text).split())[:300]


def _content(answer: bytes) -> str:
    parsed = _parsed(answer)
    try:
        choice = parsed["choices"][0]
        content = choice["message"]["content"]
    except (LookupError, TypeError) as error:
        raise ModelAnswerError("answer: expected choices[0].message.content, found none") from error
    if choice.get("finish_reason") == "length":
        raise ModelAnswerError("answer: expected a whole text, found one that was cut at the model's token limit")
    if not isinstance(content, str) or not content.strip():
        raise ModelAnswerError("choices[0].message.content: expected a text, found none")
    return content
