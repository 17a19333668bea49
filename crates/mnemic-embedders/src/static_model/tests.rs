//! The static embedder against its two references: the `tokenizers` crate for splitting, the Python recipe for vectors.
//! Not here: retrieval quality, which `scripts/static-model/evaluate.py` measures.

use std::{collections::HashMap, sync::LazyLock};

use proptest::prelude::*;
use tokenizers::{
    Tokenizer, models::wordpiece::WordPiece, normalizers::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer,
};

use super::*;

static EMBEDDER: LazyLock<StaticEmbedder> = LazyLock::new(|| StaticEmbedder::new().unwrap());
static TOKENS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let number = |at: usize| u32::from_le_bytes(ASSET[at..at + 4].try_into().unwrap()) as usize;
    let strings = 52 + 4 * (number(24) + 1);
    let token = |i: usize| &ASSET[strings + number(52 + 4 * i)..strings + number(56 + 4 * i)];
    (0..number(24)).map(|i| String::from_utf8(token(i).to_vec()).unwrap()).collect()
});
static REFERENCE: LazyLock<Tokenizer> = LazyLock::new(|| {
    let tokens = TOKENS.iter().map(String::as_str).chain(["[UNK]"]);
    let vocabulary: HashMap<String, u32, _> =
        tokens.zip(0u32..).map(|(token, number)| (token.to_owned(), number)).collect();
    let mut tokenizer = Tokenizer::new(WordPiece::builder().vocab(vocabulary).build().unwrap());
    tokenizer.with_normalizer(Some(BertNormalizer::default())).unwrap();
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer
});

fn pieces(text: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    EMBEDDER.file.vocabulary.split(text, |token| {
        found.push(token.map_or("[UNK]", |number| TOKENS[number as usize].as_str()));
    });
    found
}

fn reference_pieces(text: &str) -> Vec<String> {
    REFERENCE.encode(text, false).unwrap().get_tokens().to_vec()
}

fn embed(texts: &[&str]) -> Vec<Option<Embedding>> {
    EMBEDDER.embed_all(texts).unwrap()
}

fn cosine(a: &str, b: &str) -> f32 {
    let found = embed(&[a, b]);
    found[0].as_ref().unwrap().cosine(found[1].as_ref().unwrap()).unwrap()
}

#[track_caller]
fn splits_like_the_reference(text: &str) {
    assert_eq!(pieces(text), reference_pieces(text), "{text:?}");
}

#[test]
fn tricky_texts_are_split_like_the_reference() {
    let texts = [
        "",
        " \t\r\n\u{a0}\u{3000}\u{2028}",
        "Hello, World! it's 3.14 (or so)...",
        "Crème brûlée NAÏVE Ångström São Tomé ﬁne Ⅷ ½ № ™",
        "cafe\u{301} a\u{300}\u{323} \u{301}leading q\u{307}\u{323}",
        "İstanbul ıI ŞIŞLI straße ẞ ΑΣΣ ΟΔΟΣ",
        "Привет, Ёлка и йод: мама мыла раму",
        "日本語 mixed東京text 大阪 がぎぐ ｶﾞ \u{f900}\u{fa0e} \u{20000}\u{2b820}\u{2b920}",
        "한국어 텍스트 각",
        "हिन्दी में पाठ ไทย العربية עִברִית",
        "👍🏽👨‍👩‍👧‍👦🇺🇸 ok✅ zero\u{200b}width soft\u{ad}hyphen \u{feff}bom",
        "ctrl\u{0}\u{1}\u{7f}\u{80}\u{85}\u{b}\u{c}\u{1c}x \u{fffd} \u{e000} \u{f8ff}",
        "“quotes” ‘single’ – — … ‹a› «b» ¡hola! ¿qué? 、。「」 ;\u{37e}`\u{1fef}",
        "$+<=>^`|~ €£¥ @#%&*_-/\\[]{}:;\"'",
        "[UNK] [CLS] [PAD] ##ing ## # ##",
        "supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis",
        "\u{302e}\u{0}\u{1d165} a\u{302e}\u{301}b \u{1d15e}",
        "K\u{212a} Å\u{212b} \u{2126}",
    ];
    for text in texts {
        splits_like_the_reference(text);
    }
    for length in [99, 100, 101, 300] {
        splits_like_the_reference(&format!("x {} y", "a".repeat(length)));
        splits_like_the_reference(&format!("x {} y", "é".repeat(length)));
        splits_like_the_reference(&format!("x {}", "e\u{301}".repeat(length)));
    }
}

#[test]
fn every_character_is_split_like_the_reference_within_a_word() {
    let characters: Vec<char> = ('\0'..=char::MAX).collect();
    let mut differing: Vec<char> = Vec::new();
    for part in characters.chunks(64) {
        let text: String = part.iter().flat_map(|&c| ['a', c, 'b', ' ']).collect();
        if pieces(&text) != reference_pieces(&text) {
            differing
                .extend(part.iter().filter(|&&c| pieces(&format!("a{c}b")) != reference_pieces(&format!("a{c}b"))));
        }
    }
    assert!(differing.is_empty(), "{} characters: {differing:?}", differing.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_texts_are_split_like_the_reference(text in prop_oneof![
        "\\PC{0,60}",
        "[a-z ]{0,200}",
        "[A-Za-z0-9 .,'é\u{301}\u{300}\u{323}ßİ\u{200b}\u{0}\u{302e}-]{0,80}",
        "[а-яёА-ЯЁ a-z一-三ぁ-んA-Z\u{3000}👍-👏!?]{0,60}",
        proptest::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter),
    ]) {
        prop_assert_eq!(pieces(&text), reference_pieces(&text));
    }

    #[test]
    fn random_words_of_the_vocabulary_are_split_like_the_reference(picks in proptest::collection::vec(0usize..56_000, 1..12)) {
        let text: String = picks.iter().map(|&pick| TOKENS[pick].trim_start_matches('#')).collect();
        prop_assert_eq!(pieces(&text), reference_pieces(&text));
    }
}

