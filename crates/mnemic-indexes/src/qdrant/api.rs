//! Qdrant's REST interface as far as the index needs it: one function a request. Not here: what is asked and why.

use std::fmt::Display;

use mnemic_core::{Error, ErrorKind, Result, Retry};
use mnemic_http::{Answer, Call, Client, Method, unreadable};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::error::refused;

/// Writes are seen by whoever asks afterwards, and every replica takes them in one order, through the permanent leader: guarded writes
/// that two replicas took in different orders would leave them different for good.
const WRITE: [(&str, &str); 2] = [("wait", "true"), ("ordering", "strong")];
/// Reads ask a majority of the replicas; with one replica that is the one.
const READ: [(&str, &str); 1] = [("consistency", "majority")];
/// The first version that guards upserts by `update_filter` and `update_mode`. Older ones ignore them in silence.
const OLDEST: (u64, u64) = (1, 17);

/// The requests.
#[derive(Clone, Debug)]
pub(super) struct Api(Client);

/// What a request comes to.
#[derive(Debug, Deserialize)]
struct Envelope<T> {
    result: Option<T>,
}

/// A collection as it is.
#[derive(Debug, Deserialize)]
pub(super) struct Info {
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) optimizer_status: Value,
    #[serde(default)]
    pub(super) config: Value,
    #[serde(default)]
    pub(super) payload_schema: Map<String, Value>,
}

/// A point that was found. Whatever a server puts here is checked afterwards.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    #[serde(default)]
    pub(super) id: Value,
    #[serde(default)]
    pub(super) score: Value,
    #[serde(default)]
    pub(super) payload: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
struct Points {
    points: Vec<Found>,
    #[serde(default)]
    next_page_offset: Value,
}

impl Api {
    pub(super) fn new(client: Client) -> Self {
        Self(client)
    }

    async fn send(&self, method: Method, path: &str, query: &[(&str, &str)], body: Option<Vec<u8>>) -> Result<Answer> {
        let answer = self.0.send(Call { method, path, query, json: body.map(Into::into) }).await?;
        if answer.is_success() { Ok(answer) } else { Err(refused(&answer)) }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<T> {
        let answer = self.send(method, path, query, body).await?;
        let envelope: Envelope<T> = answer.json()?;
        envelope.result.ok_or_else(|| answer.unreadable("no result"))
    }

    async fn read<T: DeserializeOwned>(&self, name: &str, rest: &str, body: &Value) -> Result<T> {
        self.ask(Method::Post, &below(name, rest), &READ, Some(bytes(body))).await
    }

    /// A change, which has taken effect when this returns.
    async fn write(&self, method: Method, name: &str, rest: &str, body: Vec<u8>) -> Result<()> {
        #[derive(Deserialize)]
        struct Done {
            status: String,
        }
        let done: Done = self.ask(method, &below(name, rest), &WRITE, Some(body)).await?;
        if done.status == "completed" {
            return Ok(());
        }
        // What is only acknowledged may not show yet, and must not be counted as done.
        let message = "Qdrant took a change and did not carry it out in time";
        Err(Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Soon).with_context("status", done.status))
    }

    /// Refuses a server that is too old.
    pub(super) async fn check_version(&self) -> Result<()> {
        #[derive(Deserialize)]
        struct Version {
            version: String,
        }
        let answer = self.send(Method::Get, "/", &[], None).await?;
        let Version { version } = answer.json()?;
        let mut parts = version.split('.').map(|part| part.parse::<u64>().ok());
        let found = parts.next().flatten().zip(parts.next().flatten());
        match found {
            Some(found) if found >= OLDEST => Ok(()),
            _ => {
                let version: String = version.chars().filter(char::is_ascii_graphic).take(24).collect();
                let message = format!("Qdrant: expected version {}.{} or newer, found {version}", OLDEST.0, OLDEST.1);
                Err(Error::new(ErrorKind::InvalidConfig, message))
            }
        }
    }

    /// The names of all collections.
    pub(super) async fn collections(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Listed {
            collections: Vec<Named>,
        }
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        let listed: Listed = self.ask(Method::Get, "/collections", &[], None).await?;
        Ok(listed.collections.into_iter().map(|named| named.name).collect())
    }

    /// A collection, or nothing if there is none of that name.
    pub(super) async fn info(&self, name: &str) -> Result<Option<Info>> {
        absent(self.ask(Method::Get, &below(name, ""), &[], None).await)
    }

    /// Makes a collection. That there is one already is no error here; what it is must be looked at in any case.
    pub(super) async fn create(&self, name: &str, body: &Value) -> Result<()> {
        match self.ask::<bool>(Method::Put, &below(name, ""), &[], Some(bytes(body))).await {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Makes a payload index; one that is there stays.
    pub(super) async fn create_index(&self, name: &str, field: &str, schema: &Value) -> Result<()> {
        let body = bytes(&json!({ "field_name": field, "field_schema": schema }));
        self.write(Method::Put, name, "/index", body).await
    }

    /// The points of these ids that there are.
    pub(super) async fn retrieve(&self, name: &str, ids: &[String], fields: &[&str]) -> Result<Vec<Found>> {
        self.read(name, "/points", &json!({ "ids": ids, "with_payload": fields })).await
    }

    /// Upserts points, in a body that is ready.
    pub(super) async fn upsert(&self, name: &str, body: Vec<u8>) -> Result<()> {
        self.write(Method::Put, name, "/points", body).await
    }

    /// Removes the points that pass a filter.
    pub(super) async fn delete(&self, name: &str, filter: &Value) -> Result<()> {
        self.write(Method::Post, name, "/points/delete", bytes(&json!({ "filter": filter }))).await
    }

    /// Searches, with a body that is ready.
    pub(super) async fn query(&self, name: &str, body: Vec<u8>) -> Result<Vec<Found>> {
        let points: Points = self.ask(Method::Post, &below(name, "/points/query"), &READ, Some(body)).await?;
        Ok(points.points)
    }

    /// Lists points by their ids from `offset` on, and tells where the next page begins.
    pub(super) async fn scroll(
        &self,
        name: &str,
        filter: &Value,
        fields: &[&str],
        offset: Option<&str>,
    ) -> Result<(Vec<Found>, Option<String>)> {
        let body = json!({ "filter": filter, "with_payload": fields, "limit": 1000, "offset": offset });
        let page: Points = self.read(name, "/points/scroll", &body).await?;
        let next = match page.next_page_offset {
            Value::Null => None,
            Value::String(next) if offset.is_none_or(|before| next.as_str() > before) => Some(next),
            _ => return Err(unreadable(self.0.service(), "a listing that does not go on")),
        };
        Ok((page.points, next))
    }

    /// How many points pass.
    pub(super) async fn count(&self, name: &str, filter: &Value) -> Result<u64> {
        #[derive(Deserialize)]
        struct Counted {
            count: u64,
        }
        let counted: Counted = self.read(name, "/points/count", &json!({ "filter": filter, "exact": true })).await?;
        Ok(counted.count)
    }
}

fn below(name: &str, rest: impl Display) -> String {
    format!("/collections/{name}{rest}")
}

fn bytes(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}

/// Nothing, where what is asked for is not there.
pub(super) fn absent<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
