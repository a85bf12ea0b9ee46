//! The descriptor table as a whole: what a process that will run foreign code may keep open.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::clone::last_errno;

/// Closes every descriptor from 3 on, save those of `keep`, whoever left it open.
pub fn close_all_but(keep: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut first = 3;
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
    // SAFETY: for a process that was just forked off and never goes back to the code that owns
    // these descriptors: no owner is dropped or used again. close_range(2), Linux 5.9.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
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
