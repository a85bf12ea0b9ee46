//! Files of the host that a container gets as copies of its own. They lie in a file system in memory
//! (tmpfs(5)) that holds nothing else, so what the container writes to them reaches no disk and
//! has a bound.
//!
//! The process that starts the container makes the file system before the container's first process
//! exists, and changes the files through its descriptor as long as the container runs. The first
//! process mounts each file alone: the container sees no directory in which it could make others.

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

/// How many bytes a container can add to its copies, all of them together.
const ROOM: u64 = 1 << 20;

/// Makes a file system, mounted nowhere, with the copies that the spec asks for; `None` if it asks for
/// none. The files keep their names.
pub fn make(spec: &Spec) -> Result<Option<OwnedFd>> {
    let mut texts = Vec::new();
    let mut room = ROOM;
    for mount in &spec.mounts {
        let MountSource::Copy(path) = &mount.source else { continue };
        let text = read(path).context(|| format!("read {}", path.display()))?;
        room += text.len() as u64;
        texts.push((path.file_name().unwrap_or_default(), text));
    }
    if texts.is_empty() {
        return Ok(None);
    }
    // The root directory takes an inode too.
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

/// As `std::fs::read`, with half its system calls, because every start calls this.
fn read(path: &Path) -> Result<Vec<u8>, Errno> {
    const PIECE: usize = 4096;
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::with_capacity(PIECE);
    while rustix::io::read(&file, spare_capacity(&mut text))? > 0 {
        text.reserve(PIECE);
    }
    Ok(text)
}

/// A detached mount of the copy of `path` in the file system `copies`, which is mounted in the
/// caller's namespace.
pub fn tree(copies: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(copies, path.file_name().unwrap_or_default(), flags, Mode::empty())
        .and_then(|file| sys::mount::copy_tree(file.as_fd(), false))
        .context(|| format!("find the copy of {}", path.display()))
}

/// Whether a file that another container has mounted may be a copy. A file of a disk or of the kernel
/// is not: that container may have mounted it there in the copy's place.
pub fn is_one(tree: BorrowedFd<'_>) -> Result<bool> {
    let stat = fstat(tree).context(|| "stat another container's file")?;
    let found = fstatfs(tree).context(|| "look at another container's file")?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && found.f_type as u64 == u64::from(TMPFS_MAGIC))
}
