//! A move that is cut off anywhere while somebody writes: calls that are dropped at any point, and processes that are killed at random
//! moments. It always goes on or back, nothing acknowledged is lost, and nothing is there twice. Not here: the same without a cut
//! (`migration`, `switch`).
//!
//! `MNEMIC_KILLS_POINTS` sets the number of cuts (`cargo xtask migrations` tries 480), `MNEMIC_KILLS_SEED` repeats a run. The test binary
//! runs itself as the moving and as the writing process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "kills/pair.rs"]
mod pair;
#[path = "kills/verdict.rs"]
mod verdict;
#[path = "common/world.rs"]
mod world;
#[path = "kills/writer.rs"]
mod writer;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{Future, poll_fn},
    io::{BufRead, BufReader},
    path::Path,
    pin::pin,
    process::{Child, Command, ExitCode, Stdio},
    task::Poll,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mnemic_postgres::testing::{TestServer, required};
use pair::{Pair, Phase};
use tokio::runtime::Runtime;
use verdict::{Then, faults, settle};
use world::World;
use writer::{Heard, Writing};

const SERVICE: &str = "postgres-18";
/// Cuts of both kinds together.
const POINTS: u64 = 40;
/// What this process is to be, if it is not the test.
const CHILD: &str = "MNEMIC_KILLS_CHILD";

/// A small generator (splitmix64): campaigns must differ from run to run and repeat on demand.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    let set = std::env::var(format!("MNEMIC_KILLS_{name}")).ok();
    set.map_or(otherwise, |set| set.parse().unwrap_or_else(|_| panic!("MNEMIC_KILLS_{name} is no number: {set}")))
}

fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    number("SEED", now % 1_000_000)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// What became of the cuts of one phase.
#[derive(Default)]
struct Tally {
    points: u64,
    /// How many hit the phase before it had ended.
    within: u64,
    on: u64,
    back: u64,
    acknowledged: u64,
    refused: u64,
    faults: Vec<String>,
}

type Tallies = BTreeMap<Phase, Tally>;

impl Tally {
    fn note(&mut self, within: bool, then: Then, heard: &Heard, found: Vec<String>) {
        self.points += 1;
        self.within += u64::from(within);
        self.on += u64::from(then == Then::GoesOn);
        self.back += u64::from(then == Then::GoesBack);
        self.acknowledged += heard.acknowledged.len() as u64;
        self.refused += heard.refused;
        self.faults.extend(found);
    }
}

/// Prints the table, and fails if anything is wrong or if hardly a cut hit anything.
fn told(title: &str, tallies: &Tallies) -> Result<(), Failed> {
    println!("{title}");
    let head = ["cuts", "within it", "went on", "went back", "acknowledged", "refused", "faults"];
    println!("{:<10}{}", "phase", head.map(|title| format!("{title:>14}")).concat());
    for (phase, tally) in tallies {
        let faults = tally.faults.len() as u64;
        let Tally { points, within, on, back, acknowledged, refused, .. } = *tally;
        let figures = [points, within, on, back, acknowledged, refused, faults].map(|figure| format!("{figure:>14}"));
        println!("{:<10}{}", phase.name(), figures.concat());
    }
    let faults: Vec<&str> = tallies.values().flat_map(|tally| tally.faults.iter().map(String::as_str)).collect();
    let (points, within) = tallies.values().fold((0, 0), |sum, tally| (sum.0 + tally.points, sum.1 + tally.within));
    let acknowledged: u64 = tallies.values().map(|tally| tally.acknowledged).sum();
    if !faults.is_empty() {
        return Err(faults.join("\n").into());
    }
    if within * 2 < points || acknowledged == 0 {
        return Err(
            format!("of {points} cuts only {within} hit anything; {acknowledged} writes were acknowledged").into()
        );
    }
    Ok(())
}

/// Each phase in turn, going on and going back in turn.
fn plan(points: u64) -> impl Iterator<Item = (u64, Phase, Then)> {
    (0..points).map(|n| {
        let phase = Phase::ALL[(n % 5) as usize];
        (n, phase, if (n / 5).is_multiple_of(2) { Then::GoesOn } else { Then::GoesBack })
    })
}

