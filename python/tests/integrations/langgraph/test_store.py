"""The store as a key-value store: what is put is there, under its key, whole. Not here: queries (`test_store_search`), random
batches against other stores (`test_store_differential`)."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
from conftest import LetterEmbeddings
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchItem,
    SearchOp,
)

from mnemic import InvalidInputError, MemoryManager, create_dev_memory_manager
from mnemic.integrations.langgraph import MnemicStore

NS = ("users", "1")


def keys(found: list[SearchItem]) -> list[str]:
    return [item.key for item in found]


def test_an_item_is_what_was_put(store: MnemicStore) -> None:
    value = {"z": 1, "a": [1.0, True, None, {"b": "ü"}], "big": 2**80, "tiny": 1e-300}
    store.put(NS, "k", value)
    item = store.get(NS, "k")
    assert item is not None
    assert (item.namespace, item.key, item.value) == (NS, "k", value)
    assert list(item.value) == list(value)
    assert [type(one) for one in item.value["a"]] == [float, bool, type(None), dict]
    assert item.created_at == item.updated_at
    assert item.created_at.utcoffset() is not None


def test_an_overwritten_item_keeps_when_it_was_created(store: MnemicStore) -> None:
    store.put(NS, "k", {"v": 1})
    first = store.get(NS, "k")
    store.put(NS, "k", {"v": 2})
    second = store.get(NS, "k")
    assert first is not None
    assert second is not None
    assert second.value == {"v": 2}
    assert second.created_at == first.created_at
    assert second.updated_at > first.updated_at


@pytest.mark.parametrize("deletion", ["forget", "hide"])
def test_a_deleted_item_is_gone_and_begins_anew(open_memory: Callable[..., MemoryManager], deletion: Any) -> None:
    store = MnemicStore(open_memory(), deletion=deletion)
    store.put(NS, "k", {"secret": "swordfish"})
    before = store.get(NS, "k")
    store.delete(NS, "k")
    store.delete(NS, "k")
    store.delete(NS, "never was")
    assert store.get(NS, "k") is None
    assert store.search(NS, query="swordfish") == []
    assert store.search(()) == []
    assert store.list_namespaces() == []
    assert store.sweep_ttl() == (0 if deletion == "forget" else 2)
    assert store.memory.stats()["records"] == 0
    store.put(NS, "k", {"secret": "new"})
    after = store.get(NS, "k")
    assert before is not None
    assert after is not None
    assert after.value == {"secret": "new"}
    assert after.created_at > before.created_at


def test_reads_of_a_batch_see_what_was_before_it_and_the_last_put_wins(store: MnemicStore) -> None:
    store.put(NS, "old", {"v": "old"})
    results = store.batch(
        [
            PutOp(NS, "old", {"v": "new"}),
            GetOp(NS, "old"),
            PutOp(NS, "twice", {"v": 1}),
            SearchOp(("users",)),
            PutOp(NS, "twice", {"v": 2}),
            ListNamespacesOp(),
            PutOp(("other",), "x", {"v": 0}),
            GetOp(NS, "twice"),
            PutOp(NS, "gone", {"v": 0}),
            PutOp(NS, "gone", None),
        ]
    )
    assert results[1].value == {"v": "old"}  # type: ignore[union-attr]
    assert [item.value for item in results[3]] == [{"v": "old"}]  # type: ignore[union-attr]
    assert results[5] == [NS]
    assert [results[i] for i in (0, 2, 4, 6, 7, 8, 9)] == [None] * 7
    after = store.batch([GetOp(NS, "old"), GetOp(NS, "twice"), GetOp(NS, "gone"), GetOp(NS, "old")])
    assert [None if item is None else item.value for item in after] == [  # type: ignore[union-attr]
        {"v": "new"},
        {"v": 2},
        None,
        {"v": "new"},
    ]
    assert store.batch([]) == []


def test_a_batch_with_a_fault_changes_nothing(store: MnemicStore) -> None:
    faulty: list[Any] = [
        PutOp(NS, "b", {"v": {1, 2}}),
        PutOp(NS, "b", {"v": 1}, ttl=float("nan")),
        PutOp(("a.b",), "b", {"v": 1}),
        SearchOp(NS, filter={"v": {"$in": [1]}}),
        SearchOp(NS, limit=-1),
        SearchOp(NS, offset=-1),
        ListNamespacesOp(limit=-1),
        ListNamespacesOp((MatchCondition("infix", ("a",)),)),  # type: ignore[arg-type]
        "not an operation",
    ]
    for op in faulty:
        with pytest.raises(ValueError, match=r"\w"):
            store.batch([PutOp(NS, "a", {"v": 1}), op])
    assert store.search(()) == []


def test_a_batch_of_many_items_is_whole(store: MnemicStore) -> None:
    store.batch([PutOp(NS, f"k{i}", {"i": i}) for i in range(1200)])
    assert [item.value["i"] for item in store.batch([GetOp(NS, f"k{i}") for i in range(1200)])] == list(range(1200))  # type: ignore[union-attr]
    assert len(store.search((), limit=5000)) == 1200


@pytest.mark.parametrize(
    ("namespace", "why"),
    [
        ((), "empty"),
        (("a.b",), "periods"),
        (("",), "empty"),
        ((1,), "strings"),
        (("langgraph",), "langgraph"),
        (("a\0",), "NUL"),
    ],
)
def test_a_namespace_that_is_none_is_refused_also_in_raw_operations(
    store: MnemicStore, namespace: Any, why: str
) -> None:
    with pytest.raises(InvalidNamespaceError, match=why):
        store.put(namespace, "k", {"v": 1})
    with pytest.raises(InvalidNamespaceError, match=why):
        store.batch([PutOp(namespace, "k", {"v": 1})])
    if namespace not in ((), ("langgraph",)):
        for op in (
            GetOp(namespace, "k"),
            SearchOp(namespace),
            ListNamespacesOp((MatchCondition("prefix", namespace),)),
        ):
            with pytest.raises(InvalidNamespaceError, match=why):
                store.batch([op])


HOSTILE = [
    "'; DROP TABLE records; --",
    '" OR ""="',
    "a/../b",
    "%",
    "_",
    "*",
    "[a]",
    "a b\n\tc",
    "ключ 🔑",
    "\x00",
    "\ud800",
    "A",
    "a",
    "a\n",
    "",
    "x" * 2000,
]


def test_keys_of_every_kind_are_different_keys(store: MnemicStore) -> None:
    store.batch([PutOp(NS, key, {"key": key, key: [key]}) for key in HOSTILE])
    for key in HOSTILE:
        item = store.get(NS, key)
        assert item is not None, repr(key)
        assert (item.key, item.value) == (key, {"key": key, key: [key]})
    assert {item.key for item in store.search(NS, limit=100)} == set(HOSTILE)
    for key in HOSTILE:
        assert keys(store.search(NS, filter={"key": key})) == [key]
        assert keys(store.search(NS, filter={key: [key]})) == [key]
    with pytest.raises(InvalidInputError, match="8000 bytes"):
        store.put(NS, "x" * 9000, {"v": 1})


def test_namespaces_match_by_whole_labels_letter_for_letter(store: MnemicStore) -> None:
    spaces = [
        ("u", "1"),
        ("u", "10"),
        ("U", "1"),
        ("u%", "1"),
        ("u_", "1"),
        ("*", "1"),
        ("u\n", "1"),
        ("é", "1"),
        ("u", "1", "x"),
    ]
    for namespace in spaces:
        store.put(namespace, "k", {"at": list(namespace)})
    assert {item.namespace for item in store.search(("u", "1"))} == {("u", "1"), ("u", "1", "x")}
    for namespace in spaces:
        assert {item.namespace[: len(namespace)] for item in store.search(namespace)} == {namespace}
    assert len(store.search(())) == len(spaces)
    assert store.search(("u", "2")) == []


def test_namespaces_are_as_deep_and_as_long_as_they_are(store: MnemicStore) -> None:
    deep = tuple(f"level {i}" for i in range(120))
    other = (*deep[:100], "elsewhere")
    long = ("x" * 3000, "y")
    for namespace in (deep, other, long):
        store.put(namespace, "k", {"n": len(namespace)}, index=["n"])
    assert [item.namespace for item in store.search(deep[:101])] == [deep]
    assert {item.namespace for item in store.search(deep[:100], query="121 120 101")} == {deep, other}
    assert store.list_namespaces(prefix=("x" * 3000,)) == [long]
    assert store.list_namespaces(prefix=deep[:100], max_depth=2) == [deep[:2]]


def test_namespaces_are_listed_by_prefix_suffix_wildcard_and_depth(store: MnemicStore) -> None:
    for namespace in [("a", "b", "c"), ("a", "b", "d"), ("a", "x", "c"), ("b", "b", "c"), ("a",)]:
        store.put(namespace, "k", {"v": 1})
    assert store.list_namespaces() == [("a",), ("a", "b", "c"), ("a", "b", "d"), ("a", "x", "c"), ("b", "b", "c")]
    assert store.list_namespaces(prefix=("a", "b")) == [("a", "b", "c"), ("a", "b", "d")]
    assert store.list_namespaces(suffix=("c",)) == [("a", "b", "c"), ("a", "x", "c"), ("b", "b", "c")]
    assert store.list_namespaces(prefix=("a", "*", "c")) == [("a", "b", "c"), ("a", "x", "c")]
    assert store.list_namespaces(prefix=("*", "b")) == [("a", "b", "c"), ("a", "b", "d"), ("b", "b", "c")]
    assert store.list_namespaces(prefix=("a",), suffix=("b", "*")) == [("a", "b", "c"), ("a", "b", "d")]
    assert store.list_namespaces(max_depth=2) == [("a",), ("a", "b"), ("a", "x"), ("b", "b")]
    assert store.list_namespaces(max_depth=2, offset=1, limit=2) == [("a", "b"), ("a", "x")]


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"color": "red"}, {"apple"}),
    ({"color": {"$eq": "red"}}, {"apple"}),
    ({"color": {"$ne": "red"}}, {"lemon", "void"}),
    ({"weight": {"$gt": 100}}, {"apple"}),
    ({"weight": {"$gte": 100, "$lt": 150}}, {"lemon"}),
    ({"weight": {"$lte": 100.0}}, {"lemon"}),
    ({"color": {"$gt": "red"}}, {"lemon"}),
    ({"text": {"$gt": 5}}, {"lemon"}),
    ({"ripe": True}, {"apple"}),
    ({"ripe": 0}, {"lemon"}),
    ({"color": None}, {"void"}),
    ({"weight": None}, {"void"}),
    ({"origin": {"country": "NZ"}}, {"apple"}),
    ({"origin": {"country": {"$ne": "NZ"}}}, {"lemon"}),
    ({"tags": ["a", "b"]}, {"apple"}),
    ({"tags": ["a"]}, set()),
    ({"tags": "a"}, set()),
    ({"color": "red", "weight": {"$lt": 100}}, set()),
    ({"a-b.c 1": "x"}, {"apple"}),
    ({"color": ""}, set()),
    ({}, {"apple", "lemon", "void"}),
]


@pytest.mark.parametrize(("filter", "expected"), FILTERS)
def test_filters_mean_what_they_say(store: MnemicStore, filter: dict[str, Any], expected: set[str]) -> None:
    apple = {
        "color": "red",
        "weight": 150,
        "ripe": True,
        "origin": {"country": "NZ"},
        "tags": ["a", "b"],
        "a-b.c 1": "x",
    }
    store.put(NS, "apple", apple)
    lemon = {"color": "yellow", "weight": 100.0, "ripe": False, "origin": {"country": "IT"}, "text": "7"}
    store.put(NS, "lemon", lemon)
    store.put(NS, "void", {"color": None})
    assert set(keys(store.search(NS, filter=filter))) == expected
    assert set(keys(store.search(NS, filter=filter, query="red yellow apple"))) == expected


def test_a_value_with_many_fields_is_found_by_each(store: MnemicStore) -> None:
    wide = {f"field {i}": f"value {i}" for i in range(100)}
    store.put(NS, "wide", {"number": 1, **wide, "long": "x" * 500})
    store.put(NS, "other", {"field 1": "value 2"})
    for field, value in [*wide.items(), ("long", "x" * 500)]:
        assert keys(store.search(NS, filter={field: value})) == ["wide"]
    assert keys(store.search(NS, filter=wide)) == ["wide"]
    assert store.search(NS, filter={**wide, "field 99": "value 0"}) == []


def test_an_unknown_operator_is_refused_wherever_it_stands(store: MnemicStore) -> None:
    for filter in (
        {"a": {"$in": [1]}},
        {"a": {"b": {"$regex": "x"}}},
        {"a": {"$eq": 1, "$or": []}},
        {"a": {"$eq": 1, "b": 2}},
    ):
        with pytest.raises(ValueError, match="Unsupported operator"):
            store.search(NS, filter=filter)


def test_without_a_query_items_come_newest_update_first_in_pages(store: MnemicStore) -> None:
    for i in range(7):
        store.put(NS, f"k{i}", {"i": i})
    store.put(NS, "k2", {"i": 20})
    expected = ["k2", "k6", "k5", "k4", "k3", "k1", "k0"]
    assert keys(store.search(NS)) == expected
    assert [key for offset in range(0, 9, 3) for key in keys(store.search(NS, limit=3, offset=offset))] == expected
    assert store.search(NS, limit=0) == []
    assert keys(store.search(NS, query="  ")) == expected


@pytest.mark.parametrize("size", [1_000, 30_000, 100_000, 1_500_000])
def test_a_long_value_is_kept_whole(store: MnemicStore, size: int) -> None:
    value = {"text": 'слово "x" \\ ' * (size // 12), "n": size}
    store.put(NS, "k", value)
    store.put(NS, "small", {"n": 1})
    item = store.get(NS, "k")
    assert item is not None
    assert item.value == value
    assert [found.value for found in store.search(NS, filter={"n": size})] == [value]
    store.put(NS, "k", {"text": "short now"})
    item = store.get(NS, "k")
    assert item is not None
    assert item.value == {"text": "short now"}
    assert keys(store.search(NS, query="слово", filter={"n": size})) == []
    store.delete(NS, "k")
    store.sweep_ttl()
    assert store.memory.stats()["records"] == 2


def test_a_value_that_cannot_be_kept_is_refused_by_name(store: MnemicStore) -> None:
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"d": deep}
    refused: list[tuple[Any, str]] = [
        ({1: "x"}, "texts as keys"),
        ({"a": object()}, "JSON values"),
        ({"a": b"bytes"}, "JSON values"),
        (deep, "nesting of at most 250"),
        ({"texts": [f"text {i}" for i in range(1500)]}, "at most 1000 records"),
    ]
    for value, why in refused:
        with pytest.raises(InvalidInputError, match=why):
            store.put(NS, "k", value, index=["texts[*]"])
    assert store.get(NS, "k") is None


def test_a_deep_value_and_numbers_that_are_none_are_kept(store: MnemicStore) -> None:
    deep: dict[str, Any] = {"bottom": [math.inf, -0.0]}
    for _ in range(240):
        deep = {"d": deep}
    store.put(NS, "k", deep)
    item = store.get(NS, "k")
    assert item is not None
    assert item.value == deep
    store.put(NS, "nan", {"x": math.nan})
    item = store.get(NS, "nan")
    assert item is not None
    assert math.isnan(item.value["x"])


async def test_both_ways_of_calling_are_the_same_store(store: MnemicStore) -> None:
    await store.aput(NS, "a", {"v": 1})
    # On the loop itself: there is nothing that would wait for it.
    assert store.get(NS, "a") == await store.aget(NS, "a")
    store.put(NS, "b", {"v": 2})
    assert await store.asearch(NS) == store.search(NS)
    assert await store.alist_namespaces() == store.list_namespaces() == [NS]
    await asyncio.to_thread(store.delete, NS, "a")
    assert keys(await store.asearch(NS)) == ["b"]
    await store.adelete(NS, "b")
    assert await store.asearch(NS) == []


def test_one_store_serves_many_loops(store: MnemicStore) -> None:
    for i in range(3):
        asyncio.run(store.aput(NS, f"k{i}", {"i": i}))
    assert len(asyncio.run(store.asearch(NS))) == 3


async def test_a_cancelled_call_leaves_the_store_in_order(store: MnemicStore) -> None:
    for i in range(30):
        running = asyncio.create_task(store.aput(NS, "k", {"i": i, "text": "x" * 50_000}))
        await asyncio.sleep(0.0005 * (i % 5))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        item = await store.aget(NS, "k")
        assert item is None or item.value["text"] == "x" * 50_000
    await store.aput(NS, "k", {"i": "last"})
    assert [item.value for item in await store.asearch(NS)] == [{"i": "last"}]


WORDS = [
    "alpha",
    "bravo",
    "charlie",
    "delta",
    "echo",
    "foxtrot",
    "golf",
    "hotel",
    "india",
    "juliet",
    "kilo",
    "lima",
    "mike",
    "november",
    "oscar",
    "papa",
    "quebec",
    "romeo",
    "sierra",
    "tango",
    "uniform",
    "victor",
    "whiskey",
    "xray",
]


async def test_puts_of_one_key_at_once_leave_one_of_them_whole(store: MnemicStore) -> None:
    def value(i: int) -> dict[str, Any]:
        # Of different sizes, so that pieces and texts of one could be left beside another.
        return {"i": i, "texts": [f"{WORDS[i]} {j}" for j in range(i % 5)], "fill": f"{i} " * (20_000 * (i % 3))}

    writers = [store.aput(NS, "k", value(i), index=["texts[*]"]) for i in range(len(WORDS))]
    reads: list[Any] = []

    async def reader() -> None:
        for _ in range(40):
            reads.append(await store.aget(NS, "k"))

    await asyncio.gather(*writers, reader(), reader())
    for item in reads:
        assert item is None or item.value == value(item.value["i"])
    final = await store.aget(NS, "k")
    assert final is not None
    assert final.value == value(final.value["i"])
    winner = final.value["i"]
    for i in range(len(WORDS)):
        scored = [item for item in await store.asearch(NS, query=WORDS[i]) if item.score is not None]
        if store.memory.stats().get("embedder") is None:
            assert len(scored) == int(i == winner and i % 5 > 0)


def test_threads_that_put_at_once_lose_nothing(store: MnemicStore) -> None:
    def work(worker: int) -> None:
        for i in range(20):
            store.put((*NS, str(worker)), f"k{i}", {"worker": worker, "i": i})
            store.put(NS, "shared", {"worker": worker, "i": i})

    workers = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    assert len(store.search(NS, limit=1000)) == 81
    assert store.list_namespaces(prefix=NS) == [NS, *[(*NS, str(worker)) for worker in range(4)]]


def test_stores_in_different_namespaces_of_a_memory_are_apart(open_memory: Callable[..., MemoryManager]) -> None:
    memory = open_memory()
    memory.write("a record that is no item: teapot")
    here, there = MnemicStore(memory), MnemicStore(memory.in_namespace(memory.namespace + "-x"))
    here.put(NS, "k", {"at": "here teapot"})
    there.put(NS, "k", {"at": "there"})
    assert [item.value for item in here.search((), query="teapot")] == [{"at": "here teapot"}]
    assert [item.value for item in there.search(())] == [{"at": "there"}]


def test_what_a_store_keeps_is_found_by_the_memory(
    open_memory: Callable[..., MemoryManager],
) -> None:
    memory = open_memory()
    store = MnemicStore(memory, index={"fields": ["text"]})
    for key in ("a", "b"):
        store.put(("alice",), key, {"text": "prefers tea over coffee", "id": key})
    store.put(("alice",), "quiet", {"text": "never found: tea"}, index=False)
    hits = memory.retrieve("tea coffee", mode="lexical")
    assert {(hit.text, hit.metadata["key"], tuple(hit.path)) for hit in hits} == {
        ("prefers tea over coffee", "a", ("alice",)),
        ("prefers tea over coffee", "b", ("alice",)),
    }


def test_consolidation_takes_no_item_for_a_repetition(open_memory: Callable[..., MemoryManager]) -> None:
    memory = open_memory()
    store = MnemicStore(memory, index={"fields": ["text", "note"]})
    tea = {"text": "prefers tea over coffee in the early morning", "note": "Prefers TEA over coffee in early morning"}
    places = [(("alice",), "a"), (("alice",), "b"), (("bob",), "a")]
    for namespace, key in places:
        store.put(namespace, key, tea)
    memory.write(["Anna likes tea.", "Anna likes tea!"])
    assert memory.consolidate().deduplicated == 1, "what is no item is merged as ever"
    for prefix in (("alice",), ("bob",)):
        found = store.search(prefix, query="tea")
        at = [(item.namespace, item.key) for item in found if item.score]
        assert sorted(at) == [place for place in places if place[0] == prefix]
    # An item of before, whose texts are nobody's, is written anew as one that is protected.
    texts = memory.list(filters={"tags": ["langgraph.text"]}).items
    memory.write([text.model_copy(update={"user_id": None}) for text in texts])
    for namespace, key in places:
        store.put(namespace, key, tea)
    assert memory.consolidate().deduplicated == 0


def test_arguments_that_do_not_fit_are_refused() -> None:
    memory = create_dev_memory_manager()
    with pytest.raises(InvalidInputError, match=r"index\.embed"):
        MnemicStore(memory, index={"dims": 2, "embed": lambda texts: [[0.0, 1.0] for _ in texts]})
    with pytest.raises(InvalidInputError, match="mode"):
        MnemicStore(memory, mode="fuzzy")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="deletion"):
        MnemicStore(memory, deletion="maybe")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"index\.dims"):
        MnemicStore.dev(index={"embed": LetterEmbeddings()})
    with pytest.raises(InvalidInputError, match="dims"):
        MnemicStore.dev(index={"dims": 0, "embed": LetterEmbeddings()})
