//! Writes what a file says into a memory: batches, comparison with what is there, counts, faults by line.
//! Not here: reading the file (`lines`), understanding its lines (the formats).

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
};

use mnemic::{
    AppendOutcome, Error, ErrorKind, MemoryManager, MemoryRecord, Namespace, NewEvent, NewRecord, RecordId, Result,
    RevisionKind, SetSlots, SlotMode, ThreadId, Timestamp, WriteOptions, ids::quoted, limits, policy, wire,
};

use super::{Item, What, counts::Loaded, own::FileEmbedding};

/// Bytes of text that wait in batches before the largest is written.
const PENDING_BYTES: usize = 8 * 1024 * 1024;
/// Records that wait in batches before the largest is written.
const PENDING_RECORDS: usize = 4 * limits::BATCH;

/// Where items go that name a place.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    /// The memory, bound to the namespace of items that name none.
    pub memory: MemoryManager,
    /// Whether a place becomes a namespace of its own.
    pub split: Split,
    /// What stands before a place in its namespace's name.
    pub prefix: String,
}

/// Whether a file may fill several namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Split {
    /// One namespace for each place that the file names.
    #[default]
    ByPlace,
    /// Everything into one.
    Never,
    /// One that was named; a file that names another is refused.
    Named,
}

/// How a record of a file meets what memory holds under its id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Onto {
    /// It says everything.
    #[default]
    Replace,
    /// It says everything but which events it came from; those that memory knows stay.
    KeepEvents,
    /// It says which events the record came from; what memory holds otherwise stays.
    AddEvents,
}

/// Records of one namespace that wait to be written.
#[derive(Debug, Default)]
struct Pending {
    drafts: Vec<(NewRecord, Onto)>,
    bytes: usize,
}

/// The model that the memory embeds with, asked for when the first embedding comes.
#[derive(Debug)]
enum Model {
    Unasked,
    Known(Option<String>),
}

/// Fills a memory.
#[derive(Debug)]
pub(crate) struct Loader {
    placement: Placement,
    dry_run: bool,
    now: Timestamp,
    model: Model,
    pending: BTreeMap<Namespace, Pending>,
    loaded: BTreeMap<Namespace, Loaded>,
    /// Marks of every id seen in this file and of what it said: 16 bytes a record.
    seen: HashMap<u64, u64>,
    marker: RandomState,
}

impl Loader {
    /// Writes into `placement`, or with `dry_run` only says what would be written.
    pub(crate) fn new(placement: Placement, dry_run: bool) -> Self {
        let now = placement.memory.now();
        Self {
            placement,
            dry_run,
            now,
            model: Model::Unasked,
            pending: BTreeMap::new(),
            loaded: BTreeMap::new(),
            seen: HashMap::new(),
            marker: RandomState::new(),
        }
    }

    /// What became of each namespace so far.
    pub(crate) fn loaded(&self) -> &BTreeMap<Namespace, Loaded> {
        &self.loaded
    }

    /// All of it together.
    pub(crate) fn total(&self) -> Loaded {
        let mut total = Loaded::default();
        self.loaded.values().for_each(|loaded| total.add(loaded));
        total
    }

    /// Takes an item. The outer error ends the import, the inner one is the item's own fault.
    pub(crate) async fn push(&mut self, item: Item) -> Result<Result<()>> {
        let namespace = match self.namespace(item.place.as_deref()) {
            Ok(namespace) => namespace,
            // Every item would be refused so.
            Err(error) if self.placement.split == Split::Named => return Err(error),
            Err(error) => return Ok(Err(error)),
        };
        match item.what {
            What::Record { draft, embedding, onto } => self.record(namespace, (*draft, onto), embedding).await,
            What::Data(mut draft) => {
                draft.embedding = self.fixed(draft.id.as_ref()).await?;
                self.record(namespace, (*draft, Onto::Replace), None).await
            }
            What::Event(event) => self.event(namespace, *event).await,
            What::Slots(thread, slots) => self.slots(namespace, &thread, slots).await,
            What::Passed => {
                self.loaded.entry(namespace).or_default().passed += 1;
                Ok(Ok(()))
            }
        }
    }

