//! What parent and child say to each other while a container begins: packets over a socket pair.
//!
//! Parent to child: one byte, "cgroup and network are ready". Child to parent: the console's
//! descriptor, or a failure as exit code and sentence. The child's end closes on exec: that is the
//! word that all went well. One descriptor is taken, with the console's message, where a terminal was
//! asked for; any other that comes is closed, and its message is an error.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags};

use crate::error::{Context, Error, Result};
use crate::sys::packet;

const GO: &[u8] = b"g";
const CONSOLE: u8 = b'c';
const FAILED: u8 = b'f';
/// The longest failure that is carried.
const MAX_MESSAGE: usize = 4096;

/// Tells the child to go on. If it is gone already, its failure is read next.
pub fn go(child: BorrowedFd<'_>) {
    let _ = packet::send(child, &[GO], None, SendFlags::empty());
}

/// Waits for the parent's word; an error if the parent is gone.
pub fn await_go(parent: BorrowedFd<'_>) -> Result<()> {
    let mut buffer = [0; 1];
    match packet::receive(parent, &mut buffer, RecvFlags::empty()) {
        Ok((1, _)) => Ok(()),
        Ok(_) => Err(Error::new("the monitor is gone")),
        Err(error) => Err(error).context(|| "wait for the monitor"),
    }
}

/// Whether the parent has gone meanwhile.
pub fn parent_is_gone(parent: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&parent, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::HUP)
}

pub fn send_console(parent: BorrowedFd<'_>, console: BorrowedFd<'_>) -> Result<()> {
    let sent = packet::send(parent, &[&[CONSOLE]], Some(console), SendFlags::empty());
    sent.context(|| "send the console to the monitor")
}

pub fn send_failure(parent: BorrowedFd<'_>, error: &Error) {
    let text = error.to_string();
    let text = &text.as_bytes()[..text.len().min(MAX_MESSAGE)];
    // Nobody is left to hear of a failure to send.
    let _ = packet::send(parent, &[&[FAILED, error.exit_code()], text], None, SendFlags::empty());
}

/// The failure that a child, which has ended since, told of.
pub fn failure(child: BorrowedFd<'_>) -> Option<Error> {
    await_exec(child, false).err().filter(|error| error.errno().is_none())
}

/// Waits until the child has executed the program; returns its console if it is to send one.
pub fn await_exec(child: BorrowedFd<'_>, has_console: bool) -> Result<Option<OwnedFd>> {
    let mut console = None;
    let mut buffer = [0; MAX_MESSAGE + 2];
    loop {
        let received = packet::receive(child.as_fd(), &mut buffer, RecvFlags::empty());
        let (length, fd) = received.context(|| "hear from the container's first process")?;
        match &buffer[..length] {
            [] if console.is_some() == has_console => return Ok(console),
            [CONSOLE] if has_console && console.is_none() && fd.is_some() => console = fd,
            [FAILED, code, text @ ..] => {
                return Err(Error::new(String::from_utf8_lossy(text)).exit_with(*code));
            }
            _ => return Err(Error::new("the container's first process sent nonsense")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(has_console: bool, send: impl FnOnce(BorrowedFd<'_>)) -> Result<bool> {
        let (ours, theirs) = packet::pair().unwrap();
        send(theirs.as_fd());
        drop(theirs);
        await_exec(ours.as_fd(), has_console).map(|console| console.is_some())
    }

    #[test]
    fn one_console_is_taken_where_one_is_wanted() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let console = |socket: BorrowedFd<'_>| send_console(socket, null.as_fd()).unwrap();
        assert!(heard(true, console).unwrap());
        assert!(!heard(false, |_| {}).unwrap());
        let refused = |found: Result<bool>| found.unwrap_err().to_string();
        assert!(refused(heard(false, console)).contains("nonsense"));
        assert!(refused(heard(true, |_| {})).contains("nonsense"));
        let twice = |socket: BorrowedFd<'_>| {
            console(socket);
            console(socket);
        };
        assert!(refused(heard(true, twice)).contains("nonsense"));
    }
}
