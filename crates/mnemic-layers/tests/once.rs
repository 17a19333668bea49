//! A guarded ledger whose answers get lost: a commit takes effect once, an erasure is not repeated blindly, and everything else is tried
//! again. Not here: the same on a server (the ledgers' tests).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::sync::Arc;

use mnemic_conformance::{
    faulty::{Fault, Faulty, Strike},
    fixtures::{erasure_event, event, instant, namespace, record, record_id, thread},
};
use mnemic_core::{
    Batch, ChangeSeq, Digest, EraseTarget, Erasure, ErrorKind, Filter, Idempotency, Namespace, OutboxId, PageRequest,
    Precondition, RecordWrite,
    ports::{EventRange, Ledger, Read},
};
use mnemic_layers::{Backend, Guarded, Profile};
use mnemic_ledgers::InMemoryLedger;

type Shaky = Faulty<InMemoryLedger>;

/// A guarded ledger that has earned some retries, the adapter inside, which fails as it is told, and a namespace.
async fn shaky() -> (Arc<Shaky>, Guarded<Shaky>, Namespace) {
    let faulty = Arc::new(Faulty::new(Arc::new(InMemoryLedger::new())));
    let guarded = Guarded::new(faulty.clone(), Backend::new("memory", Profile::ledger()));
    for _ in 0..200 {
        guarded.check().await.unwrap();
    }
    (faulty, guarded, namespace())
}

fn batch(n: i64) -> Batch {
    let write = RecordWrite {
        record: record(&format!("r{n}"), "text"),
        embedding: None,
        expect: Precondition::Any,
        tasks: Vec::new(),
    };
    Batch { writes: vec![write], events: vec![event(&format!("e{n}"), "t", None)], ..Batch::new(instant(n)) }
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_answer_is_lost_takes_effect_once_and_answers_as_if_nothing_had_happened() {
    let (faulty, guarded, ns) = shaky().await;
    for (n, lost) in [(1, 1), (2, 3)] {
        faulty.set(Some(Fault { count: lost, ..Fault::nth(1, Strike::After).of(&["commit"]) }));
        let receipt = guarded.commit(&ns, batch(n)).await.unwrap();
        assert_eq!((receipt.writes[0].version.0, receipt.replayed), (1, false));
        assert_eq!(faulty.counted(), lost + 1);
        assert_eq!(guarded.report(&ns).await.unwrap().revisions, n as u64);
    }
    // The same batch again is another commit: its key was made for one call.
    let receipt = guarded.commit(&ns, batch(1)).await.unwrap();
    assert_eq!(receipt.writes[0].version.0, 2);
}

#[tokio::test(start_paused = true)]
async fn the_callers_own_key_is_kept_and_a_replay_is_told() {
    let (faulty, guarded, ns) = shaky().await;
    let key = Idempotency::new("key", Digest([7; 32])).unwrap();
    let keyed = || Batch { idempotency: Some(key.clone()), ..batch(1) };
    faulty.set(Some(Fault::nth(1, Strike::After).of(&["commit"])));
    assert!(guarded.commit(&ns, keyed()).await.unwrap().replayed, "an adapter's word is not changed");
    assert!(guarded.commit(&ns, keyed()).await.unwrap().replayed);
    assert_eq!(guarded.report(&ns).await.unwrap().revisions, 1);
}

#[tokio::test(start_paused = true)]
async fn without_retries_no_key_is_added() {
    let faulty = Arc::new(Faulty::new(Arc::new(InMemoryLedger::new())));
    let guarded = Guarded::new(faulty.clone(), Backend::new("memory", Profile::ledger().retrying(None)));
    faulty.set(Some(Fault::nth(1, Strike::After).of(&["commit"])));
    assert_eq!(guarded.commit(&namespace(), batch(1)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(faulty.counted(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_erasure_is_repeated_only_when_it_certainly_did_not_happen() {
    for (kind, calls) in [(ErrorKind::Unavailable, 1), (ErrorKind::RateLimited, 2)] {
        let (faulty, guarded, ns) = shaky().await;
        guarded.commit(&ns, batch(1)).await.unwrap();
        faulty.set(Some(Fault::nth(1, Strike::Before).of(&["erase"]).with_kind(kind)));
        let target = EraseTarget::Records(vec![record_id("r1")]);
        let result = guarded.erase(&ns, Erasure { at: instant(2), target, event: erasure_event("x") }).await;
        assert_eq!((result.is_ok(), faulty.counted()), (calls == 2, calls), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_other_method_is_tried_again() {
    let (faulty, guarded, ns) = shaky().await;
    let (page, once) = (PageRequest::largest(), Fault::nth(1, Strike::Before));
    guarded.commit(&ns, batch(1)).await.unwrap();
    macro_rules! tried_again {
        ($($method:ident($($argument:expr),*)),* $(,)?) => {$(
            faulty.set(Some(once.clone().of(&[stringify!($method)])));
            assert!(guarded.$method($($argument),*).await.is_ok(), stringify!($method));
            assert_eq!(faulty.counted(), 2, stringify!($method));
        )*};
    }
    let read = Read::default();
    tried_again!(
        fetch(&ns, &[record_id("r1")], read),
        scan(&ns, &Filter::all(), read, &page),
        history(&ns, &record_id("r1")),
        events(&ns, &EventRange::default(), &page),
        threads(&ns, &page),
        slots(&ns, &thread("t"), None),
        slots_history(&ns, &thread("t")),
        slot_threads(&ns, &page),
        head(&ns),
        changes(&ns, ChangeSeq(0), 10),
        outbox(&ns, 10),
        settle(&ns, &[OutboxId(1)]),
        namespaces(&page),
        report(&ns),
        check(),
    );
}
