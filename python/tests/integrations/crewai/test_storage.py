"""The storage, compared with CrewAI's own LanceDB and, where that is not the contract, with what the contract says."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from crewai.memory.storage.backend import EmbeddingDimensionMismatchError, StorageBackend
from crewai.memory.storage.lancedb_storage import LanceDBStorage
from crewai.memory.types import MemoryRecord
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnemic import InvalidInputError, SuppliedVectors, create_embedded_memory_manager
from mnemic.integrations.crewai import MnemicStorage

START = datetime(2026, 1, 1)
# No segment begins with another: LanceDB's prefixes do not end at segments.
SCOPES = st.lists(st.sampled_from(["red", "green", "blue"]), max_size=3).map(lambda parts: "/" + "/".join(parts))
CATEGORIES = st.lists(st.sampled_from(["fee", "form", "date"]), max_size=2, unique=True)
METADATA = st.dictionaries(
    st.sampled_from(["a", "b.c", "ü"]),
    st.one_of(
        st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=3), st.lists(st.integers(0, 3), max_size=2)
    ),
    max_size=2,
)
VECTORS = st.tuples(*[st.integers(-9, 9)] * 4).filter(any).map(lambda v: [x / sqrt(sum(y * y for y in v)) for x in v])


def record(number: int, **fields: Any) -> MemoryRecord:
    time = START + timedelta(hours=number)
    return MemoryRecord(
        **{"id": f"r{number}", "content": f"c{number}", "created_at": time, "last_accessed": time, **fields}
    )


@st.composite
def records(draw: st.DrawFn) -> list[MemoryRecord]:
    return [
        record(
            number,
            scope=draw(SCOPES),
            categories=draw(CATEGORIES),
            metadata=draw(METADATA),
            importance=draw(st.floats(0, 1)),
            source=draw(st.sampled_from([None, "anna"])),
            private=draw(st.booleans()),
            embedding=draw(VECTORS),
        )
        for number in range(draw(st.integers(1, 8)))
    ]


def lance(directory: str) -> LanceDBStorage:
    return LanceDBStorage(path=directory, compact_every=0)


def shown(record: MemoryRecord | None) -> dict[str, Any] | None:
    return None if record is None else record.model_dump()


def similar(found: list[tuple[MemoryRecord, float]]) -> list[float]:
    return [round(score, 4) for _, score in found]


# LanceDB scores by the squared distance d, 1 / (1 + d), and of unit vectors d is twice what lacks to a cosine of 1.
def cosine(score: float) -> float:
    return max(0.0, 1 - (1 / score - 1) / 2)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(records(), SCOPES, CATEGORIES, METADATA, VECTORS, st.integers(0, 4), st.integers(0, 4))
def test_every_reading_answers_what_lancedb_answers(
    kept: list[MemoryRecord],
    scope: str,
    categories: list[str],
    metadata: dict[str, Any],
    query: list[float],
    limit: int,
    offset: int,
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        theirs, ours = lance(directory), MnemicStorage()
        for storage in (theirs, ours):
            storage.save(kept)
        for prefix in (scope, scope + "/", None):
            assert ours.count(prefix) == theirs.count(prefix)
            assert ours.list_categories(prefix) == theirs.list_categories(prefix)
            pages = [[shown(r) for r in s.list_records(prefix, limit, offset)] for s in (ours, theirs)]
            assert pages[0] == pages[1]
            found = ours.search(query, prefix, categories, metadata, limit=5)
            reference = [(r, cosine(score)) for r, score in theirs.search(query, prefix, categories, metadata, limit=5)]
            assert similar(found) == pytest.approx(similar(reference), abs=1e-3)
            for hit, _ in found:
                assert shown(hit) == shown(theirs.get_record(hit.id))
        assert ours.get_scope_info(scope) == theirs.get_scope_info(scope)
        assert ours.list_scopes(scope) == theirs.list_scopes(scope)
        assert shown(ours.get_record("r0")) == shown(theirs.get_record("r0"))
        assert ours.get_record("none") is theirs.get_record("none") is None


@st.composite
def criteria(draw: st.DrawFn) -> dict[str, Any]:
    optional: dict[str, st.SearchStrategy[Any]] = {
        "scope_prefix": SCOPES.filter(lambda scope: scope != "/"),
        "categories": st.lists(st.sampled_from(["fee", "form", "date"]), min_size=1, max_size=2, unique=True),
        "older_than": st.integers(0, 8).map(lambda hours: START + timedelta(hours=hours)),
        "metadata_filter": st.dictionaries(st.sampled_from(["a", "b.c"]), st.integers(0, 2), min_size=1, max_size=1),
    }
    return draw(st.fixed_dictionaries({}, optional=optional))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(records(), criteria())
def test_deleting_leaves_what_lancedb_leaves(kept: list[MemoryRecord], wanted: dict[str, Any]) -> None:
    # LanceDB also removes the records of the root scope, whatever scope was named.
    kept = [r if r.scope != "/" else r.model_copy(update={"scope": "/red"}) for r in kept]
    with tempfile.TemporaryDirectory() as directory:
        theirs, ours = lance(directory), MnemicStorage()
        for storage in (theirs, ours):
            storage.save(kept)
        # LanceDB's `a OR b AND c` forgets the scope where a time is named; a scan with a category in it does not.
        if {"scope_prefix", "older_than"} <= set(wanted) and not {"categories", "metadata_filter"} & set(wanted):
            wanted.pop("older_than")
        assert ours.delete(**wanted) == theirs.delete(**wanted)
        assert [shown(r) for r in ours.list_records()] == [shown(r) for r in theirs.list_records()]
        removed = wanted.get("scope_prefix", "/blue")
        ours.reset(removed)
        theirs.reset(removed)
        assert ours.count() == theirs.count()
        assert ours.delete(record_ids=["r0", "none"]) == theirs.delete(record_ids=["r0", "none"])
        ours.reset()
        theirs.reset()
        assert ours.count() == theirs.count() == 0


@pytest.fixture(params=["process", "directory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> MnemicStorage:
    return MnemicStorage() if request.param == "process" else MnemicStorage(tmp_path / "memory")


def test_it_is_a_storage_backend(storage: MnemicStorage) -> None:
    assert isinstance(storage, StorageBackend)


def test_nothing_is_found_where_nothing_is_kept(storage: MnemicStorage) -> None:
    assert storage.count() == 0
    assert storage.search([1.0, 0.0]) == []
    assert storage.list_records() == []
    assert storage.get_record("a") is None
    assert storage.delete() == 0
    assert storage.get_scope_info("/").record_count == 0


def test_scopes_end_at_segments(storage: MnemicStorage) -> None:
    storage.save([record(0, scope="/team", embedding=[1.0, 0.0]), record(1, scope="/team/a", embedding=[1.0, 0.0])])
    storage.save([record(2, scope="/teams", embedding=[1.0, 0.0]), record(3, scope="/", embedding=[1.0, 0.0])])
    assert {hit.id for hit, _ in storage.search([1.0, 0.0], "/team")} == {"r0", "r1"}
    assert storage.count("/team") == storage.count("team/") == 2
    assert storage.list_scopes("/") == ["/team", "/teams"]
    assert storage.list_scopes("/team") == ["/team/a"]
    assert storage.delete(scope_prefix="/team") == 2
    assert {r.id for r in storage.list_records()} == {"r2", "r3"}


def test_every_criterion_of_a_deletion_must_hold(storage: MnemicStorage) -> None:
    storage.save([record(0, scope="/anna", categories=["x"]), record(1, scope="/ben", categories=["x"])])
    assert storage.delete(scope_prefix="/anna", record_ids=["r1"]) == 0
    assert storage.delete(record_ids=["r0", "r1"], older_than=START) == 0
    assert (
        storage.delete(scope_prefix="/ben", categories=["x"], record_ids=["r1"], older_than=START + timedelta(1)) == 1
    )
    assert [r.id for r in storage.list_records()] == ["r0"]


def test_the_best_come_first_above_the_least_score(storage: MnemicStorage) -> None:
    storage.save([record(n, embedding=[1.0, n / 10], importance=n / 60) for n in range(60)])
    found = storage.search([1.0, 0.0], limit=7)
    assert [hit.id for hit, _ in found] == [f"r{n}" for n in range(7)]
    assert found[0][1] == pytest.approx(1.0)
    least = found[3][1]
    assert [hit.id for hit, _ in storage.search([1.0, 0.0], min_score=least)] == ["r0", "r1", "r2", "r3"]


def test_an_embedding_of_another_dimension_is_refused_until_all_is_gone(tmp_path: Path) -> None:
    storage = MnemicStorage(tmp_path)
    storage.save([record(0, embedding=[1.0, 0.0])])
    calls = [
        lambda: storage.save([record(1, embedding=[1.0, 0.0, 0.0])]),
        lambda: storage.search([1.0, 0.0, 0.0]),
        lambda: storage.update(record(0, embedding=[1.0, 0.0, 0.0])),
        lambda: MnemicStorage(tmp_path).save([record(1, embedding=[1.0, 0.0, 0.0])]),
        lambda: MnemicStorage(tmp_path).search([1.0, 0.0, 0.0]),
    ]
    for call in calls:
        with pytest.raises(EmbeddingDimensionMismatchError) as refused:
            call()
        assert (refused.value.stored_dim, refused.value.new_dim) == (2, 3)
    with pytest.raises(EmbeddingDimensionMismatchError):
        storage.save([record(1, embedding=[1.0, 0.0]), record(2, embedding=[1.0])])
    assert storage.count() == 1
    storage.reset()
    storage.save([record(1, embedding=[1.0, 0.0, 0.0])])
    assert [hit.id for hit, _ in storage.search([1.0, 0.0, 0.0])] == ["r1"]


def test_a_namespace_with_the_longest_name_is_served(tmp_path: Path) -> None:
    storages = [MnemicStorage(tmp_path, namespace="n" * 62 + end) for end in "ab"]
    for number, storage in enumerate(storages):
        storage.save([record(0, embedding=[1.0, float(number)])])
        storage.update(record(0, scope="/moved"))
    assert [s.search([1.0, 0.0])[0][1] for s in storages] == [pytest.approx(1.0), pytest.approx(0.5**0.5)]


def test_namespaces_of_one_directory_have_dimensions_of_their_own(tmp_path: Path) -> None:
    one, two = MnemicStorage(tmp_path, namespace="one"), MnemicStorage(tmp_path, namespace="two")
    one.save([record(0, embedding=[1.0, 0.0])])
    two.save([record(1, embedding=[1.0, 0.0, 0.0])])
    assert [hit.id for hit, _ in one.search([1.0, 0.0])] == ["r0"]
    assert [hit.id for hit, _ in two.search([1.0, 0.0, 0.0])] == ["r1"]


def test_what_has_no_embedding_is_kept_and_found_once_it_has_one(storage: MnemicStorage) -> None:
    storage.save([record(0), record(1, content=" \n", embedding=[])])
    storage.save([record(2, embedding=[0.0, 0.0]), record(3, embedding=[0.0, 1.0])])
    assert [r.id for r in storage.list_records()] == ["r3", "r2", "r1", "r0"]
    found = storage.get_record("r1")
    assert found is not None
    assert found.content == " \n"
    assert [hit.id for hit, _ in storage.search([0.0, 1.0])] == ["r3"]
    assert storage.search([0.0, 0.0]) == []
    storage.update(record(0, embedding=[0.0, 1.0]))
    assert {hit.id for hit, _ in storage.search([0.0, 1.0])} == {"r0", "r3"}


def test_an_update_without_an_embedding_keeps_the_one_there_is(storage: MnemicStorage) -> None:
    storage.save([record(0, embedding=[0.6, 0.8])])
    existing = storage.get_record("r0")
    assert existing is not None
    storage.update(existing.model_copy(update={"scope": "/moved", "categories": ["x"]}))
    [(hit, score)] = storage.search([0.6, 0.8], "/moved", ["x"])
    assert (hit.id, score) == ("r0", pytest.approx(1.0))
    storage.update(record(9, embedding=[1.0, 0.0]))
    assert storage.count() == 2


def test_what_is_removed_can_be_read_nowhere(tmp_path: Path) -> None:
    storage = MnemicStorage(tmp_path, namespace="crew")
    storage.save([record(0, content="the secret", embedding=[1.0, 0.0])])
    assert storage.delete(record_ids=["r0"]) == 1
    storage.close()
    memory = create_embedded_memory_manager(tmp_path, namespace="crew")
    for namespace in memory.namespaces().items:
        assert memory.in_namespace(namespace).history("r0") == []


def test_records_that_came_another_way_are_not_touched(tmp_path: Path) -> None:
    storage = MnemicStorage(tmp_path)
    storage.save([record(0, embedding=[1.0, 0.0])])
    memory = create_embedded_memory_manager(tmp_path, embedder=SuppliedVectors(2))
    memory.write({"id": "other", "text": "not from a crew", "embedding": [1.0, 0.0]})
    assert [hit.id for hit, _ in storage.search([1.0, 0.0])] == ["r0"]
    assert storage.get_record("other") is None
    storage.reset()
    assert memory.get(["other"])[0] is not None


def test_it_keeps_across_closing_and_opening(tmp_path: Path) -> None:
    storage = MnemicStorage(tmp_path)
    storage.save([record(0, metadata={"nested": {"list": [1, None, "x"]}}, embedding=[1.0, 0.0])])
    storage.close()
    storage.save([record(1, embedding=[1.0, 0.0])])
    again = MnemicStorage(tmp_path)
    found = again.get_record("r0")
    assert found is not None
    assert found.metadata == {"nested": {"list": [1, None, "x"]}}
    assert again.count() == 2


def test_what_does_not_fit_is_refused_and_named(storage: MnemicStorage) -> None:
    with pytest.raises(InvalidInputError, match=r"text: expected at most 262144 bytes"):
        storage.save([record(0, content="x" * 300_000, embedding=[1.0, 0.0])])
    with pytest.raises(InvalidInputError, match=r"metadata: expected at most 65536 bytes"):
        storage.save([record(0, metadata={"k": "x" * 70_000}, embedding=[1.0, 0.0])])
    with pytest.raises(TypeError, match="not JSON serializable"):
        storage.save([record(0, metadata={"k": object()}, embedding=[1.0, 0.0])])
    assert storage.count() == 0


def test_many_threads_save_at_once(storage: MnemicStorage) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: storage.save([record(n, embedding=[1.0, n])]), range(100)))
    assert storage.count() == 100
    storage.save([record(n, embedding=[1.0, n]) for n in range(2500)])
    assert storage.count() == 2500
    assert storage.delete(older_than=START + timedelta(hours=2400)) == 2400


async def test_the_coroutines_do_the_same(storage: MnemicStorage) -> None:
    await storage.asave([record(0, embedding=[1.0, 0.0])])
    assert [hit.id for hit, _ in await storage.asearch([1.0, 0.0])] == ["r0"]
    assert await storage.adelete(record_ids=["r0"]) == 1
