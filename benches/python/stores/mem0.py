"""mem0 with its default vector store (Qdrant in a directory), and ``infer=False``: texts are kept as they are, with no model asked.

It offers no batch (messages are kept one by one inside one call) and makes its own ids, so records are told apart by their texts.
"""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path
from typing import Any

os.environ["MEM0_TELEMETRY"] = "False"

from data import DIMENSION, TOP
from mem0 import Memory
from mem0.embeddings.base import EmbeddingBase

from stores.base import Dictionary

# It refuses a question without a user, an agent or a run; everything here is of one agent.
_AGENT = "everything"


class _Embedder(EmbeddingBase):  # type: ignore[misc]
    def __init__(self, dictionary: Dictionary) -> None:
        super().__init__()
        self._dictionary = dictionary

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        return self._dictionary([text])[0]


class Store:
    """mem0."""

    durable = "fsync before the answer"

    def __init__(self, directory: Path) -> None:
        # A key has to be there; nothing is sent, since neither its model nor its embedder is called.
        os.environ["OPENAI_API_KEY"] = "none"
        index = {"path": str(directory / "qdrant"), "embedding_model_dims": DIMENSION, "on_disk": True}
        config = {
            "vector_store": {"provider": "qdrant", "config": index},
            "history_db_path": str(directory / "history.sqlite"),
        }
        directory.mkdir(parents=True, exist_ok=True)
        self._memory = Memory.from_config(config)
        self._embedder = Dictionary()
        self._memory.embedding_model = _Embedder(self._embedder)
        self._ids: dict[str, str] = {}

    def prepare(self, records: list[dict[str, Any]], vectors: list[list[float]]) -> list[tuple[str, list[Any]]]:
        """The messages of each user."""
        for record, vector in zip(records, vectors, strict=True):
            self._embedder.learn(record["text"], vector)
            self._ids[record["text"]] = record["id"]
        ordered = sorted(records, key=lambda record: str(record["user_id"]))
        return [
            (user, [{"role": "user", "content": record["text"]} for record in own])
            for user, own in groupby(ordered, key=lambda record: str(record["user_id"]))
        ]

    def insert(self, prepared: list[tuple[str, list[Any]]]) -> None:
        """One call for each user."""
        for user_id, messages in prepared:
            self._memory.add(messages, user_id=user_id, agent_id=_AGENT, infer=False)

    def prepare_query(self, text: str, vector: list[float]) -> str:
        """The text, whose embedding the embedder knows."""
        self._embedder.learn(text, vector)
        return text

    def _search(self, query: str, filters: dict[str, str]) -> list[str]:
        # Its usual threshold drops what is not alike enough; the others answer ten.
        found = self._memory.search(query, filters=filters, top_k=TOP, threshold=0.0)
        return [self._ids[item["memory"]] for item in found["results"]]

    def search(self, query: str) -> list[str]:
        """The ids of the ten best."""
        return self._search(query, {"agent_id": _AGENT})

    def search_user(self, query: str, user_id: str) -> list[str]:
        """The ids of the ten best of a user."""
        return self._search(query, {"agent_id": _AGENT, "user_id": user_id})

    def list_user(self, user_id: str) -> int:
        """Texts and metadata."""
        return len(self._memory.get_all(filters={"user_id": user_id}, top_k=1000)["results"])

    def close(self) -> None:
        """Closes its files."""
        self._memory.close()
