//! Many tasks of many namespaces on few connections see no row of another namespace; and the checker that says so turns red as soon
//! as a wall is broken. Not here: the walls themselves (`mnemic-postgres`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::{process::ExitCode, sync::Arc};

use mnemic_core::{
    ChangeSeq, Filter, Namespace, PageRequest,
    ports::{Embeddings, EventRange, Ledger, Read},
};
use mnemic_ledgers::PostgresLedger;
use mnemic_postgres::{
    Access, Pool, PostgresConfig, Query,
    testing::{TestDatabase, TestServer},
    trials,
};

mod common;

use common::{at, embedded, embedding, event, id, model, ns, record, slot};

const NAMESPACES: usize = 16;
const TASKS: usize = 64;
const ROUNDS: i64 = 8;

fn name(i: usize) -> Namespace {
    ns(&format!("wall-{:02}", i % NAMESPACES))
}

/// One task: writes into its namespace what tells whose it is, and reads everything there. Tells of everything that is another's.
async fn task(ledger: Arc<PostgresLedger>, i: usize) -> Vec<String> {
    let (mine, model) = (name(i), model("m", 8));
    let told = |text: &str| text.contains(mine.as_str());
    let mut foreign = Vec::new();
    for round in 0..ROUNDS {
        let mut batch = common::writes(
            round,
            [embedded(record(&format!("r{i}-{round}"), &format!("said in {mine}")), embedding(&model, i as u64))],
        );
        batch.events.push(event(&format!("e-{mine}-{i}-{round}"), &format!("thread-{mine}"), None));
        batch.slots.push(slot(&format!("thread-{mine}"), "whose", Some(mine.as_str())));
        ledger.commit(&mine, batch).await.unwrap();

        let read = Read { as_of: None, embeddings: Embeddings::Include };
        let page = PageRequest::largest();
        let seen = ledger.scan(&mine, &Filter::all(), read, &page).await.unwrap();
        assert!(
            seen.items.iter().any(|stored| stored.record.id == id(&format!("r{i}-{round}"))),
            "own writes are seen"
        );
        foreign
            .extend(seen.items.iter().filter(|s| !told(&s.record.text)).map(|s| format!("record {}", s.record.text)));
        let events = ledger.events(&mine, &EventRange::default(), &page).await.unwrap();
        let threads =
            events.items.iter().filter_map(|entry| entry.event.as_ref()).map(|event| event.thread_id.to_string());
        foreign.extend(threads.filter(|thread| !told(thread)).map(|thread| format!("event of {thread}")));
        let threads = ledger.slot_threads(&mine, &page).await.unwrap().items;
        foreign
            .extend(threads.iter().filter(|thread| !told(thread.as_str())).map(|thread| format!("slots of {thread}")));
        let changes = ledger.changes(&mine, ChangeSeq(0), 1000).await.unwrap();
        let numbered = changes.iter().zip(1..).all(|(change, n)| change.seq == ChangeSeq(n));
        if !numbered {
            foreign.push("a feed with a gap".to_owned());
        }
    }
    foreign
}

async fn no_task_sees_a_row_of_another_namespace(server: TestServer) {
    let database = server.database().await;
    let pool = Pool::connect(PostgresConfig { max_connections: 2, ..database.config() }).await.unwrap();
    let ledger = Arc::new(PostgresLedger::from_pool(pool.clone()));
    let tasks: Vec<_> = (0..TASKS).map(|i| tokio::spawn(task(Arc::clone(&ledger), i))).collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Vec::<String>::new());
    }
    let per_namespace = (TASKS / NAMESPACES) as u64 * ROUNDS as u64;
    for i in 0..NAMESPACES {
        let report = ledger.report(&name(i)).await.unwrap();
        assert_eq!((report.records, report.events), (per_namespace, per_namespace));
        assert_eq!(common::verified(&*ledger, &name(i)).await, (per_namespace, 0));
    }
    assert_eq!(foreign_rows(&pool).await, 0);
}

