//! What goes wrong between the ledger and a real server, at every statement: typed, nothing half done, nothing lost, nothing done twice.
//! Not here: what the driver says by itself (`mnemic-postgres`), and servers that die (outage campaigns).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::{
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use mnemic_core::{
    Batch, Digest, EraseTarget, Erasure, ErrorKind, Filter, Idempotency, PageRequest, Precondition, Retry, Task,
    Version,
    ports::{Ledger, Read},
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

use common::{embedded, embedding, event, id, model, ns, record, slot};
use wire::Wire;

async fn ledger(database: &TestDatabase) -> Arc<PostgresLedger> {
    Arc::new(PostgresLedger::connect(database.config()).await.unwrap())
}

/// A batch that touches every table.
fn full(second: i64, key: &str) -> Batch {
    let mut write = embedded(record("r", &format!("text of {key}")), embedding(&model("m", 4), 1));
    write.tasks = vec![Task::Index("i".to_owned())];
    let mut batch = common::writes(second, [write]);
    batch.events.push(event(&format!("e-{key}"), "t", None));
    batch.slots.push(slot("t", "name", Some(key)));
    batch.idempotency = Some(Idempotency::new(key, Digest([7; 32])).unwrap());
    batch
}

/// Polls until something holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        tokio::task::yield_now().await;
    }
}

async fn a_refusal_at_any_statement_is_typed_and_changes_nothing(server: TestServer) {
    let database = server.database().await;
    let ledger = ledger(&database).await;
    let home = ns("n");
    ledger.commit(&home, full(0, "first")).await.unwrap();
    let before = ledger.report(&home).await.unwrap();
    let states = [
        ("40001", ErrorKind::Unavailable, Retry::Soon),
        ("40P01", ErrorKind::Unavailable, Retry::Soon),
        ("57P01", ErrorKind::Unavailable, Retry::Soon),
        ("08006", ErrorKind::Unavailable, Retry::Soon),
        ("53300", ErrorKind::Unavailable, Retry::Soon),
        ("53100", ErrorKind::Unavailable, Retry::Soon),
        ("42501", ErrorKind::Denied, Retry::Never),
    ];
    let tables = [
        "records",
        "revisions",
        "events",
        "commits",
        "outbox",
        "slot_threads",
        "slot_revisions",
        "receipts",
        "namespaces",
    ];
    for (state, kind, retry) in states {
        database
            .execute(&format!(
                "CREATE OR REPLACE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'injected' USING \
                 ERRCODE = '{state}'; END $$"
            ))
            .await;
        for table in tables {
            let trigger = format!(
                "CREATE TRIGGER fail BEFORE INSERT OR UPDATE OR DELETE ON mnemic.{table} FOR EACH STATEMENT EXECUTE FUNCTION public.fail()"
            );
            database.execute(&trigger).await;
            let error = ledger.commit(&home, full(1, "second")).await.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{state} at {table}: {error}");
            assert_eq!(ledger.report(&home).await.unwrap(), before, "{state} at {table}");
            database.execute(&format!("DROP TRIGGER fail ON mnemic.{table}")).await;
        }
    }
    let receipt = ledger.commit(&home, full(1, "second")).await.unwrap();
    assert_eq!((receipt.writes[0].version, receipt.replayed), (Version(2), false));
}

async fn a_read_only_database_and_a_broken_schema_say_what_to_do(server: TestServer) {
    let database = server.database().await;
    drop(ledger(&database).await);
    database.execute(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name())).await;
    let read_only = ledger(&database).await;
    let error = read_only.commit(&ns("n"), full(0, "k")).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon), "{error}");
    assert!(error.to_string().contains("primary"), "{error}");
    assert!(read_only.fetch(&ns("n"), &[id("r")], Read::default()).await.unwrap()[0].is_none());
    database.execute("SET transaction_read_only = off; DROP TABLE mnemic.outbox").await;
    let error = read_only.outbox(&ns("n"), 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    database.execute("SET transaction_read_only = off; REVOKE SELECT ON mnemic.records FROM mnemic_app").await;
    let error = read_only.fetch(&ns("n"), &[id("r")], Read::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("GRANT"), "{error}");
}

