//! `stats`: what running containers use, of the processor as measured between two looks.

use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::Engine;
use super::view::StatsView;
use crate::container::record::{Record, all_ids};
use crate::container::state::Condition;
use crate::error::Result;
use crate::runtime::cgroup::usage::{Usage, usage};
use crate::sys::{self, procfs};

/// Between the two looks.
const SPAN: Duration = Duration::from_millis(500);

struct Look {
    record: Record,
    pid: i32,
    cgroups: Vec<String>,
    at: Instant,
    usage: Usage,
}

impl Engine {
    /// Of the containers that are named, or of all that run. It takes its time, once for all.
    pub fn stats(&self, names: &[String]) -> Result<Vec<StatsView>> {
        let mut looks = Vec::new();
        for name in names {
            let (record, state) = self.running(name)?;
            looks.push(Look::new(record, state.pid, state.cgroups));
        }
        if names.is_empty() {
            for id in all_ids(&self.roots)? {
                // One that can't be read is for `ps` to tell of.
                let Ok(record) = Record::read(&self.roots, &id) else { continue };
                if let Ok(Condition::Running(state)) = self.glance(&record) {
                    looks.push(Look::new(record, state.pid, state.cgroups));
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
}

impl Look {
    fn new(record: Record, pid: i32, cgroups: Vec<String>) -> Look {
        Look { usage: usage(&cgroups), at: Instant::now(), record, pid, cgroups }
    }

    fn view(self, total_memory: u64) -> StatsView {
        let now = usage(&self.cgroups);
        let span = self.at.elapsed().as_nanos().max(1) as f64;
        // Processes that were counted by themselves and have ended since take their time with them.
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

/// Bytes over all interfaces of a process's network but the loopback (proc_pid_net(5)).
fn traffic(pid: i32) -> (u64, u64) {
    /// Of some 8,000 interfaces: a container with CAP_NET_ADMIN can make more.
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
