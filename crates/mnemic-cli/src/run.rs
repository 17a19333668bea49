//! One run of the program: arguments, settings, logging, the runtime, the verb, Ctrl-C. Not here: the verbs (`commands`).

use std::{
    env,
    ffi::OsString,
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Parser;
use mnemic::{
    Namespace,
    config::{self, EmbedderChoice, Flags, Inputs, Profile, Settings},
};
use tracing_subscriber::EnvFilter;

use crate::{
    args::{Cli, Command, Globals},
    commands,
    context::{Asking, Context, Interrupts},
    exit::{Exit, Failure, Result},
    output::{Answer, Format, Output, When, Whose, complain},
};

/// Threads that verbs run on; the heavy work is one call at a time.
const WORKERS: usize = 2;
/// How long blocking work may go on after the answer is shown.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// How long a verb has after Ctrl-C to come to its next step.
const GRACE: Duration = Duration::from_millis(300);

/// Runs the program on its arguments, the first of which is its name, and answers its exit code (`--help` lists them).
///
/// After Ctrl-C a verb has a moment to end; then the process is ended.
pub fn run(argv: Vec<OsString>) -> u8 {
    let started = Instant::now();
    let wants_json = argv.iter().any(|argument| argument == "--json");
    let cli = match Cli::try_parse_from(argv) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, wants_json, started),
    };
    let output = Output::new(cli.globals.format(), cli.globals.color);
    let mut whose = Whose { command: cli.command.name().to_owned(), namespace: None };
    let result = match (commands::run_without_settings(&output, &cli.command), prepare(&cli.globals, output)) {
        (Some(result), _) => result,
        (None, Err(failure)) => match &cli.command {
            Command::Doctor(_) => Ok(commands::doctor::without_settings(&output, &failure)),
            _ => Err(failure),
        },
        (None, Ok(ctx)) => {
            whose.namespace = Some(ctx.namespace().to_string());
            execute(&ctx, &cli.command)
        }
    };
    output.finish(&whose, started.elapsed(), result)
}

/// A command line that clap refuses, or a question for help or version that it answers.
fn refuse(error: &clap::Error, wants_json: bool, started: Instant) -> u8 {
    if error.use_stderr() && wants_json {
        let rendered = error.render().to_string();
        let message = rendered.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let output = Output::new(Format::Json, When::Never);
        return output.finish(&Whose::default(), started.elapsed(), Err(Failure::usage(message)));
    }
    if error.print().is_err() {
        tracing::trace!("nobody reads the help");
    }
    u8::try_from(error.exit_code()).unwrap_or(2)
}

fn prepare(globals: &Globals, output: Output) -> Result<Context> {
    let settings = settings(globals)?;
    start_logging(globals, &settings);
    let asking = match (globals.yes, globals.no_input) {
        (true, _) => Asking::Yes,
        (false, true) => Asking::Never,
        (false, false) => Asking::Ask,
    };
    Ok(Context { settings, output, asking, interrupts: Interrupts::default() })
}

fn settings(globals: &Globals) -> Result<Settings> {
    // A wrong flag is wrong usage, while the same value in a file or in the environment is a wrong configuration.
    globals.namespace.as_deref().map(Namespace::new).transpose()?;
    globals.profile.as_deref().map(str::parse::<Profile>).transpose()?;
    globals.embedder.as_deref().map(str::parse::<EmbedderChoice>).transpose()?;
    let flags = Flags {
        profile: globals.profile.clone(),
        dir: globals.dir.clone(),
        namespace: globals.namespace.clone(),
        embedder: globals.embedder.clone(),
        log: None,
        env_file: globals.env_file.clone(),
    };
    let working_directory = env::current_dir().unwrap_or_else(|_gone| PathBuf::from("."));
    let inputs =
        Inputs { flags: &flags, environment: &|name| env::var_os(name), working_directory: &working_directory };
    Ok(config::load(&inputs)?)
}

fn start_logging(globals: &Globals, settings: &Settings) {
    let filter = match globals.verbose {
        0 => settings.log.value.clone(),
        1 => "info".to_owned(),
        2 => "mnemic=debug,info".to_owned(),
        _ => "trace".to_owned(),
    };
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_invalid| EnvFilter::new("warn"));
    let color = globals.color.for_stream(&io::stderr());
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(color)
        .with_target(globals.verbose > 1)
        .try_init();
    if started.is_err() {
        tracing::trace!("logging had been started");
    }
}

/// Ends a process that waits for something after Ctrl-C. Everything that was acknowledged is on disk.
#[expect(clippy::exit, reason = "the main thread is blocked in a read that nothing can wake")]
fn leave() -> ! {
    complain(&Failure::interrupted());
    std::process::exit(Exit::Interrupted as i32)
}

fn execute(ctx: &Context, command: &Command) -> Result<Answer> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|error| Failure::other(format!("cannot start: {error}")))?;
    let (interrupt, interrupted) = tokio::sync::oneshot::channel();
    // On a thread of its own, since a verb may be waiting for standard input and never look up.
    let interrupts = ctx.interrupts.clone();
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        if interrupts.came() {
            // Whoever presses it twice does not want to wait for a good end.
            if tokio::signal::ctrl_c().await.is_ok() {
                leave();
            }
        } else if interrupt.send(()).is_ok() {
            tokio::time::sleep(GRACE).await;
            leave();
        }
    });
    let result = runtime.block_on(async {
        tokio::select! {
            biased;
            Ok(()) = interrupted => Err(Failure::interrupted()),
            answer = Box::pin(commands::run(ctx, command)) => answer,
        }
    });
    runtime.shutdown_timeout(SHUTDOWN);
    result
}
