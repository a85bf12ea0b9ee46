//! The root file system: assembled on a mount point of the container's own, then made `/`.
//!
//! overlayfs takes its layers as paths in one page of options (mount(2)), too short for a hundred
//! full paths. So each layer is opened, the working directory is set to /proc/self/fd, and the
//! layers are named by number: some four bytes each, on every kernel that has overlayfs.
//! See Documentation/filesystems/overlayfs.rst.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::process::{chdir, chroot, fchdir, pivot_root};

use super::spec::Root;
use crate::error::{Context, Result};
use crate::sys;

/// overlayfs stacks no more (its OVL_MAX_STACK).
const MAX_LAYERS: usize = 500;

/// Mounts the root on `mount_point` and gives a handle to it. The mount lives in this process's
/// namespace, which must be its own, and ends with it.
pub fn assemble(root: &Root, mount_point: &Path) -> Result<OwnedFd> {
    // Slave: what the host unmounts is unmounted here too, and nothing of ours reaches the host.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .context(|| "make the mounts of this namespace our own")?;
    match root {
        Root::Overlay { lower, upper, work, volatile } => {
            overlay(lower, Some((upper, work)), *volatile, mount_point)?;
        }
        Root::Directory(directory) => {
            let tree = open_directory(directory)
                .and_then(|directory| sys::mount::copy_tree(directory.as_fd(), true))
                .context(|| format!("open root directory {}", directory.display()))?;
            let target = open_directory(mount_point)
                .context(|| format!("open {}", mount_point.display()))?;
            sys::mount::attach(tree.as_fd(), target.as_fd())
                .context(|| format!("mount root directory {}", directory.display()))?;
        }
    }
    open_directory(mount_point).context(|| "open the new root")
}

/// Mounts the layers `lower` on `mount_point`, to read only, and gives a handle to them.
pub fn assemble_lower(lower: &[PathBuf], mount_point: &Path) -> Result<OwnedFd> {
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .context(|| "make the mounts of this namespace our own")?;
    // One layer alone is no stack to overlayfs.
    if let [only] = lower {
        return open_directory(only).context(|| format!("open {}", only.display()));
    }
    overlay(lower, None, false, mount_point)?;
    open_directory(mount_point).context(|| "open the layers")
}

fn overlay(
    lower: &[PathBuf],
    upper: Option<(&PathBuf, &PathBuf)>,
    volatile: bool,
    target: &Path,
) -> Result<()> {
    if lower.len() > MAX_LAYERS {
        crate::error::fail!("the image has {} layers; overlayfs takes {MAX_LAYERS}", lower.len());
    }
    let open = |path: &Path| {
        open_directory(path).context(|| format!("open layer directory {}", path.display()))
    };
    let upper = match upper {
        Some((upper, work)) => Some((open(upper)?, open(work)?)),
        None => None,
    };
    // The topmost layer comes first in the option, and last in an image.
    let layers = lower.iter().rev().map(|layer| open(layer)).collect::<Result<Vec<_>>>()?;
    let numbers: Vec<String> = layers.iter().map(|layer| layer.as_raw_fd().to_string()).collect();
    // Renamed directories are copied, whatever the host's default: what the upper directory holds
    // must say all by itself, for `commit` and `diff`.
    let mut options = format!("lowerdir={},redirect_dir=nofollow,metacopy=off", numbers.join(":"));
    if let Some((upper, work)) = &upper {
        options += &format!(",upperdir={},workdir={}", upper.as_raw_fd(), work.as_raw_fd());
    }
    if volatile {
        options += ",volatile";
    }
    // Digits, commas and colons: no zero byte.
    let options = CString::new(options).unwrap_or_default();
    chdir("/proc/self/fd").context(|| "go to /proc/self/fd")?;
    let mounted = mount("overlay", target, "overlay", MountFlags::empty(), options.as_c_str());
    chdir("/").context(|| "go to /")?;
    match mounted {
        Err(Errno::NODEV) => crate::error::fail!(
            "this kernel has no overlayfs, which images need (CONFIG_OVERLAY_FS; as a module, try \
             `modprobe overlay`)"
        ),
        Err(Errno::INVAL) if volatile => {
            // Linux before 5.10 knows no volatile mounts.
            crate::error::fail!(
                "mount overlay on {}: refused; the state directory's file system can't hold an \
                 overlay's upper directory (it needs xattrs and d_type)",
                target.display()
            )
        }
        result => result.context(|| format!("mount overlay on {}", target.display())),
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Makes `root` this process's `/` and lets go of the host's.
pub fn make_root(root: BorrowedFd<'_>) -> Result<()> {
    fchdir(root).context(|| "go to the new root")?;
    // With both arguments "." the old root ends up stacked on the new one and is unmounted from
    // there: no directory for it is needed inside (pivot_root(2), NOTES).
    match pivot_root(".", ".") {
        Ok(()) => {
            unmount(".", UnmountFlags::DETACH).context(|| "unmount the host's root")?;
        }
        // The initial ramfs can't be pivoted away from: the new root is moved over it instead.
        Err(Errno::INVAL) => {
            rustix::mount::mount_move(".", "/").context(|| "move the new root over the old")?;
            chroot(".").context(|| "chroot into the new root")?;
        }
        Err(error) => return Err(error).context(|| "pivot_root"),
    }
    chdir("/").context(|| "go to /")?;
    // From now on nothing that the host mounts or unmounts shows here.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context(|| "make the container's mounts private")
}
