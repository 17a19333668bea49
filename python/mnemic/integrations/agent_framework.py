"""Providers for Microsoft's Agent Framework: memories as context, and the history of sessions. Not here: tools for a model (MCP).

memory = create_embedded_memory_manager("./memory")
anna = MemoryScope(user_id="anna")
agent = Agent(client, context_providers=[
    MnemicHistoryProvider(memory.in_namespace("sessions"), user_id="anna"),
    MnemicContextProvider(memory, write=anna, search=anna),
])
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from agent_framework import AgentSession, ContextProvider, HistoryProvider, Message, SessionContext
from agent_framework._sessions import filter_new_messages

from mnemic.exceptions import ConflictError, CorruptedError, InvalidInputError
from mnemic.manager import MemoryManager
from mnemic.models import MemoryRecord, RetrievedRecord

if TYPE_CHECKING:
    from agent_framework import SupportsAgentRun

__all__ = ["MemoryScope", "MnemicContextProvider", "MnemicHistoryProvider"]

# Characters of one record: at most four bytes each, within the 256 KiB of a record's text.
_PART = 60_000
# Characters of a query, within its 64 KiB.
_QUERY = 16_000
_ID_BYTES = 255
# Records in one call; a head is written with the messages.
_BATCH = 1000
# Each conflict means that somebody else's change succeeded, so this many in a row are a fault and not contention.
_ATTEMPTS = 1000
# Before each part of a message, which may be blank, as no record's text is.
_MARK = "message\n"


@dataclass(frozen=True, slots=True)
class MemoryScope:
    """Whose memories. All that is given must be so; ``this_session`` means the session of the run.

    What is stored carries all of it and the session; what is searched is confined to it.
    """

    user_id: str | None = None
    agent_id: str | None = None
    application_id: str | None = None
    this_session: bool = False

    def filters(self, session_id: str) -> dict[str, Any]:
        """The filter for exactly this scope. A scope that says nothing is everybody's, and refused."""
        filters = {
            "user_id": self.user_id,
            "metadata.agent_framework.agent_id": self.agent_id,
            "metadata.agent_framework.application_id": self.application_id,
            "thread_id": _thread(session_id) if self.this_session else None,
        }
        given = {field: value for field, value in filters.items() if value is not None}
        if not given or "" in given.values():
            raise InvalidInputError(
                "scope: expected a user_id, agent_id, application_id or this_session, each not empty, found none or an "
                "empty one",
                field="scope",
            )
        return given


ScopeLike = MemoryScope | Callable[[AgentSession], MemoryScope | None]


class MnemicContextProvider(ContextProvider):
    """Shows an agent the memories that are about its input, and stores what was said.

    ``search`` is whose memories are shown: one scope or several, searched at once. ``write`` is whose memory keeps what users and
    agents say. Neither follows from the other, so that nothing stored for many is shown by accident; without ``search`` nothing
    is shown, without ``write`` nothing stored. Each may be a function of the session, for agents that serve many people, and that
    function may answer ``None``: then nothing is searched, or stored, for this run.

    At most ``topk`` memories are shown, as one message of the user below ``context_prompt``. Messages of the ``roles`` are stored as
    episodic records with the session as their thread, a text longer than 60,000 characters as several. What a record cannot hold
    (NUL, lone surrogates) is replaced by U+FFFD; the history provider keeps messages as they are.
    """

    DEFAULT_SOURCE_ID: ClassVar[str] = "mnemic"
    DEFAULT_CONTEXT_PROMPT: ClassVar[str] = (
        "## Memories\nConsider the following memories when answering user questions:"
    )

    def __init__(
        self,
        memory: MemoryManager,
        source_id: str = DEFAULT_SOURCE_ID,
        *,
        write: ScopeLike | None = None,
        search: ScopeLike | Sequence[ScopeLike] = (),
        topk: int = 8,
        roles: Sequence[str] = ("user", "assistant"),
        context_prompt: str = DEFAULT_CONTEXT_PROMPT,
    ) -> None:
        super().__init__(source_id)
        self._memory = memory
        self._write = write
        self._search = list(search) if isinstance(search, Sequence) else [search]
        self._topk = topk
        self._roles = frozenset(roles)
        self._prompt = context_prompt
        for scope in [*self._search, *([] if write is None else [write])]:
            if isinstance(scope, MemoryScope):
                scope.filters("any")

    async def before_run(
        self,
        *,
        agent: SupportsAgentRun,
        session: AgentSession,
        context: SessionContext,
        state: dict[str, Any],
    ) -> None:
        """Adds the memories that are about the input messages."""
        said = [text for message in context.input_messages if (text := _storable(message.text)).strip()]
        scopes = [made for scope in self._search if (made := _resolved(scope, session)) is not None]
        if not said or not scopes:
            return
        query = "\n".join(said)[-_QUERY:]
        searches = [
            self._memory.aretrieve(query, topk=self._topk, filters=scope.filters(session.session_id))
            for scope in scopes
        ]
        found: dict[str | None, RetrievedRecord] = {}
        for retrieval in await asyncio.gather(*searches):
            for record in retrieval:
                found.setdefault(record.id, record)
        best = sorted(found.values(), key=lambda record: -record.score)[: self._topk]
        if not best:
            return
        text = "\n".join([self._prompt, *(f"- {record.text}" for record in best)])
        here = _thread(session.session_id)
        origins = [record.thread_id for record in best if record.thread_id is not None and record.thread_id != here]
        context.extend_messages(self, [Message("user", [text])], origin_session_ids=origins)

    async def after_run(
        self,
        *,
        agent: SupportsAgentRun,
        session: AgentSession,
        context: SessionContext,
        state: dict[str, Any],
    ) -> None:
        """Stores what the input messages and the response say."""
        scope = None if self._write is None else _resolved(self._write, session)
        if scope is None:
            return
        scope.filters(session.session_id)
        messages = [*context.input_messages, *(context.response.messages if context.response else [])]
        records = [
            self._record(scope, session, message, text)
            for message in messages
            if str(message.role) in self._roles
            for text in _pieces(_storable(message.text))
            if text.strip()
        ]
        for start in range(0, len(records), _BATCH):
            await self._memory.awrite(records[start : start + _BATCH])

    def _record(self, scope: MemoryScope, session: AgentSession, message: Message, text: str) -> MemoryRecord:
        fields = {
            "role": str(message.role),
            "author": message.author_name,
            "message_id": message.message_id,
            "agent_id": scope.agent_id,
            "application_id": scope.application_id,
        }
        return MemoryRecord(
            user_id=scope.user_id,
            thread_id=_thread(session.session_id),
            type="episodic",
            text=text,
            source=str(message.role),
            metadata={"agent_framework": {key: value for key, value in fields.items() if value is not None}},
        )


