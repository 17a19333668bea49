//! What a move would meet: counts, time, room, cost, limits, what will be different, and what stands in the way. Not here: moving, and
//! what places can do (`outlook`).

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use mnemic_core::{
    Address, Assignment, ChangeSeq, EmbeddingModel, Error, ErrorKind, Filter, PageRequest, PastCommit, Result, Role,
    ports::{NamespaceReport, Read},
};
use mnemic_embedders::{Price, estimated_tokens, list_price};
use mnemic_migration::past;

use super::{MemoryManager, outlook, switch::unfit_target};

/// Changes that are read to learn how long reading takes.
const MEASURED: usize = 1000;
/// How much longer than reading a page all of it takes with a ledger of this kind: reading it, writing it, and feeding an index in the
/// process. Measured with 10,000 records with embeddings of 256 dimensions. Rough: the run tells the true rate.
const LEDGER_FACTORS: [(&str, f64); 3] = [("process memory", 4.0), ("SQLite", 7.0), ("PostgreSQL", 11.0)];
/// The same for a ledger that nobody measured.
const LEDGER_FACTOR: f64 = 11.0;
/// What an index of this name adds. pgvector builds its graph while it is fed; the services were beside the program and nearly idle, so a
/// real one takes longer.
const INDEX_FACTORS: [(&str, f64); 3] = [("pgvector", 120.0), ("qdrant", 30.0), ("pinecone", 30.0)];
/// Room beside what the source takes: the log of a ledger while it is written, and the file that its index saves.
const ROOM_FACTOR: f64 = 2.0;
/// Room that even an empty memory takes.
const ROOM_LEAST: u64 = 16 << 20;
/// Bytes of a change without its embedding, where a ledger does not tell how many it takes.
const CHANGE_BYTES: u64 = 1024;

/// What a migration meets.
#[derive(Clone, Debug, PartialEq)]
pub struct MigrationPlan {
    /// Changes that the source holds.
    pub changes: u64,
    /// Changes of them that the target holds already.
    pub done: u64,
    /// Records, revisions, events and threads with slots in the source.
    pub records: u64,
    /// See `records`.
    pub revisions: u64,
    /// See `records`.
    pub events: u64,
    /// See `records`.
    pub threads: u64,
    /// Models of the stored embeddings.
    pub models: Vec<EmbeddingModel>,
    /// Embeddings, which move as they are.
    pub embeddings: u64,
    /// Bytes that the source takes, where it knows them.
    pub bytes: u64,
    /// From where.
    pub source: PlaceReport,
    /// To where.
    pub target: PlaceReport,
    /// How many of the changes that are left were read to measure, and how long that took.
    pub measured: Option<(u64, Duration)>,
    /// About how long copying takes; indexes on servers may follow later. `None` where nothing is left or nothing could be measured.
    pub takes: Option<Duration>,
    /// Room on the disk of a target that is a directory.
    pub room: Option<Room>,
    /// What embedding anew costs, which is needed where the target's embedder makes other embeddings than are stored.
    pub embedding: Option<EmbeddingCost>,
    /// What bounds the data in the target, and whether it is reached, in words.
    pub limits: Vec<String>,
    /// What will be different for whoever uses the memory, in words.
    pub differences: Vec<String>,
    /// Why it cannot be done, and what to do; empty if it can.
    pub obstacles: Vec<String>,
}

/// Room on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Where.
    pub directory: PathBuf,
    /// Bytes that the copy may take beyond what is there, on the high side.
    pub needed: u64,
    /// Bytes that are free to this user.
    pub free: u64,
}

impl Room {
    /// Whether there is enough.
    pub fn is_enough(&self) -> bool {
        self.free >= self.needed
    }
}

/// What embedding every text anew takes.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingCost {
    /// The model of the target's embedder.
    pub model: EmbeddingModel,
    /// Texts.
    pub texts: u64,
    /// Their tokens, by an estimate on the high side.
    pub tokens: u64,
    /// What the model costs by its vendor's list.
    pub price: Price,
}

