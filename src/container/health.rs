//! The result of a container's health check, which `ps`, `inspect` and `wait` read.
//!
//! The state is only in the run directory, which is usually in memory, because a check every few
//! seconds would wear out a disk. The monitor writes the first state, and each probe that counts
//! (`probe`) writes the next state. Each write replaces the file, so a reader never sees a part of
//! it. The file is removed with the run directory.

use std::time::Duration;

use miniserde::{Deserialize, Serialize};

use super::files::Files;
use crate::error::{Result, fail};
use crate::healthcheck::Healthcheck;
use crate::store;

/// The most results in `Health::log`, as in Docker.
const MAX_RESULTS: usize = 5;

/// The status of the health check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum HealthStatus {
    /// No probe has succeeded yet, and too few have failed.
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

/// The content of `health.json` in the run directory.
#[derive(Clone, Serialize, Deserialize)]
pub struct Health {
    pub status: HealthStatus,
    /// The number of failed probes since the last success. `note` says which failures do not count.
    pub failing_streak: u32,
    /// The last results, oldest first.
    pub log: Vec<ProbeResult>,
}

/// The result of one probe.
#[derive(Clone, Serialize, Deserialize)]
pub struct ProbeResult {
    /// In nanoseconds since 1970, like `end`.
    pub start: i64,
    pub end: i64,
    /// The command's exit status, or -1 if there is none, for example after the timeout.
    pub exit_code: i32,
    pub output: String,
}

impl Health {
    /// The health of a program that has just started.
    pub fn starting() -> Health {
        Health { status: HealthStatus::Starting, failing_streak: 0, log: Vec::new() }
    }

    /// Adds a result and computes the new status. `age` is the program's age at the start of the
    /// probe. A failure in the start period does not count before the first success.
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

    /// Writes health.json. The file is not synced, because it describes only a running container.
    pub fn write(&self, files: &Files) -> Result<()> {
        store::replace_in_new_dir(&files.health(), miniserde::json::to_string(self).as_bytes())
    }

    /// Reads health.json; `None` if the file is missing, for example because the container has no
    /// health check.
    pub fn read(files: &Files) -> Result<Option<Health>> {
        store::read_json(&files.health())
    }
}

/// The value of `--health-on-failure`: the action when a container becomes unhealthy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum OnFailure {
    #[default]
    None,
    /// Kill the container. The restart policy then applies.
    Kill,
    /// Stop the container and start it again.
    Restart,
    /// Stop the container, as `stop` does.
    Stop,
}

impl OnFailure {
    /// Parses the value of `--health-on-failure`. Fails for an unknown action.
    pub fn parse(text: &str) -> Result<OnFailure> {
        Ok(match text {
            "none" => OnFailure::None,
            "kill" => OnFailure::Kill,
            "restart" => OnFailure::Restart,
            "stop" => OnFailure::Stop,
            _ => fail!("bad action '{text}': write none, kill, restart or stop"),
        })
    }

    /// Whether there is an action.
    pub fn acts(self) -> bool {
        self != OnFailure::None
    }

    /// The value as the user writes it.
    pub fn name(self) -> &'static str {
        match self {
            OnFailure::None => "none",
            OnFailure::Kill => "kill",
            OnFailure::Restart => "restart",
            OnFailure::Stop => "stop",
        }
    }
}

/// The health check in a record.
#[derive(Clone, Serialize, Deserialize)]
pub struct HealthRecord {
    pub check: Healthcheck,
    /// The shell of the image (`SHELL`) for a `CMD-SHELL` test; `None` means /bin/sh.
    pub shell: Option<Vec<String>>,
    pub on_failure: OnFailure,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_follows_from_the_results() {
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
