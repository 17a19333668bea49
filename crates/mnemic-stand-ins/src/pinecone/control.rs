//! The control plane: making, describing, changing and deleting indexes, in the shapes of every supported API. Not here: their data.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Map, Value, json};

use super::{
    Habits, data,
    failure::Refusal,
    scope::{self, Api, Index},
};
use crate::{Knobs, Running, Transcript, server};

/// Every index of the project.
#[derive(Debug)]
pub(super) struct World {
    habits: Habits,
    knobs: Knobs,
    transcript: Transcript,
    indexes: Mutex<BTreeMap<String, Made>>,
}

/// One index as the control plane sees it.
#[derive(Debug)]
struct Made {
    plan: Plan,
    ready: Instant,
    running: Running,
}

/// What an index is made of.
#[derive(Clone, Debug, PartialEq)]
struct Plan {
    name: String,
    dimension: usize,
    metric: String,
    cloud: String,
    region: String,
    protected: bool,
    tags: BTreeMap<String, String>,
}

impl World {
    pub(super) fn new(habits: Habits, knobs: Knobs, transcript: Transcript) -> Self {
        Self { habits, knobs, transcript, indexes: Mutex::default() }
    }

    fn indexes(&self) -> MutexGuard<'_, BTreeMap<String, Made>> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/indexes", get(list).post(create))
        .route("/indexes/{name}", get(describe).patch(configure).delete(delete))
        .with_state(world)
}

async fn list(State(world): State<Arc<World>>, headers: HeaderMap) -> Result<Response, Refusal> {
    let api = scope::control(&headers, &world.habits)?;
    let indexes: Vec<Value> = world.indexes().values().map(|made| made.model(api)).collect();
    Ok(Json(json!({ "indexes": indexes })).into_response())
}

async fn describe(
    State(world): State<Arc<World>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let api = scope::control(&headers, &world.habits)?;
    let indexes = world.indexes();
    let made = indexes.get(&name).ok_or_else(|| Refusal::unknown_index(&name))?;
    Ok(Json(made.model(api)).into_response())
}

async fn create(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Result<Response, Refusal> {
    let api = scope::control(&headers, &world.habits)?;
    let plan = Plan::read(api, &body)?;
    let habits = world.habits.now();
    let mut indexes = world.indexes();
    if indexes.contains_key(&plan.name) {
        return Err(Refusal::new(StatusCode::CONFLICT, "ALREADY_EXISTS", "Resource already exists."));
    }
    if indexes.len() >= habits.most_indexes {
        let message = format!(
            "This project already contains {} serverless indexes, the maximum per project. Delete indexes or upgrade your plan.",
            indexes.len()
        );
        return Err(Refusal::new(StatusCode::FORBIDDEN, "QUOTA_EXCEEDED", message));
    }
    let ready = Instant::now() + habits.preparing;
    let index = Index {
        dimension: plan.dimension,
        metric: plan.metric.clone(),
        ready,
        habits: world.habits.clone(),
        spaces: Mutex::default(),
    };
    let failed = |error: std::io::Error| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", format!("no port for the index: {error}"))
    };
    let listener = server::listener(0).map_err(failed)?;
    let (knobs, transcript) = (world.knobs.clone(), world.transcript.clone());
    let running = server::start(listener, data::router(Arc::new(index)), knobs, transcript).map_err(failed)?;
    let made = indexes.entry(plan.name.clone()).or_insert(Made { plan, ready, running });
    Ok((StatusCode::CREATED, Json(made.model(api))).into_response())
}

async fn configure(
    State(world): State<Arc<World>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let api = scope::control(&headers, &world.habits)?;
    let wanted: Map<String, Value> = serde_json::from_slice(&body).map_err(Refusal::malformed)?;
    let mut indexes = world.indexes();
    let made = indexes.get_mut(&name).ok_or_else(|| Refusal::unknown_index(&name))?;
    if let Some(protection) = wanted.get("deletion_protection") {
        made.plan.protected = protection_of(Some(protection))?;
    }
    for (key, value) in tags_of(wanted.get("tags"), api)? {
        if value.is_empty() {
            made.plan.tags.remove(&key);
        } else {
            made.plan.tags.insert(key, value);
        }
    }
    Ok((StatusCode::ACCEPTED, Json(made.model(api))).into_response())
}

