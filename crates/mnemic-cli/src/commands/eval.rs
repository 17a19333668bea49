//! `mnemic eval`.

use crate::{
    context::Context,
    exit::{Failure, Result},
    output::Answer,
};

/// Options of `eval`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs `eval`.
#[expect(clippy::unused_async, reason = "every verb is run the same way")]
pub(crate) async fn run(_ctx: &Context, _args: &Args) -> Result<Answer> {
    Err(Failure::other("eval is not built in"))
}
