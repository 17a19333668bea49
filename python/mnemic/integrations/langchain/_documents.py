"""Documents as records, records as documents, LangChain's filters as the memory's. Not here: searching (`_vector_store`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.documents import Document

from mnemic.exceptions import InvalidInputError
from mnemic.models import MemoryRecord, RetrievedRecord

SOURCE = "langchain"
"""The ``source`` of records that are documents, by which :meth:`MnemicVectorStore.delete` knows its own."""

_LEFT_OUT = {"text", "confidence", "stored_confidence", "explanation", "embedding", "expect_version"}


def _check_json(field: str, value: object) -> None:
    """Refuses what JSON cannot hold, so that what is read is what was written."""
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                found = f"{type(key).__name__} {key!r}"
                raise InvalidInputError(f"{field}: expected texts as keys, found {found}", field="metadata")
            _check_json(f"{field}.{key}", item)
        return
    if isinstance(value, list | tuple):
        for position, item in enumerate(value):
            _check_json(f"{field}[{position}]", item)
        return
    found = str(value) if isinstance(value, float) else type(value).__name__
    raise InvalidInputError(f"{field}: expected JSON values, found {found}", field="metadata")


def as_records(documents: Sequence[Document], ids: Sequence[str | None] | None) -> list[MemoryRecord]:
    """A record for each document. Its id is the one in ``ids``, else the document's, else a new one."""
    if ids is not None and len(ids) != len(documents):
        message = f"ids: expected one for each of {len(documents)} documents, found {len(ids)}"
        raise InvalidInputError(message, field="ids")
    chosen = [document.id for document in documents] if ids is None else ids
    records = []
    for position, (document, id) in enumerate(zip(documents, chosen, strict=True)):
        _check_json(f"documents[{position}].metadata", document.metadata)
        made = str(uuid4()) if id is None else id
        records.append(
            MemoryRecord(id=made, text=document.page_content, metadata=document.metadata, source=SOURCE),
        )
    return records


def as_document(record: MemoryRecord) -> Document:
    """The document that a record was made of: its text, metadata and id, and nothing of the memory's own."""
    return Document(id=record.id, page_content=record.text, metadata=record.metadata)


def as_hit(record: RetrievedRecord) -> Document:
    """A record that was found, with what the memory knows of it as metadata; its own metadata is under ``metadata``."""
    known = record.model_dump(mode="json", exclude=_LEFT_OUT, exclude_none=True)
    if record.stored_confidence is not None:
        known["confidence"] = record.stored_confidence
    return Document(id=record.id, page_content=record.text, metadata=known)


def _condition(key: str, value: Any) -> dict[str, Any]:
    name = key if key.startswith("metadata.") else f"metadata.{key}"
    if not isinstance(value, Mapping) or "$between" not in value:
        return {name: value}
    bounds = value["$between"]
    if not isinstance(bounds, list | tuple) or len(bounds) != 2:
        raise InvalidInputError(f"filter: expected two bounds for $between of {key}, found {bounds!r}", field="filter")
    rest = {operator: operand for operator, operand in value.items() if operator != "$between"}
    between = {name: {"gte": bounds[0], "lte": bounds[1]}}
    return {"and": [between, {name: rest}]} if rest else between


def _translated(given: object) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        message = f"filter: expected a mapping of metadata keys to values, found {type(given).__name__}"
        raise InvalidInputError(message, field="filter")
    conditions: list[dict[str, Any]] = []
    for key, value in given.items():
        if key in ("$and", "$or"):
            if not isinstance(value, list | tuple):
                found = type(value).__name__
                raise InvalidInputError(f"filter: expected a list under {key}, found {found}", field="filter")
            conditions.append({key[1:]: [_translated(part) for part in value]})
        elif key == "$not":
            conditions.append({"not": _translated(value)})
        elif not isinstance(key, str) or key.startswith("$"):
            message = f"filter: expected $and, $or, $not or a metadata key, found {key!r}"
            raise InvalidInputError(message, field="filter")
        else:
            conditions.append(_condition(key, value))
    return conditions[0] if len(conditions) == 1 else {"and": conditions}


def whole_filter(filter: Mapping[str, Any] | None, filters: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """LangChain's ``filter``, whose keys are metadata's, and the memory's own ``filters``; where both are given, both must hold."""
    given = [dict(filters)] if filters else []
    if filter is not None:
        given.append(_translated(filter))
    return {"and": given} if len(given) > 1 else next(iter(given), None)
