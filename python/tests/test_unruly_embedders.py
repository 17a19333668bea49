"""Embedders of the user's own that do what they must not: wait for their memory, end the program, cannot be awaited.

Not here: wrong answers, and what good ones are given (`test_embedders`).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import pytest
from test_embedders import Bad

import mnemic
from mnemic import InvalidInputError, MemoryManager, MnemicError, SuppliedVectors, UnsupportedError

T = TypeVar("T")


class Words:
    """Embeds by three words."""

    dimension = 4

    async def aembed(self, texts: list[str], *, purpose: str) -> list[list[float]]:
        return [[float(word in text) for word in ("fee", "form", "court")] + [0.1] for text in texts]


class Probed:
    """Says nothing of itself."""

    async def aembed(self, texts: list[str]) -> list[list[float]]:
        return [[1.0, float(len(text)), 0.5] for text in texts]


def in_time(call: Callable[[], T]) -> T:
    """What the call answers; one that hangs fails its test and stays behind."""
    made: list[T] = []
    thread = threading.Thread(target=lambda: made.append(call()), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it hangs"
    return made[0]


def test_a_call_that_waits_from_within_the_embedder_is_refused(open_memory: Callable[..., MemoryManager]) -> None:
    made: list[MemoryManager] = []
    told: list[MnemicError] = []

    class Waiting:
        dimension = 2

        async def aembed(self, texts: list[str]) -> list[list[float]]:
            try:
                made[0].write({"id": "inner", "text": "the inner fee"})
            except MnemicError as error:
                told.append(error)
            # Elsewhere it may wait, and so may the coroutine here.
            await asyncio.to_thread(made[0].get, ["x"])
            await made[0].aget(["x"])
            return [[1.0, 0.0] for _ in texts]

    made.append(open_memory(embedder=Waiting()))
    assert in_time(lambda: made[0].write("the fee")).outcomes == ["indexed"]
    assert type(told[0]) is UnsupportedError
    assert str(told[0]).startswith("write: expected its coroutine to be awaited within an embedder, found")


def test_opening_a_memory_that_asks_its_embedder_from_within_one_is_refused() -> None:
    told: list[MnemicError] = []

    class Opening:
        dimension = 2

        async def aembed(self, texts: list[str]) -> list[list[float]]:
            try:
                mnemic.create_dev_memory_manager(embedder=Probed())
            except MnemicError as error:
                told.append(error)
            return [[1.0, 0.0] for _ in texts]

    memory = mnemic.create_dev_memory_manager(embedder=Opening())
    in_time(lambda: memory.write("the fee"))
    assert [error.field for error in told] == ["embedder"]


def leave(_: Sequence[str]) -> object:
    raise SystemExit(3)


def interrupt(_: Sequence[str]) -> object:
    raise KeyboardInterrupt


def stop(_: Sequence[str]) -> object:
    asyncio.get_running_loop().stop()
    return [[1.0] * 4]


async def exit_alone() -> None:
    raise SystemExit(4)


TASKS: list[asyncio.Task[None]] = []


def leave_in_a_task(_: Sequence[str]) -> object:
    TASKS.append(asyncio.get_running_loop().create_task(exit_alone()))
    return [[1.0] * 4]


@pytest.mark.parametrize("fault", [leave, interrupt, stop, leave_in_a_task])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_embedder_that_would_end_the_program_ends_its_call_only(fault: Any) -> None:
    bad = Bad(fault)
    memory = mnemic.create_dev_memory_manager(embedder=bad)
    written = in_time(lambda: memory.write("the fee of one dollar"))
    assert written.outcomes == (["pending"] if fault in (leave, interrupt) else ["indexed"])
    # Whoever calls later finds the loop alive.
    bad.answer = lambda texts: [[1.0, 0.0, 0.0, 1.0] for _ in texts]
    in_time(memory.drain)
    assert in_time(lambda: memory.retrieve("fee", mode="dense")).degraded == []


async def test_what_an_embedder_raises_is_logged_once_without_what_was_to_be_embedded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Telling:
        dimension = 2

        async def aembed(self, texts: list[str]) -> list[list[float]]:
            try:
                raise KeyError(texts[0])
            except KeyError as error:
                raise ConnectionError(f"cannot embed {texts[0]}") from error

    memory = mnemic.create_dev_memory_manager(embedder=Telling())
    with caplog.at_level(logging.DEBUG):
        await memory.awrite("hush-hush")
    [record] = [one for one in caplog.records if one.name == "mnemic"]
    assert record.levelno == logging.WARNING
    assert record.exc_info is not None
    said = logging.Formatter().format(record)
    assert "Telling" in said
    assert "ConnectionError" in said
    assert 'in aembed\n    raise ConnectionError(f"cannot embed' in said, "it tells where"
    assert "hush-hush" not in said
    assert "hush-hush" not in repr(vars(record))


async def test_a_cancelled_embedder_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Cancelled:
        dimension = 2

        async def aembed(self, texts: list[str]) -> list[list[float]]:
            raise asyncio.CancelledError

    memory = mnemic.create_dev_memory_manager(embedder=Cancelled())
    await memory.awrite("the fee")
    assert [one for one in caplog.records if one.name == "mnemic"] == []


class Plain:
    dimension = 2

    def aembed(self, texts: list[str]) -> list[list[float]]:
        return [[1.0, 0.0] for _ in texts]


class Generating:
    dimension = 2

    async def aembed(self, texts: list[str]) -> Any:
        for _ in texts:
            yield [1.0, 0.0]


@pytest.mark.parametrize(
    ("wrong", "found"),
    [(Plain(), "Plain, whose aembed is not async"), (Generating(), "Generating, whose aembed is not async"),
     (Words, "the class .*Words, not an instance"), (SuppliedVectors, "the class .*SuppliedVectors, not an instance")],
)  # fmt: skip
def test_an_embedder_that_cannot_be_awaited_is_refused_when_a_memory_is_made(wrong: Any, found: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^embedder: expected .*async def aembed.*, found .*{found}") as told:
        mnemic.create_dev_memory_manager(embedder=wrong)
    assert told.value.field == "embedder"


async def test_what_makes_something_to_await_is_an_embedder() -> None:
    class Delegating:
        dimension = 4

        def aembed(self, texts: list[str]) -> Awaitable[list[list[float]]]:
            return Words().aembed(texts, purpose="document")

    class Partial:
        dimension = 4

        def __init__(self) -> None:
            self.aembed = functools.partial(Words().aembed, purpose="document")

    class Called:
        dimension = 4

        class aembed:
            async def __call__(self, texts: list[str]) -> list[list[float]]:
                return await Words().aembed(texts, purpose="document")

        def __init__(self) -> None:
            self.aembed = Called.aembed()  # type: ignore[misc,assignment]

    good: list[Any] = [Delegating(), Partial(), Called()]
    for embedder in good:
        memory = mnemic.create_dev_memory_manager(embedder=embedder)
        assert (await memory.awrite("the fee")).outcomes == ["indexed"]


@pytest.mark.parametrize(
    ("dimension", "found"), [(-1, "-1"), (0, "0"), (3.0, "3.0"), (True, "True"), ("3", "'3'"), (8193, "8193"), (2**32, "4294967296")]
)  # fmt: skip
def test_a_dimension_is_told_as_it_came(dimension: Any, found: str) -> None:
    with pytest.raises(InvalidInputError) as told:
        SuppliedVectors(dimension)
    assert str(told.value) == f"dimension: expected an integer from 1 to 8192, found {found}"
    assert told.value.field == "dimension"
    if dimension == 0:
        return
    bad: Any = Words()
    bad.dimension = dimension
    with pytest.raises(InvalidInputError) as told:
        mnemic.create_dev_memory_manager(embedder=bad)
    assert str(told.value) == f"embedder.dimension: expected an integer from 1 to 8192, found {found}"
