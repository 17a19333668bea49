//! Consolidation plans: which records say the same, which have faded, which are over. Not here: applying or undoing a plan (the manager).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{duplicates, priors::remaining};
use crate::{Error, MemoryRecord, Ratio, RecordId, Result, Timestamp, UserId};

/// What a consolidation may do.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsolidationPolicy {
    /// How alike two texts must be to be merged as near duplicates, above 0; `None` merges exact duplicates only.
    pub near: Option<Ratio>,
    /// When a fading record is removed; `None` lets nothing fade.
    pub decay: Option<Decay>,
}

impl Default for ConsolidationPolicy {
    fn default() -> Self {
        Self { near: Ratio::new("near", 0.85).ok(), decay: None }
    }
}

/// When a record has faded: its salience, halved every `half_life` since its last revision, is below `floor`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay {
    /// After how long half of the salience is gone.
    pub half_life: Duration,
    /// Below what a record is removed.
    pub floor: Ratio,
}

/// Why records are merged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Likeness {
    /// The same words in the same order.
    Exact,
    /// Nearly the same words: the lowest similarity among the merged.
    Near(f64),
}

/// Records that become one.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    /// The record that stays, with everything that it takes over.
    pub kept: MemoryRecord,
    /// The records that go. Their ids stay in the kept record's provenance.
    pub dropped: Vec<RecordId>,
    /// Why.
    pub likeness: Likeness,
}

/// Why a record is removed without a successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneReason {
    /// Its `expires_at` has passed.
    Expired,
    /// Its salience has faded below the floor.
    Faded,
}

/// A record that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prune {
    /// Which.
    pub id: RecordId,
    /// Whose.
    pub user_id: Option<UserId>,
    /// Why.
    pub reason: PruneReason,
}

/// What a consolidation would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConsolidationPlan {
    /// How many records were looked at.
    pub examined: usize,
    /// What is merged.
    pub merges: Vec<Merge>,
    /// What is removed.
    pub prunes: Vec<Prune>,
}

/// Plans a consolidation of `records` at `now`. The same input gives the same plan, whatever its order.
///
/// Only records of the same user and kind are merged, and none that is superseded. Among exact duplicates the oldest stays, among
/// near duplicates the newest, since it is the one more likely to be right.
///
/// # Errors
/// `InvalidInput` if the policy's threshold is zero.
pub fn plan(records: &[MemoryRecord], policy: &ConsolidationPolicy, now: Timestamp) -> Result<ConsolidationPlan> {
    if policy.near.is_some_and(|near| near.get() <= 0.0) {
        return Err(Error::invalid("near", "a similarity above 0", 0));
    }
    let mut plan = ConsolidationPlan { examined: records.len(), ..ConsolidationPlan::default() };
    let mut groups: BTreeMap<(Option<&UserId>, crate::RecordKind), Vec<&MemoryRecord>> = BTreeMap::new();
    for record in records {
        if let Some(reason) = prune_reason(record, policy, now) {
            plan.prunes.push(Prune { id: record.id.clone(), user_id: record.user_id.clone(), reason });
        } else if record.superseded_by.is_none() {
            groups.entry((record.user_id.as_ref(), record.kind)).or_default().push(record);
        }
    }
    plan.prunes.sort_by(|a, b| a.id.cmp(&b.id));
    for mut group in groups.into_values() {
        group.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        plan.merges.extend(merges_of(&group, policy));
    }
    plan.merges.sort_by(|a, b| a.kept.id.cmp(&b.kept.id));
    Ok(plan)
}

fn prune_reason(record: &MemoryRecord, policy: &ConsolidationPolicy, now: Timestamp) -> Option<PruneReason> {
    if record.expires_at.is_some_and(|end| end <= now) {
        return Some(PruneReason::Expired);
    }
    let decay = policy.decay?;
    let left = record.salience.unwrap_or(Ratio::HALF).get() * remaining(decay.half_life, record.updated_at, now);
    (left < decay.floor.get()).then_some(PruneReason::Faded)
}

