//! Health and figures: whether each part serves, what is queued, what memory holds. Not here: deep verification (`maintain`).

use mnemic_core::{
    Error, ErrorKind, Result, Role,
    ports::{IndexReport, NamespaceReport, Offer, Purpose, Reranker},
};
use mnemic_spool::SpoolReport;

use super::{MemoryManager, mirror::MIRROR};
use crate::engine::{LEDGER, SPOOL, is_away, part};

/// The part that tells of moving the memory.
const MOVE: &str = "move";

/// Whether the three kinds of memory serve, as the seed asks, with details beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Records can be written and found.
    pub semantic: bool,
    /// Events can be appended and read.
    pub episodic: bool,
    /// Slots can be written and read.
    pub working: bool,
    /// Each part.
    pub details: Vec<HealthDetail>,
}

impl Health {
    /// Whether everything serves.
    pub fn all(&self) -> bool {
        self.semantic && self.episodic && self.working
    }
}

/// One part's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthDetail {
    /// Which part: `ledger`, `index:<name>`, `embedder`, `reranker`, `outbox`, `spool`, `mirror`, `move`.
    pub part: String,
    /// Whether it serves.
    pub healthy: bool,
    /// What it is, or what is wrong and what to do.
    pub message: String,
    /// The kind of what is wrong, where an error said it.
    pub kind: Option<ErrorKind>,
}

/// What asking one part found.
enum Found {
    Well(String),
    Faulty(Option<ErrorKind>, String),
}

impl From<&Error> for Found {
    fn from(error: &Error) -> Self {
        Self::Faulty(Some(error.kind()), error.to_string())
    }
}

fn spool_found(report: &SpoolReport) -> Found {
    let mut faults = report.faults.clone();
    if report.quarantined > 0 {
        faults.push(format!("{} writes were refused by the ledger and are kept aside", report.quarantined));
    }
    if report.damaged > 0 {
        faults.push(format!("{} stretches of its files are damaged and kept aside", report.damaged));
    }
    let since = report.oldest.map(|since| format!(" since {since}")).unwrap_or_default();
    if !faults.is_empty() {
        Found::Faulty(None, faults.join("; "))
    } else if report.items == 0 {
        Found::Well("empty".to_owned())
    } else {
        Found::Well(format!("{} writes wait for the ledger{since}, {} bytes", report.items, report.bytes))
    }
}

/// What a namespace holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// What the ledger counts.
    pub ledger: NamespaceReport,
    /// What each index holds.
    pub indexes: Vec<(&'static str, IndexReport)>,
    /// The model that new records are embedded with.
    pub model: Option<String>,
}

impl MemoryManager {
    /// Asks every part whether it serves, at the place that serves this memory. Never an error: what fails is in the answer.
    pub async fn health_check(&self) -> Health {
        match self.home().await {
            Ok(here) => here.health_here(self).await,
            Err(error) => {
                let detail = self.detail(MOVE, Found::from(&error));
                Health { semantic: false, episodic: false, working: false, details: vec![detail] }
            }
        }
    }

    async fn health_here(&self, asked: &Self) -> Health {
        let ledger = self.check_ledger().await;
        let ledger_serves = ledger.healthy;
        let mut details = vec![ledger];
        details.extend(self.check_indexes().await);
        let semantic = details.iter().all(|detail| detail.healthy);
        details.push(self.check_embedder().await);
        if let Some(reranker) = &self.engine.reranker {
            details.push(self.check_reranker(reranker.as_ref()).await);
        }
        details.push(self.check_outbox().await);
        details.extend(self.check_spool().await);
        details.extend(self.check_move(asked).await);
        Health { semantic, episodic: ledger_serves, working: ledger_serves, details }
    }

    /// A part's line, with since when it does not serve.
    fn detail(&self, part: &str, found: Found) -> HealthDetail {
        let part = part.to_owned();
        match found {
            Found::Well(message) => HealthDetail { part, healthy: true, message, kind: None },
            Found::Faulty(kind, why) => {
                let since = self.engine.outage(&part).map(|outage| format!(" (since {})", outage.since));
                let message = format!("{why}{}", since.unwrap_or_default());
                HealthDetail { part, healthy: false, message, kind }
            }
        }
    }

    /// Where the memory moves or has moved, and whether the second place of its writes gets them.
    async fn check_move(&self, asked: &Self) -> Option<HealthDetail> {
        if let Some(outage) = self.engine.outage(MIRROR) {
            let why = format!("{}; writes are kept here and brought there later", outage.why);
            return Some(self.detail(MIRROR, Found::Faulty(None, why)));
        }
        let found = match (
            self.engine.role(&self.namespace).await.ok()?,
            asked.engine.role(&asked.namespace).await.ok()?,
        ) {
            (_, Role::Moved { to }) => Found::Well(format!("the memory has moved to {to}, which answers")),
            (Role::Copy { of }, _) => {
                Found::Faulty(None, format!("this is a copy of {of} and takes no writes of its own"))
            }
            (Role::Moving { to }, _) => {
                let what = "and takes no writes meanwhile; if nobody is at it, `mnemic migrate cutover` or `rollback` finishes it";
                Found::Faulty(None, format!("the memory is moving to {to} {what}"))
            }
            (Role::Serving { mirror: Some(mirror) }, _) if self.now() < mirror.until => {
                Found::Well(format!("every write goes to {} too, until {}", mirror.address, mirror.until))
            }
            _ => return None,
        };
        Some(self.detail(MOVE, found))
    }

