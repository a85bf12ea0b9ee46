//! The messages between a client and a monitor. One packet (SOCK_SEQPACKET, unix(7)) is one
//! message, and its first byte is the kind of message.
//!
//! The client that started the container has one end of a socket pair. Later clients connect to
//! `attach.sock` in the run directory, which only root can reach. The first message of a later
//! client says whether the client wants the output: `attach` wants the output, and `wait` does not.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen,
    socket_with,
};

use crate::error::{Context, Error, Result};
use crate::sys::packet;

/// The largest data of one message, in bytes.
pub const MAX_DATA: usize = 64 << 10;
/// The longest error message, in bytes.
const MAX_MESSAGE: usize = 4096;
/// The size in bytes of a buffer for any message.
pub const MAX_PACKET: usize = MAX_DATA + 16;

/// A message from a client to the monitor.
pub enum Request<'a> {
    /// The first message on a connection to `attach.sock`. `output` says whether the client wants
    /// the output.
    Hello {
        output: bool,
    },
    Stdin(&'a [u8]),
    StdinEnd,
    Resize {
        rows: u16,
        columns: u16,
    },
    /// The container has this new name.
    Renamed(&'a str),
    /// The monitor must hold the socket in this message, which reserves a published port.
    Hold,
    /// The monitor must close the socket with this name (`port::socket_name`), or all if the name
    /// is empty.
    Release(&'a str),
}

/// A message from the monitor to a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The program has started with this PID and start time.
    Started {
        pid: i32,
        start_time: u64,
    },
    Stdout(&'a [u8]),
    Stderr(&'a [u8]),
    /// The monitor has carried out `Hold` or `Release`.
    Done,
    /// The container has ended with this exit status.
    Exited {
        code: u8,
    },
    /// The container could not start, or the monitor refuses this client or its request. `code` is
    /// the exit status for the command.
    Failed {
        code: u8,
        message: &'a str,
    },
}

/// An output stream of the program. The numbers are those in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    Stdout = 1,
    Stderr = 2,
}

impl Request<'_> {
    /// Sends this message to the monitor. Fails with the errors of sendmsg(2).
    pub fn send(&self, socket: BorrowedFd<'_>, flags: SendFlags) -> Result<(), Errno> {
        self.send_with(socket, None, flags)
    }

    /// As [`Request::send`], with the descriptor `fd` if it is given.
    pub fn send_with(
        &self,
        socket: BorrowedFd<'_>,
        fd: Option<BorrowedFd<'_>>,
        flags: SendFlags,
    ) -> Result<(), Errno> {
        let send = |kind, data: &[u8]| packet::send(socket, &[&[kind], data], fd, flags);
        match self {
            Request::Hello { output } => send(b'h', &[u8::from(*output)]),
            Request::Stdin(data) => send(b'i', data),
            Request::StdinEnd => send(b'e', &[]),
            Request::Resize { rows, columns } => {
                let [a, b] = rows.to_le_bytes();
                let [c, d] = columns.to_le_bytes();
                send(b'w', &[a, b, c, d])
            }
            Request::Renamed(name) => send(b'n', name.as_bytes()),
            Request::Hold => send(b'p', &[]),
            Request::Release(name) => send(b'q', name.as_bytes()),
        }
    }

    /// Parses a packet of a client; `None` if it is malformed.
    pub fn parse(packet: &[u8]) -> Option<Request<'_>> {
        match packet {
            [b'h', output] => Some(Request::Hello { output: *output != 0 }),
            [b'i', data @ ..] => Some(Request::Stdin(data)),
            [b'e'] => Some(Request::StdinEnd),
            [b'w', a, b, c, d] => Some(Request::Resize {
                rows: u16::from_le_bytes([*a, *b]),
                columns: u16::from_le_bytes([*c, *d]),
            }),
            [b'n', name @ ..] => Some(Request::Renamed(std::str::from_utf8(name).ok()?)),
            [b'p'] => Some(Request::Hold),
            [b'q', name @ ..] => Some(Request::Release(std::str::from_utf8(name).ok()?)),
            _ => None,
        }
    }
}

