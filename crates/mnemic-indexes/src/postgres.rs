//! What the indexes in PostgreSQL share: statements with bound values, columns that filters read, filters as conditions, and where an
//! index stands in the feed. Not here: searching (`pgvector`, `postgres_text`).

mod columns;
mod filter;
mod json;
mod listing;
mod space;
mod statement;

pub(crate) use columns::{COLUMNS, bind_columns, takeover};
pub(crate) use filter::condition;
pub(crate) use listing::{id, listed, listing};
pub(crate) use space::{Seen, Space, feeding, lock, locked};
pub(crate) use statement::{Statement, column, count};