impl EmbeddingCost {
    /// US dollars by the vendor's list; `None` where nobody here knows, or where the server is the operator's own.
    pub fn dollars(&self) -> Option<f64> {
        match self.price {
            Price::Nothing => Some(0.0),
            Price::PerMillionTokens(dollars) => Some(self.tokens as f64 / 1e6 * dollars),
            Price::OwnServer | Price::Unknown => None,
        }
    }
}

/// One place of a memory, as it is by itself: pointers that moves left behind are told and not followed.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceReport {
    /// In the words in which other processes find it.
    pub address: Address,
    /// Its role, and how often that changed.
    pub assignment: Assignment,
    /// Product and version of its ledger.
    pub ledger: String,
    /// The names of its indexes.
    pub indexes: Vec<&'static str>,
    /// What its embedder makes; `None` if it has none.
    pub model: Option<EmbeddingModel>,
    /// Counts of what its ledger holds.
    pub holds: NamespaceReport,
}

impl PlaceReport {
    /// Whether a process with other settings can open the address.
    pub fn can_be_followed(&self) -> bool {
        ["dir:", "env:"].iter().any(|known| self.address.ledger().starts_with(known))
    }
}

impl MemoryManager {
    /// Looks at the place that this handle was opened on, wherever the memory has moved since.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn place(&self) -> Result<PlaceReport> {
        let ledger = &self.engine.ledger;
        Ok(PlaceReport {
            address: self.address()?,
            assignment: ledger.assignment(&self.namespace).await?,
            ledger: ledger.check().await?.backend,
            indexes: self.engine.indexes.iter().map(|placed| placed.index.name()).collect(),
            model: self.engine.embedder.model().cloned(),
            holds: ledger.report(&self.namespace).await?,
        })
    }

    /// What moving this namespace to `target` would meet. Writes nothing: one page is read to learn how long all of them take, and
    /// where the target's embedder makes other embeddings, all texts are read to learn what that costs.
    ///
    /// # Errors
    /// What either ledger gives.
    pub async fn plan_migration(&self, target: &Self) -> Result<MigrationPlan> {
        let (source, place) = (self.place().await?, target.place().await?);
        let (holds, done) = (source.holds.clone(), place.holds.head.0);
        let mut obstacles: Vec<String> = unfit(&source, &place).into_iter().collect();
        obstacles.extend(foreign_models(&source, &place));
        let embedding = match &place.model {
            Some(model) if foreign_models(&source, &place).is_some() => Some(self.embedding_cost(model).await?),
            _ => None,
        };
        let room = match target.directory() {
            Some(directory) => Some(room(directory, &source.holds, done)?),
            None => None,
        };
        obstacles.extend(room.as_ref().and_then(lacking));
        let measured = self.measure(ChangeSeq(done), holds.head).await?;
        let left = holds.head.0.saturating_sub(done);
        Ok(MigrationPlan {
            changes: holds.head.0,
            done,
            records: holds.records,
            revisions: holds.revisions,
            events: holds.events,
            threads: holds.threads_with_slots,
            embeddings: holds.embeddings,
            models: holds.models,
            bytes: holds.bytes,
            takes: measured.map(|measured| takes(measured, left, (&place.ledger, &place.indexes))),
            measured,
            room,
            embedding,
            limits: outlook::limits(&source, target),
            differences: outlook::differences(self, target, &source, &place),
            source,
            target: place,
            obstacles,
        })
    }

    /// Refuses what a plan calls an obstacle.
    ///
    /// # Errors
    /// `Conflict` for a place whose role does not fit, `Unsupported` for the others, and what either ledger gives.
    pub(super) async fn check_movable(&self, target: &Self) -> Result<()> {
        let (source, place) = (self.place().await?, target.place().await?);
        if let Some(message) = unfit(&source, &place) {
            return Err(Error::new(ErrorKind::Conflict, message).with_field("target"));
        }
        let mut obstacles: Vec<String> = foreign_models(&source, &place).into_iter().collect();
        if let Some(directory) = target.directory() {
            obstacles.extend(lacking(&room(directory, &source.holds, place.holds.head.0)?));
        }
        if obstacles.is_empty() { Ok(()) } else { Err(Error::new(ErrorKind::Unsupported, obstacles.join("; "))) }
    }

    fn directory(&self) -> Option<&Path> {
        self.engine.embedded.as_ref().map(|embedded| embedded.ledger.directory())
    }

    async fn embedding_cost(&self, model: &EmbeddingModel) -> Result<EmbeddingCost> {
        let (mut texts, mut tokens, mut page) = (0, 0, PageRequest::largest());
        loop {
            let found = self.engine.ledger.scan(&self.namespace, &Filter::all(), Read::default(), &page).await?;
            texts += found.items.len() as u64;
            tokens += found.items.iter().map(|stored| estimated_tokens(&stored.record.text) as u64).sum::<u64>();
            if found.next.is_none() {
                return Ok(EmbeddingCost { model: model.clone(), texts, tokens, price: list_price(model) });
            }
            page = page.after(found.next);
        }
    }

    /// Reads one page of what is left, to learn how long it takes.
    async fn measure(&self, done: ChangeSeq, head: ChangeSeq) -> Result<Option<(u64, Duration)>> {
        if done >= head {
            return Ok(None);
        }
        let begun = Instant::now();
        let commits: Vec<PastCommit> = past(self.engine.ledger.as_ref(), &self.namespace, done, MEASURED).await?;
        let changes: u64 = commits.iter().map(|commit| commit.changes.len() as u64).sum();
        Ok((changes > 0).then(|| (changes, begun.elapsed())))
    }

    /// Whether the place that this one handed its memory over to can be reached and serves it.
    ///
    /// # Errors
    /// What this place's ledger gives.
    pub async fn successor_serves(&self) -> Result<bool> {
        let role = self.engine.ledger.assignment(&self.namespace).await?.role;
        let (Role::Moving { to } | Role::Moved { to }) = role else { return Ok(false) };
        let Ok(there) = self.engine.elsewhere(&to) else { return Ok(false) };
        let found = there.engine.ledger.assignment(&there.namespace).await;
        Ok(matches!(found.map(|found| found.role), Ok(Role::Serving { .. } | Role::Moved { .. } | Role::Moving { .. })))
    }
}

