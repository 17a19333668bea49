//! How far a copy is: a bar on a terminal, and a line now and then where there is none. Not here: the copying.

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use indicatif::{HumanDuration, ProgressBar};
use mnemic::ChangeSeq;

use crate::{
    context::Context,
    output::{Format, tell},
};

/// Between two lines.
const EVERY: Duration = Duration::from_secs(10);

/// How far a copy is.
pub(super) struct Meter {
    bar: ProgressBar,
    /// Whether lines are told.
    lines: bool,
    what: String,
    begun: (Instant, u64),
    total: u64,
    told: Instant,
}

impl Meter {
    /// `done` of `total` changes are there already.
    pub(super) fn new(ctx: &Context, what: &str, done: u64, total: u64) -> Self {
        let bar = ctx.progress(Some(total), "copying");
        bar.set_position(done);
        bar.reset_eta();
        let lines = ctx.output.format == Format::Text && !io::stderr().is_terminal();
        let now = Instant::now();
        Self { bar, lines, what: what.to_owned(), begun: (now, done), total, told: now }
    }

    /// The copy reached a position.
    pub(super) fn reached(&mut self, seq: ChangeSeq) {
        self.total = self.total.max(seq.0);
        self.bar.set_length(self.total);
        self.bar.set_position(seq.0);
        if self.lines && self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            tell(&format!("{}\n", line(&self.what, seq.0, self.total, self.begun.0.elapsed(), self.begun.1)));
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn line(what: &str, at: u64, total: u64, took: Duration, first: u64) -> String {
    let rate = at.saturating_sub(first) as f64 / took.as_secs_f64().max(0.001);
    let left = total.saturating_sub(at);
    let time = match left {
        0 => String::new(),
        _ if rate < 0.001 => ", and nobody knows how long it takes".to_owned(),
        _ => format!(", {} left", HumanDuration(Duration::from_secs_f64((left as f64 / rate).min(1e9)))),
    };
    format!("{what}: {at} of {total} changes, {rate:.0} a second{time}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rate_and_time_left() {
        let shown = line("default", 3000, 9000, Duration::from_secs(10), 1000);
        assert_eq!(shown, "default: 3000 of 9000 changes, 200 a second, 30 seconds left");
        assert_eq!(line("x", 5, 5, Duration::from_secs(5), 0), "x: 5 of 5 changes, 1 a second");
        assert!(line("x", 0, 5, Duration::from_secs(5), 0).contains("nobody knows"));
    }
}
