//! Binds whose later mounts appear on the other side (`rslave`, `rshared`), by mount_namespaces(7).
//!
//! The container's mount namespace starts as a copy of the host's, and each mount is in one peer group
//! with the host's own. A bind that must be shared is copied at that time, before all mounts become
//! slaves; a slave bind is copied after it. Both need a source that is in a peer group on the host.
//!
//! Other types of propagation concern only the container and are set last: an unbindable mount could
//! not be copied any more when a path in it is locked.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::mount::MountPropagationFlags;

use super::bind_source;
use super::spec::{MountSource, Propagation, PropagationKind, Spec};
use crate::error::{Context, Result, fail};
use crate::sys;

/// The kernel's flag for a type of propagation.
pub fn flag(kind: PropagationKind) -> MountPropagationFlags {
    match kind {
        PropagationKind::Shared => MountPropagationFlags::SHARED,
        PropagationKind::Slave => MountPropagationFlags::DOWNSTREAM,
        PropagationKind::Unbindable => MountPropagationFlags::UNBINDABLE,
    }
}

/// A copy of the source's tree for each shared mount of the spec, in their order.
pub fn copy_shared(spec: &Spec) -> Result<Vec<OwnedFd>> {
    let mut copies = Vec::new();
    for mount in &spec.mounts {
        let (MountSource::Bind(source), Propagation::Shared) = (&mount.source, mount.propagation)
        else {
            continue;
        };
        let handle = bind_source::open(source, mount.subpath.as_deref())?;
        if !has_group(&handle, "shared:")? {
            fail!(
                "{} is not on a shared mount of the host; make it one by `mount --make-shared`, or \
                 leave rshared out",
                source.display()
            );
        }
        let copy = sys::mount::copy_tree(handle.as_fd(), true);
        copies.push(copy.context(|| format!("copy the mount of {}", source.display()))?);
    }
    Ok(copies)
}

/// Refuses a slave whose source is in no peer group. All mounts here are slaves of the host's by now.
pub fn check_slave(handle: &OwnedFd, source: &std::path::Path) -> Result<()> {
    if has_group(handle, "master:")? {
        return Ok(());
    }
    fail!(
        "{} is not on a shared mount of the host; make it one by `mount --make-shared`, or leave \
         rslave out",
        source.display()
    )
}

/// Whether the mount that `handle` lies on has the peer group that `field`, an optional field of
/// mountinfo, names (proc_pid_mountinfo(5)).
fn has_group(handle: &OwnedFd, field: &str) -> Result<bool> {
    let found = statx(handle, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID);
    let id = found.context(|| "look for the mount of a bind")?.stx_mnt_id.to_string();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo");
    let mounts = mounts.context(|| "read /proc/self/mountinfo")?;
    let line = mounts.lines().find(|line| line.split(' ').next() == Some(id.as_str()));
    let optional = line.into_iter().flat_map(|line| line.split(' ').skip(6));
    let mut optional = optional.take_while(|optional| *optional != "-");
    Ok(optional.any(|optional| optional.starts_with(field)))
}
