"""LangGraph's ``SqliteStore`` in one file. It needs a Python whose ``sqlite3`` loads extensions."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from langgraph.store.sqlite import SqliteStore

from stores.langgraph_memory import LangGraphStore


class Store(LangGraphStore):
    """``SqliteStore``."""

    durable = "fsync before the answer"

    def open(self, directory: Path, index: dict[str, Any]) -> None:
        """A database file; this store calls the fields to embed ``text_fields``."""
        self._stack = ExitStack()
        directory.mkdir(parents=True, exist_ok=True)
        opened = SqliteStore.from_conn_string(str(directory / "store.sqlite"), index={**index, "text_fields": ["text"]})
        self.store = self._stack.enter_context(opened)
        self.store.setup()

    def close(self) -> None:
        """Closes the file."""
        self._stack.close()
