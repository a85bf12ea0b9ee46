//! `stop`, `restart` and `kill`: sends signals to a container's first process
//! (pidfd_send_signal(2)).
//!
//! `stop` waits for the exit and sends SIGKILL at the deadline. A stop mark keeps the restart
//! policy from starting the container again. Sending and waiting are separate calls, so that
//! several containers stop at the same time.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::Engine;
use crate::container::files::Files;
use crate::container::record::Record;
use crate::container::state::{
    Condition, MAX_CLEANUP, STOP_TIMEOUT, StopMark, lives, monitor_goes_by, set_stop_mark,
    set_stop_mark_unlisted, stop_mark,
};
use crate::container::{events, protocol};
use crate::error::{Context, Error, Result, fail};
use crate::order;
use crate::store;
use crate::sys;
use crate::sys::process::Found;
use crate::sys::signal::Signal;

/// The time that `kill` with SIGKILL and `rm -f` give a starting container to finish its start.
pub(super) const MAX_START: Duration = Duration::from_secs(1);

/// A container that is being stopped.
pub struct Stopping {
    record: Record,
    signal: Signal,
    /// The process that got the stop signal; `None` before the signal is sent, or if the container
    /// does not run.
    asked: Option<OwnedFd>,
    /// The time of the SIGKILL; `None` means never.
    deadline: Option<Instant>,
    mark: StopMark,
    /// True once `await_exit` was called.
    is_awaited: bool,
}

impl Engine {
    /// Sends a container `signal`, or its stop signal if `signal` is `None`. If the container is
    /// still starting, `end_stop` sends the signal. `end_stop` waits for the exit. The caller can
    /// signal other containers in between, so that all exit at the same time. `timeout` is in
    /// seconds. A negative `timeout` means no limit, and `None` means the container's own timeout,
    /// or 10 seconds if the container has none. A stopped container is no error.
    pub fn ask_to_stop(
        &self,
        name: &str,
        timeout: Option<i64>,
        signal: Option<Signal>,
        mark: StopMark,
    ) -> Result<Stopping> {
        let record = self.record(name)?;
        let signal = signal.unwrap_or(record.stop_signal.signal());
        let timeout = timeout.or(record.lifecycle.stop_timeout).unwrap_or(STOP_TIMEOUT);
        let deadline = u64::try_from(timeout).ok();
        let deadline = deadline.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let mut stopping =
            Stopping { record, signal, asked: None, deadline, mark, is_awaited: false };
        match self.present_condition(&stopping.record)? {
            // `await_exit` sends the signal after the start.
            Condition::Starting => {}
            _ => stopping.asked = self.ask(&stopping)?,
        }
        Ok(stopping)
    }

    /// Waits for the exits of containers that are being stopped, and kills each at its deadline.
    /// Waits for the container with the earliest deadline first, because each wait may last until
    /// the container's deadline. If a wait fails, the error replaces the container in `stopping`.
    pub fn await_exits(&self, stopping: &mut [Result<Stopping>]) {
        let mut sorted: Vec<&mut Result<Stopping>> = stopping.iter_mut().collect();
        order::sort_by_key(&mut sorted, |one| {
            let deadline = one.as_ref().ok().and_then(|stopping| stopping.deadline);
            (deadline.is_none(), deadline)
        });
        for one in sorted {
            if let Ok(stopping) = one
                && let Err(error) = self.await_exit(stopping)
            {
                *one = Err(error);
            }
        }
    }

    /// Waits for the exit of a container that is being stopped. Kills the container at its
    /// deadline.
    fn await_exit(&self, stopping: &mut Stopping) -> Result<()> {
        if std::mem::replace(&mut stopping.is_awaited, true) {
            return Ok(());
        }
        if stopping.asked.is_none() {
            let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
            self.await_start(&stopping.record, stopping.deadline.map(left))?;
            stopping.asked = self.ask(stopping)?;
        }
        if let Some(process) = &stopping.asked
            && !sys::process::ends_by(process.as_fd(), stopping.deadline)
                .context(|| "wait for the container's end")?
        {
            self.signal(&stopping.record, process, Signal::KILL)?;
        }
        Ok(())
    }

    /// Waits until a container that is being stopped has ended and its monitor has cleaned up.
    /// Kills the container at the deadline.
    pub fn end_stop(&self, mut stopping: Stopping) -> Result<()> {
        self.await_exit(&mut stopping)?;
        self.await_cleanup(&stopping.record)?;
        if stopping.asked.is_some() {
            self.note(&[events::of(&stopping.record, "stop", &[])]);
        }
        Ok(())
    }

    /// Waits for the exit of a container that is being stopped, and starts it again (`restart`).
    pub fn end_restart(&self, stopping: Stopping) -> Result<()> {
        let (id, name) = (stopping.record.id.clone(), stopping.record.name.clone());
        self.end_stop(stopping)?;
        self.start(&id)?;
        self.note(&[events::of(&self.record_of(&id, &name)?, "restart", &[])]);
        Ok(())
    }

