//! Processor time of the Pinecone client for an upsert and for a query, against writing and reading the same JSON by `serde_json`.
//! Not here: how long the service takes; it is stood in for in another process.

use std::{
    collections::BTreeMap,
    hint::black_box,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use bytes::Bytes;
use mnemic::{Embedding, Filter, Namespace, Result, ports::Index};
use mnemic_core::{ChangeSeq, ports::IndexChange};
use mnemic_http::{Address, Call, Client, ClientConfig, SecretString};
use mnemic_indexes::{PineconeConfig, PineconeIndex, pinecone::upsert_bodies};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    failed,
    rows::{self, Rows},
    stand_in::StandIn,
};
use crate::{
    Plan,
    measure::{Stopwatch, Summary, Took},
    report::{Report, Target},
};

/// Records of one upsert.
const BATCH: usize = 1_000;
/// Queries that are timed together: one alone is too short to be sure of.
const TOGETHER: usize = 20;
/// Questions that differ.
const DISTINCT: usize = 200;
/// Matches of one query.
const TOP: usize = 10;

/// The body of an upsert as anybody would declare it.
#[derive(Deserialize, Serialize)]
struct Upsert {
    vectors: Vec<Vector>,
    namespace: String,
}

#[derive(Deserialize, Serialize)]
struct Vector {
    id: String,
    values: Vec<f32>,
    metadata: BTreeMap<String, Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Query<'a> {
    namespace: &'a str,
    top_k: usize,
    vector: &'a [f32],
    include_values: bool,
    include_metadata: bool,
}

/// Measures.
pub(super) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let service = StandIn::start("pinecone")?;
    let index = index(&service)?;
    let namespace = Namespace::new("bench")?;
    index.prepare(&namespace, Some(&rows::model()?)).await?;
    let changes = Rows::new(13)?.changes(0, BATCH)?;
    upserts(plan, &index, &namespace, &changes, report).await?;
    let vectors: Vec<&Embedding> =
        changes.iter().filter_map(|change| change.record.as_ref()?.embedding.as_ref()).collect();
    queries(plan, (&index, &service), &namespace, &vectors, report).await
}

/// An index at a stand-in.
pub(super) fn index(service: &StandIn) -> Result<PineconeIndex> {
    let mut config = PineconeConfig::new(SecretString::from("stand-in".to_owned()))?;
    config.control_plane = Address::new("pinecone_url", service.url())?;
    PineconeIndex::new(config)
}

async fn upserts(
    plan: &Plan,
    index: &PineconeIndex,
    namespace: &Namespace,
    changes: &[IndexChange],
    report: &mut Report,
) -> Result<()> {
    let bodies = upsert_bodies(namespace.as_str(), changes)?;
    let parsed: Vec<Upsert> =
        bodies.iter().map(|body| serde_json::from_slice(body).map_err(failed)).collect::<Result<_>>()?;
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for round in 0..=plan.rounds {
        let watch = Stopwatch::start();
        let written = parsed.iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let reference = watch.stop();
        if written != bodies {
            return Err(failed("what is written by serde_json is not what is sent"));
        }
        drop(written);
        let through = ChangeSeq(round as u64 + 1);
        let again: Vec<IndexChange> =
            changes.iter().map(|change| IndexChange { seq: through, ..change.clone() }).collect();
        let watch = Stopwatch::start();
        index.apply(namespace, &again, through).await?;
        let took = watch.stop();
        if round > 0 {
            ours.push(took);
            plain.push(reference);
        }
    }
    let (ours, plain) = (Summary::of(&ours), Summary::of(&plain));
    report.time("serde_json: 1,000 x 2,048-d", plain, &[]);
    report.time("Pinecone upsert of 1,000 x 2,048-d", ours, &[]);
    report.size("Pinecone upsert of 1,000 x 2,048-d", bodies.iter().map(Bytes::len).sum::<usize>() as f64 / 1e6, "MB");
    let figures = [ours.cpu, plain.cpu].map(|cpu| cpu.as_secs_f64() * 1e3);
    let name = "client CPU, Pinecone upsert of 1,000 x 2,048-d";
    report.claim(name, Target::AtMost(2.0), figures, "ms", "serde_json::to_vec of the same bodies");
    Ok(())
}

