//! `mnemic migrate status | cutover | rollback | abort | finish`: the steps that decide who serves. Not here: how a switch is made safe
//! (the library).

use std::{fmt::Write as _, time::Duration};

use mnemic::{
    ChangeSeq, CutOver, Mirror, MovePhase, MoveStatus, Object, PlaceReport, Role, Switched, Timestamp, Value,
};

use super::{Pair, Target, existing_pairs, lost, notes, typed};
use crate::{
    context::Context,
    exit::{Exit, Failure, Result},
    input,
    output::{Answer, escaped},
    show,
};

/// Options of `migrate status`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    target: Target,
}

/// Options of `migrate cutover`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CutoverArgs {
    #[command(flatten)]
    target: Target,
    /// How long writes go to the old place too, so that going back keeps them even if the new place is lost; 0s for not at all
    #[arg(long, value_name = "TIME", default_value = "24h")]
    window: String,
}

/// Options of `migrate rollback`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "--without-target is for a new place that is lost for good: the memory serves here again with what was \
brought here, and what was written there only is lost."
)]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    target: LostTarget,
}

/// A target, or the word that there is none any more.
#[derive(Clone, Debug, clap::Args)]
struct LostTarget {
    /// A directory: the target is an embedded memory there
    #[arg(long, value_name = "DIR", required_unless_present_any = ["to_env", "without_target"], conflicts_with = "to_env")]
    to: Option<std::path::PathBuf>,
    /// A file of variables, such as the .env of a deployment: the target is the memory that they name
    #[arg(long, value_name = "FILE")]
    to_env: Option<std::path::PathBuf>,
    /// Return although the new place is lost
    #[arg(long, conflicts_with_all = ["to", "to_env"])]
    without_target: bool,
    #[command(flatten)]
    rules: super::rules::Rules,
}

/// Options of `migrate abort`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AbortArgs {
    #[command(flatten)]
    target: Target,
}

/// Options of `migrate finish`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FinishArgs {
    #[command(flatten)]
    target: Target,
}

/// What was done to one namespace: for people, and for machines.
pub(super) struct Done {
    pub(super) text: String,
    pub(super) object: Object,
}

pub(super) fn answer(done: Vec<Done>, next: &str) -> Answer {
    let count = done.len();
    let mut lines: Vec<&str> = done.iter().map(|done| done.text.as_str()).collect();
    lines.extend((!next.is_empty()).then_some(next));
    let text = lines.join("\n");
    let objects = show::objects(done.into_iter().map(|done| done.object));
    Answer::new(show::object([("namespaces", objects)]), text).count(count)
}

fn named(pair: &Pair) -> Object {
    show::object([
        ("namespace", Value::from(pair.source.namespace().as_str())),
        ("target", Value::from(pair.target.namespace().as_str())),
    ])
}

