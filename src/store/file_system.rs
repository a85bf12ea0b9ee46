//! The file system of the durable root: which file systems can store images and containers.
//!
//! Images need owners, modes and links. A container's files are in an overlay's upper directory,
//! which needs trusted extended attributes: without them a removed directory cannot be made again
//! (EIO). An upper directory also cannot be on another overlay. But ramfs, the root of many
//! initramfs images, has no such attributes, and live systems run from an overlay. On such a host,
//! this module mounts a tmpfs for the containers. Images stay on the file system of the durable
//! root.

use std::path::Path;

use linux_raw_sys::general::{
    BCACHEFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, EXFAT_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC,
    JFFS2_SUPER_MAGIC, MSDOS_SUPER_MAGIC, NFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, RAMFS_MAGIC,
    TMPFS_MAGIC, XFS_SUPER_MAGIC,
};
use rustix::fs::{XattrFlags, removexattr, setxattr, statfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use crate::error::{Context, Result, fail};

/// The magic number of the kernel's driver fs/ntfs3, which linux/magic.h lacks.
const NTFS_SUPER_MAGIC: u32 = 0x7366_746e;
/// File systems that [`refuse_unfit`] refuses, by their magic number (statfs(2)).
const WITHOUT_OWNERS: [(u32, &str); 3] =
    [(MSDOS_SUPER_MAGIC, "vfat"), (EXFAT_SUPER_MAGIC, "exfat"), (NTFS_SUPER_MAGIC, "ntfs")];

/// Fails if the file system of `state` is in `WITHOUT_OWNERS`, or if statfs(2) fails. If `state`
/// does not exist, its nearest existing parent counts.
pub fn refuse_unfit(state: &Path) -> Result<()> {
    let existing = state.ancestors().find(|path| path.exists()).unwrap_or(state);
    let magic = magic(existing)?;
    if let Some((_, name)) = WITHOUT_OWNERS.iter().find(|(unfit, _)| *unfit == magic) {
        fail!(
            "{}: a {name} file system can't hold images, which need owners, modes and links; \
             choose a --root on another file system",
            state.display()
        );
    }
    Ok(())
}

/// Mounts a tmpfs on `containers` if the file system of `containers` cannot store the upper
/// directories of overlays. Returns a note for the user if a tmpfs was mounted. Call this function
/// only while `containers` is empty.
pub fn prepare_uppers(containers: &Path) -> Result<Option<String>> {
    let name = match magic(containers)? {
        OVERLAYFS_SUPER_MAGIC => "an overlay",
        RAMFS_MAGIC => "a ramfs",
        _ if takes_attributes(containers)? => return Ok(None),
        _ => "a file system without trusted attributes",
    };
    mount("mydocker", containers, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0700")
        .context(|| format!("mount a tmpfs on {}", containers.display()))?;
    Ok(Some(format!(
        "{} is on {name}, which can't be an overlay's upper directory: containers are kept in \
         memory, until the next boot",
        containers.display()
    )))
}

/// Returns the name of the file system of `path` for `info`, such as Docker's `extfs` for ext4.
/// Returns `<unknown>` for a file system that is not in the list, and after an error.
pub fn name(path: &Path) -> &'static str {
    // linux/magic.h lacks these numbers.
    const UBIFS: u32 = 0x2405_1905;
    const ZFS: u32 = 0x2fc1_2fc1;
    const NAMES: [(u32, &str); 12] = [
        (BCACHEFS_SUPER_MAGIC, "bcachefs"),
        (BTRFS_SUPER_MAGIC, "btrfs"),
        // ext2 and ext3 have the same number.
        (EXT4_SUPER_MAGIC, "extfs"),
        (F2FS_SUPER_MAGIC, "f2fs"),
        (JFFS2_SUPER_MAGIC, "jffs2"),
        (NFS_SUPER_MAGIC, "nfs"),
        (OVERLAYFS_SUPER_MAGIC, "overlayfs"),
        (RAMFS_MAGIC, "ramfs"),
        (TMPFS_MAGIC, "tmpfs"),
        (UBIFS, "ubifs"),
        (XFS_SUPER_MAGIC, "xfs"),
        (ZFS, "zfs"),
    ];
    let found = magic(path).ok();
    let name = NAMES.iter().find(|(known, _)| Some(*known) == found);
    name.map_or("<unknown>", |(_, name)| name)
}

fn magic(path: &Path) -> Result<u32> {
    let found =
        statfs(path).context(|| format!("look at the file system of {}", path.display()))?;
    Ok(found.f_type as u32)
}

fn takes_attributes(directory: &Path) -> Result<bool> {
    const PROBE: &str = "trusted.mydocker";
    match setxattr(directory, PROBE, b"", XattrFlags::empty()) {
        Ok(()) => {
            removexattr(directory, PROBE).context(|| "remove a trusted attribute")?;
            Ok(true)
        }
        Err(Errno::OPNOTSUPP) => Ok(false),
        Err(error) => {
            Err(error).context(|| format!("set a trusted attribute on {}", directory.display()))
        }
    }
}
