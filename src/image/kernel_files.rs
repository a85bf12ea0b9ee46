//! Files whose contents the kernel makes when they are read: /proc, /sys, cgroups and similar file
//! systems.
//!
//! For most of these files stat(2) reports no size, or the size of a page. So the file is first
//! read to its end, and the number of bytes read counts as its size. The contents of a directory of
//! such files are not copied: some files can't be read, some have no end, and the others are of
//! little use elsewhere. statfs(2) identifies the file systems.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

use linux_raw_sys::general::{
    BPF_FS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC, DEVPTS_SUPER_MAGIC,
    EFIVARFS_MAGIC, NSFS_MAGIC, PROC_SUPER_MAGIC, PSTOREFS_MAGIC, SECURITYFS_MAGIC, SELINUX_MAGIC,
    SYSFS_MAGIC, TRACEFS_MAGIC,
};
use rustix::fs::{Stat, fstatfs};

use crate::error::{Context, Result, fail};

/// The longest of these files that is read, in bytes. The limit bounds the memory for the contents,
/// and a longer file may have no end.
const MAX_FILE: u64 = 16 << 20;

/// The magic number of configfs, and that of mqueue: linux/magic.h lacks both.
const CONFIGFS_MAGIC: u32 = 0x6265_6570;
const MQUEUE_MAGIC: u32 = 0x1980_0202;
/// The kernel's own file systems, by their magic numbers (statfs(2)).
const FILE_SYSTEMS: [u32; 15] = [
    BPF_FS_MAGIC,
    CGROUP_SUPER_MAGIC,
    CGROUP2_SUPER_MAGIC,
    CONFIGFS_MAGIC,
    DEBUGFS_MAGIC,
    DEVPTS_SUPER_MAGIC,
    EFIVARFS_MAGIC,
    MQUEUE_MAGIC,
    NSFS_MAGIC,
    PROC_SUPER_MAGIC,
    PSTOREFS_MAGIC,
    SECURITYFS_MAGIC,
    SELINUX_MAGIC,
    SYSFS_MAGIC,
    TRACEFS_MAGIC,
];

/// Whether the file or directory is on a file system of the kernel's own (`FILE_SYSTEMS`).
pub fn is_kernel_file(file: BorrowedFd<'_>) -> Result<bool> {
    let found = fstatfs(file).context(|| "look at the file system")?;
    // The magic number has 32 bits; some architectures extend its sign.
    Ok(FILE_SYSTEMS.contains(&(found.f_type as u32)))
}

/// Returns the contents of a file whose stated size can't be trusted, and `None` for any other
/// file. A size of 0 is never trusted: FUSE has such files too (lxcfs), and reading an empty file
/// costs little. Fails if the contents are longer than `MAX_FILE`.
pub fn unsized_contents(mut file: &File, stat: &Stat) -> Result<Option<Vec<u8>>> {
    // A kernel file has no blocks. Most files have blocks, and need no statfs(2).
    if stat.st_size != 0 && (stat.st_blocks != 0 || !is_kernel_file(file.as_fd())?) {
        return Ok(None);
    }
    let mut contents = Vec::new();
    let read = file.by_ref().take(MAX_FILE + 1).read_to_end(&mut contents);
    if read.context(|| "read")? as u64 > MAX_FILE {
        fail!("a file without a stated size has more than {} MiB", MAX_FILE >> 20);
    }
    Ok(Some(contents))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::fstat;

    #[test]
    fn a_file_without_an_end_is_refused() {
        let zero = File::open("/dev/zero").unwrap();
        let error = unsized_contents(&zero, &fstat(&zero).unwrap()).unwrap_err();
        assert!(error.to_string().contains("more than 16 MiB"), "{error}");
    }
}
