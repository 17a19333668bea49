//! One process's entries, in segments that are removed when all in them is done. Not here: several streams, bounds and quarantine
//! (`worker`).

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, Hasher, RandomState},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use mnemic_core::Timestamp;

use crate::{
    SpoolEntry,
    aside::{Aside, read_entry},
    disk::{Disk, DiskFile, Lock},
    frame::{self, HEAD_BYTES, Head},
    settled::Settled,
    walk::{Step, Walk},
};

const LOCK: &str = "lock";

/// What one file holds.
#[derive(Clone, Debug)]
struct Segment {
    /// The sequence that it is named after; none in it is lower.
    first: u64,
    /// The highest sequence in it.
    last: u64,
    /// Bytes that are sound, or damaged with something sound behind them.
    bytes: u64,
    /// Entries that are not done.
    left: u64,
    /// Where reading begins: everything before is done. Beside it the last sequence before.
    start: (u64, u64),
}

/// Where a reader of a stream is.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// The first sequence of the segment, its open file, the offset and the last sequence seen.
    segment: u64,
    file: Option<Box<dyn DiskFile>>,
    at: (u64, u64),
    /// Whether damage since the last sequence could not be kept aside, so that it must not be done with.
    unkept: bool,
}

/// An entry that a reader has come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) head: Head,
    offset: u64,
}

/// When the first entry that is not done was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Oldest {
    /// It has to be looked up.
    Unknown,
    /// It was then, or there is none.
    Known(Option<Timestamp>),
}

/// How an append or a settlement went wrong.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Nothing has changed, and the next one may succeed.
    Refused(io::Error),
    /// What the disk holds is unknown.
    Unknown(io::Error),
}

/// The entries that one process appended, held by a lock.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: u64,
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    segments: Vec<Segment>,
    settled: Settled,
    next: u64,
    /// The file that is appended to: that of the last segment.
    active: Option<Box<dyn DiskFile>>,
    oldest: Oldest,
    /// Damage that is kept aside: segment and offset. It may be discarded there while its bytes are still here.
    kept: BTreeSet<(u64, u64)>,
    _lock: Box<dyn Lock>,
}

/// The name of a stream's directory.
fn name(id: u64) -> String {
    format!("s-{id:016x}")
}

/// The stream that a directory's name tells of.
pub(crate) fn id_of(name: &str) -> Option<u64> {
    name.strip_prefix("s-").filter(|id| id.len() == 16).and_then(|id| u64::from_str_radix(id, 16).ok())
}

fn segment_name(first: u64) -> String {
    format!("e-{first:016x}")
}

fn first_of(name: &str) -> Option<u64> {
    name.strip_prefix("e-").filter(|first| first.len() == 16).and_then(|first| u64::from_str_radix(first, 16).ok())
}

/// Bytes of entries in a stream that another process holds.
pub(crate) fn bytes_of(disk: &dyn Disk, directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for name in disk.list(directory)? {
        if first_of(&name).is_some() {
            bytes += disk.open(&directory.join(name))?.length()?;
        }
    }
    Ok(bytes)
}

impl Stream {
    /// Makes an empty stream. It is locked before it has a name by which others look for streams.
    pub(crate) fn create(disk: &Arc<dyn Disk>, base: &Path) -> io::Result<Self> {
        let id = RandomState::new().build_hasher().finish();
        let (new, directory) = (base.join(format!("n-{id:016x}")), base.join(name(id)));
        disk.create_dirs(&new)?;
        let made = (|| -> io::Result<_> {
            let lock = disk.lock(&new.join(LOCK))?.ok_or(io::ErrorKind::ResourceBusy)?;
            let settled = Settled::create(&**disk, &new, id)?;
            disk.sync_dir(&new)?;
            disk.rename(&new, &directory)?;
            disk.sync_dir(base)?;
            Ok((lock, settled))
        })();
        let (lock, settled) = made.inspect_err(|_| clear_away(&**disk, &new))?;
        Ok(Self {
            id,
            disk: Arc::clone(disk),
            directory,
            segments: Vec::new(),
            settled,
            next: 1,
            active: None,
            oldest: Oldest::Known(None),
            kept: BTreeSet::new(),
            _lock: lock,
        })
    }

