//! What a container is doing. No file alone decides that.
//!
//! A container runs while its monitor holds the lock in its run directory. The kernel releases that
//! lock however the monitor ends, so after a kill or a power cut no file claims a running
//! container. The next command that looks cleans up after a killed monitor (`reclaim`). If a cleaner
//! of temporary files removed the lock file, its holder is found in /proc (`unlisted`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use miniserde::{Deserialize, Serialize};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::events::{self, Networks};
use super::files::Files;
use super::names;
use super::record::{Origin, Record};
use crate::container_id::ContainerId;
use crate::error::{Context, Error, Result};
use crate::runtime::cgroup;
use crate::store::{self, Durability, HiddenTree, Lock, LockMode, Roots, journal};
use crate::sys;
use crate::sys::process::Found;
use crate::time::Instant;

/// How long a monitor may take to clean up after its container's last process. All that it waits
/// for by itself has shorter bounds.
pub const MAX_CLEANUP: Duration = Duration::from_secs(30);

/// Seconds between the stop signal and SIGKILL (Docker's default).
pub const STOP_TIMEOUT: i64 = 10;

/// `<run>/<id>/state.json`, written by the monitor once the program has started.
#[derive(Clone, Serialize, Deserialize)]
pub struct State {
    /// The first process; zero until it exists.
    pub pid: i32,
    /// proc_pid_stat(5) field 22 of that process.
    pub start_time: u64,
    pub boot_id: String,
    /// Nanoseconds since 1970.
    pub started: i64,
    pub cgroups: Vec<String>,
    /// How often the restart policy has started it again.
    pub restarts: u32,
    /// Between two programs: the outcome of the last one.
    pub last: Option<Outcome>,
    /// Whether its processes are frozen. Set only for a container whose run directory was
    /// removed, and never written.
    pub frozen: Option<bool>,
}

/// `containers/<id>/outcome.json`: how the last run went. Written when a run starts (`run` leaves that
/// out, because the record says so) and when it has ended.
#[derive(Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// Nanoseconds since 1970; zero: it could not start.
    pub started: i64,
    /// Zero: it hasn't ended, or its monitor was killed before it could record the end.
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

/// The exit status of a container whose monitor was killed first.
const LOST: u8 = 255;

/// The error of a container whose run ended without a record, and whose run directory is gone.
const UNSEEN_END: &str = "its exit was not recorded: the host was reset, or the container's monitor \
                          was killed and its run directory removed";

/// Removes what layers above this one made on the host for the container with this id: its networks.
/// Returns the networks that it left.
pub type TakeDown = fn(&Roots, &str) -> Result<Networks>;

/// What a container is doing.
#[derive(Clone)]
pub enum Condition {
    /// It has never run. The outcome says why its start failed.
    Created(Option<Outcome>),
    /// Its program is being started.
    Starting,
    Running(State),
    /// The program ended with this outcome, and the restart policy is about to start it again.
    Restarting(Outcome),
    Exited(Outcome),
    /// A `--rm` container that has ended: its removal was interrupted.
    Leftover,
}

impl State {
    /// The state of its first process.
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
    /// The outcome of a failed start, of a container whose last run was `before`.
    pub fn not_begun(error: &Error, before: Span) -> Outcome {
        let (exit_code, error) = (error.exit_code(), error.to_string());
        let Span { started, finished } = before;
        Outcome { finished, exit_code, error, ..Outcome::begun(started) }
    }

    /// When the run started and finished.
    pub fn span(&self) -> Span {
        Span { started: self.started, finished: self.finished }
    }

