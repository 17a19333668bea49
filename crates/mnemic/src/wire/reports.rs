//! Answers of the verbs as objects. Not here: the nouns within them (the sibling modules), texts for people (doors).

use mnemic_core::{
    Number, Object, RecordId, Value,
    policy::{
        consolidation::{Likeness, PruneReason},
        prompt::Counts,
    },
};

use super::{chained_event_object, double, hit_object, put, put_some, record_object, strings, thread_summary_object};
use crate::{
    AuditReport, ConsolidationReport, ContextBlock, ForgetReceipt, Health, LegOutcome, LegReport, Page, RecordOutcome,
    Retrieval, Stats, Trial, Undone, VerifyReport, WriteReport, WrittenEvent, WrittenRecord,
};

fn objects(items: impl IntoIterator<Item = Object>) -> Value {
    Value::Array(items.into_iter().map(Value::Object).collect())
}

fn number(count: usize) -> Value {
    Value::from(count as u64)
}

fn micros(took: std::time::Duration) -> Value {
    Value::from(u64::try_from(took.as_micros()).unwrap_or(u64::MAX))
}

fn page_object<T>(key: &str, page: Page<T>, item: impl Fn(&T) -> Object) -> Object {
    let mut object = Object::new();
    put(&mut object, key, objects(page.items.iter().map(item)));
    put_some(&mut object, "next", page.next.map(|cursor| cursor.0));
    object
}

/// One page of records: `records`, and `next` where more follow.
pub fn record_page_object(page: Page<mnemic_core::MemoryRecord>) -> Object {
    page_object("records", page, record_object)
}

/// One page of the audit chain: `events`, and `next` where more follow.
pub fn event_page_object(page: Page<mnemic_core::ChainedEvent>) -> Object {
    page_object("events", page, chained_event_object)
}

/// One page of threads: `threads`, and `next` where more follow.
pub fn thread_page_object(page: Page<mnemic_core::ThreadSummary>) -> Object {
    page_object("threads", page, thread_summary_object)
}

/// One page of namespaces: `namespaces`, and `next` where more follow.
pub fn namespace_page_object(page: Page<mnemic_core::Namespace>) -> Object {
    let mut object = Object::new();
    put(&mut object, "namespaces", strings(page.items.iter().map(mnemic_core::Namespace::as_str)));
    put_some(&mut object, "next", page.next.map(|cursor| cursor.0));
    object
}

fn written_object(written: &WrittenRecord) -> Object {
    let outcome = match written.outcome {
        RecordOutcome::Indexed => "indexed",
        RecordOutcome::Pending => "pending",
        RecordOutcome::Spooled => "spooled",
    };
    let mut object = Object::new();
    put(&mut object, "id", written.id.as_str());
    put(&mut object, "version", written.version.0);
    put(&mut object, "created_at", written.created_at.to_string());
    put(&mut object, "outcome", outcome);
    object
}

/// What a write did: `records` in the order given, `replayed`, `warnings`.
pub fn write_report_object(report: &WriteReport) -> Object {
    let mut object = Object::new();
    put(&mut object, "records", objects(report.records.iter().map(written_object)));
    put(&mut object, "replayed", report.replayed);
    put(&mut object, "warnings", strings(&report.warnings));
    object
}

/// What appending an event did: `event_id`, `sequence`, `outcome` (`new`, `duplicate` or `spooled`).
pub fn appended_object(event_id: &mnemic_core::EventId, appended: mnemic_core::Appended) -> Object {
    let outcome = match appended.outcome {
        mnemic_core::AppendOutcome::New => "new",
        mnemic_core::AppendOutcome::Duplicate => "duplicate",
        mnemic_core::AppendOutcome::Spooled => "spooled",
    };
    let mut object = Object::new();
    put(&mut object, "event_id", event_id.as_str());
    put(&mut object, "sequence", appended.sequence.0);
    put(&mut object, "outcome", outcome);
    object
}

/// What writing an event did: that of appending it, and `report`, that of writing the records that it was reflected into.
pub fn written_event_object(written: &WrittenEvent) -> Object {
    let mut object = appended_object(&written.event_id, written.appended);
    put(&mut object, "report", write_report_object(&written.report));
    object
}

/// What became of a way of searching: `leg`, `index`, `took_us`, `outcome` (`ran`, `skipped` or `failed`), and `found` or `reason`.
pub fn leg_object(leg: &LegReport) -> Object {
    let mut object = Object::new();
    put(&mut object, "leg", leg.leg.as_str());
    put(&mut object, "index", leg.index);
    put(&mut object, "took_us", micros(leg.took));
    match &leg.outcome {
        LegOutcome::Ran { found } => {
            put(&mut object, "outcome", "ran");
            put(&mut object, "found", number(*found));
        }
        LegOutcome::Skipped(why) => {
            put(&mut object, "outcome", "skipped");
            put(&mut object, "reason", why.as_str());
        }
        LegOutcome::Failed(why) => {
            put(&mut object, "outcome", "failed");
            put(&mut object, "reason", why.as_str());
        }
    }
    object
}

/// What a retrieval found, and how: `hits`, `legs`, `degraded`, `stale`, `took_us`.
pub fn retrieval_object(found: &Retrieval) -> Object {
    let mut object = Object::new();
    put(&mut object, "hits", objects(found.hits.iter().map(hit_object)));
    put(&mut object, "legs", objects(found.legs.iter().map(leg_object)));
    put(&mut object, "degraded", strings(&found.degraded));
    put(&mut object, "stale", number(found.stale));
    put(&mut object, "took_us", micros(found.took));
    object
}

