"""LangChain's own suites for vector stores and retrievers, on both backends without a server. Not here: our own (`test_langchain`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests

from mnemic import create_dev_memory_manager, create_embedded_memory_manager
from mnemic.integrations.langchain import LangChainEmbedder, MnemicRetriever, MnemicVectorStore


class TestVectorStoreInThisProcess(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> Iterator[VectorStore]:  # type: ignore[override]
        store = MnemicVectorStore.dev(self.get_embeddings())
        yield store
        store.memory.close()


class TestVectorStoreInADirectory(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[VectorStore]:  # type: ignore[override]
        store = MnemicVectorStore.embedded(tmp_path / "memory", self.get_embeddings())
        yield store
        store.memory.close()


class TestVectorStoreByMeaningAndWords(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> Iterator[VectorStore]:  # type: ignore[override]
        store = MnemicVectorStore.dev(self.get_embeddings(), mode="hybrid")
        yield store
        store.memory.close()


class TestVectorStoreOnAMemoryThatThereIs(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[VectorStore]:  # type: ignore[override]
        embedder = LangChainEmbedder(self.get_embeddings())
        with create_embedded_memory_manager(tmp_path / "memory", embedder=embedder) as memory:
            yield MnemicVectorStore(memory)


FACTS = [
    "The reply to USCIS is due on June 2, 2026.",
    "The premium processing fee is $2,805.",
    "Anna lives in Austin and works in Dallas.",
    "The interview in Austin takes place in July.",
]


class _Retriever(RetrieversIntegrationTests):
    params: dict[str, Any]

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return MnemicRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return self.params

    @property
    def retriever_query_example(self) -> str:
        return "Where does Anna live, what is the fee, when is the reply due?"


class TestRetrieverInADirectory(_Retriever):
    @pytest.fixture(autouse=True)
    def written(self, tmp_path: Path) -> Iterator[None]:
        with create_embedded_memory_manager(tmp_path / "memory") as memory:
            memory.write(FACTS)
            self.params = {"memory": memory}
            yield


class TestRetrieverByWordsAlone(_Retriever):
    @pytest.fixture(autouse=True)
    def written(self) -> Iterator[None]:
        with create_dev_memory_manager() as memory:
            memory.write(FACTS)
            self.params = {"memory": memory, "mode": "lexical", "k": 2}
            yield
