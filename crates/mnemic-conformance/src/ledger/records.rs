//! Cases on single records: `[L1]`, `[L2]`, `[L4]`, `[L6]`, `[L8]`, `[L9]`, `[L11]`. Not here: walks and the past.

use mnemic_core::{
    Changed, ErrorKind, Filter, Precondition, Revision, RevisionKind, StoredRecord, Version, limits, ports::Read,
};

use super::{
    LedgerHarness,
    room::{Room, assert_exact, assert_same_bits, delete, late, stored, write},
    snapshot::{self, WITH_EMBEDDINGS},
};
use crate::{
    fixtures::{
        Rng, embedding, extreme_records, instant, model, odd_embedding, other_model, random_record, record, record_id,
        wide_model,
    },
    walk::Walk,
};

pub(super) async fn l01_a_committed_record_is_read_back_with_every_field_and_its_embedding_bit_for_bit(
    h: &dyn LedgerHarness,
) {
    let room = Room::new(h).await;
    let embeddings = [odd_embedding(&model()), odd_embedding(&other_model()), odd_embedding(&wide_model())];
    let records = extreme_records();
    for (n, record) in records.iter().enumerate() {
        let version = room.write_embedded(record.clone(), &embeddings[n % 3]).await;
        assert_eq!(version, Version(1), "{}", record.id);
    }
    let scanned = snapshot::records(room.ledger(), &room.ns, &Filter::all(), WITH_EMBEDDINGS, Walk::LARGEST).await;
    assert_eq!(scanned.len(), records.len());
    for (n, record) in records.iter().enumerate() {
        let expected = stored(record.clone(), 1, record.created_at);
        let fetched = room.got(record.id.as_str()).await;
        for found in [&fetched, &scanned[n]] {
            assert_exact(&found.record, &expected);
            assert_same_bits(found.embedding.as_ref(), &embeddings[n % 3]);
        }
        let bare = room.ledger().fetch(&room.ns, std::slice::from_ref(&record.id), Read::default()).await.unwrap();
        assert_eq!(bare, [Some(StoredRecord { record: expected, embedding: None })], "embeddings are read on demand");
    }
    let health = room.ledger().check().await.unwrap();
    assert!(health.faults.is_empty() && !health.backend.is_empty(), "{health:?}");
}

pub(super) async fn l01_random_records_are_read_back_equal(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let mut rng = Rng::new(101);
    let mut batch = room.batch();
    for n in 0..120 {
        let mut write = write(random_record(&mut rng, &format!("r{n}")));
        write.embedding = rng.chance(60).then(|| embedding(&mut rng, &wide_model()));
        batch.writes.push(write);
    }
    let writes = batch.writes.clone();
    room.commit(batch).await;
    for write in &writes {
        let found = room.got(write.record.id.as_str()).await;
        assert_exact(&found.record, &stored(write.record.clone(), 1, write.record.created_at));
        assert_eq!(found.embedding.is_some(), write.embedding.is_some(), "{}", write.record.id);
        if let Some(expected) = &write.embedding {
            assert_same_bits(found.embedding.as_ref(), expected);
        }
    }
}

pub(super) async fn l01_a_full_batch_is_read_back_whole(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let records: Vec<_> = (0..limits::BATCH).map(|n| record(&format!("r{n:04}"), &format!("text {n}"))).collect();
    let receipt = room.commit(room.writes(records.clone())).await;
    assert_eq!(receipt.writes.len(), limits::BATCH);
    for (written, record) in receipt.writes.iter().zip(&records) {
        assert_eq!((&written.id, written.version, written.created_at), (&record.id, Version(1), record.created_at));
    }
    let ids: Vec<_> = records.iter().map(|record| record.id.clone()).collect();
    let found = room.ledger().fetch(&room.ns, &ids, Read::default()).await.unwrap();
    assert_eq!(found.len(), limits::BATCH);
    for (found, record) in found.iter().zip(&records) {
        assert_eq!(found.as_ref().map(|stored| &stored.record.text), Some(&record.text));
    }
}

