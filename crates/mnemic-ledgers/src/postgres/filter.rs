//! A filter as a condition of the server. Values and paths are bound and never part of the statement; what the server cannot decide
//! exactly is left open and decided by `Filter::matches`. Not here: what a filter means (`mnemic_core::filter`).

use mnemic_core::{Comparison, Field, Filter, Number, Operand};
use mnemic_postgres::{Query, ToSql, Type};

use super::facets;

/// A condition and the values that it names.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// The condition, true for every record that passes the filter.
    pub(super) sql: String,
    values: Vec<Value>,
    /// The number of the first value.
    first: usize,
    /// Whether it is true for those only.
    pub(super) exact: bool,
}

#[derive(Debug)]
enum Value {
    Text(String),
    Texts(Vec<String>),
    Int(i64),
    Ints(Vec<i64>),
    Float(f64),
    Floats(Vec<f64>),
}

/// Where a field lies.
enum Place<'a> {
    /// A text column.
    Text(&'static str),
    /// A column of whole numbers.
    Whole(&'static str),
    /// A column of instants.
    Instant(&'static str),
    /// A column of doubles.
    Double(&'static str),
    /// A path into the facets, and whether something is always there.
    Facet(Vec<&'a str>, bool),
    /// Nowhere that a condition sees.
    Body,
}

fn place(field: &Field) -> Place<'_> {
    match field {
        Field::Id => Place::Text("r.id"),
        Field::UserId => Place::Text("r.user_id"),
        Field::ThreadId => Place::Text("r.thread_id"),
        Field::Kind => Place::Text("r.kind"),
        Field::Source => Place::Text("r.source"),
        Field::SupersededBy => Place::Text("r.superseded_by"),
        Field::Version => Place::Whole("r.version"),
        Field::CreatedAt => Place::Instant("r.created_at"),
        Field::UpdatedAt => Place::Instant("r.updated_at"),
        Field::ValidFrom => Place::Instant("r.valid_from"),
        Field::ValidTo => Place::Instant("r.valid_to"),
        Field::ExpiresAt => Place::Instant("r.expires_at"),
        Field::Salience => Place::Double("r.salience"),
        Field::Confidence => Place::Double("r.confidence"),
        Field::Tags => Place::Facet(vec!["t"], true),
        Field::Path => Place::Facet(vec!["p"], true),
        Field::Metadata(path) => {
            // On the way through a list, the server would take a number for a position.
            let steps =
                |key: &String| key.starts_with(|c: char| c.is_ascii_digit() || c.is_whitespace() || "+-".contains(c));
            if path.is_empty() || path.iter().skip(1).any(steps) {
                return Place::Body;
            }
            Place::Facet(std::iter::once("m").chain(path.iter().map(String::as_str)).collect(), false)
        }
        Field::Text => Place::Body,
    }
}

impl Condition {
    /// The condition that leaves everything open.
    pub(super) fn open() -> Self {
        Self { sql: "true".to_owned(), ..Self::default() }
    }

    /// Translates a filter; the values are numbered from `first`.
    pub(super) fn of(filter: &Filter, first: usize) -> Self {
        let exact = std::cell::Cell::new(true);
        let can = |leaf: &Filter| {
            let can = Self { first, ..Self::default() }.leaf(leaf).is_some();
            exact.set(exact.get() && can);
            can
        };
        let relaxed = filter.relaxed(&can);
        let mut condition = Self { first, ..Self::default() };
        condition.sql = condition.node(&relaxed);
        condition.exact = exact.get();
        condition
    }

    /// Binds the values.
    pub(super) fn bind<'a>(&'a self, query: Query<'a>) -> Query<'a> {
        self.values.iter().fold(query, |query, value| {
            let (value, of): (&(dyn ToSql + Sync), Type) = match value {
                Value::Text(value) => (value, Type::TEXT),
                Value::Texts(value) => (value, Type::TEXT_ARRAY),
                Value::Int(value) => (value, Type::INT8),
                Value::Ints(value) => (value, Type::INT8_ARRAY),
                Value::Float(value) => (value, Type::FLOAT8),
                Value::Floats(value) => (value, Type::FLOAT8_ARRAY),
            };
            query.bind(value, of)
        })
    }

    fn value(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.first + self.values.len() - 1)
    }

    fn node(&mut self, filter: &Filter) -> String {
        match filter {
            Filter::And(filters) if filters.is_empty() => "true".to_owned(),
            Filter::Or(filters) if filters.is_empty() => "false".to_owned(),
            Filter::And(filters) => self.joined(filters, " AND "),
            Filter::Or(filters) => self.joined(filters, " OR "),
            Filter::Not(filter) => format!("(NOT {})", self.node(filter)),
            // Every leaf that is left can be decided.
            leaf => self.leaf(leaf).unwrap_or_else(|| "true".to_owned()),
        }
    }

    fn joined(&mut self, filters: &[Filter], by: &str) -> String {
        let parts: Vec<String> = filters.iter().map(|filter| self.node(filter)).collect();
        format!("({})", parts.join(by))
    }

    /// The condition of a leaf, never unknown; `None` if the server cannot decide it exactly.
    fn leaf(&mut self, leaf: &Filter) -> Option<String> {
        let found = match leaf {
            Filter::Compare(field, op, operand) => match place(field) {
                Place::Text(column) => self.text(column, *op, operand),
                Place::Whole(column) => self.number(column, *op, Value::Int(whole(operand)?)),
                Place::Instant(column) => self.number(column, *op, Value::Int(instant(operand)?)),
                Place::Double(column) => self.number(column, *op, Value::Float(double(operand)?)),
                Place::Facet(path, always) => self.facet(&path, always, *op, operand),
                Place::Body => None,
            },
            Filter::In(field, values) => self.one_of(field, values, true),
            Filter::Nin(field, values) => self.one_of(field, values, false),
            Filter::Exists(field) => match place(field) {
                Place::Text(column) | Place::Whole(column) | Place::Instant(column) | Place::Double(column) => {
                    Some(format!("{column} IS NOT NULL"))
                }
                Place::Facet(_, true) => Some("true".to_owned()),
                Place::Facet(path, false) => {
                    let held = self.at(&path);
                    Some(format!("{held} <> 'null'"))
                }
                Place::Body => None,
            },
            Filter::And(_) | Filter::Or(_) | Filter::Not(_) => None,
        };
        found.map(|sql| format!("coalesce({sql}, false)"))
    }

    fn text(&mut self, column: &str, op: Comparison, operand: &Operand) -> Option<String> {
        let Operand::String(text) = operand else { return None };
        let value = self.value(Value::Text(plain(text)?));
        Some(match op {
            Comparison::Contains => format!("strpos({column}, {value}) > 0"),
            op => format!("{column} {} {value}", sign(op)?),
        })
    }

    fn number(&mut self, column: &str, op: Comparison, value: Value) -> Option<String> {
        let (sign, value) = (sign(op)?, self.value(value));
        Some(format!("{column} {sign} {value}"))
    }

    /// What the facets hold at a path.
    fn at(&mut self, path: &[&str]) -> String {
        let path = self.value(Value::Texts(path.iter().map(|key| (*key).to_owned()).collect()));
        format!("(r.facets #> {path})")
    }

    fn facet(&mut self, path: &[&str], always: bool, op: Comparison, operand: &Operand) -> Option<String> {
        if let Operand::String(text) = operand {
            plain(text)?;
        }
        let json = facets::constant(operand)?;
        let held = self.at(path);
        match op {
            // A list holds a scalar by one of its elements, and a scalar holds itself.
            Comparison::Eq => {
                let json = self.value(Value::Text(json));
                Some(format!("{held} @> {json}::jsonb"))
            }
            Comparison::Ne => {
                let json = self.value(Value::Text(json));
                Some(format!("{held} <> 'null' AND NOT {held} @> {json}::jsonb"))
            }
            Comparison::Contains if always => {
                let json = self.value(Value::Text(json));
                Some(format!("{held} @> {json}::jsonb"))
            }
            Comparison::Contains => {
                let is_list = format!("jsonb_typeof({held}) = 'array'");
                let json = self.value(Value::Text(json));
                let Operand::String(text) = operand else {
                    return Some(format!("{is_list} AND {held} @> {json}::jsonb"));
                };
                let text = self.value(Value::Text(text.clone()));
                Some(format!(
                    "CASE jsonb_typeof({held}) WHEN 'array' THEN {held} @> {json}::jsonb
                     WHEN 'string' THEN strpos({held} #>> '{{}}', {text}) > 0 END"
                ))
            }
            Comparison::Gt | Comparison::Gte | Comparison::Lt | Comparison::Lte if always => None,
            Comparison::Gt | Comparison::Gte | Comparison::Lt | Comparison::Lte => {
                let sign = sign(op)?;
                match operand {
                    Operand::Number(_) => {
                        let number = self.value(Value::Text(json));
                        Some(format!(
                            "CASE jsonb_typeof({held}) WHEN 'number' THEN ({held} #>> '{{}}')::numeric {sign} {number}::numeric END"
                        ))
                    }
                    Operand::String(text) => {
                        let text = self.value(Value::Text(text.clone()));
                        Some(format!(
                            "CASE jsonb_typeof({held}) WHEN 'string' THEN ({held} #>> '{{}}') COLLATE \"C\" {sign} {text} END"
                        ))
                    }
                    Operand::Bool(_) | Operand::Timestamp(_) => None,
                }
            }
        }
    }

    fn one_of(&mut self, field: &Field, values: &[Operand], among: bool) -> Option<String> {
        let column = match place(field) {
            Place::Text(column) => {
                let texts =
                    values.iter().map(|value| if let Operand::String(text) = value { plain(text) } else { None });
                (column, Value::Texts(texts.collect::<Option<_>>()?))
            }
            Place::Whole(column) => (column, Value::Ints(values.iter().map(whole).collect::<Option<_>>()?)),
            Place::Instant(column) => (column, Value::Ints(values.iter().map(instant).collect::<Option<_>>()?)),
            Place::Double(column) => (column, Value::Floats(values.iter().map(double).collect::<Option<_>>()?)),
            Place::Facet(path, _) => {
                let plain =
                    |value: &Operand| if let Operand::String(text) = value { plain(text).is_some() } else { true };
                if !values.iter().all(plain) {
                    return None;
                }
                let constants = values.iter().map(facets::constant).collect::<Option<Vec<_>>>()?;
                let held = self.at(&path);
                let constants = self.value(Value::Texts(constants));
                let any = format!("EXISTS (SELECT FROM unnest({constants}) AS one WHERE {held} @> one::jsonb)");
                return Some(if among { any } else { format!("{held} <> 'null' AND NOT {any}") });
            }
            Place::Body => return None,
        };
        let (column, value) = column;
        let value = self.value(value);
        Some(if among {
            format!("{column} = ANY ({value})")
        } else {
            format!("{column} IS NOT NULL AND {column} <> ALL ({value})")
        })
    }
}

fn sign(op: Comparison) -> Option<&'static str> {
    match op {
        Comparison::Eq => Some("="),
        Comparison::Ne => Some("<>"),
        Comparison::Gt => Some(">"),
        Comparison::Gte => Some(">="),
        Comparison::Lt => Some("<"),
        Comparison::Lte => Some("<="),
        Comparison::Contains => None,
    }
}

/// Text that the server can be told: all but NUL, which nothing stored holds.
fn plain(text: &str) -> Option<String> {
    (!text.contains('\0')).then(|| text.to_owned())
}

/// A constant that a column of whole numbers compares with as we do.
fn whole(operand: &Operand) -> Option<i64> {
    if let Operand::Number(number) = operand { number.as_i64() } else { None }
}

fn instant(operand: &Operand) -> Option<i64> {
    if let Operand::Timestamp(at) = operand { Some(at.as_micros()) } else { None }
}

/// A constant that a column of doubles compares with as we do.
fn double(operand: &Operand) -> Option<f64> {
    let Operand::Number(number) = operand else { return None };
    let float = number.as_f64();
    Number::from_f64(float).filter(|same| same == number).map(|_| float)
}

#[cfg(test)]
mod tests {
    use mnemic_core::Object;

    use super::*;

    #[test]
    fn no_value_and_no_path_is_part_of_the_statement() {
        let hostile = "x') OR 1=1 -- \" $1 \\";
        for filter in [
            Filter::equals(Field::UserId, hostile),
            Filter::Compare(Field::Source, Comparison::Contains, Operand::String(hostile.to_owned())),
            Filter::Compare(
                Field::Metadata(vec![hostile.to_owned()]),
                Comparison::Gt,
                Operand::String(hostile.to_owned()),
            ),
            Filter::In(Field::Tags, vec![Operand::String(hostile.to_owned())]),
            Filter::Exists(Field::Metadata(vec![hostile.to_owned(), hostile.to_owned()])),
        ] {
            let condition = Condition::of(&Filter::Not(Box::new(filter)), 3);
            assert!(condition.exact && !condition.sql.contains("1=1"), "{condition:?}");
            assert!(condition.sql.contains("$3") && !condition.sql.contains("$1"), "{condition:?}");
        }
    }

    #[test]
    fn what_the_server_cannot_decide_is_left_open() {
        let text = Filter::Compare(Field::Text, Comparison::Contains, Operand::String("x".to_owned()));
        for (filter, sql) in [
            (text.clone(), "true"),
            (Filter::Not(Box::new(text.clone())), "(NOT false)"),
            (Filter::Exists(Field::Metadata(vec!["a".to_owned(), "0".to_owned()])), "true"),
            (Filter::equals(Field::UserId, "nul\0"), "true"),
            (Filter::equals(Field::CreatedAt, "not an instant"), "true"),
        ] {
            let condition = Condition::of(&filter, 2);
            assert_eq!((condition.sql.as_str(), condition.exact), (sql, false), "{filter:?}");
        }
        assert!(Condition::of(&Filter::from_object(&Object::new()).unwrap(), 2).exact);
    }
}
