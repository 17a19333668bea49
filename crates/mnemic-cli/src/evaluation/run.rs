//! Loads a corpus, asks every question in every mode, measures. Not here: what the figures mean (`metrics`).

use std::{
    collections::BTreeSet,
    fs::File,
    path::Path,
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use mnemic::{MemoryManager, Mode, Namespace, Query, Retrieval};

use super::{
    metrics::{Figures, Means},
    questions::Question,
};
use crate::{
    exit::{Failure, Result},
    formats::{
        Fault, Format, Interpreter,
        lines::Lines,
        load::{Loader, Placement, Split, namespace_for},
        rows::Defaults,
    },
};

/// Hits that an agent would ask for: what the first figures are measured on, and what is timed.
const SHORT: usize = 10;
/// Hits for the recall of a generous prompt.
const LONG: usize = 50;
/// Hits from which sessions are ranked, so that fifty sessions can be among them.
const FOR_SESSIONS: usize = 200;

/// What one mode reached.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// By record.
    pub records: Means,
    /// By session, for questions that name sessions.
    pub sessions: Means,
    /// How long each question took.
    pub times: Vec<Duration>,
    /// Why some answers were less than they could be.
    pub degraded: usize,
}

/// Fills a memory with a corpus and answers how many records it has.
pub(crate) async fn load(memory: &MemoryManager, corpus: &Path, bar: &ProgressBar) -> Result<u64> {
    let file = File::open(corpus).map_err(|error| Failure::io("read", corpus, &error))?;
    let mut lines = Lines::new(file);
    let mut interpreter = Interpreter::new(Some(Format::Conversations), Defaults::default());
    let placement = Placement { memory: memory.clone(), split: Split::ByPlace, prefix: String::new() };
    let mut loader = Loader::new(placement, false);
    while let Some(line) = lines.next().map_err(|error| Failure::io("read", corpus, &error))? {
        let at = |error: mnemic::Error| Failure::from(error.within(format!("line {}", line.number)));
        let items = match interpreter.line(line.number, &line.text.map_err(at)?) {
            Ok(items) => items,
            Err(Fault::Line(error) | Fault::File(error)) => return Err(at(error)),
        };
        for item in items {
            loader.push(item).await?.map_err(at)?;
        }
        bar.set_position(lines.bytes());
    }
    loader.finish().await?;
    let total = loader.total();
    Ok(total.new + total.replaced + total.unchanged)
}

/// Asks every question.
pub(crate) async fn measure(
    memory: &MemoryManager,
    questions: &[Question],
    mode: Mode,
    bar: &ProgressBar,
) -> Result<Measured> {
    let mut measured = Measured::default();
    for question in questions {
        let memory = match &question.conv {
            Some(conv) => memory.in_namespace(namespace_for("", conv)?),
            None => memory.clone(),
        };
        let started = Instant::now();
        let short = ask(&memory, question, mode, SHORT).await?;
        measured.times.push(started.elapsed());
        measured.degraded += usize::from(!short.degraded.is_empty());
        let long = ask(&memory, question, mode, LONG).await?;
        let gold: BTreeSet<&str> = question.evidence.iter().map(String::as_str).collect();
        let first = Figures::of(&ids(&short), &gold);
        let figures = Figures { recall_50: Figures::of(&ids(&long), &gold).recall_50, ..first };
        measured.records.add(&question.category, figures);
        if !question.sessions.is_empty() {
            let deep = ask(&memory, question, mode, FOR_SESSIONS).await?;
            let ranked: Vec<&str> = ids(&deep).into_iter().map(session).collect();
            let gold: BTreeSet<&str> = question.sessions.iter().map(String::as_str).collect();
            measured.sessions.add(&question.category, Figures::of(&ranked, &gold));
        }
        bar.inc(1);
    }
    Ok(measured)
}

/// The namespace that a corpus without conversations is loaded into.
pub(crate) fn whole() -> mnemic::Result<Namespace> {
    Namespace::new("corpus")
}

async fn ask(memory: &MemoryManager, question: &Question, mode: Mode, limit: usize) -> Result<Retrieval> {
    let query = Query { limit: Some(limit), mode, ..Query::new(question.text.as_str()) };
    Ok(memory.retrieve(&query).await?)
}

fn ids(retrieval: &Retrieval) -> Vec<&str> {
    retrieval.hits.iter().map(|hit| hit.record.id.as_str()).collect()
}

/// The session of a record: what stands before `#` in its id. A session stands where its best record stands.
fn session(id: &str) -> &str {
    id.split_once('#').map_or(id, |(session, _)| session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_stands_where_its_best_record_stands() {
        let ranked: Vec<&str> = ["s1#4", "s2#0", "s1#1", "s3#9"].into_iter().map(session).collect();
        let gold = BTreeSet::from(["s2", "s3"]);
        assert_eq!(mnemic::policy::ranking::recall(&ranked, &gold, 2), 0.5);
        assert_eq!(mnemic::policy::ranking::recall(&ranked, &gold, 3), 1.0);
    }
}
