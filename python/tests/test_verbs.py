"""Every verb and every method of the views, as a coroutine and as its twin, on every backend. Not here: many calls at once
(`test_concurrency`), wrong input (`test_inputs`)."""

from __future__ import annotations

import ast
import asyncio
import inspect
import typing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mnemic import (
    AuditEvent,
    ConflictError,
    InvalidInputError,
    MemoryManager,
    MemoryRecord,
    NotFoundError,
    RetrievalQuery,
    UnsupportedError,
)
from mnemic.views import EpisodicMemory, SemanticMemory, WorkingMemory

VIEWS = {"semantic": SemanticMemory, "episodic": EpisodicMemory, "working": WorkingMemory}
# Twins whose names are not made by an `a` before them.
IRREGULAR = {"health_check_sync": "health_check"}
NO_VERBS = {"in_namespace"}


def public(kind: type) -> set[str]:
    """The names of a class's methods."""
    members = inspect.getmembers(kind, inspect.isfunction)
    return {name for name, _ in members if not name.startswith("_")} - NO_VERBS


def twins(kind: type) -> list[tuple[str, str]]:
    """Each method that waits, and its coroutine."""
    waiting = {name for name in public(kind) if not inspect.iscoroutinefunction(getattr(kind, name))}
    return sorted((name, IRREGULAR.get(name, f"a{name}")) for name in waiting)


class Ask:
    """Calls the coroutine or its twin by the twin's name, as the test's style says."""

    def __init__(self, of: Any, style: str) -> None:
        self._of, self._style = of, style

    def __getattr__(self, name: str) -> Any:
        if name in VIEWS:
            return Ask(getattr(self._of, name), self._style)
        if self._style == "coroutine":
            return getattr(self._of, IRREGULAR.get(name, f"a{name}"))
        waiting = getattr(self._of, name)
        return lambda *args, **kwargs: asyncio.to_thread(waiting, *args, **kwargs)


@pytest.fixture(params=["coroutine", "twin"])
def ask(request: pytest.FixtureRequest, memory: MemoryManager) -> Any:
    return Ask(memory, request.param)


def record(text: str = "Form I-485 was filed in March", **fields: Any) -> MemoryRecord:
    return MemoryRecord(text=text, user_id="u", **fields)


def event(number: int, thread_id: str = "t", **fields: Any) -> AuditEvent:
    given = {"user_id": "u", "source": "agent", "action": "noted", "payload": {"n": number}, **fields}
    return AuditEvent(event_id=f"e{number}", thread_id=thread_id, **given)


@pytest.mark.parametrize("kind", [MemoryManager, *VIEWS.values()])
def test_twins_have_equal_signatures(kind: type) -> None:
    pairs = twins(kind)
    assert {name for pair in pairs for name in pair} == public(kind), "each has a twin"
    assert len(pairs) >= 4
    for waiting, coroutine in pairs:
        ours, theirs = getattr(kind, waiting), getattr(kind, coroutine)
        assert inspect.iscoroutinefunction(theirs)
        assert inspect.signature(ours) == inspect.signature(theirs), waiting
        assert ours.__doc__, waiting
        assert theirs.__doc__, coroutine
        assert typing.get_type_hints(ours, localns=vars(__import__("mnemic"))), waiting


