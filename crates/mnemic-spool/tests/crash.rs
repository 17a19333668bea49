//! Kill -9 at random moments: two processes append, settle and take over in one directory until they are killed. Nothing acknowledged is
//! lost, nothing settled comes again, nothing is invented. Not here: power loss (`power`), for a kill leaves what was written.
//!
//! The test binary runs itself as the working process. `MNEMIC_CRASH_ROUNDS` sets the number of rounds, `MNEMIC_CRASH_SEED` repeats a run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

mod common;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use common::{Rng, at, text};
use libtest_mimic::{Arguments, Trial};
use mnemic_spool::{Spool, SpoolConfig};

const ROUNDS: u64 = 40;

fn main() -> ExitCode {
    if let Ok(directory) = std::env::var("MNEMIC_CRASH_CHILD") {
        runtime().block_on(work_until_killed(Path::new(&directory)));
        return ExitCode::SUCCESS;
    }
    let trials = vec![
        Trial::test("kill_at_random_moments_loses_nothing_acknowledged_and_brings_nothing_settled_again", || {
            let rounds = std::env::var("MNEMIC_CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
            let faults = campaign(rounds, "after");
            if faults.is_empty() { Ok(()) } else { Err(faults.join("\n").into()) }
        }),
        Trial::test("kill_campaign_turns_red_when_appends_are_acknowledged_before_they_are_made", || {
            let red = (0..8).any(|_| campaign(5, "before").iter().any(|fault| fault.contains("lost")));
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

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

async fn open_small(directory: &Path) -> Spool {
    Spool::open(SpoolConfig { segment_bytes: 4_000, ..SpoolConfig::new(directory) }).await.unwrap()
}

/// The child: several tasks append, one settles. Each says what it is about to do and that it is done (or, as the mutant, too early).
async fn work_until_killed(directory: &Path) {
    let name = std::env::var("MNEMIC_CRASH_NAME").unwrap();
    let early = std::env::var("MNEMIC_CRASH_ACK").unwrap() == "before";
    let spool = open_small(directory).await;
    for task in 0..3 {
        let (spool, name) = (spool.clone(), name.clone());
        tokio::spawn(async move {
            for n in 0.. {
                let payload = format!("{name}/{task}/{n}/{}", "x".repeat((n * 37) % 400));
                say(&format!("try {payload}"));
                if early {
                    say(&format!("ack {payload}"));
                }
                spool.append(at(n as i64), &name, payload.as_bytes()).await.unwrap();
                if !early {
                    say(&format!("ack {payload}"));
                }
            }
        });
    }
    let mut rng = Rng(name.bytes().fold(7, |hash, byte| hash * 31 + u64::from(byte)));
    loop {
        let entries = spool.peek(1 + rng.below(8) as usize).await.unwrap();
        for entry in &entries {
            say(&format!("take {}", text(entry)));
        }
        if rng.below(50) == 0
            && let Some(entry) = entries.first()
        {
            spool.quarantine(entry.id, "chosen").await.unwrap();
        }
        spool.settle_all(&entries.iter().map(|entry| entry.id).collect::<Vec<_>>()).await.unwrap();
        for entry in &entries {
            say(&format!("gone {}", text(entry)));
        }
        if entries.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

/// What the children said before they died, kept outside of what can be lost.
#[derive(Default)]
struct Heard {
    tried: BTreeSet<String>,
    acknowledged: BTreeSet<String>,
    taken: BTreeSet<String>,
    gone: BTreeSet<String>,
}

impl Heard {
    fn hear(&mut self, line: &str) {
        let Some((word, payload)) = line.split_once(' ') else { return };
        let list = match word {
            "try" => &mut self.tried,
            "ack" => &mut self.acknowledged,
            "take" => &mut self.taken,
            _ => &mut self.gone,
        };
        list.insert(payload.to_owned());
    }
}

fn campaign(rounds: u64, ack: &str) -> Vec<String> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    let seed = std::env::var("MNEMIC_CRASH_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(u64::from(clock));
    let mut rng = Rng(seed);
    let (place, mut heard) = (tempfile::tempdir().unwrap(), Heard::default());
    for round in 0..rounds {
        let children: Vec<Child> = ["a", "b"].map(|which| spawn(place.path(), &format!("{which}{round}"), ack)).into();
        let readers: Vec<_> = children.into_iter().map(|child| (rng.below(120), child)).map(listen_and_kill).collect();
        for reader in readers {
            reader.join().unwrap().iter().for_each(|line| heard.hear(line));
        }
        let faults = runtime().block_on(check(place.path(), &heard));
        if !faults.is_empty() {
            return faults.iter().map(|fault| format!("seed {seed}, round {round}: {fault}")).collect();
        }
    }
    println!(
        "{rounds} rounds, seed {seed}: {} acknowledged entries, {} settled, none lost or back",
        heard.acknowledged.len(),
        heard.gone.len()
    );
    Vec::new()
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

/// Lets the child work for a while after its first word, kills it, and returns all that it said.
fn listen_and_kill((millis, mut child): (u64, Child)) -> std::thread::JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        assert!(first.ends_with('\n'), "the child says what it tries");
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(millis));
            child.kill().unwrap();
            child.wait().unwrap();
        });
        let mut heard = vec![first.trim_end().to_owned()];
        loop {
            let mut line = String::new();
            // A line cut by the kill was not heard whole, so it does not count.
            if out.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
                break;
            }
            heard.push(line.trim_end().to_owned());
        }
        killer.join().unwrap();
        heard
    })
}

/// Opens the directory as the next process would and compares it with what was heard.
async fn check(directory: &Path, heard: &Heard) -> Vec<String> {
    let spool = open_small(directory).await;
    let mut faults = spool.report().await.unwrap().faults;
    let (mut present, mut last) = (BTreeSet::new(), std::collections::BTreeMap::new());
    for entry in spool.peek(1_000_000).await.unwrap() {
        if last.insert(entry.id.stream, entry.id.sequence).is_some_and(|before| before >= entry.id.sequence) {
            faults.push(format!("out of order: {}", entry.id));
        }
        if !present.insert(text(&entry)) {
            faults.push(format!("twice: {}", entry.id));
        }
    }
    let report = spool.report().await.unwrap();
    if report.damaged > 0 || report.others > 0 || report.items != present.len() as u64 {
        faults.push(format!("{} entries and {report:?}", present.len()));
    }
    let name = |payload: &String| payload.trim_end_matches('x').to_owned();
    let lost =
        heard.acknowledged.iter().filter(|payload| !heard.taken.contains(*payload) && !present.contains(*payload));
    faults.extend(lost.map(|payload| format!("lost: {}", name(payload))));
    faults.extend(present.intersection(&heard.gone).map(|payload| format!("settled and back: {}", name(payload))));
    faults.extend(present.difference(&heard.tried).map(|payload| format!("invented: {}", name(payload))));
    spool.close().await.unwrap();
    faults
}
