//! `stats`: the use of CPU, memory, network, disk and processes of running containers. The CPU use
//! is the difference between two readings 500 ms apart, taken once for all containers. Memory, disk
//! and CPU come from the cgroup files (`runtime::cgroup::usage`), network bytes from the process's
//! /proc/PID/net/dev (proc_pid_net(5)).

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

struct Look {
    record: Record,
    pid: i32,
    cgroups: Vec<String>,
    at: Instant,
    usage: Usage,
}

impl Engine {
    /// The use of the containers in `names`, or of all running ones. Takes `SPAN` once for all.
    pub fn stats(&self, names: &[String]) -> Result<Vec<StatsView>> {
        let mut looks = Vec::new();
        for name in names {
            let (record, state) = self.running(name)?;
            looks.push(self.look(record, &state));
        }
        if names.is_empty() {
            for id in all_ids(&self.roots)? {
                // `ps` reports an unreadable record.
                let Ok(record) = Record::read(&self.roots, &id) else { continue };
                if let Ok(Condition::Running(state)) = self.glance(&record) {
                    looks.push(self.look(record, &state));
                }
            }
        }
        if !looks.is_empty() {
            std::thread::sleep(SPAN);
        }
        let memory = rustix::system::sysinfo();
        let total = memory.totalram as u64 * u64::from(memory.mem_unit);
        Ok(looks.into_iter().map(|look| look.view(total)).collect())
    }

    fn look(&self, record: Record, state: &State) -> Look {
        let cgroups = updated::cgroups(&Files::new(&self.roots, &record.id), state);
        Look::new(record, state.pid, cgroups)
    }
}

impl Look {
    fn new(record: Record, pid: i32, cgroups: Vec<String>) -> Look {
        Look { usage: usage(&cgroups), at: Instant::now(), record, pid, cgroups }
    }

    fn view(self, total_memory: u64) -> StatsView {
        let now = usage(&self.cgroups);
        let span = self.at.elapsed().as_nanos().max(1) as f64;
        // Without a cgroup the time of a process is lost when it exits, so this may go down.
        let ran = now.cpu_ns.saturating_sub(self.usage.cpu_ns) as f64;
        let has_network = !self.record.networks.is_empty();
        let network = if has_network { traffic(self.pid) } else { (0, 0) };
        StatsView {
            cpu_percent: ran / span * 100.0,
            memory: now.memory,
            memory_limit: now.memory_limit.unwrap_or(total_memory).min(total_memory),
            received: network.0,
            sent: network.1,
            read: now.read,
            written: now.written,
            processes: now.processes,
            id: self.record.id,
            name: self.record.name,
        }
    }
}

/// The bytes received and sent on all interfaces of a process's network except the loopback
/// (proc_pid_net(5)).
fn traffic(pid: i32) -> (u64, u64) {
    /// Enough for about 8,000 interfaces; a container with CAP_NET_ADMIN can create more.
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
