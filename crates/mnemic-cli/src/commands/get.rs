//! `mnemic get`: shows records by id.

use mnemic::{Error, MemoryRecord, RecordId, ids::quoted, wire};

use crate::{
    context::Context,
    exit::{Failure, Result},
    input,
    output::Answer,
    show,
};

/// Options of `get`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The records' ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// As memory stood at this instant
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
}

/// Runs `get`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let ids = args.ids.iter().map(RecordId::new).collect::<mnemic::Result<Vec<_>>>()?;
    let as_of = input::instant("as_of", args.as_of.as_ref())?;
    let memory = ctx.open_existing()?;
    let found = memory.get(&ids, as_of).await?;
    let missing: Vec<String> =
        ids.iter().zip(&found).filter(|(_, record)| record.is_none()).map(|(id, _)| quoted(id.as_str())).collect();
    let records: Vec<MemoryRecord> = found.into_iter().flatten().collect();
    let now = as_of.unwrap_or_else(|| memory.now());
    let blocks: Vec<String> = records.iter().map(|record| show::record_block(&ctx.output, record, now)).collect();
    let data = show::object([("records", show::objects(records.iter().map(wire::record_object)))]);
    let texts: Vec<&str> = records.iter().map(|record| record.text.as_str()).collect();
    let failure =
        (!missing.is_empty()).then(|| Failure::from(Error::not_found(format!("record {}", missing.join(", ")))));
    Ok(Answer::new(data, blocks.join("\n")).count(records.len()).brief(texts.join("\n")).failed(failure))
}
