//! What every PostgreSQL adapter of Mnemic stands on: connections, transactions bound to a namespace, errors, schema.
//! Not here: what the tables mean (`mnemic-ledgers`, `mnemic-indexes`).
//!
//! There is one way to a statement: [`Pool::begin`] or [`Pool::run`], which open a transaction, take the role that owns nothing,
//! set the namespace for that transaction only, and bind the namespace as `$1` of every statement. Nothing outlives a
//! transaction (no session setting, no named statement, no session lock), so a pooler in transaction mode may stand between.
//! [`Foreign`] is for databases of other systems, which have none of this and are only read.

mod config;
mod error;
mod foreign;
mod guard;
mod lease;
mod listing;
mod pool;
mod query;
mod schema;
#[doc(hidden)]
pub mod testing;
mod tls;
mod transaction;

pub use config::PostgresConfig;
pub use error::{classify, corrupted};
pub use foreign::Foreign;
pub use pool::{Pool, Server};
pub use query::{Answer, Query};
pub use tokio_postgres::{
    Row,
    types::{self, ToSql, Type},
};
pub use transaction::{Access, Transaction};
