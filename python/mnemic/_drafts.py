"""What callers give to be kept, as models that are checked: records, events, embeddings. Not here: the verbs (`_verbs`)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mnemic import _times as times
from mnemic._json import kind, plain, refuse
from mnemic.exceptions import InvalidInputError
from mnemic.models import AuditEvent, MemoryRecord, Provenance, RetrievedRecord

Model = TypeVar("Model", bound=BaseModel)
RecordLike = MemoryRecord | Mapping[str, Any] | str
EventLike = AuditEvent | Mapping[str, Any]


def record(position: int, given: RecordLike) -> MemoryRecord:
    """A copy of what a caller gives (a record, its fields, or only its text) as it will be read back."""
    field = f"records[{position}]"
    made = _as_record(field, given)
    for name in times.FIELDS:
        times.time(f"{field}.{name}", getattr(made, name))
    update: dict[str, Any] = {}
    if made.metadata:
        update["metadata"] = plain(f"{field}.metadata", made.metadata)
    if made.tags:
        update["tags"] = _as_set(made.tags)
    if isinstance(made.provenance, Provenance):
        sets = {"events": _as_set(made.provenance.events), "records": _as_set(made.provenance.records)}
        update["provenance"] = made.provenance.model_copy(update=sets) if any(sets.values()) else None
    return made.model_copy(update=update)


def _as_set(labels: Any) -> Any:
    """As the engine keeps sets of texts: each once, in the order of their characters. What is none is left for it to refuse."""
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        return labels
    return sorted(set(labels))


def _as_record(field: str, given: RecordLike) -> MemoryRecord:
    if isinstance(given, RetrievedRecord):
        borrowed = given.stored_confidence is None and given.confidence == given.likeness()
        return given.model_copy(update={"confidence": None}) if borrowed else given
    if isinstance(given, MemoryRecord):
        return given
    if isinstance(given, str):
        return MemoryRecord(text=given)
    if isinstance(given, Mapping):
        return _validated(MemoryRecord, "a record", field, given)
    raise refuse("records", "records, mappings or texts", kind(given))


def event(given: EventLike) -> AuditEvent:
    """An event from what callers give: an event or its fields."""
    if isinstance(given, Mapping):
        given = _validated(AuditEvent, "an event", "", given)
    if not isinstance(given, AuditEvent):
        raise refuse("event", "an AuditEvent or a mapping", kind(given))
    times.time("timestamp", given.timestamp)
    return given.model_copy(update={"payload": plain("payload", given.payload)}) if given.payload else given


def _validated(model: type[Model], what: str, field: str, given: Mapping[str, Any]) -> Model:
    """The model from its fields. Who makes a model himself sees what pydantic says; here the fault is told by its place."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise _refused(field, what, first["loc"], first["type"], first["msg"], first["input"]) from error


def _place(field: str, location: Iterable[int | str]) -> str:
    for part in location:
        at = f"[{part}]" if isinstance(part, int) else f".{part}" if field else part
        field = f"{field}{at}"
    return field


def _refused(
    field: str, what: str, location: tuple[int | str, ...], fault: str, said: str, given: object
) -> InvalidInputError:
    if location[-1:] == ("[key]",):
        return refuse(_place(field, location[:-2]), "text for each key", f"the key {given!r:.100}")
    field = _place(field, location)
    if fault == "missing":
        return refuse(field, "a value", "nothing")
    if fault in ("extra_forbidden", "invalid_key"):
        return refuse(field, f"a field of {what}", "another name")
    found = f"{given!r:.100}" if given is None or isinstance(given, str | int | float) else kind(given)
    return refuse(field, said.removeprefix("Input should be "), found)


def embeddings(records: list[MemoryRecord]) -> tuple[bytes | None, ...]:
    """What embeddings the records bring; empty where none does."""
    if all(one.embedding is None for one in records):
        return ()
    return tuple(
        None if one.embedding is None else embedding(f"records[{i}].embedding", one.embedding)
        for i, one in enumerate(records)
    )


def embedding(field: str, components: Iterable[float]) -> bytes:
    """The components as native single-precision numbers, which the engine takes much faster than text."""
    if isinstance(components, str | bytes):
        raise refuse(field, "a list of numbers", kind(components))
    try:
        return array("f", components).tobytes()
    except (TypeError, ValueError, OverflowError) as error:
        raise refuse(field, "a list of numbers", f"something else ({error})") from error
