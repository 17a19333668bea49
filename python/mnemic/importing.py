"""Takes over what the replaced system held in its process: records, events and slots of its in-memory stores. Not here: files and
databases of other systems, which the command line imports (``mnemic import``).
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import inspect
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError

from mnemic.exceptions import ConflictError, InvalidInputError
from mnemic.manager import MemoryManager
from mnemic.models import AuditEvent, MemoryRecord

__all__ = ["Imported", "Skipped", "aimport_seed", "import_seed"]

Model = TypeVar("Model", MemoryRecord, AuditEvent)

# Records of one write.
_BATCH = 1000
_KINDS = {"semantic", "episodic", "persona", "open_loop"}
_RECORD = set(MemoryRecord.model_fields) | {"kind", "decay_at"}
_EVENT = set(AuditEvent.model_fields)
# What a memory makes anew, or what belongs to one search.
_DROPPED = {
    "embedding",
    "vector",
    "version",
    "expect_version",
    "score",
    "similarity",
    "stored_confidence",
    "explanation",
}
# The stores of the replaced manager, by the names that its versions gave them.
_SEMANTIC = ("semantic", "semantic_store", "semantic_memory")
_EPISODIC = ("episodic", "episodic_store", "episodic_memory")
_WORKING = ("working", "working_store", "working_memory", "rmt", "rmt_store", "rmt_buffers")


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was not taken over, and why."""

    what: str
    """``record``, ``event`` or ``slots``."""
    which: str
    """Its id or thread, or its place among the others, from 1."""
    reason: str


@dataclass(slots=True)
class Imported:
    """What an import did."""

    records: int = 0
    """Records that were new or said something else."""
    events: int = 0
    """Events that were appended or there already."""
    slots: int = 0
    """Threads whose slots were set."""
    unchanged: int = 0
    """Records and threads that the memory held already."""
    skipped: list[Skipped] = field(default_factory=list)


