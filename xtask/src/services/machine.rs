//! What this machine has: its packages, who runs this program, free ports and fresh folders. Not here: servers.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{DirBuilderExt, chown},
    path::{Path, PathBuf},
    process::{self, Command},
};

use crate::{Outcome, run, suite::Network};

/// Whom servers run as where this program runs as root, which PostgreSQL refuses.
const SERVER_USER: &str = "postgres";

/// The first of `places` that exists, after installing Debian's `package` if none does.
pub(super) fn debian(package: &str, places: &[&str], network: Network) -> Result<PathBuf, String> {
    let found = || places.iter().map(Path::new).find(|place| place.exists()).map(Path::to_owned);
    if let Some(place) = found() {
        return Ok(place);
    }
    let how =
        format!("tests need Debian's `{package}`: apt-get install {package} (or leave them out: --without-services)");
    if !is_root() || network == Network::Never || !run::works(Command::new("apt-get").arg("--version")) {
        return Err(how);
    }
    run::say(&format!("installing {package}"));
    run::finish(apt().arg("update"))?;
    run::finish(apt().args(["install", "--yes", "--no-install-recommends", package]))?;
    found().ok_or(how)
}

/// Asks nothing, and starts none of the services that it installs.
fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.arg("-qq").env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").stdout(process::Stdio::null());
    apt
}

/// Whether this program may do everything.
pub(super) fn is_root() -> bool {
    id(&["-u"]) == Some(0)
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// A command that runs `program` as a user whom PostgreSQL accepts, and that ends with this process.
pub(super) fn as_server(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]);
    if is_root() {
        command.args(["--reuid", SERVER_USER, "--regid", SERVER_USER, "--init-groups"]);
    }
    command.arg("--").arg(program);
    // Nothing of the environment that this program was started in changes what a server does.
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").current_dir("/");
    command
}

/// A new folder that everybody may enter and the server's user may write; it goes away with this value.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Result<Self, String> {
        let above = std::env::temp_dir();
        for number in 0..1000 {
            let path = above.join(format!("mnemic-services-{}-{number}", process::id()));
            match fs::DirBuilder::new().mode(0o755).create(&path) {
                Ok(()) => {
                    let folder = Self(path);
                    Self::hand_over(&folder.0)?;
                    return Ok(folder);
                }
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(format!("no folder can be made in {}: {e}", above.display())),
            }
        }
        Err(format!("{} is full of folders of servers", above.display()))
    }

    /// A folder within it that is the server's own.
    pub(super) fn make(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.0.join(name);
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|e| format!("{} cannot be made: {e}", path.display()))?;
        Self::hand_over(&path)?;
        Ok(path)
    }

    /// The folder `from` where the server's user can enter it: as it lies, or else as a copy.
    pub(super) fn reachable(&self, from: &Path, program: &str) -> Result<PathBuf, String> {
        if run::works(as_server(Path::new("/usr/bin/test")).arg("-x").arg(from.join(program))) {
            return Ok(from.to_owned());
        }
        let to = self.0.join("pginstall");
        run::finish(Command::new("cp").arg("-R").arg(from).arg(&to))?;
        run::finish(Command::new("chmod").args(["-R", "a+rX"]).arg(&to))?;
        Ok(to)
    }

    fn hand_over(path: &Path) -> Outcome {
        if !is_root() {
            return Ok(());
        }
        let user = id(&["-u", SERVER_USER]).ok_or_else(|| format!("there is no user `{SERVER_USER}`"))?;
        let group = id(&["-g", SERVER_USER]);
        chown(path, Some(user), group).map_err(|e| format!("{} cannot be handed over: {e}", path.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.0) {
            run::say(&format!("{} could not be removed: {e}", self.0.display()));
        }
    }
}

/// A port on loopback that nobody listens on. Another process may take it before a server does; starting is tried again then.
pub(super) fn free_port() -> Result<u16, String> {
    let address = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|e| format!("no port is free: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_there_is_not_installed() {
        let shell = debian("no-such-package", &["/no/such/program", "/bin/sh"], Network::Never);
        assert_eq!(shell, Ok(PathBuf::from("/bin/sh")));
    }

    #[test]
    fn a_program_that_cannot_be_had_is_named_with_what_to_do() {
        let why = debian("no-such-package", &["/no/such/program"], Network::Never).unwrap_err();
        assert!(why.contains("apt-get install no-such-package") && why.contains("--without-services"), "{why}");
    }

    #[test]
    fn a_folder_goes_away_with_everything_in_it() {
        let path = std::env::temp_dir().join(format!("mnemic-folder-{}", process::id()));
        fs::create_dir_all(path.join("data")).unwrap();
        let folder = Folder(path.clone());
        fs::write(path.join("data").join("file"), "text").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
