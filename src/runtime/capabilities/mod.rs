//! The capability sets of a container's processes (capabilities(7)): Docker's default set, and the
//! steps that cut bounding, permitted and effective down to the wanted set. Inheritable and ambient
//! are empty in Docker (CVE-2022-24769); only the OCI face may ask for them (`grant`). Sets are u64 masks
//! with bit N for capability number N; `names`, in the crate of the seccomp compiler, maps the names to
//! bits.

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

/// Every capability that the running kernel knows.
pub fn all() -> u64 {
    // The kernel returns EINVAL for a capability it does not know, and the first one ends the list.
    (0..64)
        .map(|number| 1u64 << number)
        .take_while(|bit| {
            rustix::thread::capability_is_in_bounding_set(CapabilitySet::from_bits_retain(*bit))
                .is_ok()
        })
        .fold(0, |all, bit| all | bit)
}

/// The bounding set of process `pid`, which neither it nor its children can exceed
/// (proc_pid_status(5)); 0 if the process has ended.
pub fn bounding_set(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
}

/// The names of a set, in the order of their numbers; a capability that is newer than this list by
/// its number.
pub fn list_names(set: u64) -> String {
    let name = |number: usize| match names::NAMES.get(number) {
        Some(name) => (*name).to_owned(),
        None => number.to_string(),
    };
    let names = (0..64).filter(|number| set & (1 << number) != 0).map(name);
    names.collect::<Vec<_>>().join(" ")
}

/// Drops everything outside `keep` from the bounding set, so that no program with file capabilities
/// can regain it. Needs CAP_SETPCAP, so it comes before `limit`.
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
/// `spare` stays permitted but not effective until `raise`. At the latest execve drops it, because
/// the bounding set lacks it.
pub fn limit(keep: u64, spare: u64) -> Result<()> {
    let now = rustix::thread::capabilities(None).context(|| "read the capability sets")?;
    let effective = now.effective & CapabilitySet::from_bits_retain(keep);
    let spare = now.permitted & CapabilitySet::from_bits_retain(spare);
    set(effective, effective | spare)
}

/// Makes only `keep` of the permitted capabilities effective. All of them stay permitted. Returns them.
pub fn lower_effective(keep: u64) -> Result<CapabilitySet> {
    let now = rustix::thread::capabilities(None).context(|| "read the capability sets")?;
    set(now.permitted & CapabilitySet::from_bits_retain(keep), now.permitted)?;
    Ok(now.permitted)
}

/// Makes capabilities inheritable, and makes those ambient that a program without privileges of its own
/// must keep. `permitted` holds the process's capabilities; the ambient ones are added to it.
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
    // The rest was only kept over the change of user for this call; ambient ones must stay permitted.
    let permitted =
        now.permitted & CapabilitySet::from_bits_retain(now.effective.bits() | ambient | spare);
    let sets = CapabilitySets { effective: now.effective, permitted, inheritable };
    rustix::thread::set_capabilities(None, sets).context(|| "set the capability sets")
}

/// Adds permitted capabilities to the effective set.
pub fn raise(capabilities: u64) -> Result<()> {
    let now = rustix::thread::capabilities(None).context(|| "read the capability sets")?;
    set(now.effective | CapabilitySet::from_bits_retain(capabilities), now.permitted)
}

/// Makes the whole permitted set effective.
pub fn raise_permitted() -> Result<()> {
    let now = rustix::thread::capabilities(None).context(|| "read the capability sets")?;
    set(now.permitted, now.permitted)
}

/// Nothing is inheritable (see `limit`).
pub fn set(effective: CapabilitySet, permitted: CapabilitySet) -> Result<()> {
    let sets = CapabilitySets { effective, permitted, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).context(|| "set the capability sets")
}
