//! Sets a file's attributes from a tar entry: owner, then extended attributes, then mode, because
//! chown(2) drops setuid bits and file capabilities. A container may change the tree at the same
//! time. So the file is given by a descriptor, or by a name that was just created. A symbolic link
//! under that name is not followed. overlayfs's own attributes are left out, because with them an
//! image could redirect a path.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{
    AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, XattrFlags, chmod, chownat, fchmod,
    fchown, fsetxattr, openat, setxattr, utimensat,
};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::tar::{Entry, Kind};
use crate::error::{Context, Result, fail};

/// Sets the owner, the extended attributes and the mode of an open file. The caller sets the time,
/// which a later write would change.
pub fn set_attributes(file: BorrowedFd<'_>, entry: &Entry) -> Result<()> {
    let (uid, gid) = owner(entry)?;
    fchown(file, Some(uid), Some(gid)).context(|| "set the owner")?;
    for (name, value) in kept_xattrs(entry) {
        kept(name, fsetxattr(file, name, value, XattrFlags::empty()))?;
    }
    fchmod(file, Mode::from_raw_mode(entry.mode)).context(|| "set the mode")
}

/// Like [`set_attributes`], for a file that can't or must not be opened for reading. Also sets the
/// time. A symbolic link gets no mode. The caller has just created `name` in `parent`.
pub fn set_attributes_by_name(parent: BorrowedFd<'_>, name: &OsStr, entry: &Entry) -> Result<()> {
    let (uid, gid) = owner(entry)?;
    let no_follow = AtFlags::SYMLINK_NOFOLLOW;
    chownat(parent, name, Some(uid), Some(gid), no_follow).context(|| "set the owner")?;
    let mut xattrs = kept_xattrs(entry).peekable();
    let has_mode = entry.kind != Kind::Symlink;
    if has_mode || xattrs.peek().is_some() {
        // Do not use the name. setxattr(2) and chmod(2) follow a link, and a running container may
        // have replaced the file by a link. The magic link in /proc/self/fd leads to exactly the
        // open inode, even if the inode is a symbolic link.
        let handle = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = openat(parent, name, handle, Mode::empty())?;
        let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
        for (name, value) in xattrs {
            kept(name, setxattr(&path, name, value, XattrFlags::empty()))?;
        }
        if has_mode {
            chmod(path, Mode::from_raw_mode(entry.mode)).context(|| "set the mode")?;
        }
    }
    utimensat(parent, name, &times(entry), no_follow).context(|| "set the time")
}

fn owner(entry: &Entry) -> Result<(Uid, Gid)> {
    // For chown(2) an id of -1 means no change.
    if entry.uid == u32::MAX || entry.gid == u32::MAX {
        fail!("owner {}:{} is out of range", entry.uid, entry.gid);
    }
    Ok((Uid::from_raw(entry.uid), Gid::from_raw(entry.gid)))
}

/// Returns the extended attributes without overlayfs's own: a redirect in an image could show the
/// files of another path of a lower layer.
fn kept_xattrs(entry: &Entry) -> impl Iterator<Item = (&OsStr, &[u8])> {
    let kept = entry.xattrs.iter().filter(|(name, _)| !is_overlays(name));
    kept.map(|(name, value)| (OsStr::from_bytes(name), value.as_slice()))
}

/// Whether the attribute is one of overlayfs's own.
pub fn is_overlays(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

/// Ignores the error of a file system that can't store the attribute, such as ramfs.
fn kept(name: &OsStr, set: Result<(), Errno>) -> Result<()> {
    match set {
        Err(Errno::NOTSUP) => Ok(()),
        result => result.context(|| format!("set the attribute {}", name.display())),
    }
}

/// The times to set for an entry: its mtime. The access time stays.
pub fn times(entry: &Entry) -> Timestamps {
    let (seconds, nanoseconds) = entry.mtime;
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() },
    }
}
