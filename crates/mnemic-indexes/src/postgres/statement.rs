//! A statement that owns its values, so that it can be built piece by piece. Not here: running it (`mnemic_postgres`).

use mnemic_core::Result;
use mnemic_postgres::{Query, Row, ToSql, Type, classify, types::FromSql};

/// A value with the type that the server is told.
type Bound = (Box<dyn ToSql + Sync + Send>, Type);

/// One statement under construction. `$1` is the namespace of the transaction that will run it.
pub(crate) struct Statement {
    sql: String,
    values: Vec<Bound>,
}

impl std::fmt::Debug for Statement {
    /// Shows the statement and never its values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Statement").field("sql", &self.sql).field("values", &self.values.len()).finish()
    }
}

impl Statement {
    pub(crate) fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), values: Vec::new() }
    }

    /// Appends a piece of SQL, which never holds anything of a caller.
    pub(crate) fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// Binds a value and returns its placeholder.
    pub(crate) fn bind(&mut self, value: impl ToSql + Sync + Send + 'static, of: Type) -> String {
        self.values.push((Box::new(value), of));
        format!("${}", self.values.len() + 1)
    }

    /// The same, for a chain.
    #[must_use]
    pub(crate) fn with(mut self, value: impl ToSql + Sync + Send + 'static, of: Type) -> Self {
        self.values.push((Box::new(value), of));
        self
    }

    /// What can be run.
    pub(crate) fn query(&self) -> Query<'_> {
        let values = self.values.iter();
        values.fold(Query::new(self.sql.as_str()), |query, (value, of)| query.bind(value.as_ref(), of.clone()))
    }

    /// The same as a question for its plan.
    pub(crate) fn explained(mut self) -> Self {
        self.sql.insert_str(0, "EXPLAIN ");
        self
    }
}

/// Reads a column.
///
/// # Errors
/// `Corrupted` if it does not hold what our schema says.
pub(crate) fn column<'r, T: FromSql<'r>>(row: &'r Row, index: usize) -> Result<T> {
    row.try_get(index).map_err(|source| classify(&source))
}

/// Reads a column that counts something and is never negative.
pub(crate) fn count(row: &Row, index: usize) -> Result<u64> {
    let found: i64 = column(row, index)?;
    u64::try_from(found).map_err(|e| mnemic_postgres::corrupted("a count is negative").with_source(e))
}
