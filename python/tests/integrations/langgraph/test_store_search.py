"""Queries of the store: what is found, in which order, with which score, and what the embedder is asked. Not here: filters without
a query (`test_store`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import DIMENSIONS, LetterEmbeddings
from langgraph.store.base import SearchItem
from langgraph.store.memory import InMemoryStore

from mnemic import (
    InvalidInputError,
    MemoryManager,
    UnsupportedError,
    create_dev_memory_manager,
    create_embedded_memory_manager,
)
from mnemic.integrations.langgraph import EmbeddingsEmbedder, MnemicStore

DOCS = ("docs",)


def keys(found: list[SearchItem]) -> list[str]:
    return [item.key for item in found]


def config(embeddings: LetterEmbeddings, *fields: str) -> Any:
    return {"dims": DIMENSIONS, "embed": embeddings, "fields": list(fields) or None}


def test_a_query_finds_by_words_first_and_fills_up_with_the_rest(store: MnemicStore) -> None:
    store.put(DOCS, "tea", {"text": "green tea from Uji"})
    store.put(DOCS, "coffee", {"text": "black coffee from Sidamo"})
    store.put(DOCS, "quiet", {"text": "green tea, never to be found"}, index=False)
    store.put(("elsewhere",), "tea", {"text": "green tea"})
    found = store.search(DOCS, query="green tea Uji")
    assert keys(found)[0] == "tea"
    assert set(keys(found)) == {"tea", "coffee", "quiet"}
    assert found[0].score is not None
    assert 0 < found[0].score <= 1
    assert {item.key: item.score for item in found}["quiet"] is None
    assert keys(found)[-1] == "quiet" or store.memory.stats().get("embedder") is None
    assert keys(store.search(DOCS, query="green tea Uji", limit=1)) == ["tea"]


def test_pages_of_a_query_join_into_the_whole_without_repeating(store: MnemicStore) -> None:
    for i in range(9):
        store.put(DOCS, f"k{i}", {"text": f"common word number {i}"}, index=False if i % 3 == 0 else None)
    whole = keys(store.search(DOCS, query="common word", limit=100))
    assert sorted(whole) == [f"k{i}" for i in range(9)]
    pages = [keys(store.search(DOCS, query="common word", limit=4, offset=offset)) for offset in (0, 4, 8)]
    assert [key for page in pages for key in page] == whole


def test_items_that_say_the_same_are_all_among_the_best(store: MnemicStore) -> None:
    for i in range(6):
        store.put((*DOCS, f"user {i}"), "prefs", {"text": "prefers green tea"}, index=["text"])
    for i in range(10):
        store.put(
            DOCS, f"other {i}", {"text": f"tea house number {i} with a long description of its rooms"}, index=["text"]
        )
    best = store.search(DOCS, query="prefers green tea", limit=6)
    assert keys(best) == ["prefs"] * 6
    assert len({item.namespace for item in best}) == 6


def test_a_query_passes_through_a_selective_filter(store: MnemicStore) -> None:
    for i in range(150):
        store.put(DOCS, f"k{i}", {"text": "the same words everywhere", "n": i, "rare": "yes" if i == 77 else "no"})
    assert keys(store.search(DOCS, query="same words", filter={"rare": "yes"})) == ["k77"]
    found = store.search(DOCS, query="same words", filter={"n": {"$gte": 140}}, limit=20)
    assert sorted(item.value["n"] for item in found) == list(range(140, 150))


def test_dense_scores_are_cosine_similarities_as_elsewhere(embeddings: LetterEmbeddings) -> None:
    ours, theirs = MnemicStore.dev(index=config(embeddings), mode="dense"), InMemoryStore(index=config(embeddings))
    for store in (ours, theirs):
        for i, text in enumerate(["green tea", "black coffee", "tea house", "a cup", "rain"]):
            store.put(DOCS, f"k{i}", {"text": text})
    expected = theirs.search(DOCS, query="tea")
    found = ours.search(DOCS, query="tea")
    assert keys(found) == keys(expected)
    assert [item.score for item in found] == pytest.approx([item.score for item in expected], abs=1e-5)


def test_an_item_with_many_texts_is_one_hit_with_the_score_of_the_best(embeddings: LetterEmbeddings) -> None:
    store = MnemicStore.dev(index=config(embeddings, "parts[*].text"), mode="dense")
    parts = [{"text": f"part {i} of many"} for i in range(40)]
    store.put(DOCS, "many", {"parts": [*parts, {"text": "zebra"}]})
    store.put(DOCS, "one", {"parts": [{"text": "horse"}]})
    store.put(DOCS, "none", {"parts": []})
    found = store.search(DOCS, query="zebra")
    assert keys(found) == ["many", "one", "none"]
    assert found[0].score == pytest.approx(1.0, abs=1e-5)
    assert found[2].score is None
    assert keys(store.search(DOCS, query="part of many", limit=2)) == ["many", "one"]


def test_an_overwritten_item_is_found_by_its_new_texts_only(embeddings: LetterEmbeddings) -> None:
    store = MnemicStore.dev(index=config(embeddings, "texts[*]"), mode="lexical")
    store.put(DOCS, "k", {"texts": ["alpha", "beta", "gamma"]})
    store.put(DOCS, "k", {"texts": ["delta"]})
    assert [
        item.score is None for word in ("alpha", "beta", "gamma", "delta") for item in store.search(DOCS, query=word)
    ] == [
        True,
        True,
        True,
        False,
    ]
    store.put(DOCS, "k", {"texts": ["alpha"]}, index=False)
    assert [item.score for item in store.search(DOCS, query="delta")] == [None]


def test_a_text_that_an_overtaken_write_left_behind_finds_nothing(store: MnemicStore) -> None:
    store.put(DOCS, "k", {"text": "alpha"}, index=["text"])
    left = store.memory.list(filters={"tags": ["langgraph.text"]}).items[0]
    left.id, left.text, left.metadata["mark"] = f"{left.metadata['item']}.t1", "omega", "another"
    store.memory.write(left.model_copy(update={"version": 0}))
    assert [hit.text for hit in store.memory.retrieve("omega", mode="lexical")] == ["omega"]
    assert [item.score for item in MnemicStore(store.memory, mode="lexical").search(DOCS, query="omega")] == [None]


def test_only_what_is_to_be_found_is_embedded(embeddings: LetterEmbeddings, tmp_path: Path) -> None:
    store = MnemicStore.embedded(tmp_path / "m", index=config(embeddings, "text"))
    store.put(DOCS, "k", {"text": "to be found", "other": "x" * 1_000_000})
    store.put(DOCS, "quiet", {"text": "not to be found"}, index=False)
    store.put(DOCS, "k2", {"text": "also", "title": "by its title"}, index=["title"])
    store.delete(DOCS, "quiet")
    assert embeddings.texts == ["to be found", "by its title"]
    store.close()


def test_a_text_beyond_a_record_is_found_by_every_part(embeddings: LetterEmbeddings) -> None:
    store = MnemicStore.dev(index=config(embeddings, "text"), mode="lexical")
    text = "first " + "filler " * 100_000 + "last"
    store.put(DOCS, "k", {"text": text})
    store.put(DOCS, "blank", {"text": " \n\0"})
    assert all(len(part.encode()) <= 256 * 1024 for part in embeddings.texts)
    for word in ("first", "last", "filler"):
        assert store.search(DOCS, query=word, limit=1)[0].score is not None
    item = store.get(DOCS, "k")
    assert item is not None
    assert item.value == {"text": text}


def test_embeddings_come_as_an_object_a_function_or_a_coroutine(embeddings: LetterEmbeddings) -> None:
    async def coroutine(texts: list[str]) -> list[list[float]]:
        await asyncio.sleep(0)
        return embeddings.embed_documents(texts)

    ways: list[Any] = [embeddings, embeddings.embed_documents, coroutine]
    for embed in ways:
        store = MnemicStore.dev(index={"dims": DIMENSIONS, "embed": embed}, mode="dense")
        store.put(DOCS, "a", {"text": "aaaa"})
        asyncio.run(store.aput(DOCS, "z", {"text": "zzzz"}))
        assert keys(store.search(DOCS, query="zz", limit=1)) == ["z"]
        assert keys(asyncio.run(store.asearch(DOCS, query="aa", limit=1))) == ["a"]


async def test_an_embedder_on_the_loop_does_not_hold_up_calls_without_one(embeddings: LetterEmbeddings) -> None:
    store = MnemicStore.dev(index=config(embeddings), mode="dense")
    store.put(DOCS, "k", {"text": "put from the loop's own thread"})
    assert keys(store.search(DOCS, query="loop")) == ["k"]
    assert keys(await store.asearch(DOCS, query="loop")) == ["k"]


def test_a_store_of_a_directory_is_there_again(embeddings: LetterEmbeddings, tmp_path: Path) -> None:
    with MnemicStore.embedded(tmp_path / "m", index=config(embeddings)) as store:
        store.put(DOCS, "k", {"text": "kept"})
    with MnemicStore.embedded(tmp_path / "m", index=config(embeddings)) as store:
        assert keys(store.search(DOCS, query="kept")) == ["k"]
        assert store.search(DOCS, query="kept")[0].score is not None


async def test_a_store_is_a_context_for_a_server(tmp_path: Path) -> None:
    async with MnemicStore.embedded(tmp_path / "m") as store:
        await store.aput(DOCS, "k", {"text": "kept"})
    async with MnemicStore.embedded(tmp_path / "m") as store:
        assert keys(await store.asearch(DOCS)) == ["k"]


def test_a_store_that_was_given_a_memory_leaves_it_open(open_memory: Callable[..., MemoryManager]) -> None:
    memory = open_memory()
    with MnemicStore(memory) as store:
        store.put(DOCS, "k", {"text": "kept"})
    assert keys(MnemicStore(memory).search(DOCS)) == ["k"]


def test_embeddings_of_the_framework_serve_any_memory(embeddings: LetterEmbeddings, tmp_path: Path) -> None:
    embedder = EmbeddingsEmbedder(embeddings, DIMENSIONS, name="letters")
    with create_embedded_memory_manager(tmp_path / "m", embedder=embedder) as memory:
        store = MnemicStore(memory, mode="dense")
        store.put(DOCS, "k", {"text": "kept"})
        found = store.search(DOCS, query="kept")
        assert found[0].score is not None
        assert memory.stats()["embedder"] == f"python/letters@{DIMENSIONS}-cosine"


def test_dense_search_without_an_embedder_is_refused() -> None:
    store = MnemicStore(create_dev_memory_manager(), mode="dense")
    store.put(DOCS, "k", {"text": "kept"})
    with pytest.raises(UnsupportedError):
        store.search(DOCS, query="kept")
    with pytest.raises(InvalidInputError, match="query"):
        MnemicStore.dev().search(DOCS, query="x" * 70_000)
