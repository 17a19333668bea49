//! Texts and queries as terms. Not here: how a text is cut and stemmed (`analyze`), and what a term is worth (`bm25`).

use std::collections::BTreeMap;

use mnemic_core::Result;
use mnemic_postgres::{Answer, corrupted};

use crate::{
    analyze::{Language, Mode, QUERY_WORDS, Scan, words_of_query},
    bm25::Bm25,
    postgres::{column, count},
};

/// What is stored of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    /// Each term and how often the text holds it. A term is a language's mark followed by a stem.
    pub(super) counts: BTreeMap<String, u16>,
    /// Words, each counted once.
    pub(super) length: u32,
    /// Bit n is set if a word was stemmed by language n.
    pub(super) languages: u64,
}

impl Terms {
    /// Those of a text.
    pub(super) fn of(text: &str, scan: &mut Scan) -> Self {
        scan.read(text, Mode::Record);
        let languages = scan.languages();
        let mut terms = Self::default();
        for token in scan.tokens() {
            let language = languages.for_script(token.script);
            terms.languages |= 1 << language as u8;
            let held = terms.counts.entry(term(language, scan.word(*token))).or_default();
            *held = held.saturating_add(1);
            terms.length += u32::from(!token.extra);
        }
        terms
    }

    /// The names of its languages.
    pub(super) fn language_names(&self) -> Vec<String> {
        Language::all().filter(|language| self.languages & (1 << *language as u8) != 0).map(Language::name).collect()
    }
}

fn term(language: Language, word: &str) -> String {
    let mut term = String::with_capacity(word.len() + 1);
    term.push(language.mark());
    language.stem_into(word, &mut term);
    term
}

/// A word of a query: its terms in every language that a text was stemmed by.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    pub(super) readings: Vec<String>,
    times: u16,
    /// Documents that hold one of them. One document holds one at most, because a text has one language per script.
    pub(super) documents: u64,
    /// What it is worth; no document gains more by it.
    pub(super) weight: f32,
}

/// The words of a query, in the order in which their gains are added.
pub(super) fn words(query: &str, languages: u64) -> Vec<Word> {
    let mut scan = Scan::default();
    let word = |(word, script, times)| {
        let mut readings: Vec<String> =
            Language::readings(script, languages).map(|language| term(language, word)).collect();
        readings.sort_unstable();
        readings.dedup();
        Word { readings, times, documents: 0, weight: 0.0 }
    };
    words_of_query(&mut scan, query).into_iter().map(word).collect()
}

/// Keeps the words that a document holds, with what they are worth.
pub(super) fn weighed(words: Vec<Word>, frequencies: &Answer, bm25: &Bm25) -> Result<Vec<Word>> {
    let mut held = BTreeMap::new();
    for row in &frequencies.rows {
        held.insert(column::<String>(row, 0)?, count(row, 1)?);
    }
    let mut kept = Vec::new();
    for mut word in words {
        word.readings.retain(|term| held.contains_key(term));
        word.documents = word.readings.iter().filter_map(|term| held.get(term)).sum();
        if word.documents > 0 {
            word.weight = bm25.weight(word.documents as f64, word.times);
            kept.push(word);
        }
        if kept.len() == QUERY_WORDS {
            break;
        }
    }
    Ok(kept)
}

/// A stored count or length.
pub(super) fn small<T: TryFrom<i32>>(found: i32) -> Result<T> {
    T::try_from(found).map_err(|_out_of_range| corrupted("a count of words is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_its_stems_with_their_language() {
        let terms = Terms::of("Hearings and a hearing; слушания", &mut Scan::default());
        let counts: Vec<(&str, u16)> = terms.counts.iter().map(|(term, count)| (term.as_str(), *count)).collect();
        let mark = |language: Language| language.mark().to_string();
        assert!(counts.contains(&((mark(Language::English) + "hear").as_str(), 2)), "{counts:?}");
        assert!(counts.iter().any(|(term, _)| term.starts_with(Language::Russian.mark())), "{counts:?}");
        assert_eq!(terms.length, 5);
        assert_eq!(terms.language_names(), ["english", "russian"]);
    }

    #[test]
    fn a_word_is_read_in_the_languages_that_texts_are_in() {
        let english = 1 << Language::English as u8;
        let german = 1 << Language::German as u8;
        assert_eq!(words("hearings", english).first().unwrap().readings.len(), 1);
        assert_eq!(words("hearings", english | german).first().unwrap().readings.len(), 2);
        assert_eq!(words("hearings", 0).first().unwrap().readings, Vec::<String>::new());
        assert_eq!(words("", english), []);
    }
}
