//! What metadata may hold. Not here: what filters make of it (`filter`).

use serde_json::{Map, Value};

use super::{Nulls, failure::Rpc};

/// Bytes of one record's metadata.
const MOST_BYTES: usize = 40_960;

pub(super) type Metadata = Map<String, Value>;

/// Metadata as it is stored, or why the request is refused.
pub(super) fn checked(mut metadata: Metadata, nulls: Nulls) -> Result<Metadata, Rpc> {
    if nulls == Nulls::Strip {
        metadata.retain(|_, value| !value.is_null());
    }
    for (key, value) in &metadata {
        if key.starts_with('$') {
            return Err(Rpc::invalid(format!("Metadata key cannot start with '$', got '{key}'")));
        }
        let fine = match value {
            Value::String(_) | Value::Number(_) | Value::Bool(_) => true,
            Value::Array(items) => items.iter().all(Value::is_string),
            Value::Null | Value::Object(_) => false,
        };
        if !fine {
            let shown = shown(value);
            return Err(Rpc::invalid(format!(
                "Metadata value must be a string, number, boolean or list of strings, got '{shown}' for field '{key}'"
            )));
        }
    }
    let size = serde_json::to_vec(&metadata).map_or(usize::MAX, |bytes| bytes.len());
    if size > MOST_BYTES {
        return Err(Rpc::invalid(format!(
            "Metadata size is {size} bytes, which exceeds the limit of {MOST_BYTES} bytes per vector"
        )));
    }
    Ok(metadata)
}

/// A value as messages show it: compact, whole numbers with a fraction, cut to 16 bytes.
fn shown(value: &Value) -> String {
    let text = as_floats(value).to_string();
    let mut end = text.len().min(16);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let cut = text.get(..end).unwrap_or_default();
    if end < text.len() { format!("{cut}...") } else { cut.to_owned() }
}

fn as_floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        Value::Array(items) => items.iter().map(as_floats).collect(),
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), as_floats(value))).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use axum::{body::to_bytes, response::IntoResponse};
    use serde_json::json;

    use super::*;

    async fn said(value: Value, nulls: Nulls) -> String {
        let Value::Object(metadata) = value else { unreachable!() };
        match checked(metadata, nulls) {
            Ok(stored) => serde_json::to_string(&stored).unwrap(),
            Err(refusal) => {
                let body = to_bytes(refusal.into_response().into_body(), 1 << 20).await.unwrap();
                serde_json::from_slice::<Value>(&body).unwrap()["message"].as_str().unwrap().to_owned()
            }
        }
    }

    #[tokio::test]
    async fn what_metadata_cannot_hold_is_refused_in_the_words_of_the_service() {
        let wanted = "Metadata value must be a string, number, boolean or list of strings, got ";
        assert_eq!(said(json!({"a": null}), Nulls::Strict).await, format!("{wanted}'null' for field 'a'"));
        assert_eq!(said(json!({"a": null, "b": "x"}), Nulls::Strip).await, r#"{"b":"x"}"#);
        assert_eq!(said(json!({"a": [1, 2]}), Nulls::Strip).await, format!("{wanted}'[1.0,2.0]' for field 'a'"));
        let nested = json!({"a": {"name": "a long value"}});
        assert_eq!(said(nested, Nulls::Strict).await, format!("{wanted}'{{\"name\":\"a long ...' for field 'a'"));
        let large = said(json!({"a": "x".repeat(41_000)}), Nulls::Strict).await;
        assert_eq!(large, "Metadata size is 41008 bytes, which exceeds the limit of 40960 bytes per vector");
        assert!(said(json!({"$a": 1}), Nulls::Strict).await.contains("'$a'"));
    }
}
