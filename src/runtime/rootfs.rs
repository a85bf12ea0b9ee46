//! Assembles the container's root file system on a mount point, and makes it `/`.
//!
//! mount(2) passes overlayfs one page of options, which is too short for the full paths of a
//! hundred layers. So each layer is opened, the working directory becomes /proc/self/fd, and the
//! options name each layer by its descriptor's number, in about four bytes. This also works on
//! kernels whose overlayfs cannot take layers by fsconfig(2). See filesystems/overlayfs.rst in the
//! kernel's documentation.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::process::{chdir, chroot, fchdir, pivot_root};

use super::propagation::flag;
use super::spec::{LastPropagation, PropagationKind, Root};
use super::user_namespace::{self, kernel_maps_layers};
use crate::error::{Context, Result};
use crate::sys::trace::{self, Traced};
use crate::sys::{self, beneath};

/// The largest number of lower layers in an overlayfs (OVL_MAX_STACK).
const MAX_LAYERS: usize = 500;

/// Mounts the root on `mount_point` and returns a handle to the root. With `is_hosts`, this process
/// is in the host's mount namespace. Otherwise no mount of this process appears on the host. With
/// `user_namespace`, the owners on disk are IDs of that namespace; for a `Root::Directory` only if
/// the directory is `mapped`.
///
/// The tree `copies` is mounted on `mount_point` first. The root covers this mount, so only the
/// tree's descriptor leads to it. The mount ends when the host's root is unmounted.
pub fn assemble(
    root: &Root,
    mount_point: &Path,
    is_hosts: bool,
    user_namespace: Option<BorrowedFd<'_>>,
    copies: Option<BorrowedFd<'_>>,
) -> Result<OwnedFd> {
    if !is_hosts {
        // If the host unmounts one of its shared mounts, the slave in this namespace is unmounted
        // too. No mount of this namespace appears on the host.
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
            .context(|| "make the mounts of this namespace private")?;
    }
    if let Some(copies) = copies {
        open_directory(mount_point)
            .and_then(|target| sys::mount::attach(copies, target.as_fd()))
            .context(|| "mount the copies of the host's files")?;
    }
    match root {
        Root::Overlay { lower, upper, work, volatile } => {
            let mapped = user_namespace.map(|fd| Mapped { user_namespace: fd, mount_point });
            overlay(lower, Some((upper, work)), *volatile, mount_point, mapped)?;
        }
        Root::Directory { path: directory, mapped } => {
            let tree = open_directory(directory)
                .and_then(|directory| sys::mount::copy_tree(directory.as_fd(), true))
                .context(|| format!("open root directory {}", directory.display()))?;
            if let Some(user_namespace) = user_namespace.filter(|_| *mapped) {
                user_namespace::map_owners(tree.as_fd(), user_namespace, directory)?;
            }
            let target = open_directory(mount_point)
                .context(|| format!("open {}", mount_point.display()))?;
            sys::mount::attach(tree.as_fd(), target.as_fd())
                .context(|| format!("mount root directory {}", directory.display()))?;
        }
    }
    open_directory(mount_point).context(|| "open the new root")
}

/// Mounts the layers `lower`, base first, read-only on `mount_point` and returns a handle to them.
/// A single layer is not mounted: the handle leads to the layer's directory. Also makes all shared
/// mounts of the caller's mount namespace slaves.
pub fn assemble_lower(lower: &[PathBuf], mount_point: &Path) -> Result<OwnedFd> {
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .context(|| "make the mounts of this namespace private")?;
    match stack(lower)[..] {
        [] => mount_nothing(mount_point)?,
        // Without an upper directory overlayfs needs at least two layers.
        [only] => return open_directory(only).context(|| format!("open {}", only.display())),
        _ => overlay(lower, None, false, mount_point, None)?,
    }
    open_directory(mount_point).context(|| "open the layers")
}

/// A detached, read-only tree of `layers` (base first, at least two different layers), or of
/// `subpath` in the layers.
///
/// Before Linux 6.15 only an attached mount can be copied. So the layers are mounted on
/// `mount_point` and unmounted again. The caller's mount namespace must not propagate mounts to
/// others.
pub fn layers_tree(
    layers: &[PathBuf],
    subpath: Option<&Path>,
    mount_point: &Path,
) -> Result<OwnedFd> {
    overlay(layers, None, false, mount_point, None)?;
    let copy = || -> Result<OwnedFd> {
        let whole = open_directory(mount_point).context(|| "open an image")?;
        let part = match subpath {
            None => whole,
            Some(subpath) => beneath::handle(whole.as_fd(), subpath)
                .context(|| format!("open {} in the image", subpath.display()))?,
        };
        sys::mount::copy_tree(part.as_fd(), false).context(|| "copy the mount of an image")
    };
    let tree = copy();
    unmount(mount_point, UnmountFlags::DETACH).context(|| "unmount an image")?;
    tree
}

