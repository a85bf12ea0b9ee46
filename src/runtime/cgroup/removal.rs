//! The end of a container's cgroups: every process that is left in them is killed and the directories
//! are removed, innermost first (cgroups(7)). A process that can't be killed, such as one that waits
//! for a dead disk, keeps its cgroup; after a while this is an error.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use rustix::process::Pid;

use crate::error::{Context, Result, fail};
use crate::sys;
use crate::sys::trace::Traced;

/// How long processes may take to leave a cgroup after SIGKILL before the removal fails.
const MAX_REMOVAL: Duration = Duration::from_secs(10);

/// Removes these cgroups and those below, and kills every process that is still in them.
pub fn remove(paths: &[String]) -> Result<()> {
    paths.iter().try_for_each(|path| {
        remove_one(Path::new(path)).traced("rmdir", || format!("kill what is left in {path}"))
    })
}

fn remove_one(path: &Path) -> Result<()> {
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
        for child in fs::read_dir(path).into_iter().flatten().flatten() {
            if child.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_one(&child.path())?;
            }
        }
        if std::time::Instant::now() > deadline {
            fail!("cgroup {} can't be removed: its processes do not exit", path.display());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// The processes in any of these cgroups and those below.
fn members_of_all(paths: &[String]) -> Vec<i32> {
    let mut pids: Vec<i32> =
        paths.iter().flat_map(|path| super::members(std::slice::from_ref(path))).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// Sends a signal to every process in these cgroups and those below.
pub fn signal(paths: &[String], signal: sys::signal::Signal) {
    for pid in members_of_all(paths).into_iter().filter_map(Pid::from_raw) {
        signal_member(pid, signal, |number| members_of_all(paths).contains(&number));
    }
}

/// Kills every process in these cgroups.
pub fn kill(paths: &[String]) {
    paths.iter().for_each(|path| kill_all(Path::new(path)));
}

/// Sends SIGKILL to every process in a cgroup, in one step if the kernel can (cgroup.kill, Linux 5.14).
fn kill_all(path: &Path) {
    if fs::write(path.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for pid in members_of_one(path).filter_map(Pid::from_raw) {
        let is_member = |number: i32| members_of_one(path).any(|member| member == number);
        signal_member(pid, sys::signal::Signal::KILL, is_member);
    }
}

/// The processes in the cgroup itself.
fn members_of_one(path: &Path) -> impl Iterator<Item = i32> {
    let members = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let pids: Vec<i32> = members.lines().filter_map(|line| line.parse().ok()).collect();
    pids.into_iter()
}

/// Sends a signal to the process `pid` if it is still in the cgroup.
fn signal_member(pid: Pid, signal: sys::signal::Signal, is_member: impl FnOnce(i32) -> bool) {
    let flags = rustix::process::PidfdFlags::empty();
    let Ok(pidfd) = rustix::process::pidfd_open(pid, flags) else { return };
    // Checked after the descriptor is open: before, the PID could pass to another process.
    if is_member(pid.as_raw_nonzero().get()) {
        // The process may have ended by itself.
        let _ = sys::process::send_signal(pidfd.as_fd(), signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Here a plain directory stands for the cgroup.
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
        // The process left the cgroup, or its PID belongs to another process now.
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
