//! Filters as Qdrant's conditions, and the tenant condition below them. A leaf that Qdrant cannot decide as `Filter::matches` does is
//! bounded from both sides: a condition that holds wherever it may hold, and one that holds only where it does. Which of them stands in
//! for the leaf depends on the negations around it, so that whatever passes the filter passes the conditions. Not here: deciding the
//! rest (`payload`), asking (`search`).

use std::collections::BTreeSet;

use mnemic_core::{Comparison, Field, Filter, Namespace, Number, Operand, RecordId};
use serde_json::{Value, json};

use super::{
    point::{self, key},
    tokens::{MetadataPath, Sort},
};

/// Integers below this are doubles without rounding, which Qdrant's ranges compare.
pub(super) const EXACT: i64 = 1 << 53;

/// A condition, or what needs none.
#[derive(Clone, Debug, PartialEq)]
enum Cond {
    Always,
    Never,
    When(Value),
}

/// What stands for a leaf: it passes at least where `under` does, and at most where `over` does.
struct Bounds {
    over: Cond,
    under: Cond,
}

/// A filter for the points of one namespace. Nothing else makes one, so none lacks the tenant.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    must: Vec<Value>,
    never: bool,
    /// What Qdrant could not decide and the stored fields can: nothing if it decided everything.
    pub(super) rest: Option<Filter>,
}

impl Scope {
    /// The points of a namespace that may pass the filter.
    pub(super) fn new(namespace: &Namespace, filter: &Filter) -> Self {
        let mut translator = Translator { namespace, undecided: false };
        let condition = translator.node(filter, true);
        let rest = translator.undecided.then(|| filter.relaxed(&|leaf| field_of(leaf) != Some(&Field::Text)));
        let never = condition == Cond::Never;
        let mut must = vec![matches(key::NAMESPACE, &json!(namespace.as_str()))];
        if let Cond::When(condition) = condition {
            must.push(condition);
        }
        Self { must, never, rest }
    }

    /// Whether no point can pass, so that there is nothing to ask.
    pub(super) fn is_never(&self) -> bool {
        self.never
    }

    /// The same, with nothing left to decide.
    pub(super) fn decided(&self) -> Self {
        Self { rest: None, ..self.clone() }
    }

    /// The same, of these points only.
    pub(super) fn among(mut self, points: &[String]) -> Self {
        self.must.push(json!({ "has_id": points }));
        self
    }

    /// As Qdrant reads it.
    pub(super) fn to_json(&self) -> Value {
        json!({ "must": self.must })
    }
}

/// Everything of a namespace: points, traces of points that are gone, and its place in the feed.
pub(super) fn whole_namespace(namespace: &Namespace) -> Value {
    json!({ "must": [any(key::NAMESPACE, point::marks(namespace).into_iter().map(Value::from))] })
}

/// The traces of points that went away before `seq`.
pub(super) fn old_traces(namespace: &Namespace, seq: u64) -> Value {
    json!({ "must": [matches(key::NAMESPACE, &json!(point::gone_mark(namespace))), { "key": key::SEQ, "range": { "lt": seq } }] })
}

fn field_of(leaf: &Filter) -> Option<&Field> {
    match leaf {
        Filter::Compare(field, ..) | Filter::In(field, _) | Filter::Nin(field, _) => Some(field),
        // That there is a text needs no text.
        Filter::Exists(_) | Filter::And(_) | Filter::Or(_) | Filter::Not(_) => None,
    }
}

fn matches(key: &str, value: &Value) -> Value {
    json!({ "key": key, "match": { "value": value } })
}

/// Some of the values; the description wants each once.
fn any(key: &str, values: impl IntoIterator<Item = Value>) -> Value {
    let mut seen = BTreeSet::new();
    let values: Vec<Value> = values.into_iter().filter(|value| seen.insert(value.to_string())).collect();
    json!({ "key": key, "match": { "any": values } })
}

fn not(condition: &Value) -> Value {
    json!({ "must_not": [condition] })
}

fn present(key: &str) -> Value {
    not(&json!({ "is_empty": { "key": key } }))
}

fn range(key: &str, ends: &[(&str, Value)]) -> Value {
    let ends: serde_json::Map<String, Value> = ends.iter().map(|(end, at)| ((*end).to_owned(), at.clone())).collect();
    json!({ "key": key, "range": ends })
}

