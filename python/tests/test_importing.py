"""Taking over what the replaced system held in its process. The classes are those that its guide shows, with the stores in the shapes
that it names: a list of records, a dictionary of events by thread, a dictionary of slots by thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, Field

from mnemic import InvalidInputError, MemoryManager, create_dev_memory_manager
from mnemic.importing import aimport_seed, import_seed


class OldRecord(BaseModel):
    """As in the guide: `user_id`, `text`, `type`, `source`, `tags`."""

    id: str | None = None
    user_id: str | None = None
    text: str
    type: str = "semantic"
    source: str = "user"
    tags: list[str] = Field(default_factory=list)
    salience: float | None = None
    created_at: datetime = datetime(2024, 2, 3, 10)
    decay_at: datetime | None = None
    embedding: list[float] | None = None
    extra: dict[str, Any] | None = None


class OldEvent(BaseModel):
    """As in the guide: `event_id`, `user_id`, `thread_id`, `source`, `action`, `payload`."""

    event_id: str = Field(default_factory=lambda: str(uuid4()))
    user_id: str | None = None
    thread_id: str
    source: str
    action: str
    payload: dict[str, Any] = Field(default_factory=dict)
    timestamp: datetime = datetime(2024, 2, 3, 11)


class SemanticStore:
    """A list, read by a coroutine."""

    def __init__(self, items: list[OldRecord]) -> None:
        self._items = items

    async def aall(self, user_id: str | None = None) -> list[OldRecord]:
        return [item for item in self._items if user_id in (None, item.user_id)]


class EpisodicStore:
    """A dictionary of lists by thread, without a way to read it all."""

    def __init__(self, events: dict[str, list[OldEvent]]) -> None:
        self._lock = object()
        self._empty: list[str] = []
        self._threads = events


class WorkingStore:
    """A dictionary of slots by thread."""

    def __init__(self, buffers: dict[str, dict[str, Any]]) -> None:
        self._buffers = buffers


class OldManager:
    """The manager of the guide's development mode."""

    def __init__(self, semantic: Any, episodic: Any, working: Any) -> None:
        self.semantic, self.episodic, self.working = semantic, episodic, working


EVENT = OldEvent(
    event_id="e-1", user_id="test_user", thread_id="test_thread", source="test", action="test_action", payload={"n": 1}
)


def records() -> list[OldRecord]:
    return [
        OldRecord(
            id="r-1",
            user_id="test_user",
            text="Important legal precedent from Smith v. Jones case",
            source="test",
            tags=["precedent", "legal"],
            salience=0.75,
            embedding=[],
        ),
        OldRecord(text="Беата выращивает помидоры", type="fact", extra={"deep": [1, 2]}),
        OldRecord(id="r-2", text="  ", user_id="test_user"),
        OldRecord(id="r-3", text="salience out of range", salience=7),
        OldRecord(id="x" * 300, text="Its identity is too long to be one here"),
    ]


def manager() -> OldManager:
    slots = {"test_thread": {"persona": "A careful lawyer", "open_loops": ["call Smith"]}, "mnemic.journal": {"a": "b"}}
    return OldManager(SemanticStore(records()), EpisodicStore({"test_thread": [EVENT]}), WorkingStore(slots))


async def test_everything_is_taken_over_and_found_again(open_memory: Callable[..., MemoryManager]) -> None:
    memory = open_memory()
    done = await aimport_seed(manager(), memory)
    assert (done.records, done.events, done.slots, done.unchanged) == (3, 1, 1, 0)
    found = await memory.aretrieve("find legal precedents", user_id="test_user", topk=5)
    assert found[0].text == "Important legal precedent from Smith v. Jones case"
    assert (found[0].id, found[0].source, sorted(found[0].tags)) == ("r-1", "test", ["legal", "precedent"])
    assert (found[0].stored_confidence, found[0].salience) == (None, 0.75)
    assert found[0].created_at == datetime(2024, 2, 3, 10, tzinfo=UTC)
    assert found[0].metadata["imported_from"] == {"system": "seed", "id": "r-1"}
    other = (await memory.aretrieve("помидоры"))[0]
    assert (other.type, other.metadata["type"], other.metadata["extra"]) == ("semantic", "fact", {"deep": [1, 2]})
    long = (await memory.aretrieve("identity too long"))[0]
    assert long.id is not None
    assert long.id.startswith("seed-")
    assert long.metadata["imported_from"]["id"] == "x" * 300
    events = (await memory.aevents(thread_id="test_thread")).items
    assert [one.event.event_id for one in events if one.event] == ["e-1"]
    assert events[0].event is not None
    assert events[0].event.payload == {"n": 1}
    assert "test_action" in await memory.asnapshot_thread("test_thread")
    assert await memory.aget_rmt("test_thread") == {"persona": "A careful lawyer", "open_loops": '["call Smith"]'}


