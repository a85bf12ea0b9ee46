//! Opens a container's root or an image's layers, for commands that read or change files in them.
//!
//! A running container's root, with its mounts, is reached through the container's first process. A
//! stopped container's root is mounted again, in a new mount namespace of this process. In both
//! cases the caller gets a descriptor. The caller must resolve the container's paths below this
//! descriptor, for example by openat2(2) with RESOLVE_IN_ROOT, and must not execute the container's
//! files.
//!
//! For a stopped container and for layers, the calling thread stays in the new mount namespace. So
//! only a process that ends soon after may call `at_rest` and `of_layers`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::mount::MountAttrFlags;
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::{WaitId, WaitIdOptions, fchdir, waitid};
use rustix::thread::ThreadNameSpaceType;

use super::bind_source;
use super::spec::{Mount, MountSource, Recursion, Root};
use super::{namespaces, rootfs};
use crate::error::{Context, Result, fail};
use crate::sys;
use crate::sys::beneath;
use crate::sys::clone::Fork;
use crate::sys::process::Found;

/// Opens the root of the running process `pid`, with the mounts in it. `start_time` is the start
/// time of the process (`sys::process::start_time`). Fails if the process has ended.
pub fn running(pid: i32, start_time: u64) -> Result<OwnedFd> {
    let pidfd = living(pid, start_time)?;
    root_of(pid, pidfd.as_fd())
}

/// Opens the root of the process to which `pidfd` refers and whose PID was `pid`. Fails if the
/// process has ended.
fn root_of(pid: i32, pidfd: BorrowedFd<'_>) -> Result<OwnedFd> {
    // The magic link /proc/PID/root leads to the root in the process's own mount namespace
    // (proc_pid_root(5)).
    let root = sys::process::open_in_proc(pid, "root", DIRECTORY);
    // If the process has not ended by now, no other process has had its PID, so `root` is the root
    // of this process.
    if sys::process::has_ended(pidfd).context(|| "look for the container's process")? {
        fail!("the container has ended just now; try again");
    }
    root.context(|| "open the container's root")
}

fn living(pid: i32, start_time: u64) -> Result<OwnedFd> {
    match sys::process::find(pid, start_time).context(|| format!("look for process {pid}"))? {
        Found::Living(pidfd) => Ok(pidfd),
        Found::Ended | Found::Missing | Found::Replaced => fail!("the container is not running"),
    }
}

/// Opens a copy of the mount that is the root of the process `pid`, without the mounts in it. Fails
/// if the process has ended.
pub fn running_root(pid: i32, start_time: u64) -> Result<OwnedFd> {
    let pidfd = living(pid, start_time)?;
    let root = running(pid, start_time)?;
    let (ours, theirs) = sys::packet::pair().context(|| "make a socket pair")?;
    // The kernel copies a mount only for a process in the same mount namespace. Entering that
    // namespace changes the root and the working directory, so a child process enters it.
    let child = match sys::clone::clone3(sys::clone::Flags::default(), None) {
        Ok(Fork::Child) => {
            let copied = namespaces::join(pidfd.as_fd(), pid, ThreadNameSpaceType::MOUNT)
                .and_then(|()| sys::mount::copy_tree(root.as_fd(), false));
            // A message without a descriptor, or the end of this child without a message, reports a
            // failure.
            let fd = copied.as_ref().ok().map(AsFd::as_fd);
            let _ = sys::packet::send(theirs.as_fd(), &[b"r"], fd, SendFlags::empty());
            sys::exec::exit_now(0)
        }
        Ok(Fork::Parent(child)) => child,
        Err(error) => return Err(error).context(|| "clone a process"),
    };
    drop(theirs);
    let received = sys::packet::receive_with_fd(ours.as_fd(), &mut [0], RecvFlags::empty());
    // The child ends after its message, so this wait is short.
    let _ = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED);
    match received.context(|| "read from the intermediate process")? {
        (_, Some(copy)) => Ok(copy),
        (_, None) => fail!("the container's root can't be copied; has it ended?"),
    }
}

/// Moves the calling thread to a new mount namespace and mounts `root` there on `mount_point`. Then
/// calls `prepare`. Then mounts, below the root, those of `mounts` whose source is a file or
/// directory of the host (`Bind`, `Copy`). Returns a handle to the root.
pub fn at_rest(
    root: &Root,
    mounts: &[Mount],
    mount_point: &Path,
    prepare: &dyn Fn() -> Result<()>,
) -> Result<OwnedFd> {
    let root = in_own_namespace(|| rootfs::assemble(root, mount_point, false, None, None))?;
    prepare()?;
    for mount in mounts {
        // Leave out the other mounts: for example, a tmpfs would be empty here.
        if let MountSource::Bind(source) | MountSource::Copy(source) = &mount.source {
            bind(root.as_fd(), source, mount)
                .context(|| format!("mount {}", mount.target.display()))?;
        }
    }
    // Open the root again: if a target is a symbolic link to `/`, a bind now covers the directory
    // to which the first handle leads.
    openat(CWD, mount_point, DIRECTORY, Mode::empty()).context(|| "open the container's root")
}

/// Moves the calling thread to a new mount namespace and calls `rootfs::assemble_lower` there.
pub fn of_layers(layers: &[PathBuf], mount_point: &Path) -> Result<OwnedFd> {
    in_own_namespace(|| rootfs::assemble_lower(layers, mount_point))
}

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn in_own_namespace(assemble: impl FnOnce() -> Result<OwnedFd>) -> Result<OwnedFd> {
    sys::clone::unshare(sys::clone::Flags::MOUNT).context(|| "unshare the mount namespace")?;
    // After unshare(2) the working directory belongs to the new mount namespace.
    let here = openat(CWD, ".", DIRECTORY, Mode::empty()).context(|| "open the working directory");
    let root = assemble()?;
    // `assemble` may change the working directory. The user's relative paths start from the old
    // one.
    fchdir(here?).context(|| "return to the working directory")?;
    Ok(root)
}

fn bind(root: BorrowedFd<'_>, source: &Path, mount: &Mount) -> Result<()> {
    let source = bind_source::open(source, mount.subpath.as_deref())?;
    let kind = FileType::from_raw_mode(fstat(&source)?.st_mode);
    // A container that has never started may lack the target.
    let target = if kind == FileType::Directory {
        beneath::make_dirs(root, &mount.target, Mode::from_raw_mode(0o755))?
    } else {
        beneath::make_file(root, &mount.target, Mode::from_raw_mode(0o644))?
    };
    let tree = sys::mount::copy_tree(source.as_fd(), mount.recursion != Recursion::Disabled)?;
    sys::mount::attach(tree.as_fd(), target.as_fd())?;
    if mount.read_only {
        let all = mount.recursion != Recursion::Writable;
        sys::mount::add_attributes(tree.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY, all)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    #[test]
    fn a_reused_pid_leads_to_no_root() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32).unwrap();
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        child.wait().unwrap();
        // This process stands for one that got the ended child's PID from the kernel.
        let ours = std::process::id() as i32;
        let error = root_of(ours, pidfd.as_fd()).unwrap_err().to_string();
        assert!(error.contains("ended just now"), "{error}");
        let ourselves = pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).unwrap();
        assert!(root_of(ours, ourselves.as_fd()).is_ok());
    }
}