/// The second wall by itself: how many rows of other namespaces statements see that forgot to say whose rows they want.
async fn foreign_rows(pool: &Pool) -> u64 {
    let mut foreign = 0;
    for i in 0..NAMESPACES {
        // `$1` is named, but asks for nothing.
        for table in ["records", "events", "commits", "slot_threads"] {
            let sql = format!("SELECT namespace FROM mnemic.{table} WHERE $1 <> ''");
            let answers = pool.run(&name(i), Access::Read, &[Query::new(sql)]).await.unwrap();
            let rows = answers.iter().flat_map(|answer| &answer.rows);
            foreign += rows.filter(|row| row.get::<_, &str>(0) != name(i).as_str()).count() as u64;
        }
    }
    foreign
}

async fn seeded(server: &TestServer) -> (TestDatabase, Pool) {
    let database = server.database().await;
    let pool = Pool::connect(database.config()).await.unwrap();
    let ledger = PostgresLedger::from_pool(pool.clone());
    for i in 0..NAMESPACES {
        let mut batch = common::writes(0, [common::write(record("r", name(i).as_str()))]);
        batch.events.push(event("e", "t", None));
        ledger.commit(&name(i), batch).await.unwrap();
    }
    (database, pool)
}

async fn the_checker_turns_red_without_row_security(server: TestServer) {
    let (database, pool) = seeded(&server).await;
    assert_eq!(foreign_rows(&pool).await, 0);
    database.execute("ALTER TABLE mnemic.records DISABLE ROW LEVEL SECURITY").await;
    assert_eq!(foreign_rows(&pool).await, (NAMESPACES * (NAMESPACES - 1)) as u64);
}

async fn the_checker_turns_red_with_a_policy_that_lets_through(server: TestServer) {
    let (database, pool) = seeded(&server).await;
    database.execute("DROP POLICY wall ON mnemic.events; CREATE POLICY wall ON mnemic.events USING (true)").await;
    assert!(foreign_rows(&pool).await > 0);
}

/// What a program would do that sets the namespace for the session: the mistake that the transactions here exclude.
async fn the_checker_turns_red_with_a_setting_of_the_session(server: TestServer) {
    let (database, _pool) = seeded(&server).await;
    let (client, connection) = tokio_postgres::connect(&database.dsn(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("SET ROLE mnemic_app").await.unwrap();
    let seen = async |of: &str| {
        let rows = client.query_typed("SELECT namespace FROM mnemic.records", &[]).await.unwrap();
        rows.iter().filter(|row| row.get::<_, &str>(0) != of).count()
    };
    client.batch_execute("SELECT set_config('mnemic.namespace', 'wall-00', false)").await.unwrap();
    // The next borrower of the connection, who sets nothing and should see nothing.
    assert_eq!(seen("").await, 1);
    assert_eq!(seen("wall-01").await, 1);
    // The same by a setting of the transaction leaves nothing to see.
    client
        .batch_execute(
            "RESET \"mnemic.namespace\"; BEGIN; SELECT set_config('mnemic.namespace', 'wall-00', true); COMMIT",
        )
        .await
        .unwrap();
    assert_eq!(seen("").await, 0);
}

async fn an_id_of_another_namespace_is_free_and_its_conflicts_tell_nothing(server: TestServer) {
    let (_database, pool) = seeded(&server).await;
    let ledger = PostgresLedger::from_pool(pool);
    let receipt = ledger.commit(&ns("other"), common::writes(1, [common::write(record("r", "mine"))])).await.unwrap();
    assert_eq!(receipt.writes[0].version.0, 1);
    let stored = ledger.fetch(&name(0), &[id("r")], Read::default()).await.unwrap();
    assert_eq!(stored[0].as_ref().unwrap().record.text, name(0).as_str());
    assert_eq!(stored[0].as_ref().unwrap().record.created_at, at(0));
}

fn main() -> ExitCode {
    trials!(
        ["postgres-18", "postgres-15"];
        no_task_sees_a_row_of_another_namespace,
        the_checker_turns_red_without_row_security,
        the_checker_turns_red_with_a_policy_that_lets_through,
        the_checker_turns_red_with_a_setting_of_the_session,
        an_id_of_another_namespace_is_free_and_its_conflicts_tell_nothing,
    )
}
