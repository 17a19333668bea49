//! A long-term memory engine for AI agents: write what an agent learns, find it again, know why, take it back.
//! Not here: adapters (their crates) and doors (command line, servers, bindings).
//!
//! Start with [`MemoryManager::embedded`] for a directory on disk or [`MemoryManager::dev`] for process memory.

mod builder;
pub mod config;
mod draft;
mod engine;
mod manager;
pub mod wire;

pub use builder::{Builder, LegWeights, Policies, restore};
pub use draft::{NewEvent, NewRecord};
pub use manager::{
    Alike, AuditReport, Consolidation, ConsolidationReport, ContextBlock, ContextRequest, CutOver, Dedupe,
    EmbeddingCost, ForgetReceipt, Forgotten, Found, GateQuestion, Health, HealthDetail, LegOutcome, LegReport,
    MemoryManager, MergeReport, MergeRule, Merged, MigrateOptions, MigrationPlan, MigrationReport, Mode, MovePhase,
    MoveStatus, PlaceReport, QualityGate, QualityReport, Query, RecordOutcome, ReembeddingPlan, ReembeddingReport,
    Retrieval, Rollback, Room, Selector, SetSlots, Shown, Stats, Switched, Trial, Undone, VerifyReport, WriteOptions,
    WriteReport, WrittenEvent, WrittenRecord,
};
pub use mnemic_core::{
    Address, AppendOutcome, Appended, Assignment, AuditEvent, ChainedEvent, Change, ChangeSeq, Changed, Comparison,
    Cursor, Digest, Embedding, EmbeddingModel, EraseReceipt, Error, ErrorKind, EventId, Explanation, Field, Filter,
    Hit, Leg, LegScore, MemoryRecord, Metric, Mirror, Namespace, Number, Object, Operand, Order, OutboxItem, Page,
    PageRequest, Precondition, PriorFactor, Provenance, Ratio, RecordId, RecordKind, Result, Retry, Revision,
    RevisionKind, Role, Salt, Sequence, SlotMode, SlotWrite, Slots, StoredRecord, ThreadId, ThreadSummary, Timestamp,
    UserId, Value, Version, VersionedSlots, filter, ids, limits, policy, ports, suggest, value,
};
pub use mnemic_embedders::Price;
pub use mnemic_migration::{Comparison as MemoryComparison, Followed};
