//! Turns a filter into the set of rows that pass it. Not here: what a filter means; `mnemic_core`'s evaluator decides that, and every
//! condition that no bitmap or column answers is evaluated by it, row by row, over the rows that the other conditions left.

use std::ops::Bound;

use mnemic_core::{
    Comparison, Field, Filter, Operand,
    filter::{FieldSource, FieldValue},
};
use roaring::RoaringBitmap;

use super::{
    columns::TimeColumn,
    labels::{LabelField, Labels},
    rows::{Row, Rows},
};

/// The time fields of all rows.
#[derive(Debug, Default)]
pub(crate) struct Times {
    pub(crate) created_at: TimeColumn,
    pub(crate) updated_at: TimeColumn,
    pub(crate) valid_from: TimeColumn,
    pub(crate) valid_to: TimeColumn,
    pub(crate) expires_at: TimeColumn,
}

impl Times {
    fn field(&self, field: &Field) -> Option<&TimeColumn> {
        match field {
            Field::CreatedAt => Some(&self.created_at),
            Field::UpdatedAt => Some(&self.updated_at),
            Field::ValidFrom => Some(&self.valid_from),
            Field::ValidTo => Some(&self.valid_to),
            Field::ExpiresAt => Some(&self.expires_at),
            _ => None,
        }
    }

    pub(crate) fn insert(&mut self, ordinal: u32, row: &Row) {
        self.created_at.insert(row.created_at.as_micros(), ordinal);
        self.updated_at.insert(row.updated_at.as_micros(), ordinal);
        self.valid_from.insert(row.valid_from.as_micros(), ordinal);
        if let Some(end) = row.valid_to {
            self.valid_to.insert(end.as_micros(), ordinal);
        }
        if let Some(end) = row.expires_at {
            self.expires_at.insert(end.as_micros(), ordinal);
        }
    }

    pub(crate) fn each(&mut self, apply: impl FnMut(&mut TimeColumn)) {
        [&mut self.created_at, &mut self.updated_at, &mut self.valid_from, &mut self.valid_to, &mut self.expires_at]
            .into_iter()
            .for_each(apply);
    }

    pub(crate) fn bytes(&self) -> u64 {
        [&self.created_at, &self.updated_at, &self.valid_from, &self.valid_to, &self.expires_at]
            .into_iter()
            .map(TimeColumn::bytes)
            .sum()
    }
}

/// What a filter is compiled against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compiler<'a> {
    pub(crate) rows: &'a Rows,
    pub(crate) labels: &'a Labels,
    pub(crate) times: &'a Times,
}

impl Compiler<'_> {
    /// The living rows that pass, or `None` if all do.
    pub(crate) fn compile(&self, filter: &Filter) -> Option<RoaringBitmap> {
        if filter.is_all() { None } else { Some(self.within(filter, self.rows.live())) }
    }

    /// Whether a filter needs a look at rows one by one.
    pub(crate) fn walks_rows(&self, filter: &Filter) -> bool {
        match filter {
            Filter::And(filters) | Filter::Or(filters) => filters.iter().any(|filter| self.walks_rows(filter)),
            Filter::Not(filter) => self.walks_rows(filter),
            Filter::Compare(field, ..) | Filter::In(field, _) | Filter::Nin(field, _) | Filter::Exists(field) => {
                self.labels.field(field).is_none() && self.times.field(field).is_none()
            }
        }
    }

    /// The rows of `rows` that pass.
    fn within(&self, filter: &Filter, rows: &RoaringBitmap) -> RoaringBitmap {
        match filter {
            Filter::And(filters) => self.all(filters, rows),
            Filter::Or(filters) => {
                let mut passed = RoaringBitmap::new();
                for filter in filters {
                    passed |= self.within(filter, rows);
                }
                passed
            }
            Filter::Not(filter) => rows - self.within(filter, rows),
            Filter::Compare(field, ..) | Filter::In(field, _) | Filter::Nin(field, _) | Filter::Exists(field) => {
                match self.indexed(field, filter) {
                    Some(mut passed) => {
                        passed &= rows;
                        passed
                    }
                    None => self.walk(filter, rows),
                }
            }
        }
    }

    /// Conditions that bitmaps answer go first, so that the others look at few rows.
    fn all(&self, filters: &[Filter], rows: &RoaringBitmap) -> RoaringBitmap {
        let mut left: Option<RoaringBitmap> = None;
        for walking in [false, true] {
            for filter in filters.iter().filter(|filter| self.walks_rows(filter) == walking) {
                left = Some(self.within(filter, left.as_ref().unwrap_or(rows)));
            }
        }
        left.unwrap_or_else(|| rows.clone())
    }

    fn walk(&self, filter: &Filter, rows: &RoaringBitmap) -> RoaringBitmap {
        if let Filter::Compare(Field::Id, Comparison::Eq, Operand::String(id)) = filter {
            return self.rows.find(id).filter(|row| rows.contains(*row)).into_iter().collect();
        }
        if let Filter::In(Field::Id, ids) = filter {
            let ids = ids.iter().filter_map(|id| if let Operand::String(id) = id { self.rows.find(id) } else { None });
            return ids.filter(|row| rows.contains(*row)).collect();
        }
        let passed = rows.iter().filter(|row| self.rows.get(*row).is_some_and(|row| filter.matches(row)));
        // The rows come in order, so nothing has to be looked up.
        RoaringBitmap::from_sorted_iter(passed).unwrap_or_default()
    }

    /// What bitmaps and columns answer; `None` if they do not hold the field.
    fn indexed(&self, field: &Field, filter: &Filter) -> Option<RoaringBitmap> {
        if let Some(labels) = self.labels.field(field) {
            return if matches!(field, Field::Tags | Field::Path) {
                self.listed(labels, field, filter)
            } else {
                Some(single(labels, filter))
            };
        }
        timed(self.times.field(field)?, filter)
    }

    /// A field that holds a list, possibly an empty one, on every row.
    fn listed(&self, labels: &LabelField, field: &Field, filter: &Filter) -> Option<RoaringBitmap> {
        match filter {
            Filter::Compare(_, Comparison::Eq | Comparison::Contains, Operand::String(value)) => {
                Some(labels.rows(value).cloned().unwrap_or_default())
            }
            Filter::Compare(_, Comparison::Ne, Operand::String(value)) => {
                Some(labels.rows(value).map_or_else(|| self.rows.live().clone(), |rows| self.rows.live() - rows))
            }
            Filter::In(_, values) => Some(union(labels, values)),
            Filter::Nin(_, values) => Some(self.rows.live() - union(labels, values)),
            Filter::Exists(_) => Some(self.rows.live().clone()),
            _ => {
                debug_assert!(matches!(field, Field::Tags | Field::Path));
                None
            }
        }
    }
}

