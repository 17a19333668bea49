"""Changing items: putting, deleting, renewing what was read, removing what has expired. Not here: how an item lies in records
(`_items`).

Every change of an item is one write that expects the head as it was read, so that of two that meet the second sees the first.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal

from mnemic import _verbs as verbs
from mnemic.exceptions import ConflictError, InvalidInputError
from mnemic.integrations.langgraph import _blobs as blobs
from mnemic.integrations.langgraph._items import STORE, Draft, Entry, blank, ends, parts_of, utc_now
from mnemic.integrations.langgraph._reads import Found, entries
from mnemic.integrations.langgraph._steps import BATCH, Steps, expired_ids, forget_all, get_all
from mnemic.models import MemoryRecord

Deletion = Literal["forget", "hide"]
# How often a write that somebody else overtook is tried anew before it no longer asks what was there.
_ATTEMPTS = 8
# The part of its time to live that an item must have lost before reading it renews it: bounds how often reading writes.
_RENEWAL = 0.01


def apply(changes: Mapping[str, Draft | None], hidden: blobs.Hidden, deletion: Deletion) -> Steps[None]:
    """Puts items (or, for ``None``, deletes the item with this id): all of them or none, up to 1,000 records."""
    if not changes:
        return
    gone = [id for id, draft in changes.items() if draft is None]
    removed: list[str] = []
    if gone:
        heads = yield from entries(gone)
        removed = [id for entry in heads.values() for id in (entry.id, *parts_of(entry))]
    changing = {id: draft for id, draft in changes.items() if draft is not None or id in removed}
    # Deletions alone need no write before the forgetting; together with puts they become visible in the same moment.
    if deletion == "hide" or any(draft is not None for draft in changing.values()):
        for part in _portions(changing):
            yield from _write(part, hidden)
    if deletion == "forget" and removed:
        yield from forget_all(removed)


def _portions(changes: Mapping[str, Draft | None]) -> Iterator[dict[str, Draft | None]]:
    """Changes of at most so many items that their heads can be read in one call."""
    ids = list(changes)
    for start in range(0, len(ids), BATCH):
        yield {id: changes[id] for id in ids[start : start + BATCH]}


def _write(changes: Mapping[str, Draft | None], hidden: blobs.Hidden) -> Steps[None]:
    mark, unexpected = secrets.token_hex(8), False
    for attempt in range(_ATTEMPTS):
        now = utc_now()
        heads = yield from entries(changes)
        groups = _groups(changes, heads, hidden, mark, now)
        if attempt == _ATTEMPTS - 1 or unexpected:
            # An expired head cannot be read, so there is nothing to expect; and under endless overtaking the last one wins.
            groups = [[record.model_copy(update={"expect_version": None}) for record in group] for group in groups]
        try:
            for group in groups:
                yield verbs.write(group)
        except ConflictError:
            if attempt == _ATTEMPTS - 1:
                raise
            unexpected = attempt > 0 and any(id not in heads for id in changes)
            continue
        return


def _groups(
    changes: Mapping[str, Draft | None],
    heads: Mapping[str, Entry],
    hidden: blobs.Hidden,
    mark: str,
    now: datetime,
) -> list[list[MemoryRecord]]:
    """The records to write, in as few calls as possible, every item whole in one of them."""
    groups: list[list[MemoryRecord]] = [[]]
    for id, draft in changes.items():
        before = heads.get(id)
        if draft is not None:
            records = draft.records(before, hidden, mark, now)
        elif before is not None:
            records = [blank(one, hidden, now) for one in (id, *parts_of(before))]
        else:
            continue
        if len(records) > BATCH:
            key = draft.key if draft is not None else id
            raise InvalidInputError(
                f"item {key!r}: expected at most {BATCH} records for its value, its texts and those of its predecessor, "
                f"found {len(records)}",
                field="value",
            )
        head = records[0]
        records[0] = head.model_copy(update={"expect_version": 0 if before is None else before.version})
        if len(groups[-1]) + len(records) > BATCH:
            groups.append([])
        groups[-1].extend(records)
    return [group for group in groups if group]


def renew(found: Sequence[Found], hidden: blobs.Hidden) -> Steps[None]:
    """Begins the time to live of items anew. Renewing gives way to every other change."""
    now = utc_now()
    unique = {one.entry.id: one.entry for one in found}
    due = [entry for entry in unique.values() if _is_due(entry, now)]
    for entry in due:
        records = yield from _renewed(entry, hidden, now)
        try:
            yield verbs.write(records)
        except ConflictError:
            continue


def _is_due(entry: Entry, now: datetime) -> bool:
    if entry.ttl is None or entry.expires_at is None:
        return False
    later, _ = ends(entry.ttl, now)
    return later - entry.expires_at > (later - now) * _RENEWAL


def _renewed(entry: Entry, hidden: blobs.Hidden, now: datetime) -> Steps[list[MemoryRecord]]:
    """The head with a later end, and its pieces and texts where theirs would come before it."""
    later, until = ends(entry.ttl or 0.0, now)
    metadata = dict(entry.record.metadata)
    parts: list[MemoryRecord] = []
    if entry.parts_until is None or entry.parts_until < later:
        metadata["parts_until"] = until.isoformat()
        records = yield from get_all(parts_of(entry))
        for record in records.values():
            if record.superseded_by is None:
                parts.append(record.model_copy(update={"expires_at": until}))
            else:
                parts.append(hidden.record(str(record.id), record.metadata, tags=record.tags, expires_at=until))
    head = hidden.record(
        entry.id,
        metadata,
        tags=entry.record.tags,
        path=entry.record.path,
        expires_at=later,
        expect_version=entry.version,
    )
    return [head, *parts]


def sweep() -> Steps[int]:
    """Removes for good what has expired or was hidden, and answers how many records that were."""
    ids = yield from expired_ids({"tags": [STORE]})
    yield from forget_all(ids)
    return len(ids)
