"""Embedders of the user's own, good and bad: what they are given, on which loop they run, and that no record is lost by them.

Not here: Mnemic's own embedders.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import mnemic
from mnemic import InvalidInputError, MemoryManager, MnemicError, SuppliedVectors, UnsupportedError

AXES = ("fee", "form", "court")


class Words:
    """Embeds by three words, and notes what it was asked."""

    dimension = 4
    name = "words"

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    async def aembed(self, texts: list[str], *, purpose: str) -> list[list[float]]:
        self.asked.append((purpose, texts))
        await asyncio.sleep(0)
        return [[float(word in text) for word in AXES] + [0.1] for text in texts]


class OfOneLoop(Words):
    """Like an HTTP session, belongs to the loop that it was first used on."""

    def __init__(self) -> None:
        super().__init__()
        self.loops: set[asyncio.AbstractEventLoop] = set()

    async def aembed(self, texts: list[str], *, purpose: str) -> list[list[float]]:
        self.loops.add(asyncio.get_running_loop())
        if len(self.loops) > 1:
            raise RuntimeError("attached to a different loop")
        return await super().aembed(texts, purpose=purpose)


async def test_an_embedder_is_told_the_purpose_and_its_vectors_are_used(
    open_memory: Callable[..., MemoryManager],
) -> None:
    words = Words()
    memory = open_memory(embedder=words)
    written = await memory.awrite([{"id": "fee", "text": "the fee"}, {"id": "form", "text": "the form"}])
    assert written.outcomes == ["indexed", "indexed"]
    found = await memory.aretrieve("what about the fee", mode="dense", topk=1)
    assert (found[0].id, found.degraded) == ("fee", [])
    assert found[0].similarity == pytest.approx(1, abs=0.02)
    assert ("document", ["the fee", "the form"]) in words.asked
    assert ("query", ["what about the fee"]) in words.asked


async def test_an_embedder_runs_on_the_loop_of_the_call(open_memory: Callable[..., MemoryManager]) -> None:
    embedder = OfOneLoop()
    memory = open_memory(embedder=embedder)
    results = await asyncio.gather(*(memory.awrite(f"the fee {n}") for n in range(50)))
    assert {outcome for one in results for outcome in one.outcomes} == {"indexed"}
    assert embedder.loops == {asyncio.get_running_loop()}
    await memory.aretrieve("fee")


async def test_a_real_http_session_works_from_the_loop_that_made_it(open_memory: Callable[..., MemoryManager]) -> None:
    """Streams of asyncio are as bound to their loop as any client's connection pool."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(b"1 " + str(len(line)).encode() + b"\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    lock = asyncio.Lock()

    class Client:
        dimension = 2

        async def aembed(self, texts: list[str]) -> list[list[float]]:
            vectors = []
            async with lock:
                for text in texts:
                    writer.write(text.encode() + b"\n")
                    vectors.append([float(part) for part in (await reader.readline()).split()])
            return vectors

    memory = open_memory(embedder=Client())
    try:
        written = await asyncio.gather(*(memory.awrite(f"statement {n}") for n in range(20)))
        assert {outcome for one in written for outcome in one.outcomes} == {"indexed"}
        assert (await memory.aretrieve("statement", mode="dense")).degraded == []
    finally:
        writer.close()
        server.close()


