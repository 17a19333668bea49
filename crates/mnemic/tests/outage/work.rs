//! What 16 tasks do with a memory while the world breaks around it, and what each of them was told. Not here: whether it was true
//! (`verdict`).

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use mnemic::{
    Error, MemoryManager, NewRecord, Query, RecordId, RecordOutcome, Retrieval, UserId, WriteOptions, WriteReport,
};

use super::{Rng, world};

pub const TASKS: usize = 16;
pub const NAMESPACES: usize = 8;

/// How much is done, and in which time.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub writes: usize,
    pub reads: usize,
    pub length: Duration,
}

/// What a caller was told of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// Nothing, or that it failed: it may have taken effect all the same.
    Nothing,
    /// It is in the ledger and found by every way of searching.
    Committed,
    /// It is in the ledger.
    Pending,
    /// It is on this machine and will be in the ledger.
    Spooled,
}

/// A write that was tried.
#[derive(Clone, Debug)]
pub struct Write {
    pub key: Option<String>,
    /// Ids and texts. No text is written twice.
    pub records: Vec<(RecordId, String)>,
    pub told: Told,
}

#[derive(Clone, Debug)]
enum Step {
    Write(Write),
    /// The last write that has a key once more.
    Again,
    Read,
}

/// One task, its plan, and what it knows. It survives the lives of the memory, as callers do.
#[derive(Debug)]
pub struct Task {
    steps: Vec<Step>,
    next: usize,
    pub writes: Vec<Write>,
}

/// What was seen that must not be, and what was counted.
#[derive(Debug, Default)]
pub struct Figures {
    pub told: BTreeMap<Told, u64>,
    pub refused_writes: BTreeMap<&'static str, u64>,
    pub refused_reads: BTreeMap<&'static str, u64>,
    pub reads: u64,
    pub degraded: u64,
    pub repeats: u64,
    /// Repeats with the same key that were answered as if they were the first.
    pub repeated: Vec<String>,
    /// Hits of another namespace or user, or with a text that nobody wrote there.
    pub foreign: Vec<String>,
    /// Whole answers without any hit, though something was acknowledged.
    pub silent: Vec<String>,
    /// Whole answers without what was acknowledged, or with an older revision of it.
    pub missed: Vec<String>,
    pub longest_write: Duration,
    pub longest_read: Duration,
}

/// What all tasks share.
#[derive(Debug)]
pub struct Board {
    pub tasks: Vec<Mutex<Task>>,
    pub figures: Mutex<Figures>,
    /// Steps that were begun.
    pub done: AtomicU64,
    /// Writes that were told to be spooled.
    pub spooled: AtomicU64,
    pub steps: u64,
    load: Load,
    begun: Mutex<Instant>,
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    pub fn new(load: Load, rng: &mut Rng) -> Self {
        let tasks: Vec<_> = (0..TASKS).map(|number| Task::plan(number, load, rng)).collect();
        let steps = tasks.iter().map(|task| task.steps.len() as u64).sum();
        Self {
            tasks: tasks.into_iter().map(Mutex::new).collect(),
            figures: Mutex::default(),
            done: AtomicU64::new(0),
            spooled: AtomicU64::new(0),
            steps,
            load,
            begun: Mutex::new(Instant::now()),
        }
    }

    pub fn begin(&self) {
        *lock(&self.begun) = Instant::now();
    }

