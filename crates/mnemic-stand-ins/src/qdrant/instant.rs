//! Instants in the spellings that Qdrant reads, as microseconds. Not here: comparing them.

/// Reads RFC 3339 and its shorter forms (a space for `T`, no offset, no seconds, a date alone); `None` for anything else.
pub(super) fn micros(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let (date, rest) = text.split_at_checked(10)?;
    let days = days_since_1970(date)?;
    let midnight = days.checked_mul(86_400_000_000)?;
    let Some(rest) = rest.strip_prefix(['T', ' ']) else { return rest.is_empty().then_some(midnight) };
    let (clock, offset) = split_offset(rest)?;
    let clock = time_of_day(clock, offset.is_some())?;
    midnight.checked_add(clock)?.checked_sub(offset.unwrap_or(0))
}

fn number(text: &str, digits: usize) -> Option<i64> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn days_since_1970(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) = (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if parts.next().is_some() || !(1..=longest).contains(&day) {
        return None;
    }
    // Years that begin in March put the leap day at their end.
    let shifted = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(
        shifted * 365 + shifted.div_euclid(4) - shifted.div_euclid(100) + shifted.div_euclid(400) + day_of_year
            - 719_468,
    )
}

/// The clock and the offset in microseconds, if there is one.
fn split_offset(text: &str) -> Option<(&str, Option<i64>)> {
    for utc in ["Z", "z", " UTC"] {
        if let Some(clock) = text.strip_suffix(utc) {
            return Some((clock, Some(0)));
        }
    }
    let Some(at) = text.rfind(['+', '-']) else { return Some((text, None)) };
    let (clock, offset) = text.split_at_checked(at)?;
    let (sign, digits) = offset.split_at_checked(1)?;
    let (hours, minutes) = match digits.len() {
        2 => (number(digits, 2)?, 0),
        4 => (number(digits.get(..2)?, 2)?, number(digits.get(2..)?, 2)?),
        5 => (number(digits.get(..2)?, 2)?, number(digits.get(2..)?.strip_prefix(':')?, 2)?),
        _ => return None,
    };
    let offset = (hours * 60 + minutes) * 60_000_000;
    let valid = hours < 24 && minutes < 60;
    valid.then_some((clock.strip_suffix(' ').unwrap_or(clock), Some(if sign == "-" { -offset } else { offset })))
}

fn time_of_day(clock: &str, has_offset: bool) -> Option<i64> {
    let (whole, fraction) = clock.split_once('.').map_or((clock, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut parts = whole.split(':');
    let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let second = match parts.next() {
        Some(second) => number(second, 2)?,
        // Only a time without an offset may leave the seconds out.
        None if fraction.is_none() && !has_offset => 0,
        None => return None,
    };
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let micros = match fraction {
        None => 0,
        Some(digits) if (1..=9).contains(&digits.len()) => {
            let cut = digits.get(..6).unwrap_or(digits);
            number(cut, cut.len())? * 10_i64.pow(6 - u32::try_from(cut.len()).ok()?)
        }
        Some(_) => return None,
    };
    Some(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_one_instant_are_one_number() {
        let expected = Some(1_767_571_200_123_456);
        for text in [
            "2026-01-05T00:00:00.123456Z",
            "2026-01-05 00:00:00.123456789",
            "2026-01-05T03:00:00.123456+03:00",
            "2026-01-04T22:30:00.123456-0130",
            "2026-01-05T01:00:00.123456 +01",
            "  2026-01-05 00:00:00.123456 UTC",
        ] {
            assert_eq!(micros(text), expected, "{text}");
        }
        assert_eq!(micros("2026-01-05"), Some(1_767_571_200_000_000));
        assert_eq!(micros("2026-01-05T00:01"), Some(1_767_571_260_000_000));
        assert_eq!(micros("1969-12-31T23:59:59.999999Z"), Some(-1));
        assert_eq!(micros("2000-02-29T00:00:00Z"), Some(951_782_400_000_000));
    }

    #[test]
    fn what_is_no_instant_is_none() {
        for text in
            ["", "2026", "2026-02-29", "2026-13-01", "2026-01-05T24:00:00Z", "2026-01-05T", "fee", "2026-01-05T12"]
        {
            assert_eq!(micros(text), None, "{text}");
        }
    }
}
