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

/// What a run measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    sizes: Vec<(String, f64, &'static str)>,
}

impl Report {
    /// Adds a thing with what it is compared with: the ratio is of wall times.
    pub(crate) fn time(&mut self, name: impl Into<String>, summary: Summary, against: &[(&str, Summary)]) {
        let ratio = |other: &Summary| summary.wall.as_secs_f64() / other.wall.as_secs_f64().max(1e-12);
        let against = against.iter().map(|(name, other)| ((*name).to_owned(), ratio(other))).collect();
        self.rows.push(Row { name: name.into(), summary, against });
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
