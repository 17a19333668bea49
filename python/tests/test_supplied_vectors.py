"""Embeddings that callers bring, which travel beside the JSON. Not here: embedders (`test_embedders`)."""

from __future__ import annotations

import asyncio
import math
from array import array
from typing import Any

import pytest

from mnemic import InvalidInputError, MemoryManager, MemoryRecord, SuppliedVectors, create_dev_memory_manager


@pytest.fixture
def memory() -> MemoryManager:
    """A memory of two dimensions, which nobody but the caller knows."""
    return create_dev_memory_manager(embedder=SuppliedVectors(2))


def east() -> MemoryRecord:
    return MemoryRecord(id="east", text="to the east", embedding=[1.0, 0.0])


def ids(found: list[Any]) -> list[str]:
    return [record.id for record in found]


async def test_records_with_and_without_one_are_kept_in_their_order(memory: MemoryManager) -> None:
    north = {"id": "north", "text": "to the north", "embedding": [0, 1]}
    plain = MemoryRecord(id="plain", text="without a direction")
    written = await memory.awrite([plain, east(), north])
    assert ids(written) == ["plain", "east", "north"]
    assert all(record.embedding is None for record in written), "it is never read back"
    for direction, first in [([1, 0.1], "east"), ([0.1, 1], "north")]:
        assert ids(await memory.aretrieve(embedding=direction, topk=1)) == [first]
        assert ids(memory.retrieve(embedding=direction, topk=1)) == [first]
    [found] = memory.retrieve(embedding=[1, 1], topk=1, filters={"text": {"contains": "north"}})
    assert found.similarity == pytest.approx(math.sqrt(0.5))
    assert ids(memory.retrieve("direction", embedding=[1, 0], mode="hybrid"))[0] in {"east", "plain"}


@pytest.mark.parametrize("kind", [list, tuple, lambda numbers: array("d", numbers), iter])
def test_a_query_takes_numbers_of_any_kind(kind: Any, memory: MemoryManager) -> None:
    memory.write(east())
    assert ids(memory.retrieve(embedding=kind([1.0, 0.5]))) == ["east"]


@pytest.mark.parametrize(
    ("embedding", "field"),
    [
        ([1.0, math.inf], "embedding[1]"),
        ([1e39, 0.0], "embedding[0]"),
        ([0.0, 0.0], "embedding"),
        ([1.0], "embedding"),
        ([], "embedding"),
        (["north", "east"], "embedding"),
        ("ab", "embedding"),
        (b"abcdefgh", "embedding"),
        (7, "embedding"),
    ],
)
def test_what_is_no_embedding_is_refused_by_name(embedding: Any, field: str, memory: MemoryManager) -> None:
    with pytest.raises(InvalidInputError) as told:
        memory.retrieve(embedding=embedding)
    assert told.value.field == field
    record = east()
    # A model checks what it is made with, not what it is given later.
    record.embedding = embedding
    with pytest.raises(InvalidInputError) as told:
        memory.write([MemoryRecord(text="first", embedding=[0.0, 1.0]), record])
    assert told.value.field is not None
    assert told.value.field.endswith(field), told.value
    assert "records[1]" in str(told.value)
    assert memory.stats()["records"] == 0


def test_one_memory_serves_loop_after_loop(memory: MemoryManager) -> None:
    for number in range(3):
        written = asyncio.run(memory.awrite(MemoryRecord(id="east", text="again", embedding=[1.0, 0.0])))
        assert written[0].version == number + 1


def test_a_loop_that_ends_before_the_answer_harms_nobody() -> None:
    memory = create_dev_memory_manager()

    async def leave() -> None:
        task = asyncio.ensure_future(memory.awrite(["left behind"] * 200))
        await asyncio.sleep(0)
        assert not task.done()

    for _ in range(20):
        asyncio.run(leave())
    assert asyncio.run(memory.aretrieve("left behind", topk=1)) is not None
    assert memory.write("it goes on")[0].version == 1
