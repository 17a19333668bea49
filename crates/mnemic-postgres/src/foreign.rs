//! A database of another system, read by one connection in one transaction that cannot write. Not here: Mnemic's own tables and
//! their walls (`pool`, `transaction`).

use std::fmt;

use mnemic_core::Result;
use tokio_postgres::{Client, Row, types::ToSql};

use crate::{config::PostgresConfig, error::classify, schema};

/// A view of another system's database as it stood when it was opened.
pub struct Foreign(Client);

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreign").finish_non_exhaustive()
    }
}

impl Foreign {
    /// Connects. Nothing of the database is changed, and nothing of Mnemic's is expected in it.
    ///
    /// # Errors
    /// `InvalidConfig` for a connection string that cannot be read; otherwise by [`classify`].
    pub async fn open(config: &PostgresConfig) -> Result<Self> {
        let client = schema::connect(&config.target()?).await?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        client.batch_execute(begin).await.map_err(|source| classify(&source))?;
        Ok(Self(client))
    }

    /// Asks something.
    ///
    /// # Errors
    /// By [`classify`].
    pub async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        self.0.query(sql, parameters).await.map_err(|source| classify(&source))
    }
}
