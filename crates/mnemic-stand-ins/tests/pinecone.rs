//! The Pinecone stand-in: limits, error bodies and traps, each held to Pinecone's own description. Not here: clients (`pinecone_clients`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::time::Duration;

use bytes::Bytes;
use mnemic_http::{Address, Answer, Call, Client, ClientConfig, Method};
use mnemic_stand_ins::{
    Knobs,
    pinecone::{LsnHeaders, Nulls, StandIn, UnusedValues},
    spec::{self, Spec},
};
use serde_json::{Value, json};

const APIS: [&str; 3] = ["2025-10", "2026-04", "2026-07"];

/// A stand-in with an index of four dimensions, spoken to in one version of the API.
struct Bench {
    stand_in: StandIn,
    control: Client,
    data: Client,
    api: &'static str,
}

impl Bench {
    async fn new(api: &'static str) -> Self {
        let stand_in = StandIn::start(Knobs::new()).unwrap();
        let control = client(&stand_in.url(), api, "stand-in");
        let made = send(&control, Method::Post, "/indexes", Some(plan(api, "mem", 4))).await;
        assert_eq!(made.status(), 201, "{}", made.excerpt());
        let host = made.json::<Value>().unwrap()["host"].as_str().unwrap().to_owned();
        let data = control.at(Address::new("host", &host).unwrap());
        Self { stand_in, control, data, api }
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        send(&self.data, Method::Post, path, Some(body)).await
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let answer = self.data.send(Call { method: Method::Get, path, query, json: None }).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}: {}", answer.excerpt());
        answer.json().unwrap()
    }

    async fn upsert(&self, namespace: &str, vectors: &[(&str, Value)]) {
        let vectors: Vec<Value> = vectors
            .iter()
            .map(|(id, metadata)| json!({"id": id, "values": [1.0, 0.0, 0.0, 0.0], "metadata": metadata}))
            .collect();
        let answer = self.post("/vectors/upsert", json!({"vectors": vectors, "namespace": namespace})).await;
        assert_eq!(answer.status(), 200, "{}", answer.excerpt());
    }

    async fn ids(&self, namespace: &str) -> Vec<String> {
        let listed = self.get("/vectors/list", &[("namespace", namespace)]).await;
        listed["vectors"].as_array().unwrap().iter().map(|held| held["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Status and message of what is refused.
    async fn refused(&self, path: &str, body: Value) -> (u16, String) {
        let answer = self.post(path, body).await;
        let said: Value = answer.json().unwrap();
        assert_eq!(said["details"], json!([]), "{said}");
        (answer.status(), said["message"].as_str().unwrap().to_owned())
    }
}

impl Drop for Bench {
    /// Whatever a test was about, what was answered is what the vendor describes.
    fn drop(&mut self) {
        let Some(specs) = spec::directory().filter(|_| self.api != "2026-07" && !std::thread::panicking()) else {
            return;
        };
        let load =
            |plane: &str| Spec::load_closed(&specs.join(format!("pinecone_db_{plane}_{}.oas.yaml", self.api))).unwrap();
        let (control, data) = (load("control"), load("data"));
        for exchange in self.stand_in.requests() {
            let plane = if exchange.path.starts_with("/indexes") { &control } else { &data };
            let faults = plane.check_answer(&exchange);
            assert!(faults.is_empty(), "{faults:?}");
        }
    }
}

fn client(url: &str, api: &str, key: &str) -> Client {
    Client::new(ClientConfig {
        service: "Pinecone",
        address: Address::new("url", url).unwrap(),
        secret_headers: vec![("api-key", key.to_owned().into())],
        headers: vec![("x-pinecone-api-version", api.to_owned())],
    })
    .unwrap()
}

async fn send(client: &Client, method: Method, path: &str, body: Option<Value>) -> Answer {
    let json = body.map(|body| Bytes::from(serde_json::to_vec(&body).unwrap()));
    client.send(Call { method, path, query: &[], json }).await.unwrap()
}

fn plan(api: &str, name: &str, dimension: u64) -> Value {
    if api == "2026-07" {
        let vector = json!({"type": "dense_vector", "dimension": dimension, "metric": "cosine"});
        json!({"name": name, "schema": {"fields": {"_values": vector}}})
    } else {
        let place = json!({"serverless": {"cloud": "aws", "region": "us-east-1"}});
        json!({"name": name, "dimension": dimension, "metric": "cosine", "spec": place})
    }
}

#[tokio::test]
async fn indexes_are_made_in_the_shape_of_their_api_only_and_within_limits() {
    for api in APIS {
        let bench = Bench::new(api).await;
        let other = if api == "2026-07" { "2026-04" } else { "2026-07" };
        let mut named = plan(api, "Bad_Name", 4);
        for (body, status, code) in [
            (plan(other, "x", 4), 422, "UNPROCESSABLE_ENTITY"),
            (plan(api, "mem", 4), 409, "ALREADY_EXISTS"),
            (plan(api, "x", 0), 400, "INVALID_ARGUMENT"),
            (plan(api, "x", 20_001), 400, "INVALID_ARGUMENT"),
            (named.clone(), 400, "INVALID_ARGUMENT"),
            (json!([]), 422, "UNPROCESSABLE_ENTITY"),
        ] {
            let answer = send(&bench.control, Method::Post, "/indexes", Some(body)).await;
            let said: Value = answer.json().unwrap();
            assert_eq!((answer.status(), said["error"]["code"].as_str()), (status, Some(code)), "{api}: {said}");
        }
        bench.stand_in.habits().most_indexes(1);
        named["name"] = "good".into();
        let full = send(&bench.control, Method::Post, "/indexes", Some(named)).await;
        assert_eq!(full.status(), 403, "{}", full.excerpt());
    }
}

#[tokio::test]
async fn a_protected_index_is_not_deleted_and_a_deleted_one_does_not_answer() {
    let bench = Bench::new("2026-04").await;
    let turn = async |word: &str| {
        let body = json!({"deletion_protection": word, "tags": {"a": "b", "gone": ""}});
        send(&bench.control, Method::Patch, "/indexes/mem", Some(body)).await.status()
    };
    assert_eq!(turn("enabled").await, 202);
    let refused = send(&bench.control, Method::Delete, "/indexes/mem", None).await;
    assert!(refused.status() == 403 && refused.excerpt().contains("Deletion protection is enabled"));
    assert_eq!(turn("disabled").await, 202);
    let described: Value = send(&bench.control, Method::Get, "/indexes/mem", None).await.json().unwrap();
    assert_eq!(described["tags"], json!({"a": "b"}));
    let deleted = send(&bench.control, Method::Delete, "/indexes/mem", None).await;
    assert_eq!((deleted.status(), deleted.body().len()), (202, 0));
    assert_eq!(send(&bench.control, Method::Get, "/indexes/mem", None).await.status(), 404);
    assert!(bench.data.send(Call::get("/vectors/list")).await.is_err(), "its host is gone");
}

#[tokio::test]
async fn a_refused_key_is_told_in_json_or_in_plain_text_by_version() {
    for api in APIS {
        let bench = Bench::new(api).await;
        bench.stand_in.habits().key("right");
        let said = bench.post("/query", json!({"topK": 1, "vector": [1, 0, 0, 0]})).await;
        let kind = said.header("content-type").unwrap().to_owned();
        assert_eq!((said.status(), kind.starts_with("text/plain")), (401, api == "2026-07"), "{kind}");
        let control: Value = send(&bench.control, Method::Get, "/indexes", None).await.json().unwrap();
        assert_eq!(control["error"]["code"], "UNAUTHENTICATED");
    }
    let bench = Bench::new("2026-07").await;
    let old = client(&bench.stand_in.url(), "2024-07", "stand-in");
    assert_eq!(send(&old, Method::Get, "/indexes", None).await.status(), 400, "no longer supported");
}

#[tokio::test]
async fn writes_are_refused_whole_in_the_words_of_the_service() {
    let bench = Bench::new("2026-04").await;
    let good = json!({"id": "good", "values": [1, 0, 0, 0]});
    let with = |bad: Value| json!({"vectors": [good, bad], "namespace": "ns"});
    let meta = |metadata: Value| with(json!({"id": "m", "values": [1, 0, 0, 0], "metadata": metadata}));
    let many: Vec<Value> = (0..1001).map(|n| json!({"id": n.to_string(), "values": [1, 0, 0, 0]})).collect();
    for (body, says) in [
        (
            with(json!({"id": "x", "values": [1, 2, 3]})),
            "Vector dimension 3 does not match the dimension of the index 4",
        ),
        (with(json!({"id": "x", "values": [0, 1e-9, 0, 0]})), "Dense vectors must contain at least one non-zero value"),
        (with(json!({"id": "é", "values": [1, 0, 0, 0]})), "ASCII"),
        (with(json!({"id": "x".repeat(513), "values": [1, 0, 0, 0]})), "512"),
        (meta(json!({"a": null})), "got 'null' for field 'a'"),
        (meta(json!({"a": [1]})), "got '[1.0]' for field 'a'"),
        (meta(json!({"a": {"b": 1}})), "got '{\"b\":1.0}' for field 'a'"),
        (meta(json!({"a": "x".repeat(41_000)})), "exceeds the limit of 40960 bytes per vector"),
        (json!({"vectors": many}), "1001"),
        (json!({"vectors": []}), "found 0"),
    ] {
        let (status, message) = bench.refused("/vectors/upsert", body).await;
        assert!(status == 400 && message.contains(says), "{status} {message}, not {says}");
    }
    assert_eq!(bench.ids("ns").await, Vec::<String>::new(), "one bad record refuses its batch");
    let large = json!({"vectors": [{"id": "x", "values": vec![0.123_456_789; 220_000]}]});
    let (status, message) = bench.refused("/vectors/upsert", large.clone()).await;
    assert_eq!((status, message.as_str()), (400, "Request size 3MB exceeds the maximum supported size of 2MB"));
    bench.stand_in.habits().too_large_is_413(true).nulls(Nulls::Strip);
    assert_eq!(bench.refused("/vectors/upsert", large).await.0, 413);
    assert_eq!(bench.post("/vectors/upsert", meta(json!({"a": null, "b": 1}))).await.status(), 200);
    assert_eq!(
        bench.get("/vectors/fetch", &[("ids", "m"), ("namespace", "ns")]).await["vectors"]["m"]["metadata"],
        json!({"b": 1})
    );
}

#[tokio::test]
async fn deleting_by_ids_and_a_filter_passes_over_the_ids() {
    let bench = Bench::new("2026-07").await;
    bench.upsert("ns", &[("a", json!({"x": 1})), ("b", json!({"x": 2})), ("c", json!({"x": 2}))]).await;
    let delete = "/vectors/delete";
    assert_eq!(bench.post(delete, json!({"ids": ["a"], "filter": {"x": 2}, "namespace": "ns"})).await.status(), 200);
    assert_eq!(bench.ids("ns").await, ["a"]);
    let (status, message) = bench.refused(delete, json!({"ids": ["a"], "namespace": "absent"})).await;
    assert_eq!((status, message.as_str()), (404, "Namespace not found"));
    let (_, message) = bench.refused(delete, json!({"filter": {}, "namespace": "ns"})).await;
    assert_eq!(message, "Delete with empty metadata filter is not allowed");
    let (_, message) =
        bench.refused("/vectors/update", json!({"filter": {}, "setMetadata": {}, "namespace": "ns"})).await;
    assert_eq!(message, "Update with empty metadata filter is not allowed");
    let (_, message) = bench.refused("/vectors/fetch_by_metadata", json!({"filter": {}, "namespace": "ns"})).await;
    assert_eq!(message, "Empty filter provided for fetch by metadata request");
    let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
    assert_eq!(bench.refused(delete, json!({"ids": many, "namespace": "ns"})).await.0, 400);
    assert_eq!(
        bench
            .post("/vectors/update", json!({"id": "absent", "values": [1, 0, 0, 0], "namespace": "ns"}))
            .await
            .status(),
        200
    );
    assert_eq!(bench.ids("ns").await, ["a"], "updating what is not there makes nothing");
}

#[tokio::test]
async fn queries_are_bounded_and_answer_by_cosine() {
    for api in APIS {
        let bench = Bench::new(api).await;
        bench.upsert("ns", &[("a", json!({"x": 1}))]).await;
        for body in [
            json!({"topK": 0, "vector": [1, 0, 0, 0]}),
            json!({"topK": 10_001, "vector": [1, 0, 0, 0]}),
            json!({"topK": 1, "vector": [1, 0, 0]}),
            json!({"topK": 1, "vector": [1, 0, 0, 0], "id": "a"}),
            json!({"topK": 1}),
            json!({"topK": 1, "vector": [1, 0, 0, 0], "filter": {"x": {"$in": (0..10_001).collect::<Vec<_>>()}}}),
        ] {
            assert_eq!(bench.refused("/query", body.clone()).await.0, 400, "{body}");
        }
        let query = json!({"topK": 1, "vector": [1, 1, 0, 0], "namespace": "ns", "includeMetadata": true});
        let found: Value = bench.post("/query", query.clone()).await.json().unwrap();
        let best = &found["matches"][0];
        assert!((best["score"].as_f64().unwrap() - 0.5f64.sqrt()).abs() < 1e-6, "{best}");
        assert_eq!((&best["values"], &best["metadata"]), (&json!([]), &json!({"x": 1})));
        if api == "2026-07" {
            bench.stand_in.habits().unused_values(UnusedValues::Null);
            let found: Value = bench.post("/query", query).await.json().unwrap();
            assert!(found["matches"][0].as_object().unwrap()["values"].is_null());
        }
    }
}

#[tokio::test]
async fn the_default_namespace_has_two_names_and_ids_are_listed_byte_by_byte() {
    let bench = Bench::new("2026-07").await;
    bench.upsert("", &[("b", json!({})), ("B", json!({}))]).await;
    bench.upsert("__default__", &[("a", json!({})), ("_", json!({}))]).await;
    for name in ["", "__default__"] {
        assert_eq!(bench.ids(name).await, ["B", "_", "a", "b"]);
    }
    let page = bench.get("/vectors/list", &[("limit", "3")]).await;
    assert_eq!(page["namespace"], "__default__");
    let token = page["pagination"]["next"].as_str().unwrap();
    let last = bench.get("/vectors/list", &[("limit", "3"), ("paginationToken", token)]).await;
    assert_eq!((&last["vectors"], last.get("pagination")), (&json!([{"id": "b"}]), None));
    bench.stand_in.habits().default_namespace("");
    assert_eq!(bench.get("/vectors/list", &[("limit", "3")]).await["namespace"], "");
    // Counts are text since 2026-07, and numbers before.
    assert_eq!(bench.get("/namespaces/__default__", &[]).await["record_count"], "4");
    let older = Bench::new("2026-04").await;
    older.upsert("ns", &[("a", json!({}))]).await;
    assert_eq!(older.get("/namespaces/ns", &[]).await["record_count"], 1);
    assert_eq!(older.refused("/describe_index_stats", json!({"filter": {"x": 1}})).await.0, 400);
}

#[tokio::test]
async fn writes_show_later_and_headers_tell_when() {
    let bench = Bench::new("2026-07").await;
    let query = json!({"topK": 9, "vector": [1, 0, 0, 0], "namespace": "ns"});
    let look = async || {
        let answer = bench.post("/query", query.clone()).await;
        let indexed: Option<u64> = answer.header("x-pinecone-max-indexed-lsn").map(|lsn| lsn.parse().unwrap());
        (answer.json::<Value>().unwrap()["matches"].as_array().unwrap().len(), indexed)
    };
    bench.upsert("ns", &[("a", json!({}))]).await;
    assert_eq!(look().await, (1, Some(1)));
    bench.stand_in.habits().hold(true);
    let body = json!({"vectors": [{"id": "b", "values": [1, 0, 0, 0]}], "namespace": "ns"});
    let written = bench.post("/vectors/upsert", body.clone()).await;
    assert_eq!(written.header("x-pinecone-request-lsn"), Some("2"));
    assert_eq!((look().await, bench.ids("ns").await), ((1, Some(1)), vec!["a".to_owned()]));
    let fetch = async || {
        bench.get("/vectors/fetch", &[("ids", "b"), ("namespace", "ns")]).await["vectors"].as_object().unwrap().len()
    };
    assert_eq!(fetch().await, 1, "fetching does not lag");
    bench.stand_in.habits().fetch_lags(true);
    assert_eq!(fetch().await, 0, "unless it is told to");
    bench.stand_in.habits().hold(false).lag(Duration::from_millis(100));
    assert_eq!(look().await, (2, Some(2)));
    bench.post("/vectors/delete", json!({"deleteAll": true, "namespace": "ns"})).await;
    assert_eq!(look().await, (2, Some(2)));
    let mut looks = 0;
    while look().await != (0, Some(3)) {
        looks += 1;
        assert!(looks < 1000, "it never shows");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bench.stand_in.habits().lsn(LsnHeaders::Old);
    assert_eq!(bench.post("/vectors/upsert", body).await.header("x-pinecone-lsn-committed"), Some("4"));
    bench.stand_in.habits().lsn(LsnHeaders::Absent);
    assert_eq!(look().await.1, None);
}
