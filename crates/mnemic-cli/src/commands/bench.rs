//! `mnemic bench`: how fast memory is on this machine, measured in a directory that goes away.
//! Not here: comparisons with alternatives and sizes beyond a minute's work (`cargo xtask bench`).

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use mnemic::{
    Builder, Filter, MemoryManager, NewRecord, Number, Object, PageRequest, Query, RecordId, Value, WriteOptions,
    config::{Profile, Settings},
};

use crate::{
    context::Context,
    exit::{Failure, Result},
    output::Answer,
};

/// Records of one insert.
const BATCH: usize = 1000;
/// Repetitions of what takes long.
const ROUNDS: usize = 5;
/// Repetitions of what is quick.
const QUERIES: usize = 100;

/// What the records say, in two languages; places in braces are filled in.
const SENTENCES: [&str; 8] = [
    "The client in matter {n} asked to move the interview to {d}, since the translator is free only then; confirm with the {c} office.",
    "Receipt {n} for the petition arrived on {d}; the premium fee was paid from the {c} account and the copy is in the shared folder.",
    "She prefers short answers in the morning and dislikes phone calls after six; ask about the {c} trip planned for {d}, ticket {n}.",
    "Open question: whether the letter of the {c} university counts as new evidence after {d}; compare it with exhibit {n}.",
    "Клиент по делу {n} просил перенести встречу на {d}, потому что переводчик из города {c} свободен только в этот день.",
    "Квитанция {n} пришла {d}; пошлина оплачена со счёта {c}, копия лежит в общей папке вместе с переводом диплома.",
    "The assistant promised to send the list of documents for {c} by {d}; item {n} still needs a certified translation.",
    "Она переехала в {c} и просит писать по новому адресу с {d}; старый телефон {n} больше не действует.",
];

const PLACES: [&str; 12] =
    ["Boston", "Казань", "Riga", "Chicago", "Тверь", "Lagos", "Vienna", "Псков", "Denver", "Oslo", "Томск", "Lisbon"];

/// Options of `bench`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {}

/// One thing that was measured.
struct Measured {
    name: &'static str,
    unit: &'static str,
    /// Sorted.
    times: Vec<Duration>,
}

impl Measured {
    fn new(name: &'static str, unit: &'static str, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { name, unit, times }
    }

    fn median(&self) -> f64 {
        self.times.get(self.times.len() / 2).copied().unwrap_or_default().as_secs_f64() * 1e3
    }

    fn best(&self) -> f64 {
        self.times.first().copied().unwrap_or_default().as_secs_f64() * 1e3
    }
}

/// Runs `bench`.
pub(crate) async fn run(ctx: &Context, _args: &Args) -> Result<Answer> {
    let beside = place(&ctx.settings);
    let made = tempfile::Builder::new().prefix("mnemic-bench-").tempdir_in(&beside);
    let directory = made.map_err(|error| Failure::io("write", &beside, &error))?;
    let measured = measure(ctx, directory.path()).await?;
    let mut text = format!("in {} ({})\n\n", beside.display(), ctx.settings.embedder.value);
    let _infallible = writeln!(text, "{:<44} {:>10} {:>10}", "milliseconds", "median", "best");
    let mut data = Object::new();
    for measured in &measured {
        let (median, best) = (measured.median(), measured.best());
        let _infallible = writeln!(text, "{:<44} {median:>10.2} {best:>10.2}", measured.name);
        let number = |value| Number::from_f64(value).map_or(Value::Null, Value::Number);
        let figures = [
            ("median_ms", number(median)),
            ("best_ms", number(best)),
            ("runs", Value::from(measured.times.len() as u64)),
        ];
        let figures: Object = figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        data.insert(measured.unit.to_owned(), figures.into());
    }
    let count = measured.len();
    Ok(Answer::new(data, text).count(count))
}

/// Where to measure: beside the memory if there is one, so that the figures are about its disk.
fn place(settings: &Settings) -> PathBuf {
    let memory = &settings.directory.value;
    let beside = memory.parent().filter(|_| memory.is_dir());
    beside.map_or_else(std::env::temp_dir, Path::to_owned)
}

async fn measure(ctx: &Context, directory: &Path) -> Result<Vec<Measured>> {
    let mut settings = ctx.settings.clone();
    settings.profile.value = Profile::Embedded;
    settings.directory.value = directory.join("memory");
    let bar = ctx.progress(Some((ROUNDS + 3 + QUERIES) as u64), "measuring");
    let memory = Builder::from_settings(&settings)?.build(settings.namespace.value.clone())?;
    let mut inserts = Vec::new();
    let mut singles = Vec::new();
    for round in 0..=ROUNDS {
        let records = (round * BATCH..(round + 1) * BATCH).map(record).collect::<mnemic::Result<Vec<_>>>()?;
        inserts.push(timed(memory.write(records, &WriteOptions::default())).await?);
        let one = vec![record(1_000_000 + round)?];
        singles.push(timed(memory.write(one, &WriteOptions::default())).await?);
        bar.inc(1);
    }
    // The first round makes files and warms up caches.
    inserts.remove(0);
    singles.remove(0);
    let searches = searches(&memory, &bar).await?;
    let mut lists = Vec::new();
    for _ in 0..ROUNDS {
        lists.push(timed(memory.list(&Filter::all(), None, &PageRequest::largest())).await?);
    }
    memory.close().await?;
    drop(memory);
    let opens = opens(&settings).await?;
    bar.finish_and_clear();
    Ok(vec![
        Measured::new("insert 1,000 records, durable and searchable", "insert_1000", inserts),
        Measured::new("insert 1 record, durable and searchable", "insert_1", singles),
        Measured::new("find the best 10 of 6,000", "search_10", searches),
        Measured::new("list 1,000 records", "list_1000", lists),
        Measured::new("open 6,000 records and find the best 10", "open", opens),
    ])
}

async fn searches(memory: &MemoryManager, bar: &indicatif::ProgressBar) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for number in 0..QUERIES {
        let asked = sentence(7 * number);
        let words: Vec<&str> = asked.split_whitespace().skip(2).take(6).collect();
        times.push(timed(memory.retrieve(&Query::new(words.join(" ")))).await?);
        bar.inc(1);
    }
    Ok(times)
}

async fn opens(settings: &Settings) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let memory = Builder::from_settings(settings)?.build(settings.namespace.value.clone())?;
        memory.retrieve(&Query::new("when does the translator arrive")).await?;
        times.push(started.elapsed());
    }
    Ok(times)
}

async fn timed<T>(work: impl Future<Output = mnemic::Result<T>>) -> Result<Duration> {
    let started = Instant::now();
    let done = work.await?;
    let took = started.elapsed();
    drop(done);
    Ok(took)
}

fn record(number: usize) -> mnemic::Result<NewRecord> {
    Ok(NewRecord::new(sentence(number))
        .with_id(RecordId::new(format!("bench-{number}"))?)
        .with_tags([format!("tag-{}", number % 50)])
        .with_metadata("number", number as u64))
}

fn sentence(number: usize) -> String {
    let pick = |list: &[&'static str], salt: usize| {
        list.get((number * 7 + number / 3 + salt) % list.len().max(1)).copied().unwrap_or_default()
    };
    let day = format!("2026-{:02}-{:02}", number % 12 + 1, number % 28 + 1);
    pick(&SENTENCES, 0)
        .replace("{n}", &format!("I-{}", number * 31 % 99_991))
        .replace("{d}", &day)
        .replace("{c}", pick(&PLACES, number / 8))
}
