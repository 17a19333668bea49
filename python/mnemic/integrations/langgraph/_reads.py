"""Reading items: by key, by search, and the namespaces that they are in. Not here: how an item lies in records (`_items`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from langgraph.store.base import ListNamespacesOp, MatchCondition, SearchOp

from mnemic import _verbs as verbs
from mnemic.exceptions import ConflictError, InvalidInputError
from mnemic.integrations.langgraph import _blobs as blobs
from mnemic.integrations.langgraph import _filters as filters
from mnemic.integrations.langgraph._items import HEAD, TEXT, Entry, Namespace, decoded, piece_ids
from mnemic.integrations.langgraph._steps import BATCH, Steps, get_all, list_all
from mnemic.models import MemoryRecord, Retrieval, RetrievedRecord

Mode = Literal["hybrid", "dense", "lexical"]
# How often an item that is replaced while it is read is read again.
_ATTEMPTS = 20


class Found(NamedTuple):
    """An item, and how well it fits the query of a search."""

    entry: Entry
    value: dict[str, Any]
    score: float | None = None


def entries(ids: Iterable[str]) -> Steps[dict[str, Entry]]:
    """The heads that there are, by id."""
    records = yield from get_all(list(ids))
    return {id: Entry.of(record) for id, record in records.items()}


def load(heads: Sequence[Entry]) -> Steps[dict[str, Found]]:
    """The items of these heads, with their values; an item that is replaced meanwhile is the new one."""
    found: dict[str, Found] = {}
    waiting = list(heads)
    for _ in range(_ATTEMPTS):
        ids = [id for entry in waiting for id in piece_ids(entry.id, entry.pieces)]
        pieces: dict[str, MemoryRecord] = {}
        if ids:
            pieces = yield from get_all(ids)
        overtaken: list[str] = []
        for entry in waiting:
            text = _value_text(entry, pieces)
            if text is None:
                overtaken.append(entry.id)
            else:
                found[entry.id] = Found(entry, decoded(text))
        if not overtaken:
            return found
        again = yield from entries(overtaken)
        waiting = list(again.values())
    places = ", ".join(repr(entry.key) for entry in waiting)
    raise ConflictError(
        f"items {places}: expected to read them whole, found them replaced again and again", retryable=True
    )


def _value_text(entry: Entry, pieces: Mapping[str, MemoryRecord]) -> str | None:
    if entry.value is not None:
        return entry.value
    data: list[str] = []
    for id in piece_ids(entry.id, entry.pieces):
        piece = pieces.get(id)
        if piece is None or piece.metadata.get("mark") != entry.mark:
            return None
        data.append(piece.metadata["data"])
    return blobs.joined(data).decode()


def search(op: SearchOp, mode: Mode, *, offset_limit: tuple[int, int]) -> Steps[list[Found]]:
    """The items of one search, best first; without a query, those written last first."""
    offset, limit = offset_limit
    end = offset + limit
    if limit == 0:
        return []
    scored: list[Found] = []
    if op.query is not None and op.query.strip():
        scored = yield from _about(op, mode, end)
    if len(scored) < end:
        known = {one.entry.id for one in scored}
        rest = yield from _listed(op, end - len(scored), known)
        scored.extend(rest)
    return scored[offset:end]


def _conditions(op: SearchOp, tag: str) -> dict[str, Any]:
    scope = {"tags": [tag, filters.scope(op.namespace_prefix)]}
    pushed = filters.pushed(op.filter)
    return {"and": [scope, *pushed]} if pushed else scope


def _listed(op: SearchOp, wanted: int, without: set[str]) -> Steps[list[Found]]:
    """Items without regard to the query, those written last first."""
    records = yield from list_all(_conditions(op, HEAD))
    heads = [
        entry for entry in map(Entry.of, records) if entry.id not in without and _below(entry, op.namespace_prefix)
    ]
    heads.sort(key=lambda entry: (entry.namespace, entry.key))
    heads.sort(key=lambda entry: entry.updated_at, reverse=True)
    if not op.filter:
        found = yield from load(heads[:wanted])
        return [found[entry.id] for entry in heads[:wanted] if entry.id in found]
    kept: list[Found] = []
    # Values in pieces are read as far as they are needed.
    for start in range(0, len(heads), BATCH):
        part = heads[start : start + BATCH]
        found = yield from load(part)
        held = (found[entry.id] for entry in part if entry.id in found)
        kept.extend(one for one in held if filters.matches(op.filter, one.value))
        if len(kept) >= wanted:
            break
    return kept[:wanted]


def _below(entry: Entry, prefix: Sequence[str]) -> bool:
    return entry.namespace[: len(prefix)] == tuple(prefix)


def _about(op: SearchOp, mode: Mode, wanted: int) -> Steps[list[Found]]:
    """The items that retrieval found, best first, each with the score of its best text."""
    topk = min(BATCH, max(2 * wanted, 32))
    while True:
        hits: Retrieval = yield verbs.retrieve(
            op.query,
            None,
            topk,
            _conditions(op, TEXT),
            mode=mode,
            as_of=None,
            include_hidden=False,
            embedding=None,
        )
        found = yield from _items_of(hits, op, mode)
        if len(found) >= wanted or len(hits) < topk or topk == BATCH:
            return found
        topk = min(BATCH, 4 * topk)


def _items_of(hits: Retrieval, op: SearchOp, mode: Mode) -> Steps[list[Found]]:
    best: dict[str, tuple[float, str]] = {}
    for hit in _in_order(hits, mode):
        best.setdefault(str(hit.metadata.get("item")), (_score(hit, mode), str(hit.metadata.get("mark"))))
    heads = yield from entries(best)
    # A text of an item that was replaced says nothing about what is there now.
    current = [
        heads[id]
        for id, (_, mark) in best.items()
        if id in heads and heads[id].mark == mark and _below(heads[id], op.namespace_prefix)
    ]
    loaded = yield from load(current)
    return [
        one._replace(score=best[entry.id][0])
        for entry in current
        if (one := loaded.get(entry.id)) is not None and filters.matches(op.filter, one.value)
    ]


def _in_order(hits: Retrieval, mode: Mode) -> list[RetrievedRecord]:
    """The hits by score. Retrieval puts what repeats a better hit behind all others, but two keys may well say the same; only a
    reranker's order is kept."""
    if any(hit.explanation.rerank is not None for hit in hits):
        return list(hits)
    return sorted(hits, key=lambda hit: _score(hit, mode), reverse=True)


