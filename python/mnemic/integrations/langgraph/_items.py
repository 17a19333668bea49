"""How an item of the store lies in records. Not here: reading and writing them (`_reads`, `_writes`).

An item is one hidden record, the head, with its value as JSON; pieces of the value where it is too long for one record; and one
record for each text to be found by, which has its own id as its user. All are written in one call. Pieces and texts carry the mark of
the head that they were written with, so that what an interrupted or overtaken write leaves behind is never taken for the item's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mnemic.exceptions import CorruptedError, InvalidInputError
from mnemic.integrations.langgraph import _blobs as blobs
from mnemic.integrations.langgraph._filters import fields_of, scopes
from mnemic.models import MemoryRecord

# On every record of the store, and on each of the three sorts.
STORE = "langgraph.store"
HEAD = "langgraph.item"
TEXT = "langgraph.text"
PIECE = "langgraph.piece"

# Bytes of a value's JSON, as metadata counts them, that still lie in the head.
_INLINE_BYTES = 24_000
# Bytes of a namespace and a key together.
_PLACE_BYTES = 8_000
# Bytes of one text to be found by; a longer one becomes several.
_TEXT_BYTES = 200_000
# Minutes of a time to live that still end within the calendar: a thousand years.
_FOREVER = 1000.0 * 365 * 24 * 60
# Containers within containers; what is deeper could be written and not be read again.
_DEPTH = 250

Namespace = tuple[str, ...]


def item_id(namespace: Sequence[str], key: str) -> str:
    """The id of an item's head."""
    return "lg-" + blobs.digest(*namespace, key)


def piece_ids(head: str, count: int) -> list[str]:
    """The ids of the pieces of a long value."""
    return [f"{head}.p{i}" for i in range(count)]


def text_ids(head: str, count: int) -> list[str]:
    """The ids of the records that an item is found by."""
    return [f"{head}.t{i}" for i in range(count)]


