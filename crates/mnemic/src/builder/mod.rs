//! Puts a memory together from its parts, and the ready-made combinations. Not here: what the parts do together (`manager`).

mod production;

use std::{path::Path, sync::Arc, time::Duration};

use mnemic_core::{
    Namespace, Result,
    policy::{
        fusion::Fusion,
        priors::Priors,
        reflection::{ReflectionPolicy, TextReflection},
        tokens::{EstimatedTokens, TokenCounter},
    },
    ports::{Clock, Embedder, Index, Ledger, Reranker, SystemClock},
};
use mnemic_embedders::{NoneEmbedder, StaticEmbedder};
use mnemic_indexes::{LocalIndex, LocalIndexConfig};
use mnemic_layers::Cached;
use mnemic_ledgers::{InMemoryLedger, SqliteConfig, SqliteLedger};
use mnemic_spool::{
    SpoolConfig,
    disk::{Disk, RealDisk},
};
use production::Making;

use crate::{
    MemoryManager,
    config::{Profile, Settings},
    engine::{Embedded, Engine, LazySpool, Origin, Parts, Place, Placed, of_env_file, worker},
};

/// How much each way of searching counts, above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LegWeights {
    /// Search by embedding.
    pub dense: f64,
    /// Search by words.
    pub lexical: f64,
}

/// Everything that decides and that a caller may replace.
#[derive(Clone, Debug)]
pub struct Policies {
    /// How ranked lists become one.
    pub fusion: Fusion,
    /// How much each way of searching counts.
    pub weights: LegWeights,
    /// How salience, confidence and age move a score.
    pub priors: Priors,
    /// Turns events into records.
    pub reflection: Arc<dyn ReflectionPolicy>,
    /// Counts what a prompt block costs.
    pub tokens: Arc<dyn TokenCounter>,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            fusion: Fusion::default(),
            weights: LegWeights { dense: 0.4, lexical: 0.6 },
            priors: Priors::default(),
            reflection: Arc::new(TextReflection),
            tokens: Arc::new(EstimatedTokens),
        }
    }
}

/// Puts a memory together. What is not given is what the development mode has.
#[derive(Debug)]
pub struct Builder {
    ledger: Arc<dyn Ledger>,
    indexes: Vec<Placed>,
    embedder: Arc<dyn Embedder>,
    reranker: Option<Arc<dyn Reranker>>,
    clock: Arc<dyn Clock>,
    policies: Policies,
    embedded: Option<Embedded>,
    spool: Option<LazySpool>,
    cache: Option<Arc<Cached<dyn Embedder>>>,
    worker: Worker,
    origin: Option<Origin>,
    role_life: Duration,
}

/// Whether work that is left is done in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worker {
    No,
    Yes,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            ledger: Arc::new(InMemoryLedger::new()),
            indexes: Vec::new(),
            embedder: Arc::new(NoneEmbedder),
            reranker: None,
            clock: Arc::new(SystemClock),
            policies: Policies::default(),
            embedded: None,
            spool: None,
            cache: None,
            worker: Worker::No,
            origin: None,
            role_life: Duration::ZERO,
        }
    }
}

impl Builder {
    /// The parts of the embedded mode: one directory on disk, the local index, the static embedder.
    ///
    /// # Errors
    /// What opening the directory gives, such as `InvalidConfig` for a directory of something else.
    pub fn embedded(directory: impl AsRef<Path>) -> Result<Self> {
        let directory = directory.as_ref();
        let ledger = Arc::new(SqliteLedger::open(SqliteConfig::new(directory))?);
        let config = LocalIndexConfig { directory: Some(directory.to_owned()), ..LocalIndexConfig::default() };
        let index = Arc::new(LocalIndex::new(config)?);
        Ok(Self {
            ledger: Arc::<SqliteLedger>::clone(&ledger),
            indexes: vec![Placed { index: Arc::<LocalIndex>::clone(&index), place: Place::Near }],
            embedder: Arc::new(StaticEmbedder::new()?),
            embedded: Some(Embedded { ledger, index }),
            origin: Some(Origin::directory(directory)),
            ..Self::default()
        })
    }

    /// The parts that settings ask for. Servers are not asked for anything yet.
    ///
    /// # Errors
    /// `InvalidConfig` for settings that do not fit together, and what opening the directory or the spool gives.
    pub fn from_settings(settings: &Settings) -> Result<Self> {
        let mut parts = match settings.profile.value {
            Profile::Dev => Self::default(),
            Profile::Embedded => Self::embedded(&settings.directory.value)?,
            Profile::Production => production::parts(settings)?,
        };
        parts = match production::embedder(settings)? {
            Making::Here(embedder) => parts.embedder(embedder),
            Making::There(cached) => {
                parts.cache = Some(Arc::<Cached<dyn Embedder>>::clone(&cached));
                parts.embedder(cached)
            }
        };
        parts.reranker = production::reranker(settings)?;
        if settings.profile.value != Profile::Dev {
            parts.origin = Some(Origin::of_settings(settings));
        }
        Ok(parts)
    }

