//! What a vector's metadata holds of its record: version, the fields that filters need, and what of them did not fit.
//! Not here: the filters (`filter`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use mnemic_core::{
    Field, Filter, MemoryRecord, Number, Operand, Timestamp, Value, Version,
    filter::{FieldSource, FieldValue},
};
use serde::{
    Deserializer, Serialize,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Numbers from here on are rounded by a double, which is what Pinecone stores.
pub(super) const EXACT: f64 = 9_007_199_254_740_992.0;
/// The keys of fields that metadata does not hold faithfully.
pub(super) const OMITTED: &str = "omitted";
/// Stands among them for every metadata path that is not there.
pub(super) const OMITTED_ALL: &str = "*";
/// Bytes of metadata: below Pinecone's 40,960, because how it counts is not documented to the byte.
const MOST_BYTES: usize = 39_000;
/// Keys that are listed as omitted one by one.
const MOST_OMITTED: usize = 32;

/// A value that metadata can hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Meta {
    /// A string.
    Text(String),
    /// A number.
    Number(f64),
    /// A flag.
    Flag(bool),
    /// A list of strings, not empty.
    Texts(Vec<String>),
}

/// The key of a field in metadata.
pub(super) fn key(field: &Field) -> String {
    match field {
        Field::Metadata(path) => path_key(path.iter().map(String::as_str)),
        named => named.to_string(),
    }
}

fn path_key<'a>(path: impl Iterator<Item = &'a str>) -> String {
    let mut key = "metadata".to_owned();
    for segment in path {
        key.push('.');
        // A dot inside of a segment must not look like a step.
        key.push_str(&segment.replace('%', "%25").replace('.', "%2E"));
    }
    key
}

/// The number that metadata holds for an operand: numbers as they are, instants as microseconds.
pub(super) fn operand_number(operand: &Operand) -> Option<f64> {
    match operand {
        Operand::Number(number) => Some(number.as_f64()),
        Operand::Timestamp(at) => Some(at.as_micros() as f64),
        Operand::Bool(_) | Operand::String(_) => None,
    }
}

/// The metadata of a record.
pub(super) fn metadata(record: &MemoryRecord) -> BTreeMap<String, Meta> {
    let mut sink = Sink::default();
    let text = |text: &str| Some(Meta::Text(text.to_owned()));
    let time = |at: Timestamp| Some(Meta::Number(at.as_micros() as f64));
    let named = [
        (Field::Id, text(record.id.as_str())),
        (Field::Version, Some(Meta::Number(record.version.0 as f64))),
        (Field::UserId, record.user_id.as_ref().and_then(|id| text(id.as_str()))),
        (Field::ThreadId, record.thread_id.as_ref().and_then(|id| text(id.as_str()))),
        (Field::Kind, text(record.kind.as_str())),
        (Field::Source, text(&record.source)),
        (Field::Salience, record.salience.map(|ratio| Meta::Number(ratio.get()))),
        (Field::Confidence, record.confidence.map(|ratio| Meta::Number(ratio.get()))),
        (Field::CreatedAt, time(record.created_at)),
        (Field::UpdatedAt, time(record.updated_at)),
        (Field::ValidFrom, time(record.valid_from)),
        (Field::ValidTo, record.valid_to.and_then(time)),
        (Field::ExpiresAt, record.expires_at.and_then(time)),
        (Field::SupersededBy, record.superseded_by.as_ref().and_then(|id| text(id.as_str()))),
    ];
    for (field, value) in named {
        if let Some(value) = value {
            // Together a few kilobytes, whatever they are.
            sink.put(key(&field), value);
        }
    }
    let lists = [(Field::Path, record.path.clone()), (Field::Tags, record.tags.iter().cloned().collect())];
    for (field, items) in lists {
        if !items.is_empty() {
            sink.put(key(&field), Meta::Texts(items));
        }
    }
    for (name, value) in &record.metadata {
        sink.walk(&mut vec![name], value);
    }
    sink.finish()
}