@dataclass(frozen=True, slots=True)
class Entry:
    """The head of an item, read."""

    id: str
    version: int
    namespace: Namespace
    key: str
    created_at: datetime
    updated_at: datetime
    mark: str
    value: str | None
    """The value's JSON, unless it lies in pieces."""
    pieces: int
    texts: int
    ttl: float | None
    expires_at: datetime | None
    parts_until: datetime | None
    """When pieces and texts expire: later than the head, so that not every reading renews them too."""
    record: MemoryRecord

    @classmethod
    def of(cls, record: MemoryRecord) -> Entry:
        """Reads a head."""
        held = record.metadata
        try:
            namespace, key = json.loads(held["place"])
            until = held.get("parts_until")
            return cls(
                id=str(record.id),
                version=record.version,
                namespace=tuple(namespace),
                key=key,
                created_at=datetime.fromisoformat(held["created_at"]),
                updated_at=datetime.fromisoformat(held["updated_at"]),
                mark=held["mark"],
                value=held.get("value"),
                pieces=held["pieces"],
                texts=held["texts"],
                ttl=held.get("ttl"),
                expires_at=record.expires_at,
                parts_until=None if until is None else datetime.fromisoformat(until),
                record=record,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptedError(f"item {record.id}: expected a head of the store, found {error!r}") from error


@dataclass(frozen=True, slots=True)
class Draft:
    """An item to be written."""

    namespace: Namespace
    key: str
    value: Mapping[str, Any]
    texts: list[str]
    ttl: float | None

    @property
    def id(self) -> str:
        """The id of its head."""
        return item_id(self.namespace, self.key)

    def records(self, before: Entry | None, hidden: blobs.Hidden, mark: str, now: datetime) -> list[MemoryRecord]:
        """Every record of the item, and blanks for those that it had before and no longer needs."""
        written = encoded(self.value)
        inline = len(json.dumps(written, ensure_ascii=False).encode()) <= _INLINE_BYTES
        pieces = [] if inline else blobs.split(written.encode())
        texts = [part for text in self.texts for part in _findable(text)]
        expires_at, parts_until = (None, None) if self.ttl is None else ends(self.ttl, now)
        metadata: dict[str, Any] = {
            "place": _place(self.namespace, self.key),
            "created_at": (now if before is None else before.created_at).isoformat(),
            "updated_at": now.isoformat(),
            "mark": mark,
            "pieces": len(pieces),
            "texts": len(texts),
            **fields_of(self.value),
        }
        if inline:
            metadata["value"] = written
        if self.ttl is not None and parts_until is not None:
            metadata |= {"ttl": min(self.ttl, _FOREVER), "parts_until": parts_until.isoformat()}
        within = scopes(self.namespace)
        path = _path(self.namespace)
        head = hidden.record(self.id, metadata, tags=[STORE, HEAD, *within], path=path, expires_at=expires_at)
        made = [head]
        for id, piece in zip(piece_ids(self.id, len(pieces)), pieces, strict=True):
            held = {"item": self.id, "mark": mark, "data": piece}
            made.append(hidden.record(id, held, tags=[STORE, PIECE], expires_at=parts_until))
        for id, text in zip(text_ids(self.id, len(texts)), texts, strict=True):
            made.append(
                MemoryRecord(
                    id=id,
                    # Whose it is: its own. Consolidation merges only what is the same user's, and two items may say the same. An id
                    # within the text, as elsewhere, would move its embedding, and with it the scores.
                    user_id=id,
                    text=text,
                    path=path,
                    tags=[STORE, TEXT, *within],
                    metadata={"item": self.id, "mark": mark, **_shown_key(self.key), **fields_of(self.value)},
                    source="langgraph",
                    expires_at=parts_until,
                )
            )
        if before is not None:
            made.extend(blank(id, hidden, now) for id in parts_of(before) if id not in {one.id for one in made})
        return made


def parts_of(entry: Entry) -> list[str]:
    """The ids of an item's pieces and texts."""
    return piece_ids(entry.id, entry.pieces) + text_ids(entry.id, entry.texts)


def blank(id: str, hidden: blobs.Hidden, now: datetime) -> MemoryRecord:
    """What replaces a record that is no longer needed, in the same write as the rest: hidden at once, removed by a sweep."""
    return hidden.record(id, {}, tags=[STORE], expires_at=now)


def check_ttl(ttl: float | None) -> float | None:
    """A time to live in minutes, or nothing; refused if it is no number."""
    if ttl is not None and (isinstance(ttl, bool) or not isinstance(ttl, int | float) or ttl != ttl):
        raise InvalidInputError(f"ttl: expected minutes, found {ttl!r}", field="ttl")
    return ttl


def ends(ttl: float, now: datetime) -> tuple[datetime, datetime]:
    """When an item expires and when, later, its pieces and texts do. What would outlive the calendar ends with it."""
    minutes = float(min(max(ttl, 0.0), _FOREVER))
    return now + timedelta(minutes=minutes), now + timedelta(minutes=2 * minutes)


def _place(namespace: Namespace, key: str) -> str:
    place = json.dumps([list(namespace), key])
    if len(place) > _PLACE_BYTES:
        found = f"{len(place)} bytes"
        raise InvalidInputError(
            f"key: expected at most {_PLACE_BYTES} bytes of namespace and key together, found {found}", field="key"
        )
    return place


def encoded(value: Mapping[str, Any]) -> str:
    """A value's JSON, from which `decoded` makes the same value."""
    _check_shape(value)
    try:
        text = json.dumps(value if isinstance(value, dict) else dict(value), ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"value: expected JSON values, found something else ({error})", field="value"
        ) from error
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair has no bytes of its own, but an escape.
        return json.dumps(json.loads(text), separators=(",", ":"))
    return text


def decoded(text: str) -> dict[str, Any]:
    """The value of which `encoded` made the text."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise CorruptedError(f"value: expected JSON, found something else ({error})") from error
    return dict(value)


def _check_shape(value: Any) -> None:
    """Refuses what JSON would change silently or could not give back."""
    level: list[Any] = [value]
    for _ in range(_DEPTH):
        below: list[Any] = []
        for held in level:
            if isinstance(held, Mapping):
                for key in held:
                    if not isinstance(key, str):
                        found = type(key).__name__
                        raise InvalidInputError(f"value: expected texts as keys, found {found}", field="value")
                below.extend(held.values())
            elif isinstance(held, list | tuple):
                below.extend(held)
        if not below:
            return
        level = below
    raise InvalidInputError(f"value: expected nesting of at most {_DEPTH}, found deeper nesting", field="value")


def _findable(text: str) -> list[str]:
    """A text as a record's text: without what none may have, in parts where it is too long for one, none if it is blank."""
    clean = text.replace("\0", " ").encode("utf-8", "replace").decode()
    if len(clean.encode()) <= _TEXT_BYTES:
        return [clean] if clean.strip() else []
    # Four bytes are the most that a character takes.
    length = _TEXT_BYTES // 4
    parts = (clean[start : start + length] for start in range(0, len(clean), length))
    return [part for part in parts if part.strip()]


def _path(namespace: Namespace) -> list[str]:
    """The namespace as a record's path, for readers other than the store; left out where it does not fit."""
    return list(namespace) if len(namespace) <= 16 and all(map(_is_label, namespace)) else []


def _shown_key(key: str) -> dict[str, str]:
    return {"key": key} if _is_label(key) else {}


def _is_label(text: str) -> bool:
    if not text.isprintable():
        return False
    return 0 < len(text.encode("utf-8", "replace")) <= 255


def utc_now() -> datetime:
    """The time, as items are stamped with."""
    return datetime.now(UTC)
