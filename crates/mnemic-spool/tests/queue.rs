//! The queue as its users see it: order, settling, lanes, quarantine, bounds, several processes, and what stays readable.
//! Not here: crashes and damage.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::{collections::BTreeSet, time::Duration};

use common::*;
use mnemic_core::{ErrorKind, Retry};
use mnemic_spool::{Spool, SpoolConfig, SpoolId, SpoolReport};

#[tokio::test]
async fn entries_come_in_order_until_they_are_settled_also_after_reopening() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path()).await;
    let ids = append_all(&spool, "lane", &["a", "b", "c"]).await;
    for _ in 0..2 {
        assert_eq!(waiting(&spool).await, ["a", "b", "c"]);
    }
    assert_eq!(spool.peek(2).await.unwrap().len(), 2);
    spool.settle(ids[1]).await.unwrap();
    spool.settle(ids[1]).await.unwrap();
    assert_eq!(waiting(&spool).await, ["a", "c"]);
    spool.close().await.unwrap();

    let spool = open(place.path()).await;
    let entries = spool.peek(10).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [ids[0], ids[2]]);
    assert_eq!((entries[0].at, entries[0].lane.as_str()), (at(0), "lane"));
    let later = append_all(&spool, "lane", &["d"]).await;
    assert_eq!(waiting(&spool).await, ["a", "d", "c"], "streams are merged by their times");
    spool.settle_all(&[ids[0], ids[2], later[0]]).await.unwrap();
    assert_eq!(spool.report().await.unwrap(), SpoolReport::default());
    spool.settle(ids[0]).await.unwrap();
    spool.close().await.unwrap();
    assert_eq!(files(place.path()), [], "an empty spool leaves no files");
}

#[tokio::test]
async fn payloads_are_any_bytes_and_an_id_reads_back_from_its_text() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path()).await;
    let all: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    for payload in [&all[..], b"", b"Mnsp"] {
        let id = spool.append(at(0), "полоса", payload).await.unwrap();
        let entry = spool.peek(1).await.unwrap().pop().unwrap();
        assert_eq!((entry.payload.as_slice(), entry.lane.as_str(), entry.id), (payload, "полоса", id));
        assert_eq!(id.to_string().parse::<SpoolId>().unwrap(), id);
        assert!(!format!("{entry:?}").contains("полоса"));
        spool.settle(id).await.unwrap();
    }
    for lane in ["", "a\0b", &"x".repeat(256)] {
        assert_eq!(spool.append(at(0), lane, b"").await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert!("x-y".parse::<SpoolId>().is_err());
}

#[tokio::test]
async fn appends_at_once_are_all_kept_each_under_its_own_id() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path()).await;
    let tasks: Vec<_> = (0..2_000)
        .map(|n| {
            let spool = spool.clone();
            tokio::spawn(async move { (spool.append(at(0), "lane", format!("{n}").as_bytes()).await.unwrap(), n) })
        })
        .collect();
    let mut expected = Vec::new();
    for task in tasks {
        expected.push(task.await.unwrap());
    }
    expected.sort();
    let found = spool.peek(10_000).await.unwrap();
    assert_eq!(
        found.iter().map(|entry| (entry.id, text(entry).parse().unwrap())).collect::<Vec<(SpoolId, i32)>>(),
        expected
    );
}

#[tokio::test]
async fn a_stuck_lane_can_be_passed_and_keeps_its_place() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path()).await;
    append_all(&spool, "stuck", &["a", "b"]).await;
    let free = append_all(&spool, "free", &["c", "d"]).await;
    let past = spool.peek_past(1, &BTreeSet::from(["stuck".to_owned()])).await.unwrap();
    assert_eq!(past.iter().map(|entry| entry.id).collect::<Vec<_>>(), [free[0]]);
    spool.settle_all(&free).await.unwrap();
    assert_eq!(waiting(&spool).await, ["a", "b"]);
}

#[tokio::test]
async fn a_poison_entry_goes_to_quarantine_with_its_reason_and_later_ones_go_on() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path()).await;
    let ids = append_all(&spool, "lane", &["poison", "fine"]).await;
    for _ in 0..2 {
        spool.quarantine(ids[0], "the ledger refuses it").await.unwrap();
    }
    assert_eq!(waiting(&spool).await, ["fine"]);
    spool.close().await.unwrap();
    let spool = open(place.path()).await;
    let report = spool.report().await.unwrap();
    assert_eq!((report.items, report.quarantined), (1, 1));
    let found = spool.quarantined(None, 10).await.unwrap();
    assert_eq!((found[0].id, found[0].reason.as_str()), (ids[0], "the ledger refuses it"));
    let entry = found[0].entry.clone().unwrap();
    assert_eq!((text(&entry), entry.at, entry.lane.as_str()), ("poison".to_owned(), at(0), "lane"));
    assert!(spool.quarantined(Some(ids[0]), 10).await.unwrap().is_empty());
    for _ in 0..2 {
        spool.discard(ids[0]).await.unwrap();
    }
    assert!(!is_readable(&place.path().join("quarantine"), "poison"));
    assert_eq!(spool.report().await.unwrap().quarantined, 0);
}

