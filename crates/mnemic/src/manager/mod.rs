//! The verbs of a memory, one file a verb. Not here: what is decided (`mnemic_core::policy`) and where data lies (adapters).

mod audit;
mod consolidate;
mod context;
mod forget;
mod health;
mod home;
mod hydrate;
mod keep_up;
mod maintain;
mod merge;
mod migrate;
mod mirror;
mod outbox;
mod outlook;
mod plan;
mod quality;
mod query;
mod read;
mod reembed;
mod retrieve;
mod switch;
mod undo;
mod verbs;
mod walk;
mod write;

use std::{path::Path, sync::Arc};

use mnemic_core::{
    AuditEvent, Error, ErrorKind, EventId, Namespace, Object, RecordId, Result, ThreadId, Timestamp, Value,
};

pub use audit::AuditReport;
pub use consolidate::{Consolidation, ConsolidationReport, Trial};
pub use context::{ContextBlock, ContextRequest, SetSlots};
pub use forget::{ForgetReceipt, Forgotten, Selector};
pub use health::{Health, HealthDetail, Stats};
pub use keep_up::MigrateOptions;
pub use maintain::VerifyReport;
pub use merge::{MergeReport, MergeRule, Merged};
pub use migrate::MigrationReport;
pub use plan::{EmbeddingCost, MigrationPlan, PlaceReport, Room};
pub use quality::{Alike, Found, GateQuestion, QualityGate, QualityReport};
pub use query::{LegOutcome, LegReport, Mode, Query, Retrieval, Shown};
pub use reembed::{ReembeddingPlan, ReembeddingReport};
pub use switch::{CutOver, MovePhase, MoveStatus, Switched};
pub use undo::{Rollback, Undone};
pub use write::{Dedupe, RecordOutcome, WriteOptions, WriteReport, WrittenEvent, WrittenRecord};

use crate::{
    Builder,
    config::{self, Flags, Inputs, Settings},
    engine::Engine,
};

/// A memory, bound to one namespace. Cheap to clone; clones share everything.
///
/// # Cancel safety
/// A call that is dropped leaves its change whole or absent: everything that a verb changes is one commit of the ledger, and
/// indexes follow the ledger by themselves.
#[derive(Clone, Debug)]
pub struct MemoryManager {
    engine: Arc<Engine>,
    namespace: Namespace,
}

impl MemoryManager {
    pub(crate) fn new(engine: Arc<Engine>, namespace: Namespace) -> Self {
        Self { engine, namespace }
    }

    /// The development mode: everything in process memory, retrieval by words, nothing kept.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn dev() -> Result<Self> {
        Builder::default().build(Namespace::new("default")?)
    }

    /// The embedded mode: one directory on disk, no server, no key; retrieval by words and by a static embedding.
    ///
    /// # Errors
    /// `InvalidConfig` for a directory that holds something else or a newer format, `Denied` or `Unavailable` if it cannot be used.
    pub fn embedded(directory: impl AsRef<Path>) -> Result<Self> {
        Builder::embedded(directory)?.build(Namespace::new("default")?)
    }

    /// The production mode, by the environment: `POSTGRES_DSN`, and the index, embedder and keys that are set. No server is asked for
    /// anything before the first call; within a Tokio runtime, work that is left is done in the background.
    ///
    /// # Errors
    /// `InvalidConfig` with one line for each fault of the settings.
    pub fn production(namespace: Option<Namespace>) -> Result<Self> {
        // Where `ENV` asks for production too, it also says which namespace is meant, as it does for `from_env`.
        let settings = match Self::settings(None) {
            Ok(settings) if settings.profile.value == config::Profile::Production => settings,
            _ => Self::settings(Some("production"))?,
        };
        let namespace = namespace.unwrap_or_else(|| settings.namespace.value.clone());
        Builder::from_settings(&settings)?.build(namespace)
    }

    /// What the environment asks for: by `MNEMIC_PROFILE`, else by `ENV`, else the embedded mode in the usual directory.
    ///
    /// # Errors
    /// `InvalidConfig` with one line for each fault of the settings, and what opening the directory gives.
    pub fn from_env() -> Result<Self> {
        let settings = Self::settings(None)?;
        let namespace = settings.namespace.value.clone();
        Builder::from_settings(&settings)?.build(namespace)
    }

    fn settings(profile: Option<&str>) -> Result<Settings> {
        let flags = Flags { profile: profile.map(str::to_owned), ..Flags::default() };
        let here = std::env::current_dir().map_err(|error| {
            Error::new(ErrorKind::InvalidConfig, "the working directory cannot be read").with_source(error)
        })?;
        config::load(&Inputs { flags: &flags, environment: &|name| std::env::var_os(name), working_directory: &here })
    }

    pub(crate) fn shared_engine(&self) -> Arc<Engine> {
        Arc::clone(&self.engine)
    }

    /// The namespace that every call of this handle is confined to.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A handle for another namespace of the same memory.
    #[must_use]
    pub fn in_namespace(&self, namespace: Namespace) -> Self {
        Self { engine: Arc::clone(&self.engine), namespace }
    }

    /// The time by the memory's clock.
    pub fn now(&self) -> Timestamp {
        self.engine.clock.now()
    }

    /// A time-ordered id (UUID version 7) of the manager's time.
    fn mint(now: Timestamp) -> String {
        let micros = now.as_micros().max(0).unsigned_abs();
        let (seconds, nanos) = (micros / 1_000_000, (micros % 1_000_000) as u32 * 1000);
        uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos)).to_string()
    }

    fn mint_record_id(now: Timestamp) -> Result<RecordId> {
        RecordId::new(Self::mint(now))
    }

    /// The event by which memory tells of its own change. It counts and never names, so that no erasure has to reach into it.
    fn journal(action: &str, count: usize, now: Timestamp) -> Result<AuditEvent> {
        Ok(AuditEvent {
            event_id: EventId::new(Self::mint(now))?,
            timestamp: now,
            user_id: None,
            thread_id: ThreadId::journal(),
            source: "mnemic".to_owned(),
            action: action.to_owned(),
            payload: Object::from([("count".to_owned(), Value::from(count as u64))]),
            tags: std::collections::BTreeSet::new(),
        })
    }
}
