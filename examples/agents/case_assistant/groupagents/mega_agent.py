"""The agent that takes every command: who may give it, who carries it out, and what is written down about it.
Not here: what each command does (`handlers`), which there are (`commands`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

from mnemic import AuditEvent, MemoryManager, MnemicError

from ..commands import COMMANDS, Actor, Command, CommandError, RefusedError, allowed, read_command
from ..memory import choose_memory
from ..model import Model, ModelError
from ..offline import offline_model
from .case_agent import CaseAgent
from .handlers import AUDIT_THREAD, Answer, Call, Handlers

Outcome = Literal["done", "refused", "failed", "cancelled"]
# An argument is written down where it names something. What it says about a client stays in the client's memory.
_NAMING = ("client", "case", "version", "status", "limit", "visible")


class AuditError(Exception):
    """What a command did could not be written down. ``outcome`` tells what became of it."""

    def __init__(self, message: str, outcome: Outcome) -> None:
        super().__init__(message)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a command. ``event_id`` is its entry in the audit log."""

    outcome: Outcome
    text: str
    event_id: str
    seconds: float
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Entry:
    """What the audit log will say of a command."""

    actor: Actor
    event_id: str
    command: str = "unreadable"
    arguments: dict[str, str] = field(default_factory=dict)

    def note(self, command: Command) -> None:
        # The name of no command is somebody's text and can be anything.
        self.command = command.name if command.name in COMMANDS else "unknown"
        self.arguments = {key: value[:80] for key, value in command.arguments.items() if key in _NAMING}


class MegaAgent:
    """Routes commands to the agents and audits every one of them, also the refused and the failed.

    Without a memory it takes the one that ``ENV`` asks for. Its own namespace holds the audit of commands, and each client has
    another one. Without a model plain rules stand in for one.
    """

    def __init__(
        self,
        memory_manager: MemoryManager | None = None,
        *,
        model: Model | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.memory = memory_manager or choose_memory()
        self.cases = CaseAgent(self.memory)
        self._handlers = Handlers(self.memory, self.cases, model or offline_model())
        self._clock = clock

    async def handle_line(self, line: str, actor: Actor) -> Reply:
        """Carries out a command that was given as a line; see :meth:`handle_command`."""
        return await self._handle(lambda: read_command(line), actor)

    async def handle_command(self, command: Command, actor: Actor) -> Reply:
        """Carries out a command and tells what became of it, errors included.

        Only faults of the program itself are raised, after they were audited, and :class:`AuditError` where the audit failed."""
        return await self._handle(lambda: command, actor)

    async def _handle(self, give: Callable[[], Command], actor: Actor) -> Reply:
        entry, started = _Entry(actor, str(uuid4())), self._clock()
        try:
            outcome, answer = await self._carry_out(give, entry)
        except asyncio.CancelledError:
            # The one who cancelled does not wait for the audit, which goes on by itself.
            await asyncio.shield(self._audit(entry, "cancelled", "cancelled", self._clock() - started))
            raise
        except Exception as error:
            await self._audit(entry, "failed", f"{type(error).__name__}: {error}", self._clock() - started)
            raise
        seconds = self._clock() - started
        await self._audit(entry, outcome, None if outcome == "done" else answer.text, seconds)
        return Reply(outcome, answer.text, entry.event_id, seconds, answer.data)

    async def _carry_out(self, give: Callable[[], Command], entry: _Entry) -> tuple[Outcome, Answer]:
        try:
            command = give()
            entry.note(command)
            _, arguments = allowed(command, entry.actor)
            entry.note(Command(command.name, arguments))
            return "done", await self._handlers.run(command.name, Call(entry.actor, arguments))
        except RefusedError as error:
            return "refused", Answer(str(error))
        except (CommandError, MnemicError, ModelError) as error:
            return "failed", Answer(str(error))

    async def _audit(self, entry: _Entry, outcome: Outcome, error: str | None, seconds: float) -> None:
        payload: dict[str, Any] = {
            "role": entry.actor.role.value,
            "command": entry.command,
            "arguments": entry.arguments,
            "outcome": outcome,
            "duration_ms": round(seconds * 1000, 3),
        }
        if error is not None:
            payload["error"] = error[:500]
        event = AuditEvent(
            event_id=entry.event_id,
            user_id=entry.actor.user_id,
            thread_id=AUDIT_THREAD,
            source="mega_agent",
            action=f"command.{entry.command}",
            payload=payload,
            tags=["command", outcome],
        )
        try:
            await self.memory.alog_audit(event)
        except MnemicError as fault:
            message = f"audit: expected an entry for {entry.command} ({outcome}), found a fault: {fault}"
            raise AuditError(message, outcome) from fault
