//! The thread's work: several streams as one queue, its bounds, quarantine, and what follows a failed sync. Not here: files (`stream`).

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::Duration,
};

use mnemic_core::{Error, ErrorKind, Result, Retry, Timestamp};
use tokio::sync::oneshot::Sender;

use crate::{
    Quarantined, SpoolConfig, SpoolEntry, SpoolId, SpoolReport,
    aside::Aside,
    disk::Disk,
    error, frame,
    stream::{self, Fault, Found, Place, Stream},
};

/// Bytes of content in one answer of `peek`, and in one write of appends.
const BYTES_AT_ONCE: u64 = 8 << 20;
/// What a caller is told to wait who met a bound: room comes when entries are delivered, which is not known here.
const WAIT: Duration = Duration::from_secs(5);

type Answer<T> = Sender<Result<T>>;

/// One entry to append.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) at: Timestamp,
    pub(crate) lane: String,
    pub(crate) payload: Vec<u8>,
}

/// One operation and where its answer goes.
#[derive(Debug)]
pub(crate) enum Command {
    Append(Append, Answer<SpoolId>),
    Settle(Vec<SpoolId>, Answer<()>),
    Peek { max: usize, stuck: BTreeSet<String>, answer: Answer<Vec<SpoolEntry>> },
    Quarantine { id: SpoolId, reason: String, answer: Answer<()> },
    Quarantined { after: Option<SpoolId>, max: usize, answer: Answer<Vec<Quarantined>> },
    Discard(Option<SpoolId>, Answer<()>),
    Scrub(Answer<()>),
    Report(Answer<SpoolReport>),
    Close(Answer<()>),
}

/// Answers a caller, who may have gone.
fn tell<T>(answer: Answer<T>, result: Result<T>) {
    drop(answer.send(result));
}

#[derive(Debug)]
pub(crate) struct Worker {
    disk: Arc<dyn Disk>,
    config: SpoolConfig,
    /// The stream that is appended to, once there was an append.
    own: Option<Stream>,
    adopted: Vec<Stream>,
    quarantine: Aside,
    damaged: Aside,
    /// Entries and bytes in quarantine.
    quarantined: (u64, u64),
    /// What could not be taken over, by stream.
    faults: BTreeMap<u64, String>,
    /// Streams that live processes hold.
    others: Vec<String>,
    /// Why nothing more is acknowledged.
    failed: Option<&'static str>,
    closed: bool,
}

impl Worker {
    pub(crate) fn open(disk: Arc<dyn Disk>, config: SpoolConfig) -> Result<Self> {
        let directory = &config.directory;
        disk.create_dirs(directory).map_err(|error| error::disk(error, "make its directory", directory))?;
        let aside = |name: &str| Aside::new(Arc::clone(&disk), directory.join(name));
        let (quarantine, damaged) = (aside("quarantine"), aside("damaged"));
        let quarantined = quarantine.size().map_err(|error| error::disk(error, "read its quarantine", directory))?;
        let mut worker = Self {
            disk,
            config,
            own: None,
            adopted: Vec::new(),
            quarantine,
            damaged,
            quarantined,
            faults: BTreeMap::new(),
            others: Vec::new(),
            failed: None,
            closed: false,
        };
        worker.adopt()?;
        Ok(worker)
    }

