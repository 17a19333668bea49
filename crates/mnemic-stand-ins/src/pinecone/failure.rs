//! Refusals in the forms of the control plane and of the data plane. Not here: when to refuse.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// A refusal of the control plane.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", message)
    }

    pub(super) fn malformed(why: impl std::fmt::Display) -> Self {
        let message = format!("Failed to deserialize the JSON body into the target type: {why}");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "UNPROCESSABLE_ENTITY", message)
    }

    pub(super) fn unknown_index(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", format!("Resource {name} not found"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"status": self.status.as_u16(), "error": {"code": self.code, "message": self.message}});
        (self.status, Json(body)).into_response()
    }
}

/// A refusal of the data plane.
#[derive(Debug)]
pub(super) enum Rpc {
    Status(StatusCode, u8, String),
    /// A refused key, which is told in plain text.
    Plain(StatusCode, &'static str),
}

impl Rpc {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::Status(StatusCode::BAD_REQUEST, 3, message.into())
    }

    pub(super) fn missing_namespace() -> Self {
        Self::Status(StatusCode::NOT_FOUND, 5, "Namespace not found".to_owned())
    }
}

impl IntoResponse for Rpc {
    fn into_response(self) -> Response {
        match self {
            Self::Status(status, code, message) => {
                (status, Json(json!({"code": code, "message": message, "details": []}))).into_response()
            }
            Self::Plain(status, text) => (status, [(header::CONTENT_TYPE, "text/plain")], text).into_response(),
        }
    }
}