/// Polls a call at most so often, then drops it. Tells whether it had ended, and how often it was polled.
async fn cut_off<F: Future>(call: F, polls: u64) -> (bool, u64) {
    let (mut call, mut polled) = (pin!(call), 0);
    poll_fn(|context| {
        polled += 1;
        match call.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready((true, polled)),
            Poll::Pending if polled >= polls => Poll::Ready((false, polled)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn between_directories(places: &Path) -> Pair {
    let place = |name: &str| places.join(name).display().to_string();
    Pair { source: place("from"), target: place("to"), namespace: "case".to_owned() }
}

/// How often the call of a phase is polled when nothing cuts it off.
fn usual_polls(runtime: &Runtime, phase: Phase) -> u64 {
    let places = tempfile::tempdir().unwrap();
    let pair = between_directories(places.path());
    runtime.block_on(pair.prepare(phase));
    let (ended, polls) = runtime.block_on(cut_off(pair.perform(phase), u64::MAX));
    assert!(ended);
    polls
}

/// Calls that are dropped, between directories, with a writer in this process.
fn dropped_calls(points: u64) -> Result<(), Failed> {
    let seed = seed();
    let (mut rng, mut tallies, mut usual) = (Rng(seed), Tallies::new(), BTreeMap::new());
    for (n, phase, then) in plan(points) {
        let places = tempfile::tempdir()?;
        let pair = between_directories(places.path());
        let runtime = runtime();
        let usual = *usual.entry(phase).or_insert_with(|| usual_polls(&runtime, phase));
        runtime.block_on(pair.prepare(phase));
        let polls = 1 + rng.below(usual);
        let writing = Writing::begin(&runtime, &pair.source, &pair.namespace, &format!("live-{n}"));
        let (ended, _) = runtime.block_on(cut_off(pair.perform(phase), polls));
        let settled = runtime.block_on(settle(&pair, phase, then));
        let heard = runtime.block_on(writing.end());
        let mut found: Vec<String> = settled.err().into_iter().collect();
        found.extend(runtime.block_on(faults(&pair, &heard.acknowledged)));
        let found = found
            .into_iter()
            .map(|fault| format!("seed {seed}, cut {n}, {} at poll {polls}, {then:?}: {fault}", phase.name()));
        tallies.entry(phase).or_default().note(!ended, then, &heard, found.collect());
    }
    told(&format!("{points} calls dropped, directory to directory, seed {seed}"), &tallies)
}

/// This program as a process of its own.
fn child(what: &str, pair: &Pair) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(CHILD, what).env("MNEMIC_KILLS_SOURCE", &pair.source).env("MNEMIC_KILLS_TARGET", &pair.target);
    command.env("MNEMIC_KILLS_NAMESPACE", &pair.namespace);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// The process that moves, or that writes until its standard input ends.
fn be(what: &str) -> ExitCode {
    let of = |name: &str| std::env::var(format!("MNEMIC_KILLS_{name}")).unwrap();
    let pair = Pair { source: of("SOURCE"), target: of("TARGET"), namespace: of("NAMESPACE") };
    let runtime = runtime();
    if let Some(name) = what.strip_prefix("write ") {
        return runtime.block_on(writer::write_until_told(&pair.source, &pair.namespace, name));
    }
    println!("begun");
    let done = runtime.block_on(pair.perform(Phase::named(what)));
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Starts the move as a process and kills it after a while; tells whether it was still at work.
fn killed(pair: &Pair, phase: Phase, after: Option<Duration>) -> (bool, Duration) {
    let mut moving = child(phase.name(), pair);
    let mut said = BufReader::new(moving.stdout.take().unwrap()).lines();
    assert_eq!(said.next().expect("it begins").unwrap(), "begun");
    let begun = Instant::now();
    let running = |moving: &mut Child| moving.try_wait().unwrap().is_none();
    while running(&mut moving) && after.is_none_or(|after| begun.elapsed() < after) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = begun.elapsed();
    // One that has ended already cannot be killed any more.
    let _ended = moving.kill();
    let status = moving.wait().unwrap();
    assert!(after.is_some() || status.success(), "{} fails also when nobody kills it", phase.name());
    (status.code().is_none(), took)
}

/// How long a phase takes as a process that nobody kills, of a pair of its own.
fn unhindered(runtime: &Runtime, pair: &Pair, phase: Phase) -> Duration {
    let places = tempfile::tempdir().unwrap();
    let own = |place: &str| {
        if pair::is_file(place) { place.to_owned() } else { places.path().join("place").display().to_string() }
    };
    let namespace = format!("{}-unhindered", pair.namespace);
    let pair = Pair { source: own(&pair.source), target: own(&pair.target), namespace };
    runtime.block_on(pair.prepare(phase));
    killed(&pair, phase, None).1
}

/// Processes that are killed, from a directory to PostgreSQL and back in turn, with a writer in another process.
fn killed_processes(server: &TestServer, points: u64) -> Result<(), Failed> {
    let seed = seed();
    let (mut rng, mut tallies, mut usual) = (Rng(seed), Tallies::new(), BTreeMap::new());
    let outside = runtime();
    let world =
        outside.block_on(World::new(server, &[])).with("MNEMIC_EMBEDDER", "static").with("MNEMIC_INDEX", "local");
    let file = world.directory.path().join("deployment.env");
    let lines: Vec<String> = world.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    std::fs::write(&file, lines.join("\n"))?;
    for (n, phase, then) in plan(points) {
        let places = tempfile::tempdir()?;
        let ends = [places.path().join("place").display().to_string(), file.display().to_string()];
        let back = (n / 10) % 2 == 1;
        let [source, target] = if back {
            let [a, b] = ends;
            [b, a]
        } else {
            ends
        };
        let pair = Pair { source, target, namespace: format!("case-{n}") };
        let runtime = runtime();
        let usual = *usual.entry((phase, back)).or_insert_with(|| unhindered(&runtime, &pair, phase));
        runtime.block_on(pair.prepare(phase));
        let after = Duration::from_micros(rng.below(usual.as_micros() as u64));
        let writing = Heard::from(child(&format!("write live-{n}"), &pair));
        let (within, _) = killed(&pair, phase, Some(after));
        let settled = runtime.block_on(settle(&pair, phase, then));
        let heard = writing.end();
        let mut found: Vec<String> = settled.err().into_iter().collect();
        found.extend(runtime.block_on(faults(&pair, &heard.acknowledged)));
        let found = found
            .into_iter()
            .map(|fault| format!("seed {seed}, cut {n}, {} after {after:?}, {then:?}: {fault}", phase.name()));
        tallies.entry(phase).or_default().note(within, then, &heard, found.collect());
    }
    told(&format!("{points} processes killed, directory to PostgreSQL and back, seed {seed}"), &tallies)
}

/// A verdict that sees nothing would let everything pass.
fn the_verdict_can_be_red() -> Result<(), Failed> {
    let places = tempfile::tempdir()?;
    let pair = between_directories(places.path());
    let runtime = runtime();
    runtime.block_on(pair.prepare(Phase::Verify));
    let heard = BTreeSet::from(["first-0-1".to_owned(), "never written".to_owned()]);
    let (source, _) = pair.opened();
    let twice = [pair::record("live-twice"), pair::record("live-twice")];
    for record in twice {
        runtime.block_on(source.write(vec![record], &mnemic::WriteOptions::default()))?;
    }
    let found = runtime.block_on(faults(&pair, &heard));
    for expected in ["LOST: never written", "DOUBLED: live-twice"] {
        if !found.iter().any(|fault| fault.starts_with(expected)) {
            return Err(format!("expected a fault `{expected}`, found {found:?}").into());
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    if let Ok(what) = std::env::var(CHILD) {
        return be(&what);
    }
    let points = number("POINTS", POINTS);
    let killing = move || match TestServer::of(SERVICE) {
        Ok(server) => killed_processes(&server, points / 2).map(|()| Completion::Completed),
        Err(why) if required(SERVICE) => Err(Failed::from(why)),
        Err(why) => Ok(Completion::ignored_with(why)),
    };
    let trials = vec![
        Trial::test("a_move_whose_calls_are_dropped_goes_on_or_back_and_keeps_every_write", move || {
            dropped_calls(points - points / 2)
        }),
        Trial::ignorable_test(
            format!("{SERVICE}::a_move_that_is_killed_goes_on_or_back_and_keeps_every_write"),
            killing,
        ),
        Trial::test("the_verdict_can_be_red", the_verdict_can_be_red),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