    /// A run that started and hasn't ended.
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

/// What the container of `record` is doing now. Cleans up after a dead monitor.
pub fn condition(roots: &Roots, record: &Record, take_down: TakeDown) -> Result<Condition> {
    // A container that starts or ends between two looks can't do so more often than this.
    const MAX_LOOKS: u32 = 16;
    let files = Files::new(roots, &record.id);
    for looks in 0..MAX_LOOKS {
        if let Some(found) = look(roots, &files, record, take_down, looks > 0)? {
            return Ok(found);
        }
    }
    Ok(Condition::Starting)
}

/// Looks once. Returns `None` if the container started or was cleaned up during the look. `again` says
/// that the look before this one found no run directory either.
fn look(
    roots: &Roots,
    files: &Files,
    record: &Record,
    take_down: TakeDown,
    again: bool,
) -> Result<Option<Condition>> {
    let watched = Lock::find_holder(&files.monitor_lock())?;
    if watched.is_none() {
        let outcome = store::read_json(&files.outcome())?;
        if let Some(started) = open_since(record.origin(), outcome.as_ref()) {
            if !again {
                return Ok(None);
            }
            match unlisted(files, record, started)? {
                Unlisted::Running(state) => return Ok(Some(Condition::Running(state))),
                Unlisted::Passing if files.config().exists() => {
                    return Ok(Some(Condition::Starting));
                }
                Unlisted::Orphaned => {
                    reclaim(roots, record, take_down)?;
                    return Ok(None);
                }
                Unlisted::Passing | Unlisted::Nothing => {}
            }
        }
        if !files.run.exists() {
            return at_rest(record.origin(), outcome).map(Some);
        }
    }
    if watched != Some(true) {
        reclaim(roots, record, take_down)?;
        return match store::read_json(&files.parked_outcome())? {
            None => Ok(None),
            parked => at_rest(record.origin(), parked).map(Some),
        };
    }
    match state_of_watched(files, record)? {
        Some(State { pid: 0, last: Some(last), .. }) => {
            return Ok(Some(Condition::Restarting(last)));
        }
        Some(state) if state.pid != 0 => return Ok(Some(Condition::Running(state))),
        _ => {}
    }
    if let Some(parked) = store::read_json(&files.parked_outcome())? {
        return at_rest(record.origin(), Some(parked)).map(Some);
    }
    let outcome = store::read_json(&files.outcome())?;
    if open_since(record.origin(), outcome.as_ref()).is_some() {
        return Ok(Some(Condition::Starting));
    }
    at_rest(record.origin(), outcome).map(Some)
}

/// When the last run started, if its end is not recorded. `run` and `start` make the run directory
/// before they record that a run has started, and the monitor records the end before it removes the
/// directory.
fn open_since(origin: Origin, outcome: Option<&Outcome>) -> Option<i64> {
    match outcome {
        Some(outcome) => Some(outcome.started).filter(|&it| it != 0 && outcome.finished == 0),
        None => origin.run.then_some(origin.created),
    }
}

/// The start of a monitor's title, which it takes once its start is answered. The container's name
/// and its short id in parentheses follow.
pub const MONITOR_TITLE: &str = "mydocker: monitor of ";

/// What the container's monitor wrote to state.json, for a caller that found the lock held. `None`
/// before the program has started. If a cleaner of temporary files removed only state.json, the program
/// is found in /proc.
pub fn state_of_watched(files: &Files, record: &Record) -> Result<Option<State>> {
    if let Some(state) = store::read_json(&files.state())? {
        return Ok(Some(state));
    }
    let outcome: Option<Outcome> = store::read_json(&files.outcome())?;
    let Some(started) = open_since(record.origin(), outcome.as_ref()) else { return Ok(None) };
    let Unlisted::Running(state) = unlisted(files, record, started)? else { return Ok(None) };
    let Some(monitor) = Pid::from_raw(state.pid).and_then(sys::process::parent) else {
        return Ok(None);
    };
    let path = format!("/proc/{}/cmdline", monitor.as_raw_nonzero());
    let title = sys::procfs::read_start(path, MONITOR_TITLE.len()).unwrap_or_default();
    // A monitor without its title yet is still starting the program.
    Ok((title == MONITOR_TITLE.as_bytes()).then_some(state))
}

/// What is left of a run whose end is not recorded and whose lock file is missing: a cleaner of
/// temporary files removed it, or the host was reset.
pub enum Unlisted {
    /// Its program and its monitor live. Without the run directory no client can attach, and the restart
    /// policy ends with this run.
    Running(State),
    /// Its monitor lives without a program: it starts one, or cleans up after it.
    Passing,
    /// Its monitor was killed, and something of the container is left on the host.
    Orphaned,
    /// Nothing of it is left.
    Nothing,
}

impl Unlisted {
    fn has_monitor(&self) -> bool {
        matches!(self, Unlisted::Running(_) | Unlisted::Passing)
    }
}

fn unlisted(files: &Files, record: &Record, started: i64) -> Result<Unlisted> {
    let paths = cgroup::possible_paths(&record.cgroup_parent, &record.id)?;
    let no_cgroups = paths.is_empty();
    let cgroups: Vec<String> = paths.into_iter().filter(|path| Path::new(path).exists()).collect();
    // After a reset of the host nothing is left, so the processes need not be searched. Otherwise
    // the monitor may be waiting to start the program again, and has no cgroup then.
    let nothing_there = cgroups.is_empty() && !no_cgroups && !files.run.exists();
    if nothing_there && started < Instant::of_boot().0 {
        return Ok(Unlisted::Nothing);
    }
    let members: Vec<Pid> =
        cgroup::members(&cgroups).into_iter().filter_map(Pid::from_raw).collect();
    // A process inside the container may have a path open that looks like the lock file.
    let parents = members.iter().filter_map(|&pid| sys::process::parent(pid));
    let mut parents: Vec<Pid> = parents.filter(|pid| !members.contains(pid)).collect();
    parents.dedup();
    let monitor = parents.into_iter().find(|&pid| holds_lock(pid, &record.id));
    let Some(monitor) = monitor.or_else(|| find_monitor(&record.id)) else {
        return Ok(if cgroups.is_empty() { Unlisted::Nothing } else { Unlisted::Orphaned });
    };
    let candidates = if no_cgroups { sys::process::all() } else { members };
    let children = candidates.into_iter().filter(|&pid| sys::process::parent(pid) == Some(monitor));
    // A health check's process starts after the program.
    let times = children.filter_map(|pid| Some((sys::process::start_time(pid).ok()??, pid)));
    let Some((start_time, pid)) = times.min_by_key(|&(time, _)| time) else {
        return Ok(Unlisted::Passing);
    };
    let frozen = cgroup::freezer::is_frozen(&cgroups, &record.cgroup_parent, &record.id)?;
    Ok(Unlisted::Running(State {
        pid: pid.as_raw_nonzero().get(),
        start_time,
        boot_id: sys::process::boot_id(),
        started,
        cgroups,
        restarts: 0,
        last: None,
        frozen: Some(frozen),
    }))
}

/// Whether process `pid` holds the lock of container `id`, whose file may have been removed.
fn holds_lock(pid: Pid, id: &ContainerId) -> bool {
    sys::process::holds_file(pid, &format!("/{id}/{}", Roots::MONITOR_LOCK))
}

/// The monitor of container `id`, found by the lock that it holds. It leads a session.
fn find_monitor(id: &ContainerId) -> Option<Pid> {
    sys::process::session_leaders().into_iter().find(|&pid| holds_lock(pid, id))
}

/// The condition of a container that had no run directory before its outcome was read. `None` if the end
/// of a run is not recorded: it has started since, or its run directory was removed.
pub fn settled(origin: Origin, outcome: Option<Outcome>) -> Result<Option<Condition>> {
    match open_since(origin, outcome.as_ref()) {
        Some(_) => Ok(None),
        None => at_rest(origin, outcome).map(Some),
    }
}

/// The condition of a container without a program, from the outcome of its last run.
pub fn at_rest(origin: Origin, outcome: Option<Outcome>) -> Result<Condition> {
    let has_run = outcome.as_ref().map_or(origin.run, |outcome| outcome.started != 0);
    if !has_run {
        return Ok(Condition::Created(outcome.filter(|outcome| !outcome.error.is_empty())));
    }
    let kept = outcome.as_ref().is_some_and(|outcome| outcome.kept == Some(true));
    if origin.remove && !kept {
        return Ok(Condition::Leftover);
    }
    let mut outcome = outcome.unwrap_or_else(|| Outcome::begun(origin.created));
    if outcome.finished == 0 {
        outcome.exit_code = LOST;
        outcome.finished = outcome.started;
        outcome.error = UNSEEN_END.to_owned();
    }
    Ok(Condition::Exited(outcome))
}

/// What a container is doing if it runs.
pub fn running(roots: &Roots, record: &Record) -> Result<Option<State>> {
    let files = Files::new(roots, &record.id);
    match Lock::find_holder(&files.monitor_lock())? {
        Some(true) => Ok(state_of_watched(&files, record)?.filter(|state| state.pid != 0)),
        Some(false) => Ok(None),
        None => match left_behind(roots, record)? {
            Unlisted::Running(state) => Ok(Some(state)),
            _ => Ok(None),
        },
    }
}

/// Whether a monitor holds the lock file. Without the file this is false even if the monitor lives:
/// use [`lives`] before anything of a container is removed.
pub fn is_watched(files: &Files) -> Result<bool> {
    Lock::is_held(&files.monitor_lock())
}

/// Whether the container of `record` has a monitor, so that its files, addresses and processes are in
/// use.
pub fn lives(roots: &Roots, record: &Record) -> Result<bool> {
    let files = Files::new(roots, &record.id);
    match Lock::find_holder(&files.monitor_lock())? {
        Some(held) => Ok(held),
        None => Ok(left_behind(roots, record)?.has_monitor()),
    }
}

/// What is left of the last run of a container without a lock file, whose `outcome` was just read.
pub fn find_unlisted(
    roots: &Roots,
    record: &Record,
    outcome: Option<&Outcome>,
) -> Result<Unlisted> {
    match open_since(record.origin(), outcome) {
        Some(started) => unlisted(&Files::new(roots, &record.id), record, started),
        None => Ok(Unlisted::Nothing),
    }
}

/// As `find_unlisted`, for a caller that has not read the outcome.
fn left_behind(roots: &Roots, record: &Record) -> Result<Unlisted> {
    let outcome = store::read_json(&Files::new(roots, &record.id).outcome())?;
    find_unlisted(roots, record, outcome.as_ref())
}

/// Whether the container has no monitor and no lock file, and its run has left something behind.
pub fn is_orphaned(roots: &Roots, record: &Record) -> Result<bool> {
    let files = Files::new(roots, &record.id);
    if files.monitor_lock().exists() {
        return Ok(false);
    }
    Ok(matches!(left_behind(roots, record)?, Unlisted::Orphaned))
}

/// As [`lives`], for a container whose record may be missing or damaged.
pub fn lives_by_id(roots: &Roots, id: &ContainerId) -> Result<bool> {
    if let Some(held) = Lock::find_holder(&Files::new(roots, id).monitor_lock())? {
        return Ok(held);
    }
    match Record::read(roots, id) {
        Ok(record) => Ok(left_behind(roots, &record)?.has_monitor()),
        Err(_) => Ok(find_monitor(id).is_some()),
    }
}

/// Waits until the monitor is gone, as long as the container runs.
pub fn await_monitor(roots: &Roots, record: &Record) -> Result<()> {
    let files = Files::new(roots, &record.id);
    Lock::wait_existing(&files.monitor_lock(), LockMode::Shared).map(drop)?;
    unlisted_monitor_goes_by(roots, record, None).map(drop)
}

/// Waits until the monitor is gone, at most until `deadline`. Returns whether it is gone.
pub fn monitor_goes_by(
    roots: &Roots,
    record: &Record,
    deadline: std::time::Instant,
) -> Result<bool> {
    let files = Files::new(roots, &record.id);
    let started = std::time::Instant::now();
    while is_watched(&files)? {
        if std::time::Instant::now() >= deadline {
            return Ok(false);
        }
        // Each pause is an eighth of the time waited so far, so the delay is not felt.
        let pause = started.elapsed() / 8;
        std::thread::sleep(pause.clamp(Duration::from_micros(200), Duration::from_millis(20)));
    }
    unlisted_monitor_goes_by(roots, record, Some(deadline))
}

/// As `monitor_goes_by`, if the lock file was removed: waits for the process.
fn unlisted_monitor_goes_by(
    roots: &Roots,
    record: &Record,
    deadline: Option<std::time::Instant>,
) -> Result<bool> {
    let monitor = unlisted_monitor(roots, record)?;
    monitor.map_or(Ok(true), |monitor| monitor_ends_by(record, monitor.as_fd(), deadline))
}

/// Waits until the process of the container's monitor has ended. Returns whether it has.
pub fn monitor_ends_by(
    record: &Record,
    monitor: BorrowedFd<'_>,
    deadline: Option<std::time::Instant>,
) -> Result<bool> {
    sys::process::ends_by(monitor, deadline)
        .context(|| format!("wait for the monitor of container {}", record.name))
}

/// The process of a living monitor whose lock file was removed and that has not recorded the end of its
/// run.
pub fn unlisted_monitor(roots: &Roots, record: &Record) -> Result<Option<OwnedFd>> {
    let files = Files::new(roots, &record.id);
    if files.monitor_lock().exists() || !files.config().exists() {
        return Ok(None);
    }
    let outcome = store::read_json(&files.outcome())?;
    if open_since(record.origin(), outcome.as_ref()).is_none() {
        return Ok(None);
    }
    let Some(monitor) = find_monitor(&record.id) else { return Ok(None) };
    let pidfd = pidfd_open(monitor, PidfdFlags::empty()).ok();
    // Checked with the descriptor held: the PID may belong to another process by then.
    Ok(pidfd.filter(|_| holds_lock(monitor, &record.id)))
}

/// Cleans up after a killed monitor: processes, cgroups, network, run directory. Records how the run
/// ended. Waits for another command that does the same.
pub fn reclaim(roots: &Roots, record: &Record, take_down: TakeDown) -> Result<()> {
    let files = Files::new(roots, &record.id);
    match files.lock_changes()? {
        Some(_change) if !lives(roots, record)? => reclaim_locked(roots, record, take_down),
        _ => Ok(()),
    }
}

/// As `reclaim`, for a caller that holds the lock of changes and has seen that no monitor lives.
pub fn reclaim_locked(roots: &Roots, record: &Record, take_down: TakeDown) -> Result<()> {
    let files = Files::new(roots, &record.id);
    let orphaned = is_orphaned(roots, record)?;
    if !files.run.exists() && !orphaned {
        return Ok(());
    }
    if let Some(parked) = store::read_json(&files.parked_outcome())? {
        return settle(roots, record, &parked);
    }
    // A state that can't be read counts as missing.
    let state: Option<State> = store::read_json(&files.state()).unwrap_or_default();
    let networks = kill_leftovers(&record.id, &record.cgroup_parent, state.as_ref())
        .and_then(|()| take_down(roots, &record.id))
        .context(|| format!("take back container {}", record.name))?;
    let (started, restarts, last) = match state {
        Some(state) => (state.started, state.restarts, state.last),
        None if orphaned => {
            let outcome = store::read_json(&files.outcome())?;
            (open_since(record.origin(), outcome.as_ref()).unwrap_or(record.created), 0, None)
        }
        None => return store::remove_tree(&files.run),
    };
    let outcome = last.unwrap_or_else(|| Outcome {
        started,
        finished: Instant::now().0,
        exit_code: 128 + sys::signal::Signal::KILL.number() as u8,
        oom_killed: false,
        stopped: stop_mark(&files) == Some(StopMark::User),
        restarts,
        error: "its monitor was killed".to_owned(),
        kept: (stop_mark(&files) == Some(StopMark::Restart)).then_some(true),
    });
    settle(roots, record, &outcome)?;
    let code = outcome.exit_code.to_string();
    let mut ended = vec![events::of(record, "die", &[("exitCode", &code)])];
    ended.extend(events::of_networks(&record.id, "disconnect", &networks));
    ended.extend(events::of_unmounts(record));
    journal::append(roots, &ended);
    Ok(())
}

/// Records how a run ended and removes the run directory. On a full disk the outcome stays in the
/// run directory, and the next command that looks at the container tries again.
pub fn settle(roots: &Roots, record: &Record, outcome: &Outcome) -> Result<()> {
    let files = Files::new(roots, &record.id);
    let_overlay_be_mounted(&files, outcome)?;
    if outcome.write(roots, record).is_ok() {
        return store::remove_tree(&files.run);
    }
    store::replace_json(&files.parked_outcome(), outcome, Durability::Lazy)?;
    store::remove_file(&files.state())
}

/// As `settle`, for a monitor whose run directory was removed while it lived. What it has written there
/// since then is removed first: as soon as the end is recorded, another `start` may make the directory
/// again, and it belongs to that start's monitor.
pub fn settle_wiped(roots: &Roots, record: &Record, outcome: &Outcome) -> Result<()> {
    let files = Files::new(roots, &record.id);
    let_overlay_be_mounted(&files, outcome)?;
    if !files.monitor_lock().exists() {
        store::remove_tree(&files.run)?;
    }
    outcome.write(roots, record)
}

/// The overlay of a container made with `--rm` is volatile, and the kernel refuses to mount it again
/// because a crash may have torn it (overlayfs.rst, "Volatile mount"). If the container stays for its next
/// start, allows that: the host has not crashed since, because the end was seen.
fn let_overlay_be_mounted(files: &Files, outcome: &Outcome) -> Result<()> {
    if outcome.kept == Some(true) {
        store::remove_tree(&files.work().join("work/incompat"))?;
    }
    Ok(())
}

/// Whether `pause` holds the container. The mark names the process that it was made for: a program
/// that the restart policy has started since is not paused. The freezer is asked only if the mark
/// was removed with the run directory: it also holds a container for `commit`, and `ps` would have to
/// look for the freezer of each container.
pub fn is_paused(files: &Files, state: &State) -> bool {
    if let Some(frozen) = state.frozen {
        return frozen;
    }
    std::fs::read(files.paused()).is_ok_and(|mark| mark == pause_mark(state).as_bytes())
}

/// Notes that the container is about to be frozen, or was thawed.
pub fn set_paused(files: &Files, state: &State, paused: bool) -> Result<()> {
    if paused {
        store::replace_in_new_dir(&files.paused(), pause_mark(state).as_bytes())
    } else {
        store::remove_file(&files.paused())
    }
}

fn pause_mark(state: &State) -> String {
    format!("{} {}", state.pid, state.start_time)
}

/// Which command asked for the container's end, so that the monitor doesn't start it again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopMark {
    /// `stop`, `kill`
    User,
    /// `halt`: the next `boot` starts it again.
    Halt,
    /// `restart`, which starts the container again itself, so one with `--rm` must stay.
    Restart,
}

