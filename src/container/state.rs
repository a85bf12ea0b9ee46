//! Determines the present state of a container. No single file decides this state.
//!
//! A container runs while its monitor holds the lock in the run directory. The kernel releases the
//! lock however the monitor ends, also if the monitor is killed. [`condition`] cleans up after a
//! killed monitor (`reclaim`). If a cleaner of temporary files has removed the lock file, the
//! monitor is found in /proc (`unlisted`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use miniserde::{Deserialize, Serialize};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::events::{self, Networks};
use super::files::{Files, PAUSED, STATE};
use super::names;
use super::quota;
use super::record::{Origin, Record};
use crate::container_id::ContainerId;
use crate::error::{Context, Error, Result};
use crate::runtime::cgroup;
use crate::store::{self, Directory, Durability, HiddenTree, Lock, LockMode, Roots, journal};
use crate::sys;
use crate::sys::process::Found;
use crate::time::Instant;

/// How long commands wait for a monitor to clean up after the container's last process.
pub const MAX_CLEANUP: Duration = Duration::from_secs(30);

/// The default time between the stop signal and SIGKILL in seconds, as in Docker.
pub const STOP_TIMEOUT: i64 = 10;

/// The content of `<run>/<id>/state.json`. The monitor writes the file when a program has started,
/// and when a program has ended and will be restarted.
#[derive(Clone, Serialize, Deserialize)]
pub struct State {
    /// The PID of the first process; 0 while no program runs.
    pub pid: i32,
    /// The start time of that process (`sys::process::start_time`).
    pub start_time: u64,
    pub boot_id: String,
    /// The start of the program in nanoseconds since 1970.
    pub started: i64,
    pub cgroups: Vec<String>,
    /// The number of restarts by the restart policy.
    pub restarts: u32,
    /// The outcome of the last run. Set only between two runs.
    pub last: Option<Outcome>,
    /// Whether the container's processes are frozen. Set only by `unlisted`, and never written to
    /// the file.
    pub frozen: Option<bool>,
}

/// The content of `containers/<id>/outcome.json`: the result of the last run. The file is written
/// when a run has ended, and by `start` also when a run starts. `run` writes no outcome when its
/// run starts, because `Record::run` already says that `run` starts the container.
#[derive(Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// In nanoseconds since 1970; 0 if the container has never run.
    pub started: i64,
    /// In nanoseconds since 1970; 0 if the run has not ended, or if its end was not recorded.
    pub finished: i64,
    pub exit_code: u8,
    pub oom_killed: bool,
    /// Whether the user has stopped the container. `stop` and `kill` record this only if the
    /// monitor may restart the container.
    pub stopped: bool,
    pub restarts: u32,
    /// The reason why the container could not start or was not restarted, or what happened to its
    /// monitor.
    pub error: String,
    /// Whether `restart` has ended this run, so that a container with `--rm` is not removed.
    pub kept: Option<bool>,
}

/// The start and end of a run in nanoseconds since 1970, or zeroes if the container has never run.
#[derive(Clone, Copy, Default)]
pub struct Span {
    pub started: i64,
    pub finished: i64,
}

/// The exit status of a container whose end was not recorded.
const LOST: u8 = 255;

/// The error of a container whose end was not recorded and whose run directory is gone.
const UNSEEN_END: &str = "its exit was not recorded: the host was reset, or the container's monitor \
                          was killed and its run directory removed";

/// A function that removes what the engine has set up on the host for the container with this ID,
/// such as its connections to networks. Returns the networks that the container has left.
pub type TakeDown = fn(&Roots, &ContainerId) -> Result<Networks>;

/// The present state of a container.
#[derive(Clone)]
pub enum Condition {
    /// The container has never run. The outcome has the error of a failed start.
    Created(Option<Outcome>),
    /// The program is being started, or the container is in another short transition.
    Starting,
    Running(State),
    /// The program has ended with this outcome, and the restart policy will restart it.
    Restarting(Outcome),
    Exited(Outcome),
    /// A container with `--rm` that has ended and whose removal was interrupted.
    Leftover,
}

