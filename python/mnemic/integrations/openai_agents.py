"""Sessions of the OpenAI Agents SDK kept in a memory. Not here: recall of what was learned (MCP, function tools).

    session = MnemicSession("order-4711", create_embedded_memory_manager("./memory"))
    result = await Runner.run(agent, "Hello", session=session)

A session is one record that counts (the head: which numbers are in the session, in which order) and one record for each item, or
several for an item that is longer than one record may be. An item's records and the head that names them are one write, and every
change expects the head's version, so that sessions of any number of processes lose, double and reorder nothing.
"""

from __future__ import annotations

import asyncio
import builtins
import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from agents.memory import SessionSettings
from agents.memory.session_settings import coerce_session_settings, resolve_session_limit

from mnemic.exceptions import ConflictError, CorruptedError, InvalidInputError
from mnemic.manager import MemoryManager
from mnemic.models import MemoryRecord

if TYPE_CHECKING:
    from agents.items import TResponseInputItem

__all__ = ["MnemicSession"]

# Characters of JSON in one record: at most four bytes each, below the 256 KiB of a record's text with its first line.
_PART = 60_000
# Records in one call.
_BATCH = 1000
# Each conflict means that somebody else's change succeeded, so this many in a row are a fault and not contention.
_ATTEMPTS = 1000
_TAG = "openai-agents"

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Head:
    """Which numbers a session has, oldest first, as ranges without their end; which ones are still to be removed; the next new one.

    A number is never used twice, so that removing what was taken out cannot remove what was added since.
    """

    version: int = 0
    next: int = 0
    live: tuple[Range, ...] = ()
    gone: tuple[Range, ...] = ()

    def with_new(self, count: int) -> _Head:
        """The head after appending ``count`` records."""
        start, end = self.next, self.next + count
        if self.live and self.live[-1][1] == start:
            return replace(self, next=end, live=(*self.live[:-1], (self.live[-1][0], end)))
        return replace(self, next=end, live=(*self.live, (start, end)))

    def without_last(self, count: int) -> _Head:
        """The head after taking the last ``count`` records out."""
        live, gone = builtins.list(self.live), builtins.list(self.gone)
        while count > 0:
            start, end = live.pop()
            cut = max(start, end - count)
            gone.append((cut, end))
            count -= end - cut
            if cut > start:
                live.append((start, cut))
        return replace(self, live=tuple(live), gone=tuple(gone))

    def newest_first(self) -> Iterator[int]:
        for start, end in reversed(self.live):
            yield from range(end - 1, start - 1, -1)

    def dump(self) -> str:
        return json.dumps({"next": self.next, "live": self.live, "gone": self.gone}, separators=(",", ":"))

    @classmethod
    def load(cls, text: str, version: int) -> _Head:
        try:
            state = json.loads(text)
            live, gone = (tuple((int(a), int(b)) for a, b in state[key]) for key in ("live", "gone"))
            return cls(version=version, next=int(state["next"]), live=live, gone=gone)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptedError(f"session: expected a head with next, live and gone, found {text[:80]!r}") from error


