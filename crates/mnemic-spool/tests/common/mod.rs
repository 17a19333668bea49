//! What the tests of the spool share. Not here: any test.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "each test binary uses a part; tests fail by panicking"
)]

pub mod simulated;

use std::path::Path;

use mnemic_core::Timestamp;
use mnemic_spool::{Spool, SpoolConfig, SpoolEntry, SpoolId};

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000).unwrap()
}

pub async fn open(directory: &Path) -> Spool {
    Spool::open(SpoolConfig::new(directory)).await.unwrap()
}

/// Appends payloads one after the other, each a second later.
pub async fn append_all(spool: &Spool, lane: &str, payloads: &[&str]) -> Vec<SpoolId> {
    let mut ids = Vec::new();
    for (n, payload) in payloads.iter().enumerate() {
        ids.push(spool.append(at(n as i64), lane, payload.as_bytes()).await.unwrap());
    }
    ids
}

pub fn text(entry: &SpoolEntry) -> String {
    String::from_utf8(entry.payload.clone()).unwrap()
}

/// The payloads that wait, in order.
pub async fn waiting(spool: &Spool) -> Vec<String> {
    spool.peek(10_000).await.unwrap().iter().map(text).collect()
}

/// Every file below a directory with its content.
pub fn files(directory: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let content = std::fs::read(&path).unwrap();
            found.push((path, content));
        }
    }
    found.sort();
    found
}

/// Whether a text is in any file.
pub fn is_readable(directory: &Path, text: &str) -> bool {
    files(directory).iter().any(|(_, content)| content.windows(text.len()).any(|window| window == text.as_bytes()))
}

/// The only file with such a beginning of its name.
pub fn the_file(directory: &Path, prefix: &str) -> std::path::PathBuf {
    let named = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix);
    let found: Vec<_> = files(directory).into_iter().map(|(path, _)| path).filter(|path| named(path)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

/// A small generator (splitmix64).
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}
