//! What a point holds: identity, the fields that filters need, and nothing else (no text). Written here, read back here, and checked.
//! Not here: which points there should be (`feed`).

use std::fmt::Write as _;

use mnemic_core::{
    Embedding, Field, MemoryRecord, Namespace, Number, Object, RecordId, StoredRecord, Timestamp, Value, Version,
    filter::{FieldSource, FieldValue},
    value::write_canonical_object,
};
use serde::Serialize;
use serde_json::Map;
use uuid::Uuid;

use super::tokens;

/// The one vector of a point.
pub(super) const VECTOR: &str = "dense";
/// What point ids are made with. Changing it changes the id of every stored point.
const POINTS: Uuid = Uuid::from_u128(0x6d6e_656d_6963_5f71_8472_616e_745f_7631);

/// The members of a payload.
pub(super) mod key {
    /// Whose point it is: the namespace, or the namespace with what no namespace holds.
    pub(in super::super) const NAMESPACE: &str = "namespace";
    /// The change that it is of.
    pub(in super::super) const SEQ: &str = "seq";
    pub(in super::super) const ID: &str = "id";
    pub(in super::super) const VERSION: &str = "version";
    pub(in super::super) const USER_ID: &str = "user_id";
    pub(in super::super) const THREAD_ID: &str = "thread_id";
    pub(in super::super) const KIND: &str = "kind";
    pub(in super::super) const SOURCE: &str = "source";
    pub(in super::super) const SUPERSEDED_BY: &str = "superseded_by";
    pub(in super::super) const PATH: &str = "path";
    pub(in super::super) const TAGS: &str = "tags";
    pub(in super::super) const SALIENCE: &str = "salience";
    pub(in super::super) const CONFIDENCE: &str = "confidence";
    pub(in super::super) const CREATED_AT: &str = "created_at";
    pub(in super::super) const UPDATED_AT: &str = "updated_at";
    pub(in super::super) const VALID_FROM: &str = "valid_from";
    pub(in super::super) const VALID_TO: &str = "valid_to";
    pub(in super::super) const EXPIRES_AT: &str = "expires_at";
    /// The words of the metadata.
    pub(in super::super) const META: &str = "meta";
    /// The metadata and the exact ratios, as text that no server rounds.
    pub(in super::super) const BODY: &str = "body";
}

/// What is asked of a hit that needs no more deciding.
pub(super) const IDENTITY: [&str; 3] = [key::NAMESPACE, key::ID, key::VERSION];
/// What is asked of a hit that the rest of a filter decides.
pub(super) const FIELDS: [&str; 17] = [
    key::NAMESPACE,
    key::ID,
    key::VERSION,
    key::USER_ID,
    key::THREAD_ID,
    key::KIND,
    key::SOURCE,
    key::SUPERSEDED_BY,
    key::PATH,
    key::TAGS,
    key::CREATED_AT,
    key::UPDATED_AT,
    key::VALID_FROM,
    key::VALID_TO,
    key::EXPIRES_AT,
    key::SEQ,
    key::BODY,
];

/// The tenant of the traces of points that are gone. No namespace holds `#`.
pub(super) fn gone_mark(namespace: &Namespace) -> String {
    format!("{namespace}#gone")
}

/// The tenant of the point that holds the place in the feed.
pub(super) fn feed_mark(namespace: &Namespace) -> String {
    format!("{namespace}#feed")
}

/// Every tenant of a namespace.
pub(super) fn marks(namespace: &Namespace) -> [String; 3] {
    [namespace.to_string(), gone_mark(namespace), feed_mark(namespace)]
}

/// The id of a record's point.
pub(super) fn id(namespace: &Namespace, record: &RecordId) -> String {
    // Neither name holds a NUL.
    Uuid::new_v5(&POINTS, format!("record\0{namespace}\0{record}").as_bytes()).to_string()
}

/// The id of the point that holds the place in the feed.
pub(super) fn feed_id(namespace: &Namespace) -> String {
    Uuid::new_v5(&POINTS, format!("feed\0{namespace}").as_bytes()).to_string()
}

#[derive(Serialize)]
struct Point<'a> {
    id: &'a str,
    vector: Vectors<'a>,
    payload: Payload<'a>,
}

#[derive(Default, Serialize)]
struct Vectors<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    dense: Option<&'a [f32]>,
}

#[derive(Default, Serialize)]
struct Payload<'a> {
    namespace: &'a str,
    seq: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    fields: Option<Fields<'a>>,
}

#[derive(Serialize)]
struct Fields<'a> {
    id: &'a str,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<&'a str>,
    kind: &'static str,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded_by: Option<&'a str>,
    path: &'a [String],
    tags: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    salience: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    created_at: i64,
    updated_at: i64,
    valid_from: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_to: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    meta: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

