//! Following the change feed: what is written, in which order, and how a late writer is kept from undoing a newer one.
//! Not here: what a point holds (`point`).
//!
//! Several processes may apply the same stretch of the feed at once, and one of them may be late. Every point carries the change that it
//! is of, and an upsert replaces only points of older changes, so that the order of arrival does not matter. A record that is gone
//! leaves a point without a vector behind, for a late upsert to find; such traces are removed after [`TRACES`] further changes. The place in
//! the feed moves last, only forward, and only if the namespace was not started over meanwhile.

use std::collections::BTreeMap;

use mnemic_core::{ChangeSeq, Error, Namespace, RecordId, Result, StoredRecord, ports::IndexChange};
use serde_json::{Value, json};

use super::{
    api::{Api, Found},
    error::started_over,
    filter::{EXACT, old_traces},
    point::{self, key},
};

/// Bytes of one upsert at most; the server reads 32 MB, and one point can be large.
const BATCH_BYTES: usize = 24 * 1024 * 1024;
/// Points of one upsert at most.
const BATCH_POINTS: usize = 1000;
/// Different changes of one upsert at most: each is a condition that is tried on each point.
const BATCH_CHANGES: usize = 64;
/// Changes after which the trace of a record that went away is removed.
const TRACES: u64 = 10_000;

/// What a namespace's last state is to be, by record: only the newest change of each counts.
pub(super) fn newest(changes: &[IndexChange], after: ChangeSeq) -> BTreeMap<&RecordId, (u64, Option<&StoredRecord>)> {
    let mut newest = BTreeMap::new();
    for change in changes.iter().filter(|change| change.seq > after) {
        let embedded = change.record.as_ref().filter(|stored| stored.embedding.is_some());
        let entry = newest.entry(&change.id).or_insert((change.seq.0, embedded));
        if change.seq.0 >= entry.0 {
            *entry = (change.seq.0, embedded);
        }
    }
    newest
}

/// The place in the feed that a collection holds of a namespace; zero if none.
pub(super) async fn position(api: &Api, collection: &str, namespace: &Namespace) -> Result<ChangeSeq> {
    let id = point::feed_id(namespace);
    let found = api.retrieve(collection, std::slice::from_ref(&id), &[key::NAMESPACE, key::SEQ]).await?;
    Ok(ChangeSeq(found.iter().find_map(|found| place(found, namespace, &id)).unwrap_or_default()))
}

fn place(found: &Found, namespace: &Namespace, id: &str) -> Option<u64> {
    let payload = found.payload.as_ref()?;
    let ours = payload.get(key::NAMESPACE)?.as_str()? == point::feed_mark(namespace);
    let named = found.id.as_str().is_some_and(|found| found.eq_ignore_ascii_case(id));
    if ours && named { payload.get(key::SEQ)?.as_u64() } else { None }
}

/// Writes changes that are after `before`, and then moves the place in the feed from there to `through`.
pub(super) async fn apply(
    api: &Api,
    collection: &str,
    namespace: &Namespace,
    changes: &[IndexChange],
    (before, through): (ChangeSeq, ChangeSeq),
) -> Result<()> {
    let mut newest: Vec<_> = newest(changes, before).into_iter().collect();
    newest.sort_by_key(|(_, (seq, _))| *seq);
    let mut batch = Batch::default();
    for (id, (seq, stored)) in newest {
        check_seq(seq)?;
        let name = point::id(namespace, id);
        let written = match stored.and_then(|stored| Some((stored, stored.embedding.as_ref()?))) {
            Some((stored, embedding)) => point::of_record(namespace, &name, seq, stored, &point::unit(embedding)),
            None => point::marker(&point::gone_mark(namespace), &name, seq),
        };
        if !batch.has_room(seq, written.len()) {
            api.upsert(collection, std::mem::take(&mut batch).into_body()).await?;
        }
        batch.push(name, seq, &written);
    }
    if !batch.is_empty() {
        api.upsert(collection, batch.into_body()).await?;
    }
    if through > before {
        check_seq(through.0)?;
        advance(api, collection, namespace, (before, through)).await?;
    }
    Ok(())
}

/// Qdrant compares changes as doubles.
fn check_seq(seq: u64) -> Result<()> {
    if seq < EXACT.unsigned_abs() { Ok(()) } else { Err(Error::invalid("seq", format!("a change below {EXACT}"), seq)) }
}

async fn advance(
    api: &Api,
    collection: &str,
    namespace: &Namespace,
    (before, through): (ChangeSeq, ChangeSeq),
) -> Result<()> {
    let id = point::feed_id(namespace);
    let marker = point::marker(&point::feed_mark(namespace), &id, through.0);
    let mut body = b"{\"points\":[".to_vec();
    body.extend(marker);
    body.push(b']');
    // Whoever started the namespace over removed the point, and must not find it back.
    let (mode, range) = if before == ChangeSeq::default() {
        ("upsert", json!({ "lt": through.0 }))
    } else {
        ("update_only", json!({ "gte": before.0, "lt": through.0 }))
    };
    let guard = json!({ "must": [{ "has_id": [id] }, { "key": key::SEQ, "range": range }] });
    body.extend(format!(",\"update_filter\":{guard},\"update_mode\":\"{mode}\"}}").into_bytes());
    api.upsert(collection, body).await?;
    // A guard that holds is told by nothing but the point itself.
    if position(api, collection, namespace).await? < through {
        return Err(started_over());
    }
    if through.0 / TRACES > before.0 / TRACES {
        api.delete(collection, &old_traces(namespace, through.0.saturating_sub(TRACES))).await?;
    }
    Ok(())
}

/// Points to be upserted together.
#[derive(Default)]
struct Batch {
    /// Points of each change, oldest change first.
    changes: Vec<(u64, Vec<String>)>,
    points: usize,
    body: Vec<u8>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.points == 0
    }

    fn has_room(&self, seq: u64, bytes: usize) -> bool {
        let known = self.changes.last().is_some_and(|(last, _)| *last == seq);
        self.is_empty()
            || self.points < BATCH_POINTS
                && self.body.len() + bytes < BATCH_BYTES
                && (known || self.changes.len() < BATCH_CHANGES)
    }

    fn push(&mut self, name: String, seq: u64, written: &[u8]) {
        self.body.extend_from_slice(if self.is_empty() { b"{\"points\":[" } else { b"," });
        self.body.extend_from_slice(written);
        self.points += 1;
        match self.changes.last_mut() {
            Some((last, names)) if *last == seq => names.push(name),
            _ => self.changes.push((seq, vec![name])),
        }
    }

    /// The request: each point replaces one of an older change only. Points that are not there are inserted in any case.
    fn into_body(self) -> Vec<u8> {
        let older = |(seq, names): &(u64, Vec<String>)| -> Value {
            json!({ "must": [{ "has_id": names }, { "key": key::SEQ, "range": { "lt": seq } }] })
        };
        let guard = json!({ "should": self.changes.iter().map(older).collect::<Vec<_>>() });
        let mut body = self.body;
        body.extend(format!("],\"update_filter\":{guard}}}").into_bytes());
        body
    }
}
