"""A memory service for Google's Agent Development Kit. Not here: sessions, which ADK keeps elsewhere, and the tools that search
(``load_memory``, ``preload_memory``), which are ADK's own.

    runner = Runner(..., memory_service=MnemicMemoryService(create_embedded_memory_manager("./memory")))

or, for ``adk web --memory_service_uri=mnemic:///srv/memory``, a ``services.yaml`` beside the agents:

    services:
      - scheme: mnemic
        type: memory
        class: mnemic.integrations.adk.MnemicMemoryService

A memory is one record for each stretch of its text (long ones have several, all of them searched) and, where its content is larger than
a record's metadata may be, records that hold the rest of it. All of them are one write.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

from google.adk.memory.base_memory_service import BaseMemoryService, SearchMemoryResponse
from google.adk.memory.memory_entry import MemoryEntry

from mnemic.exceptions import ConflictError, CorruptedError, InvalidInputError
from mnemic.manager import (
    MemoryManager,
    create_dev_memory_manager,
    create_embedded_memory_manager,
    create_memory_manager,
)
from mnemic.models import MemoryRecord

if TYPE_CHECKING:
    from google.adk.cli.service_registry import ServiceRegistry
    from google.adk.events.event import Event
    from google.adk.sessions.session import Session
    from google.genai import types

__all__ = ["MnemicMemoryService", "register"]

# Characters of text in one record, and of JSON in one that holds the rest: at most four bytes each, below the 256 KiB of a record.
_STRETCH, _REST = 16_000, 60_000
# Bytes of JSON beside the text, below the 64 KiB of a record's metadata once its quotes are escaped.
_INLINE = 16_000
_BATCH = 1000
_QUERY_BYTES = 64 * 1024
# Each conflict means that somebody else's write succeeded, so this many in a row are a fault and not contention.
_ATTEMPTS = 100


class MnemicMemoryService(BaseMemoryService):
    """What users said and agents answered, found by words and by meaning.

    ``memory`` is where it is kept; ``uri`` opens one in its place: ``mnemic:///path`` a directory, ``mnemic://dev`` this process,
    ``mnemic://env`` what the environment asks for; ``?namespace=`` and ``?limit=`` may follow. ``limit`` is how many memories a search
    finds at most.

    Each pair of application and user has a namespace of its own, named by a digest of both and of ``memory``'s namespace, so that
    no name, however chosen, reaches another user's memories; :meth:`manager_for` gives the manager of one.

    Events are known by their ids: adding a session again adds what is new and changes what was changed. What has no text cannot be
    found and is not kept. What was deleted stays deleted, also when its session is added again.
    """

    def __init__(
        self,
        memory: MemoryManager | None = None,
        *,
        uri: str | None = None,
        limit: int = 10,
        agents_dir: str | None = None,
    ) -> None:
        # ADK hands every service the directory of the agents; memory has no use for it.
        del agents_dir
        if (memory is None) == (uri is None):
            raise InvalidInputError("memory: expected a memory manager or a uri, found both or neither", field="memory")
        if uri is not None:
            memory, limit = _opened(uri, limit)
        assert memory is not None
        if not 1 <= limit <= _BATCH:
            raise InvalidInputError(f"limit: expected 1 to {_BATCH} memories, found {limit}", field="limit")
        self._memory = memory
        self._limit = limit

    def manager_for(self, *, app_name: str, user_id: str) -> MemoryManager:
        """The memory manager of one user of one application, for verbs that ADK does not have (forgetting, history, backups)."""
        whose = json.dumps([self._memory.namespace, app_name, user_id])
        return self._memory.in_namespace(f"adk-{hashlib.sha256(whose.encode()).hexdigest()[:48]}")

    async def add_session_to_memory(self, session: Session) -> None:
        """Remembers a session's events that have text. Repeating it changes nothing."""
        await self.add_events_to_memory(
            app_name=session.app_name, user_id=session.user_id, events=session.events, session_id=session.id
        )

    async def add_events_to_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        events: Sequence[Event],
        session_id: str | None = None,
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Remembers events that have text, each once. ``custom_metadata`` comes back with each of them.

        ``InvalidInputError`` names what JSON cannot hold and what is larger than 1,000 records."""
        memories = [
            _Memory.of(
                memory_id=event.id,
                content=event.content,
                author=event.author,
                timestamp=datetime.fromtimestamp(event.timestamp, UTC).isoformat(),
                custom_metadata={**(event.custom_metadata or {}), **(custom_metadata or {})},
                session_id=session_id,
            )
            for event in events
            if event.content is not None
        ]
        manager = self.manager_for(app_name=app_name, user_id=user_id)
        fresh = await _unknown(manager, [memory for memory in memories if memory.text.strip()])
        await _write(manager, fresh, user_id)
        # One that was deleted while this wrote it stays deleted.
        deleted = await _deleted(manager, [memory.id for memory in fresh])
        for memory in fresh:
            if memory.id in deleted:
                await _forget(manager, memory.id)

    async def add_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        memories: Sequence[MemoryEntry],
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Remembers entries as they are. One with an id replaces what has that id, also if that was deleted.

        ``InvalidInputError`` names an entry without text, what JSON cannot hold, and what is larger than 1,000 records."""
        given = [
            _Memory.of(
                memory_id=entry.id or str(uuid4()),
                content=entry.content,
                author=entry.author,
                timestamp=entry.timestamp,
                custom_metadata={**entry.custom_metadata, **(custom_metadata or {})},
                session_id=None,
            )
            for entry in memories
        ]
        for position, memory in enumerate(given):
            if not memory.text.strip():
                message = f"memories[{position}]: expected content with text, found none"
                raise InvalidInputError(message, field="memories")
        manager = self.manager_for(app_name=app_name, user_id=user_id)
        await _write(manager, list({memory.id: memory for memory in given}.values()), user_id)

    async def search_memory(self, *, app_name: str, user_id: str, query: str) -> SearchMemoryResponse:
        """Finds the memories that are about ``query``, best first. Of a query, the first 64 KiB are looked at."""
        sought = query.replace("\0", " ").encode("utf-8", "replace")[:_QUERY_BYTES].decode("utf-8", "ignore")
        if not sought.strip():
            return SearchMemoryResponse()
        manager = self.manager_for(app_name=app_name, user_id=user_id)
        # A long memory may be found by several of its stretches.
        topk = min(4 * self._limit, _BATCH)
        hits = await manager.aretrieve(sought, topk=topk, filters={"metadata.adk": "memory"})
        # A stretch of what a memory said before it was changed leads to nothing.
        ids = dict.fromkeys((str(hit.metadata["of"]), hit.metadata["digest"]) for hit in hits)
        heads = await manager.aget([id for id, _ in ids]) if ids else []
        current = [
            head for head, (_, digest) in zip(heads, ids, strict=True) if head and head.metadata["digest"] == digest
        ]
        found = [await _entry(manager, head) for head in current[: self._limit]]
        return SearchMemoryResponse(memories=[entry for entry in found if entry is not None])

    async def delete_memory(self, *, app_name: str, user_id: str, memory_id: str | None = None) -> None:
        """Removes the memory that has the id of an entry, for good and with its history. Without an id nothing is removed."""
        if not memory_id:
            return
        manager = self.manager_for(app_name=app_name, user_id=user_id)
        id = _record_id(memory_id)
        if (await manager.aget([id]))[0] is None:
            return
        # First the mark, which holds a digest only, so that no session brings back what is removed.
        mark = MemoryRecord(id=_mark(id), text=_mark(id), source="system", metadata={"adk": "deleted"})
        await manager.awrite(mark)
        await _forget(manager, id)