fn number(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// A role in words, as of a time.
pub(super) fn role_text(role: &Role, now: Timestamp) -> String {
    match role {
        Role::Serving { mirror: Some(Mirror { address, until }) } if now < *until => {
            format!("serves; writes go to {address} too, until {until}")
        }
        Role::Serving { .. } => "serves".to_owned(),
        Role::Copy { of } => format!("copy of {of}"),
        Role::Moving { to } => format!("takes no writes: it is moving to {to}"),
        Role::Moved { to } => format!("moved to {to}"),
    }
}

/// A place in JSON.
pub(super) fn place_object(place: &PlaceReport) -> Object {
    let role = &place.assignment.role;
    let mut object = show::object([
        ("address", Value::from(place.address.ledger())),
        ("namespace", Value::from(place.address.namespace().as_str())),
        ("ledger", Value::from(place.ledger.as_str())),
        ("indexes", show::strings(&place.indexes)),
        ("model", place.model.as_ref().map_or(Value::Null, |model| Value::from(model.to_string()))),
        ("role", Value::from(role.as_str())),
        ("role_changes", Value::from(place.assignment.epoch)),
        ("head", Value::from(place.holds.head.0)),
    ]);
    match role {
        Role::Serving { mirror: None } => {}
        Role::Serving { mirror: Some(mirror) } => {
            object.insert("mirror".to_owned(), Value::from(mirror.address.to_string()));
            object.insert("mirror_until".to_owned(), Value::from(mirror.until.to_string()));
        }
        Role::Copy { of: other } | Role::Moving { to: other } | Role::Moved { to: other } => {
            object.insert("other".to_owned(), Value::from(other.to_string()));
        }
    }
    object
}

/// Runs `migrate status`.
pub(super) async fn status(ctx: &Context, args: &StatusArgs) -> Result<Answer> {
    let to = typed(&args.target);
    let (mut done, mut phases) = (Vec::new(), Vec::new());
    for pair in existing_pairs(ctx, &args.target).await? {
        let status = pair.source.move_status(&pair.target).await?;
        let (source, target) = (pair.source.place().await?, pair.target.place().await?);
        let mut text = format!("{}: {}\n", pair.names(), phase_text(&status));
        for (name, place) in [("source", &source), ("target", &target)] {
            let role = escaped(&role_text(&place.assignment.role, pair.source.now())).into_owned();
            let _infallible = writeln!(
                text,
                "  {name}  {} ({}), position {}",
                place.address.ledger(),
                place.ledger,
                place.holds.head.0
            );
            let _infallible = writeln!(text, "          {role}");
        }
        let _infallible = write!(text, "  next    {}", next_step(&status, &to));
        let mut object = named(&pair);
        object.extend(show::object([
            ("phase", Value::from(status.phase.as_str())),
            ("behind", Value::from(status.behind())),
            ("source_place", Value::Object(place_object(&source))),
            ("target_place", Value::Object(place_object(&target))),
        ]));
        phases.push(status.phase.as_str());
        done.push(Done { text, object });
    }
    Ok(answer(done, "").brief(phases.join("\n")))
}

/// How far a move is, in words.
pub(super) fn phase_text(status: &MoveStatus) -> String {
    let behind = show::plural(number(status.behind()), "change");
    match status.phase {
        MovePhase::NotBegun if taken_back(status) => {
            "taken back; the source serves, the target keeps what it holds".to_owned()
        }
        MovePhase::NotBegun => "not begun".to_owned(),
        MovePhase::Copying => format!("copying; the source serves, the target lacks {behind}"),
        MovePhase::Switching => "switching; nobody takes writes until that is finished".to_owned(),
        MovePhase::Moved => format!("moved; the target serves, the source lacks {behind}"),
    }
}

/// The memory was at the target and has returned.
fn taken_back(status: &MoveStatus) -> bool {
    matches!((&status.source.0, &status.target.0), (Role::Serving { .. }, Role::Moved { .. }))
}

fn next_step(status: &MoveStatus, to: &str) -> String {
    match status.phase {
        MovePhase::NotBegun if taken_back(status) => {
            format!(
                "mnemic migrate run {to} copies again from where the target stands; mnemic migrate abort {to} empties it"
            )
        }
        MovePhase::NotBegun => format!("mnemic migrate run {to} copies"),
        MovePhase::Copying if status.behind() > 0 => {
            format!(
                "mnemic migrate run {to} brings the rest over; mnemic migrate cutover {to} does that too and switches"
            )
        }
        MovePhase::Copying => format!("mnemic migrate verify {to} compares; mnemic migrate cutover {to} switches"),
        MovePhase::Switching => {
            format!("mnemic migrate cutover {to} finishes the switch, mnemic migrate rollback {to} takes it back")
        }
        MovePhase::Moved => {
            format!(
                "mnemic migrate rollback {to} returns with everything; mnemic migrate finish {to} empties the old place"
            )
        }
    }
}

/// Runs `migrate cutover`.
pub(super) async fn cutover(ctx: &Context, args: &CutoverArgs) -> Result<Answer> {
    let how = CutOver { window: input::duration("window", &args.window)? };
    let to = typed(&args.target);
    let mut done = Vec::new();
    for pair in existing_pairs(ctx, &args.target).await? {
        let before = pair.source.move_status(&pair.target).await?.phase;
        let warnings = unfollowed(&pair).await?;
        for warning in &warnings {
            ctx.note(&format!("warning: {warning}"));
        }
        let switched = pair.source.cut_over(&pair.target, &how).await?;
        let place = pair.target.place().await?;
        let mut text = match before {
            MovePhase::Moved => format!("{}: had been switched before", pair.names()),
            _ => format!(
                "{}: switched at position {}; writes waited {}",
                pair.names(),
                switched.head.0,
                millis(switched.paused)
            ),
        };
        let _infallible =
            write!(text, "\n  {} {}", place.address, role_text(&place.assignment.role, pair.source.now()));
        if before != MovePhase::Moved {
            notes::write(&pair, "cutover", figures(&switched));
        }
        let mut object = named(&pair);
        object.extend(switched_object(&switched, "target", before != MovePhase::Moved));
        object.insert("warnings".to_owned(), show::strings(&warnings));
        object.insert("target_place".to_owned(), Value::Object(place_object(&place)));
        done.push(Done { text, object });
    }
    let next = format!(
        "start your programs with the settings of the new place, or leave them as they are: they are answered by the new place\n\
         mnemic migrate rollback {to} takes the move back with everything that was written since\n\
         mnemic migrate finish {to} ends it and empties the old place"
    );
    Ok(answer(done, &next))
}

/// What processes with other settings will not find.
async fn unfollowed(pair: &Pair) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    if !pair.target.place().await?.can_be_followed() {
        warnings.push(
            "to: expected a directory or settings that stand in a file, found settings that only this process has: programs with \
             the old settings will not find the new place and answer that it is elsewhere"
                .to_owned(),
        );
    }
    if !pair.source.place().await?.can_be_followed() {
        warnings.push(
            "source: expected a directory or settings that stand in a file (--env-file FILE), found settings of this process's \
             environment: other programs cannot bring writes to the old place, nor return to it by themselves after a rollback"
                .to_owned(),
        );
    }
    Ok(warnings)
}

