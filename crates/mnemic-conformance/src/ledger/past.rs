//! Cases on reading the past: `[L10]`. Not here: the past of slots and events (their own files).

use mnemic_core::{Batch, Filter, RecordId, StoredRecord, Timestamp, ports::Read};

use super::{
    LedgerHarness,
    room::{Room, delete, late, write},
    snapshot,
};
use crate::{
    fixtures::{Rng, embedding, instant, model, random_filter, random_record, record, record_id},
    walk::Walk,
};

const IDS: usize = 8;

async fn scan(room: &Room, filter: &Filter, as_of: Option<Timestamp>, walk: Walk) -> Vec<StoredRecord> {
    let read = Read { as_of, ..Read::default() };
    snapshot::records(room.ledger(), &room.ns, filter, read, walk).await
}

/// Changes a few random records in one way each.
fn random_batch(rng: &mut Rng, at: Timestamp) -> Batch {
    let mut batch = Batch::new(at);
    for n in 0..IDS {
        let id = format!("r{n}");
        match rng.below(8) {
            0 | 1 => batch.writes.push(write(random_record(rng, &id))),
            2 => batch.deletes.push(delete(&id)),
            3 => batch.embeddings.push(late(&id, 1 + rng.below(4) as u64, &embedding(rng, &model()))),
            _ => {}
        }
    }
    batch
}

pub(super) async fn l10_as_of_shows_what_was_there_after_each_commit_of_a_random_history(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let mut rng = Rng::new(110);
    // What a scan showed after the last commit at each instant.
    let mut past: Vec<(Timestamp, Vec<StoredRecord>)> = Vec::new();
    let mut at = 100;
    for _ in 0..40 {
        at += rng.below(3) as i64 * 10;
        room.commit(random_batch(&mut rng, instant(at))).await;
        let shown = scan(&room, &Filter::all(), None, Walk::LARGEST).await;
        past.retain(|(when, _)| *when != instant(at));
        past.push((instant(at), shown));
    }
    assert!(past.len() > 15, "the history has some length");
    let before = past[0].0.as_micros() - 1;
    assert_eq!(scan(&room, &Filter::all(), Timestamp::from_micros(before).ok(), Walk::LARGEST).await, []);
    let ids: Vec<RecordId> = (0..IDS).map(|n| record_id(&format!("r{n}"))).collect();
    let ends = past.iter().skip(1).map(|(next, _)| next.as_micros() - 1).chain([instant(999_999).as_micros()]);
    for ((start, shown), end) in past.iter().zip(ends.collect::<Vec<_>>()) {
        for as_of in [*start, Timestamp::from_micros(end).unwrap()] {
            let found = scan(&room, &Filter::all(), Some(as_of), Walk::oldest(3)).await;
            assert_eq!(&found, shown, "scan as of {as_of}");
            let mut newest = scan(&room, &Filter::all(), Some(as_of), Walk::newest(3)).await;
            newest.reverse();
            assert_eq!(&newest, shown, "scan as of {as_of}, newest first");
            let fetched =
                room.ledger().fetch(&room.ns, &ids, Read { as_of: Some(as_of), ..Read::default() }).await.unwrap();
            let expected: Vec<_> = ids.iter().map(|id| shown.iter().find(|s| s.record.id == *id).cloned()).collect();
            assert_eq!(fetched, expected, "fetch as of {as_of}");
        }
        let records: Vec<_> = shown.iter().map(|s| s.record.clone()).collect();
        for _ in 0..5 {
            let filter = random_filter(&mut rng, &records, 3);
            let expected: Vec<_> = shown.iter().filter(|s| filter.matches(&s.record)).cloned().collect();
            assert_eq!(scan(&room, &filter, Some(*start), Walk::LARGEST).await, expected, "as of {start}: {filter:?}");
        }
    }
}

pub(super) async fn l10_of_commits_at_one_instant_the_last_is_shown(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let at = instant(50);
    let one = |text: &str| {
        let mut batch = Batch::new(at);
        batch.writes.push(write(record("r", text)));
        batch
    };
    let room = &room;
    let as_of = |at| async move {
        let read = Read { as_of: Some(at), ..Read::default() };
        let found = room.ledger().fetch(&room.ns, &[record_id("r")], read).await.unwrap().remove(0);
        found.map(|stored| stored.record.text)
    };
    for text in ["one", "two", "three"] {
        room.commit(one(text)).await;
        assert_eq!(as_of(at).await.as_deref(), Some(text));
    }
    let mut gone = Batch::new(at);
    gone.deletes.push(delete("r"));
    room.commit(gone).await;
    assert_eq!(as_of(at).await, None);
    room.commit(one("four")).await;
    assert_eq!(as_of(at).await.as_deref(), Some("four"));
    assert_eq!(as_of(instant(49)).await, None);
    assert_eq!(as_of(instant(51)).await.as_deref(), Some("four"));
}

pub(super) async fn l10_a_clock_that_steps_back_does_not_reorder_the_commits(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    // The order of commits is that of the feed; the third is made at an instant before the second.
    for (id, text, at) in [("a", "one", 10), ("a", "two", 30), ("b", "one", 20), ("c", "one", 40)] {
        let mut batch = Batch::new(instant(at));
        batch.writes.push(write(record(id, text)));
        room.commit(batch).await;
    }
    let shown = async |at| {
        let found = scan(&room, &Filter::all(), Some(instant(at)), Walk::LARGEST).await;
        found.iter().map(|s| format!("{} {}", s.record.id, s.record.text)).collect::<Vec<_>>()
    };
    assert_eq!(shown(15).await, ["a one"]);
    // The last commit at or before these instants is the third, and the second was there by then.
    assert_eq!(shown(20).await, ["a two", "b one"]);
    assert_eq!(shown(35).await, ["a two", "b one"]);
    assert_eq!(shown(40).await, ["a two", "b one", "c one"]);
}
