//! The verbs by name: each reads its request, calls the memory, and answers an object. Not here: the form of requests and answers
//! (`mnemic::wire`).

use std::{collections::BTreeMap, fmt, path::Path, str::FromStr};

use mnemic::{
    Dedupe, Error, Filter, MemoryManager, NewRecord, Object, RecordId, Result, SetSlots, ThreadId, Timestamp, Value,
    WriteOptions, WriteReport, ids::quoted, limits, wire,
};

use crate::{
    gate::Answer,
    vectors::{self, Vectors},
};

macro_rules! verbs {
    ($($verb:ident $name:literal,)+) => {
        /// What can be asked of a memory.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Verb { $($verb,)+ }

        impl FromStr for Verb {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self> {
                match name {
                    $($name => Ok(Self::$verb),)+
                    other => Err(Error::invalid("verb", concat!("one of", $(" ", $name),+), quoted(other))),
                }
            }
        }

        impl fmt::Display for Verb {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$verb => $name,)+ })
            }
        }
    };
}

verbs! {
    AuditVerify "audit_verify",
    Backup "backup",
    Close "close",
    Consolidate "consolidate",
    Context "context",
    Drain "drain",
    Events "events",
    Forget "forget",
    Get "get",
    Health "health",
    History "history",
    List "list",
    LogAudit "log_audit",
    Namespaces "namespaces",
    Reindex "reindex",
    Retrieve "retrieve",
    SetSlots "set_slots",
    Slots "slots",
    SlotsHistory "slots_history",
    SlotThreads "slot_threads",
    Snapshot "snapshot",
    Stats "stats",
    Threads "threads",
    UndoConsolidation "undo_consolidation",
    Verify "verify",
    Write "write",
    WriteEvent "write_event",
}

impl Verb {
    /// Whether it reads little, so that it may be answered at once.
    pub(crate) const fn is_short(self) -> bool {
        matches!(self, Self::Retrieve | Self::Get | Self::Slots)
    }
}

/// Runs a verb.
pub(crate) async fn run(memory: MemoryManager, verb: Verb, request: Object, vectors: Vectors) -> Result<Answer> {
    let answer = match verb {
        Verb::Retrieve => return retrieve(&memory, &request, &vectors).await,
        Verb::Get | Verb::List => return read_records(&memory, verb, &request).await,
        Verb::Write => write_records(&memory, &request, &vectors).await,
        Verb::WriteEvent | Verb::LogAudit | Verb::SetSlots | Verb::Forget => write(&memory, verb, &request).await,
        Verb::Consolidate | Verb::UndoConsolidation | Verb::Backup | Verb::Close | Verb::Drain | Verb::Reindex => {
            maintain(&memory, verb, &request).await
        }
        _ => read(&memory, verb, &request).await,
    };
    answer.map(|object| Answer::Json(wire::to_line(&object)))
}

fn done(pairs: impl IntoIterator<Item = (&'static str, Value)>) -> Object {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn objects(items: impl IntoIterator<Item = Object>) -> Value {
    Value::Array(items.into_iter().map(Value::Object).collect())
}

fn text<'a>(request: &'a Object, field: &str) -> Result<Option<&'a str>> {
    match request.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::invalid(field, "a string", "something else")),
    }
}

fn needed<'a>(request: &'a Object, field: &str) -> Result<&'a str> {
    text(request, field)?.ok_or_else(|| Error::invalid(field, "a string", "nothing"))
}

fn flag(request: &Object, field: &str) -> Result<bool> {
    match request.get(field) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(Error::invalid(field, "true or false", "something else")),
    }
}

fn instant(request: &Object, field: &str) -> Result<Option<Timestamp>> {
    text(request, field)?.map(|text| Timestamp::parse(field, text)).transpose()
}

fn thread(request: &Object) -> Result<ThreadId> {
    ThreadId::new(needed(request, "thread_id")?)
}

fn ids(request: &Object) -> Result<Vec<RecordId>> {
    let Some(Value::Array(items)) = request.get("ids") else {
        return Err(Error::invalid("ids", "a list of ids", "something else"));
    };
    let id = |(i, item): (usize, &Value)| match item {
        Value::String(id) => RecordId::new(id).map_err(|error| error.within(format!("ids[{i}]"))),
        _ => Err(Error::invalid(format!("ids[{i}]"), "a string", "something else")),
    };
    items.iter().enumerate().map(id).collect()
}

