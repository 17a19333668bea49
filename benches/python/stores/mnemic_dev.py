"""Mnemic in the process, nothing kept on disk: what memories in process memory are compared with."""

from __future__ import annotations

from pathlib import Path

from data import DIMENSION

from mnemic import MemoryManager, SuppliedVectors, create_dev_memory_manager
from stores.mnemic_embedded import Store as Embedded


class Store(Embedded):
    """Mnemic in process memory."""

    durable = "in memory"

    def _open(self, directory: Path) -> MemoryManager:
        return create_dev_memory_manager(embedder=SuppliedVectors(DIMENSION))
