"""How checkpoints lie in records, and reading and writing them. Not here: removing and copying them (`_threads`), what is in them
(`checkpoint`).

A checkpoint is a head without data, its data in pieces, and a pointer for each thread and checkpoint namespace to the latest; all of
it is one write. The writes of a task are one record, named in one of the checkpoint's few lists, so that reading a checkpoint
asks for records by id only, however many there are.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mnemic import _verbs as verbs
from mnemic.exceptions import ConflictError, CorruptedError, InvalidInputError
from mnemic.integrations.langgraph import _blobs as blobs
from mnemic.integrations.langgraph._steps import BATCH, Steps, get_all
from mnemic.models import MemoryRecord

# On every record, and on each sort of them.
SAVER = "langgraph.saver"
HEAD = "langgraph.checkpoint"
POINTER = "langgraph.latest"
LIST = "langgraph.tasks"
WRITES = "langgraph.writes"
PIECE = "langgraph.piece"

# Lists of tasks that a checkpoint has: tasks that end at the same time seldom meet in one.
_LISTS = 8
# How often a change that somebody else overtook is tried anew. Each time somebody else got on, so this ends.
_ATTEMPTS = 200


class Place(NamedTuple):
    """Where a checkpoint belongs."""

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str

    @property
    def head(self) -> str:
        """The id of its head."""
        return "lc-" + blobs.digest(*self)

    @property
    def pointer(self) -> str:
        """The id of the pointer to the latest of its thread and namespace."""
        return "lp-" + blobs.digest(self.thread_id, self.checkpoint_ns)

    @property
    def tags(self) -> list[str]:
        """What all records of the checkpoint carry."""
        return [SAVER, thread_tag(self.thread_id), self.tag]

    @property
    def tag(self) -> str:
        """What only records of the checkpoint carry."""
        return "c:" + blobs.digest(*self)

    @property
    def lists(self) -> list[str]:
        """The ids of its lists of tasks."""
        return [f"{self.head}.l{i}" for i in range(_LISTS)]

    def task(self, task_id: str) -> tuple[str, str]:
        """The ids of a task's writes and of the list that names them."""
        name = blobs.digest(*self, task_id)
        return "lw-" + name, self.lists[int(name, 16) % _LISTS]


def thread_tag(thread_id: str) -> str:
    """What all records of a thread carry."""
    return "t:" + blobs.digest(thread_id)


def namespace_tag(thread_id: str, checkpoint_ns: str) -> str:
    """What the heads of a thread and checkpoint namespace carry."""
    return "n:" + blobs.digest(thread_id, checkpoint_ns)


def run_tag(run_id: str) -> str:
    """What the heads of a run's checkpoints carry."""
    return "r:" + blobs.digest(run_id)


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a checkpoint, read."""

    place: Place
    parent: str | None
    record: MemoryRecord

    @classmethod
    def of(cls, record: MemoryRecord) -> Head:
        """Reads a head."""
        try:
            return cls(Place(*json.loads(record.metadata["place"])), record.metadata.get("parent"), record)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptedError(f"checkpoint {record.id}: expected its head, found {error!r}") from error


@dataclass(frozen=True, slots=True)
class Stored:
    """A checkpoint, read whole: its parts, and each task's writes."""

    head: Head
    parts: list[Typed]
    writes: list[Write]


# A serialized value and how it was serialized.
Typed = tuple[str, bytes]


class Write(NamedTuple):
    """One pending write of a task."""

    task_path: str
    task_id: str
    idx: int
    channel: str
    value: Typed


def pack(header: Any, parts: Sequence[Typed]) -> bytes:
    """Several serialized values as one, with a header beside them."""
    shape = [[kind, len(data)] for kind, data in parts]
    return json.dumps([header, shape]).encode() + b"\n" + b"".join(data for _, data in parts)


def unpack(payload: bytes) -> tuple[Any, list[Typed]]:
    """The header and the values of which `pack` made the payload."""
    first, _, data = payload.partition(b"\n")
    header, shape = json.loads(first)
    parts: list[Typed] = []
    start = 0
    for kind, length in shape:
        parts.append((kind, data[start : start + length]))
        start += length
    return header, parts


