//! Everything that one namespace's index holds, and how a change moves it. Not here: sharing it between tasks (`shards`), files
//! (`snapshot`).

use mnemic_core::{
    ChangeSeq, Cursor, Embedding, EmbeddingModel, Error, Filter, Order, Page, PageRequest, Result, StoredRecord,
    ports::{IndexChange, IndexHit, IndexReport, IndexedId},
};
use roaring::RoaringBitmap;

use super::{
    dense::DenseIndex,
    filter::{Compiler, Times},
    labels::Labels,
    postings::TextIndex,
    rows::{Ordinal, Row, Rows},
    unread::{Readings, Unread},
};
use crate::{Bm25Config, analyze::Reading};

/// Dead rows that are not worth a compaction.
const DEAD_ROWS: usize = 1024;

/// One namespace's index.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) position: ChangeSeq,
    pub(crate) rows: Rows,
    pub(crate) text: TextIndex,
    pub(crate) dense: DenseIndex,
    labels: Labels,
    times: Times,
    /// Counts changes of this value, so that an unchanged one is not written again.
    pub(crate) revision: u64,
}

impl State {
    /// A state of these parts, as a snapshot holds them.
    pub(crate) fn from_parts(position: ChangeSeq, rows: Rows, text: TextIndex, dense: DenseIndex) -> Self {
        let mut state = Self { position, rows, text, dense, ..Self::default() };
        for (ordinal, row) in state.rows.iter() {
            state.labels.insert(ordinal, row);
            state.times.insert(ordinal, row);
        }
        state
    }

    /// Whether nothing would be lost with it.
    pub(crate) fn is_blank(&self) -> bool {
        self.position == ChangeSeq::default() && self.rows.len() == 0 && self.dense.model().is_none()
    }

    /// Fixes the model.
    pub(crate) fn prepare(&mut self, model: &EmbeddingModel) -> Result<()> {
        if self.dense.model() != Some(model) {
            self.dense.adopt(model)?;
            self.revision += 1;
        }
        Ok(())
    }

    /// Refuses changes with embeddings of another model than the one known, before any of them is applied.
    pub(crate) fn check_models(&self, changes: &[IndexChange]) -> Result<()> {
        let mut known = self.dense.model();
        let records = changes.iter().filter(|change| change.seq > self.position).filter_map(|c| c.record.as_ref());
        for embedding in records.filter_map(|stored| stored.embedding.as_ref()) {
            known.unwrap_or(embedding.model()).check_same(embedding.model())?;
            known = Some(embedding.model());
        }
        Ok(())
    }

