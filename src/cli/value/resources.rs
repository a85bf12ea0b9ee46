//! Parses the values of the flags that limit a container's resources, which several commands share.
//! Most functions parse one value and store it. As in Docker, a number of 0 counts as if the flag
//! was not given, except that `--pids-limit 0` means no limit. In a list of CPUs or memory nodes, 0
//! is the first one. The engine checks the values against the machine and against each other.

use super::limit::parse_number;
use crate::engine::options::Resources;
use crate::error::{Result, fail};
use crate::units::{ByteSize, check_cpu_list, parse_nano_cpus};

/// Sets `--memory`, in bytes (`512m`).
pub fn set_memory(resources: &mut Resources, value: &str) -> Result<()> {
    resources.memory = limit_unless_zero(ByteSize::parse(value)?);
    Ok(())
}

/// Sets `--memory-swap`: memory plus swap in bytes, or -1 for no limit.
pub fn set_memory_swap(resources: &mut Resources, value: &str) -> Result<()> {
    resources.memory_swap = match value {
        "-1" => Some(-1),
        _ => limit_unless_zero(ByteSize::parse(value)?),
    };
    Ok(())
}

/// Sets `--memory-reservation`, in bytes.
pub fn set_memory_reservation(resources: &mut Resources, value: &str) -> Result<()> {
    resources.memory_reservation = limit_unless_zero(ByteSize::parse(value)?);
    Ok(())
}

/// Sets `--cpus`, stored in billionths of a CPU.
pub fn set_cpus(resources: &mut Resources, value: &str) -> Result<()> {
    resources.nano_cpus = unless_zero(parse_nano_cpus(value)?);
    Ok(())
}

/// Sets `--cpu-shares`, a weight from 2 to 262144.
pub fn set_cpu_shares(resources: &mut Resources, value: &str) -> Result<()> {
    resources.cpu_shares = match value {
        "0" => None,
        _ => Some(parse_number(value, 2, 262_144)?),
    };
    Ok(())
}

/// Sets `--cpu-quota`, in microseconds per period, or -1 for no limit.
pub fn set_cpu_quota(resources: &mut Resources, value: &str) -> Result<()> {
    resources.cpu_quota = match value {
        "0" => None,
        "-1" => Some(-1),
        _ => Some(parse_number(value, 1_000, i64::MAX / 1_000)?),
    };
    Ok(())
}

/// Sets `--cpu-period`, from 1000 to 1000000 microseconds.
pub fn set_cpu_period(resources: &mut Resources, value: &str) -> Result<()> {
    resources.cpu_period = match value {
        "0" => None,
        _ => Some(parse_number(value, 1_000, 1_000_000)?),
    };
    Ok(())
}

/// Sets `--cpuset-cpus`, a list of CPUs such as `0-3,7` (cpuset(7)).
pub fn set_cpuset_cpus(resources: &mut Resources, value: &str) -> Result<()> {
    check_cpu_list(value)?;
    resources.cpuset_cpus = Some(value.to_owned());
    Ok(())
}

/// Sets `--cpuset-mems`, a list of memory nodes such as `0-1` (cpuset(7)).
pub fn set_cpuset_mems(resources: &mut Resources, value: &str) -> Result<()> {
    check_cpu_list(value)?;
    resources.cpuset_mems = Some(value.to_owned());
    Ok(())
}

/// Sets `--pids-limit`, a number of tasks. 0 and negative numbers mean no limit.
pub fn set_pids(resources: &mut Resources, value: &str) -> Result<()> {
    resources.pids = match value {
        "0" => Some(-1),
        // As in Docker, every negative number means no limit.
        _ if value.parse().is_ok_and(|number: i64| number < 0) => Some(-1),
        // The maximum is the kernel's PID_MAX_LIMIT.
        _ => Some(parse_number(value, 1, 4_194_304)?),
    };
    Ok(())
}

/// Sets `--blkio-weight`, from 10 to 1000.
pub fn set_blkio_weight(resources: &mut Resources, value: &str) -> Result<()> {
    resources.blkio_weight = match value {
        "0" => None,
        _ => Some(parse_number(value, 10, 1000)?),
    };
    Ok(())
}

/// Fails for `--kernel-memory`, because the kernel has no such limit any more.
pub fn refuse_kernel_memory<A>(_: &mut A, _: &str) -> Result<()> {
    fail!("Linux 5.16 dropped this limit; --memory counts the kernel's memory too")
}

/// Fails for `--cpu-rt-period` and `--cpu-rt-runtime`.
pub fn refuse_real_time<A>(_: &mut A, _: &str) -> Result<()> {
    fail!(
        "cgroups have no share of real time on most kernels and none in version 2; give \
         --ulimit rtprio=N and --cap-add SYS_NICE"
    )
}

/// Returns `None` for 0, which in Docker counts as not given.
pub fn unless_zero<N: PartialEq + Default>(number: N) -> Option<N> {
    (number != N::default()).then_some(number)
}

/// Returns the size as a limit of the kernel, in bytes, or `None` for 0. A parsed `ByteSize` fits
/// into an i64, because `ByteSize::parse` refuses larger sizes.
pub fn limit_unless_zero(size: ByteSize) -> Option<i64> {
    unless_zero(size.0 as i64)
}
