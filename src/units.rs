//! Quantities: sizes in bytes, numbers and lists of CPUs, durations.
//!
//! Sizes, numbers of CPUs and durations are parsed once, into a number. Sizes and durations are
//! printed as by Docker's package go-units: decimal sizes with at most three digits, binary sizes
//! with at most four, and durations such as `About an hour`. `go_duration` prints a duration as Go
//! does. Lists of CPUs are only checked; they have the "List format" of cpuset(7).

use crate::error::{Error, Result, fail};
use crate::time::Instant;

/// A number of bytes, typed as `64m`, `1.5g` or `512KiB`. Units are powers of 1024, as in Docker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// Parses a size. A number without a unit is in bytes. Fails on any other text, and above
    /// 2^63-1. Docker's client accepts such a large size, and its daemon refuses the size.
    pub fn parse(text: &str) -> Result<ByteSize> {
        Self::parse_with_unit(text, 0)
    }

    /// As `parse`, but a number without a unit is in megabytes, as in `-mem 100` of tutorial
    /// engines.
    pub fn parse_megabytes(text: &str) -> Result<ByteSize> {
        Self::parse_with_unit(text, 20)
    }

    fn parse_with_unit(text: &str, bare_shift: u32) -> Result<ByteSize> {
        let bad = || Error::new(format!("bad size '{text}': write bytes or 512k, 64m, 1.5g"));
        if text.starts_with('-') {
            fail!("bad size '{text}': it can't be negative");
        }
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = (&text[..split], text[split..].trim_start().to_ascii_lowercase());
        let shift = match unit.as_str() {
            "" => bare_shift,
            "b" => 0,
            "k" | "kb" | "ki" | "kib" => 10,
            "m" | "mb" | "mi" | "mib" => 20,
            "g" | "gb" | "gi" | "gib" => 30,
            "t" | "tb" | "ti" | "tib" => 40,
            _ => return Err(bad()),
        };
        let too_large = || Error::new(format!("bad size '{text}': it is too large")).of_daemon();
        // Docker's API has sizes as signed 64-bit numbers, so refuse larger values.
        let limit = i64::MAX as u128;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || (number.contains('.') && fraction.is_empty()) {
            return Err(bad());
        }
        if fraction.len() > 18 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        let whole: u64 = whole.parse().map_err(|_| too_large())?;
        let mut bytes = u128::from(whole) << shift;
        if !fraction.is_empty() {
            let part: u64 = fraction.parse().map_err(|_| bad())?;
            bytes += (u128::from(part) << shift) / 10u128.pow(fraction.len() as u32);
        }
        if bytes > limit {
            return Err(too_large());
        }
        Ok(ByteSize(bytes as u64))
    }
}

/// Appends a size as `docker images` prints it: a decimal unit and at most three significant digits
/// (`7.38MB`).
pub fn push_human_size(out: &mut String, bytes: u64) {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let text =
        if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text[..] };
    out.push_str(text);
    out.push_str(UNITS[unit]);
}

/// Appends a size as Docker prints memory: at most four digits and a binary unit (`1.5MiB`).
pub fn push_binary_size(out: &mut String, bytes: u64) {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = match value {
        0.0..10.0 => 3,
        10.0..100.0 => 2,
        100.0..1000.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    out.extend([text, UNITS[unit]]);
}

/// The maximum number of CPUs: the kernel's limit for NR_CPUS on x86-64. All numbers in a list of
/// CPUs or memory nodes are below this limit.
const MAX_CPUS: u32 = 8192;

/// Checks a list of CPUs or memory nodes such as `0-3,7`. Fails if the syntax is wrong, a number is
/// too large, a range runs backwards, or the text has more than 4096 bytes.
pub fn check_cpu_list(text: &str) -> Result<()> {
    if text.len() > 4096 {
        fail!("bad list: {} characters are more than 4096", text.len());
    }
    let bad = || Error::new(format!("bad list '{text}': write numbers and ranges, as in 0-3,7"));
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |digits: &str| -> Result<u32> {
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(bad());
            }
            match digits.parse() {
                Ok(number) if number < MAX_CPUS => Ok(number),
                _ => fail!("bad list '{text}': {digits} is above the largest, {}", MAX_CPUS - 1),
            }
        };
        if number(first)? > number(last)? {
            fail!("bad list '{text}': the range {part} runs backwards");
        }
    }
    Ok(())
}