impl State {
    /// Finds the state of the first process. Fails if the state could not be determined.
    pub fn find(&self) -> Result<Found> {
        let found = sys::process::find(self.pid, self.start_time);
        found.context(|| format!("look for process {}", self.pid))
    }

    /// Whether the first process has ended.
    pub fn has_ended(&self) -> bool {
        self.find().is_ok_and(|found| found.living().is_none())
    }
}

impl Outcome {
    /// The outcome of a failed start. `before` is the container's last run.
    pub fn not_started(error: &Error, before: Span) -> Outcome {
        let (exit_code, error) = (error.exit_code(), error.to_string());
        let Span { started, finished } = before;
        Outcome { finished, exit_code, error, ..Outcome::started(started) }
    }

    /// The start and end of the run.
    pub fn span(&self) -> Span {
        Span { started: self.started, finished: self.finished }
    }

    /// The outcome of a run that has started and not ended. `started` is in nanoseconds since 1970.
    pub fn started(started: i64) -> Outcome {
        let (exit_code, oom_killed, stopped) = (0, false, false);
        let (restarts, error, kept) = (0, String::new(), None);
        Outcome { started, finished: 0, exit_code, oom_killed, stopped, restarts, error, kept }
    }

    /// Writes outcome.json with the durability of the record.
    pub fn write(&self, roots: &Roots, record: &Record) -> Result<()> {
        let files = Files::new(roots, &record.id);
        store::replace_json(&files.outcome(), self, record.durability())
    }
}

/// Returns the present state of the container of `record`. Cleans up after a killed monitor. Fails
/// if a file cannot be read or the cleanup fails.
pub fn condition(roots: &Roots, record: &Record, take_down: TakeDown) -> Result<Condition> {
    // The number of reads before `condition` gives up. The container may start or end during each
    // read.
    const MAX_READS: u32 = 16;
    let files = Files::new(roots, &record.id);
    for reads in 0..MAX_READS {
        if let Some(found) = read_once(roots, &files, record, take_down, reads > 0)? {
            return Ok(found);
        }
    }
    Ok(Condition::Starting)
}

/// A container whose program runs, as a list shows it.
#[derive(Clone, Copy)]
pub struct Present {
    pub pid: i32,
    /// The start of the program in nanoseconds since 1970.
    pub started: i64,
    pub paused: bool,
}

/// The part of state.json that [`present`] needs.
#[derive(Deserialize)]
struct Brief {
    pid: i32,
    start_time: u64,
    started: i64,
}

/// The container `id` below the run root `run`, if its monitor lives and has a program. If the
/// result is `None`, [`condition`] finds the state. `ps` calls this function, because the function
/// reads no record and, if no container was paused, only one file of the run directory.
/// `may_be_paused` says whether the run root has the file `files::PAUSES`.
pub fn present(run: &Directory, id: &ContainerId, may_be_paused: bool) -> Result<Option<Present>> {
    // The lock on state.json shows that the monitor lives, so the monitor's lock file need not be
    // opened.
    let brief: Option<Brief> = run.read_locked_json(&format!("{id}/{STATE}"))?;
    let Some(Brief { pid, start_time, started }) = brief.filter(|brief| brief.pid != 0) else {
        return Ok(None);
    };
    let mark = if may_be_paused { run.read(&format!("{id}/{PAUSED}"))? } else { None };
    let paused = mark.is_some_and(|mark| mark == pause_mark(pid, start_time).as_bytes());
    Ok(Some(Present { pid, started, paused }))
}

