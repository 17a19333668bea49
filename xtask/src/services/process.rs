//! One server process: started, waited for until it answers, and stopped. Not here: how a certain server is set up.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::run;

/// How long a server may take to answer, and to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// A running server; it stops when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `command` with its output in the file `log`.
    pub(super) fn start(name: &'static str, command: &mut Command, log: &Path) -> Result<Self, String> {
        let file = File::create(log).map_err(|e| format!("{} cannot be made: {e}", log.display()))?;
        let other = file.try_clone().map_err(|e| format!("{} cannot be shared: {e}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file).stderr(other);
        let child = command.spawn().map_err(|e| format!("{name} did not start: {e}"))?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    /// Waits until `answers`, as long as the server lives.
    pub(super) fn wait_until(mut self, answers: impl Fn() -> bool) -> Result<Self, String> {
        let start = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("{} ended at once ({status}):\n{}", self.name, self.last_words()));
            }
            if answers() {
                return Ok(self);
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("{} does not answer:\n{}", self.name, self.last_words()));
            }
            thread::sleep(PAUSE);
        }
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.split_at(lines.len().saturating_sub(12)).1.join("\n")
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    /// Asks with the signal that PostgreSQL takes for "now, in order", and does not take long silence for an answer.
    fn drop(&mut self) {
        let start = Instant::now();
        let asked = self.has_ended() || run::works(Command::new("kill").arg("-INT").arg(self.child.id().to_string()));
        while asked && !self.has_ended() && start.elapsed() < PATIENCE {
            thread::sleep(PAUSE);
        }
        if !self.has_ended() {
            run::say(&format!("{} does not stop and is killed", self.name));
            let killed = self.child.kill().and_then(|()| self.child.wait());
            drop(killed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("mnemic-{name}-{}.log", std::process::id()))
    }

    fn lives(process: u32) -> bool {
        run::works(Command::new("kill").arg("-0").arg(process.to_string()))
    }

    #[test]
    fn a_server_that_ends_at_once_is_an_error_with_its_last_words() {
        let log = log("last-words");
        let server = Server::start("sh", Command::new("sh").args(["-c", "echo out of luck; exit 3"]), &log).unwrap();
        let why = server.wait_until(|| false).unwrap_err();
        assert!(why.contains("out of luck") && why.contains('3'), "{why}");
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn a_server_stops_when_it_is_dropped() {
        let log = log("dropped");
        let server = Server::start("sleep", Command::new("sleep").arg("600"), &log).unwrap().wait_until(|| true);
        let server = server.unwrap();
        let process = server.child.id();
        assert!(lives(process));
        drop(server);
        assert!(!lives(process));
        fs::remove_file(log).unwrap();
    }
}
