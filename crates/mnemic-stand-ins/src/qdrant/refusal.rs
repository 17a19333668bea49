//! Answers in Qdrant's envelope, and its refusals. Not here: when they are given.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::{Value, json};

/// A request that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: u16,
    message: String,
    retry_after: Option<u64>,
    plain: bool,
}

/// What a request comes to.
pub(super) type Outcome<T> = Result<T, Refusal>;

impl Refusal {
    fn of(status: u16, message: String) -> Self {
        Self { status, message, retry_after: None, plain: false }
    }

    /// The body is no JSON, or not of the form that is asked for.
    pub(super) fn format(why: impl std::fmt::Display) -> Self {
        Self::of(400, format!("Format error in JSON body: {why}"))
    }

    /// The body is larger than the server reads.
    pub(super) fn too_large(bytes: usize, limit: usize) -> Self {
        Self::of(
            400,
            format!("Payload error: JSON payload ({bytes} bytes) is larger than allowed (limit: {limit} bytes)."),
        )
    }

    /// A value is out of its bounds.
    pub(super) fn validation(field: &str, why: &str) -> Self {
        Self::of(422, format!("Validation error in JSON body: [{field}: {why}]"))
    }

    /// A value contradicts the collection.
    pub(super) fn wrong_input(why: impl std::fmt::Display) -> Self {
        Self::of(400, format!("Wrong input: {why}"))
    }

    /// Strict mode does not allow it.
    pub(super) fn strict(why: impl std::fmt::Display, help: &str) -> Self {
        Self::of(400, format!("Bad request: {why}. Help: {help}"))
    }

    /// Something else is wrong with the request.
    pub(super) fn bad_request(why: impl std::fmt::Display) -> Self {
        Self::of(400, format!("Bad request: {why}"))
    }

    /// The collection is not there.
    pub(super) fn no_collection(name: &str) -> Self {
        Self::of(404, format!("Not found: Collection `{name}` doesn't exist!"))
    }

    /// A point is not there.
    pub(super) fn no_point(id: impl std::fmt::Display) -> Self {
        Self::of(404, format!("Not found: Point with id {id} does not exists!"))
    }

    /// Nothing is at that path.
    pub(super) fn no_route() -> Self {
        Self { plain: true, ..Self::of(404, String::new()) }
    }

    /// The collection is there already.
    pub(super) fn exists(name: &str) -> Self {
        Self::of(409, format!("Wrong input: Collection `{name}` already exists!"))
    }

    /// Strict mode lets so many requests through.
    pub(super) fn rate_limited(what: &str, wait: u64) -> Self {
        let message = format!(
            "Rate limiting exceeded: {what} rate limit exceeded: Operation requires 1 tokens but only 0 were available. \
             Retry after {wait}s"
        );
        Self { retry_after: Some(wait), ..Self::of(429, message) }
    }

    /// The key is missing or wrong; said in plain text.
    pub(super) fn unauthorized(given: bool) -> Self {
        let message =
            if given { "Invalid API key or JWT" } else { "Must provide an API key or an Authorization bearer token" };
        Self { plain: true, ..Self::of(401, message.to_owned()) }
    }

    /// What the real server could do and this stand-in cannot.
    pub(super) fn beyond(what: &str) -> Self {
        Self::of(501, format!("the stand-in does not know {what}"))
    }

    /// The answer.
    pub(super) fn into_response(self) -> Response {
        let body = json!({ "status": { "error": self.message }, "time": 0.000_1 });
        let (content_type, body) = if self.plain {
            ("text/plain; charset=utf-8", self.message)
        } else {
            ("application/json", body.to_string())
        };
        let mut response = respond(self.status, content_type, body);
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }
}

/// A result in the envelope.
pub(super) fn success(result: &Value) -> Response {
    respond(200, "application/json", json!({ "result": result, "status": "ok", "time": 0.000_1 }).to_string())
}

/// A body as it is.
pub(super) fn respond(status: u16, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
