//! Records, their history and their embeddings in memory. Not here: changing them (`commit`, `erase`).

use mnemic_core::{
    ChangeSeq, Embedding, Filter, MemoryRecord, Page, PageRequest, RecordId, Result, Revision, RevisionKind,
    StoredRecord, Version,
    ports::{Embeddings, Read},
};

use super::Memory;
use crate::rules;

/// Everything that one id ever was.
#[derive(Default)]
pub(super) struct Line {
    /// The record's place in the order of first insertion.
    pub(super) ordinal: u64,
    /// Oldest first, each with the position of the change that made it.
    pub(super) revisions: Vec<(ChangeSeq, Revision)>,
    /// Of the last revision only.
    pub(super) embedding: Option<Embedding>,
}

impl Line {
    /// What the record was after the change at `position`.
    pub(super) fn at(&self, position: ChangeSeq) -> Option<&MemoryRecord> {
        let (_, revision) = self.revisions.iter().rev().find(|(seq, _)| *seq <= position)?;
        match &revision.what {
            RevisionKind::Written(record) => Some(record),
            RevisionKind::Deleted(_) => None,
        }
    }

    /// What the record is.
    pub(super) fn current(&self) -> Option<&MemoryRecord> {
        self.at(ChangeSeq(u64::MAX))
    }

    /// Every revision that holds a record.
    pub(super) fn written(&self) -> impl Iterator<Item = &MemoryRecord> {
        self.revisions.iter().filter_map(|(_, revision)| match &revision.what {
            RevisionKind::Written(record) => Some(&**record),
            RevisionKind::Deleted(_) => None,
        })
    }

    /// The version of the last revision, also if that one was deleted since.
    pub(super) fn last_version(&self) -> Version {
        self.revisions.last().map_or(Version::NONE, |(_, revision)| match &revision.what {
            RevisionKind::Written(record) => record.version,
            RevisionKind::Deleted(version) => *version,
        })
    }

    fn stored(&self, position: ChangeSeq, embeddings: Embeddings) -> Option<StoredRecord> {
        let embedding = match embeddings {
            Embeddings::Include => self.embedding.clone(),
            Embeddings::Omit => None,
        };
        self.at(position).map(|record| StoredRecord { record: record.clone(), embedding })
    }
}

impl Memory {
    /// The version that preconditions are compared with: absent and deleted are the same.
    pub(super) fn version(&self, id: &RecordId) -> Version {
        self.records.get(id).and_then(Line::current).map_or(Version::NONE, |record| record.version)
    }

    pub(super) fn fetch(&self, ids: &[RecordId], read: Read) -> Vec<Option<StoredRecord>> {
        let position = self.position(read.as_of);
        ids.iter().map(|id| self.records.get(id).and_then(|line| line.stored(position, read.embeddings))).collect()
    }

    pub(super) fn scan(&self, filter: &Filter, read: Read, page: &PageRequest) -> Result<Page<StoredRecord>> {
        let position = self.position(read.as_of);
        let lines = self.order.iter().filter_map(|(ordinal, id)| Some((*ordinal, self.records.get(id)?)));
        let passing = lines.filter(|(_, line)| line.at(position).is_some_and(|record| filter.matches(record)));
        let stored = passing.filter_map(|(ordinal, line)| Some((ordinal, line.stored(position, read.embeddings)?)));
        rules::walk(stored, rules::cursor(page)?, page)
    }

    pub(super) fn history(&self, id: &RecordId) -> Vec<Revision> {
        let revisions = self.records.get(id).map(|line| line.revisions.iter().rev());
        revisions.into_iter().flatten().map(|(_, revision)| revision.clone()).collect()
    }
}
