//! The restart policies of `--restart`, as in Docker: whether a program that the user did not stop
//! is restarted at its end, after which pause, and whether `boot` starts the container. The pause
//! doubles from 100 ms to 60 s, and starts at 100 ms again after a run of at least 10 s. A compose
//! file can set a fixed pause instead. After a stop by the user the monitor does not apply the
//! policy (`state::StopMark`).

use std::fmt;
use std::time::Duration;

use miniserde::{Deserialize, Serialize};

use crate::error::{Result, fail};

/// The value of `--restart`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RestartPolicy {
    pub mode: RestartMode,
    /// The N of `on-failure:N`; 0 means no limit.
    pub max_retries: u32,
}

/// The restart policies of Docker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum RestartMode {
    #[default]
    No,
    Always,
    UnlessStopped,
    OnFailure,
}

impl RestartPolicy {
    /// Parses `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:N`. An empty text means
    /// `no`. Fails for any other text.
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

    /// Whether the policy is `no`.
    pub fn is_no(self) -> bool {
        self.mode == RestartMode::No
    }

    /// Whether a program that the user did not stop is restarted at its end with `exit_code`, after
    /// `restarts` earlier restarts.
    pub fn applies(self, exit_code: u8, restarts: u32) -> bool {
        match self.mode {
            RestartMode::No => false,
            RestartMode::Always | RestartMode::UnlessStopped => true,
            RestartMode::OnFailure => {
                exit_code != 0 && (self.max_retries == 0 || restarts < self.max_retries)
            }
        }
    }

    /// Whether `boot` starts a container that has ended with `exit_code`. `stopped` says that the
    /// user has stopped it.
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

/// The pause before each restart. A pause that is not fixed doubles each time up to `LAST`, and
/// starts at `FIRST` again after a run of at least `GOOD`.
pub struct Backoff {
    next: Duration,
    is_fixed: bool,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LAST: Duration = Duration::from_secs(60);
    /// A run of at least this length resets a pause that is not fixed.
    const GOOD: Duration = Duration::from_secs(10);

    /// Starts with the shortest pause, or always has the pause `fixed`. No pause is shorter than
    /// `FIRST`, because a program that fails at once would otherwise use a whole CPU.
    pub fn new(fixed: Option<Duration>) -> Backoff {
        Backoff { next: fixed.unwrap_or_default().max(Self::FIRST), is_fixed: fixed.is_some() }
    }

    /// The pause after a run that lasted `run`.
    pub fn after(&mut self, run: Duration) -> Duration {
        if self.is_fixed {
            return self.next;
        }
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
    fn policies_apply_as_in_docker() {
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
    fn pauses_double_and_are_reset_after_a_long_run() {
        let mut backoff = Backoff::new(None);
        let mut pauses = (0..12).map(|_| backoff.after(Duration::ZERO).as_millis());
        assert_eq!(pauses.by_ref().take(3).collect::<Vec<_>>(), [100, 200, 400]);
        assert_eq!(pauses.last(), Some(60_000));
        assert_eq!(backoff.after(Duration::from_secs(11)).as_millis(), 100);
        let mut fixed = Backoff::new(Some(Duration::from_secs(5)));
        assert_eq!([(); 3].map(|()| fixed.after(Duration::ZERO).as_secs()), [5, 5, 5]);
        let mut none = Backoff::new(Some(Duration::ZERO));
        assert_eq!([(); 3].map(|()| none.after(Duration::ZERO).as_millis()), [100; 3]);
    }
}