fn counts_object(counts: Counts) -> Object {
    let mut object = Object::new();
    put(&mut object, "slots", number(counts.slots));
    put(&mut object, "records", number(counts.records));
    put(&mut object, "events", number(counts.events));
    object
}

/// A prompt block: `text`, `tokens`, `included`, `omitted`, `degraded`.
pub fn context_object(block: &ContextBlock) -> Object {
    let mut object = Object::new();
    put(&mut object, "text", block.text.as_str());
    put(&mut object, "tokens", number(block.tokens));
    put(&mut object, "included", counts_object(block.included));
    put(&mut object, "omitted", counts_object(block.omitted));
    put(&mut object, "degraded", strings(&block.degraded));
    object
}

/// What a consolidation did or would do: `examined`, `merges`, `prunes`, `remaining`, and its `id` where it changed something.
pub fn consolidation_object(report: &ConsolidationReport) -> Object {
    let merges = report.plan.merges.iter().map(|merge| {
        let (how, similarity) = match merge.likeness {
            Likeness::Exact => ("exact", Some(Value::Number(Number::from(1_u64)))),
            Likeness::Near(ratio) => ("near", double(ratio)),
        };
        let mut object = Object::new();
        put(&mut object, "kept", merge.kept.id.as_str());
        put(&mut object, "dropped", strings(&merge.dropped));
        put(&mut object, "likeness", how);
        put_some(&mut object, "similarity", similarity);
        object
    });
    let prunes = report.plan.prunes.iter().map(|prune| {
        let reason = match prune.reason {
            PruneReason::Expired => "expired",
            PruneReason::Faded => "faded",
        };
        let mut object = Object::new();
        put(&mut object, "id", prune.id.as_str());
        put(&mut object, "reason", reason);
        object
    });
    let mut object = Object::new();
    put(&mut object, "examined", number(report.plan.examined));
    put(&mut object, "merges", objects(merges));
    put(&mut object, "prunes", objects(prunes));
    put(&mut object, "remaining", number(report.remaining));
    put_some(&mut object, "id", report.id.as_deref());
    object
}

/// What undoing a consolidation did: `restored`.
pub fn undone_object(undone: &Undone) -> Object {
    let mut object = Object::new();
    put(&mut object, "restored", strings(undone.restored.iter().map(RecordId::as_str)));
    object
}

/// Proof of a forgetting: `dry_run`, `records`, `events`, `residue`; if it was done also `revisions`, `threads` and `sequence`.
pub fn receipt_object(receipt: &ForgetReceipt, trial: Trial) -> Object {
    let forgotten = &receipt.forgotten;
    let mut object = Object::new();
    put(&mut object, "dry_run", trial == Trial::Dry);
    put(&mut object, "records", strings(&forgotten.records));
    put(&mut object, "events", forgotten.events);
    put(&mut object, "residue", strings(&receipt.residue));
    if trial == Trial::Real {
        put(&mut object, "revisions", forgotten.revisions);
        put(&mut object, "threads", forgotten.threads);
    }
    put_some(&mut object, "sequence", receipt.sequence.map(|sequence| sequence.0));
    object
}

/// Whether each part serves: `semantic`, `episodic`, `working`, and `details` of every part.
pub fn health_object(health: &Health) -> Object {
    let details = health.details.iter().map(|detail| {
        let mut object = Object::new();
        put(&mut object, "part", detail.part.as_str());
        put(&mut object, "healthy", detail.healthy);
        put(&mut object, "message", detail.message.as_str());
        object
    });
    let details = objects(details);
    let mut object = Object::new();
    put(&mut object, "semantic", health.semantic);
    put(&mut object, "episodic", health.episodic);
    put(&mut object, "working", health.working);
    put(&mut object, "details", details);
    object
}

/// What a namespace holds, by count.
pub fn stats_object(stats: &Stats) -> Object {
    let ledger = &stats.ledger;
    let indexes = stats.indexes.iter().map(|(name, index)| {
        let mut object = Object::new();
        put(&mut object, "name", *name);
        put(&mut object, "records", index.records);
        put(&mut object, "embeddings", index.embeddings);
        put(&mut object, "bytes", index.bytes);
        object
    });
    let indexes = objects(indexes);
    let mut object = Object::new();
    put(&mut object, "records", ledger.records);
    put(&mut object, "revisions", ledger.revisions);
    put(&mut object, "embeddings", ledger.embeddings);
    put(&mut object, "events", ledger.events);
    put(&mut object, "threads_with_slots", ledger.threads_with_slots);
    put(&mut object, "outbox", ledger.outbox);
    put(&mut object, "head", ledger.head.0);
    put(&mut object, "bytes", ledger.bytes);
    put(&mut object, "models", strings(ledger.models.iter().map(ToString::to_string)));
    put(&mut object, "indexes", indexes);
    put_some(&mut object, "embedder", stats.model.as_deref());
    object
}

/// That the audit chain holds: `sequence` and `hash` of its last entry, and how many entries are `erased`.
pub fn audit_object(report: &AuditReport) -> Object {
    let mut object = Object::new();
    put(&mut object, "sequence", report.checkpoint.sequence.0);
    put(&mut object, "hash", report.checkpoint.hash.to_string());
    put(&mut object, "erased", report.erased);
    object
}

/// What a deep verification found: `faults`, none if all is well.
pub fn verify_object(report: &VerifyReport) -> Object {
    let mut object = Object::new();
    put(&mut object, "faults", strings(&report.faults));
    object
}
