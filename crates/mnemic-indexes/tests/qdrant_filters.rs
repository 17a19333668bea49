//! `QdrantIndex` finds what `Filter::matches` and the cosine say, and everything that is said keeps to Qdrant's own description.
//! Not here: bad days (`qdrant_bad_days`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod qdrant_support;

use std::collections::BTreeMap;

use mnemic_conformance::fixtures::{
    Rng, embedding, every_operator, extreme_records, model, namespace, random_filter, random_record, record,
};
use mnemic_core::{
    ChangeSeq, Comparison, Embedding, Field, Filter, MemoryRecord, Number, Operand, Value, Version, ports::Index,
};
use mnemic_stand_ins::{
    Knobs, Running,
    qdrant::StandIn,
    spec::{self, Spec},
};
use qdrant_support::{change, gone, index, listed, server};
use serde_json::json;

/// Random records, and those at the edges of what is allowed, with embeddings.
fn corpus(rng: &mut Rng) -> Vec<(MemoryRecord, Embedding)> {
    let random = (0..60).map(|n| random_record(rng, &format!("r{n}"))).collect::<Vec<_>>();
    let all = random.into_iter().chain(extreme_records());
    let versioned = all.enumerate().map(|(n, mut record)| {
        record.version = Version(if n % 9 == 8 { u64::MAX - n as u64 } else { n as u64 + 1 });
        record
    });
    versioned.collect::<Vec<_>>().into_iter().map(|record| (record, embedding(rng, &model()))).collect()
}

/// Comparisons where a double cannot tell two values apart, or a server could round.
fn sharp_filters() -> Vec<Filter> {
    let number = |literal: &str| Operand::Number(Number::parse(literal).unwrap());
    let literals = [
        "9007199254740992",
        "9007199254740993",
        "9007199254740994.0",
        "18446744073709551615",
        "1.8446744073709552e19",
        "9223372036854775807",
        "9223372036854775808",
        "0.1",
        "0.30000000000000004",
        "0.3",
        "5e-324",
        "2.5",
        "-0",
        "1e308",
    ];
    let fields = [
        "version",
        "salience",
        "confidence",
        "metadata.list",
        "metadata.9007199254740993",
        "metadata.fee",
        "metadata.18446744073709551615",
    ];
    let comparisons =
        [Comparison::Eq, Comparison::Ne, Comparison::Gt, Comparison::Gte, Comparison::Lt, Comparison::Lte];
    let mut filters = Vec::new();
    for field in fields.map(|name| Field::parse(name).unwrap()) {
        for literal in literals {
            for comparison in comparisons {
                let leaf = Filter::Compare(field.clone(), comparison, number(literal));
                filters.extend([Filter::Not(Box::new(leaf.clone())), leaf]);
            }
        }
        filters.push(Filter::In(field.clone(), literals.map(number).to_vec()));
        filters.push(Filter::Not(Box::new(Filter::Nin(field, literals.map(number).to_vec()))));
    }
    filters.retain(|filter| filter.check().is_ok());
    filters
}

fn keeps_to_the_description(server: &Running) {
    let Some(specs) = spec::directory() else {
        assert!(std::env::var_os("MNEMIC_REQUIRE_SHARED").is_none(), "the descriptions are not there");
        return;
    };
    // Closed: a misspelt member would be ignored by a server in silence.
    let spec = Spec::load_closed(&specs.join("qdrant-openapi-1.19.0.json")).unwrap();
    let mut judged: BTreeMap<(String, String), usize> = BTreeMap::new();
    for exchange in server.requests() {
        let sort = exchange.path.split('/').skip(3).collect::<Vec<_>>().join("/");
        let count = judged.entry((exchange.method.clone(), sort)).or_default();
        *count += 1;
        if *count > 400 {
            continue;
        }
        let mut faults = spec.check_request(&exchange);
        faults.extend(spec.check_answer(&exchange));
        assert!(faults.is_empty(), "{faults:?}\n{}\n{}", exchange.json(), exchange.answer_json());
    }
    assert!(judged.len() >= 8, "every sort of request was made: {judged:?}");
}

/// What must be found: the records that pass (as far as no text is asked about), with their cosines.
fn expected(records: &[(MemoryRecord, Embedding)], filter: &Filter, query: &Embedding) -> BTreeMap<String, f32> {
    let passing = records.iter().filter(|(record, _)| filter.matches(record));
    passing.map(|(record, held)| (record.id.to_string(), query.cosine(held).unwrap())).collect()
}

