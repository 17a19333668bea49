//! Prints how many texts a second the static embedder embeds, one by one and in batches, and how the `tokenizers` crate compares.
//! Not a benchmark with statistics: one warm run per row.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program for developers that may stop"
)]

use std::{collections::HashMap, hint::black_box, time::Instant};

use mnemic_core::ports::{Embedder, Purpose};
use mnemic_embedders::StaticEmbedder;
use tokenizers::{
    Tokenizer, models::wordpiece::WordPiece, normalizers::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer,
};

const TEXTS: usize = 20_000;
const ENGLISH: &str = "Caroline: I went to the LGBTQ support group in Northampton yesterday, and honestly it was so powerful; \
    the transgender stories were inspiring, and I felt accepted. We'll reconvene on 14 May 2023!";

const RUSSIAN: &str = "Ольга: вчера мы с адвокатом подали ходатайство о пересмотре решения по делу о виде на жительство; \
    судья перенёс слушание на четырнадцатое мая, и ещё нужно приложить перевод свидетельства о браке до пятницы!";

fn main() {
    let start = Instant::now();
    let embedder = StaticEmbedder::new().unwrap();
    println!("open {:.2?}", start.elapsed());
    let reference = reference_tokenizer();
    for text in [ENGLISH, RUSSIAN] {
        let texts: Vec<String> = (0..TEXTS).map(|i| format!("{text} {i}")).collect();
        measure(&embedder, &reference, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

fn measure(embedder: &StaticEmbedder, reference: &Tokenizer, texts: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let embed = |part: &[&str]| black_box(runtime.block_on(embedder.embed(Purpose::Document, part)).unwrap());
    println!("{} characters: {}", texts[0].chars().count(), texts[0]);
    row("single", || texts.iter().for_each(|text| drop(embed(&[text]))));
    row("batches of 32", || texts.chunks(32).for_each(|part| drop(embed(part))));
    row("one batch", || drop(embed(texts)));
    row("tokenizers", || texts.iter().for_each(|text| drop(black_box(reference.encode_fast(*text, false).unwrap()))));
}

fn row(name: &str, run: impl Fn()) {
    run();
    let start = Instant::now();
    run();
    let seconds = start.elapsed().as_secs_f64();
    println!("{name:13} {:>9.0} texts/s {:>7.1} us/text", TEXTS as f64 / seconds, seconds * 1e6 / TEXTS as f64);
}

/// The `tokenizers` crate over the same vocabulary (layout: `scripts/static-model/model_file.py`).
fn reference_tokenizer() -> Tokenizer {
    let asset = include_bytes!("../assets/static-v1.bin");
    let number = |at: usize| u32::from_le_bytes(asset[at..at + 4].try_into().unwrap()) as usize;
    let count = number(24);
    let strings = 52 + 4 * (count + 1);
    let token = |i: usize| &asset[strings + number(52 + 4 * i)..strings + number(56 + 4 * i)];
    let vocabulary = (0..count).map(|i| (String::from_utf8_lossy(token(i)).into_owned(), i as u32));
    let vocabulary: HashMap<String, u32, _> = vocabulary.chain([("[UNK]".to_owned(), count as u32)]).collect();
    let mut tokenizer = Tokenizer::new(WordPiece::builder().vocab(vocabulary).build().unwrap());
    tokenizer.with_normalizer(Some(BertNormalizer::default())).unwrap();
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer
}
