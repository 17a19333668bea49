//! Opening a directory of 10,000 records with its saved index, and the first search in it. Not here: the searches after it.

use std::hint::black_box;

use mnemic::{Error, ErrorKind, MemoryManager, Query, Result, WriteOptions};

use crate::{
    Plan,
    corpus::Corpus,
    measure::{Stopwatch, Summary},
    report::Report,
};

/// Records of the directory that is opened.
const SIZE: usize = 10_000;

/// Measures opening.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let directory = tempfile::tempdir().map_err(|error| Error::new(ErrorKind::Unavailable, error.to_string()))?;
    let mut corpus = Corpus::new(3)?;
    {
        let memory = MemoryManager::embedded(directory.path())?;
        for start in (0..SIZE).step_by(1000) {
            memory.write(corpus.records(start, 1000)?, &WriteOptions::default()).await?;
        }
        memory.close().await?;
    }
    let (mut opened, mut searched) = (Vec::new(), Vec::new());
    for round in 0..=plan.rounds {
        let query = Query::new(corpus.query(round));
        let watch = Stopwatch::start();
        let memory = MemoryManager::embedded(directory.path())?;
        let opening = watch.stop();
        let watch = Stopwatch::start();
        black_box(memory.retrieve(&query).await?);
        if round > 0 {
            opened.push(opening);
            searched.push(watch.stop());
        }
    }
    report.time(format!("open a directory of {SIZE}"), Summary::of(&opened), &[]);
    report.time(format!("first search after opening {SIZE}"), Summary::of(&searched), &[]);
    Ok(())
}
