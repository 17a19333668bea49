//! The table that a run prints. Not here: measuring.

use std::{fmt, time::Duration};

use crate::measure::Summary;

/// One measured thing.
#[derive(Clone, Debug)]
struct Row {
    name: String,
    summary: Summary,
    /// What it is compared with, and how often that fits into it.
    against: Vec<(String, f64)>,
}

/// What a ratio is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Target {
    fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(most) => ratio <= most,
            Self::AtLeast(least) => ratio >= least,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "at most {most:.2}"),
            Self::AtLeast(least) => write!(f, "at least {least:.2}"),
        }
    }
}

/// A ratio that has a target.
#[derive(Clone, Debug)]
struct Claim {
    name: String,
    target: Target,
    /// The figure and that of its peer.
    figures: [f64; 2],
    /// The unit of both, and what the peer is.
    against: [&'static str; 2],
}

/// What a run measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    sizes: Vec<(String, f64, &'static str)>,
    claims: Vec<Claim>,
    notes: Vec<String>,
}

impl Report {
    /// Adds a thing with what it is compared with: the ratio is of wall times.
    pub(crate) fn time(&mut self, name: impl Into<String>, summary: Summary, against: &[(&str, Summary)]) {
        let ratio = |other: &Summary| summary.wall.as_secs_f64() / other.wall.as_secs_f64().max(1e-12);
        let against = against.iter().map(|(name, other)| ((*name).to_owned(), ratio(other))).collect();
        self.rows.push(Row { name: name.into(), summary, against });
    }

    /// Adds a ratio that has a target: a figure and its peer's in the same unit, and what the peer is.
    pub(crate) fn claim(
        &mut self,
        name: impl Into<String>,
        target: Target,
        figures: [f64; 2],
        unit: &'static str,
        peer: &'static str,
    ) {
        self.claims.push(Claim { name: name.into(), target, figures, against: [unit, peer] });
    }

    /// Adds a sentence, such as what was not measured and why.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds a size.
    pub(crate) fn size(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.sizes.push((name.into(), value, unit));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        writeln!(f, "{:<44} {:>10} {:>10} {:>10}   ratio", "milliseconds", "wall", "wall min", "cpu")?;
        for Row { name, summary, against } in &self.rows {
            let (wall, min, cpu) =
                (milliseconds(summary.wall), milliseconds(summary.wall_min), milliseconds(summary.cpu));
            write!(f, "{name:<44} {wall:>10.3} {min:>10.3} {cpu:>10.3}  ")?;
            for (other, ratio) in against {
                write!(f, " {} x {other};", significant(*ratio))?;
            }
            writeln!(f)?;
        }
        writeln!(f)?;
        for (name, value, unit) in &self.sizes {
            writeln!(f, "{name:<44} {value:>10.2} {unit}")?;
        }
        if !self.claims.is_empty() {
            writeln!(f, "\n{:<48} {:>13} {:>7} {:<7}  measured", "targets", "target", "ratio", "verdict")?;
        }
        for Claim { name, target, figures: [figure, peer], against: [unit, what] } in &self.claims {
            let ratio = figure / peer.max(1e-12);
            let verdict = if target.is_met(ratio) { "met" } else { "MISSED" };
            let target = target.to_string();
            write!(f, "{name:<48} {target:>13} {ratio:>7.2} {verdict:<7}  ")?;
            writeln!(f, "{} against {} {unit} ({what})", significant(*figure), significant(*peer))?;
        }
        for note in &self.notes {
            writeln!(f, "\n{note}")?;
        }
        Ok(())
    }
}

/// A ratio with as many digits as it deserves.
fn significant(ratio: f64) -> String {
    match ratio {
        r if r >= 100.0 => format!("{r:.0}"),
        r if r >= 1.0 => format!("{r:.1}"),
        r => format!("{r:.3}"),
    }
}
