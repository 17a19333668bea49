//! Vendors' limits: kept to where they can be known before, and come to terms with where a vendor counts more than was estimated.
//! Not here: the limits themselves, which are the stand-ins' (`mnemic-stand-ins`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod hosted_common;

use hosted_common::Vendor;
use mnemic_core::{
    Embedding, ErrorKind,
    ports::{Embedder, Purpose, Reranker},
};
use mnemic_embedders::{
    GeminiConfig, GeminiEmbedder, OpenAiConfig, OpenAiEmbedder, OpenAiProfile, TeiConfig, TeiEmbedder, TeiReranker,
    TeiRerankerConfig, TeiRoute, VoyageConfig, VoyageEmbedder, VoyageReranker, VoyageRerankerConfig,
};
use mnemic_http::Address;
use mnemic_stand_ins::{
    Exchange, gemini, openai, tei,
    vectors::{StandIn, Tokenizer},
    voyage,
};

fn below(stand_in: &StandIn) -> Address {
    Address::new("test", &format!("{}/v1", stand_in.url())).unwrap()
}

fn at(stand_in: &StandIn) -> Address {
    Address::new("test", &stand_in.url()).unwrap()
}

/// Texts of this many words that all differ.
fn texts(count: usize, words: usize) -> Vec<String> {
    (0..count).map(|n| format!("record {n} {}", "of the petition that was filed in April ".repeat(words / 8))).collect()
}

async fn embed(embedder: &dyn Embedder, texts: &[String]) -> Vec<Embedding> {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let found = embedder.embed(Purpose::Document, &texts).await.unwrap();
    found.into_iter().map(Option::unwrap).collect()
}

fn statuses(stand_in: &StandIn) -> Vec<u16> {
    stand_in.requests().iter().map(|asked| asked.status).collect()
}

fn longest_list(asked: &[Exchange], member: &str) -> usize {
    asked.iter().map(|asked| asked.json()[member].as_array().map_or(0, Vec::len)).max().unwrap_or_default()
}

fn voyage(options: voyage::Options) -> (StandIn, VoyageEmbedder) {
    let stand_in = voyage::start(options).unwrap();
    let config = VoyageConfig { address: Some(below(&stand_in)), ..VoyageConfig::new("pa-x".to_owned().into()) };
    let embedder = VoyageEmbedder::new(config).unwrap();
    (stand_in, embedder)
}

#[tokio::test]
async fn voyage_is_asked_for_2048_dimensions_in_batches_that_it_never_refuses() {
    let (stand_in, embedder) = voyage(voyage::Options::default());
    assert_eq!(embed(&embedder, &texts(1_100, 0)).await.len(), 1_100);
    // 300 texts of a thousand words are more than twice 120,000 tokens.
    assert_eq!(embed(&embedder, &texts(300, 1_000)).await.len(), 300);
    let asked = stand_in.requests();
    assert!(statuses(&stand_in).iter().all(|status| *status == 200), "{:?}", statuses(&stand_in));
    assert_eq!(longest_list(&asked, "input"), 1_000);
    for one in &asked {
        let body = one.json();
        assert_eq!((&body["output_dimension"], &body["input_type"]), (&2048.into(), &"document".into()));
        assert_eq!(body["encoding_format"], "base64");
        assert!(one.answer_json()["usage"]["total_tokens"].as_u64().unwrap() <= 120_000);
    }
}

#[tokio::test]
async fn what_voyage_counts_above_its_ceiling_is_asked_in_halves_with_the_same_vectors() {
    let (usual, embedder) = voyage(voyage::Options::default());
    let texts = texts(100, 400);
    let expected = embed(&embedder, &texts).await;
    assert!(statuses(&usual).iter().all(|status| *status == 200));
    let (harsh, embedder) = voyage(voyage::Options { tokenizer: Tokenizer::Bytes, ..Default::default() });
    assert_eq!(embed(&embedder, &texts).await, expected);
    assert!(statuses(&harsh).contains(&400), "the ceiling was met: {:?}", statuses(&harsh));
}

#[tokio::test]
async fn arrays_are_as_good_as_base64_and_a_query_is_not_a_document() {
    let (_stand_in, in_base64) = voyage(voyage::Options::default());
    let (_other, in_numbers) = voyage(voyage::Options { never_base64: true, ..Default::default() });
    let texts = texts(3, 8);
    assert_eq!(embed(&in_base64, &texts).await, embed(&in_numbers, &texts).await);
    let query = in_base64.embed(Purpose::Query, &[&texts[0]]).await.unwrap().remove(0).unwrap();
    assert_ne!(query, embed(&in_base64, &texts).await[0]);
}

