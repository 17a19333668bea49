"""Many calls at once: from one loop, from many loops and threads, and calls that are cancelled. Not here: processes
(`test_processes`)."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mnemic import AuditEvent, MemoryManager, MemoryRecord, UnavailableError

MANY = 1000


async def patient(call: Callable[[int], Awaitable[list[Any]]], number: int) -> list[Any]:
    """A call that is made again where it says that it may be: a server on a slow machine may not serve a thousand in time."""
    for _ in range(5):
        try:
            return await call(number)
        except UnavailableError as error:
            if not error.retryable:
                raise
    return await call(number)


async def test_a_thousand_calls_of_each_kind_from_one_loop(memory: MemoryManager) -> None:
    def write(n: int) -> Awaitable[list[Any]]:
        return memory.awrite(MemoryRecord(id=str(n), text=f"statement {n} about the case", user_id="u"))

    def read(n: int) -> Awaitable[list[Any]]:
        return memory.aretrieve(f"statement {n}", user_id="u", topk=3)

    calls = [patient(write, n) for n in range(MANY)] + [patient(read, n) for n in range(MANY)]
    answers = await asyncio.wait_for(asyncio.gather(*calls), 240)
    written, found = answers[:MANY], answers[MANY:]
    assert [one[0].id for one in written] == [str(n) for n in range(MANY)]
    assert all(len(one) <= 3 for one in found)
    assert {item.id for item in await memory.semantic.aall()} == {str(n) for n in range(MANY)}
    again = await asyncio.gather(
        *(memory.aretrieve(f"statement {n}", mode="lexical", topk=1) for n in range(0, MANY, 50))
    )
    assert [one[0].id for one in again] == [str(n) for n in range(0, MANY, 50)]


async def test_one_record_written_by_many_has_one_version_for_each(memory: MemoryManager) -> None:
    written = await asyncio.gather(*(memory.awrite(MemoryRecord(id="x", text=f"turn {n}")) for n in range(50)))
    assert sorted(one[0].version for one in written) == list(range(1, 51))
    assert len(await memory.ahistory("x")) == 50


def test_many_loops_and_threads_use_one_manager(memory: MemoryManager) -> None:
    workers, each = 8, 15
    faults: list[BaseException] = []
    begin = threading.Barrier(workers)

    async def in_a_loop(worker: int) -> None:
        await asyncio.gather(*(memory.awrite(MemoryRecord(id=f"{worker}-{n}", text="in a loop")) for n in range(each)))
        await asyncio.gather(*(memory.aretrieve("in a loop", topk=2) for _ in range(each)))

    def without_one(worker: int) -> None:
        for n in range(each):
            memory.write(MemoryRecord(id=f"{worker}-{n}", text="without a loop"))
            memory.retrieve("without a loop", topk=2)

    def run(worker: int) -> None:
        try:
            begin.wait(10)
            asyncio.run(in_a_loop(worker)) if worker % 2 else without_one(worker)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=run, args=(worker,)) for worker in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not faults
    assert {item.id for item in memory.semantic.all()} == {f"{w}-{n}" for w in range(workers) for n in range(each)}


async def ticks(until: asyncio.Task[object]) -> tuple[int, float]:
    """How often a loop comes round while a task runs, and its longest wait."""
    count, longest, last = 0, 0.0, time.monotonic()
    while not until.done():
        await asyncio.sleep(0.002)
        now = time.monotonic()
        count, longest, last = count + 1, max(longest, now - last), now
    return count, longest


async def test_the_loop_goes_on_while_a_call_is_long(memory: MemoryManager) -> None:
    texts = [
        f"statement {n}: " + f"the committee met on day {n} and adjourned without a decision. " * 80
        for n in range(1000)
    ]
    begun = time.monotonic()
    writing = memory.awrite(texts)
    task: asyncio.Task[object] = asyncio.ensure_future(writing)
    count, longest = await ticks(task)
    took = time.monotonic() - begun
    assert len(task.result()) == 1000  # type: ignore[arg-type]
    assert took > 0.15, "long enough to tell"
    # Reading models and JSON belongs to the loop's own thread and is counted; waiting for the memory is not.
    assert longest < max(1.0, took * 0.8), (count, longest, took)
    assert count > 10, (count, longest, took)


@pytest.mark.parametrize("seed", range(3))
async def test_a_cancelled_write_is_whole_or_nothing(seed: int, memory: MemoryManager) -> None:
    chance = random.Random(seed)
    begun = time.perf_counter()
    await memory.awrite([MemoryRecord(id=f"warm-{n}", text="how long it takes") for n in range(20)])
    usual = time.perf_counter() - begun
    tries, size, cancelled = 40, 20, 0
    for number in range(tries):
        batch = [MemoryRecord(id=f"{number}-{n}", text=f"part {n} of batch {number}") for n in range(size)]
        task = asyncio.create_task(memory.awrite(batch))
        # Some as soon as they have begun, the others at any moment until they are done.
        await asyncio.sleep(0 if number % 4 == 0 else chance.uniform(0, usual * 1.2))
        task.cancel()
        try:
            assert len(await task) == size
        except asyncio.CancelledError:
            cancelled += 1
        else:
            found = await memory.aget([f"{number}-{n}" for n in range(size)])
            assert None not in found, "what was answered is kept"
    assert cancelled > 0, "some were cancelled in time"
    await asyncio.sleep(0.5)
    kept = [len([one for one in await memory.aget([f"{b}-{n}" for n in range(size)]) if one]) for b in range(tries)]
    assert set(kept) <= {0, size}, kept
    await memory.adrain()
    assert await memory.averify() == []
    await memory.averify_audit()
    assert len(await memory.aretrieve("part of batch", topk=1000)) <= sum(kept) + 20
    assert (await memory.astats())["records"] == sum(kept) + 20


async def test_a_call_that_ran_out_of_time_leaves_the_memory_usable(memory: MemoryManager) -> None:
    batch = [f"statement {n} that takes its time" for n in range(1000)]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(memory.awrite(batch), 0.001)
    await memory.alog_audit(AuditEvent(event_id="after", thread_id="t", source="s", action="went on"))
    assert "went on" in await memory.asnapshot_thread("t")
    assert (await memory.astats())["records"] in (0, 1000)


async def test_tasks_of_a_group_end_together(open_memory: Callable[..., MemoryManager]) -> None:
    memory = open_memory()

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(20):
                group.create_task(memory.awrite(MemoryRecord(id=str(n), text="one of a group")))
            group.create_task(memory.awrite(MemoryRecord(id="bad", text="")))

    with pytest.raises(ExceptionGroup) as told:
        await together()
    assert [type(error).__name__ for error in told.value.exceptions] == ["InvalidInputError"]
    assert await memory.aget(["bad"]) == [None]


async def test_a_row_of_calls_lets_other_tasks_have_their_turns(memory: MemoryManager) -> None:
    await memory.awrite(["the first statement", "the second statement"])
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    begun = turns
    for _ in range(200):
        assert len(await memory.aretrieve("statement")) == 2
    task.cancel()
    assert turns - begun >= 200


@pytest.mark.parametrize("backend", ["dev"], indirect=True)
async def test_a_call_that_is_cancelled_while_its_answer_waits_keeps_no_other_waiting(memory: MemoryManager) -> None:
    await memory.awrite("a statement")
    for _ in range(100):
        task = asyncio.create_task(memory.aretrieve("statement"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(await memory.aretrieve("statement")) == 1


async def test_calls_in_one_turn_are_answered_together(memory: MemoryManager) -> None:
    await memory.awrite(MemoryRecord(id="a", text="a statement"))
    for _ in range(20):
        found, got, slots = await asyncio.gather(
            memory.aretrieve("statement"), memory.aget(["a"]), memory.aget_rmt("nobody")
        )
        assert ([item.id for item in found], [item.id for item in got if item], slots) == (["a"], ["a"], None)


@pytest.mark.parametrize("backend", ["dev"], indirect=True)
async def test_at_most_one_call_in_a_turn_is_answered_in_it(memory: MemoryManager) -> None:
    await memory.awrite("a statement")
    await memory.aretrieve("statement")
    inside, request = memory._memory, b'{"query":"statement"}'
    first = inside.acall("retrieve", request)
    begun = iter(first.__await__())
    next(begun)
    others = [inside.acall("retrieve", request) for _ in range(3)]
    assert [type(call).__name__ for call in (first, *others)] == ["Ready", *["Future"] * 3]
    with pytest.raises(StopIteration) as answer:
        next(begun)
    assert len(answer.value.value) == 1
    assert [len(await call) for call in others] == [1, 1, 1]
    assert type(inside.acall("retrieve", request)).__name__ == "Ready"
