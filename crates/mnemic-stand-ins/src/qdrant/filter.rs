//! Qdrant's filters: reading them and deciding whether a point passes. Not here: which points are asked (`collection`), strict mode
//! (`strict`).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    id::PointId,
    instant,
    path::Path,
    refusal::{Outcome, Refusal},
};

/// How deep filters nest at most; a real server has a bound too, and no input may overflow the stack.
const DEPTH: usize = 64;

const NO_CONDITION: &str = "Expected some form of condition, which can be a field condition (like {\"key\": ..., \"match\": ... }), \
                            or some other mentioned in the documentation";

/// A filter. Absent clauses demand nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    must: Vec<Condition>,
    must_not: Vec<Condition>,
    should: Vec<Condition>,
    min_should: Option<(Vec<Condition>, u64)>,
}

/// One condition of a filter.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Filter(Filter),
    Field(Field),
    HasId(BTreeSet<PointId>),
    HasVector(String),
    IsEmpty(String, Path),
    IsNull(String, Path),
    Nested(Path, Filter),
}

/// A condition on the values at a path.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) key: String,
    path: Path,
    pub(super) test: Test,
}

/// What a value must be.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Equals(Scalar),
    Any(Vec<Scalar>),
    Except(Vec<Scalar>),
    Text(Vec<String>),
    TextAny(Vec<String>),
    Phrase(Vec<String>),
    Prefix(String),
    Range(Bounds<f64>),
    Instants(Bounds<i64>),
    Count(Bounds<u64>),
    Empty(bool),
    Null(bool),
}

/// What an exact match can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    String(String),
    Integer(i64),
    Bool(bool),
}

/// A range; each end may be open.
#[derive(Clone, Debug)]
pub(super) struct Bounds<T> {
    lt: Option<T>,
    lte: Option<T>,
    gt: Option<T>,
    gte: Option<T>,
}

/// What a filter sees of a point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) id: Option<&'a PointId>,
    pub(super) payload: &'a Map<String, Value>,
    pub(super) vectors: &'a [&'a str],
}

impl Filter {
    /// Reads the optional member `name` of a body.
    pub(super) fn member(body: &Map<String, Value>, name: &str) -> Outcome<Option<Self>> {
        body.get(name).filter(|value| !value.is_null()).map(Self::parse).transpose()
    }

    /// Reads a filter.
    pub(super) fn parse(value: &Value) -> Outcome<Self> {
        Self::at_depth(value, DEPTH)
    }

    fn at_depth(value: &Value, depth: usize) -> Outcome<Self> {
        let object = value.as_object().ok_or_else(|| Refusal::format("invalid type: expected struct Filter"))?;
        let depth = depth.checked_sub(1).ok_or_else(|| Refusal::format("recursion limit exceeded"))?;
        let mut filter = Self::default();
        for (name, clause) in object.iter().filter(|(_, clause)| !clause.is_null()) {
            match name.as_str() {
                "must" => filter.must = conditions(clause, depth)?,
                "must_not" => filter.must_not = conditions(clause, depth)?,
                "should" => filter.should = conditions(clause, depth)?,
                "min_should" => {
                    let least = clause.get("min_count").and_then(Value::as_u64);
                    let (Some(least), Some(of)) = (least, clause.get("conditions")) else {
                        return Err(Refusal::format("min_should needs conditions and min_count"));
                    };
                    if least == 0 {
                        return Err(Refusal::validation(
                            "filter.min_should.min_count",
                            "value 0 invalid, must be 1 or larger",
                        ));
                    }
                    filter.min_should = Some((conditions(of, depth)?, least));
                }
                other => return Err(Refusal::format(format!("unknown field `{other}`"))),
            }
        }
        Ok(filter)
    }

    /// Both, as the server puts filters of two levels together: clause by clause, so that alternatives of both are alternatives.
    pub(super) fn both(one: Option<&Self>, other: Option<&Self>) -> Option<Self> {
        let (Some(one), Some(other)) = (one, other) else { return one.or(other).cloned() };
        let joined = |a: &[Condition], b: &[Condition]| [a, b].concat();
        let min_should = match (&one.min_should, &other.min_should) {
            (Some((a, some)), Some((b, more))) => Some((joined(a, b), *some.max(more))),
            (a, b) => a.as_ref().or(b.as_ref()).cloned(),
        };
        Some(Self {
            must: joined(&one.must, &other.must),
            must_not: joined(&one.must_not, &other.must_not),
            should: joined(&one.should, &other.should),
            min_should,
        })
    }

