//! The whole descriptor table: which descriptors a process keeps before it runs a program that
//! is not ours, and how three of them become stdin, stdout and stderr. One descriptor left open is
//! a way out of the container (CVE-2024-21626), so everything is closed by range with
//! close_range(2), Linux 5.9, instead of one by one.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::clone::is_child;
use super::last_errno;

/// Closes every descriptor from 3 up, except those in `keep`, no matter which code opened it.
///
/// Only for a process made by `clone` that never returns to the code that owns the other
/// descriptors; in any other process it is `EPERM`.
pub fn close_all_but(keep: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    close_after(0, keep)
}

/// As [`close_all_but`], and the first `preserved` descriptors from 3 up stay open.
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
    // SAFETY: the caller checked that this is a child, where the owners of these descriptors are not
    // used again. close_range(2), Linux 5.9.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// Raises this process's limit on descriptors, as far as allowed, so that it can open `count` more than
/// the few that every process here has. If that isn't enough, the call that opens one fails.
pub fn make_room(count: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = count as u64 + 256;
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// Duplicates `fds` onto the descriptors 0, 1 and 2.
pub fn become_stdio(fds: [BorrowedFd<'_>; 3]) -> Result<(), Errno> {
    // Duplicate them above 2 first, so that no dup2 overwrites a source that is still needed.
    let mut lifted = Vec::with_capacity(3);
    for fd in fds {
        lifted.push(rustix::io::fcntl_dupfd_cloexec(fd, 3)?);
    }
    rustix::stdio::dup2_stdin(lifted[0].as_fd())?;
    rustix::stdio::dup2_stdout(lifted[1].as_fd())?;
    rustix::stdio::dup2_stderr(lifted[2].as_fd())
}