impl Cond {
    fn negated(self) -> Self {
        match self {
            Self::Always => Self::Never,
            Self::Never => Self::Always,
            Self::When(condition) => Self::When(not(&condition)),
        }
    }

    fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut conditions = Vec::new();
        for part in parts {
            match part {
                Self::Always => {}
                Self::Never => return Self::Never,
                Self::When(condition) => conditions.push(condition),
            }
        }
        match conditions.len() {
            0 => Self::Always,
            1 => conditions.pop().map_or(Self::Always, Self::When),
            _ => Self::When(json!({ "must": conditions })),
        }
    }

    fn some(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut conditions = Vec::new();
        for part in parts {
            match part {
                Self::Never => {}
                Self::Always => return Self::Always,
                Self::When(condition) => conditions.push(condition),
            }
        }
        match conditions.len() {
            0 => Self::Never,
            1 => conditions.pop().map_or(Self::Never, Self::When),
            _ => Self::When(json!({ "should": conditions })),
        }
    }

    fn and(self, other: Self) -> Self {
        Self::all([self, other])
    }
}

impl Bounds {
    fn exactly(condition: Cond) -> Self {
        Self { over: condition.clone(), under: condition }
    }

    fn negated(self) -> Self {
        Self { over: self.under.negated(), under: self.over.negated() }
    }

    fn and(self, condition: &Cond) -> Self {
        Self { over: self.over.and(condition.clone()), under: self.under.and(condition.clone()) }
    }

    fn some(parts: Vec<Self>) -> Self {
        let (over, under): (Vec<Cond>, Vec<Cond>) = parts.into_iter().map(|part| (part.over, part.under)).unzip();
        Self { over: Cond::some(over), under: Cond::some(under) }
    }
}

struct Translator<'a> {
    namespace: &'a Namespace,
    /// Whether a leaf was bounded that the stored fields decide.
    undecided: bool,
}

impl Translator<'_> {
    fn node(&mut self, filter: &Filter, wide: bool) -> Cond {
        match filter {
            Filter::And(parts) => Cond::all(parts.iter().map(|part| self.node(part, wide)).collect::<Vec<_>>()),
            Filter::Or(parts) => Cond::some(parts.iter().map(|part| self.node(part, wide)).collect::<Vec<_>>()),
            Filter::Not(part) => self.node(part, !wide).negated(),
            Filter::Compare(field, op, operand) => self.leaf(field, wide, |kind| kind.compare(*op, operand)),
            Filter::In(field, values) => self.leaf(field, wide, |kind| kind.one_of(values)),
            Filter::Nin(field, values) => {
                self.leaf(field, wide, |kind| kind.one_of(values).negated().and(&kind.present()))
            }
            Filter::Exists(field) => self.leaf(field, wide, |kind| Bounds::exactly(kind.present())),
        }
    }

    fn leaf(&mut self, field: &Field, wide: bool, bounds: impl FnOnce(&Kind<'_>) -> Bounds) -> Cond {
        let bounds = bounds(&Kind::of(field, self.namespace));
        if bounds.over != bounds.under && *field != Field::Text {
            self.undecided = true;
        }
        if wide { bounds.over } else { bounds.under }
    }
}

