"""The store, compared step by step with the harness's own in-memory and SQLite stores, and what the contract says beside that."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_ai_harness.memory import (
    InMemoryStore,
    MemoryConflictError,
    MemoryOperation,
    MemoryOperationConflictError,
    MemoryStore,
    MetadataMemoryStore,
    SearchableMemoryStore,
    SqliteMemoryStore,
)

from mnemic import (
    InvalidInputError,
    MemoryManager,
    UnavailableError,
    create_dev_memory_manager,
    create_embedded_memory_manager,
)
from mnemic.integrations.pydantic_ai import MnemicMemoryStore

settings.register_profile("mnemic", database=None, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("mnemic")

PATHS = st.sampled_from(["a/MEMORY.md", "a/b/MEMORY.md", "a/notes.md", "ab/x", "top", "a/b-c/.d_1"])
CONTENT = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["", " ", "\n\n", "a\0b", "e\u0301", "😀", "\ud800"]),
    st.tuples(st.sampled_from(["x", " ", "é", "😀", "\0"]), st.sampled_from([3999, 4000, 4001, 9000])).map(
        lambda pair: pair[0] * pair[1] + "end"
    ),
)
METADATA = st.one_of(st.none(), st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2))
OPERATIONS = st.one_of(st.none(), st.builds(MemoryOperation, st.sampled_from("abc"), st.sampled_from("xy")))
VERSIONS = st.sampled_from(["right", "right", "right", "none", "old", "other"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), PATHS, CONTENT, METADATA, VERSIONS, OPERATIONS),
        st.tuples(st.just("delete"), PATHS, VERSIONS, OPERATIONS),
        st.tuples(st.just("read"), PATHS, st.sampled_from([1, 5, 4000, 4001, 10**6])),
        st.tuples(st.just("list"), st.sampled_from(["", "a", "a/", "a/b", "a/b/", "zz"]), st.integers(1, 4)),
        st.tuples(st.just("receipt"), OPERATIONS.filter(lambda operation: operation is not None)),
    ),
    max_size=15,
)


class Twin:
    """One store and the versions that it gave out: these are opaque, so that two stores are compared by what their holders know."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.names: dict[str, int] = {}
        self.seen: dict[str, list[str]] = {}

    def named(self, version: str | None) -> int | None:
        return None if version is None else self.names.setdefault(version, len(self.names))

    async def version(self, path: str, choice: str) -> str | None:
        current = await self.store.read(path, max_chars=1)
        old = [version for version in self.seen.get(path, []) if current is None or version != current.version]
        match choice:
            case "right":
                return None if current is None else current.version
            case "old" if old:
                return old[0]
            case "other":
                return "no such version"
        return None

    async def run(self, step: tuple[Any, ...]) -> Any:
        try:
            return await self.answer(step)
        except (MemoryConflictError, MemoryOperationConflictError, ValueError) as error:
            return type(error).__name__

    async def answer(self, step: tuple[Any, ...]) -> Any:
        match step:
            case ("write", path, content, metadata, choice, operation):
                version = await self.version(path, choice)
                done = await self.store.write_with_metadata(
                    path, content, expected_version=version, metadata=metadata, operation=operation
                )
                if done.replayed:
                    # The version of whichever path the operation was first used for.
                    return done.version is None, True, done.existed
                self.seen.setdefault(path, []).append(str(done.version))
                return self.named(f"{path} {done.version}"), False, done.existed
            case ("delete", path, choice, operation):
                done = await self.store.delete(
                    path, expected_version=await self.version(path, choice), operation=operation
                )
                return done.version is None, done.replayed, done.existed
            case ("read", path, max_chars):
                file = await self.store.read(path, max_chars=max_chars)
                if file is None:
                    return None
                return (
                    file.content,
                    file.truncated,
                    file.operation_id,
                    file.metadata,
                    self.named(f"{path} {file.version}"),
                )
            case ("list", prefix, limit):
                return await self.store.list_paths(prefix, limit=limit)
            case ("receipt", operation):
                done = await self.store.get_operation(operation)
                return None if done is None else (done.version is None, done.replayed, done.existed)
        raise AssertionError(step)


