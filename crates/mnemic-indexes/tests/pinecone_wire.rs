//! What the Pinecone index sends: held to Pinecone's own description, made in both shapes, awaited, and cheap to write.
//! Not here: the contract of indexes (`conformance_pinecone`), failures (`pinecone_bad_days`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stderr, reason = "tests fail by panicking")]

mod pinecone_support;

use std::{
    process::ExitCode,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mnemic_conformance::fixtures::{Rng, embedding, every_operator, extreme_records, model, namespace, random_record};
use mnemic_core::{
    ChangeSeq, EmbeddingModel, ErrorKind, Filter, Metric, PageRequest, Retry,
    ports::{Index, IndexChange},
};
use mnemic_indexes::{PineconeApi, PineconeIndex};
use mnemic_stand_ins::{
    Exchange, Fault, Knobs,
    pinecone::StandIn,
    spec::{self, Spec},
};
use pinecone_support::{Bench, config, removal, write, writes};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let mut trials = vec![
        trial("an_index_is_made_in_the_shape_of_the_api_that_is_spoken", shapes),
        trial("two_that_make_the_same_index_at_once_share_it", races),
        trial("a_lost_answer_to_making_an_index_is_found_out_by_looking", lost_creation),
        trial("making_an_index_tells_of_its_progress_and_ends_in_time", progress),
        trial("every_record_at_its_limits_is_taken_with_metadata_within_forty_kilobytes", extremes),
        trial("vectors_are_written_in_the_digits_of_their_type", digits),
        trial("ids_are_fetched_in_addresses_that_servers_take", addresses),
        trial("writing_a_thousand_vectors_costs_at_most_twice_what_their_json_costs", cost),
    ];
    for api in [PineconeApi::V2026_04, PineconeApi::V2026_07] {
        let name = format!("whatever_is_asked_in_{}_is_described", api.as_str());
        trials.push(Trial::ignorable_test(name, move || {
            let Some(specs) = spec::directory() else {
                let why = "the vendors' descriptions are not there (MNEMIC_SHARED)";
                return if std::env::var("MNEMIC_REQUIRE_SHARED").is_ok_and(|wanted| wanted == "1") {
                    Err(Failed::from(why))
                } else {
                    Ok(Completion::ignored_with(why))
                };
            };
            let load =
                |plane: &str| Spec::load_closed(&specs.join(format!("pinecone_db_{plane}_2026-04.oas.yaml"))).unwrap();
            runtime().block_on(described(api, &load("control"), &load("data")));
            Ok(Completion::Completed)
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial<F: Future<Output = ()> + 'static>(name: &str, run: fn() -> F) -> Trial {
    Trial::test(name, move || {
        runtime().block_on(run());
        Ok(())
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Everything that the index does, judged request by request.
async fn described(api: PineconeApi, control: &Spec, data: &Spec) {
    let bench = Bench::with(model(), |config| mnemic_indexes::PineconeConfig { api, ..config }).await;
    let mut rng = Rng::new(31);
    let records: Vec<_> = (0..30).map(|n| random_record(&mut rng, &format!("r{n} ж/?&\"}}~"))).collect();
    let changes: Vec<IndexChange> = records
        .iter()
        .enumerate()
        .map(|(n, record)| write(n as u64 + 1, record.clone(), embedding(&mut rng, &bench.model)))
        .collect();
    bench.apply(&changes).await.unwrap();
    bench.apply(&[removal(31, changes[0].id.as_str()), removal(32, "never")]).await.unwrap();
    bench.find(&Filter::all(), 5).await.unwrap();
    for filter in every_operator(&records) {
        bench.find(&filter, 5).await.unwrap();
    }
    bench.index.ids(&bench.ns, &PageRequest::first(7).unwrap()).await.unwrap();
    assert_eq!(bench.listed().await.len(), 29);
    bench.index.visible(&bench.ns).await.unwrap();
    bench.index.check(&bench.ns).await.unwrap();
    assert_eq!(bench.another().await.position(&bench.ns).await.unwrap(), ChangeSeq(32));
    bench.index.drop_namespace(&bench.ns).await.unwrap();
    let exchanges = bench.stand_in.requests();
    let mut seen = std::collections::BTreeSet::new();
    for exchange in &exchanges {
        seen.insert(exchange.path.split('/').nth(1).unwrap_or_default().to_owned());
        let faults = judged(api, exchange, control, data);
        assert!(faults.is_empty(), "{faults:#?}\n{}", String::from_utf8_lossy(&exchange.body));
        assert_eq!(exchange.headers["x-pinecone-api-version"], api.as_str());
        let namespace = exchange.json()["namespace"].clone();
        let namespaced = exchange.path.starts_with("/vectors") || exchange.path == "/query";
        assert!(!namespaced || exchange.method == "GET" || namespace.as_str().is_some_and(|name| !name.is_empty()));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["indexes", "namespaces", "query", "vectors"]);
}

fn judged(api: PineconeApi, exchange: &Exchange, control: &Spec, data: &Spec) -> Vec<String> {
    let is_control = exchange.path.starts_with("/indexes");
    match (api, is_control) {
        (PineconeApi::V2026_04, true) => control.check(exchange),
        // 2026-07 changed how indexes are made and told of, which `shapes` is about, and how namespaces are counted.
        (PineconeApi::V2026_07, true) => Vec::new(),
        (PineconeApi::V2026_07, false) if exchange.path.starts_with("/namespaces") => data.check_request(exchange),
        (PineconeApi::V2026_04 | PineconeApi::V2026_07, false) => data.check(exchange),
    }
}

async fn shapes() {
    for protection in [true, false] {
        for api in [PineconeApi::V2026_04, PineconeApi::V2026_07] {
            let bench = Bench::with(model(), |mut config| {
                (config.api, config.deletion_protection) = (api, protection);
                config
            })
            .await;
            let made = bench.asked("POST", "/indexes");
            assert_eq!((made.len(), made[0].status), (1, 201));
            let plan = made[0].json();
            let dimension = bench.model.dimension();
            let word = if protection { "enabled" } else { "disabled" };
            let tags = json!({ "mnemic-model": bench.model.to_string() });
            let expected = match api {
                PineconeApi::V2026_04 => json!({
                    "name": plan["name"], "dimension": dimension, "metric": "cosine", "vector_type": "dense",
                    "deletion_protection": word, "tags": tags,
                    "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}},
                }),
                PineconeApi::V2026_07 => json!({
                    "name": plan["name"], "deletion_protection": word, "tags": tags,
                    "schema": {"fields": {"_values": {"type": "dense_vector", "dimension": dimension, "metric": "cosine"}}},
                    "deployment": {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"},
                }),
            };
            assert_eq!(plan, expected);
            // Made by one version of the API, found by the other.
            let other = if api == PineconeApi::V2026_04 { PineconeApi::V2026_07 } else { PineconeApi::V2026_04 };
            let config = mnemic_indexes::PineconeConfig { api: other, ..config(&bench.stand_in) };
            let second = PineconeIndex::new(config).unwrap();
            second.prepare(&bench.ns, Some(&bench.model)).await.unwrap();
            assert_eq!(bench.asked("POST", "/indexes").len(), 1);
        }
    }
}

async fn races() {
    let stand_in = StandIn::start(Knobs::new()).unwrap();
    stand_in.habits().preparing(Duration::from_millis(120));
    stand_in.knobs().delay(Duration::from_millis(30));
    let handles: Vec<PineconeIndex> = (0..4).map(|_| PineconeIndex::new(config(&stand_in)).unwrap()).collect();
    let (ns, model) = (namespace(), model());
    let [a, b, c, d] = [0, 1, 2, 3].map(|n: usize| handles[n].prepare(&ns, Some(&model)));
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    for outcome in [a, b, c, d] {
        outcome.unwrap();
    }
    let made = stand_in.requests().into_iter().filter(|asked| asked.method == "POST" && asked.path == "/indexes");
    let statuses: Vec<u16> = made.map(|asked| asked.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.contains(&409), "nobody raced: {statuses:?}");
}

async fn lost_creation() {
    let stand_in = StandIn::start(Knobs::new()).unwrap();
    let index = PineconeIndex::new(config(&stand_in)).unwrap();
    // The first request looks for the index, the second makes it.
    stand_in.knobs().next([Fault::Fine, Fault::LostAnswer]);
    let error = index.prepare(&namespace(), Some(&model())).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon));
    index.prepare(&namespace(), Some(&model())).await.unwrap();
    assert_eq!(
        stand_in.requests().iter().filter(|asked| asked.method == "POST" && asked.path == "/indexes").count(),
        1
    );
}

async fn progress() {
    let stand_in = StandIn::start(Knobs::new()).unwrap();
    stand_in.habits().preparing(Duration::from_millis(700));
    let told = Arc::new(Mutex::new(Vec::<String>::new()));
    let listener = Arc::clone(&told);
    let mut settings = config(&stand_in);
    settings.progress = Some(Arc::new(move |what| listener.lock().unwrap().push(what.to_owned())));
    settings.ready_within = Duration::from_millis(200);
    let hasty = PineconeIndex::new(settings.clone()).unwrap();
    let error = hasty.prepare(&namespace(), Some(&model())).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon));
    assert!(error.to_string().contains("not ready after"), "{error}");
    settings.ready_within = Duration::from_secs(20);
    PineconeIndex::new(settings).unwrap().prepare(&namespace(), Some(&model())).await.unwrap();
    let told = told.lock().unwrap().join("\n");
    for part in ["making the Pinecone index mnemic-", "to be ready: Initializing (0 s)", "is ready"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

async fn extremes() {
    let bench = Bench::new().await;
    let mut records = extreme_records();
    // As many labels as may be, of characters that JSON writes in two.
    let mut labelled = random_record(&mut Rng::new(1), "labelled");
    labelled.tags = (0..64).map(|n| format!("{n:02}{}", "\"".repeat(253))).collect();
    labelled.path = vec!["\\".repeat(255); 16];
    labelled.metadata.insert("long".to_owned(), "я".repeat(20_000).into());
    records.push(labelled);
    let mut rng = Rng::new(32);
    let changes: Vec<IndexChange> = records
        .iter()
        .enumerate()
        .map(|(n, record)| write(n as u64 + 1, record.clone(), embedding(&mut rng, &bench.model)))
        .collect();
    bench.apply(&changes).await.unwrap();
    let mut expected: Vec<String> = records.iter().map(|record| record.id.to_string()).collect();
    expected.sort();
    let listed: Vec<String> = bench.listed().await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(listed, expected);
    for record in &records {
        for tag in record.tags.iter().take(2) {
            let found = bench.find(&Filter::equals(mnemic_core::Field::Tags, tag.clone()), 100).await.unwrap();
            assert!(found.contains(&record.id.to_string()), "{} is not found by its tag", record.id);
        }
    }
}

async fn digits() {
    let bench = Bench::new().await;
    let changes = writes(1, &bench.model);
    bench.apply(&changes).await.unwrap();
    let components = changes[0].record.as_ref().unwrap().embedding.as_ref().unwrap().components();
    let sent = bench.asked("POST", "/vectors/upsert");
    let body = String::from_utf8_lossy(&sent[0].body).into_owned();
    let texts: Vec<String> = components.iter().map(|component| serde_json::to_string(component).unwrap()).collect();
    assert!(body.contains(&format!("\"values\":[{}]", texts.join(","))), "{body}");
    assert!(texts.iter().all(|text| text.len() <= 14), "no f32 takes more digits: {texts:?}");
    let meta = &sent[0].json()["vectors"][0]["metadata"];
    let plain = |value: &Value| value.is_string() || value.is_number() || value.is_boolean() || value.is_array();
    assert!(meta.as_object().unwrap().iter().all(|(key, value)| !key.starts_with('$') && plain(value)), "{meta}");
    assert!(meta["created_at"].is_number() && meta["id"] == "r001", "{meta}");
}

async fn addresses() {
    let bench = Bench::new().await;
    let mut rng = Rng::new(33);
    let name = |n: usize| format!("{}{n:03}", "я".repeat(120));
    let changes: Vec<IndexChange> = (1..=150usize)
        .map(|n| {
            write(n as u64, mnemic_conformance::fixtures::record(&name(n), "x"), embedding(&mut rng, &bench.model))
        })
        .collect();
    bench.apply(&changes).await.unwrap();
    assert_eq!(bench.listed().await.len(), 150);
    let fetched = bench.asked("GET", "/vectors/fetch");
    let longest = fetched.iter().map(|asked| asked.query.len()).max().unwrap_or_default();
    assert!(longest < 8_000, "an address of {longest} bytes");
}

/// Processor time of this thread, which other work on the machine does not count into; wall time where the system does not tell.
fn busy() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|told| told.split_whitespace().next()?.parse().ok());
    nanos.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// Measured on this machine in the optimization that tests run in; both sides are in it.
async fn cost() {
    #[derive(serde::Serialize)]
    struct Plain<'a> {
        id: &'a str,
        values: &'a [f32],
        metadata: std::collections::BTreeMap<&'static str, &'static str>,
    }
    let large = EmbeddingModel::new("test", "large", 2048, Metric::Cosine).unwrap();
    let changes = writes(1000, &large);
    let plain: Vec<Plain<'_>> = changes
        .iter()
        .map(|change| Plain {
            id: change.id.as_str(),
            values: change.record.as_ref().unwrap().embedding.as_ref().unwrap().components(),
            metadata: [("kind", "semantic"), ("source", "user")].into(),
        })
        .collect();
    let (mut reference, mut ours) = (Duration::MAX, Duration::MAX);
    for _ in 0..7 {
        let begin = busy();
        let bytes = serde_json::to_vec(&plain).unwrap().len();
        reference = reference.min(busy().saturating_sub(begin));
        let begin = busy();
        let bodies = mnemic_indexes::pinecone::upsert_bodies("ns", &changes).unwrap();
        ours = ours.min(busy().saturating_sub(begin));
        let sent: usize = bodies.iter().map(bytes::Bytes::len).sum();
        assert!(sent >= bytes && bodies.iter().all(|body| body.len() <= 1_900_000));
    }
    let ratio = ours.as_secs_f64() / reference.as_secs_f64();
    eprintln!("writing 1,000 vectors of 2,048: {ours:.1?}, {ratio:.2} times serde_json");
    assert!(ratio <= 2.0, "{ours:?} instead of {reference:?}");
}
