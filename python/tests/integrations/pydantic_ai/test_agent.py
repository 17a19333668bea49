"""An agent with the harness's memory on the store, offline: the model answers from a script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai_harness.memory import Memory

from mnemic import create_embedded_memory_manager
from mnemic.integrations.pydantic_ai import MnemicMemoryStore

EXAMPLES = Path(__file__).parents[4] / "examples" / "python"


def scripted(*answers: Any) -> tuple[FunctionModel, list[str]]:
    """A model that gives these answers one after the other, and all that it was shown."""
    left, shown = list(answers), list[str]()

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        shown.append(repr(messages))
        part = left.pop(0)
        return ModelResponse(parts=[TextPart(part) if isinstance(part, str) else part])

    return FunctionModel(answer), shown


def call(tool: str, **arguments: str) -> ToolCallPart:
    return ToolCallPart(tool_name=tool, args=arguments)


def returned(result: Any) -> list[Any]:
    return [
        part.content for message in result.all_messages() for part in message.parts if isinstance(part, ToolReturnPart)
    ]


def agent(model: Any, store: MnemicMemoryStore, person: str, **settings: Any) -> Agent[None, str]:
    return Agent(model, capabilities=[Memory(store=store, namespace=person, injection_errors="raise", **settings)])


async def test_what_one_run_writes_the_next_one_knows_after_a_restart(tmp_path: Path) -> None:
    memory = create_embedded_memory_manager(tmp_path)
    model, _ = scripted(call("write_memory", content="Anna prefers tea."), "noted")
    await agent(model, MnemicMemoryStore(memory), "anna", write_metadata={"by": "agent"}).run("I prefer tea.")
    await memory.aclose()

    memory = create_embedded_memory_manager(tmp_path)
    store = MnemicMemoryStore(memory)
    model, shown = scripted("tea")
    await agent(model, store, "anna").run("What do I prefer?")
    assert "Anna prefers tea." in shown[0]
    kept = await store.read("anna/main/MEMORY.md", max_chars=99)
    assert kept is not None
    assert kept.metadata == {"by": "agent"}
    model, shown = scripted("I do not know")
    await agent(model, store, "ben").run("What does Anna prefer?")
    assert "prefers tea" not in shown[0]
    await memory.aclose()


async def test_the_tools_find_correct_and_delete(tmp_path: Path) -> None:
    memory = create_embedded_memory_manager(tmp_path)
    store = MnemicMemoryStore(memory)
    await store.write("anna/main/fees.md", "The filing fee is $1,440.", expected_version=None)
    await store.write("ben/main/fees.md", "The filing fee is secret.", expected_version=None)
    model, _ = scripted(
        call("search_memory", query="filing fee"),
        call("write_memory", file="fees.md", old_text="$1,440", content="$2,805"),
        call("read_memory", file="fees.md"),
        call("delete_memory", file="fees.md"),
        call("search_memory", query="filing fee"),
        "done",
    )
    result = await agent(model, store, "anna").run("Correct the fee, then delete it.")
    found, written, read, deleted, nothing = returned(result)
    assert [(m["file"], m["snippet"]) for m in found["matches"]] == [("fees.md", "The filing fee is $1,440.")]
    assert written["file"] == deleted["file"] == "fees.md"
    assert "The filing fee is $2,805." in read
    assert nothing["matches"] == []
    assert await store.list_paths(limit=9) == ["ben/main/fees.md"]
    await memory.aclose()


async def test_a_model_that_calls_every_tool_gets_an_answer_from_each(tmp_path: Path) -> None:
    memory = create_embedded_memory_manager(tmp_path)
    store = MnemicMemoryStore(memory)
    result = await agent(TestModel(call_tools=["write_memory", "search_memory"]), store, "anna").run("go")
    assert len(returned(result)) == 2
    assert await store.list_paths(limit=9) != []
    await memory.aclose()


def test_the_example_runs() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "pydantic_ai_memory.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "in the notebook: Anna prefers morning flights." in done.stdout
    assert "the second run was shown it: True" in done.stdout
    assert "by words: ['MEMORY.md']" in done.stdout
