//! One statement with its bound values, and its answer. Not here: running it (`transaction`).

use std::borrow::Cow;

use mnemic_core::Result;
use tokio_postgres::{
    Row,
    types::{FromSql, ToSql, Type},
};

use crate::error;

/// One statement; it returns columns of built-in types only (cast others), so that their meaning has not to be asked for.
/// Its `$1` is always the namespace of the transaction that runs it; what [`Query::bind`] adds follows as `$2`, `$3` …
pub struct Query<'a> {
    pub(crate) sql: Cow<'a, str>,
    pub(crate) params: Vec<(&'a (dyn ToSql + Sync), Type)>,
}

impl<'a> Query<'a> {
    /// A statement that names `$1`.
    pub fn new(sql: impl Into<Cow<'a, str>>) -> Self {
        Self { sql: sql.into(), params: Vec::new() }
    }

    /// Binds the next value. The server is told its type, so nothing has to be prepared.
    #[must_use]
    pub fn bind(mut self, value: &'a (dyn ToSql + Sync), of: Type) -> Self {
        self.params.push((value, of));
        self
    }

    /// The same values for another statement, for one that is composed while its values are bound.
    #[must_use]
    pub fn saying(self, sql: impl Into<Cow<'a, str>>) -> Self {
        Self { sql: sql.into(), ..self }
    }

    /// How many values are bound, the namespace counted: the number of the last one.
    pub fn bound(&self) -> usize {
        self.params.len() + 1
    }
}

impl std::fmt::Debug for Query<'_> {
    /// Shows the statement and never its values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Query").field("sql", &self.sql).field("bound", &self.bound()).finish()
    }
}

/// What a statement answered.
#[derive(Debug, Default)]
pub struct Answer {
    /// The rows, as the statement ordered them.
    pub rows: Vec<Row>,
    /// How many rows it returned or changed.
    pub affected: u64,
}

/// Reads a column.
///
/// # Errors
/// `Corrupted` if it does not hold what our schema says.
pub(crate) fn column<'r, T: FromSql<'r>>(row: &'r Row, index: usize) -> Result<T> {
    row.try_get(index).map_err(|source| error::classify(&source))
}

impl Answer {
    /// Reads one column of the first row; `None` if there is no row.
    ///
    /// # Errors
    /// Those of [`crate::classify`], if the column does not hold a `T`.
    pub fn first<'r, T: FromSql<'r>>(&'r self, index: usize) -> Result<Option<T>> {
        self.rows.first().map(|row| column(row, index)).transpose()
    }
}
