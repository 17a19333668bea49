//! The answer of `mnemic doctor`: one line a check, and how to repair it. Not here: what is checked.

use std::fmt::Write as _;

use mnemic::Value;

use crate::{
    exit::Failure,
    output::{Answer, Output, escaped},
    show,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Odd,
    Bad,
}

/// One line of the answer.
#[derive(Clone, Debug)]
struct Check {
    name: String,
    verdict: Verdict,
    message: String,
    fix: Option<String>,
}

/// The lines of the answer so far.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<Check>);

impl Checks {
    /// Something is as it should be.
    pub(super) fn good(&mut self, name: &str, message: impl Into<String>) {
        self.push(name, Verdict::Good, message.into(), None);
    }

    /// Something works and may not go on working.
    pub(super) fn odd(&mut self, name: &str, message: impl Into<String>, fix: &str) {
        self.push(name, Verdict::Odd, message.into(), Some(fix));
    }

    /// Something does not work.
    pub(super) fn bad(&mut self, name: &str, message: impl Into<String>, fix: &str) {
        self.push(name, Verdict::Bad, message.into(), Some(fix));
    }

    fn push(&mut self, name: &str, verdict: Verdict, message: String, fix: Option<&str>) {
        self.0.push(Check { name: name.to_owned(), verdict, message, fix: fix.map(str::to_owned) });
    }

    /// All of it, failed if anything is bad.
    pub(super) fn answer(self, output: &Output) -> Answer {
        let bad = self.0.iter().filter(|check| check.verdict == Verdict::Bad).count();
        let checks = self.0.iter().map(|check| {
            let verdict = match check.verdict {
                Verdict::Good => "ok",
                Verdict::Odd => "warning",
                Verdict::Bad => "failed",
            };
            let mut object = show::object([
                ("name", Value::from(check.name.as_str())),
                ("verdict", Value::from(verdict)),
                ("message", Value::from(check.message.as_str())),
            ]);
            if let Some(fix) = &check.fix {
                object.insert("fix".to_owned(), Value::from(fix.as_str()));
            }
            object
        });
        let data = show::object([("checks", show::objects(checks))]);
        let failure = (bad > 0).then(|| Failure::verification(format!("{} failed", show::plural(bad, "check"))));
        Answer::new(data, self.text(output)).count(self.0.len()).failed(failure)
    }

    fn text(&self, output: &Output) -> String {
        let mut text = String::new();
        let name_width = self.0.iter().map(|check| check.name.len()).max().unwrap_or(0).min(30);
        let indent = name_width + 3;
        for check in &self.0 {
            let mark = match check.verdict {
                Verdict::Good => output.paint.good("✓"),
                Verdict::Odd => output.paint.warn("!"),
                Verdict::Bad => output.paint.bad("✗"),
            };
            for (i, line) in check.message.lines().enumerate() {
                let (mark, name) = if i == 0 { (mark.as_str(), check.name.as_str()) } else { (" ", "") };
                let _infallible = writeln!(
                    text,
                    "{mark} {name:<name_width$} {}",
                    show::wrapped(&escaped(line), output.width, indent)
                );
            }
            if let Some(fix) = &check.fix {
                let _infallible = writeln!(
                    text,
                    "{:indent$}{} {}",
                    "",
                    output.paint.dim("fix:"),
                    show::wrapped(&escaped(fix), output.width, indent + 5)
                );
            }
        }
        text
    }
}
