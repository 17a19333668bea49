"""An agent of Pydantic AI that keeps notes in a directory, offline: the model answers from a script.

Run: pip install "mnemic[pydantic-ai]" && python pydantic_ai_memory.py
"""

import asyncio
from tempfile import TemporaryDirectory

from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai_harness.memory import Memory

from mnemic import create_embedded_memory_manager
from mnemic.integrations.pydantic_ai import MnemicMemoryStore

NOTE = "Anna prefers morning flights."


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Writes a note when it is asked for the first time, in place of a model."""
    shown = repr(messages)
    if NOTE in shown:
        return ModelResponse(parts=[TextPart("You prefer morning flights.")])
    return ModelResponse(parts=[ToolCallPart("write_memory", {"content": NOTE})])


async def main() -> None:
    with TemporaryDirectory() as directory:
        async with create_embedded_memory_manager(directory) as memory:
            store = MnemicMemoryStore(memory)
            agent = Agent(FunctionModel(answer), capabilities=[Memory(store=store, namespace="anna")])
            await agent.run("I like to fly in the morning.")
            kept = await store.read("anna/main/MEMORY.md", max_chars=1000)
            print("in the notebook:", kept.content.strip() if kept else None)
            second = await agent.run("When do I like to fly?")
            print("the second run was shown it:", "morning" in second.output)
            found = await store.search(
                "anna/main/", "flights", limit=5, max_files=100, max_chars=1000, max_file_chars=10_000
            )
            print("by words:", [match.path.removeprefix("anna/main/") for match in found.matches])


asyncio.run(main())
