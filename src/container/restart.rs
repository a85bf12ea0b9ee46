//! Restart policies (`--restart`), with Docker's meaning: whether a container that has ended by
//! itself is begun again, after how long, and whether `boot` begins it.

use std::fmt;
use std::time::Duration;

use miniserde::{Deserialize, Serialize};

use crate::error::{Result, fail};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RestartPolicy {
    pub mode: RestartMode,
    /// `on-failure:N`; 0 is for ever.
    pub max_retries: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestartMode {
    #[default]
    No,
    Always,
    UnlessStopped,
    OnFailure,
}

impl RestartPolicy {
    /// `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:N`.
    pub fn parse(text: &str) -> Result<RestartPolicy> {
        let policy = |mode, max_retries| Ok(RestartPolicy { mode, max_retries });
        let retries = text.strip_prefix("on-failure:").map(str::parse);
        match (text, retries) {
            ("" | "no", _) => policy(RestartMode::No, 0),
            ("always", _) => policy(RestartMode::Always, 0),
            ("unless-stopped", _) => policy(RestartMode::UnlessStopped, 0),
            ("on-failure", _) => policy(RestartMode::OnFailure, 0),
            (_, Some(Ok(max_retries))) => policy(RestartMode::OnFailure, max_retries),
            _ => fail!(
                "bad restart policy '{text}': write no, always, unless-stopped, on-failure or \
                 on-failure:N"
            ),
        }
    }

    pub fn is_no(self) -> bool {
        self.mode == RestartMode::No
    }

    /// Whether a program that ended by itself with `exit_code`, begun again `restarts` times
    /// already, is begun once more.
    pub fn applies(self, exit_code: u8, restarts: u32) -> bool {
        match self.mode {
            RestartMode::No => false,
            RestartMode::Always | RestartMode::UnlessStopped => true,
            RestartMode::OnFailure => {
                exit_code != 0 && (self.max_retries == 0 || restarts < self.max_retries)
            }
        }
    }

    /// Whether `boot` begins a container that has run and ended so; `stopped` is by the user.
    pub fn applies_at_boot(self, exit_code: u8, stopped: bool) -> bool {
        match self.mode {
            RestartMode::Always => true,
            RestartMode::No => false,
            RestartMode::UnlessStopped => !stopped,
            RestartMode::OnFailure => !stopped && exit_code != 0,
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.mode {
            RestartMode::No => "no",
            RestartMode::Always => "always",
            RestartMode::UnlessStopped => "unless-stopped",
            RestartMode::OnFailure => "on-failure",
        })
    }
}

/// How long to wait before each new try: doubled each time, from the start again once the program
/// has held out for a while.
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LAST: Duration = Duration::from_secs(60);
    /// A run as long as this was a good one.
    const GOOD: Duration = Duration::from_secs(10);

    pub fn new() -> Backoff {
        Backoff { next: Self::FIRST }
    }

    /// The pause after a run of this length.
    pub fn after(&mut self, run: Duration) -> Duration {
        if run >= Self::GOOD {
            self.next = Self::FIRST;
        }
        let pause = self.next;
        self.next = (pause * 2).min(Self::LAST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_dockers() {
        let policy = |text| RestartPolicy::parse(text).unwrap();
        assert!(policy("always").applies(0, 9) && policy("unless-stopped").applies(0, 9));
        assert!(!policy("no").applies(1, 0) && !policy("on-failure").applies(0, 0));
        assert!(policy("on-failure:2").applies(1, 1) && !policy("on-failure:2").applies(1, 2));
        assert!(policy("always").applies_at_boot(0, true));
        assert!(!policy("unless-stopped").applies_at_boot(0, true));
        assert!(policy("on-failure").applies_at_boot(255, false));
        for bad in ["never", "on-failure:", "on-failure:-1", "always:3", "on-failure:x"] {
            assert!(RestartPolicy::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pauses_double_and_are_forgotten_after_a_good_run() {
        let mut backoff = Backoff::new();
        let mut pauses = (0..12).map(|_| backoff.after(Duration::ZERO).as_millis());
        assert_eq!(pauses.by_ref().take(3).collect::<Vec<_>>(), [100, 200, 400]);
        assert_eq!(pauses.last(), Some(60_000));
        assert_eq!(backoff.after(Duration::from_secs(11)).as_millis(), 100);
    }
}