def blob(
    hidden: blobs.Hidden,
    id: str,
    payload: bytes,
    metadata: Mapping[str, Any],
    tags: tuple[Sequence[str], Sequence[str]],
    *,
    inline: bool,
    expect_version: int | None = None,
) -> list[MemoryRecord]:
    """A record and the pieces that hold its payload; with ``inline`` a short payload lies in the record itself.

    ``tags`` are those of all of them and those of the record alone."""
    shared, own = list(tags[0]), list(tags[1])
    pieces, mark = blobs.split(payload), secrets.token_hex(8)
    if len(pieces) >= BATCH - 2:
        found = f"{len(payload)} bytes, packed {len(pieces) * blobs.PIECE_BYTES}"
        most = (BATCH - 3) * blobs.PIECE_BYTES
        raise InvalidInputError(f"checkpoint: expected at most {most} bytes packed, found {found}", field="checkpoint")
    held: dict[str, Any] = {**metadata, "mark": mark, "pieces": len(pieces)}
    if inline and len(pieces) == 1:
        held |= {"data": pieces[0], "pieces": 0}
        pieces = []
    made = [hidden.record(id, held, tags=shared + own, expect_version=expect_version)]
    for i, piece in enumerate(pieces):
        made.append(hidden.record(f"{id}.p{i}", {"mark": mark, "data": piece}, tags=[*shared, PIECE]))
    return made


def payloads(records: Mapping[str, MemoryRecord], known: Mapping[str, MemoryRecord]) -> Steps[dict[str, bytes]]:
    """The payloads of records, by id; one that is replaced meanwhile is the new one, one that is removed is left out.

    ``known`` are pieces that were read already."""
    found: dict[str, bytes] = {}
    waiting, pieces = dict(records), dict(known)
    for _ in range(_ATTEMPTS):
        missing = [id for record in waiting.values() for id in _pieces(record) if id not in pieces]
        if missing:
            read = yield from get_all(missing)
            pieces.update(read)
        overtaken = []
        for id, record in waiting.items():
            payload = _payload(record, pieces)
            if payload is None:
                overtaken.append(id)
            else:
                found[id] = payload
        if not overtaken:
            return found
        waiting, pieces = (yield from get_all(overtaken)), {}
    raise ConflictError("checkpoint: expected to read it whole, found it replaced again and again", retryable=True)


def _pieces(record: MemoryRecord) -> list[str]:
    return [f"{record.id}.p{i}" for i in range(record.metadata["pieces"])]


def _payload(record: MemoryRecord, pieces: Mapping[str, MemoryRecord]) -> bytes | None:
    if "data" in record.metadata:
        return blobs.joined([record.metadata["data"]])
    data = []
    for id in _pieces(record):
        piece = pieces.get(id)
        if piece is None or piece.metadata["mark"] != record.metadata["mark"]:
            return None
        data.append(piece.metadata["data"])
    return blobs.joined(data)


def latest(place: Place) -> Steps[str | None]:
    """The latest checkpoint of the place's thread and namespace."""
    found = yield from get_all([place.pointer])
    pointer = found.get(place.pointer)
    return None if pointer is None else str(pointer.metadata["latest"])


def put(hidden: blobs.Hidden, place: Place, parent: str | None, payload: bytes, run_id: str | None) -> Steps[None]:
    """Keeps a checkpoint, all of it or nothing, and points to it if it is the latest."""
    runs = [] if run_id is None else [run_tag(run_id)]
    own = [HEAD, namespace_tag(place.thread_id, place.checkpoint_ns), *runs]
    metadata: dict[str, Any] = {"place": json.dumps(place)}
    if parent is not None:
        metadata["parent"] = parent
    if run_id is not None:
        metadata["run_id"] = run_id
    records = blob(hidden, place.head, payload, metadata, (place.tags, own), inline=False)

    def change(stored: Mapping[str, MemoryRecord]) -> list[MemoryRecord]:
        pointer = stored.get(place.pointer)
        if pointer is not None and pointer.metadata["latest"] >= place.checkpoint_id:
            return records
        return [*records, pointing(hidden, place, pointer)]

    yield from replaced([place.pointer], change)


