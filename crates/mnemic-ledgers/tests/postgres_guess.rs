//! The short way of a commit on real servers: it is taken where a guess holds, a wrong guess is found out and harms nobody, and what goes
//! wrong on it is typed, done whole or not at all, and never done twice. Not here: the long way (`postgres_faults`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::{
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mnemic_core::{
    Batch, ChangeSeq, Digest, Error, ErrorKind, Filter, Idempotency, PageRequest, Retry, Task, Timestamp, Version,
    ports::{Embeddings, Ledger, Read},
};
use mnemic_ledgers::PostgresLedger;
use mnemic_postgres::{
    PostgresConfig,
    testing::{TestDatabase, TestServer},
    trials,
};

mod common;
#[path = "postgres_support/wire.rs"]
mod wire;

use common::{embedded, embedding, event, id, model, ns, record};
use wire::Wire;

async fn ledger(database: &TestDatabase) -> Arc<PostgresLedger> {
    Arc::new(PostgresLedger::connect(database.config()).await.unwrap())
}

/// A batch of what is new, in every table that the short way writes.
fn new(second: i64, name: &str) -> Batch {
    let mut write = embedded(record(name, &format!("text of {name}")), embedding(&model("m", 4), 1));
    write.tasks = vec![Task::Index("i".to_owned())];
    let mut batch = common::writes(second, [write]);
    batch.events.push(event(&format!("e-{name}"), "t", None));
    batch.idempotency = Some(Idempotency::new(format!("key-{name}"), Digest([7; 32])).unwrap());
    batch
}

/// From here on the server notes of every commit which way it came.
async fn watch(database: &TestDatabase) {
    database
        .execute(
            "CREATE TABLE public.ways (short boolean NOT NULL);
             CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
                 INSERT INTO public.ways VALUES (current_query() LIKE 'SELECT mnemic.commit_new(%'); RETURN NULL; END $$;
             CREATE TRIGGER note AFTER INSERT ON mnemic.commits FOR EACH STATEMENT EXECUTE FUNCTION public.note()",
        )
        .await;
}

/// How many commits came the short way, and how many the long one.
async fn ways(database: &TestDatabase) -> String {
    let sql = "SELECT count(*) FILTER (WHERE short) || ' short, ' || count(*) FILTER (WHERE NOT short) || ' long' FROM public.ways";
    database.ask(sql).await
}

/// The feed has no gap, the chain verifies, and so many records are in memory.
async fn sound(ledger: &PostgresLedger, records: usize) {
    let changes = ledger.changes(&ns("n"), ChangeSeq(0), 10_000).await.unwrap();
    assert!(changes.iter().zip(1..).all(|(change, n)| change.seq.0 == n));
    let seen = ledger.scan(&ns("n"), &Filter::all(), Read::default(), &PageRequest::largest()).await.unwrap();
    assert_eq!(seen.items.len(), records);
    common::verified(ledger, &ns("n")).await;
}

async fn what_is_new_comes_the_short_way_and_is_stored_whole(server: TestServer) {
    let database = server.database().await;
    let ledger = ledger(&database).await;
    watch(&database).await;
    for round in 0..5 {
        let receipt = ledger.commit(&ns("n"), new(round, &format!("r{round}"))).await.unwrap();
        assert_eq!((receipt.writes[0].version, receipt.replayed), (Version(1), false));
        assert_eq!(receipt.changes, Some((ChangeSeq(2 * round as u64 + 1), ChangeSeq(2 * round as u64 + 2))));
    }
    assert_eq!(ways(&database).await, "4 short, 1 long");
    let read = Read { as_of: None, embeddings: Embeddings::Include };
    let stored = ledger.fetch(&ns("n"), &[id("r4")], read).await.unwrap().pop().flatten().unwrap();
    assert_eq!(stored.record.text, "text of r4");
    assert_eq!(stored.embedding, Some(embedding(&model("m", 4), 1)));
    assert_eq!(ledger.outbox(&ns("n"), 10).await.unwrap().len(), 5);
    sound(&ledger, 5).await;
}

async fn what_is_not_new_is_found_out_and_comes_the_long_way(server: TestServer) {
    let database = server.database().await;
    let ledger = ledger(&database).await;
    for name in ["r0", "r1"] {
        ledger.commit(&ns("n"), new(0, name)).await.unwrap();
    }
    watch(&database).await;
    let mut again = new(1, "r1");
    again.idempotency = None;
    let receipt = ledger.commit(&ns("n"), again).await.unwrap();
    assert_eq!((receipt.writes[0].version, receipt.changes), (Version(2), Some((ChangeSeq(5), ChangeSeq(5)))));
    assert_eq!(ways(&database).await, "0 short, 1 long");
    // The next one waits for the guess to be worth another try; the one after it is guessed again.
    for name in ["r2", "r3"] {
        ledger.commit(&ns("n"), new(2, name)).await.unwrap();
    }
    assert_eq!(ways(&database).await, "1 short, 2 long");
    let replayed = ledger.commit(&ns("n"), new(0, "r0")).await.unwrap();
    assert!(replayed.replayed);
    sound(&ledger, 4).await;
}

