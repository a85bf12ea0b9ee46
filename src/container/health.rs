//! Whether a container's program works, as its health check found: the state that `ps`, `inspect`
//! and `wait` read.
//!
//! The state is only in the run directory, in memory: a check that runs every few seconds must not wear
//! out a disk. The monitor writes the first state, and each probe (`probes`) the next one. Both
//! replace the file, so a reader never sees half of it. It is removed with the run directory.

use std::time::Duration;

use miniserde::{Deserialize, Serialize};

use super::files::Files;
use crate::error::{Result, fail};
use crate::healthcheck::Healthcheck;
use crate::store;

/// The number of results that are kept (Docker's number).
const MAX_RESULTS: usize = 5;

/// The result of the last probes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum HealthStatus {
    /// No probe has succeeded yet.
    Starting,
    Healthy,
    Unhealthy,
}

impl HealthStatus {
    /// The status as Docker writes it.
    pub fn name(self) -> &'static str {
        match self {
            HealthStatus::Starting => "starting",
            HealthStatus::Healthy => "healthy",
            HealthStatus::Unhealthy => "unhealthy",
        }
    }
}

/// `health.json` in the run directory.
#[derive(Clone, Serialize, Deserialize)]
pub struct Health {
    pub status: HealthStatus,
    /// Failed probes since the last success.
    pub failing_streak: u32,
    /// The last results, oldest first.
    pub log: Vec<ProbeResult>,
}

/// How one probe ended.
#[derive(Clone, Serialize, Deserialize)]
pub struct ProbeResult {
    /// Nanoseconds since 1970.
    pub start: i64,
    pub end: i64,
    /// The exit status; -1 if the command could not run or took too long.
    pub exit_code: i32,
    pub output: String,
}

impl Health {
    /// The state of a program that has just started.
    pub fn starting() -> Health {
        Health { status: HealthStatus::Starting, failing_streak: 0, log: Vec::new() }
    }

    /// Adds a result. `age` is the program's age at the start of the probe.
    pub fn note(&mut self, check: &Healthcheck, age: Duration, result: ProbeResult) {
        if result.exit_code == 0 {
            (self.status, self.failing_streak) = (HealthStatus::Healthy, 0);
        } else if self.status != HealthStatus::Starting || !check.is_start(age) {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= check.retries() {
                self.status = HealthStatus::Unhealthy;
            }
        }
        self.log.push(result);
        let excess = self.log.len().saturating_sub(MAX_RESULTS);
        self.log.drain(..excess);
    }

    /// Writes health.json. It is not synced, because it describes only a running container.
    pub fn write(&self, files: &Files) -> Result<()> {
        store::replace_in_new_dir(&files.health(), miniserde::json::to_string(self).as_bytes())
    }

    /// `None` if the container does not run or has no health check.
    pub fn read(files: &Files) -> Result<Option<Health>> {
        store::read_json(&files.health())
    }
}

/// `--health-on-failure`: what the monitor does with a container that has become unhealthy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum OnFailure {
    #[default]
    None,
    /// Kill it; the restart policy decides what follows.
    Kill,
    /// Stop it and start it again.
    Restart,
    /// Stop it, as `stop` does.
    Stop,
}

impl OnFailure {
    /// Parses the value of `--health-on-failure`.
    pub fn parse(text: &str) -> Result<OnFailure> {
        Ok(match text {
            "none" => OnFailure::None,
            "kill" => OnFailure::Kill,
            "restart" => OnFailure::Restart,
            "stop" => OnFailure::Stop,
            _ => fail!("bad action '{text}': write none, kill, restart or stop"),
        })
    }

    /// Whether anything is done when the container becomes unhealthy.
    pub fn acts(self) -> bool {
        self != OnFailure::None
    }

    /// The spelling of the flag's value.
    pub fn name(self) -> &'static str {
        match self {
            OnFailure::None => "none",
            OnFailure::Kill => "kill",
            OnFailure::Restart => "restart",
            OnFailure::Stop => "stop",
        }
    }
}

/// A health check as a record holds it.
#[derive(Clone, Serialize, Deserialize)]
pub struct HealthRecord {
    pub check: Healthcheck,
    /// The image's, for a line; `None` is /bin/sh.
    pub shell: Option<Vec<String>>,
    pub on_failure: OnFailure,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_make_the_status() {
        let second = Duration::from_secs(1);
        let check = Healthcheck { retries: 2, start_period: 5_000_000_000, ..Default::default() };
        let mut health = Health::starting();
        let mut note = |age: u32, exit_code| {
            let (start, end, output) = (0, 0, String::new());
            health.note(&check, second * age, ProbeResult { start, end, exit_code, output });
            (health.status, health.failing_streak, health.log.len())
        };
        use HealthStatus::{Healthy, Starting, Unhealthy};
        assert_eq!(note(1, 1), (Starting, 0, 1), "in the start period failures don't count");
        assert_eq!(note(6, 1), (Starting, 1, 2));
        assert_eq!(note(7, -1), (Unhealthy, 2, 3));
        assert_eq!(note(8, 0), (Healthy, 0, 4));
        assert_eq!(note(2, 3), (Healthy, 1, 5), "once healthy, the start period is over");
        assert_eq!(note(9, 0), (Healthy, 0, 5), "five results are kept");
    }
}
