//! A stand-in for Qdrant: its REST interface as far as one node with dense vectors goes, exact and in memory. Filters, envelopes,
//! errors and strict mode are those of the published description 1.19. Not here: clusters, snapshots, sparse vectors, geography.
//!
//! ```text
//! refusal   envelopes and errors      collection  one collection, its vectors and indexes      id   point ids
//! points    upsert, delete, payloads  query       closeness, fusion, scroll, count             strict  strict mode
//! filter    conditions                path, instant, payload   what conditions and selectors read
//! ```

mod collection;
mod filter;
mod id;
mod instant;
mod path;
mod payload;
mod points;
mod query;
mod refusal;
mod strict;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, Uri},
    response::Response,
};
use serde_json::{Map, Value, json};

use self::{
    collection::Collection,
    id::PointId,
    points::PayloadChange,
    refusal::{Outcome, Refusal, respond, success},
    strict::Purpose,
};
use crate::{Knobs, Running, Transcript, Vendor, server, transcript::unescaped};

/// Bytes of a body that the server reads.
const BODY_BYTES: usize = 32 * 1024 * 1024;

/// What a stand-in is made of.
#[derive(Clone, Debug)]
pub struct StandIn {
    /// The port on 127.0.0.1; 0 for a free one.
    pub port: u16,
    /// The key that every request must carry, where one is set.
    pub api_key: Option<String>,
    /// The version that it says it is.
    pub version: String,
    /// The bounds of strict mode for collections that set none themselves, as a cloud sets them.
    pub strict_mode: Option<Value>,
    /// Exchanges that are remembered; 0 for none.
    pub remembered: usize,
}

impl Default for StandIn {
    fn default() -> Self {
        Self { port: 0, api_key: None, version: "1.19.0".to_owned(), strict_mode: None, remembered: 100_000 }
    }
}

impl StandIn {
    /// Starts it. It stops when the answer is dropped.
    ///
    /// # Errors
    /// If the port is taken or no thread can be started.
    pub fn start(self, knobs: Knobs) -> io::Result<Running> {
        let listener = server::listener(self.port)?;
        let transcript = Transcript::keeping(self.remembered);
        let node = Node { config: self, collections: Mutex::default() };
        let router = Router::new().fallback(answer).with_state(Arc::new(node));
        server::start(listener, router.layer(axum::extract::DefaultBodyLimit::disable()), knobs, transcript)
    }
}

/// Starts one with a free port, no key, and everything remembered.
///
/// # Errors
/// Those of [`StandIn::start`].
pub fn start(knobs: Knobs) -> io::Result<Running> {
    StandIn::default().start(knobs)
}

/// How the command line starts it.
pub const VENDOR: Vendor = Vendor {
    name: "qdrant",
    about: "Qdrant 1.19, one node in memory: collections, filters, dense search",
    default_port: 6333,
    environment: |url| vec![("MNEMIC_QDRANT_URL", url.to_owned()), ("QDRANT_URL", url.to_owned())],
    serve: |port, knobs| StandIn { port, remembered: 0, ..StandIn::default() }.start(knobs),
};

#[derive(Debug)]
struct Node {
    config: StandIn,
    collections: Mutex<BTreeMap<String, Collection>>,
}

async fn answer(State(node): State<Arc<Node>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    node.answer(&method, &uri, &headers, &body).unwrap_or_else(Refusal::into_response)
}

/// What a path names below `/collections/{name}`.
type Segments<'a> = [&'a str];