/// How a field is held.
enum Kind<'a> {
    /// As the point's own id.
    Id(&'a Namespace),
    /// Not at all, and every record has one.
    Text,
    /// One string; `true` if every record has one.
    Keyword(&'static str, bool),
    /// A list of strings, which every record has.
    Keywords(&'static str),
    /// A whole number; `true` if every record has one.
    Whole(&'static str, bool),
    /// A number from 0 to 1.
    Ratio(&'static str),
    /// As words.
    Metadata(MetadataPath),
}

impl<'a> Kind<'a> {
    fn of(field: &Field, namespace: &'a Namespace) -> Self {
        match field {
            Field::Id => Self::Id(namespace),
            Field::UserId => Self::Keyword(key::USER_ID, false),
            Field::ThreadId => Self::Keyword(key::THREAD_ID, false),
            Field::Kind => Self::Keyword(key::KIND, true),
            Field::Text => Self::Text,
            Field::Path => Self::Keywords(key::PATH),
            Field::Tags => Self::Keywords(key::TAGS),
            Field::Source => Self::Keyword(key::SOURCE, true),
            Field::Salience => Self::Ratio(key::SALIENCE),
            Field::Confidence => Self::Ratio(key::CONFIDENCE),
            Field::CreatedAt => Self::Whole(key::CREATED_AT, true),
            Field::UpdatedAt => Self::Whole(key::UPDATED_AT, true),
            Field::ValidFrom => Self::Whole(key::VALID_FROM, true),
            Field::ValidTo => Self::Whole(key::VALID_TO, false),
            Field::ExpiresAt => Self::Whole(key::EXPIRES_AT, false),
            Field::SupersededBy => Self::Keyword(key::SUPERSEDED_BY, false),
            Field::Version => Self::Whole(key::VERSION, true),
            Field::Metadata(keys) => Self::Metadata(MetadataPath::new(keys)),
        }
    }

    /// Whether a record has the field.
    fn present(&self) -> Cond {
        match self {
            Self::Id(_) | Self::Text | Self::Keywords(_) | Self::Keyword(_, true) | Self::Whole(_, true) => {
                Cond::Always
            }
            Self::Keyword(key, false) | Self::Whole(key, false) | Self::Ratio(key) => Cond::When(present(key)),
            Self::Metadata(path) => Cond::When(matches(key::META, &json!(path.exists()))),
        }
    }

    fn compare(&self, op: Comparison, operand: &Operand) -> Bounds {
        match op {
            Comparison::Eq => self.one_of(std::slice::from_ref(operand)),
            Comparison::Ne => self.one_of(std::slice::from_ref(operand)).negated().and(&self.present()),
            Comparison::Contains => self.contains(operand),
            Comparison::Gt | Comparison::Gte | Comparison::Lt | Comparison::Lte => self.ordered(op, operand),
        }
    }

    /// Equal to one of the values, or with an element that is.
    fn one_of(&self, values: &[Operand]) -> Bounds {
        let strings = || values.iter().filter_map(|value| if let Operand::String(s) = value { Some(s) } else { None });
        let found = |key: &str, values: Vec<Value>| {
            Bounds::exactly(if values.is_empty() { Cond::Never } else { Cond::When(any(key, values)) })
        };
        match self {
            Self::Text if values.is_empty() => Bounds::exactly(Cond::Never),
            Self::Text => Bounds { over: Cond::Always, under: Cond::Never },
            Self::Id(namespace) => {
                let ids = strings().filter_map(|id| RecordId::new(id).ok());
                let points: BTreeSet<String> = ids.map(|id| point::id(namespace, &id)).collect();
                let when = || Cond::When(json!({ "has_id": points }));
                Bounds::exactly(if points.is_empty() { Cond::Never } else { when() })
            }
            Self::Keyword(key, _) | Self::Keywords(key) => found(key, strings().map(|s| json!(s)).collect()),
            Self::Whole(key, _) => {
                let whole: Vec<Whole> = values.iter().map(Whole::of).collect();
                let near = whole.iter().filter_map(|at| if let Whole::At(at) = at { Some(json!(at)) } else { None });
                let bounds = found(key, near.collect());
                // Qdrant matches no integer above 2^63; whoever holds one is left to the fields.
                let far = whole.contains(&Whole::Above);
                Bounds { over: if far { self.present() } else { bounds.over }, under: bounds.under }
            }
            Self::Ratio(key) => Bounds::some(values.iter().filter_map(|value| ratio_near(key, value)).collect()),
            Self::Metadata(path) => {
                found(key::META, values.iter().filter_map(|value| path.equals(value)).map(Value::from).collect())
            }
        }
    }

    fn contains(&self, operand: &Operand) -> Bounds {
        let equal = self.one_of(std::slice::from_ref(operand));
        match self {
            Self::Keywords(_) | Self::Whole(..) | Self::Ratio(_) => equal,
            // Whoever equals it contains it; who else does is not for an index of whole words to say.
            Self::Id(_) | Self::Keyword(..) | Self::Text => Bounds { over: self.present(), under: equal.under },
            Self::Metadata(path) => {
                let is = |sort| Cond::When(matches(key::META, &json!(path.holds(sort))));
                if matches!(operand, Operand::String(_)) {
                    Bounds { over: Cond::some([is(Sort::String), equal.over]), under: equal.under }
                } else {
                    equal.and(&is(Sort::List))
                }
            }
        }
    }

    fn ordered(&self, op: Comparison, operand: &Operand) -> Bounds {
        match self {
            Self::Keywords(_) => Bounds::exactly(Cond::Never),
            Self::Id(_) | Self::Keyword(..) | Self::Text => Bounds { over: self.present(), under: Cond::Never },
            Self::Whole(key, _) => {
                let range = whole_range(key, op, operand).map(|range| Bounds::exactly(Cond::When(range)));
                range.unwrap_or_else(|| Bounds { over: self.present(), under: Cond::Never })
            }
            Self::Ratio(key) => ratio_range(key, op, operand),
            Self::Metadata(path) => {
                let sort = match operand {
                    Operand::Bool(_) => Sort::Bool,
                    Operand::Number(_) => Sort::Number,
                    Operand::String(_) => Sort::String,
                    Operand::Timestamp(_) => return Bounds::exactly(Cond::Never),
                };
                Bounds { over: Cond::When(matches(key::META, &json!(path.holds(sort)))), under: Cond::Never }
            }
        }
    }
}

/// What an operand is among whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    At(i64),
    /// Whole, and above the 64-bit integers with a sign.
    Above,
    /// No whole number that could be held.
    Nowhere,
}

impl Whole {
    fn of(operand: &Operand) -> Self {
        match operand {
            Operand::Timestamp(at) => Self::At(at.as_micros()),
            Operand::Number(number) => Self::of_number(number),
            Operand::Bool(_) | Operand::String(_) => Self::Nowhere,
        }
    }

    fn of_number(number: &Number) -> Self {
        let float = number.as_f64();
        match (number.as_i64(), number.as_u64()) {
            (Some(at), _) => Self::At(at),
            (None, Some(_)) => Self::Above,
            _ if float.fract() != 0.0 || float < -9.3e18 => Self::Nowhere,
            _ if float.abs() < 9.2e18 => Self::At(float as i64),
            _ => Self::Above,
        }
    }
}

/// A range of whole numbers between whole ends, as the server's integer index needs them; `None` where an end is no exact double.
fn whole_range(key: &str, op: Comparison, operand: &Operand) -> Option<Value> {
    let (floor, is_whole) = match operand {
        Operand::Timestamp(at) => (at.as_micros(), true),
        Operand::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(at), _) => (at, true),
            (None, float) if float.abs() < EXACT as f64 => (float.floor() as i64, float.fract() == 0.0),
            _ => return None,
        },
        Operand::Bool(_) | Operand::String(_) => return None,
    };
    if floor <= -EXACT || floor >= EXACT - 1 {
        return None;
    }
    let end = match (op, is_whole) {
        (Comparison::Gt, true) => ("gt", floor),
        (Comparison::Gte, true) => ("gte", floor),
        (Comparison::Lt, true) => ("lt", floor),
        (Comparison::Gt | Comparison::Gte, false) => ("gte", floor + 1),
        _ => ("lte", floor),
    };
    Some(range(key, &[(end.0, json!(end.1))]))
}

/// The ends around a ratio: a server may read a decimal to the double beside it.
fn around(operand: &Operand) -> Option<(f64, f64)> {
    let Operand::Number(number) = operand else { return None };
    // Ratios lie between 0 and 1, so that whatever lies further out is as good as at these ends.
    let at = number.as_f64().clamp(-1.0, 2.0);
    let slack = (at.abs() * 1e-12).max(1e-300);
    Some((at - slack, at + slack))
}

fn ratio_near(key: &str, operand: &Operand) -> Option<Bounds> {
    let (low, high) = around(operand)?;
    Some(Bounds { over: Cond::When(range(key, &[("gte", json!(low)), ("lte", json!(high))])), under: Cond::Never })
}

fn ratio_range(key: &str, op: Comparison, operand: &Operand) -> Bounds {
    let Some((low, high)) = around(operand) else { return Bounds::exactly(Cond::Never) };
    let (over, under) = match op {
        Comparison::Gt | Comparison::Gte => (("gte", low), ("gt", high)),
        _ => (("lte", high), ("lt", low)),
    };
    let when = |(end, at): (&str, f64)| Cond::When(range(key, &[(end, json!(at))]));
    Bounds { over: when(over), under: when(under) }
}
