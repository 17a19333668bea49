//! Durable insert of 1,000 records against writing the same bytes and against a list in memory. Not here: searching them.

use std::{
    fs::File,
    hint::black_box,
    io::{self, Write},
    path::Path,
};

use mnemic::{Error, ErrorKind, MemoryManager, Namespace, NewRecord, Result, WriteOptions};

use crate::{
    Plan,
    corpus::Corpus,
    measure::{Stopwatch, Summary, Took, disk_bytes},
    report::Report,
};

/// Records of one insert.
const BATCH: usize = 1_000;

/// Measures inserting. All three are taken in every round, so that a busy moment of the machine touches each of them.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let directory = tempfile::tempdir().map_err(|error| failed(&error))?;
    let memory = MemoryManager::embedded(directory.path().join("memory"))?;
    let mut corpus = Corpus::new(7)?;
    let (mut durable, mut floor, mut list, mut single) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..=plan.rounds {
        let memory = memory.in_namespace(Namespace::new(format!("round-{round}"))?);
        // A namespace's first write makes its files; what is measured is inserting, not creating.
        memory.write(corpus.records(9_000_000, 1)?, &WriteOptions::default()).await?;
        let records = corpus.records(round * BATCH, BATCH)?;
        let took = time_floor(&directory.path().join("floor"), &records, embedding_bytes(&memory).await?)?;
        let plain = time_list(&records);
        let watch = Stopwatch::start();
        memory.write(records, &WriteOptions::default()).await?;
        let written = watch.stop();
        let watch = Stopwatch::start();
        memory.write(corpus.records(8_000_000, 1)?, &WriteOptions::default()).await?;
        // The first round warms up caches and the processor's clock.
        if round > 0 {
            floor.push(took);
            list.push(plain);
            durable.push(written);
            single.push(watch.stop());
        }
    }
    memory.close().await?;
    let (durable, floor, list) = (Summary::of(&durable), Summary::of(&floor), Summary::of(&list));
    report.time("write the bytes of 1,000, two fdatasyncs", floor, &[]);
    report.time("append 1,000 to a list in memory", list, &[]);
    report.time("insert 1,000, durable, embedded, indexed", durable, &[("bytes + fdatasync", floor), ("list", list)]);
    report.time("insert 1, durable, embedded, indexed", Summary::of(&single), &[]);
    let thousands = (plan.rounds + 1) as f64;
    let disk = disk_bytes(&directory.path().join("memory")).map_err(|error| failed(&error))?;
    report.size("disk for 1,000 records", disk as f64 / thousands / 1e6, "MB");
    Ok(())
}

fn failed(error: &io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("cannot measure: {error}"))
}

/// Bytes of one embedding as this memory keeps them.
async fn embedding_bytes(memory: &MemoryManager) -> Result<usize> {
    let page = mnemic::PageRequest::first(1)?;
    let stored = memory.list_stored(&mnemic::Filter::all(), &page).await?;
    Ok(stored
        .items
        .first()
        .and_then(|stored| stored.embedding.as_ref())
        .map_or(0, |embedding| 4 * embedding.components().len()))
}

/// The least that keeping these records durably can cost: their bytes and their embeddings' in two files, each synced.
fn time_floor(path: &Path, records: &[NewRecord], embedding: usize) -> Result<Took> {
    let texts: Vec<u8> = records.iter().flat_map(|record| record.text.bytes().chain([b'\n'; 120])).collect();
    let vectors = vec![7u8; embedding * records.len()];
    let write = |name: &str, bytes: &[u8]| {
        let mut file = File::create(path.with_extension(name))?;
        file.write_all(bytes)?;
        file.sync_data()
    };
    let watch = Stopwatch::start();
    write("texts", &texts).and_then(|()| write("vectors", &vectors)).map_err(|error| failed(&error))?;
    Ok(watch.stop())
}

fn time_list(records: &[NewRecord]) -> Took {
    let watch = Stopwatch::start();
    let list: Vec<NewRecord> = records.to_vec();
    let took = watch.stop();
    black_box(list);
    took
}
