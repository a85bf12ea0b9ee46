//! What a container is doing: never claimed by a file alone.
//!
//! A container runs while its monitor holds the lock in its run directory; the kernel lets go of
//! that lock however the monitor ends, so that a killed monitor or a lost host can't claim a
//! running container. What is left behind by one is taken back by whoever looks next (`reclaim`).

use std::os::fd::AsFd;
use std::time::Duration;

use miniserde::{Deserialize, Serialize};

use super::names;
use super::record::{Files, Record};
use crate::error::{Context, Error, Result};
use crate::runtime::cgroup;
use crate::store::{self, Durability, HiddenTree, Lock, LockMode, Roots};
use crate::sys;
use crate::sys::process::Found;
use crate::time::Instant;

/// How long a monitor may take to clean up after its container's last process. All that it waits
/// for by itself has shorter bounds.
pub const MAX_CLEANUP: Duration = Duration::from_secs(30);

/// Seconds between the stop signal and SIGKILL (Docker's default).
pub const STOP_TIMEOUT: i64 = 10;

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
    /// How often the restart policy has begun it again.
    pub restarts: u32,
    /// Between two programs: how the last one ended.
    pub last: Option<Outcome>,
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
    /// The user stopped it.
    pub stopped: bool,
    pub restarts: u32,
    /// Why it could not start, or what happened to its monitor.
    pub error: String,
    /// A restart ended this run, so that a container made with `--rm` stays to be started again.
    pub kept: Option<bool>,
}

/// When a run started and ended. Zeros: the container has never run.
#[derive(Clone, Copy, Default)]
pub struct Span {
    pub started: i64,
    pub finished: i64,
}

/// The exit status of a container whose end nobody saw.
const LOST: u8 = 255;

/// Takes back what else a container has on the host, by its id: its network, which is made above this
/// layer.
pub type TakeDown = fn(&Roots, &str) -> Result<()>;

/// What a container is doing.
#[derive(Clone)]
pub enum Condition {
    /// It has never run. The outcome says why its start failed.
    Created(Option<Outcome>),
    /// Its program is being started.
    Starting,
    Running(State),
    /// Ended so, and about to be begun again.
    Restarting(Outcome),
    Exited(Outcome),
    /// An `--rm` container that is over: its removal was cut short.
    Leftover,
}

impl State {
    /// What has become of its first process.
    pub fn find(&self) -> Result<Found> {
        let found = sys::process::find(self.pid, self.start_time);
        found.context(|| format!("look for process {}", self.pid))
    }

    /// Whether its first process has ended.
    pub fn has_ended(&self) -> bool {
        self.find().is_ok_and(|found| found.living().is_none())
    }
}

impl Outcome {
    /// A start that failed, of a container whose last run was `before`.
    pub fn not_begun(error: &Error, before: Span) -> Outcome {
        let (exit_code, error) = (error.exit_code(), error.to_string());
        let Span { started, finished } = before;
        Outcome { finished, exit_code, error, ..Outcome::begun(started) }
    }

    /// When the run started and finished.
    pub fn span(&self) -> Span {
        Span { started: self.started, finished: self.finished }
    }

    /// A run that began and hasn't ended.
    pub fn begun(started: i64) -> Outcome {
        let (exit_code, oom_killed, stopped) = (0, false, false);
        let (restarts, error, kept) = (0, String::new(), None);
        Outcome { started, finished: 0, exit_code, oom_killed, stopped, restarts, error, kept }
    }

    /// Writes outcome.json, as durably as the record.
    pub fn write(&self, roots: &Roots, record: &Record) -> Result<()> {
        let files = Files::new(roots, &record.id);
        store::replace_json(&files.outcome(), self, record.durability())
    }
}

/// What the container of `record` is doing now. Takes back what a dead monitor left.
pub fn condition(roots: &Roots, record: &Record, take_down: TakeDown) -> Result<Condition> {
    // A container that starts and ends between two looks each time can't be met more often.
    const MAX_LOOKS: u32 = 16;
    let files = Files::new(roots, &record.id);
    for looks in 0..MAX_LOOKS {
        if let Some(found) = look(roots, &files, record, take_down, looks > 0)? {
            return Ok(found);
        }
    }
    Ok(Condition::Starting)
}