#[tokio::test]
async fn each_bound_refuses_the_first_entry_beyond_it_names_itself_and_yields_when_there_is_room() {
    let bytes = 32 + 4 + 10 + 4;
    let base = |place: &tempfile::TempDir| SpoolConfig::new(place.path());
    for (bound, max_items, max_bytes) in [("max_items", 3, 1 << 20), ("max_bytes", 100, 3 * bytes)] {
        let place = tempfile::tempdir().unwrap();
        let spool = Spool::open(SpoolConfig { max_items, max_bytes, ..base(&place) }).await.unwrap();
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(spool.append(at(0), "lane", b"0123456789").await.unwrap());
        }
        let error = spool.append(at(0), "lane", b"0123456789").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert!(matches!(error.retry(), Retry::After(_)) && error.to_string().contains(bound), "{error}");
        assert_eq!(spool.report().await.unwrap().items, 3);
        spool.settle_all(&ids).await.unwrap();
        spool.append(at(0), "lane", b"0123456789").await.unwrap();
    }
    let place = tempfile::tempdir().unwrap();
    let spool = Spool::open(SpoolConfig { max_age: Duration::from_mins(1), ..base(&place) }).await.unwrap();
    let first = spool.append(at(0), "lane", b"").await.unwrap();
    spool.append(at(60), "lane", b"").await.unwrap();
    let error = spool.append(at(61), "lane", b"").await.unwrap_err();
    assert!(error.kind() == ErrorKind::RateLimited && error.to_string().contains("max_age"), "{error}");
    assert_eq!(spool.report().await.unwrap().oldest, Some(at(0)));
    spool.settle(first).await.unwrap();
    spool.append(at(61), "lane", b"").await.unwrap();
    spool.append(at(-1_000_000), "lane", b"").await.unwrap();
}

#[tokio::test]
async fn appends_at_once_do_not_pass_a_bound_together() {
    let place = tempfile::tempdir().unwrap();
    let spool = Spool::open(SpoolConfig { max_items: 10, ..SpoolConfig::new(place.path()) }).await.unwrap();
    let appends = (0..50).map(|_| {
        let spool = spool.clone();
        tokio::spawn(async move { spool.append(at(0), "lane", b"x").await.is_ok() })
    });
    let mut taken = 0;
    for append in appends.collect::<Vec<_>>() {
        taken += u32::from(append.await.unwrap());
    }
    assert_eq!(taken, 10);
}

#[tokio::test]
async fn each_handle_has_its_own_stream_and_what_a_closed_one_left_is_taken_over() {
    let place = tempfile::tempdir().unwrap();
    let (one, two) = (open(place.path()).await, open(place.path()).await);
    append_all(&one, "lane", &["a", "b"]).await;
    append_all(&two, "lane", &["c"]).await;
    assert_eq!(
        (waiting(&one).await, waiting(&two).await),
        (vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()])
    );
    assert_eq!(two.report().await.unwrap().others, 1);
    assert_eq!(one.report().await.unwrap().bytes, two.report().await.unwrap().bytes, "the disk is one");
    one.close().await.unwrap();
    let mut found = waiting(&two).await;
    found.sort();
    assert_eq!(found, ["a", "b", "c"]);
    let ids: Vec<_> = two.peek(10).await.unwrap().iter().map(|entry| entry.id).collect();
    two.settle_all(&ids).await.unwrap();
    assert_eq!(two.report().await.unwrap(), SpoolReport::default());
}

#[tokio::test]
async fn nothing_settled_stays_readable_once_its_segment_is_done_or_scrubbed() {
    let place = tempfile::tempdir().unwrap();
    let spool = Spool::open(SpoolConfig { segment_bytes: 100, ..SpoolConfig::new(place.path()) }).await.unwrap();
    let ids = append_all(&spool, "lane", &["canary-a", "canary-b", "canary-c", "canary-d"]).await;
    spool.settle(ids[0]).await.unwrap();
    spool.settle(ids[3]).await.unwrap();
    assert!(is_readable(place.path(), "canary-a"), "it shares a segment with one that waits");
    spool.scrub().await.unwrap();
    for (canary, readable) in [("canary-a", false), ("canary-b", true), ("canary-c", true), ("canary-d", false)] {
        assert_eq!(is_readable(place.path(), canary), readable, "{canary}");
    }
    spool.close().await.unwrap();
    let spool = open(place.path()).await;
    assert_eq!(waiting(&spool).await, ["canary-b", "canary-c"]);
    assert_eq!(spool.report().await.unwrap().damaged, 0, "what was scrubbed is not damage");
    spool.settle(ids[1]).await.unwrap();
    spool.settle(ids[2]).await.unwrap();
    assert!(!is_readable(place.path(), "canary"));
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_a_clear_error() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = Spool::open(SpoolConfig::new(file.join("below"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!error.to_string().contains("below"), "{error}");
}