pub(super) async fn l02_a_replacing_write_bumps_the_version_and_keeps_the_earliest_creation(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    for (n, (given, kept)) in [(100, 100), (200, 100), (50, 50), (70, 50), (50, 50)].into_iter().enumerate() {
        let mut revision = record("r", &format!("revision {n}"));
        revision.created_at = instant(given);
        revision.version = Version(77);
        let receipt = room.commit(room.writes([revision.clone()])).await;
        let expected = stored(revision, n as u64 + 1, instant(kept));
        assert_eq!(receipt.writes[0].version, expected.version);
        assert_eq!(receipt.writes[0].created_at, expected.created_at, "revision {n}");
        assert_exact(&room.got("r").await.record, &expected);
    }
}

pub(super) async fn l02_a_write_after_a_delete_continues_the_version_and_is_created_anew(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let mut first = record("r", "first");
    first.created_at = instant(10);
    room.write(first.clone()).await;
    room.write(first).await;
    assert_eq!(room.delete("r").await, Some(Version(2)));
    let mut second = record("r", "second");
    second.created_at = instant(500);
    assert_eq!(room.write(second.clone()).await, Version(3));
    assert_exact(&room.got("r").await.record, &stored(second, 3, instant(500)));
}

pub(super) async fn l02_a_replacing_write_leaves_nothing_of_the_revision_before(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let mut rng = Rng::new(102);
    for n in 0..30 {
        let full = random_record(&mut rng, "r");
        room.write_embedded(full, &embedding(&mut rng, &model())).await;
        let mut bare = record("r", &format!("bare {n}"));
        bare.created_at = instant(0);
        let version = room.write(bare.clone()).await;
        let found = room.got("r").await;
        assert_exact(&found.record, &stored(bare, version.0, instant(0)));
        assert_eq!(found.embedding, None, "the embedding was of the revision before");
    }
}

pub(super) async fn l04_a_precondition_on_another_version_is_a_conflict_that_names_both(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let expecting = |id: &str, version: u64| {
        let mut batch = room.writes([record(id, "x")]);
        batch.writes[0].expect = Precondition::Version(Version(version));
        batch
    };
    let names_both = |error: &mnemic_core::Error, expected: u64, found: u64| {
        let message = error.to_string();
        let named = [expected, found].iter().all(|version| message.contains(&version.to_string()));
        assert!(named, "{message} names version {expected} and version {found}");
    };
    names_both(&room.refused(expecting("r", 41), ErrorKind::Conflict).await, 41, 0);
    room.commit(expecting("r", 0)).await;
    names_both(&room.refused(expecting("r", 0), ErrorKind::Conflict).await, 0, 1);
    room.commit(expecting("r", 1)).await;
    names_both(&room.refused(expecting("r", 58), ErrorKind::Conflict).await, 58, 2);
    let removing = |id: &str, version: u64| {
        let mut batch = room.batch();
        batch.deletes.push(delete(id));
        batch.deletes[0].expect = Precondition::Version(Version(version));
        batch
    };
    names_both(&room.refused(removing("r", 63), ErrorKind::Conflict).await, 63, 2);
    names_both(&room.refused(removing("absent", 63), ErrorKind::Conflict).await, 63, 0);
    assert_eq!(room.commit(removing("absent", 0)).await.deletes, [None]);
    assert_eq!(room.commit(removing("r", 2)).await.deletes, [Some(Version(2))]);
    names_both(&room.refused(expecting("r", 2), ErrorKind::Conflict).await, 2, 0);
    assert_eq!(room.commit(expecting("r", 0)).await.writes[0].version, Version(3), "a deleted record is not there");
}

pub(super) async fn l06_fetch_answers_position_by_position(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    room.commit(room.writes([record("a", "text a"), record("b", "text b"), record("gone", "x")])).await;
    room.delete("gone").await;
    let asked = ["b", "absent", "a", "b", "gone", "a", "A", "a ", ""]
        .iter()
        .filter_map(|id| mnemic_core::RecordId::new(id).ok())
        .collect::<Vec<_>>();
    let found = room.ledger().fetch(&room.ns, &asked, Read::default()).await.unwrap();
    let texts: Vec<Option<&str>> = found.iter().map(|s| s.as_ref().map(|s| s.record.text.as_str())).collect();
    let (a, b) = (Some("text a"), Some("text b"));
    assert_eq!(texts, [b, None, a, b, None, a, None, None]);
    assert_eq!(room.ledger().fetch(&room.ns, &[], Read::default()).await.unwrap(), []);
}

