//! The data plane of one index: its paths, and what its answers have in common. Not here: the answers (`reading`, `writing`, `namespaces`).

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    http::HeaderValue,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{LsnHeaders, failure::Rpc, filter::Filter, habits::Set, namespaces, reading, scope::Index, writing};
use crate::transcript::unescaped;

/// Vectors of one write, ids of one fetch or removal.
pub(super) const MOST_VECTORS: usize = 1_000;

pub(super) type Answer = Result<Response, Rpc>;

pub(super) fn router(index: Arc<Index>) -> Router {
    Router::new()
        .route("/vectors/upsert", post(writing::upsert))
        .route("/query", post(reading::query))
        .route("/vectors/fetch", get(reading::fetch))
        .route("/vectors/fetch_by_metadata", post(reading::fetch_by_metadata))
        .route("/vectors/update", post(writing::update))
        .route("/vectors/delete", post(writing::delete))
        .route("/vectors/list", get(reading::list))
        .route("/describe_index_stats", post(namespaces::stats))
        .route("/namespaces", get(namespaces::list).post(namespaces::create))
        .route("/namespaces/{namespace}", get(namespaces::describe).delete(namespaces::delete))
        .layer(DefaultBodyLimit::disable())
        .with_state(index)
}

/// What the headers of an answer tell.
pub(super) enum Told {
    Written(u64),
    Indexed(u64),
}

pub(super) fn told(answer: Value, habits: &Set, told: Told) -> Response {
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

pub(super) fn filter_of(filter: Option<&Value>) -> Result<Option<Filter>, Rpc> {
    let given = filter.filter(|filter| !filter.is_null() && filter.as_object().is_none_or(|filter| !filter.is_empty()));
    given.map(Filter::parse).transpose()
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

    pub(super) fn all(&self, key: &str) -> Vec<&str> {
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
