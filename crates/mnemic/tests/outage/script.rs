//! What goes wrong, and when: one script for each backend, side by side, each in an order that the seed decides. Not here: what the
//! memory does meanwhile (`work`).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use mnemic_stand_ins::{Fault, Knobs};

use super::{
    Rng,
    line::{Flow, Line},
    server::{Server, Stop},
    world::Vendors,
};

/// How often each thing went wrong, by backend and kind.
pub type Struck = Arc<Mutex<BTreeMap<(&'static str, &'static str), u64>>>;

/// What can go wrong with the database.
pub const POSTGRES: [&str; 9] = [
    "killed",
    "stopped at once",
    "restarted in order",
    "one of its processes killed",
    "frozen",
    "silent line",
    "replies lost",
    "connections cut",
    "no connection free",
];
/// What can go wrong with the services.
pub const PINECONE: [&str; 11] = [
    "refusing line",
    "silent line",
    "connections cut",
    "stalled",
    "503",
    "429",
    "429 with Retry-After",
    "reset",
    "truncated",
    "replies lost",
    "repeated by a proxy",
];
pub const VOYAGE: [&str; 11] = [
    "killed and restarted",
    "silent line",
    "connections cut",
    "stalled",
    "503",
    "429",
    "429 with Retry-After",
    "reset",
    "truncated",
    "replies lost",
    "repeated by a proxy",
];

/// After which most tasks commit to the database again and do not queue up behind what waits.
const RECOVERY: Duration = Duration::from_secs(3);

/// How long the scripts run and how often everything happens.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub length: Duration,
    pub rounds: u32,
}

impl Pace {
    /// Runs through `kinds` in random orders: a pause, then `strike`, which is told how long it lasts.
    fn play(self, kinds: &[&'static str], rng: &mut Rng, mut strike: impl FnMut(&'static str, Duration, &mut Rng)) {
        let begun = Instant::now();
        let all = self.rounds * kinds.len() as u32;
        let slot = self.length / (all + 1);
        let mut place = 0;
        for _ in 0..self.rounds {
            let mut order = kinds.to_vec();
            rng.shuffle(&mut order);
            for kind in order {
                // Whoever is late makes its pauses shorter.
                let due = slot * place + slot.mul_f64(0.4 * rng.share());
                thread::sleep(due.saturating_sub(begun.elapsed()));
                strike(kind, slot.mul_f64(0.15 + 0.25 * rng.share()).min(Duration::from_secs(8)), rng);
                place += 1;
            }
        }
    }
}

fn count(struck: &Struck, backend: &'static str, kind: &'static str) {
    *struck.lock().unwrap().entry((backend, kind)).or_default() += 1;
}

