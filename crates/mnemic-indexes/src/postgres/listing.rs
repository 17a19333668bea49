//! Pages of what an index holds, ordered by id. Not here: what it holds.

use mnemic_core::{Cursor, Order, Page, PageRequest, RecordId, Result, Version, ports::IndexedId};
use mnemic_postgres::{Answer, Type, corrupted};

use super::{Statement, column, count};

/// Completes a statement that selects `id, version, embedded` up to its last condition, so that it returns one page and a row more.
pub(crate) fn listing(mut statement: Statement, page: &PageRequest) -> Statement {
    let (is_after, direction) = match page.order {
        Order::Oldest => (">", "ASC"),
        Order::Newest => ("<", "DESC"),
    };
    if let Some(Cursor(after)) = &page.after {
        let place = statement.bind(after.clone(), Type::TEXT);
        statement.push(&format!(" AND id {is_after} {place}"));
    }
    statement.push(&format!(" ORDER BY id {direction} LIMIT {}", page.limit() + 1));
    statement
}

/// The page that it returned.
pub(crate) fn listed(answer: &Answer, page: &PageRequest) -> Result<Page<IndexedId>> {
    let rows = answer.rows.iter().take(page.limit());
    let items: Vec<IndexedId> = rows
        .map(|row| {
            Ok(IndexedId { id: id(column(row, 0)?)?, version: Version(count(row, 1)?), embedded: column(row, 2)? })
        })
        .collect::<Result<_>>()?;
    let more = answer.rows.len() > page.limit();
    let next = items.last().filter(|_| more).map(|last| Cursor(last.id.as_str().to_owned()));
    Ok(Page { items, next })
}

/// A stored id.
pub(crate) fn id(text: &str) -> Result<RecordId> {
    RecordId::new(text).map_err(|e| corrupted("an id is none").with_source(e))
}
