//! A file of a container's that another is mounted on: /etc/hosts, a file given by `-v`.
//!
//! Removing its name, as a copy that takes its place must, unmounts it in the container: unlink(2)
//! does so if the mount is another namespace's. What was mounted, read-only perhaps, would then show
//! no more, and the container would miss every later change of it. So such a file is written in
//! place, and keeps its owner and mode. statx(2) knows mount points by STATX_ATTR_MOUNT_ROOT.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, StatxAttributes, StatxFlags, openat, statx,
};
use rustix::io::Errno;

use super::kernel_files::is_kernels;
use crate::error::{Context, Result, fail};
use crate::sys::beneath;

/// Opens the file at `name` to be written from its beginning, if it is mounted there.
pub fn open_mounted(parent: BorrowedFd<'_>, name: &OsStr) -> Result<Option<OwnedFd>> {
    let handle = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = match openat(parent, name, handle, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        result => result?,
    };
    let found = statx(handle.as_fd(), "", AtFlags::EMPTY_PATH, StatxFlags::TYPE)?;
    if !found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(None);
    }
    if FileType::from_raw_mode(found.stx_mode.into()) != FileType::RegularFile {
        fail!("something that isn't a file is mounted there");
    }
    // A container that may mount could have the kernel told something by the host's root.
    if is_kernels(handle.as_fd())? {
        fail!("a file of the kernel's is mounted there");
    }
    // By the handle, which is of a file: opening a device that took its place could do something.
    let own = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = openat(CWD, own, flags, Mode::empty()).map_err(beneath::open_error);
    opened.map(Some).context(|| "open what is mounted there")
}
