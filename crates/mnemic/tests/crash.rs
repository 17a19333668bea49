//! Kill -9 at random moments: two processes write to one directory until they are killed; nothing acknowledged is lost, no batch is
//! there in part, every index equals the ledger, and the audit chain verifies. Not here: power loss (kill leaves the page cache alive).
//!
//! The test binary runs itself as the writing process. `MNEMIC_CRASH_ROUNDS` sets the number of rounds, `MNEMIC_CRASH_SEED` repeats a run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use libtest_mimic::{Arguments, Trial};
use mnemic::{Filter, MemoryManager, NewRecord, PageRequest, RecordId, WriteOptions};

const ROUNDS: u64 = 50;
/// Rounds after which a new directory is taken, so that reading everything back stays quick.
const ROUNDS_PER_DIRECTORY: u64 = 10;

fn main() -> ExitCode {
    if let Ok(directory) = std::env::var("MNEMIC_CRASH_CHILD") {
        runtime().block_on(write_until_killed(Path::new(&directory)));
        return ExitCode::SUCCESS;
    }
    let trials = vec![
        Trial::test("kill_at_random_moments_loses_nothing_acknowledged_and_leaves_no_partial_batch", || {
            let rounds = std::env::var("MNEMIC_CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
            let losses = campaign(rounds, "after");
            if losses.is_empty() { Ok(()) } else { Err(losses.join("\n").into()) }
        }),
        Trial::test("kill_campaign_turns_red_when_writes_are_acknowledged_before_their_commit", || {
            // The loss needs a kill between acknowledgement and commit, which many moments of dying hit.
            let red = (0..8).any(|_| !campaign(5, "before").is_empty());
            if red {
                Ok(())
            } else {
                Err("forty rounds of early acknowledgements lost nothing: the campaign is blind".into())
            }
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A small generator (splitmix64): campaigns must differ from run to run and repeat on demand.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// The child: single records and batches, each announced before and acknowledged after (or, as the mutant, before) its write.
async fn write_until_killed(directory: &Path) {
    let name = std::env::var("MNEMIC_CRASH_NAME").unwrap();
    let early = std::env::var("MNEMIC_CRASH_ACK").unwrap() == "before";
    let memory = MemoryManager::embedded(directory).unwrap();
    let mut rng = Rng(name.bytes().fold(7, |hash, byte| hash * 31 + u64::from(byte)));
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").unwrap();
        out.flush().unwrap();
    };
    for batch in 0.. {
        let size = if rng.below(2) == 0 { 1 } else { 2 + rng.below(30) };
        let records = (0..size).map(|n| {
            let text = format!("statement {n} of batch {batch} by {name} about petitions, fees and hearings");
            NewRecord { id: Some(RecordId::new(format!("{name}/{batch}/{n}")).unwrap()), ..NewRecord::new(text) }
        });
        let records: Vec<NewRecord> = records.collect();
        say(format!("try {name}/{batch} {size}"));
        if early {
            say(format!("ack {name}/{batch} {size}"));
        }
        memory.write(records, &WriteOptions::default()).await.unwrap();
        if !early {
            say(format!("ack {name}/{batch} {size}"));
        }
    }
}

/// What the children said before they died, kept outside of what can be lost.
#[derive(Default)]
struct Heard {
    tried: BTreeMap<String, u64>,
    acknowledged: BTreeMap<String, u64>,
}

fn campaign(rounds: u64, ack: &str) -> Vec<String> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    let seed = std::env::var("MNEMIC_CRASH_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(u64::from(clock));
    let mut rng = Rng(seed);
    let mut losses = Vec::new();
    let (mut acknowledged, mut records) = (0, 0);
    let mut place = (tempfile::tempdir().unwrap(), Heard::default());
    for round in 0..rounds {
        if round > 0 && round % ROUNDS_PER_DIRECTORY == 0 {
            place = (tempfile::tempdir().unwrap(), Heard::default());
        }
        let directory = place.0.path().join("memory");
        let children: Vec<Child> = ["a", "b"].map(|which| spawn(&directory, &format!("{which}{round}"), ack)).into();
        let readers: Vec<_> = children.into_iter().map(|child| (rng.below(250), child)).map(listen_and_kill).collect();
        for reader in readers {
            for line in reader.join().unwrap() {
                place.1.hear(&line);
            }
        }
        let found = runtime().block_on(check(&directory, &place.1));
        losses.extend(found.iter().map(|loss| format!("seed {seed}, round {round}: {loss}")));
        if !losses.is_empty() {
            return losses;
        }
        acknowledged = place.1.acknowledged.len();
        records = place.1.acknowledged.values().sum();
    }
    println!(
        "{rounds} rounds, seed {seed}: the last directory held {acknowledged} acknowledged batches of {records} records, none lost"
    );
    losses
}

fn spawn(directory: &Path, name: &str, ack: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .env("MNEMIC_CRASH_CHILD", directory)
        .env("MNEMIC_CRASH_NAME", name)
        .env("MNEMIC_CRASH_ACK", ack)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lets the child write for a while after its first word, kills it, and returns all that it said.
fn listen_and_kill((millis, mut child): (u64, Child)) -> std::thread::JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heard = vec![lines.next().expect("the child says what it tries").unwrap()];
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(millis));
            child.kill().unwrap();
            child.wait().unwrap();
        });
        // A line cut by the kill was not heard whole, so it does not count.
        heard.extend(lines.map_while(Result::ok));
        killer.join().unwrap();
        heard
    })
}

impl Heard {
    fn hear(&mut self, line: &str) {
        let mut words = line.split(' ');
        if let (Some(word), Some(batch), Some(size)) =
            (words.next(), words.next(), words.next().and_then(|n| n.parse().ok()))
        {
            let list = if word == "ack" { &mut self.acknowledged } else { &mut self.tried };
            list.insert(batch.to_owned(), size);
        }
    }
}

/// Opens the directory as the next process would and compares it with what was heard.
async fn check(directory: &Path, heard: &Heard) -> Vec<String> {
    let memory = MemoryManager::embedded(directory).unwrap();
    let mut present: BTreeMap<String, u64> = BTreeMap::new();
    let mut page = PageRequest::largest();
    loop {
        let found = memory.list(&Filter::all(), None, &page).await.unwrap();
        for record in found.items {
            let batch = record.id.as_str().rsplit_once('/').unwrap().0.to_owned();
            *present.entry(batch).or_default() += 1;
        }
        if found.next.is_none() {
            break;
        }
        page = page.after(found.next);
    }
    let mut losses = Vec::new();
    for (batch, size) in &heard.acknowledged {
        if present.get(batch) != Some(size) {
            losses.push(format!("acknowledged batch {batch} of {size} has {:?} records", present.get(batch)));
        }
    }
    for (batch, size) in &present {
        // The announcement of a last batch may itself have been cut by the kill.
        if heard.tried.get(batch).is_some_and(|tried| tried != size) {
            losses.push(format!("batch {batch} is there in part: {size} records"));
        }
    }
    losses.extend(memory.verify().await.unwrap().faults);
    if let Err(error) = memory.verify_audit(None).await {
        losses.push(error.to_string());
    }
    losses
}