/// Merges inside one group, oldest record first. Exact duplicates collapse before near ones are looked for.
fn merges_of(group: &[&MemoryRecord], policy: &ConsolidationPolicy) -> Vec<Merge> {
    let mut exact: BTreeMap<String, Vec<&MemoryRecord>> = BTreeMap::new();
    for record in group {
        exact.entry(duplicates::normalized(&record.text)).or_default().push(record);
    }
    let mut clusters: Vec<Vec<&MemoryRecord>> = exact.into_values().collect();
    clusters.sort_by(|a, b| first_made(a).cmp(&first_made(b)));
    let near = policy.near.map_or_else(Vec::new, |threshold| {
        let texts: Vec<&str> = clusters.iter().filter_map(|c| c.first()).map(|record| record.text.as_str()).collect();
        duplicates::repetitions(&texts, threshold.get())
    });
    join(&clusters, &near)
        .into_iter()
        .flat_map(|(members, lowest)| {
            let records = members.iter().filter_map(|i| clusters.get(*i)).flatten().copied().collect();
            merges(records, lowest)
        })
        .collect()
}

/// Merges records that say the same, into more than one if a single record may not hold all that they bring.
fn merges(mut records: Vec<&MemoryRecord>, lowest: Option<f64>) -> Vec<Merge> {
    let mut made = Vec::new();
    while records.len() > 1 {
        let (kept, likeness) = match lowest {
            None => (records.first(), Likeness::Exact),
            Some(lowest) => {
                (records.iter().max_by_key(|record| (record.updated_at, &record.id)), Likeness::Near(lowest))
            }
        };
        let Some(kept) = kept.copied() else { break };
        let merge = merge(kept, &records, likeness);
        records.retain(|record| record.id != kept.id && merge.dropped.binary_search(&record.id).is_err());
        if !merge.dropped.is_empty() {
            made.push(merge);
        }
    }
    made
}

fn first_made<'a>(cluster: &[&'a MemoryRecord]) -> Option<(Timestamp, &'a RecordId)> {
    cluster.first().map(|record| (record.created_at, &record.id))
}

/// Joins each cluster that repeats an older one to it.
fn join(clusters: &[Vec<&MemoryRecord>], pairs: &[(usize, usize, f64)]) -> Vec<(Vec<usize>, Option<f64>)> {
    let mut groups: BTreeMap<usize, (Vec<usize>, Option<f64>)> =
        (0..clusters.len()).map(|i| (i, (vec![i], None))).collect();
    for (earlier, later, alike) in pairs {
        groups.remove(later);
        if let Some((members, lowest)) = groups.get_mut(earlier) {
            members.push(*later);
            *lowest = Some(lowest.map_or(*alike, |least: f64| least.min(*alike)));
        }
    }
    groups.into_values().collect()
}

