//! What goes wrong between the driver and this ledger. The driver's own errors are classified by `mnemic_postgres::classify`.

use mnemic_core::{Error, ErrorKind, Result};

/// The same error for another caller.
pub(super) fn copy(error: &Error) -> Error {
    let copied = Error::new(error.kind(), error.message()).with_retry(error.retry());
    let copied = error.context().iter().fold(copied, |copied, (key, value)| copied.with_context(key, value.clone()));
    match error.field() {
        Some(field) => copied.with_field(field),
        None => copied,
    }
}

/// What every durable ledger says of damage, with the advice that fits this one.
pub(super) fn damage(error: Error) -> Error {
    if error.kind() != ErrorKind::Corrupted {
        return error;
    }
    let message = error.message().replace("restore a backup with `mnemic restore`", "restore a backup of the database");
    Error::new(ErrorKind::Corrupted, message).with_source(error)
}

/// A position or a version in its column.
pub(super) fn whole(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|source| Error::bug("a position beyond what a column holds").with_source(source))
}

/// A column as a position or a version.
pub(super) fn count(number: i64) -> Result<u64> {
    u64::try_from(number)
        .map_err(|source| mnemic_postgres::corrupted("a position below zero").with_context("cause", source.to_string()))
}

#[cfg(test)]
mod tests {
    use mnemic_core::Retry;

    use super::*;

    #[test]
    fn a_copy_says_the_same_as_its_original() {
        let error = Error::invalid("f", "a", "b").with_retry(Retry::Soon).with_context("k", "v");
        let copied = copy(&error);
        assert_eq!(
            (copied.kind(), copied.retry(), copied.message(), copied.field(), copied.context()),
            (error.kind(), error.retry(), error.message(), error.field(), error.context())
        );
    }

    #[test]
    fn damage_is_told_with_the_advice_that_fits() {
        let error = Error::new(ErrorKind::Corrupted, "cut; restore a backup with `mnemic restore`");
        assert_eq!(damage(error).to_string(), "cut; restore a backup of the database");
        assert_eq!(count(-1).unwrap_err().kind(), ErrorKind::Corrupted);
    }
}
