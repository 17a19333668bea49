//! `QdrantIndex` on bad days: lost, stale, partial and hostile answers, late writers, collections that vanish or change.
//! Not here: the contract (`conformance_qdrant`), filters (`qdrant_filters`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod qdrant_support;

use mnemic_conformance::fixtures::{Rng, embedding, model, namespace, other_model, record};
use mnemic_core::{
    ChangeSeq, EmbeddingModel, ErrorKind, Filter, Metric, Namespace, PageRequest, Retry,
    ports::{Index, IndexHit},
};
use mnemic_indexes::QdrantIndex;
use mnemic_stand_ins::{Fault, Knobs, Running, qdrant::StandIn};
use qdrant_support::{call, change, gone, ids, index, listed, server, written};
use serde_json::{Value, json};

const ALL: Filter = Filter::all();

async fn ready(server: &Running) -> (QdrantIndex, Namespace) {
    let (index, ns) = (index(server), namespace());
    index.prepare(&ns, Some(&model())).await.unwrap();
    (index, ns)
}

async fn found(index: &QdrantIndex, ns: &Namespace) -> Vec<IndexHit> {
    index.search_dense(ns, &embedding(&mut Rng::new(1), &model()), &ALL, 10).await.unwrap()
}

/// A way to spoil the points of an answer.
type Break = fn(&mut Vec<Value>);

/// The answer to the last query, to be changed.
fn last_answer(server: &Running) -> Value {
    let queries = server.requests().into_iter().filter(|exchange| exchange.path.ends_with("/points/query"));
    queries.last().unwrap().answer_json()
}

#[tokio::test]
async fn a_late_writer_never_puts_an_older_revision_over_a_newer_one() {
    let server = server();
    let (early, ns) = ready(&server).await;
    let late = index(&server);
    late.prepare(&ns, Some(&model())).await.unwrap();
    early.apply(&ns, &[written(1, "r", 1), written(2, "s", 1)], ChangeSeq(2)).await.unwrap();
    // The late one read the same stretch of the feed, and its requests arrive after those of the other.
    assert_eq!(late.position(&ns).await.unwrap(), ChangeSeq(2));
    server.knobs().clear();
    early.apply(&ns, &[written(5, "r", 3), gone(6, "s"), written(7, "t", 1)], ChangeSeq(7)).await.unwrap();
    let before: Vec<_> = listed(&early, &ns).await;
    let replay = server.requests().into_iter().rfind(|x| {
        x.method == "PUT" && x.path.ends_with("/points") && x.json()["points"].as_array().unwrap().len() == 3
    });
    let mut body = replay.unwrap().json();
    // The same request as it would have been two revisions ago, for a record that was replaced and one that is gone.
    let old =
        serde_json::to_string(&json!({"points": body["points"].take(), "update_filter": body["update_filter"].take()}))
            .unwrap();
    let old = old
        .replace("\"seq\":5", "\"seq\":3")
        .replace("\"seq\":6", "\"seq\":4")
        .replace("\"lt\":5", "\"lt\":3")
        .replace("\"lt\":6", "\"lt\":4");
    let old = old.replace("\"version\":3", "\"version\":2").replace(&format!("{ns}#gone"), ns.as_str());
    let path = server.requests().into_iter().rfind(|x| x.method == "PUT").unwrap().path;
    let (status, _) = call(&server, mnemic_http::Method::Put, &format!("{path}?wait=true"), Some(&old)).await;
    assert_eq!(status, 200);
    assert_eq!(listed(&early, &ns).await, before, "r stays at version 3, s stays gone");
    assert_eq!(before.iter().map(|(id, version)| (id.as_str(), *version)).collect::<Vec<_>>(), [("r", 3), ("t", 1)]);
}