async def test_what_cannot_be_kept_is_told_with_its_reason(memory_of_process: MemoryManager) -> None:
    done = await aimport_seed(manager(), memory_of_process)
    told = {(one.what, one.which): one.reason for one in done.skipped}
    assert set(told) == {("record", "r-2"), ("record", "r-3"), ("slots", "mnemic.journal")}
    assert "text" in told["record", "r-2"]
    assert "salience" in told["record", "r-3"]


async def test_a_wrong_event_is_told_and_the_others_are_kept(memory_of_process: MemoryManager) -> None:
    events = [{"event_id": "e-0", "thread_id": "t", "timestamp": "2024-02-03T10:00:00"}, {"action": "x"}, EVENT]
    done = await aimport_seed({"episodic": events}, memory_of_process)
    assert done.events == 1
    told = {one.which: one.reason for one in done.skipped}
    assert "action: Field required" in told["e-0"]
    assert "timestamp" in told["2"]


async def test_again_changes_nothing_and_takes_what_came_since(memory_of_process: MemoryManager) -> None:
    memory, old = memory_of_process, manager()
    await aimport_seed(old, memory)
    before = await memory.astats()
    again = await aimport_seed(old, memory)
    assert (again.records, again.slots, again.unchanged) == (0, 0, 4)
    assert await memory.astats() == before
    old.semantic._items.append(OldRecord(id="r-9", text="A late one"))
    old.semantic._items[0].text = "Smith v. Jones was overruled"
    later = await aimport_seed(old, memory)
    assert (later.records, later.unchanged) == (2, 3)
    assert [record.version for record in await memory.aget(["r-1"]) if record] == [2]


async def test_an_import_is_told_by_one_event(memory_of_process: MemoryManager) -> None:
    await aimport_seed(manager(), memory_of_process)
    entries = (await memory_of_process.aevents(thread_id="import")).items
    [event] = [entry.event for entry in entries if entry.event]
    assert (event.action, event.payload) == ("seed.imported", {"records": 3, "events": 1, "slots": 1, "skipped": 3})


class Kind(Enum):
    PERSONA = "persona"


@dataclass
class PlainRecord:
    """Not pydantic, without an id, with an enumeration and a UUID."""

    text: str
    kind: Kind = Kind.PERSONA
    user_id: UUID = field(default_factory=lambda: UUID(int=7))


@pytest.mark.parametrize(
    "old",
    [
        OldManager([PlainRecord("Anna likes tea")], [EVENT], {"t": {"a": "b"}}),
        OldManager({"r": PlainRecord("Anna likes tea")}, {"test_thread": [EVENT]}, {"t": {"slots": {"a": "b"}}}),
        {
            "semantic_store": [{"text": "Anna likes tea", "type": "persona", "user_id": str(UUID(int=7))}],
            "rmt": {"t": {"a": "b"}},
        },
    ],
    ids=["lists", "dictionaries", "mapping"],
)
def test_stores_of_any_shape_are_read(old: Any, memory_of_process: MemoryManager) -> None:
    done = import_seed(old, memory_of_process)
    assert (done.records, done.slots, done.skipped) == (1, 1, [])
    found = memory_of_process.retrieve("who likes tea")[0]
    assert (found.text, found.type, found.user_id) == ("Anna likes tea", "persona", str(UUID(int=7)))
    assert memory_of_process.get_rmt("t") == {"a": "b"}
    assert import_seed(old, memory_of_process).unchanged == 2


async def test_the_waiting_twin_works_beside_a_loop_and_hands_on_errors(memory_of_process: MemoryManager) -> None:
    assert import_seed(manager(), memory_of_process).records == 3
    with pytest.raises(InvalidInputError, match="semantic, episodic or working"):
        import_seed(object(), memory_of_process)


@pytest.fixture
def memory_of_process() -> MemoryManager:
    return create_dev_memory_manager()
