"""The session of the OpenAI Agents SDK. Not here: comparisons with the SDK's own session (`test_differential`)."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agents.extensions.memory import EncryptedSession
from agents.memory import Session, SessionSettings

from mnemic import (
    InvalidInputError,
    MemoryManager,
    create_dev_memory_manager,
    create_embedded_memory_manager,
)
from mnemic.integrations.openai_agents import MnemicSession

REPOSITORY = Path(__file__).parents[4]


@pytest.fixture(params=["dev", "embedded"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> MemoryManager:
    return (
        create_dev_memory_manager() if request.param == "dev" else create_embedded_memory_manager(tmp_path / "memory")
    )


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def stored_texts(memory: MemoryManager) -> str:
    """Everything that can still be read of the records, their history included."""
    records = memory.list(limit=1000).items
    revisions = [revision for record in records for revision in memory.history(str(record.id))]
    return "\n".join(revision.record.text for revision in revisions if revision.record is not None)


async def test_it_is_a_session_by_structure_only(memory: MemoryManager) -> None:
    session = MnemicSession("s", memory)
    assert isinstance(session, Session)
    assert "SessionABC" not in [base.__name__ for base in type(session).__mro__]
    assert session.session_id == "s"


async def test_nested_items_come_back_verbatim_and_in_order_of_keys(memory: MemoryManager) -> None:
    deep: Any = "bottom"
    for level in range(40):
        deep = {"level": level, "inner": [deep]}
    items: list[Any] = [
        {"type": "function_call_output", "call_id": "c", "output": json.dumps({"z": 1, "a": [1.5, None, True]})},
        {"z": 1, "a": {"b": {}, "c": []}, "нет": "да", "nul": "a\u0000b", "half": "\ud800", "big": 2**70},
        {"content": deep},
        user("   "),
        user(""),
    ]
    session = MnemicSession("s", memory)
    await session.add_items(items)
    found = await session.get_items()
    assert found == items
    assert [json.dumps(item) for item in found] == [json.dumps(item) for item in items]


@pytest.mark.parametrize("size", [64 * 1024 + 1, 256 * 1024 + 1, 3_000_000])
async def test_large_items_are_kept_whole(memory: MemoryManager, size: int) -> None:
    session = MnemicSession("s", memory)
    items: list[Any] = [user("before"), user("я" * size), user("after")]
    await session.add_items(items)
    assert await session.get_items() == items
    assert await session.get_items(2) == items[1:]
    assert await session.pop_item() == items[2]
    assert await session.pop_item() == items[1]
    assert await session.get_items() == items[:1]
    assert "яя" not in stored_texts(memory)


async def test_thousands_of_items_keep_their_order() -> None:
    session = MnemicSession("s", create_dev_memory_manager())
    items: list[Any] = [user(f"message {i}") for i in range(2345)]
    await session.add_items(items)
    assert await session.get_items() == items
    assert await session.get_items(1500) == items[-1500:]
    await session.clear_session()
    assert await session.get_items() == []


async def test_an_item_that_json_cannot_hold_is_refused_by_position_and_nothing_of_the_call_is_kept(
    memory: MemoryManager,
) -> None:
    session = MnemicSession("s", memory)
    broken: list[Any] = [user("a"), {"content": object()}]
    with pytest.raises(InvalidInputError, match=r"items\[1\]: expected JSON values") as raised:
        await session.add_items(broken)
    assert raised.value.field == "items"
    assert await session.get_items() == []


async def test_settings_give_the_limit_where_a_call_gives_none(memory: MemoryManager) -> None:
    session = MnemicSession("s", memory, session_settings={"limit": 2})
    await session.add_items([user(str(i)) for i in range(5)])  # type: ignore[misc]
    assert await session.get_items() == [user("3"), user("4")]
    assert await session.get_items(3) == [user("2"), user("3"), user("4")]
    session.session_settings = SessionSettings()
    assert len(await session.get_items()) == 5


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("s", "S"),
        ("s.1", "s"),
        ("", " "),
        ("a\nb", "a\tb"),
        ("x" * 5000, "x" * 5001),
        ("' OR 1=1 --", "%"),
        ("\ud800", "\ud801"),
        ("mnemic.journal", "mnemic.x"),
    ],
)
async def test_sessions_are_isolated_whatever_their_ids(memory: MemoryManager, one: str, other: str) -> None:
    first, second = MnemicSession(one, memory), MnemicSession(other, memory)
    await first.add_items([user("mine")])  # type: ignore[list-item]
    await second.add_items([user("yours"), user("yours too")])  # type: ignore[list-item]
    assert await first.get_items() == [user("mine")]
    await second.clear_session()
    assert await first.get_items() == [user("mine")]
    assert await second.get_items() == []
    assert await first.pop_item() == user("mine")
    assert await first.pop_item() is None


async def test_sessions_of_two_namespaces_with_one_id_do_not_meet(memory: MemoryManager) -> None:
    one, other = (MnemicSession("s", memory.in_namespace(name)) for name in ("client-a", "client-b"))
    await one.add_items([user("a secret")])  # type: ignore[list-item]
    assert await other.get_items() == []


async def test_concurrent_adds_lose_nothing_and_keep_each_call_together(memory: MemoryManager) -> None:
    calls: list[list[Any]] = [[user(f"{call}:{i}") for i in range(5)] for call in range(24)]
    await asyncio.gather(*(MnemicSession("s", memory).add_items(call) for call in calls))
    found = await MnemicSession("s", memory).get_items()
    groups = [found[start : start + 5] for start in range(0, len(found), 5)]
    assert sorted(map(str, groups)) == sorted(map(str, calls))


async def test_concurrent_pops_give_each_item_once(memory: MemoryManager) -> None:
    items: list[Any] = [user(str(i)) for i in range(12)]
    await MnemicSession("s", memory).add_items(items)
    popped = await asyncio.gather(*(MnemicSession("s", memory).pop_item() for _ in range(15)))
    assert sorted(str(item) for item in popped if item is not None) == sorted(map(str, items))
    assert popped.count(None) == 3


async def test_adds_pops_and_clears_at_once_never_resurrect_or_tear_an_item(memory: MemoryManager) -> None:
    long = "long " * 20_000

    async def work(worker: int) -> list[Any]:
        session = MnemicSession("s", memory)
        taken = []
        for step in range(6):
            await session.add_items([user(f"{worker}:{step}:{long}")])  # type: ignore[list-item]
            for item in await session.get_items():
                assert str(item["content"]).endswith(long)
            taken.append(await session.pop_item())
        return taken

    taken = [item for items in await asyncio.gather(*(work(worker) for worker in range(4))) for item in items]
    assert sorted(str(item["content"]).split("l")[0] for item in taken) == sorted(
        f"{worker}:{step}:" for worker in range(4) for step in range(6)
    )
    assert await MnemicSession("s", memory).get_items() == []


async def test_what_was_popped_or_cleared_is_nowhere_to_be_read(memory: MemoryManager) -> None:
    session = MnemicSession("s", memory)
    await session.add_items([user("keep"), user("passport 4711")])  # type: ignore[list-item]
    newest = next(str(record.id) for record in memory.list(limit=10).items if "passport" in record.text)
    await session.pop_item()
    assert "passport" not in stored_texts(memory)
    assert memory.history(newest) == []
    assert "keep" in stored_texts(memory)
    await session.clear_session()
    assert "keep" not in stored_texts(memory)
    assert memory.stats()["records"] == 1


async def test_an_interrupted_removal_is_finished_by_the_next_change(
    memory: MemoryManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = MnemicSession("s", memory)
    await session.add_items([user("keep"), user("passport 4711")])  # type: ignore[list-item]

    async def interrupted() -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(session, "_sweep", interrupted)
        with pytest.raises(asyncio.CancelledError):
            await session.pop_item()
    assert await session.get_items() == [user("keep")]
    await session.add_items([user("next")])  # type: ignore[list-item]
    assert await session.get_items() == [user("keep"), user("next")]
    assert "passport" not in stored_texts(memory)


async def test_an_item_that_was_forgotten_is_left_out_and_the_rest_stays(memory: MemoryManager) -> None:
    session = MnemicSession("s", memory)
    items: list[Any] = [user("first"), user("x" * 130_000), user("third")]
    await session.add_items(items)
    part = next(record for record in memory.list(limit=100).items if record.metadata.get("part") == 1)
    await memory.aforget(ids=[str(part.id)])
    assert await session.get_items() == [items[0], items[2]]
    assert await session.pop_item() == items[2]
    assert await session.pop_item() == items[0]
    assert await session.pop_item() is None


async def test_forgetting_a_person_empties_their_sessions(memory: MemoryManager) -> None:
    hers, his = MnemicSession("a", memory, user_id="petrova"), MnemicSession("b", memory, user_id="okafor")
    await hers.add_items([user("hers")])  # type: ignore[list-item]
    await his.add_items([user("his")])  # type: ignore[list-item]
    await memory.aforget(user_id="petrova")
    assert await hers.get_items() == []
    assert await his.get_items() == [user("his")]
    await hers.add_items([user("again")])  # type: ignore[list-item]
    assert await hers.get_items() == [user("again")]


async def test_consolidation_takes_no_message_for_a_repetition(memory: MemoryManager) -> None:
    items: list[Any] = [user("yes"), user("yes"), user("yes")]
    sessions = [MnemicSession(id, memory) for id in ("a", "b")]
    for session in sessions:
        await session.add_items(items)
    assert (await memory.aconsolidate()).deduplicated == 0
    for session in sessions:
        assert await session.get_items() == items


def test_a_session_survives_reopening_also_from_another_loop(tmp_path: Path) -> None:
    items: list[Any] = [user("one"), user("two"), user("x" * 200_000)]

    async def write() -> None:
        async with create_embedded_memory_manager(tmp_path) as memory:
            session = MnemicSession("s", memory)
            await session.add_items([*items, user("gone")])
            await session.pop_item()

    async def read() -> list[Any]:
        async with create_embedded_memory_manager(tmp_path) as memory:
            session = MnemicSession("s", memory)
            await session.add_items([user("three")])  # type: ignore[list-item]
            return await session.get_items()  # type: ignore[return-value]

    asyncio.run(write())
    assert asyncio.run(read()) == [*items, user("three")]


async def test_the_sdk_s_encryption_wraps_it(memory: MemoryManager) -> None:
    inner = MnemicSession("s", memory)
    session = EncryptedSession("s", inner, encryption_key="a key of the test", ttl=600)  # type: ignore[arg-type]
    items: list[Any] = [user("passport 4711"), user("x" * 300_000), user("last")]
    await session.add_items(items)
    assert await session.get_items() == items
    assert await session.get_items(2) == items[1:]
    assert "passport" not in stored_texts(memory)
    assert all(set(item) == {"__enc__", "v", "kid", "payload"} for item in await inner.get_items())
    assert await session.pop_item() == items[2]
    await session.clear_session()
    assert await inner.get_items() == []


def test_the_example_runs() -> None:
    example = REPOSITORY / "examples/python/openai_agents_session.py"
    ran = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0] == "I was shown 1 items; you first said: My order has not arrived."
    assert lines[1] == "I was shown 3 items; you first said: My order has not arrived."
    assert lines[2] == "after clearing: 0 items"
