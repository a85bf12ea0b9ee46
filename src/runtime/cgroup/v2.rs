//! The files and values of cgroup v2 for a container's limits
//! (Documentation/admin-guide/cgroup-v2.rst), and the delegation of controllers to a new directory.
//! Weights are converted from v1's ranges as runc and systemd do, so that a flag means the same on
//! both versions. Devices have no file in v2; see `devices`.

use std::fs;
use std::path::Path;

use rustix::io::Errno;

use super::Setting;
use crate::error::{Context, Error, Result};
use crate::runtime::spec::{Cgroup, RateKind};

/// Lists each limit as controller, file, value, and the flag that asked for it.
pub fn settings(cgroup: &Cgroup) -> Vec<Setting> {
    let resources = &cgroup.resources;
    let mut settings = Vec::new();
    let mut set = |controller, file: &'static str, value: String, flag| {
        settings.push(Setting { controller, file, value, flag, optional: false });
    };
    if let Some(bytes) = resources.memory {
        set("memory", "memory.max", bytes.to_string(), "--memory");
    }
    if let Some(bytes) = resources.memory_reservation {
        set("memory", "memory.low", bytes.to_string(), "--memory-reservation");
    }
    if let Some(shares) = resources.cpu_shares {
        set("cpu", "cpu.weight", weight_of_shares(shares).to_string(), "--cpu-shares");
    }
    if let Some((quota, period)) = super::cpu_bandwidth(resources) {
        set("cpu", "cpu.max", format!("{} {period}", super::or_max(quota)), "--cpus");
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
        set("io", "io.weight", weight_of_blkio(weight).to_string(), "--blkio-weight");
    }
    // v2 has neither file, so the write fails and the flag is refused.
    if let Some(swappiness) = resources.memory_swappiness {
        set("memory", "memory.swappiness", swappiness.to_string(), "--memory-swappiness");
    }
    if resources.oom_kill_disable == Some(true) {
        set("memory", "memory.oom_control", "1".to_owned(), "--oom-kill-disable");
    }
    for rate in resources.device_rates.iter().flatten() {
        let (key, flag) = match rate.kind {
            RateKind::ReadBytes => ("rbps", "--device-read-bps"),
            RateKind::WriteBytes => ("wbps", "--device-write-bps"),
            RateKind::ReadOperations => ("riops", "--device-read-iops"),
            RateKind::WriteOperations => ("wiops", "--device-write-iops"),
        };
        let numbers = rate.numbers.as_deref().unwrap_or_default();
        set("io", "io.max", format!("{numbers} {key}={}", rate.rate), flag);
    }
    // v1 counts memory and swap together, v2 swap alone.
    if let (Some(total), Some(memory)) = (super::memory_and_swap(resources), resources.memory) {
        let swap = if total < 0 { total } else { total - memory as i64 };
        settings.push(Setting {
            controller: "memory",
            file: "memory.swap.max",
            value: super::or_max(swap),
            flag: "--memory-swap",
            optional: resources.memory_swap.is_none(),
        });
    }
    if resources.pids.is_none() {
        settings.extend(super::default_pids(cgroup));
    }
    settings
}

/// Maps 2..262144 to 1..10000, as runc and systemd do.
fn weight_of_shares(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// Maps 10..1000 to 1..10000.
fn weight_of_blkio(weight: u16) -> u64 {
    1 + (u64::from(weight) - 10) * 9999 / 990
}

/// Creates `directory` and delegates the controllers `wanted` to it: each level above it must list
/// them in cgroup.subtree_control.
pub fn make(mount: &Path, directory: &Path, wanted: &[&str]) -> Result<()> {
    super::make_directory(directory)?;
    let below = directory.strip_prefix(mount).unwrap_or(directory);
    let mut current = mount.to_owned();
    for component in below.components() {
        delegate(&current, wanted)?;
        current.push(component);
    }
    Ok(())
}

fn delegate(directory: &Path, wanted: &[&str]) -> Result<()> {
    let path = directory.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
    let missing: Vec<String> = wanted
        .iter()
        .filter(|controller| !enabled.split_whitespace().any(|name| name == **controller))
        .map(|controller| format!("+{controller}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(" ");
    fs::write(&path, &missing)
        .map_err(Error::from)
        .map_err(|error| match error.errno() {
            // The rule of no internal processes: a cgroup with processes of its own can't delegate.
            Some(Errno::BUSY) => Error::new(format!(
                "{} has processes of its own, so it can't delegate {missing}; start mydocker \
                 outside of it, or choose another --cgroup-parent",
                directory.display()
            )),
            _ => error,
        })
        .context(|| format!("write '{missing}' to {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::runtime::spec::Resources;

    #[test]
    fn weights_span_their_range() {
        assert_eq!((weight_of_shares(2), weight_of_shares(262_144)), (1, 10_000));
        assert_eq!(weight_of_shares(1024), 39);
        assert_eq!((weight_of_blkio(10), weight_of_blkio(1000)), (1, 10_000));
    }

    #[test]
    fn swap_is_what_exceeds_memory() {
        let value = |memory_swap| {
            let resources = Resources { memory: Some(100), memory_swap, ..Resources::default() };
            let cgroup = Cgroup { parent: String::new(), resources, default_pids: None };
            let settings = settings(&cgroup);
            settings.into_iter().find(|setting| setting.file == "memory.swap.max").unwrap().value
        };
        assert_eq!(value(Some(150)), "50");
        assert_eq!(value(Some(-1)), "max");
        assert_eq!(value(None), "100");
    }
}