#[tokio::test]
async fn two_processes_that_apply_the_same_feed_in_different_order_end_alike() {
    let server = server();
    let (one, ns) = ready(&server).await;
    let two = index(&server);
    two.prepare(&ns, Some(&model())).await.unwrap();
    let changes: Vec<_> = (1..=40)
        .map(|seq| {
            if seq % 7 == 0 { gone(seq, &format!("r{}", seq % 5)) } else { written(seq, &format!("r{}", seq % 5), seq) }
        })
        .collect();
    // Both begin at zero; one goes in steps while the other applies all at once, as tasks of one moment.
    let steps = async {
        for step in changes.chunks(4) {
            // Whoever finds the other ahead has nothing left to do there.
            let through = step.last().unwrap().seq;
            one.apply(&ns, step, through).await.unwrap();
        }
    };
    let (outcome, ()) = tokio::join!(two.apply(&ns, &changes, ChangeSeq(40)), steps);
    outcome.unwrap();
    // The last change of each: 36 to 40, none of which removes.
    let expected: Vec<_> =
        [40, 36, 37, 38, 39].iter().enumerate().map(|(n, version)| (format!("r{n}"), *version as u64)).collect();
    assert_eq!(listed(&one, &ns).await, expected);
    assert_eq!(two.position(&ns).await.unwrap(), ChangeSeq(40));
}

#[tokio::test]
async fn whoever_was_started_over_by_another_process_is_told_and_moves_no_position() {
    let server = server();
    let (one, ns) = ready(&server).await;
    one.apply(&ns, &[written(1, "a", 1)], ChangeSeq(1)).await.unwrap();
    index(&server).drop_namespace(&ns).await.unwrap();
    let error = one.apply(&ns, &[written(2, "b", 1)], ChangeSeq(2)).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon), "{error:?}");
    assert_eq!(one.position(&ns).await.unwrap(), ChangeSeq(0), "it is fed from the beginning");
    one.apply(&ns, &[written(1, "a", 1), written(2, "b", 1)], ChangeSeq(2)).await.unwrap();
    assert_eq!(listed(&one, &ns).await.len(), 2);
}

#[tokio::test]
async fn a_namespace_that_is_started_over_between_two_steps_of_an_apply_keeps_no_false_position() {
    let server = server();
    let (one, ns) = ready(&server).await;
    one.apply(&ns, &[written(1, "a", 1)], ChangeSeq(1)).await.unwrap();
    // The upsert of points is slow, and meanwhile another process drops the namespace.
    server.knobs().next([Fault::Fine]).next_on("/points", Fault::Slow(std::time::Duration::from_millis(30)));
    let other = index(&server);
    let changes = [written(2, "b", 1)];
    let dropping = async {
        qdrant_support::until(|| {
            server
                .requests()
                .iter()
                .any(|x| x.method == "PUT" && String::from_utf8_lossy(&x.body).contains("\"seq\":2"))
        })
        .await;
        other.drop_namespace(&ns).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(one.apply(&ns, &changes, ChangeSeq(2)), dropping);
    let error = outcome.expect_err("the position could not be moved");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon));
    assert_eq!(other.position(&ns).await.unwrap(), ChangeSeq(0));
    assert_eq!(one.position(&ns).await.unwrap(), ChangeSeq(0));
}

#[tokio::test]
async fn a_partial_upsert_moves_no_position_and_the_same_feed_completes_it() {
    let server = server();
    let (index, ns) = ready(&server).await;
    let changes: Vec<_> = (1..=200).map(|seq| written(seq, &format!("r{seq}"), 1)).collect();
    // Batches hold 64 different changes: the third of four fails.
    for fault in [
        Fault::status(500),
        Fault::Truncated,
        Fault::LostAnswer,
        Fault::Reset,
        Fault::html_bad_gateway(),
        Fault::json(200, r#"{"result":{"operation_id":9,"status":"wait_timeout"},"status":"ok","time":0.1}"#),
        Fault::json(200, r#"{"result":{"operation_id":9,"status":"acknowledged"},"status":"ok","time":0.1}"#),
    ] {
        server.knobs().next([Fault::Fine, Fault::Fine, Fault::Fine, fault.clone()]);
        let error = index.apply(&ns, &changes, ChangeSeq(200)).await.expect_err("a batch failed");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon), "{fault:?}: {error:?}");
        assert_eq!(server.knobs().waiting(), 0);
        assert_eq!(index.position(&ns).await.unwrap(), ChangeSeq(0), "{fault:?}");
    }
    index.apply(&ns, &changes, ChangeSeq(200)).await.unwrap();
    assert_eq!(listed(&index, &ns).await.len(), 200, "nothing is lost and nothing is there twice");
    assert_eq!(index.position(&ns).await.unwrap(), ChangeSeq(200));
}

