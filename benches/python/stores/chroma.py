"""Chroma in a directory (``PersistentClient``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import chromadb
import numpy
from chromadb.config import Settings
from data import TOP


class Store:
    """A collection with cosine distance."""

    durable = "fsync before the answer"

    def __init__(self, directory: Path) -> None:
        client = chromadb.PersistentClient(str(directory), settings=Settings(anonymized_telemetry=False))
        self._collection = client.create_collection(
            "memories", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
        )

    def prepare(self, records: list[dict[str, Any]], vectors: list[list[float]]) -> dict[str, Any]:
        """Columns; metadata is flat, so what is nested travels as JSON."""
        return {
            "ids": [record["id"] for record in records],
            "embeddings": numpy.array(vectors, dtype=numpy.float32),
            "documents": [record["text"] for record in records],
            "metadatas": [
                {
                    "user_id": record["user_id"],
                    "thread_id": record["thread_id"],
                    "tags": json.dumps(record["tags"]),
                    **record["metadata"],
                }
                for record in records
            ],
        }

    def insert(self, prepared: dict[str, Any]) -> None:
        """One call."""
        self._collection.add(**prepared)

    def prepare_query(self, text: str, vector: list[float]) -> Any:
        """An array."""
        return numpy.array([vector], dtype=numpy.float32)

    def search(self, query: Any) -> list[str]:
        """The ids of the ten best."""
        found = self._collection.query(query_embeddings=query, n_results=TOP)
        return list(found["ids"][0])

    def search_user(self, query: Any, user_id: str) -> list[str]:
        """The ids of the ten best of a user."""
        found = self._collection.query(query_embeddings=query, n_results=TOP, where={"user_id": user_id})
        return list(found["ids"][0])

    def list_user(self, user_id: str) -> int:
        """Texts and metadata."""
        return len(self._collection.get(where={"user_id": user_id}, limit=1000)["ids"])

    def close(self) -> None:
        """Nothing to end."""
