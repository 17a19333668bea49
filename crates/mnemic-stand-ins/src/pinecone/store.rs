//! The vectors of one index by namespace: a log of writes, and what of it shows yet. Not here: the wire (`data`).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::{habits::Set, metadata::Metadata};

/// One vector.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) values: Vec<f32>,
    pub(super) metadata: Option<Metadata>,
}

/// Vectors by id, in the order of bytes, which is C collation.
pub(super) type Vectors = BTreeMap<String, Arc<Record>>;

/// One write, with everything decided.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Put(String, Arc<Record>),
    Remove(String),
    Clear,
}

/// One namespace.
#[derive(Debug, Default)]
pub(super) struct Space {
    /// Whether it exists; its log goes on if it is made again.
    pub(super) exists: bool,
    written: Vectors,
    shown: Vectors,
    log: VecDeque<(Instant, u64, Vec<Write>)>,
    last: u64,
    indexed: u64,
}

impl Space {
    /// What was written, at once.
    pub(super) fn written(&self) -> &Vectors {
        &self.written
    }

    /// What shows by now, and the position up to which it does.
    pub(super) fn shown(&mut self, habits: &Set) -> (&Vectors, u64) {
        while let Some((due, lsn, writes)) = self.log.pop_front() {
            if habits.held || Instant::now() < due {
                self.log.push_front((due, lsn, writes));
                break;
            }
            for write in writes {
                apply(&mut self.shown, write);
            }
            self.indexed = lsn;
        }
        (&self.shown, self.indexed)
    }

    /// Takes writes as one entry of the log and tells its position.
    pub(super) fn write(&mut self, writes: Vec<Write>, habits: &Set) -> u64 {
        self.exists = true;
        self.last += 1;
        for write in &writes {
            apply(&mut self.written, write.clone());
        }
        self.log.push_back((Instant::now() + habits.lag, self.last, writes));
        self.last
    }

    /// Removes the namespace with all that it holds.
    pub(super) fn remove(&mut self, habits: &Set) -> u64 {
        let lsn = self.write(vec![Write::Clear], habits);
        self.exists = false;
        lsn
    }
}

fn apply(vectors: &mut Vectors, write: Write) {
    match write {
        Write::Put(id, record) => drop(vectors.insert(id, record)),
        Write::Remove(id) => drop(vectors.remove(&id)),
        Write::Clear => vectors.clear(),
    }
}

/// How close two vectors are by the metric, higher is closer but for `euclidean`.
pub(super) fn score(metric: &str, a: &[f32], b: &[f32]) -> f32 {
    let (mut dot, mut a2, mut b2, mut apart) = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        dot += a * b;
        a2 += a * a;
        b2 += b * b;
        apart += (a - b) * (a - b);
    }
    match metric {
        "dotproduct" => dot as f32,
        "euclidean" => apart as f32,
        _ if a2 == 0.0 || b2 == 0.0 => 0.0,
        // Not clamped: the service's own sums go a little over 1, and clients must bear it.
        _ => (dot / (a2.sqrt() * b2.sqrt())) as f32,
    }
}
