//! A stand-in for Qdrant and an index on it, for tests. Not here: any test.
#![allow(
    dead_code,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, and not every test uses everything"
)]

use mnemic_conformance::fixtures::{Rng, embedding, model, record, record_id};
use mnemic_core::{
    ChangeSeq, Embedding, MemoryRecord, Namespace, PageRequest, StoredRecord, Version,
    ports::{Index, IndexChange},
};
use mnemic_http::{Address, Call, Client, ClientConfig, Method, SecretString};
use mnemic_indexes::{QdrantIndex, QdrantIndexConfig};
use mnemic_stand_ins::{Knobs, Running, qdrant};
use serde_json::Value;

/// A server of its own, which remembers everything.
pub(crate) fn server() -> Running {
    qdrant::start(Knobs::new()).unwrap()
}

/// One process's handle on a server.
pub(crate) fn index(server: &Running) -> QdrantIndex {
    QdrantIndex::new(QdrantIndexConfig::new(address(server))).unwrap()
}

/// The same with a key.
pub(crate) fn with_key(server: &Running, key: &str) -> QdrantIndex {
    let api_key = Some(SecretString::from(key.to_owned()));
    QdrantIndex::new(QdrantIndexConfig { api_key, ..QdrantIndexConfig::new(address(server)) }).unwrap()
}

fn address(server: &Running) -> Address {
    Address::new("qdrant_url", &server.url()).unwrap()
}

/// A change.
pub(crate) fn change(seq: u64, record: MemoryRecord, embedding: Option<Embedding>) -> IndexChange {
    IndexChange { seq: ChangeSeq(seq), id: record.id.clone(), record: Some(StoredRecord { record, embedding }) }
}

/// A record that was written, with a vector that follows from its name and version.
pub(crate) fn written(seq: u64, id: &str, version: u64) -> IndexChange {
    let mut record = record(id, "x");
    record.version = Version(version);
    let seed = id.bytes().fold(version, |seed, byte| seed * 31 + u64::from(byte));
    change(seq, record, Some(embedding(&mut Rng::new(seed), &model())))
}

/// A record that went away.
pub(crate) fn gone(seq: u64, id: &str) -> IndexChange {
    IndexChange { seq: ChangeSeq(seq), id: record_id(id), record: None }
}

/// Ids and versions of everything that is held.
pub(crate) async fn listed(index: &QdrantIndex, ns: &Namespace) -> Vec<(String, u64)> {
    let page = index.ids(ns, &PageRequest::largest()).await.unwrap();
    page.items.into_iter().map(|held| (held.id.to_string(), held.version.0)).collect()
}

/// Ids of everything that is held.
pub(crate) async fn ids(index: &QdrantIndex, ns: &Namespace) -> Vec<String> {
    listed(index, ns).await.into_iter().map(|(id, _)| id).collect()
}

/// A request of somebody else: status and body of the answer.
pub(crate) async fn call(server: &Running, method: Method, path: &str, body: Option<&str>) -> (u16, Value) {
    let config =
        ClientConfig { service: "test", address: address(server), secret_headers: Vec::new(), headers: Vec::new() };
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, query.split_once('=')));
    let query: Vec<(&str, &str)> = query.into_iter().collect();
    let call = Call { method, path, query: &query, json: body.map(|body| body.to_owned().into()) };
    let answer = Client::new(config).unwrap().send(call).await.unwrap();
    (answer.status(), serde_json::from_slice(answer.body()).unwrap_or_default())
}

/// The names of all collections.
pub(crate) async fn collections(server: &Running) -> Vec<String> {
    let (_, body) = call(server, Method::Get, "/collections", None).await;
    let named = body["result"]["collections"].as_array().unwrap().iter();
    named.map(|collection| collection["name"].as_str().unwrap().to_owned()).collect()
}

/// Waits, within bounds, until something holds.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    panic!("it never came to hold");
}
