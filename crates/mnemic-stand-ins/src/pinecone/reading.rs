//! Finding, fetching and listing vectors. Not here: writing them (`writing`).

use std::sync::Arc;

use axum::{
    Json,
    body::{Bytes, HttpBody},
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    UnusedValues,
    data::{Answer, Asked, MOST_VECTORS, Told, after, filter_of, paginate, read, told},
    failure::Rpc,
    scope::{Index, named},
    store::{Record, Vectors, score},
};

/// Bytes of one answer to a query.
const MOST_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Matches of one query.
const MOST_MATCHES: usize = 10_000;

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

pub(super) async fn query(State(index): State<Arc<Index>>, headers: HeaderMap, body: Bytes) -> Answer {
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
    let passes = |record: &Record| {
        filter.as_ref().is_none_or(|filter| filter.passes(record.metadata.as_ref(), habits.missing_is_other))
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
    if response.body().size_hint().exact().is_some_and(|size| size > MOST_ANSWER_BYTES as u64) {
        return Err(Rpc::Status(StatusCode::BAD_REQUEST, 11, "The result exceeds the maximum size of 4MB".to_owned()));
    }
    Ok(response)
}

pub(super) async fn fetch(State(index): State<Arc<Index>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Answer {
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

pub(super) async fn fetch_by_metadata(State(index): State<Arc<Index>>, headers: HeaderMap, body: Bytes) -> Answer {
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
    let passes = |record: &Record| filter.passes(record.metadata.as_ref(), habits.missing_is_other);
    let after = after(body.pagination_token.as_deref())?;
    let mut left = shown.iter().filter(|(id, _)| after.as_ref().is_none_or(|after| *id > after));
    let page: Vec<_> = left.by_ref().filter(|(_, record)| passes(record)).take(limit as usize).collect();
    let more = left.any(|(_, record)| passes(record));
    let vectors: Map<String, Value> = page.iter().map(|(id, record)| ((*id).clone(), whole(id, record))).collect();
    let mut answer = json!({"vectors": vectors, "namespace": habits.shown_name(&name), "usage": {"readUnits": 1}});
    paginate(&mut answer, page.last().filter(|_| more).map(|(id, _)| id.as_str()));
    Ok(Json(answer).into_response())
}

pub(super) async fn list(State(index): State<Arc<Index>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Answer {
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

fn whole(id: &str, record: &Record) -> Value {
    let mut vector = json!({"id": id, "values": record.values});
    if let (Some(vector), Some(metadata)) = (vector.as_object_mut(), &record.metadata) {
        vector.insert("metadata".to_owned(), json!(metadata));
    }
    vector
}
