//! `top`: the processes of a container, as the host sees them.
//!
//! The PIDs come from the container's cgroups. `top_by_ps` gets the facts from the host's ps(1).
//! `top` reads /proc/PID/stat and /proc/PID/cmdline (proc_pid_stat(5), proc_pid_cmdline(5)). The
//! container controls its command lines, so `top` limits their length.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::Engine;
use super::view::ProcessView;
use crate::container::events;
use crate::container::state::State;
use crate::error::{Result, fail};
use crate::order;
use crate::runtime::{cgroup, exec, host_ps};
use crate::sys::procfs;
use crate::time::Instant;

/// The most bytes of one command line.
const MAX_COMMAND: usize = 4 << 10;
/// The most bytes of all command lines. Each process can have megabytes of arguments.
const MAX_COMMANDS: usize = 4 << 20;

/// USER_HZ: the clock ticks per second in /proc (proc_pid_stat(5)). The value is 100 on all
/// supported architectures.
const TICKS: u64 = 100;

impl Engine {
    /// Returns the output of the host's ps(1) with these options for the processes of a container:
    /// the title and the lines about these processes. Returns `None` if the host has no ps(1).
    pub fn top_by_ps(&self, name: &str, options: &[String]) -> Result<Option<Vec<String>>> {
        let (record, state) = self.running(name)?;
        let listed = host_ps::list(options, &pids_of(&state))?;
        if listed.is_some() {
            self.note(&[events::of(&record, "top", &[])]);
        }
        Ok(listed)
    }

    /// Returns the processes of a container, sorted by PID. Fails if the container does not run.
    pub fn top(&self, name: &str) -> Result<Vec<ProcessView>> {
        // A try fails if the container exits during the try. The delay between restarts doubles
        // unless a compose file fixes the delay, so more tries are rarely needed.
        const MAX_TRIES: u32 = 16;
        for _ in 0..MAX_TRIES {
            let (record, state) = self.running(name)?;
            let processes = processes(&state);
            if !processes.is_empty() || !state.has_ended() {
                self.note(&[events::of(&record, "top", &[])]);
                return Ok(processes);
            }
        }
        fail!("container {name} restarts again and again; try again")
    }
}

fn pids_of(state: &State) -> Vec<i32> {
    let mut pids = cgroup::members(&state.cgroups);
    if pids.is_empty() {
        // Without cgroups only the first process is known.
        pids.push(state.pid);
    }
    let others = exec::go_betweens(&pids, state.pid);
    pids.retain(|&pid| !others.iter().any(|other| other.as_raw_nonzero().get() == pid));
    order::sort(&mut pids);
    pids.dedup();
    pids
}

fn processes(state: &State) -> Vec<ProcessView> {
    let up = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let up = up.split('.').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
    let mut left = MAX_COMMANDS;
    let view = |pid| {
        let view = read(pid, up, left.min(MAX_COMMAND))?;
        left = left.saturating_sub(view.command.len());
        Some(view)
    };
    // Leave out a process that has exited since the list was read.
    pids_of(state).into_iter().filter_map(view).collect()
}

/// Reads one process. Cuts its command line to `most` bytes. Without a command line, takes the
/// process's name in brackets.
fn read(pid: i32, up_seconds: u64, most: usize) -> Option<ProcessView> {
    let dir = format!("/proc/{pid}");
    // The name of a process can be any bytes.
    let stat = procfs::read_record(format!("{dir}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name may contain brackets and blanks, so search for its end from the right.
    let (head, tail) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    // These are the fields from the third one on.
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let (ticks, started) = (number(14)? + number(15)?, number(22)? / TICKS);
    let ran = up_seconds.saturating_sub(started);
    let words = procfs::read_start(format!("{dir}/cmdline"), most).ok()?;
    let words = String::from_utf8_lossy(&words);
    let words = words.trim_end_matches('\0').replace('\0', " ");
    Some(ProcessView {
        uid: fs::metadata(&dir).ok()?.uid(),
        pid,
        parent: number(4)? as i32,
        cpu_percent: (ticks / TICKS * 100).checked_div(ran).unwrap_or(0),
        started: Instant(Instant::now().0 - (ran * 1_000_000_000) as i64),
        terminal: terminal(number(7)?),
        cpu_seconds: ticks / TICKS,
        command: if words.is_empty() { format!("[{name}]") } else { words },
    })
}

/// Returns the name of the pseudo-terminal with this device number (pts(4)), and `None` for any
/// other device.
fn terminal(device: u64) -> Option<String> {
    const FIRST_MAJOR: u64 = 136;
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
    let set = major.checked_sub(FIRST_MAJOR).filter(|set| *set < 8)?;
    Some(format!("pts/{}", set * 256 + minor))
}
