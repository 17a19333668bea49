//! Strict mode: the bounds that a collection sets to requests. Not here: any other rule.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use serde_json::Value;

use super::{
    collection::index_type,
    filter::{Condition, Filter},
    refusal::{Outcome, Refusal},
};

/// Whether a filter chooses what is read or what is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Change,
}

/// The bounds of one collection; all open unless strict mode is on.
#[derive(Debug, Default)]
pub(super) struct Strict {
    limit: Option<u64>,
    unindexed_reads: Option<bool>,
    unindexed_changes: Option<bool>,
    exact: Option<bool>,
    batch: Option<u64>,
    conditions: Option<u64>,
    condition_size: Option<u64>,
    reads: Option<Bucket>,
    changes: Option<Bucket>,
}

/// Requests that may still be made, refilled evenly over a minute.
#[derive(Debug)]
struct Bucket {
    per_minute: f64,
    held: Mutex<(f64, Instant)>,
}

impl Strict {
    /// Reads `strict_mode_config`.
    pub(super) fn parse(config: Option<&Value>) -> Outcome<Self> {
        let Some(config) = config.and_then(Value::as_object) else { return Ok(Self::default()) };
        if config.get("enabled").and_then(Value::as_bool) != Some(true) {
            return Ok(Self::default());
        }
        let number = |name: &str| config.get(name).and_then(Value::as_u64);
        let flag = |name: &str| config.get(name).and_then(Value::as_bool);
        let bucket = |name: &str| match number(name) {
            Some(0) => Err(Refusal::validation(name, "value 0 invalid, must be 1 or larger")),
            per_minute => Ok(per_minute.map(Bucket::full)),
        };
        Ok(Self {
            limit: number("max_query_limit"),
            unindexed_reads: flag("unindexed_filtering_retrieve"),
            unindexed_changes: flag("unindexed_filtering_update"),
            exact: flag("search_allow_exact"),
            batch: number("upsert_max_batchsize"),
            conditions: number("filter_max_conditions"),
            condition_size: number("condition_max_size"),
            reads: bucket("read_rate_limit")?,
            changes: bucket("write_rate_limit")?,
        })
    }

    /// Takes one request from the minute's allowance.
    pub(super) fn count(&self, purpose: Purpose) -> Outcome<()> {
        let (bucket, what) = match purpose {
            Purpose::Read => (&self.reads, "Read"),
            Purpose::Change => (&self.changes, "Write"),
        };
        let wait = bucket.as_ref().and_then(Bucket::take);
        wait.map_or(Ok(()), |wait| Err(Refusal::rate_limited(what, wait)))
    }

    /// Holds a limit to its bound.
    pub(super) fn check_limit(&self, limit: u64) -> Outcome<()> {
        match self.limit {
            Some(most) if limit > most => Err(Refusal::strict(
                format!("Limit exceeded {limit} > {most} for \"limit\""),
                "Reduce the \"limit\" parameter to or below the maximum.",
            )),
            _ => Ok(()),
        }
    }

    /// Holds a search's parameters to their bounds.
    pub(super) fn check_params(&self, params: Option<&Value>) -> Outcome<()> {
        let exact = params.and_then(|params| params.get("exact")).and_then(Value::as_bool) == Some(true);
        if exact && self.exact == Some(false) {
            return Err(Refusal::strict("Exact search is disabled", "Set \"exact\" to false."));
        }
        Ok(())
    }

    /// Holds the number of points of one request to its bound.
    pub(super) fn check_batch(&self, points: usize) -> Outcome<()> {
        match self.batch {
            Some(most) if points as u64 > most => Err(Refusal::strict(
                format!("Limit exceeded {points} > {most} for \"upsert limit\""),
                "Reduce the \"upsert limit\" parameter to or below the maximum.",
            )),
            _ => Ok(()),
        }
    }

    /// Holds a filter to the bounds, and to the indexes that there are.
    pub(super) fn check_filter(
        &self,
        filter: Option<&Filter>,
        indexes: &BTreeMap<String, Value>,
        purpose: Purpose,
    ) -> Outcome<()> {
        let Some(filter) = filter else { return Ok(()) };
        let indexed_only = match purpose {
            Purpose::Read => self.unindexed_reads == Some(false),
            Purpose::Change => self.unindexed_changes == Some(false),
        };
        let (mut count, mut largest, mut missing) = (0u64, 0u64, None);
        filter.each(&mut |condition| {
            count += 1;
            if let Condition::Field(field) = condition {
                largest = largest.max(field.test.size() as u64);
            }
            if indexed_only && missing.is_none() {
                missing = unindexed(condition, indexes);
            }
        });
        if let Some(missing) = missing {
            return Err(missing);
        }
        for (most, found, what) in
            [(self.conditions, count, "filter"), (self.condition_size, largest, "condition size")]
        {
            if let Some(most) = most.filter(|most| found > *most) {
                return Err(Refusal::strict(
                    format!("Filter condition limit exceeded {found} > {most} for \"{what}\""),
                    "Reduce the number of conditions.",
                ));
            }
        }
        Ok(())
    }
}

/// The refusal of a condition that no index answers.
fn unindexed(condition: &Condition, indexes: &BTreeMap<String, Value>) -> Option<Refusal> {
    let (key, sorts) = match condition {
        Condition::Field(field) => (&field.key, field.test.indexes()),
        Condition::IsEmpty(key, _) | Condition::IsNull(key, _) => (key, &[][..]),
        _ => return None,
    };
    let held = indexes.get(key).map(index_type);
    if held.is_some_and(|held| sorts.is_empty() || sorts.contains(&held)) {
        return None;
    }
    let sorts = if sorts.is_empty() { "any".to_owned() } else { sorts.join(", ") };
    Some(Refusal::strict(
        format!("Index required but not found for \"{key}\" of one of the following types: [{sorts}]"),
        "Create an index for this key or use a different filter.",
    ))
}

impl Bucket {
    fn full(per_minute: u64) -> Self {
        Self { per_minute: per_minute as f64, held: Mutex::new((per_minute as f64, Instant::now())) }
    }

    /// Takes one; or the whole seconds until there is one again.
    fn take(&self) -> Option<u64> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = held.1.elapsed().as_secs_f64();
        let filled = (held.0 + passed * self.per_minute / 60.0).min(self.per_minute);
        let enough = filled >= 1.0;
        *held = (if enough { filled - 1.0 } else { filled }, Instant::now());
        (!enough).then(|| ((1.0 - filled) * 60.0 / self.per_minute).ceil().max(1.0) as u64)
    }
}
