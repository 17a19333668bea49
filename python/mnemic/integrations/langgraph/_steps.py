"""A sequence of calls of a memory, written once and run with or without an event loop. Not here: what is called and why.

A sequence is a generator that yields what to ask and is sent the answer; an error of a call is raised where it was yielded.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from mnemic import _verbs as verbs
from mnemic._verbs import Ask, Page
from mnemic.exceptions import MnemicError
from mnemic.manager import MemoryManager
from mnemic.models import MemoryRecord

T = TypeVar("T")
Steps = Generator[Ask[Any], Any, T]

# Records, ids and hits of one call (the limits of the engine).
BATCH = 1000


def run(memory: MemoryManager, steps: Steps[T]) -> T:
    """Runs a sequence and waits for each answer."""
    answer: Any = None
    error: MnemicError | None = None
    while True:
        try:
            ask = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            return cast(T, end.value)
        answer = error = None
        try:
            answer = memory._run(ask)
        except MnemicError as raised:
            error = raised


async def arun(memory: MemoryManager, steps: Steps[T]) -> T:
    """Runs a sequence without holding up the loop."""
    answer: Any = None
    error: MnemicError | None = None
    while True:
        try:
            ask = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            return cast(T, end.value)
        answer = error = None
        try:
            answer = await memory._arun(ask)
        except MnemicError as raised:
            error = raised


def get_all(ids: Sequence[str]) -> Steps[dict[str, MemoryRecord]]:
    """The records that there are, by id, however many are asked for."""
    found: dict[str, MemoryRecord] = {}
    wanted = list(dict.fromkeys(ids))
    for start in range(0, len(wanted), BATCH):
        part = wanted[start : start + BATCH]
        records: list[MemoryRecord | None] = yield verbs.get(part)
        found.update((id, record) for id, record in zip(part, records, strict=True) if record is not None)
    return found


def list_page(filters: Mapping[str, Any], after: str | None, limit: int = BATCH) -> Ask[Page[MemoryRecord]]:
    """One page of the records that pass, oldest first."""
    return verbs.list_records(filters=filters, user_id=None, as_of=None, limit=limit, after=after, order="oldest")


def list_all(filters: Mapping[str, Any]) -> Steps[list[MemoryRecord]]:
    """Every record that passes, oldest first."""
    found: list[MemoryRecord] = []
    after: str | None = None
    while True:
        page: Page[MemoryRecord] = yield list_page(filters, after)
        found.extend(page.items)
        after = page.next
        if after is None:
            return found


def forget_all(ids: Iterable[str]) -> Steps[None]:
    """Removes records so that nothing readable stays, however many there are."""
    wanted = list(dict.fromkeys(ids))
    for start in range(0, len(wanted), BATCH):
        yield verbs.forget(ids=wanted[start : start + BATCH], filters=None, user_id=None, dry_run=False)


def expired_ids(filters: Mapping[str, Any]) -> Steps[list[str]]:
    """The records that pass and have expired: hidden from every other call, and still stored."""
    stats = yield verbs.consolidate(
        None, filters=filters, near=None, exact=True, half_life=None, floor=None, dry_run=True
    )
    return [prune.id for prune in stats.prunes if prune.reason == "expired"]
