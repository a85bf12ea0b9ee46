//! The messages between parent and child while a container or a process of `exec` starts, as
//! packets over a socket pair. The child is the container's init or the helper of `exec`.
//!
//! The parent sends init a byte when cgroups and network are ready. If the parent has hooks to run,
//! init sends READY when the mounts are made, and waits for a second byte. An init that waits for
//! `release` sends READY too. With a listening socket, init then accepts a connection from the
//! starting process, and reports to that process in the same way. A helper that leaves a process
//! running sends the PID. If the parent expects a console, the child sends the console's
//! descriptor; any other descriptor is an error. A child that fails sends an exit status and a
//! message. A successful execve(2) closes the child's end; an empty packet is an error.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags, accept_with, shutdown};
use rustix::process::Pid;

use crate::error::{Context, Error, Result};
use crate::sys::packet;

const GO: u8 = b'g';
/// As `GO`, if the parent has set the loopback interface up.
const GO_WITH_LOOPBACK: u8 = b'l';
const CONSOLE: u8 = b'c';
const FAILED: u8 = b'f';
/// A failure: no directory of PATH has the program.
const NOT_IN_PATH: u8 = b'n';
const READY: u8 = b'r';
const PID: u8 = b'p';
/// The longest message of a failure, in bytes.
const MAX_MESSAGE: usize = 4096;

/// Sends the byte that lets the child go on. The byte also says whether the parent has set the
/// loopback interface up. If the child has ended, the error is ignored here, and reading the
/// child's report shows the failure.
pub fn go(child: BorrowedFd<'_>, loopback_is_up: bool) {
    let byte = if loopback_is_up { GO_WITH_LOOPBACK } else { GO };
    let _ = packet::send(child, &[&[byte]], None, SendFlags::empty());
}

/// Waits for the parent's byte. Returns whether the parent has set the loopback interface up. Fails
/// if the parent has ended.
pub fn await_go(parent: BorrowedFd<'_>) -> Result<bool> {
    let mut buffer = [0; 1];
    match packet::receive(parent, &mut buffer, RecvFlags::empty()) {
        Ok(1) => Ok(buffer == [GO_WITH_LOOPBACK]),
        Ok(_) => Err(Error::new("the monitor is gone")),
        Err(error) => Err(error).context(|| "wait for the monitor"),
    }
}

/// Reports to the parent that this process waits, in `await_go` or `await_start`.
pub fn send_ready(parent: BorrowedFd<'_>) -> Result<()> {
    packet::send(parent, &[&[READY]], None, SendFlags::empty()).context(|| "report to the caller")
}

/// Sends the parent the PID of the process that stays. If the parent has ended, SIGPIPE kills this
/// process.
pub fn send_pid(parent: BorrowedFd<'_>, pid: Pid) -> Result<()> {
    let pid = pid.as_raw_nonzero().get().to_ne_bytes();
    let packet = [&[PID][..], &pid].concat();
    // Use write(2), which nearly every seccomp filter allows. The filter is already installed.
    rustix::io::write(parent, &packet).map(drop).context(|| "report to the caller")
}

/// Waits on a listening socket until a process connects and sends the byte. Returns the connection.
pub fn await_start(listener: BorrowedFd<'_>) -> Result<OwnedFd> {
    loop {
        let accepted = retry_on_intr(|| accept_with(listener, SocketFlags::CLOEXEC));
        let starter = accepted.context(|| "wait for the start")?;
        // If the process ends without sending the byte, wait for another connection.
        if await_go(starter.as_fd()).is_ok() {
            return Ok(starter);
        }
    }
}

/// Sends the master of the container's terminal to the parent.
pub fn send_console(parent: BorrowedFd<'_>, console: BorrowedFd<'_>) -> Result<()> {
    let sent = packet::send(parent, &[&[CONSOLE]], Some(console), SendFlags::empty());
    sent.context(|| "send the console to the monitor")
}

/// Sends an error, cut to 4096 bytes, to the parent. If the send fails, the parent has ended or the
/// filter refuses sendmsg(2), and nothing more can be done.
pub fn send_failure(parent: BorrowedFd<'_>, error: &Error) {
    let text = error.to_string();
    let text = &text.as_bytes()[..text.len().min(MAX_MESSAGE)];
    let kind = if error.is_not_in_path() { NOT_IN_PATH } else { FAILED };
    let _ = packet::send(parent, &[&[kind, error.exit_code()], text], None, SendFlags::empty());
}

/// The failure that an ended child has sent; `None` if the child has sent none. A malformed packet
/// counts as a failure.
pub fn failure(child: BorrowedFd<'_>) -> Option<Error> {
    await_exec(child, false).err().filter(|error| error.errno().is_none())
}

/// Waits until the child has made its mounts and waits for a second `go`.
pub fn await_mounts(child: BorrowedFd<'_>) -> Result<()> {
    await_pause(child, false).map(drop)
}

/// Waits until the child has executed the program, which closes the child's end. If the child is
/// killed before execve(2), the close looks the same. Returns the console if `has_console`. Fails
/// with the child's error and exit status, or if a packet is malformed.
pub fn await_exec(child: BorrowedFd<'_>, has_console: bool) -> Result<Option<OwnedFd>> {
    Ok(await_end(child, has_console)?.console)
}

/// As `await_exec`, but waits until the child is ready. Also fails if the child ends before that.
pub fn await_ready(child: BorrowedFd<'_>, has_console: bool) -> Result<Option<OwnedFd>> {
    stop_sending(child);
    await_pause(child, has_console)
}

