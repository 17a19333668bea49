//! Health and figures: whether each part serves, what is queued, what memory holds. Not here: deep verification (`maintain`).

use mnemic_core::{
    Error, ErrorKind, Result,
    ports::{IndexReport, NamespaceReport, Offer, Purpose},
};

use super::MemoryManager;

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
    /// Which part: `ledger`, `index:<name>`, `embedder`, `outbox`.
    pub part: String,
    /// Whether it serves.
    pub healthy: bool,
    /// What it is, or what is wrong and what to do.
    pub message: String,
    /// The kind of what is wrong, where an error said it.
    pub kind: Option<ErrorKind>,
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
    /// Asks every part whether it serves. Never an error: what fails is in the answer.
    pub async fn health_check(&self) -> Health {
        let mut details = Vec::new();
        let ledger = self.engine.ledger.check().await;
        let ledger_serves = matches!(&ledger, Ok(report) if report.faults.is_empty());
        details.push(HealthDetail {
            part: "ledger".to_owned(),
            healthy: ledger_serves,
            kind: ledger.as_ref().err().map(Error::kind),
            message: match ledger {
                Ok(report) if report.faults.is_empty() => {
                    format!("{} {}", report.backend, report.location).trim().to_owned()
                }
                Ok(report) => report.faults.join("; "),
                Err(error) => error.to_string(),
            },
        });
        let mut indexes_serve = true;
        for detail in self.check_indexes().await {
            indexes_serve &= detail.healthy;
            details.push(detail);
        }
        details.push(self.check_embedder().await);
        details.push(self.check_outbox().await);
        Health { semantic: ledger_serves && indexes_serve, episodic: ledger_serves, working: ledger_serves, details }
    }

    async fn check_indexes(&self) -> Vec<HealthDetail> {
        let synced = self.engine.sync(&self.namespace).await;
        let mut details = Vec::new();
        for index in &self.engine.indexes {
            let behind = match &synced {
                Err(error) => Some(error),
                Ok(behind) => behind.iter().find(|behind| behind.index == index.name()).map(|behind| &behind.why),
            };
            let (kind, faults) = match (behind, index.check(&self.namespace).await) {
                (Some(error), _) => (Some(error.kind()), vec![error.to_string()]),
                (None, Err(error)) => (Some(error.kind()), vec![error.to_string()]),
                (None, Ok(report)) => (None, report.faults),
            };
            let offers = index.capabilities();
            let offered = match (offers.dense, offers.lexical) {
                (Offer::Yes, Offer::Yes) => "dense and lexical search",
                (Offer::Yes, Offer::No) => "dense search",
                (Offer::No, Offer::Yes) => "lexical search",
                (Offer::No, Offer::No) => "no search",
            };
            let healthy = faults.is_empty();
            let message = if healthy { offered.to_owned() } else { faults.join("; ") };
            details.push(HealthDetail { part: format!("index:{}", index.name()), healthy, message, kind });
        }
        details
    }

    async fn check_embedder(&self) -> HealthDetail {
        let (kind, message) = match self.engine.embedder.model() {
            None => (None, "none: retrieval is by words".to_owned()),
            Some(model) => match self.engine.embed(Purpose::Query, &["health check"]).await {
                Ok(_) => match self.engine.check_model(&self.namespace).await {
                    Ok(()) => (None, model.to_string()),
                    Err(error) => (Some(error.kind()), error.to_string()),
                },
                Err(error) => (Some(error.kind()), format!("{model}: {error}; records are kept and embedded later")),
            },
        };
        HealthDetail { part: "embedder".to_owned(), healthy: kind.is_none(), message, kind }
    }

    async fn check_outbox(&self) -> HealthDetail {
        let part = "outbox".to_owned();
        match self.engine.ledger.report(&self.namespace).await {
            Ok(report) if report.outbox == 0 => {
                HealthDetail { part, healthy: true, message: "empty".to_owned(), kind: None }
            }
            Ok(report) => {
                let since = report.outbox_since.map(|since| format!(" since {since}")).unwrap_or_default();
                HealthDetail { part, healthy: true, message: format!("{} pending{since}", report.outbox), kind: None }
            }
            Err(error) => HealthDetail { part, healthy: false, message: error.to_string(), kind: Some(error.kind()) },
        }
    }

    /// Counts what the namespace holds.
    ///
    /// # Errors
    /// What the ledger or an index gives.
    pub async fn stats(&self) -> Result<Stats> {
        self.engine.sync_all(&self.namespace).await?;
        let ledger = self.engine.ledger.report(&self.namespace).await?;
        let mut indexes = Vec::new();
        for index in &self.engine.indexes {
            indexes.push((index.name(), index.check(&self.namespace).await?));
        }
        Ok(Stats { ledger, indexes, model: self.engine.embedder.model().map(ToString::to_string) })
    }
}
