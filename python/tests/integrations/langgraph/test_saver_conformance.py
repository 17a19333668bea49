"""The framework's own conformance suite for savers, all of it. Not here: what it does not ask (`test_saver`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES

from mnemic import MemoryManager
from mnemic.integrations.langgraph import MnemicSaver


async def test_the_saver_passes_every_capability_of_the_suite(open_memory: Callable[..., MemoryManager]) -> None:
    memory = open_memory()

    @checkpointer_test(name="MnemicSaver")
    async def savers() -> AsyncIterator[MnemicSaver]:
        yield MnemicSaver(memory)

    report = await validate(savers)
    assert {name: result.failures for name, result in report.results.items() if result.failures} == {}
    assert {name for name, result in report.results.items() if result.passed} == {one.value for one in ALL_CAPABILITIES}
    assert report.passed_all()
    assert sum(result.tests_passed for result in report.results.values()) >= 70
