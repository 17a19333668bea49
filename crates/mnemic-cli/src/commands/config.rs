//! `mnemic config`: the settings and where each comes from.

use mnemic::Value;

use crate::{context::Context, exit::Result, output::Answer, show};

/// What to do with the settings.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show every setting; secrets are hidden
    Show {
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
    },
}

impl Command {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Show { .. } => "config show",
        }
    }
}

/// Runs `config`.
#[expect(clippy::unused_async, reason = "every verb is run the same way")]
pub(crate) async fn run(ctx: &Context, command: &Command) -> Result<Answer> {
    let Command::Show { origin } = command;
    let entries = ctx.settings.entries();
    let header: &[&str] = if *origin { &["setting", "value", "from"] } else { &["setting", "value"] };
    let rows = entries
        .iter()
        .map(|entry| {
            let mut row = vec![entry.key.to_owned(), entry.value.clone()];
            row.extend(origin.then(|| entry.origin.to_string()));
            row
        })
        .collect();
    let settings = entries.iter().map(|entry| {
        show::object([
            ("key", Value::from(entry.key)),
            ("value", Value::from(entry.value.as_str())),
            ("origin", Value::from(entry.origin.to_string())),
        ])
    });
    let data = show::object([("settings", show::objects(settings))]);
    Ok(Answer::new(data, show::table(&ctx.output, header, rows)).count(entries.len()))
}
