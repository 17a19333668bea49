"""The three kinds of memory, each with the methods that callers of such a store expect. They are views: what one writes, the manager
reads. Not here: the verbs that they call (`_asynchronous`, `_synchronous`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mnemic import _verbs as verbs
from mnemic._drafts import EventLike, RecordLike
from mnemic._json import integer, text
from mnemic.models import AuditEvent, MemoryRecord, Retrieval, RetrievalQuery, Slots, Written

if TYPE_CHECKING:
    from mnemic.manager import MemoryManager

# Where a memory notes its own changes; not among the events of its callers.
_JOURNAL = "mnemic.journal"
_PAGE = 1000


class SemanticMemory:
    """The records of a namespace."""

    def __init__(self, manager: MemoryManager) -> None:
        self._manager = manager

    async def ainsert(self, records: RecordLike | Iterable[RecordLike]) -> Written:
        """Keeps records, all of them or none."""
        return await self._manager.awrite(records)

    def insert(self, records: RecordLike | Iterable[RecordLike]) -> Written:
        """The same, waited for."""
        return self._manager.write(records)

    async def aretrieve(
        self,
        query: str | RetrievalQuery,
        user_id: str | None = None,
        topk: int | None = None,
        filters: Mapping[str, Any] | None = None,
    ) -> Retrieval:
        """Finds the records that are about ``query``, best first."""
        return await self._manager.aretrieve(query, user_id, topk, filters)

    def retrieve(
        self,
        query: str | RetrievalQuery,
        user_id: str | None = None,
        topk: int | None = None,
        filters: Mapping[str, Any] | None = None,
    ) -> Retrieval:
        """The same, waited for."""
        return self._manager.retrieve(query, user_id, topk, filters)

    async def aall(self, user_id: str | None = None) -> list[MemoryRecord]:
        """Every record that has not expired, oldest first."""
        found: list[MemoryRecord] = []
        after: str | None = None
        while True:
            page = await self._manager.alist(user_id=user_id, limit=_PAGE, after=after)
            found.extend(page.items)
            after = page.next
            if after is None:
                return found

    def all(self, user_id: str | None = None) -> list[MemoryRecord]:
        """The same, waited for."""
        found: list[MemoryRecord] = []
        after: str | None = None
        while True:
            page = self._manager.list(user_id=user_id, limit=_PAGE, after=after)
            found.extend(page.items)
            after = page.next
            if after is None:
                return found

    async def acount(self, user_id: str | None = None) -> int:
        """How many records there are; of one user, those that have not expired."""
        if user_id is None:
            return int((await self._manager.astats())["records"])
        return len(await self.aall(user_id))

    def count(self, user_id: str | None = None) -> int:
        """The same, waited for."""
        if user_id is None:
            return int(self._manager.stats()["records"])
        return len(self.all(user_id))

    async def adelete_by_user(self, user_id: str) -> int:
        """Removes the records of a user for good, with their history, and answers how many there were."""
        return len((await self._manager.aforget(filters={"user_id": user_id})).records)

    def delete_by_user(self, user_id: str) -> int:
        """The same, waited for."""
        return len(self._manager.forget(filters={"user_id": user_id}).records)


class EpisodicMemory:
    """The events of a namespace, in the order in which they were logged."""

    def __init__(self, manager: MemoryManager) -> None:
        self._manager = manager

    async def aappend(self, event: EventLike) -> AuditEvent:
        """Appends an event."""
        return await self._manager.alog_audit(event)

    def append(self, event: EventLike) -> AuditEvent:
        """The same, waited for."""
        return self._manager.log_audit(event)

    async def aget_thread_events(self, thread_id: str, limit: int | None = None) -> list[AuditEvent]:
        """A thread's events, or its last ``limit``."""
        return await self._awalk(thread_id=text("thread_id", thread_id), limit=limit)

    def get_thread_events(self, thread_id: str, limit: int | None = None) -> list[AuditEvent]:
        """The same, waited for."""
        return self._walk(thread_id=text("thread_id", thread_id), limit=limit)

    async def aget_all(self, user_id: str | None = None) -> list[AuditEvent]:
        """Every event."""
        return await self._awalk(user_id=user_id)

    def get_all(self, user_id: str | None = None) -> list[AuditEvent]:
        """The same, waited for."""
        return self._walk(user_id=user_id)

    async def aget_recent(self, limit: int = 10, user_id: str | None = None) -> list[AuditEvent]:
        """The last ``limit`` events, the oldest of them first."""
        return await self._awalk(user_id=user_id, limit=limit)

    def get_recent(self, limit: int = 10, user_id: str | None = None) -> list[AuditEvent]:
        """The same, waited for."""
        return self._walk(user_id=user_id, limit=limit)

    async def _awalk(
        self, *, thread_id: str | None = None, user_id: str | None = None, limit: int | None = None
    ) -> list[AuditEvent]:
        walk = _Walk(thread_id, user_id, limit)
        while not walk.ended:
            walk.take(await self._manager._arun(walk.ask()))
        return walk.events()

    def _walk(
        self, *, thread_id: str | None = None, user_id: str | None = None, limit: int | None = None
    ) -> list[AuditEvent]:
        walk = _Walk(thread_id, user_id, limit)
        while not walk.ended:
            walk.take(self._manager._run(walk.ask()))
        return walk.events()


