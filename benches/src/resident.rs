//! How much memory a process takes that opened a directory and searched in it. Only a new process can tell: an old one keeps
//! what it once had. Not here: the size of the directory.

use std::{
    env,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use mnemic::{Error, ErrorKind, MemoryManager, Query, Result};

use crate::measure::resident_bytes;

/// The first argument of the process that is measured.
const ASKED: &str = "resident";

/// The directory that this process is to open, if it is the one that is measured.
pub(crate) fn asked() -> Option<PathBuf> {
    let mut arguments = env::args_os().skip(1);
    (arguments.next()? == *ASKED).then(|| arguments.next().map(PathBuf::from))?
}

/// Opens, searches, and prints the bytes.
pub(crate) fn answer(directory: &Path) -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let searched = runtime.block_on(async {
        let memory = MemoryManager::embedded(directory)?;
        memory.retrieve(&Query::new("when does the interview take place")).await?;
        Ok::<_, Error>(resident_bytes())
    });
    match searched.map(|bytes| write!(std::io::stdout(), "{bytes}")) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(_)) | Err(_) => ExitCode::FAILURE,
    }
}

/// Bytes that a new process takes after searching in `directory`.
pub(crate) fn of_opening(directory: &Path) -> Result<u64> {
    let failed = |why: String| Error::new(ErrorKind::Unavailable, format!("cannot measure memory: {why}"));
    let program = env::current_exe().map_err(|error| failed(error.to_string()))?;
    let output = Command::new(program).arg(ASKED).arg(directory).output().map_err(|error| failed(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.parse().map_err(|error: std::num::ParseIntError| failed(error.to_string()))
}
