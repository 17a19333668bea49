//! What every command gets: the settings, the way to show things, and how to open the memory. Not here: settings' sources
//! (`mnemic::config`).

use std::{
    fs,
    io::{self, BufRead, IsTerminal},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mnemic::{
    Builder, MemoryManager, Namespace,
    config::{Profile, Settings},
};

use crate::{
    exit::{Failure, Result},
    output::{Format, Output, escaped, tell},
};

/// What every command gets.
#[derive(Debug)]
pub(crate) struct Context {
    /// Where the memory is and how it is made.
    pub(crate) settings: Settings,
    /// How to show things.
    pub(crate) output: Output,
    /// Whether to ask.
    pub(crate) asking: Asking,
    /// What Ctrl-C does.
    pub(crate) interrupts: Interrupts,
}

/// What Ctrl-C does: it ends the command, unless the command ends by itself when it comes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupts(Arc<Interrupt>);

#[derive(Debug, Default)]
struct Interrupt {
    awaited: AtomicBool,
    came: tokio::sync::Notify,
}

impl Interrupts {
    /// From this call on Ctrl-C, or being asked to terminate, ends what is answered here and not the command.
    pub(crate) fn awaited(&self) -> io::Result<impl Future<Output = ()> + use<>> {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        self.0.awaited.store(true, Ordering::Release);
        let interrupt = Arc::clone(&self.0);
        Ok(async move {
            tokio::select! {
                () = interrupt.came.notified() => {}
                _ = terminate.recv() => {}
            }
        })
    }

    /// Passes Ctrl-C on, if the command waits for it.
    pub(crate) fn came(&self) -> bool {
        let awaited = self.0.awaited.load(Ordering::Acquire);
        if awaited {
            self.0.came.notify_one();
        }
        awaited
    }
}

/// Whether to ask before destroying something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Asking {
    /// Ask on the terminal; without one, refuse.
    #[default]
    Ask,
    /// The answer is yes.
    Yes,
    /// Never ask; refuse.
    Never,
}

impl Context {
    /// The namespace that the command is about.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.settings.namespace.value
    }

    /// Opens the memory, creating its directory if need be: for commands that write.
    pub(crate) fn open(&self) -> Result<MemoryManager> {
        if self.settings.profile.value == Profile::Dev {
            tell("mnemic: this memory is in this process and ends with the command; name a directory with --dir\n");
        }
        Ok(self.builder()?.build(self.namespace().clone())?)
    }

    /// Opens a memory that must exist: for commands that read, so that a misspelt path is told and not created.
    pub(crate) fn open_existing(&self) -> Result<MemoryManager> {
        if self.settings.profile.value == Profile::Embedded {
            let directory = self.directory();
            if !directory.exists() {
                let message = format!("dir: expected a memory at {}, found nothing", directory.display());
                return Err(Failure::not_found(message).hint("mnemic init makes one, mnemic demo fills one to look at"));
            }
            self.tell_if_misspelt(&directory.join("namespaces"));
        }
        self.open()
    }

    /// A namespace that holds nothing beside others that do is likely misspelt.
    fn tell_if_misspelt(&self, namespaces: &Path) {
        if namespaces.join(self.namespace().as_str()).exists() {
            return;
        }
        let entries = fs::read_dir(namespaces).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| Namespace::new(entry.file_name().to_str()?).ok())
            .map(|name| name.to_string())
            .collect();
        names.sort();
        let more = names.len().saturating_sub(5);
        names.truncate(5);
        if !names.is_empty() {
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            tell(&format!(
                "mnemic: namespace {} holds nothing; there are {}{more}\n",
                self.namespace(),
                names.join(", ")
            ));
        }
    }

    /// The parts that the settings ask for.
    pub(crate) fn builder(&self) -> Result<Builder> {
        Ok(Builder::from_settings(&self.settings)?)
    }

    /// Saves what makes the next start fast. Called by commands that wrote; nothing is lost if it fails.
    pub(crate) async fn close(&self, memory: &MemoryManager) {
        if let Err(error) = memory.close().await {
            tracing::warn!(%error, "the index could not be saved; the next start rebuilds it");
        }
    }

    /// Where the memory is, for people.
    pub(crate) fn directory(&self) -> &Path {
        &self.settings.directory.value
    }

    /// Asks before something is destroyed.
    pub(crate) fn confirm(&self, question: &str) -> Result<()> {
        let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal() && self.output.format == Format::Text;
        match self.asking {
            Asking::Yes => return Ok(()),
            Asking::Ask if can_ask => {}
            Asking::Ask | Asking::Never => {
                let message = format!("{question} Expected --yes, found no terminal to ask on");
                return Err(Failure::usage(message).hint("--dry-run shows what would happen"));
            }
        }
        tell(&format!("{question} [y/N] "));
        let mut reply = String::new();
        io::stdin()
            .lock()
            .read_line(&mut reply)
            .map_err(|error| Failure::io("read", Path::new("standard input"), &error))?;
        match reply.trim().to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::other("nothing was changed")),
        }
    }

    /// Says something beside the answer, to people only.
    pub(crate) fn note(&self, text: &str) {
        if self.output.format == Format::Text {
            tell(&format!("{}\n", escaped(text)));
        }
    }

    /// A progress bar on stderr, invisible unless that is a terminal. `total` of `None` shows a count without an end.
    pub(crate) fn progress(&self, total: Option<u64>, what: &'static str) -> ProgressBar {
        if self.output.format == Format::Quiet || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let template = match total {
            Some(_) => "{msg} {bar:30} {human_pos}/{human_len} {per_sec} {eta} left",
            None => "{msg} {spinner} {human_pos} {per_sec}",
        };
        bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_invalid| ProgressStyle::default_bar()))
            .with_message(what)
    }
}

/// A path as it stays if the working directory changes.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Failure::io("resolve", path, &error))
}
