//! What records, hits, events and tables look like to people, and small helpers for what machines get.
//! Not here: where text goes and what is escaped on a terminal (`output`).

use std::fmt::Write as _;

use comfy_table::{ContentArrangement, Table, presets};
use mnemic::{
    AuditEvent, ChainedEvent, Hit, LegOutcome, MemoryRecord, Object, Retrieval, Timestamp, Value,
    value::write_canonical_object,
};

use crate::output::{Output, Palette, escaped, one_line};

/// An object from pairs.
pub(crate) fn object<const N: usize>(pairs: [(&str, Value); N]) -> Object {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A list of objects.
pub(crate) fn objects(items: impl IntoIterator<Item = Object>) -> Value {
    Value::Array(items.into_iter().map(Value::Object).collect())
}

/// A list of strings.
pub(crate) fn strings<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> Value {
    Value::Array(items.into_iter().map(|item| Value::from(item.as_ref())).collect())
}

/// A count.
pub(crate) fn number(count: usize) -> Value {
    Value::from(count as u64)
}

/// A double, `null` if it is not finite.
pub(crate) fn double(value: f64) -> Value {
    mnemic::Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// `1 record`, `2 records`.
pub(crate) fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A size for people.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// The day of an instant.
pub(crate) fn day(at: Timestamp) -> String {
    let text = at.to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

/// Wraps a text to a width and puts `indent` before every line but the first, which the caller begins.
pub(crate) fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let columns = width.saturating_sub(indent).max(20);
    textwrap::wrap(&escaped(text), columns).join(&format!("\n{}", " ".repeat(indent)))
}

/// Cuts a line to a width in columns.
pub(crate) fn cut(text: &str, width: usize) -> String {
    let text = one_line(text);
    if textwrap::core::display_width(&text) <= width {
        return text;
    }
    let mut shown = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += textwrap::core::display_width(c.encode_utf8(&mut [0; 4]));
        if used > width {
            break;
        }
        shown.push(c);
    }
    shown.push('…');
    shown
}

/// A plain table with a header.
pub(crate) fn table(output: &Output, header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    // Wrapped cells are for eyes; whatever reads a pipe wants one line a row.
    let arrangement = if output.terminal { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(arrangement)
        .set_width(u16::try_from(output.width).unwrap_or(80));
    if !header.is_empty() {
        table.set_header(header.iter().map(|title| title.to_uppercase()));
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| escaped(cell).into_owned()));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// What a record is besides its text, on one line.
fn particulars(record: &MemoryRecord) -> String {
    let mut parts = vec![record.id.to_string(), record.kind.to_string()];
    parts.extend(record.user_id.as_ref().map(ToString::to_string));
    parts.push(day(record.updated_at));
    parts.extend((record.version.0 > 1).then(|| format!("version {}", record.version)));
    parts.extend(
        (!record.tags.is_empty())
            .then(|| record.tags.iter().map(|tag| format!("#{tag}")).collect::<Vec<_>>().join(" ")),
    );
    parts.join(" · ")
}

/// Why a record is not shown by retrieval, if it is not.
fn over(record: &MemoryRecord, now: Timestamp) -> Option<String> {
    if let Some(newer) = &record.superseded_by {
        return Some(format!("superseded by {newer}"));
    }
    if let Some(end) = record.expires_at.filter(|end| *end <= now) {
        return Some(format!("expired {}", day(end)));
    }
    if let Some(end) = record.valid_to.filter(|end| *end <= now) {
        return Some(format!("held until {}", day(end)));
    }
    (record.valid_from > now).then(|| format!("holds from {}", day(record.valid_from)))
}

/// A record on a few lines.
pub(crate) fn record_block(output: &Output, record: &MemoryRecord, now: Timestamp) -> String {
    let paint = output.paint;
    let mut block = format!("{}\n", paint.bold(&one_line(record.id.as_str())));
    let _infallible = writeln!(block, "  {}", wrapped(&output.safe(&record.text), output.width, 2));
    let mut line = |name: &str, value: String| {
        let _infallible = writeln!(block, "  {} {}", paint.dim(&format!("{name:<11}")), escaped(&value));
    };
    line("kind", record.kind.to_string());
    let optional = [
        ("user", record.user_id.as_ref().map(ToString::to_string)),
        ("thread", record.thread_id.as_ref().map(ToString::to_string)),
        ("path", (!record.path.is_empty()).then(|| record.path.join("/"))),
        ("tags", (!record.tags.is_empty()).then(|| record.tags.iter().cloned().collect::<Vec<_>>().join(", "))),
        ("metadata", (!record.metadata.is_empty()).then(|| canonical(&record.metadata))),
        ("salience", record.salience.map(|ratio| ratio.get().to_string())),
        ("confidence", record.confidence.map(|ratio| ratio.get().to_string())),
        ("valid to", record.valid_to.map(|at| at.to_string())),
        ("expires", record.expires_at.map(|at| at.to_string())),
        ("superseded", record.superseded_by.as_ref().map(|id| format!("by {id}"))),
        ("events", (!record.provenance.events.is_empty()).then(|| joined(record.provenance.events.iter()))),
        ("merged", (!record.provenance.records.is_empty()).then(|| joined(record.provenance.records.iter()))),
        ("hidden", over(record, now)),
    ];
    line("source", record.source.clone());
    for (name, value) in optional {
        if let Some(value) = value {
            line(name, value);
        }
    }
    line("created", record.created_at.to_string());
    line("updated", format!("{} (version {})", record.updated_at, record.version));
    block
}

fn joined<T: ToString>(items: impl Iterator<Item = T>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

fn canonical(object: &Object) -> String {
    let mut text = String::new();
    write_canonical_object(object, &mut text);
    text
}

/// A record on one line.
pub(crate) fn record_line(output: &Output, record: &MemoryRecord, now: Timestamp) -> String {
    let head = format!("{}  {}", day(record.updated_at), one_line(record.id.as_str()));
    let tail = over(record, now).map(|why| format!(" ({why})")).unwrap_or_default();
    let used = textwrap::core::display_width(&head) + textwrap::core::display_width(&tail) + 2;
    let text = cut(&record.text, output.width.saturating_sub(used).max(24));
    format!("{head}  {text}{}", output.paint.dim(&tail))
}

/// A hit: its score, text, particulars, and with `explained` the reasons.
pub(crate) fn hit_block(output: &Output, position: usize, hit: &Hit, explained: Explained) -> String {
    let paint = output.paint;
    let head = format!("{position:>2}. {:.3}  ", hit.score);
    let indent = head.len();
    let pad = " ".repeat(indent);
    let mut block = format!("{}{}\n", paint.accent(&head), wrapped(&hit.record.text, output.width, indent));
    let about = wrapped(&one_line(&particulars(&hit.record)), output.width, indent);
    let _infallible = writeln!(block, "{pad}{}", paint.dim(&about));
    if explained == Explained::Yes {
        let _infallible = writeln!(block, "{pad}{}", wrapped(&reasons(hit), output.width, indent));
    }
    block
}

/// Whether reasons are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Explained {
    /// They are.
    Yes,
    /// They are not.
    No,
}

impl From<bool> for Explained {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

fn reasons(hit: &Hit) -> String {
    let explanation = &hit.explanation;
    let mut parts: Vec<String> = explanation
        .legs
        .iter()
        .map(|leg| {
            let measure = match leg.leg {
                mnemic::Leg::Dense => "cosine",
                mnemic::Leg::Lexical => "BM25",
            };
            format!("{} #{} ({measure} {:.2})", leg.leg, leg.rank, leg.raw)
        })
        .collect();
    parts.push(format!("fused {:.3}", explanation.fused));
    parts.extend(explanation.priors.iter().map(|prior| format!("{} ×{:.2}", prior.name, prior.factor)));
    parts.extend(explanation.rerank.map(|score| format!("rerank {score:.3}")));
    parts.extend(explanation.repeats.as_ref().map(|better| format!("repeats {}", one_line(better.as_str()))));
    format!("because: {}", parts.join(", "))
}

/// A slot: its name, its text beside it.
pub(crate) fn slot_line(output: &Output, name: &str, text: &str) -> String {
    let head = format!("{:<15} ", one_line(name));
    let indent = textwrap::core::display_width(&head);
    // Wrapped as if the name stood in the first line, so that no line is longer than the rest.
    let body = wrapped(&output.safe(text), output.width, indent);
    format!("{}{body}\n", output.paint.dim(&head))
}

/// Which ways of searching ran, one line each.
pub(crate) fn legs(paint: Palette, found: &Retrieval) -> String {
    let mut text = String::new();
    for leg in &found.legs {
        let outcome = match &leg.outcome {
            LegOutcome::Ran { found } => plural(*found, "candidate"),
            LegOutcome::Skipped(why) => format!("skipped: {why}"),
            LegOutcome::Failed(why) => format!("failed: {why}"),
        };
        let line = format!("{:<8} {outcome} in {:.1} ms", leg.leg.as_str(), leg.took.as_secs_f64() * 1000.0);
        let _infallible = writeln!(text, "{}", paint.dim(&escaped(&line)));
    }
    text
}

/// An event on one line, as far as a width goes.
pub(crate) fn event_line(output: &Output, entry: &ChainedEvent) -> String {
    let head = format!("{:>4}  ", entry.sequence.0);
    let Some(event) = &entry.event else {
        return format!("{head}{}", output.paint.dim("(erased; its hash stays in the chain)"));
    };
    let who = event.user_id.as_ref().map(|user| format!(" {user}")).unwrap_or_default();
    let head =
        format!("{head}{}  {}{who}  {}:{}  ", moment(event.timestamp), event.thread_id, event.source, event.action);
    let head = escaped(&head).into_owned();
    let room = output.width.saturating_sub(textwrap::core::display_width(&head)).max(24);
    format!("{head}{}", output.paint.dim(&cut(&said(event), room)))
}

/// An instant to the minute, for people.
fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(..16).unwrap_or(&text).replace('T', " ")
}

/// What an event says: its text, else its payload.
fn said(event: &AuditEvent) -> String {
    ["text", "content", "message"]
        .into_iter()
        .find_map(|key| event.payload.get(key)?.as_str().map(str::to_owned))
        .unwrap_or_else(|| canonical(&event.payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_line_never_exceeds_its_width_in_columns() {
        for text in
            ["short", "The filing fee for Form I-130 is $675", "東京都の申請料は六百七十五ドルです", "a\nb\u{1b}c"]
        {
            for width in 2..20 {
                assert!(textwrap::core::display_width(&cut(text, width)) <= width, "{text} {width}");
            }
        }
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
