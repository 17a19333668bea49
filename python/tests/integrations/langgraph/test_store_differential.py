"""Random batches of operations, given to Mnemic's store and to the framework's own stores, must be answered alike.

Where the framework's stores disagree with each other, Mnemic's documented choice is asserted: against the one that agrees with it,
or by a plain model. These are the differences, and which is followed:

- ``created_at`` of an overwritten item: kept, as the PostgreSQL store does; the in-memory and the SQLite store begin anew.
- order without a query: newest update first, as the SQL stores; the in-memory store goes by first insertion.
- namespaces: those that hold items, as the SQL stores; the in-memory store also lists emptied and merely asked-for ones.
- filters: equality as in the in-memory store (the SQLite store has no nested conditions, and takes a missing value for neither equal
  nor unequal); order is total, where the in-memory store fails on what cannot be a number.
- negative limits and offsets are refused.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pytest
from conftest import DIMENSIONS, LetterEmbeddings
from hypothesis import given
from hypothesis import strategies as st
from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore

from mnemic.integrations.langgraph import MnemicStore

# Few of each, so that operations meet.
LABELS = st.sampled_from(["a", "b", "aa", "A", "ö x", "%"])
NAMESPACES = st.lists(LABELS, min_size=1, max_size=3).map(tuple)
PREFIXES = st.lists(LABELS, max_size=2).map(tuple)
PATTERNS = st.lists(st.one_of(LABELS, st.just("*")), min_size=1, max_size=3).map(tuple)
KEYS = st.sampled_from(["k", "K", "l", "ключ", "'; --"])
FIELDS = st.sampled_from(["color", "n", "flag", "note"])
TEXTS = st.sampled_from(["red", "green", "", "12", "Rød", 'a"b', "\\"])
NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 2.0, -1.5, 10**6]))
SCALARS = st.one_of(TEXTS, NUMBERS, st.booleans(), st.none())
VALUES = st.dictionaries(
    FIELDS, st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(FIELDS, SCALARS, max_size=2)), max_size=4
)
# Conditions that every store understands in the same way, and those that only the in-memory store does.
COMMON_CONDITIONS = st.one_of(TEXTS, NUMBERS, st.booleans(), TEXTS.map(lambda text: {"$eq": text}))
ALL_CONDITIONS = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=2),
    st.dictionaries(st.sampled_from(["$eq", "$ne"]), SCALARS, min_size=1, max_size=2),
    st.dictionaries(FIELDS, st.one_of(SCALARS, SCALARS.map(lambda held: {"$ne": held})), min_size=1, max_size=2),
)
WINDOWS = st.tuples(st.integers(0, 12), st.integers(0, 4))

PUTS = st.builds(lambda *fields: PutOp(*fields), NAMESPACES, KEYS, st.one_of(VALUES, VALUES, VALUES, st.none()))
GETS = st.builds(lambda *fields: GetOp(*fields), NAMESPACES, KEYS)
LISTINGS = st.builds(
    lambda conditions, depth, window: ListNamespacesOp(tuple(conditions), depth, *window),
    st.lists(st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), PATTERNS), max_size=2),
    st.one_of(st.none(), st.integers(1, 3)),
    WINDOWS,
)


def searches(conditions: st.SearchStrategy[Any]) -> st.SearchStrategy[SearchOp]:
    return st.builds(
        lambda prefix, filter, window: SearchOp(prefix, filter or None, *window),
        PREFIXES,
        st.dictionaries(FIELDS, conditions, max_size=2),
        WINDOWS,
    )


def batches(*ops: st.SearchStrategy[Any]) -> st.SearchStrategy[list[list[Op]]]:
    return st.lists(st.lists(st.one_of(PUTS, PUTS, GETS, *ops), min_size=1, max_size=8), min_size=1, max_size=5)


def plain(result: Result) -> Any:
    """An answer without times, which no two stores share."""
    if isinstance(result, Item):
        return (tuple(result.namespace), result.key, result.value)
    if isinstance(result, list):
        return [plain(one) for one in result]  # type: ignore[arg-type]
    return result


def every(ops: Iterable[Op]) -> list[Op]:
    """Searches without their window, so that stores with another order can be compared."""
    return [op._replace(limit=10_000, offset=0) if isinstance(op, SearchOp) else op for op in ops]


def unordered(op: Op, answer: Any) -> Any:
    return sorted(answer, key=repr) if isinstance(op, SearchOp) else answer


class Async:
    """The asynchronous side of a store, called from a loop."""

    def __init__(self, store: BaseStore, loop: asyncio.AbstractEventLoop) -> None:
        self._store, self._loop = store, loop

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        return self._loop.run_until_complete(self._store.abatch(ops))


@pytest.fixture(params=["sync", "async"])
def sided(request: pytest.FixtureRequest) -> Any:
    """How stores are called: without a loop, and from one."""
    if request.param == "sync":
        yield lambda store: store
        return
    loop = asyncio.new_event_loop()
    yield lambda store: Async(store, loop)
    loop.close()


@given(batches(searches(ALL_CONDITIONS)))
def test_it_answers_as_the_in_memory_store(sided: Any, run: list[list[Op]]) -> None:
    ours, theirs = sided(MnemicStore.dev()), sided(InMemoryStore())
    for ops in run:
        whole = every(ops)
        for op, mine, its in zip(whole, ours.batch(whole), theirs.batch(whole), strict=True):
            assert unordered(op, plain(mine)) == unordered(op, plain(its)), op


@given(batches(searches(COMMON_CONDITIONS), LISTINGS))
def test_it_answers_as_the_sqlite_store(sided: Any, run: list[list[Op]]) -> None:
    ours = sided(MnemicStore.dev())
    with sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None) as connection:
        theirs = SqliteStore(connection)
        theirs.setup()
        for ops in run:
            whole = every(ops)
            for op, mine, its in zip(whole, ours.batch(whole), theirs.batch(whole), strict=True):
                expected = unordered(op, plain(its))
                if isinstance(op, SearchOp):
                    # SQLite compares texts of JSON, so a list or an object there may equal a text that looks like it.
                    expected = [one for one in expected if in_memory_passes(op, one[2])]
                assert unordered(op, plain(mine)) == expected, op


def in_memory_passes(op: SearchOp, value: dict[str, Any]) -> bool:
    theirs = InMemoryStore()
    theirs.put(("x",), "x", value)
    return bool(theirs.search(("x",), filter=op.filter))


class Model:
    """What the documentation says, in a dozen lines: for order, windows, times and namespaces."""

    def __init__(self) -> None:
        self.items: dict[tuple[tuple[str, ...], str], tuple[int, int, dict[str, Any]]] = {}
        self.step = 0

    def batch(self, ops: list[Op]) -> list[Any]:
        answers = [self._read(op) for op in ops]
        self.step += 1
        for op in ops:
            if not isinstance(op, PutOp):
                continue
            place = (op.namespace, op.key)
            if op.value is not None:
                # What a batch had put and deleted before its last put of a key never was.
                created = self.before.get(place, (self.step, 0, {}))[0]
                self.items[place] = (created, self.step, dict(op.value))
            else:
                self.items.pop(place, None)
        return answers

    def _read(self, op: Op) -> Any:
        self.before = dict(self.items)
        if isinstance(op, GetOp):
            found = self.items.get((op.namespace, op.key))
            return None if found is None else (op.namespace, op.key, *found)
        if isinstance(op, SearchOp):
            depth = len(op.namespace_prefix)
            places = [place for place in self.items if place[0][:depth] == op.namespace_prefix]
            places.sort()
            places.sort(key=lambda place: self.items[place][1], reverse=True)
            return [(*place, *self.items[place]) for place in places][op.offset : op.offset + op.limit]
        return None


@given(batches(searches(st.nothing())))
def test_order_windows_and_times_are_those_of_the_documentation(sided: Any, run: list[list[Op]]) -> None:
    ours, model = sided(MnemicStore.dev()), Model()
    times: dict[datetime, int] = {}
    for ops in run:
        for op, mine, expected in zip(ops, ours.batch(ops), model.batch(ops), strict=True):
            if isinstance(op, GetOp):
                assert (None if mine is None else plain(mine)) == (
                    None if expected is None else (*expected[:2], expected[4])
                )
                pairs = [] if mine is None else [(mine, expected)]
            elif isinstance(op, SearchOp):
                assert plain(mine) == [(one[0], one[1], one[4]) for one in expected]
                pairs = list(zip(mine, expected, strict=True))
            else:
                pairs = []
            for item, (_, _, created, updated, _) in pairs:
                # Each time belongs to one step of the model, and later steps have later times.
                assert times.setdefault(item.created_at, created) == created
                assert times.setdefault(item.updated_at, updated) == updated
    assert [step for _, step in sorted(times.items())] == sorted(times.values())
    assert len(set(times.values())) == len(times)


ORDERS = st.dictionaries(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), NUMBERS, min_size=1, max_size=2)


@given(st.lists(NUMBERS, min_size=1, max_size=8), ORDERS)
def test_orders_of_numbers_are_those_of_both_stores(numbers: list[float], condition: dict[str, Any]) -> None:
    ours, memory = MnemicStore.dev(), InMemoryStore()
    with sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None) as connection:
        sqlite = SqliteStore(connection)
        sqlite.setup()
        answers = []
        for store in (ours, memory, sqlite):
            for i, number in enumerate(numbers):
                store.put(("n",), str(i), {"n": number if i % 2 else str(number)})
            found = store.search(("n",), filter={"n": condition}, limit=100)
            answers.append(sorted(item.key for item in found))
    assert answers[0] == answers[1] == answers[2]


WORDS = st.lists(
    st.sampled_from(["tea", "coffee", "milk", "sugar", "rain", "snow", "wind", "fog", "desk", "lamp"]),
    min_size=1,
    max_size=5,
).map(" ".join)
DOCUMENTS = st.fixed_dictionaries(
    {"text": WORDS}, optional={"color": TEXTS, "parts": st.lists(st.fixed_dictionaries({"text": WORDS}), max_size=3)}
)
INDEXES = st.sampled_from([None, None, False, ["text"], ["parts[*].text"], ["text", "parts[0].text"], ["missing"]])
INDEXED_PUTS = st.builds(
    lambda *fields: PutOp(*fields), NAMESPACES, KEYS, st.one_of(DOCUMENTS, DOCUMENTS, st.none()), INDEXES
)
QUERIES = st.builds(
    lambda prefix, filter, limit, query: SearchOp(prefix, filter or None, limit, 0, query),
    PREFIXES,
    st.dictionaries(st.just("color"), COMMON_CONDITIONS, max_size=1),
    st.integers(1, 12),
    WORDS,
)


@given(
    st.lists(st.lists(st.one_of(INDEXED_PUTS, INDEXED_PUTS, QUERIES), min_size=1, max_size=6), min_size=1, max_size=5),
    st.sampled_from([None, ["$"], ["text"], ["parts[*].text", "text"]]),
)
def test_queries_are_answered_as_by_the_in_memory_store(
    sided: Any, run: list[list[Op]], fields: list[str] | None
) -> None:
    config: Any = {"dims": DIMENSIONS, "embed": LetterEmbeddings(), "fields": fields}
    ours, theirs = sided(MnemicStore.dev(index=config, mode="dense")), sided(Reference(index=config))
    for ops in run:
        for op, mine, its in zip(ops, ours.batch(ops), theirs.batch(ops), strict=True):
            if isinstance(op, SearchOp):
                agree(op, mine, its)


class Reference(InMemoryStore):
    """The in-memory store without two faults of it: it keeps the vectors of values that were overwritten, and gives up when
    two items of one batch have the same text."""

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        results: list[Result] = []
        puts: dict[Any, PutOp] = {}
        for op in ops:
            if isinstance(op, PutOp):
                puts[(op.namespace, op.key)] = op
                results.append(None)
            else:
                results.extend(super().batch([op]))
        for (namespace, key), op in puts.items():
            super().batch([PutOp(namespace, key, None)])
            for part in [op] if op.value is not None else []:
                self._put(part)
        return results

    def _put(self, op: PutOp) -> None:
        super().batch([op._replace(index=False)])
        if op.index is not False:
            texts = list(self._extract_texts({(op.namespace, op.key): op}))
            assert self.embeddings is not None
            for i, vector in enumerate(self.embeddings.embed_documents(texts)):
                self._vectors[op.namespace][op.key][str(i)] = vector

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return self.batch(ops)


def agree(op: SearchOp, mine: Any, its: Any) -> None:
    """The same scores in the same order, and the same items wherever scores tell them apart; those without a score in any order."""
    scores, expected = [item.score for item in mine], [item.score for item in its]
    assert len(scores) == len(expected), op
    assert [score is None for score in scores] == [score is None for score in expected], op
    assert [score for score in scores if score is not None] == pytest.approx(
        [score for score in expected if score is not None], abs=1e-5
    )
    for item, other in zip(mine, its, strict=True):
        near = [one for one in expected if one is not None and item.score is not None and abs(one - item.score) < 1e-5]
        if len(near) == 1:
            assert plain(item) == plain(other), op
