//! Creates processes: clone3(2) with new namespaces, and plain fork(2).
//!
//! `clone3` and `fork` need a process with one thread. Otherwise the child would have a copy of
//! each lock that a second thread holds, but no thread that releases the lock (fork(2), POSIX).
//! Because the parent has one thread, a child may allocate, lock and panic like any process. A
//! child is not limited to async-signal-safe functions. `clone3` and `fork` call
//! `require_one_thread` first, so they are safe functions.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use linux_raw_sys::general::{CLONE_INTO_CGROUP, CLONE_NEWTIME, CLONE_PIDFD, clone_args};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use rustix::process::Pid;

use super::last_errno;

/// Whether `clone3` or `fork` created this process.
static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// Whether this process has a seccomp filter of `seccomp::install`.
static HAS_FILTER: AtomicBool = AtomicBool::new(false);

/// The kinds of new namespaces for a child or for `unshare` (`CLONE_NEW…`, namespaces(7)).
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
    /// A new cgroup namespace.
    pub const CGROUP: Flags = Flags(libc::CLONE_NEWCGROUP as u64);
    /// A new time namespace. For `unshare` only: clone3(2) of older kernels fails with EINVAL.
    pub const TIME: Flags = Flags(CLONE_NEWTIME as u64);

    /// The union of both sets of flags.
    pub fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// The process in which `clone3` or `fork` returns.
pub enum Fork<T> {
    Parent(T),
    Child,
}

/// A child process. The pidfd refers to this child even after the kernel has reused its PID.
pub struct Child {
    pub pid: Pid,
    pub pidfd: OwnedFd,
}

/// clone3(2): creates a child in new namespaces of the kinds in `flags`. If `cgroup` is given, the
/// child starts in that v2 cgroup (CLONE_INTO_CGROUP, Linux 5.7); `cgroup` is the open directory.
/// The kernel sends SIGCHLD to the parent when the child ends. Fails with EDEADLK if this process
/// has a second thread, and with the errors of clone3(2).
pub fn clone3(flags: Flags, cgroup: Option<BorrowedFd<'_>>) -> Result<Fork<Child>, Errno> {
    require_one_thread()?;
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
    #[cfg(test)]
    let _heap = crate::HEAP.hold();
    // SAFETY: without CLONE_VM and without a stack this call is fork(2) with namespaces: the child
    // has its own copy of the memory. No second thread exists that could hold a lock in the copy.
    // `args` outlives the call, and its size is passed.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<clone_args>()) };
    match pid {
        -1 => Err(last_errno()),
        0 => Ok(become_child()),
        // SAFETY: the kernel stored a new descriptor in `pidfd`, and no other value owns it.
        _ => Ok(Fork::Parent(Child {
            pid: pid_of(pid)?,
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        })),
    }
}

/// unshare(2): moves the calling thread into new namespaces of the kinds in `flags`. A new PID or
/// time namespace is for later children: unshare(2) does not move the calling thread into such a
/// namespace. Fails with the errors of unshare(2).
pub fn unshare(flags: Flags) -> Result<(), Errno> {
    // SAFETY: `Flags` cannot hold CLONE_FILES, so this thread keeps its table of descriptors.
    match unsafe { libc::unshare(flags.0 as libc::c_int) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// Forks. Fails with EDEADLK if this process has a second thread, and with the errors of fork(2).
pub fn fork() -> Result<Fork<Pid>, Errno> {
    require_one_thread()?;
    #[cfg(test)]
    let _heap = crate::HEAP.hold();
    // SAFETY: no second thread exists that could hold a lock in the child's copy of the memory.
    match unsafe { libc::fork() } {
        -1 => Err(last_errno()),
        0 => Ok(become_child()),
        pid => Ok(Fork::Parent(pid_of(pid.into())?)),
    }
}

/// Whether `clone3` or `fork` created this process.
pub(super) fn is_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}

/// Records that this process has a seccomp filter, which may forbid unshare(2).
pub(super) fn note_filter() {
    HAS_FILTER.store(true, Ordering::Relaxed);
}

fn become_child<T>() -> Fork<T> {
    IS_CHILD.store(true, Ordering::Relaxed);
    Fork::Child
}

/// Fails with EDEADLK if this process has a second thread. unshare(2) with CLONE_THREAD succeeds
/// only in a process with one thread, and changes nothing there. A container's filter may forbid
/// unshare(2), so `seccomp::install` calls this function before it installs the filter. With a
/// filter this function checks nothing, because a process with a filter creates no thread.
pub(super) fn require_one_thread() -> Result<(), Errno> {
    // The test harness has several threads. In a test `clone3` and `fork` hold the heap's lock, so
    // the child's copy of the heap is consistent.
    if HAS_FILTER.load(Ordering::Relaxed) || cfg!(test) {
        return Ok(());
    }
    // SAFETY: with CLONE_THREAD alone unshare(2) changes nothing.
    match unsafe { libc::unshare(libc::CLONE_THREAD) } {
        0 => Ok(()),
        _ => Err(Errno::DEADLK),
    }
}

fn pid_of(raw: libc::c_long) -> Result<Pid, Errno> {
    Pid::from_raw(raw as i32).ok_or(Errno::INVAL)
}
