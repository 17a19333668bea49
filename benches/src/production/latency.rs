//! Top-10 retrieval on PostgreSQL, with its own indexes and with the one in this process, beside the embedded mode. No target: for the
//! record. Not here: hosted vendors (`overhead`); every memory here embeds in this process.

use std::{hint::black_box, path::Path};

use mnemic::{MemoryManager, Query, Result, WriteOptions};
use mnemic_postgres::testing::{TestDatabase, TestServer};

use super::{environment, failed, memory};
use crate::{
    Plan,
    corpus::Corpus,
    measure::{Stopwatch, Summary, Took},
    report::Report,
};

/// Records of one write.
const WRITE: usize = 1_000;
/// Queries before measuring starts.
const WARM_UP: usize = 10;

/// Measures at the second of the plan's sizes, which is 10,000. Every query is asked of each memory in turn.
pub(super) async fn measure(plan: &Plan, server: &TestServer, report: &mut Report) -> Result<()> {
    let Some(size) = plan.sizes.get(1).copied() else { return Ok(()) };
    let directory = tempfile::tempdir().map_err(failed)?;
    let databases = [server.database().await, server.database().await];
    let [first, second] = &databases;
    let memories = [
        MemoryManager::embedded(directory.path().join("embedded"))?,
        in_production(first, &directory.path().join("pgvector"), "pgvector")?,
        in_production(second, &directory.path().join("local"), "local")?,
    ];
    let names = ["embedded", "PostgreSQL, pgvector and text", "PostgreSQL, index in process"];
    for (memory, name) in memories.iter().zip(names) {
        let rate = fill(memory, size).await?;
        report.size(format!("fill with {size}, {name}: records/s"), rate, "");
    }
    let mut corpus = Corpus::new(19)?;
    let mut runs: [Vec<Took>; 3] = Default::default();
    for number in 0..WARM_UP + plan.queries {
        let query = Query::new(corpus.query(number));
        for ((memory, name), runs) in memories.iter().zip(names).zip(&mut runs) {
            let watch = Stopwatch::start();
            let found = memory.retrieve(&query).await?;
            let took = watch.stop();
            if !found.degraded.is_empty() {
                return Err(failed(format!("{name}: degraded: {}", found.degraded.join("; "))));
            }
            black_box(found);
            if number >= WARM_UP {
                runs.push(took);
            }
        }
    }
    let embedded = runs.first().map(|runs| Summary::of(runs)).unwrap_or_default();
    for (name, runs) in names.iter().zip(&runs) {
        report.time(format!("top 10 of {size}, {name}"), Summary::of(runs), &[("embedded", embedded)]);
    }
    Ok(())
}

fn in_production(database: &TestDatabase, directory: &Path, index: &str) -> Result<MemoryManager> {
    std::fs::create_dir_all(directory).map_err(failed)?;
    let mut variables = environment(database, directory);
    variables.insert("MNEMIC_INDEX".to_owned(), index.to_owned());
    variables.insert("MNEMIC_EMBEDDER".to_owned(), "static".to_owned());
    memory(&variables, directory)
}

/// Writes `size` records and tells how many a second, until they can be searched.
async fn fill(memory: &MemoryManager, size: usize) -> Result<f64> {
    let mut corpus = Corpus::new(size as u64)?;
    let watch = Stopwatch::start();
    for start in (0..size).step_by(WRITE) {
        memory.write(corpus.records(start, WRITE.min(size - start))?, &WriteOptions::default()).await?;
    }
    Ok(size as f64 / watch.stop().wall.as_secs_f64())
}
