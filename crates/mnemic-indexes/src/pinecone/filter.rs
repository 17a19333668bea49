//! Filters as Pinecone's: never narrower than ours, so that whatever passes ours is found. Not here: deciding the rest (`held`).
//!
//! What a vector's metadata does not hold faithfully is listed in its `omitted`, and passes. Pinecone does not say what `$ne` and `$nin`
//! make of a missing field, so both stand beside `$exists` always.

use mnemic_core::{Comparison, Field, Filter, Operand};
use serde_json::{Value, json};

use super::held::{EXACT, OMITTED, OMITTED_ALL, key, operand_number};

/// A condition on metadata that every record which passes a filter passes too.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    /// Everything may pass.
    All,
    /// Nothing passes.
    None,
    /// What passes this.
    Is(Value),
}

/// The widest sensible condition for `filter`.
pub(super) fn translate(filter: &Filter) -> Condition {
    superset(filter, true)
}

fn superset(filter: &Filter, positive: bool) -> Condition {
    match filter {
        Filter::And(filters) => join(filters.iter().map(|filter| superset(filter, positive)), positive),
        Filter::Or(filters) => join(filters.iter().map(|filter| superset(filter, positive)), !positive),
        Filter::Not(filter) => superset(filter, !positive),
        Filter::Compare(field, op, operand) => leaf(field, positive, |at| at.compare(*op, operand)),
        Filter::In(field, values) => leaf(field, positive, |at| at.any_of(values)),
        Filter::Nin(field, values) => leaf(field, positive, |at| at.any_of(values).swapped()),
        Filter::Exists(field) => leaf(field, positive, |at| Decided { holds: at.there(), fails: Condition::None }),
    }
}

/// All of the conditions, or any of them.
fn join(conditions: impl Iterator<Item = Condition>, all: bool) -> Condition {
    let (neutral, final_word, operator) =
        if all { (Condition::All, Condition::None, "$and") } else { (Condition::None, Condition::All, "$or") };
    let mut parts = Vec::new();
    for condition in conditions {
        match condition {
            Condition::Is(value) => parts.push(value),
            other if other == final_word => return final_word,
            _ => {}
        }
    }
    match parts.len() {
        0 => neutral,
        1 => parts.pop().map_or(neutral, Condition::Is),
        _ => Condition::Is(json!({ operator: parts })),
    }
}

fn any<const N: usize>(conditions: [Condition; N]) -> Condition {
    join(conditions.into_iter(), false)
}

fn both(one: Condition, other: Condition) -> Condition {
    join([one, other].into_iter(), true)
}

/// One condition on one field, among the records that have it: for which it may hold, and for which it may fail.
struct Decided {
    holds: Condition,
    fails: Condition,
}

impl Decided {
    fn swapped(self) -> Self {
        Self { holds: self.fails, fails: self.holds }
    }
}

fn leaf(field: &Field, positive: bool, decide: impl FnOnce(&At) -> Decided) -> Condition {
    let Some(at) = At::of(field) else { return Condition::All };
    let decided = decide(&at);
    // A list is there also if it is empty, and then metadata has no such field; then no element is anything.
    let condition = match (positive, at.presence) {
        (true, _) => decided.holds,
        (false, Presence::Optional) => any([at.missing(), decided.fails]),
        (false, Presence::Always | Presence::List) => decided.fails,
    };
    if !at.may_be_omitted || condition == Condition::All {
        return condition;
    }
    any([condition, Condition::Is(json!({ OMITTED: {"$in": [at.key, OMITTED_ALL]} }))])
}

#[derive(Clone, Copy, PartialEq)]
enum Presence {
    Always,
    Optional,
    List,
}

/// A field as metadata holds it.
struct At {
    key: String,
    presence: Presence,
    may_be_omitted: bool,
    /// Whether all its values are numbers.
    numeric: bool,
}