fn millis(paused: Duration) -> String {
    format!("{:.1} ms", paused.as_secs_f64() * 1000.0)
}

fn figures(switched: &Switched) -> Object {
    show::object([
        ("head", Value::from(switched.head.0)),
        ("paused_ms", show::double(switched.paused.as_secs_f64() * 1000.0)),
    ])
}

pub(super) fn switched_object(switched: &Switched, served_by: &str, changed: bool) -> Object {
    let mut object = figures(switched);
    object.insert("serves".to_owned(), Value::from(served_by));
    object.insert("changed".to_owned(), Value::from(changed));
    object
}

/// Asks before something is removed for good.
pub(super) fn agreed(ctx: &Context, question: &str) -> Result<()> {
    let hinted = |failure: Failure| match failure.exit {
        Exit::Usage => failure.hint("mnemic migrate status says where the move stands"),
        _ => failure,
    };
    ctx.confirm(question).map_err(hinted)
}

/// Runs `migrate rollback`.
pub(super) async fn rollback(ctx: &Context, args: &RollbackArgs) -> Result<Answer> {
    let LostTarget { to, to_env, without_target, rules } = args.target.clone();
    if without_target {
        return lost::give_up(ctx, &rules).await;
    }
    let target = Target { to, to_env, rules };
    let mut done = Vec::new();
    for pair in existing_pairs(ctx, &target).await? {
        done.push(take_back(ctx, &pair).await?);
    }
    Ok(answer(done, ""))
}

