"""What the tests of the LangGraph integration share: embeddings that are the same on both sides of a comparison, and profiles."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from langchain_core.embeddings import Embeddings

from mnemic import MemoryManager
from mnemic.integrations.langgraph import MnemicSaver, MnemicStore

# Always the same examples, so that a failure anywhere is a failure everywhere.
settings.register_profile(
    "fixed",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("fixed")

DIMENSIONS = 32


class LetterEmbeddings(Embeddings):
    """Counts how often each letter occurs, with a part of chance by the text, so that no two texts are equally near a third."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.texts.extend(texts)
        return [self._vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self._vector(text)

    @staticmethod
    def _vector(text: str) -> list[float]:
        chance = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        counts = [byte / 512 for byte in chance[:DIMENSIONS]]
        for letter in text.lower():
            counts[ord(letter) % DIMENSIONS] += 1.0
        length = math.sqrt(sum(count * count for count in counts))
        return [count / length for count in counts]


@pytest.fixture
def embeddings() -> LetterEmbeddings:
    return LetterEmbeddings()


@pytest.fixture
def store(open_memory: Callable[..., MemoryManager]) -> MnemicStore:
    """A store on a memory of each kind."""
    return MnemicStore(open_memory())


@pytest.fixture
def saver(open_memory: Callable[..., MemoryManager]) -> MnemicSaver:
    """A saver on a memory of each kind."""
    return MnemicSaver(open_memory())
