//! What is left after a cut: it goes on or goes back, nothing acknowledged is lost, nothing is there twice, and both places are the same.
//! Not here: cutting.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mnemic::{ErrorKind, Filter, MemoryManager, MovePhase, PageRequest, ports::EventRange};

use super::pair::{Pair, Phase, record};

/// What becomes of a move that was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    GoesOn,
    GoesBack,
}

/// How often a command is given again that finds that something changes at the same time.
const TRIES: usize = 3;

/// Goes on with a move that was cut off, or takes it back. The last step of a call that was dropped may still be on its way: then the
/// command is refused because the role changed under it, and given again, as a person would.
pub(crate) async fn settle(pair: &Pair, phase: Phase, then: Then) -> Result<(), String> {
    let mut done = Ok(());
    for _ in 0..TRIES {
        done = command(pair, phase, then).await;
        match &done {
            Err(error) if error.kind() == ErrorKind::Conflict => tokio::time::sleep(Duration::from_millis(100)).await,
            _ => break,
        }
    }
    done.map_err(|error| format!("it neither goes on nor back: {error}"))
}

async fn command(pair: &Pair, phase: Phase, then: Then) -> mnemic::Result<()> {
    let (source, target) = pair.opened();
    let begun = source.move_status(&target).await?.phase != MovePhase::NotBegun;
    match (then, phase) {
        (Then::GoesOn, Phase::Verify) => Ok(()),
        (Then::GoesOn, _) if begun || phase != Phase::RollBack => pair.perform(phase).await,
        (Then::GoesBack, _) if begun => source.roll_back(&target).await.map(drop),
        _ => Ok(()),
    }
}

/// What is wrong in the end, when nobody writes any more; `acknowledged` are records and events whose writers heard that they are kept.
pub(crate) async fn faults(pair: &Pair, acknowledged: &BTreeSet<String>) -> Vec<String> {
    let (source, target) = pair.opened();
    let mut found = match compared(&source, &target).await {
        Ok(found) => found,
        Err(why) => vec![why],
    };
    match held(&source).await {
        Ok(held) => {
            let lost = acknowledged.iter().filter(|name| !held.contains_key(*name));
            found.extend(lost.map(|name| format!("LOST: {name} was acknowledged and is not there")));
            let doubled = held.iter().filter(|(name, times)| name.starts_with("live-") && **times != 1);
            found.extend(doubled.map(|(name, times)| format!("DOUBLED: {name} is there {times} times")));
        }
        Err(error) => found.push(format!("the memory cannot be read: {error}")),
    }
    if let Err(error) = source.verify_audit(None).await {
        found.push(format!("the chain: {error}"));
    }
    found
}

async fn compared(source: &MemoryManager, target: &MemoryManager) -> Result<Vec<String>, String> {
    let told = |error: mnemic::Error| error.to_string();
    let phase = source.move_status(target).await.map_err(told)?.phase;
    let (served, other) = match phase {
        MovePhase::Switching => return Err("nobody takes writes".to_owned()),
        MovePhase::Moved => {
            // Whatever was cut off between a write and its mirror comes with the next one.
            target.write(vec![record("the last one")], &mnemic::WriteOptions::default()).await.map_err(told)?;
            (target, source)
        }
        MovePhase::NotBegun | MovePhase::Copying => {
            source.migrate_to(target, |_| {}).await.map_err(told)?;
            (source, target)
        }
    };
    let report = served.compare_with(other, 0).await.map_err(told)?;
    let differences = report.comparison.differences.into_iter().chain(report.index_faults);
    Ok(differences.map(|difference| format!("DIFFERENT: {difference}")).collect())
}

/// How often each record was written and each event is there, through a handle of the source, wherever that leads.
async fn held(memory: &MemoryManager) -> mnemic::Result<BTreeMap<String, u64>> {
    let (mut held, mut page) = (BTreeMap::new(), PageRequest::largest());
    loop {
        let found = memory.list(&Filter::all(), None, &page).await?;
        for record in found.items {
            *held.entry(record.id.to_string()).or_default() += record.version.0;
        }
        if found.next.is_none() {
            break;
        }
        page = page.after(found.next);
    }
    let mut page = PageRequest::largest();
    loop {
        let found = memory.events(&EventRange::default(), &page).await?;
        for event in found.items.into_iter().filter_map(|entry| entry.event) {
            *held.entry(event.event_id.to_string()).or_default() += 1;
        }
        if found.next.is_none() {
            return Ok(held);
        }
        page = page.after(found.next);
    }
}
