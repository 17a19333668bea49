//! `mnemic restore`: brings a backup back into an empty directory.

use std::path::PathBuf;

use mnemic::Value;

use crate::{
    context::{self, Context},
    exit::{Failure, Result},
    output::Answer,
    show,
};

/// Options of `restore`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The backup; --dir says where to, which must be absent or empty
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
}

/// Runs `restore`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let source = context::absolute(&args.backup)?;
    if !source.exists() {
        return Err(Failure::not_found(format!("backup: expected a backup at {}, found nothing", source.display())));
    }
    mnemic::restore(&source, ctx.directory()).await?;
    let place = ctx.directory().display().to_string();
    let text = format!("restored {} to {place}\nto check it: mnemic doctor --dir {place}", source.display());
    let data =
        show::object([("source", Value::from(source.display().to_string())), ("target", Value::from(place.as_str()))]);
    Ok(Answer::new(data, text).brief(place))
}
