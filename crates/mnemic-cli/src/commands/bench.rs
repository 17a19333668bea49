//! `mnemic bench`.

use crate::{
    context::Context,
    exit::{Failure, Result},
    output::Answer,
};

/// Options of `bench`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs `bench`.
#[expect(clippy::unused_async, reason = "every verb is run the same way")]
pub(crate) async fn run(_ctx: &Context, _args: &Args) -> Result<Answer> {
    Err(Failure::other("bench is not built in"))
}
