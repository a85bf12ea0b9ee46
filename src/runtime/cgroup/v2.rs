//! Converts a container's limits to the files and values of cgroup v2 (admin-guide/cgroup-v2.rst),
//! and delegates controllers to a new directory.
//!
//! The OCI runtime specification defines some limits as cgroup v1 counts them. Such limits are
//! converted as in runc and crun, so that a limit means the same on both versions. cgroup v2 has no
//! file for devices; see `cgroup::devices`.

use std::fs;
use std::path::Path;

use rustix::io::Errno;

use super::setting::{Setting, Settings, or_max};
use crate::error::{Context, Error, Result, fail};
use crate::runtime::spec::{Cgroup, RateKind};

/// Lists the controller, file and value of each limit, with the limit's name in the OCI runtime
/// specification. Fails if a limit cannot be converted. For a limit that v2 lacks, lists a file
/// that v2 does not have, so that `place_limits` or `apply` fails.
pub fn settings(cgroup: &Cgroup) -> Result<Vec<Setting>> {
    let mut settings = Settings::default();
    memory(&mut settings, cgroup)?;
    cpu(&mut settings, cgroup);
    block_io(&mut settings, cgroup);
    super::add_common_limits(&mut settings, cgroup, "max");
    // The values of `unified` come last, so that they override the limits above.
    for (file, value) in &cgroup.further.unified {
        let controller = file.split('.').next().unwrap_or_default().to_owned();
        // A file accepts one line in each write.
        for line in value.lines() {
            let limit = format!("unified.{file}");
            settings.set(controller.clone(), file.clone(), line, limit);
        }
    }
    Ok(settings.done())
}

fn memory(settings: &mut Settings, cgroup: &Cgroup) -> Result<()> {
    let resources = &cgroup.resources;
    let mut set = |file: &'static str, value: String, limit: &'static str| {
        settings.set("memory", file, value, limit);
    };
    if let Some(bytes) = resources.memory {
        set("memory.max", or_max(bytes), "memory.limit");
    }
    if let Some(bytes) = resources.memory_reservation {
        set("memory.low", or_max(bytes), "memory.reservation");
    }
    if let Some(swappiness) = resources.memory_swappiness {
        set("memory.swappiness", swappiness.to_string(), "memory.swappiness");
    }
    if resources.oom_kill_disable == Some(true) {
        set("memory.oom_control", "1".to_owned(), "memory.disableOOMKiller");
    }
    if let Some(bytes) = cgroup.further.kernel_tcp_memory {
        set("memory.kmem.tcp.limit_in_bytes", bytes.to_string(), "memory.kernelTCP");
    }
    if let Some(total) = super::memory_and_swap(cgroup) {
        let value = or_max(swap_alone(total, resources.memory, cgroup)?);
        let setting = settings.set("memory", "memory.swap.max", value, "memory.swap");
        setting.optional = resources.memory_swap.is_none();
    }
    Ok(())
}

/// Converts v1's limit of memory and swap together to v2's limit of swap alone. -1 means no limit.
fn swap_alone(total: i64, memory: Option<i64>, cgroup: &Cgroup) -> Result<i64> {
    let name = |limit: &str| (cgroup.name_limit)(limit);
    match memory {
        _ if total < 0 => Ok(-1),
        Some(memory @ 0..) if memory <= total => Ok(total - memory),
        Some(memory @ 0..) => fail!(
            "{} {total} is less than {} {memory}: it counts both together",
            name("memory.swap"),
            name("memory.limit")
        ),
        _ => fail!(
            "{} {total} needs {} too: it counts both together",
            name("memory.swap"),
            name("memory.limit")
        ),
    }
}