/// Why the roles of two places do not let one become the copy of the other.
fn unfit(source: &PlaceReport, target: &PlaceReport) -> Option<String> {
    let (here, there) = (&source.address, &target.address);
    match &source.assignment.role {
        // A copy can be copied further: it is the memory as of its position.
        Role::Serving { .. } | Role::Copy { .. } => {}
        Role::Moving { to } if to == there => {}
        Role::Moving { to } => return Some(format!("the source is moving to {to}: finish that first")),
        Role::Moved { to } if to == there => {
            return Some("the memory has moved to the target already: nothing is left to copy".to_owned());
        }
        Role::Moved { to } => return Some(format!("the source has moved to {to}: move it from there")),
    }
    let held = target.holds.head;
    if let Some(why) = unfit_target(here, there.namespace(), &target.assignment.role, held) {
        return Some(why);
    }
    (held > source.holds.head).then(|| {
        let (namespace, more) = (there.namespace(), source.holds.head.0);
        format!("the target's namespace {namespace} holds {} changes, more than the source's {more}", held.0)
    })
}

fn foreign_models(source: &PlaceReport, target: &PlaceReport) -> Option<String> {
    let model = target.model.as_ref()?;
    let other = source.holds.models.iter().find(|held| *held != model)?;
    Some(format!(
        "the memory's embeddings are by {other}, the target's embedder is {model}: give the target that embedder (embeddings move as \
         they are), or none, or have `mnemic reembed` make new ones"
    ))
}

