//! A text that was read: its words, and the language that each is stemmed by. Reading a text needs nothing but the text, so many are read
//! at once, and before anything is locked. Not here: stems (`language`), terms (`lexicon`).

use std::{
    sync::LazyLock,
    thread::{self, available_parallelism},
};

use super::{
    language::{Language, Languages},
    scan::{Mode, Scan},
};

/// Texts below which another thread costs more than it gains.
const PER_THREAD: usize = 32;

static THREADS: LazyLock<usize> = LazyLock::new(|| available_parallelism().map_or(1, usize::from));

/// A record's text as it is indexed.
#[derive(Debug)]
pub(crate) struct Reading {
    scan: Scan,
    languages: Languages,
}

/// One token of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word<'r> {
    pub(crate) language: Language,
    pub(crate) text: &'r str,
    /// A second reading of characters that another word covers already; it does not add to the length of the text.
    pub(crate) extra: bool,
}

impl Reading {
    pub(crate) fn of(text: &str) -> Self {
        let mut scan = Scan::default();
        scan.read(text, Mode::Record);
        let languages = scan.languages();
        Self { scan, languages }
    }

    /// The tokens, in text order.
    pub(crate) fn words(&self) -> impl Iterator<Item = Word<'_>> {
        self.scan.tokens().iter().map(|token| Word {
            language: self.languages.for_script(token.script),
            text: self.scan.word(*token),
            extra: token.extra,
        })
    }
}

/// Reads texts, on every processor where they are many. An entry is `None` where there is no text.
pub(crate) fn read_all(texts: &[Option<&str>]) -> Vec<Option<Reading>> {
    let threads = (*THREADS).min(texts.len() / PER_THREAD);
    if threads < 2 {
        return read_some(texts);
    }
    thread::scope(|scope| {
        let mut parts = texts.chunks(texts.len().div_ceil(threads));
        let own = parts.next().unwrap_or_default();
        let begin = |part| (part, thread::Builder::new().spawn_scoped(scope, move || read_some(part)).ok());
        let others: Vec<_> = parts.map(begin).collect();
        let mut all = read_some(own);
        for (part, other) in others {
            // Where there is no thread to be had, or one failed, this one does it.
            all.extend(other.and_then(|other| other.join().ok()).unwrap_or_else(|| read_some(part)));
        }
        all
    })
}

fn read_some(texts: &[Option<&str>]) -> Vec<Option<Reading>> {
    texts.iter().map(|text| text.map(Reading::of)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_texts_are_read_as_one_is_and_stay_in_their_places() {
        let texts: Vec<String> =
            (0..1000).map(|n| format!("Документ {n} of the café-owner, naïve №{n} 東京")).collect();
        let asked: Vec<Option<&str>> =
            texts.iter().enumerate().map(|(n, text)| (n % 7 != 0).then_some(text.as_str())).collect();
        let all = read_all(&asked);
        assert_eq!(all.len(), asked.len());
        for (text, reading) in asked.iter().zip(&all) {
            let (Some(text), Some(reading)) = (text, reading) else {
                assert!(text.is_none() && reading.is_none());
                continue;
            };
            assert!(reading.words().count() > 5);
            assert!(reading.words().eq(Reading::of(text).words()));
        }
    }
}
