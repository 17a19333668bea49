//! Files that do not hold up: torn at every byte, flipped at every byte. Nothing is lost in silence, nothing is invented, nothing loops,
//! and the spool always opens. Not here: how they came to be so (`power`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::{collections::BTreeSet, fs, path::Path};

use common::*;
use mnemic_spool::{Spool, SpoolConfig, SpoolId};

const PAYLOADS: [&str; 4] = ["first", "", "the third, which is a little longer", "last"];

/// A directory with four entries of an ended process, and the file that holds them.
async fn written() -> (tempfile::TempDir, Vec<SpoolId>, std::path::PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path()).await;
    let ids = append_all(&spool, "lane", &PAYLOADS).await;
    spool.close().await.unwrap();
    let file = the_file(place.path(), "e-");
    (place, ids, file)
}

/// Restores a directory to what it was.
fn restore(directory: &Path, as_it_was: &[(std::path::PathBuf, Vec<u8>)]) {
    let _absent = fs::remove_dir_all(directory.join("damaged"));
    for (path, content) in as_it_was {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Where each entry ends in its file.
fn ends() -> Vec<usize> {
    let mut end = 0;
    let lengths = PAYLOADS.iter().map(|payload| 32 + "lane".len() + payload.len() + 4);
    lengths
        .map(|length| {
            end += length;
            end
        })
        .collect()
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_is_cut_and_every_whole_entry_stays() {
    let (place, _, file) = written().await;
    let as_it_was = files(place.path());
    let whole = fs::read(&file).unwrap();
    assert_eq!(whole.len(), *ends().last().unwrap());
    for length in 0..=whole.len() {
        restore(place.path(), &as_it_was);
        fs::write(&file, &whole[..length]).unwrap();
        let spool = open(place.path()).await;
        let there = ends().iter().filter(|end| **end <= length).count();
        assert_eq!(waiting(&spool).await, PAYLOADS[..there], "{length} bytes");
        let report = spool.report().await.unwrap();
        assert_eq!((report.items, report.damaged, report.faults.len()), (there as u64, 0, 0), "{length} bytes");
        append_all(&spool, "lane", &["more"]).await;
        assert_eq!(waiting(&spool).await.len(), there + 1);
        drain(&spool).await;
        spool.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_tail_of_zeros_is_torn_too() {
    let (place, _, file) = written().await;
    let whole = fs::read(&file).unwrap();
    for zeros in [1, 31, 32, 200_000] {
        fs::write(&file, [whole.clone(), vec![0; zeros]].concat()).unwrap();
        let spool = open(place.path()).await;
        assert_eq!(waiting(&spool).await, PAYLOADS);
        assert_eq!(spool.report().await.unwrap().damaged, 0);
        spool.close().await.unwrap();
        assert_eq!(fs::read(&file).unwrap(), whole, "it is cut");
    }
}

/// Settles all that waits, in steps that must come to an end.
async fn drain(spool: &Spool) {
    for _ in 0..100 {
        let entries = spool.peek(2).await.unwrap();
        if entries.is_empty() {
            assert_eq!(spool.report().await.unwrap().items, 0);
            return;
        }
        spool.settle_all(&entries.iter().map(|entry| entry.id).collect::<Vec<_>>()).await.unwrap();
    }
    panic!("the queue does not end");
}

/// What holds after any one byte of the entries has changed: the other entries are there, the changed one is not, and is told of.
async fn check_flip(spool: &Spool, place: &Path, byte: usize) {
    let hit = ends().iter().position(|end| byte < *end).unwrap();
    let expected: Vec<&str> = (0..PAYLOADS.len()).filter(|n| *n != hit).map(|n| PAYLOADS[n]).collect();
    for _ in 0..2 {
        assert_eq!(waiting(spool).await, expected, "byte {byte}");
    }
    let report = spool.report().await.unwrap();
    assert_eq!((report.items, report.damaged, report.faults.len()), (3, 1, 0), "byte {byte}");
    let kept = fs::read(the_file(&place.join("damaged"), "")).unwrap();
    assert!(kept.len() >= 32, "byte {byte}");
    drain(spool).await;
}

#[tokio::test]
async fn a_flip_of_any_byte_costs_its_entry_alone_is_reported_and_kept_for_a_human() {
    let (place, _, file) = written().await;
    let as_it_was = files(place.path());
    let whole = fs::read(&file).unwrap();
    for byte in 0..whole.len() {
        restore(place.path(), &as_it_was);
        let mut flipped = whole.clone();
        flipped[byte] ^= [0x01, 0x80, 0xff][byte % 3];
        fs::write(&file, &flipped).unwrap();
        let spool = open(place.path()).await;
        check_flip(&spool, place.path(), byte).await;
        spool.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_flip_under_an_open_spool_is_met_when_it_is_read_and_does_not_stop_the_queue() {
    let as_open = |place: &tempfile::TempDir| SpoolConfig::new(place.path());
    let length = *ends().last().unwrap();
    for byte in 0..length {
        let place = tempfile::tempdir().unwrap();
        let spool = Spool::open(as_open(&place)).await.unwrap();
        append_all(&spool, "lane", &PAYLOADS).await;
        let file = the_file(place.path(), "e-");
        let mut content = fs::read(&file).unwrap();
        content[byte] ^= 0x10;
        fs::write(&file, &content).unwrap();
        check_flip(&spool, place.path(), byte).await;
        assert!(!files(place.path()).iter().any(|(path, _)| *path == file), "a segment that is done goes");
        spool.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_flip_of_any_byte_of_the_marks_brings_entries_again_and_loses_none() {
    let (place, ids, _) = written().await;
    let spool = open(place.path()).await;
    spool.settle(ids[0]).await.unwrap();
    spool.settle(ids[2]).await.unwrap();
    spool.close().await.unwrap();
    let as_it_was = files(place.path());
    let marks = the_file(place.path(), "settled");
    let whole = fs::read(&marks).unwrap();
    for byte in 0..60 {
        restore(place.path(), &as_it_was);
        let mut flipped = whole.clone();
        flipped[byte] ^= 0x04;
        fs::write(&marks, &flipped).unwrap();
        let spool = open(place.path()).await;
        let found: BTreeSet<String> = waiting(&spool).await.into_iter().collect();
        assert!(found.contains("") && found.contains("last"), "byte {byte}: {found:?}");
        assert!(found.iter().all(|text| PAYLOADS.contains(&text.as_str())), "byte {byte}: {found:?}");
        assert_eq!(found.len(), if byte < 40 { 3 } else { 2 }, "byte {byte}");
        drain(&spool).await;
        spool.close().await.unwrap();
    }
}

#[tokio::test]
async fn content_that_looks_like_entries_is_never_taken_for_one() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path()).await;
    append_all(&spool, "lane", &["seed"]).await;
    // A whole file of entries, of another spool, as the content of an entry whose own head is then damaged.
    let (_other, _, other_file) = written().await;
    let forged = [fs::read(&other_file).unwrap(), b"Mnsp".repeat(50_000)].concat();
    spool.append(at(1), "lane", &forged).await.unwrap();
    append_all(&spool, "lane", &["behind"]).await;
    spool.close().await.unwrap();
    let file = the_file(place.path(), "e-");
    let mut content = fs::read(&file).unwrap();
    let head = 32 + "lane".len() + "seed".len() + 4;
    content[head + 5] ^= 1;
    fs::write(&file, &content).unwrap();
    let spool = open(place.path()).await;
    assert_eq!(waiting(&spool).await, ["seed", "behind"]);
    let report = spool.report().await.unwrap();
    assert_eq!((report.items, report.damaged), (2, 1));
    assert!(is_readable(&place.path().join("damaged"), "the third"));
    spool.discard_damaged().await.unwrap();
    assert_eq!((waiting(&spool).await.len(), spool.report().await.unwrap().damaged), (2, 0));
    drain(&spool).await;
    assert!(!is_readable(place.path(), "the third"));
}

#[tokio::test]
async fn strange_files_and_missing_segments_do_not_stop_it() {
    let place = tempfile::tempdir().unwrap();
    let small = SpoolConfig { segment_bytes: 1, ..SpoolConfig::new(place.path()) };
    let spool = Spool::open(small).await.unwrap();
    append_all(&spool, "lane", &["a", "b", "c"]).await;
    spool.close().await.unwrap();
    let middle = the_file(place.path(), "e-0000000000000002");
    let directory = middle.parent().unwrap().to_path_buf();
    fs::remove_file(&middle).unwrap();
    for (path, content) in [
        (place.path().join("s-zz"), "a file"),
        (place.path().join("README"), "a file"),
        (directory.join("e-x"), "no segment"),
        (directory.join("e-ffffffffffffffff"), "random bytes that are longer than any head of an entry"),
        (directory.join("settled.new"), "left over"),
    ] {
        fs::write(path, content).unwrap();
    }
    fs::create_dir(place.path().join("n-0000000000000000")).unwrap();
    fs::create_dir(place.path().join("s-0000000000000000")).unwrap();
    let spool = open(place.path()).await;
    assert_eq!(waiting(&spool).await, ["a", "c"]);
    assert_eq!(spool.report().await.unwrap().damaged, 1);
    drain(&spool).await;
}