async fn a_lost_reply_to_a_commit_is_repeated_without_doing_it_twice(server: TestServer) {
    let database = server.database().await;
    let wire = Wire::lay(&database, b"COMMIT\0", b"COMMIT\0").await;
    let config = PostgresConfig { admin_dsn: database.config().admin_dsn, ..PostgresConfig::new(wire.dsn.clone()) };
    let ledger = PostgresLedger::connect(config).await.unwrap();
    let home = ns("n");
    for round in 0..5 {
        let key = format!("key-{round}");
        wire.cut.store(true, Ordering::SeqCst);
        let error = ledger.commit(&home, full(round, &key)).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon), "{error}");
        assert!(!wire.cut.load(Ordering::SeqCst), "the answer was cut");
        assert_eq!(ledger.report(&home).await.unwrap().events, 1 + round as u64, "it happened, and nobody was told");
        let receipt = ledger.commit(&home, full(round, &key)).await.unwrap();
        assert!(receipt.replayed, "a repetition of what happened is told as one");
        assert_eq!(receipt.writes[0].version, Version(1 + round as u64), "{key}");
    }
    let report = ledger.report(&home).await.unwrap();
    assert_eq!((report.revisions, report.events), (5, 5));
    common::verified(&ledger, &home).await;
}

async fn a_terminated_backend_fails_its_commits_and_no_later_ones(server: TestServer) {
    let database = server.database().await;
    let ledger = ledger(&database).await;
    let home = ns("n");
    ledger.commit(&home, full(0, "first")).await.unwrap();
    let blocker = block(&database, "n").await;
    let waiting: Vec<_> = (0..4)
        .map(|i| {
            let (ledger, home) = (Arc::clone(&ledger), home.clone());
            tokio::spawn(async move { ledger.commit(&home, full(1, &format!("waiting-{i}"))).await })
        })
        .collect();
    until("a commit waits for the lock", async || blocked(&database).await >= 1).await;
    let killed = "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE datname = current_database() AND \
                  wait_event_type = 'Lock'";
    assert_eq!(database.ask(killed).await, "1");
    let mut failed = 0;
    drop(blocker);
    for commit in waiting {
        match commit.await.unwrap() {
            Ok(receipt) => assert!(!receipt.replayed),
            Err(error) => {
                assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon), "{error}");
                failed += 1;
            }
        }
    }
    assert!(failed >= 1, "the commit whose connection was terminated is told");
    // Every connection of the pool dies at once; the next calls find new ones.
    database
        .ask("SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        .await;
    until("the ledger serves again", async || ledger.commit(&home, full(2, "last")).await.is_ok()).await;
    common::verified(&*ledger, &home).await;
}