def register(registry: ServiceRegistry | None = None, *, scheme: str = "mnemic") -> None:
    """Makes ``scheme://…`` a memory service of ADK's command line; see :class:`MnemicMemoryService` for what may follow.

    Called from a ``services.py`` beside the agents; a ``services.yaml`` needs no call."""
    if registry is None:
        from google.adk.cli.service_registry import get_service_registry

        registry = get_service_registry()

    def factory(uri: str, **given: Any) -> MnemicMemoryService:
        return MnemicMemoryService(uri=uri, **given)

    registry.register_memory_service(scheme, factory)


def _opened(uri: str, limit: int) -> tuple[MemoryManager, int]:
    """The memory that a URI names, and how many memories a search finds."""
    parts = urlsplit(uri)
    options = parse_qs(parts.query, keep_blank_values=True)
    unknown = sorted(set(options) - {"namespace", "limit"})
    if unknown:
        raise InvalidInputError(
            f"uri: expected the options namespace and limit, found {', '.join(unknown)}", field="uri"
        )
    namespace = options.get("namespace", [None])[-1]
    if "limit" in options:
        try:
            limit = int(options["limit"][-1])
        except ValueError:
            message = f"uri: expected a number as limit, found {options['limit'][-1]!r}"
            raise InvalidInputError(message, field="uri") from None
    path = unquote(parts.path)
    if parts.netloc == "dev" and path in ("", "/"):
        return create_dev_memory_manager(namespace=namespace), limit
    if parts.netloc == "env" and path in ("", "/"):
        return create_memory_manager(namespace), limit
    if parts.netloc == "" and path not in ("", "/"):
        return create_embedded_memory_manager(path, namespace=namespace), limit
    expected = f"{parts.scheme}:///path, {parts.scheme}://dev or {parts.scheme}://env"
    raise InvalidInputError(f"uri: expected {expected}, found another host or path", field="uri")


