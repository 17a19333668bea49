//! A filter as a condition over the columns of a record. Not here: what a filter means; `mnemic_core`'s evaluator decides that.
//!
//! Every value and every key of a caller is bound; what is written into the statement is ours. Each condition is true or false and
//! never null, so that `NOT` means what it says.

use mnemic_core::{Comparison, Field, Filter, Number, Operand};
use mnemic_postgres::Type;

use super::{Statement, json};

/// Whether the columns decide a comparison. They hold no text, and PostgreSQL no string with a NUL.
fn decides(leaf: &Filter) -> bool {
    let holds = |value: &Operand| !matches!(value, Operand::String(text) if text.contains('\0'));
    let (field, holds) = match leaf {
        Filter::Compare(field, _, value) => (field, holds(value)),
        Filter::In(field, values) | Filter::Nin(field, values) => (field, values.iter().all(holds)),
        Filter::Exists(field) => (field, true),
        Filter::And(_) | Filter::Or(_) | Filter::Not(_) => return true,
    };
    match field {
        Field::Text => false,
        Field::Metadata(path) => holds && !path.iter().any(|key| key.contains('\0')),
        _ => holds,
    }
}

/// The condition that every record that passes `filter` fulfils, over the table named `d`; `None` if every record does. Where
/// the columns decide all of the filter, no other record fulfils it.
pub(crate) fn condition(filter: &Filter, statement: &mut Statement) -> Option<String> {
    let relaxed = filter.relaxed(&decides);
    if relaxed.is_all() { None } else { Some(node(&relaxed, statement)) }
}

fn node(filter: &Filter, statement: &mut Statement) -> String {
    let mut joined = |filters: &[Filter], by: &str, none: &str| {
        if filters.is_empty() {
            return none.to_owned();
        }
        let parts: Vec<String> = filters.iter().map(|filter| node(filter, statement)).collect();
        format!("({})", parts.join(by))
    };
    match filter {
        Filter::And(filters) => joined(filters, " AND ", "TRUE"),
        Filter::Or(filters) => joined(filters, " OR ", "FALSE"),
        Filter::Not(filter) => format!("NOT {}", node(filter, statement)),
        Filter::Compare(field, ..) | Filter::In(field, _) | Filter::Nin(field, _) | Filter::Exists(field) => {
            format!("coalesce({}, FALSE)", leaf(field, filter, statement))
        }
    }
}

fn leaf(field: &Field, filter: &Filter, statement: &mut Statement) -> String {
    match field {
        Field::Metadata(path) => {
            let keys: Vec<String> = path.iter().map(|key| statement.bind(key.clone(), Type::TEXT)).collect();
            metadata(&format!("(d.metadata -> {})", keys.join(" -> ")), filter, statement)
        }
        Field::Path | Field::Tags => list(&format!("d.{field}"), filter, statement),
        Field::Salience | Field::Confidence => single(&format!("d.{field}"), Values::Doubles, filter, statement),
        Field::Version => single("d.version::numeric", Values::Decimals, filter, statement),
        Field::CreatedAt | Field::UpdatedAt | Field::ValidFrom | Field::ValidTo | Field::ExpiresAt => {
            single(&format!("d.{field}"), Values::Micros, filter, statement)
        }
        Field::Id
        | Field::UserId
        | Field::ThreadId
        | Field::Kind
        | Field::Text
        | Field::Source
        | Field::SupersededBy => single(&format!("d.{field}"), Values::Texts, filter, statement),
    }
}

/// What a column with single values holds. `Filter::check` lets no operand of another kind come to it.
#[derive(Clone, Copy, Debug)]
enum Values {
    Texts,
    /// Between 0 and 1, where no integer and no double is rounded across another.
    Doubles,
    Decimals,
    Micros,
}

