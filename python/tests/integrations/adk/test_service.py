"""The memory service of Google's Agent Development Kit. Not here: comparisons with ADK's own (`test_differential`)."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.adk.cli.service_registry import ServiceRegistry, _register_services_from_yaml_config
from google.adk.events.event import Event
from google.adk.memory.memory_entry import MemoryEntry
from google.adk.sessions.session import Session
from google.genai import types

from mnemic import InvalidInputError, MemoryManager, create_dev_memory_manager, create_embedded_memory_manager
from mnemic.integrations.adk import MnemicMemoryService, register

REPOSITORY = Path(__file__).parents[4]
WHO = {"app_name": "clerk", "user_id": "petrova"}


@pytest.fixture(params=["dev", "embedded"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> MemoryManager:
    return (
        create_dev_memory_manager() if request.param == "dev" else create_embedded_memory_manager(tmp_path / "memory")
    )


@pytest.fixture
def service(memory: MemoryManager) -> MnemicMemoryService:
    return MnemicMemoryService(memory)


def content(text: str, *more: types.Part) -> types.Content:
    return types.Content(role="user", parts=[types.Part(text=text), *more])


def event(id: str, text: str, **rest: Any) -> Event:
    return Event(id=id, author="user", content=content(text), **rest)


def session(*events: Event, id: str = "s1") -> Session:
    return Session(id=id, app_name=WHO["app_name"], user_id=WHO["user_id"], events=list(events))


async def found(service: MnemicMemoryService, query: str, **who: str) -> list[str | None]:
    return [entry.id for entry in (await service.search_memory(**{**WHO, **who}, query=query)).memories]


def records(service: MnemicMemoryService) -> int:
    return int(service.manager_for(**WHO).stats()["records"])


async def test_adding_a_session_again_changes_nothing_and_adds_what_is_new(service: MnemicMemoryService) -> None:
    first, second = event("e1", "The interview is in Dallas."), event("e2", "The fee is 2805 dollars.")
    await service.add_session_to_memory(session(first))
    manager = service.manager_for(**WHO)
    before = manager.list(limit=10).items
    await service.add_session_to_memory(session(first))
    assert manager.list(limit=10).items == before
    await service.add_session_to_memory(session(first, second))
    assert records(service) == 2
    assert manager.list(limit=10).items[0].version == 1
    assert (await found(service, "interview"))[0] == "e1"
    assert (await found(service, "fee dollars"))[0] == "e2"


async def test_an_event_that_changed_is_found_by_what_it_says_now(service: MnemicMemoryService) -> None:
    long = " ".join(f"filler{number}" for number in range(9000))
    await service.add_session_to_memory(session(event("e1", f"Austin {long} zanzibar")))
    assert records(service) > 5
    await service.add_session_to_memory(session(event("e1", "Dallas")))
    assert records(service) == 1
    response = await service.search_memory(**WHO, query="zanzibar Austin Dallas")
    assert [entry.content.parts[0].text for entry in response.memories if entry.content.parts] == ["Dallas"]


async def test_deltas_and_events_without_text(service: MnemicMemoryService) -> None:
    call = types.Content(
        role="model", parts=[types.Part(function_call=types.FunctionCall(name="look", args={"q": "Dallas"}))]
    )
    events = [
        event("e1", "Dallas"),
        Event(id="e2", author="clerk", content=call),
        Event(id="e3", author="clerk"),
        event("e4", " \n"),
    ]
    await service.add_events_to_memory(**WHO, events=events, session_id="s1", custom_metadata={"topic": "visa"})
    assert records(service) == 1
    entry = (await service.search_memory(**WHO, query="Dallas")).memories[0]
    assert entry.custom_metadata == {"topic": "visa"}
    assert service.manager_for(**WHO).list(limit=1).items[0].thread_id == "s1"


async def test_an_entry_comes_back_as_it_was_given(service: MnemicMemoryService) -> None:
    picture = types.Part(inline_data=types.Blob(data=bytes(range(256)), mime_type="image/png"))
    deep: Any = "bottom"
    for level in range(30):
        deep = {"level": level, "inner": [deep]}
    call = types.Part(function_call=types.FunctionCall(name="f", args={"deep": deep}))
    entry = MemoryEntry(
        id="id/../\n\0" + "x" * 300,
        content=content("Dallas \0 interview", picture, call),
        author="petrova",
        timestamp="2026-11-22T10:00:00+00:00",
        custom_metadata={"a": {"b": [1, None, 2.5]}, "half": "\ud800", "нет": "да"},
    )
    await service.add_memory(**WHO, memories=[entry])
    assert (await service.search_memory(**WHO, query="interview")).memories == [entry]
    assert service.manager_for(**WHO).list(limit=1).items[0].created_at.year == 2026  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [64 * 1024, 256 * 1024, 2_000_000])
async def test_a_large_memory_is_kept_whole_and_found_by_any_of_its_stretches(
    service: MnemicMemoryService, size: int
) -> None:
    text = "beginning " + "я " * (size // 6) + " middle " + "я " * (size // 6) + " zanzibar"
    picture = types.Part(inline_data=types.Blob(data=b"\xff" * size, mime_type="image/png"))
    entry = MemoryEntry(id="large", content=content(text, picture), custom_metadata={"x": "y" * size})
    await service.add_memory(**WHO, memories=[entry, MemoryEntry(id="small", content=content("small"))])
    for word in ("beginning", "middle", "zanzibar"):
        response = await service.search_memory(**WHO, query=word)
        assert response.memories[0] == entry
        assert [one.id for one in response.memories].count("large") == 1


async def test_what_cannot_be_kept_is_refused_by_field(service: MnemicMemoryService) -> None:
    with pytest.raises(InvalidInputError, match=r"memories\[1\]: expected content with text"):
        await service.add_memory(
            **WHO, memories=[MemoryEntry(content=content("a")), MemoryEntry(content=types.Content(parts=[]))]
        )
    with pytest.raises(InvalidInputError, match="custom_metadata: expected JSON values"):
        await service.add_memory(**WHO, memories=[MemoryEntry(content=content("a"))], custom_metadata={"o": object()})
    with pytest.raises(InvalidInputError, match="content: expected at most 1000 records"):
        await service.add_memory(**WHO, memories=[MemoryEntry(content=content("x" * 16_000_000))])
    assert records(service) == 0


async def test_an_entry_with_an_id_replaces_and_one_without_is_a_new_one(service: MnemicMemoryService) -> None:
    for text in ("Austin", "Dallas"):
        await service.add_memory(**WHO, memories=[MemoryEntry(id="m", content=content(text))])
    assert records(service) == 1
    for _ in range(2):
        await service.add_memory(**WHO, memories=[MemoryEntry(content=content("Dallas"))])
    assert records(service) == 3
    ids = await found(service, "Dallas")
    assert len(set(ids)) == 3
    assert None not in ids


async def test_what_was_deleted_is_gone_with_its_history_and_does_not_come_back(service: MnemicMemoryService) -> None:
    long = "passport 4711 " * 9000
    first, second = event("e1", long), event("e2", "The fee is 2805 dollars.")
    await service.add_session_to_memory(session(first, second))
    manager = service.manager_for(**WHO)
    ids = [str(record.id) for record in manager.list(limit=1000).items if "passport" in record.text]
    assert len(ids) > 5
    await service.delete_memory(**WHO, memory_id="e1")
    assert all(manager.history(id) == [] for id in ids)
    await service.add_session_to_memory(session(first, second))
    assert "e1" not in await found(service, "passport")
    assert not any("passport" in record.text for record in manager.list(limit=1000).items)
    assert (await found(service, "fee"))[0] == "e2"
    # Who adds it by hand means it.
    await service.add_memory(**WHO, memories=[MemoryEntry(id="e1", content=content("passport"))])
    assert (await found(service, "passport"))[0] == "e1"


async def test_deleting_what_is_not_there_changes_nothing(service: MnemicMemoryService) -> None:
    await service.add_session_to_memory(session(event("e1", "Dallas")))
    for memory_id in (None, "", "e2", "' OR 1=1 --"):
        await service.delete_memory(**WHO, memory_id=memory_id)
    await service.delete_memory(app_name="clerk", user_id="okafor", memory_id="e1")
    assert await found(service, "Dallas") == ["e1"]
    # An id that was never there is not blocked for later.
    await service.add_session_to_memory(session(event("e2", "Dallas")))
    assert set(await found(service, "Dallas")) == {"e1", "e2"}


HOSTILE = [
    ("clerk", "petrova"),
    ("clerk", "petrova "),
    ("clerk", "Petrova"),
    ("clerkpetrova", ""),
    ("", "clerkpetrova"),
    ("clerk/petrova", ""),
    ("clerk", "/petrova"),
    ('clerk", "petrova', ""),
    ("clerk", "*"),
    ("clerk", "%"),
    ("clerk", "petrova' OR '1'='1"),
    ("clerk", "petrova\0"),
    ("clerk", "петрова"),
    ("clerk", "p" * 4000),
    ("clerk", "\ud800"),
]


async def test_no_name_reaches_another_user_s_memories(service: MnemicMemoryService) -> None:
    for number, (app_name, user_id) in enumerate(HOSTILE):
        who = {"app_name": app_name, "user_id": user_id}
        await service.add_memory(**who, memories=[MemoryEntry(id=str(number), content=content("the secret"))])
    for number, (app_name, user_id) in enumerate(HOSTILE):
        assert await found(service, "the secret", app_name=app_name, user_id=user_id) == [str(number)]
    namespaces = {service.manager_for(app_name=a, user_id=u).namespace for a, u in HOSTILE}
    assert len(namespaces) == len(HOSTILE)
    for (a, _), (_, u) in itertools.pairwise(HOSTILE):
        await service.delete_memory(app_name=a, user_id=u, memory_id="nothing")


async def test_services_on_two_namespaces_do_not_meet(memory: MemoryManager) -> None:
    one, other = (MnemicMemoryService(memory.in_namespace(name)) for name in ("client-a", "client-b"))
    await one.add_session_to_memory(session(event("e1", "the secret")))
    assert await found(other, "the secret") == []


@pytest.mark.parametrize("query", ["", "  \n", "?!", "\0", "\ud800", "Dallas " * 20_000, "я" * 100_000])
async def test_any_query_is_answered(service: MnemicMemoryService, query: str) -> None:
    await service.add_session_to_memory(session(event("e1", "Dallas")))
    ids = await found(service, query)
    assert ids == ["e1"] if "Dallas" in query else set(ids) <= {"e1"}


async def test_a_search_finds_at_most_its_limit(memory: MemoryManager) -> None:
    service = MnemicMemoryService(memory, limit=3)
    await service.add_session_to_memory(session(*(event(f"e{i}", f"Dallas {i}") for i in range(9))))
    assert len(await found(service, "Dallas")) == 3


async def test_writers_of_one_memory_at_once_leave_one_of_them_whole(service: MnemicMemoryService) -> None:
    texts = [f"Dallas {size} " + "x " * size for size in (10, 40_000, 90_000, 20, 60_000)]
    await asyncio.gather(
        *(service.add_memory(**WHO, memories=[MemoryEntry(id="m", content=content(text))]) for text in texts)
    )
    response = await service.search_memory(**WHO, query="Dallas")
    assert [entry.content.parts[0].text in texts for entry in response.memories if entry.content.parts] == [True]


async def test_sessions_added_at_once_are_kept_once(service: MnemicMemoryService) -> None:
    ended = session(*(event(f"e{i}", f"statement {i}") for i in range(20)))
    await asyncio.gather(*(service.add_session_to_memory(ended) for _ in range(6)))
    assert records(service) == 20


async def test_thousands_of_events_are_added_in_one_call() -> None:
    service = MnemicMemoryService(create_dev_memory_manager())
    await service.add_session_to_memory(session(*(event(f"e{i}", f"statement {i}") for i in range(2100))))
    assert records(service) == 2100
    assert (await found(service, "statement 2099"))[0] == "e2099"


async def test_it_survives_reopening_by_uri(tmp_path: Path) -> None:
    uri = f"mnemic://{tmp_path}/a%20b?limit=2"
    first = MnemicMemoryService(uri=uri)
    await first.add_session_to_memory(session(*(event(f"e{i}", "Dallas interview") for i in range(4))))
    await first.manager_for(**WHO).aclose()
    del first
    assert (tmp_path / "a b").is_dir()
    with create_embedded_memory_manager(tmp_path / "a b") as memory:
        assert len(await found(MnemicMemoryService(memory), "Dallas")) == 4


def test_the_registry_makes_it_by_scheme_from_code_and_from_yaml(tmp_path: Path) -> None:
    registry = ServiceRegistry()
    register(registry)
    register(registry, scheme="other")
    config = [{"scheme": "yaml", "type": "memory", "class": "mnemic.integrations.adk.MnemicMemoryService"}]
    _register_services_from_yaml_config({"services": config}, registry)
    for scheme in ("mnemic", "other", "yaml"):
        made = registry.create_memory_service(f"{scheme}://dev?namespace=client-a", agents_dir=str(tmp_path))
        assert isinstance(made, MnemicMemoryService)
    assert registry.create_memory_service("unknown://dev") is None


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("mnemic://", "expected mnemic:///path, mnemic://dev or mnemic://env"),
        ("mnemic:///", "expected mnemic:///path"),
        ("mnemic://host/path", "expected mnemic:///path"),
        ("mnemic://dev?limit=x", "expected a number as limit, found 'x'"),
        ("mnemic://dev?limit=0", "limit: expected 1 to 1000 memories, found 0"),
        ("mnemic://dev?user=root", "expected the options namespace and limit, found user"),
        ("mnemic://dev?namespace=../x", "namespace: expected 1 to 63 characters"),
    ],
)
def test_a_wrong_uri_is_refused_in_words(uri: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said.replace("?", r"\?")):
        MnemicMemoryService(uri=uri)


def test_it_needs_a_memory_or_a_uri_and_not_both() -> None:
    for given in ({}, {"memory": create_dev_memory_manager(), "uri": "mnemic://dev"}):
        with pytest.raises(InvalidInputError, match="found both or neither"):
            MnemicMemoryService(**given)  # type: ignore[arg-type]


def test_the_example_runs() -> None:
    example = REPOSITORY / "examples/python/adk_memory.py"
    ran = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        "petrova: My interview takes place in Dallas. -> Noted.",
        "petrova: Where is my interview? -> I remember: My interview takes place in Dallas.",
        "okafor: Where is my interview? -> I remember: nothing",
    ]