@dataclass(frozen=True, slots=True)
class _Memory:
    """A memory as it is kept: the id of its records, what is searched, and all of it as JSON."""

    id: str
    text: str
    json: str
    session_id: str | None
    at: datetime | None

    @classmethod
    def of(
        cls,
        *,
        memory_id: str,
        content: types.Content,
        author: str | None,
        timestamp: str | None,
        custom_metadata: Mapping[str, object],
        session_id: str | None,
    ) -> _Memory:
        entry = {
            "id": memory_id,
            "author": author,
            "timestamp": timestamp,
            "content": content.model_dump(mode="json", exclude_none=True),
            "custom_metadata": dict(custom_metadata),
        }
        try:
            whole = json.dumps(entry)
        except (TypeError, ValueError, RecursionError) as error:
            message = f"custom_metadata: expected JSON values, found something else ({error})"
            raise InvalidInputError(message, field="custom_metadata") from error
        text = " ".join(part.text for part in content.parts or [] if part.text)
        # What no backend holds is not searched; the JSON keeps it.
        searched = text.replace("\0", " ").encode("utf-8", "replace").decode()
        return cls(_record_id(memory_id), searched, whole, session_id, _instant(timestamp))

    def records(self, user_id: str) -> list[MemoryRecord]:
        """Its records, the first of which has the id."""
        stretches = _cut(self.text, _STRETCH)
        inline = len(self.json) <= _INLINE
        rest = [] if inline else _cut(self.json, _REST)
        # How many records it has, so that all of them can be removed.
        shared = {"of": self.id, "records": len(stretches) + len(rest), "digest": self.digest}
        head = {**shared, "adk": "memory", **({"json": self.json} if inline else {"rest": len(rest)})}
        session_id = self.session_id if self.session_id is not None and _is_id(self.session_id) else None
        records = []
        for number, text in enumerate([*stretches, *rest]):
            found = number < len(stretches)
            # White space alone is no text to remember; the stretch before it says the same.
            body = text if text.strip() else f"{self.id}.{number}"
            metadata = head if number == 0 else {**shared, "adk": "memory" if found else "rest"}
            records.append(
                MemoryRecord(
                    id=self.id if number == 0 else f"{self.id}.{number}",
                    text=body if found else f"{self.id}.{number}\n{body}",
                    type="episodic",
                    user_id=user_id if _is_id(user_id) else _record_id(user_id),
                    thread_id=session_id,
                    created_at=self.at,
                    metadata=metadata,
                )
            )
        if len(records) > _BATCH:
            message = f"content: expected at most {_BATCH} records of a memory, found {len(records)}"
            raise InvalidInputError(message, field="content")
        return records

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.session_id!r}\n{self.json}".encode("utf-8", "surrogatepass")).hexdigest()


