"""What each command does, once it is allowed. Not here: deciding that, and the audit (`mega_agent`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mnemic import MemoryManager

from ..commands import COMMANDS, Actor, CommandError, Role, number, yes_or_no
from ..memory import client_memory
from ..model import Model
from ..orchestration.state import new_message
from .case_agent import Case, CaseAgent

AUDIT_THREAD = "commands"
"""The thread of the office's memory that holds the audit of commands."""

_MOST_VERSIONS = 999_999_999
_MOST_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class Call:
    """A command that is allowed: who gave it, and its arguments."""

    actor: Actor
    arguments: Mapping[str, str]

    def __getitem__(self, key: str) -> str:
        return self.arguments[key]

    def get(self, key: str, default: str = "") -> str:
        """An argument that may be absent."""
        return self.arguments.get(key, default)

    @property
    def is_staff(self) -> bool:
        """Whether internal notes may be shown."""
        return self.actor.role is not Role.CLIENT


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answers: for people, and for programs."""

    text: str
    data: dict[str, Any] = field(default_factory=dict)


class Handlers:
    """One method for each command."""

    def __init__(self, memory: MemoryManager, cases: CaseAgent, model: Model) -> None:
        self._memory, self._cases, self._model = memory, cases, model
        self._routes: dict[str, Callable[[Call], Awaitable[Answer]]] = {
            "help": self._help,
            "create_case": self._create_case,
            "update_case": self._update_case,
            "get_case": self._get_case,
            "search_cases": self._search_cases,
            "add_note": self._add_note,
            "recall": self._recall,
            "history": self._history,
            "message": self._message,
            "audit": self._audit,
        }

    async def run(self, name: str, call: Call) -> Answer:
        """Carries a command out."""
        return await self._routes[name](call)

    async def _help(self, call: Call) -> Answer:
        lines = []
        for name, spec in COMMANDS.items():
            if call.actor.role in spec.roles:
                needs = (*(("client",) if spec.of_client else ()), *spec.needs)
                usage = " ".join([name, *(f"{key}=" for key in needs), *(f"[{key}=]" for key in spec.takes)])
                lines.append(f"{usage}\n    {spec.about}")
        return Answer("\n".join(lines))

    async def _create_case(self, call: Call) -> Answer:
        case = await self._cases.acreate_case(
            call["client"], call["case"], title=call["title"], summary=call.get("summary"), by=call.actor.user_id
        )
        return Answer(_told(case), asdict(case))

    async def _update_case(self, call: Call) -> Answer:
        changes = {key: call[key] for key in ("title", "status", "summary") if key in call.arguments}
        version = number("update_case", "version", call["version"], most=_MOST_VERSIONS)
        case = await self._cases.aupdate_case(
            call["client"], call["case"], changes, expect_version=version, by=call.actor.user_id
        )
        return Answer(_told(case), asdict(case))

    async def _get_case(self, call: Call) -> Answer:
        case = await self._cases.aget_case(call["client"], call["case"])
        return Answer(_told(case), asdict(case))

    async def _search_cases(self, call: Call) -> Answer:
        found = await self._cases.asearch_cases(call["client"], call.get("query"))
        return Answer("\n".join(map(_told, found)) or "no case", {"cases": [asdict(case) for case in found]})

    async def _add_note(self, call: Call) -> Answer:
        visible = yes_or_no("add_note", "visible", call.get("visible", "no"))
        note = await self._cases.aadd_note(
            call["client"], call["case"], call["text"], by=call.actor.user_id, internal=not visible
        )
        return Answer("noted for the client too" if visible else "noted", {"id": note.id})

    async def _recall(self, call: Call) -> Answer:
        found = await self._cases.arecall(
            call["client"], call["query"], case_id=call.arguments.get("case"), internal=call.is_staff
        )
        lines = [f"{record.score:.2f}  {record.text}  ({record.source})" for record in found]
        lines += [f"degraded: {why}" for why in found.degraded]
        return Answer("\n".join(lines) or "nothing found", {"records": [record.id for record in found]})

    async def _history(self, call: Call) -> Answer:
        revisions = await self._cases.ahistory(call["client"], call["case"])
        lines = [f"{one.at:%Y-%m-%d %H:%M:%S}  {_told(one.case) if one.case else 'removed'}" for one in revisions]
        return Answer("\n".join(lines), {"versions": [one.case.version for one in revisions if one.case]})

    async def _message(self, call: Call) -> Answer:
        try:
            # Everything else works without LangGraph.
            from ..orchestration.workflow_graph import build_case_workflow
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "langgraph":
                raise
            raise CommandError("message: expected the package langgraph (pip install langgraph), found none") from error
        case = await self._cases.aget_case(call["client"], call["case"])
        workflow = build_case_workflow(client_memory(self._memory, case.client), self._model)
        given = new_message(case_id=case.case_id, user_id=case.client, source=call.actor.user_id, text=call["text"])
        state = await workflow.ainvoke(given)
        learned = [f"learned ({fact['kind']}): {fact['text']}" for fact in state["learned"]]
        recalled = [f"recalled: {record['text']}" for record in state["recalled"]]
        text = "\n".join([*learned, *recalled, f"summary: {state['slots']['recent_summary']}"])
        return Answer(text, {key: state[key] for key in ("event_id", "learned", "recalled", "slots", "slots_version")})

    async def _audit(self, call: Call) -> Answer:
        limit = number("audit", "limit", call.get("limit", "20"), most=_MOST_ENTRIES)
        events = await self._memory.episodic.aget_thread_events(AUDIT_THREAD, limit)
        lines = []
        for event in events:
            said = event.payload
            about = " ".join(f"{key}={value}" for key, value in said["arguments"].items())
            who, error = f"{said['role']} {event.user_id}", f": {said['error']}" if "error" in said else ""
            took = f"{said['duration_ms']} ms"
            lines.append(
                f"{event.timestamp:%H:%M:%S}  {who}  {said['command']} {about}  {said['outcome']}{error}  {took}"
            )
        return Answer("\n".join(lines) or "no command yet", {"events": [event.event_id for event in events]})


def _told(case: Case) -> str:
    return f"{case.line()} [version {case.version}, by {case.by}]"