/// As `await_ready`, for a child that then waits for another `go`.
pub fn await_pause(child: BorrowedFd<'_>, has_console: bool) -> Result<Option<OwnedFd>> {
    let outcome = read_reports(child, has_console, Until::Ready)?;
    if outcome.is_ready { Ok(outcome.console) } else { Err(ended_early()) }
}

/// As `await_exec`, for the helper of `exec`. If the helper leaves a process running, also returns
/// the PID that the helper has sent.
pub fn await_left(
    child: BorrowedFd<'_>,
    has_console: bool,
) -> Result<(Option<OwnedFd>, Option<Pid>)> {
    // Wait first for the close, so that the packets before the close do not wake this process.
    packet::await_close(child).context(|| "wait for the container's process")?;
    let outcome = await_end(child, has_console)?;
    Ok((outcome.console, outcome.pid))
}

/// The content of a child's packets.
#[derive(Default)]
struct Outcome {
    console: Option<OwnedFd>,
    is_ready: bool,
    pid: Option<Pid>,
}

/// The event at which the parent stops reading.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The child closes its end.
    Closed,
    /// The child is ready and waits.
    Ready,
}

/// Reads the child's packets until the child closes its end, and sends nothing more to the child.
fn await_end(child: BorrowedFd<'_>, has_console: bool) -> Result<Outcome> {
    stop_sending(child);
    read_reports(child, has_console, Until::Closed)
}

fn stop_sending(child: BorrowedFd<'_>) {
    // Ignore an error: the child's packets still arrive, and show whether the child has failed.
    let _ = shutdown(child, Shutdown::Write);
}

fn read_reports(child: BorrowedFd<'_>, has_console: bool, until: Until) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut buffer = [0; MAX_MESSAGE + 2];
    loop {
        let received = if has_console && outcome.console.is_none() {
            packet::receive_with_fd(child, &mut buffer, RecvFlags::empty())
        } else {
            packet::receive(child, &mut buffer, RecvFlags::empty()).map(|n| (n, None))
        };
        let (length, fd) = match received {
            Err(Errno::BADMSG | Errno::MSGSIZE) => return Err(malformed()),
            received => received.context(|| "read from the container's first process")?,
        };
        match (&buffer[..length], fd) {
            ([], None)
                if outcome.console.is_some() == has_console && packet::is_finished(child) =>
            {
                return Ok(outcome);
            }
            ([CONSOLE], Some(fd)) => outcome.console = Some(fd),
            ([READY], None) if until == Until::Ready => {
                outcome.is_ready = true;
                return Ok(outcome);
            }
            ([PID, pid @ ..], None) => {
                let pid = pid.try_into().ok().map(i32::from_ne_bytes).and_then(Pid::from_raw);
                outcome.pid = Some(pid.ok_or_else(malformed)?);
            }
            ([FAILED, code, text @ ..], None) => {
                return Err(Error::new(String::from_utf8_lossy(text)).exit_with(*code));
            }
            ([NOT_IN_PATH, _, text @ ..], None) => {
                return Err(Error::not_in_path(String::from_utf8_lossy(text)));
            }
            _ => return Err(malformed()),
        }
    }
}

fn ended_early() -> Error {
    Error::new("the container's first process ended before it was ready")
}

fn malformed() -> Error {
    Error::new("the container's first process sent a malformed report")
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
    fn a_console_is_accepted_only_if_it_is_expected() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let console = |socket: BorrowedFd<'_>| send_console(socket, null.as_fd()).unwrap();
        assert!(heard(true, console).unwrap());
        assert!(!heard(false, |_| {}).unwrap());
        let refused = |found: Result<bool>| found.unwrap_err().to_string();
        assert!(refused(heard(false, console)).contains("malformed report"));
        assert!(refused(heard(true, |_| {})).contains("malformed report"));
        let twice = |socket: BorrowedFd<'_>| {
            console(socket);
            console(socket);
        };
        assert!(refused(heard(true, twice)).contains("malformed report"));
    }

    #[test]
    fn only_a_close_reports_success() {
        let empty = |socket: BorrowedFd<'_>| {
            packet::send(socket, &[], None, SendFlags::empty()).unwrap();
        };
        // The child's end is still open: the child has executed nothing.
        let (ours, theirs) = packet::pair().unwrap();
        empty(theirs.as_fd());
        assert!(
            await_exec(ours.as_fd(), false).unwrap_err().to_string().contains("malformed report")
        );
        // An empty packet makes the wait fail even if a report follows.
        let failed = heard(false, |socket| {
            empty(socket);
            send_failure(socket, &Error::new("no such program"));
        });
        assert!(failed.is_err());
        for error in [Error::new("x").exit_with(126), Error::not_in_path("x")] {
            let heard = heard(false, |socket| send_failure(socket, &error)).unwrap_err();
            assert_eq!(heard.exit_code(), error.exit_code());
            assert_eq!(heard.is_not_in_path(), error.is_not_in_path());
        }
        let too_long = [0; MAX_MESSAGE + 3];
        let cut = heard(false, |socket| {
            packet::send(socket, &[&too_long], None, SendFlags::empty()).unwrap();
        });
        assert!(cut.unwrap_err().to_string().contains("malformed report"));
    }

    #[test]
    fn nothing_can_be_sent_to_a_child_that_is_awaited() {
        let (ours, theirs) = packet::pair().unwrap();
        send_failure(theirs.as_fd(), &Error::new("no such program"));
        assert!(await_exec(ours.as_fd(), false).is_err());
        let null = std::fs::File::open("/dev/null").unwrap();
        let sent = packet::send(ours.as_fd(), &[&[GO]], Some(null.as_fd()), SendFlags::empty());
        assert_eq!(sent, Err(Errno::PIPE));
    }
}
