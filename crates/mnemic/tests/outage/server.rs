//! A PostgreSQL server of the campaign's own, which may be killed, stopped and frozen. Not here: when that happens (`script`).

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The directory of the server's programs; its libraries lie in `lib` beside it.
const PROGRAMS: &str = "MNEMIC_TEST_POSTGRES_18_BIN";
/// Whom the server runs as where this runs as root.
const SERVER_USER: &str = "postgres";
/// The role that the memory connects as: no superuser, and owner of nothing.
const ROLE: &str = "mnemic_outage";
const DATABASE: &str = "outage";
/// How long it may take to start, recovery included, or to stop.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(50);

/// How it is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Without a chance to do anything.
    Kill,
    /// At once, leaving recovery to the next start.
    Immediate,
    /// In order.
    Fast,
}

/// A server in a fresh directory. It stops when this is dropped, and also when the thread that started it ends.
#[derive(Debug)]
pub struct Server {
    programs: PathBuf,
    directory: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
}

/// Where its programs are.
pub fn programs() -> Result<PathBuf, String> {
    std::env::var_os(PROGRAMS).map(PathBuf::from).ok_or_else(|| format!("{PROGRAMS} names no directory of programs"))
}

impl Server {
    pub fn start(programs: PathBuf) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if is_root() {
            chown(directory.path(), Some(id(&["-u", SERVER_USER])), Some(id(&["-g", SERVER_USER]))).unwrap();
        }
        let mut server = Self { programs, directory, port, process: None };
        let data = server.directory.path().join("data");
        let mut initdb = server.command("initdb");
        initdb.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "-D"]).arg(data);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.run();
        server.sql("postgres", &format!("CREATE ROLE {ROLE} LOGIN"));
        server.sql("postgres", &format!("CREATE DATABASE {DATABASE}"));
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How the memory connects by way of `port`, and how it brings the schema up to date.
    pub fn addresses(port: u16) -> (String, String) {
        let of = |user: &str| format!("postgresql://{user}@127.0.0.1:{port}/{DATABASE}");
        (of(ROLE), of("postgres"))
    }

    /// Starts it again and waits until it answers. What a killed server leaves behind may refuse the first tries.
    pub fn run(&mut self) {
        let begun = Instant::now();
        while self.process.is_none() || !self.answers() {
            assert!(begun.elapsed() < PATIENCE, "the server does not come back:\n{}", self.last_words());
            if self.process.as_mut().is_none_or(|process| process.try_wait().unwrap().is_some()) {
                self.process = Some(self.spawn());
            }
            thread::sleep(PAUSE);
        }
    }

    fn spawn(&self) -> Child {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.directory.path().join("data")).args(["-p", &self.port.to_string()]);
        // As a server in use has it: what it acknowledged is on its disk.
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=on", "max_connections=80"] {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    pub fn stop(&mut self, how: Stop) {
        let Some(mut process) = self.process.take() else { return };
        match how {
            Stop::Kill => process.kill().unwrap(),
            Stop::Immediate => signal("QUIT", &[process.id()]),
            Stop::Fast => signal("INT", &[process.id()]),
        }
        let begun = Instant::now();
        while process.try_wait().unwrap().is_none() {
            if begun.elapsed() > PATIENCE {
                process.kill().unwrap();
            }
            thread::sleep(PAUSE);
        }
    }

    /// Kills one of the processes that serve connections, whereupon the server throws out everybody and recovers.
    pub fn kill_one(&self, which: u64) {
        let serving = self.children();
        if let Some(process) = serving.get(which as usize % serving.len().max(1)) {
            signal("KILL", &[*process]);
        }
    }

    /// Everything stands still, and connections stay open.
    pub fn freeze(&self) {
        signal("STOP", &self.all());
    }

    pub fn thaw(&self) {
        signal("CONT", &self.all());
    }

    /// Whether new connections of the memory are refused for want of room; the present ones are thrown out.
    pub fn crowd(&self, crowded: bool) {
        let most = if crowded { 0 } else { -1 };
        self.sql("postgres", &format!("ALTER ROLE {ROLE} CONNECTION LIMIT {most}"));
        if crowded {
            let throw = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'");
            self.sql("postgres", &throw);
        }
    }

    /// Runs a statement as a superuser, directly and not by way of any line.
    pub fn sql(&self, database: &str, sql: &str) {
        let mut psql = self.command("psql");
        psql.env("PGCONNECT_TIMEOUT", "10").args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d"]);
        let done = psql.arg(self.direct(database)).args(["-c", sql]).output().unwrap();
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn direct(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }

    fn answers(&self) -> bool {
        let mut ready = self.command("pg_isready");
        ready.args(["-q", "-t", "2", "-d"]).arg(self.direct("postgres"));
        ready.status().is_ok_and(|status| status.success())
    }

    fn all(&self) -> Vec<u32> {
        let mut all = self.children();
        // The first to stop and the first to go on is the one that starts others.
        all.splice(0..0, self.process.iter().map(Child::id));
        all
    }

    fn children(&self) -> Vec<u32> {
        let Some(parent) = self.process.as_ref().map(Child::id) else { return Vec::new() };
        let listed = fs::read_dir("/proc").unwrap().flatten();
        let process = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
        let child = |process: &u32| {
            // The second field is a name in parentheses that may hold anything; the parent is the second one after it.
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            let after = stat.rsplit_once(')').map(|(_, after)| after.to_owned()).unwrap_or_default();
            after.split_whitespace().nth(1).and_then(|field| field.parse().ok()) == Some(parent)
        };
        listed.filter_map(process).filter(child).collect()
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// A program of the server as a user whom it accepts; it ends with the thread that starts it.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "INT"]);
        if is_root() {
            command.args(["--reuid", SERVER_USER, "--regid", SERVER_USER, "--init-groups"]);
        }
        command.arg("--").arg(self.programs.join(program));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").current_dir("/");
        let libraries = self.programs.parent().unwrap_or(Path::new("/")).join("lib");
        command.env("LD_LIBRARY_PATH", libraries);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.thaw();
        self.stop(Stop::Immediate);
    }
}

fn signal(name: &str, processes: &[u32]) {
    // One that ended meanwhile is no fault.
    let numbers = processes.iter().map(u32::to_string);
    let sent = Command::new("kill").arg("-s").arg(name).args(numbers).stderr(Stdio::null()).status();
    drop(sent);
}

fn is_root() -> bool {
    id(&["-u"]) == 0
}

fn id(arguments: &[&str]) -> u32 {
    let output = Command::new("id").args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}
