//! Records with embeddings as production writes them, of 2,048 components unless something else is asked for. Not here: their words (`corpus`).

use mnemic::{Embedding, EmbeddingModel, MemoryRecord, Metric, Precondition, RecordId, Result, Timestamp, Version};
use mnemic_core::{Batch, ChangeSeq, RecordWrite, StoredRecord, ports::IndexChange};

use crate::corpus::{Corpus, Dice};

/// Components of an embedding.
pub(super) const DIMENSION: u32 = 2048;
/// Embeddings that records share: making one takes longer than writing it, and no part of what is measured looks for equal ones.
const VECTORS: usize = 256;
/// When everything was written, in microseconds.
const AT: i64 = 1_767_225_600_000_000;

/// Makes records with embeddings.
#[derive(Debug)]
pub(super) struct Rows {
    corpus: Corpus,
    vectors: Vec<Embedding>,
}

impl Rows {
    pub(super) fn new(seed: u64) -> Result<Self> {
        Self::of(seed, &model()?)
    }

    /// Records with embeddings of another model.
    pub(super) fn of(seed: u64, model: &EmbeddingModel) -> Result<Self> {
        let mut dice = Dice::new(seed);
        let vectors = (0..VECTORS).map(|_| vector(model, &mut dice)).collect::<Result<_>>()?;
        Ok(Self { corpus: Corpus::new(seed)?, vectors })
    }

    /// Records whose embeddings are pending.
    pub(super) fn without_embeddings(seed: u64) -> Result<Self> {
        Ok(Self { corpus: Corpus::new(seed)?, vectors: Vec::new() })
    }

    /// The record of a number, always with the same embedding.
    pub(super) fn stored(&mut self, number: usize) -> Result<StoredRecord> {
        let draft = self.corpus.record(number)?;
        let id = draft.id.map_or_else(|| RecordId::new(number.to_string()), Ok)?;
        let record = MemoryRecord {
            user_id: draft.user_id,
            thread_id: draft.thread_id,
            kind: draft.kind.unwrap_or_default(),
            tags: draft.tags,
            metadata: draft.metadata,
            version: Version(1),
            ..MemoryRecord::new(id, draft.text, at()?)
        };
        Ok(StoredRecord { record, embedding: self.vectors.get(number % VECTORS).cloned() })
    }

    /// One commit of `count` records.
    pub(super) fn batch(&mut self, from: usize, count: usize) -> Result<Batch> {
        let mut batch = Batch::new(at()?);
        for number in from..from + count {
            let StoredRecord { record, embedding } = self.stored(number)?;
            batch.writes.push(RecordWrite { record, embedding, expect: Precondition::Any, tasks: Vec::new() });
        }
        Ok(batch)
    }

    /// The same as changes of an index.
    pub(super) fn changes(&mut self, from: usize, count: usize) -> Result<Vec<IndexChange>> {
        (from..from + count)
            .map(|number| {
                let stored = self.stored(number)?;
                Ok(IndexChange { seq: ChangeSeq(1), id: stored.record.id.clone(), record: Some(stored) })
            })
            .collect()
    }
}

/// The space of the embeddings.
pub(super) fn model() -> Result<EmbeddingModel> {
    EmbeddingModel::new("voyage", "voyage-3-large", DIMENSION, Metric::Cosine)
}

fn at() -> Result<Timestamp> {
    Timestamp::from_micros(AT)
}

/// A vector of length one whose components have as many digits as a model's.
fn vector(model: &EmbeddingModel, dice: &mut Dice) -> Result<Embedding> {
    let components: Vec<f64> = (0..model.dimension()).map(|_| dice.next() as f64 / (1u64 << 62) as f64 - 1.0).collect();
    let length = components.iter().map(|component| component * component).sum::<f64>().sqrt();
    Embedding::new(model, components.iter().map(|component| (component / length) as f32).collect::<Vec<f32>>())
}