def import_seed(old_manager: Any, memory: MemoryManager) -> Imported:
    """The same as :func:`aimport_seed`, for programs without a loop, or beside a loop that runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(aimport_seed(old_manager, memory))
    results: list[Imported] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(asyncio.run(aimport_seed(old_manager, memory)))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


async def aimport_seed(old_manager: Any, memory: MemoryManager) -> Imported:
    """Takes over everything that a manager of the replaced system holds in its process.

    Its stores are read as they are: by ``aall`` or ``all`` where they have it, else by the lists and dictionaries in them; a store
    may also be a list or a dictionary itself. Times without a zone are in UTC. Fields that no record has go into its metadata.
    Embeddings are made anew. Doing it again changes nothing, and takes what came since.

    :param old_manager: the manager, or an object or mapping with ``semantic``, ``episodic`` and ``working``.
    :param memory: where everything goes.
    :raises InvalidInputError: none of the three stores is found.
    """
    stores = {name: _store(old_manager, names) for name, names in _STORES}
    if all(store is None for store in stores.values()):
        found = type(old_manager).__name__
        raise InvalidInputError(
            f"old_manager: expected stores called semantic, episodic or working, found none in {found}",
            field="old_manager",
        )
    done = Imported()
    # Events come first, so that the records that came from them can name them.
    await _events(memory, _flat(await _contents(stores["episodic"], "payload")), done)
    await _records(memory, _flat(await _contents(stores["semantic"], "text")), done)
    await _slots(memory, await _contents(stores["working"], None), done)
    if done.records or done.slots:
        counts = {"records": done.records, "events": done.events, "slots": done.slots, "skipped": len(done.skipped)}
        event = AuditEvent(thread_id="import", source="import", action="seed.imported", payload=counts)
        await memory.alog_audit(event)
    return done


_STORES = (("semantic", _SEMANTIC), ("episodic", _EPISODIC), ("working", _WORKING))


def _store(manager: Any, names: Iterable[str]) -> Any:
    """A store by one of its names, public or not."""
    for name in names:
        for spelled in (name, f"_{name}"):
            if isinstance(manager, Mapping) and spelled in manager:
                return manager[spelled]
            if not isinstance(manager, Mapping):
                found = getattr(manager, spelled, None)
                if found is not None:
                    return found
    return None


async def _contents(store: Any, mark: str | None) -> Any:
    """The lists or dictionaries of a store. ``mark`` is a field that what is looked for has."""
    if store is None or isinstance(store, Mapping | list | tuple | set | frozenset):
        return store if store is not None else []
    for name in ("aall", "all"):
        method = getattr(store, name, None)
        if callable(method) and _needs_nothing(method):
            answer = method()
            return await answer if inspect.isawaitable(answer) else answer
    inside = [held for held in _attributes(store).values() if isinstance(held, Mapping | list) and held]
    if mark is None:
        return next((held for held in inside if isinstance(held, Mapping)), {})
    return next((held for held in inside if any(mark in _fields(one) for one in _flat(held))), [])


def _needs_nothing(method: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):
        return False
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(one.default is not inspect.Parameter.empty or one.kind in optional for one in parameters)


def _attributes(thing: Any) -> dict[str, Any]:
    held = dict(getattr(thing, "__dict__", {}))
    for kind in type(thing).__mro__:
        slots = getattr(kind, "__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(thing, name):
                held.setdefault(name, getattr(thing, name))
    return held


def _flat(held: Any) -> Iterator[Any]:
    """What a list, or a dictionary of things or of lists of them, holds."""
    values = held.values() if isinstance(held, Mapping) and not _is_one(held) else held
    if isinstance(values, Mapping):
        yield values
        return
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def _is_one(held: Mapping[Any, Any]) -> bool:
    return isinstance(held.get("text"), str) or isinstance(held.get("action"), str)


def _fields(thing: Any) -> dict[str, Any]:
    """What a record or an event says, whatever it is made of."""
    if isinstance(thing, BaseModel):
        return thing.model_dump()
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        return {one.name: getattr(thing, one.name) for one in dataclasses.fields(thing)}
    if isinstance(thing, Mapping):
        return {str(key): value for key, value in thing.items()}
    return _attributes(thing)


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, datetime):
        return _aware(value).isoformat()
    if isinstance(value, date | UUID):
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(one) for one in value), key=str)
    said = _fields(value)
    return {key: _plain(one) for key, one in said.items()} if said else str(value)


def _aware(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _made_id(said: Mapping[str, Any]) -> str:
    mark = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    return f"seed-{mark[:32]}"


def _can_be_id(id: str) -> bool:
    return id.isprintable() and len(id.encode("utf-8", "replace")) <= 255


def _said(thing: Any) -> dict[str, Any]:
    said = {key: _plain(value) for key, value in _fields(thing).items() if not key.startswith("_")}
    return {key: value for key, value in said.items() if value is not None and key not in _DROPPED}


def _times(said: dict[str, Any], names: Iterable[str]) -> None:
    """Gives times as text the zone that they leave out."""
    for name in names:
        if isinstance(said.get(name), str):
            said[name] = _aware(datetime.fromisoformat(said[name]))


def _record(thing: Any) -> MemoryRecord:
    said = _said(thing)
    metadata = dict(said.pop("metadata", None) or {})
    kind = said.pop("kind", None) or said.get("type")
    said["type"] = kind if kind in _KINDS else "semantic"
    if kind not in _KINDS and kind is not None:
        metadata.setdefault("type", kind)
    for name in [name for name in said if name not in _RECORD]:
        metadata.setdefault(name, said.pop(name))
    for name in ("id", "user_id", "thread_id"):
        if name in said:
            said[name] = str(said[name])
    theirs = said.get("id")
    if not theirs or not _can_be_id(theirs):
        said["id"] = _made_id({"id": theirs} if theirs else {**said, "metadata": metadata})
    _times(said, ("created_at", "updated_at", "valid_from", "valid_to", "expires_at", "decay_at"))
    metadata.setdefault("imported_from", {"system": "seed", **({"id": theirs} if theirs else {})})
    return MemoryRecord.model_validate({**said, "metadata": metadata})


def _event(thing: Any) -> AuditEvent:
    said = _said(thing)
    for other in ("id", "uuid"):
        if "event_id" not in said and other in said:
            said["event_id"] = str(said.pop(other))
    payload = said.pop("payload", None) or {}
    payload = dict(payload) if isinstance(payload, dict) else {"payload": payload}
    for name in [name for name in said if name not in _EVENT]:
        payload.setdefault(name, said.pop(name))
    said["payload"] = payload
    said.setdefault("thread_id", "seed")
    said.setdefault("source", "seed")
    for name in ("event_id", "user_id", "thread_id"):
        if name in said:
            said[name] = str(said[name])
    if not said.get("event_id") or not _can_be_id(said["event_id"]):
        said["event_id"] = _made_id(said)
    _times(said, ("timestamp",))
    if "timestamp" not in said:
        raise ValueError("timestamp: expected the time that it happened at, found none")
    return AuditEvent.model_validate(said)


def _read(make: Callable[[Any], Model], what: str, things: Iterable[Any], done: Imported) -> Iterator[Model]:
    for number, thing in enumerate(things, start=1):
        try:
            yield make(thing)
        except (ValidationError, ValueError, TypeError, RecursionError) as error:
            said = _fields(thing)
            which = str(said.get("id") or said.get("event_id") or number)
            done.skipped.append(Skipped(what, which, _reason(error)))


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))
    return str(error)


async def _events(memory: MemoryManager, things: Iterable[Any], done: Imported) -> None:
    for event in _read(_event, "event", things, done):
        try:
            await memory.alog_audit(event)
        except (InvalidInputError, ConflictError) as error:
            done.skipped.append(Skipped("event", event.event_id, str(error)))
        else:
            done.events += 1


async def _records(memory: MemoryManager, things: Iterable[Any], done: Imported) -> None:
    batch: dict[str, MemoryRecord] = {}
    for record in _read(_record, "record", things, done):
        id = str(record.id)
        if id in batch and batch[id] != record:
            done.skipped.append(
                Skipped("record", id, "id: expected one that occurs once, found another record with it before")
            )
            continue
        batch[id] = record
        if len(batch) == _BATCH:
            await _write(memory, batch, done)
            batch = {}
    await _write(memory, batch, done)


async def _write(memory: MemoryManager, batch: Mapping[str, MemoryRecord], done: Imported) -> None:
    if not batch:
        return
    stored = await memory.aget(list(batch))
    changed = []
    for record, held in zip(batch.values(), stored, strict=True):
        if held is not None and _same(record, held):
            done.unchanged += 1
        else:
            changed.append(record)
    try:
        await memory.awrite(changed)
        done.records += len(changed)
    except InvalidInputError:
        # One of them cannot be kept; alone each says why.
        for record in changed:
            try:
                await memory.awrite([record])
                done.records += 1
            except InvalidInputError as error:
                done.skipped.append(Skipped("record", str(record.id), str(error)))


def _same(said: MemoryRecord, held: MemoryRecord) -> bool:
    """Whether a memory holds what the old one says. What that leaves open counts as said."""
    names = said.model_fields_set - {"version"}
    return all(_comparable(getattr(said, name)) == _comparable(getattr(held, name)) for name in names)


def _comparable(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else value


async def _slots(memory: MemoryManager, held: Any, done: Imported) -> None:
    for number, (thread, slots) in enumerate(_threads(held), start=1):
        which = thread if thread else str(number)
        if not isinstance(slots, Mapping):
            done.skipped.append(Skipped("slots", which, f"slots: expected a mapping, found {type(slots).__name__}"))
            continue
        texts = {str(name): _text(text) for name, text in slots.items() if text is not None}
        try:
            before = await memory.aget_rmt(thread)
            if before is not None and dict(before) == texts:
                done.unchanged += 1
                continue
            await memory.aset_rmt(thread, texts)
            done.slots += 1
        except InvalidInputError as error:
            done.skipped.append(Skipped("slots", which, str(error)))


def _threads(held: Any) -> Iterator[tuple[str, Any]]:
    """Threads and their slots: a dictionary of dictionaries, or things that name their thread."""
    if isinstance(held, Mapping):
        for thread, slots in held.items():
            said = (
                slots if isinstance(slots, Mapping) else _fields(slots) if not isinstance(slots, list | str) else slots
            )
            inner = said.get("slots", said) if isinstance(said, Mapping) else said
            yield str(thread), inner
        return
    for thing in held:
        said = _fields(thing)
        yield str(said.get("thread_id", "")), said.get("slots", said.get("buffers"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(_plain(value), ensure_ascii=False, sort_keys=True)