    /// The points with these ids only.
    pub(super) fn of_ids(ids: BTreeSet<PointId>) -> Self {
        Self { must: vec![Condition::HasId(ids)], ..Self::default() }
    }

    /// Every point but these.
    pub(super) fn without_ids(ids: BTreeSet<PointId>) -> Self {
        Self { must_not: vec![Condition::HasId(ids)], ..Self::default() }
    }

    /// Every condition, nested ones too.
    pub(super) fn each<'a>(&'a self, visit: &mut impl FnMut(&'a Condition)) {
        let some = self.min_should.as_ref().map(|(conditions, _)| conditions.as_slice()).unwrap_or_default();
        for condition in self.must.iter().chain(&self.must_not).chain(&self.should).chain(some) {
            visit(condition);
            match condition {
                Condition::Filter(inner) | Condition::Nested(_, inner) => inner.each(visit),
                _ => {}
            }
        }
    }

    /// Whether the point passes.
    pub(super) fn passes(&self, seen: Seen<'_>) -> bool {
        let holds = |condition: &Condition| condition.holds(seen);
        self.must.iter().all(holds)
            && !self.must_not.iter().any(holds)
            && (self.should.is_empty() || self.should.iter().any(holds))
            && self.min_should.as_ref().is_none_or(|(conditions, least)| {
                conditions.iter().filter(|condition| holds(condition)).count() as u64 >= *least
            })
    }
}

/// A clause: one condition or a list of them.
fn conditions(clause: &Value, depth: usize) -> Outcome<Vec<Condition>> {
    match clause {
        Value::Array(items) => items.iter().map(|item| Condition::parse(item, depth)).collect(),
        one => Ok(vec![Condition::parse(one, depth)?]),
    }
}

fn path(key: &str) -> Outcome<Path> {
    Path::parse(key).map_err(Refusal::format)
}

/// The `key` inside of the member `name`.
fn keyed(object: &Map<String, Value>, name: &str) -> Outcome<(String, Path)> {
    let key = object.get(name).and_then(|inner| inner.get("key")).and_then(Value::as_str);
    let key = key.ok_or_else(|| Refusal::format(NO_CONDITION))?;
    Ok((key.to_owned(), path(key)?))
}

impl Condition {
    fn parse(value: &Value, depth: usize) -> Outcome<Self> {
        let object = value.as_object().ok_or_else(|| Refusal::format(NO_CONDITION))?;
        let has = |name: &str| object.contains_key(name);
        if has("key") {
            return Field::parse(object).map(Self::Field);
        }
        if has("has_id") {
            let ids = object.get("has_id").and_then(Value::as_array).ok_or_else(|| Refusal::format(NO_CONDITION))?;
            return Ok(Self::HasId(ids.iter().map(PointId::parse).collect::<Outcome<_>>()?));
        }
        if has("is_empty") {
            let (key, path) = keyed(object, "is_empty")?;
            return Ok(Self::IsEmpty(key, path));
        }
        if has("is_null") {
            let (key, path) = keyed(object, "is_null")?;
            return Ok(Self::IsNull(key, path));
        }
        if has("nested") {
            let (_, path) = keyed(object, "nested")?;
            let filter = object.get("nested").and_then(|nested| nested.get("filter"));
            let filter = Filter::at_depth(filter.ok_or_else(|| Refusal::format(NO_CONDITION))?, depth)?;
            return Ok(Self::Nested(path.without_last_every(), filter));
        }
        if let Some(name) = object.get("has_vector").and_then(Value::as_str) {
            return Ok(Self::HasVector(name.to_owned()));
        }
        if has("slice") {
            return Err(Refusal::beyond("slices"));
        }
        if object.keys().all(|key| matches!(key.as_str(), "must" | "must_not" | "should" | "min_should")) {
            return Filter::at_depth(value, depth).map(Self::Filter);
        }
        Err(Refusal::format(NO_CONDITION))
    }

