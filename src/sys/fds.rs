//! The descriptor table as a whole: what a process that will run foreign code may keep open.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::clone::last_errno;

/// Closes every descriptor from 3 on save `keep`, which comes back under a number of its own.
/// close_range(2), Linux 5.9.
pub fn close_all_but(keep: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    const FIRST: i32 = 3;
    if keep.as_raw_fd() != FIRST {
        // SAFETY: both are valid descriptor numbers; 3 is closed first if it was open, and whoever
        // owned it never touches it again: this process is about to become another program.
        if unsafe { libc::dup3(keep.as_raw_fd(), FIRST, libc::O_CLOEXEC) } < 0 {
            return Err(last_errno());
        }
    }
    close_range(FIRST as u32 + 1)?;
    // SAFETY: 3 is open and every former owner of it is gone, as said above.
    Ok(unsafe { OwnedFd::from_raw_fd(FIRST) })
}

/// Closes every descriptor from 3 on.
pub fn close_all() -> Result<(), Errno> {
    close_range(3)
}

fn close_range(first: u32) -> Result<(), Errno> {
    // SAFETY: the owners of these descriptors are never dropped or used again: the process is
    // forked, single-threaded, and on its way to execve or to a loop that uses none of them.
    match unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// Marks close-on-exec every descriptor from 3 on, whoever left it open: what our caller forgot
/// must not reach a container either.
pub fn cloexec_all() -> Result<(), Errno> {
    // SAFETY: no descriptor is closed; only flags change.
    match unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) }
    {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// Makes `stdin`, `stdout` and `stderr` descriptors 0, 1 and 2.
pub fn become_stdio(fds: [BorrowedFd<'_>; 3]) -> Result<(), Errno> {
    // Lifted above 2 first, so that none is overwritten before its turn.
    let mut lifted = Vec::with_capacity(3);
    for fd in fds {
        lifted.push(rustix::io::fcntl_dupfd_cloexec(fd, 3)?);
    }
    rustix::stdio::dup2_stdin(lifted[0].as_fd())?;
    rustix::stdio::dup2_stdout(lifted[1].as_fd())?;
    rustix::stdio::dup2_stderr(lifted[2].as_fd())
}