fn gemini(model: &str, options: gemini::Options) -> (StandIn, GeminiEmbedder) {
    let stand_in = gemini::start(options).unwrap();
    let config = GeminiConfig {
        address: Some(at(&stand_in)),
        model: model.to_owned(),
        ..GeminiConfig::new("key".to_owned().into())
    };
    let embedder = GeminiEmbedder::new(config).unwrap();
    (stand_in, embedder)
}

#[tokio::test]
async fn gemini_gets_a_hundred_requests_a_batch_and_its_short_vectors_are_made_unit() {
    for model in ["gemini-embedding-001", "gemini-embedding-2"] {
        let (stand_in, embedder) = gemini(model, gemini::Options { refuses_long: true, ..Default::default() });
        let mut texts = texts(250, 8);
        texts.push("東".repeat(80_000));
        texts.push("word ".repeat(50_000));
        let found = embed(&embedder, &texts).await;
        assert_eq!(found.len(), 252);
        for embedding in &found {
            let length: f32 = embedding.components().iter().map(|component| component * component).sum();
            assert!((length - 1.0).abs() < 1e-4, "{length}");
        }
        let asked = stand_in.requests();
        assert_eq!(longest_list(&asked, "requests"), 100);
        assert!(asked.iter().all(|one| one.status == 200 && one.body.len() < 4_194_304), "{:?}", statuses(&stand_in));
        let first = &asked[0].json()["requests"][0];
        let (task, words) = (first.get("taskType").is_some(), first["content"]["parts"][0]["text"].as_str().unwrap());
        assert_eq!((task, words.starts_with("title: ")), (model.ends_with("001"), !model.ends_with("001")));
    }
}

#[tokio::test]
async fn a_text_that_gemini_still_finds_too_long_is_halved_alike_alone_and_in_a_batch() {
    let options = gemini::Options { refuses_long: true, tokenizer: Tokenizer::Bytes, ..Default::default() };
    let (stand_in, embedder) = gemini("gemini-embedding-001", options);
    let texts = texts(5, 2_000);
    let together = embed(&embedder, &texts).await;
    assert!(statuses(&stand_in).contains(&400));
    for (text, together) in texts.iter().zip(together) {
        assert_eq!(embed(&embedder, std::slice::from_ref(text)).await, [together]);
    }
}

fn openai(
    options: openai::Options,
    model: &str,
    dimension: Option<u32>,
    profile: OpenAiProfile,
) -> (StandIn, OpenAiConfig) {
    let stand_in = openai::start(options).unwrap();
    let config = OpenAiConfig {
        key: Some("sk-x".to_owned().into()),
        address: Some(below(&stand_in)),
        model: model.to_owned(),
        dimension,
        profile,
    };
    (stand_in, config)
}

#[tokio::test]
async fn openai_gets_no_empty_text_and_no_batch_or_text_that_it_refuses() {
    let options = openai::Options::of(openai::Flavour::OpenAi);
    let (stand_in, config) = openai(options, "text-embedding-3-small", Some(256), OpenAiProfile::open_ai());
    let embedder = OpenAiEmbedder::new(config).unwrap();
    let mut many: Vec<String> = texts(2_100, 0);
    many.push("word ".repeat(52_000));
    many.extend(texts(300, 1_000));
    assert_eq!(embed(&embedder, &many).await.len(), 2_401);
    let found = embedder.embed(Purpose::Query, &["", "a", " \n"]).await.unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);
    let before = stand_in.requests().len();
    assert_eq!(embedder.embed(Purpose::Query, &["", "\u{feff}"]).await.unwrap(), [None, None]);
    assert_eq!(stand_in.requests().len(), before, "nothing is asked about nothing");
    assert!(statuses(&stand_in).iter().all(|status| *status == 200), "{:?}", statuses(&stand_in));
    assert_eq!(longest_list(&stand_in.requests(), "input"), 2_048);
}

#[tokio::test]
async fn what_openai_counts_above_its_window_is_halved_alike_alone_and_in_a_batch() {
    let options = openai::Options { tokenizer: Tokenizer::Bytes, ..openai::Options::of(openai::Flavour::OpenAi) };
    let (stand_in, config) = openai(options, "text-embedding-3-large", Some(2048), OpenAiProfile::open_ai());
    let embedder = OpenAiEmbedder::new(config).unwrap();
    let mut texts = texts(4, 8);
    texts.push("word ".repeat(9_000));
    let together = embed(&embedder, &texts).await;
    assert!(statuses(&stand_in).contains(&400));
    for (text, together) in texts.iter().zip(together) {
        assert_eq!(embed(&embedder, std::slice::from_ref(text)).await, [together]);
    }
}