impl Values {
    /// Binds a list of operands; one that is of another kind equals nothing and is left out.
    fn bind(self, operands: &[Operand], statement: &mut Statement) -> String {
        match self {
            Self::Texts => statement.bind(texts(operands), Type::TEXT_ARRAY),
            Self::Doubles => {
                let values: Vec<f64> = numbers(operands).map(Number::as_f64).collect();
                statement.bind(values, Type::FLOAT8_ARRAY)
            }
            Self::Decimals => {
                let values: Vec<String> = numbers(operands).map(json::number).collect();
                format!("{}::numeric[]", statement.bind(values, Type::TEXT_ARRAY))
            }
            Self::Micros => {
                let times = operands.iter().filter_map(|operand| match operand {
                    Operand::Timestamp(at) => Some(at.as_micros()),
                    _ => None,
                });
                let values: Vec<i64> = times.collect();
                statement.bind(values, Type::INT8_ARRAY)
            }
        }
    }
}

fn texts(operands: &[Operand]) -> Vec<String> {
    let texts = operands.iter().filter_map(|operand| match operand {
        Operand::String(text) => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

fn numbers(operands: &[Operand]) -> impl Iterator<Item = &Number> {
    operands.iter().filter_map(|operand| match operand {
        Operand::Number(number) => Some(number),
        _ => None,
    })
}

const fn sign(op: Comparison) -> &'static str {
    match op {
        Comparison::Eq | Comparison::Contains => "=",
        Comparison::Ne => "<>",
        Comparison::Gt => ">",
        Comparison::Gte => ">=",
        Comparison::Lt => "<",
        Comparison::Lte => "<=",
    }
}

/// A column with one value or none.
fn single(column: &str, values: Values, filter: &Filter, statement: &mut Statement) -> String {
    let mut one = |operand: &Operand| values.bind(std::slice::from_ref(operand), statement);
    match filter {
        Filter::Compare(_, Comparison::Contains, operand) => format!("strpos({column}, ({})[1]) > 0", one(operand)),
        Filter::Compare(_, op, operand) => format!("{column} {} ({})[1]", sign(*op), one(operand)),
        Filter::In(_, operands) => format!("{column} = ANY ({})", values.bind(operands, statement)),
        Filter::Nin(_, operands) => {
            format!("({column} IS NOT NULL AND {column} <> ALL ({}))", values.bind(operands, statement))
        }
        _ => format!("{column} IS NOT NULL"),
    }
}

/// A column with a list of strings, possibly an empty one.
fn list(column: &str, filter: &Filter, statement: &mut Statement) -> String {
    let mut overlaps =
        |operands: &[Operand]| format!("({column} && {})", statement.bind(texts(operands), Type::TEXT_ARRAY));
    match filter {
        Filter::Compare(_, Comparison::Ne, operand) => format!("NOT {}", overlaps(std::slice::from_ref(operand))),
        Filter::Compare(_, _, operand) => overlaps(std::slice::from_ref(operand)),
        Filter::In(_, operands) => overlaps(operands),
        Filter::Nin(_, operands) => format!("NOT {}", overlaps(operands)),
        _ => "TRUE".to_owned(),
    }
}

/// A JSON value or nothing. A list equals what one of its elements equals.
fn metadata(value: &str, filter: &Filter, statement: &mut Statement) -> String {
    let exists = format!("jsonb_typeof({value}) <> 'null'");
    match filter {
        Filter::Compare(_, Comparison::Eq, operand) => equals(value, operand, statement),
        Filter::Compare(_, Comparison::Ne, operand) => {
            format!("({exists} AND NOT {})", equals(value, operand, statement))
        }
        Filter::Compare(_, Comparison::Contains, operand) => contains(value, operand, statement),
        Filter::Compare(_, op, operand) => ordered(value, *op, operand, statement),
        Filter::In(_, operands) => any(value, operands, statement),
        Filter::Nin(_, operands) => format!("({exists} AND NOT {})", any(value, operands, statement)),
        _ => exists,
    }
}

fn literal(operand: &Operand) -> String {
    match operand {
        Operand::Bool(value) => value.to_string(),
        Operand::Number(value) => json::number(value),
        Operand::String(value) => json::string(value),
        // `Filter::check` lets none come to metadata, and this equals no value that is compared.
        Operand::Timestamp(_) => "{}".to_owned(),
    }
}

fn equals(value: &str, operand: &Operand, statement: &mut Statement) -> String {
    let place = statement.bind(literal(operand), Type::TEXT);
    format!("({value} = {place}::jsonb OR (jsonb_typeof({value}) = 'array' AND {value} @> {place}::jsonb))")
}

fn any(value: &str, operands: &[Operand], statement: &mut Statement) -> String {
    let place = statement.bind(operands.iter().map(literal).collect::<Vec<_>>(), Type::TEXT_ARRAY);
    format!(
        "({value} = ANY ({place}::jsonb[]) OR (jsonb_typeof({value}) = 'array' AND \
         EXISTS (SELECT FROM unnest({place}::jsonb[]) AS one WHERE {value} @> one)))"
    )
}

fn contains(value: &str, operand: &Operand, statement: &mut Statement) -> String {
    let element = statement.bind(literal(operand), Type::TEXT);
    let in_list = format!("(jsonb_typeof({value}) = 'array' AND {value} @> {element}::jsonb)");
    match operand {
        Operand::String(part) => {
            let part = statement.bind(part.clone(), Type::TEXT);
            format!("((jsonb_typeof({value}) = 'string' AND strpos({value} #>> '{{}}', {part}) > 0) OR {in_list})")
        }
        Operand::Bool(_) | Operand::Number(_) | Operand::Timestamp(_) => in_list,
    }
}

/// A comparison of two of a kind. `CASE` keeps a string from being read as a number.
fn ordered(value: &str, op: Comparison, operand: &Operand, statement: &mut Statement) -> String {
    let sign = sign(op);
    let (kind, condition) = match operand {
        Operand::Number(number) => {
            let place = statement.bind(json::number(number), Type::TEXT);
            ("number", format!("({value} #>> '{{}}')::numeric {sign} {place}::numeric"))
        }
        Operand::String(text) => {
            let place = statement.bind(text.clone(), Type::TEXT);
            ("string", format!("({value} #>> '{{}}') COLLATE \"C\" {sign} {place}"))
        }
        Operand::Bool(value_asked) => {
            let place = statement.bind(*value_asked, Type::BOOL);
            ("boolean", format!("({value} #>> '{{}}')::boolean {sign} {place}"))
        }
        Operand::Timestamp(_) => return "FALSE".to_owned(),
    };
    format!("CASE WHEN jsonb_typeof({value}) = '{kind}' THEN {condition} ELSE FALSE END")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(filter: &Filter) -> (Option<String>, usize) {
        let mut statement = Statement::new("");
        let condition = condition(filter, &mut statement);
        (condition, statement.query().bound())
    }

    fn text(word: &str) -> Filter {
        Filter::Compare(Field::Text, Comparison::Contains, Operand::String(word.to_owned()))
    }

    #[test]
    fn nothing_of_a_caller_is_written_into_a_statement() {
        let hostile = "x' OR TRUE --";
        for field in [Field::Source, Field::Tags, Field::Metadata(vec![hostile.to_owned(), "$2".to_owned()])] {
            for filter in [
                Filter::equals(field.clone(), hostile),
                Filter::Nin(field.clone(), vec![Operand::String(hostile.to_owned())]),
                Filter::Compare(field.clone(), Comparison::Contains, Operand::String(hostile.to_owned())),
            ] {
                let (condition, bound) = sql(&filter);
                let condition = condition.unwrap();
                assert!(!condition.contains("TRUE") && !condition.contains("--"), "{condition}");
                assert!(bound > 1, "{condition}");
            }
        }
    }

    #[test]
    fn what_the_columns_do_not_hold_is_left_to_the_caller() {
        assert_eq!(sql(&text("a")).0, None);
        assert_eq!(sql(&Filter::equals(Field::Source, "a\0")).0, None);
        let both = Filter::And(vec![text("a"), Filter::equals(Field::Source, "b")]);
        assert_eq!(sql(&both).0.unwrap(), "(TRUE AND coalesce(d.source = ($2)[1], FALSE))");
        let none = Filter::Not(Box::new(Filter::Or(vec![text("a"), Filter::equals(Field::Source, "b")])));
        assert_eq!(sql(&none).0.unwrap(), "NOT (FALSE OR coalesce(d.source = ($2)[1], FALSE))");
    }
}
