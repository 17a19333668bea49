//! The Python package: its wheel, its checks, and its tests with frameworks, each in an environment of its own.
//! Not here: the tests (`python/tests`).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Outcome, run,
    services::{Environment, Listed, Services, target},
    suite::Network,
    tally::Tally,
};

/// The frameworks that the whole suite runs too.
const ALWAYS: [&str; 1] = ["langgraph"];

/// The package as users get it, built from here.
#[derive(Debug)]
struct Wheel(PathBuf);

impl Wheel {
    /// Builds it in the profile of tests, which the rest of the suite has built for the most part.
    fn build(root: &Path, network: Network) -> Result<Self, String> {
        let requirements = root.join("xtask").join("python").join("maturin.txt");
        let tools = Environment::provide(root, "maturin", (&requirements, Listed::Direct), network)?;
        let out = target(root).join("wheels");
        if out.exists() {
            fs::remove_dir_all(&out).map_err(|e| format!("{} cannot be emptied: {e}", out.display()))?;
        }
        let mut command = Command::new(tools.program("maturin"));
        command.current_dir(root).args(["build", "--quiet", "--locked", "--profile", "dev", "--out"]).arg(&out);
        command.arg("--interpreter").arg(tools.program("python"));
        if network == Network::Never {
            command.arg("--offline");
        }
        run::finish(&mut command)?;
        let built = fs::read_dir(&out).map_err(|e| format!("{} cannot be read: {e}", out.display()))?;
        let wheel = built.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "whl"));
        wheel.map(Self).ok_or_else(|| format!("no wheel came to {}", out.display()))
    }

    /// Puts it into an environment that has what it needs.
    fn install(&self, environment: &Environment) -> Outcome {
        let mut pip = Command::new(environment.program("python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
        run::finish(pip.args(["--no-deps", "--force-reinstall"]).arg(&self.0))
    }
}

/// A program of an environment, at the root of the workspace, told where the servers of tests are.
fn program(environment: &Environment, name: &str, root: &Path, servers: &[(String, String)]) -> Command {
    let mut command = Command::new(environment.program(name));
    command.current_dir(root).envs(servers.iter().map(|(name, value)| (name, value)));
    // Hundreds of tests import the package in processes of their own; nothing of them is to lie in the sources.
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONHASHSEED", "0");
    command
}

/// Checks and tests of the package, and of the integration that most people use.
pub(crate) fn test(root: &Path, network: Network, servers: &[(String, String)]) -> (Tally, Outcome) {
    let done = Wheel::build(root, network).and_then(|wheel| {
        let (core, outcome) = package(root, network, servers, &wheel);
        outcome?;
        let mut total = core;
        for name in ALWAYS {
            let (tally, outcome) = integration(root, network, servers, &wheel, name);
            total = total + tally;
            outcome.map_err(|why| format!("{name}: {why}"))?;
        }
        Ok(total)
    });
    match done {
        Ok(tally) => (tally, Ok(())),
        Err(why) => (Tally::default(), Err(why)),
    }
}

fn package(root: &Path, network: Network, servers: &[(String, String)], wheel: &Wheel) -> (Tally, Outcome) {
    let requirements = root.join("python").join("tests").join("requirements.txt");
    let prepared = Environment::provide(root, "python-tests", (&requirements, Listed::Direct), network)
        .and_then(|environment| wheel.install(&environment).map(|()| environment));
    let environment = match prepared {
        Ok(environment) => environment,
        Err(why) => return (Tally::default(), Err(why)),
    };
    let checks: [(&str, &[&str]); 3] = [
        ("ruff", &["check", "python", "examples"]),
        ("ruff", &["format", "--check", "python", "examples"]),
        ("mypy", &[]),
    ];
    for (name, arguments) in checks {
        if let Err(why) = run::finish(program(&environment, name, root, &[]).args(arguments)) {
            return (Tally::default(), Err(why));
        }
    }
    run::finish_tests(program(&environment, "python", root, servers).args(["-m", "pytest", "python/tests"]))
}

fn integration(
    root: &Path,
    network: Network,
    servers: &[(String, String)],
    wheel: &Wheel,
    name: &str,
) -> (Tally, Outcome) {
    let folder = integrations_folder(root).join(name);
    let requirements = folder.join("requirements.txt");
    let prepared = Environment::provide(root, &format!("integration-{name}"), (&requirements, Listed::Direct), network)
        .and_then(|environment| wheel.install(&environment).map(|()| environment));
    let environment = match prepared {
        Ok(environment) => environment,
        Err(why) => return (Tally::default(), Err(why)),
    };
    let versions = ["-m", "pip", "list", "--disable-pip-version-check", "--format=freeze"];
    if let Err(why) = run::finish(program(&environment, "python", root, &[]).args(versions)) {
        return (Tally::default(), Err(why));
    }
    let sources = sources(root, name);
    if !sources.is_empty()
        && let Err(why) = run::finish(program(&environment, "mypy", root, &[]).args(&sources))
    {
        return (Tally::default(), Err(why));
    }
    let tests = folder.strip_prefix(root).unwrap_or(&folder).to_owned();
    run::finish_tests(program(&environment, "python", root, servers).args(["-m", "pytest"]).arg(tests))
}

fn integrations_folder(root: &Path) -> PathBuf {
    root.join("python").join("tests").join("integrations")
}

/// The files of an integration. The configuration leaves them out of a directory's, so each is named.
fn sources(root: &Path, name: &str) -> Vec<PathBuf> {
    let module = root.join("python").join("mnemic").join("integrations").join(name);
    let single = module.with_extension("py");
    if single.is_file() {
        return vec![single];
    }
    let entries = fs::read_dir(&module).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|of| of == "py")).collect();
    files.sort();
    files
}

