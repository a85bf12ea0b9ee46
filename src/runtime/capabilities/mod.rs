//! The capability sets of a container's processes (capabilities(7)): Docker's default set, and the
//! steps that change the sets. In containers of the engine the inheritable and ambient sets are
//! empty, as in Docker (CVE-2022-24769). Only the OCI runtime can fill these two sets (`grant`).
//!
//! A set is a mask in which bit N stands for capability number N. The module `names`, from the
//! crate `seccomp-compiler`, lists the names in the order of the numbers.

use rustix::thread::{CapabilitySet, CapabilitySets};

pub use seccomp_compiler::capabilities as names;

use crate::error::{Context, Result};

/// Docker's default set: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP
/// NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP.
pub const DEFAULT: u64 = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::AUDIT_WRITE)
    .union(CapabilitySet::SETFCAP)
    .bits();

/// The set of all capabilities that the running kernel supports.
pub fn all() -> u64 {
    // The numbers have no gaps, and the kernel returns EINVAL for each number that it does not
    // support. So a binary search finds the count.
    let is_known = |number: u32| {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        rustix::thread::capability_is_in_bounding_set(capability).is_ok()
    };
    let (mut known, mut unknown) = (0, 63);
    while known + 1 < unknown {
        let middle = (known + unknown) / 2;
        if is_known(middle) { known = middle } else { unknown = middle }
    }
    (1 << unknown) - 1
}

/// The bounding set of process `pid`, which limits the capabilities that the process can gain by
/// execve(2) (proc_pid_status(5), CapBnd). 0 if /proc/PID/status cannot be read.
pub fn bounding_set(pid: i32) -> u64 {
    set_of(pid, "CapBnd:")
}

/// The effective set of process `pid`: the capabilities that the kernel checks (CapEff). 0 if
/// /proc/PID/status cannot be read.
pub fn effective_set(pid: i32) -> u64 {
    set_of(pid, "CapEff:")
}

fn set_of(pid: i32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix(name));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
}

/// The names of a set's capabilities without CAP_, in the order of their numbers, with spaces
/// between them. A capability without a known name is shown by its number.
pub fn list_names(set: u64) -> String {
    let name = |number: usize| match names::NAMES.get(number) {
        Some(name) => (*name).to_owned(),
        None => number.to_string(),
    };
    let names = (0..64).filter(|number| set & (1 << number) != 0).map(name);
    names.collect::<Vec<_>>().join(" ")
}

/// Removes all capabilities but `keep` from the bounding set. execve(2) then grants none of the
/// removed capabilities from a file's permitted set. Needs CAP_SETPCAP, so callers call this before
/// `limit`.
pub fn limit_bounding(keep: u64) -> Result<()> {
    let drop = all() & !keep;
    for number in (0..64).filter(|number| drop & (1u64 << number) != 0) {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        rustix::thread::remove_capability_from_bounding_set(capability)
            .context(|| format!("drop capability {number} from the bounding set"))?;
    }
    Ok(())
}

/// Reduces the effective set to its capabilities in `keep`, and the permitted set to the same ones
/// and those in `spare`. Empties the inheritable set, as Docker does since CVE-2022-24769, and
/// thereby the ambient set. Adds no capability, so the effective set of a process that has left UID
/// 0 stays empty.
///
/// `raise` can make the capabilities in `spare` effective later. The next execve(2) drops those
/// that are not in the bounding set.
pub fn limit(keep: u64, spare: u64) -> Result<()> {
    let now = rustix::thread::capabilities(None).context(|| "read the capability sets")?;
    let effective = now.effective & CapabilitySet::from_bits_retain(keep);
    let spare = now.permitted & CapabilitySet::from_bits_retain(spare);
    set(effective, effective | spare)
}

/// Makes only the permitted capabilities in `keep` effective, and empties the inheritable set.
/// Returns the permitted set, which stays as it is.
pub fn lower_effective(keep: u64) -> Result<CapabilitySet> {
    let now = rustix::thread::capabilities(None).context(|| "read the capability sets")?;
    set(now.permitted & CapabilitySet::from_bits_retain(keep), now.permitted)?;
    Ok(now.permitted)
}

/// Sets the inheritable set, and adds `ambient` to the ambient set. execve(2) of a file without
/// capabilities keeps the ambient set. Afterwards only the effective, ambient and `spare`
/// capabilities are permitted. Fails with EPERM if a capability in `ambient` is not permitted or
/// not inheritable, or if the kernel refuses a capability in `inheritable` (capset(2)).
pub fn grant(inheritable: u64, ambient: u64, spare: u64) -> Result<()> {
    let now = rustix::thread::capabilities(None).context(|| "read the capability sets")?;
    let inheritable = CapabilitySet::from_bits_retain(inheritable);
    let sets = CapabilitySets { inheritable, ..now };
    rustix::thread::set_capabilities(None, sets).context(|| "set the inheritable capabilities")?;
    for number in (0..64).filter(|number| ambient & (1u64 << number) != 0) {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        rustix::thread::configure_capability_in_ambient_set(capability, true)
            .context(|| format!("make capability {number} ambient"))?;
    }
    // The other permitted capabilities were kept at the change of user only for the calls above.
    // Ambient capabilities must stay permitted.
    let permitted =
        now.permitted & CapabilitySet::from_bits_retain(now.effective.bits() | ambient | spare);
    let sets = CapabilitySets { effective: now.effective, permitted, inheritable };
    rustix::thread::set_capabilities(None, sets).context(|| "set the capability sets")
}

/// Adds `capabilities` to the effective set. Keeps the other sets: if the inheritable set were
/// emptied, the process would lose its ambient capabilities. Fails with EPERM if one of
/// `capabilities` is not permitted.
pub fn raise(capabilities: u64) -> Result<()> {
    let now = rustix::thread::capabilities(None).context(|| "read the capability sets")?;
    let effective = now.effective | CapabilitySet::from_bits_retain(capabilities);
    let sets = CapabilitySets { effective, ..now };
    rustix::thread::set_capabilities(None, sets).context(|| "set the capability sets")
}

/// Makes all permitted capabilities effective, and empties the inheritable set.
pub fn raise_permitted() -> Result<()> {
    let now = rustix::thread::capabilities(None).context(|| "read the capability sets")?;
    set(now.permitted, now.permitted)
}

/// Sets the effective and permitted sets and empties the inheritable set (capset(2)).
pub fn set(effective: CapabilitySet, permitted: CapabilitySet) -> Result<()> {
    let sets = CapabilitySets { effective, permitted, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).context(|| "set the capability sets")
}
