//! NOTIFY_SOCKET (sd_notify(3)): if the caller is a systemd service of Type=notify, it waits for the
//! container's READY=1, not for the runtime's.
//!
//! systemd accepts messages only from processes in the service's own cgroup, so the container can't have
//! its socket. `create` mounts a directory of ours on /run/notify; `start` listens in it, waits for
//! READY=1 or the container's end, and passes READY=1 on with the PID. Other messages are dropped.

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

/// In the container's directory.
const DIRECTORY: &str = "notify";
const ROOT: &str = "root";
const SOCKET: &str = "notify.sock";
const INSIDE: &str = "/run/notify";
const VARIABLE: &str = "NOTIFY_SOCKET";
/// Bytes of the longest message that is read.
const MAX_MESSAGE: usize = 4096;

/// Gives the container a socket for its messages, if the caller waits for them.
pub fn offer(container: &Container, spec: &mut Spec) -> Result<()> {
    if std::env::var_os(VARIABLE).is_none() {
        return Ok(());
    }
    let directory = container.dir.join(DIRECTORY);
    // The root's mount point must not cover that directory.
    spec.mount_point = container.dir.join(ROOT);
    for directory in [&directory, &spec.mount_point] {
        let made = std::fs::DirBuilder::new().mode(0o755).create(directory);
        made.context(|| format!("make directory {}", directory.display()))?;
    }
    spec.mounts.push(Mount::new(MountSource::Bind(directory), INSIDE));
    let env = &mut spec.process.env;
    env.retain(|pair| !pair.starts_with("NOTIFY_SOCKET="));
    env.push(format!("{VARIABLE}={INSIDE}/{SOCKET}"));
    Ok(())
}

/// Listens before the container's program starts. Returns `None` if the caller does not wait.
pub fn listen(container: &Container) -> Result<Option<OwnedFd>> {
    let directory = container.dir.join(DIRECTORY);
    if std::env::var_os(VARIABLE).is_none() || !directory.is_dir() {
        return Ok(None);
    }
    let (_directory, address) = super::state::address(&directory, SOCKET)?;
    let socket = datagrams().context(|| "make a socket")?;
    bind(&socket, &address).context(|| "listen for the container's readiness")?;
    // Any user of the container may send.
    std::fs::set_permissions(directory.join(SOCKET), std::fs::Permissions::from_mode(0o777))
        .context(|| "open the socket to the container")?;
    Ok(Some(socket))
}

/// Waits until the container is ready or has ended, and reports the first to the caller's socket.
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
