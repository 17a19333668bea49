//! Stopwatches: wall time, processor time of the whole process, memory, bytes on disk. Not here: what is measured.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

/// Wall and processor time of one run of something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Took {
    pub wall: Duration,
    /// Of all threads of the process, so that work moved to another thread is counted too.
    pub cpu: Duration,
}

impl Took {
    /// Adds another run.
    pub(crate) fn add(&mut self, other: Self) {
        self.wall += other.wall;
        self.cpu += other.cpu;
    }

    /// The time of one of `count` alike.
    pub(crate) fn each(self, count: usize) -> Self {
        let count = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        Self { wall: self.wall / count, cpu: self.cpu / count }
    }
}

/// A running stopwatch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { cpu: cpu_time(), wall: Instant::now() }
    }

    pub(crate) fn stop(self) -> Took {
        Took { wall: self.wall.elapsed(), cpu: cpu_time().saturating_sub(self.cpu) }
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Medians and minimum of several runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    pub wall: Duration,
    pub wall_min: Duration,
    pub cpu: Duration,
}

impl Summary {
    pub(crate) fn of(runs: &[Took]) -> Self {
        let mut wall: Vec<Duration> = runs.iter().map(|run| run.wall).collect();
        let mut cpu: Vec<Duration> = runs.iter().map(|run| run.cpu).collect();
        wall.sort_unstable();
        cpu.sort_unstable();
        let middle = |sorted: &[Duration]| sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        Self { wall: middle(&wall), wall_min: wall.first().copied().unwrap_or_default(), cpu: middle(&cpu) }
    }
}

/// Bytes of memory that the process holds, where the system tells.
pub(crate) fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Bytes of all files below a directory.
pub(crate) fn disk_bytes(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { disk_bytes(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}
