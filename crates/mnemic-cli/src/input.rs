//! Reads what people type: ids, numbers, times, durations, JSON, texts from arguments or standard input.
//! Not here: which options exist (`args`).

#![expect(clippy::doc_markdown, reason = "doc comments of options are help texts, which show backticks as they are")]

use std::{
    io::{self, IsTerminal, Read},
    time::Duration,
};

use clap::Args;
use mnemic::{
    Error, Field, Filter, Object, Operand, Ratio, RecordKind, Result, ThreadId, Timestamp, UserId, Value,
    filter::Comparison, ids::quoted, limits,
};

/// Which records, by their fields.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct FilterArgs {
    /// Only records about this user
    #[arg(long, short, value_name = "ID")]
    pub(crate) user: Option<String>,
    /// Only records of this thread
    #[arg(long, short, value_name = "ID")]
    pub(crate) thread: Option<String>,
    /// Only records of this kind: semantic, episodic, persona, open_loop; repeat it for one of several
    #[arg(long, short, value_name = "KIND")]
    pub(crate) kind: Vec<String>,
    /// Only records with this tag; repeat it for all of several
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// Only records that pass this filter, such as '{"metadata.form":"I-485","salience":{"gte":0.5}}'
    #[arg(long, value_name = "JSON")]
    pub(crate) filter: Option<String>,
}

impl FilterArgs {
    /// The conditions as one filter.
    pub(crate) fn filter(&self) -> Result<Filter> {
        let mut filter = match &self.filter {
            Some(text) => Filter::from_object(&object("filter", text)?)?,
            None => Filter::all(),
        };
        if let Some(user) = &self.user {
            filter = filter.and(Filter::equals(Field::UserId, UserId::new(user)?.as_str()));
        }
        if let Some(thread) = &self.thread {
            filter = filter.and(Filter::equals(Field::ThreadId, ThreadId::new(thread)?.as_str()));
        }
        if !self.kind.is_empty() {
            let kinds: Result<Vec<Operand>> = self
                .kind
                .iter()
                .map(|name| Ok(Operand::String(name.parse::<RecordKind>()?.as_str().to_owned())))
                .collect();
            filter = filter.and(Filter::In(Field::Kind, kinds?));
        }
        for tag in &self.tag {
            filter = filter.and(Filter::Compare(Field::Tags, Comparison::Contains, Operand::String(tag.clone())));
        }
        filter.check()?;
        Ok(filter)
    }
}

/// A JSON object from an option.
pub(crate) fn object(field: &str, text: &str) -> Result<Object> {
    let named = |error: Error| {
        let message = error.message().replacen("json:", &format!("{field}:"), 1);
        Error::new(error.kind(), message).with_field(field).with_source(error)
    };
    match mnemic::wire::json::parse(text).map_err(named)? {
        Value::Object(object) => Ok(object),
        _ => Err(Error::invalid(field, "a JSON object such as {\"form\":\"I-485\"}", quoted(text))),
    }
}

/// A salience, confidence or threshold.
pub(crate) fn ratio(field: &str, value: Option<f64>) -> Result<Option<Ratio>> {
    value.map(|value| Ratio::new(field, value)).transpose()
}

/// An instant.
pub(crate) fn instant(field: &str, text: Option<&String>) -> Result<Option<Timestamp>> {
    text.map(|text| Timestamp::parse(field, text)).transpose()
}

/// A length of time such as `90d` or `12h 30m`.
pub(crate) fn duration(field: &str, text: &str) -> Result<Duration> {
    let wrong = || Error::invalid(field, "a length of time such as 90d, 12h or 30m", quoted(text));
    let span: jiff::Span = text.parse().map_err(|source: jiff::Error| wrong().with_source(source))?;
    let exact =
        span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|source| wrong().with_source(source))?;
    Duration::try_from(exact).map_err(|source| wrong().with_source(source))
}

/// A count for clap: how many hits, items, tokens.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_source: std::num::ParseIntError| format!("expected a whole number, found {}", quoted(text)))
}

/// The text of an argument, or of standard input for `-` or, if something is piped in, without an argument.
pub(crate) fn text(argument: Option<&str>) -> Result<String> {
    match argument {
        Some("-") => piped(),
        None if !io::stdin().is_terminal() => piped(),
        None => Err(Error::invalid("text", "an argument, or text on standard input", "neither")),
        Some(text) => Ok(text.to_owned()),
    }
}

fn piped() -> Result<String> {
    let mut bytes = Vec::new();
    let most = limits::TEXT_BYTES as u64 + 1;
    if let Err(error) = io::stdin().lock().take(most).read_to_end(&mut bytes) {
        return Err(Error::invalid("text", "text on standard input", error));
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        // A cut at the limit may split a character; the size is what is wrong then.
        let at = error.utf8_error().valid_up_to();
        if error.as_bytes().len() > limits::TEXT_BYTES {
            return Error::invalid("text", format!("at most {} bytes", limits::TEXT_BYTES), "more");
        }
        Error::invalid("text", "UTF-8", format!("another byte at position {at}"))
    })?;
    if text.is_empty() {
        return Err(Error::invalid("text", "text on standard input", "an empty input"));
    }
    // The line end that every shell tool adds is not part of the statement.
    if text.ends_with('\n') {
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_in_days_and_hours_and_never_backwards() {
        assert_eq!(duration("half_life", "90d").unwrap(), Duration::from_hours(90 * 24));
        assert_eq!(duration("half_life", "1h 30m").unwrap(), Duration::from_mins(90));
        for wrong in ["", "soon", "-3d", "1month"] {
            let error = duration("half_life", wrong).unwrap_err();
            assert_eq!(error.field(), Some("half_life"), "{wrong}");
        }
    }
}
