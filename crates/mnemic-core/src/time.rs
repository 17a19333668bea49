//! Instants in UTC with microseconds, the one precision that every backend keeps. Not here: clocks (a port).

use std::{fmt, str::FromStr, time::Duration};

use crate::{Error, Result, ids::quoted};

/// An instant in UTC, counted in whole microseconds. Finer input is cut, never rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `micros` microseconds after 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// `InvalidInput` outside of the years -9999 to 9999.
    pub fn from_micros(micros: i64) -> Result<Self> {
        jiff::Timestamp::from_microsecond(micros).map(|_| Self(micros)).map_err(|source| {
            Error::invalid("timestamp", "an instant in the years -9999 to 9999", format!("{micros} µs"))
                .with_source(source)
        })
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339 with an offset. A leap second reads as the second before it.
    ///
    /// # Errors
    /// `InvalidInput`, naming `field`.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        text.parse::<jiff::Timestamp>().map(Self::from).map_err(|source| {
            Error::invalid(field, "an RFC 3339 time with an offset such as 2026-01-31T09:30:00Z", quoted(text))
                .with_source(source)
        })
    }

    /// This instant later by `duration`, at most the end of year 9999.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros).min(jiff::Timestamp::MAX.as_microsecond()))
    }

    /// How long before `later` this instant lies; zero if it does not.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_micros(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(timestamp: jiff::Timestamp) -> Self {
        // The library cuts towards 1970; before it that would be a later instant.
        let micros = timestamp.as_nanosecond().div_euclid(1000);
        Self(i64::try_from(micros).unwrap_or(timestamp.as_microsecond()))
    }
}

impl FromStr for Timestamp {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::parse("timestamp", text)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => timestamp.fmt(f),
            Err(_) => write!(f, "{} µs", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_reads_back_and_keeps_microseconds() {
        let text = "2026-01-31T09:30:00.123456Z";
        assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        assert_eq!("2026-01-31T12:30:00.1234569+03:00".parse::<Timestamp>().unwrap().to_string(), text);
        assert_eq!("2016-12-31T23:59:60Z".parse::<Timestamp>().unwrap().to_string(), "2016-12-31T23:59:59Z");
        let before = "1969-12-31T23:59:59.9999999Z".parse::<Timestamp>().unwrap();
        assert_eq!(before.to_string(), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn a_time_without_an_offset_or_beyond_the_calendar_is_refused() {
        for bad in [
            "2026-01-31T09:30:00",
            "10000-01-01T00:00:00Z",
            "-271821-04-20T00:00:00Z",
            "NaN",
            "",
            "1e9",
            "2026-02-30T00:00:00Z",
        ] {
            let error = Timestamp::parse("created_at", bad).unwrap_err();
            assert_eq!(error.field(), Some("created_at"), "{bad}");
            assert!(error.to_string().contains("RFC 3339"), "{error}");
        }
    }
}
