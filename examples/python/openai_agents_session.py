"""An agent of the OpenAI Agents SDK that remembers a conversation across runs. The model is scripted: no key, no network.

python examples/python/openai_agents_session.py
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, Model, ModelResponse, Runner, Usage, set_tracing_disabled
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from mnemic import create_embedded_memory_manager
from mnemic.integrations.openai_agents import MnemicSession


class ScriptedModel(Model):
    """Answers with how many messages it was shown."""

    async def get_response(
        self, system_instructions: str | None, input: str | list[Any], *args: Any, **kwargs: Any
    ) -> ModelResponse:
        shown = input if isinstance(input, list) else [input]
        said = [item["content"] for item in shown if isinstance(item, dict) and item.get("role") == "user"]
        text = f"I was shown {len(shown)} items; you first said: {said[0]}"
        content = ResponseOutputText(text=text, type="output_text", annotations=[], logprobs=[])
        message = ResponseOutputMessage(
            id=f"msg_{len(shown)}", content=[content], role="assistant", status="completed", type="message"
        )
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        raise NotImplementedError("this script does not stream")


async def main() -> None:
    set_tracing_disabled(True)
    agent = Agent(name="clerk", instructions="Answer in one sentence.", model=ScriptedModel())
    with tempfile.TemporaryDirectory() as directory:
        async with create_embedded_memory_manager(directory) as memory:
            session = MnemicSession("order-4711", memory.in_namespace("sessions"))
            print((await Runner.run(agent, "My order has not arrived.", session=session)).final_output)
        # Another process, another day: the same directory and the same session id.
        async with create_embedded_memory_manager(directory) as memory:
            session = MnemicSession("order-4711", memory.in_namespace("sessions"))
            print((await Runner.run(agent, "It is still not here.", session=session)).final_output)
            await session.clear_session()
            print(f"after clearing: {len(await session.get_items())} items")


if __name__ == "__main__":
    asyncio.run(main())