    /// The texts that have to be read to apply each change, as far as can be told before those ahead of it are applied.
    pub(crate) fn unread<'c>(&self, changes: &'c [IndexChange]) -> Vec<Unread<'c>> {
        let texts = |change: &'c IndexChange| {
            if change.seq <= self.position {
                return Unread::default();
            }
            let held = self.rows.find(change.id.as_str()).and_then(|ordinal| self.rows.get(ordinal));
            let new = change.record.as_ref().map(|stored| &stored.record);
            if new.is_some_and(|new| held.is_some_and(|held| *held == Row::new(new))) {
                return Unread::default();
            }
            Unread { new: new.map(|new| new.text.as_str()), old: held.map(|held| held.text.clone()) }
        };
        changes.iter().map(texts).collect()
    }

    /// Applies those of the changes that are new. Does not move `position`. A text that was not read before is read now.
    pub(crate) fn apply(&mut self, changes: &[IndexChange], readings: Vec<Readings>) -> Result<()> {
        let position = self.position;
        for (change, readings) in changes.iter().zip(readings).filter(|(change, _)| change.seq > position) {
            match &change.record {
                Some(stored) => self.put(stored, readings)?,
                None => {
                    if let Some(ordinal) = self.rows.find(change.id.as_str()) {
                        self.remove(ordinal, readings.old);
                    }
                }
            }
            self.revision += 1;
        }
        let dead = self.rows.space() - self.rows.len();
        if dead > DEAD_ROWS && dead > self.rows.len() / 2 {
            self.compact();
        }
        Ok(())
    }

    /// Moves `position` forward.
    pub(crate) fn advance(&mut self, through: ChangeSeq) {
        if through > self.position {
            self.position = through;
            self.revision += 1;
        }
    }

    fn put(&mut self, stored: &StoredRecord, readings: Readings) -> Result<()> {
        let row = Row::new(&stored.record);
        let held = self.rows.find(row.id.as_str());
        let ordinal = match held {
            // Only the embedding can be new: the usual case when it arrives after its record.
            Some(ordinal) if self.rows.get(ordinal) == Some(&row) => ordinal,
            _ => {
                if let Some(old) = held {
                    self.remove(old, readings.old);
                }
                let reading = readings.new.unwrap_or_else(|| Reading::of(&row.text));
                self.insert(row, &reading)
            }
        };
        match &stored.embedding {
            Some(embedding) => {
                if self.dense.model().is_none() {
                    self.dense.adopt(embedding.model())?;
                }
                self.dense.check(embedding.model())?;
                if !self.dense.set(ordinal, embedding.components()) {
                    return Err(Error::bug("an embedding has no direction"));
                }
            }
            None => self.dense.remove(ordinal),
        }
        Ok(())
    }

    fn insert(&mut self, row: Row, reading: &Reading) -> Ordinal {
        let ordinal = self.rows.push(row);
        if let Some(row) = self.rows.get(ordinal) {
            self.labels.insert(ordinal, row);
            self.times.insert(ordinal, row);
            self.text.add(ordinal, reading);
        }
        ordinal
    }

    fn remove(&mut self, ordinal: Ordinal, reading: Option<(Box<str>, Reading)>) {
        if let Some(row) = self.rows.remove(ordinal) {
            // Unless a change ahead of this one gave it another text.
            let reading = reading.filter(|(text, _)| *text == row.text);
            let reading = reading.map_or_else(|| Reading::of(&row.text), |(_, reading)| reading);
            self.labels.remove(ordinal, &row);
            self.times.each(|column| column.remove(ordinal));
            self.text.remove(ordinal, &reading);
            self.dense.remove(ordinal);
        }
    }

    /// Gives the living rows new ordinals without gaps.
    pub(crate) fn compact(&mut self) {
        if self.rows.space() == self.rows.len() {
            return;
        }
        let moved = self.rows.compact();
        self.text.compact(&moved);
        self.dense.compact(&moved);
        self.times.each(|column| column.compact(&moved));
        self.labels = Labels::default();
        for (ordinal, row) in self.rows.iter() {
            self.labels.insert(ordinal, row);
        }
    }

    fn compiler(&self) -> Compiler<'_> {
        Compiler { rows: &self.rows, labels: &self.labels, times: &self.times }
    }

    /// The rows that pass, or `None` if all do.
    pub(crate) fn passed(&self, filter: &Filter) -> Option<RoaringBitmap> {
        self.compiler().compile(filter)
    }

    /// Whether a search is likely to take about a millisecond or longer.
    pub(crate) fn is_long(&self, filter: &Filter, steps_per_row: usize) -> bool {
        let steps = if self.compiler().walks_rows(filter) { steps_per_row + 256 } else { steps_per_row };
        self.rows.len() * steps > 1 << 21
    }

    pub(crate) fn search_dense(&self, vector: &Embedding, filter: &Filter, limit: usize) -> Result<Vec<IndexHit>> {
        self.dense.check(vector.model())?;
        let passed = self.passed(filter);
        let limit = limit.min(self.rows.len());
        Ok(self.hits(self.dense.search(vector, passed.as_ref(), &self.rows, limit)))
    }

    pub(crate) fn search_text(&self, query: &str, config: Bm25Config, filter: &Filter, limit: usize) -> Vec<IndexHit> {
        let passed = self.passed(filter);
        let limit = limit.min(self.rows.len());
        self.hits(self.text.search(query, config, passed.as_ref(), &self.rows, limit))
    }

    fn hits(&self, found: Vec<(f32, Ordinal)>) -> Vec<IndexHit> {
        let hit = |(score, ordinal): (f32, Ordinal)| {
            self.rows.get(ordinal).map(|row| IndexHit { id: row.id.clone(), version: row.version, score })
        };
        found.into_iter().filter_map(hit).collect()
    }

    pub(crate) fn ids(&self, page: &PageRequest) -> Page<IndexedId> {
        let cursor = page.after.as_ref().map(|cursor| cursor.0.as_str());
        let mut items: Vec<IndexedId> = match page.order {
            Order::Oldest => self.listed(self.rows.after(cursor), page.limit() + 1),
            Order::Newest => self.listed(self.rows.before(cursor), page.limit() + 1),
        };
        let more = items.len() > page.limit();
        items.truncate(page.limit());
        let next = items.last().filter(|_| more).map(|last| Cursor(last.id.as_str().to_owned()));
        Page { items, next }
    }

    fn listed<'a>(&self, rows: impl Iterator<Item = &'a Row>, most: usize) -> Vec<IndexedId> {
        let entry = |row: &Row| {
            let embedded = self.rows.find(row.id.as_str()).is_some_and(|at| self.dense.held().contains(at));
            IndexedId { id: row.id.clone(), version: row.version, embedded }
        };
        rows.take(most).map(entry).collect()
    }

    pub(crate) fn report(&self) -> IndexReport {
        let mut faults = self.text.faults(self.rows.live());
        if self.rows.live().len() != self.rows.len() as u64 {
            faults.push(format!("{} rows hold {} records", self.rows.live().len(), self.rows.len()));
        }
        if !self.dense.held().is_subset(self.rows.live()) {
            faults.push("an embedding belongs to no record".to_owned());
        }
        IndexReport {
            records: self.rows.len() as u64,
            embeddings: self.dense.held().len(),
            bytes: self.rows.bytes()
                + self.labels.bytes()
                + self.times.bytes()
                + self.text.bytes()
                + self.dense.bytes(),
            faults,
        }
    }
}
