//! Which entries of one stream are done, in memory and as a log. Not here: removing what is done (`stream`).
//!
//! The log is a sequence of records of 20 bytes: first and last sequence that are done, and a checksum. Zeros are room. A record that does
//! not hold up is passed over, which brings its entries again and loses nothing. The room is written in advance, so that on a full
//! disk there is place for the marks that make room.

use std::{collections::BTreeMap, io, path::Path};

use crate::disk::{Disk, DiskFile};

const RECORD: usize = 20;
/// Records of room at a time.
const ROOM: usize = 3_000;
/// Records after which the log is written anew, if that makes it much shorter.
const LONG: u64 = 60_000;
const NAME: &str = "settled";

/// A set of sequences, small where they are close together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    pub(crate) fn contains(&self, sequence: u64) -> bool {
        self.0.range(..=sequence).next_back().is_some_and(|(_, last)| *last >= sequence)
    }

    pub(crate) fn insert(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        let (mut from, mut to) = (first, last);
        while let Some((start, end)) =
            self.0.range(..=to.saturating_add(1)).next_back().map(|(start, end)| (*start, *end))
        {
            if end.saturating_add(1) < from {
                break;
            }
            self.0.remove(&start);
            (from, to) = (from.min(start), to.max(end));
        }
        self.0.insert(from, to);
    }

    fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(first, last)| (*first, *last))
    }
}

/// The done entries of one stream and their log.
#[derive(Debug)]
pub(crate) struct Settled {
    stream: u64,
    done: Ranges,
    file: Box<dyn DiskFile>,
    /// Records in the log, and records that it has room for.
    records: u64,
    room: u64,
}

impl Settled {
    /// Makes an empty log. Its name is durable after the caller has synced the directory.
    pub(crate) fn create(disk: &dyn Disk, directory: &Path, stream: u64) -> io::Result<Self> {
        let file = disk.create(&directory.join(NAME))?;
        file.write_at(0, &vec![0; ROOM * RECORD])?;
        file.sync()?;
        Ok(Self { stream, done: Ranges::default(), file, records: 0, room: ROOM as u64 })
    }

    /// Reads the log, or makes one if there is none.
    pub(crate) fn open(disk: &dyn Disk, directory: &Path, stream: u64) -> io::Result<Self> {
        let file = match disk.open(&directory.join(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = Self::create(disk, directory, stream)?;
                disk.sync_dir(directory)?;
                return Ok(made);
            }
            file => file?,
        };
        let (mut done, mut records, mut at) = (Ranges::default(), 0, 0);
        let mut chunk = vec![0; RECORD * ROOM];
        loop {
            let read = file.read_at(at * RECORD as u64, &mut chunk)?;
            for (n, record) in chunk.get(..read).unwrap_or_default().chunks_exact(RECORD).enumerate() {
                if let Some((first, last)) = read_record(stream, record) {
                    done.insert(first, last);
                }
                if record.iter().any(|byte| *byte != 0) {
                    records = at + n as u64 + 1;
                }
            }
            at += (read / RECORD) as u64;
            if read < chunk.len() {
                break;
            }
        }
        Ok(Self { stream, done, file, records, room: at })
    }

    pub(crate) fn contains(&self, sequence: u64) -> bool {
        self.done.contains(sequence)
    }

    /// Writes down that these are done, in ascending order, without making it durable.
    pub(crate) fn write(&mut self, sequences: &[u64]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (first, last) in runs(sequences) {
            bytes.extend(record(self.stream, first, last));
        }
        let wanted = self.records + (bytes.len() / RECORD) as u64;
        while self.room < wanted {
            self.file.write_at(self.room * RECORD as u64, &vec![0; ROOM * RECORD])?;
            self.room += ROOM as u64;
        }
        self.file.write_at(self.records * RECORD as u64, &bytes)?;
        self.records = wanted;
        Ok(())
    }

    /// Makes durable what was written.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// Takes into the set what is durable now.
    pub(crate) fn insert(&mut self, first: u64, last: u64) {
        self.done.insert(first, last);
    }

    /// Writes the log anew where that makes it much shorter. The old one holds until the new one is durable in its place.
    pub(crate) fn shorten(&mut self, disk: &dyn Disk, directory: &Path) -> io::Result<()> {
        if self.records < LONG || self.done.0.len() as u64 * 2 > self.records {
            return Ok(());
        }
        let (path, new) = (directory.join(NAME), directory.join("settled.new"));
        if let Err(error) = disk.remove_file(&new)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let file = disk.create(&new)?;
        let mut bytes: Vec<u8> = self.done.iter().flat_map(|(first, last)| record(self.stream, first, last)).collect();
        let records = (bytes.len() / RECORD) as u64;
        bytes.resize(bytes.len() + ROOM * RECORD, 0);
        file.write_at(0, &bytes)?;
        file.sync()?;
        disk.rename(&new, &path)?;
        disk.sync_dir(directory)?;
        (self.file, self.records, self.room) = (file, records, records + ROOM as u64);
        Ok(())
    }

    /// Removes the log, after everything that it speaks of is gone for certain.
    pub(crate) fn remove(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
        for name in [NAME, "settled.new"] {
            match disk.remove_file(&directory.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Neighbours in ascending sequences, as first and last.
fn runs(sequences: &[u64]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for sequence in sequences {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*sequence) => *last = *sequence,
            _ => runs.push((*sequence, *sequence)),
        }
    }
    runs
}

fn sum(stream: u64, body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&stream.to_le_bytes());
    sum.update(body);
    sum.finalize()
}

fn record(stream: u64, first: u64, last: u64) -> Vec<u8> {
    let mut bytes = [first.to_le_bytes(), last.to_le_bytes()].concat();
    let sum = sum(stream, &bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

fn read_record(stream: u64, record: &[u8]) -> Option<(u64, u64)> {
    let (body, kept) = record.split_last_chunk::<4>()?;
    let (first, last) = body.split_first_chunk::<8>()?;
    let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(last.try_into().ok()?));
    (u32::from_le_bytes(*kept) == sum(stream, body) && first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_hold_what_was_inserted_as_few_as_possible(parts in prop::collection::vec((0u64..60, 0u64..6), 0..40)) {
            let (mut ranges, mut plain) = (Ranges::default(), BTreeSet::new());
            for (first, more) in parts {
                ranges.insert(first, first + more);
                plain.extend(first..=first + more);
            }
            prop_assert!((0..80).all(|n| ranges.contains(n) == plain.contains(&n)));
            let beginnings = plain.iter().filter(|n| **n == 0 || !plain.contains(&(**n - 1))).count();
            prop_assert_eq!(ranges.0.len(), beginnings);
        }
    }

    #[test]
    fn neighbours_become_one_record_and_a_record_reads_back_in_its_own_stream() {
        assert_eq!(runs(&[1, 2, 3, 7, 9, 10]), [(1, 3), (7, 7), (9, 10)]);
        assert_eq!(read_record(5, &record(5, 2, u64::MAX)), Some((2, u64::MAX)));
        assert_eq!(read_record(6, &record(5, 2, 3)), None);
        assert_eq!(read_record(5, &[0; RECORD]), None);
    }
}
