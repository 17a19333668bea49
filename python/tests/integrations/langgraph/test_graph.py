"""Store and saver inside of real graphs, offline. Not here: each by itself (`test_store`, `test_saver`)."""

from __future__ import annotations

import asyncio
import operator
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_store
from langgraph.graph import END, START, StateGraph
from langgraph.prebuilt import create_react_agent
from langgraph.types import Command, Send, interrupt

from mnemic import MemoryManager, create_dev_memory_manager, create_embedded_memory_manager
from mnemic.integrations.langgraph import MnemicSaver, MnemicStore

USER = ("users", "alice")
EXAMPLE = Path(__file__).parents[4] / "examples" / "python" / "langgraph_agent.py"


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


class Scripted(GenericFakeChatModel):
    """Says what the script says, in order."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Scripted:
        return self


def script(*messages: AIMessage) -> Scripted:
    return Scripted(messages=iter(messages))


def call(name: str, **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call {name} {arguments}"}])


@tool
def remember(fact: str, runtime: ToolRuntime) -> str:
    """Keeps a fact."""
    assert runtime.store is not None
    runtime.store.put(USER, fact, {"text": fact})
    return "kept"


@tool
async def recall(question: str, runtime: ToolRuntime) -> str:
    """Looks up a fact."""
    assert runtime.store is not None
    found = await runtime.store.asearch(USER, query=question, limit=1)
    return str(found[0].value["text"])


MAKERS: list[Any] = [create_agent, pytest.param(create_react_agent, marks=pytest.mark.filterwarnings("ignore"))]


@pytest.mark.parametrize("make", MAKERS)
async def test_an_agent_keeps_in_one_conversation_what_it_knows_in_another(
    open_memory: Callable[..., MemoryManager], make: Any
) -> None:
    memory = open_memory()
    model = script(
        call("remember", fact="Alice is allergic to peanuts"),
        AIMessage("noted"),
        call("recall", question="allergic peanuts"),
        AIMessage("done"),
        AIMessage("bye"),
    )
    agent = make(model, tools=[remember, recall], store=MnemicStore(memory), checkpointer=MnemicSaver(memory))
    await agent.ainvoke({"messages": [("user", "I am allergic to peanuts")]}, thread("monday"))
    answer = await agent.ainvoke({"messages": [("user", "What am I allergic to?")]}, thread("tuesday"))
    assert [message.content for message in answer["messages"]] == [
        "What am I allergic to?",
        "",
        "Alice is allergic to peanuts",
        "done",
    ]
    # Another agent on the same memory goes on with the first conversation.
    other = make(script(AIMessage("bye")), tools=[remember, recall], checkpointer=MnemicSaver(memory))
    answer = await other.ainvoke({"messages": [("user", "Bye")]}, thread("monday"))
    assert [message.content for message in answer["messages"]] == [
        "I am allergic to peanuts",
        "",
        "kept",
        "noted",
        "Bye",
        "bye",
    ]


def test_a_conversation_goes_on_in_another_process(tmp_path: Path) -> None:
    outputs = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, str(EXAMPLE), str(tmp_path / "memory")],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        outputs.append(done.stdout.splitlines())
    for lines in outputs:
        assert lines[5] == "    -> (recall) I am allergic to peanuts."
        assert lines[7] == "    -> (recall) My flight to Lisbon leaves at 7:40."
    assert outputs[0][9] == "    -> This conversation has 9 messages."
    assert outputs[1][9] == "    -> This conversation has 19 messages."


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    name: str


def asking() -> Any:
    def first(state: State) -> State:
        get_store().put(USER, "seen", {"log": state["log"]})
        return {"log": ["first"]}

    def second(state: State) -> State:
        return {"name": interrupt("your name?"), "log": ["second"]}

    graph = StateGraph(State)
    graph.add_node("first", first)
    graph.add_node("second", second)
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    graph.add_edge("second", END)
    return graph


def test_a_run_waits_for_a_person_over_a_restart(tmp_path: Path) -> None:
    with create_embedded_memory_manager(tmp_path / "m") as memory:
        graph = asking().compile(checkpointer=MnemicSaver(memory), store=MnemicStore(memory))
        waiting = graph.invoke({"log": ["start"]}, thread("t"))
        assert [one.value for one in waiting["__interrupt__"]] == ["your name?"]
    with create_embedded_memory_manager(tmp_path / "m") as memory:
        graph = asking().compile(checkpointer=MnemicSaver(memory), store=MnemicStore(memory))
        assert graph.get_state(thread("t")).next == ("second",)
        assert graph.invoke(Command(resume="Alice"), thread("t")) == {
            "log": ["start", "first", "second"],
            "name": "Alice",
        }
        seen = MnemicStore(memory).get(USER, "seen")
        assert seen is not None
        assert seen.value == {"log": ["start"]}


def fanning(runs: list[str]) -> Any:
    """Twelve tasks at once, of which one fails the first time."""

    def task(state: dict[str, Any]) -> State:
        name = f"task {state['i']}"
        runs.append(name)
        if name == "task 7" and runs.count(name) == 1:
            raise RuntimeError("the network is away")
        return {"log": [name]}

    graph = StateGraph(State)
    graph.add_node("task", task)  # type: ignore[type-var]
    graph.add_conditional_edges(START, lambda _: [Send("task", {"i": i}) for i in range(12)], ["task"])
    graph.add_edge("task", END)
    return graph


@pytest.mark.parametrize("way", ["sync", "async"])
def test_tasks_whose_writes_were_kept_are_not_run_again(open_memory: Callable[..., MemoryManager], way: str) -> None:
    memory = open_memory()
    runs: list[str] = []
    graph = fanning(runs).compile(checkpointer=MnemicSaver(memory))

    def invoke(given: Any) -> Any:
        if way == "sync":
            return graph.invoke(given, thread("t"))
        return asyncio.run(graph.ainvoke(given, thread("t")))

    with pytest.raises(RuntimeError, match="network"):
        invoke({"log": []})
    # The framework may cancel tasks beside the one that fails, so which were kept is for it to say.
    tasks = graph.get_state(thread("t")).tasks
    kept = [one.result["log"][0] for one in tasks if one.result is not None]
    assert "network" in str([one.error for one in tasks])
    assert "task 7" not in kept
    assert sorted(invoke(None)["log"]) == sorted(f"task {i}" for i in range(12))
    assert {name: runs.count(name) for name in [*kept, "task 7"]} == {**dict.fromkeys(kept, 1), "task 7": 2}


def test_the_history_is_that_of_the_in_memory_saver(open_memory: Callable[..., MemoryManager]) -> None:
    histories = []
    for saver in (MnemicSaver(open_memory()), InMemorySaver()):
        graph = asking().compile(checkpointer=saver, store=MnemicStore(create_dev_memory_manager()))
        graph.invoke({"log": ["start"]}, thread("t"))
        graph.invoke(Command(resume="Alice"), thread("t"))
        first = next(state for state in graph.get_state_history(thread("t")) if state.next == ("second",))
        graph.update_state(first.config, {"log": ["edited"]})
        graph.invoke(Command(resume="Bob"), thread("t"))
        histories.append(
            [
                (
                    state.values,
                    state.next,
                    state.metadata["source"],
                    state.metadata["step"],
                    state.parent_config is None,
                )
                for state in graph.get_state_history(thread("t"))
            ]
        )
    assert histories[0] == histories[1]
    assert histories[0][0][0] == {"log": ["start", "first", "edited", "second"], "name": "Bob"}


def extend(before: list[str], writes: list[list[str]]) -> list[str]:
    return [*before, *(one for write in writes for one in write)]


class Deltas(TypedDict, total=False):
    log: Annotated[list[str], DeltaChannel(extend, snapshot_frequency=4)]


def counting(saver: Any) -> Any:
    graph = StateGraph(Deltas)
    graph.add_node("step", lambda state: {"log": [f"step {len(state['log'])}"]})
    graph.add_edge(START, "step")
    return graph.compile(checkpointer=saver)


def test_a_channel_of_deltas_survives_pruning(open_memory: Callable[..., MemoryManager]) -> None:
    saver = MnemicSaver(open_memory())
    graph, reference = counting(saver), counting(InMemorySaver())
    for turn in range(7):
        expected = reference.invoke({"log": [f"turn {turn}"]}, thread("t"))
        assert graph.invoke({"log": [f"turn {turn}"]}, thread("t")) == expected
        before = len(list(saver.list(thread("t"))))
        saver.prune(["t"])
        assert len(list(saver.list(thread("t")))) <= before
        assert graph.get_state(thread("t")).values == expected
    assert len(list(saver.list(thread("t")))) < len(list(reference.checkpointer.list(thread("t"))))
