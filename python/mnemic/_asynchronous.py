"""The verbs as coroutines. Not here: what they ask and answer (`_verbs`), the same verbs without a loop (`_synchronous`)."""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from mnemic import _verbs as verbs
from mnemic._drafts import EventLike, RecordLike
from mnemic._json import path as as_path
from mnemic._mnemic import Memory
from mnemic._verbs import Ask, Order, Page, T
from mnemic.models import (
    AuditEvent,
    ChainedEvent,
    ConsolidateStats,
    ContextBlock,
    ForgetReceipt,
    Health,
    MemoryRecord,
    Mode,
    Retrieval,
    RetrievalQuery,
    Revision,
    Slots,
    Written,
)


class Asynchronous:
    """Verbs of a memory."""

    _memory: Memory

    async def _arun(self, ask: Ask[T]) -> T:
        return ask.answer(await self._memory.acall(ask.verb, ask.request, ask.vectors))

    async def alog_audit(self, event: EventLike) -> AuditEvent:
        """Appends an event to the audit log. The same event again changes nothing; another one with its id is a ``ConflictError``."""
        return await self._arun(verbs.log_audit(event))

    async def awrite(
        self,
        records: RecordLike | Iterable[RecordLike] | AuditEvent,
        *,
        idempotency_key: str | None = None,
        dedupe: bool = False,
    ) -> Written:
        """Keeps records, all of them or none, and answers them as they are stored. A record whose id exists replaces it.

        Texts and mappings are taken for records; an event is appended to the log and reflected into records. With
        ``idempotency_key`` a repetition of the call changes nothing; with ``dedupe`` a record without an id gets one from its
        user, type and words, so that the same statement is kept once. At most 1,000 records in one call."""
        if isinstance(records, AuditEvent):
            return await self._arun(verbs.write_event(records, idempotency_key=idempotency_key, dedupe=dedupe))
        return await self._arun(verbs.write(records, idempotency_key=idempotency_key, dedupe=dedupe))

    async def aget(
        self, ids: Iterable[str], *, as_of: datetime | str | None = None
    ) -> builtins.list[MemoryRecord | None]:
        """Reads records by id, in the order asked for; ``None`` where there is none."""
        return await self._arun(verbs.get(ids, as_of))

    async def alist(
        self,
        *,
        filters: Mapping[str, Any] | None = None,
        user_id: str | None = None,
        as_of: datetime | str | None = None,
        limit: int = 100,
        after: str | None = None,
        order: Order = "oldest",
    ) -> Page[MemoryRecord]:
        """One page of the records that pass, by time of writing; ``after`` is the ``next`` of the page before."""
        return await self._arun(
            verbs.list_records(filters=filters, user_id=user_id, as_of=as_of, limit=limit, after=after, order=order)
        )

    async def aretrieve(
        self,
        query: str | RetrievalQuery | None = None,
        user_id: str | None = None,
        topk: int | None = None,
        filters: Mapping[str, Any] | None = None,
        *,
        mode: Mode = "hybrid",
        as_of: datetime | str | None = None,
        include_hidden: bool = False,
        embedding: Iterable[float] | None = None,
    ) -> Retrieval:
        """Finds the records that are about ``query``, best first: at most ``topk`` (10 if absent, 1 to 1000).

        ``filters`` maps fields to values or conditions, such as ``{"tags": ["legal"], "metadata.form": "I-485",
        "salience": {"gte": 0.5}}``; a list of tags means all of them. ``mode`` is ``hybrid``, ``dense`` (by meaning) or
        ``lexical`` (by words). ``as_of`` asks memory as it stood then. ``include_hidden`` shows also what has expired or was
        superseded. ``embedding`` is the query's, by the memory's model, in place of one made from the text."""
        return await self._arun(
            verbs.retrieve(
                query,
                user_id,
                topk,
                filters,
                mode=mode,
                as_of=as_of,
                include_hidden=include_hidden,
                embedding=embedding,
            )
        )

    async def acontext(
        self,
        thread_id: str,
        query: str | None = None,
        *,
        budget: int = 1000,
        user_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        topk: int | None = None,
    ) -> ContextBlock:
        """A thread's slots, the records about the query, and its recent events as one prompt block of at most ``budget`` tokens."""
        return await self._arun(
            verbs.context(thread_id, query, budget=budget, user_id=user_id, filters=filters, topk=topk)
        )

    async def aset_rmt(
        self,
        thread_id: str,
        slots: Mapping[str, str | None],
        *,
        merge: bool = False,
        expect_version: int | None = None,
    ) -> Slots:
        """Sets a thread's slots (its RMT buffer) to these; with ``merge`` the others stay, and ``None`` removes one.

        With ``expect_version`` a thread that has another version is a ``ConflictError``."""
        return await self._arun(verbs.set_slots(thread_id, slots, merge=merge, expect_version=expect_version))

    async def aget_rmt(self, thread_id: str, *, as_of: datetime | str | None = None) -> Slots | None:
        """A thread's slots, or ``None`` if it has none."""
        return await self._arun(verbs.slots(thread_id, as_of))

    async def armt_history(self, thread_id: str) -> builtins.list[Slots]:
        """Every version of a thread's slots, newest first."""
        return await self._arun(verbs.slots_history(thread_id))

    async def asnapshot_thread(self, thread_id: str) -> str:
        """Every event of a thread in order, one line each: ``{timestamp} {source}:{action} {payload}``."""
        return await self._arun(verbs.snapshot(thread_id))

    async def aevents(
        self,
        *,
        thread_id: str | None = None,
        user_id: str | None = None,
        event_id: str | None = None,
        after_sequence: int | None = None,
        as_of: datetime | str | None = None,
        limit: int = 100,
        after: str | None = None,
        order: Order = "oldest",
    ) -> Page[ChainedEvent]:
        """One page of the audit chain, memory's own notes of its changes (thread ``mnemic.journal``) included."""
        return await self._arun(
            verbs.events(
                thread_id=thread_id,
                user_id=user_id,
                event_id=event_id,
                after_sequence=after_sequence,
                as_of=as_of,
                limit=limit,
                after=after,
                order=order,
            )
        )

    async def athreads(self, *, after: str | None = None) -> Page[str]:
        """One page of the threads that have events."""
        return await self._arun(verbs.names("threads", after))

    async def armt_threads(self, *, after: str | None = None) -> Page[str]:
        """One page of the threads that have slots."""
        return await self._arun(verbs.names("slot_threads", after))

    async def anamespaces(self, *, after: str | None = None) -> Page[str]:
        """One page of the namespaces of the whole memory, for operators; no other call reaches beyond its own."""
        return await self._arun(verbs.names("namespaces", after))

    async def ahistory(self, id: str) -> builtins.list[Revision]:
        """Every revision of a record, newest first."""
        return await self._arun(verbs.history(id))

    async def aconsolidate(
        self,
        user_id: str | None = None,
        *,
        filters: Mapping[str, Any] | None = None,
        near: float | None = None,
        exact: bool = False,
        half_life: float | None = None,
        floor: float | None = None,
        dry_run: bool = False,
    ) -> ConsolidateStats:
        """Merges duplicates and removes what has expired or faded, in one step that can be undone. The same on every backend.

        ``near`` is how alike near duplicates are (0.85 if absent); ``exact`` merges exact duplicates only. With ``half_life``
        (seconds) salience fades, and what falls below ``floor`` goes."""
        return await self._arun(
            verbs.consolidate(
                user_id,
                filters=filters,
                near=near,
                exact=exact,
                half_life=half_life,
                floor=floor,
                dry_run=dry_run,
            )
        )

    async def aundo_consolidation(self, id: str) -> builtins.list[str]:
        """Takes a consolidation back, all of it or none, and answers the ids of the records that are again what they were."""
        return await self._arun(verbs.undo_consolidation(id))

    async def aforget(
        self,
        *,
        ids: Iterable[str] | None = None,
        filters: Mapping[str, Any] | None = None,
        user_id: str | None = None,
        dry_run: bool = False,
    ) -> ForgetReceipt:
        """Removes everywhere what ``ids``, ``filters`` or ``user_id`` name (exactly one of them), so that nothing readable stays.

        ``user_id`` means everything of that user: records, history, events, slots of their threads."""
        return await self._arun(verbs.forget(ids=ids, filters=filters, user_id=user_id, dry_run=dry_run))

    async def health_check(self) -> Health:
        """Asks every part whether it serves: ``{semantic, episodic, working}``, with ``details`` beside. Never an error."""
        return await self._arun(verbs.health())

    async def astats(self) -> dict[str, Any]:
        """What this namespace holds, by count."""
        return await self._arun(verbs.stats())

    async def averify_audit(self) -> dict[str, Any]:
        """Verifies the whole audit chain; ``CorruptedError`` names the first entry that does not hold."""
        return await self._arun(verbs.verify_audit())

    async def averify(self) -> builtins.list[str]:
        """Compares what is stored with its checksums and the indexes with it; answers the faults."""
        return await self._arun(verbs.verify())

    async def adrain(self) -> int:
        """Finishes what is left to do (spooled writes, pending embeddings) and answers how many embeddings it made."""
        return await self._arun(verbs.drain())

    async def areindex(self) -> None:
        """Builds the indexes anew from the ledger."""
        await self._arun(verbs.reindex())

    async def abackup(self, path: str | os.PathLike[str]) -> None:
        """Copies the directory of an embedded memory to a new one, while it is in use."""
        await self._arun(verbs.backup(as_path("path", path)))
