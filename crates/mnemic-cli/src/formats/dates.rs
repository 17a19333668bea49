//! Reads the dates that conversation data comes with. Not here: the one form that Mnemic itself writes (`Timestamp`).

use jiff::{civil, tz::TimeZone};
use mnemic::{Error, Number, Result, Timestamp, ids::quoted};

/// The forms that are understood besides RFC 3339. None names an offset, so all are read as UTC.
const FORMS: [&str; 5] =
    ["%I:%M %p on %d %B, %Y", "%Y/%m/%d (%a) %H:%M", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"];

/// Reads a date in any of the known forms.
///
/// # Errors
/// `InvalidInput`, naming `field`.
pub(crate) fn parse(field: &str, text: &str) -> Result<Timestamp> {
    let text = text.trim();
    if let Ok(timestamp) = Timestamp::parse(field, text) {
        return Ok(timestamp);
    }
    let form = |form: &&str| civil::DateTime::strptime(form, text).ok();
    let day = || civil::Date::strptime("%Y-%m-%d", text).ok().map(|date| date.at(0, 0, 0, 0));
    let civil = FORMS.iter().find_map(form).or_else(day);
    match civil.map(|civil| TimeZone::UTC.to_timestamp(civil)) {
        Some(Ok(timestamp)) => Ok(timestamp.into()),
        Some(Err(_)) | None => Err(Error::invalid(
            field,
            "a date such as 2023-05-08T13:56:00Z, 2023/05/08 (Mon) 13:56 or 1:56 pm on 8 May, 2023",
            quoted(text),
        )),
    }
}

/// Reads seconds since 1970, or milliseconds, microseconds or nanoseconds.
///
/// # Errors
/// `InvalidInput`, naming `field`.
pub(crate) fn from_number(field: &str, number: &Number) -> Result<Timestamp> {
    /// As seconds this lies beyond the year 5000, as milliseconds in 1973: nobody's data is that new or that old. A thousand times
    /// as much is the same question for the next smaller unit.
    const MILLISECONDS_FROM: f64 = 1e11;
    let value = number.as_f64();
    let micros = match value.abs() / MILLISECONDS_FROM {
        ..1.0 => value * 1e6,
        ..1e3 => value * 1e3,
        ..1e6 => value,
        _ => value / 1e3,
    };
    Timestamp::from_micros(micros as i64)
        .map_err(|error| Error::invalid(field, "seconds since 1970", number).with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_data_is_read_as_the_same_instant() {
        for text in [
            "1:56 pm on 8 May, 2023",
            "2023/05/08 (Mon) 13:56",
            "2023-05-08T13:56:00Z",
            "2023-05-08T15:56:00+02:00",
            "2023-05-08 13:56:00",
            "2023-05-08 13:56:00.000000",
            "2023-05-08 13:56:00+00:00",
            "2023-05-08T13:56:00.000",
            "2023-05-08 13:56",
        ] {
            assert_eq!(parse("date", text).unwrap().to_string(), "2023-05-08T13:56:00Z", "{text}");
        }
        assert_eq!(parse("date", "12:09 am on 13 September, 2023").unwrap().to_string(), "2023-09-13T00:09:00Z");
        assert_eq!(parse("date", "2023-05-08").unwrap().to_string(), "2023-05-08T00:00:00Z");
    }

    #[test]
    fn what_is_no_date_is_refused_by_field() {
        for text in ["", "yesterday", "31 February, 2023", "2023/02/30 (Thu) 10:00", "13:56 pm on 8 May, 2023"] {
            let error = parse("date", text).unwrap_err();
            assert_eq!(error.field(), Some("date"), "{text}");
        }
    }
}