async def _unknown(manager: MemoryManager, memories: Iterable[_Memory]) -> list[_Memory]:
    """The memories that are not there as they are, and were not deleted."""
    sought = {memory.id: memory for memory in memories}
    fresh: list[_Memory] = []
    for ids in _pages(list(sought)):
        deleted = await _deleted(manager, ids)
        for id, record in zip(ids, await manager.aget(ids), strict=True):
            known = record is not None and record.metadata.get("digest") == sought[id].digest
            if id not in deleted and not known:
                fresh.append(sought[id])
    return fresh


async def _deleted(manager: MemoryManager, ids: Sequence[str]) -> set[str]:
    deleted: set[str] = set()
    for page in _pages(ids):
        marks = await manager.aget([_mark(id) for id in page])
        deleted.update(id for id, mark in zip(page, marks, strict=True) if mark is not None)
    return deleted


async def _write(manager: MemoryManager, memories: Sequence[_Memory], user_id: str) -> None:
    """Writes memories, each whole, and forgets what longer revisions left over. If somebody else writes one of them at the same
    time, it is done again, so that what stays is one writer's and whole."""
    for attempt in range(_ATTEMPTS):
        try:
            surplus = await _write_once(manager, memories, user_id)
        except ConflictError:
            await asyncio.sleep(random.uniform(0, 0.001 * (attempt + 1)))
            continue
        for page in _pages(surplus):
            await manager.aforget(ids=page)
        return
    raise ConflictError(f"memory: expected to write within {_ATTEMPTS} attempts, found a conflict each time")


async def _write_once(manager: MemoryManager, memories: Sequence[_Memory], user_id: str) -> list[str]:
    """Writes memories, as many at once as fit one call, and answers the ids that earlier revisions had and these have not."""
    before: dict[str, MemoryRecord] = {}
    for page in _pages([memory.id for memory in memories]):
        before.update((str(head.id), head) for head in await manager.aget(page) if head is not None)
    batch: list[MemoryRecord] = []
    surplus: list[str] = []
    for memory in memories:
        records = memory.records(user_id)
        head = before.get(memory.id)
        records[0].expect_version = head.version if head is not None else 0
        had = int(head.metadata["records"]) if head is not None else 0
        surplus.extend(f"{memory.id}.{number}" for number in range(len(records), had))
        if len(batch) + len(records) > _BATCH:
            await manager.awrite(batch)
            batch = []
        batch.extend(records)
    if batch:
        await manager.awrite(batch)
    return surplus


async def _forget(manager: MemoryManager, id: str) -> None:
    """Forgets a memory's records, those of its earlier revisions included."""
    revisions = [revision.record for revision in await manager.ahistory(id) if revision.record is not None]
    most = max((int(record.metadata["records"]) for record in revisions), default=1)
    for page in _pages([id, *(f"{id}.{number}" for number in range(1, most))]):
        await manager.aforget(ids=page)


async def _entry(manager: MemoryManager, head: MemoryRecord) -> MemoryEntry | None:
    """The entry that a memory was made from; ``None`` if it was removed or changed meanwhile."""
    whole = head.metadata.get("json")
    if whole is None:
        rest, records = int(head.metadata["rest"]), int(head.metadata["records"])
        parts = await manager.aget([f"{head.id}.{number}" for number in range(records - rest, records)])
        if any(part is None or part.metadata["digest"] != head.metadata["digest"] for part in parts):
            return None
        whole = "".join(part.text.partition("\n")[2] for part in parts if part is not None)
    try:
        entry = json.loads(whole)
    except ValueError as error:
        raise CorruptedError(f"memory: expected JSON in {head.id}, found something else ({error})") from error
    return MemoryEntry.model_validate(entry)


def _instant(timestamp: str | None) -> datetime | None:
    """When it happened, where that is told with a time zone."""
    try:
        at = datetime.fromisoformat(timestamp or "")
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def _record_id(memory_id: str) -> str:
    """An id that any text has: ADK's may be of any length and hold anything."""
    return f"adk.{hashlib.sha256(memory_id.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _mark(id: str) -> str:
    return f"{id}.deleted"


def _is_id(text: str) -> bool:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return False
    return 0 < size <= 255 and not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text)


def _cut(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def _pages(ids: Sequence[str]) -> list[list[str]]:
    return [list(ids[start : start + _BATCH]) for start in range(0, len(ids), _BATCH)]