    /// The parts that a file of variables asks for, such as the `.env` of another deployment. Nothing of this process's environment
    /// reaches them; relative paths in it start where the file is.
    ///
    /// # Errors
    /// `InvalidConfig` with one line for each fault of the settings, and what [`Self::from_settings`] gives.
    pub fn from_env_file(path: impl AsRef<Path>) -> Result<Self> {
        of_env_file(path.as_ref())
    }

    /// Keeps what is true here.
    #[must_use]
    pub fn ledger(mut self, ledger: Arc<dyn Ledger>) -> Self {
        self.ledger = ledger;
        self.embedded = None;
        self.origin = None;
        self
    }

    /// Searches here too. The first index that offers a way of searching serves it.
    ///
    /// It is taken for one on a server: a retrieval does not wait long for it to catch up, and finds what it does not show yet by
    /// reading the newest changes from the ledger.
    #[must_use]
    pub fn index(mut self, index: Arc<dyn Index>) -> Self {
        self.indexes.push(Placed { index, place: Place::Far });
        self
    }

    /// The same with the index in this process, which is always brought up to date before it is searched.
    #[must_use]
    pub fn local_index(mut self, index: LocalIndex) -> Self {
        self.indexes.push(Placed { index: Arc::new(index), place: Place::Near });
        self
    }

    /// Keeps writes here while the ledger cannot be reached, and replays them in order. Needs [`Self::in_background`] or calls of
    /// [`MemoryManager::drain`] to be replayed.
    #[must_use]
    pub fn spool(self, spool: SpoolConfig) -> Self {
        self.spool_on(Arc::new(RealDisk), spool)
    }

    /// The same on another disk, for tests of what becomes of it when the power goes.
    #[doc(hidden)]
    #[must_use]
    pub fn spool_on(mut self, disk: Arc<dyn Disk>, spool: SpoolConfig) -> Self {
        self.spool = Some(LazySpool::new(disk, spool));
        self
    }

    /// Does what is left to be done (the spool, pending embeddings, indexes that are behind) by itself, for as long as the memory
    /// lives, where [`Self::build`] is called within a Tokio runtime.
    #[must_use]
    pub fn in_background(mut self) -> Self {
        self.worker = Worker::Yes;
        self
    }

    /// Makes embeddings with this.
    #[must_use]
    pub fn embedder(mut self, embedder: Arc<dyn Embedder>) -> Self {
        self.embedder = embedder;
        // Whoever opened the same place by its name alone would embed with another model.
        self.origin = None;
        self
    }

    /// Asks this for a second opinion on the best candidates.
    #[must_use]
    pub fn reranker(mut self, reranker: Arc<dyn Reranker>) -> Self {
        self.reranker = Some(reranker);
        self
    }

    /// Takes the time from this.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Decides by these.
    #[must_use]
    pub fn policies(mut self, policies: Policies) -> Self {
        self.policies = policies;
        self
    }

    /// The memory, bound to `namespace`.
    ///
    /// # Errors
    /// What making the local index gives, where none was named.
    pub fn build(mut self, namespace: Namespace) -> Result<MemoryManager> {
        if self.indexes.is_empty() {
            self = self.local_index(LocalIndex::new(LocalIndexConfig::default())?);
        }
        let engine = Arc::new(Engine::new(Parts {
            ledger: self.ledger,
            indexes: self.indexes,
            embedder: self.embedder,
            reranker: self.reranker,
            clock: self.clock,
            policies: self.policies,
            embedded: self.embedded,
            spool: self.spool,
            cache: self.cache,
            origin: self.origin.unwrap_or_else(Origin::of_process),
            role_life: self.role_life,
        }));
        engine.register();
        // Without a runtime there is nobody to do it; then it is done when `drain` is called.
        if let (Worker::Yes, Ok(runtime)) = (self.worker, tokio::runtime::Handle::try_current()) {
            worker::start(&engine, &runtime);
        }
        Ok(MemoryManager::new(engine, namespace))
    }
}

/// Makes a directory from a backup. The target must be absent or empty; it is usable only once everything in it was verified.
///
/// # Errors
/// `InvalidInput` for a target that holds something, `Corrupted` naming the file of a damaged backup.
pub async fn restore(source: &Path, target: &Path) -> Result<()> {
    SqliteLedger::restore(source, target).await
}