class MnemicHistoryProvider(HistoryProvider):
    """The messages of each session, in their order and as ``Message.to_dict`` has them.

    ``memory`` is where they are kept; give them a namespace of their own, ``memory.in_namespace("sessions")``, unless retrieval shall
    find them among other records. With ``user_id`` they are that person's, so that forgetting the person forgets them, and nobody
    else's, even where session ids are alike. Any number of processes may add to a session at once. As in the framework's own
    providers, messages that repeat the end of the history are not added again, and ``skip_excluded`` leaves out what compaction
    excluded. The other settings are those of ``HistoryProvider``.
    """

    DEFAULT_SOURCE_ID: ClassVar[str] = "mnemic_history"

    def __init__(
        self,
        memory: MemoryManager,
        source_id: str = DEFAULT_SOURCE_ID,
        *,
        user_id: str | None = None,
        load_messages: bool = True,
        store_inputs: bool = True,
        store_context_messages: bool = False,
        store_context_from: set[str] | None = None,
        store_outputs: bool = True,
        skip_excluded: bool = False,
    ) -> None:
        super().__init__(
            source_id,
            load_messages=load_messages,
            store_inputs=store_inputs,
            store_context_messages=store_context_messages,
            store_context_from=store_context_from,
            store_outputs=store_outputs,
        )
        self._memory = memory
        self._user_id = user_id
        self._skip_excluded = skip_excluded

    async def get_messages(
        self, session_id: str | None, *, state: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Message]:
        """The messages of a session, oldest first."""
        key = self._key(session_id)
        head, _ = await self._head(key)
        while True:
            try:
                messages = await self._messages(key, head.first, head.next)
                break
            except CorruptedError:
                # Cleared meanwhile, or damaged.
                before, (head, _) = head, await self._head(key)
                if head.first == before.first and head.next >= before.next:
                    raise
        if self._skip_excluded:
            messages = [message for message in messages if not message.additional_properties.get("_excluded", False)]
        return messages

    async def save_messages(
        self,
        session_id: str | None,
        messages: Sequence[Message],
        *,
        state: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Adds messages to a session; more than fit 1,000 records in several steps."""
        key = self._key(session_id)
        for _ in range(_ATTEMPTS):
            head, version = await self._head(key)
            # Only an end of this length can be what the messages repeat.
            last = await self._messages(key, max(head.first, head.next - len(messages)), head.next)
            new = filter_new_messages(last, messages)
            if not new:
                return
            fitting = self._fitting(session_id, key, head.next, new)
            after = _Head(first=head.first, next=head.next + len(fitting))
            records = [self._head_record(session_id, key, after, version), *(r for parts in fitting for r in parts)]
            try:
                await self._memory.awrite(records)
            except ConflictError:
                continue
            if len(fitting) == len(new):
                return
            messages = new[len(fitting) :]
        raise ConflictError(
            f"session: expected to be first once, found another change {_ATTEMPTS} times", retryable=True
        )

    async def clear(self, session_id: str) -> None:
        """Forgets the messages of a session, with their history."""
        key = self._key(session_id)
        for _ in range(_ATTEMPTS):
            head, version = await self._head(key)
            if head.next == 0:
                return
            try:
                # First they are no part of the session, then they go: numbers are not used again, so none is taken that is new.
                after = _Head(first=head.next, next=head.next)
                await self._memory.awrite([self._head_record(session_id, key, after, version)])
            except ConflictError:
                continue
            await self._forget(key, head.next)
            return
        raise ConflictError(
            f"session: expected to be first once, found another change {_ATTEMPTS} times", retryable=True
        )

    async def _forget(self, key: str, end: int) -> None:
        filters = {"metadata.message.session": key, "metadata.message.number": {"lt": end}}
        while page := (await self._memory.alist(filters=filters, limit=_BATCH)).items:
            await self._memory.aforget(ids=[record.id for record in page if record.id is not None])

    def _key(self, session_id: str | None) -> str:
        if not session_id:
            raise InvalidInputError("session_id: expected the id of a session, found none", field="session_id")
        whole = json.dumps([self.source_id, self._user_id, session_id])
        return hashlib.sha256(whole.encode()).hexdigest()

    async def _head(self, key: str) -> tuple[_Head, int]:
        found = (await self._memory.aget([f"agent-framework/{key}"]))[0]
        if found is None:
            return _Head(), 0
        fields = found.metadata["head"]
        return _Head(first=fields["first"], next=fields["next"]), found.version

    def _head_record(self, session_id: str | None, key: str, head: _Head, version: int) -> MemoryRecord:
        return MemoryRecord(
            id=f"agent-framework/{key}",
            user_id=self._user_id,
            thread_id=_thread(session_id or ""),
            text="session",
            metadata={"head": {"first": head.first, "next": head.next}},
            source="agent-framework",
            expect_version=version,
        )

    async def _messages(self, key: str, start: int, end: int) -> list[Message]:
        first = await self._get([_message_id(key, number, 0) for number in range(start, end)])
        more = [
            _message_id(key, start + place, part)
            for place, record in enumerate(first)
            for part in range(1, record.metadata["message"]["parts"])
        ]
        rest = iter(await self._get(more))
        messages = []
        for record in first:
            parts = [record, *(next(rest) for _ in range(1, record.metadata["message"]["parts"]))]
            messages.append(Message.from_dict(json.loads("".join(part.text.removeprefix(_MARK) for part in parts))))
        return messages

    async def _get(self, ids: list[str]) -> list[MemoryRecord]:
        found: list[MemoryRecord] = []
        for start in range(0, len(ids), _BATCH):
            part = ids[start : start + _BATCH]
            for id, record in zip(part, await self._memory.aget(part), strict=True):
                if record is None:
                    raise CorruptedError(f"session: expected the message {id}, found none")
                found.append(record)
        return found

    def _fitting(
        self, session_id: str | None, key: str, number: int, messages: Sequence[Message]
    ) -> list[list[MemoryRecord]]:
        """The records of as many messages as fit one call with a head."""
        fitting: list[list[MemoryRecord]] = []
        left = _BATCH - 1
        for place, message in enumerate(messages):
            pieces = _pieces(_json(message))
            if len(pieces) >= _BATCH:
                raise InvalidInputError(
                    f"messages: expected messages of at most {_PART * (_BATCH - 1)} characters, found a longer one",
                    field="messages",
                )
            if len(pieces) > left:
                break
            left -= len(pieces)
            fields = {"session": key, "number": number + place, "parts": len(pieces)}
            fitting.append(
                [
                    MemoryRecord(
                        id=_message_id(key, number + place, part),
                        user_id=self._user_id,
                        thread_id=_thread(session_id or ""),
                        type="episodic",
                        text=_MARK + piece,
                        metadata={"message": fields},
                        source="agent-framework",
                    )
                    for part, piece in enumerate(pieces)
                ]
            )
        return fitting


@dataclass(frozen=True, slots=True)
class _Head:
    """Which numbers the messages of a session have: from ``first`` to before ``next``."""

    first: int = 0
    next: int = 0


def _resolved(scope: ScopeLike, session: AgentSession) -> MemoryScope | None:
    return scope if isinstance(scope, MemoryScope) else scope(session)


def _thread(session_id: str) -> str:
    """The thread of a session: its id or, where that cannot be a thread's, a digest of it."""
    encoded = session_id.encode("utf-8", "surrogatepass")
    plain = session_id.isprintable() and 0 < len(encoded) <= _ID_BYTES and not session_id.startswith("mnemic.")
    return session_id if plain else f"session-{hashlib.sha256(encoded).hexdigest()}"


def _message_id(key: str, number: int, part: int) -> str:
    return f"agent-framework/{key}/{number}/{part}"


def _json(message: Message) -> str:
    fields = message.to_dict()
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    # Escaped where it has half of a character, which no record's text has.
    return text if _storable(text) == text else json.dumps(fields, separators=(",", ":"))


def _storable(text: str) -> str:
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _pieces(text: str) -> list[str]:
    return list(_cut(text)) or [""]


def _cut(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PART):
        yield text[start : start + _PART]
