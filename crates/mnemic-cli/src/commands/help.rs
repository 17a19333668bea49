//! `mnemic help`: one command's help for people, the whole command tree for machines.

use clap::{Arg, ArgAction, CommandFactory};
use mnemic::{Object, Value, ids::quoted};

use crate::{
    args::Cli,
    exit::{Failure, Result},
    output::Answer,
    show,
};

/// Options of `help`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The command, such as: slots set
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs `help`.
pub(crate) fn run(args: &Args) -> Result<Answer> {
    let mut root = Cli::command();
    root.build();
    let mut command = &mut root;
    for name in &args.command {
        command = command.find_subcommand_mut(name).ok_or_else(|| {
            Failure::usage(format!("command: expected a command, found {}", quoted(name)))
                .hint("mnemic --help lists them")
        })?;
    }
    let data = describe(command);
    let text = command.render_long_help().to_string();
    Ok(Answer::new(data, text.as_str()).brief(text.as_str()))
}

fn describe(command: &clap::Command) -> Object {
    let arguments = command.get_arguments().filter(|arg| !arg.is_hide_set() && arg.get_id() != "help").map(argument);
    let mut object = show::object([("name", Value::from(command.get_name())), ("arguments", show::objects(arguments))]);
    if let Some(about) = command.get_about() {
        object.insert("about".to_owned(), Value::from(about.to_string()));
    }
    let commands: Vec<Object> = command.get_subcommands().map(describe).collect();
    if !commands.is_empty() {
        object.insert("commands".to_owned(), show::objects(commands));
    }
    object
}

fn argument(arg: &Arg) -> Object {
    let mut object = show::object([
        ("name", Value::from(arg.get_long().unwrap_or(arg.get_id().as_str()))),
        ("option", Value::from(!arg.is_positional())),
        ("required", Value::from(arg.is_required_set())),
        ("takes_value", Value::from(arg.get_action().takes_values())),
        ("repeatable", Value::from(matches!(arg.get_action(), ArgAction::Append | ArgAction::Count))),
    ]);
    if let Some(help) = arg.get_help() {
        object.insert("help".to_owned(), Value::from(help.to_string()));
    }
    if let Some(short) = arg.get_short() {
        object.insert("short".to_owned(), Value::from(short.to_string()));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        object.insert("default".to_owned(), Value::from(defaults.join(",")));
    }
    let values: Vec<String> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if !values.is_empty() && arg.get_action().takes_values() {
        object.insert("values".to_owned(), show::strings(values));
    }
    object
}
