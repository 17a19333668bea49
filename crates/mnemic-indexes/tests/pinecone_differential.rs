//! The same sequence of changes through our client and through Pinecone's own comes to the same vectors and the same answers.
//! Not here: whether the stand-in is like Pinecone (`mnemic-stand-ins/tests/pinecone_clients`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod pinecone_support;

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, ExitCode, Stdio},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mnemic_conformance::fixtures::{Rng, embedding, random_record};
use mnemic_core::{ChangeSeq, Embedding, Filter, PageRequest, ports::Index};
use mnemic_stand_ins::clients;
use pinecone_support::{Bench, removal, write};
use serde_json::{Value, json};

const CLIENTS: [&str; 2] = ["pinecone-10.2.0", "pinecone-9.0.1"];

fn main() -> ExitCode {
    let trials = CLIENTS.map(|client| {
        Trial::ignorable_test(format!("our_client_and_{client}_come_to_the_same"), move || {
            let python = match clients::python(client) {
                Ok(python) => python,
                Err(why) if clients::required("python-clients") => return Err(Failed::from(why)),
                Err(why) => return Ok(Completion::ignored_with(format!("python-clients cannot be installed: {why}"))),
            };
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            for seed in [51, 52, 53] {
                runtime.block_on(compare(&python, seed));
            }
            Ok(Completion::Completed)
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

async fn compare(python: &std::path::Path, seed: u64) {
    let bench = Bench::new().await;
    let mut rng = Rng::new(seed);
    let mut seq = 0;
    let mut steps = Vec::new();
    for _ in 0..12 {
        let (mut changes, mut put, mut gone) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for _ in 0..=rng.below(9) {
            seq += 1;
            let id = format!("r{} ж~}}\"", rng.below(14));
            if rng.chance(30) {
                changes.push(removal(seq, &id));
                put.remove(&id);
                gone.insert(id);
            } else {
                changes.push(write(seq, random_record(&mut rng, &id), embedding(&mut rng, &bench.model)));
                gone.remove(&id);
                put.insert(id);
            }
        }
        let before = bench.stand_in.requests().len();
        bench.apply(&changes).await.unwrap();
        // What our client made of it, in words that the other client is told; the other makes its own requests of them.
        let sent = bench.stand_in.requests().split_off(before);
        let bodies = |path: &str| -> Vec<Value> {
            let own = |body: &Value| body["namespace"] == bench.ns.as_str();
            sent.iter().filter(|asked| asked.path == path).map(mnemic_stand_ins::Exchange::json).filter(own).collect()
        };
        let upsert: Vec<Value> =
            bodies("/vectors/upsert").iter().flat_map(|body| body["vectors"].as_array().unwrap().clone()).collect();
        let delete: Vec<Value> =
            bodies("/vectors/delete").iter().flat_map(|body| body["ids"].as_array().unwrap().clone()).collect();
        assert_eq!((upsert.len(), delete.len()), (put.len(), gone.len()), "the last word on each record is sent once");
        steps.push(json!({"upsert": upsert, "delete": delete}));
    }
    assert_eq!(bench.position().await, seq);
    let queries: Vec<Embedding> = (0..5).map(|_| embedding(&mut rng, &bench.model)).collect();
    let vectors: Vec<&[f32]> = queries.iter().map(Embedding::components).collect();
    let script = json!({"steps": steps, "queries": vectors});
    let theirs = applied(python, &bench, "theirs", &script).await;
    // Nothing but looking at what our client left.
    let ours = applied(python, &bench, bench.ns.as_str(), &json!({"steps": [], "queries": vectors})).await;
    assert_eq!(ours, theirs, "seed {seed}");
    let listed = bench.index.ids(&bench.ns, &PageRequest::largest()).await.unwrap().items;
    assert_eq!(ours["ids"].as_array().unwrap().len(), listed.len());
    assert!(!listed.is_empty(), "the sequence leaves something to compare");
    for (query, found) in queries.iter().zip(theirs["found"].as_array().unwrap()) {
        let hits = bench.index.search_dense(&bench.ns, query, &Filter::all(), 10).await.unwrap();
        let scores: Vec<f64> = hits.iter().map(|hit| f64::from(hit.score)).collect();
        let wanted: Vec<f64> = found.as_array().unwrap().iter().map(|hit| hit[1].as_f64().unwrap()).collect();
        assert_eq!(scores.len(), wanted.len());
        let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-6;
        assert!(scores.iter().zip(&wanted).all(close), "{scores:?} and {wanted:?}");
    }
    assert_eq!(bench.index.visible(&bench.ns).await.unwrap(), ChangeSeq(seq));
}

/// Lets the other client apply the steps to a namespace, and tells what it then sees there.
async fn applied(python: &std::path::Path, bench: &Bench, namespace: &str, script: &Value) -> Value {
    let listed = bench.control(mnemic_http::Method::Get, "/indexes", None).await;
    let host = listed["indexes"][0]["host"].as_str().unwrap().to_owned();
    let mut child = Command::new(python)
        .arg(clients::folder().join("python/pinecone_apply.py"))
        .args([&bench.stand_in.url(), &host, namespace])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}
