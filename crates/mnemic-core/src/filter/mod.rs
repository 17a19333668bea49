//! The filter algebra: a small closed set of operators over named fields and metadata paths.
//! Evaluation is in `eval` (the reference for every backend), the JSON form in `parse`.

mod eval;
mod parse;

use std::fmt;

pub use eval::{FieldSource, FieldValue};

use crate::{Error, Number, Result, Timestamp, ids::quoted, limits, suggest::nearest};

/// A field that can be filtered on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// The record's id.
    Id,
    /// Whom it is about.
    UserId,
    /// The conversation or run.
    ThreadId,
    /// `semantic`, `episodic`, `persona`, `open_loop`.
    Kind,
    /// The statement.
    Text,
    /// The label segments, as a list.
    Path,
    /// The labels, as a list.
    Tags,
    /// Who or what said it.
    Source,
    /// How much it matters.
    Salience,
    /// How sure we are.
    Confidence,
    /// When the first revision was made.
    CreatedAt,
    /// When this revision was made.
    UpdatedAt,
    /// From when on it holds.
    ValidFrom,
    /// Until when it holds.
    ValidTo,
    /// When it stops being memory.
    ExpiresAt,
    /// The newer record that replaces it.
    SupersededBy,
    /// Which revision it is.
    Version,
    /// A path into the metadata object, outermost key first.
    Metadata(Vec<String>),
}

/// What sort of values a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// One string.
    String,
    /// A list of strings.
    Strings,
    /// A number.
    Number,
    /// An instant.
    Timestamp,
    /// Anything that JSON holds.
    Any,
}

impl Field {
    const NAMED: [(&'static str, Self); 17] = [
        ("id", Self::Id),
        ("user_id", Self::UserId),
        ("thread_id", Self::ThreadId),
        ("kind", Self::Kind),
        ("text", Self::Text),
        ("path", Self::Path),
        ("tags", Self::Tags),
        ("source", Self::Source),
        ("salience", Self::Salience),
        ("confidence", Self::Confidence),
        ("created_at", Self::CreatedAt),
        ("updated_at", Self::UpdatedAt),
        ("valid_from", Self::ValidFrom),
        ("valid_to", Self::ValidTo),
        ("expires_at", Self::ExpiresAt),
        ("superseded_by", Self::SupersededBy),
        ("version", Self::Version),
    ];

    /// Reads a field's name; metadata paths are written `metadata.a.b`. The seed's `type` and `decay_at` are understood.
    ///
    /// # Errors
    /// `InvalidInput`, naming the nearest valid field.
    pub fn parse(name: &str) -> Result<Self> {
        let canonical = match name {
            "type" => "kind",
            "decay_at" => "expires_at",
            other => other,
        };
        if let Some((_, field)) = Self::NAMED.iter().find(|(known, _)| *known == canonical) {
            return Ok(field.clone());
        }
        if let Some(path) = name.strip_prefix("metadata.") {
            let segments: Vec<String> = path.split('.').map(str::to_owned).collect();
            let legal =
                |s: &String| !s.is_empty() && s.len() <= limits::LABEL_BYTES && !s.chars().any(char::is_control);
            if segments.len() <= limits::METADATA_DEPTH && segments.iter().all(legal) {
                return Ok(Self::Metadata(segments));
            }
            return Err(Error::invalid("filter", "a metadata path such as metadata.form", quoted(name)));
        }
        let mut names: Vec<&str> = Self::NAMED.iter().map(|(known, _)| *known).collect();
        names.push("metadata");
        let hint = match nearest(name, &names) {
            Some("metadata") => "; write metadata.<key>".to_owned(),
            Some(near) => format!("; did you mean {near}?"),
            None => "; metadata is written metadata.<key>".to_owned(),
        };
        Err(Error::invalid("filter", "a field that can be filtered", format!("{}{hint}", quoted(name))))
    }

    /// What sort of values it holds.
    pub fn field_type(&self) -> FieldType {
        match self {
            Self::Id | Self::UserId | Self::ThreadId | Self::Kind | Self::Text | Self::Source | Self::SupersededBy => {
                FieldType::String
            }
            Self::Path | Self::Tags => FieldType::Strings,
            Self::Salience | Self::Confidence | Self::Version => FieldType::Number,
            Self::CreatedAt | Self::UpdatedAt | Self::ValidFrom | Self::ValidTo | Self::ExpiresAt => {
                FieldType::Timestamp
            }
            Self::Metadata(_) => FieldType::Any,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Metadata(path) = self {
            return write!(f, "metadata.{}", path.join("."));
        }
        let name = Self::NAMED.iter().find(|(_, field)| field == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// A value to compare with.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(String),
    /// An instant, for the time fields.
    Timestamp(Timestamp),
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::String(value) => f.write_str(&quoted(value)),
            Self::Timestamp(value) => value.fmt(f),
        }
    }
}

/// A comparison of one field with one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// Equal; on a list: some element is.
    Eq,
    /// Not equal; on a list: no element is.
    Ne,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// A list has this element, or a string has this substring, letter for letter.
    Contains,
}

impl Comparison {
    /// The operator's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::Contains => "contains",
        }
    }
}

/// A condition on a record. A comparison with a missing field is false, also for `ne` and `nin`; use `Exists`.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Every condition holds; true if there are none.
    And(Vec<Filter>),
    /// Some condition holds; false if there are none.
    Or(Vec<Filter>),
    /// The condition does not hold.
    Not(Box<Filter>),
    /// A comparison.
    Compare(Field, Comparison, Operand),
    /// Equal to one of the values; on a list: some element is.
    In(Field, Vec<Operand>),
    /// Equal to none of the values; on a list: no element is.
    Nin(Field, Vec<Operand>),
    /// Present and not null.
    Exists(Field),
}