#[tokio::test]
async fn a_repeated_or_lost_answer_changes_nothing_that_is_done() {
    let server = server();
    let (index, ns) = ready(&server).await;
    server.knobs().next([Fault::Fine, Fault::Repeated, Fault::Repeated]);
    index.apply(&ns, &[written(1, "a", 1), written(2, "b", 1)], ChangeSeq(2)).await.unwrap();
    assert_eq!(listed(&index, &ns).await.len(), 2);
}

#[tokio::test]
async fn a_collection_that_vanished_is_never_an_empty_answer_and_is_made_anew_by_the_feed() {
    let server = server();
    let (index, ns) = ready(&server).await;
    index.apply(&ns, &[written(1, "a", 1), written(2, "b", 1)], ChangeSeq(2)).await.unwrap();
    let name = qdrant_support::collections(&server).await.remove(0);
    assert_eq!(call(&server, mnemic_http::Method::Delete, &format!("/collections/{name}"), None).await.0, 200);
    let query = embedding(&mut Rng::new(1), &model());
    for error in [
        index.search_dense(&ns, &query, &ALL, 5).await.unwrap_err(),
        index.ids(&ns, &PageRequest::largest()).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon), "{error:?}");
    }
    assert!(index.check(&ns).await.unwrap().faults[0].contains("gone"));
    // Changes after what it held would leave a gap.
    assert!(index.apply(&ns, &[written(3, "c", 1)], ChangeSeq(3)).await.is_err());
    assert_eq!(index.position(&ns).await.unwrap(), ChangeSeq(0));
    let feed = [written(1, "a", 1), written(2, "b", 1), written(3, "c", 1)];
    index.apply(&ns, &feed, ChangeSeq(3)).await.unwrap();
    assert_eq!(found(&index, &ns).await.len(), 3);
    assert_eq!(qdrant_support::collections(&server).await, [name]);
}

#[tokio::test]
async fn a_collection_of_other_dimensions_or_of_no_known_model_is_refused_and_stays() {
    let server = server();
    let (first, ns) = ready(&server).await;
    first.apply(&ns, &[written(1, "a", 1)], ChangeSeq(1)).await.unwrap();
    let name = qdrant_support::collections(&server).await.remove(0);
    let path = format!("/collections/{name}");
    let metadata = json!({ "mnemic": { "format": 1, "model": model().to_string() } });
    let bodies = [
        json!({ "vectors": { "dense": { "size": 9, "distance": "Cosine" } }, "metadata": metadata }),
        json!({ "vectors": { "dense": { "size": 8, "distance": "Dot" } }, "metadata": metadata }),
        json!({ "vectors": { "size": 8, "distance": "Cosine" }, "metadata": metadata }),
        json!({ "vectors": { "dense": { "size": 8, "distance": "Cosine" } } }),
        json!({ "vectors": { "dense": { "size": 8, "distance": "Cosine" } }, "metadata": { "mnemic": { "model": other_model().to_string() } } }),
    ];
    for body in bodies {
        call(&server, mnemic_http::Method::Delete, &path, None).await;
        assert_eq!(call(&server, mnemic_http::Method::Put, &path, Some(&body.to_string())).await.0, 200);
        let error = index(&server).prepare(&ns, Some(&model())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelMismatch, "{body}");
        assert!(error.to_string().contains(&model().to_string()), "{error}");
        assert_eq!(
            qdrant_support::collections(&server).await,
            std::slice::from_ref(&name),
            "nothing is made or removed"
        );
    }
    // A running process whose collection was changed below it.
    let error = first.apply(&ns, &[written(1, "a", 1)], ChangeSeq(1)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ModelMismatch | ErrorKind::Unavailable), "{error:?}");
}

