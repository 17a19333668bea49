//! Plays a story into a memory, each line at its own date, leaving out what was played before. Not here: reading it (`story`).

use std::collections::BTreeMap;

use indicatif::ProgressBar;
use mnemic::{
    AppendOutcome, MemoryManager, NewRecord, Object, Result, RevisionKind, SetSlots, ThreadId, Timestamp, Value,
    WriteOptions, ports::ManualClock,
};

use super::story::{Moment, Story, What};
use crate::show;

/// What playing one story did.
#[derive(Clone, Debug, Default)]
pub(super) struct Played {
    namespace: String,
    events: usize,
    records: usize,
    slots: usize,
    written: usize,
    warnings: Vec<String>,
}

impl Played {
    /// Lines that had not been played before.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// One line for people.
    pub(super) fn line(&self) -> String {
        let fresh = if self.written == 0 { "all there before".to_owned() } else { format!("{} new", self.written) };
        let mut line = format!(
            "{:<16}{} events, {} record writes, {} slot updates ({fresh})",
            self.namespace, self.events, self.records, self.slots
        );
        for warning in &self.warnings {
            line.push_str("\n  warning: ");
            line.push_str(warning);
        }
        line
    }

    pub(super) fn object(&self) -> Object {
        show::object([
            ("namespace", Value::from(self.namespace.as_str())),
            ("events", show::number(self.events)),
            ("record_writes", show::number(self.records)),
            ("slot_updates", show::number(self.slots)),
            ("new", show::number(self.written)),
            ("warnings", show::strings(&self.warnings)),
        ])
    }
}

/// Plays a story. A line that the memory already holds is left out, so that playing twice changes nothing.
pub(super) async fn play(
    memory: &MemoryManager,
    clock: &ManualClock,
    story: &Story,
    bar: &ProgressBar,
) -> Result<Played> {
    let mut played = Played { namespace: memory.namespace().to_string(), ..Played::default() };
    for moment in &story.moments {
        clock.set(moment.at);
        if happen(memory, moment, &mut played).await? {
            played.written += 1;
        }
        bar.inc(1);
    }
    played.warnings.dedup();
    Ok(played)
}

/// Makes one line happen and says whether it was new.
async fn happen(memory: &MemoryManager, moment: &Moment, played: &mut Played) -> Result<bool> {
    match &moment.what {
        What::Logged(event) => {
            played.events += 1;
            let (_, appended) = memory.log_audit(event.clone()).await?;
            Ok(appended.outcome == AppendOutcome::New)
        }
        What::Reflected(event) => {
            played.events += 1;
            let written = memory.write_event(event.clone()).await?;
            played.warnings.extend(written.report.warnings);
            Ok(written.appended.outcome == AppendOutcome::New && !written.report.replayed)
        }
        What::Written(record) => {
            played.records += 1;
            if was_written(memory, record, moment.at).await? {
                return Ok(false);
            }
            let report = memory.write(vec![(**record).clone()], &WriteOptions::default()).await?;
            played.warnings.extend(report.warnings);
            Ok(true)
        }
        What::Set(thread, set) => {
            played.slots += 1;
            if were_set(memory, thread, set, moment.at).await? {
                return Ok(false);
            }
            let changes: BTreeMap<String, Option<String>> =
                set.iter().map(|(name, text)| (name.clone(), Some(text.clone()))).collect();
            memory.set_slots(thread, changes, SetSlots::default()).await?;
            Ok(true)
        }
    }
}

/// Whether some revision of the record is this line, also if it was merged or replaced since.
async fn was_written(memory: &MemoryManager, draft: &NewRecord, at: Timestamp) -> Result<bool> {
    let Some(id) = &draft.id else { return Ok(false) };
    let revisions = memory.history(id).await?;
    Ok(revisions.iter().any(|revision| match &revision.what {
        RevisionKind::Written(record) => revision.at == at && record.text == draft.text,
        RevisionKind::Deleted(_) => false,
    }))
}

/// Whether some version of the thread's slots was made then and holds these texts.
async fn were_set(memory: &MemoryManager, thread: &ThreadId, set: &[(String, String)], at: Timestamp) -> Result<bool> {
    let versions = memory.slots_history(thread).await?;
    Ok(versions
        .iter()
        .any(|version| version.at == at && set.iter().all(|(name, text)| version.slots.get(name) == Some(text))))
}
