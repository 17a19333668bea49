//! Repeating another ledger's commits in one transaction: the same rows at the same positions. Not here: what continues what
//! (`repeating`), and the statements of ordinary rows (`save`).

use std::collections::{BTreeMap, BTreeSet};

use mnemic_core::{
    AuditEvent, ChainedEvent, ChangeSeq, Embedding, Namespace, PastChange, PastCommit, PastWrite, RecordId, Removed,
    Result, Sequence, Slots, ThreadId, Version,
};
use mnemic_postgres::{Pool, Query, Transaction, Type};

use super::{
    commit::Group,
    draft::{self, Draft},
    error::whole,
    known::{Held, Line, Needs},
    rows::{RecordRow, Vector, get},
    save::{INSERT_EVENTS, OutboxRow, save},
};
use crate::{
    feed_form::{self, Kind},
    repeating::{self, Unseen},
    stored,
};

const ORDINALS: &str = "SELECT ordinal FROM mnemic.records WHERE namespace = $1 AND id = ANY ($2)";
const DROP_REVISIONS: &str = "DELETE FROM mnemic.revisions WHERE namespace = $1 AND ordinal = ANY ($2)";
const DROP_OUTBOX: &str = "DELETE FROM mnemic.outbox WHERE namespace = $1 AND ordinal = ANY ($2)";
const DROP_RECORDS: &str = "DELETE FROM mnemic.records WHERE namespace = $1 AND ordinal = ANY ($2)";
const DROP_SINGLE: &str = "DELETE FROM mnemic.revisions v
     USING unnest($2::text[], $3::bigint[]) AS u(id, version), mnemic.records r
     WHERE v.namespace = $1 AND r.namespace = $1 AND r.id = u.id AND v.ordinal = r.ordinal AND v.version = u.version
         AND v.body IS NOT NULL";
const DROP_SLOT_REVISIONS: &str = "DELETE FROM mnemic.slot_revisions s USING mnemic.slot_threads t
     WHERE s.namespace = $1 AND t.namespace = $1 AND t.ordinal = s.ordinal AND t.thread_id = ANY ($2)";
const DROP_SLOT_THREADS: &str = "DELETE FROM mnemic.slot_threads WHERE namespace = $1 AND thread_id = ANY ($2)";
const DROP_NAMES: &str = "DELETE FROM mnemic.erased_names WHERE namespace = $1 AND id = ANY ($2)";
const KEEP_NAMES: &str = "INSERT INTO mnemic.erased_names (namespace, ordinal, id)
     SELECT $1, u.* FROM unnest($2::bigint[], $3::text[]) AS u";
const BLANK_EVENTS: &str =
    "UPDATE mnemic.events SET event_id = NULL, thread_id = NULL, user_id = NULL, body = NULL, salt = NULL
     WHERE namespace = $1 AND sequence = ANY ($2)";
/// Rows of records whose last revision is not known have no position of their own.
const VACANT: &str = "SELECT ordinal FROM mnemic.records WHERE namespace = $1 AND id = ANY ($2) AND seq = 0";
const NOWHERE: i64 = 0;

/// Repeats commits and tells the position that is reached.
pub(super) async fn repeat(pool: &Pool, namespace: &Namespace, commits: &[PastCommit]) -> Result<ChangeSeq> {
    let mut needs = Needs::default();
    needs.add_past(commits);
    let (transaction, known) = needs.read(pool, namespace).await?;
    let mut group = Group { known, ..Group::default() };
    match repeat_locked(&transaction, &mut group, commits).await {
        Ok(()) => {
            let head = ChangeSeq(group.known.position.head);
            save(transaction, &group.writes, group.known.position).await?;
            Ok(head)
        }
        Err(refused) => {
            // If this fails, too, the connection is closed and the server undoes it.
            let _undone = transaction.rollback().await;
            Err(refused)
        }
    }
}

async fn repeat_locked(transaction: &Transaction, group: &mut Group, commits: &[PastCommit]) -> Result<()> {
    let unseen = repeating::unseen(ChangeSeq(group.known.position.head), commits)?;
    for commit in &unseen {
        remove(transaction, group, commit.removed).await?;
    }
    let vacant = vacant(transaction, group).await?;
    let (packed, drafts, beside) = (Vec::new(), BTreeMap::new(), Beside::default());
    let mut repeater = Repeater { group, vacant, packed, drafts, beside };
    for commit in &unseen {
        repeater.commit(commit)?;
    }
    repeater.beside(transaction).await
}