async fn queries(
    plan: &Plan,
    (index, service): (&PineconeIndex, &StandIn),
    namespace: &Namespace,
    vectors: &[&Embedding],
    report: &mut Report,
) -> Result<()> {
    let (client, host) = data_plane(service).await?;
    let mut socket = Socket::open(&host)?;
    let asked: Vec<Query<'_>> = vectors.iter().take(DISTINCT).map(|vector| query(namespace, vector)).collect();
    let mut ready = Vec::with_capacity(asked.len());
    for query in &asked {
        let body = Bytes::from(serde_json::to_vec(query).map_err(failed)?);
        let answer = client.send(Call::post("/query", body.clone())).await?;
        ready.push((body, answer.body().clone()));
    }
    let mut took_each: [Vec<Took>; 4] = Default::default();
    for round in 0..=(plan.queries / TOGETHER).max(plan.rounds) {
        let mut took = [Took::default(); 4];
        let [by_us, by_serde, by_http, by_socket] = &mut took;
        // Each question is asked in all these ways, one after the other: waiting for the service empties the processor's caches, which
        // a loop of nothing but `serde_json` would find warm. Others in the next round.
        for at in (0..DISTINCT).cycle().skip(round * TOGETHER).take(TOGETHER) {
            let (Some(vector), Some(query), Some((body, answer))) = (vectors.get(at), asked.get(at), ready.get(at))
            else {
                return Err(failed("there are fewer questions than were made"));
            };
            let watch = Stopwatch::start();
            black_box(socket.post("/query", body)?);
            by_socket.add(watch.stop());
            let watch = Stopwatch::start();
            black_box(client.send(Call::post("/query", body.clone())).await?);
            by_http.add(watch.stop());
            let watch = Stopwatch::start();
            black_box(serde_json::to_vec(query).map_err(failed)?);
            black_box(serde_json::from_slice::<Value>(answer).map_err(failed)?);
            by_serde.add(watch.stop());
            let watch = Stopwatch::start();
            let hits = index.search_dense(namespace, vector, &Filter::all(), TOP).await?;
            by_us.add(watch.stop());
            if hits.len() != TOP {
                return Err(failed(format!("a query found {} of {TOP}", hits.len())));
            }
        }
        if round > 0 {
            for (all, one) in took_each.iter_mut().zip(took) {
                all.push(one.each(TOGETHER));
            }
        }
    }
    told(&took_each, report);
    let (body, answer) = ready.first().ok_or_else(|| failed("there is no question"))?;
    report.size("Pinecone query: body", body.len() as f64 / 1e3, "KB");
    report.size("Pinecone query: answer", answer.len() as f64 / 1e3, "KB");
    Ok(())
}

fn query<'a>(namespace: &'a Namespace, vector: &'a Embedding) -> Query<'a> {
    Query {
        namespace: namespace.as_str(),
        top_k: TOP,
        vector: vector.components(),
        include_values: false,
        include_metadata: true,
    }
}

fn told(took: &[Vec<Took>; 4], report: &mut Report) {
    let [ours, plain, http, socket] = took.each_ref().map(|took| Summary::of(took));
    report.time("serde_json: query and its answer", plain, &[]);
    report.time("a socket alone: the same bytes", socket, &[]);
    report.time("HTTP alone: query and its answer", http, &[]);
    report.time("Pinecone query, top 10", ours, &[]);
    let micros = |summary: &Summary| summary.cpu.as_secs_f64() * 1e6;
    let target = Target::AtMost(2.0);
    for (name, floor, beside) in [
        ("client CPU, Pinecone query, top 10", micros(&plain), "serde_json of the same body and answer"),
        ("the same beside a socket", micros(&plain) + micros(&socket), "serde_json, and a socket with ready bytes"),
        ("the same beside HTTP", micros(&plain) + micros(&http), "serde_json, and mnemic-http with ready bytes"),
    ] {
        report.claim(name, target, [micros(&ours), floor], "µs", beside);
    }
}

/// A connection without any client: the least that the system takes for sending and receiving so many bytes.
struct Socket {
    stream: TcpStream,
    host: String,
    answer: Vec<u8>,
}

impl Socket {
    fn open(host: &str) -> Result<Self> {
        let stream = TcpStream::connect(host).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Self { stream, host: host.to_owned(), answer: vec![0; 1 << 16] })
    }

    /// Sends a body and waits for an answer of a known length, which comes in few pieces.
    fn post(&mut self, path: &str, body: &[u8]) -> Result<usize> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\napi-key: stand-in\r\nx-pinecone-api-version: 2026-07\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        let message = [head.as_bytes(), body].concat();
        self.stream.write_all(&message).map_err(failed)?;
        let mut read = 0;
        loop {
            read += self.stream.read(self.answer.get_mut(read..).unwrap_or_default()).map_err(failed)?;
            let text = String::from_utf8_lossy(self.answer.get(..read).unwrap_or_default());
            let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
            if !head.starts_with("HTTP/1.1 200") {
                return Err(failed(head));
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let length: usize = length.ok_or_else(|| failed(format!("an answer of no length: {head}")))?;
            if rest.len() >= length {
                return Ok(length);
            }
        }
    }
}

/// A client of the one index that there is.
async fn data_plane(service: &StandIn) -> Result<(Client, String)> {
    let config = ClientConfig {
        service: "Pinecone",
        address: Address::new("pinecone_url", service.url())?,
        secret_headers: vec![("api-key", SecretString::from("stand-in".to_owned()))],
        headers: vec![("x-pinecone-api-version", "2026-07".to_owned())],
    };
    let client = Client::new(config)?;
    let listed: Value = client.send(Call::get("/indexes")).await?.json()?;
    let host = listed.pointer("/indexes/0/host").and_then(Value::as_str);
    let host = host.ok_or_else(|| failed("the stand-in has no index"))?;
    let url = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
    let client = client.at(Address::new("host", &url)?);
    Ok((client, url.trim_start_matches("http://").trim_end_matches('/').to_owned()))
}
