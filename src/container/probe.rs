//! Runs one probe of a health check in a prober, a fork of the monitor. The prober joins the
//! container as `exec` does, reads the command's output, kills the command at its timeout and
//! writes the new state.
//!
//! At the timeout the prober also kills the command's descendants: the processes whose chain of
//! parents leads to the command, and the processes in a session that the command or a descendant
//! leads. A daemon that has left both, by two forks and setsid(2), is not killed.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use super::files::Files;
use super::health::{Health, HealthRecord, HealthStatus, ProbeResult};
use super::record::Record;
use super::state::{State, is_paused};
use super::{events, updated};
use crate::error::{Context, Result};
use crate::runtime::exec::{self, Target};
use crate::runtime::spec::{Capabilities, IdMaps, Process};
use crate::runtime::{Stdio, capabilities, cgroup};
use crate::store::{Roots, journal};
use crate::sys::{self, signal::Signal};
use crate::time;

/// The largest output of a probe that is kept, in bytes, as in Docker.
const MAX_OUTPUT: usize = 4096;
/// The text at the end of output that was cut.
const CUT: &str = "...";
/// How long `ends_soon` waits.
const MAX_END: Duration = Duration::from_secs(2);

/// The container of a probe.
pub struct Probed<'a> {
    pub roots: &'a Roots,
    pub record: &'a Record,
    pub state: &'a State,
    /// Makes the settings of the container's first process, without a terminal. The probe's command
    /// gets the same user, variables and limits.
    pub process: fn(&Record) -> Result<Process>,
}

/// Runs the command once and writes the new state. Returns the new status; `None` if the probe does
/// not count. Must be called in a fork of the monitor.
pub fn prober(probed: &Probed<'_>, started: Instant) -> Result<Option<HealthStatus>> {
    let Some(record) = probed.record.health_check() else { return Ok(None) };
    // One of the descriptors is the monitor's lock, which would otherwise stay locked after the
    // monitor's end.
    sys::fds::close_all_but(&[]).context(|| "close the monitor's descriptors")?;
    // Commands recognise a monitor by its title, so a prober needs another title.
    sys::title::replace(
        format!("mydocker: health check of {}", probed.record.name).as_bytes(),
        true,
    );
    let files = Files::new(probed.roots, &probed.record.id);
    let age = started.elapsed();
    let start = time::Instant::now().0;
    let (exit_code, output) = match probe(probed, record) {
        Ok(result) => result,
        Err(error) => (-1, error.to_string()),
    };
    // A command that was frozen may have had no time to succeed.
    if exit_code != 0 && is_paused(&files, probed.state) {
        return Ok(None);
    }
    let end = time::Instant::now().0;
    let mut health = Health::read(&files)?.unwrap_or_else(Health::starting);
    let before = health.status;
    health.note(&record.check, age, ProbeResult { start, end, exit_code, output });
    health.write(&files)?;
    if health.status != before {
        let action = format!("health_status: {}", health.status.name());
        journal::append(probed.roots, &[events::of(probed.record, &action, &[])]);
    }
    Ok(Some(health.status))
}

/// Runs the command and returns its exit status and output. Returns -1 if the command exceeds its
/// timeout, or if the helper process of `exec` (the go-between, `runtime::exec`) is killed.
fn probe(probed: &Probed<'_>, health: &HealthRecord) -> Result<(i32, String)> {
    let (check, shell) = (&health.check, health.shell.as_deref().unwrap_or_default());
    let (record, state) = (probed.record, probed.state);
    let defaults = (probed.process)(record)?;
    // The first process may have fewer capabilities than the record says.
    let bounding = defaults.capabilities.bounding & capabilities::bounding_set(state.pid);
    let process = Process {
        args: check.args(shell).unwrap_or_default(),
        capabilities: Capabilities { bounding, ..defaults.capabilities },
        ..defaults
    };
    let cgroups = updated::cgroups(&Files::new(probed.roots, &record.id), state);
    let ids = record.ids().map(IdMaps::from);
    let target = Target::new(state.pid, state.start_time, &cgroups, ids);
    let streams = || -> Result<_, Errno> {
        let null = openat(CWD, "/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let (output, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&output, true)?;
        let also_theirs = theirs.try_clone().map_err(|_| Errno::MFILE)?;
        Ok((output, [null, theirs, also_theirs]))
    };
    let (output, theirs) = streams().context(|| "make the probe's standard streams")?;
    let deadline = Instant::now() + check.timeout();
    let (child, _) = exec::exec(&target, &process, Stdio::Given(theirs))?;
    let mut gathered = Vec::new();
    let mut open = true;
    let ended = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break false;
        }
        let mut fds = vec![PollFd::new(&child.pidfd, PollFlags::IN)];
        if open {
            fds.push(PollFd::new(&output, PollFlags::IN));
        }
        // After EINTR the loop tries again.
        let _ = poll(&mut fds, Timespec::try_from(left).ok().as_ref());
        let ended = !fds[0].revents().is_empty();
        open = gather(&output, &mut gathered);
        if ended {
            break true;
        }
    };
    if !ended {
        kill_tree(child.pid, &state.cgroups);
        ends_soon(&child.pidfd);
        let span = check.timeout();
        return Ok((-1, format!("Health check exceeded timeout ({span:?})")));
    }
    gather(&output, &mut gathered);
    let ended = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED);
    let code = ended.ok().flatten().and_then(|ended| ended.exit_status());
    Ok((code.unwrap_or(-1), text(gathered)))
}