/// Takes away what the source erased since, from the tables and from what is known of them.
async fn remove(transaction: &Transaction, group: &mut Group, removed: &Removed) -> Result<()> {
    if removed.is_empty() {
        return Ok(());
    }
    let records: Vec<&str> = removed.records.iter().map(RecordId::as_str).collect();
    let answers = transaction.run(&[Query::new(ORDINALS).bind(&records, Type::TEXT_ARRAY)]).await?;
    let mut ordinals: Vec<i64> = Vec::new();
    for row in answers.iter().flat_map(|answer| &answer.rows) {
        ordinals.push(get(row, 0)?);
    }
    let single: Vec<&str> = removed.revisions.iter().map(|(id, _)| id.as_str()).collect();
    let versions = removed.revisions.iter().map(|(_, version)| whole(version.0)).collect::<Result<Vec<i64>>>()?;
    let threads: Vec<&str> = removed.threads.iter().map(ThreadId::as_str).collect();
    let names: Vec<&str> = removed.names.iter().map(RecordId::as_str).collect();
    let mut queries: Vec<Query<'_>> =
        [DROP_REVISIONS, DROP_OUTBOX, DROP_RECORDS].map(|sql| Query::new(sql).bind(&ordinals, Type::INT8_ARRAY)).into();
    queries.push(Query::new(DROP_SINGLE).bind(&single, Type::TEXT_ARRAY).bind(&versions, Type::INT8_ARRAY));
    queries
        .extend([DROP_SLOT_REVISIONS, DROP_SLOT_THREADS].map(|sql| Query::new(sql).bind(&threads, Type::TEXT_ARRAY)));
    queries.push(Query::new(DROP_NAMES).bind(&names, Type::TEXT_ARRAY));
    transaction.run(&queries).await?;
    for id in &removed.records {
        group.known.lines.remove(id);
    }
    for thread in &removed.threads {
        group.known.slots.remove(thread);
    }
    Ok(())
}

async fn vacant(transaction: &Transaction, group: &Group) -> Result<BTreeSet<i64>> {
    let ids: Vec<&str> = group.known.lines.keys().map(RecordId::as_str).collect();
    let mut vacant = BTreeSet::new();
    if !ids.is_empty() {
        let answers = transaction.run(&[Query::new(VACANT).bind(&ids, Type::TEXT_ARRAY)]).await?;
        for row in answers.iter().flat_map(|answer| &answer.rows) {
            vacant.insert(get(row, 0)?);
        }
    }
    Ok(vacant)
}

/// What repeating writes beside the rows of an ordinary commit.
#[derive(Default)]
struct Beside<'a> {
    entries: Vec<&'a ChainedEvent>,
    blanked: Vec<i64>,
    names: Vec<(i64, &'a RecordId)>,
}

/// Commits that are being repeated.
struct Repeater<'g, 'a> {
    group: &'g mut Group,
    /// Stored records whose last revision is not known: it was erased in the source, and a later one follows.
    vacant: BTreeSet<i64>,
    /// The feed of the commit that is being repeated.
    packed: Vec<u8>,
    /// Records that are made here, by ordinal, as long as nothing changes them again.
    drafts: BTreeMap<i64, Draft<'a>>,
    beside: Beside<'a>,
}

