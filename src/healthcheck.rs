//! A health check as data: a command that tests a container's program, and the command's timing.
//! The check comes from an image's config (`HEALTHCHECK`) and from flags, and a container's record
//! keeps it. The fields are those of Docker's `Healthcheck` (Docker image specification v1.3).
//! Durations are in nanoseconds; 0 means the default. `container::probe` runs the command.

use std::time::Duration;

use miniserde::{Deserialize, Serialize};

use crate::error::{Result, fail};
use crate::units::parse_duration_ns;

const DEFAULT_INTERVAL: u64 = 30_000_000_000;
const DEFAULT_TIMEOUT: u64 = 30_000_000_000;
const DEFAULT_START_INTERVAL: u64 = 5_000_000_000;
const DEFAULT_RETRIES: u32 = 3;
/// The shortest duration except 0, in nanoseconds (Docker's limit).
const MIN_SPAN: i64 = 1_000_000;

/// A health check, as in an image's config. Durations are in nanoseconds; 0 means the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healthcheck {
    /// `CMD` and arguments, `CMD-SHELL` and a shell command, or `NONE`. Empty: the image's test.
    pub test: Vec<String>,
    pub interval: u64,
    pub timeout: u64,
    pub start_period: u64,
    pub start_interval: u64,
    /// The number of failures in a row that make a container unhealthy; 0 means the default, 3.
    pub retries: u32,
}

impl Healthcheck {
    /// The health check of `--no-healthcheck` and `HEALTHCHECK NONE`: no check.
    pub fn none() -> Healthcheck {
        Healthcheck { test: vec!["NONE".to_owned()], ..Default::default() }
    }

    /// The arguments of the command to run. `CMD-SHELL` runs in `shell` (the image's `SHELL`), or
    /// in /bin/sh if `shell` is empty. `None` if there is no check.
    pub fn args(&self, shell: &[String]) -> Option<Vec<String>> {
        match self.test.split_first()? {
            (kind, args) if kind == "CMD" && !args.is_empty() => Some(args.to_vec()),
            (kind, [line, ..]) if kind == "CMD-SHELL" => {
                let mut args = shell.to_vec();
                if args.is_empty() {
                    args = vec!["/bin/sh".to_owned(), "-c".to_owned()];
                }
                args.push(line.clone());
                Some(args)
            }
            _ => None,
        }
    }

    /// This check, with unset fields taken from `base`.
    pub fn over(self, base: Option<&Healthcheck>) -> Healthcheck {
        let Some(base) = base else { return self };
        let or = |own: u64, base: u64| if own == 0 { base } else { own };
        Healthcheck {
            test: if self.test.is_empty() { base.test.clone() } else { self.test },
            interval: or(self.interval, base.interval),
            timeout: or(self.timeout, base.timeout),
            start_period: or(self.start_period, base.start_period),
            start_interval: or(self.start_interval, base.start_interval),
            retries: if self.retries == 0 { base.retries } else { self.retries },
        }
    }

    /// Whether there is a command to run.
    pub fn runs(&self) -> bool {
        self.args(&[]).is_some()
    }

    /// The maximum duration of one probe.
    pub fn timeout(&self) -> Duration {
        span(self.timeout, DEFAULT_TIMEOUT)
    }

    /// The number of failures in a row that make a container unhealthy.
    pub fn retries(&self) -> u32 {
        if self.retries == 0 { DEFAULT_RETRIES } else { self.retries }
    }

    /// Whether the program is still in its start period, at this `age`.
    pub fn is_start(&self, age: Duration) -> bool {
        age < Duration::from_nanos(self.start_period)
    }

    /// The time to wait before the next probe of a program of this `age`. `starting` is whether the
    /// status is still `HealthStatus::Starting`.
    pub fn pause(&self, starting: bool, age: Duration) -> Duration {
        let interval = span(self.interval, DEFAULT_INTERVAL);
        if starting && self.is_start(age) {
            interval.min(span(self.start_interval, DEFAULT_START_INTERVAL))
        } else {
            interval
        }
    }
}

/// A duration, or the default for 0. At least 1 ms, because an image's config may contain any
/// number.
fn span(given: u64, default: u64) -> Duration {
    let given = if given == 0 { default } else { given };
    Duration::from_nanos(given.max(MIN_SPAN.unsigned_abs()))
}

/// Parses a duration such as `1m30s` into nanoseconds. Fails on a bad duration, and on a duration
/// below 1 ms except 0.
pub fn parse_span(text: &str) -> Result<u64> {
    match parse_duration_ns(text) {
        Some(0) => Ok(0),
        Some(span) if span >= MIN_SPAN => Ok(span.unsigned_abs()),
        Some(_) => fail!("{text} is too short; the least is 1ms"),
        None => fail!("bad duration '{text}': write it like 30s, 1m30s or 500ms"),
    }
}

/// Parses the number of failures in a row.
pub fn parse_retries(text: &str) -> Result<u32> {
    match text.parse() {
        Ok(retries) => Ok(retries),
        Err(_) => fail!("bad number of retries '{text}': write 0 or more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Healthcheck {
        let test = vec!["CMD-SHELL".to_owned(), line.to_owned()];
        Healthcheck { test, ..Default::default() }
    }

    #[test]
    fn the_forms_cmd_cmd_shell_and_none() {
        assert_eq!(shell("a b").args(&[]).unwrap(), ["/bin/sh", "-c", "a b"]);
        let bash = ["/bin/bash", "-ec"].map(str::to_owned);
        assert_eq!(shell("a b").args(&bash).unwrap(), ["/bin/bash", "-ec", "a b"]);
        let test = ["CMD", "/x", "y z"].map(str::to_owned).to_vec();
        let exec = Healthcheck { test, ..Default::default() };
        assert_eq!(exec.args(&[]).unwrap(), ["/x", "y z"]);
        assert_eq!(Healthcheck::none().args(&[]), None);
        assert_eq!(<Healthcheck as Default>::default().args(&[]), None);
    }

    #[test]
    fn a_flag_changes_only_its_own_field() {
        let image = Healthcheck { interval: 5, retries: 7, ..shell("image") };
        let flags = Healthcheck { interval: 9, ..Default::default() };
        let both = flags.over(Some(&image));
        assert_eq!((both.test, both.interval, both.retries), (image.test.clone(), 9, 7));
        assert_eq!(shell("flag").over(Some(&image)).test[1], "flag");
    }

    #[test]
    fn the_start_period_has_an_interval_of_its_own() {
        let second = Duration::from_secs(1);
        let check = Healthcheck { start_period: 10_000_000_000, ..shell("x") };
        assert_eq!(check.pause(true, second), second * 5);
        assert_eq!(check.pause(true, second * 11), second * 30);
        assert_eq!(check.pause(false, second), second * 30);
        let fast = Healthcheck { interval: 1_000_000_000, ..check };
        assert_eq!(fast.pause(true, second), second);
    }

    #[test]
    fn probes_of_an_images_config_are_at_least_1_ms_apart() {
        let check = Healthcheck { interval: 1, timeout: 1, ..shell("x") };
        let least = Duration::from_millis(1);
        assert_eq!((check.pause(false, Duration::ZERO), check.timeout()), (least, least));
    }

    #[test]
    fn spans() {
        assert_eq!(parse_span("1m30s").unwrap(), 90_000_000_000);
        assert_eq!(parse_span("0").unwrap(), 0);
        for bad in ["", "5", "-1s", "1us", "s"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }
}
