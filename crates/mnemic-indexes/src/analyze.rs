//! Text analysis: from any text to the tokens that are looked up. Not here: the lookup (`postings`).
//!
//! A record's words are stemmed by the record's language, which is detected per script. A query's language is never detected: each of
//! its words is stemmed once for every language of its script that the namespace holds, and each reading matches only records of
//! that language. So a wrong guess about a record's language can cost the match between two inflections, but never the match of a
//! word with itself, and no guess is made about a query at all.

mod language;
mod normal;
mod reading;
mod scan;
mod script;
mod stop_words;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

pub(crate) use language::Language;
pub(crate) use reading::{Reading, read_all};
pub(crate) use scan::{Mode, Scan};
pub(crate) use script::Script;
use stop_words::is_stop_word;

/// Distinct words of one query that are looked up; a question has dozens, and more are only a way of asking for work.
pub(crate) const QUERY_WORDS: usize = 1024;

/// The distinct words of a query, in an order that depends on nothing but the query, and how often it says each. Stop words count only
/// if there is nothing else.
pub(crate) fn words_of_query<'a>(scan: &'a mut Scan, query: &str) -> Vec<(&'a str, Script, u16)> {
    scan.read(query, Mode::Query);
    let mut words: Vec<(&str, Script)> = scan.tokens().iter().map(|token| (scan.word(*token), token.script)).collect();
    if words.iter().any(|(word, _)| !is_stop_word(word)) {
        words.retain(|(word, _)| !is_stop_word(word));
    }
    words.sort_unstable_by_key(|(word, script)| (*word, *script as u8));
    let counted = |run: &[(&'a str, Script)]| {
        run.first().map(|(word, script)| (*word, *script, u16::try_from(run.len()).unwrap_or(u16::MAX)))
    };
    words.chunk_by(|a, b| a == b).filter_map(counted).collect()
}

/// A number that changes whenever the analysis does, so that a snapshot of another analysis is not mistaken for a current one.
pub(crate) fn fingerprint() -> u32 {
    static FINGERPRINT: LazyLock<u32> = LazyLock::new(take_fingerprint);
    *FINGERPRINT
}

fn take_fingerprint() -> u32 {
    const PROBES: [&str; 8] = [
        "Caroline's I-485 was filed on 2026-03-15; e-mail john.smith@example.com about user_id b2b and the hearings, don't wait",
        "Документы поданы, свидетельства ёлок ждём: рассмотрение ходатайств и слушания по делу",
        "Заяви їхніх громадян розглянуто; Љубав према домовини",
        "Die Häuser der Nachbarn wurden gestern von den Handwerkern gestrichen, nachdem sie lange leer gestanden hatten",
        "Les avions de l'entreprise étaient retardés parce que les contrôleurs faisaient grève depuis plusieurs semaines",
        "Los documentos fueron presentados por las abogadas después de que los jueces rechazaran nuestras peticiones",
        "東京タワーへ行きました。 서울에서 만났습니다 สวัสดีครับ",
        "οι άνθρωποι των πόλεων المحامون والمحكمة کتاب‌های դատարանները कानूनी दस्तावेज़ ஆவணங்கள்",
    ];
    let mut hasher = crc32fast::Hasher::new();
    let mut key = String::new();
    for probe in PROBES {
        for word in Reading::of(probe).words() {
            key.clear();
            key.push(word.language.mark());
            word.language.stem_into(word.text, &mut key);
            hasher.update(key.as_bytes());
            hasher.update(&[u8::from(word.extra), 0]);
        }
    }
    hasher.finalize()
}
