"""`MnemicSaver`, the state of LangGraph's threads in a Mnemic memory. Not here: how it lies in records (`_checkpoints`)."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from mnemic.exceptions import InvalidInputError
from mnemic.integrations.langgraph import _checkpoints as checkpoints
from mnemic.integrations.langgraph import _threads as threads
from mnemic.integrations.langgraph._blobs import Hidden
from mnemic.integrations.langgraph._checkpoints import Head, Place, Stored, Write
from mnemic.integrations.langgraph._steps import Steps, arun, run
from mnemic.manager import MemoryManager

__all__ = ["MnemicSaver"]

# Characters of a namespace's name (the limit of the engine).
_NAMESPACE = 63
_SUFFIX = "-checkpoints"


class MnemicSaver(BaseCheckpointSaver[str]):
    """Keeps the state of LangGraph's threads in a Mnemic memory of any kind.

    Checkpoints lie in a namespace of their own, so nothing that retrieves from the memory meets them, and no embedder is asked about
    them. A checkpoint becomes visible whole or not at all; it may take 43 MB, packed. Every method works with and without an event
    loop, from any thread and any loop. Removing forgets: nothing readable stays.

    :param memory: the memory; its own namespace is left alone.
    :param namespace: where the checkpoints lie; the memory's namespace and ``-checkpoints`` if absent (a namespace of more than 51
        characters is shortened, with a digest of the whole in place of its end).
    :param serde: how values are serialized; the framework's own way if absent.
    """

    def __init__(
        self, memory: MemoryManager, *, namespace: str | None = None, serde: SerializerProtocol | None = None
    ) -> None:
        super().__init__(serde=serde)
        self._memory = memory.in_namespace(namespace or _beside(memory.namespace))
        self._made: Hidden | None = None

    @property
    def memory(self) -> MemoryManager:
        """The namespace that holds the checkpoints."""
        return self._memory

    # Single checkpoints.

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that the configuration names, or the latest of its thread."""
        return self._tuple_or_none(config, run(self._memory, _get(config)))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that the configuration names, or the latest of its thread."""
        return self._tuple_or_none(config, await arun(self._memory, _get(config)))

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keeps a checkpoint and answers the configuration that names it."""
        run(self._memory, self._put(config, checkpoint, metadata))
        return _config(_place(config, checkpoint["id"]))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keeps a checkpoint and answers the configuration that names it."""
        await arun(self._memory, self._put(config, checkpoint, metadata))
        return _config(_place(config, checkpoint["id"]))

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keeps a task's writes, all of them or none, beside the checkpoint that they follow."""
        run(self._memory, self._put_writes(config, writes, task_id, task_path))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keeps a task's writes, all of them or none, beside the checkpoint that they follow."""
        await arun(self._memory, self._put_writes(config, writes, task_id, task_path))

    # Many of them.

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """The checkpoints of a thread (of everything for ``None``), latest first, read in portions as they are taken."""
        walk = _Walk(self, run(self._memory, _listed(config, before)), filter, limit)
        while places := walk.next():
            yield from walk.passing(run(self._memory, checkpoints.read(places)))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """The checkpoints of a thread (of everything for ``None``), latest first, read in portions as they are taken."""
        walk = _Walk(self, await arun(self._memory, _listed(config, before)), filter, limit)
        while places := walk.next():
            for found in walk.passing(await arun(self._memory, checkpoints.read(places))):
                yield found

    def delete_thread(self, thread_id: str) -> None:
        """Forgets everything of a thread."""
        run(self._memory, threads.delete_thread(str(thread_id)))

    async def adelete_thread(self, thread_id: str) -> None:
        """Forgets everything of a thread."""
        await arun(self._memory, threads.delete_thread(str(thread_id)))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Forgets the checkpoints of runs, with their writes."""
        run(self._memory, threads.delete_runs(map(str, run_ids)))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Forgets the checkpoints of runs, with their writes."""
        await arun(self._memory, threads.delete_runs(map(str, run_ids)))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copies all checkpoints of a thread and their writes to another."""
        run(self._memory, self._copy(str(source_thread_id), str(target_thread_id)))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copies all checkpoints of a thread and their writes to another."""
        await arun(self._memory, self._copy(str(source_thread_id), str(target_thread_id)))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Forgets all but the latest checkpoint of each namespace, or with ``"delete"`` that one too.

        Ancestors that a ``DeltaChannel`` of the latest is built up from stay."""
        run(self._memory, self._prune(thread_ids, strategy))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Forgets all but the latest checkpoint of each namespace, or with ``"delete"`` that one too.

        Ancestors that a ``DeltaChannel`` of the latest is built up from stay."""
        await arun(self._memory, self._prune(thread_ids, strategy))

    def get_next_version(self, current: str | None, channel: None) -> str:
        """The version after this one. Its random part keeps versions of different branches apart."""
        number = 0 if current is None else current if isinstance(current, int) else int(str(current).split(".")[0])
        return f"{number + 1:032}.{random.random():016}"

    # The sequences of calls behind them.

    def _hidden(self) -> Steps[Hidden]:
        if self._made is None:
            self._made = yield from Hidden.steps()
        return self._made

    def _put(self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata) -> Steps[None]:
        place = _place(config, checkpoint["id"])
        whole = get_checkpoint_metadata(config, metadata)
        payload = checkpoints.pack(None, [self.serde.dumps_typed(checkpoint), self.serde.dumps_typed(whole)])
        run_id = whole.get("run_id")
        hidden = yield from self._hidden()
        parent = get_checkpoint_id(config)
        yield from checkpoints.put(hidden, place, parent, payload, None if run_id is None else str(run_id))

    def _put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> Steps[None]:
        checkpoint_id = get_checkpoint_id(config)
        if checkpoint_id is None:
            raise InvalidInputError("checkpoint_id: expected the checkpoint that the writes follow, found none")
        made = [
            Write(task_path, task_id, WRITES_IDX_MAP.get(channel, i), channel, self.serde.dumps_typed(value))
            for i, (channel, value) in enumerate(writes)
        ]
        if made:
            hidden = yield from self._hidden()
            yield from checkpoints.put_writes(hidden, _place(config, checkpoint_id), task_id, made)

    def _copy(self, source: str, target: str) -> Steps[None]:
        if source == target:
            return
        hidden = yield from self._hidden()
        yield from threads.copy_thread(hidden, source, target)

    def _prune(self, thread_ids: Sequence[str], strategy: str) -> Steps[None]:
        if strategy not in ("keep_latest", "delete"):
            raise InvalidInputError(f"strategy: expected keep_latest or delete, found {strategy!r}", field="strategy")
        for thread_id in map(str, thread_ids):
            if strategy == "delete":
                yield from threads.delete_thread(thread_id)
            else:
                yield from threads.prune(thread_id, self._delta_channels)

    def _delta_channels(self, stored: Stored) -> set[str]:
        """The channels of a checkpoint whose value its ancestors hold."""
        checkpoint: Checkpoint = self.serde.loads_typed(stored.parts[0])
        metadata: CheckpointMetadata = self.serde.loads_typed(stored.parts[1])
        return set(metadata.get("counters_since_delta_snapshot") or {}) - set(checkpoint["channel_values"])

    def _tuple_or_none(self, config: RunnableConfig, stored: Stored | None) -> CheckpointTuple | None:
        if stored is None:
            return None
        found = self._tuple(stored)
        return found if get_checkpoint_id(config) is None else found._replace(config=config)

    def _tuple(self, stored: Stored) -> CheckpointTuple:
        place, parent = stored.head.place, stored.head.parent
        writes = stored.writes
        return CheckpointTuple(
            config=_config(place),
            checkpoint=self.serde.loads_typed(stored.parts[0]),
            metadata=self.serde.loads_typed(stored.parts[1]),
            parent_config=None if parent is None else _config(place._replace(checkpoint_id=parent)),
            pending_writes=[(write.task_id, write.channel, self.serde.loads_typed(write.value)) for write in writes],
        )