    /// Takes over the streams that nobody holds.
    fn adopt(&mut self) -> Result<()> {
        let base = &self.config.directory;
        let names = self.disk.list(base).map_err(|error| error::disk(error, "read its directory", base))?;
        let held: BTreeSet<u64> = self.own.iter().chain(&self.adopted).map(|stream| stream.id).collect();
        self.others.clear();
        self.faults.clear();
        for name in names {
            let Some(id) = stream::id_of(&name).filter(|id| !held.contains(id)) else { continue };
            match Stream::adopt(&self.disk, base, id, &mut self.damaged) {
                Ok(Some(stream)) if stream.items() == 0 => stream.remove(base),
                Ok(Some(stream)) => self.adopted.push(stream),
                Ok(None) => self.others.push(name),
                // One stream that cannot be read does not keep the others back.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    self.faults.insert(id, format!("a stream of the spool cannot be read: {}", error.kind()));
                }
                Err(_removed_by_another_process) => {}
            }
        }
        self.adopted.sort_by_key(|stream| stream.id);
        Ok(())
    }

    /// Does what was asked, in order; appends, and settlements, next to each other share their syncs.
    pub(crate) fn work(&mut self, batch: Vec<Command>) {
        let (mut appends, mut settlements) = (Vec::new(), Vec::new());
        for command in batch {
            match command {
                Command::Append(append, answer) => appends.push((append, answer)),
                Command::Settle(ids, answer) => settlements.push((ids, answer)),
                other => {
                    self.append_all(std::mem::take(&mut appends));
                    self.settle_all(std::mem::take(&mut settlements));
                    self.single(other);
                }
            }
        }
        self.append_all(appends);
        self.settle_all(settlements);
    }

    fn single(&mut self, command: Command) {
        match command {
            Command::Peek { max, stuck, answer } => tell(answer, self.peek(max, &stuck)),
            Command::Quarantine { id, reason, answer } => {
                let result = self.alive().and_then(|()| self.put_in_quarantine(id, &reason));
                tell(answer, result);
            }
            Command::Quarantined { after, max, answer } => tell(answer, self.list_quarantine(after, max)),
            Command::Discard(Some(id), answer) => tell(answer, self.discard(id)),
            Command::Discard(None, answer) => tell(answer, self.discard_damaged()),
            Command::Scrub(answer) => {
                let result = self.alive().and_then(|()| self.scrub());
                tell(answer, result);
            }
            Command::Report(answer) => tell(answer, self.report()),
            Command::Close(answer) => {
                self.closed = true;
                tell(answer, Ok(()));
            }
            Command::Append(_, answer) => tell(answer, Err(Error::bug("an append was taken for something else"))),
            Command::Settle(_, answer) => tell(answer, Err(Error::bug("a settlement was taken for something else"))),
        }
    }

    /// Whether it was told to end.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Lets go of everything, and removes what is empty.
    pub(crate) fn close(self) {
        for stream in self.own.into_iter().chain(self.adopted) {
            if stream.items() == 0 && self.failed.is_none() {
                stream.remove(&self.config.directory);
            }
        }
    }

    fn alive(&self) -> Result<()> {
        self.failed.map_or(Ok(()), |doing| Err(error::failed(doing)))
    }

    /// The error of a caller whose operation failed; remembers what must not be trusted any more.
    fn fault(&mut self, fault: Fault, doing: &'static str) -> Error {
        match fault {
            Fault::Refused(error) => error::disk(error, doing, &self.config.directory),
            Fault::Unknown(error) => {
                self.failed = Some(doing);
                error::failed(doing).with_source(error)
            }
        }
    }

    fn append_all(&mut self, appends: Vec<(Append, Answer<SpoolId>)>) {
        let (mut group, mut bytes) = (Vec::new(), 0);
        for (append, answer) in appends {
            let length = frame::length(&append.lane, &append.payload);
            if !group.is_empty() && bytes + length > BYTES_AT_ONCE {
                self.append_group(std::mem::take(&mut group));
                bytes = 0;
            }
            bytes += length;
            group.push((append, answer));
        }
        self.append_group(group);
    }

    fn append_group(&mut self, group: Vec<(Append, Answer<SpoolId>)>) {
        if group.is_empty() {
            return;
        }
        let used = match self.alive().and_then(|()| self.used()) {
            Ok(used) => used,
            Err(error) => return refuse(group, &error),
        };
        let (mut items, mut bytes, oldest) = used;
        let mut taken = Vec::new();
        for (append, answer) in group {
            let length = frame::length(&append.lane, &append.payload);
            match self.bounds(items + 1, bytes + length, oldest, append.at) {
                Ok(()) => {
                    (items, bytes) = (items + 1, bytes + length);
                    taken.push((append, answer));
                }
                Err(error) => tell(answer, Err(error)),
            }
        }
        if taken.is_empty() {
            return;
        }
        let entries: Vec<_> =
            taken.iter().map(|(one, _)| (one.at, one.lane.as_str(), one.payload.as_slice())).collect();
        match self.write(&entries) {
            Ok((stream, first)) => {
                for (sequence, (_, answer)) in (first..).zip(taken) {
                    tell(answer, Ok(SpoolId { stream, sequence }));
                }
            }
            Err(fault) => {
                let error = self.fault(fault, "append an entry");
                refuse(taken, &error);
            }
        }
    }

    fn write(&mut self, entries: &[(Timestamp, &str, &[u8])]) -> Result<(u64, u64), Fault> {
        let stream = match &mut self.own {
            Some(stream) => stream,
            none => none.insert(Stream::create(&self.disk, &self.config.directory).map_err(Fault::Refused)?),
        };
        Ok((stream.id, stream.append(entries, self.config.segment_bytes)?))
    }

    /// What counts against the bounds: entries, bytes, and the time of the oldest entry.
    fn used(&mut self) -> Result<(u64, u64, Option<Timestamp>)> {
        let directory = &self.config.directory;
        let (mut items, mut bytes, mut oldest) = (0, self.quarantined.1, None::<Timestamp>);
        for stream in self.own.iter_mut().chain(&mut self.adopted) {
            items += stream.items();
            bytes += stream.bytes();
            let of_stream =
                stream.oldest(&mut self.damaged).map_err(|error| error::disk(error, "read itself", directory))?;
            oldest = oldest.into_iter().chain(of_stream).min();
        }
        for name in &self.others {
            // A stream that is being drained or removed by its process may be gone the next moment.
            bytes += stream::bytes_of(&*self.disk, &directory.join(name)).unwrap_or(0);
        }
        Ok((items, bytes, oldest))
    }

    fn bounds(&self, items: u64, bytes: u64, oldest: Option<Timestamp>, now: Timestamp) -> Result<()> {
        let SpoolConfig { max_items, max_bytes, max_age, .. } = self.config;
        let age = oldest.map_or(Duration::ZERO, |oldest| oldest.until(now));
        let full = |bound: &str, expected: String, found: String| {
            let message = format!("the spool is full: {bound}: expected at most {expected}, found {found}");
            Err(Error::new(ErrorKind::RateLimited, message).with_retry(Retry::After(WAIT)))
        };
        if items > max_items {
            return full("max_items", max_items.to_string(), items.to_string());
        }
        if bytes > max_bytes {
            return full("max_bytes", max_bytes.to_string(), bytes.to_string());
        }
        if age > max_age {
            return full("max_age", format!("{} s", max_age.as_secs()), format!("{} s", age.as_secs()));
        }
        Ok(())
    }

    fn settle_all(&mut self, settlements: Vec<(Vec<SpoolId>, Answer<()>)>) {
        if settlements.is_empty() {
            return;
        }
        let ids = settlements.iter().flat_map(|(ids, _)| ids.iter().copied());
        let result = self.settle(ids.collect());
        for (_, answer) in settlements {
            tell(answer, result.as_ref().copied().map_err(again));
        }
    }

    fn settle(&mut self, ids: Vec<SpoolId>) -> Result<()> {
        self.alive()?;
        let mut by_stream: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for id in ids {
            by_stream.entry(id.stream).or_default().push(id.sequence);
        }
        for (id, sequences) in by_stream {
            let Some(stream) = self.own.iter_mut().chain(&mut self.adopted).find(|stream| stream.id == id) else {
                continue;
            };
            if let Err(fault) = stream.settle(sequences) {
                return Err(self.fault(fault, "settle an entry"));
            }
        }
        let (empty, left): (Vec<Stream>, Vec<Stream>) =
            std::mem::take(&mut self.adopted).into_iter().partition(|stream| stream.items() == 0);
        self.adopted = left;
        for stream in empty {
            stream.remove(&self.config.directory);
        }
        Ok(())
    }

    fn peek(&mut self, max: usize, stuck: &BTreeSet<String>) -> Result<Vec<SpoolEntry>> {
        self.adopt()?;
        let directory = &self.config.directory;
        let failed = |error| error::disk(error, "read its entries", directory);
        let damaged = &mut self.damaged;
        let mut streams: Vec<&mut Stream> = self.adopted.iter_mut().chain(&mut self.own).collect();
        let mut heads: Vec<(Place, Option<Found>)> = Vec::with_capacity(streams.len());
        for stream in &mut streams {
            let mut place = Place::default();
            let found = stream.next(&mut place, damaged).map_err(failed)?;
            heads.push((place, found));
        }
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while entries.len() < max {
            let next = heads
                .iter()
                .enumerate()
                .filter_map(|(n, (_, found))| Some((found.as_ref()?.head.at, n)))
                .min()
                .and_then(|(_, n)| Some((streams.get_mut(n)?, heads.get_mut(n)?)));
            let Some((stream, (place, found))) = next else { break };
            let Some(this) = found.take() else { break };
            if !entries.is_empty() && bytes + this.head.bytes() > BYTES_AT_ONCE {
                break;
            }
            let entry = stream.read(place, &this).map_err(failed)?;
            if !stuck.contains(&entry.lane) {
                bytes += this.head.bytes();
                entries.push(entry);
            }
            *found = stream.next(place, damaged).map_err(failed)?;
        }
        Ok(entries)
    }

    fn find(&mut self, id: SpoolId) -> Result<Option<SpoolEntry>> {
        let directory = &self.config.directory;
        let failed = |error| error::disk(error, "read its entries", directory);
        let Some(stream) = self.own.iter_mut().chain(&mut self.adopted).find(|stream| stream.id == id.stream) else {
            return Ok(None);
        };
        let mut place = Place::default();
        while let Some(found) = stream.next(&mut place, &mut self.damaged).map_err(failed)? {
            if found.head.sequence == id.sequence {
                return stream.read(&place, &found).map(Some).map_err(failed);
            }
            if found.head.sequence > id.sequence {
                break;
            }
        }
        Ok(None)
    }

    fn put_in_quarantine(&mut self, id: SpoolId, reason: &str) -> Result<()> {
        let Some(entry) = self.find(id)? else { return Ok(()) };
        let failed = |error, quarantine: &Aside| error::disk(error, "write its quarantine", quarantine.directory());
        // Kept before it is settled: a kill in between brings it again, and it takes its own place here.
        let old = self.quarantine.open(&id.to_string()).and_then(|file| file.length()).ok();
        let bytes = self.quarantine.keep(&entry, reason).map_err(|error| failed(error, &self.quarantine))?;
        self.quarantined.0 += u64::from(old.is_none());
        self.quarantined.1 = (self.quarantined.1 + bytes).saturating_sub(old.unwrap_or(0));
        self.settle(vec![id])
    }

    fn list_quarantine(&self, after: Option<SpoolId>, max: usize) -> Result<Vec<Quarantined>> {
        let failed = |error| error::disk(error, "read its quarantine", self.quarantine.directory());
        let names = self.quarantine.names().map_err(failed)?;
        let ids = names.iter().filter_map(|name| name.parse::<SpoolId>().ok());
        let wanted = ids.filter(|id| after.is_none_or(|after| *id > after)).take(max);
        wanted.map(|id| self.quarantine.read(id).map_err(failed)).collect()
    }

    fn discard(&mut self, id: SpoolId) -> Result<()> {
        let failed = |error, aside: &Aside| error::disk(error, "write its quarantine", aside.directory());
        let bytes = self.quarantine.remove(&id.to_string()).map_err(|error| failed(error, &self.quarantine))?;
        if let Some(bytes) = bytes {
            self.quarantined = (self.quarantined.0.saturating_sub(1), self.quarantined.1.saturating_sub(bytes));
        }
        Ok(())
    }

    fn discard_damaged(&mut self) -> Result<()> {
        let failed = |error| error::disk(error, "remove damaged bytes", &self.config.directory);
        for name in self.damaged.names().map_err(failed)? {
            self.damaged.remove(&name).map_err(failed)?;
        }
        Ok(())
    }

    fn scrub(&mut self) -> Result<()> {
        for stream in self.own.iter_mut().chain(&mut self.adopted) {
            stream.scrub().map_err(|error| error::disk(error, "scrub a segment", &self.config.directory))?;
        }
        Ok(())
    }

    fn report(&mut self) -> Result<SpoolReport> {
        self.adopt()?;
        let (items, bytes, oldest) = self.used()?;
        let damaged =
            self.damaged.names().map_err(|error| error::disk(error, "read itself", &self.config.directory))?;
        let mut faults: Vec<String> = self.faults.values().cloned().collect();
        faults.extend(self.failed.map(|doing| error::failed(doing).message().to_owned()));
        Ok(SpoolReport {
            items,
            bytes,
            oldest,
            quarantined: self.quarantined.0,
            damaged: damaged.len() as u64,
            others: self.others.len() as u64,
            faults,
        })
    }
}

/// An error that several callers get.
fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.message()).with_retry(error.retry())
}

fn refuse(group: Vec<(Append, Answer<SpoolId>)>, error: &Error) {
    for (_, answer) in group {
        tell(answer, Err(again(error)));
    }
}