/// The point of a record, as it is sent.
pub(super) fn of_record(namespace: &Namespace, id: &str, seq: u64, stored: &StoredRecord, vector: &[f32]) -> Vec<u8> {
    let record = &stored.record;
    let fields = Fields {
        id: record.id.as_str(),
        version: record.version.0,
        user_id: record.user_id.as_ref().map(AsRef::as_ref),
        thread_id: record.thread_id.as_ref().map(AsRef::as_ref),
        kind: record.kind.as_str(),
        source: &record.source,
        superseded_by: record.superseded_by.as_ref().map(AsRef::as_ref),
        path: &record.path,
        tags: record.tags.iter().map(String::as_str).collect(),
        salience: record.salience.map(mnemic_core::Ratio::get),
        confidence: record.confidence.map(mnemic_core::Ratio::get),
        created_at: record.created_at.as_micros(),
        updated_at: record.updated_at.as_micros(),
        valid_from: record.valid_from.as_micros(),
        valid_to: record.valid_to.map(Timestamp::as_micros),
        expires_at: record.expires_at.map(Timestamp::as_micros),
        meta: tokens::words(&record.metadata).into_iter().collect(),
        body: body(record),
    };
    let payload = Payload { namespace: namespace.as_str(), seq, fields: Some(fields) };
    written(&Point { id, vector: Vectors { dense: Some(vector) }, payload })
}

/// A point without a vector that remembers a change: that a record is gone, or how far the feed was read.
pub(super) fn marker(mark: &str, id: &str, seq: u64) -> Vec<u8> {
    written(&Point { id, vector: Vectors::default(), payload: Payload { namespace: mark, seq, fields: None } })
}

fn written(point: &Point<'_>) -> Vec<u8> {
    // These types hold nothing that JSON cannot, and a vector of bytes takes everything.
    serde_json::to_vec(point).unwrap_or_default()
}

/// The exact values that a filter may need and a server may round.
fn body(record: &MemoryRecord) -> Option<String> {
    let ratios = [("c", record.confidence), ("s", record.salience)];
    if record.metadata.is_empty() && ratios.iter().all(|(_, ratio)| ratio.is_none()) {
        return None;
    }
    let mut text = String::from("{");
    for (name, ratio) in ratios {
        if let Some(number) = ratio.and_then(|ratio| Number::from_f64(ratio.get())) {
            // Writing to a String cannot fail.
            let _infallible = write!(text, "\"{name}\":{number},");
        }
    }
    text.push_str("\"m\":");
    write_canonical_object(&record.metadata, &mut text);
    text.push('}');
    Some(text)
}

/// The components of length one, which is what a server that normalizes in single precision leaves alone.
pub(super) fn unit(embedding: &Embedding) -> Vec<f32> {
    let components = embedding.components();
    let length = components.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    components.iter().map(|x| (f64::from(*x) / length) as f32).collect()
}

/// A point that was read back and is one of ours.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) point: String,
    pub(super) id: RecordId,
    pub(super) version: Version,
    fields: Map<String, serde_json::Value>,
    body: Object,
}

impl Seen {
    /// Checks that a point is of this namespace and of the record that it names; `None` for any other.
    pub(super) fn of(
        namespace: &Namespace,
        point: &serde_json::Value,
        payload: Map<String, serde_json::Value>,
    ) -> Option<Self> {
        let point = point.as_str()?;
        if payload.get(key::NAMESPACE)?.as_str()? != namespace.as_str() {
            return None;
        }
        let record = RecordId::new(payload.get(key::ID)?.as_str()?).ok()?;
        let version = Version(payload.get(key::VERSION)?.as_u64()?);
        let ours = id(namespace, &record).eq_ignore_ascii_case(point);
        let body = match payload.get(key::BODY).and_then(serde_json::Value::as_str) {
            None => Object::new(),
            Some(text) => object(serde_json::from_str(text).ok()?)?,
        };
        ours.then(|| Self { point: point.to_owned(), id: record, version, fields: payload, body })
    }
}

fn object(value: serde_json::Value) -> Option<Object> {
    if let Value::Object(object) = core_value(value)? { Some(object) } else { None }
}

fn core_value(value: serde_json::Value) -> Option<Value> {
    Some(match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(flag) => Value::Bool(flag),
        serde_json::Value::Number(number) => Value::Number(Number::parse(&number.to_string()).ok()?),
        serde_json::Value::String(text) => Value::String(text),
        serde_json::Value::Array(items) => Value::Array(items.into_iter().map(core_value).collect::<Option<_>>()?),
        serde_json::Value::Object(object) => {
            let member = |(key, value)| Some((key, core_value(value)?));
            Value::Object(object.into_iter().map(member).collect::<Option<_>>()?)
        }
    })
}