    /// Writes everything that still waits.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        while let Some((namespace, pending)) = self.pending.pop_first() {
            self.write(&namespace, pending.drafts).await?;
        }
        Ok(())
    }

    /// A handle for a namespace.
    pub(crate) fn memory(&self, namespace: &Namespace) -> MemoryManager {
        self.placement.memory.in_namespace(namespace.clone())
    }

    fn namespace(&self, place: Option<&str>) -> Result<Namespace> {
        match (place, self.placement.split) {
            (Some(place), Split::Named) => {
                let (own, named) = (self.placement.memory.namespace(), namespace_for(&self.placement.prefix, place)?);
                if named == *own {
                    return Ok(named);
                }
                let message = format!(
                    "namespace: the command says {own} and the file {named}; leave -n away to bring each item into the namespace that the \
                     file says, or add --namespace-per-conversation=false to bring all into {own}"
                );
                Err(Error::new(ErrorKind::InvalidInput, message).with_field("namespace"))
            }
            (Some(place), Split::ByPlace) => namespace_for(&self.placement.prefix, place),
            (_, Split::Never) | (None, Split::ByPlace | Split::Named) => Ok(self.placement.memory.namespace().clone()),
        }
    }

    async fn record(
        &mut self,
        namespace: Namespace,
        (mut draft, onto): (NewRecord, Onto),
        embedding: Option<FileEmbedding>,
    ) -> Result<Result<()>> {
        let Some(id) = draft.id.clone() else { return Err(Error::bug("a record of a file has no id")) };
        let record = draft.clone().into_record(id.clone(), self.now);
        if let Err(error) = record.check() {
            return Ok(Err(error));
        }
        let key = self.marker.hash_one((&namespace, &id));
        let said = self.marker.hash_one(wire::to_line(&wire::record_object(&record)));
        if let Some(before) = self.seen.insert(key, said) {
            if before == said {
                self.loaded.entry(namespace).or_default().unchanged += 1;
                return Ok(Ok(()));
            }
            // The first one stays, or importing the file again would change memory back and forth.
            self.seen.insert(key, before);
            let found = format!("{}, which stands above with something else", quoted(id.as_str()));
            return Ok(Err(Error::invalid("id", "an id that occurs once", found)));
        }
        let brought = embedding.is_some();
        if let Some(embedding) = embedding {
            draft.embedding = self.usable(embedding).await?;
        }
        if brought && draft.embedding.is_none() {
            self.loaded.entry(namespace.clone()).or_default().not_taken += 1;
        }
        let pending = self.pending.entry(namespace.clone()).or_default();
        pending.bytes += record.text.len();
        pending.drafts.push((draft, onto));
        if pending.drafts.len() >= limits::BATCH {
            self.write_pending(&namespace).await?;
        }
        self.keep_bounded().await?;
        Ok(Ok(()))
    }

    /// The file's embedding, if the memory embeds with the same model. Another model's is made anew from the text.
    async fn usable(&mut self, embedding: FileEmbedding) -> Result<Option<Vec<f32>>> {
        let usable = self.model().await?.is_some_and(|ours| ours == embedding.model);
        Ok(usable.then_some(embedding.components))
    }

    /// The embedding of a record that says nothing: the same for the same id, spread over the axes, since many equal points are the
    /// worst case of graph indexes.
    async fn fixed(&mut self, id: Option<&RecordId>) -> Result<Option<Vec<f32>>> {
        let dimension = self.model().await?.and_then(|model| model.rsplit_once('@')?.1.split('-').next()?.parse().ok());
        let (Some(dimension), Some(id)) = (dimension, id) else { return Ok(None) };
        let mark = policy::audit::digest(id.as_str().as_bytes()).0;
        let number = mark.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let axis = number.checked_rem(dimension).and_then(|axis| usize::try_from(axis).ok());
        Ok(axis.map(|axis| (0..dimension as usize).map(|i| if i == axis { 1.0 } else { 0.0 }).collect()))
    }

    /// The model that the memory embeds with.
    async fn model(&mut self) -> Result<Option<&str>> {
        if matches!(self.model, Model::Unasked) {
            self.model = Model::Known(self.placement.memory.stats().await?.model);
        }
        Ok(match &self.model {
            Model::Known(model) => model.as_deref(),
            Model::Unasked => None,
        })
    }

    /// Writes the fullest batches until what waits is bounded, also for a file that jumps between many conversations.
    async fn keep_bounded(&mut self) -> Result<()> {
        loop {
            let (records, bytes) = self
                .pending
                .values()
                .fold((0, 0), |(records, bytes), waiting| (records + waiting.drafts.len(), bytes + waiting.bytes));
            if records < PENDING_RECORDS && bytes < PENDING_BYTES {
                return Ok(());
            }
            let fullest = self.pending.iter().max_by_key(|(_, waiting)| waiting.bytes).map(|(name, _)| name.clone());
            let Some(fullest) = fullest else { return Ok(()) };
            self.write_pending(&fullest).await?;
        }
    }

    async fn write_pending(&mut self, namespace: &Namespace) -> Result<()> {
        match self.pending.remove(namespace) {
            Some(pending) => self.write(namespace, pending.drafts).await,
            None => Ok(()),
        }
    }

    /// Writes one batch: all of it or nothing. What memory holds already is left alone, so that its version stays.
    async fn write(&mut self, namespace: &Namespace, drafts: Vec<(NewRecord, Onto)>) -> Result<()> {
        let memory = self.memory(namespace);
        let ids: Vec<RecordId> = drafts.iter().filter_map(|(draft, _)| draft.id.clone()).collect();
        let stored = memory.get(&ids, None).await?;
        let mut loaded = Loaded::default();
        let mut changed = Vec::with_capacity(drafts.len());
        for ((draft, onto), stored) in drafts.into_iter().zip(stored) {
            let stored = match stored {
                None => self.expired(&memory, &draft).await?,
                found => found,
            };
            let draft = stored.as_ref().map_or(draft.clone(), |stored| met(draft, onto, stored));
            match stored {
                Some(stored) if same(&draft, &stored) => loaded.unchanged += 1,
                Some(_) => {
                    loaded.replaced += 1;
                    changed.push(draft);
                }
                None => {
                    loaded.new += 1;
                    changed.push(draft);
                }
            }
        }
        if !changed.is_empty() && !self.dry_run {
            let report = memory.write(changed, &WriteOptions::default()).await?;
            let pending = report.records.iter().filter(|written| written.outcome != mnemic::RecordOutcome::Indexed);
            loaded.pending = pending.count() as u64;
        }
        self.loaded.entry(namespace.clone()).or_default().add(&loaded);
        Ok(())
    }

    /// What memory holds of a record that has expired: reading by id does not show it, its history does.
    async fn expired(&self, memory: &MemoryManager, draft: &NewRecord) -> Result<Option<MemoryRecord>> {
        let Some(id) = draft.id.as_ref().filter(|_| draft.expires_at.is_some_and(|end| end <= self.now)) else {
            return Ok(None);
        };
        Ok(memory.history(id).await?.into_iter().next().and_then(|newest| match newest.what {
            RevisionKind::Written(record) => Some(*record),
            RevisionKind::Deleted(_) => None,
        }))
    }

    /// Appends an event after the records that stand before it in the file.
    async fn event(&mut self, namespace: Namespace, event: NewEvent) -> Result<Result<()>> {
        self.write_pending(&namespace).await?;
        let appended = if self.dry_run {
            1
        } else {
            match self.memory(&namespace).log_audit(event).await {
                Ok((_, appended)) => u64::from(appended.outcome != AppendOutcome::Duplicate),
                // The memory holds another event with this id: this line's fault, not the file's.
                Err(error) if error.kind() == mnemic::ErrorKind::Conflict => return Ok(Err(error)),
                Err(error) if error.kind() == mnemic::ErrorKind::InvalidInput => return Ok(Err(error)),
                Err(error) => return Err(error),
            }
        };
        self.loaded.entry(namespace).or_default().events += appended;
        Ok(Ok(()))
    }

    async fn slots(
        &mut self,
        namespace: Namespace,
        thread: &ThreadId,
        slots: BTreeMap<String, String>,
    ) -> Result<Result<()>> {
        let memory = self.memory(&namespace);
        if memory.slots(thread, None).await?.slots == slots {
            return Ok(Ok(()));
        }
        if !self.dry_run {
            let changes = slots.into_iter().map(|(name, text)| (name, Some(text))).collect();
            let how = SetSlots { mode: SlotMode::Replace, ..SetSlots::default() };
            match memory.set_slots(thread, changes, how).await {
                Ok(_) => {}
                Err(error) if error.kind() == mnemic::ErrorKind::InvalidInput => return Ok(Err(error)),
                Err(error) => return Err(error),
            }
        }
        self.loaded.entry(namespace).or_default().slots += 1;
        Ok(Ok(()))
    }
}