    /// Takes over a stream whose process has ended, or answers `None` if it has not. Reads all of it once: what is torn is cut, what is
    /// damaged is copied aside.
    pub(crate) fn adopt(disk: &Arc<dyn Disk>, base: &Path, id: u64, damaged: &mut Aside) -> io::Result<Option<Self>> {
        let directory = base.join(name(id));
        let Some(lock) = disk.lock(&directory.join(LOCK))? else { return Ok(None) };
        let settled = Settled::open(&**disk, &directory, id)?;
        let mut firsts: Vec<u64> = disk.list(&directory)?.iter().filter_map(|name| first_of(name)).collect();
        firsts.sort_unstable();
        let mut stream = Self {
            id,
            disk: Arc::clone(disk),
            directory,
            segments: Vec::new(),
            settled,
            next: 1,
            active: None,
            oldest: Oldest::Unknown,
            kept: BTreeSet::new(),
            _lock: lock,
        };
        for (n, first) in firsts.iter().enumerate() {
            let segment = stream.survey(*first, n + 1 == firsts.len(), damaged)?;
            stream.next = segment.last.saturating_add(1);
            stream.segments.push(segment);
        }
        stream.remove_done();
        Ok(Some(stream))
    }

    /// Reads a segment of unknown content.
    fn survey(&mut self, first: u64, is_last: bool, damaged: &mut Aside) -> io::Result<Segment> {
        let file = self.open_segment(first)?;
        let length = file.length()?;
        let start = (0, first.saturating_sub(1));
        let mut segment = Segment { first, last: start.1, bytes: length, left: 0, start };
        let mut walk = Walk::new(&*file, self.id, start, length);
        loop {
            let damage = match walk.next(|sequence| self.settled.contains(sequence))? {
                Step::End => return Ok(segment),
                Step::Entry { head, .. } => {
                    segment.left += u64::from(!self.settled.contains(head.sequence));
                    // What was between is gone for good and kept aside, so that nothing waits for it.
                    self.settled.insert(segment.last.saturating_add(1), head.sequence.saturating_sub(1));
                    segment.last = head.sequence;
                    continue;
                }
                Step::Torn { from } if is_last => {
                    tracing::debug!(bytes = length - from, "cut the beginning of an entry that was never acknowledged");
                    file.set_length(from)?;
                    file.sync()?;
                    segment.bytes = from;
                    return Ok(segment);
                }
                Step::Torn { from } => (from, length),
                Step::Damage { from, to } => (from, to),
            };
            damaged.copy(&self.damage_name(first, damage.0), &*file, damage)?;
            self.kept.insert((first, damage.0));
            tracing::warn!(bytes = damage.1 - damage.0, kept = true, "damaged entries of the spool");
            if damage.1 == length {
                segment.bytes = damage.0;
            }
        }
    }

    fn damage_name(&self, segment: u64, offset: u64) -> String {
        format!("{:016x}-{segment:016x}-{offset:x}", self.id)
    }