#[tokio::test]
async fn thousands_of_filters_find_what_the_reference_evaluator_and_the_cosine_say() {
    let strict = json!({ "enabled": true, "unindexed_filtering_retrieve": false, "unindexed_filtering_update": false });
    let server = StandIn { strict_mode: Some(strict), ..StandIn::default() }.start(Knobs::new()).unwrap();
    let (index, ns, other, mut rng) = (index(&server), namespace(), namespace(), Rng::new(39));
    let records = corpus(&mut rng);
    for ns in [&ns, &other] {
        index.prepare(ns, Some(&model())).await.unwrap();
        let changes: Vec<_> =
            records.iter().map(|(record, held)| change(1, record.clone(), Some(held.clone()))).collect();
        index.apply(ns, &changes, ChangeSeq(1)).await.unwrap();
    }
    index.apply(&other, &[gone(2, "r1")], ChangeSeq(2)).await.unwrap();
    let held: Vec<MemoryRecord> = records.iter().map(|(record, _)| record.clone()).collect();
    let mut filters: Vec<Filter> = (0..700).map(|_| random_filter(&mut rng, &held, 4)).collect();
    filters.extend(every_operator(&held));
    filters.extend(sharp_filters());
    for filter in &filters {
        let query = embedding(&mut rng, &model());
        let expected = expected(&records, filter, &query);
        let mut hits = index.search_dense(&ns, &query, filter, 1000).await.unwrap();
        if format!("{filter:?}").contains("(Text,") {
            // What is said in a text is the caller's to decide; nothing that passes may be missing.
            hits.retain(|hit| filter.matches(held.iter().find(|record| record.id == hit.id).unwrap()));
        }
        let found: BTreeMap<String, f32> = hits.iter().map(|hit| (hit.id.to_string(), hit.score)).collect();
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{filter:?}");
        assert!(found.iter().all(|(id, score)| (score - expected[id]).abs() < 1e-4), "{filter:?}");
    }
    assert!(filters.len() > 1500, "{} filters", filters.len());
    assert_eq!(index.dropped(), 0);
    index.ids(&ns, &mnemic_core::PageRequest::largest()).await.unwrap();
    index.check(&ns).await.unwrap();
    index.drop_namespace(&other).await.unwrap();
    keeps_to_the_description(&server);
}

#[tokio::test]
async fn the_few_of_thousands_that_pass_what_the_server_cannot_decide_are_found() {
    let server = server();
    let (index, ns, mut rng) = (index(&server), namespace(), Rng::new(40));
    index.prepare(&ns, Some(&model())).await.unwrap();
    let near = embedding(&mut rng, &model());
    let far = Embedding::new(&model(), near.components().iter().map(|x| -x).collect::<Vec<_>>()).unwrap();
    let make = |n: usize| {
        let mut record = record(&format!("r{n:04}"), "x");
        record.version = Version(1);
        record.metadata.insert("fee".to_owned(), Value::from(n as i64));
        change(1, record, Some(if n >= 5995 { far.clone() } else { near.clone() }))
    };
    index.apply(&ns, &(0..6000).map(make).collect::<Vec<_>>(), ChangeSeq(1)).await.unwrap();
    let fee = Field::parse("metadata.fee").unwrap();
    let above = |n: i64| Filter::Compare(fee.clone(), Comparison::Gte, Operand::Number(Number::from(n)));
    for (least, limit, count) in [(5995, 10, 5), (5995, 3, 3), (3000, 10, 10), (6000, 10, 0)] {
        let hits = index.search_dense(&ns, &near, &above(least), limit).await.unwrap();
        assert_eq!(hits.len(), count, "at least {least}, {limit} of them");
        assert!(hits.iter().all(|hit| *hit.id.as_str() >= *format!("r{least:04}")), "{hits:?}");
        // Equals are in order by id, and those that are found by listing are the first of them.
        assert!(least == 3000 || hits.iter().enumerate().all(|(n, hit)| hit.id.as_str() == format!("r{}", 5995 + n)));
    }
    assert!(
        server.requests().iter().any(|exchange| exchange.path.ends_with("/points/scroll")),
        "they were found by listing"
    );
}

#[tokio::test]
async fn no_request_on_points_lacks_the_namespace_and_nothing_of_a_dropped_one_stays() {
    let server = server();
    let (index, ns, other) = (index(&server), namespace(), namespace());
    let mut rng = Rng::new(41);
    for ns in [&ns, &other] {
        index.prepare(ns, Some(&model())).await.unwrap();
        let written = [change(1, record("same", "the secret text"), Some(embedding(&mut rng, &model())))];
        index.apply(ns, &written, ChangeSeq(1)).await.unwrap();
        index.apply(ns, &[gone(2, "never")], ChangeSeq(2)).await.unwrap();
    }
    let query = embedding(&mut rng, &model());
    let hostile = Filter::Or(vec![
        Filter::all(),
        Filter::equals(Field::Source, "user"),
        Filter::Not(Box::new(Filter::Or(Vec::new()))),
    ]);
    assert_eq!(index.search_dense(&ns, &query, &hostile, 10).await.unwrap().len(), 1);
    assert_eq!(listed(&index, &ns).await.len(), 1);
    index.drop_namespace(&ns).await.unwrap();
    assert_eq!(listed(&index, &other).await.len(), 1);
    for exchange in server.requests().iter().filter(|x| x.path.contains("/points") && x.method == "POST") {
        let body = exchange.json();
        let first = &body["filter"]["must"][0];
        let by_id = body.get("ids").is_some();
        assert!(by_id || first["key"] == "namespace", "{} {body}", exchange.path);
    }
    let everything: String = server.requests().iter().map(|x| String::from_utf8_lossy(&x.body).into_owned()).collect();
    assert!(!everything.contains("secret"), "no text leaves for the server");
    let name = qdrant_support::collections(&server).await.remove(0);
    let body = r#"{"limit":100,"with_payload":true}"#;
    let (_, left) = qdrant_support::call(
        &server,
        mnemic_http::Method::Post,
        &format!("/collections/{name}/points/scroll"),
        Some(body),
    )
    .await;
    assert!(!left.to_string().contains(ns.as_str()), "{left}");
    assert_eq!(left["result"]["points"].as_array().unwrap().len(), 3, "a record, a trace and a place of the other");
}
