//! The outage campaign: 16 tasks write and retrieve while PostgreSQL, the index service and the embedding service are killed, frozen, cut
//! off, rate-limited and restarted at random, and while the memory's own machine loses power with writes in its spool. Afterwards, all
//! that was acknowledged is there, once. Not here: one outage at a time (`degradation`, `spool`, `production`).
//!
//! ```text
//! 16 tasks ──▶ memory ──┬─ layers ── line ──▶ PostgreSQL 18, a process of the campaign's own
//!                │      ├─ layers ── line ──▶ Pinecone's stand-in
//!              spool    └─ layers ── line ──▶ Voyage's stand-in
//!   on a disk whose power goes
//! ```
//!
//! `MNEMIC_OUTAGE_WRITES`, `_READS`, `_SECONDS`, `_ROUNDS` and `_LOSSES` set the size, `MNEMIC_OUTAGE_SEED` the order of events;
//! `cargo xtask outage` runs the full size.
#![allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking and print what they found"
)]

#[path = "outage/line.rs"]
mod line;
#[path = "outage/power.rs"]
mod power;
#[path = "outage/script.rs"]
mod script;
#[path = "outage/server.rs"]
mod server;
#[path = "../../mnemic-spool/tests/common/simulated.rs"]
#[expect(dead_code, reason = "the spool's own tests use the rest of it")]
mod simulated;
#[path = "outage/verdict.rs"]
mod verdict;
#[path = "outage/work.rs"]
mod work;
#[path = "outage/world.rs"]
mod world;

