//! Running a command while showing and reading what it prints. Not here: which commands run, and why.

use std::{
    ffi::OsString,
    io::{self, BufRead, BufReader, IsTerminal, Read, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use crate::{Outcome, tally::Tally};

/// Prints one line for people.
pub(crate) fn say(line: &str) {
    show(&mut io::stderr().lock(), format!("{}\n", line.trim_end()).as_bytes());
}

/// Prints one line of what the task is for.
pub(crate) fn answer(line: &str) {
    show(&mut io::stdout().lock(), format!("{line}\n").as_bytes());
}

/// A reader that went away is no reason to fail a task: its exit code still tells the outcome.
fn show(to: &mut impl Write, bytes: &[u8]) {
    if to.write_all(bytes).is_ok() {
        drop(to.flush());
    }
}

/// A cargo command at the root of the workspace.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root).args(arguments);
    if io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Outcome {
    let status = command.status().map_err(|e| format!("{} did not start: {e}", described(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed ({status})", described(command))) }
}

/// Runs a command to its end and counts the tests that it reports.
pub(crate) fn finish_tests(command: &mut Command) -> (Tally, Outcome) {
    match tee(command) {
        Ok((tally, outcome)) => (tally, outcome),
        Err(why) => (Tally::default(), Err(why)),
    }
}

/// Whether a command exists and succeeds, silently.
pub(crate) fn works(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

fn tee(command: &mut Command) -> Result<(Tally, Outcome), String> {
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|e| format!("{} did not start: {e}", described(command)))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    // Both pipes are read at once: a child that fills the unread one would wait for ever.
    let tally = thread::scope(|scope| {
        let out = scope.spawn(move || out.map_or_else(Tally::default, |from| copy(from, &mut io::stdout())));
        let err = scope.spawn(move || err.map_or_else(Tally::default, |from| copy(from, &mut io::stderr())));
        out.join().unwrap_or_default() + err.join().unwrap_or_default()
    });
    let status = child.wait().map_err(|e| format!("{} was lost: {e}", described(command)))?;
    let outcome = if status.success() { Ok(()) } else { Err(format!("{} failed ({status})", described(command))) };
    Ok((tally, outcome))
}

fn copy(from: impl Read, to: &mut impl Write) -> Tally {
    let mut lines = BufReader::new(from);
    let mut tally = Tally::default();
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        show(to, &line);
        tally.read(&String::from_utf8_lossy(&line));
        line.clear();
    }
    tally
}

/// The command as a person would type it.
fn described(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or_default().to_string_lossy();
    let arguments = command.get_args().map(|a| a.to_string_lossy());
    std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_does_not_exist_is_an_error_that_names_it() {
        let why = finish(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(why.contains("no-such-program-here"), "{why}");
        let (_, outcome) = finish_tests(&mut Command::new("no-such-program-here"));
        assert!(outcome.is_err());
        assert!(!works(&mut Command::new("no-such-program-here")));
    }

    #[test]
    fn what_a_command_prints_is_shown_whole_and_counted() {
        let mut shown = Vec::new();
        let printed = "a\ntest result: ok. 2 passed; 0 failed; 1 ignored; 0 measured\nno end of line";
        let tally = copy(printed.as_bytes(), &mut shown);
        assert_eq!(String::from_utf8(shown).unwrap(), printed);
        assert_eq!((tally.passed, tally.failed, tally.skipped), (2, 0, 1));
    }
}
