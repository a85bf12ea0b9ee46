//! `wait`, and the waits of `--depends-on`: waits until a container has ended, was removed, or is
//! healthy.
//!
//! The monitor's socket reports the end of a container. For the other conditions, the container's
//! files are read in a loop with short pauses.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};

use super::Engine;
use super::condition::{Pauses, no_such};
use crate::container::client::{self, End};
use crate::container::files::Files;
use crate::container::health::{Health, HealthStatus};
use crate::container::protocol;
use crate::container::record::Record;
use crate::container::state::{Condition, await_monitor};
use crate::error::{Context, Result, fail};

/// The value of `wait --condition`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WaitCondition {
    /// The container does not run, and its restart policy does not start it again.
    #[default]
    NotRunning,
    /// The container's program ends after the call.
    NextExit,
    /// The container is removed.
    Removed,
    /// The health check succeeds.
    Healthy,
}

/// A container that is waited for.
pub struct Waiting {
    record: Record,
    monitor: Option<OwnedFd>,
    condition: WaitCondition,
    /// The end of the last run in nanoseconds since 1970, or 0 if the container had not ended when
    /// the wait began. A later outcome with another time is a new end.
    finished: i64,
}

impl Engine {
    /// Starts to wait for a container; `end_wait` does the waiting. So the caller can wait for
    /// several containers at the same time. With `Healthy`, fails if the container has no health
    /// check.
    pub fn begin_wait(&self, name: &str, condition: WaitCondition) -> Result<Waiting> {
        let record = self.record(name)?;
        if condition == WaitCondition::Healthy && record.health_check().is_none() {
            fail!("container {name} has no health check; make it with --health-cmd");
        }
        let mut finished = 0;
        let monitor = match self.condition(&record)? {
            Condition::Running(_) | Condition::Restarting(_) => {
                protocol::dial(&Files::new(&self.roots, &record.id).run, false)?
            }
            Condition::Exited(outcome) => {
                finished = outcome.finished;
                None
            }
            _ => None,
        };
        Ok(Waiting { record, monitor, condition, finished })
    }

    /// Waits until the condition is true; `NotRunning` is true of each stopped container. Returns
    /// the exit status of a container that has ended, and 0 for `Healthy`.
    pub fn end_wait(&self, waiting: Waiting) -> Result<u8> {
        match waiting.condition {
            WaitCondition::NotRunning => self.await_end(waiting),
            WaitCondition::NextExit => self.await_next_exit(waiting),
            WaitCondition::Removed => self.await_removal(waiting),
            WaitCondition::Healthy => {
                self.await_health(&waiting.record.name, false)?;
                Ok(0)
            }
        }
    }

    fn await_end(&self, waiting: Waiting) -> Result<u8> {
        let Waiting { record, monitor, .. } = waiting;
        if let Some(monitor) = monitor
            && let End::Exited(code) = client::await_end(&monitor)?
        {
            return Ok(code);
        }
        await_monitor(&self.roots, &record)?;
        match self.condition(&record)? {
            Condition::Exited(outcome) => Ok(outcome.exit_code),
            Condition::Created(failed) => Ok(failed.map_or(0, |failed| failed.exit_code)),
            _ => fail!("the exit status of container {} is unknown", record.name),
        }
    }

    fn await_next_exit(&self, mut waiting: Waiting) -> Result<u8> {
        let id = waiting.record.id.clone();
        let files = Files::new(&self.roots, &id);
        let mut pauses = Pauses::unlimited();
        let mut ran = false;
        loop {
            if !files.config().exists() {
                fail!("container {} was removed before it ended again", waiting.record.name);
            }
            match self.present_condition(&waiting.record)? {
                Condition::Running(_) if !waiting.record.may_restart() => {
                    if waiting.monitor.is_none() {
                        waiting.monitor = protocol::dial(&files.run, false)?;
                    }
                    return self.await_end(waiting);
                }
                Condition::Running(state) => {
                    ran = true;
                    if let Some(process) = state.find()?.living() {
                        // Ignore an interrupt: the next turn of the loop checks again.
                        let _ = poll(&mut [PollFd::new(&process, PollFlags::IN)], None);
                        continue;
                    }
                }
                Condition::Restarting(last) if ran => return Ok(last.exit_code),
                Condition::Exited(outcome) if ran || outcome.finished != waiting.finished => {
                    return Ok(outcome.exit_code);
                }
                _ => {}
            }
            pauses.wait();
        }
    }

    fn await_removal(&self, waiting: Waiting) -> Result<u8> {
        let files = Files::new(&self.roots, &waiting.record.id);
        let mut code = 0;
        let mut pauses = Pauses::unlimited();
        if let Some(monitor) = &waiting.monitor
            && let End::Exited(status) = client::await_end(monitor)?
        {
            code = status;
        }
        while files.dir.exists() {
            // A container that disappears during the check was removed.
            match self.present_condition(&waiting.record) {
                Ok(Condition::Exited(outcome)) => code = outcome.exit_code,
                Err(error) if files.dir.exists() => return Err(error),
                _ => {}
            }
            pauses.wait();
        }
        Ok(code)
    }

    /// Waits until a container is healthy. With `strict`, fails if the container is unhealthy.
    /// Fails if the container is stopped or has no health check.
    pub(super) fn await_health(&self, name: &str, strict: bool) -> Result<()> {
        let mut pauses = Pauses::unlimited();
        loop {
            let record = self.record(name)?;
            if record.health_check().is_none() {
                fail!("container {name} has no health check; make it with --health-cmd");
            }
            match self.condition(&record)? {
                Condition::Running(_) => {
                    let health = Health::read(&Files::new(&self.roots, &record.id))?;
                    match health.map(|health| health.status) {
                        Some(HealthStatus::Healthy) => return Ok(()),
                        Some(HealthStatus::Unhealthy) if strict => {
                            fail!("container {name} is unhealthy; `inspect` shows its last probes")
                        }
                        _ => {}
                    }
                }
                Condition::Starting | Condition::Restarting(_) => {}
                Condition::Leftover => return Err(no_such(name)),
                _ => fail!("container {name} is not running"),
            }
            pauses.wait();
        }
    }

    /// Checks that each of `names` runs or, with `:healthy`, waits until it is healthy
    /// (`--depends-on`).
    pub(super) fn await_dependencies(&self, names: &[String]) -> Result<()> {
        for dependency in names {
            match dependency.strip_suffix(":healthy") {
                Some(name) => self.await_health(name, true),
                None => self.running(dependency).map(drop),
            }
            .context(|| format!("--depends-on {dependency}"))?;
        }
        Ok(())
    }
}
