//! Converts a container's limits to the files and values of cgroup v1 (admin-guide/cgroup-v1), and
//! creates directories in a v1 hierarchy.
//!
//! `settings` only lists the values. `Plan::place_limits` finds the directories and reports a
//! missing controller.

use std::fs;
use std::path::Path;

use super::layout::Hierarchy;
use super::setting::{Setting, Settings};
use crate::error::{Context, Result};
use crate::runtime::spec::{Cgroup, RateKind};

/// Lists the controller, file and value of each limit, with the limit's name in the OCI runtime
/// specification. Leaves out the limits of `unified`, which name files of v2.
pub fn settings(cgroup: &Cgroup) -> Vec<Setting> {
    let mut settings = Settings::default();
    memory(&mut settings, cgroup);
    cpu(&mut settings, cgroup);
    block_io(&mut settings, cgroup);
    super::add_common_limits(&mut settings, cgroup, "limit_in_bytes");
    settings.done()
}

fn memory(settings: &mut Settings, cgroup: &Cgroup) {
    let resources = &cgroup.resources;
    let mut set = |file: &'static str, value: String, limit: &'static str| {
        settings.set("memory", file, value, limit);
    };
    if let Some(bytes) = resources.memory {
        set("memory.limit_in_bytes", bytes.to_string(), "memory.limit");
    }
    if let Some(bytes) = resources.memory_reservation {
        set("memory.soft_limit_in_bytes", bytes.to_string(), "memory.reservation");
    }
    if let Some(swappiness) = resources.memory_swappiness {
        set("memory.swappiness", swappiness.to_string(), "memory.swappiness");
    }
    if let Some(is_disabled) = resources.oom_kill_disable {
        set("memory.oom_control", u8::from(is_disabled).to_string(), "memory.disableOOMKiller");
    }
    if let Some(bytes) = cgroup.further.kernel_tcp_memory {
        set("memory.kmem.tcp.limit_in_bytes", bytes.to_string(), "memory.kernelTCP");
    }
    // A kernel without swap accounting lacks memory.memsw.limit_in_bytes. The missing file is an
    // error only if the user set the limit.
    if let Some(bytes) = super::memory_and_swap(cgroup) {
        let setting = settings.set("memory", "memory.memsw.limit_in_bytes", bytes, "memory.swap");
        setting.optional = resources.memory_swap.is_none();
    }
}

fn cpu(settings: &mut Settings, cgroup: &Cgroup) {
    let (resources, further) = (&cgroup.resources, &cgroup.further);
    if let Some(idle) = further.cpu_idle {
        settings.set("cpu", "cpu.idle", u8::from(idle), "cpu.idle");
    }
    // The kernel refuses shares for an idle cgroup.
    if let Some(shares) = resources.cpu_shares.filter(|_| further.cpu_idle != Some(true)) {
        settings.set("cpu", "cpu.shares", shares, "cpu.shares");
    }
    let (quota, period) = super::cpu_bandwidth(resources);
    if let Some(period) = period {
        settings.set("cpu", "cpu.cfs_period_us", period, "cpu.period");
    }
    if let Some(quota) = quota {
        settings.set("cpu", "cpu.cfs_quota_us", quota, "cpu.quota");
    }
    if let Some(burst) = further.cpu_burst {
        settings.set("cpu", "cpu.cfs_burst_us", burst, "cpu.burst");
    }
    if let Some(period) = further.cpu_realtime_period {
        settings.set("cpu", "cpu.rt_period_us", period, "cpu.realtimePeriod");
    }
    if let Some(runtime) = further.cpu_realtime_runtime {
        settings.set("cpu", "cpu.rt_runtime_us", runtime, "cpu.realtimeRuntime");
    }
    super::cpuset(settings, resources);
}

fn block_io(settings: &mut Settings, cgroup: &Cgroup) {
    let (resources, further) = (&cgroup.resources, &cgroup.further);
    let mut set = |file: &'static str, value: String, limit: &'static str| {
        settings.set("blkio", file, value, limit);
    };
    if let Some(weight) = resources.blkio_weight {
        set("blkio.bfq.weight", weight.to_string(), "blockIO.weight");
    }
    // Leaf weights belong to the CFQ scheduler, which Linux 5.0 removed.
    if let Some(weight) = further.blkio_leaf_weight {
        set("blkio.leaf_weight", weight.to_string(), "blockIO.leafWeight");
    }
    for device in &further.device_weights {
        let of_device = |weight: u16| format!("{}:{} {weight}", device.major, device.minor);
        if let Some(weight) = device.weight {
            set("blkio.bfq.weight_device", of_device(weight), "blockIO.weightDevice");
        }
        if let Some(weight) = device.leaf_weight {
            set("blkio.leaf_weight_device", of_device(weight), "blockIO.weightDevice");
        }
    }
    for rate in resources.device_rates.iter().flatten() {
        let file = match rate.kind {
            RateKind::ReadBytes => "blkio.throttle.read_bps_device",
            RateKind::WriteBytes => "blkio.throttle.write_bps_device",
            RateKind::ReadOperations => "blkio.throttle.read_iops_device",
            RateKind::WriteOperations => "blkio.throttle.write_iops_device",
        };
        let numbers = rate.numbers.as_deref().unwrap_or_default();
        set(file, format!("{numbers} {}", rate.rate), super::rate_name(rate.kind));
    }
}

/// Creates `directory` and its missing parents in the hierarchy. A new cpuset has neither CPUs nor
/// memory nodes and accepts no process, so each new or empty cpuset gets the values of its parent
/// (cpuset(7)).
pub fn make(hierarchy: &Hierarchy, directory: &Path) -> Result<()> {
    let inherits = hierarchy.controllers.iter().any(|name| name == "cpuset");
    if !inherits {
        return super::make_directory(directory).map(drop);
    }
    let below = directory.strip_prefix(&hierarchy.mount).unwrap_or(directory);
    let mut current = hierarchy.mount.clone();
    for component in below.components() {
        let parent = current.clone();
        current.push(component);
        let is_new = super::make_directory(&current)?;
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let own = || fs::read_to_string(current.join(file)).unwrap_or_default();
            if is_new || own().trim().is_empty() {
                let inherited = fs::read(parent.join(file));
                inherited
                    .and_then(|value| fs::write(current.join(file), value))
                    .context(|| format!("inherit {}", current.join(file).display()))?;
            }
        }
    }
    Ok(())
}
