//! A memory of real conversations with a bit of everything goes from a directory over every backend back to a directory: each leg's
//! verification finds no difference, and the last canonical export is the first one to the byte. Not here: writers meanwhile
//! (`migration`), cuts (`migration_kills`).
//!
//! `MNEMIC_MATRIX_TURNS` sets how many turns (`cargo xtask migrations` takes all). Shown as ignored where there are no conversations.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "matrix/life.rs"]
mod life;
#[path = "common/world.rs"]
mod world;

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use life::Turn;
use mnemic::{
    Builder, ChangeSeq, Filter, MemoryManager, MigrationReport, Namespace, Object, PageRequest, RecordId, ThreadId,
    Value, ports::EventRange, wire,
};
use mnemic_postgres::testing::{TestServer, required};
use tokio::runtime::Runtime;
use world::World;

const SERVICE: &str = "postgres-18";
/// Turns where nobody asks for more.
const TURNS: usize = 200;
/// Retrievals that are asked of both sides of a leg.
const SAMPLES: usize = 15;

fn namespace() -> Namespace {
    Namespace::new("case").unwrap()
}

fn directory(at: &tempfile::TempDir, name: &str) -> MemoryManager {
    Builder::embedded(at.path().join(name)).unwrap().build(namespace()).unwrap()
}

/// The turns of the conversations, in order of time; nothing where there are none.
fn turns() -> Option<Vec<Turn>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join("..").join("..").join("shared");
    let data = std::env::var_os("MNEMIC_SHARED").map_or(root, PathBuf::from).join("data");
    let text = std::fs::read_to_string(data.join("longmemeval.corpus.jsonl")).ok()?;
    let most = std::env::var("MNEMIC_MATRIX_TURNS").ok();
    let most =
        most.map_or(TURNS, |most| most.parse().unwrap_or_else(|_| panic!("MNEMIC_MATRIX_TURNS is no number: {most}")));
    let all: Vec<&str> = text.lines().collect();
    // Evenly apart, so that few turns are of many conversations too.
    let step = (all.len() / most.max(1)).max(1);
    Some(all.iter().step_by(step).take(most).map(|line| Turn::parse(line)).collect())
}

fn line(object: &Object, to: &mut Vec<u8>) {
    to.extend_from_slice(wire::to_line(object).as_bytes());
    to.push(b'\n');
}

/// Everything that a memory tells, as canonical lines: records with their embeddings to the bit, every revision of everything that was
/// ever named, events with their chain, every version of slots, and the feed.
async fn exported(memory: &MemoryManager) -> Vec<u8> {
    let mut out = Vec::new();
    let mut page = PageRequest::largest();
    loop {
        let found = memory.list_stored(&Filter::all(), &page).await.unwrap();
        for stored in found.items {
            let bits = |component: &f32| Value::from(u64::from(component.to_bits()));
            let embedding =
                stored.embedding.iter().flat_map(mnemic::Embedding::components).map(bits).collect::<Vec<_>>();
            line(&wire::record_object(&stored.record), &mut out);
            line(&Object::from([("embedding".to_owned(), Value::from(embedding))]), &mut out);
        }
        if found.next.is_none() {
            break;
        }
        page = page.after(found.next);
    }
    let mut page = PageRequest::largest();
    loop {
        let found = memory.events(&EventRange::default(), &page).await.unwrap();
        for entry in &found.items {
            line(&wire::chained_event_object(entry), &mut out);
        }
        if found.next.is_none() {
            break;
        }
        page = page.after(found.next);
    }
    past(memory, &mut out).await;
    out
}

/// The feed, and the whole past of what it names.
async fn past(memory: &MemoryManager, out: &mut Vec<u8>) {
    let (mut after, mut ids, mut threads) = (ChangeSeq(0), Vec::<RecordId>::new(), Vec::<ThreadId>::new());
    loop {
        let changes = memory.changes(after, 1000).await.unwrap();
        let Some(last) = changes.last() else { break };
        after = last.seq;
        for change in changes {
            out.extend_from_slice(format!("{change:?}\n").as_bytes());
            match change.what {
                mnemic::Changed::Written(id, mnemic::Version(1)) => ids.push(id),
                mnemic::Changed::Slots(Some(thread), mnemic::Version(1)) => threads.push(thread),
                _ => {}
            }
        }
    }
    for id in &ids {
        for revision in memory.history(id).await.unwrap() {
            line(&wire::revision_object(&revision), out);
        }
    }
    for thread in &threads {
        for revision in memory.slots_history(thread).await.unwrap() {
            out.extend_from_slice(format!("{thread} {revision:?}\n").as_bytes());
        }
    }
}

