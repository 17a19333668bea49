//! A bounded, durable queue in files. Not here: what is queued (the facade) and when it is replayed.
//!
//! What [`Spool::append`] has answered survives a kill and a loss of power. What [`Spool::settle`] has answered does not come again; an
//! entry whose process ends between its effect and its settlement does, so effects have to bear a repetition. Several processes may use
//! one directory: each appends to a stream of its own, and what an ended process left is taken over by whoever looks next.
//!
//! ```text
//! <directory>/s-<stream>/lock             held while its process lives
//! <directory>/s-<stream>/e-<sequence>     a segment of entries
//! <directory>/s-<stream>/settled          which of them are done
//! <directory>/quarantine/<id>             entries that can never be delivered, with the reason
//! <directory>/damaged/…                   bytes that do not hold up, for a human
//! ```
//!
//! # How long content stays
//! A segment is removed as soon as everything in it is done, at the latest when the queue is empty. Until then the bytes of done entries
//! stay in it: beside at most [`SpoolConfig::segment_bytes`] and one write of later entries, as long as the oldest of those waits, which
//! is bounded by the caller's deliveries only. Where content must be gone sooner (an erasure), settle it and call [`Spool::scrub`]: when it
//! returns, no byte of done entries is in any segment of this handle. Quarantine and copies of damaged bytes stay
//! until they are discarded, and the damaged bytes themselves until their segment is done.
//!
//! # What it does not do
//! It never drops an entry, whatever its age: a bound that is met refuses new ones. It does not order streams among each other beyond
//! the times that callers gave; within a stream, entries come in the order of their appends.

mod aside;
pub mod disk;
mod error;
mod frame;
mod settled;
mod spool;
mod stream;
mod walk;
mod worker;

use std::{fmt, path::PathBuf, time::Duration};

use mnemic_core::Timestamp;

pub use aside::Quarantined;
pub use spool::Spool;

/// Where a spool lies and what it may hold.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// Its directory, made if it is not there. It belongs to spools alone.
    pub directory: PathBuf,
    /// Bytes of segments and quarantine, those of other processes' streams counted.
    pub max_bytes: u64,
    /// Entries that this handle holds: its own and those that it took over.
    pub max_items: u64,
    /// How long the oldest entry may have waited for new ones to be taken.
    pub max_age: Duration,
    /// The size from which a new segment is begun.
    pub segment_bytes: u64,
}

impl SpoolConfig {
    /// A spool of at most 1 GiB, a million entries and 7 days.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            max_bytes: 1 << 30,
            max_items: 1_000_000,
            max_age: Duration::from_hours(7 * 24),
            segment_bytes: 4 << 20,
        }
    }
}

/// Identifies an entry, across processes and for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpoolId {
    /// The stream that it was appended to.
    pub stream: u64,
    /// Its place there, from 1.
    pub sequence: u64,
}

impl fmt::Display for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}", self.stream, self.sequence)
    }
}

impl std::str::FromStr for SpoolId {
    type Err = mnemic_core::Error;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = |part: &str| (part.len() == 16).then(|| u64::from_str_radix(part, 16).ok()).flatten();
        text.split_once('-')
            .and_then(|(stream, sequence)| Some(Self { stream: read(stream)?, sequence: read(sequence)? }))
            .ok_or_else(|| mnemic_core::Error::invalid("spool_id", "two numbers of 16 hexadecimal digits", text.len()))
    }
}

/// One entry.
#[derive(Clone, PartialEq, Eq)]
pub struct SpoolEntry {
    /// Its identity.
    pub id: SpoolId,
    /// When it was appended, as its caller said.
    pub at: Timestamp,
    /// What it has to stay in order with.
    pub lane: String,
    /// Its content.
    pub payload: Vec<u8>,
}

impl fmt::Debug for SpoolEntry {
    /// Without content: entries hold what people said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpoolEntry")
            .field("id", &self.id)
            .field("at", &self.at)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// What a spool tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolReport {
    /// Entries that wait: this handle's own and those that it took over.
    pub items: u64,
    /// Bytes of segments and quarantine, those of other processes' streams counted.
    pub bytes: u64,
    /// When the oldest entry that waits was appended.
    pub oldest: Option<Timestamp>,
    /// Entries in quarantine.
    pub quarantined: u64,
    /// Stretches of damaged bytes kept aside.
    pub damaged: u64,
    /// Streams of processes that live, which this handle does not see into.
    pub others: u64,
    /// What is wrong, in words; empty if nothing is.
    pub faults: Vec<String>,
}
