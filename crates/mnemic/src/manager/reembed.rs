//! Giving a memory embeddings of another model: a copy whose embeddings are made anew while the memory is used.
//! Not here: how commits are carried (`mnemic-migration`), how well the copy finds (`quality`), and the switch to it.

use std::time::{Duration, Instant};

use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, Error, ErrorKind, Filter, MemoryRecord, PageRequest, RecordId, Result, Role,
    StoredRecord,
    ports::{Embeddings, Purpose, Read},
};
use mnemic_embedders::{Price, estimated_tokens, list_price};
use mnemic_migration::{Comparison, Expected, Followed, compare_expecting, missing};

use super::{MemoryManager, QualityGate, QualityReport, migrate::Carried};
use crate::engine::HOPS;

/// Texts that are embedded to learn how long all of them take.
const MEASURED: usize = 64;

/// What embedding a memory anew meets.
#[derive(Clone, Debug, PartialEq)]
pub struct ReembeddingPlan {
    /// The model that embeds the copy; `None` if the target has no embedder, which is an obstacle.
    pub model: Option<EmbeddingModel>,
    /// Models of the stored embeddings.
    pub models: Vec<EmbeddingModel>,
    /// Changes that the memory holds.
    pub changes: u64,
    /// Changes of them that the copy holds already.
    pub done: u64,
    /// Texts that are to be embedded.
    pub texts: u64,
    /// Their tokens, by an estimate on the high side.
    pub tokens: u64,
    /// What the model costs by its vendor's list.
    pub price: Price,
    /// How long the first of the texts took, and how many they were.
    pub measured: Option<(usize, Duration)>,
    /// Why it cannot be done, and what to do; empty if it can.
    pub obstacles: Vec<String>,
}

impl ReembeddingPlan {
    /// US dollars by the vendor's list; `None` where nobody here knows, or where the server is the operator's own.
    pub fn dollars(&self) -> Option<f64> {
        match self.price {
            Price::Nothing => Some(0.0),
            Price::PerMillionTokens(dollars) => Some(self.tokens as f64 / 1e6 * dollars),
            Price::OwnServer | Price::Unknown => None,
        }
    }

    /// How long all texts take at the rate of the first ones.
    pub fn takes(&self) -> Option<Duration> {
        let (texts, took) = self.measured.filter(|(texts, _)| *texts > 0)?;
        Some(took.mul_f64(self.texts as f64 / texts as f64))
    }
}

/// Whether a copy with other embeddings is the same memory, and finds as well.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReembeddingReport {
    /// Everything that both ledgers hold; embeddings by their model.
    pub comparison: Comparison,
    /// Records without an embedding of whose text the copy's model makes one.
    pub missing: Vec<String>,
    /// What the copy's indexes hold otherwise than its ledger.
    pub index_faults: Vec<String>,
    /// What both answer.
    pub quality: QualityReport,
}

impl ReembeddingReport {
    /// Whether nothing differs but the embeddings, and none of those is missing.
    pub fn is_same(&self) -> bool {
        self.comparison.differing == 0 && self.missing.is_empty() && self.index_faults.is_empty()
    }
}

/// What is still to be embedded.
#[derive(Default)]
struct Left {
    texts: u64,
    tokens: u64,
    first: Vec<String>,
}

impl MemoryManager {
    /// The space of this memory's embeddings; `None` if it makes none.
    pub fn embedding_model(&self) -> Option<&EmbeddingModel> {
        self.engine.embedder.model()
    }

    /// The handle of the place that serves this memory, or of the one that handed it over to `target`: what a further step of a move
    /// to `target` starts from, however often the memory moved before.
    ///
    /// # Errors
    /// `Unavailable` for a place that cannot be opened from here, and what the ledgers give.
    pub async fn place_before(&self, target: &Self) -> Result<Self> {
        let (end, mut here) = (target.address()?, self.clone());
        for _ in 0..HOPS {
            match here.engine.ledger.assignment(&here.namespace).await?.role {
                Role::Moved { to } if to != end => here = here.engine.elsewhere(&to)?,
                _ => return Ok(here),
            }
        }
        Err(Error::new(ErrorKind::Conflict, "the pointers that moves left behind lead in a circle"))
    }

    /// What giving this memory the embeddings of `target` would meet. Writes nothing; the first few texts are embedded, to learn how
    /// long that takes.
    ///
    /// # Errors
    /// What either ledger or the target's embedder gives.
    pub async fn plan_reembedding(&self, target: &Self) -> Result<ReembeddingPlan> {
        let (theirs, ours) = (&self.engine.ledger, &target.engine.ledger);
        let (source, copy) = (theirs.report(&self.namespace).await?, ours.report(&target.namespace).await?);
        let obstacles = self.reembedding_obstacles(target).await?;
        let model = target.engine.embedder.model().cloned();
        let mut plan = ReembeddingPlan {
            price: model.as_ref().map_or(Price::Unknown, list_price),
            model,
            models: source.models,
            changes: source.head.0,
            done: copy.head.0,
            texts: 0,
            tokens: 0,
            measured: None,
            obstacles,
        };
        if !plan.obstacles.is_empty() {
            return Ok(plan);
        }
        // Read only where some may be of use: they are the larger part of a record.
        let some = plan.models.iter().any(|held| Some(held) == plan.model.as_ref());
        let embeddings = if some { Embeddings::Include } else { Embeddings::Omit };
        let left = self.left_to_embed(target, embeddings).await?;
        (plan.texts, plan.tokens) = (left.texts, left.tokens);
        let texts: Vec<&str> = left.first.iter().map(String::as_str).collect();
        if !texts.is_empty() {
            let started = Instant::now();
            target.engine.embed(Purpose::Document, &texts).await?;
            plan.measured = Some((texts.len(), started.elapsed()));
        }
        Ok(plan)
    }

