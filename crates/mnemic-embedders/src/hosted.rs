//! What the embedders and rerankers behind HTTP share: sizes of texts, parts of a batch, and what is refused of an answer.
//! Not here: what one vendor says and means (its own folder), nor retry, caching and deadlines (layers).

mod answers;
mod parts;
mod prefixes;
mod said;
mod scores;
mod sizes;

pub(crate) use answers::{Indexed, Values, by_index, discovered, embedding, read};
pub(crate) use parts::{Ask, Limits, Refusal, answer_texts, ask_in_parts};
pub(crate) use prefixes::{fingerprinted, prefixed};
pub(crate) use said::said;
pub(crate) use scores::{Pairs, finite, score_in_parts};
pub(crate) use sizes::{cut, is_blank, tokens};

use mnemic_core::{Error, ErrorKind, Result};
use mnemic_http::SecretString;
use secrecy::ExposeSecret;

/// The header that carries a bearer key.
pub(crate) fn bearer(key: &SecretString) -> (&'static str, SecretString) {
    ("authorization", format!("Bearer {}", key.expose_secret()).into())
}

/// Refuses a key that cannot be one.
pub(crate) fn check_key(field: &str, key: &SecretString) -> Result<()> {
    let key = key.expose_secret();
    if key.is_empty() || key.contains(char::is_whitespace) || key.contains(char::is_control) {
        return Err(wrong_setting(field, "a key without spaces", "an empty one or one with spaces or line ends"));
    }
    Ok(())
}

/// A setting of the operator that cannot work.
pub(crate) fn wrong_setting(field: &str, expected: &str, found: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("{field}: expected {expected}, found {found}")).with_field(field)
}

/// Refuses a model name that cannot be one, or that would not stay one segment of a path.
pub(crate) fn check_model(field: &str, model: &str, within_path: bool) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let fits = if within_path { model.chars().all(plain) } else { !model.contains(char::is_control) };
    if model.trim().is_empty() || !fits || model.len() > 200 {
        let expected = if within_path { "a model name of letters, digits, `.`, `_` and `-`" } else { "a model name" };
        return Err(wrong_setting(field, expected, format!("{model:?}")));
    }
    Ok(())
}

/// The body of a request. Serializing strings and numbers cannot fail, which the type does not say.
pub(crate) fn encoded<B: From<Vec<u8>>>(body: &impl serde::Serialize) -> Result<B> {
    let bytes = serde_json::to_vec(body).map_err(|error| Error::bug("a request is no JSON").with_source(error))?;
    Ok(bytes.into())
}