/// Every integration that has tests.
fn known(root: &Path) -> Result<Vec<String>, String> {
    let folder = integrations_folder(root);
    let entries = fs::read_dir(&folder).map_err(|e| format!("{} cannot be read: {e}", folder.display()))?;
    let with_tests = entries.flatten().filter(|entry| entry.path().join("requirements.txt").is_file());
    let mut names: Vec<String> = with_tests.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// `cargo xtask integrations`: all of them, or those that are named, on servers of their own.
pub(crate) fn integrations(root: &Path, names: &[&str]) -> Outcome {
    let known = known(root)?;
    let unknown: Vec<&str> = names.iter().copied().filter(|name| !known.iter().any(|one| one == name)).collect();
    if !unknown.is_empty() {
        return Err(format!("no integration is called {}; there are {}", unknown.join(", "), known.join(", ")));
    }
    let chosen: Vec<&str> = if names.is_empty() { known.iter().map(String::as_str).collect() } else { names.to_vec() };
    let wheel = Wheel::build(root, Network::Fetch)?;
    let services = Services::start(root, Network::Fetch)?;
    let servers = services.environment();
    let mut failed = Vec::new();
    let mut lines = Vec::new();
    for name in chosen {
        run::say(&format!("\n── {name}"));
        let (tally, outcome) = integration(root, Network::Fetch, &servers, &wheel, name);
        let verdict = match (&outcome, tally.ran()) {
            (Ok(()), 0) => Err("no test ran".to_owned()),
            (Ok(()), _) => Ok(()),
            (Err(why), _) => Err(why.clone()),
        };
        lines.push(format!("{name:<20} {tally}{}", if verdict.is_ok() { "" } else { "  FAILED" }));
        if let Err(why) = verdict {
            failed.push(format!("{name} ({why})"));
        }
    }
    run::say("");
    for line in lines {
        run::answer(&line);
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_an_integration_are_found_whether_it_is_a_module_or_a_package() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let names = |name| {
            sources(root, name)
                .iter()
                .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
                .collect::<Vec<_>>()
        };
        assert_eq!(names("llama_index"), ["llama_index.py"]);
        assert!(names("langgraph").contains(&"__init__.py".to_owned()), "{:?}", names("langgraph"));
        assert!(names("nonsense").is_empty());
    }

    #[test]
    fn every_integration_has_requirements_and_the_common_one_is_known() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let known = known(root).unwrap();
        for name in ALWAYS {
            assert!(known.iter().any(|one| one == name), "{name} of {known:?}");
        }
        for entry in fs::read_dir(integrations_folder(root)).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let tests = entry.path().is_dir() && !name.starts_with(['.', '_']);
            assert!(!tests || known.contains(&name), "{name} has no requirements.txt");
        }
    }
}
