"""The case workflow of `examples/agents` on LangGraph, on memories in this process and in a directory.
Not here: the program around it (`test_program`)."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph

sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "examples" / "agents"))

from case_assistant.commands import Actor, Role
from case_assistant.groupagents.mega_agent import MegaAgent
from case_assistant.memory import client_memory
from case_assistant.model import Message, ModelAnswerError, ScriptedModel
from case_assistant.orchestration.state import CaseMessage, case_thread, new_message
from case_assistant.orchestration.workflow_graph import build_case_workflow

from mnemic import ConflictError, MemoryManager, create_dev_memory_manager, create_embedded_memory_manager

SLOTS = ["long_term_facts", "open_loops", "persona", "recent_summary"]


@pytest.fixture(params=["dev", "embedded"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], MemoryManager]:
    """Opens memories; those in a directory share it."""
    if request.param == "dev":
        return lambda: create_dev_memory_manager(namespace="anna")
    return lambda: create_embedded_memory_manager(tmp_path / "memory", namespace="anna")


@pytest.fixture
def memory(opening: Callable[[], MemoryManager]) -> Any:
    with opening() as memory:
        yield memory


def facts(*facts: tuple[str, str], closes: Sequence[int] = ()) -> str:
    listed = [{"kind": kind, "text": text, "closes": list(closes)} for kind, text in facts]
    return json.dumps({"facts": listed})


def message(text: str, **more: str) -> CaseMessage:
    return new_message(**{"case_id": "o1a", "user_id": "anna", "source": "anna", "text": text, **more})


FIRST = "I prefer Russian. My OPT ends on June 30, 2026. You need my passport copy."
FIRST_FACTS = facts(
    ("persona", "Anna prefers Russian."),
    ("semantic", "Anna's OPT ends on June 30, 2026."),
    ("open_loop", "Anna sends her passport copy."),
)


def test_the_graph_is_compiled_with_its_steps_in_order() -> None:
    workflow = build_case_workflow(create_dev_memory_manager())
    assert isinstance(workflow, CompiledStateGraph)
    edges = [(edge.source, edge.target) for edge in workflow.get_graph().edges]
    steps = ["__start__", "log_event", "reflect", "retrieve", "update_slots", "__end__"]
    assert edges == list(pairwise(steps))


async def test_each_step_reports_in_its_turn(memory: MemoryManager) -> None:
    workflow = build_case_workflow(memory, ScriptedModel([FIRST_FACTS, "A summary."]))
    seen = [step async for step in workflow.astream(message(FIRST), stream_mode="updates")]
    assert [next(iter(step)) for step in seen] == ["log_event", "reflect", "retrieve", "update_slots"]


async def test_a_message_becomes_an_event_records_with_provenance_and_slots(memory: MemoryManager) -> None:
    model = ScriptedModel([FIRST_FACTS, "Anna's OPT ends in June; her passport copy is missing."])
    given = message(FIRST)
    state = await build_case_workflow(memory, model).ainvoke(given)

    [entry] = (await memory.aevents(event_id=given["event_id"])).items
    assert entry.event is not None
    assert (entry.event.thread_id, entry.event.source, entry.event.payload["text"]) == ("case/o1a", "anna", FIRST)
    records = await memory.aget([fact["id"] for fact in state["learned"]])
    assert [(record.type, record.text) for record in records if record] == [
        ("persona", "Anna prefers Russian."),
        ("semantic", "Anna's OPT ends on June 30, 2026."),
        ("open_loop", "Anna sends her passport copy."),
    ]
    for record in records:
        assert record is not None
        assert record.provenance is not None
        assert record.provenance.events == [given["event_id"]]
        assert (record.user_id, record.thread_id, record.source) == ("anna", "case/o1a", "anna")
    assert state["recalled"] == []
    assert state["slots"] == {
        "persona": "Anna prefers Russian.",
        "long_term_facts": "Anna's OPT ends on June 30, 2026.",
        "open_loops": "Anna sends her passport copy.",
        "recent_summary": "Anna's OPT ends in June; her passport copy is missing.",
    }
    stored = await memory.aget_rmt(case_thread("o1a"))
    assert stored is not None
    assert (dict(stored), stored.version) == (state["slots"], state["slots_version"])


async def test_a_later_message_recalls_closes_loops_and_carries_the_summary_on(memory: MemoryManager) -> None:
    model = ScriptedModel(
        [
            FIRST_FACTS,
            "Summary one.",
            facts(("semantic", "Anna sent her passport copy."), closes=[1]),
            "Summary two.",
        ]
    )
    workflow = build_case_workflow(memory, model)
    first = await workflow.ainvoke(message(FIRST))
    second = await workflow.ainvoke(message("I sent the passport copy. When does my OPT end, on June 30?"))

    reflect, summarize = (json.loads(asked[-1]["content"]) for asked in model.asked[2:])
    assert reflect["open_loops"] == {"1": "Anna sends her passport copy."}
    assert summarize["summary"] == "Summary one."
    assert [record["text"] for record in second["recalled"]] == ["Anna's OPT ends on June 30, 2026."]
    assert second["slots"] == {
        "persona": "Anna prefers Russian.",
        "long_term_facts": "Anna sent her passport copy.\nAnna's OPT ends on June 30, 2026.",
        "open_loops": "",
        "recent_summary": "Summary two.",
    }
    [loop] = await memory.aget([first["learned"][2]["id"]])
    assert loop is not None
    assert (loop.superseded_by, loop.version) == (second["learned"][0]["id"], 2)
    assert loop.provenance is not None
    assert loop.provenance.events == [first["event_id"]]
    assert [slots.version for slots in await memory.armt_history(case_thread("o1a"))] == [2, 1]


async def test_another_case_and_internal_notes_stay_out(memory: MemoryManager) -> None:
    office = MegaAgent(memory)
    client = client_memory(memory, "anna")
    for case in ("o1a", "i485"):
        await office.cases.acreate_case("anna", case, title=f"The petition {case}", by="kim")
    await office.cases.aadd_note("anna", "o1a", "The petition leads with patents.", by="reed")
    await office.cases.aadd_note("anna", "o1a", "The petition has ten letters.", by="reed", internal=False)
    model = ScriptedModel([facts(("open_loop", "Sign the petition.")), "S.", facts(), "S."])
    workflow = build_case_workflow(client, model)
    state = await workflow.ainvoke(message("Tell me about the petition."))
    told = {record["text"] for record in state["recalled"]}
    assert told == {"Case o1a: The petition o1a (intake).", "The petition has ten letters."}
    other = await workflow.ainvoke(message("Tell me about the petition.", case_id="i485"))
    assert other["slots"]["open_loops"] == ""
    assert {record["text"] for record in other["recalled"]} == {"Case i485: The petition i485 (intake)."}


async def test_the_same_message_again_repeats_nothing(memory: MemoryManager) -> None:
    model = ScriptedModel([FIRST_FACTS, "One.", "Two."])
    workflow, given = build_case_workflow(memory, model), message(FIRST)
    first = await workflow.ainvoke(given)
    again = await workflow.ainvoke(given)
    assert again["learned"] == first["learned"]
    assert [record.version for record in await memory.aget([f["id"] for f in first["learned"]]) if record] == [1, 1, 1]
    assert len(await memory.episodic.aget_thread_events(case_thread("o1a"))) == 1


async def test_an_answer_that_cannot_be_read_keeps_the_event_and_a_run_goes_on_from_there(
    memory: MemoryManager,
) -> None:
    model = ScriptedModel(["Sorry, what?", FIRST_FACTS, "A summary."])
    workflow = build_case_workflow(memory, model, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "run-1"}}
    given = message(FIRST)
    with pytest.raises(ModelAnswerError, match="answer"):
        await workflow.ainvoke(given, config)
    assert len(await memory.episodic.aget_thread_events(case_thread("o1a"))) == 1
    assert await memory.semantic.acount() == 0
    assert await memory.aget_rmt(case_thread("o1a")) is None
    # Without new input the graph takes up the step that failed.
    state = await workflow.ainvoke(None, config)
    assert (state["event_id"], len(state["learned"])) == (given["event_id"], 3)
    assert sorted(state["slots"]) == SLOTS
    assert len(await memory.episodic.aget_thread_events(case_thread("o1a"))) == 1


async def test_a_message_without_facts_still_carries_the_summary_on(memory: MemoryManager) -> None:
    state = await build_case_workflow(memory, ScriptedModel([facts(), "She says hello."])).ainvoke(message("Hello!"))
    assert state["learned"] == []
    assert state["slots"]["recent_summary"] == "She says hello."


class Disturbed:
    """A model during whose first answer to a task something else happens."""

    def __init__(self, task: str, disturb: Callable[[], Any], inner: ScriptedModel) -> None:
        self._task, self._disturb, self._inner, self._done = task, disturb, inner, False

    async def acomplete(self, messages: Sequence[Message]) -> str:
        if json.loads(messages[-1]["content"])["task"] == self._task and not self._done:
            self._done = True
            await self._disturb()
        return await self._inner.acomplete(messages)


async def test_slots_that_another_message_set_meanwhile_are_built_upon(memory: MemoryManager) -> None:
    async def other() -> None:
        await memory.aset_rmt(case_thread("o1a"), {"recent_summary": "Theirs.", "mood": "calm"})

    script = ScriptedModel([facts(), "Ours.", "Theirs and ours."])
    state = await build_case_workflow(memory, Disturbed("summarize", other, script)).ainvoke(message("Hello!"))
    assert json.loads(script.asked[-1][-1]["content"])["summary"] == "Theirs."
    assert state["slots"]["recent_summary"] == "Theirs and ours."
    assert (state["slots"]["mood"], state["slots_version"]) == ("calm", 2)


async def test_a_loop_that_another_message_closed_meanwhile_is_not_closed_twice(memory: MemoryManager) -> None:
    start = ScriptedModel([facts(("open_loop", "Send the passport."), ("open_loop", "Send a photograph.")), "S."])
    begun = await build_case_workflow(memory, start).ainvoke(message("What do you need?"))
    passport = begun["learned"][0]["id"]

    async def other() -> None:
        [loop] = await memory.aget([passport])
        assert loop is not None
        await memory.awrite(loop.model_copy(update={"superseded_by": "theirs", "expect_version": 1}))

    sent = ("semantic", "Both were sent.")
    script = ScriptedModel([facts(sent, closes=[1, 2]), facts(sent, closes=[1]), "S."])
    state = await build_case_workflow(memory, Disturbed("reflect", other, script)).ainvoke(message("I sent both."))
    assert json.loads(script.asked[1][-1]["content"])["open_loops"] == {"1": "Send a photograph."}
    closed = await memory.aget([record["id"] for record in begun["learned"]])
    assert [loop.superseded_by for loop in closed if loop] == ["theirs", state["learned"][0]["id"]]
    assert state["slots"]["open_loops"] == ""


async def test_slots_that_never_hold_still_are_a_conflict_that_is_told(memory: MemoryManager) -> None:
    async def answer(messages: Sequence[Message]) -> str:
        task = json.loads(messages[-1]["content"])["task"]
        if task == "summarize":
            await memory.aset_rmt(case_thread("o1a"), {"mood": "restless"}, merge=True)
        return facts() if task == "reflect" else "S."

    class Restless:
        async def acomplete(self, messages: Sequence[Message]) -> str:
            return await answer(messages)

    with pytest.raises(ConflictError):
        await build_case_workflow(memory, Restless()).ainvoke(message("Hello!"))


async def test_messages_of_many_cases_at_once_lose_nothing(memory: MemoryManager) -> None:
    def answer(messages: Sequence[Message]) -> str:
        given = json.loads(messages[-1]["content"])
        return facts(("semantic", given["message"])) if given["task"] == "reflect" else given["message"]

    workflow = build_case_workflow(memory, ScriptedModel(answer))
    given = [message(f"Letter {number} came.", case_id=f"case-{number}") for number in range(12)]
    states = await asyncio.gather(*(workflow.ainvoke(one) for one in given))
    for number, state in enumerate(states):
        assert state["slots"]["long_term_facts"] == f"Letter {number} came."
    assert await memory.semantic.acount() == 12
    assert (await memory.averify_audit())["erased"] == 0


async def test_everything_survives_a_restart_of_the_memory(tmp_path: Path) -> None:
    with create_embedded_memory_manager(tmp_path / "memory", namespace="anna") as memory:
        model = ScriptedModel([FIRST_FACTS, "Summary one."])
        first = await build_case_workflow(memory, model).ainvoke(message(FIRST))
    with create_embedded_memory_manager(tmp_path / "memory", namespace="anna") as memory:
        model = ScriptedModel([facts(("semantic", "The passport came."), closes=[1]), "Summary two."])
        second = await build_case_workflow(memory, model).ainvoke(
            message("When does my OPT end? Here is the passport.")
        )
        assert json.loads(model.asked[1][-1]["content"])["summary"] == "Summary one."
        assert [record["id"] for record in second["recalled"]] == [first["learned"][1]["id"]]
        assert (second["slots"]["open_loops"], second["slots_version"]) == ("", 2)


async def test_the_command_message_runs_the_workflow_in_the_clients_memory() -> None:
    memory = create_dev_memory_manager()
    agent = MegaAgent(memory, model=ScriptedModel([FIRST_FACTS, "A summary.", "no JSON"]))
    kim, anna = Actor("kim", Role.PARALEGAL), Actor("anna", Role.CLIENT)
    await agent.handle_line("create_case client=anna case=o1a title=Petition", kim)
    done = await agent.handle_line(f"message case=o1a text='{FIRST}'", anna)
    assert (done.outcome, sorted(done.data["slots"])) == ("done", SLOTS)
    assert "learned (open_loop): Anna sends her passport copy." in done.text
    failed = await agent.handle_line("message case=o1a text=Hello", anna)
    assert (failed.outcome, "expected the JSON of facts" in failed.text) == ("failed", True)
    nowhere = await agent.handle_line("message case=none text=Hello", anna)
    assert (nowhere.outcome, "none with the id 'none'" in nowhere.text) == ("failed", True)
    audited = [event.payload["outcome"] for event in await memory.episodic.aget_thread_events("commands")]
    assert audited == ["done", "done", "failed", "failed"]
    thread = await client_memory(memory, "anna").episodic.aget_thread_events(case_thread("o1a"))
    assert [event.payload["text"] for event in thread] == [FIRST, "Hello"]
    assert await client_memory(memory, "tobenna").semantic.acount() == 0
