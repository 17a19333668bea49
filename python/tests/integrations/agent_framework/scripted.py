"""A chat client that answers from a script and remembers what it was shown. Not here: tests."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Mapping, Sequence
from typing import Any

from agent_framework import BaseChatClient, ChatResponse, ChatResponseUpdate, Content, Message, ResponseStream


class ScriptedClient(BaseChatClient[Any]):
    """Gives its answers one after the other."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.answers = list(answers)
        self.shown: list[list[str]] = []

    def _inner_get_response(
        self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **kwargs: Any
    ) -> Awaitable[ChatResponse] | ResponseStream[ChatResponseUpdate, ChatResponse]:
        self.shown.append([f"{message.role}: {message.text}" for message in messages])
        text = self.answers.pop(0)
        if stream:

            async def updates() -> AsyncIterable[ChatResponseUpdate]:
                for word in text.split(" "):
                    yield ChatResponseUpdate(role="assistant", contents=[Content.from_text(word + " ")])

            return ResponseStream(updates(), finalizer=ChatResponse.from_updates)

        async def answer() -> ChatResponse:
            return ChatResponse(messages=[Message("assistant", [text])])

        return answer()
