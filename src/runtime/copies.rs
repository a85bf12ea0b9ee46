//! A container's own copies of hosts, resolv.conf and hostname, which the container may change.
//!
//! The copies are in a tmpfs of their own (tmpfs(5)). So the container's changes do not reach the
//! original files, and the size of the copies is limited. The process that starts the container
//! creates the tmpfs before it clones init, and keeps a descriptor to change the copies later. Init
//! mounts the single files and not the tmpfs, so the container cannot create other files in the
//! tmpfs.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux_raw_sys::general::TMPFS_MAGIC;
use rustix::buffer::spare_capacity;
use rustix::fs::{CWD, FileType, Mode, OFlags, fchown, fstat, fstatfs, openat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::{Gid, Uid, umask};

use super::spec::{MountSource, Spec};
use crate::error::{Context, Result};
use crate::sys;

/// The approximate number of bytes that a container can add to all its copies together.
const ROOM: u64 = 1 << 20;

/// Creates a detached tmpfs with the copies of `spec`; `None` if `spec` has none. A copy has the
/// name of its original and belongs to the container's root. Reads an original only if `spec.texts`
/// lacks its text.
pub fn make(spec: &Spec) -> Result<Option<OwnedFd>> {
    let mut texts = Vec::new();
    let mut room = ROOM;
    for mount in &spec.mounts {
        let MountSource::Copy(path) = &mount.source else { continue };
        let text = match spec.texts.iter().find(|(known, _)| known == path) {
            Some((_, text)) => Cow::Borrowed(text.as_bytes()),
            None => read(path).context(|| format!("read {}", path.display()))?.into(),
        };
        room += text.len() as u64;
        texts.push((path.file_name().unwrap_or_default(), text));
    }
    if texts.is_empty() {
        return Ok(None);
    }
    // The root directory of the tmpfs needs an inode too.
    let (size, inodes) = (room.to_string(), (texts.len() + 1).to_string());
    let options = [("size", size.as_str()), ("nr_inodes", &inodes)];
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let make = || -> Result<OwnedFd> {
        let tree = sys::mount::filesystem(c"tmpfs", "", &options, attributes)?;
        for (name, text) in &texts {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
            let file = openat(&tree, *name, flags, Mode::from_raw_mode(0o644))?;
            if let Some(ids) = &spec.ids {
                let root = (ids.host_uid(0), ids.host_gid(0));
                fchown(&file, root.0.map(Uid::from_raw), root.1.map(Gid::from_raw))?;
            }
            File::from(file).write_all(text)?;
        }
        Ok(tree)
    };
    let callers = umask(Mode::empty());
    let made = make();
    umask(callers);
    made.map(Some).context(|| "make the copies of the host's files")
}

/// Writes the files of `spec.texts`. The caller can do this while init builds the root, because no
/// command needs the files before the container runs. If the process is killed, a file may be
/// half-written; the next start writes all these files again.
pub fn save(spec: &Spec) -> Result<()> {
    for (path, text) in &spec.texts {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        openat(CWD, path, flags, Mode::from_raw_mode(0o644))
            .map_err(Into::into)
            .and_then(|file| File::from(file).write_all(text.as_bytes()))
            .context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// As `std::fs::read`, but with fewer system calls.
fn read(path: &Path) -> Result<Vec<u8>, Errno> {
    const PIECE: usize = 4096;
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::with_capacity(PIECE);
    while rustix::io::read(&file, spare_capacity(&mut text))? > 0 {
        text.reserve(PIECE);
    }
    Ok(text)
}

/// Creates a detached mount of the copy of `path`. `copies` is the tmpfs, mounted in the caller's
/// mount namespace. Fails with ENOENT if the tmpfs has no such copy.
pub fn tree(copies: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(copies, path.file_name().unwrap_or_default(), flags, Mode::empty())
        .and_then(|file| sys::mount::copy_tree(file.as_fd(), false))
        .context(|| format!("find the copy of {}", path.display()))
}

/// Whether a file that another container has mounted may be a copy: a regular file in a tmpfs. The
/// other container may have mounted a file of a disk or of /proc in the copy's place.
pub fn may_be_copy(tree: BorrowedFd<'_>) -> Result<bool> {
    let stat = fstat(tree).context(|| "stat another container's file")?;
    let found = fstatfs(tree).context(|| "look at another container's file")?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && found.f_type as u64 == u64::from(TMPFS_MAGIC))
}
