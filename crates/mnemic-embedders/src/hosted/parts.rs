//! A batch in as many requests as its vendor allows, and smaller ones where the vendor still finds one too large.
//! Not here: asking again after a failure, which is a layer's.

use std::{collections::VecDeque, future::Future, ops::Range};

use mnemic_core::{Error, ErrorKind, Result};

use super::{
    answers::wrong_count,
    sizes::{cut, half, is_blank, json_bytes, tokens},
};

/// A text that is refused as too long below this many bytes is refused for another reason.
const SHORTEST: usize = 16;

/// What one request may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Texts of one request.
    pub(crate) texts: usize,
    /// Estimated tokens of one request.
    pub(crate) tokens: usize,
    /// Bytes of all texts of one request as JSON.
    pub(crate) bytes: usize,
    /// Estimated tokens of one text; what is longer is cut here. Without a bound where the vendor cuts.
    pub(crate) text_tokens: usize,
    /// Bytes of one text as JSON; what is longer is cut here.
    pub(crate) text_bytes: usize,
    /// A text counts at most this much into `tokens`, because the vendor cuts it there before it counts.
    pub(crate) counted: usize,
    /// Tokens that come with every text: prompts and marks.
    pub(crate) extra_tokens: usize,
    /// Bytes that come with every text: what the vendor wants around it.
    pub(crate) extra_bytes: usize,
}

/// The bytes of an answer that are planned with, below what the transport reads.
const ANSWER_BYTES: usize = 28 * 1024 * 1024;

