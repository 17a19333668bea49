//! The stored form of the change feed and of outbox tasks, alike in every durable ledger. Not here: the rows around it.

use mnemic_core::Task;

use crate::stored;

/// What a change is, in one byte of the feed. A change is its kind and two numbers; names are looked up, so that they vanish
/// from the feed with what they name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Ordinal of the record, version.
    Written = 1,
    Embedded = 2,
    Deleted = 3,
    /// Ordinal that the record had, zero.
    Erased = 4,
    /// Sequence of the event, zero.
    Appended = 5,
    EventErased = 6,
    /// Ordinal of the thread, version.
    Slots = 7,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Written, Self::Embedded, Self::Deleted, Self::Erased, Self::Appended, Self::EventErased, Self::Slots];
}

/// Appends one change to a commit's packed changes.
pub(crate) fn encode(out: &mut Vec<u8>, kind: Kind, subject: u64, version: u64) {
    out.push(kind as u8);
    for mut number in [subject, version] {
        while number >= 0x80 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }
}

/// What goes before a commit's packed changes: their checksum, and that of the columns beside them.
pub(crate) fn seal(last: u64, at: i64, packed: &[u8]) -> [u8; 4] {
    stored::checksum(packed, &[&last.to_le_bytes(), &at.to_le_bytes()]).to_le_bytes()
}

/// Reads a commit's packed changes; `None` if they are damaged.
pub(crate) fn decode(last: u64, at: i64, bytes: &[u8]) -> Option<Vec<(Kind, u64, u64)>> {
    let (found, packed) = bytes.split_first_chunk()?;
    if *found != seal(last, at, packed) {
        return None;
    }
    let mut changes = Vec::new();
    let mut bytes = packed.iter();
    while let Some(code) = bytes.next() {
        let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == *code)?;
        let mut number = || {
            let mut value = 0u64;
            for shift in (0..64).step_by(7) {
                let byte = *bytes.next()?;
                value |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    return Some(value);
                }
            }
            None
        };
        changes.push((kind, number()?, number()?));
    }
    Some(changes)
}

/// The text of a task in its column.
pub(crate) fn task_text(task: &Task) -> String {
    match task {
        Task::Embed => "embed".to_owned(),
        Task::Index(name) => format!("index:{name}"),
    }
}

pub(crate) fn read_task(text: &str) -> Option<Task> {
    match text.split_once(':') {
        None if text == "embed" => Some(Task::Embed),
        Some(("index", name)) => Some(Task::Index(name.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_back_and_damaged_ones_are_refused() {
        let changes = [(Kind::Written, 1, 1), (Kind::Slots, u64::MAX, 127), (Kind::Erased, 128, 0)];
        let mut packed = Vec::new();
        for (kind, subject, version) in changes {
            encode(&mut packed, kind, subject, version);
        }
        let sealed = |packed: &[u8]| [&seal(3, 9, packed)[..], packed].concat();
        let bytes = sealed(&packed);
        assert_eq!(decode(3, 9, &bytes).unwrap(), changes);
        assert_eq!(decode(3, 8, &bytes), None);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(3, 9, &flipped), None);
        }
        // A checksum that is right does not make nonsense readable.
        for nonsense in [&[99, 0, 0][..], &[1, 0], &[1], &[&[1][..], &[0xff; 20]].concat()] {
            assert_eq!(decode(3, 9, &sealed(nonsense)), None);
        }
        assert_eq!(decode(3, 9, &[]), None);
    }
}
