//! Which language a text is in and how its words are stemmed. Not here: how a text is cut into words (`scan`).

use std::sync::LazyLock;

use frostem::{Algorithm, Stemmer};
use whatlang::{Detector, Lang};

use super::script::Script;

/// A language with a stemmer of its own, or [`Language::None`] for everything that is kept as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Language {
    None,
    English,
    Catalan,
    Czech,
    Danish,
    Dutch,
    Esperanto,
    Estonian,
    Finnish,
    French,
    German,
    Hungarian,
    Indonesian,
    Italian,
    Lithuanian,
    Norwegian,
    Polish,
    Portuguese,
    Romanian,
    Spanish,
    Swedish,
    Turkish,
    Russian,
    Ukrainian,
    Serbian,
    Greek,
    Arabic,
    Persian,
    Armenian,
    Hindi,
    Tamil,
}

/// Name, stemmer and script of each language; the languages of one script stand together.
const LANGUAGES: [(Language, Algorithm, Script); 30] = [
    (Language::English, Algorithm::English, Script::Latin),
    (Language::Catalan, Algorithm::Catalan, Script::Latin),
    (Language::Czech, Algorithm::Czech, Script::Latin),
    (Language::Danish, Algorithm::Danish, Script::Latin),
    (Language::Dutch, Algorithm::Dutch, Script::Latin),
    (Language::Esperanto, Algorithm::Esperanto, Script::Latin),
    (Language::Estonian, Algorithm::Estonian, Script::Latin),
    (Language::Finnish, Algorithm::Finnish, Script::Latin),
    (Language::French, Algorithm::French, Script::Latin),
    (Language::German, Algorithm::German, Script::Latin),
    (Language::Hungarian, Algorithm::Hungarian, Script::Latin),
    (Language::Indonesian, Algorithm::Indonesian, Script::Latin),
    (Language::Italian, Algorithm::Italian, Script::Latin),
    (Language::Lithuanian, Algorithm::Lithuanian, Script::Latin),
    (Language::Norwegian, Algorithm::Norwegian, Script::Latin),
    (Language::Polish, Algorithm::Polish, Script::Latin),
    (Language::Portuguese, Algorithm::Portuguese, Script::Latin),
    (Language::Romanian, Algorithm::Romanian, Script::Latin),
    (Language::Spanish, Algorithm::Spanish, Script::Latin),
    (Language::Swedish, Algorithm::Swedish, Script::Latin),
    (Language::Turkish, Algorithm::Turkish, Script::Latin),
    (Language::Russian, Algorithm::Russian, Script::Cyrillic),
    (Language::Ukrainian, Algorithm::Ukrainian, Script::Cyrillic),
    (Language::Serbian, Algorithm::Serbian, Script::Cyrillic),
    (Language::Greek, Algorithm::Greek, Script::Greek),
    (Language::Arabic, Algorithm::Arabic, Script::Arabic),
    (Language::Persian, Algorithm::Persian, Script::Arabic),
    (Language::Armenian, Algorithm::Armenian, Script::Armenian),
    (Language::Hindi, Algorithm::Hindi, Script::Devanagari),
    (Language::Tamil, Algorithm::Tamil, Script::Tamil),
];

static STEMMERS: LazyLock<Vec<Stemmer>> =
    LazyLock::new(|| LANGUAGES.iter().map(|(_, algorithm, _)| Stemmer::new(*algorithm)).collect());

static LATIN_DETECTOR: LazyLock<Detector> = LazyLock::new(|| {
    Detector::with_allowlist(vec![
        Lang::Eng,
        Lang::Cat,
        Lang::Ces,
        Lang::Dan,
        Lang::Nld,
        Lang::Epo,
        Lang::Est,
        Lang::Fin,
        Lang::Fra,
        Lang::Deu,
        Lang::Hun,
        Lang::Ind,
        Lang::Ita,
        Lang::Lit,
        Lang::Nob,
        Lang::Pol,
        Lang::Por,
        Lang::Ron,
        Lang::Spa,
        Lang::Swe,
        Lang::Tur,
    ])
});

impl Language {
    /// The byte that stands before each stem of this language, so that stems of two languages never meet.
    pub(crate) fn mark(self) -> char {
        // From '@' on there are 63 ASCII characters, twice as many as there are languages.
        char::from(b'@' + self as u8)
    }