/// How many vectors of a dimension fit into one answer. A component as text is up to 22 bytes (a double, as several servers print
/// it), and 16/3 in base64.
pub(crate) const fn answer_texts(dimension: u32, base64: bool) -> usize {
    let bytes = if base64 { 6 } else { 22 } * dimension as usize + 100;
    let texts = ANSWER_BYTES / bytes;
    if texts == 0 { 1 } else { texts }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Less may be answered: fewer texts, or a shorter one.
    TooMuch(Error),
    /// Less would not help.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// One request to one vendor.
pub(crate) trait Ask: Sync {
    /// What comes for each text.
    type Entry: Send;

    /// Asks once. `texts` is not empty, and none is blank.
    fn ask(&self, texts: &[&str]) -> impl Future<Output = Result<Vec<Self::Entry>, Refusal>> + Send;
}

/// Asks for every text that is not blank. Entries are in the order of `texts`; a blank text has none.
///
/// Each text is cut by itself, so that its entry does not depend on its neighbours.
///
/// # Errors
/// The vendor's. Where it was about one text, the field names it: `texts[3]`.
pub(crate) async fn ask_in_parts<A: Ask>(vendor: &A, limits: &Limits, texts: &[&str]) -> Result<Vec<Option<A::Entry>>> {
    let mut wanted: Vec<(usize, &str)> = Vec::with_capacity(texts.len());
    for (n, text) in texts.iter().enumerate().filter(|(_, text)| !is_blank(text)) {
        let short = cut(text, limits.text_tokens, limits.text_bytes);
        // A beginning without anything to see is as good as no text.
        if !is_blank(short) {
            wanted.push((n, short));
        }
    }
    let mut entries: Vec<Option<A::Entry>> = texts.iter().map(|_| None).collect();
    let mut parts = parts(limits, &wanted);
    while let Some(part) = parts.pop_front() {
        let Some(asked) = wanted.get(part.clone()) else { continue };
        let asked_texts: Vec<&str> = asked.iter().map(|(_, text)| *text).collect();
        match vendor.ask(&asked_texts).await {
            Ok(found) if found.len() != asked.len() => return Err(wrong_count(asked.len(), found.len())),
            Ok(found) => {
                for ((n, _), entry) in asked.iter().zip(found) {
                    if let Some(place) = entries.get_mut(*n) {
                        *place = Some(entry);
                    }
                }
            }
            Err(Refusal::TooMuch(error)) => smaller(&mut parts, part, &mut wanted, error)?,
            Err(Refusal::Failed(error)) => return Err(about(error, asked)),
        }
    }
    Ok(entries)
}

/// Puts what was too much back in smaller parts: two halves, or one text's first half.
fn smaller(
    parts: &mut VecDeque<Range<usize>>,
    part: Range<usize>,
    wanted: &mut [(usize, &str)],
    error: Error,
) -> Result<()> {
    if part.len() > 1 {
        let middle = part.start + part.len() / 2;
        parts.push_front(middle..part.end);
        parts.push_front(part.start..middle);
        return Ok(());
    }
    let Some((_, text)) = wanted.get_mut(part.start) else { return Err(error) };
    let short = half(text);
    if short.len() < SHORTEST || is_blank(short) {
        let one = wanted.get(part).unwrap_or_default();
        return Err(about(error, one));
    }
    *text = short;
    parts.push_front(part);
    Ok(())
}

/// Names the text, where there was only one and it is what was refused.
fn about(error: Error, asked: &[(usize, &str)]) -> Error {
    match asked {
        [(n, _)] if error.kind() == ErrorKind::InvalidInput && error.field().is_none() => {
            error.with_field(format!("texts[{n}]"))
        }
        _ => error,
    }
}

fn parts(limits: &Limits, wanted: &[(usize, &str)]) -> VecDeque<Range<usize>> {
    let mut parts = VecDeque::new();
    let (mut start, mut sum_tokens, mut sum_bytes) = (0, 0usize, 0usize);
    for (at, (_, text)) in wanted.iter().enumerate() {
        let cost = tokens(text).min(limits.counted) + limits.extra_tokens;
        let bytes = json_bytes(text) + limits.extra_bytes;
        let full =
            at - start >= limits.texts.max(1) || sum_tokens + cost > limits.tokens || sum_bytes + bytes > limits.bytes;
        if full && at > start {
            parts.push_back(start..at);
            (start, sum_tokens, sum_bytes) = (at, 0, 0);
        }
        sum_tokens += cost;
        sum_bytes += bytes;
    }
    if start < wanted.len() {
        parts.push_back(start..wanted.len());
    }
    parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

    use std::sync::Mutex;

    use super::*;

    const LIMITS: Limits = Limits {
        texts: 4,
        tokens: 100,
        bytes: 1000,
        text_tokens: 50,
        text_bytes: 400,
        counted: 50,
        extra_tokens: 1,
        extra_bytes: 4,
    };

    /// Answers each text's length; refuses what it is told to.
    #[derive(Debug, Default)]
    struct Lengths {
        most_texts: Option<usize>,
        most_bytes: Option<usize>,
        poison: Option<&'static str>,
        short_by: usize,
        asked: Mutex<Vec<Vec<String>>>,
    }

    impl Ask for Lengths {
        type Entry = usize;

        async fn ask(&self, texts: &[&str]) -> Result<Vec<usize>, Refusal> {
            self.asked.lock().unwrap().push(texts.iter().map(|&text| text.to_owned()).collect());
            let refused = || Error::new(ErrorKind::InvalidInput, "refused");
            if texts.len() > self.most_texts.unwrap_or(usize::MAX)
                || texts.iter().any(|text| text.len() > self.most_bytes.unwrap_or(usize::MAX))
            {
                return Err(Refusal::TooMuch(refused()));
            }
            if texts.iter().any(|text| Some(*text) == self.poison) {
                return Err(refused().into());
            }
            Ok(texts.iter().map(|text| text.len()).skip(self.short_by).collect())
        }
    }

    #[tokio::test]
    async fn blank_texts_are_never_sent_and_every_limit_holds() {
        let vendor = Lengths::default();
        let long = "word ".repeat(500);
        let texts = ["a", "", "bb", " \n", "ccc", &long, &long, &long, "d", "e", "f", "g", "h"];
        let found = ask_in_parts(&vendor, &LIMITS, &texts).await.unwrap();
        assert_eq!(found[..5], [Some(1), None, Some(2), None, Some(3)]);
        assert_eq!(found[5], found[6]);
        assert!(found[5].unwrap() <= 400, "{found:?}");
        let asked = vendor.asked.into_inner().unwrap();
        for part in &asked {
            assert!(!part.is_empty() && part.len() <= 4 && part.iter().all(|text| !is_blank(text)), "{part:?}");
            assert!(part.iter().map(|text| tokens(text) + 1).sum::<usize>() <= 100, "{part:?}");
        }
        assert_eq!(asked.iter().flatten().count(), 11);
        assert!(ask_in_parts(&Lengths::default(), &LIMITS, &[]).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_is_too_much_is_asked_in_halves_and_a_text_that_is_too_long_in_its_first_half() {
        let long = "x".repeat(70);
        let texts = ["a", "bb", &long, "dddd"];
        let vendor = Lengths { most_texts: Some(2), most_bytes: Some(40), ..Lengths::default() };
        let found = ask_in_parts(&vendor, &LIMITS, &texts).await.unwrap();
        assert_eq!(found, [Some(1), Some(2), Some(35), Some(4)]);
        let alone = ask_in_parts(&vendor, &LIMITS, &[&long]).await.unwrap();
        assert_eq!(alone, [Some(35)], "a text is cut the same way alone");
    }

    #[tokio::test]
    async fn a_vendor_that_finds_everything_too_much_is_given_up_on() {
        let vendor = Lengths { most_bytes: Some(0), ..Lengths::default() };
        let error = ask_in_parts(&vendor, &LIMITS, &["a", &"b".repeat(300)]).await.unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("texts[0]")));
        assert!(vendor.asked.into_inner().unwrap().len() < 20);
    }

    #[tokio::test]
    async fn a_refused_text_is_named_where_it_was_asked_alone() {
        let vendor = Lengths { poison: Some("bad"), ..Lengths::default() };
        let one_at_a_time = Limits { texts: 1, ..LIMITS };
        let error = ask_in_parts(&vendor, &one_at_a_time, &["a", "", "bad"]).await.unwrap_err();
        assert_eq!(error.field(), Some("texts[2]"));
        let error = ask_in_parts(&vendor, &LIMITS, &["a", "bad"]).await.unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, None));
    }

    #[tokio::test]
    async fn too_few_entries_are_refused() {
        let vendor = Lengths { short_by: 1, ..Lengths::default() };
        let error = ask_in_parts(&vendor, &LIMITS, &["a", "b"]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn as_many_vectors_are_asked_for_as_an_answer_holds() {
        assert!(answer_texts(2048, true) >= 1000);
        assert!(answer_texts(3072, false) * 3072 * 22 < 32 * 1024 * 1024);
        assert_eq!(answer_texts(u32::MAX, false), 1);
    }
}
