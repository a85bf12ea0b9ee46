//! New processes: clone3(2) into new namespaces, and plain fork(2).
//!
//! mydocker is single-threaded until its last process is made, so a child may allocate, lock and
//! panic as any process may; nothing here is limited to async-signal-safe work.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use linux_raw_sys::general::{CLONE_INTO_CGROUP, CLONE_PIDFD, clone_args};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use rustix::process::Pid;

/// Namespaces that a child can be born into (`CLONE_NEW…`).
#[derive(Clone, Copy, Default)]
pub struct Flags(u64);

impl Flags {
    /// A new PID namespace.
    pub const PID: Flags = Flags(libc::CLONE_NEWPID as u64);
    /// A new mount namespace.
    pub const MOUNT: Flags = Flags(libc::CLONE_NEWNS as u64);
    /// A new UTS namespace.
    pub const UTS: Flags = Flags(libc::CLONE_NEWUTS as u64);
    /// A new IPC namespace.
    pub const IPC: Flags = Flags(libc::CLONE_NEWIPC as u64);
    /// A new network namespace.
    pub const NETWORK: Flags = Flags(libc::CLONE_NEWNET as u64);
    /// A new user namespace.
    pub const USER: Flags = Flags(libc::CLONE_NEWUSER as u64);

    /// Both sets of flags together.
    pub fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// Which side of a fork this is.
pub enum Fork<T> {
    Parent(T),
    Child,
}

/// A child and the descriptor that stands for it, whatever its number is used for later.
pub struct Child {
    pub pid: Pid,
    pub pidfd: OwnedFd,
}

/// clone3(2): a child in the namespaces of `flags` and, with `cgroup` (a directory of cgroup v2,
/// Linux 5.7), born into it. The parent gets SIGCHLD when it exits.
pub fn clone3(flags: Flags, cgroup: Option<BorrowedFd<'_>>) -> Result<Fork<Child>, Errno> {
    let mut pidfd: RawFd = -1;
    let mut args = clone_args {
        flags: flags.0 | u64::from(CLONE_PIDFD),
        pidfd: &raw mut pidfd as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM the child has its own copy of memory and no stack is given, so this
    // is fork(2) with namespaces; the caller is single-threaded, so no lock is held in the copy.
    // args outlives the call and its size is passed.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<clone_args>()) };
    match pid {
        -1 => Err(last_errno()),
        0 => Ok(Fork::Child),
        // SAFETY: the kernel stored a new descriptor that nothing else owns.
        _ => Ok(Fork::Parent(Child {
            pid: pid_of(pid)?,
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        })),
    }
}

/// unshare(2) of namespaces.
pub fn unshare(flags: Flags) -> Result<(), Errno> {
    // SAFETY: without CLONE_FILES, which `Flags` can't hold, no descriptor changes hands.
    match unsafe { libc::unshare(flags.0 as libc::c_int) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// fork(2)
pub fn fork() -> Result<Fork<Pid>, Errno> {
    // SAFETY: the caller is single-threaded (see the head of this file).
    match unsafe { libc::fork() } {
        -1 => Err(last_errno()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid_of(pid.into())?)),
    }
}

fn pid_of(raw: libc::c_long) -> Result<Pid, Errno> {
    Pid::from_raw(raw as i32).ok_or(Errno::INVAL)
}

pub(super) fn last_errno() -> Errno {
    // SAFETY: __errno_location gives this thread's errno, always valid to read.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}
