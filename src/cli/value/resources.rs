//! The values of the flags that limit a container's resources, which `run`, `create` and `update`
//! share. Each function parses one value and stores it. As in Docker, 0 means that nothing is set.
//! What the machine has and what contradicts each other is checked by the engine.

use super::limit::parse_number;
use crate::engine::options::Resources;
use crate::error::{Result, fail};
use crate::units::{ByteSize, check_cpu_list, parse_nano_cpus};

/// `--memory`
pub fn set_memory(resources: &mut Resources, value: &str) -> Result<()> {
    resources.memory = limit_unless_zero(ByteSize::parse(value)?);
    Ok(())
}

/// `--memory-swap`
pub fn set_memory_swap(resources: &mut Resources, value: &str) -> Result<()> {
    resources.memory_swap = match value {
        "-1" => Some(-1),
        _ => limit_unless_zero(ByteSize::parse(value)?),
    };
    Ok(())
}

/// `--memory-reservation`
pub fn set_memory_reservation(resources: &mut Resources, value: &str) -> Result<()> {
    resources.memory_reservation = limit_unless_zero(ByteSize::parse(value)?);
    Ok(())
}

/// `--cpus`
pub fn set_cpus(resources: &mut Resources, value: &str) -> Result<()> {
    resources.nano_cpus = unless_zero(parse_nano_cpus(value)?);
    Ok(())
}

/// `--cpu-shares`
pub fn set_cpu_shares(resources: &mut Resources, value: &str) -> Result<()> {
    resources.cpu_shares = match value {
        "0" => None,
        _ => Some(parse_number(value, 2, 262_144)?),
    };
    Ok(())
}

/// `--cpu-quota`
pub fn set_cpu_quota(resources: &mut Resources, value: &str) -> Result<()> {
    resources.cpu_quota = match value {
        "0" => None,
        "-1" => Some(-1),
        _ => Some(parse_number(value, 1_000, i64::MAX / 1_000)?),
    };
    Ok(())
}

/// `--cpu-period`
pub fn set_cpu_period(resources: &mut Resources, value: &str) -> Result<()> {
    resources.cpu_period = match value {
        "0" => None,
        _ => Some(parse_number(value, 1_000, 1_000_000)?),
    };
    Ok(())
}

/// `--cpuset-cpus`
pub fn set_cpuset_cpus(resources: &mut Resources, value: &str) -> Result<()> {
    check_cpu_list(value)?;
    resources.cpuset_cpus = Some(value.to_owned());
    Ok(())
}

/// `--cpuset-mems`
pub fn set_cpuset_mems(resources: &mut Resources, value: &str) -> Result<()> {
    check_cpu_list(value)?;
    resources.cpuset_mems = Some(value.to_owned());
    Ok(())
}

/// `--pids-limit`
pub fn set_pids(resources: &mut Resources, value: &str) -> Result<()> {
    resources.pids = match value {
        "0" | "-1" => Some(-1),
        // The kernel's PID_MAX_LIMIT.
        _ => Some(parse_number(value, 1, 4_194_304)?),
    };
    Ok(())
}

/// `--blkio-weight`
pub fn set_blkio_weight(resources: &mut Resources, value: &str) -> Result<()> {
    resources.blkio_weight = match value {
        "0" => None,
        _ => Some(parse_number(value, 10, 1000)?),
    };
    Ok(())
}

/// `--kernel-memory`
pub fn refuse_kernel_memory(_: &str) -> Result<()> {
    fail!("Linux 5.16 dropped this limit; --memory counts the kernel's memory too")
}

/// Docker's 0 means no limit.
pub fn unless_zero<N: PartialEq + Default>(number: N) -> Option<N> {
    (number != N::default()).then_some(number)
}

/// The size as the kernel counts limits. A `ByteSize` is never larger.
pub fn limit_unless_zero(size: ByteSize) -> Option<i64> {
    unless_zero(size.0 as i64)
}
