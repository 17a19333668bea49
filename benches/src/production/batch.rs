//! One durable commit of 1,000 records with embeddings through the PostgreSQL ledger against binary `COPY` of the rows that it made.
//! Not here: many small commits (`writers`).
//!
//! `COPY` gets its bytes ready made, into a table with the same columns, keys and indexes, as a superuser past row security and
//! without the reference to the model's row: less cannot be done for the same rows.

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, TryStreamExt, pin_mut};
use mnemic::{Namespace, Result, ports::Ledger};
use mnemic_ledgers::PostgresLedger;
use mnemic_postgres::testing::TestServer;
use tokio_postgres::Client;

use super::{failed, rows::Rows, superuser};
use crate::{
    Plan,
    measure::{Stopwatch, Summary, Took},
    report::{Report, Target},
};

/// Records of one commit.
const BATCH: usize = 1_000;
/// Bytes that `COPY` sends at once.
const PIECE: usize = 1 << 20;

/// Measures. Both are taken in every round, so that a busy moment of the machine touches each of them.
pub(super) async fn measure(plan: &Plan, server: &TestServer, report: &mut Report) -> Result<()> {
    let database = server.database().await;
    let ledger = PostgresLedger::connect(database.config()).await?;
    let admin = superuser(&database).await?;
    let schema = "CREATE SCHEMA bench; CREATE TABLE bench.records (LIKE mnemic.records INCLUDING ALL)";
    admin.batch_execute(schema).await.map_err(failed)?;
    let namespace = Namespace::new("bench")?;
    let mut rows = Rows::new(11)?;
    let (mut ours, mut copies) = (Vec::new(), Vec::new());
    for round in 0..=plan.rounds {
        let batch = rows.batch(round * BATCH, BATCH)?;
        let head = ledger.head(&namespace).await?;
        let watch = Stopwatch::start();
        ledger.commit(&namespace, batch).await?;
        let written = watch.stop();
        let select = format!("SELECT * FROM mnemic.records WHERE namespace = '{namespace}' AND ordinal > {}", head.0);
        let bytes = copied_out(&admin, &select).await?;
        let copied = copy_in(&admin, bytes).await?;
        // The first round warms up caches, connections and the processor's clock.
        if round > 0 {
            ours.push(written);
            copies.push(copied);
        }
    }
    same_rows(&admin).await?;
    let (ours, copies) = (Summary::of(&ours), Summary::of(&copies));
    report.time("COPY 1,000 x 2,048-d, binary, ready made", copies, &[]);
    report.time("commit 1,000 x 2,048-d, PostgreSQL ledger", ours, &[("COPY", copies)]);
    let figures = [ours.wall, copies.wall].map(|wall| wall.as_secs_f64() * 1e3);
    let name = "commit 1,000 x 2,048-d, PostgreSQL";
    report.claim(name, Target::AtMost(2.5), figures, "ms", "binary COPY of the same rows, indexed, durable");
    Ok(())
}

/// Rows as `COPY` writes them.
async fn copied_out(admin: &Client, select: &str) -> Result<Bytes> {
    let stream = admin.copy_out(&format!("COPY ({select}) TO STDOUT (FORMAT binary)")).await.map_err(failed)?;
    pin_mut!(stream);
    let mut bytes = BytesMut::new();
    while let Some(piece) = stream.try_next().await.map_err(failed)? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// Writes them in one durable transaction.
async fn copy_in(admin: &Client, mut bytes: Bytes) -> Result<Took> {
    let watch = Stopwatch::start();
    let sink = admin.copy_in::<_, Bytes>("COPY bench.records FROM STDIN (FORMAT binary)").await.map_err(failed)?;
    pin_mut!(sink);
    while !bytes.is_empty() {
        let piece = bytes.split_to(PIECE.min(bytes.len()));
        sink.send(piece).await.map_err(failed)?;
    }
    let copied = sink.finish().await.map_err(failed)?;
    let took = watch.stop();
    if copied == BATCH as u64 { Ok(took) } else { Err(failed(format!("{copied} rows were copied"))) }
}

/// Both tables hold the same.
async fn same_rows(admin: &Client) -> Result<()> {
    let differing = "SELECT count(*) FROM (TABLE mnemic.records EXCEPT ALL TABLE bench.records) AS other";
    let row = admin.query_one(differing, &[]).await.map_err(failed)?;
    match row.get::<_, i64>(0) {
        0 => Ok(()),
        rows => Err(failed(format!("{rows} rows of the ledger were not copied"))),
    }
}
