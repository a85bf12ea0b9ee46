//! The files and values of cgroup v1 for a container's limits
//! (Documentation/admin-guide/cgroup-v1), and the creation of a directory in a hierarchy.
//! `settings` only lists what to write; the module above writes it and reports a missing controller
//! by the flag that needs it. The order of the list matters where one file bounds another.

use std::fs;
use std::path::Path;

use super::Setting;
use super::layout::Hierarchy;
use crate::error::{Context, Result};
use crate::runtime::spec::{Cgroup, RateKind};

/// Lists each limit as controller, file, value, and the flag that asked for it.
pub fn settings(cgroup: &Cgroup) -> Vec<Setting> {
    let resources = &cgroup.resources;
    let mut settings = Vec::new();
    let mut set = |controller, file: &'static str, value: String, flag| {
        settings.push(Setting { controller, file, value, flag, optional: false });
    };
    if let Some(bytes) = resources.memory {
        set("memory", "memory.limit_in_bytes", bytes.to_string(), "--memory");
    }
    if let Some(bytes) = resources.memory_reservation {
        set("memory", "memory.soft_limit_in_bytes", bytes.to_string(), "--memory-reservation");
    }
    if let Some(shares) = resources.cpu_shares {
        set("cpu", "cpu.shares", shares.to_string(), "--cpu-shares");
    }
    if let Some((quota, period)) = super::cpu_bandwidth(resources) {
        set("cpu", "cpu.cfs_period_us", period.to_string(), "--cpus");
        set("cpu", "cpu.cfs_quota_us", quota.to_string(), "--cpus");
    }
    if let Some(cpus) = &resources.cpuset_cpus {
        set("cpuset", "cpuset.cpus", cpus.clone(), "--cpuset-cpus");
    }
    if let Some(mems) = &resources.cpuset_mems {
        set("cpuset", "cpuset.mems", mems.clone(), "--cpuset-mems");
    }
    if let Some(pids) = resources.pids {
        set("pids", "pids.max", super::or_max(pids), "--pids-limit");
    }
    if let Some(weight) = resources.blkio_weight {
        set("blkio", "blkio.bfq.weight", weight.to_string(), "--blkio-weight");
    }
    if let Some(swappiness) = resources.memory_swappiness {
        set("memory", "memory.swappiness", swappiness.to_string(), "--memory-swappiness");
    }
    if resources.oom_kill_disable == Some(true) {
        set("memory", "memory.oom_control", "1".to_owned(), "--oom-kill-disable");
    }
    for rate in resources.device_rates.iter().flatten() {
        let (file, flag) = match rate.kind {
            RateKind::ReadBytes => ("blkio.throttle.read_bps_device", "--device-read-bps"),
            RateKind::WriteBytes => ("blkio.throttle.write_bps_device", "--device-write-bps"),
            RateKind::ReadOperations => ("blkio.throttle.read_iops_device", "--device-read-iops"),
            RateKind::WriteOperations => {
                ("blkio.throttle.write_iops_device", "--device-write-iops")
            }
        };
        let numbers = rate.numbers.as_deref().unwrap_or_default();
        set("blkio", file, format!("{numbers} {}", rate.rate), flag);
    }
    // It comes after the memory limit, which it must not be below. A kernel without swap accounting
    // lacks the file; that is an error only if the user asked for the limit.
    if let Some(bytes) = super::memory_and_swap(resources) {
        settings.push(Setting {
            controller: "memory",
            file: "memory.memsw.limit_in_bytes",
            value: bytes.to_string(),
            flag: "--memory-swap",
            optional: resources.memory_swap.is_none(),
        });
    }
    if resources.pids.is_none() {
        settings.extend(super::default_pids(cgroup));
    }
    settings
}

/// Creates `directory` and its missing parents in the hierarchy. A new cpuset is empty and takes no
/// process until it has CPUs and memory nodes, so it gets its parent's (cpuset(7)).
pub fn make(hierarchy: &Hierarchy, directory: &Path) -> Result<()> {
    let inherits = hierarchy.controllers.iter().any(|name| name == "cpuset");
    if !inherits {
        return super::make_directory(directory);
    }
    let below = directory.strip_prefix(&hierarchy.mount).unwrap_or(directory);
    let mut current = hierarchy.mount.clone();
    for component in below.components() {
        let parent = current.clone();
        current.push(component);
        super::make_directory(&current)?;
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let own = fs::read_to_string(current.join(file)).unwrap_or_default();
            if own.trim().is_empty() {
                let inherited = fs::read(parent.join(file));
                inherited
                    .and_then(|value| fs::write(current.join(file), value))
                    .context(|| format!("inherit {}", current.join(file).display()))?;
            }
        }
    }
    Ok(())
}
