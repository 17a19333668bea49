//! The contract of embedders as cases, and the harness that an adapter brings. Not here: how good retrieval gets (`eval`).

use std::{process::ExitCode, sync::Arc};

use async_trait::async_trait;
use mnemic_core::ports::Embedder;

use crate::run::{self, Case, CaseOutcome, cases};

/// Opens the embedder under test.
#[async_trait]
pub trait EmbedderHarness: Send + Sync + 'static {
    /// Opens it.
    async fn open(&self) -> Arc<dyn Embedder>;
}

/// One demand on embedders.
pub type EmbedderCase = Case<dyn EmbedderHarness>;

/// Every demand on embedders. An embedder without a model is held to refuse wherever one with a model is held to embed.
pub const EMBEDDER_CASES: &[EmbedderCase] = cases![
    "E1" => demands::e01_there_is_one_entry_for_each_text_in_order,
    "E2" => demands::e02_every_embedding_belongs_to_the_model,
    "E3" => demands::e03_a_plain_sentence_is_embedded_and_nothing_is_never_embedded,
    "E4" => demands::e04_without_a_model_every_text_is_unsupported,
    "E5" => demands::e05_similar_texts_are_closer_than_unrelated_ones,
    "E6" => demands::e06_the_same_text_gives_the_same_embedding_alone_or_in_a_batch,
    "E7" => demands::e07_any_text_is_accepted,
];

/// Runs every case as a test of this process.
pub fn main(harness: impl EmbedderHarness) -> ExitCode {
    run::as_tests(&(Arc::new(harness) as Arc<dyn EmbedderHarness>), EMBEDDER_CASES)
}

/// Runs every case, or shows every case as ignored because `service` is absent. Where the environment's `MNEMIC_REQUIRE` lists
/// the service, absence is failure.
pub fn main_or_ignore(service: &str, harness: Result<impl EmbedderHarness, String>) -> ExitCode {
    match harness {
        Ok(harness) => main(harness),
        Err(why) => run::as_absent(service, &why, EMBEDDER_CASES),
    }
}

/// Runs every case and tells what became of each.
pub fn run_all(harness: impl EmbedderHarness) -> Vec<CaseOutcome> {
    run_where(harness, |_| true)
}

/// Runs the cases that `wanted` picks and tells what became of each.
pub fn run_where(harness: impl EmbedderHarness, wanted: impl Fn(&EmbedderCase) -> bool) -> Vec<CaseOutcome> {
    run::as_outcomes(&(Arc::new(harness) as Arc<dyn EmbedderHarness>), EMBEDDER_CASES, wanted)
}

mod demands {
    //! The cases.

    use mnemic_core::{
        Embedding, ErrorKind, limits,
        ports::{Embedder, Purpose},
    };

    use super::EmbedderHarness;

    const PURPOSES: [Purpose; 2] = [Purpose::Document, Purpose::Query];

    const SENTENCES: [&str; 5] = [
        "The client lives in Riga and plays the cello in an orchestra.",
        "The filing fee for the petition went up in April.",
        "Remember to call the doctor about the blood test on Monday.",
        "My sister's dog ran away and we found it at the lake.",
        "The meeting about the new office was moved to Thursday.",
    ];

    /// A text, one that means nearly the same, one about something else.
    const TRIPLES: [[&str; 3]; 9] = [
        ["the dog ran across the park", "a dog was running in the park", "the bank raised interest rates"],
        ["the price of the ticket went up", "tickets cost more money now", "she sings in the church choir"],
        [
            "the doctor prescribed a medicine",
            "the physician gave a drug to the patient",
            "the football team lost the game",
        ],
        ["he cooked rice and chicken for dinner", "chicken with rice was the meal", "the court rejected the appeal"],
        ["the new phone has a better camera", "the camera of this phone is good", "the farmer sold his cows"],
        [
            "she studies mathematics at the university",
            "a university student of mathematics",
            "the roof leaks when it rains",
        ],
        [
            "the train leaves at nine in the morning",
            "the morning train departs at nine",
            "his brother paints portraits",
        ],
        ["we need to pay the rent this week", "the rent must be paid this week", "the lion sleeps under a tree"],
        ["our flight to London was late", "the plane to London was delayed", "the garden needs more water"],
    ];

