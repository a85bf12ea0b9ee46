//! Freezes and thaws all processes of a container: `cgroup.freeze` of cgroup v2, or the freezer
//! hierarchy of v1 (cgroup-v2.rst, cgroup-v1/freezer-subsystem.rst).
//!
//! On v1 a container of the engine has no freezer cgroup at its start, because each cgroup makes
//! every start slower. `freeze` creates the cgroup and moves the processes into it until none is
//! left outside. `thaw` moves the processes out again. If the moves take longer than 250 ms, for
//! example because the processes fork, `freeze` sends the processes SIGSTOP, and SIGCONT once all
//! of them are in the freezer cgroup. The cgroup `stopped` below the freezer cgroup records the
//! SIGSTOP: if `freeze` is killed, `thaw` sends SIGCONT.
//! `freeze` does not use `pids.max` to forbid forks, because most shells would fail.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::layout::Layout;
use super::{make_directory, members};
use crate::error::{Context, Result, fail};
use crate::sys::{self, procfs::read_record, signal::Signal};

/// How long to wait until the kernel reports the new state. A process in an uninterruptible wait
/// freezes only after the wait.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// How long `freeze` may move processes. A container may have thousands.
const MAX_MOVE: Duration = Duration::from_secs(60);
/// How long `thaw` moves processes out of the cgroup. Processes that stay there do no harm: a later
/// `freeze` finds them, and a later `thaw` moves them.
const MAX_LEAVE: Duration = Duration::from_secs(2);
/// How long `freeze` moves running processes before it sends SIGSTOP. Few containers need longer.
const FREE_TIME: Duration = Duration::from_millis(250);
/// The name of the cgroup that exists while processes may be stopped by SIGSTOP.
const STOPPED: &str = "stopped";

/// Freezes the processes in the container's `cgroups`. All of these processes are in the first of
/// `cgroups` or below it. On v1 `freeze` creates the freezer cgroup `parent`/`id`. Fails if the
/// host has no freezer, if a cgroup file cannot be read or written, if the moves take more than
/// 60 s, or if the kernel then needs more than 10 s.
pub fn freeze(cgroups: &[String], parent: &str, id: &str) -> Result<()> {
    if let Some(unified) = unified(cgroups) {
        write(&unified.join("cgroup.freeze"), "1")?;
        return await_line(&unified.join("cgroup.events"), "frozen 1");
    }
    let Some(own) = v1_directory(parent, id)? else {
        fail!("this host has no freezer: neither cgroup v2 nor v1's freezer is mounted")
    };
    make_directory(&own)?;
    write(&own.join("freezer.state"), "FROZEN")?;
    // A process that enters a frozen cgroup freezes, so at some point no running process is left
    // that can fork.
    let started = Instant::now();
    let mut stopped = false;
    loop {
        if !stopped && started.elapsed() > FREE_TIME {
            make_directory(&own.join(STOPPED))?;
            stopped = true;
        }
        if stopped {
            signal_all(&|| Ok(members(cgroups).into_iter().collect()), Signal::STOP)?;
        }
        let inside = pids(&own.join("cgroup.procs"))?;
        let outside = members(cgroups).into_iter().filter(|pid| !inside.contains(pid));
        let outside: Vec<i32> = outside.collect();
        if outside.is_empty() {
            break;
        }
        for pid in outside {
            match fs::write(own.join("cgroup.procs"), pid.to_string()) {
                // ESRCH: the process has ended.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                result => result.context(|| format!("move process {pid} into the freezer"))?,
            }
            if !stopped && started.elapsed() > FREE_TIME {
                break;
            }
        }
        if started.elapsed() > MAX_MOVE {
            fail!("the container creates processes faster than they can be frozen");
        }
    }
    continue_stopped(&own, cgroups)?;
    await_line(&own.join("freezer.state"), "FROZEN")
}

/// If a call of `freeze` has sent SIGSTOP, sends SIGCONT to the processes in the freezer cgroup
/// `own` and in `cgroups`, and removes the cgroup `stopped`.
fn continue_stopped(own: &Path, cgroups: &[String]) -> Result<()> {
    let note = own.join(STOPPED);
    if note.exists() {
        let all = || {
            let mut all = pids(&own.join("cgroup.procs"))?;
            all.extend(members(cgroups));
            Ok(all)
        };
        signal_all(&all, Signal::CONT)?;
        fs::remove_dir(&note).context(|| format!("remove cgroup {}", note.display()))?;
    }
    Ok(())
}

/// Sends a signal to the container's processes, whose PIDs `list` returns. Calls `list` again after
/// the pidfds are open. A pidfd whose PID is still listed belongs to a process of the container, so
/// no other process with a reused PID gets the signal.
fn signal_all(list: &dyn Fn() -> Result<HashSet<i32>>, signal: Signal) -> Result<()> {
    /// The maximum number of pidfds that are open at a time. The usual limit on open descriptors is
    /// 1,024 (RLIMIT_NOFILE).
    const CHUNK: usize = 256;
    let listed: Vec<i32> = list()?.into_iter().collect();
    for chunk in listed.chunks(CHUNK) {
        let opened: Vec<(i32, OwnedFd)> = chunk
            .iter()
            .filter_map(|&pid| {
                // pidfd_open(2) fails if the process has ended. Such a process needs no signal.
                Some((pid, pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?))
            })
            .collect();
        let still = list()?;
        for (_, pidfd) in opened.iter().filter(|(pid, _)| still.contains(pid)) {
            let _ = sys::process::send_signal(pidfd.as_fd(), signal);
        }
    }
    Ok(())
}

