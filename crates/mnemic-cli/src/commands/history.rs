//! `mnemic history`: every revision of one record, newest first.

use std::fmt::Write as _;

use mnemic::{Error, RecordId, RevisionKind, Value, ids::quoted, wire};

use crate::{context::Context, exit::Result, output::Answer, show};

/// Options of `history`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The record's id
    #[arg(value_name = "ID")]
    id: String,
}

/// Runs `history`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let id = RecordId::new(&args.id)?;
    let memory = ctx.open_existing()?;
    let revisions = memory.history(&id).await?;
    if revisions.is_empty() {
        return Err(Error::not_found(format!("record {}", quoted(id.as_str()))).into());
    }
    let (output, mut text) = (&ctx.output, String::new());
    for revision in &revisions {
        let (head, body) = match &revision.what {
            RevisionKind::Written(record) => {
                let superseded =
                    record.superseded_by.as_ref().map(|id| format!(", superseded by {id}")).unwrap_or_default();
                (format!("version {}  {}{superseded}", record.version, revision.at), Some(record.text.as_str()))
            }
            RevisionKind::Deleted(version) => (format!("removed    {} (was version {version})", revision.at), None),
        };
        text.push_str(&output.paint.accent(&crate::output::escaped(&head)));
        text.push('\n');
        if let Some(body) = body {
            let _infallible = writeln!(text, "  {}", show::wrapped(body, output.width, 2));
        }
    }
    let data = show::object([
        ("id", Value::from(id.as_str())),
        ("revisions", show::objects(revisions.iter().map(wire::revision_object))),
    ]);
    Ok(Answer::new(data, text).count(revisions.len()))
}
