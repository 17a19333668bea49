//! How answers and failures reach people and machines: text or one JSON envelope on stdout, everything else on stderr.
//! Not here: what a record or an event looks like (`show`).

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use mnemic::{Object, Value, value::write_canonical_object};

use crate::exit::{Exit, Failure, Result};

/// What stdout gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One envelope for machines.
    Json,
    /// Bare ids or values, one a line.
    Quiet,
}

/// When to use color.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless `NO_COLOR` is set; `CLICOLOR_FORCE` turns it on.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl When {
    /// Whether a stream gets color.
    pub(crate) fn for_stream(self, stream: &impl anstream::stream::RawStream) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never,
        }
    }
}

/// What a command answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    data: Object,
    count: Option<u64>,
    text: String,
    brief: String,
    failure: Option<Failure>,
    streamed: bool,
}

impl Answer {
    /// An answer whose `data` is `object`; its text is shown to people.
    pub(crate) fn new(data: Object, text: impl Into<String>) -> Self {
        Self { data, text: text.into(), ..Self::default() }
    }

    /// The command wrote stdout itself ([`Output::stream`]); nothing more is shown.
    pub(crate) fn streamed() -> Self {
        Self { streamed: true, ..Self::default() }
    }

    /// How many things `data` lists.
    #[must_use]
    pub(crate) fn count(mut self, count: usize) -> Self {
        self.count = Some(count as u64);
        self
    }

    /// What `--quiet` shows.
    #[must_use]
    pub(crate) fn brief(mut self, brief: impl Into<String>) -> Self {
        self.brief = brief.into();
        self
    }

    /// The command ends with this failure, and its data and text are shown all the same.
    #[must_use]
    pub(crate) fn failed(mut self, failure: Option<Failure>) -> Self {
        self.failure = failure;
        self
    }
}

/// Where and how to show things.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// What stdout gets.
    pub(crate) format: Format,
    /// Colors for stdout.
    pub(crate) paint: Palette,
    /// Columns of the terminal, 80 without one.
    pub(crate) width: usize,
    /// Whether stdout is a terminal, which control characters could command.
    pub(crate) terminal: bool,
}

impl Output {
    pub(crate) fn new(format: Format, color: When) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let width = if terminal { textwrap::termwidth().clamp(40, 120) } else { 80 };
        Self { format, paint: Palette(color.for_stream(&stdout)), width, terminal }
    }

    /// Writes to stdout; a reader that went away ends the process quietly, as a reader that has seen enough expects.
    #[expect(clippy::unused_self, reason = "whoever writes an answer needs the way to show it")]
    pub(crate) fn stream(&self, bytes: &[u8]) -> Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| broken_output(&error))
    }

    /// Text of a caller as it may be shown: escaped on a terminal, exact in a pipe.
    pub(crate) fn safe<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.terminal { escaped(text) } else { Cow::Borrowed(text) }
    }

    /// Shows an answer at once, for a command that goes on after it and ends with [`Answer::streamed`].
    pub(crate) fn announce(&self, command: &str, answer: &Answer) -> Result<()> {
        let whose = Whose { command: command.to_owned(), namespace: None };
        self.show(&whose, Duration::ZERO, Ok(answer.clone()))
    }

    fn show(&self, whose: &Whose, took: Duration, result: Result<Answer>) -> Result<()> {
        match (self.format, result) {
            (_, Ok(answer)) if answer.streamed => Ok(()),
            (Format::Json, result) => {
                let mut line = String::new();
                write_canonical_object(&envelope(whose, took, result), &mut line);
                line.push('\n');
                self.stream(line.as_bytes())
            }
            (Format::Text, Ok(answer)) => self.stream(with_line_end(answer.text).as_bytes()),
            (Format::Quiet, Ok(answer)) => self.stream(with_line_end(answer.brief).as_bytes()),
            (Format::Text | Format::Quiet, Err(_)) => Ok(()),
        }
    }

    /// Shows the answer or failure and says how to exit.
    pub(crate) fn finish(&self, whose: &Whose, took: Duration, result: Result<Answer>) -> u8 {
        let failure = match &result {
            Ok(answer) => answer.failure.clone(),
            Err(failure) => Some(failure.clone()),
        };
        let shown = self.show(whose, took, result);
        let failure = match (shown, failure) {
            (Err(shown), _) => Some(shown),
            (Ok(()), failure) => failure,
        };
        let Some(failure) = failure else { return 0 };
        if failure.code == READER_GONE {
            return 0;
        }
        if self.format != Format::Json {
            complain(&failure);
        }
        failure.exit as u8
    }
}

/// The code of a failure that is none: whoever read stdout went away.
const READER_GONE: &str = "reader_gone";

fn broken_output(error: &io::Error) -> Failure {
    let mut failure = Failure::other(format!("cannot write to standard output: {error}"));
    if error.kind() == io::ErrorKind::BrokenPipe {
        failure.code = READER_GONE;
    }
    failure
}