    async fn check_ledger(&self) -> HealthDetail {
        let found = match self.engine.noted(LEDGER, self.engine.ledger.check().await) {
            Ok(report) if report.faults.is_empty() => {
                Found::Well(format!("{} {}", report.backend, report.location).trim().to_owned())
            }
            Ok(report) => Found::Faulty(None, report.faults.join("; ")),
            Err(error) => Found::from(&error),
        };
        self.detail(LEDGER, found)
    }

    async fn check_indexes(&self) -> Vec<HealthDetail> {
        let synced = self.engine.sync(&self.namespace).await;
        let mut details = Vec::new();
        for placed in &self.engine.indexes {
            let index = placed.index.as_ref();
            let behind = match &synced {
                Err(error) => Some(error),
                Ok(behind) => behind.iter().find(|behind| behind.index == index.name()).map(|behind| &behind.why),
            };
            let offers = index.capabilities();
            let offered = match (offers.dense, offers.lexical) {
                (Offer::Yes, Offer::Yes) => "dense and lexical search",
                (Offer::Yes, Offer::No) => "dense search",
                (Offer::No, Offer::Yes) => "lexical search",
                (Offer::No, Offer::No) => "no search",
            };
            let found = match (behind, index.check(&self.namespace).await) {
                (Some(error), _) => Found::from(error),
                (None, Err(error)) => Found::from(&error),
                (None, Ok(report)) if report.faults.is_empty() => Found::Well(offered.to_owned()),
                (None, Ok(report)) => Found::Faulty(None, report.faults.join("; ")),
            };
            details.push(self.detail(&part(index), found));
        }
        details
    }

    async fn check_embedder(&self) -> HealthDetail {
        let Some(model) = self.engine.embedder.model() else {
            return self.detail("embedder", Found::Well("none: retrieval is by words".to_owned()));
        };
        let found = match self.engine.embed(Purpose::Query, &["health check"]).await {
            // While the ledger is away, nobody knows which model it holds; its own line says so.
            Ok(_) => match self.engine.check_model(&self.namespace).await {
                Err(error) if !is_away(&error) => Found::from(&error),
                _ => Found::Well(model.to_string()),
            },
            Err(error) => {
                let why = format!("{model}: {error}; records are kept and embedded later");
                Found::Faulty(Some(error.kind()), why)
            }
        };
        self.detail("embedder", found)
    }

    async fn check_reranker(&self, reranker: &dyn Reranker) -> HealthDetail {
        let found = match self.engine.noted("reranker", reranker.rerank("health", &["health check"]).await) {
            Ok(_) => Found::Well("answers".to_owned()),
            Err(error) => Found::Faulty(Some(error.kind()), format!("{error}; retrieval goes on without it")),
        };
        self.detail("reranker", found)
    }

    async fn check_outbox(&self) -> HealthDetail {
        let found = match self.engine.ledger.report(&self.namespace).await {
            Ok(report) if report.outbox == 0 => Found::Well("empty".to_owned()),
            Ok(report) => {
                let since = report.outbox_since.map(|since| format!(" since {since}")).unwrap_or_default();
                Found::Well(format!("{} pending{since}", report.outbox))
            }
            Err(error) => Found::from(&error),
        };
        self.detail("outbox", found)
    }

    /// Where there is a spool: what waits in it, of all namespaces.
    async fn check_spool(&self) -> Option<HealthDetail> {
        let report = match self.engine.spool.as_ref()?.get().await {
            Ok(spool) => spool.report().await,
            Err(error) => Err(error),
        };
        let found = match self.engine.noted(SPOOL, report) {
            Err(error) => {
                Found::Faulty(Some(error.kind()), format!("{error}; writes are refused while the ledger is away"))
            }
            Ok(report) => spool_found(&report),
        };
        Some(self.detail(SPOOL, found))
    }

    /// See [`MemoryManager::stats`].
    pub(crate) async fn stats_here(&self) -> Result<Stats> {
        self.engine.sync_all(&self.namespace).await?;
        let ledger = self.engine.ledger.report(&self.namespace).await?;
        let mut indexes = Vec::new();
        for placed in &self.engine.indexes {
            indexes.push((placed.index.name(), placed.index.check(&self.namespace).await?));
        }
        Ok(Stats { ledger, indexes, model: self.engine.embedder.model().map(ToString::to_string) })
    }
}
