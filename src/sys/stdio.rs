//! Reads and writes the standard streams. A read or write here waits as usual, even if another
//! process made the descriptor non-blocking.
//!
//! O_NONBLOCK belongs to the open file description, which mydocker shares with other processes,
//! such as a shell, a CI runner or Node.js. If one of these sets the flag, read(2) and write(2) can
//! fail with EAGAIN; the streams here then call poll(2) and try again. The streams do not clear the
//! flag, because the other process may need the flag. The streams have no buffer. std's own
//! `Stdout` and `eprint!` would lose output or panic on EAGAIN.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::stdio;

/// A stream that blocks even if its descriptor is non-blocking.
pub struct Waiting<F>(pub F);

/// The standard input (descriptor 0).
pub fn stdin() -> Waiting<BorrowedFd<'static>> {
    Waiting(stdio::stdin())
}

/// The standard output (descriptor 1).
pub fn stdout() -> Waiting<BorrowedFd<'static>> {
    Waiting(stdio::stdout())
}

/// The standard error (descriptor 2).
pub fn stderr() -> Waiting<BorrowedFd<'static>> {
    Waiting(stdio::stderr())
}

/// A duplicate of the standard input. Fails with the errors of fcntl(2), such as EMFILE.
pub fn own_stdin() -> io::Result<Waiting<OwnedFd>> {
    Ok(Waiting(fcntl_dupfd_cloexec(stdio::stdin(), 3)?))
}

/// A duplicate of the standard output. Fails with the errors of fcntl(2), such as EMFILE.
pub fn own_stdout() -> io::Result<Waiting<OwnedFd>> {
    Ok(Waiting(fcntl_dupfd_cloexec(stdio::stdout(), 3)?))
}

/// Waits at most `limit` for the reader of the standard output to close its end. Returns true if
/// the reader closed its end.
pub fn wait_unread(limit: Duration) -> bool {
    let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
    let stdout = stdio::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    // If poll(2) fails, a later write detects a closed pipe.
    poll(&mut fds, Some(&limit)).is_ok() && is_unread(&fds[0])
}

/// Whether poll(2) reports that the reader of this stream closed its end. The kernel reports a
/// closed end even if the caller asks for no event.
pub fn is_unread(found: &PollFd<'_>) -> bool {
    found.revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Writes all of `data` to `to`, and waits while the stream is full. Fails with the errors of
/// write(2) except EAGAIN and EINTR.
pub fn write_all(to: BorrowedFd<'_>, mut data: &[u8]) -> Result<(), Errno> {
    while !data.is_empty() {
        let written = waiting(to, PollFlags::OUT, || rustix::io::write(to, data))?;
        data = &data[written..];
    }
    Ok(())
}

/// Calls `transfer` again as long as it fails with EINTR or EAGAIN. After EAGAIN waits for `event`.
fn waiting(
    fd: BorrowedFd<'_>,
    event: PollFlags,
    mut transfer: impl FnMut() -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    loop {
        match transfer() {
            Err(Errno::INTR) => {}
            // Ignore an error of poll(2): the next transfer reports an error of the stream.
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(&fd, event)], None)),
            result => return result,
        }
    }
}

impl<F: AsFd> Read for Waiting<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let fd = self.0.as_fd();
        Ok(waiting(fd, PollFlags::IN, || rustix::io::read(fd, &mut *buffer))?)
    }
}

impl<F: AsFd> Write for Waiting<F> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let fd = self.0.as_fd();
        Ok(waiting(fd, PollFlags::OUT, || rustix::io::write(fd, data))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
