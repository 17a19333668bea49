//! Google Gemini's embeddings on loopback: `embedContent` and `batchEmbedContents` under `/v1` and `/v1beta`.
//! Not here: its other models, and parts of content that are not text.

mod request;

use std::{io, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};

use crate::{
    Vendor,
    vectors::{Shared, StandIn, Tokenizer, number},
};

use request::{Batch, EmbedContent};

const MOST_REQUESTS: usize = 100;
const MOST_BYTES: usize = 4_194_304;
const NATIVE: usize = 3072;

/// What a stand-in for Gemini is strict about.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The only key that it accepts; any if there is none.
    pub key: Option<String>,
    /// How it counts.
    pub tokenizer: Tokenizer,
    /// Refuses a text beyond the model's window instead of cutting it.
    pub refuses_long: bool,
}

/// Its entry in the list of vendors.
pub const VENDOR: Vendor = Vendor {
    name: "gemini",
    about: "Google Gemini: embeddings",
    default_port: 4203,
    environment: |url| {
        vec![
            ("GEMINI_API_KEY", "stand-in".to_owned()),
            ("GOOGLE_GEMINI_BASE_URL", url.to_owned()),
            ("MNEMIC_EMBEDDER", "gemini".to_owned()),
            ("MNEMIC_EMBEDDER_URL", url.to_owned()),
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
        .route("/{version}/models/{call}", post(models))
        // The vendor's own limit answers, not the framework's.
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(Server { options, shared }))
}

/// A status of the protocol: HTTP status, its name, a message, and details.
struct Refusal {
    code: StatusCode,
    status: &'static str,
    message: String,
    details: Vec<Value>,
}

impl Refusal {
    fn invalid(message: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", message)
    }

    fn of(code: StatusCode, status: &'static str, message: impl Into<String>) -> Self {
        Self { code, status, message: message.into(), details: Vec::new() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut error = json!({ "code": self.code.as_u16(), "message": self.message, "status": self.status });
        if let (Some(error), false) = (error.as_object_mut(), self.details.is_empty()) {
            error.insert("details".to_owned(), Value::Array(self.details));
        }
        (self.code, Json(json!({ "error": error }))).into_response()
    }
}

async fn models(
    State(server): State<Arc<Server>>,
    Path((version, call)): Path<(String, String)>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let (name, method) = call.split_once(':').unwrap_or((call.as_str(), ""));
    if !matches!(version.as_str(), "v1" | "v1beta") || !matches!(method, "embedContent" | "batchEmbedContents") {
        return Err(Refusal::of(StatusCode::NOT_FOUND, "NOT_FOUND", "Requested entity was not found."));
    }
    server.authorized(&query, &headers)?;
    if body.len() > MOST_BYTES {
        return Err(Refusal::invalid(format!("Request payload size exceeds the limit: {MOST_BYTES} bytes.")));
    }
    let model = Model::known(name, &version)?;
    if method == "embedContent" {
        let request: EmbedContent = request::read(&body)?;
        let vectors = server.embedded(model, &[request]).await?;
        let vector = vectors.into_iter().next().unwrap_or_default();
        return Ok(Json(json!({ "embedding": rendered(&vector) })));
    }
    let batch: Batch = request::read(&body)?;
    if batch.requests.len() > MOST_REQUESTS {
        return Err(Refusal::invalid(
            "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch\n",
        ));
    }
    if let Some(n) = batch.requests.iter().position(|one| one.model.as_deref() != Some(&format!("models/{name}"))) {
        return Err(Refusal::invalid(format!(
            "* BatchEmbedContentsRequest.requests[{n}].model: model must match the model in the batch request\n"
        )));
    }
    let vectors = server.embedded(model, &batch.requests).await?;
    if vectors.is_empty() {
        return Ok(Json(json!({})));
    }
    Ok(Json(json!({ "embeddings": vectors.iter().map(|vector| rendered(vector)).collect::<Vec<_>>() })))
}

fn rendered(vector: &[f32]) -> Value {
    json!({ "values": vector.iter().map(|component| number(*component)).collect::<Vec<_>>() })
}

#[derive(Clone, Copy)]
struct Model {
    name: &'static str,
    window: usize,
    /// Whether what is cut to fewer dimensions is brought back to unit length, which the first model does not do.
    normalizes: bool,
}

const MODELS: [Model; 3] = [
    Model { name: "gemini-embedding-001", window: 2_048, normalizes: false },
    Model { name: "gemini-embedding-2", window: 8_192, normalizes: true },
    Model { name: "gemini-embedding-2-preview", window: 8_192, normalizes: true },
];

impl Model {
    fn known(name: &str, version: &str) -> Result<Self, Refusal> {
        MODELS.iter().find(|model| model.name == name).copied().ok_or_else(|| {
            let message = format!(
                "models/{name} is not found for API version {version}, or is not supported for embedContent. Call ListModels to see the list of available models and their supported methods."
            );
            Refusal::of(StatusCode::NOT_FOUND, "NOT_FOUND", message)
        })
    }
}

impl Server {
    fn authorized(&self, query: &[(String, String)], headers: &HeaderMap) -> Result<(), Refusal> {
        let header = headers.get("x-goog-api-key").and_then(|value| value.to_str().ok());
        let given = header.or_else(|| query.iter().find(|(name, _)| name == "key").map(|(_, value)| value.as_str()));
        match (given, &self.options.key) {
            (None | Some(""), _) => Err(Refusal::of(
                StatusCode::FORBIDDEN,
                "PERMISSION_DENIED",
                "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.",
            )),
            (Some(given), Some(key)) if given != key => {
                let mut refusal = Refusal::invalid("API key not valid. Please pass a valid API key.");
                refusal.details.push(json!({
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "API_KEY_INVALID",
                    "domain": "googleapis.com",
                    "metadata": { "service": "generativelanguage.googleapis.com" },
                }));
                Err(refusal)
            }
            _ => Ok(()),
        }
    }

    /// One vector for each content, whose parts are read as one text.
    async fn embedded(&self, model: Model, requests: &[EmbedContent]) -> Result<Vec<Vec<f32>>, Refusal> {
        let mut vectors = Vec::with_capacity(requests.len());
        for request in requests {
            let dimension = request.checked()?.unwrap_or(NATIVE);
            let text = request.text()?;
            let tokenizer = self.options.tokenizer;
            if self.options.refuses_long && tokenizer.count(&text) > model.window {
                let most = model.window;
                let message = format!("The input token count exceeds the maximum number of tokens allowed ({most}).");
                return Err(Refusal::invalid(message));
            }
            let text = tokenizer.cut(&text, model.window);
            // The second model is told by words of the text itself.
            let task = if model.normalizes { "" } else { request.task_type.as_deref().unwrap_or_default() };
            let mut vector = self.shared.meaning.vector(model.name, task, text, NATIVE).await;
            vector.truncate(dimension);
            vectors.push(if model.normalizes { crate::vectors::unit(vector) } else { vector });
        }
        Ok(self.shared.wrongs.spoil_ordered(vectors))
    }
}
