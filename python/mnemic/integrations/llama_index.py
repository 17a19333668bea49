"""LlamaIndex: a memory block that keeps a conversation and brings back what matters. Not here: chat history (LlamaIndex's own store).

``pip install mnemic[llama-index]``, then ``Memory.from_defaults(session_id=…, memory_blocks=[MnemicMemoryBlock(memory=…)])``.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import BaseMemoryBlock
from llama_index.core.utils import get_tokenizer
from pydantic import Field

from mnemic.exceptions import InvalidInputError
from mnemic.manager import MemoryManager
from mnemic.models import MemoryRecord, Mode, RetrievedRecord

_LOG = logging.getLogger(__name__)
_TEXT_BYTES = 256 * 1024
_QUERY_BYTES = 64 * 1024
_LARGEST_CALL = 1000
_SLOTS = "Notes of this session:"
_RECORDS = "From memory:"
_ENTRY = "\n- "

Scope = Literal["session", "user", "all"]


class MnemicMemoryBlock(BaseMemoryBlock[str]):
    """Keeps the messages that leave the short-term memory, and brings back the session's slots and the records about what is said now.

    LlamaIndex's session is the memory's thread. A message is a record of kind ``episodic`` with the role as its ``source``; its id is
    made of user, session, role and words, so that the same message is kept once, however often it is given. Only text is kept; a
    message without any is passed over, and one of more than 256 KiB becomes several records.

    ``scope`` is where to look: in the ``session``, in all that is known of the ``user``, or in ``all`` of the namespace. If absent, it
    is ``user`` where there is a ``user_id``, else ``session``: what one person said is not shown to another by default.

    Errors are the memory's. While its embedder fails, messages are kept and found by words; that is logged as a warning.
    """

    name: str = Field(default="MnemicMemory", description="The name of the memory block.")
    priority: int = Field(default=1, description="Which blocks give way first where tokens are short; 0 never does.")
    memory: MemoryManager = Field(exclude=True, repr=False, description="Where messages are kept and found.")
    user_id: str | None = Field(default=None, description="Whose conversation it is.")
    scope: Scope | None = Field(default=None, description="Where to look: session, user or all.")
    topk: int = Field(default=5, ge=1, le=_LARGEST_CALL, description="How many records at most.")
    filters: dict[str, Any] | None = Field(default=None, description="Conditions on records, in the memory's form.")
    mode: Mode = Field(default="hybrid", description="How to search: hybrid, dense or lexical.")
    window: int = Field(default=3, ge=1, description="How many of the last messages are what is said now.")
    slots: bool = Field(default=True, description="Whether the session's slots are shown.")
    tokenizer_fn: Callable[[str], Sequence[Any]] = Field(
        default_factory=get_tokenizer, exclude=True, repr=False, description="Counts tokens, as the Memory's does."
    )

    async def _aget(
        self, messages: list[ChatMessage] | None = None, session_id: str | None = None, **block_kwargs: Any
    ) -> str:
        """The session's slots, then the records about the last messages, best first; empty if there is nothing to tell."""
        sections: list[str] = []
        if self.slots and session_id is not None:
            slots = await self.memory.aget_rmt(session_id)
            sections += _section(_SLOTS, (f"{name}: {text}" for name, text in (slots or {}).items()))
        query = _query((messages or [])[-self.window :])
        if query:
            found = await self.memory.aretrieve(
                query,
                user_id=self.user_id if self._scope() == "user" else None,
                topk=self.topk,
                filters=self._filters(messages or [], session_id),
                mode=self.mode,
            )
            for reason in found.degraded:
                _LOG.warning("retrieval may have missed something: %s", reason)
            sections += _section(_RECORDS, map(_told, found))
        return "\n".join(sections)

    async def _aput(self, messages: list[ChatMessage]) -> None:
        """Keeps messages that are not kept yet."""
        drafts = {record.id: record for message in messages for record in self._records(message)}
        ids = [id for id in drafts if id is not None]
        for start in range(0, len(ids), _LARGEST_CALL):
            batch = ids[start : start + _LARGEST_CALL]
            # One that is there may have been corrected or rated since, which writing it again would undo.
            known = await self.memory.aget(batch)
            new = [drafts[id] for id, record in zip(batch, known, strict=True) if record is None]
            if new:
                written = await self.memory.awrite(new)
                for warning in written.warnings:
                    _LOG.warning("%s", warning)

    async def atruncate(self, content: str, tokens_to_truncate: int) -> str | None:
        """The content without its last entries, which matter least: at least so many tokens shorter, ``None`` if nothing is left."""
        # A block that had nothing to tell is asked too, with a list.
        if not isinstance(content, str):
            return None
        wanted = len(self.tokenizer_fn(content)) - tokens_to_truncate
        while content and len(self.tokenizer_fn(content)) > wanted:
            content, _, _ = content.rpartition(_ENTRY)
            content = content.removesuffix(f"\n{_RECORDS}")
        return None if content in ("", _SLOTS, _RECORDS) else content

    def _scope(self) -> Scope:
        if self.scope is not None:
            return self.scope
        return "session" if self.user_id is None else "user"

    def _filters(self, messages: list[ChatMessage], session_id: str | None) -> dict[str, Any] | None:
        conditions = [] if self.filters is None else [self.filters]
        scope = self._scope()
        if scope == "user" and self.user_id is None:
            raise InvalidInputError("user_id: expected one where the scope is user, found none", field="user_id")
        if scope == "session":
            if session_id is None:
                message = "session_id: expected one where the scope is session, found none"
                raise InvalidInputError(message, field="session_id")
            conditions.append({"thread_id": session_id})
        shown = [record.id for message in messages for record in self._records(message, session_id)]
        if shown:
            # The conversation itself is in the prompt already.
            conditions.append({"id": {"nin": shown[-_LARGEST_CALL:]}})
        return {"and": conditions} if conditions else None

    def _records(self, message: ChatMessage, session_id: str | None = None) -> list[MemoryRecord]:
        text = message.content
        if text is None or not text.strip():
            return []
        # `aput` of the base class leaves the session in the message. Another block may read it after this one, so it stays there.
        session = message.additional_kwargs.get("session_id", session_id)
        role = message.role.value
        identity = json.dumps([self.user_id, session, role, text]).encode()
        id = f"llama-index-{hashlib.sha256(identity).hexdigest()[:40]}"
        parts = _parts(text)
        return [
            MemoryRecord(
                id=id if position == 0 else f"{id}-{position}",
                text=part,
                type="episodic",
                user_id=self.user_id,
                thread_id=session,
                source=role,
                metadata={"role": role} | ({"part": position, "parts": len(parts)} if len(parts) > 1 else {}),
            )
            for position, part in enumerate(parts)
            if part.strip()
        ]