    pub fn figures(&self) -> MutexGuard<'_, Figures> {
        lock(&self.figures)
    }

    fn task(&self, number: usize) -> MutexGuard<'_, Task> {
        lock(&self.tasks[number])
    }

    /// Works through the plan of a task from where it stopped, no faster than its share of the time allows.
    pub async fn work(self: Arc<Self>, number: usize, memory: MemoryManager) {
        let memory = memory.in_namespace(world::namespace(number % NAMESPACES));
        loop {
            let (step, due) = {
                let task = self.task(number);
                let Some(step) = task.steps.get(task.next).cloned() else { return };
                (step, self.load.length.mul_f64(task.next as f64 / task.steps.len() as f64))
            };
            let begun = *lock(&self.begun);
            tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
            // What the power takes away before it was begun is done in the next life.
            self.task(number).next += 1;
            self.done.fetch_add(1, Ordering::SeqCst);
            match step {
                Step::Write(write) => self.write(number, &memory, write).await,
                Step::Again => self.again(number, &memory).await,
                Step::Read => self.read(number, &memory).await,
            }
        }
    }

    async fn write(&self, number: usize, memory: &MemoryManager, write: Write) {
        let place = {
            let mut task = self.task(number);
            task.writes.push(write.clone());
            task.writes.len() - 1
        };
        let begun = Instant::now();
        let answer = memory.write(drafts(number, &write), &options(&write)).await;
        self.took(begun, |figures| &mut figures.longest_write);
        let told = self.told(number, place, answer.as_ref());
        // A caller who has a key and no answer asks again.
        if told == Told::Nothing && write.key.is_some() {
            let answer = memory.write(drafts(number, &write), &options(&write)).await;
            self.told(number, place, answer.as_ref());
        }
    }

    fn took(&self, begun: Instant, longest: impl Fn(&mut Figures) -> &mut Duration) {
        let mut figures = self.figures();
        let longest = longest(&mut figures);
        *longest = begun.elapsed().max(*longest);
    }

    /// Notes what was told of a write.
    fn told(&self, number: usize, place: usize, answer: Result<&WriteReport, &Error>) -> Told {
        let told = match answer {
            Ok(report) => report.records.iter().map(|record| told_of(record.outcome)).max().unwrap_or(Told::Nothing),
            Err(error) => {
                *self.figures().refused_writes.entry(error.kind().as_str()).or_default() += 1;
                Told::Nothing
            }
        };
        *self.figures().told.entry(told).or_default() += 1;
        if told == Told::Spooled {
            self.spooled.fetch_add(1, Ordering::SeqCst);
        }
        let mut task = self.task(number);
        let write = &mut task.writes[place];
        write.told = write.told.max(told);
        told
    }

    async fn again(&self, number: usize, memory: &MemoryManager) {
        let last = {
            let task = self.task(number);
            let place = task.writes.iter().rposition(|write| write.key.is_some());
            place.map(|place| (place, task.writes[place].clone()))
        };
        let Some((place, write)) = last else { return };
        let answer = memory.write(drafts(number, &write), &options(&write)).await;
        let told = self.told(number, place, answer.as_ref());
        let mut figures = self.figures();
        figures.repeats += 1;
        let anew = answer.is_ok_and(|report| !report.replayed) && told != Told::Spooled;
        if anew && write.told != Told::Nothing {
            let key = write.key.unwrap_or_default();
            figures.repeated.push(format!("{key} was {:?} and then {told:?} as if it were new", write.told));
        }
    }

    async fn read(&self, number: usize, memory: &MemoryManager) {
        let wanted = self.task(number).wanted();
        let Some((id, text)) = wanted else { return };
        let own = number.is_multiple_of(2).then(|| user(number));
        let query = Query { user_id: own.clone(), ..Query::new(&text) };
        let begun = Instant::now();
        let answer = memory.retrieve(&query).await;
        self.took(begun, |figures| &mut figures.longest_read);
        self.figures().reads += 1;
        match answer {
            Err(error) => *self.figures().refused_reads.entry(error.kind().as_str()).or_default() += 1,
            Ok(answer) => self.judge(number, (&id, &text), own.as_ref(), &answer),
        }
    }

    fn judge(&self, number: usize, wanted: (&RecordId, &str), own: Option<&UserId>, answer: &Retrieval) {
        let mut foreign = Vec::new();
        for hit in &answer.hits {
            let (id, user) = (hit.record.id.as_str(), hit.record.user_id.as_ref());
            let writer = writer(id).filter(|writer| writer % NAMESPACES == number % NAMESPACES);
            let ours = user == writer.map(self::user).as_ref() && own.is_none_or(|own| user == Some(own));
            if !ours || !hit.record.text.starts_with(&format!("Note {id}:")) {
                foreign.push(format!("task {number} found {id} of {user:?}"));
            }
        }
        let mut figures = self.figures();
        figures.foreign.extend(foreign);
        if !answer.degraded.is_empty() {
            figures.degraded += 1;
            return;
        }
        let (id, text) = wanted;
        let found = answer.hits.iter().find(|hit| hit.record.id == *id);
        if answer.hits.is_empty() {
            figures.silent.push(format!("task {number} looked for {id}: {:?}", answer.legs));
        } else if found.is_none_or(|hit| hit.record.text != text) {
            let found = found.map(|hit| &hit.record.text);
            figures
                .missed
                .push(format!("task {number} looked for {id} as {text:?} and found {found:?}: {:?}", answer.legs));
        }
    }
}