use std::{
    process::ExitCode,
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use line::{Flow, Line};
use mnemic_postgres::testing::required;
use mnemic_spool::{Spool, SpoolConfig};
use power::{Honesty, Machine};
use script::{Database, Pace, Play, Struck};
use tokio::runtime::Runtime;
use verdict::Verdict;
use work::{Board, Load, NAMESPACES, TASKS};
use world::Vendors;

/// The service without which there is no campaign.
const SERVICE: &str = "postgres-18";

/// A small generator (splitmix64): campaigns differ from run to run and repeat on demand.
pub struct Rng(pub u64);

impl Rng {
    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Any number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// From 0 to below 1.
    pub fn share(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Any order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// One campaign.
#[derive(Clone, Copy)]
struct Campaign {
    load: Load,
    /// How often every outage happens; none at all where it is 0.
    rounds: u32,
    /// How often the memory's own machine loses power.
    losses: u64,
    disk: Honesty,
    seed: u64,
}

fn number(name: &str, otherwise: u64) -> u64 {
    let set = std::env::var(format!("MNEMIC_OUTAGE_{name}")).ok();
    set.map_or(otherwise, |set| set.parse().unwrap_or_else(|_| panic!("MNEMIC_OUTAGE_{name} is no number: {set}")))
}

impl Campaign {
    fn of_environment() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let load = Load {
            writes: number("WRITES", 1_200) as usize,
            reads: number("READS", 240) as usize,
            length: Duration::from_secs(number("SECONDS", 36)),
        };
        let (rounds, losses) = (number("ROUNDS", 1) as u32, number("LOSSES", 2));
        Self { load, rounds, losses, disk: Honesty::All, seed: number("SEED", now % 1_000_000) }
    }
}

/// All that a campaign runs on.
struct Stage {
    network: Runtime,
    vendors: Arc<Vendors>,
    database: Database,
    to_postgres: Arc<Line>,
    machine: Machine,
    board: Arc<Board>,
    struck: Struck,
    verdict: Verdict,
    rng: Rng,
}

/// The memory's machine while its power is on.
struct Running {
    runtime: Runtime,
    life: power::Life,
    memory: mnemic::MemoryManager,
    backends: world::Backends,
}

impl Stage {
    fn new(campaign: Campaign, programs: std::path::PathBuf) -> Self {
        let mut rng = Rng(campaign.seed);
        let network = Runtime::new().unwrap();
        let vendors = Arc::new(Vendors::start(network.handle()));
        let struck = Struck::default();
        let (give, line) = mpsc::channel();
        let pace = Pace { length: campaign.load.length, rounds: campaign.rounds };
        let play = Play { pace, rng: Rng(rng.number()), struck: Arc::clone(&struck), line };
        let database = Database::start(programs, play);
        let to_postgres = Arc::new(Line::to(database.port, network.handle()).unwrap());
        give.send(Arc::clone(&to_postgres)).unwrap();
        let board = Arc::new(Board::new(campaign.load, &mut rng));
        let machine = Machine::new(campaign.disk);
        Self { network, vendors, database, to_postgres, machine, board, struck, verdict: Verdict::default(), rng }
    }

    fn power_on(&self) -> Running {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let life = self.machine.live();
        let (memory, backends) = {
            let _within = runtime.enter();
            world::open(&self.vendors, self.to_postgres.port(), &life)
        };
        Running { runtime, life, memory, backends }
    }

    fn work(&self, running: &Running) -> Vec<tokio::task::JoinHandle<()>> {
        let one = |number| running.runtime.spawn(Arc::clone(&self.board).work(number, running.memory.clone()));
        (0..TASKS).map(one).collect()
    }

    /// Lets the machine's power go while the database is away and writes wait in the spool.
    fn lose_power(&mut self, running: Running) {
        let turn = self.database.turn.lock().unwrap();
        self.to_postgres.set(Flow::Refused);
        let (before, begun) = (self.board.spooled.load(Ordering::SeqCst), Instant::now());
        while self.board.spooled.load(Ordering::SeqCst) < before + 12 && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
        running.life.end();
        self.verdict.add_traffic(&running.backends.status());
        drop(running.memory);
        // Callers are cut off where they are.
        running.runtime.shutdown_timeout(Duration::from_secs(10));
        self.machine.power_on(&mut self.rng);
        self.to_postgres.set(Flow::Open);
        drop(turn);
        *self.struck.lock().unwrap().entry(("memory", "power lost")).or_default() += 1;
    }

    fn wait_for(&self, share: f64) {
        let goal = (self.board.steps as f64 * share) as u64;
        while self.board.done.load(Ordering::SeqCst) < goal {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Makes schema and indexes while nothing is wrong yet.
async fn warm_up(memory: &mnemic::MemoryManager) {
    let begun = Instant::now();
    for number in 0..NAMESPACES {
        let memory = memory.in_namespace(world::namespace(number));
        let mut health = memory.health_check().await;
        while health.details.iter().any(|detail| !detail.healthy) {
            assert!(begun.elapsed() < Duration::from_mins(2), "it never served: {health:?}");
            health = memory.health_check().await;
        }
    }
}

/// Prints a line every second where `MNEMIC_OUTAGE_WATCH` is set, for whoever wants to see where the time goes.
fn watch(board: &Arc<Board>, backends: &world::Backends) {
    if std::env::var_os("MNEMIC_OUTAGE_WATCH").is_none() {
        return;
    }
    let (board, backends, begun) = (Arc::downgrade(board), backends.clone(), Instant::now());
    std::thread::spawn(move || {
        while let Some(board) = board.upgrade() {
            let done = board.done.load(Ordering::SeqCst);
            println!("{:>4} s  {done:>6} steps  {:?}", begun.elapsed().as_secs(), board.figures().told);
            for status in backends.status() {
                println!("        {status:?}");
            }
            drop(board);
            std::thread::sleep(Duration::from_secs(1));
        }
    });
}

/// Runs it; the table, and whether everything is as it must be.
fn run(campaign: Campaign, programs: std::path::PathBuf) -> (String, bool) {
    let mut stage = Stage::new(campaign, programs);
    let mut running = stage.power_on();
    running.runtime.block_on(warm_up(&running.memory));
    stage.board.begin();
    stage.database.go();
    let pace = Pace { length: campaign.load.length, rounds: campaign.rounds };
    let services = script::services(&stage.vendors, pace, &mut stage.rng, &stage.struck);
    let mut tasks = stage.work(&running);
    watch(&stage.board, &running.backends);
    for loss in 1..=campaign.losses {
        stage.wait_for(loss as f64 / (campaign.losses + 1) as f64);
        stage.lose_power(running);
        running = stage.power_on();
        tasks = stage.work(&running);
    }
    for task in tasks {
        running.runtime.block_on(task).expect("a task does not panic");
    }
    stage.database.wait();
    for script in services {
        script.join().expect("a script does not fail");
    }
    let Stage { network, vendors, database, machine, board, struck, mut verdict, .. } = stage;
    running.runtime.block_on(async {
        verdict.settle(&running.memory).await;
        verdict.compare(&running.memory, &board).await;
    });
    verdict.add_traffic(&running.backends.status());
    drop(running.memory);
    running.runtime.shutdown_timeout(Duration::from_secs(10));
    running.life.end();
    let config = SpoolConfig::new(world::SPOOL);
    let spool = network.block_on(Spool::open_on(Arc::new(machine.live()), config)).unwrap();
    verdict.spool = network.block_on(spool.report()).unwrap();
    drop(vendors);
    database.end();
    let Campaign { load, rounds, losses, seed, .. } = campaign;
    let size = format!("{} writes, {} retrievals, {rounds} rounds, {losses} losses of power", load.writes, load.reads);
    verdict.table(&board, &struck, &format!("outage campaign, seed {seed}: {size}"))
}

fn trial(name: &'static str, test: fn(std::path::PathBuf) -> Result<(), Failed>) -> Trial {
    Trial::ignorable_test(format!("{SERVICE}::{name}"), move || match server::programs() {
        Ok(programs) => test(programs).map(|()| Completion::Completed),
        Err(why) if required(SERVICE) => Err(Failed::from(why)),
        Err(why) => Ok(Completion::ignored_with(why)),
    })
}

fn main() -> ExitCode {
    let trials = vec![
        trial("nothing_acknowledged_is_lost_or_doubled_and_no_answer_is_silently_empty", |programs| {
            let (table, well) = run(Campaign::of_environment(), programs);
            println!("{table}");
            if well { Ok(()) } else { Err("the campaign found what must not be; the table above tells".into()) }
        }),
        trial("the_campaign_turns_red_on_a_spool_whose_syncs_do_nothing", |programs| {
            let load = Load { writes: 320, reads: 16, length: Duration::from_secs(6) };
            let seed = Campaign::of_environment().seed;
            let campaign = Campaign { load, rounds: 0, losses: 1, disk: Honesty::NotFiles, seed };
            let (table, _) = run(campaign, programs);
            if table.contains("WRONG, acknowledged writes lost") { Ok(()) } else { Err(table.into()) }
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
