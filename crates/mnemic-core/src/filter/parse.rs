//! The JSON form of filters: `{"field": value}`, `{"field": {"op": value}}`, `{"and": [..]}`, `{"or": [..]}`, `{"not": {..}}`.
//! Operators may carry a leading `$`. Several keys of one object must all hold.

use super::{Comparison, Field, FieldType, Filter, Operand};
use crate::{Error, Object, Result, Timestamp, Value, ids::quoted, limits, suggest::nearest};

const OPERATORS: [&str; 10] = ["eq", "ne", "in", "nin", "gt", "gte", "lt", "lte", "exists", "contains"];

impl Filter {
    /// Reads the JSON form and checks it.
    ///
    /// # Errors
    /// `InvalidInput`, naming `filter`, what was expected and the nearest valid name.
    pub fn from_object(object: &Object) -> Result<Self> {
        let filter = read_object(object, 1)?;
        filter.check()?;
        Ok(filter)
    }
}

fn read_object(object: &Object, depth: usize) -> Result<Filter> {
    // Checked while reading, so that a hostile nesting ends before it is walked.
    if depth > limits::FILTER_DEPTH {
        return Err(Error::invalid("filter", format!("nesting of at most {}", limits::FILTER_DEPTH), "deeper nesting"));
    }
    let mut conditions = Vec::with_capacity(object.len());
    for (key, value) in object {
        conditions.push(read_condition(key, value, depth)?);
    }
    Ok(match <[Filter; 1]>::try_from(conditions) {
        Ok([single]) => single,
        Err(conditions) => Filter::And(conditions),
    })
}

fn read_condition(key: &str, value: &Value, depth: usize) -> Result<Filter> {
    match key.strip_prefix('$').unwrap_or(key).to_ascii_lowercase().as_str() {
        "and" => Ok(Filter::And(read_list(key, value, depth)?)),
        "or" => Ok(Filter::Or(read_list(key, value, depth)?)),
        "not" => match value {
            Value::Object(inner) => Ok(Filter::Not(Box::new(read_object(inner, depth + 1)?))),
            other => Err(Error::invalid("filter", "an object under not", quoted(&other.to_canonical()))),
        },
        _ if key.starts_with('$') => Err(Error::invalid("filter", "and, or, not or a field", quoted(key))),
        _ => read_field(&Field::parse(key)?, value),
    }
}

fn read_list(key: &str, value: &Value, depth: usize) -> Result<Vec<Filter>> {
    let Value::Array(items) = value else {
        return Err(Error::invalid("filter", format!("a list under {key}"), quoted(&value.to_canonical())));
    };
    if items.len() > limits::FILTER_NODES {
        return Err(Error::invalid("filter", format!("at most {} conditions", limits::FILTER_NODES), items.len()));
    }
    items
        .iter()
        .map(|item| match item {
            Value::Object(object) => read_object(object, depth + 1),
            other => Err(Error::invalid("filter", format!("objects under {key}"), quoted(&other.to_canonical()))),
        })
        .collect()
}

fn read_field(field: &Field, value: &Value) -> Result<Filter> {
    match value {
        Value::Object(operators) => {
            let mut conditions = Vec::with_capacity(operators.len());
            for (operator, operand) in operators {
                conditions.push(read_operator(field, operator, operand)?);
            }
            match <[Filter; 1]>::try_from(conditions) {
                Ok([single]) => Ok(single),
                Err(conditions) if conditions.is_empty() => {
                    Err(Error::invalid("filter", format!("a value or an operator for {field}"), "an empty object"))
                }
                Err(conditions) => Ok(Filter::And(conditions)),
            }
        }
        // The seed's dictionary: a list of tags means all of them; a list on any other field means one of them.
        Value::Array(items) if *field == Field::Tags => items
            .iter()
            .map(|item| Ok(Filter::Compare(Field::Tags, Comparison::Contains, operand(field, item)?)))
            .collect::<Result<_>>()
            .map(Filter::And),
        Value::Array(_) => Ok(Filter::In(field.clone(), operands(field, value)?)),
        scalar => Ok(Filter::Compare(field.clone(), Comparison::Eq, operand(field, scalar)?)),
    }
}