async fn delete(
    State(world): State<Arc<World>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    scope::control(&headers, &world.habits)?;
    let gone = {
        let mut indexes = world.indexes();
        let made = indexes.get(&name).ok_or_else(|| Refusal::unknown_index(&name))?;
        if made.plan.protected {
            let message = "Deletion protection is enabled for this index. Disable deletion protection before retrying.";
            return Err(Refusal::new(StatusCode::FORBIDDEN, "FORBIDDEN", message));
        }
        indexes.remove(&name)
    };
    // Waits for the index's own server to end.
    let _ended = tokio::task::spawn_blocking(move || drop(gone)).await;
    Ok(StatusCode::ACCEPTED.into_response())
}

impl Made {
    fn model(&self, api: Api) -> Value {
        let plan = &self.plan;
        let ready = Instant::now() >= self.ready;
        let read_capacity = json!({"mode": "OnDemand", "status": {"state": "Ready"}});
        let mut model = json!({
            "name": plan.name,
            "host": self.running.url(),
            "status": {"ready": ready, "state": if ready { "Ready" } else { "Initializing" }},
            "deletion_protection": if plan.protected { "enabled" } else { "disabled" },
            "tags": plan.tags,
        });
        let rest = if api >= Api::V2026_07 {
            json!({
                "schema": {"fields": {"_values": {"type": "dense_vector", "dimension": plan.dimension, "metric": plan.metric}}},
                "deployment": {
                    "deployment_type": "managed", "cloud": plan.cloud, "region": plan.region, "environment": "stand-in",
                },
                "read_capacity": read_capacity,
            })
        } else {
            let serverless = json!({"cloud": plan.cloud, "region": plan.region, "read_capacity": read_capacity});
            json!({
                "dimension": plan.dimension,
                "metric": plan.metric,
                "vector_type": "dense",
                "spec": {"serverless": serverless},
            })
        };
        if let (Some(model), Value::Object(rest)) = (model.as_object_mut(), rest) {
            model.extend(rest);
        }
        model
    }
}

impl Plan {
    fn read(api: Api, body: &[u8]) -> Result<Self, Refusal> {
        let body: Map<String, Value> = serde_json::from_slice(body).map_err(Refusal::malformed)?;
        let known: &[&str] = if api >= Api::V2026_07 {
            &["name", "schema", "deployment", "deletion_protection", "tags", "read_capacity", "cmek_id"]
        } else {
            &["name", "dimension", "metric", "vector_type", "deletion_protection", "tags", "spec", "cmek_id"]
        };
        if let Some(unknown) = body.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Refusal::malformed(format!("unknown field `{unknown}`")));
        }
        let name = text(&body, "name")?;
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty()
            || name.len() > 45
            || !name.bytes().all(legal)
            || name.starts_with('-')
            || name.ends_with('-')
        {
            let rule = "Name must consist of lower case alphanumeric characters or '-', must start and end with an alphanumeric \
                        character, and must be at most 45 characters.";
            return Err(Refusal::invalid(rule));
        }
        let (vector, place) = if api >= Api::V2026_07 { managed(&body)? } else { serverless(&body)? };
        let dimension = vector.get("dimension").and_then(Value::as_u64).unwrap_or_default() as usize;
        if !(1..=20_000).contains(&dimension) {
            return Err(Refusal::invalid("Dimension must be between 1 and 20000."));
        }
        let metric = vector.get("metric").and_then(Value::as_str).unwrap_or("cosine").to_owned();
        if !matches!(metric.as_str(), "cosine" | "dotproduct" | "euclidean") {
            return Err(Refusal::malformed(format!("unknown metric `{metric}`")));
        }
        let at = |key: &str, usual: &str| place.get(key).and_then(Value::as_str).unwrap_or(usual).to_owned();
        let (cloud, region) = (at("cloud", "aws"), at("region", "us-east-1"));
        let regions: HashMap<&str, &[&str]> = HashMap::from([
            ("aws", ["us-east-1", "us-west-2", "eu-west-1"].as_slice()),
            ("gcp", ["us-central1", "europe-west4"].as_slice()),
            ("azure", ["eastus2"].as_slice()),
        ]);
        if !regions.get(cloud.as_str()).is_some_and(|regions| regions.contains(&region.as_str())) {
            let message = format!("Resource cloud: {cloud} region: {region} not found.");
            return Err(Refusal::new(StatusCode::NOT_FOUND, "NOT_FOUND", message));
        }
        Ok(Self {
            name,
            dimension,
            metric,
            cloud,
            region,
            protected: protection_of(body.get("deletion_protection"))?,
            tags: tags_of(body.get("tags"), api)?,
        })
    }
}