@settings(max_examples=60)
@given(STEPS)
def test_every_step_answers_what_the_store_in_memory_answers(steps: list[tuple[Any, ...]]) -> None:
    async def compare() -> None:
        ours, theirs = Twin(MnemicMemoryStore(create_dev_memory_manager())), Twin(InMemoryStore())
        for step in steps:
            assert await ours.run(step) == await theirs.run(step), step
        for path in ["a/MEMORY.md", "a/b/MEMORY.md", "a/notes.md", "ab/x", "top", "a/b-c/.d_1"]:
            everything = ("read", path, 10**6)
            assert await ours.run(everything) == await theirs.run(everything)

    asyncio.run(compare())


PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.just("write"), PATHS, PLAIN, METADATA, VERSIONS, OPERATIONS), max_size=8))
def test_a_kept_store_answers_what_sqlite_answers(steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as directory:

        async def compare() -> None:
            memory = create_embedded_memory_manager(f"{directory}/memory")
            ours = Twin(MnemicMemoryStore(memory))
            theirs = Twin(SqliteMemoryStore(database=f"{directory}/sqlite"))
            for step in steps:
                assert await ours.run(step) == await theirs.run(step), step
            assert await ours.run(("list", "", 99)) == await theirs.run(("list", "", 99))
            await memory.aclose()

        asyncio.run(compare())


@pytest.fixture(params=["process", "directory"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MemoryManager]:
    made = create_dev_memory_manager() if request.param == "process" else create_embedded_memory_manager(tmp_path / "m")
    yield made
    made.close()


@pytest.fixture
def store(memory: MemoryManager) -> MnemicMemoryStore:
    return MnemicMemoryStore(memory)


@pytest.mark.parametrize("protocol", [MemoryStore, SearchableMemoryStore, MetadataMemoryStore])
def test_it_is_what_the_harness_asks_for(store: MnemicMemoryStore, protocol: type) -> None:
    assert isinstance(store, protocol)


@pytest.mark.parametrize(
    "path", ["", "/a", "a/", "a//b", "../a", "a/..", "a/./b", "a b", "a\n", "é", "x" * 201, "a..b"]
)
async def test_a_path_that_leads_elsewhere_is_refused(store: MnemicMemoryStore, path: str) -> None:
    for other in (store, InMemoryStore()):
        with pytest.raises(ValueError, match="path"):
            await other.read(path, max_chars=1)
        with pytest.raises(ValueError, match="path"):
            await other.write(path, "x", expected_version=None)
        with pytest.raises(ValueError, match="path"):
            await other.delete(path, expected_version=None)


async def test_metadata_that_the_harness_refuses_is_refused(store: MnemicMemoryStore) -> None:
    wrong: list[tuple[Any, type[Exception]]] = [
        ({"a": 1}, TypeError),
        ({"a": "\0"}, ValueError),
        ({"a": "x" * 4096}, ValueError),
    ]
    for other in (store, InMemoryStore()):
        for metadata, error in wrong:
            with pytest.raises(error, match="memory metadata"):
                await other.write_with_metadata("a", "x", expected_version=None, metadata=metadata)
        await other.write_with_metadata("a", "x", expected_version=None, metadata={"a": "x" * 4088})
    with pytest.raises(ValueError, match="max_chars"):
        await store.read("a", max_chars=0)
    with pytest.raises(ValueError, match="limit"):
        await store.list_paths(limit=0)


async def test_a_version_is_never_given_out_twice(store: MnemicMemoryStore) -> None:
    first = await store.write("a", "one", expected_version=None)
    await store.delete("a", expected_version=first.version)
    second = await store.write("a", "two", expected_version=None)
    assert second.version != first.version
    with pytest.raises(MemoryConflictError):
        await store.write("a", "three", expected_version=first.version)
    found = await store.read("a", max_chars=9)
    assert found is not None
    assert found.content == "two"


async def test_a_file_longer_than_a_record_may_be_is_kept_whole(store: MnemicMemoryStore) -> None:
    content = "".join(random.Random(1).choices("ab é😀\n", k=300_000))
    done = await store.write("long.md", content, expected_version=None)
    whole = await store.read("long.md", max_chars=10**6)
    assert whole is not None
    assert (whole.content, whole.truncated) == (content, False)
    start = await store.read("long.md", max_chars=7_777)
    assert start is not None
    assert (start.content, start.truncated) == (content[:7_777], True)
    changed = content[:100_000] + "!" + content[100_000:]
    done = await store.write("long.md", changed, expected_version=done.version)
    await store.write("long.md", "short", expected_version=done.version)
    short = await store.read("long.md", max_chars=10**6)
    assert short is not None
    assert short.content == "short"


async def test_a_file_that_is_too_long_is_refused_and_not_cut(store: MnemicMemoryStore) -> None:
    with pytest.raises(InvalidInputError, match="a: expected at most 3992000 characters, found 3992001"):
        await store.write("a", "x" * 3_992_001, expected_version=None)
    assert await store.read("a", max_chars=1) is None
    await store.write("a", "x" * 3_992_000, expected_version=None)
    found = await store.read("a", max_chars=4_000_000)
    assert found is not None
    assert len(found.content) == 3_992_000


async def test_only_what_changed_is_written(memory: MemoryManager, store: MnemicMemoryStore) -> None:
    content = "\n".join(f"line {number}" for number in range(3000))
    done = await store.write("a", content, expected_version=None)
    before = memory.stats()["revisions"]
    await store.write("a", content + "\none more", expected_version=done.version)
    assert memory.stats()["revisions"] == before + 2


async def test_of_many_writers_each_change_counts_once(store: MnemicMemoryStore) -> None:
    async def add(name: str) -> None:
        while True:
            current = await store.read("log", max_chars=10**6)
            content, version = ("", None) if current is None else (current.content, current.version)
            try:
                operation = MemoryOperation(name, "append")
                await store.write("log", content + name + "\n", expected_version=version, operation=operation)
                return
            except MemoryConflictError:
                await asyncio.sleep(0)

    names = [f"writer-{number}" for number in range(20)]
    await asyncio.gather(*(add(name) for name in names))
    found = await store.read("log", max_chars=10**6)
    assert found is not None
    assert sorted(found.content.split()) == sorted(names)


async def test_the_same_operation_at_once_happens_once(store: MnemicMemoryStore) -> None:
    operation = MemoryOperation("run/1", "write")
    done = await asyncio.gather(
        *(store.write("a", "text", expected_version=None, operation=operation) for _ in range(10))
    )
    assert [d.replayed for d in done].count(False) == 1
    assert len({d.version for d in done}) == 1
    with pytest.raises(MemoryOperationConflictError):
        await store.write("b", "text", expected_version=None, operation=MemoryOperation("run/1", "other"))


async def test_a_reader_sees_one_version_and_never_a_mixture(store: MnemicMemoryStore) -> None:
    async def rewrite() -> None:
        version: str | None = None
        for number in range(30):
            if number % 7 == 6:
                await store.delete("a", expected_version=version)
                version = None
            done = await store.write("a", f"{number:02}" * (100 + number * 300), expected_version=version)
            version = done.version

    async def look() -> int:
        seen = 0
        while not writer.done():
            found = await store.read("a", max_chars=10**6)
            if found is not None:
                assert len({found.content[start : start + 2] for start in range(0, len(found.content), 2)}) <= 1
                seen += 1
        return seen

    writer = asyncio.create_task(rewrite())
    assert sum(await asyncio.gather(look(), look())) > 0
    await writer


async def test_what_is_deleted_can_be_read_nowhere(memory: MemoryManager, store: MnemicMemoryStore) -> None:
    done = await store.write("a", "the secret " * 1000, expected_version=None)
    done = await store.write("a", "a smaller secret", expected_version=done.version)
    ids = [record.id for record in memory.list().items]
    await store.delete("a", expected_version=done.version)
    for id in ids:
        for revision in memory.history(id or ""):
            assert revision.record is None or "secret" not in revision.record.text
    assert memory.retrieve("secret", mode="lexical") == []


async def test_text_that_a_failed_deletion_left_is_forgotten_with_the_next_change(
    memory: MemoryManager, store: MnemicMemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(**_: Any) -> None:
        raise UnavailableError("the process ends here")

    done = await store.write("a/b", "the secret", expected_version=None)
    with monkeypatch.context() as broken:
        broken.setattr(memory, "aforget", fail)
        with pytest.raises(UnavailableError):
            await store.delete("a/b", expected_version=done.version)
    assert await store.read("a/b", max_chars=9) is None
    await store.write("a/b", "the news", expected_version=None)
    assert memory.retrieve("secret", mode="lexical") == []
    found = await store.read("a/b", max_chars=9)
    assert found is not None
    assert found.content == "the news"


async def test_people_in_one_namespace_have_files_of_their_own(memory: MemoryManager) -> None:
    anna, ben = MnemicMemoryStore(memory, user_id="anna"), MnemicMemoryStore(memory, user_id="ben")
    await anna.write("main/MEMORY.md", "Anna likes tea", expected_version=None)
    assert await ben.read("main/MEMORY.md", max_chars=99) is None
    assert await ben.list_paths(limit=9) == []
    bounds = {"limit": 5, "max_files": 5, "max_chars": 500, "max_file_chars": 500}
    assert (await ben.search("main/", "tea", **bounds)).matches == []
    assert len((await anna.search("main/", "tea", **bounds)).matches) == 1
    await memory.aforget(user_id="anna")
    assert await anna.read("main/MEMORY.md", max_chars=99) is None


async def test_searching_finds_passages_below_the_prefix_only(store: MnemicMemoryStore) -> None:
    files = {
        "t/main/MEMORY.md": "The fee is paid in March.",
        "t/main/fees.md": "filler words here " * 900 + "the premium processing fee is $2,805",
        "t/main/sub/deeper.md": "the fee of another agent",
        "t/mainly/other.md": "the fee of a third agent",
        "t/main/pets.md": "Rex is a dog",
    }
    for path, content in files.items():
        await store.write(path, content, expected_version=None)
    bounds = {"limit": 5, "max_files": 10, "max_chars": 500, "max_file_chars": 100_000}
    found = await store.search("t/main/", "premium fee", **bounds)
    assert {"t/main/MEMORY.md", "t/main/fees.md"} <= {match.path for match in found.matches}
    assert {match.path.rpartition("/")[0] for match in found.matches} == {"t/main"}
    assert next(match for match in found.matches if match.path == "t/main/fees.md").snippet.endswith("$2,805")
    assert (found.scanned, found.truncated) == (3, False)
    near = await store.search("t/main/", "premium fee", **{**bounds, "max_file_chars": 100})
    assert near.truncated
    assert all("$2,805" not in match.snippet for match in near.matches)
    assert (await store.search("t/main/", "pets", **bounds)).matches[0].path == "t/main/pets.md"
    one = await store.search("t/main/", "premium fee", **{**bounds, "max_files": 1})
    assert ([match.path for match in one.matches], one.scanned, one.truncated) == (["t/main/MEMORY.md"], 1, True)
    assert (await store.search("t/main/", "  ", **bounds)).scanned == 0


@settings(max_examples=25)
@given(
    st.integers(1, 4), st.integers(1, 60), st.lists(st.sampled_from(["fee", "fee due", "dog"]), min_size=1, max_size=6)
)
def test_matches_stay_within_their_bounds(limit: int, max_chars: int, contents: list[str]) -> None:
    async def check() -> None:
        store = MnemicMemoryStore(create_dev_memory_manager())
        for number, content in enumerate(contents):
            await store.write(f"t/{number}.md", content, expected_version=None)
        found = await store.search("t/", "fee", limit=limit, max_files=9, max_chars=max_chars, max_file_chars=99)
        assert len(found.matches) <= limit
        assert sum(len(m.path) - len("t/") + len(m.snippet) for m in found.matches) <= max_chars
        hits = sum("fee" in content for content in contents)
        assert found.truncated == (len(found.matches) < hits)
        assert len({match.path for match in found.matches}) == len(found.matches)

    asyncio.run(check())
