//! What every request is asked first: which API, and whose key. And what an index is to its data plane. Not here: the answers.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use axum::http::{HeaderMap, StatusCode};

use super::{
    Habits,
    failure::{Refusal, Rpc},
    store::Space,
};

/// A supported version of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Api {
    V2025_10,
    V2026_04,
    V2026_07,
}

/// The version that a request names; the oldest one answers where it names none.
fn api(headers: &HeaderMap) -> Result<Api, String> {
    match headers.get("x-pinecone-api-version").map(|value| value.to_str().unwrap_or_default()) {
        None | Some("2025-10" | "2026-01") => Ok(Api::V2025_10),
        Some("2026-04") => Ok(Api::V2026_04),
        Some("2026-07") => Ok(Api::V2026_07),
        Some(other) => Err(format!("Invalid or unsupported API version: {other}")),
    }
}

fn admitted(headers: &HeaderMap, habits: &Habits) -> bool {
    let given = headers.get("api-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
    !given.is_empty() && habits.now().key.is_none_or(|key| key == given)
}

/// Admits a request to the control plane.
pub(super) fn control(headers: &HeaderMap, habits: &Habits) -> Result<Api, Refusal> {
    let api = api(headers).map_err(Refusal::invalid)?;
    if admitted(headers, habits) {
        Ok(api)
    } else {
        Err(Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "Invalid API key."))
    }
}

/// One index as its data plane sees it.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) dimension: usize,
    pub(super) metric: String,
    /// From when on it answers.
    pub(super) ready: Instant,
    pub(super) habits: Habits,
    pub(super) spaces: Mutex<BTreeMap<String, Space>>,
}

impl Index {
    /// Admits a request to the data plane.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<Api, Rpc> {
        let api = api(headers).map_err(Rpc::invalid)?;
        if !admitted(headers, &self.habits) {
            return Err(if api >= Api::V2026_07 {
                Rpc::Plain(StatusCode::UNAUTHORIZED, "Unauthorized")
            } else {
                Rpc::Status(StatusCode::UNAUTHORIZED, 16, "Invalid API key".to_owned())
            });
        }
        if Instant::now() < self.ready {
            let message = "The index is not ready yet".to_owned();
            return Err(Rpc::Status(StatusCode::SERVICE_UNAVAILABLE, 14, message));
        }
        Ok(api)
    }

    pub(super) fn spaces(&self) -> MutexGuard<'_, BTreeMap<String, Space>> {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name under which a namespace is kept: the default one has two spellings.
pub(super) fn named(namespace: Option<&str>) -> Result<String, Rpc> {
    let name = namespace.filter(|name| *name != "__default__").unwrap_or_default();
    if name.len() > 512 || !name.is_ascii() || name.contains('\0') {
        return Err(Rpc::invalid("Namespace must be at most 512 ASCII characters"));
    }
    Ok(name.to_owned())
}
