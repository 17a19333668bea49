"""What a memory is given and what it answers. Not here: the calls (`manager`), the errors (`exceptions`).

The names are those of the replaced system, also where the rest of the world has other ones: a record's ``type`` is its kind. In
mappings ``kind`` and ``decay_at`` are understood for ``type`` and ``expires_at``, ``text`` and ``limit`` for a query's ``query`` and
``topk``; type checkers know the names of the fields only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from pydantic import AliasChoices, AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat

from mnemic._json import integer

# The most components that an embedding may have.
DIMENSIONS = 8192
RecordType = Literal["semantic", "episodic", "persona", "open_loop"]
Mode = Literal["hybrid", "dense", "lexical"]
Outcome = Literal["indexed", "pending", "spooled"]


class _Model(BaseModel):
    """Builds its validator on first use, so that importing the package costs nothing that a program may never need."""

    # A number that JSON lacks is written as one, so that it is refused and not lost.
    model_config = ConfigDict(defer_build=True, ser_json_inf_nan="constants")


class Provenance(_Model):
    """Where a record came from: ids of events, and of records that were merged into it."""

    model_config = ConfigDict(extra="forbid")

    events: list[str] = Field(default_factory=list)
    records: list[str] = Field(default_factory=list)


class MemoryRecord(_Model):
    """One durable statement. Only ``text`` is needed; what is left out is filled in when it is written.

    ``salience`` and ``confidence`` lie between 0 and 1. Times have a time zone. ``expect_version`` makes a write fail with
    :class:`~mnemic.ConflictError` unless this is the stored version (0: none). ``embedding`` is the caller's own, by the memory's
    model; it is never read back.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    id: str | None = None
    user_id: str | None = None
    thread_id: str | None = None
    type: RecordType = Field(default="semantic", validation_alias=AliasChoices("type", "kind"))
    text: str
    path: list[str] = Field(default_factory=list)
    tags: list[str] = Field(default_factory=list)
    metadata: dict[str, Any] = Field(default_factory=dict)
    source: str = "user"
    salience: FiniteFloat | None = None
    confidence: FiniteFloat | None = None
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None
    valid_from: AwareDatetime | None = None
    valid_to: AwareDatetime | None = None
    expires_at: AwareDatetime | None = Field(default=None, validation_alias=AliasChoices("expires_at", "decay_at"))
    superseded_by: str | None = None
    provenance: Provenance | None = None
    version: int = Field(default=0, ge=0, lt=2**64)
    embedding: list[FiniteFloat] | None = Field(default=None, repr=False)
    expect_version: int | None = Field(default=None, ge=0, lt=2**64, repr=False)

    @property
    def kind(self) -> RecordType:
        """The same as ``type``."""
        return self.type

    @property
    def decay_at(self) -> datetime | None:
        """The same as ``expires_at``."""
        return self.expires_at


class LegScore(_Model):
    """How one way of searching (``dense`` or ``lexical``) saw a hit: its rank from 1, its raw score, what it contributed."""

    leg: str
    rank: int
    raw: float | None = None
    contribution: float | None = None


class PriorFactor(_Model):
    """A factor by which something other than the query moved a score."""

    name: str
    factor: float | None = None


class Explanation(_Model):
    """Why a hit is where it is."""

    legs: list[LegScore] = Field(default_factory=list)
    fused: float | None = None
    priors: list[PriorFactor] = Field(default_factory=list)
    rerank: float | None = None
    repeats: str | None = None


class RetrievedRecord(MemoryRecord):
    """A record that a retrieval found.

    ``score`` is between 0 and 1, higher is better; it orders the hits of one retrieval, the best of which scores high whatever it
    is about. ``similarity`` is the cosine similarity to the query, where search by embedding
    found it. ``confidence`` is the stored one or, where none is stored, the similarity (without one, the score), between 0 and 1;
    ``stored_confidence`` is what is stored. Writing the record back does not store the similarity as a confidence.
    """

    score: float = 0.0
    similarity: float | None = None
    stored_confidence: float | None = None
    explanation: Explanation = Field(default_factory=Explanation)

    def likeness(self) -> float:
        """What ``confidence`` shows where none is stored: the similarity (without one, the score), between 0 and 1."""
        return min(max(self.score if self.similarity is None else self.similarity, 0.0), 1.0)


class LegReport(_Model):
    """What became of one way of searching: ``ran``, ``skipped`` or ``failed``, and why."""

    leg: str
    index: str
    outcome: Literal["ran", "skipped", "failed"]
    found: int | None = None
    reason: str | None = None
    took_us: int = 0


class Retrieval(list[RetrievedRecord]):
    """The records that were found, best first, and how: a list with the report beside it.

    ``degraded`` tells why the answer may be less than it could be; empty if it is whole.
    """

    def __init__(
        self,
        records: Iterable[RetrievedRecord] = (),
        *,
        legs: Iterable[LegReport] = (),
        degraded: Iterable[str] = (),
        stale: int = 0,
        took_us: int = 0,
    ) -> None:
        super().__init__(records)
        self.legs = list(legs)
        self.degraded = list(degraded)
        self.stale = stale
        self.took_us = took_us


