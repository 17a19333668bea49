//! `mnemic demo`: plays a realistic memory through the public API into the embedded default, asks it questions, shows the rest.
//! Not here: the story (`examples/legal-case`).

mod ask;
mod play;
mod story;
mod tour;

use std::{fmt::Write as _, path::PathBuf, sync::Arc, time::Instant};

use mnemic::{
    Builder, MemoryManager, Namespace, Value,
    config::{Origin, Profile, Settings},
    ports::ManualClock,
};

use crate::{
    context::Context,
    exit::{Failure, Result},
    output::{Answer, Output},
    show,
};
use ask::Asked;
use play::Played;

/// Options of `demo`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Without --dir, the demo has a directory of its own beside the memory's. Playing it again changes nothing."
)]
pub(crate) struct Args {}

/// Runs `demo`.
pub(crate) async fn run(ctx: &Context, _args: &Args) -> Result<Answer> {
    let settings = own_settings(&ctx.settings);
    let stories = story::stories()?;
    let clock = Arc::new(ManualClock::new(story::beginning(&stories)));
    let first = stories.first().map_or_else(|| ctx.namespace().clone(), |story| story.namespace.clone());
    let memory = Builder::from_settings(&settings)?.clock(Arc::<ManualClock>::clone(&clock)).build(first)?;
    let started = Instant::now();
    let bar = ctx.progress(Some(stories.iter().map(|story| story.moments.len() as u64).sum()), "playing");
    let mut played = Vec::new();
    for story in &stories {
        played.push(play::play(&memory.in_namespace(story.namespace.clone()), &clock, story, &bar).await?);
    }
    bar.finish_and_clear();
    let took = started.elapsed();
    // Everything after this looks at memory as it stands when the story ends.
    clock.set(story::end(&stories));
    let asked = ask::ask_all(&memory, &story::questions()?).await?;
    let walls = tour::walls(&memory).await?;
    ctx.close(&memory).await;

    let output = &ctx.output;
    let mut text = heading(output, &settings, &played, took.as_secs_f64());
    text.push_str(&ask::text(output, &asked, story::end(&stories)));
    text.push_str(&tour::walls_text(output, &walls));
    let tour = tour::tour(&memory, output).await?;
    text.push_str(&tour.text);
    text.push_str(&farewell(output, &settings));
    let mut data = show::object([
        ("directory", place(&settings).map_or(Value::Null, Value::from)),
        ("played", show::objects(played.iter().map(Played::object))),
        ("questions", show::objects(asked.iter().map(Asked::object))),
        ("walls", show::objects(walls.iter().map(tour::Wall::object))),
    ]);
    data.extend(tour.data);
    let failed =
        asked.iter().filter(|asked| !asked.passed()).count() + walls.iter().filter(|wall| !wall.holds()).count();
    let failure = (failed > 0).then(|| {
        Failure::verification(format!("{} did not come out as the story expects", show::plural(failed, "check")))
    });
    Ok(Answer::new(data, text).count(asked.len()).failed(failure))
}

/// The settings with a directory of the demo's own, unless one was named.
fn own_settings(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    if settings.directory.origin != Origin::Flag {
        let mut name = settings.directory.value.file_name().unwrap_or_default().to_owned();
        name.push("-demo");
        settings.directory.value = settings.directory.value.with_file_name(name);
    }
    settings
}

/// Where the demo's memory lies, if it is kept at all.
fn place(settings: &Settings) -> Option<String> {
    let directory: &PathBuf = &settings.directory.value;
    (settings.profile.value == Profile::Embedded).then(|| directory.display().to_string())
}

/// A section's title.
fn title(output: &Output, text: &str) -> String {
    format!("\n{}\n", output.paint.bold(text))
}

fn heading(output: &Output, settings: &Settings, played: &[Played], seconds: f64) -> String {
    let mut text = output.paint.bold("A legal-case assistant's memory: five months, two clients, two languages\n");
    let place = place(settings).unwrap_or_else(|| "process memory; nothing is kept".to_owned());
    let _infallible = writeln!(text, "in {place}");
    for played in played {
        let _infallible = writeln!(text, "  {}", played.line());
    }
    let lines: usize = played.iter().map(Played::written).sum();
    let told = if lines == 0 {
        "nothing new: every line had been played before".to_owned()
    } else {
        format!("{lines} commits in {seconds:.1} s, each one durable before the next")
    };
    let _infallible = writeln!(text, "  {}", output.paint.dim(&told));
    text
}

fn farewell(output: &Output, settings: &Settings) -> String {
    let Some(place) = place(settings) else {
        return title(output, "Nothing of this is kept in the dev profile");
    };
    let mut text = title(output, &format!("The memory stays at {place}"));
    let _infallible = writeln!(text, "Try next:\n  export MNEMIC_DIR={}", quoted_for_shell(&place));
    for command in [
        "mnemic search -n client-petrova --explain \"новый адрес Анны\"",
        "mnemic history -n client-petrova biometrics-date",
        "mnemic consolidate -n client-petrova --dry-run",
        "mnemic forget -n client-okafor --user tobenna.okafor --dry-run",
        "mnemic audit verify -n client-petrova",
        "mnemic --help",
    ] {
        let _infallible = writeln!(text, "  {command}");
    }
    text
}

fn quoted_for_shell(path: &str) -> String {
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    if plain { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// A handle for the first client, whose memory the tour looks at.
fn petrova(memory: &MemoryManager) -> Result<MemoryManager> {
    Ok(memory.in_namespace(Namespace::new(story::PETROVA)?))
}

/// A handle for the second client.
fn okafor(memory: &MemoryManager) -> Result<MemoryManager> {
    Ok(memory.in_namespace(Namespace::new(story::OKAFOR)?))
}