    /// Records that the copy does not hold at their version yet, and whose embedding does not serve it as it is.
    async fn left_to_embed(&self, target: &Self, embeddings: Embeddings) -> Result<Left> {
        let (mut left, mut page) = (Left::default(), PageRequest::largest());
        let (read, model) = (Read { as_of: None, embeddings }, target.engine.embedder.model());
        let wanting = |stored: &StoredRecord| stored.embedding.as_ref().map(Embedding::model) != model;
        loop {
            let found = self.engine.ledger.scan(&self.namespace, &Filter::all(), read, &page).await?;
            let records: Vec<MemoryRecord> =
                found.items.into_iter().filter(wanting).map(|stored| stored.record).collect();
            let ids: Vec<RecordId> = records.iter().map(|record| record.id.clone()).collect();
            let copied = target.engine.ledger.fetch(&target.namespace, &ids, Read::default()).await?;
            for (record, copied) in records.into_iter().zip(copied) {
                if copied.is_some_and(|copied| copied.record.version == record.version) {
                    continue;
                }
                left.texts += 1;
                left.tokens += estimated_tokens(&record.text) as u64;
                if left.first.len() < MEASURED {
                    left.first.push(record.text);
                }
            }
            if found.next.is_none() {
                return Ok(left);
            }
            page = page.after(found.next);
        }
    }

    async fn reembedding_obstacles(&self, target: &Self) -> Result<Vec<String>> {
        let source = self.engine.ledger.head(&self.namespace).await?;
        let copy = target.engine.ledger.report(&target.namespace).await?;
        let mut obstacles = Vec::new();
        let Some(model) = target.engine.embedder.model() else {
            obstacles.push("the target has no embedder: name one that makes the new embeddings".to_owned());
            return Ok(obstacles);
        };
        if copy.head > source {
            obstacles.push(format!(
                "the target's namespace {} holds {} changes, more than the memory's {}: choose an empty namespace",
                target.namespace, copy.head.0, source.0
            ));
        }
        if let Some(other) = copy.models.iter().find(|held| *held != model) {
            obstacles.push(format!(
                "the target's namespace {} holds embeddings by {other}, not by {model}: choose an empty namespace",
                target.namespace
            ));
        }
        Ok(obstacles)
    }

    /// Brings `target`, a memory or namespace with another embedder, to where this namespace stands: everything becomes the same as in
    /// [`Self::migrate_to`], and every text is embedded by the target's embedder. Tells each position of the feed that is reached.
    ///
    /// It may be stopped anywhere and called again. This memory is only read, and may be used meanwhile; what is written then is
    /// brought over by the next call. The target must not be written to.
    ///
    /// # Errors
    /// `Unsupported` for what [`Self::plan_reembedding`] calls an obstacle, `Conflict` if the target holds something else, and what
    /// either ledger or the embedder gives.
    pub async fn reembed_to(&self, target: &Self, reached: impl FnMut(ChangeSeq) + Send) -> Result<Followed> {
        self.check_apart(target)?;
        let obstacles = self.reembedding_obstacles(target).await?;
        if !obstacles.is_empty() {
            return Err(Error::new(ErrorKind::Unsupported, obstacles.join("; ")));
        }
        self.claim(target).await?;
        let followed = self.carry(target, Carried::Anew, reached).await?;
        target.engine.sync_all(&target.namespace).await?;
        Ok(followed)
    }

    /// Compares everything that this namespace and its copy with other embeddings hold, the copy's indexes with its ledger, and how
    /// well both answer. What is written while this runs shows as a difference.
    ///
    /// # Errors
    /// `Unsupported` for a target without an embedder, `NotFound` for one that holds nothing, and what either side gives; differences are in
    /// the answer.
    pub async fn compare_reembedded(&self, target: &Self, gate: &QualityGate) -> Result<ReembeddingReport> {
        let Some(model) = target.engine.embedder.model() else {
            let message = "target: expected a memory with an embedder, found one without";
            return Err(Error::new(ErrorKind::Unsupported, message).with_field("target"));
        };
        if target.place().await?.holds.head == ChangeSeq::default() {
            return Err(Error::not_found(format!("a copy with other embeddings in {}", target.address()?)));
        }
        Ok(ReembeddingReport {
            comparison: compare_expecting(self.side(), target.side(), Expected::By(model)).await?,
            missing: missing(target.side(), target.engine.embedder.as_ref()).await?,
            index_faults: target.verify_here().await?.faults,
            quality: self.ask_both(target, gate).await?,
        })
    }
}