impl StopMark {
    fn text(self) -> &'static [u8] {
        match self {
            StopMark::User => b"user",
            StopMark::Halt => b"halt",
            StopMark::Restart => b"restart",
        }
    }
}

/// Asks a running container's monitor not to start it again. This holds as long as the run directory
/// exists.
pub fn set_stop_mark(files: &Files, mark: StopMark) -> Result<()> {
    store::replace(&files.stop_mark(), mark.text(), Durability::Lazy)
}

/// As [`set_stop_mark`], for a container that lives and whose run directory was removed.
pub fn set_stop_mark_unlisted(files: &Files, mark: StopMark) -> Result<()> {
    store::replace_in_new_dir(&files.stop_mark(), mark.text())
}

/// Reads the stop mark; `None` if there is none.
pub fn stop_mark(files: &Files) -> Option<StopMark> {
    match std::fs::read(files.stop_mark()).ok()?.as_slice() {
        b"user" => Some(StopMark::User),
        b"restart" => Some(StopMark::Restart),
        _ => Some(StopMark::Halt),
    }
}

/// Kills the first process if it is still the recorded one, then removes the cgroups with all
/// processes in them.
pub fn kill_leftovers(id: &ContainerId, cgroup_parent: &str, state: Option<&State>) -> Result<()> {
    if let Some(state) = state
        && state.boot_id == sys::process::boot_id()
        && let Found::Living(pidfd) = state.find()?
    {
        // An error means that it has ended by now.
        let _ = sys::process::send_signal(pidfd.as_fd(), sys::signal::Signal::KILL);
    }
    // In v1's freezer a process ends only after it is thawed.
    cgroup::freezer::thaw(&[], cgroup_parent, id)?;
    let mut paths = cgroup::possible_paths(cgroup_parent, id)?;
    paths.extend(state.into_iter().flat_map(|state| state.cgroups.clone()));
    cgroup::remove(&paths)
}