/// Parses a number of CPUs such as `1.5` into billionths of a CPU; 0 means no limit. Fails on any
/// other text, on more than nine decimals, if the whole part is above `MAX_CPUS`, and below 0.01
/// except 0.
pub fn parse_nano_cpus(text: &str) -> Result<u64> {
    let bad = || Error::new(format!("bad number of CPUs '{text}': write one such as 0.5 or 2"));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if text.is_empty() {
        return Err(bad());
    }
    let whole = if whole.is_empty() { "0" } else { whole };
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return Err(bad());
    }
    let whole: u64 = whole.parse().map_err(|_| bad())?;
    if whole > u64::from(MAX_CPUS) {
        fail!("bad number of CPUs '{text}': the maximum is {MAX_CPUS}");
    }
    let part: u64 = fraction.parse().map_err(|_| bad())?;
    let nano = whole * 1_000_000_000 + part * 10u64.pow(9 - fraction.len() as u32);
    if nano != 0 && nano < 10_000_000 {
        fail!("bad number of CPUs '{text}': the minimum is 0.01");
    }
    Ok(nano)
}

/// Parses a Go duration without a sign (`90s`, `1h30m`, `1.5h`, `250ms`) into nanoseconds. In
/// addition to Go's units, `d` is a day and `w` a week. `None` for any other text, for more than
/// nine decimals, and if the nanoseconds do not fit in an `i64`.
pub fn parse_duration_ns(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total: i64 = 0;
    if rest == "0" {
        return Some(0);
    }
    while !rest.is_empty() || total == 0 {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale: i64 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if number.is_empty() || fraction.len() > 9 || number == "." {
            return None;
        }
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let mut span = whole.checked_mul(scale)?;
        if !fraction.is_empty() {
            let part: i64 = fraction.parse().ok()?;
            let part = i128::from(part) * i128::from(scale) / 10i128.pow(fraction.len() as u32);
            span = span.checked_add(part as i64)?;
        }
        total = total.checked_add(span)?;
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    Some(total)
}

/// Returns a duration as Go's method `String` prints it: `1h0m0s`, `1.5s`, `250ms`.
pub fn go_duration(ns: i64) -> String {
    let (sign, size) = (if ns < 0 { "-" } else { "" }, ns.unsigned_abs());
    // Returns `size` in units of `unit`, without zeros at the end of the fraction.
    let decimal = |size: u64, unit: u64| {
        let width = unit.ilog10() as usize;
        let digits = format!("{}.{:0width$}", size / unit, size % unit);
        digits.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match size {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", decimal(size, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(size, 1_000_000)),
        _ => {
            let (minutes, rest) = (size / 60_000_000_000, size % 60_000_000_000);
            let seconds = decimal(rest, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// Parses the value of `--since` or `--until`: a duration before `now`, Unix seconds with up to
/// nine decimals, or a text for `Instant::parse_rfc3339`. Fails on any other text.
pub fn parse_moment(text: &str, now: Instant) -> Result<Instant> {
    let bad = || {
        Error::new(format!(
            "bad time '{text}': write a span (10m, 1h30m), RFC 3339 (2026-01-31T12:00:00Z) or Unix seconds"
        ))
    };
    let numeric = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if numeric {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let seconds: i64 = seconds.parse().map_err(|_| bad())?;
        if fraction.is_empty() || fraction.len() > 9 {
            return Err(bad());
        }
        let part: i64 = fraction.parse().map_err(|_| bad())?;
        let ns = part * 10i64.pow(9 - fraction.len() as u32);
        let whole = seconds.checked_mul(1_000_000_000).and_then(|whole| whole.checked_add(ns));
        return whole.map(Instant).ok_or_else(bad);
    }
    if let Some(span) = parse_duration_ns(text) {
        return Ok(Instant(now.0.saturating_sub(span)));
    }
    Instant::parse_rfc3339(text).ok_or_else(bad)
}

/// Appends a duration of `seconds` as Docker prints it: `5 seconds`, `About an hour`, `3 weeks`.
pub fn push_human_span(out: &mut String, seconds: i64) {
    use std::fmt::Write;
    let seconds = seconds.max(0);
    let minutes = seconds / 60;
    // Docker rounds to the nearest hour, but rounds minutes down.
    let hours = (seconds + 1800) / 3600;
    let (number, unit) = match () {
        () if seconds < 1 => return out.push_str("Less than a second"),
        () if seconds == 1 => return out.push_str("1 second"),
        () if seconds < 60 => (seconds, "seconds"),
        () if minutes == 1 => return out.push_str("About a minute"),
        () if minutes < 60 => (minutes, "minutes"),
        () if hours == 1 => return out.push_str("About an hour"),
        () if hours < 48 => (hours, "hours"),
        () if hours < 24 * 7 * 2 => (hours / 24, "days"),
        () if hours < 24 * 30 * 2 => (hours / 24 / 7, "weeks"),
        () if hours < 24 * 365 * 2 => (hours / 24 / 30, "months"),
        () => (seconds / 3600 / 24 / 365, "years"),
    };
    // Writing to a String can't fail.
    let _ = write!(out, "{number} {unit}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_printed_like_dockers() {
        for (bytes, text) in [
            (0, "0B"),
            (1000, "1000B"),
            (1024, "1KiB"),
            (1_572_864, "1.5MiB"),
            (16_384_000, "15.62MiB"),
            (800 << 20, "800MiB"),
            (8_201_150_464, "7.638GiB"),
        ] {
            let mut out = String::new();
            push_binary_size(&mut out, bytes);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn sizes_in_powers_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1k", 1024),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("64MiB", 64 << 20),
            ("1.5g", 3 << 29),
            ("0.5k", 512),
            ("2t", 2 << 40),
            ("10 b", 10),
        ] {
            assert_eq!(ByteSize::parse(text).unwrap().0, bytes, "{text}");
        }
        assert_eq!(ByteSize::parse_megabytes("100").unwrap().0, 100 << 20);
        assert_eq!(ByteSize::parse_megabytes("100k").unwrap().0, 100 << 10);
        assert_eq!(ByteSize::parse_megabytes("100b").unwrap().0, 100);
    }

    #[test]
    fn bad_sizes_are_refused() {
        for bad in
            ["", "m", "-1", "-1m", "1x", "1.m", ".5", "1..5m", "1.5.5m", "0x10", "1 2", "1mm"]
        {
            assert!(ByteSize::parse(bad).is_err(), "{bad}");
        }
        for large in ["9999999t", "18446744073709551616", "9223372036854775808"] {
            let error = ByteSize::parse(large).unwrap_err().to_string();
            assert!(error.contains("too large"), "{large}: {error}");
        }
        assert!(ByteSize::parse("9223372036854775807").is_ok());
    }

    #[test]
    fn sizes_are_printed_like_dockers() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (7_380_000, "7.38MB"),
            (13_256, "13.3kB"),
            (117_400_000, "117MB"),
            (1_090_000_000, "1.09GB"),
            (100_000, "100kB"),
            (9_999, "10kB"),
        ] {
            let mut out = String::new();
            push_human_size(&mut out, bytes);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn cpu_lists_are_bounded() {
        for good in ["0", "0-3,7", "0,1,2", "8191"] {
            assert!(check_cpu_list(good).is_ok(), "{good}");
        }
        for bad in
            ["", "a", "1-", "-1", "3-1", "0-4294967295", "8192", "0,,1", "0-99999999999999", "1 "]
        {
            assert!(check_cpu_list(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cpus_in_billionths() {
        assert_eq!(parse_nano_cpus("1.5").unwrap(), 1_500_000_000);
        assert_eq!(parse_nano_cpus(".5").unwrap(), 500_000_000);
        assert_eq!(parse_nano_cpus("2").unwrap(), 2_000_000_000);
        assert_eq!(parse_nano_cpus("0").unwrap(), 0);
        for bad in ["", "-1", "1.", "x", "0.001", "99999999", "1.0000000001"] {
            assert!(parse_nano_cpus(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn since_takes_a_duration_seconds_or_a_date() {
        let now = Instant(10_000 * 1_000_000_000);
        assert_eq!(parse_moment("1h30m", now).unwrap().seconds(), 10_000 - 5_400);
        assert_eq!(parse_moment("1.5s", now).unwrap().0, now.0 - 1_500_000_000);
        assert_eq!(parse_moment("1136073600.5", now).unwrap().0, 1_136_073_600_500_000_000);
        assert_eq!(parse_moment("1970-01-01T00:00:07Z", now).unwrap().seconds(), 7);
        for bad in ["", "m", "1x", "yesterday", "1h30", ".", "1h.m", "99999999999999999999"] {
            assert!(parse_moment(bad, now).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_printed_as_by_go() {
        for (ns, text) in [
            (0, "0s"),
            (30_000_000_000, "30s"),
            (3_600_000_000_000, "1h0m0s"),
            (90_500_000_000, "1m30.5s"),
            (250_000_000, "250ms"),
            (1_500, "1.5µs"),
            (-7, "-7ns"),
            (10_000_000_000, "10s"),
            (100_000_000, "100ms"),
        ] {
            assert_eq!(go_duration(ns), text);
        }
    }

    #[test]
    fn spans_are_printed_like_dockers() {
        let hour = 3600;
        for (seconds, text) in [
            (-5, "Less than a second"),
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (hour - 1, "59 minutes"),
            (hour, "About an hour"),
            (hour * 3 / 2, "2 hours"),
            (47 * hour, "47 hours"),
            (48 * hour, "2 days"),
            (14 * 24 * hour, "2 weeks"),
            (60 * 24 * hour, "2 months"),
            (731 * 24 * hour, "2 years"),
        ] {
            let mut out = String::new();
            push_human_span(&mut out, seconds);
            assert_eq!(out, text, "{seconds}");
        }
    }
}
