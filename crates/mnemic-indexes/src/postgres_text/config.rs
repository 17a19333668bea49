//! How a PostgreSQL text index is set up. Not here: where the database is (`mnemic_postgres::PostgresConfig`).

use mnemic_core::Result;

use crate::Bm25Config;

/// How a [`PostgresTextIndex`](super::PostgresTextIndex) is set up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PostgresTextConfig {
    /// Lexical scoring.
    pub bm25: Bm25Config,
    /// Up to so many occurrences of a query's words, all of them are scored at once. Beyond, rare words choose the records first.
    pub postings_at_once: u64,
}

impl Default for PostgresTextConfig {
    fn default() -> Self {
        Self { bm25: Bm25Config::default(), postings_at_once: 5_000 }
    }
}

impl PostgresTextConfig {
    /// Refuses constants that are no numbers or out of range.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the setting.
    pub fn check(&self) -> Result<()> {
        self.bm25.check()
    }
}