pub(super) async fn l08_deleting_removes_a_record_and_keeps_its_history(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    room.commit(room.writes([record("a", "x"), record("b", "y")])).await;
    assert_eq!(room.delete("a").await, Some(Version(1)));
    assert_eq!(room.get("a").await, None);
    let left = snapshot::records(room.ledger(), &room.ns, &Filter::all(), WITH_EMBEDDINGS, Walk::oldest(1)).await;
    assert_eq!(left.iter().map(|s| s.record.id.as_str()).collect::<Vec<_>>(), ["b"]);
    let history = room.ledger().history(&room.ns, &record_id("a")).await.unwrap();
    assert!(matches!(history[0].what, RevisionKind::Deleted(Version(1))), "{history:?}");
    assert!(matches!(&history[1].what, RevisionKind::Written(was) if was.text == "x"), "{history:?}");
    assert_eq!(history.len(), 2);
}

pub(super) async fn l08_deleting_an_absent_record_succeeds_and_says_so(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    room.write(record("a", "x")).await;
    room.delete("a").await;
    let before = room.snapshot().await;
    for id in ["never", "a"] {
        let mut batch = room.batch();
        batch.deletes.push(delete(id));
        let receipt = room.commit(batch).await;
        assert_eq!((receipt.deletes, receipt.changes), (vec![None], None), "{id}");
    }
    before.assert_same(&room.snapshot().await, "after deleting what is absent");
}

pub(super) async fn l09_history_lists_every_revision_newest_first(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let mut expected: Vec<Revision> = Vec::new();
    let mut rng = Rng::new(109);
    let (mut version, mut created) = (0, None);
    for n in 0..12 {
        let batch = if n % 4 == 3 {
            created = None;
            let mut batch = room.batch();
            batch.deletes.push(delete("r"));
            expected.push(Revision { at: batch.at, what: RevisionKind::Deleted(Version(version)) });
            batch
        } else {
            version += 1;
            let mut revision = random_record(&mut rng, "r");
            revision.created_at = instant(100 - n);
            created = created.min(Some(revision.created_at)).or(Some(revision.created_at));
            let batch = room.writes([revision.clone(), record(&format!("other-{n}"), "another record")]);
            let kept = stored(revision, version, created.unwrap());
            expected.push(Revision { at: batch.at, what: RevisionKind::Written(Box::new(kept)) });
            batch
        };
        room.commit(batch).await;
        let newest_first: Vec<Revision> = expected.iter().rev().cloned().collect();
        assert_eq!(room.ledger().history(&room.ns, &record_id("r")).await.unwrap(), newest_first, "after step {n}");
    }
    assert_eq!(room.ledger().history(&room.ns, &record_id("absent")).await.unwrap(), []);
}

pub(super) async fn l11_a_late_embedding_is_stored_only_for_the_current_revision(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let mut rng = Rng::new(111);
    let [first, second] = [(); 2].map(|()| embedding(&mut rng, &model()));
    room.commit(room.writes([record("r", "one"), record("gone", "x")])).await;
    room.write(record("r", "two")).await;
    room.delete("gone").await;
    let before = room.snapshot().await;
    let mut late_for = room.batch();
    late_for.embeddings =
        vec![late("r", 1, &first), late("r", 3, &first), late("gone", 1, &first), late("absent", 1, &first)];
    let receipt = room.commit(late_for).await;
    assert_eq!((receipt.embeddings, receipt.changes), (vec![false; 4], None));
    before.assert_same(&room.snapshot().await, "after embeddings that came too late");

    let mut in_time = room.batch();
    in_time.embeddings.push(late("r", 2, &first));
    let receipt = room.commit(in_time).await;
    assert_eq!(receipt.embeddings, [true]);
    let found = room.got("r").await;
    assert_same_bits(found.embedding.as_ref(), &first);
    assert_eq!(found.record, before.records[0].record, "an embedding is no new revision");
    let told = room.snapshot().await.changes.pop().map(|change| change.what);
    assert_eq!(told, Some(Changed::Embedded(record_id("r"), Version(2))));

    let mut again = room.batch();
    again.embeddings.push(late("r", 2, &second));
    assert_eq!(room.commit(again).await.embeddings, [true]);
    assert_same_bits(room.got("r").await.embedding.as_ref(), &second);
}
