//! Binds whose later mounts appear on the other side (`rslave`, `rshared`), by mount_namespaces(7).
//!
//! The container's mount namespace starts as a copy of the host's, and each mount is in one peer group
//! with the host's own. A bind that must be shared is copied at that time, before all mounts become
//! slaves; a slave bind is copied after it. Both need a source that is in a peer group on the host. A
//! bind and the mounts below it may differ: each has its own option in an OCI bundle.
//!
//! Other types of propagation concern only the container and are set last: an unbindable mount could
//! not be copied any more when a path in it is locked.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, statx};
use rustix::mount::MountPropagationFlags;

use super::bind_source;
use super::spec::{Mount, MountSource, Propagation, PropagationKind, Recursion, Spec};
use crate::error::{Context, Result, fail};
use crate::sys::{self, beneath};

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
        let MountSource::Bind(source) = &mount.source else { continue };
        if !mount.is_shared() {
            continue;
        }
        let handle = bind_source::open(source, mount.subpath.as_deref())?;
        if mount.needs_group && !has_group(&handle, "shared:")? {
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

/// Gives an attached tree the propagation of its mount, and those below it theirs. A copy has what the
/// source has on the host, or is its slave: both are as much as was asked for, or more.
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
    for below in mounts_on(tree)? {
        set(&below, mount.propagation_below, true)?;
    }
    set(tree, mount.propagation, false)
}

/// The mounts whose mount points lie on the mount that `tree` is the root of.
fn mounts_on(tree: &OwnedFd) -> Result<Vec<OwnedFd>> {
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

/// A path of mountinfo, where blanks and backslashes are three octal digits.
fn unescape(text: &str) -> PathBuf {
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

fn mountinfo() -> Result<String> {
    std::fs::read_to_string("/proc/self/mountinfo").context(|| "read /proc/self/mountinfo")
}

/// Whether the mount that `handle` lies on has the peer group that `field`, an optional field of
/// mountinfo, names (proc_pid_mountinfo(5)).
fn has_group(handle: &OwnedFd, field: &str) -> Result<bool> {
    let (id, mounts) = (mount_id(handle)?, mountinfo()?);
    let line = mounts.lines().find(|line| line.split(' ').next() == Some(id.as_str()));
    let optional = line.into_iter().flat_map(|line| line.split(' ').skip(6));
    let mut optional = optional.take_while(|optional| *optional != "-");
    Ok(optional.any(|optional| optional.starts_with(field)))
}
