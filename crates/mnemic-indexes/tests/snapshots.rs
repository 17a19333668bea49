//! Snapshot files of the local index: what they bring back, and what becomes of files that do not hold up. Not here: searching.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use mnemic_core::{
    ChangeSeq, Embedding, ErrorKind, Filter, Namespace,
    ports::{Index, IndexChange},
};
use mnemic_indexes::{LocalIndex, LocalIndexConfig};
use support::{Random, embedded, exact, gone, model, namespace, record, written};
use tempfile::TempDir;

fn open(directory: &Path) -> LocalIndex {
    LocalIndex::new(LocalIndexConfig { directory: Some(directory.into()), ..LocalIndexConfig::default() }).unwrap()
}

fn file(directory: &Path, namespace: &str) -> PathBuf {
    directory.join("namespaces").join(namespace).join("index.local")
}

fn changes(seed: u64, count: u64) -> Vec<IndexChange> {
    let mut random = Random(seed);
    (1..=count)
        .map(|seq| {
            let id = format!("r{}", random.below(count as usize));
            match random.below(5) {
                0 => gone(seq, &id),
                1 => written(seq, random.record(&id, seq)),
                _ => embedded(seq, random.record(&id, seq), random.vector()),
            }
        })
        .collect()
}

/// A directory with the snapshot of a small memory, and the answers that it must give.
async fn saved() -> (TempDir, Vec<Vec<(String, u64, u32)>>) {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    index.apply(&namespace(), &changes(1, 60), ChangeSeq(60)).await.unwrap();
    index.persist(&namespace()).await.unwrap();
    let answers = answers(&index, &namespace()).await;
    (directory, answers)
}

async fn answers(index: &LocalIndex, namespace: &Namespace) -> Vec<Vec<(String, u64, u32)>> {
    let mut random = Random(77);
    let mut answers = Vec::new();
    let users = Filter::equals(mnemic_core::Field::UserId, "anna");
    for filter in [Filter::all(), users] {
        for query in ["documents hearing", "документы", "京都", "I-485 fee"] {
            answers.push(exact(&index.search_text(namespace, query, &filter, 50).await.unwrap()));
            let vector = Embedding::new(&model(), random.vector()).unwrap();
            answers.push(exact(&index.search_dense(namespace, &vector, &filter, 50).await.unwrap()));
        }
    }
    answers
}

#[tokio::test]
async fn a_snapshot_brings_back_equal_answers_and_goes_on_from_its_position() {
    let (directory, expected) = saved().await;
    let index = open(directory.path());
    assert_eq!(index.position(&namespace()).await.unwrap(), ChangeSeq(60));
    assert_eq!(answers(&index, &namespace()).await, expected);
    assert_eq!(index.check(&namespace()).await.unwrap().faults, Vec::<String>::new());
    // What comes after is applied as if the index had never been closed.
    let more: Vec<IndexChange> = changes(2, 90).split_off(60);
    index.apply(&namespace(), &more, ChangeSeq(90)).await.unwrap();
    let fresh = open(tempfile::tempdir().unwrap().path());
    fresh.apply(&namespace(), &changes(1, 60), ChangeSeq(60)).await.unwrap();
    fresh.apply(&namespace(), &more, ChangeSeq(90)).await.unwrap();
    assert_eq!(answers(&index, &namespace()).await, answers(&fresh, &namespace()).await);
}

#[tokio::test]
async fn a_prepared_model_is_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    index.prepare(&namespace(), Some(&model())).await.unwrap();
    index.persist(&namespace()).await.unwrap();
    let other = mnemic_core::EmbeddingModel::new("test", "another", 12, mnemic_core::Metric::Cosine).unwrap();
    let vector = Embedding::new(&other, vec![1.0; 12]).unwrap();
    let error = open(directory.path()).search_dense(&namespace(), &vector, &Filter::all(), 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelMismatch);
}

/// Whatever the file holds now, the index starts, is empty at position 0, says nothing wrong, and can be fed anew.
async fn assert_discarded(directory: &Path, bytes: &[u8], what: &str) {
    let file = file(directory, "case");
    fs::write(&file, bytes).unwrap();
    let index = open(directory);
    assert_eq!(index.position(&namespace()).await.unwrap(), ChangeSeq(0), "{what}");
    assert!(index.search_text(&namespace(), "documents", &Filter::all(), 10).await.unwrap().is_empty(), "{what}");
    assert!(!file.exists(), "{what}: the damaged file stays");
}

#[tokio::test]
async fn a_truncated_or_lengthened_snapshot_is_discarded() {
    let (directory, expected) = saved().await;
    let whole = fs::read(file(directory.path(), "case")).unwrap();
    let step = (whole.len() / 500).max(1);
    for end in (0..64.min(whole.len())).chain((64..whole.len()).step_by(step)) {
        assert_discarded(directory.path(), &whole[..end], &format!("cut at {end}")).await;
    }
    assert_discarded(directory.path(), &[whole.as_slice(), &[0]].concat(), "one byte more").await;
    // Fed anew, it answers as before.
    let index = open(directory.path());
    index.apply(&namespace(), &changes(1, 60), ChangeSeq(60)).await.unwrap();
    assert_eq!(answers(&index, &namespace()).await, expected);
}

