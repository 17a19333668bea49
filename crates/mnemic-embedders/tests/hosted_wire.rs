//! Every request of the hosted adapters and every answer of their stand-ins, judged by the vendors' own descriptions, and Gemini's, which
//! has none, by the body that its own client was seen to send. Not here: what the adapters make of it (`hosted_limits`, `hosted_faults`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod hosted_common;

use std::process::ExitCode;

use hosted_common::{KEY, Vendor};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mnemic_core::ports::{Embedder, Purpose, Reranker};
use mnemic_embedders::{
    TeiConfig, TeiEmbedder, TeiReranker, TeiRerankerConfig, TeiRoute, VoyageConfig, VoyageEmbedder, VoyageReranker,
    VoyageRerankerConfig,
};
use mnemic_http::Address;
use mnemic_stand_ins::{
    Exchange, openai, tei,
    vectors::{Described, StandIn, Tokenizer},
    voyage,
};
use serde_json::json;

fn main() -> ExitCode {
    let judged = [
        trial("voyage_embeddings_are_as_described", Described::VoyageEmbeddings, || block_on(voyage_embeddings())),
        trial("voyage_reranking_is_as_described", Described::VoyageRerank, || block_on(voyage_rerank())),
        trial("openai_embeddings_are_as_described", Described::OpenAi, || block_on(openai())),
        trial("text_embeddings_inference_is_as_described", Described::Tei, || block_on(inference())),
    ];
    let seen = Trial::test("a_request_to_gemini_is_the_one_that_its_own_client_sends", || {
        block_on(gemini());
        Ok(())
    });
    libtest_mimic::run(&Arguments::from_args(), judged.into_iter().chain([seen]).collect()).exit_code()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Judges everything that `traffic` caused.
fn trial(name: &'static str, described: Described, traffic: fn() -> Vec<Exchange>) -> Trial {
    Trial::ignorable_test(name, move || {
        let Some(spec) = described.spec() else {
            let why = "the vendors' descriptions are not there";
            if std::env::var("MNEMIC_REQUIRE_SHARED").is_ok_and(|value| value == "1") {
                return Err(Failed::from(format!("{why} (MNEMIC_REQUIRE_SHARED demands them)")));
            }
            return Ok(Completion::ignored_with(why));
        };
        let spec = spec.map_err(|error| Failed::from(error.to_string()))?;
        let exchanges = traffic();
        assert!(exchanges.len() > 3, "{} requests", exchanges.len());
        let faults: Vec<String> = exchanges.iter().flat_map(|exchange| spec.check(exchange)).collect();
        if faults.is_empty() { Ok(Completion::Completed) } else { Err(Failed::from(faults.join("\n"))) }
    })
}

fn texts() -> Vec<String> {
    (0..150).map(|n| format!("record {n} {}", "of the petition that was filed in April ".repeat(40))).collect()
}

/// Queries, documents, what is in no vocabulary, and enough for several requests.
async fn embed(embedder: &dyn Embedder) {
    let many = texts();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    embedder.embed(Purpose::Document, &many).await.unwrap();
    embedder.embed(Purpose::Query, &["Где живёт клиент?", "\u{e000}", "", "\u{1b}[31m"]).await.unwrap();
}

fn below(stand_in: &StandIn) -> Address {
    Address::new("test", &format!("{}/v1", stand_in.url())).unwrap()
}

fn has(exchanges: &[Exchange], status: u16) {
    assert!(exchanges.iter().any(|exchange| exchange.status == status), "{status} was provoked");
}

async fn voyage_embeddings() -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    for options in [
        voyage::Options::default(),
        voyage::Options { tokenizer: Tokenizer::Bytes, never_base64: true, ..Default::default() },
    ] {
        let stand_in = voyage::start(options).unwrap();
        embed(&*Vendor::Voyage.at(&stand_in.url())).await;
        exchanges.extend(stand_in.requests());
    }
    let stand_in = voyage::start(voyage::Options { key: Some("pa-other".to_owned()), ..Default::default() }).unwrap();
    Vendor::Voyage.at(&stand_in.url()).embed(Purpose::Query, &["a"]).await.unwrap_err();
    // A model of one dimension is not asked for it.
    let own = VoyageConfig::new("pa-other".to_owned().into());
    let config = VoyageConfig { model: "voyage-law-2".into(), dimension: 1024, address: Some(below(&stand_in)), ..own };
    VoyageEmbedder::new(config).unwrap().embed(Purpose::Query, &["a"]).await.unwrap();
    exchanges.extend(stand_in.requests());
    has(&exchanges, 400);
    has(&exchanges, 401);
    exchanges
}

