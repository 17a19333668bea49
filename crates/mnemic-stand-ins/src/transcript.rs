//! What a stand-in was asked and what it answered, for tests to judge. Not here: judging (`spec`).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use serde_json::Value;

/// One request and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// `GET`, `POST` …
    pub method: String,
    /// The path as sent, still escaped.
    pub path: String,
    /// The query as sent, still escaped; empty if there was none.
    pub query: String,
    /// The headers of the request by lower-case name. Values that are not text are left out.
    pub headers: BTreeMap<String, String>,
    /// The body of the request.
    pub body: Bytes,
    /// The status of the answer.
    pub status: u16,
    /// The headers of the answer by lower-case name.
    pub answer_headers: BTreeMap<String, String>,
    /// The body of the answer as the stand-in made it, before any fault cut it.
    pub answer: Bytes,
    /// Whether a fault replaced, cut or lost the answer; what such an answer says is no claim about the vendor.
    pub faulty: bool,
}

impl Exchange {
    /// The body of the request as JSON, `Null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body of the answer as JSON, `Null` if it is none.
    pub fn answer_json(&self) -> Value {
        serde_json::from_slice(&self.answer).unwrap_or_default()
    }

    /// The query as pairs, unescaped.
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (unescaped(key), unescaped(value))
            })
            .collect()
    }
}

/// Undoes percent escapes, and reads `+` as a space. What is not UTF-8 afterwards is replaced.
pub fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let escape = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, escape.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
                continue;
            }
            (b'+', _) => out.push(b' '),
            (other, _) => out.push(other),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The exchanges of one stand-in, oldest first. Clones share them.
#[derive(Clone, Debug)]
pub struct Transcript(Arc<Mutex<Log>>);

#[derive(Debug)]
struct Log {
    kept: VecDeque<Exchange>,
    most: usize,
}

impl Transcript {
    /// Keeps the last `most` exchanges; 0 records nothing.
    pub fn keeping(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Log { kept: VecDeque::new(), most })))
    }

    /// Whether anything is recorded at all.
    pub(crate) fn records(&self) -> bool {
        self.log().most > 0
    }

    pub(crate) fn push(&self, exchange: Exchange) {
        let mut log = self.log();
        while log.kept.len() >= log.most.max(1) {
            log.kept.pop_front();
        }
        if log.most > 0 {
            log.kept.push_back(exchange);
        }
    }

    /// Everything that is kept.
    pub fn all(&self) -> Vec<Exchange> {
        self.log().kept.iter().cloned().collect()
    }

    /// Everything that is kept, which is forgotten with that.
    pub fn take(&self) -> Vec<Exchange> {
        self.log().kept.drain(..).collect()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_halves_of_escapes_stay() {
        assert_eq!(unescaped("a%20b+c%C3%A9%2Bd%"), "a b cé+d%");
        assert_eq!(unescaped("%4"), "%4");
        assert_eq!(unescaped("%zz"), "%zz");
    }
}
