"""The steps of the case workflow, each a function of the state. Not here: their order (`workflow_graph`), the prompts (`prompts`)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypedDict
from uuid import NAMESPACE_OID, uuid5

from mnemic import AuditEvent, ConflictError, MemoryManager, MemoryRecord, Provenance

from ..model import Model
from ..prompts import Fact, ask_for_facts, ask_for_summary, read_facts
from .state import INTERNAL, CaseState, Remembered, case_thread

_ATTEMPTS = 3
_RECALLED = 6
_LOOPS = 50
_LINES = 12
_STANDING = {"superseded_by": {"exists": False}}


class Learned(TypedDict):
    """What ``reflect`` adds to the state."""

    learned: list[Remembered]


class Recalled(TypedDict):
    """What ``retrieve`` adds to the state."""

    recalled: list[Remembered]


class Updated(TypedDict):
    """What ``update_slots`` adds to the state."""

    slots: dict[str, str]
    slots_version: int


class CaseSteps:
    """Log event → reflect → retrieve → update slots, on the memory of one client.

    Every step may be repeated: an event is logged once, it is reflected once, and slots are set on the version that was read.
    """

    def __init__(self, memory: MemoryManager, model: Model) -> None:
        self._memory = memory
        self._model = model

    async def log_event(self, state: CaseState) -> dict[str, Any]:
        """Appends the message to the audit log of its case."""
        event = AuditEvent(
            event_id=state["event_id"],
            timestamp=datetime.fromisoformat(state["occurred_at"]),
            user_id=state["user_id"],
            thread_id=case_thread(state["case_id"]),
            source=state["source"],
            action="message",
            payload={"text": state["text"], "case_id": state["case_id"]},
        )
        await self._memory.alog_audit(event)
        return {}

    async def reflect(self, state: CaseState) -> Learned:
        """Lets the model decide which facts the message holds, keeps them with their provenance, and closes the loops they settle."""
        known = await self._memory.alist(filters={"metadata.event_id": state["event_id"]}, limit=1000)
        if known.items:
            return {"learned": [_remembered(record) for record in known.items]}
        for attempt in range(1, _ATTEMPTS + 1):
            loops = await self._open_loops(state)
            question = ask_for_facts(state["text"], [loop.text for loop in loops])
            facts = read_facts(await self._model.acomplete(question), len(loops))
            records = [_record(state, position, fact) for position, fact in enumerate(facts)]
            if not records:
                return {"learned": []}
            try:
                # One call, so that a loop is never closed by a fact that was not kept.
                await self._memory.awrite([*records, *_closed(loops, facts, records)])
            except ConflictError:
                # Somebody else closed a loop in between: the model decides again on what is open now.
                if attempt == _ATTEMPTS:
                    raise
            else:
                return {"learned": [_remembered(record) for record in records]}
        raise AssertionError("every attempt answers or raises")

    async def retrieve(self, state: CaseState) -> Recalled:
        """Finds what was known of the case before and is about the message."""
        filters = {
            "and": [
                {"metadata.case_id": state["case_id"]},
                {"kind": {"in": ["semantic", "episodic"]}},
                {"not": {"tags": [INTERNAL]}},
                {"not": {"metadata.event_id": state["event_id"]}},
            ]
        }
        found = await self._memory.aretrieve(state["text"], state["user_id"], _RECALLED, filters)
        return {"recalled": [_remembered(record) for record in found]}

    async def update_slots(self, state: CaseState) -> Updated:
        """Sets the case's slots: persona, long-term facts, open loops and a summary that the model carries on."""
        thread = case_thread(state["case_id"])
        for attempt in range(1, _ATTEMPTS + 1):
            before = await self._memory.aget_rmt(thread)
            version = before.version if before is not None else 0
            previous = before.get("recent_summary", "") if before is not None else ""
            facts = [fact["text"] for fact in state["learned"] if fact["kind"] == "semantic"]
            slots = {
                "persona": _lines(record.text for record in await self._persona(state)),
                "long_term_facts": _lines([*facts, *(record["text"] for record in state["recalled"])]),
                "open_loops": _lines(record.text for record in await self._open_loops(state)),
                "recent_summary": (await self._model.acomplete(ask_for_summary(previous, state["text"]))).strip(),
            }
            try:
                now = await self._memory.aset_rmt(thread, slots, merge=True, expect_version=version)
            except ConflictError:
                # Another message was worked on at the same time: its summary is the one to carry on.
                if attempt == _ATTEMPTS:
                    raise
            else:
                return {"slots": dict(now), "slots_version": now.version}
        raise AssertionError("every attempt answers or raises")

    async def _open_loops(self, state: CaseState) -> list[MemoryRecord]:
        filters = {"kind": "open_loop", "metadata.case_id": state["case_id"], **_STANDING}
        return await self._newest(state, filters, _LOOPS)

    async def _persona(self, state: CaseState) -> list[MemoryRecord]:
        return await self._newest(state, {"kind": "persona", **_STANDING}, _LINES)

    async def _newest(self, state: CaseState, filters: dict[str, Any], limit: int) -> list[MemoryRecord]:
        page = await self._memory.alist(filters=filters, user_id=state["user_id"], limit=limit, order="newest")
        return page.items


def _record(state: CaseState, position: int, fact: Fact) -> MemoryRecord:
    return MemoryRecord(
        # Derived from the event, so that a step that is repeated after a crash writes the same records.
        id=str(uuid5(NAMESPACE_OID, f"{state['event_id']}/{position}")),
        user_id=state["user_id"],
        thread_id=case_thread(state["case_id"]),
        type=fact.kind,
        text=fact.text,
        tags=["fact"],
        metadata={"case_id": state["case_id"], "event_id": state["event_id"]},
        source=state["source"],
        provenance=Provenance(events=[state["event_id"]]),
    )


def _closed(loops: list[MemoryRecord], facts: list[Fact], records: list[MemoryRecord]) -> list[MemoryRecord]:
    """The loops that facts settle, each pointing to the first fact that settles it."""
    closed: dict[int, MemoryRecord] = {}
    for fact, record in zip(facts, records, strict=True):
        for number in fact.closes:
            loop = loops[number - 1]
            update = {"superseded_by": record.id, "expect_version": loop.version, "updated_at": None}
            closed.setdefault(number, loop.model_copy(update=update))
    return list(closed.values())


def _remembered(record: MemoryRecord) -> Remembered:
    return Remembered(id=record.id or "", kind=record.type, text=record.text)


def _lines(texts: Iterable[str]) -> str:
    """The texts as lines, each once and at most so many that a prompt stays short."""
    return "\n".join(list(dict.fromkeys(" ".join(text.split()) for text in texts))[:_LINES])