/// What is to be written of a record that memory holds already.
fn met(mut draft: NewRecord, onto: Onto, stored: &MemoryRecord) -> NewRecord {
    match onto {
        Onto::Replace => draft,
        Onto::KeepEvents => {
            draft.provenance.events.extend(stored.provenance.events.iter().cloned());
            draft
        }
        Onto::AddEvents => {
            let mut kept = NewRecord::from(stored.clone());
            kept.provenance.events.append(&mut draft.provenance.events);
            kept
        }
    }
}

/// Whether memory holds what the file says. What the file leaves open (times, mostly) counts as said.
fn same(draft: &NewRecord, stored: &MemoryRecord) -> bool {
    let mut said = draft.clone();
    said.created_at = said.created_at.or(Some(stored.created_at));
    said.updated_at = said.updated_at.or(Some(stored.updated_at));
    said.valid_from = said.valid_from.or(Some(stored.valid_from));
    let mut record = said.into_record(stored.id.clone(), stored.created_at);
    // A ledger never moves the creation forward, so an older one than the file's is no difference.
    record.created_at = record.created_at.min(stored.created_at);
    record.version = stored.version;
    record == *stored
}

/// The namespace of a place. What the grammar does not allow is replaced, and a mark of the original added, so that two places
/// never share a namespace.
pub(crate) fn namespace_for(prefix: &str, place: &str) -> Result<Namespace> {
    let whole = format!("{prefix}{place}");
    if let Ok(namespace) = Namespace::new(&whole) {
        return Ok(namespace);
    }
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let replaced: String = whole.to_lowercase().chars().map(|c| if legal(c) { c } else { '-' }).collect();
    let trimmed = replaced.trim_start_matches(['-', '_']);
    let mark = mnemic::policy::audit::digest(whole.as_bytes()).to_string();
    let mark = mark.get(..8).unwrap_or(&mark);
    let kept: String = trimmed.chars().take(54).collect();
    let name = if kept.is_empty() { mark.to_owned() } else { format!("{}-{mark}", kept.trim_end_matches(['-', '_'])) };
    Namespace::new(&name)
        .map_err(|error| Error::invalid("conv", "a name that can become a namespace", quoted(place)).with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_becomes_a_namespace_and_two_places_never_share_one() {
        let name = |prefix: &str, place: &str| namespace_for(prefix, place).unwrap().to_string();
        assert_eq!(name("locomo-", "conv-26"), "locomo-conv-26");
        assert_eq!(name("", "all"), "all");
        let odd = ["Conv 26", "conv 26", "conv/26", "../../x", "—", "", &"x".repeat(80), &"x".repeat(81), "Чат"];
        let names: std::collections::BTreeSet<String> = odd.iter().map(|place| name("", place)).collect();
        assert_eq!(names.len(), odd.len(), "{names:?}");
        assert!(name("", "Conv 26").starts_with("conv-26-"));
    }

    #[test]
    fn what_a_file_leaves_open_is_no_difference_and_what_it_says_is() {
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let id = RecordId::new("r").unwrap();
        let draft = NewRecord::new("text").with_id(id.clone());
        let mut stored = draft.clone().into_record(id, at);
        stored.version = mnemic::Version(4);
        assert!(same(&draft, &stored));
        assert!(!same(&draft.clone().with_source("other"), &stored));
        let mut dated = draft;
        dated.updated_at = Some(at.plus(std::time::Duration::from_secs(1)));
        assert!(!same(&dated, &stored));
    }
}