    /// Every language, [`Language::None`] last.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        LANGUAGES.iter().map(|(language, _, _)| *language).chain([Self::None])
    }

    /// Its name in lower case, `other` for [`Language::None`].
    pub(crate) fn name(self) -> String {
        if self == Self::None { "other".to_owned() } else { format!("{self:?}").to_lowercase() }
    }

    /// The languages that words in `script` can be stemmed by.
    pub(super) fn of_script(script: Script) -> impl Iterator<Item = Self> {
        LANGUAGES.iter().filter(move |(_, _, of)| *of == script).map(|(language, _, _)| *language)
    }

    /// The languages that a query's word is stemmed by: each of its script that a text was stemmed by. Bit n of `held` is language n.
    pub(crate) fn readings(script: Script, held: u64) -> impl Iterator<Item = Self> {
        let own = Self::of_script(script).next().is_some();
        let none = (!own).then_some(Self::None);
        Self::of_script(script).filter(move |language| held & (1 << *language as u8) != 0).chain(none)
    }

    /// Appends the stem of a lower-cased word.
    pub(crate) fn stem_into(self, word: &str, out: &mut String) {
        let index = (self as usize).wrapping_sub(1);
        match STEMMERS.get(index) {
            // English spells accents in borrowed words only, and its stemmer does not know them.
            Some(stemmer) if self == Self::English && !word.is_ascii() => {
                let mut plain = String::with_capacity(word.len());
                push_folded(word, &mut plain);
                out.push_str(&stemmer.stem(&plain));
            }
            Some(stemmer) => {
                let stem = stemmer.stem(word);
                // Some stemmers cut a word away entirely; it must still be findable as itself.
                push_folded(if stem.is_empty() { word } else { &stem }, out);
            }
            None => out.push_str(word),
        }
    }
}

/// Appends `stem` with the accents of Latin letters removed, since many people do not type them.
///
/// Stemmers need the accents, so they go afterwards.
fn push_folded(stem: &str, out: &mut String) {
    if stem.is_ascii() || !stem.chars().all(|c| matches!(Script::of(c), Script::Latin)) {
        out.push_str(stem);
        return;
    }
    for c in stem.chars() {
        match c {
            'ø' => out.push('o'),
            'ł' => out.push('l'),
            'đ' | 'ð' => out.push('d'),
            'ı' => out.push('i'),
            'ß' => out.push_str("ss"),
            'æ' => out.push_str("ae"),
            'œ' => out.push_str("oe"),
            _ => unicode_normalization::char::decompose_canonical(c, |part| {
                if !unicode_normalization::char::is_combining_mark(part) {
                    out.push(part);
                }
            }),
        }
    }
}

/// What a text shows about its languages, gathered while it is cut into words.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) latin_letters: usize,
    pub(crate) latin_words: usize,
    pub(crate) english_words: usize,
    pub(crate) ukrainian_letters: usize,
    pub(crate) serbian_letters: usize,
    pub(crate) persian_letters: usize,
    /// The first Latin words, for the statistical detector.
    pub(crate) latin_sample: String,
}

/// Latin letters below which a text is taken for English without asking the detector, whose guesses on less are no better than chance.
const DETECTABLE_LETTERS: usize = 48;
const SAMPLE_BYTES: usize = 320;

impl Evidence {
    pub(crate) fn latin_word(&mut self, word: &str) {
        self.latin_words += 1;
        self.latin_letters += word.len();
        if is_plainly_english(word) {
            self.english_words += 1;
        }
        if self.latin_sample.len() + word.len() < SAMPLE_BYTES {
            self.latin_sample.push_str(word);
            self.latin_sample.push(' ');
        }
    }

    pub(crate) fn letter(&mut self, c: char) {
        match c {
            'і' | 'ї' | 'є' | 'ґ' => self.ukrainian_letters += 1,
            'ђ' | 'ј' | 'љ' | 'њ' | 'ћ' | 'џ' => self.serbian_letters += 1,
            'پ' | 'چ' | 'ژ' | 'گ' | 'ک' | 'ی' => self.persian_letters += 1,
            _ => {}
        }
    }