def test_every_method_is_tried_here() -> None:
    tried: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse(Path(__file__).read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            view, _, of = ast.unparse(node.func.value).rpartition(".")[::-1]
            tried.add((view if of else "", node.func.attr))
    for name, kind in [("", MemoryManager), *VIEWS.items()]:
        wanted = {(name, waiting) for waiting, _ in twins(kind)}
        assert not wanted - tried


async def test_records_are_written_read_and_listed(ask: Any) -> None:
    first = await ask.write(
        [record(id="a", tags=["legal"], metadata={"n": 1}, salience=0.5), {"text": "a mapping"}, "a text"]
    )
    assert (len(first), set(first.outcomes), first.replayed) == (3, {"indexed"}, False)
    assert all(written.id and written.version == 1 and written.created_at for written in first)
    second = await ask.write(record("the form was approved", id="a", expect_version=1))
    assert (second[0].id, second[0].version) == ("a", 2)
    with pytest.raises(ConflictError):
        await ask.write(record(id="a", expect_version=1))
    found = await ask.get(["a", "none", first[2].id])
    assert [item and item.text for item in found] == ["the form was approved", None, "a text"]
    assert found[2] == first[2]
    page = await ask.list(limit=2)
    rest = await ask.list(limit=2, after=page.next)
    assert (len(page.items) + len(rest.items), rest.next) == (3, None)
    assert [item.id for item in (await ask.list(filters={"metadata.n": 1})).items] == []
    versions = await ask.history("a")
    assert [revision.record.text for revision in versions] == ["the form was approved", "Form I-485 was filed in March"]
    before = versions[1].at
    assert (await ask.get(["a"], as_of=before))[0].text == "Form I-485 was filed in March"


async def test_a_record_is_the_same_however_it_is_read(ask: Any) -> None:
    whole = MemoryRecord(
        id="a",
        user_id="anna",
        thread_id="t",
        type="persona",
        text="Form I-485 was filed",
        path=["cases", "filed"],
        tags=["b", "legal"],
        metadata={"n": 2**64 - 1, "least": -(2**63), "x": 0.1, "deep": [{"none": None, "yes": True}, "й"]},
        source="clerk",
        salience=0.25,
        confidence=0.75,
        valid_from="2024-01-31T09:30:00.123456Z",
        valid_to="2124-01-31T09:30:00Z",
        expires_at="2124-02-01T00:00:00Z",
        provenance={"events": ["e"], "records": ["r"]},
    )
    [written] = await ask.write([whole])
    [read] = await ask.get(["a"])
    [listed] = (await ask.list()).items
    [revision] = await ask.history("a")
    [found] = await ask.retrieve("form")
    assert written == read == listed == revision.record
    assert {name: getattr(found, name) for name in MemoryRecord.model_fields} == dict(read)


async def test_a_repeated_call_with_its_key_changes_nothing(ask: Any) -> None:
    first = await ask.write([record()], idempotency_key="k")
    again = await ask.write([record()], idempotency_key="k")
    assert ([item.id for item in again], again.replayed) == ([item.id for item in first], True)
    once = await ask.write([record("said once")], dedupe=True)
    twice = await ask.write([record("said once")], dedupe=True)
    assert once[0].id == twice[0].id
    with pytest.raises(ConflictError):
        await ask.write([record("something else")], idempotency_key="k")


async def test_retrieval_finds_filters_and_explains(ask: Any) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    await ask.write(
        [
            record(id="legal", tags=["legal", "form"], salience=0.9),
            record("the cat sleeps on the sofa", id="cat", tags=["home"]),
            record("the I-485 form of another user", id="other").model_copy(update={"user_id": "v"}),
            record("an expired note on form I-485", id="gone", expires_at=soon - timedelta(hours=2)),
        ]
    )
    found = await ask.retrieve("I-485 form", user_id="u", topk=5)
    assert found[0].id == "legal"
    assert "other" not in [item.id for item in found]
    assert "gone" not in [item.id for item in found]
    assert 0 < found[0].score <= 1
    assert [leg.leg for leg in found.legs if leg.outcome == "ran"]
    assert found[0].explanation.legs
    assert "gone" in [item.id for item in await ask.retrieve("expired note", include_hidden=True)]
    only = await ask.retrieve("the", filters={"tags": ["home"]}, mode="lexical")
    assert {item.id for item in only} <= {"cat"}
    query = RetrievalQuery(query="I-485", user_id="u", topk=1, filters={"salience": {"gte": 0.5}})
    assert [item.id for item in await ask.retrieve(query)] == ["legal"]
    block = await ask.context("t", "I-485", budget=200, user_id="u")
    assert "I-485" in str(block)
    assert 0 < block.tokens <= 200


async def test_events_are_kept_in_order_and_verified(ask: Any) -> None:
    logged = [await ask.log_audit(event(number, thread_id="ab"[number % 2])) for number in range(4)]
    assert await ask.log_audit(logged[0]) == logged[0]
    with pytest.raises(ConflictError):
        await ask.log_audit(event(0, action="changed"))
    lines = (await ask.snapshot_thread("a")).splitlines()
    assert [line.partition("agent:noted ")[2] for line in lines] == ['{"n":0}', '{"n":2}']
    page = await ask.events(thread_id="b")
    assert [entry.event.event_id for entry in page.items] == ["e1", "e3"]
    newest = await ask.events(limit=1, order="newest", user_id="u")
    assert (newest.items[0].event.event_id, newest.next is not None) == ("e3", True)
    assert set((await ask.threads()).items) >= {"a", "b"}
    assert (await ask.verify_audit())["sequence"] >= 4
    written = await ask.write(event(9, action="learned", payload={"text": "the fee is 1,440 dollars"}))
    assert (await ask.events(event_id="e9")).items[0].event.event_id == "e9"
    assert list(await ask.get([item.id for item in written])) == list(written)


async def test_slots_are_set_merged_and_compared(ask: Any) -> None:
    assert await ask.get_rmt("t") is None
    first = await ask.set_rmt("t", {"persona": "paralegal", "open_loops": "fee"})
    assert (first, first.version) == ({"persona": "paralegal", "open_loops": "fee"}, 1)
    second = await ask.set_rmt("t", {"open_loops": None, "recent_summary": "paid"}, merge=True, expect_version=1)
    assert (second, second.version) == ({"persona": "paralegal", "recent_summary": "paid"}, 2)
    with pytest.raises(ConflictError):
        await ask.set_rmt("t", {}, expect_version=1)
    assert await ask.get_rmt("t") == second
    assert [version.version for version in await ask.rmt_history("t")] == [2, 1]
    assert (await ask.rmt_threads()).items == ["t"]


async def test_consolidation_is_previewed_done_and_undone(ask: Any) -> None:
    await ask.write([record("the filing fee is 1,440 dollars", id=str(number)) for number in range(3)])
    preview = await ask.consolidate("u", exact=True, dry_run=True)
    assert (preview.id, preview.deduplicated, preview.pruned) == (None, 2, 0)
    done = await ask.consolidate("u", exact=True)
    assert (done.deduplicated, done.remaining, (await ask.stats())["records"]) == (2, 1, 1)
    assert len(await ask.undo_consolidation(done.id)) == 3
    assert (await ask.stats())["records"] == 3
    with pytest.raises(NotFoundError):
        await ask.undo_consolidation("none")


async def test_forgetting_leaves_nothing(ask: Any) -> None:
    await ask.write([record(id=str(number), metadata={"n": number}) for number in range(4)])
    await ask.log_audit(event(1))
    await ask.set_rmt("t", {"persona": "x"})
    trial = await ask.forget(ids=["0"], dry_run=True)
    assert (trial.dry_run, trial.records) == (True, ["0"])
    assert (await ask.forget(ids="0")).records == ["0"]
    assert (await ask.forget(filters={"metadata.n": {"gte": 3}})).records == ["3"]
    receipt = await ask.forget(user_id="u")
    assert (sorted(receipt.records), receipt.events >= 1) == (["1", "2"], True)
    assert (await ask.stats())["records"] == 0
    assert await ask.snapshot_thread("t") == ""
    for name, value in {"ids": [], "filters": {}}.items():
        with pytest.raises(InvalidInputError):
            await ask.forget(**{name: value, "user_id": "u"})
    assert (await ask.verify_audit())["sequence"] > 0


async def test_the_memory_looks_after_itself(ask: Any, memory: MemoryManager, backend: str, tmp_path: Path) -> None:
    await ask.write(record())
    health = await ask.health_check_sync()
    assert health == {"semantic": True, "episodic": True, "working": True}
    assert all(detail.healthy for detail in health.details)
    assert await ask.drain() >= 0
    await ask.reindex()
    assert await ask.verify() == []
    assert memory.namespace in (await ask.namespaces()).items
    assert (await ask.retrieve("I-485"))[0].user_id == "u"
    if backend == "embedded":
        await ask.backup(tmp_path / "copy")
        assert any((tmp_path / "copy").iterdir())
    else:
        with pytest.raises(UnsupportedError):
            await ask.backup(tmp_path / "copy")
    await ask.close()


async def test_a_namespace_sees_nothing_of_another(ask: Any, memory: MemoryManager) -> None:
    await ask.write(record(id="a"))
    other = memory.in_namespace(f"{memory.namespace}-2")
    assert (other.namespace, other.get(["a"]), other.retrieve("I-485")) == (f"{memory.namespace}-2", [None], [])
    with pytest.raises(InvalidInputError, match="namespace"):
        memory.in_namespace("Not A Namespace")


async def test_the_semantic_view(ask: Any) -> None:
    semantic = ask.semantic
    await ask.semantic.insert([record(id=str(number)) for number in range(3)])
    assert len(await ask.semantic.retrieve("I-485", "u", 2)) == 2
    assert [item.id for item in await ask.semantic.all()] == ["0", "1", "2"]
    assert (await semantic.count(), await ask.semantic.count("u"), await ask.semantic.count("nobody")) == (3, 3, 0)
    assert await ask.semantic.delete_by_user("u") == 3
    assert await ask.semantic.all("u") == []


async def test_the_episodic_view(ask: Any) -> None:
    for number in range(5):
        await ask.episodic.append(event(number, thread_id="ab"[number % 2]))
    assert [item.event_id for item in await ask.episodic.get_thread_events("a")] == ["e0", "e2", "e4"]
    assert [item.event_id for item in await ask.episodic.get_thread_events("a", limit=2)] == ["e2", "e4"]
    assert len(await ask.episodic.get_all()) == 5
    assert len(await ask.episodic.get_all("nobody")) == 0
    assert [item.event_id for item in await ask.episodic.get_recent(2)] == ["e3", "e4"]
    assert await ask.episodic.get_recent(0) == []
    with pytest.raises(InvalidInputError, match="limit"):
        await ask.episodic.get_recent(-1)


async def test_the_working_view(ask: Any) -> None:
    await ask.working.set_buffer("t", {"persona": "paralegal"})
    await ask.working.set_buffer("v", {"persona": "counsel"})
    assert await ask.working.get_buffer("t") == {"persona": "paralegal"}
    assert await ask.working.get_all_buffers() == {"t": {"persona": "paralegal"}, "v": {"persona": "counsel"}}
    assert (await ask.working.delete_buffer("t"), await ask.working.delete_buffer("t")) == (True, False)
    assert await ask.working.get_buffer("t") is None
    assert list(await ask.working.get_all_buffers()) == ["v"]


async def test_managers_close_as_context_managers(open_memory: Callable[..., MemoryManager]) -> None:
    async with open_memory() as memory:
        await memory.awrite(record(id="a"))
        assert repr(memory) == f"MemoryManager(namespace={memory.namespace!r})"
    with open_memory() as memory:
        assert memory.namespace