fn drafts(request: &Object) -> Result<Vec<NewRecord>> {
    let Some(Value::Array(items)) = request.get("records") else {
        return Err(Error::invalid("records", "a list of records", "something else"));
    };
    if !(1..=limits::BATCH).contains(&items.len()) {
        let expected = format!("1 to {} records", limits::BATCH);
        return Err(Error::invalid("records", expected, format!("{} records", items.len())));
    }
    let draft = |(i, item): (usize, &Value)| match item {
        Value::Object(object) => {
            wire::new_record_from_object(object).map_err(|error| error.within(format!("records[{i}]")))
        }
        _ => Err(Error::invalid(format!("records[{i}]"), "an object", "something else")),
    };
    items.iter().enumerate().map(draft).collect()
}

async fn write(memory: &MemoryManager, verb: Verb, request: &Object) -> Result<Object> {
    match verb {
        Verb::WriteEvent => {
            let written = memory.write_event(wire::event_from_object(request)?).await?;
            let ids: Vec<RecordId> = written.report.records.iter().map(|record| record.id.clone()).collect();
            let records = memory.get(&ids, None).await?;
            let mut answer = wire::written_event_object(&written);
            answer.insert("records".to_owned(), objects(records.iter().flatten().map(wire::record_object)));
            Ok(answer)
        }
        Verb::LogAudit => {
            let mut event = wire::event_from_object(request)?;
            // So that the answer can tell it. An event that is told again by its id keeps the time that it was first told with.
            if event.event_id.is_none() {
                event.timestamp.get_or_insert(memory.now());
            }
            let timestamp = event.timestamp;
            let (event_id, appended) = memory.log_audit(event).await?;
            let mut answer = wire::appended_object(&event_id, appended);
            if let Some(timestamp) = timestamp {
                answer.insert("timestamp".to_owned(), Value::from(timestamp.to_string()));
            }
            Ok(answer)
        }
        Verb::SetSlots => {
            let write = wire::slot_write_from_object(request)?;
            let how = SetSlots { mode: write.mode, expect: write.expect };
            Ok(wire::slots_object(&memory.set_slots(&write.thread_id, write.changes, how).await?))
        }
        _ => {
            let (selector, trial) = wire::selector_from_object(request)?;
            Ok(wire::receipt_object(&memory.forget(&selector, trial).await?, trial))
        }
    }
}

/// Writes `records` with `idempotency_key` and `dedupe`. Besides the report, `stored` has what each record is now; the times that the
/// memory sets are set here, so that the answer needs no second look.
async fn write_records(memory: &MemoryManager, request: &Object, embeddings: &Vectors) -> Result<Object> {
    let mut records = drafts(request)?;
    vectors::bring(embeddings, &mut records)?;
    let options = WriteOptions {
        idempotency_key: text(request, "idempotency_key")?.map(str::to_owned),
        dedupe: if flag(request, "dedupe")? { Dedupe::ByContent } else { Dedupe::Never },
    };
    // A repetition has to be the same request, so nothing is added to one that may be repeated.
    if options.idempotency_key.is_some() {
        let report = memory.write(records, &options).await?;
        let ids: Vec<RecordId> = report.records.iter().map(|written| written.id.clone()).collect();
        let now = memory.get(&ids, None).await?;
        let mut answer = wire::write_report_object(&report);
        let stored =
            now.iter().map(|record| record.as_ref().map_or(Value::Null, |r| Value::Object(wire::record_object(r))));
        answer.insert("stored".to_owned(), Value::Array(stored.collect()));
        return Ok(answer);
    }
    let now = memory.now();
    for record in &mut records {
        record.updated_at.get_or_insert(now);
        let begun = *record.created_at.get_or_insert(now);
        record.valid_from.get_or_insert(begun);
    }
    let times: Vec<_> = records.iter().map(|record| (record.updated_at, record.valid_from)).collect();
    let report = memory.write(records, &options).await?;
    Ok(timed(&report, &times))
}

/// The report, each record with the times that it was written with.
fn timed(report: &WriteReport, times: &[(Option<Timestamp>, Option<Timestamp>)]) -> Object {
    let mut answer = wire::write_report_object(report);
    if let Some(Value::Array(written)) = answer.get_mut("records") {
        for (item, (updated_at, valid_from)) in written.iter_mut().zip(times) {
            let Value::Object(item) = item else { continue };
            for (key, at) in [("updated_at", updated_at), ("valid_from", valid_from)] {
                item.extend(at.map(|at| (key.to_owned(), Value::from(at.to_string()))));
            }
        }
    }
    answer
}

