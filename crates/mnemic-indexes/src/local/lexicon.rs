//! Terms and their numbers. Not here: which rows hold a term (`postings`).

use std::collections::HashMap;

use crate::analyze::Language;

/// The number of a term in one namespace.
pub(crate) type TermId = u32;

/// Words remembered with their terms, so that most words are stemmed once. Beyond this the memory starts anew.
const REMEMBERED_WORDS: usize = 1 << 17;

/// The terms of one namespace. A term is a language's mark followed by a stem.
#[derive(Debug, Default)]
pub(crate) struct Lexicon {
    terms: HashMap<Box<str>, TermId>,
    /// From a mark and a whole word to its term.
    words: HashMap<Box<str>, TermId>,
    key: String,
    stem: String,
}

impl Lexicon {
    /// The term of a word, made if it is new.
    pub(crate) fn intern(&mut self, language: Language, word: &str) -> TermId {
        self.key.clear();
        self.key.push(language.mark());
        self.key.push_str(word);
        if let Some(term) = self.words.get(self.key.as_str()) {
            return *term;
        }
        self.stem.clear();
        self.stem.push(language.mark());
        language.stem_into(word, &mut self.stem);
        let next = self.terms.len() as TermId;
        let term = self.terms.get(self.stem.as_str()).copied().unwrap_or(next);
        if term == next {
            self.terms.insert(self.stem.as_str().into(), next);
        }
        if self.words.len() >= REMEMBERED_WORDS {
            self.words.clear();
        }
        self.words.insert(self.key.as_str().into(), term);
        term
    }

    /// The term of a word, if any row ever held it.
    pub(crate) fn find(&self, language: Language, word: &str, scratch: &mut String) -> Option<TermId> {
        scratch.clear();
        scratch.push(language.mark());
        let mark = scratch.len();
        scratch.push_str(word);
        if let Some(term) = self.words.get(scratch.as_str()) {
            return Some(*term);
        }
        scratch.truncate(mark);
        language.stem_into(word, scratch);
        self.terms.get(scratch.as_str()).copied()
    }

    /// How many terms there are.
    pub(crate) fn len(&self) -> usize {
        self.terms.len()
    }

    /// Every term by number.
    pub(crate) fn by_number(&self) -> Vec<&str> {
        let mut terms = vec![""; self.terms.len()];
        // The order of visits does not matter: each term goes to the place of its number.
        #[expect(clippy::iter_over_hash_type, reason = "each entry is written to its own place")]
        for (term, number) in &self.terms {
            if let Some(place) = terms.get_mut(*number as usize) {
                *place = term;
            }
        }
        terms
    }

    /// A lexicon of these terms, numbered in order; `None` if one occurs twice.
    pub(crate) fn from_terms(terms: Vec<Box<str>>) -> Option<Self> {
        let expected = terms.len();
        let terms: HashMap<Box<str>, TermId> = terms.into_iter().zip(0..).collect();
        (terms.len() == expected).then(|| Self { terms, ..Self::default() })
    }

    /// Bytes of memory, estimated.
    pub(crate) fn bytes(&self) -> u64 {
        ((self.terms.len() + self.words.len()) * 48) as u64
    }
}