/// Takes fields as long as there is room.
#[derive(Default)]
struct Sink {
    taken: BTreeMap<String, Meta>,
    bytes: usize,
    omitted: Vec<String>,
}

impl Sink {
    fn put(&mut self, key: String, value: Meta) {
        let size = size(&key) + size(&value) + 2;
        if self.bytes + size > MOST_BYTES - MOST_OMITTED * 64 {
            self.omitted.push(key);
        } else {
            self.bytes += size;
            self.taken.insert(key, value);
        }
    }

    fn walk<'a>(&mut self, path: &mut Vec<&'a str>, value: &'a Value) {
        let key = || path_key(path.iter().copied());
        match value {
            // As good as missing, to filters too.
            Value::Null => {}
            Value::Bool(flag) => self.put(key(), Meta::Flag(*flag)),
            Value::Number(number) => self.put(key(), Meta::Number(number.as_f64())),
            Value::String(text) => self.put(key(), Meta::Text(text.clone())),
            Value::Array(items) => {
                let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
                match texts.filter(|texts| !texts.is_empty()) {
                    Some(texts) => self.put(key(), Meta::Texts(texts)),
                    None => self.omitted.push(key()),
                }
            }
            Value::Object(members) => {
                self.omitted.push(key());
                for (name, value) in members {
                    path.push(name);
                    self.walk(path, value);
                    path.pop();
                }
            }
        }
    }

    fn finish(mut self) -> BTreeMap<String, Meta> {
        // The names of lists stand for themselves always; what else does not fit into the list of names is told by one of them.
        let fits = self.omitted.len() <= MOST_OMITTED && self.omitted.iter().all(|key| size(key) <= 62);
        if !fits {
            self.omitted.retain(|key| !key.starts_with("metadata."));
            self.omitted.push(OMITTED_ALL.to_owned());
        }
        if !self.omitted.is_empty() {
            self.taken.insert(OMITTED.to_owned(), Meta::Texts(self.omitted));
        }
        self.taken
    }
}

/// Bytes of a value as JSON; at worst an overestimate.
fn size(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(MOST_BYTES, |bytes| bytes.len())
}

/// What is known of a record from its vector's metadata.
#[derive(Debug)]
pub(super) struct Held {
    fields: BTreeMap<String, Value>,
    omitted: Vec<String>,
}

impl Held {
    /// Reads metadata; what it could not have been written with is left out.
    pub(super) fn read(metadata: serde_json::Map<String, serde_json::Value>) -> Self {
        let mut held = Self { fields: BTreeMap::new(), omitted: Vec::new() };
        for (key, value) in metadata {
            if let Some(value) = value_of(value) {
                held.fields.insert(key, value);
            }
        }
        if let Some(Value::Array(keys)) = held.fields.remove(OMITTED) {
            held.omitted = keys.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect();
        }
        held
    }

    /// The same of JSON, but only the wanted keys; nothing of what is no object.
    pub(super) fn part(metadata: &RawValue, wanted: &BTreeSet<String>) -> Option<Self> {
        Part(wanted).deserialize(&mut serde_json::Deserializer::from_str(metadata.get())).ok().map(Self::read)
    }

    /// The id of the record, as text.
    pub(super) fn id(&self) -> Option<&str> {
        self.fields.get("id").and_then(Value::as_str)
    }

    /// The version of the record.
    pub(super) fn version(&self) -> Option<Version> {
        let version = self.number("version").filter(|version| (1.0..EXACT).contains(version))?;
        Some(Version(version as u64))
    }

    /// Whether the record may pass: decided exactly where metadata suffices.
    pub(super) fn may_pass(&self, filter: &Filter) -> bool {
        filter.relaxed(&|leaf| self.decides(leaf)).matches(self)
    }