def _score(hit: RetrievedRecord, mode: Mode) -> float:
    return hit.similarity if mode == "dense" and hit.similarity is not None else hit.score


def namespaces(op: ListNamespacesOp) -> Steps[list[Namespace]]:
    """The namespaces that hold items, in order."""
    check_window(op.limit, op.offset)
    conditions = op.match_conditions or ()
    records = yield from list_all({"tags": [HEAD, filters.scope(_literal_prefix(conditions))]})
    held = {Entry.of(record).namespace for record in records}
    matching = {namespace for namespace in held if all(_matches(condition, namespace) for condition in conditions)}
    if op.max_depth is not None:
        matching = {namespace[: op.max_depth] for namespace in matching}
    return sorted(matching)[op.offset : op.offset + op.limit]


def _literal_prefix(conditions: Sequence[MatchCondition]) -> list[str]:
    """The longest prefix without a wildcard that every match has."""
    longest: list[str] = []
    for condition in conditions:
        if condition.match_type not in ("prefix", "suffix"):
            raise InvalidInputError(
                f"match_type: expected prefix or suffix, found {condition.match_type!r}", field="match_type"
            )
        if condition.match_type == "prefix":
            path = list(condition.path)
            literal = path[: path.index("*")] if "*" in path else path
            longest = max(longest, literal, key=len)
    return longest


def _matches(condition: MatchCondition, namespace: Namespace) -> bool:
    path = tuple(condition.path)
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(expected in ("*", label) for label, expected in zip(part, path, strict=True))


def check_window(limit: int, offset: int) -> tuple[int, int]:
    """Refuses a negative limit or offset, of which other stores make different things."""
    for name, value in (("limit", limit), ("offset", offset)):
        if value < 0:
            raise InvalidInputError(f"{name}: expected a number from 0, found {value}", field=name)
    return offset, limit