/// Reads the state once. If this returns `None`, the caller should read again, because the state
/// may have changed during the read, or because this call has cleaned up after a killed monitor.
/// `again` says that this is not the first read.
fn read_once(
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
                Unlisted::InTransition if files.config().exists() => {
                    return Ok(Some(Condition::Starting));
                }
                Unlisted::Orphaned => {
                    reclaim(roots, record, take_down)?;
                    return Ok(None);
                }
                Unlisted::InTransition | Unlisted::Nothing => {}
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

/// The start of the last run, if its end is not recorded. `run` and `start` create the run
/// directory before they record the start. Without `--rm`, the monitor usually records the end
/// before it removes the directory. So if such a run has no run directory, usually the host was
/// reset, or a cleaner of temporary files has removed the directory.
fn open_since(origin: Origin, outcome: Option<&Outcome>) -> Option<i64> {
    match outcome {
        Some(outcome) => Some(outcome.started).filter(|&it| it != 0 && outcome.finished == 0),
        None => origin.run.then_some(origin.created),
    }
}

/// The start of a monitor's command line. The container's name and, in parentheses, its short ID
/// follow. The monitor sets this title after its answer to the client that started the container.
pub const MONITOR_TITLE: &str = "mydocker: monitor of ";

/// The content of state.json, for a caller that has found the monitor's lock held. `None` before
/// the program has started. If a cleaner of temporary files has removed state.json, the program is
/// found in /proc.
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
    // A monitor that has no title yet is still starting the program.
    Ok((title == MONITOR_TITLE.as_bytes()).then_some(state))
}

/// The remains of a run whose end is not recorded, and whose lock file or state.json is missing.
/// Usually a cleaner of temporary files has removed the file, or the host was reset.
pub enum Unlisted {
    /// The program and the monitor run. Without the run directory no client can attach, and the
    /// program is not restarted.
    Running(State),
    /// The monitor runs, but no program: the monitor is starting a program, is cleaning up or waits
    /// for a restart.
    InTransition,
    /// The monitor was killed, and cgroups of the container still exist.
    Orphaned,
    /// The monitor and the container's cgroups do not exist.
    Nothing,
}

impl Unlisted {
    fn has_monitor(&self) -> bool {
        matches!(self, Unlisted::Running(_) | Unlisted::InTransition)
    }
}

