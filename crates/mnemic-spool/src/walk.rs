//! Reads the entries of one segment in order, over whatever else is there, in memory that does not depend on its size.
//! Not here: what is done about damage (`stream`).

use std::io;

use crate::{
    disk::DiskFile,
    frame::{self, HEAD_BYTES, Head},
};

const CHUNK: usize = 64 * 1024;

/// What comes next in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An entry.
    Entry { offset: u64, head: Head },
    /// Bytes that were an entry, or several. Reading goes on behind them.
    Damage { from: u64, to: u64 },
    /// The beginning of an entry that was never written whole, at the end of the file.
    Torn { from: u64 },
    /// Nothing.
    End,
}

/// A walk through a segment. It always moves on, so it ends.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    file: &'a dyn DiskFile,
    stream: u64,
    offset: u64,
    end: u64,
    /// The last sequence seen; sequences ascend.
    last: u64,
}

impl<'a> Walk<'a> {
    /// Walks from `offset` to `end`, behind the entry `last`.
    pub(crate) fn new(file: &'a dyn DiskFile, stream: u64, (offset, last): (u64, u64), end: u64) -> Self {
        Self { file, stream, offset, end, last }
    }

    /// Where the next step begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next step. The content of entries for which `skip` holds is not looked at.
    pub(crate) fn next(&mut self, skip: impl Fn(u64) -> bool) -> io::Result<Step> {
        if self.offset >= self.end {
            return Ok(Step::End);
        }
        let from = self.offset;
        let Some(head) = self.head_at(from)? else { return self.search(from) };
        if head.bytes() > self.end - from {
            self.offset = self.end;
            return Ok(Step::Torn { from });
        }
        self.offset = from + head.bytes();
        self.last = head.sequence;
        if skip(head.sequence) || self.is_sound(from, &head)? {
            Ok(Step::Entry { offset: from, head })
        } else {
            Ok(Step::Damage { from, to: self.offset })
        }
    }

    fn head_at(&self, offset: u64) -> io::Result<Option<Head>> {
        let mut bytes = [0; HEAD_BYTES];
        let wanted = HEAD_BYTES.min(usize::try_from(self.end - offset).unwrap_or(HEAD_BYTES));
        let read = self.file.read_at(offset, bytes.get_mut(..wanted).unwrap_or_default())?;
        let head = bytes.get(..read).and_then(|bytes| Head::read(self.stream, bytes));
        Ok(head.filter(|head| head.sequence > self.last))
    }

    fn is_sound(&self, offset: u64, head: &Head) -> io::Result<bool> {
        let mut sum = frame::body_sum(self.stream, head.sequence);
        let (mut at, end) = (offset + HEAD_BYTES as u64, offset + head.bytes() - 4);
        let mut chunk = vec![0; CHUNK.min(usize::try_from(end - at).unwrap_or(CHUNK))];
        while at < end {
            let wanted = chunk.len().min(usize::try_from(end - at).unwrap_or(CHUNK));
            let part = chunk.get_mut(..wanted).unwrap_or_default();
            if self.file.read_at(at, part)? < wanted {
                return Ok(false);
            }
            sum.update(part);
            at += wanted as u64;
        }
        let mut kept = [0; 4];
        Ok(self.file.read_at(end, &mut kept)? == kept.len() && u32::from_le_bytes(kept) == sum.finalize())
    }

    /// Looks for the next entry behind bytes that are none.
    fn search(&mut self, from: u64) -> io::Result<Step> {
        let mut chunk = vec![0; CHUNK];
        let (mut at, mut all_zero) = (from, true);
        while at < self.end {
            let wanted = CHUNK.min(usize::try_from(self.end - at).unwrap_or(CHUNK));
            let read = self.file.read_at(at, chunk.get_mut(..wanted).unwrap_or_default())?;
            let part = chunk.get(..read).unwrap_or_default();
            if part.is_empty() {
                break;
            }
            all_zero &= part.iter().all(|byte| *byte == 0);
            let mut inside = usize::from(at == from);
            while let Some(mark) = Head::find_mark(part.get(inside..).unwrap_or_default()) {
                inside += mark + 1;
                let place = at + inside as u64 - 1;
                if self.head_at(place)?.is_some_and(|head| head.bytes() <= self.end - place) {
                    self.offset = place;
                    return Ok(Step::Damage { from, to: place });
                }
            }
            if at + read as u64 >= self.end {
                break;
            }
            // A mark may lie across two chunks.
            at += (read as u64).saturating_sub(3).max(1);
        }
        self.offset = self.end;
        // An interrupted write leaves the first bytes of an entry, or a length that grew before its bytes came. Anything else was more.
        if self.end - from < HEAD_BYTES as u64 || all_zero {
            return Ok(Step::Torn { from });
        }
        Ok(Step::Damage { from, to: self.end })
    }
}
