//! The bodies that are sent to an index and the answers that come back. Not here: what they are for.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use mnemic_core::{Error, Result};
use mnemic_http::{Answer, Call, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use super::{digits, held::Meta};

/// Bytes of one request to write, below the 2 MB that are taken.
pub(super) const MOST_BYTES: usize = 1_900_000;
/// Vectors of one request to write, and ids of one to remove.
pub(super) const MOST_VECTORS: usize = 1_000;
/// Matches of one query.
pub(super) const MOST_MATCHES: usize = 10_000;
/// Ids of one page of a listing.
pub(super) const MOST_LISTED: usize = 100;
/// Bytes of a query beside its vector, mostly.
const REST_BYTES: usize = 512;
/// Bytes of the ids of one fetch, which stand in its address.
const MOST_ADDRESS: usize = 6_000;

/// One request to an index.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) path: Cow<'a, str>,
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) json: Option<Bytes>,
}

impl<'a> Ask<'a> {
    pub(super) fn post(path: &'a str, body: Bytes) -> Self {
        Self { method: Method::Post, path: path.into(), query: &[], json: Some(body) }
    }

    pub(super) fn get(path: impl Into<Cow<'a, str>>, query: &'a [(&'a str, &'a str)]) -> Self {
        Self { method: Method::Get, path: path.into(), query, json: None }
    }

    pub(super) fn call(&self) -> Call<'_> {
        Call { method: self.method, path: &self.path, query: self.query, json: self.json.clone() }
    }
}

/// One vector to write. Components are written as they are, in the fewest digits that read back as the same `f32`.
#[derive(Serialize)]
pub(super) struct Vector<'a> {
    pub(super) id: String,
    pub(super) values: Cow<'a, [f32]>,
    pub(super) metadata: BTreeMap<String, Meta>,
}

/// Components that the service takes: it refuses a vector whose components are all below 1e-8, and sums of squares must not overflow.
/// A multiple by a power of two has the same direction, to the bit.
pub(super) fn sendable(components: &[f32]) -> Cow<'_, [f32]> {
    let largest = components.iter().fold(0.0f32, |most, component| most.max(component.abs()));
    if (1e-4..=1e4).contains(&largest) || largest == 0.0 {
        return Cow::Borrowed(components);
    }
    let by = 2.0f64.powi(-(f64::from(largest).log2().floor() as i32));
    components.iter().map(|component| (f64::from(*component) * by) as f32).collect()
}

/// Bodies that write `vectors`, each within the limits of one request.
pub(super) fn upserts(namespace: &str, vectors: &[Vector<'_>]) -> Result<Vec<Batch>> {
    let tail = format!("],\"namespace\":{}}}", serde_json::to_string(namespace).map_err(unwritable)?);
    let mut batches: Vec<Batch> = Vec::new();
    let mut one = Vec::new();
    for vector in vectors {
        one.clear();
        serde_json::to_writer(&mut one, vector).map_err(unwritable)?;
        let fits = |batch: &&mut Batch| {
            batch.starts.len() < MOST_VECTORS && batch.body.len() + one.len() + tail.len() < MOST_BYTES
        };
        match batches.last_mut().filter(fits) {
            Some(batch) => batch.push(&one),
            None => batches.push(Batch::of(&one)),
        }
    }
    for batch in &mut batches {
        batch.tail.clone_from(&tail);
    }
    Ok(batches)
}

/// The bodies of some vectors, which can be sent at once or in halves.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    body: Vec<u8>,
    /// Where each vector begins.
    starts: Vec<usize>,
    tail: String,
}

impl Batch {
    const HEAD: &'static [u8] = b"{\"vectors\":[";

    fn of(vector: &[u8]) -> Self {
        let mut batch = Self { body: Self::HEAD.to_vec(), starts: Vec::new(), tail: String::new() };
        batch.push(vector);
        batch
    }

    fn push(&mut self, vector: &[u8]) {
        if !self.starts.is_empty() {
            self.body.push(b',');
        }
        self.starts.push(self.body.len());
        self.body.extend_from_slice(vector);
    }

    /// How many vectors it holds.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The whole body.
    pub(super) fn body(&self) -> Bytes {
        let mut body = Vec::with_capacity(self.body.len() + self.tail.len());
        body.extend_from_slice(&self.body);
        body.extend_from_slice(self.tail.as_bytes());
        Bytes::from(body)
    }