fn unlisted(files: &Files, record: &Record, started: i64) -> Result<Unlisted> {
    let paths = cgroup::possible_paths(&record.cgroup_parent, &record.id)?;
    let no_cgroups = paths.is_empty();
    let cgroups: Vec<String> = paths.into_iter().filter(|path| Path::new(path).exists()).collect();
    // A run that is older than the host's boot and has no cgroup cannot have a process. Otherwise
    // search for the monitor, even without a cgroup: while a monitor waits for a restart, the
    // container has no cgroup.
    let nothing_there = cgroups.is_empty() && !no_cgroups && !files.run.exists();
    if nothing_there && started < Instant::of_boot().0 {
        return Ok(Unlisted::Nothing);
    }
    let members: Vec<Pid> =
        cgroup::members(&cgroups).into_iter().filter_map(Pid::from_raw).collect();
    // First look at the parents of the container's processes, and only at parents outside the
    // container: a process inside may have a file open whose path looks like the lock file.
    let parents = members.iter().filter_map(|&pid| sys::process::parent(pid));
    let mut parents: Vec<Pid> = parents.filter(|pid| !members.contains(pid)).collect();
    parents.dedup();
    let monitor = parents.into_iter().find(|&pid| holds_lock(pid, &record.id));
    let Some(monitor) = monitor.or_else(|| find_monitor(&record.id)) else {
        return Ok(if cgroups.is_empty() { Unlisted::Nothing } else { Unlisted::Orphaned });
    };
    let candidates = if no_cgroups { sys::process::all() } else { members };
    let children = candidates.into_iter().filter(|&pid| sys::process::parent(pid) == Some(monitor));
    // The program is the oldest child: the processes of a health check are younger.
    let times = children.filter_map(|pid| Some((sys::process::start_time(pid).ok()??, pid)));
    let Some((start_time, pid)) = times.min_by_key(|&(time, _)| time) else {
        return Ok(Unlisted::InTransition);
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

/// Whether the process `pid` has the lock file of the container `id` open. The file may be removed.
fn holds_lock(pid: Pid, id: &ContainerId) -> bool {
    sys::process::holds_file(pid, &format!("/{id}/{}", Roots::MONITOR_LOCK))
}

/// The monitor of the container `id`, found by its lock file among the session leaders.
fn find_monitor(id: &ContainerId) -> Option<Pid> {
    sys::process::session_leaders().into_iter().find(|&pid| holds_lock(pid, id))
}

/// The state of a container whose run directory was missing before its outcome was read. `None` if
/// the end of the last run is not recorded: the container has started since, or its run directory
/// was removed.
pub fn settled(origin: Origin, outcome: Option<Outcome>) -> Result<Option<Condition>> {
    match open_since(origin, outcome.as_ref()) {
        Some(_) => Ok(None),
        None => at_rest(origin, outcome).map(Some),
    }
}

/// The state of a container without a program, from the outcome of its last run.
pub fn at_rest(origin: Origin, outcome: Option<Outcome>) -> Result<Condition> {
    let has_run = outcome.as_ref().map_or(origin.run, |outcome| outcome.started != 0);
    if !has_run {
        return Ok(Condition::Created(outcome.filter(|outcome| !outcome.error.is_empty())));
    }
    let kept = outcome.as_ref().is_some_and(|outcome| outcome.kept == Some(true));
    if origin.remove && !kept {
        return Ok(Condition::Leftover);
    }
    let mut outcome = outcome.unwrap_or_else(|| Outcome::started(origin.created));
    if outcome.finished == 0 {
        outcome.exit_code = LOST;
        outcome.finished = outcome.started;
        outcome.error = UNSEEN_END.to_owned();
    }
    Ok(Condition::Exited(outcome))
}

/// The state of a running container; `None` if it does not run.
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

/// Whether a monitor, or a command that creates or starts the container, holds the lock file. False
/// if the lock file is missing, even if the monitor runs: use [`lives`] before removing anything of
/// a container.
pub fn is_watched(files: &Files) -> Result<bool> {
    Lock::is_held(&files.monitor_lock())
}

/// Whether the container has a monitor, or a command creates or starts it. Its files, addresses and
/// processes are then in use.
pub fn lives(roots: &Roots, record: &Record) -> Result<bool> {
    let files = Files::new(roots, &record.id);
    match Lock::find_holder(&files.monitor_lock())? {
        Some(held) => Ok(held),
        None => Ok(left_behind(roots, record)?.has_monitor()),
    }
}

/// The remains of the last run of a container without a lock file. `outcome` was just read.
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

/// As [`find_unlisted`], but reads the outcome itself.
fn left_behind(roots: &Roots, record: &Record) -> Result<Unlisted> {
    let outcome = store::read_json(&Files::new(roots, &record.id).outcome())?;
    find_unlisted(roots, record, outcome.as_ref())
}

/// Whether the container has neither a monitor nor a lock file, and cgroups of its last run still
/// exist.
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

/// Waits without limit until the container's monitor has released its lock. If the lock file was
/// removed, waits until the monitor has ended.
pub fn await_monitor(roots: &Roots, record: &Record) -> Result<()> {
    let files = Files::new(roots, &record.id);
    Lock::wait_existing(&files.monitor_lock(), LockMode::Shared).map(drop)?;
    unlisted_monitor_goes_by(roots, record, None).map(drop)
}

/// As [`await_monitor`], but waits at most until `deadline`. Returns false if the deadline has
/// passed first.
pub fn monitor_goes_by(
    roots: &Roots,
    record: &Record,
    deadline: std::time::Instant,
) -> Result<bool> {
    if !watch_ends_by(&Files::new(roots, &record.id), deadline)? {
        return Ok(false);
    }
    unlisted_monitor_goes_by(roots, record, Some(deadline))
}

/// Waits until nobody holds the monitor's lock, at most until `deadline`. Returns whether nobody
/// holds the lock.
pub fn watch_ends_by(files: &Files, deadline: std::time::Instant) -> Result<bool> {
    let started = std::time::Instant::now();
    while is_watched(files)? {
        if std::time::Instant::now() >= deadline {
            return Ok(false);
        }
        // Each pause is an eighth of the time waited so far, but at least 0.2 ms and at most 20 ms.
        let pause = started.elapsed() / 8;
        std::thread::sleep(pause.clamp(Duration::from_micros(200), Duration::from_millis(20)));
    }
    Ok(true)
}

/// As [`monitor_goes_by`], for a monitor whose lock file was removed: waits for the process.
fn unlisted_monitor_goes_by(
    roots: &Roots,
    record: &Record,
    deadline: Option<std::time::Instant>,
) -> Result<bool> {
    let monitor = unlisted_monitor(roots, record)?;
    monitor.map_or(Ok(true), |monitor| monitor_ends_by(record, monitor.as_fd(), deadline))
}

/// Waits until the monitor's process has ended, at most until `deadline`. Returns whether the
/// process has ended.
pub fn monitor_ends_by(
    record: &Record,
    monitor: BorrowedFd<'_>,
    deadline: Option<std::time::Instant>,
) -> Result<bool> {
    sys::process::ends_by(monitor, deadline)
        .context(|| format!("wait for the monitor of container {}", record.name))
}

/// The pidfd of a running monitor whose lock file was removed and which has not recorded the end of
/// its run.
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
    // Check again now that the pidfd is open: before pidfd_open(2), the PID could have passed to
    // another process.
    Ok(pidfd.filter(|_| holds_lock(monitor, &record.id)))
}

/// Cleans up after a killed monitor: kills processes, removes cgroups, network and run directory,
/// and records the outcome. Waits if another command does the same.
pub fn reclaim(roots: &Roots, record: &Record, take_down: TakeDown) -> Result<()> {
    let files = Files::new(roots, &record.id);
    match files.lock_changes()? {
        Some(_change) if !lives(roots, record)? => reclaim_locked(roots, record, take_down),
        _ => Ok(()),
    }
}

/// As [`reclaim`], for a caller that holds the lock for changes and has found no monitor.
pub fn reclaim_locked(roots: &Roots, record: &Record, take_down: TakeDown) -> Result<()> {
    let files = Files::new(roots, &record.id);
    let orphaned = is_orphaned(roots, record)?;
    if !files.run.exists() && !orphaned {
        return Ok(());
    }
    if let Some(parked) = store::read_json(&files.parked_outcome())? {
        return record_outcome(roots, record, &parked);
    }
    // A state.json that cannot be read counts as missing.
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
    record_outcome(roots, record, &outcome)?;
    let code = outcome.exit_code.to_string();
    let mut ended = vec![events::of(record, "die", &[("exitCode", &code)])];
    ended.extend(events::of_networks(&record.id, "disconnect", &networks));
    ended.extend(events::of_unmounts(record));
    journal::append(roots, &ended);
    Ok(())
}

/// Records the outcome of a run and removes the run directory. If the outcome cannot be written,
/// for example on a full disk, writes the outcome to the run directory. [`reclaim`] then tries
/// again to record the outcome.
pub fn record_outcome(roots: &Roots, record: &Record, outcome: &Outcome) -> Result<()> {
    let files = Files::new(roots, &record.id);
    allow_remount(&files, outcome)?;
    if outcome.write(roots, record).is_ok() {
        return store::remove_tree(&files.run);
    }
    store::replace_json(&files.parked_outcome(), outcome, Durability::Lazy)?;
    store::remove_file(&files.state())
}

/// As [`record_outcome`], for a monitor whose run directory was removed while the monitor ran.
/// Removes the files that the monitor has written there since, before the outcome is recorded:
/// afterwards another `start` may create the directory again for its own monitor.
pub fn record_outcome_of_wiped(roots: &Roots, record: &Record, outcome: &Outcome) -> Result<()> {
    let files = Files::new(roots, &record.id);
    allow_remount(&files, outcome)?;
    if !files.monitor_lock().exists() {
        store::remove_tree(&files.run)?;
    }
    outcome.write(roots, record)
}

/// Allows a volatile overlay to be mounted again if the container with `--rm` stays for its next
/// start. The kernel refuses to mount a volatile overlay twice, because a crash may have damaged it
/// (overlayfs.rst, "Volatile mount"). `kept` comes from the stop mark, which is in the run root.
/// The run root does not survive a crash of the host, so the host has not crashed since the run.
fn allow_remount(files: &Files, outcome: &Outcome) -> Result<()> {
    if outcome.kept == Some(true) {
        store::remove_tree(&files.work().join("work/incompat"))?;
    }
    Ok(())
}

/// Whether `pause` has paused the container. The mark names the paused process, so a program that
/// was restarted since is not paused.
///
/// The mark decides and not the freezer, because `commit` also freezes a container, and because
/// `ps` would need to find the freezer of each container. Only for a state from `unlisted` the
/// freezer decides, because the mark may be removed too.
pub fn is_paused(files: &Files, state: &State) -> bool {
    if let Some(frozen) = state.frozen {
        return frozen;
    }
    std::fs::read(files.paused())
        .is_ok_and(|mark| mark == pause_mark(state.pid, state.start_time).as_bytes())
}

/// Writes or removes the mark of a paused container. The caller writes the mark before it freezes
/// the container, and removes the mark after it has thawed the container.
pub fn set_paused(files: &Files, state: &State, paused: bool) -> Result<()> {
    if paused {
        // Write `PAUSES` again at each pause, so that `PAUSES` is not much older than the mark: a
        // cleaner of temporary files removes old files first.
        store::replace_in_new_dir(&files.pauses(), b"")?;
        let mark = pause_mark(state.pid, state.start_time);
        store::replace_in_new_dir(&files.paused(), mark.as_bytes())
    } else {
        store::remove_file(&files.paused())
    }
}

fn pause_mark(pid: i32, start_time: u64) -> String {
    format!("{pid} {start_time}")
}

/// The command that ends the container, so that the monitor does not restart it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopMark {
    /// `stop`, `kill` or `rm -f`, or a health check with the action `stop`.
    User,
    /// `halt`. The next `boot` starts the container again if its restart policy requires this.
    Halt,
    /// `restart`. The command starts the container again, so a container with `--rm` must not be
    /// removed.
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

/// Prevents a restart of a running container by its monitor. The mark is removed at the latest
/// with the run directory.
pub fn set_stop_mark(files: &Files, mark: StopMark) -> Result<()> {
    store::replace(&files.stop_mark(), mark.text(), Durability::Lazy)
}

/// As [`set_stop_mark`], for a running container whose run directory was removed.
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

/// Kills the first process if it is still the recorded process. Then removes the cgroups and kills
/// all processes in them.
pub fn kill_leftovers(id: &ContainerId, cgroup_parent: &str, state: Option<&State>) -> Result<()> {
    if let Some(state) = state
        && state.boot_id == sys::process::boot_id()
        && let Found::Living(pidfd) = state.find()?
    {
        // An error means that the process has ended.
        let _ = sys::process::send_signal(pidfd.as_fd(), sys::signal::Signal::KILL);
    }
    // In the freezer of cgroup v1 a killed process ends only after it is thawed.
    cgroup::freezer::thaw(&[], cgroup_parent, id)?;
    let mut paths = cgroup::possible_paths(cgroup_parent, id)?;
    paths.extend(state.into_iter().flat_map(|state| state.cgroups.clone()));
    cgroup::remove(&paths)
}

/// Writes state.json. From then on the run directory names the processes and cgroups to clean up.
/// The monitor keeps the returned lock as long as the file is right, so that [`present`] need not
/// open the monitor's lock file.
pub fn write(roots: &Roots, id: &ContainerId, state: &State) -> Result<Lock> {
    store::replace_json_locked(&Files::new(roots, id).state(), state)
}

/// Removes the whole container: calls [`hide`], then removes the hidden tree.
pub fn erase(roots: &Roots, id: &ContainerId, name: &str, durability: Durability) -> Result<()> {
    hide(roots, id, name, durability)?.remove()
}

/// Starts the removal of a container: removes the run directory, clears the quota, hides the
/// container's directory by a rename, and releases the name. The caller removes the returned tree.
///
/// If this process is killed before the rename, the container is still listed and can be removed
/// again. If this process is killed after the rename, `system check` finds the rest.
pub fn hide(
    roots: &Roots,
    id: &ContainerId,
    name: &str,
    durability: Durability,
) -> Result<HiddenTree> {
    let files = Files::new(roots, id);
    // The container may have been renamed since the caller read its name.
    let name = match names::look_up(roots, name) {
        Ok(Some(owner)) if owner == *id => name.to_owned(),
        _ => Record::read(roots, id).map_or_else(|_| name.to_owned(), |record| record.name),
    };
    store::remove_tree(&files.run)?;
    quota::clear(&files)?;
    let tree = store::hide(&files.dir, durability)?;
    names::release(roots, &name, id)?;
    Ok(tree)
}
