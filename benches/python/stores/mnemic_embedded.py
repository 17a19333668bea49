"""Mnemic in a directory, with embeddings that the caller brings. Not here: the other modes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data import DIMENSION, TOP

from mnemic import MemoryManager, MemoryRecord, SuppliedVectors, create_embedded_memory_manager


class Store:
    """Mnemic in a directory."""

    durable = "fsync before the answer"

    def __init__(self, directory: Path) -> None:
        self._memory = self._open(directory)

    def _open(self, directory: Path) -> MemoryManager:
        return create_embedded_memory_manager(directory, embedder=SuppliedVectors(DIMENSION))

    def prepare(self, records: list[dict[str, Any]], vectors: list[list[float]]) -> list[MemoryRecord]:
        """The package's own models."""
        return [
            MemoryRecord.model_validate({**record, "embedding": vector})
            for record, vector in zip(records, vectors, strict=True)
        ]

    def insert(self, prepared: list[MemoryRecord]) -> None:
        """All of them or none."""
        self._memory.write(prepared)

    def prepare_query(self, text: str, vector: list[float]) -> list[float]:
        """By embedding alone, as the others search."""
        return vector

    def search(self, query: list[float]) -> list[str]:
        """The ids of the ten best."""
        return [str(record.id) for record in self._memory.retrieve(embedding=query, topk=TOP, mode="dense")]

    def search_user(self, query: list[float], user_id: str) -> list[str]:
        """The ids of the ten best of a user."""
        found = self._memory.retrieve(embedding=query, topk=TOP, mode="dense", user_id=user_id)
        return [str(record.id) for record in found]

    def list_user(self, user_id: str) -> int:
        """One page."""
        return len(self._memory.list(user_id=user_id, limit=1000).items)

    def close(self) -> None:
        """Saves the index."""
        self._memory.close()
