//! Opens a file of a container for writing if another file is mounted on it, such as /etc/hosts or
//! a file given by `-v`.
//!
//! A copy normally replaces a file by removing its name. If a file is mounted there, unlink(2)
//! would unmount it in the container, because the mount belongs to another namespace. The container
//! would lose the mounted file, and would not see later changes of this file. So the mounted file
//! is written in place, and keeps its owner and mode.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::kernel_files::is_kernel_file;
use crate::error::{Context, Result, fail};
use crate::sys::{self, beneath};

/// If `name` is a mount point, opens the file there and truncates it. Otherwise, or if `name` does
/// not exist, returns `None`. Fails if the mounted object is not a regular file, is a file of the
/// kernel, or can't be opened.
pub fn open_mounted(parent: BorrowedFd<'_>, name: &OsStr) -> Result<Option<OwnedFd>> {
    let handle = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = match openat(parent, name, handle, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        result => result?,
    };
    if !sys::mount::is_mount_root(handle.as_fd(), Path::new(""))? {
        return Ok(None);
    }
    if FileType::from_raw_mode(fstat(&handle)?.st_mode) != FileType::RegularFile {
        fail!("something that isn't a file is mounted there");
    }
    // A container that is allowed to mount could mount a kernel file there, and the host's root
    // would write to that file.
    if is_kernel_file(handle.as_fd())? {
        fail!("a file of the kernel's is mounted there");
    }
    // Open the file by its handle. The name could lead to a device that has replaced the file, and
    // opening a device can have an effect.
    let own = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = openat(CWD, own, flags, Mode::empty()).map_err(beneath::open_error);
    opened.map(Some).context(|| "open what is mounted there")
}
