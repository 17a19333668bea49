//! Namespaces as things of their own: counting, listing, making, removing. Not here: what is in them (`data`).

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    data::{Answer, Asked, after, paginate, read},
    failure::Rpc,
    habits::Set,
    scope::{Api, Index, named},
    store::Space,
};

#[derive(Deserialize)]
struct CreateBody {
    name: String,
    schema: Option<Value>,
}

#[derive(Deserialize)]
struct StatsBody {
    filter: Option<Value>,
}

pub(super) async fn stats(State(index): State<Arc<Index>>, headers: HeaderMap, body: Bytes) -> Answer {
    index.admit(&headers)?;
    let body: StatsBody = if body.is_empty() { StatsBody { filter: None } } else { read(&body)? };
    if body.filter.is_some_and(|filter| !filter.is_null()) {
        return Err(Rpc::invalid("Serverless indexes do not support describing index stats with metadata filtering"));
    }
    let habits = index.habits.now();
    let mut spaces = index.spaces();
    let mut total = 0;
    let mut counts = Map::new();
    for (name, space) in spaces.iter_mut().filter(|(_, space)| space.exists) {
        let count = space.shown(&habits).0.len();
        total += count;
        counts.insert(habits.shown_name(name).to_owned(), json!({ "vectorCount": count }));
    }
    let answer = json!({
        "namespaces": counts,
        "dimension": index.dimension,
        "indexFullness": 0,
        "totalVectorCount": total,
        "metric": index.metric,
        "vectorType": "dense",
    });
    Ok(Json(answer).into_response())
}

pub(super) async fn list(State(index): State<Arc<Index>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Answer {
    let api = index.admit(&headers)?;
    let habits = index.habits.now();
    let asked = Asked::read(query.as_deref());
    let limit = asked.limit()?;
    let after = after(asked.one("paginationToken"))?;
    let prefix = asked.one("prefix").unwrap_or_default();
    let mut spaces = index.spaces();
    let there: Vec<(&String, &mut Space)> =
        spaces.iter_mut().filter(|(name, space)| space.exists && habits.shown_name(name).starts_with(prefix)).collect();
    let total = there.len();
    let mut left = there.into_iter().filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after));
    let page: Vec<(&String, Value)> =
        left.by_ref().take(limit).map(|(name, space)| (name, description(name, space, api, &habits))).collect();
    let last = page.last().map(|(name, _)| name.as_str()).filter(|_| left.next().is_some());
    let mut answer = json!({ "namespaces": page.iter().map(|(_, description)| description).collect::<Vec<_>>(), "total_count": total });
    paginate(&mut answer, last);
    Ok(Json(answer).into_response())
}

pub(super) async fn create(State(index): State<Arc<Index>>, headers: HeaderMap, body: Bytes) -> Answer {
    let api = index.admit(&headers)?;
    let habits = index.habits.now();
    let body: CreateBody = read(&body)?;
    if body.schema.is_some_and(|schema| !schema.is_null()) {
        return Err(Rpc::invalid("this stand-in keeps namespaces without a schema only"));
    }
    let name = named(Some(&body.name))?;
    if name.is_empty() {
        return Err(Rpc::invalid("The default namespace cannot be created"));
    }
    let mut spaces = index.spaces();
    let space = spaces.entry(name.clone()).or_default();
    if space.exists {
        return Err(Rpc::Status(StatusCode::CONFLICT, 6, "Namespace already exists".to_owned()));
    }
    space.exists = true;
    Ok(Json(description(&name, space, api, &habits)).into_response())
}

pub(super) async fn describe(State(index): State<Arc<Index>>, headers: HeaderMap, Path(name): Path<String>) -> Answer {
    let api = index.admit(&headers)?;
    let habits = index.habits.now();
    let name = named(Some(&name))?;
    let mut spaces = index.spaces();
    let space = spaces.get_mut(&name).filter(|space| space.exists).ok_or_else(Rpc::missing_namespace)?;
    Ok(Json(description(&name, space, api, &habits)).into_response())
}

pub(super) async fn delete(State(index): State<Arc<Index>>, headers: HeaderMap, Path(name): Path<String>) -> Answer {
    index.admit(&headers)?;
    let habits = index.habits.now();
    let name = named(Some(&name))?;
    let mut spaces = index.spaces();
    let space = spaces.get_mut(&name).filter(|space| space.exists).ok_or_else(Rpc::missing_namespace)?;
    space.remove(&habits);
    Ok(Json(json!({})).into_response())
}

/// Counts are text of decimal digits since API 2026-07.
fn description(name: &str, space: &mut Space, api: Api, habits: &Set) -> Value {
    let (vectors, _) = space.shown(habits);
    let name = habits.shown_name(name);
    if api >= Api::V2026_07 {
        let bytes: usize = vectors.values().map(|record| record.values.len() * 4).sum();
        json!({"name": name, "record_count": vectors.len().to_string(), "size_bytes": bytes.to_string()})
    } else {
        json!({"name": name, "record_count": vectors.len()})
    }
}
