"""`MnemicStore`, LangGraph's long-term memory on Mnemic. Not here: how items lie in records (`_items`) and are found (`_reads`)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from time import monotonic
from types import TracebackType
from typing import Any

from langgraph.store.base import (
    BaseStore,
    GetOp,
    IndexConfig,
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    get_text_at_path,
    tokenize_path,
    validate_op_namespace,
)

from mnemic import create_dev_memory_manager, create_embedded_memory_manager
from mnemic.exceptions import InvalidInputError
from mnemic.integrations.langgraph import _filters as filters
from mnemic.integrations.langgraph import _reads as reads
from mnemic.integrations.langgraph import _writes as writes
from mnemic.integrations.langgraph._blobs import Hidden
from mnemic.integrations.langgraph._embeddings import EmbeddingsEmbedder
from mnemic.integrations.langgraph._items import Draft, check_ttl, encoded, item_id
from mnemic.integrations.langgraph._reads import Found, Mode
from mnemic.integrations.langgraph._steps import Steps, arun, run
from mnemic.integrations.langgraph._writes import Deletion
from mnemic.manager import MemoryManager

__all__ = ["EmbeddingsEmbedder", "MnemicStore"]


class MnemicStore(BaseStore):
    """LangGraph's long-term memory on a Mnemic memory of any kind.

    Every method works with and without an event loop, from any thread and any loop; one store serves them all.

    **Search.** A query finds items by words and, where the memory has an embedder, by meaning. With ``mode="hybrid"`` and
    ``"lexical"`` the score is Mnemic's: 0 to 1, relative to the best hit of the same search. With ``"dense"`` it is the
    cosine similarity, as other stores give it. An item has the score of its best text. Items that the query does not find, or
    that were put with ``index=False``, follow with the score ``None`` until ``limit`` is reached. One search scores the
    1,000 best texts at most. Without a query the items come newest update first.

    **Batches.** All reads of a batch see what was there before it. Of several puts of one key the last wins. All puts and deletes of
    a batch become visible in one moment, as long as they take at most 1,000 records (an item takes one, one more for each text that
    it is found by, and one more for each 44 kB that it is too long for a record, packed).

    **Time to live.** In minutes. What has expired is hidden at once, whatever ``omit_expired`` says, and removed by
    :meth:`sweep_ttl`. Reading renews unless ``refresh_ttl`` or the configuration says otherwise.

    :param memory: where the items are kept: the memory's own namespace, next to what else is there. Give
        ``memory.in_namespace(…)`` to keep them apart.
    :param index: ``{"fields": […]}`` chooses what of a value is found by a query (all of it if absent). The embedder is the
        memory's; one that is configured here belongs to :meth:`dev`, :meth:`embedded` or :class:`EmbeddingsEmbedder`.
    :param ttl: defaults for the time to live, as the framework describes them.
    :param mode: how a query searches: ``"hybrid"``, ``"dense"`` or ``"lexical"``.
    :param deletion: ``"forget"`` removes a deleted item so that nothing readable stays, in history neither, which takes longer the more
        there is; ``"hide"`` makes it invisible at once and leaves the removal to :meth:`sweep_ttl`.
    """

    supports_ttl = True

    __slots__ = (
        "_deletion",
        "_fields",
        "_hidden",
        "_memory",
        "_mode",
        "_owned",
        "_swept",
        "index_config",
        "ttl_config",
    )

    def __init__(
        self,
        memory: MemoryManager,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        mode: Mode = "hybrid",
        deletion: Deletion = "forget",
    ) -> None:
        super().__init__()
        if index is not None and index.get("embed") is not None:
            raise InvalidInputError(
                "index.embed: expected none, since a memory has its own embedder, found one; use MnemicStore.dev, "
                "MnemicStore.embedded, or create the memory with embedder=EmbeddingsEmbedder(embed, dims)",
                field="index",
            )
        self._open(memory, index, ttl, mode, deletion, owned=False)

    def _open(
        self,
        memory: MemoryManager,
        index: IndexConfig | None,
        ttl: TTLConfig | None,
        mode: Mode,
        deletion: Deletion,
        *,
        owned: bool,
    ) -> None:
        for name, value, known in (
            ("mode", mode, ("hybrid", "dense", "lexical")),
            ("deletion", deletion, ("forget", "hide")),
        ):
            if value not in known:
                raise InvalidInputError(f"{name}: expected {' or '.join(known)}, found {value!r}", field=name)
        self._memory = memory
        self.index_config = index
        self.ttl_config = ttl
        fields = (index or {}).get("fields") or ["$"]
        self._fields: list[str | list[str]] = [_tokens(field) for field in fields]
        self._mode: Mode = mode
        self._deletion: Deletion = deletion
        self._owned = owned
        self._hidden: Hidden | None = None
        self._swept = monotonic()

    @classmethod
    def dev(
        cls,
        *,
        namespace: str | None = None,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        mode: Mode = "hybrid",
        deletion: Deletion = "forget",
    ) -> MnemicStore:
        """A store in this process, with the embeddings of ``index`` or by words alone. Nothing is kept."""
        embedder = EmbeddingsEmbedder.from_index(index)
        memory = create_dev_memory_manager(namespace=namespace, embedder=embedder)
        return cls._owning(memory, index, ttl, mode, deletion)

    @classmethod
    def embedded(
        cls,
        path: str | os.PathLike[str],
        *,
        namespace: str | None = None,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        mode: Mode = "hybrid",
        deletion: Deletion = "forget",
    ) -> MnemicStore:
        """A store in one directory, with the embeddings of ``index`` or Mnemic's own model."""
        embedder = EmbeddingsEmbedder.from_index(index)
        memory = create_embedded_memory_manager(path, namespace=namespace, embedder=embedder)
        return cls._owning(memory, index, ttl, mode, deletion)

    @classmethod
    def _owning(
        cls,
        memory: MemoryManager,
        index: IndexConfig | None,
        ttl: TTLConfig | None,
        mode: Mode,
        deletion: Deletion,
    ) -> MnemicStore:
        store = cls.__new__(cls)
        BaseStore.__init__(store)
        store._open(memory, index, ttl, mode, deletion, owned=True)
        return store

    @property
    def memory(self) -> MemoryManager:
        """Where the items are kept."""
        return self._memory

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Runs operations and waits: all reads first, then all puts and deletes."""
        return run(self._memory, self._batch(list(ops)))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Runs operations: all reads first, then all puts and deletes."""
        return await arun(self._memory, self._batch(list(ops)))

    def sweep_ttl(self) -> int:
        """Removes for good what has expired and what ``deletion="hide"`` left, and answers how many records that were."""
        return run(self._memory, writes.sweep())

    async def asweep_ttl(self) -> int:
        """The same as a coroutine."""
        return await arun(self._memory, writes.sweep())

    def close(self) -> None:
        """Closes the memory if the store opened it."""
        if self._owned:
            self._memory.close()

    async def aclose(self) -> None:
        """The same as a coroutine."""
        if self._owned:
            await self._memory.aclose()

    def __enter__(self) -> MnemicStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> MnemicStore:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _batch(self, ops: list[Op]) -> Steps[list[Result]]:
        for op in ops:
            _check(op)
        changes = self._changes(ops)
        results: list[Result] = [None] * len(ops)
        read: list[Found] = yield from self._gets(ops, results)
        for i, op in enumerate(ops):
            if isinstance(op, SearchOp):
                window = reads.check_window(op.limit, op.offset)
                found = yield from reads.search(op, self._mode, offset_limit=window)
                results[i] = [_search_item(one) for one in found]
                read.extend(found if op.refresh_ttl else ())
            elif isinstance(op, ListNamespacesOp):
                results[i] = yield from reads.namespaces(op)
        renewed = [one for one in read if one.entry.ttl is not None and one.entry.id not in changes]
        if changes or renewed:
            if self._hidden is None:
                self._hidden = yield from Hidden.steps()
            yield from writes.renew(renewed, self._hidden)
            yield from writes.apply(changes, self._hidden, self._deletion)
            if self._sweep_is_due():
                yield from writes.sweep()
        return results

    def _gets(self, ops: list[Op], results: list[Result]) -> Steps[list[Found]]:
        """Answers the gets, and what of it is to be renewed."""
        ids = {i: item_id(op.namespace, str(op.key)) for i, op in enumerate(ops) if isinstance(op, GetOp)}
        if not ids:
            return []
        heads = yield from reads.entries(ids.values())
        found = yield from reads.load(list(heads.values()))
        refreshed: list[Found] = []
        for i, id in ids.items():
            one, op = found.get(id), ops[i]
            if one is None:
                continue
            results[i] = _item(one)
            if isinstance(op, GetOp) and op.refresh_ttl:
                refreshed.append(one)
        return refreshed

    def _changes(self, ops: list[Op]) -> dict[str, Draft | None]:
        """What the puts and deletes come to: for each item the last of them."""
        changes: dict[str, Draft | None] = {}
        for op in ops:
            if not isinstance(op, PutOp):
                continue
            key, namespace = str(op.key), tuple(op.namespace)
            draft = None
            if op.value is not None:
                # Refused before anything is written, not in the middle.
                encoded(op.value)
                draft = Draft(namespace, key, op.value, self._texts(op), check_ttl(op.ttl))
            id = item_id(namespace, key)
            changes.pop(id, None)
            changes[id] = draft
        return changes

    def _texts(self, op: PutOp) -> list[str]:
        if op.index is False:
            return []
        fields = self._fields if op.index is None else [_tokens(field) for field in op.index]
        texts = (text for field in fields for text in get_text_at_path(op.value, field))
        return list(dict.fromkeys(texts))

    def _sweep_is_due(self) -> bool:
        minutes = (self.ttl_config or {}).get("sweep_interval_minutes")
        if not minutes or monotonic() - self._swept < minutes * 60:
            return False
        self._swept = monotonic()
        return True


