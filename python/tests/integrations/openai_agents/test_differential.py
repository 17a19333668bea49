"""The session against the SDK's own, call by call. Not here: what only ours promises (`test_session`)."""

from __future__ import annotations

import asyncio
from typing import Any

from agents import Agent, FunctionTool, Model, ModelResponse, RunConfig, Runner, Usage, function_tool
from agents.memory import Session, SQLiteSession
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from mnemic import create_dev_memory_manager
from mnemic.integrations.openai_agents import MnemicSession

# SQLite's own limits on text: no lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)
items = st.lists(st.dictionaries(texts, values, max_size=4), max_size=6)
calls = st.lists(
    st.tuples(st.just("add"), items)
    | st.tuples(st.just("get"), st.none() | st.integers(-2, 12))
    | st.tuples(st.just("pop"), st.none())
    | st.tuples(st.just("clear"), st.none()),
    max_size=14,
)


async def answer(session: Session, call: str, argument: Any) -> Any:
    if call == "add":
        return await session.add_items(argument)
    if call == "get":
        return await session.get_items(argument)
    return await (session.pop_item() if call == "pop" else session.clear_session())


@given(st.lists(st.tuples(st.integers(0, 1), calls), max_size=4))
@settings(max_examples=150, deadline=None)
def test_every_call_answers_as_the_sdk_s_session_does(script: list[tuple[int, list[tuple[str, Any]]]]) -> None:
    async def run() -> None:
        memory = create_dev_memory_manager()
        ours = [MnemicSession(f"s{i}", memory) for i in range(2)]
        theirs = [SQLiteSession(f"s{i}") for i in range(2)]
        for which, steps in script:
            for call, argument in steps:
                assert await answer(ours[which], call, argument) == await answer(theirs[which], call, argument), call
        for mine, reference in zip(ours, theirs, strict=True):
            assert await mine.get_items() == await reference.get_items()
            reference.close()

    asyncio.run(run())


class Scripted(Model):
    """Calls a tool, then answers; notes what it was shown."""

    def __init__(self) -> None:
        self.shown: list[Any] = []

    async def get_response(self, system_instructions: Any, input: Any, *args: Any, **kwargs: Any) -> ModelResponse:
        self.shown.append([dict(item) for item in input])
        step = len(self.shown)
        output: Any
        if step % 2:
            arguments = '{"order": "4711", "nested": {"a": [1, {"b": null}]}}'
            output = ResponseFunctionToolCall(
                id=f"fc_{step}", call_id=f"call_{step}", name="look_up", arguments=arguments, type="function_call"
            )
        else:
            text = ResponseOutputText(text=f"answer {step}", type="output_text", annotations=[], logprobs=[])
            output = ResponseOutputMessage(
                id=f"msg_{step}", content=[text], role="assistant", status="completed", type="message"
            )
        return ModelResponse(output=[output], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("this script does not stream")


def tool() -> FunctionTool:
    @function_tool(strict_mode=False)
    def look_up(order: str, nested: dict[str, Any]) -> str:
        """Looks an order up."""
        return f"order {order} is late, {nested}"

    return look_up


def test_a_run_of_an_agent_leaves_and_is_shown_the_same_with_either_session() -> None:
    async def run(session: Session) -> tuple[list[Any], list[Any], list[Any]]:
        model = Scripted()
        agent = Agent(name="clerk", model=model, tools=[tool()])
        offline = RunConfig(tracing_disabled=True)
        outputs = [
            (await Runner.run(agent, text, session=session, run_config=offline)).final_output
            for text in ("Where is it?", "And now?")
        ]
        return outputs, model.shown, await session.get_items()

    reference = SQLiteSession("s")
    theirs = asyncio.run(run(reference))
    reference.close()
    ours = asyncio.run(run(MnemicSession("s", create_dev_memory_manager())))
    assert ours == theirs
    assert ours[0] == ["answer 2", "answer 4"]
    assert len(ours[2]) == 8
    assert len(ours[1][3]) == 7
