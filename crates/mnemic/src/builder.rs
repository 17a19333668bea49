//! Puts a memory together from its parts, and the ready-made combinations. Not here: what the parts do together (`manager`).

use std::{path::Path, sync::Arc};

use mnemic_core::{
    Error, ErrorKind, Namespace, Result,
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
use mnemic_ledgers::{InMemoryLedger, SqliteConfig, SqliteLedger};

use crate::{
    MemoryManager,
    config::{EmbedderChoice, Profile, Settings},
    engine::{Embedded, Engine},
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
    indexes: Vec<Arc<dyn Index>>,
    embedder: Arc<dyn Embedder>,
    reranker: Option<Arc<dyn Reranker>>,
    clock: Arc<dyn Clock>,
    policies: Policies,
    embedded: Option<Embedded>,
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
            indexes: vec![Arc::<LocalIndex>::clone(&index)],
            embedder: Arc::new(StaticEmbedder::new()?),
            embedded: Some(Embedded { ledger, index }),
            ..Self::default()
        })
    }

    /// The parts that settings ask for.
    ///
    /// # Errors
    /// `InvalidConfig` for a profile that is not built in, and what opening the directory gives.
    pub fn from_settings(settings: &Settings) -> Result<Self> {
        let parts = match settings.profile.value {
            Profile::Dev => Self::default(),
            Profile::Embedded => Self::embedded(&settings.directory.value)?,
            Profile::Production => {
                let message = "profile: expected dev or embedded, since no server is supported yet, found production";
                return Err(Error::new(ErrorKind::InvalidConfig, message).with_field("profile"));
            }
        };
        Ok(match settings.embedder.value {
            EmbedderChoice::None => parts.embedder(Arc::new(NoneEmbedder)),
            EmbedderChoice::Static => parts.embedder(Arc::new(StaticEmbedder::new()?)),
            hosted @ (EmbedderChoice::Voyage | EmbedderChoice::Gemini | EmbedderChoice::OpenAi | EmbedderChoice::Tei) => {
                let message = format!("embedder: expected none or static, since no server is supported yet, found {hosted}");
                return Err(Error::new(ErrorKind::InvalidConfig, message).with_field("embedder"));
            }
        })
    }

    /// Keeps what is true here.
    #[must_use]
    pub fn ledger(mut self, ledger: Arc<dyn Ledger>) -> Self {
        self.ledger = ledger;
        self.embedded = None;
        self
    }

    /// Searches here too. The first index that offers a way of searching serves it.
    #[must_use]
    pub fn index(mut self, index: Arc<dyn Index>) -> Self {
        self.indexes.push(index);
        self
    }

    /// Makes embeddings with this.
    #[must_use]
    pub fn embedder(mut self, embedder: Arc<dyn Embedder>) -> Self {
        self.embedder = embedder;
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
            self.indexes.push(Arc::new(LocalIndex::new(LocalIndexConfig::default())?));
        }
        let engine = Engine::new(
            self.ledger,
            self.indexes,
            self.embedder,
            self.reranker,
            self.clock,
            (self.policies, self.embedded),
        );
        Ok(MemoryManager::new(Arc::new(engine), namespace))
    }
}

/// Makes a directory from a backup. The target must be absent or empty; it is usable only once everything in it was verified.
///
/// # Errors
/// `InvalidInput` for a target that holds something, `Corrupted` naming the file of a damaged backup.
pub async fn restore(source: &Path, target: &Path) -> Result<()> {
    SqliteLedger::restore(source, target).await
}
