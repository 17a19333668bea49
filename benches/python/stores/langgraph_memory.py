"""LangGraph's ``InMemoryStore``, and what its stores have in common. Not here: the stores with a database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data import DIMENSION, TOP
from langgraph.store.base import BaseStore, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from stores.base import Dictionary

_ROOT = ("memories",)


class LangGraphStore:
    """The calls that all of LangGraph's stores share; a user's records are in a namespace of their own."""

    store: BaseStore

    def __init__(self, directory: Path) -> None:
        self.embedder = Dictionary()
        self.open(directory, {"dims": DIMENSION, "embed": self.embedder, "fields": ["text"]})

    def open(self, directory: Path, index: dict[str, Any]) -> None:
        """Sets ``store``."""
        raise NotImplementedError

    def prepare(self, records: list[dict[str, Any]], vectors: list[list[float]]) -> list[PutOp]:
        """Operations for ``batch``."""
        for record, vector in zip(records, vectors, strict=True):
            self.embedder.learn(record["text"], vector)
        kept = ("text", "thread_id", "tags", "metadata")
        return [
            PutOp((*_ROOT, record["user_id"]), record["id"], {key: record[key] for key in kept if key in record})
            for record in records
        ]

    def insert(self, prepared: list[PutOp]) -> None:
        """One batch."""
        self.store.batch(prepared)

    def prepare_query(self, text: str, vector: list[float]) -> str:
        """The text, whose embedding the embedder knows."""
        self.embedder.learn(text, vector)
        return text

    def search(self, query: str) -> list[str]:
        """The ids of the ten best."""
        return [item.key for item in self.store.search(_ROOT, query=query, limit=TOP)]

    def search_user(self, query: str, user_id: str) -> list[str]:
        """The ids of the ten best of a user."""
        return [item.key for item in self.store.search((*_ROOT, user_id), query=query, limit=TOP)]

    def list_user(self, user_id: str) -> int:
        """One search without a question."""
        [found] = self.store.batch([SearchOp((*_ROOT, user_id), limit=1000)])
        return len(found)  # type: ignore[arg-type]

    def close(self) -> None:
        """Nothing to end."""


class Store(LangGraphStore):
    """``InMemoryStore``."""

    durable = "in memory"

    def open(self, directory: Path, index: dict[str, Any]) -> None:
        """A dictionary of the process."""
        self.store = InMemoryStore(index=index)
