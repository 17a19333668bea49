"""Time to live: minutes, begun anew by reading, hidden at once, swept. The store's clock is set; the memory's own is the real one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import DIMENSIONS, LetterEmbeddings
from langgraph.store.base import GetOp

from mnemic import ConflictError, MemoryManager
from mnemic.integrations.langgraph import MnemicStore, _writes
from mnemic.integrations.langgraph._items import Entry, item_id, parts_of

NS = ("sessions",)
MINUTE = timedelta(minutes=1)


class Clock:
    """The store's time, relative to the real one at the start."""

    def __init__(self) -> None:
        self.start = datetime.now(UTC)
        self.minutes = 0.0

    def now(self) -> datetime:
        return self.start + self.minutes * MINUTE


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_writes, "utc_now", clock.now)
    return clock


def ends(store: MnemicStore, clock: Clock, key: str) -> list[float | None]:
    """When the head and its other records expire, in minutes from the start."""
    head = store.memory.get([item_id(NS, key)])[0]
    assert head is not None
    records = [head, *store.memory.get(parts_of(Entry.of(head)))]
    return [
        None if record is None or record.expires_at is None else round((record.expires_at - clock.start) / MINUTE, 3)
        for record in records
    ]


def test_a_store_says_that_it_knows_times_to_live() -> None:
    assert MnemicStore.supports_ttl is True
    assert MnemicStore.dev().supports_ttl is True


def test_what_has_expired_is_hidden_at_once_and_swept_for_good(store: MnemicStore, clock: Clock) -> None:
    store.put(NS, "stays", {"text": "stays"})
    clock.minutes = -60
    store.put(NS, "over", {"text": "over"}, ttl=10)
    store.put(NS, "long", {"text": "x" * 200_000}, ttl=10)
    store.put(NS, "now", {"text": "now"}, ttl=0)
    clock.minutes = 0
    assert [store.get(NS, key) for key in ("over", "long", "now")] == [None] * 3
    assert [item.key for item in store.search(NS, query="over")] == ["stays"]
    assert [item.key for item in store.search(())] == ["stays"]
    store.put(("others",), "over", {"text": "over"}, ttl=-1)
    assert store.list_namespaces() == [NS]
    assert store.sweep_ttl() > 6
    assert store.sweep_ttl() == 0
    assert store.memory.stats()["records"] == 2


async def test_sweeping_is_a_coroutine_too(store: MnemicStore) -> None:
    await store.aput(NS, "over", {"text": "over"}, ttl=0)
    assert await store.asweep_ttl() == 2


def test_an_expired_item_begins_anew(store: MnemicStore, clock: Clock) -> None:
    clock.minutes = -60
    store.put(NS, "k", {"v": 1}, ttl=10)
    clock.minutes = 0
    store.put(NS, "k", {"v": 2})
    item = store.get(NS, "k")
    assert item is not None
    assert (item.value, item.created_at) == ({"v": 2}, clock.start)
    assert ends(store, clock, "k") == [None, None]


def test_reading_begins_the_time_to_live_anew(embeddings: LetterEmbeddings, clock: Clock) -> None:
    store = MnemicStore.dev(index={"dims": DIMENSIONS, "embed": embeddings})
    store.put(NS, "k", {"text": "hello"}, ttl=10)
    assert ends(store, clock, "k") == [10, 20]
    clock.minutes = 5
    item = store.get(NS, "k")
    assert ends(store, clock, "k") == [15, 20]
    clock.minutes = 5.05
    store.get(NS, "k")
    assert ends(store, clock, "k") == [15, 20], "reading again at once writes nothing"
    clock.minutes = 9
    store.search(NS, query="hello")
    assert ends(store, clock, "k") == [19, 20]
    embedded = len(embeddings.texts)
    assert embedded == 1, "what is read is not embedded again"
    clock.minutes = 12
    store.search(NS)
    assert ends(store, clock, "k") == [22, 32]
    assert item is not None
    assert store.get(NS, "k", refresh_ttl=False) == item, "reading changes nothing of the item"


def test_reading_does_not_begin_anew_where_it_is_told_not_to(clock: Clock) -> None:
    store = MnemicStore.dev()
    store.put(NS, "k", {"text": "hello"}, ttl=10)
    quiet = MnemicStore(store.memory, ttl={"refresh_on_read": False})
    clock.minutes = 5
    store.get(NS, "k", refresh_ttl=False)
    store.search(NS, refresh_ttl=False)
    quiet.get(NS, "k")
    quiet.search(NS, query="hello")
    assert ends(store, clock, "k") == [10, 20]
    quiet.get(NS, "k", refresh_ttl=True)
    assert ends(store, clock, "k") == [15, 20]


def test_a_long_item_is_renewed_whole(store: MnemicStore, clock: Clock) -> None:
    value = {"text": "".join(chr(0x4E00 + i * 7919 % 20000) for i in range(60_000))}
    store.put(NS, "k", value, index=False, ttl=10)
    clock.minutes = 15
    item = store.get(NS, "k")
    assert item is not None
    assert item.value == value
    until = ends(store, clock, "k")
    assert until[0] == 25
    assert set(until[1:]) == {35}
    assert len(until) > 2
    again = store.get(NS, "k", refresh_ttl=False)
    assert again == item


def test_defaults_come_from_the_configuration(clock: Clock) -> None:
    store = MnemicStore.dev(ttl={"default_ttl": 5, "omit_expired": True})
    store.put(NS, "default", {"v": 1})
    store.put(NS, "none", {"v": 1}, ttl=None)
    store.put(NS, "own", {"v": 1}, ttl=7)
    assert [ends(store, clock, key)[0] for key in ("default", "none", "own")] == [5, None, 7]


@pytest.mark.parametrize("ttl", [1e12, float("inf"), 10**400], ids=["long", "infinite", "no float"])
def test_a_time_to_live_beyond_the_calendar_is_as_long_as_it_can_be(clock: Clock, ttl: Any) -> None:
    store = MnemicStore.dev()
    store.put(NS, "k", {"v": 1}, ttl=ttl)
    assert store.get(NS, "k") is not None
    clock.minutes = 1e6
    assert store.get(NS, "k") is not None


def test_a_put_wins_over_a_renewal_that_it_overtakes(open_memory: Callable[..., MemoryManager], clock: Clock) -> None:
    store = MnemicStore(open_memory())
    store.put(NS, "k", {"v": "old"}, ttl=10)
    clock.minutes = 5
    # A get that has read and not yet renewed ...
    reading = store._batch([GetOp(NS, "k")])
    ask = next(reading)
    while ask.verb != "write":
        ask = reading.send(store.memory._run(ask))
    # ... while another call puts.
    store.put(NS, "k", {"v": "new"})
    with pytest.raises(ConflictError) as refused:
        store.memory._run(ask)
    with pytest.raises(StopIteration) as end:
        reading.throw(refused.value)
    assert end.value.value[0].value == {"v": "old"}
    item = store.get(NS, "k")
    assert item is not None
    assert item.value == {"v": "new"}
    assert ends(store, clock, "k")[0] is None


def test_a_store_sweeps_by_itself_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 30.0, 61.0, 62.0])
    monkeypatch.setattr("mnemic.integrations.langgraph.store.monotonic", lambda: next(times))
    store = MnemicStore.dev(ttl={"sweep_interval_minutes": 1})
    store.put(NS, "over", {"v": 1}, ttl=0)
    assert store.memory.stats()["records"] == 2
    store.put(NS, "k", {"v": 1})
    assert store.memory.stats()["records"] == 2
    assert [item.key for item in store.search(())] == ["k"]
