//! `mnemic migrate rollback --without-target`: returning to a place whose successor is lost. Not here: going back with what was written
//! there (`switch`).

use mnemic::{Error, ErrorKind, MemoryManager, Role, Value};

use super::{
    rules::Rules,
    switch::{Done, agreed, answer, switched_object, unmoved},
};
use crate::{
    commands::namespaces::every_namespace,
    context::Context,
    exit::{Exit, Failure, Result},
    output::Answer,
    show,
};

/// Returns to a place whose successor is lost.
pub(super) async fn give_up(ctx: &Context, rules: &Rules) -> Result<Answer> {
    let opened = ctx.open_existing()?;
    let routes = rules.routes(ctx.namespace(), || every_namespace(&opened)).await?;
    let mut done = Vec::new();
    for (from, _) in routes {
        done.push(return_one(ctx, &opened.in_namespace(from)).await?);
    }
    Ok(answer(done, ""))
}

async fn return_one(ctx: &Context, source: &MemoryManager) -> Result<Done> {
    let place = source.place().await?;
    let name = source.namespace();
    let mut object = show::object([("namespace", Value::from(name.as_str()))]);
    let (Role::Moved { to } | Role::Moving { to }) = &place.assignment.role else {
        if let Role::Copy { of } = &place.assignment.role {
            let message = format!("namespace: expected one that moved away, found a copy of {of}");
            return Err(Error::new(ErrorKind::Conflict, message).into());
        }
        object.extend(switched_object(&unmoved(place.holds.head), "source", false));
        return Ok(Done { text: format!("{name}: it serves here already"), object });
    };
    if source.successor_serves().await? {
        return Err(Failure {
            exit: Exit::Conflict,
            code: "conflict",
            message: format!("without_target: expected a new place that is lost, found that {to} serves"),
            field: Some("without_target".to_owned()),
            hint: Some(
                "mnemic migrate rollback with --to or --to-env returns with everything that was written there"
                    .to_owned(),
            ),
        });
    }
    agreed(
        ctx,
        &format!(
            "Return namespace {name} to this place as of position {} and give up {to} with what was written there only?",
            place.holds.head.0
        ),
    )?;
    let head = source.return_without_target().await?;
    let text = format!("{name}: it serves here again, as of position {}; what {to} held beyond that is lost", head.0);
    object.extend(switched_object(&unmoved(head), "source", true));
    Ok(Done { text, object })
}