async fn voyage_rerank() -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    let many = texts();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let query = "Which petition was filed? ".repeat(600);
    for tokenizer in [Tokenizer::Usual, Tokenizer::Bytes] {
        let stand_in = voyage::start(voyage::Options { tokenizer, ..Default::default() }).unwrap();
        let own = VoyageRerankerConfig::new(KEY.to_owned().into());
        let reranker = VoyageReranker::new(VoyageRerankerConfig { address: Some(below(&stand_in)), ..own }).unwrap();
        reranker.rerank(&query, &many).await.unwrap();
        exchanges.extend(stand_in.requests());
    }
    has(&exchanges, 400);
    exchanges
}

async fn openai() -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    let strict = openai::Options::of(openai::Flavour::OpenAi);
    for options in [
        openai::Options { never_base64: true, ..strict.clone() },
        openai::Options { tokenizer: Tokenizer::Bytes, ..strict.clone() },
    ] {
        let stand_in = openai::start(options).unwrap();
        embed(&*Vendor::OpenAi.at(&stand_in.url())).await;
        let long = "word ".repeat(9_000);
        Vendor::OpenAi.at(&stand_in.url()).embed(Purpose::Document, &[&long]).await.unwrap();
        exchanges.extend(stand_in.requests());
    }
    let stand_in = openai::start(openai::Options { key: Some("sk-other".to_owned()), ..strict }).unwrap();
    Vendor::OpenAi.at(&stand_in.url()).embed(Purpose::Query, &["a"]).await.unwrap_err();
    exchanges.extend(stand_in.requests());
    has(&exchanges, 400);
    has(&exchanges, 401);
    exchanges
}

async fn inference() -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    for (route, auto_truncate) in [(TeiRoute::Native, true), (TeiRoute::OpenAi, false)] {
        let options = tei::Options { auto_truncate, tokenizer: Tokenizer::Bytes, ..Default::default() };
        let stand_in = tei::start(options).unwrap();
        let config = TeiConfig::new(Address::new("test", &stand_in.url()).unwrap());
        let embedder = TeiEmbedder::connect(TeiConfig { route, ..config }).await.unwrap();
        embed(&embedder).await;
        exchanges.extend(stand_in.requests());
    }
    // More texts than the server takes, which it was not asked about.
    let small = tei::start(tei::Options { max_client_batch_size: 4, ..Default::default() }).unwrap();
    embed(&*Vendor::Tei.at(&small.url())).await;
    exchanges.extend(small.requests());
    for reranks in [true, false] {
        let stand_in = tei::start(tei::Options { reranks, ..Default::default() }).unwrap();
        let config = TeiRerankerConfig::new(Address::new("test", &stand_in.url()).unwrap());
        let outcome = TeiReranker::new(config).unwrap().rerank("cello", &["the cello", "a fee"]).await;
        assert_eq!(outcome.is_ok(), reranks, "{outcome:?}");
        exchanges.extend(stand_in.requests());
    }
    has(&exchanges, 413);
    has(&exchanges, 424);
    exchanges
}

async fn gemini() {
    let stand_in = Vendor::Gemini.stand_in();
    let embedder = Vendor::Gemini.at(&stand_in.url());
    embedder.embed(Purpose::Document, &["one", "", "two"]).await.unwrap();
    embedder.embed(Purpose::Query, &["one"]).await.unwrap();
    let request = |text: &str, task: &str| {
        json!({
            "model": "models/gemini-embedding-001",
            "content": { "parts": [{ "text": text }] },
            "taskType": task,
            "outputDimensionality": 2048,
        })
    };
    let asked = stand_in.requests();
    let documents = ["one", "two"].map(|text| request(text, "RETRIEVAL_DOCUMENT"));
    assert_eq!(asked[0].json(), json!({ "requests": documents }));
    assert_eq!(asked[1].json(), json!({ "requests": [request("one", "RETRIEVAL_QUERY")] }));
    assert_eq!(asked[0].path, "/v1beta/models/gemini-embedding-001:batchEmbedContents");
    assert_eq!(asked[0].headers.get("x-goog-api-key").map(String::as_str), Some(KEY));
    assert_eq!(asked[0].query, "", "the key is no part of an address");
}