impl Reply<'_> {
    /// Sends this message to a client. With MSG_DONTWAIT fails with EAGAIN if the socket is full.
    pub fn send(&self, socket: BorrowedFd<'_>, flags: SendFlags) -> Result<(), Errno> {
        match self {
            Reply::Started { pid, start_time } => {
                let mut payload = [0; 12];
                payload[..4].copy_from_slice(&pid.to_le_bytes());
                payload[4..].copy_from_slice(&start_time.to_le_bytes());
                send(socket, b's', &payload, flags)
            }
            Reply::Stdout(data) => send(socket, b'o', data, flags),
            Reply::Stderr(data) => send(socket, b'r', data, flags),
            Reply::Done => send(socket, b'd', &[], flags),
            Reply::Exited { code } => send(socket, b'x', &[*code], flags),
            Reply::Failed { code, message } => {
                let length = message.floor_char_boundary(MAX_MESSAGE);
                let parts = [b"f", &[*code][..], &message.as_bytes()[..length]];
                packet::send(socket, &parts, None, flags)
            }
        }
    }

    /// Parses a packet of the monitor; `None` if it is malformed.
    pub fn parse(packet: &[u8]) -> Option<Reply<'_>> {
        match packet {
            [b's', rest @ ..] => {
                let (pid, start_time) = rest.split_at_checked(4)?;
                Some(Reply::Started {
                    pid: i32::from_le_bytes(pid.try_into().ok()?),
                    start_time: u64::from_le_bytes(start_time.try_into().ok()?),
                })
            }
            [b'o', data @ ..] => Some(Reply::Stdout(data)),
            [b'r', data @ ..] => Some(Reply::Stderr(data)),
            [b'd'] => Some(Reply::Done),
            [b'x', code] => Some(Reply::Exited { code: *code }),
            [b'f', code, text @ ..] => {
                Some(Reply::Failed { code: *code, message: std::str::from_utf8(text).ok()? })
            }
            _ => None,
        }
    }
}

fn send(socket: BorrowedFd<'_>, kind: u8, data: &[u8], flags: SendFlags) -> Result<(), Errno> {
    packet::send(socket, &[&[kind], data], None, flags)
}

const NAME: &str = "attach.sock";

/// The address of the socket in `directory`. A socket address has at most 107 bytes (unix(7)),
/// which the path of a run directory may exceed. So the address names the directory by its
/// descriptor.
fn address(directory: &OwnedFd) -> Result<SocketAddrUnix, Errno> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()))
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Creates the socket to which clients connect, in the run directory `run`. Fails for example if
/// `run` is missing.
pub fn serve(run: &Path) -> Result<OwnedFd> {
    let make = || -> Result<OwnedFd, Errno> {
        let directory = open_directory(run)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        bind(&socket, &address(&directory)?)?;
        listen(&socket, 16)?;
        Ok(socket)
    };
    make().context(|| format!("open {}", run.join(NAME).display()))
}

/// Connects to a running container's monitor and sends `Hello`; `None` if no monitor listens in the
/// run directory `run`. Fails if the monitor is busy or the connection fails for another reason.
pub fn dial(run: &Path, output: bool) -> Result<Option<OwnedFd>> {
    let make = || -> Result<OwnedFd, Errno> {
        let directory = open_directory(run)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        // EAGAIN means that the monitor's queue is full. After these pauses, 1.4 s in all, the
        // monitor is reported as busy (ENOTCONN below).
        for pause_ms in [1, 4, 16, 64, 256, 1024] {
            match connect(&socket, &address(&directory)?) {
                Err(Errno::AGAIN) => std::thread::sleep(Duration::from_millis(pause_ms)),
                result => {
                    result?;
                    break;
                }
            }
        }
        rustix::io::ioctl_fionbio(&socket, false)?;
        match (Request::Hello { output }).send(socket.as_fd(), SendFlags::empty()) {
            // After these errors the socket may hold a message that says why the monitor has closed
            // the connection.
            Ok(()) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(socket),
            Err(error) => Err(error),
        }
    };
    match make() {
        Ok(socket) => Ok(Some(socket)),
        Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(None),
        Err(Errno::NOTCONN) => Err(Error::new(format!("{}: the monitor is busy", run.display()))),
        Err(error) => Err(Error::from(error)).context(|| format!("connect to {}", run.display())),
    }
}

/// Sends a container's new name to its monitor, if a monitor listens in the run directory `run`.
/// The caller should hold the lock for changes, so that the names of two renames are sent in order.
pub fn report_name(run: &Path, name: &str) -> Result<()> {
    let Some(socket) = dial(run, false)? else { return Ok(()) };
    (Request::Renamed(name))
        .send(socket.as_fd(), SendFlags::DONTWAIT)
        .context(|| "report the new name to the monitor")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::RecvFlags;

    #[test]
    fn replies_survive_the_socket() {
        let (ours, theirs) = packet::pair().unwrap();
        let mut buffer = [0; MAX_PACKET];
        for reply in [
            Reply::Started { pid: 77, start_time: u64::MAX - 1 },
            Reply::Stdout(b"hello"),
            Reply::Stderr(b""),
            Reply::Done,
            Reply::Exited { code: 137 },
            Reply::Failed { code: 127, message: "no" },
        ] {
            reply.send(ours.as_fd(), SendFlags::empty()).unwrap();
            let length = packet::receive(theirs.as_fd(), &mut buffer, RecvFlags::empty()).unwrap();
            assert_eq!(Reply::parse(&buffer[..length]).unwrap(), reply);
        }
        assert_eq!(Reply::parse(b"s12"), None);
        assert!(Request::parse(b"w12").is_none());
    }
}
