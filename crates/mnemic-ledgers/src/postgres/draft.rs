//! Records that a repeat makes and nothing in it changes again: packed part by part, each while the server writes the one before.
//! Not here: everything else that is repeated (`repeat`).

use futures::{
    poll,
    stream::{FuturesOrdered, StreamExt as _},
};
use mnemic_core::{EmbeddingModel, PastWrite, Result};
use mnemic_postgres::Transaction;

use super::{
    error::whole,
    rows::{Columns, RecordRow, Vector},
    save,
};
use crate::stored::{self, RecordColumns};

/// Rows that are packed before the server has anything to do.
const FIRST: usize = 100;

/// A revision of a record as it is repeated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft<'a> {
    pub(super) ordinal: i64,
    /// Its position; that of nothing if the revision is not known.
    pub(super) seq: i64,
    pub(super) write: &'a PastWrite,
    /// The number of its embedding's model.
    pub(super) model: Option<i32>,
    /// Whether no row of this ordinal is stored yet.
    pub(super) new: bool,
}

impl Draft<'_> {
    /// The row.
    pub(super) fn row(&self) -> Result<RecordRow> {
        let write = self.write;
        let user = write.record.as_ref().and_then(|record| record.user_id.clone());
        let created_at = write.record.as_ref().map_or(0, |record| record.created_at.as_micros());
        let columns = RecordColumns {
            id: write.id.as_str(),
            version: write.version.0,
            created_at,
            user: user.as_ref().map(AsRef::as_ref),
        };
        let pack = |record| Ok((stored::pack_record(record, &columns)?, Columns::of(record)));
        let held = write.record.as_ref().map(pack).transpose()?;
        let vector = self.model.zip(write.embedding.as_ref()).map(|(model, made)| Vector::of(model, made));
        Ok(RecordRow {
            ordinal: self.ordinal,
            id: write.id.clone(),
            version: whole(write.version.0)?,
            seq: self.seq,
            created_at,
            user,
            held,
            vector,
            new: self.new,
        })
    }

    /// About how many bytes its row takes.
    fn bytes(&self) -> usize {
        let text = self.write.record.as_ref().map_or(0, |record| record.text.len());
        256 + text + self.write.embedding.as_ref().map_or(0, |made| 4 * made.components().len())
    }
}

/// Inserts new records, and before them the models that they name.
pub(super) async fn insert(
    transaction: &Transaction,
    models: &[(i32, EmbeddingModel)],
    drafts: &[Draft<'_>],
) -> Result<()> {
    if let Some(save) = save::of_models(models) {
        transaction.run(&[save.query()]).await?;
    }
    let mut said = FuturesOrdered::new();
    let mut failed = None;
    let (first, rest) = drafts.split_at(FIRST.min(drafts.len()));
    let parts = [first, rest].into_iter().flat_map(|rows| save::chunks(rows, save::CHUNK, Draft::bytes));
    for part in parts {
        said.push_back(insert_part(transaction, part.iter().map(Draft::row).collect::<Result<_>>()?));
        // Polled, so that the server has it before the next part is packed.
        if let std::task::Poll::Ready(Some(Err(refused))) = poll!(said.next()) {
            failed = Some(refused);
            break;
        }
    }
    // All of them, also when one is refused, so that nothing is left on the way.
    while let Some(done) = said.next().await {
        failed = failed.or(done.err());
    }
    failed.map_or(Ok(()), Err)
}

async fn insert_part(transaction: &Transaction, rows: Vec<RecordRow>) -> Result<()> {
    let rows: Vec<&RecordRow> = rows.iter().collect();
    transaction.run(&[save::of_new(&rows).query()]).await.map(drop)
}