#[tokio::test]
async fn a_snapshot_with_any_bit_flipped_is_discarded() {
    let (directory, _) = saved().await;
    let whole = fs::read(file(directory.path(), "case")).unwrap();
    let step = (whole.len() / 700).max(1);
    for at in (0..40).chain((40..whole.len()).step_by(step)) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        assert_discarded(directory.path(), &flipped, &format!("bit flipped in byte {at}")).await;
    }
    let zeros = vec![0; whole.len()];
    assert_discarded(directory.path(), &zeros, "zeros").await;
    let mut swapped = whole.clone();
    swapped[24..].reverse();
    assert_discarded(directory.path(), &swapped, "reversed").await;
}

/// The same bytes with a checksum that holds.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = (bytes.len() - 24) as u64;
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    let crc = crc32fast::hash(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[tokio::test]
async fn a_forged_snapshot_with_a_correct_checksum_never_panics_or_allocates_without_bound() {
    let (directory, _) = saved().await;
    let whole = fs::read(file(directory.path(), "case")).unwrap();
    let start = Instant::now();
    for at in (24..whole.len()).step_by(3) {
        for forged in [0xFF, whole[at].wrapping_add(1)] {
            let mut bytes = whole.clone();
            bytes[at] = forged;
            // Four bytes of 255 wherever a count may lie.
            if forged == 0xFF {
                let end = (at + 4).min(bytes.len());
                bytes[at..end].fill(0xFF);
            }
            fs::write(file(directory.path(), "case"), resealed(bytes)).unwrap();
            let index = open(directory.path());
            index.position(&namespace()).await.unwrap();
            let _hits = index.search_text(&namespace(), "documents документы 京都", &Filter::all(), 50).await.unwrap();
            let _kept = index.check(&namespace()).await.unwrap();
        }
    }
    assert!(start.elapsed().as_secs() < 120);
    for end in (24..whole.len()).step_by(97) {
        assert_discarded(directory.path(), &resealed(whole[..end].to_vec()), &format!("sealed at {end}")).await;
    }
}

#[tokio::test]
async fn another_namespaces_snapshot_is_discarded() {
    let (directory, _) = saved().await;
    let other = Namespace::new("other").unwrap();
    fs::create_dir_all(directory.path().join("namespaces/other")).unwrap();
    fs::copy(file(directory.path(), "case"), file(directory.path(), "other")).unwrap();
    let index = open(directory.path());
    assert_eq!(index.position(&other).await.unwrap(), ChangeSeq(0));
    assert_eq!(index.check(&other).await.unwrap().records, 0);
    assert!(!file(directory.path(), "other").exists());
    assert_eq!(index.position(&namespace()).await.unwrap(), ChangeSeq(60));
}

#[tokio::test]
async fn a_snapshot_of_a_newer_format_is_discarded() {
    let (directory, _) = saved().await;
    let mut whole = fs::read(file(directory.path(), "case")).unwrap();
    whole[8] += 1;
    assert_discarded(directory.path(), &resealed(whole), "newer format").await;
}

#[tokio::test]
async fn leftovers_of_a_crash_are_removed_and_never_stop_a_start() {
    let (directory, expected) = saved().await;
    let folder = directory.path().join("namespaces/case");
    for name in ["index.local.1-0.tmp", "index.local.99-7.tmp"] {
        fs::write(folder.join(name), b"half a snapshot").unwrap();
    }
    let busy = fs::File::create(folder.join("index.local.7-7.tmp")).unwrap();
    busy.lock().unwrap();
    fs::write(folder.join("stranger.txt"), b"kept").unwrap();
    let index = open(directory.path());
    assert_eq!(answers(&index, &namespace()).await, expected);
    let mut names: Vec<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["index.local", "index.local.7-7.tmp", "stranger.txt"], "a file that is being written stays");
}

#[tokio::test]
async fn nothing_of_an_erased_record_is_in_the_next_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    let secret = [written(1, record("r", "Xylophonist quokka")), written(2, record("s", "plain"))];
    index.apply(&namespace(), &secret, ChangeSeq(2)).await.unwrap();
    index.persist(&namespace()).await.unwrap();
    let holds = |needle: &str| {
        let bytes = fs::read(file(directory.path(), "case")).unwrap();
        bytes.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
    };
    assert!(holds("quokka") && holds("xylophonist"));
    index.apply(&namespace(), &[gone(3, "r")], ChangeSeq(3)).await.unwrap();
    index.persist(&namespace()).await.unwrap();
    assert!(!holds("quokka") && !holds("xylophon") && holds("plain"));
}