def _parts(text: str) -> list[str]:
    """A text in parts that a record can hold, cut at the ends of lines or words where there are any."""
    parts = []
    while len(text.encode()) > _TEXT_BYTES:
        head = text.encode()[:_TEXT_BYTES].decode(errors="ignore")
        # An end far from the limit is of no use: the parts would become many.
        cuts = (head.rfind(end) + 1 for end in ("\n", " "))
        cut = next((cut for cut in cuts if cut > len(head) // 2), len(head))
        parts.append(text[:cut])
        text = text[cut:]
    return [*parts, text]


def _query(messages: list[ChatMessage]) -> str:
    """What is said now; of more than a query can hold, the end."""
    text = "\n".join(message.content for message in messages if message.content).strip()
    return text.encode()[-_QUERY_BYTES:].decode(errors="ignore").strip()


def _told(record: RetrievedRecord) -> str:
    day = "" if record.created_at is None else f"[{record.created_at.date().isoformat()}] "
    role = record.metadata.get("role")
    return f"{day}{role}: {record.text}" if isinstance(role, str) else f"{day}{record.text}"


def _section(title: str, entries: Iterable[str]) -> list[str]:
    """A title and its entries, one for each line that begins with a dash; no line within an entry does."""
    told = [entry.strip().replace("\n", "\n  ") for entry in entries]
    return [title + "".join(f"{_ENTRY}{entry}" for entry in told)] if told else []