/// One look; none if the container started or was taken back while it was taken. `again` says that
/// the look before this one found no run directory either.
fn look(
    roots: &Roots,
    files: &Files,
    record: &Record,
    take_down: TakeDown,
    again: bool,
) -> Result<Option<Condition>> {
    // `run` and `start` make the run directory before they write that a run has begun, and the
    // monitor writes how it ended before it removes the directory.
    let is_open = |outcome: &Option<Outcome>| match outcome {
        Some(outcome) => outcome.started != 0 && outcome.finished == 0,
        None => record.run,
    };
    if !files.monitor_lock().exists() {
        let outcome = store::read_json(&files.outcome())?;
        if is_open(&outcome) {
            if !again {
                return Ok(None);
            }
            let started = outcome.as_ref().map_or(record.created, |outcome| outcome.started);
            if let Some(state) = unlisted(record, started)? {
                return Ok(Some(Condition::Running(state)));
            }
        }
        if !files.run.exists() {
            return at_rest(record, outcome).map(Some);
        }
    }
    if !is_watched(files)? {
        reclaim(roots, record, take_down)?;
        return match store::read_json(&files.parked_outcome())? {
            None => Ok(None),
            parked => at_rest(record, parked).map(Some),
        };
    }
    match store::read_json::<State>(&files.state())? {
        Some(State { pid: 0, last: Some(last), .. }) => {
            return Ok(Some(Condition::Restarting(last)));
        }
        Some(state) if state.pid != 0 => return Ok(Some(Condition::Running(state))),
        _ => {}
    }
    if let Some(parked) = store::read_json(&files.parked_outcome())? {
        return at_rest(record, Some(parked)).map(Some);
    }
    let outcome = store::read_json(&files.outcome())?;
    if is_open(&outcome) {
        return Ok(Some(Condition::Starting));
    }
    at_rest(record, outcome).map(Some)
}

/// A container that runs although its files in the run directory are gone, as a cleaner of temporary
/// files removes them: its first process is in its cgroup, and the parent is its monitor by title.
/// Without the files it can't be attached to, and its restart policy is over with this run.
fn unlisted(record: &Record, started: i64) -> Result<Option<State>> {
    let paths = cgroup::possible_paths(&record.cgroup_parent, &record.id)?;
    let cgroups: Vec<String> =
        paths.into_iter().filter(|path| std::path::Path::new(path).exists()).collect();
    let first = cgroup::members(&cgroups).into_iter().find_map(|pid| {
        let pid = rustix::process::Pid::from_raw(pid)?;
        let parent = sys::process::parent(pid)?;
        super::monitor::is_titled(parent, &record.id).then_some(pid)
    });
    let Some(pid) = first else { return Ok(None) };
    let start_time = sys::process::start_time(pid).context(|| "look for the first process")?;
    Ok(start_time.map(|start_time| State {
        pid: pid.as_raw_nonzero().get(),
        start_time,
        boot_id: sys::process::boot_id(),
        started,
        cgroups,
        restarts: 0,
        last: None,
    }))
}

/// What a container without a program is, by how its last run went.
fn at_rest(record: &Record, outcome: Option<Outcome>) -> Result<Condition> {
    let has_run = outcome.as_ref().map_or(record.run, |outcome| outcome.started != 0);
    if !has_run {
        return Ok(Condition::Created(outcome.filter(|outcome| !outcome.error.is_empty())));
    }
    let kept = outcome.as_ref().is_some_and(|outcome| outcome.kept == Some(true));
    if record.remove && !kept {
        return Ok(Condition::Leftover);
    }
    let mut outcome = outcome.unwrap_or_else(|| Outcome::begun(record.created));
    if outcome.finished == 0 {
        outcome.exit_code = LOST;
        outcome.finished = outcome.started;
        outcome.error = "its exit was not recorded: the host lost power or was reset".to_owned();
    }
    Ok(Condition::Exited(outcome))
}

