//! The process around a command: its environment, its streams, signals, and other processes on the same directory.
//! Not here: wrong values (`bad_input`), damaged files (`damage`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::unix::fs::symlink,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use support::{Home, finished};

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Waits for a condition, at most ten seconds.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(10), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_program_quietly() {
    let home = Home::new();
    for i in 0..40 {
        home.ok(&["add", "-q", &format!("{i} {}", "x".repeat(9000))]);
    }
    for args in
        [&["list", "--json"][..], &["export"], &["get", "--json", "nothing"], &["completions", "zsh"], &["help", "add"]]
    {
        let mut child = home.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_full_disk_behind_standard_output_is_a_failure_with_a_reason() {
    let home = Home::new();
    home.ok(&["add", "x"]);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = home.command(&["list"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("cannot write to standard output") && said.contains("No space left"), "{said}");
}

#[test]
fn ctrl_c_ends_a_command_that_waits_for_input() {
    let home = Home::new();
    home.ok(&["init"]);
    let mut child =
        home.command(&["add"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let input = child.stdin.take().unwrap();
    // It waits for input when it is asleep in a read.
    let wchan = format!("/proc/{}/wchan", child.id());
    until("waiting for input", || fs::read_to_string(&wchan).is_ok_and(|place| place.contains("pipe")));
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    drop(input);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"), "{output:?}");
}

#[test]
fn an_import_that_is_interrupted_or_killed_keeps_what_it_wrote_and_goes_on_when_repeated() {
    for (name, code) in [("-INT", Some(130)), ("-KILL", None)] {
        let home = Home::new();
        let lines: Vec<String> = (0..3000)
            .map(|i| format!("{{\"role\":\"user\",\"content\":\"statement number {i} of the talk\"}}\n"))
            .collect();
        let mut child = home
            .command(&["import", "-", "--format", "chat", "--thread", "t"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(lines[..2000].concat().as_bytes()).unwrap();
        input.flush().unwrap();
        // The input stays open, so that the import is in the middle of its work whenever the signal comes.
        let dense = || fs::read_dir(home.namespace("default")).is_ok_and(|entries| entries.count() > 1);
        until("the first write", dense);
        signal(&child, name);
        let status = child.wait().unwrap();
        drop(input);
        assert_eq!(status.code(), code, "{name}");

        let kept = home.data(&["stats"])["records"].as_u64().unwrap();
        assert!(kept <= 2000, "{name}: {kept}");
        home.ok(&["doctor"]);
        fs::write(home.path("chat.jsonl"), lines.concat()).unwrap();
        home.ok(&["import", "chat.jsonl", "--format", "chat", "--thread", "t"]);
        assert_eq!(home.data(&["stats"])["records"], 3000, "{name}: after {kept}");
    }
}

#[test]
fn processes_share_a_directory_without_losing_anything() {
    let home = Home::new();
    home.ok(&["init"]);
    let children: Vec<Child> = (0..4)
        .map(|writer| {
            let script = format!(
                "for i in 0 1 2 3 4; do \"$MNEMIC\" add --id w{writer}-$i \"statement $i of {writer}\" || exit 1; done"
            );
            let mut command = home.command(&[]);
            let environment: Vec<_> =
                command.get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))).collect();
            command = Command::new("/bin/sh");
            command.args(["-c", &script]).env_clear().envs(environment).env("MNEMIC", env!("CARGO_BIN_EXE_mnemic"));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(home.envelope(&["list"])["count"], 20);
    assert_eq!(home.found(&["statement", "--limit", "100"]).len(), 20);
    home.ok(&["doctor"]);
}

#[test]
fn a_long_running_command_does_not_keep_others_out() {
    let home = Home::new();
    home.ok(&["add", "--id", "a", "first"]);
    let mut child = home
        .command(&["import", "-", "--format", "chat", "--thread", "t"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"{\"role\":\"user\",\"content\":\"one\"}\n").unwrap();
    input.flush().unwrap();
    home.ok(&["add", "--id", "b", "second, while the import waits"]);
    assert_eq!(home.found(&["second"])[0], "second, while the import waits");
    drop(input);
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(home.data(&["stats"])["records"], 3);
}

#[test]
fn a_place_that_cannot_be_used_is_told_with_its_path_and_left_alone() {
    let home = Home::new();
    let file = home.path("file");
    fs::write(&file, b"precious").unwrap();
    let (one, two) = (home.path("one"), home.path("two"));
    symlink(&one, &two).unwrap();
    symlink(&two, &one).unwrap();
    let strange = home.path("strange");
    fs::create_dir(&strange).unwrap();
    fs::write(strange.join("letters.txt"), b"somebody's").unwrap();
    for place in [&file, &one, &strange, &"/proc/nobody/memory".into(), &file.join("below")] {
        let shown = place.to_str().unwrap();
        for args in [&["add", "x"][..], &["init"], &["import", "-"]] {
            let run = home.run(&[&["--dir", shown], args].concat());
            assert!((1..=5).contains(&run.code), "{args:?} in {shown}: {run:?}");
            assert!(run.err.contains(shown) || run.err.contains("standard input"), "{args:?} in {shown}: {run:?}");
        }
    }
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    assert_eq!(fs::read_dir(&strange).unwrap().count(), 1);
}

#[test]
fn reading_a_memory_that_is_not_there_says_so_and_makes_nothing() {
    let home = Home::new();
    for args in [
        &["search", "x"][..],
        &["list"],
        &["stats"],
        &["health"],
        &["log"],
        &["export"],
        &["audit", "verify"],
        &["backup", "b"],
    ] {
        let said = home.fails(3, args);
        assert!(said.contains("expected a memory at") && said.contains("mnemic init"), "{said}");
    }
    assert!(!home.memory().exists());
    assert!(home.ok(&["doctor"]).contains("nothing is at"));
}

#[test]
fn a_wrong_environment_is_refused_with_one_line_for_each_fault_and_no_secret() {
    let home = Home::new();
    let key = "sk-very-secret-value";
    fs::write(home.path("key"), key).unwrap();
    let run = finished(
        home.command(&["config", "show"])
            .env("MNEMIC_PROFILE", "prodution")
            .env("MNEMIC_NAMESPACE", "..")
            .env("POSTGRES_DSN", "postgresql://user:hunter2secret@db:70000/x")
            .env("PINECONE_API_KEY", "")
            .env("VOYAGE_API_KEY", format!("{key}\n"))
            .env("GEMINI_API_KEY", key)
            .env("GEMINI_API_KEY_FILE", home.path("key")),
    );
    assert_eq!(run.code, 4, "{run:?}");
    for part in [
        "MNEMIC_PROFILE",
        "did you mean production?",
        "MNEMIC_NAMESPACE",
        "POSTGRES_DSN",
        "1 to 65535",
        "PINECONE_API_KEY",
        "VOYAGE_API_KEY",
        "GEMINI_API_KEY",
    ] {
        assert!(run.err.contains(part), "{part} is missing in {}", run.err);
    }
    assert!(run.err.lines().count() >= 6, "{}", run.err);
    assert!(!run.err.contains(key) && !run.err.contains("hunter2secret"), "a secret is shown: {}", run.err);

    let shown = finished(home.command(&["config", "show", "--origin"]).env("OPENAI_API_KEY", key));
    assert!(
        shown.out.contains("(hidden)") && shown.out.contains("OPENAI_API_KEY") && !shown.out.contains(key),
        "{shown:?}"
    );
    let doctor = finished(home.command(&["doctor"]).env("MNEMIC_PROFILE", "prodution"));
    assert_eq!(doctor.code, 7, "{doctor:?}");
    assert!(doctor.out.contains("✗ config"), "{doctor:?}");
}

#[test]
fn an_odd_environment_is_no_obstacle() {
    let home = Home::new();
    let mut odd = home.command(&["add", "Привет"]);
    odd.env_remove("HOME").env("TZ", "Nowhere/Land").env("LANG", "xx_YY.KOI8").env("TERM", "").env("COLUMNS", "0");
    assert_eq!(finished(&mut odd).code, 0);
    let mut homeless = home.command(&["init"]);
    homeless.env_remove("HOME").env_remove("MNEMIC_DIR");
    let run = finished(&mut homeless);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(home.path(".mnemic").is_dir(), "{run:?}");
    // Whoever does not look at the help need not have a memory, a home or right settings.
    assert_eq!(finished(home.command(&["completions", "bash"]).env("MNEMIC_PROFILE", "nonsense")).code, 0);
}

#[test]
fn color_is_for_terminals_and_for_whoever_asks() {
    let home = Home::new();
    home.ok(&["add", "x"]);
    let colored = |command: &mut Command| finished(command).out.contains('\u{1b}');
    assert!(!colored(&mut home.command(&["search", "x"])));
    assert!(colored(&mut home.command(&["search", "x", "--color", "always"])));
    assert!(colored(home.command(&["search", "x"]).env("CLICOLOR_FORCE", "1")));
    assert!(!colored(home.command(&["search", "x"]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")));
    assert!(!colored(home.command(&["search", "x", "--color", "never"]).env("CLICOLOR_FORCE", "1")));
}

#[test]
fn logs_go_to_standard_error_and_only_when_asked_for() {
    let home = Home::new();
    let quiet = home.run(&["add", "x"]);
    assert_eq!(quiet.err, "");
    let mut child = home.command(&["add", "x", "-vvv"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let first = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(first.starts_with("remembered: "), "{first}");
    assert!(child.wait_with_output().unwrap().status.success());
}
