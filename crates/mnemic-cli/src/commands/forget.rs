//! `mnemic forget`: removes everywhere, with a receipt.

use mnemic::{Error, ForgetReceipt, RecordId, Selector, Trial, UserId, ids::quoted, wire};

use crate::{
    context::Context,
    exit::{Failure, Result},
    input::FilterArgs,
    output::{Answer, one_line},
    show,
};

/// Options of `forget`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "--user alone forgets everything about that user: records, history, events, slots. \
Together with other conditions it forgets the records that pass all of them.")]
pub(crate) struct Args {
    /// A record; repeat it for several
    #[arg(long, value_name = "ID", conflicts_with_all = ["user", "thread", "kind", "tag", "filter"])]
    id: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Only say what would be forgotten
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    fn selector(&self) -> Result<Selector> {
        let conditions = &self.filter;
        if !self.id.is_empty() {
            return Ok(Selector::Ids(self.id.iter().map(RecordId::new).collect::<mnemic::Result<_>>()?));
        }
        let more = conditions.thread.is_some()
            || !conditions.kind.is_empty()
            || !conditions.tag.is_empty()
            || conditions.filter.is_some();
        match (&conditions.user, more) {
            (Some(user), false) => Ok(Selector::Subject(UserId::new(user)?)),
            (None, false) => {
                Err(Failure::usage("expected --id, --user or --filter, found nothing that says what to forget"))
            }
            (_, true) => Ok(Selector::Filter(conditions.filter()?)),
        }
    }
}

/// Runs `forget`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let selector = args.selector()?;
    let memory = ctx.open_existing()?;
    let expected = memory.forget(&selector, Trial::Dry).await?;
    if args.dry_run {
        return Ok(answer(&expected, Trial::Dry));
    }
    let what = match &selector {
        Selector::Subject(user) => format!("everything about {}", quoted(user.as_str())),
        Selector::Ids(_) | Selector::Filter(_) => show::plural(expected.forgotten.records.len(), "record"),
    };
    let events = show::plural(usize::try_from(expected.forgotten.events).unwrap_or(usize::MAX), "event");
    let slots = slots_of(expected.forgotten.threads);
    ctx.confirm(&format!("Forget {what} and {events}{slots} in namespace {} for good?", ctx.namespace()))?;
    let receipt = memory.forget(&selector, Trial::Real).await?;
    ctx.close(&memory).await;
    for left in &receipt.residue {
        tracing::warn!("{left}");
    }
    let nothing = receipt.forgotten.records.is_empty() && receipt.forgotten.events == 0;
    let failure = match &selector {
        Selector::Ids(ids) if nothing => {
            let ids: Vec<String> = ids.iter().map(|id| quoted(id.as_str())).collect();
            Some(Failure::from(Error::not_found(format!("record {}", ids.join(", ")))))
        }
        Selector::Ids(_) | Selector::Filter(_) | Selector::Subject(_) => None,
    };
    Ok(answer(&receipt, Trial::Real).failed(failure))
}

/// The slots of a thread go as a whole, whoever else takes part in it.
fn slots_of(threads: u64) -> String {
    let threads = usize::try_from(threads).unwrap_or(usize::MAX);
    if threads == 0 { String::new() } else { format!(" and all slots of {}", show::plural(threads, "thread")) }
}

fn answer(receipt: &ForgetReceipt, trial: Trial) -> Answer {
    let forgotten = &receipt.forgotten;
    let count = forgotten.records.len();
    let ids: Vec<String> = forgotten.records.iter().map(|id| one_line(id.as_str())).collect();
    let text = match trial {
        Trial::Dry => {
            let listed = if ids.is_empty() { String::new() } else { format!(":\n  {}", ids.join("\n  ")) };
            let slots = slots_of(forgotten.threads);
            format!("would forget {} and {} events{slots}{listed}", show::plural(count, "record"), forgotten.events)
        }
        Trial::Real => {
            let sequence =
                receipt.sequence.map(|at| format!("\nreceipt: sequence {at} of the audit log")).unwrap_or_default();
            let [revisions, events, threads] =
                [(forgotten.revisions, "revision"), (forgotten.events, "event"), (forgotten.threads, "thread")]
                    .map(|(count, what)| show::plural(usize::try_from(count).unwrap_or(usize::MAX), what));
            let records = show::plural(count, "record");
            format!("forgot {records} ({revisions}), {events}, slots of {threads}{sequence}")
        }
    };
    Answer::new(wire::receipt_object(receipt, trial), text).count(count).brief(ids.join("\n"))
}