fn cpu(settings: &mut Settings, cgroup: &Cgroup) {
    let (resources, further) = (&cgroup.resources, &cgroup.further);
    let mut set = |file: &'static str, value: String, limit: &'static str| {
        settings.set("cpu", file, value, limit);
    };
    if let Some(idle) = further.cpu_idle {
        set("cpu.idle", u8::from(idle).to_string(), "cpu.idle");
    }
    // The kernel refuses a weight for an idle cgroup.
    if let Some(shares) = resources.cpu_shares.filter(|_| further.cpu_idle != Some(true)) {
        set("cpu.weight", weight_of_shares(shares).to_string(), "cpu.shares");
    }
    match super::cpu_bandwidth(resources) {
        (Some(quota), Some(period)) => {
            set("cpu.max", format!("{} {period}", or_max(quota)), "cpu.quota");
        }
        // Without a period in the value, the kernel keeps the present period.
        (Some(quota), None) => set("cpu.max", or_max(quota), "cpu.quota"),
        (None, Some(period)) => set("cpu.max", format!("max {period}"), "cpu.period"),
        (None, None) => {}
    }
    if let Some(burst) = further.cpu_burst {
        set("cpu.max.burst", burst.to_string(), "cpu.burst");
    }
    if let Some(period) = further.cpu_realtime_period {
        set("cpu.rt_period_us", period.to_string(), "cpu.realtimePeriod");
    }
    if let Some(runtime) = further.cpu_realtime_runtime {
        set("cpu.rt_runtime_us", runtime.to_string(), "cpu.realtimeRuntime");
    }
    super::cpuset(settings, resources);
}

/// Adds the I/O limits. If the kernel has the BFQ scheduler, the weights are written unchanged to
/// `io.bfq.weight`, which accepts the weights of v1. Otherwise the weights are converted for
/// `io.weight` of the I/O cost controller. v2 has no leaf weights.
fn block_io(settings: &mut Settings, cgroup: &Cgroup) {
    let (resources, further) = (&cgroup.resources, &cgroup.further);
    if let Some(weight) = resources.blkio_weight {
        let setting = settings.set("io", "io.bfq.weight", weight, "blockIO.weight");
        setting.otherwise = Some(("io.weight", weight_of_blkio(weight).to_string()));
    }
    if let Some(weight) = further.blkio_leaf_weight {
        settings.set("io", "io.leaf_weight", weight, "blockIO.leafWeight");
    }
    for device in &further.device_weights {
        let (major, minor) = (device.major, device.minor);
        if let Some(weight) = device.weight {
            let value = format!("{major}:{minor} {weight}");
            let setting = settings.set("io", "io.bfq.weight", value, "blockIO.weightDevice");
            let value = format!("{major}:{minor} {}", weight_of_blkio(weight));
            setting.otherwise = Some(("io.weight", value));
        }
        if let Some(weight) = device.leaf_weight {
            let value = format!("{major}:{minor} {weight}");
            settings.set("io", "io.leaf_weight", value, "blockIO.weightDevice");
        }
    }
    for rate in resources.device_rates.iter().flatten() {
        let key = match rate.kind {
            RateKind::ReadBytes => "rbps",
            RateKind::WriteBytes => "wbps",
            RateKind::ReadOperations => "riops",
            RateKind::WriteOperations => "wiops",
        };
        let numbers = rate.numbers.as_deref().unwrap_or_default();
        let value = format!("{numbers} {key}={}", rate.rate);
        settings.set("io", "io.max", value, super::rate_name(rate.kind));
    }
}

