//! The resources that a container's processes use, as `stats` reports them. The numbers come from
//! the cgroups' files (cgroup-v2.rst and cgroup-v1/{cpuacct,memory,blkio-controller}.rst). If the
//! file for CPU time or I/O is missing, the numbers of the running processes are added up
//! (proc_pid_stat(5), proc_pid_io(5)).

use std::fs;
use std::path::Path;

use super::members;
use crate::sys::procfs;

/// The nanoseconds in a clock tick of /proc/PID/stat (USER_HZ is 100).
const TICK_NS: u64 = 10_000_000;

/// The resources that a container's processes use. Sizes are in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The CPU time on all processors together since the container's start, in nanoseconds.
    pub cpu_ns: u64,
    /// The memory in use, without inactive file pages.
    pub memory: u64,
    /// The memory limit; `None` means no limit.
    pub memory_limit: Option<u64>,
    /// The number of threads, or of processes if the controller `pids` is missing.
    pub processes: u64,
    /// The bytes read from block devices.
    pub read: u64,
    /// The bytes written to block devices.
    pub written: u64,
}

/// Reads the usage from the files of `cgroups`. If the file for CPU time or I/O is missing, adds up
/// the numbers of the running processes. If the memory use cannot be read, it is 0.
pub fn usage(cgroups: &[String]) -> Usage {
    let text = |file: &str| {
        cgroups.iter().find_map(|cgroup| fs::read_to_string(Path::new(cgroup).join(file)).ok())
    };
    let number = |file: &str| text(file)?.trim().parse::<u64>().ok();
    let pids = members(cgroups);
    let cpu_ns = number("cpuacct.usage")
        .or_else(|| Some(keyed(&text("cpu.stat")?, "usage_usec")? * 1000))
        .unwrap_or_else(|| pids.iter().filter_map(|pid| cpu_of(*pid)).sum());
    let cached = text("memory.stat").and_then(|stat| {
        keyed(&stat, "total_inactive_file").or_else(|| keyed(&stat, "inactive_file"))
    });
    let charged = number("memory.usage_in_bytes").or_else(|| number("memory.current"));
    // The value of v1 for "no limit" is a number near the largest i64.
    let limit = number("memory.limit_in_bytes").or_else(|| number("memory.max"));
    let (read, written) =
        blocks(&text).unwrap_or_else(|| sum(pids.iter().filter_map(|pid| blocks_of(*pid))));
    Usage {
        cpu_ns,
        memory: charged.unwrap_or(0).saturating_sub(cached.unwrap_or(0)),
        memory_limit: limit.filter(|limit| *limit < 1 << 62),
        processes: number("pids.current").unwrap_or(pids.len() as u64),
        read,
        written,
    }
}

/// The bytes read from and written to all block devices; `None` without the I/O controller.
fn blocks(text: &dyn Fn(&str) -> Option<String>) -> Option<(u64, u64)> {
    if let Some(stat) = text("io.stat") {
        let of = |key: &str| {
            let words = stat.split_whitespace();
            words.filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok()).sum()
        };
        return Some((of("rbytes="), of("wbytes=")));
    }
    let stat = text("blkio.throttle.io_service_bytes")?;
    let of = |kind: &str| {
        let lines = stat.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let of_kind = lines.filter(|words| words.len() == 3 && words[1] == kind);
        of_kind.filter_map(|words| words[2].parse::<u64>().ok()).sum()
    };
    Some((of("Read"), of("Write")))
}

/// The number after `key` in a file of lines `KEY NUMBER`, such as cpu.stat. `None` if no line has
/// the key, or if its value is not a number.
pub fn keyed(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    line?.trim().parse().ok()
}

fn cpu_of(pid: i32) -> Option<u64> {
    // The name of a process can be any bytes.
    let stat = procfs::read_record(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // utime and stime are fields 14 and 15. `fields` starts with field 3.
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks * TICK_NS)
}

fn blocks_of(pid: i32) -> Option<(u64, u64)> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    Some((keyed(&io, "read_bytes:")?, keyed(&io, "write_bytes:")?))
}

fn sum(pairs: impl Iterator<Item = (u64, u64)>) -> (u64, u64) {
    pairs.fold((0, 0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Usage {
        let dir = std::env::temp_dir().join(format!("usage-{}-{}", std::process::id(), files[0].0));
        fs::create_dir_all(&dir).unwrap();
        for (file, content) in files {
            fs::write(dir.join(file), content).unwrap();
        }
        let found = usage(&[dir.display().to_string()]);
        fs::remove_dir_all(&dir).unwrap();
        found
    }

    #[test]
    fn v1_and_v2_files_give_the_same_usage() {
        let v1 = read(&[
            ("cpuacct.usage", "5000\n"),
            ("memory.usage_in_bytes", "900\n"),
            ("memory.stat", "inactive_file 1\ntotal_inactive_file 100\n"),
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            ("pids.current", "3\n"),
            ("blkio.throttle.io_service_bytes", "8:0 Read 7\n8:0 Write 8\n9:0 Read 1\nTotal 16\n"),
        ]);
        let v2 = read(&[
            ("cpu.stat", "usage_usec 5\nuser_usec 1\n"),
            ("memory.current", "900\n"),
            ("memory.stat", "inactive_anon 5\ninactive_file 100\n"),
            ("memory.max", "max\n"),
            ("pids.current", "3\n"),
            ("io.stat", "8:0 rbytes=7 wbytes=8 rios=1\n9:0 rbytes=1 wbytes=0\n"),
        ]);
        assert_eq!(v1, v2);
        let (cpu_ns, memory, processes) = (5000, 800, 3);
        let expected = Usage { cpu_ns, memory, memory_limit: None, processes, read: 8, written: 8 };
        assert_eq!(v1, expected);
    }
}
