//! Checks `--cpus`, `--cpuset-cpus` and `--cpuset-mems` against the CPUs and memory nodes of this
//! machine.
//!
//! The kernel accepts a quota beyond the machine's CPUs, and refuses a bad CPU list only at the
//! start, with a bare error number. So `create` and `update` refuse both, as Docker does, and the
//! error says what the machine has (sysfs: cpu/online, node/online). Without these flags no file is
//! read.

use std::fs;

use crate::error::{Result, fail};
use crate::runtime::spec::Resources;

const CPUS: &str = "/sys/devices/system/cpu/online";
const NODES: &str = "/sys/devices/system/node/online";

/// Fails if the options ask for more CPUs than are online, or name CPUs or memory nodes that are
/// not online.
pub(super) fn check(resources: &Resources) -> Result<()> {
    if let Some(nano) = resources.nano_cpus {
        let online = online(CPUS);
        let count: u64 = ranges(&online).map(|(first, last)| u64::from(last - first) + 1).sum();
        if nano > count * 1_000_000_000 {
            fail!("--cpus: from 0.01 to {count}.00, as there are only {count} CPUs available");
        }
    }
    for (flag, list, what, file) in [
        ("--cpuset-cpus", &resources.cpuset_cpus, "CPUs", CPUS),
        ("--cpuset-mems", &resources.cpuset_mems, "memory nodes", NODES),
    ] {
        let Some(list) = list else { continue };
        let online = online(file);
        let is_online =
            |number: u32| ranges(&online).any(|(first, last)| (first..=last).contains(&number));
        // The command line limits the numbers, so this loop is bounded (CVE-2018-20699).
        if !ranges(list).all(|(first, last)| (first..=last).all(is_online)) {
            fail!("{flag} {list}: these {what} are not available; available: {online}");
        }
    }
    Ok(())
}

/// Returns the list of online CPUs or nodes. If the file cannot be read, only number 0 counts as
/// online.
fn online(file: &str) -> String {
    fs::read_to_string(file).map_or_else(|_| "0".to_owned(), |list| list.trim().to_owned())
}

/// Returns the ranges of a list such as `0-3,7`. The list is already checked.
fn ranges(list: &str) -> impl Iterator<Item = (u32, u32)> {
    list.split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((first.parse().ok()?, last.parse().ok()?))
    })
}
