//! How fast a memory moves from a directory to PostgreSQL, against `COPY` of the same rows. Not here: memory (`migrated`), and whether
//! what moves is the same (tests).
//!
//! `COPY` gets its bytes ready made, into tables with the same columns, keys and indexes, as a superuser past row security and without
//! references between tables: every table of the ledger that the move filled, one transaction each.

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, TryStreamExt, pin_mut};
use mnemic::{EmbeddingModel, Metric, Namespace, Result, ports::Ledger};
use mnemic_ledgers::{PostgresLedger, SqliteConfig, SqliteLedger};
use mnemic_migration::follow;
use mnemic_postgres::testing::TestServer;
use tokio_postgres::Client;

use super::{failed, rows::Rows, superuser};
use crate::{
    Plan,
    measure::{Stopwatch, Summary, Took},
    report::{Report, Target},
};

/// Records of one commit in the source, as an agent writes a conversation's.
const BATCH: usize = 10;
/// Changes that are repeated at once, as `MemoryManager::migrate_to` does it.
const PAGE: usize = 4_000;
/// Bytes that `COPY` sends at once.
const PIECE: usize = 1 << 20;
/// The tables that a move fills.
const TABLES: [&str; 3] = ["records", "revisions", "commits"];

/// Measures, with short embeddings and long ones.
pub(super) async fn measure(plan: &Plan, server: &TestServer, report: &mut Report) -> Result<()> {
    let count = if plan.rounds > 10 { 10_000 } else { 5_000 };
    for dimension in [384, 1024] {
        of_dimension(plan, server, (dimension, count), report).await?;
    }
    Ok(())
}

async fn of_dimension(
    plan: &Plan,
    server: &TestServer,
    (dimension, count): (u32, usize),
    report: &mut Report,
) -> Result<()> {
    let model = EmbeddingModel::new("bench", "model", dimension, Metric::Cosine)?;
    let directory = tempfile::tempdir().map_err(failed)?;
    let source = SqliteLedger::open(SqliteConfig::new(directory.path().join("source")))?;
    let namespace = Namespace::new("source")?;
    let mut rows = Rows::of(u64::from(dimension), &model)?;
    for from in (0..count).step_by(BATCH) {
        let mut batch = rows.batch(from, BATCH)?;
        // Every commit has a time of its own.
        batch.at = mnemic::Timestamp::from_micros(batch.at.as_micros() + from as i64)?;
        source.commit(&namespace, batch).await?;
    }
    let database = server.database().await;
    let target = PostgresLedger::connect(database.config()).await?;
    let admin = superuser(&database).await?;
    let tables = TABLES.map(|table| format!("CREATE TABLE bench.{table} (LIKE mnemic.{table} INCLUDING ALL);"));
    admin.batch_execute(&format!("CREATE SCHEMA bench; {}", tables.concat())).await.map_err(failed)?;
    let (mut ours, mut copies, mut bytes) = (Vec::new(), Vec::new(), 0);
    for round in 0..=plan.rounds.min(7) {
        let moved = Namespace::new(format!("round-{round}"))?;
        let watch = Stopwatch::start();
        follow((&source, &namespace), (&target, &moved), PAGE, |_| {}).await?;
        let took = watch.stop();
        let mut parts = Vec::new();
        for table in TABLES {
            parts.push((table, copied_out(&admin, table, &moved).await?));
        }
        bytes = parts.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut copied = Took::default();
        for (table, bytes) in parts {
            copied.add(copy_in(&admin, table, bytes).await?);
        }
        // The first round warms up caches, connections and the processor's clock.
        if round > 0 {
            ours.push(took);
            copies.push(copied);
        }
    }
    same_rows(&admin, count).await?;
    let (ours, copies) = (Summary::of(&ours), Summary::of(&copies));
    let what = format!("{count} x {dimension}-d");
    report.time(format!("COPY {what}, binary, ready made"), copies, &[]);
    report.time(format!("move {what}, directory to PostgreSQL"), ours, &[("COPY", copies)]);
    let rate = |wall: std::time::Duration| bytes as f64 / 1e6 / wall.as_secs_f64();
    let name = format!("move {what}, directory to PostgreSQL");
    let figures = [rate(ours.wall), rate(copies.wall)];
    report.claim(name, Target::AtLeast(0.5), figures, "MB/s", "binary COPY of the same rows, indexed, durable");
    Ok(())
}

/// Rows of a namespace as `COPY` writes them.
async fn copied_out(admin: &Client, table: &str, namespace: &Namespace) -> Result<Bytes> {
    let select = format!("SELECT * FROM mnemic.{table} WHERE namespace = '{namespace}'");
    let stream = admin.copy_out(&format!("COPY ({select}) TO STDOUT (FORMAT binary)")).await.map_err(failed)?;
    pin_mut!(stream);
    let mut bytes = BytesMut::new();
    while let Some(piece) = stream.try_next().await.map_err(failed)? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// Writes them in one durable transaction.
async fn copy_in(admin: &Client, table: &str, mut bytes: Bytes) -> Result<Took> {
    let watch = Stopwatch::start();
    let sql = format!("COPY bench.{table} FROM STDIN (FORMAT binary)");
    let sink = admin.copy_in::<_, Bytes>(&sql).await.map_err(failed)?;
    pin_mut!(sink);
    while !bytes.is_empty() {
        let piece = bytes.split_to(PIECE.min(bytes.len()));
        sink.send(piece).await.map_err(failed)?;
    }
    sink.finish().await.map_err(failed)?;
    Ok(watch.stop())
}

/// Both sides hold the same, and all of it.
async fn same_rows(admin: &Client, count: usize) -> Result<()> {
    for table in TABLES {
        let sql = format!(
            "SELECT (SELECT count(*) FROM (TABLE mnemic.{table} EXCEPT ALL TABLE bench.{table}) AS other),
                (SELECT count(*) FROM mnemic.records WHERE namespace = 'round-0')"
        );
        let row = admin.query_one(&sql, &[]).await.map_err(failed)?;
        let (other, moved): (i64, i64) = (row.get(0), row.get(1));
        if other != 0 || moved != count as i64 {
            return Err(failed(format!("{other} rows of {table} were not copied, {moved} of {count} records moved")));
        }
    }
    Ok(())
}
