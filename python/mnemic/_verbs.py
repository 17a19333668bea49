"""Every verb as a value: its name, its request as JSON, and how its answer is read. Not here: running it (`manager`).

The asynchronous and the synchronous form of a verb are the same value, run in two ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Generic, Literal, TypeVar

from pydantic import TypeAdapter
from pydantic_core import from_json

from mnemic import _drafts as drafts
from mnemic._drafts import EventLike, RecordLike
from mnemic._json import dumps as _json
from mnemic._json import flag, kind, listed, plain, refuse
from mnemic._times import conditions
from mnemic._times import time as _time
from mnemic.models import (
    AuditEvent,
    ChainedEvent,
    ConsolidateStats,
    ContextBlock,
    ForgetReceipt,
    Health,
    HealthDetail,
    MemoryRecord,
    Mode,
    Retrieval,
    RetrievalQuery,
    Revision,
    Slots,
    Written,
)

T = TypeVar("T")
Order = Literal["oldest", "newest"]
# They travel beside the JSON.
_EMBEDDINGS = {"__all__": {"embedding"}}


@cache
def _list_of(kind: type[T]) -> TypeAdapter[list[T]]:
    """Reads and writes lists of a model; made on first use, since it takes longer than importing all the rest."""
    return TypeAdapter(list[kind])  # type: ignore[valid-type]


@cache
def _records_or_none() -> TypeAdapter[list[MemoryRecord | None]]:
    return TypeAdapter(list[MemoryRecord | None])


@dataclass(frozen=True, slots=True)
class Ask(Generic[T]):
    """A verb, its request, the reading of its answer, and the embeddings that the request brings, as native single precision."""

    verb: str
    request: bytes
    read: Callable[[Any], T]
    vectors: tuple[bytes | None, ...] = ()
    parse: Callable[[Any], Any] = from_json

    def answer(self, answer: Any) -> T:
        """What an answer says: the bytes of one JSON object, or records as they are."""
        return self.read(self.parse(answer))


def _none(_: Any) -> None:
    return None


def _same(answer: Any) -> Any:
    return answer


# Records.


def write(
    records: RecordLike | Iterable[RecordLike], *, idempotency_key: str | None = None, dedupe: bool = False
) -> Ask[Written]:
    if isinstance(records, MemoryRecord | Mapping | str):
        records = [records]
    made = [drafts.record(i, record) for i, record in enumerate(listed("records", records))]
    vectors = drafts.embeddings(made)
    try:
        dumped = _list_of(MemoryRecord).dump_json(
            made, exclude_none=True, exclude_defaults=True, exclude=_EMBEDDINGS if vectors else None
        )
    except ValueError as error:
        for i, draft in enumerate(made):
            plain(f"records[{i}]", draft.model_dump())
        raise refuse("records", "JSON values", f"something else ({error})") from error
    rest = _json({"idempotency_key": idempotency_key, "dedupe": flag("dedupe", dedupe) or None})
    comma = b"" if rest == b"{}" else b","
    request = b'{"records":' + dumped + comma + rest[1:]
    return Ask("write", request, lambda answer: _written(made, answer), vectors)


def _written(given: list[MemoryRecord], answer: dict[str, Any]) -> Written:
    reports = answer["records"]
    stored = answer.get("stored")
    if stored is not None:
        now = _records_or_none().validate_python(stored)
        # One that was removed since an earlier call wrote it is told as it was given.
        records = [found or draft for found, draft in zip(now, given, strict=True)]
    else:
        records = [_filled(draft, report) for draft, report in zip(given, reports, strict=True)]
    return Written(
        records,
        outcomes=[report["outcome"] for report in reports],
        warnings=answer["warnings"],
        replayed=answer["replayed"],
    )


def _filled(draft: MemoryRecord, report: dict[str, Any]) -> MemoryRecord:
    """The draft, which nobody else has, with what the memory filled in."""
    parse = datetime.fromisoformat
    update = {
        "id": report["id"],
        "version": report["version"],
        "created_at": parse(report["created_at"]),
        "updated_at": parse(report["updated_at"]),
        "valid_from": parse(report["valid_from"]),
        "embedding": None,
        "expect_version": None,
    }
    # As `model_copy` does it; another copy of each record would take longer than all the rest of this.
    vars(draft).update(update)
    draft.model_fields_set.update(update)
    return draft


def get(ids: Iterable[str], as_of: datetime | str | None = None) -> Ask[list[MemoryRecord | None]]:
    request = _json({"ids": listed("ids", ids), "as_of": _time("as_of", as_of)})
    return Ask("get", request, _same, (), _same)


def history(id: str) -> Ask[list[Revision]]:
    return Ask("history", _json({"id": id}), lambda answer: _list_of(Revision).validate_python(answer["revisions"]))


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a listing, and where the next one starts."""

    items: list[T]
    next: str | None


