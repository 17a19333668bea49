"""Files on records: one record that counts, a listing of names, and the parts of each file. Not here: the commands (`_commands`).

The counting record (the root) holds numbers only: the next free one, where the listing is, what is still to be removed. The listing
and every file are texts in parts, one record each, under a number that is never used twice. A change is one write of all the
records that it touches and expects the root's version, so that it happens whole or not at all. A change that takes a name away
writes the listing under a new number and forgets the old one, so that no history remembers the name.

What is done here is a plan: a generator that asks (or pauses) and is sent the answers, so that one text serves both kinds of client.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

from mnemic import _verbs as verbs
from mnemic._verbs import Ask
from mnemic.exceptions import ConflictError, CorruptedError, InvalidInputError
from mnemic.models import MemoryRecord, Revision

T = TypeVar("T")
Plan: TypeAlias = Generator[Ask[Any] | float, Any, T]

# Characters in one part: what an embedder reads at once, and below the 256 KiB of a record's text however they are encoded.
_PART = 16_000
# Records in one call.
_BATCH = 1000
# Each conflict means that somebody else's change succeeded, so this many in a row are a fault and not contention.
_ATTEMPTS = 1000
_LONG_AGO = datetime(1970, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Blob:
    """A text in parts: its number, its bytes, its parts now and at most ever, and which change wrote it."""

    number: int
    size: int
    parts: int
    most: int
    revision: int

    def dump(self) -> list[int]:
        return [self.number, self.size, self.parts, self.most, self.revision]


Entries: TypeAlias = Mapping[str, Blob | None]


@dataclass(frozen=True, slots=True)
class State:
    """The root and the listing: paths without ``/memories/``, each a file or, with ``None``, a directory."""

    version: int = 0
    next: int = 0
    listing: Blob | None = None
    # The numbers that are still to be removed, and how many parts each had.
    gone: tuple[tuple[int, int], ...] = ()
    entries: Entries = field(default_factory=dict)

    def is_directory(self, path: str) -> bool:
        return path == "" or (path in self.entries and self.entries[path] is None)

    def exists(self, path: str) -> bool:
        return path == "" or path in self.entries

    def below(self, path: str) -> list[str]:
        """A path and everything under it."""
        return [name for name in self.entries if not path or name == path or name.startswith(f"{path}/")]


@dataclass(frozen=True, slots=True)
class Change:
    """What a command does: the listing after it, the text of one of its files, and what it says."""

    entries: dict[str, Blob | None]
    answer: str
    written: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class FileRevision:
    """What a file was from ``at`` on."""

    at: datetime
    text: str


class Files:
    """The files of one person, or of nobody in particular, in whatever namespace the plans are carried out."""

    def __init__(self, user_id: str | None) -> None:
        self._user_id = user_id
        digest = hashlib.sha256(json.dumps(user_id).encode()).hexdigest()
        self._root_id = f"files.{digest}"

    def load(self) -> Plan[State]:
        """What is there now."""
        for attempt in range(_ATTEMPTS):
            state = yield from self._load_root()
            if state.listing is None:
                return state
            text = yield from self.read(state.listing)
            if text is not None:
                entries = {path: None if blob is None else Blob(*blob) for path, blob in json.loads(text).items()}
                return replace(state, entries=entries)
            yield from self._unchanged_is_damage(state, "the listing")
            yield _pause(attempt)
        raise ConflictError(
            f"files: expected to read the listing within {_ATTEMPTS} attempts, found a change each time"
        )

    def read(self, blob: Blob) -> Plan[str | None]:
        """A text; ``None`` if it was changed or removed meanwhile."""
        bodies: list[str] = []
        for start in range(0, blob.parts, _BATCH):
            ids = [self._part_id(blob.number, part) for part in range(start, min(start + _BATCH, blob.parts))]
            records: list[MemoryRecord | None] = yield verbs.get(ids)
            for record in records:
                if record is None or record.metadata["revision"] != blob.revision:
                    return None
                bodies.append(_body(record))
        return "".join(bodies)

    def text(self, state: State, blob: Blob) -> Plan[str]:
        """A file's text as of a state; ``ConflictError`` if it is another one by now."""
        found = yield from self.read(blob)
        if found is None:
            yield from self._unchanged_is_damage(state, f"file {blob.number}")
            raise ConflictError(f"files: expected file {blob.number} as it was listed, found a change")
        return found

    def looked_at(self, look: Callable[[State], Plan[T]]) -> Plan[T]:
        """What ``look`` makes of the state, again if files change while it reads."""
        for attempt in range(_ATTEMPTS):
            state = yield from self.load()
            try:
                return (yield from look(state))
            except ConflictError:
                yield _pause(attempt)
        raise ConflictError(f"files: expected to read within {_ATTEMPTS} attempts, found a change each time")

    def change(self, decide: Callable[[State], Plan[Change]]) -> Plan[str]:
        """Does what ``decide`` makes of the state, again on the new state if somebody else was faster."""
        for attempt in range(_ATTEMPTS):
            state = yield from self.load()
            try:
                change = yield from decide(state)
                leaves = yield from self._commit(state, change)
            except ConflictError:
                yield _pause(attempt)
                continue
            if leaves:
                yield from self._sweep()
            return change.answer
        raise ConflictError(f"files: expected to change a file within {_ATTEMPTS} attempts, found a conflict each time")

    def revisions(self, blob: Blob) -> Plan[list[FileRevision]]:
        """Every revision of a text, newest first."""
        found: dict[int, list[tuple[datetime, MemoryRecord]]] = {}
        for part in range(blob.most):
            history: list[Revision] = yield verbs.history(self._part_id(blob.number, part))
            for revision in history:
                if revision.record is not None and "parts" in revision.record.metadata:
                    found.setdefault(revision.record.metadata["revision"], []).append((revision.at, revision.record))
        return [
            FileRevision(at=parts[0][0], text="".join(_body(record) for _, record in parts))
            for _, parts in sorted(found.items(), reverse=True)
            if len(parts) == parts[0][1].metadata["parts"]
        ]

    def _load_root(self) -> Plan[State]:
        records: list[MemoryRecord | None] = yield verbs.get([self._root_id])
        record = records[0]
        if record is None:
            return State()
        try:
            root = json.loads(_body(record))
            gone = tuple((int(number), int(most)) for number, most in root["gone"])
            return State(record.version, int(root["next"]), Blob(*root["listing"]), gone)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptedError(
                f"files: expected a root with next, listing and gone, found {record.text[:80]!r}"
            ) from error

    def _unchanged_is_damage(self, state: State, what: str) -> Plan[None]:
        """Something was not as it was listed: either a change since, or a record that somebody else removed."""
        now = yield from self._load_root()
        if now.version == state.version:
            raise CorruptedError(
                f"files: expected every part of {what}, found that one is missing or of another revision"
            )

    def _commit(self, state: State, change: Change) -> Plan[bool]:
        """Writes a change whole, and answers whether something is left to be removed."""
        revision, following, records = state.version + 1, state.next, list[MemoryRecord]()
        entries = dict(change.entries)
        if change.written is not None:
            path, text = change.written
            blob, records = self._write(entries.get(path) or _fresh(following), text, revision)
            following, entries[path] = max(following, blob.number + 1), blob
        loses_names = any(path not in entries for path in state.entries)
        fresh = state.listing is None or loses_names
        base = _fresh(following) if state.listing is None or loses_names else state.listing
        names = json.dumps({path: blob and blob.dump() for path, blob in entries.items()}, ensure_ascii=False)
        listing, parts = self._write(base, names, revision)
        kept = {blob.number for blob in entries.values() if blob is not None} | {listing.number}
        before = [*state.entries.values(), state.listing]
        lost = [(blob.number, blob.most) for blob in before if blob is not None and blob.number not in kept]
        after = State(next=following + fresh, listing=listing, gone=(*state.gone, *lost))
        records = [self._root(after, state.version), *parts, *records]
        if len(records) > _BATCH:
            limit = f"at most about {_PART * (_BATCH - len(parts) - 1)} characters in a file"
            raise InvalidInputError(f"file: expected {limit}, found {len(records)} records", field="file")
        yield verbs.write(records)
        return bool(after.gone)

    def _sweep(self) -> Plan[None]:
        """Forgets what no name leads to. What an interrupted call left over, the next change removes."""
        state = yield from self._load_root()
        ids = [self._part_id(number, part) for number, most in state.gone for part in range(most)]
        for start in range(0, len(ids), _BATCH):
            yield verbs.forget(ids=ids[start : start + _BATCH], filters=None, user_id=None, dry_run=False)
        try:
            yield verbs.write([self._root(replace(state, gone=()), state.version)])
        except ConflictError:
            return

    def _root(self, state: State, expect_version: int) -> MemoryRecord:
        listing = state.listing.dump() if state.listing is not None else None
        body = json.dumps({"next": state.next, "listing": listing, "gone": state.gone}, separators=(",", ":"))
        return self._record(self._root_id, body, {}).model_copy(update={"expect_version": expect_version})

    def _write(self, old: Blob, text: str, revision: int) -> tuple[Blob, list[MemoryRecord]]:
        """A text under an old one's number, and the records that make it so."""
        texts = [text[start : start + _PART] for start in range(0, len(text), _PART)] or [""]
        records = []
        for part, body in enumerate(texts):
            metadata = {"file": old.number, "part": part, "parts": len(texts), "revision": revision}
            # No backend holds a null character; JSON has an escape for it.
            raw = "\0" not in body
            records.append(
                self._record(
                    self._part_id(old.number, part),
                    body if raw else json.dumps(body, ensure_ascii=False),
                    metadata if raw else {**metadata, "encoding": "json"},
                )
            )
        for part in range(len(texts), old.parts):
            # No part of the text any more, and kept for its history only.
            empty = self._record(self._part_id(old.number, part), "", {"file": old.number, "revision": revision})
            records.append(empty.model_copy(update={"expires_at": _LONG_AGO}))
        blob = Blob(old.number, len(text.encode()), len(texts), max(old.most, len(texts)), revision)
        return blob, records

    def _record(self, id: str, body: str, metadata: dict[str, Any]) -> MemoryRecord:
        # The id in front keeps consolidation from taking two equal texts for one: texts that differ in a number never are. And a
        # text of white space is one.
        return MemoryRecord(
            id=id,
            text=f"{id}\n{body}",
            source="assistant",
            user_id=self._user_id,
            tags=["anthropic-memory"],
            metadata=metadata,
        )

    def _part_id(self, number: int, part: int) -> str:
        return f"{self._root_id}.{number}.{part}"


def _fresh(number: int) -> Blob:
    return Blob(number=number, size=0, parts=0, most=0, revision=0)


def _body(record: MemoryRecord) -> str:
    body = record.text.partition("\n")[2]
    return str(json.loads(body)) if record.metadata.get("encoding") == "json" else body


def _pause(attempt: int) -> float:
    return random.uniform(0.0, min(0.05, 0.001 * (attempt + 1)))
