//! `mnemic migrate merge`: writes what memories hold now into another one that goes on. Not here: how names are kept apart (the library).

use std::{fmt::Write as _, path::PathBuf};

use mnemic::{MergeReport, MergeRule, Merged, Namespace, Object, Value};

use super::{Target, open, rules::Rules};
use crate::{
    commands::namespaces::every_namespace,
    context::Context,
    exit::{Failure, Result},
    output::{Answer, escaped},
    show,
};

/// Options of `migrate merge`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Brings what is there now: records, events and slots. History, deleted records and the place in the chain stay \
behind; mnemic migrate run moves those, into an empty namespace. Nothing is taken from the source."
)]
pub(crate) struct Args {
    /// A directory: the target is an embedded memory there
    #[arg(long, value_name = "DIR", required_unless_present = "to_env", conflicts_with = "to_env")]
    to: Option<PathBuf>,
    /// A file of variables, such as the .env of a deployment: the target is the memory that they name
    #[arg(long, value_name = "FILE")]
    to_env: Option<PathBuf>,
    /// The namespace that everything is written into
    #[arg(long, value_name = "NAME")]
    into: String,
    /// Every namespace of the source, but the one that is written into
    #[arg(long)]
    all_namespaces: bool,
    /// What stands before the id of a record that the target uses for another one; {namespace} is the source's [default:
    /// {namespace}/]
    #[arg(long, value_name = "TEXT")]
    id_prefix: Option<String>,
    /// What stands before the id of every thread; {namespace} is the source's
    #[arg(long, value_name = "TEXT")]
    thread_prefix: Option<String>,
}

/// Runs `migrate merge`.
pub(super) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let into = Namespace::new(&args.into)?;
    let source = ctx.open_existing()?;
    let place = Target { to: args.to.clone(), to_env: args.to_env.clone(), rules: Rules::default() };
    let target = open(ctx, &place)?.in_namespace(into.clone());
    let mut namespaces = vec![ctx.namespace().clone()];
    if args.all_namespaces {
        namespaces = every_namespace(&source).await?;
    }
    if args.all_namespaces && source.address()?.ledger() == target.address()?.ledger() {
        namespaces.retain(|namespace| *namespace != into);
    }
    let (mut text, mut objects) = (String::new(), Vec::new());
    for namespace in namespaces {
        let filled = |prefix: &String| prefix.replace("{namespace}", namespace.as_str());
        let rule = MergeRule {
            id_prefix: args.id_prefix.as_ref().map(filled),
            thread_prefix: args.thread_prefix.as_ref().map(filled),
        };
        let merged = source.in_namespace(namespace.clone()).merge_into(&target, &rule).await;
        let report = merged.map_err(advised)?;
        describe(&mut text, &namespace, &into, &report);
        objects.push(object(&namespace, &into, &report));
    }
    ctx.close(&target).await;
    let count = objects.len();
    Ok(Answer::new(show::object([("namespaces", show::objects(objects))]), text).count(count))
}

fn advised(error: mnemic::Error) -> Failure {
    let slots = error.field() == Some("thread_prefix");
    let failure = Failure::from(error);
    if slots {
        failure.hint("--thread-prefix '{namespace}/' keeps the threads of each namespace apart")
    } else {
        failure
    }
}

fn describe(text: &mut String, from: &Namespace, into: &Namespace, report: &MergeReport) {
    let counted = |what: &str, merged: Merged| format!("{} {what} ({} there already)", merged.written, merged.same);
    let _infallible = writeln!(
        text,
        "{from} -> {into}: {}, {}, {} brought",
        counted("records", report.records),
        counted("events", report.events),
        counted("threads with slots", report.threads),
    );
    for (old, new) in &report.renamed {
        let _infallible =
            writeln!(text, "  renamed: record {} is {} there", escaped(old.as_str()), escaped(new.as_str()));
    }
    for skipped in &report.skipped {
        let _infallible = writeln!(text, "  left out: {}", escaped(skipped));
    }
}

fn object(from: &Namespace, into: &Namespace, report: &MergeReport) -> Object {
    let merged = |merged: Merged| {
        Value::Object(show::object([("written", Value::from(merged.written)), ("same", Value::from(merged.same))]))
    };
    let renamed =
        report.renamed.iter().map(|(old, new)| (old.to_string(), Value::from(new.as_str()))).collect::<Object>();
    show::object([
        ("namespace", Value::from(from.as_str())),
        ("target", Value::from(into.as_str())),
        ("records", merged(report.records)),
        ("events", merged(report.events)),
        ("threads", merged(report.threads)),
        ("renamed", Value::Object(renamed)),
        ("skipped", show::strings(&report.skipped)),
    ])
}