async fn maintain(memory: &MemoryManager, verb: Verb, request: &Object) -> Result<Object> {
    match verb {
        Verb::Consolidate => {
            let report = memory.consolidate(&wire::consolidation_from_object(request)?).await?;
            Ok(wire::consolidation_object(&report))
        }
        Verb::UndoConsolidation => Ok(wire::undone_object(&memory.undo_consolidation(needed(request, "id")?).await?)),
        Verb::Backup => memory.backup(Path::new(needed(request, "path")?)).await.map(|()| Object::new()),
        Verb::Close => memory.close().await.map(|()| Object::new()),
        Verb::Drain => Ok(done([("embedded", Value::from(memory.drain().await? as u64))])),
        _ => memory.reindex().await.map(|()| Object::new()),
    }
}

async fn retrieve(memory: &MemoryManager, request: &Object, embedding: &Vectors) -> Result<Answer> {
    let mut query = wire::query_from_object(request)?;
    vectors::ask(embedding, &mut query)?;
    Ok(Answer::Retrieval(Box::new(memory.retrieve(&query).await?)))
}

async fn read_records(memory: &MemoryManager, verb: Verb, request: &Object) -> Result<Answer> {
    if verb == Verb::Get {
        return Ok(Answer::Records(memory.get(&ids(request)?, instant(request, "as_of")?).await?));
    }
    let (filter, as_of, page) = wire::page_from_object(request)?;
    Ok(Answer::Page(memory.list(&filter, as_of, &page).await?))
}

async fn read(memory: &MemoryManager, verb: Verb, request: &Object) -> Result<Object> {
    match verb {
        Verb::Context => {
            let (thread, request) = wire::context_request_from_object(request)?;
            Ok(wire::context_object(&memory.context(&thread, &request).await?))
        }
        Verb::History => {
            let revisions = memory.history(&RecordId::new(needed(request, "id")?)?).await?;
            Ok(done([("revisions", objects(revisions.iter().map(wire::revision_object)))]))
        }
        Verb::Events => {
            let (range, page) = wire::event_range_from_object(request)?;
            Ok(wire::event_page_object(memory.events(&range, &page).await?))
        }
        Verb::Threads => Ok(wire::thread_page_object(memory.threads(&page(request)?).await?)),
        Verb::Namespaces => Ok(wire::namespace_page_object(memory.namespaces(&page(request)?).await?)),
        Verb::Snapshot => Ok(done([("snapshot", Value::from(memory.snapshot_thread(&thread(request)?).await?))])),
        Verb::AuditVerify => Ok(wire::audit_object(&memory.verify_audit(None).await?)),
        Verb::Verify => Ok(wire::verify_object(&memory.verify().await?)),
        Verb::Stats => Ok(wire::stats_object(&memory.stats().await?)),
        Verb::Health => Ok(wire::health_object(&memory.health_check().await)),
        _ => read_slots(memory, verb, request).await,
    }
}

async fn read_slots(memory: &MemoryManager, verb: Verb, request: &Object) -> Result<Object> {
    match verb {
        Verb::Slots => {
            let slots = memory.slots(&thread(request)?, instant(request, "as_of")?).await?;
            Ok(wire::slots_object(&slots))
        }
        Verb::SlotThreads => {
            let found = memory.slot_threads(&page(request)?).await?;
            let threads = found.items.iter().map(|thread| Value::from(thread.as_str())).collect();
            let mut answer = done([("threads", Value::Array(threads))]);
            answer.extend(found.next.map(|next| ("next".to_owned(), Value::from(next.0))));
            Ok(answer)
        }
        Verb::SlotsHistory => {
            let versions = memory.slots_history(&thread(request)?).await?;
            let version = |revision: &mnemic::ports::SlotsRevision| {
                let slots: BTreeMap<_, _> =
                    revision.slots.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str()))).collect();
                done([
                    ("version", Value::from(revision.version.0)),
                    ("at", Value::from(revision.at.to_string())),
                    ("slots", Value::Object(slots.into_iter().collect())),
                ])
            };
            Ok(done([("versions", objects(versions.iter().map(version)))]))
        }
        other => Err(Error::bug(format!("no verb answers {other}"))),
    }
}

fn page(request: &Object) -> Result<mnemic::PageRequest> {
    let (filter, _, page) = wire::page_from_object(request)?;
    if filter == Filter::all() { Ok(page) } else { Err(Error::invalid("filter", "nothing", "a filter")) }
}
