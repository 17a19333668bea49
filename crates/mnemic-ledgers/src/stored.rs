//! The stored form of what is packed into one column: a format byte, then MessagePack maps with named fields.
//! What every durable ledger stores alike. Not here: the domain types, which stay free to change; the columns, which are each ledger's.

use std::{collections::BTreeSet, fmt};

use mnemic_core::{
    AppendOutcome, Appended, AuditEvent, ChangeSeq, Error, ErrorKind, EventId, MemoryRecord, Number, Object,
    Provenance, Ratio, Receipt, RecordId, Result, Sequence, Slots, ThreadId, Timestamp, UserId, Value, Version,
    Written, ids::quoted,
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};

/// The first byte of every packed value. A reader refuses what it does not know.
const FORMAT: u8 = 1;
/// Then comes the checksum of what follows it (not every database has one), and of the columns that belong to it.
const START: usize = 1 + size_of::<u32>();

pub(crate) fn pack<T: Serialize>(value: &T, columns: &[&[u8]], capacity: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(capacity);
    bytes.resize(START, FORMAT);
    rmp_serde::encode::write_named(&mut bytes, value)
        .map_err(|source| Error::bug("a value cannot be packed").with_source(source))?;
    if let Some((start, packed)) = bytes.split_at_mut_checked(START)
        && let Some(place) = start.get_mut(1..)
    {
        place.copy_from_slice(&checksum(packed, columns).to_le_bytes());
    }
    Ok(bytes)
}

pub(crate) fn unpack<'de, T: Deserialize<'de>>(what: &str, bytes: &'de [u8], columns: &[&[u8]]) -> Result<T> {
    let Some((&[format, a, b, c, d], packed)) = bytes.split_first_chunk::<START>() else {
        return Err(damaged(what, "is cut short"));
    };
    if format != FORMAT {
        return Err(damaged(what, &format!("has the unknown format {format}")));
    }
    if checksum(packed, columns) != u32::from_le_bytes([a, b, c, d]) {
        return Err(damaged(what, "does not match its checksum"));
    }
    rmp_serde::from_slice(packed).map_err(|source| damaged(what, "cannot be read").with_source(source))
}

/// The checksum of some packed bytes and the columns beside them. Lengths go in first, so that none can run into the next.
pub(crate) fn checksum(packed: &[u8], columns: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for column in columns {
        hasher.update(&(column.len() as u64).to_le_bytes());
        hasher.update(column);
    }
    hasher.update(packed);
    hasher.finalize()
}

fn damaged(what: &str, how: &str) -> Error {
    Error::new(ErrorKind::Corrupted, format!("the stored {what} {how}; restore a backup with `mnemic restore`"))
}

/// A value that every constructor accepted once; that it is refused now means that the file changed.
fn checked<T>(what: &str, value: Result<T>) -> Result<T> {
    value.map_err(|source| damaged(what, "holds an impossible value").with_source(source))
}

#[derive(Serialize)]
struct RecordOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<&'a str>,
    kind: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    path: &'a [String],
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    tags: &'a BTreeSet<String>,
    #[serde(skip_serializing_if = "ObjectOut::is_empty")]
    meta: ObjectOut<'a>,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    salience: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    updated: i64,
    from: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    records: Vec<&'a str>,
}

#[derive(Deserialize)]
struct RecordIn<'a> {
    thread: Option<&'a str>,
    kind: &'a str,
    text: String,
    #[serde(default)]
    path: Vec<String>,
    #[serde(default)]
    tags: BTreeSet<String>,
    #[serde(default)]
    meta: ObjectIn,
    source: String,
    salience: Option<f64>,
    confidence: Option<f64>,
    updated: i64,
    from: i64,
    to: Option<i64>,
    expires: Option<i64>,
    superseded: Option<&'a str>,
    #[serde(borrow, default)]
    events: Vec<&'a str>,
    #[serde(borrow, default)]
    records: Vec<&'a str>,
}

/// What of a record lies in columns of its own.
#[derive(Clone, Copy)]
pub(crate) struct RecordColumns<'a> {
    pub(crate) id: &'a str,
    pub(crate) version: u64,
    pub(crate) created_at: i64,
    pub(crate) user: Option<&'a str>,
}

impl RecordColumns<'_> {
    fn with_bytes<T>(&self, use_them: impl FnOnce(&[&[u8]]) -> T) -> T {
        let (version, created_at) = (self.version.to_le_bytes(), self.created_at.to_le_bytes());
        // No user id is empty.
        use_them(&[self.id.as_bytes(), &version, &created_at, self.user.unwrap_or_default().as_bytes()])
    }
}

