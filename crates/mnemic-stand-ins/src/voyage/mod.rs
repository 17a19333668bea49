//! Voyage AI on loopback: `/v1/embeddings` and `/v1/rerank` as its description 1.1 has them, with its limits and its words for them.
//! Not here: output types other than `float`, which it refuses and says so.

mod embeddings;
mod rerank;

use std::{io, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    Knobs, Vendor,
    vectors::{Shared, StandIn, Tokenizer},
};

/// What a stand-in for Voyage AI is strict about.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The only key that it accepts; any if there is none.
    pub key: Option<String>,
    /// How it counts.
    pub tokenizer: Tokenizer,
    /// Answers arrays even where base64 was asked for.
    pub never_base64: bool,
}

/// Its entry in the list of vendors.
pub const VENDOR: Vendor = Vendor {
    name: "voyage",
    about: "Voyage AI: embeddings and reranking",
    default_port: 4202,
    environment: |url| {
        vec![
            ("VOYAGE_API_KEY", "stand-in".to_owned()),
            ("MNEMIC_EMBEDDER", "voyage".to_owned()),
            ("MNEMIC_EMBEDDER_URL", format!("{url}/v1")),
        ]
    },
    serve: |port, knobs| serve(port, knobs, Options::default()),
};

/// Starts it on a free port of 127.0.0.1 with a transcript. Its base address is `url()` and `/v1`.
pub fn start(options: Options) -> io::Result<StandIn> {
    StandIn::for_tests(|shared| router(options, shared))
}

fn serve(port: u16, knobs: Knobs, options: Options) -> io::Result<crate::Running> {
    StandIn::serve(port, knobs, 0, |shared| router(options, shared)).map(StandIn::into_running)
}

struct Server {
    options: Options,
    shared: Shared,
}

fn router(options: Options, shared: Shared) -> Router {
    Router::new()
        .route("/v1/embeddings", post(embeddings))
        .route("/v1/rerank", post(rerank))
        .with_state(Arc::new(Server { options, shared }))
}

async fn embeddings(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = async {
        server.authorized(&headers)?;
        embeddings::answer(&server, read(&body)?).await
    };
    rendered(answer.await)
}

async fn rerank(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = async {
        server.authorized(&headers)?;
        rerank::answer(&server, read(&body)?).await
    };
    rendered(answer.await)
}

fn rendered(answer: Result<Value, Refusal>) -> Response {
    match answer {
        Ok(answer) => Json(answer).into_response(),
        Err(Refusal(status, detail)) => (status, Json(json!({ "detail": detail }))).into_response(),
    }
}

/// A status and what stands in `detail`.
struct Refusal(StatusCode, String);

impl Refusal {
    fn bad(detail: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, detail.into())
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data if error.to_string().starts_with("unknown field") => {
            Refusal::bad(format!("The request has an argument that is not supported: {error}"))
        }
        serde_json::error::Category::Data => Refusal(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        _ => Refusal::bad("The request body is not valid JSON."),
    })
}

impl Server {
    fn authorized(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        match (given, &self.options.key) {
            (None | Some(""), _) => {
                let detail = "You have not provided an API key in the Authorization header.";
                Err(Refusal(StatusCode::UNAUTHORIZED, detail.to_owned()))
            }
            (Some(given), Some(key)) if given != key => {
                Err(Refusal(StatusCode::UNAUTHORIZED, "Provided API key is invalid.".to_owned()))
            }
            _ => Ok(()),
        }
    }
}
