//! NOTIFY_SOCKET (sd_notify(3)): a systemd service of Type=notify is ready when its container sends
//! READY=1, not when the runtime returns.
//!
//! systemd accepts messages only from processes in the service's own cgroup, so the container can't
//! use systemd's socket. `create` mounts a directory on /run/notify, and `start` makes a socket in
//! it. `start` waits on this socket for READY=1 or the container's end. If READY=1 arrives, `start`
//! sends it and the container's PID to systemd. `start` drops other messages. `run` does the work
//! of both commands.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, recv,
    sendto, socket_with,
};

use super::state::Container;
use crate::error::{Context, Result};
use crate::runtime::spec::{Mount, MountSource, Spec};

/// The directory of the socket, in the container's directory.
const DIRECTORY: &str = "notify";
/// The mount point of the root, in the container's directory, if the root is the host's `/`.
const ROOT: &str = "root";
/// The socket's name in its directory.
const SOCKET: &str = "notify.sock";
/// The path in the container at which the socket's directory is mounted.
const INSIDE: &str = "/run/notify";
const VARIABLE: &str = "NOTIFY_SOCKET";
/// The maximum number of bytes that are read from a message. The rest is dropped.
const MAX_MESSAGE: usize = 4096;

/// Gives the container a directory for the socket and its own NOTIFY_SOCKET, if this process has a
/// NOTIFY_SOCKET.
pub fn offer(container: &Container, spec: &mut Spec) -> Result<()> {
    if std::env::var_os(VARIABLE).is_none() {
        return Ok(());
    }
    let directory = container.dir.join(DIRECTORY);
    let make = |directory: &Path| {
        let made = std::fs::DirBuilder::new().mode(0o755).create(directory);
        made.context(|| format!("make directory {}", directory.display()))
    };
    make(&directory)?;
    if spec.mount_point == container.dir {
        // The root must not cover the socket's directory.
        spec.mount_point = container.dir.join(ROOT);
        make(&spec.mount_point)?;
    }
    spec.mounts.push(Mount::new(MountSource::Bind(directory), INSIDE));
    let env = &mut spec.process.env;
    env.retain(|pair| !pair.starts_with("NOTIFY_SOCKET="));
    env.push(format!("{VARIABLE}={INSIDE}/{SOCKET}"));
    Ok(())
}

/// Makes the socket and listens on it. Callers do this before the container's program starts.
/// Returns `None` if this process has no NOTIFY_SOCKET, or if `create` had none.
pub fn listen(container: &Container) -> Result<Option<OwnedFd>> {
    let directory = container.dir.join(DIRECTORY);
    if std::env::var_os(VARIABLE).is_none() || !directory.is_dir() {
        return Ok(None);
    }
    let (_directory, address) = super::state::address(&directory, SOCKET)?;
    let socket = datagrams().context(|| "make a socket")?;
    bind(&socket, &address).context(|| "listen for the container's readiness")?;
    // Every user of the container may send messages.
    std::fs::set_permissions(directory.join(SOCKET), std::fs::Permissions::from_mode(0o777))
        .context(|| "open the socket to the container")?;
    Ok(Some(socket))
}

/// Waits until the container sends READY=1 or ends. If the container sends READY=1, sends READY=1
/// and `pid` to the socket in this process's NOTIFY_SOCKET.
pub fn relay(socket: &OwnedFd, process: BorrowedFd<'_>, pid: i32) -> Result<()> {
    let mut buffer = [0; MAX_MESSAGE];
    loop {
        let mut fds = [PollFd::new(socket, PollFlags::IN), PollFd::new(&process, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            polled => drop(polled.context(|| "wait for the container's readiness")?),
        }
        let (has_words, has_ended) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
        if has_words {
            let (length, _) = recv(socket, &mut buffer, RecvFlags::DONTWAIT).unwrap_or((0, 0));
            if buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return report(pid);
            }
        } else if has_ended {
            return Ok(());
        }
    }
}

fn report(pid: i32) -> Result<()> {
    let path = std::env::var(VARIABLE).unwrap_or_default();
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
        None => SocketAddrUnix::new(Path::new(&path)),
    };
    let words = format!("MAINPID={pid}\nREADY=1\n");
    address
        .and_then(|address| {
            let socket = datagrams()?;
            sendto(socket.as_fd(), words.as_bytes(), SendFlags::NOSIGNAL, &address)
        })
        .map(drop)
        .context(|| format!("report the readiness to NOTIFY_SOCKET={path}"))
}

fn datagrams() -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
}