/// The kept record with everything that the others bring: nothing of where they came from is lost. Ends before the first that would
/// take it beyond a record's limits.
fn merge(kept: &MemoryRecord, all: &[&MemoryRecord], likeness: Likeness) -> Merge {
    let mut whole = kept.clone();
    let mut dropped: BTreeSet<RecordId> = BTreeSet::new();
    let best = |a: Option<Ratio>, b: Option<Ratio>| match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (known, None) | (None, known) => known,
    };
    for other in all.iter().filter(|other| other.id != kept.id) {
        let mut merged = whole.clone();
        merged.tags.extend(other.tags.iter().cloned());
        merged.provenance.events.extend(other.provenance.events.iter().cloned());
        merged.provenance.records.extend(other.provenance.records.iter().cloned());
        merged.salience = best(merged.salience, other.salience);
        merged.confidence = best(merged.confidence, other.confidence);
        merged.valid_from = merged.valid_from.min(other.valid_from);
        // The merged statement holds as long as any of them does.
        merged.valid_to = merged.valid_to.zip(other.valid_to).map(|(a, b)| a.max(b));
        merged.expires_at = merged.expires_at.zip(other.expires_at).map(|(a, b)| a.max(b));
        for (key, value) in &other.metadata {
            merged.metadata.entry(key.clone()).or_insert_with(|| value.clone());
        }
        merged.provenance.records.insert(other.id.clone());
        merged.provenance.records.remove(&kept.id);
        if merged.check().is_err() {
            break;
        }
        dropped.insert(other.id.clone());
        whole = merged;
    }
    Merge { kept: whole, dropped: dropped.into_iter().collect(), likeness }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventId, RecordKind};

    fn record(id: &str, text: &str, day: u32) -> MemoryRecord {
        let at: Timestamp = format!("2026-01-{day:02}T00:00:00Z").parse().unwrap();
        let mut record = MemoryRecord::new(RecordId::new(id).unwrap(), text, at);
        record.provenance.events.insert(EventId::new(format!("event-{id}")).unwrap());
        record
    }

    fn now() -> Timestamp {
        "2026-02-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn exact_duplicates_become_the_oldest_and_lose_no_origin() {
        let records =
            [record("b", "The fee is $1,055.", 2), record("a", "the fee is 1 055", 1), record("c", "Other", 3)];
        let plan = plan(&records, &ConsolidationPolicy::default(), now()).unwrap();
        assert_eq!(plan.merges.len(), 1);
        let merge = &plan.merges[0];
        assert_eq!((merge.kept.id.as_str(), merge.likeness), ("a", Likeness::Exact));
        assert_eq!(merge.dropped, [RecordId::new("b").unwrap()]);
        assert_eq!(merge.kept.provenance.events.len(), 2);
        assert!(merge.kept.provenance.records.contains("b"));
    }

    #[test]
    fn a_merged_record_never_exceeds_what_one_record_may_hold() {
        let mut records: Vec<_> = (0..2500).map(|i| record(&format!("r{i:04}"), "same words", 1)).collect();
        for (i, record) in records.iter_mut().take(100).enumerate() {
            record.tags.insert(format!("tag-{i}"));
        }
        let plan = plan(&records, &ConsolidationPolicy::default(), now()).unwrap();
        assert!(plan.merges.iter().all(|merge| merge.kept.check().is_ok()));
        let gone: usize = plan.merges.iter().map(|merge| merge.dropped.len()).sum();
        assert!(gone >= 2490 && plan.merges.len() <= 10, "{gone} {}", plan.merges.len());
    }

    #[test]
    fn near_duplicates_become_the_newest_and_numbers_keep_facts_apart() {
        let near = "Anna Petrova lives in the city of Boston near the river with her family";
        let records = [
            record("old", near, 1),
            record("new", "Anna Petrova lives in city of Boston near the river with her family", 9),
            record("fee-1", "the filing fee of the form that we send is 100", 1),
            record("fee-2", "the filing fee of the form that we send is 200", 2),
        ];
        let plan = plan(&records, &ConsolidationPolicy::default(), now()).unwrap();
        assert_eq!(plan.merges.len(), 1, "{plan:?}");
        assert_eq!(plan.merges[0].kept.id.as_str(), "new");
        assert!(matches!(plan.merges[0].likeness, Likeness::Near(alike) if alike > 0.85));
    }

    #[test]
    fn users_kinds_and_superseded_records_are_kept_apart() {
        let mut other_user = record("b", "same", 2);
        other_user.user_id = Some(UserId::new("u").unwrap());
        let mut other_kind = record("c", "same", 3);
        other_kind.kind = RecordKind::Persona;
        let mut superseded = record("d", "same", 4);
        superseded.superseded_by = Some(RecordId::new("a").unwrap());
        let records = [record("a", "same", 1), other_user, other_kind, superseded];
        assert!(plan(&records, &ConsolidationPolicy::default(), now()).unwrap().merges.is_empty());
    }

    #[test]
    fn expired_and_faded_records_go_and_a_plan_of_the_result_is_empty() {
        let mut expired = record("x", "over", 1);
        expired.expires_at = Some(now());
        let mut faint = record("f", "faint", 1);
        faint.salience = Ratio::new("salience", 0.1).ok();
        let decay = Decay { half_life: Duration::from_hours(24 * 10), floor: Ratio::new("floor", 0.05).unwrap() };
        let policy = ConsolidationPolicy { decay: Some(decay), ..ConsolidationPolicy::default() };
        let records = [expired, faint, record("s", "strong", 31)];
        let plan_1 = plan(&records, &policy, now()).unwrap();
        let reasons: Vec<_> = plan_1.prunes.iter().map(|prune| (prune.id.as_str(), prune.reason)).collect();
        assert_eq!(reasons, [("f", PruneReason::Faded), ("x", PruneReason::Expired)]);
        let plan_2 = plan(&records[2..], &policy, now()).unwrap();
        assert!(plan_2.merges.is_empty() && plan_2.prunes.is_empty());
    }

    #[test]
    fn a_plan_does_not_depend_on_the_order_of_its_input() {
        let mut records =
            vec![record("a", "one two three", 1), record("b", "One, two, three!", 1), record("c", "ONE two three", 1)];
        let forward = plan(&records, &ConsolidationPolicy::default(), now()).unwrap();
        records.reverse();
        assert_eq!(forward, plan(&records, &ConsolidationPolicy::default(), now()).unwrap());
        assert_eq!(forward.merges[0].dropped.len(), 2);
    }
}