/// What a container is doing if it runs.
pub fn running(roots: &Roots, id: &str) -> Result<Option<State>> {
    let files = Files::new(roots, id);
    if !is_watched(&files)? {
        return Ok(None);
    }
    Ok(store::read_json::<State>(&files.state())?.filter(|state| state.pid != 0))
}

/// Whether a monitor lives.
pub fn is_watched(files: &Files) -> Result<bool> {
    Lock::is_held(&files.monitor_lock())
}

/// Waits until the monitor is gone, as long as the container runs.
pub fn await_monitor(files: &Files) -> Result<()> {
    Lock::wait_existing(&files.monitor_lock(), LockMode::Shared).map(drop)
}

/// Waits until the monitor is gone, but not beyond `deadline`. Whether it is.
pub fn monitor_goes_by(files: &Files, deadline: std::time::Instant) -> Result<bool> {
    let started = std::time::Instant::now();
    while is_watched(files)? {
        if std::time::Instant::now() >= deadline {
            return Ok(false);
        }
        // Looking later by an eighth of the time that it has taken anyway is not felt.
        let pause = started.elapsed() / 8;
        std::thread::sleep(pause.clamp(Duration::from_micros(200), Duration::from_millis(20)));
    }
    Ok(true)
}

/// Takes back what a killed monitor left: processes, cgroups, network, run directory; writes down
/// how it ended. Waits for another command that is at it.
pub fn reclaim(roots: &Roots, record: &Record, take_down: TakeDown) -> Result<()> {
    let files = Files::new(roots, &record.id);
    match files.lock_changes()? {
        Some(_change) if !is_watched(&files)? => reclaim_locked(roots, record, take_down),
        _ => Ok(()),
    }
}

/// As `reclaim`, for one who holds the lock of changes and has seen that no monitor lives.
pub fn reclaim_locked(roots: &Roots, record: &Record, take_down: TakeDown) -> Result<()> {
    let files = Files::new(roots, &record.id);
    if !files.run.exists() {
        return Ok(());
    }
    if let Some(parked) = store::read_json(&files.parked_outcome())? {
        return settle(roots, record, &parked);
    }
    // One that can't be read says no more than none.
    let state: Option<State> = store::read_json(&files.state()).unwrap_or_default();
    kill_leftovers(&record.id, &record.cgroup_parent, state.as_ref())
        .and_then(|()| take_down(roots, &record.id))
        .context(|| format!("take back container {}", record.name))?;
    let Some(state) = state else { return store::remove_tree(&files.run) };
    let outcome = state.last.unwrap_or_else(|| Outcome {
        started: state.started,
        finished: Instant::now().0,
        exit_code: 128 + sys::signal::Signal::KILL.number() as u8,
        oom_killed: false,
        stopped: stop_mark(&files) == Some(StopMark::User),
        restarts: state.restarts,
        error: "its monitor was killed".to_owned(),
        kept: (stop_mark(&files) == Some(StopMark::Restart)).then_some(true),
    });
    settle(roots, record, &outcome)
}

/// Writes down how a run ended and removes the run directory. Where the disk has no room, the
/// outcome stays in the run directory, and whoever looks next tries again.
pub fn settle(roots: &Roots, record: &Record, outcome: &Outcome) -> Result<()> {
    let files = Files::new(roots, &record.id);
    if outcome.kept == Some(true) {
        // The overlay of a container made with `--rm` is volatile, and the kernel refuses to mount
        // it again because a crash may have torn it (overlayfs.rst, "Volatile mount"). This host
        // has not crashed since: the end was seen.
        store::remove_tree(&files.work().join("work/incompat"))?;
    }
    if outcome.write(roots, record).is_ok() {
        return store::remove_tree(&files.run);
    }
    store::replace_json(&files.parked_outcome(), outcome, Durability::Lazy)?;
    store::remove_file(&files.state())
}