/// Which command ran where, for the envelope.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whose {
    /// The command, such as `slots set`.
    pub(crate) command: String,
    /// The namespace, where it is known.
    pub(crate) namespace: Option<String>,
}

fn envelope(whose: &Whose, took: Duration, result: Result<Answer>) -> Object {
    let mut envelope = Object::from([
        ("command".to_owned(), Value::from(whose.command.as_str())),
        ("duration_ms".to_owned(), Value::from(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))),
    ]);
    if let Some(namespace) = &whose.namespace {
        envelope.insert("namespace".to_owned(), Value::from(namespace.as_str()));
    }
    let failure = match result {
        Err(failure) => Some(failure),
        Ok(answer) => {
            envelope.insert("data".to_owned(), Value::Object(answer.data));
            if let Some(count) = answer.count {
                envelope.insert("count".to_owned(), Value::from(count));
            }
            answer.failure
        }
    };
    let status = if failure.is_some() { "error" } else { "ok" };
    envelope.insert("status".to_owned(), Value::from(status));
    if let Some(failure) = failure {
        envelope.insert("error".to_owned(), Value::Object(failure_object(&failure)));
    }
    envelope
}

fn failure_object(failure: &Failure) -> Object {
    let mut object = Object::from([
        ("code".to_owned(), Value::from(failure.code)),
        ("exit".to_owned(), Value::from(failure.exit as u64)),
        ("message".to_owned(), Value::from(failure.message.as_str())),
    ]);
    for (key, value) in [("field", &failure.field), ("hint", &failure.hint)] {
        if let Some(value) = value {
            object.insert(key.to_owned(), Value::from(value.as_str()));
        }
    }
    object
}

/// Tells people what went wrong, on stderr. A stderr that is gone is no reason to fail differently.
pub(crate) fn complain(failure: &Failure) {
    let mut said = format!("mnemic: {}\n", escaped(&failure.message));
    if let Some(hint) = &failure.hint {
        let _infallible = writeln!(said, "  hint: {}", escaped(hint));
    }
    if failure.exit == Exit::Interrupted {
        said.insert(0, '\n');
    }
    tell(&said);
}

/// Writes to stderr as it is.
pub(crate) fn tell(text: &str) {
    let mut stderr = io::stderr().lock();
    if stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()).is_err() {
        tracing::trace!("stderr is closed");
    }
}

fn with_line_end(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Text with everything made visible that could command a terminal or reorder what stands beside it; line ends and tabs stay.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(commands_a_terminal) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if commands_a_terminal(c) {
            let _infallible = write!(shown, "\\u{{{:x}}}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Control characters, and characters that turn the writing direction or hide text (bidi controls, tag characters).
fn commands_a_terminal(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(u32::from(c), 0x061C | 0x200E | 0x200F | 0x202A..=0x202E | 0x2066..=0x2069 | 0xE_0000..=0xE_007F)
}

/// Text on one line, escaped.
pub(crate) fn one_line(text: &str) -> String {
    escaped(&text.split_whitespace().collect::<Vec<_>>().join(" ")).into_owned()
}

/// Colors, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Palette(pub(crate) bool);

impl Palette {
    fn paint(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn warn(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(crate) fn accent(self, text: &str) -> String {
        self.paint("36", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_stored_text_reaches_the_terminal_as_a_command() {
        let hostile = "a\u{1b}[2Jb\u{202e}c\u{9b}d\u{7f}e\rf\u{e0041}g\th\n";
        let shown = escaped(hostile);
        assert_eq!(shown, "a\\u{1b}[2Jb\\u{202e}c\\u{9b}d\\u{7f}e\\u{d}f\\u{e0041}g\th\n");
        assert!(matches!(escaped("Пошлина, 東京"), Cow::Borrowed(_)));
        assert_eq!(one_line(" a\n b\u{7} "), "a b\\u{7}");
    }

    #[test]
    fn the_envelope_says_whose_answer_it_is_and_keeps_data_beside_a_failure() {
        let whose = Whose { command: "doctor".to_owned(), namespace: Some("default".to_owned()) };
        let data = Object::from([("checks".to_owned(), Value::Array(Vec::new()))]);
        let answer =
            Answer::new(data, "").count(0).failed(Some(Failure::verification("1 check failed").hint("repair it")));
        let mut line = String::new();
        write_canonical_object(&envelope(&whose, Duration::from_millis(7), Ok(answer)), &mut line);
        let expected = concat!(
            r#"{"command":"doctor","count":0,"data":{"checks":[]},"duration_ms":7,"#,
            r#""error":{"code":"verification_failed","exit":7,"hint":"repair it","message":"1 check failed"},"#,
            r#""namespace":"default","status":"error"}"#
        );
        assert_eq!(line, expected);
    }
}
