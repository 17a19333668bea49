//! Reranking in as many requests as a vendor allows. Not here: when and what is reranked (the manager).

use mnemic_core::{Error, ErrorKind, Result, Retry};

use super::{Ask, Limits, Refusal, ask_in_parts, cut, is_blank, tokens};

/// What pairs of a query and a text may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pairs {
    /// Texts of one request.
    pub(crate) texts: usize,
    /// Estimated tokens of the query; what is longer is cut.
    pub(crate) query_tokens: usize,
    /// Estimated tokens of query and text together; a text is cut to what the query leaves.
    pub(crate) pair_tokens: usize,
    /// Estimated tokens of all pairs of one request.
    pub(crate) tokens: usize,
    /// Bytes of all texts of one request as JSON.
    pub(crate) bytes: usize,
}

/// Scores every text. A blank text, and every text under a blank query, scores 0, the lowest; no vendor is asked about nothing.
///
/// # Errors
/// The vendor's, and `Unavailable` for a score that is not finite.
pub(crate) async fn score_in_parts<A, F>(limits: &Pairs, query: &str, texts: &[&str], with: F) -> Result<Vec<f32>>
where
    A: Ask<Entry = f32>,
    F: FnOnce(String) -> A,
{
    if is_blank(query) || texts.is_empty() {
        return Ok(vec![0.0; texts.len()]);
    }
    let query = cut(query, limits.query_tokens, limits.bytes / 2);
    let query_tokens = tokens(query);
    let text_tokens = limits.pair_tokens.saturating_sub(query_tokens).max(1);
    let parts = Limits {
        texts: limits.texts,
        tokens: limits.tokens,
        bytes: limits.bytes,
        text_tokens,
        text_bytes: limits.bytes / 2,
        counted: text_tokens,
        extra_tokens: query_tokens,
        extra_bytes: 3,
    };
    let scores = ask_in_parts(&with(query.to_owned()), &parts, texts).await?;
    Ok(scores.into_iter().map(Option::unwrap_or_default).collect())
}

/// Refuses a score that could not be ordered.
pub(crate) fn finite(service: &str, score: f32) -> Result<f32, Refusal> {
    if score.is_finite() {
        return Ok(score);
    }
    let message = format!("{service}: score: expected a finite number, found {score}");
    Err(Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Soon).into())
}