/// Whether `pause` holds the container. The mark names the process that it was made for: one that
/// the restart policy has begun since isn't held. The kernel isn't asked, for it knows of a commit
/// too, and `ps` would have to look for its freezer in each container.
pub fn is_paused(files: &Files, state: &State) -> bool {
    std::fs::read(files.paused()).is_ok_and(|mark| mark == pause_mark(state).as_bytes())
}

/// Notes that the container is about to be held, or not to be any more.
pub fn set_paused(files: &Files, state: &State, paused: bool) -> Result<()> {
    match paused {
        true => store::replace(&files.paused(), pause_mark(state).as_bytes(), Durability::Lazy),
        false => store::remove_file(&files.paused()),
    }
}

fn pause_mark(state: &State) -> String {
    format!("{} {}", state.pid, state.start_time)
}

/// Who asked for the container's end, so that it isn't begun again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopMark {
    /// `stop`, `kill`
    User,
    /// `halt`: the next `boot` begins it again.
    Halt,
    /// `restart`, which starts the container again itself: one made with `--rm` must stay.
    Restart,
}

/// Asks a running container's monitor not to begin it again. Lasts as long as the run directory.
pub fn set_stop_mark(files: &Files, mark: StopMark) -> Result<()> {
    let text: &[u8] = match mark {
        StopMark::User => b"user",
        StopMark::Halt => b"halt",
        StopMark::Restart => b"restart",
    };
    store::replace(&files.stop_mark(), text, Durability::Lazy)
}

/// Reads the stop mark; `None` if there is none.
pub fn stop_mark(files: &Files) -> Option<StopMark> {
    match std::fs::read(files.stop_mark()).ok()?.as_slice() {
        b"user" => Some(StopMark::User),
        b"restart" => Some(StopMark::Restart),
        _ => Some(StopMark::Halt),
    }
}

/// Ends the first process if it is still the one that was written down, and removes the cgroups
/// with whatever else is in them.
pub fn kill_leftovers(id: &str, cgroup_parent: &str, state: Option<&State>) -> Result<()> {
    if let Some(state) = state
        && state.boot_id == sys::process::boot_id()
        && let Found::Living(pidfd) = state.find()?
    {
        // If it has ended by now, all is well.
        let _ = sys::process::send_signal(pidfd.as_fd(), sys::signal::Signal::KILL);
    }
    // In v1's freezer a process dies only once it is let go.
    cgroup::freezer::thaw(&[], cgroup_parent, id)?;
    let mut paths = cgroup::possible_paths(cgroup_parent, id)?;
    paths.extend(state.into_iter().flat_map(|state| state.cgroups.clone()));
    cgroup::remove(&paths)
}

/// Writes the first `state.json`: from here on the run directory tells whom to clean up after.
pub fn write(roots: &Roots, id: &str, state: &State) -> Result<()> {
    store::replace_json(&Files::new(roots, id).state(), state, Durability::Lazy)
}

/// Removes everything that a container is. The caller holds its lock of changes or is its monitor.
pub fn erase(roots: &Roots, id: &str, name: &str, durability: Durability) -> Result<()> {
    hide(roots, id, name, durability)?.remove()
}

/// Makes an end of a container: the run directory is removed, its directory put out of sight, the
/// name released. Killed after the first it is still listed and can be removed again; after the
/// second its name is free to be taken, and `system check` finds what is left to be removed, as it
/// does if the caller dies before it has done that.
pub fn hide(roots: &Roots, id: &str, name: &str, durability: Durability) -> Result<HiddenTree> {
    let files = Files::new(roots, id);
    // It may have been renamed since the caller last looked.
    let name = match names::look_up(roots, name) {
        Ok(Some(owner)) if owner == id => name.to_owned(),
        _ => Record::read(roots, id).map_or_else(|_| name.to_owned(), |record| record.name),
    };
    store::remove_tree(&files.run)?;
    let tree = store::hide(&files.dir, durability)?;
    names::release(roots, &name, id)?;
    Ok(tree)
}
