//! Events, the entries of their chain, and threads as objects. Not here: hashing (`mnemic_core::policy::audit`).

use mnemic_core::{
    AuditEvent, ChainedEvent, Digest, Error, Object, Result, Salt, Sequence, ThreadSummary, ids::quoted,
};

pub use mnemic_core::policy::audit::event_object;

use super::{
    fields::{Fields, required},
    put, put_some,
};
use crate::NewEvent;

const EVENT_KEYS: [&str; 8] = ["event_id", "timestamp", "user_id", "thread_id", "source", "action", "payload", "tags"];

/// Reads an event to append: `thread_id`, `source` and `action` are needed.
///
/// # Errors
/// `InvalidInput`, naming the field, what was expected and what came.
pub fn event_from_object(object: &Object) -> Result<NewEvent> {
    let fields = Fields::new(object, &EVENT_KEYS)?;
    Ok(NewEvent {
        event_id: fields.parsed("event_id")?,
        timestamp: fields.timestamp("timestamp")?,
        user_id: fields.parsed("user_id")?,
        thread_id: required("thread_id", "a string", fields.parsed("thread_id")?)?,
        source: required("source", "a string", fields.label("source")?)?,
        action: required("action", "a string", fields.label("action")?)?,
        payload: fields.free_object("payload")?,
        tags: fields.tags()?,
    })
}

/// Reads a whole event, as [`event_object`] writes it.
///
/// # Errors
/// `InvalidInput`, naming the field, what was expected and what came.
pub fn audit_event_from_object(object: &Object) -> Result<AuditEvent> {
    let draft = event_from_object(object)?;
    let timestamp = required("timestamp", "an RFC 3339 time", draft.timestamp)?;
    let event_id = required("event_id", "a string", draft.event_id.clone())?;
    let event = draft.into_event(event_id, timestamp);
    event.check()?;
    Ok(event)
}

/// An entry of the chain as an object: enough to verify it elsewhere. An erased one has `erased` in place of event and salt.
pub fn chained_event_object(entry: &ChainedEvent) -> Object {
    let mut object = Object::new();
    put(&mut object, "sequence", entry.sequence.0);
    put(&mut object, "recorded_at", entry.recorded_at.to_string());
    put(&mut object, "commitment", entry.commitment.to_string());
    put(&mut object, "previous", entry.previous.to_string());
    put(&mut object, "hash", entry.hash.to_string());
    match &entry.event {
        Some(event) => put(&mut object, "event", event_object(event)),
        None => put(&mut object, "erased", true),
    }
    // A salt is as secret as the event that it stands beside, and is destroyed with it.
    put_some(&mut object, "salt", entry.salt.map(|salt| Digest(salt.0).to_string()));
    object
}

/// Reads an entry of the chain, as [`chained_event_object`] writes it. Verifying it is another step.
///
/// # Errors
/// `InvalidInput`, naming the field, what was expected and what came.
pub fn chained_event_from_object(object: &Object) -> Result<ChainedEvent> {
    let known = ["sequence", "recorded_at", "commitment", "previous", "hash", "event", "erased", "salt"];
    let fields = Fields::new(object, &known)?;
    let hash =
        |field: &str| required(field, "64 hexadecimal digits", fields.made(field, |text| read_digest(field, text))?);
    let event = fields
        .object("event")?
        .map(|event| audit_event_from_object(event).map_err(|error| error.within("event")))
        .transpose()?;
    if event.is_none() != fields.flag("erased")?.unwrap_or(false) {
        return Err(Error::invalid("event", "either an event or erased: true", "both or neither"));
    }
    Ok(ChainedEvent {
        sequence: Sequence(required("sequence", "a whole number from 1", fields.count("sequence")?)?),
        recorded_at: required("recorded_at", "an RFC 3339 time", fields.timestamp("recorded_at")?)?,
        event,
        salt: fields.made("salt", |text| read_digest("salt", text).map(|digest| Salt(digest.0)))?,
        commitment: hash("commitment")?,
        previous: hash("previous")?,
        hash: hash("hash")?,
    })
}

fn read_digest(field: &str, text: &str) -> Result<Digest> {
    let refused = || Error::invalid(field, "64 hexadecimal digits in lower case", quoted(text));
    let mut digest = Digest::default();
    let digits = text.as_bytes();
    if digits.len() != 2 * digest.0.len() {
        return Err(refused());
    }
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    for (byte, pair) in digest.0.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return Err(refused()) };
        *byte = nibble(*high).zip(nibble(*low)).map(|(high, low)| high << 4 | low).ok_or_else(refused)?;
    }
    Ok(digest)
}

/// What is known about a thread, as an object.
pub fn thread_summary_object(thread: &ThreadSummary) -> Object {
    let mut object = Object::new();
    put(&mut object, "thread_id", thread.thread_id.as_str());
    put(&mut object, "events", thread.events);
    put(&mut object, "first", thread.first.0);
    put(&mut object, "last", thread.last.0);
    put(&mut object, "last_at", thread.last_at.to_string());
    object
}

/// Reads what is known about a thread, as [`thread_summary_object`] writes it.
///
/// # Errors
/// `InvalidInput`, naming the field, what was expected and what came.
pub fn thread_summary_from_object(object: &Object) -> Result<ThreadSummary> {
    let fields = Fields::new(object, &["thread_id", "events", "first", "last", "last_at"])?;
    let count = |field: &str| required(field, "a whole number from 0", fields.count(field)?);
    Ok(ThreadSummary {
        thread_id: required("thread_id", "a string", fields.parsed("thread_id")?)?,
        events: count("events")?,
        first: Sequence(count("first")?),
        last: Sequence(count("last")?),
        last_at: required("last_at", "an RFC 3339 time", fields.timestamp("last_at")?)?,
    })
}
