//! The kernel's file systems in a container, and the paths in them that are masked or read-only, as
//! in Docker.
//!
//! These are data for `runtime::mounts`. The user's own mounts are in `spec`. References: proc(5),
//! sysfs(5), pts(4), tmpfs(5), mq_overview(7), and `maskedPaths` and `readonlyPaths` of the OCI
//! runtime specification.

use std::borrow::Cow;
use std::ffi::CStr;
use std::path::Path;

use crate::container::mode::NamespaceMode;
use crate::container::record::Record;
use crate::error::{Context, Result};
use crate::runtime::spec::{Mount, MountSource, SystemPaths};

/// The ID of the group `tty` in nearly every image.
const TTY: u32 = 5;

/// The most pseudo-terminals that one container may have open. The kernel has one limit for the
/// whole host (/proc/sys/kernel/pty/max, 4096 by default), so one container could otherwise take
/// all of them.
const MAX_TERMINALS: u32 = 256;

/// Masked paths, which show the host's state or change the host.
const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];

/// Paths whose files a container may read but not change.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Returns the mounts that come before the user's mounts.
pub(super) fn standard(record: &Record) -> Vec<Mount> {
    let kernel = |target: &str, kind: &'static CStr, options: Cow<'static, str>| {
        Mount::new(MountSource::Kernel { kind: kind.into(), options }, target)
    };
    let locked = "nosuid,nodev,noexec";
    let sysfs = if record.privileged { locked } else { "nosuid,nodev,noexec,ro" };
    let terminals = format!("nosuid,noexec,mode=0620,ptmxmode=0666,gid={TTY},max={MAX_TERMINALS}");
    let devices = MountSource::Devices { options: "nosuid,noexec,mode=755,size=65536k".into() };
    let mut mounts = Vec::with_capacity(16);
    mounts.push(kernel("/proc", c"proc", locked.into()));
    mounts.push(kernel("/sys", c"sysfs", sysfs.into()));
    mounts.push(Mount::new(devices, "/dev"));
    mounts.push(kernel("/dev/pts", c"devpts", terminals.into()));
    if record.namespaces.ipc != NamespaceMode::None {
        mounts.push(Mount::new(MountSource::SharedMemory { size: record.shm_size }, "/dev/shm"));
    }
    mounts.push(kernel("/dev/mqueue", c"mqueue", locked.into()));
    let read_only = !record.privileged;
    mounts.push(Mount { read_only, ..Mount::new(MountSource::Cgroups, "/sys/fs/cgroup") });
    mounts
}

/// Returns the masked and the read-only paths. There are none with `--privileged` or
/// `systempaths=unconfined`.
pub(super) fn system_paths(record: &Record) -> Result<SystemPaths> {
    if record.privileged || record.confinement.system_paths_unconfined {
        return Ok(SystemPaths::default());
    }
    let mut masked: Vec<String> = MASKED.map(str::to_owned).into();
    masked.extend(thermal_throttles()?);
    Ok(SystemPaths { masked, read_only: READ_ONLY.map(str::to_owned).into() })
}

/// Returns the paths of each CPU's thermal throttle counters, which show how busy other containers
/// are.
fn thermal_throttles() -> Result<Vec<String>> {
    const CPUS: &str = "/sys/devices/system/cpu";
    // Only x86 has these files, and its first CPU is normally online. If this CPU has no sensor, as
    // in most virtual machines, no CPU has a sensor, and the list of CPUs need not be read.
    if !Path::new(CPUS).join("cpu0/thermal_throttle").exists() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(CPUS).context(|| format!("list {CPUS}"))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_cpu = |name: &String| {
        let number = name.strip_prefix("cpu").unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    Ok(names.filter(is_cpu).map(|name| format!("{CPUS}/{name}/thermal_throttle")).collect())
}
