//! Pinecone's filter language over metadata. Not here: Mnemic's own filters, which the client translates.

use serde_json::Value;

use super::{failure::Rpc, metadata::Metadata};

/// Values of one `$in` or `$nin`.
const MOST_VALUES: usize = 10_000;

/// A filter that was understood.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Field(String, Test),
}

#[derive(Clone, Debug)]
pub(super) enum Test {
    Eq(Value),
    Ne(Value),
    /// A bound and whether it is passed by what lies so to it.
    Range(f64, fn(f64, f64) -> bool),
    In(Vec<Value>),
    Nin(Vec<Value>),
    Exists(bool),
}

impl Filter {
    /// Reads a filter.
    pub(super) fn parse(value: &Value) -> Result<Self, Rpc> {
        let Some(object) = value.as_object() else { return Err(Rpc::invalid("filter must be an object")) };
        let mut all = Vec::new();
        for (key, value) in object {
            match key.as_str() {
                "$and" | "$or" => {
                    let parts = value.as_array().filter(|parts| !parts.is_empty());
                    let parts = parts.ok_or_else(|| Rpc::invalid(format!("{key} must be a non-empty array")))?;
                    let parts = parts.iter().map(Self::parse).collect::<Result<Vec<_>, _>>()?;
                    all.push(if key == "$and" { Self::And(parts) } else { Self::Or(parts) });
                }
                operator if operator.starts_with('$') => {
                    return Err(Rpc::invalid(format!("{operator} is not a valid operator")));
                }
                field => all.extend(Self::tests(field, value)?),
            }
        }
        Ok(Self::And(all))
    }

    fn tests(field: &str, value: &Value) -> Result<Vec<Self>, Rpc> {
        let Some(operators) = value.as_object() else {
            return Ok(vec![Self::Field(field.to_owned(), Test::Eq(scalar("$eq", value)?))]);
        };
        if operators.is_empty() {
            return Err(Rpc::invalid(format!("the condition on {field} is empty")));
        }
        let test = |(operator, value): (&String, &Value)| {
            let test = match operator.as_str() {
                "$eq" => Test::Eq(scalar(operator, value)?),
                "$ne" => Test::Ne(scalar(operator, value)?),
                "$gt" => Test::Range(number(operator, value)?, |held, bound| held > bound),
                "$gte" => Test::Range(number(operator, value)?, |held, bound| held >= bound),
                "$lt" => Test::Range(number(operator, value)?, |held, bound| held < bound),
                "$lte" => Test::Range(number(operator, value)?, |held, bound| held <= bound),
                "$in" => Test::In(list(operator, value)?),
                "$nin" => Test::Nin(list(operator, value)?),
                "$exists" => {
                    let wanted = value.as_bool();
                    Test::Exists(wanted.ok_or_else(|| Rpc::invalid("$exists must be a boolean"))?)
                }
                other => return Err(Rpc::invalid(format!("{other} is not a valid operator"))),
            };
            Ok(Self::Field(field.to_owned(), test))
        };
        operators.iter().map(test).collect()
    }

    /// Whether metadata passes. Where a field is missing, no document says what `$ne` and `$nin` do: `missing_is_other` decides.
    pub(super) fn passes(&self, metadata: Option<&Metadata>, missing_is_other: bool) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.passes(metadata, missing_is_other)),
            Self::Or(parts) => parts.iter().any(|part| part.passes(metadata, missing_is_other)),
            Self::Field(field, test) => {
                let Some(held) = metadata.and_then(|metadata| metadata.get(field)) else {
                    return match test {
                        Test::Exists(wanted) => !wanted,
                        Test::Ne(_) | Test::Nin(_) => missing_is_other,
                        Test::Eq(_) | Test::Range(..) | Test::In(_) => false,
                    };
                };
                let elements = held.as_array().map_or(std::slice::from_ref(held), Vec::as_slice);
                match test {
                    Test::Eq(wanted) => elements.iter().any(|element| same(element, wanted)),
                    Test::Ne(wanted) => !elements.iter().any(|element| same(element, wanted)),
                    Test::Range(bound, lies) => held.as_f64().is_some_and(|held| lies(held, *bound)),
                    Test::In(list) => elements.iter().any(|element| list.iter().any(|wanted| same(element, wanted))),
                    Test::Nin(list) => !elements.iter().any(|element| list.iter().any(|wanted| same(element, wanted))),
                    Test::Exists(wanted) => *wanted,
                }
            }
        }
    }
}

/// Numbers are doubles to the service, whatever their text.
fn same(held: &Value, wanted: &Value) -> bool {
    match (held, wanted) {
        (Value::Number(held), Value::Number(wanted)) => held.as_f64() == wanted.as_f64(),
        _ => held == wanted,
    }
}

fn scalar(operator: &str, value: &Value) -> Result<Value, Rpc> {
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(value.clone()),
        _ => Err(Rpc::invalid(format!("{operator} must be a string, number or boolean"))),
    }
}

fn number(operator: &str, value: &Value) -> Result<f64, Rpc> {
    value.as_f64().ok_or_else(|| Rpc::invalid(format!("{operator} must be a number")))
}

fn list(operator: &str, value: &Value) -> Result<Vec<Value>, Rpc> {
    let values = value.as_array().ok_or_else(|| Rpc::invalid(format!("{operator} must be an array")))?;
    if values.len() > MOST_VALUES {
        return Err(Rpc::invalid(format!("{operator} must have at most {MOST_VALUES} values, found {}", values.len())));
    }
    let fits = |value: &Value| matches!(value, Value::String(_) | Value::Number(_));
    if !values.iter().all(fits) {
        return Err(Rpc::invalid(format!("{operator} must hold strings or numbers")));
    }
    Ok(values.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use serde_json::json;

    use super::*;

    fn passes(filter: &Value) -> bool {
        let Value::Object(metadata) = json!({"genre": ["drama", "comedy"], "year": 2020, "new": true, "name": "x"})
        else {
            unreachable!()
        };
        Filter::parse(filter).unwrap().passes(Some(&metadata), false)
    }

    #[test]
    fn a_list_passes_by_any_element_and_is_excluded_by_any() {
        assert!(passes(&json!({"genre": "drama"})) && passes(&json!({"genre": {"$in": ["x", "comedy"]}})));
        assert!(!passes(&json!({"genre": {"$ne": "drama"}})) && !passes(&json!({"genre": {"$nin": ["comedy"]}})));
        assert!(passes(&json!({"year": {"$gte": 2020, "$lt": 2021}})) && passes(&json!({"year": 2020.0})));
        assert!(
            passes(&json!({"$or": [{"name": "y"}, {"new": true}]})) && !passes(&json!({"name": "x", "new": false}))
        );
        assert!(!passes(&json!({"absent": {"$ne": 1}})) && passes(&json!({"absent": {"$exists": false}})));
        assert!(!passes(&json!({"name": {"$gt": 1}})));
    }

    #[test]
    fn what_the_language_lacks_is_refused() {
        let many: Vec<usize> = (0..=MOST_VALUES).collect();
        for bad in [
            json!({"a": ["x"]}),
            json!({"a": {"$eq": ["x"]}}),
            json!({"a": {"$gt": "x"}}),
            json!({"a": {"$in": [true]}}),
            json!({"a": {"$in": many}}),
            json!({"a": {"$regex": "x"}}),
            json!({"$not": [{"a": 1}]}),
            json!({"$or": []}),
            json!({"a": null}),
            json!([]),
        ] {
            assert!(Filter::parse(&bad).is_err(), "{bad}");
        }
    }
}