    /// Its halves; `None` for a single vector.
    pub(super) fn halves(&self) -> Option<[Self; 2]> {
        let middle = self.starts.len() / 2;
        let cut = *self.starts.get(middle).filter(|_| middle > 0)?;
        let part = |bytes: &[u8], starts: &[usize], shift: usize| {
            let mut body = Self::HEAD.to_vec();
            body.extend_from_slice(bytes);
            let starts = starts.iter().map(|start| start - shift).collect();
            Self { body, starts, tail: self.tail.clone() }
        };
        let first = part(self.body.get(Self::HEAD.len()..cut - 1)?, self.starts.get(..middle)?, 0);
        let second = part(self.body.get(cut..)?, self.starts.get(middle..)?, cut - Self::HEAD.len());
        Some([first, second])
    }
}

/// A query but for its vector.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Query<'a> {
    pub(super) namespace: &'a str,
    pub(super) top_k: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filter: Option<&'a Value>,
    pub(super) include_values: bool,
    pub(super) include_metadata: bool,
}

impl Query<'_> {
    /// The body of the query for a vector.
    pub(super) fn body(&self, vector: &[f32]) -> Result<Bytes> {
        let mut body = Vec::with_capacity(REST_BYTES + digits::MOST_BYTES * vector.len());
        body.extend_from_slice(b"{\"vector\":");
        digits::fractions(vector, &mut body);
        let rest = body.len();
        serde_json::to_writer(&mut body, self).map_err(unwritable)?;
        // What opened an object of its own goes on with this one.
        if let Some(open) = body.get_mut(rest) {
            *open = b',';
        }
        Ok(Bytes::from(body))
    }
}

/// A removal by ids, or of everything.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delete<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ids: Option<&'a [String]>,
    #[serde(rename = "deleteAll", skip_serializing_if = "Option::is_none")]
    pub(super) everything: Option<bool>,
    pub(super) namespace: &'a str,
}

pub(super) fn body(value: &impl Serialize) -> Result<Bytes> {
    Ok(Bytes::from(serde_json::to_vec(value).map_err(unwritable)?))
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::bug("a request to Pinecone cannot be written").with_source(error)
}

/// One match. Everything may be missing or of another kind: answers are believed as little as anybody's.
#[derive(Debug, Deserialize)]
pub(super) struct Match<'a> {
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) score: Option<Value>,
    /// Most of it is of no use to most queries.
    #[serde(default, borrow)]
    pub(super) metadata: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Matches<'a> {
    #[serde(default, borrow)]
    pub(super) matches: Option<Vec<Match<'a>>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    #[serde(default)]
    pub(super) vectors: Option<Vec<ListedId>>,
    #[serde(default)]
    pub(super) pagination: Option<Pagination>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ListedId {
    pub(super) id: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Pagination {
    #[serde(default)]
    pub(super) next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Fetched {
    #[serde(default)]
    pub(super) vectors: Option<BTreeMap<String, FetchedVector>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FetchedVector {
    #[serde(default)]
    pub(super) metadata: Option<Map<String, Value>>,
}

/// A namespace as the service describes it; counts are numbers or text.
#[derive(Debug, Deserialize)]
pub(super) struct Counted {
    #[serde(default)]
    pub(super) record_count: Value,
    #[serde(default)]
    pub(super) size_bytes: Value,
}

/// A count, however it is written.
pub(super) fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The place in the namespace's log that a header of an answer tells, by its new or its old name.
pub(super) fn written_lsn(answer: &Answer) -> Option<u64> {
    lsn(answer, ["x-pinecone-request-lsn", "x-pinecone-lsn-committed"])
}

/// The place up to which everything shows.
pub(super) fn indexed_lsn(answer: &Answer) -> Option<u64> {
    lsn(answer, ["x-pinecone-max-indexed-lsn", "x-pinecone-lsn-reconciled"])
}

fn lsn(answer: &Answer, names: [&str; 2]) -> Option<u64> {
    names.into_iter().find_map(|name| answer.header(name)?.trim().parse().ok())
}

/// Groups ids for fetches: at most 100, and no longer an address than servers take.
pub(super) fn fetchable(ids: &[String]) -> Vec<&[String]> {
    let mut groups = Vec::new();
    let (mut begin, mut size) = (0, 0);
    for (at, id) in ids.iter().enumerate() {
        let plain = id.bytes().filter(u8::is_ascii_alphanumeric).count();
        let escaped = "ids=&".len() + plain + 3 * (id.len() - plain);
        if at > begin && (size + escaped > MOST_ADDRESS || at - begin == MOST_LISTED) {
            groups.extend(ids.get(begin..at));
            (begin, size) = (at, 0);
        }
        size += escaped;
    }
    groups.extend(ids.get(begin..).filter(|rest| !rest.is_empty()));
    groups
}
