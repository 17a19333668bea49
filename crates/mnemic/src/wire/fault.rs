//! Errors as objects: what every door may show of one. Not here: status and exit codes (each door has one mapping).

use mnemic_core::{Error, Object, Retry};

use super::put;

/// An error as an object: `kind`, `message`, the `field` of the input where there is one, and `retry` (`never`, `soon`, or
/// `after` with `retry_after_ms`). Its cause and context stay inside.
pub fn error_object(error: &Error) -> Object {
    let mut object = Object::new();
    put(&mut object, "kind", error.kind().as_str());
    put(&mut object, "message", error.message());
    super::put_some(&mut object, "field", error.field());
    match error.retry() {
        Retry::Never => put(&mut object, "retry", "never"),
        Retry::Soon => put(&mut object, "retry", "soon"),
        Retry::After(wait) => {
            put(&mut object, "retry", "after");
            put(&mut object, "retry_after_ms", u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        }
    }
    object
}