class MnemicSession:
    """The history of one conversation, for ``Runner.run(..., session=...)``.

    ``memory`` is where it is kept: in its namespace, under the thread ``session_id`` (a digest of it where it cannot be a thread's
    id) and, with ``user_id``, as that person's, so that forgetting the person forgets the session. Give sessions a namespace of
    their own, ``memory.in_namespace("sessions")``, unless retrieval shall find their items among other records. Whoever opens the
    same session in the same namespace sees the same items.

    Items are kept as the JSON that they are, whatever their size and nesting. Taking an item out or clearing the session forgets its
    records with their history; what stays of a session is the head, which holds numbers only. More items than fit 1,000 records are
    added in several steps, between which another session object may add its own.
    """

    session_id: str
    session_settings: SessionSettings | None = None

    def __init__(
        self,
        session_id: str,
        memory: MemoryManager,
        *,
        user_id: str | None = None,
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        self.session_id = session_id
        self.session_settings = (
            SessionSettings() if session_settings is None else coerce_session_settings(session_settings)
        )
        self._memory = memory
        self._user_id = user_id
        digest = hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).hexdigest()
        self._head_id = f"session.{digest}"
        self._thread_id = session_id if _is_id(session_id) else self._head_id

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """The latest ``limit`` items, oldest first; all of them if it is absent (also in the settings) or negative."""
        most = resolve_session_limit(limit, self.session_settings)
        while True:
            head = await self._load()
            items, whole = await self._latest(head, most if most is not None and most >= 0 else None)
            # Something was removed meanwhile: by the session itself, then its head tells; else by a forgetting, which is final.
            if whole or (await self._load()).version == head.version:
                return items

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Appends items, in order.

        ``InvalidInputError`` names an item that JSON cannot hold or that is longer than 999 records (about 60 million characters).
        """
        batch: list[_Part] = []
        for position, item in enumerate(items):
            parts = _split(position, item)
            if len(batch) + len(parts) >= _BATCH:
                await self._append(batch)
                batch = []
            batch.extend(parts)
        if batch:
            await self._append(batch)

    async def pop_item(self) -> TResponseInputItem | None:
        """Removes the newest item for good and answers it; ``None`` if there is none."""
        for attempt in range(_ATTEMPTS):
            head = await self._load()
            if not head.live:
                return None
            records = await self._last_item(head)
            item = _joined(records)
            try:
                await self._commit(head.without_last(max(len(records), 1)))
            except ConflictError:
                await _pause(attempt)
                continue
            await self._sweep()
            if item is not None:
                return item
        raise ConflictError(
            f"session: expected to take an item out within {_ATTEMPTS} attempts, found a conflict each time"
        )

    async def clear_session(self) -> None:
        """Removes every item for good."""
        for attempt in range(_ATTEMPTS):
            head = await self._load()
            if not head.live and not head.gone:
                return
            try:
                await self._commit(replace(head, live=(), gone=(*head.gone, *head.live)))
            except ConflictError:
                await _pause(attempt)
                continue
            await self._sweep()
            return
        raise ConflictError(f"session: expected to clear it within {_ATTEMPTS} attempts, found a conflict each time")

    async def _load(self) -> _Head:
        record = (await self._memory.aget([self._head_id]))[0]
        return _Head() if record is None else _Head.load(_body(record), record.version)

    async def _commit(self, head: _Head, records: Sequence[MemoryRecord] = ()) -> None:
        """Writes a head, and what it names now, unless somebody changed it since it was read."""
        kept = self._record(self._head_id, head.dump(), source="system")
        await self._memory.awrite([kept.model_copy(update={"expect_version": head.version}), *records])

    async def _append(self, parts: list[_Part]) -> None:
        for attempt in range(_ATTEMPTS):
            head = await self._load()
            records = [
                self._record(
                    f"{self._head_id}.{head.next + i}", part.text, part.source, {"part": part.part, "parts": part.of}
                )
                for i, part in enumerate(parts)
            ]
            try:
                await self._commit(head.with_new(len(parts)), records)
            except ConflictError:
                await _pause(attempt)
                continue
            if head.gone:
                await self._sweep()
            return
        raise ConflictError(f"session: expected to append within {_ATTEMPTS} attempts, found a conflict each time")

    async def _sweep(self) -> None:
        """Forgets what was taken out. What an interrupted call left over, the next change of the session removes."""
        head = await self._load()
        if not head.gone:
            return
        numbers = [number for start, end in head.gone for number in range(start, end)]
        for page in _pages(numbers):
            await self._memory.aforget(ids=[f"{self._head_id}.{number}" for number in page])
        try:
            await self._commit(replace(head, gone=()))
        except ConflictError:
            return

    def _record(self, id: str, body: str, source: str, metadata: dict[str, Any] | None = None) -> MemoryRecord:
        # The id in front keeps consolidation from taking two equal messages for one: texts that differ in a number never are.
        return MemoryRecord(
            id=id,
            text=f"{id}\n{body}",
            type="episodic",
            source=source,
            user_id=self._user_id,
            thread_id=self._thread_id,
            tags=[_TAG],
            metadata=metadata or {},
        )

    async def _latest(self, head: _Head, limit: int | None) -> tuple[list[TResponseInputItem], bool]:
        """The newest items, oldest first, and whether every record was there."""
        found: list[TResponseInputItem] = []
        parts: list[MemoryRecord] = []
        whole = True
        size = _BATCH if limit is None else min(_BATCH, max(limit, 1))
        for page in _pages(head.newest_first() if limit != 0 else (), size):
            for record in await self._memory.aget([f"{self._head_id}.{number}" for number in page]):
                if record is None:
                    whole = False
                    continue
                if record.metadata["part"] == record.metadata["parts"] - 1:
                    # What is left of a damaged item is not part of this one.
                    parts = []
                parts.append(record)
                if record.metadata["part"] != 0:
                    continue
                item = _joined(parts)
                parts = []
                if item is None:
                    whole = False
                else:
                    found.append(item)
                if len(found) == limit:
                    return found[::-1], whole
        return found[::-1], whole

    async def _last_item(self, head: _Head) -> list[MemoryRecord]:
        """The records of the newest item, last part first; none if the newest number's record is gone."""
        numbers = head.newest_first()
        last = (await self._memory.aget([f"{self._head_id}.{next(numbers)}"]))[0]
        if last is None:
            return []
        rest = [
            f"{self._head_id}.{number}" for number, _ in zip(numbers, range(int(last.metadata["part"])), strict=False)
        ]
        earlier = await self._memory.aget(rest) if rest else []
        return [last, *(record for record in earlier if record is not None)]


