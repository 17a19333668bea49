//! Whoever writes while a memory moves, in this process or another, and what they heard. Not here: the move.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use mnemic::{MemoryManager, WriteOptions};
use tokio::{runtime::Runtime, task};

use super::pair::{event, open, record};

/// Between two writes.
const PAUSE: Duration = Duration::from_millis(2);

/// What a writing process says of a call that came back with an error.
const REFUSED: &str = "refused";

/// What writers heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Records and events that are kept, by their ids.
    pub(crate) acknowledged: BTreeSet<String>,
    /// How many calls came back with an error, which leaves open whether anything was kept.
    pub(crate) refused: u64,
}

/// Writes one record or event.
async fn write(memory: &MemoryManager, name: &str, count: u64) -> bool {
    if count.is_multiple_of(4) {
        memory.log_audit(event(name)).await.is_ok()
    } else {
        memory.write(vec![record(name)], &WriteOptions::default()).await.is_ok()
    }
}

/// A writer with an engine of its own in this process.
pub(crate) struct Writing {
    stop: Arc<AtomicBool>,
    task: task::JoinHandle<Heard>,
}

impl Writing {
    pub(crate) fn begin(runtime: &Runtime, place: &str, namespace: &str, prefix: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, prefix) = (Arc::clone(&stop), prefix.to_owned());
        let memory = runtime.block_on(async { open(place, namespace) });
        let task = runtime.spawn(async move {
            let (mut heard, mut count) = (Heard::default(), 0);
            while !stopped.load(Ordering::SeqCst) {
                let name = format!("{prefix}-{count}");
                if write(&memory, &name, count).await {
                    heard.acknowledged.insert(name);
                } else {
                    heard.refused += 1;
                }
                count += 1;
                tokio::time::sleep(PAUSE).await;
            }
            heard
        });
        Self { stop, task }
    }

    pub(crate) async fn end(self) -> Heard {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.expect("a writer does not panic")
    }
}

/// The writing process: says what is kept, until its standard input ends.
pub(crate) async fn write_until_told(place: &str, namespace: &str, prefix: &str) -> ExitCode {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    std::thread::spawn(move || {
        let _end = std::io::stdin().read(&mut [0; 1]);
        told.store(true, Ordering::SeqCst);
    });
    let (memory, mut count) = (open(place, namespace), 0);
    while !stop.load(Ordering::SeqCst) {
        let name = format!("{prefix}-{count}");
        let said = if write(&memory, &name, count).await { name } else { REFUSED.to_owned() };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{said}").and_then(|()| out.flush()).unwrap();
        drop(out);
        count += 1;
        tokio::time::sleep(PAUSE).await;
    }
    ExitCode::SUCCESS
}

/// A writing process and what it says.
pub(crate) struct Listening {
    child: Child,
    orders: Option<ChildStdin>,
    reader: JoinHandle<Heard>,
}

impl Heard {
    /// Listens to a writing process, from its first word on.
    pub(crate) fn from(mut child: Child) -> Listening {
        let (orders, out) = (child.stdin.take(), child.stdout.take().unwrap());
        let (begun, first) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut heard = Self::default();
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _late = begun.send(());
                if line == REFUSED {
                    heard.refused += 1;
                } else {
                    heard.acknowledged.insert(line);
                }
            }
            heard
        });
        first.recv_timeout(Duration::from_secs(30)).expect("a writer writes");
        Listening { child, orders, reader }
    }
}

impl Listening {
    /// Lets it end, and tells what it heard.
    pub(crate) fn end(mut self) -> Heard {
        drop(self.orders.take());
        self.child.wait().unwrap();
        self.reader.join().unwrap()
    }
}
