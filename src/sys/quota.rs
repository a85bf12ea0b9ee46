//! Project quotas: limits on the disk space that all files of one project take together.
//!
//! A directory has the number of its project as an attribute, and new files in the directory
//! inherit the number (FS_IOC_FSSETXATTR, ioctl_xfs_fssetxattr(2)). This file sets limits by
//! quotactl_fd(2), and before Linux 5.14 by quotactl(2) on the block device. The commands are
//! XFS's, which ext4 understands too. In these commands a limit is a number of blocks of 512 bytes.
//! The file system must be mounted with `prjquota`.

use std::ffi::{CString, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use linux_raw_sys::general::{FS_XFLAG_PROJINHERIT, fsxattr};
use linux_raw_sys::ioctl::{FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR};
use rustix::fs::{FileType, Mode, fstat, mknodat, unlinkat};
use rustix::io::Errno;

use super::last_errno;

// These constants are from linux/dqblk_xfs.h and linux/quota.h. The crates that we use lack them.
const PROJECT: u32 = 2;
const GET_QUOTA: u32 = command(3);
const SET_LIMITS: u32 = command(4);
const GET_STATE: u32 = command(5);
/// A flag of the state: the file system enforces limits of projects (FS_QUOTA_PDQ_ENFD).
const ENFORCED: u16 = 1 << 5;
const VERSION: i8 = 1;
const FOR_PROJECT: i8 = 2;
/// The bits of `Quota::fields` for the soft and the hard limit of blocks.
const BLOCK_LIMITS: u16 = 1 << 2 | 1 << 3;
const BLOCK: u64 = 512;

/// XFS's command `number`, for projects (linux/dqblk_xfs.h, linux/quota.h).
const fn command(number: u32) -> u32 {
    ((('X' as u32) << 8) + number) << 8 | PROJECT
}

/// struct fs_disk_quota of linux/dqblk_xfs.h.
#[repr(C)]
#[derive(Default)]
struct Quota {
    version: i8,
    flags: i8,
    fields: u16,
    id: u32,
    hard_blocks: u64,
    soft_blocks: u64,
    inode_limits: [u64; 2],
    blocks: u64,
    inodes: u64,
    timers: [i32; 2],
    warnings: [u16; 2],
    padding: [i8; 4],
    real_time: [u64; 3],
    rest: [u64; 2],
}

/// Assigns the empty directory `directory` to `project`. Files that are created in the directory
/// later inherit the project.
pub fn set_project(directory: BorrowedFd<'_>, project: u32) -> Result<(), Errno> {
    let mut attributes = fsxattr {
        fsx_xflags: 0,
        fsx_extsize: 0,
        fsx_nextents: 0,
        fsx_projid: 0,
        fsx_cowextsize: 0,
        fsx_pad: [0; 8],
    };
    let ioctl = |request: u32, attributes: &mut fsxattr| {
        // SAFETY: both requests read or write one `fsxattr`.
        let done = unsafe {
            libc::ioctl(directory.as_raw_fd(), request as _, std::ptr::from_mut(attributes))
        };
        if done == 0 { Ok(()) } else { Err(last_errno()) }
    };
    ioctl(FS_IOC_FSGETXATTR, &mut attributes)?;
    attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
    attributes.fsx_projid = project;
    ioctl(FS_IOC_FSSETXATTR, &mut attributes)
}

/// Whether the file system of `directory` enforces limits of projects. `scratch` is a free path in
/// a directory of the caller. Before Linux 5.14 a device node exists at `scratch` during the call.
pub fn is_enforced(directory: BorrowedFd<'_>, scratch: &Path) -> Result<bool, Errno> {
    // struct fs_quota_stat of linux/dqblk_xfs.h has 80 bytes. Its flags are bytes 2 and 3.
    let mut state = [0u16; 64];
    // SAFETY: the command writes one fs_quota_stat, which is shorter than the array.
    unsafe { call(directory, scratch, GET_STATE, 0, state.as_mut_ptr().cast()) }?;
    Ok(state[1] & ENFORCED != 0)
}

/// Whether `project` is unused: it has no file and no hard limit of blocks.
pub fn is_free(directory: BorrowedFd<'_>, scratch: &Path, project: u32) -> Result<bool, Errno> {
    let mut quota = Quota::default();
    let pointer = std::ptr::from_mut(&mut quota).cast();
    // SAFETY: the command writes one `Quota`, which is laid out as the kernel's.
    match unsafe { call(directory, scratch, GET_QUOTA, project, pointer) } {
        Ok(()) => Ok(quota.inodes == 0 && quota.hard_blocks == 0),
        // XFS has no entry for a project that was never used.
        Err(Errno::NOENT | Errno::SRCH) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Limits the files of `project` to `bytes`; 0 is no limit.
pub fn set_limit(
    directory: BorrowedFd<'_>,
    scratch: &Path,
    project: u32,
    bytes: u64,
) -> Result<(), Errno> {
    let blocks = bytes.div_ceil(BLOCK);
    let mut quota = Quota {
        version: VERSION,
        flags: FOR_PROJECT,
        fields: BLOCK_LIMITS,
        id: project,
        hard_blocks: blocks,
        soft_blocks: blocks,
        ..Quota::default()
    };
    let pointer = std::ptr::from_mut(&mut quota).cast();
    // SAFETY: the command reads one `Quota`, which is laid out as the kernel's.
    unsafe { call(directory, scratch, SET_LIMITS, project, pointer) }
}

/// Calls quotactl_fd(2). If the kernel lacks that call, makes a device node at `scratch` for
/// quotactl(2), and removes the node.
///
/// # Safety
/// `argument` must point to what `command` reads or writes.
unsafe fn call(
    directory: BorrowedFd<'_>,
    scratch: &Path,
    command: u32,
    project: u32,
    argument: *mut c_void,
) -> Result<(), Errno> {
    let fd = directory.as_raw_fd();
    // SAFETY: the caller's promise.
    if unsafe { libc::syscall(libc::SYS_quotactl_fd, fd, command, project, argument) } == 0 {
        return Ok(());
    }
    match last_errno() {
        Errno::NOSYS => {}
        error => return Err(error),
    }
    let path = CString::new(scratch.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    let device = fstat(directory)?.st_dev;
    mknodat(rustix::fs::CWD, &path, FileType::BlockDevice, Mode::RUSR | Mode::WUSR, device)?;
    // SAFETY: the path is a C string, and the rest is the caller's promise.
    let done =
        unsafe { libc::syscall(libc::SYS_quotactl, command, path.as_ptr(), project, argument) };
    let result = if done == 0 { Ok(()) } else { Err(last_errno()) };
    unlinkat(rustix::fs::CWD, &path, rustix::fs::AtFlags::empty())?;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares the size and two offsets with struct fs_disk_quota.
    #[test]
    fn the_structures_are_the_kernels() {
        assert_eq!(size_of::<Quota>(), 112);
        assert_eq!(std::mem::offset_of!(Quota, hard_blocks), 8);
        assert_eq!(std::mem::offset_of!(Quota, blocks), 40);
    }
}
