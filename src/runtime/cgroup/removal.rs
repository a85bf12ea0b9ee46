//! Kills all processes in a container's cgroups and removes the directories, innermost first
//! (cgroups(7)). A process in an uninterruptible wait, for example for a dead disk, does not end,
//! so the removal of its cgroup fails after 10 seconds.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use rustix::process::Pid;

use crate::error::{Context, Result, fail};
use crate::order;
use crate::sys;
use crate::sys::trace::Traced;

/// How long a process may take to end after SIGKILL before the removal fails.
const MAX_REMOVAL: Duration = Duration::from_secs(10);

/// Kills every process in these cgroups and in the cgroups below them, and removes the cgroups.
/// Fails if a cgroup cannot be removed, for example because a process has not ended after 10
/// seconds. A missing cgroup is no error.
pub fn remove(paths: &[String]) -> Result<()> {
    paths.iter().try_for_each(|path| {
        remove_one(Path::new(path), paths)
            .traced("rmdir", || format!("kill what is left in {path}"))
    })
}

/// Kills the processes in the cgroup `path` and removes the cgroup. `path` is one of the
/// container's cgroups `all`, or a cgroup below one of them.
fn remove_one(path: &Path, all: &[String]) -> Result<()> {
    let deadline = std::time::Instant::now() + MAX_REMOVAL;
    let mut pause = Duration::from_micros(200);
    loop {
        match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() != ErrorKind::ResourceBusy => {
                return Err(error).context(|| format!("remove cgroup {}", path.display()));
            }
            Err(_) => {}
        }
        kill_all(path);
        thaw(path);
        all.iter().map(Path::new).filter(|other| *other != path).for_each(thaw);
        for child in fs::read_dir(path).into_iter().flatten().flatten() {
            if child.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_one(&child.path(), all)?;
            }
        }
        if std::time::Instant::now() > deadline {
            fail!("cgroup {} can't be removed: its processes do not exit", path.display());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// The PIDs in these cgroups and in the cgroups below them, each once.
fn members_of_all(paths: &[String]) -> Vec<i32> {
    let mut pids: Vec<i32> =
        paths.iter().flat_map(|path| super::members(std::slice::from_ref(path))).collect();
    order::sort(&mut pids);
    pids.dedup();
    pids
}

/// Sends a signal to every process in these cgroups and in the cgroups below them.
pub fn signal(paths: &[String], signal: sys::signal::Signal) {
    for pid in members_of_all(paths).into_iter().filter_map(Pid::from_raw) {
        signal_member(pid, signal, |number| members_of_all(paths).contains(&number));
    }
}

/// Sends SIGKILL to every process in these cgroups. Only `cgroup.kill` (cgroup v2, Linux 5.14) also
/// ends the processes in the cgroups below them.
pub fn kill(paths: &[String]) {
    paths.iter().for_each(|path| kill_all(Path::new(path)));
}

/// Sends SIGKILL to every process in a cgroup: by `cgroup.kill` if it exists, otherwise one by one.
fn kill_all(path: &Path) {
    if fs::write(path.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for pid in members_of_one(path).filter_map(Pid::from_raw) {
        let is_member = |number: i32| members_of_one(path).any(|member| member == number);
        signal_member(pid, sys::signal::Signal::KILL, is_member);
    }
}

/// Thaws a cgroup of the v1 freezer. A process that is frozen there ends only after the thaw, even
/// after SIGKILL. On v2 SIGKILL ends a frozen process at once.
fn thaw(path: &Path) {
    // Only a cgroup of the v1 freezer has this file.
    if let Ok(state) = fs::OpenOptions::new().write(true).open(path.join("freezer.state")) {
        let _ = rustix::io::write(&state, b"THAWED");
    }
}

/// The PIDs in the cgroup itself.
fn members_of_one(path: &Path) -> impl Iterator<Item = i32> {
    let members = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let pids: Vec<i32> = members.lines().filter_map(|line| line.parse().ok()).collect();
    pids.into_iter()
}

/// Sends a signal to the process `pid` if `is_member` says that the process is in the cgroup.
fn signal_member(pid: Pid, signal: sys::signal::Signal, is_member: impl FnOnce(i32) -> bool) {
    let flags = rustix::process::PidfdFlags::empty();
    let Ok(pidfd) = rustix::process::pidfd_open(pid, flags) else { return };
    // Check after the pidfd is open. After an earlier check the kernel could still give the PID to
    // another process.
    if is_member(pid.as_raw_nonzero().get()) {
        // An error means that the process has already ended.
        let _ = sys::process::send_signal(pidfd.as_fd(), signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plain directory takes the place of the cgroup.
    #[test]
    fn only_a_process_that_is_in_the_cgroup_is_killed() {
        let dir = std::env::temp_dir().join(format!("cgroup-kill-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32).unwrap();
        let kill = || {
            let is_member = |number: i32| members_of_one(&dir).any(|member| member == number);
            signal_member(pid, sys::signal::Signal::KILL, is_member);
        };
        // The file lists another PID, as if the process had left the cgroup.
        fs::write(dir.join("cgroup.procs"), format!("{}0\n", child.id())).unwrap();
        kill();
        std::thread::sleep(Duration::from_millis(50));
        let lives = child.try_wait().unwrap().is_none();
        fs::write(dir.join("cgroup.procs"), format!("1\n{}\n", child.id())).unwrap();
        kill();
        let _ = lives && child.wait().unwrap().success();
        fs::remove_dir_all(&dir).unwrap();
        assert!(lives);
    }
}