impl FieldSource for Seen {
    fn field(&self, field: &Field) -> FieldValue<'_> {
        let string =
            |key: &str| self.fields.get(key).and_then(|v| v.as_str()).map_or(FieldValue::Missing, FieldValue::String);
        let list = |key: &str| {
            let items = self.fields.get(key).and_then(|value| value.as_array()).map(Vec::as_slice).unwrap_or_default();
            FieldValue::Strings(items.iter().filter_map(|item| item.as_str()).collect())
        };
        let time = |key: &str| {
            let micros = self.fields.get(key).and_then(serde_json::Value::as_i64);
            let at = micros.and_then(|micros| Timestamp::from_micros(micros).ok());
            at.map_or(FieldValue::Missing, FieldValue::Timestamp)
        };
        let ratio = |name: &str| match self.body.get(name) {
            Some(Value::Number(number)) => FieldValue::Number(*number),
            _ => FieldValue::Missing,
        };
        match field {
            Field::Id => FieldValue::String(self.id.as_str()),
            Field::UserId => string(key::USER_ID),
            Field::ThreadId => string(key::THREAD_ID),
            Field::Kind => string(key::KIND),
            // Not held; every record has one, and no filter that asks what it says comes here.
            Field::Text => FieldValue::String(""),
            Field::Path => list(key::PATH),
            Field::Tags => list(key::TAGS),
            Field::Source => string(key::SOURCE),
            Field::Salience => ratio("s"),
            Field::Confidence => ratio("c"),
            Field::CreatedAt => time(key::CREATED_AT),
            Field::UpdatedAt => time(key::UPDATED_AT),
            Field::ValidFrom => time(key::VALID_FROM),
            Field::ValidTo => time(key::VALID_TO),
            Field::ExpiresAt => time(key::EXPIRES_AT),
            Field::SupersededBy => string(key::SUPERSEDED_BY),
            Field::Version => FieldValue::Number(Number::from(self.version.0)),
            Field::Metadata(path) => self.metadata(path),
        }
    }
}

impl Seen {
    fn metadata(&self, path: &[String]) -> FieldValue<'_> {
        let mut found = self.body.get("m");
        for key in path {
            found = found.and_then(Value::as_object).and_then(|object| object.get(key));
        }
        match found {
            None | Some(Value::Null) => FieldValue::Missing,
            Some(value) => FieldValue::Json(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str) -> Namespace {
        Namespace::new(name).unwrap()
    }

    #[test]
    fn equal_ids_in_two_namespaces_are_two_points_and_no_names_run_together() {
        let record = |id: &str| RecordId::new(id).unwrap();
        assert_ne!(id(&namespace("a"), &record("x")), id(&namespace("b"), &record("x")));
        assert_ne!(id(&namespace("a"), &record("bx")), id(&namespace("ab"), &record("x")));
        assert_ne!(id(&namespace("a"), &record("x")), feed_id(&namespace("a")));
    }

    #[test]
    fn a_point_that_is_not_what_it_says_is_not_ours() {
        let ns = namespace("a");
        let own = id(&ns, &RecordId::new("x").unwrap());
        let payload = |mark: &str, id: &str, version: serde_json::Value| {
            let payload = serde_json::json!({"namespace": mark, "id": id, "version": version});
            payload.as_object().unwrap().clone()
        };
        let good = payload("a", "x", 3.into());
        assert_eq!(Seen::of(&ns, &own.clone().into(), good.clone()).unwrap().version, Version(3));
        let of = |point: serde_json::Value, payload| Seen::of(&ns, &point, payload).is_some();
        assert!(of(own.to_uppercase().into(), good.clone()));
        assert!(!of(7.into(), good.clone()) && !of(feed_id(&ns).into(), good));
        for (mark, id, version) in
            [("b", "x", 3.into()), ("a#gone", "x", 3.into()), ("a", "y", 3.into()), ("a", "x", "3".into())]
        {
            assert!(!of(own.clone().into(), payload(mark, id, version)));
        }
        assert!(!of(own.into(), Map::new()));
    }

    #[test]
    fn a_vector_is_sent_at_length_one_whatever_its_own() {
        let model = mnemic_core::EmbeddingModel::new("t", "m", 2, mnemic_core::Metric::Cosine).unwrap();
        for scale in [1e-18_f32, 1e-6, 1.0, 1e18] {
            let vector = unit(&Embedding::new(&model, vec![3.0 * scale, 4.0 * scale]).unwrap());
            assert!((vector[0] - 0.6).abs() < 1e-6 && (vector[1] - 0.8).abs() < 1e-6, "{vector:?}");
        }
    }
}