#[tokio::test]
async fn a_namespace_of_another_model_is_a_mismatch_until_it_is_dropped() {
    let server = server();
    let (first, ns) = ready(&server).await;
    first.apply(&ns, &[written(1, "a", 1)], ChangeSeq(1)).await.unwrap();
    let second = index(&server);
    let error = second.prepare(&ns, Some(&other_model())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelMismatch);
    assert!(error.to_string().contains(&model().to_string()) && error.to_string().contains(&other_model().to_string()));
    second.drop_namespace(&ns).await.unwrap();
    second.prepare(&ns, Some(&other_model())).await.unwrap();
    assert_eq!(first.position(&ns).await.unwrap(), ChangeSeq(0), "nothing stays in the collection of the other model");
}

#[tokio::test]
async fn hits_that_are_foreign_broken_or_repeated_are_dropped_and_counted() {
    let server = server();
    let (index, ns) = ready(&server).await;
    index.apply(&ns, &[written(1, "a", 1), written(2, "b", 1)], ChangeSeq(2)).await.unwrap();
    let good = found(&index, &ns).await;
    assert_eq!((good.len(), index.dropped()), (2, 0));
    let cases: [(&str, usize, Break); 9] = [
        ("a score that is no number", 1, |points| points[0]["score"] = Value::Null),
        ("a score as text", 1, |points| points[0]["score"] = "NaN".into()),
        ("a repeated point", 2, |points| points.push(points[0].clone())),
        ("an unknown id", 2, |points| {
            points.push(json!({"id": "550e8400-e29b-41d4-a716-446655440000", "version": 1, "score": 0.5,
            "payload": {"namespace": points[0]["payload"]["namespace"], "id": "x", "version": 1}}));
        }),
        ("another namespace", 1, |points| points[0]["payload"]["namespace"] = "other".into()),
        ("no payload", 1, |points| points[0]["payload"] = Value::Null),
        ("a version that is none", 1, |points| points[0]["payload"]["version"] = (-1).into()),
        ("another record's name", 1, |points| points[0]["payload"]["id"] = "b".into()),
        ("a number for an id", 1, |points| points[0]["id"] = 7.into()),
    ];
    for (what, left, breaks) in cases {
        let mut answer = last_answer(&server);
        breaks(answer["result"]["points"].as_array_mut().unwrap());
        server.knobs().next_on("/points/query", Fault::json(200, answer.to_string()));
        let before = index.dropped();
        let hits = found(&index, &ns).await;
        assert_eq!(hits.len(), left, "{what}: {hits:?}");
        assert!(hits.iter().all(|hit| good.contains(hit)), "{what}");
        assert_eq!(index.dropped(), before + 1, "{what}");
        // The next answer is a right one again, so that the last one is whole.
        assert_eq!(found(&index, &ns).await, good);
    }
    assert!(index.check(&ns).await.unwrap().faults[0].contains("9 points"));
    let mut beyond = last_answer(&server);
    beyond["result"]["points"][0]["score"] = 1.000_000_2.into();
    server.knobs().next_on("/points/query", Fault::json(200, beyond.to_string()));
    assert_eq!(found(&index, &ns).await[0].score, 1.0, "a rounding error of the server is cut");
}

