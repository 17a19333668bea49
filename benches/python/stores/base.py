"""What every measured memory has to do. Not here: the memories.

``prepare`` puts records into the form that the memory's own API takes them in, outside of the measured time. Each of the others is
one call as its documentation shows it, and answers records whole: ids, texts and metadata.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any, Protocol


class Store(Protocol):
    """A memory under measurement."""

    def __init__(self, directory: Path) -> None:
        """Opens a new memory; what it keeps in files goes into the directory."""

    def prepare(self, records: list[dict[str, Any]], vectors: list[list[float]]) -> Any:
        """Records in the form that ``insert`` takes."""

    def insert(self, prepared: Any) -> None:
        """Keeps them in one call, or in as few as there are."""

    def prepare_query(self, text: str, vector: list[float]) -> Any:
        """A question in the form that the searches take."""

    def search(self, query: Any) -> list[str]:
        """The ids of the ten best."""

    def search_user(self, query: Any, user_id: str) -> list[str]:
        """The ids of the ten best of a user."""

    def list_user(self, user_id: str) -> int:
        """Reads every record of a user and answers how many there are."""

    def close(self) -> None:
        """Ends it."""


class Dictionary:
    """An embedder for libraries that want one: it looks up what was made before, as fast as any could."""

    def __init__(self) -> None:
        self._vectors: dict[str, list[float]] = {}

    def learn(self, text: str, vector: list[float]) -> None:
        """Notes the embedding of a text."""
        self._vectors[text] = vector

    def __call__(self, texts: list[str]) -> list[list[float]]:
        return [self._vectors[text] for text in texts]


def postgres_dsn() -> str:
    """The server whose databases may be made and dropped."""
    return os.environ["MNEMIC_TEST_POSTGRES_18"]


def database_name() -> str:
    """A name that nobody has."""
    return f"bench_{uuid.uuid4().hex[:12]}"