/// Writes the first `state.json`: from here on the run directory names the processes and
/// cgroups to clean up.
pub fn write(roots: &Roots, id: &ContainerId, state: &State) -> Result<()> {
    store::replace_json(&Files::new(roots, id).state(), state, Durability::Lazy)
}

/// Removes the whole container. The caller holds its lock of changes or is its monitor.
pub fn erase(roots: &Roots, id: &ContainerId, name: &str, durability: Durability) -> Result<()> {
    hide(roots, id, name, durability)?.remove()
}

/// Starts the removal: removes the run directory, renames the container's directory out of sight, and
/// releases the name. Killed after the first step, the container is still listed and can be removed
/// again. Killed after the second, its name is free, and `system check` finds the rest.
pub fn hide(
    roots: &Roots,
    id: &ContainerId,
    name: &str,
    durability: Durability,
) -> Result<HiddenTree> {
    let files = Files::new(roots, id);
    // It may have been renamed since the caller last looked.
    let name = match names::look_up(roots, name) {
        Ok(Some(owner)) if owner == *id => name.to_owned(),
        _ => Record::read(roots, id).map_or_else(|_| name.to_owned(), |record| record.name),
    };
    store::remove_tree(&files.run)?;
    let tree = store::hide(&files.dir, durability)?;
    names::release(roots, &name, id)?;
    Ok(tree)
}