impl Default for Filter {
    fn default() -> Self {
        Self::all()
    }
}

impl Filter {
    /// The filter that every record passes.
    pub const fn all() -> Self {
        Self::And(Vec::new())
    }

    /// The same with every comparison that `can` does not allow left open, so that whatever passes this filter passes that one.
    /// For a backend that cannot decide everything: it narrows by the relaxed filter, and its caller decides the rest.
    #[must_use]
    pub fn relaxed(&self, can: &impl Fn(&Self) -> bool) -> Self {
        self.with_open_leaves(can, true)
    }

    fn with_open_leaves(&self, can: &impl Fn(&Self) -> bool, open: bool) -> Self {
        match self {
            Self::And(filters) => Self::And(filters.iter().map(|f| f.with_open_leaves(can, open)).collect()),
            Self::Or(filters) => Self::Or(filters.iter().map(|f| f.with_open_leaves(can, open)).collect()),
            Self::Not(filter) => Self::Not(Box::new(filter.with_open_leaves(can, !open))),
            leaf if can(leaf) => leaf.clone(),
            _ if open => Self::And(Vec::new()),
            _ => Self::Or(Vec::new()),
        }
    }

    /// Whether every record passes, as far as the form tells.
    pub fn is_all(&self) -> bool {
        match self {
            Self::And(filters) => filters.iter().all(Self::is_all),
            Self::Or(filters) => filters.iter().any(Self::is_all),
            Self::Not(filter) => filter.is_none(),
            Self::Compare(..) | Self::In(..) | Self::Nin(..) | Self::Exists(_) => false,
        }
    }

    /// Whether no record passes, as far as the form tells.
    fn is_none(&self) -> bool {
        match self {
            Self::And(filters) => filters.iter().any(Self::is_none),
            Self::Or(filters) => filters.iter().all(Self::is_none),
            Self::Not(filter) => filter.is_all(),
            Self::In(_, values) => values.is_empty(),
            Self::Compare(..) | Self::Nin(..) | Self::Exists(_) => false,
        }
    }

    /// `field = value`.
    pub fn equals(field: Field, value: impl Into<String>) -> Self {
        Self::Compare(field, Comparison::Eq, Operand::String(value.into()))
    }

    /// Both conditions.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (left, right) if left.is_all() => right,
            (left, right) if right.is_all() => left,
            (Self::And(mut left), right) => {
                left.push(right);
                Self::And(left)
            }
            (left, right) => Self::And(vec![left, right]),
        }
    }

    /// Checks sizes, depth, and that every operand fits its field.
    ///
    /// # Errors
    /// `InvalidInput`, naming `filter`, the field and the operator.
    pub fn check(&self) -> Result<()> {
        self.check_node(&mut Room { depth: limits::FILTER_DEPTH, nodes: limits::FILTER_NODES })
    }

    /// The same for a caller's filter with the few conditions that a retrieval adds around it, so that a filter at its limits can
    /// be retrieved with. What an index checks.
    ///
    /// # Errors
    /// Those of [`Self::check`].
    pub fn check_composed(&self) -> Result<()> {
        self.check_node(&mut Room { depth: limits::FILTER_DEPTH + 4, nodes: limits::FILTER_NODES + 16 })
    }

    fn check_node(&self, room: &mut Room) -> Result<()> {
        if room.depth == 0 {
            let expected = format!("nesting of at most {}", limits::FILTER_DEPTH);
            return Err(Error::invalid("filter", expected, "deeper nesting"));
        }
        if room.nodes == 0 {
            return Err(Error::invalid("filter", format!("at most {} conditions", limits::FILTER_NODES), "more"));
        }
        room.nodes -= 1;
        room.depth -= 1;
        self.check_parts(room)?;
        room.depth += 1;
        Ok(())
    }

    fn check_parts(&self, room: &mut Room) -> Result<()> {
        match self {
            Self::And(filters) | Self::Or(filters) => filters.iter().try_for_each(|filter| filter.check_node(room)),
            Self::Not(filter) => filter.check_node(room),
            Self::Compare(field, op, operand) => check_operand(field, *op, operand),
            Self::In(field, values) | Self::Nin(field, values) => {
                if values.len() > limits::FILTER_VALUES {
                    let expected = format!("at most {} values", limits::FILTER_VALUES);
                    return Err(Error::invalid("filter", expected, format!("{} for {field}", values.len())));
                }
                values.iter().try_for_each(|value| check_operand(field, Comparison::Eq, value))
            }
            Self::Exists(_) => Ok(()),
        }
    }
}

/// How much deeper and larger a filter may still become.
struct Room {
    depth: usize,
    nodes: usize,
}

fn check_operand(field: &Field, op: Comparison, operand: &Operand) -> Result<()> {
    let expected = match (field.field_type(), op, operand) {
        (FieldType::Any, _, Operand::Timestamp(_)) => "a JSON value",
        (FieldType::Any, ..)
        | (FieldType::String, _, Operand::String(_))
        | (FieldType::Strings, Comparison::Eq | Comparison::Ne | Comparison::Contains, Operand::String(_)) => {
            return Ok(());
        }
        (FieldType::String, ..) => "a string",
        (FieldType::Strings, ..) => "eq, ne, in, nin or contains with a string",
        (FieldType::Number | FieldType::Timestamp, Comparison::Contains, _) => "another operator than contains",
        (FieldType::Number, _, Operand::Number(_)) | (FieldType::Timestamp, _, Operand::Timestamp(_)) => return Ok(()),
        (FieldType::Number, ..) => "a number",
        (FieldType::Timestamp, ..) => "an RFC 3339 time",
    };
    Err(Error::invalid("filter", format!("{expected} for {field}"), format!("{} {operand}", op.as_str())))
}
