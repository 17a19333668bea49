"""The vector store and the retriever beyond LangChain's own suites. Not here: those suites (`test_langchain_standard`)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.runnables import RunnableLambda
from pydantic import ValidationError

from mnemic import (
    InvalidInputError,
    MemoryManager,
    MnemicError,
    ModelMismatchError,
    UnavailableError,
    UnsupportedError,
    create_dev_memory_manager,
    create_embedded_memory_manager,
)
from mnemic.integrations.langchain import LangChainEmbedder, MnemicRetriever, MnemicVectorStore

EXAMPLES = Path(__file__).parents[4] / "examples" / "python"


class Plane(Embeddings):
    """Places texts of the form ``x,y words`` at (x, y), and counts what it is asked for."""

    model = "plane"

    def __init__(self) -> None:
        self.documents = 0
        self.queries = 0

    @staticmethod
    def at(text: str) -> list[float]:
        x, y = text.split()[0].split(",")
        return [float(x), float(y)]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.documents += len(texts)
        return [self.at(text) if "," in text else [1.0, 0.0] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        self.queries += 1
        return self.at(text)


class Broken(Plane):
    """Fails when asked for anything but the dimension."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if texts == ["dimension"]:
            return [[1.0, 0.0]]
        raise ConnectionError("no route to the model")

    def embed_query(self, text: str) -> list[float]:
        raise ConnectionError("no route to the model")


@pytest.fixture
def store() -> Iterator[MnemicVectorStore]:
    store = MnemicVectorStore.dev(Plane())
    yield store
    store.memory.close()


@pytest.fixture
def papers(store: MnemicVectorStore) -> MnemicVectorStore:
    store.add_texts(
        ["1,0 petition", "0.9,0.1 evidence", "0,1 receipt", "-1,0 denial"],
        [
            {"form": "I-130", "year": 2023, "place": {"city": "Austin"}},
            {"form": "I-485", "year": 2024, "tags": ["legal", "long"]},
            {"form": "I-485", "year": 2026},
            {"source": "mail"},
        ],
        ids=["a", "b", "c", "d"],
    )
    return store


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


def test_scores_are_cosine_similarities_best_first(papers: MnemicVectorStore) -> None:
    found = papers.similarity_search_with_score("1,0 what", k=3)
    assert ids([document for document, _ in found]) == ["a", "b", "c"]
    assert [score for _, score in found] == pytest.approx([1.0, 0.9 / 0.82**0.5, 0.0], abs=1e-6)


async def test_every_search_is_the_same_as_a_coroutine(papers: MnemicVectorStore) -> None:
    given: dict[str, Any] = {"k": 3, "filter": {"year": {"$gt": 2000}}}
    query, vector = "0.8,0.6 what", [0.8, 0.6]
    assert await papers.asimilarity_search(query, **given) == papers.similarity_search(query, **given)
    assert await papers.asimilarity_search_with_score(query, **given) == papers.similarity_search_with_score(
        query, **given
    )
    by_vector = papers.similarity_search_with_score_by_vector(vector, **given)
    assert await papers.asimilarity_search_with_score_by_vector(vector, **given) == by_vector
    assert by_vector == papers.similarity_search_with_score(query, **given)
    assert await papers.asimilarity_search_by_vector(vector, **given) == [document for document, _ in by_vector]
    assert await papers.asimilarity_search_with_relevance_scores(
        query, **given
    ) == papers.similarity_search_with_relevance_scores(query, **given)
    assert await papers.amax_marginal_relevance_search(query, **given) == papers.max_marginal_relevance_search(
        query, **given
    )
    assert await papers.amax_marginal_relevance_search_by_vector(
        vector, **given
    ) == papers.max_marginal_relevance_search_by_vector(vector, **given)
    assert len(by_vector) == 3


