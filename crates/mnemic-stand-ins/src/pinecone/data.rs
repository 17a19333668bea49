//! The data plane of one index: writing, finding, reading, listing and removing vectors. Not here: namespaces as such (`namespaces`).

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    LsnHeaders, UnusedValues,
    failure::Rpc,
    filter::Filter,
    habits::Set,
    metadata::{self, Metadata},
    namespaces,
    scope::{Index, named},
    store::{Record, Vectors, Write, score},
};
use crate::transcript::unescaped;

/// Bytes of one request to write.
const MOST_REQUEST_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of one answer to a query.
const MOST_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Vectors of one write, ids of one fetch or removal.
const MOST_VECTORS: usize = 1_000;
/// Matches of one query.
const MOST_MATCHES: usize = 10_000;
/// A component below this is as good as zero.
const NOTHING: f32 = 1e-8;

pub(super) type Answer = Result<Response, Rpc>;

pub(super) fn router(index: Arc<Index>) -> Router {
    Router::new()
        .route("/vectors/upsert", post(upsert))
        .route("/query", post(query))
        .route("/vectors/fetch", get(fetch))
        .route("/vectors/fetch_by_metadata", post(fetch_by_metadata))
        .route("/vectors/update", post(update))
        .route("/vectors/delete", post(delete))
        .route("/vectors/list", get(list))
        .route("/describe_index_stats", post(namespaces::stats))
        .route("/namespaces", get(namespaces::list).post(namespaces::create))
        .route("/namespaces/{namespace}", get(namespaces::describe).delete(namespaces::delete))
        .layer(DefaultBodyLimit::disable())
        .with_state(index)
}

