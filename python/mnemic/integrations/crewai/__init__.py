"""Storage for the memory of CrewAI. Not here: embeddings and scores that mix in recency and importance, which CrewAI makes itself.

    memory = Memory(storage=MnemicStorage("./memory"), llm=..., embedder=...)

or, once at the start of a program, ``register()``, and then ``Memory(storage="mnemic:///var/lib/agents/memory?namespace=research")``.
"""

from __future__ import annotations

import asyncio
import builtins
import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from crewai.memory.storage.backend import EmbeddingDimensionMismatchError, StorageBackend
from crewai.memory.storage.factory import set_memory_storage_factory
from crewai.memory.types import MemoryRecord, ScopeInfo

from mnemic.exceptions import InvalidInputError
from mnemic.integrations.crewai._records import (
    fields_of,
    filters_for,
    has_direction,
    has_metadata,
    instant,
    kept_embedding,
    one_dimension,
    read_embedding,
    restored,
    scopes_below,
    stored_form,
)
from mnemic.manager import (
    MemoryManager,
    create_dev_memory_manager,
    create_embedded_memory_manager,
    create_memory_manager,
)
from mnemic.models import MemoryRecord as StoredRecord
from mnemic.models import SuppliedVectors

__all__ = ["MnemicStorage", "register", "storage_for"]

Opener = Callable[[SuppliedVectors], MemoryManager]

_LOGGER = logging.getLogger(__name__)
_SCHEME = "mnemic://"
# Records in one call.
_BATCH = 1000
# What a search asks for at least: the order of a memory is not only that of similarity, so the best few of it may be other ones.
_CANDIDATES = 100
# The end of the name of the namespace where embeddings are kept to be read again, since a memory answers none.
_EMBEDDINGS = "-crewai-embeddings"
_NAMESPACE_CHARACTERS = 63