#[test]
fn the_recipe_in_python_and_this_code_agree_on_every_fixture_text() {
    let fixture = include_str!("../../tests/fixtures/static-v1.json");
    let cases: Vec<serde_json::Value> = serde_json::from_str(fixture).unwrap();
    assert!(cases.len() >= 20);
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let expected: Vec<&str> =
            case["pieces"].as_array().unwrap().iter().map(|piece| piece.as_str().unwrap()).collect();
        let known: Vec<&str> = pieces(text).into_iter().filter(|piece| *piece != "[UNK]").collect();
        assert_eq!(known, expected, "{text:?}");
        let found = embed(&[text]).remove(0);
        let Some(head) = case["head"].as_array() else {
            assert_eq!(found, None, "{text:?}");
            continue;
        };
        let found = found.unwrap();
        for (component, expected) in found.components().iter().zip(head) {
            assert!((f64::from(*component) - expected.as_f64().unwrap()).abs() < 1e-6, "{text:?}");
        }
        let norm: f32 = found.components().iter().map(|c| c * c).sum();
        assert!((norm - 1.0).abs() < 1e-5, "{text:?}");
    }
}

/// Vectors on disk are tied to the model by its name, so other vectors need another name.
#[test]
#[expect(clippy::unreadable_literal, reason = "components are easier to compare without separators")]
fn the_space_named_static_v1_never_changes() {
    assert_eq!(EMBEDDER.model.to_string(), "mnemic/static-v1@256-cosine");
    let golden: [(&str, [f32; 8]); 4] = [
        ("hello", [0.0057275, 0.0945043, -0.0758898, -0.0544116, 0.0014319, 0.1331651, 0.0114551, 0.0071594]),
        (
            "When did Melanie paint a sunrise?",
            [-0.0548364, -0.0850458, 0.1670386, -0.0335018, -0.0875936, 0.0135786, 0.1573866, 0.1227531],
        ),
        (
            "The H-1B petition was approved.",
            [-0.1769355, 0.2146891, -0.3579347, -0.2697508, 0.0553118, 0.1986128, -0.0531461, -0.0190692],
        ),
        (
            "Ходатайство одобрено",
            [-0.213049, 0.0001918, -0.0621402, 0.0048401, 0.0662906, 0.0344965, -0.0196617, -0.0729184],
        ),
    ];
    for (text, expected) in golden {
        let found = embed(&[text]).remove(0).unwrap();
        let head = &found.components()[..8];
        assert!(head.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{text}: {head:?}");
    }
}

#[test]
fn a_text_that_the_model_does_not_know_has_no_embedding() {
    let texts =
        ["", " \n", "👍", "Ελληνικά κείμενα", "日本語のテキスト", "案件 123 H-1B 公開中", "\u{0}", "\u{10ffff}"];
    assert!(embed(&texts).iter().all(Option::is_none));
    let huge = "a".repeat(1_000_000);
    assert_eq!(embed(&[&huge]), [None]);
}

#[test]
fn a_word_of_another_script_in_an_english_text_adds_nothing() {
    let found = embed(&["moved to Berlin last summer", "オルガ moved to Berlin last summer 👍"]);
    assert!(found[0].is_some());
    assert_eq!(found[0], found[1]);
}

#[test]
fn a_long_text_is_embedded_whole() {
    let text = format!("{} kangaroo", "court hearing ".repeat(100_000));
    let found = embed(&[&text, "court hearing", "kangaroo"]);
    let [Some(long), Some(short), Some(other)] = &found[..] else { panic!("{found:?}") };
    assert!(long.cosine(short).unwrap() > 0.999);
    assert!(long.cosine(other).unwrap() < 0.9);
}

#[tokio::test]
async fn a_batch_on_several_threads_equals_its_texts_one_by_one() {
    let texts: Vec<String> = (0..1_001)
        .map(|i| match i % 7 {
            0 => String::new(),
            1 => format!("Приговор {i} обжалован"),
            _ => format!("case number {i} was {} on day {}", if i % 2 == 0 { "filed" } else { "approved" }, i * 31),
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for length in [0, 1, 63, 64, 65, 1_001] {
        for threads in [1, 2, 3, 64] {
            let embedder = StaticEmbedder { threads, ..EMBEDDER.clone() };
            let batch = embedder.embed(Purpose::Document, &texts[..length]).await.unwrap();
            assert_eq!(batch.len(), length);
            for (text, found) in texts.iter().zip(&batch) {
                assert_eq!(
                    embedder.embed(Purpose::Query, &[text]).await.unwrap(),
                    std::slice::from_ref(found),
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn similar_texts_are_closer_than_unrelated_ones() {
    let text = "The visa petition was approved by the immigration office";
    assert!(
        cosine(text, "USCIS granted the green card application")
            > cosine(text, "We baked a chocolate cake for dinner") + 0.1
    );
    assert!(
        cosine("my dog is sick", "the puppy has a fever") > cosine("my dog is sick", "the stock market fell") + 0.1
    );
}

#[test]
fn a_damaged_model_is_corrupted_and_not_a_panic() {
    let mut bytes = ASSET.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let error = corrupted(ModelFile::read(&bytes).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Corrupted);
    assert!(error.message().contains("checksum"), "{error}");
    assert!(ModelFile::read(&bytes[..middle]).is_err());
    assert_eq!(ModelFile::read(b"").unwrap_err(), Defect::Truncated("header"));
}