    /// Sends a signal to a container's first process and writes the event. The event comes first,
    /// because the monitor may report the exit before this process continues.
    pub(super) fn signal(&self, record: &Record, process: &OwnedFd, signal: Signal) -> Result<()> {
        let number = signal.number().to_string();
        self.note(&[events::of(record, "kill", &[("signal", &number)])]);
        send(process, signal)
    }

    /// Sends the stop signal. Returns the process, or `None` if the container does not run.
    fn ask(&self, stopping: &Stopping) -> Result<Option<OwnedFd>> {
        let record = &stopping.record;
        match self.present_condition(record)? {
            Condition::Running(_) | Condition::Restarting(_) => {}
            _ => return Ok(None),
        }
        self.prevent_restart(record, stopping.mark)?;
        let Condition::Running(state) = self.present_condition(record)? else { return Ok(None) };
        let Found::Living(process) = state.find()? else { return Ok(None) };
        self.signal(record, &process, stopping.signal)?;
        self.resume(record, &state)?;
        Ok(Some(process))
    }

    /// Keeps the restart policy from restarting the container. The caller must read the state after
    /// this call, because the monitor may have restarted the container just before the call.
    pub(super) fn prevent_restart(&self, record: &Record, mark: StopMark) -> Result<()> {
        let files = Files::new(&self.roots, &record.id);
        if !record.may_restart() && mark != StopMark::Restart {
            // The mark of an interrupted `restart` would keep a container with --rm from being
            // removed at its end.
            if record.lifecycle.remove && stop_mark(&files) == Some(StopMark::Restart) {
                store::remove_file(&files.stop_mark())?;
            }
            return Ok(());
        }
        match set_stop_mark(&files, mark) {
            // The run directory does not exist: the container has just ended, or a cleaner of
            // temporary files has removed the directory.
            Err(error) if error.errno() == Some(Errno::NOENT) => {
                return if lives(&self.roots, record)? {
                    set_stop_mark_unlisted(&files, mark)
                } else {
                    Ok(())
                };
            }
            result => result?,
        }
        // A connection wakes a monitor that waits for the next restart.
        protocol::dial(&files.run, false).map(drop)
    }

    /// Sends a signal to the container's first process. SIGKILL and the stop signal also end the
    /// container's restarts, even while the container waits for a restart. Any other signal fails
    /// during this wait. Returns the record if the caller must call `await_cleanup`. The caller can
    /// signal other containers before that call. Fails if the container neither runs nor waits for
    /// a restart.
    pub fn kill(&self, name: &str, signal: Signal) -> Result<Option<Record>> {
        let record = self.record(name)?;
        let ends = signal == Signal::KILL || signal == record.stop_signal.signal();
        let found = match signal {
            Signal::KILL => self.await_start(&record, Some(MAX_START))?,
            _ => self.condition(&record)?,
        };
        match found {
            Condition::Running(_) | Condition::Restarting(_) if ends => {
                self.prevent_restart(&record, StopMark::User)?;
            }
            Condition::Running(_) => {}
            // This call fails with an error that names the state, unless the container runs by now.
            _ => drop(self.running(name)?),
        }
        // The container may have been restarted just before restarts were prevented.
        if let Condition::Running(state) = self.present_condition(&record)? {
            match state.find()? {
                Found::Living(process) => self.signal(&record, &process, signal)?,
                // The program has just exited.
                _ if ends => {}
                _ => fail!("container {name} is not running"),
            }
            if signal == Signal::KILL {
                self.resume(&record, &state)?;
            }
            // After SIGKILL the caller waits, so that a following `start` or `rm` finds the
            // container stopped.
            return Ok((signal == Signal::KILL).then_some(record));
        }
        Ok(ends.then_some(record))
    }

    /// Waits until the monitor of a container that exits has recorded the exit status and cleaned
    /// up. If the monitor was killed, this function cleans up. Fails after `MAX_CLEANUP`.
    pub fn await_cleanup(&self, record: &Record) -> Result<()> {
        self.await_cleanup_until(record, Instant::now() + MAX_CLEANUP)
    }

    /// Like [`Engine::await_cleanup`], but fails after `deadline`.
    pub(super) fn await_cleanup_until(&self, record: &Record, deadline: Instant) -> Result<()> {
        if !monitor_goes_by(&self.roots, record, deadline)? {
            return Err(hangs(&record.name));
        }
        let files = Files::new(&self.roots, &record.id);
        if files.config().exists() {
            self.condition(record)?;
        }
        Ok(())
    }
}

/// Returns the error for a program or monitor that does not react to a signal.
pub(super) fn hangs(container: &str) -> Error {
    Error::new(format!(
        "container {container} has not exited within {} s: one of its processes, or its \
         monitor, is stuck in the kernel or stopped; the host's `ps` shows which",
        MAX_CLEANUP.as_secs()
    ))
}

/// Sends a signal to a process. A process that has exited is no error.
pub(super) fn send(process: &OwnedFd, signal: Signal) -> Result<()> {
    match sys::process::send_signal(process.as_fd(), signal) {
        // The process has just exited.
        Err(Errno::SRCH) => Ok(()),
        result => result.context(|| format!("send {signal}")),
    }
}