async fn take_back(ctx: &Context, pair: &Pair) -> Result<Done> {
    let status = pair.source.move_status(&pair.target).await?;
    let mut object = named(pair);
    if let Role::Copy { .. } = status.target.0 {
        return remove_copy(ctx, pair, &status, "rollback").await;
    }
    if nothing_there(&status) {
        object.extend(switched_object(&unmoved(status.source.1), "source", false));
        return Ok(Done { text: nothing_text(pair), object });
    }
    let changed = !taken_back(&status);
    let switched = pair.source.roll_back(&pair.target).await?;
    let text = if changed {
        notes::write(pair, "rollback", figures(&switched));
        format!(
            "{}: returned at position {} with everything that was written since; writes waited {}\n  {} serves again; the target keeps \
             what it holds until mnemic migrate abort",
            pair.names(),
            switched.head.0,
            millis(switched.paused),
            pair.source.address()?,
        )
    } else {
        format!("{}: had returned before", pair.names())
    };
    object.extend(switched_object(&switched, "source", changed));
    Ok(Done { text, object })
}

/// Nothing of the memory is in the target, and nobody goes there.
fn nothing_there(status: &MoveStatus) -> bool {
    status.phase == MovePhase::NotBegun
        && matches!((&status.source.0, &status.target.0), (Role::Serving { .. }, Role::Serving { .. }))
        && status.target.1 == ChangeSeq(0)
}

fn nothing_text(pair: &Pair) -> String {
    format!("{}: nothing of it is in the target", pair.names())
}

pub(super) fn unmoved(head: ChangeSeq) -> Switched {
    Switched { head, paused: Duration::ZERO }
}

async fn remove_copy(ctx: &Context, pair: &Pair, status: &MoveStatus, step: &str) -> Result<Done> {
    let changes = show::plural(number(status.target.1.0), "change");
    let address = pair.target.address()?;
    agreed(
        ctx,
        &format!("Remove the copy ({changes}) in {address}? The memory itself stays where it serves.")
            .replace('\n', " "),
    )?;
    pair.source.abort_migration(&pair.target).await?;
    notes::write(pair, step, show::object([("removed", Value::from(status.target.1.0))]));
    let text = format!("{}: the copy in {address} is removed ({changes}); the source serves", pair.names());
    let mut object = named(pair);
    object.extend(switched_object(&unmoved(status.source.1), "source", true));
    object.insert("removed".to_owned(), Value::from(status.target.1.0));
    Ok(Done { text, object })
}

/// Runs `migrate abort`.
pub(super) async fn abort(ctx: &Context, args: &AbortArgs) -> Result<Answer> {
    let mut done = Vec::new();
    for pair in existing_pairs(ctx, &args.target).await? {
        let status = pair.source.move_status(&pair.target).await?;
        if nothing_there(&status) {
            let mut object = named(&pair);
            object.extend(switched_object(&unmoved(status.source.1), "source", false));
            done.push(Done { text: nothing_text(&pair), object });
        } else if status.phase == MovePhase::Moved {
            let message = format!("the target serves {}: expected a copy that does not", pair.names());
            let failure = Failure::from(mnemic::Error::new(mnemic::ErrorKind::Conflict, message).with_field("target"));
            return Err(failure.hint("mnemic migrate rollback returns first"));
        } else {
            done.push(remove_copy(ctx, &pair, &status, "abort").await?);
        }
    }
    Ok(answer(done, ""))
}

/// Runs `migrate finish`.
pub(super) async fn finish(ctx: &Context, args: &FinishArgs) -> Result<Answer> {
    let mut done = Vec::new();
    for pair in existing_pairs(ctx, &args.target).await? {
        let status = pair.source.move_status(&pair.target).await?;
        let left = status.source.1;
        if status.phase == MovePhase::Moved && left > ChangeSeq(0) {
            agreed(
                ctx,
                &format!(
                    "Remove what {} still holds ({}) for good? A pointer to {} stays, and there is no way back then.",
                    pair.source.address()?,
                    show::plural(number(left.0), "change"),
                    pair.target.address()?,
                ),
            )?;
        }
        pair.source.finish_migration(&pair.target).await?;
        notes::write(&pair, "finish", show::object([("removed", Value::from(left.0))]));
        let text = format!(
            "{}: the move is finished; the old place holds nothing but a pointer to {}",
            pair.names(),
            pair.target.address()?
        );
        let mut object = named(&pair);
        object.insert("removed".to_owned(), Value::from(left.0));
        done.push(Done { text, object });
    }
    Ok(answer(done, ""))
}
