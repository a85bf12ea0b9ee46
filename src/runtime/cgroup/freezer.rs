//! Stops all processes of a container and lets them continue: `cgroup.freeze` on v2, the freezer
//! hierarchy on v1 (kernel, admin-guide/cgroup-v2.rst and cgroup-v1/freezer-subsystem.rst).
//!
//! A container enters no v1 freezer cgroup as it starts, since few are ever paused and each
//! directory costs every start: its processes are moved into one, until none is found outside, and
//! moved out again as they thaw. A thaw before anything is frozen, or twice, does nothing.
//!
//! Processes that fork faster than they can be moved are stopped first (SIGSTOP), and continued
//! once they are frozen. An empty cgroup below the freezer's marks that: if this process is killed
//! before it has continued them, the thaw does. Refusing their forks instead (`pids.max`) would end
//! most shells.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::layout::Layout;
use super::make_directory;
use crate::error::{Context, Result, fail};
use crate::sys::{self, signal::Signal};

/// How long a freeze waits. A process in an uninterruptible wait can't be frozen before its wait ends.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// How long moving the processes may take: a busy host may have thousands.
const MAX_MOVE: Duration = Duration::from_secs(60);
/// How long processes are moved out of the thawed cgroup. If some stay in it, that is harmless: a
/// freeze finds them there, and the container's end removes it with the other cgroups.
const MAX_LEAVE: Duration = Duration::from_secs(2);
/// How long processes run on while they are moved: only those of an unusual container are stopped.
const FREE_TIME: Duration = Duration::from_millis(250);
/// The cgroup whose existence says that the processes were stopped.
const STOPPED: &str = "stopped";

/// Freezes the processes in the container's `cgroups`.
pub fn freeze(cgroups: &[String], parent: &str, id: &str) -> Result<()> {
    if let Some(unified) = unified(cgroups) {
        write(&unified.join("cgroup.freeze"), "1")?;
        return await_line(&unified.join("cgroup.events"), "frozen 1");
    }
    let (Some(own), Some(members)) = (v1_directory(parent, id)?, cgroups.first()) else {
        fail!("this host has no freezer: neither cgroup v2 nor v1's freezer is mounted")
    };
    make_directory(&own)?;
    let members = Path::new(members).join("cgroup.procs");
    write(&own.join("freezer.state"), "FROZEN")?;
    // A process that enters a frozen cgroup freezes, so this ends when no process is left to fork.
    let begun = Instant::now();
    let mut stopped = false;
    loop {
        if !stopped && begun.elapsed() > FREE_TIME {
            make_directory(&own.join(STOPPED))?;
            stopped = true;
        }
        if stopped {
            signal_all(&members, Signal::STOP)?;
        }
        let inside = pids(&own.join("cgroup.procs"))?;
        let outside: Vec<String> = pids(&members)?.difference(&inside).cloned().collect();
        if outside.is_empty() {
            break;
        }
        for pid in outside {
            match fs::write(own.join("cgroup.procs"), &pid) {
                // The process has ended.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                result => result.context(|| format!("move process {pid} into the freezer"))?,
            }
            if !stopped && begun.elapsed() > FREE_TIME {
                break;
            }
        }
        if begun.elapsed() > MAX_MOVE {
            fail!("the container creates processes faster than they can be frozen");
        }
    }
    continue_stopped(&own)?;
    await_line(&own.join("freezer.state"), "FROZEN")
}

/// Continues the processes that `freeze` stopped, whichever process called that.
fn continue_stopped(own: &Path) -> Result<()> {
    let note = own.join(STOPPED);
    if note.exists() {
        signal_all(&own.join("cgroup.procs"), Signal::CONT)?;
        fs::remove_dir(&note).context(|| format!("remove cgroup {}", note.display()))?;
    }
    Ok(())
}

/// Sends a signal to the processes that the file `procs` lists, and to no others. If a PID is listed
/// again after its descriptor was opened, the descriptor is of that process and not of a later one.
fn signal_all(procs: &Path, signal: Signal) -> Result<()> {
    /// Descriptors open at a time; the usual limit is 1,024.
    const CHUNK: usize = 256;
    let listed: Vec<String> = pids(procs)?.into_iter().collect();
    for chunk in listed.chunks(CHUNK) {
        let opened: Vec<(&String, OwnedFd)> = chunk
            .iter()
            .filter_map(|pid| {
                let number = Pid::from_raw(pid.parse().ok()?)?;
                // A process that has ended needs no signal.
                Some((pid, pidfd_open(number, PidfdFlags::empty()).ok()?))
            })
            .collect();
        let still = pids(procs)?;
        for (_, pidfd) in opened.iter().filter(|(pid, _)| still.contains(*pid)) {
            let _ = sys::process::send_signal(pidfd.as_fd(), signal);
        }
    }
    Ok(())
}

/// Thaws the processes.
pub fn thaw(cgroups: &[String], parent: &str, id: &str) -> Result<()> {
    if let Some(unified) = unified(cgroups) {
        return write(&unified.join("cgroup.freeze"), "0");
    }
    let Some(own) = v1_directory(parent, id)?.filter(|own| own.exists()) else { return Ok(()) };
    continue_stopped(&own)?;
    write(&own.join("freezer.state"), "THAWED")?;
    let root = own.ancestors().find(|above| !above.join("freezer.state").exists());
    let root = root.unwrap_or(&own).join("cgroup.procs");
    let begun = Instant::now();
    while begun.elapsed() < MAX_LEAVE {
        for pid in pids(&own.join("cgroup.procs"))? {
            if begun.elapsed() > MAX_LEAVE {
                break;
            }
            // A process that can't be moved has ended; its children are found in the next round.
            let _ = fs::write(&root, &pid);
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

/// Freezes or thaws a container that was born into a freezer cgroup of its own or into cgroup v2.
pub fn switch(cgroups: &[String], frozen: bool) -> Result<()> {
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

/// Whether such a container is frozen.
pub fn is_switched(cgroups: &[String]) -> bool {
    cgroups.iter().map(Path::new).any(|path| {
        has_line(&path.join("cgroup.freeze"), "1")
            || has_line(&path.join("freezer.state"), "FROZEN")
    })
}

/// Whether the processes are frozen.
pub fn is_frozen(cgroups: &[String], parent: &str, id: &str) -> Result<bool> {
    if let Some(unified) = unified(cgroups) {
        return Ok(has_line(&unified.join("cgroup.freeze"), "1"));
    }
    let own = v1_directory(parent, id)?;
    Ok(own.is_some_and(|own| has_line(&own.join("freezer.state"), "FROZEN")))
}

fn has_line(path: &Path, line: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.lines().any(|found| found == line))
}

fn unified(cgroups: &[String]) -> Option<&Path> {
    cgroups.iter().map(Path::new).find(|path| path.join("cgroup.freeze").exists())
}

fn v1_directory(parent: &str, id: &str) -> Result<Option<PathBuf>> {
    let layout = Layout::detect()?;
    let hierarchy = layout.v1_with("freezer");
    Ok(hierarchy.map(|found| found.mount.join(parent.trim_matches('/')).join(id)))
}

fn pids(path: &Path) -> Result<HashSet<String>> {
    let text = fs::read_to_string(path).context(|| format!("read {}", path.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
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