def _tokens(field: str) -> str | list[str]:
    return field if field == "$" else tokenize_path(field)


def _check(op: Any) -> None:
    """Refuses what is wrong before anything is done. Operations handed to ``batch`` were checked by nobody."""
    if not isinstance(op, GetOp | SearchOp | PutOp | ListNamespacesOp):
        raise ValueError(f"Unknown operation type: {type(op)}")
    validate_op_namespace(op)
    if isinstance(op, GetOp | PutOp) and not op.namespace:
        raise InvalidNamespaceError("Namespace cannot be empty.")
    if isinstance(op, PutOp) and op.value is not None and op.namespace[0] == "langgraph":
        raise InvalidNamespaceError(f'Root label for namespace cannot be "langgraph". Got: {op.namespace}')
    if isinstance(op, SearchOp):
        reads.check_window(op.limit, op.offset)
        filters.check(op.filter)


def _item(found: Found) -> Item:
    entry = found.entry
    return Item(
        value=found.value,
        key=entry.key,
        namespace=entry.namespace,
        created_at=entry.created_at,
        updated_at=entry.updated_at,
    )


def _search_item(found: Found) -> SearchItem:
    entry = found.entry
    return SearchItem(
        namespace=entry.namespace,
        key=entry.key,
        value=found.value,
        created_at=entry.created_at,
        updated_at=entry.updated_at,
        score=found.score,
    )
