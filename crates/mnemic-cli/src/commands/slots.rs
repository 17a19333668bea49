//! `mnemic slots`: a thread's small current state.

use std::collections::BTreeMap;

use mnemic::{
    Error, MemoryManager, Precondition, SetSlots, SlotMode, ThreadId, Value, Version, VersionedSlots, ids::quoted, wire,
};

use crate::{
    context::Context,
    exit::{Failure, Result},
    input,
    output::{Answer, one_line},
    show,
};

/// What to do with slots.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show a thread's slots, or one of them
    Get {
        /// The thread
        #[arg(value_name = "THREAD")]
        id: String,
        /// Only this slot's text
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// As memory stood at this instant
        #[arg(long, value_name = "TIME")]
        as_of: Option<String>,
    },
    /// Set slots, in one step
    Set(SetArgs),
    /// Show every version of a thread's slots, newest first
    History {
        /// The thread
        #[arg(value_name = "THREAD")]
        id: String,
    },
}

/// Options of `slots set`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// The thread
    #[arg(value_name = "THREAD")]
    id: String,
    /// Slots to set, such as persona=terse; NAME=- reads the text from standard input
    #[arg(value_name = "NAME=TEXT")]
    slots: Vec<String>,
    /// A slot to remove; repeat it for several
    #[arg(long, value_name = "NAME")]
    remove: Vec<String>,
    /// The thread has exactly these slots afterwards
    #[arg(long)]
    replace: bool,
    /// Only if this version is stored; 0 means: no slots yet
    #[arg(long, value_name = "VERSION")]
    expect_version: Option<u64>,
}

impl Command {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Get { .. } => "slots get",
            Self::Set(_) => "slots set",
            Self::History { .. } => "slots history",
        }
    }
}

/// Runs `slots`.
pub(crate) async fn run(ctx: &Context, command: &Command) -> Result<Answer> {
    match command {
        Command::Get { id, name, as_of } => {
            let (id, as_of) = (ThreadId::new(id)?, input::instant("as_of", as_of.as_ref())?);
            let slots = ctx.open_existing()?.slots(&id, as_of).await?;
            get(ctx, &id, name.as_deref(), &slots)
        }
        Command::Set(args) => {
            let (id, changes) = (ThreadId::new(&args.id)?, changes(args)?);
            let memory = ctx.open()?;
            set(&memory, &id, changes, args).await
        }
        Command::History { id } => history(ctx, &ThreadId::new(id)?).await,
    }
}

fn get(ctx: &Context, id: &ThreadId, name: Option<&str>, slots: &VersionedSlots) -> Result<Answer> {
    let data = with_thread(id, slots);
    let Some(name) = name else {
        if slots.slots.is_empty() {
            ctx.note("no slots");
        }
        return Ok(Answer::new(data, text_of(ctx, slots)).count(slots.slots.len()));
    };
    match slots.slots.get(name) {
        Some(text) => Ok(Answer::new(data, ctx.output.safe(text).into_owned()).count(1).brief(text.as_str())),
        None => Err(Error::not_found(format!("slot {} of thread {}", quoted(name), quoted(id.as_str()))).into()),
    }
}

fn with_thread(id: &ThreadId, slots: &VersionedSlots) -> mnemic::Object {
    let mut data = wire::slots_object(slots);
    data.insert("thread_id".to_owned(), Value::from(id.as_str()));
    data
}

fn text_of(ctx: &Context, slots: &VersionedSlots) -> String {
    let mut text = String::new();
    for (name, value) in &slots.slots {
        text.push_str(&show::slot_line(&ctx.output, name, value));
    }
    if let Some(at) = slots.updated_at {
        text.push_str(&ctx.output.paint.dim(&format!("version {}, {at}\n", slots.version)));
    }
    text
}

fn changes(args: &SetArgs) -> Result<BTreeMap<String, Option<String>>> {
    let mut changes = BTreeMap::new();
    for pair in &args.slots {
        let Some((name, text)) = pair.split_once('=') else {
            return Err(Error::invalid("slots", "NAME=TEXT", quoted(pair)).into());
        };
        let text = if text == "-" { input::text(Some("-"))? } else { text.to_owned() };
        if changes.insert(name.to_owned(), Some(text)).is_some() {
            return Err(Error::invalid("slots", "each slot once", quoted(name)).into());
        }
    }
    for name in &args.remove {
        if changes.insert(name.clone(), None).is_some() {
            return Err(Error::invalid("remove", "each slot once", quoted(name)).into());
        }
    }
    if changes.is_empty() && !args.replace {
        return Err(Failure::usage("slots: expected NAME=TEXT or --remove NAME, found neither"));
    }
    Ok(changes)
}

async fn set(
    memory: &MemoryManager,
    id: &ThreadId,
    changes: BTreeMap<String, Option<String>>,
    args: &SetArgs,
) -> Result<Answer> {
    let how = SetSlots {
        mode: if args.replace { SlotMode::Replace } else { SlotMode::Merge },
        expect: args.expect_version.map_or(Precondition::Any, |version| Precondition::Version(Version(version))),
    };
    let slots = memory.set_slots(id, changes, how).await?;
    let text =
        format!("{} of {}, version {}", show::plural(slots.slots.len(), "slot"), one_line(id.as_str()), slots.version);
    Ok(Answer::new(with_thread(id, &slots), text).count(slots.slots.len()).brief(slots.version.to_string()))
}

async fn history(ctx: &Context, id: &ThreadId) -> Result<Answer> {
    let revisions = ctx.open_existing()?.slots_history(id).await?;
    if revisions.is_empty() {
        return Err(Error::not_found(format!("slots of thread {}", quoted(id.as_str()))).into());
    }
    let versions: Vec<VersionedSlots> = revisions
        .into_iter()
        .map(|revision| VersionedSlots {
            slots: revision.slots,
            version: revision.version,
            updated_at: Some(revision.at),
        })
        .collect();
    let texts: Vec<String> = versions.iter().map(|slots| text_of(ctx, slots)).collect();
    let data = show::object([
        ("thread_id", Value::from(id.as_str())),
        ("versions", show::objects(versions.iter().map(wire::slots_object))),
    ]);
    Ok(Answer::new(data, texts.join("\n")).count(versions.len()))
}
