//! What texts become. Not here: what finds them (`tests/` of this crate).

use super::{Language, Mode, Scan, take_fingerprint};

fn read(text: &str, mode: Mode) -> Vec<String> {
    let mut scan = Scan::default();
    scan.read(text, mode);
    scan.tokens().iter().map(|token| scan.word(*token).to_owned()).collect()
}

fn words(text: &str) -> Vec<String> {
    read(text, Mode::Record)
}

fn language(text: &str) -> Language {
    let mut scan = Scan::default();
    scan.read(text, Mode::Record);
    scan.languages().for_script(super::Script::Latin)
}

#[test]
fn identifiers_are_kept_whole_and_split() {
    assert_eq!(words("I-485"), ["i", "485", "i485"]);
    assert_eq!(words("i485"), ["i", "485", "i485"]);
    assert_eq!(words("H-1B visa"), ["h", "1", "b", "1b", "h1b", "visa"]);
    assert_eq!(words("2024-03-15"), ["2024", "03", "15", "20240315"]);
    assert_eq!(words("$1,000.50"), ["1", "000", "50", "100050"]);
    assert_eq!(words("user_id"), ["user", "id", "userid"]);
    assert_eq!(words("e-mail"), ["e", "mail", "email"]);
    assert_eq!(words("well-known and/or"), ["well", "known", "and", "or"]);
    assert_eq!(words("a3f9c2e1b"), ["a3f9c2e1b"]);
    assert_eq!(words("U.S.A."), ["u", "s", "a", "usa"]);
    assert_eq!(words("a,b 1,a"), ["a", "b", "1", "a"]);
}

#[test]
fn apostrophes_are_read_as_people_mean_them() {
    assert_eq!(
        words("Caroline's don't O'Brien l’avion"),
        ["caroline", "dont", "o", "brien", "obrien", "l", "avion", "lavion"]
    );
}

#[test]
fn scripts_without_spaces_become_bigrams_and_a_single_character_can_be_asked_for() {
    assert_eq!(words("東京都"), ["東京", "京都", "東", "京", "都"]);
    assert_eq!(read("東京都", Mode::Query), ["東京", "京都"]);
    assert_eq!(read("猫", Mode::Query), ["猫"]);
    assert_eq!(read("고양이", Mode::Query), ["고양", "양이"]);
    assert_eq!(words("iPhone発売"), ["iphone", "発売", "発", "売"]);
}

#[test]
fn symbols_and_emoji_alone_give_no_words() {
    for text in ["", " \n\t", "!!! ... ---", "🙂👩‍👩‍👧❤️", "\"*()", "\u{200B}\u{FE0F}"] {
        assert_eq!(words(text), Vec::<String>::new(), "{text:?}");
    }
}

#[test]
fn stress_marks_and_stacked_accents_do_not_change_a_word() {
    assert_eq!(words("за\u{301}мок"), ["замок"]);
    assert_eq!(words(&format!("z{}algo", "\u{336}\u{315}".repeat(10_000))), ["zalgo"]);
    assert_eq!(words(&"x".repeat(100_000)).first().map(String::len), Some(96));
}

#[test]
fn the_language_of_long_texts_is_detected_and_of_short_ones_assumed() {
    assert_eq!(
        language("Die Anwältin hat gestern alle Unterlagen bei der zuständigen Behörde eingereicht"),
        Language::German
    );
    assert_eq!(
        language("Los abogados presentaron todos los documentos necesarios ante el tribunal"),
        Language::Spanish
    );
    assert_eq!(
        language("Caroline went to the adoption agency with her friends and was happy that they helped"),
        Language::English
    );
    assert_eq!(language("Häuser"), Language::English);
}

#[test]
fn hostile_texts_are_read_without_panic_and_in_bounded_time() {
    let alphabet = [
        'a', '1', 'é', 'я', 'і', '猫', 'ส', 'ി', '\u{301}', '-', '\'', ',', '.', ' ', 'ß', 'İ', 'ﷺ', '𝒳', '\u{0}',
        '🙂', 'े', 'ー',
    ];
    let mut state = 7u64;
    let mut scan = Scan::default();
    let mut key = String::new();
    for _ in 0..3000 {
        let mut text = String::new();
        for _ in 0..40 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push(alphabet[(state >> 33) as usize % alphabet.len()]);
        }
        for mode in [Mode::Record, Mode::Query] {
            scan.read(&text, mode);
            let languages = scan.languages();
            for token in scan.tokens() {
                key.clear();
                languages.for_script(token.script).stem_into(scan.word(*token), &mut key);
                assert!(!key.is_empty());
            }
        }
    }
    for monster in ["(".repeat(1 << 20), "a-".repeat(1 << 17), "1,".repeat(1 << 17), "a1".repeat(1 << 17)] {
        scan.read(&monster, Mode::Query);
    }
}

#[test]
fn every_stemmer_bears_any_word_of_its_script() {
    let mut state = 11u64;
    let mut out = String::new();
    let scripts: [(super::Script, &[char]); 7] = [
        (
            super::Script::Latin,
            &[
                'a', 'e', 'i', 'o', 'u', 'y', 's', 't', 'n', 'r', 'l', 'd', 'g', 'é', 'ß', 'ü', 'ø', 'ğ', 'ş', 'x',
                'q', 'ı',
            ],
        ),
        (
            super::Script::Cyrillic,
            &['а', 'е', 'и', 'о', 'у', 'ы', 'й', 'т', 'н', 'в', 'с', 'я', 'ь', 'ъ', 'і', 'ї', 'ј', 'љ', 'ђ', 'ш', 'щ'],
        ),
        (super::Script::Greek, &['α', 'ε', 'ι', 'ο', 'υ', 'σ', 'τ', 'ν', 'ά', 'ή', 'μ', 'κ', 'ρ']),
        (super::Script::Arabic, &['ا', 'ل', 'م', 'و', 'ن', 'ي', 'ت', 'ة', 'ه', 'ک', 'ی', 'پ', 'س', 'أ']),
        (super::Script::Armenian, &['ա', 'ե', 'ի', 'ո', 'ն', 'ր', 'կ', 'ն', 'ե', 'ր', 'ը']),
        (super::Script::Devanagari, &['क', 'ा', 'ि', 'ी', 'े', 'ं', 'न', 'र', 'ो', 'ए', '\u{94d}']),
        (super::Script::Tamil, &['க', 'ம', 'ா', 'ி', 'ு', '\u{bcd}', 'த', 'ன', 'ர']),
    ];
    for (script, letters) in scripts {
        for language in Language::of_script(script) {
            for _ in 0..2000 {
                let mut word = String::new();
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let length = 1 + (state >> 60);
                for _ in 0..length {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    word.push(letters[(state >> 33) as usize % letters.len()]);
                }
                out.clear();
                language.stem_into(&word, &mut out);
                assert!(!out.is_empty(), "{language:?} {word}");
            }
        }
    }
}

#[test]
fn the_fingerprint_is_stable_within_one_build() {
    assert_eq!(take_fingerprint(), take_fingerprint());
}
