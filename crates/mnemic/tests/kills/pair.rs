//! A memory and the place that it moves to, the phases of a move, and what each does. Not here: cutting them off, and judging what is left.

use std::{path::Path, time::Duration};

use mnemic::{
    Builder, CutOver, MemoryManager, Namespace, NewEvent, NewRecord, Object, RecordId, Result, Selector, SetSlots,
    ThreadId, Trial, WriteOptions,
};

/// One phase of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Copy,
    CatchUp,
    Verify,
    CutOver,
    RollBack,
}

impl Phase {
    pub(crate) const ALL: [Self; 5] = [Self::Copy, Self::CatchUp, Self::Verify, Self::CutOver, Self::RollBack];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::CatchUp => "catch-up",
            Self::Verify => "verify",
            Self::CutOver => "cut-over",
            Self::RollBack => "rollback",
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|phase| phase.name() == name).expect("a phase")
    }
}

/// Two places and the namespace in both. A place is a directory, or a file of variables.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) namespace: String,
}

/// Whether a place is a file of variables.
pub(crate) fn is_file(place: &str) -> bool {
    Path::new(place).extension().is_some_and(|extension| extension == "env")
}

pub(crate) fn open(place: &str, namespace: &str) -> MemoryManager {
    let builder = if is_file(place) { Builder::from_env_file(place) } else { Builder::embedded(place) };
    builder.unwrap().build(Namespace::new(namespace).unwrap()).unwrap()
}

pub(crate) fn record(name: &str) -> NewRecord {
    let text = format!("Statement {name} about the hearing in June and the fee of {} dollars.", name.len());
    NewRecord { id: RecordId::new(name).ok(), ..NewRecord::new(text) }
}

pub(crate) fn event(name: &str) -> NewEvent {
    NewEvent {
        event_id: mnemic::EventId::new(name).ok(),
        timestamp: None,
        user_id: None,
        thread_id: ThreadId::new("talk").unwrap(),
        source: "campaign".to_owned(),
        action: "message".to_owned(),
        payload: Object::new(),
        tags: std::collections::BTreeSet::new(),
    }
}

/// Some life: records in several commits, rewrites, events, slots, and what is forgotten again. `part` tells one time from another.
pub(crate) async fn live(memory: &MemoryManager, part: &str) {
    for batch in 0..6 {
        let names = (0..10).map(|i| record(&format!("{part}-{batch}-{i}")));
        memory.write(names.collect(), &WriteOptions::default()).await.unwrap();
    }
    for round in 0..2 {
        let again = NewRecord { text: format!("Rewritten {round} times."), ..record(&format!("{part}-0-0")) };
        memory.write(vec![again], &WriteOptions::default()).await.unwrap();
        memory.log_audit(event(&format!("{part}-said-{round}"))).await.unwrap();
        let slots = [("persona".to_owned(), Some(format!("{part} {round}")))].into();
        memory.set_slots(&ThreadId::new("talk").unwrap(), slots, SetSlots::default()).await.unwrap();
    }
    let gone = Selector::Ids(vec![RecordId::new(format!("{part}-1-1")).unwrap()]);
    memory.forget(&gone, Trial::Real).await.unwrap();
}

impl Pair {
    pub(crate) fn opened(&self) -> (MemoryManager, MemoryManager) {
        (open(&self.source, &self.namespace), open(&self.target, &self.namespace))
    }

    /// What comes before a phase.
    pub(crate) async fn prepare(&self, phase: Phase) {
        let (source, target) = self.opened();
        live(&source, "first").await;
        if phase != Phase::Copy {
            source.migrate_to(&target, |_| {}).await.unwrap();
        }
        if phase == Phase::CatchUp {
            live(&source, "second").await;
        }
        if phase == Phase::RollBack {
            // Without a mirror, so that there is something to bring back.
            source.cut_over(&target, &CutOver { window: Duration::ZERO }).await.unwrap();
            live(&target, "second").await;
        }
    }

    /// Performs a phase.
    pub(crate) async fn perform(&self, phase: Phase) -> Result<()> {
        let (source, target) = self.opened();
        match phase {
            Phase::Copy | Phase::CatchUp => source.migrate_to(&target, |_| {}).await.map(drop),
            // While somebody writes, it finds what is not copied yet.
            Phase::Verify => source.compare_with(&target, 5).await.map(drop),
            Phase::CutOver => source.cut_over(&target, &CutOver::default()).await.map(drop),
            Phase::RollBack => source.roll_back(&target).await.map(drop),
        }
    }
}
