//! BM25 over the texts of all rows: postings that grow by appending, and statistics that are exact at all times. Not here: how texts
//! become tokens (`analyze`).
//!
//! A row that is removed leaves its postings behind until `compact`; its ordinal is dead, so they can name no other row. What scores
//! depend on (how many rows hold a term, how long all texts are together) is adjusted at once, so an index that was fed change by change
//! scores bit for bit like one built from the final state.

use std::cell::RefCell;

use roaring::RoaringBitmap;

use super::{
    lexicon::{Lexicon, TermId},
    rows::{Ordinal, Rows},
    top::Top,
};
use crate::{
    analyze::{Language, QUERY_WORDS, Reading, Scan, words_of_query},
    bm25::{Bm25, Bm25Config},
};

/// The rows that hold one term, in ordinal order.
#[derive(Debug, Default)]
pub(crate) struct Postings {
    pub(crate) rows: Vec<Ordinal>,
    /// How often, side by side with `rows`. Saturates, which no score can tell.
    pub(crate) counts: Vec<u16>,
    /// Living rows among them.
    pub(crate) live: u32,
}

/// The lexical half of one namespace's index.
#[derive(Debug, Default)]
pub(crate) struct TextIndex {
    pub(crate) lexicon: Lexicon,
    pub(crate) postings: Vec<Postings>,
    /// Tokens of each row's text.
    pub(crate) lengths: Vec<u32>,
    /// Tokens of all living rows.
    pub(crate) total_length: u64,
    /// Bit n is set if a row was stemmed by language n.
    languages: u64,
    terms: Vec<TermId>,
}

