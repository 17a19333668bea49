"""Records of CrewAI in the form in which a memory keeps them, and the filters that find them. Not here: the storage (`__init__`)."""

from __future__ import annotations

import base64
import copy
import json
from array import array
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from crewai.memory.storage.backend import EmbeddingDimensionMismatchError
from crewai.memory.types import MemoryRecord

from mnemic.models import MemoryRecord as StoredRecord

# The text of a record that has nothing but white space, which a memory refuses.
_BLANK = "(blank)"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def one_dimension(records: Iterable[MemoryRecord]) -> int | None:
    found: int | None = None
    for record in records:
        if record.embedding:
            if found is not None and len(record.embedding) != found:
                raise EmbeddingDimensionMismatchError(found, len(record.embedding))
            found = len(record.embedding)
    return found


def has_direction(embedding: list[float] | None) -> bool:
    """Whether an embedding points anywhere; one of zeros is like nothing, and is kept as none."""
    return bool(embedding) and any(component != 0.0 for component in embedding or ())


def kept_embedding(id: str, embedding: list[float] | None) -> StoredRecord:
    data = base64.b64encode(array("f", embedding or ()).tobytes()).decode()
    return StoredRecord(id=id, text=f"embedding of {id}", metadata={"data": data})


def read_embedding(kept: StoredRecord) -> list[float]:
    components = array("f")
    components.frombytes(base64.b64decode(kept.metadata["data"]))
    return components.tolist()


def segments(scope: str) -> list[str]:
    return [segment for segment in scope.split("/") if segment]


def within(scope: str) -> list[str]:
    """The scope and all that it lies in, outermost first."""
    found, path = ["/"], ""
    for segment in segments(scope):
        path = f"{path}/{segment}"
        found.append(path)
    return found


def scopes_below(parent: str, scopes: Iterable[str]) -> list[str]:
    depth = len(segments(parent)) + 1
    return sorted({path[depth] for path in map(within, scopes) if len(path) > depth})


def instant(time: datetime) -> datetime:
    """CrewAI's times have no time zone and are in UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def microseconds(time: datetime) -> int:
    return (instant(time) - _EPOCH) // timedelta(microseconds=1)


def filters_for(
    scope: str | None = None, categories: list[str] | None = None, older_than: datetime | None = None
) -> dict[str, Any]:
    filters: dict[str, Any] = {"metadata.crewai.within": within(scope or "/")[-1]}
    if categories:
        filters["metadata.crewai.categories"] = {"in": categories}
    if older_than is not None:
        filters["metadata.crewai.created"] = {"lt": microseconds(older_than)}
    return filters


def has_metadata(metadata: dict[str, Any], wanted: dict[str, Any] | None) -> bool:
    return all(metadata.get(key) == value for key, value in (wanted or {}).items())


def fields_of(record: StoredRecord) -> dict[str, Any]:
    fields: dict[str, Any] = record.metadata["crewai"]
    return fields


def stored_form(record: MemoryRecord) -> StoredRecord:
    blank = not record.content.strip()
    fields = {
        "scope": record.scope,
        "within": within(record.scope),
        "categories": record.categories,
        "importance": record.importance,
        "created": microseconds(record.created_at),
        "created_at": record.created_at.isoformat(),
        "last_accessed": record.last_accessed.isoformat(),
        "source": record.source,
        "private": record.private,
        **({"content": record.content} if blank else {}),
    }
    # As JSON holds it, which is also how CrewAI's own storages keep it: keys become text, tuples lists.
    values = json.loads(json.dumps(record.metadata, allow_nan=False))
    return StoredRecord(
        id=record.id,
        text=_BLANK if blank else record.content,
        metadata={"crewai": fields, "values": values},
        embedding=record.embedding if has_direction(record.embedding) else None,
    )


def restored(stored: StoredRecord) -> MemoryRecord:
    fields = fields_of(stored)
    return MemoryRecord(
        id=stored.id or "",
        content=fields.get("content", stored.text),
        scope=fields["scope"],
        categories=copy.copy(fields["categories"]),
        metadata=stored.metadata["values"],
        importance=fields["importance"],
        created_at=datetime.fromisoformat(fields["created_at"]),
        last_accessed=datetime.fromisoformat(fields["last_accessed"]),
        source=fields.get("source"),
        private=fields["private"],
    )
