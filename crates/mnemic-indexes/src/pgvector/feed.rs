//! Applies changes of the feed: one transaction that holds the lock of the namespace's row. Not here: searching (`search`).

use std::collections::BTreeMap;

use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, Namespace, RecordId, Result, StoredRecord, ports::IndexChange,
};
use mnemic_postgres::{Query, Transaction, Type};

use super::PgvectorIndex;
use crate::postgres::{COLUMNS, Space, Statement, bind_columns, column, feeding, lock, locked, takeover};

/// Records that are sent at once: each carries a vector of kilobytes.
const STRIDE: usize = 64;

impl PgvectorIndex {
    pub(super) async fn feed(&self, namespace: &Namespace, changes: &[IndexChange], through: ChangeSeq) -> Result<()> {
        let first = changes.iter().find_map(|change| change.record.as_ref()?.embedding.as_ref());
        let dimension = first.map(|embedding| embedding.model().dimension());
        let schema = self.setup.ensure(&self.pool, namespace, dimension).await?;
        let [make, lock] = lock(self.config.name);
        let (transaction, answers) =
            self.pool.begin(namespace, feeding(changes), &[make.query(), lock.query()]).await?;
        let moved = match locked(&answers) {
            Ok(space) => self.change(&transaction, schema, space, changes, through).await,
            Err(error) => Err(error),
        };
        match moved {
            Ok(space) => {
                transaction.commit(&[space.save(self.config.name).query()]).await?;
                self.seen.note(namespace, space.position);
                Ok(())
            }
            Err(error) => {
                // What failed is told; that it was undone follows from its transaction's end.
                drop(transaction.rollback().await);
                Err(error)
            }
        }
    }

    async fn change(
        &self,
        transaction: &Transaction,
        schema: &str,
        mut space: Space,
        changes: &[IndexChange],
        through: ChangeSeq,
    ) -> Result<Space> {
        let (mut puts, mut gone) = (Vec::new(), Vec::new());
        for change in latest(&mut space, changes)?.into_values() {
            match change.record.as_ref().and_then(|stored| Some((stored, stored.embedding.as_ref()?))) {
                Some((stored, embedding)) => puts.push(self.put(schema, stored, embedding)),
                // Nothing could find a record without an embedding.
                None => gone.push(change.id.as_str().to_owned()),
            }
        }
        if !gone.is_empty() {
            let sql = "DELETE FROM mnemic.vectors WHERE namespace = $1 AND index_name = $2 AND id = ANY ($3)";
            let delete = Statement::new(sql).with(self.config.name, Type::TEXT).with(gone, Type::TEXT_ARRAY);
            let affected: u64 = transaction.run(&[delete.query()]).await?.iter().map(|answer| answer.affected).sum();
            space.records = space.records.saturating_sub(affected);
        }
        for stride in puts.chunks(STRIDE) {
            let queries: Vec<Query<'_>> = stride.iter().map(Statement::query).collect();
            for answer in transaction.run(&queries).await? {
                let is_new = answer.rows.first().map(|row| column::<bool>(row, 0)).transpose()?;
                space.records += u64::from(is_new == Some(true));
            }
        }
        space.position = space.position.max(through);
        Ok(space)
    }

    fn put(&self, schema: &str, stored: &StoredRecord, embedding: &Embedding) -> Statement {
        let record = &stored.record;
        let mut statement = Statement::new("")
            .with(self.config.name, Type::TEXT)
            .with(record.id.as_str().to_owned(), Type::TEXT)
            .with(i64::try_from(record.version.0).unwrap_or(i64::MAX), Type::INT8)
            .with(embedding.model().dimension().cast_signed(), Type::INT4)
            .with(unit(embedding), Type::FLOAT4_ARRAY);
        let values = bind_columns(record, &mut statement);
        // `xmax` is zero in a row that replaces none.
        statement.push(&format!(
            "INSERT INTO mnemic.vectors (namespace, index_name, id, version, dimension, embedding, {COLUMNS})
             VALUES ($1, $2, $3, $4, $5, $6::{schema}.vector, {values})
             ON CONFLICT (namespace, index_name, id) DO UPDATE SET version = EXCLUDED.version, dimension = EXCLUDED.dimension,
                embedding = EXCLUDED.embedding, {}
             RETURNING xmax = 0",
            takeover()
        ));
        statement
    }
}

/// The last word on each record among the changes that are new, after it was seen that they fit the model. Fixes the model.
fn latest<'a>(space: &mut Space, changes: &'a [IndexChange]) -> Result<BTreeMap<&'a RecordId, &'a IndexChange>> {
    let position = space.position;
    let new = changes.iter().filter(|change| change.seq > position);
    let embeddings = new.clone().filter_map(|change| change.record.as_ref()?.embedding.as_ref());
    let mut known: Option<&EmbeddingModel> = space.model.as_ref();
    for embedding in embeddings {
        known.unwrap_or(embedding.model()).check_same(embedding.model())?;
        known = Some(embedding.model());
    }
    space.model = known.cloned();
    Ok(new.map(|change| (&change.id, change)).collect())
}

/// The same direction at length one, which no half-precision number is too small or too large for.
pub(super) fn unit(embedding: &Embedding) -> Vec<f32> {
    let components = embedding.components();
    let length = components.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    components.iter().map(|x| (f64::from(*x) / length) as f32).collect()
}
