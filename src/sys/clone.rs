//! New processes: clone3(2) into new namespaces, and plain fork(2).
//!
//! Both fail if this process has another thread: that thread could hold a lock that no thread releases
//! in the child (fork(2), POSIX). So a child may allocate, lock and panic like any process; code here is
//! not limited to async-signal-safe functions.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use linux_raw_sys::general::{CLONE_INTO_CGROUP, CLONE_NEWTIME, CLONE_PIDFD, clone_args};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use rustix::process::Pid;

use super::last_errno;

/// Set in a process that `clone3` or `fork` made.
static IS_CHILD: AtomicBool = AtomicBool::new(false);

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
    /// A new cgroup namespace.
    pub const CGROUP: Flags = Flags(libc::CLONE_NEWCGROUP as u64);
    /// A new time namespace; clone3 has no such flag, only unshare.
    pub const TIME: Flags = Flags(CLONE_NEWTIME as u64);

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

/// A child, and the descriptor that refers to it even if its PID is reused.
pub struct Child {
    pub pid: Pid,
    pub pidfd: OwnedFd,
}

/// clone3(2): a child in the namespaces of `flags` and, with `cgroup` (a directory of cgroup v2,
/// Linux 5.7), born into it. The parent gets SIGCHLD when it exits. Fails with `EDEADLK` if this process
/// has another thread.
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
    // SAFETY: without CLONE_VM the child has its own copy of memory and no stack is given, so this
    // is fork(2) with namespaces. There is no other thread, so no lock is held in the copy.
    // args outlives the call and its size is passed.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<clone_args>()) };
    match pid {
        -1 => Err(last_errno()),
        0 => Ok(become_child()),
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

/// fork(2). Fails with `EDEADLK` if this process has another thread.
pub fn fork() -> Result<Fork<Pid>, Errno> {
    require_one_thread()?;
    #[cfg(test)]
    let _heap = crate::HEAP.hold();
    // SAFETY: there is no other thread, so no lock is held in the copy.
    match unsafe { libc::fork() } {
        -1 => Err(last_errno()),
        0 => Ok(become_child()),
        pid => Ok(Fork::Parent(pid_of(pid.into())?)),
    }
}

/// Whether `clone3` or `fork` made this process, so that its copies of descriptors belong to code
/// that only runs in the parent.
pub(super) fn is_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}

fn become_child<T>() -> Fork<T> {
    IS_CHILD.store(true, Ordering::Relaxed);
    Fork::Child
}

/// The kernel grants unshare(CLONE_THREAD) only to the only thread of a process, and changes nothing.
/// A child is not checked: it starts with one thread and starts no other, and the seccomp
/// filter of its container may forbid unshare(2).
fn require_one_thread() -> Result<(), Errno> {
    // The test harness has threads. The children of its tests take no lock but the heap's, which
    // the forking thread holds: the copy is whole, and free in the child.
    if is_child() || cfg!(test) {
        return Ok(());
    }
    // SAFETY: changes nothing, see unshare(2).
    match unsafe { libc::unshare(libc::CLONE_THREAD) } {
        0 => Ok(()),
        _ => Err(Errno::DEADLK),
    }
}

fn pid_of(raw: libc::c_long) -> Result<Pid, Errno> {
    Pid::from_raw(raw as i32).ok_or(Errno::INVAL)
}