class _Walk:
    """A walk over the pages of events: forward through all of them, or backward until enough are found."""

    def __init__(self, thread_id: str | None, user_id: str | None, limit: int | None) -> None:
        self._thread_id, self._user_id = thread_id, user_id
        self._limit = None if limit is None else integer("limit", limit, 0)
        self._after: str | None = None
        self._found: list[AuditEvent] = []
        self.ended = self._limit == 0

    def ask(self) -> verbs.Ask[verbs.Page[Any]]:
        return verbs.events(
            thread_id=self._thread_id,
            user_id=self._user_id,
            event_id=None,
            after_sequence=None,
            as_of=None,
            limit=_PAGE if self._limit is None else min(_PAGE, self._limit + 100),
            after=self._after,
            order="oldest" if self._limit is None else "newest",
        )

    def take(self, page: verbs.Page[Any]) -> None:
        events = (entry.event for entry in page.items)
        self._found.extend(event for event in events if event is not None and event.thread_id != _JOURNAL)
        self._after = page.next
        enough = self._limit is not None and len(self._found) >= self._limit
        self.ended = enough or page.next is None

    def events(self) -> list[AuditEvent]:
        if self._limit is None:
            return self._found
        return self._found[: self._limit][::-1]


class WorkingMemory:
    """The slots of threads (their RMT buffers)."""

    def __init__(self, manager: MemoryManager) -> None:
        self._manager = manager

    async def aset_buffer(self, thread_id: str, slots: Mapping[str, str]) -> Slots:
        """Sets a thread's slots to these."""
        return await self._manager.aset_rmt(thread_id, slots)

    def set_buffer(self, thread_id: str, slots: Mapping[str, str]) -> Slots:
        """The same, waited for."""
        return self._manager.set_rmt(thread_id, slots)

    async def aget_buffer(self, thread_id: str) -> Slots | None:
        """A thread's slots, or ``None`` if it has none."""
        return await self._manager.aget_rmt(thread_id)

    def get_buffer(self, thread_id: str) -> Slots | None:
        """The same, waited for."""
        return self._manager.get_rmt(thread_id)

    async def adelete_buffer(self, thread_id: str) -> bool:
        """Removes a thread's slots; whether it had any."""
        had = await self._manager.aget_rmt(thread_id)
        if had is not None:
            await self._manager.aset_rmt(thread_id, {})
        return had is not None

    def delete_buffer(self, thread_id: str) -> bool:
        """The same, waited for."""
        had = self._manager.get_rmt(thread_id)
        if had is not None:
            self._manager.set_rmt(thread_id, {})
        return had is not None

    async def aget_all_buffers(self) -> dict[str, Slots]:
        """The slots of every thread that has any."""
        found: dict[str, Slots] = {}
        after: str | None = None
        while True:
            page = await self._manager.armt_threads(after=after)
            for thread_id in page.items:
                slots = await self._manager.aget_rmt(thread_id)
                if slots is not None:
                    found[thread_id] = slots
            after = page.next
            if after is None:
                return found

    def get_all_buffers(self) -> dict[str, Slots]:
        """The same, waited for."""
        found: dict[str, Slots] = {}
        after: str | None = None
        while True:
            page = self._manager.rmt_threads(after=after)
            for thread_id in page.items:
                slots = self._manager.get_rmt(thread_id)
                if slots is not None:
                    found[thread_id] = slots
            after = page.next
            if after is None:
                return found
