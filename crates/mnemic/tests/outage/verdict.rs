//! Whether what callers were told is what the ledger and the indexes hold, once everything serves again. Not here: doing the work
//! (`work`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::{Duration, Instant},
};

use mnemic::{EventId, MemoryManager, PageRequest, RecordId, RevisionKind, ThreadId, ports::EventRange};
use mnemic_layers::Status;
use mnemic_spool::SpoolReport;

use super::{
    script::{PINECONE, POSTGRES, Struck, VOYAGE},
    work::{Board, NAMESPACES, TASKS, Told, Write},
    world,
};

/// How long the memory may take to finish what is left once everything serves.
const SETTLING: Duration = Duration::from_mins(3);
/// How long any call may take: it asks several backends, one after the other.
const PATIENCE: Duration = Duration::from_secs(3 * world::DEADLINE.as_secs());
/// Faults of one kind that are told.
const SHOWN: usize = 5;

/// What was found.
#[derive(Debug, Default)]
pub struct Verdict {
    pub lost: Vec<String>,
    pub duplicated: Vec<String>,
    /// Batches of which a part is there, texts that nobody wrote, revisions in another order than they were acknowledged in.
    pub broken: Vec<String>,
    /// Unacknowledged writes that took effect, which is allowed.
    pub took_effect: u64,
    pub records: usize,
    pub faults: Vec<String>,
    pub outbox: u64,
    pub settled_in: Duration,
    pub spool: SpoolReport,
    pub traffic: BTreeMap<&'static str, Traffic>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    pub first_tries: u64,
    pub retries: u64,
    pub refused: u64,
}

impl Verdict {
    pub fn add_traffic(&mut self, all: &[Status]) {
        for status in all {
            let sum = self.traffic.entry(status.backend).or_default();
            sum.first_tries += status.first_tries;
            sum.retries += status.retries;
            sum.refused += status.breaker.as_ref().map_or(0, |breaker| breaker.refused);
        }
    }

