//! The identity of a point: a number or a UUID, and nothing else. Not here: points.

use std::fmt;

use serde_json::Value;
use uuid::Uuid;

use super::refusal::{Outcome, Refusal};

/// The identity of a point. Numbers come before UUIDs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PointId {
    Number(u64),
    Uuid(Uuid),
}

impl PointId {
    /// Reads an id from a body.
    pub(super) fn parse(value: &Value) -> Outcome<Self> {
        let id = match value {
            Value::Number(number) => number.as_u64().map(Self::Number),
            Value::String(text) => Uuid::try_parse(text).ok().map(Self::Uuid),
            _ => None,
        };
        id.ok_or_else(|| {
            let shown: String = value.to_string().trim_matches('"').chars().take(64).collect();
            Refusal::format(format!(
                "value {shown} is not a valid point ID, valid values are either an unsigned integer or a UUID"
            ))
        })
    }

    /// Reads an id from a path.
    pub(super) fn from_segment(text: &str) -> Outcome<Self> {
        let number = text.parse().ok().map(Self::Number);
        number.or_else(|| Uuid::try_parse(text).ok().map(Self::Uuid)).ok_or_else(|| {
            Refusal::bad_request(format!(
                "Can not recognize \"{}\" as point id",
                text.chars().take(64).collect::<String>()
            ))
        })
    }

    /// Its form in a body.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Number(number) => (*number).into(),
            Self::Uuid(uuid) => uuid.to_string().into(),
        }
    }
}

impl fmt::Display for PointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Uuid(uuid) => uuid.fmt(f),
        }
    }
}