@dataclass(frozen=True, slots=True)
class _Part:
    """What one record holds of an item's JSON."""

    text: str
    source: str
    part: int
    of: int


def _split(position: int, item: TResponseInputItem) -> list[_Part]:
    try:
        text = json.dumps(item, ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair: JSON has an escape for it, UTF-8 has none.
        text = json.dumps(item)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"items[{position}]: expected JSON values, found something else ({error})"
        raise InvalidInputError(message, field="items") from error
    texts = [text[start : start + _PART] for start in range(0, len(text), _PART)]
    if len(texts) >= _BATCH:
        most = (_BATCH - 1) * _PART
        message = f"items[{position}]: expected at most {most} characters of JSON, found {len(text)}"
        raise InvalidInputError(message, field="items")
    return [_Part(part, _source(item), i, len(texts)) for i, part in enumerate(texts)]


def _source(item: Any) -> str:
    """Who said it: the role, or for a call or its output what it is."""
    if isinstance(item, dict):
        for key in ("role", "type"):
            if isinstance(item.get(key), str) and _is_id(item[key]):
                return str(item[key])
    return "agent"


def _joined(records: list[MemoryRecord]) -> TResponseInputItem | None:
    """An item from its records, last part first; ``None`` where one is missing, since half an item is none."""
    if not records or len(records) != records[0].metadata["parts"]:
        return None
    return cast("TResponseInputItem", json.loads("".join(_body(record) for record in reversed(records))))


def _body(record: MemoryRecord) -> str:
    return record.text.partition("\n")[2]


def _is_id(text: str) -> bool:
    """Whether a text can be a thread's id or a source."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return False
    # The engine's control characters are C0, DEL and C1.
    return (
        0 < size <= 255 and not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text) and not text.startswith("mnemic.")
    )


def _pages(numbers: Iterable[int], size: int = _BATCH) -> Iterator[list[int]]:
    page: list[int] = []
    for number in numbers:
        page.append(number)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page


async def _pause(attempt: int) -> None:
    await asyncio.sleep(random.uniform(0, min(0.05, 0.001 * (attempt + 1))))
