//! Pinecone on bad days: lost answers, halves of batches, lag, vanished indexes, senseless hits, refusals of every kind.
//! Not here: the contract of indexes (`conformance_pinecone`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod pinecone_support;

use std::time::Duration;

use mnemic_conformance::fixtures::{Rng, embedding, model, record, wide_model};
use mnemic_core::{
    ChangeSeq, EmbeddingModel, ErrorKind, Filter, Metric, PageRequest, Retry,
    ports::{Index, IndexReport},
};
use mnemic_http::Method;
use mnemic_indexes::PineconeIndex;
use mnemic_stand_ins::{Fault, pinecone::LsnHeaders};
use pinecone_support::{Bench, config, removal, write, writes};
use serde_json::json;

const ALL: Filter = Filter::all();

/// A model whose vectors fill a request with some eighty of them.
fn large() -> EmbeddingModel {
    EmbeddingModel::new("test", "large", 2048, Metric::Cosine).unwrap()
}

#[tokio::test]
async fn a_batch_of_which_only_a_part_arrived_is_fed_again_and_is_whole() {
    let bench = Bench::with(large(), |config| config).await;
    let changes = writes(200, &bench.model);
    bench.stand_in.knobs().next_on("/vectors/upsert", Fault::Fine).next_on("/vectors/upsert", Fault::json(503, "{}"));
    let error = bench.apply(&changes).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon));
    assert_eq!(bench.position().await, 0, "nothing is claimed that did not arrive");
    let part = bench.listed().await.len();
    assert!(part > 0 && part < 200, "{part} arrived");
    bench.apply(&changes).await.unwrap();
    assert_eq!((bench.position().await, bench.listed().await.len()), (200, 200));
    for asked in bench.asked("POST", "/vectors/upsert") {
        assert!(asked.body.len() <= 1_900_000, "{} bytes", asked.body.len());
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_duplicates_nothing_and_loses_nothing() {
    let bench = Bench::new().await;
    let changes = writes(3, &bench.model);
    for path in ["/vectors/upsert", "/vectors/upsert", "/vectors/delete"] {
        bench.stand_in.knobs().next_on(path, Fault::LostAnswer);
    }
    let mut all = changes.clone();
    all.push(removal(4, "r002"));
    let mut attempts = 0;
    while let Err(error) = bench.apply(&all).await {
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon), "{error:?}");
        attempts += 1;
        assert!(attempts < 9, "it is never done");
    }
    assert_eq!(attempts, 3);
    assert_eq!(bench.listed().await, [("r001".to_owned(), 1), ("r003".to_owned(), 3)]);
    assert_eq!((bench.position().await, bench.another().await.position(&bench.ns).await.unwrap().0), (4, 4));
    bench.stand_in.knobs().next_on("/vectors/upsert", Fault::Repeated);
    bench.apply(&[write(5, record("r009", "x"), embedding(&mut Rng::new(9), &bench.model))]).await.unwrap();
    assert_eq!(bench.listed().await.len(), 3);
}