/// A field that holds one string or nothing.
fn single(labels: &LabelField, filter: &Filter) -> RoaringBitmap {
    match filter {
        Filter::Exists(_) => labels.present().clone(),
        Filter::Compare(_, Comparison::Eq, Operand::String(value)) => labels.rows(value).cloned().unwrap_or_default(),
        Filter::Compare(_, Comparison::Ne, Operand::String(value)) => {
            labels.rows(value).map_or_else(|| labels.present().clone(), |rows| labels.present() - rows)
        }
        Filter::In(_, values) => union(labels, values),
        Filter::Nin(_, values) => labels.present() - union(labels, values),
        // Every other operator is asked once per distinct value.
        _ => {
            let mut passed = RoaringBitmap::new();
            for (value, rows) in labels.values() {
                if filter.matches(&OneValue(value)) {
                    passed |= rows;
                }
            }
            passed
        }
    }
}

/// A record of which only one string is known.
struct OneValue<'a>(&'a str);

impl FieldSource for OneValue<'_> {
    fn field(&self, _: &Field) -> FieldValue<'_> {
        FieldValue::String(self.0)
    }
}

fn union(labels: &LabelField, values: &[Operand]) -> RoaringBitmap {
    let mut passed = RoaringBitmap::new();
    for value in values {
        if let Operand::String(value) = value
            && let Some(rows) = labels.rows(value)
        {
            passed |= rows;
        }
    }
    passed
}

fn timed(column: &TimeColumn, filter: &Filter) -> Option<RoaringBitmap> {
    let exactly = |micros: i64| column.range(Bound::Included(micros), Bound::Included(micros));
    let any_of = |values: &[Operand]| {
        values.iter().fold(RoaringBitmap::new(), |passed, value| match value {
            Operand::Timestamp(at) => passed | exactly(at.as_micros()),
            _ => passed,
        })
    };
    Some(match filter {
        Filter::Exists(_) => column.present().clone(),
        Filter::In(_, values) => any_of(values),
        Filter::Nin(_, values) => column.present() - any_of(values),
        Filter::Compare(_, op, Operand::Timestamp(at)) => {
            let at = at.as_micros();
            match op {
                Comparison::Eq => exactly(at),
                Comparison::Ne => column.present() - exactly(at),
                Comparison::Gt => column.range(Bound::Excluded(at), Bound::Unbounded),
                Comparison::Gte => column.range(Bound::Included(at), Bound::Unbounded),
                Comparison::Lt => column.range(Bound::Unbounded, Bound::Excluded(at)),
                Comparison::Lte => column.range(Bound::Unbounded, Bound::Included(at)),
                Comparison::Contains => RoaringBitmap::new(),
            }
        }
        _ => return None,
    })
}
