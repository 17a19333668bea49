"""The history of sessions, compared with the framework's own file provider, and what the contract says beside that."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_framework import Agent, AgentSession, Content, FileHistoryProvider, Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted import ScriptedClient

from mnemic import InvalidInputError, MemoryManager, create_dev_memory_manager, create_embedded_memory_manager
from mnemic.integrations.agent_framework import MnemicHistoryProvider

settings.register_profile("mnemic", database=None, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("mnemic")

TEXT = st.one_of(
    st.sampled_from(["hi", "yes", "", " ", "a\0b", "😀\n\u2028"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
)
CONTENTS = st.lists(
    st.one_of(
        TEXT.map(Content.from_text),
        st.builds(
            lambda text: Content.from_function_call(call_id="c", name="f", arguments={"x": text, "n": 1.5}),
            st.text(max_size=3),
        ),
        st.just(Content.from_uri("data:image/png;base64,AAAA", media_type="image/png")),
    ),
    max_size=3,
)
MESSAGES = st.builds(
    Message,
    st.sampled_from(["user", "assistant", "tool"]),
    CONTENTS,
    author_name=st.sampled_from([None, "anna"]),
    message_id=st.one_of(st.none(), st.sampled_from(["1", "2", "3"])),
    additional_properties=st.sampled_from([{}, {"_excluded": True}, {"nested": {"a": [1, None, "ü"]}}]),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["s", "t", "../s", "CON", "x" * 200]), st.lists(MESSAGES, max_size=4)), max_size=6
)


@pytest.fixture(params=["process", "directory"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MemoryManager]:
    made = create_dev_memory_manager() if request.param == "process" else create_embedded_memory_manager(tmp_path / "m")
    yield made
    made.close()


def plain(messages: list[Message]) -> list[dict[str, Any]]:
    return [message.to_dict() for message in messages]


def said(*texts: str) -> list[Message]:
    return [Message("user", [text]) for text in texts]


@pytest.mark.filterwarnings("ignore::agent_framework._feature_stage.ExperimentalWarning")
@settings(max_examples=50)
@given(STEPS, st.booleans())
def test_every_session_holds_what_the_files_of_the_framework_hold(steps: list[Any], skip_excluded: bool) -> None:
    async def compare(directory: str) -> None:
        ours = MnemicHistoryProvider(create_dev_memory_manager(), skip_excluded=skip_excluded)
        theirs = FileHistoryProvider(directory, skip_excluded=skip_excluded)
        for session_id, messages in steps:
            for provider in (ours, theirs):
                await provider.save_messages(session_id, messages)
        for session_id, _ in steps:
            assert plain(await ours.get_messages(session_id)) == plain(await theirs.get_messages(session_id))

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(compare(directory))


async def test_an_agent_goes_on_where_it_was_after_a_restart(tmp_path: Path) -> None:
    client = ScriptedClient("Hello Anna.", "Anna.")
    for question in ("I am Anna.", "Who am I?"):
        async with create_embedded_memory_manager(tmp_path) as memory:
            agent = Agent(client, context_providers=[MnemicHistoryProvider(memory)])
            await agent.run(question, session=AgentSession(session_id="s"))
    assert client.shown[1] == ["user: I am Anna.", "assistant: Hello Anna.", "user: Who am I?"]


async def test_sessions_people_and_providers_are_apart(memory: MemoryManager) -> None:
    anna, ben = (MnemicHistoryProvider(memory, user_id=user) for user in ("anna", "ben"))
    audit = MnemicHistoryProvider(memory, "audit", user_id="anna", load_messages=False)
    await anna.save_messages("s", said("one"))
    for provider, session in [(anna, "t"), (ben, "s"), (audit, "s")]:
        assert await provider.get_messages(session) == []
    await ben.save_messages("s", said("two"))
    await memory.aforget(user_id="anna")
    assert await anna.get_messages("s") == []
    assert [m.text for m in await ben.get_messages("s")] == ["two"]
    await anna.save_messages("s", said("three"))
    assert [m.text for m in await anna.get_messages("s")] == ["three"]


async def test_a_message_longer_than_a_record_may_be_is_kept_whole(memory: MemoryManager) -> None:
    history = MnemicHistoryProvider(memory)
    texts = ["ü" * 500_000, " " * 200_000, "short", "\0" * 100_000]
    await history.save_messages("s", said(*texts))
    assert [m.text for m in await history.get_messages("s")] == texts


async def test_more_messages_than_one_call_takes_are_kept_in_order(memory: MemoryManager) -> None:
    history = MnemicHistoryProvider(memory)
    texts = [f"message {number}" for number in range(2500)]
    await history.save_messages("s", said(*texts))
    assert [m.text for m in await history.get_messages("s")] == texts
    await history.save_messages("s", said("last"))
    assert (await history.get_messages("s"))[-1].text == "last"


async def test_many_writers_lose_and_mix_nothing(memory: MemoryManager) -> None:
    histories = [MnemicHistoryProvider(memory) for _ in range(10)]
    await asyncio.gather(
        *(
            history.save_messages("s", said(*(f"{n}.{part}" for part in range(3))))
            for n, history in enumerate(histories)
        )
    )
    texts = [m.text for m in await histories[0].get_messages("s")]
    assert sorted(texts) == sorted(f"{n}.{part}" for n in range(10) for part in range(3))
    for start in range(0, 30, 3):
        number = texts[start].partition(".")[0]
        assert texts[start : start + 3] == [f"{number}.{part}" for part in range(3)]


async def test_a_cleared_session_is_empty_and_can_be_read_nowhere(memory: MemoryManager) -> None:
    history = MnemicHistoryProvider(memory)
    await history.clear("s")
    await history.save_messages("s", said("the secret", "another secret"))
    await history.save_messages("t", said("kept"))
    ids = [record.id or "" for record in memory.list().items]
    await history.clear("s")
    assert await history.get_messages("s") == []
    revisions = [revision for id in ids for revision in memory.history(id)]
    assert all("secret" not in r.record.text for r in revisions if r.record is not None)
    await history.save_messages("s", said("new"))
    assert [m.text for m in await history.get_messages("s")] == ["new"]
    assert [m.text for m in await history.get_messages("t")] == ["kept"]


async def test_readers_beside_a_clearing_see_all_or_nothing(memory: MemoryManager) -> None:
    history = MnemicHistoryProvider(memory)

    async def change() -> None:
        for number in range(15):
            await history.save_messages("s", said(f"a{number}", f"b{number}"))
            await history.clear("s")

    async def look() -> None:
        while not writer.done():
            assert len(await history.get_messages("s")) in (0, 2)

    writer = asyncio.create_task(change())
    await asyncio.gather(look(), look(), writer)


@pytest.mark.parametrize("session_id", [None, ""])
async def test_messages_of_no_session_are_refused(memory: MemoryManager, session_id: str | None) -> None:
    history = MnemicHistoryProvider(memory)
    with pytest.raises(InvalidInputError, match="session_id: expected the id of a session"):
        await history.get_messages(session_id)
    with pytest.raises(InvalidInputError, match="session_id: expected the id of a session"):
        await history.save_messages(session_id, said("a"))
    assert memory.stats()["records"] == 0


async def test_any_session_id_is_one_of_its_own(memory: MemoryManager) -> None:
    history = MnemicHistoryProvider(memory)
    ids = ["x" * 300, "x" * 301, "a\nb", "a\0b", "mnemic.journal", "\ud800", "é", "e\u0301", "../a", " "]
    for session_id in ids:
        await history.save_messages(session_id, said(repr(session_id)))
    for session_id in ids:
        assert [m.text for m in await history.get_messages(session_id)] == [repr(session_id)]