@pytest.mark.filterwarnings("error")
def test_relevance_is_between_zero_and_one_and_has_a_threshold(papers: MnemicVectorStore) -> None:
    scores = [score for _, score in papers.similarity_search_with_relevance_scores("1,0 what", k=4)]
    assert scores[0] == pytest.approx(1.0)
    assert scores[-1] == 0.0
    retriever = papers.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"k": 4, "score_threshold": 0.5}
    )
    assert ids(retriever.invoke("1,0 what")) == ["a", "b"]


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"form": "I-485"}, {"b", "c"}),
        ({"form": ["I-485", "I-130"]}, {"a", "b", "c"}),
        ({"form": "I-485", "year": {"$gte": 2025}}, {"c"}),
        ({"year": {"$lt": 2024}}, {"a"}),
        ({"year": {"$between": [2024, 2026]}}, {"b", "c"}),
        ({"year": {"$between": [2024, 2026], "$ne": 2024}}, {"c"}),
        ({"form": {"$nin": ["I-485"]}}, {"a"}),
        ({"form": {"$exists": False}}, {"d"}),
        ({"$or": [{"year": 2023}, {"source": "mail"}]}, {"a", "d"}),
        ({"$and": [{"form": "I-485"}, {"$not": {"year": 2026}}]}, {"b"}),
        ({"place.city": "Austin"}, {"a"}),
        ({"metadata.form": {"eq": "I-130"}}, {"a"}),
        ({"tags": {"$contains": "legal"}}, {"b"}),
        ({}, {"a", "b", "c", "d"}),
    ],
)
def test_filters_are_about_metadata(papers: MnemicVectorStore, filter: dict[str, Any], expected: set[str]) -> None:
    assert set(ids(papers.similarity_search("1,0 what", k=10, filter=filter))) == expected


def test_the_memorys_own_filters_and_users_narrow_further(papers: MnemicVectorStore) -> None:
    papers.memory.write([{"id": "e", "text": "1,0 hers", "user_id": "anna", "metadata": {"form": "I-485"}}])
    both = papers.similarity_search("1,0 what", k=9, filter={"form": "I-485"}, filters={"source": "langchain"})
    assert set(ids(both)) == {"b", "c"}
    assert ids(papers.similarity_search("1,0 what", k=9, user_id="anna")) == ["e"]


@pytest.mark.parametrize(
    "filter",
    [lambda document: True, {"$xor": []}, {"$or": {"form": 1}}, {"year": {"$between": 3}}, {"year": {"$like": "x"}}],
)
def test_a_filter_that_cannot_be_translated_is_refused(papers: MnemicVectorStore, filter: Any) -> None:
    with pytest.raises(InvalidInputError, match="filter"):
        papers.similarity_search("1,0 what", filter=filter)


def test_an_argument_that_nobody_reads_is_refused(papers: MnemicVectorStore) -> None:
    with pytest.raises(InvalidInputError, match="where_document"):
        papers.similarity_search("1,0 what", where_document={})
    with pytest.raises(InvalidInputError, match="k: expected 1 to 1000, found 0"):
        papers.similarity_search("1,0 what", k=0)


def test_by_id_in_the_order_asked_each_once_and_missing_ones_left_out(papers: MnemicVectorStore) -> None:
    assert ids(papers.get_by_ids(["c", "nobody", "a", "c", "", "with\nnewline", "x" * 300])) == ["c", "a"]
    assert papers.get_by_ids([]) == []
    assert papers.delete(["", "x" * 300, "nobody"])
    assert ids(papers.get_by_ids(["d", "a"])) == ["d", "a"]


def test_the_last_document_of_an_id_stays(store: MnemicVectorStore) -> None:
    assert store.add_texts(["1,0 old", "1,0 other", "1,0 new"], ids=["x", "y", "x"]) == ["x", "y", "x"]
    assert [document.page_content for document in store.get_by_ids(["x", "y"])] == ["1,0 new", "1,0 other"]


async def test_more_documents_than_one_call_takes(store: MnemicVectorStore) -> None:
    names = [f"n{number}" for number in range(2345)]
    documents = [Document(id=name, page_content=f"1,{number} note") for number, name in enumerate(names)]
    assert await store.aadd_documents(documents) == names
    assert ids(await store.aget_by_ids(names)) == names
    assert len(store.similarity_search("1,0 what", k=1000)) == 1000
    assert await store.adelete(names)
    assert store.get_by_ids(names) == []