#[tokio::test]
async fn a_dimension_that_is_not_given_is_asked_for_once() {
    for (flavour, model, profile, dimension) in [
        (openai::Flavour::Ollama, "nomic-embed-text", OpenAiProfile::ollama(), 768),
        (openai::Flavour::Vllm, "intfloat/e5-small", OpenAiProfile::vllm(), 384),
        (openai::Flavour::OpenAi, "text-embedding-ada-002", OpenAiProfile::open_ai(), 1536),
    ] {
        let (stand_in, config) = openai(openai::Options::of(flavour), model, None, profile.clone());
        let embedder = OpenAiEmbedder::discover(config).await.unwrap();
        assert_eq!(embedder.model().unwrap().dimension(), dimension);
        assert_eq!(stand_in.requests().len(), 1);
        assert_eq!(embed(&embedder, &texts(2, 3_000)).await.len(), 2, "what is too long is cut");
        assert!(stand_in.requests().iter().all(|asked| asked.json().get("dimensions").is_none()));
        let (_stand_in, config) = openai(openai::Options::of(flavour), "no-such-model", None, profile);
        assert_eq!(OpenAiEmbedder::discover(config).await.unwrap_err().kind(), ErrorKind::InvalidConfig);
    }
    let refusing = openai::Options { refuses_long: true, ..openai::Options::of(openai::Flavour::Ollama) };
    let (_stand_in, config) = openai(refusing, "all-minilm", None, OpenAiProfile::ollama());
    let embedder = OpenAiEmbedder::discover(config).await.unwrap();
    assert_eq!(embed(&embedder, &texts(2, 3_000)).await.len(), 2, "a small window is found by halving");
}

#[tokio::test]
async fn a_server_that_answers_another_dimension_is_told_apart_from_the_right_one() {
    let stand_in = Vendor::Ollama.stand_in();
    let config = OpenAiConfig::at(below(&stand_in), "nomic-embed-text", OpenAiProfile::ollama());
    let embedder = OpenAiEmbedder::new(OpenAiConfig { dimension: Some(1024), ..config }).unwrap();
    let error = embedder.embed(Purpose::Document, &["a text"]).await.unwrap_err();
    let message = error.to_string();
    assert!(message.contains("1024") && message.contains("768") && message.contains("ollama/"), "{message}");
}

#[tokio::test]
async fn prefixes_go_before_texts_of_their_purpose() {
    let stand_in = Vendor::Ollama.stand_in();
    let profile = OpenAiProfile {
        query_prefix: "search_query: ".to_owned(),
        document_prefix: "search_document: ".to_owned(),
        ..OpenAiProfile::ollama()
    };
    let config = OpenAiConfig::at(below(&stand_in), "nomic-embed-text", profile);
    let embedder = OpenAiEmbedder::new(OpenAiConfig { dimension: Some(768), ..config }).unwrap();
    for (purpose, sent) in [(Purpose::Query, "search_query: cello"), (Purpose::Document, "search_document: cello")] {
        stand_in.transcript().take();
        embedder.embed(purpose, &["cello"]).await.unwrap();
        assert_eq!(stand_in.requests()[0].json()["input"][0], sent);
    }
}

fn tei(options: tei::Options) -> (StandIn, TeiConfig) {
    let stand_in = tei::start(options).unwrap();
    let config = TeiConfig::new(at(&stand_in));
    (stand_in, config)
}

#[tokio::test]
async fn the_limits_of_a_server_of_ones_own_are_asked_for_and_kept() {
    let (stand_in, config) = tei(tei::Options { max_client_batch_size: 8, ..Default::default() });
    let embedder = TeiEmbedder::connect(config).await.unwrap();
    assert_eq!(embedder.model().unwrap().to_string(), "tei/intfloat/multilingual-e5-small@384-cosine");
    let mut many = texts(100, 8);
    many.push("word ".repeat(52_000));
    let found = embed(&embedder, &many).await;
    assert!(statuses(&stand_in).iter().all(|status| *status == 200), "{:?}", statuses(&stand_in));
    assert_eq!(longest_list(&stand_in.requests(), "inputs"), 8);
    // The same without asking, from larger batches that are refused.
    let own = Some("intfloat/multilingual-e5-small".to_owned());
    let unasked = TeiConfig { model: own, dimension: Some(384), ..TeiConfig::new(at(&stand_in)) };
    assert_eq!(embed(&TeiEmbedder::new(unasked).unwrap(), &many).await, found);
    assert!(statuses(&stand_in).contains(&413));
    // And by the other protocol, which has another length but the same direction.
    let other = TeiConfig { route: TeiRoute::OpenAi, ..TeiConfig::new(at(&stand_in)) };
    let other = TeiEmbedder::connect(other).await.unwrap();
    for (a, b) in embed(&other, &many).await.iter().zip(&found) {
        assert!(a.cosine(b).unwrap() > 0.999_99);
    }
}

