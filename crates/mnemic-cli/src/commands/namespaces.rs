//! `mnemic namespaces`: which namespaces the memory holds.

use mnemic::{MemoryManager, Namespace, PageRequest};

use crate::{context::Context, exit::Result, output::Answer, show};

/// Options of `namespaces`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs `namespaces`.
pub(crate) async fn run(ctx: &Context, _args: &Args) -> Result<Answer> {
    let memory = ctx.open_existing()?;
    let names = every_namespace(&memory).await?;
    let text = names.iter().map(Namespace::as_str).collect::<Vec<_>>().join("\n");
    let data = show::object([("namespaces", show::strings(&names))]);
    Ok(Answer::new(data, text.as_str()).count(names.len()).brief(text.as_str()))
}

/// Every namespace of a memory, by name.
pub(crate) async fn every_namespace(memory: &MemoryManager) -> Result<Vec<Namespace>> {
    let mut page = PageRequest::largest();
    let mut namespaces = Vec::new();
    loop {
        let found = memory.namespaces(&page).await?;
        namespaces.extend(found.items);
        if found.next.is_none() {
            return Ok(namespaces);
        }
        page = page.after(found.next);
    }
}
