//! The one wire form: every noun as a JSON object, the same for export, HTTP, MCP, Python and `--json`.
//! Not here: stored forms (adapters), envelopes and status codes (doors).
//!
//! Rules that hold for every object:
//! - Keys are sorted, optional fields that are absent are left out, times are RFC 3339 in UTC, numbers are the shortest that
//!   read back the same ([`to_line`]).
//! - On input a `null` counts as absent, an unknown key is refused with the nearest known one, and the older names `type`
//!   (for `kind`) and `decay_at` (for `expires_at`) are understood. They are never written.
//! - A filter is read by [`mnemic_core::Filter::from_object`].

mod event;
mod fault;
mod fields;
pub mod json;
mod record;
mod reports;
mod requests;
mod retrieval;
mod slots;

use mnemic_core::{Object, Value, value::write_canonical_object};

pub use event::{
    audit_event_from_object, chained_event_from_object, chained_event_object, event_from_object, event_object,
    thread_summary_from_object, thread_summary_object,
};
pub use fault::error_object;
pub use record::{new_record_from_object, record_from_object, record_object, revision_from_object, revision_object};
pub use reports::{
    appended_object, audit_object, consolidation_object, context_object, event_page_object, health_object, leg_object,
    namespace_page_object, receipt_object, record_page_object, retrieval_object, stats_object, thread_page_object,
    undone_object, verify_object, write_report_object, written_event_object,
};
pub use requests::{
    consolidation_from_object, context_request_from_object, event_range_from_object, page_from_object,
    query_from_object, selector_from_object,
};
pub use retrieval::{explanation_object, hit_object};
pub use slots::{slot_write_from_object, slots_from_object, slots_object};

/// The version of the wire form. It changes when an object of one version can no longer be read as the other.
pub const VERSION: u64 = 1;

/// The canonical text of an object: one line, without the line end.
pub fn to_line(object: &Object) -> String {
    let mut line = String::with_capacity(256);
    write_canonical_object(object, &mut line);
    line
}

fn put(object: &mut Object, key: &str, value: impl Into<Value>) {
    object.insert(key.to_owned(), value.into());
}

fn put_some<T: Into<Value>>(object: &mut Object, key: &str, value: Option<T>) {
    if let Some(value) = value {
        put(object, key, value);
    }
}

/// A list of strings.
fn strings<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> Value {
    Value::Array(items.into_iter().map(|item| Value::from(item.as_ref())).collect())
}

/// A double, or nothing for NaN and infinities, which no score holds.
fn double(value: f64) -> Option<Value> {
    mnemic_core::Number::from_f64(value).map(Value::Number)
}

/// A single-precision number by its own shortest text, so that 0.1 stays 0.1.
fn single(value: f32) -> Option<Value> {
    format!("{value:?}").parse().ok().and_then(double)
}