/// Holds the lock of a namespace until it is dropped.
async fn block(database: &TestDatabase, namespace: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&database.admin_dsn(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let sql = format!("BEGIN; SELECT FROM mnemic.namespaces WHERE namespace = '{namespace}' FOR UPDATE");
    client.batch_execute(&sql).await.unwrap();
    client
}

async fn blocked(database: &TestDatabase) -> u32 {
    let sql =
        "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    database.ask(sql).await.parse().unwrap()
}

async fn batches_of_one_group_do_not_suffer_for_each_other(server: TestServer) {
    let database = server.database().await;
    let ledger = ledger(&database).await;
    let home = ns("n");
    ledger.commit(&home, full(0, "first")).await.unwrap();
    let blocker = block(&database, "n").await;
    let spawn = |batch: Batch| {
        let (ledger, home) = (Arc::clone(&ledger), home.clone());
        tokio::spawn(async move { ledger.commit(&home, batch).await })
    };
    let leading = spawn(common::writes(1, [common::write(record("leading", "x"))]));
    until("the first commit waits for the lock", async || blocked(&database).await >= 1).await;
    // These wait together, and become one transaction.
    let good: Vec<_> =
        (0..6).map(|i| spawn(common::writes(2, [common::write(record(&format!("good-{i}"), "x"))]))).collect();
    let mut stale = common::writes(2, [common::write(record("r", "stale"))]);
    stale.writes[0].expect = Precondition::Version(Version(9));
    let stale = spawn(stale);
    let mut poisoned = record("poisoned", "what no JSON column holds");
    poisoned.tags = ["nul\0".to_owned()].into();
    let poisoned = spawn(common::writes(2, [common::write(poisoned)]));
    let twice: Vec<_> = (0..2).map(|_| spawn(full(3, "twice"))).collect();
    tokio::task::yield_now().await;
    drop(blocker);
    leading.await.unwrap().unwrap();
    for commit in good {
        assert_eq!(commit.await.unwrap().unwrap().writes[0].version, Version(1));
    }
    assert_eq!(stale.await.unwrap().unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(poisoned.await.unwrap().unwrap_err().kind(), ErrorKind::InvalidInput);
    let mut replayed = 0;
    for commit in twice {
        let receipt = commit.await.unwrap().unwrap();
        assert_eq!(receipt.writes[0].version, Version(2));
        replayed += u32::from(receipt.replayed);
    }
    assert_eq!(replayed, 1);
    let seen = ledger.scan(&home, &Filter::all(), Read::default(), &PageRequest::largest()).await.unwrap();
    assert_eq!(seen.items.len(), 8);
    let changes = ledger.changes(&home, mnemic_core::ChangeSeq(0), 1000).await.unwrap();
    assert!(changes.iter().zip(1..).all(|(change, n)| change.seq.0 == n));
    common::verified(&*ledger, &home).await;
}

async fn a_caller_that_gives_up_frees_the_namespace_for_others(server: TestServer) {
    let database = server.database().await;
    let ledger = ledger(&database).await;
    let home = ns("n");
    ledger.commit(&home, full(0, "first")).await.unwrap();
    let blocker = block(&database, "n").await;
    let impatient = {
        let (ledger, home) = (Arc::clone(&ledger), home.clone());
        tokio::spawn(async move { ledger.commit(&home, full(1, "impatient")).await })
    };
    until("the commit waits for the lock", async || blocked(&database).await >= 1).await;
    impatient.abort();
    drop(blocker);
    ledger.commit(&home, full(2, "patient")).await.unwrap();
}

async fn nothing_readable_stays_in_any_table_after_an_erasure(server: TestServer) {
    const CANARY: &str = "KANARIENVOGEL";
    let database = server.database().await;
    let ledger = ledger(&database).await;
    let home = ns("n");
    let user = mnemic_core::UserId::new(format!("user-{CANARY}")).unwrap();
    for round in 0..3 {
        let mut held = common::full_record(&format!("id-{CANARY}"));
        held.text = format!("text {CANARY} {round}");
        held.user_id = Some(user.clone());
        held.tags.insert(format!("tag-{CANARY}"));
        held.thread_id = Some(mnemic_core::ThreadId::new(format!("thread-{CANARY}")).unwrap());
        held.metadata.insert(format!("key-{CANARY}"), CANARY.into());
        held.provenance.events = [mnemic_core::EventId::new(format!("event-{CANARY}-{round}")).unwrap()].into();
        let mut batch = common::writes(round, [common::with_tasks(held, vec![Task::Embed])]);
        let mut told = event(&format!("event-{CANARY}-{round}"), &format!("thread-{CANARY}"), Some(user.as_str()));
        told.payload.insert("what".to_owned(), CANARY.into());
        batch.events.push(told);
        batch.slots.push(slot(&format!("thread-{CANARY}"), CANARY, Some(CANARY)));
        batch.idempotency = Some(Idempotency::new(format!("key-{round}"), Digest([1; 32])).unwrap());
        ledger.commit(&home, batch).await.unwrap();
    }
    let tables =
        "SELECT string_agg(relname, ',') FROM pg_class WHERE relnamespace = 'mnemic'::regnamespace AND relkind = 'r'";
    let tables = database.ask(tables).await;
    let hex = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let mut found = [0, 0];
    for (i, found) in found.iter_mut().enumerate() {
        for table in tables.split(',') {
            let dump =
                database.ask(&format!("SELECT coalesce(string_agg(t::text, '|'), '') FROM mnemic.{table} t")).await;
            *found += dump.matches(CANARY).count() + dump.matches(&hex).count();
        }
        if i == 0 {
            let told = event("erasure", "mnemic.journal", None);
            let erasure = Erasure { at: common::at(9), target: EraseTarget::Subject(user.clone()), event: told };
            let receipt = ledger.erase(&home, erasure).await.unwrap();
            assert_eq!((receipt.records.len(), receipt.revisions, receipt.events, receipt.threads), (1, 3, 3, 1));
            assert!(receipt.residue[0].contains("VACUUM"), "{receipt:?}");
        }
    }
    assert!(found[0] > 10, "the search finds what is there");
    assert_eq!(found[1], 0);
    common::verified(&*ledger, &home).await;
}

async fn a_check_tells_the_server_and_its_host_and_no_secret(server: TestServer) {
    let database = server.database().await;
    let ledger = ledger(&database).await;
    let report = ledger.check().await.unwrap();
    assert!(report.backend.starts_with("PostgreSQL 1"), "{report:?}");
    assert_eq!((report.location.as_str(), report.faults.len()), ("127.0.0.1", 0));
    database.execute("ALTER TABLE mnemic.records NO FORCE ROW LEVEL SECURITY").await;
    assert!(ledger.check().await.unwrap().faults[0].contains("FORCE ROW LEVEL SECURITY"));
}

fn main() -> ExitCode {
    trials!(
        ["postgres-18", "postgres-15"];
        a_refusal_at_any_statement_is_typed_and_changes_nothing,
        a_read_only_database_and_a_broken_schema_say_what_to_do,
        a_lost_reply_to_a_commit_is_repeated_without_doing_it_twice,
        a_terminated_backend_fails_its_commits_and_no_later_ones,
        batches_of_one_group_do_not_suffer_for_each_other,
        a_caller_that_gives_up_frees_the_namespace_for_others,
        nothing_readable_stays_in_any_table_after_an_erasure,
        a_check_tells_the_server_and_its_host_and_no_secret,
    )
}