/// The vector and the place of an index as API 2026-04 and before say it.
fn serverless(body: &Map<String, Value>) -> Result<(Value, Value), Refusal> {
    if body.get("vector_type").is_some_and(|kind| kind != "dense") {
        return Err(Refusal::invalid("this stand-in keeps dense vectors only"));
    }
    let spec = body.get("spec").ok_or_else(|| Refusal::malformed("missing field `spec`"))?;
    let place =
        spec.get("serverless").ok_or_else(|| Refusal::invalid("this stand-in keeps serverless indexes only"))?;
    for needed in ["cloud", "region"] {
        if !place.get(needed).is_some_and(Value::is_string) {
            return Err(Refusal::malformed(format!("spec.serverless: missing field `{needed}`")));
        }
    }
    let vector = json!({"dimension": body.get("dimension"), "metric": body.get("metric")});
    Ok((vector, place.clone()))
}

/// The same as API 2026-07 says it: only the underscore fields make an index of vectors.
fn managed(body: &Map<String, Value>) -> Result<(Value, Value), Refusal> {
    let fields = body.get("schema").and_then(|schema| schema.get("fields")).and_then(Value::as_object);
    let fields = fields.ok_or_else(|| Refusal::malformed("missing field `schema`"))?;
    if let Some(other) = fields.keys().find(|name| *name != "_values") {
        return Err(Refusal::invalid(format!("this stand-in keeps dense vectors in `_values` only, found `{other}`")));
    }
    let vector = fields.get("_values").ok_or_else(|| Refusal::invalid("schema.fields must not be empty"))?;
    if vector.get("type").and_then(Value::as_str) != Some("dense_vector") {
        return Err(Refusal::invalid("schema.fields._values.type must be dense_vector"));
    }
    Ok((vector.clone(), body.get("deployment").cloned().unwrap_or_default()))
}

fn text(body: &Map<String, Value>, key: &str) -> Result<String, Refusal> {
    let text = body.get(key).and_then(Value::as_str);
    Ok(text.ok_or_else(|| Refusal::malformed(format!("missing field `{key}`")))?.to_owned())
}

fn protection_of(value: Option<&Value>) -> Result<bool, Refusal> {
    match value {
        None | Some(Value::Null) => Ok(false),
        Some(Value::String(word)) if word == "enabled" => Ok(true),
        Some(Value::String(word)) if word == "disabled" => Ok(false),
        Some(other) => Err(Refusal::malformed(format!("deletion_protection: unknown variant {other}"))),
    }
}

fn tags_of(value: Option<&Value>, api: Api) -> Result<BTreeMap<String, String>, Refusal> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(BTreeMap::new()) };
    let tags: BTreeMap<String, String> = serde_json::from_value(value.clone()).map_err(Refusal::malformed)?;
    let printable = |text: &str| api < Api::V2026_07 || text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let fine = |(key, value): (&String, &String)| {
        key.chars().count() <= 80 && value.chars().count() <= 120 && printable(key) && printable(value)
    };
    if tags.len() > 20 || !tags.iter().all(fine) {
        return Err(Refusal::invalid("Tags: at most 20, keys of at most 80 and values of at most 120 characters"));
    }
    Ok(tags)
}
