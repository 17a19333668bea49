//! What a service answered: status, headers, and a body that is bounded. Not here: what it means to the adapter.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use mnemic_core::{Error, Result};
use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::verdict::unreadable;

/// Characters of a body that a message shows at most.
const EXCERPT: usize = 300;
/// The longest wait that is believed; what asks for more is asked again by then.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(crate) service: &'static str,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status tells of success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// One header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// `Unavailable`, worth retrying: a gateway's page or a cut body stands where the service's answer should.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        // What the parser says may quote the body, and belongs into logs only.
        serde_json::from_slice(&self.body).map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Data => "JSON of another form",
                _ => "no JSON, or not all of it",
            };
            self.unreadable(what).with_source(error)
        })
    }

    /// The error for a body that is not what the service's description says.
    pub fn unreadable(&self, why: &str) -> Error {
        unreadable(self.service, why)
            .with_context("status", self.status.to_string())
            .with_context("body", self.excerpt())
    }

    /// How long the service asks to wait: seconds or a date; `None` where it says nothing that makes sense.
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.header("retry-after")?.trim();
        if let Ok(seconds) = value.parse::<f64>() {
            // Not a number and below zero say nothing; a huge one is cut.
            return (seconds >= 0.0)
                .then(|| Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT));
        }
        let until = httpdate::parse_http_date(value).ok()?;
        Some(until.duration_since(SystemTime::now()).unwrap_or_default().min(LONGEST_WAIT))
    }

    /// The beginning of the body as one line, for logs and for the messages of services that answer in text.
    pub fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let line: Vec<&str> =
            text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
        line.join(" ").chars().take(EXCERPT).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn answer(retry_after: Option<&str>, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert("retry-after", value.parse().unwrap());
        }
        Answer { service: "test", status: 429, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn the_wait_is_read_from_seconds_and_dates_and_bounded() {
        let wait = |value| answer(Some(value), "").retry_after();
        assert_eq!(wait("0"), Some(Duration::ZERO));
        assert_eq!(wait("1.5"), Some(Duration::from_millis(1500)));
        assert_eq!(wait("1e9"), Some(LONGEST_WAIT));
        assert_eq!(wait("1e300"), Some(LONGEST_WAIT));
        for senseless in ["-1", "NaN", "soon", ""] {
            assert_eq!(wait(senseless), None, "{senseless}");
        }
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
        assert!(wait(&later).is_some_and(|wait| wait > Duration::from_secs(80) && wait <= Duration::from_secs(90)));
        assert_eq!(answer(None, "").retry_after(), None);
    }

    #[test]
    fn an_excerpt_is_one_short_line() {
        let page = answer(None, &format!("<html>\n\u{1b}[31m502\t{}", "x".repeat(9000)));
        assert!(page.excerpt().starts_with("<html> [31m502 xxx"), "{}", page.excerpt());
        assert_eq!(page.excerpt().chars().count(), EXCERPT);
        assert!(page.json::<serde_json::Value>().is_err());
    }
}