/// Packs a record without its columns.
pub(crate) fn pack_record(record: &MemoryRecord, columns: &RecordColumns<'_>) -> Result<Vec<u8>> {
    let out = RecordOut {
        thread: record.thread_id.as_ref().map(ThreadId::as_str),
        kind: record.kind.as_str(),
        text: &record.text,
        path: &record.path,
        tags: &record.tags,
        meta: ObjectOut(&record.metadata),
        source: &record.source,
        salience: record.salience.map(Ratio::get),
        confidence: record.confidence.map(Ratio::get),
        updated: record.updated_at.as_micros(),
        from: record.valid_from.as_micros(),
        to: record.valid_to.map(Timestamp::as_micros),
        expires: record.expires_at.map(Timestamp::as_micros),
        superseded: record.superseded_by.as_ref().map(RecordId::as_str),
        events: record.provenance.events.iter().map(EventId::as_str).collect(),
        records: record.provenance.records.iter().map(RecordId::as_str).collect(),
    };
    columns.with_bytes(|columns| pack(&out, columns, record.text.len() + 256))
}

/// Reads a record back.
pub(crate) fn unpack_record(columns: &RecordColumns<'_>, body: &[u8]) -> Result<MemoryRecord> {
    let read = columns.with_bytes(|bytes| unpack("record", body, bytes));
    let read = read.and_then(|found| checked("record", read_record(columns, found)));
    read.map_err(|error| {
        let message = error.message().replacen("record", &format!("record {}", quoted(columns.id)), 1);
        Error::new(ErrorKind::Corrupted, message).with_source(error)
    })
}

fn read_record(columns: &RecordColumns<'_>, found: RecordIn<'_>) -> Result<MemoryRecord> {
    let ratio = |value: Option<f64>| value.map(|value| Ratio::new("ratio", value)).transpose();
    let time = |micros: Option<i64>| micros.map(Timestamp::from_micros).transpose();
    Ok(MemoryRecord {
        id: RecordId::new(columns.id)?,
        user_id: columns.user.map(UserId::new).transpose()?,
        thread_id: found.thread.map(ThreadId::new).transpose()?,
        kind: found.kind.parse()?,
        text: found.text,
        path: found.path,
        tags: found.tags,
        metadata: found.meta.0,
        source: found.source,
        salience: ratio(found.salience)?,
        confidence: ratio(found.confidence)?,
        created_at: Timestamp::from_micros(columns.created_at)?,
        updated_at: Timestamp::from_micros(found.updated)?,
        valid_from: Timestamp::from_micros(found.from)?,
        valid_to: time(found.to)?,
        expires_at: time(found.expires)?,
        superseded_by: found.superseded.map(RecordId::new).transpose()?,
        provenance: Provenance {
            events: found.events.into_iter().map(EventId::new).collect::<Result<_>>()?,
            records: found.records.into_iter().map(RecordId::new).collect::<Result<_>>()?,
        },
        version: Version(columns.version),
    })
}

#[derive(Serialize)]
struct EventOut<'a> {
    time: i64,
    source: &'a str,
    action: &'a str,
    payload: ObjectOut<'a>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    tags: &'a BTreeSet<String>,
}

#[derive(Deserialize)]
struct EventIn {
    time: i64,
    source: String,
    action: String,
    payload: ObjectIn,
    #[serde(default)]
    tags: BTreeSet<String>,
}

/// Packs an event without its columns: id, thread and user.
pub(crate) fn pack_event(event: &AuditEvent) -> Result<Vec<u8>> {
    let out = EventOut {
        time: event.timestamp.as_micros(),
        source: &event.source,
        action: &event.action,
        payload: ObjectOut(&event.payload),
        tags: &event.tags,
    };
    pack(&out, &[], 256)
}

/// Reads an event back.
pub(crate) fn unpack_event(event_id: &str, thread: &str, user: Option<&str>, body: &[u8]) -> Result<AuditEvent> {
    let found: EventIn = unpack("event", body, &[])?;
    checked(
        "event",
        (|| {
            Ok(AuditEvent {
                event_id: EventId::new(event_id)?,
                timestamp: Timestamp::from_micros(found.time)?,
                user_id: user.map(UserId::new).transpose()?,
                thread_id: ThreadId::new(thread)?,
                source: found.source,
                action: found.action,
                payload: found.payload.0,
                tags: found.tags,
            })
        })(),
    )
}

/// Packs slots.
pub(crate) fn pack_slots(slots: &Slots) -> Result<Vec<u8>> {
    pack(slots, &[], 256)
}

/// Reads slots back.
pub(crate) fn unpack_slots(body: &[u8]) -> Result<Slots> {
    unpack("slots", body, &[])
}

#[derive(Serialize, Deserialize)]
struct StoredReceipt {
    writes: Vec<(String, u64, i64)>,
    deletes: Vec<Option<u64>>,
    embeddings: Vec<bool>,
    events: Vec<(u64, bool)>,
    slots: Vec<u64>,
    changes: Option<(u64, u64)>,
}

