"""The saver beyond the framework's suite: size, wholeness, what happens at once, what others see. Both ways of calling."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from conftest import DIMENSIONS, LetterEmbeddings
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, _DeltaSnapshot

from mnemic import (
    ConflictError,
    InvalidInputError,
    MemoryManager,
    create_dev_memory_manager,
    create_embedded_memory_manager,
)
from mnemic._verbs import Ask
from mnemic.integrations.langgraph import EmbeddingsEmbedder, MnemicSaver
from mnemic.integrations.langgraph import _checkpoints as checkpoints


def config(thread: str, checkpoint_id: str | None = None, ns: str = "") -> Any:
    named = {} if checkpoint_id is None else {"checkpoint_id": checkpoint_id}
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ns, **named}}


def checkpoint(number: int = 0, **values: Any) -> Checkpoint:
    made = empty_checkpoint()
    made["id"] = str(uuid6(clock_seq=number))
    made["channel_values"] = values
    made["channel_versions"] = dict.fromkeys(values, "1")
    return made


def put(saver: MnemicSaver, under: Any, made: Checkpoint, **metadata: Any) -> Any:
    return saver.put(under, made, {"source": "loop", "step": 1, "parents": {}, **metadata}, made["channel_versions"])  # type: ignore[typeddict-item]


def ids(saver: MnemicSaver, thread: str | None) -> list[str]:
    return [
        found.checkpoint["id"]
        for found in saver.list(None if thread is None else {"configurable": {"thread_id": thread}})
    ]


@pytest.mark.parametrize("size", [100_000, 600_000, 6_000_000])
def test_a_checkpoint_of_any_size_is_kept_whole(saver: MnemicSaver, size: int) -> None:
    noise = random.Random(size).randbytes(size)
    made = checkpoint(noise=noise, text="слово " * (size // 12))
    at = put(saver, config("t"), made)
    saver.put_writes(at, [("noise", noise), ("small", 1)], "task")
    found = saver.get_tuple(config("t"))
    assert found is not None
    assert found.checkpoint == made
    assert found.pending_writes == [("task", "noise", noise), ("task", "small", 1)]
    assert [one.checkpoint for one in saver.list(config("t"))] == [made]
    saver.delete_thread("t")
    assert saver.memory.stats()["records"] == 0


def test_a_checkpoint_beyond_one_write_is_refused_whole() -> None:
    saver = MnemicSaver(create_dev_memory_manager())
    with pytest.raises(InvalidInputError, match="at most 43868000 bytes packed"):
        put(saver, config("t"), checkpoint(noise=os.urandom(44_500_000)))
    assert saver.get_tuple(config("t")) is None
    assert saver.memory.stats()["records"] == 0


def test_a_checkpoint_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = create_dev_memory_manager()
    saver = MnemicSaver(memory)
    asked: list[str] = []
    run = type(memory)._run

    def noted(self: MemoryManager, ask: Ask[Any]) -> Any:
        asked.append(ask.verb)
        return run(self, ask)

    monkeypatch.setattr(type(memory), "_run", noted)
    at = put(saver, config("t"), checkpoint(noise=os.urandom(2_000_000)))
    saver.put_writes(at, [("noise", os.urandom(300_000)), ("other", 1)], "task")
    assert asked.count("write") == 2


def test_nothing_of_it_is_retrieved_and_nothing_is_embedded(embeddings: LetterEmbeddings, tmp_path: Any) -> None:
    embedder = EmbeddingsEmbedder(embeddings, DIMENSIONS)
    with create_embedded_memory_manager(tmp_path / "m", embedder=embedder) as memory:
        memory.write("a teapot of the memory's own")
        asked = len(embeddings.texts)
        saver = MnemicSaver(memory)
        at = put(saver, config("teapot"), checkpoint(text="teapot " * 50_000))
        saver.put_writes(at, [("text", "teapot")], "task")
        assert len(embeddings.texts) == asked
        assert [hit.text for hit in memory.retrieve("teapot", topk=100)] == ["a teapot of the memory's own"]
        assert memory.stats()["records"] == 1
        assert saver.memory.retrieve("teapot langgraph", topk=100) == []
        assert saver.memory.consolidate().deduplicated == 0
        assert saver.get_tuple(config("teapot")) is not None


def test_namespaces_of_savers_are_apart(open_memory: Callable[..., MemoryManager]) -> None:
    memory = open_memory()
    one, other = MnemicSaver(memory), MnemicSaver(memory, namespace="other-" + memory.namespace[2:10])
    put(one, config("t"), checkpoint(v=1))
    assert other.get_tuple(config("t")) is None
    assert one.memory.namespace == memory.namespace + "-checkpoints"
    assert MnemicSaver(memory).get_tuple(config("t")) is not None


def test_any_thread_id_and_namespace_is_its_own(saver: MnemicSaver) -> None:
    names = ["t", "T", "t ", "'; --", "ключ 🔑", "x" * 3000, "%", "a|b", "a\0b", "\ud800"]
    for name in names:
        put(saver, config(name, ns=f"child:{name}"), checkpoint(name=name.encode("utf-8", "replace")))
    for name in names:
        found = saver.get_tuple(config(name, ns=f"child:{name}"))
        assert found is not None, repr(name)
        assert found.checkpoint["channel_values"]["name"] == name.encode("utf-8", "replace")
        assert saver.get_tuple(config(name)) is None
        assert len(ids(saver, name)) == 1
    assert len(ids(saver, None)) == len(names)
    saver.delete_thread("t")
    assert len(ids(saver, None)) == len(names) - 1


def test_the_latest_is_the_one_with_the_greatest_id_whatever_came_last(saver: MnemicSaver) -> None:
    made = [checkpoint(i, v=i) for i in range(4)]
    for i in (2, 0, 3, 1):
        put(saver, config("t"), made[i])
    found = saver.get_tuple(config("t"))
    assert found is not None
    assert found.checkpoint == made[3]
    assert ids(saver, "t") == [one["id"] for one in reversed(made)]
    middle = config("t", made[2]["id"])
    assert [one.checkpoint["id"] for one in saver.list(config("t"), before=middle)] == [made[1]["id"], made[0]["id"]]
    assert [one.checkpoint["id"] for one in saver.list(middle)] == [made[2]["id"]]


def test_a_checkpoint_that_is_put_again_is_replaced_whole(saver: MnemicSaver) -> None:
    made = checkpoint(v=os.urandom(500_000))
    put(saver, config("t"), made)
    smaller: Any = {**made, "channel_values": {"v": b"small"}}
    at = put(saver, config("t"), smaller)
    found = saver.get_tuple(at)
    assert found is not None
    assert found.checkpoint == smaller
    saver.delete_thread("t")
    assert saver.memory.stats()["records"] == 0


def test_of_two_regular_writes_the_first_stays_and_of_special_ones_the_last(saver: MnemicSaver) -> None:
    reference = InMemorySaver()
    made = checkpoint(v=1)
    for one in (saver, reference):
        at = put(one, config("t"), made)  # type: ignore[arg-type]
        one.put_writes(at, [("a", 1), ("b", 2)], "task", "path")
        one.put_writes(at, [("a", 10), ("b", 20), ("c", 30)], "task", "path")
        one.put_writes(at, [(ERROR, "first")], "task")
        one.put_writes(at, [(ERROR, "second"), (INTERRUPT, "now")], "task")
        one.put_writes(at, [], "nothing")
    mine, its = saver.get_tuple(config("t")), reference.get_tuple(config("t"))
    assert mine is not None
    assert its is not None
    assert mine.pending_writes is not None
    assert mine.pending_writes == its.pending_writes


WRITES = st.lists(st.tuples(st.sampled_from(["a", "b", ERROR]), st.integers(0, 9)), min_size=1, max_size=3)


@given(
    st.lists(
        st.tuples(st.sampled_from(["t1", "t2", "t3"]), st.sampled_from(["", "~0", "~1"]), WRITES),
        min_size=1,
        max_size=6,
    )
)
def test_writes_of_many_tasks_are_in_the_order_of_the_in_memory_saver(calls: list[tuple[str, str, Any]]) -> None:
    mine, reference = MnemicSaver(create_dev_memory_manager()), InMemorySaver()
    made = checkpoint(v=1)
    for one in (mine, reference):
        at = put(one, config("t"), made)  # type: ignore[arg-type]
        for task, path, writes in calls:
            one.put_writes(at, writes, task, path)
    found, expected = mine.get_tuple(config("t")), reference.get_tuple(config("t"))
    assert found is not None
    assert expected is not None
    assert found.pending_writes == expected.pending_writes


def test_writes_need_a_checkpoint(saver: MnemicSaver) -> None:
    with pytest.raises(InvalidInputError, match="checkpoint_id"):
        saver.put_writes(config("t"), [("a", 1)], "task")


def test_two_calls_for_one_task_add_to_each_other(saver: MnemicSaver) -> None:
    at = put(saver, config("t"), checkpoint(v=1))
    saver.put_writes(at, [("a", 1)], "task")

    def until_it_writes(steps: Any) -> Any:
        ask = next(steps)
        while ask.verb != "write":
            ask = steps.send(saver.memory._run(ask))
        return ask

    def until_it_ends(steps: Any, ask: Any) -> None:
        while True:
            ask = steps.send(saver.memory._run(ask))

    # Both have read what was there before either writes.
    calls = [saver._put_writes(at, [(channel, 2)], "task", "") for channel in (ERROR, INTERRUPT)]
    asks = [until_it_writes(call) for call in calls]
    with pytest.raises(StopIteration):
        calls[0].send(saver.memory._run(asks[0]))
    with pytest.raises(ConflictError) as refused:
        saver.memory._run(asks[1])
    ask = calls[1].throw(refused.value)
    with pytest.raises(StopIteration):
        until_it_ends(calls[1], ask)
    found = saver.get_tuple(at)
    assert found is not None
    assert found.pending_writes is not None
    assert sorted(found.pending_writes) == sorted([("task", "a", 1), ("task", ERROR, 2), ("task", INTERRUPT, 2)])


async def test_tasks_that_end_at_once_lose_no_write(saver: MnemicSaver) -> None:
    at = put(saver, config("t"), checkpoint(v=1))
    tasks = [f"task{i}" for i in range(60)]
    await asyncio.gather(
        *(saver.aput_writes(at, [("ch", task), ("big", task * 5000)], task) for task in tasks),
        *(saver.aput_writes(at, [(ERROR, task)], task) for task in tasks),
    )
    found = await saver.aget_tuple(config("t"))
    assert found is not None
    assert found.pending_writes is not None
    assert sorted(found.pending_writes) == sorted(
        write for task in tasks for write in [(task, "ch", task), (task, "big", task * 5000), (task, ERROR, task)]
    )


def test_threads_that_put_at_once_leave_the_latest_the_latest(saver: MnemicSaver) -> None:
    made = [checkpoint(i, v=i, fill=os.urandom(60_000)) for i in range(24)]

    def work(part: list[Checkpoint]) -> None:
        for one in part:
            at = put(saver, config("t"), one)
            saver.put_writes(at, [("v", one["id"])], "task")

    shuffled = random.Random(7).sample(made, len(made))
    workers = [threading.Thread(target=work, args=(shuffled[i::4],)) for i in range(4)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    found = saver.get_tuple(config("t"))
    assert found is not None
    assert found.checkpoint == made[-1]
    listed = list(saver.list(config("t")))
    assert [one.checkpoint for one in listed] == made[::-1]
    assert all(one.pending_writes == [("task", "v", one.checkpoint["id"])] for one in listed)


async def test_a_reader_sees_a_checkpoint_whole_or_not_at_all(saver: MnemicSaver) -> None:
    made = checkpoint(v=0)
    seen: list[int] = []

    async def writer() -> None:
        for i in range(25):
            one: Any = {**made, "channel_values": {"v": i, "fill": bytes([i]) * 10 + os.urandom(45_000 * (i % 4))}}
            await saver.aput(config("t"), one, {"step": i}, {})

    async def reader() -> None:
        while not seen or seen[-1] < 24:
            found = await saver.aget_tuple(config("t"))
            if found is not None:
                values = found.checkpoint["channel_values"]
                assert values["fill"][:10] == bytes([values["v"]]) * 10
                assert found.metadata["step"] == values["v"]
                seen.append(values["v"])
            await asyncio.sleep(0)

    await asyncio.wait_for(asyncio.gather(writer(), reader(), reader()), 60)
    assert len(set(seen)) > 1


def test_an_interrupted_put_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    saver = MnemicSaver(create_dev_memory_manager())
    put(saver, config("t"), before := checkpoint(0, v="before"))
    run = type(saver.memory)._run

    def fails(self: MemoryManager, ask: Ask[Any]) -> Any:
        if ask.verb == "write":
            raise KeyboardInterrupt
        return run(self, ask)

    with monkeypatch.context() as patched:
        patched.setattr(type(saver.memory), "_run", fails)
        with pytest.raises(KeyboardInterrupt):
            put(saver, config("t"), checkpoint(1, v=os.urandom(100_000)))
    assert ids(saver, "t") == [before["id"]]
    found = saver.get_tuple(config("t"))
    assert found is not None
    assert found.checkpoint == before


def test_a_removed_latest_leaves_the_one_before_as_the_latest(saver: MnemicSaver) -> None:
    made = [checkpoint(i, v=i) for i in range(4)]
    for i, one in enumerate(made):
        under = config("t", made[i - 1]["id"] if i else None)
        at = put(saver, under, one, run_id=f"run{i // 2}")
        saver.put_writes(at, [("v", i)], "task")
    put(saver, config("t", ns="child"), checkpoint(9, v="child"), run_id="run1")
    saver.delete_for_runs(["run1"])
    found = saver.get_tuple(config("t"))
    assert found is not None
    assert found.checkpoint == made[1]
    assert found.pending_writes == [("task", "v", 1)]
    assert found.parent_config == config("t", made[0]["id"])
    assert saver.get_tuple(config("t", ns="child")) is None
    later = checkpoint(10, v="later")
    put(saver, config("t", ns="child"), later)
    found = saver.get_tuple(config("t", ns="child"))
    assert found is not None
    assert found.checkpoint == later


def test_a_copy_is_complete_and_independent(saver: MnemicSaver) -> None:
    made = [checkpoint(i, v=i, fill=os.urandom(60_000)) for i in range(3)]
    for i, one in enumerate(made):
        at = put(saver, config("a", made[i - 1]["id"] if i else None), one, run_id="run")
        saver.put_writes(at, [("v", i), (ERROR, "x")], f"task{i}", f"~{i}")
    saver.copy_thread("a", "b")
    saver.copy_thread("a", "a")
    original, copied = list(saver.list(config("a"))), list(saver.list(config("b")))
    assert [(one.checkpoint, one.metadata, one.pending_writes) for one in copied] == [
        (one.checkpoint, one.metadata, one.pending_writes) for one in original
    ]
    assert copied[0].parent_config == config("b", made[1]["id"])
    saver.delete_thread("a")
    assert ids(saver, "a") == []
    assert list(saver.list(config("b"))) == copied
    saver.delete_for_runs(["run"])
    assert saver.memory.stats()["records"] == 0


def test_pruning_keeps_what_a_delta_channel_is_built_up_from(saver: MnemicSaver) -> None:
    made = [checkpoint(i, v=i) for i in range(6)]
    made[2]["channel_values"]["log"] = _DeltaSnapshot(["snapshot"])
    for i, one in enumerate(made):
        at = put(
            saver, config("t", made[i - 1]["id"] if i else None), one, counters_since_delta_snapshot={"log": (1, 1)}
        )
        saver.put_writes(at, [("log", i)], "task")
    before = saver.get_delta_channel_history(config=config("t"), channels=["log"])
    saver.prune(["t"])
    assert ids(saver, "t") == [one["id"] for one in reversed(made[2:])]
    after = saver.get_delta_channel_history(config=config("t"), channels=["log"])
    assert after == before
    assert after["log"]["seed"].value == ["snapshot"]
    assert [write[2] for write in after["log"]["writes"]] == [2, 3, 4]
    with pytest.raises(InvalidInputError, match="strategy"):
        saver.prune(["t"], strategy="keep_best")
    saver.prune(["t"], strategy="delete")
    assert saver.memory.stats()["records"] == 0


def test_listing_reads_as_far_as_it_is_taken(saver: MnemicSaver) -> None:
    made = [checkpoint(i, v=i) for i in range(40)]
    for i, one in enumerate(made):
        put(saver, config("t"), one, step=i, parity=i % 2)
    expected = [one["id"] for one in reversed(made)]
    assert ids(saver, "t") == expected
    odd = [one.metadata["step"] for one in saver.list(config("t"), filter={"parity": 1}, limit=19)]
    assert odd == list(range(39, 1, -2))
    walk = saver.list(config("t"))
    assert next(walk).checkpoint["id"] == expected[0]
    saver.delete_thread("t")
    assert len(list(walk)) <= 15
    assert list(saver.list(config("t"), limit=0)) == []


def test_versions_rise_and_differ_between_branches() -> None:
    saver = MnemicSaver(create_dev_memory_manager())
    first = saver.get_next_version(None, None)
    second, other = saver.get_next_version(first, None), saver.get_next_version(first, None)
    assert first < second
    assert second != other


def test_a_serializer_of_ones_own_is_used() -> None:
    class Turned(JsonPlusSerializer):
        def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
            kind, data = super().dumps_typed(obj)
            return kind, data[::-1]

        def loads_typed(self, data: tuple[str, bytes]) -> Any:
            return super().loads_typed((data[0], data[1][::-1]))

    memory = create_dev_memory_manager()
    saver = MnemicSaver(memory, serde=Turned())
    made = checkpoint(v=[1, 2])
    at = put(saver, config("t"), made)
    found = saver.get_tuple(at)
    assert found is not None
    assert found.checkpoint == made


def test_both_ways_of_calling_are_the_same_saver(saver: MnemicSaver) -> None:
    made = checkpoint(v=1)

    async def write() -> Any:
        at = await saver.aput(config("t"), made, {"source": "loop"}, {})
        await saver.aput_writes(at, [("v", 2)], "task")
        # On the loop itself: there is nothing that would wait for it.
        assert saver.get_tuple(at) == await saver.aget_tuple(at)
        return [one async for one in saver.alist(config("t"))]

    assert asyncio.run(write()) == list(saver.list(config("t")))
    assert asyncio.run(saver.aget(config("t"))) == saver.get(config("t")) == made
    asyncio.run(saver.acopy_thread("t", "u"))
    asyncio.run(saver.aprune(["t"], strategy="delete"))
    assert (ids(saver, "t"), ids(saver, "u")) == ([], [made["id"]])
    asyncio.run(saver.adelete_thread("u"))
    assert ids(saver, None) == []


def test_places_that_differ_have_names_that_differ() -> None:
    places = [checkpoints.Place("a", "b", "c"), checkpoints.Place("a,b", "", "c"), checkpoints.Place("a", "", "bc")]
    assert len({place.head for place in places}) == len({place.pointer for place in places}) == 3


@pytest.mark.parametrize("length", [51, 52, 60, 63])
def test_a_memory_with_a_long_namespace_has_room_for_its_checkpoints(length: int) -> None:
    names = [letter * length for letter in "ab"] + ["a" * (length - 1) + "b"]
    memory = create_dev_memory_manager()
    savers = [MnemicSaver(memory.in_namespace(name)) for name in names]
    kept = [saver.memory.namespace for saver in savers]
    assert len({*kept, *names}) == 6
    assert all(name.endswith("-checkpoints") for name in kept)
    assert kept == [MnemicSaver(memory.in_namespace(name)).memory.namespace for name in names]
    if length == 51:
        assert kept == [f"{name}-checkpoints" for name in names]
    for number, saver in enumerate(savers):
        put(saver, config("t"), checkpoint(n=number))
    assert [saver.get_tuple(config("t")).checkpoint["channel_values"] for saver in savers] == [  # type: ignore[union-attr]
        {"n": number} for number in range(3)
    ]
