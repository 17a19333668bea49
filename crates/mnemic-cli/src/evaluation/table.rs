//! The figures as a table for people and as an object for machines. Not here: computing them (`metrics`).

use std::{fmt::Write as _, time::Duration};

use mnemic::{Mode, Number, Object, Value};

use super::{
    metrics::{Figures, Means},
    run::Measured,
};

/// One mode with what it reached.
pub(crate) type ByMode = Vec<(Mode, Measured)>;

/// The stable name of a mode.
pub(crate) const fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Hybrid => "hybrid",
        Mode::Dense => "dense",
        Mode::Lexical => "lexical",
    }
}

/// The tables: by record, by session where there are sessions, and the speed.
pub(crate) fn text(measured: &ByMode) -> String {
    let mut text = String::new();
    section(&mut text, "By record", measured, |measured| &measured.records);
    if measured.iter().any(|(_, measured)| !measured.sessions.rows().is_empty()) {
        section(&mut text, "By session", measured, |measured| &measured.sessions);
    }
    text.push_str("\nSpeed (ten hits)       median ms    questions/s\n");
    for (mode, measured) in measured {
        let (median, rate) = speed(&measured.times);
        line(&mut text, format_args!("{:<22} {:>9.2}    {rate:>11.0}", name(*mode), median.as_secs_f64() * 1e3));
        if measured.degraded > 0 {
            line(&mut text, format_args!("  {} answers were degraded", measured.degraded));
        }
    }
    text
}

fn section(text: &mut String, title: &str, measured: &ByMode, pick: impl Fn(&Measured) -> &Means) {
    if !text.is_empty() {
        text.push('\n');
    }
    line(
        text,
        format_args!(
            "{title:<10} {:<26} {:>5} {:>7} {:>7} {:>7} {:>8}",
            "category", "n", "R@5", "R@10", "R@50", "NDCG@10"
        ),
    );
    for (mode, measured) in measured {
        for (category, count, figures) in pick(measured).rows() {
            let Figures { recall_5, recall_10, recall_50, ndcg_10 } = figures;
            let percent = |share: f64| share * 100.0;
            let (r5, r10, r50, n10) = (percent(recall_5), percent(recall_10), percent(recall_50), percent(ndcg_10));
            let mode = name(*mode);
            line(text, format_args!("{mode:<10} {category:<26} {count:>5} {r5:>7.1} {r10:>7.1} {r50:>7.1} {n10:>8.1}"));
        }
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _infallible = writeln!(text, "{arguments}");
}

/// The median time of a question, and how many there are in a second.
fn speed(times: &[Duration]) -> (Duration, f64) {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let whole: Duration = sorted.iter().sum();
    let rate = if whole.is_zero() { 0.0 } else { sorted.len() as f64 / whole.as_secs_f64() };
    (median, rate)
}

/// The same for machines: by mode, by level, by category.
pub(crate) fn object(measured: &ByMode) -> Object {
    let number = |value: f64| Number::from_f64(value).map_or(Value::Null, Value::Number);
    let level = |means: &Means| -> Object {
        let row = |(category, count, figures): (&str, usize, Figures)| {
            let figures = Object::from([
                ("questions".to_owned(), Value::from(count as u64)),
                ("recall_5".to_owned(), number(figures.recall_5)),
                ("recall_10".to_owned(), number(figures.recall_10)),
                ("recall_50".to_owned(), number(figures.recall_50)),
                ("ndcg_10".to_owned(), number(figures.ndcg_10)),
            ]);
            (category.to_owned(), Value::from(figures))
        };
        means.rows().into_iter().map(row).collect()
    };
    let mode = |(mode, measured): &(Mode, Measured)| {
        let (median, rate) = speed(&measured.times);
        let mut object = Object::from([
            ("records".to_owned(), Value::from(level(&measured.records))),
            ("median_ms".to_owned(), number(median.as_secs_f64() * 1e3)),
            ("questions_per_second".to_owned(), number(rate)),
            ("degraded".to_owned(), Value::from(measured.degraded as u64)),
        ]);
        let sessions = level(&measured.sessions);
        if !sessions.is_empty() {
            object.insert("sessions".to_owned(), sessions.into());
        }
        (name(*mode).to_owned(), Value::from(object))
    };
    measured.iter().map(mode).collect()
}