/// Packs the answer of an idempotent request.
pub(crate) fn pack_receipt(receipt: &Receipt) -> Result<Vec<u8>> {
    let written = |w: &Written| (w.id.to_string(), w.version.0, w.created_at.as_micros());
    let stored = StoredReceipt {
        writes: receipt.writes.iter().map(written).collect(),
        deletes: receipt.deletes.iter().map(|version| version.map(|v| v.0)).collect(),
        embeddings: receipt.embeddings.clone(),
        events: receipt.events.iter().map(|e| (e.sequence.0, e.outcome == AppendOutcome::New)).collect(),
        slots: receipt.slots.iter().map(|version| version.0).collect(),
        changes: receipt.changes.map(|(first, last)| (first.0, last.0)),
    };
    pack(&stored, &[], 64 * (1 + receipt.writes.len()))
}

/// Reads a kept answer back, marked as replayed.
pub(crate) fn unpack_receipt(body: &[u8]) -> Result<Receipt> {
    let stored: StoredReceipt = unpack("receipt", body, &[])?;
    let written = |(id, version, created_at): (String, u64, i64)| {
        Ok(Written {
            id: RecordId::new(id)?,
            version: Version(version),
            created_at: Timestamp::from_micros(created_at)?,
        })
    };
    let appended = |(sequence, new)| Appended {
        sequence: Sequence(sequence),
        outcome: if new { AppendOutcome::New } else { AppendOutcome::Duplicate },
    };
    Ok(Receipt {
        writes: checked("receipt", stored.writes.into_iter().map(written).collect())?,
        deletes: stored.deletes.into_iter().map(|version| version.map(Version)).collect(),
        embeddings: stored.embeddings,
        events: stored.events.into_iter().map(appended).collect(),
        slots: stored.slots.into_iter().map(Version).collect(),
        changes: stored.changes.map(|(first, last)| (ChangeSeq(first), ChangeSeq(last))),
        replayed: true,
    })
}

/// A JSON object on its way out.
struct ObjectOut<'a>(&'a Object);

impl ObjectOut<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for ObjectOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, ValueOut(value))))
    }
}

struct ValueOut<'a>(&'a Value);

impl Serialize for ValueOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(int), _) => serializer.serialize_i64(int),
                (None, Some(big)) => serializer.serialize_u64(big),
                (None, None) => serializer.serialize_f64(number.as_f64()),
            },
            Value::String(text) => serializer.serialize_str(text),
            Value::Array(items) => serializer.collect_seq(items.iter().map(ValueOut)),
            Value::Object(object) => ObjectOut(object).serialize(serializer),
        }
    }
}

/// A JSON object on its way in.
#[derive(Default)]
struct ObjectIn(Object);

impl<'de> Deserialize<'de> for ObjectIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_map(ValueVisitor)? {
            Value::Object(object) => Ok(Self(object)),
            _ => Err(de::Error::custom("a value where an object is expected")),
        }
    }
}

struct ValueIn(Value);

impl<'de> Deserialize<'de> for ValueIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(ValueIn(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Object::new();
        while let Some((key, ValueIn(value))) = entries.next_entry()? {
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_value_of_an_unknown_format_is_refused_and_never_guessed() {
        let mut bytes = pack_slots(&Slots::from([("persona".to_owned(), "calm".to_owned())])).unwrap();
        assert_eq!(unpack_slots(&bytes).unwrap().len(), 1);
        for length in 0..bytes.len() {
            assert_eq!(unpack_slots(&bytes[..length]).unwrap_err().kind(), ErrorKind::Corrupted, "{length}");
        }
        bytes[0] = 2;
        assert!(unpack_slots(&bytes).unwrap_err().to_string().contains("unknown format 2"));
    }

    #[test]
    fn every_flipped_bit_of_a_record_and_its_columns_is_found() {
        let mut record = MemoryRecord::new(
            RecordId::new("r").unwrap(),
            "The deadline is 5 March",
            Timestamp::from_micros(1).unwrap(),
        );
        record.version = Version(1);
        let columns = RecordColumns { id: "r", version: 1, created_at: 1, user: None };
        let bytes = pack_record(&record, &columns).unwrap();
        assert_eq!(unpack_record(&columns, &bytes).unwrap(), record);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = unpack_record(&columns, &flipped).unwrap_err();
            assert!(error.kind() == ErrorKind::Corrupted && error.to_string().contains("record \"r\""), "{error}");
        }
        for changed in [
            RecordColumns { id: "s", ..columns },
            RecordColumns { version: 2, ..columns },
            RecordColumns { created_at: 0, ..columns },
            RecordColumns { user: Some("u"), ..columns },
        ] {
            assert!(unpack_record(&changed, &bytes).is_err());
        }
    }

    #[test]
    fn a_number_that_is_not_finite_cannot_come_in() {
        let bytes = pack(&BTreeMap::from([("time", f64::NAN)]), &[], 0).unwrap();
        let Err(error) = unpack::<ObjectIn>("object", &bytes, &[]) else { panic!("NaN came in") };
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }
}