class Written(list[MemoryRecord]):
    """The records that were written, as they are stored, and what became of them.

    ``outcomes`` has one entry for each record: ``indexed`` (found by every way of searching), ``pending`` (kept; its embedding
    follows) or ``spooled`` (kept on this machine until the database is back). ``replayed`` tells that an earlier call with the same
    idempotency key had written them.
    """

    def __init__(
        self,
        records: Iterable[MemoryRecord] = (),
        *,
        outcomes: Iterable[Outcome] = (),
        warnings: Iterable[str] = (),
        replayed: bool = False,
    ) -> None:
        super().__init__(records)
        self.outcomes: list[Outcome] = list(outcomes)
        self.warnings = list(warnings)
        self.replayed = replayed


class AuditEvent(_Model):
    """One thing that happened. Logging the same event again changes nothing, so a call that failed can be repeated."""

    model_config = ConfigDict(extra="forbid")

    event_id: str = Field(default_factory=lambda: str(uuid4()))
    timestamp: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    user_id: str | None = None
    thread_id: str
    source: str
    action: str
    payload: dict[str, Any] = Field(default_factory=dict)
    tags: list[str] = Field(default_factory=list)


class ChainedEvent(_Model):
    """An entry of the audit chain. One that was erased has ``erased`` and no ``event``; the chain verifies all the same."""

    sequence: int
    recorded_at: AwareDatetime
    event: AuditEvent | None = None
    erased: bool = False
    salt: str | None = None
    commitment: str
    previous: str
    hash: str


class RetrievalQuery(_Model):
    """A query as one value, for callers that hand it around; see :meth:`~mnemic.MemoryManager.aretrieve`."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    query: str = Field(validation_alias=AliasChoices("query", "text"))
    user_id: str | None = None
    topk: int = Field(default=10, validation_alias=AliasChoices("topk", "top_k", "limit"))
    filters: dict[str, Any] | None = None
    mode: Mode = "hybrid"
    as_of: AwareDatetime | None = None
    include_hidden: bool = False


class Merge(_Model):
    """Records that became one."""

    kept: str
    dropped: list[str]
    likeness: Literal["exact", "near"]
    similarity: float | None = None


class Prune(_Model):
    """A record that was removed, and why."""

    id: str
    reason: Literal["expired", "faded"]


class ConsolidateStats(_Model):
    """What a consolidation did, or with ``dry_run`` would do.

    ``deduplicated`` counts the records that went into others, ``pruned`` those that expired or faded. ``id`` takes it back with
    :meth:`~mnemic.MemoryManager.aundo_consolidation`; ``None`` if nothing was changed.
    """

    id: str | None = None
    examined: int = 0
    remaining: int = 0
    merges: list[Merge] = Field(default_factory=list)
    prunes: list[Prune] = Field(default_factory=list)

    @property
    def deduplicated(self) -> int:
        """How many records were merged into others."""
        return sum(len(merge.dropped) for merge in self.merges)

    @property
    def pruned(self) -> int:
        """How many records were removed without a successor."""
        return len(self.prunes)


class Counts(_Model):
    """How many of each are in a prompt block."""

    slots: int = 0
    records: int = 0
    events: int = 0


class ContextBlock(_Model):
    """A prompt block; ``str(block)`` is its text."""

    text: str
    tokens: int
    included: Counts
    omitted: Counts
    degraded: list[str] = Field(default_factory=list)

    def __str__(self) -> str:
        return self.text


class ForgetReceipt(_Model):
    """Proof of a forgetting: what was removed, and ``residue``, what could not be overwritten yet and why."""

    dry_run: bool = False
    records: list[str] = Field(default_factory=list)
    events: int = 0
    revisions: int = 0
    threads: int = 0
    sequence: int | None = None
    residue: list[str] = Field(default_factory=list)


class Revision(_Model):
    """What a record was from ``at`` on; ``record`` is ``None`` where it was removed (then ``deleted`` is its last version)."""

    at: AwareDatetime
    record: MemoryRecord | None = None
    deleted: int | None = None


class Slots(dict[str, str]):
    """A thread's slots (its RMT buffer) and their version, for compare-and-set."""

    def __init__(self, slots: Mapping[str, str] | None = None, *, version: int = 0) -> None:
        super().__init__(slots or {})
        self.version = version


class HealthDetail(_Model):
    """One part's state."""

    part: str
    healthy: bool
    message: str


class Health(dict[str, bool]):
    """``{"semantic": …, "episodic": …, "working": …}``, and the state of every part in ``details``."""

    def __init__(self, parts: Mapping[str, bool], details: Iterable[HealthDetail] = ()) -> None:
        super().__init__(parts)
        self.details = list(details)


class SuppliedVectors:
    """In place of an embedder, where every record and every query brings its own embedding of ``dimension`` numbers."""

    def __init__(self, dimension: int, name: str = "supplied") -> None:
        self.dimension = integer("dimension", dimension, 1, DIMENSIONS)
        self.name = name

    async def aembed(self, texts: list[str]) -> list[list[float]]:
        """Makes nothing: an empty embedding means that a text has none."""
        return [[] for _ in texts]
