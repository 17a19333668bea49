//! How fast the ledger on disk takes and gives back records. Not here: embedding and indexing (`cargo xtask bench` has the whole).
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a measurement fails by panicking and prints its figures"
)]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use mnemic_core::{
    AuditEvent, Batch, ChangeSeq, Embedding, EmbeddingModel, EraseTarget, Erasure, EventId, Filter, MemoryRecord,
    Metric, Namespace, Object, PageRequest, Precondition, RecordId, RecordWrite, ThreadId, Timestamp, UserId, Value,
    ports::{Embeddings, Ledger, Read},
};
use mnemic_ledgers::{SqliteConfig, SqliteLedger};

const DIMENSION: u32 = 256;

/// Processor time of this process so far.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let own: u64 = text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let others = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten().map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    });
    Duration::from_nanos(others.sum::<u64>().max(own))
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values[values.len() / 2]
}

fn write(model: &EmbeddingModel, n: u64, at: Timestamp) -> RecordWrite {
    let text = format!(
        "Record {n}: the client asked about the filing fee and the deadline. Срок подачи документов — пятое марта; "
    )
    .repeat(2)
    .chars()
    .take(200)
    .collect::<String>();
    let mut record =
        MemoryRecord::new(RecordId::new(format!("{:032x}", u128::from(n) << 64 | 0x7000)).unwrap(), text, at);
    record.user_id = Some(UserId::new(format!("user-{}", n % 50)).unwrap());
    record.tags = ["case".to_owned(), format!("tag-{}", n % 7)].into();
    record.metadata = Object::from([("form".to_owned(), Value::from("I-129")), ("fee".to_owned(), Value::from(n))]);
    let components: Vec<f32> = (0..DIMENSION).map(|i| ((n * 7 + u64::from(i)) % 97) as f32 / 97.0 - 0.4).collect();
    let embedding = Some(Embedding::new(model, components).unwrap());
    RecordWrite { record, embedding, expect: Precondition::Any, tasks: Vec::new() }
}

async fn timed(rounds: usize, mut work: impl AsyncFnMut(usize)) -> (Duration, Duration) {
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let before = cpu();
        let start = Instant::now();
        work(round).await;
        walls.push(start.elapsed());
        cpus.push(cpu().saturating_sub(before));
    }
    (median(walls), median(cpus))
}

fn show(what: &str, (wall, cpu): (Duration, Duration)) {
    println!("{what:<44} wall {:>9.3} ms   cpu {:>8.3} ms", wall.as_secs_f64() * 1e3, cpu.as_secs_f64() * 1e3);
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let temporary = || std::env::temp_dir().join(format!("mnemic-speed-{}", std::process::id()));
    let directory = std::env::args().nth(1).map_or_else(temporary, Into::into);
    println!("in {}", directory.display());
    let ledger = SqliteLedger::open(SqliteConfig::new(&directory)).unwrap();
    let ns = Namespace::new(format!("speed-{}", std::process::id())).unwrap();
    let model = EmbeddingModel::new("test", "speed", DIMENSION, Metric::Cosine).unwrap();
    let at = Timestamp::from_micros(1_700_000_000_000_000).unwrap();
    let batches: Vec<Vec<RecordWrite>> =
        (0..20).map(|batch| (0..1000).map(|n| write(&model, batch * 1000 + n, at)).collect()).collect();
    let mut batches = batches.into_iter();
    let figure = timed(20, async |_| {
        let batch = Batch { writes: batches.next().unwrap(), ..Batch::new(at) };
        ledger.commit(&ns, batch).await.unwrap();
    });
    show("commit of 1,000 records with vectors", figure.await);
    let figure = timed(200, async |n| {
        let batch = Batch { writes: vec![write(&model, 1_000_000 + n as u64, at)], ..Batch::new(at) };
        ledger.commit(&ns, batch).await.unwrap();
    });
    show("commit of one record", figure.await);
    let ids: Vec<_> = (0..10).map(|n| write(&model, n * 1999, at).record.id).collect();
    let with = Read { as_of: None, embeddings: Embeddings::Include };
    let figure = timed(500, async |_| drop(ledger.fetch(&ns, &ids, Read::default()).await.unwrap()));
    show("fetch of 10", figure.await);
    let figure = timed(500, async |_| drop(ledger.fetch(&ns, &ids, with).await.unwrap()));
    show("fetch of 10 with vectors", figure.await);
    let page = PageRequest::largest();
    let figure = timed(50, async |_| drop(ledger.scan(&ns, &Filter::all(), Read::default(), &page).await.unwrap()));
    show("scan of 1,000", figure.await);
    let figure = timed(50, async |_| drop(ledger.scan(&ns, &Filter::all(), with, &page).await.unwrap()));
    show("scan of 1,000 with vectors", figure.await);
    let figure = timed(50, async |_| drop(ledger.changes(&ns, ChangeSeq(0), 1000).await.unwrap()));
    show("changes, 1,000", figure.await);
    let figure = timed(2000, async |_| assert_ne!(ledger.head(&ns).await.unwrap(), ChangeSeq(0)));
    show("head", figure.await);
    let figure = timed(20, async |_| drop(ledger.report(&ns).await.unwrap()));
    show("report of 20,200", figure.await);
    let figure = timed(5, async |n| {
        let event = AuditEvent {
            event_id: EventId::new(format!("erasure-{n}")).unwrap(),
            timestamp: at,
            user_id: None,
            thread_id: ThreadId::journal(),
            source: "speed".to_owned(),
            action: "erased".to_owned(),
            payload: Object::new(),
            tags: BTreeSet::new(),
        };
        let target = EraseTarget::Records(vec![write(&model, n as u64, at).record.id]);
        ledger.erase(&ns, Erasure { at, target, event }).await.unwrap();
    });
    show("erasure of one of 20,200", figure.await);
    println!("{} MB on disk for 20,200 records", ledger.report(&ns).await.unwrap().bytes >> 20);
}