    fn decides(&self, leaf: &Filter) -> bool {
        let field = match leaf {
            Filter::Compare(field, ..) | Filter::In(field, _) | Filter::Nin(field, _) | Filter::Exists(field) => field,
            Filter::And(_) | Filter::Or(_) | Filter::Not(_) => return true,
        };
        let key = key(field);
        match (field, self.fields.get(&key)) {
            (Field::Text, _) => false,
            (_, Some(Value::Number(number))) => number.as_f64().abs() < EXACT,
            (_, Some(_)) => true,
            (Field::Metadata(_), None) => !self.omits(&key) && !self.omits(OMITTED_ALL),
            (_, None) => !self.omits(&key),
        }
    }

    fn omits(&self, key: &str) -> bool {
        self.omitted.iter().any(|omitted| omitted == key)
    }

    fn number(&self, key: &str) -> Option<f64> {
        match self.fields.get(key) {
            Some(Value::Number(number)) => Some(number.as_f64()),
            _ => None,
        }
    }
}

/// The keys that tell which record it is and whether it may pass.
pub(super) fn wanted(filter: &Filter) -> BTreeSet<String> {
    let mut keys = BTreeSet::from([Field::Id, Field::Version].map(|field| key(&field)));
    keys.insert(OMITTED.to_owned());
    let mut filters = vec![filter];
    while let Some(filter) = filters.pop() {
        match filter {
            Filter::And(inner) | Filter::Or(inner) => filters.extend(inner),
            Filter::Not(inner) => filters.push(inner),
            Filter::Compare(field, ..) | Filter::In(field, _) | Filter::Nin(field, _) | Filter::Exists(field) => {
                keys.insert(key(field));
            }
        }
    }
    keys
}

/// Reads of an object only what is wanted.
struct Part<'a>(&'a BTreeSet<String>);

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = serde_json::Map<String, serde_json::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = serde_json::Map<String, serde_json::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("metadata")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut part = Self::Value::new();
        while let Some(key) = entries.next_key_seed(Key(self.0))? {
            match key {
                Some(key) => part.extend([(key, entries.next_value()?)]),
                None => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        Ok(part)
    }
}

/// A key if it is wanted.
struct Key<'a>(&'a BTreeSet<String>);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.contains(key).then(|| key.to_owned()))
    }
}

fn value_of(value: serde_json::Value) -> Option<Value> {
    match value {
        serde_json::Value::String(text) => Some(Value::String(text)),
        serde_json::Value::Bool(flag) => Some(Value::Bool(flag)),
        serde_json::Value::Number(number) => Number::from_f64(number.as_f64()?).map(Value::Number),
        serde_json::Value::Array(items) => {
            let texts = items.into_iter().map(|item| item.as_str().map(|text| Value::String(text.to_owned())));
            texts.collect::<Option<Vec<Value>>>().map(Value::Array)
        }
        serde_json::Value::Null | serde_json::Value::Object(_) => None,
    }
}

impl FieldSource for Held {
    fn field(&self, field: &Field) -> FieldValue<'_> {
        let held = self.fields.get(&key(field));
        match (field, held) {
            (Field::Path | Field::Tags, Some(Value::Array(items))) => {
                FieldValue::Strings(items.iter().filter_map(Value::as_str).collect())
            }
            (Field::Path | Field::Tags, _) => FieldValue::Strings(Vec::new()),
            (Field::Metadata(_), Some(value)) => FieldValue::Json(value),
            (
                Field::CreatedAt | Field::UpdatedAt | Field::ValidFrom | Field::ValidTo | Field::ExpiresAt,
                Some(Value::Number(micros)),
            ) => Timestamp::from_micros(micros.as_f64() as i64).map_or(FieldValue::Missing, FieldValue::Timestamp),
            (_, Some(Value::Number(number))) => FieldValue::Number(*number),
            (_, Some(Value::String(text))) => FieldValue::String(text),
            (_, _) => FieldValue::Missing,
        }
    }
}