#[tokio::test]
async fn a_crash_between_data_and_position_replays() {
    let bench = Bench::new().await;
    bench.apply(&writes(2, &bench.model)).await.unwrap();
    // The second write of a feeding is the one that keeps the position.
    bench.stand_in.knobs().next_on("/vectors/upsert", Fault::Fine).next_on("/vectors/upsert", Fault::Reset);
    let more = [write(3, record("r003", "x"), embedding(&mut Rng::new(3), &bench.model))];
    assert_eq!(bench.apply(&more).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let other = bench.another().await;
    assert_eq!(other.position(&bench.ns).await.unwrap(), ChangeSeq(2));
    other.apply(&bench.ns, &more, ChangeSeq(3)).await.unwrap();
    assert_eq!(bench.listed().await.len(), 3);
    assert_eq!(bench.another().await.position(&bench.ns).await.unwrap(), ChangeSeq(3));
}

#[tokio::test]
async fn what_was_written_is_not_claimed_to_show_before_it_does() {
    let bench = Bench::new().await;
    bench.apply(&writes(2, &bench.model)).await.unwrap();
    assert_eq!(bench.index.visible(&bench.ns).await.unwrap(), ChangeSeq(2));
    bench.stand_in.habits().hold(true);
    bench.apply(&[write(3, record("r003", "x"), embedding(&mut Rng::new(3), &bench.model))]).await.unwrap();
    bench.index.apply(&bench.ns, &[], ChangeSeq(5)).await.unwrap();
    assert_eq!(bench.position().await, 5);
    for _ in 0..3 {
        assert_eq!(bench.index.visible(&bench.ns).await.unwrap(), ChangeSeq(2));
    }
    assert_eq!(bench.find(&ALL, 10).await.unwrap().len(), 2, "a stale read");
    // A handle that did not write it does not know less.
    let other = bench.another().await;
    assert_eq!(other.position(&bench.ns).await.unwrap(), ChangeSeq(3));
    assert!(other.visible(&bench.ns).await.unwrap() < ChangeSeq(3));
    bench.stand_in.habits().hold(false);
    assert_eq!(bench.index.visible(&bench.ns).await.unwrap(), ChangeSeq(5));
    assert_eq!(other.visible(&bench.ns).await.unwrap(), ChangeSeq(3));
    assert_eq!(bench.find(&ALL, 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn where_pinecone_tells_positions_by_their_old_names_or_not_at_all_it_is_followed_or_time_decides() {
    let bench = Bench::with(model(), |mut config| {
        config.assume_visible_after = Duration::from_millis(300);
        config
    })
    .await;
    bench.stand_in.habits().lsn(LsnHeaders::Old).hold(true);
    bench.apply(&writes(1, &bench.model)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(bench.index.visible(&bench.ns).await.unwrap(), ChangeSeq(0), "known not to show, however long it takes");
    bench.stand_in.habits().hold(false);
    assert_eq!(bench.index.visible(&bench.ns).await.unwrap(), ChangeSeq(1));
    bench.stand_in.habits().lsn(LsnHeaders::Absent);
    let begin = std::time::Instant::now();
    bench.apply(&[write(2, record("r002", "x"), embedding(&mut Rng::new(2), &bench.model))]).await.unwrap();
    while bench.index.visible(&bench.ns).await.unwrap() < ChangeSeq(2) {
        assert!(begin.elapsed() < Duration::from_secs(20), "it never counts as visible");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(begin.elapsed() >= Duration::from_millis(300), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn an_index_that_vanished_is_made_anew_and_fed_from_the_start() {
    let bench = Bench::new().await;
    let changes = writes(3, &bench.model);
    bench.apply(&changes).await.unwrap();
    let name = bench.index_name().await;
    bench.control(Method::Delete, &format!("/indexes/{name}"), None).await;
    let error = bench.find(&ALL, 10).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon));
    assert!(error.to_string().contains(&name) && error.to_string().contains("vanished"), "{error}");
    assert_eq!(bench.position().await, 0, "what was fed is gone, and is not claimed");
    assert_eq!(bench.find(&ALL, 10).await.unwrap(), Vec::<String>::new());
    bench.apply(&changes).await.unwrap();
    assert_eq!(bench.listed().await.len(), 3);
    // The same while it is being fed.
    bench.control(Method::Delete, &format!("/indexes/{name}"), None).await;
    let more = [write(4, record("r004", "x"), embedding(&mut Rng::new(4), &bench.model))];
    assert_eq!(bench.apply(&more).await.unwrap_err().retry(), Retry::Soon);
    assert_eq!(bench.position().await, 0);
}

#[tokio::test]
async fn an_index_of_other_dimensions_or_another_model_is_refused_and_never_remade() {
    let bench = Bench::new().await;
    bench.apply(&writes(1, &bench.model)).await.unwrap();
    let name = bench.index_name().await;
    let foreign = |dimension: u32, tags: serde_json::Value| {
        json!({"name": name, "tags": tags,
            "schema": {"fields": {"_values": {"type": "dense_vector", "dimension": dimension, "metric": "cosine"}}}})
    };
    let own = json!({ "mnemic-model": bench.model.to_string() });
    let other = wide_model().to_string();
    for (plan, names) in [
        (foreign(3, own), "3 dimensions"),
        (foreign(bench.model.dimension(), json!({"mnemic-model": other})), other.as_str()),
        (foreign(bench.model.dimension(), json!({})), "no model of Mnemic"),
    ] {
        bench.control(Method::Delete, &format!("/indexes/{name}"), None).await;
        bench.control(Method::Post, "/indexes", Some(plan)).await;
        // The first answer tells that it moved, every later one why it is of no use.
        drop(bench.find(&ALL, 1).await);
        let fresh = PineconeIndex::new(config(&bench.stand_in)).unwrap();
        let refused = fresh.prepare(&bench.ns, Some(&bench.model)).await.unwrap_err();
        for error in [refused, bench.find(&ALL, 1).await.unwrap_err()] {
            assert_eq!((error.kind(), error.retry()), (ErrorKind::ModelMismatch, Retry::Never), "{error:?}");
            let told = error.to_string();
            assert!(told.contains(names) && told.contains(&bench.model.to_string()), "{told}");
        }
    }
    assert_eq!(
        bench.asked("POST", "/indexes").iter().filter(|asked| asked.status == 201).count(),
        4,
        "ours and three of theirs"
    );
}

#[tokio::test]
async fn hits_that_make_no_sense_are_dropped_and_counted() {
    let bench = Bench::new().await;
    bench.apply(&writes(2, &bench.model)).await.unwrap();
    let meta = |id: &str, version: serde_json::Value| json!({"id": id, "version": version, "kind": "semantic"});
    let answer = json!({"matches": [
        {"id": "r001", "score": 1.000_000_2, "metadata": meta("r001", json!(1))},
        {"id": "r001", "score": 0.9, "metadata": meta("r001", json!(1))},
        {"id": "r002", "score": null, "metadata": meta("r002", json!(2))},
        {"id": "r002", "score": "NaN", "metadata": meta("r002", json!(2))},
        {"id": "r002", "metadata": meta("r002", json!(2))},
        {"id": "foreign}", "score": 0.5, "metadata": meta("foreign}", json!(2))},
        {"id": "bare", "score": 0.5},
        {"id": "swapped", "score": 0.5, "metadata": meta("r002", json!(2))},
        {"id": "no-version", "score": 0.5, "metadata": meta("no-version", json!("x"))},
        {"id": "minus", "score": 0.5, "metadata": meta("minus", json!(-1))},
        {"score": 0.5},
    ]});
    bench.stand_in.knobs().next_on("/query", Fault::json(200, answer.to_string()));
    let query = embedding(&mut Rng::new(1), &bench.model);
    let hits = bench.index.search_dense(&bench.ns, &query, &ALL, 20).await.unwrap();
    assert_eq!(hits.len(), 1, "{hits:?}");
    assert_eq!((hits[0].id.as_str(), hits[0].version.0, hits[0].score), ("r001", 1, 1.0));
    let IndexReport { records, faults, .. } = bench.index.check(&bench.ns).await.unwrap();
    assert_eq!((records, faults.len()), (2, 2), "{faults:?}");
    assert!(faults[0].starts_with("6 results") && faults[1].starts_with("3 scores"), "{faults:?}");
    for hostile in [
        "{\"matches\":[{\"id\":\"r001\",\"score\":NaN}]}",
        "[]",
        "{\"matches\":7}",
        "",
        "\u{0}",
        "{}",
        "{\"matches\":null}",
    ] {
        bench.stand_in.knobs().next_on("/query", Fault::json(200, hostile));
        match bench.find(&ALL, 20).await {
            Ok(hits) => assert_eq!(hits, Vec::<String>::new(), "{hostile}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{hostile}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_vector_that_somebody_else_put_there_is_not_listed() {
    let bench = Bench::new().await;
    bench.apply(&writes(2, &bench.model)).await.unwrap();
    let page = json!({"vectors": [{"id": "r001"}, {"id": "}~"}, {"id": "r002"}, {"id": "unknown"}], "pagination": {"next": ""}});
    bench.stand_in.knobs().next_on("/vectors/list", Fault::json(200, page.to_string()));
    assert_eq!(bench.listed().await, [("r001".to_owned(), 1), ("r002".to_owned(), 2)]);
    // A listing that runs in a circle ends.
    let circle = json!({"vectors": [{"id": "r001"}], "pagination": {"next": "again"}}).to_string();
    bench.stand_in.knobs().next_on("/vectors/list", Fault::json(200, circle.clone()));
    bench.stand_in.knobs().next_on("/vectors/list", Fault::json(200, circle));
    let page = bench.index.ids(&bench.ns, &PageRequest::largest()).await.unwrap();
    assert_eq!((page.items.len(), page.next), (2, None));
}

#[tokio::test]
async fn a_batch_that_is_too_large_after_all_is_sent_in_halves() {
    for refusal in [
        Fault::status(413),
        Fault::json(
            400,
            r#"{"code":11,"message":"Request size 3MB exceeds the maximum supported size of 2MB","details":[]}"#,
        ),
    ] {
        let bench = Bench::new().await;
        let upsert = "/vectors/upsert";
        bench.stand_in.knobs().next_on(upsert, refusal.clone()).next_on(upsert, refusal.clone());
        bench.apply(&writes(7, &bench.model)).await.unwrap();
        assert_eq!(bench.listed().await.len(), 7);
        let sent = bench.asked("POST", upsert);
        let counts: Vec<usize> = sent.iter().map(|asked| asked.json()["vectors"].as_array().unwrap().len()).collect();
        assert_eq!(counts, [7, 3, 1, 2, 4, 1], "halves of halves, and the position at last");
        // One vector that is too large on its own is the caller's.
        bench.stand_in.knobs().next_on(upsert, refusal);
        let one = [write(8, record("r008", "x"), embedding(&mut Rng::new(8), &bench.model))];
        let error = bench.apply(&one).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::InvalidInput, Retry::Never));
    }
}

#[tokio::test]
async fn every_refusal_has_its_kind_and_its_verdict() {
    let bench = Bench::new().await;
    bench.apply(&writes(1, &bench.model)).await.unwrap();
    let control = |status: u16, code: &str, message: &str| {
        Fault::json(status, json!({"status": status, "error": {"code": code, "message": message}}).to_string())
    };
    let data = |status: u16, code: u8, message: &str| {
        Fault::json(status, json!({"code": code, "message": message, "details": []}).to_string())
    };
    let qps = "Request failed. You've reached the query QPS limit for namespace n (100 QPS).";
    let month = "Request failed. You've reached your read unit limit for the current month (1000000).";
    let quota = "This project already contains 20 serverless indexes, the maximum per project.";
    let secret = r#"Metadata value must be a string, got '{"diagnosis":1}' for field 'x'"#;
    let soon = Retry::Soon;
    for (fault, kind, retry, says) in [
        (data(400, 3, "Vector dimension 3 does not match"), ErrorKind::InvalidInput, Retry::Never, "dimension 3"),
        (data(400, 3, secret), ErrorKind::InvalidInput, Retry::Never, "must be a string"),
        (data(401, 16, "Invalid API key"), ErrorKind::Denied, Retry::Never, "Invalid API key"),
        (Fault::plain_unauthorized("Unauthorized"), ErrorKind::Denied, Retry::Never, "Unauthorized"),
        (control(402, "PAYMENT_REQUIRED", "Request failed."), ErrorKind::Denied, Retry::Never, "payment"),
        (control(403, "QUOTA_EXCEEDED", quota), ErrorKind::Denied, Retry::Never, "limit of its plan"),
        (control(403, "FORBIDDEN", "Deletion protection is enabled"), ErrorKind::Conflict, Retry::Never, "protects"),
        (control(409, "ALREADY_EXISTS", "Resource already exists."), ErrorKind::Conflict, Retry::Never, "already"),
        (control(412, "FAILED_PRECONDITION", "Unable to delete"), ErrorKind::Conflict, Retry::Never, "Unable"),
        (control(422, "UNPROCESSABLE_ENTITY", "Failed to"), ErrorKind::InvalidInput, Retry::Never, "Failed to"),
        (data(429, 8, qps), ErrorKind::RateLimited, soon, "QPS limit"),
        (data(429, 8, qps).waiting("3"), ErrorKind::RateLimited, Retry::After(Duration::from_secs(3)), "QPS limit"),
        (data(429, 8, month), ErrorKind::RateLimited, Retry::Never, "this month"),
        (data(500, 13, "internal"), ErrorKind::Unavailable, soon, "internal"),
        (Fault::html_bad_gateway(), ErrorKind::Unavailable, soon, "502"),
        (data(503, 14, "busy").waiting("2"), ErrorKind::Unavailable, Retry::After(Duration::from_secs(2)), "busy"),
        (Fault::Truncated, ErrorKind::Unavailable, soon, ""),
        (Fault::Reset, ErrorKind::Unavailable, soon, ""),
        (Fault::status(302), ErrorKind::Unavailable, Retry::Never, ""),
        (Fault::status(404), ErrorKind::Unavailable, soon, "does not answer"),
    ] {
        bench.stand_in.knobs().next_on("/query", fault.clone());
        let error = bench.find(&ALL, 1).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{fault:?}: {error:?}");
        let told = error.to_string();
        assert!(told.contains(says), "{fault:?}: {told}");
        assert!(!told.contains("diagnosis") && !told.contains("127.0.0.1") && told.chars().count() < 450, "{told}");
        assert_eq!(bench.find(&ALL, 1).await.unwrap().len(), 1, "after {fault:?}");
    }
}

#[tokio::test]
async fn a_namespace_that_is_missing_is_empty_wherever_pinecone_says_404() {
    let bench = Bench::new().await;
    bench.stand_in.habits().missing_namespace_everywhere(true);
    assert_eq!(bench.position().await, 0);
    assert_eq!(bench.find(&ALL, 5).await.unwrap(), Vec::<String>::new());
    assert_eq!(bench.listed().await, []);
    assert_eq!(bench.index.check(&bench.ns).await.unwrap(), IndexReport::default());
    bench.apply(&[removal(1, "never")]).await.unwrap();
    assert_eq!((bench.position().await, bench.index.visible(&bench.ns).await.unwrap().0), (1, 1));
    bench.index.drop_namespace(&bench.ns).await.unwrap();
    assert_eq!(bench.position().await, 0);
}

#[tokio::test]
async fn dropping_reaches_indexes_of_earlier_models_and_returns_when_nothing_shows() {
    let bench = Bench::new().await;
    bench.stand_in.habits().lag(Duration::from_millis(120));
    bench.apply(&writes(3, &bench.model)).await.unwrap();
    let wide = wide_model();
    bench.index.prepare(&bench.ns, Some(&wide)).await.unwrap();
    assert_eq!(bench.position().await, 0, "another model is another index, fed on its own");
    let change = write(9, record("r009", "x"), embedding(&mut Rng::new(9), &wide));
    bench.index.apply(&bench.ns, &[change], ChangeSeq(9)).await.unwrap();
    // A fresh handle, which knows of neither.
    let other = PineconeIndex::new(config(&bench.stand_in)).unwrap();
    other.drop_namespace(&bench.ns).await.unwrap();
    for model in [&bench.model, &wide] {
        let fresh = PineconeIndex::new(config(&bench.stand_in)).unwrap();
        fresh.prepare(&bench.ns, Some(model)).await.unwrap();
        assert_eq!(fresh.ids(&bench.ns, &PageRequest::largest()).await.unwrap().items, []);
        assert_eq!(fresh.position(&bench.ns).await.unwrap(), ChangeSeq(0));
    }
}