/// The layers in the order of overlayfs: the topmost first, each once. An image may have the same
/// layer twice, but overlayfs refuses a repeated directory with ELOOP.
///
/// The merged tree is the same if only the topmost occurrence stays. overlayfs looks a name up from
/// the top. If the topmost occurrence has a file, a whiteout or an opaque directory of that name,
/// the lookup ends there. If the topmost occurrence has a directory, a lower occurrence adds only
/// names that the directory has already.
fn stack(lower: &[PathBuf]) -> Vec<&Path> {
    let mut stack: Vec<&Path> = Vec::with_capacity(lower.len());
    for layer in lower.iter().rev() {
        // Compare bytes, which is faster than the comparison of paths by components.
        if !stack.iter().any(|known| known.as_os_str() == layer.as_os_str()) {
            stack.push(layer);
        }
    }
    stack
}

/// Mounts an empty directory, for an image without layers.
fn mount_nothing(mount_point: &Path) -> Result<()> {
    let flags = MountFlags::RDONLY | MountFlags::NODEV;
    mount("tmpfs", mount_point, "tmpfs", flags, c"size=0,nr_inodes=1,mode=755")
        .context(|| format!("mount an empty directory on {}", mount_point.display()))
}

fn overlay(
    lower: &[PathBuf],
    upper: Option<(&PathBuf, &PathBuf)>,
    volatile: bool,
    target: &Path,
    mapped: Option<Mapped<'_>>,
) -> Result<()> {
    let stack = stack(lower);
    if stack.len() > MAX_LAYERS {
        crate::error::fail!("the image has {} layers; overlayfs takes {MAX_LAYERS}", stack.len());
    }
    let open = |path: &Path| {
        let opened =
            open_directory(path).context(|| format!("open layer directory {}", path.display()))?;
        match &mapped {
            Some(mapped) => mapped.copy(opened, path),
            None => Ok(opened),
        }
    };
    let upper_path = upper.map(|(upper, _)| upper);
    let upper = match upper {
        // The upper and the work directory must be in one mount, so their parent directory is
        // mapped.
        Some((upper, work)) if mapped.is_some() => {
            let above = upper.parent().filter(|above| work.starts_with(above));
            let above = open(above.unwrap_or(upper))?;
            let below = |path: &Path| {
                openat(&above, path.file_name().unwrap_or_default(), DIRECTORY, Mode::empty())
                    .context(|| format!("open layer directory {}", path.display()))
            };
            Some((below(upper)?, below(work)?))
        }
        Some((upper, work)) => Some((open(upper)?, open(work)?)),
        None => None,
    };
    let mut layers = stack.iter().map(|layer| open(layer)).collect::<Result<Vec<_>>>()?;
    if layers.is_empty() {
        mount_nothing(target)?;
        layers.push(open_directory(target).context(|| "open an empty directory")?);
    }
    let numbers: Vec<String> = layers.iter().map(|layer| layer.as_raw_fd().to_string()).collect();
    // Turn redirect_dir and metacopy off, whatever the host's defaults are: `commit` and `diff`
    // need an upper directory that is complete without the lower ones.
    let mut options = format!("lowerdir={},redirect_dir=nofollow,metacopy=off", numbers.join(":"));
    if let Some((upper, work)) = &upper {
        options += &format!(",upperdir={},workdir={}", upper.as_raw_fd(), work.as_raw_fd());
    }
    if volatile {
        options += ",volatile";
    }
    // The options contain only ASCII letters, digits and signs, so no zero byte.
    let options = CString::new(options).unwrap_or_default();
    chdir("/proc/self/fd").context(|| "go to /proc/self/fd")?;
    let has_mapped_layers = mapped.is_some();
    for (number, layer) in layers.iter().zip(&stack) {
        trace::step("open", || format!("{} = {}", layer.display(), number.as_raw_fd()));
    }
    let mounted = mount("overlay", target, "overlay", MountFlags::empty(), options.as_c_str())
        .traced("mount", || {
            let upper =
                upper_path.map_or(String::new(), |upper| format!(" (upper {})", upper.display()));
            format!("overlay on {}: {}{upper}", target.display(), options.to_string_lossy())
        });
    chdir("/").context(|| "go to /")?;
    match mounted {
        Err(Errno::NODEV) => crate::error::fail!(
            "this kernel has no overlayfs, which images need (CONFIG_OVERLAY_FS; as a module, try \
             `modprobe overlay`)"
        ),
        Err(Errno::INVAL) if has_mapped_layers && !kernel_maps_layers() => crate::error::fail!(
            "this kernel's overlayfs takes no layers with mapped owners (Linux 5.19 and later do); \
             run the container in the host's user namespace"
        ),
        Err(Errno::INVAL) if volatile => {
            // A kernel before Linux 5.10 has no volatile mounts and returns this error too.
            crate::error::fail!(
                "mount overlay on {}: refused; the state directory's file system can't hold an \
                 overlay's upper directory (it needs xattrs and d_type)",
                target.display()
            )
        }
        result => result.context(|| format!("mount overlay on {}", target.display())),
    }
}