async fn programs_that_guess_at_once_agree(server: TestServer) {
    const ROUNDS: i64 = 30;
    let database = server.database().await;
    let mut tasks = Vec::new();
    for program in 0..3 {
        let ledger = ledger(&database).await;
        for writer in 0..2 {
            let ledger = Arc::clone(&ledger);
            tasks.push(tokio::spawn(async move {
                for round in 0..ROUNDS {
                    ledger.commit(&ns("n"), new(round, &format!("own-{program}-{writer}-{round}"))).await.unwrap();
                    let mut shared = common::writes(round, [common::write(record("shared", "text"))]);
                    shared.events.push(event(&format!("shared-{program}-{writer}-{round}"), "t", None));
                    ledger.commit(&ns("n"), shared).await.unwrap();
                }
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    let ledger = ledger(&database).await;
    let all = 6 * ROUNDS as usize;
    let shared = ledger.fetch(&ns("n"), &[id("shared")], Read::default()).await.unwrap().pop().flatten().unwrap();
    assert_eq!(shared.record.version, Version(all as u64));
    let report = ledger.report(&ns("n")).await.unwrap();
    assert_eq!((report.records, report.events), (all as u64 + 1, 2 * all as u64));
    sound(&ledger, all + 1).await;
}

async fn a_refusal_on_the_short_way_is_typed_and_changes_nothing(server: TestServer) {
    let database = server.database().await;
    let ledger = ledger(&database).await;
    watch(&database).await;
    let mut tries = 0;
    for (state, kind, retry) in [
        ("40001", ErrorKind::Unavailable, Retry::Soon),
        ("53100", ErrorKind::Unavailable, Retry::Soon),
        ("42501", ErrorKind::Denied, Retry::Never),
    ] {
        database
            .execute(&format!(
                "CREATE OR REPLACE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'injected' USING \
                 ERRCODE = '{state}'; END $$"
            ))
            .await;
        for table in ["records", "events", "commits", "outbox", "receipts", "namespaces"] {
            // What was refused has left no guess. The first of these makes one, the second shows that it is taken.
            for _ in 0..2 {
                tries += 1;
                ledger.commit(&ns("n"), new(0, &format!("good-{tries}"))).await.unwrap();
            }
            assert_eq!(ways(&database).await, format!("{0} short, {0} long", tries / 2));
            let before = ledger.report(&ns("n")).await.unwrap();
            let trigger = format!(
                "CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON mnemic.{table} FOR EACH STATEMENT EXECUTE FUNCTION public.fail()"
            );
            database.execute(&trigger).await;
            let error: Error = ledger.commit(&ns("n"), new(1, "refused")).await.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{state} at {table}: {error}");
            assert_eq!(ledger.report(&ns("n")).await.unwrap(), before, "{state} at {table}");
            database.execute(&format!("DROP TRIGGER fail ON mnemic.{table}")).await;
        }
    }
    sound(&ledger, tries).await;
}

async fn a_lost_reply_is_repeated_without_doing_it_twice(server: TestServer) {
    let database = server.database().await;
    // The server is ready again only after it has committed.
    let wire = Wire::lay(&database, b"SELECT mnemic.commit_new(", b"Z\0\0\0\x05I").await;
    let config = PostgresConfig { admin_dsn: database.config().admin_dsn, ..PostgresConfig::new(wire.dsn.clone()) };
    let ledger = PostgresLedger::connect(config).await.unwrap();
    ledger.commit(&ns("n"), new(0, "first")).await.unwrap();
    for round in 0..5 {
        let name = format!("r{round}");
        wire.cut.store(true, Ordering::SeqCst);
        let error = ledger.commit(&ns("n"), new(round, &name)).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon), "{error}");
        assert!(!wire.cut.load(Ordering::SeqCst), "the answer was cut");
        assert_eq!(ledger.report(&ns("n")).await.unwrap().events, 2 + round as u64, "it happened, and nobody was told");
        let receipt = ledger.commit(&ns("n"), new(round, &name)).await.unwrap();
        assert!(receipt.replayed, "a repetition of what happened is told as one");
    }
    sound(&ledger, 6).await;
}

async fn a_model_that_is_not_the_remembered_one_is_found_out(server: TestServer) {
    let database = server.database().await;
    let ledger = ledger(&database).await;
    ledger.commit(&ns("n"), new(0, "first")).await.unwrap();
    // As after a restore of an older copy, on which others have written as much as was lost.
    database.execute("UPDATE mnemic.models SET name = 'another'").await;
    ledger.commit(&ns("n"), new(1, "second")).await.unwrap();
    let read = Read { as_of: None, embeddings: Embeddings::Include };
    let stored = ledger.fetch(&ns("n"), &[id("first"), id("second")], read).await.unwrap();
    let names = stored.into_iter().map(|stored| stored.unwrap().embedding.unwrap().model().name().to_owned());
    assert_eq!(names.collect::<Vec<_>>(), ["another", "m"]);
}

async fn a_server_with_another_isolation_by_default_is_served_the_long_way(server: TestServer) {
    let database = server.database().await;
    drop(ledger(&database).await);
    let level = format!("ALTER DATABASE {} SET default_transaction_isolation = 'serializable'", database.name());
    database.execute(&level).await;
    let ledger = ledger(&database).await;
    watch(&database).await;
    for name in ["r0", "r1", "r2"] {
        ledger.commit(&ns("n"), new(0, name)).await.unwrap();
    }
    assert_eq!(ways(&database).await, "0 short, 3 long");
    sound(&ledger, 3).await;
}

async fn old_receipts_are_let_go_on_the_short_way(server: TestServer) {
    let database = server.database().await;
    let ledger = ledger(&database).await;
    watch(&database).await;
    // A receipt lives for two of these.
    let step = Duration::from_hours(4 * 24).as_secs() as i64;
    for round in 0..6 {
        ledger.commit(&ns("n"), new(round * step, &format!("r{round}"))).await.unwrap();
    }
    assert_eq!(ways(&database).await, "5 short, 1 long");
    let oldest: i64 = database.ask("SELECT min(at)::text FROM mnemic.receipts").await.parse().unwrap();
    assert_eq!(Timestamp::from_micros(oldest).unwrap(), common::at(3 * step));
}

async fn nothing_of_a_call_stays_on_its_connection(server: TestServer) {
    let database = server.database().await;
    drop(ledger(&database).await);
    let seed = "INSERT INTO mnemic.namespaces (namespace, head) VALUES ('a', 7), ('b', 7);
         INSERT INTO mnemic.outbox VALUES ('a', 1, 'embed', 1, 1, 0)";
    database.execute(seed).await;
    let (client, connection) = tokio_postgres::connect(&database.dsn(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let nothing = ", '{}'".repeat(43);
    let call = format!(
        "SELECT mnemic.commit_new('a', '{{7,0,8,0,NULL}}', array_fill('\\x{}'::bytea, ARRAY[2]), NULL{nothing})",
        "00".repeat(32)
    );
    for right in [true, false] {
        let row = client.query_typed_one(&call, &[]).await.unwrap();
        assert_eq!(row.get::<_, bool>(0), right, "a guess holds once");
        let settings = "SELECT current_user::text, coalesce(current_setting('mnemic.namespace', true), ''), \
                        current_setting('plan_cache_mode'), current_setting('enable_seqscan'), \
                        (SELECT count(*) FROM mnemic.outbox)";
        let row = client.query_typed_one(settings, &[]).await.unwrap();
        let shown: Vec<&str> = (0..4).map(|column| row.get(column)).collect();
        assert_eq!(shown, ["mnemic_test", "", "auto", "on"]);
        assert_eq!(row.get::<_, i64>(4), 0, "without a namespace nothing is seen");
    }
    let heads = "SELECT string_agg(namespace || head, ',' ORDER BY namespace) FROM mnemic.namespaces";
    assert_eq!(database.ask(heads).await, "a8,b7");
}

fn main() -> ExitCode {
    trials!(
        ["postgres-18", "postgres-15"];
        what_is_new_comes_the_short_way_and_is_stored_whole,
        what_is_not_new_is_found_out_and_comes_the_long_way,
        programs_that_guess_at_once_agree,
        a_refusal_on_the_short_way_is_typed_and_changes_nothing,
        a_lost_reply_is_repeated_without_doing_it_twice,
        a_model_that_is_not_the_remembered_one_is_found_out,
        a_server_with_another_isolation_by_default_is_served_the_long_way,
        old_receipts_are_let_go_on_the_short_way,
        nothing_of_a_call_stays_on_its_connection,
    )
}
