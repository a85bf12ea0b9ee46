//! Closes all but a few descriptors of a child process, and makes three descriptors stdin, stdout
//! and stderr.
//!
//! A program can leave its container through an inherited descriptor (CVE-2024-21626). So a process
//! closes whole ranges of descriptors with close_range(2), Linux 5.9, instead of a list of known
//! descriptors, which could be incomplete.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::clone::is_child;
use super::last_errno;

/// Closes every descriptor from 3 up, except the descriptors in `keep`.
///
/// Fails with EPERM unless `sys::clone` created this process: in any other process, other code may
/// use the descriptors. Fails with ENOSYS before Linux 5.9.
///
/// The caller must name in `keep` each descriptor that this process drops later. Otherwise the drop
/// closes a number that may be another file's by then. The function is safe because such a fault
/// cannot break memory safety.
pub fn close_all_but(keep: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    close_after(0, keep)
}

/// As [`close_all_but`], but the first `preserved` descriptors from 3 up stay open too.
pub fn close_after(preserved: u32, keep: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    if !is_child() {
        return Err(Errno::PERM);
    }
    let mut first = preserved.saturating_add(3);
    let next_kept =
        |first| keep.iter().map(|fd| fd.as_raw_fd() as u32).filter(|&number| number >= first).min();
    while let Some(number) = next_kept(first) {
        if number > first {
            close_range(first, number - 1)?;
        }
        first = number + 1;
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: the caller has checked that this process is a child. A descriptor that is closed by
    // mistake cannot break memory safety.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// Raises this process's soft limit on descriptors (RLIMIT_NOFILE) to `count` + 256, or to the hard
/// limit if that is lower. Never lowers the limit. An error is ignored: a call that then needs more
/// descriptors fails with EMFILE.
pub fn raise_limit(count: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = count as u64 + 256;
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// Duplicates `fds` onto the descriptors 0, 1 and 2 (dup2(2)), without close-on-exec.
pub fn become_stdio(fds: [BorrowedFd<'_>; 3]) -> Result<(), Errno> {
    // First duplicate the descriptors below 3, so that no dup2(2) overwrites a descriptor of `fds`.
    let lift = |fd: BorrowedFd<'_>| match fd.as_raw_fd() {
        0..3 => rustix::io::fcntl_dupfd_cloexec(fd, 3).map(Some),
        _ => Ok(None),
    };
    let lifted = [lift(fds[0])?, lift(fds[1])?, lift(fds[2])?];
    let [stdin, stdout, stderr] =
        [0, 1, 2].map(|at: usize| lifted[at].as_ref().map_or(fds[at], AsFd::as_fd));
    rustix::stdio::dup2_stdin(stdin)?;
    rustix::stdio::dup2_stdout(stdout)?;
    rustix::stdio::dup2_stderr(stderr)
}