impl<'a> Repeater<'_, 'a> {
    fn commit(&mut self, commit: &Unseen<'a>) -> Result<()> {
        for change in commit.changes {
            self.change(change)?;
        }
        if self.packed.is_empty() {
            return Ok(());
        }
        let (head, at) = (self.group.known.position.head, commit.at.as_micros());
        let seal = feed_form::seal(head, at, &self.packed);
        self.packed.splice(..0, seal);
        self.group.writes.commits.push((whole(head)?, at, std::mem::take(&mut self.packed)));
        Ok(())
    }

    fn publish(&mut self, kind: Kind, subject: u64, version: u64) -> u64 {
        feed_form::encode(&mut self.packed, kind, subject, version);
        let head = &mut self.group.known.position.head;
        *head += 1;
        *head
    }

    /// The position of the next change. Where that is no first write, no record and no thread has it as its ordinal.
    fn position(&self) -> u64 {
        self.group.known.position.head + 1
    }

    fn change(&mut self, change: &'a PastChange) -> Result<()> {
        match change {
            PastChange::Written(write) => return self.write(write),
            PastChange::Embedded { id, version, embedding } => return self.embed(id, *version, embedding.as_ref()),
            PastChange::Deleted { id, version } => return self.delete(id, *version),
            PastChange::Appended(entry) => {
                let position = &mut self.group.known.position;
                repeating::check_entry((Sequence(position.sequence), position.tail), entry)?;
                (position.sequence, position.tail) = (entry.sequence.0, entry.hash);
                self.beside.entries.push(entry);
                self.publish(Kind::Appended, entry.sequence.0, 0);
            }
            PastChange::EventErased(sequence) => {
                self.beside.blanked.push(whole(sequence.0)?);
                self.publish(Kind::EventErased, sequence.0, 0);
            }
            PastChange::Slots { thread_id, version, slots } => return self.slots(thread_id, *version, slots),
            PastChange::SlotsErased(version) => {
                let nobody = self.position();
                self.publish(Kind::Slots, nobody, version.0);
            }
            PastChange::Erased(id) => {
                let nobody = self.position();
                self.publish(Kind::Erased, nobody, 0);
                let name = id.as_ref().map(|id| Ok((whole(nobody)?, id))).transpose()?;
                self.beside.names.extend(name);
            }
        }
        Ok(())
    }

    fn last(&self, id: &RecordId) -> Version {
        self.group.known.lines.get(id).map_or(Version::NONE, |line| Version(line.version))
    }

    fn write(&mut self, write: &'a PastWrite) -> Result<()> {
        repeating::check_follows(&write.id, self.last(&write.id), write.version)?;
        let line = self.group.known.lines.get(&write.id);
        let (ordinal, known) = (line.map_or(self.position(), |line| line.ordinal), line.is_some());
        let seq = whole(self.publish(Kind::Written, ordinal, write.version.0))?;
        self.supersede(&write.id)?;
        let at = whole(ordinal)?;
        let draft = Draft {
            ordinal: at,
            seq: if write.record.is_some() { seq } else { NOWHERE },
            write,
            model: write.embedding.as_ref().map(|made| self.group.model_no(made.model())),
            new: !known || self.group.writes.records.get(&at).is_some_and(|earlier| earlier.new),
        };
        for item in &write.tasks {
            let waiting = OutboxRow {
                task: feed_form::task_text(&item.task),
                ordinal: at,
                version: whole(item.version.0)?,
                since: item.since.as_micros(),
            };
            self.group.writes.outbox.insert(whole(item.id.0)?, waiting);
        }
        let record = write.record.as_ref();
        let line = Line {
            ordinal,
            version: write.version.0,
            created_at: record.map_or(0, |record| record.created_at.as_micros()),
            user: record.and_then(|record| record.user_id.clone()),
            live: record.is_some(),
        };
        self.group.known.lines.insert(write.id.clone(), line);
        if known || record.is_none() {
            self.group.writes.records.insert(at, draft.row()?);
        } else {
            self.drafts.insert(at, draft);
        }
        Ok(())
    }

    /// Makes a row of a draft that is changed after all.
    fn materialize(&mut self, ordinal: i64) -> Result<()> {
        if let Some(draft) = self.drafts.remove(&ordinal) {
            self.group.writes.records.insert(ordinal, draft.row()?);
        }
        Ok(())
    }

    /// Moves the last revision into history, unless there is none to move.
    fn supersede(&mut self, id: &RecordId) -> Result<()> {
        let Some(ordinal) = self.group.known.lines.get(id).map(|line| line.ordinal as i64) else { return Ok(()) };
        self.materialize(ordinal)?;
        let writes = &mut self.group.writes;
        let drafted = writes.records.get(&ordinal).map(|row| row.seq == NOWHERE);
        if drafted.unwrap_or_else(|| self.vacant.remove(&ordinal)) {
            writes.outbox.retain(|_, waiting| waiting.ordinal != ordinal);
            writes.voided.insert(ordinal);
        } else {
            self.group.supersede(id);
        }
        Ok(())
    }

    fn embed(&mut self, id: &RecordId, version: Version, embedding: Option<&Embedding>) -> Result<()> {
        repeating::check_last(id, self.last(id), version)?;
        let ordinal = self.group.known.lines.get(id).map_or(0, |line| line.ordinal);
        self.publish(Kind::Embedded, ordinal, version.0);
        if let Some(embedding) = embedding {
            let vector = Vector::of(self.group.model_no(embedding.model()), embedding);
            let at = whole(ordinal)?;
            self.materialize(at)?;
            let writes = &mut self.group.writes;
            match writes.records.get_mut(&at) {
                Some(row) => row.vector = Some(vector),
                None => drop(writes.vectors.insert(at, vector)),
            }
        }
        Ok(())
    }

    fn delete(&mut self, id: &RecordId, version: Version) -> Result<()> {
        repeating::check_last(id, self.last(id), version)?;
        self.supersede(id)?;
        let Some(line) = self.group.known.lines.get_mut(id) else { return Ok(()) };
        line.live = false;
        let (ordinal, created_at, user) = (line.ordinal, line.created_at, line.user.clone());
        let at = whole(ordinal)?;
        let seq = whole(self.publish(Kind::Deleted, ordinal, version.0))?;
        let row = RecordRow {
            ordinal: at,
            id: id.clone(),
            version: whole(version.0)?,
            seq,
            created_at,
            user,
            held: None,
            vector: None,
            new: self.group.writes.records.get(&at).is_some_and(|earlier| earlier.new),
        };
        self.group.writes.records.insert(at, row);
        Ok(())
    }

    fn slots(&mut self, thread: &ThreadId, version: Version, slots: &Slots) -> Result<()> {
        let ordinal = self.group.known.slots.get(thread).map_or(self.position(), |held| held.ordinal);
        let seq = whole(self.publish(Kind::Slots, ordinal, version.0))?;
        let at = whole(ordinal)?;
        let count = i32::try_from(slots.len()).unwrap_or(i32::MAX);
        self.group.writes.slot_threads.insert(at, (thread.clone(), count));
        self.group.writes.slot_revisions.push((at, seq, whole(version.0)?, stored::pack_slots(slots)?));
        let held = Held { ordinal, version, slots: slots.clone() };
        self.group.known.slots.insert(thread.clone(), held);
        Ok(())
    }

    /// Writes what is made here, and what goes beside the rows of an ordinary commit.
    async fn beside(self, transaction: &Transaction) -> Result<()> {
        let drafts: Vec<Draft<'_>> = self.drafts.into_values().collect();
        draft::insert(transaction, &std::mem::take(&mut self.group.writes.models), &drafts).await?;
        let Beside { entries, blanked, names } = self.beside;
        insert_entries(transaction, &entries).await?;
        let (at, ids): (Vec<i64>, Vec<&str>) = names.iter().map(|(at, id)| (*at, id.as_str())).unzip();
        let mut queries = Vec::new();
        if !blanked.is_empty() {
            queries.push(Query::new(BLANK_EVENTS).bind(&blanked, Type::INT8_ARRAY));
        }
        if !ids.is_empty() {
            queries.push(Query::new(KEEP_NAMES).bind(&at, Type::INT8_ARRAY).bind(&ids, Type::TEXT_ARRAY));
        }
        if queries.is_empty() { Ok(()) } else { transaction.run(&queries).await.map(drop) }
    }
}