#[tokio::test]
async fn a_server_that_does_not_cut_by_itself_is_sent_what_it_can_read() {
    let options = tei::Options { auto_truncate: false, tokenizer: Tokenizer::Bytes, ..Default::default() };
    let (stand_in, config) = tei(options);
    let embedder = TeiEmbedder::connect(TeiConfig { route: TeiRoute::OpenAi, ..config }).await.unwrap();
    assert_eq!(embed(&embedder, &texts(3, 2_000)).await.len(), 3);
    assert!(statuses(&stand_in).contains(&413), "a byte a token is more than anybody estimates");
}

#[tokio::test]
async fn a_server_of_another_model_or_kind_is_refused_by_name() {
    let (_reranks, config) = tei(tei::Options { reranks: true, ..Default::default() });
    let error = TeiEmbedder::connect(config).await.unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidConfig, Some("tei.model")), "{error}");
    let (embeds, config) = tei(tei::Options::default());
    let error = TeiEmbedder::connect(TeiConfig { model: Some("bge-m3".to_owned()), ..config }).await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidConfig && error.to_string().contains("e5-small"), "{error}");
    let error = TeiReranker::connect(TeiRerankerConfig::new(at(&embeds))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    let blind = TeiReranker::new(TeiRerankerConfig::new(at(&embeds))).unwrap();
    assert_eq!(blind.rerank("a query", &["a text"]).await.unwrap_err().kind(), ErrorKind::InvalidConfig);
}

#[tokio::test]
async fn rerankers_keep_to_limits_and_score_in_parts_as_in_one() {
    let stand_in = voyage::start(voyage::Options::default()).unwrap();
    let own = VoyageRerankerConfig::new("pa-x".to_owned().into());
    let hosted = VoyageReranker::new(VoyageRerankerConfig { address: Some(below(&stand_in)), ..own }).unwrap();
    let server = tei::start(tei::Options { reranks: true, ..Default::default() }).unwrap();
    let local = TeiReranker::connect(TeiRerankerConfig::new(at(&server))).await.unwrap();
    let mut many = texts(1_050, 8);
    many[1_020] = "The client plays the cello in Riga.".to_owned();
    many.push("word ".repeat(50_000));
    let texts: Vec<&str> = many.iter().map(String::as_str).collect();
    let rerankers: [&dyn Reranker; 2] = [&hosted, &local];
    for reranker in rerankers {
        let query = "Who plays the cello?";
        let scores = reranker.rerank(query, &texts).await.unwrap();
        let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
        assert_eq!((scores.len(), best), (1_051, 1_020), "{reranker:?}");
        assert_eq!(reranker.rerank(query, &texts[1_020..1_021]).await.unwrap(), [scores[1_020]]);
        let long_query = "Who plays the cello? ".repeat(5_000);
        assert_eq!(reranker.rerank(&long_query, &texts[..5]).await.unwrap().len(), 5);
    }
    for stand_in in [&stand_in, &server] {
        assert!(statuses(stand_in).iter().all(|status| *status == 200), "{:?}", statuses(stand_in));
    }
    assert_eq!(longest_list(&stand_in.requests(), "documents"), 1_000);
    assert_eq!(longest_list(&server.requests(), "texts"), 32);
}

#[tokio::test]
async fn a_reranker_refuses_wrong_scores() {
    use mnemic_stand_ins::vectors::Wrong;
    let stand_in = voyage::start(voyage::Options::default()).unwrap();
    let own = VoyageRerankerConfig::new("pa-x".to_owned().into());
    let hosted = VoyageReranker::new(VoyageRerankerConfig { address: Some(below(&stand_in)), ..own }).unwrap();
    let server = tei::start(tei::Options { reranks: true, ..Default::default() }).unwrap();
    let local = TeiReranker::connect(TeiRerankerConfig::new(at(&server))).await.unwrap();
    let texts = ["the cello", "the filing fee", "the doctor"];
    let both: [(&dyn Reranker, &StandIn); 2] = [(&hosted, &stand_in), (&local, &server)];
    for (reranker, stand_in) in both {
        for wrong in [
            Wrong::TooFew,
            Wrong::TooMany,
            Wrong::IndexTwice,
            Wrong::IndexBeyond,
            Wrong::NoIndex,
            Wrong::NotANumber,
            Wrong::Infinite,
        ] {
            stand_in.wrongs().next([wrong]);
            let error = reranker.rerank("cello", &texts).await.expect_err(&format!("{wrong:?}"));
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{wrong:?}: {error:?}");
        }
        let scores = reranker.rerank("cello", &texts).await.unwrap();
        stand_in.wrongs().next([Wrong::Reordered]);
        assert_eq!(reranker.rerank("cello", &texts).await.unwrap(), scores);
    }
}
