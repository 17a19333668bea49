//! Where an index of one namespace stands: its position in the feed, its model, its totals. One row, whose lock makes two programs that
//! apply the same changes take turns. Not here: what the index holds.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use mnemic_core::{ChangeSeq, EmbeddingModel, Error, ErrorKind, Metric, Namespace, Result, Retry, ports::IndexChange};
use mnemic_postgres::{Access, Answer, Row, Type, corrupted};

use super::{Statement, column, count};

/// How far the index of each namespace was seen to be. A server that crashed may have lost the end of it, and another program may make it
/// anew: who believes to know how far it is then has to hear of it, or a search would silently find less.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<Namespace, ChangeSeq>>);

impl Seen {
    fn lock(&self) -> MutexGuard<'_, HashMap<Namespace, ChangeSeq>> {
        // Nothing that runs under the lock leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what was told just now.
    pub(crate) fn note(&self, namespace: &Namespace, position: ChangeSeq) {
        self.lock().insert(namespace.clone(), position);
    }

    pub(crate) fn forget(&self, namespace: &Namespace) {
        self.lock().remove(namespace);
    }

    /// How far it was seen to be; asked before a search looks.
    pub(crate) fn before(&self, namespace: &Namespace) -> ChangeSeq {
        self.lock().get(namespace).copied().unwrap_or_default()
    }

    /// Compares that with what the search saw.
    ///
    /// # Errors
    /// `Conflict` if that is less. It is told once: who hears of it asks for the position anew.
    pub(crate) fn check(&self, namespace: &Namespace, before: ChangeSeq, space: &Space) -> Result<()> {
        if space.position >= before {
            return Ok(());
        }
        self.forget(namespace);
        Err(Error::new(ErrorKind::Conflict, "the index is not as far any more as it was and has to catch up"))
    }
}

/// How changes are applied. What a crash of the server takes of an index comes again by the feed, since its position goes with it; but
/// what was removed must not come back, for however short a time.
pub(crate) fn feeding(changes: &[IndexChange]) -> Access {
    if changes.iter().any(|change| change.record.is_none()) { Access::Write } else { Access::Derive }
}

/// The row of one index of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) position: ChangeSeq,
    pub(crate) records: u64,
    pub(crate) model: Option<EmbeddingModel>,
    /// Words of all its texts together.
    pub(crate) length: u64,
    /// Numbers given to documents so far.
    pub(crate) documents: i64,
    /// Bit n is set if a text was stemmed by language n.
    pub(crate) languages: u64,
    /// How texts were turned into terms.
    pub(crate) analysis: u32,
}

const COLUMNS: &str = "position, records, provider, model, dimension, metric, length, documents, languages, analysis";

impl Space {
    /// Asks for the row.
    pub(crate) fn ask(index: &'static str) -> Statement {
        let sql = format!("SELECT {COLUMNS} FROM mnemic.index_spaces WHERE namespace = $1 AND index_name = $2");
        Statement::new(sql).with(index, Type::TEXT)
    }

    /// Reads the row; where there is none, nothing was applied yet.
    pub(crate) fn read(answer: &Answer) -> Result<Self> {
        answer.rows.first().map_or_else(|| Ok(Self::default()), Self::of)
    }

    fn of(row: &Row) -> Result<Self> {
        let analysis: i64 = column(row, 9)?;
        let languages: i64 = column(row, 8)?;
        Ok(Self {
            position: ChangeSeq(count(row, 0)?),
            records: count(row, 1)?,
            model: model(row)?,
            length: count(row, 6)?,
            documents: column(row, 7)?,
            languages: languages.cast_unsigned(),
            analysis: u32::try_from(analysis).map_err(|e| corrupted("an analysis has no number").with_source(e))?,
        })
    }

    /// Writes the row, which is locked.
    pub(crate) fn save(&self, index: &'static str) -> Statement {
        let model = self.model.as_ref();
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        Statement::new(
            "UPDATE mnemic.index_spaces SET position = $3, records = $4, provider = $5, model = $6, dimension = $7, metric = $8, \
             length = $9, documents = $10, languages = $11, analysis = $12 WHERE namespace = $1 AND index_name = $2",
        )
        .with(index, Type::TEXT)
        .with(number(self.position.0), Type::INT8)
        .with(number(self.records), Type::INT8)
        .with(model.map(|model| model.provider().to_owned()), Type::TEXT)
        .with(model.map(|model| model.name().to_owned()), Type::TEXT)
        .with(model.map(|model| model.dimension().cast_signed()), Type::INT4)
        .with(model.map(|model| model.metric().as_str()), Type::TEXT)
        .with(number(self.length), Type::INT8)
        .with(self.documents, Type::INT8)
        .with(self.languages.cast_signed(), Type::INT8)
        .with(i64::from(self.analysis), Type::INT8)
    }

    /// Forgets the row.
    pub(crate) fn forget(index: &'static str) -> Statement {
        let sql = "DELETE FROM mnemic.index_spaces WHERE namespace = $1 AND index_name = $2";
        Statement::new(sql).with(index, Type::TEXT)
    }

    /// Fixes the model. While nothing is held, it can still be changed.
    pub(crate) fn adopt(&mut self, model: &EmbeddingModel) -> Result<()> {
        match &self.model {
            Some(own) if self.records > 0 => own.check_same(model),
            _ => {
                self.model = Some(model.clone());
                Ok(())
            }
        }
    }
}

fn model(row: &Row) -> Result<Option<EmbeddingModel>> {
    let Some(provider) = column::<Option<String>>(row, 2)? else { return Ok(None) };
    let (name, dimension, metric): (String, i32, &str) = (column(row, 3)?, column(row, 4)?, column(row, 5)?);
    if metric != Metric::Cosine.as_str() {
        return Err(corrupted("an index has a metric that there is not"));
    }
    let dimension = u32::try_from(dimension).map_err(|e| corrupted("a model has no dimension").with_source(e))?;
    let model = EmbeddingModel::new(provider, name, dimension, Metric::Cosine);
    model.map(Some).map_err(|e| corrupted("a model has no name").with_source(e))
}

/// Makes the row if it is not there, and locks it until the transaction ends.
pub(crate) fn lock(index: &'static str) -> [Statement; 2] {
    let make = "INSERT INTO mnemic.index_spaces (namespace, index_name) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let mut lock = Space::ask(index);
    lock.push(" FOR UPDATE");
    [Statement::new(make).with(index, Type::TEXT), lock]
}

/// Reads the row that was locked.
pub(crate) fn locked(answers: &[Answer]) -> Result<Space> {
    let row = answers.get(1).and_then(|answer| answer.rows.first());
    // Between making and locking, another program may have dropped the namespace.
    let gone =
        || Error::new(ErrorKind::Unavailable, "another program dropped the index meanwhile").with_retry(Retry::Soon);
    row.map_or_else(|| Err(gone()), Space::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> EmbeddingModel {
        EmbeddingModel::new("test", name, 3, Metric::Cosine).unwrap()
    }

    #[test]
    fn a_model_can_be_changed_only_while_nothing_is_held() {
        let mut space = Space::default();
        space.adopt(&model("a")).unwrap();
        space.adopt(&model("b")).unwrap();
        space.records = 1;
        space.adopt(&model("b")).unwrap();
        let error = space.adopt(&model("a")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelMismatch);
        assert_eq!(space.model, Some(model("b")));
    }
}
