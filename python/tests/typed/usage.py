"""How typed programs use the package: checked by mypy, never run. What must not pass is marked, and mypy tells if it does."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_type

import mnemic
from mnemic import (
    AuditEvent,
    ChainedEvent,
    ConsolidateStats,
    ContextBlock,
    ForgetReceipt,
    Health,
    MemoryManager,
    MemoryRecord,
    Retrieval,
    RetrievalQuery,
    RetrievedRecord,
    Revision,
    Slots,
    SuppliedVectors,
    Written,
    compat,
)
from mnemic.exceptions import MnemicError


class Local:
    """An embedder of the user's own."""

    async def aembed(self, texts: list[str]) -> list[list[float]]:
        return [[float(len(text))] for text in texts]


class WithPurpose:
    """One that wants to know what for, and answers tuples."""

    dimension = 2

    async def aembed(self, texts: list[str], purpose: str = "document") -> list[tuple[float, ...]]:
        return [(0.0, 1.0) for _ in texts]


class NotAsync:
    def aembed(self, texts: list[str]) -> list[list[float]]:
        return []


def opening(path: Path) -> None:
    assert_type(MemoryManager(), MemoryManager)
    assert_type(mnemic.create_dev_memory_manager(embedder=Local()), MemoryManager)
    assert_type(mnemic.create_embedded_memory_manager(path, namespace="a"), MemoryManager)
    assert_type(mnemic.create_embedded_memory_manager("memory", embedder=WithPurpose()), MemoryManager)
    assert_type(mnemic.create_production_memory_manager("client-a"), MemoryManager)
    assert_type(mnemic.create_memory_manager(embedder=SuppliedVectors(3)), MemoryManager)
    assert_type(MemoryManager().in_namespace("b").namespace, str)
    mnemic.create_dev_memory_manager(embedder=NotAsync())  # type: ignore[arg-type]
    mnemic.create_embedded_memory_manager()  # type: ignore[call-arg]
    mnemic.create_production_memory_manager(namespace=5)  # type: ignore[arg-type]
    compat.install("core.memory")
    compat.uninstall()


async def coroutines(memory: MemoryManager) -> None:
    record = MemoryRecord(text="x", tags=["a"], metadata={"n": 1}, expires_at=datetime.now(UTC))
    written = await memory.awrite([record, {"text": "y"}, "z"], idempotency_key="k")
    assert_type(written, Written)
    assert_type(written[0], MemoryRecord)
    assert_type(written[0].id, str | None)
    await memory.awrite(record)
    await memory.awrite(text for text in ("a", "b"))
    assert_type(await memory.aget(["a"]), list[MemoryRecord | None])
    found = await memory.aretrieve("x", "u", 5, {"tags": ["a"], "salience": {"gte": 0.5}}, mode="dense")
    assert_type(found, Retrieval)
    assert_type(found[0], RetrievedRecord)
    assert_type(found[0].similarity, float | None)
    await memory.aretrieve(RetrievalQuery(query="x", topk=3))
    await memory.aretrieve("x", mode="best")  # type: ignore[arg-type]
    await memory.aretrieve("x", topk="many")  # type: ignore[arg-type]
    await memory.awrite(5)  # type: ignore[arg-type]
    assert_type(await memory.alog_audit(AuditEvent(thread_id="t", source="s", action="a")), AuditEvent)
    assert_type(await memory.aset_rmt("t", {"persona": "x", "gone": None}, merge=True), Slots)
    assert_type(await memory.aget_rmt("t"), Slots | None)
    assert_type(await memory.asnapshot_thread("t"), str)
    assert_type(await memory.acontext("t", "x", budget=100), ContextBlock)
    assert_type(await memory.aconsolidate("u", dry_run=True), ConsolidateStats)
    assert_type(await memory.aforget(user_id="u"), ForgetReceipt)
    assert_type(await memory.ahistory("a"), list[Revision])
    assert_type(await memory.health_check(), Health)
    page = await memory.aevents(thread_id="t")
    assert_type(page.items, list[ChainedEvent])
    assert_type(page.next, str | None)
    assert_type((await memory.alist(order="newest")).items, list[MemoryRecord])
    async with memory as same:
        assert_type(same, MemoryManager)


def twins(memory: MemoryManager) -> None:
    assert_type(memory.write("x"), Written)
    assert_type(memory.retrieve("x"), Retrieval)
    assert_type(memory.health_check_sync(), Health)
    assert_type(memory.stats(), dict[str, Any])
    assert_type(memory.semantic.all("u"), list[MemoryRecord])
    assert_type(memory.episodic.get_recent(3), list[AuditEvent])
    assert_type(memory.working.get_all_buffers(), dict[str, Slots])
    with memory as same:
        assert_type(same, MemoryManager)
    try:
        memory.close()
    except MnemicError as error:
        assert_type(error.field, str | None)
        assert_type(error.retry_after, float | None)