impl At {
    /// `None` for what metadata never holds.
    fn of(field: &Field) -> Option<Self> {
        let (presence, may_be_omitted, numeric) = match field {
            Field::Text => return None,
            Field::Id | Field::Kind | Field::Source => (Presence::Always, false, false),
            Field::UserId | Field::ThreadId | Field::SupersededBy => (Presence::Optional, false, false),
            Field::Path | Field::Tags => (Presence::List, true, false),
            Field::Salience | Field::Confidence | Field::ValidTo | Field::ExpiresAt => {
                (Presence::Optional, false, true)
            }
            Field::CreatedAt | Field::UpdatedAt | Field::ValidFrom | Field::Version => (Presence::Always, false, true),
            Field::Metadata(_) => (Presence::Optional, true, false),
        };
        Some(Self { key: key(field), presence, may_be_omitted, numeric })
    }

    fn is(&self, operator: &str, value: &Value) -> Condition {
        Condition::Is(json!({ &self.key: { operator: value } }))
    }

    fn there(&self) -> Condition {
        if self.presence == Presence::Optional { self.is("$exists", &Value::Bool(true)) } else { Condition::All }
    }

    fn missing(&self) -> Condition {
        self.is("$exists", &Value::Bool(false))
    }

    /// Excludes values: `operator` is `$ne` or `$nin`, about a field that must be there or may be an empty list.
    fn other_than(&self, operator: &str, value: &Value) -> Condition {
        let other = self.is(operator, value);
        match self.presence {
            Presence::Always => other,
            Presence::Optional => both(self.there(), other),
            Presence::List => any([self.missing(), other]),
        }
    }

    fn compare(&self, op: Comparison, operand: &Operand) -> Decided {
        match op {
            Comparison::Eq => self.any_of(std::slice::from_ref(operand)),
            Comparison::Ne => self.any_of(std::slice::from_ref(operand)).swapped(),
            Comparison::Contains if self.presence == Presence::List => self.any_of(std::slice::from_ref(operand)),
            Comparison::Contains => Decided { holds: self.there(), fails: self.there() },
            Comparison::Gt => self.range("$gt", "$gte", "$lte", operand),
            Comparison::Gte => self.range("$gte", "$gte", "$lt", operand),
            Comparison::Lt => self.range("$lt", "$lte", "$gte", operand),
            Comparison::Lte => self.range("$lte", "$lte", "$gt", operand),
        }
    }

    /// `operator` among exact numbers, `inclusive` among rounded ones, `opposite` for the numbers that do not lie so.
    fn range(&self, operator: &str, inclusive: &str, opposite: &str, operand: &Operand) -> Decided {
        // Pinecone orders numbers only.
        let Some(number) = operand_number(operand) else {
            return Decided { holds: self.there(), fails: self.there() };
        };
        let (exact, number) = (number.abs() < EXACT, json!(number));
        let holds = self.is(if exact { operator } else { inclusive }, &number);
        // What is no number lies nowhere, and fails.
        let fails = if exact && self.numeric { self.is(opposite, &number) } else { self.there() };
        Decided { holds, fails }
    }

    fn any_of(&self, values: &[Operand]) -> Decided {
        let (mut listed, mut excluded, mut flags) = (Vec::new(), Vec::new(), Vec::new());
        for value in values {
            match (value, operand_number(value)) {
                (Operand::String(text), _) => {
                    listed.push(json!(text));
                    excluded.push(json!(text));
                }
                (Operand::Bool(flag), _) => flags.push(json!(flag)),
                (_, Some(number)) => {
                    listed.push(json!(number));
                    // Others may have been rounded to the same number; they must not be excluded.
                    if number.abs() < EXACT {
                        excluded.push(json!(number));
                    }
                }
                (Operand::Number(_) | Operand::Timestamp(_), None) => {}
            }
        }
        let listed = if listed.is_empty() { Condition::None } else { self.is("$in", &Value::Array(listed)) };
        let holds = join(flags.iter().map(|flag| self.is("$eq", flag)).chain([listed]), false);
        let excluded =
            if excluded.is_empty() { self.there() } else { self.other_than("$nin", &Value::Array(excluded)) };
        let fails = join(flags.iter().map(|flag| self.other_than("$ne", flag)).chain([excluded]), true);
        Decided { holds, fails }
    }
}