/// Reads the available output and keeps its start. Returns false at the end of the output. A call
/// reads a limited amount, so a command that writes without end does not block the prober.
fn gather(output: &OwnedFd, gathered: &mut Vec<u8>) -> bool {
    const MAX_READS: usize = 64;
    let mut buffer = [0; 4096];
    for _ in 0..MAX_READS {
        match rustix::io::read(output, &mut buffer) {
            Ok(0) => return false,
            Ok(length) => {
                let room = (MAX_OUTPUT + 1).saturating_sub(gathered.len());
                gathered.extend_from_slice(&buffer[..length.min(room)]);
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return true,
            Err(_) => return false,
        }
    }
    true
}

/// Converts the output to text of at most `MAX_OUTPUT` bytes.
fn text(bytes: Vec<u8>) -> String {
    let text = String::from_utf8_lossy(&bytes);
    if text.len() <= MAX_OUTPUT {
        return text.into_owned();
    }
    let end = text.floor_char_boundary(MAX_OUTPUT - CUT.len());
    text[..end].to_owned() + CUT
}

/// Kills the descendants of `ancestor`, the go-between of `exec`, which ends when its child does.
fn kill_tree(ancestor: Pid, cgroups: &[String]) {
    /// The largest number of searches for descendants. If even the last search finds new
    /// descendants, some may be left.
    const MAX_PASSES: u32 = 100;
    let ancestor = ancestor.as_raw_nonzero().get();
    let mut tree = HashSet::from([ancestor]);
    for _ in 0..MAX_PASSES {
        let alive: Vec<(i32, i32, i32)> = processes(cgroups)
            .into_iter()
            .filter_map(|pid| {
                let (parent, session) = sys::process::parent_and_session(Pid::from_raw(pid)?)?;
                Some((pid, parent, session))
            })
            .collect();
        // Find all descendants before killing any: the children of a killed process get another
        // parent.
        let mut found = Vec::new();
        loop {
            let known = found.len();
            for &(pid, parent, session) in &alive {
                let is_new = !tree.contains(&pid);
                if is_new && (tree.contains(&parent) || tree.contains(&session)) {
                    tree.insert(pid);
                    found.push(pid);
                }
            }
            if found.len() == known {
                break;
            }
        }
        if found.is_empty() {
            return;
        }
        for pid in found.into_iter().filter_map(Pid::from_raw) {
            let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            // Check that the PID still belongs to a descendant.
            let still = sys::process::parent_and_session(pid)
                .is_some_and(|(parent, session)| tree.contains(&parent) || tree.contains(&session));
            if still {
                // An error means that the process has ended.
                let _ = sys::process::send_signal(pidfd.as_fd(), Signal::KILL);
            }
        }
    }
}

/// The PIDs of the container's processes; without cgroups those of all processes.
fn processes(cgroups: &[String]) -> Vec<i32> {
    if !cgroups.is_empty() {
        return cgroup::members(cgroups);
    }
    let names = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Waits up to `MAX_END` for a process to end. Returns false if the process still runs.
pub fn ends_soon(pidfd: &OwnedFd) -> bool {
    let deadline = Instant::now() + MAX_END;
    sys::process::ends_by(pidfd.as_fd(), Some(deadline)) == Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_at_a_character() {
        assert_eq!(text(b"fine\n".to_vec()), "fine\n");
        assert_eq!(text(vec![b'x'; MAX_OUTPUT]).len(), MAX_OUTPUT);
        let long = text("ä".repeat(MAX_OUTPUT).into_bytes());
        assert!(long.len() <= MAX_OUTPUT && long.ends_with("ä..."), "{}", long.len());
    }
}