def list_records(
    *,
    filters: Mapping[str, Any] | None,
    user_id: str | None,
    as_of: datetime | str | None,
    limit: int,
    after: str | None,
    order: Order,
) -> Ask[Page[MemoryRecord]]:
    request = _json(
        {
            "filter": conditions(filters),
            "user_id": user_id,
            "as_of": _time("as_of", as_of),
            "limit": limit,
            "after": after,
            "order": order,
        }
    )
    return Ask("list", request, lambda page: Page(*page), (), _same)


def retrieve(
    query: str | RetrievalQuery | None,
    user_id: str | None,
    topk: int | None,
    filters: Mapping[str, Any] | None,
    *,
    mode: Mode,
    as_of: datetime | str | None,
    include_hidden: bool,
    embedding: Iterable[float] | None,
) -> Ask[Retrieval]:
    if isinstance(query, RetrievalQuery):
        user_id = user_id if user_id is not None else query.user_id
        topk = topk if topk is not None else query.topk
        filters = filters if filters is not None else query.filters
        as_of = as_of if as_of is not None else query.as_of
        mode = mode if mode != "hybrid" else query.mode
        include_hidden = flag("include_hidden", include_hidden) or query.include_hidden
        query = query.query
    request = _json(
        {
            # An embedding asks by itself.
            "query": "" if query is None and embedding is not None else query,
            "user_id": user_id,
            "limit": topk,
            "filter": conditions(filters),
            "mode": mode,
            "as_of": _time("as_of", as_of),
            "all": flag("include_hidden", include_hidden) or None,
        }
    )
    vectors = () if embedding is None else (drafts.embedding("embedding", embedding),)
    return Ask("retrieve", request, _same, vectors, _same)


# Events.


def _event_json(event: AuditEvent) -> bytes:
    try:
        return event.model_dump_json(exclude_none=True).encode()
    except ValueError as error:
        for name, value in event.model_dump().items():
            plain(name, value)
        raise refuse("event", "JSON values", f"something else ({error})") from error


def log_audit(event: EventLike) -> Ask[AuditEvent]:
    given = drafts.event(event)
    return Ask("log_audit", _event_json(given), lambda _: given)


def write_event(event: EventLike, *, idempotency_key: str | None = None, dedupe: bool = False) -> Ask[Written]:
    for option, given in (("idempotency_key", idempotency_key is not None), ("dedupe", flag("dedupe", dedupe))):
        if given:
            raise refuse(
                option, "nothing beside an event, which its event_id keeps from being written twice", "something"
            )

    def read(answer: dict[str, Any]) -> Written:
        report = answer["report"]
        return Written(
            _list_of(MemoryRecord).validate_python(answer["records"]),
            outcomes=[record["outcome"] for record in report["records"]],
            warnings=report["warnings"],
            replayed=report["replayed"],
        )

    return Ask("write_event", _event_json(drafts.event(event)), read)


def events(
    *,
    thread_id: str | None,
    user_id: str | None,
    event_id: str | None,
    after_sequence: int | None,
    as_of: datetime | str | None,
    limit: int,
    after: str | None,
    order: Order,
) -> Ask[Page[ChainedEvent]]:
    request = _json(
        {
            "thread_id": thread_id,
            "user_id": user_id,
            "event_id": event_id,
            "after_sequence": after_sequence,
            "as_of": _time("as_of", as_of),
            "limit": limit,
            "after": after,
            "order": order,
        }
    )
    return Ask(
        "events",
        request,
        lambda answer: Page(_list_of(ChainedEvent).validate_python(answer["events"]), answer.get("next")),
    )


def snapshot(thread_id: str) -> Ask[str]:
    return Ask("snapshot", _json({"thread_id": thread_id}), lambda answer: str(answer["snapshot"]))