    fn holds(&self, seen: Seen<'_>) -> bool {
        match self {
            Self::Filter(filter) => filter.passes(seen),
            Self::Field(field) => field.holds(seen.payload),
            Self::HasId(ids) => seen.id.is_some_and(|id| ids.contains(id)),
            Self::HasVector(name) => seen.vectors.contains(&name.as_str()),
            Self::IsEmpty(_, path) => is_empty(path, seen.payload),
            Self::IsNull(_, path) => is_null(path, seen.payload),
            Self::Nested(path, filter) => {
                let elements = path.values(seen.payload).into_iter().filter_map(Value::as_array).flatten();
                elements
                    .filter_map(Value::as_object)
                    .any(|payload| filter.passes(Seen { id: None, payload, vectors: &[] }))
            }
        }
    }
}

/// Nothing is there, or nothing but nulls and empty lists.
fn is_empty(path: &Path, payload: &Map<String, Value>) -> bool {
    path.values(payload).into_iter().all(|value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    })
}

/// A null is there, itself or in a list.
fn is_null(path: &Path, payload: &Map<String, Value>) -> bool {
    path.values(payload).into_iter().any(|value| match value {
        Value::Null => true,
        Value::Array(items) => items.contains(&Value::Null),
        _ => false,
    })
}

impl Field {
    fn parse(object: &Map<String, Value>) -> Outcome<Self> {
        let key = object.get("key").and_then(Value::as_str).ok_or_else(|| Refusal::format(NO_CONDITION))?;
        let given = |name: &str| object.get(name).filter(|value| !value.is_null());
        let flag = |name: &str| given(name).and_then(Value::as_bool);
        let test = if let Some(counts) = given("values_count") {
            Test::Count(Bounds::parse(counts, Value::as_u64)?)
        } else if let Some(empty) = flag("is_empty") {
            Test::Empty(empty)
        } else if let Some(null) = flag("is_null") {
            Test::Null(null)
        } else if let Some(asked) = given("match") {
            Test::matching(asked)?
        } else if let Some(range) = given("range") {
            let instants = Bounds::parse(range, |end| end.as_str().and_then(instant::micros));
            match Bounds::parse(range, Value::as_f64) {
                Ok(bounds) => Test::Range(bounds),
                Err(_) => Test::Instants(instants?),
            }
        } else if ["geo_bounding_box", "geo_radius", "geo_polygon"].into_iter().any(|geo| given(geo).is_some()) {
            return Err(Refusal::beyond("geography"));
        } else {
            return Err(Refusal::validation("filter", "At least one field condition must be specified"));
        };
        Ok(Self { key: key.to_owned(), path: path(key)?, test })
    }

    fn holds(&self, payload: &Map<String, Value>) -> bool {
        match &self.test {
            Test::Empty(wanted) => is_empty(&self.path, payload) == *wanted,
            Test::Null(wanted) => is_null(&self.path, payload) == *wanted,
            Test::Count(bounds) => {
                let values = self.path.values(payload);
                let count = |value: &Value| match value {
                    Value::Null => 0,
                    Value::Array(items) => items.len() as u64,
                    _ => 1,
                };
                values.is_empty() && bounds.hold(&0) || values.into_iter().any(|value| bounds.hold(&count(value)))
            }
            test => self.path.elements(payload).into_iter().any(|value| test.holds(value)),
        }
    }
}

impl Test {
    fn matching(asked: &Value) -> Outcome<Self> {
        let none = || Refusal::format("data did not match any variant of untagged enum MatchInterface");
        let object = asked.as_object().ok_or_else(none)?;
        let (kind, asked) = object.iter().next().ok_or_else(none)?;
        let text = || asked.as_str().ok_or_else(none);
        Ok(match kind.as_str() {
            "value" => Self::Equals(Scalar::parse(asked).ok_or_else(none)?),
            "any" => Self::Any(scalars(asked).ok_or_else(none)?),
            "except" => Self::Except(scalars(asked).ok_or_else(none)?),
            "text" => Self::Text(words(text()?)),
            "text_any" => Self::TextAny(words(text()?)),
            "phrase" => Self::Phrase(words(text()?)),
            "prefix" => Self::Prefix(text()?.to_owned()),
            _ => return Err(none()),
        })
    }

