//! Top-10 retrieval and listing at several sizes, against looking for words in a list. Not here: inserting.

use std::hint::black_box;

use mnemic::{Error, ErrorKind, Filter, MemoryManager, Mode, NewRecord, PageRequest, Query, Result, WriteOptions};

use crate::{
    Plan,
    corpus::Corpus,
    measure::{Stopwatch, Summary, Took, disk_bytes},
    report::Report,
};

/// Queries before measuring starts.
const WARM_UP: usize = 10;
/// Queries by brute force; each takes long enough to be sure of.
const BRUTE_QUERIES: usize = 20;

/// Measures at one size.
pub(crate) async fn measure(plan: &Plan, size: usize, report: &mut Report) -> Result<()> {
    let directory = tempfile::tempdir().map_err(|error| Error::new(ErrorKind::Unavailable, error.to_string()))?;
    let memory = MemoryManager::embedded(directory.path())?;
    let mut corpus = Corpus::new(size as u64)?;
    let mut texts = Vec::with_capacity(size);
    let watch = Stopwatch::start();
    for start in (0..size).step_by(1000) {
        let records = corpus.records(start, 1000.min(size - start))?;
        texts.extend(records.iter().map(NewRecord::clone).map(|record| record.text));
        memory.write(records, &WriteOptions::default()).await?;
    }
    let filling = watch.stop();
    let queries: Vec<String> = (0..plan.queries).map(|number| corpus.query(number)).collect();
    let brute = brute_force(&texts, &queries);
    for (mode, name) in [(Mode::Hybrid, "hybrid"), (Mode::Lexical, "lexical"), (Mode::Dense, "dense")] {
        let summary = retrieve(&memory, &queries, mode).await?;
        let against: &[(&str, Summary)] = if mode == Mode::Hybrid { &[("keyword scan of a list", brute)] } else { &[] };
        report.time(format!("top 10 of {size}, {name}"), summary, against);
    }
    report.time(format!("keyword scan of a list of {size}"), brute, &[]);
    report.time(format!("list 1,000 of {size}"), list(&memory, plan.rounds).await?, &[]);
    report.size(format!("fill with {size}: records/s"), size as f64 / filling.wall.as_secs_f64(), "");
    memory.close().await?;
    drop(memory);
    let resident = crate::resident::of_opening(directory.path())?;
    report.size(format!("memory of a process that searched in {size}"), resident as f64 / 1e6, "MB");
    let disk = disk_bytes(directory.path()).unwrap_or(0);
    report.size(format!("disk of {size}, with its saved index"), disk as f64 / 1e6, "MB");
    Ok(())
}

async fn retrieve(memory: &MemoryManager, queries: &[String], mode: Mode) -> Result<Summary> {
    for query in queries.iter().take(WARM_UP) {
        memory.retrieve(&Query { mode, ..Query::new(query.as_str()) }).await?;
    }
    let mut runs = Vec::with_capacity(queries.len());
    for query in queries {
        let query = Query { mode, ..Query::new(query.as_str()) };
        let watch = Stopwatch::start();
        let found = memory.retrieve(&query).await?;
        runs.push(watch.stop());
        black_box(found);
    }
    Ok(Summary::of(&runs))
}

/// What many an agent does at first: count for each text how many of the query's words it holds.
fn brute_force(texts: &[String], queries: &[String]) -> Summary {
    let runs: Vec<Took> = queries
        .iter()
        .take(BRUTE_QUERIES)
        .map(|query| {
            let watch = Stopwatch::start();
            let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
            let score = |text: &String| {
                let text = text.to_lowercase();
                words.iter().filter(|word| text.contains(word.as_str())).count()
            };
            let mut scored: Vec<(usize, usize)> = texts.iter().enumerate().map(|(i, text)| (score(text), i)).collect();
            scored.sort_unstable_by(|a, b| b.cmp(a));
            scored.truncate(10);
            black_box(scored);
            watch.stop()
        })
        .collect();
    Summary::of(&runs)
}

async fn list(memory: &MemoryManager, rounds: usize) -> Result<Summary> {
    let mut runs = Vec::new();
    for round in 0..=rounds {
        let watch = Stopwatch::start();
        let listed = memory.list(&Filter::all(), None, &PageRequest::largest()).await?;
        let took = watch.stop();
        black_box(listed);
        if round > 0 {
            runs.push(took);
        }
    }
    Ok(Summary::of(&runs))
}
