//! A lens that gives a copy embeddings of another model, and a search for embeddings that a copy lacks.
//! Not here: following (`follow`), and whether the other model finds as well (the facade's quality gate).
//!
//! The copy is not left with work that waits for the source's embedder: a text is embedded when its commit is carried, whether the
//! source has an embedding of it, waits for one, or never had one. A superseded revision holds no embedding, so it gets none.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use mnemic_core::{
    Embedding, EmbeddingModel, Error, ErrorKind, Filter, MemoryRecord, OutboxItem, PageRequest, PastChange, PastCommit,
    RecordId, Result, Task, Version,
    ids::quoted,
    limits,
    ports::{Embedder, Embeddings, Purpose, Read},
};

use crate::{lens::Lens, removed::Side};

/// Texts of one call to the embedder.
const TEXTS: usize = 128;
/// Calls to the embedder at once.
const AT_ONCE: usize = 4;

/// Embeds what it carries with the copy's model.
#[derive(Debug)]
pub struct Reembed<'e> {
    embedder: &'e dyn Embedder,
    model: EmbeddingModel,
    made: AtomicU64,
    refused: AtomicU64,
}

/// An embedding in the copy's space, or that its model makes none of the text.
type Made = HashMap<RecordId, (Version, Option<Embedding>)>;

impl<'e> Reembed<'e> {
    /// Embeds with this.
    ///
    /// # Errors
    /// `Unsupported` for an embedder without a model.
    pub fn new(embedder: &'e dyn Embedder) -> Result<Self> {
        let Some(model) = embedder.model().cloned() else {
            let message = "embedder: expected one with a model to embed anew with, found none";
            return Err(Error::new(ErrorKind::Unsupported, message).with_field("embedder"));
        };
        Ok(Self { embedder, model, made: AtomicU64::new(0), refused: AtomicU64::new(0) })
    }

    /// Embeddings that were made so far.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Texts that the embedder refused for good so far; their records are found by words only.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether what the source holds serves the copy as it is.
    fn fits(&self, embedding: Option<&Embedding>) -> bool {
        embedding.is_some_and(|embedding| *embedding.model() == self.model)
    }

    /// Revisions whose embedding these commits bring, or would if the source had made one.
    fn wanting(&self, commits: &[PastCommit]) -> BTreeMap<RecordId, BTreeSet<Version>> {
        let revision = |change: &PastChange| match change {
            PastChange::Written(write) if write.record.is_some() && !self.fits(write.embedding.as_ref()) => {
                Some((write.id.clone(), write.version))
            }
            PastChange::Embedded { id, version, embedding } if !self.fits(embedding.as_ref()) => {
                Some((id.clone(), *version))
            }
            _ => None,
        };
        let mut wanting: BTreeMap<RecordId, BTreeSet<Version>> = BTreeMap::new();
        for (id, version) in commits.iter().flat_map(|commit| &commit.changes).filter_map(revision) {
            wanting.entry(id).or_default().insert(version);
        }
        wanting
    }

    /// Embeds those of these revisions that are current now. Of what was superseded, the current revision comes at a later position.
    async fn embed_current(
        &self,
        (ledger, namespace): Side<'_>,
        wanting: &BTreeMap<RecordId, BTreeSet<Version>>,
    ) -> Result<Made> {
        let ids: Vec<RecordId> = wanting.keys().cloned().collect();
        let mut records: Vec<MemoryRecord> = Vec::with_capacity(ids.len());
        let wanted = |record: &MemoryRecord| wanting.get(&record.id).is_some_and(|some| some.contains(&record.version));
        for ids in ids.chunks(limits::BATCH) {
            let found = ledger.fetch(namespace, ids, Read::default()).await?;
            records.extend(found.into_iter().flatten().map(|stored| stored.record).filter(wanted));
        }
        let texts: Vec<&str> = records.iter().map(|record| record.text.as_str()).collect();
        let embeddings = self.embed(&texts).await?;
        let made = embeddings.iter().filter(|embedding| embedding.is_some()).count();
        self.made.fetch_add(made as u64, Ordering::Relaxed);
        Ok(records.into_iter().zip(embeddings).map(|(record, made)| (record.id, (record.version, made))).collect())
    }

    async fn embed(&self, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        // Made before they are awaited: a closure in the stream would tie them to one lifetime.
        let calls: Vec<_> = texts.chunks(TEXTS).map(|texts| self.embed_some(texts)).collect();
        let made: Vec<Vec<Option<Embedding>>> = stream::iter(calls).buffered(AT_ONCE).try_collect().await?;
        Ok(made.into_iter().flatten().collect())
    }

