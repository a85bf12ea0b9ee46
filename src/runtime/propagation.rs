//! Sets the propagation of bind mounts (`rslave`, `rshared`; mount_namespaces(7)): whether a later
//! mount on the host also appears in the container, and the reverse.
//!
//! A new mount namespace starts as a copy of the host's. The copy of a shared mount is in the peer
//! group of the original, or is a slave of the original if the container has a user namespace. A
//! shared bind is copied before these mounts become slaves, a slave bind afterwards. Docker's
//! shared and slave binds need a source in a peer group on the host. In an OCI bundle, a bind and
//! the mounts below it can have different propagation. Propagation inside the container is set
//! last, because an unbindable mount cannot be copied.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, statx};
use rustix::mount::MountPropagationFlags;

use super::bind_source;
use super::spec::{Mount, MountSource, Namespace, Propagation, PropagationKind, Recursion, Spec};
use crate::error::{Context, Result, fail};
use crate::sys::{self, beneath};

/// The flag of mount(2) for a type of propagation.
pub fn flag(kind: PropagationKind) -> MountPropagationFlags {
    match kind {
        PropagationKind::Shared => MountPropagationFlags::SHARED,
        PropagationKind::Slave => MountPropagationFlags::DOWNSTREAM,
        PropagationKind::Unbindable => MountPropagationFlags::UNBINDABLE,
    }
}

/// Copies the source of each shared bind, with the mounts below it unless the bind's recursion is
/// disabled. The copies are in the order of the spec. Fails if a source cannot be opened or copied.
/// Also fails if a bind needs a peer group (`needs_group`) and its source is not on a shared mount.
/// With a user namespace, the host's mounts are only slaves here, so such a bind fails.
pub fn copy_shared(spec: &Spec) -> Result<Vec<OwnedFd>> {
    let mut copies = Vec::new();
    for mount in &spec.mounts {
        let MountSource::Bind(source) = &mount.source else { continue };
        if !mount.is_shared() {
            continue;
        }
        let handle = bind_source::open(source, mount.subpath.as_deref())?;
        if mount.needs_group && !has_group(&handle, "shared:")? {
            if !matches!(spec.namespaces.user, Namespace::Host) && has_group(&handle, "master:")? {
                fail!(
                    "{}: with a user namespace a container's mounts can't reach the host; write \
                     rslave, or leave rshared out",
                    source.display()
                );
            }
            fail!(
                "{} is not on a shared mount of the host; make it one by `mount --make-shared`, or \
                 leave rshared out",
                source.display()
            );
        }
        let copy = sys::mount::copy_tree(handle.as_fd(), mount.recursion != Recursion::Disabled);
        copies.push(copy.context(|| format!("copy the mount of {}", source.display()))?);
    }
    Ok(copies)
}

/// Fails if the source of a slave bind is neither on a shared nor on a slave mount of the host. The
/// copies of the host's shared mounts are slaves by now, so the line of the source's mount in
/// mountinfo must have a `master:` field. Also fails if mountinfo cannot be read.
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

/// Sets the propagation of an attached mount and of the mounts below it. A shared mount needs no
/// change: the copy from `copy_shared` is in the peer group of its source, if the source has one.
pub fn settle(tree: &OwnedFd, mount: &Mount) -> Result<()> {
    let set = |tree: &OwnedFd, propagation, recursive| match propagation {
        Propagation::Private => {
            sys::mount::set_propagation(tree.as_fd(), MountPropagationFlags::PRIVATE, recursive)
                .context(|| "make it private")
        }
        Propagation::Slave => {
            sys::mount::set_propagation(tree.as_fd(), MountPropagationFlags::DOWNSTREAM, recursive)
                .context(|| "make it a slave")
        }
        Propagation::Shared => Ok(()),
    };
    if mount.propagation == mount.propagation_below {
        return set(tree, mount.propagation, true);
    }
    for below in mounts_below(tree)? {
        set(&below, mount.propagation_below, true)?;
    }
    set(tree, mount.propagation, false)
}

/// Opens the mounts directly below the mount `tree`, by their paths in /proc/self/mountinfo.
fn mounts_below(tree: &OwnedFd) -> Result<Vec<OwnedFd>> {
    let (id, mounts) = (mount_id(tree)?, mountinfo()?);
    let fields = |line: &str| -> Option<(String, String, PathBuf)> {
        let mut fields = line.split(' ').map(str::to_owned);
        let (own, parent) = (fields.next()?, fields.next()?);
        Some((own, parent, unescape(&fields.nth(2)?)))
    };
    let all: Vec<_> = mounts.lines().filter_map(fields).collect();
    let Some((_, _, top)) = all.iter().find(|(own, ..)| *own == id) else { return Ok(Vec::new()) };
    let below = all.iter().filter(|(_, parent, _)| *parent == id);
    below
        .filter_map(|(_, _, path)| path.strip_prefix(top).ok())
        .map(|path| {
            beneath::open_without_links(tree.as_fd(), path, OFlags::PATH, Mode::empty())
                .context(|| format!("open the mount {} of a bind", path.display()))
        })
        .collect()
}

/// Decodes the octal escapes in a path of mountinfo: `\040` is a space, `\134` a backslash.
pub fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let digits = others.get(..3).filter(|_| *first == b'\\');
        let number = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match number.and_then(|number| u8::from_str_radix(number, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &others[3..];
            }
            None => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

fn mount_id(handle: &OwnedFd) -> Result<String> {
    let found = statx(handle, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID);
    Ok(found.context(|| "look for the mount of a bind")?.stx_mnt_id.to_string())
}

/// The text of /proc/self/mountinfo: the mounts of the caller's mount namespace
/// (proc_pid_mountinfo(5)).
pub fn mountinfo() -> Result<String> {
    sys::procfs::read_table("/proc/self/mountinfo").context(|| "read /proc/self/mountinfo")
}

/// Whether the mount of `handle` has an optional field in mountinfo that starts with `field`, which
/// is `shared:` or `master:` (proc_pid_mountinfo(5)).
fn has_group(handle: &OwnedFd, field: &str) -> Result<bool> {
    let (id, mounts) = (mount_id(handle)?, mountinfo()?);
    let line = mounts.lines().find(|line| line.split(' ').next() == Some(id.as_str()));
    let optional = line.into_iter().flat_map(|line| line.split(' ').skip(6));
    let mut optional = optional.take_while(|optional| *optional != "-");
    Ok(optional.any(|optional| optional.starts_with(field)))
}