def test_calls_without_a_loop_use_one_in_the_background(open_memory: Callable[..., MemoryManager]) -> None:
    embedder = OfOneLoop()
    memory = open_memory(embedder=embedder)
    threads = [threading.Thread(target=memory.write, args=(f"the fee {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert memory.retrieve("fee", mode="dense", topk=20).degraded == []
    assert (len(embedder.loops), memory.stats()["records"]) == (1, 8)


class Bad:
    """Answers what it is told to."""

    dimension = 4

    def __init__(self, answer: Callable[[list[str]], object]) -> None:
        self.answer = answer

    async def aembed(self, texts: list[str]) -> Any:
        return self.answer(texts)


def fail(_: Sequence[str]) -> object:
    raise ConnectionError("the model is away: hush-hush")


BAD: dict[str, Callable[[list[str]], object]] = {
    "raises": fail,
    "wrong dimension": lambda texts: [[1.0, 2.0] for _ in texts],
    "not a number": lambda texts: [[math.nan] * 4 for _ in texts],
    "infinite": lambda texts: [[math.inf, 0, 0, 0] for _ in texts],
    "too large for single precision": lambda texts: [[1e39, 0, 0, 0] for _ in texts],
    "too few": lambda texts: [[1.0] * 4 for _ in texts[1:]],
    "too many": lambda texts: [[1.0] * 4 for _ in [*texts, "x"]],
    "nothing": lambda texts: None,
    "a number": lambda texts: 5,
    "texts": lambda texts: texts,
    "numbers that are none": lambda texts: [["a", "b", "c", "d"] for _ in texts],
}


@pytest.mark.parametrize("fault", BAD)
async def test_a_bad_embedder_loses_no_record(fault: str, open_memory: Callable[..., MemoryManager]) -> None:
    bad = Bad(BAD[fault])
    memory = open_memory(embedder=bad)
    written = await memory.awrite([{"id": str(n), "text": f"the fee of {n} dollars"} for n in range(3)])
    assert written.outcomes == ["pending"] * 3
    assert "the embedder raised" in " ".join(written.warnings), written.warnings
    assert [item.id for item in await memory.semantic.aall()] == ["0", "1", "2"]
    found = await memory.aretrieve("the fee of 1 dollars")
    assert (found[0].id, found.degraded != []) == ("1", True), "found by words, and it says why not otherwise"
    # Long enough for whoever works in the background to try by himself.
    await asyncio.sleep(0.3)
    assert (await memory.astats())["outbox"] == 3, "still waiting"
    # The model comes back: what is pending is made up for.
    bad.answer = lambda texts: [[1.0, 0.0, 0.0, float(len(text))] for text in texts]
    await memory.adrain()
    again = await memory.aretrieve("the fee of 1 dollars", mode="dense")
    assert (len(again), again.degraded) == (3, [])
    assert await memory.averify() == []


@pytest.mark.parametrize("made", [[], [0.0] * 4], ids=["an empty list", "nothing but zeros"])
async def test_a_text_without_an_embedding_is_found_by_words(
    made: list[float], open_memory: Callable[..., MemoryManager]
) -> None:
    memory = open_memory(embedder=Bad(lambda texts: [made for _ in texts]))
    written = await memory.awrite([{"id": "a", "text": "the fee"}])
    assert (written.outcomes, [item.id for item in await memory.aretrieve("fee")]) == (["indexed"], ["a"])
    assert await memory.averify() == []


class NoOp:
    """The embedder of the replaced system that makes nothing, and says so only when asked."""

    async def aembed(self, texts: list[str]) -> list[list[float]]:
        return [[] for _ in texts]


class Probed:
    """Says nothing of itself."""

    async def aembed(self, texts: list[str]) -> list[list[float]]:
        return [[1.0, float(len(text)), 0.5] for text in texts]


async def test_an_embedder_that_makes_nothing_is_never_replaced_by_another(
    open_memory: Callable[..., MemoryManager], backend: str
) -> None:
    if backend != "dev":
        with pytest.raises(UnsupportedError, match=r"NoOp makes no embeddings.*MNEMIC_EMBEDDER=none") as told:
            open_memory(embedder=NoOp())
        assert told.value.field == "embedder"
        return
    memory = open_memory(embedder=NoOp())
    await memory.awrite("the fee was paid")
    found = await memory.aretrieve("fee")
    assert len(found) == 1
    assert [leg.leg for leg in found.legs if leg.outcome == "ran"] == ["lexical"]


async def test_an_embedder_that_says_nothing_is_asked_for_its_dimension() -> None:
    memory = mnemic.create_dev_memory_manager(embedder=Probed())
    assert (await memory.awrite("the fee was paid")).outcomes == ["indexed"]
    assert (await memory.aretrieve("fee", mode="dense"))[0].similarity is not None


@pytest.mark.parametrize("wrong", [5, object(), type("Sync", (), {"aembed": None})()])
def test_what_is_no_embedder_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidInputError, match="embedder: expected an object with async def aembed") as told:
        mnemic.create_dev_memory_manager(embedder=wrong)
    assert told.value.field == "embedder"


async def test_supplied_vectors_are_searched_and_checked(open_memory: Callable[..., MemoryManager]) -> None:
    memory = open_memory(embedder=SuppliedVectors(3))
    await memory.awrite(
        [{"id": "a", "text": "x", "embedding": [1, 0, 0]}, {"id": "b", "text": "y", "embedding": [0, 1, 0]}]
    )
    found = await memory.aretrieve("anything", embedding=[0, 1, 0], mode="dense", topk=1)
    assert (found[0].id, found[0].similarity, found[0].embedding) == ("b", pytest.approx(1), None)
    with pytest.raises(MnemicError, match="embedding"):
        await memory.awrite({"text": "x", "embedding": [1, 0]})
    with pytest.raises(MnemicError, match="embedding"):
        await memory.aretrieve("x", embedding=[1, 0])


async def test_a_call_of_the_embedder_into_its_own_memory_does_not_hang() -> None:
    made: list[MemoryManager] = []

    class Recursive:
        dimension = 2

        async def aembed(self, texts: list[str]) -> list[list[float]]:
            await made[0].aget(["x"])
            return [[1.0, 0.0] for _ in texts]

    made.append(mnemic.create_dev_memory_manager(embedder=Recursive()))
    written = await asyncio.wait_for(made[0].awrite("the fee"), 10)
    assert written.outcomes == ["indexed"]
