//! Retrieval while another task writes without a pause, against the same retrieval in a quiet memory. Not here: how long writing takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mnemic::{Error, ErrorKind, MemoryManager, Query, Result, WriteOptions};

use crate::{
    Plan,
    corpus::Corpus,
    measure::{Stopwatch, Summary, Took},
    report::Report,
};

/// Records in the memory at first, and of each batch that is written meanwhile.
const BATCH: usize = 1_000;
/// Between two retrievals, so that writing goes on.
const PAUSE: Duration = Duration::from_micros(500);

/// Measures.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let directory = tempfile::tempdir().map_err(|error| Error::new(ErrorKind::Unavailable, error.to_string()))?;
    for (memory, name) in
        [(MemoryManager::dev()?, "in process"), (MemoryManager::embedded(directory.path())?, "directory")]
    {
        let mut corpus = Corpus::new(17)?;
        memory.write(corpus.records(0, BATCH)?, &WriteOptions::default()).await?;
        let queries: Vec<String> = (0..plan.queries).map(|number| corpus.query(number)).collect();
        let quiet = retrieve(&memory, &queries).await?;
        let over = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn(write(memory.clone(), corpus, Arc::clone(&over)));
        let busy = retrieve(&memory, &queries).await;
        over.store(true, Ordering::Relaxed);
        let written = writer.await.map_err(|error| Error::bug(error.to_string()))??;
        let busy = busy?;
        report.time(format!("{name}: top 10, quiet"), Summary::of(&quiet), &[]);
        report.time(format!("{name}: top 10 meanwhile"), Summary::of(&busy), &[("quiet", Summary::of(&quiet))]);
        report.size(format!("{name}: 99 of 100 within, quiet"), slow(&quiet), "ms");
        report.size(format!("{name}: 99 of 100 within, meanwhile"), slow(&busy), "ms");
        report.size(format!("{name}: written meanwhile"), written as f64, "records");
    }
    Ok(())
}

async fn write(memory: MemoryManager, mut corpus: Corpus, over: Arc<AtomicBool>) -> Result<usize> {
    let mut written = BATCH;
    while !over.load(Ordering::Relaxed) {
        memory.write(corpus.records(written, BATCH)?, &WriteOptions::default()).await?;
        written += BATCH;
    }
    Ok(written - BATCH)
}

async fn retrieve(memory: &MemoryManager, queries: &[String]) -> Result<Vec<Took>> {
    let mut runs = Vec::with_capacity(queries.len());
    for query in queries {
        let query = Query::new(query.as_str());
        let watch = Stopwatch::start();
        memory.retrieve(&query).await?;
        runs.push(watch.stop());
        tokio::time::sleep(PAUSE).await;
    }
    Ok(runs)
}

/// What all but one in a hundred took at most, in milliseconds.
fn slow(runs: &[Took]) -> f64 {
    let mut walls: Vec<Duration> = runs.iter().map(|took| took.wall).collect();
    walls.sort_unstable();
    walls.get(walls.len() * 99 / 100).map_or(0.0, |wall| wall.as_secs_f64() * 1e3)
}
