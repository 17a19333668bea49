//! Text Embeddings Inference 1.9.3 on loopback: `/info`, `/embed`, `/v1/embeddings` and `/rerank`.
//! Not here: its other routes, and token arrays, which it refuses as the tokenizer would.

mod request;

use std::{io, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use crate::{
    Vendor,
    vectors::{Entry, Shared, StandIn, Tokenizer, base64, number},
};

use request::{Embed, OpenAi, Rerank, read};

const PAYLOAD: usize = 2_000_000;
const EMBEDDING_MODEL: &str = "intfloat/multilingual-e5-small";
const RERANKING_MODEL: &str = "BAAI/bge-reranker-base";

/// What a stand-in for Text Embeddings Inference was started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The only key that it accepts; none is wanted if there is none.
    pub key: Option<String>,
    /// Serves a model that reranks instead of one that embeds.
    pub reranks: bool,
    /// Components of one embedding.
    pub dimension: usize,
    /// Texts of one request.
    pub max_client_batch_size: usize,
    /// Tokens that the model reads.
    pub max_input_length: usize,
    /// Cuts what is longer unless a request says otherwise.
    pub auto_truncate: bool,
    /// How it counts.
    pub tokenizer: Tokenizer,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            key: None,
            reranks: false,
            dimension: 384,
            max_client_batch_size: 32,
            max_input_length: 512,
            auto_truncate: true,
            tokenizer: Tokenizer::Usual,
        }
    }
}

/// Its entry in the list of vendors.
pub const VENDOR: Vendor = Vendor {
    name: "tei",
    about: "Text Embeddings Inference: embeddings",
    default_port: 4205,
    environment: |url| {
        vec![
            ("MNEMIC_EMBEDDER", "tei".to_owned()),
            ("MNEMIC_EMBEDDER_URL", url.to_owned()),
            ("MNEMIC_EMBEDDING_MODEL", EMBEDDING_MODEL.to_owned()),
            ("MNEMIC_EMBEDDING_DIMENSION", Options::default().dimension.to_string()),
        ]
    },
    serve: |port, knobs| {
        StandIn::serve(port, knobs, 0, |shared| router(Options::default(), shared)).map(StandIn::into_running)
    },
};

/// Starts it on a free port of 127.0.0.1 with a transcript.
pub fn start(options: Options) -> io::Result<StandIn> {
    StandIn::for_tests(|shared| router(options, shared))
}

struct Server {
    options: Options,
    shared: Shared,
}

fn router(options: Options, shared: Shared) -> Router {
    Router::new()
        .route("/info", get(info))
        .route("/embed", post(embed))
        .route("/v1/embeddings", post(openai))
        .route("/rerank", post(rerank))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(Server { options, shared }))
}

/// A refusal in the words of the server; its two protocols put them into different forms.
struct Refusal {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl Refusal {
    fn validation(message: impl Into<String>) -> Self {
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, kind: "Validation", message: message.into() }
    }

    fn empty() -> Self {
        Self { status: StatusCode::BAD_REQUEST, kind: "Empty", message: "`inputs` cannot be empty".to_owned() }
    }

    fn backend(message: &str) -> Self {
        Self { status: StatusCode::FAILED_DEPENDENCY, kind: "Backend", message: message.to_owned() }
    }

    fn native(self) -> Response {
        (self.status, Json(json!({ "error": self.message, "error_type": self.kind }))).into_response()
    }

    fn openai(self) -> Response {
        let body = json!({ "message": self.message, "code": self.status.as_u16(), "error_type": self.kind });
        (self.status, Json(body)).into_response()
    }
}

async fn info(State(server): State<Arc<Server>>) -> Json<Value> {
    let Options { reranks, max_client_batch_size, max_input_length, auto_truncate, .. } = server.options;
    let model = if reranks { RERANKING_MODEL } else { EMBEDDING_MODEL };
    let classes = json!({ "id2label": { "0": "LABEL_0" }, "label2id": { "LABEL_0": 0 } });
    let kind = if reranks { json!({ "reranker": classes }) } else { json!({ "embedding": { "pooling": "mean" } }) };
    Json(json!({
        "model_id": model, "model_sha": null, "model_dtype": "float32", "served_model_name": model, "model_type": kind,
        "max_concurrent_requests": 512, "max_input_length": max_input_length, "max_batch_tokens": 16384,
        "max_batch_requests": null, "max_client_batch_size": max_client_batch_size, "auto_truncate": auto_truncate,
        "tokenization_workers": 2, "version": "1.9.3", "sha": null, "docker_label": null,
    }))
}

async fn embed(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refused) = server.refuses(&headers, &body) {
        return refused;
    }
    let answer = async {
        let request: Embed = read(&body)?;
        let texts = request.inputs()?;
        let truncate = request.truncate.unwrap_or(server.options.auto_truncate);
        let (mut vectors, _) = server.vectors(&texts, truncate, request.dimensions).await?;
        if request.normalize == Some(false) {
            // The model's own length, whatever it is.
            vectors.iter_mut().flatten().for_each(|component| *component *= 3.5);
        }
        let vectors = server.shared.wrongs.spoil_ordered(vectors);
        let row = |vector: &Vec<f32>| vector.iter().map(|component| number(*component)).collect::<Value>();
        Ok(vectors.iter().map(row).collect::<Value>())
    };
    match answer.await {
        Ok(rows) => Json::<Value>(rows).into_response(),
        Err(refusal) => Refusal::native(refusal),
    }
}

