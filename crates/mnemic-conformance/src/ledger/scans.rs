//! Cases on walks through records: `[L7]`. Not here: the past (`past`).

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use mnemic_core::{
    Batch, Comparison, Field, Filter, MemoryRecord, Namespace, Operand,
    ports::{Ledger, Read},
};

use super::{
    LedgerHarness,
    room::{Room, delete, write},
    snapshot,
};
use crate::{
    fixtures::{Rng, every_operator, instant, random_filter, random_record, record},
    walk::Walk,
};

async fn visited(ledger: &dyn Ledger, ns: &Namespace, filter: &Filter, walk: Walk) -> Vec<String> {
    let found = snapshot::records(ledger, ns, filter, Read::default(), walk).await;
    found.iter().map(|stored| stored.record.id.to_string()).collect()
}

/// Ids whose order by name, by hash and by insertion differ.
fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("r{:03}", (n * 37) % 101)).collect()
}

pub(super) async fn l07_a_scan_visits_every_record_once_in_either_order_for_any_page_size(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let names = names(23);
    for part in names.chunks(4) {
        room.commit(room.writes(part.iter().map(|id| record(id, "x")))).await;
    }
    // Replacing a record does not move it.
    room.write(record(&names[2], "replaced")).await;
    room.write(record(&names[20], "replaced")).await;
    let reversed: Vec<String> = names.iter().rev().cloned().collect();
    for limit in [1, 2, 7, 22, 23, 24, 1000] {
        let found = visited(room.ledger(), &room.ns, &Filter::all(), Walk::oldest(limit)).await;
        assert_eq!(found, names, "oldest first, pages of {limit}");
        let found = visited(room.ledger(), &room.ns, &Filter::all(), Walk::newest(limit)).await;
        assert_eq!(found, reversed, "newest first, pages of {limit}");
        let few = Filter::equals(Field::Text, "replaced");
        let found = visited(room.ledger(), &room.ns, &few, Walk::newest(limit)).await;
        assert_eq!(found, [names[20].clone(), names[2].clone()], "a filter, pages of {limit}");
    }
    assert_eq!(visited(room.ledger(), &crate::fixtures::namespace(), &Filter::all(), Walk::oldest(1)).await, [""; 0]);
}

pub(super) async fn l07_a_walk_between_whose_pages_others_write_misses_and_repeats_nothing(h: &dyn LedgerHarness) {
    for newest in [false, true] {
        let room = Room::new(h).await;
        let mut names = names(20);
        room.commit(room.writes(names.iter().map(|id| record(id, "x")))).await;
        if newest {
            names.reverse();
        }
        let walk = if newest { Walk::newest(4) } else { Walk::oldest(4) };
        let (mut found, mut after, mut page_number) = (Vec::new(), None, 0);
        loop {
            let page = walk.request(after);
            let page = room.ledger().scan(&room.ns, &Filter::all(), Read::default(), &page).await.unwrap();
            found.extend(page.items.iter().map(|stored| stored.record.id.to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
            // Replaced: one that was visited, one that was not. Deleted: the same. Inserted: one.
            let mut batch = room.writes([record(&names[0], "again"), record(&names[18], "again")]);
            batch.writes.push(write(record(&format!("new-{page_number}"), "x")));
            batch.deletes = vec![delete(&names[1 + page_number]), delete(&names[17 - page_number])];
            room.commit(batch).await;
            page_number += 1;
            assert!(page_number < 9, "the walk goes on and on");
        }
        assert_each_once(&found);
        let touched = |id: &&String| {
            let n = names.iter().position(|name| name == *id).unwrap();
            (1..=page_number).contains(&n) || (17usize.saturating_sub(page_number)..=17).contains(&n)
        };
        let stayed: Vec<&String> = names.iter().filter(|id| !touched(id)).collect();
        let seen: Vec<&String> = found.iter().filter(|id| stayed.contains(id)).collect();
        assert_eq!(seen, stayed, "newest first: {newest}");
    }
}

#[track_caller]
fn assert_each_once(found: &[String]) {
    let distinct: BTreeSet<&String> = found.iter().collect();
    assert_eq!(distinct.len(), found.len(), "a record is visited twice: {found:?}");
}

pub(super) async fn l07_walks_while_another_task_writes_miss_and_repeat_nothing(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let names = names(50);
    room.commit(room.writes(names.iter().map(|id| record(id, "x")))).await;
    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let ((ledger, ns), done, names) = (room.shared(), Arc::clone(&done), names.clone());
        async move {
            let mut rng = Rng::new(107);
            for n in 0..400 {
                if done.load(Ordering::SeqCst) {
                    return;
                }
                let mut batch = Batch::new(instant(20_000 + n));
                batch.writes.push(write(record(rng.pick::<String>(&names), "again")));
                batch.writes.push(write(record(&format!("new-{}", n % 20), "x")));
                batch.deletes.push(delete(&format!("new-{}", (n + 10) % 20)));
                ledger.commit(&ns, batch).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    let reversed: Vec<String> = names.iter().rev().cloned().collect();
    for round in 0..6 {
        let walk = if round % 2 == 0 { Walk::oldest(3) } else { Walk::newest(3) };
        let found = visited(room.ledger(), &room.ns, &Filter::all(), walk).await;
        assert_each_once(&found);
        let stayed: Vec<String> = found.into_iter().filter(|id| !id.starts_with("new-")).collect();
        assert_eq!(&stayed, if round % 2 == 0 { &names } else { &reversed }, "walk {round}");
    }
    done.store(true, Ordering::SeqCst);
    writer.await.unwrap();
}

pub(super) async fn l07_a_scan_passes_what_the_reference_evaluator_passes(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let mut rng = Rng::new(108);
    let given: Vec<MemoryRecord> = (0..32).map(|n| random_record(&mut rng, &format!("r{n}"))).collect();
    room.commit(room.writes(given.iter().cloned())).await;
    room.commit(room.writes(given.iter().step_by(3).cloned())).await;
    let all = snapshot::records(room.ledger(), &room.ns, &Filter::all(), Read::default(), Walk::LARGEST).await;
    let records: Vec<MemoryRecord> = all.into_iter().map(|stored| stored.record).collect();
    assert_eq!(records.len(), given.len());
    let mut filters = every_operator(&records);
    filters.extend((0..200).map(|_| random_filter(&mut rng, &records, 4)));
    filters.push(Filter::Compare(Field::Version, Comparison::Eq, Operand::Number(2i64.into())));
    for (n, filter) in filters.iter().enumerate() {
        let expected: Vec<String> = records.iter().filter(|r| filter.matches(*r)).map(|r| r.id.to_string()).collect();
        let walk = if n % 16 == 0 { Walk::oldest(5) } else { Walk::LARGEST };
        let found = visited(room.ledger(), &room.ns, filter, walk).await;
        assert_eq!(found, expected, "{filter:?}");
    }
}