    /// Waits until nothing is left to do, for as long as that may take.
    pub async fn settle(&mut self, memory: &MemoryManager) {
        let begun = Instant::now();
        for number in 0..NAMESPACES {
            let memory = memory.in_namespace(world::namespace(number));
            loop {
                let why = match left(&memory).await {
                    Ok(None) => break,
                    Ok(Some(left)) => left,
                    Err(error) => error.to_string(),
                };
                if begun.elapsed() > SETTLING {
                    self.faults.push(format!("{} is not done after {SETTLING:?}: {why}", memory.namespace()));
                    break;
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
        self.settled_in = begun.elapsed();
    }

    /// Compares everything.
    pub async fn compare(&mut self, memory: &MemoryManager, board: &Board) {
        let mut effective = [0; NAMESPACES];
        for number in 0..TASKS {
            let memory = memory.in_namespace(world::namespace(number % NAMESPACES));
            let writes = board.tasks[number].lock().unwrap().writes.clone();
            effective[number % NAMESPACES] += self.compare_task(&memory, number, &writes).await;
        }
        for (number, effective) in effective.into_iter().enumerate() {
            let memory = memory.in_namespace(world::namespace(number));
            self.compare_namespace(&memory, effective).await;
        }
    }

    /// Compares what one task was told with what is there, and answers how many of its writes took effect.
    async fn compare_task(&mut self, memory: &MemoryManager, task: usize, writes: &[Write]) -> u64 {
        let ids: BTreeSet<&RecordId> = writes.iter().flat_map(|write| &write.records).map(|(id, _)| id).collect();
        let mut held: BTreeMap<&RecordId, Vec<String>> = BTreeMap::new();
        for id in ids {
            let texts = match memory.history(id).await {
                Ok(history) => history.into_iter().filter_map(|revision| match revision.what {
                    RevisionKind::Written(record) => Some(record.text),
                    RevisionKind::Deleted(_) => None,
                }),
                Err(error) => {
                    self.faults.push(format!("task {task}: the history of {id} cannot be read: {error}"));
                    continue;
                }
            };
            // The newest comes first.
            held.insert(id, texts.rev().collect());
            self.records += 1;
        }
        let mut effective = 0;
        for write in writes {
            let times: Vec<usize> = write
                .records
                .iter()
                .map(|(id, text)| held.get(id).map_or(0, |texts| texts.iter().filter(|held| *held == text).count()))
                .collect();
            let what = || format!("task {task}, told {:?}, key {:?}: {:?}", write.told, write.key, write.records);
            let (least, most) = (times.iter().min().copied().unwrap_or(0), times.iter().max().copied().unwrap_or(0));
            if most > 1 {
                self.duplicated.push(what());
            } else if least == 0 && write.told != Told::Nothing {
                self.lost.push(what());
            } else if least != most {
                self.broken.push(format!("in part: {}", what()));
            }
            effective += u64::from(most > 0);
            self.took_effect += u64::from(most > 0 && write.told == Told::Nothing);
        }
        for (id, texts) in held {
            let order = |text: &String| {
                writes
                    .iter()
                    .position(|write| write.records.iter().any(|(other, written)| other == id && written == text))
            };
            let places: Vec<Option<usize>> = texts.iter().map(order).collect();
            if places.iter().any(Option::is_none) {
                self.broken.push(format!("invented: {id} {texts:?}"));
            }
            let told: Vec<usize> =
                places.into_iter().flatten().filter(|place| writes[*place].told != Told::Nothing).collect();
            if !told.is_sorted() {
                self.broken.push(format!("in another order than acknowledged: {id} {texts:?}"));
            }
        }
        effective
    }

    async fn compare_namespace(&mut self, memory: &MemoryManager, effective: u64) {
        let namespace = memory.namespace().clone();
        let mut fault = |what: String| self.faults.push(format!("{namespace}: {what}"));
        match journal(memory).await {
            Ok((events, distinct)) if events == distinct as u64 && events == effective => {}
            Ok((events, distinct)) => {
                fault(format!(
                    "{effective} writes took effect, and the journal has {events} entries, {distinct} different"
                ));
            }
            Err(error) => fault(format!("the journal cannot be read: {error}")),
        }
        match memory.verify().await {
            Ok(report) => report.faults.into_iter().for_each(&mut fault),
            Err(error) => fault(format!("verification failed: {error}")),
        }
        if let Err(error) = memory.verify_audit(None).await {
            fault(format!("the audit chain does not verify: {error}"));
        }
        match memory.stats().await {
            Ok(stats) => {
                if stats.ledger.embeddings != stats.ledger.records {
                    fault(format!("{} of {} records are embedded", stats.ledger.embeddings, stats.ledger.records));
                }
                self.outbox += stats.ledger.outbox;
            }
            Err(error) => fault(format!("no figures: {error}")),
        }
    }

    /// What must be nothing, by name.
    fn wrong(&self, board: &Board, struck: &Struck) -> Vec<(String, Vec<String>)> {
        let figures = board.figures();
        let count = |name: &str, n: u64| if n == 0 { Vec::new() } else { vec![format!("{n} {name}")] };
        let storm: Vec<String> = self
            .traffic
            .iter()
            .filter(|(_, traffic)| traffic.retries * 5 > traffic.first_tries)
            .map(|(backend, traffic)| format!("{backend}: {traffic:?}"))
            .collect();
        let longest = figures.longest_write.max(figures.longest_read);
        let slow = if longest <= PATIENCE { Vec::new() } else { vec![format!("{longest:?}")] };
        let struck = struck.lock().unwrap();
        let kinds = [("postgres", &POSTGRES[..]), ("pinecone", &PINECONE), ("voyage", &VOYAGE)];
        let missing = kinds.iter().flat_map(|(backend, kinds)| {
            kinds
                .iter()
                .filter(|kind| !struck.contains_key(&(*backend, **kind)))
                .map(move |kind| format!("{backend}: {kind}"))
        });
        let missing = if struck.is_empty() { Vec::new() } else { missing.collect() };
        [
            ("acknowledged writes lost", self.lost.clone()),
            ("writes duplicated", self.duplicated.clone()),
            ("repeats answered as new", figures.repeated.clone()),
            ("batches in part, inventions, disorder", self.broken.clone()),
            ("hits of another namespace or user", figures.foreign.clone()),
            ("silent empty answers", figures.silent.clone()),
            ("whole answers that lack or outdate what was asked for", figures.missed.clone()),
            ("faults of verification", self.faults.clone()),
            ("left in the outbox", count("tasks", self.outbox)),
            ("left in the spool", count("writes", self.spool.items)),
            ("put aside by the spool", count("writes", self.spool.quarantined)),
            ("retries above a fifth of first tries", storm),
            ("calls far beyond a backend's deadline", slow),
            ("outages that did not happen", missing),
        ]
        .into_iter()
        .map(|(name, found)| (name.to_owned(), found))
        .collect()
    }

    /// Everything as a table, and whether it is as it must be.
    pub fn table(&self, board: &Board, struck: &Struck, head: &str) -> (String, bool) {
        let wrong = self.wrong(board, struck);
        let mut table = format!("{head}\n");
        let mut line = |name: &str, value: String| {
            // Writing to a String cannot fail.
            let _infallible = writeln!(table, "  {name:<56} {value}");
        };
        let figures = board.figures();
        let told = |told| figures.told.get(&told).copied().unwrap_or(0).to_string();
        let writes: usize = board.tasks.iter().map(|task| task.lock().unwrap().writes.len()).sum();
        line("writes", format!("{writes}, and {} repeats of keyed ones", figures.repeats));
        line("answered committed", told(Told::Committed));
        line("answered pending", told(Told::Pending));
        line("answered spooled", told(Told::Spooled));
        line("refused or cut off", format!("{} {:?}", told(Told::Nothing), figures.refused_writes));
        line("unacknowledged writes that took effect", self.took_effect.to_string());
        line("retrievals", figures.reads.to_string());
        line("answered, and marked as degraded", figures.degraded.to_string());
        line("refused", format!("{:?}", figures.refused_reads));
        line("longest write", format!("{:.1} s", figures.longest_write.as_secs_f64()));
        line("longest retrieval", format!("{:.1} s", figures.longest_read.as_secs_f64()));
        line("a backend's deadline", format!("{:.1} s", world::DEADLINE.as_secs_f64()));
        line("records compared", self.records.to_string());
        line("all settled after", format!("{:.1} s", self.settled_in.as_secs_f64()));
        for ((backend, kind), times) in struck.lock().unwrap().iter() {
            line(&format!("outages: {backend}, {kind}"), times.to_string());
        }
        for (backend, traffic) in &self.traffic {
            let Traffic { first_tries, retries, refused } = traffic;
            let share = 1.0 + *retries as f64 / (*first_tries).max(1) as f64;
            line(
                &format!("tries sent to {backend}"),
                format!("{first_tries} + {retries} = {share:.2}; {refused} refused by its breaker"),
            );
        }
        line("stretches of torn spool files kept aside", self.spool.damaged.to_string());
        for (name, found) in &wrong {
            line(name, found.len().to_string());
        }
        drop(figures);
        for (name, found) in wrong.iter().filter(|(_, found)| !found.is_empty()) {
            for what in found.iter().take(SHOWN) {
                let _infallible = writeln!(table, "WRONG, {name}: {what}");
            }
        }
        (table, wrong.iter().all(|(_, found)| found.is_empty()))
    }
}

/// What is left to do in a namespace, in words.
async fn left(memory: &MemoryManager) -> mnemic::Result<Option<String>> {
    memory.drain().await?;
    let health = memory.health_check().await;
    if let Some(ill) = health.details.iter().find(|detail| !detail.healthy) {
        // Torn files of a lost life are kept for people to look at; that is not work left.
        if ill.part != "spool" || ill.kind.is_some() {
            return Ok(Some(format!("{}: {}", ill.part, ill.message)));
        }
    }
    let outbox = memory.stats().await?.ledger.outbox;
    if outbox > 0 {
        return Ok(Some(format!("{outbox} in the outbox")));
    }
    // What was written last shows later than it was accepted.
    let faults = memory.verify().await?.faults;
    Ok(faults.into_iter().next())
}

/// How many entries the journal has, and how many different ones.
async fn journal(memory: &MemoryManager) -> mnemic::Result<(u64, usize)> {
    let range = EventRange { thread_id: Some(ThreadId::journal()), ..EventRange::default() };
    let (mut page, mut events, mut different) = (PageRequest::largest(), 0, BTreeSet::<EventId>::new());
    loop {
        let found = memory.events(&range, &page).await?;
        events += found.items.len() as u64;
        different.extend(found.items.into_iter().filter_map(|entry| Some(entry.event?.event_id)));
        if found.next.is_none() {
            return Ok((events, different.len()));
        }
        page = page.after(found.next);
    }
}
