//! The sockets that reserve a running container's published ports. The monitor holds these sockets.
//!
//! The hooks at a start give the monitor its sockets. `update` binds the sockets of new ports
//! itself, sends each to the monitor (SCM_RIGHTS, unix(7)), and names the sockets that the monitor
//! must close. The monitor answers each of these messages after it has carried the message out. A
//! monitor of an older mydocker closes the connection instead.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, SocketType, getsockname, sockopt};

use super::files::Files;
use super::protocol::{Reply, Request, dial};
use crate::error::{Context, Result, fail};
use crate::port::{Protocol, socket_name};
use crate::sys::{self, packet};

/// The limit for the monitor's answer, in seconds. A monitor usually answers much faster.
const MAX_WAIT: i64 = 10;

/// A name that no socket has, for a request that changes nothing.
const NO_NAME: &str = "-";

/// A connection to a container's monitor.
pub struct MonitorPorts(OwnedFd);

impl MonitorPorts {
    /// Connects to the monitor of a running container. Fails unless the monitor answers in time
    /// that it can change ports. A monitor of an older version cannot.
    pub fn of(files: &Files) -> Result<MonitorPorts> {
        match dial(&files.run, false)?.map(MonitorPorts) {
            Some(ports) => ports.release(NO_NAME).map(|()| ports),
            None => fail!(
                "{} has no monitor's socket, so ports can't change before the container's next \
                 start",
                files.run.display()
            ),
        }
    }

    /// Gives the monitor a socket to hold. Fails unless the monitor confirms within 10 seconds.
    pub fn hold(&self, socket: BorrowedFd<'_>) -> Result<()> {
        self.ask(&Request::Hold, Some(socket))
    }

    /// Makes the monitor close the socket with this name (`port::socket_name`), if the monitor has
    /// such a socket.
    pub fn release(&self, name: &str) -> Result<()> {
        self.ask(&Request::Release(name), None)
    }

    /// Makes the monitor close all its sockets.
    pub fn release_all(&self) -> Result<()> {
        self.release("")
    }

    fn ask(&self, request: &Request<'_>, fd: Option<BorrowedFd<'_>>) -> Result<()> {
        const DOING: &str = "ask the container's monitor to change its ports";
        let sent = request.send_with(self.0.as_fd(), fd, SendFlags::empty());
        sent.context(|| DOING)?;
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let wait = Timespec { tv_sec: MAX_WAIT, tv_nsec: 0 };
        if poll(&mut fds, Some(&wait)).context(|| DOING)? == 0 {
            fail!("the container's monitor did not answer within {MAX_WAIT} seconds");
        }
        let mut buffer = [0; 4200];
        let length = packet::receive(self.0.as_fd(), &mut buffer, RecvFlags::empty());
        match Reply::parse(&buffer[..length.context(|| DOING)?]) {
            Some(Reply::Done) => Ok(()),
            Some(Reply::Failed { message, .. }) => fail!("{message}"),
            Some(Reply::Exited { .. }) => fail!("the container ended just now; start it first"),
            _ => fail!(
                "the container's monitor is of an older mydocker and can't change ports; restart \
                 the container first"
            ),
        }
    }
}

/// Handles a request in the monitor, whose sockets are `held`. `came` is the descriptor that came
/// with the request.
pub(super) fn serve(held: &mut Vec<OwnedFd>, request: &Request<'_>, came: Option<OwnedFd>) {
    match request {
        Request::Hold => held.extend(came),
        Request::Release("") => held.clear(),
        Request::Release(name) => held.retain(|socket| name_of(socket).as_deref() != Some(name)),
        _ => {}
    }
    // Raise the limit on descriptors, so that the monitor can receive more sockets.
    sys::fds::raise_limit(held.len());
}

fn name_of(socket: &OwnedFd) -> Option<String> {
    let protocol = match sockopt::socket_type(socket).ok()? {
        SocketType::STREAM => Protocol::Tcp,
        _ => Protocol::Udp,
    };
    let at = SocketAddr::try_from(getsockname(socket).ok()?).ok()?;
    // Leave out the scope ID of a link-local address.
    Some(socket_name(protocol, SocketAddr::new(at.ip(), at.port())))
}