#[tokio::test]
async fn hostile_bodies_are_errors_and_not_answers() {
    let server = server();
    let (index, ns) = ready(&server).await;
    index.apply(&ns, &[written(1, "a", 1)], ChangeSeq(1)).await.unwrap();
    found(&index, &ns).await;
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    for body in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"result":null}"#,
        r#"{"result":{}}"#,
        r#"{"result":{"points":7}}"#,
        "<html>",
        &deep,
    ] {
        server.knobs().next_on("/points/query", Fault::json(200, body));
        let error = index.search_dense(&ns, &embedding(&mut Rng::new(1), &model()), &ALL, 5).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon), "{body}");
        server.knobs().next_on("/points", Fault::json(200, body));
        assert!(body == "[]" || index.position(&ns).await.is_err(), "{body}");
        server.knobs().clear();
    }
    // A listing that turns in circles is ended.
    let turning = json!({"result": {"points": [], "next_page_offset": "550e8400-e29b-41d4-a716-446655440000"}, "status": "ok", "time": 0});
    server.knobs().always_on("/points/scroll", Fault::json(200, turning.to_string()));
    assert_eq!(index.ids(&ns, &PageRequest::largest()).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_server_that_would_ignore_the_guards_is_refused() {
    for (version, good) in [("1.16.3", false), ("0.9.0", false), ("", false), ("1.17.0-dev", true), ("2.0.1", true)] {
        let stand_in = StandIn { version: version.to_owned(), ..StandIn::default() };
        let server = stand_in.start(Knobs::new()).unwrap();
        let outcome = index(&server).prepare(&namespace(), Some(&model())).await;
        assert_eq!(
            outcome.as_ref().map_err(mnemic_core::Error::kind).err(),
            (!good).then_some(ErrorKind::InvalidConfig),
            "{version}"
        );
    }
}

#[tokio::test]
async fn a_wrong_key_and_a_limit_of_requests_are_told_apart() {
    let stand_in = StandIn { api_key: Some("right".to_owned()), ..StandIn::default() };
    let locked = stand_in.start(Knobs::new()).unwrap();
    let error = index(&locked).prepare(&namespace(), Some(&model())).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Denied, Retry::Never));
    qdrant_support::with_key(&locked, "right").prepare(&namespace(), Some(&model())).await.unwrap();
    let strict = StandIn { strict_mode: Some(json!({ "enabled": true, "read_rate_limit": 1 })), ..StandIn::default() };
    let (slow, ns) = (strict.start(Knobs::new()).unwrap(), namespace());
    let limited = index(&slow);
    limited.prepare(&ns, Some(&model())).await.unwrap();
    limited.position(&ns).await.unwrap();
    let error = limited.position(&ns).await.unwrap_err();
    let Retry::After(wait) = error.retry() else { panic!("{error:?}") };
    assert!(error.kind() == ErrorKind::RateLimited && (1..=60).contains(&wait.as_secs()), "{error:?}");
}

#[tokio::test]
async fn large_records_go_in_several_requests_below_the_limit_of_a_body() {
    let server = server();
    let (index, ns) = (index(&server), namespace());
    let wide = EmbeddingModel::new("test", "2048", 2048, Metric::Cosine).unwrap();
    index.prepare(&ns, Some(&wide)).await.unwrap();
    let mut rng = Rng::new(7);
    let changes: Vec<_> =
        (1..=1000).map(|n| change(5, record(&format!("r{n}"), "x"), Some(embedding(&mut rng, &wide)))).collect();
    index.apply(&ns, &changes, ChangeSeq(5)).await.unwrap();
    let upserts: Vec<usize> = server
        .requests()
        .iter()
        .filter(|x| x.method == "PUT" && x.path.ends_with("/points"))
        .map(|x| x.body.len())
        .collect();
    assert!(upserts.len() > 1 && upserts.iter().all(|&bytes| bytes < 25 << 20), "{upserts:?}");
    assert!(upserts.iter().sum::<usize>() < 1000 * 2048 * 14, "floats of 32 bits are written as such: {upserts:?}");
    assert_eq!(ids(&index, &ns).await.len(), 1000);
}
