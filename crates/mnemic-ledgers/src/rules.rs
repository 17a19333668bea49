//! Rules that every ledger applies alike: what a batch may hold, how pages are cut, how long receipts are kept.
//! Not here: the contract itself (`mnemic_core::ports::Ledger`).

use std::{collections::BTreeSet, str::FromStr, time::Duration};

use mnemic_core::{
    AuditEvent, Batch, Cursor, Error, ErrorKind, Filter, Order, Page, PageRequest, RecordId, Result, Salt,
    ids::quoted,
    ports::{Embeddings, Read},
};

/// How long the receipt of an idempotent request is kept. The contract asks for 24 hours; a write whose reply was lost may wait in a
/// spool for seven days before it is sent again, and must still be known then.
pub(crate) const RECEIPT_LIFE: Duration = Duration::from_hours(8 * 24);

/// Outbox items are numbered `position of the change << TASK_BITS | position of the task`: ascending, and never used twice.
pub(crate) const TASK_BITS: u32 = 8;

/// Refuses a batch that names a record twice, or gives one record more tasks than can be numbered.
pub(crate) fn check_batch(batch: &Batch) -> Result<()> {
    let mut seen = BTreeSet::new();
    let writes = batch.writes.iter().enumerate().map(|(i, write)| ("writes", i, &write.record.id));
    let deletes = batch.deletes.iter().enumerate().map(|(i, delete)| ("deletes", i, &delete.id));
    for (list, i, id) in writes.chain(deletes) {
        if !seen.insert(id) {
            let expected = "each id once among a batch's writes and deletes";
            return Err(Error::invalid(format!("{list}[{i}].id"), expected, format!("{} again", quoted(id.as_str()))));
        }
    }
    let most = 1 << TASK_BITS;
    for (i, write) in batch.writes.iter().enumerate() {
        if write.tasks.len() > most {
            let expected = format!("at most {most} tasks");
            return Err(Error::invalid(format!("writes[{i}].tasks"), expected, write.tasks.len()));
        }
    }
    batch.slots.iter().enumerate().try_for_each(|(i, write)| write.check().map_err(|e| e.within(format!("slots[{i}]"))))
}

/// Superseded revisions keep no embedding, so that asking for one is a mistake and not an answer of `None`.
pub(crate) fn check_read(read: Read) -> Result<()> {
    match (read.as_of, read.embeddings) {
        (Some(at), Embeddings::Include) => {
            Err(Error::invalid("as_of", "no instant when embeddings are read", format!("as_of {at} with embeddings")))
        }
        (_, Embeddings::Include | Embeddings::Omit) => Ok(()),
    }
}

/// How an error names a record.
pub(crate) fn named(id: &RecordId) -> String {
    format!("record {}", quoted(id.as_str()))
}

/// The error for an event whose id is taken by another event.
pub(crate) fn event_conflict(event: &AuditEvent) -> Error {
    let id = quoted(event.event_id.as_str());
    let message = format!("event_id: expected a new id or the same event, found another event with the id {id}");
    Error::new(ErrorKind::Conflict, message).with_field("event_id")
}

/// Fresh salts, one per event, so that an erased event's commitment can be guessed by nobody who holds another's salt.
pub(crate) fn salts(count: usize) -> Result<Vec<Salt>> {
    let mut bytes = vec![[0; 32]; count];
    getrandom::fill(bytes.as_flattened_mut()).map_err(|source| {
        Error::new(ErrorKind::Unavailable, format!("the operating system gave no random bytes: {source}"))
    })?;
    Ok(bytes.into_iter().map(Salt).collect())
}

/// Where a walk goes on: the key after which the page starts.
pub(crate) fn cursor<K: FromStr>(request: &PageRequest) -> Result<Option<K>> {
    let Some(Cursor(text)) = &request.after else { return Ok(None) };
    let refused = || Error::invalid("cursor", "a cursor of this listing", quoted(text));
    text.parse().ok().ok_or_else(refused).map(Some)
}

/// Cuts a page from items that follow the cursor, in the order of the request.
/// One item more than the page holds is asked for, to know whether there is another page.
pub(crate) fn page<K: ToString, T>(
    items: impl Iterator<Item = Result<(K, T)>>,
    request: &PageRequest,
) -> Result<Page<T>> {
    let mut page = Page { items: Vec::new(), next: None };
    let mut last = None;
    for item in items {
        let (key, item) = item?;
        if page.items.len() == request.limit() {
            page.next = last.map(|key: K| Cursor(key.to_string()));
            break;
        }
        page.items.push(item);
        last = Some(key);
    }
    Ok(page)
}

/// Cuts a page from all items in ascending order of their keys.
pub(crate) fn walk<K: Ord + ToString, T>(
    items: impl DoubleEndedIterator<Item = (K, T)>,
    after: Option<K>,
    request: &PageRequest,
) -> Result<Page<T>> {
    match (request.order, after) {
        (Order::Oldest, None) => page(items.map(Ok), request),
        (Order::Newest, None) => page(items.rev().map(Ok), request),
        (Order::Oldest, Some(after)) => page(items.skip_while(|(key, _)| *key <= after).map(Ok), request),
        (Order::Newest, Some(after)) => page(items.rev().skip_while(|(key, _)| *key >= after).map(Ok), request),
    }
}
/// The user that every record which passes the filter must have, if the filter says so by form.
pub(crate) fn required_user(filter: &Filter) -> Option<&str> {
    use mnemic_core::{Comparison, Field, Operand};
    match filter {
        Filter::Compare(Field::UserId, Comparison::Eq, Operand::String(user)) => Some(user),
        Filter::And(filters) => filters.iter().find_map(required_user),
        Filter::Compare(..) | Filter::Or(_) | Filter::Not(_) | Filter::In(..) | Filter::Nin(..) | Filter::Exists(_) => {
            None
        }
    }
}
