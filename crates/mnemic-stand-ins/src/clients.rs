//! The vendors' own clients, installed once from pinned files, to hold stand-ins to them. For tests only. Not here: what they check.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Names the services that must be there; where one of them is absent its tests fail instead of being ignored.
const REQUIRE: &str = "MNEMIC_REQUIRE";

/// Whether `MNEMIC_REQUIRE` names the service.
pub fn required(service: &str) -> bool {
    env::var(REQUIRE).is_ok_and(|list| list.split(',').any(|name| name.trim() == service))
}

/// The folder of the clients' pinned files and of the scripts that use them.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// The interpreter of an environment with `clients/python/<name>/requirements.txt`, made once and kept below `target/clients`.
///
/// # Errors
/// Why it cannot be made, for example without a network.
pub fn python(name: &str) -> Result<PathBuf, String> {
    let pins = folder().join("python").join(name).join("requirements.txt");
    let place = prepared(&format!("python-{name}"), &[&pins], |place| {
        run(Command::new("python3").arg("-m").arg("venv").arg(place))?;
        let mut pip = Command::new(place.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--require-hashes"]);
        run(pip.arg("-r").arg(&pins))
    })?;
    Ok(place.join("bin/python"))
}

/// The folder with the `node_modules` of `clients/node/<name>/package-lock.json`, made once and kept below `target/clients`.
///
/// # Errors
/// Why it cannot be made, for example without a network.
pub fn node(name: &str) -> Result<PathBuf, String> {
    let pins = ["package.json", "package-lock.json"].map(|file| folder().join("node").join(name).join(file));
    prepared(&format!("node-{name}"), &[&pins[0], &pins[1]], |place| {
        for pin in &pins {
            let target = pin.file_name().map(|file| place.join(file)).ok_or("a pinned file without a name")?;
            fs::copy(pin, target).map_err(|error| error.to_string())?;
        }
        let mut npm = Command::new("npm");
        npm.current_dir(place).args(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]);
        run(&mut npm)
    })
}

/// Runs a client's script and tells what it printed.
///
/// # Errors
/// What it printed, if it failed.
pub fn run(command: &mut Command) -> Result<(), String> {
    output(command).map(drop)
}

/// The same, with what it printed to standard output.
///
/// # Errors
/// What it printed to either, if it failed.
pub fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } = command.output().map_err(|error| format!("{program}: {error}"))?;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    if status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&stderr);
    let tail: Vec<&str> = stderr.lines().rev().take(25).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    Err(format!("{program} ended with {status}\n{stdout}{}", tail.join("\n")))
}

/// A folder below `target/clients` that `make` has filled from exactly these pinned files. Other processes wait meanwhile.
fn prepared(name: &str, pins: &[&PathBuf], make: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let text = |error: std::io::Error| format!("{name}: {error}");
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/clients");
    fs::create_dir_all(&clients).map_err(text)?;
    let clients = clients.canonicalize().map_err(text)?;
    let lock = fs::File::create(clients.join(format!("{name}.lock"))).map_err(text)?;
    lock.lock().map_err(text)?;
    let mut wanted = String::new();
    for pin in pins {
        wanted.push_str(&fs::read_to_string(pin).map_err(|error| format!("{}: {error}", pin.display()))?);
    }
    let place = clients.join(name);
    let done = place.join("pinned.txt");
    if fs::read_to_string(&done).is_ok_and(|made| made == wanted) {
        return Ok(place);
    }
    if place.exists() {
        fs::remove_dir_all(&place).map_err(text)?;
    }
    fs::create_dir_all(&place).map_err(text)?;
    make(&place)?;
    fs::write(&done, wanted).map_err(text)?;
    Ok(place)
}
