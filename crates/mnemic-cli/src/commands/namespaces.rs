//! `mnemic namespaces`: which namespaces the memory holds.

use mnemic::{Namespace, PageRequest};

use crate::{context::Context, exit::Result, output::Answer, show};

/// Options of `namespaces`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs `namespaces`.
pub(crate) async fn run(ctx: &Context, _args: &Args) -> Result<Answer> {
    let memory = ctx.open_existing()?;
    let mut page = PageRequest::largest();
    let mut names: Vec<Namespace> = Vec::new();
    loop {
        let found = memory.namespaces(&page).await?;
        names.extend(found.items);
        if found.next.is_none() {
            break;
        }
        page = page.after(found.next);
    }
    let text = names.iter().map(Namespace::as_str).collect::<Vec<_>>().join("\n");
    let data = show::object([("namespaces", show::strings(&names))]);
    Ok(Answer::new(data, text.as_str()).count(names.len()).brief(text.as_str()))
}