/// Thaws the processes that `freeze` froze. On v1 also moves them out of the freezer cgroup and
/// removes the cgroup. A cgroup that still has processes after 2 s stays. It is no error if no
/// process is frozen.
pub fn thaw(cgroups: &[String], parent: &str, id: &str) -> Result<()> {
    if let Some(unified) = unified(cgroups) {
        return write(&unified.join("cgroup.freeze"), "0");
    }
    let Some(own) = v1_directory(parent, id)?.filter(|own| own.exists()) else { return Ok(()) };
    continue_stopped(&own, cgroups)?;
    write(&own.join("freezer.state"), "THAWED")?;
    let root = own.ancestors().find(|above| !above.join("freezer.state").exists());
    let root = root.unwrap_or(&own).join("cgroup.procs");
    let started = Instant::now();
    while started.elapsed() < MAX_LEAVE {
        for pid in pids(&own.join("cgroup.procs"))? {
            if started.elapsed() > MAX_LEAVE {
                break;
            }
            // Ignore an error: the write fails if the process has ended. The next round finds the
            // children that this process left in the cgroup.
            let _ = fs::write(&root, pid.to_string());
        }
        match fs::remove_dir(&own) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).context(|| format!("remove cgroup {}", own.display()));
            }
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// Freezes or thaws a container of the OCI runtime. From its start, such a container has a cgroup
/// in each v1 hierarchy, and in v2 if v2 has a controller. Fails if none of `cgroups` is a v2
/// cgroup or a v1 freezer cgroup, or if the kernel needs more than 10 s.
pub fn set_frozen(cgroups: &[String], frozen: bool) -> Result<()> {
    if let Some(unified) = unified(cgroups) {
        write(&unified.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
        let line = if frozen { "frozen 1" } else { "frozen 0" };
        return await_line(&unified.join("cgroup.events"), line);
    }
    let own = cgroups.iter().map(|path| Path::new(path).join("freezer.state"));
    let Some(state) = own.into_iter().find(|path| path.exists()) else {
        fail!("the container has no freezer cgroup")
    };
    let word = if frozen { "FROZEN" } else { "THAWED" };
    write(&state, word)?;
    await_line(&state, word)
}

/// Whether one of these v2 cgroups or v1 freezer cgroups is frozen.
pub fn is_frozen_in(cgroups: &[String]) -> bool {
    cgroups.iter().map(Path::new).any(|path| {
        has_line(&path.join("cgroup.freeze"), "1")
            || has_line(&path.join("freezer.state"), "FROZEN")
    })
}

/// Whether the processes are frozen. The parameters are those of [`freeze`]. On v1, fails if the
/// cgroup mounts cannot be read.
pub fn is_frozen(cgroups: &[String], parent: &str, id: &str) -> Result<bool> {
    if let Some(unified) = unified(cgroups) {
        return Ok(has_line(&unified.join("cgroup.freeze"), "1"));
    }
    let own = v1_directory(parent, id)?;
    Ok(own.is_some_and(|own| has_line(&own.join("freezer.state"), "FROZEN")))
}

fn has_line(path: &Path, line: &str) -> bool {
    let text = read_record(path);
    text.is_ok_and(|text| text.split(|&byte| byte == b'\n').any(|found| found == line.as_bytes()))
}

fn unified(cgroups: &[String]) -> Option<&Path> {
    cgroups.iter().map(Path::new).find(|path| path.join("cgroup.freeze").exists())
}

fn v1_directory(parent: &str, id: &str) -> Result<Option<PathBuf>> {
    let layout = Layout::detect()?;
    let hierarchy = layout.v1_with("freezer");
    Ok(hierarchy.map(|found| found.mount.join(parent.trim_matches('/')).join(id)))
}

fn pids(path: &Path) -> Result<HashSet<i32>> {
    let text = fs::read_to_string(path).context(|| format!("read {}", path.display()))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

fn write(path: &Path, value: &str) -> Result<()> {
    fs::write(path, value).context(|| format!("write {value} to {}", path.display()))
}

fn await_line(path: &Path, line: &str) -> Result<()> {
    let deadline = Instant::now() + MAX_WAIT;
    let mut pause = Duration::from_micros(100);
    loop {
        let text = fs::read_to_string(path).context(|| format!("read {}", path.display()))?;
        if text.lines().any(|found| found == line) {
            return Ok(());
        }
        if Instant::now() > deadline {
            fail!("the container's processes don't freeze ({}: {})", path.display(), text.trim());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
