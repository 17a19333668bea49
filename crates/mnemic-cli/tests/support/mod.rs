//! Runs the real program in a directory of its own with nothing of the surrounding environment. Not here: what is asserted.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A home with a memory in it.
pub(crate) struct Home {
    directory: TempDir,
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    /// A path beside the memory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the memory lies.
    pub(crate) fn memory(&self) -> PathBuf {
        self.path("memory")
    }

    /// Where a namespace lies.
    pub(crate) fn namespace(&self, name: &str) -> PathBuf {
        self.memory().join("namespaces").join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mnemic"));
        command.env_clear().env("HOME", self.directory.path()).env("MNEMIC_DIR", self.memory());
        command.current_dir(self.directory.path()).stdin(Stdio::null()).args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        finished(&mut self.command(args))
    }

    /// The output of a run that must succeed.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let run = self.run(args);
        assert_eq!(run.code, 0, "mnemic {args:?}: {run:?}");
        run.out
    }

    /// What a run that must fail with this code says.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, args: &[&str]) -> String {
        let run = self.run(args);
        assert_eq!(run.code, code, "mnemic {args:?}: {run:?}");
        assert!(!run.err.is_empty(), "mnemic {args:?} failed without a word");
        assert!(!run.err.contains("panicked"), "{}", run.err);
        run.err
    }

    /// The envelope of a run.
    #[track_caller]
    pub(crate) fn envelope(&self, args: &[&str]) -> Value {
        let run = finished(&mut self.command(&[&["--json"], args].concat()));
        assert_eq!(run.out.matches('\n').count(), 1, "one line: {run:?}");
        serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run:?}"))
    }

    /// The data of a run that must succeed.
    #[track_caller]
    pub(crate) fn data(&self, args: &[&str]) -> Value {
        let mut envelope = self.envelope(args);
        assert_eq!(envelope["status"], "ok", "mnemic {args:?}: {envelope}");
        envelope["data"].take()
    }

    /// A run with something on standard input.
    pub(crate) fn piped(&self, input: &[u8], args: &[&str]) -> Run {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The program may refuse before it reads.
        let _refused = child.stdin.take().unwrap().write_all(input);
        as_run(&child.wait_with_output().unwrap())
    }

    /// The texts that a search finds, best first.
    #[track_caller]
    pub(crate) fn found(&self, args: &[&str]) -> Vec<String> {
        let data = self.data(&[&["search"], args].concat());
        data["hits"].as_array().unwrap().iter().map(|hit| hit["record"]["text"].as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) fn finished(command: &mut Command) -> Run {
    as_run(&command.output().unwrap())
}

fn as_run(output: &std::process::Output) -> Run {
    Run {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout.clone()).unwrap(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Every file below a directory with its bytes, in order of path.
pub(crate) fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push((path.clone(), std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
