"""The vector store. Not here: how documents and filters are translated (`_documents`)."""

from __future__ import annotations

import asyncio
import logging
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from mnemic.exceptions import InvalidInputError, UnsupportedError
from mnemic.integrations.langchain._documents import SOURCE, as_document, as_records, whole_filter
from mnemic.integrations.langchain._embedder import LangChainEmbedder
from mnemic.manager import MemoryManager, create_dev_memory_manager, create_embedded_memory_manager
from mnemic.models import MemoryRecord, Mode, Retrieval, RetrievedRecord, Written

_LOG = logging.getLogger(__name__)
_LARGEST_CALL = 1000
_ID_BYTES = 255
# Hits beyond `k` that are looked at, since a memory also weighs how new a record is and a vector store only its similarity.
_MARGIN = 16

T = TypeVar("T")


class MnemicVectorStore(VectorStore):
    """Documents in a memory: kept, found by meaning, and removed for good.

    ``MnemicVectorStore.dev(embedding)`` keeps them in this process, ``MnemicVectorStore.embedded(path, embedding)`` in a directory.
    ``MnemicVectorStore(memory)`` is a view of a memory that there is: searches show every record of its namespace, whoever wrote it.

    ``mode`` is how to search where a call does not say: ``dense`` (by meaning, as vector stores do), ``hybrid`` or ``lexical``. A
    score is the cosine similarity to the query in ``dense`` mode, else the memory's own score between 0 and 1; higher is better.
    Documents that repeat a better one nearly word by word come after all others. ``embedding`` is only asked for what the memory
    does not do, which is maximal marginal relevance, and must be the one that the memory was opened with.

    Texts have at most 256 KiB, metadata is JSON of at most 64 KiB, ids have at most 255 bytes; ``InvalidInputError`` names what is
    beyond. Metadata that JSON does not have, such as times, is refused rather than changed.
    """

    def __init__(self, memory: MemoryManager, embedding: Embeddings | None = None, *, mode: Mode = "dense") -> None:
        self.memory = memory
        self.mode: Mode = mode
        self._embedding = embedding

    @classmethod
    def dev(cls, embedding: Embeddings, *, namespace: str | None = None, mode: Mode = "dense") -> Self:
        """A store in this process, of which nothing is kept."""
        memory = create_dev_memory_manager(namespace=namespace, embedder=LangChainEmbedder(embedding))
        return cls(memory, embedding, mode=mode)

    @classmethod
    def embedded(
        cls,
        path: str | os.PathLike[str],
        embedding: Embeddings | None = None,
        *,
        namespace: str | None = None,
        mode: Mode = "dense",
    ) -> Self:
        """A store in a directory. Without ``embedding`` the memory's own offline model is used.

        A directory remembers the model that it was made with: writing with another one is a ``ModelMismatchError``, searching by
        meaning an error that names both."""
        embedder = None if embedding is None else LangChainEmbedder(embedding)
        memory = create_embedded_memory_manager(path, namespace=namespace, embedder=embedder)
        return cls(memory, embedding, mode=mode)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        path: str | os.PathLike[str] | None = None,
        namespace: str | None = None,
        mode: Mode = "dense",
        **kwargs: Any,
    ) -> Self:
        """A store with these texts: in the directory ``path``, without it in this process."""
        _refuse(kwargs)
        store = cls._new(embedding, path, namespace, mode)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        path: str | os.PathLike[str] | None = None,
        namespace: str | None = None,
        mode: Mode = "dense",
        **kwargs: Any,
    ) -> Self:
        """The same as a coroutine."""
        _refuse(kwargs)
        # Opening embeds one text to learn the dimension, which would hold up the loop.
        store = await asyncio.to_thread(cls._new, embedding, path, namespace, mode)
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    def _new(
        cls, embedding: Embeddings, path: str | os.PathLike[str] | None, namespace: str | None, mode: Mode
    ) -> Self:
        if path is None:
            return cls.dev(embedding, namespace=namespace, mode=mode)
        return cls.embedded(path, embedding, namespace=namespace, mode=mode)

    @property
    def embeddings(self) -> Embeddings | None:
        """What makes the embeddings, where it was given."""
        return self._embedding

    # Writing and reading by id.

    def add_documents(
        self,
        documents: list[Document],
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int = _LARGEST_CALL,
        **kwargs: Any,
    ) -> list[str]:
        """Keeps documents and answers their ids: those in ``ids``, else the documents' own, else new ones.

        A document whose id exists replaces it; where one call has an id twice, the last one stays. Batches of at most 1,000 are kept
        whole or not at all. While the embedder fails, documents are kept and found by words only until it works again; that is logged.
        """
        _refuse(kwargs)
        records = as_records(documents, ids)
        for batch in _batches(_last_by_id(records), batch_size):
            _tell_pending(self.memory.write(batch))
        return [str(record.id) for record in records]

    async def aadd_documents(
        self,
        documents: list[Document],
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int = _LARGEST_CALL,
        **kwargs: Any,
    ) -> list[str]:
        """The same as a coroutine."""
        _refuse(kwargs)
        records = as_records(documents, ids)
        for batch in _batches(_last_by_id(records), batch_size):
            _tell_pending(await self.memory.awrite(batch))
        return [str(record.id) for record in records]

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Documents by their ids, in that order, each once; those that do not exist are left out."""
        return [
            as_document(record) for batch in _id_batches(ids) for record in self.memory.get(batch) if record is not None
        ]

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The same as a coroutine."""
        found: list[MemoryRecord | None] = []
        for batch in _id_batches(ids):
            found.extend(await self.memory.aget(batch))
        return [as_document(record) for record in found if record is not None]

    def delete(self, ids: Sequence[str] | None = None, **kwargs: Any) -> bool:
        """Removes documents so that nothing readable stays. Without ``ids``: all that were added by a vector store in this namespace,
        and none of the records that others wrote."""
        _refuse(kwargs)
        if ids is None:
            self.memory.forget(filters={"source": SOURCE})
            return True
        for batch in _id_batches(ids):
            self.memory.forget(ids=batch)
        return True

    async def adelete(self, ids: Sequence[str] | None = None, **kwargs: Any) -> bool:
        """The same as a coroutine."""
        _refuse(kwargs)
        if ids is None:
            await self.memory.aforget(filters={"source": SOURCE})
            return True
        for batch in _id_batches(ids):
            await self.memory.aforget(ids=batch)
        return True

    # Searching. Every search takes `filter` (keys are metadata's), `filters` (the memory's own form), `user_id` and `mode`.

    def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> list[tuple[Document, float]]:
        """The documents nearest to ``query`` and their scores, best first.

        ``filter`` has conditions on metadata, such as ``{"year": {"$gte": 2024}, "form": ["I-485", "I-130"]}`` with ``$and``,
        ``$or``, ``$not``; ``filters`` has them in the memory's own form, with ``metadata.`` before metadata's keys. ``user_id``
        limits the search to one user's records; ``mode`` replaces the store's."""
        request = self._request(k, **kwargs)
        return _ranked(self.memory.retrieve(query, **request), k, request["mode"])

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The same as a coroutine."""
        request = self._request(k, **kwargs)
        return _ranked(await self.memory.aretrieve(query, **request), k, request["mode"])

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The documents nearest to ``query``, best first; see :meth:`similarity_search_with_score`."""
        return _documents(self.similarity_search_with_score(query, k, **kwargs))

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The same as a coroutine."""
        return _documents(await self.asimilarity_search_with_score(query, k, **kwargs))

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The documents nearest to an embedding by the memory's model, and their cosine similarities, best first."""
        request = self._request(k, **{**kwargs, "mode": "dense"})
        return _ranked(self.memory.retrieve(embedding=embedding, **request), k, "dense")

    async def asimilarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The same as a coroutine."""
        request = self._request(k, **{**kwargs, "mode": "dense"})
        return _ranked(await self.memory.aretrieve(embedding=embedding, **request), k, "dense")

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4, **kwargs: Any) -> list[Document]:
        """The documents nearest to an embedding, best first."""
        return _documents(self.similarity_search_with_score_by_vector(embedding, k, **kwargs))

    async def asimilarity_search_by_vector(self, embedding: list[float], k: int = 4, **kwargs: Any) -> list[Document]:
        """The same as a coroutine."""
        return _documents(await self.asimilarity_search_with_score_by_vector(embedding, k, **kwargs))

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Documents that are near to ``query`` and unlike each other, chosen among the ``fetch_k`` nearest, which are embedded again.

        ``lambda_mult`` is 1 for the nearest and 0 for the most diverse. ``UnsupportedError`` where the store was made without an
        ``embedding``, since a memory does not give out its embeddings."""
        vector = self._model().embed_query(query)
        found = _documents(self.similarity_search_with_score(query, fetch_k, **kwargs))
        return self._diverse(vector, found, k, lambda_mult)

    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """The same as a coroutine."""
        vector = await self._model().aembed_query(query)
        found = _documents(await self.asimilarity_search_with_score(query, fetch_k, **kwargs))
        return await asyncio.to_thread(self._diverse, vector, found, k, lambda_mult)

    def max_marginal_relevance_search_by_vector(
        self, embedding: list[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """The same for an embedding."""
        self._model()
        found = self.similarity_search_by_vector(embedding, fetch_k, **kwargs)
        return self._diverse(embedding, found, k, lambda_mult)

    async def amax_marginal_relevance_search_by_vector(
        self, embedding: list[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """The same as a coroutine."""
        self._model()
        found = await self.asimilarity_search_by_vector(embedding, fetch_k, **kwargs)
        return await asyncio.to_thread(self._diverse, embedding, found, k, lambda_mult)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        # A cosine below zero is as irrelevant as one of zero; the memory's own scores are between 0 and 1 already.
        return lambda score: min(max(score, 0.0), 1.0)

    def _model(self) -> Embeddings:
        if self._embedding is None:
            raise UnsupportedError(
                "embedding: expected an Embeddings object for maximal marginal relevance, found none"
            )
        return self._embedding

    def _diverse(self, vector: list[float], found: list[Document], k: int, lambda_mult: float) -> list[Document]:
        if not found:
            return []
        # Needs numpy, which langchain-core does not bring, and this package nowhere else.
        import numpy
        from langchain_core.vectorstores.utils import maximal_marginal_relevance

        vectors = self._model().embed_documents([document.page_content for document in found])
        chosen = maximal_marginal_relevance(numpy.array(vector), vectors, lambda_mult=lambda_mult, k=k)
        return [found[position] for position in chosen]

    def _request(
        self,
        k: int,
        *,
        filter: Mapping[str, Any] | None = None,
        filters: Mapping[str, Any] | None = None,
        user_id: str | None = None,
        mode: Mode | None = None,
        **rest: Any,
    ) -> dict[str, Any]:
        _refuse(rest)
        if not 1 <= k <= _LARGEST_CALL:
            raise InvalidInputError(f"k: expected 1 to {_LARGEST_CALL}, found {k}", field="k")
        return {
            "topk": min(k + _MARGIN, _LARGEST_CALL),
            "filters": whole_filter(filter, filters),
            "user_id": user_id,
            "mode": self.mode if mode is None else mode,
        }


def _refuse(unknown: Mapping[str, Any]) -> None:
    """An argument that nobody reads would be one that silently does nothing."""
    if unknown:
        name = next(iter(unknown))
        raise InvalidInputError(f"{name}: expected an argument that Mnemic knows, found {name}", field=name)


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    size = min(max(size, 1), _LARGEST_CALL)
    return (items[start : start + size] for start in range(0, len(items), size))


def _possible(id: str) -> bool:
    """Whether any record may have this id."""
    if not 1 <= len(id.encode("utf-8", "surrogatepass")) <= _ID_BYTES:
        return False
    return all(unicodedata.category(character) not in ("Cc", "Cs") for character in id)


def _id_batches(ids: Iterable[str]) -> Iterator[Sequence[str]]:
    return _batches([id for id in dict.fromkeys(ids) if _possible(id)], _LARGEST_CALL)


def _last_by_id(records: list[MemoryRecord]) -> list[MemoryRecord]:
    return list({record.id: record for record in records}.values())


def _tell_pending(written: Written) -> None:
    for warning in written.warnings:
        _LOG.warning("%s", warning)


def _score(record: RetrievedRecord, mode: Mode) -> float:
    return record.similarity if mode == "dense" and record.similarity is not None else record.score


def _ranked(found: Retrieval, k: int, mode: Mode) -> list[tuple[Document, float]]:
    for reason in found.degraded:
        _LOG.warning("search may have missed something: %s", reason)
    hits = list(found)
    if mode == "dense":
        hits.sort(key=lambda record: (record.explanation.repeats is not None, -_score(record, mode)))
    return [(as_document(record), _score(record, mode)) for record in hits[:k]]


def _documents(scored: list[tuple[Document, float]]) -> list[Document]:
    return [document for document, _ in scored]
