"""The memory service against ADK's own in memory, where both promise the same: whose memories are found, whole, and no deleted ones.
Not here: ranking, stemming and search by meaning, which are ours alone (`test_service`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any

from google.adk.agents import Agent
from google.adk.events.event import Event
from google.adk.memory import BaseMemoryService, InMemoryMemoryService
from google.adk.memory.memory_entry import MemoryEntry
from google.adk.models import BaseLlm, LlmRequest, LlmResponse
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.adk.sessions.session import Session
from google.adk.tools import load_memory
from google.adk.tools.preload_memory_tool import PreloadMemoryTool
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st

from mnemic import create_dev_memory_manager
from mnemic.integrations.adk import MnemicMemoryService

# Words that no stemmer changes and that are no stop words, so that finding by words means the same on both sides.
WORDS = ["dallas", "austin", "zebra", "москва", "i485", "kiwi"]
words = st.sampled_from(WORDS)
users = st.sampled_from([("app", "a"), ("app", "b"), ("ap", "pa")])
ids = st.integers(0, 9)
# What an event says depends on its id alone, as an event's id promises.
adds = st.tuples(st.sampled_from(["session", "events"]), users, st.lists(ids, max_size=4, unique=True))
calls = st.one_of(
    adds,
    adds,
    st.tuples(st.just("delete"), users, ids),
    st.tuples(st.just("search"), users, st.lists(words, max_size=3)),
)


def event(who: tuple[str, str], number: int) -> Event:
    parts = [types.Part(text=f"{WORDS[number % 6]} {WORDS[number // 2]}"), types.Part(text=f"n{number}")]
    if number == 7:
        parts = [types.Part(function_call=types.FunctionCall(name="f", args={"dallas": 1}))]
    content = types.Content(role="user", parts=parts)
    return Event(id=f"{who}:{number}", author=f"author {number}", content=content, timestamp=1_700_000_000 + number)


async def act(service: BaseMemoryService, kind: str, who: tuple[str, str], argument: Any, session_id: str) -> Any:
    scope = {"app_name": who[0], "user_id": who[1]}
    if kind == "session":
        events = [event(who, number) for number in argument]
        return await service.add_session_to_memory(Session(id=session_id, **scope, events=events))
    if kind == "events":
        events = [event(who, number) for number in argument]
        return await service.add_events_to_memory(**scope, events=events, session_id="one session")
    if kind == "delete":
        return await service.delete_memory(**scope, memory_id=f"{who}:{argument}")
    return (await service.search_memory(**scope, query=" ".join(argument))).memories


def comparable(entries: list[MemoryEntry]) -> set[tuple[Any, ...]]:
    """Entries without order, and with times as instants: ADK's own are in the zone of the machine, without saying which."""
    return {
        (
            entry.id,
            entry.author,
            entry.content.model_dump_json(),
            datetime.fromisoformat(str(entry.timestamp)).timestamp(),
        )
        for entry in entries
    }


@given(st.lists(calls, max_size=25))
@settings(max_examples=150, deadline=None)
def test_every_search_finds_what_adk_s_own_service_finds(script: list[tuple[str, tuple[str, str], Any]]) -> None:
    async def run() -> None:
        ours, theirs = MnemicMemoryService(create_dev_memory_manager(), limit=100), InMemoryMemoryService()
        everything = [("search", who, WORDS) for who in [("app", "a"), ("app", "b"), ("ap", "pa")]]
        for step, (kind, who, argument) in enumerate([*script, *everything]):
            found = await act(ours, kind, who, argument, f"s{step}")
            expected = await act(theirs, kind, who, argument, f"s{step}")
            if kind == "search":
                # ADK's own shows an event that is in two sessions twice, and at most ten: sets of at most ten ids.
                assert comparable(expected) <= comparable(found)
                assert len(expected) >= 10 or comparable(found) == comparable(expected)
                assert len(found) == len(comparable(found))

    asyncio.run(run())


class Scripted(BaseLlm):
    """Calls for memory once, then answers; notes what it was shown."""

    shown: list[str]

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        parts = [part for content in llm_request.contents for part in content.parts or []]
        self.shown.append(next((part.text for part in parts if "<PAST_CONVERSATIONS>" in (part.text or "")), ""))
        results = [part.function_response for part in parts if part.function_response is not None]
        if results:
            memories = (results[-1].response or {})["result"].memories
            texts = sorted(memory.content.parts[0].text for memory in memories)
            part = types.Part(text=f"found {texts}")
        else:
            part = types.Part(function_call=types.FunctionCall(name="load_memory", args={"query": "zebra"}))
        yield LlmResponse(content=types.Content(role="model", parts=[part]))


def test_a_run_of_an_agent_finds_the_same_with_either_service() -> None:
    async def run(service: BaseMemoryService) -> tuple[list[str], list[bool]]:
        model = Scripted(model="scripted", shown=[])
        agent = Agent(name="clerk", model=model, tools=[load_memory, PreloadMemoryTool()])
        runner = Runner(app_name="app", agent=agent, session_service=InMemorySessionService(), memory_service=service)
        answers: list[str] = []
        for user_id, text in [("a", "zebra kiwi"), ("a", "zebra"), ("b", "zebra"), ("a", "austin")]:
            session = await runner.session_service.create_session(app_name="app", user_id=user_id)
            message = types.Content(role="user", parts=[types.Part(text=text)])
            async for said in runner.run_async(user_id=user_id, session_id=session.id, new_message=message):
                if said.is_final_response() and said.content and said.content.parts:
                    answers.append(str(said.content.parts[0].text))
            ended = await runner.session_service.get_session(app_name="app", user_id=user_id, session_id=session.id)
            assert ended is not None
            await service.add_session_to_memory(ended)
        return answers, ["zebra kiwi" in shown for shown in model.shown]

    theirs = asyncio.run(run(InMemoryMemoryService()))
    ours = asyncio.run(run(MnemicMemoryService(create_dev_memory_manager())))
    assert ours == theirs
    assert ours[0][0] == "found []"
    assert ours[0][1] == "found ['zebra kiwi']"
    assert ours[0][2] == "found []"
    assert True in ours[1]
