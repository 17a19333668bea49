"""An agent of Microsoft's Agent Framework with memories and sessions in a directory, offline: the client answers from a script.

Run: pip install "mnemic[agent-framework]" && python agent_framework_memory.py
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import Any

from agent_framework import Agent, AgentSession, BaseChatClient, ChatResponse, Message

from mnemic import create_embedded_memory_manager
from mnemic.integrations.agent_framework import MemoryScope, MnemicContextProvider, MnemicHistoryProvider


class ScriptedClient(BaseChatClient[Any]):
    """Answers "Noted." and keeps what it was shown, in place of a model."""

    shown: Sequence[Message] = ()

    def _inner_get_response(
        self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **kwargs: Any
    ) -> Awaitable[ChatResponse]:
        self.shown = messages

        async def answer() -> ChatResponse:
            return ChatResponse(messages=[Message("assistant", ["Noted."])])

        return answer()


async def main() -> None:
    with TemporaryDirectory() as directory:
        async with create_embedded_memory_manager(directory) as memory:
            anna = MemoryScope(user_id="anna")
            history = MnemicHistoryProvider(memory.in_namespace("sessions"), user_id="anna")
            client = ScriptedClient()
            context = MnemicContextProvider(memory, write=anna, search=anna, roles=["user"])
            agent = Agent(client, context_providers=[history, context])
            await agent.run("I am vegetarian.", session=AgentSession(session_id="monday"))
            await agent.run("Is a vegetarian dish on the menu?", session=AgentSession(session_id="tuesday"))
            lines = [line for message in client.shown for line in message.text.splitlines()]
            print("the model was shown:", [line for line in lines if line.startswith("- ")])
            print("the session holds:", [message.text for message in await history.get_messages("monday")])
            await memory.in_namespace("sessions").aforget(user_id="anna")
            print("forgotten:", len(await history.get_messages("monday")), "messages left")


asyncio.run(main())
