"""Many checkpoints at once: listing, removing, copying, thinning out. Not here: a single one (`_checkpoints`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mnemic._verbs import Page
from mnemic.integrations.langgraph import _blobs as blobs
from mnemic.integrations.langgraph._checkpoints import (
    HEAD,
    PIECE,
    POINTER,
    SAVER,
    Head,
    Place,
    Stored,
    namespace_tag,
    pack,
    pointing,
    put,
    put_writes,
    read,
    replaced,
    run_tag,
    thread_tag,
)
from mnemic.integrations.langgraph._steps import Steps, forget_all, list_all, list_page
from mnemic.models import MemoryRecord

# Checkpoints that are read in one go: their data is in memory at the same time.
PORTION = 16

# Channels whose value an ancestor of a checkpoint may hold.
DeltaChannels = Callable[[Stored], set[str]]


def heads(thread_id: str | None, checkpoint_ns: str | None) -> Steps[list[Head]]:
    """The heads of a thread, of one namespace of it, or of everything; latest first."""
    tags = [SAVER, HEAD]
    if thread_id is not None:
        tags.append(thread_tag(thread_id))
        if checkpoint_ns is not None:
            tags.append(namespace_tag(thread_id, checkpoint_ns))
    records = yield from list_all({"tags": tags})
    found = [Head.of(record) for record in records]
    found.sort(key=lambda head: (head.place.checkpoint_id, head.place), reverse=True)
    return found


def delete_thread(thread_id: str) -> Steps[None]:
    """Removes everything of a thread: first what leads to its checkpoints, so that an interruption leaves none in part."""
    ids = yield from _ids({"tags": [SAVER, thread_tag(thread_id)]}, lambda _: True)
    yield from forget_all(ids)


def delete_runs(run_ids: Iterable[str]) -> Steps[None]:
    """Removes the checkpoints of runs and their writes."""
    doomed: dict[str, set[Place]] = {}
    for run_id in run_ids:
        records = yield from list_all({"tags": [SAVER, HEAD, run_tag(run_id)]})
        for record in records:
            place = Head.of(record).place
            doomed.setdefault(place.thread_id, set()).add(place)
    for thread_id, places in doomed.items():
        yield from _remove(thread_id, places)


def prune(thread_id: str, delta_channels: DeltaChannels) -> Steps[None]:
    """Keeps the latest checkpoint of each namespace, and the ancestors that a channel of it is built up from."""
    found = yield from heads(thread_id, None)
    by_id = {head.place: head for head in found}
    kept: set[Place] = set()
    for checkpoint_ns in {head.place.checkpoint_ns for head in found}:
        newest = next(head for head in found if head.place.checkpoint_ns == checkpoint_ns)
        kept |= yield from _needed(newest, by_id, delta_channels)
    yield from _remove(thread_id, set(by_id) - kept)


def _needed(newest: Head, by_id: Mapping[Place, Head], delta_channels: DeltaChannels) -> Steps[set[Place]]:
    kept: set[Place] = set()
    head: Head | None = newest
    open_channels: set[str] | None = None
    while head is not None:
        kept.add(head.place)
        stored = yield from read([head.place])
        if not stored:
            break
        # Channels that this checkpoint leaves to its ancestors; of those, each ends the search for what it holds itself.
        left = delta_channels(stored[0])
        open_channels = left if open_channels is None else open_channels & left
        if not open_channels or head.parent is None:
            break
        head = by_id.get(head.place._replace(checkpoint_id=head.parent))
    return kept


def copy_thread(hidden: blobs.Hidden, source: str, target: str) -> Steps[None]:
    """Copies every checkpoint and its writes, each whole, the oldest first."""
    found = yield from heads(source, None)
    for head in reversed(found):
        stored = yield from read([head.place])
        for one in stored:
            place = one.head.place._replace(thread_id=target)
            payload, run = pack(None, one.parts), one.head.record.metadata.get("run_id")
            yield from put(hidden, place, one.head.parent, payload, run)
            for task_id in dict.fromkeys(write.task_id for write in one.writes):
                yield from put_writes(hidden, place, task_id, [w for w in one.writes if w.task_id == task_id])


def _remove(thread_id: str, doomed: set[Place]) -> Steps[None]:
    """Removes checkpoints, and points to what is then the latest before anything is gone."""
    if not doomed:
        return
    hidden = yield from blobs.Hidden.steps()
    found = yield from heads(thread_id, None)
    left = [head.place for head in found if head.place not in doomed]
    orphaned_namespaces: list[str] = []
    for checkpoint_ns in {place.checkpoint_ns for place in doomed}:
        first = next((place for place in left if place.checkpoint_ns == checkpoint_ns), None)
        if first is None:
            orphaned_namespaces.append(checkpoint_ns)
        else:
            yield from replaced([first.pointer], _repoint(hidden, first, doomed))
    orphaned = [Place(thread_id, checkpoint_ns, "").pointer for checkpoint_ns in orphaned_namespaces]
    tags = {place.tag for place in doomed}
    ids = yield from _ids({"tags": [SAVER, thread_tag(thread_id)]}, lambda record: not tags.isdisjoint(record.tags))
    yield from forget_all([*orphaned, *ids])
    # What was put while its pointer was removed is pointed to again.
    for checkpoint_ns in orphaned_namespaces:
        later = yield from heads(thread_id, checkpoint_ns)
        if later:
            yield from replaced([later[0].place.pointer], _point(hidden, later[0].place))


def _point(hidden: blobs.Hidden, place: Place) -> Callable[[Mapping[str, MemoryRecord]], list[MemoryRecord]]:
    def change(stored: Mapping[str, MemoryRecord]) -> list[MemoryRecord]:
        pointer = stored.get(place.pointer)
        if pointer is not None and pointer.metadata["latest"] >= place.checkpoint_id:
            return []
        return [pointing(hidden, place, pointer)]

    return change


def _repoint(
    hidden: blobs.Hidden, place: Place, doomed: set[Place]
) -> Callable[[Mapping[str, MemoryRecord]], list[MemoryRecord]]:
    def change(stored: Mapping[str, MemoryRecord]) -> list[MemoryRecord]:
        pointer = stored.get(place.pointer)
        # One that was put meanwhile is later still and stays the latest.
        if pointer is None or place._replace(checkpoint_id=pointer.metadata["latest"]) not in doomed:
            return []
        return [pointing(hidden, place, pointer)]

    return change


def _ids(filters: Mapping[str, Any], wanted: Callable[[MemoryRecord], bool]) -> Steps[list[str]]:
    """The ids of records that pass, page by page since they hold data: pointers first, then heads, then the rest."""
    sorts: Sequence[list[str]] = ([], [], [], [])
    after: str | None = None
    while True:
        page: Page[MemoryRecord] = yield list_page(filters, after, limit=100)
        for record in page.items:
            if wanted(record):
                sorts[_sort(record)].append(str(record.id))
        after = page.next
        if after is None:
            return [id for ids in sorts for id in ids]


def _sort(record: MemoryRecord) -> int:
    tags = set(record.tags)
    return 0 if POINTER in tags else 1 if HEAD in tags else 3 if PIECE in tags else 2
