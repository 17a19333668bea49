"""The agent that knows about cases: it creates and updates them, takes notes and recalls. Not here: who may ask (`mega_agent`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mnemic import (
    AuditEvent,
    InvalidInputError,
    MemoryManager,
    MemoryRecord,
    NotFoundError,
    Retrieval,
    create_dev_memory_manager,
)

from ..memory import client_memory
from ..orchestration.state import INTERNAL, case_thread

STATUSES = ("intake", "open", "waiting", "closed")
_CASE_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_CHANGEABLE = ("title", "status", "summary")
_TAG = "case"
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Case:
    """A case as it is at one version. ``by`` is who made that version."""

    case_id: str
    client: str
    title: str
    status: str
    summary: str
    by: str
    version: int
    updated_at: datetime | None = None

    def line(self) -> str:
        """The case in one line, as it is remembered."""
        summary = f" {self.summary}" if self.summary else ""
        return f"Case {self.case_id}: {self.title} ({self.status}).{summary}"


@dataclass(frozen=True, slots=True)
class CaseRevision:
    """What a case was from ``at`` on; ``case`` is ``None`` where it was removed."""

    at: datetime
    case: Case | None


class CaseAgent:
    """Cases in memory, each client's in a namespace of its own.

    A case is one record that every update replaces by a new version; ``ahistory`` has them all. Notes are events which memory turns
    into records in the same step, so that each note knows its event.
    """

    def __init__(self, memory_manager: MemoryManager | None = None) -> None:
        self.memory = memory_manager or create_dev_memory_manager()

    async def acreate_case(self, client: str, case_id: str, *, title: str, summary: str = "", by: str) -> Case:
        """Creates a case; ``ConflictError`` if there is one with this id."""
        case = Case(check_case_id(case_id), client, title, STATUSES[0], summary, by, version=0)
        return await self._write(case)

    async def aupdate_case(
        self, client: str, case_id: str, changes: Mapping[str, str], *, expect_version: int, by: str
    ) -> Case:
        """Changes title, status or summary; ``ConflictError`` if the case is no longer at ``expect_version``."""
        if not changes or set(changes) - set(_CHANGEABLE):
            found = ", ".join(changes) or "none"
            raise InvalidInputError(
                f"changes: expected some of {', '.join(_CHANGEABLE)}, found {found}", field="changes"
            )
        if changes.get("status", STATUSES[0]) not in STATUSES:
            expected = ", ".join(STATUSES)
            raise InvalidInputError(f"status: expected one of {expected}, found {changes['status']!r}", field="status")
        now = await self.aget_case(client, case_id)
        fields = {name: changes.get(name, getattr(now, name)) for name in _CHANGEABLE}
        return await self._write(Case(now.case_id, client, **fields, by=by, version=expect_version))

    async def aget_case(self, client: str, case_id: str) -> Case:
        """A case as it is now; ``NotFoundError`` if this client has none with this id."""
        [record] = await client_memory(self.memory, client).aget([_record_id(case_id)])
        if record is None:
            raise NotFoundError(f"case: expected one of the client {client!r}, found none with the id {case_id!r}")
        return _case(record)

    async def asearch_cases(self, client: str, query: str = "", *, limit: int = 10) -> list[Case]:
        """The client's cases that are about ``query``, best first; all of them, oldest first, without a query."""
        memory = client_memory(self.memory, client)
        filters = {"tags": [_TAG]}
        if query.strip():
            return [_case(record) for record in await memory.aretrieve(query, client, limit, filters)]
        found: list[Case] = []
        after: str | None = None
        while True:
            page = await memory.alist(user_id=client, filters=filters, limit=_PAGE, after=after)
            found.extend(_case(record) for record in page.items)
            after = page.next
            if after is None:
                return found

    async def aadd_note(self, client: str, case_id: str, text: str, *, by: str, internal: bool = True) -> MemoryRecord:
        """Keeps a note about a case. An internal one is shown to no client and stays out of conversations with them."""
        case = await self.aget_case(client, case_id)
        event = AuditEvent(
            user_id=client,
            thread_id=case_thread(case.case_id),
            source=by,
            action="note_added",
            payload={"text": text, "kind": "semantic", "case_id": case.case_id},
            tags=["note", INTERNAL] if internal else ["note"],
        )
        [record] = await client_memory(self.memory, client).awrite(event)
        return record

    async def arecall(
        self, client: str, query: str, *, case_id: str | None = None, internal: bool = False, limit: int = 5
    ) -> Retrieval:
        """What is known about ``query``, best first; with ``internal`` also from internal notes."""
        parts: list[dict[str, Any]] = []
        if case_id is not None:
            parts.append({"metadata.case_id": check_case_id(case_id)})
        if not internal:
            parts.append({"not": {"tags": [INTERNAL]}})
        return await client_memory(self.memory, client).aretrieve(
            query, client, limit, {"and": parts} if parts else None
        )

    async def ahistory(self, client: str, case_id: str) -> list[CaseRevision]:
        """Every version of a case, newest first; ``NotFoundError`` if there never was one."""
        revisions = await client_memory(self.memory, client).ahistory(_record_id(case_id))
        if not revisions:
            raise NotFoundError(f"case: expected one of the client {client!r}, found none with the id {case_id!r}")
        return [CaseRevision(one.at, None if one.record is None else _case(one.record)) for one in revisions]

    async def _write(self, case: Case) -> Case:
        record = MemoryRecord(
            id=_record_id(case.case_id),
            user_id=case.client,
            thread_id=case_thread(case.case_id),
            text=case.line(),
            path=["cases", case.case_id],
            tags=[_TAG],
            metadata={
                "case_id": case.case_id,
                "title": case.title,
                "status": case.status,
                "summary": case.summary,
            },
            source=case.by,
            expect_version=case.version,
        )
        [written] = await client_memory(self.memory, case.client).awrite(record)
        return _case(written)


def check_case_id(case_id: str) -> str:
    """The id of a case, if it is one."""
    if not _CASE_ID.fullmatch(case_id):
        expected = "1 to 64 characters of a-z, 0-9, ., _ and -, starting with a letter or digit"
        raise InvalidInputError(f"case: expected {expected}, found {case_id[:80]!r}", field="case")
    return case_id


def _record_id(case_id: str) -> str:
    return f"case/{check_case_id(case_id)}"


def _case(record: MemoryRecord) -> Case:
    told = record.metadata
    return Case(
        case_id=told["case_id"],
        client=record.user_id or "",
        title=told["title"],
        status=told["status"],
        summary=told["summary"],
        by=record.source,
        version=record.version,
        updated_at=record.updated_at,
    )
