//! Measures the PostgreSQL ledger beside what the server does by itself, within one run: a batch of records with long vectors beside
//! COPY of the same rows, and commits of many writers beside pgbench. Not a test: it prints figures.
//!
//! `MNEMIC_TEST_POSTGRES_18=… cargo run --release -p mnemic-ledgers --example postgres_ledger_speed`
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a tool for developers")]

use std::{
    io::Write as _,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use mnemic_core::{
    AuditEvent, Batch, Embedding, EmbeddingModel, EventId, MemoryRecord, Metric, Namespace, Object, Precondition,
    RecordId, RecordWrite, ThreadId, Timestamp, ports::Ledger,
};
use mnemic_ledgers::PostgresLedger;
use mnemic_postgres::{
    PostgresConfig,
    testing::{TestDatabase, TestServer},
};

const RECORDS: usize = 1000;
const DIMENSION: u32 = 2048;
const ROUNDS: usize = 7;
const WRITERS: usize = 16;
const SPAN: Duration = Duration::from_secs(5);

fn record(i: usize) -> MemoryRecord {
    let id = RecordId::new(format!("record-{i:08}")).unwrap();
    let text = format!("Statement {i}: the filing fee is {} and the deadline is day {}", i * 7 % 4000, i % 365);
    let mut record = MemoryRecord::new(id, text, Timestamp::from_micros(1_700_000_000_000_000).unwrap());
    record.tags = ["fee".to_owned(), "deadline".to_owned()].into();
    record
}

fn batch(model: &EmbeddingModel, first: usize, count: usize) -> Batch {
    let mut batch = Batch::new(Timestamp::from_micros(1_700_000_000_000_000).unwrap());
    for i in first..first + count {
        let components: Vec<f32> =
            (0..model.dimension()).map(|d| ((i as u32 * 31 + d * 7) % 1009) as f32 / 1009.0 + 0.001).collect();
        let embedding = Some(Embedding::new(model, components).unwrap());
        batch.writes.push(RecordWrite { record: record(i), embedding, expect: Precondition::Any, tasks: Vec::new() });
    }
    batch
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Rows as COPY reads them, each time under other keys.
async fn copy(database: &TestDatabase, rows: &[(String, String, Vec<f32>)], round: usize) -> f64 {
    let (client, connection) = tokio_postgres::connect(&database.admin_dsn(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let mut data = Vec::new();
    data.extend_from_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
    for (i, (id, body, vector)) in rows.iter().enumerate() {
        data.extend_from_slice(&5i16.to_be_bytes());
        let bytes: Vec<u8> = vector.iter().flat_map(|c| c.to_le_bytes()).collect();
        let ordinal = ((round * rows.len() + i) as i64).to_be_bytes();
        for field in [b"n".as_slice(), &ordinal, format!("{id}-{round}").as_bytes(), body.as_bytes(), &bytes] {
            data.extend_from_slice(&(field.len() as i32).to_be_bytes());
            data.extend_from_slice(field);
        }
    }
    data.extend_from_slice(&(-1i16).to_be_bytes());
    let begun = Instant::now();
    let sink = client.copy_in("COPY public.beside FROM STDIN BINARY").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    for part in data.chunks(1 << 16) {
        use futures::SinkExt as _;
        sink.feed(bytes::Bytes::copy_from_slice(part)).await.unwrap();
    }
    sink.as_mut().finish().await.unwrap();
    begun.elapsed().as_secs_f64()
}

async fn insert(database: &TestDatabase, ledger: &PostgresLedger, namespace: &Namespace) {
    database
        .execute(
            "CREATE TABLE public.beside (namespace text NOT NULL, ordinal bigint NOT NULL, id text NOT NULL, body bytea NOT NULL, vector \
             bytea NOT NULL, PRIMARY KEY (namespace, ordinal), UNIQUE (namespace, id));
             ALTER TABLE public.beside ALTER COLUMN vector SET STORAGE EXTERNAL",
        )
        .await;
    let model = EmbeddingModel::new("test", "speed", DIMENSION, Metric::Cosine).unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let batch = batch(&model, round * RECORDS, RECORDS);
        let rows: Vec<_> = batch
            .writes
            .iter()
            .map(|write| {
                let vector = write.embedding.as_ref().unwrap().components().to_vec();
                (write.record.id.to_string(), write.record.text.clone(), vector)
            })
            .collect();
        theirs.push(copy(database, &rows, round).await);
        let begun = Instant::now();
        ledger.commit(namespace, batch).await.unwrap();
        ours.push(begun.elapsed().as_secs_f64());
    }
    println!(
        "insert of {RECORDS} records of {DIMENSION} dimensions, each round: ours {ours:.3?} s, COPY {theirs:.3?} s"
    );
    let (ours, theirs) = (median(ours), median(theirs));
    println!("  median: ours {:.1} ms, COPY {:.1} ms, ratio {:.2}", ours * 1e3, theirs * 1e3, ours / theirs);
}

fn event(writer: usize, i: usize) -> AuditEvent {
    AuditEvent {
        event_id: EventId::new(format!("e-{writer}-{i}")).unwrap(),
        timestamp: Timestamp::from_micros(0).unwrap(),
        user_id: None,
        thread_id: ThreadId::new("t").unwrap(),
        source: "speed".to_owned(),
        action: "wrote".to_owned(),
        payload: Object::new(),
        tags: std::collections::BTreeSet::new(),
    }
}

/// Commits a second of writers that share a namespace, or have one each.
async fn commits(ledger: &Arc<PostgresLedger>, writers: usize, name: &str, shared: bool) -> f64 {
    let begun = Instant::now();
    let writers: Vec<_> = (0..writers)
        .map(|writer| {
            let ledger = Arc::clone(ledger);
            let namespace = Namespace::new(if shared { name.to_owned() } else { format!("{name}-{writer}") }).unwrap();
            tokio::spawn(async move {
                let mut done = 0;
                while begun.elapsed() < SPAN {
                    let mut batch = Batch::new(Timestamp::from_micros(0).unwrap());
                    let mut record = record(done);
                    record.id = RecordId::new(format!("w-{writer}-{done}")).unwrap();
                    batch.writes =
                        vec![RecordWrite { record, embedding: None, expect: Precondition::Any, tasks: Vec::new() }];
                    batch.events.push(event(writer, done));
                    ledger.commit(&namespace, batch).await.unwrap();
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut all = 0;
    for writer in writers {
        all += writer.await.unwrap();
    }
    all as f64 / begun.elapsed().as_secs_f64()
}

async fn pgbench(database: &TestDatabase) -> Option<f64> {
    database.execute("CREATE TABLE public.single (id bigserial PRIMARY KEY, body text NOT NULL)").await;
    let mut script = tempfile::NamedTempFile::new().unwrap();
    writeln!(script, "INSERT INTO public.single (body) VALUES (repeat('x', 100));").unwrap();
    let clients = WRITERS.to_string();
    let seconds = SPAN.as_secs().to_string();
    let binary = std::env::var("PGBENCH").unwrap_or_else(|_unset| "/usr/lib/postgresql/15/bin/pgbench".to_owned());
    let out = Command::new(binary)
        .args(["-n", "-c", &clients, "-j", "2", "-T", &seconds, "-f"])
        .arg(script.path())
        .arg(database.admin_dsn())
        .output()
        .ok()?;
    let shown = String::from_utf8_lossy(&out.stdout).into_owned();
    shown.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok())
}

#[tokio::main]
async fn main() {
    let server = TestServer::of("postgres-18").unwrap();
    let database = server.database().await;
    let config = PostgresConfig { max_connections: WRITERS, ..database.config() };
    let ledger = Arc::new(PostgresLedger::connect(config).await.unwrap());
    insert(&database, &ledger, &Namespace::new("insert").unwrap()).await;
    for round in 0..3 {
        let single = pgbench(&database).await;
        database.execute("DROP TABLE public.single").await;
        let shared = commits(&ledger, WRITERS, &format!("shared-{round}"), true).await;
        let many = commits(&ledger, 4 * WRITERS, &format!("many-{round}"), true).await;
        let apart = commits(&ledger, WRITERS, &format!("apart-{round}"), false).await;
        println!(
            "commits a second (a record and an event each): {WRITERS} writers of one namespace {shared:.0}, {} writers {many:.0}, {WRITERS} \
             namespaces {apart:.0}; pgbench with {WRITERS} clients {single:.0?}",
            4 * WRITERS
        );
    }
}
