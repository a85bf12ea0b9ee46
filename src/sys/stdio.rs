//! The standard streams. They block until there is data or room, even if another process made them
//! non-blocking.
//!
//! O_NONBLOCK belongs to the open file description, which node, CI runners and terminals share with
//! us: read(2) and write(2) then fail with EAGAIN. These streams call poll(2) and try again, so the
//! caller sees a blocking stream. They never clear the flag: it is the other process's choice.
//! Nothing is buffered here. std's own `Stdout` and `eprint!` would lose output or panic.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::stdio;

/// A stream that blocks even if its descriptor does not.
pub struct Waiting<F>(pub F);

/// Standard input.
pub fn stdin() -> Waiting<BorrowedFd<'static>> {
    Waiting(stdio::stdin())
}

/// Standard output.
pub fn stdout() -> Waiting<BorrowedFd<'static>> {
    Waiting(stdio::stdout())
}

/// Standard error.
pub fn stderr() -> Waiting<BorrowedFd<'static>> {
    Waiting(stdio::stderr())
}

/// The standard input as a descriptor of its own, for a reader on another thread.
pub fn own_stdin() -> io::Result<Waiting<OwnedFd>> {
    Ok(Waiting(fcntl_dupfd_cloexec(stdio::stdin(), 3)?))
}

/// The standard output as a descriptor of its own.
pub fn own_stdout() -> io::Result<Waiting<OwnedFd>> {
    Ok(Waiting(fcntl_dupfd_cloexec(stdio::stdout(), 3)?))
}

/// Writes all of `data`, and waits while there is no room.
pub fn write_all(to: BorrowedFd<'_>, mut data: &[u8]) -> Result<(), Errno> {
    while !data.is_empty() {
        let written = waiting(to, PollFlags::OUT, || rustix::io::write(to, data))?;
        data = &data[written..];
    }
    Ok(())
}

/// Calls `transfer` until it fails for another reason than a signal or an empty or full stream.
fn waiting(
    fd: BorrowedFd<'_>,
    event: PollFlags,
    mut transfer: impl FnMut() -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    loop {
        match transfer() {
            Err(Errno::INTR) => {}
            // If poll fails, the next transfer says why.
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
