//! `boot` and `halt`: what a host's start and its shutdown call.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::Engine;
use crate::container::record::{Record, all_ids};
use crate::container::state::{Condition, MAX_CLEANUP, StopMark};
use crate::error::{Context, Error, Result, fail};
use crate::network::wiring;
use crate::sys;
use crate::sys::process::Found;
use crate::sys::signal::Signal;

impl Engine {
    /// Brings the networks back, and starts every container whose restart policy asks for it and
    /// that isn't running: done twice it does nothing the second time. Gives the names of those that
    /// it started, and why others could not be; one failure doesn't keep the others from starting.
    pub fn boot(&self) -> Result<Vec<(String, Result<()>)>> {
        let mut waiting: Vec<Record> = self.records()?;
        waiting.retain(|record| match self.glance(record) {
            Ok(Condition::Exited(outcome)) => {
                record.restart.applies_at_boot(outcome.exit_code, outcome.stopped)
            }
            _ => false,
        });
        // Those that join another's namespaces or depend on another come last; otherwise in the order
        // of their making.
        let needs = |record: &Record| {
            [&record.network, &record.pid, &record.ipc, &record.uts]
                .iter()
                .any(|mode| mode.starts_with("container:"))
                || record.depends_on.is_some()
                || record.links.is_some()
        };
        waiting.sort_unstable_by_key(|record| (needs(record), record.created));
        let mut done = Vec::with_capacity(waiting.len());
        if let Err(error) = wiring::restore(&self.roots, self.firewall) {
            done.push(("networks".to_owned(), Err(error)));
        }
        done.extend(waiting.into_iter().map(|record| (record.name, self.start(&record.id))));
        Ok(done)
    }

    /// Stops all containers at once, within one common timeout (seconds); what hasn't ended by then
    /// is killed. The next `boot` starts again those whose policy asks for it.
    pub fn halt(&self, timeout: u64) -> Result<()> {
        let mut running = Vec::new();
        let mut failed = Vec::new();
        for record in self.records()? {
            match self.ask_to_halt(&record) {
                Ok(Some(asked)) => running.push((record, asked)),
                Ok(None) => {}
                Err(error) => failed.push(format!("{}: {error}", record.name)),
            }
        }
        let deadline = Instant::now() + Duration::from_secs(timeout);
        let processes = || running.iter().filter_map(|(_, process)| process.as_ref());
        await_ends(processes(), deadline)?;
        for process in processes() {
            // Those that have ended already are no error.
            let _ = sys::process::send_signal(process.as_fd(), Signal::KILL);
        }
        let deadline = Instant::now() + MAX_CLEANUP;
        for (record, _) in &running {
            if let Err(error) = self.await_cleanup_until(record, deadline) {
                failed.push(format!("{}: {error}", record.name));
            }
        }
        match failed.is_empty() {
            true => Ok(()),
            false => fail!("{}", failed.join("; ")),
        }
    }

    /// Sends the stop signal to a container that runs; gives the process to wait for, or none if
    /// it has ended and only its monitor is left to be waited for.
    fn ask_to_halt(&self, record: &Record) -> Result<Option<Option<OwnedFd>>> {
        match self.condition(record)? {
            Condition::Running(_) | Condition::Restarting(_) => {}
            _ => return Ok(None),
        }
        self.call_off(record, StopMark::Halt)?;
        let Condition::Running(state) = self.condition(record)? else { return Ok(None) };
        let Found::Living(process) = state.find()? else { return Ok(Some(None)) };
        let signal = Signal::parse(&record.stop_signal).unwrap_or(Signal::TERM);
        match sys::process::send_signal(process.as_fd(), signal) {
            Ok(()) | Err(Errno::SRCH) => {
                self.let_go(record, &state)?;
                Ok(Some(Some(process)))
            }
            Err(error) => Err(Error::from(error)).context(|| format!("send {signal}")),
        }
    }

    /// Those that can be read: the others are for `ps` and `system check` to tell of.
    fn records(&self) -> Result<Vec<Record>> {
        let ids = all_ids(&self.roots)?;
        Ok(ids.iter().filter_map(|id| Record::read(&self.roots, id).ok()).collect())
    }
}

fn await_ends<'a>(processes: impl Iterator<Item = &'a OwnedFd>, deadline: Instant) -> Result<()> {
    for process in processes {
        let ended = sys::process::ends_by(process.as_fd(), Some(deadline));
        ended.context(|| "wait for the containers' end")?;
    }
    Ok(())
}
