//! `stats`: the use of CPU, memory, network and disk by running containers, and the number of their
//! threads.
//!
//! The CPU use is the difference between two readings 500 ms apart. All containers share this one
//! pause. CPU, memory, disk and threads come from `runtime::cgroup::usage`. Network bytes come from
//! /proc/PID/net/dev of the first process (proc_pid_net(5)).

use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::Engine;
use super::view::StatsView;
use crate::container::files::Files;
use crate::container::record::{Record, all_ids};
use crate::container::state::{Condition, State};
use crate::container::updated;
use crate::error::Result;
use crate::runtime::cgroup::usage::{Usage, usage};
use crate::sys::{self, procfs};

/// The time between the two readings.
const SPAN: Duration = Duration::from_millis(500);

/// The first reading of a running container.
struct Look {
    pid: i32,
    has_network: bool,
    cgroups: Vec<String>,
    at: Instant,
    usage: Usage,
}

impl Engine {
    /// Returns the use of the containers in `names`. If `names` is empty, returns all running
    /// containers, and with `all` also stopped containers, which use nothing. Waits `SPAN` once for
    /// all containers.
    pub fn stats(&self, names: &[String], all: bool) -> Result<Vec<StatsView>> {
        let mut seen: Vec<(StatsView, Option<Look>)> = Vec::new();
        for name in names {
            let record = self.record(name)?;
            let look = match self.condition(&record)? {
                Condition::Running(state) => Some(self.look(&record, &state)),
                _ => None,
            };
            seen.push((StatsView { container: name.clone(), ..nothing(record) }, look));
        }
        if names.is_empty() {
            for id in all_ids(&self.roots)? {
                // Skip an unreadable record: `ps` reports it.
                let Ok(record) = Record::read(&self.roots, &id) else { continue };
                match self.present_condition(&record) {
                    Ok(Condition::Running(state)) => {
                        let look = self.look(&record, &state);
                        seen.push((nothing(record), Some(look)));
                    }
                    // As in Docker, a container that waits for a restart counts as running.
                    Ok(Condition::Restarting(_)) => seen.push((nothing(record), None)),
                    _ if all => seen.push((nothing(record), None)),
                    _ => {}
                }
            }
        }
        if seen.iter().any(|(_, look)| look.is_some()) {
            std::thread::sleep(SPAN);
        }
        let memory = rustix::system::sysinfo();
        let total = memory.totalram as u64 * u64::from(memory.mem_unit);
        let view = |(view, look): (StatsView, Option<Look>)| match look {
            Some(look) => look.measure(view, total),
            None => view,
        };
        Ok(seen.into_iter().map(view).collect())
    }

    fn look(&self, record: &Record, state: &State) -> Look {
        let cgroups = updated::cgroups(&Files::new(&self.roots, &record.id), state);
        let has_network = !record.networks.is_empty();
        let (pid, at, usage) = (state.pid, Instant::now(), usage(&cgroups));
        Look { pid, has_network, cgroups, at, usage }
    }
}

impl Look {
    fn measure(self, view: StatsView, total_memory: u64) -> StatsView {
        let now = usage(&self.cgroups);
        let span = self.at.elapsed().as_nanos().max(1) as f64;
        // If the cgroup has no file of CPU time, `usage` adds up the times of the running
        // processes. The time of a process that exits is then missing, so the sum may decrease.
        let ran = now.cpu_ns.saturating_sub(self.usage.cpu_ns) as f64;
        let network = if self.has_network { traffic(self.pid) } else { (0, 0) };
        StatsView {
            cpu_percent: ran / span * 100.0,
            memory: now.memory,
            memory_limit: now.memory_limit.unwrap_or(total_memory).min(total_memory),
            received: network.0,
            sent: network.1,
            read: now.read,
            written: now.written,
            processes: now.processes,
            ..view
        }
    }
}

/// Returns the values of a container that uses nothing.
fn nothing(record: Record) -> StatsView {
    StatsView {
        cpu_percent: 0.0,
        memory: 0,
        memory_limit: 0,
        received: 0,
        sent: 0,
        read: 0,
        written: 0,
        processes: 0,
        container: record.id.to_string(),
        id: record.id.to_string(),
        name: record.name,
    }
}

/// Returns the bytes received and sent on all interfaces of a process's network namespace except
/// the loopback (proc_pid_net(5)). Returns zeros if the file cannot be read.
fn traffic(pid: i32) -> (u64, u64) {
    /// The most bytes that are read, enough for about 8,000 interfaces. A container with
    /// CAP_NET_ADMIN can make more interfaces.
    const MAX_TABLE: usize = 1 << 20;
    let table = sys::process::open_in_proc(pid, "net/dev", OFlags::RDONLY | OFlags::CLOEXEC)
        .ok()
        .and_then(|file| procfs::read_start_of(file, MAX_TABLE).ok());
    let table = String::from_utf8(table.unwrap_or_default()).unwrap_or_default();
    let mut bytes = (0, 0);
    for (interface, counts) in table.lines().filter_map(|line| line.split_once(':')) {
        let counts: Vec<&str> = counts.split_whitespace().collect();
        let count = |at: usize| counts.get(at).and_then(|count| count.parse().ok()).unwrap_or(0);
        if interface.trim() != "lo" {
            bytes = (bytes.0 + count(0), bytes.1 + count(8));
        }
    }
    bytes
}
