//! `mnemic init`: makes the memory's directory and says where it is and what to do next.

use mnemic::{Value, config::Profile};

use crate::{context::Context, exit::Result, output::Answer, show};

/// Options of `init`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs `init`.
pub(crate) async fn run(ctx: &Context, _args: &Args) -> Result<Answer> {
    let existed = ctx.directory().exists();
    let memory = ctx.open()?;
    let stats = memory.stats().await?;
    ctx.close(&memory).await;
    let model = stats.model.unwrap_or_else(|| "none (retrieval by words)".to_owned());
    let place = match ctx.settings.profile.value {
        Profile::Dev => "process memory".to_owned(),
        Profile::Embedded => ctx.directory().display().to_string(),
        Profile::Production => "PostgreSQL".to_owned(),
    };
    let existed = existed || ctx.settings.profile.value != Profile::Embedded;
    let text = format!(
        "{} {place}\nnamespace  {}\nembedder   {model}\n\nNext:\n  mnemic add \"The hearing is on 14 July\"\n  mnemic search \"when is the hearing\"\n",
        if existed { "memory is at" } else { "made a memory at" },
        ctx.namespace(),
    );
    let data = show::object([
        ("directory", Value::from(place.as_str())),
        ("created", Value::from(!existed)),
        ("embedder", Value::from(model)),
        ("profile", Value::from(ctx.settings.profile.value.as_str())),
    ]);
    Ok(Answer::new(data, text).brief(place))
}