def verify_audit() -> Ask[dict[str, Any]]:
    return Ask("audit_verify", b"{}", dict)


def names(verb: Literal["threads", "slot_threads", "namespaces"], after: str | None) -> Ask[Page[str]]:
    def read(answer: dict[str, Any]) -> Page[str]:
        items = answer["namespaces" if verb == "namespaces" else "threads"]
        return Page([item if isinstance(item, str) else item["thread_id"] for item in items], answer.get("next"))

    return Ask(verb, _json({"limit": 1000, "after": after}), read)


# Slots.


def set_slots(
    thread_id: str, slots: Mapping[str, str | None], *, merge: bool, expect_version: int | None
) -> Ask[Slots]:
    if not isinstance(slots, Mapping):
        raise refuse("slots", "a mapping of names to texts", kind(slots))
    request = _json(
        {
            "thread_id": thread_id,
            "slots": dict(slots),
            "mode": "merge" if flag("merge", merge) else "replace",
            "expect_version": expect_version,
        }
    )
    return Ask("set_slots", request, _slots)


def slots(thread_id: str, as_of: datetime | str | None = None) -> Ask[Slots | None]:
    def read(answer: dict[str, Any]) -> Slots | None:
        found = _slots(answer)
        return found if found else None

    return Ask("slots", _json({"thread_id": thread_id, "as_of": _time("as_of", as_of)}), read)


def _slots(answer: dict[str, Any]) -> Slots:
    return Slots(answer["slots"], version=answer["version"])


def slots_history(thread_id: str) -> Ask[list[Slots]]:
    return Ask(
        "slots_history", _json({"thread_id": thread_id}), lambda answer: [_slots(item) for item in answer["versions"]]
    )


# The rest.


def context(
    thread_id: str,
    query: str | None,
    *,
    budget: int,
    user_id: str | None,
    filters: Mapping[str, Any] | None,
    topk: int | None,
) -> Ask[ContextBlock]:
    request = {
        "thread_id": thread_id,
        "query": query,
        "budget": budget,
        "user_id": user_id,
        "filter": conditions(filters),
        "limit": topk,
    }
    return Ask("context", _json(request), ContextBlock.model_validate)


def consolidate(
    user_id: str | None,
    *,
    filters: Mapping[str, Any] | None,
    near: float | None,
    exact: bool,
    half_life: float | None,
    floor: float | None,
    dry_run: bool,
) -> Ask[ConsolidateStats]:
    request = {
        "user_id": user_id,
        "filter": conditions(filters),
        "near": near,
        "exact": flag("exact", exact) or None,
        "half_life": half_life,
        "floor": floor,
        "dry_run": flag("dry_run", dry_run) or None,
    }
    return Ask("consolidate", _json(request), ConsolidateStats.model_validate)


def undo_consolidation(id: str) -> Ask[list[str]]:
    return Ask("undo_consolidation", _json({"id": id}), lambda answer: list(answer["restored"]))


def forget(
    *, ids: Iterable[str] | None, filters: Mapping[str, Any] | None, user_id: str | None, dry_run: bool
) -> Ask[ForgetReceipt]:
    request = {
        "ids": None if ids is None else listed("ids", ids),
        "filter": conditions(filters),
        "user_id": user_id,
        "dry_run": flag("dry_run", dry_run) or None,
    }
    return Ask("forget", _json(request), ForgetReceipt.model_validate)


def health() -> Ask[Health]:
    def read(answer: dict[str, Any]) -> Health:
        parts = {part: bool(answer[part]) for part in ("semantic", "episodic", "working")}
        return Health(parts, [HealthDetail.model_validate(detail) for detail in answer["details"]])

    return Ask("health", b"{}", read)


def stats() -> Ask[dict[str, Any]]:
    return Ask("stats", b"{}", dict)


def verify() -> Ask[list[str]]:
    return Ask("verify", b"{}", lambda answer: list(answer["faults"]))


def drain() -> Ask[int]:
    return Ask("drain", b"{}", lambda answer: int(answer["embedded"]))


def reindex() -> Ask[None]:
    return Ask("reindex", b"{}", _none)


def backup(path: str) -> Ask[None]:
    return Ask("backup", _json({"path": path}), _none)


def close() -> Ask[None]:
    return Ask("close", b"{}", _none)