/// One leg: moved, compared, and how long both took.
struct Leg {
    name: &'static str,
    changes: u64,
    moved: Duration,
    verified: Duration,
    report: MigrationReport,
}

async fn leg(source: &MemoryManager, target: &MemoryManager, name: &'static str) -> Leg {
    let begun = Instant::now();
    let followed = source.migrate_to(target, |_| {}).await.unwrap();
    let moved = begun.elapsed();
    let begun = Instant::now();
    let report = source.compare_with(target, SAMPLES).await.unwrap();
    target.verify_audit(None).await.unwrap();
    Leg { name, changes: followed.changes, moved, verified: begun.elapsed(), report }
}

fn table(legs: &[Leg], turns: usize, bytes: usize, same: bool) {
    println!("{turns} turns of LongMemEval over {} legs", legs.len());
    let head = [
        "changes",
        "records",
        "revisions",
        "embedded",
        "events",
        "slots",
        "copy s",
        "verify s",
        "differences",
        "overlap",
    ];
    println!("{:<34}{}", "leg", head.map(|title| format!("{title:>12}")).concat());
    for Leg { name, changes, moved, verified, report } in legs {
        let seen = &report.comparison;
        let counts = [*changes, seen.records, seen.revisions, seen.embeddings, seen.events, seen.slots];
        let counts = counts.map(|count| format!("{count:>12}")).concat();
        let times = [moved, verified].map(|time| format!("{:>12.1}", time.as_secs_f64())).concat();
        let differing = seen.differing + report.index_faults.len() as u64;
        println!("{name:<34}{counts}{times}{differing:>12}{:>12.3}", report.overlap);
    }
    println!(
        "canonical export, {bytes} bytes: {}",
        if same { "the last is the first to the byte" } else { "DIFFERENT" }
    );
}

async fn every_backend_gives_back_what_it_got(server: TestServer, turns: Vec<Turn>) -> Result<(), Failed> {
    let places = tempfile::tempdir()?;
    let first = directory(&places, "first");
    life::furnish(&first, &places.path().join("first"), &turns).await;
    let before = exported(&first).await;
    life::check(&first, turns.len()).await;
    let built_in = |world: World| world.with("MNEMIC_EMBEDDER", "static");
    let pgvector = built_in(World::new(&server, &[]).await).with("MNEMIC_INDEX", "pgvector");
    let pinecone = built_in(World::new(&server, &["pinecone"]).await);
    let qdrant = built_in(World::new(&server, &["qdrant"]).await).with("MNEMIC_INDEX", "qdrant");
    let mut memories = vec![first];
    let mut legs = Vec::new();
    for (world, name) in [
        (&pgvector, "directory to PostgreSQL + pgvector"),
        (&pinecone, "to PostgreSQL + Pinecone"),
        (&qdrant, "to PostgreSQL + Qdrant"),
    ] {
        let next = world.open_in(Some("case"));
        legs.push(leg(memories.last().unwrap(), &next, name).await);
        memories.push(next);
    }
    for name in ["to a directory", "to another directory"] {
        let next = directory(&places, name);
        legs.push(leg(memories.last().unwrap(), &next, name).await);
        memories.push(next);
    }
    let after = exported(memories.last().unwrap()).await;
    table(&legs, turns.len(), before.len(), before == after);
    let report = memories[0].compare_with(memories.last().unwrap(), SAMPLES).await?;
    if before != after || !report.is_same() || report.same_order != report.asked {
        return Err(format!("the memory came back another one: {report:?}").into());
    }
    for leg in legs {
        if !leg.report.is_same() || leg.report.asked < SAMPLES / 2 || leg.report.overlap < 0.9 {
            return Err(format!("{}: {:?}", leg.name, leg.report).into());
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let moving = || {
        let server = match TestServer::of(SERVICE) {
            Ok(server) => server,
            Err(why) if required(SERVICE) => return Err(Failed::from(why)),
            Err(why) => return Ok(Completion::ignored_with(why)),
        };
        match turns() {
            Some(turns) => Runtime::new()?
                .block_on(every_backend_gives_back_what_it_got(server, turns))
                .map(|()| Completion::Completed),
            None if std::env::var("MNEMIC_REQUIRE_SHARED").is_ok_and(|set| set == "1") => {
                Err("no conversations in MNEMIC_SHARED or ../shared".into())
            }
            None => Ok(Completion::ignored_with("no conversations in MNEMIC_SHARED or ../shared")),
        }
    };
    let name = format!("{SERVICE}::conversations_move_over_every_backend_and_come_back_the_same_to_the_byte");
    libtest_mimic::run(&Arguments::from_args(), vec![Trial::ignorable_test(name, moving)]).exit_code()
}
