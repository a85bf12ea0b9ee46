//! What a container is doing: never claimed by a file alone.
//!
//! A container runs while its monitor holds the lock in its run directory; the kernel lets go of
//! that lock however the monitor ends, so that a killed monitor or a lost host can't claim a
//! running container. What is left behind by one is taken back by whoever looks next (`reclaim`).

use std::os::fd::AsFd;
use std::path::Path;

use miniserde::{Deserialize, Serialize};

use super::names;
use super::record::{Files, Record};
use crate::error::{Context, Result};
use crate::runtime::cgroup;
use crate::store::{self, Durability, Lock, LockMode, Roots};
use crate::sys;
use crate::time::Instant;

/// `<run>/<id>/state.json`, written by the monitor once the program has begun.
#[derive(Clone, Serialize, Deserialize)]
pub struct State {
    /// Zero until the first process is there.
    pub pid: i32,
    /// proc_pid_stat(5) field 22 of that process.
    pub start_time: u64,
    pub boot_id: String,
    /// Nanoseconds since 1970.
    pub started: i64,
    pub cgroups: Vec<String>,
}

/// `containers/<id>/outcome.json`: how the last run went. Written when a run begins (not for
/// `run`, where the record says so already) and when it has ended.
#[derive(Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// Nanoseconds since 1970; zero: it could not start.
    pub started: i64,
    /// Zero: it hasn't ended, or nobody was left to write it down.
    pub finished: i64,
    pub exit_code: u8,
    pub oom_killed: bool,
    /// Why it could not start, or what happened to its monitor.
    pub error: String,
}

/// The exit status of a container whose end nobody saw.
const LOST: u8 = 255;

#[derive(Clone)]
pub enum Condition {
    Created,
    Running(State),
    Exited(Outcome),
    /// An `--rm` container that is over: its removal was cut short.
    Leftover,
}

impl Outcome {
    /// A run that began and hasn't ended.
    pub fn begun(started: i64) -> Outcome {
        Outcome { started, finished: 0, exit_code: 0, oom_killed: false, error: String::new() }
    }

    pub fn write(&self, roots: &Roots, record: &Record) -> Result<()> {
        let files = Files::new(roots, &record.id);
        store::replace_json(&files.outcome(), self, record.durability())
    }
}

/// What the container of `record` is doing now. Takes back what a dead monitor left.
pub fn condition(roots: &Roots, record: &Record) -> Result<Condition> {
    let files = Files::new(roots, &record.id);
    if files.run.exists() {
        if is_watched(&files)? {
            if let Some(state) = store::read_json::<State>(&files.state())?
                && state.pid != 0
            {
                return Ok(Condition::Running(state));
            }
            // Being started or being wound up at this moment.
            return at_rest(&files, record);
        }
        reclaim(roots, record)?;
    }
    at_rest(&files, record)
}

fn at_rest(files: &Files, record: &Record) -> Result<Condition> {
    let outcome: Option<Outcome> = store::read_json(&files.outcome())?;
    let has_run = outcome.as_ref().map_or(record.run, |outcome| outcome.started != 0);
    if !has_run {
        return Ok(Condition::Created);
    }
    if record.remove {
        return Ok(Condition::Leftover);
    }
    let mut outcome = outcome.unwrap_or_else(|| Outcome::begun(record.created));
    if outcome.finished == 0 {
        outcome.exit_code = LOST;
        outcome.finished = outcome.started;
        outcome.error = "its end was not seen: the host lost power or was reset".to_owned();
    }
    Ok(Condition::Exited(outcome))
}

/// Whether a monitor lives.
pub fn is_watched(files: &Files) -> Result<bool> {
    if !files.monitor_lock().exists() {
        return Ok(false);
    }
    Lock::is_held(&files.monitor_lock())
}

/// Waits until the monitor is gone.
pub fn await_monitor(files: &Files) -> Result<()> {
    if files.monitor_lock().exists() {
        drop(Lock::wait(&files.monitor_lock(), LockMode::Shared)?);
    }
    Ok(())
}

/// Takes back what a killed monitor left: processes, cgroups, run directory; writes down how it
/// ended. Nothing to do if another command is at it already.
pub fn reclaim(roots: &Roots, record: &Record) -> Result<()> {
    let files = Files::new(roots, &record.id);
    let Some(_change) = Lock::try_exclusive(&files.change_lock())? else { return Ok(()) };
    if !files.run.exists() || is_watched(&files)? {
        return Ok(());
    }
    let state: Option<State> = store::read_json(&files.state()).unwrap_or_default();
    kill_leftovers(&record.id, &record.cgroup_parent, state.as_ref())
        .context(|| format!("take back container {}", record.name))?;
    if let Some(state) = state {
        let outcome = Outcome {
            started: state.started,
            finished: Instant::now().0,
            exit_code: 128 + sys::signal::Signal::KILL.number() as u8,
            oom_killed: false,
            error: "its monitor was killed".to_owned(),
        };
        outcome.write(roots, record)?;
    }
    store::remove_tree(&files.run)
}

/// Ends the first process if it is still the one that was written down, and removes the cgroups
/// with whatever else is in them.
pub fn kill_leftovers(id: &str, cgroup_parent: &str, state: Option<&State>) -> Result<()> {
    if let Some(state) = state
        && state.boot_id == sys::process::boot_id()
        && let Some(pidfd) = sys::process::open(state.pid, state.start_time)
    {
        // Gone meanwhile is as good.
        let _ = sys::process::send_signal(pidfd.as_fd(), sys::signal::Signal::KILL);
    }
    let mut paths = cgroup::possible_paths(cgroup_parent, id)?;
    paths.extend(state.into_iter().flat_map(|state| state.cgroups.clone()));
    cgroup::remove(&paths)
}

/// Writes the first `state.json`: from here on the run directory tells whom to clean up after.
pub fn write(roots: &Roots, id: &str, state: &State) -> Result<()> {
    store::replace_json(&Files::new(roots, id).state(), state, Durability::Lazy)
}

/// Removes everything that a container is. The name goes last but for the directory itself: killed
/// before that, it is still listed and can be removed again. The caller holds its change lock or is
/// its monitor.
pub fn erase(roots: &Roots, id: &str, name: &str) -> Result<()> {
    let files = Files::new(roots, id);
    store::remove_tree(&files.run)?;
    // Out of sight in one step, so that a half-removed container is never met under its id.
    let doomed = roots.containers().join(format!(".removing-{id}"));
    match std::fs::rename(&files.dir, &doomed) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context(|| format!("remove {}", files.dir.display()));
        }
        _ => {}
    }
    names::release(roots, name, id)?;
    remove_doomed(&doomed)
}

/// Removes a directory that `erase` renamed away.
pub fn remove_doomed(path: &Path) -> Result<()> {
    store::remove_tree(path)
}
