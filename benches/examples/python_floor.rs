//! The calls of `benches/python/overhead.py` made from Rust: what they cost below is what Python adds to. Not here: comparing.
//!
//! `python_floor RECORDS QUERIES DIRECTORY` reads one command a line from standard input and answers each with a line of JSON:
//! `fill SIZE` fills a memory of its own, `retrieve SIZE FROM COUNT` asks that many of the queries, `write ROUND` writes the first
//! 1,000 records to a namespace of their own. Times are in microseconds, `wall` and `cpu` (of all threads).

#![expect(clippy::print_stdout, reason = "the answers are the program's output")]

use std::{
    collections::BTreeMap,
    env, fs,
    hint::black_box,
    io::{self, BufRead, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use mnemic::{Error, ErrorKind, MemoryManager, Namespace, NewRecord, Query, Result, WriteOptions, wire};
use rustix::time::{ClockId, clock_gettime};

/// Records of one write.
const BATCH: usize = 1_000;
/// As many as the Python package has on a small machine.
const WORKERS: usize = 2;

/// What is asked of memories and what they hold.
struct Floor {
    records: Vec<NewRecord>,
    queries: Vec<String>,
    directory: PathBuf,
    filled: BTreeMap<usize, MemoryManager>,
    written: Option<MemoryManager>,
}

impl Floor {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut next = |what: &str| arguments.next().ok_or_else(|| Error::invalid(what, "a path", "nothing"));
        let (records, queries, directory) = (next("records")?, next("queries")?, next("directory")?);
        let lines = |path: &str| {
            fs::read_to_string(path).map_err(|error| {
                Error::new(ErrorKind::Unavailable, format!("{path} cannot be read")).with_source(error)
            })
        };
        let record = |line: &str| wire::new_record_from_object(&wire::json::parse_object(line)?);
        Ok(Self {
            records: lines(&records)?.lines().map(record).collect::<Result<_>>()?,
            queries: lines(&queries)?.lines().map(str::to_owned).collect(),
            directory: directory.into(),
            filled: BTreeMap::new(),
            written: None,
        })
    }

    async fn obey(&mut self, command: &str) -> Result<String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let number = |word: &str| {
            word.parse::<usize>().map_err(|error| Error::invalid("command", "a number", word).with_source(error))
        };
        match words.as_slice() {
            ["fill", size] => self.fill(number(size)?).await,
            ["retrieve", size, from, count] => self.retrieve(number(size)?, number(from)?, number(count)?).await,
            ["write", round] => self.write(round).await,
            _ => Err(Error::invalid("command", "fill, retrieve or write with their numbers", command)),
        }
    }

    async fn fill(&mut self, size: usize) -> Result<String> {
        let memory = MemoryManager::embedded(self.directory.join(format!("filled-{size}")))?;
        let records: Vec<NewRecord> = self.records.iter().take(size).cloned().collect();
        for batch in records.chunks(BATCH) {
            memory.write(batch.to_vec(), &WriteOptions::default()).await?;
        }
        self.filled.insert(size, memory);
        Ok("{}".to_owned())
    }

    async fn retrieve(&self, size: usize, from: usize, count: usize) -> Result<String> {
        let memory = self.filled.get(&size).ok_or_else(|| Error::invalid("size", "one that was filled", size))?;
        let (mut wall, mut cpu) = (Vec::new(), Vec::new());
        for text in self.queries.iter().cycle().skip(from).take(count) {
            let query = Query::new(text.as_str());
            let (busy, begun) = (processor_time(), Instant::now());
            let found = memory.retrieve(&query).await?;
            wall.push(begun.elapsed());
            cpu.push(processor_time().saturating_sub(busy));
            black_box(found);
        }
        Ok(answer(&wall, &cpu))
    }

    async fn write(&mut self, round: &str) -> Result<String> {
        let memory = match &self.written {
            Some(memory) => memory.clone(),
            None => self.written.insert(MemoryManager::embedded(self.directory.join("written"))?).clone(),
        };
        let memory = memory.in_namespace(Namespace::new(format!("round-{round}"))?);
        // A namespace's first write makes its files; what is measured is inserting, not creating.
        memory.write(vec![NewRecord::new("the first record")], &WriteOptions::default()).await?;
        let records: Vec<NewRecord> = self.records.iter().take(BATCH).cloned().collect();
        let (busy, begun) = (processor_time(), Instant::now());
        let report = memory.write(records, &WriteOptions::default()).await?;
        let took = (begun.elapsed(), processor_time().saturating_sub(busy));
        black_box(report);
        Ok(answer(&[took.0], &[took.1]))
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn answer(wall: &[Duration], cpu: &[Duration]) -> String {
    let microseconds = |times: &[Duration]| times.iter().map(|time| time.as_secs_f64() * 1e6).collect::<Vec<f64>>();
    format!(r#"{{"wall":{:?},"cpu":{:?}}}"#, microseconds(wall), microseconds(cpu))
}

fn serve() -> Result<()> {
    let failed = |error: io::Error| Error::new(ErrorKind::Unavailable, "the pipe is closed").with_source(error);
    let mut floor = Floor::read(env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.map_err(failed)?;
    for command in io::stdin().lock().lines() {
        println!("{}", runtime.block_on(floor.obey(&command.map_err(failed)?))?);
        io::stdout().flush().map_err(failed)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{{\"error\":{:?}}}", error.to_string());
            ExitCode::FAILURE
        }
    }
}