/// Maps the owners of layers to a user namespace (idmapped mounts, which overlayfs accepts as
/// layers since Linux 5.19).
struct Mapped<'a> {
    user_namespace: BorrowedFd<'a>,
    /// The directory on which the mapped layers are mounted, because before Linux 6.15 overlayfs
    /// accepts only attached mounts as layers. The overlay covers these mounts, so only the layers'
    /// descriptors lead to them.
    mount_point: &'a Path,
}

impl Mapped<'_> {
    /// A handle to `directory` in a new mount with mapped owners.
    fn copy(&self, directory: OwnedFd, path: &Path) -> Result<OwnedFd> {
        let tree = sys::mount::copy_tree(directory.as_fd(), false)
            .context(|| format!("copy the mount of {}", path.display()))?;
        user_namespace::map_owners(tree.as_fd(), self.user_namespace, path)?;
        open_directory(self.mount_point)
            .and_then(|target| sys::mount::attach(tree.as_fd(), target.as_fd()))
            .context(|| format!("mount {} mapped", path.display()))?;
        Ok(tree)
    }
}

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, path, DIRECTORY, Mode::empty())
}

/// Sets the propagation of the container's `/`. Must come after `pivot_into`, because pivot_root(2)
/// refuses a shared root, and after the binds, because an unbindable mount cannot be copied.
pub fn propagate(last: LastPropagation) -> Result<()> {
    // For a slave, leave the mounts below unchanged: each is a slave or private already, or has the
    // propagation that the spec gives it.
    let all = match last {
        LastPropagation { kind: PropagationKind::Slave, .. }
        | LastPropagation { recursive: false, .. } => MountPropagationFlags::empty(),
        _ => MountPropagationFlags::REC,
    };
    mount_change("/", flag(last.kind) | all)
        .context(|| "set the propagation of the container's root")
}

/// Makes `root` the `/` of this process in the host's mount namespace. Uses chroot(2), because
/// pivot_root(2) would change the mounts of all other processes in the namespace.
pub fn chroot_into(root: BorrowedFd<'_>) -> Result<()> {
    fchdir(root).context(|| "go to the new root")?;
    chroot(".").context(|| "chroot into the new root")
}

/// Makes `root` the `/` of this process's own mount namespace and unmounts the host's root. If the
/// host's root is an initial ramfs, `root` covers it instead. Without `propagates` makes all mounts
/// private. With `propagates`, some mounts stay slaves or peers of the host's mounts, and all
/// others are private already.
pub fn pivot_into(root: BorrowedFd<'_>, propagates: bool) -> Result<()> {
    fchdir(root).context(|| "go to the new root")?;
    // With "." as both arguments pivot_root(2) stacks the old root on the new one, and the unmount
    // removes the old root. So the new root needs no directory for the old one.
    match pivot_root(".", ".") {
        Ok(()) => {
            unmount(".", UnmountFlags::DETACH).context(|| "unmount the host's root")?;
        }
        // EINVAL: pivot_root(2) cannot replace the initial ramfs. Move the new root over the
        // initial ramfs instead.
        Err(Errno::INVAL) => {
            rustix::mount::mount_move(".", "/").context(|| "move the new root over the old")?;
            chroot(".").context(|| "chroot into the new root")?;
        }
        Err(error) => return Err(error).context(|| "pivot_root"),
    }
    chdir("/").context(|| "go to /")?;
    if propagates {
        return Ok(());
    }
    // After this no mount or unmount on the host has an effect in the container.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context(|| "make the container's mounts private")
}