async def test_deleting_all_spares_what_others_wrote(papers: MnemicVectorStore) -> None:
    papers.memory.write([{"id": "fact", "text": "1,0 fact"}])
    assert ids(papers.similarity_search("1,0 what", k=1)) in (["a"], ["fact"])
    assert await papers.adelete()
    assert ids(papers.similarity_search("1,0 what", k=9)) == ["fact"]
    assert papers.delete()
    assert papers.delete([])
    assert ids(papers.get_by_ids(["a", "fact"])) == ["fact"]


def test_a_deleted_document_is_nowhere(papers: MnemicVectorStore) -> None:
    papers.delete(["a"])
    assert papers.memory.history("a") == []


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ({"at": date(2026, 1, 1)}, r"documents\[0\].metadata.at: .* found date"),
        ({"deep": [{"x": float("nan")}]}, r"documents\[0\].metadata.deep\[0\].x: .* found nan"),
        ({"by": {1: "one"}}, r"documents\[0\].metadata.by: expected texts as keys, found int 1"),
    ],
)
def test_metadata_that_would_come_back_changed_is_refused(
    store: MnemicVectorStore, metadata: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidInputError, match=named):
        store.add_documents([Document(page_content="1,0 x", metadata=metadata)])


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (Document(page_content="1,0 " + "x" * 300_000), "262144 bytes"),
        (Document(page_content="1,0 x", metadata={"x": "y" * 70_000}), "65536 bytes"),
        (Document(page_content="1,0 x", id="i" * 256), "1 to 255 bytes"),
        (Document(page_content=" "), "only white space"),
    ],
)
def test_what_is_too_large_is_refused_by_its_limit(store: MnemicVectorStore, document: Document, named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        store.add_documents([document])


def test_ids_and_metadatas_are_as_many_as_texts(store: MnemicVectorStore) -> None:
    with pytest.raises(InvalidInputError, match="ids: expected one for each of 2 documents, found 1"):
        store.add_documents([Document(page_content="1,0 x"), Document(page_content="1,0 y")], ids=["x"])
    with pytest.raises(ValueError, match="metadatas"):
        store.add_texts(["1,0 x", "1,0 y"], [{}])
    assert store.similarity_search("1,0 x") == []


def test_maximal_marginal_relevance_prefers_what_differs(papers: MnemicVectorStore) -> None:
    nearest = papers.similarity_search("1,0.2 what", k=2)
    diverse = papers.max_marginal_relevance_search("1,0.2 what", k=2, fetch_k=3, lambda_mult=0.1)
    assert set(ids(nearest)) == {"a", "b"}
    assert ids(diverse)[0] in {"a", "b"}
    assert ids(diverse)[1] == "c"
    assert ids(papers.as_retriever(search_type="mmr", search_kwargs={"k": 1}).invoke("0,1 what")) == ["c"]
    assert papers.max_marginal_relevance_search("1,0 what", filter={"form": "none"}) == []


async def test_maximal_marginal_relevance_needs_the_embedding(store: MnemicVectorStore) -> None:
    view = MnemicVectorStore(store.memory)
    with pytest.raises(UnsupportedError, match="maximal marginal relevance"):
        view.max_marginal_relevance_search("1,0 x")
    with pytest.raises(UnsupportedError, match="maximal marginal relevance"):
        await view.amax_marginal_relevance_search_by_vector([1.0, 0.0])


def test_repetitions_come_after_all_others(store: MnemicVectorStore) -> None:
    store.add_texts(["1,0 the fee is due", "1,0 the fee is due", "0.5,0.5 anna lives in austin"], ids=["a", "b", "c"])
    assert ids(store.similarity_search("1,0 what", k=3)) == ["a", "c", "b"]


def test_it_is_the_similarity_that_counts_not_the_age(store: MnemicVectorStore) -> None:
    long_ago = "2001-01-01T00:00:00Z"
    store.memory.write([{"id": "old", "text": "1,0 exact", "created_at": long_ago, "confidence": 0.0, "salience": 0.0}])
    store.add_texts(["1,0.01 close", "0,1 far"], ids=["new", "far"])
    assert ids(store.similarity_search("1,0 what", k=1)) == ["old"]


async def test_stores_are_made_from_texts_and_documents(tmp_path: Path) -> None:
    made = MnemicVectorStore.from_texts(["1,0 x", "0,1 y"], Plane(), [{"n": 1}, {"n": 2}], ids=["x", "y"])
    assert made.similarity_search("0,1 what", k=1) == [Document(id="y", page_content="0,1 y", metadata={"n": 2})]
    documents = [Document(id="x", page_content="1,0 x"), Document(page_content="0,1 y")]
    kept = await MnemicVectorStore.afrom_documents(documents, Plane(), path=tmp_path / "memory", namespace="papers")
    await kept.memory.aclose()
    again = MnemicVectorStore.embedded(tmp_path / "memory", Plane(), namespace="papers")
    assert [document.page_content for document in again.similarity_search("0,1 what")] == ["0,1 y", "1,0 x"]
    assert MnemicVectorStore.embedded(tmp_path / "memory", Plane()).similarity_search("0,1 what") == []
    assert again.embeddings is not None
    assert "Plane" in (again.as_retriever().tags or [])


def test_a_directory_keeps_to_its_model(tmp_path: Path) -> None:
    MnemicVectorStore.from_texts(["1,0 x"], Plane(), path=tmp_path / "memory").memory.close()
    other = MnemicVectorStore.embedded(tmp_path / "memory", DeterministicFakeEmbedding(size=2))
    with pytest.raises(ModelMismatchError, match="Plane:plane@2"):
        other.add_texts(["1,0 y"])
    with pytest.raises(MnemicError, match="Plane:plane@2"):
        other.similarity_search("1,0 x")


def test_without_an_embedding_the_memorys_own_model_is_used(tmp_path: Path) -> None:
    store = MnemicVectorStore.embedded(tmp_path / "memory")
    store.add_texts(["The processing fee is $2,805.", "Anna lives in Austin."])
    (document, score) = store.similarity_search_with_score("how much does it cost", k=1)[0]
    assert document.page_content.startswith("The processing fee")
    assert 0 < score < 1
    store.memory.close()


def test_the_model_is_asked_once_for_each_text(tmp_path: Path) -> None:
    model = Plane()
    store = MnemicVectorStore(create_dev_memory_manager(embedder=LangChainEmbedder(model, dimension=2)), model)
    store.add_texts(["1,0 x", "0,1 y"])
    store.similarity_search("1,0 what")
    assert (model.documents, model.queries) == (2, 1)


def test_a_text_without_a_direction_is_found_by_words(store: MnemicVectorStore) -> None:
    store.add_texts(["0,0 nowhere", "1,0 somewhere"], ids=["zero", "one"])
    assert ids(store.similarity_search("1,0 what")) == ["one"]
    assert ids(store.similarity_search("nowhere", mode="lexical")) == ["zero"]


def test_a_model_that_fails_loses_nothing_and_hides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    store = MnemicVectorStore.dev(Broken())
    store.add_texts(["1,0 kept"], ids=["x"])
    assert "no route to the model" in caplog.text
    assert ids(store.get_by_ids(["x"])) == ["x"]
    with pytest.raises(UnavailableError, match="no route to the model"):
        store.similarity_search("1,0 kept")
    caplog.clear()
    assert ids(store.similarity_search("1,0 kept", mode="hybrid")) == ["x"]
    assert "no route to the model" in caplog.text


async def test_many_tasks_and_threads_at_once(store: MnemicVectorStore) -> None:
    async def one(number: int) -> list[str | None]:
        await store.aadd_texts([f"1,{number} task"], ids=[f"t{number}"])
        await asyncio.to_thread(store.add_texts, [f"1,{number} thread"], ids=[f"h{number}"])
        return ids(await store.aget_by_ids([f"t{number}", f"h{number}"]))

    assert await asyncio.gather(*(one(n) for n in range(20))) == [[f"t{n}", f"h{n}"] for n in range(20)]


def test_the_indexing_api_adds_changes_and_cleans_up(store: MnemicVectorStore) -> None:
    records = InMemoryRecordManager(namespace="papers")
    records.create_schema()

    def sync(*texts: str) -> dict[str, int]:
        documents = [Document(page_content=text, metadata={"source": text[-1]}) for text in texts]
        return dict(index(documents, records, store, cleanup="full", source_id_key="source", key_encoder="sha256"))

    assert sync("1,0 x", "0,1 y")["num_added"] == 2
    assert sync("1,0 x", "0,1 y")["num_skipped"] == 2
    changed = sync("1,0 x", "0,2 y")
    assert (changed["num_added"], changed["num_deleted"]) == (1, 1)
    assert [document.page_content for document in store.similarity_search("0,1 what")] == ["0,2 y", "1,0 x"]


# The retriever.


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[MemoryManager]:
    with create_embedded_memory_manager(tmp_path / "memory") as memory:
        memory.write(
            [
                {"id": "r1", "text": "Anna lives in Austin.", "user_id": "anna", "tags": ["home"], "confidence": 0.9},
                {"id": "r2", "text": "Boris lives in Boston.", "user_id": "boris", "metadata": {"id": 7, "score": "x"}},
                {"id": "r3", "text": "Anna works in Dallas.", "user_id": "anna", "type": "persona"},
            ]
        )
        yield memory


def test_documents_tell_what_the_memory_knows(memory: MemoryManager) -> None:
    (found,) = MnemicRetriever(memory=memory, k=1).invoke("where does Boris live?")
    assert (found.id, found.page_content) == ("r2", "Boris lives in Boston.")
    told = found.metadata
    assert told["id"] == "r2"
    assert told["user_id"] == "boris"
    assert 0 < told["score"] <= 1
    assert 0 < told["similarity"] <= 1
    assert told["metadata"] == {"id": 7, "score": "x"}
    assert told["created_at"].startswith("20")
    assert "confidence" not in told
    (hers,) = MnemicRetriever(memory=memory, k=1).invoke("where does Anna live?")
    assert (hers.metadata["tags"], hers.metadata["confidence"]) == (["home"], 0.9)


async def test_whose_and_which_records(memory: MemoryManager) -> None:
    retriever = MnemicRetriever(memory=memory, user_id="anna", filters={"kind": "persona"})
    assert ids(retriever.invoke("who lives where?")) == ["r3"]
    assert ids(await retriever.ainvoke("who lives where?", filters={"kind": "semantic"})) == ["r1"]
    assert ids(await retriever.ainvoke("lives", filters={"kind": "semantic"}, user_id="boris", mode="lexical")) == [
        "r2"
    ]
    with pytest.raises(InvalidInputError, match="filter"):
        retriever.invoke("who?", filters={"nonsense": 1})


def test_it_runs_in_a_chain(memory: MemoryManager) -> None:
    chain = MnemicRetriever(memory=memory, k=1) | RunnableLambda(lambda found: found[0].page_content)
    assert chain.batch(["where does Anna live?", "where does Boris live?"]) == [
        "Anna lives in Austin.",
        "Boris lives in Boston.",
    ]


def test_a_retrieval_that_missed_something_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    memory = create_dev_memory_manager(embedder=LangChainEmbedder(Broken(), dimension=2))
    memory.write(["1,0 kept"])
    assert len(MnemicRetriever(memory=memory).invoke("kept")) == 1
    assert "no route to the model" in caplog.text


def test_the_example_runs(tmp_path: Path) -> None:
    example = str(EXAMPLES / "langchain_documents.py")
    done = subprocess.run([sys.executable, example], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "by meaning: The premium processing fee is $2,805.",
        "by metadata: The interview takes place in Austin in July.",
        "what the chain sees: [anna] Anna lives in Austin.",
    ]


def test_an_argument_that_a_retriever_does_not_have_is_refused() -> None:
    memory = create_dev_memory_manager()
    with pytest.raises(ValidationError, match=r"user\n.*Extra inputs are not permitted"):
        MnemicRetriever(memory=memory, user="anna")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="user"):
        MnemicRetriever(memory=memory).invoke("where?", user="anna")