    /// Embeds, and without a model demands the refusal instead: `None`.
    async fn embed(embedder: &dyn Embedder, purpose: Purpose, texts: &[&str]) -> Option<Vec<Option<Embedding>>> {
        let outcome = embedder.embed(purpose, texts).await;
        if embedder.model().is_none() && !texts.is_empty() {
            let error = outcome.expect_err("without a model there is nothing to answer");
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
            return None;
        }
        Some(outcome.unwrap())
    }

    async fn embed_one(embedder: &dyn Embedder, purpose: Purpose, text: &str) -> Option<Embedding> {
        embed(embedder, purpose, &[text]).await?.remove(0)
    }

    pub(super) async fn e01_there_is_one_entry_for_each_text_in_order(h: &dyn EmbedderHarness) {
        let embedder = &*h.open().await;
        for purpose in PURPOSES {
            let mut texts: Vec<&str> = SENTENCES.iter().copied().cycle().take(150).collect();
            texts.insert(1, "");
            texts.push("last");
            let Some(entries) = embed(embedder, purpose, &texts).await else { return };
            assert_eq!(entries.len(), texts.len());
            for (n, text) in texts.iter().enumerate().take(8) {
                let alone = embed_one(embedder, purpose, text).await;
                assert_eq!(alone.is_some(), entries[n].is_some(), "{text:?} at {n}");
                if let (Some(alone), Some(entry)) = (&alone, &entries[n]) {
                    assert!(alone.cosine(entry).unwrap() > 0.9999, "entry {n} is not of {text:?}");
                }
            }
            assert_eq!(embed(embedder, purpose, &[]).await, Some(vec![]), "no text, no entry");
        }
    }

    pub(super) async fn e02_every_embedding_belongs_to_the_model(h: &dyn EmbedderHarness) {
        let embedder = &*h.open().await;
        for purpose in PURPOSES {
            let Some(entries) = embed(embedder, purpose, &SENTENCES).await else { return };
            for embedding in entries.into_iter().flatten() {
                assert_eq!(Some(embedding.model()), embedder.model());
            }
        }
        let again = h.open().await;
        assert_eq!(again.model(), embedder.model(), "the space is the same whenever it is opened");
    }

    pub(super) async fn e03_a_plain_sentence_is_embedded_and_nothing_is_never_embedded(h: &dyn EmbedderHarness) {
        let embedder = &*h.open().await;
        for purpose in PURPOSES {
            let Some(entries) = embed(embedder, purpose, &SENTENCES).await else { return };
            assert!(entries.iter().all(Option::is_some), "plain English is represented: {entries:?}");
            for nothing in ["", " ", " \t\r\n "] {
                assert_eq!(
                    embed_one(embedder, purpose, nothing).await,
                    None,
                    "{nothing:?} has no meaning to represent"
                );
            }
            // Where one vector stands for whatever is unknown, it stands for nothing.
            let unknown = ["\u{e000}\u{e001}", "\u{f8ff}", "\u{10fffd}\u{100000}"];
            let entries = embed(embedder, purpose, &unknown).await.unwrap();
            let told: Vec<&Embedding> = entries.iter().flatten().collect();
            for (n, one) in told.iter().enumerate() {
                assert!(told[n + 1..].iter().all(|other| other != one), "one junk vector for different unknown texts");
            }
        }
    }