    /// The language of each script in this text. A text has at most one language per script.
    pub(crate) fn languages(&self) -> Languages {
        let cyrillic = match (self.serbian_letters, self.ukrainian_letters) {
            (0, 0) => Language::Russian,
            (serbian, ukrainian) if serbian > ukrainian => Language::Serbian,
            _ => Language::Ukrainian,
        };
        let arabic = if self.persian_letters > 0 { Language::Persian } else { Language::Arabic };
        Languages { latin: self.latin(), cyrillic, arabic }
    }

    fn latin(&self) -> Language {
        let plainly_english = self.english_words >= 2 && self.english_words * 12 >= self.latin_words;
        if plainly_english || self.latin_letters < DETECTABLE_LETTERS {
            return Language::English;
        }
        // One plainly English word is evidence enough to doubt all but a sure guess.
        let sure = if self.english_words == 0 { 0.5 } else { 0.9 };
        match LATIN_DETECTOR.detect(&self.latin_sample) {
            Some(info) if info.confidence() > sure => of_detected(info.lang()),
            _ => Language::English,
        }
    }
}

/// The language that a text's words are stemmed by, for each script that several languages share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Languages {
    latin: Language,
    cyrillic: Language,
    arabic: Language,
}

impl Languages {
    pub(crate) fn for_script(self, script: Script) -> Language {
        match script {
            Script::Latin => self.latin,
            Script::Cyrillic => self.cyrillic,
            Script::Arabic => self.arabic,
            Script::Greek => Language::Greek,
            Script::Armenian => Language::Armenian,
            Script::Devanagari => Language::Hindi,
            Script::Tamil => Language::Tamil,
            Script::Unspaced | Script::Number | Script::Other => Language::None,
        }
    }
}

fn of_detected(lang: Lang) -> Language {
    match lang {
        Lang::Cat => Language::Catalan,
        Lang::Ces => Language::Czech,
        Lang::Dan => Language::Danish,
        Lang::Nld => Language::Dutch,
        Lang::Epo => Language::Esperanto,
        Lang::Est => Language::Estonian,
        Lang::Fin => Language::Finnish,
        Lang::Fra => Language::French,
        Lang::Deu => Language::German,
        Lang::Hun => Language::Hungarian,
        Lang::Ind => Language::Indonesian,
        Lang::Ita => Language::Italian,
        Lang::Lit => Language::Lithuanian,
        Lang::Nob => Language::Norwegian,
        Lang::Pol => Language::Polish,
        Lang::Por => Language::Portuguese,
        Lang::Ron => Language::Romanian,
        Lang::Spa => Language::Spanish,
        Lang::Swe => Language::Swedish,
        Lang::Tur => Language::Turkish,
        _ => Language::English,
    }
}

/// Words that are frequent in English and not words of the other Latin languages above.
fn is_plainly_english(word: &str) -> bool {
    matches!(
        word,
        "the"
            | "and"
            | "with"
            | "that"
            | "this"
            | "you"
            | "your"
            | "have"
            | "has"
            | "from"
            | "are"
            | "what"
            | "would"
            | "she"
            | "they"
            | "their"
            | "been"
            | "which"
            | "when"
            | "where"
            | "his"
            | "about"
            | "there"
            | "who"
            | "not"
            | "was"
            | "were"
            | "will"
            | "because"
            | "should"
            | "could"
            | "dont"
            | "its"
            | "him"
            | "how"
            | "but"
            | "my"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stem(language: Language, word: &str) -> String {
        let mut out = String::new();
        language.stem_into(word, &mut out);
        out
    }

    #[test]
    fn each_language_stands_at_its_own_place_in_the_table() {
        for (index, (language, _, _)) in LANGUAGES.iter().enumerate() {
            assert_eq!(*language as usize, index + 1);
            assert!(language.mark().is_ascii_graphic());
        }
    }

    #[test]
    fn inflections_share_a_stem_and_accents_may_be_left_out() {
        assert_eq!(stem(Language::Russian, "документы"), stem(Language::Russian, "документов"));
        assert_eq!(stem(Language::English, "hearings"), stem(Language::English, "hearing"));
        assert_eq!(stem(Language::German, "häuser"), stem(Language::German, "haus").replace("ä", "a"));
        assert_eq!(stem(Language::English, "café"), stem(Language::English, "cafe"));
        assert_eq!(stem(Language::Russian, "й"), "й");
        assert_eq!(stem(Language::None, "i485"), "i485");
    }
}