/// Adds entries of the chain as they are, erased ones too.
async fn insert_entries(transaction: &Transaction, entries: &[&ChainedEvent]) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let sequences = entries.iter().map(|entry| whole(entry.sequence.0)).collect::<Result<Vec<i64>>>()?;
    let times: Vec<i64> = entries.iter().map(|entry| entry.recorded_at.as_micros()).collect();
    let events: Vec<Option<&AuditEvent>> = entries.iter().map(|entry| entry.event.as_ref()).collect();
    let ids: Vec<Option<&str>> = events.iter().map(|event| Some((*event)?.event_id.as_str())).collect();
    let threads: Vec<Option<&str>> = events.iter().map(|event| Some((*event)?.thread_id.as_str())).collect();
    let users: Vec<Option<&str>> =
        events.iter().map(|event| (*event)?.user_id.as_ref().map(mnemic_core::UserId::as_str)).collect();
    let bodies = events.iter().map(|event| event.map(stored::pack_event).transpose());
    let bodies = bodies.collect::<Result<Vec<Option<Vec<u8>>>>>()?;
    let salts: Vec<Option<Vec<u8>>> = entries.iter().map(|entry| entry.salt.map(|salt| salt.0.to_vec())).collect();
    let commitments: Vec<&[u8]> = entries.iter().map(|entry| &entry.commitment.0[..]).collect();
    let previous: Vec<&[u8]> = entries.iter().map(|entry| &entry.previous.0[..]).collect();
    let hashes: Vec<&[u8]> = entries.iter().map(|entry| &entry.hash.0[..]).collect();
    let insert = Query::new(INSERT_EVENTS)
        .bind(&sequences, Type::INT8_ARRAY)
        .bind(&times, Type::INT8_ARRAY)
        .bind(&ids, Type::TEXT_ARRAY)
        .bind(&threads, Type::TEXT_ARRAY)
        .bind(&users, Type::TEXT_ARRAY)
        .bind(&bodies, Type::BYTEA_ARRAY)
        .bind(&salts, Type::BYTEA_ARRAY)
        .bind(&commitments, Type::BYTEA_ARRAY)
        .bind(&previous, Type::BYTEA_ARRAY)
        .bind(&hashes, Type::BYTEA_ARRAY);
    transaction.run(&[insert]).await.map(drop)
}
