//! `mnemic migrate run`: copies, or goes on copying. Not here: how commits travel (the library).

use std::fmt::Write as _;

use mnemic::{ChangeSeq, Value};

use super::{Target, open, pairs};
use crate::{context::Context, exit::Result, output::Answer, show};

/// Options of `migrate run`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
}

/// Runs `migrate run`.
pub(super) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let pairs = pairs(ctx, &args.target, &open(ctx, &args.target)?).await?;
    let (mut text, mut done) = (String::new(), Vec::new());
    for pair in &pairs {
        let plan = pair.source.plan_migration(&pair.target).await?;
        let bar = ctx.progress(Some(plan.changes), "copying");
        let reached = |seq: ChangeSeq| bar.set_position(seq.0);
        let followed = pair.source.migrate_to(&pair.target, reached).await;
        bar.finish_and_clear();
        let followed = followed?;
        ctx.close(&pair.target).await;
        let _infallible = writeln!(
            text,
            "{}: {} changes copied, the target stands at position {}",
            pair.names(),
            followed.changes,
            followed.head.0
        );
        done.push(show::object([
            ("namespace", Value::from(pair.source.namespace().as_str())),
            ("target", Value::from(pair.target.namespace().as_str())),
            ("changes", Value::from(followed.changes)),
            ("head", Value::from(followed.head.0)),
        ]));
    }
    text.push_str("compare both with mnemic migrate verify; run this again to bring over what was written since\n");
    Ok(Answer::new(show::object([("namespaces", show::objects(done))]), text).count(pairs.len()))
}