    /// Embeds texts. One that the embedder refuses for good stays without an embedding, and does not keep the others from theirs: the
    /// part that holds it is halved until it stands alone.
    async fn embed_some(&self, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        let (mut made, mut parts) = (Vec::with_capacity(texts.len()), vec![texts]);
        while let Some(part) = parts.pop() {
            match self.ask(part).await {
                Ok(embeddings) => made.extend(embeddings),
                Err(error) if error.kind() != ErrorKind::InvalidInput => return Err(error),
                Err(_) if part.len() <= 1 => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    made.extend(part.iter().map(|_| None));
                }
                Err(_) => {
                    let (left, right) = part.split_at(part.len() / 2);
                    parts.extend([right, left]);
                }
            }
        }
        Ok(made)
    }

    async fn ask(&self, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        let made = self.embedder.embed(Purpose::Document, texts).await?;
        if made.len() != texts.len() {
            let (model, expected, found) = (&self.model, texts.len(), made.len());
            let message = format!("embedder {model}: expected {expected} embeddings, found {found}");
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        made.iter().flatten().try_for_each(|embedding| self.model.check_same(embedding.model()))?;
        Ok(made)
    }

    /// The change in the copy's space. An embedding of another space never passes.
    fn convert(&self, change: &mut PastChange, made: &Made) {
        let of = |id: &RecordId, version: Version| {
            made.get(id).filter(|(made_of, _)| *made_of == version).and_then(|(_, embedding)| embedding.clone())
        };
        match change {
            PastChange::Written(write) => {
                if !self.fits(write.embedding.as_ref()) {
                    write.embedding = of(&write.id, write.version);
                }
                // Embedded just now, if it can be.
                write.tasks.retain(|item| item.task != Task::Embed);
            }
            PastChange::Embedded { id, version, embedding } if !self.fits(embedding.as_ref()) => {
                *embedding = of(id, *version);
            }
            _ => {}
        }
    }
}

#[async_trait]
impl Lens for Reembed<'_> {
    async fn carry(&self, source: Side<'_>, mut commits: Vec<PastCommit>) -> Result<Vec<PastCommit>> {
        let made = self.embed_current(source, &self.wanting(&commits)).await?;
        for change in commits.iter_mut().flat_map(|commit| &mut commit.changes) {
            self.convert(change, &made);
        }
        Ok(commits)
    }

    /// The source's embedding finishes the source's work. The copy has work of its own where it was the memory before the last switch,
    /// and that is finished when its own embedding is there.
    async fn finished(&self, (ledger, namespace): Side<'_>, work: Vec<OutboxItem>) -> Result<Vec<OutboxItem>> {
        let ids: Vec<RecordId> = work.iter().map(|item| item.record_id.clone()).collect();
        let read = Read { as_of: None, embeddings: Embeddings::Include };
        let mut waiting: HashMap<RecordId, Version> = HashMap::new();
        for ids in ids.chunks(limits::BATCH) {
            let found = ledger.fetch(namespace, ids, read).await?;
            let without = found.into_iter().flatten().filter(|stored| !self.fits(stored.embedding.as_ref()));
            waiting.extend(without.map(|stored| (stored.record.id, stored.record.version)));
        }
        let waits = |item: &OutboxItem| item.task == Task::Embed && waiting.get(&item.record_id) == Some(&item.version);
        Ok(work.into_iter().filter(|item| !waits(item)).collect())
    }
}

/// Embeddings that a memory lacks although `embedder` makes them: no text that its model can represent is to be found by words only.
/// Each in words; what waits in the outbox is not missing.
///
/// # Errors
/// What the ledger or the embedder gives.
pub async fn missing((ledger, namespace): Side<'_>, embedder: &dyn Embedder) -> Result<Vec<String>> {
    let lens = Reembed::new(embedder)?;
    let outbox = ledger.outbox(namespace, usize::MAX).await?;
    let waits: BTreeSet<RecordId> =
        outbox.into_iter().filter(|item| item.task == Task::Embed).map(|item| item.record_id).collect();
    let read = Read { as_of: None, embeddings: Embeddings::Include };
    let (mut page, mut told) = (PageRequest::largest(), Vec::new());
    loop {
        let found = ledger.scan(namespace, &Filter::all(), read, &page).await?;
        let without: Vec<&MemoryRecord> = found
            .items
            .iter()
            .filter(|stored| stored.embedding.is_none() && !waits.contains(&stored.record.id))
            .map(|stored| &stored.record)
            .collect();
        let texts: Vec<&str> = without.iter().map(|record| record.text.as_str()).collect();
        let made = lens.embed(&texts).await?;
        let lacking = without.iter().zip(made).filter(|(_, made)| made.is_some());
        told.extend(lacking.map(|(record, _)| {
            let (id, model) = (quoted(record.id.as_str()), &lens.model);
            format!("record {id} has no embedding, and {model} makes one of its text")
        }));
        if found.next.is_none() {
            return Ok(told);
        }
        page = page.after(found.next);
    }
}