/// The database's life, on a thread of its own, with which its processes end.
pub struct Database {
    pub port: u16,
    /// Held through every outage; whoever else needs the way to the database for itself takes it.
    pub turn: Arc<Mutex<()>>,
    go: mpsc::Sender<()>,
    done: mpsc::Receiver<()>,
    end: mpsc::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Database {
    /// Starts the server. Its script waits for [`Self::go`].
    pub fn start(programs: std::path::PathBuf, play: Play) -> Self {
        let (tell, told) = mpsc::channel();
        let ((go, wait_go), (finish, done), (end, wait_end)) = (mpsc::channel(), mpsc::channel(), mpsc::channel());
        let turn = Arc::<Mutex<()>>::default();
        let turns = Arc::clone(&turn);
        let thread = thread::spawn(move || {
            let mut server = Server::start(programs);
            tell.send(server.port()).unwrap();
            if wait_go.recv().is_ok() {
                play.run(&mut server, &turns);
                let _nobody = finish.send(());
                // The end of the other side is an end too.
                let _ended = wait_end.recv();
            }
        });
        let port = told.recv().expect("the server starts");
        Self { port, turn, go, done, end, thread }
    }

    pub fn go(&self) {
        self.go.send(()).unwrap();
    }

    /// Waits until its script is over; the server goes on.
    pub fn wait(&self) {
        self.done.recv().expect("the database's script does not fail");
    }

    pub fn end(self) {
        drop((self.go, self.end));
        self.thread.join().expect("the server stops");
    }
}

/// The script of the database.
pub struct Play {
    pub pace: Pace,
    pub rng: Rng,
    pub struck: Struck,
    /// Comes with the line to the server, which is made once its port is known.
    pub line: mpsc::Receiver<Arc<Line>>,
}

impl Play {
    fn run(self, server: &mut Server, turn: &Mutex<()>) {
        let Self { pace, mut rng, struck, line } = self;
        let line = line.recv().expect("there is a line to the server");
        pace.play(&POSTGRES, &mut rng, |kind, lasts, rng| {
            let _turn = turn.lock().unwrap();
            if std::env::var_os("MNEMIC_OUTAGE_WATCH").is_some() {
                println!("        postgres: {kind} for {lasts:?}");
            }
            let mut down = |how| {
                server.stop(how);
                thread::sleep(lasts);
                server.run();
            };
            match kind {
                "killed" => down(Stop::Kill),
                "stopped at once" => down(Stop::Immediate),
                "restarted in order" => down(Stop::Fast),
                "one of its processes killed" => {
                    server.kill_one(rng.below(1 << 20));
                    thread::sleep(lasts);
                    server.run();
                }
                "frozen" => {
                    server.freeze();
                    thread::sleep(lasts);
                    server.thaw();
                }
                "no connection free" => {
                    server.crowd(true);
                    thread::sleep(lasts);
                    server.crowd(false);
                }
                "silent line" => during(&line, Flow::Silent, lasts),
                "replies lost" => {
                    // Only a commit that is under way can lose its reply: what waits since the last outage comes first.
                    thread::sleep(RECOVERY);
                    during(&line, Flow::Deaf, lasts);
                }
                _ => cuts(&line, lasts),
            }
            count(&struck, "postgres", kind);
        });
    }
}

fn during(line: &Line, flow: Flow, lasts: Duration) {
    line.set(flow);
    thread::sleep(lasts);
    line.set(Flow::Open);
}

fn cuts(line: &Line, lasts: Duration) {
    for _ in 0..4 {
        line.cut();
        thread::sleep(lasts / 4);
    }
}

/// The scripts of the services. Each ends with its service in order.
pub fn services(vendors: &Arc<Vendors>, pace: Pace, rng: &mut Rng, struck: &Struck) -> [thread::JoinHandle<()>; 2] {
    let begin = |name: &'static str, kinds: &'static [&'static str], seed: u64| {
        let (vendors, struck) = (Arc::clone(vendors), Arc::clone(struck));
        thread::spawn(move || {
            pace.play(kinds, &mut Rng(seed), |kind, lasts, _| {
                let (knobs, line) = match name {
                    "pinecone" => (vendors.pinecone.knobs(), &vendors.to_pinecone),
                    _ => (&vendors.voyage_knobs, &vendors.to_voyage),
                };
                match kind {
                    "killed and restarted" => {
                        vendors.kill_voyage();
                        thread::sleep(lasts);
                        vendors.revive_voyage();
                    }
                    "refusing line" => during(line, Flow::Refused, lasts),
                    "silent line" => during(line, Flow::Silent, lasts),
                    "connections cut" => cuts(line, lasts),
                    other => turn(knobs, other, lasts),
                }
                count(&struck, name, kind);
                // What it was asked would fill the memory.
                drop(vendors.pinecone.transcript().take());
            });
        })
    };
    [begin("pinecone", &PINECONE, rng.number()), begin("voyage", &VOYAGE, rng.number())]
}

fn turn(knobs: &Knobs, kind: &str, lasts: Duration) {
    let fault = match kind {
        "503" => Fault::status(503),
        "429" => Fault::status(429),
        "429 with Retry-After" => Fault::slow_down("1"),
        "reset" => Fault::Reset,
        "truncated" => Fault::Truncated,
        "replies lost" => Fault::LostAnswer,
        "repeated by a proxy" => Fault::Repeated,
        _ => Fault::Fine,
    };
    if fault == Fault::Fine {
        knobs.delay(lasts);
    } else {
        knobs.always_on("/", fault);
    }
    thread::sleep(lasts);
    knobs.clear();
}
