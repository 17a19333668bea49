//! Values with a unit, a range or a form: durations, sizes, counts, names. Not here: names out of a list (`choices`) and secrets.

use std::{ops::RangeInclusive, time::Duration};

use mnemic_core::ids::quoted;

/// What is wrong with a value: `expected …, found …`.
pub(super) type Fault = String;

const SECOND: u64 = 1000;
const DURATIONS: [(&str, u64); 5] =
    [("ms", 1), ("s", SECOND), ("m", 60 * SECOND), ("h", 3600 * SECOND), ("d", 86_400 * SECOND)];
const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// A whole number with one of `units` behind it, as a multiple of the smallest unit.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.trim_start();
    let (_, each) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*each)
}

/// A duration such as `30s`, within `range`.
pub(super) fn duration(text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, Fault> {
    let (least, most) = (shown_duration(*range.start()), shown_duration(*range.end()));
    with_unit(text, &DURATIONS).map(Duration::from_millis).filter(|value| range.contains(value)).ok_or_else(|| {
        format!("expected a duration with its unit (ms, s, m, h, d) from {least} to {most}, found {}", quoted(text))
    })
}

/// A number of bytes such as `1GiB`, within `range`.
pub(super) fn bytes(text: &str, range: &RangeInclusive<u64>) -> Result<u64, Fault> {
    let (least, most) = (shown_bytes(*range.start()), shown_bytes(*range.end()));
    with_unit(text, &SIZES).filter(|value| range.contains(value)).ok_or_else(|| {
        format!("expected a size with its unit (MiB, GiB, MB, GB …) from {least} to {most}, found {}", quoted(text))
    })
}

/// A whole number within `range`.
pub(super) fn count(text: &str, range: &RangeInclusive<u32>) -> Result<u32, Fault> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|value| plain && range.contains(value)).ok_or_else(|| {
        format!("expected a whole number from {} to {}, found {}", range.start(), range.end(), quoted(text))
    })
}

/// `true` or `false`.
pub(super) fn switch(text: &str) -> Result<bool, Fault> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("expected true or false, found {}", quoted(text))),
    }
}

/// A name that a server accepts in an address: letters of `a-z`, digits and `-`, neither first nor last a `-`.
pub(super) fn label(text: &str, most: usize) -> Result<String, Fault> {
    let within = (1..=most).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-');
    if within && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "expected 1 to {most} characters of a-z, 0-9 and -, not beginning or ending with -, found {}",
        quoted(text)
    ))
}

/// The name of a Qdrant collection.
pub(super) fn collection(text: &str) -> Result<String, Fault> {
    const MOST: usize = 64;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=MOST).contains(&text.len()) && text.bytes().all(good) {
        return Ok(text.to_owned());
    }
    Err(format!("expected 1 to {MOST} characters of A-Z, a-z, 0-9, _ and -, found {}", quoted(text)))
}

/// The name of a model, as its server knows it.
pub(super) fn model(text: &str) -> Result<String, Fault> {
    const MOST: usize = 200;
    if text.len() <= MOST && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(format!("expected the name of a model, at most {MOST} visible ASCII characters, found {}", quoted(text)))
}

/// In the largest unit that divides it.
pub(super) fn shown_duration(value: Duration) -> String {
    largest(value.as_millis(), &DURATIONS)
}

/// In the largest unit that divides it.
pub(super) fn shown_bytes(value: u64) -> String {
    largest(u128::from(value), &SIZES)
}

fn largest(value: u128, units: &[(&str, u64)]) -> String {
    let divides = |each: &u64| value.checked_rem(u128::from(*each)) == Some(0) && value >= u128::from(*each);
    let found = units.iter().filter(|(_, each)| divides(each)).max_by_key(|(_, each)| *each);
    found.map_or_else(
        || format!("{value}{}", units.first().map_or("", |(name, _)| name)),
        |(name, each)| format!("{}{name}", value / u128::from(*each)),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn what_is_shown_reads_back_as_the_same_value() {
        let any = Duration::ZERO..=Duration::from_hours(24 * 365);
        for text in ["1ms", "30s", "90m", "25h", "7d", "1500ms"] {
            assert_eq!(shown_duration(duration(text, &any).unwrap()), text);
        }
        for text in ["1023B", "1MiB", "1GiB", "3TB", "1500KB"] {
            assert_eq!(shown_bytes(bytes(text, &(0..=u64::MAX)).unwrap()), text);
        }
        assert_eq!(shown_duration(Duration::ZERO), "0ms");
    }

    #[test]
    fn a_number_needs_its_unit_and_its_range() {
        let range = Duration::from_secs(1)..=Duration::from_mins(10);
        for bad in [
            "30",
            "",
            "s",
            "0s",
            "11m",
            "-1s",
            "1.5s",
            "30 sec",
            "99999999999999999999d",
            "18446744073709551615d",
            "３０s",
        ] {
            let fault = duration(bad, &range).unwrap_err();
            assert!(
                fault.starts_with("expected a duration with its unit (ms, s, m, h, d) from 1s to 10m, found"),
                "{fault}"
            );
        }
        for bad in ["1", "1gib", "0B", "1025KiB", "+1KiB"] {
            assert!(bytes(bad, &(1024..=1 << 20)).is_err(), "{bad}");
        }
        for bad in ["0", "+5", "9", "1e3", " 5"] {
            assert!(count(bad, &(1..=8)).is_err(), "{bad}");
        }
        assert_eq!(duration("1 m", &range).unwrap(), Duration::from_mins(1));
    }
}
