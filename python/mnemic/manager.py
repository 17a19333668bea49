"""The memory manager and the ways to open one. Not here: its verbs (`_asynchronous`, `_synchronous`), its three views (`views`)."""

from __future__ import annotations

import atexit
import os
from types import TracebackType
from typing import Any

from mnemic import _mnemic
from mnemic._asynchronous import Asynchronous
from mnemic._embedding import Embedder, bridge
from mnemic._json import dumps, text
from mnemic._json import path as as_path
from mnemic._mnemic import Memory
from mnemic._synchronous import Synchronous
from mnemic._verbs import close
from mnemic.exceptions import UnsupportedError
from mnemic.models import SuppliedVectors
from mnemic.views import EpisodicMemory, SemanticMemory, WorkingMemory

# No thread of ours may enter the interpreter once it has begun to end.
atexit.register(_mnemic.shut_down)


def _open(mode: str, embedder: Embedder | SuppliedVectors | None, **request: Any) -> Memory:
    bridged = None if embedder is None else bridge(embedder)
    if embedder is not None and bridged is None and mode != "dev":
        # Without it the memory would use the one that its settings choose, and may send texts to a vendor.
        raise UnsupportedError(
            f"embedder: {type(embedder).__name__} makes no embeddings, which only a memory in this process takes; "
            "in production MNEMIC_EMBEDDER=none asks for retrieval by words alone",
            field="embedder",
        )
    if bridged is None:
        return Memory.open(dumps({"mode": mode, **request}))
    made, model = bridged
    return Memory.open(dumps({"mode": mode, **request, "embedder": model}), made)


class MemoryManager(Asynchronous, Synchronous):
    """Semantic, episodic and working memory of one namespace.

    ``MemoryManager()`` keeps everything in this process; the ``create_…`` functions open the other kinds. Every verb is a
    coroutine with an ``a`` before its name and a method without it that waits. A manager may be used by many threads and loops of
    the process that opened it, and not in a process forked from that one.
    """

    def __init__(
        self,
        *,
        namespace: str | None = None,
        embedder: Embedder | SuppliedVectors | None = None,
        _memory: Memory | None = None,
    ) -> None:
        self._memory = _memory if _memory is not None else _open("dev", embedder, namespace=namespace)

    @property
    def namespace(self) -> str:
        """The namespace that every call is confined to."""
        return self._memory.namespace

    def in_namespace(self, namespace: str) -> MemoryManager:
        """A manager for another namespace of the same memory."""
        return MemoryManager(_memory=self._memory.in_namespace(text("namespace", namespace)))

    @property
    def semantic(self) -> SemanticMemory:
        """The records."""
        return SemanticMemory(self)

    @property
    def episodic(self) -> EpisodicMemory:
        """The events."""
        return EpisodicMemory(self)

    @property
    def working(self) -> WorkingMemory:
        """The slots of threads."""
        return WorkingMemory(self)

    async def aclose(self) -> None:
        """Saves what makes the next start fast. Everything that was acknowledged is kept also without it."""
        await self._arun(close())

    def close(self) -> None:
        """The same, waited for."""
        self._run(close())

    async def __aenter__(self) -> MemoryManager:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __enter__(self) -> MemoryManager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"MemoryManager(namespace={self.namespace!r})"


def create_dev_memory_manager(
    *, namespace: str | None = None, embedder: Embedder | SuppliedVectors | None = None
) -> MemoryManager:
    """A memory in this process: retrieval by words (with an embedder also by meaning), nothing kept."""
    return MemoryManager(namespace=namespace, embedder=embedder)


def create_embedded_memory_manager(
    path: str | os.PathLike[str],
    *,
    namespace: str | None = None,
    embedder: Embedder | SuppliedVectors | None = None,
) -> MemoryManager:
    """A memory in one directory: no server, no key; retrieval by words and by meaning."""
    return MemoryManager(_memory=_open("embedded", embedder, path=as_path("path", path), namespace=namespace))


def create_production_memory_manager(
    namespace: str | None = None, *, embedder: Embedder | SuppliedVectors | None = None
) -> MemoryManager:
    """A memory on servers, by the environment and ``.env``: ``POSTGRES_DSN``, and the index and the embedder whose keys are set.

    No server is asked for anything before the first call. ``ConfigError`` has one line for each fault of the settings.
    """
    return MemoryManager(_memory=_open("production", embedder, namespace=namespace))


def create_memory_manager(
    namespace: str | None = None, *, embedder: Embedder | SuppliedVectors | None = None
) -> MemoryManager:
    """The memory that the environment asks for: by ``MNEMIC_PROFILE``, else by ``ENV`` (``development``, ``staging``,
    ``production``), else a memory in the user's usual directory."""
    return MemoryManager(_memory=_open("env", embedder, namespace=namespace))
