//! What parent and child say to each other while a container begins: packets over a socket pair.
//!
//! Parent to child: one byte, "cgroup and network are ready". Child to parent: the console's
//! descriptor, or a failure as exit code and sentence. The child's end closes on exec: that is the
//! word that all went well. A child that another process cloned on the parent's behalf is made known
//! by that one, over the same pair.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::Pid;

use crate::error::{Context, Error, Result};
use crate::sys::clone::Child;
use crate::sys::packet;

const GO: &[u8] = b"g";
const CONSOLE: u8 = b'c';
const CHILD: u8 = b'p';
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

/// Tells of a child that was cloned on behalf of who is at the other end.
pub fn send_child(to: BorrowedFd<'_>, child: &Child) {
    let pid = child.pid.as_raw_nonzero().get().to_le_bytes();
    // Nobody is left to hear of a failure to send.
    let _ = packet::send(to, &[&[CHILD], &pid], Some(child.pidfd.as_fd()), SendFlags::empty());
}

/// Waits for the child that another process clones for us.
pub fn await_child(from: BorrowedFd<'_>) -> Result<Child> {
    let mut buffer = [0; MAX_MESSAGE + 2];
    let received = packet::receive(from, &mut buffer, RecvFlags::empty());
    let (length, pidfd) = received.context(|| "hear from the process in between")?;
    match (&buffer[..length], pidfd) {
        (&[CHILD, a, b, c, d], Some(pidfd)) => {
            let pid = Pid::from_raw(i32::from_le_bytes([a, b, c, d]));
            let pid = pid.ok_or_else(|| Error::new("the process in between sent nonsense"))?;
            Ok(Child { pid, pidfd })
        }
        (&[FAILED, code, ref text @ ..], _) => {
            Err(Error::new(String::from_utf8_lossy(text)).exit_with(code))
        }
        _ => Err(Error::new("the process in between died")),
    }
}

pub fn send_failure(parent: BorrowedFd<'_>, error: &Error) {
    let text = error.to_string();
    let text = &text.as_bytes()[..text.len().min(MAX_MESSAGE)];
    // Nobody is left to hear of a failure to send.
    let _ = packet::send(parent, &[&[FAILED, error.exit_code()], text], None, SendFlags::empty());
}

/// Waits until the child has executed the program; gives its console if it has one.
pub fn await_exec(child: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    let mut console = None;
    let mut buffer = [0; MAX_MESSAGE + 2];
    loop {
        let received = packet::receive(child.as_fd(), &mut buffer, RecvFlags::empty());
        let (length, fd) = received.context(|| "hear from the container's first process")?;
        match &buffer[..length] {
            [] => return Ok(console),
            [CONSOLE] => console = fd,
            [FAILED, code, text @ ..] => {
                return Err(Error::new(String::from_utf8_lossy(text)).exit_with(*code));
            }
            _ => return Err(Error::new("the container's first process sent nonsense")),
        }
    }
}
