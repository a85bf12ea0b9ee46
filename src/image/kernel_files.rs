//! Files that the kernel writes while they are read: /proc, /sys, cgroups and their like.
//!
//! stat(2) reports no size for them, or a page's, whatever they hold. So such a file is read to its end
//! first, and the number of bytes read is its size. A directory of them is never copied as a tree: some
//! of its files can't be read, some have no end, and none is of use elsewhere. statfs(2) identifies the
//! file systems.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Stat, fstatfs};

use crate::error::{Context, Result, fail};

/// The longest file without a size, in bytes: it is kept in memory. Beyond this there may be no end.
const MAX_FILE: u64 = 16 << 20;

/// bpf, cgroup, cgroup2, configfs, debugfs, devpts, efivarfs, mqueue, nsfs, proc, pstore,
/// securityfs, selinuxfs, sysfs, tracefs (statfs(2), linux/magic.h).
const FILE_SYSTEMS: [u32; 15] = [
    0xcafe_4a11,
    0x0027_e0eb,
    0x6367_7270,
    0x6265_6570,
    0x6462_6720,
    0x0000_1cd1,
    0xde5e_81e4,
    0x1980_0202,
    0x6e73_6673,
    0x0000_9fa0,
    0x6165_676c,
    0x7363_6673,
    0xf97c_ff8c,
    0x6265_6572,
    0x7472_6163,
];

/// Whether the file or directory is on such a file system.
pub fn is_kernels(file: BorrowedFd<'_>) -> Result<bool> {
    let found = fstatfs(file).context(|| "look at the file system")?;
    // The magic number has 32 bits; some architectures extend its sign.
    Ok(FILE_SYSTEMS.contains(&(found.f_type as u32)))
}

/// The file's contents, if its size doesn't say how long they are. A size of 0 is never believed: FUSE
/// has such files too (lxcfs), and an empty file costs only a read.
pub fn unsized_contents(mut file: &File, stat: &Stat) -> Result<Option<Vec<u8>>> {
    // Only a file without blocks can be such a file; most files have some.
    if stat.st_size != 0 && (stat.st_blocks != 0 || !is_kernels(file.as_fd())?) {
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