class MnemicStorage:
    """The records of one namespace as a ``StorageBackend`` of CrewAI.

    ``path`` is the directory of an embedded memory; without it everything is in this process and nothing is kept. ``open`` opens
    another one: it is given the :class:`~mnemic.SuppliedVectors` to open it with, as in
    ``lambda vectors: create_production_memory_manager("crew", embedder=vectors)``. The memory is opened at the first call, with the
    dimension of what it holds or else of the first embedding. An embedding of another dimension is CrewAI's
    ``EmbeddingDimensionMismatchError`` until everything was removed.

    Scores are cosine similarities, 0 at least. Scopes end at segments: ``/team`` holds ``/team/a`` and not ``/teams``. Every
    criterion of a deletion must hold, and what it removes is forgotten with its history. Only records that came through here are
    seen, whatever else is in the namespace. Reading changes nothing, so ``last_accessed`` tells of the last ``update``. Of records
    with almost the same words, all but the best may come behind the others where there are more than fit.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        namespace: str | None = None,
        open: Opener | None = None,
    ) -> None:
        if open is not None and (path is not None or namespace is not None):
            raise InvalidInputError("open: expected it without path and namespace, found it beside them", field="open")
        self._kept = path is not None or open is not None
        self._opener = open or _opener(path, namespace)
        self._lock = threading.RLock()
        self._memory: MemoryManager | None = None
        self._dimension = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> MnemicStorage:
        # CrewAI copies a crew with its memory; a copy of the storage is the same storage.
        return self

    def save(self, records: list[MemoryRecord]) -> None:
        """Keeps records, 1,000 in each commit. A record whose id exists replaces it."""
        if not records:
            return
        given = {record.id: record for record in records}
        dimension = one_dimension(given.values())
        memory = self._at(dimension)
        named = builtins.list(given.values())
        for start in range(0, len(named), _BATCH):
            part = named[start : start + _BATCH]
            # Embeddings first: one without its record is never read, a record without its embedding could not be moved.
            embedded = [
                kept_embedding(record.id, record.embedding) for record in part if has_direction(record.embedding)
            ]
            if embedded:
                _embeddings(memory).write(embedded)
            memory.write([stored_form(record) for record in part])

    def search(
        self,
        query_embedding: list[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int = 10,
        min_score: float = 0.0,
    ) -> list[tuple[MemoryRecord, float]]:
        """The records that are most like the embedding, best first, with their similarity."""
        if limit <= 0 or not query_embedding:
            return []
        memory = self._at(len(query_embedding))
        if not has_direction(query_embedding):
            return []
        filters = filters_for(scope_prefix, categories)
        wanted = min(_BATCH, _BATCH if metadata_filter else max(_CANDIDATES, limit * 4))
        found = memory.retrieve(topk=wanted, filters=filters, mode="dense", embedding=query_embedding)
        for reason in found.degraded:
            _LOGGER.warning("the answer may be less than there is: %s", reason)
        scored = [(restored(hit), min(max(hit.similarity or 0.0, 0.0), 1.0)) for hit in found]
        passed = [pair for pair in scored if pair[1] >= min_score and has_metadata(pair[0].metadata, metadata_filter)]
        passed.sort(key=lambda pair: -pair[1])
        return passed[:limit]

    def delete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        """Forgets the records for which every given criterion holds (without any, all), and answers how many there were."""
        filters = filters_for(scope_prefix, categories, older_than)
        named = None if not record_ids else set(record_ids)
        ids = [
            record.id
            for record in self._scan(filters)
            if record.id is not None
            and (named is None or record.id in named)
            and has_metadata(restored(record).metadata, metadata_filter)
        ]
        return self._forget(ids)

    def update(self, record: MemoryRecord) -> None:
        """Replaces the record with this id. Without an embedding it keeps the one that it has."""
        if record.embedding:
            self.save([record])
            return
        kept = _embeddings(self._at(None)).get([record.id])[0]
        embedding = None if kept is None else read_embedding(kept)
        self.save([record.model_copy(update={"embedding": embedding})])

    def get_record(self, record_id: str) -> MemoryRecord | None:
        """The record with this id, without its embedding, or ``None``."""
        if not self._opened():
            return None
        found = self._at(None).get([record_id])[0]
        return None if found is None or "crewai" not in found.metadata else restored(found)

    def list_records(self, scope_prefix: str | None = None, limit: int = 200, offset: int = 0) -> list[MemoryRecord]:
        """The records of a scope, newest first."""
        if limit <= 0 or offset < 0:
            return []
        found = sorted(self._scan(filters_for(scope_prefix)), key=lambda record: -fields_of(record)["created"])
        return [restored(record) for record in found[offset : offset + limit]]

    def get_scope_info(self, scope: str) -> ScopeInfo:
        """How many records a scope holds with those below it, their categories and times, and the scopes right below."""
        path = scope.rstrip("/") or "/"
        records = [restored(record) for record in self._scan(filters_for(scope))]
        times = sorted((record.created_at for record in records), key=instant)
        return ScopeInfo(
            path=path,
            record_count=len(records),
            categories=sorted({category for record in records for category in record.categories}),
            oldest_record=times[0] if times else None,
            newest_record=times[-1] if times else None,
            child_scopes=scopes_below(scope, (record.scope for record in records)),
        )

    def list_scopes(self, parent: str = "/") -> list[str]:
        """The scopes right below a scope."""
        return scopes_below(parent, (fields_of(record)["scope"] for record in self._scan(filters_for(parent))))

    def list_categories(self, scope_prefix: str | None = None) -> dict[str, int]:
        """How many records of a scope have each category."""
        counts: dict[str, int] = {}
        for record in self._scan(filters_for(scope_prefix)):
            for category in fields_of(record)["categories"]:
                counts[category] = counts.get(category, 0) + 1
        return counts

    def count(self, scope_prefix: str | None = None) -> int:
        """How many records a scope holds with those below it."""
        return sum(1 for _ in self._scan(filters_for(scope_prefix)))

    def reset(self, scope_prefix: str | None = None) -> None:
        """Forgets the records of a scope, or all. After all are gone, embeddings may have another dimension."""
        self.delete(scope_prefix=scope_prefix)

    async def asave(self, records: list[MemoryRecord]) -> None:
        """:meth:`save` beside the loop."""
        await asyncio.to_thread(self.save, records)

    async def asearch(
        self,
        query_embedding: list[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int = 10,
        min_score: float = 0.0,
    ) -> list[tuple[MemoryRecord, float]]:
        """:meth:`search` beside the loop."""
        return await asyncio.to_thread(
            self.search, query_embedding, scope_prefix, categories, metadata_filter, limit, min_score
        )

    async def adelete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        """:meth:`delete` beside the loop."""
        return await asyncio.to_thread(self.delete, scope_prefix, categories, record_ids, older_than, metadata_filter)

    def close(self) -> None:
        """Saves what makes the next start fast; the next call opens the memory again."""
        with self._lock:
            if self._memory is not None and self._kept:
                self._memory.close()
                self._memory = None

    def _opened(self) -> bool:
        """Whether there can be records: a memory in this process has none before it is opened."""
        return self._kept or self._memory is not None

    def _at(self, dimension: int | None) -> MemoryManager:
        """The memory for embeddings of a dimension, or of whichever it holds."""
        with self._lock:
            if self._memory is not None and dimension in (None, self._dimension):
                return self._memory
            if self._memory is None:
                self._memory, self._dimension = self._open(dimension)
            if dimension not in (None, self._dimension):
                stored = _stored_dimension(self._memory)
                if stored is not None:
                    raise EmbeddingDimensionMismatchError(stored, dimension or 0)
                before = self._memory
                self._memory, self._dimension = self._open(dimension)
                if not self._kept:
                    _carry_over(before, self._memory)
            return self._memory

    def _open(self, dimension: int | None) -> tuple[MemoryManager, int]:
        wanted = dimension or self._dimension or 1
        memory = self._opener(SuppliedVectors(wanted))
        stored = _stored_dimension(memory)
        if stored is None or stored == wanted:
            return memory, wanted
        memory.close()
        return self._opener(SuppliedVectors(stored)), stored

    def _scan(self, filters: dict[str, Any]) -> Iterator[StoredRecord]:
        if not self._opened():
            return
        memory, after = self._at(None), None
        while True:
            page = memory.list(filters=filters, limit=_BATCH, after=after)
            yield from page.items
            after = page.next
            if after is None:
                return

    def _forget(self, ids: list[str]) -> int:
        if not ids:
            return 0
        memory, forgotten = self._at(None), set[str]()
        for start in range(0, len(ids), _BATCH):
            part = ids[start : start + _BATCH]
            forgotten.update(memory.forget(ids=part).records)
            _embeddings(memory).forget(ids=part)
        return len(forgotten.intersection(ids))


def storage_for(spec: str) -> StorageBackend | None:
    """The storage that a ``mnemic://`` address names, or ``None`` for other ones, as CrewAI asks a factory of storages.

    ``mnemic:///absolute/directory`` is an embedded memory, with ``?namespace=name`` one of its namespaces. ``mnemic://name`` is that
    namespace of the memory that the environment asks for, ``mnemic://`` its default one.
    """
    if not spec.startswith(_SCHEME):
        return None
    parts = urlsplit(spec)
    query = parse_qs(parts.query, keep_blank_values=True)
    if parts.fragment or set(query) - {"namespace"} or len(query.get("namespace", [])) > 1:
        raise InvalidInputError(f"storage: expected at most ?namespace=name after a mnemic:// address, found {spec!r}")
    path, name = unquote(parts.path), unquote(parts.netloc)
    namespace = query.get("namespace", [None])[0]
    if path.strip("/"):
        if name:
            raise InvalidInputError(f"storage: expected mnemic:///directory or mnemic://namespace, found {spec!r}")
        return MnemicStorage(path, namespace=namespace)
    if name and namespace:
        raise InvalidInputError(f"storage: expected one namespace, found {name!r} and {namespace!r}")
    return MnemicStorage(open=lambda vectors: create_memory_manager(name or namespace, embedder=vectors))


def register(otherwise: Callable[[str], StorageBackend | None] | None = None) -> None:
    """Lets ``Memory(storage="mnemic://…")`` open a :class:`MnemicStorage`, see :func:`storage_for`.

    CrewAI knows one factory of storages in a process, and this replaces it; one that a program has goes into ``otherwise`` and is
    asked for every other address.
    """

    def factory(spec: str) -> StorageBackend | None:
        found = storage_for(spec)
        return otherwise(spec) if found is None and otherwise is not None else found

    set_memory_storage_factory(factory)


def _opener(path: str | os.PathLike[str] | None, namespace: str | None) -> Opener:
    if path is None:
        return lambda vectors: create_dev_memory_manager(namespace=namespace, embedder=vectors)
    return lambda vectors: create_embedded_memory_manager(path, namespace=namespace, embedder=vectors)


def _embeddings(memory: MemoryManager) -> MemoryManager:
    name = memory.namespace
    if len(name) + len(_EMBEDDINGS) > _NAMESPACE_CHARACTERS:
        # Names that begin alike stay apart.
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        name = f"{name[: _NAMESPACE_CHARACTERS - len(_EMBEDDINGS) - len(digest) - 1]}-{digest}"
    return memory.in_namespace(name + _EMBEDDINGS)


def _stored_dimension(memory: MemoryManager) -> int | None:
    """The dimension of the embeddings that a memory holds; a model that is not ours is left to the memory to refuse."""
    ours = SuppliedVectors(1).name
    for model in memory.stats()["models"]:
        name, _, rest = model.rpartition("@")
        dimension = rest.partition("-")[0]
        if name.rpartition("/")[2] == ours and dimension.isdecimal():
            return int(dimension)
    return None


def _carry_over(before: MemoryManager, after: MemoryManager) -> None:
    """Takes the records, of which none has an embedding yet, from one memory in this process into another."""
    records = [record.model_copy(update={"version": 0}) for record in before.semantic.all()]
    for start in range(0, len(records), _BATCH):
        after.write(records[start : start + _BATCH])