def pointing(hidden: blobs.Hidden, place: Place, before: MemoryRecord | None) -> MemoryRecord:
    """The pointer to a checkpoint, in place of the one before."""
    return hidden.record(
        place.pointer,
        {"place": json.dumps(place[:2]), "latest": place.checkpoint_id},
        tags=[SAVER, POINTER, thread_tag(place.thread_id)],
        expect_version=0 if before is None else before.version,
    )


def put_writes(hidden: blobs.Hidden, place: Place, task_id: str, writes: Sequence[Write]) -> Steps[None]:
    """Adds a task's writes: of two with one index, the first stays where it is a regular one, else the second."""
    id, listing = place.task(task_id)
    for _ in range(_ATTEMPTS):
        stored = yield from get_all([id, listing])
        before, names = stored.get(id), stored.get(listing)
        merged: dict[int, Write] = {}
        if before is not None:
            read = yield from payloads({id: before}, {})
            if id not in read:
                continue
            merged = {write.idx: write for write in writes_of(read[id])}
        for write in writes:
            if write.idx < 0 or write.idx not in merged:
                merged[write.idx] = write
        records = blob(
            hidden,
            id,
            _packed_writes(list(merged.values())),
            {},
            (place.tags, [WRITES]),
            inline=True,
            expect_version=0 if before is None else before.version,
        )
        tasks = [] if names is None else list(names.metadata["tasks"])
        if id not in tasks:
            version = 0 if names is None else names.version
            record = hidden.record(listing, {"tasks": [*tasks, id]}, tags=[*place.tags, LIST], expect_version=version)
            records.append(record)
        try:
            yield verbs.write(records)
        except ConflictError:
            continue
        return
    raise ConflictError(f"task {task_id}: expected to add its writes, found others changing them", retryable=True)


def replaced(ids: Sequence[str], change: Callable[[Mapping[str, MemoryRecord]], list[MemoryRecord]]) -> Steps[None]:
    """Writes what `change` makes of the stored records, anew as often as somebody else changes them in between."""
    for _ in range(_ATTEMPTS):
        stored = yield from get_all(ids)
        records = change(stored)
        if not records:
            return
        try:
            yield verbs.write(records)
        except ConflictError:
            continue
        return
    raise ConflictError("checkpoint: expected to write it, found others changing the same thread", retryable=True)


def _packed_writes(writes: Sequence[Write]) -> bytes:
    header = [[write.task_path, write.task_id, write.idx, write.channel] for write in writes]
    return pack(header, [write.value for write in writes])


def writes_of(payload: bytes) -> list[Write]:
    """The writes of a task."""
    header, values = unpack(payload)
    return [
        Write(task_path, task_id, idx, channel, value)
        for (task_path, task_id, idx, channel), value in zip(header, values, strict=True)
    ]


def read(places: Sequence[Place]) -> Steps[list[Stored]]:
    """The checkpoints that there are, whole, in the order of the places."""
    ids = [id for place in places for id in (place.head, f"{place.head}.p0", *place.lists)]
    records = yield from get_all(ids)
    heads = {place.head: records[place.head] for place in places if place.head in records}
    data = yield from payloads(heads, records)
    lists = {place.head: [records[id] for id in place.lists if id in records] for place in places}
    tasks = {head: [id for names in found for id in names.metadata["tasks"]] for head, found in lists.items()}
    task_records = yield from get_all([id for head in data for id in tasks[head]])
    written = yield from payloads(task_records, {})
    stored: list[Stored] = []
    for place in places:
        if place.head not in data:
            continue
        writes = [write for id in tasks[place.head] if id in written for write in writes_of(written[id])]
        # What `writes_sort_key` of the framework says: the order in which a run applies them.
        writes.sort(key=lambda write: (write.task_path, write.task_id, write.idx))
        stored.append(Stored(Head.of(heads[place.head]), unpack(data[place.head])[1], writes))
    return stored