    fn open_segment(&self, first: u64) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(&self.directory.join(segment_name(first)))
    }

    /// Appends entries and makes them durable together. Answers the sequence of the first of them.
    pub(crate) fn append(&mut self, entries: &[(Timestamp, &str, &[u8])], segment_bytes: u64) -> Result<u64, Fault> {
        let first = self.next;
        let mut bytes = Vec::new();
        for (n, (at, lane, payload)) in entries.iter().enumerate() {
            frame::write(&mut bytes, self.id, first + n as u64, *at, lane, payload);
        }
        if self.segments.last().is_some_and(|segment| segment.bytes >= segment_bytes) {
            self.active = None;
        }
        if self.active.is_none() {
            self.begin_segment(first)?;
        }
        let (Some(file), Some(segment)) = (&self.active, self.segments.last_mut()) else { return Ok(first) };
        if let Err(error) = file.write_at(segment.bytes, &bytes) {
            // Without this, a later entry would follow a torn one.
            return Err(match file.set_length(segment.bytes) {
                Ok(()) => Fault::Refused(error),
                Err(error) => Fault::Unknown(error),
            });
        }
        file.sync().map_err(Fault::Unknown)?;
        let count = entries.len() as u64;
        segment.bytes += bytes.len() as u64;
        segment.left += count;
        self.next += count;
        segment.last = self.next - 1;
        if self.oldest == Oldest::Known(None) {
            self.oldest = Oldest::Known(entries.first().map(|(at, ..)| *at));
        }
        Ok(first)
    }

    fn begin_segment(&mut self, first: u64) -> Result<(), Fault> {
        let path = self.directory.join(segment_name(first));
        let file = match self.disk.create(&path) {
            // Left by an append that found no room for it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.disk.open(&path),
            file => file,
        };
        let file = file.map_err(Fault::Refused)?;
        self.disk.sync_dir(&self.directory).map_err(Fault::Unknown)?;
        self.active = Some(file);
        if self.segments.last().is_none_or(|segment| segment.first != first) {
            self.segments.push(Segment { first, last: first - 1, bytes: 0, left: 0, start: (0, first - 1) });
        }
        Ok(())
    }

    /// The next entry that is not done, from a place on. Damage that is met is kept aside and done with.
    pub(crate) fn next(&mut self, place: &mut Place, damaged: &mut Aside) -> io::Result<Option<Found>> {
        loop {
            let Some(n) = self.segments.iter().position(|segment| segment.first >= place.segment) else {
                return Ok(None);
            };
            let Some(segment) = self.segments.get(n).cloned() else { return Ok(None) };
            let open = place.file.take().filter(|_| segment.first == place.segment);
            if open.is_none() {
                (place.segment, place.at) = (segment.first, segment.start);
            }
            let file = open.map_or_else(|| self.open_segment(segment.first), Ok)?;
            let mut walk = Walk::new(&*file, self.id, place.at, segment.bytes);
            let step = walk.next(|sequence| self.settled.contains(sequence))?;
            let offset = walk.offset();
            match step {
                Step::Entry { head, offset: begin } => {
                    let done = self.settled.contains(head.sequence);
                    let before = (begin, head.sequence.saturating_sub(1));
                    self.pass(n, place, before);
                    (place.at, place.unkept) = (before, false);
                    if done {
                        self.pass(n, place, (offset, head.sequence));
                    }
                    (place.at, place.file) = ((offset, head.sequence), Some(file));
                    if !done {
                        return Ok(Some(Found { head, offset: begin }));
                    }
                }
                Step::Damage { .. } | Step::Torn { .. } => {
                    let stretch = match step {
                        Step::Damage { from, to } => (from, to),
                        _ => (place.at.0, segment.bytes),
                    };
                    place.unkept |= !self.set_aside(segment.first, &*file, stretch, damaged);
                    self.pass(n, place, (stretch.1, place.at.1));
                    (place.at.0, place.file) = (stretch.1, Some(file));
                }
                Step::End => {
                    self.pass(n, place, (segment.bytes, segment.last));
                    (place.segment, place.unkept) = (segment.first.saturating_add(1), false);
                }
            }
        }
    }

    /// Notes that a reader came to another place of a segment without meeting an entry that is not done. Sequences that it did not meet
    /// on the way are gone and kept aside: they are done.
    fn pass(&mut self, n: usize, place: &Place, to: (u64, u64)) {
        let Some(segment) = self.segments.get_mut(n).filter(|_| !place.unkept) else { return };
        for sequence in place.at.1.saturating_add(1)..=to.1 {
            if !self.settled.contains(sequence) {
                segment.left = segment.left.saturating_sub(1);
                self.settled.insert(sequence, sequence);
            }
        }
        if segment.start == place.at {
            segment.start = to;
        }
    }

    /// Copies damage for a human, and says whether that is done.
    fn set_aside(&mut self, segment: u64, file: &dyn DiskFile, stretch: (u64, u64), damaged: &mut Aside) -> bool {
        if self.kept.contains(&(segment, stretch.0)) {
            return true;
        }
        let result = damaged.copy(&self.damage_name(segment, stretch.0), file, stretch);
        let (kept, why) = (result.is_ok(), result.err().map(|error| error.kind()));
        tracing::warn!(bytes = stretch.1 - stretch.0, kept, ?why, "damaged entries of the spool");
        if kept {
            self.kept.insert((segment, stretch.0));
        }
        kept
    }

    /// Reads an entry that a reader has come to.
    pub(crate) fn read(&self, place: &Place, found: &Found) -> io::Result<SpoolEntry> {
        match &place.file {
            Some(file) => read_entry(&**file, self.id, found.offset, &found.head),
            None => read_entry(&*self.open_segment(place.segment)?, self.id, found.offset, &found.head),
        }
    }

    /// Marks entries as done, durably, and removes what holds nothing else. Entries that are done already are fine.
    pub(crate) fn settle(&mut self, mut sequences: Vec<u64>) -> Result<(), Fault> {
        sequences.sort_unstable();
        sequences.dedup();
        sequences.retain(|sequence| *sequence < self.next && !self.settled.contains(*sequence));
        if sequences.is_empty() {
            return Ok(());
        }
        self.settled.write(&sequences).map_err(Fault::Refused)?;
        self.settled.sync().map_err(Fault::Unknown)?;
        for sequence in sequences {
            self.settled.insert(sequence, sequence);
            let segment = self.segments.iter_mut().rev().find(|segment| segment.first <= sequence);
            if let Some(segment) = segment.filter(|segment| sequence <= segment.last) {
                segment.left = segment.left.saturating_sub(1);
            }
        }
        self.oldest = Oldest::Unknown;
        self.remove_done();
        if let Err(error) = self.settled.shorten(&*self.disk, &self.directory) {
            tracing::debug!(kind = %error.kind(), "the spool could not shorten its log");
        }
        Ok(())
    }

    /// Removes segments in which everything is done. What says so is durable, so a file that stays or comes back holds nothing to do.
    fn remove_done(&mut self) {
        let before = self.segments.len();
        let last = self.segments.last().map(|segment| segment.first);
        let (disk, directory) = (&self.disk, &self.directory);
        let mut gone = Vec::new();
        self.segments.retain(|segment| {
            if segment.left > 0 {
                return true;
            }
            match disk.remove_file(&directory.join(segment_name(segment.first))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::debug!(kind = %error.kind(), "the spool could not remove a segment");
                    true
                }
                _ => {
                    gone.push(segment.first);
                    false
                }
            }
        });
        if last.is_some_and(|last| gone.contains(&last)) {
            self.active = None;
        }
        if self.segments.len() < before
            && let Err(error) = disk.sync_dir(directory)
        {
            tracing::debug!(kind = %error.kind(), "the spool could not sync a directory after a removal");
        }
    }

    /// Overwrites the content of what is done and still in a segment with something else.
    pub(crate) fn scrub(&mut self) -> io::Result<()> {
        for segment in &self.segments {
            let file = self.open_segment(segment.first)?;
            let mut walk = Walk::new(&*file, self.id, (0, segment.first.saturating_sub(1)), segment.bytes);
            loop {
                match walk.next(|_| true)? {
                    Step::Entry { offset, head } if self.settled.contains(head.sequence) => {
                        wipe(&*file, offset + HEAD_BYTES as u64, offset + head.bytes())?;
                    }
                    Step::End => break,
                    _ => {}
                }
            }
            file.sync()?;
        }
        Ok(())
    }

    /// Entries that are not done.
    pub(crate) fn items(&self) -> u64 {
        self.segments.iter().map(|segment| segment.left).sum()
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// When the first entry that is not done was appended.
    pub(crate) fn oldest(&mut self, damaged: &mut Aside) -> io::Result<Option<Timestamp>> {
        if let Oldest::Known(oldest) = self.oldest {
            return Ok(oldest);
        }
        let oldest = self.next(&mut Place::default(), damaged)?.map(|found| found.head.at);
        self.oldest = Oldest::Known(oldest);
        Ok(oldest)
    }

    /// Removes an empty stream from the disk. What cannot be removed now is found empty by whoever comes next.
    pub(crate) fn remove(self, base: &Path) {
        if !self.segments.is_empty() {
            return;
        }
        let gone = (|| {
            // The marks may only go when the entries that they speak of cannot come back.
            self.disk.sync_dir(&self.directory)?;
            Settled::remove(&*self.disk, &self.directory)?;
            self.disk.remove_file(&self.directory.join(LOCK))?;
            self.disk.remove_dir(&self.directory)?;
            self.disk.sync_dir(base)
        })();
        if let Err(error) = gone {
            tracing::debug!(kind = %error.kind(), "the spool could not remove an empty directory");
        }
    }
}

/// Overwrites a stretch with zeros.
fn wipe(file: &dyn DiskFile, mut at: u64, end: u64) -> io::Result<()> {
    let zeros = vec![0; 64 * 1024];
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(zeros.len()).min(zeros.len());
        file.write_at(at, zeros.get(..wanted).unwrap_or_default())?;
        at += wanted as u64;
    }
    Ok(())
}

/// Removes a stream that came to nothing.
fn clear_away(disk: &dyn Disk, directory: &Path) {
    let gone = disk.list(directory).and_then(|names| {
        names.iter().try_for_each(|name| disk.remove_file(&directory.join(name)))?;
        disk.remove_dir(directory)
    });
    if let Err(error) = gone {
        tracing::debug!(kind = %error.kind(), "the spool could not remove a directory that came to nothing");
    }
}
