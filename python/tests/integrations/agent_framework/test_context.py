"""Agents with memories as context, offline: the chat client answers from a script."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_framework import Agent, AgentSession, ContextProvider, Message, SessionContext
from scripted import ScriptedClient

from mnemic import InvalidInputError, MemoryManager, create_dev_memory_manager, create_embedded_memory_manager
from mnemic.integrations.agent_framework import MemoryScope, MnemicContextProvider, MnemicHistoryProvider

EXAMPLES = Path(__file__).parents[4] / "examples" / "python"
ANNA, BEN = MemoryScope(user_id="anna"), MemoryScope(user_id="ben")


@pytest.fixture(params=["process", "directory"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MemoryManager]:
    made = create_dev_memory_manager() if request.param == "process" else create_embedded_memory_manager(tmp_path / "m")
    yield made
    made.close()


def agent(client: ScriptedClient, *providers: ContextProvider) -> Agent[Any]:
    return Agent(client, context_providers=list(providers))


def both(memory: MemoryManager, scope: Any, **settings: Any) -> MnemicContextProvider:
    return MnemicContextProvider(memory, write=scope, search=scope, **settings)


async def test_what_was_said_in_one_session_is_shown_in_another(memory: MemoryManager) -> None:
    client = ScriptedClient("Noted.", "A window seat.")
    one = agent(client, both(memory, ANNA))
    await one.run("I want a window seat on flights.", session=AgentSession(session_id="first"))
    await one.run("Which seat on flights do I want?", session=AgentSession(session_id="second"))
    told = "\n".join(client.shown[1])
    assert "user: ## Memories" in told
    assert "- I want a window seat on flights." in told
    assert "Memories" not in "\n".join(client.shown[0])
    kept = memory.list().items
    assert [(r.text, r.source, r.user_id, r.thread_id, r.type) for r in kept[:2]] == [
        ("I want a window seat on flights.", "user", "anna", "first", "episodic"),
        ("Noted.", "assistant", "anna", "first", "episodic"),
    ]


async def test_nobody_sees_what_another_said(memory: MemoryManager) -> None:
    client = ScriptedClient("Noted.", "I do not know.")
    await agent(client, both(memory, ANNA)).run("My seat on flights is 14A.")
    await agent(client, both(memory, BEN)).run("Which seat on flights?")
    assert "14A" not in "\n".join(client.shown[1])


async def test_a_session_of_its_own_stays_its_own(memory: MemoryManager) -> None:
    client = ScriptedClient("Noted.", "a", "b")
    one = agent(client, both(memory, MemoryScope(user_id="anna", this_session=True)))
    first = AgentSession(session_id="first")
    await one.run("The code word is heron.", session=first)
    await one.run("What is the code word?", session=AgentSession(session_id="second"))
    await agent(client, both(memory, MemoryScope(this_session=True))).run("What is the code word?", session=first)
    assert "heron" not in "\n".join(client.shown[1])
    assert "heron" in "\n".join(client.shown[2])


async def test_searching_does_not_follow_from_writing(memory: MemoryManager) -> None:
    client = ScriptedClient(*"abcd")
    team = MemoryScope(agent_id="clerk", application_id="cases")
    await agent(client, MnemicContextProvider(memory, write=MemoryScope("anna", "clerk", "cases"))).run(
        "The fee is $2,805."
    )
    await agent(client, MnemicContextProvider(memory, write=ANNA)).run("What is the fee?")
    assert "2,805" not in "\n".join(client.shown[1])
    await agent(client, MnemicContextProvider(memory, search=[BEN, team])).run("What is the fee?")
    assert "- The fee is $2,805." in "\n".join(client.shown[2])
    await agent(client, MnemicContextProvider(memory, search=MemoryScope(agent_id="clerk", application_id="x"))).run(
        "fee?"
    )
    assert "2,805" not in "\n".join(client.shown[3])
    assert memory.stats()["records"] == 4


async def test_one_agent_serves_many_people_by_their_sessions(memory: MemoryManager) -> None:
    def whose(session: AgentSession) -> MemoryScope | None:
        user = session.state.get("user")
        return None if user is None else MemoryScope(user_id=user)

    client = ScriptedClient(*"abcd")
    one = agent(client, both(memory, whose))
    sessions = {user: AgentSession() for user in ("anna", "ben", None)}
    for user, session in sessions.items():
        if user is not None:
            session.state["user"] = user
    await one.run("My bird is a heron.", session=sessions["anna"])
    await one.run("Which bird is mine?", session=sessions["ben"])
    await one.run("Which bird is mine?", session=sessions[None])
    await one.run("Which bird is mine?", session=AgentSession.from_dict(sessions["anna"].to_dict()))
    assert ["heron" in "\n".join(shown) for shown in client.shown[1:]] == [False, False, True]
    assert {record.user_id for record in memory.list().items} == {"anna", "ben"}


async def test_what_comes_from_other_sessions_says_so(memory: MemoryManager) -> None:
    memory.write([{"text": f"fee {n}", "user_id": "anna", "thread_id": t} for n, t in enumerate(["old", "now"])])
    session = AgentSession(session_id="now")
    context = SessionContext(session_id="now", input_messages=[Message("user", ["fee"])])
    provider = both(memory, ANNA, context_prompt="Known:")
    await provider.before_run(agent=None, session=session, context=context, state={})  # type: ignore[arg-type]
    [message] = context.context_messages["mnemic"]
    assert sorted(message.text.split("\n")) == ["- fee 0", "- fee 1", "Known:"]
    assert message.additional_properties["_attribution"]["origin_session_ids"] == ["old"]


async def test_no_more_is_shown_than_was_asked_for(memory: MemoryManager) -> None:
    memory.write(
        [{"text": f"the fee of case {n} is {n * 7}", "user_id": user} for n in range(20) for user in ("anna", "ben")]
    )
    client = ScriptedClient("a")
    await agent(client, MnemicContextProvider(memory, search=[ANNA, BEN], topk=3)).run("fee of a case")
    assert "\n".join(client.shown[0]).count("\n- ") == 3


async def test_streams_are_remembered_like_answers(memory: MemoryManager) -> None:
    client = ScriptedClient("The fee is $2,805.")
    stream = agent(client, both(memory, ANNA)).run("What is the fee?", stream=True)
    assert [update.text async for update in stream]
    await stream.get_final_response()
    assert [r.text.strip() for r in memory.list().items] == ["What is the fee?", "The fee is $2,805."]


async def test_long_and_odd_texts_are_kept(memory: MemoryManager) -> None:
    client = ScriptedClient("a\0b")
    long = "word " * 30_000
    await agent(client, both(memory, ANNA)).run(
        [Message("user", [long]), Message("system", ["rule"]), Message("user", [" "])]
    )
    texts = [record.text for record in memory.list().items]
    assert "".join(texts[:-1]) == long
    assert texts[-1] == "a\ufffdb"


@pytest.mark.parametrize("scope", [MemoryScope(), MemoryScope(user_id="")])
def test_a_scope_of_everybody_is_refused(memory: MemoryManager, scope: MemoryScope) -> None:
    with pytest.raises(InvalidInputError, match="scope: expected a user_id"):
        MnemicContextProvider(memory, write=scope)
    with pytest.raises(InvalidInputError, match="scope: expected a user_id"):
        MnemicContextProvider(memory, search=[ANNA, scope])


async def test_memories_and_history_work_beside_each_other(memory: MemoryManager) -> None:
    client = ScriptedClient("Hello.", "Anna.", "Tea.")
    history = MnemicHistoryProvider(memory.in_namespace("sessions"), user_id="anna")
    one = agent(client, history, both(memory, ANNA))
    session = AgentSession(session_id="s")
    await one.run("I am Anna and like tea.", session=session)
    await one.run("Who am I?", session=session)
    assert client.shown[1][:2] == ["user: I am Anna and like tea.", "assistant: Hello."]
    await one.run("What do I like?", session=AgentSession(session_id="t"))
    assert len(client.shown[2]) == 2
    assert "- I am Anna and like tea." in client.shown[2][0]
    assert [m.text for m in await history.get_messages("s")] == [
        "I am Anna and like tea.",
        "Hello.",
        "Who am I?",
        "Anna.",
    ]


def test_the_example_runs() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "agent_framework_memory.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "the model was shown: ['- I am vegetarian.']" in done.stdout
    assert "the session holds: ['I am vegetarian.', 'Noted.']" in done.stdout
    assert "forgotten: 0 messages left" in done.stdout