    /// Whether one value is what is asked for.
    fn holds(&self, value: &Value) -> bool {
        let said = || value.as_str().map(words);
        match self {
            Self::Equals(scalar) => scalar.is(value),
            Self::Any(scalars) => scalars.iter().any(|scalar| scalar.is(value)),
            Self::Except(scalars) => !value.is_null() && !scalars.iter().any(|scalar| scalar.is(value)),
            Self::Text(wanted) => {
                said().is_some_and(|said| !wanted.is_empty() && wanted.iter().all(|word| said.contains(word)))
            }
            Self::TextAny(wanted) => said().is_some_and(|said| wanted.iter().any(|word| said.contains(word))),
            Self::Phrase(wanted) => {
                !wanted.is_empty() && said().is_some_and(|said| said.windows(wanted.len()).any(|part| part == wanted))
            }
            Self::Prefix(prefix) => value.as_str().is_some_and(|text| text.starts_with(prefix)),
            Self::Range(bounds) => value.as_f64().is_some_and(|number| bounds.hold(&number)),
            Self::Instants(bounds) => value.as_str().and_then(instant::micros).is_some_and(|at| bounds.hold(&at)),
            Self::Count(_) | Self::Empty(_) | Self::Null(_) => false,
        }
    }

    /// The sorts of index that can answer it; none where any can.
    pub(super) fn indexes(&self) -> &'static [&'static str] {
        let of = |scalars: &[Scalar]| match scalars.first() {
            Some(Scalar::Integer(_)) => &["integer"][..],
            Some(Scalar::Bool(_)) => &["bool"],
            Some(Scalar::String(_)) | None => &["keyword", "uuid"],
        };
        match self {
            Self::Equals(scalar) => of(std::slice::from_ref(scalar)),
            Self::Any(scalars) | Self::Except(scalars) => of(scalars),
            Self::Text(_) | Self::TextAny(_) | Self::Phrase(_) => &["text"],
            Self::Prefix(_) => &["keyword"],
            Self::Range(_) => &["integer", "float"],
            Self::Instants(_) => &["datetime"],
            Self::Count(_) | Self::Empty(_) | Self::Null(_) => &[],
        }
    }

    /// How many values it lists.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Any(scalars) | Self::Except(scalars) => scalars.len(),
            _ => 1,
        }
    }
}

/// The words of a text as the default tokenizer makes them.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

impl Scalar {
    fn parse(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::String(text.clone())),
            Value::Bool(flag) => Some(Self::Bool(*flag)),
            Value::Number(number) => number.as_i64().map(Self::Integer),
            _ => None,
        }
    }

    fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::String(wanted), Value::String(found)) => wanted == found,
            (Self::Bool(wanted), Value::Bool(found)) => wanted == found,
            // A float is never matched, not even one without a fraction.
            (Self::Integer(wanted), Value::Number(found)) => found.as_i64() == Some(*wanted),
            _ => false,
        }
    }
}

/// A list of strings or of integers.
fn scalars(value: &Value) -> Option<Vec<Scalar>> {
    let scalars: Vec<Scalar> = value.as_array()?.iter().map(Scalar::parse).collect::<Option<_>>()?;
    let strings = scalars.iter().filter(|scalar| matches!(scalar, Scalar::String(_))).count();
    let integers = scalars.iter().filter(|scalar| matches!(scalar, Scalar::Integer(_))).count();
    (strings == scalars.len() || integers == scalars.len()).then_some(scalars)
}

impl<T: PartialOrd> Bounds<T> {
    fn parse(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Outcome<Self> {
        let none = || Refusal::format("data did not match any variant of untagged enum RangeInterface");
        let object = value.as_object().ok_or_else(none)?;
        let end = |name: &str| {
            let given = object.get(name).filter(|end| !end.is_null());
            given.map(|end| read(end).ok_or_else(none)).transpose()
        };
        Ok(Self { lt: end("lt")?, lte: end("lte")?, gt: end("gt")?, gte: end("gte")? })
    }

    fn hold(&self, value: &T) -> bool {
        self.lt.as_ref().is_none_or(|end| value < end)
            && self.lte.as_ref().is_none_or(|end| value <= end)
            && self.gt.as_ref().is_none_or(|end| value > end)
            && self.gte.as_ref().is_none_or(|end| value >= end)
    }
}