def _beside(namespace: str) -> str:
    """The namespace for the checkpoints of this one: always the same, and another one for each."""
    name = namespace + _SUFFIX
    if len(name) <= _NAMESPACE:
        return name
    suffix = f"-{hashlib.sha256(namespace.encode()).hexdigest()[:32]}{_SUFFIX}"
    return namespace[: _NAMESPACE - len(suffix)] + suffix


class _Walk:
    """A listing in portions, until enough checkpoints passed."""

    def __init__(
        self, saver: MnemicSaver, heads: Sequence[Head], filter: dict[str, Any] | None, limit: int | None
    ) -> None:
        self._saver, self._filter, self._limit = saver, filter or {}, limit
        self._places = [head.place for head in heads]
        self._taken = 0

    def next(self) -> Sequence[Place]:
        """What to read next; nothing at the end."""
        wanted = threads.PORTION if self._limit is None else min(threads.PORTION, self._limit)
        if wanted <= 0:
            return ()
        portion = self._places[self._taken : self._taken + wanted]
        self._taken += len(portion)
        return portion

    def passing(self, portion: Sequence[Stored]) -> Iterator[CheckpointTuple]:
        """Those that pass the filter."""
        for stored in portion:
            found = self._saver._tuple(stored)
            if any(found.metadata.get(key) != value for key, value in self._filter.items()):
                continue
            if self._limit is not None:
                if self._limit <= 0:
                    return
                self._limit -= 1
            yield found


def _get(config: RunnableConfig) -> Steps[Stored | None]:
    checkpoint_id = get_checkpoint_id(config)
    place = _place(config, checkpoint_id or "")
    if checkpoint_id is None:
        latest = yield from checkpoints.latest(place)
        if latest is None:
            return None
        place = place._replace(checkpoint_id=latest)
    stored = yield from checkpoints.read([place])
    return stored[0] if stored else None


def _listed(config: RunnableConfig | None, before: RunnableConfig | None) -> Steps[list[Head]]:
    thread_id = checkpoint_ns = checkpoint_id = None
    if config is not None:
        thread_id = str(config["configurable"]["thread_id"])
        checkpoint_ns = config["configurable"].get("checkpoint_ns")
        checkpoint_id = get_checkpoint_id(config)
    end = None if before is None else get_checkpoint_id(before)
    found = yield from threads.heads(thread_id, checkpoint_ns)
    return [
        head
        for head in found
        if (checkpoint_id is None or head.place.checkpoint_id == checkpoint_id)
        and (end is None or head.place.checkpoint_id < end)
    ]


def _place(config: RunnableConfig, checkpoint_id: str) -> Place:
    configurable = config["configurable"]
    return Place(str(configurable["thread_id"]), str(configurable.get("checkpoint_ns") or ""), checkpoint_id)


def _config(place: Place) -> RunnableConfig:
    return {"configurable": place._asdict()}
