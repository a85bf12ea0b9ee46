//! `boot` and `halt`: the commands for an init script after the host's start and before its
//! shutdown.
//!
//! `boot` restores the networks and starts containers by their restart policy. A second call does
//! not disturb the running containers. Containers of compose projects start last, in the order of
//! their dependencies. `halt` stops all containers in parallel within one timeout. There is no
//! daemon, so without the call of `boot` no container starts with the host.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::Engine;
use super::project::{ONEOFF, PROJECT, SERVICE, dependencies, label, waves};
use crate::container::record::{Record, all_ids};
use crate::container::state::{Condition, MAX_CLEANUP, StopMark};
use crate::error::{Context, Error, Result, fail};
use crate::network::attachment;
use crate::order;
use crate::sys;
use crate::sys::process::Found;
use crate::sys::signal::Signal;

impl Engine {
    /// Restores the networks, and starts every stopped container whose restart policy requires it.
    /// Returns the name and the result of each start, and the error of the networks if there is
    /// one. A failed start does not prevent the others.
    pub fn boot(&self) -> Result<Vec<(String, Result<()>)>> {
        let mut waiting: Vec<Record> = self.records()?;
        waiting.retain(|record| match self.present_condition(record) {
            Ok(Condition::Exited(outcome)) => {
                record.lifecycle.restart.applies_at_boot(outcome.exit_code, outcome.stopped)
            }
            _ => false,
        });
        // Sort by the time of creation, with the containers that need another container last.
        let needs = |record: &Record| {
            record.network.container().is_some()
                || record.namespaces.joins()
                || !record.lifecycle.depends_on.is_empty()
                || !record.links.is_empty()
        };
        order::sort_by_key(&mut waiting, |record| (needs(record), record.created));
        let mut done = Vec::with_capacity(waiting.len());
        if let Err(error) = attachment::reload::restore(&self.roots, self.firewall) {
            done.push(("networks".to_owned(), Err(error)));
        }
        let (projects, alone): (Vec<Record>, Vec<Record>) =
            waiting.into_iter().partition(|record| label(&record.labels, PROJECT).is_some());
        done.extend(alone.into_iter().map(|record| (record.name, self.start(&record.id))));
        let others = match projects[..] {
            [] => Vec::new(),
            _ => self.records().unwrap_or_default(),
        };
        for wave in waves(projects, |record| &record.labels) {
            let mut starting = Vec::with_capacity(wave.len());
            for record in wave {
                self.await_healthy_services(&record, &others);
                starting.push((self.begin_start(&record.id), record.name));
            }
            done.extend(starting.into_iter().map(|(started, name)| {
                (name, started.and_then(|started| self.end_start(started)))
            }));
        }
        Ok(done)
    }

    /// Waits for the containers in `others` that must be healthy before the container of `record`
    /// starts. Returns also if one of them does not become healthy, so that the container of
    /// `record` starts: a container that must retry is better than a service that is down.
    fn await_healthy_services(&self, record: &Record, others: &[Record]) {
        let project = label(&record.labels, PROJECT);
        for (service, condition) in dependencies(&record.labels) {
            if condition != "service_healthy" {
                continue;
            }
            for other in others {
                let is_meant = label(&other.labels, PROJECT) == project
                    && label(&other.labels, SERVICE) == Some(service)
                    && label(&other.labels, ONEOFF) != Some("True");
                if is_meant {
                    // Ignore a failure: the other container's start or probes report it.
                    let _ = self.await_health(&other.id, true);
                }
            }
        }
    }

    /// Stops all running containers in parallel, and kills those that still run after `timeout`
    /// seconds. The next `boot` starts a container again if its restart policy requires this.
    pub fn halt(&self, timeout: u64) -> Result<()> {
        let mut running = Vec::new();
        let mut failed = Vec::new();
        for record in self.records()? {
            match self.ask_to_halt(&record) {
                Ok(Asked::AtRest) => {}
                Ok(Asked::Exited) => running.push((record, None)),
                Ok(Asked::Running(process)) => running.push((record, Some(process))),
                Err(error) => failed.push(format!("{}: {error}", record.name)),
            }
        }
        let deadline = Instant::now() + Duration::from_secs(timeout);
        let processes = || running.iter().filter_map(|(_, process)| process.as_ref());
        await_ends(processes(), deadline)?;
        for process in processes() {
            // A process that has exited already is not an error.
            let _ = sys::process::send_signal(process.as_fd(), Signal::KILL);
        }
        let deadline = Instant::now() + MAX_CLEANUP;
        for (record, _) in &running {
            if let Err(error) = self.await_cleanup_until(record, deadline) {
                failed.push(format!("{}: {error}", record.name));
            }
        }
        if failed.is_empty() { Ok(()) } else { fail!("{}", failed.join("; ")) }
    }

    /// Sends the stop signal to a container that runs, and prevents its restart. Resumes a paused
    /// container.
    fn ask_to_halt(&self, record: &Record) -> Result<Asked> {
        match self.condition(record)? {
            Condition::Running(_) | Condition::Restarting(_) => {}
            _ => return Ok(Asked::AtRest),
        }
        self.prevent_restart(record, StopMark::Halt)?;
        let Condition::Running(state) = self.condition(record)? else { return Ok(Asked::AtRest) };
        let Found::Living(process) = state.find()? else { return Ok(Asked::Exited) };
        let signal = record.stop_signal.signal();
        match sys::process::send_signal(process.as_fd(), signal) {
            Ok(()) | Err(Errno::SRCH) => {
                self.resume(record, &state)?;
                Ok(Asked::Running(process))
            }
            Err(error) => Err(Error::from(error)).context(|| format!("send {signal}")),
        }
    }

    /// Returns all readable records. `ps` and `system check` report the others.
    pub(super) fn records(&self) -> Result<Vec<Record>> {
        let ids = all_ids(&self.roots)?;
        Ok(ids.iter().filter_map(|id| Record::read(&self.roots, id).ok()).collect())
    }
}

/// The state in which `halt` finds a container.
enum Asked {
    /// The container does not run.
    AtRest,
    /// The container's process has exited, but its monitor still runs.
    Exited,
    /// The process that got the stop signal.
    Running(OwnedFd),
}

fn await_ends<'a>(processes: impl Iterator<Item = &'a OwnedFd>, deadline: Instant) -> Result<()> {
    for process in processes {
        let ended = sys::process::ends_by(process.as_fd(), Some(deadline));
        ended.context(|| "wait for the containers' end")?;
    }
    Ok(())
}
