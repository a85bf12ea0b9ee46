//! Points in time, and their texts: in RFC 3339, and as Go's Time.String prints them.
//!
//! A parsed text may have an offset from UTC; all output is UTC. The calendar is the proleptic
//! Gregorian calendar, computed with Howard Hinnant's algorithms (`days_from_civil`,
//! `civil_from_days`).

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970-01-01T00:00:00Z; negative before that. The range is from 1677 to 2262.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub i64);

const NS: i64 = 1_000_000_000;

impl Instant {
    /// The present time of the host's clock (CLOCK_REALTIME).
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Instant(since.as_nanos() as i64)
    }

    /// The time at which the host booted. Setting the host's clock changes the result.
    pub fn of_boot() -> Self {
        let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Instant(Instant::now().0 - up.tv_sec * NS - up.tv_nsec)
    }

    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(NS)
    }

    /// Formats as `2026-01-31T12:00:00.000000042Z`. There are always nine digits, so the texts sort
    /// like the times.
    pub fn to_rfc3339(self) -> String {
        let seconds = self.seconds();
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let ns = self.0.rem_euclid(NS);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ns:09}Z")
    }

    /// Formats as `2026-01-31 12:00:00.000000042 +0000 UTC`, like Go's Time.String, without zeros
    /// at the end of the fraction.
    pub fn to_go(self) -> String {
        let text = self.to_rfc3339().replace('T', " ");
        format!(
            "{} +0000 UTC",
            text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.')
        )
    }

    /// Parses a date-time of RFC 3339, section 5.6. Leading zeros may be missing. The time, its
    /// seconds and the zone may be missing too (then midnight, 0 and UTC), as in
    /// `--since 2026-01-31`. A time outside of the range becomes the nearest time in it. Returns
    /// `None` for other texts, and for a date that does not exist.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let (date, rest) = match text.find(['T', 't', ' ']) {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, ""),
        };
        let mut parts = date.splitn(3, '-').map(digits);
        let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year > 9999 {
            return None;
        }
        let (clock, offset) = match rest.find(['Z', 'z', '+', '-']) {
            Some(at) => (&rest[..at], parse_offset(&rest[at..])?),
            None => (rest, 0),
        };
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        let mut parts = clock.splitn(3, ':').filter(|part| !part.is_empty()).map(digits);
        let mut next = || parts.next().unwrap_or(Some(0));
        let (hour, minute, second) = (next()?, next()?, next()?);
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let fraction = fraction.get(..fraction.len().min(9))?;
        let ns = digits(fraction)? * 10i64.pow(9 - fraction.len() as u32);
        let days = days_from_civil(year, month, day);
        if civil_from_days(days) != (year, month, day) {
            return None;
        }
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
        Some(Instant(seconds.saturating_mul(NS).saturating_add(ns)))
    }
}

fn digits(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Parses `Z`, `+hh:mm` or `-hh:mm` into seconds east of UTC.
fn parse_offset(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let seconds = digits(hours)? * 3600 + digits(minutes)? * 60;
    Some(if text.starts_with('-') { -seconds } else { seconds })
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formatted_instant_parses_to_the_same_instant() {
        for ns in [0, 1, 951_782_400 * NS, 1_767_225_599 * NS + 999_999_999, -1] {
            let text = Instant(ns).to_rfc3339();
            assert_eq!(Instant::parse_rfc3339(&text), Some(Instant(ns)), "{text}");
        }
        assert_eq!(Instant(951_782_400 * NS).to_rfc3339(), "2000-02-29T00:00:00.000000000Z");
        assert_eq!(Instant(951_782_400 * NS).to_go(), "2000-02-29 00:00:00 +0000 UTC");
        let with_fraction = Instant(951_782_400 * NS + 20_500_000).to_go();
        assert_eq!(with_fraction, "2000-02-29 00:00:00.0205 +0000 UTC");
    }

    #[test]
    fn reads_offsets_and_short_forms() {
        let utc = Instant::parse_rfc3339("2026-01-31T12:00:00Z");
        assert!(utc.is_some());
        assert_eq!(Instant::parse_rfc3339("2026-01-31T14:00:00+02:00"), utc);
        assert_eq!(Instant::parse_rfc3339("2026-01-31T12:00"), utc);
        assert!(Instant::parse_rfc3339("2026-01-31").is_some());
        let last = Instant::parse_rfc3339("9999-12-31T23:59:59Z");
        assert_eq!(last, Some(Instant(i64::MAX)));
        assert!(last.unwrap().to_rfc3339().starts_with("2262-04-11T"));
        assert_eq!(Instant::parse_rfc3339("1600-01-01"), Some(Instant(i64::MIN)));
        assert!(Instant(i64::MIN).to_rfc3339().starts_with("1677-09-21T"));
        for bad in ["", "yesterday", "2026-13-01", "2026-01-31T25:00:00Z", "2026-01-31T12:00+"] {
            assert_eq!(Instant::parse_rfc3339(bad), None, "{bad}");
        }
        for no_day in ["2026-02-31", "2026-02-29", "1900-02-29", "2026-04-31", "2026-01-32"] {
            assert_eq!(Instant::parse_rfc3339(no_day), None, "{no_day}");
        }
        assert!(Instant::parse_rfc3339("2024-02-29").is_some());
    }
}