    pub(super) async fn e04_without_a_model_every_text_is_unsupported(h: &dyn EmbedderHarness) {
        let embedder = &*h.open().await;
        for purpose in PURPOSES {
            for text in ["a plain sentence", "", "ё"] {
                // `embed` asserts the refusal where there is no model; where there is one, nothing is refused as unsupported.
                embed(embedder, purpose, &[text]).await;
                embed(embedder, purpose, &[text, "another"]).await;
            }
        }
    }

    pub(super) async fn e05_similar_texts_are_closer_than_unrelated_ones(h: &dyn EmbedderHarness) {
        let embedder = &*h.open().await;
        for (query, document) in [(Purpose::Document, Purpose::Document), (Purpose::Query, Purpose::Document)] {
            for [text, similar, unrelated] in TRIPLES {
                let Some(asked) = embed_one(embedder, query, text).await else {
                    assert_eq!(embedder.model(), None, "{text:?} is represented");
                    return;
                };
                let found = embed(embedder, document, &[similar, unrelated]).await.unwrap();
                let closeness = |n: usize| asked.cosine(found[n].as_ref().unwrap()).unwrap();
                let (near, far) = (closeness(0), closeness(1));
                assert!(near > far, "{text:?}: {similar:?} at {near}, {unrelated:?} at {far}");
            }
        }
    }

    pub(super) async fn e06_the_same_text_gives_the_same_embedding_alone_or_in_a_batch(h: &dyn EmbedderHarness) {
        let embedder = &*h.open().await;
        let long = SENTENCES.join(" ").repeat(40);
        let mut texts = SENTENCES.to_vec();
        texts.extend([long.as_str(), "word", "Клиент живёт в Риге."]);
        for purpose in PURPOSES {
            let Some(together) = embed(embedder, purpose, &texts).await else { return };
            texts.reverse();
            let mut reversed = embed(embedder, purpose, &texts).await.unwrap();
            texts.reverse();
            reversed.reverse();
            for ((text, together), reversed) in texts.iter().zip(&together).zip(&reversed) {
                let alone = embed_one(embedder, purpose, text).await;
                assert_eq!((alone.is_some(), reversed.is_some()), (together.is_some(), together.is_some()), "{text:?}");
                let (Some(alone), Some(together), Some(reversed)) = (&alone, together, reversed) else { continue };
                for other in [alone, reversed] {
                    let apart = together.components().iter().zip(other.components()).map(|(a, b)| (a - b).abs());
                    let most = apart.fold(0.0, f32::max);
                    assert!(most <= 1e-5, "{most} apart for {}", &text[..10]);
                }
            }
        }
    }

    pub(super) async fn e07_any_text_is_accepted(h: &dyn EmbedderHarness) {
        let embedder = &*h.open().await;
        let longest = "word ".repeat(limits::TEXT_BYTES / 5);
        let one_word = "a".repeat(limits::TEXT_BYTES);
        let no_spaces = "東".repeat(limits::TEXT_BYTES / 3);
        let marks = format!("a{}", "\u{301}".repeat(10_000));
        let texts = [
            "",
            " ",
            "\u{1}\u{2}\u{7f}\u{1b}[31m",
            "\u{feff}\u{202e}\u{200b}\u{200d}",
            "\u{fffd}\u{ffff}\u{10ffff}",
            "клиент живёт в Риге",
            "客户住在里加",
            "依頼人はリガに住んでいます",
            "의뢰인은 리가에 산다",
            "العميل يعيش في ريغا",
            "ลูกค้าอาศัยอยู่ในริกา",
            "👩‍⚖️🎉🏳️‍🌈",
            "[CLS] [SEP] [UNK] [PAD] <s> </s> <|endoftext|>",
            "{\"input\": null}",
            &marks,
            &longest,
            &one_word,
            &no_spaces,
        ];
        for purpose in PURPOSES {
            let Some(entries) = embed(embedder, purpose, &texts).await else { return };
            assert_eq!(entries.len(), texts.len());
            for text in texts {
                embed(embedder, purpose, &[text]).await;
            }
        }
    }
}