thread_local! {
    /// One score per row, used again by the next search of the thread. Zero everywhere between searches.
    static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl TextIndex {
    /// Adds the text of a new row, whose ordinal is higher than every one before.
    pub(crate) fn add(&mut self, row: Ordinal, text: &Reading) {
        let length = self.take_in(text);
        while self.lengths.len() <= row as usize {
            self.lengths.push(0);
        }
        if let Some(place) = self.lengths.get_mut(row as usize) {
            *place = length;
        }
        self.total_length += u64::from(length);
        if self.postings.len() < self.lexicon.len() {
            self.postings.resize_with(self.lexicon.len(), Postings::default);
        }
        for run in self.terms.chunk_by(|a, b| a == b) {
            if let Some(postings) = run.first().and_then(|term| self.postings.get_mut(*term as usize)) {
                postings.rows.push(row);
                postings.counts.push(u16::try_from(run.len()).unwrap_or(u16::MAX));
                postings.live += 1;
            }
        }
    }

    /// Takes a row's text out of the statistics. Reading depends on nothing but the text, so it finds the terms that `add` found.
    pub(crate) fn remove(&mut self, row: Ordinal, text: &Reading) {
        self.take_in(text);
        let length = self.lengths.get(row as usize).copied().unwrap_or(0);
        self.total_length = self.total_length.saturating_sub(u64::from(length));
        self.terms.dedup();
        for term in &self.terms {
            if let Some(postings) = self.postings.get_mut(*term as usize) {
                postings.live = postings.live.saturating_sub(1);
            }
        }
    }

    /// Fills `self.terms` with the sorted terms of a text and returns its length.
    fn take_in(&mut self, text: &Reading) -> u32 {
        self.terms.clear();
        let mut length = 0;
        for word in text.words() {
            self.languages |= 1 << word.language as u8;
            self.terms.push(self.lexicon.intern(word.language, word.text));
            length += u32::from(!word.extra);
        }
        self.terms.sort_unstable();
        length
    }

    /// Takes over new ordinals, and drops dead rows' postings and terms that no row holds any more.
    pub(crate) fn compact(&mut self, moved: &[Option<Ordinal>]) {
        let mut lengths = Vec::with_capacity(moved.len());
        lengths.extend(moved.iter().zip(&self.lengths).filter_map(|(to, length)| to.map(|_| *length)));
        self.lengths = lengths;
        let names: Vec<Box<str>> = self.lexicon.by_number().into_iter().map(Into::into).collect();
        let mut kept = Vec::new();
        let mut terms = Vec::new();
        for (postings, name) in std::mem::take(&mut self.postings).into_iter().zip(names) {
            if postings.live > 0 {
                kept.push(postings.moved(moved));
                terms.push(name);
            }
        }
        self.postings = kept;
        // The names come out of a map, so none occurs twice.
        self.lexicon = Lexicon::from_terms(terms).unwrap_or_default();
        self.languages = languages_of(&self.lexicon);
    }

    /// An index of these parts, as a snapshot holds them; `None` if they contradict one another.
    pub(crate) fn from_parts(terms: Vec<Box<str>>, postings: Vec<Postings>, lengths: Vec<u32>) -> Option<Self> {
        let lexicon = Lexicon::from_terms(terms)?;
        let languages = languages_of(&lexicon);
        let total_length = lengths.iter().map(|length| u64::from(*length)).sum();
        Some(Self { lexicon, postings, lengths, total_length, languages, ..Self::default() })
    }

    /// The best rows for a query, among `passed` if given.
    pub(crate) fn search(
        &self,
        query: &str,
        config: Bm25Config,
        passed: Option<&RoaringBitmap>,
        rows: &Rows,
        limit: usize,
    ) -> Vec<(f32, Ordinal)> {
        let words = self.look_up(query);
        if words.is_empty() || limit == 0 {
            return Vec::new();
        }
        SCORES.with_borrow_mut(|scores| {
            if scores.len() < self.lengths.len() {
                scores.resize(self.lengths.len(), 0.0);
            }
            let scores = scores.get_mut(..self.lengths.len()).unwrap_or_default();
            let bm25 = Bm25::new(config, rows.len() as f64, self.total_length);
            for word in &words {
                self.score(word, bm25, scores);
            }
            let mut top = Top::new(limit, rows);
            for (row, score) in (0..).zip(scores.iter()) {
                // Dead rows are weeded out here: only a row that could enter is worth the look.
                if *score > 0.0 && top.admits(*score) && passed.unwrap_or(rows.live()).contains(row) {
                    top.offer(*score, row);
                }
            }
            scores.fill(0.0);
            top.into_sorted()
        })
    }

    /// Adds what one word of the query is worth to the score of each row that holds it.
    fn score(&self, word: &QueryWord, bm25: Bm25, scores: &mut [f32]) {
        let holding: f64 = word.readings.iter().map(|postings| f64::from(postings.live)).sum();
        let weight = bm25.weight(holding, word.times);
        for postings in &word.readings {
            for (row, count) in postings.rows.iter().zip(&postings.counts) {
                let at = *row as usize;
                if let (Some(score), Some(length)) = (scores.get_mut(at), self.lengths.get(at)) {
                    *score += bm25.gain(weight, *count, *length);
                }
            }
        }
    }

    /// The words of a query that any living row holds. Stop words count only if there is nothing else.
    fn look_up(&self, query: &str) -> Vec<QueryWord<'_>> {
        let mut scan = Scan::default();
        let mut scratch = String::new();
        let mut found: Vec<QueryWord<'_>> = Vec::new();
        for (word, script, times) in words_of_query(&mut scan, query) {
            let readings: Vec<&Postings> = Language::readings(script, self.languages)
                .filter_map(|language| self.lexicon.find(language, word, &mut scratch))
                .filter_map(|term| self.postings.get(term as usize))
                .filter(|postings| postings.live > 0)
                .collect();
            if !readings.is_empty() {
                found.push(QueryWord { readings, times });
            }
            if found.len() == QUERY_WORDS {
                break;
            }
        }
        found
    }

    /// Bytes of memory, estimated.
    pub(crate) fn bytes(&self) -> u64 {
        let postings: usize = self.postings.iter().map(|p| size_of::<Postings>() + p.rows.capacity() * 6).sum();
        self.lexicon.bytes() + (postings + self.lengths.capacity() * 4) as u64
    }

    /// Recounts what scores depend on, and tells what disagrees.
    pub(crate) fn faults(&self, live: &RoaringBitmap) -> Vec<String> {
        let mut faults = Vec::new();
        let total: u64 = live.iter().filter_map(|row| self.lengths.get(row as usize)).map(|n| u64::from(*n)).sum();
        if total != self.total_length {
            faults.push(format!("the texts hold {total} words together, not {}", self.total_length));
        }
        let wrong = self
            .postings
            .iter()
            .filter(|p| p.rows.iter().filter(|row| live.contains(**row)).count() != p.live as usize)
            .count();
        if wrong > 0 {
            faults.push(format!("{wrong} terms count their records wrongly"));
        }
        faults
    }
}

/// One word of a query: its postings in each language, and how often the query says it. A row is in one of the readings at most, because
/// a text has one language per script.
#[derive(Debug)]
struct QueryWord<'a> {
    readings: Vec<&'a Postings>,
    times: u16,
}

impl Postings {
    fn moved(self, moved: &[Option<Ordinal>]) -> Self {
        let mut kept = Self::default();
        kept.rows.reserve_exact(self.live as usize);
        kept.counts.reserve_exact(self.live as usize);
        for (row, count) in self.rows.iter().zip(&self.counts) {
            if let Some(Some(to)) = moved.get(*row as usize) {
                kept.rows.push(*to);
                kept.counts.push(*count);
            }
        }
        kept.live = kept.rows.len() as u32;
        kept
    }
}

/// Every language with a term, and [`Language::None`], whose terms need no stemmer.
fn languages_of(lexicon: &Lexicon) -> u64 {
    lexicon
        .by_number()
        .iter()
        .filter_map(|term| term.bytes().next())
        .fold(0, |languages, mark| languages | 1u64 << (mark.wrapping_sub(b'@') & 63))
}
