//! Text analysis: from any text to the tokens that are looked up. Not here: the lookup (`postings`).
//!
//! A record's words are stemmed by the record's language, which is detected per script. A query's language is never detected: each of
//! its words is stemmed once for every language of its script that the namespace holds, and each reading matches only records of
//! that language. So a wrong guess about a record's language can cost the match between two inflections, but never the match of a
//! word with itself, and no guess is made about a query at all.

mod language;
mod normal;
mod scan;
mod script;
mod stop_words;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

pub(crate) use language::Language;
pub(crate) use scan::{Mode, Scan};
pub(crate) use script::Script;
pub(crate) use stop_words::is_stop_word;

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
    let mut scan = Scan::default();
    let mut hasher = crc32fast::Hasher::new();
    let mut key = String::new();
    for probe in PROBES {
        scan.read(probe, Mode::Record);
        let languages = scan.languages();
        for token in scan.tokens() {
            let language = languages.for_script(token.script);
            key.clear();
            key.push(language.mark());
            language.stem_into(scan.word(*token), &mut key);
            hasher.update(key.as_bytes());
            hasher.update(&[u8::from(token.extra), 0]);
        }
    }
    hasher.finalize()
}
