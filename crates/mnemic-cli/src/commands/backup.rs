//! `mnemic backup`: copies the memory, consistently, while it is in use.

use std::path::PathBuf;

use mnemic::Value;

use crate::{
    context::{self, Context},
    exit::Result,
    output::Answer,
    show,
};

/// Options of `backup`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to; must be absent or empty
    #[arg(value_name = "DIR")]
    target: PathBuf,
}

/// Runs `backup`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let memory = ctx.open_existing()?;
    let target = context::absolute(&args.target)?;
    memory.backup(&target).await?;
    let place = target.display().to_string();
    let text = format!(
        "copied {} to {place}\nto bring it back: mnemic restore {place} --dir NEW_DIR",
        ctx.directory().display()
    );
    let data = show::object([
        ("source", Value::from(ctx.directory().display().to_string())),
        ("target", Value::from(place.as_str())),
    ]);
    Ok(Answer::new(data, text).brief(place))
}
