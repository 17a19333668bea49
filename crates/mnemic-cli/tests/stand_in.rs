//! `mnemic dev stand-in`: starts, tells how to use it, serves, stops. Not here: what a stand-in answers (`mnemic-stand-ins`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{Home, finished};

/// A stand-in that runs as a process of its own, and ends with the test whatever happens.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    fn start(home: &Home, args: &[&str]) -> Self {
        let mut command = home.command(&[&["dev", "stand-in"], args].concat());
        // Whoever develops against a stand-in has no right settings yet.
        command.env("ENV", "production").env("MNEMIC_INDEX", "nonsense");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Sends a signal and waits, at most ten seconds.
    fn stop(&mut self, signal: &str) -> ExitStatus {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "it goes on after {signal}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Status and body of a plain GET, as curl would send it.
fn get(url: &str, path: &str, headers: &[(&str, &str)]) -> std::io::Result<(u16, String)> {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n")?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split_whitespace().nth(1).unwrap().parse().unwrap();
    Ok((status, answer.split_once("\r\n\r\n").unwrap().1.to_owned()))
}

fn vendors(home: &Home) -> Vec<String> {
    home.ok(&["dev", "stand-in", "--list", "-q"]).lines().map(str::to_owned).collect()
}

#[test]
fn every_vendor_of_the_list_starts_tells_its_variables_serves_and_stops() {
    let home = Home::new();
    let names = vendors(&home);
    assert!(names.contains(&"pinecone".to_owned()), "{names:?}");
    for name in names {
        let mut running = Running::start(&home, &[&name, "--port", "0", "--json"]);
        let told: Value = serde_json::from_str(&running.line()).unwrap();
        assert_eq!((told["status"].as_str(), told["command"].as_str()), (Some("ok"), Some("dev stand-in")), "{told}");
        let url = told["data"]["url"].as_str().unwrap();
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        let (status, _) = get(url, "/", &[]).unwrap();
        assert!((200..600).contains(&status), "{name} answers with {status}");
        assert_eq!(running.stop("-INT").code(), Some(0), "{name}");
        assert!(get(url, "/", &[]).is_err(), "{name} still answers");
    }
}

#[test]
fn the_variables_that_are_told_lead_a_production_memory_to_the_stand_in() {
    let home = Home::new();
    for name in vendors(&home) {
        let mut running = Running::start(&home, &[&name, "--port", "0", "--json"]);
        let told: Value = serde_json::from_str(&running.line()).unwrap();
        let url = told["data"]["url"].as_str().unwrap();
        let mut command = home.command(&["config", "show", "--json"]);
        command.env("ENV", "production").env("POSTGRES_DSN", "postgresql://app@localhost/memory");
        for (variable, value) in told["data"]["environment"].as_object().unwrap() {
            command.env(variable, value.as_str().unwrap());
        }
        let run = finished(&mut command);
        assert_eq!(run.code, 0, "{name}: {run:?}");
        let shown: Value = serde_json::from_str(&run.out).unwrap();
        let settings = shown["data"]["settings"].as_array().unwrap();
        let led = settings.iter().filter(|entry| entry["value"].as_str().unwrap().starts_with(url)).count();
        assert_eq!(led, 1, "{name}: one setting holds {url}: {told}");
    }
}

#[test]
fn what_is_printed_can_be_read_by_a_shell_and_the_stand_in_used_with_it() {
    let home = Home::new();
    let mut running = Running::start(&home, &["pinecone", "--port", "0"]);
    let about = running.line();
    assert!(about.starts_with("# ") && about.contains("until Ctrl-C"), "{about}");
    let mut variables = BTreeMap::new();
    while variables.len() < 3 {
        let line = running.line();
        let (name, value) = line.strip_prefix("export ").and_then(|rest| rest.split_once('=')).expect(&line);
        variables.insert(name.to_owned(), value.to_owned());
    }
    let (url, key) = (&variables["MNEMIC_PINECONE_URL"], variables["PINECONE_API_KEY"].as_str());
    let headers = [("Api-Key", key), ("X-Pinecone-Api-Version", "2026-07")];
    let (status, body) = get(url, "/indexes", &headers).unwrap();
    let indexes: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, indexes["indexes"].as_array().map(Vec::len)), (200, Some(0)), "{body}");
    assert_eq!(get(url, "/indexes", &headers[1..]).unwrap().0, 401);
    assert_eq!(running.stop("-TERM").code(), Some(0));
}

#[test]
fn a_port_that_is_taken_is_told_with_a_way_out() {
    let home = Home::new();
    let mut first = Running::start(&home, &["pinecone", "--port", "0", "-q"]);
    let url = first.line();
    let port = url.rsplit(':').next().unwrap();
    let said = home.fails(1, &["dev", "stand-in", "pinecone", "--port", port]);
    assert!(said.contains(&format!("127.0.0.1:{port}")) && said.contains("--port 0"), "{said}");
}

#[test]
fn a_wrong_vendor_or_port_is_wrong_usage() {
    let home = Home::new();
    let said = home.fails(2, &["dev", "stand-in", "pincone"]);
    assert!(said.contains("pincone") && said.contains("'pinecone'"), "{said}");
    home.fails(2, &["dev", "stand-in", "pinecone", "--port", "70000"]);
    home.fails(2, &["dev", "stand-in"]);
    home.fails(2, &["dev", "stand-in", "pinecone", "--list"]);
}