/// The room that a copy needs in a directory, which need not be there yet, and what its disk has.
fn room(directory: &Path, source: &NamespaceReport, done: u64) -> Result<Room> {
    let there = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let disk = rustix::fs::statvfs(there).map_err(|error| {
        let message = format!("the disk of {} does not tell how much of it is free", there.display());
        Error::new(ErrorKind::Unavailable, message).with_source(error)
    })?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    Ok(Room { directory: directory.to_owned(), needed: needed(source, done), free })
}

fn needed(source: &NamespaceReport, done: u64) -> u64 {
    let widest = source.models.iter().map(|model| u64::from(model.dimension())).max().unwrap_or_default();
    let counted = source.embeddings * widest * 4 + source.head.0 * CHANGE_BYTES;
    let left = source.head.0.saturating_sub(done) as f64 / source.head.0.max(1) as f64;
    ROOM_LEAST + (counted.max(source.bytes) as f64 * left * ROOM_FACTOR) as u64
}

fn lacking(room: &Room) -> Option<String> {
    (!room.is_enough()).then(|| {
        format!(
            "the disk of {} has {} MB free, and the copy may need {} MB: make room, or choose another directory",
            room.directory.display(),
            room.free >> 20,
            room.needed >> 20
        )
    })
}

fn takes((changes, took): (u64, Duration), left: u64, (ledger, indexes): (&str, &[&str])) -> Duration {
    let known = LEDGER_FACTORS.into_iter().find(|(kind, _)| ledger.starts_with(kind));
    let ledger = known.map_or(LEDGER_FACTOR, |(_, factor)| factor);
    let indexes: f64 =
        INDEX_FACTORS.into_iter().filter(|(name, _)| indexes.contains(name)).map(|(_, factor)| factor).sum();
    Duration::from_secs_f64(took.as_secs_f64() / changes.max(1) as f64 * left as f64 * (ledger + indexes))
}

#[cfg(test)]
mod tests {
    use mnemic_core::Metric;

    use super::*;

    #[test]
    fn a_disk_without_room_stands_in_the_way() {
        let model = EmbeddingModel::new("test", "m", 1000, Metric::Cosine).unwrap();
        let source = NamespaceReport {
            embeddings: 100_000,
            head: ChangeSeq(100_000),
            models: vec![model],
            ..Default::default()
        };
        let all = needed(&source, 0);
        assert!(all > 2 * 100_000 * 4000 && needed(&source, 50_000) < all * 6 / 10, "{all}");
        assert_eq!(needed(&source, 100_000), ROOM_LEAST);
        let scarce = Room { directory: PathBuf::from("/full"), needed: all, free: 1 << 20 };
        assert!(lacking(&scarce).unwrap().contains("/full has 1 MB free"));
        assert_eq!(lacking(&Room { free: all, ..scarce }), None);
    }

    #[test]
    fn room_is_asked_of_the_disk_on_which_a_directory_will_be() {
        let home = tempfile::tempdir().unwrap();
        let found = room(&home.path().join("not/yet/there"), &NamespaceReport::default(), 0).unwrap();
        assert!(found.free > 0 && found.needed == ROOM_LEAST, "{found:?}");
        assert!(!home.path().join("not").exists(), "nothing is made");
    }

    #[test]
    fn the_time_grows_with_what_is_left_and_depends_on_ledger_and_indexes() {
        let page = (1000, Duration::from_millis(100));
        assert_eq!(takes(page, 10_000, ("SQLite 3.50", &["local"])), Duration::from_secs(7));
        assert_eq!(takes(page, 10_000, ("PostgreSQL 18.1", &[])), Duration::from_secs(11));
        assert_eq!(takes(page, 10_000, ("PostgreSQL 18.1", &["postgres-text", "pgvector"])), Duration::from_secs(131));
        assert_eq!(takes(page, 0, ("SQLite 3.50", &[])), Duration::ZERO);
    }
}
