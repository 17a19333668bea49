//! Damaged, foreign and newer files: told and never overwritten, or, where they can be made anew, made anew.
//! Not here: every way in which a ledger's file can be damaged (the ledger's own tests).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::{fs, path::PathBuf};

use support::{Home, files};

const MARK: &[u8] = b"aubergine";

fn filled() -> Home {
    let home = Home::new();
    for i in 0..6 {
        home.ok(&["add", "-q", "--id", &format!("r{i}"), &format!("statement {i} about the garden")]);
    }
    home.ok(&["log", "add", "t", "message", "an aubergine was planted"]);
    home
}

fn ledger(home: &Home) -> PathBuf {
    home.namespace("default").join("ledger.sqlite")
}

/// The program must refuse, name the file or directory, and leave every byte as it is.
#[track_caller]
fn refused_untouched(home: &Home, codes: &[i32], part: &str) {
    let before = files(&home.memory());
    for args in [&["list"][..], &["add", "x"], &["audit", "verify"]] {
        let run = home.run(args);
        assert!(codes.contains(&run.code), "{args:?}: {run:?}");
        assert!(run.err.contains(part), "{args:?}: {run:?}");
        assert!(!run.err.contains("panicked"), "{run:?}");
    }
    let after = files(&home.memory());
    for (path, bytes) in before {
        let kept = after.iter().find(|(other, _)| *other == path).map(|(_, bytes)| bytes);
        assert!(kept == Some(&bytes), "{} was changed", path.display());
    }
}

#[test]
fn a_damaged_ledger_is_refused_with_a_way_out_and_not_overwritten() {
    for bytes in [&b""[..], &[0xa5; 8192], b"GIF89a and then some"] {
        let home = filled();
        fs::write(ledger(&home), bytes).unwrap();
        refused_untouched(&home, &[4, 7], "ledger.sqlite");
        let doctor = home.run(&["doctor"]);
        assert_eq!(doctor.code, 7, "{doctor:?}");
        assert!(doctor.out.contains('✗') && doctor.out.contains("mnemic restore"), "{doctor:?}");
    }
}

#[test]
fn a_truncated_ledger_is_found_out_by_doctor() {
    let home = filled();
    let whole = fs::read(ledger(&home)).unwrap();
    assert!(whole.len() > 4 * 4096);
    for pages in 1..whole.len() / 4096 {
        fs::write(ledger(&home), &whole[..pages * 4096]).unwrap();
        let run = home.run(&["doctor"]);
        assert_eq!(run.code, 7, "cut to {pages} pages: {run:?}");
        assert!(!run.err.contains("panicked"), "cut to {pages} pages: {run:?}");
    }
    fs::write(ledger(&home), &whole).unwrap();
    home.ok(&["doctor"]);
}

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let home = filled();
    let marker = home.memory().join("mnemic.format");
    let newer = fs::read_to_string(&marker).unwrap().replace("format 1", "format 2");
    fs::write(&marker, newer).unwrap();
    refused_untouched(&home, &[4], "has format 2 and this Mnemic knows up to 1; upgrade");
}

#[test]
fn a_foreign_file_and_leftovers_do_not_keep_a_memory_from_starting() {
    let home = filled();
    fs::write(home.memory().join("notes.txt"), b"somebody's").unwrap();
    fs::write(home.namespace("default").join("index.local.tmp"), b"half").unwrap();
    fs::create_dir(home.memory().join("namespaces").join("Not A Namespace")).unwrap();
    assert_eq!(home.found(&["garden", "--limit", "100"]).len(), 6);
    assert_eq!(home.ok(&["namespaces"]), "default\n");
    assert_eq!(fs::read(home.memory().join("notes.txt")).unwrap(), b"somebody's");
}

#[test]
fn a_damaged_index_is_rebuilt_from_the_ledger() {
    let home = filled();
    let index = home.namespace("default").join("index.local");
    let whole = fs::read(&index).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    let huge = [&whole[..16], &[0xff; 64], &whole[80..]].concat();
    for bytes in [&flipped[..], &huge, &whole[..whole.len() / 2], b""] {
        fs::write(&index, bytes).unwrap();
        assert_eq!(home.found(&["garden", "--limit", "100"]).len(), 6);
        home.ok(&["doctor"]);
    }
    home.ok(&["add", "-n", "other", "another garden"]);
    fs::copy(home.namespace("other").join("index.local"), &index).unwrap();
    assert_eq!(home.found(&["garden", "--limit", "100"]).len(), 6, "another namespace's index is not ours");
}

#[test]
fn a_flipped_bit_in_the_audit_log_is_found_with_its_position() {
    let home = filled();
    let path = ledger(&home);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(MARK.len()).position(|window| window == MARK).expect("the event lies in the file");
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let run = home.run(&["audit", "verify"]);
    assert_eq!(run.code, 7, "{run:?}");
    assert!(run.err.contains("audit chain is broken at sequence 7"), "{run:?}");
    assert_eq!(home.envelope(&["audit", "verify"])["error"]["code"], "corrupted");
    assert_eq!(home.run(&["doctor"]).code, 7);
}

#[test]
fn a_cut_tail_is_found_by_an_earlier_checkpoint() {
    let home = filled();
    let (copy, back, checkpoint) = (home.path("copy"), home.path("back"), home.path("checkpoint"));
    home.ok(&["backup", copy.to_str().unwrap()]);
    home.ok(&["log", "add", "t", "message", "one more"]);
    home.ok(&["audit", "checkpoint", "--out", checkpoint.to_str().unwrap()]);
    home.fails(1, &["audit", "checkpoint", "--out", checkpoint.to_str().unwrap()]);
    home.ok(&["restore", copy.to_str().unwrap(), "--dir", back.to_str().unwrap()]);
    let verify = ["audit", "verify", "--checkpoint", checkpoint.to_str().unwrap()];
    home.ok(&verify);
    home.ok(&["audit", "verify", "--dir", back.to_str().unwrap()]);
    let said = home.fails(7, &[&verify[..], &["--dir", back.to_str().unwrap()]].concat());
    assert!(said.contains("ends at sequence 7 but the checkpoint holds sequence 8"), "{said}");
    let said = home.fails(2, &[&verify[..], &["-n", "other"]].concat());
    assert!(said.contains("checkpoint.namespace: expected namespace other"), "{said}");
    fs::write(&checkpoint, b"{\"namespace\":\"default\",\"sequence\":8,\"hash\":\"zz\"}").unwrap();
    let said = home.fails(2, &verify);
    assert!(said.contains("checkpoint.hash: expected 64 hexadecimal digits, found"), "{said}");
}