#[derive(Deserialize)]
struct UpsertBody {
    vectors: Vec<Vector>,
    namespace: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    id: String,
    values: Option<Vec<f32>>,
    sparse_values: Option<Value>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueryBody {
    namespace: Option<String>,
    top_k: i64,
    filter: Option<Value>,
    vector: Option<Vec<f32>>,
    id: Option<String>,
    sparse_vector: Option<Value>,
    #[serde(default)]
    include_values: bool,
    #[serde(default)]
    include_metadata: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FetchBody {
    namespace: Option<String>,
    filter: Option<Value>,
    limit: Option<i64>,
    pagination_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateBody {
    id: Option<String>,
    values: Option<Vec<f32>>,
    set_metadata: Option<Metadata>,
    namespace: Option<String>,
    filter: Option<Value>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeleteBody {
    ids: Option<Vec<String>>,
    #[serde(default)]
    delete_all: bool,
    namespace: Option<String>,
    filter: Option<Value>,
}

async fn upsert(State(index): State<Arc<Index>>, headers: HeaderMap, body: Bytes) -> Answer {
    index.admit(&headers)?;
    let habits = index.habits.now();
    if body.len() > MOST_REQUEST_BYTES {
        let megabytes = body.len().div_ceil(1024 * 1024);
        let message = format!("Request size {megabytes}MB exceeds the maximum supported size of 2MB");
        let status = if habits.too_large_is_413 { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
        return Err(Rpc::Status(status, 11, message));
    }
    let body: UpsertBody = read(&body)?;
    if body.vectors.is_empty() || body.vectors.len() > MOST_VECTORS {
        return Err(Rpc::invalid(format!("vectors must number 1 to {MOST_VECTORS}, found {}", body.vectors.len())));
    }
    let count = body.vectors.len();
    let mut writes = Vec::with_capacity(count);
    for vector in body.vectors {
        check_id(&vector.id)?;
        if vector.sparse_values.is_some_and(|sparse| !sparse.is_null()) {
            return Err(Rpc::invalid("Index configuration does not support sparse values"));
        }
        let values = vector.values.unwrap_or_default();
        index.check_vector(&values)?;
        let metadata = vector.metadata.map(|metadata| metadata::checked(metadata, habits.nulls)).transpose()?;
        writes.push(Write::Put(vector.id, Arc::new(Record { values, metadata })));
    }
    let name = named(body.namespace.as_deref())?;
    let lsn = index.spaces().entry(name).or_default().write(writes, &habits);
    Ok(told(json!({ "upsertedCount": count }), &habits, Told::Written(lsn)))
}

async fn query(State(index): State<Arc<Index>>, headers: HeaderMap, body: Bytes) -> Answer {
    index.admit(&headers)?;
    let habits = index.habits.now();
    let body: QueryBody = read(&body)?;
    if !(1..=MOST_MATCHES as i64).contains(&body.top_k) {
        return Err(Rpc::invalid(format!("topK must be between 1 and {MOST_MATCHES}, found {}", body.top_k)));
    }
    if body.sparse_vector.is_some_and(|sparse| !sparse.is_null()) {
        return Err(Rpc::invalid("Index configuration does not support sparse values"));
    }
    let filter = filter_of(body.filter.as_ref())?;
    let name = named(body.namespace.as_deref())?;
    let mut spaces = index.spaces();
    let nothing = Vectors::new();
    let (shown, indexed) = match spaces.get_mut(&name).filter(|space| space.exists) {
        Some(space) => space.shown(&habits),
        None if habits.missing_namespace_everywhere => return Err(Rpc::missing_namespace()),
        None => (&nothing, 0),
    };
    let wanted = match (body.vector, body.id) {
        (Some(_), Some(_)) => return Err(Rpc::invalid("Only one of 'id' and 'vector' can be given")),
        (None, None) => return Err(Rpc::invalid("One of 'id' and 'vector' must be given")),
        (Some(vector), None) => {
            index.check_dimension(&vector)?;
            Some(vector)
        }
        (None, Some(id)) => shown.get(&id).map(|record| record.values.clone()),
    };
    let metadata = |record: &Record| record.metadata.clone().unwrap_or_default();
    let passes = |record: &Record| {
        filter.as_ref().is_none_or(|filter| filter.passes(&metadata(record), habits.missing_is_other))
    };
    let mut found: Vec<(f32, &String, &Record)> = wanted
        .iter()
        .flat_map(|wanted| shown.iter().map(move |held| (wanted, held)))
        .filter(|(_, (_, record))| passes(record))
        .map(|(wanted, (id, record))| (score(&index.metric, wanted, &record.values), id, &**record))
        .collect();
    // Equal scores in no order that a client could count on.
    let far = index.metric == "euclidean";
    found.sort_by(|a, b| if far { a.0.total_cmp(&b.0) } else { b.0.total_cmp(&a.0) }.then(b.1.cmp(a.1)));
    found.truncate(body.top_k as usize);
    let matches = found.into_iter().map(|(score, id, record)| {
        let mut found = Map::from_iter([("id".to_owned(), json!(id)), ("score".to_owned(), json!(score))]);
        let unused = match habits.unused_values {
            UnusedValues::Empty => Some(json!([])),
            UnusedValues::Absent => None,
            UnusedValues::Null => Some(Value::Null),
        };
        let values = if body.include_values { Some(json!(record.values)) } else { unused };
        found.extend(values.map(|values| ("values".to_owned(), values)));
        let metadata = record.metadata.as_ref().filter(|_| body.include_metadata);
        found.extend(metadata.map(|metadata| ("metadata".to_owned(), json!(metadata))));
        Value::Object(found)
    });
    let answer = json!({
        "matches": matches.collect::<Value>(), "namespace": habits.shown_name(&name), "usage": {"readUnits": 1},
    });
    let response = told(answer, &habits, Told::Indexed(indexed));
    bounded(response)
}

/// Refuses an answer that is larger than the service sends.
fn bounded(response: Response) -> Answer {
    use axum::body::HttpBody;
    if response.body().size_hint().exact().is_some_and(|size| size > MOST_ANSWER_BYTES as u64) {
        return Err(Rpc::Status(StatusCode::BAD_REQUEST, 11, "The result exceeds the maximum size of 4MB".to_owned()));
    }
    Ok(response)
}

async fn fetch(State(index): State<Arc<Index>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Answer {
    index.admit(&headers)?;
    let habits = index.habits.now();
    let asked = Asked::read(query.as_deref());
    let ids = asked.all("ids");
    if ids.is_empty() || ids.len() > MOST_VECTORS {
        return Err(Rpc::invalid(format!("ids must number 1 to {MOST_VECTORS}, found {}", ids.len())));
    }
    let name = named(asked.one("namespace"))?;
    let mut spaces = index.spaces();
    let nothing = Vectors::new();
    let held = match spaces.get_mut(&name).filter(|space| space.exists) {
        Some(space) if habits.fetch_lags => space.shown(&habits).0,
        Some(space) => space.written(),
        None if habits.missing_namespace_everywhere => return Err(Rpc::missing_namespace()),
        None => &nothing,
    };
    let found: Map<String, Value> =
        ids.iter().filter_map(|id| held.get(*id).map(|record| ((*id).to_owned(), whole(id, record)))).collect();
    Ok(Json(json!({"vectors": found, "namespace": habits.shown_name(&name), "usage": {"readUnits": 1}}))
        .into_response())
}

async fn fetch_by_metadata(State(index): State<Arc<Index>>, headers: HeaderMap, body: Bytes) -> Answer {
    index.admit(&headers)?;
    let habits = index.habits.now();
    let body: FetchBody = read(&body)?;
    let filter = filter_of(body.filter.as_ref())?;
    let filter = filter.ok_or_else(|| Rpc::invalid("Empty filter provided for fetch by metadata request"))?;
    let limit = body.limit.unwrap_or(100);
    if !(1..=10_000).contains(&limit) {
        return Err(Rpc::invalid(format!("limit must be between 1 and 10000, found {limit}")));
    }
    let name = named(body.namespace.as_deref())?;
    let mut spaces = index.spaces();
    let nothing = Vectors::new();
    let shown = match spaces.get_mut(&name).filter(|space| space.exists) {
        Some(space) => space.shown(&habits).0,
        None if habits.missing_namespace_everywhere => return Err(Rpc::missing_namespace()),
        None => &nothing,
    };
    let passes = |record: &Record| filter.passes(&record.metadata.clone().unwrap_or_default(), habits.missing_is_other);
    let after = after(body.pagination_token.as_deref())?;
    let mut left = shown.iter().filter(|(id, _)| after.as_ref().is_none_or(|after| *id > after));
    let page: Vec<_> = left.by_ref().filter(|(_, record)| passes(record)).take(limit as usize).collect();
    let more = left.any(|(_, record)| passes(record));
    let vectors: Map<String, Value> = page.iter().map(|(id, record)| ((*id).clone(), whole(id, record))).collect();
    let mut answer = json!({"vectors": vectors, "namespace": habits.shown_name(&name), "usage": {"readUnits": 1}});
    paginate(&mut answer, page.last().filter(|_| more).map(|(id, _)| id.as_str()));
    Ok(Json(answer).into_response())
}

async fn update(State(index): State<Arc<Index>>, headers: HeaderMap, body: Bytes) -> Answer {
    index.admit(&headers)?;
    let habits = index.habits.now();
    let body: UpdateBody = read(&body)?;
    let filter = filter_of(body.filter.as_ref())?;
    if body.filter.is_some() && filter.is_none() {
        return Err(Rpc::invalid("Update with empty metadata filter is not allowed"));
    }
    let name = named(body.namespace.as_deref())?;
    let mut spaces = index.spaces();
    let Some(space) = spaces.get_mut(&name).filter(|space| space.exists) else {
        return Err(Rpc::missing_namespace());
    };
    let chosen: Vec<(String, Arc<Record>)> = match (&body.id, &filter) {
        (Some(_), Some(_)) | (None, None) => {
            return Err(Rpc::invalid("Exactly one of 'id' and 'filter' must be given"));
        }
        // A vector that is not there is passed over in silence.
        (Some(id), None) => space.written().get_key_value(id).into_iter().map(owned).collect(),
        (None, Some(filter)) => {
            let passes =
                |record: &Record| filter.passes(&record.metadata.clone().unwrap_or_default(), habits.missing_is_other);
            space.written().iter().filter(|(_, record)| passes(record)).map(owned).collect()
        }
    };
    if let Some(values) = &body.values {
        index.check_vector(values)?;
    }
    let count = chosen.len();
    let mut writes = Vec::with_capacity(count);
    for (id, record) in chosen {
        let mut record = (*record).clone();
        if let Some(values) = &body.values {
            record.values.clone_from(values);
        }
        if let Some(set) = &body.set_metadata {
            let mut metadata = record.metadata.unwrap_or_default();
            metadata.extend(set.clone());
            record.metadata = Some(metadata::checked(metadata, habits.nulls)?);
        }
        writes.push(Write::Put(id, Arc::new(record)));
    }
    let answer = if filter.is_some() { json!({ "matchedRecords": count }) } else { json!({}) };
    if body.dry_run {
        return Ok(Json(answer).into_response());
    }
    let lsn = space.write(writes, &habits);
    Ok(told(answer, &habits, Told::Written(lsn)))
}

async fn delete(State(index): State<Arc<Index>>, headers: HeaderMap, body: Bytes) -> Answer {
    index.admit(&headers)?;
    let habits = index.habits.now();
    let body: DeleteBody = read(&body)?;
    let filter = filter_of(body.filter.as_ref())?;
    if body.filter.is_some() && filter.is_none() {
        return Err(Rpc::invalid("Delete with empty metadata filter is not allowed"));
    }
    let name = named(body.namespace.as_deref())?;
    let mut spaces = index.spaces();
    let Some(space) = spaces.get_mut(&name).filter(|space| space.exists) else {
        return Err(Rpc::missing_namespace());
    };
    let writes = if body.delete_all {
        vec![Write::Clear]
    } else if let Some(filter) = filter {
        // The trap: ids beside a filter are ignored.
        let passes =
            |record: &Record| filter.passes(&record.metadata.clone().unwrap_or_default(), habits.missing_is_other);
        space.written().iter().filter(|(_, record)| passes(record)).map(|(id, _)| Write::Remove(id.clone())).collect()
    } else {
        let ids = body.ids.filter(|ids| !ids.is_empty());
        let ids = ids.ok_or_else(|| Rpc::invalid("One of 'ids', 'filter' and 'deleteAll' must be given"))?;
        if ids.len() > MOST_VECTORS {
            return Err(Rpc::invalid(format!("ids must number at most {MOST_VECTORS}, found {}", ids.len())));
        }
        ids.into_iter().map(Write::Remove).collect()
    };
    let lsn = space.write(writes, &habits);
    Ok(told(json!({}), &habits, Told::Written(lsn)))
}

async fn list(State(index): State<Arc<Index>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Answer {
    index.admit(&headers)?;
    let habits = index.habits.now();
    let asked = Asked::read(query.as_deref());
    let limit = asked.limit()?;
    let prefix = asked.one("prefix").unwrap_or_default();
    let after = after(asked.one("paginationToken"))?;
    let name = named(asked.one("namespace"))?;
    let mut spaces = index.spaces();
    let nothing = Vectors::new();
    let shown = match spaces.get_mut(&name).filter(|space| space.exists) {
        Some(space) => space.shown(&habits).0,
        None if habits.missing_namespace_everywhere => return Err(Rpc::missing_namespace()),
        None => &nothing,
    };
    let fits = |id: &&String| id.starts_with(prefix) && after.as_ref().is_none_or(|after| *id > after);
    let mut left = shown.keys().filter(fits);
    let page: Vec<&String> = left.by_ref().take(limit).collect();
    let ids: Vec<Value> = page.iter().map(|id| json!({ "id": id })).collect();
    let mut answer = json!({"vectors": ids, "namespace": habits.shown_name(&name), "usage": {"readUnits": 1}});
    paginate(&mut answer, page.last().filter(|_| left.next().is_some()).map(|id| id.as_str()));
    Ok(Json(answer).into_response())
}

impl Index {
    fn check_dimension(&self, values: &[f32]) -> Result<(), Rpc> {
        let (found, wanted) = (values.len(), self.dimension);
        if found == wanted {
            return Ok(());
        }
        Err(Rpc::invalid(format!("Vector dimension {found} does not match the dimension of the index {wanted}")))
    }

    fn check_vector(&self, values: &[f32]) -> Result<(), Rpc> {
        self.check_dimension(values)?;
        if values.iter().all(|value| value.abs() < NOTHING) {
            return Err(Rpc::invalid("Dense vectors must contain at least one non-zero value"));
        }
        Ok(())
    }
}

/// What the headers of an answer tell.
enum Told {
    Written(u64),
    Indexed(u64),
}

fn told(answer: Value, habits: &Set, told: Told) -> Response {
    let mut response = Json(answer).into_response();
    let (name, lsn) = match (habits.lsn, told) {
        (LsnHeaders::Absent, _) => return response,
        (LsnHeaders::New, Told::Written(lsn)) => ("x-pinecone-request-lsn", lsn),
        (LsnHeaders::New, Told::Indexed(lsn)) => ("x-pinecone-max-indexed-lsn", lsn),
        (LsnHeaders::Old, Told::Written(lsn)) => ("x-pinecone-lsn-committed", lsn),
        (LsnHeaders::Old, Told::Indexed(lsn)) => ("x-pinecone-lsn-reconciled", lsn),
    };
    response.headers_mut().insert(name, HeaderValue::from(lsn));
    response
}

impl Set {
    /// What answers call a namespace.
    pub(super) fn shown_name<'a>(&self, name: &'a str) -> &'a str {
        if name.is_empty() { self.default_namespace } else { name }
    }
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Rpc> {
    serde_json::from_slice(body).map_err(|error| Rpc::invalid(format!("the body cannot be read: {error}")))
}

fn filter_of(filter: Option<&Value>) -> Result<Option<Filter>, Rpc> {
    let given = filter.filter(|filter| !filter.is_null() && filter.as_object().is_none_or(|filter| !filter.is_empty()));
    given.map(Filter::parse).transpose()
}

fn owned((id, record): (&String, &Arc<Record>)) -> (String, Arc<Record>) {
    (id.clone(), Arc::clone(record))
}

fn whole(id: &str, record: &Record) -> Value {
    let mut vector = json!({"id": id, "values": record.values});
    if let (Some(vector), Some(metadata)) = (vector.as_object_mut(), &record.metadata) {
        vector.insert("metadata".to_owned(), json!(metadata));
    }
    vector
}

fn check_id(id: &str) -> Result<(), Rpc> {
    if (1..=512).contains(&id.len()) && id.is_ascii() && !id.contains('\0') {
        return Ok(());
    }
    Err(Rpc::invalid("Vector ID must be ASCII of 1 to 512 characters"))
}

/// The query of a request that has one.
pub(super) struct Asked(BTreeMap<String, Vec<String>>);

impl Asked {
    pub(super) fn read(query: Option<&str>) -> Self {
        let mut asked = BTreeMap::<String, Vec<String>>::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            asked.entry(unescaped(key)).or_default().push(unescaped(value));
        }
        Self(asked)
    }

    fn all(&self, key: &str) -> Vec<&str> {
        self.0.get(key).map(|values| values.iter().map(String::as_str).collect()).unwrap_or_default()
    }

    pub(super) fn one(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|values| values.first()).map(String::as_str)
    }

    /// The limit of a listing.
    pub(super) fn limit(&self) -> Result<usize, Rpc> {
        let Some(limit) = self.one("limit") else { return Ok(100) };
        let fits = limit.parse().ok().filter(|limit| (1..=100).contains(limit));
        fits.ok_or_else(|| Rpc::invalid(format!("limit must be between 1 and 100, found {limit}")))
    }
}

/// The last name of the page before, from a token.
pub(super) fn after(token: Option<&str>) -> Result<Option<String>, Rpc> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let name = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    name.map(Some).ok_or_else(|| Rpc::invalid("Invalid pagination token"))
}

/// Adds the token of the next page, if there is one.
pub(super) fn paginate(answer: &mut Value, last: Option<&str>) {
    if let (Some(answer), Some(last)) = (answer.as_object_mut(), last) {
        answer.insert("pagination".to_owned(), json!({ "next": URL_SAFE_NO_PAD.encode(last) }));
    }
}