async fn openai(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refused) = server.refuses(&headers, &body) {
        return refused;
    }
    let answer = async {
        let request: OpenAi = read(&body)?;
        let texts = request.inputs()?;
        let auto = server.options.auto_truncate;
        let (vectors, tokens) = server.vectors(&texts, auto, request.dimensions).await?;
        let mut entries = Entry::all(vectors);
        server.shared.wrongs.spoil(&mut entries);
        let rendered = |entry: &Entry| {
            let embedding = if request.base64() {
                json!(base64(&entry.vector))
            } else {
                entry.vector.iter().map(|component| number(*component)).collect()
            };
            let mut data = json!({ "object": "embedding", "embedding": embedding });
            if let (Some(data), Some(index)) = (data.as_object_mut(), entry.index) {
                data.insert("index".to_owned(), json!(index));
            }
            data
        };
        let data: Vec<Value> = entries.iter().map(rendered).collect();
        let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
        Ok(json!({ "object": "list", "data": data, "model": EMBEDDING_MODEL, "usage": usage }))
    };
    match answer.await {
        Ok(answer) => Json::<Value>(answer).into_response(),
        Err(refusal) => Refusal::openai(refusal),
    }
}

async fn rerank(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refused) = server.refuses(&headers, &body) {
        return refused;
    }
    let answer = async {
        let request: Rerank = read(&body)?;
        if !server.options.reranks {
            return Err(Refusal::backend("model is not a re-ranker model"));
        }
        server.counted(request.texts.len())?;
        let mut scores = Vec::with_capacity(request.texts.len());
        for text in &request.texts {
            let truncate = request.truncate.unwrap_or(server.options.auto_truncate);
            let pair = server.fitted(&format!("{} {text}", request.query), truncate)?.len();
            let text = text.get(..text.floor_char_boundary(pair)).unwrap_or_default();
            let closeness = server.shared.meaning.closeness(&request.query, text).await;
            // Raw scores of such models are logits.
            let logit = (closeness - 0.3) * 8.0;
            scores.push(vec![if request.raw_scores { logit } else { 1.0 / (1.0 + (-logit).exp()) }]);
        }
        let mut entries = Entry::all(scores);
        let score = |entry: &Entry| entry.vector.first().copied().unwrap_or_default();
        entries.sort_by(|a, b| score(b).total_cmp(&score(a)));
        server.shared.wrongs.spoil(&mut entries);
        let rendered = |entry: &Entry| {
            let mut rank = json!({ "score": number(score(entry)) });
            if let (Some(rank), Some(index)) = (rank.as_object_mut(), entry.index) {
                rank.insert("index".to_owned(), json!(index));
                if request.return_text {
                    rank.insert("text".to_owned(), json!(request.texts.get(index)));
                }
            }
            rank
        };
        Ok(entries.iter().map(rendered).collect::<Value>())
    };
    match answer.await {
        Ok(ranks) => Json::<Value>(ranks).into_response(),
        Err(refusal) => Refusal::native(refusal),
    }
}

impl Server {
    /// What is refused before a body is read: a wrong key, and a body above the payload limit.
    fn refuses(&self, headers: &HeaderMap, body: &Bytes) -> Option<Response> {
        let given = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        if self.options.key.is_some() && given != self.options.key.as_deref() {
            return Some(StatusCode::UNAUTHORIZED.into_response());
        }
        let large = body.len() > PAYLOAD;
        large.then(|| (StatusCode::PAYLOAD_TOO_LARGE, "length limit exceeded").into_response())
    }

    fn counted(&self, found: usize) -> Result<(), Refusal> {
        let most = self.options.max_client_batch_size;
        match found {
            0 => Err(Refusal::empty()),
            _ if found > most => {
                Err(Refusal::validation(format!("batch size {found} > maximum allowed batch size {most}")))
            }
            _ => Ok(()),
        }
    }

    fn fitted<'a>(&self, text: &'a str, truncate: bool) -> Result<&'a str, Refusal> {
        let (tokenizer, most) = (self.options.tokenizer, self.options.max_input_length);
        let found = tokenizer.count(text);
        if text.is_empty() {
            return Err(Refusal::validation("`inputs` cannot be empty"));
        }
        if found > most && !truncate {
            let message = format!("Input validation error: `inputs` must have less than {most} tokens. Given: {found}");
            return Err(Refusal::validation(message));
        }
        Ok(tokenizer.cut(text, most))
    }

    async fn vectors(
        &self,
        texts: &[String],
        truncate: bool,
        dimensions: Option<usize>,
    ) -> Result<(Vec<Vec<f32>>, usize), Refusal> {
        if self.options.reranks {
            return Err(Refusal::backend("model is not an embedding model"));
        }
        self.counted(texts.len())?;
        let native = self.options.dimension;
        let dimension = dimensions.unwrap_or(native);
        if dimension == 0 || dimension > native {
            return Err(Refusal::validation(format!("`dimensions` should be positive and at most {native}")));
        }
        let (mut vectors, mut tokens) = (Vec::with_capacity(texts.len()), 0);
        for text in texts {
            let text = self.fitted(text, truncate)?;
            tokens += self.options.tokenizer.count(text);
            let mut vector = self.shared.meaning.vector(EMBEDDING_MODEL, "", text, native).await;
            vector.truncate(dimension);
            vectors.push(crate::vectors::unit(vector));
        }
        Ok((vectors, tokens))
    }
}