#[tokio::test]
async fn a_dropped_namespace_leaves_no_file_and_stays_empty_after_reopening() {
    let (directory, _) = saved().await;
    let index = open(directory.path());
    index.drop_namespace(&namespace()).await.unwrap();
    assert!(!file(directory.path(), "case").exists());
    index.persist(&namespace()).await.unwrap();
    assert!(!file(directory.path(), "case").exists());
    assert_eq!(open(directory.path()).position(&namespace()).await.unwrap(), ChangeSeq(0));
    index.apply(&namespace(), &changes(1, 60), ChangeSeq(60)).await.unwrap();
    index.persist(&namespace()).await.unwrap();
    assert_eq!(open(directory.path()).position(&namespace()).await.unwrap(), ChangeSeq(60));
}

#[tokio::test]
async fn of_two_processes_the_last_to_write_wins_and_the_position_tells() {
    let (directory, _) = saved().await;
    let (one, two) = (open(directory.path()), open(directory.path()));
    one.apply(&namespace(), &[written(61, record("a", "alpha"))], ChangeSeq(61)).await.unwrap();
    two.apply(&namespace(), &[written(61, record("a", "alpha")), written(62, record("b", "beta"))], ChangeSeq(62))
        .await
        .unwrap();
    two.persist(&namespace()).await.unwrap();
    one.persist(&namespace()).await.unwrap();
    let third = open(directory.path());
    assert_eq!(third.position(&namespace()).await.unwrap(), ChangeSeq(61));
    assert!(third.search_text(&namespace(), "beta", &Filter::all(), 5).await.unwrap().is_empty());
    assert_eq!(third.search_text(&namespace(), "alpha", &Filter::all(), 5).await.unwrap().len(), 1);
}

#[tokio::test]
async fn namespaces_beyond_the_budget_are_saved_and_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let config =
        LocalIndexConfig { directory: Some(directory.path().into()), max_open_namespaces: 3, ..Default::default() };
    let index = LocalIndex::new(config).unwrap();
    let names: Vec<Namespace> = (0..10).map(|n| Namespace::new(format!("n{n}")).unwrap()).collect();
    for (n, name) in names.iter().enumerate() {
        index.apply(name, &[written(1, record("r", &format!("text {n}")))], ChangeSeq(1)).await.unwrap();
    }
    // Nothing is saved behind the back of who knows whether something was erased meanwhile, and nothing is let go that is not saved.
    assert!(names.iter().all(|name| !file(directory.path(), name.as_str()).exists()));
    let mut saved = Vec::new();
    while let Some(name) = index.crowding() {
        index.persist(&name).await.unwrap();
        saved.push(name);
        index.position(&Namespace::new(format!("other-{}", saved.len())).unwrap()).await.unwrap();
    }
    assert_eq!(saved, names[..saved.len()], "those that were not used for longest go first");
    assert!(saved.len() >= 7, "{saved:?}");
    for (n, name) in names.iter().enumerate() {
        assert_eq!(index.position(name).await.unwrap(), ChangeSeq(1));
        assert_eq!(index.search_text(name, &n.to_string(), &Filter::all(), 5).await.unwrap().len(), 1);
    }
    index.persist_all().await.unwrap();
    assert!(names.iter().all(|name| file(directory.path(), name.as_str()).exists()));
}

#[tokio::test]
async fn without_a_directory_nothing_that_holds_anything_is_let_go() {
    let index = LocalIndex::new(LocalIndexConfig { max_open_namespaces: 2, ..Default::default() }).unwrap();
    let names: Vec<Namespace> = (0..6).map(|n| Namespace::new(format!("n{n}")).unwrap()).collect();
    for name in &names {
        index.apply(name, &[written(1, record("r", "text"))], ChangeSeq(1)).await.unwrap();
    }
    for name in &names {
        assert_eq!(index.position(name).await.unwrap(), ChangeSeq(1));
    }
}

#[tokio::test]
async fn what_a_killed_process_left_goes_with_the_snapshot() {
    let (directory, _) = saved().await;
    let index = open(directory.path());
    index.position(&namespace()).await.unwrap();
    let left = file(directory.path(), "case").with_file_name("index.local.4242-0.tmp");
    fs::copy(file(directory.path(), "case"), &left).unwrap();
    index.drop_namespace(&namespace()).await.unwrap();
    assert!(!left.exists());
}

#[tokio::test]
async fn a_snapshot_that_is_discarded_is_written_anew_though_nothing_changed() {
    let (directory, _) = saved().await;
    let index = open(directory.path());
    index.discard(&namespace()).await.unwrap();
    assert!(!file(directory.path(), "case").exists());
    index.persist(&namespace()).await.unwrap();
    assert!(file(directory.path(), "case").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_a_snapshot() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, _) = saved().await;
    let mode = fs::metadata(file(directory.path(), "case")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_directory_that_is_a_file_is_named_without_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let blocked = directory.path().join("secret-place");
    fs::write(&blocked, b"").unwrap();
    let index = open(&blocked);
    index.apply(&namespace(), &[written(1, record("r", "text"))], ChangeSeq(1)).await.unwrap();
    let error = index.persist(&namespace()).await.unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!(index.search_text(&namespace(), "text", &Filter::all(), 5).await.unwrap().len(), 1);
}
