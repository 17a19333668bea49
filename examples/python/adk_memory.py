"""An agent of Google's Agent Development Kit that remembers its user across sessions. The model is scripted: no key, no network.

Run: pip install "mnemic[adk]" && python adk_memory.py
"""

import asyncio
from collections.abc import AsyncGenerator
from tempfile import TemporaryDirectory

from google.adk.agents import Agent
from google.adk.models import BaseLlm, LlmRequest, LlmResponse
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.adk.tools import load_memory
from google.genai import types

from mnemic import create_embedded_memory_manager
from mnemic.integrations.adk import MnemicMemoryService


class ScriptedModel(BaseLlm):
    """Asks its memory about a question, and answers with what it finds."""

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        last = (llm_request.contents[-1].parts or [types.Part()])[0]
        if last.function_response is not None:
            memories = (last.function_response.response or {})["result"].memories
            said = memories[0].content.parts[0].text if memories else "nothing"
            part = types.Part(text=f"I remember: {said}")
        elif (last.text or "").endswith("?"):
            part = types.Part(function_call=types.FunctionCall(name="load_memory", args={"query": last.text}))
        else:
            part = types.Part(text="Noted.")
        yield LlmResponse(content=types.Content(role="model", parts=[part]))


async def say(runner: Runner, user_id: str, text: str) -> None:
    """One session of one message, remembered when it ends."""
    session = await runner.session_service.create_session(app_name="clerk", user_id=user_id)
    message = types.Content(role="user", parts=[types.Part(text=text)])
    async for event in runner.run_async(user_id=user_id, session_id=session.id, new_message=message):
        if event.is_final_response() and event.content and event.content.parts:
            print(f"{user_id}: {text} -> {event.content.parts[0].text}")
    ended = await runner.session_service.get_session(app_name="clerk", user_id=user_id, session_id=session.id)
    if ended is not None and runner.memory_service is not None:
        await runner.memory_service.add_session_to_memory(ended)


async def main() -> None:
    agent = Agent(name="clerk", model=ScriptedModel(model="scripted"), tools=[load_memory])
    with TemporaryDirectory() as directory:
        async with create_embedded_memory_manager(directory) as memory:
            runner = Runner(
                app_name="clerk",
                agent=agent,
                session_service=InMemorySessionService(),
                memory_service=MnemicMemoryService(memory),
            )
            await say(runner, "petrova", "My interview takes place in Dallas.")
            await say(runner, "petrova", "Where is my interview?")
            await say(runner, "okafor", "Where is my interview?")


if __name__ == "__main__":
    asyncio.run(main())