impl Node {
    fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Outcome<Response> {
        let segments: Vec<String> = uri.path().split('/').filter(|s| !s.is_empty()).map(unescaped).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match (method.as_str(), segments.as_slice()) {
            ("GET", ["healthz" | "livez" | "readyz"]) => {
                return Ok(respond(200, "text/plain", format!("{} check passed", segments.concat())));
            }
            ("GET", []) => {
                let told = json!({ "title": "qdrant - vector search engine", "version": self.config.version });
                return Ok(respond(200, "application/json", told.to_string()));
            }
            _ => self.authorize(headers)?,
        }
        if body.len() > BODY_BYTES {
            return Err(Refusal::too_large(body.len(), BODY_BYTES));
        }
        let body: Value =
            if body.is_empty() { Value::Null } else { serde_json::from_slice(body).map_err(Refusal::format)? };
        let waits = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "wait=true"));
        let result = match segments.as_slice() {
            ["collections"] if method == Method::GET => Ok(self.list()),
            ["collections", name] => self.collection(method, name, &body),
            ["collections", name, "exists"] if method == Method::GET => {
                Ok(json!({ "exists": self.with(|collections| Ok(collections.contains_key(*name)))? }))
            }
            ["collections", name, rest @ ..] => self.within(method, name, rest, &body, waits),
            _ => Err(Refusal::no_route()),
        };
        result.map(|result| success(&result))
    }

    fn authorize(&self, headers: &HeaderMap) -> Outcome<()> {
        let Some(wanted) = &self.config.api_key else { return Ok(()) };
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let given =
            header("api-key").or_else(|| header("authorization").and_then(|value| value.strip_prefix("Bearer ")));
        match given {
            Some(given) if given == wanted => Ok(()),
            given => Err(Refusal::unauthorized(given.is_some())),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Collection>) -> Outcome<T>) -> Outcome<T> {
        work(&mut self.collections.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn list(&self) -> Value {
        let names =
            self.with(|collections| Ok(collections.keys().map(|name| json!({ "name": name })).collect::<Vec<_>>()));
        json!({ "collections": names.unwrap_or_default() })
    }

    /// Requests on a collection as a whole.
    fn collection(&self, method: &Method, name: &str, body: &Value) -> Outcome<Value> {
        let missing = || Refusal::no_collection(name);
        self.with(|collections| match method.as_str() {
            "GET" => collections.get(name).map(Collection::info).ok_or_else(missing),
            "PUT" if collections.contains_key(name) => Err(Refusal::exists(name)),
            "PUT" => {
                check_name(name)?;
                let mut body = body.clone();
                if let (Some(body), Some(strict)) = (body.as_object_mut(), &self.config.strict_mode) {
                    body.entry("strict_mode_config").or_insert_with(|| strict.clone());
                }
                collections.insert(name.to_owned(), Collection::new(&body)?);
                Ok(true.into())
            }
            "PATCH" => collections.get_mut(name).ok_or_else(missing)?.update(body).map(|()| true.into()),
            // Deleting what is not there is answered with false, not with an error.
            "DELETE" => Ok(collections.remove(name).is_some().into()),
            _ => Err(Refusal::no_route()),
        })
    }

    /// Requests on what a collection holds.
    fn within(&self, method: &Method, name: &str, rest: &Segments<'_>, body: &Value, waits: bool) -> Outcome<Value> {
        let empty = Map::new();
        let object = body.as_object().unwrap_or(&empty);
        self.with(|collections| {
            let collection = collections.get_mut(name).ok_or_else(|| Refusal::no_collection(name))?;
            if let Some(result) = read(collection, method, rest, object) {
                return result;
            }
            let operation = change(collection, method, rest, object)?;
            let status = if waits { "completed" } else { "acknowledged" };
            Ok(json!({ "operation_id": operation, "status": status }))
        })
    }
}

/// The name of a new collection, as the server's validation has it.
fn check_name(name: &str) -> Outcome<()> {
    let forbidden = ['<', '>', ':', '"', '/', '\\', '|', '?', '*', '\0', '\u{1f}'];
    if name.is_empty() || name.len() > 255 || name.contains(forbidden) {
        return Err(Refusal::validation("name", "collection name is empty, too long or holds a forbidden character"));
    }
    Ok(())
}

/// Requests that change nothing; `None` for any other.
fn read(
    collection: &Collection,
    method: &Method,
    rest: &Segments<'_>,
    body: &Map<String, Value>,
) -> Option<Outcome<Value>> {
    let counted = |read: fn(&Collection, &Map<String, Value>) -> Outcome<Value>| {
        Some(collection.strict.count(Purpose::Read).and_then(|()| read(collection, body)))
    };
    match (method.as_str(), rest) {
        ("POST", ["points"]) => counted(Collection::retrieve),
        ("POST", ["points", "query"]) => counted(Collection::query),
        ("POST", ["points", "scroll"]) => counted(Collection::scroll),
        ("POST", ["points", "count"]) => counted(Collection::count),
        ("POST", ["points", "query", "batch"]) => counted(|collection, body| {
            let searches = body.get("searches").and_then(Value::as_array);
            let searches = searches.ok_or_else(|| Refusal::format("missing field `searches`"))?;
            let run = |search: &Value| collection.query(search.as_object().unwrap_or(&Map::new()));
            searches.iter().map(run).collect::<Outcome<Value>>()
        }),
        ("GET", ["points", id]) => Some(PointId::from_segment(id).and_then(|id| collection.one(&id))),
        _ => None,
    }
}

/// Requests that change something; the number of the operation.
fn change(
    collection: &mut Collection,
    method: &Method,
    rest: &Segments<'_>,
    body: &Map<String, Value>,
) -> Outcome<u64> {
    let payload = match (method.as_str(), rest) {
        ("POST", ["points", "payload"]) => Some(PayloadChange::Set),
        ("PUT", ["points", "payload"]) => Some(PayloadChange::Overwrite),
        ("POST", ["points", "payload", "delete"]) => Some(PayloadChange::Delete),
        ("POST", ["points", "payload", "clear"]) => Some(PayloadChange::Clear),
        _ => None,
    };
    if let Some(payload) = payload {
        collection.strict.count(Purpose::Change)?;
        return collection.change_payload(body, payload);
    }
    match (method.as_str(), rest) {
        ("PUT", ["points"]) => {
            collection.strict.count(Purpose::Change)?;
            collection.upsert(body)
        }
        ("POST", ["points", "delete"]) => {
            collection.strict.count(Purpose::Change)?;
            collection.delete(body)
        }
        ("PUT", ["index"]) => create_index(collection, body),
        ("DELETE", ["index", field]) => {
            collection.indexes.remove(*field);
            Ok(collection.next_operation())
        }
        _ => Err(Refusal::no_route()),
    }
}

fn create_index(collection: &mut Collection, body: &Map<String, Value>) -> Outcome<u64> {
    const SORTS: [&str; 8] = ["keyword", "integer", "float", "geo", "text", "bool", "datetime", "uuid"];
    let key = body.get("field_name").and_then(Value::as_str);
    let key = key.ok_or_else(|| Refusal::format("missing field `field_name`"))?;
    path::Path::parse(key).map_err(Refusal::format)?;
    let schema = body.get("field_schema").filter(|schema| !schema.is_null());
    let schema = schema.ok_or_else(|| Refusal::bad_request("field_schema is required"))?;
    if !SORTS.contains(&collection::index_type(schema)) {
        return Err(Refusal::format("data did not match any variant of untagged enum PayloadFieldSchema"));
    }
    collection.indexes.insert(key.to_owned(), schema.clone());
    Ok(collection.next_operation())
}