fn read_operator(field: &Field, name: &str, value: &Value) -> Result<Filter> {
    let bare = name.strip_prefix('$').unwrap_or(name);
    let comparison = match bare {
        "in" => return Ok(Filter::In(field.clone(), operands(field, value)?)),
        "nin" => return Ok(Filter::Nin(field.clone(), operands(field, value)?)),
        "exists" => {
            return match value {
                Value::Bool(true) => Ok(Filter::Exists(field.clone())),
                Value::Bool(false) => Ok(Filter::Not(Box::new(Filter::Exists(field.clone())))),
                other => Err(Error::invalid("filter", "true or false for exists", quoted(&other.to_canonical()))),
            };
        }
        "eq" => Comparison::Eq,
        "ne" => Comparison::Ne,
        "gt" => Comparison::Gt,
        "gte" => Comparison::Gte,
        "lt" => Comparison::Lt,
        "lte" => Comparison::Lte,
        "contains" => Comparison::Contains,
        _ => {
            let hint = nearest(bare, &OPERATORS).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            let expected = format!("one of {} for {field}", OPERATORS.join(", "));
            return Err(Error::invalid("filter", expected, format!("{}{hint}", quoted(name))));
        }
    };
    Ok(Filter::Compare(field.clone(), comparison, operand(field, value)?))
}

fn operands(field: &Field, value: &Value) -> Result<Vec<Operand>> {
    let Value::Array(items) = value else {
        return Err(Error::invalid("filter", format!("a list for {field}"), quoted(&value.to_canonical())));
    };
    if items.len() > limits::FILTER_VALUES {
        let expected = format!("at most {} values", limits::FILTER_VALUES);
        return Err(Error::invalid("filter", expected, format!("{} for {field}", items.len())));
    }
    items.iter().map(|item| operand(field, item)).collect()
}

fn operand(field: &Field, value: &Value) -> Result<Operand> {
    match value {
        Value::String(text) if field.field_type() == FieldType::Timestamp => {
            Timestamp::parse(&format!("filter.{field}"), text).map(Operand::Timestamp)
        }
        Value::String(text) => Ok(Operand::String(text.clone())),
        Value::Number(number) => Ok(Operand::Number(*number)),
        Value::Bool(value) => Ok(Operand::Bool(*value)),
        Value::Null => Err(Error::invalid("filter", format!("a value for {field} (use exists for absence)"), "null")),
        Value::Array(_) | Value::Object(_) => Err(Error::invalid(
            "filter",
            format!("a string, number or boolean for {field}"),
            quoted(&value.to_canonical()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(key: &str, value: Value) -> Result<Filter> {
        Filter::from_object(&Object::from([(key.to_owned(), value)]))
    }

    fn op(name: &str, value: Value) -> Value {
        Value::Object(Object::from([(name.to_owned(), value)]))
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest_valid_one() {
        let message = |key: &str, value: Value| single(key, value).unwrap_err().to_string();
        assert!(message("metdata", "x".into()).contains("metadata.<key>"));
        assert!(message("user", "x".into()).contains("did you mean user_id?"));
        assert!(message("text", op("contain", "x".into())).contains("did you mean contains?"));
        for key in ["$where", "a') OR 1=1--", "metadata.", "metadata.a..b", "a\0", "user_id.x", ""] {
            assert_eq!(single(key, "x".into()).unwrap_err().field(), Some("filter"), "{key:?}");
        }
        assert!(single("text", op("$regex", "(a+)+$".into())).is_err());
    }

    #[test]
    fn an_operand_must_fit_its_field() {
        assert!(single("salience", "high".into()).unwrap_err().to_string().contains("a number for salience"));
        assert!(single("created_at", "yesterday".into()).unwrap_err().to_string().contains("RFC 3339"));
        assert!(single("user_id", Value::Null).unwrap_err().to_string().contains("exists"));
        assert!(single("tags", op("gt", "a".into())).is_err());
        assert!(single("user_id", op("$eq", "u".into())).is_ok());
    }

    #[test]
    fn a_filter_beyond_its_limits_is_refused_before_work() {
        let mut deep = op("text", "x".into());
        for _ in 0..10_000 {
            deep = op("not", deep);
        }
        let Value::Object(object) = &deep else { unreachable!() };
        assert!(Filter::from_object(object).unwrap_err().to_string().contains("nesting"));
        let wide = Value::Array(vec![1i64.into(); limits::FILTER_VALUES + 1]);
        assert!(single("metadata.x", op("in", wide)).unwrap_err().to_string().contains("at most 1000 values"));
        let many = Value::Array(vec![op("text", "x".into()); limits::FILTER_NODES]);
        assert!(single("or", many).unwrap_err().to_string().contains("256 conditions"));
        // Values are dropped one level at a time, so the deep one must be taken apart by hand.
        while let Value::Object(mut object) = deep {
            deep = object.remove("not").unwrap_or(Value::Null);
        }
    }
}
