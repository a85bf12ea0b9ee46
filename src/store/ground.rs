//! The file system below the durable root. Not every file system can hold a container engine's files.
//!
//! Images need owners, modes and links. A container's own files are an overlay's upper directory.
//! It needs trusted extended attributes (without them a directory that was removed and made
//! again is an I/O error) and can't lie on another overlay. But ramfs, the root of many initramfs, has
//! no such attributes, and live systems run from an overlay. On such a host a tmpfs holds the
//! containers, though not the images.

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

/// fs/ntfs3 and its forerunner; linux/magic.h leaves their number out.
const NTFS_SUPER_MAGIC: u32 = 0x7366_746e;
/// File systems whose files have no owner, by their magic number (statfs(2)).
const WITHOUT_OWNERS: [(u32, &str); 3] =
    [(MSDOS_SUPER_MAGIC, "vfat"), (EXFAT_SUPER_MAGIC, "exfat"), (NTFS_SUPER_MAGIC, "ntfs")];

/// Refuses a state directory, existing or not, that can hold no images.
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

/// Makes `containers` able to hold an overlay's upper directories. Returns a note if that takes a tmpfs.
/// Must be called while it is empty.
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

/// The name of the file system of `path`, as Docker calls it.
pub fn file_system(path: &Path) -> &'static str {
    // linux/magic.h leaves these numbers out.
    const UBIFS: u32 = 0x2405_1905;
    const ZFS: u32 = 0x2fc1_2fc1;
    const NAMES: [(u32, &str); 12] = [
        (BCACHEFS_SUPER_MAGIC, "bcachefs"),
        (BTRFS_SUPER_MAGIC, "btrfs"),
        // The number of ext2 and ext3 too.
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
