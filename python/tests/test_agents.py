"""The agents of `examples/agents`: routing, roles, audit, cases, clients apart, memory by ENV. Not here: the model's endpoint
(`test_agents_model`), the workflow on LangGraph and the program (`integrations/agents`)."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "agents"))

from case_assistant.commands import COMMANDS, Actor, Command, Role
from case_assistant.groupagents.case_agent import CaseAgent
from case_assistant.groupagents.handlers import AUDIT_THREAD
from case_assistant.groupagents.mega_agent import AuditError, MegaAgent, Reply
from case_assistant.memory import check_client, choose_memory, client_memory

from mnemic import (
    AuditEvent,
    ConfigError,
    ConflictError,
    InvalidInputError,
    MemoryManager,
    NotFoundError,
    UnavailableError,
    create_dev_memory_manager,
)

KIM, REED = Actor("kim", Role.PARALEGAL), Actor("reed", Role.LAWYER)
ROOT, ANNA = Actor("root", Role.ADMIN), Actor("anna", Role.CLIENT)

# Who may do what, told once more and in another form than in the program.
MAY = {
    "client": {"help", "get_case", "search_cases", "recall", "message"},
    "paralegal": set(COMMANDS) - {"audit"},
    "lawyer": set(COMMANDS) - {"audit"},
    "admin": {"help", "create_case", "get_case", "search_cases", "history", "audit"},
}
LINES = {
    "help": "help",
    "create_case": "create_case client=anna case=new title=New",
    "update_case": "update_case client=anna case=o1a version=1 status=open",
    "get_case": "get_case client=anna case=o1a",
    "search_cases": "search_cases client=anna query=petition",
    "add_note": "add_note client=anna case=o1a text='A note'",
    "recall": "recall client=anna query=petition",
    "history": "history client=anna case=o1a",
    "message": "message client=anna case=o1a text='My OPT ends in June.'",
    "audit": "audit limit=5",
}


async def entries(memory: MemoryManager) -> list[AuditEvent]:
    return await memory.episodic.aget_thread_events(AUDIT_THREAD)


async def opened(memory: MemoryManager) -> MegaAgent:
    """An agent whose client anna has a case."""
    agent = MegaAgent(memory)
    await agent.cases.acreate_case("anna", "o1a", title="Petition O-1A", by="kim")
    return agent


def without_langgraph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langgraph", None)
    monkeypatch.delitem(sys.modules, "case_assistant.orchestration.workflow_graph", raising=False)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("name", list(COMMANDS))
async def test_each_role_gives_its_commands_and_no_others(
    name: str, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_langgraph(monkeypatch)
    memory = create_dev_memory_manager()
    agent = await opened(memory)
    reply = await agent.handle_line(LINES[name], Actor("anna", role))
    if name not in MAY[role]:
        assert reply.outcome == "refused"
        assert str(role) in reply.text
    elif name == "message":
        assert (reply.outcome, "langgraph" in reply.text) == ("failed", True)
    else:
        assert reply.outcome == "done", reply.text
    [entry] = await entries(memory)
    assert (entry.event_id, entry.user_id, entry.action) == (reply.event_id, "anna", f"command.{name}")
    assert entry.payload["outcome"] == reply.outcome
    assert entry.payload["role"] == role


async def test_a_refused_command_changes_nothing(memory: MemoryManager) -> None:
    agent = await opened(memory)
    for line in (LINES["update_case"], LINES["create_case"], LINES["add_note"]):
        assert (await agent.handle_line(line, ANNA)).outcome == "refused"
    assert [case.version for case in await agent.cases.asearch_cases("anna")] == [1]
    assert await client_memory(memory, "anna").semantic.acount() == 1


@pytest.mark.parametrize("case", ["o1a", "no-such-case"])
async def test_a_client_reaches_no_other_client_and_learns_nothing_of_them(case: str, memory: MemoryManager) -> None:
    agent = await opened(memory)
    told = set()
    for line in (f"get_case client=anna case={case}", f"recall client=anna query=petition case={case}"):
        reply = await agent.handle_line(line, Actor("tobenna", Role.CLIENT))
        assert reply.outcome == "refused"
        told.add(reply.text.partition(": ")[2])
    # The same words whether there is such a case or not.
    assert told == {"expected your own id as client, found another one"}


async def test_a_client_need_not_name_itself(memory: MemoryManager) -> None:
    agent = await opened(memory)
    reply = await agent.handle_line("get_case case=o1a", ANNA)
    assert (reply.outcome, reply.data["title"]) == ("done", "Petition O-1A")


@pytest.mark.parametrize(
    ("line", "audited", "told"),
    [
        ("", "unreadable", "found nothing"),
        ("get_case client='anna", "unreadable", "No closing quotation"),
        ("add_note client=anna secret words", "unreadable", "word 2 without ="),
        ("get_case client=anna client=tobenna", "unreadable", "client twice"),
        ("drop_everything now=yes", "unknown", "expected one of help"),
        ("get_case client=anna", "get_case", "expected case, found none"),
        ("get_case client=anna case=o1a nonsense=1", "get_case", "nonsense"),
        ("get_case client=../x case=o1a", "get_case", "client: expected"),
        ("get_case client=anna case=NONE", "get_case", "case: expected"),
        ("get_case client=anna case=none", "get_case", "found none"),
        ("update_case client=anna case=o1a version=-1 status=open", "update_case", "a number from 0"),
        ("update_case client=anna case=o1a version=1", "update_case", "changes: expected"),
        ("update_case client=anna case=o1a version=1 status=won", "update_case", "one of intake, open"),
        ("add_note client=anna case=o1a text=x visible=maybe", "add_note", "yes or no"),
    ],
)
async def test_what_cannot_be_carried_out_is_told_and_audited(
    line: str, audited: str, told: str, memory: MemoryManager
) -> None:
    agent = await opened(memory)
    reply = await agent.handle_line(line, REED)
    assert reply.outcome == "failed"
    assert told in reply.text
    [entry] = await entries(memory)
    assert entry.action == f"command.{audited}"
    assert (entry.payload["outcome"], entry.payload["error"]) == ("failed", reply.text)


async def test_the_audit_tells_who_what_when_and_how_long_but_not_what_was_said(memory: MemoryManager) -> None:
    ticks = iter([10.0, 10.25])
    await opened(memory)
    agent = MegaAgent(memory, clock=lambda: next(ticks))
    reply = await agent.handle_line("add_note client=anna case=o1a text='Her diagnosis is private.'", REED)
    assert (reply.outcome, reply.seconds) == ("done", 0.25)
    [entry] = await entries(memory)
    assert entry.user_id == "reed"
    assert entry.payload == {
        "role": "lawyer",
        "command": "add_note",
        "arguments": {"client": "anna", "case": "o1a"},
        "outcome": "done",
        "duration_ms": 250.0,
    }
    assert "diagnosis" not in await memory.asnapshot_thread(AUDIT_THREAD)
    assert (await memory.averify_audit())["erased"] == 0


async def test_an_admin_reads_the_audit_and_that_is_audited_too(memory: MemoryManager) -> None:
    agent = await opened(memory)
    first = await agent.handle_line(LINES["get_case"], KIM)
    second = await agent.handle_line(LINES["update_case"], ANNA)
    reply = await agent.handle_line("audit", ROOT)
    assert reply.data["events"] == [first.event_id, second.event_id]
    assert "paralegal kim  get_case" in reply.text
    assert "refused" in reply.text
    assert [entry.event_id for entry in await entries(memory)][-1] == reply.event_id


async def test_a_fault_of_the_program_is_audited_and_raised(memory: MemoryManager) -> None:
    agent = await opened(memory)

    async def faulty(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a fault")

    agent.cases.aget_case = faulty  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        await agent.handle_line(LINES["get_case"], KIM)
    [entry] = await entries(memory)
    assert (entry.payload["outcome"], entry.payload["error"]) == ("failed", "ZeroDivisionError: a fault")


async def test_a_cancelled_command_is_audited(memory: MemoryManager) -> None:
    agent = await opened(memory)
    reached = asyncio.Event()

    async def endless(*_: Any, **__: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    agent.cases.aget_case = endless  # type: ignore[method-assign]
    task = asyncio.create_task(agent.handle_line(LINES["get_case"], KIM))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [entry] = await entries(memory)
    assert entry.payload["outcome"] == "cancelled"


class Unwritable(MemoryManager):
    """A memory whose audit log fails."""

    async def alog_audit(self, event: Any) -> AuditEvent:
        raise UnavailableError("the disk is full", retryable=True)


async def test_a_command_that_cannot_be_audited_says_what_became_of_it() -> None:
    agent = MegaAgent(Unwritable())
    with pytest.raises(AuditError, match=r"create_case \(done\).*the disk is full") as caught:
        await agent.handle_line(LINES["create_case"], KIM)
    assert caught.value.outcome == "done"
    assert (await agent.cases.aget_case("anna", "new")).title == "New"


async def test_commands_come_as_values_too(memory: MemoryManager) -> None:
    agent = await opened(memory)
    reply = await agent.handle_command(Command("get_case", {"client": "anna", "case": "o1a"}), KIM)
    assert isinstance(reply, Reply)
    assert reply.data["version"] == 1


async def test_help_lists_what_the_role_may_do(memory: MemoryManager) -> None:
    text = (await MegaAgent(memory).handle_line("help", ANNA)).text
    assert "message client= case= text=" in text
    assert "update_case" not in text


# Cases.


async def test_a_case_is_created_changed_found_and_its_history_kept(memory: MemoryManager) -> None:
    agent = CaseAgent(memory)
    await agent.acreate_case("anna", "o1a", title="Petition O-1A", summary="Extraordinary ability.", by="kim")
    await agent.acreate_case("anna", "i485", title="Adjustment of status", by="kim")
    changed = await agent.aupdate_case("anna", "o1a", {"status": "open"}, expect_version=1, by="reed")
    assert (changed.status, changed.title, changed.version, changed.by) == ("open", "Petition O-1A", 2, "reed")
    assert await agent.aget_case("anna", "o1a") == changed
    assert [case.case_id for case in await agent.asearch_cases("anna")] == ["o1a", "i485"]
    assert (await agent.asearch_cases("anna", "adjustment of status"))[0].case_id == "i485"
    revisions = await agent.ahistory("anna", "o1a")
    assert [(one.case.version, one.case.status, one.case.by) for one in revisions if one.case] == [
        (2, "open", "reed"),
        (1, "intake", "kim"),
    ]


async def test_a_case_that_exists_is_not_created_again(memory: MemoryManager) -> None:
    agent = CaseAgent(memory)
    await agent.acreate_case("anna", "o1a", title="First", by="kim")
    with pytest.raises(ConflictError):
        await agent.acreate_case("anna", "o1a", title="Second", by="reed")
    assert (await agent.aget_case("anna", "o1a")).title == "First"


async def test_of_many_changes_at_one_version_one_wins_and_the_others_are_told(memory: MemoryManager) -> None:
    agent = await opened(memory)
    lines = [f"update_case client=anna case=o1a version=1 title=By{number}" for number in range(12)]
    replies = await asyncio.gather(*(agent.handle_line(line, REED) for line in lines))
    assert sorted(reply.outcome for reply in replies) == ["done"] + ["failed"] * 11
    assert {reply.text for reply in replies if reply.outcome == "failed"} == {
        'record "case/o1a": expected version 1, found version 2'
    }
    [winner] = [line for line, reply in zip(lines, replies, strict=True) if reply.outcome == "done"]
    assert winner.endswith((await agent.cases.aget_case("anna", "o1a")).title)
    assert len(await entries(memory)) == 12


async def test_what_was_never_there_is_not_found(memory: MemoryManager) -> None:
    agent = CaseAgent(memory)
    for asked in (agent.aget_case("anna", "o1a"), agent.ahistory("anna", "o1a")):
        with pytest.raises(NotFoundError, match="o1a"):
            await asked
    with pytest.raises(NotFoundError):
        await agent.aadd_note("anna", "o1a", "A note", by="kim")
    assert await client_memory(memory, "anna").semantic.acount() == 0


async def test_a_note_knows_its_event(memory: MemoryManager) -> None:
    agent = (await opened(memory)).cases
    note = await agent.aadd_note("anna", "o1a", "The transcript is missing.", by="kim")
    assert note.provenance is not None
    page = await client_memory(memory, "anna").aevents(event_id=note.provenance.events[0])
    [entry] = page.items
    assert entry.event is not None
    assert (entry.event.action, entry.event.source, entry.event.payload["text"]) == ("note_added", "kim", note.text)


async def test_internal_notes_are_shown_to_the_office_and_to_no_client(memory: MemoryManager) -> None:
    agent = await opened(memory)
    await agent.handle_line("add_note client=anna case=o1a text='Strategy: lead with patents.'", REED)
    await agent.handle_line("add_note client=anna case=o1a text='Patents are on file.' visible=yes", REED)
    line = "recall client=anna case=o1a query='patents strategy'"
    office, client = await agent.handle_line(line, KIM), await agent.handle_line(line, ANNA)
    assert len(office.data["records"]) > len(client.data["records"])
    assert "Strategy: lead" in office.text
    assert "Patents are on file." in client.text
    assert "Strategy" not in client.text


async def test_two_clients_with_the_same_ids_share_nothing(memory: MemoryManager) -> None:
    agent = CaseAgent(memory)
    for client, secret in (("anna", "Voltgrid"), ("tobenna", "Northwind")):
        await agent.acreate_case(client, "o1a", title=f"Petition for {secret}", by="kim")
        await agent.aadd_note(client, "o1a", f"The employer is {secret}.", by="kim", internal=False)
    await agent.aupdate_case("anna", "o1a", {"status": "closed"}, expect_version=1, by="reed")
    for client, own, other in (("anna", "Voltgrid", "Northwind"), ("tobenna", "Northwind", "Voltgrid")):
        told = [record.text for record in await agent.arecall(client, "Who is the employer, Voltgrid or Northwind?")]
        assert any(own in text for text in told)
        assert not any(other in text for text in told)
        snapshot = await client_memory(memory, client).asnapshot_thread("case/o1a")
        assert own in snapshot
        assert other not in snapshot
    assert (await agent.aget_case("tobenna", "o1a")).status == "intake"
    assert len(await agent.ahistory("tobenna", "o1a")) == 1
    # Nothing about a client lies in the office's own namespace.
    assert await memory.semantic.acount() == 0


@pytest.mark.parametrize("client", ["", "Anna", "a__b", "_a", "a-", "a b", "a" * 33, "анна"])
def test_a_client_id_that_could_meet_another_namespace_is_refused(client: str) -> None:
    with pytest.raises(InvalidInputError, match="client"):
        check_client(client)


async def test_cases_outlive_the_process_memory(backend: str, open_memory: Any) -> None:
    if backend == "dev":
        with pytest.raises(NotFoundError):
            await CaseAgent(create_dev_memory_manager()).aget_case("anna", "o1a")
        return
    first = await opened(open_memory())
    await first.handle_line(LINES["update_case"], REED)
    await first.memory.aclose()
    second = MegaAgent(open_memory())
    assert (await second.cases.aget_case("anna", "o1a")).version == 2
    assert (await second.handle_line(LINES["get_case"], KIM)).outcome == "done"
    assert [entry.action for entry in await entries(second.memory)] == ["command.update_case", "command.get_case"]


# Memory by ENV.

DSN = "postgresql+asyncpg://app:secret@127.0.0.1:1/memory"


@pytest.mark.parametrize(("env", "namespace"), [("staging", "staging"), ("production", "production")])
async def test_staging_and_production_are_memories_on_servers(
    env: str, namespace: str, isolated: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    isolated.setenv("ENV", env)
    isolated.setenv("POSTGRES_DSN", DSN)
    isolated.setenv("MNEMIC_SPOOL", "off")
    memory = MegaAgent().memory
    assert memory.namespace == namespace
    assert (await memory.health_check())["episodic"] is False


@pytest.mark.parametrize("env", [None, "development"])
async def test_development_keeps_everything_in_this_process(env: str | None, isolated: pytest.MonkeyPatch) -> None:
    if env is not None:
        isolated.setenv("ENV", env)
    # A server that is named but not asked for is not used.
    isolated.setenv("POSTGRES_DSN", DSN)
    agent = MegaAgent()
    assert (await agent.handle_line(LINES["create_case"], KIM)).outcome == "done"
    assert all((await agent.memory.health_check()).values())


def test_production_without_a_server_and_an_unknown_env_are_errors(isolated: pytest.MonkeyPatch) -> None:
    isolated.setenv("ENV", "production")
    with pytest.raises(ConfigError, match="POSTGRES_DSN"):
        MegaAgent()
    isolated.setenv("ENV", "prodution")
    with pytest.raises(ConfigError, match="ENV: expected development, staging or production, found 'prodution'"):
        choose_memory()


def test_a_memory_that_is_given_is_used_whatever_env_says(isolated: pytest.MonkeyPatch) -> None:
    isolated.setenv("ENV", "nonsense")
    memory = create_dev_memory_manager()
    assert MegaAgent(memory).memory is memory
    assert CaseAgent(memory).memory is memory
    assert CaseAgent().memory.namespace == "default"