fn told_of(outcome: RecordOutcome) -> Told {
    match outcome {
        RecordOutcome::Indexed => Told::Committed,
        RecordOutcome::Pending => Told::Pending,
        RecordOutcome::Spooled => Told::Spooled,
    }
}

pub fn user(number: usize) -> UserId {
    UserId::new(format!("user-{number}")).unwrap()
}

/// The task that an id belongs to.
fn writer(id: &str) -> Option<usize> {
    id.strip_prefix('t')?.split_once('-')?.0.parse().ok()
}

fn drafts(number: usize, write: &Write) -> Vec<NewRecord> {
    let draft = |(id, text): &(RecordId, String)| NewRecord {
        id: Some(id.clone()),
        user_id: Some(user(number)),
        ..NewRecord::new(text)
    };
    write.records.iter().map(draft).collect()
}

fn options(write: &Write) -> WriteOptions {
    WriteOptions { idempotency_key: write.key.clone(), ..WriteOptions::default() }
}

const MATTERS: [&str; 6] =
    ["the petition", "the hearing", "an invoice", "the recommendation", "the visa fee", "a deadline"];
const DEEDS: [&str; 6] =
    ["was filed by", "was postponed for", "was reviewed with", "concerns", "was sent to", "was agreed with"];
const PEOPLE: [&str; 6] =
    ["the client", "opposing counsel", "the consulate", "the employer", "a witness", "the court clerk"];

/// A word that no other text has and that no stemmer changes.
fn marker(mut number: usize) -> String {
    let mut word = String::from("z");
    for _ in 0..6 {
        word.push(char::from(b"bcdfghjkmp"[number % 10]));
        number /= 10;
    }
    word.push('q');
    word
}

impl Task {
    fn plan(number: usize, load: Load, rng: &mut Rng) -> Self {
        let (writes, reads) = (load.writes.div_ceil(TASKS), load.reads.div_ceil(TASKS));
        let mut kinds = [vec![true; writes], vec![false; reads]].concat();
        rng.shuffle(&mut kinds);
        // Something has to be there before something can be looked for.
        if let Some(write) = kinds.iter().position(|write| *write) {
            kinds.swap(0, write);
        }
        let (mut steps, mut ids, mut texts) = (Vec::new(), 0, 0);
        for write in kinds {
            if !write {
                steps.push(Step::Read);
                continue;
            }
            let size = if rng.below(5) == 0 { 2 + rng.below(6) } else { 1 };
            let mut records: Vec<(RecordId, String)> = Vec::new();
            for _ in 0..size {
                // A third replaces what is there.
                let id = if ids > 4 && rng.below(3) == 0 { rng.below(ids) } else { ids };
                ids += u64::from(id == ids);
                let id = RecordId::new(format!("t{number}-r{id}")).unwrap();
                if records.iter().any(|(other, _)| *other == id) {
                    continue;
                }
                let pick = |words: &[&'static str], rng: &mut Rng| words[rng.below(words.len() as u64) as usize];
                let (matter, deed, who) = (pick(&MATTERS, rng), pick(&DEEDS, rng), pick(&PEOPLE, rng));
                let mark = marker(texts * TASKS + number);
                records.push((id.clone(), format!("Note {id}: {matter} {deed} {who}, under file {mark}")));
                texts += 1;
            }
            let key = (rng.below(3) == 0).then(|| format!("task-{number}-{texts}"));
            let again = key.is_some() && rng.below(2) == 0;
            steps.push(Step::Write(Write { key, records, told: Told::Nothing }));
            if again {
                steps.push(Step::Again);
            }
        }
        Self { steps, next: 0, writes: Vec::new() }
    }

    /// A record whose last revision was acknowledged, and that revision; an old one or a new one.
    fn wanted(&self) -> Option<(RecordId, String)> {
        let mut newest: BTreeMap<&RecordId, (&str, Told)> = BTreeMap::new();
        for write in &self.writes {
            for (id, text) in &write.records {
                let unsure = newest.get(id).is_some_and(|(_, told)| *told == Told::Nothing);
                // What may still take effect would come before this one, which was acknowledged after it, or never.
                let told = if unsure && write.told == Told::Nothing { Told::Nothing } else { write.told };
                newest.insert(id, (text, told));
            }
        }
        let sure: Vec<_> = newest.into_iter().filter(|(_, (_, told))| *told != Told::Nothing).collect();
        let place = (self.next * 7_919) % sure.len().max(1);
        sure.get(place).map(|(id, (text, _))| ((*id).clone(), (*text).to_owned()))
    }
}
