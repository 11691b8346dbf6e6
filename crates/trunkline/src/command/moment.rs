//! A moment as operators write it: RFC 3339, the seconds of which may be left out.

use std::fmt;
use std::str::FromStr;

/// A moment, in seconds since the Unix epoch; it prints in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(i64);

/// What else to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoMoment;

impl fmt::Display for NoMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write a date and time of RFC 3339, like 2026-12-25T03:00Z or 2026-12-25T03:00:00+01:00")
    }
}

impl std::error::Error for NoMoment {}

const DAY: i64 = 86_400;

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, NoMoment> {
        let (date, time) = text.split_once(['T', 't', ' ']).ok_or(NoMoment)?;
        let [year, month, day] = fields(date, '-', [4, 2, 2])?;
        if !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
            return Err(NoMoment);
        }
        let (clock, offset) = offset(time)?;
        let clock = clock.split_once('.').map_or(Ok(clock), |(whole, part)| match digits(part) {
            Some(_) if whole.len() == "00:00:00".len() => Ok(whole),
            _ => Err(NoMoment),
        })?;
        let [hour, minute, second] = match fields(clock, ':', [2, 2]) {
            Ok([hour, minute]) => [hour, minute, 0],
            Err(NoMoment) => fields(clock, ':', [2, 2, 2])?,
        };
        // A leap second is one.
        if hour > 23 || minute > 59 || second > 60 {
            return Err(NoMoment);
        }
        Ok(Self(days_before(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut days, rest) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        // Never too late, whichever side of the epoch.
        let mut year = 1970 + days.div_euclid(366).min(days.div_euclid(365));
        while days_before(year + 1, 1, 1) <= days {
            year += 1;
        }
        days -= days_before(year, 1, 1);
        let mut month = 1;
        while days >= days_of(year, month) {
            days -= days_of(year, month);
            month += 1;
        }
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        write!(f, "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
    }
}

/// A time without its offset from UTC, and that in seconds.
fn offset(time: &str) -> Result<(&str, i64), NoMoment> {
    if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        return Ok((clock, 0));
    }
    let (clock, sign, offset) = match (time.rsplit_once('+'), time.rsplit_once('-')) {
        (Some((clock, offset)), _) => (clock, 1, offset),
        (None, Some((clock, offset))) => (clock, -1, offset),
        (None, None) => return Err(NoMoment),
    };
    let [hours, minutes] = fields(offset, ':', [2, 2])?;
    if hours > 23 || minutes > 59 {
        return Err(NoMoment);
    }
    Ok((clock, sign * (hours * 3600 + minutes * 60)))
}

/// Numbers of so many digits each.
fn fields<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Result<[i64; N], NoMoment> {
    let mut parts = text.split(separator);
    let mut found = [0; N];
    for (place, width) in found.iter_mut().zip(widths) {
        let part = parts.next().filter(|part| part.len() == width).ok_or(NoMoment)?;
        *place = digits(part).ok_or(NoMoment)?;
    }
    if parts.next().is_some() { Err(NoMoment) } else { Ok(found) }
}

fn digits(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the epoch to a date of the Gregorian calendar, negative before it.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    // Years that are over, and the leap days that they had; 719,162 days lie before 1970.
    let past = year - 1;
    let leap_days = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    let months: i64 = (1..month).map(|month| days_of(year, month)).sum();
    past * 365 + leap_days - 719_162 + months + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_with_their_offset_and_print_in_utc() {
        for (text, seconds, utc) in [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"),
            ("2026-12-25T03:00Z", 1_798_167_600, "2026-12-25T03:00:00Z"),
            ("2026-12-25t03:00:00.250+01:00", 1_798_164_000, "2026-12-25T02:00:00Z"),
            ("2024-02-29 23:59:59-01:00", 1_709_254_799, "2024-03-01T00:59:59Z"),
            ("2000-12-31T23:59:60Z", 978_307_200, "2001-01-01T00:00:00Z"),
            ("1969-12-31T23:59:59Z", -1, "1969-12-31T23:59:59Z"),
            ("0001-01-01T00:00Z", -62_135_596_800, "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59Z", 253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            let moment: Moment = text.parse().unwrap_or_else(|_| panic!("{text}"));
            assert_eq!((moment.0, moment.to_string().as_str()), (seconds, utc), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "now",
            "2026-12-25",
            "2026-12-25T03:00",
            "2026-13-01T00:00Z",
            "2026-02-29T00:00Z",
            "2026-00-10T00:00Z",
            "2026-12-25T24:00Z",
            "2026-12-25T03:60Z",
            "2026-12-25T3:00Z",
            "2026-12-25T03:00:00.Z",
            "2026-12-25T03:00.5Z",
            "2026-12-25T03:00+0100",
            "2026-12-25T03:00+24:00",
            "+026-12-25T03:00Z",
            "2026-12-25T03:00:00:00Z",
        ] {
            assert_eq!(text.parse::<Moment>(), Err(NoMoment), "{text}");
        }
    }
}
