//! Durable commits of single records by 16 writers against `pgbench` with 16 clients that insert such a row. Not here: batches.
//!
//! The row of `pgbench` has the columns, the indexes and as many bytes as a record's, which it sends with every insert as a writer does.
//! It goes into a table without row security, as a superuser, and leaves no feed behind.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use mnemic::{Namespace, RecordId, Result, ports::Ledger};
use mnemic_ledgers::PostgresLedger;
use mnemic_postgres::{
    PostgresConfig,
    testing::{TestDatabase, TestServer},
};

use super::{
    failed,
    rows::{DIMENSION, Rows},
    superuser,
};
use crate::{
    Plan,
    report::{Report, Target},
};

/// Writers, and clients of `pgbench`.
const WRITERS: usize = 16;
/// Rounds of each; the middle one is told.
const ROUNDS: usize = 3;
/// Bytes of a record's text and the rest of what is packed with it.
const BODY: usize = 320;
/// Records that each writer may write.
const ROOM: usize = 10_000_000;

/// What is written.
#[derive(Clone, Copy, Debug)]
enum Row {
    /// A record whose embedding is pending.
    Text,
    /// A record with its embedding.
    Embedded,
}

impl Row {
    const ALL: [Self; 2] = [Self::Embedded, Self::Text];

    fn name(self) -> &'static str {
        match self {
            Self::Text => "text only",
            Self::Embedded => "2,048-d",
        }
    }

    fn rows(self, seed: u64) -> Result<Rows> {
        match self {
            Self::Text => Rows::without_embeddings(seed),
            Self::Embedded => Rows::new(seed),
        }
    }
}

/// Measures.
pub(super) async fn measure(plan: &Plan, server: &TestServer, report: &mut Report) -> Result<()> {
    let Some(program) = pgbench() else {
        report.note("LEFT OUT: writers. There is no pgbench in PATH; Debian has it in its package postgresql.");
        return Ok(());
    };
    for row in Row::ALL {
        measure_row(plan, server, &program, row, report).await?;
    }
    Ok(())
}

async fn measure_row(plan: &Plan, server: &TestServer, program: &Path, row: Row, report: &mut Report) -> Result<()> {
    let database = server.database().await;
    let config = PostgresConfig { max_connections: WRITERS, ..database.config() };
    let ledger = Arc::new(PostgresLedger::connect(config).await?);
    let directory = tempfile::tempdir().map_err(failed)?;
    let script = prepare(&database, row, directory.path()).await?;
    let one = vec![Namespace::new("writers")?];
    let many = (0..WRITERS).map(|number| Namespace::new(format!("writer-{number}"))).collect::<Result<Vec<_>>>()?;
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let [peer, together, apart] = &mut rates;
        peer.push(by_pgbench(program, &script, &database, plan.round)?);
        together.push(by_ledger(&ledger, &one, (row, round), plan.round).await?);
        apart.push(by_ledger(&ledger, &many, (row, round), plan.round).await?);
    }
    let [peer, together, apart] = rates.map(median);
    let name = row.name();
    for (what, rate) in [("one namespace", together), ("16 namespaces", apart)] {
        let claim = format!("16 writers, {what}, {name}");
        report.claim(claim, Target::AtLeast(1.0), [rate, peer], "commits/s", "pgbench, 16 clients, such a row");
    }
    Ok(())
}

/// The table and the script of `pgbench`.
async fn prepare(database: &TestDatabase, row: Row, directory: &Path) -> Result<PathBuf> {
    let admin = superuser(database).await?;
    let schema = "CREATE SCHEMA bench; CREATE TABLE bench.records (LIKE mnemic.records INCLUDING ALL);
                  CREATE SEQUENCE bench.numbers CACHE 100";
    admin.batch_execute(schema).await.map_err(failed)?;
    let vector = match row {
        Row::Text => "NULL, NULL, NULL",
        Row::Embedded => "1, 3735928559, convert_to(:vector, 'UTF8')",
    };
    let sql = format!(
        "INSERT INTO bench.records (namespace, ordinal, id, version, seq, created_at, user_id, thread_id, kind, source, updated_at, \
         valid_from, facets, body, model, crc, vector) SELECT 'bench', n, 'record-' || n, 1, n, 1767225600000000, 'user-042', \
         'thread-7', 'semantic', 'user', 1767225600000000, 1767225600000000, \
         '{{\"tags\": [\"tag-7\", \"tag-21\"], \"metadata\": {{\"form\": \"I-485\", \"page\": 7}}}}'::jsonb, \
         convert_to(:body, 'UTF8'), {vector} FROM nextval('bench.numbers') AS n;\n"
    );
    let script = directory.join("insert.sql");
    std::fs::write(&script, sql).map_err(failed)?;
    Ok(script)
}

/// Inserts a second by `pgbench`.
fn by_pgbench(program: &Path, script: &Path, database: &TestDatabase, long: Duration) -> Result<f64> {
    let mut command = Command::new(program);
    command.args(["--no-vacuum", "--protocol=prepared", "--client=16", "--jobs=2"]);
    let (body, vector) = ("b".repeat(BODY), "v".repeat(DIMENSION as usize * size_of::<f32>()));
    command.arg(format!("--define=body={body}")).arg(format!("--define=vector={vector}"));
    command.arg(format!("--time={}", long.as_secs().max(1))).arg("--file").arg(script).arg(database.admin_dsn());
    let output = command.output().map_err(failed)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok());
    match rate.filter(|_| output.status.success()) {
        Some(rate) => Ok(rate),
        None => Err(failed(format!("pgbench: {}", String::from_utf8_lossy(&output.stderr).trim()))),
    }
}

/// Commits a second by 16 tasks, spread over these namespaces.
async fn by_ledger(
    ledger: &Arc<PostgresLedger>,
    namespaces: &[Namespace],
    (row, round): (Row, usize),
    long: Duration,
) -> Result<f64> {
    let mut writers = Vec::new();
    let mut prepared = Vec::new();
    for (number, namespace) in (0..WRITERS).zip(namespaces.iter().cycle()) {
        let first = (round * WRITERS + number) * ROOM;
        let mut rows = row.rows(first as u64)?;
        // Its connection is there, and the namespace too.
        let batch = rows.batch(first, 1)?;
        ledger.commit(namespace, batch.clone()).await?;
        prepared.push((namespace.clone(), batch, first + 1));
    }
    let start = Instant::now();
    for (namespace, template, first) in prepared {
        let ledger = Arc::clone(ledger);
        writers.push(tokio::spawn(async move {
            let mut number = first;
            while start.elapsed() < long {
                // The same record under another name, as the row of `pgbench` is: making texts is not what is measured.
                let mut batch = template.clone();
                for write in &mut batch.writes {
                    write.record.id = RecordId::new(format!("record-{number}"))?;
                }
                ledger.commit(&namespace, batch).await?;
                number += 1;
            }
            Result::Ok(number - first)
        }));
    }
    let mut commits = 0;
    for writer in writers {
        commits += writer.await.map_err(failed)??;
    }
    Ok(commits as f64 / start.elapsed().as_secs_f64())
}

/// Where `pgbench` is: of the server's own installation where that is in `PATH`, else of the system.
fn pgbench() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join("pgbench")).find(|program| program.is_file())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}
