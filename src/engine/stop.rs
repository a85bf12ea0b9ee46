//! `stop`, `kill`, `wait`.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::Engine;
use crate::container::client::{self, End};
use crate::container::protocol;
use crate::container::record::{Files, Record};
use crate::container::state::{
    Condition, MAX_CLEANUP, StopMark, await_monitor, monitor_goes_by, set_stop_mark, stop_mark,
};
use crate::error::{Context, Error, Result, fail};
use crate::store;
use crate::sys;
use crate::sys::process::Found;
use crate::sys::signal::Signal;

/// Seconds between the stop signal and SIGKILL (Docker's default).
const DEFAULT_TIMEOUT: i64 = 10;

impl Engine {
    /// Asks the container to end and, after the timeout (seconds; -1 is for ever), kills it. One
    /// that isn't running is stopped already.
    pub fn stop(&self, name: &str, timeout: Option<i64>, signal: Option<&str>) -> Result<()> {
        self.stop_for(name, timeout, signal, StopMark::User)
    }

    /// As `stop`; `mark` says what the container's end is for.
    pub(super) fn stop_for(
        &self,
        name: &str,
        timeout: Option<i64>,
        signal: Option<&str>,
        mark: StopMark,
    ) -> Result<()> {
        let record = self.record(name)?;
        let signal = parse_signal(signal.unwrap_or(&record.stop_signal))?;
        let timeout = timeout.or(record.stop_timeout).unwrap_or(DEFAULT_TIMEOUT);
        match self.condition(&record)? {
            Condition::Running(_) | Condition::Restarting(_) => {}
            _ => return Ok(()),
        }
        self.call_off(&record, mark)?;
        if let Condition::Running(state) = self.condition(&record)?
            && let Found::Living(process) = state.find()?
        {
            send(&process, signal)?;
            self.let_go(&record, &state)?;
            if !ends_within(&process, timeout)? {
                send(&process, Signal::KILL)?;
            }
        }
        self.await_cleanup(&record)
    }

    /// Sees to it that the restart policy doesn't begin the container again. The state must be
    /// looked at after this: its monitor may just have done so.
    pub(super) fn call_off(&self, record: &Record, mark: StopMark) -> Result<()> {
        let files = Files::new(&self.roots, &record.id);
        if record.restart.is_no() && mark != StopMark::Restart {
            // A restart that was interrupted no longer keeps a container made with --rm.
            if record.remove && stop_mark(&files) == Some(StopMark::Restart) {
                store::remove_file(&files.stop_mark())?;
            }
            return Ok(());
        }
        match set_stop_mark(&files, mark) {
            // Its run directory is gone: it ended just now.
            Err(error) if error.errno() == Some(Errno::NOENT) => return Ok(()),
            result => result?,
        }
        // A call wakes a monitor that waits before the next try.
        protocol::dial(&files.run, false).map(drop)
    }

    /// Sends a signal to the container's first process.
    pub fn kill(&self, name: &str, signal: &str) -> Result<()> {
        let signal = parse_signal(signal)?;
        let (record, state) = self.running(name)?;
        if signal == Signal::KILL || Some(signal) == Signal::parse(&record.stop_signal) {
            self.call_off(&record, StopMark::User)?;
        }
        match state.find()? {
            Found::Living(process) => send(&process, signal)?,
            // It has ended by itself just now.
            _ if signal == Signal::KILL => {}
            _ => fail!("container {name} is not running"),
        }
        if signal == Signal::KILL {
            self.let_go(&record, &state)?;
            // So that a `start` or `rm` right after it finds the container ended.
            self.await_cleanup(&record)?;
        }
        Ok(())
    }

    /// Waits until the monitor of a container that was killed, or has ended, has written down how
    /// and cleaned up. If the monitor was killed, that is done here.
    pub(super) fn await_cleanup(&self, record: &Record) -> Result<()> {
        self.await_cleanup_until(record, Instant::now() + MAX_CLEANUP)
    }

    pub(super) fn await_cleanup_until(&self, record: &Record, deadline: Instant) -> Result<()> {
        if !monitor_goes_by(&Files::new(&self.roots, &record.id), deadline)? {
            return Err(hangs(record));
        }
        if Files::new(&self.roots, &record.id).config().exists() {
            self.condition(record)?;
        }
        Ok(())
    }

    /// Waits for the container's end; gives its exit status. One that isn't running has ended
    /// already.
    pub fn wait(&self, name: &str) -> Result<u8> {
        let record = self.record(name)?;
        if let Condition::Running(_) | Condition::Restarting(_) = self.condition(&record)?
            && let Some(socket) = protocol::dial(&Files::new(&self.roots, &record.id).run, false)?
            && let End::Exited(code) = client::await_end(&socket)?
        {
            return Ok(code);
        }
        await_monitor(&Files::new(&self.roots, &record.id))?;
        match self.condition(&record)? {
            Condition::Exited(outcome) => Ok(outcome.exit_code),
            Condition::Created => Ok(0),
            _ => fail!("how container {name} ended was not seen"),
        }
    }
}

fn parse_signal(text: &str) -> Result<Signal> {
    match Signal::parse(text) {
        Some(signal) => Ok(signal),
        None => fail!("'{text}' is no signal; give a name such as TERM or a number from 1 to 64"),
    }
}

/// Neither the program nor the monitor can be ended by a signal, or one of them is stopped.
pub(super) fn hangs(record: &Record) -> Error {
    Error::new(format!(
        "container {} has not ended {} s after its end was due: one of its processes, or its \
         monitor, is stuck in the kernel or stopped; the host's `ps` shows which",
        record.name,
        MAX_CLEANUP.as_secs()
    ))
}

pub(super) fn send(process: &OwnedFd, signal: Signal) -> Result<()> {
    match sys::process::send_signal(process.as_fd(), signal) {
        // It ended just now.
        Err(Errno::SRCH) => Ok(()),
        result => result.context(|| format!("send {signal}")),
    }
}

fn ends_within(process: &OwnedFd, seconds: i64) -> Result<bool> {
    let deadline = (seconds >= 0).then(|| Instant::now() + Duration::from_secs(seconds as u64));
    loop {
        let left = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos() as _ }
        });
        match poll(&mut [PollFd::new(process, PollFlags::IN)], left.as_ref()) {
            Err(Errno::INTR) => {}
            result => return Ok(result.context(|| "wait for the container's end")? > 0),
        }
    }
}