/// Converts CPU shares of v1, 2 to 262144, to a weight of v2, 1 to 10000. The default 1024 becomes
/// the default 100. The formula is that of runc 1.4 and crun 1.23; its exponent is a polynomial of
/// the logarithm.
pub fn weight_of_shares(shares: u64) -> u64 {
    let log = (shares.clamp(2, 262_144) as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    (10f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
}

/// Converts a weight of v1, 10 to 1000, to a weight of v2, 1 to 10000.
fn weight_of_blkio(weight: u16) -> u64 {
    1 + (u64::from(weight.max(10)) - 10) * 9999 / 990
}

/// Creates `directory` and its missing parents. Delegates the controllers `wanted` to `directory`,
/// and as many of `others` as possible. A controller must be in cgroup.subtree_control of each
/// cgroup above. Fails if the directory cannot be created, or if a cgroup above cannot delegate a
/// wanted controller, for example because that cgroup is not the root and contains processes.
pub fn make(mount: &Path, directory: &Path, wanted: &[String], others: &[String]) -> Result<()> {
    super::make_directory(directory)?;
    let below = directory.strip_prefix(mount).unwrap_or(directory);
    let mut current = mount.to_owned();
    for component in below.components() {
        delegate(&current, wanted)?;
        for other in others.iter().filter(|other| !wanted.contains(other)) {
            // An error is ignored, because no limit of the container needs this controller.
            let _ = delegate(&current, std::slice::from_ref(other));
        }
        current.push(component);
    }
    Ok(())
}

fn delegate(directory: &Path, wanted: &[String]) -> Result<()> {
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
            // Only the root cgroup can contain processes and delegate controllers such as memory
            // at the same time ("No Internal Process Constraint").
            Some(Errno::BUSY) => Error::new(format!(
                "{} has processes of its own, so it can't delegate {missing}; start mydocker \
                 outside of it, or choose another parent cgroup",
                directory.display()
            )),
            _ => error,
        })
        .context(|| format!("write '{missing}' to {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::runtime::spec::{DeviceWeight, FurtherLimits, HugePageLimit, Resources};

    fn cgroup(resources: Resources, further: FurtherLimits) -> Cgroup {
        Cgroup {
            path: String::new(),
            resources,
            further,
            default_pids: None,
            default_memory_swap: None,
            every_controller: false,
            name_limit: str::to_owned,
        }
    }

    fn written(settings: Vec<Setting>) -> Vec<String> {
        settings.iter().map(|setting| format!("{}={}", setting.file, setting.value)).collect()
    }

    #[test]
    fn weights_span_their_range_and_defaults_become_defaults() {
        assert_eq!((weight_of_shares(2), weight_of_shares(262_144)), (1, 10_000));
        assert_eq!((weight_of_shares(0), weight_of_shares(u64::MAX)), (1, 10_000));
        assert_eq!((weight_of_shares(512), weight_of_shares(1024)), (59, 100));
        assert_eq!((weight_of_blkio(10), weight_of_blkio(1000)), (1, 10_000));
    }

    #[test]
    fn swap_is_the_total_minus_memory() {
        let value = |memory, memory_swap| {
            let resources = Resources { memory, memory_swap, ..Resources::default() };
            let settings = settings(&cgroup(resources, FurtherLimits::default()))?;
            let swap = settings.into_iter().find(|setting| setting.file == "memory.swap.max");
            Ok::<_, Error>(swap.map(|setting| setting.value))
        };
        assert_eq!(value(Some(100), Some(150)).unwrap().unwrap(), "50");
        assert_eq!(value(Some(100), Some(-1)).unwrap().unwrap(), "max");
        assert_eq!(value(Some(100), None).unwrap(), None);
        assert_eq!(value(Some(-1), None).unwrap().unwrap(), "max");
        assert_eq!(value(None, Some(-1)).unwrap().unwrap(), "max");
        let error = value(None, Some(100)).unwrap_err().to_string();
        assert!(error.contains("memory.swap 100 needs memory.limit"), "{error}");
        assert!(value(Some(100), Some(50)).unwrap_err().to_string().contains("is less than"));
    }

    #[test]
    fn v1_and_v2_write_the_limits_of_the_specification() {
        let resources = Resources {
            cpu_shares: Some(1024),
            cpu_quota: Some(20_000),
            blkio_weight: Some(10),
            pids: Some(-1),
            ..Resources::default()
        };
        let further = FurtherLimits {
            cpu_burst: Some(10_000),
            cpu_idle: Some(false),
            device_weights: vec![DeviceWeight {
                major: 8,
                minor: 0,
                weight: Some(1000),
                leaf_weight: Some(500),
            }],
            huge_pages: vec![HugePageLimit { size: "2MB".to_owned(), bytes: 4 << 20 }],
            unified: vec![("io.max".to_owned(), "8:0 rbps=1\n8:16 rbps=2".to_owned())],
            ..FurtherLimits::default()
        };
        let cgroup = cgroup(resources, further);
        assert_eq!(
            written(settings(&cgroup).unwrap()),
            [
                "cpu.idle=0",
                "cpu.weight=100",
                "cpu.max=20000",
                "cpu.max.burst=10000",
                "io.bfq.weight=10",
                "io.bfq.weight=8:0 1000",
                "io.leaf_weight=8:0 500",
                "pids.max=max",
                "hugetlb.2MB.max=4194304",
                "hugetlb.2MB.rsvd.max=4194304",
                "io.max=8:0 rbps=1",
                "io.max=8:16 rbps=2",
            ]
        );
        assert_eq!(
            written(super::super::v1::settings(&cgroup)),
            [
                "cpu.idle=0",
                "cpu.shares=1024",
                "cpu.cfs_quota_us=20000",
                "cpu.cfs_burst_us=10000",
                "blkio.bfq.weight=10",
                "blkio.bfq.weight_device=8:0 1000",
                "blkio.leaf_weight_device=8:0 500",
                "pids.max=max",
                "hugetlb.2MB.limit_in_bytes=4194304",
                "hugetlb.2MB.rsvd.limit_in_bytes=4194304",
            ]
        );
    }
}
