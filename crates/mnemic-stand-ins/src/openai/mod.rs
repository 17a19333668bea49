//! `OpenAI`'s embeddings on loopback: `/v1/embeddings` and `/v1/models`, strict as `OpenAI` is, or as Ollama or `vLLM` are instead.
//! Not here: the rest of the protocol.

mod flavour;
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

pub use flavour::Flavour;
use request::Request;

/// What a stand-in for `OpenAI` is strict about.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose limits and words it has.
    pub flavour: Flavour,
    /// The only key that it accepts; any if there is none. Only `OpenAI` wants one at all.
    pub key: Option<String>,
    /// How it counts.
    pub tokenizer: Tokenizer,
    /// Answers arrays even where base64 was asked for.
    pub never_base64: bool,
    /// Ollama only: refuses a text beyond the model's window instead of cutting it.
    pub refuses_long: bool,
}

impl Options {
    /// The strictness of this server, with any key.
    pub fn of(flavour: Flavour) -> Self {
        Self { flavour, key: None, tokenizer: Tokenizer::Usual, never_base64: false, refuses_long: false }
    }
}

/// Its entry in the list of vendors.
pub const VENDOR: Vendor = Vendor {
    name: "openai",
    about: "OpenAI: embeddings",
    default_port: 4204,
    environment: |url| {
        vec![
            ("OPENAI_API_KEY", "stand-in".to_owned()),
            ("OPENAI_BASE_URL", format!("{url}/v1")),
            ("MNEMIC_EMBEDDER", "openai".to_owned()),
            ("MNEMIC_EMBEDDER_URL", format!("{url}/v1")),
        ]
    },
    serve: |port, knobs| {
        let options = Options::of(Flavour::OpenAi);
        StandIn::serve(port, knobs, 0, |shared| router(options, shared)).map(StandIn::into_running)
    },
};

/// Starts it on a free port of 127.0.0.1 with a transcript. Its base address is `url()` and `/v1`.
pub fn start(options: Options) -> io::Result<StandIn> {
    StandIn::for_tests(|shared| router(options, shared))
}

struct Server {
    options: Options,
    shared: Shared,
}

fn router(options: Options, shared: Shared) -> Router {
    Router::new()
        .route("/v1/embeddings", post(embeddings))
        .route("/v1/models", get(models))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(Server { options, shared }))
}

/// What a refusal says; each server puts it into its own form.
struct Refusal {
    status: StatusCode,
    message: String,
    kind: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

impl Refusal {
    fn of(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), kind, param: None, code: None }
    }

    fn bad(message: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    fn about(self, param: &'static str) -> Self {
        Self { param: Some(param), ..self }
    }

    fn coded(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    fn rendered(self, flavour: Flavour) -> Response {
        let error = match flavour {
            Flavour::OpenAi => {
                json!({ "message": self.message, "type": self.kind, "param": self.param, "code": self.code })
            }
            Flavour::Ollama => json!({ "message": self.message, "type": self.kind, "param": null, "code": null }),
            Flavour::Vllm => {
                let kind = if self.status == StatusCode::NOT_FOUND { "NotFoundError" } else { "BadRequestError" };
                json!({ "message": self.message, "type": kind, "param": self.param, "code": self.status.as_u16() })
            }
        };
        (self.status, Json(json!({ "error": error }))).into_response()
    }
}

async fn embeddings(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    match server.answer(&headers, &body).await {
        Ok(answer) => Json(answer).into_response(),
        Err(refusal) => refusal.rendered(server.options.flavour),
    }
}

async fn models(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = server.authorized(&headers) {
        return refusal.rendered(server.options.flavour);
    }
    let flavour = server.options.flavour;
    let model = |model: &flavour::Model| json!({ "id": model.name, "object": "model", "created": 1_700_000_000, "owned_by": flavour.owner() });
    let data: Vec<Value> = flavour.models().iter().map(model).collect();
    Json(json!({ "object": "list", "data": data })).into_response()
}

impl Server {
    fn authorized(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let refused = |message: &str| Refusal::of(StatusCode::UNAUTHORIZED, "invalid_request_error", message);
        match (given.filter(|given| !given.is_empty()), &self.options.key) {
            (None, _) if self.options.flavour == Flavour::OpenAi => Err(refused(
                "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            )),
            (given, Some(key)) if given != Some(key) => {
                // The real message repeats the key with its middle covered.
                Err(refused("Incorrect API key provided: sk-st***in. You can find your API key at https://platform.openai.com/account/api-keys.")
                    .coded("invalid_api_key"))
            }
            _ => Ok(()),
        }
    }

    async fn answer(&self, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
        self.authorized(headers)?;
        let flavour = self.options.flavour;
        let request = Request::read(body, flavour)?;
        let model = flavour.known(request.model())?;
        let dimension = flavour.dimension(model, request.dimensions)?;
        let texts = request.texts(flavour)?;
        let (texts, tokens) = flavour.fitted(&self.options, model, &request, texts)?;
        let mut vectors = Vec::with_capacity(texts.len());
        for text in &texts {
            // What is cut to fewer dimensions is brought back to unit length.
            let mut vector = self.shared.meaning.vector(model.name, "", text, model.dimension).await;
            vector.truncate(dimension);
            vectors.push(crate::vectors::unit(vector));
        }
        let mut entries = Entry::all(vectors);
        self.shared.wrongs.spoil(&mut entries);
        let as_base64 = request.base64() && !self.options.never_base64;
        let data: Vec<Value> = entries.iter().map(|entry| rendered(entry, as_base64)).collect();
        let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
        let mut answer = json!({ "object": "list", "data": data, "model": request.model(), "usage": usage });
        if let (Some(answer), Flavour::Vllm) = (answer.as_object_mut(), flavour) {
            answer.insert("id".to_owned(), json!("embd-0"));
            answer.insert("created".to_owned(), json!(1_700_000_000));
        }
        Ok(answer)
    }
}

fn rendered(entry: &Entry, as_base64: bool) -> Value {
    let embedding = if as_base64 {
        json!(base64(&entry.vector))
    } else {
        entry.vector.iter().map(|component| number(*component)).collect()
    };
    let mut data = json!({ "object": "embedding", "embedding": embedding });
    if let (Some(data), Some(index)) = (data.as_object_mut(), entry.index) {
        data.insert("index".to_owned(), json!(index));
    }
    data
}
