//! Capability sets of a container's processes (capabilities(7)).

pub mod names;

use rustix::thread::{CapabilitySet, CapabilitySets};

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

/// Every capability that the running kernel knows.
pub fn all() -> u64 {
    // One that the kernel doesn't know can't be asked about (EINVAL): the first such ends the list.
    (0..64)
        .map(|number| 1u64 << number)
        .take_while(|bit| {
            rustix::thread::capability_is_in_bounding_set(CapabilitySet::from_bits_retain(*bit))
                .is_ok()
        })
        .fold(0, |all, bit| all | bit)
}

/// What a running process and all that it begets can never go beyond (proc_pid_status(5)); nothing
/// for one that has ended.
pub fn bounding_set(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
}

/// Takes everything outside `keep` from the bounding set, so that no program with file
/// capabilities can bring it back. Needs CAP_SETPCAP: done before the sets are cut down.
pub fn limit_bounding(keep: u64) -> Result<()> {
    let drop = all() & !keep;
    for number in (0..64).filter(|number| drop & (1u64 << number) != 0) {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        rustix::thread::remove_capability_from_bounding_set(capability)
            .context(|| format!("drop capability {number} from the bounding set"))?;
    }
    Ok(())
}

/// Cuts effective and permitted down to `keep`; inheritable is empty, as Docker has it since
/// CVE-2022-24769. A process that left UID 0 has an empty effective set already: none are added.
/// `spare` stays permitted beside them, out of effect until `raise` or, at the latest, execve,
/// which takes away whatever the bounding set lacks.
pub fn limit(keep: u64, spare: u64) -> Result<()> {
    let now = rustix::thread::capabilities(None).context(|| "read the capability sets")?;
    let effective = now.effective & CapabilitySet::from_bits_retain(keep);
    let spare = now.permitted & CapabilitySet::from_bits_retain(spare);
    set(effective, effective | spare)
}

/// Leaves only `keep` of what is permitted in effect. All of it stays permitted, and is returned.
pub fn lower_effective(keep: u64) -> Result<CapabilitySet> {
    let now = rustix::thread::capabilities(None).context(|| "read the capability sets")?;
    set(now.permitted & CapabilitySet::from_bits_retain(keep), now.permitted)?;
    Ok(now.permitted)
}

/// Puts permitted capabilities into effect.
pub fn raise(capabilities: u64) -> Result<()> {
    let now = rustix::thread::capabilities(None).context(|| "read the capability sets")?;
    set(now.effective | CapabilitySet::from_bits_retain(capabilities), now.permitted)
}

/// Puts everything permitted into effect.
pub fn raise_permitted() -> Result<()> {
    let now = rustix::thread::capabilities(None).context(|| "read the capability sets")?;
    set(now.permitted, now.permitted)
}

/// Nothing is inheritable (see `limit`).
pub fn set(effective: CapabilitySet, permitted: CapabilitySet) -> Result<()> {
    let sets = CapabilitySets { effective, permitted, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).context(|| "set the capability sets")
}
