//! Answers that hold records, in the form of Python's models and written straight from what was read: programs ask for nothing more
//! often. Not here: the form of other answers (`mnemic::wire`), the models (`python/mnemic/models.py`).

use mnemic::{
    Error, EventId, Explanation, Hit, Leg, LegReport, LegScore, MemoryRecord, Object, Page, PriorFactor, Provenance,
    Ratio, RecordId, Result, Retrieval, ThreadId, Timestamp, UserId, Value, wire,
};
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::gate::Answer;

/// What a retrieval found: `records`, `legs`, `degraded`, `stale` and `took_us`.
pub(crate) fn found(found: &Retrieval) -> Result<Answer> {
    written(&Form(found))
}

/// A page of a listing: `records`, and `next` if there is more.
pub(crate) fn page(page: &Page<MemoryRecord>) -> Result<Answer> {
    written(&Form(page))
}

/// A list of records, and `null` where there is none.
pub(crate) fn list(records: &[Option<MemoryRecord>]) -> Result<Answer> {
    written(&Each(records))
}

fn written(answer: &impl Serialize) -> Result<Answer> {
    let written = serde_json::to_string(answer);
    written.map(Answer).map_err(|error| Error::bug("an answer that is not JSON").with_source(error))
}

/// Something in Python's form.
struct Form<T>(T);

/// Each item in Python's form.
struct Each<I>(I);

impl<'a, I, T: 'a> Serialize for Each<I>
where
    I: Copy + IntoIterator<Item = &'a T>,
    Form<&'a T>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.into_iter().map(Form))
    }
}

/// Writes an entry; what is absent is left out.
fn put<M: SerializeMap>(map: &mut M, key: &str, value: Option<impl Serialize>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(key, &value))
}

/// A number that JSON has.
fn finite<N: Copy + Into<f64>>(number: N) -> Option<N> {
    number.into().is_finite().then_some(number)
}

impl Serialize for Form<&Retrieval> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Retrieval { hits, legs, degraded, stale, took } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("records", &Each(hits))?;
        map.serialize_entry("legs", &Each(legs))?;
        map.serialize_entry("degraded", degraded)?;
        map.serialize_entry("stale", stale)?;
        map.serialize_entry("took_us", &took.as_micros())?;
        map.end()
    }
}

impl Serialize for Form<&Page<MemoryRecord>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("records", &Each(&self.0.items))?;
        put(&mut map, "next", self.0.next.as_ref().map(|cursor| &cursor.0))?;
        map.end()
    }
}

impl Serialize for Form<&Option<MemoryRecord>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().map(Form).serialize(serializer)
    }
}

impl Serialize for Form<&MemoryRecord> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        put_record(&mut map, self.0)?;
        put(&mut map, "confidence", self.0.confidence.map(Ratio::get))?;
        map.end()
    }
}

/// Writes everything of a record but its confidence, which a found one has even where none is stored.
fn put_record<M: SerializeMap>(map: &mut M, record: &MemoryRecord) -> Result<(), M::Error> {
    map.serialize_entry("id", record.id.as_str())?;
    put(map, "user_id", record.user_id.as_ref().map(UserId::as_str))?;
    put(map, "thread_id", record.thread_id.as_ref().map(ThreadId::as_str))?;
    map.serialize_entry("type", record.kind.as_str())?;
    map.serialize_entry("text", &record.text)?;
    map.serialize_entry("path", &record.path)?;
    map.serialize_entry("tags", &record.tags)?;
    map.serialize_entry("metadata", &Entries(&record.metadata))?;
    map.serialize_entry("source", &record.source)?;
    put(map, "salience", record.salience.map(Ratio::get))?;
    map.serialize_entry("created_at", &Form(record.created_at))?;
    map.serialize_entry("updated_at", &Form(record.updated_at))?;
    map.serialize_entry("valid_from", &Form(record.valid_from))?;
    put(map, "valid_to", record.valid_to.map(Form))?;
    put(map, "expires_at", record.expires_at.map(Form))?;
    put(map, "superseded_by", record.superseded_by.as_ref().map(RecordId::as_str))?;
    put(map, "provenance", Some(&record.provenance).filter(|provenance| !provenance.is_empty()).map(Form))?;
    map.serialize_entry("version", &record.version.0)
}

/// `RetrievedRecord`.
impl Serialize for Form<&Hit> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Hit { record, score, explanation } = self.0;
        let similarity =
            explanation.legs.iter().find(|score| score.leg == Leg::Dense).and_then(|dense| finite(dense.raw));
        let mut map = serializer.serialize_map(None)?;
        put_record(&mut map, record)?;
        map.serialize_entry("score", score)?;
        put(&mut map, "similarity", similarity)?;
        put(&mut map, "stored_confidence", record.confidence.map(Ratio::get))?;
        // As `likeness` of the models.
        match (record.confidence, similarity) {
            (Some(stored), _) => map.serialize_entry("confidence", &stored.get())?,
            (None, Some(similarity)) => map.serialize_entry("confidence", &similarity.clamp(0.0, 1.0))?,
            (None, None) => map.serialize_entry("confidence", &score.clamp(0.0, 1.0))?,
        }
        map.serialize_entry("explanation", &Form(explanation))?;
        map.end()
    }
}

impl Serialize for Form<&Provenance> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Provenance { events, records } = self.0;
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("events", &events.iter().map(EventId::as_str).collect::<Vec<_>>())?;
        map.serialize_entry("records", &records.iter().map(RecordId::as_str).collect::<Vec<_>>())?;
        map.end()
    }
}

impl Serialize for Form<&Explanation> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Explanation { legs, fused, priors, rerank, repeats } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("legs", &Each(legs))?;
        put(&mut map, "fused", finite(*fused))?;
        map.serialize_entry("priors", &Each(priors))?;
        put(&mut map, "rerank", rerank.and_then(finite))?;
        put(&mut map, "repeats", repeats.as_ref().map(RecordId::as_str))?;
        map.end()
    }
}

impl Serialize for Form<&LegScore> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let LegScore { leg, rank, raw, contribution } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("leg", leg.as_str())?;
        map.serialize_entry("rank", rank)?;
        put(&mut map, "raw", finite(*raw))?;
        put(&mut map, "contribution", finite(*contribution))?;
        map.end()
    }
}

impl Serialize for Form<&PriorFactor> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", self.0.name)?;
        put(&mut map, "factor", finite(self.0.factor))?;
        map.end()
    }
}

impl Serialize for Form<&LegReport> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Entries(&wire::leg_object(self.0)).serialize(serializer)
    }
}

impl Serialize for Form<Timestamp> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An object of a caller's.
struct Entries<'a>(&'a Object);

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, Form(value))))
    }
}

impl Serialize for Form<&Value> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(integer), _) => serializer.serialize_i64(integer),
                (None, Some(integer)) => serializer.serialize_u64(integer),
                (None, None) => serializer.serialize_f64(number.as_f64()),
            },
            Value::String(text) => serializer.serialize_str(text),
            Value::Array(items) => Each(items).serialize(serializer),
            Value::Object(object) => Entries(object).serialize(serializer),
        }
    }
}
