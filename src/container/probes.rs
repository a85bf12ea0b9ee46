//! A container's health check in its monitor: when to probe, and what to do when the container
//! becomes unhealthy.
//!
//! The monitor forks a prober (`probe`) for each probe, one at a time, and goes on sleeping. So the
//! memory of a probe is freed with its process, and a probe that hangs does not block the monitor.
//! The prober's exit status is the new health status. The monitor keeps little more than the last
//! status and the time of the next probe.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::files::Files;
use super::health::{Health, HealthStatus, OnFailure};
use super::probe::{Probed, ends_soon, prober};
use super::record::Record;
use super::state::{STOP_TIMEOUT, State, StopMark, is_paused, set_stop_mark};
use crate::error::Result;
use crate::runtime::spec::Process;
use crate::store::Roots;
use crate::sys;
use crate::sys::clone::{Child, Fork};
use crate::sys::signal::Signal;

/// The health check of a running program.
pub struct Probes {
    /// The state of the program, as in state.json.
    state: State,
    status: HealthStatus,
    started: Instant,
    next: Instant,
    prober: Option<Child>,
    ending: Option<Ending>,
}

/// An unhealthy program that the monitor is ending.
struct Ending {
    /// The time at which `advance` sends SIGKILL; `None` if `advance` need not send SIGKILL.
    deadline: Option<Instant>,
}

/// Writes the first health status. Must be called before the program starts, so that a running
/// program has a status. Does nothing without a health check.
pub fn prepare(files: &Files, record: &Record) -> Result<()> {
    match record.health_check() {
        Some(_) => Health::starting().write(files),
        None => Ok(()),
    }
}

impl Probes {
    /// The health check of a program that has just started; `None` if the container has none.
    pub fn of(record: &Record, state: &State) -> Option<Probes> {
        let check = &record.health_check()?.check;
        let (state, status, started) = (state.clone(), HealthStatus::Starting, Instant::now());
        let next = started + check.pause(true, Duration::ZERO);
        Some(Probes { state, status, started, next, prober: None, ending: None })
    }

    /// The time at which `advance` must be called, unless `pidfd` is readable before. `None` means
    /// that only `pidfd` requires a call.
    pub fn wake(&self) -> Option<Instant> {
        match &self.ending {
            Some(Ending { deadline }) => *deadline,
            None => self.prober.is_none().then_some(self.next),
        }
    }

    /// The prober's pidfd: when it is readable, `advance` must be called.
    pub fn pidfd(&self) -> Option<&OwnedFd> {
        self.prober.as_ref().map(|prober| &prober.pidfd)
    }

    /// Whether the monitor is ending the program because it was unhealthy.
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Starts a probe if it is time, reads the result of an ended probe, or ends the unhealthy
    /// `program`.
    pub fn advance(
        &mut self,
        roots: &Roots,
        record: &Record,
        process: fn(&Record) -> Result<Process>,
        program: BorrowedFd<'_>,
    ) {
        match &mut self.ending {
            Some(Ending { deadline }) => {
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    *deadline = None;
                    send(program, Signal::KILL);
                }
            }
            None => {
                if self.probe(roots, record, process) {
                    self.begin_end(roots, record, program);
                }
            }
        }
    }

    /// Starts a probe if it is time, or reads the result of an ended probe. Returns true if the
    /// container has become unhealthy.
    fn probe(
        &mut self,
        roots: &Roots,
        record: &Record,
        process: fn(&Record) -> Result<Process>,
    ) -> bool {
        let Some(health) = record.health_check() else { return false };
        let before = self.status;
        match &self.prober {
            None if Instant::now() < self.next => return false,
            None => {
                if !is_paused(&Files::new(roots, &record.id), &self.state) {
                    self.prober = self.fork(&Probed { roots, record, state: &self.state, process });
                }
            }
            Some(prober) => {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
                match waitid(WaitId::PidFd(prober.pidfd.as_fd()), options) {
                    Ok(None) | Err(Errno::INTR) => return false,
                    Ok(Some(ended)) => {
                        self.status = status_of(ended.exit_status()).unwrap_or(before);
                        self.prober = None;
                    }
                    Err(_) => self.prober = None,
                }
            }
        }
        if self.prober.is_none() {
            let starting = self.status == HealthStatus::Starting;
            self.next = Instant::now() + health.check.pause(starting, self.started.elapsed());
        }
        self.status == HealthStatus::Unhealthy && before != HealthStatus::Unhealthy
    }

    /// Forks a prober. `None` if the fork fails, for example because the kernel allows no more
    /// processes. The monitor then tries again after the next interval.
    fn fork(&self, probed: &Probed<'_>) -> Option<Child> {
        match sys::clone::clone3(sys::clone::Flags::default(), None).ok()? {
            Fork::Parent(prober) => Some(prober),
            Fork::Child => {
                let code = match prober(probed, self.started) {
                    Ok(Some(status)) => status as u8,
                    // An error of the prober does not count, because it says nothing about the
                    // container.
                    Ok(None) | Err(_) => u8::MAX,
                };
                sys::exec::exit_now(code)
            }
        }
    }

    /// Does the action of `--health-on-failure`.
    fn begin_end(&mut self, roots: &Roots, record: &Record, program: BorrowedFd<'_>) {
        let action = record.health_check().map_or(OnFailure::None, |health| health.on_failure);
        let signal = match action {
            OnFailure::None => return,
            OnFailure::Kill => Signal::KILL,
            OnFailure::Restart => record.stop_signal.signal(),
            OnFailure::Stop => {
                // Without the stop mark the restart policy could start the container again.
                if set_stop_mark(&Files::new(roots, &record.id), StopMark::User).is_err() {
                    return;
                }
                record.stop_signal.signal()
            }
        };
        let timeout = u64::try_from(record.lifecycle.stop_timeout.unwrap_or(STOP_TIMEOUT));
        let deadline = timeout.ok().map(|seconds| Instant::now() + Duration::from_secs(seconds));
        self.ending = Some(Ending { deadline });
        send(program, signal);
    }

    /// Ends the running probe. All processes in the container must have been killed before.
    pub fn end(&mut self) {
        let Some(prober) = self.prober.take() else { return };
        // The prober ends after its command has ended.
        if !ends_soon(&prober.pidfd) {
            send(prober.pidfd.as_fd(), Signal::KILL);
        }
        let _ = waitid(WaitId::PidFd(prober.pidfd.as_fd()), WaitIdOptions::EXITED);
    }
}

/// Sends a signal to a child of this process. An error means that the child has ended.
fn send(process: BorrowedFd<'_>, signal: Signal) {
    let _ = sys::process::send_signal(process, signal);
}

/// The health status for a prober's exit status; `None` if the probe does not count.
fn status_of(code: Option<i32>) -> Option<HealthStatus> {
    [HealthStatus::Starting, HealthStatus::Healthy, HealthStatus::Unhealthy]
        .into_iter()
        .find(|&status| code == Some(status as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prober_reports_each_status() {
        use HealthStatus::{Healthy, Starting, Unhealthy};
        for status in [Healthy, Starting, Unhealthy] {
            assert_eq!(status_of(Some(status as i32)), Some(status));
        }
        assert_eq!((status_of(Some(255)), status_of(None)), (None, None));
    }
}
